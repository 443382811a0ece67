//! The rules of the house that a compiler does not know, from `cargo metadata` and the sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::step::cargo;

/// Crates without I/O: no socket, file, thread, clock read or random source.
const SANS_IO: [&str; 13] = [
    "record",
    "ntp-proto",
    "time-core",
    "chrony-conf",
    "chrony-cmd",
    "syslog-proto",
    "log-core",
    "rsyslog-conf",
    "smtp-proto",
    "message",
    "mail-core",
    "postfix-conf",
    "alert-core",
];

/// What a crate without I/O may not say. `std::io` alone is allowed: errors and `Write` on memory.
const IO_WORDS: [&str; 12] = [
    "std::net::Udp",
    "std::net::Tcp",
    "std::os::unix::net",
    "std::fs",
    "std::thread",
    "std::process::Command",
    "std::env::var",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "tokio::",
];

/// Crates that a crate without I/O may not depend on.
const IO_CRATES: [&str; 4] = ["sys", "control", "selflog", "tokio"];

/// The services' protocol and reader crates: what `link/` may use of them. chrony-conf is one of them for `mailonchange`, whose
/// recipient alertd takes from nowhere but the file that root writes.
const OPEN_TO_LINK: [&str; 7] =
    ["chrony-cmd", "chrony-conf", "syslog-proto", "journal-file", "journal-archive", "smtp-proto", "message"];

/// The crate that may name every daemon and command, because it dispatches to them.
const DISPATCHER: &str = "banto";

/// The longest source file, lines: past that a second idea has moved in.
const FILE_LINES_MAX: usize = 900;

struct Crate {
    name: String,
    floor: String,
    folder: PathBuf,
    /// Names of workspace crates and others that the crate itself (not its tests) needs.
    needs: Vec<String>,
}

/// Everything that is not as the house wants it, one line each.
pub fn findings(root: &Path) -> Vec<String> {
    let crates = match crates(root) {
        Ok(crates) => crates,
        Err(error) => return vec![error],
    };
    let mut found = Vec::new();
    dependencies(&crates, &mut found);
    for one in &crates {
        sources(root, one, &mut found);
    }
    found.sort();
    found
}

fn crates(root: &Path) -> Result<Vec<Crate>, String> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata cannot be started: {error}"))?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    let mut crates = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap_or_default());
        let folder = manifest.parent().map(Path::to_path_buf).unwrap_or_default();
        let inside = folder.strip_prefix(root).unwrap_or(&folder);
        let mut parts = inside.iter().map(|part| part.to_string_lossy().into_owned());
        let floor = match parts.next().as_deref() {
            Some("crates") => parts.next().unwrap_or_default(),
            _ => "xtask".to_owned(),
        };
        let needs = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
            .collect();
        let name = package["name"].as_str().unwrap_or_default().to_owned();
        crates.push(Crate { name, floor, folder, needs });
    }
    Ok(crates)
}

fn dependencies(crates: &[Crate], found: &mut Vec<String>) {
    let floors: BTreeMap<&str, &str> =
        crates.iter().map(|one| (one.name.as_str(), one.floor.as_str())).collect();
    for one in crates {
        if one.folder.file_name().is_none_or(|folder| folder != one.name.as_str()) {
            found.push(format!("{}: a crate's name is its folder's name", one.name));
        }
        for need in &one.needs {
            if SANS_IO.contains(&one.name.as_str()) && IO_CRATES.contains(&need.as_str()) {
                found.push(format!("{}: a crate without I/O may not depend on {need}", one.name));
            }
            let Some(floor) = floors.get(need.as_str()) else { continue };
            let allowed = match (one.floor.as_str(), *floor) {
                (own, other) if own == other => true,
                ("time" | "log" | "mail", other) => other == "base",
                ("link", "base") => true,
                ("link", "time" | "log" | "mail") => {
                    one.name == DISPATCHER || OPEN_TO_LINK.contains(&need.as_str())
                }
                ("test", other) => other != "xtask",
                _ => false,
            };
            if !allowed {
                found.push(format!("{} ({}/) may not depend on {need} ({floor}/)", one.name, one.floor));
            }
        }
    }
}

fn sources(root: &Path, one: &Crate, found: &mut Vec<String>) {
    let mut files = Vec::new();
    rust_files(&one.folder.join("src"), &mut files);
    for file in &files {
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        let shown = file.strip_prefix(root).unwrap_or(file).display().to_string();
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            found.push(format!("{shown}: {lines} lines; which second idea moved in?"));
        }
        let is_root = file.ends_with("src/lib.rs") || file.ends_with("src/main.rs");
        if is_root && one.name != "sys" && !text.contains("#![forbid(unsafe_code)]") {
            found.push(format!("{shown}: `#![forbid(unsafe_code)]` is missing"));
        }
        if !text.starts_with("//!") {
            found.push(format!("{shown}: the file does not open with a doc comment (`//!`)"));
        }
        if file.ends_with("src/lib.rs") && !opening(&text).contains("never") {
            found.push(format!("{shown}: the crate's doc does not say what it will never do"));
        }
        if SANS_IO.contains(&one.name.as_str()) {
            let code = text.split("#[cfg(test)]").next().unwrap_or(&text);
            for word in IO_WORDS {
                if code.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(word)) {
                    found.push(format!("{shown}: a crate without I/O says `{word}`"));
                }
            }
        }
    }
}

/// The first doc comment in lower case.
fn opening(text: &str) -> String {
    text.lines().take_while(|line| line.starts_with("//!")).collect::<Vec<_>>().join("\n").to_lowercase()
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[cfg(test)]
mod checks {
    use super::*;

    fn one(floor: &str, name: &str, needs: &[&str]) -> Crate {
        let folder = PathBuf::from(format!("/r/crates/{floor}/{name}"));
        let needs = needs.iter().map(|need| (*need).to_owned()).collect();
        Crate { name: name.to_owned(), floor: floor.to_owned(), folder, needs }
    }

    /// Goal: each forbidden arrow is found, and the allowed ones are not.
    #[test]
    fn forbidden_arrows_are_found() {
        let houses = |more: Crate| {
            let mut crates = vec![
                one("base", "sys", &[]),
                one("time", "chrony-cmd", &[]),
                one("time", "timed", &[]),
                one("log", "logd", &["sys"]),
            ];
            crates.push(more);
            let mut found = Vec::new();
            dependencies(&crates, &mut found);
            found.len()
        };
        for (crate_under_test, expected) in [
            (one("log", "x", &["timed"]), 1),
            (one("base", "x", &["chrony-cmd"]), 1),
            (one("link", "x", &["timed"]), 1),
            (one("link", "x", &["chrony-cmd", "sys"]), 0),
            (one("link", "banto", &["timed", "logd"]), 0),
            (one("time", "time-core", &["sys"]), 1),
            (one("test", "x", &["timed", "logd", "sys"]), 0),
        ] {
            assert_eq!(houses(crate_under_test), expected);
        }
    }
}
