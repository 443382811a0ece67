//! What expansion and delivery need to know of this host: aliases, includes, `.forward`s, users, and whose rights count.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mail_core::Target;
use mail_core::destination::Rights;
use mail_core::expand::{Sources, Trouble};
use mail_core::target::{Problem, parse_lines};
use postfix_conf::Settings;
use sys::user::User;

use crate::config::{AliasTables, read_guarded};

/// How long an answer of the user database counts: long enough for a burst, short enough for an administrator.
const USER_TTL: Duration = Duration::from_secs(5);
/// Most names that are remembered; a flood of unknown ones starts anew.
const USERS_MAX: usize = 10_000;
/// Octets of an include or a `.forward`.
pub(crate) const LIST_OCTETS_MAX: u64 = 4 * 1024 * 1024;

/// What stands on this host.
pub struct Local {
    /// The settings.
    pub settings: Settings,
    aliases: RefCell<AliasTables>,
    users: RefCell<HashMap<String, (Option<User>, Instant)>>,
}

/// A user and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// User id, never 0 for a command or mailbox where the daemon was started as root.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Local {
    /// With these settings.
    pub fn new(settings: Settings) -> Self {
        let aliases = RefCell::new(AliasTables::open(&settings));
        Self { settings, aliases, users: RefCell::default() }
    }

    /// Looks whether alias files changed, so that an edit counts for the next message; returns complaints about new contents.
    pub fn refresh_aliases(&self) -> Vec<String> {
        self.aliases.borrow_mut().refresh()
    }

    /// The user of a name.
    pub fn user(&self, name: &str) -> Result<Option<User>, Trouble> {
        // A name with a slash would be a path, and none exists.
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Ok(None);
        }
        let mut users = self.users.borrow_mut();
        if let Some((user, at)) = users.get(name)
            && at.elapsed() < USER_TTL
        {
            return Ok(user.clone());
        }
        let user = sys::user::by_name(name)
            .map_err(|e| Trouble::temporary("4.3.0", format!("the user database does not answer: {e}")))?;
        if users.len() >= USERS_MAX {
            users.clear();
        }
        users.insert(name.to_owned(), (user.clone(), Instant::now()));
        Ok(user)
    }

    /// True if mail for the local name can be delivered (an alias or a user).
    pub fn is_known(&self, name: &mail_core::route::LocalName) -> Result<bool, Trouble> {
        for key in [&name.whole, &name.user] {
            if self.alias(key)?.is_some() {
                return Ok(true);
            }
        }
        self.is_user(&name.user)
    }

    /// The user and group that may write for these rights, where the daemon has root's.
    pub fn identity(&self, rights: &Rights) -> Result<Identity, Trouble> {
        let user = match rights {
            Rights::User(name) => self.user(name)?,
            Rights::AliasOwner => sys::user::by_uid(self.aliases.borrow().owner()).ok().flatten(),
        };
        match user {
            Some(user) if user.uid != 0 => Ok(Identity { uid: user.uid, gid: user.gid }),
            _ => self.default_identity(),
        }
    }

    /// `default_privs`.
    fn default_identity(&self) -> Result<Identity, Trouble> {
        let name = &self.settings.default_privs;
        match self.user(name)? {
            Some(user) if user.uid != 0 => Ok(Identity { uid: user.uid, gid: user.gid }),
            _ => Err(Trouble::temporary(
                "4.3.5",
                format!("default_privs = {name} is no user without privilege"),
            )),
        }
    }
}

impl Sources for Local {
    fn alias(&self, name: &str) -> Result<Option<Vec<Target>>, Trouble> {
        match self.aliases.borrow().get(name) {
            Ok(targets) => Ok(targets.map(<[Target]>::to_vec)),
            Err(why) => Err(Trouble::temporary("4.3.0", format!("alias database unavailable: {why}"))),
        }
    }

    fn include(&self, path: &str) -> Result<Vec<Target>, Trouble> {
        use std::io::Read;
        use std::os::unix::fs::MetadataExt;
        let unreadable =
            |e: std::io::Error| Trouble::temporary("4.3.0", format!("cannot read include {path}: {e}"));
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(Trouble::permanent("5.2.4", format!("the include {path} is no file")));
        }
        let file = std::fs::File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.mode() & 0o002 != 0 {
            return Err(Trouble::temporary(
                "4.7.0",
                format!("the include {path} may be written by everybody"),
            ));
        }
        let mut text = Vec::new();
        file.take(LIST_OCTETS_MAX).read_to_end(&mut text).map_err(unreadable)?;
        let mut problems: Vec<Problem> = Vec::new();
        Ok(parse_lines(&String::from_utf8_lossy(&text), &mut problems))
    }

    fn forward(&self, user: &str, extension: Option<&str>) -> Result<Option<Vec<Target>>, Trouble> {
        let Some(account) = self.user(user)? else { return Ok(None) };
        let delimiter = self.settings.router.delimiters.chars().next().map(String::from);
        let lookup = |name: &str| match name {
            "user" => Some(user.to_owned()),
            "home" => Some(account.home.to_string_lossy().into_owned()),
            "shell" => Some(account.shell.to_string_lossy().into_owned()),
            "extension" => extension.map(str::to_owned),
            "recipient_delimiter" => extension.and(delimiter.clone()),
            "local" => Some(user.to_owned()),
            _ => None,
        };
        for pattern in &self.settings.forward_path {
            // An extension is a sender's word: it must not become a path.
            if pattern.contains("extension") && extension.is_some_and(|e| e.contains(['/', '\0'])) {
                continue;
            }
            let Some(path) = postfix_conf::expand_local(pattern, &lookup).map(PathBuf::from) else {
                continue;
            };
            if !path.is_absolute() {
                continue;
            }
            let owners = [account.uid, 0, sys::process::effective_uid()];
            match read_guarded(&path, &owners, LIST_OCTETS_MAX) {
                Ok(Some(text)) => return Ok(Some(parse_lines(&text, &mut Vec::new()))),
                Ok(None) => {}
                Err(e) => {
                    let text = format!("cannot read {}: {e}", path.display());
                    return Err(Trouble::temporary("4.3.0", text));
                }
            }
        }
        Ok(None)
    }

    fn is_user(&self, name: &str) -> Result<bool, Trouble> {
        Ok(self.user(name)?.is_some())
    }
}

/// The group that may write to the mail spool, where it is not the user's own directory (`root:mail`, mode 2775).
pub fn spool_group(dir: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(dir).ok()?;
    (metadata.mode() & 0o020 != 0 && metadata.gid() != 0).then(|| metadata.gid())
}
