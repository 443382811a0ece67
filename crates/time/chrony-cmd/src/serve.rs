//! The daemon's end: from a datagram to the datagram that answers it.

use crate::wire::{Reader, Wire};
use crate::{
    Command, REPLY_HEADER_LENGTH, REQUEST_LENGTH_MAX, Reply, Request, Status, VERSION, VERSION_UNPADDED,
};

/// Over which socket a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The Unix socket: whoever the directory's permissions let in may do everything.
    UnixSocket,
    /// UDP, from an address that `cmdallow` allows: only what reads.
    Udp,
}

/// Why a datagram is not answered. Whatever it is, an answer would serve nobody but an attacker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// Shorter than a header or longer than any request.
    Length,
    /// Not a request: wrong type or reserved bytes.
    NotRequest,
    /// Of a version so old that its sender would not understand the answer.
    Version,
    /// The answer would be longer than the request.
    WouldAmplify,
}

/// Which commands are answered over UDP (`opencommands` in chrony.conf(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenCommands(u128);

impl Default for OpenCommands {
    /// Those that show the state of clock and sources and name no client.
    fn default() -> Self {
        let open = Command::ALL.iter().filter(|command| command.is_open_by_default());
        Self(open.fold(0, |set, command| set | 1 << command.code()))
    }
}

impl OpenCommands {
    /// No command at all.
    pub const NONE: Self = Self(0);

    /// These and one more.
    #[must_use]
    pub fn with(self, command: Command) -> Self {
        Self(self.0 | 1 << command.code())
    }

    /// Whether the command is among them.
    pub fn contains(self, command: Command) -> bool {
        self.0 >> command.code() & 1 == 1
    }
}

/// Answers one datagram. `daemon` does what the request says and returns its data, or the status that tells why not;
/// it is called only for complete requests that this peer may send.
///
/// # Errors
///
/// Why the datagram must not be answered. For the counters only: nothing went wrong on our side.
pub fn serve(
    datagram: &[u8],
    peer: Peer,
    open: OpenCommands,
    daemon: impl FnOnce(Request) -> Result<Reply, Status>,
) -> Result<Vec<u8>, Dropped> {
    if datagram.len() < REPLY_HEADER_LENGTH || datagram.len() > REQUEST_LENGTH_MAX {
        return Err(Dropped::Length);
    }
    let input = &mut Reader::new(datagram);
    let header = Header::take(input).ok_or(Dropped::Length)?;
    if header.packet_type != 1 || header.reserved != 0 {
        return Err(Dropped::NotRequest);
    }
    if header.version != VERSION && header.version < VERSION_UNPADDED {
        return Err(Dropped::Version);
    }
    let (status, reply) = match decide(datagram.len(), &header, input, peer, open, daemon) {
        Ok(reply) => (Status::Success, reply),
        Err(status) => (status, Reply::Null),
    };

    let mut data = Vec::new();
    let kind = reply.put(datagram.len() - REPLY_HEADER_LENGTH, &mut data);
    if REPLY_HEADER_LENGTH + data.len() > datagram.len() {
        return Err(Dropped::WouldAmplify);
    }
    let mut out = Vec::with_capacity(REPLY_HEADER_LENGTH + data.len());
    out.extend_from_slice(&[VERSION, 2, 0, 0]);
    header.command.put(&mut out);
    kind.put(&mut out);
    status.put(&mut out);
    out.extend_from_slice(&[0; 6]);
    header.sequence.put(&mut out);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&data);
    Ok(out)
}

/// The status that a reply of [`serve`] carries: for counters. None for bytes that are no reply.
pub fn status_of(reply: &[u8]) -> Option<Status> {
    let input = &mut Reader::new(reply);
    let _version_to_reply: (u32, u32) = (input.take()?, input.take()?);
    input.take()
}

struct Header {
    version: u8,
    packet_type: u8,
    reserved: u16,
    command: u16,
    sequence: u32,
}

impl Header {
    fn take(input: &mut Reader<'_>) -> Option<Self> {
        let header = Self {
            version: input.take()?,
            packet_type: input.take()?,
            reserved: input.take()?,
            command: input.take()?,
            sequence: {
                let _attempt: u16 = input.take()?;
                input.take()?
            },
        };
        input.take::<crate::request::RequestPad>()?;
        Some(header)
    }
}

