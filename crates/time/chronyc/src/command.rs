//! The table of commands: each with its name, its words, what it is for, and what it does. `help` is made from it.

use std::time::Duration;

use chrony_cmd::{
    Address, Burst, ClientAccesses, ClientPage, Float, MakestepRule, Reply, Request, SourceFloat,
    SourceInteger, SourceMode,
};

use crate::cell::reference_name;
use crate::connection::Family;
use crate::report;
use crate::session::Session;
use crate::{key, parse, source};

/// One command.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// The heading under which `help` lists it.
    group: &'static str,
    /// The words after the name and what they do; several for several forms.
    forms: &'static [(&'static str, &'static str)],
    /// Does it; true when it succeeded.
    pub(crate) run: fn(&mut Session<'_>, &str) -> bool,
}

const CLOCK: &str = "System clock:";
const SOURCES: &str = "Time sources:";
const NTP: &str = "NTP sources:";
const MANUAL: &str = "Manual time input:";
const ACCESS: &str = "NTP access:";
const MONITORING: &str = "Monitoring access:";
const RTC: &str = "Real-time clock:";
const DAEMON: &str = "Other daemon commands:";
const CLIENT: &str = "Client commands:";

macro_rules! commands {
    ($($name:literal $group:ident [$($words:literal $help:literal),*] $run:expr;)*) => {
        &[$(Command { name: $name, group: $group, forms: &[$(($words, $help)),*], run: $run },)*]
    };
}

