//! The files of `ntsdumpdir`: a server's keys (`ntskeys`) and a client's cookies (`ADDRESS.nts`), in the text that chronyd
//! writes, so that either daemon takes up what the other left. `docs/formats/nts-cookie.md` describes both.

use super::aead::AeadAlgorithm;
use super::cookie::{CookieKeys, CookieSecrets};
use super::establish::{COOKIE_BYTES_MAX, COOKIES, SessionKeys};
use std::fmt::Write;
use std::net::IpAddr;

/// First line of a file of keys of one algorithm, which every chronyd 4.x reads.
const KEYS_OLD: &str = "NKS0";
/// First line where each key says its algorithm (chronyd 4.6 and newer).
const KEYS_NEW: &str = "NKS1";
/// First line of a file of cookies.
const COOKIES_HEAD: &str = "NNC0";
/// The longest file that is looked at, in bytes: eight cookies and keys in hexadecimal digits are a third of it.
const FILE_BYTES_MAX: usize = 16_384;

/// A line of a dump file is not as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DumpError {
    /// From 1.
    pub line: usize,
}

impl std::fmt::Display for DumpError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "line {} is not as it must be", self.line)
    }
}

impl std::error::Error for DumpError {}

impl CookieKeys {
    /// The file of these keys, of which the current has been in use for `age_seconds`.
    pub fn to_text(&self, age_seconds: f64) -> String {
        let secrets = self.secrets();
        let first = secrets.first().map_or(AeadAlgorithm::AesSivCmac256, |one| one.algorithm);
        let same = secrets.iter().all(|one| one.algorithm == first);
        let mut text = match same {
            true => format!("{KEYS_OLD}\n{} {age_seconds:.1}\n", first.id()),
            false => format!("{KEYS_NEW}\n{age_seconds:.1}\n"),
        };
        for one in secrets {
            // Writing into a String cannot fail.
            let _ = write!(text, "{:08X} {}", one.id, hex(&one.secret));
            if !same {
                let _ = write!(text, " {}", one.algorithm.id());
            }
            text.push('\n');
        }
        text
    }

    /// The keys of a file, and for how many seconds the current one had been in use.
    pub fn from_text(text: &str) -> Result<(Self, f64), DumpError> {
        let mut lines = Lines::new(text)?;
        let old = match lines.words::<1>()? {
            [KEYS_OLD] => true,
            [KEYS_NEW] => false,
            _ => return Err(lines.error()),
        };
        let (mut algorithm, age) = match old {
            true => {
                let [id, age] = lines.words()?;
                (id.parse().ok().and_then(AeadAlgorithm::from_id), age)
            }
            false => (None, lines.words::<1>()?[0]),
        };
        let age: f64 = age.parse().ok().filter(|age: &f64| age.is_finite()).ok_or(lines.error())?;
        let mut secrets = Vec::new();
        while !lines.is_at_end() {
            let (id, secret) = match old {
                true => {
                    let [id, secret] = lines.words()?;
                    (id, secret)
                }
                false => {
                    let [id, secret, kind] = lines.words()?;
                    algorithm = kind.parse().ok().and_then(AeadAlgorithm::from_id);
                    (id, secret)
                }
            };
            let id = u32::from_str_radix(id, 16).map_err(|_| lines.error())?;
            let algorithm = algorithm.ok_or(lines.error())?;
            let secret = from_hex(secret).ok_or(lines.error())?;
            secrets.push(CookieSecrets { id, algorithm, secret });
        }
        let keys = Self::restore(&secrets).ok_or(lines.error())?;
        Ok((keys, age.max(0.0)))
    }
}

/// A file of cookies.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedAssociation {
    /// The source's name, as configured: keys of another name are not taken.
    pub name: String,
    /// When the keys were established, seconds since the Unix epoch.
    pub established: f64,
    /// Where NTP is spoken.
    pub address: IpAddr,
    /// And at which port.
    pub port: u16,
    /// How many keys there had been.
    pub context: u32,
    /// The keys.
    pub keys: SessionKeys,
    /// The cookies, at most eight.
    pub cookies: Vec<Vec<u8>>,
}

