//! Where texts come from: files, or memory in tests.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The largest configuration file that is read, bytes: a mistyped include of a device or a log must not fill the memory.
pub const SOURCE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Reads configuration files for a parser.
pub trait Loader {
    /// The text of a file. Bytes that are not UTF-8 are replaced.
    fn read(&mut self, path: &Path) -> io::Result<String>;

    /// The files that match a pattern, sorted by name. Only the last component may hold `*`, `?` or `[...]` (that is what
    /// `$IncludeConfig`, `include` and `confdir` need); names that begin with a dot match only a dot. A pattern without
    /// such characters gives itself if it exists. A missing folder gives nothing.
    fn glob(&mut self, pattern: &Path) -> io::Result<Vec<PathBuf>>;
}

/// The file system.
#[derive(Debug, Default, Clone, Copy)]
pub struct FileLoader;

impl Loader for FileLoader {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        use std::io::Read;
        use std::os::unix::fs::FileTypeExt;
        // A pipe that nobody writes would hold a daemon that reloads for ever. A shell's <(...) is asked for by its /dev name.
        let handed = path.starts_with("/dev") || path.starts_with("/proc");
        if !handed && std::fs::metadata(path)?.file_type().is_fifo() {
            return Err(io::Error::other("it is a pipe, not a file"));
        }
        let file = std::fs::File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut bytes = Vec::new();
        file.take(SOURCE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > SOURCE_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "larger than any configuration (16 MiB)",
            ));
        }
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    fn glob(&mut self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let Some(name) = pattern.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
        if !name.contains(['*', '?', '[']) {
            return Ok(if pattern.exists() { vec![pattern.to_path_buf()] } else { Vec::new() });
        }
        let folder = pattern.parent().unwrap_or(Path::new("/"));
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|file| matches(name, file)) {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    }
}

/// Files in memory, for tests.
#[derive(Debug, Default, Clone)]
pub struct MemoryLoader {
    /// The texts by path.
    pub files: BTreeMap<PathBuf, String>,
}

impl MemoryLoader {
    /// The given paths and texts.
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self { files: files.into_iter().map(|(path, text)| (PathBuf::from(path), text.to_owned())).collect() }
    }
}

impl Loader for MemoryLoader {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        self.files.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn glob(&mut self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let Some(name) = pattern.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
        let same_folder = |path: &&PathBuf| path.parent() == pattern.parent();
        let same_name =
            |path: &&PathBuf| path.file_name().and_then(|f| f.to_str()).is_some_and(|f| matches(name, f));
        Ok(self.files.keys().filter(same_folder).filter(same_name).cloned().collect())
    }
}

/// Whether a file name matches a pattern of `glob(7)`.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // The classic walk with one remembered star: linear in practice and never exponential.
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => class(&pattern, p, name[n]),
            Some(letter) if *letter == name[n] => Some(p + 1),
            _ => None,
        };
        match (step, star) {
            (Some(next), _) => {
                p = next;
                n += 1;
            }
            (None, Some((after, from))) => {
                star = Some((after, from + 1));
                p = after;
                n = from + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|letter| *letter == '*')
}

/// Whether the class that begins at `open` holds `letter`: the index after it. An unclosed class matches only `[`.
fn class(pattern: &[char], open: usize, letter: char) -> Option<usize> {
    let negated = matches!(pattern.get(open + 1), Some('!' | '^'));
    let first = open + 1 + usize::from(negated);
    let close = (first + 1..pattern.len()).find(|index| pattern[*index] == ']');
    let Some(close) = close else { return (letter == '[').then_some(open + 1) };
    let mut held = false;
    let mut index = first;
    while index < close {
        if index + 2 < close && pattern[index + 1] == '-' {
            held |= (pattern[index]..=pattern[index + 2]).contains(&letter);
            index += 3;
        } else {
            held |= pattern[index] == letter;
            index += 1;
        }
    }
    (held != negated).then_some(close + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: patterns match as `glob(7)` says.
    #[test]
    fn patterns_match_names() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".a.conf", false),
            ("*.conf", "a.conf.bak", false),
            ("a?c", "abc", true),
            ("[0-9]*", "10-x", true),
            ("[!0-9]*", "10-x", false),
            ("[ab", "[ab", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    /// Goal: a pipe in a configuration's place is told and not waited for.
    #[test]
    fn a_pipe_is_no_configuration() {
        let path = std::env::temp_dir().join(format!("conf-text-pipe-{}", std::process::id()));
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
        assert!(made.success());
        assert!(FileLoader.read(&path).is_err_and(|error| error.to_string().contains("a pipe")));
        std::fs::remove_file(&path).expect("our own file");
    }
}
