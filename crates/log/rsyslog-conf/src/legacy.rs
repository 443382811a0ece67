//! `$Directive value` lines.

use conf_text::{Spanned, nearest};

use crate::actions;
use crate::inputs::InputDraft;
use crate::no_effect::{Noted, Owner};
use crate::parser::{InputStanding, Parser, State};
use crate::queues;
use crate::tables::{Entry, entry, find, is_listed};
use crate::text::Cursor;
use crate::values::{self, Taken, Wrong};

/// Directives that change what stands after them.
pub(crate) const DIRECTIVES: &[Entry<State>] = &[
    entry("FileOwner", "USER", "the daemon's", "Owner of new files.", |state, value| {
        values::name(&value.value).map(|name| state.file.owner = Some(name))
    }),
    entry("FileGroup", "GROUP", "the daemon's", "Group of new files.", |state, value| {
        values::name(&value.value).map(|name| state.file.group = Some(name))
    }),
    entry("FileCreateMode", "OCTAL", "0644", "Mode of new files.", |state, value| {
        values::mode(&value.value).map(|mode| state.file.file_mode = mode)
    }),
    entry("DirOwner", "USER", "the daemon's", "Owner of new directories.", |state, value| {
        values::name(&value.value).map(|name| state.file.dir_owner = Some(name))
    }),
    entry("DirGroup", "GROUP", "the daemon's", "Group of new directories.", |state, value| {
        values::name(&value.value).map(|name| state.file.dir_group = Some(name))
    }),
    entry("DirCreateMode", "OCTAL", "0700", "Mode of new directories.", |state, value| {
        values::mode(&value.value).map(|mode| state.file.dir_mode = mode)
    }),
    entry("CreateDirs", "on|off", "on", "Missing directories are made.", |state, value| {
        values::switch(&value.value).map(|on| state.file.create_dirs = on)
    }),
    entry(
        "FailOnChownFailure",
        "on|off",
        "on",
        "A file that cannot be given away is an error.",
        |state, value| values::switch(&value.value).map(|on| state.file.fail_on_chown = on),
    ),
    entry(
        "ActionFileEnableSync",
        "on|off",
        "off",
        "Files without `-` are synced after each batch.",
        |state, value| values::switch(&value.value).map(|on| state.file.sync = on),
    ),
    entry("DynaFileCacheSize", "N", "10", "Files that a dynamic file action keeps open.", |state, value| {
        values::number(&value.value).map(|count| state.open_files_max = count)
    }),
    entry("Umask", "OCTAL", "the process's", "The umask.", |state, value| {
        values::mode(&value.value).map(|mode| state.globals.umask = Some(mode))
    }),
    entry("WorkDirectory", "DIR", "none", "Where queue and state files stand.", |state, value| {
        values::absolute_path(&value.value).map(|path| state.globals.work_directory = Some(path))
    }),
    entry("PrivDropToUser", "USER", "none", "The user to become.", |state, value| {
        values::name(&value.value).map(|name| state.globals.privilege_user = Some(name))
    }),
    entry("PrivDropToGroup", "GROUP", "none", "The group to become.", |state, value| {
        values::name(&value.value).map(|name| state.globals.privilege_group = Some(name))
    }),
    entry("PrivDropToUserID", "UID", "none", "The same by number.", |state, value| {
        values::number::<u32>(&value.value).map(|id| state.globals.privilege_user = Some(id.to_string()))
    }),
    entry("PrivDropToGroupID", "GID", "none", "The same by number.", |state, value| {
        values::number::<u32>(&value.value).map(|id| state.globals.privilege_group = Some(id.to_string()))
    }),
    entry("MaxMessageSize", "SIZE", "8k", "Longest message.", |state, value| {
        values::memory_size(&value.value).map(|size| state.globals.message_bytes_max = size)
    }),
    entry("LocalHostName", "NAME", "the system's", "This host's name in messages.", |state, value| {
        values::name(&value.value).map(|name| state.globals.local_hostname = Some(name))
    }),
    entry("PreserveFQDN", "on|off", "off", "Host names keep their domain.", |state, value| {
        values::switch(&value.value).map(|on| state.globals.preserve_fqdn = on)
    }),
    entry(
        "RepeatedMsgReduction",
        "on|off",
        "off",
        "Read; every message is written as it came.",
        |state, value| values::switch(&value.value).map(|on| state.globals.repeated_message_reduction = on),
    ),
    entry(
        "EscapeControlCharactersOnReceive",
        "on|off",
        "on",
        "They become `#` and octal digits.",
        |state, value| values::switch(&value.value).map(|on| state.globals.sanitize.escape_control = on),
    ),
    entry("EscapeControlCharacterTab", "on|off", "on", "A tab is one of them.", |state, value| {
        values::switch(&value.value).map(|on| state.globals.sanitize.escape_tab = on)
    }),
    entry(
        "Escape8BitCharactersOnReceive",
        "on|off",
        "off",
        "Bytes above 127 are escaped.",
        |state, value| values::switch(&value.value).map(|on| state.globals.sanitize.escape_8bit = on),
    ),
    entry("SpaceLFOnReceive", "on|off", "off", "A line feed becomes a space.", |state, value| {
        values::switch(&value.value).map(|on| state.globals.sanitize.space_lf = on)
    }),
    entry("DropTrailingLFOnReception", "on|off", "on", "A line feed at the end goes.", |state, value| {
        values::switch(&value.value).map(|on| state.globals.sanitize.drop_trailing_lf = on)
    }),
    entry(
        "ControlCharacterEscapePrefix",
        "CHARACTER",
        "#",
        "What stands before the digits.",
        |state, value| match value.value.as_bytes() {
            [byte] => {
                state.globals.sanitize.prefix = *byte;
                Ok(())
            }
            _ => Err(Wrong::new(
                format!("`{}` is not one character", value.value),
                "write one, for example `#`",
            )),
        },
    ),
    entry(
        "ActionFileDefaultTemplate",
        "TEMPLATE",
        "RSYSLOG_FileFormat",
        "For files that name none.",
        |state, value| {
            state.file_template = Some(value.clone());
            Ok(())
        },
    ),
    entry(
        "ActionForwardDefaultTemplate",
        "TEMPLATE",
        "RSYSLOG_TraditionalForwardFormat",
        "For forwards that name none.",
        |state, value| {
            state.forward_template = Some(value.clone());
            Ok(())
        },
    ),
    entry("ActionName", "NAME", "made of what it does", "Name of the next action.", |state, value| {
        values::name(&value.value).map(|name| state.next_name = Some(name))
    }),
    entry(
        "ActionResumeRetryCount",
        "N|-1",
        "0",
        "New attempts of the next action; -1: for ever.",
        |state, value| actions::retry_count(&value.value).map(|count| state.next_retry.count = count),
    ),
    entry(
        "ActionResumeInterval",
        "SECONDS",
        "30",
        "The longest pause between attempts of a forward.",
        |state, value| values::number(&value.value).map(|seconds| state.next_retry.interval_secs = seconds),
    ),
    entry(
        "ActionExecOnlyWhenPreviousIsSuspended",
        "on|off",
        "off",
        "Only while the action before it fails.",
        |state, value| {
            values::switch(&value.value).map(|on| state.next_retry.only_when_previous_is_suspended = on)
        },
    ),
    entry("UDPServerAddress", "ADDRESS", "all", "Address of the UDP inputs after it.", |state, value| {
        values::name(&value.value)
            .map(|address| state.udp.address = Some(address).filter(|address| address != "*"))
    }),
    entry(
        "InputUDPServerBindRuleset",
        "NAME",
        "the default one",
        "Rules of the UDP inputs after it.",
        |state, value| {
            state.udp.ruleset = Some(value.clone());
            Ok(())
        },
    ),
    entry("UDPServerRun", "PORT", "none", "A UDP input.", |state, value| {
        let mut draft = state.udp.clone();
        draft.port = Some(values::port(&value.value)?);
        state.add_legacy_input("imudp", draft, value)
    }),
    entry(
        "InputTCPServerBindRuleset",
        "NAME",
        "the default one",
        "Rules of the TCP inputs after it.",
        |state, value| {
            state.tcp.ruleset = Some(value.clone());
            Ok(())
        },
    ),
    entry("InputTCPMaxSessions", "N", "200", "Connections at once.", |state, value| {
        values::number(&value.value).map(|count| state.tcp.sessions_max = count)
    }),
    entry("InputTCPServerKeepAlive", "on|off", "off", "TCP keep-alive probes.", |state, value| {
        values::switch(&value.value).map(|on| state.tcp.keep_alive = on)
    }),
    entry(
        "InputTCPServerSupportOctetCountedFraming",
        "on|off",
        "on",
        "A frame that begins with a digit is counted.",
        |state, value| values::switch(&value.value).map(|on| state.tcp.framing.octet_counted = on),
    ),
    entry("InputTCPServerRun", "PORT", "none", "A TCP input.", |state, value| {
        let mut draft = state.tcp.clone();
        draft.port = Some(values::port(&value.value)?);
        state.add_legacy_input("imtcp", draft, value)
    }),
    entry("InputPTCPServerRun", "PORT", "none", "A TCP input.", |state, value| {
        let draft = InputDraft { port: Some(values::port(&value.value)?), ..InputDraft::default() };
        state.add_legacy_input("imptcp", draft, value)
    }),
    entry("AddUnixListenSocket", "PATH", "none", "A further log socket.", |state, value| {
        let draft = InputDraft { path: Some(values::absolute_path(&value.value)?), ..InputDraft::default() };
        state.add_legacy_input("imuxsock", draft, value)
    }),
    entry("OmitLocalLogging", "on|off", "off", "The system's log socket is not read.", |state, value| {
        let on = values::switch(&value.value)?;
        state.module_draft("imuxsock").enabled = !on;
        Ok(())
    }),
    entry(
        "SystemLogSocketName",
        "PATH",
        "/dev/log",
        "Where the system's log socket stands.",
        |state, value| {
            let path = values::absolute_path(&value.value)?;
            state.module_draft("imuxsock").path = Some(path);
            Ok(())
        },
    ),
    entry(
        "SystemLogUsePIDFromSystem",
        "on|off",
        "off",
        "The kernel's PID replaces the one in the tag.",
        |state, value| {
            let on = values::switch(&value.value)?;
            state.module_draft("imuxsock").use_pid_from_system = on;
            Ok(())
        },
    ),
    entry(
        "SystemLogRateLimitInterval",
        "SECONDS",
        "0 (no limit)",
        "Interval of the rate limit.",
        |state, value| {
            let seconds: u64 = values::number(&value.value)?;
            state.module_draft("imuxsock").rate_limit.interval_micros = seconds.saturating_mul(1_000_000);
            Ok(())
        },
    ),
    entry(
        "SystemLogRateLimitBurst",
        "MESSAGES",
        "0 (no limit)",
        "Messages admitted in it.",
        |state, value| {
            let burst = values::number(&value.value)?;
            state.module_draft("imuxsock").rate_limit.burst = burst;
            Ok(())
        },
    ),
    entry(
        "KLogPermitNonKernelFacility",
        "on|off",
        "off",
        "What programs wrote there passes too.",
        |state, value| {
            let on = values::switch(&value.value)?;
            state.module_draft("imklog").permit_other_facilities = on;
            Ok(())
        },
    ),
    entry(
        "IMJournalStateFile",
        "PATH",
        "none",
        "Where the position in the journal is kept.",
        |state, value| {
            let path = values::path(&value.value)?;
            state.module_draft("imjournal").state_file = Some(path);
            Ok(())
        },
    ),
];

