//! Reading a folder: the command loop, and what each command does.

use crate::User;
use crate::compose::{self, Letter, Outcome, Reading};
use crate::folder::{self, Folder};
use crate::input::{Input, Line};
use crate::list;
use crate::screen::{cut, fill, harmless, say, size};
use crate::sending;
use crate::settings::{Handled, Settings, split_words};
use crate::shell;
use layout::Call;
use message::{fields, mbox};
use std::path::PathBuf;

const HELP: &str = "\
mail commands
print <message list>            print messages (p, t; P with all headers)
next                            go to and print next message (n, Enter)
from <message list>             show headers of messages (f)
headers                         print a screenful of headers (h; z and z- move)
delete <message list>           delete messages (d; dp also prints the next)
undelete <message list>         undelete messages (u)
save <message list> file        append messages to a file (s; c without marking them)
write <message list> file       append bodies to a file (w)
preserve <message list>         keep in the system mailbox (pre, ho)
mbox <message list>             move to mbox on quit
edit, visual <message list>     edit messages (e, v)
reply <message>                 reply to sender and recipients (r; R to the sender only)
mail users                      write to users (m)
top, size <message list>        first lines, sizes
more <message list>             print by the pager
| <message list> command        give messages to a command
!command, shell                 run the shell
folder file, folders, inc       another file, the files, what arrived
set, unset, alias, unalias, ignore, retain, alternates, source, if/else/endif, cd, echo
quit                            read messages go to mbox (q)
xit                             nothing is changed (x)
A <message list> is numbers, ranges (1-3), * $ ^ . + -, :n :o :r :u :d, /subject/, or senders' names.
";

/// The commands in the order in which a prefix finds them, as in bsd-mailx.
const COMMANDS: [&str; 49] = [
    "next", "alias", "print", "type", "Type", "Print", "visual", "top", "touch", "preserve", "delete", "dp",
    "dt", "undelete", "unset", "mail", "mbox", "more", "copy", "chdir", "cd", "headers", "help", "from",
    "folder", "folders", "file", "hold", "edit", "echo", "exit", "xit", "quit", "reply", "respond", "Reply",
    "Respond", "save", "set", "shell", "source", "size", "write", "z", "inc", "list", "unread", "Unread",
    "pipe",
];

/// A folder being read.
pub(crate) struct Session {
    call: Call,
    user: User,
    settings: Settings,
    input: Input,
    folder: Folder,
    previous: Option<PathBuf>,
    current: usize,
    /// Whether a message was shown since the folder was opened: Enter shows the first one first.
    shown: bool,
    window: usize,
}

/// Whether the loop goes on.
#[derive(Debug, PartialEq, Eq)]
enum Flow {
    On,
    Leave,
}

impl Session {
    pub(crate) fn new(call: Call, user: User, settings: Settings, input: Input, folder: Folder) -> Self {
        let mut session =
            Self { call, user, settings, input, folder, previous: None, current: 0, shown: false, window: 0 };
        session.go_to_first();
        session
    }

    /// The first lines of a session.
    pub(crate) fn greet(&mut self, no_headers: bool) {
        if !self.settings.is_set("quiet") {
            say(&format!("Mail version banto {}.  Type ? for help.\n", env!("CARGO_PKG_VERSION")));
        }
        self.announce();
        if !no_headers && !self.settings.is_set("noheader") {
            self.headers();
        }
    }

    /// `-H`.
    pub(crate) fn list_all(&self) {
        (0..self.folder.messages.len()).for_each(|at| self.header_line(at));
    }

    /// Reads and obeys commands up to `quit`, `xit` or the end of input.
    pub(crate) fn run(&mut self) -> Result<u8, String> {
        loop {
            let prompt = self.settings.value("prompt").unwrap_or_else(|| "& ".into());
            let line = match self.input.line(&prompt, "") {
                Line::Text(line) => line,
                Line::Interrupted => {
                    say("Interrupt\n");
                    continue;
                }
                Line::End if self.settings.is_set("ignoreeof") && crate::input::on_terminal() => {
                    say("Use \"quit\" to quit.\n");
                    continue;
                }
                // Whatever `if` is open: the input has ended, and the folder is written back.
                Line::End => return self.quit().map(|()| 0),
            };
            match self.execute(&line) {
                Ok(Flow::On) => {}
                Ok(Flow::Leave) => return Ok(0),
                Err(error) => say(&format!("{error}\n")),
            }
        }
    }

