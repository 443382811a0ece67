//! The prompt at a terminal: a line that can be edited, what was typed before, and completion of commands.

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use crate::command::COMMANDS;

const PROMPT: &str = "chronyc> ";

/// Reads lines from the terminal.
pub(crate) struct Prompt(Editor<Completion, DefaultHistory>);

impl Prompt {
    /// None when this terminal cannot be edited in: plain lines are read then.
    pub(crate) fn new() -> Option<Self> {
        // As readline, which people know from chrony's: the common part is completed, a second Tab lists what is possible.
        let config = Config::builder().completion_type(CompletionType::List).build();
        let mut editor = Editor::with_config(config).ok()?;
        editor.set_helper(Some(Completion));
        Some(Self(editor))
    }

    /// The next line; none at the end and when it is interrupted.
    pub(crate) fn next(&mut self) -> Option<String> {
        match self.0.readline(PROMPT) {
            Ok(line) => {
                // A line that cannot be remembered is run all the same.
                let _ = self.0.add_history_entry(line.as_str());
                Some(line)
            }
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => None,
            Err(error) => {
                eprintln!("Could not read from the terminal: {error}");
                None
            }
        }
    }
}

struct Completion;

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = line.get(..position).unwrap_or(line);
        let (start, words) = candidates(typed);
        let pairs = words.into_iter().map(|word| Pair { display: word.clone(), replacement: word + " " });
        Ok((start, pairs.collect()))
    }
}

impl Hinter for Completion {
    type Hint = String;
}

impl Highlighter for Completion {}
impl Validator for Completion {}
impl Helper for Completion {}

/// What may stand where the typed line ends, and where that begins: a command, or the first word of one of its forms.
fn candidates(typed: &str) -> (usize, Vec<String>) {
    let start = typed.rfind(' ').map_or(0, |space| space + 1);
    let begun = typed.get(start..).unwrap_or("");
    let before = typed.get(..start).unwrap_or("").trim();
    let mut words: Vec<String> = if before.is_empty() {
        COMMANDS.iter().map(|command| command.name.to_owned()).collect()
    } else {
        let of_command = COMMANDS.iter().filter(|command| command.name == before);
        let alternatives = of_command.flat_map(|command| command.first_words());
        alternatives.map(str::to_owned).collect()
    };
    words.retain(|word| word.starts_with(begun));
    words.sort_unstable();
    words.dedup();
    (start, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: commands complete at the start of a line, their words behind them, and nothing where a value is expected.
    #[test]
    fn commands_and_their_words_complete() {
        let check = |typed: &str, start: usize, expected: &[&str]| {
            let (found, words) = candidates(typed);
            assert_eq!(
                (found, words),
                (start, expected.iter().map(|word| (*word).to_owned()).collect()),
                "{typed}"
            );
        };
        check("sources", 0, &["sources", "sourcestats"]);
        check("tra", 0, &["tracking"]);
        check("manual ", 7, &["delete", "list", "off", "on", "reset"]);
        check("manual o", 7, &["off", "on"]);
        check("add s", 4, &["server"]);
        check("reload ", 7, &["sources"]);
        check("maxdelay ", 9, &[]);
        check("nonsense x", 9, &[]);
    }
}
