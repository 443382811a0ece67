//! Inputs: the parameters of `module(load="im...")` and `input(type="im...")`.

use std::path::PathBuf;

use conf_text::Spanned;
use log_core::{RateLimit, RuleSetId};

use crate::settings::{Input, InputKind, TcpFraming};
use crate::tables::{Entry, entry};
use crate::values::{self, Taken};

/// An input module.
pub(crate) struct Module {
    pub name: &'static str,
    /// Parameters of `module(load=...)`.
    pub module_parameters: &'static [Entry<InputDraft>],
    /// Parameters of `input(type=...)`.
    pub input_parameters: &'static [Entry<InputDraft>],
    /// Parameters that rsyslog has and we do not yet.
    pub not_yet: &'static [&'static str],
    /// Loading it is an input of itself.
    pub listens_when_loaded: bool,
}

/// What the parameters gather.
#[derive(Debug, Clone)]
pub(crate) struct InputDraft {
    pub ruleset: Option<Spanned<String>>,
    pub name: Option<String>,
    pub rate_limit: RateLimit,
    pub address: Option<String>,
    pub port: Option<u16>,
    pub path: Option<PathBuf>,
    pub enabled: bool,
    pub use_pid_from_system: bool,
    pub ignore_timestamp: bool,
    pub parse_hostname: bool,
    pub create_path: bool,
    pub permit_other_facilities: bool,
    pub receive_buffer_bytes: Option<usize>,
    pub framing: TcpFraming,
    pub sessions_max: usize,
    pub keep_alive: bool,
    pub state_file: Option<PathBuf>,
    pub state_file_mode: u32,
    pub ignore_previous: bool,
}

/// Connections at once where nothing is configured (rsyslog's default of `imtcp`).
const SESSIONS_DEFAULT: usize = 200;

impl Default for InputDraft {
    fn default() -> Self {
        Self {
            ruleset: None,
            name: None,
            rate_limit: RateLimit::NONE,
            address: None,
            port: None,
            path: None,
            enabled: true,
            use_pid_from_system: false,
            ignore_timestamp: true,
            parse_hostname: false,
            create_path: false,
            permit_other_facilities: false,
            receive_buffer_bytes: None,
            framing: TcpFraming::default(),
            sessions_max: SESSIONS_DEFAULT,
            keep_alive: false,
            state_file: None,
            state_file_mode: 0o644,
            ignore_previous: false,
        }
    }
}

impl InputDraft {
    /// The input, or what it lacks.
    pub(crate) fn finish(
        self,
        module: &str,
        ruleset: RuleSetId,
        is_system: bool,
    ) -> Result<Input, &'static str> {
        let kind = match module {
            "imuxsock" if is_system || self.path.is_some() => InputKind::UnixDatagram {
                path: self.path,
                is_system,
                use_pid_from_system: self.use_pid_from_system,
                ignore_timestamp: self.ignore_timestamp,
                parse_hostname: self.parse_hostname,
                create_path: self.create_path,
            },
            "imuxsock" => return Err("Socket=\"/path\""),
            "imklog" => InputKind::Kernel { permit_other_facilities: self.permit_other_facilities },
            "imudp" => InputKind::Udp {
                address: self.address,
                port: self.port.ok_or("port=\"514\"")?,
                receive_buffer_bytes: self.receive_buffer_bytes,
            },
            "imtcp" | "imptcp" => InputKind::Tcp {
                address: self.address,
                port: self.port.ok_or("port=\"514\"")?,
                framing: self.framing,
                sessions_max: self.sessions_max,
                keep_alive: self.keep_alive,
            },
            _ => InputKind::Journal {
                state_file: self.state_file,
                state_file_mode: self.state_file_mode,
                use_pid_from_system: self.use_pid_from_system,
                ignore_previous: self.ignore_previous,
            },
        };
        Ok(Input {
            kind,
            name: self.name.unwrap_or_else(|| module.to_owned()),
            ruleset,
            rate_limit: self.rate_limit,
        })
    }
}

/// The module of a name.
pub(crate) fn module(name: &str) -> Option<&'static Module> {
    MODULES.iter().find(|module| module.name.eq_ignore_ascii_case(name))
}