    fn execute(&mut self, line: &str) -> Result<Flow, String> {
        let line = line.trim_start();
        if line.trim_end().is_empty() {
            return self.next(&[]);
        }
        if self.settings.execute(line)? == Handled::Yes {
            return Ok(Flow::On);
        }
        let end = match line.chars().next() {
            Some(c) if c.is_alphabetic() => line.find(|c: char| !c.is_alphabetic()).unwrap_or(line.len()),
            Some('!' | '|' | '?' | '=' | '+' | '-') => 1,
            _ => 0,
        };
        let (verb, rest) = line.split_at(end);
        let rest = rest.trim();
        let words: Vec<&str> = rest.split_whitespace().collect();
        let verb = match verb {
            "" => return self.print(&words, false, false),
            "!" => {
                shell::run(&self.settings.shell(), rest)?;
                say("!\n");
                return Ok(Flow::On);
            }
            "?" => "help",
            "=" => {
                say(&format!("{}\n", self.current + 1));
                return Ok(Flow::On);
            }
            "+" => return self.move_by(rest, true),
            "-" => return self.move_by(rest, false),
            "|" => "pipe",
            "dp" | "dt" => "dp",
            "P" => "Print",
            "T" => "Type",
            "R" => "Reply",
            "U" => "Unread",
            "h" => "headers",
            "f" => "from",
            "fi" => "file",
            "x" | "ex" => "xit",
            "q" => "quit",
            verb => COMMANDS
                .into_iter()
                .find(|command| command.starts_with(verb))
                .ok_or_else(|| format!("Unknown command: \"{verb}\""))?,
        };
        self.command(verb, rest, &words)
    }

    fn command(&mut self, verb: &str, rest: &str, words: &[&str]) -> Result<Flow, String> {
        match verb {
            "next" => return self.next(words),
            "print" | "type" => return self.print(words, false, false),
            "Print" | "Type" => return self.print(words, true, false),
            "more" => return self.print(words, false, true),
            "top" => self.top(words)?,
            "touch" => self.mark(words, |flags| flags.read = true)?,
            "delete" => {
                self.mark(words, |flags| flags.deleted = true)?;
                self.leave_deleted();
                if self.settings.is_set("autoprint") {
                    return self.print_current();
                }
            }
            "dp" => {
                self.mark(words, |flags| flags.deleted = true)?;
                return match self.leave_deleted() {
                    true => self.print_current(),
                    false => Err("No more messages".into()),
                };
            }
            "undelete" => {
                let chosen = list::select(words, &self.folder, self.current, true)?;
                for &at in &chosen {
                    self.change(at, |flags| flags.deleted = false);
                }
            }
            "preserve" | "hold" if !self.folder.is_system => {
                return Err("Cannot \"preserve\" in edit mode".into());
            }
            "preserve" | "hold" => {
                self.mark(words, |flags| (flags.preserved, flags.mboxed) = (true, false))?
            }
            "mbox" => self.mark(words, |flags| (flags.mboxed, flags.preserved) = (true, false))?,
            "unread" | "Unread" => self.mark(words, |flags| (flags.read, flags.old) = (false, true))?,
            "headers" => {
                if let Some(&at) = self.chosen(words)?.first() {
                    self.current = at;
                }
                self.headers();
            }
            "from" => {
                let chosen = self.chosen(words)?;
                chosen.iter().for_each(|&at| self.header_line(at));
                self.current = chosen.last().copied().unwrap_or(self.current);
            }
            "z" => self.scroll(rest)?,
            "size" => {
                for at in self.chosen(words)? {
                    say(&format!("{}: {}\n", at + 1, self.counts(at)));
                }
            }
            "save" => self.save(words, Copying::Save)?,
            "copy" => self.save(words, Copying::Copy)?,
            "write" => self.save(words, Copying::Write)?,
            "edit" => self.edit(words, false)?,
            "visual" => self.edit(words, true)?,
            "pipe" => self.pipe(rest)?,
            "reply" | "respond" => self.reply(words, !self.settings.is_set("Replyall"))?,
            "Reply" | "Respond" => self.reply(words, self.settings.is_set("Replyall"))?,
            "mail" => self.mail(rest)?,
            "shell" => {
                shell::run(&self.settings.shell(), "")?;
            }
            "folder" | "file" if rest.is_empty() => self.announce(),
            "folder" | "file" => self.change_folder(rest)?,
            "folders" => {
                let lister = self.settings.value("LISTER").unwrap_or_else(|| "ls".into());
                // The folder's name goes as a shell word of its own.
                let name = self.settings.folder_dir().display().to_string().replace('\'', "'\\''");
                shell::run(&self.settings.shell(), &format!("{lister} -- '{name}'"))?;
            }
            "inc" => match self.folder.incorporate().map_err(|e| e.to_string())? {
                0 => say("No new mail.\n"),
                new => {
                    self.current = self.folder.messages.len() - new;
                    say(&format!("{new} new message{}\n", if new == 1 { "" } else { "s" }));
                    self.headers();
                }
            },
            "help" => say(HELP),
            "list" => say(&format!("Commands are:\n{}\n", COMMANDS.join(", "))),
            "quit" => {
                self.quit()?;
                return Ok(Flow::Leave);
            }
            _ => return Ok(Flow::Leave),
        }
        Ok(Flow::On)
    }

