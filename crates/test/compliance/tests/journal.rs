//! Journal files both ways: stock `journalctl` on files that we wrote, and the reader under test (`BANTO_UNDER_TEST`: ours by
//! default) on files that stock `systemd-journal-remote` wrote.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use compliance::{Running, Side, TempDir, ours, stock_or_skip, under_test};
use journal_file::{
    CrashDisk, EntryRef, Fields, FileStorage, FileWriter, Id128, Identity, Journal, JournalWriter, Limits,
    Opening, WriterOptions,
};
use record::{MonotonicMicros, UnixMicros};
use serde_json::Value;

const BOOT: Id128 = Id128([0xb0; 16]);
const MACHINE: Id128 = Id128([0xaa; 16]);
/// 2026-01-02 03:04:05 UTC.
const START: u64 = 1_767_323_045_000_000;

/// A seeded source of numbers (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

type Entry = Vec<(String, Vec<u8>)>;

/// Entry `number` of a log with everything that formats find hard.
fn entry(number: u64) -> Entry {
    let mut fields: Entry = vec![
        ("PRIORITY".into(), (number % 8).to_string().into_bytes()),
        ("SYSLOG_IDENTIFIER".into(), ["ssh", "cron", "nginx"][(number % 3) as usize].into()),
        ("_PID".into(), (100 + number % 4).to_string().into_bytes()),
        ("_HOSTNAME".into(), "host".into()),
        ("_BOOT_ID".into(), BOOT.to_string().into_bytes()),
        ("_SYSTEMD_UNIT".into(), ["ssh.service", "cron.service"][(number % 2) as usize].into()),
    ];
    let message: Vec<u8> = match number % 11 {
        0 => b"two\nlines".to_vec(),
        1 => "Grüße 時計 ✓".into(),
        2 => b"binary \xff\x00\x01".to_vec(),
        3 => b"".to_vec(),
        4 => b"tab\there \x1b[31mred\x1b[0m and \x1b[2J \r\nend\r".to_vec(),
        5 => "long ".repeat(200 + number as usize % 7).into_bytes(),
        6 => b"quote \" backslash \\ control \x07".to_vec(),
        7 => "very long ".repeat(600).into_bytes(),
        8 => b"trailing newline\n".to_vec(),
        _ => format!("plain message {number}").into_bytes(),
    };
    if number % 13 != 12 {
        fields.push(("MESSAGE".into(), message));
    }
    if number.is_multiple_of(5) {
        fields.push(("TWICE".into(), b"one".to_vec()));
        fields.push(("TWICE".into(), format!("two {number}").into_bytes()));
    }
    if number.is_multiple_of(7) {
        fields.push((
            "_SOURCE_REALTIME_TIMESTAMP".into(),
            (START + number * 1_000_000 - 5_000).to_string().into_bytes(),
        ));
        fields.push(("_COMM".into(), b"with space".to_vec()));
    }
    if number.is_multiple_of(9) {
        fields.retain(|(name, _)| name != "SYSLOG_IDENTIFIER");
        fields.push(("SYSLOG_PID".into(), b"77".to_vec()));
    }
    fields
}

fn realtime(number: u64) -> u64 {
    START + number * 700_000
}

/// The entries in export format, for systemd-journal-remote.
fn export(count: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0..count {
        let head =
            format!("__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n", realtime(number), 1000 + number);
        out.extend_from_slice(head.as_bytes());
        for (name, value) in entry(number) {
            out.extend_from_slice(name.as_bytes());
            if value.iter().all(|byte| matches!(byte, 0x20..=0x7e)) {
                out.push(b'=');
            } else {
                out.push(b'\n');
                out.extend_from_slice(&(value.len() as u64).to_le_bytes());
            }
            out.extend_from_slice(&value);
            out.push(b'\n');
        }
        out.push(b'\n');
    }
    out
}

fn identity() -> Identity {
    Identity {
        file_id: Id128([0x11; 16]),
        machine_id: MACHINE,
        boot_id: BOOT,
        seqnum_id: Id128([0x11; 16]),
        last_seqnum: 0,
    }
}

