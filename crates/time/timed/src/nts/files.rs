//! The files of `ntsdumpdir`. Their content is `docs/formats/nts-cookie.md`.

use super::trust::{modified, read_bounded};
use ntp_proto::nts::{CookieKeys, SavedAssociation};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The file of the server's keys.
const KEYS: &str = "ntskeys";
/// What the name of a source's file ends with.
const COOKIES_SUFFIX: &str = "nts";
/// Secrets are for nobody else.
const MODE: u32 = 0o600;
/// Folders that are made are for the daemon's group too (as chronyd's).
const FOLDER_MODE: u32 = 0o750;

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct DumpFolder(PathBuf);

impl DumpFolder {
    /// Makes the folder when it is missing.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if !path.is_dir() {
            std::fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)?;
        }
        Ok(Self(path.to_path_buf()))
    }

    /// When the youngest file of ours was written: that moment has passed.
    pub(crate) fn written(&self) -> Option<i64> {
        let entries = std::fs::read_dir(&self.0).ok()?;
        entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.ends_with(KEYS) || path.extension().is_some_and(|end| end == COOKIES_SUFFIX))
            .filter_map(|path| modified(&path))
            .max()
    }

    /// The server's keys and their age in seconds; none when there is no file, an error when it cannot be used.
    pub(crate) fn read_keys(&self) -> Result<Option<(CookieKeys, f64)>, String> {
        let path = self.0.join(KEYS);
        let text = match read_bounded(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("Could not read {}: {error}", path.display())),
        };
        CookieKeys::from_text(&text)
            .map(Some)
            .map_err(|error| format!("Could not load {}: {error}", path.display()))
    }

    /// Keeps the server's keys.
    pub(crate) fn write_keys(&self, keys: &CookieKeys, age_seconds: f64) -> io::Result<()> {
        sys::file::replace(&self.0.join(KEYS), keys.to_text(age_seconds).as_bytes(), MODE)
    }

    /// The cookies of a source, whose file is gone from here on: a cookie that was used must not be used again.
    pub(crate) fn take_cookies(&self, address: IpAddr) -> Option<Result<SavedAssociation, String>> {
        let path = self.cookies(address);
        let text = read_bounded(&path).ok()?;
        let removed = std::fs::remove_file(&path);
        let text = String::from_utf8_lossy(&text);
        let saved = SavedAssociation::from_text(&text)
            .map_err(|error| format!("Could not load {}: {error}", path.display()));
        Some(removed.map_err(|error| format!("Could not remove {}: {error}", path.display())).and(saved))
    }

    /// Keeps the cookies of a source whose keys came from `address`.
    pub(crate) fn write_cookies(&self, address: IpAddr, saved: &SavedAssociation) -> io::Result<()> {
        sys::file::replace(&self.cookies(address), saved.to_text().as_bytes(), MODE)
    }

    fn cookies(&self, address: IpAddr) -> PathBuf {
        self.0.join(format!("{address}.{COOKIES_SUFFIX}"))
    }
}