    fn chosen(&self, words: &[&str]) -> Result<Vec<usize>, String> {
        list::select(words, &self.folder, self.current, false)
    }

    fn change(&mut self, at: usize, change: impl Fn(&mut folder::Flags)) {
        self.current = at;
        if let Some(flags) = self.folder.flags_mut(at) {
            change(flags);
        }
    }

    fn mark(&mut self, words: &[&str], change: impl Fn(&mut folder::Flags)) -> Result<(), String> {
        for at in self.chosen(words)? {
            self.change(at, &change);
        }
        Ok(())
    }

    /// Moves from a deleted message to the next one that is not; false where there is none after it.
    fn leave_deleted(&mut self) -> bool {
        let fits = |at: &usize| !self.folder.flags(*at).deleted;
        let after = (self.current..self.folder.messages.len()).find(fits);
        let place = after.or_else(|| (0..self.current).rev().find(fits));
        self.current = place.unwrap_or(self.current);
        self.shown = after.is_none();
        after.is_some()
    }

    fn go_to_first(&mut self) {
        let count = self.folder.messages.len();
        let new = |at: &usize| !self.folder.flags(*at).old && !self.folder.flags(*at).read;
        let unread = |at: &usize| !self.folder.flags(*at).read;
        self.current = (0..count).find(new).or_else(|| (0..count).find(unread)).unwrap_or(0);
        self.shown = false;
        self.window = 0;
    }

    fn next(&mut self, words: &[&str]) -> Result<Flow, String> {
        if !words.is_empty() {
            let chosen = self.chosen(words)?;
            self.current = chosen.into_iter().find(|&at| at > self.current).unwrap_or(self.current);
            return self.print_current();
        }
        let from = if self.shown { self.current + 1 } else { self.current };
        match (from..self.folder.messages.len()).find(|&at| !self.folder.flags(at).deleted) {
            Some(at) => {
                self.current = at;
                self.print_current()
            }
            None => Err("At EOF".into()),
        }
    }

    fn move_by(&mut self, rest: &str, forward: bool) -> Result<Flow, String> {
        let steps: usize =
            if rest.is_empty() { 1 } else { rest.parse().map_err(|_| format!("{rest}: no number"))? };
        let undeleted = |at: &usize| !self.folder.flags(*at).deleted;
        let found = if forward {
            (self.current + 1..self.folder.messages.len()).filter(undeleted).nth(steps.saturating_sub(1))
        } else {
            (0..self.current).rev().filter(undeleted).nth(steps.saturating_sub(1))
        };
        self.current =
            found.ok_or(if forward { "Referencing beyond EOF" } else { "Referencing before 1" })?;
        self.print_current()
    }

    fn print_current(&mut self) -> Result<Flow, String> {
        let number = (self.current + 1).to_string();
        self.print(&[&number], false, false)
    }

