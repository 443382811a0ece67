//! Actions as written: the older forms (`/file`, `@host`, `:omusrmsg:`, ...) and the parameters of `action()`.

use std::path::PathBuf;

use conf_text::Spanned;
use log_core::{FileOptions, Forward, Framing, Protocol, QueueSettings, Retry, Users};

use crate::no_effect::Noted;
use crate::tables::{Entry, entry};
use crate::values::{self, Taken, Wrong};

/// An action before its templates are looked up.
#[derive(Debug, Clone)]
pub(crate) struct ActionDraft {
    pub kind: DraftKind,
    pub name: Option<String>,
    pub template: Option<Spanned<String>>,
    pub queue: QueueSettings,
    pub retry: Retry,
    /// What was said of its queue and its retries.
    pub noted: Vec<Noted>,
}

#[derive(Debug, Clone)]
pub(crate) enum DraftKind {
    File { path: PathBuf, options: FileOptions },
    DynamicFile { path: Spanned<String>, open_files_max: usize, options: FileOptions },
    Forward(Forward),
    Users(Users),
    Pipe { path: PathBuf },
}

/// What `action()` gathers from its parameters.
#[derive(Debug, Clone, Default)]
pub(crate) struct ActionParameters {
    pub name: Option<String>,
    pub template: Option<Spanned<String>>,
    pub retry: Retry,
    pub file: Option<PathBuf>,
    pub dynamic_file: Option<Spanned<String>>,
    pub open_files_max: Option<usize>,
    pub options: FileOptions,
    pub target: Option<String>,
    pub port: Option<String>,
    pub protocol: Option<Protocol>,
    pub framing: Option<Framing>,
    pub compression_level: u8,
    pub keep_alive: bool,
    pub connect_timeout_secs: Option<u32>,
    pub users: Option<Users>,
    pub pipe: Option<PathBuf>,
}

/// Files that a dynamic file action keeps open where nothing is configured (rsyslog's default).
pub(crate) const OPEN_FILES_DEFAULT: usize = 10;
/// The port of syslog over UDP and TCP (RFC 5426 section 3.3).
pub(crate) const SYSLOG_PORT: &str = "514";

/// Parameters of every action.
pub(crate) const COMMON: &[Entry<ActionParameters>] = &[
    entry("name", "NAME", "made of what it does", "Its name in counters and status.", |action, value| {
        values::name(&value.value).map(|name| action.name = Some(name))
    }),
    entry("template", "NAME", "that of its type", "How a message is rendered.", |action, value| {
        action.template = Some(value.clone());
        Ok(())
    }),
    entry(
        "action.resumeRetryCount",
        "N|-1",
        "0",
        "New attempts before messages are discarded; -1: for ever.",
        |action, value| retry_count(&value.value).map(|count| action.retry.count = count),
    ),
    entry(
        "action.resumeInterval",
        "SECONDS",
        "30",
        "The longest pause between attempts of a forward; they begin 0.1 s apart.",
        |action, value| values::number(&value.value).map(|seconds| action.retry.interval_secs = seconds),
    ),
    entry(
        "action.resumeIntervalMax",
        "SECONDS",
        "1800",
        "Read; pauses end at action.resumeInterval.",
        |action, value| values::number(&value.value).map(|seconds| action.retry.interval_secs_max = seconds),
    ),
    entry(
        "action.execOnlyWhenPreviousIsSuspended",
        "on|off",
        "off",
        "Only while the action before it fails.",
        |action, value| {
            values::switch(&value.value).map(|on| action.retry.only_when_previous_is_suspended = on)
        },
    ),
];