fn append_to<R>(number: u64, take: impl FnOnce(&EntryRef<'_>) -> R) -> R {
    let fields = entry(number);
    let pairs: Vec<(&[u8], &[u8])> =
        fields.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect();
    take(&EntryRef {
        realtime: UnixMicros(realtime(number)),
        monotonic: MonotonicMicros(1000 + number),
        boot_id: BOOT,
        fields: Fields::Pairs(&pairs),
    })
}

fn limits(compact: bool) -> Limits {
    Limits { max_size: 4 << 20, grow_step: 1 << 20, compact, compress: true }
}

/// Runs a command to its end and gives what it printed; panics when it fails or takes longer than a minute.
fn output(command: &mut Command) -> Vec<u8> {
    let (code, out, error) = finished(command);
    assert_eq!(code, Some(0), "{command:?}: {error}");
    out
}

fn finished(command: &mut Command) -> (Option<i32>, Vec<u8>, String) {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut out = child.stdout.take().expect("piped");
    let mut err = child.stderr.take().expect("piped");
    let reading = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes).map(|_| bytes)
    });
    let complaining = std::thread::spawn(move || {
        let mut text = Vec::new();
        err.read_to_end(&mut text).map(|_| String::from_utf8_lossy(&text).into_owned())
    });
    let mut running = Running(child);
    let mut code = None;
    let ended = compliance::eventually(Duration::from_secs(60), || match running.0.try_wait() {
        Ok(Some(status)) => {
            code = status.code();
            true
        }
        _ => false,
    });
    if !ended {
        running.kill();
        panic!("{command:?} did not end within a minute");
    }
    let bytes = reading.join().expect("no panic").expect("readable");
    let error = complaining.join().expect("no panic").expect("readable");
    (code, bytes, error)
}

fn reader_under_test(stock: &Path) -> Command {
    match under_test() {
        Side::Stock => Command::new(stock),
        Side::Ours => ours("journalctl"),
    }
}

