//! Clocks of network cards: `<linux/ptp_clock.h>`.

use crate::check;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

// `_IOWR('=', 8, struct ptp_sys_offset_precise)`, `_IOWR('=', 9, struct ptp_sys_offset_extended)`, `_IOW('=', 5, struct ptp_sys_offset)`.
const PTP_SYS_OFFSET_PRECISE: libc::c_ulong = 0xc040_3d08;
const PTP_SYS_OFFSET_EXTENDED: libc::c_ulong = 0xc4c0_3d09;
const PTP_SYS_OFFSET: libc::c_ulong = 0x4340_3d05;
/// `PTP_MAX_SAMPLES`.
const SAMPLES_MAX: usize = 25;
// `_IOW('=', 2, struct ptp_extts_request)`, `_IOW('=', 11, struct ptp_extts_request)`, `_IOW('=', 7, struct ptp_pin_desc)`.
const PTP_EXTTS_REQUEST: libc::c_ulong = 0x4010_3d02;
const PTP_EXTTS_REQUEST2: libc::c_ulong = 0x4010_3d0b;
const PTP_PIN_SETFUNC: libc::c_ulong = 0x4060_3d07;
const PTP_ENABLE_FEATURE: u32 = 1 << 0;
const PTP_RISING_EDGE: u32 = 1 << 1;
const PTP_FALLING_EDGE: u32 = 1 << 2;
/// `PTP_PF_EXTTS`: the pin's pulses are stamped.
const FUNCTION_STAMPS: u32 = 1;
/// The length of a `struct ptp_extts_event`.
const EVENT_BYTES: usize = 32;
/// Readings of one call: as many as the kernel takes, since the quick ones count.
const READINGS: usize = SAMPLES_MAX;

/// `struct ptp_clock_time`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Time {
    seconds: i64,
    nanos: u32,
    reserved: u32,
}

/// `struct ptp_sys_offset_precise`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Precise {
    device: Time,
    realtime: Time,
    monotonic_raw: Time,
    reserved: [u32; 4],
}

/// `struct ptp_sys_offset_extended`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Extended {
    count: u32,
    clock: i32,
    reserved: [u32; 2],
    times: [[Time; 3]; SAMPLES_MAX],
}

/// `struct ptp_sys_offset`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Plain {
    count: u32,
    reserved: [u32; 3],
    times: [Time; 2 * SAMPLES_MAX + 1],
}

/// `struct ptp_extts_request`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct PulseRequest {
    channel: u32,
    flags: u32,
    reserved: [u32; 2],
}

/// `struct ptp_pin_desc`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Pin {
    name: [u8; 64],
    index: u32,
    function: u32,
    channel: u32,
    reserved: [u32; 5],
}

/// The two clocks read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The realtime clock, nanoseconds since the Unix epoch.
    pub realtime_ns: i64,
    /// The card's clock, nanoseconds since its epoch.
    pub card_ns: i64,
    /// From the realtime clock's reading before to that after, nanoseconds; 0 where the hardware read both at once.
    pub width_ns: i64,
}

/// Reads both clocks at once in hardware; an error where the card cannot.
pub fn read_precise(device: &File) -> io::Result<Pair> {
    let mut precise = Precise::default();
    // SAFETY: the kernel writes a struct ptp_sys_offset_precise, which `Precise` is laid out as, through the pointer to ours.
    check(unsafe { libc::ioctl(device.as_raw_fd(), PTP_SYS_OFFSET_PRECISE as _, &mut precise) })?;
    pair(precise.realtime, precise.device, precise.realtime).ok_or_else(absurd)
}

/// Reads the card's clock between two readings of ours, as often as the kernel does in one call; never empty.
pub fn read_between(device: &File) -> io::Result<Vec<Pair>> {
    let mut extended = Extended { count: READINGS as u32, ..Extended::default() };
    // SAFETY: the kernel reads and writes a struct ptp_sys_offset_extended, which `Extended` is laid out as.
    let done = check(unsafe { libc::ioctl(device.as_raw_fd(), PTP_SYS_OFFSET_EXTENDED as _, &mut extended) });
    let pairs: Vec<Pair> = match done {
        Ok(_) => {
            let times = extended.times.iter().take(READINGS);
            times.filter_map(|[before, card, after]| pair(*before, *card, *after)).collect()
        }
        // Older kernels know the plain form alone: ours, the card's, ours, the card's, ... ours.
        Err(_) => {
            let times = [Time::default(); 2 * SAMPLES_MAX + 1];
            let mut plain = Plain { count: READINGS as u32, reserved: [0; 3], times };
            // SAFETY: the kernel reads and writes a struct ptp_sys_offset, which `Plain` is laid out as.
            check(unsafe { libc::ioctl(device.as_raw_fd(), PTP_SYS_OFFSET as _, &mut plain) })?;
            let triples = plain.times.windows(3).step_by(2).take(READINGS);
            triples.filter_map(|one| pair(*one.first()?, *one.get(1)?, *one.get(2)?)).collect()
        }
    };
    if pairs.is_empty() { Err(absurd()) } else { Ok(pairs) }
}

