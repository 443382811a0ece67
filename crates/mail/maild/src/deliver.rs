//! The role `deliver`: expands local recipients, hands each destination to a worker with the right user's rights, and picks
//! up what `sendmail` left in the maildrop directory.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child as Process, Command, Stdio};
use std::time::{Duration, Instant};

use layout::Layout;
use mail_core::Address;
use mail_core::destination::{Destination, Rights};
use mail_core::expand::{Trouble, expand};
use selflog::{SelfLog, Severity};
use smtp_proto::Mailbox;
use smtp_proto::maildrop::{Maildrop, SUFFIX};
use sys::poll::Interest;

use crate::channel::Channel;
use crate::local::{Identity, Local, spool_group};
use crate::protocol::{
    Attempt, Child, FromQueue, Job, JobRecipient, Leaf, LeafDone, LeafTarget, Submission, ToQueue, Verdict,
};
use crate::{config, roles, worker};

/// Workers at once; beyond it those without work end first.
const WORKERS_MAX: usize = 50;
/// A worker without work ends after this time.
const WORKER_IDLE: Duration = Duration::from_secs(60);
/// How often the maildrop directory is looked through without being told.
const MAILDROP_PERIOD: Duration = Duration::from_secs(30);

/// Runs the role until the queue is gone.
pub fn run(layout: &Layout, queue: UnixStream, split: bool) -> Result<(), String> {
    let settings = config::settings(layout)?;
    let log = roles::self_log(layout, &settings.syslog_name);
    let (maildrop, watch) = (settings.maildrop_dir(), sys::inotify::Inotify::new().ok());
    if let Some(watch) = &watch {
        watch.watch(&maildrop).ok();
    }
    let channel = Channel::new(queue).map_err(|e| e.to_string())?;
    let mut role = Deliver {
        layout: layout.clone(),
        local: Local::new(settings),
        queue: channel,
        workers: HashMap::new(),
        split,
        log,
        dropped: HashMap::new(),
        refused: HashMap::new(),
        next_token: 0,
    };
    role.queue.send(&ToQueue::Delivering, &[]).map_err(|e| e.to_string())?;
    role.pick_up();
    role.queue.flush();
    let (mut ready, mut last_look) = (Vec::new(), Instant::now());
    loop {
        let mut wanted = vec![role.queue.interest()];
        wanted.extend(watch.iter().map(|w| (w.as_fd(), Interest::READ)));
        wanted.extend(role.workers.values().map(|w| w.channel.interest()));
        match sys::poll::poll(&wanted, &mut ready, Some(Duration::from_secs(5))) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e.to_string()),
            _ => {}
        }
        role.listen_to_queue();
        role.listen_to_workers();
        role.queue.flush();
        let told = watch.as_ref().is_some_and(|w| w.drain().unwrap_or(false));
        if told || last_look.elapsed() > MAILDROP_PERIOD {
            last_look = Instant::now();
            role.pick_up();
            role.queue.flush();
        }
        if role.queue.is_closed() {
            return Ok(());
        }
    }
}

struct Deliver {
    layout: Layout,
    local: Local,
    queue: Channel,
    workers: HashMap<WorkerKey, Worker>,
    split: bool,
    log: SelfLog,
    /// Maildrop files that were submitted, by token.
    dropped: HashMap<u64, PathBuf>,
    /// Maildrop files that could not be taken, and when.
    refused: HashMap<PathBuf, Instant>,
    next_token: u64,
}

/// Whose worker: a user's rights where we can change to them, else only a name that keeps users apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum WorkerKey {
    As(Identity),
    Named(String),
}

struct Worker {
    channel: Channel,
    outstanding: HashSet<(u64, usize)>,
    used: Instant,
    process: Option<Process>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Its channel closes after this; it ends by itself, and a thread of its own waits for it.
            std::thread::spawn(move || process.wait());
        }
    }
}

impl Deliver {
    fn listen_to_queue(&mut self) {
        self.queue.fill();
        for complaint in self.local.refresh_aliases() {
            self.log.note("aliases.refused", Severity::Err, complaint);
        }
        while let Some((message, content)) = self.queue.next::<FromQueue>() {
            match message {
                FromQueue::Attempt(job) => self.attempt(&job, &content),
                FromQueue::Accepted { token, .. } => {
                    if let Some(path) = self.dropped.remove(&token) {
                        std::fs::remove_file(path).ok();
                    }
                }
                FromQueue::Refused { token, code, text, .. } => self.refuse_drop(token, code, &text),
                FromQueue::Reload => match config::settings(&self.layout) {
                    Ok(settings) => self.local = Local::new(settings),
                    Err(text) => config::tell_refused(&self.log, &text),
                },
            }
        }
        self.workers.values_mut().for_each(|w| w.channel.flush());
    }

