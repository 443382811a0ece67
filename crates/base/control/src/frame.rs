//! Frames: a length, then JSON.

use serde_json::Value;

use crate::FRAME_BYTES_MAX;

/// One value as a frame.
pub(crate) fn encode(value: &Value) -> Vec<u8> {
    let body = value.to_string();
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(body.as_bytes());
    frame
}

/// What stands at the front of the bytes received so far.
#[derive(Debug, PartialEq)]
pub(crate) enum Front {
    /// Not a whole frame yet.
    Incomplete,
    /// A whole frame of this many bytes, length included, with its value.
    Frame(usize, Value),
    /// No frame: the connection cannot go on.
    Broken(&'static str),
}

/// Looks at the front of `bytes`.
pub(crate) fn decode(bytes: &[u8]) -> Front {
    let Some(head) = bytes.first_chunk::<4>() else { return Front::Incomplete };
    let length = u32::from_be_bytes(*head) as usize;
    if length > FRAME_BYTES_MAX {
        return Front::Broken("the frame is longer than 1 MiB");
    }
    let Some(body) = bytes.get(4..4 + length) else { return Front::Incomplete };
    match serde_json::from_slice(body) {
        Ok(value) => Front::Frame(4 + length, value),
        Err(_) => Front::Broken("the frame is not JSON"),
    }
}
