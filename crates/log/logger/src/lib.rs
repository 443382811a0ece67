//! The `logger` command: enters messages into the system log, as util-linux's `logger(1)` does.
//!
//! For: administrators and scripts.
//!
//! Always: the options, messages and exit codes are those of util-linux 2.38; in a house it writes to the house's socket.
//! What it says of the clock in RFC 5424 is what the kernel says.
//!
//! Never: it claims success for a message that a network server or the journal did not take from it; a local socket that is
//! missing is passed over in silence only where util-linux does so too.
#![forbid(unsafe_code)]

mod options;
mod output;

use std::io::{self, BufRead, BufReader, Read};
use std::process::ExitCode;

use options::{Action, Options};
use output::Output;

/// Runs the command.
pub fn run(call: &layout::Call) -> ExitCode {
    let options = match options::parse(&call.args) {
        Ok(Action::Log(options)) => *options,
        Ok(Action::Help) => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Action::Version) => {
            println!("logger from Banto {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("logger: {error}\nTry 'logger --help' for more information.");
            return ExitCode::FAILURE;
        }
    };
    for warning in &options.warnings {
        eprintln!("logger: warning: {warning}");
    }
    let result = match &options.journald {
        Some(file) => journald(&call.layout, &options, file.as_deref()),
        None => syslog(&call.layout, &options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("logger: {error}");
            ExitCode::FAILURE
        }
    }
}

fn syslog(layout: &layout::Layout, options: &Options) -> Result<(), String> {
    let mut output = Output::open(layout, options)?;
    if !options.message.is_empty() {
        for message in fold_words(&options.message, options.size) {
            output.write(options.priority, &message)?;
        }
        return Ok(());
    }
    let input: Box<dyn Read> = match &options.file {
        Some(path) => Box::new(
            std::fs::File::open(path).map_err(|e| format!("file {}: {}", path.display(), reason(&e)))?,
        ),
        None => Box::new(io::stdin()),
    };
    let mut input = BufReader::new(input);
    let mut line = Vec::new();
    loop {
        line.clear();
        // A line longer than the limit goes out in pieces, so that neither is text lost nor memory taken without bound.
        let limit = (options.size + PREFIX_BYTES_MAX) as u64;
        let count = input.by_ref().take(limit).read_until(b'\n', &mut line);
        match count {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(format!("read failed: {}", reason(&error))),
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        let (priority, text) = if options.prio_prefix {
            split_prefix(&line, options.priority)
        } else {
            (options.priority, &line[..])
        };
        if text.is_empty() && options.skip_empty {
            continue;
        }
        if text.is_empty() {
            output.write(priority, text)?;
        }
        for piece in text.chunks(options.size) {
            output.write(priority, piece)?;
        }
    }
}

/// Room for `<191>` before a line.
const PREFIX_BYTES_MAX: usize = 5;

/// `<N>` at the head of a line: a number without a facility takes the facility of `-p`.
fn split_prefix(line: &[u8], default: record::Priority) -> (record::Priority, &[u8]) {
    match syslog_proto::stream::split_level(line) {
        (Some(priority), text) if priority.facility == record::Facility::KERN => {
            (record::Priority { facility: default.facility, ..priority }, text)
        }
        (Some(priority), text) => (priority, text),
        (None, text) => (default, text),
    }
}

/// Joins the words of the command line with spaces into messages of at most `size` bytes; a word that is longer stands alone
/// and is cut.
fn fold_words(words: &[Vec<u8>], size: usize) -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    let mut current: Vec<u8> = Vec::new();
    for word in words {
        if !current.is_empty() && current.len() + 1 + word.len() > size {
            messages.push(std::mem::take(&mut current));
        }
        if !current.is_empty() {
            current.push(b' ');
        }
        current.extend_from_slice(word);
        current.truncate(size);
    }
    if !current.is_empty() || messages.is_empty() {
        messages.push(current);
    }
    messages
}

/// `--journald`: lines `FIELD=value` become one entry; several MESSAGE lines become one of several lines.
fn journald(
    layout: &layout::Layout,
    options: &Options,
    file: Option<&std::path::Path>,
) -> Result<(), String> {
    let mut text = Vec::new();
    match file {
        Some(path) => std::fs::File::open(path)
            .and_then(|mut file| file.read_to_end(&mut text))
            .map_err(|e| format!("cannot open {}: {}", path.display(), reason(&e)))?,
        None => io::stdin().read_to_end(&mut text).map_err(|e| format!("read failed: {}", reason(&e)))?,
    };
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let parts = line.iter().position(|byte| *byte == b'=').map(|at| (&line[..at], &line[at + 1..]));
        let Some((name, value)) = parts.filter(|(name, _)| syslog_proto::native::is_valid_name(name)) else {
            return Err(format!(
                "the line is no journal field: '{}'\nhelp: write NAME=value, with an upper-case name, for example MESSAGE=text",
                String::from_utf8_lossy(line)
            ));
        };
        let name = String::from_utf8_lossy(name).into_owned();
        match fields.iter_mut().find(|(known, _)| name == "MESSAGE" && *known == name) {
            Some((_, message)) => {
                message.push(b'\n');
                message.extend_from_slice(value);
            }
            None => fields.push((name, value.to_vec())),
        }
    }
    let mut datagram = Vec::new();
    for (name, value) in &fields {
        syslog_proto::native::write_field(name, value, &mut datagram);
    }
    if options.stderr {
        eprint!("{}", String::from_utf8_lossy(&text));
    }
    if options.no_act {
        return Ok(());
    }
    let path = syslog_proto::native_socket(layout);
    output::send_native(&path, &datagram)
        .map_err(|e| format!("journald entry could not be written: {}: {}", path.display(), reason(&e)))
}

/// An error in the words of `strerror(3)`, without Rust's number behind it.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: words are folded as util-linux folds them, and no text beyond the limit goes out.
    #[test]
    fn words_are_folded() {
        let check = |words: &[&str], size: usize, expected: &[&str]| {
            let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
            let folded: Vec<String> =
                fold_words(&words, size).into_iter().map(|m| String::from_utf8(m).expect("text")).collect();
            assert_eq!(folded, expected);
        };
        check(&["hello", "world"], 100, &["hello world"]);
        check(&["hello", "world"], 10, &["hello", "world"]);
        check(&["0123456789"], 5, &["01234"]);
        check(&[""], 5, &[""]);
    }
}