#[rustfmt::skip]
pub(crate) const COMMANDS: &[Command] = commands! {
    "tracking" CLOCK ["" "Show how the system clock stands"] tracking;
    "makestep" CLOCK ["" "Step the clock now", "<threshold> <updates>" "Set when the clock may be stepped"] makestep;
    "maxupdateskew" CLOCK ["<skew>" "Set the largest skew that still updates the frequency"]
        |s, w| one_float(s, "maxupdateskew", w, Request::ModifyMaxupdateskew);
    "dfreq" CLOCK ["<ppm>" "Change the frequency"] |s, w| one_float(s, "dfreq", w, Request::ChangeFrequency);
    "doffset" CLOCK ["<seconds>" "Shift the clock"] |s, w| one_float(s, "doffset", w, Request::ChangeOffset);
    "waitsync" CLOCK ["[<max-tries> [<max-correction> [<max-skew> [<interval>]]]]" "Wait until synchronised within limits"] waitsync;
    "sources" SOURCES ["[-a] [-v]" "Show the sources"] sources;
    "sourcestats" SOURCES ["[-a] [-v]" "Show statistics of measurements"] sourcestats;
    "selectdata" SOURCES ["[-a] [-v]" "Show why sources are or are not selected"] selectdata;
    "selectopts" SOURCES ["<address|refid> <+|-options>" "Change how a source is selected"] source::select_options;
    "reselect" SOURCES ["" "Choose the best source anew"] |s, w| bare(s, "reselect", w, &Request::Reselect);
    "reselectdist" SOURCES ["<dist>" "Set how far a better source must be"]
        |s, w| one_float(s, "reselectdist", w, Request::ReselectDistance);
    "activity" NTP ["" "Show how many sources are online and offline"] activity;
    "authdata" NTP ["[-a] [-v]" "Show authentication of sources"] authdata;
    "ntpdata" NTP ["[<address>]" "Show the last measurement of sources"] ntpdata;
    "add" NTP ["server <name> [options]" "Add a server", "pool <name> [options]" "Add a pool of servers", "peer <name> [options]" "Add a peer"] add;
    "delete" NTP ["<address>" "Remove a source"] delete;
    "burst" NTP ["<n-good>/<n-max> [[<mask>/]<address>]" "Measure quickly"] burst;
    "maxdelay" NTP ["<address> <delay>" "Set the longest delay"] |s, w| source_float(s, "maxdelay", w, Request::ModifyMaxdelay);
    "maxdelayratio" NTP ["<address> <ratio>" "Set the longest delay as a multiple of the shortest"]
        |s, w| source_float(s, "maxdelayratio", w, Request::ModifyMaxdelayratio);
    "maxdelaydevratio" NTP ["<address> <ratio>" "Set the longest delay in deviations"]
        |s, w| source_float(s, "maxdelaydevratio", w, Request::ModifyMaxdelaydevratio);
    "minpoll" NTP ["<address> <poll>" "Set the shortest poll"] |s, w| source_integer(s, "minpoll", w, Request::ModifyMinpoll);
    "maxpoll" NTP ["<address> <poll>" "Set the longest poll"] |s, w| source_integer(s, "maxpoll", w, Request::ModifyMaxpoll);
    "minstratum" NTP ["<address> <stratum>" "Set the lowest stratum"]
        |s, w| source_integer(s, "minstratum", w, Request::ModifyMinstratum);
    "offline" NTP ["[[<mask>/]<address>]" "Take sources offline"] |s, w| connectivity(s, "offline", w, Request::Offline);
    "online" NTP ["[[<mask>/]<address>]" "Bring sources online"] |s, w| connectivity(s, "online", w, Request::Online);
    "offset" NTP ["<address|refid> <offset>" "Set the correction of a source's offsets"] source::offset;
    "onoffline" NTP ["" "Bring sources online or offline as the network is"] |s, w| bare(s, "onoffline", w, &Request::Onoffline);
    "polltarget" NTP ["<address> <target>" "Set the wanted number of samples"]
        |s, w| source_integer(s, "polltarget", w, Request::ModifyPolltarget);
    "refresh" NTP ["" "Resolve names again"] |s, w| bare(s, "refresh", w, &Request::Refresh);
    "reload" NTP ["sources" "Read *.sources files again"] |s, w| exact(s, "reload", w, "sources", &Request::ReloadSources);
    "sourcename" NTP ["<address>" "Show the name by which a source was configured"] sourcename;
    "manual" MANUAL ["off|on|reset" "Allow, forbid or reset times given by hand", "list" "Show times given by hand", "delete <index>" "Forget one of them"] manual;
    "settime" MANUAL ["<time>" "Give the time by hand"] settime;
    "accheck" ACCESS ["<address>" "Show whether an address has access"] |s, w| access_check(s, "accheck", w, Request::AccessCheck);
    "clients" ACCESS ["[-p <packets>] [-k] [-r]" "Show who asked us"] clients;
    "serverstats" ACCESS ["" "Show the server's counters"] serverstats;
    "allow" ACCESS ["[<subnet>]" "Allow a subnet", "all [<subnet>]" "Allow a subnet and all within it"]
        |s, w| access(s, "allow", w, Request::Allow, Request::AllowAll);
    "deny" ACCESS ["[<subnet>]" "Deny a subnet", "all [<subnet>]" "Deny a subnet and all within it"]
        |s, w| access(s, "deny", w, Request::Deny, Request::DenyAll);
    "local" ACCESS ["[options]" "Serve time even when not synchronised", "off" "Do not"] source::local;
    "smoothtime" ACCESS ["reset|activate" "Reset or activate time smoothing"] smoothtime;
    "smoothing" ACCESS ["" "Show time smoothing"] smoothing;
    "cmdaccheck" MONITORING ["<address>" "Show whether an address has access"] |s, w| access_check(s, "cmdaccheck", w, Request::CmdAccessCheck);
    "cmdallow" MONITORING ["[<subnet>]" "Allow a subnet", "all [<subnet>]" "Allow a subnet and all within it"]
        |s, w| access(s, "cmdallow", w, Request::CmdAllow, Request::CmdAllowAll);
    "cmddeny" MONITORING ["[<subnet>]" "Deny a subnet", "all [<subnet>]" "Deny a subnet and all within it"]
        |s, w| access(s, "cmddeny", w, Request::CmdDeny, Request::CmdDenyAll);
    "rtcdata" RTC ["" "Show the real-time clock"] rtcdata;
    "trimrtc" RTC ["" "Set the real-time clock"] |s, w| bare(s, "trimrtc", w, &Request::TrimRtc);
    "writertc" RTC ["" "Save the real-time clock's parameters"] |s, w| bare(s, "writertc", w, &Request::WriteRtc);
    "cyclelogs" DAEMON ["" "Close and open log files"] |s, w| bare(s, "cyclelogs", w, &Request::CycleLogs);
    "dump" DAEMON ["" "Save measurements, keys and cookies"] |s, w| bare(s, "dump", w, &Request::Dump(0));
    "rekey" DAEMON ["" "Read keys again"] |s, w| bare(s, "rekey", w, &Request::Rekey);
    "reset" DAEMON ["sources" "Drop all measurements"] |s, w| exact(s, "reset", w, "sources", &Request::ResetSources);
    "shutdown" DAEMON ["" "End the daemon"] |s, w| bare(s, "shutdown", w, &Request::Shutdown);
    "dns" CLIENT ["-n|+n" "Do not, or do, show addresses by name", "-4|-6|-46" "Use only IPv4, only IPv6, or both"] dns;
    "timeout" CLIENT ["<milliseconds>" "Set the first wait for an answer"] timeout;
    "retries" CLIENT ["<retries>" "Set how often a request is repeated"] retries;
    "keygen" CLIENT ["[<id> [<type> [<bits>]]]" "Make a line for the key file"] key::generate;
    "exit" CLIENT ["" "Leave"] leave;
    "quit" CLIENT ["" "Leave"] leave;
    "help" CLIENT ["" "Show this help"] help;
};

