//! The client's side of the loop: names, requests, replies.

use super::peering::{self, straight};
use super::{Daemon, monotonic, stamping};
use crate::config::SourceConfig;
use crate::events::Happened;
use crate::hardware::StampedBy;
use crate::options::Once;
use crate::peers::{Peer, Unauthentic, Wanted};
use crate::resolver::Resolver;
use ntp_proto::nts::NtsError;
use ntp_proto::{Arrived, KissCode, MacError, Measurement, ReferenceId, ReplyError};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use sys::poll::Readiness;
use time_core::{LocalTime, NoSelection, Path, SourceId};

/// Requests to a source after which, when nothing was ever selected, that is told: what the reach register holds.
const REQUESTS_BEFORE_TOLD: u64 = 8;
/// The modes of a client's request and of a peer's packet (RFC 5905 section 7.3).
const MODE_CLIENT: u8 = 3;
/// See [`MODE_CLIENT`].
const MODE_SYMMETRIC_ACTIVE: u8 = 1;

impl Daemon {
    pub(super) fn add_sources(&mut self, now: Duration) {
        for line in std::mem::take(&mut self.config.sources) {
            self.add_source(line, now);
        }
    }

    pub(super) fn add_source(&mut self, mut line: SourceConfig, now: Duration) {
        if self.options.once != Once::No {
            line.initial_burst = true;
        }
        if let Some(why) = self.why_not_added(&line) {
            // chronyd's words.
            let what = format!("Could not add source {} : {why}", line.name);
            self.log.say(&Happened::Trouble { what });
            return;
        }
        if let Some(why) = self.why_not_asked(&line) {
            // As for chronyd it is listed, and is asked once the key file has its key: asked without it, it could be forged.
            let what = format!("Source {} is not asked: {why}", line.name);
            self.log.say(&Happened::Trouble { what });
        }
        self.last_number += 1;
        let number = self.last_number;
        let mut wanted = Wanted::new(number, line, now);
        self.last_number += wanted.places() - 1;
        if wanted.line.from_folder {
            self.log.say(&Happened::SourceListed { what: self.listing(&wanted), added: true });
        }
        match wanted.line.name.parse::<IpAddr>() {
            Ok(address) => {
                wanted.due = None;
                wanted.missing = 1;
                self.wanted.push(wanted);
                self.found(number, &[address], now);
            }
            Err(_) => self.wanted.push(wanted),
        }
        self.choose_selection_options();
    }

