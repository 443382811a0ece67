//! Handing a message to the daemon by SMTP over its Unix socket, or to the maildrop folder when it does not answer.

use crate::sysexits::{CANTCREAT, DATAERR, Failure, TEMPFAIL, UNAVAILABLE};
use layout::Layout;
use smtp_proto::maildrop::{Maildrop, SUFFIX};
use smtp_proto::{Client, ClientConfig, ClientEvent, Envelope, Mailbox, Reply, ReplyParser, Stage};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// How long one reply may take: a commit to a slow disk and an expansion of large aliases are in it.
const REPLY_PATIENCE: Duration = Duration::from_secs(300);
/// Octets of content given to the machine at once.
const CHUNK_OCTETS: usize = 64 * 1024;

/// A message with its envelope.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) sender: Option<Mailbox>,
    pub(crate) recipients: Vec<Mailbox>,
    /// With LF line ends.
    pub(crate) content: Vec<u8>,
}

/// Where the message is now; either way it is on disk.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// In the daemon's queue, but for the recipients that it refused for good.
    Taken { refused: Vec<(Mailbox, Reply)>, reply: Reply },
    /// Nowhere: the daemon refuses every recipient for good.
    NobodyTaken { refused: Vec<(Mailbox, Reply)> },
    /// In the maildrop folder.
    Dropped { path: PathBuf, why: String },
}

/// What one session with the daemon came to.
enum Session {
    Taken {
        refused: Vec<(Mailbox, Reply)>,
        later: Vec<Mailbox>,
        reply: Reply,
    },
    /// The daemon said no to every recipient, for good.
    NobodyTaken {
        refused: Vec<(Mailbox, Reply)>,
    },
    /// The daemon said no for good.
    Refused(Reply),
    /// It does not answer, or says that it cannot now.
    Down(String),
}

/// Hands the message in.
pub(crate) fn submit(layout: &Layout, submission: &Submission, verbose: bool) -> Result<Outcome, Failure> {
    let mut waiting = submission.recipients.clone();
    let mut all_refused = Vec::new();
    loop {
        match session(layout, submission, &waiting, verbose) {
            Session::Taken { refused, later, reply } => {
                all_refused.extend(refused);
                if later.is_empty() {
                    return Ok(Outcome::Taken { refused: all_refused, reply });
                }
                // The daemon's limit of recipients for one message: the rest goes in another transaction, and there is
                // progress, as `later` is shorter than `waiting`.
                waiting = later;
            }
            Session::NobodyTaken { refused } => {
                all_refused.extend(refused);
                return Ok(Outcome::NobodyTaken { refused: all_refused });
            }
            Session::Refused(reply) => {
                let code = if reply.code == 552 { DATAERR } else { UNAVAILABLE };
                return Err(Failure::new(code, format!("the mail daemon refuses the message: {reply}")));
            }
            Session::Down(why) => return put_down(layout, submission, waiting, why),
        }
    }
}

fn session(layout: &Layout, submission: &Submission, recipients: &[Mailbox], verbose: bool) -> Session {
    let mut connection = match Connection::open(layout) {
        Ok(connection) => connection,
        Err(error) => return Session::Down(format!("the mail daemon does not answer ({error})")),
    };
    let mut replies: Vec<Option<Reply>> = vec![None; recipients.len()];
    loop {
        let event = match connection.event() {
            Ok(event) => event,
            Err(error) => return Session::Down(format!("the mail daemon's connection broke ({error})")),
        };
        match event {
            ClientEvent::Ready(_) => {
                // The wire's form is longer than ours by one octet a line: SIZE is about the wire.
                let lines = submission.content.iter().filter(|&&b| b == b'\n').count();
                connection.client.begin(Envelope {
                    sender: submission.sender.clone(),
                    recipients: recipients.to_vec(),
                    octets: Some((submission.content.len() + lines) as u64),
                    eight_bit: !submission.content.is_ascii(),
                });
            }
            ClientEvent::Recipient { index, reply } => {
                if let (true, Some(recipient)) = (verbose, recipients.get(index)) {
                    println!("{recipient}... {reply}");
                }
                if let Some(slot) = replies.get_mut(index) {
                    *slot = Some(reply);
                }
            }
            ClientEvent::SendContent => {
                for chunk in submission.content.chunks(CHUNK_OCTETS) {
                    connection.client.content(chunk);
                    if let Err(error) = connection.flush() {
                        return Session::Down(format!("the mail daemon's connection broke ({error})"));
                    }
                }
                connection.client.finish_content();
            }
            ClientEvent::Delivered(reply) => {
                connection.client.quit();
                // The message is taken: how the goodbye goes does not matter.
                let _ = connection.flush();
                let (mut refused, mut later) = (Vec::new(), Vec::new());
                for (recipient, answer) in recipients.iter().zip(replies) {
                    match answer {
                        Some(answer) if answer.is_positive() => {}
                        Some(answer) if answer.is_permanent() => refused.push((recipient.clone(), answer)),
                        _ => later.push(recipient.clone()),
                    }
                }
                return Session::Taken { refused, later, reply };
            }
            ClientEvent::Failed(failure) | ClientEvent::Closed(failure) => {
                // Where some recipients are refused for good and others only now, the message must not be lost for the latter.
                let all_permanent = replies.iter().flatten().all(Reply::is_permanent);
                let refused: Option<Vec<Reply>> = replies.iter().cloned().collect();
                if let (Stage::RcptTo, true, Some(refused)) = (failure.stage(), all_permanent, refused) {
                    return Session::NobodyTaken {
                        refused: recipients.iter().cloned().zip(refused).collect(),
                    };
                }
                return match failure.reply() {
                    Some(reply) if reply.is_permanent() && all_permanent => Session::Refused(reply.clone()),
                    _ => Session::Down(format!("the mail daemon {failure}")),
                };
            }
            ClientEvent::Bye => return Session::Down("the mail daemon said goodbye".into()),
        }
    }
}

