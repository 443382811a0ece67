//! What people want to know, taken out of the daemons' answers.

use serde_json::Value;

use crate::Part;

/// An input of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Records taken.
    pub kept: u64,
    /// Records lost, by us or by the kernel.
    pub lost: u64,
}

/// Input of one way in that a daemon could not take or did not allow, since its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadInput {
    /// The daemon.
    pub daemon: &'static str,
    /// The way in: `control`, `chronyc`, `ntp`, `smtp` or `http`.
    pub way: &'static str,
    /// What was no request, or one that makes no sense.
    pub malformed: u64,
    /// What its sender may not ask for.
    pub refused: u64,
}

/// The latest delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The recipient.
    pub to: String,
    /// `sent`, `deferred`, `bounced` or `expired`.
    pub status: String,
    /// When, microseconds since the epoch.
    pub time_usec: u64,
}

/// Alerts that were made and did not leave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unsent {
    /// Mails that wait to be handed over.
    pub waiting: u64,
    /// Why the latest attempt failed; none where a mail has only just been made.
    pub waiting_because: Option<String>,
    /// Mails refused for good since the alert daemon's state began.
    pub failed: u64,
    /// Why the latest was, where that was since the daemon started or reloaded.
    pub failed_because: Option<String>,
}

impl Unsent {
    /// Whether somebody has to look: a mail cannot leave, or was refused lately.
    pub fn is_trouble(&self) -> bool {
        self.waiting_because.is_some() || self.failed_because.is_some()
    }
}

impl Part {
    /// What this daemon counted of bad input, ways without any left out.
    pub(crate) fn bad_input(&self, daemon: &'static str) -> Vec<BadInput> {
        let count = |object: &Value, name: &str| object[name].as_u64().unwrap_or(0);
        let pair = |object: &Value, refused: &str| (count(object, "malformed"), count(object, refused));
        let ways = [
            ("control", pair(self.value("control"), "refused")),
            ("chronyc", pair(self.value("commands"), "refused")),
            ("ntp", pair(self.value("ntp"), "denied")),
            ("smtp", (self.number("malformed"), 0)),
            // Requests that come by a name which is not the page's.
            ("http", (0, if daemon == "webd" { self.number("refused") } else { 0 })),
        ];
        let seen = ways.into_iter().filter(|(_, counts)| *counts != (0, 0));
        seen.map(|(way, (malformed, refused))| BadInput { daemon, way, malformed, refused }).collect()
    }

    /// The alerts that did not leave.
    pub fn unsent(&self) -> Unsent {
        let reason = |name: &str| self.value(name).as_str().map(str::to_owned);
        Unsent {
            waiting: self.number("waiting"),
            waiting_because: reason("waiting_because"),
            failed: self.number("failed"),
            failed_because: reason("failed_because"),
        }
    }

    /// The log's inputs.
    pub fn inputs(&self) -> Vec<Input> {
        let list = self.value("inputs").as_array().into_iter().flatten();
        list.map(|input| Input {
            name: input["name"].as_str().unwrap_or("?").to_owned(),
            kept: input["kept"].as_u64().unwrap_or(0),
            lost: input["lost"].as_u64().unwrap_or(0),
        })
        .collect()
    }

    /// Records kept and lost over all inputs.
    pub fn kept_and_lost(&self) -> (u64, u64) {
        self.inputs().iter().fold((0, 0), |(kept, lost), input| (kept + input.kept, lost + input.lost))
    }

    /// Messages in the mail queue.
    pub fn queued(&self) -> u64 {
        let queue = self.value("queue");
        ["active", "deferred"].iter().filter_map(|name| queue[*name].as_u64()).sum()
    }

    /// The latest delivery.
    pub fn last_delivery(&self) -> Option<Delivery> {
        let last = self.value("last_delivery").as_object()?;
        let text = |name: &str| last.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let time_usec = last.get("time_usec").and_then(Value::as_u64).unwrap_or(0);
        Some(Delivery { to: text("to"), status: text("status"), time_usec })
    }

    /// A number of the answer; 0 where it has none.
    pub fn number(&self, name: &str) -> u64 {
        self.value(name).as_u64().unwrap_or(0)
    }

    /// Where the daemon says that it listens on the network; the log daemon says it by its inputs.
    pub fn listening(&self) -> Vec<String> {
        let list = self.value("listening").as_array().into_iter().flatten();
        let mut all: Vec<String> = list.filter_map(Value::as_str).map(str::to_owned).collect();
        for input in self.inputs() {
            if input.name.starts_with("udp ") || input.name.starts_with("tcp ") {
                all.push(input.name);
            }
        }
        all
    }

    fn value(&self, name: &str) -> &Value {
        self.status.as_ref().map_or(&Value::Null, |status| &status[name])
    }
}

impl Delivery {
    /// How long ago, as of the host's clock.
    pub fn seconds_ago(&self) -> f64 {
        let now_usec = sys::clock::realtime_ns() / 1000;
        let ago_usec = now_usec.saturating_sub(i64::try_from(self.time_usec).unwrap_or(i64::MAX));
        ago_usec.max(0) as f64 / 1e6
    }
}