fn decide(
    length: usize,
    header: &Header,
    input: &mut Reader<'_>,
    peer: Peer,
    open: OpenCommands,
    daemon: impl FnOnce(Request) -> Result<Reply, Status>,
) -> Result<Reply, Status> {
    if header.version != VERSION {
        return Err(Status::BadVersion);
    }
    let command = Command::from_code(header.command).ok_or(Status::Invalid)?;
    if length < command.request_length_min() {
        return Err(Status::BadLength);
    }
    let request = command.take(input).ok_or(Status::BadLength)?;
    if peer == Peer::Udp && !open.contains(command) {
        return Err(Status::Unauthorised);
    }
    daemon(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::{Activity, ServerPackets, ServerStats, ServerTimestamps};

    fn datagram(version: u8, packet_type: u8, reserved: u8, command: u16, length: usize) -> Vec<u8> {
        let mut out = vec![version, packet_type, reserved, 0];
        out.extend_from_slice(&command.to_be_bytes());
        out.extend_from_slice(&[0, 0, 1, 2, 3, 4]);
        out.resize(length, 0);
        out
    }

    /// Goal: what must not be answered is not, and the daemon never sees it.
    #[test]
    fn foreign_datagrams_are_dropped() {
        let check = |datagram: Vec<u8>, expected: Dropped| {
            let result = serve(&datagram, Peer::UnixSocket, OpenCommands::default(), |_| {
                unreachable!("the daemon was asked")
            });
            assert_eq!(result, Err(expected));
        };
        check(vec![], Dropped::Length);
        check(datagram(6, 1, 0, 33, 27), Dropped::Length);
        check(datagram(6, 1, 0, 33, REQUEST_LENGTH_MAX + 1), Dropped::Length);
        check(datagram(6, 2, 0, 33, 104), Dropped::NotRequest);
        check(datagram(6, 1, 1, 33, 104), Dropped::NotRequest);
        check(datagram(4, 1, 0, 33, 104), Dropped::Version);
    }

    /// Goal: each mistake has its status, in the order in which chronyd looks for them.
    #[test]
    fn mistakes_have_their_status() {
        let check = |peer: Peer, datagram: Vec<u8>, expected: Status| {
            let reply =
                serve(&datagram, peer, OpenCommands::default(), |_| Ok(Reply::Null)).expect("an answer");
            assert_eq!(reply.len(), 28);
            assert_eq!(reply[..4], [6, 2, 0, 0]);
            assert_eq!(reply[4..6], datagram[4..6]);
            assert_eq!(reply[6..8], [0, 1]);
            assert_eq!(reply[8..10], expected.code().to_be_bytes());
            assert_eq!(status_of(&reply), Some(expected));
            assert_eq!(reply[16..20], [1, 2, 3, 4]);
        };
        check(Peer::UnixSocket, datagram(5, 1, 0, 33, 28), Status::BadVersion);
        check(Peer::UnixSocket, datagram(7, 1, 0, 33, 28), Status::BadVersion);
        check(Peer::UnixSocket, datagram(6, 1, 0, 0, 28), Status::Invalid);
        check(Peer::UnixSocket, datagram(6, 1, 0, 75, 28), Status::Invalid);
        check(Peer::UnixSocket, datagram(6, 1, 0, 33, 103), Status::BadLength);
        check(Peer::Udp, datagram(6, 1, 0, 43, 28), Status::Unauthorised);
        check(Peer::UnixSocket, datagram(6, 1, 0, 43, 28), Status::Success);
        check(Peer::Udp, datagram(6, 1, 0, 43, 27 + 1), Status::Unauthorised);
    }

    /// Goal: the daemon's data arrive in the reply; its refusal arrives as the status.
    #[test]
    fn the_daemon_is_asked() {
        let activity = Activity { online: 3, ..Activity::default() };
        let reply = serve(&datagram(6, 1, 0, 44, 48), Peer::Udp, OpenCommands::default(), |request| {
            assert_eq!(request, Request::Activity);
            Ok(Reply::Activity(activity))
        })
        .expect("an answer");
        assert_eq!(reply.len(), 48);
        assert_eq!(reply[6..8], [0, 12]);
        assert_eq!(reply[28..32], [0, 0, 0, 3]);

        let reply = serve(&datagram(6, 1, 0, 51, 52), Peer::Udp, OpenCommands::default(), |_| {
            Err(Status::NotEnabled)
        })
        .expect("an answer");
        assert_eq!(reply[6..10], [0, 1, 0, 6]);
    }

    /// Goal: an older client, known by its shorter request, gets the form that it understands.
    #[test]
    fn an_older_client_gets_the_older_form() {
        let check = |length: usize, kind: u8, expected: usize| {
            let reply = serve(&datagram(6, 1, 0, 54, length), Peer::UnixSocket, OpenCommands::NONE, |_| {
                Ok(Reply::ServerStats(Box::new(ServerStats {
                    packets: ServerPackets { ntp_received: 1 << 40, ..ServerPackets::default() },
                    timestamps: Some(ServerTimestamps::default()),
                })))
            })
            .expect("an answer");
            assert_eq!((reply[7], reply.len()), (kind, expected));
        };
        check(72, 24, 72);
        check(195, 24, 72);
        check(196, 25, 196);
    }

    /// Goal: no reply is longer than its request, whatever the daemon says.
    #[test]
    fn nothing_is_amplified() {
        let answered = serve(&datagram(6, 1, 0, 43, 28), Peer::UnixSocket, OpenCommands::NONE, |_| {
            Ok(Reply::NSources(1))
        });
        assert_eq!(answered, Err(Dropped::WouldAmplify));
    }
}
