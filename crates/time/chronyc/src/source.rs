//! `add` and `local`: the commands whose words are those of chrony.conf(5).

use chrony_cmd::{
    Address, Float, LocalMode, LocalModeShort, Name, NewSource, Reply, Request, SelectOptions,
    SelectOptionsChange, SourceFlags, SourceKind, SourceOffset, Status,
};
use chrony_conf::{AddressFamily, SourceOptions};

use crate::command::syntax_error;
use crate::connection::{Family, resolve};
use crate::session::Session;

/// `add server|pool|peer NAME [OPTION]...`.
pub(crate) fn add(s: &mut Session<'_>, words: &str) -> bool {
    let source = match chrony_conf::parse_source_words(words) {
        Ok(source) => source,
        Err(mistakes) => {
            if mistakes.is_empty() {
                return syntax_error("add", "Invalid syntax for add command");
            }
            eprintln!("Invalid syntax for add command");
            eprint!("{mistakes}");
            return false;
        }
    };
    // The daemon would go on trying a name that does not exist; whoever types it wants to know at once.
    let name = Name::new(&source.name).filter(|_| !resolve(&source.name, Family::Any).is_empty());
    let Some(name) = name else {
        eprintln!("Invalid host/IP address");
        return false;
    };
    let kind = match source.kind {
        chrony_conf::SourceKind::Server => SourceKind::Server,
        chrony_conf::SourceKind::Pool => SourceKind::Pool,
        chrony_conf::SourceKind::Peer => SourceKind::Peer,
    };
    s.order(&Request::AddSource(Box::new(new_source(kind, name, &source.options))))
}

fn new_source(kind: SourceKind, name: Name, o: &SourceOptions) -> NewSource {
    /// chrony's number for "estimate it".
    const ASYMMETRY_ESTIMATED: f64 = 1.0;
    let samples = |count: Option<u32>| count.map_or(-1, |count| count as i32);
    let flags = [
        (SourceFlags::ONLINE, !o.offline),
        (SourceFlags::AUTO_OFFLINE, o.auto_offline),
        (SourceFlags::IBURST, o.iburst),
        (SourceFlags::PREFER, o.prefer),
        (SourceFlags::NOSELECT, o.noselect),
        (SourceFlags::TRUST, o.trust),
        (SourceFlags::REQUIRE, o.require),
        (SourceFlags::INTERLEAVED, o.xleave),
        (SourceFlags::BURST, o.burst),
        (SourceFlags::NTS, o.nts),
        (SourceFlags::COPY, o.copy),
        (SourceFlags::EXTFIELD_MONO_ROOT, o.extfields.contains(&0xf323)),
        (SourceFlags::EXTFIELD_NET_CORRECTION, o.wants_corrections()),
        (SourceFlags::IPV4, o.family == Some(AddressFamily::V4)),
        (SourceFlags::IPV6, o.family == Some(AddressFamily::V6)),
    ];
    NewSource {
        kind,
        name,
        port: o.port.into(),
        minpoll: o.minpoll.into(),
        maxpoll: o.maxpoll.into(),
        presend_minpoll: o.presend.into(),
        min_stratum: o.minstratum.into(),
        poll_target: o.polltarget,
        version: o.version.unwrap_or(0).into(),
        max_sources: o.maxsources.into(),
        min_samples: samples(o.minsamples),
        max_samples: samples(o.maxsamples),
        key: o.key.unwrap_or(0),
        nts_port: o.ntsport.into(),
        max_delay: Float(o.maxdelay),
        max_delay_ratio: Float(o.maxdelayratio),
        max_delay_dev_ratio: Float(o.maxdelaydevratio),
        min_delay: Float(o.mindelay),
        asymmetry: Float(o.asymmetry.unwrap_or(ASYMMETRY_ESTIMATED)),
        offset: Float(o.offset),
        flags: flags.into_iter().fold(SourceFlags::default(), |all, (flag, set)| all.with(flag, set)),
        filter_length: o.filter as i32,
        certificate_set: o.certset,
        max_delay_quantile: Float(o.maxdelayquant),
        max_unreach: o.maxunreach as i32,
    }
}

/// A source by its address, or a reference clock by its id; no host names, which could be ids too.
fn address_or_reference(word: &str) -> Option<(Address, u32)> {
    if let Some(id) = word.strip_prefix("ID#").and_then(|id| id.parse().ok()) {
        return Some((Address::Unresolved(id), 0));
    }
    if let Ok(ip) = word.parse::<std::net::IpAddr>() {
        return Some((ip.into(), 0));
    }
    let bytes = word.as_bytes();
    let mut id = [0; 4];
    id.get_mut(..bytes.len()).filter(|_| !bytes.is_empty())?.copy_from_slice(bytes);
    Some((Address::Unspecified, u32::from_be_bytes(id)))
}

