//! The command's end: from a request to a datagram, and from a datagram to the answer.

use crate::wire::{Reader, Wire};
use crate::{
    Command, REPLY_HEADER_LENGTH, REQUEST_HEADER_LENGTH, Reply, Request, Status, VERSION, VERSION_UNPADDED,
};

/// The oldest version whose "version mismatch" is understood.
const VERSION_MISMATCH_MIN: u8 = 4;

/// A request on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The command.
    pub command: Command,
    /// Random: whoever cannot see the request cannot forge its answer.
    pub sequence: u32,
    /// [`VERSION`], or [`VERSION_UNPADDED`] once a daemon said that it is older.
    pub version: u8,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What became of the request.
    pub status: Status,
    /// The data; none when they are of a kind that this crate does not know.
    pub reply: Option<Reply>,
}

/// Why a datagram is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// It answers something else, or is no reply at all: keep waiting.
    NotOurs,
    /// It ends too early: ask again.
    TooShort,
    /// The daemon speaks the version before: ask again in [`VERSION_UNPADDED`].
    Older,
}

/// The datagram of a request. `attempt` counts from 0; the sequence is new in each attempt.
pub fn encode(request: &Request, asked: Asked, attempt: u16) -> Vec<u8> {
    let length = if asked.version == VERSION_UNPADDED {
        REQUEST_HEADER_LENGTH + asked.command.data_length()
    } else {
        asked.command.request_length()
    };
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(&[asked.version, 1, 0, 0]);
    asked.command.code().put(&mut out);
    attempt.put(&mut out);
    asked.sequence.put(&mut out);
    out.extend_from_slice(&[0; 8]);
    request.put(&mut out);
    out.resize(length, 0);
    out
}

