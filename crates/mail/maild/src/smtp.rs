//! The role `smtp`: sessions with clients, and (in [`crate::relay`]) with the relay host. Without privilege.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::os::unix::net::UnixStream as StdStream;
use std::rc::Rc;
use std::time::Duration;

use layout::Layout;
use selflog::{SelfLog, Severity};
use smtp_proto::{Event, Reply, Server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};

use crate::channel::{self, Decoder};
use crate::events::Rejected;
use crate::local::Local;
use crate::policy::{self, Client};
use crate::protocol::{FromQueue, Submission, ToQueue};
use crate::{config, relay, roles};

/// Octets read from a client at once.
const READ_OCTETS: usize = 32 * 1024;

/// What all sessions share.
pub struct Shared {
    /// Settings, aliases, users.
    pub local: RefCell<Rc<Local>>,
    /// The daemon's log.
    pub log: SelfLog,
    layout: Layout,
    to_queue: mpsc::UnboundedSender<Vec<u8>>,
    answers: RefCell<HashMap<u64, oneshot::Sender<Result<String, Reply>>>>,
    next_token: Cell<u64>,
    connections: RefCell<HashMap<Option<IpAddr>, usize>>,
    /// Connections to other hosts.
    pub relays: relay::Pool,
}

/// Runs the role until the queue is gone.
pub fn run(layout: &Layout, queue: StdStream, split: bool) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    LocalSet::new().block_on(&runtime, serve(layout.clone(), queue, split))
}

async fn serve(layout: Layout, queue: StdStream, split: bool) -> Result<(), String> {
    let settings = config::settings(&layout)?;
    let log = roles::self_log(&layout, &settings.syslog_name);
    let (listeners, names) = bind(&settings, &log).await?;
    let submission = smtp_proto::submission_socket(&layout);
    let submission = sys::socket::bind_unix_stream(&submission, 0o666)
        .map_err(|e| format!("cannot listen at {}: {e}", submission.display()))?;
    submission.set_nonblocking(true).map_err(|e| e.to_string())?;
    let submission = UnixListener::from_std(submission).map_err(|e| e.to_string())?;
    queue.set_nonblocking(true).map_err(|e| e.to_string())?;
    let queue = UnixStream::from_std(queue).map_err(|e| e.to_string())?;
    let owner = sys::user::by_name(&settings.mail_owner).map_err(|e| e.to_string())?;
    let (to_queue, outgoing) = mpsc::unbounded_channel();
    let shared = Rc::new(Shared {
        local: RefCell::new(Rc::new(Local::new(settings))),
        log,
        layout,
        to_queue,
        answers: RefCell::default(),
        next_token: Cell::new(0),
        connections: RefCell::default(),
        relays: relay::Pool::default(),
    });
    shared.tell_queue(&ToQueue::Listening(names), &[]);
    if split {
        let owner = owner.filter(|u| u.uid != 0).ok_or("mail_owner is no user without privilege")?;
        sys::process::become_user(&owner.name, owner.uid, owner.gid).map_err(|e| e.to_string())?;
        sys::process::no_new_privileges().map_err(|e| e.to_string())?;
    }
    for listener in listeners {
        spawn_local(accept_network(listener, Rc::clone(&shared)));
    }
    spawn_local(accept_processes(submission, Rc::clone(&shared)));
    let (reading, writing) = queue.into_split();
    spawn_local(write_to_queue(writing, outgoing));
    listen_to_queue(reading, shared).await;
    Ok(())
}

