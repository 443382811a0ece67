//! The `mail` command (also `mailx`): writes a message, or reads a mailbox.
//!
//! For: people at a terminal, and scripts that pipe a text into `mail -s SUBJECT ADDRESS`.
//!
//! Always: a message leaves through the `sendmail` command, or is kept in the dead letter file and the exit code is not
//! 0; a folder is changed under its lock, with what arrived meanwhile kept; nothing that a message holds reaches the
//! terminal as a control sequence; nothing that is given as a subject or header makes another header.
//!
//! Never: it delivers nothing itself, and never takes a recipient for a file or a command.
//!
//! # Two families in one
//!
//! `-a` is a header in bsd-mailx and an attachment in s-nail. Here a word of the form `Name: value` is a header and any
//! other word names a file to attach; a file whose name has that form is attached as `./Name: value`. The list of
//! messages and the prompts are those of bsd-mailx; bodies are shown decoded, as s-nail does.
//!
//! # Places
//!
//! Messages that were read go to `~/mbox` and letters that could not be sent to `~/dead.letter`; in a house to
//! `mail/USER.mbox` and `mail/USER.dead` of the house. The variables `MBOX` and `DEAD`, also of the environment, name
//! other files.
//!
//! # Startup files
//!
//! On an installed system `/etc/mail.rc` and then `~/.mailrc` (or what `MAILRC` names) are read; in a house `etc/mail.rc`
//! of the house stands in the place of the first, and the installed system's is not read: a house does not change with
//! the machine that it stands on. What a letter needs of Debian's `/etc/mail.rc` is so from the start: a subject is asked
//! for (`asksub`), and a line that is only a dot ends a letter that is typed (`dot`). `set noasksub nodot` turns them off.
#![forbid(unsafe_code)]

mod commands;
mod compose;
mod folder;
mod input;
mod list;
mod options;
mod screen;
mod sending;
mod settings;
mod shell;

use commands::Session;
use input::Input;
use layout::Call;
use options::{Mode, Options};
use screen::say;
use settings::Settings;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs the command that `call` names.
pub fn run(call: &Call) -> ExitCode {
    match try_run(call) {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            eprintln!("{}: {message}", call.name);
            ExitCode::FAILURE
        }
    }
}

fn try_run(call: &Call) -> Result<u8, String> {
    if call.args.first().is_some_and(|word| word == "--help") {
        println!("{}", options::USAGE);
        return Ok(0);
    }
    let options = Options::parse(&call.args)?;
    let user = User::of_caller();
    let sending = matches!(options.mode, Mode::Send { .. });
    let mut settings = Settings::new(sending, input::on_terminal(), user.home.clone());
    settings.keep_in_house(&call.layout, &user.name);
    if !options.no_system_rc {
        settings.source(&call.layout.place("etc/mail.rc", "/etc/mail.rc"), true)?;
    }
    let own_rc = std::env::var_os("MAILRC").map_or_else(|| user.home.join(".mailrc"), PathBuf::from);
    settings.source(&own_rc, true)?;
    for assignment in &options.assignments {
        settings.set(assignment);
    }
    if options.verbose {
        settings.set("verbose");
    }
    let interactive = options.interactive || input::on_terminal();
    let mut input = Input::new(interactive);
    match options.mode {
        Mode::Send { ref to } => sending::send_from_command_line(call, &options, to, &settings, &mut input),
        Mode::Read { ref file, user: ref owner } => {
            let system = |name: &str| system_mailbox(call, name, owner.is_none());
            let owner = owner.as_deref().unwrap_or(&user.name);
            let path = match file {
                None => system(owner),
                Some(None) => settings.mbox(),
                Some(Some(file)) => settings.file_name(file, &system(owner), None)?,
            };
            read(call, &options, &user, path, owner, settings, input)
        }
    }
}

fn read(
    call: &Call,
    options: &Options,
    user: &User,
    path: PathBuf,
    owner: &str,
    settings: Settings,
    input: Input,
) -> Result<u8, String> {
    let is_system = path == system_mailbox(call, owner, false) || path == system_mailbox(call, owner, true);
    let missing = !path.exists();
    if missing && !is_system {
        return if options.exists_only {
            Ok(1)
        } else {
            Err(format!("{}: No such file or directory", path.display()))
        };
    }
    let folder = folder::Folder::open(&path, is_system).map_err(|e| format!("{}: {e}", path.display()))?;
    if options.exists_only {
        return Ok(u8::from(folder.messages.is_empty()));
    }
    if folder.messages.is_empty() && is_system {
        say(&format!("No mail for {owner}\n"));
        return Ok(0);
    }
    let mut session = Session::new(call.clone(), user.clone(), settings, input, folder);
    if options.headers_only {
        session.list_all();
        return Ok(0);
    }
    session.greet(options.no_headers);
    session.run()
}

/// The mailbox of `user`: in a house `mail/USER`, else what `MAIL` names for the caller, else `/var/mail/USER`.
fn system_mailbox(call: &Call, user: &str, own: bool) -> PathBuf {
    let usual = call.layout.place(format!("mail/{user}"), format!("/var/mail/{user}"));
    // MAIL speaks of the installed system: inside of a house it would lead out of it.
    match std::env::var_os("MAIL").filter(|path| !path.is_empty()) {
        Some(path) if own && call.layout.house_dir().is_none() => path.into(),
        _ => usual,
    }
}

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) home: PathBuf,
}

impl User {
    fn of_caller() -> Self {
        let uid = sys::process::uid();
        let entry = sys::user::by_uid(uid).ok().flatten();
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let home =
            home.or_else(|| entry.as_ref().map(|e| e.home.clone())).unwrap_or_else(|| PathBuf::from("/"));
        let name = entry.map_or_else(|| format!("uid-{uid}"), |e| e.name);
        Self { name, home }
    }
}
