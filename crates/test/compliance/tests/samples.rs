//! Goal: every configuration that the documentation shows is accepted, without a word, by the program that it is for. Method:
//! fenced blocks whose info string names a configuration language are taken out of all pages and given to that program's own
//! check, in a folder of their own. With `BANTO_UNDER_TEST=stock` chrony.conf and rsyslog.conf are checked by the stock daemons.
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use compliance::{Side, TempDir, banto, skip, stock_or_skip, stock_without_clock, under_test};

/// The house of the samples: each test puts its own folder in its place.
const HOUSE: &str = "/home/ann/banto-data";

/// The languages of the samples; each is also the name of its file.
const LANGUAGES: [&str; 6] =
    ["chrony.conf", "rsyslog.conf", "journald.conf", "main.cf", "aliases", "banto.toml"];

/// Info strings of blocks that are no configuration.
const OTHERS: [&str; 6] = ["", "text", "sh", "console", "json", "rust"];

/// Pages that must show samples, and how many of each language at least.
const EXPECTED: [(&str, &[(&str, usize)]); 3] = [
    (
        "docs/configuration.md",
        &[
            ("chrony.conf", 1),
            ("rsyslog.conf", 1),
            ("journald.conf", 1),
            ("main.cf", 1),
            ("aliases", 1),
            ("banto.toml", 1),
        ],
    ),
    ("README.md", &[("banto.toml", 1), ("rsyslog.conf", 1)]),
    ("README.ja.md", &[("banto.toml", 1), ("rsyslog.conf", 1)]),
];

/// A fenced block.
#[derive(Debug)]
struct Block {
    page: String,
    line: usize,
    language: String,
    text: String,
}

impl Block {
    fn place(&self) -> String {
        format!("{}:{} ({})", self.page, self.line, self.language)
    }
}

