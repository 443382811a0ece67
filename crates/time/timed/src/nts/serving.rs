//! The key establishment that we serve: bounded connections, each with little time and few bytes.
//!
//! It runs in the daemon's own loop (`ntsprocesses 0`) or in threads of its own, which share nothing with the loop but
//! [`Shared`]: a handshake costs a thousand times what a reply does.

use super::dates::Validity;
use super::session::is_for_later;
use super::trust::read_bounded;
use super::{ALPN, VERSIONS, export};
use crate::records::utc;
use ntp_proto::nts::{
    AeadAlgorithm, COOKIES_MAX, CookieKeys, KE_MESSAGE_BYTES_MAX, KeAnswer, KeOffer, message_is_complete,
};
use ntp_proto::{AccessList, RateLimit, Service, Treatment};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use sys::poll::{Interest, Readiness};
use sys::socket::TcpConnection;

/// The longest time of a connection (as chronyd's): a client that hangs costs a place for so long.
const TIME_MAX: Duration = Duration::from_secs(2);
/// From so long after its beginning on a connection may lose its place to one that waits: a client that means well sends at once, and is
/// done after two round trips.
const SURE_TIME: Duration = Duration::from_millis(500);
/// The most bytes that a client may send: its handshake and a request, several times over.
const BYTES_MAX: usize = 32 * 1024;
/// How long a thread sleeps at most: then it looks whether the daemon is still there.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// What loop and threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Who may ask: `allow`, as for NTP.
    pub access: Mutex<AccessList>,
    /// The keys of cookies.
    pub keys: Mutex<Arc<CookieKeys>>,
    /// The server's memory of clients.
    pub clients: Arc<crate::serving::Shared>,
    /// `ntsratelimit`.
    pub rate_limit: Option<RateLimit>,
    /// Connections that were made, as chronyd counts them: with those that were dropped.
    pub accepted: AtomicU64,
    /// Connections that were closed without a word: not allowed, too often, or too slow while others waited.
    pub dropped: AtomicU64,
    /// The daemon ends.
    pub is_over: AtomicBool,
}

impl Shared {
    /// The rules changed.
    pub(crate) fn set_access(&self, access: &AccessList) {
        let mut current = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != *access {
            current.clone_from(access);
        }
    }

    /// The keys changed.
    pub(crate) fn set_keys(&self, keys: Arc<CookieKeys>) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// Whether an address may connect, which is counted.
    fn admits(&self, from: IpAddr, now: Duration) -> bool {
        let allowed = self.access.lock().unwrap_or_else(PoisonError::into_inner).allows(from);
        let Some(memory) = self.clients.memory.as_ref().filter(|_| allowed) else { return allowed };
        memory.hit(from, Service::NtsKe, now, self.rate_limit.as_ref()) == Treatment::Answer
    }

    fn keys(&self) -> Arc<CookieKeys> {
        Arc::clone(&self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is the same for every connection.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    tls: Arc<ServerConfig>,
    /// `ntsaeads`.
    pub algorithms: Vec<AeadAlgorithm>,
    /// `ntsntpserver`, and the port.
    pub answer: KeAnswer,
    /// `maxntsconnections`.
    pub connections_max: usize,
}

impl Offer {
    /// With the certificates and keys of these files, pair by pair.
    pub(crate) fn new(
        certificates: &[PathBuf],
        keys: &[PathBuf],
        algorithms: Vec<AeadAlgorithm>,
        answer: KeAnswer,
        connections_max: usize,
    ) -> Result<Self, Unusable> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pairs = certificates
            .iter()
            .zip(keys)
            .map(|(certificate, key)| load(certificate, key, &provider).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(VERSIONS)
            .expect("the provider has these versions of TLS")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Certificates(pairs)));
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls.send_tls13_tickets = 0;
        tls.max_early_data_size = 0;
        Ok(Self { tls: Arc::new(tls), algorithms, answer, connections_max })
    }
}

