//! The command line of `logger(1)`.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use record::{Facility, Priority, Severity};

/// What is to be done.
pub(crate) enum Action {
    Log(Box<Options>),
    Help,
    Version,
}

/// The form of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// What the destination calls for: RFC 5424 to a server, the form of `syslog(3)` to a local socket.
    Default,
    Rfc3164,
    Rfc5424 {
        time: bool,
        quality: bool,
        host: bool,
    },
}

/// Which transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Any,
    Tcp,
    Udp,
}

/// The options as meant.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub id: Option<String>,
    pub file: Option<PathBuf>,
    pub skip_empty: bool,
    pub no_act: bool,
    pub priority: Priority,
    pub octet_count: bool,
    pub prio_prefix: bool,
    pub stderr: bool,
    pub size: usize,
    pub tag: Option<Vec<u8>>,
    pub server: Option<String>,
    pub port: Option<String>,
    pub transport: Transport,
    pub form: Form,
    pub structured_data: Vec<(String, Vec<String>)>,
    pub msgid: Option<String>,
    pub socket: Option<PathBuf>,
    /// None: automatic.
    pub socket_errors: Option<bool>,
    /// The journal entry's file; the inner none is standard input.
    pub journald: Option<Option<PathBuf>>,
    pub message: Vec<Vec<u8>>,
    /// What was asked for and cannot be done together with the rest, in sentences.
    pub warnings: Vec<String>,
}

/// Longest message in bytes unless `--size` says otherwise (util-linux's default, from RFC 3164).
const SIZE_DEFAULT: usize = 1024;
/// Largest `--size`: what fits a datagram with room for the header.
const SIZE_MAX: usize = 64 * 1024 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    No,
    Must,
    May,
}

/// Each flag once: long name, short name, value, what help says. `parse` below gives it its meaning.
const FLAGS: &[(&str, Option<u8>, Value)] = &[
    ("id", None, Value::May),
    ("file", Some(b'f'), Value::Must),
    ("skip-empty", Some(b'e'), Value::No),
    ("no-act", None, Value::No),
    ("priority", Some(b'p'), Value::Must),
    ("octet-count", None, Value::No),
    ("prio-prefix", None, Value::No),
    ("stderr", Some(b's'), Value::No),
    ("size", Some(b'S'), Value::Must),
    ("tag", Some(b't'), Value::Must),
    ("server", Some(b'n'), Value::Must),
    ("port", Some(b'P'), Value::Must),
    ("tcp", Some(b'T'), Value::No),
    ("udp", Some(b'd'), Value::No),
    ("rfc3164", None, Value::No),
    ("rfc5424", None, Value::May),
    ("sd-id", None, Value::Must),
    ("sd-param", None, Value::Must),
    ("msgid", None, Value::Must),
    ("socket", Some(b'u'), Value::Must),
    ("socket-errors", None, Value::May),
    ("journald", None, Value::May),
    ("help", Some(b'h'), Value::No),
    ("version", Some(b'V'), Value::No),
    // -i alone takes no value.
    ("", Some(b'i'), Value::No),
];

/// The text of `--help`.
pub(crate) const HELP: &str = "
Usage:
 logger [options] [<message>]

Enter messages into the system log.

Options:
 -i                       log the logger command's PID
     --id[=<id>]          log the given <id>, or otherwise the PID
 -f, --file <file>        log the contents of this file
 -e, --skip-empty         do not log empty lines when processing files
     --no-act             do everything except the write the log
 -p, --priority <prio>    mark given message with this priority
     --octet-count        use rfc6587 octet counting
     --prio-prefix        look for a prefix on every line read from stdin
 -s, --stderr             output message to standard error as well
 -S, --size <size>        maximum size for a single message
 -t, --tag <tag>          mark every line with this tag
 -n, --server <name>      write to this remote syslog server
 -P, --port <port>        use this port for UDP or TCP connection
 -T, --tcp                use TCP only
 -d, --udp                use UDP only
     --rfc3164            use the obsolete BSD syslog protocol
     --rfc5424[=<snip>]   use the syslog protocol (the default for remote);
                            <snip> can be notime, or notq, and/or nohost
     --sd-id <id>         rfc5424 structured data ID
     --sd-param <data>    rfc5424 structured data name=value
     --msgid <msgid>      set rfc5424 message id field
 -u, --socket <socket>    write to this Unix socket
     --socket-errors[=<on|off|auto>]
                          print connection errors when using Unix sockets
     --journald[=<file>]  write journald entry

 -h, --help               display this help
 -V, --version            display version
";

