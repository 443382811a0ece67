//! One simulation: its files, its processes, its figures.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::unprivileged;

/// How long a client may take to end after the simulation did.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// Where the programs are.
pub struct Simulator {
    /// The simulator's folder.
    pub clknetsim: PathBuf,
    /// The daemon under test.
    pub chronyd: PathBuf,
    /// For what it writes.
    pub work: PathBuf,
}

/// A network: the simulator's own lines, and the daemons' configurations in the order of the nodes. The last one is the client.
pub struct Network {
    /// Of clknetsim's configuration.
    pub lines: String,
    /// One for each node.
    pub daemons: Vec<String>,
    /// Simulated seconds.
    pub limit: u32,
    /// From when on figures count.
    pub reset: u32,
    /// In sync below this offset, s, and frequency error, s/s.
    pub in_sync: (f64, f64),
}

/// What came of it, for the client.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Root mean square of the offset, in seconds.
    pub rms: f64,
    /// The largest offset, in seconds.
    pub max: f64,
    /// The last second out of sync, plus one.
    pub sync: f64,
    /// Requests that the client sent.
    pub packets: f64,
    /// When the first reply reached the client, in seconds.
    pub first_reply: f64,
    /// The offset in each second, in seconds.
    pub offsets: Vec<f64>,
    /// The client's log.
    pub log: String,
}

impl Simulator {
    /// Runs `network`.
    pub fn run(&self, network: &Network, seed: u32) -> Result<Figures, String> {
        let _ = fs::remove_dir_all(self.work.join("one"));
        let folder = self.work.join("one");
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(folder.join("bin")).map_err(failed)?;
        std::os::unix::fs::symlink(&self.chronyd, folder.join("bin/chronyd")).map_err(failed)?;
        fs::write(folder.join("conf"), &network.lines).map_err(failed)?;
        let count = network.daemons.len();
        let mut clients: Vec<Child> = Vec::new();
        for (index, text) in network.daemons.iter().enumerate() {
            let node = index + 1;
            let conf =
                format!("pidfile pidfile.{node}\nbindcmdaddress /clknetsim/unix/chronyd.sock\n{text}\n");
            fs::write(folder.join(format!("conf.{node}")), conf).map_err(failed)?;
            let log = fs::File::create(folder.join(format!("log.{node}"))).map_err(failed)?;
            // By env(1), so that nothing but the daemon itself is in the simulation.
            let mut client = unprivileged(Path::new("env"));
            client.arg(format!("LD_PRELOAD={}", self.clknetsim.join("clknetsim.so").display()));
            client.arg(folder.join("bin/chronyd"));
            client.args(["-d", "-f", &format!("conf.{node}")]).current_dir(&folder).stdin(Stdio::null());
            client.stdout(Stdio::null()).stderr(log).env_remove("BANTO_CLOCK_READ_ONLY");
            client.env("CLKNETSIM_NODE", node.to_string()).env("CLKNETSIM_SOCKET", "sock");
            client.env("CLKNETSIM_UNIX_SUBNET", "2").env("CLKNETSIM_RANDOM_SEED", seed.to_string());
            clients.push(client.spawn().map_err(|error| format!("{}: {error}", self.chronyd.display()))?);
        }
        let mut server = std::process::Command::new(self.clknetsim.join("clknetsim"));
        server.args(["-n", "2", "-o", "offsets", "-f", "frequencies", "-p", "packets", "-s", "sock"]);
        server.args(["-r", &network.reset.to_string(), "-l", &network.limit.to_string(), "conf"]);
        server.arg(count.to_string()).current_dir(&folder).env("CLKNETSIM_RANDOM_SEED", seed.to_string());
        let output = server.stdin(Stdio::null()).output();
        clients.iter_mut().for_each(end);
        let output = output.map_err(|error| format!("clknetsim: {error}"))?;
        if !output.status.success() {
            return Err(format!("clknetsim failed: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let read = |name: &str| fs::read_to_string(folder.join(name)).map_err(failed);
        figures(network, &String::from_utf8_lossy(&output.stdout), &read)
    }
}

/// Ends a client that the simulator has not ended.
fn end(client: &mut Child) {
    let began = Instant::now();
    while began.elapsed() < END_PATIENCE {
        if matches!(client.try_wait(), Ok(Some(_))) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = client.kill();
    let _ = client.wait();
}

fn figures(
    network: &Network,
    statistics: &str,
    read: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Figures, String> {
    let client = network.daemons.len();
    let number = |name: &str| {
        let values = statistics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        values.clone().nth(client - 1).and_then(|text| text.trim().parse::<f64>().ok())
    };
    let mut one = Figures {
        rms: number("RMS offset").ok_or("clknetsim told no RMS offset")?,
        max: number("Maximum absolute offset").ok_or("clknetsim told no largest offset")?,
        log: read(&format!("log.{client}"))?,
        first_reply: f64::INFINITY,
        ..Figures::default()
    };
    let column =
        |line: &str| line.split('\t').nth(client - 1).and_then(|text| text.trim().parse::<f64>().ok());
    one.offsets = read("offsets")?.lines().filter_map(column).collect();
    let frequencies: Vec<f64> = read("frequencies")?.lines().filter_map(column).collect();
    let out = |(offset, frequency): (&f64, &f64)| {
        offset.abs() > network.in_sync.0 || frequency.abs() > network.in_sync.1
    };
    let last = one.offsets.iter().zip(&frequencies).rposition(out);
    one.sync = last.map_or(0.0, |second| second as f64 + 1.0);
    for line in read("packets")?.lines() {
        let fields: Vec<f64> = line.split('\t').filter_map(|field| field.parse().ok()).collect();
        let &[time, from, to, delay, _, port, ..] = fields.as_slice() else { continue };
        if from == client as f64 && port == 123.0 {
            one.packets += 1.0;
        }
        if to == client as f64 && delay > 0.0 {
            one.first_reply = one.first_reply.min(time + delay);
        }
    }
    Ok(one)
}

/// The middle of some values.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    let (low, high) = (all.get(all.len().saturating_sub(1) / 2), all.get(all.len() / 2));
    low.zip(high).map_or(f64::NAN, |(low, high)| (low + high) / 2.0)
}

/// Adds the lines of a client's clock and of its paths to `servers` servers.
pub fn client_lines(servers: usize, clock: (&str, f64), up: &str, down: &str) -> String {
    let client = servers + 1;
    let mut text = format!("node{client}_freq = {}\nnode{client}_offset = {}\n", clock.0, clock.1);
    for server in 1..=servers {
        let _ = writeln!(text, "node{client}_delay{server} = {up}\nnode{server}_delay{client} = {down}");
    }
    text
}
