//! Goal: what the distributions ship is accepted without a word, every form means what it should, and every mistake is told
//! with its place and with something to write. Method: texts in memory, settings and diagnostics compared.

use std::path::Path;

use conf_text::{Diagnostics, MemoryLoader, Sources};
use log_core::{ActionKind, MessageView, Peer, QueueKind, RateLimit, RuleSetId, Scratch, Stamp, Users};
use record::UnixMicros;
use rsyslog_conf::{InputKind, JournaldSettings, Settings, Storage, parse_journald, parse_rsyslog};

/// As Debian 12 ships it, in our own words.
const DEBIAN: &str = r#"
# local messages and the kernel's
module(load="imuxsock")
module(load="imklog")   # kernel
#module(load="immark")

$FileOwner root
$FileGroup adm
$FileCreateMode 0640
$DirCreateMode 0755
$Umask 0022
$WorkDirectory /var/spool/rsyslog
$IncludeConfig /etc/rsyslog.d/*.conf

*.*;auth,authpriv.none		-/var/log/syslog
auth,authpriv.*			/var/log/auth.log
cron.*				-/var/log/cron.log
kern.*				-/var/log/kern.log
mail.*				-/var/log/mail.log
user.*				-/var/log/user.log
*.emerg				:omusrmsg:*
"#;

/// As AlmaLinux 9 ships it, in our own words.
const ALMA: &str = r#"
global(workDirectory="/var/lib/rsyslog")
module(load="builtin:omfile" Template="RSYSLOG_TraditionalFileFormat")
module(load="imuxsock"    # the socket is read by the journal
       SysSock.Use="off") # so not by us
module(load="imjournal"
       UsePid="system"
       FileCreateMode="0644"
       StateFile="imjournal.state")
include(file="/etc/rsyslog.d/*.conf" mode="optional")

*.info;mail.none;authpriv.none;cron.none                /var/log/messages
authpriv.*                                              /var/log/secure
mail.*                                                  -/var/log/maillog
cron.*                                                  /var/log/cron
*.emerg                                                 :omusrmsg:*
uucp,news.crit                                          /var/log/spooler
local7.*                                                /var/log/boot.log
"#;

fn parse(text: &str) -> (Option<Settings>, String, usize) {
    let mut loader = MemoryLoader::new([
        ("/etc/rsyslog.conf", text),
        ("/etc/rsyslog.d/10-a.conf", "local1.* /var/log/included\n"),
        ("/circle.conf", "$IncludeConfig /circle.conf\n"),
    ]);
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let settings = parse_rsyslog(Path::new("/etc/rsyslog.conf"), &mut loader, &mut sources, &mut diagnostics);
    assert_eq!(settings.is_some(), !diagnostics.has_errors());
    (settings, diagnostics.render(&sources, false), diagnostics.list.len())
}

/// The names of the actions that take `raw`, joined with commas.
fn taken(settings: &Settings, raw: &str) -> String {
    let message = syslog_proto::parse(raw.as_bytes(), syslog_proto::Origin::Network);
    let peer = Peer {
        hostname: b"peer",
        address: b"192.0.2.1",
        local_hostname: b"here",
        input_name: "imudp",
        clock: None,
    };
    let view = MessageView::new(&message, peer, Stamp::from_unix(UnixMicros(1_795_363_288_000_000), 0));
    let mut names = Vec::new();
    settings.rules.run(
        RuleSetId(0),
        &view,
        &mut Scratch::default(),
        &mut |_, action: &log_core::Action, _: &MessageView<'_>| names.push(action.name.clone()),
    );
    names.join(",")
}

fn clean(text: &str) -> Settings {
    let (settings, report, findings) = parse(text);
    assert_eq!(findings, 0, "{text}\n{report}");
    settings.expect("no errors")
}

#[test]
fn debian_12() {
    let settings = clean(DEBIAN);
    assert_eq!(settings.globals.work_directory.as_deref(), Some(Path::new("/var/spool/rsyslog")));
    assert_eq!(settings.globals.umask, Some(0o022));
    assert_eq!(settings.inputs.len(), 2);
    assert!(matches!(settings.inputs[0].kind, InputKind::UnixDatagram { path: None, is_system: true, .. }));
    assert!(matches!(settings.inputs[1].kind, InputKind::Kernel { .. }));
    for (raw, expected) in [
        ("<38>x y: z", "/var/log/auth.log"),
        ("<142>x y: z", "/var/log/included,/var/log/syslog"),
        ("<16>x y: z", "/var/log/syslog,/var/log/mail.log,:omusrmsg:*"),
        ("<80>x y: z", "/var/log/auth.log,:omusrmsg:*"),
        ("<999>x", "/var/log/syslog"),
    ] {
        assert_eq!(taken(&settings, raw), expected, "{raw}");
    }
    let ActionKind::File { options, .. } = &settings.rules.actions()[1].kind else { panic!("a file") };
    assert_eq!((options.owner.as_deref(), options.group.as_deref()), (Some("root"), Some("adm")));
    assert_eq!((options.file_mode, options.dir_mode, options.sync), (0o640, 0o755, false));
    assert_eq!(settings.rules.actions()[1].template.name(), "RSYSLOG_FileFormat");
}

#[test]
fn almalinux_9() {
    let settings = clean(ALMA);
    assert_eq!(settings.inputs.len(), 1);
    let InputKind::Journal { state_file, use_pid_from_system, .. } = &settings.inputs[0].kind else {
        panic!("imjournal")
    };
    assert_eq!((state_file.as_deref(), *use_pid_from_system), (Some(Path::new("imjournal.state")), true));
    for (raw, expected) in [
        ("<14>x y: z", "/var/log/messages"),
        ("<15>x y: z", ""),
        ("<22>x y: z", "/var/log/maillog"),
        ("<58>x y: z", "/var/log/messages,/var/log/spooler"),
        ("<190>x y: z", "/var/log/messages,/var/log/boot.log"),
    ] {
        assert_eq!(taken(&settings, raw), expected, "{raw}");
    }
    assert_eq!(settings.rules.actions()[1].template.name(), "RSYSLOG_TraditionalFileFormat");
}

#[test]
fn forms_of_rules() {
    let check = |text: &str, raw: &str, expected: &str| {
        let (settings, report, _) = parse(text);
        let settings = settings.unwrap_or_else(|| panic!("{text}\n{report}"));
        assert_eq!(taken(&settings, raw), expected, "{text} on {raw}");
    };
    const MAIL: &str = "<22>Oct 11 22:14:15 h postfix/smtp[7]: a b";
    check("mail.*  /a\n& /b\n& stop\n*.* /c", MAIL, "/a,/b");
    check("mail.*  ~\n*.* /c", MAIL, "");
    check("*.*  @h\n& @@h:99\n& @@(o,z0)[::1]:5\n", MAIL, "@h:514,@@h:99,@@::1:5");
    check(
        "*.* root,joe\n*.* *\n*.* |/fifo\n*.* :omusrmsg:a, b",
        MAIL,
        ":omusrmsg:root,joe,:omusrmsg:*,|/fifo,:omusrmsg:a,b",
    );
    check("$template N,\"/var/%programname%\"\n*.* ?N;RSYSLOG_FileFormat", MAIL, "?N");
    check(
        ":msg, contains, \"b\" /a\n:msg,!contains,\"b\" /b\n:syslogtag, startswith, \"post\" { /c\n /d\n }",
        MAIL,
        "/a,/c,/d",
    );
    check(
        ":programname, isequal, \"postfix\" /a\n:msg, isempty /b\n:msg, ereregex, \"^ (a|x)\" /c",
        MAIL,
        "/a,/c",
    );
    check("*.=info;\\\n  user.none /a", MAIL, "/a");
    check("if $msg contains 'a' and $syslogfacility-text == 'mail' then /a\nelse /b\n& /c", MAIL, "/a");
    check(
        "if $msg contains 'x' then { /a\n stop } else if $programname == [\"no\", \"postfix\"] then { /b }\n",
        MAIL,
        "/b",
    );
    check(
        "if prifilt(\"mail.info\") and not ($msg contains 'z') then action(type=\"omfile\" file=\"/a\" name=\"n\")",
        MAIL,
        "n",
    );
    check("if re_match($msg, '^ a') or $syslogseverity <= 3 then /a", MAIL, "/a");
    check("if $syslogseverity <= 3 then /a", MAIL, "");
    check("if tolower($hostname) & \"x\" == 'hx' then /a", MAIL, "/a");
    check("if field($msg, 32, 3) == 'b' then /a", MAIL, "/a");
    check("ruleset(name=\"r\") { mail.* /a\n kern.* stop }\n*.* call r\n*.* /b", MAIL, "/a,/b");
    check("/* a\n comment */ *.* /a # after", MAIL, "/a");
    check(
        "*.* { action(type=\"omfile\" file=\"/a\") }\n*.* action(type=\"omfwd\" target=\"h\" port=\"1\" protocol=\"tcp\")",
        MAIL,
        "/a,@@h:1",
    );
    check("include(text=\"*.* /a\")", MAIL, "/a");
    check("$RuleSet other\n*.* /a\n$RuleSet RSYSLOG_DefaultRuleset\n*.* /b", MAIL, "/b");
}

