//! Control sockets: framing, peer identity, version handshake.
#![forbid(unsafe_code)]
