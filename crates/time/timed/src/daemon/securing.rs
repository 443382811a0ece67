//! NTS in the loop: keys for sources, keys for clients, and what is kept of both over a restart.

use super::{Daemon, monotonic};
use crate::config::Places;
use crate::events::Happened;
use crate::nts::files::DumpFolder;
use crate::nts::serving::{self, KeServer, Offer, Shared};
use crate::nts::session::{Established, Progress, Session, Terms};
use crate::nts::trust::{Accepted, TimeKnown, Trust, modified};
use crate::options::{Family, Once};
use crate::peers::Peer;
use chrony_conf::Settings;
use ntp_proto::nts::{
    AeadAlgorithm, Association, CookieKeys, KeAnswer, KeFailureKind, NtsError, PROTECT_RANDOM_BYTES,
    Preparation, SavedAssociation,
};
use ntp_proto::{Measurement, NTP_UNIX_OFFSET_SECONDS};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use sys::poll::Readiness;
use sys::socket::Listen;
use time_core::SourceId;

/// Between two looks at whether an establishment of keys is over, for the schedule of requests.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The NTP port that a server need not tell.
const NTP_PORT: u16 = 123;
/// Threads for the key establishment, at most: more than any host has use for.
const THREADS_MAX: u32 = 64;

/// What the daemon keeps for NTS.
#[derive(Debug)]
pub(crate) struct Securing {
    trust: Trust,
    folder: Option<DumpFolder>,
    algorithms: Vec<AeadAlgorithm>,
    /// This moment has passed, whatever the clock says.
    passed: Option<i64>,
    pub(crate) server: Option<Serving>,
}

/// The server's side.
#[derive(Debug)]
pub(crate) struct Serving {
    keys: Arc<CookieKeys>,
    pub(crate) shared: Arc<Shared>,
    /// Since when the current key is in use; before the loop's begin where it came from a file.
    key_since: f64,
    /// `ntsrotate`; none: keys come from elsewhere.
    rotate: Option<Duration>,
    /// In the loop.
    pub(crate) local: Option<KeServer>,
    /// Threads to be started once privileges are dropped.
    threads: Vec<(Vec<TcpListener>, Offer)>,
}

/// A source's side.
#[derive(Debug)]
pub(crate) struct PeerNts {
    /// Cookies and keys.
    pub association: Association,
    /// Where keys are established.
    at: SocketAddr,
    /// `port` of the source.
    ntp_port: u16,
    /// `certset`.
    set: u32,
    pub(crate) session: Option<Session>,
    accepted: Accepted,
    /// Keys whose server has a name that is being looked up, under this number.
    waiting: Option<(u32, Box<Established>)>,
    /// A failure was told, and no success since.
    complained: bool,
}

impl PeerNts {
    /// The replies' authentic part, and whether it is one.
    pub(crate) fn open<'a>(&mut self, reply: &'a [u8]) -> Result<&'a [u8], NtsError> {
        self.association.open(reply)
    }

    /// Where it was looked for.
    pub(crate) fn found_at(&self) -> SocketAddr {
        SocketAddr::new(self.at.ip(), self.ntp_port)
    }

    /// What a server said whose certificate was not judged by the clock is believed only within the certificate's own time:
    /// whoever stole a key that has expired cannot set the clock to any time but one at which it was good.
    fn believes(&self, measured: &Measurement) -> bool {
        match self.accepted {
            Accepted::Now => true,
            Accepted::Within(validity) => {
                let middle = validity.begin / 2 + validity.end / 2;
                let near = middle.clamp(-NTP_UNIX_OFFSET_SECONDS, i64::MAX / 1_000_000_000);
                let said = measured.header.transmit.to_unix_nanos(near.saturating_mul(1_000_000_000));
                validity.holds(said.div_euclid(1_000_000_000))
            }
        }
    }
}

