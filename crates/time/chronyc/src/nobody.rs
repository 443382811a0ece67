//! What to type where no daemon answers: commands, one a line, that work as they stand.

use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use layout::Layout;

use crate::connection::Place;

/// Where a house stands when nobody says where, as people type it.
const HOUSE_HERE: &str = "./banto-data";
/// The variable that says where it stands instead.
const HOUSE_VARIABLE: &str = "BANTO_DIR";
/// Units that start a daemon which answers `chronyc`, the likeliest first.
const UNITS: [&str; 3] = ["banto-timed", "chrony", "chronyd"];

/// What was typed, as far as it matters where nobody answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Typed {
    /// The house that the call was pointed at.
    pub(crate) house: Option<PathBuf>,
    /// The words behind `chronyc`, without `-h` and `-p`.
    pub(crate) words: Vec<String>,
    /// All words behind `chronyc`.
    pub(crate) all: Vec<String>,
}

impl Typed {
    /// The commands for a person who was not answered at these places.
    pub(crate) fn help(&self, places: &[Place]) -> Vec<String> {
        let chronyc = chronyc(&self.words);
        if let Some(ip) = places.iter().find_map(elsewhere) {
            return vec![format!("ssh {ip} {chronyc}")];
        }
        if let Some(dir) = &self.house {
            let dir_text = shown(dir);
            // Its own socket was not asked: `-h` or `-p` said another place.
            let asked = places.contains(&Place::Unix(chrony_cmd::socket_path(&Layout::house(dir))));
            return vec![match !asked && runs(dir) {
                true => format!("banto --dir {dir_text} {chronyc}"),
                false => format!("banto --dir {dir_text} up"),
            }];
        }
        let named = std::env::var(HOUSE_VARIABLE).ok().filter(|dir| !dir.is_empty());
        let here = named.unwrap_or_else(|| HOUSE_HERE.to_owned());
        let dir = std::path::absolute(&here).unwrap_or_else(|_| PathBuf::from(&here));
        let here = quoted(&here);
        if runs(&dir) {
            return vec![format!("banto --dir {here} {chronyc}")];
        }
        let mut lines = Vec::new();
        if let Some(unit) = UNITS.iter().find(|unit| sys::host::has_unit(unit)) {
            lines.push(format!("systemctl start {unit}"));
        }
        lines.push(if here == HOUSE_HERE { "banto up".to_owned() } else { format!("banto --dir {here} up") });
        lines
    }

    /// The command for a person who may not use the daemon's socket.
    pub(crate) fn as_root(&self) -> String {
        // A user that was asked for is the one who may not.
        let mut words = Vec::new();
        let mut all = self.all.iter().peekable();
        while let Some(word) = all.next_if(|word| word.starts_with('-')) {
            if word == "-u" {
                all.next();
            } else if !word.starts_with("-u") {
                words.push(word.clone());
                // Those that have a value, in a word of its own.
                if ["-h", "-p", "-f"].contains(&word.as_str()) {
                    words.extend(all.next().cloned());
                }
            }
        }
        words.extend(all.cloned());
        match &self.house {
            Some(dir) => format!("sudo banto --dir {} {}", shown(dir), chronyc(&words)),
            None => format!("sudo {}", chronyc(&words)),
        }
    }
}

/// A call of `chronyc` with these words.
fn chronyc(words: &[String]) -> String {
    let words = words.iter().map(|word| format!(" {}", quoted(word)));
    format!("chronyc{}", words.collect::<String>())
}

/// The address of another host.
fn elsewhere(place: &Place) -> Option<std::net::IpAddr> {
    match place {
        Place::Udp(SocketAddr::V4(at)) if !at.ip().is_loopback() => Some((*at.ip()).into()),
        Place::Udp(SocketAddr::V6(at)) if !at.ip().is_loopback() => Some((*at.ip()).into()),
        Place::Udp(_) | Place::Unix(_) => None,
    }
}

/// Whether the time daemon of the house in this folder listens.
fn runs(dir: &Path) -> bool {
    let socket = chrony_cmd::socket_path(&Layout::house(dir));
    UnixDatagram::unbound().is_ok_and(|own| own.connect(socket).is_ok())
}

/// A house's folder as people type it.
fn shown(dir: &Path) -> String {
    let here = std::fs::canonicalize(HOUSE_HERE).is_ok_and(|here| here == dir);
    if here { HOUSE_HERE.to_owned() } else { quoted(&dir.display().to_string()) }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,+=@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: another host's daemon is asked there, a named house is started, and words are such that a shell gives them back.
    #[test]
    fn what_is_shown_can_be_pasted() {
        let words = ["-m", "sources -v", "it's"].map(str::to_owned).to_vec();
        let all = [&["-h".to_owned(), "/b/sock".to_owned()], words.as_slice()].concat();
        let typed = Typed { house: Some("/nonexistent/a house".into()), words, all };
        assert_eq!(
            typed.as_root(),
            "sudo banto --dir '/nonexistent/a house' chronyc -h /b/sock -m 'sources -v' 'it'\\''s'"
        );
        // Whoever may not is not asked to try again.
        for user in [&["-u", "_chrony"][..], &["-u_chrony"]] {
            let all = ["-n"].iter().chain(user).chain(&["-h", "/b/sock", "tracking", "-u"]);
            let all = all.map(|word| (*word).to_owned()).collect();
            let typed = Typed { house: None, words: Vec::new(), all };
            assert_eq!(typed.as_root(), "sudo chronyc -n -h /b/sock tracking -u");
        }
        let far = Place::Udp("192.0.2.1:323".parse().expect("an address"));
        assert_eq!(typed.help(&[far]), ["ssh 192.0.2.1 chronyc -m 'sources -v' 'it'\\''s'"]);
        let near = Place::Udp("127.0.0.1:323".parse().expect("an address"));
        assert_eq!(typed.help(&[near]), ["banto --dir '/nonexistent/a house' up"]);
    }
}
