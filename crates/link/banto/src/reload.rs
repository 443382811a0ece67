//! `banto reload`: asks daemons to read their configuration again, and tells what each says.

use std::process::ExitCode;
use std::time::Duration;

use control::{CallError, Client, Value};

use crate::command_line::Given;
use crate::programs;
use crate::status::require_house;
use crate::texts::fill;

/// The daemons that can be asked.
pub const SERVICES: [&str; 5] = ["timed", "logd", "maild", "alertd", "webd"];

/// How long a daemon may take to read its configuration: a large one on a slow disk.
const PATIENCE: Duration = Duration::from_secs(15);

/// The exit code for a wrong command line (`sysexits.h`: `EX_USAGE`).
const EX_USAGE: u8 = 64;

/// Asks the daemon `service`, or all of them; the exit code is 0 when each that was asked has reloaded. The page, of which nothing can
/// be reloaded, counts only where it was named.
pub fn run(given: &Given, service: Option<&str>) -> ExitCode {
    let texts = given.texts;
    let named = match service {
        None => None,
        // Any name of the program will do: `chronyd` is `timed`.
        Some(name) => match programs::find(name).map(|program| program.names[0]) {
            Some(own) if SERVICES.contains(&own) => Some(own),
            _ => {
                let near = conf_text::nearest(name, SERVICES.iter().copied());
                let help =
                    format!("banto reload {}", near.unwrap_or("[timed | logd | maild | alertd | webd]"));
                given.complain(&fill(texts.reload_unknown, &[("name", &name)]), Some(&help));
                return ExitCode::from(EX_USAGE);
            }
        },
    };
    if !require_house(given) {
        return ExitCode::FAILURE;
    }
    let mut all = true;
    for name in SERVICES.into_iter().filter(|name| named.is_none_or(|named| named == *name)) {
        match ask(given, name) {
            Ok(value) => {
                let note = value["note"].as_str().map_or(String::new(), |note| format!(" ({note})"));
                println!("{}", fill(texts.reload_done, &[("name", &shown(name)), ("note", &note)]));
            }
            // Its own words say why: there is nothing to do.
            Err(CallError::Refused { error, .. }) if name == "webd" && named.is_none() => {
                println!("{name}: {error}");
            }
            Err(error) => {
                all = false;
                let (why, help) = match error {
                    CallError::Refused { error, help } => (error, help),
                    other => (other.to_string(), Some(format!("{} status", given.own_command()))),
                };
                given.complain(
                    &fill(texts.reload_refused, &[("name", &shown(name)), ("why", &why.trim_end())]),
                    help.as_deref(),
                );
            }
        }
    }
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A daemon's name, with the one that its lines in the log bear where that is another.
fn shown(name: &str) -> String {
    match name {
        "timed" => "timed (chronyd)".to_owned(),
        name => name.to_owned(),
    }
}

fn ask(given: &Given, name: &str) -> Result<Value, CallError> {
    Client::connect(&control::socket_path(&given.layout(), name), PATIENCE)?.call("reload", Value::Null)
}
