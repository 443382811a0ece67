//! One key establishment of ours: connect, shake hands, ask, read the answer. It never waits, and it ends: by its result, by its
//! time, or by the bytes that it may cost.

use super::trust::{Accepted, Set, TimeKnown, Verifier};
use super::{ALPN, VERSIONS, export};
use ntp_proto::nts::{
    AeadAlgorithm, EstablishedKeys, KE_MESSAGE_BYTES_MAX, KeFailureKind, KeRequest, KeResponse,
    message_is_complete,
};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;
use sys::poll::{Interest, Readiness};
use sys::socket::TcpConnection;

/// The longest time that an establishment may take (as chronyd's).
const TIME_MAX: Duration = Duration::from_secs(16);
/// The most bytes that it may take off the network: a chain of certificates and the longest answer, several times over.
const BYTES_MAX: usize = 128 * 1024;

/// What came of it.
#[derive(Debug)]
pub(crate) struct Established {
    /// The keys and cookies.
    pub keys: EstablishedKeys,
    /// NTP is at this name or address instead of the one that was asked.
    pub server: Option<String>,
    /// NTP is at this port.
    pub port: Option<u16>,
    /// How the certificate was found good.
    pub accepted: Accepted,
}

/// Where it stands.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Something is still to come.
    Waiting,
    /// It is over and good.
    Done(Box<Established>),
    /// It is over.
    Failed(KeFailureKind, String),
}

/// An establishment on its way.
#[derive(Debug)]
pub(crate) struct Session {
    /// Where the server is.
    address: SocketAddr,
    stream: TcpConnection,
    tls: ClientConnection,
    verifier: Arc<Verifier>,
    /// The name that the certificate must have.
    name: String,
    algorithms: Vec<AeadAlgorithm>,
    ends: Duration,
    connected: bool,
    received: Vec<u8>,
    bytes: usize,
}

/// With whom and how.
#[derive(Debug)]
pub(crate) struct Terms<'a> {
    /// Where the server is.
    pub address: SocketAddr,
    /// What its certificate must be for.
    pub name: &'a str,
    /// Whom to trust.
    pub set: Arc<Set>,
    /// What time it is.
    pub time: TimeKnown,
    /// What to offer, the best first.
    pub algorithms: &'a [AeadAlgorithm],
    /// `bindacqaddress`.
    pub local: Option<SocketAddr>,
    /// `bindacqdevice`.
    pub device: Option<&'a str>,
}