impl Command {
    /// The words that may stand right behind the name, of its forms that begin with a word and not with a value.
    pub(crate) fn first_words(&self) -> impl Iterator<Item = &'static str> {
        self.forms
            .iter()
            .filter_map(|(words, _)| words.split(' ').next())
            .flat_map(|word| word.split('|'))
            .filter(|word| !word.is_empty() && !word.contains(['<', '[', '>', ']']))
    }
}

/// Says that a command's words make no sense, with the forms that do; false, as the command's result.
pub(crate) fn syntax_error(name: &str, message: &str) -> bool {
    eprintln!("{message}");
    for command in COMMANDS.iter().filter(|command| command.name == name) {
        for (words, _) in command.forms {
            crate::session::help_with_words(format!("{name} {words}").trim_end());
        }
    }
    false
}

fn invalid(name: &str) -> bool {
    syntax_error(name, &format!("Invalid syntax for {name} command"))
}

/// A command without words; chronyc leaves aside what stands behind it.
fn bare(s: &mut Session<'_>, _: &str, _: &str, request: &Request) -> bool {
    s.order(request)
}

fn exact(s: &mut Session<'_>, name: &str, words: &str, expected: &str, request: &Request) -> bool {
    if words == expected { s.order(request) } else { invalid(name) }
}

fn one_float(s: &mut Session<'_>, name: &str, words: &str, request: fn(Float) -> Request) -> bool {
    match parse::leading(words) {
        Some(value) => s.order(&request(Float(value))),
        None => syntax_error(name, "Invalid value"),
    }
}

/// `ADDRESS VALUE`.
fn source_value<T: std::str::FromStr>(s: &Session<'_>, name: &str, words: &str) -> Option<(Address, T)> {
    let parsed = words.split_once(' ').and_then(|(host, value)| Some((host, parse::leading(value)?)));
    let Some((host, value)) = parsed else {
        syntax_error(name, "Invalid syntax for address value");
        return None;
    };
    match parse::source(host, s.options.family) {
        Some(source) => Some((source, value)),
        None => {
            syntax_error(name, parse::NO_HOST);
            None
        }
    }
}

fn source_integer(
    s: &mut Session<'_>,
    name: &str,
    words: &str,
    request: fn(SourceInteger) -> Request,
) -> bool {
    let Some((source, value)) = source_value(s, name, words) else { return false };
    s.order(&request(SourceInteger { source, value }))
}

fn source_float(s: &mut Session<'_>, name: &str, words: &str, request: fn(SourceFloat) -> Request) -> bool {
    let Some((source, value)) = source_value(s, name, words) else { return false };
    s.order(&request(SourceFloat { source, value: Float(value) }))
}

fn connectivity(
    s: &mut Session<'_>,
    name: &str,
    words: &str,
    request: fn(chrony_cmd::Subnet) -> Request,
) -> bool {
    match parse::subnet(words, s.options.family) {
        Ok(subnet) => s.order(&request(subnet)),
        Err(message) => syntax_error(name, message),
    }
}

