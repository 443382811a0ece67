//! Goal: what main.cf and master.cf mean, and what is said about mistakes.
use conf_text::{Level, MemoryLoader};
use postfix_conf::{BareNewline, Host, Loaded, default_aliases, default_main_cf, load};

fn read(main: &str, master: Option<&str>, house: Option<&str>) -> Loaded {
    let layout = house.map_or_else(layout::Layout::system, layout::Layout::house);
    let place = |p: std::path::PathBuf| p.to_string_lossy().into_owned();
    let (main_path, master_path) =
        (place(postfix_conf::conf_path(&layout)), place(postfix_conf::master_path(&layout)));
    let mut files = vec![(main_path.as_str(), main)];
    files.extend(master.map(|text| (master_path.as_str(), text)));
    load(&Host { name: "box".into(), layout: layout.clone() }, &mut MemoryLoader::new(files))
}

fn good(main: &str) -> postfix_conf::Settings {
    let loaded = read(main, None, None);
    let said = loaded.diagnostics.render(&loaded.sources, false);
    loaded.settings.unwrap_or_else(|| panic!("{main}\n{said}"))
}

#[test]
fn defaults_of_a_fresh_host() {
    let s = good("");
    assert_eq!((s.myhostname.as_str(), s.mydomain.as_str()), ("box.localdomain", "localdomain"));
    assert_eq!(s.router.origin, "box.localdomain");
    let mut domains: Vec<_> = s.router.local_domains.into_iter().collect();
    domains.sort();
    assert_eq!(domains, ["box.localdomain", "localhost", "localhost.localdomain"]);
    assert_eq!(s.alias_maps, [std::path::Path::new("/etc/aliases")]);
    assert_eq!(s.banner, "box.localdomain ESMTP Banto");
    assert_eq!((s.mailbox_size_limit, s.message_size_limit, s.hopcount_limit), (51_200_000, 10_240_000, 50));
    assert_eq!((s.schedule.backoff_min, s.schedule.backoff_max, s.schedule.lifetime), (300, 4000, 432_000));
    assert_eq!(s.bare_newline, BareNewline::Reject);
    let listen: Vec<_> = s.smtp_listen.iter().map(|l| (l.host.as_str(), l.port)).collect();
    assert_eq!(listen, [("0.0.0.0", 25), ("::", 25)]);
    assert_eq!(s.forward_path, ["$home/.forward${recipient_delimiter}${extension}", "$home/.forward"]);
}

#[test]
fn values_are_expanded_and_continued() {
    let s = good(
        "mydomain = example.com\nmyhostname = mx.$mydomain\nmy_nets = 10.0.0.0/8\nmydestination = $myhostname,\n\
         # a comment\n  localhost\n\n  other.example\nmynetworks = 127.0.0.0/8 $my_nets\nrelayhost = [smart.example]:587\n\
         home_mailbox = Maildir/\nmaximal_queue_lifetime = 2\nforward_path = /f/$user\n",
    );
    assert_eq!(s.myhostname, "mx.example.com");
    assert!(s.router.local_domains.contains("other.example") && s.router.local_domains.len() == 3);
    assert_eq!(s.mynetworks.len(), 2);
    assert_eq!(s.router.relayhost.as_ref().map(|r| r.port), Some(587));
    assert_eq!(s.home_mailbox.as_deref(), Some("Maildir/"));
    assert_eq!(s.schedule.lifetime, 2 * 86_400);
    let user = |name: &str| (name == "user").then(|| "me".to_owned());
    assert_eq!(
        s.forward_path.first().and_then(|p| postfix_conf::expand_local(p, &user)).as_deref(),
        Some("/f/me")
    );
}

