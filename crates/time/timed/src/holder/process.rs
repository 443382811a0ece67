//! The clock process: gives up all but the right to set the clock, and then does what it is asked, within its limits.

use super::messages::{Limits, REFUSED, REQUEST_BYTES, Request, reply};
use super::{Holder, Machine, Rehearsal, Words};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use sys::calls;

/// All that its loop needs. Anything else fails with `EPERM`: nothing is opened, connected or started from here.
const ALLOWED: &[i64] = &[
    calls::READ,
    calls::WRITE,
    calls::RECVFROM,
    calls::SENDTO,
    calls::ADJTIMEX,
    calls::CLOCK_ADJTIME,
    calls::CLOCK_GETTIME,
    calls::FUTEX,
    calls::MMAP,
    calls::MUNMAP,
    calls::MADVISE,
    calls::BRK,
    calls::CLOSE,
    calls::SIGALTSTACK,
    calls::RT_SIGRETURN,
    calls::RESTART_SYSCALL,
    calls::EXIT,
    calls::EXIT_GROUP,
];
/// `EPERM`.
const FORBIDDEN: u32 = 1;

/// Runs it with the words behind [`super::CLOCK_PROCESS`], as [`super::Link::start`] gives them, until the line ends.
pub(crate) fn run(words: &[OsString]) -> ExitCode {
    sys::fd::close_inherited(3);
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let [mode, memory, drift_ppm, slew_ppm, rtc, user] = words.as_slice() else {
        eprintln!("chronyd: the clock process is started by chronyd alone");
        return ExitCode::FAILURE;
    };
    let (Ok(drift_ppm), Ok(slew_ppm)) = (drift_ppm.parse(), slew_ppm.parse()) else {
        eprintln!("chronyd: the clock process has no limits");
        return ExitCode::FAILURE;
    };
    let limits = Limits { drift_ppm, slew_ppm };
    let holds = *mode == "set";
    let socket = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(socket) => UnixStream::from(socket),
        Err(error) => return failed(&error.to_string()),
    };
    // The device came as standard output, of which there is no other use here.
    let rtc = match (*rtc == "rtc").then(|| io::stdout().as_fd().try_clone_to_owned()).transpose() {
        Ok(rtc) => rtc,
        Err(error) => return failed(&error.to_string()),
    };
    if *memory == "locked" {
        // The daemon has said already what it could not lock.
        let _ = sys::schedule::lock_memory();
    }
    if let Err(error) = confine(Some(*user).filter(|user| !user.is_empty()), holds, rtc.is_some()) {
        return failed(&error);
    }
    if holds {
        serve(socket, &mut Machine { rtc }, &limits)
    } else {
        serve(socket, &mut Rehearsal, &limits)
    }
    ExitCode::SUCCESS
}

fn failed(error: &str) -> ExitCode {
    eprintln!("chronyd: the clock process cannot start: {error}");
    ExitCode::FAILURE
}

/// What is given up, in this order; `holds`: all but the right to set the clock, else all; `rtc`: it may set the real-time clock.
fn confine(user: Option<&str>, holds: bool, rtc: bool) -> Result<(), String> {
    // The daemon ends it by ending: a service manager's signals come to both at once, and the daemon still has a slew to end.
    for signal in [sys::signal::TERM, sys::signal::INT, sys::signal::HUP, sys::signal::PIPE] {
        sys::signal::ignore(signal).map_err(|error| error.to_string())?;
    }
    std::env::set_current_dir("/").map_err(|error| error.to_string())?;
    sys::process::empty_bounding_set();
    if let Some(name) = user {
        let user = sys::user::by_name(name)
            .map_err(|error| error.to_string())?
            .ok_or_else(|| format!("there is no user {name}"))?;
        sys::process::keep_capabilities_over_user_change()
            .and_then(|()| sys::process::become_user(&user.name, user.uid, user.gid))
            .map_err(|error| format!("cannot become user {name}: {error}"))?;
    }
    let kept: &[u32] = if holds { &[sys::process::CAP_SYS_TIME] } else { &[] };
    sys::process::keep_capabilities(kept).map_err(|error| format!("cannot drop capabilities: {error}"))?;
    sys::process::no_new_privileges().map_err(|error| error.to_string())?;
    filter(rtc).map_err(|error| format!("cannot load the system call filter: {error}"))
}