/// Reads the command line; options may stand after words of the message, as with `getopt_long(3)`.
pub(crate) fn parse(args: &[OsString]) -> Result<Action, String> {
    let mut options = Options {
        id: None,
        file: None,
        skip_empty: false,
        no_act: false,
        priority: Priority::DEFAULT,
        octet_count: false,
        prio_prefix: false,
        stderr: false,
        size: SIZE_DEFAULT,
        tag: None,
        server: None,
        port: None,
        transport: Transport::Any,
        form: Form::Default,
        structured_data: Vec::new(),
        msgid: None,
        socket: None,
        socket_errors: None,
        journald: None,
        message: Vec::new(),
        warnings: Vec::new(),
    };
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let bytes = word.as_bytes();
        if bytes == b"--" {
            options.message.extend(words.by_ref().map(|word| word.as_bytes().to_vec()));
        } else if let Some(long) = bytes.strip_prefix(b"--") {
            let (name, value) = match long.iter().position(|byte| *byte == b'=') {
                Some(at) => (&long[..at], Some(OsString::from_vec(long[at + 1..].to_vec()))),
                None => (long, None),
            };
            let name = String::from_utf8_lossy(name);
            let (name, takes) = find_long(&name)?;
            let value = match (takes, value) {
                (Value::No, Some(_)) => return Err(format!("option '--{name}' doesn't allow an argument")),
                (Value::Must, None) => Some(
                    words.next().cloned().ok_or_else(|| format!("option '--{name}' requires an argument"))?,
                ),
                (_, value) => value,
            };
            if let Some(done) = apply(&mut options, name, value)? {
                return Ok(done);
            }
        } else if bytes.len() > 1 && bytes[0] == b'-' {
            let mut at = 1;
            while at < bytes.len() {
                let short = bytes[at];
                at += 1;
                let Some((name, _, takes)) = FLAGS.iter().find(|flag| flag.1 == Some(short)) else {
                    return Err(format!("invalid option -- '{}'", char::from(short)));
                };
                let mut value = None;
                if *takes == Value::Must {
                    value = match &bytes[at..] {
                        [] => Some(words.next().cloned().ok_or_else(|| {
                            format!("option requires an argument -- '{}'", char::from(short))
                        })?),
                        rest => Some(OsString::from_vec(rest.to_vec())),
                    };
                    at = bytes.len();
                }
                let name = if short == b'i' { "id" } else { name };
                if let Some(done) = apply(&mut options, name, value)? {
                    return Ok(done);
                }
            }
        } else {
            options.message.push(bytes.to_vec());
        }
    }
    options.warnings = without_effect(&options);
    if options.file.is_some() && !options.message.is_empty() {
        return Err("--file <file> and <message> are mutually exclusive, message is ignored".to_owned());
    }
    Ok(Action::Log(Box::new(options)))
}