fn micros_of_seconds(value: &Spanned<String>) -> Taken<u64> {
    values::number::<u64>(&value.value).map(|seconds| seconds.saturating_mul(1_000_000))
}

const fn ruleset() -> Entry<InputDraft> {
    entry("ruleset", "NAME", "the default one", "The rules that its messages run through.", |input, value| {
        input.ruleset = Some(value.clone());
        Ok(())
    })
}

const fn name() -> Entry<InputDraft> {
    entry("name", "NAME", "the module's", "The property `inputname`.", |input, value| {
        values::name(&value.value).map(|name| input.name = Some(name))
    })
}

const fn address() -> Entry<InputDraft> {
    entry("address", "ADDRESS", "all", "The address to bind.", |input, value| {
        // `*` is an older way to say all.
        values::name(&value.value)
            .map(|address| input.address = Some(address).filter(|address| address != "*"))
    })
}

const fn port() -> Entry<InputDraft> {
    entry("port", "PORT", "none", "The port to bind.", |input, value| {
        values::port(&value.value).map(|port| input.port = Some(port))
    })
}

const fn rate_interval(name: &'static str) -> Entry<InputDraft> {
    entry(name, "SECONDS", "0 (no limit)", "The interval of the rate limit.", |input, value| {
        micros_of_seconds(value).map(|micros| input.rate_limit.interval_micros = micros)
    })
}

const fn rate_burst(name: &'static str) -> Entry<InputDraft> {
    entry(name, "MESSAGES", "0 (no limit)", "Messages admitted in one interval.", |input, value| {
        values::number(&value.value).map(|burst| input.rate_limit.burst = burst)
    })
}

const fn octet_counted() -> Entry<InputDraft> {
    entry(
        "supportOctetCountedFraming",
        "on|off",
        "on",
        "A frame that begins with a digit is counted.",
        |input, value| values::switch(&value.value).map(|on| input.framing.octet_counted = on),
    )
}

const fn additional_delimiter() -> Entry<InputDraft> {
    entry("addtlFrameDelimiter", "CODE", "none", "A further byte that ends a message.", |input, value| {
        if value.value == "-1" {
            input.framing.additional_delimiter = None;
            return Ok(());
        }
        values::number(&value.value).map(|code| input.framing.additional_delimiter = Some(code))
    })
}

const fn disable_lf() -> Entry<InputDraft> {
    entry("disableLFDelimiter", "on|off", "off", "A line feed ends no message.", |input, value| {
        values::switch(&value.value).map(|on| input.framing.line_feed = !on)
    })
}

const fn sessions() -> Entry<InputDraft> {
    entry("maxSessions", "N", "200", "Connections at once.", |input, value| {
        values::number(&value.value).map(|count| input.sessions_max = count)
    })
}

const fn keep_alive() -> Entry<InputDraft> {
    entry("keepAlive", "on|off", "off", "TCP keep-alive probes.", |input, value| {
        values::switch(&value.value).map(|on| input.keep_alive = on)
    })
}

const fn use_pid(name: &'static str) -> Entry<InputDraft> {
    entry(name, "on|off", "off", "The kernel's PID replaces the one in the tag.", |input, value| {
        values::switch(&value.value).map(|on| input.use_pid_from_system = on)
    })
}

const fn ignore_timestamp(name: &'static str) -> Entry<InputDraft> {
    entry(name, "on|off", "on", "The time of receipt counts.", |input, value| {
        values::switch(&value.value).map(|on| input.ignore_timestamp = on)
    })
}

const fn parse_hostname(name: &'static str) -> Entry<InputDraft> {
    entry(name, "on|off", "off", "The text states a host name.", |input, value| {
        values::switch(&value.value).map(|on| input.parse_hostname = on)
    })
}

