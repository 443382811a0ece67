//! Actions in their short forms: `/file`, `?DynaFile`, `@host`, `|pipe`, `:omusrmsg:`, users, `~`, and `&` between them.

use std::path::PathBuf;

use conf_text::{Span, Spanned, nearest};
use log_core::{FileOptions, Protocol};

use crate::actions::{self, ActionDraft, DraftKind};
use crate::parser::{Parser, Written};
use crate::text::Cursor;

impl Parser<'_> {
    /// One action and those that `&` adds to it.
    pub(crate) fn action_list(&mut self, cursor: &mut Cursor) -> Vec<Written> {
        let mut all = Vec::new();
        loop {
            let before = cursor.at;
            all.extend(self.action(cursor));
            if cursor.at == before {
                return all;
            }
            let mut ahead = cursor.clone();
            ahead.skip_space();
            if !ahead.take(b'&') {
                return all;
            }
            ahead.skip_blanks();
            cursor.at = ahead.at;
        }
    }

    fn action(&mut self, cursor: &mut Cursor) -> Option<Written> {
        let start = cursor.at;
        let word = cursor.peek_word();
        match word.to_ascii_lowercase().as_str() {
            "action" => {
                cursor.word();
                return self.action_object(cursor, start);
            }
            "stop" => {
                cursor.word();
                return Some(Written::Stop);
            }
            "call" => {
                cursor.word();
                cursor.skip_blanks();
                let start = cursor.at;
                let name = cursor.word();
                return Some(Written::Call(Spanned { value: name, span: cursor.span_from(start) }));
            }
            _ => {}
        }
        let kind = match cursor.peek()? {
            b'~' => {
                cursor.at += 1;
                return Some(Written::Stop);
            }
            b'/' => self.file_action(cursor, self.state.file.sync),
            b'-' => {
                cursor.at += 1;
                cursor.skip_blanks();
                match cursor.peek() {
                    Some(b'/') => self.file_action(cursor, false),
                    Some(b'?') => self.dynamic_file_action(cursor, false),
                    _ => {
                        self.wrong_at(
                            cursor.span(start, start + 1),
                            "`-` stands before a file",
                            "write `-/var/log/file`",
                        );
                        cursor.skip_line();
                        return None;
                    }
                }
            }
            b'?' => self.dynamic_file_action(cursor, self.state.file.sync),
            b'@' => self.forward_action(cursor),
            b'|' => {
                cursor.at += 1;
                cursor.skip_blanks();
                let path = cursor.take_while(is_action_byte);
                if path.is_empty() {
                    self.wrong_at(
                        cursor.span(start, start + 1),
                        "`|` names no pipe",
                        "write `|/path/of/a/fifo`",
                    );
                    cursor.skip_line();
                    return None;
                }
                Some(DraftKind::Pipe { path: PathBuf::from(path) })
            }
            b':' => self.output_action(cursor),
            b'^' | b'>' => {
                self.not_yet(cursor.here(), "an action that runs a program or writes to a database");
                cursor.skip_line();
                return None;
            }
            b'*' => {
                cursor.at += 1;
                Some(DraftKind::Users(log_core::Users::All))
            }
            byte if byte.is_ascii_alphanumeric() || byte == b'_' => {
                let names = self.name_list(cursor);
                let span = cursor.span_from(start);
                if names.contains(['(', '=', '"', '.']) || matches!(cursor.peek(), Some(b'(' | b'=')) {
                    self.unknown_statement(&names, span);
                    cursor.skip_line();
                    return None;
                }
                self.users_draft(&names, span).map(DraftKind::Users)
            }
            _ => {
                let letter = cursor.rest().chars().next().unwrap_or(' ');
                self.wrong_at(
                    cursor.here(),
                    format!("no statement begins with `{}`", letter.escape_default()),
                    "write a rule (`*.info  /var/log/messages`), a directive or an object",
                );
                return None;
            }
        };
        let template = self.action_template(cursor);
        self.report_rest_of_line(cursor);
        let queue = std::mem::take(&mut self.state.next_queue);
        let retry = std::mem::take(&mut self.state.next_retry);
        let noted = std::mem::take(&mut self.state.next_noted);
        let name = self.state.next_name.take();
        kind.map(|kind| self.add_action(ActionDraft { kind, name, template, queue, retry, noted }))
    }

    fn unknown_statement(&mut self, text: &str, span: Span) {
        let word: String =
            text.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
        const WORDS: &[&str] =
            &["if", "stop", "call", "action", "module", "input", "template", "global", "include", "ruleset"];
        let help = match nearest(&word, WORDS.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write a rule (`*.info  /var/log/messages`), a directive or an object".to_owned(),
        };
        self.wrong_at(span, format!("`{text}` begins no statement"), help);
    }

    /// Nothing but a comment, a brace, `&` or `else` may follow an action on its line.
    fn report_rest_of_line(&mut self, cursor: &mut Cursor) {
        let mut ahead = cursor.clone();
        ahead.skip_blanks();
        if matches!(ahead.peek(), None | Some(b'\n' | b'#' | b'}' | b'&'))
            || ahead.clone().take_keyword("else")
        {
            return;
        }
        let start = ahead.at;
        let word = ahead.take_while(|byte| !byte.is_ascii_whitespace());
        self.wrong_at(
            ahead.span_from(start),
            format!("`{word}` follows an action"),
            "write it on a line of its own",
        );
        cursor.skip_line();
    }

    /// Names with commas between them, and blanks after the commas.
    fn name_list(&mut self, cursor: &mut Cursor) -> String {
        let mut names = cursor.take_while(|byte| is_action_byte(byte) && byte != b'(' && byte != b'=');
        while names.ends_with(',') {
            let before = cursor.at;
            cursor.skip_blanks();
            names
                .push_str(&cursor.take_while(|byte| byte.is_ascii_alphanumeric() || b"_-,*".contains(&byte)));
            if cursor.at == before || names.ends_with(',') && cursor.peek().is_none_or(|byte| byte == b'\n') {
                break;
            }
        }
        names
    }

    /// `;TemplateName` after an action.
    fn action_template(&mut self, cursor: &mut Cursor) -> Option<Spanned<String>> {
        let mut ahead = cursor.clone();
        ahead.skip_blanks();
        if !ahead.take(b';') {
            return None;
        }
        ahead.skip_blanks();
        let start = ahead.at;
        let name = ahead.take_while(is_action_byte);
        cursor.at = ahead.at;
        (!name.is_empty()).then(|| Spanned { value: name, span: cursor.span_from(start) })
    }

    fn file_action(&mut self, cursor: &mut Cursor, sync: bool) -> Option<DraftKind> {
        let path = cursor.take_while(is_action_byte);
        let options = FileOptions { sync, ..self.state.file.clone() };
        Some(DraftKind::File { path: PathBuf::from(path), options })
    }

    fn dynamic_file_action(&mut self, cursor: &mut Cursor, sync: bool) -> Option<DraftKind> {
        cursor.take(b'?');
        let start = cursor.at;
        let name = cursor.take_while(is_action_byte);
        let path = Spanned { value: name, span: cursor.span_from(start) };
        let options = FileOptions { sync, ..self.state.file.clone() };
        Some(DraftKind::DynamicFile { path, open_files_max: self.state.open_files_max, options })
    }

    fn forward_action(&mut self, cursor: &mut Cursor) -> Option<DraftKind> {
        cursor.take(b'@');
        let protocol = if cursor.take(b'@') { Protocol::Tcp } else { Protocol::Udp };
        let start = cursor.at;
        let text = cursor.take_while(is_action_byte);
        match actions::forward(&text, protocol) {
            Ok(forward) => Some(DraftKind::Forward(forward)),
            Err((at, wrong)) => {
                let span = cursor.span(start + at.start, start + at.end);
                self.wrong_at(span, wrong.cause, wrong.help);
                None
            }
        }
    }

    /// `:omusrmsg:user,user` and its like.
    fn output_action(&mut self, cursor: &mut Cursor) -> Option<DraftKind> {
        let start = cursor.at;
        cursor.take(b':');
        let module = cursor.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        cursor.take(b':');
        let value_start = cursor.at;
        let value = self.name_list(cursor);
        let span = cursor.span_from(start);
        match module.to_ascii_lowercase().as_str() {
            "omusrmsg" => self.users_draft(&value, cursor.span_from(value_start)).map(DraftKind::Users),
            known if actions::OUTPUTS_NOT_YET.contains(&known) => {
                self.not_yet(span, &format!("the action `:{module}:`"));
                None
            }
            _ => {
                self.wrong_at(
                    span,
                    format!("`:{module}:` is not an action"),
                    "write `:omusrmsg:user`, a file or a host",
                );
                None
            }
        }
    }
}

/// What an action's text may consist of: it ends at white space and before a template.
fn is_action_byte(byte: u8) -> bool {
    !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b';')
}
