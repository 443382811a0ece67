//! Network Time Security: TLS for the key establishment, and the files of `ntsdumpdir`. What is in the packets is ntp-proto's.
//!
//! TLS is rustls over descriptors of our own: it is given bytes and asked for bytes, and never waits.

pub(crate) mod dates;
pub(crate) mod files;
mod refusal;
pub(crate) mod serving;
pub(crate) mod session;
pub(crate) mod trust;

/// ALPN's name of the protocol (RFC 8915 section 4).
pub(crate) const ALPN: &[u8] = b"ntske/1";
/// TLS 1.3 and nothing older (RFC 8915 section 3).
pub(crate) const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The keys of both directions, as the TLS connection derives them under the number `exporter` (RFC 8915 section 5.1).
pub(crate) fn export<D>(
    tls: &rustls::ConnectionCommon<D>,
    algorithm: ntp_proto::nts::AeadAlgorithm,
    exporter: u16,
) -> Result<ntp_proto::nts::SessionKeys, rustls::Error> {
    use ntp_proto::nts::{EXPORTER_LABEL, SessionKeys, exporter_context};
    let key = |to_client| {
        let context = exporter_context(exporter, to_client);
        tls.export_keying_material(vec![0; algorithm.key_bytes()], EXPORTER_LABEL, Some(&context))
    };
    Ok(SessionKeys { algorithm, to_server: key(false)?, to_client: key(true)? })
}