/// Asks about recipients without sending a message.
pub(crate) fn verify(
    layout: &Layout,
    sender: Option<Mailbox>,
    recipients: Vec<Mailbox>,
) -> Result<Vec<(Mailbox, Reply)>, Failure> {
    let ask = || -> io::Result<Vec<(Mailbox, Reply)>> {
        let mut stream = connect(layout)?;
        let mut parser = ReplyParser::default();
        read_reply(&mut stream, &mut parser)?;
        let mut say = |line: String| -> io::Result<Reply> {
            stream.write_all(format!("{line}\r\n").as_bytes())?;
            read_reply(&mut stream, &mut parser)
        };
        say("EHLO localhost".into())?;
        let sender = sender.map(|s| s.to_string()).unwrap_or_default();
        let reply = say(format!("MAIL FROM:<{sender}>"))?;
        if !reply.is_positive() {
            return Ok(recipients.into_iter().map(|recipient| (recipient, reply.clone())).collect());
        }
        let mut answers = Vec::new();
        for recipient in recipients {
            let reply = say(format!("RCPT TO:<{recipient}>"))?;
            answers.push((recipient, reply));
        }
        say("RSET".into())?;
        say("QUIT".into())?;
        Ok(answers)
    };
    ask().map_err(|error| down(format!("the mail daemon does not answer ({error})")))
}

fn read_reply(stream: &mut UnixStream, parser: &mut ReplyParser) -> io::Result<Reply> {
    let mut buffer = [0; 4096];
    loop {
        match parser.next_reply() {
            Ok(Some(reply)) => return Ok(reply),
            Ok(None) => {}
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{error:?}"))),
        }
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => parser.receive(buffer.get(..length).unwrap_or_default()),
        }
    }
}

/// Leaves the message in the maildrop folder.
fn put_down(
    layout: &Layout,
    submission: &Submission,
    recipients: Vec<Mailbox>,
    why: String,
) -> Result<Outcome, Failure> {
    let usec = u64::try_from(sys::clock::realtime_ns() / 1000).unwrap_or(0);
    let folder = crate::aliases::maildrop_dir(layout);
    let name = format!("{usec:x}-{:x}-{:x}{SUFFIX}", std::process::id(), sys::random::u64());
    let path = folder.join(name);
    let drop = Maildrop {
        sender: submission.sender.clone(),
        recipients,
        arrival_usec: usec,
        content: submission.content.clone(),
    };
    match sys::file::replace(&path, &drop.encode(), 0o600) {
        Ok(()) => Ok(Outcome::Dropped { path, why }),
        Err(error) => {
            let message = format!("{why}, and the message cannot be left in {}: {error}", folder.display());
            let mut failure = down(message);
            if error.kind() != io::ErrorKind::NotFound {
                failure.code = CANTCREAT;
            }
            Err(failure)
        }
    }
}

fn down(message: String) -> Failure {
    Failure::new(TEMPFAIL, message)
        .help("start it: systemctl start banto-maild; in a house: banto --dir DIR up")
}

fn connect(layout: &Layout) -> io::Result<UnixStream> {
    let path = smtp_proto::submission_socket(layout);
    let stream = UnixStream::connect(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    stream.set_read_timeout(Some(REPLY_PATIENCE))?;
    stream.set_write_timeout(Some(REPLY_PATIENCE))?;
    Ok(stream)
}

/// The client machine on a socket.
struct Connection {
    stream: UnixStream,
    client: Client,
}

impl Connection {
    fn open(layout: &Layout) -> io::Result<Self> {
        let client = Client::new(ClientConfig { helo_name: "localhost".into(), pipelining: true });
        Ok(Self { stream: connect(layout)?, client })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.client.take_output())
    }

    /// Waits for the next event.
    fn event(&mut self) -> io::Result<ClientEvent> {
        let mut buffer = [0; 8192];
        loop {
            if let Some(event) = self.client.poll() {
                return Ok(event);
            }
            self.flush()?;
            match self.stream.read(&mut buffer)? {
                0 => self.client.disconnected(),
                length => self.client.receive(buffer.get(..length).unwrap_or_default()),
            }
        }
    }
}
