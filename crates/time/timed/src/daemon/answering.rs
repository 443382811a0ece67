//! The server's side of the loop: NTP requests, commands, the control socket.

use super::{COMMAND_BYTES, Daemon, SERVER_PRECISION, WAIT_MAX, monotonic};
use crate::clocks::DaemonClock;
use crate::commands;
use crate::config::Access;
use crate::events::Happened;
use crate::options::Family;
use crate::serving::{Memory, Serving, View};
use crate::sockets::{self, CommandSocket, Marks};
use chrony_cmd::Status;
use ntp_proto::{
    AccessList, Keys, Leap, Monotonic, NtpTimestamp, ReferenceId, Server, ServerSnapshot, Service, Subnet,
    Treatment,
};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;
use time_core::LeapStatus;

impl Daemon {
    /// Opens the sockets of a server. `another` process has the control socket already: this daemon runs without one.
    pub(super) fn listen(&mut self, layout: &layout::Layout, another: Option<u32>) -> Result<(), String> {
        self.write_pid_file()?;
        self.open_server_sockets().map_err(|(at, error)| {
            format!("cannot listen for NTP on {at}: {error}\nhelp: another port: port 11123 (or no server: port 0)")
        })?;
        if self.config.command_port != 0 {
            let defaults = (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
            let opened = sockets::listen(
                self.config.command_port,
                &self.config.bind_command,
                defaults,
                |address| Family::allows(self.options.family, address),
                Marks { device: self.config.settings.command_bind_device.as_deref(), ..Marks::default() },
            );
            match opened {
                Ok((sockets, failed)) => {
                    self.command_sockets = sockets;
                    self.tell_failures("commands", "cmdport", &failed);
                }
                Err((at, error)) => {
                    return Err(format!(
                        "cannot listen for commands on {at}: {error}\nhelp: another port: cmdport 11323 (or none: cmdport 0)"
                    ));
                }
            }
        }
        if let Some(path) = self.config.command_socket.clone() {
            match CommandSocket::bind(&path) {
                Ok(socket) => {
                    // For commands as this user; a user who may not give the socket away has no other.
                    if let Some(user) = &self.user {
                        let _ = std::os::unix::fs::lchown(&path, Some(user.uid), Some(user.gid));
                    }
                    self.command_unix = Some(socket);
                }
                Err(error) => {
                    let (path, why) = (path.display(), crate::events::reason(&error));
                    let at = self.config.places.of("bindcmdaddress", &path.to_string());
                    let other = super::start::own_place("chronyd.sock");
                    self.trouble(format!(
                        "Could not open command socket {path}: {why}{at}\nhelp: another place in chrony.conf: bindcmdaddress {other}, and then: chronyc -h {other}"
                    ));
                }
            }
        }
        let path = control::socket_path(layout, "timed");
        let has_it = |pid: u32| Happened::Warning {
            what: format!(
                "`banto time` and `banto reload` ask another daemon (pid={pid}): it has {}\nhelp: for this one: chronyc -h PATH, with bindcmdaddress PATH in its file",
                path.display()
            ),
        };
        if let Some(pid) = another {
            self.log.say(&has_it(pid));
            return Ok(());
        }
        match control::Server::bind(&path) {
            Ok(server) => self.control = Some(server),
            Err(error) => {
                // One that began at the same moment was first.
                if let Some(pid) = control::answering(&path) {
                    self.log.say(&has_it(pid));
                    return Ok(());
                }
                let why = crate::events::reason(&error);
                let folder = path.parent().unwrap_or(&path).display();
                self.trouble(format!(
                    "Could not open control socket {}: {why}\nhelp: ls -ld {folder}",
                    path.display()
                ));
            }
        }
        Ok(())
    }

    pub(super) fn open_server_sockets(&mut self) -> Result<(), (SocketAddr, io::Error)> {
        let settings = &self.config.settings;
        let ptp = (settings.ptp_port, Some(settings.ptp_domain));
        for (port, ptp) in [(self.config.port, None), ptp] {
            self.open_server_port(port, ptp)?;
        }
        Ok(())
    }

    /// Listens on a port, with a domain for NTP inside PTP; 0: on none.
    fn open_server_port(&mut self, port: u16, ptp: Option<u8>) -> Result<(), (SocketAddr, io::Error)> {
        // Like chronyd, a family has no socket while none of its addresses is allowed to ask.
        if port == 0 {
            return Ok(());
        }
        let defaults = (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED);
        let broadcasts = |address: IpAddr| {
            let lines = &self.config.settings.broadcasts;
            lines.iter().any(|line| line.address.is_ipv4() == address.is_ipv4())
        };
        let wants = |address: IpAddr| {
            Family::allows(self.options.family, address)
                && (self.server.access().allows_any(address.is_ipv4()) || broadcasts(address))
                && !self.serving.is_open(address.is_ipv4(), ptp.is_some())
        };
        let settings = &self.config.settings;
        let marks = Marks {
            server: true,
            kernel_stamps: !self.serving.cards_stamp(),
            device: settings.bind_device.as_deref(),
            dscp: settings.dscp,
            reused: settings.acquisition_port == Some(port) || ptp.is_some(),
            shared: self.serving.threads() > 1,
        };
        let (mut opened, mut failed) = (Vec::new(), Vec::new());
        let most = sockets::beside_max(self.serving.threads());
        for worker in 0..self.serving.threads() {
            let (sockets, failures) = sockets::listen(port, &self.config.bind, defaults, wants, marks)?;
            failed = failures;
            let opened_by_it =
                sockets.into_iter().map(|socket| (worker, sockets::beside(&socket, most, marks), socket));
            opened.extend(opened_by_it);
        }
        for (worker, beside, socket) in opened {
            if ptp.is_none() {
                self.broadcast_from(&socket);
            }
            self.serving.add(worker, socket, ptp);
            for socket in beside {
                self.serving.add_beside(worker, socket, ptp);
            }
        }
        self.tell_failures("NTP", if ptp.is_some() { "ptpport" } else { "port" }, &failed);
        Ok(())
    }

    /// One of two families has its socket, and the other has not.
    fn tell_failures(&mut self, what: &str, directive: &str, failures: &[sockets::Failure]) {
        for (at, error) in failures {
            let help = match error.kind() {
                io::ErrorKind::AddrInUse => format!("another port: {directive} {}", at.port() ^ 1),
                _ => "the addresses of this host: ip address".to_owned(),
            };
            self.trouble(format!("Could not listen for {what} on {at}: {error}\nhelp: {help}"));
        }
    }

    /// After a command allowed the first client.
    pub(crate) fn open_server_sockets_if_needed(&mut self) {
        self.server_changed = true;
        self.serving.outdated();
        // Peers' sockets have the port already, and ours are bound to one that nobody has: somebody else's would not be seen.
        let is_due = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)]
            .into_iter()
            .filter(|any| Family::allows(self.options.family, *any))
            .map(|any| any.is_ipv4())
            .any(|ipv4| self.server.access().allows_any(ipv4) && !self.serving.is_open(ipv4, false));
        let peers = if is_due { self.close_peer_sockets() } else { Vec::new() };
        if let Err((at, error)) = self.open_server_sockets() {
            self.trouble(format!("Could not listen for NTP on {at}: {error}"));
        }
        for index in peers {
            // What cannot be opened now is told at the next packet.
            let _ = self.open_peer_socket(index);
        }
    }

    /// Where the daemon listens, for `status`.
    pub(crate) fn listening(&self) -> Vec<String> {
        let udp = |sockets: &[UdpSocket], what: &str| {
            let addresses = sockets.iter().filter_map(|socket| socket.local_addr().ok());
            addresses.map(|address| format!("{what} udp {address}")).collect::<Vec<_>>()
        };
        let mut all: Vec<String> = self.serving.addresses().map(|at| format!("ntp udp {at}")).collect();
        all.extend(udp(&self.command_sockets, "chronyc"));
        let path = self.config.command_socket.as_ref().filter(|_| self.command_unix.is_some());
        all.extend(path.map(|path| format!("chronyc {}", path.display())));
        all
    }

    /// Tells the server's workers what to answer by: at once when something has changed, and once a second, since the dispersion
    /// grows.
    pub(super) fn publish(&mut self, now: Duration) {
        if !self.serving.is_any_open() || self.serving.age(now).is_some_and(|age| age < WAIT_MAX) {
            return;
        }
        if std::mem::take(&mut self.server_changed) {
            let mut server = self.server.clone();
            server.prepare();
            self.prepared_server = Arc::new(server);
        }
        let view = View {
            clock: self.served_clock(),
            snapshot: self.make_snapshot(),
            server: Arc::clone(&self.prepared_server),
            rate_limit: self.config.settings.rate_limit.map(rate_limit),
            cards: self.cards.map(&self.clock, &self.keeper).filter(|_| self.serving.cards_stamp()),
        };
        self.serving.publish(now, view);
    }

    pub(super) fn make_snapshot(&self) -> ServerSnapshot {
        let now = self.local_now();
        let one = self.keeper.tracking(now);
        let monotonic = self.monotonic_clock();
        match (self.followed(&one), self.local_reference(&one)) {
            (_, Some(local)) => ServerSnapshot {
                leap: Leap::Normal,
                stratum: local.stratum,
                precision: self.config.precision,
                root_delay: 0.0,
                root_dispersion: 0.0,
                dispersion_rate: 0.0,
                reference_id: ReferenceId(commands::LOCAL_REFERENCE_ID),
                // Before every request that is answered with this.
                reference: NtpTimestamp::from_unix_nanos(now.0.saturating_sub(1_000_000_000)),
                monotonic,
            },
            (Some((_, reference_id, stratum)), None) => ServerSnapshot {
                leap: match self.served_leap() {
                    LeapStatus::Normal => Leap::Normal,
                    LeapStatus::Insert => Leap::Insert,
                    LeapStatus::Delete => Leap::Delete,
                },
                stratum,
                precision: self.config.precision,
                root_delay: one.root_delay,
                // What is left to correct is no part of it: the served clock is ahead by that.
                root_dispersion: one.root_dispersion,
                // The snapshot is renewed every second, so its dispersion is that of now.
                dispersion_rate: 0.0,
                reference_id,
                reference: NtpTimestamp::from_unix_nanos(one.reference.unwrap_or(now).0),
                monotonic,
            },
            (None, None) => ServerSnapshot::unsynchronised(self.config.precision),
        }
    }

    /// The served clock without what it was moved apart from its rate. A smoothed one is moved all the time.
    fn monotonic_clock(&self) -> Option<Monotonic> {
        if self.smoothing_state().is_some_and(|state| state.active) {
            return None;
        }
        let moves = self.keeper.discipline().moves();
        // Another beginning, another clock, and each start of the daemon is one.
        Some(Monotonic { ahead: -moves.seconds, epoch: self.clock_epoch.wrapping_add(moves.beginnings) })
    }

    /// The address of the source that is followed (a reference clock has none), and the reference id and stratum that we have by it: its address and one more than its own,
    /// or with `copy` its own.
    pub(crate) fn followed(&self, one: &time_core::Tracking) -> Option<(Option<IpAddr>, ReferenceId, u8)> {
        if let Some(clock) = self.refclocks.iter().find(|clock| one.selected == Some(clock.id)) {
            return Some((None, ReferenceId(clock.reference_id), one.stratum));
        }
        let peer = self.peers.iter().find(|peer| one.selected == Some(peer.id))?;
        let copied = peer.last.as_ref().filter(|_| peer.line.options.copy);
        Some(match copied {
            Some(last) => (Some(peer.address.ip()), last.header.reference_id, last.header.stratum),
            None => (Some(peer.address.ip()), peer.reference_id(), one.stratum),
        })
    }

    /// `local`, while it takes the place of a source.
    pub(crate) fn local_reference(&self, one: &time_core::Tracking) -> Option<chrony_conf::LocalReference> {
        let distance = one.selected.map(|_| one.root_delay / 2.0 + one.root_dispersion);
        self.config.local.filter(|local| self.local_gate.is_open(local, distance, monotonic()))
    }

    pub(super) fn command_udp(&mut self, index: usize) {
        // One a round: `poll(2)` tells of the next, and what is due is not kept waiting.
        let mut buffer = [0; COMMAND_BYTES];
        let Some(socket) = self.command_sockets.get(index) else { return };
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { return };
        if !self.command_access.allows(from.ip()) {
            self.commands_dropped += 1;
            self.commands_refused += 1;
            return;
        }
        // chrony.conf(5), cmdratelimit: "Localhost is never limited".
        let limit = self.config.settings.command_rate_limit.filter(|_| !from.ip().is_loopback());
        if let Some(memory) = self.serving.memory()
            && memory.hit(from.ip(), Service::Command, monotonic(), limit.map(rate_limit).as_ref())
                != Treatment::Answer
        {
            self.commands_dropped += 1;
            return;
        }
        let request = buffer.get(..length).unwrap_or_default();
        if let Some(reply) = self.command(request, chrony_cmd::Peer::Udp)
            && let Some(socket) = self.command_sockets.get(index)
        {
            let _ = socket.send_to(&reply, from);
        }
    }

    pub(super) fn command_unix(&mut self) {
        let mut buffer = [0; COMMAND_BYTES];
        let Some(command) = &self.command_unix else { return };
        let Ok((length, from)) = command.socket.recv_from(&mut buffer) else { return };
        // A name of full length ends with its first zero byte (`unix(7)`); the kernel cuts it there, simulators do not.
        let Some(path) = from.as_pathname() else { return };
        let name = path.as_os_str().as_bytes().split(|byte| *byte == 0).next().unwrap_or_default();
        let path = std::path::PathBuf::from(std::ffi::OsStr::from_bytes(name));
        let request = buffer.get(..length).unwrap_or_default();
        if let Some(reply) = self.command(request, chrony_cmd::Peer::UnixSocket)
            && let Some(command) = &self.command_unix
        {
            let _ = command.socket.send_to(&reply, path);
        }
    }

    pub(super) fn command(&mut self, request: &[u8], peer: chrony_cmd::Peer) -> Option<Vec<u8>> {
        self.commands_received += 1;
        let now = monotonic();
        let open = self.open_commands;
        let reply = chrony_cmd::serve(request, peer, open, |request| commands::answer(self, request, now));
        match &reply {
            Err(_) => {
                self.commands_dropped += 1;
                self.commands_malformed += 1;
            }
            Ok(bytes) => match chrony_cmd::status_of(bytes) {
                Some(Status::Unauthorised) => self.commands_refused += 1,
                Some(Status::Invalid | Status::BadVersion | Status::BadLength) => {
                    self.commands_malformed += 1;
                }
                _ => {}
            },
        }
        reply.ok()
    }

    pub(super) fn control(&mut self) {
        let Some(mut control) = self.control.take() else { return };
        control.serve(|request| match request.verb.as_str() {
            "status" => Ok(commands::people::status(self)),
            "history" => Ok(commands::people::history(self)),
            "reasons" => Ok(commands::people::reasons(self)),
            "set" if request.may_change() => commands::people::set(self, &request.args),
            "set" => Err(request.not_allowed()),
            "reload" if request.may_change() => {
                let refused = |report: String| {
                    control::Refusal::new(report)
                        .help("correct it and reload again; the old sources stay until then")
                };
                self.reload().map(|done| done.value()).map_err(refused)
            }
            "reload" => Err(request.not_allowed()),
            _ => Err(request.unknown(&["status", "history", "reasons", "set", "reload"])),
        });
        self.control = Some(control);
    }
}

