//! What a configuration names and is not there: told with its line, since only a daemon can look, and only a file has lines.

use chrony_conf::{Line, Settings, lines};
use conf_text::{Diagnostics, Sources};
use ntp_proto::Keys;
use std::io;
use std::path::Path;

/// Folders below this come and go while the system runs: Debian's chrony.conf names one that only its DHCP client makes.
const MADE_AT_RUN_TIME: &str = "/run";

/// Warnings about names in `texts`, from which `settings` were read. `only_checks`: nobody starts, so that what a start says of
/// files by itself is said here.
pub(super) fn look(settings: &Settings, texts: &Sources, only_checks: bool, diagnostics: &mut Diagnostics) {
    folders(texts, diagnostics);
    mail(texts, diagnostics);
    // A start says of keys, certificates and users what it finds when it needs them.
    if only_checks {
        keys(settings, texts, diagnostics);
        for line in lines(texts, &["ntstrustedcerts"]) {
            unreadable(&line, "trusts nobody by it", diagnostics);
        }
        for line in lines(texts, &["user"]) {
            user(&line, diagnostics);
        }
        for line in lines(texts, &["leapsectz"]) {
            zone(&line, diagnostics);
        }
        for line in lines(texts, &["hwtimestamp"]) {
            interface(&line, diagnostics);
        }
        strata(settings, texts, diagnostics);
    }
    // Without a server's port nobody looks at them.
    if only_checks || settings.port == 0 {
        for line in lines(texts, &["ntsservercert", "ntsserverkey"]) {
            unreadable(&line, "no keys are given out without it", diagnostics);
        }
    }
}

/// As for chrony a folder that is not there has no files, but it may be a slip.
fn folders(texts: &Sources, diagnostics: &mut Diagnostics) {
    for line in lines(texts, &["sourcedir", "confdir"]) {
        for folder in line.words.iter().map(Path::new) {
            if folder.starts_with(MADE_AT_RUN_TIME) || folder.is_dir() {
                continue;
            }
            let (shown, what) =
                (folder.display(), if folder.exists() { "is no folder" } else { "does not exist" });
            diagnostics.warning(
                line.span,
                format!("{} {shown} {what}", line.name),
                "nothing is read from it",
                format!("mkdir -p {shown}"),
            );
        }
    }
}

/// A name without a host is a user of this one, or an alias.
fn mail(texts: &Sources, diagnostics: &mut Diagnostics) {
    for line in lines(texts, &["mailonchange"]) {
        let Some(name) = line.words.first().filter(|name| !name.contains('@')) else { continue };
        if is_user(name) || is_alias(name) {
            continue;
        }
        diagnostics.warning(
            line.span,
            format!("mailonchange: there is no user or alias {name} here"),
            "nobody gets this mail",
            "mailonchange root@localhost 0.5",
        );
    }
}

fn is_user(name: &str) -> bool {
    // Who cannot be looked up may be there.
    !matches!(sys::user::by_name(name), Ok(None))
}

fn is_alias(name: &str) -> bool {
    let text =
        sys::file::read_text_bounded(Path::new("/etc/aliases"), crate::FILE_BYTES_MAX).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .any(|(alias, _)| alias.trim().eq_ignore_ascii_case(name))
}

fn user(line: &Line, diagnostics: &mut Diagnostics) {
    if let Some(name) = line.words.first().filter(|name| !is_user(name)) {
        diagnostics.warning(
            line.span,
            format!("there is no user {name}"),
            "the daemon of root does not start",
            format!("adduser --system {name}"),
        );
    }
}

/// A time zone that this host has not got.
fn zone(line: &Line, diagnostics: &mut Diagnostics) {
    let Some(name) = line.words.first() else { return };
    let path = crate::daemon::leap::zone_path(name);
    if !path.exists() {
        diagnostics.warning(
            line.span,
            format!("there is no time zone {name}: {}", path.display()),
            "leap seconds are not known from it",
            "leapsectz right/UTC (on newer Debian it is in the package tzdata-legacy)",
        );
    }
}

/// An interface that this host has not got.
fn interface(line: &Line, diagnostics: &mut Diagnostics) {
    let Some(name) = line.words.first().filter(|name| *name != "*") else { return };
    // Cards come and go, so it may be right all the same.
    if !Path::new("/sys/class/net").join(name).exists() {
        diagnostics.warning(
            line.span,
            format!("there is no interface {name} now"),
            "nothing is stamped by it",
            "those that are there: ip link",
        );
    }
}

/// Limits that no stratum is within.
fn strata(settings: &Settings, texts: &Sources, diagnostics: &mut Diagnostics) {
    let (least, most) = (settings.min_stratum, settings.max_stratum);
    if least > most
        && let Some(line) = lines(texts, &["minstratum", "maxstratum"]).pop()
    {
        diagnostics.warning(
            line.span,
            format!("no stratum is {least} or more and {most} or less"),
            "no source is followed",
            format!("maxstratum {least}"),
        );
    }
}

/// A file or folder of certificates that cannot be opened.
fn unreadable(line: &Line, label: &str, diagnostics: &mut Diagnostics) {
    let Some(path) = line.words.last().map(Path::new) else { return };
    if let Err(error) = std::fs::File::open(path) {
        let help = crate::events::where_to_look(path, &error);
        let (name, path) = (&line.name, path.display());
        let why = crate::events::reason(&error);
        diagnostics.warning(line.span, format!("{name} {path}: {why}"), label, help);
    }
}

