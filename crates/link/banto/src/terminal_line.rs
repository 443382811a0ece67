//! One line at the bottom of a terminal that changes, while others scroll by above it.

use std::io::{IsTerminal, Write};

/// The line; silent where standard output is no terminal.
pub struct TerminalLine {
    live: bool,
    shown: String,
}

impl TerminalLine {
    /// A line on standard output.
    pub fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        Self { live: std::io::stdout().is_terminal() && !dumb, shown: String::new() }
    }

    /// Whether anything will be seen.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Shows `text` in place of what stood there, cut to the terminal's width.
    pub fn show(&mut self, text: &str) {
        if !self.live {
            return;
        }
        let width = sys::terminal::size(std::io::stdout()).map_or(80, |(columns, _)| usize::from(columns));
        self.shown = cut_to_width(text, width.saturating_sub(1));
        write(&format!("\r\x1b[K{}", self.shown));
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if self.live && !self.shown.is_empty() {
            write("\r\x1b[K");
            self.shown.clear();
        }
    }

    /// Prints a line that stays, above.
    pub fn print(&mut self, text: &str) {
        let shown = std::mem::take(&mut self.shown);
        if self.live && !shown.is_empty() {
            write(&format!("\r\x1b[K{text}\n{shown}"));
        } else {
            write(&format!("{text}\n"));
        }
        self.shown = shown;
    }
}

/// A closed standard output must not end the house.
fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The start of `text` that takes at most `width` columns; East Asian characters take two.
fn cut_to_width(text: &str, width: usize) -> String {
    let mut used = 0;
    text.chars()
        .take_while(|c| {
            used += if ('\u{1100}'..='\u{115f}').contains(c) || ('\u{2e80}'..='\u{ffe6}').contains(c) {
                2
            } else {
                1
            };
            used <= width
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a line never wraps, in either language.
    #[test]
    fn lines_are_cut_to_the_width() {
        for (text, width, expected) in
            [("clock", 10, "clock"), ("clock", 3, "clo"), ("時計が", 5, "時計"), ("a時計", 3, "a時")]
        {
            assert_eq!(cut_to_width(text, width), expected);
        }
    }
}