impl Securing {
    /// As configured. What cannot be used is told by the second value.
    pub(super) fn new(settings: &Settings, places: &Places, once: Once) -> (Self, Vec<String>) {
        let mut troubles = Vec::new();
        let folder = settings.nts.dump_dir.as_ref().filter(|_| once == Once::No).and_then(|path| {
            DumpFolder::open(path)
                .map_err(|error| troubles.push(format!("Could not make {}: {error}", path.display())))
                .ok()
        });
        let algorithms: Vec<AeadAlgorithm> =
            settings.nts.aeads.iter().filter_map(|id| AeadAlgorithm::from_id(*id)).collect();
        let drift = settings.drift_file.as_deref().and_then(modified);
        let passed = folder.as_ref().and_then(DumpFolder::written).max(drift);
        let mut trust = Trust::new(&settings.nts);
        troubles.extend(trust.check(|path| places.of("ntstrustedcerts", &path.display().to_string())));
        (Self { trust, folder, algorithms, passed, server: None }, troubles)
    }
}

impl Daemon {
    // The client's side.

    /// The NTS state of a new source, with what was kept of it.
    pub(super) fn begin_securing(&mut self, index: usize, now: Duration) {
        let refresh = Duration::from_secs(self.config.settings.nts.refresh_seconds.into());
        let local = self.local_now().0 as f64 * 1e-9;
        let Some(peer) = self.peers.get_mut(index) else { return };
        let Some(options) = peer.line.nts else { return };
        let at = SocketAddr::new(peer.address.ip(), options.port);
        let mut nts = PeerNts {
            association: Association::new(refresh),
            at,
            ntp_port: peer.address.port(),
            set: options.certset,
            session: None,
            accepted: Accepted::Now,
            waiting: None,
            complained: false,
        };
        let mut trouble = None;
        match self.securing.folder.as_ref().and_then(|folder| folder.take_cookies(at.ip())) {
            Some(Ok(saved)) if saved.name == peer.name => {
                let age =
                    Duration::try_from_secs_f64((local - saved.established).max(0.0)).unwrap_or_default();
                if nts.association.restore(now, saved.context, age, saved.keys, saved.cookies) {
                    peer.address = SocketAddr::new(saved.address, saved.port);
                }
            }
            Some(Err(why)) => trouble = Some(why),
            _ => {}
        }
        peer.nts = Some(Box::new(nts));
        if let Some(what) = trouble {
            self.trouble(what);
        }
    }

    /// Before a request to a source with NTS: whether it can be protected. If not, what is needed for that is begun, and the
    /// schedule waits.
    pub(super) fn is_secured(&mut self, index: usize, now: Duration) -> bool {
        let Some(peer) = self.peers.get_mut(index) else { return true };
        let Some(nts) = &mut peer.nts else { return true };
        if nts.session.is_some() || nts.waiting.is_some() {
            peer.client.postpone(now + LOOK_AGAIN);
            return false;
        }
        match nts.association.prepare(now) {
            Preparation::Ready => true,
            Preparation::Establish => {
                peer.client.postpone(now + LOOK_AGAIN);
                self.establish(index, now);
                false
            }
            Preparation::NotBefore(at) => {
                // It is missed as one that nobody answers; a burst is not spent on it.
                let _ = peer.client.request(now, [sys::random::u64(), sys::random::u64()], 0);
                let next = now + peer.client.interval().min(at.saturating_sub(now));
                peer.client.unsent(now);
                peer.client.postpone(next);
                let (id, reach) = (peer.id, peer.client.reach());
                let events = self.keeper.set_reach(id, reach, &mut self.clock);
                self.handle(events);
                false
            }
        }
    }

    /// A request as it goes onto the wire.
    pub(super) fn protected(nts: &mut PeerNts, request: &[u8]) -> Option<Vec<u8>> {
        let mut random = [0; PROTECT_RANDOM_BYTES];
        sys::random::fill(&mut random);
        nts.association.protect(request, &random)
    }