/// Options that only some forms and destinations have a place for. The stock program drops them without a word.
fn without_effect(options: &Options) -> Vec<String> {
    let is_rfc5424 = match options.form {
        Form::Rfc5424 { .. } => true,
        Form::Default => options.server.is_some(),
        Form::Rfc3164 => false,
    };
    let journald = options.journald.is_some();
    let no_place =
        |set: bool, name: &str, help: &str| set.then(|| format!("{name} has no effect here\nhelp: {help}"));
    let form = !is_rfc5424 || journald;
    let entry = "the entry's own lines decide: FIELD=value";
    [
        no_place(
            form && !options.structured_data.is_empty(),
            "--sd-id",
            "add --rfc5424: only that form has structured data",
        ),
        no_place(
            form && options.msgid.is_some(),
            "--msgid",
            "add --rfc5424: only that form has a message id",
        ),
        no_place(
            options.port.is_some() && (options.server.is_none() || journald),
            "--port",
            "name the server: --server HOST",
        ),
        no_place(
            options.server.is_some() && options.socket.is_some(),
            "--socket",
            "leave it out: --server decides",
        ),
        no_place(
            journald && options.server.is_some(),
            "--server",
            "leave it out: --journald writes to this host's journal",
        ),
        no_place(journald && options.tag.is_some(), "--tag", entry),
        no_place(journald && options.id.is_some(), "--id", entry),
        no_place(journald && !options.message.is_empty(), "the message on the command line", entry),
        no_place(journald && options.file.is_some(), "--file", "name the file here: --journald=FILE"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A long name or an unambiguous beginning of one.
fn find_long(name: &str) -> Result<(&'static str, Value), String> {
    let named = || FLAGS.iter().filter(|flag| !flag.0.is_empty());
    if let Some(flag) = named().find(|flag| flag.0 == name) {
        return Ok((flag.0, flag.2));
    }
    let mut matches = named().filter(|flag| flag.0.starts_with(name));
    match (matches.next(), matches.next()) {
        (Some(flag), None) => Ok((flag.0, flag.2)),
        (Some(_), Some(_)) => Err(format!("option '--{name}' is ambiguous")),
        _ => Err(format!("unrecognized option '--{name}'")),
    }
}

fn apply(options: &mut Options, name: &str, value: Option<OsString>) -> Result<Option<Action>, String> {
    let text = || value.as_ref().map(|value| value.to_string_lossy().into_owned()).unwrap_or_default();
    match name {
        "id" => {
            let id = if value.is_some() { text() } else { std::process::id().to_string() };
            if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("failed to parse id: '{id}'"));
            }
            options.id = Some(id);
        }
        "file" => options.file = value.map(PathBuf::from),
        "skip-empty" => options.skip_empty = true,
        "no-act" => options.no_act = true,
        "priority" => options.priority = priority(&text())?,
        "octet-count" => options.octet_count = true,
        "prio-prefix" => options.prio_prefix = true,
        "stderr" => options.stderr = true,
        "size" => options.size = size(&text())?,
        "tag" => options.tag = value.map(OsString::into_vec),
        "server" => options.server = Some(text()),
        "port" => options.port = Some(text()),
        "tcp" => options.transport = Transport::Tcp,
        "udp" => options.transport = Transport::Udp,
        "rfc3164" => options.form = Form::Rfc3164,
        "rfc5424" => options.form = rfc5424(value.is_some().then(text).as_deref())?,
        "sd-id" => options.structured_data.push((sd_id(text())?, Vec::new())),
        "sd-param" => {
            let param = sd_param(text())?;
            let Some((_, params)) = options.structured_data.last_mut() else {
                return Err("--sd-param must follow an --sd-id".to_owned());
            };
            params.push(param);
        }
        "msgid" => {
            let id = text();
            if id.is_empty() || id.contains(' ') {
                return Err("--msgid cannot contain space".to_owned());
            }
            options.msgid = Some(id);
        }
        "socket" => options.socket = value.map(PathBuf::from),
        "socket-errors" => {
            options.socket_errors = match text().as_str() {
                "" | "on" => Some(true),
                "off" => Some(false),
                "auto" => None,
                other => {
                    return Err(format!(
                        "invalid argument: {other}: using automatic errors needs on, off or auto"
                    ));
                }
            }
        }
        "journald" => options.journald = Some(value.map(PathBuf::from)),
        "help" => return Ok(Some(Action::Help)),
        "version" => return Ok(Some(Action::Version)),
        other => return Err(format!("unrecognized option '--{other}'")),
    }
    Ok(None)
}

/// `facility.severity`, or a severity, each by name or number.
fn priority(text: &str) -> Result<Priority, String> {
    let (facility, severity) = match text.split_once('.') {
        Some((facility, severity)) => (Some(facility), severity),
        None => (None, text),
    };
    let facility = match facility {
        None => Facility::USER,
        Some(name) => Facility::from_name(name)
            .or_else(|| name.parse().ok().and_then(Facility::from_code))
            // Who writes `kern` gets `user`: only the kernel speaks for itself (logger(1)).
            .map(|facility| if facility == Facility::KERN { Facility::USER } else { facility })
            .ok_or_else(|| format!("unknown facility name: {name}"))?,
    };
    let severity = Severity::from_name(severity)
        .or_else(|| severity.parse().ok().and_then(Severity::from_code))
        .ok_or_else(|| format!("unknown priority name: {severity}"))?;
    Ok(Priority { facility, severity })
}

/// Bytes, with an optional suffix K, KiB, KB, M, ...
fn size(text: &str) -> Result<usize, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = match text.get(digits..).unwrap_or("") {
        "" => Some(1),
        "K" | "k" | "KiB" => Some(1024),
        "KB" => Some(1000),
        "M" | "MiB" => Some(1024 * 1024),
        "MB" => Some(1_000_000),
        _ => None,
    };
    let value = text.get(..digits).and_then(|digits| digits.parse::<usize>().ok());
    match (value, unit) {
        (Some(value), Some(unit)) if value > 0 && value <= SIZE_MAX / unit => Ok(value * unit),
        _ => Err(format!("failed to parse message size: '{text}'")),
    }
}

fn rfc5424(snip: Option<&str>) -> Result<Form, String> {
    let (mut time, mut quality, mut host) = (true, true, true);
    for word in snip.unwrap_or("").split(',').filter(|word| !word.is_empty()) {
        match word {
            // Without a time, a statement on its quality would be about nothing.
            "notime" => (time, quality) = (false, false),
            "notq" => quality = false,
            "nohost" => host = false,
            other => return Err(format!("unrecognized --rfc5424 argument: {other}")),
        }
    }
    Ok(Form::Rfc5424 { time, quality, host })
}