fn filter(rtc: bool) -> Result<(), String> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.iter().filter(|number| **number >= 0).map(|number| (*number, Vec::new())).collect();
    if rtc {
        // Of all that devices can be asked, to be set.
        let set = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, sys::rtc::SET_REQUEST);
        let rule = set.and_then(|set| SeccompRule::new(vec![set])).map_err(|error| error.to_string())?;
        rules.insert(calls::IOCTL, vec![rule]);
    }
    let architecture = std::env::consts::ARCH.try_into().map_err(|error| format!("{error:?}"))?;
    let filter =
        SeccompFilter::new(rules, SeccompAction::Errno(FORBIDDEN), SeccompAction::Allow, architecture)
            .map_err(|error| error.to_string())?;
    let program: seccompiler::BpfProgram =
        filter.try_into().map_err(|error: seccompiler::BackendError| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}

/// Grants what may be granted until the line ends; then nobody is left who could end a slew, so it is ended here.
pub(super) fn serve(mut socket: UnixStream, clock: &mut dyn Holder, limits: &Limits) {
    let mut in_force = None;
    let mut bytes = [0; REQUEST_BYTES];
    while socket.read_exact(&mut bytes).is_ok() {
        let result = match Request::from_bytes(&bytes, limits, sys::clock::realtime_ns()) {
            Some(request) => grant(request, clock, &mut in_force),
            None => Err(io::Error::from_raw_os_error(REFUSED)),
        };
        if socket.write_all(&reply(&result)).is_err() {
            break;
        }
    }
    if let Some((words, rest)) = in_force
        && words != rest
    {
        // Who could be told that this failed is gone.
        let _ = clock.set_frequency(rest, rest);
    }
}

fn grant(
    request: Request,
    clock: &mut dyn Holder,
    in_force: &mut Option<(Words, Words)>,
) -> io::Result<Words> {
    match request {
        Request::TakeOver => return clock.take_over(),
        Request::Frequency { words, rest } => {
            clock.set_frequency(words, rest)?;
            *in_force = Some((words, rest));
        }
        Request::Step { nanos } => clock.step(nanos)?,
        Request::Status(status) => clock.set_status(status)?,
        Request::Leap { direction, tai_offset } => clock.set_leap(direction, tai_offset)?,
        Request::RealTimeClock(time) => clock.set_rtc(time)?,
    }
    Ok(Words::NONE)
}

#[cfg(test)]
mod tests {
    use super::super::link::Link;
    use super::super::messages::REPLY_BYTES;
    use super::super::{ERROR_USEC_MAX, KernelStatus};
    use super::*;
    use std::sync::{Arc, Mutex};

    const LIMITS: Limits = Limits { drift_ppm: 1_000.0, slew_ppm: 83_333.0 };

    /// What a simulated kernel was told, in order.
    #[derive(Debug, Clone, Default)]
    struct Simulated {
        told: Arc<Mutex<Vec<String>>>,
        refuses: bool,
    }

    impl Simulated {
        fn note(&self, what: String) -> io::Result<()> {
            if self.refuses {
                return Err(io::Error::from_raw_os_error(1));
            }
            self.told.lock().unwrap().push(what);
            Ok(())
        }

        fn told(&self) -> Vec<String> {
            self.told.lock().unwrap().clone()
        }
    }

    impl Holder for Simulated {
        fn take_over(&mut self) -> io::Result<Words> {
            self.note("take over".to_owned()).map(|()| Words { units: -655_360, tick_usec: 10_001 })
        }

        fn set_frequency(&mut self, words: Words, _rest: Words) -> io::Result<()> {
            self.note(format!("frequency {} {}", words.units, words.tick_usec))
        }

        fn step(&mut self, nanos: i64) -> io::Result<()> {
            self.note(format!("step {nanos}"))
        }

        fn set_status(&mut self, status: KernelStatus) -> io::Result<()> {
            self.note(format!(
                "status {} {} {}",
                status.synced, status.max_error_usec, status.estimated_error_usec
            ))
        }

        fn set_leap(&mut self, direction: i32, tai_offset: Option<i32>) -> io::Result<()> {
            self.note(format!("leap {direction} {tai_offset:?}"))
        }

