//! `banto doctor`: a nonce through the whole chain, one line a link.

use std::io::{Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use house_status::bound_text;
use journal_file::{Filter, Journal};
use serde::Serialize;
use serde_json::{Value, json};

use crate::command_line::Given;
use crate::status::{controls_clock, require_house};
use crate::texts::{Texts, fill};

/// How long each link may take.
const LINK_PATIENCE: Duration = Duration::from_secs(10);

/// How long a daemon may take for one answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked again where nothing wakes us.
const LOOK_AGAIN: Duration = Duration::from_millis(3);

/// How much of a mailbox's end is searched for the nonce: more than one mail.
const MAILBOX_TAIL_BYTES: u64 = 4 * 1024 * 1024;

/// How a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It holds.
    Ok,
    /// It holds, and something should be known.
    Warning,
    /// It is broken.
    Broken,
    /// It was not tried, because one before it is broken.
    NotTried,
}

/// One link of the chain.
#[derive(Debug, Clone, Serialize)]
pub struct Link {
    /// Its name, the same in every language.
    pub name: &'static str,
    /// How it is.
    pub health: Health,
    /// How long it took, milliseconds.
    pub ms: f64,
    /// What was seen, or why it is broken.
    pub detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// The names of the links in JSON, in the order of the texts.
const NAMES: [&str; 7] =
    ["clock", "log_record", "journal", "alert", "mail_accepted", "mailbox", "delivery_record"];

/// What the whole examination found.
#[derive(Debug, Clone, Serialize)]
pub struct Findings {
    /// The nonce that went through.
    pub nonce: String,
    /// All links hold (with `--strict`: without a warning).
    pub ok: bool,
    /// From the first link to the last, milliseconds.
    pub ms: f64,
    /// The links in order.
    pub links: Vec<Link>,
}

/// Examines the house and tells what was found.
pub fn run(given: &Given, as_json: bool, strict: bool) -> ExitCode {
    if !require_house(given) {
        return ExitCode::FAILURE;
    }
    let texts = given.texts;
    let nonce = format!("{:016x}", sys::random::u64());
    if !as_json {
        println!("{}", fill(texts.doctor_title, &[("nonce", &nonce)]));
    }
    let findings = examine(given, &nonce, strict, |link| {
        if !as_json {
            print!("{}", link_text(texts, link));
        }
    });
    if as_json {
        println!("{:#}", json!(findings));
    } else {
        println!("{}", verdict(texts, &findings));
    }
    if findings.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Why a link is broken: what was seen, and what to do.
struct Broken {
    detail: String,
    help: String,
}

/// A link that holds: what was seen, and perhaps a warning with what to do.
struct Held {
    detail: String,
    warning: Option<String>,
}

impl Held {
    fn with(detail: String) -> Self {
        Self { detail, warning: None }
    }
}

/// Sends the nonce through the chain; each link is told as soon as it is known.
pub fn examine(given: &Given, nonce: &str, strict: bool, mut tell: impl FnMut(&Link)) -> Findings {
    let started = Instant::now();
    let mut chain = Chain { given, nonce, alert_id: String::new(), delivery: None };
    let steps: [Step; 7] = [
        |chain| chain.clock(),
        |chain| chain.log(),
        |chain| chain.journal(),
        |chain| chain.alert(),
        |chain| chain.accepted(),
        |chain| chain.mailbox(),
        |chain| chain.recorded(),
    ];
    let mut links = Vec::new();
    let mut broken = false;
    for (name, step) in NAMES.into_iter().zip(steps) {
        let link = if broken {
            Link { name, health: Health::NotTried, ms: 0.0, detail: String::new(), help: None }
        } else {
            let begun = Instant::now();
            let result = step(&mut chain);
            let ms = begun.elapsed().as_secs_f64() * 1e3;
            match result {
                Ok(held) => {
                    let health = if held.warning.is_some() { Health::Warning } else { Health::Ok };
                    Link { name, health, ms, detail: held.detail, help: held.warning }
                }
                // A time daemon that does not answer breaks no later link: they are tried all the same.
                Err(Broken { detail, help }) => {
                    broken = name != NAMES[0];
                    Link { name, health: Health::Broken, ms, detail, help: Some(help) }
                }
            }
        };
        tell(&link);
        links.push(link);
    }
    let ok = links.iter().all(|link| match link.health {
        Health::Ok => true,
        Health::Warning => !strict,
        Health::Broken | Health::NotTried => false,
    });
    Findings { nonce: nonce.to_owned(), ok, ms: started.elapsed().as_secs_f64() * 1e3, links }
}

/// What tries one link.
type Step = fn(&mut Chain<'_>) -> Result<Held, Broken>;

struct Chain<'a> {
    given: &'a Given,
    nonce: &'a str,
    alert_id: String,
    delivery: Option<Fields>,
}

/// The fields of a record that the chain looks at.
#[derive(Debug, Clone, Default)]
struct Fields {
    cursor: String,
    list: Vec<(String, String)>,
}

impl Fields {
    fn text(&self, name: &str) -> &str {
        self.list.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// What the clock lacks, and the help that fits.
fn why_not_synchronised(texts: &'static Texts, clock: &house_status::Clock) -> (String, &'static str) {
    let sources = clock.sources.len();
    let answering = clock.sources.iter().filter(|source| source.reachability != 0).count();
    let unreachable = texts.doctor_unreachable_help;
    if clock.own_clock_only {
        return (fill(texts.doctor_own_clock, &[("stratum", &clock.stratum)]), unreachable);
    }
    match (sources, answering) {
        (0, _) if clock.unresolved.is_empty() => (texts.doctor_no_source.to_owned(), unreachable),
        (0, _) => (fill(texts.doctor_unresolved, &[("names", &clock.unresolved.join(", "))]), unreachable),
        (_, 0) => (fill(texts.doctor_unreachable, &[("sources", &sources)]), unreachable),
        _ => {
            let values: [(&str, &dyn std::fmt::Display); 2] =
                [("answering", &answering), ("sources", &sources)];
            (fill(texts.doctor_unselected, &values), texts.doctor_unselected_help)
        }
    }
}

impl Chain<'_> {
    fn texts(&self) -> &'static Texts {
        self.given.texts
    }

    fn help(&self, text: &str) -> String {
        fill(text, &[("command", &self.given.command())])
    }

    fn timeout(&self) -> String {
        fill(self.texts().doctor_timeout, &[("seconds", &LINK_PATIENCE.as_secs())])
    }

    fn clock(&mut self) -> Result<Held, Broken> {
        let texts = self.texts();
        let clock = house_status::clock(&self.given.layout(), ANSWER_PATIENCE);
        if let Some(error) = clock.error {
            let help = fill(texts.doctor_clock_down_help, &[("command", &self.given.own_command())]);
            return Err(Broken { detail: fill(texts.doctor_clock_down, &[("error", &error)]), help });
        }
        match (&clock.reference, clock.error_bound_seconds) {
            (Some(reference), Some(bound)) => {
                let values: [(&str, &dyn std::fmt::Display); 2] =
                    [("reference", &reference), ("bound", &bound_text(bound))];
                let mut held = Held::with(fill(texts.doctor_synced, &values));
                // Whose clock a house sets, and well, is not called unsynchronised in every record without a word.
                let is_silent = clock.kernel.is_some_and(|kernel| !kernel.synchronised);
                if is_silent && controls_clock(&self.given.dir) {
                    let file = self.given.dir.join("etc/chrony.conf");
                    held.detail.push_str(texts.doctor_not_told);
                    held.warning =
                        Some(fill(texts.doctor_not_told_help, &[("file", &self.given.shown(&file))]));
                }
                Ok(held)
            }
            _ => {
                let file = self.given.dir.join("etc/chrony.conf");
                let values: [(&str, &dyn std::fmt::Display); 2] =
                    [("command", &self.given.command()), ("file", &self.given.shown(&file))];
                let (detail, help) = why_not_synchronised(texts, &clock);
                Ok(Held { detail, warning: Some(fill(help, &values)) })
            }
        }
    }

    fn log(&mut self) -> Result<Held, Broken> {
        let texts = self.texts();
        let socket_path = syslog_proto::native_socket(&self.given.layout());
        let mut datagram = Vec::new();
        for (name, value) in [
            ("MESSAGE", format!("banto doctor: {}", self.nonce).as_str()),
            ("PRIORITY", "6"),
            ("SYSLOG_FACILITY", "1"),
            ("SYSLOG_IDENTIFIER", "banto-doctor"),
            ("BANTO_DOCTOR", self.nonce),
        ] {
            syslog_proto::native::write_field(name, value.as_bytes(), &mut datagram);
        }
        let sent = UnixDatagram::unbound().and_then(|socket| {
            socket.set_write_timeout(Some(ANSWER_PATIENCE))?;
            socket.send_to(&datagram, &socket_path)
        });
        match sent {
            Ok(_) => {
                Ok(Held::with(fill(texts.doctor_logged, &[("socket", &self.given.shown(&socket_path))])))
            }
            Err(error) => Err(Broken {
                detail: format!("{}: {error}", self.given.shown(&socket_path)),
                help: fill(texts.doctor_log_help, &[("command", &self.given.own_command())]),
            }),
        }
    }

    fn journal(&mut self) -> Result<Held, Broken> {
        let texts = self.texts();
        let help = self.help(texts.doctor_found_help);
        let Some(record) = self.find(&[("BANTO_DOCTOR", self.nonce)]) else {
            return Err(Broken { detail: self.timeout(), help });
        };
        let quality = match (record.text("_CLOCK_SYNCED"), record.text("_CLOCK_ERROR_USEC").parse::<u64>()) {
            ("1", Ok(usec)) => format!("_CLOCK_SYNCED=1, {}", bound_text(usec as f64 / 1e6)),
            ("0" | "1", _) => format!("_CLOCK_SYNCED={}", record.text("_CLOCK_SYNCED")),
            _ => return Err(Broken { detail: texts.doctor_no_quality.to_owned(), help }),
        };
        // The sequence and the number are enough to name it here.
        let cursor: String =
            record.cursor.split(';').find(|part| part.starts_with("i=")).unwrap_or("?").to_owned();
        Ok(Held::with(fill(texts.doctor_found, &[("cursor", &cursor), ("quality", &quality)])))
    }

    fn alert(&mut self) -> Result<Held, Broken> {
        let texts = self.texts();
        let help = self.help(texts.doctor_fired_help);
        match self.wait_for_mail(|_| true) {
            Ok(mail) => {
                self.alert_id = mail["id"].as_str().unwrap_or_default().to_owned();
                let mut held = Held::with(fill(texts.doctor_fired, &[("id", &self.alert_id)]));
                let unsent = house_status::part(&self.given.layout(), "alertd", ANSWER_PATIENCE).unsent();
                // The doctor's own mail is on its way; it is no trouble until an attempt failed.
                let waiting = if unsent.waiting_because.is_some() { unsent.waiting } else { 0 };
                if let Some(reason) = unsent.waiting_because.as_ref().or(unsent.failed_because.as_ref()) {
                    let values: [(&str, &dyn std::fmt::Display); 3] =
                        [("waiting", &waiting), ("failed", &unsent.failed), ("reason", reason)];
                    held.detail.push_str(&fill(texts.doctor_unsent, &values));
                    held.warning = Some(help);
                }
                Ok(held)
            }
            Err(detail) => Err(Broken { detail, help }),
        }
    }

    fn accepted(&mut self) -> Result<Held, Broken> {
        let texts = self.texts();
        let help = self.help(texts.doctor_accepted_help);
        if let Err(detail) = self.wait_for_mail(|mail| mail["sent"] == json!(true)) {
            return Err(Broken { detail, help });
        }
        let alert_id = self.alert_id.clone();
        match self.find(&[("BANTO_EVENT", "mail.delivery"), ("BANTO_ALERT_ID", &alert_id)]) {
            Some(delivery) => {
                let detail = fill(texts.doctor_accepted, &[("id", &delivery.text("MAIL_QUEUE_ID"))]);
                self.delivery = Some(delivery);
                Ok(Held::with(detail))
            }
            None => Err(Broken { detail: self.timeout(), help }),
        }
    }

    fn mailbox(&mut self) -> Result<Held, Broken> {
        let texts = self.texts();
        let delivery = self.delivery.clone().unwrap_or_default();
        let mailbox = PathBuf::from(delivery.text("MAIL_MAILBOX"));
        let values: [(&str, &dyn std::fmt::Display); 2] =
            [("mailbox", &self.given.shown(&mailbox)), ("recipient", &delivery.text("MAIL_TO"))];
        let help = fill(texts.doctor_delivered_help, &values);
        if delivery.text("MAIL_STATUS") != "sent" || mailbox.as_os_str().is_empty() {
            return Err(Broken {
                detail: delivery.text("MESSAGE").to_owned(),
                help: self.help(texts.doctor_accepted_help),
            });
        }
        let end = Instant::now() + LINK_PATIENCE;
        loop {
            match holds(&mailbox, self.nonce) {
                Ok(true) => return Ok(Held::with(fill(texts.doctor_delivered, &values))),
                Ok(false) if Instant::now() < end => std::thread::sleep(LOOK_AGAIN),
                Ok(false) => {
                    return Err(Broken {
                        detail: format!("{}: {}", self.given.shown(&mailbox), self.timeout()),
                        help,
                    });
                }
                Err(error) => {
                    return Err(Broken { detail: format!("{}: {error}", self.given.shown(&mailbox)), help });
                }
            }
        }
    }

    fn recorded(&mut self) -> Result<Held, Broken> {
        let texts = self.texts();
        let delivery = self.delivery.clone().unwrap_or_default();
        let missing: Vec<&str> = ["MAIL_QUEUE_ID", "MAIL_TO", "MAIL_STATUS", "MAIL_DSN", "BANTO_ALERT_ID"]
            .into_iter()
            .filter(|name| delivery.text(name).is_empty())
            .collect();
        if !missing.is_empty() {
            return Err(Broken { detail: missing.join(", "), help: self.help(texts.doctor_recorded_help) });
        }
        let values: [(&str, &dyn std::fmt::Display); 2] =
            [("status", &delivery.text("MAIL_STATUS")), ("dsn", &delivery.text("MAIL_DSN"))];
        Ok(Held::with(fill(texts.doctor_recorded, &values)))
    }

    /// Waits until the alert daemon knows a mail for the nonce that is as wanted; the error says what it knows instead.
    fn wait_for_mail(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let layout = self.given.layout();
        let end = Instant::now() + LINK_PATIENCE;
        let mut error = String::new();
        while Instant::now() < end {
            let mails = house_status::ask(&layout, "alertd", "mails", Value::Null, ANSWER_PATIENCE)?;
            let mail = mails.as_array().into_iter().flatten().find(|mail| mail["nonce"] == json!(self.nonce));
            match mail {
                Some(mail) if wanted(mail) => return Ok(mail.clone()),
                Some(mail) => error = mail["error"].as_str().unwrap_or_default().to_owned(),
                None => {}
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Err(if error.is_empty() { self.timeout() } else { error })
    }

    /// Waits for a record with all of these fields.
    fn find(&self, fields: &[(&str, &str)]) -> Option<Fields> {
        find_record(&self.given.layout(), fields, LINK_PATIENCE)
    }
}

/// Waits for the first record with all of `fields`, at most `patience`.
fn find_record(layout: &layout::Layout, fields: &[(&str, &str)], patience: Duration) -> Option<Fields> {
    let end = Instant::now() + patience;
    loop {
        if let Ok(mut journal) = Journal::open_dir(&journal_file::journal_dir(layout)) {
            let mut filter = Filter::new();
            for (name, value) in fields {
                filter.add(format!("{name}={value}")).ok()?;
            }
            journal.set_filter(filter);
            loop {
                if let Some(position) = journal.next() {
                    let mut found = Fields { cursor: position.cursor().to_string(), list: Vec::new() };
                    let read = journal.for_each_field(&position, |payload| {
                        let text = String::from_utf8_lossy(payload);
                        if let Some((name, value)) = text.split_once('=') {
                            found.list.push((name.to_owned(), value.to_owned()));
                        }
                        ControlFlow::Continue(())
                    });
                    if read.is_ok() {
                        return Some(found);
                    }
                    continue;
                }
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return None;
                }
                if journal.files().next().is_none()
                    || journal.wait(left.min(Duration::from_millis(250))).is_err()
                {
                    break;
                }
            }
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether the mailbox (an mbox file, a message of a Maildir, or a Maildir) holds the nonce near its end.
fn holds(mailbox: &Path, nonce: &str) -> std::io::Result<bool> {
    if mailbox.is_dir() {
        for folder in ["new", "cur"] {
            let Ok(entries) = std::fs::read_dir(mailbox.join(folder)) else { continue };
            for entry in entries.flatten() {
                // A message that another program took away meanwhile is not ours.
                if holds(&entry.path(), nonce).unwrap_or(false) {
                    return Ok(true);
                }
            }
        }
        return Ok(false);
    }
    let mut file = std::fs::File::open(mailbox)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAILBOX_TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.take(MAILBOX_TAIL_BYTES).read_to_end(&mut tail)?;
    Ok(tail.windows(nonce.len()).any(|window| window == nonce.as_bytes()))
}

/// A link as a person reads it.
pub fn link_text(texts: &Texts, link: &Link) -> String {
    let number = NAMES.iter().position(|name| *name == link.name).unwrap_or(0);
    let title = texts.doctor_links[number];
    let mark = match link.health {
        Health::Ok => texts.doctor_ok,
        Health::Warning => texts.doctor_warning,
        Health::Broken => texts.doctor_broken,
        Health::NotTried => texts.doctor_skipped,
    };
    let time = if link.health == Health::NotTried { String::new() } else { format!("{:.1} ms", link.ms) };
    let mut text = format!("  {} {} {time:>10}  {}\n", pad(mark, 9), pad(title, 26), link.detail);
    for help in link.help.iter().flat_map(|help| help.lines()) {
        text.push_str(&format!("  {} {}: {help}\n", pad("", 9), texts.help_word));
    }
    text
}

/// Fills up with blanks to `width` columns; letters of East Asia take two.
fn pad(text: &str, width: usize) -> String {
    let used: usize = text.chars().map(|c| if c >= '\u{1100}' { 2 } else { 1 }).sum();
    format!("{text}{}", " ".repeat(width.saturating_sub(used)))
}

/// The whole in one line.
pub fn verdict(texts: &Texts, findings: &Findings) -> String {
    let ms = format!("{:.0}", findings.ms);
    let first = |health: Health| findings.links.iter().position(|link| link.health == health);
    let bad = first(Health::Broken).or_else(|| first(Health::Warning).filter(|_| !findings.ok));
    match bad {
        Some(number) => fill(texts.doctor_not_all, &[("link", &texts.doctor_links[number])]),
        _ if findings.links.iter().any(|link| link.health == Health::Warning) => {
            fill(texts.doctor_warned, &[("ms", &ms)])
        }
        _ => fill(texts.doctor_all_hold, &[("ms", &ms)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use house_status::{Clock, Source};

    /// Goal: a clock that does not run right says what it lacks: a source, its address, its answer, or only our trust; in the last case
    /// nobody is sent to look for other servers.
    #[test]
    fn a_clock_says_what_it_lacks() {
        let texts = crate::texts::every_language()[0];
        let source = |reachability: u16| Source {
            address: "192.0.2.1".to_owned(),
            name: String::new(),
            mode: "server",
            state: "unusable",
            stratum: 2,
            reachability,
            offset_seconds: 0.0,
            error_seconds: 0.1,
        };
        let names = vec!["ntp.example".to_owned()];
        for (clock, said, explains) in [
            (Clock { own_clock_only: true, stratum: 5, ..Clock::default() }, "stratum 5", false),
            (Clock::default(), "there is no source", false),
            (Clock { unresolved: names, ..Clock::default() }, "ntp.example", false),
            (Clock { sources: vec![source(0); 3], ..Clock::default() }, "none of 3 sources", false),
            (
                Clock { sources: vec![source(0), source(8), source(1)], ..Clock::default() },
                "of 3 sources 2 answer",
                true,
            ),
        ] {
            let (detail, help) = why_not_synchronised(texts, &clock);
            assert!(detail.contains(said), "{detail}");
            assert_eq!(help.contains("time explain"), explains, "{help}");
        }
    }
}