    /// Why a line is no source: as for chronyd an address is one source, whatever its port, and the first line has it. Commands name
    /// sources by their addresses.
    pub(super) fn why_not_added(&self, line: &SourceConfig) -> Option<&'static str> {
        let address = line.name.parse().ok()?;
        self.has_address(address).then_some("Already in use")
    }

    /// A source has this address, or was found by it.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.peers.iter().any(|peer| peer.address.ip() == address || peer.found_at().ip() == address)
    }

    /// Reads the source folders again: what is gone goes, what is new comes, the rest stays (`reload sources`).
    pub(crate) fn reload_sources(&mut self, now: Duration) {
        let (lines, warnings) = crate::config::load_folders(&self.config.settings);
        for what in warnings {
            self.log.say(&Happened::Warning { what });
        }
        self.take_folders(lines, now);
    }

    /// These are the lines of the source folders from now on.
    pub(super) fn take_folders(&mut self, lines: Vec<SourceConfig>, now: Duration) {
        if self.initial.is_some() {
            // They are read when the usual sources begin.
            return;
        }
        let (mut gone, mut names): (Vec<u32>, Vec<String>) = (Vec::new(), Vec::new());
        for wanted in &self.wanted {
            if wanted.line.from_folder && !lines.contains(&wanted.line) {
                gone.push(wanted.number);
                names.push(self.listing(wanted));
            }
        }
        for what in names {
            self.log.say(&Happened::SourceListed { what, added: false });
        }
        self.wanted.retain(|wanted| !gone.contains(&wanted.number));
        while let Some(index) = self.peers.iter().position(|peer| gone.contains(&peer.number)) {
            self.remove_peer(index);
        }
        for line in lines {
            if !self.wanted.iter().any(|wanted| wanted.line == line) {
                self.add_source(line, now);
            }
        }
        self.choose_selection_options();
    }

    /// A line as the log tells that it came or went, in chronyd's words: a pool is one, and a server is told by its address, or
    /// by its number while it has none.
    pub(super) fn listing(&self, wanted: &Wanted) -> String {
        let name = &wanted.line.name;
        if wanted.line.pool.is_some() {
            return format!("pool {name}");
        }
        match self.peers.iter().find(|peer| peer.number == wanted.number) {
            Some(peer) => format!("source {}", peer.label()),
            None if name.parse::<IpAddr>().is_ok() => format!("source {name}"),
            None => format!("source ID#{:010} ({name})", wanted.number),
        }
    }

    /// Puts the names that are due into the resolver's queue.
    pub(super) fn resolve(&mut self, now: Duration) {
        let due: Vec<usize> = (0..self.wanted.len())
            .filter(|index| self.wanted.get(*index).and_then(|one| one.due).is_some_and(|at| at <= now))
            .collect();
        if due.is_empty() {
            return;
        }
        if self.resolver.is_none() {
            match Resolver::start() {
                Ok(resolver) => self.resolver = Some(resolver),
                Err(error) => self.trouble(format!("Could not start the resolver: {error}")),
            }
        }
        for index in due {
            let Some(wanted) = self.wanted.get_mut(index) else { continue };
            let asked = self.resolver.as_mut().is_some_and(|one| one.ask(wanted.number, &wanted.line.name));
            if asked {
                wanted.due = None;
            } else {
                wanted.again(now);
            }
        }
    }

    /// Puts one name into the resolver's queue; false when it takes none.
    pub(super) fn look_up(&mut self, number: u32, name: &str) -> bool {
        if self.resolver.is_none() {
            self.resolver = Resolver::start().ok();
        }
        self.resolver.as_mut().is_some_and(|resolver| resolver.ask(number, name))
    }

    pub(super) fn resolved(&mut self) {
        let answers = self.resolver.as_mut().map(Resolver::answers).unwrap_or_default();
        let now = monotonic();
        for answer in answers {
            if self.named(answer.job, &answer.addresses, now) {
                continue;
            }
            self.found(answer.job, &answer.addresses, now);
        }
    }

    /// A line's name has these addresses.
    pub(super) fn found(&mut self, number: u32, addresses: &[IpAddr], now: Duration) {
        let Some(index) = self.wanted.iter().position(|wanted| wanted.number == number) else { return };
        let family = self.options.family;
        let Some(wanted) = self.wanted.get_mut(index) else { return };
        let usable = wanted.usable(addresses, family);
        let name = wanted.line.name.clone();
        let is_name = name.parse::<IpAddr>().is_err();
        if usable.is_empty() {
            wanted.again(now);
            if !std::mem::replace(&mut wanted.complained, true) {
                self.log.say(&Happened::Unresolved { name });
            }
            return;
        }
        let count = usable.len();
        self.replace_servers(index, &usable, now);
        let mut added = false;
        for address in usable {
            let Some(wanted) = self.wanted.get(index) else { return };
            if wanted.missing == 0 {
                break;
            }
            // The same server twice would vote twice.
            if self.has_address(address) {
                continue;
            }
            added |= self.add_server(index, address, now);
        }
        let have = self.peers.iter().any(|peer| peer.number == number);
        if let Some(wanted) = self.wanted.get_mut(index) {
            let taken = !have;
            if is_name && (added || taken && !wanted.taken) {
                self.log.say(&if taken {
                    Happened::Taken { name }
                } else {
                    Happened::Resolved { name, addresses: count }
                });
            }
            wanted.taken = taken;
        }
        // A pool with fewer addresses than wanted is asked again later: it may show others then.
        if let Some(wanted) = self.wanted.get_mut(index)
            && wanted.missing > 0
            && is_name
        {
            wanted.again(now);
        }
        if added {
            self.choose_selection_options();
        }
    }

    /// An association with one address of a line.
    pub(super) fn add_server(&mut self, index: usize, address: IpAddr, now: Duration) -> bool {
        let Some(wanted) = self.wanted.get_mut(index) else { return false };
        let at = SocketAddr::new(address, wanted.line.port);
        wanted.missing = wanted.missing.saturating_sub(1);
        let id = self.keeper.add_source(wanted.line.treatment);
        let mut peer = Peer::new(wanted, at, id, &self.keys, self.config.precision, now);
        // A server that starts with us may not listen yet, and a lost request costs a whole interval.
        peer.client.postpone(now + super::REQUESTS_APART);
        // They are listed in the order of their lines, whichever name was found first.
        let place = self.peers.partition_point(|other| other.number <= peer.number);
        self.peers.insert(place, peer);
        self.begin_securing(place, now);
        true
    }

    /// Forgets a source.
    pub(crate) fn remove_peer(&mut self, index: usize) {
        if index >= self.peers.len() {
            return;
        }
        let peer = self.peers.remove(index);
        self.end_securing(&peer);
        let events = self.keeper.remove_source(peer.id, &mut self.clock);
        self.choose_selection_options();
        self.handle(events);
    }

    /// The network came or went: sources to which there is a way are online, and asked soon; the others are offline (`chronyc
    /// onoffline`).
    pub(crate) fn network_changed(&mut self, now: Duration) {
        for peer in &mut self.peers {
            let online = self.ask_from.ask(peer.address).is_ok();
            peer.client.set_online(online, now);
            peer.client.hurry(now);
            peer.client.postpone(now + super::REQUESTS_APART);
        }
        self.wanted.iter_mut().for_each(|wanted| wanted.retry(now));
    }

    pub(super) fn ask(&mut self, index: usize, now: Duration) {
        if !self.is_secured(index, now) || self.wakes_ahead(index, now) {
            return;
        }
        self.end_poll_unanswered(index);
        let path =
            self.peers.get(index).map(|peer| self.keeper.path(peer.id, self.local_now())).unwrap_or_default();
        let Some(peer) = self.peers.get_mut(index) else { return };
        start_automatic_burst(peer, now, path);
        peer.answered = false;
        let random = [sys::random::u64(), sys::random::u64()];
        if peer.line.symmetric {
            return self.send_to_peer(index, now);
        }
        let opened = if peer.lacks_key {
            Err(io::Error::new(io::ErrorKind::NotFound, "the key file does not have its key any more"))
        } else {
            self.ask_from.ask(peer.address)
        };
        let over = self.config.ptp_domain(peer.address).map(|domain| (domain, peer.next_ptp_form()));
        let request = peer.client.request(now, random, self.clock.at(sys::clock::realtime_ns()).0);
        let request = match &mut peer.nts {
            Some(nts) => match Self::protected(nts, &request) {
                Some(request) => request,
                None => return peer.client.unsent(now),
            },
            None => request,
        };
        let request = match over {
            Some((domain, form)) => peering::over_ptp(request, domain, form),
            None => request,
        };
        let outcome = opened.and_then(|socket| {
            peer.local = socket.local_addr().ok().map(|local| local.ip());
            let own = peer.local.filter(|own| !own.is_loopback());
            peer.client.set_own_id(own.map(ReferenceId::of_address));
            let left = self.clock.at(sys::clock::realtime_ns());
            socket.send(&request)?;
            peer.client.sent(left.0);
            (peer.sent, peer.sent_by, peer.sent_bytes) = (left, StampedBy::Daemon, request.len());
            peer.socket = Some(socket);
            Ok(())
        });
        self.asked(index, outcome, now);
    }

    /// A request was sent, or could not be.
    pub(super) fn asked(&mut self, index: usize, outcome: io::Result<()>, now: Duration) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        let said = match outcome {
            Ok(()) => {
                peer.complained = false;
                None
            }
            Err(error) => {
                peer.socket = None;
                peer.client.unsent(now);
                if peer.line.options.auto_offline {
                    peer.client.set_online(false, now);
                }
                let why = error.to_string();
                let first = !std::mem::replace(&mut peer.complained, true);
                first.then_some(Happened::NotSendable { source: peer.address, why })
            }
        };
        let (id, reach) = (peer.id, peer.client.reach());
        let asked_often = peer.client.counts().0 >= REQUESTS_BEFORE_TOLD;
        // Who is never selected is not waited for.
        let asked_long = peer.client.counts().0 == REQUESTS_BEFORE_TOLD && !peer.line.treatment.noselect;
        if asked_long && self.keeper.tracking(self.local_now()).selected.is_none() && !self.told_unselected {
            self.told_unselected = true;
            let unreachable = self.peers.iter().filter(|peer| peer.client.reach() == 0).count();
            self.log.say(&Happened::Lost(NoSelection::NoneSelectable { unreachable }));
        }
        if let Some(event) = said {
            self.log.say(&event);
        }
        if asked_often {
            self.tell_silence(index);
        }
        let events = self.keeper.set_reach(id, reach, &mut self.clock);
        self.handle(events);
    }

    /// Something came, or the kernel tells when the request left.
    pub(super) fn receive(&mut self, id: SourceId, ready: Readiness) {
        let Some(index) = self.peers.iter().position(|peer| peer.id == id) else { return };
        let own_port = (self.config.port != 0).then_some(self.config.port);
        let Some(peer) = self.peers.get_mut(index) else { return };
        let ptp = self.config.ptp_domain(peer.address);
        if ready.priority {
            stamping::take_departure(peer, &mut self.cards, &self.clock, &self.keeper);
        }
        let reads = ready.closed || (ready.readable && stamping::may_read(peer, &self.cards, monotonic()));
        let Some(socket) = peer.socket.as_ref().filter(|_| reads) else { return };
        let count = match self.batch.receive(socket) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // A peer that is not there yet refuses what is sent to it, until it sends itself.
            Err(_) if peer.line.symmetric => return,
            Err(_) => {
                // The server's host refused the datagram: this exchange is over.
                peer.socket = None;
                peer.client.forget_pending();
                return;
            }
        };
        let mut good = None;
        let mut kiss: Option<KissCode> = None;
        let mut nothing_new = false;
        let mut failed: Vec<(LocalTime, ReplyError, Vec<u8>)> = Vec::new();
        let mut unauthentic = None;
        for number in 0..count {
            let Some(datagram) = self.batch.datagram(number) else { continue };
            peer.received = peer.received.wrapping_add(1);
            let ipv4 = peer.address.is_ipv4();
            let came = stamping::arrival(&datagram, ipv4, &mut self.cards, &self.clock, &self.keeper);
            let at = came.at;
            let message = ptp.and_then(|domain| ntp_proto::ptp_unwrap(datagram.data, domain));
            let data = match (ptp, &message) {
                (None, _) => datagram.data,
                (Some(_), Some(message)) => message.packet,
                (Some(_), None) => continue,
            };
            let arrived = came.arrived(message.map_or(0.0, |message| message.correction));
            let mode = data.first().map_or(0, |first| first & 7);
            if mode == MODE_CLIENT || (mode == MODE_SYMMETRIC_ACTIVE && !peer.line.symmetric) {
                // The source is a client too, and asks from the port at which it is asked.
                let arrived = Arrived { at: self.clock.kernel_at(at), ..arrived };
                if let (Some(reply), Some(socket)) =
                    (self.serving.answer(data, peer.address.ip(), arrived), &peer.socket)
                {
                    let reply = match ptp.zip(message) {
                        Some((domain, message)) => peering::over_ptp(reply, domain, message.form),
                        None => reply,
                    };
                    let _ = socket.send(&reply);
                }
                continue;
            }
            // Only what is authentic reaches the client machine, kisses included.
            let bytes = match &mut peer.nts {
                Some(nts) => match nts.open(data) {
                    Ok(authentic) => authentic,
                    Err(error) => {
                        let forged = Unauthentic::of_nts(error);
                        unauthentic = forged.or(unauthentic);
                        // A NAK is a reply without authentication.
                        if forged.is_some() || error == NtsError::Nak {
                            failed.push((at, ReplyError::Mac(MacError::Missing), data.to_vec()));
                        }
                        continue;
                    }
                },
                None => data,
            };
            peer.client.config_mut().slew_rate = self.keeper.discipline().slew_rate();
            let found = match peer.line.symmetric {
                false => peer.client.receive(monotonic(), bytes, arrived),
                true => straight(&self.keeper, self.clock.at(sys::clock::realtime_ns()), 0.0, |scale| {
                    peer.client.receive_as_peer(monotonic(), bytes, arrived, scale)
                }),
            };
            if let Some(message) = message {
                peer.heard_over_ptp(message.form, &found);
            }
            if matches!(found, Ok(_) | Err(ReplyError::Measured)) {
                peer.received_by = came.by;
                peer.card_received_count =
                    peer.card_received_count.wrapping_add(u32::from(came.by == StampedBy::Card));
            }
            match found {
                // A source that is this daemon would lead it nowhere.
                Ok(measurement)
                    if own_port == Some(peer.address.port()) && peer.local == Some(peer.address.ip()) =>
                {
                    failed.push((at, ReplyError::Loop, data.to_vec()));
                    // `ntpdata` shows it, and that it is a loop.
                    peer.last = Some(measurement);
                    (peer.loops, peer.valid) = (peer.loops.wrapping_add(1), peer.valid.wrapping_add(1));
                }
                Ok(measurement) => {
                    let authenticated = measurement.authenticated || peer.nts.is_some();
                    good = Some(Measurement { authenticated, ..measurement });
                }
                Err(ReplyError::Kiss(code)) => kiss = Some(code),
                Err(error @ ReplyError::Measured) => {
                    nothing_new = true;
                    failed.push((at, error, data.to_vec()));
                }
                Err(error) => {
                    unauthentic = Unauthentic::of(error).or(unauthentic);
                    failed.push((at, error, data.to_vec()));
                }
            }
        }
        let (address, poll) = (peer.address.ip(), peer.client.poll());
        // Whoever sends something else beside good replies changes nothing.
        if good.is_some() || nothing_new {
            (peer.unauthentic, peer.told_unauthentic) = (None, false);
        } else if let Some(why) = unauthentic {
            self.tell_unauthentic(index, why);
        }
        let useless = failed.iter().any(|(_, error, _)| error.uses_up_the_request());
        for (at, error, bytes) in failed.drain(..) {
            let written = self.records.failed_reply(at.0, address, poll, error, &bytes);
            if written.is_err() {
                self.record_failed(written);
                break;
            }
        }
        if good.is_none() && useless {
            // This poll is over: a median filter does not wait until the next one to know.
            self.end_poll_unanswered(index);
        }
        let Some(peer) = self.peers.get_mut(index) else { return };
        peer.answered |= useless;
        if let Some(code) = kiss {
            peer.end_exchange();
            let event = Happened::Kiss { source: peer.address, code: code.to_string() };
            self.log.say(&event);
        }
        if nothing_new {
            peer.end_exchange();
            peer.answered = true;
            peer.valid = peer.valid.wrapping_add(1);
            self.use_exchange(index, None);
            return;
        }
        if let Some(peer) = self.peers.get_mut(index).filter(|_| good.is_some()) {
            peer.end_exchange();
        }
        let good = good.filter(|measurement| self.is_believed(index, measurement));
        if let (Some(measurement), Some(peer)) = (good, self.peers.get_mut(index)) {
            peer.valid = peer.valid.wrapping_add(1);
            peer.last = Some(measurement.clone());
            self.measured(index, &measurement);
        }
    }
}

/// `burst`: up to four requests where the interval leaves room, until one is answered as quickly as usual (`chrony.conf(5)`).
fn start_automatic_burst(peer: &mut Peer, now: Duration, path: Path) {
    /// Requests of such a burst, at most.
    const AUTOMATIC_REQUESTS_MAX: u8 = 4;
    let room = peer.client.poll() - peer.line.treatment.poll_min;
    if peer.line.options.burst && !peer.client.in_burst() && room > 0 {
        // What chronyd throws away by its usual maxdelaydevratio, and we only weigh little, is worth another try.
        let ratio = peer.line.options.maxdelaydevratio;
        let usual = path.delay_min.filter(|_| ratio > 0.0 && path.deviation > 0.0);
        let delay_max = usual.map_or(f64::INFINITY, |least| least + 2.0 * ratio * path.deviation);
        peer.client.burst_until_quick(now, AUTOMATIC_REQUESTS_MAX.min(1 << room.min(2)), delay_max);
    }
}