/// The pairs of `ntsservercert` and `ntsserverkey`.
#[derive(Debug)]
struct Certificates(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Certificates {
    /// The first that is for the name that the client asks for, or else the first.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let fits = |pair: &&Arc<CertifiedKey>| {
            let certificate =
                pair.end_entity_cert().ok().and_then(|leaf| ParsedCertificate::try_from(leaf).ok());
            certificate
                .zip(name.as_ref())
                .is_some_and(|(leaf, name)| rustls::client::verify_server_name(&leaf, name).is_ok())
        };
        self.0.iter().find(fits).or(self.0.first()).cloned()
    }
}

/// What is to be told of certificates of `ntsservercert` that clients do not believe at this moment, seconds since the Unix epoch.
pub(crate) fn out_of_date(certificates: &[PathBuf], now: i64) -> Vec<String> {
    let told = |path: &PathBuf| {
        let text = read_bounded(path).ok()?;
        let leaf = CertificateDer::pem_slice_iter(&text).next()?.ok()?;
        let validity = Validity::of(&leaf).filter(|validity| !validity.holds(now))?;
        let date = |seconds: i64| utc(seconds.saturating_mul(1_000_000_000)).0;
        let why = match now > validity.end {
            true => format!("expired on {}", date(validity.end)),
            false => format!("is not valid before {}", date(validity.begin)),
        };
        Some(format!("The certificate {} {why}: clients will not believe it", path.display()))
    };
    certificates.iter().filter_map(told).collect()
}

/// Why a file cannot be used, and which it is.
#[derive(Debug)]
pub(crate) struct Unusable {
    /// `ntsservercert` or `ntsserverkey`.
    pub directive: &'static str,
    /// Its file.
    pub path: PathBuf,
    /// A sentence about both.
    what: String,
    help: String,
}

impl Unusable {
    /// A sentence, with `at` behind it to say where the directive stands, and what to type.
    pub(crate) fn told(&self, at: &str) -> String {
        format!("{}{at}\nhelp: {}", self.what, self.help)
    }
}

fn load(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, Unusable> {
    // Both may be one file.
    let directive = |path: &Path| if std::ptr::eq(path, key) { "ntsserverkey" } else { "ntsservercert" };
    let told = |path: &Path, why: String, help: String| Unusable {
        directive: directive(path),
        what: format!("cannot use {} {}: {why}", directive(path), path.display()),
        path: path.to_path_buf(),
        help,
    };
    let unread = |path: &Path, error: &std::io::Error| {
        told(path, crate::events::reason(error), crate::events::where_to_look(path, error))
    };
    let failed = |path: &Path, why: &dyn std::fmt::Display| {
        let kind = if std::ptr::eq(path, key) { "pkey -noout" } else { "x509 -noout -subject" };
        told(path, why.to_string(), format!("openssl {kind} -in {}", path.display()))
    };
    let without = |path: &Path, what: &str| {
        let kind = what.to_ascii_uppercase();
        Unusable {
            directive: directive(path),
            what: format!("{} {} holds no {what}", directive(path), path.display()),
            path: path.to_path_buf(),
            help: format!("files with one: grep -lr 'BEGIN .*{kind}' /etc/chrony /etc/ssl"),
        }
    };
    let text = read_bounded(certificate).map_err(|error| unread(certificate, &error))?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(certificate, &error))?;
    if chain.is_empty() {
        return Err(without(certificate, "certificate"));
    }
    let text = read_bounded(key).map_err(|error| unread(key, &error))?;
    let private = PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => without(key, "private key"),
        error => failed(key, &error),
    })?;
    let signing = provider.key_provider.load_private_key(private).map_err(|error| failed(key, &error))?;
    let pair = CertifiedKey::new(chain, signing);
    match pair.keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            let (one, other) = (certificate.display(), key.display());
            Err(told(
                key,
                format!("it does not belong to {one}"),
                format!(
                    "both must show the same: openssl x509 -noout -pubkey -in {one}; openssl pkey -pubout -in {other}"
                ),
            ))
        }
        _ => Ok(pair),
    }
}

