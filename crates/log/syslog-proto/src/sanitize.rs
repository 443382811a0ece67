//! Control characters in received messages: made visible, as rsyslog does by default, so that no message can forge a line
//! of its own in a log file or drive a terminal.

/// What is done to control characters; the defaults are rsyslog's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sanitize {
    /// A control character (below 32) becomes `#` and three octal digits (`$EscapeControlCharactersOnReceive`).
    pub escape_control: bool,
    /// A tab counts as one (`$EscapeControlCharacterTab`).
    pub escape_tab: bool,
    /// Bytes above 127 are escaped too (`$Escape8BitCharactersOnReceive`).
    pub escape_8bit: bool,
    /// A line feed becomes a space (`$SpaceLFOnReceive`).
    pub space_lf: bool,
    /// One line feed at the end is dropped (`$DropTrailingLFOnReception`).
    pub drop_trailing_lf: bool,
    /// What stands before the digits (`$ControlCharacterEscapePrefix`).
    pub prefix: u8,
}

impl Default for Sanitize {
    fn default() -> Self {
        Self {
            escape_control: true,
            escape_tab: true,
            escape_8bit: false,
            space_lf: false,
            drop_trailing_lf: true,
            prefix: b'#',
        }
    }
}

/// The message with trailing NULs and one trailing line feed dropped and control characters escaped; borrows from `raw` where
/// nothing has to change, which is nearly always, else from `scratch`.
pub fn sanitize<'a>(raw: &'a [u8], how: &Sanitize, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let mut raw = raw;
    while let [head @ .., 0] = raw {
        raw = head;
    }
    if how.drop_trailing_lf
        && let [head @ .., b'\n'] = raw
    {
        raw = head;
    }
    // No early exit: the compiler makes wide compares of it.
    let suspicious = raw.iter().fold(false, |found, byte| found | (*byte < 32) | (*byte > 127));
    if !suspicious || !raw.iter().any(|byte| must_change(*byte, how)) {
        return raw;
    }
    scratch.clear();
    for byte in raw.iter().copied() {
        if how.space_lf && byte == b'\n' {
            scratch.push(b' ');
        } else if must_change(byte, how) {
            scratch.extend_from_slice(&[
                how.prefix,
                b'0' + (byte >> 6),
                b'0' + (byte >> 3 & 7),
                b'0' + (byte & 7),
            ]);
        } else {
            scratch.push(byte);
        }
    }
    scratch
}

fn must_change(byte: u8, how: &Sanitize) -> bool {
    match byte {
        b'\n' if how.space_lf => true,
        b'\t' => how.escape_control && how.escape_tab,
        0..32 => how.escape_control,
        128.. => how.escape_8bit,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a message cannot forge a second line, and clean text is not copied.
    #[test]
    fn control_characters_are_made_visible() {
        let check = |raw: &[u8], how: Sanitize, expected: &str| {
            let mut scratch = Vec::new();
            assert_eq!(String::from_utf8_lossy(sanitize(raw, &how, &mut scratch)), expected);
        };
        let default = Sanitize::default();
        check(b"a\tb\nc\x1b[0m\n\0\0", default, "a#011b#012c#033[0m");
        check("gr\u{fc}n".as_bytes(), default, "gr\u{fc}n");
        check("gr\u{fc}n".as_bytes(), Sanitize { escape_8bit: true, ..default }, "gr#303#274n");
        check(b"a\tb\nc", Sanitize { escape_tab: false, space_lf: true, ..default }, "a\tb c");
        check(b"", default, "");
    }
}
