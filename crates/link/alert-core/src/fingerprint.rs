//! What stays of a message when its numbers, ids and addresses are masked.

use std::net::IpAddr;

/// The longest fingerprint in bytes: enough to tell messages apart, and a bound on what a group's key costs.
const FINGERPRINT_BYTES_MAX: usize = 256;

/// A run of hexadecimal digits counts as an id from this length on (a queue id, a short commit id).
const HEX_ID_CHARS_MIN: usize = 6;

/// The message with numbers (`#`), hexadecimal ids (`<id>`), network addresses (`<ip>`, `<mac>`) and mail addresses (`<mail>`)
/// masked, so that messages which differ only in those have the same fingerprint.
pub fn fingerprint(message: &str) -> String {
    let mut out = String::with_capacity(message.len().min(FINGERPRINT_BYTES_MAX + 64));
    let mut rest = message;
    while !rest.is_empty() && out.len() < FINGERPRINT_BYTES_MAX {
        let token_end = rest.find(is_separator).unwrap_or(rest.len());
        let (token, tail) = rest.split_at(token_end);
        mask_token(token, &mut out);
        let gap_end = tail.find(|c| !is_separator(c)).unwrap_or(tail.len());
        let (gap, next) = tail.split_at(gap_end);
        // Blanks of any width are one blank: column-aligned output differs in nothing else.
        if gap.chars().all(char::is_whitespace) {
            if !gap.is_empty() {
                out.push(' ');
            }
        } else {
            out.extend(gap.chars().filter(|c| !c.is_control()));
        }
        rest = next;
    }
    if out.len() > FINGERPRINT_BYTES_MAX {
        let cut = (0..=FINGERPRINT_BYTES_MAX).rev().find(|at| out.is_char_boundary(*at)).unwrap_or(0);
        out.truncate(cut);
    }
    out.truncate(out.trim_end().len());
    out
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "()[]{}<>\"'`=,;|".contains(c)
}

fn mask_token(token: &str, out: &mut String) {
    // A sentence's own punctuation is not part of an address.
    let core = token.trim_end_matches(['.', ':', '!', '?']);
    let tail = token.get(core.len()..).unwrap_or_default();
    match whole_token_class(core) {
        Some(class) => out.push_str(class),
        None => mask_runs(core, out),
    }
    out.push_str(tail);
}

/// The class of a token which as a whole is an address or an id.
fn whole_token_class(token: &str) -> Option<&'static str> {
    if is_ip(token) {
        return Some("<ip>");
    }
    if let Some((local, domain)) = token.split_once('@')
        && !local.is_empty()
        && !domain.is_empty()
        && !domain.contains('@')
    {
        return Some("<mail>");
    }
    let pairs: Vec<&str> = token.split([':', '-']).collect();
    if pairs.len() == 6 && pairs.iter().all(|pair| pair.len() == 2 && is_hex(pair)) {
        return Some("<mac>");
    }
    let lengths: Vec<usize> = token.split('-').map(str::len).collect();
    if lengths == [8, 4, 4, 4, 12] && token.split('-').all(is_hex) {
        return Some("<id>");
    }
    None
}

/// An IPv4 or IPv6 address, alone or with a port or a prefix length.
fn is_ip(token: &str) -> bool {
    if !token.contains(['.', ':']) {
        return false;
    }
    let bare = token.split_once('/').map_or(token, |(address, _)| address);
    if bare.parse::<IpAddr>().is_ok() {
        return true;
    }
    match bare.rsplit_once([':', '#']) {
        Some((address, port)) => {
            !port.is_empty() && is_digits(port) && address.contains('.') && address.parse::<IpAddr>().is_ok()
        }
        None => false,
    }
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Masks the runs of letters and digits in a token, and keeps what stands between them.
fn mask_runs(token: &str, out: &mut String) {
    let mut rest = token;
    while !rest.is_empty() {
        let run_end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(run_end);
        mask_run(run, out);
        let gap_end = tail.find(char::is_alphanumeric).unwrap_or(tail.len());
        let (gap, next) = tail.split_at(gap_end);
        out.push_str(gap);
        rest = next;
    }
}

fn mask_run(run: &str, out: &mut String) {
    let has_digit = run.bytes().any(|b| b.is_ascii_digit());
    if !has_digit {
        out.push_str(run);
    } else if run.strip_prefix("0x").is_some_and(is_hex)
        || (run.len() >= HEX_ID_CHARS_MIN && is_hex(run) && !is_digits(run))
    {
        out.push_str("<id>");
    } else {
        let mut in_number = false;
        for c in run.chars() {
            if c.is_ascii_digit() {
                if !in_number {
                    out.push('#');
                }
                in_number = true;
            } else {
                out.push(c);
                in_number = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what varies from one occurrence to the next is masked, and what names the problem stays.
    #[test]
    fn variable_parts_are_masked() {
        for (message, expected) in [
            ("", ""),
            ("disk full", "disk full"),
            ("I/O error on sda1, sector 12345678", "I/O error on sda#, sector #"),
            ("segfault at 0xdeadbeef ip 00007f12ab34cd56", "segfault at <id> ip <id>"),
            (
                "Failed password for bob from 192.0.2.7 port 4022 ssh2",
                "Failed password for bob from <ip> port # ssh#",
            ),
            ("connect to [2001:db8::1]:443: refused", "connect to [<ip>]:#: refused"),
            ("peer 192.0.2.1:514 gone.", "peer <ip> gone."),
            ("net 10.0.0.0/8 up", "net <ip> up"),
            ("link aa:bb:cc:00:11:22 down", "link <mac> down"),
            ("3F2A1C9: to=<bob@example.org>, relay=none", "<id>: to=<<mail>>, relay=none"),
            ("job 550e8400-e29b-41d4-a716-446655440000 died", "job <id> died"),
            ("took   1.25 s", "took #.# s"),
            ("disk\u{1b}[31m full\n", "disk[#m full"),
            ("日本語 42 件", "日本語 # 件"),
        ] {
            assert_eq!(fingerprint(message), expected, "{message:?}");
        }
    }

    /// Goal: no message makes a fingerprint longer than the limit, at any character boundary.
    #[test]
    fn a_fingerprint_is_bounded() {
        for filler in ["x", "é", "漢", "word ", "1.2.3.4 "] {
            assert!(fingerprint(&filler.repeat(10_000)).len() <= FINGERPRINT_BYTES_MAX);
        }
    }
}