    fn print(&mut self, words: &[&str], all_fields: bool, paged: bool) -> Result<Flow, String> {
        let mut text = String::new();
        for at in self.chosen(words)? {
            self.change(at, |flags| flags.read = true);
            self.shown = true;
            text.push_str(&format!("Message {}:\n", at + 1));
            text.push_str(&harmless(&self.readable(at, all_fields)));
        }
        let rows = self.settings.value("crt").map(|crt| crt.parse().unwrap_or_else(|_| size().1));
        let long = rows.is_some_and(|rows| text.lines().count() >= rows) && self.input.is_interactive();
        if paged || (long && crate::input::on_terminal()) {
            let pager = self.settings.value("PAGER").unwrap_or_else(|| "more".into());
            shell::give(&self.settings.shell(), &pager, text.as_bytes())?;
        } else {
            say(&text);
        }
        Ok(Flow::On)
    }

    /// A message as a person reads it.
    fn readable(&self, at: usize, all_fields: bool) -> String {
        let message = self.folder.text(at);
        let from_line = message.split(|&b| b == b'\n').next().unwrap_or_default();
        let mut text = String::from_utf8_lossy(from_line).into_owned() + "\n";
        for field in fields(message).filter(|f| all_fields || self.settings.shows(f.name)) {
            text.push_str(&format!(
                "{}: {}\n",
                field.name,
                message::decode_header_text(field.unfolded().as_bytes())
            ));
        }
        text.push('\n');
        text.push_str(message::readable_text(message).trim_end_matches('\n'));
        text.push_str("\n\n");
        text
    }

    fn top(&mut self, words: &[&str]) -> Result<(), String> {
        let lines = self.settings.value("toplines").and_then(|n| n.parse().ok()).unwrap_or(5);
        for at in self.chosen(words)? {
            self.current = at;
            let text = harmless(&self.readable(at, false));
            say(&format!("Message {}:\n", at + 1));
            text.lines().take(lines + 1).for_each(|line| say(&format!("{line}\n")));
        }
        Ok(())
    }

    /// The line that names the folder and counts its messages.
    fn announce(&self) {
        let count = |wanted: &dyn Fn(folder::Flags) -> bool| {
            (0..self.folder.messages.len()).filter(|&at| wanted(self.folder.flags(at))).count()
        };
        let messages = self.folder.messages.len();
        let mut text = format!(
            "\"{}\": {messages} message{}",
            self.folder.path.display(),
            if messages == 1 { "" } else { "s" }
        );
        let (new, unread) = (count(&|f| !f.old && !f.read), count(&|f| !f.read));
        // As bsd-mailx counts: the unread ones include the new ones, and are told where there are others.
        let unread = if unread > new { unread } else { 0 };
        let parts = [(new, "new"), (unread, "unread"), (count(&|f| f.deleted), "deleted")];
        for (number, word) in parts.into_iter().filter(|(number, _)| *number > 0) {
            text.push_str(&format!(" {number} {word}"));
        }
        say(&format!("{text}\n"));
    }

    fn window_rows(&self) -> usize {
        let set = self.settings.value("screen").and_then(|n| n.parse::<usize>().ok()).filter(|&n| n > 0);
        set.unwrap_or_else(|| size().1.saturating_sub(4).max(4))
    }

    fn headers(&mut self) {
        let rows = self.window_rows();
        self.window = self.current / rows;
        let first = self.window * rows;
        let last = (first + rows).min(self.folder.messages.len());
        (first..last).filter(|&at| !self.folder.flags(at).deleted).for_each(|at| self.header_line(at));
    }

    fn scroll(&mut self, rest: &str) -> Result<(), String> {
        let rows = self.window_rows();
        let windows = self.folder.messages.len().div_ceil(rows).max(1);
        let window = match rest {
            "" | "+" if self.window + 1 >= windows => return Err("On last screenful of messages".into()),
            "" | "+" => self.window + 1,
            "-" if self.window == 0 => return Err("On first screenful of messages".into()),
            "-" => self.window - 1,
            _ => return Err(format!("Unrecognized scrolling command \"{rest}\"")),
        };
        self.current = window * rows;
        self.headers();
        Ok(())
    }

