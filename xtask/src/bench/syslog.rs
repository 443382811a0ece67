//! Syslog by TCP into one file: ours as rsyslogd, and rsyslogd.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Command;

use super::duel::{Duel, Round};
use super::first_light::{Bar, Built};
use super::load;
use super::options::Options;
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
            bars.push(same_lines(&load, folder, program));
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

/// Whether the stock program writes the same lines for the same input: what is compared does the same work. rsyslogd's main queue has
/// two workers, which change the order of lines; it is told how often.
fn same_lines(load: &Load, ours: &TempDir, program: &Path) -> Bar {
    let promise = "the two files of TCP syslog, one connection, have the same lines";
    let compared = load.round(Command::new(program)).and_then(|(_, stock)| {
        Ok((Lines::read(&ours.join("all.log"))?, Lines::read(&stock.join("all.log"))?))
    });
    match compared {
        Ok((ours, stock)) => {
            println!("  lines out of the order sent: ours {}, rsyslogd {}", ours.breaks, stock.breaks);
            let seen = format!("{} lines and {} lines", ours.hashes.len(), stock.hashes.len());
            Bar::measured(promise, ours.hashes == stock.hashes, seen)
        }
        Err(error) => Bar { promise: promise.to_owned(), seen: Err(error) },
    }
}

/// The lines of the load in a file; the daemon's own words about its start are left out.
struct Lines {
    /// A hash of each line, sorted.
    hashes: Vec<u64>,
    /// Lines whose number neither follows the one before nor begins again.
    breaks: usize,
}

impl Lines {
    fn read(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let (mut hashes, mut breaks, mut expected) = (Vec::new(), 0, 0);
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(|error| error.to_string())?;
            if !line.starts_with(LOAD_BEGINS) {
                continue;
            }
            let number = String::from_utf8_lossy(&line)
                .split_once(": message ")
                .and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok())
                .ok_or("a line of the load has no number")?;
            breaks += usize::from(number != expected && number != 0);
            expected = number + 1;
            let mut hasher = DefaultHasher::new();
            line.hash(&mut hasher);
            hashes.push(hasher.finish());
        }
        hashes.sort_unstable();
        Ok(Self { hashes, breaks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: another order is the same lines and is counted; another line is not the same.
    #[test]
    fn lines_are_compared() {
        let folder = TempDir::new().expect("a folder");
        let line = |number: u64| format!("Nov 22 16:01:00 h p[1]: message {number:08} of\n");
        let lines = |numbers: &[u64]| {
            let text: String = numbers.iter().map(|number| line(*number)).collect();
            Lines::read(&folder.write("f", &("Nov 23 its own words\n".to_owned() + &text)).expect("written"))
                .expect("readable")
        };
        let (sent, mixed, other) =
            (lines(&[0, 1, 2, 0, 1]), lines(&[0, 2, 1, 0, 1]), lines(&[0, 1, 2, 3, 1]));
        assert_eq!((sent.breaks, mixed.breaks), (0, 2));
        assert_eq!(sent.hashes, mixed.hashes);
        assert_ne!(sent.hashes, other.hashes);
    }
}
