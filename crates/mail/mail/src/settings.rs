//! Variables, groups of addresses, shown and hidden headers: what `.mailrc` says and what `set` changes.

use crate::screen::say;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Files that files may source in turn.
const SOURCE_DEPTH_MAX: u32 = 16;
/// Octets of a startup file.
const SOURCE_OCTETS_MAX: u64 = 1024 * 1024;
/// Variables that are set before any startup file is read: with them a letter is written as Debian's `/etc/mail.rc` has it,
/// whether there is such a file or not.
const SET_AT_FIRST: [&str; 2] = ["asksub", "dot"];
/// Header fields that are not shown unless asked for, besides those that `ignore` names.
const IGNORED: [&str; 13] = [
    "received",
    "message-id",
    "resent-message-id",
    "status",
    "x-status",
    "mail-from",
    "return-path",
    "via",
    "delivered-to",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "references",
];

/// All that can be set.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    variables: BTreeMap<String, String>,
    groups: BTreeMap<String, Vec<String>>,
    ignored: BTreeSet<String>,
    retained: BTreeSet<String>,
    pub(crate) alternates: Vec<String>,
    sending: bool,
    terminal: bool,
    pub(crate) home: PathBuf,
    /// Where read messages go unless `MBOX` says otherwise.
    usual_mbox: PathBuf,
    /// Where letters that could not be sent go unless `DEAD` says otherwise.
    usual_dead_letter: PathBuf,
    /// Whether each `if` that is open holds.
    conditions: Vec<bool>,
    depth: u32,
}

/// Whether a command was one of these.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Handled {
    Yes,
    /// The command is another's; its word and the rest.
    No,
}

impl Settings {
    pub(crate) fn new(sending: bool, terminal: bool, home: PathBuf) -> Self {
        Self {
            variables: BTreeMap::from(SET_AT_FIRST.map(|name| (name.to_owned(), String::new()))),
            groups: BTreeMap::new(),
            ignored: IGNORED.iter().map(|&name| name.to_owned()).collect(),
            retained: BTreeSet::new(),
            alternates: Vec::new(),
            sending,
            terminal,
            usual_mbox: home.join("mbox"),
            usual_dead_letter: home.join("dead.letter"),
            home,
            conditions: Vec::new(),
            depth: 0,
        }
    }

    /// Keeps read messages and dead letters in the house, beside the mailbox of `user`: mail of a house stays in it.
    pub(crate) fn keep_in_house(&mut self, layout: &layout::Layout, user: &str) {
        self.usual_mbox = layout.place(format!("mail/{user}.mbox"), &self.usual_mbox);
        self.usual_dead_letter = layout.place(format!("mail/{user}.dead"), &self.usual_dead_letter);
    }

