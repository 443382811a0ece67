//! `banto status`: how the house is.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use house_status::{HouseStatus, Part, bound_text, seconds_text};
use serde_json::{Value, json};

use crate::command_line::Given;
use crate::texts::{Texts, fill};

/// What `up` says about itself, below the house.
pub const UP_FILE: &str = "run/up.json";

/// Locked as long as a house is up.
pub const LOCK_FILE: &str = "run/up.lock";

/// How long each daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Shows the status; the exit code is 0 when every daemon answered.
pub fn run(given: &Given, as_json: bool) -> ExitCode {
    if !require_house(given) {
        return ExitCode::FAILURE;
    }
    let house = house_status::look(&given.layout(), PATIENCE);
    let control_clock = controls_clock(&given.dir);
    if as_json {
        let mut value = serde_json::to_value(&house).unwrap_or(Value::Null);
        value["control_clock"] = json!(control_clock);
        println!("{value:#}");
    } else {
        print!("{}", text(given.texts, &house, control_clock));
    }
    if house.all_up() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether a house is up in the directory; says so when not.
pub fn require_house(given: &Given) -> bool {
    if is_up(&given.dir) {
        return true;
    }
    let dir_option =
        given.typed_dir.as_ref().map_or(String::new(), |dir| format!(" --dir {}", dir.display()));
    // Nobody said where, and there is none where one is looked for by itself: it is likely elsewhere.
    let nowhere = given.typed_dir.is_none() && !given.dir.exists();
    let help = if nowhere { given.texts.no_house_help_where } else { given.texts.no_house_help };
    given.complain(
        &fill(given.texts.no_house, &[("dir", &given.dir.display())]),
        Some(&fill(help, &[("dir_option", &dir_option)])),
    );
    false
}

/// Whether somebody holds the house's lock.
pub fn is_up(dir: &Path) -> bool {
    match std::fs::File::open(dir.join(LOCK_FILE)) {
        Ok(file) => sys::file::flock_exclusive(&file, false).is_err(),
        // Another user's house: the lock is its owner's alone, its sockets tell the rest.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => dir.join(UP_FILE).exists(),
        Err(_) => false,
    }
}

/// Whether the house was started with `--control-clock`.
pub fn controls_clock(dir: &Path) -> bool {
    let text = std::fs::read_to_string(dir.join(UP_FILE)).unwrap_or_default();
    serde_json::from_str::<Value>(&text).is_ok_and(|up| up["control_clock"] == json!(true))
}

/// One line a daemon, with its name: what it listens on and where it keeps its data.
pub fn service_lines(given: &Given) -> Vec<(&'static str, String)> {
    let texts = given.texts;
    let dir = &given.dir;
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
    let below = |name: &str| dir.join(name).display().to_string();
    let chrony = read("etc/chrony.conf");
    let port = |word: &str, default: u16| {
        let found = chrony
            .lines()
            .filter_map(|line| line.trim().strip_prefix(word))
            .find_map(|rest| rest.trim().parse().ok());
        found.unwrap_or(default)
    };
    // What a daemon does not say, it does not listen on.
    let listens = |part: &str| {
        let list = house_status::part(&given.layout(), part, PATIENCE).listening();
        if list.is_empty() { "-".to_owned() } else { list.join(", ") }
    };
    let settings = banto_conf::parse(&read("etc/banto.toml")).unwrap_or_default();
    let time = fill(
        texts.service_time,
        &[
            ("ntp", &format!("127.0.0.1:{}", port("port ", 123))),
            ("command", &format!("127.0.0.1:{}", port("cmdport ", 323))),
            ("socket", &below("run/chronyd.sock")),
            ("state", &below("state")),
        ],
    );
    let log = fill(
        texts.service_log,
        &[
            ("syslog", &listens("logd")),
            ("socket", &below("run/dev-log")),
            ("journal", &below("log/journal")),
            ("files", &below("log")),
        ],
    );
    let mail = fill(
        texts.service_mail,
        &[
            ("smtp", &listens("maild")),
            ("socket", &below("run/submission.sock")),
            ("mail", &below("mail")),
            ("spool", &below("spool")),
        ],
    );
    let alerts = fill(
        texts.service_alerts,
        &[("rules", &settings.rules.len()), ("file", &below("etc/banto.toml")), ("state", &below("state"))],
    );
    let web = fill(texts.service_web, &[("web", &settings.web_listen)]);
    vec![("timed", time), ("logd", log), ("maild", mail), ("alertd", alerts), ("webd", web)]
}

/// The live line.
pub fn one_line(texts: &Texts, house: &HouseStatus) -> String {
    let down: Vec<&str> = [
        ("timed", house.clock.up),
        ("logd", house.log.up),
        ("maild", house.mail.up),
        ("alertd", house.alerts.up),
        ("webd", house.web.up),
    ]
    .iter()
    .filter(|(_, up)| !up)
    .map(|(name, _)| *name)
    .collect();
    if !down.is_empty() {
        return fill(texts.line_down, &[("names", &down.join(", "))]);
    }
    let clock = match (house.clock.offset_seconds, house.clock.error_bound_seconds) {
        (Some(offset), Some(bound)) => format!("{} +/- {}", seconds_text(offset), bound_text(bound)),
        _ if house.clock.own_clock_only => fill(texts.line_own_clock, &[("stratum", &house.clock.stratum)]),
        _ if house.clock.sources.is_empty() && !house.clock.unresolved.is_empty() => {
            fill(texts.line_unresolved, &[("names", &house.clock.unresolved.join(", "))])
        }
        _ => fill(texts.line_unsynchronised, &[("sources", &house.clock.sources.len())]),
    };
    let (kept, lost) = house.log.kept_and_lost();
    let mut line = fill(
        texts.line,
        &[
            ("clock", &clock),
            ("kept", &kept),
            ("lost", &lost),
            ("queue", &house.mail.queued()),
            ("fired", &house.alerts.number("fired")),
            ("suppressed", &house.alerts.number("suppressed")),
        ],
    );
    let unsent = house.alerts.unsent();
    if unsent.is_trouble() {
        line.push_str(&fill(texts.line_unsent, &[("waiting", &unsent.waiting), ("failed", &unsent.failed)]));
    }
    line
}

/// The whole status as text.
fn text(texts: &Texts, house: &HouseStatus, control_clock: bool) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    let dir = house.dir.clone().unwrap_or_default();
    line(fill(texts.status_house, &[("host", &house.host), ("dir", &dir)]));
    clock_lines(texts, house, &mut line);
    line((if control_clock { texts.status_clock_set } else { texts.status_clock_measured }).to_owned());
    let down = |name: &str, part: &Part| {
        fill(texts.status_part_down, &[("name", &name), ("error", &part.error.clone().unwrap_or_default())])
    };
    if house.log.up {
        let (kept, lost) = house.log.kept_and_lost();
        line(fill(texts.status_log, &[("kept", &kept), ("lost", &lost)]));
        for input in house.log.inputs() {
            line(fill(
                texts.status_input,
                &[("name", &input.name), ("kept", &input.kept), ("lost", &input.lost)],
            ));
        }
    } else {
        line(down("logd", &house.log));
    }
    if house.mail.up {
        line(fill(texts.status_mail, &[("queue", &house.mail.queued())]));
        line(match house.mail.last_delivery() {
            Some(last) => {
                let ago = bound_text(last.seconds_ago().max(0.001));
                fill(texts.status_last_delivery, &[("to", &last.to), ("status", &last.status), ("ago", &ago)])
            }
            None => texts.status_no_delivery.to_owned(),
        });
    } else {
        line(down("maild", &house.mail));
    }
    if house.alerts.up {
        let [fired, suppressed] = ["fired", "suppressed"].map(|name| house.alerts.number(name));
        line(fill(texts.status_alerts, &[("fired", &fired), ("suppressed", &suppressed)]));
        let unsent = house.alerts.unsent();
        if unsent.waiting > 0 {
            let reason = unsent.waiting_because.as_deref().unwrap_or(texts.status_alerts_untried);
            line(fill(texts.status_alerts_waiting, &[("waiting", &unsent.waiting), ("reason", &reason)]));
        }
        if unsent.failed > 0 {
            let reason = unsent.failed_because.as_deref().unwrap_or("journalctl BANTO_EVENT=alert.refused");
            line(fill(texts.status_alerts_failed, &[("failed", &unsent.failed), ("reason", &reason)]));
        }
        let rules = house.alerts.status.as_ref().map(|status| status["rules"].clone()).unwrap_or_default();
        for rule in rules.as_array().into_iter().flatten() {
            let count = |name: &str| rule[name].as_u64().unwrap_or(0);
            let name = rule["name"].as_str().unwrap_or("?");
            let values: [(&str, &dyn std::fmt::Display); 4] = [
                ("name", &name),
                ("matched", &count("matched")),
                ("fired", &count("fired")),
                ("suppressed", &count("suppressed")),
            ];
            line(fill(texts.status_rule, &values));
        }
    } else {
        line(down("alertd", &house.alerts));
    }
    match house.web.status.as_ref().and_then(|status| status["listen"].as_str()) {
        Some(address) => line(fill(texts.status_web, &[("address", &address)])),
        None => line(down("webd", &house.web)),
    }
    let bad_input = house.bad_input();
    if !bad_input.is_empty() {
        line(texts.status_bad_input.to_owned());
    }
    for bad in bad_input {
        let values: [(&str, &dyn std::fmt::Display); 4] = [
            ("daemon", &bad.daemon),
            ("way", &bad.way),
            ("malformed", &bad.malformed),
            ("refused", &bad.refused),
        ];
        line(fill(texts.status_bad_input_of, &values));
    }
    out
}

