//! Compiled rules, templates, rate limits and queue policy of the log daemon, without I/O.
//!
//! For: logd, which executes [`Rules`], and rsyslog-conf, which compiles configuration text into them.
//!
//! Always: a rule set is immutable once built and may be shared by threads; evaluating a message and rendering it
//! allocates nothing once the caller's buffers have grown; a message's bytes never panic; what a sender wrote is
//! rendered as it wrote it unless a template option says otherwise.
//!
//! Never: no socket, file, thread, clock read or random source; no configuration syntax beyond the three small languages
//! that stand inside other text (selectors, legacy templates, POSIX regular expressions); no variables (`$!`, `$.`, `$/`) yet.
#![forbid(unsafe_code)]

mod action;
mod condition;
mod expression;
mod posix;
mod property;
mod quality;
mod queue;
mod rate;
mod rules;
mod selector;
mod stamp;
mod template;
mod view;

pub use action::{
    Action, ActionId, ActionKind, ActionQueue, DynamicPathRefused, FileOptions, Forward, Framing, Protocol,
    QueueKind, QueueSettings, Retry, Users,
};
pub use condition::{Condition, PropertyFilter, Test};
pub use expression::{Comparison, Expression, Function, Value};
pub use posix::{Pattern, PatternError};
pub use property::{NowPart, Property, PropertyStanding};
pub use quality::append_time_quality;
pub use queue::{Admission, BoundedQueue, QueueCounters};
pub use rate::{RateLimit, RateLimiter, Verdict};
pub use rules::{CallCycle, RuleSet, RuleSetId, Rules, Scratch, Sink, Statement};
pub use selector::{Selector, SelectorError};
pub use stamp::{DateFormat, Stamp};
pub use template::{
    Case, Controls, Escape, Extract, FieldSpan, NoMatch, PathSafety, Piece, PropertySpec, Template,
    TemplateError, TemplateQuoting,
};
pub use view::{MessageView, Peer};
