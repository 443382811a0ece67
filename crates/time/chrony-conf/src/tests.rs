//! Tests of the whole: text in, settings or messages out.

use std::path::Path;

use conf_text::{Diagnostics, MemoryLoader, Sources};

use crate::*;

struct Outcome {
    settings: Settings,
    sources: Sources,
    diagnostics: Diagnostics,
}

fn load_files(files: &[(&str, &str)]) -> Outcome {
    let mut loader = MemoryLoader::new(files.iter().copied());
    let mut settings = Settings::new(&layout::Layout::system());
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    load(Path::new("/c"), &mut settings, &mut loader, &mut sources, &mut diagnostics);
    let more = load_source_dirs(&settings, &mut loader, &mut sources, &mut diagnostics);
    settings.sources.extend(more);
    Outcome { settings, sources, diagnostics }
}

fn clean(text: &str) -> Settings {
    let outcome = load_files(&[("/c", text)]);
    assert_eq!(outcome.diagnostics.render(&outcome.sources, false), "", "{text}");
    outcome.settings
}

/// Goal: Debian's file is understood; what has no effect is said and nothing else.
#[test]
fn the_file_of_debian_loads() {
    let text = "confdir /etc/chrony/conf.d\npool 2.debian.pool.ntp.org iburst\nsourcedir /run/chrony-dhcp\n\
                keyfile /etc/chrony/chrony.keys\ndriftfile /var/lib/chrony/chrony.drift\nntsdumpdir /var/lib/chrony\n\
                logdir /var/log/chrony\nmaxupdateskew 100.0\nrtcsync\nmakestep 1 3\nleapsectz right/UTC\n";
    let Outcome { settings, diagnostics, sources } = load_files(&[("/c", text)]);
    assert!(!diagnostics.has_errors());
    let said = diagnostics.render(&sources, false);
    assert_eq!(diagnostics.warning_count(), 0, "{said}");
    assert_eq!(settings.makestep, Some(Makestep { threshold: 1.0, limit: Some(3) }));
    assert!(settings.rtcsync);
    assert_eq!(settings.max_update_skew, 100.0);
    assert_eq!(settings.key_file.as_deref(), Some(Path::new("/etc/chrony/chrony.keys")));
    assert_eq!(settings.sources.len(), 1);
    assert!(settings.sources[0].options.iburst);
    assert_eq!(settings.sources[0].kind, SourceKind::Pool);
}

/// Goal: words in any case, comments of four kinds, blanks of any kind, no end of line at the end.
#[test]
fn lines_are_read_as_chrony_reads_them() {
    let settings =
        clean("! a\n; b\n# c\n  % d\n\n\t Server\t a.example  MINPOLL 4 MaxPoll 4\r\nRTCSYNC\nPort 0");
    assert_eq!(settings.sources[0].name, "a.example");
    assert_eq!((settings.sources[0].options.minpoll, settings.sources[0].options.maxpoll), (4, 4));
    assert!(settings.rtcsync);
    assert_eq!(settings.port, 0);
}

/// Goal: what is rendered reads back as the same settings, whatever was set.
#[test]
fn what_is_rendered_reads_back() {
    let read = |text: &str| {
        let outcome = load_files(&[("/c", text)]);
        let said = outcome.diagnostics.render(&outcome.sources, false);
        assert!(!outcome.diagnostics.has_errors(), "{said}");
        (outcome.settings, said)
    };
    let check = |text: &str| {
        let (settings, said) = read(text);
        let (again, said_again) = read(&settings.render());
        assert_eq!(again, settings, "{}", settings.render());
        assert_eq!(said.matches("warning").count(), said_again.matches("warning").count(), "{said_again}");
    };
    check("");
    check(
        "server a.example iburst minpoll 4 maxpoll 6 prefer key 7 version 3 maxdelay 0.5 offset -0.001 ipv6 port 12 offline\n\
         pool b.example maxsources 2 noselect trust require ipv4\nsourcedir /x /y\ndriftfile /d interval 60\nmakestep 0.1 -1\nrtcsync\n\
         allow\ndeny all 10.1\nallow 10.1.2.3\nallow host.example\ncmdallow all ::1/64\ncmddeny\n\
         local stratum 5 distance 0.25\nport 0\nbindaddress 127.0.0.1\nbindaddress ::1\ncmdport 0\nbindcmdaddress /\n\
         bindcmdaddress 127.0.0.2\nlogdir /l\nlog rawmeasurements tracking\nlogchange 0.5\nkeyfile /k\nmaxupdateskew 5\n\
         maxslewrate 500\nmaxdrift 100\nmaxclockerror 2\nmaxdistance 1\nmaxjitter 0.1\nminsources 3\nstratumweight 0\n\
         reselectdist 0.01\ncombinelimit 0\npidfile /\nuser _chrony\ndumpdir /v\n",
    );
}

