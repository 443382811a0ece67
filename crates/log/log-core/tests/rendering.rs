//! Goal: templates, filters and rule sets do with a message what the property replacer's documentation and `syslog.conf(5)`
//! say. Method: messages are parsed from bytes as an input would, then rendered or run.

use std::sync::Arc;

use log_core::{
    Action, ActionId, ActionKind, ActionQueue, Condition, DynamicPathRefused, FileOptions, MessageView, Peer,
    Property, PropertyFilter, PropertyStanding, RuleSet, RuleSetId, Rules, Scratch, Selector, Stamp,
    Statement, Template, TemplateQuoting, Test, Users,
};
use record::{ClockQuality, UnixMicros};

/// 2026-11-22T16:01:28.012345Z.
const RECEIVED: UnixMicros = UnixMicros(1_795_363_288_012_345);

fn peer(clock: Option<ClockQuality>) -> Peer<'static> {
    Peer { hostname: b"peer", address: b"192.0.2.1", local_hostname: b"here", input_name: "imudp", clock }
}

fn view(raw: &[u8]) -> MessageView<'_> {
    let message = syslog_proto::parse(raw, syslog_proto::Origin::Network);
    MessageView::new(&message, peer(None), Stamp::from_unix(RECEIVED, 60))
}

fn render(template: &Template, message: &MessageView<'_>) -> String {
    // What stands in the buffer already must stay: sinks batch.
    let mut out = b"before|".to_vec();
    template.render(message, &mut out);
    String::from_utf8_lossy(&out).strip_prefix("before|").expect("what stood before stays").to_owned()
}

fn check(template: &str, raw: &str, expected: &str) {
    let template = Template::parse("t", template, TemplateQuoting::None)
        .unwrap_or_else(|error| panic!("{template}: {error}"));
    assert_eq!(render(&template, &view(raw.as_bytes())), expected, "on {raw}");
}

const TRADITIONAL: &str = "<34>Oct 11 22:14:15 host su[77]: 'su root' failed";
const MODERN: &str = "<165>1 2003-10-11T22:14:15.003-07:00 host app 12 ID47 [a@1 x=\"y\"] text";