fn clock_lines(texts: &Texts, house: &HouseStatus, line: &mut impl FnMut(String)) {
    let clock = &house.clock;
    match (&clock.error, &clock.reference, clock.offset_seconds, clock.error_bound_seconds) {
        (Some(error), ..) => line(fill(texts.status_clock_down, &[("error", error)])),
        (None, Some(reference), Some(offset), Some(bound)) => {
            let values: [(&str, &dyn std::fmt::Display); 4] = [
                ("offset", &seconds_text(offset)),
                ("bound", &bound_text(bound)),
                ("reference", reference),
                ("stratum", &clock.stratum),
            ];
            line(fill(texts.status_clock_followed, &values));
        }
        _ if clock.own_clock_only => line(fill(texts.status_clock_own, &[("stratum", &clock.stratum)])),
        _ => line(texts.status_clock_unsynchronised.to_owned()),
    }
    // A bound that the kernel has from a daemon with no source is none.
    if let Some(kernel) = clock.kernel.filter(|kernel| !(clock.own_clock_only && kernel.synchronised)) {
        let bound = bound_text(kernel.max_error_usec as f64 / 1e6);
        line(match kernel.synchronised {
            true => fill(texts.status_kernel_synced, &[("bound", &bound)]),
            false => texts.status_kernel_unsynced.to_owned(),
        });
    }
    if !clock.up {
        return;
    }
    let is_none = clock.sources.is_empty() && clock.unresolved.is_empty();
    line((if is_none { texts.status_no_sources } else { texts.status_sources }).to_owned());
    for name in &clock.unresolved {
        line(fill(texts.status_source_unresolved, &[("name", name)]));
    }
    for source in &clock.sources {
        if source.reachability == 0 && source.stratum == 0 {
            line(fill(texts.status_source_silent, &[("address", &source.label())]));
            continue;
        }
        let known = texts.source_states.iter().find(|(state, _)| *state == source.state);
        let state = known.map_or(source.state, |(_, shown)| shown);
        let values: [(&str, &dyn std::fmt::Display); 6] = [
            ("address", &source.label()),
            ("state", &state),
            ("stratum", &source.stratum),
            ("reach", &format!("{:o}", source.reachability)),
            ("offset", &seconds_text(source.offset_seconds)),
            ("error", &bound_text(source.error_seconds)),
        ];
        line(fill(texts.status_source, &values));
    }
}