/// Has the card stamp pulses of one of its channels, rising edges or with `clear` falling ones; `pin`: the pin that is given this
/// function first, where the card's pins have none of their own.
pub fn stamp_pulses(device: &File, pin: Option<u32>, channel: u32, clear: bool) -> io::Result<()> {
    if let Some(index) = pin {
        let pin = Pin { name: [0; 64], index, function: FUNCTION_STAMPS, channel, reserved: [0; 5] };
        // SAFETY: the kernel reads a struct ptp_pin_desc, which `Pin` is laid out as.
        check(unsafe { libc::ioctl(device.as_raw_fd(), PTP_PIN_SETFUNC as _, &pin) })?;
    }
    let edge = if clear { PTP_FALLING_EDGE } else { PTP_RISING_EDGE };
    let request = PulseRequest { channel, flags: PTP_ENABLE_FEATURE | edge, reserved: [0; 2] };
    // Linux before 5.4 knows the first form of the call alone.
    for call in [PTP_EXTTS_REQUEST2, PTP_EXTTS_REQUEST] {
        // SAFETY: the kernel reads a struct ptp_extts_request, which `PulseRequest` is laid out as.
        match check(unsafe { libc::ioctl(device.as_raw_fd(), call as _, &request) }) {
            Err(error) if call == PTP_EXTTS_REQUEST2 && error.raw_os_error() == Some(libc::ENOTTY) => {}
            other => return other.map(drop),
        }
    }
    Ok(())
}

/// The card stamps pulses of the channel no more.
pub fn end_pulses(device: &File, channel: u32) -> io::Result<()> {
    let request = PulseRequest { channel, ..PulseRequest::default() };
    // SAFETY: as in `stamp_pulses`.
    check(unsafe { libc::ioctl(device.as_raw_fd(), PTP_EXTTS_REQUEST as _, &request) }).map(drop)
}

/// A pulse that a card has stamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// The channel that it came by.
    pub channel: u32,
    /// What the card's clock showed, nanoseconds since its epoch.
    pub card_ns: i64,
}

/// The next pulse; waits for one where the descriptor is not ready.
pub fn read_pulse(mut device: &File) -> io::Result<Pulse> {
    let mut event = [0; EVENT_BYTES];
    let length = io::Read::read(&mut device, &mut event)?;
    event.get(..length).and_then(pulse).ok_or_else(absurd)
}

/// A `struct ptp_extts_event`: the card's time, the channel, and reserved words.
fn pulse(event: &[u8]) -> Option<Pulse> {
    let event = event.first_chunk::<EVENT_BYTES>()?;
    let part = |at: usize| event.get(at..at + 4)?.first_chunk::<4>().map(|bytes| u32::from_ne_bytes(*bytes));
    let seconds = i64::from_ne_bytes(*event.first_chunk::<8>()?);
    let card_ns = nanos(Time { seconds, nanos: part(8)?, reserved: 0 })?;
    Some(Pulse { channel: part(16)?, card_ns })
}

fn pair(before: Time, card: Time, after: Time) -> Option<Pair> {
    let (before, card, after) = (nanos(before)?, nanos(card)?, nanos(after)?);
    let width_ns = after.checked_sub(before).filter(|width| *width >= 0)?;
    Some(Pair { realtime_ns: before + width_ns / 2, card_ns: card, width_ns })
}

fn nanos(time: Time) -> Option<i64> {
    time.seconds.checked_mul(1_000_000_000)?.checked_add(time.nanos.into())
}

fn absurd() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the card's clock shows no time")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the structures are as long as the numbers of the calls say, and a file that is no such device is an error.
    #[test]
    fn what_is_no_clock_of_a_card_is_an_error() {
        let length = |call: libc::c_ulong| (call >> 16 & 0x3fff) as usize;
        assert_eq!(size_of::<Precise>(), length(PTP_SYS_OFFSET_PRECISE));
        assert_eq!(size_of::<Extended>(), length(PTP_SYS_OFFSET_EXTENDED));
        assert_eq!(size_of::<Plain>(), length(PTP_SYS_OFFSET));
        let file = File::open("/dev/null").expect("every system has it");
        assert!(read_precise(&file).is_err() && read_between(&file).is_err());
        assert_eq!(size_of::<PulseRequest>(), length(PTP_EXTTS_REQUEST2));
        assert_eq!((size_of::<PulseRequest>(), size_of::<Pin>()), (16, length(PTP_PIN_SETFUNC)));
        for pin in [None, Some(1)] {
            assert!(stamp_pulses(&file, pin, 0, false).is_err());
        }
        assert!(end_pulses(&file, 0).is_err() && read_pulse(&file).is_err());
    }

    /// Goal: an event of the kernel's layout is a pulse, and what is shorter is none.
    #[test]
    fn events_are_pulses() {
        let mut event = Vec::new();
        event.extend(37_i64.to_ne_bytes());
        for word in [5_u32, 0, 2, 1, 0, 0] {
            event.extend(word.to_ne_bytes());
        }
        assert_eq!(pulse(&event), Some(Pulse { channel: 2, card_ns: 37_000_000_005 }));
        assert_eq!(pulse(&event[..31]), None);
    }

    /// Goal: a pair stands in the middle of its readings, and clocks that go backwards give none.
    #[test]
    fn pairs_are_made_of_three_readings() {
        let at = |seconds: i64, nanos: u32| Time { seconds, nanos, reserved: 0 };
        let check = |times: [Time; 3], expected: Option<(i64, i64, i64)>| {
            let [before, card, after] = times;
            let found = pair(before, card, after).map(|one| (one.realtime_ns, one.card_ns, one.width_ns));
            assert_eq!(found, expected);
        };
        check([at(1, 100), at(37, 5), at(1, 300)], Some((1_000_000_200, 37_000_000_005, 200)));
        check([at(1, 300), at(37, 5), at(1, 100)], None);
        check([at(i64::MAX, 0), at(0, 0), at(0, 0)], None);
        check([at(-9_000_000_000, 0), at(0, 0), at(9_000_000_000, 0)], None);
    }
}
