//! A time server of a test's own: each datagram that it sends is what the test wants.

use crate::Chronyd;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One request, as the server sees it.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Its bytes, 48 at least.
    pub request: &'a [u8],
    /// Who asks.
    pub from: SocketAddr,
    /// Where it came.
    pub socket: &'a UdpSocket,
    /// It is the how manieth, from 0.
    pub number: usize,
    /// Seconds since the server began.
    pub age: f64,
}

impl Ask<'_> {
    /// A good reply of stratum 1 whose clock is `ahead` seconds before true time.
    pub fn reply(&self, ahead: f64) -> Vec<u8> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64() + ahead;
        // RFC 5905 section 6: seconds since 1900 and a binary fraction.
        let seconds = (now as u64 + 2_208_988_800) as u32;
        let stamp = [seconds.to_be_bytes(), ((now.fract() * 2_f64.powi(32)) as u32).to_be_bytes()].concat();
        // Leap 0, version 4, mode 4; stratum 1; the client's poll; precision 2^-20; no root delay or dispersion.
        let mut reply = vec![0x24, 1, self.request[2], 0xEC, 0, 0, 0, 0, 0, 0, 0, 0];
        reply.extend(b"TEST");
        reply.extend(&stamp);
        reply.extend(&self.request[40..48]);
        reply.extend(&stamp);
        reply.extend(&stamp);
        reply
    }

    /// A kiss of death (RFC 5905 section 7.4).
    pub fn kiss(&self, code: &[u8; 4]) -> Vec<u8> {
        let mut kiss = self.reply(0.0);
        (kiss[0], kiss[1]) = (0xE4, 0);
        kiss[12..16].copy_from_slice(code);
        kiss
    }

    /// Answers.
    pub fn send(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.from).expect("loopback takes datagrams");
    }
}

/// A time server that does what the test says.
#[derive(Debug)]
pub struct TimeServer {
    /// Where it is.
    pub address: SocketAddr,
    /// When requests came.
    asked: Arc<Mutex<Vec<Instant>>>,
    ends: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl TimeServer {
    /// One at `ip` that gives each request to `answer`.
    pub fn start(ip: &str, answer: impl FnMut(&Ask) + Send + 'static) -> Self {
        Self::at(ip, 0, answer)
    }

    /// The same at a port; 0: at a free one.
    pub fn at(ip: &str, port: u16, answer: impl FnMut(&Ask) + Send + 'static) -> Self {
        Self::try_at(ip, port, answer).expect("a free port")
    }

    /// The same at a port which this user may not have, or which another program has.
    pub fn try_at(
        ip: &str,
        port: u16,
        mut answer: impl FnMut(&Ask) + Send + 'static,
    ) -> std::io::Result<Self> {
        let socket = UdpSocket::bind((ip, port))?;
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket option");
        let address = socket.local_addr().expect("it is bound");
        let (asked, ends) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (asked, ends) = (asked.clone(), ends.clone());
            move || {
                let begin = Instant::now();
                let mut buffer = [0; 2048];
                while !ends.load(Ordering::Relaxed) {
                    let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                    assert!(length >= 48, "a request of {length} bytes");
                    let number = {
                        let mut asked = asked.lock().expect("no test panics with it");
                        asked.push(Instant::now());
                        asked.len() - 1
                    };
                    let age = begin.elapsed().as_secs_f64();
                    answer(&Ask { request: &buffer[..length], from, socket: &socket, number, age });
                }
            }
        });
        Ok(Self { address, asked, ends, thread: Some(thread) })
    }

    /// One whose clock is always `ahead` seconds before true time.
    pub fn ahead(ip: &str, ahead: f64) -> Self {
        Self::start(ip, move |ask| ask.send(&ask.reply(ahead)))
    }

    /// The line of a configuration.
    pub fn line(&self, options: &str) -> String {
        format!("server {} port {} {options}\n", self.address.ip(), self.address.port())
    }

    /// When requests came.
    pub fn requests(&self) -> Vec<Instant> {
        self.asked.lock().expect("no test panics with it").clone()
    }
}

/// What a daemon says of a test's server.
impl Chronyd {
    /// The number in a line of `ntpdata`.
    pub fn ntpdata(&self, server: &TimeServer, what: &str) -> f64 {
        let text = self.chronyc(&["ntpdata", &server.address.ip().to_string()]);
        let line = text.lines().find_map(|line| line.strip_prefix(what)?.trim().strip_prefix(':'));
        line.and_then(|rest| rest.trim().split(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("no {what}: {text}{}", self.log()))
    }

    /// How many of its answers counted.
    pub fn good(&self, server: &TimeServer) -> f64 {
        self.ntpdata(server, "Total valid RX")
    }

    /// `*`, `+`, `x`... of it; `-` too where it is no source.
    pub fn state(&self, server: &TimeServer) -> char {
        let address = server.address.ip().to_string();
        let row = self.rows(&["sources"]).into_iter().find(|row| row.get(2) == Some(&address));
        row.and_then(|row| row[1].chars().next()).unwrap_or('-')
    }

    /// Its time is taken, alone or combined with others'.
    pub fn follows(&self, server: &TimeServer) -> bool {
        matches!(self.state(server), '*' | '+')
    }
}

impl Drop for TimeServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}
