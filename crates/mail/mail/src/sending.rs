//! Sending: from the command line, and the way out through the `sendmail` command.

use crate::compose::{self, Letter, Outcome};
use crate::folder;
use crate::input::Input;
use crate::options::Options;
use crate::settings::Settings;
use crate::shell;
use jiff::Zoned;
use layout::Call;
use message::{AddressList, Attachment, Person, Stamp, mbox};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Octets of an attachment.
pub(crate) const ATTACHMENT_OCTETS_MAX: u64 = 256 * 1024 * 1024;
/// Octets of a text from standard input.
const TEXT_OCTETS_MAX: u64 = 512 * 1024 * 1024;

/// `mail -s SUBJECT TO...`.
pub(crate) fn send_from_command_line(
    call: &Call,
    options: &Options,
    to: &[String],
    settings: &Settings,
    input: &mut Input,
) -> Result<u8, String> {
    let mut letter = Letter::default();
    letter.draft.subject = options.subject.clone();
    for (words, list) in [
        (to, &mut letter.draft.to),
        (&options.cc, &mut letter.draft.cc),
        (&options.bcc, &mut letter.draft.bcc),
    ] {
        add_people(settings, &words.join(", "), list)?;
    }
    letter.sender = options.from.clone();
    for (name, value) in &options.headers {
        let list = match name.to_ascii_lowercase().as_str() {
            "to" => &mut letter.draft.to,
            "cc" => &mut letter.draft.cc,
            "bcc" => &mut letter.draft.bcc,
            _ => {
                letter.draft.fields.push((name.clone(), value.clone()));
                continue;
            }
        };
        add_people(settings, value, list)?;
    }
    for path in &options.attachments {
        letter.draft.attachments.push(attachment(path)?);
    }
    if input.is_interactive() {
        if letter.draft.subject.is_none() && (settings.is_set("ask") || settings.is_set("asksub")) {
            compose::ask_subject(&mut letter, input);
        }
        match compose::compose(&mut letter, settings, input, options.ignore_interrupts, None) {
            Outcome::Send => {}
            Outcome::Dropped => return Ok(1),
        }
    } else {
        let text = std::io::stdin().lock().take(TEXT_OCTETS_MAX + 1).read_to_end(&mut letter.draft.body);
        text.map_err(|e| format!("cannot read the message: {e}"))?;
        if letter.draft.body.len() as u64 > TEXT_OCTETS_MAX {
            return Err(format!("the message is larger than {TEXT_OCTETS_MAX} octets; nothing was sent"));
        }
        letter.draft.body = message::to_lf(&letter.draft.body);
    }
    finish(call, &letter, settings, options.skip_empty)
}

/// Sends a finished letter: 0 when it is on its way (or empty and not wanted).
pub(crate) fn finish(
    call: &Call,
    letter: &Letter,
    settings: &Settings,
    skip_empty: bool,
) -> Result<u8, String> {
    if letter.draft.body.is_empty() && letter.draft.attachments.is_empty() {
        if skip_empty || settings.is_set("skipempty") {
            return Ok(0);
        }
        eprintln!("{}: Null message body; hope that's ok", call.name);
    }
    if letter.draft.recipients().next().is_none() {
        keep_dead_letter(letter, settings);
        return Err("No recipients specified".into());
    }
    match send(call, letter, settings) {
        Ok(()) => Ok(0),
        Err(error) => {
            keep_dead_letter(letter, settings);
            Err(error)
        }
    }
}

fn send(call: &Call, letter: &Letter, settings: &Settings) -> Result<(), String> {
    let mut draft = letter.draft.clone();
    let sender = letter.sender.clone().or_else(|| settings.value("from"));
    let mut envelope_sender = None;
    if let Some(text) = &sender {
        let person =
            AddressList::parse(text).people.into_iter().next().ok_or(format!("{text:?} is no address"))?;
        envelope_sender = Some(person.address.clone());
        draft.from = Some(person);
    }
    if let Some(reply_to) = settings.value("REPLYTO").or_else(|| settings.value("replyto")) {
        let given = draft.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("reply-to"));
        if !given {
            draft.fields.push(("Reply-To".into(), reply_to));
        }
    }
    let stamp = Stamp { date: Zoned::now(), host: sys::host::hostname(), random: sys::random::u64() };
    let built = draft.build(&stamp);
    if let Some(record) = settings.value("record") {
        let path = settings.file_name(&record, Path::new(""), None)?;
        let mut entry = Vec::new();
        let author = envelope_sender.clone().unwrap_or_else(|| crate::User::of_caller().name);
        mbox::write_entry(&mut entry, &author, &stamp.date, &[("Status", "RO")], &built);
        folder::append(&path, &entry).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    let (program, first_words) = sendmail(call, settings);
    let mut command = Command::new(&program);
    command.args(first_words).arg("-i");
    if let Some(sender) = &envelope_sender {
        command.arg("-f").arg(sender);
    }
    if settings.is_set("metoo") {
        command.arg("-m");
    }
    if settings.is_set("verbose") {
        command.arg("-v");
    }
    // Whatever an address begins with, after this it is one.
    command.arg("--").args(draft.recipients().map(|person| &person.address));
    let mut child =
        command.stdin(Stdio::piped()).spawn().map_err(|e| format!("{}: {e}", program.display()))?;
    let written = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(&built));
    let status = child.wait().map_err(|e| format!("{}: {e}", program.display()))?;
    match (status.success(), written) {
        (true, Ok(())) => Ok(()),
        (true, Err(error)) => Err(format!("{} did not read the message: {error}", program.display())),
        (false, _) => {
            Err(format!("sendmail ({}) failed ({status}); the message was not sent", program.display()))
        }
    }
}

