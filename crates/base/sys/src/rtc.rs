//! The real-time clock: `rtc(4)`. It is set by nobody where `BANTO_CLOCK_READ_ONLY` is set.

use crate::check;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

/// `RTC_RD_TIME`: `_IOR('p', 0x09, struct rtc_time)`, a structure of nine integers.
const RTC_RD_TIME: libc::c_ulong = 0x8024_7009;

/// `RTC_SET_TIME`: `_IOW('p', 0x0a, struct rtc_time)`.
const RTC_SET_TIME: libc::c_ulong = 0x4024_700a;
/// The request that [`set`] makes, for a filter of system calls.
pub const SET_REQUEST: u64 = 0x4024_700a;
/// `RTC_UIE_ON` and `RTC_UIE_OFF`: `_IO('p', 0x03)`, `_IO('p', 0x04)`.
const RTC_UIE_ON: libc::c_ulong = 0x7003;
const RTC_UIE_OFF: libc::c_ulong = 0x7004;
/// `RTC_UF` of `linux/rtc.h`: an interrupt because the clock has begun a second.
const RTC_UF: libc::c_ulong = 0x10;

/// What the clock shows, broken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtcTime {
    /// Like 2026.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

/// Opens a device for reading, as [`crate::file::open_device`] does.
pub fn open(device: &Path) -> io::Result<File> {
    crate::file::open_device(device, false)
}

/// Reads the clock at `device`.
pub fn read(device: &Path) -> io::Result<RtcTime> {
    read_open(&open(device)?)
}

/// Reads the clock of an open device.
pub fn read_open(file: &File) -> io::Result<RtcTime> {
    let mut fields = [0 as libc::c_int; 9];
    // SAFETY: struct rtc_time is nine C integers; the pointer is to so many live ones of ours.
    check(unsafe { libc::ioctl(file.as_raw_fd(), RTC_RD_TIME as _, fields.as_mut_ptr()) })?;
    let [second, minute, hour, day, month, year, ..] = fields;
    Ok(moment([second, minute, hour, day, month, year]))
}

/// Whether an error of [`read_open`] says that the file is no real-time clock at all: `ENOTTY`, "Inappropriate ioctl for device",
/// tells people little.
pub fn is_none(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOTTY)
}

/// Sets the clock. Needs `CAP_SYS_TIME`.
pub fn set(device: impl AsFd, time: RtcTime) -> io::Result<()> {
    crate::clock::refuse_when_read_only()?;
    let days = from_utc(RtcTime { hour: 0, minute: 0, second: 0, ..time }) / 86_400;
    // 1970-01-01 was a Thursday.
    let day_of_week = libc::c_int::try_from((days + 4).rem_euclid(7)).unwrap_or(0);
    let fields: [libc::c_int; 9] = [
        time.second.into(),
        time.minute.into(),
        time.hour.into(),
        time.day.into(),
        libc::c_int::from(time.month) - 1,
        time.year - 1900,
        day_of_week,
        0,
        0,
    ];
    // SAFETY: struct rtc_time is nine C integers; the pointer is to so many live ones of ours, which the kernel only reads.
    check(unsafe { libc::ioctl(device.as_fd().as_raw_fd(), RTC_SET_TIME as _, fields.as_ptr()) })?;
    Ok(())
}

/// Turns the interrupts on or off that come when the clock begins a second.
pub fn interrupts(file: &File, on: bool) -> io::Result<()> {
    let request = if on { RTC_UIE_ON } else { RTC_UIE_OFF };
    // SAFETY: these two requests take no argument.
    check(unsafe { libc::ioctl(file.as_raw_fd(), request as _, 0) })?;
    Ok(())
}

/// Takes an interrupt, which has to be there: true when a second has begun.
pub fn take_interrupt(mut file: &File) -> io::Result<bool> {
    use std::io::Read;
    let mut data = [0; std::mem::size_of::<libc::c_ulong>()];
    let length = file.read(&mut data)?;
    Ok(length == data.len() && libc::c_ulong::from_ne_bytes(data) & RTC_UF != 0)
}

/// A moment in UTC.
pub fn to_utc(seconds: i64) -> RtcTime {
    // SAFETY: tm is a plain C structure, for which all zeroes is a valid value.
    let mut broken: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of ours.
    unsafe { libc::gmtime_r(&seconds, &mut broken) };
    moment_of(&broken)
}

/// Seconds since the Unix epoch of a moment in local time; none when there is no such moment (`mktime(3)`).
pub fn from_local(time: RtcTime) -> Option<i64> {
    // SAFETY: tm is a plain C structure, for which all zeroes is a valid value.
    let mut broken: libc::tm = unsafe { std::mem::zeroed() };
    broken.tm_year = time.year - 1900;
    broken.tm_mon = i32::from(time.month) - 1;
    broken.tm_mday = i32::from(time.day);
    broken.tm_hour = i32::from(time.hour);
    broken.tm_min = i32::from(time.minute);
    broken.tm_sec = i32::from(time.second);
    broken.tm_isdst = -1;
    // SAFETY: the pointer is to a live structure of ours.
    let seconds = unsafe { libc::mktime(&mut broken) };
    (seconds != -1).then_some(seconds)
}

/// A moment in the local time zone (`localtime_r(3)`).
pub fn to_local(seconds: i64) -> RtcTime {
    // SAFETY: tm is a plain C structure, for which all zeroes is a valid value.
    let mut broken: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of ours.
    unsafe { libc::localtime_r(&seconds, &mut broken) };
    moment_of(&broken)
}

fn moment_of(broken: &libc::tm) -> RtcTime {
    moment([broken.tm_sec, broken.tm_min, broken.tm_hour, broken.tm_mday, broken.tm_mon, broken.tm_year])
}

/// From seconds to years as C counts them: months from 0, years from 1900.
fn moment([second, minute, hour, day, month, year]: [libc::c_int; 6]) -> RtcTime {
    let small = |value: libc::c_int| u8::try_from(value).unwrap_or(0);
    RtcTime {
        year: year + 1900,
        month: small(month + 1),
        day: small(day),
        hour: small(hour),
        minute: small(minute),
        second: small(second),
    }
}

/// Seconds since the Unix epoch of a moment in UTC.
pub fn from_utc(time: RtcTime) -> i64 {
    let month = i64::from(time.month.clamp(1, 12));
    let year = i64::from(time.year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(time.day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    days * 86_400 + i64::from(time.hour) * 3_600 + i64::from(time.minute) * 60 + i64::from(time.second)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: broken-down moments become seconds. The expected values are from `date -u -d ... +%s`.
    #[test]
    fn moments_become_seconds() {
        let at = |year, month, day, hour, minute, second| RtcTime { year, month, day, hour, minute, second };
        for (time, expected) in [
            (at(1970, 1, 1, 0, 0, 0), 0),
            (at(2000, 2, 29, 23, 59, 59), 951_868_799),
            (at(2026, 11, 22, 16, 17, 34), 1_795_364_254),
        ] {
            assert_eq!(from_utc(time), expected, "{time:?}");
            assert_eq!(to_utc(expected), time);
        }
    }
}