impl SavedAssociation {
    /// The file.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{COOKIES_HEAD}\n{}\n{:.1}\n{} {}\n{} {} {} {}\n",
            self.name,
            self.established,
            self.address,
            self.port,
            self.context,
            self.keys.algorithm.id(),
            hex(&self.keys.to_client),
            hex(&self.keys.to_server),
        );
        for cookie in &self.cookies {
            text.push_str(&hex(cookie));
            text.push('\n');
        }
        text
    }

    /// Reads a file.
    pub fn from_text(text: &str) -> Result<Self, DumpError> {
        let mut lines = Lines::new(text)?;
        if lines.words::<1>()? != [COOKIES_HEAD] {
            return Err(lines.error());
        }
        let [name] = lines.words()?;
        let [established] = lines.words()?;
        let established =
            established.parse().ok().filter(|time: &f64| time.is_finite()).ok_or(lines.error())?;
        let [address, port] = lines.words()?;
        let address = address.parse().map_err(|_| lines.error())?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(lines.error())?;
        let [context, algorithm, to_client, to_server] = lines.words()?;
        let context = context.parse().map_err(|_| lines.error())?;
        let algorithm = algorithm.parse().ok().and_then(AeadAlgorithm::from_id).ok_or(lines.error())?;
        let key = |digits| from_hex(digits).filter(|key| key.len() == algorithm.key_bytes());
        let keys = SessionKeys {
            algorithm,
            to_server: key(to_server).ok_or(lines.error())?,
            to_client: key(to_client).ok_or(lines.error())?,
        };
        let mut cookies = Vec::new();
        while !lines.is_at_end() && cookies.len() < COOKIES {
            let [digits] = lines.words()?;
            let cookie = from_hex(digits).filter(|cookie| (1..=COOKIE_BYTES_MAX).contains(&cookie.len()));
            cookies.push(cookie.ok_or(lines.error())?);
        }
        Ok(Self { name: name.to_owned(), established, address, port, context, keys, cookies })
    }
}

/// The lines of a file, and where reading stands.
struct Lines<'a> {
    rest: std::iter::Peekable<std::str::Lines<'a>>,
    number: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Result<Self, DumpError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(DumpError { line: 1 });
        }
        Ok(Self { rest: text.lines().peekable(), number: 0 })
    }

    fn is_at_end(&mut self) -> bool {
        self.rest.peek().is_none()
    }

    fn error(&self) -> DumpError {
        DumpError { line: self.number }
    }

    /// The next line, which has so many words.
    fn words<const N: usize>(&mut self) -> Result<[&'a str; N], DumpError> {
        self.number += 1;
        let line = self.rest.next().ok_or(self.error())?;
        let words: Vec<&str> = line.split_ascii_whitespace().take(N + 1).collect();
        words.try_into().map_err(|_| self.error())
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02X}");
    }
    text
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let nibbles: Vec<u8> =
        digits.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect::<Option<_>>()?;
    let (pairs, rest) = nibbles.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: keys come back from their file, in chronyd's two layouts, and a file with a changed line gives none.
    #[test]
    fn keys_come_back_from_their_file() {
        let mut next = 0_u8;
        let keys = CookieKeys::generate(&mut |out: &mut [u8]| {
            out.fill_with(|| {
                next = next.wrapping_add(91);
                next
            });
        });
        let text = keys.to_text(12.34);
        assert!(text.starts_with("NKS0\n15 12.3\n"), "{text}");
        let (back, age) = CookieKeys::from_text(&text).expect("it was just written");
        assert_eq!((back.secrets(), age), (keys.secrets(), 12.3));
        let new: String = text
            .lines()
            .enumerate()
            .map(|(index, line)| match index {
                0 => "NKS1\n".to_owned(),
                1 => "-5.0\n".to_owned(),
                _ => format!("{line} 15\n"),
            })
            .collect();
        let (back, age) = CookieKeys::from_text(&new).expect("the newer layout");
        assert_eq!((back.secrets(), age), (keys.secrets(), 0.0));
        let check = |from: &str, to: &str, line: usize| {
            let found = CookieKeys::from_text(&text.replacen(from, to, 1));
            assert_eq!(found.map(|_| ()), Err(DumpError { line }), "{from} {to}");
        };
        check("NKS0", "NKS9", 1);
        check("15 12.3", "15", 2);
        check("15 12.3", "99 12.3", 3);
        check("15 12.3", "15 inf", 2);
        check("15 12.3", "30 12.3", 6);
        for length in 0..text.len() - 1 {
            assert!(CookieKeys::from_text(&text[..length]).is_err(), "cut at {length}");
        }
    }

    /// Goal: cookies come back from their file; nothing that is not whole does.
    #[test]
    fn cookies_come_back_from_their_file() {
        let saved = SavedAssociation {
            name: "ntp.example".to_owned(),
            established: 1_800_000_000.5,
            address: "2001:db8::1".parse().expect("an address"),
            port: 123,
            context: 7,
            keys: SessionKeys {
                algorithm: AeadAlgorithm::Aes128GcmSiv,
                to_server: vec![1; 16],
                to_client: vec![2; 16],
            },
            cookies: vec![vec![3; 68]; 8],
        };
        let text = saved.to_text();
        assert_eq!(SavedAssociation::from_text(&text), Ok(saved));
        let check = |from: &str, to: &str, line: usize| {
            let found = SavedAssociation::from_text(&text.replacen(from, to, 1));
            assert_eq!(found.map(|_| ()), Err(DumpError { line }), "{from} {to}");
        };
        check("NNC0", "NNC1", 1);
        check("ntp.example", "", 2);
        check("1800000000.5", "nan", 3);
        check("2001:db8::1 123", "2001:db8::1 0", 4);
        check("2001:db8::1 123", "example 123", 4);
        check("7 30", "7 15", 5);
        check("7 30", "7 29", 5);
        check(&"03".repeat(68), &"03".repeat(300), 6);
        check(&"03".repeat(68), "0", 6);
        check(&"03".repeat(68), "\u{e9}\u{e9}", 6);
    }
}