/// The `sendmail` command: the variable of that name, or the one beside this program in a house, or the system's.
fn sendmail(call: &Call, settings: &Settings) -> (PathBuf, Vec<std::ffi::OsString>) {
    if let Some(program) = settings.value("sendmail").or_else(|| settings.value("mta")) {
        return (program.into(), Vec::new());
    }
    let (Some(house), Ok(own)) = (call.layout.house_dir(), std::env::current_exe()) else {
        return (PathBuf::from("/usr/sbin/sendmail"), Vec::new());
    };
    let dir = ["--dir".into(), house.as_os_str().to_owned()];
    // The one executable of all names, or one of several that stand side by side.
    if own.file_name().is_some_and(|name| name == "mail" || name == "mailx") {
        (own.with_file_name("sendmail"), dir.into())
    } else {
        (own, [dir.as_slice(), &["sendmail".into()]].concat())
    }
}

/// Keeps what could not be sent.
pub(crate) fn keep_dead_letter(letter: &Letter, settings: &Settings) {
    if settings.is_set("nosave") || (letter.draft.body.is_empty() && letter.draft.subject.is_none()) {
        return;
    }
    let path = settings.dead_letter();
    let stamp = Stamp { date: Zoned::now(), host: sys::host::hostname(), random: sys::random::u64() };
    let mut entry = Vec::new();
    let author = crate::User::of_caller().name;
    mbox::write_entry(&mut entry, &author, &stamp.date, &[], &letter.draft.build(&stamp));
    match folder::append(&path, &entry) {
        Ok(_) => eprintln!("\"{}\" holds the letter", path.display()),
        Err(error) => eprintln!("{}: {error}; the letter is lost", path.display()),
    }
}

/// Adds the addresses of a list, groups dissolved, each once.
pub(crate) fn add_people(settings: &Settings, text: &str, list: &mut Vec<Person>) -> Result<(), String> {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(format!("{text:?}: an address holds no control character; nothing was sent"));
    }
    let parsed = AddressList::parse(text);
    for problem in &parsed.problems {
        // `mail -c "a b"`: old mailx lets white space separate names.
        let words: Vec<&str> = problem.split_whitespace().collect();
        let all_plain = words.len() > 1 && words.iter().all(|word| !word.contains(['"', '<', '>', '(']));
        if !all_plain {
            return Err(format!("{problem:?} is no address; nothing was sent"));
        }
        for word in words {
            add_people(settings, word, list)?;
        }
    }
    for person in parsed.people {
        let expanded = settings.expand(&person.address);
        if expanded == [person.address.clone()] {
            if !list.iter().any(|p| p.address == person.address) {
                list.push(person);
            }
            continue;
        }
        for address in expanded {
            for person in AddressList::parse(&address).people {
                if !list.iter().any(|p| p.address == person.address) {
                    list.push(person);
                }
            }
        }
    }
    Ok(())
}

/// A file as an attachment.
pub(crate) fn attachment(path: &Path) -> Result<Attachment, String> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Attachment { name, content: shell::read_file(path, ATTACHMENT_OCTETS_MAX)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: lists become addresses, groups dissolve, and nothing is taken for more than an address.
    #[test]
    fn lists_become_people() {
        let mut settings = Settings::new(true, false, PathBuf::new());
        settings.execute("alias team a@b 'C <c@d>'").unwrap();
        let check = |text: &str, expected: &str| {
            let mut list = Vec::new();
            let got = match add_people(&settings, text, &mut list) {
                Ok(()) => list.iter().map(Person::header_text).collect::<Vec<_>>().join(","),
                Err(error) => error,
            };
            assert_eq!(got, expected);
        };
        // Words that only white space separates come first.
        check("team, x y, a@b, z w", "x,y,z,w,a@b,C <c@d>");
        check("|sh, /etc/passwd, +f", "|sh,/etc/passwd,+f");
        check("a\n<b@c>", "\"a\\n<b@c>\": an address holds no control character; nothing was sent");
        check("\"x", "\"\\\"x\" is no address; nothing was sent");
    }
}
