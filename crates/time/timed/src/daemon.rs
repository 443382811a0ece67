//! The loop: what arrives, what is due, and in which order the daemon starts and ends.

mod answering;
mod asking;
mod broadcast;
mod care;
mod history;
mod initial;
mod keys;
pub(crate) mod leap;
mod mail;
mod measured;
mod once;
mod peering;
mod process;
mod reading;
mod reload;
mod rtc;
mod securing;
mod stamping;
mod start;
mod telling;
mod temperature;

use initial::Initial;
pub(crate) use securing::PeerNts;
use securing::Securing;
pub(crate) use start::start_in_background;

use crate::clocks::DaemonClock;
use crate::commands;
use crate::config::Config;
use crate::events::{Happened, Log};
use crate::options::{Once, Options};
use crate::peers::{Peer, Wanted};
use crate::records::{self, Records};
use crate::resolver::Resolver;
use crate::serving::Serving;
use crate::sockets::{AskFrom, CommandSocket};
use ntp_proto::{AccessList, Keys, PACKET_BYTES_MAX, PTP_PREFIX_BYTES_MAX, Server};
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use sys::poll::{Interest, Readiness};
use sys::socket::ReceiveBatch;
use time_core::{Clock as _, Event, LocalTime, SourceId, Timekeeper, TimekeeperSettings};

/// Precision that the server states, log2 s: reading the kernel's clock takes about 50 ns.
pub(crate) const SERVER_PRECISION: i8 = -24;
/// Datagrams taken in one system call.
const BATCH: usize = 16;
/// The longest wait: what is due by the clock, not by a timer, is looked at this often.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// A step of the clock by others is one from here on, as for chronyd: what was measured before says nothing any more. A smaller
/// one is found by measuring, like any other error.
const JUMP_MIN_NANOS: i64 = 10_000_000_000;
/// From here on the clock is not called synchronised until it is measured again; reading two clocks one after the other is not
/// exact.
const STEP_MIN_NANOS: i64 = 5_000_000;
/// Good replies wanted, and requests sent at most, after the clock jumped.
const AFTER_JUMP: (u8, u8) = (4, 8);
/// Between two reports of the error bound to the kernel, which lets it grow by 500 ppm meanwhile.
const KERNEL_STATUS_INTERVAL: Duration = Duration::from_secs(16);
/// A drift file is written this long after the start, and then in its interval: a machine that loses its power within the first
/// hour has learnt something too.
const FIRST_DRIFT_AFTER: Duration = Duration::from_secs(300);
/// A frequency that is less certain than this, s/s, is written to the drift file only over one that is less certain still.
const DRIFT_SKEW_POOR: f64 = 10e-6;
/// How long `-q` and `-Q` wait for that, unless `-t` says otherwise: an initial burst takes 14 s at most.
const ONCE_PATIENCE: Duration = Duration::from_secs(20);
/// A command's longest datagram, and room to see that one is longer.
const COMMAND_BYTES: usize = chrony_cmd::REQUEST_LENGTH_MAX + 4;
/// Between requests to different sources, where the polls leave room for that: an exchange that waits behind another is measured
/// worse, and a start does not send them all at once.
pub(crate) const REQUESTS_APART: Duration = Duration::from_millis(200);