    /// A variable's value: as set, or from the environment for those that mailx(1) takes from there.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let from_environment = ["DEAD", "EDITOR", "LISTER", "MBOX", "PAGER", "REPLYTO", "SHELL", "VISUAL"];
        self.variables.get(name).cloned().or_else(|| {
            let wanted = from_environment.contains(&name);
            wanted.then(|| std::env::var(name).ok()).flatten().filter(|value| !value.is_empty())
        })
    }

    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// `name`, `name=value` or `noname`.
    pub(crate) fn set(&mut self, assignment: &str) {
        match assignment.split_once('=') {
            Some((name, value)) => {
                self.variables.insert(name.to_owned(), value.to_owned());
            }
            None => match assignment.strip_prefix("no") {
                Some(name) if !matches!(assignment, "noheader" | "nosave") => {
                    self.variables.remove(name);
                }
                _ => {
                    self.variables.insert(assignment.to_owned(), String::new());
                }
            },
        }
    }

    pub(crate) fn shell(&self) -> String {
        self.value("SHELL").unwrap_or_else(|| "/bin/sh".into())
    }

    pub(crate) fn editor(&self, visual: bool) -> String {
        let (first, second, usual) =
            if visual { ("VISUAL", "EDITOR", "vi") } else { ("EDITOR", "VISUAL", "ed") };
        self.value(first).or_else(|| self.value(second)).unwrap_or_else(|| usual.into())
    }

    /// The file of read messages.
    pub(crate) fn mbox(&self) -> PathBuf {
        self.value("MBOX").map_or_else(|| self.usual_mbox.clone(), |path| self.tilde(&path))
    }

    /// The file of letters that could not be sent.
    pub(crate) fn dead_letter(&self) -> PathBuf {
        self.value("DEAD").map_or_else(|| self.usual_dead_letter.clone(), |path| self.tilde(&path))
    }

    /// The escape character of a letter being written; none where it is switched off.
    pub(crate) fn escape(&self) -> Option<char> {
        match self.variables.get("escape") {
            Some(value) => value.chars().next(),
            None => Some('~'),
        }
    }

    /// A file as commands name it: `~/x`, `+folder`, `%` the system mailbox, `&` the mbox, `#` the previous file.
    pub(crate) fn file_name(
        &self,
        name: &str,
        system: &Path,
        previous: Option<&Path>,
    ) -> Result<PathBuf, String> {
        match name {
            "%" => return Ok(system.to_path_buf()),
            "&" => return Ok(self.mbox()),
            "#" => return previous.map(Path::to_path_buf).ok_or_else(|| "No previous file".into()),
            _ => {}
        }
        if let Some(user) = name.strip_prefix('%') {
            // A user's name only: no way out of the folder of mailboxes.
            return match user.contains('/') || user == ".." {
                true => Err(format!("{user}: no user's name")),
                false => Ok(system.with_file_name(user)),
            };
        }
        Ok(match name.strip_prefix('+') {
            Some(name) => self.folder_dir().join(name),
            None => self.tilde(name),
        })
    }

    /// The folder of folders.
    pub(crate) fn folder_dir(&self) -> PathBuf {
        let named = self.value("folder").unwrap_or_default();
        let path = self.tilde(&named);
        if path.is_absolute() { path } else { self.home.join(path) }
    }

    fn tilde(&self, path: &str) -> PathBuf {
        match path.strip_prefix('~') {
            Some("") => self.home.clone(),
            Some(rest) if rest.starts_with('/') => self.home.join(rest.trim_start_matches('/')),
            _ => PathBuf::from(path),
        }
    }

    /// Whether a header field is shown.
    pub(crate) fn shows(&self, field: &str) -> bool {
        let field = field.to_ascii_lowercase();
        if self.retained.is_empty() { !self.ignored.contains(&field) } else { self.retained.contains(&field) }
    }

    /// A name with its groups dissolved, each address once.
    pub(crate) fn expand(&self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        self.expand_into(name, &mut Vec::new(), &mut found);
        found
    }

    fn expand_into(&self, name: &str, above: &mut Vec<String>, found: &mut Vec<String>) {
        match self.groups.get(name) {
            // A group that names itself means the address of that name.
            Some(members) if !above.iter().any(|group| group == name) => {
                above.push(name.to_owned());
                for member in members {
                    self.expand_into(member, above, found);
                }
                above.pop();
            }
            _ if found.iter().any(|address| address == name) => {}
            _ => found.push(name.to_owned()),
        }
    }

    /// Reads commands from a file. A startup file that is missing is no error.
    pub(crate) fn source(&mut self, path: &Path, startup: bool) -> Result<(), String> {
        if startup && !path.exists() {
            return Ok(());
        }
        if self.depth >= SOURCE_DEPTH_MAX {
            return Err(format!("{}: more than {SOURCE_DEPTH_MAX} files source each other", path.display()));
        }
        let bytes = crate::shell::read_file(path, SOURCE_OCTETS_MAX)?;
        let text = String::from_utf8_lossy(&bytes).replace("\\\n", " ");
        let open = self.conditions.len();
        self.depth += 1;
        for (at, line) in text.lines().enumerate() {
            let complaint = match self.execute(line) {
                Ok(Handled::Yes) => continue,
                Ok(Handled::No) => {
                    let word = line.split_whitespace().next().unwrap_or_default().to_owned();
                    format!("Unknown command: \"{word}\"")
                }
                Err(error) => error,
            };
            eprintln!("{}:{}: {complaint}", path.display(), at + 1);
        }
        self.depth -= 1;
        if self.conditions.len() > open {
            self.conditions.truncate(open);
            eprintln!("{}: Unmatched \"if\"", path.display());
        }
        Ok(())
    }

    /// Executes a command where it is one of settings, which may stand in startup files.
    pub(crate) fn execute(&mut self, line: &str) -> Result<Handled, String> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(Handled::Yes);
        }
        let words = split_words(line)?;
        let Some((verb, arguments)) = words.split_first() else { return Ok(Handled::Yes) };
        let is = |name: &str, shortest: usize| verb.len() >= shortest && name.starts_with(verb.as_str());
        if is("if", 2) {
            let word = arguments.first().map(|word| word.to_ascii_lowercase()).unwrap_or_default();
            let holds = match word.chars().next() {
                Some('s') => self.sending,
                Some('r') => !self.sending,
                Some('t') => self.terminal,
                _ => return Err(format!("Unrecognized if-keyword: \"{word}\"")),
            };
            let outer = self.conditions.last().copied().unwrap_or(true);
            self.conditions.push(outer && holds);
            return Ok(Handled::Yes);
        }
        if is("else", 2) {
            let outer = self.conditions.iter().rev().nth(1).copied().unwrap_or(true);
            let own = self.conditions.last_mut().ok_or("\"Else\" without matching \"if\"")?;
            *own = outer && !*own;
            return Ok(Handled::Yes);
        }
        if is("endif", 2) {
            self.conditions.pop().ok_or("\"Endif\" without matching \"if\"")?;
            return Ok(Handled::Yes);
        }
        if !self.conditions.last().copied().unwrap_or(true) {
            return Ok(Handled::Yes);
        }
        if is("set", 2) {
            if arguments.is_empty() {
                for (name, value) in &self.variables {
                    say(&format!("{name}\t{value}\n"));
                }
            }
            arguments.iter().for_each(|assignment| self.set(assignment));
        } else if is("unset", 3) {
            for name in arguments {
                self.variables.remove(name);
            }
        } else if is("alias", 1) && !is("alternates", 3) || is("group", 1) {
            self.alias(arguments);
        } else if is("unalias", 3) {
            for name in arguments {
                self.groups.remove(name);
            }
        } else if is("alternates", 3) {
            match arguments.is_empty() {
                true => say(&format!("{}\n", self.alternates.join(" "))),
                false => self.alternates = arguments.to_vec(),
            }
        } else if is("ignore", 2) || is("discard", 2) {
            change_fields(&mut self.ignored, arguments);
        } else if is("retain", 3) {
            change_fields(&mut self.retained, arguments);
        } else if is("source", 3) {
            let path = arguments.first().ok_or("source: no file was named")?;
            let path = self.tilde(path);
            self.source(&path, false)?;
        } else if is("chdir", 2) || is("cd", 2) {
            let path = arguments.first().map_or_else(|| self.home.clone(), |path| self.tilde(path));
            std::env::set_current_dir(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        } else if is("echo", 2) {
            say(&format!("{}\n", arguments.join(" ")));
        } else {
            return Ok(Handled::No);
        }
        Ok(Handled::Yes)
    }

    fn alias(&mut self, arguments: &[String]) {
        let print = |name: &str, members: &[String]| say(&format!("{name}\t{}\n", members.join(" ")));
        match arguments.split_first() {
            None => self.groups.iter().for_each(|(name, members)| print(name, members)),
            Some((name, [])) => match self.groups.get(name) {
                Some(members) => print(name, members),
                None => say(&format!("\"{name}\" is not a group\n")),
            },
            Some((name, members)) => {
                let group = self.groups.entry(name.clone()).or_default();
                for member in
                    members.iter().flat_map(|m| m.split(',')).map(str::trim).filter(|m| !m.is_empty())
                {
                    group.push(member.to_owned());
                }
            }
        }
    }
}

