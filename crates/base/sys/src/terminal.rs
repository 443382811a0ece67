//! The terminal's size.

use std::os::fd::{AsFd, AsRawFd};

/// Columns and rows of the terminal behind `fd`, if it is one and says so.
pub fn size(fd: impl AsFd) -> Option<(u16, u16)> {
    // SAFETY: winsize is a plain C structure and the pointer to it is live.
    unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        (libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &mut size) == 0 && size.ws_col > 0)
            .then_some((size.ws_col, size.ws_row))
    }
}
