//! `keygen`: a line for the key file.

use crate::command::syntax_error;
use crate::session::Session;

/// Key types and, for ciphers, the length of their keys in bytes; hashes take keys of any length.
const TYPES: &[(&str, Option<usize>)] = &[
    ("MD5", None),
    ("SHA1", None),
    ("SHA256", None),
    ("SHA384", None),
    ("SHA512", None),
    ("AES128", Some(16)),
    ("AES256", Some(32)),
];

/// Keys are never shorter: 80 bits.
const KEY_BYTES_MIN: usize = 10;
/// Keys are never longer; the line stays within what key file readers take.
const KEY_BYTES_MAX: usize = 512;

/// `keygen [ID [TYPE [BITS]]]`.
pub(crate) fn generate(s: &mut Session<'_>, words: &str) -> bool {
    let words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
    let id = words.first().map_or(Ok(1u32), |word| word.parse());
    let bits = words.get(2).map_or(Ok(160usize), |word| word.parse());
    let (Ok(id), Ok(bits), 0..=3) = (id, bits, words.len()) else {
        return syntax_error("keygen", "Invalid syntax for keygen command");
    };
    let name = words.get(1).copied().unwrap_or("SHA1");
    let Some((_, fixed)) = TYPES.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
        eprintln!("Unknown hash function or cipher {name}");
        crate::session::help(&format!("one of: {}", known.join(" ")));
        return false;
    };
    let length = fixed.unwrap_or(bits.div_ceil(8)).clamp(KEY_BYTES_MIN, KEY_BYTES_MAX);
    let mut key = vec![0; length];
    sys::random::fill(&mut key);
    let hex: String = key.iter().map(|byte| format!("{byte:02X}")).collect();
    s.print(&format!("{id} {name} HEX:{hex}\n"));
    true
}