/// The daemon.
pub(crate) struct Daemon {
    options: Options,
    layout: layout::Layout,
    pub(crate) config: Config,
    pub(crate) clock: DaemonClock,
    pub(crate) keeper: Timekeeper,
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) refclocks: Vec<crate::refclocks::RefClock>,
    cards: crate::hardware::Cards,
    pub(crate) server: Server,
    pub(crate) command_access: AccessList,
    pub(crate) commands_received: u64,
    pub(crate) commands_dropped: u64,
    /// Command datagrams that were no request, or one that makes no sense: unanswered ones among them.
    pub(crate) commands_malformed: u64,
    /// Command datagrams of peers that may not send them.
    pub(crate) commands_refused: u64,
    keys: Keys,
    /// Why the key file could not be opened, which was told.
    key_file_unopened: Option<io::ErrorKind>,
    last_number: u32,
    pub(crate) serving: Serving,
    /// Rules or keys have changed since the server last learned of them.
    pub(crate) server_changed: bool,
    /// The server as its workers have it.
    prepared_server: Arc<Server>,
    command_sockets: Vec<UdpSocket>,
    command_unix: Option<CommandSocket>,
    control: Option<control::Server>,
    resolver: Option<Resolver>,
    pub(crate) securing: Securing,
    ask_from: AskFrom,
    open_commands: chrony_cmd::OpenCommands,
    batch: ReceiveBatch,
    log: Log,
    records: Records,
    /// When the last update was made, and when the daemon began: what `local` waits for.
    pub(crate) local_gate: crate::local::LocalGate,
    pub(crate) manual: crate::settime::ManualInput,
    pub(crate) leap: leap::LeapWatch,
    pub(crate) trace: crate::trace::Trace,
    leap_due: Option<LocalTime>,
    drift_due: Duration,
    kernel_status_due: Duration,
    ends_at: Option<Duration>,
    /// It was told that nothing was selected so far.
    told_unselected: bool,
    /// The last request, and to whom.
    last_request: Option<(Duration, SourceId)>,
    /// Which clock field F323 tells of, by chance: another one after each start.
    clock_epoch: u32,
    /// The kernel's realtime minus its monotonic clock: it changes only when somebody steps.
    epoch: i64,
    /// The clock was stepped by somebody else, and not measured since.
    stepped_by_others: bool,
    stopping: Option<ExitCode>,
    /// The descriptor of `-N`, until the daemon serves.
    supervisor: Option<std::fs::File>,
    /// Of `initstepslew`, before the usual sources.
    initial: Option<Initial>,
    /// `broadcast`, and the sockets that it goes out from.
    broadcasts: Vec<broadcast::Destination>,
    broadcast_sockets: Vec<UdpSocket>,
    /// `tempcomp`.
    temperature: Option<temperature::Temperature>,
    /// `rtcfile`.
    rtc: Option<crate::rtc::Rtc>,
    /// Of `mailonchange`.
    mail: mail::MailOnChange,
    /// `-q`, and nothing forbids to set the clock.
    sets_once: bool,
    /// Whom the daemon becomes before its loop.
    user: Option<sys::user::User>,
}

/// Which descriptor is ready.
#[derive(Debug, Clone, Copy)]
enum Token {
    Server(usize),
    Peer(SourceId),
    Ahead(SourceId),
    RefClock(usize),
    RealTimeClock,
    CommandUdp(usize),
    CommandUnix,
    Resolver,
    Control,
    /// The establishment of a source's keys.
    Keys(SourceId),
    /// Clients that establish keys with us: the next of its descriptors.
    KeyServer,
    /// The process that holds the clock: it says nothing unasked, so this is its end.
    Clock,
}