/// The input modules.
pub(crate) const MODULES: &[Module] = &[
    Module {
        name: "imuxsock",
        module_parameters: &[
            entry("SysSock.Use", "on|off", "on", "The system's log socket is read.", |input, value| {
                values::switch(&value.value).map(|on| input.enabled = on)
            }),
            entry("SysSock.Name", "PATH", "/dev/log", "Where it stands.", |input, value| {
                values::absolute_path(&value.value).map(|path| input.path = Some(path))
            }),
            use_pid("SysSock.UsePIDFromSystem"),
            ignore_timestamp("SysSock.IgnoreTimestamp"),
            parse_hostname("SysSock.ParseHostname"),
            rate_interval("SysSock.RateLimit.Interval"),
            rate_burst("SysSock.RateLimit.Burst"),
        ],
        input_parameters: &[
            entry("Socket", "PATH", "none", "A further log socket.", |input, value| {
                values::absolute_path(&value.value).map(|path| input.path = Some(path))
            }),
            entry("CreatePath", "on|off", "off", "Missing directories are made.", |input, value| {
                values::switch(&value.value).map(|on| input.create_path = on)
            }),
            use_pid("UsePIDFromSystem"),
            ignore_timestamp("IgnoreTimestamp"),
            parse_hostname("ParseHostname"),
            rate_interval("RateLimit.Interval"),
            rate_burst("RateLimit.Burst"),
            ruleset(),
            name(),
        ],
        not_yet: &[
            "SysSock.FlowControl",
            "SysSock.RateLimit.Severity",
            "SysSock.UseSysTimeStamp",
            "SysSock.Annotate",
            "SysSock.ParseTrusted",
            "SysSock.Unlink",
            "SysSock.UseSpecialParser",
            "FlowControl",
            "RateLimit.Severity",
            "UseSysTimeStamp",
            "Annotate",
            "ParseTrusted",
            "Unlink",
            "UseSpecialParser",
            "HostName",
        ],
        listens_when_loaded: true,
    },
    Module {
        name: "imklog",
        module_parameters: &[entry(
            "PermitNonKernelFacility",
            "on|off",
            "off",
            "What programs wrote into the kernel's buffer passes too.",
            |input, value| values::switch(&value.value).map(|on| input.permit_other_facilities = on),
        )],
        input_parameters: &[],
        not_yet: &[
            "InternalMsgFacility",
            "ConsoleLogLevel",
            "ParseKernelTimestamp",
            "KeepKernelTimestamp",
            "LogPath",
            "RateLimitInterval",
            "RateLimitBurst",
            "RatelimitInterval",
        ],
        listens_when_loaded: true,
    },
    Module {
        name: "imudp",
        module_parameters: &[],
        input_parameters: &[
            address(),
            port(),
            entry("rcvbufSize", "SIZE", "4m", "Bytes of the kernel's receive buffer.", |input, value| {
                values::memory_size(&value.value).map(|size| input.receive_buffer_bytes = Some(size))
            }),
            rate_interval("RateLimit.Interval"),
            rate_burst("RateLimit.Burst"),
            ruleset(),
            name(),
        ],
        not_yet: &[
            "TimeRequery",
            "SchedulingPolicy",
            "SchedulingPriority",
            "BatchSize",
            "Threads",
            "PreserveCase",
            "Device",
            "IpFreeBind",
            "name.appendPort",
            "inputname",
            "inputname.appendPort",
            "defaultTZ",
        ],
        listens_when_loaded: false,
    },
    Module {
        name: "imtcp",
        module_parameters: &[additional_delimiter(), disable_lf(), sessions(), keep_alive()],
        input_parameters: &[
            address(),
            port(),
            octet_counted(),
            additional_delimiter(),
            disable_lf(),
            sessions(),
            keep_alive(),
            rate_interval("RateLimit.Interval"),
            rate_burst("RateLimit.Burst"),
            ruleset(),
            name(),
        ],
        not_yet: &[
            "NotifyOnConnectionClose",
            "NotifyOnConnectionOpen",
            "KeepAlive.*",
            "FlowControl",
            "MaxFrameSize",
            "MaxListeners",
            "StreamDriver*",
            "PermittedPeer",
            "DiscardTruncatedMsg",
            "gnutlsPriorityString",
            "PreserveCase",
            "socketBacklog",
            "ListenPortFileName",
            "spframingfix",
            "networkNamespace",
            "workerthreads",
            "defaultTZ",
        ],
        listens_when_loaded: false,
    },
    Module {
        name: "imptcp",
        module_parameters: &[],
        input_parameters: &[
            address(),
            port(),
            octet_counted(),
            additional_delimiter(),
            keep_alive(),
            sessions(),
            rate_interval("RateLimit.Interval"),
            rate_burst("RateLimit.Burst"),
            ruleset(),
            name(),
        ],
        not_yet: &[
            "Threads",
            "MaxSessions",
            "ProcessOnPoller",
            "Path",
            "DiscardTruncatedMsg",
            "FileOwner*",
            "FileGroup*",
            "FileCreateMode",
            "FailOnChOwnFailure",
            "Unlink",
            "Compression.mode",
            "NotifyOnConnection*",
            "KeepAlive.*",
            "multiLine",
            "framing.*",
            "socketBacklog",
            "ListenPortFileName",
            "flowControl",
            "maxFrameSize",
            "defaultTZ",
        ],
        listens_when_loaded: false,
    },
    Module {
        name: "imjournal",
        module_parameters: &[
            entry("StateFile", "PATH", "none", "Where the position is kept.", |input, value| {
                values::path(&value.value).map(|path| input.state_file = Some(path))
            }),
            entry("FileCreateMode", "OCTAL", "0644", "The mode of that file.", |input, value| {
                values::mode(&value.value).map(|mode| input.state_file_mode = mode)
            }),
            entry("UsePid", "syslog|system|both", "both", "Which PID the tag bears.", |input, value| {
                match value.value.to_ascii_lowercase().as_str() {
                    "system" => input.use_pid_from_system = true,
                    "syslog" | "both" => input.use_pid_from_system = false,
                    other => {
                        return Err(values::Wrong::new(
                            format!("`{other}` is not one of `syslog`, `system`, `both`"),
                            "write `system` for the PID that the journal trusts",
                        ));
                    }
                }
                Ok(())
            }),
            entry("UsePidFromSystem", "on|off", "off", "The same, older.", |input, value| {
                values::switch(&value.value).map(|on| input.use_pid_from_system = on)
            }),
            entry(
                "IgnorePreviousMessages",
                "on|off",
                "off",
                "What stands there at first is skipped.",
                |input, value| values::switch(&value.value).map(|on| input.ignore_previous = on),
            ),
            entry(
                "Ratelimit.Interval",
                "SECONDS",
                "600",
                "The interval of the rate limit.",
                |input, value| {
                    micros_of_seconds(value).map(|micros| input.rate_limit.interval_micros = micros)
                },
            ),
            entry(
                "Ratelimit.Burst",
                "MESSAGES",
                "20000",
                "Messages admitted in one interval.",
                |input, value| values::number(&value.value).map(|burst| input.rate_limit.burst = burst),
            ),
        ],
        input_parameters: &[ruleset()],
        not_yet: &[
            "PersistStateInterval",
            "IgnoreNonValidStatefile",
            "WorkAroundJournalBug",
            "FsyncStateFile",
            "Main",
            "DefaultSeverity",
            "DefaultFacility",
            "Remote",
        ],
        listens_when_loaded: true,
    },
];

/// Modules that rsyslog has and we do not yet; loading one is a warning.
pub(crate) const MODULES_NOT_YET: &[&str] = &[
    "imfile",
    "immark",
    "imrelp",
    "impstats",
    "imkmsg",
    "imdiag",
    "im3195",
    "imgssapi",
    "imkafka",
    "imczmq",
    "imhttp",
    "imbatchreport",
    "imdocker",
    "imsolaris",
    "imtuxedoulog",
    "improg",
    "imhiredis",
    "imdtls",
    "pmlastmsg",
    "pmrfc3164sd",
    "pmaixforwardedfrom",
    "pmcisconames",
    "pmciscoios",
    "pmsnare",
    "pmnormalize",
    "pmnull",
    "pmdb2diag",
    "fmhash",
    "fmhttp",
    "fmunflatten",
    "fmpcre",
    "fmffile",
    "lmcry_gcry",
    "lmsig_*",
    "lmnsd_*",
    "lmnet*",
];
