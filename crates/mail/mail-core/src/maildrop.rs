//! The file that `sendmail` leaves in the maildrop directory while no daemon listens, for the daemon to pick up.
//!
//! Text lines, each ended by LF, an empty line, then the message as it was given (any line ends):
//!
//! ```text
//! banto-maildrop 1
//! sender user@example.com
//! recipient root
//! recipient "a b"@example.com
//!
//! Subject: ...
//! ```
//!
//! `sender` with nothing after it is the null sender; without a sender line the owner of the file is the sender. The file
//! is written under a name that begins with a dot, synced, and renamed to a name that ends with `.msg`.

/// The first line.
const MAGIC: &str = "banto-maildrop 1";
/// Most recipients of one file: as many as one SMTP transaction may have by default.
pub const RECIPIENTS_MAX: usize = 1000;

/// One dropped message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maildrop<'a> {
    /// The envelope sender: none means the owner of the file, empty the null sender.
    pub sender: Option<String>,
    /// The recipients, at least one.
    pub recipients: Vec<String>,
    /// The message.
    pub content: &'a [u8],
}

impl<'a> Maildrop<'a> {
    /// The file's octets. None if an address holds a control character or there is no recipient.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let lines = self.sender.iter().chain(&self.recipients);
        if self.recipients.is_empty() || lines.into_iter().any(|l| l.chars().any(char::is_control)) {
            return None;
        }
        let mut out = format!("{MAGIC}\n");
        if let Some(sender) = &self.sender {
            out.push_str(&format!("sender {sender}\n"));
        }
        self.recipients.iter().for_each(|r| out.push_str(&format!("recipient {r}\n")));
        out.push('\n');
        let mut out = out.into_bytes();
        out.extend_from_slice(self.content);
        Some(out)
    }

    /// Reads a file; the error says what is wrong with it.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let mut rest = bytes;
        let mut line = || {
            let end = rest.iter().position(|&b| b == b'\n').ok_or("the file is cut off")?;
            let (line, after) = rest.split_at_checked(end).ok_or("the file is cut off")?;
            rest = after.get(1..).unwrap_or_default();
            std::str::from_utf8(line).map_err(|_| "an address is no text")
        };
        if line()? != MAGIC {
            return Err("this is no maildrop file of version 1");
        }
        let (mut sender, mut recipients) = (None, Vec::new());
        loop {
            match line()?.split_once(' ').unwrap_or(("", "")) {
                ("sender", address) => sender = Some(address.to_owned()),
                ("recipient", address) => recipients.push(address.to_owned()),
                ("", "") => break,
                _ => return Err("an unknown line"),
            }
            if recipients.len() > RECIPIENTS_MAX {
                return Err("too many recipients");
            }
        }
        if recipients.is_empty() {
            Err("no recipient")
        } else {
            Ok(Self { sender, recipients, content: rest })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is dropped reads back; line ends never get into the envelope; foreign bytes are refused.
    #[test]
    fn dropped_messages_read_back() {
        for sender in [None, Some(String::new()), Some("a@b".to_owned())] {
            let drop =
                Maildrop { sender, recipients: vec!["x".into(), "\"a b\"@c".into()], content: b"S: x\n\nhi" };
            let bytes = drop.encode().unwrap_or_default();
            assert_eq!(Maildrop::decode(&bytes), Ok(drop));
        }
        let forged = Maildrop { sender: None, recipients: vec!["x\nrecipient y".into()], content: b"" };
        assert_eq!(forged.encode(), None);
        for bytes in [
            &b""[..],
            b"banto-maildrop 1\n",
            b"banto-maildrop 1\n\n",
            b"banto-maildrop 1\nfoo bar\n\n",
            b"x\n\n",
        ] {
            assert!(Maildrop::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
