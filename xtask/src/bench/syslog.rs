//! Syslog by TCP into one file: ours as rsyslogd, and rsyslogd.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Command;

use super::duel::{Duel, Round};
use super::first_light::{Bar, Built, Options};
use super::load;
use super::processes;
use super::programs::{self, Running, TempDir};

/// Bytes of one message without its frame.
const MESSAGE_BYTES: usize = 200;

/// `<134>` is not written to the file, and a line feed is.
const LINE_BYTES: usize = MESSAGE_BYTES - "<134>".len() + 1;

/// How each line of the load begins in the file.
const LOAD_BEGINS: &[u8] = b"Nov 22 16:01:";

struct Load<'a> {
    built: &'a Built,
    connections: usize,
    messages: usize,
}

/// One connection, and eight.
pub fn run(built: &Built, options: &Options) -> Vec<Bar> {
    let messages = if options.quick { 400_000 } else { 1_000_000 };
    let mut bars = Vec::new();
    for connections in [1, 8] {
        let duel = Duel {
            title: format!(
                "TCP syslog to one file: {messages} messages of {MESSAGE_BYTES} bytes, {connections} connection(s), LF framing; neither syncs"
            ),
            promise: format!("TCP syslog to one file, {connections} connection(s), against rsyslogd"),
            stock_name: "rsyslogd",
            items: messages,
            unit: "messages",
            rounds: options.rounds(),
        };
        let load = Load { built, connections, messages };
        let stock = programs::stock("rsyslogd");
        let mut kept = None;
        bars.extend(duel.run(
            || {
                let mut command = built.ours();
                command.arg("rsyslogd");
                let (round, folder) = load.round(command)?;
                kept = Some(folder);
                Ok(round)
            },
            || {
                let program = stock.as_ref().map_err(String::clone)?;
                load.round(Command::new(program)).map(|(round, _)| round)
            },
        ));
        if let (1, Some(folder), Ok(program)) = (connections, kept.as_ref(), stock.as_ref()) {
            bars.push(same_files(&load, folder, program));
        }
    }
    bars
}

impl Load<'_> {
    /// Starts the daemon, sends all, waits until the file is complete, and ends the daemon. The folder has the file.
    fn round(&self, mut daemon: Command) -> Result<(Round, TempDir), String> {
        let folder = TempDir::new()?;
        let port = programs::free_port()?;
        let out = folder.join("all.log");
        // The same file for both: `-` and no sync, the traditional format.
        let conf = folder.write(
            "rsyslog.conf",
            &format!(
                "global(workDirectory=\"{}\")\nmodule(load=\"imtcp\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")\n\
                 $ActionFileDefaultTemplate RSYSLOG_TraditionalFileFormat\n*.* -{}\n",
                folder.path().display(),
                out.display()
            ),
        )?;
        daemon.arg("-n").arg("-f").arg(&conf).arg("-i").arg(folder.join("pid"));
        load::settle_disk();
        let (mut daemon, words) = Running::daemon(&mut daemon, &folder)?;
        daemon.wait_for_port(port).map_err(|error| format!("{error}\n    {}", programs::tail(&words)))?;
        // A daemon may have written words of its own already: what it logs about its start is not our load.
        let before = load::size(&out);
        let complete = before + (self.messages * LINE_BYTES) as u64;
        let cpu = processes::cpu_seconds(daemon.id());
        let mut generator = Command::new(&self.built.loadgen);
        generator.args(["syslog-tcp", "--to", &format!("127.0.0.1:{port}")]);
        generator.args([
            "--connections",
            &self.connections.to_string(),
            "--messages",
            &self.messages.to_string(),
        ]);
        generator.args(["--size", &MESSAGE_BYTES.to_string()]);
        let (sent, last) = load::send_and_watch(&mut generator, || Ok(load::size(&out) >= complete))
            .map_err(|error| format!("{error}; the file has {} of {complete} bytes", load::size(&out)))?;
        let cpu = processes::cpu_seconds(daemon.id()) - cpu;
        let sending = field(&sent.said, "seconds=")
            .ok_or_else(|| format!("the generator said `{}`", sent.said.trim()))?;
        daemon.end();
        let lines = loaded_lines(&out)?;
        if lines != self.messages {
            return Err(format!("{lines} of {} messages are in the file", self.messages));
        }
        Ok((Round { seconds: load::seconds(&sent, sending, last), cpu, accepted: None }, folder))
    }
}

fn field(said: &str, name: &str) -> Option<f64> {
    said.split_whitespace().find_map(|word| word.strip_prefix(name))?.parse().ok()
}

/// Lines of the load in the file.
fn loaded_lines(path: &Path) -> Result<usize, String> {
    let mut file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut block = vec![0; 1 << 20];
    let mut line: Vec<u8> = Vec::new();
    let mut count = 0;
    loop {
        let read = file.read(&mut block).map_err(|error| error.to_string())?;
        if read == 0 {
            return Ok(count);
        }
        for part in block.get(..read).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                count += usize::from(line.len() == LINE_BYTES && line.starts_with(LOAD_BEGINS));
                line.clear();
            }
        }
    }
}

/// Whether the stock program writes the same bytes for the same input: what is compared does the same work.
fn same_files(load: &Load, ours: &TempDir, program: &Path) -> Bar {
    let promise = "the two files of TCP syslog, one connection, are equal";
    let compared = load.round(Command::new(program)).and_then(|(_, stock)| {
        let open = |folder: &TempDir| {
            File::open(folder.join("all.log")).map(BufReader::new).map_err(|error| error.to_string())
        };
        equal(open(ours)?, open(&stock)?)
    });
    match compared {
        Ok(equal) => {
            Bar::measured(promise, equal, if equal { "byte for byte" } else { "they differ" }.to_owned())
        }
        Err(error) => Bar { promise: promise.to_owned(), seen: Err(error) },
    }
}

/// Compares the lines of the load; the daemons' own words about their start are left out.
fn equal(ours: impl BufRead, stock: impl BufRead) -> Result<bool, String> {
    let (mut ours, mut stock) = (loaded(ours), loaded(stock));
    loop {
        match (ours.next().transpose()?, stock.next().transpose()?) {
            (None, None) => return Ok(true),
            (one, other) if one != other => return Ok(false),
            _ => {}
        }
    }
}

fn loaded(lines: impl BufRead) -> impl Iterator<Item = Result<Vec<u8>, String>> {
    lines
        .split(b'\n')
        .map(|line| line.map_err(|error| error.to_string()))
        .filter(|line| line.as_ref().map_or(true, |line| line.starts_with(LOAD_BEGINS)))
}