    fn establish(&mut self, index: usize, now: Duration) {
        let time = self.time_known();
        let Some(peer) = self.peers.get_mut(index) else { return };
        let Some(nts) = &mut peer.nts else { return };
        nts.association.begin(now);
        let (set, fresh) = self.securing.trust.set(nts.set, now);
        let tells = fresh && !nts.complained;
        let settings = &self.config.settings;
        let local = match nts.at {
            SocketAddr::V4(_) => settings.bind_acquisition_v4.map(IpAddr::V4),
            SocketAddr::V6(_) => settings.bind_acquisition_v6.map(IpAddr::V6),
        };
        let terms = Terms {
            address: nts.at,
            name: &peer.name,
            time: TimeKnown {
                passed: time.passed.max(set.written().filter(|_| time.passed.is_some())),
                ..time
            },
            set: Arc::clone(&set),
            algorithms: &self.securing.algorithms,
            local: local.map(|ip| SocketAddr::new(ip, 0)),
            device: settings.bind_acquisition_device.as_deref(),
        };
        match Session::begin(terms, now) {
            Ok(session) => nts.session = Some(session),
            Err((kind, why)) => self.not_established(index, now, kind, &why),
        }
        for what in set.troubles.iter().filter(|_| tells) {
            self.log.say(&Happened::Trouble { what: what.clone() });
        }
    }

    /// What is known of the time of day. What has passed counts only while this run has not set the clock: after that the clock
    /// is the better one.
    fn time_known(&self) -> TimeKnown {
        let updates = self.keeper.discipline().updates();
        TimeKnown {
            clock: self.local_now().0.div_euclid(1_000_000_000),
            passed: (updates == 0).then_some(self.securing.passed.unwrap_or(i64::MIN)),
            unchecked: updates < self.config.settings.nts.no_time_check_updates,
        }
    }

    /// Goes on with the establishment of a source's keys.
    pub(super) fn advance_securing(&mut self, id: SourceId, ready: Readiness) {
        let Some(index) = self.peers.iter().position(|peer| peer.id == id) else { return };
        let now = monotonic();
        let Some(nts) = self.peers.get_mut(index).and_then(|peer| peer.nts.as_mut()) else { return };
        let Some(session) = &mut nts.session else { return };
        match session.advance(now, ready) {
            Progress::Waiting => {}
            Progress::Failed(kind, why) => {
                nts.session = None;
                self.not_established(index, now, kind, &why);
            }
            Progress::Done(found) => {
                nts.session = None;
                self.established(index, now, found);
            }
        }
    }

    /// Gives up the establishments whose time is over.
    pub(super) fn securing_due(&mut self, now: Duration) {
        let over: Vec<SourceId> = self
            .peers
            .iter()
            .filter(|peer| {
                peer.nts
                    .as_ref()
                    .and_then(|nts| nts.session.as_ref())
                    .is_some_and(|one| one.deadline() <= now)
            })
            .map(|peer| peer.id)
            .collect();
        for id in over {
            self.advance_securing(id, Readiness::default());
        }
        self.rotate_when_due(now);
    }

    /// When the next establishment is given up.
    pub(super) fn securing_deadline(&self, now: Duration) -> Option<Duration> {
        let sessions = self.peers.iter().filter_map(|peer| peer.nts.as_ref()?.session.as_ref());
        let local = self.securing.server.as_ref().and_then(|server| server.local.as_ref());
        sessions.map(Session::deadline).chain(local.and_then(|server| server.deadline(now))).min()
    }

