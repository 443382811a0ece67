//! Every parameter that works, as one value: name, default, what it does, how it is read.

use std::path::PathBuf;

use mail_core::route::NextHop;

use crate::main_cf::Settings;
use crate::settings::{BareNewline, Cidr, Complaint, ListenAddress, complaint, number, time, words, yes_no};

/// One parameter of `main.cf`.
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Its default, in the language of `main.cf`.
    pub default: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
    /// Reads an expanded value.
    pub(crate) set: fn(&mut Settings, &str) -> Result<(), Complaint>,
}

const fn parameter(
    name: &'static str,
    default: &'static str,
    doc: &'static str,
    set: fn(&mut Settings, &str) -> Result<(), Complaint>,
) -> Parameter {
    Parameter { name, default, doc, set }
}

/// The parameters that work. `banto_host_...` and `banto_default_...` in defaults are given by the host.
pub static PARAMETERS: &[Parameter] = &[
    parameter("myhostname", "$banto_host_name", "the name of this host, with its domain", |s, v| {
        host_name(v).map(|v| s.myhostname = v)
    }),
    parameter("mydomain", "$banto_host_domain", "the domain of this host", |s, v| {
        host_name(v).map(|v| s.mydomain = v)
    }),
    parameter("myorigin", "$myhostname", "the domain of addresses that have none", |s, v| {
        host_name(v).map(|v| s.router.origin = v.to_ascii_lowercase())
    }),
    parameter(
        "mydestination",
        "$myhostname, localhost.$mydomain, localhost",
        "domains whose mailboxes are on this host",
        |s, v| domains(v).map(|v| s.router.local_domains = v),
    ),
    parameter("mynetworks", "127.0.0.0/8 [::1]/128", "clients that may send to anywhere", |s, v| {
        blocks(v).map(|v| s.mynetworks = v)
    }),
    parameter(
        "inet_interfaces",
        "all",
        "addresses that SMTP listens on: all, loopback-only, or a list",
        |s, v| {
            s.inet_interfaces = words(v).map(str::to_owned).collect();
            Ok(())
        },
    ),
    parameter("inet_protocols", "all", "all, ipv4, ipv6", |s, v| {
        s.ipv4 = words(v).any(|w| w == "all" || w == "ipv4");
        s.ipv6 = words(v).any(|w| w == "all" || w == "ipv6");
        match words(v).find(|w| !["all", "ipv4", "ipv6"].contains(w)) {
            Some(word) => complaint(format!("{word} is no protocol"), "write all, ipv4 or ipv6"),
            None => Ok(()),
        }
    }),
    parameter(
        "banto_smtp_listen",
        "",
        "our own: where SMTP listens, in place of master.cf and inet_interfaces",
        |s, v| {
            s.smtp_listen = words(v)
                .map(|w| ListenAddress::parse(w).ok_or(w))
                .collect::<Result<_, _>>()
                .or_else(|w| complaint(format!("{w} is no address with a port"), "write: 127.0.0.1:2525"))?;
            Ok(())
        },
    ),
    parameter("relayhost", "", "the host that mail for elsewhere is handed to: [host]:port", |s, v| {
        s.router.relayhost = match v.trim() {
            "" => None,
            v => Some(NextHop::parse(v).map_or_else(
                || complaint(format!("{v} is no host"), "write: relayhost = [mail.example.com]:587"),
                Ok,
            )?),
        };
        Ok(())
    }),
    parameter("relay_domains", "", "foreign domains that anybody may send to through this host", |s, v| {
        domains(v).map(|v| s.router.relay_domains = v)
    }),
    parameter("alias_maps", "$banto_default_aliases", "the alias files", |s, v| {
        alias_files(v).map(|v| s.alias_maps = v)
    }),
    parameter(
        "alias_database",
        "$banto_default_aliases",
        "the alias files that newaliases checks",
        |s, v| alias_files(v).map(|v| s.alias_database = v),
    ),
    parameter(
        "home_mailbox",
        "",
        "mailbox in the home directory; a slash at the end makes it a Maildir",
        |s, v| {
            if v.starts_with('/') || v.split('/').any(|part| part == "..") {
                return complaint(
                    "home_mailbox is a path within the home directory",
                    "write: home_mailbox = Maildir/",
                );
            }
            s.home_mailbox = Some(v.trim().to_owned()).filter(|v| !v.is_empty());
            Ok(())
        },
    ),
    parameter("mailbox_command", "", "a command that delivers to the user in place of a mailbox", |s, v| {
        s.mailbox_command = Some(v.trim().to_owned()).filter(|v| !v.is_empty());
        Ok(())
    }),
    parameter(
        "mail_spool_directory",
        "$banto_default_mail",
        "the directory of the mailboxes; a slash at the end: Maildirs",
        |s, v| {
            absolute(v).map(|p| {
                s.mail_spool_directory = p;
                s.mail_spool_maildir = v.trim().ends_with('/');
            })
        },
    ),
    parameter("mailbox_size_limit", "51200000", "octets of a mailbox; 0 is no limit", |s, v| {
        number(v, 0).map(|v| s.mailbox_size_limit = v)
    }),
    parameter("message_size_limit", "10240000", "octets of a message", |s, v| {
        number(v, 1).and_then(|v| {
            if v > MESSAGE_OCTETS_MAX {
                return complaint(
                    format!("{v} is more than the queue takes"),
                    format!("write {MESSAGE_OCTETS_MAX} or less"),
                );
            }
            s.message_size_limit = v;
            Ok(())
        })
    }),
    parameter("recipient_delimiter", "", "characters that part a user from an extension", |s, v| {
        v.trim().clone_into(&mut s.router.delimiters);
        Ok(())
    }),
    parameter(
        "forward_path",
        "$$home/.forward$${recipient_delimiter}$${extension}, $$home/.forward",
        "where .forward files are looked for",
        |s, v| {
            s.forward_path = words(v).map(str::to_owned).collect();
            Ok(())
        },
    ),
    parameter("local_recipient_maps", "banto", "empty: accept mail for unknown local names too", |s, v| {
        s.reject_unknown_users = !v.trim().is_empty();
        Ok(())
    }),
    parameter("queue_run_delay", "300s", "how often deferred mail is looked through", |s, v| {
        time(v, 's').map(|v| s.queue_run_delay = v.max(1))
    }),
    parameter("minimal_backoff_time", "300s", "shortest wait between two attempts", |s, v| {
        time(v, 's').map(|v| s.schedule.backoff_min = v.max(1))
    }),
    parameter("maximal_backoff_time", "4000s", "longest wait between two attempts", |s, v| {
        time(v, 's').map(|v| s.schedule.backoff_max = v.max(1))
    }),
    parameter("maximal_queue_lifetime", "5d", "age at which mail goes back", |s, v| {
        time(v, 'd').map(|v| s.schedule.lifetime = v)
    }),
    parameter("bounce_queue_lifetime", "5d", "age at which a bounce is dropped", |s, v| {
        time(v, 'd').map(|v| s.schedule.lifetime_bounce = v)
    }),
    parameter("hopcount_limit", "50", "Received lines that make a loop", |s, v| {
        number(v, 1).map(|v| s.hopcount_limit = usize::try_from(v).unwrap_or(usize::MAX))
    }),
    parameter("smtpd_recipient_limit", "1000", "recipients of one message", |s, v| {
        number(v, 1).map(|v| s.recipient_limit = usize::try_from(v).unwrap_or(usize::MAX))
    }),
    parameter(
        "smtpd_client_connection_count_limit",
        "50",
        "connections at once from one client outside mynetworks; 0 is no limit",
        |s, v| number(v, 0).map(|v| s.client_connections = usize::try_from(v).unwrap_or(usize::MAX)),
    ),
    parameter("default_process_limit", "100", "SMTP connections at once", |s, v| {
        number(v, 1).map(|v| s.connections = usize::try_from(v).unwrap_or(usize::MAX))
    }),
    parameter("smtpd_timeout", "300s", "silence after which a session ends", |s, v| {
        time(v, 's').map(|v| s.session_timeout = v.max(1))
    }),
    parameter("smtpd_hard_error_limit", "20", "errors that end a session", |s, v| {
        number(v, 1).map(|v| s.error_limit = u32::try_from(v).unwrap_or(u32::MAX))
    }),
    parameter("smtp_connect_timeout", "30s", "how long a connection to another host may take", |s, v| {
        time(v, 's').map(|v| s.connect_timeout = v.max(1))
    }),
    parameter("smtpd_banner", "$myhostname ESMTP $mail_name", "the greeting", |s, v| {
        if v.contains(['\r', '\n']) {
            return complaint("a greeting is one line", "write: smtpd_banner = $myhostname ESMTP");
        }
        v.trim().clone_into(&mut s.banner);
        Ok(())
    }),
    parameter("smtpd_helo_required", "no", "refuse MAIL before HELO", |s, v| {
        yes_no(v).map(|v| s.helo_required = v)
    }),
    parameter("disable_vrfy_command", "no", "refuse VRFY", |s, v| yes_no(v).map(|v| s.disable_vrfy = v)),
    parameter("mail_name", "Banto", "the name in the greeting and in Received lines", |s, v| {
        v.trim().clone_into(&mut s.mail_name);
        Ok(())
    }),
    parameter("syslog_name", "postfix", "what log lines begin with: NAME/local", |s, v| {
        if v.trim().is_empty() || v.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return complaint("syslog_name is one word", "write: syslog_name = postfix");
        }
        v.trim().clone_into(&mut s.syslog_name);
        Ok(())
    }),
    parameter(
        "smtpd_forbid_bare_newline",
        "reject",
        "a CR or LF alone: reject (550 5.5.2) or normalize",
        |s, v| {
            s.bare_newline = match v.trim() {
                "reject" | "yes" => BareNewline::Reject,
                "normalize" => BareNewline::Normalize,
                v => {
                    return complaint(
                        format!("smtpd_forbid_bare_newline = {v} would let messages be smuggled in"),
                        "write reject or normalize; let single clients through with smtpd_forbid_bare_newline_exclusions",
                    );
                }
            };
            Ok(())
        },
    ),
    parameter(
        "smtpd_forbid_bare_newline_exclusions",
        "",
        "clients whose bare LFs are normalized all the same",
        |s, v| blocks(v).map(|v| s.bare_newline_exclusions = v),
    ),
    parameter(
        "queue_directory",
        "$banto_default_spool",
        "the directory above mail/ (the queue) and maildrop/",
        |s, v| absolute(v).map(|p| s.queue_directory = p),
    ),
    parameter(
        "mail_owner",
        "postfix",
        "whose rights the queue and SMTP have when started as root",
        |s, v| {
            v.trim().clone_into(&mut s.mail_owner);
            Ok(())
        },
    ),
    parameter("default_privs", "nobody", "whose rights commands of root's aliases have", |s, v| {
        v.trim().clone_into(&mut s.default_privs);
        Ok(())
    }),
    parameter("enable_long_queue_ids", "no", "long queue ids", |s, v| {
        yes_no(v).map(|v| s.long_queue_ids = v)
    }),
    parameter("double_bounce_sender", "double-bounce", "read; the null sender is what we use", |_, _| Ok(())),
    parameter("biff", "no", "notices to comsat; only no", |_, v| match yes_no(v)? {
        false => Ok(()),
        true => complaint("there is no comsat service any more", "write: biff = no"),
    }),
    parameter("compatibility_level", "3.9", "read; the newest behaviour is the only one", |_, _| Ok(())),
    parameter("append_dot_mydomain", "no", "only no", |_, v| match yes_no(v)? {
        false => Ok(()),
        true => complaint("incomplete domains are not completed", "write: append_dot_mydomain = no"),
    }),
    parameter("readme_directory", "no", "where documents are; for people, as in postfix itself", |_, _| {
        Ok(())
    }),
    parameter(
        "smtpd_relay_restrictions",
        "permit_mynetworks, reject_unauth_destination",
        "only this order; defer_unauth_destination puts off instead of refusing",
        |s, v| {
            restrictions(v)?;
            s.permit_mynetworks = v.trim().is_empty() || permits_mynetworks(v);
            s.defer_unauthorized =
                words(v).find(|w| w.ends_with("_unauth_destination")) == Some("defer_unauth_destination");
            Ok(())
        },
    ),
    parameter(
        "smtpd_recipient_restrictions",
        "",
        "only the built-in order of smtpd_relay_restrictions, which decides; this where that one is empty",
        |_, v| restrictions(v),
    ),
];

