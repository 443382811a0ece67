//! A dump of a journal file as text: ours as journalctl, and journalctl.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::duel::{Duel, Round};
use super::first_light::{Bar, Built};
use super::options::Options;
use super::processes;
use super::programs::{self, TempDir};

/// Both read one file that our writer wrote, from the page cache.
pub fn run(built: &Built, options: &Options) -> Vec<Bar> {
    let entries = if options.quick { 100_000 } else { 300_000 };
    let promise = "journal dump -o short against journalctl".to_owned();
    let written = TempDir::new().and_then(|folder| {
        let journal = folder.join("load.journal");
        write_journal(built, entries, &journal).map(|()| (folder, journal))
    });
    let (folder, journal) = match written {
        Ok(written) => written,
        Err(error) => {
            println!("\n  NOT MEASURED: journal: {error}");
            return vec![Bar { promise, seen: Err(error) }];
        }
    };
    let stock = programs::stock("journalctl");
    let duel = Duel {
        title: format!(
            "journal dump -o short: {entries} entries of 21 fields in one file of {} MB",
            super::load::size(&journal) / 1_000_000
        ),
        promise,
        stock_name: "journalctl",
        items: entries,
        unit: "entries",
        rounds: options.rounds(),
    };
    let ours = || {
        let mut command = built.ours();
        command.arg("journalctl");
        with_words(command, &journal)
    };
    let theirs = || {
        let program = stock.as_ref().map_err(String::clone)?;
        Ok::<Command, String>(with_words(Command::new(program), &journal))
    };
    let mut bars = duel.run(|| dump(ours(), Stdio::null()), || dump(theirs()?, Stdio::null()));
    if let Ok(theirs) = theirs() {
        bars.push(same_text(&folder, ours(), theirs));
    }
    bars
}

fn write_journal(built: &Built, entries: usize, path: &Path) -> Result<(), String> {
    let mut generator = Command::new(&built.loadgen);
    generator.args(["journal", "--entries", &entries.to_string(), "--out"]).arg(path);
    match generator.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("loadgen journal: {status}")),
        Err(error) => Err(format!("loadgen journal: {error}")),
    }
}

fn with_words(mut command: Command, journal: &Path) -> Command {
    command
        .arg("--file")
        .arg(journal)
        .args(["-o", "short", "--no-pager", "-q"])
        .env("TZ", "UTC")
        .env("LC_ALL", "C");
    command
}

/// One dump, timed from the start of the process to its end.
fn dump(mut command: Command, to: Stdio) -> Result<Round, String> {
    let cpu = processes::waited_cpu_seconds();
    let begun = Instant::now();
    let status =
        command.stdin(Stdio::null()).stdout(to).status().map_err(|error| format!("{command:?}: {error}"))?;
    let seconds = begun.elapsed().as_secs_f64();
    if !status.success() {
        return Err(format!("{command:?}: {status}"));
    }
    Ok(Round { seconds, cpu: processes::waited_cpu_seconds() - cpu, accepted: None })
}

/// Whether both write the same text.
fn same_text(folder: &TempDir, ours: Command, theirs: Command) -> Bar {
    let promise = "the two dumps of the journal are equal";
    let text = |name: &str, command: Command| -> Result<Vec<u8>, String> {
        let path = folder.join(name);
        let file = File::create(&path).map_err(|error| error.to_string())?;
        dump(command, Stdio::from(file))?;
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .map_err(|error| error.to_string())?;
        Ok(bytes)
    };
    match text("ours", ours).and_then(|ours| Ok((text("stock", theirs)?, ours))) {
        Ok((theirs, ours)) => {
            let seen = format!("{} bytes and {} bytes", ours.len(), theirs.len());
            Bar::measured(promise, ours == theirs && !ours.is_empty(), seen)
        }
        Err(error) => Bar { promise: promise.to_owned(), seen: Err(error) },
    }
}