/// The listening sockets and the connections.
#[derive(Debug)]
pub(crate) struct KeServer {
    listeners: Vec<TcpListener>,
    offer: Offer,
    shared: Arc<Shared>,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpConnection,
    tls: ServerConnection,
    from: IpAddr,
    begun: Duration,
    received: Vec<u8>,
    bytes: usize,
    /// The answer is written; what is left is to send it.
    answered: bool,
}

impl KeServer {
    /// On these sockets.
    pub(crate) fn new(listeners: Vec<TcpListener>, offer: Offer, shared: Arc<Shared>) -> Self {
        Self { listeners, offer, shared, connections: Vec::new() }
    }

    /// What to wait for at `now`: the sockets first, then the connections. With no place left, nobody is taken, who waits in the
    /// kernel's queue.
    pub(crate) fn wanted(&self, now: Duration) -> Vec<(BorrowedFd<'_>, Interest)> {
        let accepting = if self.has_room(now) { Interest::READ } else { Interest::default() };
        let listeners = self.listeners.iter().map(|one| (one.as_fd(), accepting));
        let connections = self.connections.iter().map(|one| {
            let interest = Interest {
                readable: !one.answered && one.tls.wants_read(),
                writable: one.tls.wants_write(),
                priority: false,
            };
            (one.stream.as_fd(), interest)
        });
        listeners.chain(connections).collect()
    }

    /// When the next connection is given up, or may be for others.
    pub(crate) fn deadline(&self, now: Duration) -> Option<Duration> {
        let first = self.connections.iter().map(|one| one.begun).min()?;
        let is_waited_for = self.is_full() && !self.has_room(now);
        Some(first + if is_waited_for { SURE_TIME } else { TIME_MAX })
    }

    fn is_full(&self) -> bool {
        self.connections.len() >= self.offer.connections_max
    }

    /// Whether somebody who waits can have a place: a free one, or that of a connection that is slow.
    fn has_room(&self, now: Duration) -> bool {
        !self.is_full() || self.connections.iter().any(|one| one.is_slow(now))
    }