impl Daemon {
    /// Everything up to the loop, in this order: log, clock, drift file, keys, sockets, sources.
    pub(crate) fn new(options: Options, mut config: Config, layout: &layout::Layout) -> Result<Self, String> {
        let in_house = layout.house_dir().is_some();
        let journal = layout.place("run/journal.socket", "/run/systemd/journal/socket");
        let to_journal = (in_house || !options.logs_to_stderr()) && options.once == Once::No;
        let mut log = Log::new(
            to_journal.then_some(journal.as_path()),
            options.logs_to_stderr(),
            options.log_file.clone(),
            options.log_level,
        )
        .map_err(|error| match &options.log_file {
            Some(path) => format!(
                "cannot open the log file {}: {error}\nhelp: its folder must be there: mkdir -p {}",
                path.display(),
                path.parent().unwrap_or(path).display()
            ),
            None => format!("cannot write to the log: {error}"),
        })?;
        log.say(&Happened::Starting);
        let may_not_set = options.leave_clock || (in_house && !options.control_clock);
        if may_not_set {
            log.say(&Happened::ClockLeft);
        }
        let sets_once = options.once == Once::Set && !may_not_set;
        let another = start::look_for_another(&options, &config, layout, !may_not_set)?;
        if sets_once {
            // Before twenty seconds of measuring, not after them.
            sys::clock::may_set().map_err(|error| {
                format!(
                    "the clock cannot be changed: {error}\nhelp: as root: chronyd -q (to measure only: chronyd -Q)"
                )
            })?;
        }
        let user = start::becomes(&options, &config, in_house, &mut log)?;
        if let Some(user) = &user {
            start::make_folders_of(user, &config);
        }
        process::take_resources(&options, &config.settings, &mut log);
        let mut real_time_clock = match options.once {
            Once::No => rtc::open(&config.settings, !may_not_set, monotonic(), &mut log),
            _ => None,
        };
        if let Some(path) = &config.drift_file {
            match records::read_drift(path) {
                Ok(Some(drift)) => {
                    let (ppm, skew_ppm) = (-drift.frequency * 1e6, drift.skew * 1e6);
                    log.say(&Happened::DriftRead { ppm, skew_ppm, path: path.clone() });
                    config.discipline.drift = Some(drift);
                }
                Ok(None) => {}
                Err(what) => log.say(&Happened::Warning { what }),
            }
        }
        let mut clock = process::take_clock(
            &options,
            &config.settings,
            user.as_ref(),
            may_not_set,
            real_time_clock.as_ref(),
            &mut log,
        )?;
        clock.begin_at_rest(&config.discipline).map_err(|error| error.to_string())?;
        if config.discipline.drift.is_none() && clock.frequency() != 0.0 {
            log.say(&Happened::DriftFound { ppm: -clock.frequency() * 1e6 });
        }
        if let Some(local) = config.local.filter(|local| local.wait_unsynced > 0.0) {
            log.say(&Happened::LocalWaits { seconds: local.wait_unsynced });
        }
        let rtc_read = options.set_from_rtc
            && process::set_from_rtc(&config.settings, real_time_clock.as_mut(), &mut clock, &mut log);
        let temperature = temperature::Temperature::new(&config.settings)?;
        let settings = TimekeeperSettings { selection: config.selection, discipline: config.discipline };
        let keeper = Timekeeper::new(settings, &mut clock).map_err(|error| error.to_string())?;
        let now = monotonic();
        let clock_is_kernel = clock.is_kernel();
        let log_folder = config.log_folder.clone().filter(|_| options.once == Once::No);
        let records = Records::new(
            log_folder,
            config.banner_lines,
            &config.records,
            config.settings.logs.raw_measurements,
        );
        let serving = answering::serving(&config.settings, &clock);
        let (securing, troubles) = Securing::new(&config.settings, &config.places, options.once);
        let mut daemon = Self {
            clock,
            keeper,
            wanted: Vec::new(),
            peers: Vec::new(),
            refclocks: Vec::new(),
            cards: crate::hardware::Cards::default(),
            server: answering::server(&config),
            command_access: answering::command_rules(&config.command_access),
            commands_received: 0,
            commands_dropped: 0,
            commands_malformed: 0,
            commands_refused: 0,
            keys: Keys::new(),
            key_file_unopened: None,
            last_number: 0,
            serving,
            server_changed: true,
            prepared_server: Arc::default(),
            command_sockets: Vec::new(),
            command_unix: None,
            control: None,
            resolver: None,
            securing,
            ask_from: AskFrom::new(&config.settings),
            open_commands: commands::open(&config.settings.open_commands),
            batch: ReceiveBatch::new(BATCH, PTP_PREFIX_BYTES_MAX + PACKET_BYTES_MAX + 4),
            log,
            records,
            local_gate: crate::local::LocalGate::new(now),
            manual: crate::settime::ManualInput::new(config.settings.manual),
            leap_due: None,
            trace: crate::trace::Trace::default(),
            leap: leap::LeapWatch::new(&config.settings, clock_is_kernel),
            drift_due: now + config.drift_interval.min(FIRST_DRIFT_AFTER),
            kernel_status_due: now,
            ends_at: options.timeout.map(|timeout| now + timeout),
            told_unselected: false,
            clock_epoch: sys::random::u64() as u32,
            last_request: None,
            epoch: epoch(),
            stepped_by_others: false,
            stopping: None,
            supervisor: None,
            initial: None,
            broadcasts: config
                .settings
                .broadcasts
                .iter()
                .map(|line| broadcast::Destination::new(line, now))
                .collect(),
            broadcast_sockets: Vec::new(),
            temperature,
            rtc: real_time_clock,
            mail: mail::MailOnChange::new(layout, now),
            sets_once,
            user,
            options,
            layout: layout.clone(),
            config,
        };
        if daemon.options.once == Once::Set && in_house && !daemon.options.control_clock {
            let what =
                "-q does not set the clock of a house\nhelp: say that it may: chronyd -q --control-clock";
            daemon.log.say(&Happened::Warning { what: what.to_owned() });
        }
        for what in std::mem::take(&mut daemon.config.warnings) {
            daemon.log.say(&Happened::Warning { what });
        }
        daemon.look_for_mail();
        for what in troubles {
            daemon.trouble(what);
        }
        daemon.begin_keys()?;
        // Before there is a file or a socket that an end would have to take away.
        daemon.catch_signals();
        // Before the sockets, which ask for the cards' stamps.
        daemon.open_cards();
        if daemon.options.once == Once::No {
            daemon.listen(layout, another)?;
            daemon.listen_for_keys()?;
        } else {
            daemon.ends_at = daemon.ends_at.or(Some(now + ONCE_PATIENCE));
        }
        daemon.open_refclocks(now)?;
        if !daemon.begin_rtc(rtc_read, now) && !daemon.begin_initial(now) {
            daemon.add_sources(now);
            daemon.load_histories();
        }
        daemon.drop_privileges(layout)?;
        daemon.check_places();
        daemon.publish(now);
        let serves = daemon.options.once == Once::No && daemon.config.port != 0;
        daemon
            .serving
            .start_threads()
            .map_err(|error| format!("cannot start the server's threads: {error}"))?;
        if let Some(folder) = daemon.config.settings.ntp_signd_socket.clone().filter(|_| serves) {
            daemon
                .serving
                .start_signing(&folder)
                .map_err(|error| format!("cannot start the thread that has replies signed: {error}"))?;
        }
        daemon.start_key_threads()?;
        daemon.filter_system_calls()?;
        Ok(daemon)
    }