/// Directives that rsyslog knows and that are not supported yet.
const NOT_YET: &[&str] = &[
    "ModDir",
    "DebugFile",
    "DebugLevel",
    "DebugPrintTemplateList",
    "DebugPrintModuleList",
    "DebugPrintCFSyslineHandlerList",
    "OptimizeForUniprocessor",
    "ErrorMessagesToStderr",
    "MaxOpenFiles",
    "AbortOnUncleanConfig",
    "MarkMessagePeriod",
    "ActionWriteAllMarkMessages",
    "ActionExecOnlyEveryNthTime*",
    "ActionExecOnlyOnceEveryInterval",
    "ActionSendTCPRebindInterval",
    "ActionSendUDPRebindInterval",
    "ActionSendResendLastMsgOnReconnect",
    "ActionSendStreamDriver*",
    "ActionSendTCPKeepAlive*",
    "ActionSendTCPRebind*",
    "DefaultNetstreamDriver*",
    "InputTCPServerStreamDriver*",
    "InputTCPServerInputName",
    "InputTCPServerAddtlFrameDelimiter",
    "InputTCPServerDisableLFDelimiter",
    "InputTCPServerNotifyOnConnectionClose",
    "InputTCPServerAddtlFrameDelimiter",
    "InputTCPMaxListeners",
    "InputTCPFlowControl",
    "InputPTCPServer*",
    "InputRELPServer*",
    "InputFile*",
    "InputRunFileMonitor",
    "InputUDPServer*",
    "UDPServerTimeRequery",
    "IMUDPSchedul*",
    "HOUR*",
    "SystemLogFlowControl",
    "SystemLogUseSysTimeStamp",
    "SystemLogRateLimitSeverity",
    "SystemLogSocket*",
    "InputUnixListenSocket*",
    "IMUXSock*",
    "KLogPath",
    "KLogInternalMsgFacility",
    "KLogConsoleLogLevel",
    "KLogParseKernelTimestamp",
    "KLogKeepKernelTimestamp",
    "IMJournalRatelimit*",
    "IMJournalPersistStateInterval",
    "IMJournalIgnorePreviousMessages",
    "ActionOM*",
    "ActionMail*",
    "GenerateConfigGraph",
    "RulesetParser",
    "RulesetCreateMainQueue",
    "RulesetMainQueue*",
    "DefaultRuleset",
    "StrictTemplateNames",
    "OMFile*",
    "SetUniqueMailForward",
    "ActionFileZip*",
    "OMFileZipLevel",
    "MainMsgQueueDequeueTime*",
    "MainMsgQueueImmediateShutdown",
    "ParserPermitSlashInProgramName",
    "PStatInterval",
    "ActionGSS*",
    "ActionLibdbi*",
    "ActionSNMP*",
    "ActionPgSQL*",
    "ActionMySQL*",
    "Sleep",
    "UmaskForLog",
    "outchannel",
    "ProcessInternalMessages",
    "SpaceLFOnRec*",
    "DropMsgsWithMaliciousDnsPTRRecords",
    "OMUXSock*",
    "OMProg*",
    "HUPisRestart",
    "SystemTimestamp*",
    "RepeatedMsgContainsOriginalMsg",
    "MaxMessageSizeReport",
    "DynaFile*",
    "MainMsgQueueCheckpointInterval",
    "ActionQueueCheckpointInterval",
    "ActionQueueImmediateShutdown",
];

