//! Handing mail to the relay host: one connection at a time for each message, kept for the next one.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mail_core::route::NextHop;
use smtp_proto::{Client, ClientConfig, ClientEvent, Envelope, Failure, Mailbox, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::protocol::{Attempt, Job, ToQueue};
use crate::smtp::Shared;

/// Connections to one host at once (`smtp_destination_concurrency_limit` of postfix).
const CONNECTIONS_MAX: usize = 20;
/// How long an unused connection is kept: shorter than any server's patience.
const KEEP: Duration = Duration::from_secs(5);
/// How long an answer may take; RFC 5321 section 4.5.3.2 asks for 5 and, after the content, 10 minutes.
const ANSWER_PATIENCE: Duration = Duration::from_secs(600);
/// Messages over one connection.
const MESSAGES_PER_CONNECTION: u32 = 100;
/// After a failed connection nobody tries the host for this long: the queue's own schedule comes after it.
const DEAD_FOR: Duration = Duration::from_secs(5);

/// Connections that wait for the next message.
pub struct Pool {
    idle: RefCell<HashMap<NextHop, VecDeque<Connection>>>,
    permits: Semaphore,
    dead: RefCell<HashMap<NextHop, (Instant, String)>>,
    sweeping: Cell<bool>,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            idle: RefCell::default(),
            permits: Semaphore::new(CONNECTIONS_MAX),
            dead: RefCell::default(),
            sweeping: Cell::new(false),
        }
    }
}

struct Connection {
    stream: TcpStream,
    client: Client,
    shown: String,
    used: Instant,
    messages: u32,
}

/// Tries one job and tells the queue.
pub async fn attempt(shared: Rc<Shared>, job: Job, content: Vec<u8>) {
    let attempts = run(&shared, &job, &content).await;
    shared.tell_queue(&ToQueue::Attempted { id: job.id, attempts }, &[]);
    sweep_later(&shared);
}

async fn run(shared: &Shared, job: &Job, content: &[u8]) -> Vec<Attempt> {
    let all = |temporary: bool, dsn: &str, text: &str, relay: &str| -> Vec<Attempt> {
        job.recipients.iter().map(|r| Attempt::failed(r.index, temporary, dsn, text, relay)).collect()
    };
    let local = shared.local();
    let Some(hop) = local.settings.router.relayhost.clone() else {
        return all(false, "5.4.4", "mail to other hosts needs relayhost in main.cf", "none");
    };
    let Ok(_permit) = shared.relays.permits.acquire().await else {
        return all(true, "4.3.2", "the daemon ends", "none");
    };
    let parse = |text: &str| Mailbox::parse(text.as_bytes()).ok();
    let sender = parse(&job.sender);
    let (mut wanted, mut attempts) = (Vec::new(), Vec::new());
    for recipient in &job.recipients {
        match parse(&recipient.address) {
            Some(mailbox) => wanted.push((recipient.index, mailbox)),
            None => {
                attempts.push(Attempt::failed(recipient.index, false, "5.1.3", "bad address syntax", "none"))
            }
        }
    }
    if wanted.is_empty() {
        return attempts;
    }
    let envelope = Envelope {
        sender,
        recipients: wanted.iter().map(|(_, m)| m.clone()).collect(),
        octets: Some(content.len() as u64),
        eight_bit: !content.is_ascii(),
    };
    // A kept connection may have died of old age: that says nothing of the message.
    loop {
        let (mut connection, kept) = match take(shared, &hop) {
            Some(connection) => (connection, true),
            None => match connect(shared, &hop).await {
                Ok(connection) => (connection, false),
                Err(text) => return all(true, "4.4.1", &text, "none"),
            },
        };
        let outcome = connection.transact(&envelope, content).await;
        if let (Outcome::Lost { before_content: true, .. }, true) = (&outcome, kept) {
            continue;
        }
        attempts.extend(judge(outcome, &wanted, &connection.shown));
        if connection.client.is_ready() && connection.messages < MESSAGES_PER_CONNECTION {
            connection.used = Instant::now();
            shared.relays.idle.borrow_mut().entry(hop).or_default().push_back(connection);
        } else {
            connection.goodbye().await;
        }
        return attempts;
    }
}

fn take(shared: &Shared, hop: &NextHop) -> Option<Connection> {
    let mut idle = shared.relays.idle.borrow_mut();
    let list = idle.get_mut(hop)?;
    list.retain(|c| c.used.elapsed() < KEEP);
    list.pop_back()
}

/// Closes kept connections once they are too old.
fn sweep_later(shared: &Rc<Shared>) {
    if shared.relays.sweeping.replace(true) {
        return;
    }
    let shared = Rc::clone(shared);
    tokio::task::spawn_local(async move {
        tokio::time::sleep(KEEP).await;
        shared.relays.sweeping.set(false);
        let mut old = Vec::new();
        for list in shared.relays.idle.borrow_mut().values_mut() {
            while list.front().is_some_and(|c| c.used.elapsed() >= KEEP) {
                old.extend(list.pop_front());
            }
        }
        for connection in old {
            connection.goodbye().await;
        }
        if shared.relays.idle.borrow().values().any(|l| !l.is_empty()) {
            sweep_later(&shared);
        }
    });
}

