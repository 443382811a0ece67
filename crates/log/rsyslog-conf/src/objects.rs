//! RainerScript objects: `module()`, `input()`, `action()`, `global()`, `main_queue()`, `ruleset()`, `include()`.

use conf_text::{Span, Spanned, nearest};
use log_core::{QueueSettings, Users};

use crate::actions::{self, ActionDraft, ActionParameters, DraftKind};
use crate::inputs::{self, InputDraft};
use crate::no_effect::{Noted, Owner};
use crate::parser::{InputStanding, Parser, Written};
use crate::queues;
use crate::settings::Globals;
use crate::tables::{Entry, entry, find, is_listed};
use crate::text::Cursor;
use crate::values;

/// One `name="value"`.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    pub name: Spanned<String>,
    pub value: Spanned<String>,
}

/// Parameters of `global()`.
pub(crate) const GLOBALS: &[Entry<Globals>] = &[
    entry("workDirectory", "DIR", "none", "Where queue and state files stand.", |globals, value| {
        values::absolute_path(&value.value).map(|path| globals.work_directory = Some(path))
    }),
    entry("maxMessageSize", "SIZE", "8k", "Longest message.", |globals, value| {
        values::memory_size(&value.value).map(|size| globals.message_bytes_max = size)
    }),
    entry("localHostname", "NAME", "the system's", "This host's name in messages.", |globals, value| {
        values::name(&value.value).map(|name| globals.local_hostname = Some(name))
    }),
    entry("preserveFQDN", "on|off", "off", "Host names keep their domain.", |globals, value| {
        values::switch(&value.value).map(|on| globals.preserve_fqdn = on)
    }),
    entry(
        "net.enableDNS",
        "on|off",
        "on",
        "Peers are shown by their names in /etc/hosts.",
        |globals, value| values::switch(&value.value).map(|on| globals.resolve_peers = on),
    ),
    entry("umask", "OCTAL", "the process's", "The umask.", |globals, value| {
        values::mode(&value.value).map(|mode| globals.umask = Some(mode))
    }),
    entry("privdrop.user.name", "USER", "none", "The user to become.", |globals, value| {
        values::name(&value.value).map(|name| globals.privilege_user = Some(name))
    }),
    entry("privdrop.group.name", "GROUP", "none", "The group to become.", |globals, value| {
        values::name(&value.value).map(|name| globals.privilege_group = Some(name))
    }),
    entry(
        "parser.escapeControlCharactersOnReceive",
        "on|off",
        "on",
        "They become `#` and octal digits.",
        |globals, value| values::switch(&value.value).map(|on| globals.sanitize.escape_control = on),
    ),
    entry("parser.escapeControlCharacterTab", "on|off", "on", "A tab is one of them.", |globals, value| {
        values::switch(&value.value).map(|on| globals.sanitize.escape_tab = on)
    }),
    entry(
        "parser.escape8BitCharactersOnReceive",
        "on|off",
        "off",
        "Bytes above 127 are escaped.",
        |globals, value| values::switch(&value.value).map(|on| globals.sanitize.escape_8bit = on),
    ),
    entry("parser.spaceLFOnReceive", "on|off", "off", "A line feed becomes a space.", |globals, value| {
        values::switch(&value.value).map(|on| globals.sanitize.space_lf = on)
    }),
    entry(
        "parser.dropTrailingLFOnReception",
        "on|off",
        "on",
        "A line feed at the end goes.",
        |globals, value| values::switch(&value.value).map(|on| globals.sanitize.drop_trailing_lf = on),
    ),
    entry(
        "parser.controlCharacterEscapePrefix",
        "CHARACTER",
        "#",
        "What stands before the digits.",
        |globals, value| match value.value.as_bytes() {
            [byte] => {
                globals.sanitize.prefix = *byte;
                Ok(())
            }
            _ => Err(values::Wrong::new(
                format!("`{}` is not one character", value.value),
                "write one, for example `#`",
            )),
        },
    ),
];

