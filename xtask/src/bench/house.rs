//! The whole house: what it costs at rest, and the way of an alert from the record's arrival to the mailbox.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::duel::Spread;
use super::first_light::{Bar, Built};
use super::load;
use super::options::Options;
use super::processes;
use super::programs::{self, Running, TempDir};

/// The alert's way must be shorter than this, milliseconds, at the median.
const ALERT_MS_BAR: f64 = 50.0;

/// The resident sets of all processes together must be smaller than this, KiB.
const RSS_KIB_BAR: u64 = 40_000_000 / 1024;

/// The house at rest must take less than this of one processor, percent.
const CPU_PERCENT_BAR: f64 = 0.5;

/// From the house's `Ready` to the beginning of its rest: its first words are written by then.
const SETTLE: Duration = Duration::from_secs(5);

/// How long the house at rest is watched.
const REST: Duration = Duration::from_secs(20);

/// How long one alert may take.
const ALERT_PATIENCE: Duration = Duration::from_secs(10);

/// Pause between two alerts: the house has forgotten the one before.
const BETWEEN_ALERTS: Duration = Duration::from_millis(150);

/// Rest, alerts, and the memory after the alerts, in one house.
pub fn run(built: &Built, options: &Options) -> Vec<Bar> {
    let alerts = if options.quick { 20 } else { 100 };
    match House::start(built) {
        Ok(house) => {
            let mut bars = house.rest();
            bars.extend(house.alerts(alerts));
            println!("\nThe house after {} alerts", 2 * alerts);
            let after = house.tell_memory();
            bars.push(memory_bar("the same after the alerts", after));
            bars
        }
        Err(error) => {
            println!("\n  NOT MEASURED: the house: {error}");
            ["RSS of the house at rest", "CPU of the house at rest", "alert mail"]
                .map(|promise| Bar { promise: promise.to_owned(), seen: Err(error.clone()) })
                .into()
        }
    }
}

struct House {
    daemon: Running,
    dir: PathBuf,
    mailbox: PathBuf,
    /// Removed after the daemon has ended: fields are dropped in order.
    _folder: TempDir,
}

