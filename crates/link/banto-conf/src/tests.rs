//! What texts are settings, and what is said of those that are not.

use super::*;

/// Goal: everything that can be said is read.
#[test]
fn a_full_text_is_read() {
    let settings = parse(
        r#"
sendmail = ["/usr/sbin/sendmail", "-t", "-i"]
from = "banto@example.org"
mails_per_hour = 50
doctor_to = ["admin"]
[web]
listen = "[::1]:9000"
[[rule]]
name = "oom"
match = { selector = "kern.*", unit = ["a", "b.service"], identifier = "kernel", fields = { _UID = ["0", "1"] }, regex = '(?i)out of memory' }
to = ["root", "admin@example.org"]
group_by = ["_HOSTNAME"]
group_wait = "10s"
group_interval = "1h30m"
repeat_interval = "1d"
mails_per_hour = 3
"#,
    )
    .expect("a valid text");
    assert_eq!(settings.sendmail.as_deref().map(|words| words.len()), Some(3));
    assert_eq!((settings.from.as_str(), settings.mails_per_hour_max), ("banto@example.org", 50));
    assert_eq!(settings.web_listen.to_string(), "[::1]:9000");
    let rule = &settings.rules[0];
    assert_eq!((rule.name.as_str(), rule.to.len(), rule.mails_per_hour_max), ("oom", 2, 3));
    assert_eq!(rule.matching.fields["_UID"], ["0", "1"]);
    assert_eq!(rule.matching.unit, ["a", "b.service"]);
    assert_eq!(rule.group_wait, Duration::from_secs(10));
    assert_eq!(rule.group_interval, Duration::from_secs(5_400));
    assert_eq!(rule.repeat_interval, Duration::from_secs(86_400));
}

/// Goal: an empty text is the defaults.
#[test]
fn an_empty_text_is_the_defaults() {
    let settings = parse("").expect("valid");
    assert_eq!(settings.web_listen, WEB_LISTEN_DEFAULT);
    assert!(settings.rules.is_empty() && settings.sendmail.is_none());
}

/// Goal: each mistake is told with its place, its cause and what to write.
#[test]
fn mistakes_are_told() {
    let rule = |line: &str| {
        format!("[[rule]]\nname = \"a\"\nmatch = {{ selector = \"*.err\" }}\nto = [\"root\"]\n{line}\n")
    };
    for (text, place, cause, help) in [
        ("sendmial = []".to_owned(), "sendmial", "nothing is called `sendmial`", "did you mean `sendmail`"),
        ("sendmail = \"x\"".to_owned(), "\"x\"", "a list of texts is wanted", "sendmail = ["),
        ("sendmail = []".to_owned(), "[]", "no program", "sendmail = ["),
        ("from = \"a b\"".to_owned(), "\"a b\"", "neither a local user", "to = ["),
        ("from = \"a\\nBcc: b\"".to_owned(), "\"a\\nBcc: b\"", "neither a local user", "to = ["),
        ("mails_per_hour = -1".to_owned(), "-1", "a whole number", "mails_per_hour = 30"),
        (
            "[web]\nlisten = \"0.0.0.0:8125\"".to_owned(),
            "\"0.0.0.0:8125\"",
            "loopback only",
            "127.0.0.1:8125",
        ),
        ("[[rule]]\nname = \"a\"\nto = [\"root\"]".to_owned(), "[[rule]]", "no `match`", "match = {"),
        (rule("group_wait = \"5 parsecs\""), "\"5 parsecs\"", "not a span of time", "group_wait = \"0s\""),
        (rule("group_by = [\"message\"]"), "[\"message\"]", "neither a field's name", "group_by = ["),
        (rule("").replace("*.err", "*.eror"), "\"*.eror\"", "no severity is called `eror`", "selector = "),
        (
            rule("").replace("selector = \"*.err\"", "regex = '('"),
            "'('",
            "not a regular expression",
            "regex = ",
        ),
        (rule("").replace("\"a\"", "\"doctor\""), "\"doctor\"", "built-in rule", "name = "),
        (
            rule("").replace("\"a\"", "\"mailonchange\""),
            "\"mailonchange\"",
            "chrony.conf's `mailonchange`",
            "name = ",
        ),
        (rule("") + &rule(""), "[[rule]]", "two rules are called `a`", "name = \"a-2\""),
    ] {
        let mistakes = parse(&text).expect_err(&text);
        let first = &mistakes[0];
        assert_eq!(&text[first.span.clone()], place, "{text}\n{mistakes:?}");
        assert!(first.cause.contains(cause), "{text}\n{mistakes:?}");
        assert!(first.help.as_deref().unwrap_or_default().contains(help), "{text}\n{mistakes:?}");
        assert_eq!(mistakes.len(), 1, "{text}\n{mistakes:?}");
    }
    assert!(parse("a = ").is_err() && parse("[[rule]").is_err(), "what is not TOML");
}

/// Goal: all mistakes of a text are told at once, in the order of the text.
#[test]
fn all_mistakes_are_told() {
    let mistakes =
        parse("frm = \"x\"\nmails_per_hour = \"many\"\n[web]\nlisten = 5\n").expect_err("three mistakes");
    assert_eq!(mistakes.iter().map(|mistake| mistake.span.start).collect::<Vec<_>>(), [0, 27, 49]);
}

/// Goal: no text panics.
#[test]
fn odd_texts_do_not_panic() {
    for text in
        ["\u{0}", "[[[", "a.b.c = 1\na = 2", "rule = [1, \"x\", {}]", "rule = 3", "web = []", "日本 = '語'"]
    {
        assert!(parse(text).is_err(), "{text:?}");
    }
}