/// Directives with a place of their own in the parser, for "did you mean".
const STATEMENTS: &[&str] = &[
    "ModLoad",
    "IncludeConfig",
    "template",
    "RuleSet",
    "ResetConfigVariables",
    "AllowedSender",
    "ActionQueueType",
    "MainMsgQueueSize",
];

impl State {
    fn module_draft(&mut self, module: &'static str) -> &mut InputDraft {
        self.loaded.entry(module).or_default()
    }

    fn add_legacy_input(
        &mut self,
        module: &'static str,
        draft: InputDraft,
        value: &Spanned<String>,
    ) -> Taken<()> {
        if !self.loaded.contains_key(module) {
            return Err(Wrong::new(
                format!("the module `{module}` is not loaded"),
                format!("write before it: $ModLoad {module}"),
            ));
        }
        self.inputs.push((InputStanding::Input(module), draft, value.span));
        Ok(())
    }
}

impl Parser<'_> {
    /// One `$` line.
    pub(crate) fn legacy_directive(
        &mut self,
        cursor: &mut Cursor,
        nested: bool,
    ) -> Vec<crate::parser::Written> {
        let start = cursor.at;
        cursor.take(b'$');
        let name = cursor.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let name_span = cursor.span_from(start);
        let lower = name.to_ascii_lowercase();
        if lower == "template" {
            self.template_line(cursor);
            return Vec::new();
        }
        let (at, line) = cursor.take_line();
        let text = without_comment(&line);
        let value = Spanned { value: text.to_owned(), span: cursor.span(at, at + text.len()) };
        match lower.as_str() {
            "includeconfig" => return self.include(text, value.span, false, nested),
            "modload" => self.load_module(&value, Vec::new(), value.span),
            "ruleset" => self.state.current = self.ruleset_named(text),
            "resetconfigvariables" => self.state.reset(),
            "allowedsender" => self.diagnostics.error(
                name_span,
                "`$AllowedSender` is not supported yet",
                "without it, everybody could send",
                "bind the input to one address, or filter with the firewall",
            ),
            _ => self.set_directive(&lower, &name, name_span, &value),
        }
        Vec::new()
    }

    fn set_directive(
        &mut self,
        lower: &str,
        name: &str,
        name_span: conf_text::Span,
        value: &Spanned<String>,
    ) {
        let queue =
            [("actionqueue", true), ("mainmsgqueue", false)].into_iter().find_map(|(prefix, is_action)| {
                lower.strip_prefix(prefix).map(|stem| (queues::of_legacy_name(stem), is_action))
            });
        if let Some((parameter, is_action)) = queue {
            if let Some(entry) = find(&[queues::PARAMETERS], &parameter) {
                let written = Spanned { value: format!("${name}"), span: name_span };
                let noted = Noted::new(&parameter, &written, &value.value);
                match is_action {
                    true => self.state.next_noted.push(noted),
                    false => self.report_without_effect(&[noted], Owner::Main),
                }
                let target = if is_action { &mut self.state.next_queue } else { &mut self.state.main_queue };
                if let Err(wrong) = (entry.set)(target, value) {
                    self.wrong_at(value.span, wrong.cause, wrong.help);
                }
                return;
            }
            if is_listed(queues::NOT_YET, &parameter) {
                return self.not_yet(name_span, &format!("`${name}`"));
            }
        }
        match find(&[DIRECTIVES], lower) {
            Some(_) if value.value.is_empty() => {
                self.wrong_at(name_span, format!("`${name}` has no value"), format!("write `${name} VALUE`"));
            }
            Some(entry) => {
                let written = Spanned { value: format!("${name}"), span: name_span };
                self.report_plain(&written.value, &value.value, name_span);
                if let Some(retry) = lower.strip_prefix("actionresume") {
                    let parameter = format!("action.resume{retry}");
                    self.state.next_noted.push(Noted::new(&parameter, &written, &value.value));
                }
                if let Err(wrong) = (entry.set)(&mut self.state, value) {
                    self.wrong_at(value.span, wrong.cause, wrong.help);
                }
            }
            None if is_listed(NOT_YET, lower) => self.not_yet(name_span, &format!("`${name}`")),
            None => {
                let known = DIRECTIVES.iter().map(|entry| entry.name).chain(STATEMENTS.iter().copied());
                let help = match nearest(name, known.chain(NOT_YET.iter().copied())) {
                    Some(near) => format!("did you mean `${near} {}`?", value.value),
                    None => "look the name up in rsyslog.conf(5)".to_owned(),
                };
                self.diagnostics.error(name_span, format!("`${name}` is not a directive"), "not known", help);
            }
        }
    }
}

/// A value without a comment after it.
pub(crate) fn without_comment(line: &str) -> &str {
    let end = line
        .bytes()
        .zip(line.bytes().skip(1))
        .position(|(before, byte)| byte == b'#' && before.is_ascii_whitespace())
        .unwrap_or(line.len());
    let text = if line.starts_with('#') { "" } else { line.get(..end).unwrap_or(line) };
    text.trim_end()
}
