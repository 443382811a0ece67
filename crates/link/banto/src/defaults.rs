//! The files of a new house: commented defaults with absolute paths and unprivileged ports.
//!
//! A file that stands is never written again, so whoever changes one keeps the change.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// NTP, UDP on loopback.
pub const NTP_PORT: u16 = 11123;
/// chronyc's command port, UDP on loopback.
pub const COMMAND_PORT: u16 = 11323;
/// Syslog, UDP and TCP on loopback.
pub const SYSLOG_PORT: u16 = 5514;
/// The web page, TCP on loopback.
pub const WEB_PORT: u16 = 8125;

/// The name in the aliases that the tour writes to.
pub const TOUR_ALIAS: &str = "helpdesk";

/// The longest path of a Unix socket in bytes, without its NUL (`unix(7)`: `sun_path` holds 108).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The longest name of a socket below a house's directory: a client's own socket, with a process id and a number.
const SOCKET_NAME_BYTES_MAX: usize = "/run/chronyc.4194304.99.sock".len();

/// The folders of a house.
const FOLDERS: [&str; 10] =
    ["", "etc", "etc/chrony.d", "etc/forward", "etc/rsyslog.d", "log", "mail", "spool", "run", "state"];

/// What was found and written.
#[derive(Debug, Default)]
pub struct Furnished {
    /// Files that did not stand before, relative to the house.
    pub written: Vec<String>,
}

/// Why a folder cannot be a house.
#[derive(Debug)]
pub enum Unfit {
    /// Its path is so long that no socket fits below it.
    PathTooLong {
        /// The path.
        dir: PathBuf,
        /// Bytes too many.
        excess: usize,
    },
    /// Its path has a character that the configuration languages cannot write.
    PathUnwritable(PathBuf),
    /// A folder or file could not be made.
    Io(PathBuf, io::Error),
}

/// Makes what is missing of the house at `dir` (absolute) for the user `user`.
pub fn furnish(dir: &Path, user: &str) -> Result<Furnished, Unfit> {
    let length = dir.as_os_str().len() + SOCKET_NAME_BYTES_MAX;
    if length > SOCKET_PATH_BYTES_MAX {
        return Err(Unfit::PathTooLong { dir: dir.to_path_buf(), excess: length - SOCKET_PATH_BYTES_MAX });
    }
    let Some(text) = dir.to_str().filter(|text| {
        !text.contains(|c: char| c.is_control() || c.is_whitespace() || "\"'\\$,;#%{}".contains(c))
    }) else {
        return Err(Unfit::PathUnwritable(dir.to_path_buf()));
    };
    for folder in FOLDERS {
        make_folder(
            &dir.join(folder),
            if matches!(folder, "" | "log" | "mail" | "run") || folder.starts_with("etc") {
                0o755
            } else {
                0o750
            },
        )?;
    }
    let mut furnished = Furnished::default();
    for (name, content) in files(text, user) {
        write_new(dir, &name, &content, 0o644, &mut furnished)?;
    }
    let mut people = vec!["root"];
    if user != "root" {
        people.push(user);
    }
    for person in people {
        write_new(dir, &format!("mail/{person}"), "", 0o600, &mut furnished)?;
    }
    for folder in FOLDERS {
        let path = dir.join(folder);
        sys::file::sync_dir(&path).map_err(|error| Unfit::Io(path, error))?;
    }
    Ok(furnished)
}

fn make_folder(path: &Path, mode: u32) -> Result<(), Unfit> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|error| Unfit::Io(path.to_path_buf(), error))
}

