//! The exit codes of `sysexits.h`, which callers of sendmail look at.

/// Done.
pub(crate) const OK: u8 = 0;
/// The command was called wrongly.
pub(crate) const USAGE: u8 = 64;
/// The message or an address is malformed.
pub(crate) const DATAERR: u8 = 65;
/// A recipient does not exist.
pub(crate) const NOUSER: u8 = 67;
/// The daemon refuses.
pub(crate) const UNAVAILABLE: u8 = 69;
/// A file could not be written.
pub(crate) const CANTCREAT: u8 = 73;
/// Reading or writing failed.
pub(crate) const IOERR: u8 = 74;
/// Try again later.
pub(crate) const TEMPFAIL: u8 = 75;

/// Why a command fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// What is wrong.
    pub(crate) message: String,
    /// What to type.
    pub(crate) help: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}