/// Room for the envelope beside the largest message, within the spool's 256 MiB.
const MESSAGE_OCTETS_MAX: u64 = 200 * 1024 * 1024;

/// True if a list lets the clients of `mynetworks` send to anywhere: what stands after the check of destinations is too late.
pub(crate) fn permits_mynetworks(value: &str) -> bool {
    words(value)
        .take_while(|word| !word.ends_with("_unauth_destination"))
        .any(|word| word == "permit_mynetworks")
}

fn restrictions(value: &str) -> Result<(), Complaint> {
    let known = [
        "permit_mynetworks",
        "permit_sasl_authenticated",
        "reject_unauth_destination",
        "defer_unauth_destination",
        "reject_unauth_pipelining",
        "reject_non_fqdn_recipient",
        "permit",
    ];
    let list: Vec<&str> = words(value).collect();
    match list.iter().find(|w| !known.contains(w)) {
        Some(word) => complaint(
            format!("the restriction {word} is not supported yet"),
            "write: permit_mynetworks, reject_unauth_destination",
        ),
        // permit before the relay check would be an open relay.
        None if list.iter().take_while(|w| !w.ends_with("_unauth_destination")).any(|w| *w == "permit") => {
            complaint("permit before reject_unauth_destination makes an open relay", "leave permit out")
        }
        None => Ok(()),
    }
}

