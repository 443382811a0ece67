//! The client machine: envelopes and content in, commands out; replies in, events out.
//!
//! The owner's loop: send what [`Client::take_output`] gives, give what was read to [`Client::receive`], call
//! [`Client::poll`] until it gives none. After [`ClientEvent::Ready`], and after each [`ClientEvent::Delivered`] or
//! [`ClientEvent::Failed`], [`Client::begin`] starts another message on the same connection.

use crate::data::DotStuffer;
use crate::path::Mailbox;
use crate::reply::{Reply, ReplyError, ReplyParser};
use std::collections::VecDeque;
use std::fmt;

/// How a client speaks.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// What it calls itself in EHLO: a host name or an address literal.
    pub helo_name: String,
    /// Whether it pipelines where the server offers it.
    pub pipelining: bool,
}

/// Whom one message is from and for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// None is the null sender.
    pub sender: Option<Mailbox>,
    /// At least one.
    pub recipients: Vec<Mailbox>,
    /// Octets of the content, where known.
    pub octets: Option<u64>,
    /// Whether the content has octets above 127.
    pub eight_bit: bool,
}

/// What the server offered in its answer to EHLO.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SIZE (RFC 1870).
    pub size: bool,
    /// The limit that SIZE named, in octets.
    pub size_max: Option<u64>,
    /// STARTTLS (RFC 3207). This machine does not speak it yet.
    pub starttls: bool,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// The server has greeted: messages may be sent.
    Ready(Capabilities),
    /// The answer to one recipient, by its index in the envelope. A positive one is not yet a delivery.
    Recipient {
        /// Index into [`Envelope::recipients`].
        index: usize,
        /// What the server said.
        reply: Reply,
    },
    /// Give the content now: [`Client::content`], then [`Client::finish_content`].
    SendContent,
    /// The message was taken for every recipient whose answer was positive.
    Delivered(Reply),
    /// The message was taken for nobody; the connection is still good.
    Failed(Failure),
    /// The connection is of no further use; a message that was underway was not taken.
    Closed(Failure),
    /// The answer to QUIT: close the connection.
    Bye,
}

/// Where and why something failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The server said no.
    Refused(Stage, Reply),
    /// The server said something that is no reply.
    Malformed(Stage, ReplyError),
    /// The connection ended.
    Disconnected(Stage),
}

/// What a failure was the answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The greeting.
    Greeting,
    /// EHLO or HELO.
    Helo,
    /// MAIL, or what kept it from being sent.
    MailFrom,
    /// RCPT: no recipient was accepted, and the reply is the last one's.
    RcptTo,
    /// DATA.
    Data,
    /// The end of the content.
    EndOfData,
    /// No message was underway.
    Idle,
}

impl Failure {
    /// Where it failed.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Refused(stage, _) | Self::Malformed(stage, _) | Self::Disconnected(stage) => *stage,
        }
    }

    /// What the server said, where it was a reply.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Refused(_, reply) => Some(reply),
            _ => None,
        }
    }

    /// Whether trying again is of no use: the server said so with a 5xx.
    pub fn is_permanent(&self) -> bool {
        self.reply().is_some_and(Reply::is_permanent)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(stage, reply) => write!(out, "said: {reply} (in reply to {stage})"),
            Self::Malformed(stage, error) => {
                write!(out, "sent what is no SMTP reply ({error:?}) in reply to {stage}")
            }
            Self::Disconnected(stage) => {
                write!(out, "lost connection while waiting for the reply to {stage}")
            }
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Greeting => "the connection",
            Self::Helo => "EHLO command",
            Self::MailFrom => "MAIL FROM command",
            Self::RcptTo => "RCPT TO command",
            Self::Data => "DATA command",
            Self::EndOfData => "end of DATA command",
            Self::Idle => "nothing",
        })
    }
}

/// What the next reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Greeting,
    Ehlo,
    Helo,
    Rset,
    Mail,
    Rcpt(usize),
    Data,
    /// The end of the content. `wanted` is false where DATA was pipelined though nobody is to have the message.
    EndOfData {
        wanted: bool,
    },
    Quit,
}

/// One message underway.
#[derive(Debug)]
struct Transaction {
    envelope: Envelope,
    /// Recipients whose RCPT was written.
    asked: usize,
    accepted: usize,
    /// The first failure: of MAIL, of DATA, or of the last recipient.
    failure: Option<Failure>,
}

/// One SMTP connection.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    replies: ReplyParser,
    output: Vec<u8>,
    expected: VecDeque<Expect>,
    events: VecDeque<ClientEvent>,
    capabilities: Capabilities,
    transaction: Option<Transaction>,
    content: Option<DotStuffer>,
    ready: bool,
    /// Whether the server may still hold a transaction of ours that must be reset.
    reset_first: bool,
    closed: bool,
}

