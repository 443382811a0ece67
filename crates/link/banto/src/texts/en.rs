//! English.

use super::{Texts, TourText};

pub(super) static TEXTS: Texts = Texts {
    help: "\
banto keeps the clock, the log and the mail of this host, and links them.

  banto up       run the house in a directory, without root (Ctrl-C ends it)
                 --control-clock  set the clock too (else it is only measured)
                 --init-only      only write the default files
  banto status   how it is: clock, log, mail, alerts          [--json]
  banto doctor   send a nonce through the whole chain         [--json] [--strict]
  banto tour     ten steps through a running house            [--yes]
  banto check    read every configuration file, and tell all mistakes
  banto time     the clock: status, plot, set, explain
  banto reload   ask the daemons to read them again           [SERVICE]
  banto NAME     a program of the trade, see below
  banto help, banto VERB --help, banto --version

  --dir DIR      the house; where nothing is said, what BANTO_DIR says; else banto's own verbs take
                 ./banto-data, the programs below the installed system
",
    verb_help: &[
        ("up", "\
usage: banto [--dir DIR] up [--control-clock] [--init-only]

Runs the house in DIR: ./banto-data, or what BANTO_DIR says, where nothing is said. Ctrl-C or SIGTERM ends it.

  --control-clock  set the clock too (else it is only measured)
  --init-only      only write the default files that are missing
  --dir DIR        the house

exit codes: 0 ended as asked; 1 it could not start, or its files have mistakes; 64 wrong command line
"),
        ("status", "\
usage: banto [--dir DIR] status [--json]

Shows how the house is: clock, log, mail, alerts, and what was refused as bad input.

  --json           all of it as JSON
  --dir DIR        the house

exit codes: 0 every daemon answers; 1 one does not, or no house is up; 64 wrong command line
"),
        ("doctor", "\
usage: banto [--dir DIR] doctor [--json] [--strict]

Sends a nonce from the clock to the mailbox and back into the log, and names the link that is broken.

  --json           the findings as JSON
  --strict         a warning is a failure (a clock without a reachable source)
  --dir DIR        the house

exit codes: 0 all links hold; 1 one is broken, or no house is up; 64 wrong command line
"),
        ("tour", "\
usage: banto [--dir DIR] tour [--yes]

Ten steps through a running house: each shows a command, runs it and says why it matters.

  --yes            do not wait for Enter between steps
  --dir DIR        the house

exit codes: 0 each step showed what it should; 1 one did not, or no house is up; 64 wrong command line
"),
        ("check", "\
usage: banto [--dir DIR] check

Reads every configuration file of the house, chrony's *.sources and users' .forward files among them, and tells all mistakes.

  --dir DIR        the house; it need not be up

exit codes: 0 no mistake, or warnings only; 1 mistakes, or there are no files; 64 wrong command line
"),
        ("reload", "\
usage: banto [--dir DIR] reload [timed | logd | maild | alertd | webd]

Asks the daemon, or all, to read its configuration again, and prints each answer. A refused one keeps what it has.

  --dir DIR        the house

exit codes: 0 each that was asked has reloaded (nothing of webd can be: it counts only where it is named); 1 one has not, or no
house is up; 64 wrong command line
"),
        ("help", "\
usage: banto help

exit code: 0
"),
    ],
    programs: "Programs (also as links of these names):",
    about: |program| program.about,
    unknown_name: "there is no `{name}`",
    did_you_mean: "did you mean: banto {name}",
    unknown_option: "`{option}` is no option of banto {verb}",
    option_needs_value: "`{option}` needs a value",
    help_word: "help",
    error_word: "error",
    time: &super::time::EN,

    up_house: "banto {version}: a house in {dir}",
    up_written: "  wrote the defaults: {files}",
    up_initialised: "The files are written. Change what you like, then: {command}",
    up_clock_measured: "  The clock is measured and never set (--control-clock lets the house set it).",
    up_clock_controlled: "  THE CLOCK IS SET by this house (--control-clock).",
    up_ready: "Ready after {ms} ms. In another terminal: {command} status | doctor | tour. Ctrl-C ends the house.",
    up_stopping: "Ending: {name}",
    up_stopped: "Ended; everything is on disk in {dir}.",
    up_died: "{name} ended ({how}); it is started again in {pause}",
    up_back: "{name} is back after {ms} ms",
    up_not_ready: "{name} did not answer within {seconds} s",
    up_ended_early: "{name} ended before it was ready ({how})",
    up_killed: "{name} did not end within {seconds} s and was killed",
    up_locked: "a house is up in {dir} already (process {pid})",
    up_locked_help: "look at it with: {command} status\nor choose another directory: banto up --dir DIR",
    up_path_too_long: "the path {dir} is {excess} bytes too long: sockets stand below it, and a socket's path has at most 107 bytes",
    up_path_too_long_help: "choose a shorter one: banto up --dir ~/banto",
    up_path_unwritable: "the path {dir} has a blank, a quote or another character that the configuration files cannot hold",
    up_io: "{path}: {error}",
    up_port_in_use_help: "another program has this port: ss -lntup shows which. End it, or change the port in {file}",
    service_time: "  time    NTP {ntp}, chronyc {command} and {socket}; drift in {state}",
    service_log: "  log     syslog {syslog} and {socket}; journal in {journal}, files in {files}",
    service_mail: "  mail    SMTP {smtp}, submission {socket}; mailboxes in {mail}, queue in {spool}",
    service_alerts: "  alerts  {rules} rules in {file}; position in {state}",
    service_web: "  web     http://{web}/",
    line: "clock {clock} | kept {kept} lost {lost} | queue {queue} | alerts {fired}, suppressed {suppressed}",
    line_unsynchronised: "no source ({sources} tried)",
    line_unresolved: "no source (no address yet of {names})",
    line_own_clock: "own clock only (local stratum {stratum})",
    line_unsent: ", waiting {waiting}, refused {failed}",
    line_down: "not answering: {names}",

    check_no_files: "there are no configuration files in {dir}",
    check_fine: "{file}: no mistake",
    check_warned: "{file}: no error; warnings are above",
    check_wrong: "{file}: has mistakes, see above",

    no_house: "no house is up in {dir}",
    no_house_help: "start one with: banto up{dir_option}",
    no_house_help_where: "say where it is: banto --dir DIR status (or BANTO_DIR=DIR)\nor start one here: banto up",
    reload_done: "{name}: reloaded{note}",
    reload_refused: "{name} has not reloaded: {why}",
    reload_unknown: "`{name}` is no daemon of the house",
    status_house: "{host}, house in {dir}",
    status_clock_followed: "Clock    offset {offset}, right within {bound}; follows {reference} (stratum {stratum})",
    status_clock_unsynchronised: "Clock    not synchronised: no source can be followed yet",
    status_clock_own: "Clock    follows its own clock only (local stratum {stratum}): no source; the error is unknown",
    status_clock_down: "Clock    the time daemon does not answer: {error}",
    status_clock_set: "         this house sets the clock (--control-clock)",
    status_clock_measured: "         this house measures the clock and never sets it",
    status_kernel_synced: "         the kernel says: synchronised, right within {bound}; records say so",
    status_kernel_unsynced: "         the kernel says: not synchronised; records say so",
    status_sources: "         sources:",
    status_source: "           {address}  {state}, stratum {stratum}, reach {reach}, offset {offset} +/- {error}",
    status_source_unresolved: "           {name}  has no address yet",
    status_source_silent: "           {address}  no answer yet",
    source_states: &[],
    status_no_sources: "         sources: none",
    status_part_down: "{name} does not answer: {error}",
    status_log: "Log      kept {kept}, lost {lost}",
    status_input: "           {name}: kept {kept}, lost {lost}",
    status_mail: "Mail     {queue} in the queue",
    status_last_delivery: "         last delivery: {status} to {to}, {ago} ago",
    status_no_delivery: "         no delivery yet",
    status_alerts: "Alerts   fired {fired}, suppressed {suppressed}",
    status_alerts_waiting: "         cannot be sent yet: {waiting} ({reason})",
    status_alerts_untried: "not tried yet",
    status_alerts_failed: "         refused for good: {failed} ({reason})",
    status_rule: "           {name}: matched {matched}, fired {fired}, suppressed {suppressed}",
    status_web: "Web      http://{address}/",
    status_bad_input: "Bad input since each daemon's start, refused:",
    status_bad_input_of: "           {daemon} {way}: malformed {malformed}, not allowed {refused}",

    doctor_title: "The chain from the clock to the mailbox, with the nonce {nonce}:",
    doctor_ok: "ok",
    doctor_warning: "WARN",
    doctor_broken: "BROKEN",
    doctor_skipped: "not tried",
    doctor_links: [
        "clock state",
        "record logged",
        "record in the journal",
        "alert fired",
        "mail accepted",
        "mail in the mailbox",
        "delivery record in the log",
    ],
    doctor_all_hold: "All links hold ({ms} ms).",
    doctor_warned: "All links hold ({ms} ms), with a warning.",
    doctor_not_all: "Broken: {link}.",
    doctor_synced: "follows {reference}, right within {bound}",
    doctor_unresolved: "not synchronised: no address yet of {names}; records say so truthfully",
    doctor_no_source: "not synchronised: there is no source; records say so truthfully",
    doctor_unreachable: "not synchronised: none of {sources} sources can be reached; records say so truthfully",
    doctor_unselected: "not synchronised: of {sources} sources {answering} answer, and none is selected; records say so truthfully",
    doctor_unselected_help: "right after a start: wait a minute; else see why: {command} time explain",
    doctor_own_clock: "follows its own clock only (local stratum {stratum}): no source; the error is unknown",
    doctor_unsent: "; not sent: waiting {waiting}, refused {failed}: {reason}",
    doctor_not_told: "; but the kernel says: not synchronised, and so do the records",
    doctor_not_told_help: "right after a start or a step: wait a minute; else add to {file}: rtcsync",
    doctor_unreachable_help: "see which: {command} chronyc -N sources -a\nname reachable servers in {file}",
    doctor_clock_down: "the time daemon does not answer: {error}",
    doctor_clock_down_help: "is the house up? {command} status",
    doctor_logged: "sent to {socket}",
    doctor_log_help: "is the log daemon up? {command} status",
    doctor_found: "{cursor}; clock {quality}",
    doctor_no_quality: "the record does not say whether the clock was synchronised (_CLOCK_SYNCED)",
    doctor_found_help: "what does the log daemon say? {command} journalctl -t logd -n 20",
    doctor_fired: "rule doctor, alert {id}",
    doctor_fired_help: "what does the alert daemon say? {command} journalctl -t alertd -n 20",
    doctor_accepted: "queue id {id}",
    doctor_accepted_help: "what waits in the queue, and why? {command} mailq",
    doctor_delivered: "{mailbox}, delivered to {recipient}",
    doctor_delivered_help: "look at the mailbox and its rights: ls -l {mailbox}",
    doctor_recorded: "status={status} dsn={dsn}",
    doctor_recorded_help: "look for it: {command} journalctl BANTO_EVENT=mail.delivery -n 20",
    doctor_timeout: "nothing came within {seconds} s",

    tour_intro: "\
A tour of the house in {dir}, in ten steps. Each shows a command, runs it, shows what came out, and says why it matters.
You can type each of these commands yourself.",
    tour_continue: "Enter: next step    q: end the tour > ",
    tour_step: "[{number}/10] {title}",
    tour_why: "Why: ",
    tour_failed: "This step did not show what it should: {error}",
    tour_end: "That was the tour. Next: change etc/banto.toml to your own rules, etc/aliases to your own names, and look at {web}.",
    tour_end_failed: "{count} of the ten steps did not show what they should. What is wrong: {command} doctor",
    tour_ended_early: "The tour ends here. Start it again any time: {command} tour",
    tour_waiting_for: "nothing came within {seconds} s",
    tour_rule_gone: "the rule or name that this step uses is no longer in {file}: you have changed it",
    tour_forward_kept: "{file} is yours, so the tour leaves it alone",
    tour_steps: [
        TourText {
            title: "What does the clock follow?",
            why: "Every record in the log carries a time. This shows how far that time can be trusted: Reference ID is the server that is followed, System time how far off the clock is.",
        },
        TourText {
            title: "Write a line to the log, and see where it went",
            why: "logger is how scripts speak to the log. user.info is facility and severity: who says it and how bad it is. The rules in etc/rsyslog.conf choose the file by them.",
        },
        TourText {
            title: "Find it again in the journal",
            why: "The journal keeps every record with its fields, trusted ones included (who wrote it, and whether the clock was right). -t chooses by program name; -o verbose shows all fields.",
        },
        TourText {
            title: "Log what a program prints",
            why: "systemd-cat runs a program, or takes a pipe, and turns each line into a record: no program needs to know about logs.",
        },
        TourText {
            title: "A rule chooses a file",
            why: "local0 to local7 are free for your own use. One line in etc/rsyslog.conf gives each its own file.",
        },
        TourText {
            title: "Send a mail and find it in the mailbox",
            why: "Mail on this host is a file: mail/USER. It is on disk before mail says that it was sent.",
        },
        TourText {
            title: "Another name for a recipient",
            why: "etc/aliases gives people more names (postmaster, helpdesk) and one name many people. newaliases takes a change up.",
        },
        TourText {
            title: "A user forwards mail",
            why: "A file .forward in a user's home says where that user's mail goes: on to another address, into a file, or both.",
        },
        TourText {
            title: "A word in the log becomes a mail",
            why: "The rule `word` in etc/banto.toml looks for these words in every record. The first mail goes at once; more of the same comes in one digest, so nobody is flooded.",
        },
        TourText {
            title: "Is the whole chain sound?",
            why: "The doctor sends a nonce through clock, log, rule, alert, mail and mailbox, and names the link that is broken. Run it after each change.",
        },
    ],
};