/// Goal: every directive of chrony 4.8 is read into its setting, and what is shown reads back as the same settings.
#[test]
fn every_directive_is_read_and_shown() {
    let text = "refclock PPS /dev/pps0:clear lock NMEA refid GPS rate 5 maxlockage 3 width 0.1\n\
        refclock SHM 1:perm=0644 offset 0.5 delay 0.2 noselect filter 16 poll -2 dpoll -3\n\
        refclock SOCK /run/s.sock prefer trust require tai local pps stratum 3 precision 1e-7 maxdispersion 0.1 minsamples 5 maxsamples 9 maxunreach 7\n\
        refclock PHC /dev/ptp0:extpps:pin=-1:channel=2:nocrossts:clear\n\
        hwtimestamp eth0 minpoll -2 maxpoll 3 minsamples 3 maxsamples 20 precision 1e-8 txcomp 3e-7 rxcomp 6e-7 nocrossts rxfilter ptp\nhwtimestamp *\n\
        hwtstimeout 0.01\nmaxtxbuffers 1024\nminstratum 2\nmaxstratum 4\nptpport 319\nptpdomain 7\nacquisitionport 0\nbindacqaddress 192.0.2.1\nbindacqaddress ::1\n\
        bindacqdevice eth1\nbinddevice eth2\nbindcmddevice eth3\ndscp 46\nminsamples 8\nmaxsamples 32\nrefresh 0\nmanual\n\
        initstepslew 30 a b\nauthselectmode require\nclockprecision 8e-9\ncorrtimeratio 2\nfallbackdrift 16 19\n\
        leapsecmode slew\nleapsectz right/UTC\nleapseclist /l\nmaxchange 1000 1 -1\ntempcomp /t 30 26000 0 0.000183 0\n\
        smoothtime 400 0.001024 leaponly\nbroadcast 64 192.0.2.255\nbroadcast 32 ff02::101 12123\nclientloglimit 1048576\n\
        noclientlog\nntpsigndsocket /s\nratelimit interval -40x\n";
    let text = text.replace("interval -40x", "interval -30 burst 16 leak 9 kod 2");
    let more = "cmdratelimit\nntsratelimit interval 3 burst 1\nopencommands tracking SOURCES\nntsserverkey /k1\nntsserverkey /k2\n\
        ntsservercert /c1\nntsservercert /c2\nntsport 4461\nntsprocesses 0\nmaxntsconnections 7\nntsrotate 0\n\
        ntsntpserver ntp.example\nntsdumpdir /d\nntsaeads 15\nntsrefresh 60\nntstrustedcerts /t0\nntstrustedcerts 1 /t1\n\
        nosystemcert\nnocerttimecheck 1\nrtcfile /r\nrtcdevice /dev/rtc1\nrtcautotrim 30\nrtconutc\nhwclockfile /h\n\
        logbanner 0\nmailonchange root@localhost 0.5\nlock_all\nsched_priority 1\nlocal orphan activate 0.5 waitsynced 10\n";
    let read = |text: &str| {
        let outcome = load_files(&[("/c", text)]);
        assert!(!outcome.diagnostics.has_errors(), "{}", outcome.diagnostics.render(&outcome.sources, false));
        outcome.settings
    };
    let settings = read(&(text + more));
    let shown = settings.render();
    assert_eq!(read(&shown), settings, "{shown}");
    assert_eq!(settings.rate_limit, Some(RateLimit { interval: -19, burst: 16, leak: 4, kod: 2 }));
    assert_eq!(settings.command_rate_limit.map(|limit| limit.interval), Some(-4));
    assert_eq!(settings.nts.trusted, [(0, "/t0".into()), (1, "/t1".into())]);
    assert_eq!(settings.refclocks[0].reference_id_or_default(0), *b"GPS\0");
    assert_eq!(settings.refclocks[3].reference_id_or_default(3), *b"PHC3");
    assert_eq!(settings.local.map(|local| local.wait_unsynced), Some(ORPHAN_WAIT_UNSYNCED));
    assert_eq!(settings.open_commands, ["tracking", "sources"]);
    let unchanged = Settings::new(&layout::Layout::system());
    for directive in DIRECTIVES {
        let shown = directive.arguments(&settings);
        assert!(
            !shown.is_empty()
                || ["include", "confdir", "ntscachedir"].contains(&directive.name)
                || directive.arguments(&unchanged) == shown,
            "{}",
            directive.name
        );
    }
}