/// JSON lines, each as a sorted map: the stock program writes keys in a random order.
fn json_lines(bytes: &[u8]) -> Vec<BTreeMap<String, Value>> {
    let text = std::str::from_utf8(bytes).expect("JSON is UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect()
}

/// What `-o json --all` must show of an entry, without the cursor.
fn expected_json(number: u64) -> BTreeMap<String, Value> {
    let mut map: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut fields = entry(number);
    fields.retain(|(name, _)| name != "_BOOT_ID");
    fields.push(("__REALTIME_TIMESTAMP".into(), realtime(number).to_string().into_bytes()));
    fields.push(("__MONOTONIC_TIMESTAMP".into(), (1000 + number).to_string().into_bytes()));
    fields.push(("_BOOT_ID".into(), BOOT.to_string().into_bytes()));
    for (name, value) in fields {
        let text = std::str::from_utf8(&value)
            .ok()
            .filter(|text| text.chars().all(|char| !char.is_control() || matches!(char, '\n' | '\t')));
        let value = match text {
            Some(text) => Value::from(text),
            None => Value::from(value.clone()),
        };
        map.entry(name).or_default().push(value);
    }
    map.into_iter()
        .map(|(name, mut values)| {
            let value = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
            (name, value)
        })
        .collect()
}

/// Stock journalctl verifies the file and shows exactly the entries of these numbers.
fn stock_shows(stock: &Path, place: &[&str], numbers: impl Iterator<Item = u64>) {
    output(Command::new(stock).args(place).arg("--verify"));
    let shown = output(Command::new(stock).args(place).args(["--no-pager", "-o", "json", "--all"]));
    let mut shown = json_lines(&shown);
    for map in &mut shown {
        assert!(map.remove("__CURSOR").is_some());
        // Several values of a field come in the order of their place in the file: compared as sets.
        if let Some(Value::Array(values)) = map.get_mut("TWICE") {
            values.sort_by_key(Value::to_string);
        }
    }
    let expected: Vec<_> = numbers.map(expected_json).collect();
    assert_eq!(shown.len(), expected.len(), "number of entries");
    for (shown, expected) in shown.iter().zip(&expected) {
        assert_eq!(shown, expected);
    }
}

/// Goal: stock journalctl verifies what we write and shows what was logged, in both forms, published one by one and in
/// batches, closed or open, also after the file was taken up again; our reader shows the same text.
#[test]
fn stock_reads_what_we_write() {
    let Some(stock) = stock_or_skip("journalctl") else { return };
    for (compact, batch) in [(true, 1), (true, 50), (false, 7)] {
        let dir = TempDir::new();
        let path = dir.join("ours.journal");
        let name = path.to_str().expect("ASCII").to_owned();
        let storage = FileStorage::create(&path).expect("a new file");
        let mut writer = FileWriter::create(storage, &identity(), limits(compact)).expect("room");
        for number in 0..300 {
            append_to(number, |entry| writer.append(entry).expect("valid"));
            if number % batch == batch - 1 {
                writer.publish().expect("room");
            }
            if number == 120 {
                writer.publish().expect("room");
                // Open: the state is online, and the file is whole all the same.
                stock_shows(&stock, &["--file", &name], 0..121);
                writer.set_offline().expect("room");
                drop(writer);
                let storage = FileStorage::open_to_write(&path).expect("it is there");
                writer = FileWriter::resume(storage, limits(compact)).expect("sound");
            }
        }
        writer.archive().expect("room");
        stock_shows(&stock, &["--file", &name], 0..300);
        same_text(&stock, &["--file", &name]);
    }
}

/// Goal: rotation makes files that stock journalctl reads together with the live one, in order; names and sequence numbers
/// are as journald makes them; both readers agree on the folder.
#[test]
fn stock_reads_a_rotated_folder() {
    let Some(stock) = stock_or_skip("journalctl") else { return };
    let dir = TempDir::new();
    let place = dir.path().to_str().expect("ASCII").to_owned();
    let mut writer = JournalWriter::open(dir.path(), writer_options(), START).expect("a new journal");
    for number in 0..200 {
        append_to(number, |entry| assert_eq!(writer.append(entry).expect("valid"), number + 1));
        if number % 60 == 59 {
            writer.rotate().expect("room");
        }
    }
    writer.close().expect("room");
    stock_shows(&stock, &["-D", &place], 0..200);
    same_text(&stock, &["-D", &place]);
    let archived =
        dir.path().join(format!("system@{}-{:016x}-{:016x}.journal", sequence(dir.path()), 61, realtime(60)));
    assert!(archived.exists(), "{}", archived.display());
}

fn writer_options() -> WriterOptions {
    WriterOptions { name: "system".into(), machine_id: MACHINE, boot_id: BOOT, limits: limits(true) }
}

fn sequence(dir: &Path) -> Id128 {
    let journal = Journal::open_dir(dir).expect("readable");
    let (_, header) = journal.headers().next().expect("a file");
    header.seqnum_id
}

/// Goal: whatever a power cut leaves of a live file, opening it again repairs it without help; stock journalctl verifies the
/// result and shows all that was synced, in order, and what is logged afterwards.
#[test]
fn stock_reads_what_recovery_left() {
    let Some(stock) = stock_or_skip("journalctl") else { return };
    for seed in 1..=12u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let disk = CrashDisk::new();
        let mut writer = FileWriter::create(disk.clone(), &identity(), limits(true)).expect("room");
        let (synced, more) = (10 + random.below(80), random.below(40));
        for number in 0..synced + more {
            append_to(number, |entry| writer.append(entry).expect("valid"));
            if random.below(3) == 0 {
                writer.publish().expect("room");
            }
            if number + 1 == synced {
                writer.sync().expect("room");
            }
        }
        writer.publish().expect("room");
        let left =
            if seed % 3 == 0 { disk.after_kill() } else { disk.after_power_cut(|| random.below(2) == 0) };
        let dir = TempDir::new();
        dir.write("system.journal", left);
        let mut writer = JournalWriter::open(dir.path(), writer_options(), START).expect("repairable");
        match writer.opening() {
            Opening::Continued { unclean: true } => {
                assert_eq!(seed % 3, 0, "seed {seed}: torn, but taken for sound")
            }
            Opening::Salvaged { .. } => {}
            other => panic!("seed {seed}: {other:?}"),
        }
        append_to(500, |entry| writer.append(entry).expect("valid"));
        writer.close().expect("room");
        // What was recovered stands in an archived file, what is new in the live one. A `.journal~` is kept as it was: damaged.
        let files = dir.join("*.journal");
        let files = files.to_str().expect("ASCII");
        output(Command::new(&stock).args(["--file", files, "--verify"]));
        let shown = output(Command::new(&stock).args(["--file", files, "--no-pager", "-o", "json", "--all"]));
        let times: Vec<String> = json_lines(&shown)
            .iter()
            .map(|map| map["__REALTIME_TIMESTAMP"].as_str().expect("text").to_owned())
            .collect();
        let expected: Vec<String> = (0..synced).map(|number| realtime(number).to_string()).collect();
        assert_eq!(times[..synced as usize], expected, "seed {seed}");
        assert_eq!(times.last(), Some(&realtime(500).to_string()), "seed {seed}");
    }
}

