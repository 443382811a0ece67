//! SMTP into one mbox with ten sessions: ours as maild, and postfix. Both sync before 250 and sync the mailbox before the queue
//! forgets a message; neither has a log daemon to speak to.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::duel::{Duel, Round};
use super::first_light::{Bar, Built};
use super::load;
use super::options::Options;
use super::processes;
use super::programs::{self, Running, TempDir};

/// A user that every Debian has and nobody logs in as; postfix writes no mailbox as root.
const RECIPIENT: &str = "games";

/// Sessions at once.
const SESSIONS: &str = "10";

/// Bytes of one message.
const MESSAGE_BYTES: &str = "4096";

/// Messages that a fresh daemon gets before the clock runs: its processes are started by then.
const WARM_UP_MESSAGES: usize = 100;

/// Ten sessions, one message a connection.
pub fn run(built: &Built, options: &Options) -> Vec<Bar> {
    let messages = if options.quick { 1000 } else { 3000 };
    let duel = Duel {
        title: format!(
            "SMTP to mbox: {messages} messages of {MESSAGE_BYTES} bytes, {SESSIONS} sessions, one message a connection; both sync before 250"
        ),
        promise: "SMTP to mbox, 10 sessions, against postfix".to_owned(),
        stock_name: "postfix",
        items: messages,
        unit: "messages",
        rounds: options.rounds(),
    };
    duel.run(|| ours(built, messages), || postfix(built, messages))
}

fn ours(built: &Built, messages: usize) -> Result<Round, String> {
    let folder = TempDir::new()?;
    let port = programs::free_port()?;
    let house = folder.join("house");
    let made =
        built.ours().arg("--dir").arg(&house).args(["up", "--init-only"]).stdout(Stdio::null()).status();
    if !made.is_ok_and(|status| status.success()) {
        return Err("banto up --init-only has failed".to_owned());
    }
    let spool = mail_folder(&folder)?;
    let path = house.join("etc/main.cf");
    let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let text = settings(
        &text,
        &[
            ("banto_smtp_listen", &format!("127.0.0.1:{port}")),
            ("mail_spool_directory", &spool.display().to_string()),
            ("myhostname", "bench.example.com"),
            ("mydestination", "bench.example.com"),
            ("alias_maps", ""),
            ("mailbox_size_limit", "0"),
        ],
    );
    fs::write(&path, text).map_err(|error| error.to_string())?;
    let mut command = built.ours();
    command.arg("--dir").arg(&house).arg("maild");
    load::settle_disk();
    let (mut daemon, words) = Running::daemon(&mut command, &folder)?;
    let id = daemon.id();
    daemon
        .wait_for_port(port)
        .and_then(|()| round(built, port, &spool.join(RECIPIENT), messages, id))
        .map_err(|error| format!("{error}\n    {}", programs::tail(&words)))
}

/// `text` of main.cf with other values: a parameter that stands is replaced, another one added.
fn settings(text: &str, values: &[(&str, &str)]) -> String {
    let is_one_of = |line: &str| {
        line.split_once('=').is_some_and(|(name, _)| values.iter().any(|(own, _)| *own == name.trim()))
    };
    let mut lines: Vec<String> = text.lines().filter(|line| !is_one_of(line)).map(str::to_owned).collect();
    lines.extend(values.iter().map(|(name, value)| format!("{name} = {value}")));
    lines.join("\n") + "\n"
}

fn postfix(built: &Built, messages: usize) -> Result<Round, String> {
    let master = programs::stock("master")?;
    let postfix = programs::stock("postfix")?;
    if programs::user_id(None)? != 0 {
        return Err("postfix runs only when root starts it".to_owned());
    }
    let folder = TempDir::new()?;
    let port = programs::free_port()?;
    let spool = mail_folder(&folder)?;
    let (etc, queue, data) = (folder.join("etc"), folder.join("queue"), folder.join("data"));
    for path in [&etc, &queue, &data] {
        fs::create_dir(path).map_err(|error| error.to_string())?;
    }
    chown(&data, "postfix")?;
    folder.write("etc/main.cf", &postfix_main_cf(&queue, &data, &spool))?;
    folder.write("etc/master.cf", &postfix_master_cf(port))?;
    // It makes the folders of the queue and says what is wrong; nothing is started.
    let check =
        Command::new(postfix).arg("-c").arg(&etc).arg("check").output().map_err(|error| error.to_string())?;
    if !check.status.success() {
        return Err(format!("postfix check: {}", String::from_utf8_lossy(&check.stderr).trim()));
    }
    let mut command = Command::new(master);
    // -d: it stays in the foreground, so that it is ended by its id.
    command.arg("-c").arg(&etc).arg("-d").env("MAIL_CONFIG", &etc);
    load::settle_disk();
    let (mut daemon, words) = Running::daemon(&mut command, &folder)?;
    let id = daemon.id();
    let outcome = daemon
        .wait_for_port(port)
        .and_then(|()| round(built, port, &spool.join(RECIPIENT), messages, id))
        .map_err(|error| format!("{error}\n    {}", programs::tail(&words)));
    let family = processes::family(id);
    daemon.end();
    // Its services end when their master has gone; one that stays would hold the folder.
    programs::eventually(|| !family.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists()));
    outcome
}

fn postfix_main_cf(queue: &Path, data: &Path, spool: &Path) -> String {
    format!(
        "compatibility_level = 3.6\nqueue_directory = {}\ndata_directory = {}\nmail_spool_directory = {}\n\
         myhostname = bench.example.com\nmydestination = bench.example.com\nmynetworks = 127.0.0.0/8\n\
         inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nalias_maps =\nalias_database =\n\
         mailbox_size_limit = 0\nbiff = no\nsmtpd_tls_security_level = none\n",
        queue.display(),
        data.display(),
        spool.display()
    )
}

