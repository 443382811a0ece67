//! From bytes to outputs: what each intake thread does with a message, in batches.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use log_core::{Action, ActionId, MessageView, Peer, RateLimit, RateLimiter, Rules, Scratch, Stamp, Verdict};
use record::{ClockQuality, MonotonicMicros, Severity, UnixMicros};
use sys::socket::Credentials;
use syslog_proto::native::Field;
use syslog_proto::{Message, Origin, Sanitize, sanitize};

use crate::counters::{InputCounters, Register, add};
use crate::inputs::{Bound, InputKindPlan};
use crate::journal::{JournalBatch, JournalSender};
use crate::outputs::{Batch, Outlet, Shape};
use crate::say::Say;
use crate::trusted::{Fields, Trusted};

/// Bytes at which a batch goes to its output at once.
const BATCH_BYTES: usize = 256 * 1024;
/// Bytes of an identifier or process id of a journal record that get into a line; the journal has them whole.
const TAG_PART_BYTES_MAX: usize = 512;
/// How long a sync waits for the local sockets to be read.
const DRAIN_WAIT: std::time::Duration = std::time::Duration::from_secs(5);
/// Senders whose rate is remembered.
const LIMITED_SENDERS_MAX: usize = 4096;

/// One configuration in force: immutable, shared by the intake threads, replaced as a whole by a reload.
pub(crate) struct Engine {
    pub rules: Option<Rules>,
    pub outlets: Vec<Outlet>,
    pub inputs: Vec<Arc<Bound>>,
    pub sanitize: Sanitize,
    pub message_bytes_max: usize,
    /// Host name and tag are not parsed (`-u 1`): everything after the stamp is text.
    pub headerless: bool,
    /// This host's name as records show it.
    pub hostname: Vec<u8>,
    /// Names of addresses that the hosts file knows: no DNS is asked.
    pub hosts: HashMap<IpAddr, String>,
    /// How much one unit may log into the journal.
    pub journal_rate: RateLimit,
    /// The least severe code that the journal keeps (`MaxLevelStore`).
    pub journal_level_max: u8,
    /// Longest line of an output stream in bytes (`LineMax`).
    pub line_bytes_max: usize,
}

/// What all threads share.
pub(crate) struct Shared {
    engine: RwLock<Arc<Engine>>,
    generation: AtomicU64,
    stopping: AtomicBool,
    wakers: Mutex<Vec<Arc<sys::fd::Waker>>>,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
    drains: Mutex<Vec<SyncSender<()>>>,
    pub journal: Option<JournalSender>,
    pub say: Arc<Say>,
    pub inputs: Register<InputCounters>,
}

impl Shared {
    pub(crate) fn new(
        engine: Engine,
        journal: Option<JournalSender>,
        say: Arc<Say>,
        spare: Arc<Mutex<Vec<Vec<u8>>>>,
        inputs: Register<InputCounters>,
    ) -> Self {
        Self {
            engine: RwLock::new(Arc::new(engine)),
            generation: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            wakers: Mutex::default(),
            spare,
            drains: Mutex::default(),
            journal,
            say,
            inputs,
        }
    }

    pub(crate) fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.engine.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a new configuration in force; every intake thread takes it up before its next batch.
    pub(crate) fn replace(&self, engine: Engine) {
        *self.engine.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(engine);
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.wake_all();
    }

    /// Asks the intake threads to take what is there and end.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.wake_all();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// What wakes an intake thread out of its wait.
    pub(crate) fn waker(&self) -> std::io::Result<Arc<sys::fd::Waker>> {
        let waker = Arc::new(sys::fd::Waker::new()?);
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&waker));
        Ok(waker)
    }

    /// Returns when what stood in the local sockets has been read and handed on (or after a few seconds, which says no).
    pub(crate) fn drain_local(&self) -> bool {
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        self.drains.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
        self.wake_all();
        answered.recv_timeout(DRAIN_WAIT).is_ok()
    }

    /// Who waits for the local sockets to be read.
    pub(crate) fn take_drains(&self) -> Vec<SyncSender<()>> {
        std::mem::take(&mut *self.drains.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wake_all(&self) {
        for waker in self.wakers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            waker.wake();
        }
    }
}

