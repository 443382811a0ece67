//! Where messages go: a local socket, a server by UDP or TCP, the journal.

use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::time::Duration;

use record::{ClockQuality, Priority, UnixMicros};
use syslog_proto::{Header, Timestamp};

use crate::options::{Form, Options, Transport};
use crate::reason;

/// Longest wait for a server to take the connection or a message.
const SERVER_WAIT: Duration = Duration::from_secs(30);

enum Sink {
    /// Nowhere: `--no-act`, or a local socket whose absence is passed over.
    Nothing,
    Datagram(UnixDatagram),
    Stream(UnixStream),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// An open destination.
pub(crate) struct Output<'a> {
    options: &'a Options,
    sink: Sink,
    form: Form,
    /// The message goes to a local socket in the form of `syslog(3)`: without a host name.
    local: bool,
    hostname: String,
    tag: Vec<u8>,
}

impl<'a> Output<'a> {
    /// Opens the destination that the options name; by default the socket of the house or of the system.
    pub(crate) fn open(layout: &layout::Layout, options: &'a Options) -> Result<Self, String> {
        let local = options.server.is_none();
        let sink = match &options.server {
            _ if options.no_act => Sink::Nothing,
            Some(server) => open_server(server, options)?,
            None => {
                let default = || syslog_proto::dev_log(layout);
                let path = options.socket.clone().unwrap_or_else(default);
                // In a house nobody expects that a message vanishes without a word.
                let told = options.socket_errors.unwrap_or(options.stderr || layout.house_dir().is_some());
                match open_local(&path, options.transport) {
                    Ok(sink) => sink,
                    Err(error) if told => {
                        return Err(format!(
                            "socket {}: {}\nhelp: does the log daemon run? systemctl start banto-logd; in a house: banto --dir DIR up",
                            path.display(),
                            reason(&error)
                        ));
                    }
                    Err(_) => Sink::Nothing,
                }
            }
        };
        let form = match options.form {
            Form::Default if !local => Form::Rfc5424 { time: true, quality: true, host: true },
            form => form,
        };
        let tag = match &options.tag {
            Some(tag) => tag.clone(),
            None => {
                let user = sys::user::by_uid(sys::process::uid()).ok().flatten();
                user.map_or_else(|| b"<someone>".to_vec(), |user| user.name.into_bytes())
            }
        };
        Ok(Self { options, sink, form, local, hostname: sys::host::hostname(), tag })
    }

    /// Sends one message.
    pub(crate) fn write(&mut self, priority: Priority, text: &[u8]) -> Result<(), String> {
        let mut message = Vec::with_capacity(text.len() + 128);
        self.build(priority, text, &mut message);
        if self.options.octet_count {
            let mut counted = Vec::with_capacity(message.len() + 8);
            syslog_proto::write_octet_counted(&message, &mut counted);
            message = counted;
        }
        if self.options.stderr {
            let mut stderr = io::stderr().lock();
            let _ = stderr.write_all(&message).and_then(|()| stderr.write_all(b"\n"));
        }
        let sent = match &mut self.sink {
            Sink::Nothing => Ok(()),
            Sink::Datagram(socket) => socket.send(&message).map(drop),
            Sink::Udp(socket) => socket.send(&message).map(drop),
            Sink::Stream(stream) => {
                message.push(0);
                stream.write_all(&message)
            }
            Sink::Tcp(stream) => {
                if !self.options.octet_count {
                    message.push(b'\n');
                }
                stream.write_all(&message)
            }
        };
        sent.map_err(|error| format!("send message failed: {}", reason(&error)))
    }

    fn build(&self, priority: Priority, text: &[u8], out: &mut Vec<u8>) {
        let now = UnixMicros(u64::try_from(sys::clock::realtime_ns() / 1000).unwrap_or(0));
        let offset = local_offset_minutes(now);
        let timestamp = Some(Timestamp::from_unix(now, offset));
        let procid = self.options.id.as_deref().map(str::as_bytes);
        match self.form {
            Form::Rfc5424 { time, quality, host } => {
                let data = self.structured_data(quality);
                let header = Header {
                    priority,
                    timestamp: timestamp.filter(|_| time),
                    hostname: host.then_some(self.hostname.as_bytes()),
                    app_name: &self.tag,
                    procid,
                    msgid: self.options.msgid.as_deref().map(str::as_bytes),
                    structured_data: (!data.is_empty()).then_some(&data),
                };
                syslog_proto::build_rfc5424(&header, text, out);
            }
            form => {
                let short = self.hostname.split('.').next().unwrap_or("");
                let header = Header {
                    priority,
                    timestamp,
                    hostname: (form == Form::Rfc3164 || !self.local).then_some(short.as_bytes()),
                    app_name: &self.tag,
                    procid,
                    msgid: None,
                    structured_data: None,
                };
                syslog_proto::build_rfc3164(&header, text, out);
            }
        }
    }