/// Reads a datagram that may be the answer.
///
/// # Errors
///
/// Why it is none, and what to do then.
pub fn decode(datagram: &[u8], asked: Asked) -> Result<Answer, NoAnswer> {
    let (header, data) = datagram.split_at_checked(REPLY_HEADER_LENGTH).ok_or(NoAnswer::NotOurs)?;
    let input = &mut Reader::new(header);
    let mut read = || {
        let version: u8 = input.take()?;
        let packet_type: u8 = input.take()?;
        let reserved: u16 = input.take()?;
        let command: u16 = input.take()?;
        let kind: u16 = input.take()?;
        let status: Status = input.take()?;
        input.take::<crate::wire::Filler<6, 0>>()?;
        let sequence: u32 = input.take()?;
        let ours = packet_type == 2
            && reserved == 0
            && command == asked.command.code()
            && sequence == asked.sequence;
        ours.then_some((version, kind, status))
    };
    let (version, kind, status) = read().ok_or(NoAnswer::NotOurs)?;
    if version != asked.version && !(version >= VERSION_MISMATCH_MIN && status == Status::BadVersion) {
        return Err(NoAnswer::NotOurs);
    }
    if asked.version == VERSION && version == VERSION_UNPADDED {
        return Err(NoAnswer::Older);
    }
    let reply = Reply::take(kind, data).map_err(|()| NoAnswer::TooShort)?;
    Ok(Answer { status, reply })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::*;
    use crate::wire::{Address, Float, Name, Timespec};
    use crate::{OpenCommands, Peer, serve};

    fn asked(command: Command) -> Asked {
        Asked { command, sequence: 0xdead_beef, version: VERSION }
    }

    /// Goal: what one end writes the other reads, for replies of every kind; cutting it short never panics.
    #[test]
    fn both_ends_understand_each_other() {
        let check = |request: Request, reply: Reply| {
            let asked = asked(request.command());
            let datagram = encode(&request, asked, 0);
            assert_eq!(datagram.len(), asked.command.request_length());
            let answer = serve(&datagram, Peer::UnixSocket, OpenCommands::default(), |got| {
                assert_eq!(got, request);
                Ok(reply.clone())
            })
            .expect("an answer");
            assert!(answer.len() <= datagram.len());
            assert_eq!(decode(&answer, asked), Ok(Answer { status: Status::Success, reply: Some(reply) }));
            for end in 0..answer.len() {
                let short = decode(&answer[..end], asked);
                assert_eq!(short, Err(if end < 28 { NoAnswer::NotOurs } else { NoAnswer::TooShort }));
            }
        };
        let ten = Float(10.0);
        let host = Address::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
        let when = Timespec { seconds: 1_700_000_000, nanoseconds: 5 };
        check(Request::Online(crate::Subnet::ALL), Reply::Null);
        check(Request::NSources, Reply::NSources(7));
        check(
            Request::SourceData(2),
            Reply::SourceData(SourceData {
                address: host,
                poll: -3,
                stratum: 2,
                state: SourceState::Combined,
                mode: SourceMode::Client,
                flags: 0,
                reachability: 0o377,
                since_sample: u32::MAX,
                original_offset: Float(-0.5),
                adjusted_offset: ten,
                error: ten,
            }),
        );
        check(
            Request::Tracking,
            Reply::Tracking(Tracking {
                reference_id: 0x7f7f_0101,
                address: Address::Unspecified,
                stratum: 10,
                leap: LeapStatus::Normal,
                reference_time: when,
                current_correction: ten,
                last_offset: Float(-1.0),
                rms_offset: ten,
                frequency_ppm: ten,
                residual_frequency_ppm: ten,
                skew_ppm: ten,
                root_delay: ten,
                root_dispersion: ten,
                update_interval: ten,
            }),
        );
        check(
            Request::SourceStats(0),
            Reply::SourceStats(SourceStats {
                reference_id: 1,
                address: host,
                samples: 4,
                runs: 3,
                span_seconds: 200,
                standard_deviation: ten,
                residual_frequency_ppm: ten,
                skew_ppm: ten,
                offset: ten,
                offset_error: ten,
            }),
        );
        let client = ClientAccess { address: host, ntp_hits: 9, ntp_interval: -2, ..ClientAccess::default() };
        check(
            Request::ClientAccesses(crate::request::ClientPage {
                first_index: 0,
                clients: 8,
                min_hits: 0,
                reset: 0,
            }),
            Reply::ClientAccesses(ClientAccesses {
                indices: 2,
                next_index: 2,
                clients: vec![client, client],
            }),
        );
        let sample = ManualSample { when, slewed_offset: ten, original_offset: ten, residual: ten };
        check(Request::ManualList, Reply::ManualList(ManualList { samples: vec![sample] }));
        let name = Name::new("ntp.example.net").expect("a short name");
        check(Request::SourceName(host), Reply::SourceName(Box::new(name)));
        check(
            Request::ServerStats,
            Reply::ServerStats(Box::new(ServerStats {
                packets: ServerPackets { ntp_received: 1 << 40, ..ServerPackets::default() },
                timestamps: Some(ServerTimestamps { kernel_sent: 4, ..ServerTimestamps::default() }),
            })),
        );
    }

    /// Goal: what is not our answer is not taken for one; an older daemon is recognised.
    #[test]
    fn only_our_own_answer_counts() {
        let ours = asked(Command::Makestep);
        let datagram = encode(&Request::Makestep, ours, 0);
        let answer = serve(&datagram, Peer::UnixSocket, OpenCommands::default(), |_| Ok(Reply::Null))
            .expect("an answer");
        let check = |position: usize, byte: u8, expected: NoAnswer| {
            let mut changed = answer.clone();
            changed[position] = byte;
            assert_eq!(decode(&changed, ours), Err(expected), "byte {position}");
        };
        check(0, 5, NoAnswer::NotOurs);
        check(1, 1, NoAnswer::NotOurs);
        check(2, 1, NoAnswer::NotOurs);
        check(5, 44, NoAnswer::NotOurs);
        check(19, 0, NoAnswer::NotOurs);
        check(7, 5, NoAnswer::TooShort);

        let mut older = answer.clone();
        older[0] = 5;
        older[9] = 18;
        assert_eq!(decode(&older, ours), Err(NoAnswer::Older));
        let mut unknown = answer;
        unknown[7] = 99;
        assert_eq!(decode(&unknown, ours), Ok(Answer { status: Status::Success, reply: None }));
    }

    /// Goal: to an older daemon nothing is padded.
    #[test]
    fn the_older_version_has_no_padding() {
        let older = Asked { version: VERSION_UNPADDED, ..asked(Command::Tracking) };
        assert_eq!(encode(&Request::Tracking, older, 1).len(), 20);
    }

    /// Goal: no bytes make either end panic. Method: valid messages of every command, each byte replaced in turn, and the
    /// daemon's end answers nothing longer than it was asked.
    #[test]
    fn changed_bytes_are_survived() {
        for &command in Command::ALL {
            let asked = asked(command);
            let mut datagram = vec![0; command.request_length()];
            datagram[..6].copy_from_slice(&[6, 1, 0, 0, (command.code() >> 8) as u8, command.code() as u8]);
            for position in 0..datagram.len().min(80) {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut changed = datagram.clone();
                    changed[position] = value;
                    let answer =
                        serve(&changed, Peer::UnixSocket, OpenCommands::default(), |_| Ok(Reply::Null));
                    assert!(
                        answer.is_ok_and(|answer| answer.len() <= changed.len()) || position < 4,
                        "{command:?}"
                    );
                }
            }
            let mut reply = vec![0xff; REPLY_HEADER_LENGTH + 600];
            for kind in 0..=27 {
                reply[..6].copy_from_slice(&[6, 2, 0, 0, (command.code() >> 8) as u8, command.code() as u8]);
                reply[6..8].copy_from_slice(&[0, kind]);
                reply[16..20].copy_from_slice(&asked.sequence.to_be_bytes());
                assert!(decode(&reply, asked).is_ok(), "kind {kind}");
            }
        }
    }
}
