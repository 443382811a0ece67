//! Why a server's certificate is not believed, in words for people.

use crate::records::utc;
use rustls::{CertificateError, Error};

/// What an error of TLS says about a server that was asked as `name`.
pub(super) fn words(error: &Error, name: &str) -> String {
    let Error::InvalidCertificate(refused) = error else { return error.to_string() };
    match refused {
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => format!(
            "its certificate is for no name, not for {name}; help: make it with a subject alternative name: {}",
            alternative(name)
        ),
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<&str> = presented.iter().map(|one| plain(one)).collect();
            format!("its certificate is for {}, not for {name}", names.join(", "))
        }
        CertificateError::NotValidForName => format!("its certificate is for another name, not for {name}"),
        CertificateError::UnknownIssuer => {
            format!("its certificate is signed by nobody who is trusted; help: {}", trusting(name))
        }
        CertificateError::BadSignature => {
            format!(
                "its certificate is not signed by whom it names (BadSignature): a trusted authority of that name has another key; help: {}",
                trusting(name)
            )
        }
        CertificateError::ExpiredContext { time, not_after } => format!(
            "its certificate expired on {} and this clock shows {}",
            day(not_after.as_secs()),
            day(time.as_secs())
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "its certificate is not valid yet: it begins on {} and this clock shows {}",
            day(not_before.as_secs()),
            day(time.as_secs())
        ),
        CertificateError::Expired => "its certificate has expired".to_owned(),
        CertificateError::NotValidYet => "its certificate is not valid yet".to_owned(),
        CertificateError::BadEncoding => {
            "its certificate is no certificate (X.509) as it should be".to_owned()
        }
        // What the verifier of chains says has no variant of its own here, only its name.
        CertificateError::Other(other) => match other.0.to_string().as_str() {
            "CaUsedAsEndEntity" => {
                format!(
                    "its certificate is its own, signed by nobody who is trusted; help: {}",
                    trusting(name)
                )
            }
            "UnsupportedCertVersion" => format!(
                "its certificate is of version 1, which names no host; help: make one of version 3 with a subject alternative name: {}",
                alternative(name)
            ),
            other => format!("its certificate cannot be used ({other})"),
        },
        other => format!("its certificate cannot be used ({other})"),
    }
}

/// How to trust a server: which of its files is copied, and the line that names the copy. Over another way than the one that is to be
/// trusted, so not by asking the server for it.
fn trusting(name: &str) -> String {
    let host = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
    format!(
        "copy the file that its ntsservercert names: scp {host}:/etc/chrony/nts.crt /etc/chrony/{name}.pem; in chrony.conf: ntstrustedcerts /etc/chrony/{name}.pem"
    )
}

/// As `openssl req -addext` takes it.
fn alternative(name: &str) -> String {
    let kind = if name.parse::<std::net::IpAddr>().is_ok() { "IP" } else { "DNS" };
    format!("openssl req -x509 -addext subjectAltName={kind}:{name}")
}

/// The name in `DnsName("other.example")`, as the verifier writes names.
fn plain(written: &str) -> &str {
    written
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'))
        .map_or(written, |inner| inner.trim_matches('"'))
}

/// The date of a moment, in UTC.
fn day(seconds: u64) -> String {
    let nanos = i64::try_from(seconds).ok().and_then(|seconds| seconds.checked_mul(1_000_000_000));
    nanos.map_or_else(|| format!("{seconds} s after 1970"), |nanos| utc(nanos).0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::{ServerName, UnixTime};
    use std::time::Duration;

    /// Goal: each reason that a certificate is refused for is a sentence without a word of the program's own.
    #[test]
    fn refusals_are_sentences() {
        let check = |refused: CertificateError, expected: &str| {
            let said = words(&Error::InvalidCertificate(refused), "127.0.0.1");
            assert!(said.contains(expected), "{expected} is not in: {said}");
            assert!(!said.contains("OtherError") && !said.contains("DnsName"), "{said}");
        };
        let other = |name: &'static str| {
            let error: Box<dyn std::error::Error + Send + Sync> = name.into();
            CertificateError::Other(rustls::OtherError(error.into()))
        };
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expected = ServerName::try_from("127.0.0.1").expect("an address");
        let named = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: expected.clone(),
            presented: presented.iter().map(|name| (*name).to_owned()).collect(),
        };
        check(
            named(&["DnsName(\"other.example\")", "DnsName(\"b.example\")"]),
            "its certificate is for other.example, b.example, not for 127.0.0.1",
        );
        check(named(&[]), "subjectAltName=IP:127.0.0.1");
        check(other("CaUsedAsEndEntity"), "in chrony.conf: ntstrustedcerts /etc/chrony/127.0.0.1.pem");
        check(other("UnsupportedCertVersion"), "version 3 with a subject alternative name");
        check(
            CertificateError::UnknownIssuer,
            "nobody who is trusted; help: copy the file that its ntsservercert names: scp 127.0.0.1:",
        );
        let expired = CertificateError::ExpiredContext { time: at(86_400), not_after: at(0) };
        check(expired, "expired on 1970-01-01 and this clock shows 1970-01-02");
        let early = CertificateError::NotValidYetContext { time: at(0), not_before: at(86_400) };
        check(early, "not valid yet: it begins on 1970-01-02");
    }
}
