//! The last stage: names are looked up, and what was written becomes what is meant.

use std::sync::Arc;

use conf_text::{Span, Spanned, nearest};
use log_core::{
    Action, ActionId, ActionKind, ActionQueue, Protocol, RuleSet, RuleSetId, Rules, Statement, Template,
};

use crate::actions::{ActionDraft, DraftKind};
use crate::inputs::InputDraft;
use crate::no_effect::Owner;
use crate::parser::{InputStanding, Parser, Written};
use crate::settings::{Input, Settings};

impl Parser<'_> {
    /// Looks all names up.
    pub(crate) fn finish(&mut self) -> Option<Settings> {
        let drafts = std::mem::take(&mut self.state.actions);
        let actions: Vec<Option<Action>> =
            drafts.into_iter().map(|draft| self.finish_action(draft)).collect();
        let names: Vec<String> = self.state.rulesets.iter().map(|ruleset| ruleset.name.clone()).collect();
        let rulesets = std::mem::take(&mut self.state.rulesets);
        let rulesets: Vec<RuleSet> = rulesets
            .into_iter()
            .map(|ruleset| RuleSet::new(ruleset.name, self.finish_statements(ruleset.statements, &names)))
            .collect();
        let inputs = std::mem::take(&mut self.state.inputs);
        let inputs: Vec<Option<Input>> = inputs
            .into_iter()
            .filter_map(|(standing, draft, span)| self.finish_input(standing, draft, span, &names))
            .collect();
        let actions: Vec<Action> = actions.into_iter().collect::<Option<_>>()?;
        let inputs = inputs.into_iter().collect::<Option<_>>()?;
        let rules = match Rules::new(rulesets, actions) {
            Ok(rules) => rules,
            Err(cycle) => {
                let cause = cycle.to_string();
                self.diagnostics.push(
                    conf_text::Diagnostic::error(cause)
                        .help("take out one of the `call` statements on the way round"),
                );
                return None;
            }
        };
        Some(Settings {
            globals: std::mem::take(&mut self.state.globals),
            inputs,
            rules,
            main_queue: std::mem::take(&mut self.state.main_queue),
        })
    }

    /// None where the input is switched off; none inside where it is wrong.
    fn finish_input(
        &mut self,
        standing: InputStanding,
        draft: InputDraft,
        span: Span,
        names: &[String],
    ) -> Option<Option<Input>> {
        let (module, draft, is_system) = match standing {
            InputStanding::Module(module) => {
                (module, self.state.loaded.get(module).cloned().unwrap_or_default(), true)
            }
            InputStanding::Input(module) => (module, draft, false),
        };
        if is_system && !draft.enabled {
            return None;
        }
        let ruleset = match &draft.ruleset {
            None => Rules::DEFAULT,
            Some(name) => match names.iter().position(|known| *known == name.value) {
                Some(id) => RuleSetId(id),
                None => {
                    self.unknown_ruleset(name, names);
                    return Some(None);
                }
            },
        };
        match draft.finish(module, ruleset, is_system) {
            Ok(input) => Some(Some(input)),
            Err(missing) => {
                self.wrong_at(
                    span,
                    format!("the input `{module}` lacks a parameter"),
                    format!("add {missing}"),
                );
                Some(None)
            }
        }
    }

    fn unknown_ruleset(&mut self, name: &Spanned<String>, names: &[String]) {
        let help = match nearest(&name.value, names.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write: ruleset(name=\"{}\") {{ ... }}", name.value),
        };
        self.wrong_at(name.span, format!("there is no ruleset `{}`", name.value), help);
    }

    fn finish_statements(&mut self, statements: Vec<Written>, names: &[String]) -> Vec<Statement> {
        let mut all = Vec::with_capacity(statements.len());
        for statement in statements {
            all.push(match statement {
                Written::Act(id) => Statement::Act(ActionId(id)),
                Written::Stop => Statement::Stop,
                Written::If { condition, then, otherwise } => Statement::If {
                    condition,
                    then: self.finish_statements(then, names),
                    otherwise: self.finish_statements(otherwise, names),
                },
                Written::Call(name) => match names.iter().position(|known| *known == name.value) {
                    Some(id) => Statement::Call(RuleSetId(id)),
                    None => {
                        self.unknown_ruleset(&name, names);
                        continue;
                    }
                },
            });
        }
        all
    }

    fn finish_action(&mut self, draft: ActionDraft) -> Option<Action> {
        let has_folder = draft.queue.spool_directory.is_some() || self.state.globals.work_directory.is_some();
        let owner = match &draft.kind {
            DraftKind::Forward(forward) if forward.protocol == Protocol::Tcp => {
                Owner::TcpForward { has_folder }
            }
            DraftKind::Forward(_) => Owner::UdpForward,
            _ => Owner::Other,
        };
        self.report_without_effect(&draft.noted, owner);
        let default = match &draft.kind {
            DraftKind::File { .. } | DraftKind::DynamicFile { .. } => {
                (self.state.file_template.clone(), "RSYSLOG_FileFormat")
            }
            DraftKind::Forward(_) => {
                (self.state.forward_template.clone(), "RSYSLOG_TraditionalForwardFormat")
            }
            DraftKind::Users(log_core::Users::All) => (None, "RSYSLOG_WallFmt"),
            DraftKind::Users(_) => (None, "RSYSLOG_StdUsrMsgFmt"),
            DraftKind::Pipe { .. } => (None, "RSYSLOG_TraditionalFileFormat"),
        };
        let template = match draft.template.or(default.0) {
            Some(name) => self.template_named(&name)?,
            None => Arc::new(Template::built_in(default.1)?),
        };
        let (kind, described) = match draft.kind {
            DraftKind::File { path, options } => {
                let described = path.display().to_string();
                (ActionKind::File { path, options }, described)
            }
            DraftKind::DynamicFile { path, open_files_max, options } => {
                let described = format!("?{}", path.value);
                let path = self.template_named(&path)?;
                (ActionKind::DynamicFile { path, open_files_max, options }, described)
            }
            DraftKind::Forward(forward) => {
                let sign = if forward.protocol == Protocol::Tcp { "@@" } else { "@" };
                let described = format!("{sign}{}:{}", forward.host, forward.port);
                (ActionKind::Forward(forward), described)
            }
            DraftKind::Users(users) => {
                let described = match &users {
                    log_core::Users::All => ":omusrmsg:*".to_owned(),
                    log_core::Users::Named(names) => format!(":omusrmsg:{}", names.join(",")),
                };
                (ActionKind::Users(users), described)
            }
            DraftKind::Pipe { path } => {
                let described = format!("|{}", path.display());
                (ActionKind::Pipe { path }, described)
            }
        };
        let queue = ActionQueue { settings: draft.queue, retry: draft.retry };
        Some(Action { name: draft.name.unwrap_or(described), kind, template, queue })
    }

    fn template_named(&mut self, name: &Spanned<String>) -> Option<Arc<Template>> {
        if let Some(template) = self.state.templates.get(&name.value) {
            return Some(Arc::clone(template));
        }
        if let Some(template) = Template::built_in(&name.value) {
            return Some(Arc::new(template));
        }
        let known: Vec<String> = self
            .state
            .templates
            .keys()
            .cloned()
            .chain(Template::built_in_names().map(str::to_owned))
            .collect();
        let help = match nearest(&name.value, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write before it: $template {},\"%msg%\\n\"", name.value),
        };
        self.wrong_at(name.span, format!("there is no template `{}`", name.value), help);
        None
    }
}
