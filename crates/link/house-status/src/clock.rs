//! The clock: what the kernel says of it, and what the time daemon does about it.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrony_cmd::ask::{Asked, NoAnswer, decode, encode};
use chrony_cmd::{
    Address, LeapStatus, REPLY_LENGTH_MAX, Reply, Request, SourceMode, SourceState, Tracking, VERSION,
    VERSION_UNPADDED,
};
use layout::Layout;
use serde::Serialize;

/// The most sources that are asked for: more than anybody lists, and a bound on a daemon that says nonsense.
const SOURCES_MAX: u32 = 256;

/// The reference id of a daemon that follows nothing but its own clock (`local`): 127.127.1.1.
const REFERENCE_OWN_CLOCK: u32 = 0x7F7F_0101;

/// The clock of this host.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Clock {
    /// Whether the time daemon answered.
    pub up: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The daemon follows a source.
    pub synchronised: bool,
    /// It serves its own clock as if it were right (`local`), and follows no source: its statement of an error of zero means nothing,
    /// so no offset and no bound is told.
    pub own_clock_only: bool,
    /// What it follows: an address, or a reference id as text.
    pub reference: Option<String>,
    /// Our stratum, also where it is `local`'s; 0 when not synchronised.
    pub stratum: u16,
    /// System clock minus true time, seconds; positive: the clock is fast.
    pub offset_seconds: Option<f64>,
    /// Bound of the clock's error, seconds: offset, half the root delay and the root dispersion.
    pub error_bound_seconds: Option<f64>,
    /// Frequency error of the system clock, parts per million; positive: it runs fast.
    pub frequency_ppm: Option<f64>,
    /// The sources that have an address, as `chronyc sources` lists them.
    pub sources: Vec<Source>,
    /// The names that have no address yet, each once: `chronyc sources` lists every server that is looked for under one.
    pub unresolved: Vec<String>,
    /// What the kernel says: this is what records carry.
    pub kernel: Option<Kernel>,
}

/// The kernel's own statement (`adjtimex(2)`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Kernel {
    /// `STA_UNSYNC` is clear.
    pub synchronised: bool,
    /// `maxerror`, microseconds.
    pub max_error_usec: u64,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Source {
    /// Its address.
    pub address: String,
    /// The name by which it was configured; empty where the daemon does not tell.
    pub name: String,
    /// `server`, `peer` or `reference clock`.
    pub mode: &'static str,
    /// `selected`, `combined`, `not combined`, `falseticker`, `jittery` or `unusable`.
    pub state: &'static str,
    /// Its stratum.
    pub stratum: u16,
    /// The last eight polls, the latest in the lowest bit.
    pub reachability: u16,
    /// Our clock minus its, seconds, at the last measurement.
    pub offset_seconds: f64,
    /// The bound of that measurement's error, seconds.
    pub error_seconds: f64,
}

impl Source {
    /// What a person calls it: its name, with the address where that is another thing and is known.
    pub fn label(&self) -> String {
        match (self.name.as_str(), self.address.parse::<std::net::IpAddr>().is_ok()) {
            ("", _) => self.address.clone(),
            (name, true) if name != self.address => format!("{name} ({})", self.address),
            (name, _) => name.to_owned(),
        }
    }
}

/// Asks the kernel and the time daemon.
pub fn clock(layout: &Layout, patience: Duration) -> Clock {
    let kernel = sys::clock::state()
        .ok()
        .map(|state| Kernel { synchronised: state.synced, max_error_usec: state.max_error_usec });
    let mut clock = Clock { kernel, ..Clock::default() };
    match fill(&mut clock, layout, patience) {
        Ok(()) => clock.up = true,
        Err(error) => clock.error = Some(error.to_string()),
    }
    clock
}

fn fill(clock: &mut Clock, layout: &Layout, patience: Duration) -> io::Result<()> {
    let mut daemon = Daemon::connect(layout, patience)?;
    if let Reply::Tracking(tracking) = daemon.ask(&Request::Tracking)? {
        fill_tracking(clock, &tracking);
    }
    let count = match daemon.ask(&Request::NSources)? {
        Reply::NSources(count) => count.min(SOURCES_MAX),
        _ => 0,
    };
    for number in 0..count {
        if let Reply::SourceData(data) = daemon.ask(&Request::SourceData(number))? {
            // Older daemons and lesser rights do not tell names: that is no error.
            let name = match daemon.ask(&Request::SourceName(data.address)) {
                Ok(Reply::SourceName(name)) => name.as_str().unwrap_or_default().to_owned(),
                _ => String::new(),
            };
            if matches!(data.address, Address::Unresolved(_)) {
                let label = if name.is_empty() { data.address.to_string() } else { name };
                if !clock.unresolved.contains(&label) {
                    clock.unresolved.push(label);
                }
                continue;
            }
            clock.sources.push(Source {
                address: data.address.to_string(),
                name,
                mode: match data.mode {
                    SourceMode::Client => "server",
                    SourceMode::Peer => "peer",
                    SourceMode::ReferenceClock => "reference clock",
                    SourceMode::Other(_) => "unknown",
                },
                state: match data.state {
                    SourceState::Selected => "selected",
                    SourceState::Nonselectable => "unusable",
                    SourceState::Falseticker => "falseticker",
                    SourceState::Jittery => "jittery",
                    SourceState::Combined => "combined",
                    SourceState::NotCombined => "not combined",
                    SourceState::Other(_) => "unknown",
                },
                stratum: data.stratum,
                reachability: data.reachability,
                offset_seconds: data.original_offset.0,
                error_seconds: data.error.0,
            });
        }
    }
    // A pool of which some servers are found has an address.
    let Clock { sources, unresolved, .. } = clock;
    unresolved.retain(|name| sources.iter().all(|source| source.name != *name));
    Ok(())
}