impl Session {
    /// Begins at `now`.
    pub(crate) fn begin(terms: Terms<'_>, now: Duration) -> Result<Self, (KeFailureKind, String)> {
        let answer = |error: &dyn std::fmt::Display| (KeFailureKind::Answer, error.to_string());
        if terms.set.is_empty() {
            return Err((
                KeFailureKind::Answer,
                "no certificate is trusted; help: in chrony.conf: ntstrustedcerts /etc/ssl/certs/ca-certificates.crt"
                    .to_owned(),
            ));
        }
        if terms.algorithms.is_empty() {
            let why = "ntsaeads names no algorithm; help: in chrony.conf: ntsaeads 30 15";
            return Err((KeFailureKind::Answer, why.to_owned()));
        }
        let name = ServerName::try_from(terms.name.to_owned()).map_err(|error| answer(&error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(Verifier::new(terms.set, Arc::clone(&provider), terms.time));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(VERSIONS)
            .map_err(|error| answer(&error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Keys are established once in weeks; a session that is taken up again would tie two of them together.
        config.resumption = Resumption::disabled();
        let mut tls = ClientConnection::new(Arc::new(config), name).map_err(|error| answer(&error))?;
        tls.writer().write_all(&KeRequest::bytes(terms.algorithms)).map_err(|error| answer(&error))?;
        let stream = sys::socket::connect_tcp(terms.address, terms.local, terms.device)
            .map_err(|error| (KeFailureKind::Connect, unconnected(terms.address, &error)))?;
        Ok(Self {
            address: terms.address,
            stream,
            tls,
            verifier,
            name: terms.name.to_owned(),
            algorithms: terms.algorithms.to_vec(),
            ends: now + TIME_MAX,
            connected: false,
            received: Vec::new(),
            bytes: 0,
        })
    }

    /// What to wait for.
    pub(crate) fn wanted(&self) -> (BorrowedFd<'_>, Interest) {
        let interest = Interest {
            readable: self.connected && self.tls.wants_read(),
            writable: !self.connected || self.tls.wants_write(),
            priority: false,
        };
        (self.stream.as_fd(), interest)
    }

    /// When it is over at the latest.
    pub(crate) fn deadline(&self) -> Duration {
        self.ends
    }

    /// Goes on as far as it can.
    pub(crate) fn advance(&mut self, now: Duration, ready: Readiness) -> Progress {
        match self.step(ready) {
            Ok(Some(done)) => Progress::Done(Box::new(done)),
            Ok(None) if now >= self.ends => Progress::Failed(self.kind(), "it took too long".to_owned()),
            Ok(None) => Progress::Waiting,
            Err((kind, why)) => Progress::Failed(kind, why),
        }
    }

    /// A failure now is whose.
    fn kind(&self) -> KeFailureKind {
        if self.tls.is_handshaking() { KeFailureKind::Connect } else { KeFailureKind::Answer }
    }

    fn step(&mut self, ready: Readiness) -> Result<Option<Established>, (KeFailureKind, String)> {
        if !self.connected {
            if let Some(error) = self.stream.take_error().ok().flatten() {
                return Err((KeFailureKind::Connect, unconnected(self.address, &error)));
            }
            if !ready.writable {
                return Ok(None);
            }
            self.connected = true;
        }
        loop {
            let mut moved = false;
            while self.tls.wants_write() {
                match self.tls.write_tls(&mut self.stream) {
                    Ok(0) => break,
                    Ok(_) => moved = true,
                    Err(error) if is_for_later(&error) => break,
                    Err(error) => return Err((self.kind(), error.to_string())),
                }
            }
            match self.tls.read_tls(&mut self.stream) {
                Ok(0) => {
                    // What came before the end may be the whole answer.
                    self.tls.process_new_packets().map_err(|error| self.refused(&error))?;
                    return match self.answer()? {
                        Some(done) => Ok(Some(done)),
                        None => Err((self.kind(), "the server hung up".to_owned())),
                    };
                }
                Ok(count) => {
                    moved = true;
                    self.bytes += count;
                    if self.bytes > BYTES_MAX {
                        return Err((KeFailureKind::Answer, format!("more than {BYTES_MAX} bytes came")));
                    }
                    if let Err(error) = self.tls.process_new_packets() {
                        // The alert that says why is worth one try.
                        let _ = self.tls.write_tls(&mut self.stream);
                        return Err(self.refused(&error));
                    }
                    if let Some(done) = self.answer()? {
                        return Ok(Some(done));
                    }
                }
                Err(error) if is_for_later(&error) => {}
                Err(error) => return Err((self.kind(), error.to_string())),
            }
            if !moved {
                return Ok(None);
            }
        }
    }

    fn refused(&self, error: &rustls::Error) -> (KeFailureKind, String) {
        (KeFailureKind::Answer, super::refusal::words(error, &self.name))
    }

    /// The answer, once it is whole.
    fn answer(&mut self) -> Result<Option<Established>, (KeFailureKind, String)> {
        let failed = |why: String| (KeFailureKind::Answer, why);
        let mut buffer = [0; 4096];
        loop {
            match self.tls.reader().read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    self.received.extend(buffer.iter().take(count));
                    if self.received.len() > KE_MESSAGE_BYTES_MAX {
                        return Err(failed(format!(
                            "the answer is longer than {KE_MESSAGE_BYTES_MAX} bytes"
                        )));
                    }
                }
                Err(_) => break,
            }
        }
        if self.tls.is_handshaking()
            || !message_is_complete(&self.received).map_err(|error| failed(error.to_string()))?
        {
            return Ok(None);
        }
        if self.tls.alpn_protocol() != Some(ALPN) {
            return Err(failed("the server does not speak ntske/1".to_owned()));
        }
        let response =
            KeResponse::parse(&self.received, &self.algorithms).map_err(|error| failed(error.to_string()))?;
        let export = |exporter| {
            export(&self.tls, response.algorithm, exporter).map_err(|error| failed(error.to_string()))
        };
        let keys = export(response.exporter())?;
        let alternative = response.alternative_exporter().map(export).transpose()?;
        let accepted =
            self.verifier.accepted().ok_or_else(|| failed("no certificate was shown".to_owned()))?;
        self.tls.send_close_notify();
        let _ = self.tls.write_tls(&mut self.stream);
        Ok(Some(Established {
            keys: EstablishedKeys { keys, alternative, cookies: response.cookies },
            server: response.server,
            port: response.port,
            accepted,
        }))
    }
}

/// Why nobody is there, and where.
fn unconnected(address: SocketAddr, error: &io::Error) -> String {
    let why = crate::events::reason(error);
    let help = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "; help: the server must have ntsservercert and ntsserverkey; with another port there: ntsport PORT on the source's line here"
        }
        _ => "",
    };
    format!("TCP port {} of {}: {why}{help}", address.port(), address.ip())
}

/// Nothing is wrong, only nothing can be moved now.
pub(super) fn is_for_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::NotConnected
    )
}
