//! Writing a letter at a terminal: lines, and the escapes that begin with `~`.

use crate::folder::Folder;
use crate::input::{Input, Line};
use crate::list;
use crate::screen::{harmless, say};
use crate::sending::{add_people, attachment, keep_dead_letter};
use crate::settings::{Handled, Settings};
use crate::shell;
use message::{Draft, Person, body_offset, fields};
use std::path::Path;

/// Octets of a file that is read into a letter.
const FILE_OCTETS_MAX: u64 = 64 * 1024 * 1024;

const HELP: &str = "\
-------------------- ~ escapes ----------------------------
~~              Quote a single tilde
~!command       Execute shell command
~|command       Pipe message through shell command
~.              End of message
~:command       Execute a mail command (set, alias, ...)
~@file          Attach a file
~a, ~A          Insert the string variable sign or Sign
~b users        Add users to \"blind\" cc list
~c users        Add users to cc list
~d              Read in dead.letter
~e              Edit the message buffer
~f messages     Read in messages, ~F with all headers
~h              Prompt for to list, subject, cc and bcc
~i variable     Insert a variable's value
~m messages     Read in messages, right shifted by a tab, ~M with all headers
~p              Print the message buffer
~q              Quit: the letter goes to dead.letter
~r file, ~<file Read a file into the message buffer
~s subject      Set subject
~t users        Add users to to list
~v              Invoke the display editor on the message
~w file         Write the message onto a file
~x              Abort: the letter is thrown away
-----------------------------------------------------------
";

/// A letter being written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Letter {
    pub(crate) draft: Draft,
    /// `-r`: header and envelope.
    pub(crate) sender: Option<String>,
}

/// How writing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Send,
    /// `~q`, `~x` or two interrupts.
    Dropped,
}

/// The folder that is being read, for `~m` and `~f`.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) current: usize,
}

/// Asks for a subject.
pub(crate) fn ask_subject(letter: &mut Letter, input: &mut Input) {
    if let Line::Text(subject) = input.line("Subject: ", letter.draft.subject.as_deref().unwrap_or_default())
    {
        letter.draft.subject = Some(subject).filter(|subject| !subject.is_empty());
    }
}

/// Takes lines until the letter is finished or dropped.
pub(crate) fn compose(
    letter: &mut Letter,
    settings: &Settings,
    input: &mut Input,
    ignore_interrupts: bool,
    reading: Option<Reading<'_>>,
) -> Outcome {
    let mut own = None;
    let mut interrupted = false;
    loop {
        let settings = own.as_ref().unwrap_or(settings);
        let text = match input.line("", "") {
            Line::Text(text) => text,
            Line::End
                if settings.is_set("ignoreeof") && input.is_interactive() && crate::input::on_terminal() =>
            {
                say("Use \".\" to terminate letter\n");
                continue;
            }
            Line::End => break,
            Line::Interrupted if ignore_interrupts || settings.is_set("ignore") => {
                say("@\n");
                continue;
            }
            Line::Interrupted if interrupted => {
                keep_dead_letter(letter, settings);
                return Outcome::Dropped;
            }
            Line::Interrupted => {
                interrupted = true;
                say("(Interrupt -- one more to kill letter)\n");
                continue;
            }
        };
        interrupted = false;
        if text == "." && (settings.is_set("dot") || settings.is_set("ignoreeof")) {
            break;
        }
        let escape = settings.escape();
        let mut chars = text.chars();
        let escaped = escape.is_some() && chars.next() == escape;
        let rest = chars.as_str();
        if !escaped {
            add_line(letter, &text);
            continue;
        }
        if escape.is_some_and(|escape| rest.starts_with(escape)) {
            add_line(letter, rest);
            continue;
        }
        match apply(letter, rest, settings, input, reading) {
            Ok(Next::More) => {}
            Ok(Next::Finished) => break,
            Ok(Next::Dropped) => return Outcome::Dropped,
            Ok(Next::Command(command)) => {
                // A letter's settings are its own: a changed copy would have to be carried back otherwise.
                let mut changed = settings.clone();
                match changed.execute(&command) {
                    Ok(Handled::Yes) => own = Some(changed),
                    Ok(Handled::No) => say(&format!("\"{command}\" cannot be used here\n")),
                    Err(error) => say(&format!("{error}\n")),
                }
            }
            Err(error) => say(&format!("{error}\n")),
        }
    }
    let settings = own.as_ref().unwrap_or(settings);
    if input.is_interactive() {
        for (name, prompt) in [("askcc", "Cc: "), ("askbcc", "Bcc: ")] {
            if settings.is_set(name) {
                let list = if name == "askcc" { &mut letter.draft.cc } else { &mut letter.draft.bcc };
                edit_people(settings, input, prompt, list);
            }
        }
        if !settings.is_set("askcc") && crate::input::on_terminal() {
            say("EOT\n");
        }
    }
    Outcome::Send
}

enum Next {
    More,
    Finished,
    Dropped,
    Command(String),
}