fn change_fields(fields: &mut BTreeSet<String>, names: &[String]) {
    if names.is_empty() {
        fields.iter().for_each(|name| say(&format!("{name}\n")));
    }
    fields.extend(names.iter().map(|name| name.to_ascii_lowercase()));
}

/// The words of a command line: quotes of both kinds and backslashes keep white space together.
pub(crate) fn split_words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().extend(chars.next()),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    match quote {
        Some(quote) => Err(format!("a closing {quote} is missing")),
        None => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(sending: bool, lines: &str) -> (Settings, Vec<String>) {
        let mut settings = Settings::new(sending, false, PathBuf::from("/home/u"));
        let mut errors = Vec::new();
        for line in lines.lines() {
            match settings.execute(line) {
                Ok(Handled::Yes) => {}
                Ok(Handled::No) => errors.push(format!("unknown {line}")),
                Err(error) => errors.push(error),
            }
        }
        (settings, errors)
    }

    /// Goal: a startup file sets what it says, under its conditions.
    #[test]
    fn startup_files_are_obeyed() {
        let lines = "# comment\nset ask hold indentprefix=\"> \"\nset noask\nalias team a@b c, d\nalias c c@x team\n\
            if s\nset x=send\nif t\nset y\nendif\nelse\nset x=read\nendif\nignore X-Foo\nunset hold\nbogus 1";
        for (sending, x) in [(true, "send"), (false, "read")] {
            let (settings, errors) = settings(sending, lines);
            assert_eq!(errors, ["unknown bogus 1"]);
            assert_eq!(settings.value("indentprefix").as_deref(), Some("> "));
            assert_eq!(settings.value("x").as_deref(), Some(x));
            assert!(!settings.is_set("ask") && !settings.is_set("hold") && !settings.is_set("y"));
            assert!(!settings.shows("x-foo") && settings.shows("Subject") && !settings.shows("Received"));
            assert_eq!(settings.expand("team"), ["a@b", "c@x", "team", "d"]);
            assert_eq!(settings.expand("other"), ["other"]);
        }
        let check = |line: &str, error: &str| assert_eq!(settings(false, line).1, [error]);
        check("else", "\"Else\" without matching \"if\"");
        check("endif", "\"Endif\" without matching \"if\"");
        check("if q", "Unrecognized if-keyword: \"q\"");
        check("set \"a", "a closing \" is missing");
    }

    /// Goal: what a house keeps for its users stays in it, and on a system in the user's home.
    #[test]
    fn read_messages_and_dead_letters_have_their_place() {
        let check = |layout: layout::Layout, lines: &str, mbox: &str, dead: &str| {
            let (mut settings, _) = settings(true, lines);
            settings.keep_in_house(&layout, "u");
            assert_eq!(
                (settings.mbox().as_path(), settings.dead_letter().as_path()),
                (Path::new(mbox), Path::new(dead))
            );
        };
        let house = || layout::Layout::house("/h");
        check(layout::Layout::system(), "", "/home/u/mbox", "/home/u/dead.letter");
        check(house(), "", "/h/mail/u.mbox", "/h/mail/u.dead");
        check(house(), "set MBOX=~/read DEAD=/d", "/home/u/read", "/d");
    }

    /// Goal: a lone dot ends a letter unless somebody says that it does not.
    #[test]
    fn dot_is_set_until_it_is_unset() {
        let check = |lines: &str, expected: bool| {
            assert_eq!(settings(true, lines).0.is_set("dot"), expected, "{lines}")
        };
        check("", true);
        check("set nodot", false);
        check("unset dot", false);
        check("set nodot\nset dot", true);
    }

    /// Goal: names of files mean what mailx says they mean.
    #[test]
    fn file_names_are_understood() {
        let (settings, _) = settings(false, "set folder=Mail");
        let check = |name: &str, expected: &str| {
            let got = settings.file_name(name, Path::new("/var/mail/u"), Some(Path::new("/p")));
            assert_eq!(got.map_err(|_| "error").unwrap_or_else(PathBuf::from), Path::new(expected), "{name}");
        };
        check("%", "/var/mail/u");
        check("%bob", "/var/mail/bob");
        check("%../x", "error");
        check("&", "/home/u/mbox");
        check("#", "/p");
        check("+work", "/home/u/Mail/work");
        check("~/x", "/home/u/x");
        check("x", "x");
    }
}