fn is_sd_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 32
        && name.bytes().all(|b| b.is_ascii_graphic() && !b"= ]\"".contains(&b))
}

/// `name@number`, or a name that the IANA registered (RFC 5424 section 6.3.2).
fn sd_id(id: String) -> Result<String, String> {
    let registered = ["timeQuality", "origin", "meta"].contains(&id.as_str());
    let private = id.split_once('@').is_some_and(|(name, number)| {
        !name.is_empty() && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    });
    if is_sd_name(&id) && (registered || private) {
        Ok(id)
    } else {
        Err(format!("invalid structured data ID: '{id}'"))
    }
}

/// `name="value"`, the value already escaped: nothing in it may end the value or the element.
fn sd_param(param: String) -> Result<String, String> {
    let valid = param.split_once('=').is_some_and(|(name, quoted)| {
        let value = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        is_sd_name(name) && value.is_some_and(is_escaped)
    });
    if valid { Ok(param) } else { Err(format!("invalid structured data parameter: '{param}'")) }
}

fn is_escaped(value: &str) -> bool {
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' | b']' => return false,
            b'\\' if bytes.next().is_none() => return false,
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Options, String> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        match parse(&words)? {
            Action::Log(options) => Ok(*options),
            _ => Err("not a message".to_owned()),
        }
    }

    /// Goal: the words of `logger(1)` are understood in each way of writing them.
    #[test]
    fn command_lines_are_understood() {
        let options =
            parsed(&["-p", "local0.err", "-itname", "text", "--size=2K", "--rfc5424=notq", "--", "-x"])
                .expect("valid");
        assert_eq!(options.priority.pri(), 131);
        assert_eq!(options.id, Some(std::process::id().to_string()));
        assert_eq!(options.tag, Some(b"name".to_vec()));
        assert_eq!(options.message, [b"text".to_vec(), b"-x".to_vec()]);
        assert_eq!(options.size, 2048);
        assert_eq!(options.form, Form::Rfc5424 { time: true, quality: false, host: true });
        assert_eq!(parsed(&["-p", "kern.3"]).expect("valid").priority.pri(), 11);
        assert_eq!(parsed(&["--journald"]).expect("valid").journald, Some(None));
    }

    /// Goal: an option that the chosen form or destination has no place for is said by name; with a place it is not.
    #[test]
    fn what_has_no_effect_is_said() {
        let check = |words: &[&str], expected: &[&str]| {
            let warnings = parsed(words).expect("it is accepted").warnings;
            assert_eq!(warnings.len(), expected.len(), "{words:?}: {warnings:?}");
            for (warning, name) in warnings.iter().zip(expected) {
                let said = format!("{name} has no effect here\nhelp: ");
                assert!(warning.starts_with(&said), "{words:?}: {warning}");
            }
        };
        check(&["--sd-id", "a@1", "--msgid", "m", "x"], &["--sd-id", "--msgid"]);
        check(&["--sd-id", "a@1", "--msgid", "m", "--rfc5424", "x"], &[]);
        check(&["--sd-id", "a@1", "--msgid", "m", "-n", "h", "-P", "514", "x"], &[]);
        check(&["--msgid", "m", "-n", "h", "--rfc3164", "x"], &["--msgid"]);
        check(&["-P", "514", "x"], &["--port"]);
        check(&["-n", "h", "-u", "/s", "x"], &["--socket"]);
        check(
            &["--journald", "-n", "h", "-t", "t", "-i", "x"],
            &["--server", "--tag", "--id", "the message on the command line"],
        );
        check(&["--journald=/f", "-f", "/g"], &["--file"]);
    }

    /// Goal: what is wrong is told, never passed over.
    #[test]
    fn wrong_words_are_told() {
        for (words, expected) in [
            (&["-p", "foo.err"][..], "unknown facility name: foo"),
            (&["-p", "user.bad"], "unknown priority name: bad"),
            (&["-S", "0"], "failed to parse message size: '0'"),
            (&["--sd-id", "plain"], "invalid structured data ID: 'plain'"),
            (&["--sd-id", "a@1", "--sd-param", "x=1"], "invalid structured data parameter: 'x=1'"),
            (
                &["--sd-id", "a@1", "--sd-param", "x=\"1\"] [b"],
                "invalid structured data parameter: 'x=\"1\"] [b'",
            ),
            (&["--rfc"], "option '--rfc' is ambiguous"),
            (&["-Z"], "invalid option -- 'Z'"),
            (&["-t"], "option requires an argument -- 't'"),
        ] {
            assert_eq!(parsed(words).err().as_deref(), Some(expected));
        }
    }
}
