//! Passing an open file to another process (`SCM_RIGHTS` of `unix(7)`).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use crate::check_len;

/// Sends `data` with the descriptor `passed` over a connected Unix socket; the receiver gets a copy of the descriptor.
pub fn send_descriptor(socket: impl AsFd, data: &[u8], passed: impl AsFd) -> io::Result<usize> {
    /// Aligned as `struct cmsghdr` must be, with room for one descriptor.
    #[repr(C, align(8))]
    struct Control([u8; 64]);
    let mut control = Control([0; 64]);
    let mut vector = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    let raw = passed.as_fd().as_raw_fd();
    // SAFETY: the message header points to live buffers only; the control buffer is aligned, zeroed and larger than the
    // space that CMSG_SPACE asks for one descriptor.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as _;
        let head = libc::CMSG_FIRSTHDR(&message);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_RIGHTS;
        (*head).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(head).cast::<libc::c_int>().write_unaligned(raw);
        check_len(libc::sendmsg(socket.as_fd().as_raw_fd(), &message, libc::MSG_NOSIGNAL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::ReceiveBatch;
    use std::io::Write;
    use std::os::unix::net::UnixDatagram;

    /// Goal: a sealed memory file arrives as such, with its content.
    #[test]
    fn a_memory_file_arrives() {
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        let mut file = crate::memfd::create().unwrap();
        file.write_all(b"content").unwrap();
        crate::memfd::seal(&file).unwrap();
        send_descriptor(&sender, b"", &file).unwrap();
        let mut batch = ReceiveBatch::new(2, 16).with_descriptors(1);
        assert_eq!(batch.receive(&receiver).unwrap(), 1);
        let descriptors = batch.descriptors(0);
        assert_eq!(descriptors.len(), 1);
        assert!(crate::memfd::is_sealed(&descriptors[0]));
    }
}
