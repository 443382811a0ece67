//! `-bs`: SMTP on standard input and output, for mail programs that speak it to a child process.

use crate::content;
use crate::submit::{self, Outcome, Submission};
use crate::sysexits::{Failure, IOERR, OK};
use layout::Call;
use smtp_proto::{BareLineEnding, Event, Mailbox, Reply, Server, ServerConfig};
use std::io::{self, Read, Write};

/// Serves one session.
pub(crate) fn serve(call: &Call) -> Result<u8, Failure> {
    let failed = |error: io::Error| Failure::new(IOERR, format!("standard input or output: {error}"));
    let origin = content::origin(call);
    let mut session =
        Session { call, origin: origin.clone(), sender: None, recipients: Vec::new(), content: Vec::new() };
    // What this process takes, it sends on in the strict form: nothing can be smuggled past it.
    let config = ServerConfig {
        hostname: origin,
        bare_line_ending: BareLineEnding::Normalize,
        ..ServerConfig::default()
    };
    let mut server = Server::new(config);
    let mut line_ends = LineEnds::Unknown;
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        while let Some(event) = server.poll() {
            session.event(event, &mut server);
        }
        output.write_all(&server.take_output()).and_then(|()| output.flush()).map_err(failed)?;
        if server.is_closed() {
            return Ok(OK);
        }
        match input.read(&mut buffer) {
            Ok(0) => return Ok(OK),
            Ok(length) => server.receive(&line_ends.with_crlf(buffer.get(..length).unwrap_or_default())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

/// How the parent ends its lines, which its first one shows: with LF as this system does, or as on the wire. In a session
/// with CRLF, a bare LF stays one, so that no line of a message's content is taken for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineEnds {
    Unknown,
    Lf,
    CrLf,
}

impl LineEnds {
    fn with_crlf(&mut self, bytes: &[u8]) -> Vec<u8> {
        if *self == Self::Unknown
            && let Some(end) = bytes.iter().position(|&b| b == b'\n')
        {
            let before = end.checked_sub(1).and_then(|at| bytes.get(at));
            *self = if before == Some(&b'\r') { Self::CrLf } else { Self::Lf };
        }
        let mut wire = Vec::with_capacity(bytes.len() + bytes.len() / 16);
        for &b in bytes {
            if b == b'\n' && *self == Self::Lf {
                wire.push(b'\r');
            }
            wire.push(b);
        }
        wire
    }
}

struct Session<'a> {
    call: &'a Call,
    origin: String,
    sender: Option<Mailbox>,
    recipients: Vec<Mailbox>,
    content: Vec<u8>,
}

impl Session<'_> {
    fn event(&mut self, event: Event, server: &mut Server) {
        match event {
            Event::MailFrom { sender, .. } => {
                self.forget();
                self.sender = sender;
                server.accept();
            }
            Event::RcptTo { recipient } => {
                self.recipients.push(recipient);
                server.accept();
            }
            Event::MessageBytes(bytes) => self.content.extend_from_slice(&bytes),
            Event::MessageComplete { .. } => {
                let reply = self.submit();
                self.forget();
                server.answer(&reply);
            }
            Event::Aborted(_) | Event::Quit => self.forget(),
            Event::Connected | Event::Helo { .. } | Event::DataStarts | Event::Vrfy(_) => server.accept(),
        }
    }

    fn forget(&mut self) {
        self.sender = None;
        self.recipients.clear();
        self.content.clear();
    }

    fn submit(&mut self) -> Reply {
        let input = message::to_lf(&self.content);
        let content = content::complete(&input, self.sender.as_ref(), "", &self.origin);
        let recipients = std::mem::take(&mut self.recipients);
        let submission = Submission { sender: self.sender.take(), recipients, content };
        match submit::submit(&self.call.layout, &submission, false) {
            Ok(Outcome::Taken { refused, reply }) if refused.is_empty() => reply,
            // One reply for all: those who got the message must not be sent it again.
            Ok(Outcome::Taken { refused, .. }) => {
                let names: Vec<String> = refused.iter().map(|(recipient, _)| recipient.to_string()).collect();
                Reply::new(250, (2, 0, 0), format!("Ok, but refused for {}", names.join(", ")))
            }
            Ok(Outcome::NobodyTaken { refused }) => match refused.into_iter().next() {
                Some((_, reply)) => reply,
                None => Reply::new(554, (5, 5, 1), "no valid recipients"),
            },
            Ok(Outcome::Dropped { .. }) => {
                Reply::new(250, (2, 0, 0), "Ok: waits for the mail daemon to start")
            }
            Err(failure) if failure.code == crate::sysexits::TEMPFAIL => {
                Reply::new(451, (4, 3, 0), failure.message)
            }
            Err(failure) => Reply::new(554, (5, 3, 0), failure.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a session of LF lines reads as one of CRLF lines, and one of CRLF lines is not touched.
    #[test]
    fn line_ends_are_those_of_the_first_line() {
        let check = |input: &[u8], expected: &[u8]| {
            assert_eq!(LineEnds::Unknown.with_crlf(input), expected);
        };
        check(b"EHLO x\n.\n", b"EHLO x\r\n.\r\n");
        check(b"EHLO x\r\na\n.\n", b"EHLO x\r\na\n.\n");
        check(b"EHL", b"EHL");
    }
}
