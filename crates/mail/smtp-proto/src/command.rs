//! Commands: one line of text to one typed value (RFC 5321 section 4.1).

use crate::path::{Mailbox, PathError, take_path};
use crate::reply::Reply;

/// One command with its typed arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `EHLO name`.
    Ehlo(String),
    /// `HELO name`.
    Helo(String),
    /// `MAIL FROM:<path> [parameters]`; none is the null sender of bounces.
    Mail(Option<Mailbox>, MailParameters),
    /// `RCPT TO:<path>`.
    Rcpt(Mailbox),
    /// `DATA`.
    Data,
    /// `RSET`.
    Rset,
    /// `NOOP [anything]`.
    Noop,
    /// `VRFY name`.
    Vrfy(String),
    /// `QUIT`.
    Quit,
    /// `HELP [anything]`.
    Help,
}

/// The parameters of MAIL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// `SIZE=`: octets that the client means to send (RFC 1870).
    pub size: Option<u64>,
    /// `BODY=` (RFC 6152).
    pub body: Option<BodyType>,
}

/// What the client says of the content's octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyType {
    /// Octets below 128 only.
    SevenBit,
    /// Any octets, in lines.
    EightBitMime,
}

/// A line that is no command, and the reply it deserves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandError {
    /// A protocol that is not SMTP (`GET / HTTP/1.1`): the session ends.
    ForeignProtocol,
    /// A word that is no command here.
    Unknown,
    /// A command of SMTP that is not offered here.
    NotOffered,
    /// Missing or malformed argument.
    Syntax(&'static str),
    /// A path that is none.
    Path(PathError),
    /// A MAIL or RCPT parameter that no announced extension has.
    Parameter(String),
}

impl Command {
    /// Reads one command line, without its line ending.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        if line.iter().any(|&b| b == 0 || b == b'\r' || b == b'\n') {
            return Err(CommandError::Syntax("a command holds no NUL, CR or LF"));
        }
        let line = line.trim_ascii_end();
        let end = line.iter().position(|b| b.is_ascii_whitespace()).unwrap_or(line.len());
        let (verb, argument) = line.split_at_checked(end).unwrap_or((line, b""));
        let argument = argument.trim_ascii();
        let is = |name: &str| verb.eq_ignore_ascii_case(name.as_bytes());
        let nothing = |command: Self| match argument.is_empty() {
            true => Ok(command),
            false => Err(CommandError::Syntax("this command takes no argument")),
        };
        if is("EHLO") {
            helo_name(argument).map(Self::Ehlo)
        } else if is("HELO") {
            helo_name(argument).map(Self::Helo)
        } else if is("MAIL") {
            let path = keyword(argument, b"FROM:").ok_or(CommandError::Syntax("MAIL FROM:<address>"))?;
            let (sender, rest) = take_path(path).map_err(CommandError::Path)?;
            Ok(Self::Mail(sender, mail_parameters(rest)?))
        } else if is("RCPT") {
            let path = keyword(argument, b"TO:").ok_or(CommandError::Syntax("RCPT TO:<address>"))?;
            let (recipient, rest) = take_path(path).map_err(CommandError::Path)?;
            let recipient = recipient.ok_or(CommandError::Path(PathError::Syntax))?;
            match words(rest).next() {
                Some(word) => Err(CommandError::Parameter(printable(word))),
                None => Ok(Self::Rcpt(recipient)),
            }
        } else if is("DATA") {
            nothing(Self::Data)
        } else if is("RSET") {
            nothing(Self::Rset)
        } else if is("QUIT") {
            nothing(Self::Quit)
        } else if is("NOOP") {
            Ok(Self::Noop)
        } else if is("HELP") {
            Ok(Self::Help)
        } else if is("VRFY") {
            match argument.is_empty() {
                true => Err(CommandError::Syntax("VRFY address")),
                false => Ok(Self::Vrfy(printable(argument))),
            }
        } else if ["STARTTLS", "AUTH", "BDAT", "EXPN", "ETRN", "TURN", "SEND", "SOML", "SAML"]
            .into_iter()
            .any(is)
        {
            Err(CommandError::NotOffered)
        } else if ["GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS"].into_iter().any(is)
            || verb.ends_with(b":")
        {
            // A browser or proxy tricked into speaking to this port: nothing it sends further may be obeyed.
            Err(CommandError::ForeignProtocol)
        } else {
            Err(CommandError::Unknown)
        }
    }
}

impl CommandError {
    /// The reply that says so.
    pub fn reply(&self) -> Reply {
        match self {
            Self::ForeignProtocol => {
                Reply::new(521, (5, 5, 1), "This is not the protocol you are looking for; closing")
            }
            Self::Unknown => Reply::new(500, (5, 5, 2), "Error: command not recognized"),
            Self::NotOffered => Reply::new(502, (5, 5, 1), "Error: command not implemented"),
            Self::Syntax(usage) => Reply::new(501, (5, 5, 4), format!("Syntax: {usage}")),
            Self::Path(PathError::Syntax) => Reply::new(501, (5, 1, 3), "Bad address syntax"),
            Self::Path(PathError::SourceRoute) => Reply::new(553, (5, 1, 3), "Source routes are refused"),
            Self::Path(PathError::NotAscii) => {
                Reply::new(553, (5, 6, 7), "Address must be ASCII: SMTPUTF8 is not offered")
            }
            Self::Path(PathError::TooLong) => Reply::new(501, (5, 1, 3), "Address too long"),
            Self::Parameter(word) => Reply::new(555, (5, 5, 4), format!("Unsupported option: {word}")),
        }
    }
}