impl Client {
    /// A connection that was just opened: the server speaks first.
    pub fn new(config: ClientConfig) -> Self {
        Self {
            config,
            replies: ReplyParser::default(),
            output: Vec::new(),
            expected: VecDeque::from([Expect::Greeting]),
            events: VecDeque::new(),
            capabilities: Capabilities::default(),
            transaction: None,
            content: None,
            ready: false,
            reset_first: false,
            closed: false,
        }
    }

    /// Adds bytes from the server.
    pub fn receive(&mut self, bytes: &[u8]) {
        if !self.closed {
            self.replies.receive(bytes);
        }
    }

    /// Tells that the server closed the connection.
    pub fn disconnected(&mut self) {
        if !self.closed {
            let stage = self.stage();
            self.close(Failure::Disconnected(stage));
        }
    }

    /// The next event.
    pub fn poll(&mut self) -> Option<ClientEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.closed {
                return None;
            }
            match self.replies.next_reply() {
                Ok(None) => return None,
                Ok(Some(reply)) => self.reply(reply),
                Err(error) => {
                    let stage = self.stage();
                    self.close(Failure::Malformed(stage, error));
                }
            }
        }
    }

    /// Takes the octets to be sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Whether [`Client::begin`] may be called.
    pub fn is_ready(&self) -> bool {
        self.ready && !self.closed && self.transaction.is_none()
    }

    /// Whether the connection is of no further use.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// What the server offered.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Starts a message. Gives false, and does nothing, while one is underway or the connection is not ready.
    pub fn begin(&mut self, envelope: Envelope) -> bool {
        if !self.is_ready() || envelope.recipients.is_empty() {
            return false;
        }
        if let (Some(octets), Some(max)) = (envelope.octets, self.capabilities.size_max)
            && octets > max
        {
            let text = format!("message size {octets} exceeds size limit {max} of the server");
            let reply = Reply::new(552, (5, 3, 4), text);
            self.events.push_back(ClientEvent::Failed(Failure::Refused(Stage::MailFrom, reply)));
            return true;
        }
        self.transaction = Some(Transaction { envelope, asked: 0, accepted: 0, failure: None });
        if std::mem::take(&mut self.reset_first) {
            self.output.extend_from_slice(b"RSET\r\n");
            self.expected.push_back(Expect::Rset);
            if !self.pipelines() {
                return true;
            }
        }
        self.write_mail();
        true
    }

    /// Sends a piece of the content, cut anywhere, with any line endings. Only after [`ClientEvent::SendContent`].
    pub fn content(&mut self, content: &[u8]) {
        if let Some(stuffer) = &mut self.content {
            stuffer.write(content, &mut self.output);
        }
    }

    /// Ends the content.
    pub fn finish_content(&mut self) {
        if let Some(stuffer) = self.content.take() {
            stuffer.finish(&mut self.output);
            self.expected.push_back(Expect::EndOfData { wanted: true });
        }
    }

    /// Says goodbye, where no message is underway.
    pub fn quit(&mut self) {
        if self.is_ready() {
            self.ready = false;
            self.output.extend_from_slice(b"QUIT\r\n");
            self.expected.push_back(Expect::Quit);
        }
    }

    fn pipelines(&self) -> bool {
        self.config.pipelining && self.capabilities.pipelining
    }

    fn stage(&self) -> Stage {
        match self.expected.front() {
            Some(Expect::Greeting) => Stage::Greeting,
            Some(Expect::Ehlo | Expect::Helo) => Stage::Helo,
            Some(Expect::Mail | Expect::Rset) => Stage::MailFrom,
            Some(Expect::Rcpt(_)) => Stage::RcptTo,
            Some(Expect::Data) => Stage::Data,
            Some(Expect::EndOfData { .. }) => Stage::EndOfData,
            None if self.content.is_some() => Stage::EndOfData,
            None | Some(Expect::Quit) => Stage::Idle,
        }
    }

    fn close(&mut self, failure: Failure) {
        self.closed = true;
        self.transaction = None;
        self.content = None;
        self.events.push_back(ClientEvent::Closed(failure));
    }

    fn hello(&mut self, verb: &str, expect: Expect) {
        let lawful = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
        let name = &self.config.helo_name;
        let name = if !name.is_empty() && name.bytes().all(lawful) { name.as_str() } else { "localhost" };
        self.output.extend_from_slice(format!("{verb} {name}\r\n").as_bytes());
        self.expected.push_back(expect);
    }

    fn reply(&mut self, reply: Reply) {
        let stage = self.stage();
        let expected = self.expected.pop_front();
        // RFC 5321 section 3.8: 421 may answer anything, and the server hangs up after it.
        if reply.code == 421 && expected != Some(Expect::Quit) {
            return self.close(Failure::Refused(stage, reply));
        }
        match expected {
            None => self.close(Failure::Refused(Stage::Idle, reply)),
            Some(Expect::Greeting) if reply.is_positive() => self.hello("EHLO", Expect::Ehlo),
            Some(Expect::Ehlo) if reply.is_permanent() => self.hello("HELO", Expect::Helo),
            Some(Expect::Greeting | Expect::Ehlo | Expect::Helo) if !reply.is_positive() => {
                self.close(Failure::Refused(stage, reply));
            }
            Some(Expect::Ehlo) => {
                self.capabilities = read_capabilities(&reply);
                self.become_ready();
            }
            Some(Expect::Helo | Expect::Greeting) => self.become_ready(),
            Some(Expect::Rset) if !reply.is_positive() => self.close(Failure::Refused(stage, reply)),
            Some(Expect::Rset) if !self.pipelines() => self.write_mail(),
            Some(Expect::Rset) => {}
            Some(Expect::Mail) => self.answered_mail(reply),
            Some(Expect::Rcpt(index)) => self.answered_recipient(index, reply),
            Some(Expect::Data) => self.answered_data(reply),
            Some(Expect::EndOfData { wanted }) => self.answered_end(wanted, reply),
            Some(Expect::Quit) => {
                self.closed = true;
                self.events.push_back(ClientEvent::Bye);
            }
        }
    }

    fn become_ready(&mut self) {
        self.ready = true;
        self.events.push_back(ClientEvent::Ready(self.capabilities));
    }

    fn write_mail(&mut self) {
        let pipelines = self.pipelines();
        let Some(transaction) = &mut self.transaction else { return };
        let mut line = String::from("MAIL FROM:<");
        if let Some(sender) = &transaction.envelope.sender {
            line.push_str(&sender.to_string());
        }
        line.push('>');
        if let (true, Some(octets)) = (self.capabilities.size, transaction.envelope.octets) {
            line.push_str(&format!(" SIZE={octets}"));
        }
        if self.capabilities.eight_bit_mime && transaction.envelope.eight_bit {
            line.push_str(" BODY=8BITMIME");
        }
        line.push_str("\r\n");
        self.output.extend_from_slice(line.as_bytes());
        self.expected.push_back(Expect::Mail);
        if pipelines {
            while self.write_recipient() {}
            self.write_data();
        }
    }

    /// Writes the next RCPT; false where none is left.
    fn write_recipient(&mut self) -> bool {
        let Some(transaction) = &mut self.transaction else { return false };
        let Some(recipient) = transaction.envelope.recipients.get(transaction.asked) else { return false };
        self.output.extend_from_slice(format!("RCPT TO:<{recipient}>\r\n").as_bytes());
        self.expected.push_back(Expect::Rcpt(transaction.asked));
        transaction.asked += 1;
        true
    }

    fn write_data(&mut self) {
        self.output.extend_from_slice(b"DATA\r\n");
        self.expected.push_back(Expect::Data);
    }

    fn answered_mail(&mut self, reply: Reply) {
        let pipelines = self.pipelines();
        let Some(transaction) = &mut self.transaction else { return };
        match (reply.is_positive(), pipelines) {
            (true, true) => {}
            (true, false) => {
                self.write_recipient();
            }
            (false, pipelines) => {
                transaction.failure = Some(Failure::Refused(Stage::MailFrom, reply));
                if !pipelines {
                    self.fail();
                }
            }
        }
    }

    fn answered_recipient(&mut self, index: usize, reply: Reply) {
        let pipelines = self.pipelines();
        let Some(transaction) = &mut self.transaction else { return };
        // Where MAIL was refused, the answers to the rest of the group say nothing of their own.
        let mail_refused =
            matches!(&transaction.failure, Some(failure) if failure.stage() == Stage::MailFrom);
        if !mail_refused {
            if reply.is_positive() {
                transaction.accepted += 1;
            } else {
                transaction.failure = Some(Failure::Refused(Stage::RcptTo, reply.clone()));
            }
            self.events.push_back(ClientEvent::Recipient { index, reply });
        }
        if !pipelines && !self.write_recipient() {
            match self.transaction.as_ref().map_or(0, |t| t.accepted) {
                0 => self.fail(),
                _ => self.write_data(),
            }
        }
    }

    fn answered_data(&mut self, reply: Reply) {
        let Some(transaction) = &mut self.transaction else { return };
        match (reply.code == 354, transaction.accepted) {
            // RFC 2920 section 3.1: the server agreed though nobody is left: send nothing but the end.
            (true, 0) => {
                self.output.extend_from_slice(b".\r\n");
                self.expected.push_back(Expect::EndOfData { wanted: false });
            }
            (true, _) => {
                self.content = Some(DotStuffer::default());
                self.events.push_back(ClientEvent::SendContent);
            }
            (false, accepted) => {
                if accepted > 0 || transaction.failure.is_none() {
                    transaction.failure = Some(Failure::Refused(Stage::Data, reply));
                }
                self.fail();
            }
        }
    }

    fn answered_end(&mut self, wanted: bool, reply: Reply) {
        match (wanted, reply.is_positive()) {
            (true, true) => {
                self.transaction = None;
                self.events.push_back(ClientEvent::Delivered(reply));
            }
            (true, false) => {
                self.transaction = None;
                self.events.push_back(ClientEvent::Failed(Failure::Refused(Stage::EndOfData, reply)));
            }
            (false, _) => self.fail(),
        }
    }

    /// Ends a transaction that was refused before its content.
    fn fail(&mut self) {
        let failure = self.transaction.take().and_then(|t| t.failure);
        self.reset_first = true;
        self.events.push_back(ClientEvent::Failed(failure.unwrap_or(Failure::Disconnected(Stage::Data))));
    }
}

