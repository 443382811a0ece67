//! Values that are read and change less than they say: each told by name, with what holds in its place.
//!
//! A parameter that we do not know at all is `known.txt`'s matter; this is about parameters that work for other values.

use crate::settings::words;

/// What holds in the place of a value, and what to write.
type Remark = (String, String);

/// Remarks about a parameter's expanded value.
type Look = fn(&str) -> Vec<Remark>;

const LOOKS: &[(&str, Look)] = &[
    ("relayhost", relayhost),
    ("double_bounce_sender", |_| {
        remark(
            "bounces have the null sender, and a bounce that cannot be delivered is dropped and logged",
            "remove the line",
        )
    }),
    ("compatibility_level", |value| match level(value) {
        // 3.6 is the last level that changed a default (postconf(5), compatibility_level).
        Some(level) if level >= (3, 6) => Vec::new(),
        _ => remark("the defaults are those of level 3.6 and above", "compatibility_level = 3.6"),
    }),
    ("local_recipient_maps", |value| match value.trim() {
        "" | "banto" => Vec::new(),
        // postfix's own default says what we do: the user data base and the aliases.
        v if words(v)
            .all(|w| w == "$alias_maps" || w.ends_with("unix:passwd.byname") || w.starts_with("hash:")) =>
        {
            Vec::new()
        }
        _ => remark(
            "known are the users of this host and the aliases; these tables are not read",
            "local_recipient_maps = (empty: mail for unknown names is accepted and comes back)",
        ),
    }),
    ("alias_maps", nis),
    ("alias_database", nis),
    ("queue_directory", |value| match value.trim() {
        "/var/spool/postfix" => remark(
            "that directory has postfix's own format: ours is /var/spool/banto",
            "queue_directory = /var/spool/banto",
        ),
        _ => Vec::new(),
    }),
    ("smtpd_relay_restrictions", restrictions),
    ("smtpd_recipient_restrictions", restrictions),
];

/// The remarks about a value that stands in main.cf.
pub(crate) fn remarks(name: &str, value: &str) -> Vec<Remark> {
    LOOKS.iter().find(|(known, _)| *known == name).map_or_else(Vec::new, |(_, look)| look(value))
}

fn remark(instead: &str, help: &str) -> Vec<Remark> {
    vec![(instead.to_owned(), help.to_owned())]
}

/// Without brackets postfix asks the DNS for the MX hosts of the name.
fn relayhost(value: &str) -> Vec<Remark> {
    let value = value.trim();
    if value.is_empty() || value.starts_with('[') {
        return Vec::new();
    }
    let (host, port) =
        value.split_once(':').map_or((value, String::new()), |(host, port)| (host, format!(":{port}")));
    vec![(
        format!("the addresses of {host} itself are used: its MX hosts are not looked up yet"),
        format!("relayhost = [{host}]{port}"),
    )]
}

fn nis(value: &str) -> Vec<Remark> {
    let tables = words(value).filter(|word| word.starts_with("nis:") || word.starts_with("netinfo:"));
    tables.map(|table| (format!("{table} is not read"), "leave the table out".to_owned())).collect()
}

/// Restrictions that are understood and decide nothing.
fn restrictions(value: &str) -> Vec<Remark> {
    let mut found = Vec::new();
    for word in words(value) {
        let instead = match word {
            "permit_sasl_authenticated" => continue, // Nobody is authenticated: it never permits, which is the safe side.
            "reject_non_fqdn_recipient" => "a recipient without a domain is taken as one of $myorigin",
            "reject_unauth_pipelining" => continue, // Always so: smtp-proto ends such a session.
            _ => continue,
        };
        found.push((format!("{word} decides nothing: {instead}"), format!("leave {word} out")));
    }
    let relay = words(value).any(|word| word.ends_with("_unauth_destination"));
    if !relay && words(value).next().is_some() && !words(value).any(|word| word == "permit") {
        found.push((
            "reject_unauth_destination holds at the end all the same".to_owned(),
            format!("{}, reject_unauth_destination", value.trim().trim_end_matches(',')),
        ));
    }
    found
}

fn level(value: &str) -> Option<(u32, u32)> {
    let (major, minor) = value.trim().split_once('.').unwrap_or((value.trim(), "0"));
    let minor = minor.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