const GLOBALS_NOT_YET: &[&str] = &[
    "dropMsgsWithMaliciousDNSPTRRecords",
    "net.ipprotocol",
    "net.aclAddHostnameOnFail",
    "net.aclResolveHostname",
    "net.enableACLs*",
    "net.permitACLWarning",
    "net.warnACL*",
    "defaultNetstreamDriver*",
    "netstreamdriver*",
    "debug.*",
    "processInternalMessages",
    "stdlog.channelspec",
    "action.reportSuspension*",
    "senders.*",
    "variables.caseSensitive",
    "internalmsg.*",
    "errormessagestostderr.maxnumber",
    "shutdown.*",
    "default.*",
    "janitor.interval",
    "environment",
    "oversizemsg.*",
    "parser.permitSlashInProgramName",
    "parser.parseHostnameAndTag",
    "parser.supportCompressionExtension",
    "reverselookup.cache.*",
    "security.abortOnIDResolutionFail",
    "libcapng.*",
    "inputs.timeout.shutdown",
    "operatingStateFile",
    "abortOnUncleanConfig",
    "abortOnFailedQueueStartup",
    "privdrop.*",
    "compactJsonString",
    "allMessagesToStderr",
    "debug.*",
];

#[derive(Debug, Default)]
struct IncludeParameters {
    file: Option<Spanned<String>>,
    text: Option<Spanned<String>>,
    mode: Mode,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Mode {
    #[default]
    Required,
    Optional,
}

const INCLUDE: &[Entry<IncludeParameters>] = &[
    entry("file", "PATH", "none", "The file or pattern.", |include, value| {
        include.file = Some(value.clone());
        Ok(())
    }),
    entry("text", "TEXT", "none", "Configuration text in place of a file.", |include, value| {
        include.text = Some(value.clone());
        Ok(())
    }),
    entry(
        "mode",
        "required|optional|abort-if-missing",
        "required",
        "What a missing file means.",
        |include, value| {
            include.mode = match value.value.to_ascii_lowercase().as_str() {
                "optional" => Mode::Optional,
                "required" | "abort-if-missing" => Mode::Required,
                other => {
                    return Err(values::Wrong::new(
                        format!("`{other}` is not a mode"),
                        "write `optional`, `required` or `abort-if-missing`",
                    ));
                }
            };
            Ok(())
        },
    ),
];

#[derive(Debug, Default)]
struct RulesetParameters {
    name: Option<Spanned<String>>,
}

const RULESET: &[Entry<RulesetParameters>] =
    &[entry("name", "NAME", "none", "Its name.", |ruleset, value| {
        ruleset.name = Some(value.clone());
        Ok(())
    })];

impl Parser<'_> {
    /// `( name="value" ... )`. None where it is broken, which has been reported.
    pub(crate) fn parameters(&mut self, cursor: &mut Cursor, object: &str) -> Option<Vec<Parameter>> {
        cursor.skip_space();
        let open = cursor.here();
        if !cursor.take(b'(') {
            self.wrong_at(
                open,
                format!("`{object}` has no parameters"),
                "write them in parentheses: `name=\"value\"`",
            );
            return None;
        }
        let mut parameters = Vec::new();
        loop {
            cursor.skip_space();
            if cursor.take(b')') {
                return Some(parameters);
            }
            if cursor.at_end() {
                self.wrong_at(
                    open,
                    format!("the parameters of `{object}` are not closed"),
                    "write `)` after the last one",
                );
                return None;
            }
            cursor.take(b',');
            cursor.skip_space();
            let start = cursor.at;
            let name = cursor.word();
            let name = Spanned { value: name, span: cursor.span_from(start) };
            cursor.skip_space();
            if name.value.is_empty() || !cursor.take(b'=') {
                let span = if name.value.is_empty() { cursor.here() } else { name.span };
                self.wrong_at(
                    span,
                    "a parameter is written `name=\"value\"`",
                    "put an equals sign and a value in quotes after it",
                );
                self.skip_parameters(cursor);
                return None;
            }
            cursor.skip_space();
            let start = cursor.at;
            let value =
                if cursor.peek() == Some(b'[') { self.list_value(cursor) } else { cursor.script_string() };
            let Some(value) = value else {
                self.wrong_at(
                    cursor.here(),
                    format!("the value of `{}` is not in quotes", name.value),
                    format!("write `{}=\"...\"`", name.value),
                );
                self.skip_parameters(cursor);
                return None;
            };
            let span = cursor.span_from(start);
            parameters.push(Parameter { name, value: Spanned { value, span } });
        }
    }

