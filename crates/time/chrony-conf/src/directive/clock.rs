//! The system's clock and the clocks beside it: how it is set, leap seconds, the real-time clock.

use super::Directive;
use crate::settings::{FallbackDrift, LeapSecondMode, Makestep, MaxChange, SmoothTime, TempComp, TempCurve};
use crate::settings::{RefClockDriver, Settings};
use crate::words::Words;
use std::path::PathBuf;

/// The directives of the clock.
pub(super) const CLOCK: &[Directive] = &[
    directive!(
        "driftfile" " PATH [interval SECONDS]" like " /var/lib/chrony/chrony.drift",
        "none",
        "where the frequency is kept over a restart",
        |w, s| {
            let path = w.path("a path")?;
            if let Some(word) = w.next() {
                if !word.text.eq_ignore_ascii_case("interval") {
                    w.no_choice(word, "option", &["interval"]);
                    return None;
                }
                s.drift_file_interval = w.integer("seconds", 0, i64::from(i32::MAX))? as u32;
            }
            w.end()?;
            s.drift_file = Some(path);
            Some(())
        },
        |s| match &s.drift_file {
            // The stock daemon before 4.7 does not know the interval: it is shown only where it was set.
            Some(path) if s.drift_file_interval == 3_600 => vec![path.display().to_string()],
            Some(path) => vec![format!("{} interval {}", path.display(), s.drift_file_interval)],
            None => Vec::new(),
        }
    ),
    directive!(
        "makestep" " THRESHOLD LIMIT" like " 1 3",
        "the clock is never stepped",
        "offsets above THRESHOLD seconds are stepped in the first LIMIT updates (-1: in all)",
        |w, s| {
            let threshold = w.magnitude("a threshold in seconds")?;
            let limit = w.integer("a number of updates", -i64::from(i32::MAX), i64::from(i32::MAX))?;
            w.end()?;
            s.makestep = Some(Makestep { threshold, limit: u32::try_from(limit).ok() });
            Some(())
        },
        |s| {
            let rule = |rule: Makestep| {
                format!("{} {}", rule.threshold, rule.limit.map_or(-1, i64::from))
            };
            s.makestep.map(rule).into_iter().collect()
        }
    ),
    directive!(
        "rtcsync" "" like "",
        "off",
        "the kernel is told that the clock is synchronised, and copies it to the real-time clock",
        |w, s| {
            w.end()?;
            s.rtcsync = true;
            one_rtc(w, s)
        },
        |s| if s.rtcsync { vec![String::new()] } else { Vec::new() }
    ),
    directive!(
        "maxchange" " OFFSET START IGNORE" like " 1000 1 2",
        "any offset is corrected",
        "after START updates, offsets above OFFSET seconds are ignored IGNORE times (-1: always), then the daemon ends",
        |w, s| {
            let offset = w.magnitude("an offset in seconds")?;
            let start = w.integer("a number of updates", i64::from(i32::MIN), i64::from(i32::MAX))? as i32;
            let ignore = w.integer("a number of offsets", i64::from(i32::MIN), i64::from(i32::MAX))? as i32;
            w.end()?;
            s.max_change = Some(MaxChange { offset, start, ignore });
            Some(())
        },
        |s| s.max_change.map(|one| format!("{} {} {}", one.offset, one.start, one.ignore)).into_iter().collect()
    ),
    magnitude!("logchange" "seconds", "1.0", "larger offsets are logged", log_change),
    magnitude!("maxupdateskew" "parts per million", "1000", "estimates with a larger skew do not change the frequency", max_update_skew),
    magnitude!("maxslewrate" "parts per million", "83333.333", "how fast the clock is slewed", max_slew_rate),
    magnitude!("maxdrift" "parts per million", "500000", "the largest frequency error of the clock", max_drift),
    magnitude!("maxclockerror" "parts per million", "1", "how wrong the frequency may become between updates", max_clock_error),
    directive!(
        "corrtimeratio" " RATIO" like " 3",
        "3",
        "how long a correction takes, against the time between two",
        |w, s| {
            let ratio = w.magnitude("a ratio")?;
            w.end()?;
            s.correction_time_ratio = ratio;
            Some(())
        },
        |s| (s.correction_time_ratio != 3.0).then(|| s.correction_time_ratio.to_string()).into_iter().collect()
    ),
    directive!(
        "clockprecision" " SECONDS" like " 8e-9",
        "what reading the kernel's clock takes",
        "the precision of the clock, which servers tell",
        |w, s| {
            let seconds = w.magnitude("seconds")?;
            w.end()?;
            s.clock_precision = (seconds > 0.0).then_some(seconds);
            Some(())
        },
        |s| s.clock_precision.map(|seconds| seconds.to_string()).into_iter().collect()
    ),
    directive!(
        "fallbackdrift" " LOG2 LOG2" like " 16 19",
        "none",
        "mean frequencies over such long times are taken while there is no source",
        |w, s| {
            let min = w.integer("log2 seconds", i64::from(i32::MIN), i64::from(i32::MAX))? as i32;
            let max = w.integer("log2 seconds", i64::from(i32::MIN), i64::from(i32::MAX))? as i32;
            w.end()?;
            s.fallback_drift = (min > 0 && max > 0).then_some(FallbackDrift { min, max });
            Some(())
        },
        |s| s.fallback_drift.map(|one| format!("{} {}", one.min, one.max)).into_iter().collect()
    ),
    choice!(
        "leapsecmode" " system|step|slew|ignore" like " slew",
        "system; step where the clock is not the system's",
        "how a leap second is done",
        "mode",
        LeapSecondMode,
        |s, mode| s.leap_second_mode = Some(mode),
        |s| s.leap_second_mode.map(|mode| mode.name().to_owned()).into_iter().collect()
    ),
    word!("leapsectz" " ZONE" like " right/UTC", "a time zone that knows the leap seconds", "a time zone", leap_second_zone),
    path!("leapseclist" like " /usr/share/zoneinfo/leap-seconds.list", "none", "a file of leap seconds", leap_second_list, slash: false),
    directive!(
        "smoothtime" " FREQUENCY WANDER [leaponly]" like " 400 0.001",
        "clients get the time as it is",
        "the time that clients get moves at FREQUENCY ppm at most, which changes by WANDER ppm a second at most",
        |w, s| {
            let frequency_max = w.magnitude("parts per million")?;
            let wander_max = w.magnitude("parts per million a second")?;
            let word = w.next();
            w.end()?;
            if let Some(word) = word.filter(|word| !word.text.eq_ignore_ascii_case("leaponly")) {
                w.no_choice(word, "option", &["leaponly"]);
                return None;
            }
            s.smooth_time = Some(SmoothTime { frequency_max, wander_max, leap_only: word.is_some() });
            Some(())
        },
        |s| {
            let line = |one: SmoothTime| {
                let leap = if one.leap_only { " leaponly" } else { "" };
                format!("{} {}{leap}", one.frequency_max, one.wander_max)
            };
            s.smooth_time.map(line).into_iter().collect()
        }
    ),
    directive!(
        "tempcomp" " FILE SECONDS T0 K0 K1 K2 | FILE SECONDS POINTS-FILE" like " /sys/class/hwmon/hwmon0/temp2_input 30 26000 0 0.000183 0",
        "none",
        "the frequency follows the temperature in FILE, read every SECONDS",
        |w, s| {
            let sensor = w.path("the file of a sensor")?;
            let interval = w.magnitude("seconds")?;
            let first = w.required("a temperature or a file of points")?;
            let curve = match w.next() {
                None => TempCurve::Points(PathBuf::from(first.text)),
                Some(second) => {
                    let mut number = |word: crate::words::Word<'_>| {
                        let value = word.text.parse::<f64>().ok().filter(|value| value.is_finite());
                        if value.is_none() {
                            w.wrong(word, "a number");
                        }
                        value
                    };
                    let (t0, k0) = (number(first)?, number(second)?);
                    let k1 = w.number("a coefficient")?;
                    let k2 = w.number("a coefficient")?;
                    w.end()?;
                    TempCurve::Quadratic { t0, k0, k1, k2 }
                }
            };
            s.temp_comp = Some(TempComp { sensor, interval, curve });
            Some(())
        },
        |s| {
            let line = |one: &TempComp| {
                let curve = match &one.curve {
                    TempCurve::Quadratic { t0, k0, k1, k2 } => format!("{t0} {k0} {k1} {k2}"),
                    TempCurve::Points(file) => file.display().to_string(),
                };
                format!("{} {} {curve}", one.sensor.display(), one.interval)
            };
            s.temp_comp.iter().map(line).collect()
        }
    ),
    switch!("manual", "the time is taken by hand (`chronyc settime`)", manual),
    directive!(
        "rtcfile" " PATH" like " /var/lib/chrony/rtc",
        "none",
        "the real-time clock is followed, and its error and drift are kept here",
        |w, s| {
            let path = w.path("a path")?;
            w.end()?;
            s.rtc.file = Some(path);
            one_rtc(w, s)
        },
        |s| s.rtc.file.iter().map(|path| path.display().to_string()).collect()
    ),
    directive!(
        "rtcdevice" " PATH" like " /dev/rtc0",
        "/dev/rtc",
        "the real-time clock",
        |w, s| {
            let path = w.path("a path")?;
            w.end()?;
            s.rtc.device = path;
            Some(())
        },
        |s| {
            let path = s.rtc.device.display().to_string();
            (path != "/dev/rtc").then_some(path).into_iter().collect()
        }
    ),
    switch!("rtconutc", "the real-time clock keeps UTC", rtc.on_utc),
    directive!(
        "rtcautotrim" " SECONDS" like " 30",
        "never",
        "the real-time clock is set when it is farther off than this",
        |w, s| {
            let seconds = w.magnitude("seconds")?;
            w.end()?;
            s.rtc.auto_trim = seconds;
            Some(())
        },
        |s| (s.rtc.auto_trim != 0.0).then(|| s.rtc.auto_trim.to_string()).into_iter().collect()
    ),
    directive!(
        "hwclockfile" " PATH" like " /etc/adjtime",
        "/etc/adjtime",
        "the file of hwclock(8), which says whether the real-time clock keeps UTC",
        |w, s| {
            let path = w.path("a path")?;
            w.end()?;
            s.rtc.hwclock_file = Some(path);
            Some(())
        },
        |s| {
            let other = s.rtc.hwclock_file.iter().filter(|path| path.as_path() != std::path::Path::new("/etc/adjtime"));
            other.map(|path| path.display().to_string()).collect()
        }
    ),
];

/// The kernel sets the real-time clock with `rtcsync`, this daemon with `rtcfile`, and a `refclock RTC` takes it for the truth: one
/// of the three.
pub(super) fn one_rtc(w: &mut Words<'_, '_>, s: &Settings) -> Option<()> {
    let clock = s.refclocks.iter().any(|one| matches!(one.driver, RefClockDriver::Rtc { .. }));
    let uses: Vec<&str> =
        [(s.rtcsync, "rtcsync"), (s.rtc.file.is_some(), "rtcfile"), (clock, "refclock RTC")]
            .into_iter()
            .filter(|(used, name)| *used && !name.starts_with(&w.directive.text.to_ascii_lowercase()))
            .map(|(_, name)| name)
            .collect();
    let Some(other) = uses.first() else { return Some(()) };
    w.excluded(
        other,
        "the real-time clock is set by the kernel, set by this daemon, or followed as the truth",
    );
    None
}