impl House {
    /// A fresh house on free ports, with budgets that hold no alert back.
    fn start(built: &Built) -> Result<Self, String> {
        let folder = TempDir::new()?;
        let dir = folder.join("h");
        let call = || {
            let mut command = built.ours();
            command.arg("--dir").arg(&dir).stdin(Stdio::null());
            command
        };
        let made = call().args(["up", "--init-only"]).output().map_err(|error| error.to_string())?;
        if !made.status.success() {
            return Err(format!("banto up --init-only: {}", String::from_utf8_lossy(&made.stderr).trim()));
        }
        let ports: Vec<(&str, String)> = ["11123", "11323", "5514", "2525", "8125"]
            .into_iter()
            .map(|port| programs::free_port().map(|free| (port, free.to_string())))
            .collect::<Result<_, String>>()?;
        for name in ["chrony.conf", "rsyslog.conf", "main.cf", "banto.toml"] {
            change(&dir.join("etc").join(name), |text| {
                let text = ports.iter().fold(text, |text, (old, new)| text.replace(old, new));
                // The budgets of banto.toml, the house's and the rule's.
                text.lines()
                    .map(
                        |line| {
                            if line.starts_with("mails_per_hour") { "mails_per_hour = 100000" } else { line }
                        },
                    )
                    .collect::<Vec<_>>()
                    .join("\n")
                    + "\n"
            })?;
        }
        let said = folder.join("words");
        let error_said = File::create(&said).map_err(|error| error.to_string())?;
        let mut daemon = Running::start(call().arg("up").stdout(Stdio::piped()).stderr(error_said))?;
        let output = daemon.0.stdout.take().ok_or("no output")?;
        let (ready, is_ready) = mpsc::channel();
        std::thread::spawn(move || {
            // To the end: a pipe that nobody reads would stop the house.
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if line.starts_with("Ready after") {
                    let _ = ready.send(line);
                }
            }
        });
        match is_ready.recv_timeout(programs::PATIENCE) {
            Ok(line) => println!("\nThe house: {line}"),
            Err(_) => return Err(format!("banto up was not ready\n    {}", programs::tail(&said))),
        }
        let mailbox = dir.join("mail/root");
        Ok(Self { daemon, dir, mailbox, _folder: folder })
    }

    /// What the house takes when nothing happens.
    fn rest(&self) -> Vec<Bar> {
        std::thread::sleep(SETTLE);
        println!("\nThe house at rest, {} s after its start", SETTLE.as_secs());
        let rss = self.tell_memory();
        let pids = processes::family(self.daemon.id());
        let before: Vec<u64> = pids.iter().map(|pid| processes::scheduled_ns(&[*pid])).collect();
        let begun = Instant::now();
        std::thread::sleep(REST);
        let seconds = begun.elapsed().as_secs_f64();
        let mut percent = 0.0;
        for (pid, before) in pids.iter().zip(before) {
            let own = processes::scheduled_ns(&[*pid]).saturating_sub(before) as f64 / 1e9 / seconds * 100.0;
            let name = processes::memory(*pid).map(|memory| program(&memory.command)).unwrap_or_default();
            println!("  CPU {own:>7.3}%  {name}");
            percent += own;
        }
        println!("  CPU {percent:>7.3}%  together, of one processor over {seconds:.0} s");
        vec![
            memory_bar("RSS of the whole house at rest", rss),
            Bar::measured(
                "CPU of the whole house at rest",
                percent < CPU_PERCENT_BAR && processes::family(self.daemon.id()).len() >= pids.len(),
                format!("{percent:.3}% of one processor, the bar is {CPU_PERCENT_BAR}%"),
            ),
        ]
    }

    /// Prints the memory of each process; returns the sum of the resident sets, KiB.
    fn tell_memory(&self) -> u64 {
        let (mut rss, mut pss) = (0, 0);
        for pid in processes::family(self.daemon.id()) {
            let Some(memory) = processes::memory(pid) else { continue };
            rss += memory.rss_kib;
            pss += memory.pss_kib;
            let (own_rss, own_pss) = (memory.rss_kib, memory.pss_kib);
            println!("  RSS {own_rss:>7} KiB  PSS {own_pss:>7} KiB  {}", program(&memory.command));
        }
        println!("  RSS {rss:>7} KiB  PSS {pss:>7} KiB  together");
        rss
    }

    /// Alerts by both sockets, one after the other.
    fn alerts(&self, count: usize) -> Vec<Bar> {
        println!(
            "\nFrom a record's arrival to the alert mail in the mailbox, {count} alerts by each socket, no grouping delay"
        );
        type Send = fn(&House, &UnixDatagram, &str) -> std::io::Result<usize>;
        let ways: [(&str, Send); 2] = [
            ("dev-log", |house, socket, text| {
                let line = format!("<11>Nov 22 16:01:00 bench[1]: {text}");
                socket.send_to(line.as_bytes(), house.dir.join("run/dev-log"))
            }),
            ("journal.socket", |house, socket, text| {
                let fields = format!("MESSAGE={text}\nPRIORITY=3\nSYSLOG_IDENTIFIER=bench\n");
                socket.send_to(fields.as_bytes(), house.dir.join("run/journal.socket"))
            }),
        ];
        let mut bars = Vec::new();
        for (number, (name, send)) in ways.into_iter().enumerate() {
            let promise = format!("alert mail by {name}, median");
            let socket = match UnixDatagram::unbound() {
                Ok(socket) => socket,
                Err(error) => return vec![Bar { promise, seen: Err(error.to_string()) }],
            };
            // The first one warms up.
            let times: Result<Vec<f64>, String> = (0..=count)
                .map(|round| {
                    std::thread::sleep(BETWEEN_ALERTS);
                    self.alert(&format!("the {} fell over", word(round * 2 + number)), |text| {
                        send(self, &socket, text)
                    })
                })
                .collect();
            match times {
                Ok(times) => {
                    let mut times: Vec<f64> = times.into_iter().skip(1).collect();
                    let spread = Spread::of(times.iter().copied());
                    times.sort_by(f64::total_cmp);
                    // Nearest rank.
                    let rank = (times.len() * 99).div_ceil(100).saturating_sub(1);
                    let p99 = times.get(rank).copied().unwrap_or(0.0);
                    println!(
                        "  {name:<15} ms: min {:.1}, median {:.1}, p99 {p99:.1}, max {:.1}",
                        spread.min, spread.median, spread.max
                    );
                    bars.push(Bar::measured(
                        promise,
                        spread.median < ALERT_MS_BAR,
                        format!("{:.1} ms, the bar is {ALERT_MS_BAR} ms", spread.median),
                    ));
                }
                Err(error) => {
                    println!("  NOT MEASURED: {name}: {error}");
                    bars.push(Bar { promise, seen: Err(error) });
                }
            }
        }
        bars
    }

    /// Sends one record and waits for its text in the mailbox; milliseconds.
    fn alert(&self, text: &str, send: impl Fn(&str) -> std::io::Result<usize>) -> Result<f64, String> {
        let from = load::size(&self.mailbox);
        let begun = Instant::now();
        send(text).map_err(|error| format!("the socket did not take the record: {error}"))?;
        let mut seen = from;
        while begun.elapsed() < ALERT_PATIENCE {
            let size = load::size(&self.mailbox);
            if size > seen {
                let mut bytes = Vec::new();
                let mut file = File::open(&self.mailbox).map_err(|error| error.to_string())?;
                file.seek(SeekFrom::Start(from))
                    .and_then(|_| file.read_to_end(&mut bytes))
                    .map_err(|error| error.to_string())?;
                if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                    return Ok(begun.elapsed().as_secs_f64() * 1e3);
                }
                seen = size;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(format!("`{text}` is not in {} after {} s", self.mailbox.display(), ALERT_PATIENCE.as_secs()))
    }
}

fn memory_bar(promise: &str, rss_kib: u64) -> Bar {
    Bar::measured(
        promise,
        rss_kib > 0 && rss_kib < RSS_KIB_BAR,
        format!("{:.1} MB, the bar is 40.0 MB (of a million bytes)", rss_kib as f64 * 1024.0 / 1e6),
    )
}

/// A word of its own for each number, without digits and letters of hexadecimal numbers: the fingerprint masks those, and two
/// problems would be one.
fn word(number: usize) -> String {
    (0..6).map(|place| char::from(b'g' + ((number >> (4 * place)) & 15) as u8)).collect()
}

/// The words of a command line that tell the programs of a house apart.
fn program(command: &str) -> String {
    let words: Vec<&str> = command.split(' ').collect();
    let name = words.iter().skip(1).find(|word| !word.starts_with('-') && !word.contains('/'));
    name.map_or_else(|| command.to_owned(), |name| (*name).to_owned())
}

fn change(path: &Path, how: impl FnOnce(String) -> String) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
    file.write_all(how(text).as_bytes()).map_err(|error| format!("{}: {error}", path.display()))
}
