//! What one recipient of a queued message has come to be after expansion, and how the spool keeps it.

/// With whose rights a file is written or a command is run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Rights {
    /// The owner of the alias file, or nobody where that is root.
    AliasOwner,
    /// The user whose `.forward` named it.
    User(String),
}

/// A recipient's mail goes here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    /// As the envelope said it; not looked at yet.
    Unexpanded,
    /// The mailbox of a user of this host.
    Mailbox {
        /// Login name.
        user: String,
    },
    /// A file to append to, or a Maildir if the path ends with a slash.
    File {
        /// Absolute path.
        path: String,
        /// Whose rights.
        rights: Rights,
    },
    /// A shell command that reads the message.
    Command {
        /// As written after the bar.
        command: String,
        /// Whose rights.
        rights: Rights,
    },
    /// An address of another host.
    Remote,
    /// Expansion found that it cannot be delivered.
    Nowhere {
        /// Enhanced status code.
        dsn: String,
        /// Why.
        text: String,
    },
}

/// What the queue keeps for a recipient besides its address: the destination, the envelope sender that an `owner-`
/// alias put in place, and the `Delivered-To` lines that forwarding added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// Where it goes.
    pub destination: Destination,
    /// The envelope sender in place of the message's own.
    pub sender: Option<String>,
    /// Addresses that forwarded this copy, the last one first.
    pub via: Vec<String>,
}

impl Default for Detail {
    fn default() -> Self {
        Self { destination: Destination::Unexpanded, sender: None, via: Vec::new() }
    }
}

/// Separates the words of an encoded detail; no address, path or command holds it (control characters are refused).
const SEPARATOR: char = '\u{1f}';

impl Detail {
    /// The words that the spool keeps; empty for [`Destination::Unexpanded`] without more.
    pub fn encode(&self) -> Vec<u8> {
        if *self == Self::default() {
            return Vec::new();
        }
        let rights = |rights: &Rights| match rights {
            Rights::AliasOwner => String::new(),
            Rights::User(user) => user.clone(),
        };
        let (kind, what, whose) = match &self.destination {
            Destination::Unexpanded => ("u", String::new(), String::new()),
            Destination::Mailbox { user } => ("m", user.clone(), String::new()),
            Destination::File { path, rights: r } => ("f", path.clone(), rights(r)),
            Destination::Command { command, rights: r } => ("c", command.clone(), rights(r)),
            Destination::Remote => ("r", String::new(), String::new()),
            Destination::Nowhere { dsn, text } => {
                ("n", text.replace(char::is_control, " "), dsn.replace(char::is_control, " "))
            }
        };
        let sender = self.sender.as_deref().map_or_else(String::new, |s| format!("<{s}>"));
        let mut words = vec![kind.to_owned(), what, whose, sender];
        words.extend(self.via.iter().cloned());
        words.join(&SEPARATOR.to_string()).into_bytes()
    }

    /// Reads what [`Detail::encode`] wrote; none if it is something else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let text = std::str::from_utf8(bytes).ok()?;
        let mut words = text.split(SEPARATOR);
        let (kind, what, whose, sender) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let rights = if whose.is_empty() { Rights::AliasOwner } else { Rights::User(whose.to_owned()) };
        let what = what.to_owned();
        let destination = match kind {
            "u" => Destination::Unexpanded,
            "m" => Destination::Mailbox { user: what },
            "f" => Destination::File { path: what, rights },
            "c" => Destination::Command { command: what, rights },
            "r" => Destination::Remote,
            "n" => Destination::Nowhere { dsn: whose.to_owned(), text: what },
            _ => return None,
        };
        let sender = match sender {
            "" => None,
            s => Some(s.strip_prefix('<')?.strip_suffix('>')?.to_owned()),
        };
        Some(Self { destination, sender, via: words.map(str::to_owned).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what the spool keeps reads back, and foreign bytes are refused without a panic.
    #[test]
    fn details_read_back() {
        let user = || Rights::User("me".into());
        for destination in [
            Destination::Unexpanded,
            Destination::Mailbox { user: "me".into() },
            Destination::File { path: "/a b".into(), rights: Rights::AliasOwner },
            Destination::Command { command: "x | y".into(), rights: user() },
            Destination::Remote,
            Destination::Nowhere { dsn: "5.1.1".into(), text: "unknown user".into() },
        ] {
            for (sender, via) in [(None, vec![]), (Some(String::new()), vec!["a@b".into(), "c@d".into()])] {
                let detail = Detail { destination: destination.clone(), sender, via };
                assert_eq!(Detail::decode(&detail.encode()), Some(detail));
            }
        }
        for bytes in [&b"x"[..], b"m\x1fa", b"\xff", b"q\x1f\x1f\x1f", b"m\x1fa\x1f\x1fbad"] {
            assert_eq!(Detail::decode(bytes), None, "{bytes:?}");
        }
    }
}
