//! Programs of the user's choice: shell, editors, pager, filters.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Runs a command line by the user's shell, on the user's terminal.
pub(crate) fn run(shell: &str, command: &str) -> Result<bool, String> {
    let mut call = Command::new(shell);
    if !command.is_empty() {
        call.args(["-c", command]);
    }
    call.status().map(|status| status.success()).map_err(|e| format!("{shell}: {e}"))
}

/// Gives `text` to a command line on standard input; its output goes to the screen.
pub(crate) fn give(shell: &str, command: &str, text: &[u8]) -> Result<bool, String> {
    let mut child = Command::new(shell)
        .args(["-c", command])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{shell}: {e}"))?;
    if let Some(mut input) = child.stdin.take() {
        // A pager that is left early closes its input: that is no error.
        let _ = input.write_all(text);
    }
    child.wait().map(|status| status.success()).map_err(|e| format!("{command}: {e}"))
}

/// What a command line makes of `text`.
pub(crate) fn filter(shell: &str, command: &str, text: &[u8]) -> Result<Vec<u8>, String> {
    let (path, file) = scratch(text).map_err(|e| format!("cannot write a temporary file: {e}"))?;
    let output =
        Command::new(shell).args(["-c", command]).stdin(Stdio::from(file)).stderr(Stdio::inherit()).output();
    let _ = std::fs::remove_file(path);
    let output = output.map_err(|e| format!("{shell}: {e}"))?;
    match output.status.success() && !output.stdout.is_empty() {
        true => Ok(output.stdout),
        false => Err(format!("\"{command}\" failed")),
    }
}

/// Lets the user edit `text`.
pub(crate) fn edit(shell: &str, editor: &str, text: &[u8]) -> Result<Vec<u8>, String> {
    let (path, file) = scratch(text).map_err(|e| format!("cannot write a temporary file: {e}"))?;
    drop(file);
    // The editor's variable may hold options; the file's name is ours and holds nothing that a shell would expand.
    let result = run(shell, &format!("{editor} {}", path.display()));
    let edited = std::fs::read(&path);
    let _ = std::fs::remove_file(&path);
    match result? {
        true => edited.map_err(|e| format!("{}: {e}", path.display())),
        false => Err(format!("{editor} failed")),
    }
}

/// A new file that only the user can read, holding `text`, open at its beginning.
fn scratch(text: &[u8]) -> io::Result<(PathBuf, File)> {
    let path = std::env::temp_dir().join(format!("mail-{:016x}", sys::random::u64()));
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(text)?;
    drop(file);
    let file = File::open(&path)?;
    Ok((path, file))
}

/// The octets of a file, at most `octets_max`.
pub(crate) fn read_file(path: &std::path::Path, octets_max: u64) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let result = File::open(path).and_then(|file| file.take(octets_max + 1).read_to_end(&mut content));
    match result {
        Err(error) => Err(format!("{}: {error}", path.display())),
        Ok(_) if content.len() as u64 > octets_max => {
            Err(format!("{}: larger than {octets_max} octets", path.display()))
        }
        Ok(_) => Ok(content),
    }
}