fn access(
    s: &mut Session<'_>,
    name: &str,
    words: &str,
    one: fn(chrony_cmd::AccessRule) -> Request,
    all: fn(chrony_cmd::AccessRule) -> Request,
) -> bool {
    match parse::access_rule(words, s.options.family) {
        Some((false, rule)) => s.order(&one(rule)),
        Some((true, rule)) => s.order(&all(rule)),
        None => syntax_error(name, "Could not read address"),
    }
}

fn access_check(s: &mut Session<'_>, name: &str, words: &str, request: fn(Address) -> Request) -> bool {
    match parse::source(words, s.options.family) {
        Some(address) => s.order(&request(address)),
        None => syntax_error(name, "Could not read address"),
    }
}

fn tracking(s: &mut Session<'_>, _: &str) -> bool {
    let Some(data) = s.ask_tracking() else { return false };
    let name = s.source_or_reference_name(data.address, data.reference_id);
    let text = report::tracking(s.options.csv, &data, &name);
    s.print(&text);
    true
}

fn waitsync(s: &mut Session<'_>, words: &str) -> bool {
    /// Shorter intervals would only load the daemon.
    const INTERVAL_MIN: f64 = 0.1;
    // chrony's command takes the usual values from the first word on that is no number, and so waits without an end where a
    // person mistyped: said here, since nobody can mean it.
    let numbers: Option<Vec<f64>> =
        words.split(' ').filter(|word| !word.is_empty()).map(parse::leading::<f64>).collect();
    let Some(numbers) = numbers else { return invalid("waitsync") };
    let mut numbers = numbers.into_iter();
    let mut next = |usual: f64| numbers.next().unwrap_or(usual);
    let (tries, correction, skew, interval) = (next(0.0), next(0.0), next(0.0), next(10.0));
    let interval = Duration::try_from_secs_f64(interval.max(INTERVAL_MIN)).unwrap_or(Duration::MAX);
    s.wait_for_sync(tries as u32, correction, skew, interval)
}

fn makestep(s: &mut Session<'_>, words: &str) -> bool {
    if words.is_empty() {
        return s.order(&Request::Makestep);
    }
    let rule = words.split_once(' ').and_then(|(threshold, limit)| {
        Some(MakestepRule { limit: parse::leading(limit)?, threshold: Float(parse::leading(threshold)?) })
    });
    match rule {
        Some(rule) => s.order(&Request::ModifyMakestep(rule)),
        None => syntax_error("makestep", "Bad syntax for makestep command"),
    }
}

/// `[-a] [-v]`: all sources; with a legend, which programs do not get. Other words are left aside, as chronyc does.
fn list_options(s: &Session<'_>, words: &str) -> (bool, bool) {
    let has = |wanted: &str| words.split(' ').any(|word| word == wanted);
    (has("-a"), has("-v") && !s.options.csv)
}

/// Sources whose names are not resolved are listed only with `-a`.
fn is_listed(all: bool, address: Address) -> bool {
    all || !matches!(address, Address::Unresolved(_))
}

fn sources(s: &mut Session<'_>, words: &str) -> bool {
    let (all, legend) = list_options(s, words);
    let Some(count) = s.ask_source_count() else { return false };
    if legend {
        s.print_legend(&report::SOURCES_LEGEND);
    }
    s.print_names_heading(report::SOURCES_HEADING);
    for index in 0..count {
        let data = match s.ask(&Request::SourceData(index)) {
            Some(Reply::SourceData(data)) => data,
            Some(_) => return s.bad_reply(),
            None => return false,
        };
        if is_listed(all, data.address) {
            let name = match (data.mode, data.address) {
                (SourceMode::ReferenceClock, Address::V4(id)) => reference_name(id.to_bits()),
                _ => s.source_name(data.address),
            };
            let text = report::source(s.options.csv, &data, s.widened(name, 27));
            s.print(&text);
        }
    }
    true
}