/// Goal: a real-time clock as a reference is read and shown.
#[test]
fn a_real_time_clock_may_be_a_reference() {
    let settings = clean("refclock RTC /dev/rtc0:utc poll 6");
    assert_eq!(settings.refclocks[0].driver, RefClockDriver::Rtc { device: "/dev/rtc0".into(), utc: true });
    assert!(settings.render().contains("refclock RTC /dev/rtc0:utc poll 6\n"), "{}", settings.render());
}

/// Goal: rules of access in their order, with every form of subnet.
#[test]
fn access_rules_are_read() {
    let rules =
        clean("allow\ndeny all 192.168\nallow 10.0.0.0/8\ndeny 2001:db8::/32\nallow ntp.example").ntp_access;
    let text: Vec<String> =
        rules.iter().map(|rule| format!("{} {}", rule.allow, directive::rule_arguments(rule))).collect();
    assert_eq!(
        text,
        ["true ", "false all 192.168.0.0/16", "true 10.0.0.0/8", "false 2001:db8::/32", "true ntp.example"]
    );
}

/// Goal: included files stand where they are included, the last word counts, and of two folders the first has its way.
#[test]
fn included_files_are_read_in_place() {
    let outcome = load_files(&[
        ("/c", "port 1\nconfdir /b /a\ninclude /inc/*.x\ninclude /none/*.x\nsourcedir /s"),
        ("/a/10.conf", "port 2"),
        ("/a/20.conf", "cmdport 20"),
        ("/b/20.conf", "cmdport 21"),
        ("/b/05.conf", "port 3"),
        ("/b/readme", "nonsense"),
        ("/inc/1.x", "minsources 4"),
        ("/s/1.sources", "server a.example\nnonsense\nserver b.example wrong\npool c.example"),
    ]);
    assert_eq!(
        (outcome.settings.port, outcome.settings.command_port, outcome.settings.min_sources),
        (2, 21, 4)
    );
    let names: Vec<&str> = outcome.settings.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["a.example", "c.example"]);
    assert!(!outcome.diagnostics.has_errors());
    assert_eq!(outcome.diagnostics.warning_count(), 2);
}

/// Goal: a file of a source folder that cannot be read (a link to nowhere, or one that went away since the folder was listed: others
/// write there) costs its own sources only: the daemon starts, as chronyd does, and says so.
#[test]
fn an_unreadable_file_of_a_source_folder_ends_nothing() {
    struct Broken(MemoryLoader);
    impl conf_text::Loader for Broken {
        fn read(&mut self, path: &Path) -> std::io::Result<String> {
            if path.ends_with("b.sources") {
                Err(std::io::ErrorKind::NotFound.into())
            } else {
                self.0.read(path)
            }
        }
        fn glob(&mut self, pattern: &Path) -> std::io::Result<Vec<std::path::PathBuf>> {
            self.0.glob(pattern)
        }
    }
    let files =
        [("/s/a.sources", "server a.example"), ("/s/b.sources", ""), ("/s/c.sources", "server c.example")];
    let settings = clean("sourcedir /s");
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let found =
        load_source_dirs(&settings, &mut Broken(MemoryLoader::new(files)), &mut sources, &mut diagnostics);
    let names: Vec<&str> = found.iter().map(|source| source.name.as_str()).collect();
    let said = diagnostics.render(&sources, false);
    assert_eq!((names, diagnostics.has_errors()), (vec!["a.example", "c.example"], false), "{said}");
    assert!(said.contains("/s/b.sources") && diagnostics.warning_count() == 1, "{said}");
}

