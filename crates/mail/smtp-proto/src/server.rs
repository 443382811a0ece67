//! The server machine: bytes in, events out, answers in, replies out.
//!
//! The owner's loop: give what was read to [`Server::receive`]; call [`Server::poll`] until it gives none, answering
//! each event that [`Event::needs_answer`]; send what [`Server::output`] holds; read more. While an answer is owed,
//! `poll` gives none, so that replies stay in order however late an answer comes. Replies of a pipelined group leave
//! together that way.

use crate::command::{Command, CommandError, MailParameters};
use crate::data::{BareLineEnding, DataDecoder, DataEnd, DataError};
use crate::path::Mailbox;
use crate::reply::Reply;

/// What one session may do.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The name in the greeting and in the answer to HELO and EHLO.
    pub hostname: String,
    /// What follows 220 when the connection is accepted; empty for `HOSTNAME ESMTP`.
    pub banner: String,
    /// Octets of a message, announced by SIZE; zero means no limit.
    pub message_octets_max: u64,
    /// Recipients of one message.
    pub recipients_max: usize,
    /// Octets of a command line, CRLF included.
    pub command_octets_max: usize,
    /// Refused commands, and commands that lead nowhere, before the session is ended.
    pub errors_max: u32,
    /// NOOP, RSET, VRFY and HELP between two messages before each counts as an error.
    pub idle_commands_max: u32,
    /// Whether HELO or EHLO must come before MAIL.
    pub helo_required: bool,
    /// Whether VRFY is asked of the owner; else it is refused with 502, as a list of users helps nobody but spammers.
    pub vrfy: bool,
    /// What happens on a CR or LF outside of CRLF, in commands and in content.
    pub bare_line_ending: BareLineEnding,
}

impl Default for ServerConfig {
    /// The limits of postfix's defaults: 10240000 octets, 1000 recipients, 20 errors, 100 idle commands; the command
    /// line limit is its `line_length_limit` of 2048.
    fn default() -> Self {
        Self {
            hostname: "localhost".into(),
            banner: String::new(),
            message_octets_max: 10_240_000,
            recipients_max: 1000,
            command_octets_max: 2048,
            errors_max: 20,
            idle_commands_max: 100,
            helo_required: false,
            vrfy: false,
            bare_line_ending: BareLineEnding::Refuse,
        }
    }
}

/// What happened in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A session begins: accept it, or refuse it with 554 or 421. Needs an answer.
    Connected,
    /// HELO or EHLO; a transaction that stood is forgotten. Needs an answer.
    Helo {
        /// Whether it was EHLO.
        extended: bool,
        /// What the client calls itself, printable ASCII.
        name: String,
    },
    /// A transaction begins. Needs an answer.
    MailFrom {
        /// The envelope sender; none is the null sender.
        sender: Option<Mailbox>,
        /// What the client says of the message.
        parameters: MailParameters,
    },
    /// One more recipient. Needs an answer.
    RcptTo {
        /// The recipient as it was written.
        recipient: Mailbox,
    },
    /// VRFY, where the configuration lets the owner answer it. Needs an answer.
    Vrfy(String),
    /// DATA with at least one recipient: accept to get the content (354). Needs an answer.
    DataStarts,
    /// Some of the content: dots unstuffed, lines ended by CRLF only, cut anywhere.
    MessageBytes(Vec<u8>),
    /// The content is complete. Needs an answer: accepting it takes responsibility for the message.
    MessageComplete {
        /// Octets of the content.
        octets: u64,
    },
    /// The transaction is over without a message: forget its sender, recipients and content.
    Aborted(AbortReason),
    /// The client said QUIT; the answer is written, the connection closes after it.
    Quit,
}

/// Why a transaction ended early. The reply is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortReason {
    /// RSET, or HELO or EHLO within a transaction.
    Reset,
    /// Longer than the limit: 552.
    TooBig,
    /// CR or LF outside of CRLF: 550 5.5.2, and the session is over.
    BareLineEnding,
    /// Input after a command that must be the last of its group: 554 5.5.0, and the session is over.
    UnauthorizedPipelining,
    /// Too many errors: 421 4.7.0, and the session is over.
    TooManyErrors,
    /// Not SMTP: 521, and the session is over.
    ForeignProtocol,
}

