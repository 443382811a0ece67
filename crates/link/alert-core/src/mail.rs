//! The English texts of alert mails.

use record::{Record, Severity, UnixMicros};

use crate::rule::{OVERFLOW_GROUP, Rule};
use crate::state::{Group, Kind, Sample};

/// The longest shown line of a record in bytes: a mail stays readable, and far below SMTP's 998.
const LINE_BYTES_MAX: usize = 500;

/// The longest subject in characters before encoding.
const SUBJECT_CHARS_MAX: usize = 120;

/// The most bytes of text in one encoded word: 45 bytes are 60 characters of base64, within RFC 2047's 75 for the word.
const ENCODED_WORD_BYTES_MAX: usize = 45;

/// Who writes, and how a reader looks further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letterhead {
    /// The name of the host that writes.
    pub host: String,
    /// The sender's address.
    pub from: String,
    /// The command that shows records, for example `journalctl` or `banto --dir DIR journalctl`.
    pub journalctl: String,
}

/// One mail's contents before it is text.
pub(crate) struct Draft<'a> {
    pub letterhead: &'a Letterhead,
    pub rule: &'a Rule,
    pub key: &'a str,
    pub group: &'a Group,
    pub kind: Kind,
    pub id: &'a str,
    pub held_back: u64,
    pub nonce: Option<&'a str>,
    pub now: UnixMicros,
}

impl Draft<'_> {
    /// Header and body with LF line ends.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let mut header = |name: &str, value: &str| {
            out.push_str(name);
            out.push_str(": ");
            out.push_str(value);
            out.push('\n');
        };
        header("From", &format!("Banto <{}>", self.letterhead.from));
        header("To", &self.rule.to.join(", "));
        header("Subject", &encode_header_text(&self.subject()));
        header("Date", &mail_time(self.now));
        header("Message-ID", &format!("<{}@{}>", self.id, host_name(&self.letterhead.host)));
        header("X-Banto-Alert", self.id);
        header("X-Banto-Rule", &self.rule.name);
        if let Some(nonce) = self.nonce {
            header("X-Banto-Doctor", nonce);
        }
        // RFC 3834 section 5: no vacation responder answers an alert.
        header("Auto-Submitted", "auto-generated");
        header("MIME-Version", "1.0");
        header("Content-Type", "text/plain; charset=utf-8");
        header("Content-Transfer-Encoding", "8bit");
        out.push('\n');
        self.body(&mut out);
        out
    }

    fn subject(&self) -> String {
        let host = &self.letterhead.host;
        let rule = &self.rule.name;
        let what = self.group.samples.last().map_or("", |sample| sample.line.as_str());
        let subject = match (self.nonce, self.kind) {
            (Some(nonce), _) => format!("[{host}] doctor: {nonce}"),
            (None, Kind::First) if self.group.count <= 1 => format!("[{host}] {rule}: {what}"),
            (None, Kind::First) => format!("[{host}] {rule}: {} records: {what}", self.group.count),
            (None, Kind::Digest) if self.key == OVERFLOW_GROUP => {
                format!("[{host}] {rule}: {} records held back", self.group.count)
            }
            (None, Kind::Digest) => format!("[{host}] {rule}: {} more: {what}", self.group.count),
        };
        if subject.chars().count() > SUBJECT_CHARS_MAX {
            // The mark is ASCII: a character outside would make base64 of the whole subject.
            subject.chars().take(SUBJECT_CHARS_MAX - 3).chain("...".chars()).collect()
        } else {
            subject
        }
    }

    fn body(&self, out: &mut String) {
        let group = self.group;
        let mut line = |text: &str| {
            out.push_str(text);
            out.push('\n');
        };
        match (self.nonce, self.kind) {
            (Some(nonce), _) => {
                line("This is the doctor's own test of the chain from the clock to the mailbox.");
                line(&format!("Nonce:  {nonce}"));
            }
            (None, Kind::First) => line("A record in the log matched an alert rule."),
            (None, Kind::Digest) if self.key == OVERFLOW_GROUP => line(&format!(
                "Records matched an alert rule while its budget of mails was used up ({} different problems).",
                group.merged.max(1)
            )),
            (None, Kind::Digest) => line("More records of a problem that was reported before."),
        }
        line("");
        line(&format!("Host:   {}", self.letterhead.host));
        line(&format!("Rule:   {}", self.rule.name));
        line(&format!("Count:  {}{}", group.count, self.count_note()));
        line(&format!("First:  {}", utc_text(group.first_usec)));
        line(&format!("Last:   {}", utc_text(group.last_usec)));
        if let Some(sample) = group.samples.last() {
            line(&format!("Clock:  {}", sample.clock));
        }
        if self.held_back > 0 {
            line(&format!(
                "Suppressed: {} records of this rule since its last mail, because its budget ({} mails an hour) or the \
                 overall one was used up.",
                self.held_back, self.rule.mails_per_hour_max
            ));
        }
        line("");
        let shown = group.samples.len() as u64;
        match group.count {
            0 | 1 => line("The record (times are UTC):"),
            count if count > shown => line(&format!("{shown} of the {count} records (times are UTC):")),
            _ => line("The records (times are UTC):"),
        }
        for sample in &group.samples {
            line(&format!("  {} {}", utc_text(sample.realtime_usec).trim_end_matches(" UTC"), sample.line));
        }
        line("");
        line("To look at them on that host:");
        line(&format!("  {}", self.look_command()));
        line("");
        if self.nonce.is_none() {
            line(&format!(
                "What follows of the same kind comes in one digest after {}, then every {} while it goes on.",
                duration_text(self.rule.group_interval.as_secs()),
                duration_text(self.rule.repeat_interval.as_secs())
            ));
        }
        line(&format!("Alert id: {}", self.id));
    }

    fn count_note(&self) -> String {
        match self.kind {
            Kind::Digest if self.key != OVERFLOW_GROUP => {
                format!(" since the last mail, {} in all", self.group.total)
            }
            _ => String::new(),
        }
    }

    /// A command that can be pasted into a shell.
    fn look_command(&self) -> String {
        let mut command = self.letterhead.journalctl.clone();
        for (name, value) in &self.group.fields {
            command.push(' ');
            command.push_str(&shell_word(&format!("{name}={value}")));
        }
        let since = self.group.first_usec / 1_000_000;
        let until = self.group.last_usec / 1_000_000 + 1;
        command.push_str(&format!(" --since @{since} --until @{until}"));
        command
    }
}