    /// `["a", "b"]` as `a,b`: what takes several takes them so.
    fn list_value(&mut self, cursor: &mut Cursor) -> Option<String> {
        cursor.take(b'[');
        let mut items: Vec<String> = Vec::new();
        loop {
            cursor.skip_space();
            if cursor.take(b']') {
                return Some(items.join(","));
            }
            items.push(cursor.script_string()?);
            cursor.skip_space();
            cursor.take(b',');
        }
    }

    fn skip_parameters(&mut self, cursor: &mut Cursor) {
        while let Some(byte) = cursor.peek() {
            match byte {
                b'"' | b'\'' if cursor.script_string().is_some() => continue,
                b')' => {
                    cursor.at += 1;
                    return;
                }
                _ => cursor.at += 1,
            }
        }
    }

    /// Gives each parameter that a table knows to it, and takes it out of the list. False where a value was wrong.
    pub(crate) fn apply<T>(
        &mut self,
        parameters: &mut Vec<Parameter>,
        target: &mut T,
        tables: &[&[Entry<T>]],
    ) -> bool {
        let mut all_right = true;
        parameters.retain(|parameter| {
            let Some(entry) = find(tables, &parameter.name.value) else { return true };
            if let Err(wrong) = (entry.set)(target, &parameter.value) {
                self.wrong_at(parameter.value.span, wrong.cause, wrong.help);
                all_right = false;
            }
            false
        });
        all_right
    }

    /// Reports the parameters that no table took.
    pub(crate) fn report_rest(
        &mut self,
        parameters: &[Parameter],
        object: &str,
        not_yet: &[&str],
        known: &[&'static str],
    ) -> bool {
        let mut all_right = true;
        for parameter in parameters {
            let name = &parameter.name.value;
            if is_listed(not_yet, name) {
                self.not_yet(parameter.name.span, &format!("the parameter `{name}` of `{object}`"));
                continue;
            }
            all_right = false;
            let help = match nearest(name, known.iter().copied().chain(not_yet.iter().copied())) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it takes {}", known.join(", ")),
            };
            self.wrong_at(parameter.name.span, format!("`{object}` has no parameter `{name}`"), help);
        }
        all_right
    }

    /// All three steps for an object with one target.
    pub(crate) fn take_parameters<T>(
        &mut self,
        cursor: &mut Cursor,
        object: &str,
        target: &mut T,
        tables: &[&[Entry<T>]],
        not_yet: &[&str],
    ) -> Option<()> {
        let mut parameters = self.parameters(cursor, object)?;
        let applied = self.apply(&mut parameters, target, tables);
        let known = names(tables);
        (self.report_rest(&parameters, object, not_yet, &known) && applied).then_some(())
    }

    pub(crate) fn global_object(&mut self, cursor: &mut Cursor) {
        let mut globals = self.state.globals.clone();
        let mut ahead = cursor.clone();
        if let Some(parameters) = self.silently(|parser| parser.parameters(&mut ahead, "global()")) {
            for one in parameters {
                self.report_plain(&one.name.value, &one.value.value, one.name.span);
            }
        }
        self.take_parameters(cursor, "global()", &mut globals, &[GLOBALS], GLOBALS_NOT_YET);
        self.state.globals = globals;
    }

    pub(crate) fn main_queue_object(&mut self, cursor: &mut Cursor) {
        let mut queue = self.state.main_queue.clone();
        let mut ahead = cursor.clone();
        if let Some(parameters) = self.silently(|parser| parser.parameters(&mut ahead, "main_queue()")) {
            self.report_without_effect(&noted(&parameters), Owner::Main);
        }
        self.take_parameters(cursor, "main_queue()", &mut queue, &[queues::PARAMETERS], queues::NOT_YET);
        self.state.main_queue = queue;
    }

    /// Looks ahead: what is wrong there is said when it is read in earnest.
    fn silently<T>(&mut self, look: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.diagnostics.list.len();
        let seen = look(self);
        self.diagnostics.list.truncate(before);
        seen
    }

    /// `module(load="...")`.
    pub(crate) fn module_object(&mut self, cursor: &mut Cursor, start: usize) {
        let Some(mut parameters) = self.parameters(cursor, "module()") else { return };
        let span = cursor.span_from(start);
        let load = parameters.iter().position(|parameter| parameter.name.value.eq_ignore_ascii_case("load"));
        let Some(load) = load.map(|at| parameters.remove(at).value) else {
            self.wrong_at(span, "`module()` loads nothing", "write `module(load=\"imudp\")`");
            return;
        };
        self.load_module(&load, parameters, span);
    }

