//! Kill -9 of any daemon at any moment loses nothing that was acknowledged, and the next start repairs without help.
//!
//! Method: real daemons in a house of the test's own are killed 300 times at seeded random moments, while clients go on sending;
//! some kills fall into the start after the last kill. Afterwards what was acknowledged is looked for: a message that got `250` (or
//! that `sendmail` took) in the mailbox, a record that a successful `sync` covered in the journal and in the rules' file, a matching
//! record in the counts of the alert mails. What comes twice must be explained by a kill.
//!
//! `BANTO_SEED` repeats a run as far as the machine's own timing allows; every failure prints it. A power cut is the simulator's.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use compliance::house::in_house;
use compliance::{House, Running, eventually, free_port, stock_or_skip, unexplained_copies};

/// How long anything may take; a start that repairs included.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client waits for an answer: a daemon that was killed gives none.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);
/// Kills in each test.
const KILLS: usize = 50;

/// Random numbers of a seed that is printed (splitmix64).
struct Random(u64);

impl Random {
    fn new(test: &str) -> Self {
        let seed = std::env::var("BANTO_SEED").ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::from(now.subsec_nanos()) ^ now.as_secs()
        });
        println!("{test}: BANTO_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// The wait before the next kill: mostly in the middle of work, sometimes in the middle of a start.
    fn moment(&mut self) -> Duration {
        let millis = if self.below(5) == 0 { self.below(15) } else { 20 + self.below(160) };
        Duration::from_micros(millis * 1000 + self.below(1000))
    }
}

/// When somebody looks on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Killed,
    Started,
}

/// A furnished house whose mail is tried again every second, and whose log takes everything and writes what `kill` says to a file.
fn furnished(top: &str, rules: &str) -> House {
    let house = House::furnished();
    let toml = house.text("etc/banto.toml");
    let web = toml.lines().find(|line| line.starts_with("listen")).expect("it listens");
    // Keys of the top come before tables.
    house.write("etc/banto.toml", &format!("mails_per_hour = 1000000\n{top}\n[web]\n{web}\n{rules}"));
    let file = house.file("log/kill").display().to_string();
    for (name, more) in [
        (
            "etc/rsyslog.conf",
            format!("$template shape,\"%msg%\\n\"\n:programname, isequal, \"kill\" {file};shape\n"),
        ),
        (
            "etc/main.cf",
            "minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\n".to_owned(),
        ),
    ] {
        house.write(name, &(house.text(name) + &more));
    }
    let journald = house.text("etc/journald.conf").replace("RateLimitBurst=10000", "RateLimitBurst=0");
    house.write("etc/journald.conf", &journald);
    house
}

/// Waits until the daemon `name` answers as another process than `not`.
fn answered(house: &House, name: &str, not: Option<u32>) -> u32 {
    let mut found = None;
    let answers = eventually(PATIENCE, || {
        found = pid(&house.root(), name).filter(|pid| Some(*pid) != not);
        found.is_some()
    });
    assert!(answers, "{name} does not come back by itself; said:\n{}", house.said());
    found.expect("it answered")
}

/// Runs the daemon `name`, kills it [`KILLS`] times and leaves it running. `look` looks on after each kill and each start that
/// was complete.
fn kill_and_restart(house: &House, name: &str, random: &mut Random, mut look: impl FnMut(Moment)) -> Running {
    let mut running = house.start(name, &[]);
    answered(house, name, None);
    let (mut longest, mut in_start) = (Duration::ZERO, 0);
    for kill in 0..KILLS {
        std::thread::sleep(random.moment());
        running.kill();
        look(Moment::Killed);
        running = house.start(name, &[]);
        // Every fourth start is killed before it is known to be complete.
        if kill % 4 == 3 && kill + 1 < KILLS {
            in_start += 1;
            continue;
        }
        let begin = Instant::now();
        answered(house, name, None);
        longest = longest.max(begin.elapsed());
        look(Moment::Started);
    }
    println!("{name}: {KILLS} kills, {in_start} followed by one in the start; longest start {longest:?}");
    assert!(!house.said().contains("panicked"), "{}", house.said());
    running
}

