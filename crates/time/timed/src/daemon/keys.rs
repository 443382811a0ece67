//! The key file: who is known by which key.

use super::{Daemon, monotonic};
use crate::events::Happened;
use ntp_proto::Keys;
use std::io;
use std::path::Path;

/// Lines that are told one by one when they cannot be used: a file that is something else has any number of them.
const TROUBLES_TOLD: usize = 10;

/// What a key file has, read and not yet taken up.
#[derive(Debug)]
pub(super) struct KeysRead {
    keys: Keys,
    is_missing: bool,
    /// Lines that cannot be used, in sentences.
    troubles: Vec<String>,
}

impl Daemon {
    /// Reads the key file and takes it up. The error says which file it is and what to type; then everything stays as it was.
    pub(crate) fn read_keys(&mut self) -> Result<(), String> {
        let read = self.key_file_read()?;
        self.take_keys(read);
        Ok(())
    }

    /// What the key file has now; nothing is changed by looking. None without `keyfile`.
    pub(super) fn key_file_read(&self) -> Result<Option<KeysRead>, String> {
        let Some(path) = &self.config.key_file else { return Ok(None) };
        let (text, is_missing) = match sys::file::read_text_bounded(path, crate::FILE_BYTES_MAX) {
            Ok(text) => (text, false),
            // As chronyd: a file that is not there has no keys; a source that needs one will say so.
            Err(error) if error.kind() == io::ErrorKind::NotFound => (String::new(), true),
            Err(error) => return Err(self.key_file_unread(path, &error)),
        };
        let (keys, errors) = Keys::parse(&text);
        let path = path.display();
        let more = errors.len().saturating_sub(TROUBLES_TOLD);
        let mut troubles: Vec<String> = errors
            .into_iter()
            .take(TROUBLES_TOLD)
            .map(|(line, error)| format!("Could not use line {line} of {path}: {error}"))
            .collect();
        if more > 0 {
            troubles.push(format!("Could not use {more} more lines of {path}"));
        }
        Ok(Some(KeysRead { keys, is_missing, troubles }))
    }

    /// The server, the sources that run and those that were left out for want of a key take up what was read.
    pub(super) fn take_keys(&mut self, read: Option<KeysRead>) {
        let Some(KeysRead { keys, is_missing, troubles }) = read else { return };
        self.key_file_is_missing = is_missing;
        if let Some(path) = self.config.key_file.as_ref().filter(|_| is_missing) {
            let what = format!("Could not open keyfile {} : No such file or directory", path.display());
            self.say(&Happened::Warning { what });
        }
        for what in troubles {
            self.trouble(what);
        }
        if !is_missing {
            self.say(&Happened::KeysRead { count: keys.len() });
        }
        self.server.set_keys(keys.clone());
        self.server_changed = true;
        self.serving.outdated();
        self.keys = keys;
        self.read_cookie_keys();
        let now = monotonic();
        for peer in &mut self.peers {
            peer.rekey(&self.keys, now);
        }
        for line in std::mem::take(&mut self.without_key) {
            self.add_source(line, now);
        }
    }

    /// Why the key file cannot be read, and what to type.
    fn key_file_unread(&self, path: &Path, error: &io::Error) -> String {
        let path = path.display();
        let what = format!("Could not read key file {path}: {}", crate::events::reason(error));
        if error.kind() != io::ErrorKind::PermissionDenied {
            return format!("{what}\nhelp: ls -l {path}");
        }
        format!("{what}\nhelp: chown {}: {path}; chmod 0640 {path}", self.user_name())
    }

    /// Why a source is left out that needs this key.
    pub(super) fn lacks_key(&self, id: u32) -> String {
        match &self.config.key_file {
            None => format!("key {id} is in no file: chrony.conf has no keyfile directive"),
            Some(path) if self.key_file_is_missing => {
                format!("key {id} is needed and {} is not there", path.display())
            }
            Some(path) => format!("the key file {} has no key {id}", path.display()),
        }
    }
}