#[test]
fn inputs_and_queues() {
    let (settings, report, findings) = parse(
        r#"module(load="imudp") module(load="imtcp" MaxSessions="7")
        input(type="imudp" address="127.0.0.1" port="5514" ruleset="r" rateLimit.interval="5" rateLimit.burst="9")
        input(type="imtcp" port="0" supportOctetCountedFraming="off")
        ruleset(name="r") { *.* /r }
        $ModLoad imuxsock.so
        $AddUnixListenSocket /run/x
        $OmitLocalLogging on
        $ActionQueueType LinkedList
        $ActionQueueFileName fwd
        $ActionQueueMaxDiskSpace 1g
        $ActionResumeRetryCount -1
        *.* @@h
        *.* @@i
        main_queue(queue.size="5000")
        $PrivDropToUser syslog
        $RepeatedMsgReduction on
        $MaxMessageSize 64k"#,
    );
    for name in ["`$ActionQueueFileName`", "`queue.size`", "`$RepeatedMsgReduction`"] {
        assert!(report.contains(&format!("{name} is known and has no effect here")), "{report}");
    }
    assert_eq!(findings, 3, "{report}");
    let settings = settings.expect("no errors");
    let udp = &settings.inputs[0];
    assert_eq!(udp.ruleset, RuleSetId(1));
    assert_eq!(udp.rate_limit, RateLimit { interval_micros: 5_000_000, burst: 9 });
    assert!(
        matches!(&udp.kind, InputKind::Udp { address: Some(address), port: 5514, .. } if address == "127.0.0.1")
    );
    assert!(matches!(
        &settings.inputs[1].kind,
        InputKind::Tcp { port: 0, framing, sessions_max: 7, .. } if !framing.octet_counted
    ));
    assert!(matches!(
        &settings.inputs[2].kind,
        InputKind::UnixDatagram { path: Some(_), is_system: false, .. }
    ));
    assert_eq!(settings.inputs.len(), 3);
    let actions = settings.rules.actions();
    let queue = &actions[actions.len() - 2].queue;
    assert_eq!(
        (queue.settings.kind, queue.settings.filename.as_deref()),
        (QueueKind::LinkedList, Some("fwd"))
    );
    assert_eq!((queue.settings.disk_bytes_max, queue.retry.count), (Some(1 << 30), None));
    let next = &actions[actions.len() - 1].queue;
    assert_eq!((next.settings.kind, next.retry.count), (QueueKind::Direct, Some(0)));
    assert_eq!(settings.main_queue.size, Some(5000));
    assert_eq!(settings.globals.privilege_user.as_deref(), Some("syslog"));
    assert!(settings.globals.repeated_message_reduction);
    assert_eq!(settings.globals.message_bytes_max, 64 << 10);
}