/// One record as mails show it.
pub(crate) fn sample(record: &Record) -> Sample {
    let mut line = String::new();
    if let Some(host) = record.text("_HOSTNAME") {
        line.push_str(&host);
        line.push(' ');
    }
    let identifier = record.text("SYSLOG_IDENTIFIER").or_else(|| record.text("_COMM"));
    line.push_str(identifier.as_deref().unwrap_or("unknown"));
    if let Some(pid) = record.text("SYSLOG_PID").or_else(|| record.text("_PID")) {
        line.push_str(&format!("[{pid}]"));
    }
    line.push_str(": ");
    if let Some(severity) = record.severity().filter(|severity| *severity <= Severity::Warning) {
        line.push_str(&format!("{severity}: "));
    }
    line.push_str(&record.text("MESSAGE").unwrap_or_default());
    Sample { realtime_usec: record.realtime.0, line: one_line(&line), clock: clock_text(record) }
}

/// What the record says of the clock that stamped it (`_CLOCK_SYNCED`, `_CLOCK_ERROR_USEC`).
fn clock_text(record: &Record) -> String {
    let error_usec = record.text("_CLOCK_ERROR_USEC").and_then(|text| text.parse::<u64>().ok());
    match (record.field("_CLOCK_SYNCED"), error_usec) {
        (Some(b"1"), Some(usec)) => format!("synchronised, right within {}", usec_text(usec)),
        (Some(b"1"), None) => "synchronised".to_owned(),
        (Some(_), _) => {
            "NOT synchronised when this was written: the times are what the host believed".to_owned()
        }
        (None, _) => "the record does not say".to_owned(),
    }
}

fn usec_text(usec: u64) -> String {
    match usec {
        0..1_000 => format!("{usec} us"),
        1_000..1_000_000 => format!("{}.{} ms", usec / 1_000, usec % 1_000 / 100),
        _ => format!("{}.{} s", usec / 1_000_000, usec % 1_000_000 / 100_000),
    }
}

/// Control characters are shown as blanks (a terminal reads mail too), and long lines are cut.
fn one_line(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let shown = if c.is_control() { ' ' } else { c };
        if out.len() + shown.len_utf8() > LINE_BYTES_MAX {
            out.push_str("...");
            break;
        }
        out.push(shown);
    }
    out.truncate(out.trim_end().len());
    out
}