    /// Loads a module by name, for `module()` and for `$ModLoad`.
    pub(crate) fn load_module(&mut self, load: &Spanned<String>, mut parameters: Vec<Parameter>, span: Span) {
        let file = load.value.rsplit('/').next().unwrap_or("");
        let name = file.strip_suffix(".so").unwrap_or(file);
        if let Some(module) = inputs::module(name) {
            let mut draft = self.state.loaded.remove(module.name).unwrap_or_default();
            self.apply(&mut parameters, &mut draft, &[module.module_parameters]);
            let known = names(&[module.module_parameters]);
            self.report_rest(&parameters, &format!("module({})", module.name), module.not_yet, &known);
            if module.listens_when_loaded && !self.state.listening.contains(&module.name) {
                self.state.listening.push(module.name);
                self.state.inputs.push((InputStanding::Module(module.name), InputDraft::default(), span));
            }
            self.state.loaded.insert(module.name, draft);
            return;
        }
        let lower = name.to_ascii_lowercase();
        match lower.strip_prefix("builtin:").unwrap_or(&lower) {
            "omfile" => {
                let mut draft =
                    ActionParameters { options: self.state.file.clone(), ..ActionParameters::default() };
                self.apply(&mut parameters, &mut draft, &[actions::FILE, &actions::COMMON[1..2]]);
                self.state.file = draft.options;
                if draft.template.is_some() {
                    self.state.file_template = draft.template;
                }
                let known = names(&[actions::FILE]);
                self.report_rest(&parameters, "module(builtin:omfile)", actions::NOT_YET, &known);
            }
            "omfwd" => {
                let mut draft = ActionParameters::default();
                self.apply(&mut parameters, &mut draft, &[&actions::COMMON[1..2]]);
                if draft.template.is_some() {
                    self.state.forward_template = draft.template;
                }
                self.report_rest(&parameters, "module(builtin:omfwd)", actions::NOT_YET, &["template"]);
            }
            "omusrmsg" | "ompipe" | "omdiscard" | "pmrfc3164" | "pmrfc5424" => {
                self.report_rest(&parameters, &format!("module({name})"), &["*"], &[]);
            }
            known
                if is_listed(inputs::MODULES_NOT_YET, known)
                    || is_listed(actions::OUTPUTS_NOT_YET, known) =>
            {
                self.state.skipped_modules.push(known.to_owned());
                self.not_yet(load.span, &format!("the module `{name}`"));
            }
            unknown => {
                let modules = inputs::MODULES.iter().map(|module| module.name);
                let help = match nearest(unknown, modules.chain(inputs::MODULES_NOT_YET.iter().copied())) {
                    Some(near) => format!("did you mean `module(load=\"{near}\")`?"),
                    None => "modules are imuxsock, imklog, imudp, imtcp, imptcp, imjournal".to_owned(),
                };
                self.wrong_at(load.span, format!("`{name}` is not a module"), help);
            }
        }
    }

    /// `input(type="...")`.
    pub(crate) fn input_object(&mut self, cursor: &mut Cursor, start: usize) {
        let Some(mut parameters) = self.parameters(cursor, "input()") else { return };
        let span = cursor.span_from(start);
        let kind = parameters.iter().position(|parameter| parameter.name.value.eq_ignore_ascii_case("type"));
        let Some(kind) = kind.map(|at| parameters.remove(at).value) else {
            self.wrong_at(span, "an input has no type", "write `input(type=\"imudp\" port=\"514\")`");
            return;
        };
        let Some(module) = inputs::module(&kind.value) else {
            if is_listed(inputs::MODULES_NOT_YET, &kind.value) {
                self.not_yet(kind.span, &format!("the input `{}`", kind.value));
                return;
            }
            let help = match nearest(&kind.value, inputs::MODULES.iter().map(|module| module.name)) {
                Some(near) => format!("did you mean `type=\"{near}\"`?"),
                None => "inputs are imuxsock, imudp, imtcp, imptcp and imjournal".to_owned(),
            };
            self.wrong_at(kind.span, format!("`{}` is not an input", kind.value), help);
            return;
        };
        let Some(mut draft) = self.state.loaded.get(module.name).cloned() else {
            self.wrong_at(
                kind.span,
                format!("the module `{}` is not loaded", module.name),
                format!("write before it: module(load=\"{}\")", module.name),
            );
            return;
        };
        if module.name == "imuxsock" {
            // What the module says is said of the system's socket.
            draft = InputDraft::default();
        }
        for one in &parameters {
            self.report_plain(&one.name.value, &one.value.value, one.name.span);
        }
        let applied = self.apply(&mut parameters, &mut draft, &[module.input_parameters]);
        let known = names(&[module.input_parameters]);
        if self.report_rest(&parameters, &format!("input({})", module.name), module.not_yet, &known)
            && applied
        {
            self.state.inputs.push((InputStanding::Input(module.name), draft, span));
        }
    }