#[test]
fn list_templates() {
    let settings = clean(
        r#"template(name="L" type="list") {
            constant(value="{\"m\":\"") property(name="msg" position.from="2" format="json" caseConversion="upper")
            constant(value="\",") property(outname="h" name="hostname" format="jsonf") constant(value="}\n")
        }
        action(type="omusrmsg" users="root" template="L")"#,
    );
    let action = &settings.rules.actions()[0];
    assert!(matches!(&action.kind, ActionKind::Users(Users::Named(names)) if names == &["root"]));
    let message = syslog_proto::parse(b"<13>Oct 11 22:14:15 h t: a\"b", syslog_proto::Origin::Network);
    let peer = Peer { hostname: b"", address: b"", local_hostname: b"", input_name: "", clock: None };
    let mut out = Vec::new();
    action.template.render(&MessageView::new(&message, peer, Stamp::default()), &mut out);
    assert_eq!(String::from_utf8_lossy(&out), "{\"m\":\"A\\\"B\",\"h\":\"h\"}\n");
}

/// Each mistake: its line and column, what is wrong, what to write.
#[test]
fn mistakes_are_told() {
    let check = |text: &str, place: &str, cause: &str, help: &str| {
        let (settings, report, findings) = parse(text);
        assert!(settings.is_none(), "{text} was accepted");
        assert_eq!(findings, 1, "{report}");
        for part in [format!("/etc/rsyslog.conf:{place}").as_str(), cause, &format!("help: {help}")] {
            assert!(report.contains(part), "`{part}` is missing for {text}:\n{report}");
        }
    };
    check("mial.* /a", "1:1", "`mial` is not a facility", "did you mean `mail`?");
    check(
        "mail.* var/log/mail",
        "1:8",
        "`var/log/mail` is neither a user nor a file",
        "write `/var/log/mail`",
    );
    check("*.*;\\\n  mail.eror /a", "2:8", "`eror` is not a severity", "did you mean");
    check("*.info", "1:1", "a selector has no action", "write what to do");
    check("$FileOwnr root", "1:1", "`$FileOwnr` is not a directive", "did you mean `$FileOwner root`?");
    check("$FileCreateMode 640", "1:17", "`640` is not a mode", "write a zero");
    check("$WorkDirectory", "1:1", "has no value", "");
    check(
        "\n$UDPServerRun 514",
        "2:15",
        "the module `imudp` is not loaded",
        "write before it: $ModLoad imudp",
    );
    check(
        "input(type=\"imtcp\" port=\"1\")",
        "1:12",
        "the module `imtcp` is not loaded",
        "write before it: module(load=\"imtcp\")",
    );
    check(
        "module(load=\"imupd\")",
        "1:13",
        "`imupd` is not a module",
        "did you mean `module(load=\"imudp\")`?",
    );
    check(
        "module(load=\"imudp\")\ninput(type=\"imudp\" prot=\"1\")",
        "2:20",
        "has no parameter `prot`",
        "did you mean `port`?",
    );
    check("module(load=\"imudp\")\ninput(type=\"imudp\")", "2:1", "lacks a parameter", "add port=\"514\"");
    check("modul(load=\"imudp\")", "1:1", "`modul()` is not an object", "did you mean `module(...)`?");
    check(
        "action(type=\"omfil\" file=\"/a\")",
        "1:13",
        "`omfil` is not an action",
        "did you mean `type=\"omfile\"`?",
    );
    check("action(type=\"omfile\" file=/a)", "1:27", "is not in quotes", "write `file=");
    check("action(type=\"omfile\")", "1:1", "the action has no `file`", "add `file=");
    check("*.* /a;Nope", "1:8", "there is no template `Nope`", "write before it: $template Nope");
    check("$template T,\"%mgs%\"", "1:15", "`mgs` is not a property", "did you mean `msg`?");
    check(":mgs, contains, \"x\" /a", "1:2", "`mgs` is not a property", "did you mean `:msg, ...`?");
    check(":msg, contain, \"x\" /a", "1:7", "`contain` is not a test", "did you mean `contains`?");
    check(":msg, ereregex, \"(\" /a", "1:17", "not a regular expression", "correct the pattern");
    check("if $mgs == 'x' then /a", "1:4", "`$mgs` is not a property", "did you mean `$msg`?");
    check("if $msg == 'x' stop", "1:16", "`then` is expected", "write `if");
    check("if ($msg == 'x' then /a", "1:17", "a parenthesis is not closed", "write `)` here");
    check("if $!usr == 'x' then /a", "1:4", "`$!usr` is not supported yet", "use a property");
    check("if re_mach($msg, 'x') then /a", "1:4", "`re_mach` is not a function", "did you mean `re_match`?");
    check("*.* { /a", "1:5", "a block is not closed", "write `}`");
    check("*.* /a *.* /b", "1:8", "`*.*` follows an action", "write it on a line");
    check("}", "1:1", "a brace closes no block", "take it out");
    check(
        "nonsense",
        "1:1",
        "`nonsense` is neither a selector nor a statement",
        "for the user nonsense write",
    );
    check("sotp", "1:1", "`sotp` is neither a selector nor a statement", "did you mean `stop`?");
    check("& /a", "1:1", "`&` continues a rule", "write the whole rule");
    check("*.* @", "1:6", "no host is named", "write `@host:514`");
    check("*.* @@(q)h", "1:8", "`q` is not an option of a forward", "options are");
    check("*.* call nowhere", "1:10", "there is no ruleset `nowhere`", "write: ruleset");
    let (_, report, _) = parse("ruleset(name=\"a\") { call a }");
    assert!(report.contains("the ruleset `a` calls itself"), "{report}");
    check("$AllowedSender UDP, 10.0.0.0/8", "1:1", "`$AllowedSender` is not supported yet", "bind the input");
    check("!prog", "1:1", "BSD's manner", "write `if");
    check("include(file=\"/missing.conf\")", "1:14", "there is no file /missing.conf", "create it");
    // As stock rsyslogd 8.2302 has it: an error too.
    check("$IncludeConfig /missing.conf", "1:16", "there is no file /missing.conf", "create it");
    check(
        "template(name=\"t\" type=\"list\") { property(name=\"mgs\") }",
        "1:48",
        "`mgs` is not a property",
        "did you mean `msg`?",
    );
    let (_, report, findings) = parse("$IncludeConfig /circle.conf");
    assert!(findings == 1 && report.contains("files include each other in a circle"), "{report}");
}

