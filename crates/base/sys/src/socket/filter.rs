//! Datagrams that the kernel drops at a socket, and how many it was (`socket(7)`: `SO_ATTACH_FILTER`).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use crate::check;

/// The bytes of UDP's header, which a filter sees before the datagram.
const UDP_HEADER_BYTES: u32 = 8;
/// Classic BPF (`linux/bpf_common.h`): the accumulator takes the length, a byte, or a word of four bytes in network order.
const LOAD_LENGTH: u16 = 0x80;
const LOAD_BYTE: u16 = 0x30;
const LOAD_WORD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;
/// More than any datagram: all of it is kept.
const KEEP: u32 = 0xffff;
/// Instructions of one condition.
const CONDITION_STEPS: usize = 4;
/// Conditions in one filter: as far as its jumps reach.
const CONDITIONS_MAX: usize = 60;

/// What of a datagram is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its length in bytes; the mask does not matter.
    Length,
    /// The byte at an offset. A datagram without it is dropped: check the length first.
    Byte(u32),
    /// The four bytes at an offset, in network order. A datagram without them is dropped: check the length first.
    Word(u32),
}

/// One thing that must hold: `lowest <= part & mask <= highest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Of what.
    pub part: Part,
    /// Which bits.
    pub mask: u32,
    /// The least value.
    pub lowest: u32,
    /// The greatest value.
    pub highest: u32,
}

/// The kernel drops every datagram for which all conditions hold, looked at in their order, and counts it in [`dropped`]; the others
/// arrive. Replaces an earlier filter of the socket.
pub fn drop_where(socket: impl AsFd, conditions: &[Condition]) -> io::Result<()> {
    if conditions.len() > CONDITIONS_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many conditions for one filter"));
    }
    let step = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    let mut steps = Vec::with_capacity(conditions.len() * CONDITION_STEPS + 2);
    for (index, condition) in conditions.iter().enumerate() {
        let Condition { mask, lowest, highest, .. } = *condition;
        // The header is counted and stands before the datagram.
        let (code, at, counted) = match condition.part {
            Part::Length => (LOAD_LENGTH, 0, UDP_HEADER_BYTES),
            Part::Byte(at) => (LOAD_BYTE, at.saturating_add(UDP_HEADER_BYTES), 0),
            Part::Word(at) => (LOAD_WORD, at.saturating_add(UDP_HEADER_BYTES), 0),
        };
        steps.push(step(code, at, 0, 0));
        steps.push(step(AND, if counted > 0 { u32::MAX } else { mask }, 0, 0));
        // A jump skips the steps behind it: those of the other conditions, and the return that drops.
        let keep = ((conditions.len() - index) * CONDITION_STEPS - 2) as u8;
        steps.push(step(JUMP_GREATER_OR_EQUAL, lowest.saturating_add(counted), 0, keep));
        steps.push(step(JUMP_GREATER, highest.saturating_add(counted), keep - 1, 0));
    }
    steps.push(step(RETURN, 0, 0, 0));
    steps.push(step(RETURN, KEEP, 0, 0));
    let program = libc::sock_fprog { len: steps.len() as libc::c_ushort, filter: steps.as_mut_ptr() };
    // SAFETY: the program points to the live steps and tells their number; the kernel checks and copies them.
    check(unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            std::ptr::from_ref(&program).cast(),
            std::mem::size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Datagrams that the kernel dropped at a socket so far, by [`drop_where`] or because its buffer was full (`SO_MEMINFO`). Wraps.
pub fn dropped(socket: impl AsFd) -> io::Result<u32> {
    /// `SO_MEMINFO` of `asm-generic/socket.h`, and the place of the count in its words (`linux/sock_diag.h`, `SK_MEMINFO_DROPS`).
    const SO_MEMINFO: libc::c_int = 55;
    const DROPS: usize = 8;
    const WORDS: usize = 16;
    let mut words = [0_u32; WORDS];
    let mut length = std::mem::size_of_val(&words) as libc::socklen_t;
    // SAFETY: pointer and length describe the live words.
    check(unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            words.as_mut_ptr().cast(),
            &mut length,
        )
    })?;
    if length as usize <= DROPS * std::mem::size_of::<u32>() {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this kernel does not count dropped datagrams",
        ));
    }
    Ok(words[DROPS])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    /// Goal: what fulfils all conditions is dropped and counted, all else arrives.
    #[test]
    fn only_what_fulfils_all_conditions_is_dropped() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_nonblocking(true).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let condition = |part, mask, lowest, highest| Condition { part, mask, lowest, highest };
        drop_where(
            &server,
            &[
                condition(Part::Length, 0, 8, 9),
                condition(Part::Byte(0), 0x3f, 0x24, 0x24),
                condition(Part::Word(4), u32::MAX, 1, u32::MAX),
            ],
        )
        .unwrap();
        let check = |datagram: &[u8], arrives: bool| {
            let before = dropped(&server).unwrap();
            client.send_to(datagram, server.local_addr().unwrap()).unwrap();
            let mut buffer = [0; 32];
            let found = server.recv(&mut buffer).ok();
            assert_eq!(found, arrives.then_some(datagram.len()), "{datagram:?}");
            assert_eq!(dropped(&server).unwrap() - before, u32::from(!arrives), "{datagram:?}");
        };
        check(&[0x24, 0, 0, 0, 0, 0, 0, 1], false);
        check(&[0xe4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 7], false);
        check(&[0xe4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 7, 7], true);
        check(&[0x24, 0, 0, 0, 0, 0, 0], true);
        check(&[0x23, 0, 0, 0, 0, 0, 0, 1], true);
        check(&[0x25, 0, 0, 0, 0, 0, 0, 1], true);
        check(&[0x24, 0, 0, 0, 0, 0, 0, 0], true);
        drop_where(&server, &[]).unwrap();
        check(b"x", false);
    }
}
