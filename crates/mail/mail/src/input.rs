//! Where lines come from: a line editor on a terminal, else standard input as it is.

use crate::screen::say;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use std::io::{BufRead, IsTerminal};

/// What came instead of, or as, a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    Text(String),
    End,
    Interrupted,
}

/// The source of lines.
pub(crate) struct Input {
    editor: Option<Box<DefaultEditor>>,
    interactive: bool,
}

/// Whether standard input is a terminal.
pub(crate) fn on_terminal() -> bool {
    std::io::stdin().is_terminal()
}

impl Input {
    /// `interactive` says whether prompts are printed and escapes understood.
    pub(crate) fn new(interactive: bool) -> Self {
        let editor = if on_terminal() { DefaultEditor::new().ok().map(Box::new) } else { None };
        Self { editor, interactive }
    }

    /// Whether somebody types.
    pub(crate) fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// The next line without its end. `initial` stands there to be edited, on a terminal.
    pub(crate) fn line(&mut self, prompt: &str, initial: &str) -> Line {
        if let Some(editor) = &mut self.editor {
            return match editor.readline_with_initial(prompt, (initial, "")) {
                Ok(text) => {
                    if !prompt.is_empty() && !text.trim().is_empty() {
                        let _ = editor.add_history_entry(text.as_str());
                    }
                    Line::Text(text)
                }
                Err(ReadlineError::Interrupted) => Line::Interrupted,
                Err(_) => Line::End,
            };
        }
        if self.interactive {
            say(prompt);
        }
        let mut bytes = Vec::new();
        match std::io::stdin().lock().read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => Line::End,
            Ok(_) => {
                let text = String::from_utf8_lossy(&bytes);
                let text = text.strip_suffix('\n').unwrap_or(&text);
                Line::Text(text.strip_suffix('\r').unwrap_or(text).to_owned())
            }
        }
    }
}