/// The name and address of a network sender, as records show them.
#[derive(Debug)]
pub(crate) struct PeerName {
    pub hostname: Vec<u8>,
    pub address: Vec<u8>,
}

impl PeerName {
    pub(crate) fn new(address: IpAddr, engine: &Engine) -> Self {
        let text = address.to_canonical().to_string();
        let hostname = engine.hosts.get(&address.to_canonical()).unwrap_or(&text);
        Self { hostname: hostname.clone().into_bytes(), address: text.into_bytes() }
    }
}

/// Who sent a message.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Network(&'a PeerName),
    Local { credentials: Option<Credentials>, received_ns: Option<i64> },
    Kernel { monotonic_usec: u64 },
}

/// How a local record came, for `_TRANSPORT`.
#[derive(Clone, Copy)]
pub(crate) struct Came<'a> {
    pub transport: &'static str,
    pub credentials: Option<Credentials>,
    pub received_ns: Option<i64>,
    /// Further trusted fields, `NAME=value`.
    pub extra: &'a [Vec<u8>],
}

/// The batches of one intake thread.
pub(crate) struct Worker {
    pub shared: Arc<Shared>,
    pub engine: Arc<Engine>,
    generation: u64,
    pending: Vec<Pending>,
    scratch: Scratch,
    clean: Vec<u8>,
    text: Vec<u8>,
    tag: Vec<u8>,
    rendered: Vec<u8>,
    journal: JournalBatch,
    pub trusted: Trusted,
    limits: HashMap<(usize, u32), RateLimiter>,
    unit_limits: HashMap<(Arc<str>, u32), RateLimiter>,
    zone: Zone,
    now: Moment,
    /// The fields that every record of this host has.
    host: Fields,
    host_quality: Option<ClockQuality>,
}

#[derive(Default)]
struct Pending {
    batch: Batch,
    by_path: HashMap<Vec<u8>, Batch>,
    by_path_bytes: usize,
}

/// When a batch was received, and what the kernel says of that.
#[derive(Debug, Clone, Copy, Default)]
struct Moment {
    realtime: UnixMicros,
    monotonic: MonotonicMicros,
    stamp: Stamp,
    quality: ClockQuality,
}

/// The local time zone's offset, looked up again when it may have changed.
struct Zone {
    zone: jiff::tz::TimeZone,
    offset_minutes: i16,
    until: u64,
}

/// Offsets change at whole quarters of an hour.
const ZONE_MICROS: u64 = 900 * 1_000_000;