    fn attempt(&mut self, job: &Job, content: &[u8]) {
        let mut attempts = Vec::new();
        for recipient in &job.recipients {
            if let Err(attempt) = self.attempt_one(job, recipient, content) {
                attempts.push(*attempt);
            }
        }
        self.report(job.id, attempts);
    }

    fn report(&mut self, id: u64, attempts: Vec<Attempt>) {
        if !attempts.is_empty() {
            self.queue.send(&ToQueue::Attempted { id, attempts }, &[]).ok();
        }
    }

    /// Hands the recipient to a worker, or tells at once what came of it.
    fn attempt_one(
        &mut self,
        job: &Job,
        recipient: &JobRecipient,
        content: &[u8],
    ) -> Result<(), Box<Attempt>> {
        let index = recipient.index;
        let failed = |t: Trouble| Box::new(Attempt::failed(index, t.temporary, &t.dsn, t.text, "local"));
        let detail = recipient.detail();
        let destination = match detail.destination {
            Destination::Unexpanded => self.expand(recipient, &detail.via, content)?,
            other => other,
        };
        let sender = detail.sender.unwrap_or_else(|| job.sender.clone());
        let (target, key) = self.target(&destination, recipient, &sender).map_err(failed)?;
        let leaf = Leaf {
            id: job.id,
            index,
            target,
            sender,
            address: recipient.address.clone(),
            original: recipient.original.clone(),
            size_limit: self.local.settings.mailbox_size_limit,
        };
        let spoken = self.worker(key).and_then(|worker| {
            worker.used = Instant::now();
            worker.outstanding.insert((leaf.id, leaf.index));
            worker.channel.send(&leaf, content)
        });
        spoken
            .map_err(|e| failed(Trouble::temporary("4.3.0", format!("cannot start a delivery process: {e}"))))
    }

    /// The one destination of a recipient, or the attempt's result where it has none or several.
    fn expand(
        &self,
        recipient: &JobRecipient,
        via: &[String],
        content: &[u8],
    ) -> Result<Destination, Box<Attempt>> {
        let index = recipient.index;
        let failed =
            |t: &Trouble| Box::new(Attempt::failed(index, t.temporary, &t.dsn, t.text.as_str(), "local"));
        let address = Address::parse(&recipient.address)
            .map_err(|e| failed(&Trouble::permanent("5.1.3", e.to_string())))?;
        let mut delivered_to: Vec<String> = via.to_vec();
        delivered_to.extend(message::fields(content).filter(|f| f.is("Delivered-To")).map(|f| f.unfolded()));
        let leaves = expand(&address, &self.local.settings.router, &self.local, &delivered_to);
        // A list that cannot be read whole is tried again whole.
        if let Some(trouble) = leaves.iter().filter_map(|l| l.way.as_ref().err()).find(|t| t.temporary) {
            return Err(failed(trouble));
        }
        if let [leaf] = leaves.as_slice() {
            match &leaf.way {
                Err(trouble) => return Err(failed(trouble)),
                Ok(detail) if detail.sender.is_none() && detail.destination != Destination::Remote => {
                    return Ok(detail.destination.clone());
                }
                Ok(_) => {}
            }
        }
        let child = |leaf: mail_core::expand::Leaf| {
            let detail = leaf.way.unwrap_or_else(|trouble| mail_core::destination::Detail {
                destination: Destination::Nowhere { dsn: trouble.dsn, text: trouble.text },
                ..Default::default()
            });
            Child { address: leaf.address, detail: detail.encode() }
        };
        let children: Vec<Child> = leaves.into_iter().map(child).collect();
        let text = format!("expanded to {} destinations", children.len());
        Err(Box::new(Attempt {
            verdict: Verdict::Expanded(children),
            ..Attempt::sent(index, text, "local", None)
        }))
    }