async fn connect(shared: &Shared, hop: &NextHop) -> Result<Connection, String> {
    if let Some((at, text)) = shared.relays.dead.borrow().get(hop)
        && at.elapsed() < DEAD_FOR
    {
        return Err(text.clone());
    }
    let local = shared.local();
    let patience = Duration::from_secs(u64::try_from(local.settings.connect_timeout).unwrap_or(30));
    let name = format!("{}:{}", hop.host, hop.port);
    let result = async {
        let addresses: Vec<_> = tokio::net::lookup_host((hop.host.as_str(), hop.port))
            .await
            .map_err(|e| format!("Host or domain name not found: {}: {e}", hop.host))?
            // inet_protocols is about both directions.
            .filter(|a| if a.is_ipv4() { local.settings.ipv4 } else { local.settings.ipv6 })
            .collect();
        let mut last = format!("{} has no address of inet_protocols", hop.host);
        for address in addresses {
            match tokio::time::timeout(patience, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).ok();
                    let helo_name = local.settings.myhostname.clone();
                    let client = Client::new(ClientConfig { helo_name, pipelining: true });
                    let shown = format!("{}[{}]:{}", hop.host, address.ip(), hop.port);
                    let mut connection =
                        Connection { stream, client, shown, used: Instant::now(), messages: 0 };
                    match connection.next_event().await {
                        Some(ClientEvent::Ready(_)) => return Ok(connection),
                        Some(ClientEvent::Closed(failure)) => last = said(&connection.shown, &failure),
                        _ => last = format!("{} did not greet", connection.shown),
                    }
                }
                Ok(Err(e)) => last = format!("connect to {}[{}]:{}: {e}", hop.host, address.ip(), hop.port),
                Err(_) => last = format!("connect to {name}: Connection timed out"),
            }
        }
        Err(last)
    }
    .await;
    if let Err(text) = &result {
        shared.relays.dead.borrow_mut().insert(hop.clone(), (Instant::now(), text.clone()));
    }
    result
}

fn said(shown: &str, failure: &Failure) -> String {
    format!("host {shown} {failure}")
}

enum Outcome {
    /// The answers to each recipient, then to the message.
    Answered { recipients: HashMap<usize, Reply>, message: Result<Reply, Failure> },
    /// The connection broke.
    Lost { recipients: HashMap<usize, Reply>, failure: Failure, before_content: bool },
}

impl Connection {
    /// The next event of the machine; none when the answer takes too long.
    async fn next_event(&mut self) -> Option<ClientEvent> {
        let mut chunk = [0; 8192];
        loop {
            if let Some(event) = self.client.poll() {
                return Some(event);
            }
            let output = self.client.take_output();
            if !output.is_empty() && self.stream.write_all(&output).await.is_err() {
                self.client.disconnected();
                continue;
            }
            match tokio::time::timeout(ANSWER_PATIENCE, self.stream.read(&mut chunk)).await {
                Ok(Ok(0) | Err(_)) => self.client.disconnected(),
                Ok(Ok(n)) => self.client.receive(chunk.get(..n).unwrap_or_default()),
                Err(_) => {
                    self.client.disconnected();
                }
            }
        }
    }

    async fn transact(&mut self, envelope: &Envelope, content: &[u8]) -> Outcome {
        let mut recipients = HashMap::new();
        let mut before_content = true;
        self.messages += 1;
        if !self.client.begin(envelope.clone()) {
            let failure = Failure::Disconnected(smtp_proto::Stage::Idle);
            return Outcome::Lost { recipients, failure, before_content };
        }
        loop {
            match self.next_event().await {
                Some(ClientEvent::Recipient { index, reply }) => {
                    recipients.insert(index, reply);
                }
                Some(ClientEvent::SendContent) => {
                    before_content = false;
                    self.client.content(content);
                    self.client.finish_content();
                }
                Some(ClientEvent::Delivered(reply)) => {
                    return Outcome::Answered { recipients, message: Ok(reply) };
                }
                Some(ClientEvent::Failed(f)) => return Outcome::Answered { recipients, message: Err(f) },
                Some(ClientEvent::Closed(failure)) => {
                    return Outcome::Lost { recipients, failure, before_content };
                }
                Some(ClientEvent::Ready(_)) => {}
                Some(ClientEvent::Bye) | None => {
                    let failure = Failure::Disconnected(smtp_proto::Stage::Idle);
                    return Outcome::Lost { recipients, failure, before_content };
                }
            }
        }
    }

    async fn goodbye(mut self) {
        self.client.quit();
        let output = self.client.take_output();
        self.stream.write_all(&output).await.ok();
        let mut rest = [0; 512];
        tokio::time::timeout(Duration::from_secs(2), self.stream.read(&mut rest)).await.ok();
    }
}

/// One attempt for each recipient.
fn judge(outcome: Outcome, wanted: &[(usize, Mailbox)], shown: &str) -> Vec<Attempt> {
    let (answers, message) = match outcome {
        Outcome::Answered { recipients, message } => (recipients, message),
        Outcome::Lost { recipients, failure, .. } => (recipients, Err(failure)),
    };
    let one = |(position, (index, _)): (usize, &(usize, Mailbox))| {
        let index = *index;
        if let Some(refusal) = answers.get(&position).filter(|r| !r.is_positive()) {
            let text = format!("host {shown} said: {refusal} (in reply to RCPT TO command)");
            let dsn = code_of(refusal);
            return Attempt::failed(index, !refusal.is_permanent(), &dsn, text, shown);
        }
        match &message {
            Ok(reply) => {
                let dsn = code_of(reply);
                Attempt { dsn, ..Attempt::sent(index, reply.to_string(), shown, None) }
            }
            Err(failure) => {
                let dsn = failure.reply().map_or_else(|| "4.4.2".to_owned(), code_of);
                Attempt::failed(index, !failure.is_permanent(), &dsn, said(shown, failure), shown)
            }
        }
    };
    wanted.iter().enumerate().map(one).collect()
}

fn code_of(reply: &Reply) -> String {
    let code = reply.enhanced_or_general();
    format!("{}.{}.{}", code.0, code.1, code.2)
}