        fn set_rtc(&mut self, time: sys::rtc::RtcTime) -> io::Result<()> {
            self.note(format!("rtc {}", sys::rtc::from_utc(time)))
        }
    }

    /// What `clock` was told while `ask` had the daemon's end of the line; the process's end is waited for.
    fn told(clock: Simulated, ask: impl FnOnce(UnixStream)) -> Vec<String> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut held = clock.clone();
        let process = std::thread::spawn(move || serve(theirs, &mut held, &LIMITS));
        ask(ours);
        process.join().unwrap();
        clock.told()
    }

    /// Goal: each verb arrives with its arguments, and its result comes back.
    #[test]
    fn every_verb_is_done_and_answered() {
        let told = told(Simulated::default(), |line| {
            let mut link = Link::over(line).unwrap();
            assert_eq!(link.take_over().unwrap(), Words { units: -655_360, tick_usec: 10_001 });
            link.set_frequency(Words::new(-12.5), Words::new(-12.5)).unwrap();
            link.step(-1_500_000_000).unwrap();
            link.set_status(KernelStatus::new(Some(0.25), 1e-3, true)).unwrap();
            link.set_status(KernelStatus::new(None, 0.0, false)).unwrap();
            link.set_leap(1, Some(37)).unwrap();
            link.set_leap(-1, None).unwrap();
            link.set_leap(0, None).unwrap();
            link.set_rtc(sys::rtc::to_utc(1_795_364_254)).unwrap();
        });
        let expected = [
            "take over",
            "frequency -819200 10000",
            "step -1500000000",
            "status true 250000 1000",
            "status false 16000000 16000000",
            "leap 1 Some(37)",
            "leap -1 None",
            "leap 0 None",
            "rtc 1795364254",
        ];
        assert_eq!(told, expected);
    }

    /// Goal: what the kernel refuses is told with the kernel's reason, and the next request is served.
    #[test]
    fn what_the_kernel_refuses_is_told() {
        let told = told(Simulated { refuses: true, ..Simulated::default() }, |line| {
            let mut link = Link::over(line).unwrap();
            for _ in 0..2 {
                assert_eq!(link.step(1).unwrap_err().raw_os_error(), Some(1));
            }
        });
        assert_eq!(told, [""; 0]);
    }

    /// Goal: whatever the daemon's end sends, a request beyond the limits or no request at all does nothing to the clock, is
    /// answered with EINVAL, and the next good one is served.
    #[test]
    fn garbage_does_nothing() {
        let now = sys::clock::realtime_ns();
        let too_much = [
            // No such verb, and a verb with something where nothing stands.
            [0, 0, 0, 0, 0, 0],
            [6, 0, 0, 0, 0, 0],
            [-1, i64::MIN, i64::MAX, -1, -1, -1],
            [1, 1, 0, 0, 0, 0],
            [3, 1, 0, 0, 0, 1],
            [4, 1, 0, 0, 1, 0],
            [5, 1, 0, 37, 0, 0],
            // A frequency word and a tick that no kernel takes, and numbers made to overflow.
            [2, 500 * 65_536 + 1, 10_000, 0, 10_000, 0],
            [2, 0, 8_999, 0, 10_000, 0],
            [2, 0, 11_001, 0, 10_000, 0],
            [2, i64::MIN, 10_000, i64::MIN, 10_000, 0],
            [2, 0, i64::MAX, 0, i64::MIN, 0],
            [2, 1 << 32, 10_000, 0, 10_000, 0],
            // An oscillator beyond maxdrift, a slew beyond maxslewrate.
            [2, 0, 10_011, 0, 10_011, 0],
            [2, 0, 10_834, 0, 10_000, 0],
            [2, 0, 9_166, 0, 10_000, 0],
            // Steps out of the years that a clock can show.
            [3, -now - 60_000_000_000, 0, 0, 0, 0],
            [3, i64::MAX, 0, 0, 0, 0],
            [3, i64::MIN, 0, 0, 0, 0],
            [3, 7_258_118_400_000_000_000 - now + 60_000_000_000, 0, 0, 0, 0],
            // Errors beyond what means "unknown", and a flag that is none.
            [4, 2, 1, 1, 0, 0],
            [4, 1, -1, 1, 0, 0],
            [4, 1, 1, ERROR_USEC_MAX as i64 + 1, 0, 0],
            [4, 1, i64::MAX, 1, 0, 0],
            // Moments that there are not: in 1969, in February, at 24 o'clock.
            [6, 19_691_231, 0, 0, 0, 0],
            [6, 20_260_230, 0, 0, 0, 0],
            [6, 20_260_101, 240_000, 0, 0, 0],
            [6, i64::MAX, i64::MIN, 0, 0, 0],
            // Two leap seconds at once, and a TAI that nobody has.
            [5, 2, 0, 0, 0, 0],
            [5, -2, 0, 0, 0, 0],
            [5, 1, 1, 256, 0, 0],
            [5, 1, 1, -1, 0, 0],
            [5, 1, 2, 37, 0, 0],
        ];
        let told = told(Simulated::default(), |mut line| {
            for numbers in too_much {
                let bytes: Vec<u8> = numbers.iter().flat_map(|number: &i64| number.to_ne_bytes()).collect();
                line.write_all(&bytes).unwrap();
                let mut reply = [0; REPLY_BYTES];
                line.read_exact(&mut reply).unwrap();
                assert_eq!(reply[..8], i64::from(REFUSED).to_ne_bytes(), "{numbers:?}");
                assert_eq!(reply[8..], [0; 16], "{numbers:?}");
            }
            // Random numbers of every size, none of which is a request: the first one is never a verb.
            let mut state = 1u64;
            for _ in 0..2_000 {
                let bytes: Vec<u8> = (0..REQUEST_BYTES)
                    .map(|index| {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (state >> 56) as u8 | u8::from(index == 7)
                    })
                    .collect();
                line.write_all(&bytes).unwrap();
                line.read_exact(&mut [0; REPLY_BYTES]).unwrap();
            }
            Link::over(line).unwrap().set_leap(0, None).unwrap();
        });
        assert_eq!(told, ["leap 0 None"]);
    }

    /// Goal: half a request before the end of the line does nothing.
    #[test]
    fn half_a_request_does_nothing() {
        let told = told(Simulated::default(), |mut line| {
            line.write_all(&3i64.to_ne_bytes()).unwrap();
            line.write_all(&1_000_000_000i64.to_ne_bytes()).unwrap();
        });
        assert_eq!(told, [""; 0]);
    }

    /// Goal: a daemon that is gone in the middle of a slew leaves the clock with what the oscillator needs, and one that ended
    /// its slew, or never set a rate, leaves nothing to do.
    #[test]
    fn the_end_of_the_line_ends_a_slew() {
        let check = |rates: &[(f64, f64)], expected: &[&str]| {
            let told = told(Simulated::default(), |line| {
                let mut link = Link::over(line).unwrap();
                for (ppm, rest) in rates {
                    link.set_frequency(Words::new(*ppm), Words::new(*rest)).unwrap();
                }
            });
            assert_eq!(told, expected, "{rates:?}");
        };
        check(&[], &[]);
        check(&[(10.0, 10.0)], &["frequency 655360 10000"]);
        check(&[(83_310.0, 10.0)], &["frequency 655360 10833", "frequency 655360 10000"]);
        check(&[(20.0, 10.0), (10.0, 10.0)], &["frequency 1310720 10000", "frequency 655360 10000"]);
        check(
            &[(10.0, 10.0), (-500.0, 10.0)],
            &["frequency 655360 10000", "frequency -32768000 10000", "frequency 655360 10000"],
        );
    }

    /// Goal: a clock process that is gone is an error for every request, at once, and its lifeline says so.
    #[test]
    fn the_end_of_the_process_is_seen() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut link = Link::over(ours).unwrap();
        drop(theirs);
        let mut ready = Vec::new();
        let wanted = [(link.lifeline().unwrap(), sys::poll::Interest::READ)];
        sys::poll::poll(&wanted, &mut ready, Some(std::time::Duration::ZERO)).unwrap();
        assert!(ready.iter().all(|one| one.readable), "{ready:?}");
        for _ in 0..2 {
            let error = link.step(1).unwrap_err().to_string();
            assert!(error.contains("has ended"), "{error}");
        }
    }
}