fn read_capabilities(reply: &Reply) -> Capabilities {
    let mut capabilities = Capabilities::default();
    for line in reply.lines.iter().skip(1) {
        let mut words = line.split_ascii_whitespace();
        match words.next().map(str::to_ascii_uppercase).as_deref() {
            Some("PIPELINING") => capabilities.pipelining = true,
            Some("8BITMIME") => capabilities.eight_bit_mime = true,
            Some("STARTTLS") => capabilities.starttls = true,
            Some("SIZE") => {
                capabilities.size = true;
                // RFC 1870 section 4: zero means that no limit is in force.
                capabilities.size_max = words.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
            }
            _ => {}
        }
    }
    capabilities
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text.as_bytes()).unwrap()
    }

    fn envelope(recipients: &[&str]) -> Envelope {
        let recipients = recipients.iter().map(|r| mailbox(r)).collect();
        Envelope { sender: Some(mailbox("me@here")), recipients, octets: Some(9), eight_bit: true }
    }

    /// Plays a server that answers each `(what the client must have written, reply)` in turn; gives the events.
    fn play(envelopes: &[Envelope], script: &[(&str, &str)]) -> Vec<String> {
        let mut client = Client::new(ClientConfig { helo_name: "me.example".into(), pipelining: true });
        let mut waiting = envelopes.iter();
        let mut events = Vec::new();
        for (expected, reply) in script {
            let written = String::from_utf8(client.take_output()).unwrap().replace("\r\n", "|");
            assert_eq!(&written, expected);
            match *reply {
                "EOF" => client.disconnected(),
                reply => client.receive(reply.replace('|', "\r\n").as_bytes()),
            }
            while let Some(event) = client.poll() {
                events.push(match &event {
                    ClientEvent::Ready(_) => "ready".into(),
                    ClientEvent::Recipient { index, reply } => format!("{index}:{}", reply.code),
                    ClientEvent::SendContent => "content".into(),
                    ClientEvent::Delivered(reply) => format!("delivered {}", reply.code),
                    ClientEvent::Failed(failure) => format!("failed {failure}"),
                    ClientEvent::Closed(failure) => format!("closed {failure}"),
                    ClientEvent::Bye => "bye".into(),
                });
                match event {
                    ClientEvent::SendContent => {
                        client.content(b".a\nb\r");
                        client.content(b"\nc");
                        client.finish_content();
                    }
                    ClientEvent::Ready(_) | ClientEvent::Delivered(_) | ClientEvent::Failed(_) => {
                        match waiting.next() {
                            Some(envelope) => assert!(client.begin(envelope.clone())),
                            None => client.quit(),
                        }
                    }
                    _ => {}
                }
            }
        }
        assert_eq!(client.take_output(), b"");
        events
    }

    const EHLO: (&str, &str) = ("EHLO me.example|", "250-s|250-PIPELINING|250-SIZE 100|250 8BITMIME|");
    const GROUP: &str = "MAIL FROM:<me@here> SIZE=9 BODY=8BITMIME|RCPT TO:<a@b>|RCPT TO:<c@d>|DATA|";

    /// Goal: messages go out in one group each, on one connection, and each recipient has its own answer.
    #[test]
    fn messages_are_pipelined_on_one_connection() {
        let two = envelope(&["a@b", "c@d"]);
        let script = [
            ("", "220 s ESMTP|"),
            EHLO,
            (GROUP, "250 ok|250 ok|550 5.1.1 no|354 go|"),
            ("..a|b|c|.|", "250 2.0.0 queued|"),
            (GROUP, "250 ok|550 no|"),
            ("", "451 no|503 no|"),
            ("QUIT|", "221 bye|"),
        ];
        let got = play(&[two.clone(), two], &script);
        let expected = [
            "ready",
            "0:250",
            "1:550",
            "content",
            "delivered 250",
            "0:550",
            "1:451",
            "failed said: 451 no (in reply to RCPT TO command)",
            "bye",
        ];
        assert_eq!(got, expected);
    }

    /// Goal: a refused transaction is reset before the next one.
    #[test]
    fn a_refused_transaction_is_reset() {
        let one = envelope(&["a@b"]);
        let group = "MAIL FROM:<me@here> SIZE=9 BODY=8BITMIME|RCPT TO:<a@b>|DATA|";
        let script = [
            ("", "220 s|"),
            EHLO,
            // A server that says 354 though nobody is left gets an empty message, which counts for nothing.
            (group, "250 ok|550 no|354 go|"),
            (".|", "250 taken|"),
            (&format!("RSET|{group}"), "250 ok|451 no|503 no|503 no|"),
            ("QUIT|", "221 bye|"),
        ];
        let got = play(&[one.clone(), one], &script);
        let expected = [
            "ready",
            "0:550",
            "failed said: 550 no (in reply to RCPT TO command)",
            "failed said: 451 no (in reply to MAIL FROM command)",
            "bye",
        ];
        assert_eq!(got, expected);
    }

    /// Goal: an old server is spoken to with HELO, one command at a time.
    #[test]
    fn an_old_server_is_spoken_to_step_by_step() {
        let two = envelope(&["a@b", "c@d"]);
        let script = [
            ("", "220-s|220 SMTP|"),
            ("EHLO me.example|", "502 what|"),
            ("HELO me.example|", "250 s|"),
            ("MAIL FROM:<me@here>|", "250 ok|"),
            ("RCPT TO:<a@b>|", "550 no|"),
            ("RCPT TO:<c@d>|", "250 ok|"),
            ("DATA|", "354 go|"),
            ("..a|b|c|.|", "554 5.6.0 no|"),
            ("MAIL FROM:<me@here>|", "250 ok|"),
            ("RCPT TO:<a@b>|", "550 no|"),
            ("RCPT TO:<c@d>|", "550 no|"),
            ("QUIT|", "221 bye|"),
        ];
        let got = play(&[two.clone(), two], &script);
        let expected = [
            "ready",
            "0:550",
            "1:250",
            "content",
            "failed said: 554 5.6.0 no (in reply to end of DATA command)",
            "0:550",
            "1:550",
            "failed said: 550 no (in reply to RCPT TO command)",
            "bye",
        ];
        assert_eq!(got, expected);
    }

    /// Goal: what ends a connection is told with the command that it ended.
    #[test]
    fn ends_of_connections_are_told() {
        let check = |script: &[(&str, &str)], expected: &str| {
            let got = play(&[envelope(&["a@b", "c@d"])], script);
            assert_eq!(got.last().map(String::as_str), Some(expected));
        };
        check(&[("", "554 no|")], "closed said: 554 no (in reply to the connection)");
        check(&[("", "EOF")], "closed lost connection while waiting for the reply to the connection");
        check(
            &[("", "SSH-2.0|")],
            "closed sent what is no SMTP reply (Malformed(\"SSH-2.0\")) in reply to the connection",
        );
        let greeting = ("", "220 s|");
        check(
            &[greeting, EHLO, (GROUP, "421 4.3.2 down|")],
            "closed said: 421 4.3.2 down (in reply to MAIL FROM command)",
        );
        let content = ("..a|b|c|.|", "EOF");
        check(
            &[greeting, EHLO, (GROUP, "250 ok|250 ok|250 ok|354 go|"), content],
            "closed lost connection while waiting for the reply to end of DATA command",
        );
        let mut large = envelope(&["a@b"]);
        large.octets = Some(101);
        let got = play(&[large], &[greeting, EHLO, ("QUIT|", "221 bye|")]);
        assert!(got[1].contains("552 5.3.4 message size 101 exceeds size limit 100"), "{got:?}");
    }
}
