//! `banto reload` and SIGHUP: logs, keys and sources are taken up while the daemon runs; of everything else that is different in the
//! file it is said that it counts from the next start.

use super::{Daemon, monotonic};
use crate::config::Anew;
use crate::events::Happened;
use chrony_conf::Source;

/// What a reload did.
#[derive(Debug, Default)]
pub(super) struct Reloaded {
    /// Sources that came, and that went.
    added: Vec<String>,
    removed: Vec<String>,
    /// Sources that came and are not asked, with why.
    not_asked: Vec<String>,
    /// What counts from the next start, with its place.
    later: Vec<String>,
}

impl Reloaded {
    /// In one sentence.
    fn note(&self) -> String {
        let mut parts = vec!["the logs were opened, the keys and sources read anew".to_owned()];
        for (what, names) in [("new", &self.added), ("gone", &self.removed)] {
            if !names.is_empty() {
                parts.push(format!("{what}: {}", names.join(", ")));
            }
        }
        if !self.not_asked.is_empty() {
            parts.push(format!("not asked: {}", self.not_asked.join(", ")));
        }
        if !self.later.is_empty() {
            parts.push(format!("these count from the next start of the daemon: {}", self.later.join(", ")));
        }
        parts.join("; ")
    }

    /// As the control socket tells it.
    pub(super) fn value(&self) -> control::Value {
        control::json!({
            "reopened": "logs",
            "read": ["keys", "sources"],
            "added": self.added,
            "removed": self.removed,
            "not_asked": self.not_asked,
            "restart": self.later,
            "note": self.note(),
        })
    }
}

impl Daemon {
    /// SIGHUP: nobody is there to be told, so the log is.
    pub(super) fn reload_by_signal(&mut self) {
        match self.reload() {
            Ok(done) => {
                for what in &done.later {
                    let what = format!("{what} counts from the next start of the daemon");
                    self.log.say(&Happened::Warning { what });
                }
            }
            Err(report) => {
                let problems = report.lines().filter(|line| !line.trim().is_empty());
                let text = problems.map(str::trim).collect::<Vec<_>>().join("; ");
                self.log.say(&Happened::NotTaken { why: text });
            }
        }
    }

    /// Opens the logs and reads keys and configuration anew. An error is the whole report, and then nothing has changed: all that
    /// can be refused is read and checked first, and taken up in one step.
    pub(super) fn reload(&mut self) -> Result<Reloaded, String> {
        let anew = crate::config::read_again(&self.options, &self.layout)?;
        let keys = self.key_file_read_again()?;
        self.reopen_logs();
        self.take_keys(keys);
        Ok(self.take_sources(anew))
    }

    /// The sources of the files as they are now come, those that are gone go.
    fn take_sources(&mut self, Anew { settings: new, texts, folders, mut warnings }: Anew) -> Reloaded {
        let now = monotonic();
        let running = self.config.as_written.clone();
        let mut done = Reloaded::default();
        for change in running.changes(&new, &texts) {
            let place = match (&change.place, change.is_new) {
                (Some(place), _) => place.clone(),
                (None, true) => "the default".to_owned(),
                (None, false) => "it is gone".to_owned(),
            };
            done.later.push(format!("`{}` ({place})", change.line));
        }
        let missing = |of: &[Source], one: &Source| !of.contains(one);
        for line in running.sources.iter().filter(|one| missing(&new.sources, one)) {
            if self.remove_line(line) {
                done.removed.push(line.name.clone());
            }
        }
        for one in &new.sources {
            if let Some(line) = crate::config::added(one, &self.config.settings) {
                // One that stays and could not be added before can be, where the source is gone that had its address.
                let waits = || {
                    self.initial.is_none()
                        && !self.wanted.iter().any(|wanted| wanted.line == line)
                        && self.why_not_added(&line).is_none()
                };
                if !missing(&running.sources, one) && !waits() {
                    continue;
                }
                let why = self.why_not_added(&line).filter(|_| self.initial.is_none());
                let why = why.map(|_| "another source has its address".to_owned());
                match why.or_else(|| self.why_not_asked(&line)) {
                    Some(why) => done.not_asked.push(format!("{} ({why})", line.name)),
                    None => done.added.push(line.name.clone()),
                }
                // Before the usual sources begin they wait with the others.
                match self.initial {
                    Some(_) => self.config.sources.push(line),
                    None => self.add_source(line, now),
                }
            }
        }
        self.config.as_written.sources = new.sources;
        self.config.as_written.source_dirs.clone_from(&new.source_dirs);
        self.config.settings.source_dirs = new.source_dirs;
        if self.initial.is_none() {
            let names = |daemon: &Self| -> Vec<String> {
                let of_folders = daemon.wanted.iter().filter(|wanted| wanted.line.from_folder);
                of_folders.map(|wanted| wanted.line.name.clone()).collect()
            };
            let before = names(self);
            let lines = crate::config::lines_of_folders(&folders, &self.config.settings, &mut warnings);
            for what in warnings {
                self.log.say(&Happened::Warning { what });
            }
            self.take_folders(lines, now);
            let after = names(self);
            for wanted in self.wanted.iter().filter(|one| one.line.from_folder) {
                let name = &wanted.line.name;
                match self.why_not_asked(&wanted.line) {
                    _ if before.contains(name) => {}
                    Some(why) => done.not_asked.push(format!("{name} ({why})")),
                    None => done.added.push(name.clone()),
                }
            }
            done.removed.extend(before.into_iter().filter(|name| !after.contains(name)));
        }
        self.choose_selection_options();
        done
    }

    /// A line of the file is gone; false when its sources were gone already.
    fn remove_line(&mut self, line: &Source) -> bool {
        let Some(config) = crate::config::added(line, &self.config.settings) else { return false };
        if self.initial.is_some() {
            let before = self.config.sources.len();
            self.config.sources.retain(|other| *other != config);
            return self.config.sources.len() < before;
        }
        let Some(place) = self.wanted.iter().position(|wanted| wanted.line == config) else { return false };
        let number = self.wanted.remove(place).number;
        while let Some(index) = self.peers.iter().position(|peer| peer.number == number) {
            self.remove_peer(index);
        }
        true
    }
}
