//! Where files stand, and how a command was called.
//!
//! For: every daemon and command of the suite, so that the same program works on an installed system and inside one
//! house directory (`banto --dir DIR ...`).
//!
//! Always: a [`Layout`] is a pure mapping; it looks at no file.
//!
//! Never: it knows no service. Each service's protocol crate names its own sockets and files with [`Layout::place`].
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Either the installed system or one house directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    house: Option<PathBuf>,
}

impl Layout {
    /// The installed system: the paths of the file system hierarchy (`hier(7)`).
    pub fn system() -> Self {
        Self { house: None }
    }

    /// A house directory, which should be absolute so that daemons which change their directory still find it.
    pub fn house(dir: impl Into<PathBuf>) -> Self {
        Self { house: Some(dir.into()) }
    }

    /// The house directory, or none on the installed system.
    pub fn house_dir(&self) -> Option<&Path> {
        self.house.as_deref()
    }

    /// Where a thing stands that is at `in_house` (relative to the house directory) in a house and at `on_system`
    /// (absolute) on an installed system.
    pub fn place(&self, in_house: impl AsRef<Path>, on_system: impl AsRef<Path>) -> PathBuf {
        match &self.house {
            Some(dir) => dir.join(in_house),
            None => on_system.as_ref().to_path_buf(),
        }
    }
}

/// How a program of the suite was called.
#[derive(Debug, Clone)]
pub struct Call {
    /// The name it was called by: `chronyd`, `mailq`, ... Several names may lead to one program.
    pub name: String,
    /// The words after the name.
    pub args: Vec<OsString>,
    /// Where its files stand.
    pub layout: Layout,
}

impl Call {
    /// The call of a separate executable on an installed system: the name is the last component of `argv[0]`
    /// (or `fallback` where there is none); `--dir DIR` as the first words chooses a house.
    pub fn from_env(fallback: &str) -> Self {
        let mut words = std::env::args_os();
        let name = words
            .next()
            .as_deref()
            .map(Path::new)
            .and_then(Path::file_name)
            .and_then(OsStr::to_str)
            .unwrap_or(fallback)
            .to_owned();
        let mut args: Vec<OsString> = words.collect();
        let mut layout = Layout::system();
        if args.len() >= 2 && args[0] == "--dir" {
            let dir = PathBuf::from(args.remove(1));
            args.remove(0);
            layout = Layout::house(std::path::absolute(&dir).unwrap_or(dir));
        }
        Self { name, args, layout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the two places of a thing never mix.
    #[test]
    fn a_thing_has_one_place_in_a_house_and_one_on_a_system() {
        let check = |layout: Layout, expected: &str| {
            assert_eq!(layout.place("run/dev-log", "/dev/log"), Path::new(expected));
        };
        check(Layout::system(), "/dev/log");
        check(Layout::house("/h"), "/h/run/dev-log");
    }
}
