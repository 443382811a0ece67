//! What a configuration means.

use std::path::PathBuf;

use log_core::{QueueSettings, RateLimit, RuleSetId, Rules};
use syslog_proto::Sanitize;

/// A whole `rsyslog.conf` as meant.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What holds for the daemon as a whole.
    pub globals: Globals,
    /// Where messages come from, in the order of the text.
    pub inputs: Vec<Input>,
    /// What is done with them.
    pub rules: Rules,
    /// The queue between inputs and rules (`main_queue()`, `$MainMsgQueue...`).
    pub main_queue: QueueSettings,
}

/// What holds for the daemon as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Globals {
    /// Where queue and state files stand (`$WorkDirectory`); none: nowhere, so nothing may need them.
    pub work_directory: Option<PathBuf>,
    /// The user to become once everything is open (`$PrivDropToUser`).
    pub privilege_user: Option<String>,
    /// The group to become (`$PrivDropToGroup`).
    pub privilege_group: Option<String>,
    /// The process's umask (`$Umask`); left alone where none.
    pub umask: Option<u32>,
    /// Longest message in bytes; what follows is cut (`$MaxMessageSize`).
    pub message_bytes_max: usize,
    /// The name to use for this host in place of its own (`$LocalHostName`).
    pub local_hostname: Option<String>,
    /// Host names keep their domain (`$PreserveFQDN`).
    pub preserve_fqdn: bool,
    /// Peers' addresses are shown by their names in the hosts file (`net.enableDNS`); the DNS is never asked.
    pub resolve_peers: bool,
    /// Runs of the same message are told as one line (`$RepeatedMsgReduction`).
    pub repeated_message_reduction: bool,
    /// What is done to control characters in received messages.
    pub sanitize: Sanitize,
}

impl Default for Globals {
    fn default() -> Self {
        Self {
            work_directory: None,
            privilege_user: None,
            privilege_group: None,
            umask: None,
            message_bytes_max: MESSAGE_BYTES_DEFAULT,
            local_hostname: None,
            preserve_fqdn: false,
            resolve_peers: true,
            repeated_message_reduction: false,
            sanitize: Sanitize::default(),
        }
    }
}

/// The longest message where nothing is configured, bytes (rsyslog's `8k`).
pub(crate) const MESSAGE_BYTES_DEFAULT: usize = 8 * 1024;

/// One source of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// What it is.
    pub kind: InputKind,
    /// The property `inputname`.
    pub name: String,
    /// The rules that its messages run through.
    pub ruleset: RuleSetId,
    /// How many messages it may bring in.
    pub rate_limit: RateLimit,
}

/// The kinds of inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputKind {
    /// `imuxsock`: a datagram socket in the file system.
    UnixDatagram {
        /// The socket; none: the system's (`/dev/log`, or the house's own).
        path: Option<PathBuf>,
        /// It is the system's log socket, not a further one.
        is_system: bool,
        /// The PID in the tag is replaced by the one that the kernel knows.
        use_pid_from_system: bool,
        /// The stamp in the message is not believed: the time of receipt counts.
        ignore_timestamp: bool,
        /// The text states a host name after the stamp.
        parse_hostname: bool,
        /// Missing directories are made.
        create_path: bool,
    },
    /// `imklog`: the kernel's messages.
    Kernel {
        /// Messages that a program wrote into the kernel's buffer pass too.
        permit_other_facilities: bool,
    },
    /// `imudp`.
    Udp {
        /// The address to bind; all where none.
        address: Option<String>,
        /// The port.
        port: u16,
        /// Bytes of the kernel's receive buffer; the daemon's own default where none.
        receive_buffer_bytes: Option<usize>,
    },
    /// `imtcp` and `imptcp`.
    Tcp {
        /// The address to bind; all where none.
        address: Option<String>,
        /// The port.
        port: u16,
        /// How messages are told apart.
        framing: TcpFraming,
        /// Connections at once.
        sessions_max: usize,
        /// TCP keep-alive probes.
        keep_alive: bool,
    },
    /// `imjournal`: the journal's files.
    Journal {
        /// Where the position is kept, in the work directory where not absolute.
        state_file: Option<PathBuf>,
        /// The mode of that file.
        state_file_mode: u32,
        /// `UsePid="system"`: the PID that the journal trusts, before the one that the program states.
        use_pid_from_system: bool,
        /// What is in the journal at the first start is skipped.
        ignore_previous: bool,
    },
}

/// How messages on a TCP connection are told apart (RFC 6587).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpFraming {
    /// A frame that begins with a digit is octet-counted.
    pub octet_counted: bool,
    /// A line feed ends a message that is not octet-counted.
    pub line_feed: bool,
    /// A further byte that ends a message.
    pub additional_delimiter: Option<u8>,
}

impl Default for TcpFraming {
    fn default() -> Self {
        Self { octet_counted: true, line_feed: true, additional_delimiter: None }
    }
}