fn sourcestats(s: &mut Session<'_>, words: &str) -> bool {
    let (all, legend) = list_options(s, words);
    let Some(count) = s.ask_source_count() else { return false };
    if legend {
        s.print_legend(&report::SOURCESTATS_LEGEND);
    }
    s.print_names_heading(report::SOURCESTATS_HEADING);
    for index in 0..count {
        let data = match s.ask(&Request::SourceStats(index)) {
            Some(Reply::SourceStats(data)) => data,
            Some(_) => return s.bad_reply(),
            None => return false,
        };
        if is_listed(all, data.address) {
            let name = s.source_or_reference_name(data.address, data.reference_id);
            let text = report::source_stats(s.options.csv, &data, s.widened(name, 25));
            s.print(&text);
        }
    }
    true
}

fn selectdata(s: &mut Session<'_>, words: &str) -> bool {
    let (all, legend) = list_options(s, words);
    let Some(count) = s.ask_source_count() else { return false };
    if legend {
        s.print_legend(&report::SELECTDATA_LEGEND);
    }
    s.print_names_heading(report::SELECTDATA_HEADING);
    for index in 0..count {
        let data = match s.ask(&Request::SelectData(index)) {
            Some(Reply::SelectData(data)) => data,
            Some(_) => return s.bad_reply(),
            None => return false,
        };
        if is_listed(all, data.address) {
            let name = s.source_or_reference_name(data.address, data.reference_id);
            let text = report::select_data(s.options.csv, &data, s.widened(name, 25));
            s.print(&text);
        }
    }
    true
}

/// The addresses of all sources that are asked over the network; none when the daemon did not tell.
fn network_sources(s: &mut Session<'_>) -> Option<Vec<Address>> {
    let count = s.ask_source_count()?;
    let mut addresses = Vec::new();
    for index in 0..count {
        match s.ask(&Request::SourceData(index))? {
            Reply::SourceData(data) if matches!(data.mode, SourceMode::Client | SourceMode::Peer) => {
                addresses.push(data.address);
            }
            Reply::SourceData(_) => {}
            _ => {
                s.bad_reply();
                return None;
            }
        }
    }
    Some(addresses)
}

fn authdata(s: &mut Session<'_>, words: &str) -> bool {
    let (all, legend) = list_options(s, words);
    let Some(addresses) = network_sources(s) else { return false };
    if legend {
        s.print_legend(&report::AUTHDATA_LEGEND);
    }
    s.print_names_heading(report::AUTHDATA_HEADING);
    for address in addresses.into_iter().filter(|address| is_listed(all, *address)) {
        let data = match s.ask(&Request::AuthData(address)) {
            Some(Reply::AuthData(data)) => data,
            Some(_) => return s.bad_reply(),
            None => return false,
        };
        let name = s.source_name(address);
        let text = report::auth_data(s.options.csv, &data, s.widened(name, 27));
        s.print(&text);
    }
    true
}

fn ntpdata(s: &mut Session<'_>, words: &str) -> bool {
    let addresses = if words.is_empty() {
        let Some(addresses) = network_sources(s) else { return false };
        addresses.into_iter().filter(|address| address.ip().is_some()).collect()
    } else {
        match parse::source(words, s.options.family) {
            Some(address) => vec![address],
            None => return syntax_error("ntpdata", parse::NO_HOST),
        }
    };
    for address in addresses {
        let data = match s.ask(&Request::NtpData(address)) {
            Some(Reply::NtpData(data)) => data,
            Some(_) => return s.bad_reply(),
            None => return false,
        };
        if words.is_empty() && !s.options.csv {
            s.print("\n");
        }
        let text = report::ntp_data(s.options.csv, &data);
        s.print(&text);
    }
    true
}

fn activity(s: &mut Session<'_>, _: &str) -> bool {
    let text = match s.ask(&Request::Activity) {
        Some(Reply::Activity(data)) => report::activity(s.options.csv, &data),
        Some(_) => return s.bad_reply(),
        None => return false,
    };
    s.print(&text);
    true
}

fn add(s: &mut Session<'_>, words: &str) -> bool {
    source::add(s, words)
}

fn delete(s: &mut Session<'_>, words: &str) -> bool {
    match parse::source(words, s.options.family) {
        Some(address) => s.order(&Request::DeleteSource(address)),
        None if words.is_empty() => syntax_error("delete", "Invalid syntax for address"),
        None => syntax_error("delete", parse::NO_HOST),
    }
}

