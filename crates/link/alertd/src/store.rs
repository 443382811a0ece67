//! What survives: position, groups and mails not handed over in one file, and beside it the ids of mails that were handed over since
//! it was written, so that a thousand mails that waited are not written anew for each of them that leaves.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use alert_core::State;

/// More than a week of waiting mails: a larger file is none of ours, and is not read.
const STATE_BYTES_MAX: u64 = 1 << 30;

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

    /// What was saved. A file that cannot be read back (a disk's fault: it is replaced as a whole), or what stands in its place and is
    /// no file or none of ours, is put aside and told in the second value.
    pub fn load(&self) -> io::Result<(State, Option<String>)> {
        let bytes = match sys::file::read_bounded(&self.path, STATE_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((State::default(), None)),
            Err(error) if is_no_state(&self.path) => return self.begin_anew(&error),
            Err(error) => return Err(error),
        };
        match serde_json::from_slice::<State>(&bytes) {
            Ok(mut state) => {
                let (left, told) = self.load_left()?;
                // An id that was not written to its end is of a mail that comes twice.
                let ids: Vec<&str> =
                    left.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).collect();
                state.outbox.retain(|letter| !ids.contains(&letter.id.as_str()));
                Ok((state, told))
            }
            Err(error) => self.begin_anew(&error),
        }
    }

    /// The ids of mails that left since.
    fn load_left(&self) -> io::Result<(String, Option<String>)> {
        let path = self.left_path();
        match sys::file::read_text_bounded(&path, STATE_BYTES_MAX) {
            Ok(left) => Ok((left, None)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((String::new(), None)),
            Err(error) if is_no_state(&path) => {
                let aside = put_aside(&path)?;
                let (path, aside) = (path.display(), aside.display());
                let told = format!(
                    "{path} was not ours ({error}) and is kept as {aside}: mails that it named may come twice"
                );
                Ok((String::new(), Some(told)))
            }
            Err(error) => Err(error),
        }
    }

    fn begin_anew(&self, error: &dyn std::fmt::Display) -> io::Result<(State, Option<String>)> {
        let aside = put_aside(&self.path)?;
        let told = format!(
            "{} was damaged ({error}) and is kept as {}: groups begin anew, mails that waited in it are not sent, and \
             of the records before now only those of the last minute are looked at",
            self.path.display(),
            aside.display()
        );
        Ok((State::default(), Some(told)))
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
                let file = sys::file::append(&path, 0o600)?;
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

/// What stands there can be no state of ours: it is no file, or far too large.
fn is_no_state(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file() || found.len() > STATE_BYTES_MAX)
}

/// Makes room for a file of ours; returns where it is kept that stood there.
fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(".damaged");
    let aside = PathBuf::from(name);
    // One that was put aside before is in the way only where it is a folder.
    if aside.is_dir() && !aside.is_symlink() {
        let _ = std::fs::remove_dir(&aside);
    }
    std::fs::rename(path, &aside).map(|()| aside)
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
            let mut file = File::options().append(true).open(dir.join("alertd.left")).expect("the file");
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

    /// Goal: what stands in the place of a state and is none holds nobody and stops nothing: it is put aside and told. Method: a pipe
    /// that nobody writes, a folder with something in it, a file that is larger than any disk, a link to a pipe.
    #[test]
    fn what_is_no_state_is_put_aside() {
        let dir = std::env::temp_dir().join(format!("alertd-nostate-{}", std::process::id()));
        let path = dir.join("alertd.json");
        fn pipe(at: &Path) {
            let made = std::process::Command::new("mkfifo").arg(at).status();
            assert!(made.is_ok_and(|status| status.success()), "mkfifo {}", at.display());
        }
        type Trap = (&'static str, fn(&Path));
        let traps: [Trap; 4] = [
            ("a pipe", pipe),
            ("a folder", |at| std::fs::create_dir_all(at.join("x")).expect("a folder")),
            ("a huge file", |at| File::create(at).and_then(|file| file.set_len(1 << 42)).expect("a file")),
            ("a link to a pipe", |at| {
                pipe(&at.with_extension("pipe"));
                std::os::unix::fs::symlink(at.with_extension("pipe"), at).expect("a link");
            }),
        ];
        for (name, set) in traps {
            for place in ["alertd.json", "alertd.left"] {
                let mut store = Store::new(&path).expect("a folder");
                store.save(&State::default()).expect("saved");
                let _ = std::fs::remove_file(dir.join(place));
                set(&dir.join(place));
                let begun = std::time::Instant::now();
                let (state, told) = store.load().expect("loaded");
                assert!(begun.elapsed() < std::time::Duration::from_secs(1), "{name} as {place}");
                assert_eq!(state, State::default());
                let told = told.unwrap_or_else(|| panic!("{name} as {place} is not told"));
                assert!(told.contains(&format!("{place}.damaged")), "{told}");
                store.left("a").expect("noted");
                store.save(&State::default()).expect("saved");
                assert_eq!(store.load().expect("loaded"), (State::default(), None), "{name} as {place}");
                std::fs::remove_dir_all(&dir).expect("removable");
            }
        }
    }
}
