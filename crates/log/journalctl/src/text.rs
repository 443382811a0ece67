//! Which bytes can be shown, and how sizes are written: the same judgement as the stock program's, byte for byte.

/// Whether `bytes` are valid UTF-8 without control characters; tab is allowed, line feed if `newline` says so.
pub fn printable(bytes: &[u8], newline: bool) -> bool {
    if bytes.iter().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return true;
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    text.chars().all(|char| match char {
        '\t' => true,
        '\n' => newline,
        // C0, DEL and C1; the noncharacters, which are no text.
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{fdd0}'..='\u{fdef}' => false,
        other => u32::from(other) & 0xfffe != 0xfffe,
    })
}

/// `bytes` as people read it: `8.0M`, `12B`.
pub fn size(bytes: u64) -> String {
    const UNITS: [(char, u32); 6] = [('E', 60), ('P', 50), ('T', 40), ('G', 30), ('M', 20), ('K', 10)];
    for (unit, shift) in UNITS {
        if bytes >> shift > 0 {
            let tenth = if shift > 10 {
                (((bytes >> (shift - 10)) * 10) >> 10) % 10
            } else {
                ((bytes * 10) >> 10) % 10
            };
            return format!("{}.{tenth}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

/// Replaces tabs by eight spaces and takes out colour (CSI ... m) and OSC sequences, and carriage returns before line ends.
pub fn strip(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 16);
    let (mut at, mut returns) = (0, 0);
    while let Some(byte) = message.get(at) {
        if *byte == b'\r' {
            returns += 1;
            at += 1;
            continue;
        }
        if *byte == b'\n' {
            returns = 0;
        }
        out.extend(std::iter::repeat_n(b'\r', std::mem::take(&mut returns)));
        match byte {
            b'\t' => out.extend_from_slice(b"        "),
            0x1b => {
                if let Some(len) = sequence(&message[at..]) {
                    at += len;
                    continue;
                }
                out.push(0x1b);
                // What follows a lone escape stands for itself.
                if let Some(next) = message.get(at + 1) {
                    out.push(*next);
                    at += 1;
                }
            }
            other => out.push(*other),
        }
        at += 1;
    }
    out
}

/// Length of the colour or OSC sequence that `bytes` begin with.
fn sequence(bytes: &[u8]) -> Option<usize> {
    let (kind, rest) = (bytes.get(1)?, bytes.get(2..)?);
    let end = match kind {
        b'[' => rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b';'))?,
        b']' => rest.iter().position(|byte| !matches!(byte, 0x20..=0x7e))?,
        _ => return None,
    };
    let last = if *kind == b'[' { b'm' } else { 0x07 };
    (rest[end] == last).then_some(end + 3)
}

/// Whether `text` matches the shell pattern (`*`, `?`, `[...]`).
pub fn glob(pattern: &[u8], text: &[u8]) -> bool {
    // The place to go back to: behind the last star, and how much text that star took.
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => class(&pattern[p..], text[t]),
            Some(byte) => (*byte == text[t]).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(len), _) => {
                p += len;
                t += 1;
            }
            (None, Some((after, taken))) => {
                star = Some((after, taken + 1));
                (p, t) = (after, taken + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Length of the class that `pattern` begins with, if `byte` is in it; an unclosed one stands for itself.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let start = if negated { 2 } else { 1 };
    let Some(len) = pattern.get(start + 1..).and_then(|rest| rest.iter().position(|byte| *byte == b']'))
    else {
        return (byte == b'[').then_some(1);
    };
    let body = &pattern[start..start + 1 + len];
    let mut found = false;
    let mut at = 0;
    while at < body.len() {
        if body.get(at + 1) == Some(&b'-') && at + 2 < body.len() {
            found |= (body[at]..=body[at + 2]).contains(&byte);
            at += 3;
        } else {
            found |= body[at] == byte;
            at += 1;
        }
    }
    (found != negated).then_some(start + len + 2)
}

/// Whether a text has any of the pattern characters.
pub fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is text and what is a blob.
    #[test]
    fn what_is_printable() {
        let check = |bytes: &[u8], expected: (bool, bool)| {
            assert_eq!((printable(bytes, true), printable(bytes, false)), expected, "{bytes:?}");
        };
        check(b"plain", (true, true));
        check(b"tab\tand\nline", (true, false));
        check("grün 時計".as_bytes(), (true, true));
        check(b"\xff", (false, false));
        check(b"bell\x07", (false, false));
        check("\u{85}".as_bytes(), (false, false));
        check("\u{ffff}".as_bytes(), (false, false));
    }

    /// Goal: sizes as the stock program writes them.
    #[test]
    fn sizes() {
        for (bytes, expected) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.0K"),
            (1600, "1.5K"),
            (8 << 20, "8.0M"),
            ((3 << 30) + (1 << 29), "3.5G"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }

    /// Goal: colours go, other sequences and broken ones stay.
    #[test]
    fn stripping() {
        let check = |input: &[u8], expected: &[u8]| assert_eq!(strip(input), expected, "{input:?}");
        check(b"a\tb", b"a        b");
        check(b"\x1b[0;1;31mred\x1b[0m", b"red");
        check(b"\x1b]8;;file://x\x07link\x1b]8;;\x07", b"link");
        check(b"\x1b[2Jclear", b"\x1b[2Jclear");
        check(b"cut \x1b[0;1", b"cut \x1b[0;1");
        check(b"end\r\nend\r", b"end\nend");
        check(b"a\rb", b"a\rb");
    }

    /// Goal: shell patterns.
    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("ssh*", "sshd.service", true),
            ("*.service", "sshd.service", true),
            ("s?hd*", "sshd", true),
            ("[a-s]shd", "sshd", true),
            ("[!s]shd", "sshd", false),
            ("ssh", "sshd", false),
            ("*a*b", "aab", true),
            ("", "", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
