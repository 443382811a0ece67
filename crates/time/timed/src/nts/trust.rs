//! Whom a client trusts, and what time it is while the clock is not right yet. `docs/nts.md` says how the latter is safe.

use super::dates::Validity;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

/// Where systems keep their authorities, in one file; the first that exists counts.
const SYSTEM_FILES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// How long what was read is used: a renewed file counts soon after, and twenty sources at a start read it once.
const KEEP: Duration = Duration::from_secs(60);
/// The largest file of certificates that is read, in bytes: five times what systems have.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// `ntstrustedcerts`, `nosystemcert`.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    files: Vec<(u32, PathBuf)>,
    system: bool,
    /// What was told of these files at the start, and is not told again.
    told: Vec<String>,
    /// What was read of each set, and when.
    read: HashMap<u32, (Duration, Arc<Set>)>,
}

/// The certificates of one set.
#[derive(Debug)]
pub(crate) struct Set {
    roots: Arc<RootCertStore>,
    /// Those of `ntstrustedcerts`, byte for byte: a server's own certificate that nobody else signed is one of them.
    own: Vec<CertificateDer<'static>>,
    /// What could not be read, to be told.
    pub troubles: Vec<String>,
    /// The youngest of the files: this moment has passed.
    written: Option<i64>,
}

impl Trust {
    /// As the configuration says.
    pub(crate) fn new(settings: &chrony_conf::Nts) -> Self {
        Self {
            files: settings.trusted.clone(),
            system: !settings.no_system_certificates,
            told: Vec::new(),
            read: HashMap::new(),
        }
    }

    /// What is wrong with the files of `ntstrustedcerts`, at the start: the first source that needs them may be asked much later.
    /// `at`: where a file is named, to stand behind what is wrong with it.
    pub(crate) fn check(&mut self, at: impl Fn(&Path) -> String) -> Vec<String> {
        let (mut set, mut placed) = (Set::new(), Vec::new());
        for (_, path) in &self.files {
            let before = set.troubles.len();
            set.read(path);
            placed.extend(set.troubles.iter().skip(before).map(|what| match what.split_once('\n') {
                Some((what, help)) => format!("{what}{}\n{help}", at(path)),
                None => format!("{what}{}", at(path)),
            }));
        }
        self.told = set.troubles;
        placed
    }

    /// The certificates of a set, read again when what is known is old, which the second value says.
    pub(crate) fn set(&mut self, number: u32, now: Duration) -> (Arc<Set>, bool) {
        if let Some((at, set)) = self.read.get(&number)
            && now.saturating_sub(*at) < KEEP
        {
            return (Arc::clone(set), false);
        }
        let mut roots = RootCertStore::empty();
        let mut set = Set::new();
        if number == 0 && self.system {
            match SYSTEM_FILES.iter().map(Path::new).find(|path| path.exists()) {
                Some(path) => {
                    let found = set.read_file(path);
                    roots.add_parsable_certificates(found);
                }
                None => set.troubles.push("this system has no certificates of authorities".to_owned()),
            }
        }
        for (_, path) in self.files.iter().filter(|(set, _)| *set == number) {
            let found = set.read(path);
            roots.add_parsable_certificates(found.iter().cloned());
            set.own.extend(found);
        }
        set.troubles.retain(|what| !self.told.contains(what));
        set.roots = Arc::new(roots);
        let set = Arc::new(set);
        self.read.insert(number, (now, Arc::clone(&set)));
        (set, true)
    }
}

impl Set {
    fn new() -> Self {
        Self { roots: Arc::new(RootCertStore::empty()), own: Vec::new(), troubles: Vec::new(), written: None }
    }