impl Event {
    /// Whether the session waits for the owner's answer to this event.
    pub fn needs_answer(&self) -> bool {
        !matches!(self, Self::MessageBytes(_) | Self::Aborted(_) | Self::Quit)
    }
}

/// Octets of content in one [`Event::MessageBytes`] at most, so that a session's memory stays bounded.
const CHUNK_OCTETS_MAX: usize = 64 * 1024;

/// Which answer is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    Nothing,
    Greeting,
    Helo { extended: bool },
    Mail,
    Rcpt,
    Vrfy,
    Data,
    Message,
}

#[derive(Debug)]
enum Phase {
    Commands,
    /// A command line beyond its limit: all up to its end is thrown away.
    LongLine,
    /// Content; `discarding` once it is beyond the size limit.
    Data {
        decoder: DataDecoder,
        octets: u64,
        discarding: bool,
    },
    Closed,
}

/// One SMTP session.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    input: Vec<u8>,
    /// Octets of `input` that are used.
    used: usize,
    output: Vec<u8>,
    phase: Phase,
    owed: Owed,
    greeted: bool,
    /// An event that follows the one given last.
    next: Option<Event>,
    helo: bool,
    sender: bool,
    recipients: usize,
    errors: u32,
    refused: u64,
    idle_commands: u32,
}

impl Server {
    /// A session whose first event is [`Event::Connected`].
    pub fn new(config: ServerConfig) -> Self {
        Self {
            config,
            input: Vec::new(),
            used: 0,
            output: Vec::new(),
            phase: Phase::Commands,
            owed: Owed::Greeting,
            greeted: false,
            next: Some(Event::Connected),
            helo: false,
            sender: false,
            recipients: 0,
            errors: 0,
            refused: 0,
            idle_commands: 0,
        }
    }

    /// Adds bytes from the client. Nothing is kept once the session is closed.
    pub fn receive(&mut self, bytes: &[u8]) {
        if !self.is_closed() {
            self.input.extend_from_slice(bytes);
        }
    }

    /// What the machine itself refused so far, without asking its owner: commands and content that are malformed, out of order
    /// or beyond a limit. For the owner's counters.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Octets that were received and are not used yet. An owner that waits for its own answer should stop reading
    /// while this is large.
    pub fn pending_octets(&self) -> usize {
        self.input.len().saturating_sub(self.used)
    }

    /// The next event; none when more input or an answer is needed, or the session is closed.
    pub fn poll(&mut self) -> Option<Event> {
        if let Some(event) = self.next.take() {
            return Some(event);
        }
        while self.owed == Owed::Nothing {
            let event = match &self.phase {
                Phase::Closed => return None,
                Phase::Data { .. } => self.poll_data(),
                Phase::LongLine => self.skip_long_line(),
                Phase::Commands => self.poll_command(),
            };
            match event {
                Step::Event(event) => return Some(event),
                Step::More => return None,
                Step::Again => {}
            }
        }
        None
    }

    /// Whether the session is over: send what [`Server::output`] holds, then close the connection.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Whether content is being received (timeouts differ).
    pub fn in_data(&self) -> bool {
        matches!(self.phase, Phase::Data { .. })
    }

    /// Whether an answer to the last event is owed.
    pub fn owes_answer(&self) -> bool {
        self.owed != Owed::Nothing
    }

    /// Octets to be sent.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// Tells that `octets` of the output were sent.
    pub fn sent(&mut self, octets: usize) {
        self.output.drain(..octets.min(self.output.len()));
    }

    /// Takes all that is to be sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Accepts the last event with the usual words. Does nothing when no answer is owed.
    pub fn accept(&mut self) {
        let reply = match self.owed {
            Owed::Nothing => return,
            Owed::Greeting if self.config.banner.is_empty() => {
                Reply::plain(220, format!("{} ESMTP", self.config.hostname))
            }
            Owed::Greeting => Reply::plain(220, &self.config.banner),
            Owed::Helo { .. } => Reply::plain(250, &self.config.hostname),
            Owed::Mail => Reply::new(250, (2, 1, 0), "Ok"),
            Owed::Rcpt => Reply::new(250, (2, 1, 5), "Ok"),
            Owed::Vrfy => Reply::new(252, (2, 5, 0), "Send some mail, I will try my best"),
            Owed::Data => Reply::plain(354, "End data with <CR><LF>.<CR><LF>"),
            Owed::Message => Reply::new(250, (2, 0, 0), "Ok"),
        };
        self.answer(&reply);
    }