/// A bad line keeps the good ones: all mistakes are told at once, each on its own line.
#[test]
fn all_mistakes_at_once() {
    let (settings, report, findings) =
        parse("$Wrong 1\nmail.* /a\nmial.* /b\nif $mgs == 'x' then { mial.* /c\n }\n*.* /d;Nope\n");
    assert!(settings.is_none());
    assert_eq!(findings, 5, "{report}");
    for line in [1, 3, 4, 6] {
        assert!(report.contains(&format!("/etc/rsyslog.conf:{line}:")), "line {line}:\n{report}");
    }
}

/// What rsyslog knows and we do not support yet is a warning by name, and the rest of the file holds.
#[test]
fn not_yet_is_a_warning() {
    for (text, name) in [
        ("module(load=\"imfile\")\n*.* /a", "the module `imfile`"),
        ("$ModLoad immark\n*.* /a", "the module `immark`"),
        ("$ActionFileZipLevel 3\n*.* /a", "`$ActionFileZipLevel`"),
        ("global(debug.gnutls=\"1\")\n*.* /a", "the parameter `debug.gnutls`"),
        ("action(type=\"omfile\" file=\"/a\" asyncWriting=\"on\")", "the parameter `asyncWriting`"),
        ("*.* /a\n*.* :ommysql:h,d,u,p", "the action `:ommysql:`"),
        ("*.* /a\naction(type=\"omprog\" binary=\"/x\")", "the action `omprog`"),
        ("lookup_table(name=\"x\" file=\"/y\")\n*.* /a", "`lookup_table()`"),
    ] {
        let (settings, report, findings) = parse(text);
        assert_eq!(findings, 1, "{report}");
        assert!(report.contains(&format!("warning: {name}")), "{text}:\n{report}");
        assert_eq!(taken(&settings.expect("only a warning"), "<13>h t: m"), "/a");
    }
}