fn burst(s: &mut Session<'_>, words: &str) -> bool {
    let (counts, subnet) = words.split_once(' ').unwrap_or((words, ""));
    let counts =
        counts.split_once('/').and_then(|(good, total)| Some((good.parse().ok()?, total.parse().ok()?)));
    let Some((good, total)) = counts else { return invalid("burst") };
    match parse::subnet(subnet, s.options.family) {
        Ok(sources) => s.order(&Request::Burst(Burst { sources, good, total })),
        Err(message) => syntax_error("burst", message),
    }
}

fn sourcename(s: &mut Session<'_>, words: &str) -> bool {
    let Some(address) = parse::source(words, s.options.family) else {
        return syntax_error("sourcename", "Could not read address");
    };
    let text = match s.ask(&Request::SourceName(address)) {
        Some(Reply::SourceName(name)) => {
            match name.as_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic())) {
                Some(name) => report::word(name),
                None => return s.bad_reply(),
            }
        }
        Some(_) => return s.bad_reply(),
        None => return false,
    };
    s.print(&text);
    true
}

fn manual(s: &mut Session<'_>, words: &str) -> bool {
    let request = match words.split_once(' ').unwrap_or((words, "")) {
        ("off", "") => Request::Manual(0),
        ("on", "") => Request::Manual(1),
        ("reset", "") => Request::Manual(2),
        ("list", _) => return manual_list(s),
        ("delete", index) => match parse::leading(index) {
            Some(index) => Request::ManualDelete(index),
            None => return syntax_error("manual", "Bad syntax for manual delete command"),
        },
        _ => return invalid("manual"),
    };
    s.order(&request)
}

fn settime(s: &mut Session<'_>, words: &str) -> bool {
    let Some(seconds) = crate::parse_time(words) else {
        s.print("510 - Could not parse date string\n");
        crate::session::help_with_words("settime 16:30:05, or settime Nov 21, 2015 16:30:05");
        return false;
    };
    let told = chrony_cmd::Timespec { seconds, nanoseconds: 0 };
    match s.exchange(&Request::Settime(told), true) {
        Some(Reply::ManualTimestamp(data)) => {
            let text = report::manual_timestamp(&data);
            s.print(&text);
            true
        }
        Some(_) => s.bad_reply(),
        None => false,
    }
}

fn manual_list(s: &mut Session<'_>) -> bool {
    let list = match s.ask(&Request::ManualList) {
        Some(Reply::ManualList(list)) => list,
        Some(_) => return s.bad_reply(),
        None => return false,
    };
    if !s.options.csv {
        s.print(&format!("210 n_samples = {}\n", list.samples.len()));
    }
    s.print_heading(report::MANUAL_LIST_HEADING);
    for (index, sample) in list.samples.iter().enumerate() {
        let text = report::manual_sample(s.options.csv, index, sample);
        s.print(&text);
    }
    true
}

fn clients(s: &mut Session<'_>, words: &str) -> bool {
    let (mut nts_ke, mut reset, mut min_hits) = (false, 0, 0);
    let mut words = words.split(' ').filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        match word {
            "-k" => nts_ke = true,
            "-r" => reset = 1,
            "-p" => match words.next().and_then(|count| count.parse().ok()) {
                Some(count) => min_hits = count,
                None => return invalid("clients"),
            },
            _ => {}
        }
    }
    s.print_names_heading(&report::clients_heading(nts_ke));
    let mut first_index = 0;
    loop {
        let page = ClientPage { first_index, clients: ClientAccesses::MAX as u32, min_hits, reset };
        let page = match s.ask(&Request::ClientAccesses(page)) {
            Some(Reply::ClientAccesses(page)) => page,
            Some(_) => return s.bad_reply(),
            None => return false,
        };
        for client in page.clients.iter().filter(|client| client.address != Address::Unspecified) {
            let name = s.host_name(client.address);
            let text = report::client(s.options.csv, client, s.widened(name, 25), nts_ke);
            s.print(&text);
        }
        // A daemon that does not move on would keep us here.
        if page.clients.len() < ClientAccesses::MAX
            || page.next_index >= page.indices
            || page.next_index <= first_index
        {
            return true;
        }
        first_index = page.next_index;
    }
}