    fn target(
        &self,
        destination: &Destination,
        recipient: &JobRecipient,
        sender: &str,
    ) -> Result<(LeafTarget, WorkerKey), Trouble> {
        match destination {
            Destination::Mailbox { user } => self.mailbox(user, recipient, sender),
            Destination::File { path, rights } => {
                let target = match path.ends_with('/') {
                    true => LeafTarget::Maildir(path.clone()),
                    false => LeafTarget::Mbox(path.clone()),
                };
                Ok((target, self.key(rights)?))
            }
            Destination::Command { command, rights } => {
                let user = match rights {
                    Rights::User(name) => self.local.user(name)?,
                    Rights::AliasOwner => None,
                };
                Ok((self.command(command, user.as_ref(), recipient, sender), self.key(rights)?))
            }
            Destination::Nowhere { dsn, text } => Err(Trouble::permanent(dsn, text.clone())),
            Destination::Unexpanded | Destination::Remote => {
                Err(Trouble::temporary("4.3.5", "this recipient is not local"))
            }
        }
    }

    fn mailbox(
        &self,
        user: &str,
        recipient: &JobRecipient,
        sender: &str,
    ) -> Result<(LeafTarget, WorkerKey), Trouble> {
        let settings = &self.local.settings;
        let account = self.local.user(user)?;
        let account =
            account.ok_or_else(|| Trouble::permanent("5.1.1", format!("unknown user: \"{user}\"")))?;
        let rights = Rights::User(user.to_owned());
        if let Some(command) = &settings.mailbox_command {
            return Ok((self.command(command, Some(&account), recipient, sender), self.key(&rights)?));
        }
        let shown = |path: PathBuf| path.to_string_lossy().into_owned();
        if let Some(relative) = &settings.home_mailbox {
            let path = account.home.join(relative);
            let target = match relative.ends_with('/') {
                true => LeafTarget::Maildir(shown(path)),
                false => LeafTarget::Mbox(shown(path)),
            };
            return Ok((target, self.key(&rights)?));
        }
        let path = settings.mail_spool_directory.join(user);
        let mut key = self.key(&rights)?;
        if let (WorkerKey::As(identity), Some(gid)) = (&mut key, spool_group(&settings.mail_spool_directory))
        {
            identity.gid = gid;
        }
        let target = match settings.mail_spool_maildir {
            true => LeafTarget::Maildir(shown(path)),
            false => LeafTarget::Mbox(shown(path)),
        };
        Ok((target, key))
    }

    /// Addresses reach a command in its environment only, never in its words.
    fn command(
        &self,
        command: &str,
        user: Option<&sys::user::User>,
        recipient: &JobRecipient,
        sender: &str,
    ) -> LeafTarget {
        let mut environment: Vec<(String, String)> = Vec::new();
        let mut set = |name: &str, value: &str| {
            environment.push((name.to_owned(), value.replace('\0', "")));
        };
        set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        set("SENDER", sender);
        set("RECIPIENT", &recipient.address);
        set("ORIGINAL_RECIPIENT", &recipient.original);
        let (local, domain) = recipient.address.rsplit_once('@').unwrap_or((&recipient.address, ""));
        set("LOCAL", local);
        set("DOMAIN", domain);
        let extension = self.local.settings.router.local_name(local).extension;
        set("EXTENSION", extension.as_deref().unwrap_or(""));
        let mut directory = "/".to_owned();
        if let Some(user) = user {
            set("USER", &user.name);
            set("LOGNAME", &user.name);
            set("HOME", &user.home.to_string_lossy());
            set("SHELL", &user.shell.to_string_lossy());
            directory = user.home.to_string_lossy().into_owned();
        } else {
            set("SHELL", "/bin/sh");
        }
        LeafTarget::Command { command: command.to_owned(), environment, directory }
    }

    fn key(&self, rights: &Rights) -> Result<WorkerKey, Trouble> {
        if self.split {
            return Ok(WorkerKey::As(self.local.identity(rights)?));
        }
        Ok(WorkerKey::Named(match rights {
            Rights::User(name) => name.clone(),
            Rights::AliasOwner => String::new(),
        }))
    }

    fn worker(&mut self, key: WorkerKey) -> io::Result<&mut Worker> {
        if !self.workers.contains_key(&key) {
            if self.workers.len() >= WORKERS_MAX {
                self.workers.retain(|_, w| !w.outstanding.is_empty());
            }
            let worker = self.start_worker(&key)?;
            self.workers.insert(key.clone(), worker);
        }
        self.workers.get_mut(&key).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn start_worker(&self, key: &WorkerKey) -> io::Result<Worker> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut process = None;
        match key {
            WorkerKey::Named(name) => {
                let name: String = name.chars().take(10).collect();
                std::thread::Builder::new().name(format!("box-{name}")).spawn(move || worker::run(theirs))?;
            }
            WorkerKey::As(identity) => {
                let mut command = roles::child_command(&self.layout, "worker");
                command.stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
                sys::process::run_as(&mut command, identity.uid, identity.gid);
                process = Some(spawn(&mut command)?);
            }
        }
        let channel = Channel::new(ours)?;
        Ok(Worker { channel, outstanding: HashSet::new(), used: Instant::now(), process })
    }

