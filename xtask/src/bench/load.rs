//! Running a load generator beside whoever waits for what it causes, and reading what it tells.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::programs;

/// How long one round may take before it counts as failed.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Pause between two looks at a file that grows.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// What a generator said, and when it began to send by its own clock.
pub struct Sent {
    /// Its standard output.
    pub said: String,
    /// When it had ended.
    pub ended: Instant,
}

/// Runs the generator in a thread while `arrived` looks, again and again, whether all has arrived (it returns true then).
/// Returns what the generator said, and when the last item had arrived.
pub fn send_and_watch(
    generator: &mut Command,
    mut arrived: impl FnMut() -> Result<bool, String>,
) -> Result<(Sent, Instant), String> {
    generator.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = generator.spawn().map_err(|error| format!("{generator:?}: {error}"))?;
    let id = child.id();
    let waiting = std::thread::spawn(move || {
        let output = child.wait_with_output();
        (output, Instant::now())
    });
    let begun = Instant::now();
    let mut watched = Ok(());
    let mut last = None;
    while last.is_none() {
        match arrived() {
            Ok(true) => last = Some(Instant::now()),
            Ok(false) if begun.elapsed() > PATIENCE => {
                watched = Err(format!("not everything has arrived after {} s", PATIENCE.as_secs()));
                break;
            }
            Ok(false) => std::thread::sleep(LOOK_AGAIN),
            Err(error) => {
                watched = Err(error);
                break;
            }
        }
        // A generator that failed sends no more: whoever waits would wait in vain.
        if last.is_none() && waiting.is_finished() && begun.elapsed() > PATIENCE / 2 {
            watched = Err("the generator has ended, and not everything has arrived".to_owned());
            break;
        }
    }
    if watched.is_err() && !waiting.is_finished() {
        programs::terminate(id);
    }
    let (output, ended) =
        waiting.join().map_err(|_| "the thread of the generator has panicked".to_owned())?;
    let Output { status, stdout, stderr } = output.map_err(|error| format!("{generator:?}: {error}"))?;
    if !status.success() {
        return Err(format!("the generator has failed: {}", String::from_utf8_lossy(&stderr).trim()));
    }
    watched?;
    let said = String::from_utf8_lossy(&stdout).into_owned();
    Ok((Sent { said, ended }, last.unwrap_or(ended)))
}

/// Seconds from the generator's first byte, which was `sending` seconds before its end, until `last`.
pub fn seconds(sent: &Sent, sending: f64, last: Instant) -> f64 {
    if last >= sent.ended {
        sending + (last - sent.ended).as_secs_f64()
    } else {
        sending - (sent.ended - last).as_secs_f64()
    }
}

/// The size of a file; zero where there is none.
pub fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Writes what the run before left in memory to the disk, so that no round pays for another's.
pub fn settle_disk() {
    let _ = Command::new("sync").status();
}
