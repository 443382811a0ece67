//! The one file that survives: position, groups and mails not handed over.

use std::io;
use std::path::{Path, PathBuf};

use alert_core::State;

/// The file, and what is known of it.
pub struct Store {
    path: PathBuf,
}

impl Store {
    /// The file at `path`; its folder is made.
    pub fn new(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(Self { path: path.to_path_buf() })
    }

    /// What was saved. A file that cannot be read back (a disk's fault: it is replaced as a whole) is put aside and told in the
    /// second value.
    pub fn load(&self) -> io::Result<(State, Option<String>)> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((State::default(), None)),
            Err(error) => return Err(error),
        };
        match serde_json::from_slice(&bytes) {
            Ok(state) => Ok((state, None)),
            Err(error) => {
                let aside = self.path.with_extension("json.damaged");
                std::fs::rename(&self.path, &aside)?;
                let told = format!(
                    "{} was damaged ({error}) and is kept as {}; groups begin anew",
                    self.path.display(),
                    aside.display()
                );
                Ok((State::default(), Some(told)))
            }
        }
    }

    /// Saves: written beside, synced, renamed, the folder synced.
    pub fn save(&self, state: &State) -> io::Result<()> {
        let bytes = serde_json::to_vec(state).map_err(io::Error::other)?;
        sys::file::replace(&self.path, &bytes, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is saved is loaded, and a damaged file stops nothing and is kept.
    #[test]
    fn a_state_is_kept() {
        let dir = std::env::temp_dir().join(format!("alertd-store-{}", std::process::id()));
        let path = dir.join("alertd.json");
        let store = Store::new(&path).expect("a folder");
        assert_eq!(store.load().expect("nothing yet"), (State::default(), None));
        let state = State { cursor: Some("s=1".to_owned()), ..State::default() };
        store.save(&state).expect("saved");
        assert_eq!(store.load().expect("loaded"), (state, None));
        std::fs::write(&path, "{").expect("damaged");
        let (state, told) = store.load().expect("put aside");
        assert_eq!(state, State::default());
        assert!(told.is_some() && dir.join("alertd.json.damaged").exists() && !path.exists());
        std::fs::remove_dir_all(&dir).expect("removable");
    }
}
