//! Who this host is: name, machine id (`machine-id(5)`), boot id.

use std::fs;

/// A 128-bit id as systemd writes it: 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Id128(pub [u8; 16]);

impl Id128 {
    /// The id in `text`, with or without dashes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0u8; 16];
        let mut digits = text.trim().bytes().filter(|byte| *byte != b'-');
        for byte in &mut bytes {
            let high = char::from(digits.next()?).to_digit(16)?;
            let low = char::from(digits.next()?).to_digit(16)?;
            *byte = u8::try_from(high * 16 + low).ok()?;
        }
        digits.next().is_none().then_some(Self(bytes))
    }
}

impl std::fmt::Display for Id128 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The id of this boot.
pub fn boot_id() -> Option<Id128> {
    Id128::parse(&fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?)
}

/// The id of this machine, from `/etc/machine-id`.
pub fn machine_id() -> Option<Id128> {
    Id128::parse(&fs::read_to_string("/etc/machine-id").ok()?)
}

/// The host's name as the kernel has it (`uname -n`).
pub fn hostname() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}
