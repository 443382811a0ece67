//! NTP requests from many addresses, as fast as the server answers them: `loadgen ntp`.
//!
//! At most a fixed number of requests is on its way at any time (the window); replies let the next requests go. Each request belongs
//! to a flow; flows are spread over the client addresses of 127.0.0.0/8. When nothing arrives for a while, what is on its way counts as
//! lost.
//!
//! The generator runs on the processors of the server that it measures, so it must be cheap, and what it pays for replies must not look
//! like the server's: on loopback a reply is put into its receiver's socket by the processor that sends it. So replies are counted in
//! the kernel ([`counting`]): a filter looks at the length and the fields of each, drops and counts those that are as they must be, and
//! lets one in sixty-four and every other one through, which are looked at as a client does. Load in interleaved mode, where a request
//! needs what the last reply said, is read in whole ([`Generator::run`]).

mod counting;
mod secured;

use ntp_proto::nts::Association;
use ntp_proto::{
    HEADER_BYTES, Header, Key, KeyType, Leap, Mode, NtpShort, NtpTimestamp, Packet, ReferenceId,
};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use sys::socket::{Departure, Listen, ReceiveBatch, SendBatch};

/// Datagrams in one system call.
const BATCH: usize = 64;
/// Room for a reply, in bytes: more than any that is expected, so that a longer one is seen.
const REPLY_BYTES: usize = 512;
/// A pause when nothing has arrived: the server is not slowed by waking us for each reply.
const PAUSE: Duration = Duration::from_micros(50);
/// After this long without a reply everything on its way is lost.
const LOST_AFTER: Duration = Duration::from_millis(40);
/// Flows for each request that may be on its way.
const FLOWS_PER_WINDOW: usize = 16;
/// Receive buffer of a socket, in bytes: the generator must lose nothing.
const RECEIVE_BUFFER: u32 = 8 << 20;

/// What requests look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Interleaved,
    Keyed,
    Nts,
}

#[derive(Debug, Clone)]
struct Options {
    to: SocketAddr,
    clients: u32,
    sockets: usize,
    window: usize,
    seconds: f64,
    kind: Kind,
    key: Option<(u32, Key)>,
    flood: bool,
    /// Requests of one client that follow each other.
    train: usize,
    /// Where keys are established, and the authority of its certificate.
    ke: Option<SocketAddr>,
    ca: Option<PathBuf>,
}

/// What came back.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    sent: u64,
    valid: u64,
    interleaved: u64,
    invalid: u64,
    longer: u64,
    lost: u64,
    /// Of the valid ones, those that were looked at as a client does.
    checked: u64,
}

/// Sends for the time asked, and prints one line of figures.
pub fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let options = parse(args)?;
    let mut generator = Generator::new(&options)?;
    let started = Instant::now();
    let lasted = if options.flood {
        generator.flood();
        started.elapsed()
    } else if options.kind == Kind::Interleaved {
        generator.run();
        started.elapsed()
    } else {
        generator.run_counted()?
    };
    let seconds = lasted.as_secs_f64();
    let count = generator.count;
    println!(
        "sent={} valid={} checked={} interleaved={} invalid={} longer={} lost={} seconds={seconds:.3} rate={:.0}",
        count.sent,
        count.valid,
        count.checked,
        count.interleaved,
        count.invalid,
        count.longer,
        count.lost,
        count.valid as f64 / seconds
    );
    Ok(())
}

