//! The server against chronyd: replies per second of processor and of the clock, and the memory that strangers cost.
//!
//! Both run in a network namespace of their own on loopback, under the same generator, in turns: many short rounds, ours and then
//! chronyd, and of each pair the ratio. The machine's speed drifts by more than what is measured; within a pair it does not have the
//! time. The stock daemon has no right to set the clock, ours is told not to.
//!
//! Beside plain load stands the floor: what a program that only turns datagrams round spends on them (`loadgen mirror`). Its ratio to
//! chronyd is what no server with these system calls can pass.
//!
//! The generator shares the machine's processors with the server. Where two threads are to have two processors, requests come in trains:
//! each client asks [`TRAIN`] times in a row, which the generator hands to its kernel as one datagram to be cut into pieces
//! (`UDP_SEGMENT`). They are cut before the server's socket, so either server finds single datagrams, and the generator takes less than half of
//! what it would take otherwise. The same load without trains is shown beside it; no bar rests on that one, since the generator
//! decides it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::duel::Spread;
use super::first_light::{Bar, Built};
use super::options::Options;
use super::processes;
use super::programs::{self, Running, TempDir};

/// The port of both servers, in namespaces of their own.
const PORT: u16 = 11123;
/// And the one of NTS-KE.
const KE_PORT: u16 = 11460;
/// Requests in a row from one client, where two threads are measured.
const TRAIN: u32 = 16;
/// Requests on their way, for each socket of the server (chronyd has one): as many as the least of the buffers holds.
const WINDOW: u32 = 192;
/// The same where two threads are measured: what either side does best with, though chronyd loses some at first.
const WINDOW_TWO_THREADS: u32 = 256;
/// The key of keyed load: what `chrony.keys` says, and the same for the generator.
const KEY_LINE: &str = "1 SHA1 ASCII:a-secret-of-twenty-b";
const KEY_WORD: &str = "1:SHA1:a-secret-of-twenty-b";
/// Replies per second of processor with one thread, ours by chronyd's.
const CPU_RATIO_MIN: f64 = 1.3;
/// Replies per second with two threads, ours by chronyd's.
const TWO_THREADS_RATIO_MIN: f64 = 1.8;
/// Strange addresses that ask once.
const STRANGERS: &str = "1000000";
/// What the resident set may grow by under them, KiB: `clientloglimit` (512 KiB) and as much again for buffers first touched.
const GROWTH_MAX_KIB: u64 = 1024;

/// What can be measured alone: the kinds of load, and the memory that strangers cost.
pub const PARTS: &[&str] = &["plain", "interleaved", "keyed", "nts", "memory"];

/// One kind of load.
#[derive(Clone, Copy)]
struct Load {
    kind: &'static str,
    clients: u32,
    client_log: bool,
    threads: u32,
    /// Requests in a row from one client.
    train: u32,
}

impl Load {
    const fn in_trains(self) -> Self {
        Self { train: TRAIN, ..self }
    }
}

const fn load(kind: &'static str, clients: u32, client_log: bool, threads: u32) -> Load {
    Load { kind, clients, client_log, threads, train: 1 }
}

const LOADS: [Load; 14] = [
    load("plain", 1, true, 1),
    load("plain", 16_000, true, 1),
    load("plain", 1, false, 1),
    load("plain", 16_000, false, 1),
    load("interleaved", 1, true, 1),
    load("interleaved", 16_000, true, 1),
    load("keyed", 1, true, 1),
    load("keyed", 16_000, true, 1),
    load("nts", 1, true, 1),
    load("nts", 16_000, true, 1),
    load("plain", 1, true, 2).in_trains(),
    load("plain", 16_000, true, 2).in_trains(),
    load("plain", 1, true, 2),
    load("plain", 16_000, true, 2),
];

/// One round of one side.
#[derive(Debug, Clone, Copy)]
struct Round {
    per_cpu_second: f64,
    per_second: f64,
}

