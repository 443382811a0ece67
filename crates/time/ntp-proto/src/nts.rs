//! Network Time Security for NTPv4 (RFC 8915): keys are established over TLS once, and every packet after that carries its
//! proof. Here stands all of it that needs no socket: the records of the establishment, the server's cookies, the packets'
//! fields, and the state that a client and a server keep.
//!
//! Order of a client's life: [`Association::prepare`] says whether keys are needed; the daemon does TLS and gives
//! [`KeResponse::parse`] what came; [`Association::established`] takes it; [`Association::protect`] and
//! [`Association::open`] stand between the client machine and the wire.

mod aead;
mod association;
mod cookie;
mod dump;
mod establish;
mod field;
mod record;
mod reply;
mod serve;
mod siv;

pub use aead::{AeadAlgorithm, AeadKey, NONCE_BYTES_MAX, TAG_BYTES};
pub use association::{
    Association, COOKIES_MAX, KeFailureKind, NtsError, NtsReport, PROTECT_RANDOM_BYTES, Preparation,
};
pub use cookie::{CookieError, CookieKeys, CookieSecrets};
pub use dump::{DumpError, SavedAssociation};
pub use establish::{
    EXPORTER_LABEL, EstablishedKeys, KeAnswer, KeError, KeOffer, KeRequest, KeResponse, SessionKeys,
    exporter_context,
};
pub use field::{FIELD_AUTHENTICATOR, FIELD_COOKIE, FIELD_COOKIE_PLACEHOLDER, FIELD_UNIQUE_IDENTIFIER};
pub use record::{KE_MESSAGE_BYTES_MAX, Record, RecordError, Records, message_is_complete};
pub use reply::{NtsRefusal, NtsRequest};