    /// Answers the last event: 2xx or 3xx accepts it, 4xx or 5xx refuses it, 421 and 521 end the session too. Does
    /// nothing when no answer is owed.
    pub fn answer(&mut self, reply: &Reply) {
        let owed = std::mem::replace(&mut self.owed, Owed::Nothing);
        let yes = reply.is_positive();
        match owed {
            Owed::Nothing => return,
            // RFC 2920 section 3.1: nothing may follow these before their answer. A client that speaks on is blind
            // to it, and what it says may be another's words.
            Owed::Greeting | Owed::Helo { .. } | Owed::Vrfy | Owed::Data
                if yes && self.pending_octets() > 0 =>
            {
                return self.refuse_pipelining();
            }
            Owed::Greeting => {
                self.greeted = true;
                if !yes {
                    self.close();
                }
            }
            Owed::Helo { extended } => {
                self.helo |= yes;
                if yes && extended {
                    self.write_capabilities(reply);
                    return;
                }
            }
            Owed::Mail => self.sender = yes,
            Owed::Rcpt => self.recipients += usize::from(yes),
            Owed::Vrfy => {}
            Owed::Data if yes => {
                let decoder = DataDecoder::new(self.config.bare_line_ending);
                self.phase = Phase::Data { decoder, octets: 0, discarding: false };
            }
            Owed::Data => {}
            Owed::Message => {
                self.end_transaction();
                if yes {
                    self.idle_commands = 0;
                }
            }
        }
        reply.write(&mut self.output);
        if !yes && owed != Owed::Greeting {
            self.errors += 1;
        }
        if reply.code == 421 || reply.code == 521 {
            self.close();
        } else if !self.is_closed() {
            self.next = self.end_after_errors();
        }
    }

    /// Ends the session from the owner's side (a timeout, a shutdown): writes the reply and closes. An answer that is
    /// owed is not given any more.
    pub fn hang_up(&mut self, reply: &Reply) {
        if !self.is_closed() {
            reply.write(&mut self.output);
            self.close();
        }
    }

    fn close(&mut self) {
        self.phase = Phase::Closed;
        self.owed = Owed::Nothing;
        self.input = Vec::new();
        self.used = 0;
    }

    fn end_transaction(&mut self) {
        self.sender = false;
        self.recipients = 0;
    }

    fn write_capabilities(&mut self, reply: &Reply) {
        let mut lines = reply.lines.clone();
        lines.push("PIPELINING".into());
        match self.config.message_octets_max {
            0 => lines.push("SIZE".into()),
            max => lines.push(format!("SIZE {max}")),
        }
        lines.extend(["ENHANCEDSTATUSCODES".into(), "8BITMIME".into()]);
        Reply { code: 250, enhanced: None, lines }.write(&mut self.output);
    }

    fn unused(&self) -> &[u8] {
        self.input.get(self.used..).unwrap_or_default()
    }

    /// Marks `octets` as used, and gives memory back once all are.
    fn take(&mut self, octets: usize) {
        self.used += octets;
        if self.used >= self.input.len() {
            self.input.clear();
            self.used = 0;
        } else if self.used > CHUNK_OCTETS_MAX {
            self.input.drain(..self.used);
            self.used = 0;
        }
    }

    fn poll_command(&mut self) -> Step {
        let line_max = self.config.command_octets_max;
        let unused = self.unused();
        let Some(at) = memchr::memchr2(b'\r', b'\n', unused) else {
            return self.wait_for_line_end(unused.len() > line_max);
        };
        let (bare, line_octets) = match (unused.get(at), unused.get(at + 1)) {
            (Some(b'\r'), None) => return self.wait_for_line_end(at > line_max),
            (Some(b'\r'), Some(b'\n')) => (false, at + 2),
            (Some(b'\r'), _) => return self.refuse_bare_line_ending(DataError::BareCr),
            _ => (true, at + 1),
        };
        if bare && self.config.bare_line_ending == BareLineEnding::Refuse {
            return self.refuse_bare_line_ending(DataError::BareLf);
        }
        if line_octets > line_max {
            self.take(line_octets);
            return self.refuse(&Reply::new(500, (5, 5, 2), "Error: line too long"));
        }
        let parsed = Command::parse(unused.get(..at).unwrap_or_default());
        self.take(line_octets);
        match parsed {
            Ok(command) => self.command(command),
            Err(CommandError::ForeignProtocol) => {
                CommandError::ForeignProtocol.reply().write(&mut self.output);
                self.close();
                self.refused += 1;
                Step::Event(Event::Aborted(AbortReason::ForeignProtocol))
            }
            Err(error) => self.refuse(&error.reply()),
        }
    }

