//! The statements of `rsyslog.conf`, and what they come to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use conf_text::{Diagnostics, Loader, Sources, Span, Spanned, nearest};
use log_core::{
    Condition, FileOptions, Property, PropertyFilter, PropertyStanding, QueueSettings, Retry, Selector,
    Template, Test,
};

use crate::actions::{self, ActionDraft};
use crate::inputs::InputDraft;
use crate::no_effect::Noted;
use crate::settings::{Globals, Settings};
use crate::text::Cursor;

/// Files that may include each other; more is a circle.
const INCLUDE_DEPTH_MAX: usize = 16;
/// Blocks that may stand inside each other: noise must not exhaust the stack.
const BLOCK_DEPTH_MAX: usize = 64;
/// The name of the rule set that everything outside a `ruleset()` belongs to.
const DEFAULT_RULESET: &str = "RSYSLOG_DefaultRuleset";

/// Parses `rsyslog.conf` with everything that it includes. None where there is an error; `diagnostics` says all of them, and
/// the warnings.
pub fn parse_rsyslog(
    path: &Path,
    loader: &mut dyn Loader,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Settings> {
    let mut parser = Parser { sources, loader, diagnostics, state: State::default(), files: 0, blocks: 0 };
    let errors_before = parser.diagnostics.error_count();
    parser.file(path, None, false);
    let settings = parser.finish();
    settings.filter(|_| diagnostics.error_count() == errors_before)
}

pub(crate) struct Parser<'p> {
    pub sources: &'p mut Sources,
    pub loader: &'p mut dyn Loader,
    pub diagnostics: &'p mut Diagnostics,
    pub state: State,
    files: usize,
    blocks: usize,
}

/// A statement before names are looked up.
#[derive(Debug, Clone)]
pub(crate) enum Written {
    Act(usize),
    If { condition: Condition, then: Vec<Written>, otherwise: Vec<Written> },
    Call(Spanned<String>),
    Stop,
}