fn parse(args: &[String]) -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        to: SocketAddr::from(([127, 0, 0, 1], 123)),
        clients: 1,
        sockets: 1,
        window: 192,
        seconds: 3.0,
        kind: Kind::Plain,
        key: None,
        flood: false,
        train: 1,
        ke: None,
        ca: None,
    };
    let mut words = args.iter();
    while let Some(word) = words.next() {
        if word == "--flood" {
            options.flood = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--to" => options.to = value.parse()?,
            "--clients" => options.clients = value.parse::<u32>()?.clamp(1, 1 << 22),
            "--sockets" => options.sockets = value.parse::<usize>()?.clamp(1, 64),
            "--window" => options.window = value.parse::<usize>()?.clamp(1, 1 << 16),
            "--train" => options.train = value.parse::<usize>()?.clamp(1, BATCH),
            "--ke" => options.ke = Some(value.parse()?),
            "--ca" => options.ca = Some(value.into()),
            "--seconds" => options.seconds = value.parse()?,
            "--kind" => {
                options.kind = match value.as_str() {
                    "plain" => Kind::Plain,
                    "interleaved" => Kind::Interleaved,
                    "keyed" => Kind::Keyed,
                    "nts" => Kind::Nts,
                    other => return Err(format!("--kind {other}: plain, interleaved, keyed or nts").into()),
                }
            }
            "--key" => {
                // ID:TYPE:SECRET
                let parts: Vec<&str> = value.splitn(3, ':').collect();
                let [id, name, secret] = parts.as_slice() else { return Err("--key ID:TYPE:SECRET".into()) };
                let kind =
                    KeyType::ALL.iter().find(|(known, _)| known == name).ok_or("--key: no such type")?.1;
                options.key = Some((id.parse()?, Key::new(kind, secret.as_bytes().to_vec())?));
            }
            _ => return Err(format!("{word}: no such option").into()),
        }
    }
    if options.kind == Kind::Keyed && options.key.is_none() {
        return Err("--kind keyed needs --key ID:TYPE:SECRET".into());
    }
    if options.kind == Kind::Nts && (options.ke.is_none() || options.ca.is_none()) {
        return Err("--kind nts needs --ke ADDRESS:PORT and --ca FILE".into());
    }
    Ok(options)
}

/// A client of ours: what it sent last, and what it needs to go on interleaved.
#[derive(Debug, Clone, Copy, Default)]
struct Flow {
    /// Transmit timestamp of the request on its way; 0 when there is none.
    nonce: u64,
    /// The server's receive timestamp in the last reply.
    server_receive: u64,
    /// The receive timestamp that stands in the request on its way; its reply brings it back when it is interleaved.
    own_receive: u64,
}

struct Generator<'a> {
    options: &'a Options,
    sockets: Vec<UdpSocket>,
    flows: Vec<Flow>,
    /// Requests that never change, for authenticated load: the code is made once.
    made: Vec<Vec<u8>>,
    /// For load with NTS, of flows whose replies are looked at, what opens them.
    associations: Vec<Option<Box<Association>>>,
    serial: u64,
    count: Count,
    template: [u8; HEADER_BYTES],
}

impl<'a> Generator<'a> {
    fn new(options: &'a Options) -> Result<Self, Box<dyn Error>> {
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut sockets = Vec::new();
        for _ in 0..options.sockets {
            let socket = sys::socket::bind_udp(any, Listen::default())?;
            sys::socket::set_receive_buffer(&socket, RECEIVE_BUFFER)?;
            sockets.push(socket);
        }
        // Every client has a flow, and no flow comes round while its request is on its way.
        let count = (options.clients as usize).max(options.window * FLOWS_PER_WINDOW);
        if count > FLOW_MASK as usize {
            return Err("more clients than flows can be told apart".into());
        }
        let header = Header {
            leap: Leap::Normal,
            version: 4,
            mode: Mode::Client,
            stratum: 0,
            poll: 6,
            precision: 32,
            root_delay: NtpShort(0),
            root_dispersion: NtpShort(0),
            reference_id: ReferenceId::default(),
            reference: NtpTimestamp::UNKNOWN,
            origin: NtpTimestamp::UNKNOWN,
            receive: NtpTimestamp::UNKNOWN,
            transmit: NtpTimestamp::UNKNOWN,
        };
        let template = header.to_bytes();
        let (mut made, mut associations) = (Vec::new(), Vec::new());
        if options.kind == Kind::Nts
            && let (Some(ke), Some(ca)) = (options.ke, &options.ca)
        {
            (made, associations) = secured::requests(ke, ca, &template, count)?;
        }
        if let (Kind::Keyed, Some((id, key))) = (options.kind, &options.key) {
            for flow in 0..count {
                let mut bytes = template.to_vec();
                bytes[40..48].copy_from_slice(&nonce(flow, flow as u64 + 1).to_be_bytes());
                let digest = key.digest(&bytes, 4);
                bytes.extend(id.to_be_bytes());
                bytes.extend_from_slice(&digest);
                made.push(bytes);
            }
        }
        Ok(Self {
            options,
            sockets,
            flows: vec![Flow::default(); count],
            made,
            associations,
            serial: 1,
            count: Count::default(),
            template,
        })
    }

