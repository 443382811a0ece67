//! `loadgen smtp`: messages by SMTP, many sessions at once.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to send.
#[derive(Debug, Clone)]
pub struct Load {
    /// The server.
    pub to: SocketAddr,
    /// Sessions at once.
    pub sessions: u64,
    /// Messages in all.
    pub messages: u64,
    /// Octets of one message.
    pub size: usize,
    /// The recipient.
    pub recipient: String,
    /// Several messages over one connection.
    pub keep: bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Messages that were answered with 250.
    pub accepted: u64,
    /// Messages that were not.
    pub failed: u64,
    /// From the first connection to the last answer.
    pub elapsed: Duration,
}

/// The words after `smtp`; prints one line of JSON.
pub fn run(words: &[String]) -> Result<(), String> {
    let load = parse(words)?;
    let result = send_all(&load);
    let seconds = result.elapsed.as_secs_f64();
    println!(
        "{{\"accepted\":{},\"failed\":{},\"seconds\":{seconds:.3},\"accepted_per_second\":{:.1}}}",
        result.accepted,
        result.failed,
        result.accepted as f64 / seconds.max(1e-9)
    );
    if result.failed > 0 { Err(format!("{} messages were not accepted", result.failed)) } else { Ok(()) }
}

fn parse(words: &[String]) -> Result<Load, String> {
    let usage = "usage: loadgen smtp --to HOST:PORT --sessions N --messages N --size B --rcpt ADDR [--keep]";
    let (mut to, mut recipient, mut keep) = (None, None, false);
    let (mut sessions, mut messages, mut size) = (10, 1000, 4096);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--keep" {
            keep = true;
            continue;
        }
        let value = words.next().ok_or(usage)?;
        let number = || value.parse::<u64>().map_err(|_| format!("{value} is no number"));
        match word.as_str() {
            "--to" => to = value.to_socket_addrs().map_err(|e| format!("{value}: {e}"))?.next(),
            "--rcpt" => recipient = Some(value.clone()),
            "--sessions" => sessions = number()?.max(1),
            "--messages" => messages = number()?,
            "--size" => size = usize::try_from(number()?).map_err(|e| e.to_string())?,
            _ => return Err(usage.to_owned()),
        }
    }
    Ok(Load { to: to.ok_or(usage)?, sessions, messages, size, recipient: recipient.ok_or(usage)?, keep })
}

/// Sends the load and waits for the last answer.
pub fn send_all(load: &Load) -> Outcome {
    let (next, accepted, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let content = content(load.size);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..load.sessions {
            scope.spawn(|| {
                let mut connection = None;
                while next.fetch_add(1, Ordering::Relaxed) < load.messages {
                    let sent = match connection.take() {
                        Some(open) => Ok(open),
                        None => open(load.to),
                    };
                    let sent = sent.and_then(|mut open: Connection| {
                        send(&mut open, &load.recipient, &content)?;
                        Ok(open)
                    });
                    match sent {
                        Ok(open) => {
                            accepted.fetch_add(1, Ordering::Relaxed);
                            if load.keep {
                                connection = Some(open);
                            } else {
                                quit(open);
                            }
                        }
                        Err(_) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                if let Some(open) = connection {
                    quit(open);
                }
            });
        }
    });
    Outcome { accepted: accepted.into_inner(), failed: failed.into_inner(), elapsed: start.elapsed() }
}

struct Connection {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

/// A message of about `size` octets in lines of 72, ended by CRLF, then the end of the content.
fn content(size: usize) -> Vec<u8> {
    let mut out = b"From: load@example.com\r\nSubject: load\r\n\r\n".to_vec();
    while out.len() < size {
        out.extend_from_slice(&[b'x'; 70]);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

fn open(to: SocketAddr) -> std::io::Result<Connection> {
    let writer = TcpStream::connect(to)?;
    writer.set_nodelay(true)?;
    writer.set_read_timeout(Some(PATIENCE))?;
    let reader = BufReader::new(writer.try_clone()?);
    let mut connection = Connection { reader, writer };
    expect(&mut connection, b'2')?;
    command(&mut connection, b"EHLO load.example.com\r\n", b'2')?;
    Ok(connection)
}

fn send(connection: &mut Connection, recipient: &str, content: &[u8]) -> std::io::Result<()> {
    command(connection, b"MAIL FROM:<load@example.com>\r\n", b'2')?;
    command(connection, format!("RCPT TO:<{recipient}>\r\n").as_bytes(), b'2')?;
    command(connection, b"DATA\r\n", b'3')?;
    command(connection, content, b'2')
}

fn quit(mut connection: Connection) {
    command(&mut connection, b"QUIT\r\n", b'2').ok();
}

fn command(connection: &mut Connection, octets: &[u8], expected: u8) -> std::io::Result<()> {
    connection.writer.write_all(octets)?;
    expect(connection, expected)
}

fn expect(connection: &mut Connection, expected: u8) -> std::io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        connection.reader.read_until(b'\n', &mut line)?;
        if line.get(3) != Some(&b'-') {
            break;
        }
    }
    if line.first() == Some(&expected) {
        return Ok(());
    }
    Err(std::io::Error::other(String::from_utf8_lossy(&line).into_owned()))
}