fn fill_tracking(clock: &mut Clock, tracking: &Tracking) {
    clock.stratum = tracking.stratum;
    let in_step = tracking.leap != LeapStatus::Unsynchronised && tracking.reference_id != 0;
    clock.own_clock_only = in_step && tracking.reference_id == REFERENCE_OWN_CLOCK;
    clock.synchronised = in_step && !clock.own_clock_only;
    if !clock.synchronised {
        return;
    }
    clock.reference = Some(match tracking.address.ip() {
        Some(ip) => ip.to_string(),
        None => format!("{:08X}", tracking.reference_id),
    });
    // chronyd says what remains to be corrected: positive when the clock is slow.
    clock.offset_seconds = Some(-tracking.current_correction.0);
    clock.error_bound_seconds =
        Some(tracking.current_correction.0.abs() + tracking.root_dispersion.0 + tracking.root_delay.0 / 2.0);
    clock.frequency_ppm = Some(tracking.frequency_ppm.0);
}

/// Asks the time daemon one thing.
///
/// # Errors
///
/// No socket, no answer in time, or a status that is not success.
pub fn ask_chronyd(layout: &Layout, request: &Request, patience: Duration) -> io::Result<Reply> {
    Daemon::connect(layout, patience)?.ask(request)
}

/// The daemon's Unix socket, and our own beside it, which it answers to.
struct Daemon {
    socket: UnixDatagram,
    own: PathBuf,
    patience: Duration,
    version: u8,
}

impl Daemon {
    fn connect(layout: &Layout, patience: Duration) -> io::Result<Self> {
        let theirs = chrony_cmd::socket_path(layout);
        let own = theirs.with_file_name(format!(
            "chronyc.{}.{:02}.sock",
            std::process::id(),
            sys::random::u64() % 100
        ));
        let _ = std::fs::remove_file(&own);
        let socket = UnixDatagram::bind(&own)?;
        let daemon = Self { socket, own, patience, version: VERSION };
        // The daemon may run as another user, and the folder decides who comes near.
        std::fs::set_permissions(&daemon.own, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
        daemon.socket.connect(&theirs)?;
        Ok(daemon)
    }

    fn ask(&mut self, request: &Request) -> io::Result<Reply> {
        let end = Instant::now() + self.patience;
        let mut datagram = [0u8; REPLY_LENGTH_MAX + 1];
        for attempt in 0..2 {
            let asked = Asked {
                command: request.command(),
                sequence: sys::random::u64() as u32,
                version: self.version,
            };
            self.socket.set_write_timeout(Some(self.patience))?;
            self.socket.send(&encode(request, asked, attempt))?;
            loop {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came in time"));
                }
                self.socket.set_read_timeout(Some(left))?;
                let length = match self.socket.recv(&mut datagram) {
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    Err(error) => return Err(error),
                };
                match decode(datagram.get(..length).unwrap_or_default(), asked) {
                    Ok(answer) if answer.status.is_success() => {
                        return answer.reply.ok_or_else(|| io::Error::other("an answer of an unknown kind"));
                    }
                    Ok(answer) => return Err(io::Error::other(answer.status.text())),
                    Err(NoAnswer::NotOurs) => {}
                    Err(NoAnswer::TooShort) => break,
                    Err(NoAnswer::Older) => {
                        self.version = VERSION_UNPADDED;
                        break;
                    }
                }
            }
        }
        Err(io::Error::other("the time daemon's answers are not understood"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.own);
    }
}

#[cfg(test)]
mod tests {
    use chrony_cmd::{Float, Timespec};

    use super::*;

    /// Goal: a daemon that follows its own clock alone is not synchronised, and nothing is claimed of its error.
    #[test]
    fn an_own_clock_claims_no_bound() {
        let check = |reference_id: u32, synchronised: bool, own_clock_only: bool| {
            let zero = Float(0.0);
            let tracking = Tracking {
                reference_id,
                address: Address::Unspecified,
                stratum: 3,
                leap: LeapStatus::Normal,
                reference_time: Timespec { seconds: 0, nanoseconds: 0 },
                current_correction: zero,
                last_offset: zero,
                rms_offset: zero,
                frequency_ppm: zero,
                residual_frequency_ppm: zero,
                skew_ppm: zero,
                root_delay: zero,
                root_dispersion: zero,
                update_interval: zero,
            };
            let mut clock = Clock::default();
            fill_tracking(&mut clock, &tracking);
            assert_eq!((clock.synchronised, clock.own_clock_only), (synchronised, own_clock_only));
            assert_eq!(clock.error_bound_seconds.is_some(), synchronised);
            assert_eq!(clock.stratum, 3);
        };
        check(0x7F7F_0101, false, true);
        check(0x5050_5330, true, false);
        check(0, false, false);
    }
}
