//! What survives: position, groups and mails not handed over in one file, and beside it the ids of mails that were handed over since
//! it was written, so that a thousand mails that waited are not written anew for each of them that leaves.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use alert_core::State;

/// The files, and what is known of them.
pub struct Store {
    path: PathBuf,
    /// Ids of mails that left, one a line; open since the first of them after a save.
    left: Option<File>,
}

impl Store {
    /// The file at `path`; its folder is made.
    pub fn new(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(Self { path: path.to_path_buf(), left: None })
    }

    /// What was saved. A file that cannot be read back (a disk's fault: it is replaced as a whole) is put aside and told in the
    /// second value.
    pub fn load(&self) -> io::Result<(State, Option<String>)> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((State::default(), None)),
            Err(error) => return Err(error),
        };
        match serde_json::from_slice::<State>(&bytes) {
            Ok(mut state) => {
                // An id that was not written to its end is of a mail that comes twice.
                let left = std::fs::read_to_string(self.left_path()).unwrap_or_default();
                let ids: Vec<&str> =
                    left.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).collect();
                state.outbox.retain(|letter| !ids.contains(&letter.id.as_str()));
                Ok((state, None))
            }
            Err(error) => {
                let aside = self.path.with_extension("json.damaged");
                std::fs::rename(&self.path, &aside)?;
                let told = format!(
                    "{} was damaged ({error}) and is kept as {}: groups begin anew, mails that waited in it are not sent, and \
                     of the records before now only those of the last minute are looked at",
                    self.path.display(),
                    aside.display()
                );
                Ok((State::default(), Some(told)))
            }
        }
    }

    /// Saves: written beside, synced, renamed, the folder synced. `state` knows of every mail that left.
    pub fn save(&mut self, state: &State) -> io::Result<()> {
        let bytes = serde_json::to_vec(state).map_err(io::Error::other)?;
        sys::file::replace(&self.path, &bytes, 0o600)?;
        // What it says is in the state now; if it stays, it says nothing new.
        self.left = None;
        match std::fs::remove_file(self.left_path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Notes, synced, that a mail of the saved state left.
    pub fn left(&mut self, id: &str) -> io::Result<()> {
        let path = self.left_path();
        let file = match &mut self.left {
            Some(file) => file,
            none => {
                let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
                if let Some(folder) = path.parent() {
                    sys::file::sync_dir(folder)?;
                }
                none.insert(file)
            }
        };
        // The line end first: a line that a full disk cut off stays alone.
        file.write_all(format!("\n{id}\n").as_bytes())?;
        file.sync_data()
    }

    fn left_path(&self) -> PathBuf {
        self.path.with_extension("left")
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
        let mut store = Store::new(&path).expect("a folder");
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

    /// Goal: a mail that left does not come back with the state that still has it, whatever was cut off beside it; a save makes
    /// the note needless.
    #[test]
    fn mails_that_left_stay_away() {
        let letter = |id: &str| alert_core::Letter {
            id: id.into(),
            rule: "errors".into(),
            kind: alert_core::Kind::First,
            count: 1,
            nonce: None,
            text: "x".into(),
            made_usec: 0,
            attempts: 0,
            next_usec: 0,
        };
        let dir = std::env::temp_dir().join(format!("alertd-left-{}", std::process::id()));
        let path = dir.join("alertd.json");
        let mut state = State { outbox: ["a", "b", "c"].map(letter).to_vec(), ..State::default() };
        let waiting = || -> Vec<String> {
            let (state, told) = Store::new(&path).expect("a folder").load().expect("loaded");
            assert_eq!(told, None);
            state.outbox.into_iter().map(|letter| letter.id).collect()
        };
        let mut store = Store::new(&path).expect("a folder");
        store.save(&state).expect("saved");
        store.left("a").expect("noted");
        assert_eq!(waiting(), ["b", "c"]);
        let cut = |text: &str| {
            let mut file = OpenOptions::new().append(true).open(dir.join("alertd.left")).expect("the file");
            file.write_all(text.as_bytes()).expect("written");
        };
        cut("\nb");
        assert_eq!(waiting(), ["b", "c"], "not written to its end");
        store.left("c").expect("noted");
        assert_eq!(waiting(), [] as [String; 0], "`b` has its end now, and left before `c`");
        state.outbox.clear();
        state.outbox.push(letter("d"));
        store.save(&state).expect("saved");
        assert_eq!(waiting(), ["d"]);
        assert!(!dir.join("alertd.left").exists());
        std::fs::remove_dir_all(&dir).expect("removable");
    }
}
