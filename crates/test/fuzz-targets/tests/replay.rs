//! Every target over its seed corpus, and over bytes made from it.
//!
//! Method: each seed as it is, cut at every place (up to a bound), and with bytes changed, doubled, removed and spliced by a
//! generator with a fixed seed, so that a failure is found again.

use std::path::PathBuf;

use fuzz_targets::TARGETS;

/// Inputs made from each seed, beside the cuts.
const CHANGED: usize = 400;

fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus").join(name);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut seeds: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.expect("a corpus folder is readable").path())
        .map(|path| (path.display().to_string(), std::fs::read(&path).expect("a seed is readable")))
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{name} has no seed");
    seeds
}

/// xorshift64*: enough to choose places and bytes.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }
}

fn changed(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    const TELLING: [u8; 16] =
        [0, 1, 0x7f, 0x80, 0xff, b'\n', b'\r', b' ', b'"', b'\\', b'<', b'>', b'{', b'%', b'-', b'9'];
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = TELLING[random.below(TELLING.len())],
            2 => bytes.insert(at, TELLING[random.below(TELLING.len())]),
            3 if at < bytes.len() => drop(bytes.drain(at..(at + 1 + random.below(8)).min(bytes.len()))),
            4 if bytes.len() < 8192 => bytes.extend_from_within(at..),
            _ => {
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes
}

fn replay(names: impl Fn(&str) -> bool) {
    for (name, target) in TARGETS.iter().filter(|(name, _)| names(name)) {
        let seeds = corpus(name);
        let run = |from: &str, bytes: &[u8]| {
            if std::panic::catch_unwind(|| target(bytes)).is_err() {
                panic!(
                    "target {name} failed on an input of {} bytes made from {from}: {bytes:?}",
                    bytes.len()
                );
            }
        };
        run("nothing", b"");
        for (index, (path, seed)) in seeds.iter().enumerate() {
            run(path, seed);
            for cut in 0..seed.len().min(300) {
                run(path, &seed[..cut]);
            }
            let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (index as u64 + 1));
            for _ in 0..CHANGED {
                let other = &seeds[random.below(seeds.len())].1;
                run(path, &changed(seed, other, &mut random));
            }
        }
    }
}

/// Goal: no bytes of a time peer break a promise.
#[test]
fn time_parsers_keep_their_promises() {
    replay(|name| name.starts_with("ntp") || name.starts_with("chronyc"));
}

/// Goal: no bytes of a log peer or journal file break a promise.
#[test]
fn log_parsers_keep_their_promises() {
    replay(|name| ["syslog", "journal", "queue"].iter().any(|group| name.starts_with(group)));
}

/// Goal: no bytes of a mail peer or user break a promise.
#[test]
fn mail_parsers_keep_their_promises() {
    replay(|name| {
        ["smtp_server", "smtp_client", "aliases", "forward", "address", "message", "mbox"].contains(&name)
    });
}

/// Goal: no configuration text breaks a promise.
#[test]
fn configuration_parsers_keep_their_promises() {
    replay(|name| name.starts_with("conf_"));
}

/// Goal: every target is run by exactly one of the tests above, and has a libFuzzer binary.
#[test]
fn every_target_is_wired() {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).expect("fuzz/Cargo.toml is readable");
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} has no [[bin]] in fuzz/Cargo.toml");
        let groups = ["ntp", "chronyc", "syslog", "journal", "queue", "smtp_", "conf_"];
        let known = ["aliases", "forward", "address", "message", "mbox"];
        assert!(
            groups.iter().any(|group| name.starts_with(group)) || known.contains(name),
            "{name} is in no test"
        );
    }
}