#[test]
fn mistakes_are_told_with_a_place_and_a_help() {
    let check = |main: &str, level: Level, said: &str, help: &str| {
        let loaded = read(main, None, None);
        let text = loaded.diagnostics.render(&loaded.sources, false);
        let found = loaded.diagnostics.list.iter().find(|d| d.message.contains(said));
        let found = found.unwrap_or_else(|| panic!("{main}: nothing about {said}\n{text}"));
        assert_eq!(found.level, level, "{text}");
        assert!(found.place.is_some(), "{main}: no place");
        assert!(text.contains(help), "{main}: no help {help}\n{text}");
        assert_eq!(loaded.settings.is_none(), level == Level::Error, "{main}");
    };
    use Level::{Error, Warning};
    check("myhostnam = a.example\n", Error, "unknown parameter myhostnam", "myhostname = a.example");
    check("entirely_my_own_invention = 1\n", Warning, "which no other uses", "remove the line");
    check(
        "smtpd_milters = inet:localhost:1\n",
        Warning,
        "smtpd_milters is not supported yet",
        "#smtpd_milters",
    );
    check("virtual_alias_maps = hash:/x\n", Warning, "not supported yet", "#virtual_alias_maps");
    check("mydestination = $myhostnam\n", Error, "$myhostnam is not defined", "did you mean $myhostname?");
    check("mydestination = $mydestination\n", Error, "part of its own value", "without");
    check("message_size_limit = many\n", Error, "many is no number", "write a number");
    check("queue_run_delay = 5 parsecs\n", Error, "is no time", "300s");
    check("mynetworks = nowhere\n", Error, "nowhere is no network", "192.0.2.0/24");
    check("smtpd_forbid_bare_newline = no\n", Error, "smuggled", "normalize");
    check("alias_maps = ldap:/etc/x\n", Error, "ldap table", "hash:/etc/aliases");
    check("relayhost = [x\n", Error, "is no host", "relayhost = ");
    check("smtpd_relay_restrictions = permit\n", Error, "open relay", "leave permit out");
    check("just words\n", Error, "no = follows", "name = value");
    check("  x = y\n", Error, "continues nothing", "name = value");
    check("biff = no\nbiff = no\n", Warning, "given again below", "remove this line");
    let both = read("myhostnam = a\nmessage_size_limit = x\n", None, None);
    assert_eq!(both.diagnostics.error_count(), 2, "all mistakes are told");
}

#[test]
fn the_services_of_master_cf_listen() {
    let check = |master: &str, expected: &[(&str, u16)]| {
        let loaded = read("inet_interfaces = loopback-only\ninet_protocols = ipv4\n", Some(master), None);
        let listen = loaded.settings.map(|s| s.smtp_listen).unwrap_or_default();
        let got: Vec<_> = listen.iter().map(|l| (l.host.as_str(), l.port)).collect();
        assert_eq!(got, expected, "{master}");
    };
    check("smtp inet n - y - - smtpd\npickup unix n - y 60 1 pickup\n", &[("127.0.0.1", 25)]);
    check("10.0.0.1:2526 inet n - y - - smtpd\n", &[("10.0.0.1", 2526)]);
    check("smtp inet n - y - 1 postscreen\n", &[]);
    check("submission inet n - y - - smtpd\n  -o syslog_name=x\n", &[]);
}

/// Goal: the files of a new house have no mistake and mean the house.
#[test]
fn the_files_of_a_new_house() {
    let text = default_main_cf(std::path::Path::new("/h"), "box");
    let loaded = read(&text, None, Some("/h"));
    let said = loaded.diagnostics.render(&loaded.sources, false);
    assert!(loaded.diagnostics.list.is_empty(), "{said}");
    let s = loaded.settings.unwrap_or_else(|| panic!("{said}"));
    assert_eq!(
        s.smtp_listen.iter().map(|l| (l.host.as_str(), l.port)).collect::<Vec<_>>(),
        [("127.0.0.1", 2525)]
    );
    assert_eq!(s.maildrop_dir(), std::path::Path::new("/h/spool/maildrop"));
    assert_eq!(s.queue_dir(), std::path::Path::new("/h/spool/mail"));
    let (aliases, problems) = mail_core::Aliases::parse(&default_aliases("me"));
    assert!(problems.is_empty() && aliases.get("postmaster").is_some(), "{problems:?}");
}

/// Goal: the main.cf that Debian's package writes is understood: warnings only.
#[test]
fn the_file_of_debian() {
    let text = "smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)\nbiff = no\nappend_dot_mydomain = no\n\
        readme_directory = no\ncompatibility_level = 3.6\nsmtpd_tls_cert_file=/etc/ssl/certs/ssl-cert-snakeoil.pem\n\
        smtpd_tls_security_level=may\nsmtp_tls_CApath=/etc/ssl/certs\nsmtpd_relay_restrictions = permit_mynetworks \
        permit_sasl_authenticated defer_unauth_destination\nmyhostname = box.example\nalias_maps = hash:/etc/aliases\n\
        alias_database = hash:/etc/aliases\nmyorigin = $mydomain\nmydestination = $myhostname, box, localhost\nrelayhost = \n\
        mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128\nmailbox_size_limit = 0\nrecipient_delimiter = +\n\
        inet_interfaces = all\ninet_protocols = all\n";
    let s = good(text);
    assert_eq!(s.banner, "box.example ESMTP Banto (Debian/GNU)");
}

