//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "usage: mail [-EIinv] [-a header|file] [-b bcc] [-c cc] [-r from] [-S var[=value]] [-s subject] [--] to ...\n       \
    mail [-eHIiNnv] [-f [file]]\n       mail [-eHIiNnv] [-u user]";

/// To send or to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    Send {
        to: Vec<String>,
    },
    /// `file`: none is the system mailbox, `Some(None)` the mbox file.
    Read {
        file: Option<Option<String>>,
        user: Option<String>,
    },
}

/// A parsed command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) subject: Option<String>,
    pub(crate) cc: Vec<String>,
    pub(crate) bcc: Vec<String>,
    pub(crate) from: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) attachments: Vec<PathBuf>,
    pub(crate) assignments: Vec<String>,
    /// `-E`.
    pub(crate) skip_empty: bool,
    /// `-n`.
    pub(crate) no_system_rc: bool,
    /// `-N`.
    pub(crate) no_headers: bool,
    /// `-H`.
    pub(crate) headers_only: bool,
    /// `-e`.
    pub(crate) exists_only: bool,
    /// `-i`.
    pub(crate) ignore_interrupts: bool,
    /// `-I`.
    pub(crate) interactive: bool,
    /// `-v`.
    pub(crate) verbose: bool,
}

impl Options {
    pub(crate) fn parse(args: &[OsString]) -> Result<Self, String> {
        let mut options = Self {
            mode: Mode::Read { file: None, user: None },
            subject: None,
            cc: Vec::new(),
            bcc: Vec::new(),
            from: None,
            headers: Vec::new(),
            attachments: Vec::new(),
            assignments: Vec::new(),
            skip_empty: false,
            no_system_rc: false,
            no_headers: false,
            headers_only: false,
            exists_only: false,
            ignore_interrupts: false,
            interactive: false,
            verbose: false,
        };
        let (mut from_file, mut user) = (false, None);
        let mut words = args.iter().map(|word| word.to_string_lossy().into_owned()).peekable();
        while let Some(word) = words.next_if(|word| word.len() > 1 && word.starts_with('-')) {
            if word == "--" {
                break;
            }
            let mut letters = word.get(1..).unwrap_or_default().chars();
            while let Some(letter) = letters.next() {
                let mut value = || {
                    let attached = std::mem::replace(&mut letters, "".chars()).as_str().to_owned();
                    match attached.is_empty() {
                        false => Ok(attached),
                        true => {
                            words.next().ok_or_else(|| format!("option -{letter} needs a value\n{USAGE}"))
                        }
                    }
                };
                match letter {
                    's' => options.subject = Some(value()?),
                    'c' => options.cc.push(value()?),
                    'b' => options.bcc.push(value()?),
                    'r' => options.from = Some(value()?),
                    'u' => user = Some(value()?),
                    'S' => options.assignments.push(value()?),
                    'a' => match as_header(&value()?) {
                        Ok(header) => options.headers.push(header),
                        Err(path) => options.attachments.push(path),
                    },
                    'f' => from_file = true,
                    'E' => options.skip_empty = true,
                    'n' => options.no_system_rc = true,
                    'N' => options.no_headers = true,
                    'H' => options.headers_only = true,
                    'e' => options.exists_only = true,
                    'i' => options.ignore_interrupts = true,
                    'I' => options.interactive = true,
                    'v' => options.verbose = true,
                    _ => return Err(format!("invalid option -- '{letter}'\n{USAGE}")),
                }
            }
        }
        let rest: Vec<String> = words.collect();
        let for_sending = options.subject.is_some() || !options.cc.is_empty() || !options.bcc.is_empty();
        options.mode = if from_file {
            let mut rest = rest.into_iter();
            let file = rest.next();
            if rest.next().is_some() || user.is_some() || for_sending {
                return Err(USAGE.into());
            }
            Mode::Read { file: Some(file), user: None }
        } else if !rest.is_empty() {
            if user.is_some() {
                return Err(format!("-u reads a mailbox, so there can be no recipient\n{USAGE}"));
            }
            Mode::Send { to: rest }
        } else if for_sending {
            return Err(format!("You must specify direct recipients with -s, -c, or -b.\n{USAGE}"));
        } else {
            Mode::Read { file: None, user }
        };
        Ok(options)
    }
}

/// A word of `-a`: `Name: value` is a header, all else a file.
fn as_header(word: &str) -> Result<(String, String), PathBuf> {
    match word.split_once(':') {
        Some((name, value)) if !name.contains('/') && message::is_field_name(name) => {
            Ok((name.to_owned(), value.trim().to_owned()))
        }
        _ => Err(PathBuf::from(word)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: calls of both families are understood.
    #[test]
    fn calls_are_understood() {
        let check = |line: &[&str], expected: &str| {
            let words: Vec<OsString> = line.iter().map(OsString::from).collect();
            let got = match Options::parse(&words) {
                Err(error) => error.lines().next().unwrap_or_default().to_owned(),
                Ok(o) => format!(
                    "{:?} s={:?} c={} b={} r={:?} h={:?} a={:?}",
                    o.mode,
                    o.subject.unwrap_or_default(),
                    o.cc.join("+"),
                    o.bcc.join("+"),
                    o.from.unwrap_or_default(),
                    o.headers,
                    o.attachments
                ),
            };
            assert_eq!(got, expected, "{line:?}");
        };
        let read = |mode: &str| format!("{mode} s=\"\" c= b= r=\"\" h=[] a=[]");
        check(&[], &read("Read { file: None, user: None }"));
        check(&["-f"], &read("Read { file: Some(None), user: None }"));
        check(&["-f", "x"], &read("Read { file: Some(Some(\"x\")), user: None }"));
        check(&["-Hf", "x"], &read("Read { file: Some(Some(\"x\")), user: None }"));
        check(&["-u", "bob"], &read("Read { file: None, user: Some(\"bob\") }"));
        check(
            &[
                "-s",
                "a b",
                "-c",
                "c",
                "-bb",
                "-r",
                "me",
                "-a",
                "X-A: b:c",
                "-a",
                "/tmp/x: y",
                "--",
                "-x",
                "root",
            ],
            "Send { to: [\"-x\", \"root\"] } s=\"a b\" c=c b=b r=\"me\" h=[(\"X-A\", \"b:c\")] a=[\"/tmp/x: y\"]",
        );
        check(&["-s", "x"], "You must specify direct recipients with -s, -c, or -b.");
        check(&["-Z"], "invalid option -- 'Z'");
        check(&["-s"], "option -s needs a value");
    }
}