/// The rules of the server; it has no keys yet.
pub(super) fn server(config: &crate::config::Config) -> Server {
    let mut server = Server::new(rules(&config.access), Keys::new());
    // Without PTP there is nothing that clocks on the way could add to.
    server.set_corrects(config.settings.ptp_port != 0);
    server
}

/// The server before it has a socket.
pub(super) fn serving(settings: &chrony_conf::Settings, clock: &DaemonClock) -> Serving {
    let memory = Memory::new(settings.client_log_limit, sys::random::u64());
    let view = View {
        clock: clock.map(),
        snapshot: ServerSnapshot::unsynchronised(SERVER_PRECISION),
        server: Arc::default(),
        rate_limit: None,
        cards: None,
    };
    Serving::new(settings.server_threads as usize, (!settings.no_client_log).then_some(memory), view)
}

pub(crate) fn rate_limit(limit: chrony_conf::RateLimit) -> ntp_proto::RateLimit {
    ntp_proto::RateLimit { interval: limit.interval, burst: limit.burst, leak: limit.leak, kod: limit.kod }
}

pub(super) fn rules(list: &[Access]) -> AccessList {
    let mut rules = AccessList::new();
    for rule in list {
        rules.set(rule.subnet, rule.allow, rule.all);
    }
    rules
}

/// Commands are allowed from this host, and from whom `cmdallow` names.
pub(super) fn command_rules(list: &[Access]) -> AccessList {
    let mut own = Vec::new();
    for (address, prefix) in [(IpAddr::from([127, 0, 0, 1]), 32), (IpAddr::from(Ipv6Addr::LOCALHOST), 128)] {
        own.extend(Subnet::new(address, prefix).map(|subnet| Access { subnet, allow: true, all: false }));
    }
    own.extend_from_slice(list);
    rules(&own)
}