    /// The loop. Ends by SIGTERM, SIGINT, `shutdown`, `-t`, or with the offset that `-q` and `-Q` wanted.
    /// `supervisor`: the descriptor of `-N`.
    pub(crate) fn run(&mut self, supervisor: Option<std::fs::File>) -> ExitCode {
        self.supervisor = supervisor;
        // With `initstepslew` whoever started it waits until the clock is set.
        if self.initial.is_none() {
            self.tell_ready();
        }
        let mut ready = Vec::new();
        sys::memory::drop_start_pages();
        while self.stopping.is_none() {
            self.signals();
            let now = monotonic();
            self.due(now);
            if self.stopping.is_some() {
                break;
            }
            self.publish(now);
            self.wait(&mut ready);
        }
        self.end()
    }

    /// From here on a signal waits for the loop, which ends in order.
    fn catch_signals(&mut self) {
        for signal in [sys::signal::TERM, sys::signal::INT, sys::signal::HUP] {
            if let Err(error) = sys::signal::catch(signal) {
                self.trouble(format!("Could not catch signal {signal}: {error}"));
            }
        }
    }

    fn signals(&mut self) {
        if sys::signal::take(sys::signal::TERM) || sys::signal::take(sys::signal::INT) {
            self.stop();
        }
        if sys::signal::take(sys::signal::HUP) {
            self.reload_by_signal();
        }
    }

    /// Ends the loop after this round.
    pub(crate) fn stop(&mut self) {
        self.stopping = Some(ExitCode::SUCCESS);
    }