/// Parameters of `omfile`.
pub(crate) const FILE: &[Entry<ActionParameters>] = &[
    entry("file", "PATH", "none", "The file.", |action, value| {
        values::path(&value.value).map(|path| action.file = Some(path))
    }),
    entry("dynaFile", "TEMPLATE", "none", "The template of the file's name.", |action, value| {
        action.dynamic_file = Some(value.clone());
        Ok(())
    }),
    entry("dynaFileCacheSize", "N", "10", "Files that stay open.", |action, value| {
        values::number(&value.value).map(|count| action.open_files_max = Some(count))
    }),
    entry("fileOwner", "USER", "the daemon's", "Owner of new files.", |action, value| {
        values::name(&value.value).map(|name| action.options.owner = Some(name))
    }),
    entry("fileOwnerNum", "UID", "the daemon's", "The same by number.", |action, value| {
        values::number::<u32>(&value.value).map(|id| action.options.owner = Some(id.to_string()))
    }),
    entry("fileGroup", "GROUP", "the daemon's", "Group of new files.", |action, value| {
        values::name(&value.value).map(|name| action.options.group = Some(name))
    }),
    entry("fileGroupNum", "GID", "the daemon's", "The same by number.", |action, value| {
        values::number::<u32>(&value.value).map(|id| action.options.group = Some(id.to_string()))
    }),
    entry("fileCreateMode", "OCTAL", "0644", "Mode of new files.", |action, value| {
        values::mode(&value.value).map(|mode| action.options.file_mode = mode)
    }),
    entry("dirOwner", "USER", "the daemon's", "Owner of new directories.", |action, value| {
        values::name(&value.value).map(|name| action.options.dir_owner = Some(name))
    }),
    entry("dirOwnerNum", "UID", "the daemon's", "The same by number.", |action, value| {
        values::number::<u32>(&value.value).map(|id| action.options.dir_owner = Some(id.to_string()))
    }),
    entry("dirGroup", "GROUP", "the daemon's", "Group of new directories.", |action, value| {
        values::name(&value.value).map(|name| action.options.dir_group = Some(name))
    }),
    entry("dirGroupNum", "GID", "the daemon's", "The same by number.", |action, value| {
        values::number::<u32>(&value.value).map(|id| action.options.dir_group = Some(id.to_string()))
    }),
    entry("dirCreateMode", "OCTAL", "0700", "Mode of new directories.", |action, value| {
        values::mode(&value.value).map(|mode| action.options.dir_mode = mode)
    }),
    entry("createDirs", "on|off", "on", "Missing directories are made.", |action, value| {
        values::switch(&value.value).map(|on| action.options.create_dirs = on)
    }),
    entry(
        "failOnChownFailure",
        "on|off",
        "on",
        "A file that cannot be given away is an error.",
        |action, value| values::switch(&value.value).map(|on| action.options.fail_on_chown = on),
    ),
    entry("sync", "on|off", "off", "Each batch is synced to disk.", |action, value| {
        values::switch(&value.value).map(|on| action.options.sync = on)
    }),
];

/// Parameters of `omfwd`.
pub(crate) const FORWARD: &[Entry<ActionParameters>] = &[
    entry("target", "HOST", "none", "The host to send to.", |action, value| {
        values::name(&value.value).map(|name| action.target = Some(name))
    }),
    entry("port", "PORT", "514", "Its port.", |action, value| {
        values::name(&value.value).map(|port| action.port = Some(port))
    }),
    entry("protocol", "udp|tcp", "udp", "The transport.", |action, value| {
        action.protocol = Some(match value.value.to_ascii_lowercase().as_str() {
            "udp" => Protocol::Udp,
            "tcp" => Protocol::Tcp,
            other => return Err(Wrong::new(format!("`{other}` is not a transport"), "write `udp` or `tcp`")),
        });
        Ok(())
    }),
    entry("tcp_framing", "traditional|octet-counted", "traditional", "The framing.", |action, value| {
        action.framing = Some(match value.value.to_ascii_lowercase().as_str() {
            "traditional" => Framing::Traditional,
            "octet-counted" => Framing::OctetCounted,
            other => {
                return Err(Wrong::new(
                    format!("`{other}` is not a framing"),
                    "write `traditional` or `octet-counted`",
                ));
            }
        });
        Ok(())
    }),
    entry("ziplevel", "0-9", "0", "Only 0: messages are not compressed.", |action, value| {
        compression(&value.value).map(|level| action.compression_level = level)
    }),
    entry("keepAlive", "on|off", "off", "TCP keep-alive probes.", |action, value| {
        values::switch(&value.value).map(|on| action.keep_alive = on)
    }),
    entry(
        "connectTimeout",
        "SECONDS",
        "the system's",
        "When an attempt to connect has failed.",
        |action, value| {
            values::number(&value.value).map(|seconds| action.connect_timeout_secs = Some(seconds))
        },
    ),
];