async fn bind(
    settings: &postfix_conf::Settings,
    log: &SelfLog,
) -> Result<(Vec<TcpListener>, Vec<String>), String> {
    let (mut listeners, mut names, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for listen in &settings.smtp_listen {
        let shown = format!("{}:{}", listen.host, listen.port);
        let found = tokio::net::lookup_host((listen.host.as_str(), listen.port)).await;
        let address = match found.map(|mut a| a.next()) {
            Ok(Some(address)) => address,
            Ok(None) => continue,
            Err(e) => {
                failures.push(format!("{shown}: {e}"));
                continue;
            }
        };
        let bound = sys::socket::bind_tcp(address, sys::socket::Listen::default()).and_then(|l| {
            l.set_nonblocking(true)?;
            TcpListener::from_std(l)
        });
        match bound {
            Ok(listener) => {
                names.extend(listener.local_addr().map(|a| a.to_string()));
                listeners.push(listener);
            }
            Err(e) => failures.push(format!("{shown}: {e}")),
        }
    }
    if !failures.is_empty() {
        let text = format!("cannot listen for SMTP at {}", failures.join(", "));
        // A host without IPv6 is no reason not to serve; no address at all is.
        if listeners.is_empty() {
            return Err(text);
        }
        log.note("smtp.listen", Severity::Warning, text);
    }
    Ok((listeners, names))
}

impl Shared {
    /// Sends a frame to the queue.
    pub fn tell_queue(&self, message: &ToQueue, content: &[u8]) {
        let mut frame = Vec::with_capacity(content.len() + 512);
        if channel::encode(&mut frame, message, content).is_ok() {
            self.to_queue.send(frame).ok();
        }
    }

    /// What stands on this host, as of now.
    pub fn local(&self) -> Rc<Local> {
        Rc::clone(&self.local.borrow())
    }

    async fn submit(&self, mut submission: Submission, content: &[u8]) -> Result<String, Reply> {
        let token = self.next_token.get() + 1;
        self.next_token.set(token);
        submission.token = token;
        let (sender, receiver) = oneshot::channel();
        self.answers.borrow_mut().insert(token, sender);
        self.tell_queue(&ToQueue::Submit(submission), content);
        receiver.await.unwrap_or_else(|_| Err(Reply::new(451, (4, 3, 0), "Error: the queue is gone")))
    }

    fn reload(&self) {
        match config::settings(&self.layout) {
            Ok(settings) => *self.local.borrow_mut() = Rc::new(Local::new(settings)),
            Err(text) => config::tell_refused(&self.log, &text),
        }
    }
}

async fn write_to_queue(
    mut writing: tokio::net::unix::OwnedWriteHalf,
    mut outgoing: mpsc::UnboundedReceiver<Vec<u8>>,
) {
    while let Some(mut frames) = outgoing.recv().await {
        while let Ok(more) = outgoing.try_recv() {
            frames.extend_from_slice(&more);
        }
        if writing.write_all(&frames).await.is_err() {
            return;
        }
    }
}

async fn listen_to_queue(mut reading: tokio::net::unix::OwnedReadHalf, shared: Rc<Shared>) {
    let mut decoder = Decoder::default();
    let mut chunk = vec![0; 256 * 1024];
    loop {
        match reading.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(n) => decoder.receive(chunk.get(..n).unwrap_or_default()),
        }
        loop {
            match decoder.next::<FromQueue>() {
                Ok(Some((message, content))) => hear(&shared, message, content),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

fn hear(shared: &Rc<Shared>, message: FromQueue, content: Vec<u8>) {
    let answer = |token: u64, result: Result<String, Reply>| {
        if let Some(sender) = shared.answers.borrow_mut().remove(&token) {
            sender.send(result).ok();
        }
    };
    match message {
        FromQueue::Accepted { token, queue_id } => answer(token, Ok(queue_id)),
        FromQueue::Refused { token, code, dsn, text } => answer(token, Err(Reply::new(code, dsn, text))),
        FromQueue::Attempt(job) => {
            spawn_local(relay::attempt(Rc::clone(shared), job, content));
        }
        FromQueue::Reload => shared.reload(),
    }
}

async fn accept_network(listener: TcpListener, shared: Rc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                stream.set_nodelay(true).ok();
                spawn_local(guarded(stream, Client::Network(peer.ip()), Rc::clone(&shared)));
            }
            // Out of descriptors: those in use come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn accept_processes(listener: UnixListener, shared: Rc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Ok(peer) = stream.peer_cred() {
                    spawn_local(guarded(stream, Client::Process(peer.uid()), Rc::clone(&shared)));
                }
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Counts connections around a session.
async fn guarded(stream: impl AsyncRead + AsyncWrite + Unpin, client: Client, shared: Rc<Shared>) {
    let key = match &client {
        Client::Network(address) => Some(*address),
        Client::Process(_) => None,
    };
    let refusal = {
        let mut connections = shared.connections.borrow_mut();
        let total: usize = connections.values().sum();
        let mine = connections.entry(key).or_default();
        *mine += 1;
        let local = shared.local();
        let settings = &local.settings;
        if total >= settings.connections {
            Some(Reply::new(421, (4, 3, 2), "Error: too many connections"))
        } else if settings.client_connections > 0
            && *mine > settings.client_connections
            && !client.is_trusted(settings)
        {
            Some(Reply::new(421, (4, 7, 0), "Error: too many connections from you"))
        } else {
            None
        }
    };
    let mut session = Session::new(stream, client, Rc::clone(&shared));
    session.run(refusal).await;
    let malformed = session.server.refused();
    if malformed > 0 {
        shared.tell_queue(&ToQueue::Malformed(malformed), &[]);
    }
    let mut connections = shared.connections.borrow_mut();
    if let Some(count) = connections.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            connections.remove(&key);
        }
    }
}

struct Session<S> {
    stream: S,
    server: Server,
    client: Client,
    shared: Rc<Shared>,
    local: Rc<Local>,
    helo: String,
    extended: bool,
    sender: String,
    recipients: Vec<String>,
    content: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    fn new(stream: S, client: Client, shared: Rc<Shared>) -> Self {
        let local = shared.local();
        let server = Server::new(policy::server_config(&local.settings, &client));
        Self {
            stream,
            server,
            client,
            shared,
            local,
            helo: String::new(),
            extended: false,
            sender: String::new(),
            recipients: Vec::new(),
            content: Vec::new(),
        }
    }

    async fn run(&mut self, refusal: Option<Reply>) {
        let patience = Duration::from_secs(u64::try_from(self.local.settings.session_timeout).unwrap_or(300));
        let mut chunk = vec![0; READ_OCTETS];
        let mut refusal = refusal;
        loop {
            while let Some(event) = self.server.poll() {
                if let (Event::Connected, Some(reply)) = (&event, refusal.take()) {
                    self.server.answer(&reply);
                    continue;
                }
                self.event(event).await;
            }
            let output = self.server.take_output();
            if !output.is_empty()
                && !matches!(tokio::time::timeout(patience, self.stream.write_all(&output)).await, Ok(Ok(())))
            {
                return;
            }
            if self.server.is_closed() {
                self.stream.shutdown().await.ok();
                return;
            }
            match tokio::time::timeout(patience, self.stream.read(&mut chunk)).await {
                Ok(Ok(0) | Err(_)) => return,
                Ok(Ok(n)) => self.server.receive(chunk.get(..n).unwrap_or_default()),
                Err(_) => {
                    let name = self.local.settings.myhostname.clone();
                    self.server.hang_up(&Reply::new(
                        421,
                        (4, 4, 2),
                        format!("{name} Error: timeout exceeded"),
                    ));
                }
            }
        }
    }

    async fn event(&mut self, event: Event) {
        match event {
            Event::Connected => self.server.accept(),
            Event::Helo { extended, name } => {
                self.helo = name;
                self.extended = extended;
                self.server.accept();
            }
            Event::MailFrom { sender, .. } => {
                self.forget();
                self.local = self.shared.local();
                // The role deliver says what is wrong with a new file; here only what is good in it counts.
                self.local.refresh_aliases();
                let origin = &self.local.settings.router.origin;
                self.sender = sender.map_or_else(String::new, |s| s.with_default_domain(origin).to_string());
                self.server.accept();
            }
            Event::RcptTo { recipient } => match policy::recipient(&self.local, &self.client, &recipient) {
                Ok(address) => {
                    self.recipients.push(address);
                    self.server.accept();
                }
                Err(reply) => self.refuse("RCPT", &reply),
            },
            Event::Vrfy(name) => self.verify(&name),
            Event::DataStarts => {
                self.content.clear();
                self.server.accept();
            }
            Event::MessageBytes(bytes) => {
                if self.content.is_empty() {
                    self.content = bytes;
                } else {
                    self.content.extend_from_slice(&bytes);
                }
            }
            Event::MessageComplete { .. } => self.complete().await,
            Event::Aborted(_) | Event::Quit => self.forget(),
        }
    }

    async fn complete(&mut self) {
        let content = std::mem::take(&mut self.content);
        let submission = Submission {
            token: 0,
            sender: std::mem::take(&mut self.sender),
            recipients: std::mem::take(&mut self.recipients),
            origin: self.client.received_from(&self.helo),
            with: if self.extended { "ESMTP".to_owned() } else { "SMTP".to_owned() },
            trusted: self.client.is_trusted(&self.local.settings),
            house: matches!(self.client, Client::Process(uid) if control::is_house(&self.shared.layout, uid)),
        };
        match self.shared.submit(submission, &content).await {
            Ok(queue_id) => {
                self.server.answer(&Reply::new(250, (2, 0, 0), format!("Ok: queued as {queue_id}")))
            }
            Err(reply) => self.refuse("end of DATA", &reply),
        }
    }

    fn verify(&mut self, name: &str) {
        let known = mail_core::Address::parse(name).ok().is_some_and(|address| {
            let router = &self.local.settings.router;
            match router.route(&address.qualified(&router.origin)) {
                mail_core::route::Route::Local(name) => self.local.is_known(&name).unwrap_or(true),
                _ => true,
            }
        });
        if known {
            self.server.accept();
        } else {
            let reply = Reply::new(550, (5, 1, 1), "User unknown in local recipient table");
            self.server.answer(&reply);
        }
    }

    fn refuse(&mut self, stage: &str, reply: &Reply) {
        let mut said = Vec::new();
        reply.write(&mut said);
        let said = String::from_utf8_lossy(&said);
        self.shared.log.say(&Rejected {
            syslog_name: &self.local.settings.syslog_name,
            client: &self.client.shown(),
            stage,
            reply: said.trim_end(),
        });
        self.server.answer(reply);
    }

    fn forget(&mut self) {
        self.sender.clear();
        self.recipients.clear();
        self.content = Vec::new();
    }
}