fn write_new(
    dir: &Path,
    name: &str,
    content: &str,
    mode: u32,
    furnished: &mut Furnished,
) -> Result<(), Unfit> {
    use std::io::Write;
    let path = dir.join(name);
    let result = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
    match result {
        Ok(mut file) => {
            file.write_all(content.as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(|error| Unfit::Io(path, error))?;
            furnished.written.push(name.to_owned());
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Unfit::Io(path, error)),
    }
}

/// The configuration files, by name below the house, for the house at `dir`.
pub fn files(dir: &str, user: &str) -> Vec<(String, String)> {
    let fill = |text: &str| {
        text.replace("@DIR@", dir)
            .replace("@USER@", user)
            .replace("@NTP_PORT@", &NTP_PORT.to_string())
            .replace("@COMMAND_PORT@", &COMMAND_PORT.to_string())
            .replace("@SYSLOG_PORT@", &SYSLOG_PORT.to_string())
            .replace("@WEB_PORT@", &WEB_PORT.to_string())
    };
    [
        ("etc/chrony.conf", include_str!("defaults/chrony.conf")),
        ("etc/rsyslog.conf", include_str!("defaults/rsyslog.conf")),
        ("etc/journald.conf", include_str!("defaults/journald.conf")),
        ("etc/banto.toml", include_str!("defaults/banto.toml")),
    ]
    .into_iter()
    .map(|(name, text)| (name.to_owned(), fill(text)))
    .chain([
        // What main.cf and aliases say is the mail's own knowledge.
        ("etc/main.cf".to_owned(), postfix_conf::default_main_cf(Path::new(dir), &sys::host::hostname())),
        (
            "etc/aliases".to_owned(),
            format!(
                "{}# The tour sends a mail to this one.\n{TOUR_ALIAS}: {user}\n",
                postfix_conf::default_aliases(user)
            ),
        ),
    ])
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: no placeholder is left, and paths are absolute.
    #[test]
    fn defaults_are_filled_in() {
        for (name, text) in files("/h", "ann") {
            assert!(
                !text.contains("@DIR@") && !text.contains("_PORT@") && !text.contains("@USER@"),
                "{name}"
            );
            assert!(text.starts_with('#'), "{name} begins with what it is for");
        }
    }

    /// Goal: banto.toml as written is read without a mistake and has the first rule.
    #[test]
    fn the_first_rules_are_read() {
        let files = files("/h", "ann");
        let (_, text) = files.iter().find(|(name, _)| name == "etc/banto.toml").expect("is written");
        let settings = banto_conf::parse(text).expect("no mistake");
        assert_eq!(settings.rules[0].to, ["root"]);
        assert_eq!(settings.web_listen.port(), WEB_PORT);
    }

    /// Goal: the parsers of all three services have nothing to say about the defaults, not even a warning.
    #[test]
    fn defaults_are_read_without_a_word() {
        let house = layout::Layout::house("/h");
        let files = files("/h", "ann");
        let list = files.iter().map(|(name, text)| (format!("/h/{name}"), text.as_str())).collect::<Vec<_>>();
        let mut loader = conf_text::MemoryLoader::new(list.iter().map(|(path, text)| (path.as_str(), *text)));
        let (mut sources, mut diagnostics) = (conf_text::Sources::new(), conf_text::Diagnostics::new());
        let mut clock = chrony_conf::Settings::new(&house);
        let path = chrony_conf::conf_path(&house);
        chrony_conf::load(&path, &mut clock, &mut loader, &mut sources, &mut diagnostics);
        let log = rsyslog_conf::conf_path(&house);
        rsyslog_conf::parse_rsyslog(&log, &mut loader, &mut sources, &mut diagnostics).expect("settings");
        let journal = rsyslog_conf::journald_conf_path(&house);
        rsyslog_conf::parse_journald(&journal, &mut loader, &mut sources, &mut diagnostics)
            .expect("settings");
        assert!(diagnostics.list.is_empty(), "{}", diagnostics.render(&sources, false));
        let host = postfix_conf::Host { name: "shop".to_owned(), layout: house };
        let mail = postfix_conf::load(&host, &mut loader);
        assert!(mail.diagnostics.list.is_empty(), "{}", mail.diagnostics.render(&mail.sources, false));
        assert_eq!(mail.settings.map(|settings| settings.smtp_listen[0].port), Some(2525));
    }

    /// Goal: what stands is not touched, and what is missing is made again.
    #[test]
    fn standing_files_are_kept() {
        let dir = std::env::temp_dir().join(format!("banto-defaults-{}", std::process::id()));
        let first = furnish(&dir, "ann").expect("a new house");
        assert!(first.written.iter().any(|name| name == "etc/banto.toml"));
        fs::write(dir.join("etc/main.cf"), "# mine\n").expect("writable");
        fs::remove_file(dir.join("etc/aliases")).expect("removable");
        let second = furnish(&dir, "ann").expect("the same house");
        assert_eq!(second.written, ["etc/aliases"]);
        assert_eq!(fs::read_to_string(dir.join("etc/main.cf")).expect("stands"), "# mine\n");
        fs::remove_dir_all(&dir).expect("removable");
    }

    /// Goal: a path that no socket fits below is refused before anything is made.
    #[test]
    fn long_paths_are_refused() {
        let dir = std::env::temp_dir().join("x".repeat(100));
        assert!(matches!(furnish(&dir, "ann"), Err(Unfit::PathTooLong { .. })));
        assert!(!dir.exists());
    }
}