fn host_name(value: &str) -> Result<String, Complaint> {
    let value = value.trim();
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
    if value.is_empty() || value.len() > 255 || !value.bytes().all(good) {
        return complaint(format!("\"{value}\" is no host name"), "write a name such as mail.example.com");
    }
    Ok(value.to_owned())
}

fn domains(value: &str) -> Result<std::collections::HashSet<String>, Complaint> {
    words(value)
        .map(|word| match word {
            w if w.contains(':') || w.starts_with('/') => {
                complaint(format!("{w}: tables are not read here yet"), "write the domains themselves")
            }
            w => host_name(w).map(|w| w.to_ascii_lowercase()),
        })
        .collect()
}

fn blocks(value: &str) -> Result<Vec<Cidr>, Complaint> {
    words(value)
        .map(|word| match Cidr::parse(word) {
            Some(block) => Ok(block),
            None => complaint(format!("{word} is no network"), "write: 192.0.2.0/24 or [2001:db8::]/32"),
        })
        .collect()
}

fn absolute(value: &str) -> Result<PathBuf, Complaint> {
    let value = value.trim();
    if !value.starts_with('/') {
        return complaint(format!("{value} is no absolute path"), "begin the path with a slash");
    }
    Ok(PathBuf::from(value))
}

/// The files of table names: all indexed types stand for their source text.
fn alias_files(value: &str) -> Result<Vec<PathBuf>, Complaint> {
    let mut files = Vec::new();
    for word in words(value) {
        let (kind, path) = word.split_once(':').unwrap_or(("hash", word));
        match kind {
            "hash" | "texthash" | "lmdb" | "btree" | "cdb" | "dbm" | "sdbm" => {
                files.push(absolute(path.strip_suffix(".db").unwrap_or(path))?);
            }
            // NIS is in postfix's compiled-in default on many systems and means nothing without a NIS domain.
            "nis" | "netinfo" => {}
            other => {
                return complaint(
                    format!("aliases cannot be kept in a {other} table"),
                    "write: alias_maps = hash:/etc/aliases",
                );
            }
        }
    }
    Ok(files)
}
