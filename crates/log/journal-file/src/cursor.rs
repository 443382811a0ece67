//! Cursors: the name of a place in the journal, the same text as journald's.

use std::fmt;
use std::str::FromStr;

use sys::host::Id128;

use crate::reader::EntryHead;

/// A place in the journal: the entry that it was taken from, or the nearest when that one is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// `s`, `i`: sequence and number.
    pub seqnum: Option<(Id128, u64)>,
    /// `b`, `m`: boot and monotonic time, microseconds.
    pub monotonic: Option<(Id128, u64)>,
    /// `t`: wall clock, microseconds.
    pub realtime: Option<u64>,
    /// `x`: hash of the content.
    pub xor_hash: Option<u64>,
}

impl Cursor {
    /// The cursor of an entry in a file with this sequence.
    pub fn of(seqnum_id: Id128, entry: &EntryHead) -> Self {
        Self {
            seqnum: Some((seqnum_id, entry.seqnum)),
            monotonic: Some((entry.boot_id, entry.monotonic)),
            realtime: Some(entry.realtime),
            xor_hash: Some(entry.xor_hash),
        }
    }

    /// Whether this is the cursor of that entry.
    pub fn matches(&self, seqnum_id: Id128, entry: &EntryHead) -> bool {
        if let Some((id, number)) = self.seqnum
            && id == seqnum_id
        {
            return number == entry.seqnum && self.xor_hash.is_none_or(|hash| hash == entry.xor_hash);
        }
        self.monotonic.is_none_or(|monotonic| monotonic == (entry.boot_id, entry.monotonic))
            && self.realtime.is_none_or(|realtime| realtime == entry.realtime)
            && self.xor_hash.is_none_or(|hash| hash == entry.xor_hash)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        let mut part = |f: &mut fmt::Formatter<'_>, text: fmt::Arguments<'_>| {
            let written = write!(f, "{between}{text}");
            between = ";";
            written
        };
        if let Some((id, number)) = self.seqnum {
            part(f, format_args!("s={id};i={number:x}"))?;
        }
        if let Some((id, micros)) = self.monotonic {
            part(f, format_args!("b={id};m={micros:x}"))?;
        }
        if let Some(micros) = self.realtime {
            part(f, format_args!("t={micros:x}"))?;
        }
        if let Some(hash) = self.xor_hash {
            part(f, format_args!("x={hash:x}"))?;
        }
        Ok(())
    }
}

/// The text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorError;

impl fmt::Display for CursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no cursor: it looks like s=ID;i=NUMBER;b=ID;m=MICROSECONDS;t=MICROSECONDS;x=HASH")
    }
}

impl std::error::Error for CursorError {}

impl FromStr for Cursor {
    type Err = CursorError;

    /// Parts may stand in any order; enough must be there to find a place: `s` and `i`, or `b` and `m`, or `t`.
    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (mut s, mut i, mut b, mut m, mut t, mut x) = (None, None, None, None, None, None);
        for part in text.trim().split(';').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').ok_or(CursorError)?;
            let number = || u64::from_str_radix(value, 16).map_err(|_| CursorError);
            let id = || Id128::parse(value).ok_or(CursorError);
            match key {
                "s" => s = Some(id()?),
                "i" => i = Some(number()?),
                "b" => b = Some(id()?),
                "m" => m = Some(number()?),
                "t" => t = Some(number()?),
                "x" => x = Some(number()?),
                // Parts that later versions may add.
                _ => {}
            }
        }
        let cursor = Self { seqnum: s.zip(i), monotonic: b.zip(m), realtime: t, xor_hash: x };
        if cursor.seqnum.is_none() && cursor.monotonic.is_none() && cursor.realtime.is_none() {
            return Err(CursorError);
        }
        Ok(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: journald's text maps both ways, and what names no place is refused.
    #[test]
    fn cursors_map_both_ways() {
        let text = "s=53903a1e0fa84eeb9d1afa81fb23a5e7;i=5;b=00112233445566778899aabbccddee01;m=3ec;t=6475ef689fc40;\
                    x=75c4f0c778bd3ea8";
        let cursor: Cursor = text.parse().expect("journald's own");
        assert_eq!(cursor.to_string(), text);
        for bad in ["", "x=1", "s=12", "i=5", "t=xyz", "hello", "s=53903a1e0fa84eeb9d1afa81fb23a5e7"] {
            assert_eq!(bad.parse::<Cursor>(), Err(CursorError), "{bad}");
        }
    }
}