    fn listen_to_workers(&mut self) {
        let mut done: HashMap<u64, Vec<Attempt>> = HashMap::new();
        for worker in self.workers.values_mut() {
            worker.channel.flush();
            worker.channel.fill();
            while let Some((leaf, _)) = worker.channel.next::<LeafDone>() {
                worker.outstanding.remove(&(leaf.id, leaf.attempt.index));
                done.entry(leaf.id).or_default().push(leaf.attempt);
            }
            if worker.channel.is_closed() {
                for (id, index) in worker.outstanding.drain() {
                    let text = "the delivery process ended unexpectedly";
                    let attempt = Attempt::failed(index, true, "4.3.0", text, "local");
                    done.entry(id).or_default().push(attempt);
                }
            }
        }
        self.workers.retain(|_, w| {
            !w.channel.is_closed() && (!w.outstanding.is_empty() || w.used.elapsed() < WORKER_IDLE)
        });
        for (id, attempts) in done {
            self.report(id, attempts);
        }
    }

    /// Submits what lies in the maildrop directory.
    fn pick_up(&mut self) {
        let Ok(entries) = std::fs::read_dir(self.local.settings.maildrop_dir()) else { return };
        for path in entries.filter_map(|e| Some(e.ok()?.path())) {
            let is_message = path.to_str().is_some_and(|p| p.ends_with(SUFFIX));
            let waits = self.refused.get(&path).is_some_and(|at| at.elapsed() < MAILDROP_PERIOD);
            if !is_message || waits || self.dropped.values().any(|p| *p == path) {
                continue;
            }
            if let Err(why) = self.submit_drop(&path) {
                self.log.note(
                    "maildrop.refused",
                    Severity::Err,
                    format!("{}: {why}; left there", path.display()),
                );
                std::fs::rename(&path, path.with_extension("bad")).ok();
            }
        }
        self.refused.retain(|_, at| at.elapsed() < MAILDROP_PERIOD);
    }

    fn submit_drop(&mut self, path: &std::path::Path) -> Result<(), String> {
        use std::io::Read;
        use std::os::unix::fs::MetadataExt;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        let open = || {
            if !std::fs::symlink_metadata(path)?.is_file() {
                return Err(io::Error::other("it is no plain file"));
            }
            let dir = std::fs::File::open(parent)?;
            sys::file::open_beneath(
                &dir,
                std::path::Path::new(name),
                sys::file::OpenHow { append_mode: None },
            )
        };
        let file = open().map_err(|e| e.to_string())?;
        let metadata = file.metadata().map_err(|e| e.to_string())?;
        let limit = self.local.settings.message_size_limit;
        if !metadata.is_file() || metadata.nlink() != 1 || metadata.len() > limit.saturating_mul(2) {
            return Err("it is no plain file of a message's size".to_owned());
        }
        let mut bytes = Vec::new();
        file.take(limit.saturating_mul(2)).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        let drop = Maildrop::parse(&bytes).map_err(|e| e.0)?;
        let origin = &self.local.settings.router.origin;
        let qualify = |m: Mailbox| m.with_default_domain(origin).to_string();
        let sender = drop.sender.map_or_else(String::new, qualify);
        let recipients = drop.recipients.into_iter().map(qualify).collect();
        self.next_token += 1;
        let submission = Submission {
            token: self.next_token,
            sender,
            recipients,
            origin: format!("by userid {}", metadata.uid()),
            with: "local".to_owned(),
            trusted: true,
            house: control::is_house(&self.layout, metadata.uid()),
        };
        let content = message::to_crlf(&drop.content);
        self.queue.send(&ToQueue::Submit(submission), &content).map_err(|e| e.to_string())?;
        self.dropped.insert(self.next_token, path.to_owned());
        Ok(())
    }

    fn refuse_drop(&mut self, token: u64, code: u16, text: &str) {
        let Some(path) = self.dropped.remove(&token) else { return };
        self.log.note("maildrop.refused", Severity::Err, format!("{}: {text}", path.display()));
        if code >= 500 {
            std::fs::rename(&path, path.with_extension("bad")).ok();
        } else {
            self.refused.insert(path, Instant::now());
        }
    }
}

fn spawn(command: &mut Command) -> io::Result<Process> {
    command.spawn()
}