/// Debian's services, as many as a local delivery needs, with Debian's limits; none of them in a changed root.
fn postfix_master_cf(port: u16) -> String {
    format!(
        "127.0.0.1:{port} inet n - n - - smtpd\n\
         pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
         rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\n\
         trace unix - - n - 0 bounce\nverify unix - - n - 1 verify\nflush unix n - n 1000? 0 flush\n\
         proxymap unix - - n - - proxymap\nproxywrite unix - - n - 1 proxymap\nsmtp unix - - n - - smtp\n\
         relay unix - - n - - smtp\nshowq unix n - n - - showq\nerror unix - - n - - error\nretry unix - - n - - error\n\
         discard unix - - n - - discard\nlocal unix - n n - - local\nvirtual unix - n n - - virtual\n\
         lmtp unix - - n - - lmtp\nanvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\n"
    )
}

fn chown(path: &Path, user: &str) -> Result<(), String> {
    let id = programs::user_id(Some(user))?;
    std::os::unix::fs::chown(path, Some(id), None).map_err(|error| format!("{}: {error}", path.display()))
}

/// A folder for mailboxes that every user may make a file in, as /var/mail is.
fn mail_folder(folder: &TempDir) -> Result<PathBuf, String> {
    let path = folder.join("mail");
    fs::create_dir(&path)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o1777)))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// A little load to warm up, then the load that counts.
fn round(built: &Built, port: u16, mailbox: &Path, messages: usize, daemon: u32) -> Result<Round, String> {
    let mut counter = Mailbox::new(mailbox);
    let load = |messages: usize| {
        let mut generator = Command::new(&built.loadgen);
        generator.args(["smtp", "--to", &format!("127.0.0.1:{port}"), "--sessions", SESSIONS]);
        generator.args(["--messages", &messages.to_string(), "--size", MESSAGE_BYTES]);
        generator.args(["--rcpt", &format!("{RECIPIENT}@bench.example.com")]);
        generator
    };
    let warm_up = WARM_UP_MESSAGES.min(messages);
    load::send_and_watch(&mut load(warm_up), || counter.has(warm_up))?;
    let cpu = processes::cpu_seconds(daemon);
    let (sent, last) = load::send_and_watch(&mut load(messages), || counter.has(warm_up + messages))
        .map_err(|error| format!("{error}; the mailbox has {} of {}", counter.count, warm_up + messages))?;
    let cpu = processes::cpu_seconds(daemon) - cpu;
    let said: serde_json::Value = serde_json::from_str(sent.said.trim())
        .map_err(|error| format!("the generator said `{}`: {error}", sent.said))?;
    let number = |name: &str| said.get(name).and_then(serde_json::Value::as_f64);
    let (Some(sending), Some(accepted)) = (number("seconds"), number("accepted_per_second")) else {
        return Err(format!("the generator said `{}`", sent.said.trim()));
    };
    if counter.count != warm_up + messages {
        return Err(format!("the mailbox has {} messages instead of {}", counter.count, warm_up + messages));
    }
    Ok(Round { seconds: load::seconds(&sent, sending, last), cpu, accepted: Some(accepted) })
}

/// Counts the messages of an mbox while it grows; each byte is read once.
struct Mailbox {
    path: PathBuf,
    read: u64,
    count: usize,
    /// The end of what was read, for a `From ` line on the border.
    border: Vec<u8>,
}

/// How a message of the load begins in an mbox: its envelope sender is the generator's.
const MESSAGE_BEGINS: &[u8] = b"\nFrom load@example.com ";

impl Mailbox {
    fn new(path: &Path) -> Self {
        // The first message of a file begins after nothing: as if after a line.
        Self { path: path.to_path_buf(), read: 0, count: 0, border: vec![b'\n'] }
    }

    fn has(&mut self, messages: usize) -> Result<bool, String> {
        if load::size(&self.path) > self.read {
            let mut file = File::open(&self.path).map_err(|error| error.to_string())?;
            file.seek(SeekFrom::Start(self.read)).map_err(|error| error.to_string())?;
            let mut bytes = std::mem::take(&mut self.border);
            self.read += file.read_to_end(&mut bytes).map_err(|error| error.to_string())? as u64;
            self.count +=
                bytes.windows(MESSAGE_BEGINS.len()).filter(|window| *window == MESSAGE_BEGINS).count();
            self.border = bytes.split_off(bytes.len().saturating_sub(MESSAGE_BEGINS.len() - 1));
        }
        Ok(self.count >= messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: messages are counted once each, in whatever pieces the file grows.
    #[test]
    fn messages_are_counted_in_any_pieces() {
        let text = "From load@example.com  Sun\nSubject: x\n\nFrom x\n\nFrom load@example.com  Sun\n\n";
        for piece in [1, 2, 7, 22, 23, 24, 1000] {
            let folder = TempDir::new().expect("a folder");
            let path = folder.write("mbox", "").expect("written");
            let mut counter = Mailbox::new(&path);
            for end in (piece..text.len()).step_by(piece).chain([text.len()]) {
                fs::write(&path, text.get(..end).expect("ASCII")).expect("written");
                counter.has(2).expect("readable");
            }
            assert_eq!(counter.count, 2, "pieces of {piece}");
        }
    }

    /// Goal: a parameter that stands is replaced, another one added, comments stay.
    #[test]
    fn settings_are_replaced_or_added() {
        let text = settings("# a = b\na = 1\nb=2\n", &[("a", "3"), ("c", "4")]);
        assert_eq!(text, "# a = b\nb=2\na = 3\nc = 4\n");
    }
}