    /// `action(type="...")`: the action, or none where it is wrong or not supported yet, which has been reported.
    pub(crate) fn action_object(&mut self, cursor: &mut Cursor, start: usize) -> Option<Written> {
        let mut parameters = self.parameters(cursor, "action()")?;
        let span = cursor.span_from(start);
        let kind = parameters.iter().position(|parameter| parameter.name.value.eq_ignore_ascii_case("type"));
        let Some(kind) = kind.map(|at| parameters.remove(at).value) else {
            self.wrong_at(
                span,
                "an action has no type",
                "write `action(type=\"omfile\" file=\"/var/log/...\")`",
            );
            return None;
        };
        let lower = kind.value.to_ascii_lowercase();
        let own: &[Entry<ActionParameters>] = match lower.strip_prefix("builtin:").unwrap_or(&lower) {
            "omfile" => actions::FILE,
            "omfwd" => actions::FORWARD,
            "omusrmsg" => actions::USERS,
            "ompipe" => actions::PIPE,
            "omdiscard" => return Some(Written::Stop),
            known if is_listed(actions::OUTPUTS_NOT_YET, known) => {
                self.not_yet(kind.span, &format!("the action `{}`", kind.value));
                return None;
            }
            unknown => {
                let help = match nearest(unknown, ["omfile", "omfwd", "omusrmsg", "ompipe"]) {
                    Some(near) => format!("did you mean `type=\"{near}\"`?"),
                    None => "actions are omfile, omfwd, omusrmsg and ompipe".to_owned(),
                };
                self.wrong_at(kind.span, format!("`{}` is not an action", kind.value), help);
                return None;
            }
        };
        let mut queue = QueueSettings::default();
        let mut action = ActionParameters { options: self.state.file.clone(), ..ActionParameters::default() };
        let object = format!("action({})", kind.value);
        let noted = noted(&parameters);
        let mut all_right = self.apply(&mut parameters, &mut action, &[own, actions::COMMON]);
        all_right &= self.apply(&mut parameters, &mut queue, &[queues::PARAMETERS]);
        let mut known = names(&[own, actions::COMMON]);
        known.extend(queues::PARAMETERS.iter().map(|entry| entry.name));
        let not_yet: Vec<&str> = actions::NOT_YET.iter().chain(queues::NOT_YET).copied().collect();
        all_right &= self.report_rest(&parameters, &object, &not_yet, &known);
        let draft = self.action_draft(action, own, queue, span)?;
        all_right.then(|| self.add_action(ActionDraft { noted, ..draft }))
    }