    fn wait_for_line_end(&mut self, too_long: bool) -> Step {
        if too_long {
            self.phase = Phase::LongLine;
            return Step::Again;
        }
        Step::More
    }

    fn skip_long_line(&mut self) -> Step {
        match memchr::memchr(b'\n', self.unused()) {
            Some(at) => {
                self.take(at + 1);
                self.phase = Phase::Commands;
                self.refuse(&Reply::new(500, (5, 5, 2), "Error: line too long"))
            }
            None => {
                let all = self.unused().len();
                self.take(all);
                Step::More
            }
        }
    }

    fn command(&mut self, command: Command) -> Step {
        match command {
            Command::Ehlo(name) => self.helo_event(true, name),
            Command::Helo(name) => self.helo_event(false, name),
            Command::Mail(..) if self.config.helo_required && !self.helo => {
                self.refuse(&Reply::new(503, (5, 5, 1), "Error: send HELO/EHLO first"))
            }
            Command::Mail(..) if self.sender => {
                self.refuse(&Reply::new(503, (5, 5, 1), "Error: nested MAIL command"))
            }
            Command::Mail(sender, parameters) => {
                let max = self.config.message_octets_max;
                if max > 0 && parameters.size.is_some_and(|size| size > max) {
                    return self.refuse(&Reply::new(552, (5, 3, 4), "Message size exceeds fixed limit"));
                }
                self.ask(Owed::Mail, Event::MailFrom { sender, parameters })
            }
            Command::Rcpt(_) if !self.sender => {
                self.refuse(&Reply::new(503, (5, 5, 1), "Error: need MAIL command"))
            }
            // RFC 5321 section 4.5.3.1.10: the client sends the rest in another transaction.
            Command::Rcpt(_) if self.recipients >= self.config.recipients_max => {
                self.refuse(&Reply::new(452, (4, 5, 3), "Error: too many recipients"))
            }
            Command::Rcpt(recipient) => self.ask(Owed::Rcpt, Event::RcptTo { recipient }),
            Command::Data if !self.sender => {
                self.refuse(&Reply::new(503, (5, 5, 1), "Error: need MAIL command"))
            }
            Command::Data if self.recipients == 0 => {
                self.refuse(&Reply::new(554, (5, 5, 1), "Error: no valid recipients"))
            }
            Command::Data => self.ask(Owed::Data, Event::DataStarts),
            Command::Rset => {
                let event = self.abandon();
                self.idle(&Reply::new(250, (2, 0, 0), "Ok"), event)
            }
            Command::Noop | Command::Help if self.pending_octets() > 0 && command == Command::Noop => {
                self.refuse_pipelining();
                self.after_refused_pipelining()
            }
            Command::Noop => self.idle(&Reply::new(250, (2, 0, 0), "Ok"), None),
            Command::Help => {
                let text = "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT (RFC 5321)";
                self.idle(&Reply::new(214, (2, 0, 0), text), None)
            }
            Command::Vrfy(name) if self.config.vrfy => self.ask(Owed::Vrfy, Event::Vrfy(name)),
            Command::Vrfy(_) if self.pending_octets() > 0 => {
                self.refuse_pipelining();
                self.after_refused_pipelining()
            }
            Command::Vrfy(_) => self.refuse(&Reply::new(502, (5, 5, 1), "VRFY command is disabled")),
            Command::Quit => {
                Reply::new(221, (2, 0, 0), "Bye").write(&mut self.output);
                self.close();
                Step::Event(Event::Quit)
            }
        }
    }

