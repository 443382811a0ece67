//! The right side of an alias, a line of an include, a line of a `.forward`: `aliases(5)`, `local(8)`.

use std::ops::Range;

/// Longest single word of a target list, in octets: longer than any path or sensible command.
pub const TARGET_OCTETS_MAX: usize = 4096;

/// One destination as an administrator or a user wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// An address or a local name, not yet parsed: `user`, `user@host`.
    Address(String),
    /// `\user`: the user's mailbox, past aliases and `.forward`.
    Mailbox(String),
    /// `/path`: append to a file; `/path/` is a Maildir.
    File(String),
    /// `|command`: run by the shell with the message on its input.
    Command(String),
    /// `:include:/path`: a file with more targets.
    Include(String),
}

/// Something wrong in a text, for a person: where (byte offsets), what, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Byte range in the text.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// A line that can be followed.
    pub help: Option<String>,
}

/// Reads a list that is separated by commas. `base` is where `text` begins in its file, for the spans of problems.
pub fn parse_list(text: &str, base: usize, problems: &mut Vec<Problem>) -> Vec<Target> {
    split(text)
        .filter_map(|(range, item)| match classify(item) {
            Ok(target) => target,
            Err((message, help)) => {
                let help = help.map(str::to_owned);
                let span = base + range.start..base + range.end;
                problems.push(Problem { span, message: message.to_owned(), help });
                None
            }
        })
        .collect()
}

/// Reads a `.forward` or an include: lists on lines, `#` opens a comment line.
pub fn parse_lines(text: &str, problems: &mut Vec<Problem>) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let body = line.trim_end_matches(['\n', '\r']);
        if !body.trim_start().starts_with('#') {
            targets.append(&mut parse_list(body, at, problems));
        }
        at += line.len();
    }
    targets
}

/// Cuts at commas outside quotes and comments; gives each piece trimmed, with its range.
fn split(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut pieces = Vec::new();
    let (mut start, mut quoted, mut escaped, mut depth) = (0, false, false, 0_u32);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                pieces.push(start..at);
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(start..text.len());
    pieces.into_iter().filter_map(move |range| {
        let piece = text.get(range.clone())?;
        let lead = piece.len() - piece.trim_start().len();
        let piece = piece.trim();
        (!piece.is_empty()).then(|| (range.start + lead..range.start + lead + piece.len(), piece))
    })
}

type Complaint = (&'static str, Option<&'static str>);

fn classify(item: &str) -> Result<Option<Target>, Complaint> {
    if item.len() > TARGET_OCTETS_MAX {
        return Err(("this destination is too long", Some("the limit is 4096 characters")));
    }
    if item.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
        return Err(("a destination holds a control character", None));
    }
    // "|command with, commas" and "/file name": the quotes belong to this grammar. "quoted local"@host: to the address.
    if let Some(inner) = item.strip_prefix('"') {
        let mut word = String::new();
        let mut chars = inner.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    let rest = inner.get(at + 1..).unwrap_or("");
                    return match rest.trim() {
                        "" => plain(&word),
                        rest if rest.starts_with('@') => Ok(Some(Target::Address(item.to_owned()))),
                        _ => Err((
                            "text follows the closing quote",
                            Some("put the whole destination in one pair of quotes: \"|command arguments\""),
                        )),
                    };
                }
                '\\' => match chars.next() {
                    Some((_, c)) => word.push(c),
                    None => break,
                },
                c => word.push(c),
            }
        }
        return Err(("a quote is not closed", Some("write \" at the end of the destination")));
    }
    if item.starts_with(['|', '/', ':', '\\']) {
        return plain(item);
    }
    // `Name <address>` and `address (comment)`, as header fields have them.
    let without_comment = match (item.find('('), item.rfind(')')) {
        (Some(open), Some(close)) if open < close => {
            format!("{}{}", item.get(..open).unwrap_or(""), item.get(close + 1..).unwrap_or(""))
        }
        _ => item.to_owned(),
    };
    let item = without_comment.trim();
    if let (Some(open), Some(close)) = (item.find('<'), item.rfind('>')) {
        return plain(item.get(open + 1..close).unwrap_or("").trim());
    }
    if item.contains(char::is_whitespace) {
        return Err(("destinations must be separated by commas", Some("write: first, second")));
    }
    plain(item)
}