#[test]
fn samples_are_accepted() {
    let blocks = all_blocks();
    for (page, languages) in EXPECTED {
        for (language, least) in languages {
            let found =
                blocks.iter().filter(|block| block.page == page && block.language == *language).count();
            assert!(found >= *least, "{page} shows {found} samples of {language}, expected {least}");
        }
    }
    let unknown: Vec<String> = blocks
        .iter()
        .filter(|block| ![&LANGUAGES[..], &OTHERS[..]].concat().contains(&block.language.as_str()))
        .map(Block::place)
        .collect();
    assert!(unknown.is_empty(), "nobody checks blocks of this kind: {unknown:?}");
    let mut wrong = Vec::new();
    for block in blocks.iter().filter(|block| LANGUAGES.contains(&block.language.as_str())) {
        if let Some(Err(said)) = checked(&block.language, &block.text) {
            wrong.push(format!("{}:\n{said}", block.place()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Goal: each check can fail: a text with one mistake is refused, and the mistake is told with its line.
#[test]
fn mistakes_are_refused() {
    for (language, text) in [
        ("chrony.conf", "server ntp.example.org iburst\nservr ntp.example.org\n"),
        ("rsyslog.conf", "# fine\n*.nosuchseverity /home/ann/banto-data/log/x\n"),
        ("journald.conf", "[Journal]\nStorage=somewhere\n"),
        ("main.cf", "myhostname = a.example\nmessage_size_limit = much\n"),
        ("aliases", "root: ann\nno colon here\n"),
        ("banto.toml", "[[rule]]\nname = \"x\"\nmatch = { selektor = \"*.err\" }\nto = [\"root\"]\n"),
    ] {
        match checked(language, text) {
            Some(Ok(())) => panic!("{language}: a mistake was accepted:\n{text}"),
            Some(Err(said)) if under_test() == Side::Ours => {
                // The mistake of every text stands in its second line, or, of the rule, in its third.
                let line = if language == "banto.toml" { 3 } else { 2 };
                assert!(said.contains(&format!("{language}:{line}")), "{language}: no place in:\n{said}");
            }
            Some(Err(_)) | None => {}
        }
    }
}

/// Goal: a test that `docs/cve.md` names exists, in the crate that it names.
#[test]
fn tests_named_for_holes_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let page = std::fs::read_to_string(root.join("docs/cve.md")).expect("the page stands");
    let named: Vec<(&str, &str)> = page
        .lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter_map(|word| word.split_once("::"))
        .collect();
    assert!(named.len() > 30, "the table has shrunk, or is no longer understood: {named:?}");
    let mut sources = Vec::new();
    add_files(&root.join("crates"), &mut sources);
    sources.retain(|path| path.extension().is_some_and(|ending| ending == "rs"));
    for (name, test) in named {
        let function = format!("fn {test}() {{");
        let stands = sources
            .iter()
            .filter(|path| path.iter().any(|part| part == name))
            .any(|path| std::fs::read_to_string(path).is_ok_and(|text| text.contains(&function)));
        assert!(stands, "docs/cve.md names {name}::{test}, which does not exist");
    }
}

/// Whether the program accepts the text; none where the stock side has no check of its own.
fn checked(language: &str, text: &str) -> Option<Result<(), String>> {
    let dir = TempDir::new();
    for folder in ["etc/chrony.d", "etc/rsyslog.d", "log", "mail", "spool", "run", "state"] {
        std::fs::create_dir_all(dir.join(folder)).expect("a folder can be made in a test's own folder");
    }
    let house = dir.path().display().to_string();
    // What a sample refers to: a list of addresses, and an alias file.
    dir.write("etc/staff", "ann\n");
    dir.write("etc/aliases", "root: ann\n");
    // The log daemon reads both of its files at once.
    dir.write("etc/rsyslog.conf", format!("*.* {house}/log/all\n"));
    dir.write(
        "etc/main.cf",
        format!("alias_maps = hash:{house}/etc/aliases\nqueue_directory = {house}/spool\n"),
    );
    let file = dir.write(&format!("etc/{language}"), text.replace(HOUSE, &house));
    let output = match under_test() {
        Side::Ours => ours(language, dir.path(), &file),
        Side::Stock => stock(language, &file)?,
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let warned = under_test() == Side::Ours && (said.contains("warning") || said.contains("help:"));
    Some(if output.status.success() && !warned { Ok(()) } else { Err(said) })
}

fn ours(language: &str, dir: &Path, file: &Path) -> Output {
    let mut command = Command::new(banto());
    command.arg("--dir").arg(dir).env("BANTO_CLOCK_READ_ONLY", "1").env("NO_COLOR", "1");
    match language {
        "chrony.conf" => command.args(["chronyd", "-p", "-f"]).arg(file),
        "rsyslog.conf" => command.args(["rsyslogd", "-N1", "-f"]).arg(file),
        "journald.conf" => command.args(["logd", "-N1"]),
        "main.cf" => command.args(["maild", "--check"]),
        "aliases" => command.arg("newaliases"),
        "banto.toml" => command.args(["alertd", "--check"]),
        other => unreachable!("{other} is not in the list of languages"),
    };
    output(&mut command)
}

fn stock(language: &str, file: &Path) -> Option<Output> {
    let mut command = match language {
        "chrony.conf" => {
            let mut command = stock_without_clock(&stock_or_skip("chronyd")?);
            command.args(["-p", "-f"]).arg(file);
            command
        }
        "rsyslog.conf" => {
            let mut command = Command::new(stock_or_skip("rsyslogd")?);
            command.args(["-N1", "-f"]).arg(file);
            command
        }
        other => {
            skip(&format!("the stock program has no check of a file for {other}"));
            return None;
        }
    };
    Some(output(&mut command))
}

fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
}

/// All fenced blocks of all pages of the project.
fn all_blocks() -> Vec<Block> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let mut pages = Vec::new();
    for entry in std::fs::read_dir(&root).expect("the checkout can be read").flatten() {
        if entry.path().is_file() {
            pages.push(entry.path());
        }
    }
    add_files(&root.join("docs"), &mut pages);
    let mut blocks = Vec::new();
    for page in pages.iter().filter(|page| page.extension().is_some_and(|ending| ending == "md")) {
        let name = page.strip_prefix(&root).unwrap_or(page).display().to_string();
        let text = std::fs::read_to_string(page).expect("a page is text");
        blocks.extend(blocks_of(&name, &text));
    }
    blocks
}

fn add_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the checkout can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            add_files(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn blocks_of(page: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (at, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(language)) => {
                let language = language.trim().to_owned();
                open = Some(Block { page: page.to_owned(), line: at + 1, language, text: String::new() });
            }
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some(block), _) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page}: a block is not closed: {open:?}");
    blocks
}
