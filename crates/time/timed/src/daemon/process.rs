//! The process before the loop: its scheduling, its memory, its system calls, and the clock that it finds.

use super::Daemon;
use crate::clocks::DaemonClock;
use crate::events::{Happened, Log};
use crate::holder::{Holder, Limits, Link, Machine, Start};
use crate::options::{Once, Options};
use crate::rtc::Rtc;
use chrony_conf::Settings;
use seccompiler::{SeccompAction, SeccompFilter};
use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;
use sys::calls;
use sys::user::User;
use time_core::Clock;

/// A clock that is off by less is left to the sources, in seconds: the real-time clock is read to the second.
const RTC_STEP_MIN: i64 = 1_000_000_000;

/// System calls that this daemon has no use for and an intruder has, at `-F 1` and `-F 2`: other programs, other processes.
const FORBIDDEN: &[i64] = &[
    calls::EXECVE,
    calls::EXECVEAT,
    calls::FORK,
    calls::VFORK,
    calls::PTRACE,
    calls::PROCESS_VM_READV,
    calls::PROCESS_VM_WRITEV,
];

/// At `-F 1` also: other file systems, other kernels, other identities.
const FORBIDDEN_AT_LEVEL_1: &[i64] = &[
    calls::MOUNT,
    calls::UMOUNT2,
    calls::PIVOT_ROOT,
    calls::CHROOT,
    calls::INIT_MODULE,
    calls::FINIT_MODULE,
    calls::DELETE_MODULE,
    calls::KEXEC_LOAD,
    calls::BPF,
    calls::PERF_EVENT_OPEN,
    calls::UNSHARE,
    calls::SETNS,
    calls::SETUID,
    calls::SETRESUID,
    calls::REBOOT,
    calls::SWAPON,
    calls::ADD_KEY,
    calls::KEYCTL,
    calls::USERFAULTFD,
];

impl Daemon {
    /// `-F`: the calls above kill the process from here on, or with a negative level send it SIGSYS. Unlike chrony's level 1
    /// this one is a list of what is forbidden too, only longer: a list of what is allowed would end the daemon with the next
    /// version of the C library.
    pub(super) fn filter_system_calls(&mut self) -> Result<(), String> {
        let level = self.options.filter_level;
        if level == 0 {
            return Ok(());
        }
        let mut forbidden: Vec<i64> = FORBIDDEN.to_vec();
        if level.abs() == 1 {
            forbidden.extend(FORBIDDEN_AT_LEVEL_1);
        }
        let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
            forbidden.into_iter().filter(|number| *number >= 0).map(|number| (number, Vec::new())).collect();
        let action = if level < 0 { SeccompAction::Trap } else { SeccompAction::KillProcess };
        let failed = |error: &dyn std::fmt::Display| {
            format!("cannot load the system call filter: {error}\nhelp: run without one: chronyd -F 0")
        };
        let architecture =
            std::env::consts::ARCH.try_into().map_err(|error| failed(&format!("{error:?}")))?;
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, architecture)
            .map_err(|error| failed(&error))?;
        let program: seccompiler::BpfProgram =
            filter.try_into().map_err(|error: seccompiler::BackendError| failed(&error))?;
        seccompiler::apply_filter_all_threads(&program).map_err(|error| failed(&error))?;
        self.log.say(&Happened::FilterLoaded { level });
        Ok(())
    }
}

/// `sched_priority`, `-P`, `lock_all`, `-m`: what needs the rights that are given up next, and what the process that holds the
/// clock has too. That it could not be had is said; the clock is kept all the same.
pub(super) fn take_resources(options: &Options, settings: &Settings, log: &mut Log) {
    let mut trouble = |what: String| log.say(&Happened::Trouble { what });
    let priority = options.priority.unwrap_or(settings.sched_priority);
    if priority > 0
        && let Err(error) = sys::schedule::real_time(priority)
    {
        trouble(format!("Could not set scheduling priority {priority}: {error}"));
    }
    if locks_memory(options, settings)
        && let Err(error) = sys::schedule::lock_memory()
    {
        trouble(format!("Could not lock memory: {error}"));
    }
}

fn locks_memory(options: &Options, settings: &Settings) -> bool {
    options.lock_memory || settings.lock_all
}