fn duration_text(seconds: u64) -> String {
    let (amount, unit) = match seconds {
        s if s >= 3_600 && s.is_multiple_of(3_600) => (s / 3_600, "hour"),
        s if s >= 60 && s.is_multiple_of(60) => (s / 60, "minute"),
        s => (s, "second"),
    };
    if amount == 1 { format!("1 {unit}") } else { format!("{amount} {unit}s") }
}

/// A word for a POSIX shell.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_=-./:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", one_line(word).replace('\'', r"'\''"))
    }
}

/// What of a host's name may stand in a Message-ID.
fn host_name(host: &str) -> String {
    let name: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || ".-".contains(*c)).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// Header text: printable ASCII as it is, everything else in encoded words (RFC 2047). Line ends cannot pass.
pub fn encode_header_text(text: &str) -> String {
    let text = text.replace(|c: char| c.is_control(), " ");
    if text.is_ascii() && !text.contains("=?") {
        return text;
    }
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if word.len() + c.len_utf8() > ENCODED_WORD_BYTES_MAX {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let words: Vec<String> =
        words.iter().map(|word| format!("=?utf-8?B?{}?=", base64(word.as_bytes()))).collect();
    // RFC 2047 section 2: encoded words are joined by folding, and the blank between them is not shown.
    words.join("\n ")
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            if at <= chunk.len() {
                out.push(char::from(ALPHABET[(group >> (18 - 6 * at) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

/// The parts of a moment in UTC: year, month 1-12, day 1-31, hour, minute, second, weekday 0 (Sunday) to 6.
fn civil(seconds: u64) -> (u64, usize, u64, u64, u64, u64, usize) {
    // Days to civil date after Howard Hinnant's public-domain algorithm; eras are 400 years.
    let days = seconds / 86_400;
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let rest = seconds % 86_400;
    (year, month as usize, day, rest / 3_600, rest % 3_600 / 60, rest % 60, ((days + 4) % 7) as usize)
}

fn utc_text(usec: u64) -> String {
    let (year, month, day, hour, minute, second, _) = civil(usec / 1_000_000);
    let milli = usec % 1_000_000 / 1_000;
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{milli:03} UTC")
}

/// A moment as RFC 5322 section 3.3 writes it, in UTC.
pub fn mail_time(time: UnixMicros) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day, hour, minute, second, weekday) = civil(time.0 / 1_000_000);
    format!(
        "{}, {day} {} {year:04} {hour:02}:{minute:02}:{second:02} +0000",
        DAYS[weekday],
        MONTHS[month - 1]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: dates are right over leap years and centuries.
    #[test]
    fn dates_are_right() {
        for (seconds, expected) in [
            (0, "Thu, 1 Jan 1970 00:00:00 +0000"),
            (951_827_696, "Tue, 29 Feb 2000 12:34:56 +0000"),
            (1_709_210_096, "Thu, 29 Feb 2024 12:34:56 +0000"),
            (4_107_542_400, "Mon, 1 Mar 2100 00:00:00 +0000"),
        ] {
            assert_eq!(mail_time(UnixMicros(seconds * 1_000_000)), expected);
        }
    }

    /// Goal: no text leaves a header line, and what is not ASCII is encoded as RFC 2047 says.
    #[test]
    fn header_text_is_safe() {
        for (text, expected) in [
            ("disk full", "disk full"),
            ("a\r\nBcc: evil@example.org", "a  Bcc: evil@example.org"),
            ("満杯", "=?utf-8?B?5rqA5p2v?="),
            ("=?x", "=?utf-8?B?PT94?="),
        ] {
            assert_eq!(encode_header_text(text), expected);
        }
        for line in encode_header_text(&"漢字".repeat(100)).lines() {
            assert!(line.len() <= 76 && (line.starts_with("=?utf-8?B?") || line.starts_with(" =?utf-8?B?")));
        }
    }

    /// Goal: a pasted command never runs anything that stands in a record.
    #[test]
    fn shell_words_are_quoted() {
        assert_eq!(shell_word("A=b"), "A=b");
        assert_eq!(shell_word("A=b c"), "'A=b c'");
        assert_eq!(shell_word("A='$(reboot)"), r"'A='\''$(reboot)'");
    }
}