/// Builds, measures and tells; true when every bar is held.
pub fn run(built: &Built, options: &Options) -> Vec<Bar> {
    let mut bars = Vec::new();
    println!(
        "\nReplies, median of the rounds; `per CPU s` counts the server's own processor time (user and system), its ratio is the least, the\nmedian and the greatest of the pairs; floor: the ratio of a program that only turns datagrams round\n"
    );
    println!(
        "  {:<12} {:>7} {:>4} {:>7} {:>5} {:>22} {:>18} {:>22} {:>6}  floor",
        "load",
        "clients",
        "log",
        "threads",
        "train",
        "per CPU s ours/chronyd",
        "ratio",
        "per s ours/chronyd",
        "ratio"
    );
    let certificates = Certificates::new();
    for one in LOADS {
        if options.wants(one.kind) {
            bars.extend(duel(built, options, one, &certificates));
        }
    }
    if options.wants("memory") {
        bars.push(memory(built, &certificates));
    }
    bars
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    Stock,
    /// `loadgen mirror`.
    Floor,
}

fn duel(
    built: &Built,
    options: &Options,
    load: Load,
    certificates: &Result<Certificates, String>,
) -> Option<Bar> {
    let logging = if load.client_log { "with" } else { "without" };
    let promise = format!(
        "{} load from {} address(es), {logging} client log, {} thread(s), against chronyd",
        load.kind, load.clients, load.threads
    );
    // In interleaved mode the first replies of each client are not yet what is measured.
    let (rounds, seconds) = match (options.quick, load.kind) {
        (true, "interleaved") => (3, "1"),
        (false, "interleaved") => (7, "1"),
        (true, _) => (3, "0.3"),
        (false, _) => (15, "0.5"),
    };
    let floor = (load.kind == "plain" && load.threads == 1).then_some(Side::Floor);
    let sides: Vec<Side> = [Side::Ours, Side::Stock].into_iter().chain(floor).collect();
    let measure = || -> Result<Vec<Vec<Round>>, String> {
        let servers = sides
            .iter()
            .map(|side| Server::start(built, load, *side, certificates))
            .collect::<Result<Vec<_>, _>>()?;
        let mut all = vec![Vec::new(); sides.len()];
        // The first of each touches what later ones find warm.
        for number in 0..=rounds {
            for (server, rounds) in servers.iter().zip(&mut all) {
                let round = server.round(load, seconds, certificates)?;
                if number > 0 {
                    rounds.push(round);
                }
            }
        }
        Ok(all)
    };
    let all = match measure() {
        Ok(all) => all,
        Err(error) => return Some(Bar { promise, seen: Err(error) }),
    };
    let of = |side: usize, what: fn(&Round) -> f64| all[side].iter().map(what).collect::<Vec<f64>>();
    let per_cpu = |side| of(side, |round| round.per_cpu_second);
    let rate = |side| of(side, |round| round.per_second);
    // Pair by pair.
    let ratio = |ours: Vec<f64>, stock: Vec<f64>| Spread::of(ours.iter().zip(&stock).map(|(a, b)| a / b));
    let (cpu_ratio, rate_ratio) = (ratio(per_cpu(0), per_cpu(1)), ratio(rate(0), rate(1)));
    let median = |figures: Vec<f64>| Spread::of(figures).median;
    println!(
        "  {:<12} {:>7} {:>4} {:>7} {:>5} {:>22} {:>18} {:>22} {:>6.2}  {}",
        load.kind,
        load.clients,
        if load.client_log { "yes" } else { "no" },
        load.threads,
        load.train,
        format!("{:.0}/{:.0}", median(per_cpu(0)), median(per_cpu(1))),
        cpu_ratio.text(2),
        format!("{:.0}/{:.0}", median(rate(0)), median(rate(1))),
        rate_ratio.median,
        floor.map_or_else(String::new, |_| format!("{:.2}", ratio(per_cpu(2), per_cpu(1)).median)),
    );
    if load.threads == 1 {
        let seen =
            format!("{:.2} of its replies per CPU second, the bar is {CPU_RATIO_MIN}", cpu_ratio.median);
        Some(Bar::measured(promise, cpu_ratio.median >= CPU_RATIO_MIN, seen))
    } else if load.train == 1 {
        None
    } else {
        let seen =
            format!("{:.2} of its replies per second, the bar is {TWO_THREADS_RATIO_MIN}", rate_ratio.median);
        Some(Bar::measured(promise, rate_ratio.median >= TWO_THREADS_RATIO_MIN, seen))
    }
}

