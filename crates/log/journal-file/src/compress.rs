//! Payload compression: all three of the format are read, zstd is written.

use std::io::{self, Write};

use crate::format::{DATA_SIZE_MAX, object_flag, u64_at};

/// Payloads from this size on are compressed (journald's default), bytes: below it a frame costs more than it saves.
pub const COMPRESS_MIN: usize = 512;
/// zstd's level: its own default, which keeps a writer at hundreds of MB/s.
const ZSTD_LEVEL: i32 = 3;

/// Compresses payloads, one after another.
pub struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    /// A compressor at the format's usual level.
    pub fn new() -> io::Result<Self> {
        zstd::bulk::Compressor::new(ZSTD_LEVEL).map(Self)
    }

    /// The zstd frame of `payload`, if it is smaller.
    pub fn smaller(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        self.0.compress(payload).ok().filter(|frame| frame.len() < payload.len())
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor")
    }
}

/// Unfolds the payload of a DATA object with these flags; the error says what is wrong with it.
pub fn decompress(flags: u8, bytes: &[u8]) -> Result<Vec<u8>, String> {
    match flags & object_flag::COMPRESSED {
        object_flag::ZSTD => {
            let mut out = Bounded::default();
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(bytes).map_err(|error| error.to_string())?;
            io::copy(&mut decoder, &mut out).map_err(|error| format!("zstd: {error}"))?;
            Ok(out.0)
        }
        object_flag::LZ4 => {
            let size = u64_at(bytes, 0);
            // lz4 cannot unfold to more than 255 times its input: a larger claim is a lie that would only cost memory.
            if size > DATA_SIZE_MAX || size > (bytes.len() as u64).saturating_mul(255) {
                return Err("lz4: the stated size is impossible".into());
            }
            let mut out = vec![0u8; size as usize];
            let block = bytes.get(8..).ok_or("lz4: no size")?;
            let got =
                lz4_flex::block::decompress_into(block, &mut out).map_err(|error| format!("lz4: {error}"))?;
            if got == out.len() { Ok(out) } else { Err("lz4: shorter than stated".into()) }
        }
        object_flag::XZ => {
            let mut out = Bounded::default();
            lzma_rs::xz_decompress(&mut io::BufReader::new(bytes), &mut out)
                .map_err(|error| format!("xz: {error:?}"))?;
            Ok(out.0)
        }
        0 => Ok(bytes.to_vec()),
        _ => Err("several compression flags at once".into()),
    }
}

/// A buffer that refuses to grow beyond [`DATA_SIZE_MAX`].
#[derive(Default)]
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.0.len() + bytes.len()) as u64 > DATA_SIZE_MAX {
            return Err(io::Error::other("larger than any payload may be"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what we compress unfolds to the same, and damaged frames of every kind are errors, not panics.
    #[test]
    fn frames_unfold_or_are_refused() {
        let payload = b"MESSAGE=".iter().copied().chain(std::iter::repeat_n(b'a', 5000)).collect::<Vec<u8>>();
        let frame = Compressor::new().map(|mut c| c.smaller(&payload)).expect("zstd").expect("smaller");
        assert_eq!(decompress(object_flag::ZSTD, &frame).as_deref(), Ok(payload.as_slice()));
        for flags in [object_flag::XZ, object_flag::LZ4, object_flag::ZSTD, 3, 7] {
            for end in 0..frame.len().min(60) {
                assert!(decompress(flags, &frame[..end]).is_err(), "flags {flags}, {end} bytes");
            }
        }
    }

    /// Goal: what liblzma and lz4 made for systemd unfolds: xz without a check, lz4 behind its size; a stated size that
    /// cannot be is refused before memory is taken.
    #[test]
    fn frames_of_other_writers_unfold() {
        let payload = format!("MESSAGE={}", "squeezed ".repeat(100)).into_bytes();
        const XZ: &str = "fd377a585a000000ff12d9410200210116000000742fe5a3e0038b001d5d00269146c0d19457e49528562acb147d90759ecf\
                          beae67afde1802492f00000000000001318c07000000ff65b2e5a8000afc020000000000595a";
        let digits: Vec<u8> = XZ.bytes().filter(u8::is_ascii_hexdigit).collect();
        let xz: Vec<u8> = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("digits"))
            .collect();
        assert_eq!(decompress(object_flag::XZ, &xz).as_deref(), Ok(payload.as_slice()));
        let mut lz4 = (payload.len() as u64).to_le_bytes().to_vec();
        lz4.extend(lz4_flex::block::compress(&payload));
        assert_eq!(decompress(object_flag::LZ4, &lz4).as_deref(), Ok(payload.as_slice()));
        lz4[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(decompress(object_flag::LZ4, &lz4).is_err());
    }
}