fn serverstats(s: &mut Session<'_>, _: &str) -> bool {
    let text = match s.ask(&Request::ServerStats) {
        Some(Reply::ServerStats(stats)) => report::server_stats(s.options.csv, &stats),
        Some(_) => return s.bad_reply(),
        None => return false,
    };
    s.print(&text);
    true
}

fn rtcdata(s: &mut Session<'_>, _: &str) -> bool {
    let text = match s.ask(&Request::RtcReport) {
        Some(Reply::Rtc(data)) => report::rtc_data(s.options.csv, &data),
        Some(_) => return s.bad_reply(),
        None => return false,
    };
    s.print(&text);
    true
}

fn smoothing(s: &mut Session<'_>, _: &str) -> bool {
    let text = match s.ask(&Request::Smoothing) {
        Some(Reply::Smoothing(data)) => report::smoothing(s.options.csv, &data),
        Some(_) => return s.bad_reply(),
        None => return false,
    };
    s.print(&text);
    true
}

fn smoothtime(s: &mut Session<'_>, words: &str) -> bool {
    match words {
        "reset" => s.order(&Request::Smoothtime(0)),
        "activate" => s.order(&Request::Smoothtime(1)),
        _ => invalid("smoothtime"),
    }
}

fn dns(s: &mut Session<'_>, words: &str) -> bool {
    match words {
        "-n" => s.options.no_dns = true,
        "+n" => s.options.no_dns = false,
        "-4" => s.options.family = Family::V4,
        "-6" => s.options.family = Family::V6,
        "-46" => s.options.family = Family::Any,
        _ => return syntax_error("dns", "Unrecognized dns command"),
    }
    true
}

fn timeout(s: &mut Session<'_>, words: &str) -> bool {
    /// Shorter ones make requests pile up at a busy daemon.
    const TIMEOUT_MS_MIN: u64 = 100;
    let ms = parse::leading::<i64>(words).unwrap_or(0);
    match u64::try_from(ms) {
        Ok(ms) if ms >= TIMEOUT_MS_MIN => {
            s.connection.patience.timeout = Duration::from_millis(ms);
            true
        }
        _ => syntax_error("timeout", &format!("Timeout {ms} is too short")),
    }
}

fn retries(s: &mut Session<'_>, words: &str) -> bool {
    /// Each retry doubles the wait: 30 of them already exceed a lifetime.
    const RETRIES_MAX: u32 = 30;
    match u32::try_from(parse::leading::<i64>(words).unwrap_or(0)) {
        Ok(count) if count <= RETRIES_MAX => {
            s.connection.patience.retries = count;
            true
        }
        _ => syntax_error("retries", "Invalid maximum number of retries"),
    }
}

fn leave(s: &mut Session<'_>, _: &str) -> bool {
    s.ended = true;
    true
}

fn help(s: &mut Session<'_>, _: &str) -> bool {
    /// Where the second column starts.
    const COLUMN: usize = 28;
    let mut text = String::new();
    let mut group = "";
    for command in COMMANDS {
        if command.group != group {
            text.push_str(if group.is_empty() { "" } else { "\n" });
            group = command.group;
            text.push_str(group);
            text.push('\n');
        }
        for (words, what) in command.forms {
            let form = format!("{} {words}", command.name);
            let form = form.trim_end();
            if form.len() >= COLUMN {
                text.push_str(&format!("{form}\n{:COLUMN$}{what}\n", ""));
            } else {
                text.push_str(&format!("{form:COLUMN$}{what}\n"));
            }
        }
    }
    // As chronyc ends each group.
    text.push_str(&format!("{:COLUMN$}\n", ""));
    s.print(&text);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: no two commands share a name, and each has at least one form that `help` shows.
    #[test]
    fn the_table_is_consistent() {
        for (index, command) in COMMANDS.iter().enumerate() {
            assert!(!command.forms.is_empty(), "{}", command.name);
            assert!(COMMANDS[..index].iter().all(|other| other.name != command.name), "{}", command.name);
        }
    }
}