#[test]
fn built_in_templates() {
    let check = |name: &str, raw: &str, expected: &str| {
        let template = Template::built_in(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(render(&template, &view(raw.as_bytes())), expected, "{name}");
    };
    check("RSYSLOG_TraditionalFileFormat", TRADITIONAL, "Oct 11 22:14:15 host su[77]: 'su root' failed\n");
    check("RSYSLOG_FileFormat", TRADITIONAL, "2026-10-11T22:14:15+01:00 host su[77]: 'su root' failed\n");
    check("RSYSLOG_FileFormat", MODERN, "2003-10-11T22:14:15.003-07:00 host app[12] text\n");
    check("RSYSLOG_FileFormat", "", "2026-11-22T17:01:28.012345+01:00 peer  \n");
    check(
        "RSYSLOG_TraditionalForwardFormat",
        TRADITIONAL,
        "<34>Oct 11 22:14:15 host su[77]: 'su root' failed",
    );
    check("RSYSLOG_ForwardFormat", MODERN, "<165>2003-10-11T22:14:15.003-07:00 host app[12] text");
    check(
        "RSYSLOG_SyslogProtocol23Format",
        MODERN,
        "<165>1 2003-10-11T22:14:15.003-07:00 host app 12 ID47 [a@1 x=\"y\"] text\n",
    );
    check(
        "RSYSLOG_SyslogProtocol23Format",
        TRADITIONAL,
        "<34>1 2026-10-11T22:14:15+01:00 host su 77 - -  'su root' failed\n",
    );
    assert!(Template::built_in_names().all(|name| Template::built_in(name).is_some()));
}

#[test]
fn records_of_this_host_state_their_clock() {
    let message = syslog_proto::parse(b"<13>Oct 11 22:14:15 p: m", syslog_proto::Origin::Local);
    let clock = ClockQuality { synced: true, max_error_usec: 4321, tz_known: true };
    let message = MessageView::new(&message, peer(Some(clock)), Stamp::from_unix(RECEIVED, 0));
    let template = Template::built_in("RSYSLOG_SyslogProtocol23Format").expect("built in");
    assert_eq!(
        render(&template, &message),
        "<13>1 2026-10-11T22:14:15+00:00 peer p - - [timeQuality tzKnown=\"1\" isSynced=\"1\" syncAccuracy=\"4400\"]  m\n"
    );
}

#[test]
fn options_of_the_property_replacer() {
    check("%msg%", TRADITIONAL, " 'su root' failed");
    check("%msg:2:4%", TRADITIONAL, "'su");
    check("%msg:2:$%", TRADITIONAL, "'su root' failed");
    check("%msg:90:99%", TRADITIONAL, "");
    check("[%programname:1:4:fixed-width%]", TRADITIONAL, "[su  ]");
    check("%hostname:::uppercase%", TRADITIONAL, "HOST");
    check("%msg:F,32:3%", TRADITIONAL, "root'");
    check("%msg:F,32:9%", TRADITIONAL, "**FIELD NOT FOUND**");
    check("%msg:R,ERE,1,BLANK:'([a-z]+) --end%", TRADITIONAL, "su");
    check("%msg:R,ERE,0,DFLT:[0-9]+--end%", TRADITIONAL, "**NO MATCH**");
    check("%msg:R,ERE,0,ZERO:[0-9]+--end:lowercase%", TRADITIONAL, "0");
    check("%msg:::json%", "<13>h t: a\"b\\c/d\te", " a\\\"b\\\\c\\/d\\te");
    check("%msg:::jsonf:m%", "<13>h t: x", "\"m\":\" x\"");
    check("%msg:::csv%", "<13>h t:a\"b", "\"a\"\"b\"");
    check("%msg:::drop-cc%|%msg:::space-cc%|%msg:::escape-cc%", "<13>h t:a\tb", "ab|a b|a#011b");
    check("%msg:::sp-if-no-1st-sp%|", "<13>h t:x", " |");
    check("%msg:::compressspace%|", "<13>h t:a   b", "a b|");
    check("%syslogtag:::secpath-replace%", "<13>Oct 11 22:14:15 h a/../b: x", "a_.._b:");
    check("%pri% %pri-text% %syslogfacility% %syslogfacility-text%", TRADITIONAL, "34 auth.crit 4 auth");
    check("%syslogseverity% %syslogseverity-text% %syslogpriority%", TRADITIONAL, "2 crit 2");
    check("%app-name% %procid% %msgid% %structured-data%", TRADITIONAL, "su 77 - -");
    check("%procid%", "<13>h t: x", "-");
    check("%pri% %pri-text% %msg%", "<999>x", "invld invld.debug <999>x");
    check("%fromhost% %fromhost-ip% %inputname% %$myhostname%", TRADITIONAL, "peer 192.0.2.1 imudp here");
    check("%timereported:::date-year%-%timereported:::date-month%", TRADITIONAL, "2026-10");
    check("%timegenerated:::date-rfc3339,date-utc%", TRADITIONAL, "2026-11-22T16:01:28.012345+00:00");
    check(
        "%$now% %$year% %$month% %$day% %$hour% %$minute% %$hhour% %$qhour%",
        TRADITIONAL,
        "2026-11-22 2026 11 22 17 01 00 00",
    );
    check("%$hour-utc%", TRADITIONAL, "16");
    check("%msg:3%|%msg:4:2%", TRADITIONAL, " 's|'su");
    check("%timestamp:::date-rfc3339%", "<13>1 2003-10-11T22:14:15Z h a - - - x", "2003-10-11T22:14:15Z");
    check("[%app-name%]", "<13>", "[-]");
    check("%rawmsg%", TRADITIONAL, TRADITIONAL);
    check("%rawmsg-after-pri%", "<13>h t: x", "h t: x");
    check("a\\tb\\\\c\\%d\\n\\7", TRADITIONAL, "atb\\c%d\n\x07");
    check("", TRADITIONAL, "");
}

#[test]
fn mistakes_in_templates() {
    let check = |text: &str, at: std::ops::Range<usize>, cause: &str, help: &str| {
        let error = Template::parse("t", text, TemplateQuoting::None).expect_err(text);
        assert_eq!((error.at.clone(), error.cause.as_str()), (at, cause));
        assert!(error.help.contains(help), "{}", error.help);
    };
    check("a %msg b", 2..8, "a `%` opens a property that no `%` closes", "close it");
    check("%mgs%", 1..4, "`mgs` is not a property", "did you mean `msg`?");
    check("%msg:x:%", 5..6, "`x` is not a position", "numbers from 1");
    check(
        "%msg:::lowercas%",
        7..15,
        "`lowercas` is not an option of a property",
        "did you mean `lowercase`?",
    );
    check("%msg:::date-rfc3399%", 7..19, "`date-rfc3399` is not an option of a property", "`date-rfc3339`");
    check("%$!usr%", 1..6, "the property `$!usr` is not supported yet", "");
    check("%msg:R,ERE,0:(--end%", 13..14, "a group is not closed", "");
    check("%msg:F,44%", 5..9, "no field number stands after the delimiter", "");
}

fn action(name: &str, kind: ActionKind) -> Action {
    let template = Template::parse(name, "%msg%", TemplateQuoting::None).expect("a template");
    Action { name: name.into(), kind, template: Arc::new(template), queue: ActionQueue::default() }
}

fn selector(text: &str, then: Vec<Statement>) -> Statement {
    let condition = Condition::Priority(Selector::parse(text).expect("a selector"));
    Statement::If { condition, then, otherwise: Vec::new() }
}

fn act(id: usize) -> Statement {
    Statement::Act(ActionId(id))
}

fn filter(name: &str, negated: bool, test: Test) -> Statement {
    let PropertyStanding::Supported(property) = Property::from_name(name) else { panic!("{name}") };
    Statement::If {
        condition: Condition::Property(PropertyFilter { property, negated, test }),
        then: vec![act(4)],
        otherwise: vec![act(5)],
    }
}

#[test]
fn rule_sets_run_in_order_until_stop() {
    let actions: Vec<Action> =
        (0..6).map(|id| action(&id.to_string(), ActionKind::Users(Users::All))).collect();
    let called = RuleSet::new("called", vec![act(3), selector("kern.*", vec![Statement::Stop])]);
    let main = RuleSet::new(
        "main",
        vec![
            selector("mail.*", vec![act(0), act(1)]),
            selector("*.err", vec![act(2), Statement::Stop]),
            Statement::Call(RuleSetId(1)),
            filter("msg", false, Test::contains(b"needle")),
        ],
    );
    let rules = Rules::new(vec![main, called], actions).expect("no cycle");
    let check = |raw: &str, expected: &[usize]| {
        let mut got = Vec::new();
        let message = view(raw.as_bytes());
        rules.run(
            Rules::DEFAULT,
            &message,
            &mut Scratch::default(),
            &mut |id: ActionId, _: &Action, _: &MessageView<'_>| {
                got.push(id.0);
            },
        );
        assert_eq!(got, expected, "{raw}");
    };
    check("<22>h t: x", &[0, 1, 3, 5]);
    check("<19>h t: needle", &[0, 1, 2]);
    check("<6>h t: needle", &[3]);
    check("<14>h t: a needle", &[3, 4]);
    check("<999>needle", &[3, 4]);
    let recursive = RuleSet::new("again", vec![selector("*.*", vec![Statement::Call(RuleSetId(0))])]);
    assert!(Rules::new(vec![recursive], Vec::new()).is_err());
}