    fn action_draft(
        &mut self,
        action: ActionParameters,
        own: &[Entry<ActionParameters>],
        queue: QueueSettings,
        span: Span,
    ) -> Option<ActionDraft> {
        let needs = |parser: &mut Self, what: &str| {
            parser.wrong_at(span, format!("the action has no `{what}`"), format!("add `{what}=\"...\"`"));
            None
        };
        let first = own.first().map_or("", |entry| entry.name);
        let kind = match first {
            "file" => match (action.file, action.dynamic_file) {
                (Some(path), None) => DraftKind::File { path, options: action.options },
                (None, Some(path)) => DraftKind::DynamicFile {
                    path,
                    open_files_max: action.open_files_max.unwrap_or(actions::OPEN_FILES_DEFAULT),
                    options: action.options,
                },
                (None, None) => return needs(self, "file"),
                (Some(_), Some(_)) => {
                    self.wrong_at(span, "an action has both `file` and `dynaFile`", "keep one of them");
                    return None;
                }
            },
            "target" => {
                let Some(host) = action.target else { return needs(self, "target") };
                DraftKind::Forward(log_core::Forward {
                    host,
                    port: action.port.unwrap_or_else(|| actions::SYSLOG_PORT.to_owned()),
                    protocol: action.protocol.unwrap_or(log_core::Protocol::Udp),
                    framing: action.framing.unwrap_or(log_core::Framing::Traditional),
                    compression_level: action.compression_level,
                    keep_alive: action.keep_alive,
                    connect_timeout_secs: action.connect_timeout_secs,
                })
            }
            "users" => match action.users {
                Some(users) => DraftKind::Users(users),
                None => return needs(self, "users"),
            },
            _ => match action.pipe {
                Some(path) => DraftKind::Pipe { path },
                None => return needs(self, "pipe"),
            },
        };
        Some(ActionDraft {
            kind,
            name: action.name,
            template: action.template,
            queue,
            retry: action.retry,
            noted: Vec::new(),
        })
    }

    /// `ruleset(name="...") { ... }`.
    pub(crate) fn ruleset_object(&mut self, cursor: &mut Cursor, start: usize) {
        let Some(mut parameters) = self.parameters(cursor, "ruleset()") else { return };
        let mut ruleset = RulesetParameters::default();
        self.apply(&mut parameters, &mut ruleset, &[RULESET]);
        let mut known = names(&[RULESET]);
        known.push("queue.*");
        self.report_rest(&parameters, "ruleset()", &["parser", "queue.*"], &known);
        let span = cursor.span_from(start);
        cursor.skip_space();
        if !cursor.take(b'{') {
            self.wrong_at(
                cursor.here(),
                "a ruleset has no rules",
                "write them in braces: `ruleset(name=\"x\") { ... }`",
            );
            return;
        }
        let statements = self.block(cursor);
        match ruleset.name {
            Some(name) => {
                let id = self.ruleset_named(&name.value);
                if self.state.rulesets[id].is_object {
                    self.wrong_at(
                        span,
                        format!("the ruleset `{}` is defined twice", name.value),
                        "give one another name",
                    );
                }
                self.state.rulesets[id].is_object = true;
                self.state.rulesets[id].statements.extend(statements);
            }
            None => self.wrong_at(span, "a ruleset has no name", "write `ruleset(name=\"...\") { ... }`"),
        }
    }

    /// `include(file="..." mode="optional")`: the statements of what it includes, where it stands in a block.
    pub(crate) fn include_object(&mut self, cursor: &mut Cursor, start: usize, nested: bool) -> Vec<Written> {
        let mut include = IncludeParameters::default();
        if self.take_parameters(cursor, "include()", &mut include, &[INCLUDE], &[]).is_none() {
            return Vec::new();
        }
        match (include.file, include.text) {
            (Some(file), None) => {
                self.include(&file.value, file.span, include.mode == Mode::Optional, nested)
            }
            (None, Some(text)) => self.include_text(&text, nested),
            _ => {
                let span = cursor.span_from(start);
                self.wrong_at(
                    span,
                    "`include()` takes a file or a text",
                    "write `include(file=\"/etc/rsyslog.d/*.conf\")`",
                );
                Vec::new()
            }
        }
    }

    /// The users of `:omusrmsg:` and of bare names.
    pub(crate) fn users_draft(&mut self, text: &str, span: Span) -> Option<Users> {
        match actions::users(text) {
            Ok(users) => Some(users),
            Err(wrong) => {
                self.wrong_at(span, wrong.cause, wrong.help);
                None
            }
        }
    }
}

/// Those that are about a queue or about retries.
fn noted(parameters: &[Parameter]) -> Vec<Noted> {
    let known = |name: &str| {
        find(&[queues::PARAMETERS], name).is_some() || name.to_ascii_lowercase().starts_with("action.resume")
    };
    parameters
        .iter()
        .filter(|one| known(&one.name.value))
        .map(|one| Noted::new(&one.name.value, &one.name, &one.value.value))
        .collect()
}

fn names<T>(tables: &[&[Entry<T>]]) -> Vec<&'static str> {
    tables.iter().flat_map(|table| table.iter()).map(|entry| entry.name).collect()
}
