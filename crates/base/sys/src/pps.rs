//! The kernel's pulses per second: `<linux/pps.h>`, RFC 2783.

use crate::check;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

// `_IOR('p', 0xa3, int *)`, `_IOW('p', 0xa2, struct pps_kparams *)` and the like: the header takes the size of a pointer.
const PPS_GETPARAMS: libc::c_ulong = 0x8008_70a1;
const PPS_SETPARAMS: libc::c_ulong = 0x4008_70a2;
const PPS_GETCAP: libc::c_ulong = 0x8008_70a3;
const PPS_FETCH: libc::c_ulong = 0xc008_70a4;
const PPS_CAPTUREASSERT: i32 = 0x01;
const PPS_CAPTURECLEAR: i32 = 0x02;
const PPS_TSFMT_TSPEC: i32 = 0x1000;

/// `struct pps_ktime`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Time {
    seconds: i64,
    nanos: i32,
    flags: u32,
}

/// `struct pps_fdata`: `struct pps_kinfo` and the time to wait.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Fetched {
    assert_sequence: u32,
    clear_sequence: u32,
    assert: Time,
    clear: Time,
    mode: i32,
    timeout: Time,
}

/// `struct pps_kparams`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Parameters {
    api_version: i32,
    mode: i32,
    assert_offset: Time,
    clear_offset: Time,
}

/// A pulse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// Of the pulses of this edge, which one: it counts up by one each.
    pub sequence: u32,
    /// The realtime clock then, nanoseconds since the Unix epoch.
    pub realtime_ns: i64,
}

/// Asks the device to stamp rising edges (`clear`: falling ones); an error when it cannot.
pub fn set_up(device: &File, clear: bool) -> io::Result<()> {
    let wanted = if clear { PPS_CAPTURECLEAR } else { PPS_CAPTUREASSERT };
    let mut modes: libc::c_int = 0;
    // SAFETY: the kernel writes one int through the pointer to ours.
    check(unsafe { libc::ioctl(device.as_raw_fd(), PPS_GETCAP as _, &mut modes) })?;
    if modes & wanted == 0 {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "the device does not stamp this edge"));
    }
    let mut parameters = Parameters::default();
    // SAFETY: the kernel writes a struct pps_kparams, which `Parameters` is laid out as, through the pointer to ours.
    check(unsafe { libc::ioctl(device.as_raw_fd(), PPS_GETPARAMS as _, &mut parameters) })?;
    parameters.mode |= wanted | PPS_TSFMT_TSPEC;
    // SAFETY: the kernel reads such a structure of ours.
    check(unsafe { libc::ioctl(device.as_raw_fd(), PPS_SETPARAMS as _, &parameters) }).map(drop)
}

/// The last pulse of an edge, without waiting; none before the first.
pub fn last(device: &File, clear: bool) -> io::Result<Option<Pulse>> {
    // A time to wait of 0 that is valid (no flag set): the kernel answers at once.
    let mut fetched = Fetched::default();
    // SAFETY: the kernel reads and writes a struct pps_fdata, which `Fetched` is laid out as, through the pointer to ours.
    check(unsafe { libc::ioctl(device.as_raw_fd(), PPS_FETCH as _, &mut fetched) })?;
    let (sequence, time) = match clear {
        true => (fetched.clear_sequence, fetched.clear),
        false => (fetched.assert_sequence, fetched.assert),
    };
    let nanos = time.seconds.checked_mul(1_000_000_000).and_then(|all| all.checked_add(time.nanos.into()));
    Ok(nanos.filter(|_| sequence != 0).map(|realtime_ns| Pulse { sequence, realtime_ns }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the structures are as long as the kernel's on a 64-bit system, and a file that is no such device is an error.
    #[test]
    fn what_is_no_pulse_device_is_an_error() {
        assert_eq!((size_of::<Time>(), size_of::<Fetched>(), size_of::<Parameters>()), (16, 64, 40));
        let file = File::open("/dev/null").expect("every system has it");
        assert!(set_up(&file, false).is_err() && last(&file, true).is_err());
    }
}
