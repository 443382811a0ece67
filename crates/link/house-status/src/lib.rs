//! Asks every daemon how it is, and says it in one value.
//!
//! For: `banto status`, the doctor, the live line of `banto up` and the web page, which all show the same thing.
//!
//! Always: each part is asked by the interface that it has anyway (the chronyc protocol, control sockets, `adjtimex`); a daemon that
//! does not answer within the patience given is a part that says so, and hides no other part.
//!
//! Never: it changes anything, and it guesses nothing: what was not answered is absent.
#![forbid(unsafe_code)]

mod clock;
mod figures;
mod text;

use std::time::Duration;

use layout::Layout;
use serde::Serialize;
use serde_json::Value;

pub use clock::{Clock, Kernel, Source, ask_chronyd, clock};
pub use figures::{BadInput, Delivery, Input, Unsent};
pub use text::{bound_text, seconds_text};

/// How the house is.
#[derive(Debug, Clone, Serialize)]
pub struct HouseStatus {
    /// The host's name.
    pub host: String,
    /// The house's directory; none on an installed system.
    pub dir: Option<String>,
    /// The clock, as the kernel and the time daemon have it.
    pub clock: Clock,
    /// The time daemon's own answer; none of a stock chronyd, which has no control socket of ours.
    pub time: Part,
    /// The log daemon's answer.
    pub log: Part,
    /// The mail daemon's answer.
    pub mail: Part,
    /// The alert daemon's answer.
    pub alerts: Part,
    /// The web page's answer.
    pub web: Part,
}

/// What a daemon answered.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// Whether it answered.
    pub up: bool,
    /// Its `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl HouseStatus {
    /// What each daemon was sent and could not take or did not allow; only what has been counted.
    pub fn bad_input(&self) -> Vec<BadInput> {
        let daemons = [
            ("timed", &self.time),
            ("logd", &self.log),
            ("maild", &self.mail),
            ("alertd", &self.alerts),
            ("webd", &self.web),
        ];
        daemons.into_iter().flat_map(|(name, part)| part.bad_input(name)).collect()
    }

    /// Whether every daemon answered.
    pub fn all_up(&self) -> bool {
        self.clock.up && self.log.up && self.mail.up && self.alerts.up && self.web.up
    }
}

/// Asks every daemon, each for at most `patience`.
pub fn look(layout: &Layout, patience: Duration) -> HouseStatus {
    HouseStatus {
        host: sys::host::hostname(),
        dir: layout.house_dir().map(|dir| dir.display().to_string()),
        clock: clock::clock(layout, patience),
        time: part(layout, "timed", patience),
        log: part(layout, "logd", patience),
        mail: part(layout, "maild", patience),
        alerts: part(layout, "alertd", patience),
        web: part(layout, "webd", patience),
    }
}

/// Asks the daemon `name` for its status.
pub fn part(layout: &Layout, name: &str, patience: Duration) -> Part {
    match ask(layout, name, "status", Value::Null, patience) {
        Ok(status) => Part { up: true, status: Some(status), error: None },
        Err(error) => Part { up: false, status: None, error: Some(error) },
    }
}

/// Asks the daemon `name` for `verb` on its control socket. The error is a sentence for a person.
///
/// # Errors
///
/// Nobody listens, no answer within `patience`, or a refusal.
pub fn ask(
    layout: &Layout,
    name: &str,
    verb: &str,
    args: Value,
    patience: Duration,
) -> Result<Value, String> {
    control::Client::connect(&control::socket_path(layout, name), patience)
        .and_then(|mut client| client.call(verb, args))
        .map_err(|error| error.to_string())
}