/// Parameters of `omusrmsg`.
pub(crate) const USERS: &[Entry<ActionParameters>] =
    &[entry("users", "USER,...|*", "none", "Whose terminals; `*` is everybody's.", |action, value| {
        users(&value.value).map(|users| action.users = Some(users))
    })];

/// Parameters of `ompipe`.
pub(crate) const PIPE: &[Entry<ActionParameters>] =
    &[entry("pipe", "PATH", "none", "The named pipe.", |action, value| {
        values::absolute_path(&value.value).map(|path| action.pipe = Some(path))
    })];

/// Known to rsyslog, not to us yet.
pub(crate) const NOT_YET: &[&str] = &[
    "action.writeAllMarkMessages",
    "action.execOnlyEveryNthTime",
    "action.execOnlyEveryNthTimeTimeout",
    "action.execOnlyOnceEveryInterval",
    "action.errorFile",
    "action.errorFile.maxSize",
    "action.reportSuspension",
    "action.reportSuspensionContinuation",
    "action.copyMsg",
    "action.externalState.file",
    // omfile
    "asyncWriting",
    "flushOnTXEnd",
    "flushInterval",
    "ioBufferSize",
    "zipLevel",
    "veryRobustZip",
    "sig.*",
    "cry.*",
    "rotation.*",
    "closeTimeout",
    "addLF",
    "compression.driver",
    "compression.zstd.workers",
    // omfwd
    "networkNamespace",
    "address",
    "device",
    "ipfreebind",
    "tcp_frameDelimiter",
    "compression.mode",
    "compression.stream.flushOnTXEnd",
    "rebindInterval",
    "resendLastMSGOnReconnect",
    "streamDriver*",
    "keepAlive.*",
    "udp.sendToAll",
    "udp.sendDelay",
    "udp.sendBuf",
    "gnutlsPriorityString",
    "maxErrorMessages",
    "ratelimit.*",
    "targetSrv",
    "pool.resumeInterval",
    // ompipe
    "tryResumeReopen",
];

/// Outputs that rsyslog has and we do not yet.
pub(crate) const OUTPUTS_NOT_YET: &[&str] = &[
    "omprog",
    "ommail",
    "omrelp",
    "omjournal",
    "omuxsock",
    "omkafka",
    "omelasticsearch",
    "ommysql",
    "ompgsql",
    "omlibdbi",
    "omsnmp",
    "omstdout",
    "omtesting",
    "omruleset",
    "omhttp",
    "omhttpfs",
    "omhiredis",
    "ommongodb",
    "omrabbitmq",
    "omudpspoof",
    "omclickhouse",
    "omamqp1",
    "omczmq",
    "omtcl",
    "omgssapi",
    "omfile-hardened",
    "omazureeventhubs",
    "mmjsonparse",
    "mmanon",
    "mmutf8fix",
    "mmpstrucdata",
    "mmnormalize",
    "mmfields",
    "mmexternal",
    "mmcount",
    "mmsequence",
    "mmdblookup",
    "mmrm1stspace",
    "mmsnmptrapd",
    "mmaudit",
    "mmkubernetes",
    "mmdarwin",
    "mmtaghostname",
    "mmgrok",
];