    /// The certificates of a file, or of all files of a folder.
    fn read(&mut self, path: &Path) -> Vec<CertificateDer<'static>> {
        let before = self.troubles.len();
        let found = match path.is_dir() {
            true => {
                let mut files: Vec<PathBuf> = std::fs::read_dir(path)
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|entry| entry.path())
                    .collect();
                files.sort();
                files.iter().filter(|file| file.is_file()).flat_map(|file| self.read_file(file)).collect()
            }
            false => self.read_file(path),
        };
        if found.is_empty() && self.troubles.len() == before {
            self.troubles.push(format!(
                "ntstrustedcerts {}: there is no certificate in it (no line BEGIN CERTIFICATE)\nhelp: files with one: grep -lr 'BEGIN CERTIFICATE' /etc/chrony /etc/ssl/certs",
                path.display()
            ));
        }
        found
    }

    fn read_file(&mut self, path: &Path) -> Vec<CertificateDer<'static>> {
        let text = match read_bounded(path) {
            Ok(text) => text,
            Err(error) => {
                let help = crate::events::where_to_look(path, &error);
                let (path, why) = (path.display(), crate::events::reason(&error));
                self.troubles.push(format!("Could not read certificates of {path}: {why}\nhelp: {help}"));
                return Vec::new();
            }
        };
        self.written = self.written.max(modified(path));
        let (good, bad): (Vec<_>, Vec<_>) = CertificateDer::pem_slice_iter(&text).partition(Result::is_ok);
        if !bad.is_empty() {
            self.troubles.push(format!(
                "{} has {} certificates that cannot be read",
                path.display(),
                bad.len()
            ));
        }
        good.into_iter().flatten().collect()
    }

    /// There is no certificate in it: nobody can be trusted.
    pub(crate) fn is_empty(&self) -> bool {
        self.roots.is_empty() && self.own.is_empty()
    }

    /// When the youngest of its files was written, seconds since the Unix epoch.
    pub(crate) fn written(&self) -> Option<i64> {
        self.written
    }
}

/// A whole file, unless it is larger than a file of certificates can be.
pub(crate) fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    sys::file::read_bounded(path, FILE_BYTES_MAX)
}

/// When a file was last written, in seconds since the Unix epoch.
pub(crate) fn modified(path: &Path) -> Option<i64> {
    let time = std::fs::metadata(path).ok()?.modified().ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// What is known about the time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeKnown {
    /// What the clock shows, seconds since the Unix epoch.
    pub clock: i64,
    /// It was never synchronised in this run, and this moment has surely passed: files were written then.
    pub passed: Option<i64>,
    /// `nocerttimecheck` is in force.
    pub unchecked: bool,
}

/// How a certificate was found good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// By the clock.
    Now,
    /// Not by the clock: what the server says is believed only while it lies in its certificate's own time.
    Within(Validity),
}

/// Verifies one server's certificate; made anew for each connection.
#[derive(Debug)]
pub(crate) struct Verifier {
    set: Arc<Set>,
    chains: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    time: TimeKnown,
    accepted: Mutex<Option<Accepted>>,
}

impl Verifier {
    /// For one connection.
    pub(crate) fn new(set: Arc<Set>, provider: Arc<CryptoProvider>, time: TimeKnown) -> Self {
        let chains =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&set.roots), Arc::clone(&provider))
                .build()
                .ok();
        Self { set, chains, provider, time, accepted: Mutex::new(None) }
    }

    /// How the certificate was found good; none while it was not.
    pub(crate) fn accepted(&self) -> Option<Accepted> {
        *self.accepted.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// As the clock says, or as is known in its place.
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
    ) -> Result<Accepted, Error> {
        let at = |seconds: i64| self.verify_at(leaf, others, name, ocsp, seconds);
        let refused = match at(self.time.clock) {
            Ok(()) => return Ok(Accepted::Now),
            Err(error) if is_of_time(&error) => error,
            Err(error) => return Err(error),
        };
        let Some(own) = Validity::of(leaf) else { return Err(refused) };
        // The clock is behind a moment that has passed: that moment is the better clock.
        if let Some(passed) = self.time.passed.filter(|passed| *passed > self.time.clock)
            && at(passed).is_ok()
        {
            return Ok(Accepted::Within(own));
        }
        if !self.time.unchecked {
            return Err(refused);
        }
        // At any time at which the whole chain holds; of the others perhaps not all are needed.
        let all = others.iter().filter_map(|one| Validity::of(one)).try_fold(own, |all, one| all.and(&one));
        for validity in all.into_iter().chain([own]) {
            if at(self.time.clock.clamp(validity.begin, validity.end)).is_ok() {
                return Ok(Accepted::Within(own));
            }
        }
        Err(refused)
    }

    fn verify_at(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        seconds: i64,
    ) -> Result<(), Error> {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        // `chrony.conf(5)`, ntstrustedcerts: "or self-signed certificates of the servers". Whoever made one with openssl's
        // defaults made an authority, which no chain may end with; here it is the file that says whom we trust.
        if self.set.own.iter().any(|own| own == leaf) {
            verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
            let validity =
                Validity::of(leaf).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
            let seconds = seconds.cast_signed();
            return match () {
                () if seconds < validity.begin => {
                    Err(Error::InvalidCertificate(CertificateError::NotValidYet))
                }
                () if seconds > validity.end => Err(Error::InvalidCertificate(CertificateError::Expired)),
                () => Ok(()),
            };
        }
        let chains =
            self.chains.as_ref().ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        chains.verify_server_cert(leaf, others, name, ocsp, now).map(drop)
    }
}