/// What an input stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputStanding {
    /// Loading the module is the input: its draft is complete only at the end.
    Module(&'static str),
    /// `input()` or an older directive.
    Input(&'static str),
}

/// A rule set as far as it has been read.
#[derive(Debug)]
pub(crate) struct RulesetDraft {
    pub name: String,
    pub statements: Vec<Written>,
    pub is_object: bool,
}

/// What has been read so far; older directives change it for what stands after them.
pub(crate) struct State {
    pub globals: Globals,
    pub main_queue: QueueSettings,
    pub rulesets: Vec<RulesetDraft>,
    pub current: usize,
    pub actions: Vec<ActionDraft>,
    pub templates: BTreeMap<String, Arc<Template>>,
    pub loaded: BTreeMap<&'static str, InputDraft>,
    pub listening: Vec<&'static str>,
    pub skipped_modules: Vec<String>,
    pub inputs: Vec<(InputStanding, InputDraft, Span)>,
    pub file: FileOptions,
    pub file_template: Option<Spanned<String>>,
    pub forward_template: Option<Spanned<String>>,
    pub open_files_max: usize,
    pub next_name: Option<String>,
    pub next_queue: QueueSettings,
    pub next_noted: Vec<Noted>,
    pub next_retry: Retry,
    pub udp: InputDraft,
    pub tcp: InputDraft,
}

impl Default for State {
    fn default() -> Self {
        let default =
            RulesetDraft { name: DEFAULT_RULESET.to_owned(), statements: Vec::new(), is_object: false };
        Self {
            globals: Globals::default(),
            main_queue: QueueSettings::default(),
            rulesets: vec![default],
            current: 0,
            actions: Vec::new(),
            templates: BTreeMap::new(),
            loaded: BTreeMap::new(),
            listening: Vec::new(),
            skipped_modules: Vec::new(),
            inputs: Vec::new(),
            file: FileOptions::default(),
            file_template: None,
            forward_template: None,
            open_files_max: actions::OPEN_FILES_DEFAULT,
            next_name: None,
            next_queue: QueueSettings::default(),
            next_noted: Vec::new(),
            next_retry: Retry::default(),
            udp: InputDraft::default(),
            tcp: InputDraft::default(),
        }
    }
}

impl State {
    /// `$ResetConfigVariables`.
    pub(crate) fn reset(&mut self) {
        let fresh = State::default();
        self.file = fresh.file;
        self.open_files_max = fresh.open_files_max;
        self.file_template = None;
        self.forward_template = None;
        self.next_name = None;
        self.next_queue = QueueSettings::default();
        self.next_noted = Vec::new();
        self.next_retry = Retry::default();
        self.udp = InputDraft::default();
        self.tcp = InputDraft::default();
    }
}

impl Parser<'_> {
    /// A warning by name.
    pub(crate) fn not_yet(&mut self, span: Span, what: &str) {
        self.diagnostics.warning(
            span,
            format!("{what} is not supported yet"),
            "has no effect",
            "nothing else of the file is affected; take it out to silence this",
        );
    }

    pub(crate) fn define_template(&mut self, name: String, template: Template) {
        self.state.templates.insert(name, Arc::new(template));
    }

    /// The position of a rule set, which is made where there is none yet.
    pub(crate) fn ruleset_named(&mut self, name: &str) -> usize {
        match self.state.rulesets.iter().position(|ruleset| ruleset.name == name) {
            Some(id) => id,
            None => {
                let draft = RulesetDraft { name: name.to_owned(), statements: Vec::new(), is_object: false };
                self.state.rulesets.push(draft);
                self.state.rulesets.len() - 1
            }
        }
    }

    pub(crate) fn add_action(&mut self, draft: ActionDraft) -> Written {
        self.state.actions.push(draft);
        Written::Act(self.state.actions.len() - 1)
    }

    /// Includes every file that a pattern names.
    pub(crate) fn include(
        &mut self,
        pattern: &str,
        span: Span,
        is_optional: bool,
        nested: bool,
    ) -> Vec<Written> {
        if pattern.is_empty() {
            self.wrong_at(span, "nothing is included", "write `$IncludeConfig /etc/rsyslog.d/*.conf`");
            return Vec::new();
        }
        let pattern = if pattern.ends_with('/') { format!("{pattern}*") } else { pattern.to_owned() };
        let paths: Vec<PathBuf> = match self.loader.glob(Path::new(&pattern)) {
            Ok(paths) => paths,
            Err(error) => {
                self.wrong_at(
                    span,
                    format!("cannot look for {pattern}: {error}"),
                    format!("look at it: ls -ld {pattern}"),
                );
                return Vec::new();
            }
        };
        let is_pattern = pattern.contains(['*', '?', '[']);
        if paths.is_empty() && !is_optional && !is_pattern {
            self.wrong_at(
                span,
                format!("there is no file {pattern}"),
                format!(
                    "create it: touch {pattern}; or write `include(file=\"{pattern}\" mode=\"optional\")`"
                ),
            );
        }
        if paths.is_empty() && is_optional && !is_pattern {
            self.diagnostics.warning(
                span,
                format!("there is no file {pattern}"),
                "nothing is included",
                "create it, or take the line out",
            );
        }
        paths.iter().flat_map(|path| self.file(path, Some(span), nested)).collect()
    }

    /// `include(text="...")`.
    pub(crate) fn include_text(&mut self, text: &Spanned<String>, nested: bool) -> Vec<Written> {
        let id = self.sources.add("<include text>", text.value.clone());
        let mut cursor = Cursor::new(id, &text.value);
        self.statements(&mut cursor, nested, false)
    }

    /// One file. At the top level its statements go to the current rule set, in a block they are given back.
    fn file(&mut self, path: &Path, from: Option<Span>, nested: bool) -> Vec<Written> {
        if self.files >= INCLUDE_DEPTH_MAX {
            if let Some(span) = from {
                self.wrong_at(span, "files include each other in a circle", "take this include out");
            }
            return Vec::new();
        }
        let Some(id) = self.sources.load(self.loader, path, from, self.diagnostics) else {
            return Vec::new();
        };
        let mut cursor = Cursor::new(id, self.sources.text(id));
        self.files += 1;
        let statements = self.statements(&mut cursor, nested, false);
        self.files -= 1;
        statements
    }

    /// The statements of a block after its brace, up to the brace that closes it.
    pub(crate) fn block(&mut self, cursor: &mut Cursor) -> Vec<Written> {
        if self.blocks >= BLOCK_DEPTH_MAX {
            self.wrong_at(
                cursor.here(),
                "blocks are nested too deeply",
                "take them apart with `ruleset()` and `call`",
            );
            cursor.at = cursor.text.len();
            return Vec::new();
        }
        self.blocks += 1;
        let statements = self.statements(cursor, true, true);
        self.blocks -= 1;
        statements
    }

    /// Statements up to the end of the text, or with `braced` up to the closing brace.
    fn statements(&mut self, cursor: &mut Cursor, nested: bool, braced: bool) -> Vec<Written> {
        let open = cursor.at.saturating_sub(1);
        let mut all = Vec::new();
        loop {
            cursor.skip_space();
            if cursor.at_end() {
                if braced {
                    self.wrong_at(
                        cursor.span(open, open + 1),
                        "a block is not closed",
                        "write `}` after its last statement",
                    );
                }
                return all;
            }
            let before = cursor.at;
            if cursor.peek() == Some(b'}') {
                cursor.at += 1;
                if braced {
                    return all;
                }
                self.wrong_at(cursor.span(before, before + 1), "a brace closes no block", "take it out");
                continue;
            }
            let statements = self.statement(cursor, nested);
            if nested {
                all.extend(statements);
            } else {
                let current = self.state.current;
                self.state.rulesets[current].statements.extend(statements);
            }
            if cursor.at == before {
                // Nothing was taken, so it has been reported: the line is given up.
                cursor.skip_line();
                cursor.at = cursor.at.max(before + 1);
                while !cursor.text.is_char_boundary(cursor.at) {
                    cursor.at += 1;
                }
            }
        }
    }

    /// One statement, wherever it begins.
    fn statement(&mut self, cursor: &mut Cursor, nested: bool) -> Vec<Written> {
        let start = cursor.at;
        match cursor.peek() {
            Some(b'$') => return self.legacy_directive(cursor, nested),
            Some(b':') if !is_output_prefix(cursor.rest()) => return self.property_rule(cursor),
            Some(b'&') => {
                cursor.at += 1;
                self.wrong_at(
                    cursor.span_from(start),
                    "`&` continues a rule, but none stands before it",
                    "write the whole rule",
                );
                cursor.skip_line();
                return Vec::new();
            }
            Some(b'!' | b'+') => {
                self.wrong_at(
                    cursor.here(),
                    "blocks by program or host in BSD's manner are not supported",
                    "write `if $programname == \"name\" then { ... }`",
                );
                cursor.skip_line();
                return Vec::new();
            }
            _ => {}
        }
        if looks_like_selector(cursor.rest()) {
            return self.selector_rule(cursor);
        }
        let word = cursor.peek_word().to_ascii_lowercase();
        let is_object = {
            let mut ahead = cursor.clone();
            ahead.word();
            ahead.skip_space();
            ahead.peek() == Some(b'(')
        };
        match word.as_str() {
            "if" => return self.if_statement(cursor),
            "set" | "unset" | "reset" | "foreach" | "continue" | "call_indirect" if !is_object => {
                cursor.word();
                let span = cursor.span_from(start);
                self.diagnostics.error(
                    span,
                    format!("`{word}` is not supported yet"),
                    "rules that depend on it would do something else",
                    "write the rule without variables",
                );
                cursor.take_while(|byte| byte != b';' && byte != b'\n');
                cursor.take(b';');
                return Vec::new();
            }
            _ => {}
        }
        if is_object && word != "action" {
            cursor.word();
            let span = cursor.span_from(start);
            match word.as_str() {
                "module" => self.module_object(cursor, start),
                "input" => self.input_object(cursor, start),
                "global" => self.global_object(cursor),
                "main_queue" => self.main_queue_object(cursor),
                "template" => self.template_object(cursor, start),
                "ruleset" => self.ruleset_object(cursor, start),
                "include" => return self.include_object(cursor, start, nested),
                "lookup_table" | "parser" | "timezone" | "dyn_stats" | "percentile_stats" | "ratelimit" => {
                    self.parameters(cursor, &word);
                    self.not_yet(span, &format!("`{word}()`"));
                }
                _ => {
                    let known = [
                        "module",
                        "input",
                        "global",
                        "main_queue",
                        "template",
                        "ruleset",
                        "include",
                        "action",
                    ];
                    let help = match nearest(&word, known) {
                        Some(near) => format!("did you mean `{near}(...)`?"),
                        None => format!("objects are {}", known.join(", ")),
                    };
                    self.wrong_at(span, format!("`{word}()` is not an object"), help);
                    self.parameters(cursor, &word);
                }
            }
            return Vec::new();
        }
        if !is_object && self.bare_word(cursor) {
            return Vec::new();
        }
        self.action_list(cursor)
    }

    /// A word that stands where a rule or a statement should begin and is neither. rsyslogd takes it for a user's name and warns;
    /// far more often it is a slip, and a message to a user can be written without doubt.
    fn bare_word(&mut self, cursor: &mut Cursor) -> bool {
        const STATEMENTS: [&str; 6] = ["action", "call", "stop", "if", "include", "continue"];
        let word = cursor.peek_word().to_owned();
        let is_word =
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !is_word || STATEMENTS.contains(&word.to_ascii_lowercase().as_str()) {
            return false;
        }
        let start = cursor.at;
        cursor.word();
        let help = match nearest(
            &word,
            STATEMENTS.into_iter().chain(["module", "input", "template", "ruleset", "global"]),
        ) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "for the user {word} write `:omusrmsg:{word}` behind a selector: *.* :omusrmsg:{word}"
            ),
        };
        self.wrong_at(
            cursor.span_from(start),
            format!("`{word}` is neither a selector nor a statement"),
            help,
        );
        cursor.skip_line();
        true
    }

    fn if_statement(&mut self, cursor: &mut Cursor) -> Vec<Written> {
        let start = cursor.at;
        cursor.word();
        let Some(condition) = self.condition(cursor) else {
            self.skip_failed_if(cursor);
            return Vec::new();
        };
        cursor.skip_space();
        if !cursor.take_keyword("then") {
            self.diagnostics.error(
                cursor.here(),
                "`then` is expected after the condition",
                "",
                "write `if ... then { ... }`",
            );
            self.skip_failed_if(cursor);
            return Vec::new();
        }
        let then = self.branch(cursor);
        let mut ahead = cursor.clone();
        ahead.skip_space();
        let otherwise = if ahead.take_keyword("else") {
            cursor.at = ahead.at;
            self.branch(cursor)
        } else {
            Vec::new()
        };
        if cursor.at == start {
            return Vec::new();
        }
        vec![Written::If { condition, then, otherwise }]
    }

    /// After a condition that is wrong, its branches are read for their own mistakes, so that none is reported as a
    /// consequence of this one.
    fn skip_failed_if(&mut self, cursor: &mut Cursor) {
        let mut ahead = cursor.clone();
        while !ahead.at_end() && ahead.peek() != Some(b'\n') {
            if ahead.take_keyword("then") {
                cursor.at = ahead.at;
                self.branch(cursor);
                let mut ahead = cursor.clone();
                ahead.skip_space();
                if ahead.take_keyword("else") {
                    cursor.at = ahead.at;
                    self.branch(cursor);
                }
                return;
            }
            ahead.at += ahead.rest().chars().next().map_or(1, char::len_utf8);
            if ahead.peek().is_some_and(|byte| byte.is_ascii_alphanumeric()) {
                // Whole words only.
                ahead.take_while(|byte| byte.is_ascii_alphanumeric() && byte != b't');
            }
        }
        cursor.skip_line();
    }

    /// A block, or one statement.
    fn branch(&mut self, cursor: &mut Cursor) -> Vec<Written> {
        cursor.skip_space();
        if cursor.take(b'{') {
            return self.block(cursor);
        }
        if self.blocks >= BLOCK_DEPTH_MAX {
            self.wrong_at(
                cursor.here(),
                "statements are nested too deeply",
                "take them apart with `ruleset()` and `call`",
            );
            cursor.at = cursor.text.len();
            return Vec::new();
        }
        self.blocks += 1;
        let statements = self.statement(cursor, true);
        self.blocks -= 1;
        statements
    }

    /// `selector  action`.
    fn selector_rule(&mut self, cursor: &mut Cursor) -> Vec<Written> {
        // Older files continue a selector over lines: each byte's place in the source is kept.
        let mut text = String::new();
        let mut places = Vec::new();
        let start = cursor.at;
        while let Some(byte) = cursor.peek() {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => break,
                b'\\' => {
                    let before = cursor.at;
                    cursor.skip_blanks();
                    if cursor.at == before {
                        break;
                    }
                }
                _ => {
                    let letter = cursor.rest().chars().next().unwrap_or(' ');
                    places.extend(std::iter::repeat_n(cursor.at, letter.len_utf8()));
                    text.push(letter);
                    cursor.at += letter.len_utf8();
                }
            }
        }
        let selector = match Selector::parse(&text) {
            Ok(selector) => Some(selector),
            Err(error) => {
                let from = places.get(error.at.start).copied().unwrap_or(cursor.at);
                let to = error
                    .at
                    .end
                    .checked_sub(1)
                    .and_then(|last| places.get(last))
                    .map_or(cursor.at, |last| last + 1);
                let span = cursor.span(from.min(to), to.max(from));
                self.diagnostics.error(span, error.cause, "in this selector", error.help);
                None
            }
        };
        cursor.skip_blanks();
        if matches!(cursor.peek(), None | Some(b'\n' | b'#')) {
            let span = cursor.span_from(start);
            self.wrong_at(
                span,
                "a selector has no action",
                format!("write what to do: `{text}  /var/log/messages`"),
            );
            return Vec::new();
        }
        let then = self.rule_body(cursor);
        let Some(selector) = selector else { return Vec::new() };
        vec![Written::If { condition: Condition::Priority(selector), then, otherwise: Vec::new() }]
    }

    /// What follows a filter: a block or a list of actions.
    fn rule_body(&mut self, cursor: &mut Cursor) -> Vec<Written> {
        cursor.skip_blanks();
        if cursor.take(b'{') { self.block(cursor) } else { self.action_list(cursor) }
    }

    /// `:property, [!]test, "value"  action`.
    fn property_rule(&mut self, cursor: &mut Cursor) -> Vec<Written> {
        cursor.take(b':');
        let filter = self.property_filter(cursor);
        let Some(filter) = filter else {
            cursor.skip_line();
            return Vec::new();
        };
        cursor.skip_blanks();
        if matches!(cursor.peek(), None | Some(b'\n' | b'#')) {
            self.wrong_at(
                cursor.here(),
                "a filter has no action",
                "write what to do: `:msg, contains, \"x\"  /var/log/x`",
            );
            return Vec::new();
        }
        let then = self.rule_body(cursor);
        vec![Written::If { condition: Condition::Property(filter), then, otherwise: Vec::new() }]
    }

    fn property_filter(&mut self, cursor: &mut Cursor) -> Option<PropertyFilter> {
        const EXAMPLE: &str = "write `:msg, contains, \"text\"  /var/log/file`";
        cursor.skip_blanks();
        let start = cursor.at;
        let name = cursor.take_while(|byte| !matches!(byte, b',' | b' ' | b'\t' | b'\n'));
        let span = cursor.span_from(start);
        let property = match Property::from_name(&name) {
            PropertyStanding::Supported(property) => property,
            PropertyStanding::NotYet => {
                self.wrong_at(
                    span,
                    format!("the property `{name}` is not supported yet"),
                    "use a property of the message",
                );
                return None;
            }
            PropertyStanding::Unknown => {
                let help = match nearest(&name, Property::names()) {
                    Some(near) => format!("did you mean `:{near}, ...`?"),
                    None => "properties are msg, hostname, syslogtag, programname, ...".to_owned(),
                };
                self.wrong_at(span, format!("`{name}` is not a property"), help);
                return None;
            }
        };
        cursor.skip_blanks();
        if !cursor.take(b',') {
            self.wrong_at(cursor.here(), "a comma is expected after the property", EXAMPLE);
            return None;
        }
        cursor.skip_blanks();
        let start = cursor.at;
        let negated = cursor.take(b'!');
        let word = cursor.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let span = cursor.span_from(start);
        cursor.skip_blanks();
        if word.eq_ignore_ascii_case("isempty") {
            // The stock daemon wants a value, which means nothing.
            let mut ahead = cursor.clone();
            if ahead.take(b',') {
                ahead.skip_blanks();
                if quoted_value(&mut ahead).is_some() {
                    cursor.at = ahead.at;
                }
            }
            return Some(PropertyFilter { property, negated, test: Test::IsEmpty });
        }
        if !cursor.take(b',') {
            self.wrong_at(cursor.here(), "a comma is expected after the test", EXAMPLE);
            return None;
        }
        cursor.skip_blanks();
        let value_start = cursor.at;
        let Some(value) = quoted_value(cursor) else {
            self.wrong_at(cursor.here(), "the value stands in quotes", EXAMPLE);
            return None;
        };
        let value_span = cursor.span_from(value_start);
        let pattern =
            |parser: &mut Self, compiled: Result<log_core::Pattern, log_core::PatternError>| match compiled {
                Ok(pattern) => Some(Test::Matches(pattern)),
                Err(error) => {
                    let cause = format!("this is not a regular expression: {}", error.cause);
                    parser.wrong_at(value_span, cause, "correct the pattern (`man 7 regex`)");
                    None
                }
            };
        let test = match word.to_ascii_lowercase().as_str() {
            "contains" => Test::contains(value.as_bytes()),
            "contains_i" => Test::contains_ignoring_case(value.as_bytes()),
            "isequal" => Test::IsEqual(value.into_bytes()),
            "startswith" => Test::StartsWith(value.into_bytes()),
            "endswith" => Test::EndsWith(value.into_bytes()),
            "regex" => pattern(self, log_core::Pattern::basic(&value))?,
            "ereregex" => pattern(self, log_core::Pattern::extended(&value))?,
            other => {
                const TESTS: &[&str] = &[
                    "contains",
                    "contains_i",
                    "isequal",
                    "startswith",
                    "endswith",
                    "regex",
                    "ereregex",
                    "isempty",
                ];
                let help = match nearest(other, TESTS.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("tests are {}", TESTS.join(", ")),
                };
                self.wrong_at(span, format!("`{word}` is not a test"), help);
                return None;
            }
        };
        Some(PropertyFilter { property, negated, test })
    }
}

/// The value of a property filter: in it a backslash takes the next character as it is.
fn quoted_value(cursor: &mut Cursor) -> Option<String> {
    let start = cursor.at;
    if !cursor.take(b'"') {
        return None;
    }
    let mut value = String::new();
    let mut letters = cursor.rest().char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => {
                cursor.at += at + 1;
                return Some(value);
            }
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            '\n' => break,
            _ => value.push(letter),
        }
    }
    cursor.at = start;
    None
}

/// `:omusrmsg:` and its like, in contrast to a property filter.
fn is_output_prefix(rest: &str) -> bool {
    let word: String =
        rest.chars().skip(1).take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
    word.starts_with("om") && rest.get(1 + word.len()..).is_some_and(|after| after.starts_with(':'))
}

/// Whether a word with a dot that begins as facilities do stands here.
fn looks_like_selector(rest: &str) -> bool {
    let word = rest.split([' ', '\t', '\n', '\r', '\\']).next().unwrap_or("");
    let begins = word.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '*');
    let Some((facilities, _)) = word.split_once('.') else { return false };
    begins && facilities.chars().all(|letter| letter.is_ascii_alphanumeric() || "*,;!=_".contains(letter))
}