/// Goal: every mistake has its message, with place, cause and help; all of them are reported.
#[test]
fn mistakes_are_told() {
    let check = |text: &str, expected: &[&str]| {
        let outcome = load_files(&[("/c", text), ("/loop", "include /loop")]);
        let said = outcome.diagnostics.render(&outcome.sources, false);
        assert!(outcome.diagnostics.has_errors(), "{text}: {said}");
        assert!(said.contains("help:"), "{said}");
        for part in expected {
            assert!(said.contains(part), "{text}: {part} is not in\n{said}");
        }
    };
    check("srver a", &["unknown directive 'srver'", "did you mean 'server'?", "/c:1:1"]);
    check("zzzzzzzzzzzz", &["unknown directive", "chrony.conf(5)"]);
    check(
        "server",
        &["server lacks a host name or address", "/c:1:1", "help: server ntp.example.net iburst"],
    );
    check("server a ibrst", &["unknown option 'ibrst' of server", "did you mean 'iburst'?", "/c:1:10"]);
    check("server a minpoll x", &["'x' is not log2 seconds (-32 to 32)", "minpoll 6"]);
    check("port 70000", &["'70000' is not a UDP port (0 to 65535)", "help: port 123"]);
    check("rtcsync now", &["rtcsync has a word too many"]);
    check(
        "makestep 1",
        &["makestep lacks a number of updates", "makestep THRESHOLD LIMIT", "help: makestep 1 3"],
    );
    check("makestep -1 3", &["'-1' is not a threshold in seconds (0 or more)"]);
    check("allow 10.0.0.0/33", &["at most 32 bits"]);
    check("allow 10.0.0.0/x", &["a subnet (like 192.0.2.0/24)"]);
    check("bindaddress here", &["'here' is not an IP address"]);
    check("log everything", &["unknown file 'everything' of log", "one of: measurements"]);
    check("local stratum 16", &["'16' is not a stratum (1 to 15)"]);
    check("local startum 8", &["unknown option 'startum' of local", "did you mean 'stratum'?"]);
    check("include /missing", &["cannot read /missing", "asked for here", "help: correct the name"]);
    check("include /loop", &["10 deep", "includes itself"]);
    check("maxdistance NaN", &["'NaN' is not seconds (0 or more)"]);
    check(&"x".repeat(3000), &["a line of 3000 bytes"]);
    check("refclock GPS 0", &["unknown driver 'GPS' of refclock", "did you mean 'PPS'?"]);
    check("refclock SHM 0:clear", &["something that SHM understands", "'clear'"]);
    check("refclock PPS /dev/pps0 refid TOOLONG", &["up to four ASCII characters"]);
    check("ratelimit kd 1", &["unknown option 'kd' of ratelimit", "did you mean 'kod'?"]);
    check("cmdratelimit kod 1", &["unknown option 'kod' of cmdratelimit"]);
    check("leapsecmode smear", &["unknown mode 'smear' of leapsecmode", "one of: system"]);
    check("opencommands shutdown", &["unknown report 'shutdown'"]);
    // Certificates and their keys come in pairs, in whatever order and files.
    check("ntsservercert /a", &["ntsservercert has no ntsserverkey", "/c:1:1", "help: ntsserverkey FILE"]);
    check("ntsserverkey /a", &["ntsserverkey has no ntsservercert", "/c:1:1", "help: ntsservercert FILE"]);
    check(
        "ntsserverkey /a\nntsservercert /a\nntsservercert /b",
        &["/c:3:1", "here are 2 and 1", "help: ntsserverkey FILE"],
    );
    check("rtcsync\nrtcfile /r", &["rtcfile cannot be used together with rtcsync", "/c:2:1"]);
    check(
        "refclock RTC /dev/rtc0\nrtcsync",
        &["rtcsync cannot be used together with refclock RTC", "/c:2:1"],
    );
    check(
        "rtcfile /r\nrefclock RTC /dev/rtc0:utc",
        &["refclock cannot be used together with rtcfile", "/c:2:1"],
    );
    check("rtcfile", &["rtcfile lacks a path"]);
    check("rtcautotrim -1", &["'-1' is not seconds (0 or more)"]);
    check("broadcast 0 192.0.2.255", &["'0' is not seconds (1 to", "broadcast 64 192.0.2.255"]);
    check("broadcast 64 here", &["'here' is not an IP address"]);
    check("broadcast 64 192.0.2.255 0", &["'0' is not a UDP port (1 to 65535)"]);
    check("clockprecision x", &["'x' is not seconds (0 or more)", "clockprecision 8e-9"]);
    check("ntpsigndsocket", &["ntpsigndsocket lacks a path"]);
    check("initstepslew", &["initstepslew lacks"]);
    check("server a extfield F999", &["'F999' is not 10A, F323 or F324", "help: extfield F323"]);
    check("server a maxunreach -1", &["'-1' is not a number (0 to 2147483647)", "help: maxunreach 100"]);
    check("hwtimestamp", &["hwtimestamp lacks an interface"]);
    check("hwtimestamp eth0 rxfilter some", &["unknown filter 'some' of hwtimestamp"]);
    check("hwtimestamp eth0 txcmp 1", &["unknown option 'txcmp' of hwtimestamp", "did you mean 'txcomp'?"]);
    check("hwtimestamp eth0 minpoll x", &["'x' is not log2 seconds (-32 to 32)"]);
    check("minstratum -1", &["'-1' is not a stratum (0 to 2147483647)", "help: minstratum 2"]);
    check(
        "maxtxbuffers 1048577",
        &["'1048577' is not a number of packets (0 to 1048576)", "help: maxtxbuffers 1024"],
    );
    check("hwtstimeout x", &["'x' is not seconds (0 or more)"]);
    check("ptpport 70000", &["'70000' is not a UDP port (0 to 65535)"]);
    check("ptpdomain 256", &["'256' is not a domain (0 to 255)"]);
    check("dscp 64", &["'64' is not a code point (0 to 63)", "help: dscp 46"]);
    check(
        "mailonchange -t 1",
        &["'-t' is not a local user or a mail address", "mailonchange root@localhost 0.5"],
    );
    for wrong in ["root@", "a@b@c", "a@b/c", "|mail", "/dev/null"] {
        check(&format!("mailonchange {wrong} 1"), &["is not a local user or a mail address"]);
    }
    check("mailonchange root@localhost x", &["'x' is not seconds (0 or more)"]);
    check("tempcomp /t 30 1 2 3", &["tempcomp lacks a coefficient"]);
    check("prot 1\n\nserver a foo bar\nmakestep", &["'prot'", "/c:1:1", "'foo'", "'bar'", "/c:4:1"]);
}