fn apply(
    letter: &mut Letter,
    escape: &str,
    settings: &Settings,
    input: &mut Input,
    reading: Option<Reading<'_>>,
) -> Result<Next, String> {
    let mut chars = escape.chars();
    let letter_of_escape = chars.next().ok_or("~? prints the escapes")?;
    let argument = chars.as_str().trim();
    let needed = || {
        if argument.is_empty() { Err(format!("~{letter_of_escape} needs an argument")) } else { Ok(argument) }
    };
    let file = |name: &str| settings.file_name(name, Path::new("/dev/null"), None);
    match letter_of_escape {
        '?' => say(HELP),
        '!' => {
            shell::run(&settings.shell(), argument)?;
            say("!\n");
        }
        '|' => {
            let (shell, body) = (settings.shell(), &letter.draft.body);
            letter.draft.body = shell::filter(&shell, needed()?, body)?;
            say("(continue)\n");
        }
        '.' => return Ok(Next::Finished),
        ':' | '_' => return Ok(Next::Command(needed()?.to_owned())),
        '@' => letter.draft.attachments.push(attachment(&file(needed()?)?)?),
        'a' | 'A' | 'i' => {
            let name = match letter_of_escape {
                'a' => "sign",
                'A' => "Sign",
                _ => needed()?,
            };
            let value = settings.value(name).ok_or(format!("{name} is not set"))?;
            add_line(letter, &value.replace("\\n", "\n").replace("\\t", "\t"));
        }
        't' => add_people(settings, needed()?, &mut letter.draft.to)?,
        'c' => add_people(settings, needed()?, &mut letter.draft.cc)?,
        'b' => add_people(settings, needed()?, &mut letter.draft.bcc)?,
        's' => letter.draft.subject = Some(needed()?.to_owned()),
        'R' => {
            letter.draft.fields.retain(|(name, _)| !name.eq_ignore_ascii_case("reply-to"));
            letter.draft.fields.push(("Reply-To".into(), needed()?.to_owned()));
        }
        'h' => {
            edit_people(settings, input, "To: ", &mut letter.draft.to);
            ask_subject(letter, input);
            edit_people(settings, input, "Cc: ", &mut letter.draft.cc);
            edit_people(settings, input, "Bcc: ", &mut letter.draft.bcc);
        }
        'd' => read_in(letter, &settings.dead_letter())?,
        'r' | '<' => read_in(letter, &file(needed()?)?)?,
        'w' => {
            let path = file(needed()?)?;
            crate::folder::append(&path, &letter.draft.body)
                .map_err(|e| format!("{}: {e}", path.display()))?;
            say(&format!("\"{}\" {}\n", path.display(), counts(&letter.draft.body)));
        }
        'e' | 'v' => {
            let editor = settings.editor(letter_of_escape == 'v');
            letter.draft.body = shell::edit(&settings.shell(), &editor, &letter.draft.body)?;
            say("(continue)\n");
        }
        'p' => print(letter),
        'm' | 'M' | 'f' | 'F' => insert_messages(letter, letter_of_escape, argument, settings, reading)?,
        'q' => {
            keep_dead_letter(letter, settings);
            return Ok(Next::Dropped);
        }
        'x' => return Ok(Next::Dropped),
        other => return Err(format!("Unknown tilde escape: ~{other}; ~? prints them")),
    }
    Ok(Next::More)
}

fn insert_messages(
    letter: &mut Letter,
    escape: char,
    argument: &str,
    settings: &Settings,
    reading: Option<Reading<'_>>,
) -> Result<(), String> {
    let reading = reading.ok_or("No messages to send from us!")?;
    let words: Vec<&str> = argument.split_whitespace().collect();
    let indent = match escape {
        'm' | 'M' => settings.value("indentprefix").unwrap_or_else(|| "\t".into()),
        _ => String::new(),
    };
    let chosen = list::select(&words, reading.folder, reading.current, false)?;
    for &at in &chosen {
        let message = reading.folder.text(at);
        let mut text = String::new();
        for field in fields(message).filter(|f| escape.is_uppercase() || settings.shows(f.name)) {
            text.push_str(&format!(
                "{}: {}\n",
                field.name,
                message::decode_header_text(field.unfolded().as_bytes())
            ));
        }
        text.push('\n');
        text.push_str(message::readable_text(message).trim_end_matches('\n'));
        for line in text.lines() {
            add_line(letter, &format!("{}{line}", if line.is_empty() { "" } else { &indent }));
        }
    }
    let numbers: Vec<String> = chosen.iter().map(|at| (at + 1).to_string()).collect();
    say(&format!("Interpolating: {}\n(continue)\n", numbers.join(" ")));
    Ok(())
}

fn add_line(letter: &mut Letter, line: &str) {
    letter.draft.body.extend_from_slice(line.as_bytes());
    letter.draft.body.push(b'\n');
}