/// Goal: a value that does less than it says is a warning by name with a help; one that does what it says is none.
#[test]
fn what_has_no_effect_is_said_by_name() {
    let check = |line: &str, said: &[&str], help: &str| {
        let loaded = read(&format!("{line}\n"), None, None);
        let text = loaded.diagnostics.render(&loaded.sources, false);
        assert!(loaded.settings.is_some(), "{line}\n{text}");
        assert_eq!(loaded.diagnostics.list.len(), said.len(), "{line}\n{text}");
        let name = line.split(' ').next().unwrap_or_default();
        for part in said {
            assert!(text.contains(&format!("warning: {name} does not do all that it says here: ")), "{text}");
            assert!(text.contains(part) && text.contains(&format!("help: {help}")), "{line}\n{text}");
        }
    };
    check("relayhost = mail.example.com", &["MX hosts are not looked up"], "relayhost = [mail.example.com]");
    check("relayhost = mail.example.com:587", &["MX hosts"], "relayhost = [mail.example.com]:587");
    check("relayhost = [mail.example.com]:587", &[], "");
    check("relayhost =", &[], "");
    check("double_bounce_sender = db", &["null sender"], "remove the line");
    check("compatibility_level = 2", &["level 3.6"], "compatibility_level = 3.6");
    check("compatibility_level = 3.6", &[], "");
    check("compatibility_level = 3.9", &[], "");
    check("local_recipient_maps = ldap:/etc/x", &["tables are not read"], "local_recipient_maps =");
    check("local_recipient_maps =", &[], "");
    check("local_recipient_maps = proxy:unix:passwd.byname $alias_maps", &[], "");
    check(
        "alias_maps = hash:/etc/aliases, nis:mail.aliases",
        &["nis:mail.aliases is not read"],
        "leave the table out",
    );
    check(
        "queue_directory = /var/spool/postfix",
        &["postfix's own format"],
        "queue_directory = /var/spool/banto",
    );
    check(
        "smtpd_recipient_restrictions = permit_mynetworks, reject_non_fqdn_recipient, reject_unauth_destination",
        &["reject_non_fqdn_recipient decides nothing"],
        "leave reject_non_fqdn_recipient out",
    );
    check(
        "smtpd_relay_restrictions = permit_mynetworks",
        &["reject_unauth_destination holds"],
        "permit_mynetworks, reject_unauth_destination",
    );
    check(
        "smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination",
        &[],
        "",
    );
}

/// Goal: clients of mynetworks may relay where the restrictions say so, and only there.
#[test]
fn mynetworks_may_relay_where_it_is_written() {
    let check = |text: &str, expected: bool| assert_eq!(good(text).permit_mynetworks, expected, "{text}");
    check("", true);
    check("smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n", true);
    check("smtpd_relay_restrictions = reject_unauth_destination\n", false);
    check("smtpd_relay_restrictions = reject_unauth_destination, permit_mynetworks\n", false);
    check("smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = reject_unauth_destination\n", false);
    check(
        "smtpd_relay_restrictions =\nsmtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination\n",
        true,
    );
}

/// Goal: the files that Debian's package installs give no error, where they are installed.
#[test]
fn the_installed_files_of_debian() {
    for path in
        ["/usr/share/postfix/main.cf.debian", "/usr/share/postfix/main.cf.dist", "/etc/postfix/main.cf"]
    {
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        let loaded = read(&text, None, None);
        assert!(
            !loaded.diagnostics.has_errors(),
            "{path}\n{}",
            loaded.diagnostics.render(&loaded.sources, false)
        );
    }
}

/// Goal: the page about compatibility names every parameter that is read.
#[test]
fn the_page_about_compatibility_is_complete() {
    let page = include_str!("../../../../docs/compatibility.md");
    let words: Vec<&str> = page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    for parameter in postfix_conf::PARAMETERS {
        assert!(words.contains(&parameter.name), "docs/compatibility.md does not name {}", parameter.name);
    }
}