/// Goal: what we know and do not do is a warning by name, and the rest of the line counts.
#[test]
fn what_has_no_effect_is_said() {
    let check = |text: &str, expected: &str| {
        let outcome = load_files(&[("/c", text)]);
        let said = outcome.diagnostics.render(&outcome.sources, false);
        assert!(!outcome.diagnostics.has_errors() && outcome.diagnostics.warning_count() == 1, "{said}");
        assert!(said.contains(expected), "{said}");
        outcome.settings
    };
    for (log, _) in known::LOGS_NOT_WRITTEN {
        check(&format!("log tracking {log}"), &format!("log {log} is known"));
    }
    for (name, _) in known::NOT_ACTED_ON {
        let directive = DIRECTIVES.iter().find(|directive| directive.name == *name).expect("a directive");
        check(directive.example, &format!("directive '{name}' is known and has no effect here"));
        check(directive.example, &format!("help: # {}", directive.example));
    }
    for (name, _) in known::LOCAL_NOT_ACTED_ON {
        let value = if *name == "orphan" { "" } else { "1" };
        check(&format!("local {name} {value}"), &format!("'{name}' of local is known"));
    }
    for option in source::OPTIONS.iter().filter(|option| !option.acts()) {
        let line = format!("server a {}", source::example(option.syntax));
        check(&line, &format!("option '{}' is known and has no effect yet", option.name));
    }
    check("server a extfield F324 port 319", "outside of PTP: there is no ptpport");
    check("server a extfield F324 port 319", "help: ptpport 319");
    check("ptpport 319\nserver a extfield 10A", "the source is asked at port 123, not at ptpport 319");
    check("ptpport 319\npool a extfield 10A", "help: port 319");
    for field in ["10a", "F324", "0x10A"] {
        let told = clean(&format!("server a extfield {field} port 319\nptpport 319"));
        assert!(told.sources[0].options.wants_corrections(), "{field}");
    }
    assert!(!clean("server a extfield F323").sources[0].options.wants_corrections());
    assert_eq!(clean("keyfile /k\npeer a key 1 extfield F323").sources[0].waiting(), [""; 0]);
    assert_eq!(clean("server a extfield F323 xleave").sources[0].waiting(), [""; 0]);
    check("server a extfield F324\nserver b extfield 10A", "note: other lines of the same kind: 1");
    check("initstepslew 30", "initstepslew 30 names no server");
    check("ntsaeads", "ntsaeads names no algorithm");
    check("ntsaeads 99 15", "there is no algorithm 99 here");
    assert_eq!(check("pool a maxsources 99", "maxsources 99 counts as 16").sources[0].options.maxsources, 16);
    check("server \"127.0.0.1\"", "help: server 127.0.0.1");
    check("keyfile /k\nserver a nts key 1", "a source with nts uses no key of the key file");
    check("linux_hz 100", "'linux_hz' is obsolete");
    assert_eq!(check("server a minpoll 9 maxpoll 4", "maxpoll is raised").sources[0].options.maxpoll, 9);
    check("peer a", "a peer without a key can be disturbed");
    check("server a key 7\nserver b key 8", "key 7 is in no file: there is no keyfile directive");
    check("keyfile /k\npeer a key 1 iburst", "option 'iburst' does not work with a peer");
}

