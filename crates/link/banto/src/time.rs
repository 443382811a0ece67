//! `banto time`: the clock for people: how it is, how it was, why, and setting it by hand.

mod plot;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use control::{CallError, Client, Value};
use house_status::{bound_text, seconds_text};
use layout::Layout;

use crate::command_line::Given;
use crate::status::is_up;
use crate::texts::{TimeTexts, fill};

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The exit code for a wrong command line (`sysexits.h`: `EX_USAGE`).
const EX_USAGE: u8 = 64;
/// What it can be asked for.
const VERBS: [&str; 4] = ["status", "plot", "set", "explain"];
/// Seconds a day that a millionth of a second a second makes.
const DAY_SECONDS_PER_PPM: f64 = 86_400.0 * 1e-6;

/// Runs `banto time WORDS`.
pub fn run(given: &Given, words: &[String]) -> ExitCode {
    let texts = given.texts.time;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["status"] => status(given, false),
        ["status", "--json"] => status(given, true),
        ["plot"] => plot(given, &Drawing::Text),
        ["plot", "--svg"] => plot(given, &Drawing::Svg(None)),
        ["plot", "--svg", file] if !file.starts_with('-') => plot(given, &Drawing::Svg(Some(file))),
        ["set", rest @ ..] if !rest.is_empty() => set(given, &rest.join(" ")),
        ["explain"] => explain(given),
        _ => {
            if let Some((error, help)) = wrong(texts, &words) {
                given.complain(&error, help.as_deref());
            }
            eprint!("{}", texts.help);
            return ExitCode::from(EX_USAGE);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed::Said) => ExitCode::FAILURE,
        Err(Failed::Call(CallError::Refused { error, help })) => {
            let mut help = help.map(|help| pointed(given, &help));
            if let (Some(help), ["set", rest @ ..]) = (&mut help, words.as_slice()) {
                let _ = write!(help, "\n{} time set \"{}\"", given.own_command(), rest.join(" "));
            }
            given.complain(&pointed(given, &error), help.as_deref());
            ExitCode::FAILURE
        }
        Err(Failed::Call(error)) => {
            given.complain(&error.to_string(), Some(&starts(given)));
            ExitCode::FAILURE
        }
    }
}

/// What is wrong with these words, and what was likely meant; none where there are none.
fn wrong(texts: &TimeTexts, words: &[&str]) -> Option<(String, Option<String>)> {
    let (verb, rest) = words.split_first()?;
    let known: &[&str] = match *verb {
        "status" => &["--json"],
        "plot" => &["--svg"],
        "explain" => &[],
        "set" => return Some((texts.set_needs_time.to_owned(), Some(texts.set_help.to_owned()))),
        word => {
            let near = conf_text::nearest(word, VERBS);
            let help = near.map(|near| format!("banto time {near}"));
            return Some((fill(texts.unknown_word, &[("word", &word)]), help));
        }
    };
    let rest = match rest {
        ["--svg", file, more @ ..] if *verb == "plot" && !file.starts_with('-') => more,
        rest => rest,
    };
    // Where every word is known one was said twice.
    let word = rest.iter().find(|word| !known.contains(word)).or(rest.last())?;
    // Each has one option at most: whoever wanted one wanted that.
    let one = known.first().filter(|one| word.starts_with('-') && !rest.contains(one));
    let help = one.map(|option| format!("banto time {verb} {option}"));
    Some((fill(texts.unknown_option, &[("word", word), ("verb", verb)]), help))
}

/// What `plot` draws.
enum Drawing<'a> {
    /// With characters.
    Text,
    /// For a browser, into this file or to standard output.
    Svg(Option<&'a str>),
}