/// `offset SOURCE SECONDS`.
pub(crate) fn offset(s: &mut Session<'_>, words: &str) -> bool {
    let read = words
        .split_once(' ')
        .and_then(|(source, offset)| Some((address_or_reference(source)?, crate::parse::leading(offset)?)));
    match read {
        Some(((source, reference_id), offset)) => {
            s.order(&Request::ModifyOffset(SourceOffset { source, reference_id, offset: Float(offset) }))
        }
        None => syntax_error("offset", "Invalid syntax for offset command"),
    }
}

/// `selectopts SOURCE [+OPTION|-OPTION]...`.
pub(crate) fn select_options(s: &mut Session<'_>, words: &str) -> bool {
    let wrong = |_: &mut Session<'_>| syntax_error("selectopts", "Invalid syntax for selectopts command");
    let mut words = words.split(' ').filter(|word| !word.is_empty());
    let Some((source, reference_id)) = words.next().and_then(address_or_reference) else { return wrong(s) };
    let (mut mask, mut options) = (SelectOptions::default(), SourceFlags::default());
    for word in words {
        let (set, name) = match word.split_at_checked(1) {
            Some(("+", name)) => (true, name),
            Some(("-", name)) => (false, name),
            _ => return wrong(s),
        };
        let (bit, flag) = match name.to_ascii_lowercase().as_str() {
            "noselect" => (SelectOptions::NOSELECT, SourceFlags::NOSELECT),
            "prefer" => (SelectOptions::PREFER, SourceFlags::PREFER),
            "require" => (SelectOptions::REQUIRE, SourceFlags::REQUIRE),
            "trust" => (SelectOptions::TRUST, SourceFlags::TRUST),
            _ => return wrong(s),
        };
        mask = mask.with(bit, true);
        options = options.with(flag, set);
    }
    let mask = mask.0.into();
    s.order(&Request::ModifySelectOptions(SelectOptionsChange { source, reference_id, mask, options }))
}

/// `local [OPTION]...` and `local off`.
pub(crate) fn local(s: &mut Session<'_>, words: &str) -> bool {
    let Some(mode) = local_mode(words) else {
        return match chrony_conf::directive_mistakes(&format!("local {words}")) {
            Some(mistakes) => {
                eprintln!("Invalid syntax for local command");
                eprint!("{mistakes}");
                false
            }
            None => syntax_error("local", "Invalid syntax for local command"),
        };
    };
    // The daemons before and since 4.6 have different requests for it, and refuse each other's as invalid. The older
    // one cannot say the newer options, so it is sent only without them.
    let newer = mode.activate.0 != 0.0 || mode.wait_synced.0 != 0.0;
    if !newer {
        let answer = s.connection.ask(&Request::LocalShort(mode.short), &mut crate::session::interrupted);
        match answer {
            Some(answer) if answer.status == Status::Invalid => {}
            Some(answer) => {
                s.print(answer.status.text());
                s.print("\n");
                return answer.status == Status::Success && answer.reply == Some(Reply::Null);
            }
            None => {
                s.print("506 Cannot talk to daemon\n");
                return false;
            }
        }
    }
    s.order(&Request::Local(mode))
}

fn local_mode(words: &str) -> Option<LocalMode> {
    let mut mode = LocalMode {
        short: LocalModeShort { on: 1, stratum: 10, distance: Float(1.0), orphan: 0 },
        activate: Float(0.0),
        wait_synced: Float(0.0),
        wait_unsynced: Float(-1.0),
    };
    if words == "off" {
        mode.short = LocalModeShort { on: 0, stratum: 0, distance: Float(0.0), orphan: 0 };
        mode.wait_unsynced = Float(0.0);
        return Some(mode);
    }
    let mut words = words.split(' ').filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let mut number = || words.next()?.parse::<f64>().ok().map(Float);
        match word.to_ascii_lowercase().as_str() {
            "stratum" => {
                mode.short.stratum =
                    words.next()?.parse().ok().filter(|stratum| (1..=15).contains(stratum))?;
            }
            "orphan" => mode.short.orphan = 1,
            "distance" => mode.short.distance = number()?,
            "activate" => mode.activate = number()?,
            "waitsynced" => mode.wait_synced = number()?,
            "waitunsynced" => mode.wait_unsynced = number()?,
            _ => return None,
        }
    }
    // chrony.conf(5): without `waitunsynced`, 300 seconds in orphan mode and none else.
    if mode.wait_unsynced.0 < 0.0 {
        mode.wait_unsynced = Float(if mode.short.orphan == 1 { 300.0 } else { 0.0 });
    }
    Some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the options of `local` become the numbers of the protocol; anything else is refused.
    #[test]
    fn local_options_are_read() {
        let check = |words: &str, expected: Option<(i32, i32, f64, i32)>| {
            let read =
                local_mode(words).map(|m| (m.short.on, m.short.stratum, m.short.distance.0, m.short.orphan));
            assert_eq!(read, expected, "{words}");
        };
        check("", Some((1, 10, 1.0, 0)));
        check("stratum 5 orphan distance 0.5", Some((1, 5, 0.5, 1)));
        check("off", Some((0, 0, 0.0, 0)));
        check("stratum 16", None);
        check("stratum", None);
        check("on", None);
    }
}