impl Zone {
    fn offset_minutes(&mut self, now: UnixMicros) -> i16 {
        if now.0 >= self.until || self.until - now.0 > ZONE_MICROS {
            self.until = (now.0 / ZONE_MICROS + 1) * ZONE_MICROS;
            let moment = i64::try_from(now.0).ok().and_then(|at| jiff::Timestamp::from_microsecond(at).ok());
            let seconds = moment.map_or(0, |moment| self.zone.to_offset(moment).seconds());
            self.offset_minutes = i16::try_from(seconds / 60).unwrap_or(0);
        }
        self.offset_minutes
    }
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let generation = shared.generation.load(Ordering::SeqCst);
        let engine = shared.engine();
        let pending = engine.outlets.iter().map(|_| Pending::default()).collect();
        let mut worker = Self {
            shared,
            engine,
            generation,
            pending,
            scratch: Scratch::default(),
            clean: Vec::new(),
            text: Vec::new(),
            tag: Vec::new(),
            rendered: Vec::new(),
            journal: JournalBatch::default(),
            trusted: Trusted::default(),
            limits: HashMap::new(),
            unit_limits: HashMap::new(),
            zone: Zone { zone: jiff::tz::TimeZone::system(), offset_minutes: 0, until: 0 },
            now: Moment::default(),
            host: Fields::default(),
            host_quality: None,
        };
        worker.begin();
        worker
    }

    /// Begins a batch: takes up a new configuration, reads the clock and its quality. Says whether the configuration is new.
    pub(crate) fn begin(&mut self) -> bool {
        let generation = self.shared.generation.load(Ordering::SeqCst);
        let renewed = generation != self.generation;
        if renewed {
            self.flush();
            self.generation = generation;
            self.engine = self.shared.engine();
            self.pending = self.engine.outlets.iter().map(|_| Pending::default()).collect();
            self.host_quality = None;
        }
        let realtime = UnixMicros(u64::try_from(sys::clock::realtime_ns() / 1000).unwrap_or(0));
        let monotonic = MonotonicMicros(u64::try_from(sys::clock::monotonic_ns() / 1000).unwrap_or(0));
        let state = sys::clock::state().ok();
        let quality = ClockQuality {
            synced: state.is_some_and(|state| state.synced),
            max_error_usec: state.map_or(0, |state| state.max_error_usec),
            tz_known: true,
        };
        let offset = self.zone.offset_minutes(realtime);
        self.now = Moment { realtime, monotonic, stamp: Stamp::from_unix(realtime, offset), quality };
        renewed
    }

    /// The fields of this host for the journal, made again only when the clock's quality reads differently.
    fn host_fields(&mut self) -> Fields {
        let stated = |quality: &ClockQuality| (quality.synced, quality.stated_error_usec());
        if self.host_quality.as_ref().map(stated) != Some(stated(&self.now.quality)) {
            self.host_quality = Some(self.now.quality);
            let mut fields = Vec::with_capacity(5);
            if let Some(id) = sys::host::boot_id() {
                fields.push(format!("_BOOT_ID={id}").into_bytes());
            }
            fields.push(format!("_MACHINE_ID={}", crate::journal::machine_id()).into_bytes());
            fields.push([b"_HOSTNAME=", self.engine.hostname.as_slice()].concat());
            fields.push(format!("_CLOCK_SYNCED={}", u8::from(self.now.quality.synced)).into_bytes());
            if let Some(error) = self.now.quality.stated_error_usec() {
                fields.push(format!("_CLOCK_ERROR_USEC={error}").into_bytes());
            }
            self.host = Arc::new(fields);
        }
        Arc::clone(&self.host)
    }

    /// Takes one syslog message of the input, without its framing.
    pub(crate) fn syslog(&mut self, input: &Bound, raw: &[u8], source: Source<'_>) {
        if raw.is_empty() {
            return;
        }
        let sender = match source {
            Source::Local { credentials: Some(credentials), .. } => credentials.pid,
            _ => 0,
        };
        if !self.admit(input, sender) {
            return;
        }
        add(&input.counters.kept, 1);
        let (parse_hostname, ignore_timestamp, system_pid) = match &input.kind {
            InputKindPlan::UnixDatagram { parse_hostname, ignore_timestamp, use_pid_from_system, .. } => {
                (*parse_hostname, *ignore_timestamp, *use_pid_from_system)
            }
            InputKindPlan::Udp { .. } | InputKindPlan::Tcp { .. } => (true, false, false),
            _ => (false, false, false),
        };
        let origin = if parse_hostname { Origin::Network } else { Origin::Local };
        let mut clean = std::mem::take(&mut self.clean);
        let raw = raw.get(..self.engine.message_bytes_max).unwrap_or(raw);
        let mut message = syslog_proto::parse(sanitize(raw, &self.engine.sanitize, &mut clean), origin);
        if self.engine.headerless && message.format == syslog_proto::Format::Rfc3164 {
            let length = message.msg.len() + message.tag.len();
            let start = message.raw.len()
                - length
                - message.hostname.map_or(0, |name| name.len() + 1).min(message.raw.len() - length);
            message.msg = message.raw.get(start..).unwrap_or(message.msg);
            (message.hostname, message.tag, message.app_name, message.procid) = (None, b"", b"", None);
        }
        if ignore_timestamp && message.format == syslog_proto::Format::Rfc3164 {
            message.timestamp = None;
        }
        if self.shared.journal.is_some() && message.priority.severity.code() <= self.engine.journal_level_max
        {
            self.journal_syslog(&message, raw, source);
        }
        let mut tag = std::mem::take(&mut self.tag);
        if system_pid
            && sender != 0
            && message.format == syslog_proto::Format::Rfc3164
            && !message.tag.is_empty()
        {
            tag.clear();
            tag.extend_from_slice(message.app_name);
            tag.extend_from_slice(format!("[{sender}]:").as_bytes());
            message.tag = &tag;
        }
        if self.engine.rules.is_some() {
            self.run_rules(input, &message, source);
        }
        self.tag = tag;
        self.clean = clean;
    }

    fn run_rules(&mut self, input: &Bound, message: &Message<'_>, source: Source<'_>) {
        let engine = Arc::clone(&self.engine);
        let local = engine.hostname.as_slice();
        let (hostname, address, clock) = match source {
            Source::Network(peer) => (peer.hostname.as_slice(), peer.address.as_slice(), None),
            _ => (local, &b"127.0.0.1"[..], Some(self.now.quality)),
        };
        let peer = Peer { hostname, address, local_hostname: local, input_name: &input.name, clock };
        let view = MessageView::new(message, peer, self.now.stamp);
        self.evaluate(&engine, input, &view);
    }

    fn evaluate(&mut self, engine: &Engine, input: &Bound, view: &MessageView<'_>) {
        let Some(rules) = &engine.rules else { return };
        let Self { pending, scratch, rendered, shared, .. } = self;
        let mut sink = |id: ActionId, action: &Action, view: &MessageView<'_>| {
            let (Some(outlet), Some(pending)) = (engine.outlets.get(id.0), pending.get_mut(id.0)) else {
                return;
            };
            if action.queue.retry.only_when_previous_is_suspended {
                let previous = id.0.checked_sub(1).and_then(|previous| engine.outlets.get(previous));
                if previous.is_some_and(|previous| !previous.counters.suspended.load(Ordering::Relaxed)) {
                    return;
                }
            }
            deliver(action, view, outlet, pending, rendered, shared);
        };
        rules.run(input.ruleset, view, scratch, &mut sink);
    }

    /// Whether the input's rate limit lets one more of this sender pass.
    fn admit(&mut self, input: &Bound, sender: u32) -> bool {
        if input.rate_limit.interval_micros == 0 {
            return true;
        }
        if self.limits.len() > LIMITED_SENDERS_MAX {
            self.limits.clear();
        }
        let limiter = self.limits.entry((input.id, sender)).or_default();
        let verdict = limiter.decide(input.rate_limit, self.now.monotonic);
        tell(&self.shared, verdict, || format!("{} (process {sender})", input.name));
        let admitted = !matches!(verdict, Verdict::Refuse { .. });
        if !admitted {
            add(&input.counters.lost, 1);
        }
        admitted
    }

    fn journal_syslog(&mut self, message: &Message<'_>, raw: &[u8], source: Source<'_>) {
        let host = self.host_fields();
        let (credentials, received_ns) = match source {
            Source::Local { credentials, received_ns } => (credentials, received_ns),
            _ => (None, None),
        };
        let trusted = credentials.map(|sender| self.trusted.fields(sender));
        if let (Some((_, unit)), Some(sender)) = (&trusted, credentials)
            && !self.admit_unit(unit, sender.uid)
        {
            return;
        }
        let journal = &mut self.journal;
        let mut number = [0u8; 3];
        journal.field("PRIORITY", digits(message.priority.severity.code(), &mut number));
        let kernel = matches!(source, Source::Kernel { .. });
        journal.field("SYSLOG_FACILITY", digits(message.priority.facility.code(), &mut number));
        if message.format == syslog_proto::Format::Rfc5424 {
            if !message.app_name.is_empty() {
                journal.field("SYSLOG_IDENTIFIER", message.app_name);
            }
            if let Some(procid) = message.procid {
                journal.field("SYSLOG_PID", procid);
            }
            if let Some(msgid) = message.msgid {
                journal.field("SYSLOG_MSGID", msgid);
            }
            if let Some(data) = message.structured_data {
                journal.field("SYSLOG_STRUCTURED_DATA", data);
            }
            journal.field("MESSAGE", message.text());
        } else if kernel {
            journal.field("SYSLOG_IDENTIFIER", b"kernel");
            // The kernel's own stamp in brackets has a field of its own.
            let text = message.text();
            let end = text.windows(2).position(|pair| pair == b"] ").map_or(0, |at| at + 2);
            journal.field("MESSAGE", text.get(end..).unwrap_or(text));
        } else {
            let colon = message.tag.strip_suffix(b":").is_some_and(|tag| !tag.is_empty());
            if colon || credentials.is_none() {
                if !message.app_name.is_empty() {
                    journal.field("SYSLOG_IDENTIFIER", message.app_name);
                }
                if let Some(procid) = message.procid {
                    journal.field("SYSLOG_PID", procid);
                }
                journal.field("MESSAGE", message.text());
            } else {
                // A local program without a tag: its whole text is the message, as journald has it.
                let start = message.raw.len() - message.tag.len() - message.msg.len();
                journal.field("MESSAGE", message.raw.get(start..).unwrap_or(message.msg));
            }
        }
        if message.raw != raw {
            journal.field("SYSLOG_RAW", raw);
        }
        if let Some(stated) = message.timestamp {
            let mut text = Vec::new();
            let offset = self.now.stamp.offset_minutes;
            stated.with_year(self.now.realtime, offset).write_rfc3339(&mut text);
            if let Source::Network(_) = source
                && let Some(at) = stated.to_unix(self.now.realtime, offset)
            {
                journal.field("_SOURCE_REALTIME_TIMESTAMP", at.0.to_string().as_bytes());
            }
            if stated.offset_minutes.is_none() {
                text.clear();
                stated.write_rfc3164(&mut text);
            }
            journal.field("SYSLOG_TIMESTAMP", &text);
        }
        let mut host = Some(host);
        match source {
            Source::Network(peer) => {
                // A relayed record: the fields of this host are not its own.
                host = None;
                if let Some(id) = sys::host::boot_id() {
                    journal.field("_BOOT_ID", id.to_string().as_bytes());
                }
                journal.field("_MACHINE_ID", crate::journal::machine_id().as_bytes());
                journal.field("_HOSTNAME", message.hostname.unwrap_or(&peer.hostname));
                journal.field("_PEER_ADDRESS", &peer.address);
                journal.field("_TRANSPORT", b"syslog");
            }
            Source::Kernel { monotonic_usec } => {
                journal.field("_TRANSPORT", b"kernel");
                journal.field("_SOURCE_MONOTONIC_TIMESTAMP", monotonic_usec.to_string().as_bytes());
            }
            Source::Local { .. } => journal.field("_TRANSPORT", b"syslog"),
        }
        if let Some(at) = received_ns {
            journal.field("_SOURCE_REALTIME_TIMESTAMP", (at / 1000).to_string().as_bytes());
        }
        let urgent = message.priority.severity <= Severity::Crit;
        let trusted = trusted.map(|(fields, _)| fields);
        journal.end(self.now.realtime, self.now.monotonic, [host, trusted], urgent);
    }

    /// Takes one record in the journal's own form.
    pub(crate) fn fields(&mut self, input: &Bound, fields: &[Field<'_>], came: Came<'_>) {
        if fields.is_empty() {
            return;
        }
        let trusted = came.credentials.map(|sender| self.trusted.fields(sender));
        if let (Some((_, unit)), Some(sender)) = (&trusted, came.credentials)
            && !self.admit_unit(unit, sender.uid)
        {
            add(&input.counters.lost, 1);
            return;
        }
        add(&input.counters.kept, 1);
        let value = |name: &[u8]| fields.iter().find(|field| field.name == name).map(|field| field.value);
        let severity = match value(b"PRIORITY") {
            Some([digit @ b'0'..=b'7']) => Severity::from_code(digit - b'0').unwrap_or(Severity::Info),
            _ => Severity::Info,
        };
        if self.shared.journal.is_some() && severity.code() <= self.engine.journal_level_max {
            let host = self.host_fields();
            for field in fields {
                self.journal.joined(field.name, field.value);
            }
            self.journal.field("_TRANSPORT", came.transport.as_bytes());
            if let Some(at) = came.received_ns {
                self.journal.field("_SOURCE_REALTIME_TIMESTAMP", (at / 1000).to_string().as_bytes());
            }
            for extra in came.extra {
                self.journal.whole(extra);
            }
            let trusted = trusted.as_ref().map(|(fields, _)| Arc::clone(fields));
            let urgent = severity <= Severity::Crit;
            self.journal.end(self.now.realtime, self.now.monotonic, [Some(host), trusted], urgent);
        }
        let engine = Arc::clone(&self.engine);
        let Some(message) = value(b"MESSAGE").filter(|_| engine.rules.is_some()) else {
            self.flush_large();
            return;
        };
        let known = |name: &[u8]| {
            let fields = trusted.as_ref().map(|(fields, _)| fields)?;
            fields.iter().find_map(|field| field.strip_prefix(name)?.strip_prefix(b"="))
        };
        let identifier = value(b"SYSLOG_IDENTIFIER").or_else(|| known(b"_COMM")).unwrap_or(b"unknown");
        let pid = value(b"SYSLOG_PID").or_else(|| known(b"_PID"));
        let facility = value(b"SYSLOG_FACILITY")
            .and_then(|text| std::str::from_utf8(text).ok()?.parse().ok())
            .and_then(record::Facility::from_code)
            .unwrap_or(record::Facility::USER);
        // The text as a traditional message has it: a space, then the message with nothing that could forge a line.
        let (mut text, mut clean, mut tag) =
            (std::mem::take(&mut self.text), std::mem::take(&mut self.clean), std::mem::take(&mut self.tag));
        text.clear();
        text.push(b' ');
        // The journal has it whole; lines are bounded, however the message came.
        let message = message.get(..engine.message_bytes_max).unwrap_or(message);
        text.extend_from_slice(sanitize(message, &engine.sanitize, &mut clean));
        tag.clear();
        let bounded = |text| <[u8]>::get(text, ..TAG_PART_BYTES_MAX).unwrap_or(text);
        tag.extend_from_slice(sanitize(bounded(identifier), &engine.sanitize, &mut clean));
        if let Some(pid) = pid {
            tag.push(b'[');
            tag.extend_from_slice(sanitize(bounded(pid), &engine.sanitize, &mut clean));
            tag.push(b']');
        }
        tag.push(b':');
        let view = MessageView {
            pri: record::Priority { facility, severity }.pri(),
            is_rfc5424: false,
            raw: text.get(1..).unwrap_or(b""),
            msg: &text,
            hostname: &engine.hostname,
            fromhost: &engine.hostname,
            fromhost_ip: b"127.0.0.1",
            local_hostname: &engine.hostname,
            tag: &tag,
            app_name: b"-",
            procid: b"-",
            msgid: b"-",
            structured_data: b"-",
            time_reported: self.now.stamp,
            time_generated: self.now.stamp,
            input_name: &input.name,
            clock: Some(self.now.quality),
        };
        self.evaluate(&engine, input, &view);
        (self.text, self.clean, self.tag) = (text, clean, tag);
        self.flush_large();
    }

    /// Whether a unit may log one more record into the journal. Users are told apart: where no service manager makes units all
    /// processes share one, and a user must not be able to silence the daemons.
    fn admit_unit(&mut self, unit: &Arc<str>, uid: u32) -> bool {
        let rate = self.engine.journal_rate;
        if rate.interval_micros == 0 || rate.burst == 0 {
            return true;
        }
        if self.unit_limits.len() > LIMITED_SENDERS_MAX {
            self.unit_limits.clear();
        }
        let limiter = self.unit_limits.entry((Arc::clone(unit), uid)).or_default();
        let verdict = limiter.decide(rate, self.now.monotonic);
        tell(&self.shared, verdict, || format!("{} (user {uid})", unit.trim_start()));
        let admitted = !matches!(verdict, Verdict::Refuse { .. });
        if !admitted && let Some(journal) = &self.shared.journal {
            add(&journal.counters.lost, 1);
        }
        admitted
    }

    /// Hands over early what has grown large: an entry may be as large as its sender's memory file, and many may wait.
    fn flush_large(&mut self) {
        if self.journal.bytes() >= BATCH_BYTES {
            self.flush();
        }
    }

    /// Hands over everything that was rendered since the last time.
    pub(crate) fn flush(&mut self) {
        let Self { pending, engine, shared, .. } = self;
        for (pending, outlet) in pending.iter_mut().zip(&engine.outlets) {
            pending.flush(outlet, shared);
        }
        if let Some(journal) = &self.shared.journal
            && !self.journal.is_empty()
        {
            journal.send(std::mem::take(&mut self.journal));
        }
    }
}