/// An authority and the certificate of a key server on this host.
struct Certificates(TempDir);

impl Certificates {
    fn new() -> Result<Self, String> {
        let folder = TempDir::new()?;
        let openssl = |words: &str| {
            let mut command = Command::new("openssl");
            command.args(words.split(' ')).current_dir(folder.path()).stdin(Stdio::null());
            let output = command.output().map_err(|error| format!("openssl: {error}"))?;
            let said = || String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() { Ok(()) } else { Err(format!("openssl {words}: {}", said())) }
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        folder.write("extensions", "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")?;
        openssl(&format!("req -x509 {key} -keyout ca.key -out ca -days 30 -subj /CN=Benchmark"))?;
        openssl(&format!("req {key} -keyout key -out request -subj /CN=server"))?;
        openssl(
            "x509 -req -in request -CA ca -CAkey ca.key -CAcreateserial -out certificate -days 30 -extfile extensions",
        )?;
        Ok(Self(folder))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

/// A server in a namespace of its own.
struct Server {
    side: Side,
    running: Running,
    _folder: TempDir,
    words: PathBuf,
    loadgen: PathBuf,
}

impl Server {
    fn start(
        built: &Built,
        load: Load,
        side: Side,
        certificates: &Result<Certificates, String>,
    ) -> Result<Self, String> {
        let folder = TempDir::new()?;
        folder.write("keys", &format!("{KEY_LINE}\n"))?;
        let mut lines = format!(
            "port {PORT}\ncmdport 0\nlocal stratum 1\nallow\npidfile {0}/pid\nkeyfile {0}/keys\nbindcmdaddress {0}/sock\n",
            folder.path().display()
        );
        if load.kind == "interleaved" && load.clients > 1 {
            // Room for all clients: by default both hold the state of 4096.
            lines.push_str("clientloglimit 16777216\n");
        }
        if load.kind == "nts" {
            let certificates = certificates.as_ref().map_err(String::clone)?;
            lines.push_str(&format!(
                "ntsport {KE_PORT}\nntsservercert {}\nntsserverkey {}\n",
                certificates.path("certificate"),
                certificates.path("key")
            ));
        }
        if !load.client_log {
            lines.push_str("noclientlog\n");
        }
        if side == Side::Ours && load.threads > 1 {
            lines.push_str(&format!("serverthreads {}\n", load.threads));
        }
        let conf = folder.write("chrony.conf", &lines)?;
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]);
        let daemon = ["-x", "-d", "-u", "root", "-f"];
        match side {
            Side::Ours => {
                command.arg(&built.banto).arg("chronyd").env("BANTO_CLOCK_READ_ONLY", "1");
                command.args(daemon).arg(conf);
            }
            Side::Stock => {
                command.args(["setpriv", "--bounding-set=-sys_time", "--inh-caps=-sys_time"]);
                command.arg(programs::stock("chronyd")?).args(daemon).arg(conf);
            }
            Side::Floor => {
                command.arg(&built.loadgen).args(["mirror", "--listen", &format!("127.0.0.1:{PORT}")]);
            }
        }
        command.env("LC_ALL", "C");
        let (running, words) = Running::daemon(&mut command, &folder)?;
        let server = Self { side, running, _folder: folder, words, loadgen: built.loadgen.clone() };
        // It serves when it answers.
        let answers = programs::eventually(|| {
            server.generate(&["--seconds", "0.01"]).is_ok_and(|said| field(&said, "valid=") > 0.0)
        });
        if answers {
            Ok(server)
        } else {
            Err(format!("it does not answer\n    {}", programs::tail(&server.words)))
        }
    }

    /// One round of load.
    fn round(
        &self,
        load: Load,
        seconds: &str,
        certificates: &Result<Certificates, String>,
    ) -> Result<Round, String> {
        let clients = load.clients.to_string();
        // Several sockets, so that the kernel has something to spread over threads.
        let sockets = if load.threads > 1 { "16" } else { "1" };
        let train = load.train.to_string();
        let window = match (load.threads, self.side) {
            (1, _) => WINDOW,
            (threads, Side::Ours) => WINDOW_TWO_THREADS * threads,
            _ => WINDOW_TWO_THREADS,
        }
        .to_string();
        let mut words =
            vec!["--clients", &clients, "--kind", load.kind, "--seconds", seconds, "--sockets", sockets];
        words.extend(["--train", &train, "--window", &window]);
        let ke = format!("127.0.0.1:{KE_PORT}");
        let ca = certificates.as_ref().map(|certificates| certificates.path("ca")).unwrap_or_default();
        if load.kind == "nts" {
            words.extend(["--ke", &ke, "--ca", &ca]);
        }
        if load.kind == "keyed" {
            words.extend(["--key", KEY_WORD]);
        }
        // From the scheduler, since a round is too short for ticks. A key server may be a process of its own.
        let cpu_ns = || processes::scheduled_ns(&processes::family(self.running.id()));
        let before = cpu_ns();
        let said = self.generate(&words)?;
        let cpu = cpu_ns().saturating_sub(before) as f64 / 1e9;
        let valid = field(&said, "valid=");
        if field(&said, "longer=") > 0.0 {
            return Err(format!("a reply was longer than its request: {}", said.trim()));
        }
        // One that comes after it was given up for lost counts as invalid too.
        if field(&said, "invalid=") > valid / 1000.0 && load.kind != "interleaved" {
            return Err(format!("a reply was not as it must be: {}", said.trim()));
        }
        if valid < 0.95 * field(&said, "sent=") {
            return Err(format!("too few valid replies: {}", said.trim()));
        }
        // The first reply of each client is in basic mode.
        if load.kind == "interleaved"
            && field(&said, "interleaved=") < 0.5 * (valid - f64::from(load.clients))
        {
            return Err(format!("too few replies in interleaved mode: {}", said.trim()));
        }
        Ok(Round { per_cpu_second: valid / cpu, per_second: field(&said, "rate=") })
    }

    /// Runs the generator beside it.
    fn generate(&self, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.running.id().to_string()]);
        command.arg(&self.loadgen).args(["ntp", "--to", &format!("127.0.0.1:{PORT}")]);
        let output = command
            .args(words)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{command:?}: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn field(said: &str, name: &str) -> f64 {
    let found = said.split_whitespace().find_map(|word| word.strip_prefix(name));
    found.and_then(|text| text.parse().ok()).unwrap_or(0.0)
}

/// A million addresses ask once each.
fn memory(built: &Built, certificates: &Result<Certificates, String>) -> Bar {
    let promise = "memory stays flat under a million addresses".to_owned();
    let seen = (|| {
        let mut told = Vec::new();
        for side in [Side::Ours, Side::Stock] {
            let server = Server::start(built, load("plain", 1, true, 1), side, certificates)?;
            let rss = || processes::memory(server.running.id()).map_or(0, |memory| memory.rss_kib);
            // What any load touches is not what strangers cost.
            server.generate(&["--seconds", "0.2"])?;
            let before = rss();
            let said = server.generate(&["--clients", STRANGERS, "--flood"])?;
            told.push((before, rss(), field(&said, "valid=")));
        }
        Ok((told[0], told[1]))
    })();
    match seen {
        Err(error) => Bar { promise, seen: Err(error) },
        Ok((ours, stock)) => {
            let text = format!(
                "{} KiB before, {} after ({} replies); chronyd {} and {} ({} replies); the bar is {GROWTH_MAX_KIB} KiB of growth",
                ours.0, ours.1, ours.2, stock.0, stock.1, stock.2
            );
            Bar::measured(promise, ours.1.saturating_sub(ours.0) <= GROWTH_MAX_KIB && ours.2 > 0.0, text)
        }
    }
}
