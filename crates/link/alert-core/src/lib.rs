//! Match, fingerprint, group, throttle and digest, without I/O.
//!
//! For: alertd, which reads the journal and hands mails to `sendmail`, and whoever wants to know what a rule would do.
//!
//! Always: a record of the house that bears `BANTO_ALERT_ID` matches nothing, so an alert never causes an alert. One that bears
//! `BANTO_DOCTOR` matches the built-in rule `doctor` and no other, and no group or budget holds it back. Everything that must survive
//! a crash (the journal cursor, groups, budgets, mails not handed over yet) is in one [`State`], so that it is saved as one.
//! The same record handled twice makes the same alert id. Mail made here has no bare CR, and no header that a record could inject.
//!
//! Never: it opens, reads or sends anything, reads no clock (time is an argument), and drops no matched record without a count.
#![forbid(unsafe_code)]

mod engine;
mod fingerprint;
mod mail;
mod rule;
mod state;

pub use engine::{Action, Engine, Heard, RESERVE_MAILS_PER_HOUR, RuleCounts};
pub use fingerprint::fingerprint;
pub use mail::{Letterhead, encode_header_text, mail_time};
pub use rule::{CLOCK_RULE, DOCTOR_RULE, Match, MatchError, OVERFLOW_GROUP, Rule, Selector};
pub use state::{Group, Kind, Letter, Phase, RuleState, Sample, State};