/// Goal: the tables are complete and free of doubles.
#[test]
fn the_tables_are_consistent() {
    let mut names: Vec<&str> = DIRECTIVES.iter().map(|directive| directive.name).collect();
    names.extend(known::OBSOLETE);
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for (name, _) in known::NOT_ACTED_ON {
        assert!(DIRECTIVES.iter().any(|directive| directive.name == *name), "{name} is no directive");
    }
    for name in known::OPTIONS_NOT_ACTED_ON {
        assert!(source::OPTIONS.iter().any(|option| option.name == *name), "{name} is no option");
    }
    for directive in DIRECTIVES {
        assert!(
            directive.syntax.starts_with(directive.name)
                && !directive.doc.is_empty()
                && !directive.default.is_empty()
        );
    }
}

/// Goal: source options outside of a file, with their mistakes in one text.
#[test]
fn options_of_a_command_are_read() {
    let source = parse_source_words("server a.example nts xleave").expect("options of another daemon");
    assert!(source.options.nts && source.options.xleave);
    let said = parse_source_words("server a.example one two").expect_err("two mistakes");
    assert!(said.contains("'one'") && said.contains("'two'"), "{said}");
    // What is shown is the command that was typed, and what is to be typed is one.
    let said = parse_source_words("server a.example minpoll x").expect_err("a mistake");
    assert!(said.contains("<command>:1:30") && said.contains("add server a.example minpoll x\n"), "{said}");
    assert!(said.contains("help: add server a.example minpoll 6"), "{said}");
    let said = parse_source_words("peer").expect_err("a mistake");
    assert!(said.contains("help: add peer ntp.example.net iburst"), "{said}");
    assert!(parse_source_words("").is_err());
    assert!(parse_source_words("clock x").is_err());
}

/// Goal: the page about compatibility names every directive and every option of a source.
#[test]
fn the_page_about_compatibility_is_complete() {
    let page = include_str!("../../../../docs/compatibility.md");
    let words: Vec<&str> =
        page.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').collect();
    let directives = DIRECTIVES.iter().map(|directive| directive.name);
    let others = known::OBSOLETE.iter().copied();
    for name in directives.chain(others).chain(source::OPTIONS.iter().map(|option| option.name)) {
        assert!(
            words.contains(&name) || name.starts_with("nts"),
            "docs/compatibility.md does not name {name}"
        );
    }
}