    fn end(&mut self) -> ExitCode {
        let events = self.keeper.release(&mut self.clock);
        self.handle(events);
        if self.options.once == Once::No {
            self.save_drift();
            self.dump();
            self.stop_rtc();
            self.stop_securing();
            if let Some(path) = &self.config.pid_file {
                let _ = std::fs::remove_file(path);
            }
        }
        self.log.say(&Happened::Exiting);
        self.log.flush();
        self.stopping.unwrap_or(ExitCode::SUCCESS)
    }

    /// Waits until something arrives or is due, and handles what arrived.
    fn wait(&mut self, ready: &mut Vec<Readiness>) {
        let now = monotonic();
        let timeout = self.timeout(now);
        let mut wanted: Vec<(BorrowedFd<'_>, Interest)> = Vec::with_capacity(16);
        let mut tokens: Vec<Token> = Vec::with_capacity(16);
        let priority = self.serving.cards_stamp();
        for (index, socket) in self.serving.descriptors() {
            wanted.push((socket, Interest { priority, ..Interest::READ }));
            tokens.push(Token::Server(index));
        }
        for peer in &self.peers {
            if let Some(socket) = &peer.socket {
                // What the kernel says of the request's leaving comes as exceptional data.
                let readable = peer.read_from.is_none_or(|until| until <= now);
                wanted.push((socket.as_fd(), Interest { readable, writable: false, priority: true }));
                tokens.push(Token::Peer(peer.id));
            }
        }
        for peer in &self.peers {
            if let Some(ahead) = &peer.ahead {
                wanted.push((ahead.socket.as_fd(), Interest::READ));
                tokens.push(Token::Ahead(peer.id));
            }
        }
        for (index, refclock) in self.refclocks.iter().enumerate() {
            if let Some(one) = refclock.as_fd() {
                wanted.push((one, Interest::READ));
                tokens.push(Token::RefClock(index));
            }
        }
        if let Some(clock) = self.rtc.as_ref().and_then(crate::rtc::Rtc::as_fd) {
            wanted.push((clock, Interest::READ));
            tokens.push(Token::RealTimeClock);
        }
        for (index, socket) in self.command_sockets.iter().enumerate() {
            wanted.push((socket.as_fd(), Interest::READ));
            tokens.push(Token::CommandUdp(index));
        }
        if let Some(command) = &self.command_unix {
            wanted.push((command.socket.as_fd(), Interest::READ));
            tokens.push(Token::CommandUnix);
        }
        if let Some(bell) = self.resolver.as_ref().and_then(Resolver::as_fd) {
            wanted.push((bell, Interest::READ));
            tokens.push(Token::Resolver);
        }
        if let Some(control) = &self.control {
            for one in control.descriptors() {
                wanted.push(one);
                tokens.push(Token::Control);
            }
        }
        for peer in &self.peers {
            if let Some(session) = peer.nts.as_ref().and_then(|nts| nts.session.as_ref()) {
                wanted.push(session.wanted());
                tokens.push(Token::Keys(peer.id));
            }
        }
        if let Some(lifeline) = self.clock.lifeline() {
            wanted.push((lifeline, Interest::READ));
            tokens.push(Token::Clock);
        }
        let key_server = self.securing.server.as_ref().and_then(|server| server.local.as_ref());
        for one in key_server.iter().flat_map(|server| server.wanted(now)) {
            wanted.push(one);
            tokens.push(Token::KeyServer);
        }
        match sys::poll::poll(&wanted, ready, Some(timeout)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            Err(error) => {
                self.trouble(format!("poll failed: {error}"));
                self.stopping = Some(ExitCode::FAILURE);
                return;
            }
        }
        // Before the stamps of what arrived are used.
        self.look_for_jump();
        let mut control_ready = false;
        let mut key_server_ready = Vec::new();
        for (token, readiness) in tokens.into_iter().zip(ready.iter()) {
            if matches!(token, Token::KeyServer) {
                key_server_ready.push(*readiness);
            }
            if !readiness.any() {
                continue;
            }
            match token {
                Token::Server(index) => self.serving.serve(index, readiness.priority),
                Token::Peer(id) => self.receive(id, *readiness),
                Token::Ahead(id) => self.answered_ahead(id, *readiness),
                Token::RefClock(index) => self.refclock_arrived(index),
                Token::RealTimeClock => self.rtc_arrived(),
                Token::CommandUdp(index) => self.command_udp(index),
                Token::CommandUnix => self.command_unix(),
                Token::Resolver => self.resolved(),
                Token::Control => control_ready = true,
                Token::Keys(id) => self.advance_securing(id, *readiness),
                Token::KeyServer => {}
                Token::Clock => {
                    self.trouble("The process that holds the clock has ended".to_owned());
                    self.stopping = Some(ExitCode::FAILURE);
                }
            }
        }
        if !key_server_ready.is_empty() {
            self.serve_keys(&key_server_ready);
        }
        if control_ready {
            self.control();
        }
    }

    /// Until the next thing is due.
    fn timeout(&self, now: Duration) -> Duration {
        let until_slew_ends = self.keeper.deadline().map(|at| {
            let left = at.since(self.local_now()).max(0.0);
            now + Duration::try_from_secs_f64(left).unwrap_or(WAIT_MAX)
        });
        let until_leap = self.leap_due.map(|at| {
            let left = at.since(self.local_now()).max(0.0);
            now + Duration::try_from_secs_f64(left).unwrap_or(WAIT_MAX)
        });
        let deadlines = self
            .peers
            .iter()
            .filter_map(|peer| self.request_due(peer))
            .chain(self.wanted.iter().filter_map(|wanted| wanted.due))
            .chain(self.peers.iter().filter_map(|peer| peer.read_from.filter(|until| *until > now)))
            .chain(self.cards.deadline())
            .chain(self.refclocks.iter().map(crate::refclocks::RefClock::deadline))
            .chain(until_slew_ends)
            .chain(self.securing_deadline(now))
            .chain(until_leap)
            .chain(self.initial_deadline())
            .chain(self.broadcasts.iter().map(broadcast::Destination::deadline))
            .chain(self.temperature.as_ref().map(temperature::Temperature::deadline))
            .chain(self.rtc.as_ref().and_then(crate::rtc::Rtc::deadline))
            .chain(self.ends_at);
        deadlines.min().map_or(WAIT_MAX, |at| at.saturating_sub(now)).min(WAIT_MAX)
    }

    /// When a source is asked next: when its turn comes, and not right behind another one.
    fn request_due(&self, peer: &Peer) -> Option<Duration> {
        let at = peer.deadline()?;
        let Some((before, _)) = self.last_request.filter(|(_, other)| *other != peer.id) else {
            return Some(at);
        };
        // Many sources at short polls share the time that there is.
        let shortest = self.peers.iter().map(|peer| peer.client.interval()).min().unwrap_or(REQUESTS_APART);
        let share = shortest / (2 * u32::try_from(self.peers.len()).unwrap_or(u32::MAX).max(1));
        Some(at.max(before + REQUESTS_APART.min(share)))
    }

    /// A clock that somebody else stepped, or that stood still while the machine slept, is noticed before its stamps are used.
    fn look_for_jump(&mut self) {
        let epoch = epoch();
        let jump = epoch.saturating_sub(self.epoch);
        if jump.abs() < STEP_MIN_NANOS {
            return;
        }
        self.epoch = epoch;
        if self.was_leap(jump) {
            return;
        }
        if jump.abs() < JUMP_MIN_NANOS {
            self.stepped_by_others = true;
            self.tell_kernel();
            return;
        }
        self.log.say(&Happened::Jumped { seconds: jump as f64 * 1e-9 });
        let moved = self.clock.kernel_was_moved(jump);
        let events = self.keeper.clock_jumped(moved);
        self.forget_readings();
        self.handle(events);
        // Whoever stepped it, the kernel has called it unsynchronised; nobody must be told otherwise before it is measured again.
        self.tell_kernel();
        self.forget_requests();
        let now = monotonic();
        self.peers.iter_mut().for_each(|peer| peer.client.set_poll(peer.line.treatment.poll_min));
        self.ask_in_bursts(now);
        self.retry_securing(now);
    }

    /// The sources that may be asked in bursts are; the others are asked when it is their turn.
    fn ask_in_bursts(&mut self, now: Duration) {
        for peer in self.peers.iter_mut().filter(|peer| peer.line.initial_burst) {
            peer.client.burst(now, AFTER_JUMP.0, AFTER_JUMP.1);
        }
    }

    /// Requests on their way were stamped by the clock as it was.
    fn forget_requests(&mut self) {
        for peer in &mut self.peers {
            peer.client.forget_pending();
            peer.end_exchange();
        }
        self.forget_peer_packets();
    }

    /// Does what is due.
    fn due(&mut self, now: Duration) {
        if let Some(at) = self.leap_due.filter(|at| self.local_now() >= *at) {
            self.do_leap(at);
        }
        self.leap_due = self.leap_deadline();
        if self.keeper.deadline().is_some_and(|at| self.local_now() >= at) {
            let events = self.keeper.tick(&mut self.clock);
            self.handle(events);
            // After a fast slew the clock may be called synchronised again.
            self.tell_kernel();
        }
        self.refclocks_due(now);
        self.read_cards(now);
        self.initial_due(now);
        self.rtc_due(now);
        self.temperature_due(now);
        self.broadcasts_due(now);
        for what in self.serving.said() {
            self.trouble(what);
        }
        self.tell_refused_keys();
        self.resolve(now);
        self.securing_due(now);
        // One a round, the longest overdue first.
        let first = (0..self.peers.len())
            .filter_map(|index| Some((self.request_due(self.peers.get(index)?)?, index)))
            .min()
            .filter(|(at, _)| *at <= now);
        if let Some((_, index)) = first {
            self.ask(index, now);
            let peer = self.peers.get(index);
            self.last_request = peer.map(|peer| (now, peer.id));
        }
        if now >= self.drift_due {
            self.drift_due = now + self.config.drift_interval;
            self.save_drift();
        }
        if now >= self.kernel_status_due {
            self.kernel_status_due = now + KERNEL_STATUS_INTERVAL;
            self.tell_kernel();
            self.log.flush();
            self.refresh_old_names(now);
            self.look_for_leap(now);
            self.look_for_alerts(now);
            self.trace_clock(now);
        }
        if self.options.once != Once::No {
            self.finish_once(now);
        } else if self.ends_at.is_some_and(|at| now >= at) {
            self.stop();
        }
    }

    /// Tells the log and everybody who listens to it.
    pub(crate) fn say(&mut self, happened: &Happened) {
        self.log.say(happened);
    }

    /// A command was refused that would have set a clock.
    pub(crate) fn only_measures(&mut self, command: &str) {
        let in_house = self.layout.house_dir().is_some();
        let how = if in_house { "banto up --control-clock" } else { "start chronyd without -x" };
        let what = format!(
            "Refused {command}: this daemon measures the clock and does not set it\nhelp: for one that does: {how}"
        );
        self.log.say(&Happened::Warning { what });
    }

    fn trouble(&mut self, what: String) {
        self.log.say(&Happened::Trouble { what });
    }

    /// Steps the clock by what is left to correct; false when it refused.
    pub(crate) fn step_now(&mut self) -> bool {
        let events = self.keeper.step_now(&mut self.clock);
        let stepped = !events.iter().any(|event| matches!(event, Event::Failed(_)));
        self.handle(events);
        stepped
    }

    /// What the daemon's clock shows.
    pub(crate) fn local_now(&self) -> LocalTime {
        self.clock.at(sys::clock::realtime_ns())
    }
}

fn monotonic() -> Duration {
    Duration::from_nanos(u64::try_from(sys::clock::monotonic_ns()).unwrap_or(0))
}

/// Realtime minus monotonic, from the quickest of three readings: an interruption between two clocks would look like a step.
fn epoch() -> i64 {
    let reading = |_| {
        let before = sys::clock::monotonic_ns();
        let wall = sys::clock::realtime_ns();
        let after = sys::clock::monotonic_ns();
        (after - before, wall.saturating_sub(before))
    };
    (0..3).map(reading).min().map_or(0, |(_, difference)| difference)
}