    /// Ends a slow connection, of the address that holds the most places the oldest one: whoever opens many and says nothing
    /// takes their own places first.
    fn make_room(&mut self, now: Duration) {
        let held = |from: IpAddr| self.connections.iter().filter(|other| other.from == from).count();
        let slow = self.connections.iter().enumerate().filter(|(_, one)| one.is_slow(now));
        let most = slow.max_by_key(|(_, one)| (held(one.from), std::cmp::Reverse(one.begun)));
        if let Some(index) = most.map(|(index, _)| index) {
            self.connections.remove(index);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Does what is ready, `ready` in the order of [`Self::wanted`].
    pub(crate) fn serve(&mut self, now: Duration, ready: &[Readiness]) {
        let (listening, open) = ready.split_at_checked(self.listeners.len()).unwrap_or((ready, &[]));
        let mut open = open.iter();
        let (offer, shared) = (&self.offer, &self.shared);
        self.connections.retain_mut(|one| {
            let is_ready = open.next().is_some_and(|ready| ready.any());
            now < one.begun + TIME_MAX && (!is_ready || one.advance(offer, shared))
        });
        for (index, _) in listening.iter().enumerate().filter(|(_, ready)| ready.readable) {
            self.accept(index, now);
        }
    }

    /// Takes one connection of those that wait; the others come in the next rounds, and those which are open come to their turn between.
    fn accept(&mut self, index: usize, now: Duration) {
        if !self.has_room(now) {
            return;
        }
        let Some(Ok((stream, from))) = self.listeners.get(index).map(sys::socket::accept_tcp) else { return };
        self.shared.accepted.fetch_add(1, Ordering::Relaxed);
        let allowed = self.shared.admits(from.ip(), now);
        match ServerConnection::new(Arc::clone(&self.offer.tls)) {
            Ok(mut tls) if allowed => {
                if self.is_full() {
                    self.make_room(now);
                }
                tls.set_buffer_limit(Some(KE_MESSAGE_BYTES_MAX));
                self.connections.push(Connection {
                    stream,
                    tls,
                    from: from.ip(),
                    begun: now,
                    received: Vec::new(),
                    bytes: 0,
                    answered: false,
                });
            }
            _ => {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Connection {
    /// Its place may be given to another one; what is answered only has to leave.
    fn is_slow(&self, now: Duration) -> bool {
        !self.answered && now >= self.begun + SURE_TIME
    }

    /// Goes on as far as it can; false when the connection is over.
    fn advance(&mut self, offer: &Offer, shared: &Shared) -> bool {
        loop {
            let mut moved = false;
            while self.tls.wants_write() {
                match self.tls.write_tls(&mut self.stream) {
                    Ok(0) => return false,
                    Ok(_) => moved = true,
                    Err(error) if is_for_later(&error) => break,
                    Err(_) => return false,
                }
            }
            if self.answered {
                if self.tls.wants_write() {
                    return true;
                }
                let _ = self.stream.finish();
                return false;
            }
            match self.tls.read_tls(&mut self.stream) {
                Ok(0) => return false,
                Ok(count) => {
                    moved = true;
                    self.bytes += count;
                    if self.bytes > BYTES_MAX {
                        return false;
                    }
                    if self.tls.process_new_packets().is_err() {
                        let _ = self.tls.write_tls(&mut self.stream);
                        return false;
                    }
                    if !self.answer(offer, shared) {
                        return false;
                    }
                }
                Err(error) if is_for_later(&error) => {}
                Err(_) => return false,
            }
            if !moved {
                return true;
            }
        }
    }

    /// Answers the request once it is whole; false when the connection is no good.
    fn answer(&mut self, offer: &Offer, shared: &Shared) -> bool {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = self.tls.reader().read(&mut buffer) {
            self.received.extend(buffer.iter().take(count));
        }
        if self.tls.is_handshaking() {
            return true;
        }
        if self.tls.alpn_protocol() != Some(ALPN) {
            return false;
        }
        // Records that cannot become a message are answered too: the client is told that its request is bad.
        if message_is_complete(&self.received) == Ok(false) {
            return self.received.len() <= KE_MESSAGE_BYTES_MAX;
        }
        let request = KeOffer::parse(&self.received, &offer.algorithms);
        let keys = match request {
            KeOffer::Keys { algorithm, .. } => {
                request.exporter().and_then(|exporter| export(&self.tls, algorithm, exporter).ok())
            }
            _ => None,
        };
        let cookie_keys = shared.keys();
        let cookies: Vec<Vec<u8>> = keys
            .iter()
            .flat_map(|keys| (0..COOKIES_MAX).filter_map(|_| cookie_keys.seal(keys, &mut sys::random::fill)))
            .collect();
        self.answered = true;
        let written = self.tls.writer().write_all(&offer.answer.bytes(&request, &cookies));
        self.tls.send_close_notify();
        written.is_ok()
    }
}

/// Starts a thread that serves on `listeners` until [`Shared::is_over`].
pub(crate) fn start(listeners: Vec<TcpListener>, offer: Offer, shared: &Arc<Shared>) -> std::io::Result<()> {
    let mut server = KeServer::new(listeners, offer, Arc::clone(shared));
    std::thread::Builder::new().name("nts-ke".to_owned()).spawn(move || run(&mut server)).map(drop)
}

fn run(server: &mut KeServer) {
    let mut ready = Vec::new();
    while !server.shared.is_over.load(Ordering::Relaxed) {
        let now = monotonic();
        let sleep = server.deadline(now).map_or(SLEEP_MAX, |at| at.saturating_sub(now)).min(SLEEP_MAX);
        let polled = sys::poll::poll(&server.wanted(now), &mut ready, Some(sleep));
        if polled.is_err() {
            ready.clear();
        }
        server.serve(monotonic(), &ready);
    }
}

fn monotonic() -> Duration {
    Duration::from_nanos(u64::try_from(sys::clock::monotonic_ns()).unwrap_or(0))
}