enum Failed {
    /// Why was said.
    Said,
    Call(CallError),
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// Whether a house's daemon is asked; where none is named or up, the installed one is.
fn asks_house(given: &Given) -> bool {
    given.typed_dir.is_some() || is_up(&given.dir)
}

/// Where the daemon that is asked listens.
fn socket(given: &Given) -> PathBuf {
    let layout = if asks_house(given) { given.layout() } else { Layout::system() };
    control::socket_path(&layout, "timed")
}

fn ask(given: &Given, verb: &str, args: Value) -> Result<Value, CallError> {
    Client::connect(&socket(given), PATIENCE)?.call(verb, args)
}

/// What the daemon says, with its commands as they have to be typed here: it does not know that it is a house's, nor how that was named.
fn pointed(given: &Given, text: &str) -> String {
    match asks_house(given) {
        true => text.replace("chronyc ", &format!("{} chronyc ", given.command())),
        false => text.to_owned(),
    }
}

/// What starts a daemon that can be asked.
fn starts(given: &Given) -> String {
    let up = format!("{} up", given.own_command());
    match given.typed_dir {
        Some(_) => up,
        None if sys::host::has_unit("banto-timed") => format!("systemctl start banto-timed\n{up}"),
        None => up,
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn status(given: &Given, as_json: bool) -> Result<(), Failed> {
    let texts = given.texts.time;
    let value = ask(given, "status", Value::Null)?;
    if as_json {
        println!("{value:#}");
        return Ok(());
    }
    let is_known = !value["clock_offset_seconds"].is_null();
    if is_known {
        let its_stratum = value["stratum"].as_u64().unwrap_or(0).saturating_sub(1);
        let line = fill(
            texts.clock,
            &[
                ("offset", &seconds_text(number(&value["clock_offset_seconds"]))),
                ("bound", &bound_text(number(&value["error_bound_seconds"]))),
                ("reference", &value["follows"].as_str().unwrap_or("?")),
                ("stratum", &value["stratum"]),
                ("its_stratum", &its_stratum),
            ],
        );
        println!("{line}");
    } else {
        println!("{}", fill(texts.clock_unsynchronised, &[("command", &given.own_command())]));
        if value["follows"] == "local" {
            println!("{}", fill(texts.local_meanwhile, &[("stratum", &value["stratum"])]));
        }
    }
    for (names, text) in [("unresolved", texts.unresolved), ("taken", texts.taken)] {
        for name in value[names].as_array().into_iter().flatten() {
            println!("{}", fill(text, &[("name", &name.as_str().unwrap_or("?"))]));
        }
    }
    let sets = value["controls_clock"] == Value::Bool(true);
    // Before anything was measured nothing is known of the oscillator, unless it is corrected by what was kept.
    if let Some(ppm) = value["frequency_ppm"].as_f64().filter(|_| sets || is_known) {
        let text = if sets { texts.frequency } else { texts.frequency_measured };
        let gains = if ppm < 0.0 { texts.loses } else { texts.gains };
        let gains = fill(gains, &[("seconds", &format!("{:.3}", ppm.abs() * DAY_SECONDS_PER_PPM))]);
        println!("{}", fill(text, &[("ppm", &format!("{ppm:+.3}")), ("gains", &gains)]));
    }
    println!("{}", if sets { texts.sets } else { texts.measures });
    tell_asked(given);
    Ok(())
}

/// Which daemon answered, where nobody said which one should.
fn tell_asked(given: &Given) {
    if given.typed_dir.is_none() {
        println!("{}", fill(given.texts.time.asked, &[("socket", &socket(given).display())]));
    }
}

fn plot(given: &Given, drawing: &Drawing<'_>) -> Result<(), Failed> {
    let texts = given.texts.time;
    let value = ask(given, "history", Value::Null)?;
    let points = plot::points(&value);
    if !points.iter().any(plot::Point::is_known) {
        let text = if points.is_empty() { texts.no_points } else { texts.no_known_points };
        let error = fill(text, &[("seconds", &value["interval_seconds"]), ("count", &points.len())]);
        given.complain(&error, Some(&format!("{} time explain", given.own_command())));
        return Err(Failed::Said);
    }
    let host = sys::host::hostname();
    match drawing {
        Drawing::Text => print!("{}", plot::text(&host, &points, texts)),
        Drawing::Svg(None) => print!("{}", plot::svg(&host, &points, texts)),
        Drawing::Svg(Some(file)) => {
            if let Err(error) = std::fs::write(file, plot::svg(&host, &points, texts)) {
                given.complain(&format!("{file}: {error}"), None);
                return Err(Failed::Said);
            }
            println!("{}", fill(texts.written, &[("file", file)]));
        }
    }
    Ok(())
}

fn set(given: &Given, text: &str) -> Result<(), Failed> {
    let texts = given.texts.time;
    let Some(seconds) = chronyc::parse_time(text) else {
        given.complain(&fill(texts.set_wrong, &[("text", &text)]), Some(texts.set_help));
        return Err(Failed::Said);
    };
    let nanos = seconds.saturating_mul(1_000_000_000);
    let done = ask(given, "set", control::json!({ "unix_nanoseconds": nanos }))?;
    println!("{}", fill(texts.set_done, &[("seconds", &seconds_text(number(&done["stepped_seconds"])))]));
    Ok(())
}

fn explain(given: &Given) -> Result<(), Failed> {
    let value = ask(given, "reasons", Value::Null)?;
    for sentence in sentences(given.texts.time, &value, &pointed(given, "chronyc online")) {
        println!("{sentence}");
    }
    tell_asked(given);
    Ok(())
}

/// One sentence for each source, the followed one first; `online` turns one on again.
fn sentences(texts: &TimeTexts, value: &Value, online: &str) -> Vec<String> {
    let empty = Vec::new();
    let sources = value["sources"].as_array().unwrap_or(&empty);
    let letter = |source: &Value| source["letter"].as_str().unwrap_or("?").to_owned();
    let agree =
        sources.iter().filter(|source| ["*", "+", "D", "P", "W"].contains(&letter(source).as_str())).count();
    let waiting = sources.iter().filter(|source| letter(source) == "W").count();
    let is_required = |source: &&Value| source["require"] == Value::Bool(true);
    let required_waits = sources.iter().filter(is_required).any(|source| letter(source) == "W");
    let label = |source: &Value| {
        let (address, name) =
            (source["address"].as_str().unwrap_or("?"), source["name"].as_str().unwrap_or("?"));
        if name == address { name.to_owned() } else { format!("{name} ({address})") }
    };
    let required = sources.iter().filter(is_required).map(label).collect::<Vec<_>>().join(", ");
    let mut said = Vec::new();
    let mut selected = sources.iter().filter(|source| letter(source) == "*").peekable();
    if sources.is_empty() && value["unresolved"].as_array().is_none_or(Vec::is_empty) {
        return vec![match &value["local_stratum"] {
            Value::Null => texts.no_sources.to_owned(),
            stratum => fill(texts.local_alone, &[("stratum", stratum)]),
        }];
    }
    if selected.peek().is_none() {
        said.push(match value["held"].as_str() {
            Some(name) => fill(texts.held, &[("name", &name)]),
            None => texts.nothing.to_owned(),
        });
        if !value["local_stratum"].is_null() {
            said.push(fill(texts.local_meanwhile, &[("stratum", &value["local_stratum"])]));
        }
    }
    for source in selected.chain(sources.iter().filter(|source| letter(source) != "*")) {
        let trust = |name: &str| source["authentication"][name] == Value::Bool(true);
        let text = match letter(source).as_str() {
            "*" if agree > 1 => texts.selected,
            "*" => texts.selected_alone,
            "+" => texts.combined,
            "x" => texts.falseticker,
            "d" => texts.distant,
            "~" => texts.jittery,
            "r" => texts.stratum,
            "N" => texts.noselect,
            "P" => texts.unpreferred,
            "D" => texts.not_combined,
            "W" if !required.is_empty() && !required_waits => texts.waits_required,
            "W" if value["min_sources"].as_u64().is_some_and(|least| least > waiting as u64) => {
                texts.waits_few
            }
            "W" => texts.waits,
            _ if source["online"] == Value::Bool(false) => texts.offline,
            _ if trust("lacks_key") => texts.lacks_key,
            _ if source["reach"] == 0 && trust("unauthentic") && trust("nts") => texts.wrong_nts,
            _ if source["reach"] == 0 && trust("unauthentic") => texts.wrong_key,
            _ if source["reach"] == 0 && !source["authentication"]["key"].is_null() => texts.silent_key,
            _ if source["reach"] == 0 => texts.silent,
            _ => texts.few,
        };
        let name = label(source);
        let limit = match letter(source).as_str() {
            "r" => format!("{}-{}", value["min_stratum"], value["max_stratum"]),
            "~" => bound_text(number(&value["max_jitter_seconds"])),
            "D" => format!("{}", number(&value["combine_limit"])),
            _ => bound_text(number(&value["max_distance_seconds"])),
        };
        let count = if letter(source) == "W" { value["min_sources"].to_string() } else { agree.to_string() };
        said.push(fill(
            text,
            &[
                ("name", &name),
                ("count", &count),
                ("distance", &bound_text(number(&source["distance_seconds"]))),
                ("offset", &seconds_text(number(&source["offset_seconds"]))),
                ("jitter", &bound_text(number(&source["jitter_seconds"]))),
                ("stratum", &source["stratum"]),
                ("samples", &source["samples"]),
                ("limit", &limit),
                ("online", &online),
                ("key", &source["authentication"]["key"]),
                ("required", &required),
            ],
        ));
    }
    for name in value["unresolved"].as_array().unwrap_or(&empty) {
        said.push(fill(texts.unresolved, &[("name", &name.as_str().unwrap_or("?"))]));
    }
    for name in value["taken"].as_array().unwrap_or(&empty) {
        said.push(fill(texts.taken, &[("name", &name.as_str().unwrap_or("?"))]));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: every letter of the selection has a sentence with its numbers, in both languages, and no value is left unfilled.
    #[test]
    fn every_reason_has_a_sentence() {
        let source = |letter: &str, reach: u8, online: bool| {
            control::json!({
                "name": "ntp.example", "address": "192.0.2.1", "letter": letter, "reach": reach, "online": online,
                "samples": 2, "stratum": 2, "offset_seconds": 0.5, "distance_seconds": 0.012, "jitter_seconds": 0.001,
            })
        };
        let all: Vec<Value> = ["+", "x", "d", "~", "r", "N", "P", "D", "W", "M", "*"]
            .iter()
            .map(|letter| source(letter, 1, true))
            .chain([source("M", 0, true), source("M", 0, false)])
            .chain(
                [(false, false, false), (true, false, false), (false, true, false), (false, true, true)].map(
                    |(lacks, wrong, nts)| {
                        let mut one = source("M", 0, true);
                        one["authentication"] = control::json!({
                            "key": if nts { Value::Null } else { Value::from(7) },
                            "lacks_key": lacks, "unauthentic": wrong, "nts": nts,
                        });
                        one
                    },
                ),
            )
            .collect();
        let value = control::json!({
            "sources": all, "unresolved": ["none.example"], "max_distance_seconds": 3.0, "max_jitter_seconds": 1.0,
            "min_stratum": 3, "max_stratum": 5,
            "min_sources": 2, "combine_limit": 3.0,
        });
        for texts in crate::texts::every_language().map(|texts| texts.time) {
            let said = sentences(texts, &value, "chronyc online");
            assert_eq!(said.len(), 18);
            assert!(
                said[0].contains("12.0 ms") && said[0].contains("ntp.example (192.0.2.1)"),
                "{}",
                said[0]
            );
            for (index, sentence) in said.iter().enumerate() {
                assert!(!sentence.contains(['{', '}']), "{sentence}");
                assert!(said[..index].iter().all(|other| other != sentence), "{sentence}");
            }
            // Of those that could be followed each says what is waited for.
            let waits = |least: u64, required: bool| {
                let mut other = source("M", 0, true);
                other["name"] = control::json!("key.example");
                other["require"] = control::json!(required);
                let value =
                    control::json!({ "sources": [source("W", 1, true), other], "min_sources": least });
                sentences(texts, &value, "chronyc online")[1].clone()
            };
            for (least, required, expected) in
                [(1, false, texts.waits), (2, false, texts.waits_few), (1, true, texts.waits_required)]
            {
                let sentence = waits(least, required);
                let end = expected.rsplit(['{', '}']).next().unwrap_or(expected);
                assert!(sentence.ends_with(end) && !sentence.contains('{'), "{sentence}");
                assert_eq!(sentence.contains("key.example (192.0.2.1)"), required, "{sentence}");
            }
            let held =
                control::json!({ "sources": [source("M", 0, true)], "held": "GPS", "taken": ["localhost"] });
            let said = sentences(texts, &held, "chronyc online");
            assert!(said[0].contains("GPS") && said[2].contains("localhost"), "{said:?}");
            let none = control::json!({ "sources": [], "unresolved": [] });
            assert_eq!(sentences(texts, &none, ""), [texts.no_sources]);
            let local = control::json!({ "sources": [], "unresolved": [], "local_stratum": 5 });
            assert_eq!(sentences(texts, &local, ""), [fill(texts.local_alone, &[("stratum", &5)])]);
        }
    }
    /// Goal: commands in what a daemon says are pointed at the house that was asked, as it was named.
    #[test]
    fn commands_are_pointed_at_the_house() {
        let given = Given {
            texts: crate::texts::every_language()[0],
            dir: "/nonexistent/shop".into(),
            typed_dir: Some("./shop".into()),
            program: "banto".to_owned(),
        };
        assert_eq!(
            pointed(
                &given,
                "turned off (and on again: chronyc -m online)\nchronyc -m offline 'reset sources'"
            ),
            "turned off (and on again: banto --dir ./shop chronyc -m online)\nbanto --dir ./shop chronyc -m offline 'reset sources'"
        );
        assert_eq!(starts(&given), "banto --dir ./shop up");
    }

    /// Goal: a wrong word is named, with what was likely meant; no word at all is no mistake of one.
    #[test]
    fn wrong_words_are_named() {
        let texts = crate::texts::every_language()[0].time;
        let check = |words: &[&str], named: &str, meant: Option<&str>| {
            let (error, help) = wrong(texts, words).expect("something is wrong");
            assert!(error.contains(named), "{words:?}: {error}");
            assert_eq!(help.as_deref(), meant, "{words:?}");
        };
        check(&["frog"], "`frog`", None);
        check(&["plto"], "`plto`", Some("banto time plot"));
        check(&["status", "--jsn"], "`--jsn`", Some("banto time status --json"));
        check(&["plot", "--csv"], "`--csv`", Some("banto time plot --svg"));
        check(&["plot", "--svg", "a.svg", "b.svg"], "`b.svg`", None);
        check(&["explain", "more"], "`more`", None);
        check(&["set"], "needs a time", Some("banto time set \"2025-01-01 00:00:00\""));
        assert!(wrong(texts, &[]).is_none());
    }
}
