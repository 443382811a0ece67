//! Every key of banto.toml: its name, syntax, meaning and reader.

use std::net::SocketAddr;
use std::time::Duration;

use alert_core::{CLOCK_RULE, DOCTOR_RULE, Match, Rule, Selector};
use regex::RegexBuilder;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::{
    GROUP_INTERVAL_DEFAULT, Mistake, REPEAT_INTERVAL_DEFAULT, RULE_MAILS_PER_HOUR_DEFAULT, Settings, duration,
};

/// The largest compiled regular expression in bytes: a rule's expression runs on every record.
const REGEX_BYTES_MAX: usize = 1 << 20;

type Value<'i> = Spanned<DeValue<'i>>;

struct Key<T> {
    name: &'static str,
    syntax: &'static str,
    meaning: &'static str,
    read: fn(&mut T, &Value<'_>, &mut Vec<Mistake>),
}

/// A key as documentation shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDoc {
    /// `sendmail`, `web.listen`, `rule.match.regex`, ...
    pub name: String,
    /// An example line.
    pub syntax: &'static str,
    /// What it does, and its default.
    pub meaning: &'static str,
}

/// All keys, in the order of the file.
pub fn documented_keys() -> Vec<KeyDoc> {
    fn of<T>(prefix: &str, keys: &[Key<T>]) -> Vec<KeyDoc> {
        keys.iter()
            .map(|key| KeyDoc {
                name: format!("{prefix}{}", key.name),
                syntax: key.syntax,
                meaning: key.meaning,
            })
            .collect()
    }
    [of("", TOP), of("web.", WEB), of("rule.", RULE), of("rule.match.", MATCH)].concat()
}