    fn helo_event(&mut self, extended: bool, name: String) -> Step {
        let helo = Event::Helo { extended, name };
        self.owed = Owed::Helo { extended };
        match self.abandon() {
            Some(aborted) => {
                self.next = Some(helo);
                Step::Event(aborted)
            }
            None => Step::Event(helo),
        }
    }

    fn ask(&mut self, owed: Owed, event: Event) -> Step {
        self.owed = owed;
        Step::Event(event)
    }

    /// Forgets a transaction where one stands.
    fn abandon(&mut self) -> Option<Event> {
        let stood = self.sender;
        self.end_transaction();
        stood.then_some(Event::Aborted(AbortReason::Reset))
    }

    /// Answers a command that leads nowhere; too many of them are errors.
    fn idle(&mut self, reply: &Reply, event: Option<Event>) -> Step {
        self.idle_commands += 1;
        if self.idle_commands > self.config.idle_commands_max {
            self.errors += 1;
        }
        reply.write(&mut self.output);
        match (event, self.end_after_errors()) {
            (_, Some(event)) | (Some(event), None) => Step::Event(event),
            (None, None) => Step::Again,
        }
    }

    fn refuse(&mut self, reply: &Reply) -> Step {
        self.errors += 1;
        self.refused += 1;
        reply.write(&mut self.output);
        match self.end_after_errors() {
            Some(event) => Step::Event(event),
            None => Step::Again,
        }
    }

    fn end_after_errors(&mut self) -> Option<Event> {
        if self.errors < self.config.errors_max {
            return None;
        }
        Reply::new(421, (4, 7, 0), format!("{} Error: too many errors", self.config.hostname))
            .write(&mut self.output);
        self.close();
        Some(Event::Aborted(AbortReason::TooManyErrors))
    }

    fn refuse_pipelining(&mut self) {
        Reply::new(554, (5, 5, 0), "Error: SMTP protocol synchronization").write(&mut self.output);
        self.close();
        self.refused += 1;
        self.next = Some(Event::Aborted(AbortReason::UnauthorizedPipelining));
    }

    fn after_refused_pipelining(&mut self) -> Step {
        self.next.take().map_or(Step::More, Step::Event)
    }

    fn refuse_bare_line_ending(&mut self, error: DataError) -> Step {
        let what = match error {
            DataError::BareCr => "<CR>",
            DataError::BareLf => "<LF>",
        };
        Reply::new(550, (5, 5, 2), format!("Error: bare {what} received")).write(&mut self.output);
        self.close();
        self.refused += 1;
        Step::Event(Event::Aborted(AbortReason::BareLineEnding))
    }

    fn poll_data(&mut self) -> Step {
        let Phase::Data { decoder, octets, discarding } = &mut self.phase else { return Step::Again };
        let input = self.input.get(self.used..).unwrap_or_default();
        let input = input.get(..CHUNK_OCTETS_MAX).unwrap_or(input);
        let mut chunk = Vec::with_capacity(input.len());
        let (used, end) = match decoder.decode(input, &mut chunk) {
            Ok(decoded) => decoded,
            Err(error) => return self.refuse_bare_line_ending(error),
        };
        *octets += chunk.len() as u64;
        let octets = *octets;
        let max = self.config.message_octets_max;
        *discarding |= max > 0 && octets > max;
        let discarding = *discarding;
        self.take(used);
        if let Some(DataEnd) = end {
            self.phase = Phase::Commands;
        }
        match (end, discarding) {
            (None, _) if used == 0 => Step::More,
            (None, true) => Step::Again,
            (None, false) => Step::Event(Event::MessageBytes(chunk)),
            (Some(DataEnd), true) => {
                self.end_transaction();
                Reply::new(552, (5, 3, 4), "Error: message too large").write(&mut self.output);
                self.errors += 1;
                self.refused += 1;
                Step::Event(Event::Aborted(AbortReason::TooBig))
            }
            (Some(DataEnd), false) => {
                self.owed = Owed::Message;
                let complete = Event::MessageComplete { octets };
                if chunk.is_empty() {
                    return Step::Event(complete);
                }
                self.next = Some(complete);
                Step::Event(Event::MessageBytes(chunk))
            }
        }
    }
}

/// What one step of the machine came to.
enum Step {
    Event(Event),
    /// More input is needed.
    More,
    /// Something was done without an event: step again.
    Again,
}

#[cfg(test)]
mod tests;