fn is_of_time(error: &Error) -> bool {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    matches!(
        error,
        Error::InvalidCertificate(Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
    )
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let accepted = self.verify(leaf, others, name, ocsp)?;
        *self.accepted.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(accepted);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    /// 2024-01-01 and 2025-01-01: the dates of the certificate `leaf.pem`, of the authority `ca.pem`, which holds from
    /// 2026-11-22 for a hundred years (of an authority that is trusted the dates do not count).
    const LEAF: Validity = Validity { begin: 1_704_067_200, end: 1_735_689_600 };
    const YEAR: i64 = 31_536_000;

    fn certificate(name: &str) -> CertificateDer<'static> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/nts/fixtures").join(name);
        CertificateDer::from_pem_file(path).expect("a fixture is a certificate")
    }

    fn verify(leaf: &str, name: &str, time: TimeKnown) -> Result<Accepted, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate("ca.pem")).expect("it is an authority");
        let set = Set {
            roots: Arc::new(roots),
            own: vec![certificate("ca.pem"), certificate("own.pem")],
            troubles: Vec::new(),
            written: None,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier::new(Arc::new(set), provider, time);
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        verifier.verify(&certificate(leaf), &[], &name, &[])
    }

    /// Goal: with a clock that is right a certificate is judged by it; with one that is wrong, by a moment that has passed or, where
    /// that was configured, not by its dates, and then what the server says is bound to these; never without the right name.
    #[test]
    fn a_wrong_clock_has_a_safe_way_in() {
        let check = |clock: i64, passed: Option<i64>, unchecked: bool, expected: Option<Accepted>| {
            let time = TimeKnown { clock, passed, unchecked };
            assert_eq!(verify("leaf.pem", "ntp.example", time).ok(), expected, "{time:?}");
            assert!(verify("leaf.pem", "other.example", time).is_err(), "{time:?}");
        };
        let within = Some(Accepted::Within(LEAF));
        let (before, inside, after) = (0, LEAF.begin + YEAR / 2, LEAF.end + YEAR);
        check(inside, None, false, Some(Accepted::Now));
        check(inside, Some(after), true, Some(Accepted::Now));
        check(before, None, false, None);
        check(after, None, false, None);
        // The clock is late: a file was written when the certificate held, or after, or before.
        check(before, Some(inside), false, within);
        check(before, Some(after), false, None);
        check(before, Some(LEAF.begin - 1), false, None);
        // What has passed does not make a certificate valid again.
        check(after, Some(inside), false, None);
        check(before, None, true, within);
        check(after, None, true, within);
        check(before, Some(after), true, within);
    }

    /// Goal: a server's own certificate is good for its name and in its dates, and one that nobody signed and nobody named is not.
    #[test]
    fn a_servers_own_certificate_is_judged_too() {
        let own = Validity::of(&certificate("own.pem")).expect("it has dates");
        let at = |clock: i64| TimeKnown { clock, passed: None, unchecked: false };
        assert_eq!(verify("own.pem", "own.example", at(own.begin)), Ok(Accepted::Now));
        assert!(verify("own.pem", "ntp.example", at(own.begin)).is_err());
        assert!(verify("own.pem", "own.example", at(own.begin - 1)).is_err());
        assert!(verify("own.pem", "own.example", at(own.end + 1)).is_err());
        let unchecked = TimeKnown { unchecked: true, ..at(own.end + 1) };
        assert_eq!(verify("own.pem", "own.example", unchecked), Ok(Accepted::Within(own)));
    }

    /// Goal: certificates are read from files and folders, what is none is told, and the youngest file's date is known.
    #[test]
    fn certificates_are_read_from_files_and_folders() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/nts/fixtures");
        let files =
            vec![(0, fixtures.clone()), (1, fixtures.join("own.pem")), (1, fixtures.join("missing.pem"))];
        let mut trust = Trust { files, system: false, told: Vec::new(), read: HashMap::new() };
        let (all, fresh) = trust.set(0, Duration::ZERO);
        assert!(fresh && all.own.len() == 3 && all.troubles.is_empty(), "{:?}", all.troubles);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs().cast_signed();
        assert!(all.written().is_some_and(|at| at > LEAF.begin && at <= now + 1));
        let (one, _) = trust.set(1, Duration::ZERO);
        assert_eq!((one.own.len(), one.troubles.len()), (1, 1));
        assert!(trust.set(2, Duration::ZERO).0.is_empty());
        assert!(!trust.set(0, Duration::from_secs(1)).1, "it was read a second ago");
        assert!(trust.set(0, KEEP).1);
    }
}
