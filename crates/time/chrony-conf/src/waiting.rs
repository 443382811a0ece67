//! What was asked for and is not acted on yet, in sentences for a log.

use crate::directive::DIRECTIVES;
use crate::known::{LOCAL_NOT_ACTED_ON, LOGS_NOT_WRITTEN, NOT_ACTED_ON, OPTIONS_NOT_ACTED_ON};
use crate::settings::{Logs, Settings};
use crate::source::{OPTIONS, Source, SourceOptions};

impl Settings {
    /// One sentence for each directive that was set and has no effect here.
    pub fn waiting(&self) -> Vec<String> {
        let unset = Self::new(&layout::Layout::system());
        let mut said = Vec::new();
        for (name, instead) in NOT_ACTED_ON {
            let Some(directive) = DIRECTIVES.iter().find(|directive| directive.name == *name) else {
                continue;
            };
            if directive.arguments(self) != directive.arguments(&unset) {
                said.push(format!("{name} has no effect here: {instead}"));
            }
        }
        for (name, instead) in LOGS_NOT_WRITTEN {
            if self.logs.wants(name) {
                said.push(format!("log {name} has no effect here: {instead}"));
            }
        }
        if let Some(local) = self.local {
            for (name, _) in LOCAL_NOT_ACTED_ON {
                let set = match *name {
                    "orphan" => local.orphan,
                    "activate" => local.activate != 0.0,
                    "waitsynced" => local.wait_synced != 0.0,
                    _ => local.wait_unsynced != 0.0,
                };
                if set {
                    said.push(format!("local {name} has no effect here"));
                }
            }
        }
        said
    }
}

impl Source {
    /// The options that were set and have no effect here.
    pub fn waiting(&self) -> Vec<&'static str> {
        let usual = SourceOptions::default();
        OPTIONS
            .iter()
            .filter(|option| OPTIONS_NOT_ACTED_ON.contains(&option.name))
            .filter(|option| option.is_set(&self.options, &usual))
            .map(|option| option.name)
            .collect()
    }
}

impl Logs {
    fn wants(mut self, name: &str) -> bool {
        crate::directive::log_field(&mut self, name)
    }
}