/// The reader under test and the stock one print the same for the same place, whatever is asked.
fn same_text(stock: &Path, place: &[&str]) {
    let questions = [
        "-o short",
        "-o short-full",
        "-o short-iso",
        "-o short-precise",
        "-o short-unix",
        "-o short-monotonic",
        "-o with-unit",
        "-o cat",
        "-o export",
        "-o verbose",
        "-o short --all",
        "-o verbose --all",
        "-o short --utc --no-hostname",
        "-o short -r -n 7",
        "-n 5 --show-cursor",
        "-p err",
        "-p notice..warning",
        "-t ssh",
        "-t ssh -t cron -p 3",
        "-u ssh",
        "-u c*",
        "_PID=101 _PID=102 PRIORITY=5",
        "_PID=101 + PRIORITY=2",
        "_PID=9999",
        "-g plain",
        "-g Plain",
        "-g message.*7 -n 2",
        "-S @1767323050 -U @1767323060",
        "-S @1767323050 -n 3",
        "-U @1767323050 -r",
        "-o export --output-fields=MESSAGE,PRIORITY",
        "-o verbose --output-fields=MESSAGE",
        "-F PRIORITY",
        "--list-boots",
        "-b",
        "-b -7",
        "-k",
        "-q _PID=9999",
        "--disk-usage",
    ];
    for question in questions {
        // A folder's files come in the order of the directory in the stock program: values of a field too.
        if place[0] == "-D" && question.starts_with("-F") {
            continue;
        }
        let ask = |mut command: Command| {
            let (code, out, _) = finished(
                command.args(place).arg("--no-pager").args(question.split(' ')).env("TZ", "Asia/Tokyo"),
            );
            (code, String::from_utf8_lossy(&out).into_owned())
        };
        let expected = ask(Command::new(stock));
        let got = ask(reader_under_test(stock));
        assert_eq!(got.0, expected.0, "exit code of {question}");
        let different = got.1.lines().zip(expected.1.lines()).find(|(got, expected)| got != expected);
        assert!(got.1 == expected.1, "{question} on {place:?}: {different:?}");
    }
    for format in ["json", "json-pretty", "json-sse", "json-seq"] {
        let ask = |mut command: Command| output(command.args(place).args(["--no-pager", "-o", format]));
        let (got, expected) = (ask(reader_under_test(stock)), ask(Command::new(stock)));
        if format == "json" {
            assert_eq!(json_lines(&got), json_lines(&expected));
        }
        // The order of keys is random in the stock program; the bytes in sorted lines are not.
        let sorted = |bytes: &[u8]| {
            let mut lines: Vec<Vec<u8>> = bytes
                .split(|byte| *byte == b'\n')
                .map(|line| line.strip_suffix(b",").unwrap_or(line).to_vec())
                .collect();
            lines.sort();
            lines
        };
        if format == "json-pretty" {
            assert!(sorted(&got) == sorted(&expected), "json-pretty on {place:?}");
        } else {
            assert_eq!(got.len(), expected.len(), "{format} on {place:?}");
        }
    }
}

