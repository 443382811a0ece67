//! What is said to people, one file a language.
//!
//! Only for people: records, JSON and the output of the trade's commands stay as they are.

mod en;
mod ja;
mod time;

pub use time::TimeTexts;

use std::ffi::OsString;

/// Everything that is said, in one language. `{name}` stands for a value.
#[allow(missing_docs)] // each text says itself what it is for; the two language files are the documentation
pub struct Texts {
    pub help: &'static str,
    /// What `banto VERB --help` prints.
    pub verb_help: &'static [(&'static str, &'static str)],
    pub programs: &'static str,
    /// What a program is for.
    pub about: fn(&crate::programs::Program) -> &'static str,
    pub unknown_name: &'static str,
    pub did_you_mean: &'static str,
    pub unknown_option: &'static str,
    pub option_needs_value: &'static str,
    pub help_word: &'static str,
    pub error_word: &'static str,
    /// What `banto time` says.
    pub time: &'static TimeTexts,

    // up
    pub up_house: &'static str,
    pub up_written: &'static str,
    pub up_initialised: &'static str,
    pub up_clock_measured: &'static str,
    pub up_clock_controlled: &'static str,
    pub up_ready: &'static str,
    pub up_stopping: &'static str,
    pub up_stopped: &'static str,
    pub up_died: &'static str,
    pub up_back: &'static str,
    pub up_not_ready: &'static str,
    pub up_ended_early: &'static str,
    pub up_killed: &'static str,
    pub up_locked: &'static str,
    pub up_locked_help: &'static str,
    pub up_path_too_long: &'static str,
    pub up_path_too_long_help: &'static str,
    pub up_path_unwritable: &'static str,
    pub up_io: &'static str,
    pub up_port_in_use_help: &'static str,
    pub service_time: &'static str,
    pub service_log: &'static str,
    pub service_mail: &'static str,
    pub service_alerts: &'static str,
    pub service_web: &'static str,
    pub line: &'static str,
    pub line_unsynchronised: &'static str,
    pub line_unresolved: &'static str,
    pub line_own_clock: &'static str,
    pub line_unsent: &'static str,
    pub line_down: &'static str,

    // check
    pub check_no_files: &'static str,
    pub check_fine: &'static str,
    pub check_warned: &'static str,
    pub check_wrong: &'static str,

    // status
    pub no_house: &'static str,
    pub no_house_help: &'static str,
    pub no_house_help_where: &'static str,
    pub reload_done: &'static str,
    pub reload_refused: &'static str,
    pub reload_unknown: &'static str,
    pub status_house: &'static str,
    pub status_clock_followed: &'static str,
    pub status_clock_unsynchronised: &'static str,
    pub status_clock_own: &'static str,
    pub status_clock_down: &'static str,
    pub status_clock_set: &'static str,
    pub status_clock_measured: &'static str,
    pub status_kernel_synced: &'static str,
    pub status_kernel_unsynced: &'static str,
    pub status_sources: &'static str,
    pub status_source: &'static str,
    pub status_source_unresolved: &'static str,
    pub status_source_silent: &'static str,
    /// States of sources as house-status says them, and as a person reads them.
    pub source_states: &'static [(&'static str, &'static str)],
    pub status_no_sources: &'static str,
    pub status_part_down: &'static str,
    pub status_log: &'static str,
    pub status_input: &'static str,
    pub status_mail: &'static str,
    pub status_last_delivery: &'static str,
    pub status_no_delivery: &'static str,
    pub status_alerts: &'static str,
    pub status_alerts_waiting: &'static str,
    pub status_alerts_untried: &'static str,
    pub status_alerts_failed: &'static str,
    pub status_rule: &'static str,
    pub status_web: &'static str,
    pub status_bad_input: &'static str,
    pub status_bad_input_of: &'static str,

    // doctor
    pub doctor_title: &'static str,
    pub doctor_ok: &'static str,
    pub doctor_warning: &'static str,
    pub doctor_broken: &'static str,
    pub doctor_skipped: &'static str,
    pub doctor_links: [&'static str; 7],
    pub doctor_all_hold: &'static str,
    pub doctor_warned: &'static str,
    pub doctor_not_all: &'static str,
    pub doctor_synced: &'static str,
    pub doctor_unresolved: &'static str,
    pub doctor_no_source: &'static str,
    pub doctor_unreachable: &'static str,
    pub doctor_unselected: &'static str,
    pub doctor_unselected_help: &'static str,
    pub doctor_own_clock: &'static str,
    pub doctor_unsent: &'static str,
    pub doctor_unreachable_help: &'static str,
    pub doctor_not_told: &'static str,
    pub doctor_not_told_help: &'static str,
    pub doctor_clock_down: &'static str,
    pub doctor_clock_down_help: &'static str,
    pub doctor_logged: &'static str,
    pub doctor_log_help: &'static str,
    pub doctor_found: &'static str,
    pub doctor_no_quality: &'static str,
    pub doctor_found_help: &'static str,
    pub doctor_fired: &'static str,
    pub doctor_fired_help: &'static str,
    pub doctor_accepted: &'static str,
    pub doctor_accepted_help: &'static str,
    pub doctor_delivered: &'static str,
    pub doctor_delivered_help: &'static str,
    pub doctor_recorded: &'static str,
    pub doctor_recorded_help: &'static str,
    pub doctor_timeout: &'static str,

    // tour
    pub tour_intro: &'static str,
    pub tour_continue: &'static str,
    pub tour_step: &'static str,
    pub tour_why: &'static str,
    pub tour_failed: &'static str,
    pub tour_end: &'static str,
    pub tour_end_failed: &'static str,
    pub tour_ended_early: &'static str,
    pub tour_waiting_for: &'static str,
    pub tour_rule_gone: &'static str,
    pub tour_forward_kept: &'static str,
    pub tour_steps: [TourText; 10],
}

/// One step of the tour: what is shown, and why it matters.
#[allow(missing_docs)]
pub struct TourText {
    pub title: &'static str,
    pub why: &'static str,
}

/// The texts of the language that the environment asks for (`locale(7)`: `LC_ALL`, `LC_MESSAGES`, `LANG`, first that is set
/// and not empty). English where it asks for none that stands here.
pub fn from_environment() -> &'static Texts {
    choose(|name| std::env::var_os(name))
}