    /// One line of the list, in the columns of bsd-mailx: mark, state, number, sender, date, lines/octets, subject.
    fn header_line(&self, at: usize) {
        let (flags, summary) = (self.folder.flags(at), self.folder.summary(at));
        let state = match flags {
            _ if flags.saved => '*',
            _ if flags.preserved => 'P',
            _ if flags.mboxed => 'M',
            _ if flags.read => ' ',
            _ if flags.old => 'U',
            _ => 'N',
        };
        let mark = if at == self.current { '>' } else { ' ' };
        let line = self.folder.text(at).split(|&b| b == b'\n').next().unwrap_or_default();
        let (envelope, date) = mbox::from_line(line).unwrap_or_default();
        let from = summary.from.map_or(envelope, |person| person.address);
        let head = format!(
            "{mark}{state}{:>3} {}  {} {:>9}",
            at + 1,
            fill(&harmless(&from), 17),
            fill(&harmless(&date), 16),
            self.counts_in_columns(at)
        );
        let columns = size().0.saturating_sub(head.chars().count() + 1);
        say(&format!("{head} {}\n", cut(&harmless(&summary.subject), columns)));
    }

    fn lines_and_octets(&self, at: usize) -> (usize, usize) {
        let text = self.folder.text(at);
        (text.iter().filter(|&&b| b == b'\n').count(), text.len())
    }

    fn counts(&self, at: usize) -> String {
        let (lines, octets) = self.lines_and_octets(at);
        format!("{lines}/{octets}")
    }

    fn counts_in_columns(&self, at: usize) -> String {
        let (lines, octets) = self.lines_and_octets(at);
        format!("{lines:>4}/{octets:<5}")
    }

    fn save(&mut self, words: &[&str], copying: Copying) -> Result<(), String> {
        // The last word is the file, unless the command has a list alone.
        let (list, name) = match words.split_last() {
            Some((name, list)) if !list::is_numeric(name) && !name.starts_with(':') => {
                (list, name.to_string())
            }
            _ if copying == Copying::Write => return Err("No file specified.".into()),
            _ => (words, "&".to_owned()),
        };
        let name = split_words(&name)?.into_iter().next().unwrap_or_default();
        let path = self.settings.file_name(&name, &self.folder.path, self.previous.as_deref())?;
        let chosen = self.chosen(list)?;
        let mut text = Vec::new();
        for &at in &chosen {
            match copying {
                Copying::Write => text.extend_from_slice(compose::body(self.folder.text(at))),
                _ => text.extend_from_slice(&self.folder.kept(at)),
            }
        }
        let new = folder::append(&path, &text).map_err(|e| format!("{}: {e}", path.display()))?;
        for at in chosen {
            self.change(at, |flags| flags.saved |= copying == Copying::Save);
        }
        say(&format!("\"{name}\" [{}]\n", if new { "New file" } else { "Appended" }));
        Ok(())
    }

    fn edit(&mut self, words: &[&str], visual: bool) -> Result<(), String> {
        for at in self.chosen(words)? {
            let edited =
                shell::edit(&self.settings.shell(), &self.settings.editor(visual), self.folder.text(at))?;
            self.change(at, |flags| flags.read = true);
            if edited != self.folder.text(at) && !self.folder.replace(at, edited) {
                return Err("What was edited is no single message any more; the old one stays".into());
            }
        }
        Ok(())
    }

    fn pipe(&mut self, rest: &str) -> Result<(), String> {
        let mut words = Vec::new();
        let mut command = rest;
        while let Some((word, after)) =
            command.split_once(char::is_whitespace).filter(|(word, _)| list::is_numeric(word))
        {
            words.push(word);
            command = after.trim_start();
        }
        let unquoted = split_words(command)?;
        let command = match unquoted.as_slice() {
            [] => return Err("pipe: no command was given".into()),
            [one] => one.clone(),
            _ => command.to_owned(),
        };
        let chosen = self.chosen(&words)?;
        let text: Vec<u8> = chosen.iter().flat_map(|&at| self.folder.text(at).iter().copied()).collect();
        for at in chosen {
            self.change(at, |flags| flags.read = true);
        }
        shell::give(&self.settings.shell(), &command, &text)?;
        Ok(())
    }