/// Goal: files of every form that systemd writes (compact or classic, keyed or not) read as by the stock reader. Its
/// compression is asked for too; systemd before 253 does not listen, so xz and lz4 are unit tests of `journal-file`.
#[test]
fn we_read_what_stock_writes() {
    let Some(stock) = stock_or_skip("journalctl") else { return };
    let Some(remote) = stock_or_skip("systemd-journal-remote") else { return };
    let forms = [("1", "1", "ZSTD"), ("0", "1", "LZ4"), ("1", "0", "XZ"), ("0", "0", "ZSTD")];
    for (compact, keyed, compress) in forms {
        let dir = TempDir::new();
        let path = dir.join("stock.journal");
        write_by_stock(&remote, &path, 300, (compact, keyed, compress));
        let name = path.to_str().expect("ASCII");
        let header = output(Command::new(&stock).args(["--file", name, "--header"]));
        let header = String::from_utf8_lossy(&header).into_owned();
        for (flag, set) in [("COMPACT", compact == "1"), ("KEYED-HASH", keyed == "1"), ("COMPRESSED-", true)]
        {
            assert_eq!(header.contains(flag), set, "{flag}: the stock writer did as it was told");
        }
        let ours = output(reader_under_test(&stock).args(["--file", name, "--header"]));
        assert_eq!(String::from_utf8_lossy(&ours), header);
        output(reader_under_test(&stock).args(["--file", name, "--verify"]));
        same_text(&stock, &["--file", name]);
    }
}

fn write_by_stock(remote: &Path, path: &Path, count: u64, (compact, keyed, compress): (&str, &str, &str)) {
    let mut child = Command::new(remote)
        .arg("-o")
        .arg(path)
        .arg("-")
        .env("SYSTEMD_JOURNAL_COMPACT", compact)
        .env("SYSTEMD_JOURNAL_KEYED_HASH", keyed)
        .env("SYSTEMD_JOURNAL_COMPRESS", compress)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("piped").write_all(&export(count)).expect("it reads");
    assert!(child.wait().expect("it ends").success());
}

/// Goal: damaged bytes never panic and never hang a reader or a verification, and verification sees every flipped byte of
/// what is covered by a hash. Files of both writers, bytes flipped at seeded places, ends cut off.
#[test]
fn damaged_files_neither_panic_nor_hang() {
    let mut originals: Vec<Vec<u8>> = Vec::new();
    for compact in [true, false] {
        let disk = CrashDisk::new();
        let mut writer = FileWriter::create(disk.clone(), &identity(), limits(compact)).expect("room");
        for number in 0..120 {
            append_to(number, |entry| writer.append(entry).expect("valid"));
        }
        writer.archive().expect("room");
        originals.push(disk.after_kill());
    }
    if let Some(remote) = stock_or_skip("systemd-journal-remote") {
        for form in [("0", "0", "XZ"), ("0", "1", "LZ4")] {
            let dir = TempDir::new();
            let path = dir.join("stock.journal");
            write_by_stock(&remote, &path, 120, form);
            let mut bytes = std::fs::read(&path).expect("readable");
            // What follows the last object is empty: flips there would test nothing.
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
            bytes.truncate(used + 64);
            originals.push(bytes);
        }
    }
    let mut random = Random(0x5eed_0fda_3a9e);
    let mut found = 0;
    for round in 0..160u64 {
        let mut bytes = originals[(round % originals.len() as u64) as usize].clone();
        for _ in 0..1 + random.below(12) {
            // Most bytes of a file are an empty hash table: half of the flips go to the header and the objects' heads.
            let place = match random.below(4) {
                0 => random.below(264),
                _ => 264 + random.below(bytes.len() as u64 - 264),
            };
            bytes[place as usize] ^= 1 << random.below(8);
        }
        if random.below(8) == 0 {
            bytes.truncate(random.below(bytes.len() as u64) as usize);
        }
        found += u64::from(read_everything(bytes));
    }
    assert!(found > 30, "the flips must hit something: {found}");
}