fn choose(variable: impl Fn(&str) -> Option<OsString>) -> &'static Texts {
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .into_iter()
        .filter_map(variable)
        .find(|value| !value.is_empty())
        .unwrap_or_default();
    let locale = locale.to_string_lossy();
    let language = locale.split(['_', '.', '@']).next().unwrap_or_default();
    if language == "ja" { &ja::TEXTS } else { &en::TEXTS }
}

/// Both languages, for tests that hold for each.
#[cfg(test)]
pub fn every_language() -> [&'static Texts; 2] {
    [&en::TEXTS, &ja::TEXTS]
}

/// Puts values into a text: each `{name}` becomes its value.
pub fn fill(text: &str, values: &[(&str, &dyn std::fmt::Display)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let tail = &rest[open + 1..];
        let Some(close) = tail.find('}') else {
            out.push('{');
            rest = tail;
            continue;
        };
        match values.iter().find(|(name, _)| *name == &tail[..close]) {
            Some((_, value)) => out.push_str(&value.to_string()),
            None => out.push_str(&rest[open..open + close + 2]),
        }
        rest = &tail[close + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the language follows the environment in the order of locale(7).
    #[test]
    fn the_language_follows_the_environment() {
        let check = |all: &str, messages: &str, lang: &str, japanese: bool| {
            let texts = choose(|name| {
                Some(OsString::from(match name {
                    "LC_ALL" => all,
                    "LC_MESSAGES" => messages,
                    _ => lang,
                }))
            });
            assert_eq!(std::ptr::eq(texts, &ja::TEXTS), japanese, "{all} {messages} {lang}");
        };
        check("", "", "ja_JP.UTF-8", true);
        check("", "", "ja", true);
        check("C.UTF-8", "", "ja_JP.UTF-8", false);
        check("", "ja_JP.UTF-8", "en_US.UTF-8", true);
        check("", "", "", false);
        check("", "", "javanese", false);
    }

    /// Goal: both languages name the same values in the same texts of the tour and the doctor, so that neither loses one.
    #[test]
    fn both_languages_say_the_same_values() {
        let names = |text: &str| {
            let mut names: Vec<String> = text
                .split('{')
                .skip(1)
                .filter_map(|part| part.split_once('}').map(|(name, _)| name.to_owned()))
                .collect();
            names.sort();
            names.dedup();
            names
        };
        let (en, ja) = (&en::TEXTS, &ja::TEXTS);
        for (en, ja) in [
            (en.unknown_name, ja.unknown_name),
            (en.up_died, ja.up_died),
            (en.up_ended_early, ja.up_ended_early),
            (en.up_locked, ja.up_locked),
            (en.up_path_too_long, ja.up_path_too_long),
            (en.service_time, ja.service_time),
            (en.service_log, ja.service_log),
            (en.service_mail, ja.service_mail),
            (en.line, ja.line),
            (en.line_own_clock, ja.line_own_clock),
            (en.line_unresolved, ja.line_unresolved),
            (en.status_source_unresolved, ja.status_source_unresolved),
            (en.doctor_unresolved, ja.doctor_unresolved),
            (en.doctor_unreachable_help, ja.doctor_unreachable_help),
            (en.doctor_unselected, ja.doctor_unselected),
            (en.doctor_unselected_help, ja.doctor_unselected_help),
            (en.no_house_help_where, ja.no_house_help_where),
            (en.up_locked_help, ja.up_locked_help),
            (en.line_unsent, ja.line_unsent),
            (en.status_clock_own, ja.status_clock_own),
            (en.status_alerts_waiting, ja.status_alerts_waiting),
            (en.status_alerts_failed, ja.status_alerts_failed),
            (en.doctor_own_clock, ja.doctor_own_clock),
            (en.doctor_unsent, ja.doctor_unsent),
            (en.status_source, ja.status_source),
            (en.status_input, ja.status_input),
            (en.status_last_delivery, ja.status_last_delivery),
            (en.doctor_synced, ja.doctor_synced),
            (en.doctor_delivered, ja.doctor_delivered),
            (en.doctor_not_all, ja.doctor_not_all),
            (en.tour_step, ja.tour_step),
        ] {
            assert_eq!(names(en), names(ja), "{en} / {ja}");
        }
    }

    /// Goal: unknown names and lone braces stay as they are.
    #[test]
    fn values_are_filled_in() {
        assert_eq!(fill("a {x} {y} {", &[("x", &1)]), "a 1 {y} {");
    }
}
