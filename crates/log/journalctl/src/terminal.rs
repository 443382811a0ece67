//! What a terminal would obey, made visible.

/// Writes `value` so that a terminal shows it and obeys nothing in it but colours: a line feed, a tab and complete SGR sequences
/// (ECMA-48 8.3.117: `ESC [ digits ; ... m`) stay; every other control character, C1 ones in UTF-8 and bytes that are no UTF-8 become
/// `^X` or `\\xNN`.
pub(crate) fn write_harmless(value: &[u8], out: &mut Vec<u8>) {
    for chunk in value.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(letter) = rest.chars().next() {
            let sgr = sgr_length(rest);
            let (shown, after) = rest.split_at(sgr.unwrap_or(letter.len_utf8()));
            rest = after;
            match letter {
                _ if sgr.is_some() => out.extend_from_slice(shown.as_bytes()),
                '\n' | '\t' => out.push(letter as u8),
                // The caret's form of ASCII: control characters are 64 below their letters.
                '\0'..='\u{1f}' => out.extend([b'^', letter as u8 + 64]),
                '\u{7f}' => out.extend(b"^?"),
                '\u{80}'..='\u{9f}' => out.extend(format!("\\x{:02x}", letter as u32).bytes()),
                _ => out.extend_from_slice(shown.as_bytes()),
            }
        }
        out.extend(chunk.invalid().iter().flat_map(|byte| format!("\\x{byte:02x}").into_bytes()));
    }
}

/// The length of the SGR sequence at the front, octets.
fn sgr_length(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !(c.is_ascii_digit() || matches!(c, ';' | ':')))?;
    parameters[end..].starts_with('m').then_some(end + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: text and colours pass; what moves the cursor, sets the title or asks the terminal to answer does not.
    #[test]
    fn only_colours_are_obeyed() {
        for (value, expected) in [
            (&b"plain \t\xe6\x97\xa5"[..], &b"plain \t\xe6\x97\xa5"[..]),
            (b"a\nb", b"a\nb"),
            (b"\x1b[1;31mred\x1b[0m", b"\x1b[1;31mred\x1b[0m"),
            (b"\x1b[m", b"\x1b[m"),
            (b"\x1b[2J", b"^[[2J"),
            (b"\x1b]0;title\x07", b"^[]0;title^G"),
            (b"\x1b[31", b"^[[31"),
            (b"\x1b", b"^["),
            (b"over\rwritten\x08", b"over^Mwritten^H"),
            (b"\x7f\0", b"^?^@"),
            (b"\xc2\x9b2J", b"\\x9b2J"),
            (b"\x9b2J\xff", b"\\x9b2J\\xff"),
        ] {
            let mut out = Vec::new();
            write_harmless(value, &mut out);
            assert_eq!(out, expected, "{}", String::from_utf8_lossy(value));
        }
    }
}