    fn not_established(&mut self, index: usize, now: Duration, kind: KeFailureKind, why: &str) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        let Some(nts) = &mut peer.nts else { return };
        nts.association.failed(now, kind);
        // Once, not for each try.
        if !std::mem::replace(&mut nts.complained, true) {
            let source = peer.label();
            self.log.say(&Happened::KeysNotEstablished { source, why: why.to_owned() });
        }
    }

    /// Keys came. Where the server named another host for NTP, its address is looked up first.
    fn established(&mut self, index: usize, now: Duration, found: Box<Established>) {
        let number = self.last_number + 1;
        let Some(nts) = self.peers.get(index).and_then(|peer| peer.nts.as_ref()) else { return };
        let own = nts.at.ip();
        let Some(name) = found.server.clone() else { return self.secured(index, now, own, *found) };
        if let Ok(address) = name.parse::<IpAddr>() {
            return self.secured(index, now, address, *found);
        }
        // As chronyd: a name that is complete as it stands.
        let name = if name.ends_with('.') { name } else { format!("{name}.") };
        self.last_number = number;
        if let Some(nts) = self.peers.get_mut(index).and_then(|peer| peer.nts.as_mut()) {
            nts.waiting = Some((number, found));
        }
        if !self.look_up(number, &name) {
            self.named(number, &[], now);
        }
    }

    /// The address of a server that was named in an establishment; false when the number is of something else.
    pub(super) fn named(&mut self, number: u32, addresses: &[IpAddr], now: Duration) -> bool {
        let waits = |peer: &Peer| {
            peer.nts.as_ref().and_then(|nts| nts.waiting.as_ref()).is_some_and(|(one, _)| *one == number)
        };
        let Some(index) = self.peers.iter().position(waits) else { return false };
        let Some(nts) = self.peers.get_mut(index).and_then(|peer| peer.nts.as_mut()) else { return true };
        let Some((_, found)) = nts.waiting.take() else { return true };
        let same = addresses.iter().find(|one| one.is_ipv4() == nts.at.is_ipv4());
        match same.or(addresses.first()).copied() {
            Some(address) => self.secured(index, now, address, *found),
            None => {
                let why = format!("the NTP server {} has no address", found.server.unwrap_or_default());
                self.not_established(index, now, KeFailureKind::Answer, &why);
            }
        }
        true
    }

    fn secured(&mut self, index: usize, now: Duration, ip: IpAddr, found: Established) {
        let taken: Vec<SocketAddr> = self
            .peers
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index)
            .map(|(_, peer)| peer.address)
            .collect();
        let Some(peer) = self.peers.get_mut(index) else { return };
        let Some(nts) = &mut peer.nts else { return };
        let address = SocketAddr::new(ip, found.port.unwrap_or(nts.ntp_port));
        // The same server twice would vote twice.
        if taken.contains(&address) {
            let why = format!("its NTP server {address} is another source already");
            return self.not_established(index, now, KeFailureKind::Answer, &why);
        }
        if !nts.association.established(now, found.keys) {
            return self.not_established(index, now, KeFailureKind::Answer, "the keys cannot be used");
        }
        (nts.accepted, nts.complained) = (found.accepted, false);
        peer.socket = None;
        let before = std::mem::replace(&mut peer.address, address);
        if before != address {
            let place = |at: SocketAddr| match before.port() == address.port() {
                true => at.ip().to_string(),
                false => at.to_string(),
            };
            let with = format!("{} ({})", place(address), peer.name);
            self.log.say(&Happened::Moved { source: place(before), with });
        }
        peer.client.forget_pending();
        peer.client.hurry(now);
        let source = peer.label();
        let by_clock = found.accepted == Accepted::Now;
        self.log.say(&Happened::KeysEstablished { source, by_clock });
    }

    /// Whether a measurement of this source may count, as far as NTS can say.
    pub(super) fn is_believed(&mut self, index: usize, measured: &Measurement) -> bool {
        let Some(peer) = self.peers.get_mut(index) else { return false };
        let Some(nts) = &mut peer.nts else { return true };
        if nts.believes(measured) {
            return true;
        }
        if !std::mem::replace(&mut nts.complained, true) {
            let what = format!(
                "Time of {} is not believed: it lies outside the time of its certificate",
                peer.label()
            );
            self.trouble(what);
        }
        false
    }

    /// The clock was set or the network came: what failed for want of it may be tried at once.
    pub(super) fn retry_securing(&mut self, now: Duration) {
        for peer in &mut self.peers {
            if let Some(nts) = &mut peer.nts
                && nts.complained
            {
                nts.association.may_retry(now);
                peer.client.hurry(now);
            }
        }
    }

    /// Keeps the cookies of a source; from here on the file has them, and so they are not to be used any more.
    fn keep_cookies(&self, peer: &Peer, now: Duration) -> Result<(), String> {
        let (Some(folder), Some(nts)) = (&self.securing.folder, &peer.nts) else { return Ok(()) };
        let Some((context, age, keys, cookies)) = nts.association.kept(now) else { return Ok(()) };
        // Keys that were found good without the clock are fetched anew: the next run may know the time.
        if nts.accepted != Accepted::Now {
            return Ok(());
        }
        let saved = SavedAssociation {
            name: peer.name.clone(),
            established: self.local_now().0 as f64 * 1e-9 - age.as_secs_f64(),
            address: peer.address.ip(),
            port: peer.address.port(),
            context,
            keys: keys.clone(),
            cookies,
        };
        folder
            .write_cookies(nts.at.ip(), &saved)
            .map_err(|error| format!("Could not keep the cookies of {}: {error}", peer.label()))
    }

    /// A source goes.
    pub(super) fn end_securing(&mut self, peer: &Peer) {
        if let Err(what) = self.keep_cookies(peer, monotonic()) {
            self.trouble(what);
        }
    }

    /// Writes what is kept over a restart (`dump`, and at the end).
    pub(crate) fn dump_securing(&mut self) {
        let now = monotonic();
        let mut troubles: Vec<String> =
            self.peers.iter().filter_map(|peer| self.keep_cookies(peer, now).err()).collect();
        troubles.extend(self.keep_keys(now).err());
        for what in troubles {
            self.trouble(what);
        }
    }

    // The server's side.

    /// Certificates, keys and sockets of the key establishment, where `ntsservercert` asks for it.
    pub(super) fn listen_for_keys(&mut self) -> Result<(), String> {
        let settings = &self.config.settings.nts;
        if settings.server_certificates.is_empty() || self.config.port == 0 {
            return Ok(());
        }
        let answer = KeAnswer {
            server: settings.ntp_server.clone(),
            port: Some(self.config.port).filter(|port| *port != NTP_PORT),
        };
        let offer = Offer::new(
            &settings.server_certificates,
            &settings.server_keys,
            self.securing.algorithms.clone(),
            answer,
            settings.connections_max.max(1) as usize,
        )
        .map_err(|error| {
            error.told(&self.config.places.of(error.directive, &error.path.display().to_string()))
        })?;
        let now = self.local_now().0.div_euclid(1_000_000_000);
        for what in crate::nts::serving::out_of_date(&settings.server_certificates, now) {
            self.log.say(&Happened::Warning { what });
        }
        let (processes, port) = (settings.processes.min(THREADS_MAX), settings.port);
        let rotate = Some(settings.rotate_seconds).filter(|seconds| *seconds > 0);
        let now = monotonic();
        let read = self.securing.folder.as_ref().map_or(Ok(None), DumpFolder::read_keys);
        let mut trouble = None;
        let (keys, age) = match read {
            Ok(Some(found)) => found,
            Ok(None) => (CookieKeys::generate(&mut sys::random::fill), 0.0),
            Err(why) => {
                trouble = Some(why);
                (CookieKeys::generate(&mut sys::random::fill), 0.0)
            }
        };
        if self.securing.folder.is_none() {
            trouble = Some("No ntsdumpdir to save server keys".to_owned());
        }
        let listeners = self.key_listeners(port).map_err(|(at, error)| {
            format!("cannot listen for NTS-KE on {at}: {error}\nhelp: another port: ntsport {}", port ^ 1)
        })?;
        let keys = Arc::new(keys);
        let shared = Arc::new(Shared {
            access: Mutex::new(self.server.access().clone()),
            keys: Mutex::new(Arc::clone(&keys)),
            clients: self.serving.shared(),
            rate_limit: self.config.settings.nts.rate_limit.map(super::answering::rate_limit),
            accepted: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for _ in 1..processes {
            let copies = listeners.iter().map(TcpListener::try_clone).collect::<Result<Vec<_>, _>>();
            threads.push((copies.map_err(|error| format!("cannot share a socket: {error}"))?, offer.clone()));
        }
        let mut local = None;
        match processes {
            0 => local = Some(KeServer::new(listeners, offer, Arc::clone(&shared))),
            _ => threads.push((listeners, offer)),
        }
        self.server.set_cookie_keys(Some(Arc::clone(&keys)));
        self.securing.server = Some(Serving {
            keys,
            shared,
            key_since: now.as_secs_f64() - age,
            rotate: rotate.map(|seconds| Duration::from_secs(seconds.into())),
            local,
            threads,
        });
        if let Some(what) = trouble {
            self.log.say(&Happened::Warning { what });
        }
        if let Err(what) = self.keep_keys(now) {
            self.trouble(what);
        }
        Ok(())
    }

    fn key_listeners(&self, port: u16) -> Result<Vec<TcpListener>, (SocketAddr, std::io::Error)> {
        let settings = &self.config.settings;
        let addresses = [
            settings.bind_v4.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4),
            settings.bind_v6.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6),
        ];
        let (mut listeners, mut failed) = (Vec::new(), None);
        for ip in addresses.into_iter().filter(|ip| Family::allows(self.options.family, *ip)) {
            let at = SocketAddr::new(ip, port);
            let opened = sys::socket::bind_tcp(at, Listen::default()).and_then(|listener| {
                if let Some(device) = &settings.bind_device {
                    sys::socket_scope::bind_device(&listener, device)?;
                }
                Ok(listener)
            });
            match opened {
                Ok(listener) => listeners.push(listener),
                Err(error) => failed = failed.or(Some((at, error))),
            }
        }
        match failed {
            Some(failure) if listeners.is_empty() => Err(failure),
            _ => Ok(listeners),
        }
    }

    /// Starts the threads of the key establishment, which have the rights that the daemon has by now.
    pub(super) fn start_key_threads(&mut self) -> Result<(), String> {
        let Some(server) = &mut self.securing.server else { return Ok(()) };
        for (listeners, offer) in std::mem::take(&mut server.threads) {
            serving::start(listeners, offer, &server.shared).map_err(|error| {
                format!("cannot start a thread for NTS-KE: {error}\nhelp: ntsprocesses 0")
            })?;
        }
        Ok(())
    }

    fn rotate_when_due(&mut self, now: Duration) {
        let Some(server) = &mut self.securing.server else { return };
        server.shared.set_access(self.server.access());
        let Some(interval) = server.rotate else { return };
        if now.as_secs_f64() - server.key_since < interval.as_secs_f64() {
            return;
        }
        let mut keys = CookieKeys::clone(&server.keys);
        keys.rotate(&mut sys::random::fill);
        server.key_since = now.as_secs_f64();
        self.use_keys(keys);
        if let Err(what) = self.keep_keys(now) {
            self.trouble(what);
        }
    }

    fn use_keys(&mut self, keys: CookieKeys) {
        let Some(server) = &mut self.securing.server else { return };
        server.keys = Arc::new(keys);
        server.shared.set_keys(Arc::clone(&server.keys));
        self.server.set_cookie_keys(Some(Arc::clone(&server.keys)));
        self.server_changed = true;
        self.serving.outdated();
    }

    /// Writes the server's keys, unless somebody else does.
    fn keep_keys(&self, now: Duration) -> Result<(), String> {
        let (Some(folder), Some(server)) = (&self.securing.folder, &self.securing.server) else {
            return Ok(());
        };
        if server.rotate.is_none() {
            return Ok(());
        }
        folder
            .write_keys(&server.keys, now.as_secs_f64() - server.key_since)
            .map_err(|error| format!("Could not save server NTS keys: {error}"))
    }

    /// With `ntsrotate 0` the keys are somebody else's, and are read again (`rekey`).
    pub(super) fn read_cookie_keys(&mut self) {
        let external = self.securing.server.as_ref().is_some_and(|server| server.rotate.is_none());
        if !external {
            return;
        }
        match self.securing.folder.as_ref().map_or(Ok(None), DumpFolder::read_keys) {
            Ok(Some((keys, _))) => self.use_keys(keys),
            Ok(None) => {}
            Err(what) => self.trouble(what),
        }
    }

    /// Serves in the loop what is ready.
    pub(super) fn serve_keys(&mut self, ready: &[Readiness]) {
        if let Some(local) = self.securing.server.as_mut().and_then(|server| server.local.as_mut()) {
            local.serve(monotonic(), ready);
        }
    }

    /// Connections for keys that were taken, and that were not.
    pub(crate) fn key_connections(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.securing
            .server
            .as_ref()
            .map_or((0, 0), |server| (count(&server.shared.accepted), count(&server.shared.dropped)))
    }

    /// The daemon ends.
    pub(super) fn stop_securing(&mut self) {
        self.dump_securing();
        if let Some(server) = &self.securing.server {
            server.shared.is_over.store(true, Ordering::Relaxed);
        }
    }
}