fn read_in(letter: &mut Letter, path: &Path) -> Result<(), String> {
    let content = message::to_lf(&shell::read_file(path, FILE_OCTETS_MAX)?);
    letter.draft.body.extend_from_slice(&content);
    if !content.is_empty() && !content.ends_with(b"\n") {
        letter.draft.body.push(b'\n');
    }
    say(&format!("\"{}\" {}\n", path.display(), counts(&content)));
    Ok(())
}

fn counts(content: &[u8]) -> String {
    format!("{}/{}", content.iter().filter(|&&b| b == b'\n').count(), content.len())
}

fn edit_people(settings: &Settings, input: &mut Input, prompt: &str, list: &mut Vec<Person>) {
    let now: Vec<String> = list.iter().map(Person::header_text).collect();
    // Without a line editor the old names cannot be edited, so that what is typed is added.
    let edited = crate::input::on_terminal();
    if let Line::Text(text) = input.line(prompt, &now.join(", ")) {
        let mut new = if edited { Vec::new() } else { list.clone() };
        match add_people(settings, &text, &mut new) {
            Ok(()) => *list = new,
            Err(error) => say(&format!("{error}\n")),
        }
    }
}

fn print(letter: &Letter) {
    say("-------\nMessage contains:\n");
    let draft = &letter.draft;
    for (name, people) in [("To", &draft.to), ("Cc", &draft.cc), ("Bcc", &draft.bcc)] {
        if !people.is_empty() {
            let people: Vec<String> = people.iter().map(Person::header_text).collect();
            say(&format!("{name}: {}\n", people.join(", ")));
        }
        if let ("To", Some(subject)) = (name, &draft.subject) {
            say(&format!("Subject: {subject}\n"));
        }
    }
    for attachment in &draft.attachments {
        say(&format!("Attachment: {}\n", harmless(&attachment.name)));
    }
    say(&format!("\n{}(continue)\n", harmless(&String::from_utf8_lossy(&draft.body))));
}

/// The letter that answers a message; to everybody who got it where `all`.
pub(crate) fn reply_to(message: &[u8], all: bool, is_own: impl Fn(&str) -> bool) -> Letter {
    let people = |name: &str| {
        let value = message::field(message, name).unwrap_or_default();
        message::AddressList::parse(&value).people
    };
    let mut draft = Draft { to: people("reply-to"), ..Draft::default() };
    if draft.to.is_empty() {
        draft.to = people("from");
    }
    if all {
        let known: Vec<String> = draft.to.iter().map(|p| p.address.to_lowercase()).collect();
        let new =
            |person: &Person| !known.contains(&person.address.to_lowercase()) && !is_own(&person.address);
        draft.to.extend(people("to").into_iter().filter(|p| new(p)));
        draft.cc = people("cc").into_iter().filter(|p| new(p)).collect();
    }
    let subject = message::Summary::of(message).subject;
    let prefixed = subject.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("re:"));
    draft.subject = Some(if prefixed { subject } else { format!("Re: {subject}") });
    if let Some(id) = message::field(message, "message-id") {
        let references =
            message::field(message, "references").or_else(|| message::field(message, "in-reply-to"));
        draft.references = Some(match references {
            Some(references) => format!("{references} {id}"),
            None => id.clone(),
        });
        draft.in_reply_to = Some(id);
    }
    Letter { draft, sender: None }
}

/// The body of a message without its header, for `write`.
pub(crate) fn body(message: &[u8]) -> &[u8] {
    let body = message.get(body_offset(message)..).unwrap_or_default();
    // The last empty line is the mailbox's, not the message's.
    body.strip_suffix(b"\n\n").map_or(body, |_| body.get(..body.len() - 1).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: an answer goes to whom it should, within its thread.
    #[test]
    fn answers_are_addressed() {
        let message = b"From: A <a@b>\nTo: me@here, c@d, A@b\nCc: me@here, e@f\nSubject: Re: x\n\
            Message-ID: <2@b>\nReferences: <1@b>\n\nhi\n\n";
        let check = |all: bool, to: &str, cc: &str| {
            let draft = reply_to(message, all, |address| address == "me@here").draft;
            let join =
                |people: &[Person]| people.iter().map(Person::header_text).collect::<Vec<_>>().join(",");
            assert_eq!((join(&draft.to).as_str(), join(&draft.cc).as_str()), (to, cc));
            assert_eq!(draft.subject.as_deref(), Some("Re: x"));
            assert_eq!(draft.in_reply_to.as_deref(), Some("<2@b>"));
            assert_eq!(draft.references.as_deref(), Some("<1@b> <2@b>"));
        };
        check(true, "A <a@b>,c@d", "e@f");
        check(false, "A <a@b>", "");
        assert_eq!(body(message), b"hi\n");
        let other = reply_to(b"From: a@b\nReply-To: l@m\nSubject: y\n\n", false, |_| false).draft;
        assert_eq!((other.to[0].address.as_str(), other.subject.as_deref()), ("l@m", Some("Re: y")));
    }
}