fn helo_name(argument: &[u8]) -> Result<String, CommandError> {
    // Real clients send underscores and other unlawful names: what a name must be is policy, not syntax.
    match argument.is_empty() || argument.iter().any(|b| b.is_ascii_whitespace()) {
        true => Err(CommandError::Syntax("EHLO or HELO hostname")),
        false => Ok(printable(argument)),
    }
}

/// What follows a keyword such as `FROM:`, in any case, spaces before its colon not allowed.
fn keyword<'a>(argument: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = argument.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then_some(rest)
}

fn mail_parameters(text: &[u8]) -> Result<MailParameters, CommandError> {
    let mut parameters = MailParameters::default();
    for word in words(text) {
        let split = word.iter().position(|&b| b == b'=').unwrap_or(word.len());
        let (name, value) = word.split_at_checked(split).unwrap_or((word, b""));
        let value = value.get(1..).unwrap_or_default();
        if name.eq_ignore_ascii_case(b"SIZE") {
            // RFC 1870 section 3: 1 to 20 digits.
            let digits = (1..=20).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
            let size = std::str::from_utf8(value).ok().filter(|_| digits);
            parameters.size = Some(match size {
                Some(size) => size.parse().unwrap_or(u64::MAX),
                None => return Err(CommandError::Syntax("SIZE=octets")),
            });
        } else if name.eq_ignore_ascii_case(b"BODY") {
            parameters.body = Some(if value.eq_ignore_ascii_case(b"7BIT") {
                BodyType::SevenBit
            } else if value.eq_ignore_ascii_case(b"8BITMIME") {
                BodyType::EightBitMime
            } else {
                return Err(CommandError::Syntax("BODY=7BIT or BODY=8BITMIME"));
            });
        } else {
            return Err(CommandError::Parameter(printable(word)));
        }
    }
    Ok(parameters)
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| b.is_ascii_whitespace()).filter(|word| !word.is_empty())
}

/// The text with everything but printable ASCII as `?`: it goes into replies, logs and the Received header.
fn printable(text: &[u8]) -> String {
    text.iter().map(|&b| if b == b' ' || b.is_ascii_graphic() { char::from(b) } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: each line is one command or one reply code.
    #[test]
    fn lines_are_commands() {
        let check = |line: &[u8], expected: Result<Command, u16>| {
            let got = Command::parse(line).map_err(|e| e.reply().code);
            assert_eq!(got, expected, "{}", String::from_utf8_lossy(line));
        };
        let mailbox = |text: &str| Mailbox::parse(text.as_bytes()).unwrap();
        check(b"EHLO a.example", Ok(Command::Ehlo("a.example".into())));
        check(b"helo [192.0.2.1] ", Ok(Command::Helo("[192.0.2.1]".into())));
        check(b"EHLO", Err(501));
        check(b"EHLO a b", Err(501));
        check(b"MAIL FROM:<>", Ok(Command::Mail(None, MailParameters::default())));
        let parameters = MailParameters { size: Some(12), body: Some(BodyType::EightBitMime) };
        check(b"mail from: <a@b> size=12 BODY=8bitmime", Ok(Command::Mail(Some(mailbox("a@b")), parameters)));
        check(b"MAIL FROM:<a@b> SIZE=99999999999999999999", {
            Ok(Command::Mail(Some(mailbox("a@b")), MailParameters { size: Some(u64::MAX), body: None }))
        });
        check(b"MAIL FROM:<a@b> SIZE=-1", Err(501));
        check(b"MAIL FROM:<a@b> SIZE", Err(501));
        check(b"MAIL FROM:<a@b> RET=HDRS", Err(555));
        check(b"MAIL a@b", Err(501));
        check(b"RCPT TO:<c@d>", Ok(Command::Rcpt(mailbox("c@d"))));
        check(b"RCPT TO:<>", Err(501));
        check(b"RCPT TO:<c@d> NOTIFY=NEVER", Err(555));
        check(b"RCPT TO:<@x:c@d>", Err(553));
        check("RCPT TO:<é@d>".as_bytes(), Err(553));
        check(b"DATA", Ok(Command::Data));
        check(b"DATA now", Err(501));
        check(b"NOOP x", Ok(Command::Noop));
        check(b"VRFY root", Ok(Command::Vrfy("root".into())));
        check(b"STARTTLS", Err(502));
        check(b"BDAT 10 LAST", Err(502));
        check(b"GET / HTTP/1.1", Err(521));
        check(b"Host: x", Err(521));
        check(b"XYZ", Err(500));
        check(b"", Err(500));
        check(b"NOOP \0", Err(501));
    }
}
