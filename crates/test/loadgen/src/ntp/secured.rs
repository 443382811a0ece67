//! Load with NTS: keys by a real establishment, requests that are made once.

use super::counting::is_sampled;
use super::{HEADER_BYTES, nonce};
use ntp_proto::nts::{
    AeadAlgorithm, Association, EXPORTER_LABEL, EstablishedKeys, KeRequest, KeResponse, PROTECT_RANDOM_BYTES,
    SessionKeys, exporter_context, message_is_complete,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The cipher that every server has (RFC 8915 section 5.1).
const ALGORITHM: AeadAlgorithm = AeadAlgorithm::AesSivCmac256;
/// The longest wait for the server's next bytes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request of each flow, and what opens its replies where they are looked at.
pub(super) type Requests = (Vec<Vec<u8>>, Vec<Option<Box<Association>>>);

/// Establishes keys and makes requests, each with an identifier of its own. The cookies take turns: a server keeps no account of them.
pub(super) fn requests(
    ke: SocketAddr,
    ca: &Path,
    template: &[u8; HEADER_BYTES],
    count: usize,
) -> Result<Requests, Box<dyn Error>> {
    let mut keys = establish(ke, ca)?;
    let mut ready = Vec::new();
    for _ in 0..keys.cookies.len() {
        keys.cookies.rotate_left(1);
        let mut association = Association::new(Duration::MAX);
        if !association.established(Duration::ZERO, keys.clone()) {
            return Err("the keys have not the cipher's length".into());
        }
        ready.push(association);
    }
    if ready.is_empty() {
        return Err("the server gave no cookies".into());
    }
    let (mut made, mut associations) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for flow in 0..count {
        let stamp = nonce(flow, flow as u64 + 1);
        let mut request = *template;
        request[40..48].copy_from_slice(&stamp.to_be_bytes());
        let mut random = [0; PROTECT_RANDOM_BYTES];
        sys::random::fill(&mut random);
        let mut association = ready[flow % ready.len()].clone();
        made.push(association.protect(&request, &random).ok_or("a request cannot be protected")?);
        // The first flow's reply is looked at before all.
        associations.push((flow == 0 || is_sampled(stamp)).then(|| Box::new(association)));
    }
    Ok((made, associations))
}

/// NTS-KE (RFC 8915 section 4).
fn establish(ke: SocketAddr, ca: &Path) -> Result<EstablishedKeys, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca)? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"ntske/1".to_vec()];
    let name = ServerName::from(ke.ip());
    let tls = ClientConnection::new(Arc::new(config), name)?;
    let stream = TcpStream::connect(ke)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut stream = rustls::StreamOwned::new(tls, stream);
    stream.write_all(&KeRequest::bytes(&[ALGORITHM]))?;
    let (mut message, mut buffer) = (Vec::new(), [0; 4096]);
    while !message_is_complete(&message).map_err(|error| error.to_string())? {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err("the key server hung up".into());
        }
        message.extend_from_slice(&buffer[..count]);
    }
    let response = KeResponse::parse(&message, &[ALGORITHM]).map_err(|error| error.to_string())?;
    let key = |to_client| {
        let context = exporter_context(response.exporter(), to_client);
        let room = vec![0; ALGORITHM.key_bytes()];
        stream.conn.export_keying_material(room, EXPORTER_LABEL, Some(&context))
    };
    let keys = SessionKeys { algorithm: ALGORITHM, to_server: key(false)?, to_client: key(true)? };
    Ok(EstablishedKeys { keys, alternative: None, cookies: response.cookies.clone() })
}