/// The numbers of the journal's records of `tag`, in the journal's order, read by the stock program (ours where it is missing).
fn records_of(house: &House, tag: &str) -> Vec<u64> {
    let mut command = match stock_or_skip("journalctl") {
        Some(stock) => Command::new(stock),
        None => house.prepared("journalctl", &[]),
    };
    command.arg("-D").arg(journal_dir(house)).args(["-o", "cat", "-t", tag, "--no-pager"]);
    let output = command.output().expect("journalctl runs");
    assert!(output.status.success(), "{output:?}");
    numbers(&String::from_utf8_lossy(&output.stdout))
}

fn journal_dir(house: &House) -> PathBuf {
    let base = house.file("log/journal");
    std::fs::read_dir(&base).expect("a journal").flatten().next().expect("a machine's folder").path()
}

/// Stock `journalctl --verify` finds nothing wrong with any file; ours neither.
fn verify(house: &House) {
    let stock = stock_or_skip("journalctl").map(Command::new);
    for mut command in stock.into_iter().chain([house.prepared("journalctl", &[])]) {
        let output = command.arg("-D").arg(journal_dir(house)).arg("--verify").output();
        let output = output.expect("journalctl runs");
        assert!(output.status.success(), "{command:?}: {output:?}");
    }
}

/// The daemon's process, as itself says.
fn pid(root: &Path, name: &str) -> Option<u32> {
    let mut client = client(root, name)?;
    let value = client.call("ping", control::Value::Null).ok()?;
    value["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
}

fn client(root: &Path, name: &str) -> Option<control::Client> {
    let path = control::socket_path(&layout::Layout::house(root), name);
    control::Client::connect(&path, CLIENT_PATIENCE).ok()
}

/// The numbers in lines like `number 17.`.
fn numbers(text: &str) -> Vec<u64> {
    text.split("number ").skip(1).filter_map(|rest| rest.split('.').next()?.parse().ok()).collect()
}

/// Threads that send until they are told to stop.
struct Clients<T> {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<T>>,
}

impl<T: Send + 'static> Clients<T> {
    fn new() -> Self {
        Self { stop: Arc::default(), threads: Vec::new() }
    }

    fn start(&mut self, body: impl FnOnce(&AtomicBool) -> T + Send + 'static) {
        let stop = Arc::clone(&self.stop);
        self.threads.push(std::thread::spawn(move || body(&stop)));
    }

    fn end(mut self) -> Vec<T> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).map(|thread| thread.join().expect("a client ends well")).collect()
    }
}

impl<T> Drop for Clients<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// One SMTP session: messages with marks of their own until the connection breaks; the marks that got `250`.
fn smtp_session(port: u16, to: &str, marks: &AtomicU64, stop: &AtomicBool) -> Vec<u64> {
    let mut taken = Vec::new();
    let mut converse = || -> std::io::Result<()> {
        let mut writer = TcpStream::connect(("127.0.0.1", port))?;
        writer.set_read_timeout(Some(CLIENT_PATIENCE))?;
        let mut reader = BufReader::new(writer.try_clone()?);
        let mut say = |text: String| -> std::io::Result<String> {
            writer.write_all(text.as_bytes())?;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line)? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                if line.as_bytes().get(3) != Some(&b'-') {
                    return Ok(line);
                }
            }
        };
        say(String::new())?;
        say("EHLO client.example\r\n".to_owned())?;
        while !stop.load(Ordering::Relaxed) {
            let mark = marks.fetch_add(1, Ordering::Relaxed);
            say("MAIL FROM:<>\r\n".to_owned())?;
            say(format!("RCPT TO:<{to}>\r\n"))?;
            say("DATA\r\n".to_owned())?;
            let answer = say(format!("Subject: number {mark}.\r\n\r\ntext\r\n.\r\n"))?;
            if answer.starts_with("250") {
                taken.push(mark);
            }
        }
        Ok(())
    };
    // An error is what a kill looks like from here.
    let _ = converse();
    taken
}

/// An SMTP client that comes back after each kill.
fn smtp_client(port: u16, to: String, marks: Arc<AtomicU64>) -> impl FnOnce(&AtomicBool) -> Vec<u64> + Send {
    move |stop| {
        let mut taken = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            taken.extend(smtp_session(port, &to, &marks, stop));
            std::thread::sleep(Duration::from_millis(2));
        }
        taken
    }
}