/// Reads a file in every way; true when verification found damage.
fn read_everything(bytes: Vec<u8>) -> bool {
    let dir = TempDir::new();
    let damaged =
        !journal_file::verify(&CrashDisk::with_content(bytes.clone())).is_ok_and(|report| report.sound());
    let path = dir.write("damaged.journal", &bytes);
    if let Ok(mut journal) = Journal::open_files(&[PathBuf::from(&path)]) {
        let mut filter = journal_file::Filter::new();
        filter.add("PRIORITY=3").expect("a match");
        for filter in [journal_file::Filter::new(), filter] {
            journal.set_filter(filter);
            let mut seen = 0u64;
            while let Some(position) = journal.next() {
                let _ = journal.for_each_field(&position, |_| ControlFlow::Continue(()));
                seen += 1;
                assert!(seen <= 1_000_000, "a reader that does not end");
            }
            while journal.previous().is_some() {
                seen += 1;
                assert!(seen <= 2_000_000, "a reader that does not end");
            }
            journal.seek_realtime(realtime(50));
            journal.next();
        }
        for name in journal.field_names() {
            journal.field_values(&name);
        }
    }
    // Opening it to write never fails for damage: what cannot be used is set aside.
    let live = TempDir::new();
    live.write("system.journal", &bytes);
    let mut writer = JournalWriter::open(live.path(), writer_options(), START).expect("damage is no failure");
    append_to(999, |entry| writer.append(entry).expect("valid"));
    writer.close().expect("room");
    damaged
}

/// Goal: our command tells of damage in words, fails on `--verify`, and shows the rest.
#[test]
fn damage_is_told() {
    let dir = TempDir::new();
    let path = dir.join("ours.journal");
    let storage = FileStorage::create(&path).expect("a new file");
    let mut writer = FileWriter::create(storage, &identity(), limits(true)).expect("room");
    for number in 0..50 {
        append_to(number, |entry| writer.append(entry).expect("valid"));
    }
    writer.archive().expect("room");
    let mut bytes = std::fs::read(&path).expect("readable");
    let place = bytes.windows(16).position(|window| window == b"plain message 42").expect("it is there");
    bytes[place] ^= 0x20;
    std::fs::write(&path, &bytes).expect("writable");
    let name = path.to_str().expect("ASCII");
    let (code, _, error) = finished(ours("journalctl").args(["--file", name, "--verify"]));
    assert_eq!(code, Some(1));
    assert!(error.contains("the payload has hash") && error.contains(&format!("FAIL: {name}")), "{error}");
    let shown = output(ours("journalctl").args(["--file", name, "-o", "cat", "--no-pager"]));
    assert!(String::from_utf8_lossy(&shown).contains("plain message 43"));
}

/// Goal: a follower sees what is written after it began, over a rotation, within seconds; the stock one too.
#[test]
fn followers_see_new_entries_over_a_rotation() {
    let Some(stock) = stock_or_skip("journalctl") else { return };
    for follower in [Command::new(&stock), ours("journalctl")] {
        let mut follower = follower;
        let name = format!("{follower:?}");
        let dir = TempDir::new();
        let mut writer = JournalWriter::open(dir.path(), writer_options(), START).expect("a new journal");
        let mut log = |number: u64, rotate: bool| {
            if rotate {
                writer.rotate().expect("room");
            }
            let message = format!("follow {number}");
            writer
                .append(&EntryRef {
                    realtime: UnixMicros(realtime(number)),
                    monotonic: MonotonicMicros(1000 + number),
                    boot_id: BOOT,
                    fields: Fields::Pairs(&[
                        (b"MESSAGE", message.as_bytes()),
                        (b"_BOOT_ID", BOOT.to_string().as_bytes()),
                    ]),
                })
                .expect("valid");
            writer.publish().expect("room");
        };
        log(0, false);
        let mut child = follower
            .arg("-D")
            .arg(dir.path())
            .args(["-f", "-o", "cat"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        let running = Running(child);
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || lines.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let expect = |number: u64| {
            let line = receive.recv_timeout(Duration::from_secs(20)).expect("a line within 20 seconds");
            assert_eq!(line, format!("follow {number}"), "{name}");
        };
        expect(0);
        for number in 1..8 {
            log(number, number == 4);
            expect(number);
        }
        drop(running);
    }
}
