//! Syslog over TCP, as fast as the receiver takes it: `loadgen syslog-tcp`.
//!
//! Messages are RFC 3164 lines of a given size, numbered, from a few hosts and programs. They are made before the clock runs, so that
//! the generator costs the receiver's machine as little as can be; each connection sends its block again and again.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

/// Messages that are made in advance for one connection: more than fits a processor's cache, as real input is.
const BLOCK_MESSAGES: usize = 20_000;

struct Options {
    to: String,
    connections: usize,
    messages: usize,
    size: usize,
    octet_counted: bool,
}

/// Sends, and prints one line: messages, seconds, messages a second.
pub fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let options = parse(args)?;
    let each = options.messages / options.connections;
    let blocks: Vec<(Vec<u8>, Vec<usize>)> = (0..options.connections)
        .map(|connection| block(&options, connection, each.min(BLOCK_MESSAGES)))
        .collect();
    let streams: Vec<TcpStream> =
        (0..options.connections).map(|_| TcpStream::connect(&options.to)).collect::<Result<_, _>>()?;
    let started = Instant::now();
    std::thread::scope(|scope| -> Result<(), Box<dyn Error>> {
        let senders: Vec<_> = streams
            .into_iter()
            .zip(&blocks)
            .map(|(stream, (bytes, ends))| scope.spawn(move || send(stream, bytes, ends, each)))
            .collect();
        for sender in senders {
            sender.join().map_err(|_| "a sender has panicked")??;
        }
        Ok(())
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let sent = each * options.connections;
    println!("messages={sent} seconds={seconds:.3} rate={:.0}", sent as f64 / seconds);
    Ok(())
}

fn parse(args: &[String]) -> Result<Options, Box<dyn Error>> {
    let mut options =
        Options { to: String::new(), connections: 1, messages: 1_000_000, size: 200, octet_counted: false };
    let mut words = args.iter();
    while let Some(word) = words.next() {
        if word == "--octet-counted" {
            options.octet_counted = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--to" => options.to = value.clone(),
            "--connections" => options.connections = value.parse::<usize>()?.max(1),
            "--messages" => options.messages = value.parse()?,
            "--size" => options.size = value.parse()?,
            _ => return Err(format!("{word}: no such option").into()),
        }
    }
    if options.to.is_empty() {
        return Err("--to HOST:PORT is missing".into());
    }
    Ok(options)
}

/// Framed messages one after the other, and where each ends.
fn block(options: &Options, connection: usize, count: usize) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = Vec::with_capacity(count * (options.size + 8));
    let mut ends = Vec::with_capacity(count);
    for number in 0..count {
        let (host, second) = (number % 10, number / 100 % 60);
        let mut message = format!(
            "<134>Nov 22 16:01:{second:02} host{host} program{connection}[{}]: message {number:08} of connection {connection} ",
            1000 + number % 7
        )
        .into_bytes();
        while message.len() < options.size {
            message.push(b'a' + (message.len() % 26) as u8);
        }
        message.truncate(options.size);
        if options.octet_counted {
            bytes.extend_from_slice(format!("{} ", message.len()).as_bytes());
            bytes.extend_from_slice(&message);
        } else {
            bytes.extend_from_slice(&message);
            bytes.push(b'\n');
        }
        ends.push(bytes.len());
    }
    (bytes, ends)
}

/// Sends `messages` messages and waits until the receiver has closed its side or confirmed all of them.
fn send(mut stream: TcpStream, bytes: &[u8], ends: &[usize], messages: usize) -> std::io::Result<()> {
    let mut left = messages;
    while left > 0 {
        let count = left.min(ends.len());
        let Some(end) = count.checked_sub(1).and_then(|last| ends.get(last)) else { break };
        stream.write_all(&bytes[..*end])?;
        left -= count;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    // The receiver closes when it has read to the end.
    stream.read_to_end(&mut Vec::new()).map(drop)
}
