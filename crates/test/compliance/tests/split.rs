//! The time daemon as two processes: what each of them may do, and that neither outlives the other.
//!
//! The clock process only rehearses here (`-x --split`): it is started, confined and asked as the real one is, and there is no
//! clock behind it.
#![forbid(unsafe_code)]

use compliance::{Chronyd, Side, TempDir, eventually, skip};
use std::os::unix::fs::{PermissionsExt, chown};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
/// Somebody whom every system has and who may nothing.
const USER: &str = "nobody";

/// Starts a daemon that becomes [`USER`], and finds the process that holds its clock; none without root, who alone can become
/// somebody.
fn start() -> Option<(Chronyd, u32)> {
    if sys::process::effective_uid() != 0 {
        skip("becoming another user takes root");
        return None;
    }
    let folder = TempDir::new();
    let user = sys::user::by_name(USER).expect("the users can be asked").expect("every system has it");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    chown(folder.path(), Some(user.uid), Some(user.gid)).expect("root may");
    let lines = format!("local stratum 3\nport 0\ncmdport 0\nuser {USER}");
    let daemon = Chronyd::start_as(folder, Side::Ours, &lines, |mut command| {
        command.arg("--split");
        command
    });
    let log = daemon.log();
    let told =
        log.split("The clock is held by process ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let clock = told.and_then(|pid| pid.parse().ok()).unwrap_or_else(|| panic!("no clock process: {log}"));
    Some((daemon, clock))
}

/// A line of `/proc/PID/status`; none when there is no such process, or it has ended and waits to be noticed.
fn status(pid: u32, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line =
            text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))?;
        Some(line.split_whitespace().skip(1).collect::<Vec<_>>().join(" "))
    };
    field(name).filter(|_| field("State").is_some_and(|state| !state.starts_with('Z')))
}

fn is_alive(pid: u32) -> bool {
    status(pid, "State").is_some()
}

/// Goal: whoever parses foreign packets has no right at all, and whoever holds the clock neither (here, where it may not be set)
/// and has no way to the network; neither can get one back.
#[test]
fn no_process_holds_more_than_it_needs() {
    let Some((daemon, clock)) = start() else { return };
    let uid = sys::user::by_name(USER).expect("the users can be asked").expect("every system has it").uid;
    let all = format!("{uid} {uid} {uid} {uid}");
    let net = daemon.process().id();
    // The last rights go right before the loop.
    let settled = eventually(PATIENCE, || status(net, "NoNewPrivs").as_deref() == Some("1"));
    assert!(settled, "{}", daemon.log());
    for pid in [net, clock] {
        assert_eq!(status(pid, "Uid").as_deref(), Some(all.as_str()));
        for set in ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"] {
            assert_eq!(status(pid, set).as_deref(), Some("0000000000000000"), "{set} of {pid}");
        }
        assert_eq!(status(pid, "NoNewPrivs").as_deref(), Some("1"));
    }
    assert_eq!(status(clock, "Seccomp").as_deref(), Some("2"));
    let open: Vec<_> =
        std::fs::read_dir(format!("/proc/{clock}/fd")).expect("root may look").flatten().collect();
    let names: Vec<_> = open.iter().filter_map(|one| std::fs::read_link(one.path()).ok()).collect();
    let sockets = names.iter().filter(|name| name.to_string_lossy().starts_with("socket:")).count();
    // Its line twice: as standard input, and as what it reads.
    assert!(sockets == 2 && names.len() == 4, "{names:?}");
}

/// Goal: a daemon whose clock process was killed ends with an error and says why, so that it is started again.
#[test]
fn the_daemon_ends_with_its_clock_process() {
    let Some((mut daemon, clock)) = start() else { return };
    sys::signal::send(clock, sys::signal::KILL).expect("it runs");
    let mut code = None;
    let ended = eventually(PATIENCE, || {
        code = daemon.process_mut().0.try_wait().expect("it is ours").map(|status| status.code());
        code.is_some()
    });
    assert!(ended && code == Some(Some(1)), "{code:?}: {}", daemon.log());
    assert!(daemon.log().contains("The process that holds the clock has ended"), "{}", daemon.log());
    assert!(!daemon.folder().join("pid").exists());
}

/// Goal: a clock process does not outlive its daemon, however that ends, and does not go before it when both are told to.
#[test]
fn the_clock_process_ends_with_its_daemon() {
    let Some((mut killed, clock)) = start() else { return };
    killed.process_mut().kill();
    assert!(eventually(PATIENCE, || !is_alive(clock)));
    let Some((mut ended, clock)) = start() else { return };
    for signal in [sys::signal::TERM, sys::signal::INT, sys::signal::HUP] {
        sys::signal::send(clock, signal).expect("it runs");
    }
    assert_eq!(ended.process_mut().end(), Some(0), "{}", ended.log());
    assert!(ended.log().contains("chronyd exiting"), "{}", ended.log());
    assert!(!ended.log().contains("has ended"), "{}", ended.log());
    assert!(!is_alive(clock));
}