    fn structured_data(&self, quality: bool) -> Vec<u8> {
        let mut data = Vec::new();
        let own = self.options.structured_data.iter().any(|(id, _)| id == "timeQuality");
        if quality && !own {
            let state = sys::clock::state();
            let quality = ClockQuality {
                synced: state.as_ref().is_ok_and(|state| state.synced),
                max_error_usec: state.map_or(0, |state| state.max_error_usec),
                tz_known: true,
            };
            syslog_proto::time_quality(&quality, &mut data);
        }
        for (id, params) in &self.options.structured_data {
            data.push(b'[');
            data.extend_from_slice(id.as_bytes());
            for param in params {
                data.push(b' ');
                data.extend_from_slice(param.as_bytes());
            }
            data.push(b']');
        }
        data
    }
}

fn open_local(path: &Path, transport: Transport) -> io::Result<Sink> {
    let datagram = || {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Sink::Datagram(socket))
    };
    let stream = || UnixStream::connect(path).map(Sink::Stream);
    match transport {
        Transport::Udp => datagram(),
        Transport::Tcp => stream(),
        // EPROTOTYPE: the socket is there, of the other kind.
        Transport::Any => datagram().or_else(|error| match error.raw_os_error() {
            Some(91) => stream(),
            _ => Err(error),
        }),
    }
}

/// Ports of the service names that util-linux looks up: `syslog` (RFC 5426) and `syslog-conn` (RFC 3195), then `syslog` again.
const PORT_UDP: u16 = 514;
const PORT_TCP: [u16; 2] = [601, 514];

fn open_server(server: &str, options: &Options) -> Result<Sink, String> {
    let named = match options.port.as_deref() {
        None => None,
        Some("syslog") => Some(PORT_UDP),
        Some("syslog-conn") => Some(PORT_TCP[0]),
        Some(text) => Some(text.parse::<u16>().map_err(|_| format!("failed to parse port: '{text}'"))?),
    };
    let udp = || -> io::Result<Sink> {
        let address = first_address(server, named.unwrap_or(PORT_UDP))?;
        let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
        socket.connect(address)?;
        Ok(Sink::Udp(socket))
    };
    let tcp = || -> io::Result<Sink> {
        let ports: &[u16] = named.as_ref().map_or(&PORT_TCP, std::slice::from_ref);
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for port in ports {
            for address in (server, *port).to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, SERVER_WAIT) {
                    Ok(stream) => {
                        stream.set_write_timeout(Some(SERVER_WAIT))?;
                        return Ok(Sink::Tcp(stream));
                    }
                    Err(error) => last = error,
                }
            }
        }
        Err(last)
    };
    let opened = match options.transport {
        Transport::Udp => udp(),
        Transport::Tcp => tcp(),
        Transport::Any => udp().or_else(|_| tcp()),
    };
    opened.map_err(|error| format!("failed to connect to {server}: {}", reason(&error)))
}

fn first_address(server: &str, port: u16) -> io::Result<std::net::SocketAddr> {
    (server, port).to_socket_addrs()?.next().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Sends one native journal entry; one too large for a datagram goes as a sealed memory file.
pub(crate) fn send_native(path: &Path, datagram: &[u8]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    match socket.send(datagram) {
        // EMSGSIZE or ENOBUFS: beyond the socket's buffer.
        Err(error) if matches!(error.raw_os_error(), Some(90 | 105)) => {
            let mut file = sys::memfd::create()?;
            file.write_all(datagram)?;
            sys::memfd::seal(&file)?;
            sys::socket::send_descriptor(&socket, b"", &file).map(drop)
        }
        other => other.map(drop),
    }
}

fn local_offset_minutes(now: UnixMicros) -> i16 {
    let Ok(moment) =
        i64::try_from(now.0).map_err(drop).and_then(|at| jiff::Timestamp::from_microsecond(at).map_err(drop))
    else {
        return 0;
    };
    let seconds = jiff::tz::TimeZone::system().to_offset(moment).seconds();
    i16::try_from(seconds / 60).unwrap_or(0)
}
