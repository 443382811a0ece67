//! What the spool keeps of a message besides its content, and its encoding.

use crate::format::{Reader, Writer};

/// Who a message is from and for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope {
    /// Arrival, in microseconds since 1970.
    pub arrival_usec: u64,
    /// Envelope sender; empty is the null sender.
    pub sender: String,
    /// Whatever the owner wants to keep with the message; opaque here.
    pub attributes: Vec<u8>,
    /// The recipients, by index.
    pub recipients: Vec<Recipient>,
}

/// One recipient.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recipient {
    /// The address to deliver to.
    pub address: String,
    /// The address that the sender gave.
    pub original: String,
    /// Whatever the owner wants to keep with the recipient; opaque here.
    pub detail: Vec<u8>,
    /// What has become of it.
    pub state: State,
}

/// What has become of a recipient.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// In one word.
    pub kind: StateKind,
    /// Next attempt in seconds since 1970; 0 is at once. Only meant while waiting.
    pub next: i64,
    /// Attempts so far.
    pub attempts: u32,
    /// Enhanced status code of the last attempt.
    pub dsn: String,
    /// What the last attempt said.
    pub reason: String,
}

/// The states of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StateKind {
    /// To be tried (again).
    #[default]
    Waiting,
    /// Delivered.
    Delivered,
    /// Given up; the sender has not been told.
    Failed,
    /// Given up and told.
    Reported,
    /// Replaced by other recipients.
    Expanded,
}

/// A new state of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Index of the recipient.
    pub recipient: usize,
    /// Its state from now on.
    pub state: State,
}

impl StateKind {
    const ALL: [Self; 5] = [Self::Waiting, Self::Delivered, Self::Failed, Self::Reported, Self::Expanded];

    fn code(self) -> u8 {
        match self {
            Self::Waiting => 0,
            Self::Delivered => 1,
            Self::Failed => 2,
            Self::Reported => 3,
            Self::Expanded => 4,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

impl Envelope {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u64(self.arrival_usec);
        out.string(self.sender.as_bytes());
        out.string(&self.attributes);
        out.count(self.recipients.len());
        self.recipients.iter().for_each(|r| r.encode(&mut out));
        out.0
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader(bytes);
        let arrival_usec = input.u64()?;
        let sender = input.text()?;
        let attributes = input.string()?.to_vec();
        let count = input.u32()?;
        let recipients = (0..count).map(|_| Recipient::decode(&mut input)).collect::<Option<_>>()?;
        input.0.is_empty().then_some(Self { arrival_usec, sender, attributes, recipients })
    }
}

impl Recipient {
    fn encode(&self, out: &mut Writer) {
        out.string(self.address.as_bytes());
        out.string(self.original.as_bytes());
        out.string(&self.detail);
        self.state.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            address: input.text()?,
            original: input.text()?,
            detail: input.string()?.to_vec(),
            state: State::decode(input)?,
        })
    }
}

impl State {
    fn encode(&self, out: &mut Writer) {
        out.u8(self.kind.code());
        out.u64(self.next.cast_unsigned());
        out.u32(self.attempts);
        out.string(self.dsn.as_bytes());
        out.string(self.reason.as_bytes());
    }

    fn decode(input: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            kind: StateKind::from_code(input.u8()?)?,
            next: input.u64()?.cast_signed(),
            attempts: input.u32()?,
            dsn: input.text()?,
            reason: input.text()?,
        })
    }
}

/// The body of a change record.
pub(crate) fn encode_changes(changes: &[Change], base: usize, added: &[Recipient]) -> Vec<u8> {
    let mut out = Writer::default();
    out.count(changes.len());
    for change in changes {
        out.count(change.recipient);
        change.state.encode(&mut out);
    }
    out.count(base);
    out.count(added.len());
    added.iter().for_each(|r| r.encode(&mut out));
    out.0
}

/// Reads what [`encode_changes`] wrote: the changes, the index of the first addition, the additions.
pub(crate) fn decode_changes(bytes: &[u8]) -> Option<(Vec<Change>, usize, Vec<Recipient>)> {
    let mut input = Reader(bytes);
    let count = input.u32()?;
    let change = |input: &mut Reader<'_>| {
        let recipient = usize::try_from(input.u32()?).ok()?;
        Some(Change { recipient, state: State::decode(input)? })
    };
    let changes = (0..count).map(|_| change(&mut input)).collect::<Option<_>>()?;
    let base = usize::try_from(input.u32()?).ok()?;
    let count = input.u32()?;
    let added = (0..count).map(|_| Recipient::decode(&mut input)).collect::<Option<_>>()?;
    input.0.is_empty().then_some((changes, base, added))
}