/// Two traps of the language, which the stock daemon keeps silent about.
#[test]
fn traps_are_warned_of() {
    for (text, cause) in [
        ("if not $msg contains 'x' then /a", "`not` belongs to the word after it"),
        ("if $msg == 'a' or $msg == 'b' and $msg == 'c' then /a", "does not bind tighter than `or`"),
    ] {
        let (settings, report, findings) = parse(text);
        assert!(settings.is_some() && findings == 1 && report.contains(cause), "{report}");
    }
    clean("if not ($msg contains 'x') then /a");
    clean("if $msg == 'a' and $msg == 'b' or $msg == 'c' then /a");
}

/// Goal: no text panics, hangs or exhausts the stack. Method: good texts cut, joined and with bytes exchanged.
#[test]
fn noise() {
    let seeds = [
        DEBIAN,
        ALMA,
        "if not ($msg contains 'x' and re_match($msg, '(')) then { action(type=\"omfile\" file=\"/a\") stop } else /b\n& /c",
        "template(name=\"L\" type=\"list\") { constant(value=\"x\") property(name=\"msg\" regex.expression=\"a\") }",
        ":msg, !ereregex, \"a\\\"b\" @@(o,z0)[::1]:514;T\n$template T,\"%msg:R,ERE,0,DFLT:x--end%\\n\"",
        "é日本\0\u{7f}\\\n{{{}}}((()))$%&'\"",
    ];
    let mut state = 7u64;
    let mut random = move |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound.max(1)
    };
    for _ in 0..3000 {
        let mut bytes = Vec::new();
        for _ in 0..2 {
            let seed = seeds[random(seeds.len())].as_bytes();
            let (from, length) = (random(seed.len()), random(300));
            bytes.extend_from_slice(&seed[from..seed.len().min(from + length)]);
        }
        for _ in 0..random(6) {
            let at = random(bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte = b"\"'(){}[]$:;,.&@?|-~*!\\\n #%\xff\x00"[random(28)];
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (_, report, findings) = parse(&text);
        assert_eq!(report.is_empty(), findings == 0);
        journald(&text);
    }
    let deep = format!("if {}1", "(".repeat(3_000));
    assert!(parse(&deep).0.is_none());
    assert!(parse(&"*.* { ".repeat(3_000)).0.is_none());
    assert!(parse(&"if 1 then ".repeat(3_000)).0.is_none());
    assert!(parse(&format!("if {}1 then /a", "not ".repeat(3_000))).0.is_none());
}

fn journald(text: &str) -> (Option<JournaldSettings>, String, usize) {
    let mut loader = MemoryLoader::new([("/etc/systemd/journald.conf", text)]);
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let path = Path::new("/etc/systemd/journald.conf");
    let settings = parse_journald(path, &mut loader, &mut sources, &mut diagnostics);
    (settings, diagnostics.render(&sources, false), diagnostics.list.len())
}

#[test]
fn journald_conf() {
    let (settings, report, findings) = journald(
        "[Journal]\n#Storage=auto\nStorage=persistent\nSystemMaxUse=2G\nSystemMaxFileSize = 64M\nSyncIntervalSec=1min 30s\n\
         RateLimitIntervalSec=10s\nRateLimitBurst=500\nForwardToSyslog=yes\nMaxRetentionSec=2weeks\nCompress=no\nLineMax=8K\n\
         MaxLevelStore=info\nSeal=no\n",
    );
    assert_eq!(findings, 0, "{report}");
    let settings = settings.expect("no errors");
    assert_eq!(settings.storage, Storage::Persistent);
    assert_eq!((settings.system.use_max, settings.system.file_max), (Some(2 << 30), Some(64 << 20)));
    assert_eq!(settings.sync_interval_micros, 90_000_000);
    assert_eq!(settings.rate_limit, RateLimit { interval_micros: 10_000_000, burst: 500 });
    assert_eq!(settings.retention_micros, 14 * 86_400 * 1_000_000);
    assert_eq!((settings.compress_bytes_min, settings.line_bytes_max), (None, 8192));
    assert_eq!((settings.max_levels.store, settings.seal), (6, false));
    assert_eq!(settings.forward_to_syslog.map(|forward| forward.value), Some(true));
    assert_eq!(
        journald("[Journal]\nCompress=1K\n").0.map(|settings| settings.compress_bytes_min),
        Some(Some(1024))
    );
    assert_eq!(journald("").0, Some(JournaldSettings::default()));
    let check = |text: &str, place: &str, cause: &str, help: &str| {
        let (_, report, findings) = journald(text);
        assert_eq!(findings, 1, "{report}");
        for part in [format!("journald.conf:{place}").as_str(), cause, help] {
            assert!(report.contains(part), "`{part}` is missing for {text}:\n{report}");
        }
    };
    check("[Journal]\nStorge=auto", "2:1", "`Storge` is not a setting", "did you mean `Storage=auto`?");
    check("[Journal]\nStorage=disk", "2:9", "`disk` is not a kind of storage", "write `volatile`");
    check("[Journal]\nSyncIntervalSec=5x", "2:17", "`5x` is not a time span", "30s");
    check("[Journal]\nSystemMaxUse=lots", "2:14", "`lots` is not a size", "64k");
    check("[Jornal]\nStorage=auto", "1:1", "`[Jornal]` is not a section", "write `[Journal]`");
    check("Storage=auto", "1:1", "before any section", "write `[Journal]`");
    check("[Journal]\nStorage", "2:1", "`Name=value`", "write `Storage=...`");
    check("[Journal]\nAudit=yes", "2:1", "warning: `Audit` is not supported yet", "");
}

/// Goal: the tables are complete enough to make a manual page of, and name nothing twice in one place.
#[test]
fn tables_document_themselves() {
    let all: Vec<_> =
        rsyslog_conf::documented_rsyslog().into_iter().chain(rsyslog_conf::documented_journald()).collect();
    for entry in &all {
        assert!(
            !entry.syntax.is_empty() && !entry.default.is_empty() && entry.doc.ends_with('.'),
            "{entry:?}"
        );
    }
    for place in ["$", "global()", "action(omfile)", "[Journal]", "queue"] {
        let mut names: Vec<String> =
            all.iter().filter(|entry| entry.place == place).map(|entry| entry.name.to_lowercase()).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert!(count > 0 && names.len() == count, "{place} names something twice");
    }
}

/// Goal: what is read and changes nothing is one warning by name with a help, and what works, or asks for what happens
/// anyway, is none.
#[test]
fn what_has_no_effect_is_said_by_name() {
    let check = |text: &str, expected: &str| {
        let (settings, report, findings) = parse(text);
        assert!(settings.is_some(), "{text}\n{report}");
        match expected {
            "" => assert_eq!(findings, 0, "{text}\n{report}"),
            name => {
                assert_eq!(findings, 1, "{text}\n{report}");
                let said = format!("warning: `{name}` is known and has no effect here");
                assert!(report.contains(&said) && report.contains("help: "), "{text}\n{report}");
            }
        }
    };
    check("$RepeatedMsgReduction on\n*.* /a", "$RepeatedMsgReduction");
    check("$RepeatedMsgReduction off\n*.* /a", "");
    check("global(net.enableDNS=\"on\")\n*.* /a", "net.enableDNS");
    check("global(net.enableDNS=\"off\")\n*.* /a", "");
    check(
        "module(load=\"imuxsock\")\ninput(type=\"imuxsock\" Socket=\"/s\" CreatePath=\"off\")",
        "CreatePath",
    );
    check(
        "main_queue(queue.type=\"Direct\" queue.workerThreads=\"1\" queue.saveOnShutdown=\"off\")\n*.* /a",
        "",
    );
    check("$MainMsgQueueSize 50000\n*.* /a", "$MainMsgQueueSize");
    // Every parameter of a queue changes nothing for the main queue, and for a file.
    let values = [
        ("type", "LinkedList"),
        ("filename", "q"),
        ("spoolDirectory", "/q"),
        ("size", "10"),
        ("dequeueBatchSize", "10"),
        ("highWatermark", "10"),
        ("lowWatermark", "10"),
        ("discardMark", "10"),
        ("discardSeverity", "5"),
        ("maxFileSize", "1m"),
        ("maxDiskSpace", "1m"),
        ("syncQueueFiles", "on"),
        ("saveOnShutdown", "on"),
        ("workerThreads", "2"),
        ("timeoutEnqueue", "10"),
        ("timeoutShutdown", "10"),
    ];
    let queue_entries = rsyslog_conf::documented_rsyslog();
    assert_eq!(queue_entries.iter().filter(|entry| entry.place == "queue").count(), values.len());
    let work = "global(workDirectory=\"/w\")\n";
    let works_for_tcp = [
        "type",
        "filename",
        "spoolDirectory",
        "maxDiskSpace",
        "maxFileSize",
        "syncQueueFiles",
        "saveOnShutdown",
        "timeoutShutdown",
    ];
    for (name, value) in values {
        let parameter = format!("queue.{name}");
        check(&format!("main_queue({parameter}=\"{value}\")\n*.* /a"), &parameter);
        check(&format!("*.* action(type=\"omfile\" file=\"/a\" {parameter}=\"{value}\")"), &parameter);
        let forward = |protocol: &str| {
            format!(
                "{work}*.* action(type=\"omfwd\" target=\"h\" protocol=\"{protocol}\" {parameter}=\"{value}\")"
            )
        };
        check(&forward("tcp"), if works_for_tcp.contains(&name) { "" } else { &parameter });
        let works_for_udp = ["type", "timeoutShutdown"].contains(&name);
        check(&forward("udp"), if works_for_udp { "" } else { &parameter });
        let legacy = format!("$ActionQueue{}{}", name[..1].to_uppercase(), &name[1..]);
        check(&format!("{legacy} {value}\n*.* /a"), &legacy);
    }
    check("$ActionQueueFileName q\n*.* @@h", "$ActionQueueFileName");
    check("$ActionQueueSaveOnShutdown on\n*.* @@h", "$ActionQueueSaveOnShutdown");
    check(&format!("{work}$ActionQueueSaveOnShutdown off\n*.* @@h"), "$ActionQueueSaveOnShutdown");
    check(&format!("{work}$ActionQueueType Disk\n*.* @@h"), "$ActionQueueType");
    check(&format!("{work}$ActionQueueType Direct\n*.* @@h"), "$ActionQueueType");
    // Only the action that comes next.
    check("$ActionQueueSize 9\n*.* /a\n*.* /b", "$ActionQueueSize");
    check("$ActionResumeRetryCount -1\n$ActionResumeInterval 5\n*.* @@h", "");
    check("$ActionResumeRetryCount 0\n*.* @@h", "$ActionResumeRetryCount");
    check("$ActionResumeRetryCount -1\n*.* /a", "$ActionResumeRetryCount");
    check("$ActionResumeInterval 5\n*.* /a", "$ActionResumeInterval");
    check(
        "*.* action(type=\"omfwd\" target=\"h\" action.resumeIntervalMax=\"9\")",
        "action.resumeIntervalMax",
    );
    check("*.* @(z0)h", "");
    for text in ["*.* @(z9)h", "*.* @@(o,z1)h", "*.* action(type=\"omfwd\" target=\"h\" ziplevel=\"3\")"] {
        let (settings, report, _) = parse(text);
        assert!(settings.is_none() && report.contains("asks for compression"), "{report}");
        assert!(
            report.contains("rsyslog.conf:1:") && report.contains("help: leave the compression out"),
            "{report}"
        );
    }
}

/// Goal: the same for journald.conf.
#[test]
fn what_has_no_effect_in_the_journal_is_said_by_name() {
    for (line, warns) in [
        ("Seal=yes", true),
        ("Seal=no", false),
        ("SplitMode=uid", true),
        ("SplitMode=none", false),
        ("Compress=1M", true),
        ("Compress=yes", false),
        ("ForwardToKMsg=yes", true),
        ("ForwardToKMsg=no", false),
        ("ForwardToConsole=yes", true),
        ("ForwardToWall=yes", true),
        ("ForwardToWall=no", false),
        ("TTYPath=/dev/tty9", true),
        ("MaxLevelStore=info", false),
        ("MaxLevelSyslog=info", true),
        ("MaxLevelKMsg=info", true),
        ("MaxLevelConsole=info", true),
        ("MaxLevelWall=info", true),
        (
            "Storage=volatile\nRuntimeMaxUse=1M\nRuntimeKeepFree=1M\nRuntimeMaxFileSize=1M\nRuntimeMaxFiles=5",
            false,
        ),
    ] {
        let (settings, report, findings) = journald(&format!("[Journal]\n{line}\n"));
        assert!(settings.is_some(), "{line}\n{report}");
        assert_eq!(findings, usize::from(warns), "{line}\n{report}");
        let name = line.split('=').next().unwrap_or("");
        let said = format!("warning: `{name}` is known and has no effect here");
        assert_eq!(report.contains(&said) && report.contains("help: "), warns, "{report}");
    }
}

/// Goal: the page about compatibility names every setting of journald.conf and every parameter of a queue.
#[test]
fn the_page_about_compatibility_is_complete() {
    let page = include_str!("../../../../docs/compatibility.md");
    let words: Vec<&str> = page.split(|letter: char| !letter.is_ascii_alphanumeric()).collect();
    let queue = rsyslog_conf::documented_rsyslog().into_iter().filter(|entry| entry.place == "queue");
    for entry in rsyslog_conf::documented_journald().into_iter().chain(queue) {
        let name = entry.name.trim_start_matches("queue.");
        assert!(words.contains(&name), "docs/compatibility.md does not name {name}");
    }
}
