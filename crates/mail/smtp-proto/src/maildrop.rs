//! The file form of a submission, for when the mail daemon does not run: envelope and content in one file of the
//! maildrop folder. The format is `docs/formats/maildrop.md`.

use crate::path::Mailbox;

/// The first line of every file.
const MAGIC: &str = "banto maildrop 1";
/// The ending of a finished file's name; any other name in the folder is not read.
pub const SUFFIX: &str = ".mail";

/// One submission that waits in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maildrop {
    /// The envelope sender; none is the null sender.
    pub sender: Option<Mailbox>,
    /// The recipients, at least one.
    pub recipients: Vec<Mailbox>,
    /// Microseconds since 1970 when it was handed in.
    pub arrival_usec: u64,
    /// The message with LF line ends.
    pub content: Vec<u8>,
}

/// Why a file is no submission; the file should be set aside, not deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaildropError(pub &'static str);

impl Maildrop {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = format!("{MAGIC}\narrival {}\nsender ", self.arrival_usec);
        if let Some(sender) = &self.sender {
            out.push_str(&sender.to_string());
        }
        out.push('\n');
        for recipient in &self.recipients {
            out.push_str(&format!("recipient {recipient}\n"));
        }
        out.push_str(&format!("octets {}\n\n", self.content.len()));
        let mut out = out.into_bytes();
        out.extend_from_slice(&self.content);
        out
    }

    /// Reads a file's bytes, which any local user may have written.
    pub fn parse(bytes: &[u8]) -> Result<Self, MaildropError> {
        let mut rest = bytes;
        let mut line = || {
            let end = memchr::memchr(b'\n', rest)?;
            let (line, after) = rest.split_at_checked(end)?;
            rest = after.get(1..)?;
            Some(line)
        };
        if line() != Some(MAGIC.as_bytes()) {
            return Err(MaildropError("the first line is not `banto maildrop 1`"));
        }
        let (mut sender, mut arrival_usec, mut octets) = (None, None, None);
        let mut recipients = Vec::new();
        loop {
            let line = line().ok_or(MaildropError("the envelope does not end"))?;
            if line.is_empty() {
                break;
            }
            let space =
                line.iter().position(|&b| b == b' ').ok_or(MaildropError("a line without a value"))?;
            let (word, value) = line.split_at_checked(space).unwrap_or((line, b""));
            let value = value.get(1..).unwrap_or_default();
            let number = || std::str::from_utf8(value).ok().and_then(|v| v.parse::<u64>().ok());
            match word {
                b"sender" if value.is_empty() => sender = Some(None),
                b"sender" => {
                    let path =
                        Mailbox::parse(value).map_err(|_| MaildropError("the sender is no address"))?;
                    sender = Some(Some(path));
                }
                b"recipient" => {
                    let path =
                        Mailbox::parse(value).map_err(|_| MaildropError("a recipient is no address"))?;
                    recipients.push(path);
                }
                b"arrival" => arrival_usec = number(),
                b"octets" => octets = number(),
                _ => return Err(MaildropError("an unknown word in the envelope")),
            }
        }
        if recipients.is_empty() {
            return Err(MaildropError("no recipient"));
        }
        if octets != Some(rest.len() as u64) {
            return Err(MaildropError("the content is not as long as the envelope says"));
        }
        Ok(Self {
            sender: sender.ok_or(MaildropError("no sender"))?,
            recipients,
            arrival_usec: arrival_usec.ok_or(MaildropError("no arrival time"))?,
            content: rest.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is written is read, and what is cut off or foreign is refused.
    #[test]
    fn files_are_written_and_read() {
        let path = |text: &[u8]| Mailbox::parse(text).unwrap();
        let recipients = vec![path(b"c"), path(b"\"d e\"@f")];
        for sender in [Some(path(b"a@b")), None] {
            let drop = Maildrop {
                sender,
                recipients: recipients.clone(),
                arrival_usec: 5,
                content: b"A: b\n\nc".to_vec(),
            };
            let bytes = drop.encode();
            assert_eq!(Maildrop::parse(&bytes), Ok(drop));
            for cut in 0..bytes.len() {
                assert!(Maildrop::parse(&bytes[..cut]).is_err(), "{cut}");
            }
        }
        let refused =
            ["", "banto maildrop 2\n", "banto maildrop 1\nsender \nrecipient a\r@b\noctets 0\narrival 1\n\n"];
        assert!(refused.iter().all(|text| Maildrop::parse(text.as_bytes()).is_err()));
    }
}
