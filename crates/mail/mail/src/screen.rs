//! What goes to the reader's screen.

use std::io::{IsTerminal, Write};

/// Writes to standard output at once. A reader that is gone (`mail -H | head`) is no error.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Columns and rows of the terminal, or 80 by 24.
pub(crate) fn size() -> (usize, usize) {
    let out = std::io::stdout();
    let known = if out.is_terminal() { sys::terminal::size(&out) } else { None };
    known.map_or((80, 24), |(columns, rows)| (usize::from(columns).max(40), usize::from(rows).max(8)))
}

/// The text without anything that a terminal would obey: control characters in caret form, except line ends and tabs.
/// A message is somebody else's text, and must not move the cursor, rename the window or type for the reader.
pub(crate) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        match c {
            '\n' | '\t' => out.push(c),
            '\0'..='\x1f' => {
                out.push('^');
                out.push(char::from(c as u8 + b'@'));
            }
            '\x7f' => out.push_str("^?"),
            c if c.is_control() => out.push('?'),
            // Marks that turn the direction of text make a link or a name look like another.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

/// The text cut to `columns` columns; letters of East Asian scripts take two.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    let mut used = 0;
    text.chars()
        .take_while(|&c| {
            used += width(c);
            used <= columns
        })
        .collect()
}

/// The text cut and filled to exactly `columns` columns.
pub(crate) fn fill(text: &str, columns: usize) -> String {
    let mut text = cut(text, columns);
    let used: usize = text.chars().map(width).sum();
    text.extend(std::iter::repeat_n(' ', columns.saturating_sub(used)));
    text
}

fn width(c: char) -> usize {
    // The wide blocks of Unicode's East Asian Width annex that occur in mail.
    let wide = matches!(u32::from(c),
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0x33ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xa000..=0xa4cf
        | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd);
    if wide { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: nothing in a message commands the terminal.
    #[test]
    fn control_sequences_are_shown_and_not_obeyed() {
        assert_eq!(harmless("a\x1b]0;x\x07\tb\r\nc\u{9b}2J\x7f\u{202e}"), "a^[]0;x^G\tb\nc?2J^??");
    }

    /// Goal: columns are columns on the screen.
    #[test]
    fn texts_are_cut_to_columns() {
        assert_eq!(cut("障害のお知らせ", 5), "障害");
        assert_eq!(fill("障害", 6), "障害  ");
        assert_eq!(fill("abcdef", 4), "abcd");
    }
}
