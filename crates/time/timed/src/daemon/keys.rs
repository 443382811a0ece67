//! The key file: who is known by which key.

use super::{Daemon, monotonic};
use crate::config::SourceConfig;
use crate::events::Happened;
use crate::peers::Unauthentic;
use crate::serving::RefusedKey;
use ntp_proto::Keys;
use std::io;
use std::path::Path;

/// Lines that are told one by one when they cannot be used: a file that is something else has any number of them.
const TROUBLES_TOLD: usize = 10;

/// What a key file has, read and not yet taken up.
#[derive(Debug)]
pub(super) struct KeysRead {
    keys: Keys,
    /// It could not be opened, which is as if it had no keys: why.
    unopened: Option<io::ErrorKind>,
    /// Lines that cannot be used, in sentences.
    troubles: Vec<String>,
}

impl Daemon {
    /// Reads the key file at the start. As for chronyd, one that may not be read is as one that is not there.
    pub(super) fn begin_keys(&mut self) -> Result<(), String> {
        let read = self.key_file_read(&[io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied])?;
        self.take_keys(read);
        Ok(())
    }

    /// Reads the key file and takes it up. The error says which file it is and what to type; then everything stays as it was.
    pub(crate) fn read_keys(&mut self) -> Result<(), String> {
        let read = self.key_file_read_again()?;
        self.take_keys(read);
        Ok(())
    }

    /// What the key file has now; nothing is changed by looking. None without `keyfile`. That the daemon's user may not read what
    /// root could at the start is an error: the keys that it had are worth more than none.
    pub(super) fn key_file_read_again(&self) -> Result<Option<KeysRead>, String> {
        self.key_file_read(&[io::ErrorKind::NotFound])
    }

    fn key_file_read(&self, as_empty: &[io::ErrorKind]) -> Result<Option<KeysRead>, String> {
        let Some(path) = &self.config.key_file else { return Ok(None) };
        let (text, unopened) = match sys::file::read_text_bounded(path, crate::FILE_BYTES_MAX) {
            Ok(text) => (text, None),
            // A source that needs a key will say so.
            Err(error) if as_empty.contains(&error.kind()) => (String::new(), Some(error.kind())),
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
        Ok(Some(KeysRead { keys, unopened, troubles }))
    }

    /// The server and the sources take up what was read, those among them that were not asked for want of a key.
    pub(super) fn take_keys(&mut self, read: Option<KeysRead>) {
        let Some(KeysRead { keys, unopened, troubles }) = read else { return };
        self.key_file_unopened = unopened;
        if let (Some(path), Some(why)) = (&self.config.key_file, unopened) {
            let what = match why {
                io::ErrorKind::NotFound => {
                    format!("Could not open keyfile {} : No such file or directory", path.display())
                }
                _ => self.key_file_unread(path, &why.into()).replacen(
                    "Could not read key file",
                    "Could not open keyfile",
                    1,
                ),
            };
            self.say(&Happened::Warning { what });
        }
        for what in troubles {
            self.trouble(what);
        }
        if unopened.is_none() {
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
    }

    /// Says whose code does not fit: the client's side hears nothing.
    pub(super) fn tell_refused_keys(&mut self) {
        for RefusedKey { client, id, is_known } in self.serving.refused_keys() {
            let file = match &self.config.key_file {
                Some(path) => format!("in {}", path.display()),
                None => "here (there is no keyfile directive)".to_owned(),
            };
            let why = match is_known {
                true => format!("its code does not fit the key that is {file}"),
                false => format!("there is no such key {file}"),
            };
            let what = format!(
                "Requests with key {id} from {client} are not answered: {why}; help: line {id} of both key files must be the same"
            );
            self.log.say(&Happened::Warning { what });
        }
    }

    /// A reply of a source was not authentic: told once, until one is.
    pub(super) fn tell_unauthentic(&mut self, index: usize, why: Unauthentic) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        peer.unauthentic = Some(why);
        if std::mem::replace(&mut peer.told_unauthentic, true) {
            return;
        }
        let label = peer.label();
        let what = match peer.line.key {
            Some(id) => format!(
                "Replies of {label} to key {id} cannot be used: {why}\nhelp: line {id} of both key files must be the same"
            ),
            None => format!("Replies of {label} cannot be used: {why} (NTS)"),
        };
        self.log.say(&Happened::Warning { what });
    }

    /// A source with a key has answered none of its last requests: told once, until one is. A server that has another key, or none of
    /// this number, says nothing at all.
    pub(super) fn tell_silence(&mut self, index: usize) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        let Some(id) = peer.line.key.filter(|_| !peer.lacks_key && peer.client.reach() == 0) else { return };
        if std::mem::replace(&mut peer.told_unauthentic, true) {
            return;
        }
        let what = format!(
            "{} does not answer requests with key {id}: a server without that key answers nothing\nhelp: compare key {id} first: line {id} of both key files must be the same",
            peer.label()
        );
        self.log.say(&Happened::Warning { what });
    }

    /// Why the key file cannot be read, and what to type.
    fn key_file_unread(&self, path: &Path, error: &io::Error) -> String {
        let path = path.display();
        let what = format!("Could not read key file {path}: {}", crate::events::reason(error));
        if error.kind() != io::ErrorKind::PermissionDenied {
            return format!("{what}\nhelp: ls -l {path}");
        }
        // The system's keys are given to the daemon's user by root, and to nobody who happens to try it out.
        if self.user.is_none() && sys::process::effective_uid() != 0 {
            return format!(
                "{what}\nhelp: start the daemon as root (sudo chronyd), or name a key file of your own in chrony.conf: keyfile FILE"
            );
        }
        format!("{what}\nhelp: chown {}: {path}; chmod 0640 {path}", self.user_name())
    }

    /// Why a source is not asked that needs a key which is in no file; none when it is.
    pub(crate) fn why_not_asked(&self, line: &SourceConfig) -> Option<String> {
        let id = line.key.filter(|id| self.keys.key(*id).is_none())?;
        Some(match &self.config.key_file {
            None => format!("key {id} is in no file: chrony.conf has no keyfile directive"),
            Some(path) if self.key_file_unopened.is_some() => {
                let missing = self.key_file_unopened == Some(io::ErrorKind::NotFound);
                let why = if missing { "is not there" } else { "may not be read" };
                format!("key {id} is needed and {} {why}", path.display())
            }
            Some(path) => format!("the key file {} has no key {id}", path.display()),
        })
    }
}
