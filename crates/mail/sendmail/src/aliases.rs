//! `newaliases`, and what these commands need of `main.cf`.
//!
//! The daemon reads the text of the alias files itself, so there is no table to compile: a file counts as soon as it
//! stands there without mistakes. This command says whether it does, and has the daemon read it now.

use crate::sysexits::{Failure, OK};
use conf_text::{Diagnostic, Diagnostics, FileLoader, Loader, Sources, Span};
use control::{CallError, Client};
use layout::{Call, Layout};
use mail_core::Aliases;
use postfix_conf::{Host, Settings};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What postfix's command ends with too when an alias file or main.cf is wrong.
const WRONG: u8 = 1;
/// How long the daemon may take to reload.
const PATIENCE: Duration = Duration::from_secs(30);

/// Checks every file of `alias_database` and has the daemon reload.
pub(crate) fn rebuild(call: &Call) -> Result<u8, Failure> {
    let host = Host { name: sys::host::hostname(), layout: call.layout.clone() };
    let loaded = postfix_conf::load(&host, &mut FileLoader);
    let Some(settings) = loaded.settings else {
        loaded.diagnostics.print(&loaded.sources);
        return Err(Failure::new(WRONG, "main.cf has errors, so the alias files are not known")
            .help(format!("mend {}", postfix_conf::conf_path(&call.layout).display())));
    };
    let mut files = settings.alias_database.clone();
    for path in &settings.alias_maps {
        if !files.contains(path) {
            files.push(path.clone());
        }
    }
    if files.is_empty() {
        return Err(Failure::new(WRONG, "main.cf names no alias file").help("alias_maps = hash:/etc/aliases"));
    }
    let mut errors = 0;
    for path in &files {
        errors += check(path, &mut FileLoader)?;
    }
    if errors > 0 {
        let plural = if errors == 1 { "" } else { "s" };
        return Err(Failure::new(
            WRONG,
            format!("{errors} error{plural}; the daemon keeps what it read before"),
        ));
    }
    reload(call)
}

/// Checks one file; prints its counts or its errors, whose number it gives.
fn check(path: &Path, loader: &mut dyn Loader) -> Result<usize, Failure> {
    let text = loader.read(path).map_err(|error| {
        Failure::new(WRONG, format!("cannot read {}: {error}", path.display()))
            .help(format!("touch {}", path.display()))
    })?;
    let (aliases, problems) = Aliases::parse(&text);
    if problems.is_empty() {
        let (longest, bytes) = aliases.sizes();
        println!(
            "{}: {} aliases, longest {longest} bytes, {bytes} bytes total",
            path.display(),
            aliases.len()
        );
        return Ok(0);
    }
    let mut sources = Sources::new();
    let source = sources.add(path, text);
    let mut diagnostics = Diagnostics::new();
    for problem in problems {
        let span = Span { source, start: problem.span.start, end: problem.span.end };
        let mut diagnostic = Diagnostic::error(problem.message).at(span, "");
        diagnostic.help = problem.help;
        diagnostics.push(diagnostic);
    }
    diagnostics.print(&sources);
    Ok(diagnostics.error_count())
}

fn reload(call: &Call) -> Result<u8, Failure> {
    let path = control::socket_path(&call.layout, "maild");
    let answer = Client::connect(&path, PATIENCE).and_then(|mut client| client.call("reload", json!({})));
    match answer {
        Ok(_) => Ok(OK),
        // Nobody to tell: the daemon reads the files when it starts.
        Err(CallError::Unreachable(..)) => Ok(OK),
        // Only the daemon's owner may command a reload; it looks at the files' times by itself.
        Err(CallError::Refused { error, .. }) => {
            eprintln!("{}: warning: the mail daemon was not told: {error}", call.name);
            Ok(OK)
        }
        Err(error) => Err(Failure::new(WRONG, error.to_string())),
    }
}

/// `myorigin`: the domain of addresses that were written without one. With a main.cf that cannot be read it is this
/// host's name, as no message may be lost for a configuration's mistake.
pub(crate) fn origin(layout: &Layout) -> String {
    settings(layout).map_or_else(sys::host::hostname, |settings| settings.router.origin)
}

/// The folder in which messages wait for the daemon.
pub(crate) fn maildrop_dir(layout: &Layout) -> PathBuf {
    settings(layout).map_or_else(|| spool::maildrop_dir(layout), |settings| settings.maildrop_dir())
}

fn settings(layout: &Layout) -> Option<Settings> {
    let host = Host { name: sys::host::hostname(), layout: layout.clone() };
    postfix_conf::load(&host, &mut FileLoader).settings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a good file is counted, a bad one has its errors counted.
    #[test]
    fn alias_files_are_checked() {
        let check = |text: &str, expected: usize| {
            let mut loader = conf_text::MemoryLoader::new([("/a", text)]);
            assert_eq!(check(Path::new("/a"), &mut loader), Ok(expected), "{text}");
        };
        check("postmaster: root\nroot: a@b,\n c\n", 0);
        check("no colon\nroot: a\n", 1);
        let missing = super::check(Path::new("/b"), &mut conf_text::MemoryLoader::new([]));
        assert_eq!(missing.map_err(|failure| failure.code), Err(WRONG));
    }
}