/// The key file, and the keys that sources want of it.
fn keys(settings: &Settings, texts: &Sources, diagnostics: &mut Diagnostics) {
    let Some(path) = &settings.key_file else { return };
    let shown = path.display();
    let text = match sys::file::read_text_bounded(path, crate::FILE_BYTES_MAX) {
        Ok(text) => text,
        Err(error) => {
            let Some(line) = lines(texts, &["keyfile"]).pop() else { return };
            let help = match error.kind() {
                io::ErrorKind::NotFound => format!("chronyc keygen 1 SHA256 256 >>{shown}"),
                io::ErrorKind::PermissionDenied => "check as root".to_owned(),
                _ => format!("ls -l {shown}"),
            };
            let why = crate::events::reason(&error);
            diagnostics.warning(line.span, format!("keyfile {shown}: {why}"), "no key is known", help);
            return;
        }
    };
    let (known, errors) = Keys::parse(&text);
    if let (Some(line), Some((number, error))) = (lines(texts, &["keyfile"]).pop(), errors.first()) {
        diagnostics.warning(
            line.span,
            format!("line {number} of {shown} cannot be used: {error}"),
            "this file",
            "chronyc keygen 1 SHA256 256",
        );
    }
    for line in lines(texts, &["server", "pool", "peer"]) {
        let secured = line.words.iter().any(|word| word.eq_ignore_ascii_case("nts"));
        let wanted = line.value("key").and_then(|id| id.parse::<u32>().ok()).filter(|_| !secured);
        if let Some(id) = wanted.filter(|id| known.key(*id).is_none()) {
            diagnostics.warning(
                line.span,
                format!("the key file {shown} has no key {id}"),
                "not asked",
                format!("copy the line of key {id} from the server's key file into {shown}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conf_text::FileLoader;

    /// Goal: what a file names and is not there is told with its line, for a check all of it, and what is there is not.
    #[test]
    fn what_is_not_there_is_told_with_its_line() {
        let folder = std::env::temp_dir().join(format!("timed-look-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let keys = folder.join("keys");
        std::fs::write(&keys, "1 MD5 ASCII:secret\n").expect("it is ours");
        let told = |text: &str, only_checks: bool| {
            let text = text.replace("{dir}", &folder.display().to_string());
            let mut settings = Settings::new(&layout::Layout::house(&folder));
            let (mut texts, mut diagnostics) = (Sources::new(), Diagnostics::new());
            let id = texts.add("/c", text);
            chrony_conf::read(id, &mut settings, &mut FileLoader, &mut texts, &mut diagnostics);
            assert!(!diagnostics.has_errors(), "{}", diagnostics.render(&texts, false));
            let mut diagnostics = Diagnostics::new();
            look(&settings, &texts, only_checks, &mut diagnostics);
            diagnostics.render(&texts, false)
        };
        let check = |text: &str, only_checks: bool, expected: &[&str]| {
            let said = told(text, only_checks);
            for part in expected {
                let part = part.replace("{dir}", &folder.display().to_string());
                assert!(said.contains(&part), "{text}: {part} is not in\n{said}");
            }
            assert_eq!(said.is_empty(), expected.is_empty(), "{said}");
        };
        check("sourcedir {dir}\nconfdir {dir} /run/none\nkeyfile {dir}/keys\nserver a key 1", true, &[]);
        check(
            "mailonchange root 1\nmailonchange a@b 1\nuser root\nserver a nts key 9\nkeyfile {dir}/keys",
            true,
            &[],
        );
        check("port 123\nsourcedir {dir} {dir}/no", false, &["sourcedir {dir}/no does not exist", "/c:2:1"]);
        check("confdir {dir}/keys", false, &["confdir {dir}/keys is no folder"]);
        check("mailonchange no-such-user 1", false, &["there is no user or alias no-such-user", "/c:1:1"]);
        check("keyfile {dir}/keys\npool a key 9", true, &["keys has no key 9", "/c:2:1", "help: copy"]);
        check("keyfile {dir}/keys\npool a key 9", false, &[]);
        check(
            "keyfile {dir}/none\npool a key 9",
            true,
            &["keyfile {dir}/none: No such file", "chronyc keygen"],
        );
        check("user no-such-user", true, &["there is no user no-such-user", "help: adduser"]);
        check("leapsectz Rigth/UTC", true, &["there is no time zone Rigth/UTC", "/c:1:1", "help: leapsectz"]);
        check("leapsectz Rigth/UTC\nhwtimestamp none0\nmaxstratum 2\nminstratum 3", false, &[]);
        check("hwtimestamp *\nhwtimestamp lo\nminstratum 3\nmaxstratum 3", true, &[]);
        check("hwtimestamp none0 minpoll 1", true, &["there is no interface none0 now", "/c:1:1"]);
        check("maxstratum 2\nminstratum 3", true, &["no stratum is 3 or more and 2 or less", "/c:2:1"]);
        let pair = "ntsservercert {dir}/c\nntsserverkey {dir}/k\nntstrustedcerts 1 {dir}/t";
        check(
            pair,
            true,
            &["ntsservercert {dir}/c: No such file", "ntsserverkey {dir}/k:", "ntstrustedcerts {dir}/t:"],
        );
        check(&format!("port 0\n{pair}"), false, &["ntsservercert {dir}/c: No such file", "/c:2:1"]);
        check(&format!("port 123\n{pair}"), false, &[]);
        std::fs::remove_dir_all(&folder).expect("our own folder");
    }
}