/// The clock that is disciplined. The kernel's is held by a process of its own, except with `-d`: who looks for a mistake wants
/// one process, and a simulator that replaces the C library's calls cannot follow into another one.
pub(super) fn take_clock(
    options: &Options,
    settings: &Settings,
    user: Option<&User>,
    may_not_set: bool,
    rtc: Option<&Rtc>,
    log: &mut Log,
) -> Result<DaemonClock, String> {
    if options.once != Once::No {
        return DaemonClock::beside(None).map_err(|error| error.to_string());
    }
    let mut split = || {
        let link = Link::start(Start {
            rehearsal: may_not_set,
            user: user.map(|user| user.name.as_str()),
            limits: Limits { drift_ppm: settings.max_drift, slew_ppm: settings.max_slew_rate },
            locked: locks_memory(options, settings),
            rtc: rtc.filter(|_| !may_not_set).map(Rtc::device),
        })
        .map_err(|error| format!("cannot start the process that holds the clock: {error}"))?;
        if let Some(pid) = link.id() {
            log.say(&Happened::Split { pid });
        }
        Ok::<Box<dyn Holder>, String>(Box::new(link))
    };
    if may_not_set {
        let rehearsal = if options.split { Some(split()?) } else { None };
        return DaemonClock::beside(rehearsal).map_err(|error| error.to_string());
    }
    let holder: Box<dyn Holder> = if options.split || !options.debug {
        // Before a process is started for what nobody may do.
        sys::clock::may_set().map_err(|error| not_ours(&format!("the clock cannot be changed: {error}")))?;
        split()?
    } else {
        Box::new(Machine::default())
    };
    DaemonClock::kernel(holder).map_err(|error| not_ours(&error.to_string()))
}

fn not_ours(error: &str) -> String {
    format!("{error}\nhelp: to run without touching the clock: chronyd -x (or grant CAP_SYS_TIME)")
}

/// `-s`: the clock is set from the real-time clock; where that stands before the drift file's last writing, from the file's
/// age, so that time does not go back over a restart of a machine without a battery.
///
/// True when the real-time clock could be read and believed, so that `rtcfile` can say what is left.
pub(super) fn set_from_rtc(
    settings: &Settings,
    rtc: Option<&mut Rtc>,
    clock: &mut DaemonClock,
    log: &mut Log,
) -> bool {
    let now = clock.now().0;
    let shown = match rtc {
        Some(rtc) => rtc.shows(),
        None => sys::rtc::read(&settings.rtc.device)
            .map(|time| crate::rtc::seconds(time, crate::rtc::keeps_utc(settings))),
    };
    let rtc = match shown {
        Ok(shown) => shown,
        Err(error) => {
            let what = format!("Could not read RTC {}: {error}", settings.rtc.device.display());
            log.say(&Happened::Trouble { what });
            None
        }
    };
    // What `rtcfile` says of its error counts; it shows whole seconds, half a second old on average.
    let known = crate::rtc::stored(settings);
    let rtc = rtc.map(|shown| {
        let fast = known.map_or(0.0, |stored| stored.fast_at(shown));
        shown.saturating_mul(1_000_000_000).saturating_add(((0.5 - fast) * 1e9) as i64)
    });
    let modified =
        settings.drift_file.as_ref().and_then(|path| std::fs::metadata(path).ok()?.modified().ok());
    let drift = modified
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_nanos()).ok());
    let believed = rtc.is_some_and(|rtc| drift.is_none_or(|drift| drift <= rtc));
    let Some(wanted) = wanted(now, rtc, drift) else { return believed };
    match clock.step(wanted - now) {
        Ok(()) => log.say(&Happened::RtcRead { seconds: (wanted - now) as f64 * 1e-9 }),
        Err(error) => log.say(&Happened::ClockFailed { why: error.to_string() }),
    }
    believed
}

/// What the clock is set to; none when it stays.
fn wanted(now: i64, rtc: Option<i64>, drift: Option<i64>) -> Option<i64> {
    let latest = rtc.unwrap_or(now).max(now);
    match (rtc, drift) {
        (_, Some(drift)) if drift > latest => Some(drift),
        (Some(rtc), _) if (rtc - now).abs() > RTC_STEP_MIN => Some(rtc),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the real-time clock counts, unless the drift file was written later than both clocks say that it is.
    #[test]
    fn the_clock_is_set_from_what_is_latest() {
        for (now, rtc, drift, expected) in [
            (100, Some(200), None, Some(200)),
            (100, Some(50), Some(60), Some(50)),
            (100, Some(101), None, None),
            (100, Some(0), Some(500), Some(500)),
            (100, None, Some(500), Some(500)),
            (100, None, Some(50), None),
            (100, None, None, None),
        ] {
            let nanos = |seconds: Option<i64>| seconds.map(|seconds: i64| seconds * 1_000_000_000);
            assert_eq!(
                wanted(now * 1_000_000_000, nanos(rtc), nanos(drift)),
                nanos(expected),
                "{now} {rtc:?} {drift:?}"
            );
        }
    }
}