pub(crate) fn retry_count(text: &str) -> Taken<Option<u32>> {
    match text.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(count) if count >= 0 => Ok(Some(u32::try_from(count).unwrap_or(u32::MAX))),
        _ => Err(Wrong::new(
            format!("`{text}` is not a number of attempts"),
            "write a number, or `-1` for no end",
        )),
    }
}

pub(crate) fn compression(text: &str) -> Taken<u8> {
    match text.parse::<u8>() {
        Ok(0) => Ok(0),
        Ok(1..=9) => Err(no_compression(text)),
        _ => Err(Wrong::new(format!("`{text}` is not a compression level"), "write a digit from 0 to 9")),
    }
}

/// Uncompressed messages would go where somebody asked for compressed ones: that is no matter of a warning.
fn no_compression(text: &str) -> Wrong {
    Wrong::new(
        format!("`{text}` asks for compression, which is not supported yet"),
        "leave the compression out: `@host:514`, `ziplevel=\"0\"`",
    )
}

pub(crate) fn users(text: &str) -> Taken<Users> {
    let names: Vec<String> =
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.iter().any(|name| name == "*") {
        return Ok(Users::All);
    }
    if names.is_empty() {
        return Err(Wrong::new("no user is named", "write a user's name, or `*` for everybody"));
    }
    // No user's name holds a slash: this is a file whose first slash was forgotten, and its lines would go nowhere.
    if let Some(path) = names.iter().find(|name| name.contains('/')) {
        return Err(Wrong::new(
            format!("`{path}` is neither a user nor a file: a file's name begins with `/`"),
            format!("write `/{path}`, with the whole path"),
        ));
    }
    Ok(Users::Named(names))
}

/// The rest of `@` or `@@`: `(options)host:port`. Says what is wrong, with the place in `text`.
pub(crate) fn forward(text: &str, protocol: Protocol) -> Result<Forward, (std::ops::Range<usize>, Wrong)> {
    let mut framing = Framing::Traditional;
    let mut rest = text;
    let mut at = 0;
    if let Some(after) = rest.strip_prefix('(') {
        let Some(close) = after.find(')') else {
            return Err((
                0..text.len(),
                Wrong::new("the options are not closed", "close them: `@@(o)host:514`"),
            ));
        };
        for option in after.get(..close).unwrap_or("").split(',').map(str::trim) {
            match option.as_bytes() {
                [b'o'] => framing = Framing::OctetCounted,
                [b'z', b'0'] => {}
                [b'z', b'1'..=b'9'] | [b'z'] => {
                    return Err((1..1 + close, no_compression(&format!("({option})"))));
                }
                _ => {
                    return Err((
                        1..1 + close,
                        Wrong::new(
                            format!("`{option}` is not an option of a forward"),
                            "options are `o` (octet-counted framing) and `z0` to `z9` (compression)",
                        ),
                    ));
                }
            }
        }
        rest = after.get(close + 1..).unwrap_or("");
        at = close + 2;
    }
    let (host, port) = match rest.strip_prefix('[') {
        // An IPv6 address stands in brackets.
        Some(inside) => match inside.split_once(']') {
            Some((host, after)) => (host, after.strip_prefix(':')),
            None => {
                return Err((
                    at..text.len(),
                    Wrong::new("the address is not closed", "close it: `@[2001:db8::1]:514`"),
                ));
            }
        },
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    if host.is_empty() {
        return Err((
            at..text.len().max(at + 1),
            Wrong::new("no host is named", "write `@host:514` or `@@host:514`"),
        ));
    }
    let port = match port {
        None | Some("") => SYSLOG_PORT,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => port,
        Some(port) => {
            let start = text.len() - port.len();
            return Err((
                start..text.len(),
                Wrong::new(format!("`{port}` is not a port"), "write a number: `@host:514`"),
            ));
        }
    };
    Ok(Forward {
        host: host.to_owned(),
        port: port.to_owned(),
        protocol,
        framing,
        compression_level: 0,
        keep_alive: false,
        connect_timeout_secs: None,
    })
}