    /// The address of a flow's client: from 127.1.0.1 on.
    fn source(&self, flow: usize) -> IpAddr {
        let number = (flow / self.options.train) as u32 % self.options.clients;
        IpAddr::V4(Ipv4Addr::from(0x7f01_0001_u32.wrapping_add(number)))
    }

    fn push(&mut self, batch: &mut SendBatch, flow: usize) {
        let interleaved = self.options.kind == Kind::Interleaved;
        let source = Some(self.source(flow));
        let Some(state) = self.flows.get_mut(flow) else { return };
        let buffer = batch.buffer();
        let length = if let Some(bytes) = self.made.get(flow) {
            state.nonce = nonce(flow, flow as u64 + 1);
            buffer[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        } else {
            self.serial += 1;
            state.nonce = nonce(flow, self.serial);
            buffer[..HEADER_BYTES].copy_from_slice(&self.template);
            if interleaved && state.server_receive != 0 {
                state.own_receive = state.nonce ^ 1 << 63;
                buffer[24..32].copy_from_slice(&state.server_receive.to_be_bytes());
                buffer[32..40].copy_from_slice(&state.own_receive.to_be_bytes());
            }
            buffer[40..48].copy_from_slice(&state.nonce.to_be_bytes());
            HEADER_BYTES
        };
        batch.push(length, &Departure { destination: Some(self.options.to), source });
        self.count.sent += 1;
    }

    /// Keeps the window full until time is up, and looks at every reply.
    fn run(&mut self) {
        let mut outgoing: Vec<SendBatch> =
            self.sockets.iter().map(|_| SendBatch::new(BATCH, REPLY_BYTES)).collect();
        let mut incoming = ReceiveBatch::new(BATCH, REPLY_BYTES);
        let sockets = std::mem::take(&mut self.sockets);
        let ends = Instant::now() + Duration::from_secs_f64(self.options.seconds);
        let mut next = 0;
        // Flows that may ask, the first of each turn.
        let mut free = self.options.window;
        let mut heard = Instant::now();
        loop {
            while free > 0 {
                let flow = next % self.flows.len();
                next += 1;
                // One whose reply is late is passed over; it is asked again when everything counts as lost.
                if self.flows.get(flow).is_some_and(|state| state.nonce != 0) {
                    if next % self.flows.len() == 0 && self.flows.iter().all(|state| state.nonce != 0) {
                        break;
                    }
                    continue;
                }
                free -= 1;
                let at = flow % sockets.len();
                if let (Some(batch), Some(socket)) = (outgoing.get_mut(at), sockets.get(at)) {
                    self.push(batch, flow);
                    if batch.is_full() {
                        batch.send(socket);
                    }
                }
            }
            for (batch, socket) in outgoing.iter_mut().zip(&sockets) {
                if !batch.is_empty() {
                    batch.send(socket);
                }
            }
            let mut arrived = 0;
            for socket in &sockets {
                if let Ok(received) = incoming.receive(socket) {
                    arrived += received;
                    for index in 0..received {
                        if let Some(datagram) = incoming.datagram(index) {
                            free += usize::from(self.judge(datagram.data));
                        }
                    }
                }
            }
            if arrived > 0 {
                heard = Instant::now();
                if heard > ends {
                    break;
                }
            } else if heard.elapsed() > LOST_AFTER {
                if Instant::now() > ends {
                    break;
                }
                for state in &mut self.flows {
                    self.count.lost += u64::from(std::mem::take(&mut state.nonce) != 0);
                }
                free = self.options.window;
                heard = Instant::now();
            }
            if arrived < BATCH / 4 {
                std::thread::sleep(PAUSE);
            }
        }
        self.sockets = sockets;
    }

    /// Whether a reply answers what a flow has asked; counts it.
    fn judge(&mut self, bytes: &[u8]) -> bool {
        let Ok(packet) = Packet::parse(bytes) else {
            self.count.invalid += 1;
            return false;
        };
        let header = packet.header;
        let mut flow = (header.origin.0 & FLOW_MASK) as usize;
        flow = flow.min(self.flows.len());
        let Some(state) = self.flows.get_mut(flow) else {
            self.count.invalid += 1;
            return false;
        };
        let plain = state.nonce != 0 && header.origin.0 == state.nonce;
        let interleaved = state.nonce != 0 && state.own_receive != 0 && header.origin.0 == state.own_receive;
        let sealed = self.associations.get(flow).and_then(Option::as_ref);
        let good = (plain || interleaved)
            && header.mode == Mode::Server
            && header.version == 4
            && (1..16).contains(&header.stratum)
            && header.leap != Leap::Unsynchronised
            && !header.receive.is_unknown()
            && !header.transmit.is_unknown()
            && (interleaved || header.transmit.since(header.receive) >= 0.0)
            && match (&self.options.key, packet.mac) {
                (Some((id, key)), Some(mac)) => {
                    mac.key_id == *id && key.verify(packet.covered, 4, mac.digest)
                }
                (None, None) => true,
                _ => false,
            }
            && match sealed {
                // Each reply of a flow answers the same request.
                Some(association) => association.clone().open(bytes).is_ok(),
                None => self.options.kind != Kind::Nts,
            };
        let asked = self.made.get(flow).map_or(HEADER_BYTES, Vec::len);
        self.count.longer += u64::from(bytes.len() > asked);
        if !good {
            self.count.invalid += 1;
            return false;
        }
        (state.nonce, state.own_receive, state.server_receive) = (0, 0, header.receive.0);
        self.count.valid += 1;
        self.count.checked += 1;
        self.count.interleaved += u64::from(interleaved);
        true
    }

    /// Every client asks once, whoever answers: for the memory that strangers cost.
    fn flood(&mut self) {
        let mut batch = SendBatch::new(BATCH, REPLY_BYTES);
        let sockets = std::mem::take(&mut self.sockets);
        let mut incoming = ReceiveBatch::new(BATCH, REPLY_BYTES);
        for flow in 0..self.flows.len() {
            self.push(&mut batch, flow);
            if batch.is_full() || flow + 1 == self.flows.len() {
                for socket in sockets.iter().take(1) {
                    batch.send(socket);
                    std::thread::sleep(PAUSE);
                    while let Ok(received) = incoming.receive(socket) {
                        for index in 0..received {
                            if let Some(datagram) = incoming.datagram(index) {
                                self.judge(datagram.data);
                            }
                        }
                    }
                }
            }
        }
        self.sockets = sockets;
    }
}

/// Bits of a nonce that name the flow.
const FLOW_MASK: u64 = (1 << 23) - 1;

/// A timestamp that nobody else would send: the flow and a running number.
fn nonce(flow: usize, serial: u64) -> u64 {
    (serial.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 << 62) & !FLOW_MASK & !(1 << 63) | flow as u64 & FLOW_MASK
}