#[test]
fn property_filters() {
    let check = |name: &str, test: Test, raw: &str, expected: bool| {
        let PropertyStanding::Supported(property) = Property::from_name(name) else { panic!("{name}") };
        for negated in [false, true] {
            let filter = PropertyFilter { property, negated, test: test.clone() };
            assert_eq!(
                filter.matches(&view(raw.as_bytes()), &mut Vec::new()),
                expected != negated,
                "{filter:?} on {raw}"
            );
        }
    };
    check("msg", Test::contains(b"root"), TRADITIONAL, true);
    check("msg", Test::contains_ignoring_case(b"ROOT"), TRADITIONAL, true);
    check("msg", Test::contains_ignoring_case(b"toor"), TRADITIONAL, false);
    check("msg", Test::IsEmpty, "", true);
    check("programname", Test::IsEqual(b"su".to_vec()), TRADITIONAL, true);
    check("syslogtag", Test::StartsWith(b"su[".to_vec()), TRADITIONAL, true);
    check("syslogtag", Test::IsEqual(b"app[12]".to_vec()), MODERN, true);
    check("msg", Test::EndsWith(b"failed".to_vec()), TRADITIONAL, true);
    check("pri-text", Test::IsEqual(b"auth.crit".to_vec()), TRADITIONAL, true);
}

#[test]
fn names_of_files_stay_where_the_configuration_put_them() {
    let path = Template::parse("p", "/var/log/%programname%/%hostname%.log", TemplateQuoting::None)
        .expect("a template");
    let kind =
        ActionKind::DynamicFile { path: Arc::new(path), open_files_max: 10, options: FileOptions::default() };
    let action = action("dynamic", kind);
    let check = |raw: &str, expected: Result<&str, DynamicPathRefused>| {
        let mut out = Vec::new();
        let got = action.dynamic_path(&view(raw.as_bytes()), &mut out).expect("a dynamic file");
        assert_eq!(got.map(|()| String::from_utf8_lossy(&out).into_owned()), expected.map(str::to_owned));
    };
    check(TRADITIONAL, Ok("/var/log/su/host.log"));
    check("<13>Oct 11 22:14:15 host ..: x", Err(DynamicPathRefused));
    check("<13>1 - h ../../etc - - - x", Err(DynamicPathRefused));
}