/// A user of `sendmail`, which takes mail whether the daemon runs or not: 0 is its word that the message is kept.
fn sendmail_client(
    root: PathBuf,
    to: String,
    marks: Arc<AtomicU64>,
) -> impl FnOnce(&AtomicBool) -> Vec<u64> + Send {
    move |stop| {
        let mut taken = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let mark = marks.fetch_add(1, Ordering::Relaxed);
            let mut command = in_house(&root, "sendmail");
            command.args(["-i", &to]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().expect("sendmail starts");
            let mut input = child.stdin.take().expect("a pipe");
            let _ = input.write_all(format!("Subject: number {mark}.\n\ntext\n").as_bytes());
            drop(input);
            if child.wait().expect("sendmail ends").success() {
                taken.push(mark);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        taken
    }
}

/// Sends numbered records through the native socket and asks for a `sync` now and then; the numbers that one covered.
///
/// One connection to the control socket reaches one process: when it lived from before the records were sent until the sync was
/// answered, that process has taken them, for no second one runs beside it.
fn native_client(
    root: PathBuf,
    pause: Duration,
    records_max: u64,
) -> impl FnOnce(&AtomicBool) -> Vec<u64> + Send {
    move |stop| {
        let (mut synced, mut number) = (Vec::new(), 0);
        let mut random = Random(7);
        while !stop.load(Ordering::Relaxed) && number < records_max {
            std::thread::sleep(pause);
            let Some(mut logd) = client(&root, "logd") else { continue };
            if logd.call("ping", control::Value::Null).is_err() {
                continue;
            }
            let socket = UnixDatagram::unbound().expect("a socket");
            socket.set_write_timeout(Some(CLIENT_PATIENCE)).expect("a socket");
            if socket.connect(root.join("run/journal.socket")).is_err() {
                continue;
            }
            let mut sent = Vec::new();
            for _ in 0..1 + random.below(20) {
                let text = format!(
                    "MESSAGE=number {number}.\nPRIORITY=3\nSYSLOG_IDENTIFIER=kill\nKILL_NUMBER={number}\nFILL={}\n",
                    "x".repeat(usize::try_from(random.below(3000)).unwrap_or(0))
                );
                number += 1;
                if socket.send(text.as_bytes()).is_err() {
                    sent.clear();
                    break;
                }
                sent.push(number - 1);
            }
            if !sent.is_empty() && logd.call("sync", control::Value::Null).is_ok() {
                synced.extend(sent);
            }
        }
        synced
    }
}

/// Every number of `acknowledged` is in `found`.
fn complete(what: &str, acknowledged: &[u64], found: &[u64]) {
    let found: BTreeSet<u64> = found.iter().copied().collect();
    let missing: Vec<u64> = acknowledged.iter().copied().filter(|number| !found.contains(number)).collect();
    assert!(missing.is_empty(), "{what}: {} of {} are lost: {missing:?}", missing.len(), acknowledged.len());
}

/// How many came more than once, too often counted each time.
fn extra(found: &[u64]) -> usize {
    found.len() - found.iter().collect::<BTreeSet<_>>().len()
}

/// How often a stretch of messages begins that stand in the mailbox before already.
fn runs_of_repeats(found: &[u64]) -> usize {
    let mut seen = BTreeSet::new();
    let repeated: Vec<bool> = found.iter().map(|number| !seen.insert(*number)).collect();
    usize::from(repeated.first() == Some(&true))
        + repeated.windows(2).filter(|pair| !pair[0] && pair[1]).count()
}

/// Waits until the queue is empty and its mailbox has all of `taken`; the numbers in the mailbox.
fn all_delivered(house: &House, user: &str, taken: &[u64]) -> Vec<u64> {
    let mailbox = || numbers(&house.text(&format!("mail/{user}")));
    let empty = || {
        let mailq = house.prepared("mailq", &[]).output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&mailq).contains("Mail queue is empty")
    };
    let drop_empty = || {
        let files = std::fs::read_dir(house.file("spool/maildrop")).into_iter().flatten().flatten();
        files.filter(|file| file.path().is_file()).count() == 0
    };
    assert!(eventually(PATIENCE, || empty() && drop_empty()), "the queue does not empty: {:?}", {
        let mailq = house.prepared("mailq", &[]).output();
        mailq.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    let found = mailbox();
    complete(user, taken, &found);
    found
}

/// What was acknowledged of records is in the journal in order, once, and in the rules' file; the files are sound.
fn all_logged(house: &House, synced: &[u64]) -> Vec<u64> {
    let journal = records_of(house, "kill");
    complete("journal", synced, &journal);
    assert!(journal.windows(2).all(|pair| pair[0] < pair[1]), "the journal is out of order: {journal:?}");
    let file = numbers(&house.text("log/kill"));
    complete("file", synced, &file);
    assert!(file.windows(2).all(|pair| pair[0] < pair[1]), "the file is out of order: {file:?}");
    journal
}

/// Goal: a message that SMTP answered with 250, or `sendmail` with 0, reaches the mailbox through 50 kills; twice only what a kill
/// caught between the mailbox and the queue.
#[test]
fn maild_keeps_what_it_answered_for() {
    let mut random = Random::new("maild");
    let house = furnished("", "");
    let marks = Arc::new(AtomicU64::new(0));
    let mut clients = Clients::new();
    const SESSIONS: usize = 3;
    for _ in 0..SESSIONS {
        clients.start(smtp_client(house.smtp, "root@localhost".to_owned(), Arc::clone(&marks)));
    }
    clients.start(sendmail_client(house.root(), "root".to_owned(), Arc::clone(&marks)));
    // How many messages the mailbox had just after each kill, and when the next start was complete.
    let mut kills: Vec<(usize, usize)> = Vec::new();
    let _maild = kill_and_restart(&house, "maild", &mut random, |moment| {
        let count = numbers(&house.text("mail/root")).len();
        match moment {
            Moment::Killed => kills.push((count, usize::MAX)),
            Moment::Started => {
                for kill in kills.iter_mut().filter(|kill| kill.1 == usize::MAX) {
                    kill.1 = count;
                }
            }
        }
    });
    let each = clients.end();
    println!("taken: {:?}", each.iter().map(Vec::len).collect::<Vec<_>>());
    assert!(each.iter().all(|taken| taken.len() > 10), "a client was hardly served");
    let found = all_delivered(&house, "root", &each.concat());
    let twice = extra(&found);
    let runs = runs_of_repeats(&found);
    println!("maild: {} messages, {twice} twice, in {runs} runs", found.len());
    // A kill doubles at most what one write to the mailbox held: one run of messages that stand there already. The next delivery
    // may take them in two parts.
    assert!(
        runs <= 2 * KILLS,
        "{twice} messages came twice, in {runs} runs: more than {KILLS} kills explain"
    );
    // How much one kill doubles is the size of a write, which grows with what waits; but between two copies there is a kill. A kill that
    // takes away the answer to `sendmail` makes it leave the message in the maildrop as well: two messages, one a kill at most.
    let by_sendmail: BTreeSet<u64> = each.last().into_iter().flatten().copied().collect();
    let (again, unexplained): (Vec<_>, Vec<_>) =
        unexplained_copies(&found, &kills).into_iter().partition(|(number, ..)| by_sendmail.contains(number));
    assert!(unexplained.is_empty(), "came twice without a kill between: {unexplained:?}; kills {kills:?}");
    assert!(again.len() <= KILLS, "sendmail handed over twice: {again:?}");
}

/// Goal: a record that a sync covered is in the journal and the rules' file, once and in order, through 50 kills; every journal file
/// stands the stock program's verification.
#[test]
fn logd_keeps_what_was_synced() {
    let mut random = Random::new("logd");
    let house = furnished("", "");
    let mut clients = Clients::new();
    clients.start(native_client(house.root(), Duration::ZERO, u64::MAX));
    let mut logd = kill_and_restart(&house, "logd", &mut random, |_| {});
    let synced = clients.end().concat();
    println!("logd: {} records synced", synced.len());
    assert!(synced.len() > 100, "hardly a sync was answered");
    let journal = all_logged(&house, &synced);
    println!("logd: {} records in the journal", journal.len());
    assert_eq!(logd.end(), Some(0));
    assert_eq!(records_of(&house, "kill"), journal);
    verify(&house);
}

/// Records that the alert daemon is sent, and the few of the last batch: a rule keeps 500 groups at most, and one here makes a group of
/// each record.
const GROUPED_RECORDS_MAX: u64 = 470;

/// A rule that counts all records of `kill` in digests, and one that tells of each in a mail of its own.
const RULES: &str = "\n[[rule]]\nname = \"counted\"\nmatch = { identifier = \"kill\" }\nto = [\"root\"]\n\
    group_by = [\"SYSLOG_IDENTIFIER\"]\ngroup_wait = \"0s\"\ngroup_interval = \"1s\"\nrepeat_interval = \"1s\"\n\
    mails_per_hour = 1000000\n";
const EACH: &str = "\n[[rule]]\nname = \"each\"\nmatch = { identifier = \"kill\" }\nto = [\"root\"]\n\
    group_by = [\"KILL_NUMBER\"]\ngroup_wait = \"0s\"\ngroup_interval = \"1h\"\nrepeat_interval = \"1h\"\n\
    mails_per_hour = 1000000\n";

/// What alert mails tell.
#[derive(Default)]
struct Told {
    /// The count of each mail of the rule `counted`, by the mail's id.
    counts: HashMap<String, u64>,
    /// The numbers of the rule `each`, by the mail's id.
    each: BTreeMap<String, u64>,
    /// Mails with an id that another one had.
    twice: usize,
}

impl Told {
    fn by<'a>(mails: impl Iterator<Item = &'a str>) -> Self {
        let mut told = Self::default();
        for mail in mails {
            let value = |name: &str| mail.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let (Some(id), Some(rule)) = (value("X-Banto-Alert:"), value("X-Banto-Rule:")) else { continue };
            let first = match rule {
                "counted" => {
                    let count = value("Count:").and_then(|text| text.split(' ').next()?.parse().ok());
                    let count = count.unwrap_or_else(|| panic!("a mail without a count:\n{mail}"));
                    told.counts.insert(id.to_owned(), count).is_none()
                }
                _ => {
                    let number = numbers(mail).first().copied();
                    let number = number.unwrap_or_else(|| panic!("a mail without its record:\n{mail}"));
                    told.each.insert(id.to_owned(), number).is_none()
                }
            };
            told.twice += usize::from(!first);
        }
        told
    }

    fn sum(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// Goal: every record that matches is told of through 50 kills of the alert daemon: each in a mail of its own by one rule, and in the
/// counts of the digests by another; a mail comes twice only where a kill caught its handing over.
#[test]
fn alertd_tells_of_every_record() {
    let mut random = Random::new("alertd");
    let house = furnished("sendmail = [\"SINK\"]\n", "");
    let mails = house.dir().join("mails");
    std::fs::create_dir_all(&mails).expect("a folder");
    // A mail is there whole or not at all.
    let folder = mails.display();
    let sink = house.dir().write(
        "sink",
        format!(
            "#!/bin/sh\nnew=$(mktemp {folder}/.new.XXXXXXXX) && cat >\"$new\" && test -s \"$new\" && mv \"$new\" \"{folder}/mail.${{new##*.}}\"\n"
        ),
    );
    std::fs::set_permissions(&sink, std::fs::Permissions::from_mode(0o755)).expect("a script");
    let text = house.text("etc/banto.toml").replace("SINK", &sink.display().to_string());
    house.dir().write("h/etc/banto.toml", format!("{text}{RULES}{EACH}"));
    let _logd = house.start("logd", &[]);
    answered(&house, "logd", None);
    let mut clients = Clients::new();
    clients.start(native_client(house.root(), Duration::from_millis(200), GROUPED_RECORDS_MAX));
    let _alertd = kill_and_restart(&house, "alertd", &mut random, |_| {});
    let synced = clients.end().concat();
    let journal = all_logged(&house, &synced);
    let told = || {
        let files = std::fs::read_dir(&mails).expect("a folder").flatten();
        let files = files.filter(|file| file.file_name().to_string_lossy().starts_with("mail."));
        let texts: Vec<String> = files.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect();
        Told::by(texts.iter().map(String::as_str))
    };
    let records = journal.len() as u64;
    let complete_at = |(counted, each): (u64, usize)| counted >= records && each as u64 >= records;
    let mut before = (0, 0);
    // As long as mails come, however slowly, it is not stuck.
    let done = loop {
        let mut now = before;
        eventually(PATIENCE, || {
            let told = told();
            now = (told.sum(), told.each.len());
            complete_at(now) || now != before
        });
        if complete_at(now) || now == before {
            break complete_at(now);
        }
        before = now;
    };
    let told = told();
    let each: Vec<u64> = told.each.values().copied().collect();
    println!(
        "alertd: {records} records, {} mails one each, {} digests, {} mails twice",
        each.len(),
        told.counts.len(),
        told.twice
    );
    complete("mails", &journal, &each);
    assert!(done, "the digests tell of {} records of {records}", told.sum());
    assert_eq!(told.sum(), records, "the digests count");
    assert_eq!(extra(&each), 0, "a record has two mails of different ids");
    assert!(told.twice <= KILLS, "{} mails came twice", told.twice);
}

/// A receiver of plain TCP syslog on a port, which is there from time to time; the complete lines that it has read. It ends each
/// connection in order: it says that it will read no more, reads what is on its way, and closes.
fn receiver(
    port: u16,
    mut open_for: impl FnMut() -> Option<Duration> + Send,
) -> impl FnOnce(&AtomicBool) -> Vec<u8> + Send {
    move |stop| {
        let mut lines = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let Some(open) = open_for() else {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", port)) else { continue };
            listener.set_nonblocking(true).expect("a listener");
            let end = Instant::now() + open;
            let mut streams: Vec<(TcpStream, Vec<u8>)> = Vec::new();
            let take = |stream: &mut TcpStream, got: &mut Vec<u8>| {
                let mut buffer = [0; 16384];
                loop {
                    match std::io::Read::read(stream, &mut buffer) {
                        Ok(0) => return false,
                        Ok(count) => got.extend_from_slice(&buffer[..count]),
                        Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
                    }
                }
            };
            while Instant::now() < end && !stop.load(Ordering::Relaxed) {
                if let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).expect("a stream");
                    streams.push((stream, Vec::new()));
                }
                for (stream, got) in &mut streams {
                    take(stream, got);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            // Who has connected and was not accepted yet would be reset; nothing of his is confirmed for long.
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(true).expect("a stream");
                streams.push((stream, Vec::new()));
            }
            drop(listener);
            for (mut stream, mut got) in streams {
                let _ = stream.shutdown(std::net::Shutdown::Write);
                eventually(CLIENT_PATIENCE, || !take(&mut stream, &mut got));
                got.truncate(got.iter().rposition(|octet| *octet == b'\n').map_or(0, |last| last + 1));
                lines.extend_from_slice(&got);
            }
        }
        lines
    }
}

/// Kills logd while it forwards to a receiver that is there when `open_for` says so, then lets everything arrive.
fn forwards_through_kills(test: &str, open_for: impl FnMut() -> Option<Duration> + Send + 'static) {
    let mut random = Random::new(test);
    let house = furnished("", "");
    let port = free_port();
    let rules = format!(
        "{}$WorkDirectory {}\n$ActionResumeInterval 1\n:programname, isequal, \"kill\" @@127.0.0.1:{port};shape\n",
        house.text("etc/rsyslog.conf"),
        house.file("log/work").display()
    );
    house.dir().write("h/etc/rsyslog.conf", rules);
    let (mut senders, mut receivers) = (Clients::new(), Clients::new());
    senders.start(native_client(house.root(), Duration::ZERO, u64::MAX));
    receivers.start(receiver(port, open_for));
    let mut logd = kill_and_restart(&house, "logd", &mut random, |_| {});
    let synced = senders.end().concat();
    let mut lines = receivers.end().concat();
    assert!(synced.len() > 100, "hardly a sync was answered");
    let before = numbers(&String::from_utf8_lossy(&lines)).len();
    // Now the receiver stays until nothing waits any more.
    let mut receivers = Clients::new();
    receivers.start(receiver(port, || Some(PATIENCE)));
    let queue = house.file(&format!("log/work/forward-127.0.0.1-{port}.queue"));
    let empty = || {
        let files = std::fs::read_dir(&queue).into_iter().flatten().flatten();
        files.filter(|file| file.path().extension().is_some_and(|end| end == "seg")).count() == 0
    };
    let emptied = eventually(PATIENCE, empty);
    assert_eq!(logd.end(), Some(0), "{}", house.said());
    lines.extend(receivers.end().concat());
    assert!(emptied && empty(), "the queue does not empty: {}", house.said());
    let found = numbers(&String::from_utf8_lossy(&lines));
    println!(
        "{test}: {} records synced, {before} received between kills, {} in all, {} twice in {} runs",
        synced.len(),
        found.len(),
        extra(&found),
        runs_of_repeats(&found)
    );
    complete("receiver", &synced, &found);
    let mut seen = BTreeSet::new();
    let first: Vec<u64> = found.iter().copied().filter(|number| seen.insert(*number)).collect();
    assert!(first.windows(2).all(|pair| pair[0] < pair[1]), "lines are out of order: {first:?}");
    assert!(!house.said().contains("panicked"), "{}", house.said());
}

/// Goal: what a sync covered waits for a receiver that is down through 50 kills, and arrives in order when it is up.
#[test]
fn a_forward_queue_keeps_what_was_synced() {
    forwards_through_kills("queue", || None);
}

/// Goal: the same with a receiver that comes and goes meanwhile.
#[test]
fn a_forward_to_a_receiver_that_comes_and_goes_keeps_what_was_synced() {
    let mut random = Random(11);
    forwards_through_kills("come-and-go", move || {
        (random.below(3) > 0).then(|| Duration::from_millis(random.below(120)))
    });
}

/// Goal: the whole house under `banto up`: its daemons, `up` itself and everything at once are killed, 50 processes in all; mail, log
/// and alerts are complete afterwards, and every daemon answers again without a step of anybody.
#[test]
fn the_house_keeps_its_word() {
    const DAEMONS: [&str; 5] = ["timed", "logd", "maild", "alertd", "webd"];
    let mut random = Random::new("house");
    let house = furnished("", RULES);
    let marks = Arc::new(AtomicU64::new(0));
    let (mut mail, mut log) = (Clients::new(), Clients::new());
    for _ in 0..2 {
        mail.start(smtp_client(house.smtp, "daemon@localhost".to_owned(), Arc::clone(&marks)));
    }
    log.start(native_client(house.root(), Duration::from_millis(50), u64::MAX));
    let mut up = house.start("up", &[]);
    let (mut kills, mut by_up) = (0, 0);
    while kills < KILLS {
        let pids: Vec<(&str, u32)> =
            DAEMONS.iter().map(|name| (*name, answered(&house, name, None))).collect();
        // Each daemon at most once: `up` waits longer before each further start of the same one.
        let mut order = pids.clone();
        for at in (1..order.len()).rev() {
            order.swap(at, usize::try_from(random.below(at as u64 + 1)).unwrap_or(0));
        }
        order.truncate(2 + usize::try_from(random.below(3)).unwrap_or(0));
        for (name, pid) in &order {
            std::thread::sleep(random.moment());
            sys::signal::send(*pid, sys::signal::KILL).expect("it runs");
            kills += 1;
            println!("killed {name}");
        }
        for (name, pid) in &order {
            answered(&house, name, Some(*pid));
        }
        std::thread::sleep(random.moment());
        // Now all at once, or `up` alone, whose daemons end by themselves then.
        let pids: Vec<u32> = DAEMONS.iter().filter_map(|name| pid(&house.root(), name)).collect();
        if random.below(2) == 0 {
            for pid in &pids {
                let _ = sys::signal::send(*pid, sys::signal::KILL);
            }
            kills += pids.len();
        }
        up.kill();
        kills += 1;
        by_up += 1;
        let gone = || pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}/exe")).exists());
        assert!(eventually(PATIENCE, gone), "daemons outlive `up`");
        up = house.start("up", &[]);
    }
    for name in DAEMONS {
        answered(&house, name, None);
    }
    let (taken, synced) = (mail.end().concat(), log.end().concat());
    println!("house: {kills} kills, {by_up} of them `up`; {} mails, {} records", taken.len(), synced.len());
    assert!(taken.len() > 50 && synced.len() > 100, "hardly anything was acknowledged");
    let found = all_delivered(&house, "daemon", &taken);
    assert!(runs_of_repeats(&found) <= 2 * kills, "{} messages came twice", extra(&found));
    let journal = all_logged(&house, &synced);
    let told = || {
        let text = house.text("mail/root");
        Told::by(text.split("\nFrom ").map(|mail| mail.split_once('\n').map_or("", |(_, rest)| rest)))
    };
    let records = journal.len() as u64;
    eventually(PATIENCE, || told().sum() >= records);
    let told = told();
    println!("house: {records} records in {} alert mails, {} twice", told.counts.len(), told.twice);
    assert_eq!(told.sum(), records, "the alerts' counts");
    assert!(told.twice <= kills, "{} alert mails came twice", told.twice);
    let doctor = house.prepared("doctor", &[]).output().expect("it runs");
    assert!(doctor.status.success(), "{doctor:?}");
    assert_eq!(up.end(), Some(0), "{}", house.said());
    assert!(!house.said().contains("panicked"), "{}", house.said());
    verify(&house);
}