fn tell(shared: &Shared, verdict: Verdict, who: impl FnOnce() -> String) {
    match verdict {
        Verdict::Refuse { first: true } => {
            let text = format!("{} logs too fast; its records are suppressed and counted", who());
            shared.say.say(Severity::Warning, "input.suppressing", text);
        }
        Verdict::AdmitAfter { suppressed } => {
            let text = format!("{suppressed} records of {} were suppressed", who());
            shared.say.say(Severity::Warning, "input.suppressed", text);
        }
        _ => {}
    }
}

impl Pending {
    fn flush(&mut self, outlet: &Outlet, shared: &Shared) {
        if self.batch.messages > 0 {
            let mut next = Batch::default();
            if outlet.shape == Shape::Plain {
                let spare = shared.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
                next.bytes = spare.unwrap_or_default();
            }
            outlet.send(std::mem::replace(&mut self.batch, next));
        }
        for (path, mut batch) in self.by_path.drain() {
            batch.path = Some(path);
            outlet.send(batch);
        }
        self.by_path_bytes = 0;
    }
}

/// Renders a message into the batch of its output.
#[inline]
fn deliver(
    action: &Action,
    view: &MessageView<'_>,
    outlet: &Outlet,
    pending: &mut Pending,
    rendered: &mut Vec<u8>,
    shared: &Shared,
) {
    let batch = &mut pending.batch;
    match outlet.shape {
        Shape::Plain => action.template.render(view, &mut batch.bytes),
        Shape::Separate => {
            action.template.render(view, &mut batch.bytes);
            batch.ends.push(batch.bytes.len());
        }
        Shape::Lines => {
            let start = batch.bytes.len();
            action.template.render(view, &mut batch.bytes);
            if batch.bytes.len() > start && batch.bytes.last() == Some(&b'\n') {
                batch.bytes.pop();
            }
            // A line feed inside would make two messages of one at the other end.
            if let Some(message) = batch.bytes.get_mut(start..) {
                message.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
            }
            batch.bytes.push(b'\n');
            batch.ends.push(batch.bytes.len());
        }
        Shape::Counted => {
            rendered.clear();
            action.template.render(view, rendered);
            syslog_proto::write_octet_counted(rendered, &mut batch.bytes);
            batch.ends.push(batch.bytes.len());
        }
        Shape::ByPath => {
            if let Some(Err(_)) = action.dynamic_path(view, rendered) {
                add(&outlet.counters.lost, 1);
                return;
            }
            let batch = match pending.by_path.get_mut(rendered.as_slice()) {
                Some(batch) => batch,
                None => pending.by_path.entry(rendered.clone()).or_default(),
            };
            let before = batch.bytes.len();
            action.template.render(view, &mut batch.bytes);
            batch.messages += 1;
            pending.by_path_bytes += batch.bytes.len() - before;
            if pending.by_path_bytes >= BATCH_BYTES {
                pending.flush(outlet, shared);
            }
            return;
        }
    }
    batch.messages += 1;
    if batch.bytes.len() >= BATCH_BYTES {
        pending.flush(outlet, shared);
    }
}

/// A number below 1000 as text.
fn digits(value: u8, room: &mut [u8; 3]) -> &[u8] {
    *room = [b'0' + value / 100, b'0' + value / 10 % 10, b'0' + value % 10];
    let start = if value >= 100 {
        0
    } else if value >= 10 {
        1
    } else {
        2
    };
    &room[start..]
}
