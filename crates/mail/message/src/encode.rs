//! Text as it may stand in a header or a body: encoded-words (RFC 2047), base64 and quoted-printable (RFC 2045).

/// Octets of text in one encoded-word: 45 make 60 letters, 72 with the frame; RFC 2047 section 2 allows 75.
const WORD_OCTETS_MAX: usize = 45;

/// The text as a safe header value: control characters become spaces, so that no line end makes another header.
pub fn header_value(text: &str) -> String {
    // U+0085 and the line separators end a line for some readers.
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    text.chars().map(|c| if breaks(c) { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// Unstructured text (a subject, a display name) as a header value: made safe, and as encoded-words where it is not
/// ASCII. Several words are separated by folds.
pub fn encode_header_text(text: &str) -> String {
    let text = header_value(text);
    // What looks like an encoded-word and is none would be read as one.
    if text.is_ascii() && !text.contains("=?") {
        return text;
    }
    let mut words: Vec<String> = Vec::new();
    let mut piece = String::new();
    for c in text.chars() {
        if piece.len() + c.len_utf8() > WORD_OCTETS_MAX {
            words.push(word(&piece));
            piece.clear();
        }
        piece.push(c);
    }
    words.push(word(&piece));
    words.join("\n ")
}

fn word(piece: &str) -> String {
    format!("=?UTF-8?B?{}?=", base64(piece.as_bytes()))
}

/// Base64 without line ends.
pub(crate) fn base64(octets: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(octets.len().div_ceil(3) * 4);
    for group in octets.chunks(3) {
        let octet = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for place in 0..4 {
            if place > group.len() {
                out.push('=');
            } else {
                let at = (bits >> (18 - 6 * place) & 63) as usize;
                out.push(LETTERS.get(at).map_or('=', |&letter| char::from(letter)));
            }
        }
    }
    out
}

/// Base64 in lines of 76 letters.
pub(crate) fn base64_lines(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len() * 4 / 3 + octets.len() / 57 + 2);
    for line in octets.chunks(57) {
        out.push_str(&base64(line));
        out.push('\n');
    }
    out
}

/// Quoted-printable of text with LF line ends.
pub(crate) fn quoted_printable(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive(|&b| b == b'\n') {
        let (line, ended) = match line.strip_suffix(b"\n") {
            Some(line) => (line, true),
            None => (line, false),
        };
        let mut width = 0;
        for (at, &b) in line.iter().enumerate() {
            let last = at + 1 == line.len();
            let plain = (b' '..=b'~').contains(&b) && b != b'=' && !(last && b == b' ');
            let needed = if plain { 1 } else { 3 };
            // RFC 2045 section 6.7 (5): 76 characters with the soft break.
            if width + needed > 75 {
                out.push_str("=\n");
                width = 0;
            }
            if plain {
                out.push(char::from(b));
            } else {
                out.push_str(&format!("={b:02X}"));
            }
            width += needed;
        }
        if ended {
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the encodings are those of the standards (RFC 4648 section 10 and RFC 2045).
    #[test]
    fn encodings_are_right() {
        for (octets, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(octets.as_bytes()), expected);
        }
        assert_eq!(quoted_printable("a=b é \n".as_bytes()), "a=3Db =C3=A9=20\n");
        assert!(quoted_printable(&[b'x'; 500]).lines().all(|line| line.len() <= 76));
        let read = mail_parser::decoders::quoted_printable::quoted_printable_decode;
        assert_eq!(read(quoted_printable(&[b'x'; 500]).as_bytes()).unwrap(), [b'x'; 500]);
    }

    /// Goal: header text is one field whatever it holds, and reads back as it was meant.
    #[test]
    fn header_text_reads_back() {
        let check = |text: &str, expected: &str| {
            let encoded = encode_header_text(text);
            assert!(encoded.split('\n').all(|line| line.len() <= 76 || text.is_ascii()), "{encoded}");
            assert!(encoded.split('\n').skip(1).all(|line| line.starts_with(' ')));
            assert_eq!(crate::decode_header_text(encoded.as_bytes()), expected);
        };
        check("plain", "plain");
        check("障害のお知らせ", "障害のお知らせ");
        check(&"長い件名".repeat(40), &"長い件名".repeat(40));
        check("a\r\nBcc: evil@x", "a  Bcc: evil@x");
        check("é\nBcc: evil@x", "é Bcc: evil@x");
        check("=?UTF-8?B?YQ==?=", "=?UTF-8?B?YQ==?=");
    }
}