fn plain(word: &str) -> Result<Option<Target>, Complaint> {
    if word.is_empty() {
        return Ok(None);
    }
    if let Some(command) = word.strip_prefix('|') {
        let command = command.trim();
        if command.is_empty() {
            return Err(("no command follows |", Some("write: \"|/usr/bin/program arguments\"")));
        }
        return Ok(Some(Target::Command(command.to_owned())));
    }
    if word.starts_with('/') {
        return Ok(Some(Target::File(word.to_owned())));
    }
    if let Some(path) = word.strip_prefix(":include:") {
        let path = path.trim();
        if !path.starts_with('/') {
            return Err(("an include needs an absolute path", Some("write: :include:/etc/mail/list")));
        }
        return Ok(Some(Target::Include(path.to_owned())));
    }
    if word.starts_with(':') {
        return Err(("only :include: begins with a colon", Some("write: :include:/path")));
    }
    if let Some(user) = word.strip_prefix('\\') {
        return if user.is_empty() {
            Err(("no user follows \\", None))
        } else {
            Ok(Some(Target::Mailbox(user.to_owned())))
        };
    }
    match crate::Address::parse(word) {
        Ok(_) => Ok(Some(Target::Address(word.to_owned()))),
        Err(crate::AddressError::Local) => {
            Err(("the part before @ has a character that must be quoted", Some("write: \"part\"@host")))
        }
        Err(crate::AddressError::Domain) => Err(("the part after @ is no host or domain name", None)),
        Err(_) => {
            Err(("this is no address", Some("write user, user@host, /file, |command or :include:/path")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: each form of a destination, quoted and not, and the complaints.
    #[test]
    fn lists_of_targets() {
        let check = |text: &str, expected: &[Target], complaints: &[&str]| {
            let mut problems = Vec::new();
            assert_eq!(parse_list(text, 0, &mut problems), expected, "{text}");
            let got: Vec<_> = problems.iter().map(|p| p.message.as_str()).collect();
            assert_eq!(got, complaints, "{text}");
            for p in problems {
                assert!(text.get(p.span.clone()).is_some_and(|t| !t.is_empty()), "{text}: {:?}", p.span);
            }
        };
        let address = |s: &str| Target::Address(s.into());
        check("a, b@c ,, d", &[address("a"), address("b@c"), address("d")], &[]);
        check("\\root", &[Target::Mailbox("root".into())], &[]);
        check("/var/log/x", &[Target::File("/var/log/x".into())], &[]);
        check("\"/a, b\"", &[Target::File("/a, b".into())], &[]);
        check("|/bin/x", &[Target::Command("/bin/x".into())], &[]);
        check("|/bin/x -a b", &[Target::Command("/bin/x -a b".into())], &[]);
        check("\"|/bin/x 'a, b' \\\"c\\\"\"", &[Target::Command("/bin/x 'a, b' \"c\"".into())], &[]);
        check(":include:/etc/l", &[Target::Include("/etc/l".into())], &[]);
        check("\":include:/etc/l\"", &[Target::Include("/etc/l".into())], &[]);
        check("\"a b\"@c", &[address("\"a b\"@c")], &[]);
        check("Bob <b@c>", &[address("b@c")], &[]);
        check("b@c (Bob, the builder)", &[address("b@c")], &[]);
        check("a b", &[], &["destinations must be separated by commas"]);
        check("\"|x", &[], &["a quote is not closed"]);
        check("\"|x\" y, ok", &[address("ok")], &["text follows the closing quote"]);
        check(":include:rel", &[], &["an include needs an absolute path"]);
        check(":x", &[], &["only :include: begins with a colon"]);
        check("a@b..c", &[], &["the part after @ is no host or domain name"]);
    }

    /// Goal: a `.forward` has lines, lists and comments; an empty one has nothing.
    #[test]
    fn lines_of_a_forward_file() {
        let check = |text: &str, expected: usize| {
            let mut problems = Vec::new();
            assert_eq!(parse_lines(text, &mut problems).len(), expected, "{text:?}");
            assert!(problems.is_empty(), "{problems:?}");
        };
        check("", 0);
        check("# nothing\n\n", 0);
        check("\\me, other@host\n\"|/usr/bin/vacation me\"\n", 3);
        check("a\r\nb\r\n", 2);
    }
}