    fn reply(&mut self, words: &[&str], all: bool) -> Result<(), String> {
        let chosen = self.chosen(words)?;
        let [at] = chosen.as_slice() else {
            return Err("Sorry, can't reply to multiple messages at once".into());
        };
        self.change(*at, |flags| flags.read = true);
        let (user, metoo) = (self.user.name.clone(), self.settings.is_set("metoo"));
        let alternates = self.settings.alternates.clone();
        let is_own = |address: &str| {
            let local = address.split('@').next().unwrap_or_default();
            !metoo && (local == user || alternates.iter().any(|own| own.eq_ignore_ascii_case(address)))
        };
        let letter = compose::reply_to(self.folder.text(*at), all, is_own);
        if letter.draft.to.is_empty() {
            return Err("The message names nobody to reply to".into());
        }
        let people: Vec<String> = letter.draft.to.iter().map(message::Person::header_text).collect();
        say(&format!(
            "To: {}\nSubject: {}\n\n",
            harmless(&people.join(", ")),
            letter.draft.subject.as_deref().unwrap_or_default()
        ));
        self.write(letter)
    }

    fn mail(&mut self, rest: &str) -> Result<(), String> {
        let mut letter = Letter::default();
        sending::add_people(&self.settings, rest, &mut letter.draft.to)?;
        if letter.draft.to.is_empty() {
            return Err("mail: nobody was named".into());
        }
        if self.settings.is_set("ask") || self.settings.is_set("asksub") {
            compose::ask_subject(&mut letter, &mut self.input);
        }
        self.write(letter)
    }

    fn write(&mut self, mut letter: Letter) -> Result<(), String> {
        let reading = Reading { folder: &self.folder, current: self.current };
        match compose::compose(&mut letter, &self.settings, &mut self.input, false, Some(reading)) {
            Outcome::Send => sending::finish(&self.call, &letter, &self.settings, false).map(drop),
            Outcome::Dropped => Ok(()),
        }
    }

    fn change_folder(&mut self, name: &str) -> Result<(), String> {
        let name = split_words(name)?.into_iter().next().unwrap_or_default();
        let system = crate::system_mailbox(&self.call, &self.user.name, true);
        let path = self.settings.file_name(&name, &system, self.previous.as_deref())?;
        let is_system = path == system;
        let new = Folder::open(&path, is_system).map_err(|e| format!("{}: {e}", path.display()))?;
        self.quit()?;
        self.previous = Some(std::mem::replace(&mut self.folder, new).path);
        self.go_to_first();
        self.announce();
        Ok(())
    }

    /// Writes the folder back. Of the system mailbox, what was read goes to mbox, what was saved is gone, the rest stays.
    fn quit(&mut self) -> Result<(), String> {
        let path = self.folder.path.clone();
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |error: std::io::Error| format!("{}: {error}", path.display())
        };
        let (mut keep, mut to_mbox) = (Vec::new(), Vec::new());
        let (hold, keep_saved) = (self.settings.is_set("hold"), self.settings.is_set("keepsave"));
        for at in 0..self.folder.messages.len() {
            let flags = self.folder.flags(at);
            if flags.deleted {
                continue;
            }
            if !self.folder.is_system {
                keep.push(at);
                continue;
            }
            let leaves = flags.mboxed || (flags.read && !hold);
            match (flags.preserved, flags.saved, leaves) {
                (true, ..) => keep.push(at),
                (_, true, _) if !keep_saved => {}
                (_, _, true) => to_mbox.push(at),
                _ => keep.push(at),
            }
        }
        if !to_mbox.is_empty() {
            let mbox = self.settings.mbox();
            let text: Vec<u8> = to_mbox.iter().flat_map(|&at| self.folder.kept(at)).collect();
            // Synced there before it goes here: a crash between the two doubles a message and loses none.
            folder::append(&mbox, &text).map_err(failed(&mbox))?;
            say(&format!("Saved {} in {}\n", messages(to_mbox.len()), mbox.display()));
        }
        let remove = !self.folder.is_system && !self.settings.is_set("keep");
        self.folder.write_back(&keep, remove).map_err(failed(&path))?;
        if !self.folder.is_system {
            let what = if path.exists() { "complete" } else { "removed" };
            say(&format!("\"{}\" {what}\n", path.display()));
        } else if !keep.is_empty() {
            say(&format!("Held {} in {}\n", messages(keep.len()), path.display()));
        }
        Ok(())
    }
}

/// What is copied, and whether the message counts as saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copying {
    Save,
    Copy,
    /// The body alone.
    Write,
}

fn messages(count: usize) -> String {
    format!("{count} message{}", if count == 1 { "" } else { "s" })
}