const TOP: &[Key<Settings>] = &[
    Key {
        name: "sendmail",
        syntax: r#"sendmail = ["/usr/sbin/sendmail", "-t", "-i"]"#,
        meaning: "the command that takes an alert on its standard input; default: the suite's own sendmail",
        read: |settings, value, mistakes| {
            if let Some(words) = strings(value, mistakes, r#"sendmail = ["/usr/sbin/sendmail", "-t", "-i"]"#)
            {
                if words.first().is_none_or(|program| program.is_empty()) {
                    mistake(
                        mistakes,
                        value,
                        "the command has no program",
                        Some(r#"sendmail = ["/usr/sbin/sendmail", "-t", "-i"]"#),
                    );
                } else {
                    settings.sendmail = Some(words);
                }
            }
        },
    },
    Key {
        name: "from",
        syntax: r#"from = "root""#,
        meaning: "the sender's address of alerts; default root",
        read: |settings, value, mistakes| {
            if let Some(text) = string(value, mistakes, r#"from = "root""#)
                && address(&text, value, mistakes)
            {
                settings.from = text;
            }
        },
    },
    Key {
        name: "mails_per_hour",
        syntax: "mails_per_hour = 30",
        meaning: "the most alert mails of all rules together in any hour; default 30",
        read: |settings, value, mistakes| {
            if let Some(number) = count(value, mistakes, "mails_per_hour = 30") {
                settings.mails_per_hour_max = number;
            }
        },
    },
    Key {
        name: "doctor_to",
        syntax: r#"doctor_to = ["root"]"#,
        meaning: "who gets the mail of `banto doctor`; default root",
        read: |settings, value, mistakes| {
            if let Some(list) = addresses(value, mistakes, r#"doctor_to = ["root"]"#) {
                settings.doctor_to = list;
            }
        },
    },
    Key {
        name: "web",
        syntax: "[web]",
        meaning: "the web page",
        read: |settings, value, mistakes| read_table(WEB, settings, value, "[web]", mistakes),
    },
    Key { name: "rule", syntax: "[[rule]]", meaning: "an alert rule; any number of them", read: read_rules },
];

const WEB: &[Key<Settings>] = &[Key {
    name: "listen",
    syntax: r#"listen = "127.0.0.1:8125""#,
    meaning: "address and port of the web page, on loopback only; default 127.0.0.1:8125",
    read: |settings, value, mistakes| {
        let help = r#"listen = "127.0.0.1:8125""#;
        let Some(text) = string(value, mistakes, help) else { return };
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => settings.web_listen = address,
            Ok(_) => mistake(
                mistakes,
                value,
                "the page shows logs and mail to whoever can reach it, so it listens on loopback only",
                Some(help),
            ),
            Err(_) => mistake(mistakes, value, format!("`{text}` is not an address with a port"), Some(help)),
        }
    },
}];

/// A rule being read: what is required is checked when all of it was seen.
struct Draft {
    rule: Rule,
    has_match: bool,
    has_to: bool,
}

const RULE: &[Key<Draft>] = &[
    Key {
        name: "name",
        syntax: r#"name = "errors""#,
        meaning: "the rule's name, unique; letters, digits, - and _",
        read: |draft, value, mistakes| {
            let help = r#"name = "errors""#;
            let Some(text) = string(value, mistakes, help) else { return };
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
                mistake(mistakes, value, "a rule's name is 1 to 64 letters, digits, - or _", Some(help));
            } else if text == DOCTOR_RULE {
                mistake(mistakes, value, "`doctor` is the built-in rule of `banto doctor`", Some(help));
            } else if text == CLOCK_RULE {
                mistake(
                    mistakes,
                    value,
                    "`mailonchange` is the rule of chrony.conf's `mailonchange`",
                    Some(help),
                );
            }
            draft.rule.name = text;
        },
    },
    Key {
        name: "match",
        syntax: r#"match = { selector = "*.err" }"#,
        meaning: "which records the rule is about; all parts must hold",
        read: |draft, value, mistakes| {
            draft.has_match = true;
            if value.get_ref().as_table().is_some_and(|table| table.is_empty()) {
                mistake(
                    mistakes,
                    value,
                    "an empty match would match every record",
                    Some(r#"match = { selector = "*.err" }"#),
                );
            }
            read_table(MATCH, &mut draft.rule.matching, value, r#"match = { selector = "*.err" }"#, mistakes);
        },
    },
    Key {
        name: "to",
        syntax: r#"to = ["root"]"#,
        meaning: "who is told: local users or mail addresses",
        read: |draft, value, mistakes| {
            draft.has_to = true;
            if let Some(list) = addresses(value, mistakes, r#"to = ["root"]"#) {
                draft.rule.to = list;
            }
        },
    },
    Key {
        name: "group_by",
        syntax: r#"group_by = ["SYSLOG_IDENTIFIER", "fingerprint"]"#,
        meaning: "what makes two records the same problem: fields, or fingerprint (the message with numbers, ids and addresses masked); this is the default",
        read: |draft, value, mistakes| {
            let help = r#"group_by = ["SYSLOG_IDENTIFIER", "fingerprint"]"#;
            if let Some(list) = strings(value, mistakes, help) {
                for name in &list {
                    if name != "fingerprint" && !is_field_name(name) {
                        mistake(
                            mistakes,
                            value,
                            format!("`{name}` is neither a field's name (A-Z, 0-9, _) nor fingerprint"),
                            Some(help),
                        );
                    }
                }
                draft.rule.group_by = list;
            }
        },
    },
    Key {
        name: "group_wait",
        syntax: r#"group_wait = "0s""#,
        meaning: "how long a new group collects before its first mail; default 0s, at once",
        read: |draft, value, mistakes| {
            read_span(&mut draft.rule.group_wait, value, mistakes, r#"group_wait = "0s""#)
        },
    },
    Key {
        name: "group_interval",
        syntax: r#"group_interval = "5m""#,
        meaning: "how long after the first mail the digest of what followed is sent; default 5m",
        read: |draft, value, mistakes| {
            read_span(&mut draft.rule.group_interval, value, mistakes, r#"group_interval = "5m""#)
        },
    },
    Key {
        name: "repeat_interval",
        syntax: r#"repeat_interval = "4h""#,
        meaning: "how long after a digest the next one is sent while the same goes on; default 4h",
        read: |draft, value, mistakes| {
            read_span(&mut draft.rule.repeat_interval, value, mistakes, r#"repeat_interval = "4h""#)
        },
    },
    Key {
        name: "mails_per_hour",
        syntax: "mails_per_hour = 12",
        meaning: "the most mails of this rule in any hour; what is held back is told in one mail later; default 12",
        read: |draft, value, mistakes| {
            if let Some(number) = count(value, mistakes, "mails_per_hour = 12") {
                draft.rule.mails_per_hour_max = number;
            }
        },
    },
];

const MATCH: &[Key<Match>] = &[
    Key {
        name: "selector",
        syntax: r#"selector = "*.err""#,
        meaning: "facility and severity as in rsyslog.conf: that severity and worse",
        read: |matching, value, mistakes| {
            let help = r#"selector = "*.err""#;
            let Some(text) = string(value, mistakes, help) else { return };
            match Selector::parse(&text) {
                Ok(selector) => matching.selector = Some(selector),
                Err(error) => mistake(mistakes, value, error.to_string(), Some(help)),
            }
        },
    },
    Key {
        name: "unit",
        syntax: r#"unit = "nginx.service""#,
        meaning: "the systemd unit; one or a list",
        read: |matching, value, mistakes| {
            matching.unit = one_or_more(value, mistakes, r#"unit = "nginx.service""#).unwrap_or_default();
        },
    },
    Key {
        name: "identifier",
        syntax: r#"identifier = "sshd""#,
        meaning: "the program's name in the log (SYSLOG_IDENTIFIER); one or a list",
        read: |matching, value, mistakes| {
            matching.identifier = one_or_more(value, mistakes, r#"identifier = "sshd""#).unwrap_or_default();
        },
    },
    Key {
        name: "fields",
        syntax: r#"fields = { _UID = "0" }"#,
        meaning: "journal fields with the value, or list of values, that holds",
        read: |matching, value, mistakes| {
            let help = r#"fields = { _UID = "0" }"#;
            let Some(table) = value.get_ref().as_table() else {
                return wrong_type(mistakes, value, "a table", help);
            };
            for (name, values) in table {
                if !is_field_name(name.get_ref()) {
                    mistakes.push(Mistake {
                        span: name.span(),
                        cause: format!("`{}` is not a field's name (A-Z, 0-9, _)", name.get_ref()),
                        help: Some(help.to_owned()),
                    });
                } else if let Some(values) = one_or_more(values, mistakes, help) {
                    matching.fields.insert(name.get_ref().to_string(), values);
                }
            }
        },
    },
    Key {
        name: "regex",
        syntax: r#"regex = "(?i)out of memory""#,
        meaning: "a regular expression that stands somewhere in the message",
        read: |matching, value, mistakes| {
            let help = r#"regex = '(?i)out of memory'"#;
            let Some(text) = string(value, mistakes, help) else { return };
            match RegexBuilder::new(&text).size_limit(REGEX_BYTES_MAX).build() {
                Ok(regex) => matching.regex = Some(regex),
                Err(error) => {
                    let text = error.to_string();
                    let cause = text
                        .lines()
                        .last()
                        .unwrap_or("not a regular expression")
                        .trim_start_matches("error: ");
                    mistake(mistakes, value, format!("not a regular expression: {cause}"), Some(help));
                }
            }
        },
    },
];

/// Reads the whole document.
pub(crate) fn read_document(table: &DeTable<'_>, settings: &mut Settings, mistakes: &mut Vec<Mistake>) {
    read_keys(TOP, settings, table, mistakes);
}

fn read_rules(settings: &mut Settings, value: &Value<'_>, mistakes: &mut Vec<Mistake>) {
    let Some(list) = value.get_ref().as_array() else {
        return mistake(mistakes, value, "a rule is written as a table in double brackets", Some("[[rule]]"));
    };
    for item in list.iter() {
        let mut draft = Draft {
            rule: Rule {
                name: String::new(),
                matching: Match::default(),
                to: Vec::new(),
                group_by: vec!["SYSLOG_IDENTIFIER".to_owned(), "fingerprint".to_owned()],
                group_wait: Duration::ZERO,
                group_interval: GROUP_INTERVAL_DEFAULT,
                repeat_interval: REPEAT_INTERVAL_DEFAULT,
                mails_per_hour_max: RULE_MAILS_PER_HOUR_DEFAULT,
            },
            has_match: false,
            has_to: false,
        };
        read_table(RULE, &mut draft, item, "[[rule]]", mistakes);
        for (missing, name, line) in [
            (draft.rule.name.is_empty(), "name", r#"name = "errors""#),
            (!draft.has_match, "match", r#"match = { selector = "*.err" }"#),
            (!draft.has_to, "to", r#"to = ["root"]"#),
        ] {
            if missing && !item.get_ref().as_table().is_some_and(|table| table.contains_key(name)) {
                mistake(mistakes, item, format!("the rule has no `{name}`"), Some(line));
            }
        }
        if !draft.rule.name.is_empty() && settings.rules.iter().any(|rule| rule.name == draft.rule.name) {
            let help = format!("name = \"{}-2\"", draft.rule.name);
            mistake(mistakes, item, format!("two rules are called `{}`", draft.rule.name), Some(&help));
        }
        settings.rules.push(draft.rule);
    }
}

fn read_table<T>(
    keys: &[Key<T>],
    target: &mut T,
    value: &Value<'_>,
    help: &str,
    mistakes: &mut Vec<Mistake>,
) {
    match value.get_ref().as_table() {
        Some(table) => read_keys(keys, target, table, mistakes),
        None => wrong_type(mistakes, value, "a table", help),
    }
}

fn read_keys<T>(keys: &[Key<T>], target: &mut T, table: &DeTable<'_>, mistakes: &mut Vec<Mistake>) {
    for (name, value) in table {
        if let Some(key) = keys.iter().find(|key| key.name == name.get_ref()) {
            (key.read)(target, value, mistakes);
            continue;
        }
        let near = conf_text::nearest(name.get_ref(), keys.iter().map(|key| key.name))
            .and_then(|near| keys.iter().find(|key| key.name == near));
        let help = match near {
            Some(key) => format!("did you mean `{}`? For example: {}", key.name, key.syntax),
            None => {
                let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
                format!("known here: {}", names.join(", "))
            }
        };
        mistakes.push(Mistake {
            span: name.span(),
            cause: format!("nothing is called `{}` here", name.get_ref()),
            help: Some(help),
        });
    }
}

fn mistake(mistakes: &mut Vec<Mistake>, value: &Value<'_>, cause: impl Into<String>, help: Option<&str>) {
    mistakes.push(Mistake { span: value.span(), cause: cause.into(), help: help.map(str::to_owned) });
}

fn wrong_type(mistakes: &mut Vec<Mistake>, value: &Value<'_>, wanted: &str, help: &str) {
    mistake(
        mistakes,
        value,
        format!("{wanted} is wanted here, not {}", value.get_ref().type_str()),
        Some(help),
    );
}

fn string(value: &Value<'_>, mistakes: &mut Vec<Mistake>, help: &str) -> Option<String> {
    match value.get_ref().as_str() {
        Some(text) => Some(text.to_owned()),
        None => {
            wrong_type(mistakes, value, "a text in quotes", help);
            None
        }
    }
}

fn strings(value: &Value<'_>, mistakes: &mut Vec<Mistake>, help: &str) -> Option<Vec<String>> {
    match value.get_ref().as_array() {
        Some(list) => list.iter().map(|item| string(item, mistakes, help)).collect(),
        None => {
            wrong_type(mistakes, value, "a list of texts", help);
            None
        }
    }
}

fn one_or_more(value: &Value<'_>, mistakes: &mut Vec<Mistake>, help: &str) -> Option<Vec<String>> {
    if let Some(text) = value.get_ref().as_str() {
        return Some(vec![text.to_owned()]);
    }
    let list = strings(value, mistakes, help)?;
    if list.is_empty() {
        mistake(mistakes, value, "an empty list would match nothing", Some(help));
        return None;
    }
    Some(list)
}

fn addresses(value: &Value<'_>, mistakes: &mut Vec<Mistake>, help: &str) -> Option<Vec<String>> {
    let list = one_or_more(value, mistakes, help)?;
    let before = mistakes.len();
    for text in &list {
        address(text, value, mistakes);
    }
    (mistakes.len() == before).then_some(list)
}

/// Whether a text is a local user or an address that can stand bare in a header: nothing that would end it or begin another.
pub fn is_address(text: &str) -> bool {
    let bad = |c: char| c.is_control() || c.is_whitespace() || "<>()[],;:\\\"".contains(c);
    let ends = text.starts_with('@') || text.ends_with('@') || text.matches('@').count() > 1;
    !(text.is_empty() || text.len() > 254 || text.starts_with('-') || text.contains(bad) || ends)
}

fn address(text: &str, value: &Value<'_>, mistakes: &mut Vec<Mistake>) -> bool {
    if !is_address(text) {
        mistake(
            mistakes,
            value,
            format!("`{text}` is neither a local user nor a mail address"),
            Some(r#"to = ["root", "admin@example.org"]"#),
        );
        return false;
    }
    true
}

fn count(value: &Value<'_>, mistakes: &mut Vec<Mistake>, help: &str) -> Option<u32> {
    let number = value
        .get_ref()
        .as_integer()
        .and_then(|number| u32::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok());
    if number.is_none() {
        mistake(mistakes, value, "a whole number from 0 to 4294967295 is wanted here", Some(help));
    }
    number
}

fn read_span(target: &mut Duration, value: &Value<'_>, mistakes: &mut Vec<Mistake>, help: &str) {
    let Some(text) = string(value, mistakes, help) else { return };
    match duration::parse_duration(&text) {
        Some(span) => *target = span,
        None => mistake(mistakes, value, duration::parse_duration_error(&text), Some(help)),
    }
}

fn is_field_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}
