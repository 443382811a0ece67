//! Every program of the house by name.

use std::process::ExitCode;

use layout::Call;

/// A program and the names that lead to it.
pub struct Program {
    /// Its names; the first one is its own.
    pub names: &'static [&'static str],
    /// What it is for, in a few words.
    pub about: &'static str,
    /// The same in Japanese.
    pub about_ja: &'static str,
    /// Runs it.
    pub run: fn(&Call) -> ExitCode,
}

/// All of them, by service.
pub const PROGRAMS: &[Program] = &[
    Program {
        names: &["timed", "chronyd"],
        about: "the time daemon",
        about_ja: "時計のデーモン",
        run: timed::run,
    },
    Program {
        names: &["chronyc"],
        about: "show and change how the clock is kept",
        about_ja: "時計の様子を見る、変える",
        run: chronyc::run,
    },
    Program {
        names: &["logd", "rsyslogd", "journald"],
        about: "the log daemon",
        about_ja: "ログのデーモン",
        run: logd::run,
    },
    Program {
        names: &["journalctl"],
        about: "read the journal",
        about_ja: "ジャーナルを読む",
        run: journalctl::run,
    },
    Program { names: &["logger"], about: "write to the log", about_ja: "ログに書く", run: logger::run },
    Program {
        names: &["systemd-cat"],
        about: "write a program's output to the log",
        about_ja: "プログラムの出力をログに書く",
        run: systemd_cat::run,
    },
    Program {
        names: &["sendmail", "newaliases", "mailq", "postqueue"],
        about: "hand over mail; check aliases; look at the queue",
        about_ja: "メールを出す、別名を確かめる、キューを見る",
        run: sendmail::run,
    },
    Program {
        names: &["maild"], about: "the mail daemon", about_ja: "メールのデーモン", run: maild::run
    },
    Program {
        names: &["mail", "mailx"],
        about: "write and read mail",
        about_ja: "メールを書く、読む",
        run: mail::run,
    },
    Program {
        names: &["alertd"], about: "the alert daemon", about_ja: "通知のデーモン", run: alertd::run
    },
    Program { names: &["webd"], about: "the web page", about_ja: "状態を見る画面", run: webd::run },
];

/// The program of a name.
pub fn find(name: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|program| program.names.contains(&name))
}

/// All names that can be typed.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROGRAMS.iter().flat_map(|program| program.names.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: no name leads to two programs, and none hides a verb of banto's own.
    #[test]
    fn names_are_unique() {
        let mut all: Vec<&str> = names().chain(crate::command_line::VERBS.iter().copied()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
