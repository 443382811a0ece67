//! Configuration languages: whatever the text, the parser ends, every mistake can be shown, and what was accepted had none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use conf_text::{Diagnostics, MemoryLoader, Sources};
use layout::Layout;

const PATH: &str = "/etc/under-test";

/// The text in memory, as a file that may include itself.
fn loader(data: &[u8]) -> MemoryLoader {
    let text = String::from_utf8_lossy(data).into_owned();
    MemoryLoader { files: BTreeMap::from([(PathBuf::from(PATH), text)]) }
}

/// Every finding can be drawn, wherever it points.
fn draw(diagnostics: &Diagnostics, sources: &Sources) {
    assert_eq!(diagnostics.render(sources, false).is_empty(), diagnostics.list.is_empty());
}

pub(crate) fn chrony(data: &[u8]) {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let mut settings = chrony_conf::Settings::new(&Layout::system());
    chrony_conf::load(Path::new(PATH), &mut settings, &mut loader(data), &mut sources, &mut diagnostics);
    draw(&diagnostics, &sources);
    // What is printed as the effective configuration is a configuration.
    if !diagnostics.has_errors() {
        let printed = settings.render();
        let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
        let mut again = chrony_conf::Settings::new(&Layout::system());
        let mut loader = loader(printed.as_bytes());
        chrony_conf::load(Path::new(PATH), &mut again, &mut loader, &mut sources, &mut diagnostics);
        assert!(!diagnostics.has_errors(), "{printed}\n{}", diagnostics.render(&sources, false));
    }
}

pub(crate) fn rsyslog(data: &[u8]) {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let settings =
        rsyslog_conf::parse_rsyslog(Path::new(PATH), &mut loader(data), &mut sources, &mut diagnostics);
    draw(&diagnostics, &sources);
    assert_eq!(settings.is_some(), !diagnostics.has_errors(), "settings and errors exclude each other");
}

pub(crate) fn journald(data: &[u8]) {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let settings =
        rsyslog_conf::parse_journald(Path::new(PATH), &mut loader(data), &mut sources, &mut diagnostics);
    draw(&diagnostics, &sources);
    assert_eq!(settings.is_some(), !diagnostics.has_errors(), "settings and errors exclude each other");
}

pub(crate) fn postfix(data: &[u8]) {
    let host = postfix_conf::Host { name: "host.example".into(), layout: Layout::house("/house") };
    for main in [true, false] {
        let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
        let id = sources.add(PATH, String::from_utf8_lossy(data));
        let (main, master) = if main { (Some(id), None) } else { (None, Some(id)) };
        let settings = postfix_conf::read(main, master, &sources, &host, &mut diagnostics);
        draw(&diagnostics, &sources);
        assert!(settings.is_none() || !diagnostics.has_errors(), "settings and errors exclude each other");
    }
}

pub(crate) fn banto(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Err(mistakes) = banto_conf::parse(&text) {
        assert!(!mistakes.is_empty(), "a refusal says why");
    }
}
