//! Delivers with one user's rights: a child process where the daemon was started as root, a thread in a house.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Zoned;

use crate::channel::Channel;
use crate::mailbox::{append_mbox, deliver_maildir};
use crate::protocol::{Attempt, Leaf, LeafDone, LeafTarget};

/// How long a command may run (`command_time_limit` of postfix).
const COMMAND_PATIENCE: Duration = Duration::from_secs(1000);
/// Octets of a command's output that get into the report.
const OUTPUT_OCTETS_MAX: u64 = 1000;

/// Runs until the other end is gone.
pub fn run(stream: UnixStream) -> io::Result<()> {
    let mut channel = Channel::new(stream)?;
    let host = sys::host::hostname();
    let (mut ready, mut serial) = (Vec::new(), 0);
    loop {
        match sys::poll::poll(&[channel.interest()], &mut ready, None) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        }
        channel.flush();
        channel.fill();
        let mut batch: Vec<(Leaf, Vec<u8>)> = Vec::new();
        while let Some(leaf) = channel.next::<Leaf>() {
            batch.push(leaf);
        }
        // All leaves of one target together, in the order of the first ones.
        let mut order: Vec<LeafTarget> = Vec::new();
        let mut groups: HashMap<LeafTarget, Vec<(&Leaf, &[u8])>> = HashMap::new();
        for (leaf, content) in &batch {
            let group = groups.entry(leaf.target.clone()).or_default();
            if group.is_empty() {
                order.push(leaf.target.clone());
            }
            group.push((leaf, content.as_slice()));
        }
        for target in order {
            let Some(group) = groups.remove(&target) else { continue };
            let attempts = match &target {
                LeafTarget::Mbox(path) => append_mbox(Path::new(path), &group, &Zoned::now()),
                LeafTarget::Maildir(path) => deliver_maildir(Path::new(path), &group, &host, &mut serial),
                LeafTarget::Command { command, environment, directory } => group
                    .iter()
                    .map(|(leaf, c)| run_command(command, environment, directory, leaf, c))
                    .collect(),
            };
            for ((leaf, _), attempt) in group.iter().zip(attempts) {
                channel.send(&LeafDone { id: leaf.id, attempt }, &[])?;
            }
            channel.flush();
        }
        if channel.is_closed() {
            return Ok(());
        }
    }
}

fn run_command(
    command: &str,
    environment: &[(String, String)],
    directory: &str,
    leaf: &Leaf,
    content: &[u8],
) -> Attempt {
    match try_command(command, environment, directory, leaf, content) {
        Ok((Some(0), _)) => {
            Attempt::sent(leaf.index, format!("delivered to command: {command}"), "local", None)
        }
        // EX_TEMPFAIL of sysexits.h.
        Ok((Some(75), said)) => {
            let text = format!("temporary failure of the command {command}: {said}");
            Attempt::failed(leaf.index, true, "4.3.0", text, "local")
        }
        Ok((Some(code), said)) => {
            let text = format!("command died with status {code}: \"{command}\". Command output: {said}");
            Attempt::failed(leaf.index, false, "5.3.0", text, "local")
        }
        Ok((None, said)) => {
            let text = format!("the command {command} was ended by a signal or took too long: {said}");
            Attempt::failed(leaf.index, true, "4.3.0", text, "local")
        }
        Err(e) => Attempt::failed(leaf.index, true, "4.3.0", format!("cannot run {command}: {e}"), "local"),
    }
}

fn try_command(
    command: &str,
    environment: &[(String, String)],
    directory: &str,
    leaf: &Leaf,
    content: &[u8],
) -> io::Result<(Option<i32>, String)> {
    let mut input = Vec::new();
    let sender = if leaf.sender.is_empty() { "MAILER-DAEMON" } else { &leaf.sender };
    let date = Zoned::now().strftime("%a %b %e %H:%M:%S %Y").to_string();
    input.extend_from_slice(format!("From {sender}  {date}\n").as_bytes());
    let fields = [("Return-Path", format!("<{}>", leaf.sender)), ("X-Original-To", leaf.original.clone())];
    for (name, value) in fields.iter().chain(&[("Delivered-To", leaf.address.clone())]) {
        input.extend_from_slice(format!("{name}: {}\n", message::header_value(value)).as_bytes());
    }
    input.extend_from_slice(&message::to_lf(content));
    let directory = if Path::new(directory).is_dir() { directory } else { "/" };
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).env_clear().envs(environment.iter().map(|(n, v)| (n, v)));
    shell.current_dir(directory).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = sys::process::new_session(&mut shell).spawn()?;
    let stdin = child.stdin.take();
    // A command that reads nothing must not hold us: writing happens aside, and a broken pipe is its choice.
    let writer = std::thread::spawn(move || stdin.map(|mut pipe| pipe.write_all(&input)));
    let collect = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(mut pipe) = pipe {
                (&mut pipe).take(OUTPUT_OCTETS_MAX).read_to_end(&mut text).ok();
                io::copy(&mut pipe, &mut io::sink()).ok();
            }
            text
        })
    };
    let out = collect(child.stdout.take().map(|p| Box::new(p) as Box<dyn Read + Send>));
    let err = collect(child.stderr.take().map(|p| Box::new(p) as Box<dyn Read + Send>));
    let deadline = Instant::now() + COMMAND_PATIENCE;
    let mut pause = Duration::from_millis(1);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            child.kill()?;
            break child.wait()?;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    };
    drop(writer);
    // A grandchild may keep the pipes open: what is here by now is what is told.
    let grace = Instant::now() + Duration::from_millis(200);
    while !(out.is_finished() && err.is_finished()) && Instant::now() < grace {
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut said = Vec::new();
    for reader in [out, err] {
        if reader.is_finished() {
            said.extend(reader.join().unwrap_or_default());
        }
    }
    let said: String = String::from_utf8_lossy(&said).split_whitespace().collect::<Vec<_>>().join(" ");
    Ok((status.code(), said))
}
