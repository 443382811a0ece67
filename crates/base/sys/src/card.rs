//! Network cards that stamp packets: which can, switching it on, and how fast the link is (`<linux/net_tstamp.h>`,
//! `<linux/ethtool.h>`, kernel documentation `networking/timestamping.rst`).

use crate::check;
use std::ffi::CStr;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

// `<linux/ethtool.h>`
const ETHTOOL_GSET: u32 = 0x1;
const ETHTOOL_GET_TS_INFO: u32 = 0x41;
// `<linux/sockios.h>`
const SIOCETHTOOL: libc::c_ulong = 0x8946;

/// `struct ethtool_ts_info`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct StampInfo {
    command: u32,
    stamping: u32,
    clock: i32,
    transmit_types: u32,
    transmit_reserved: [u32; 3],
    receive_filters: u32,
    receive_reserved: [u32; 3],
}

/// `struct ethtool_cmd`, of which the speed is of interest.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct LinkInfo {
    command: u32,
    supported: u32,
    advertising: u32,
    speed_low: u16,
    bytes: [u8; 6],
    packets: [u32; 2],
    speed_high: u16,
    more: [u8; 2],
    words: [u32; 3],
}

/// Which received packets are to be stamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// None.
    None,
    /// All.
    All,
    /// NTP packets.
    Ntp,
    /// PTP version 2 event messages over UDP.
    PtpUdp,
    /// PTP version 2 event messages over anything.
    Ptp,
}

impl Filter {
    fn number(self) -> libc::c_uint {
        match self {
            Self::None => libc::HWTSTAMP_FILTER_NONE,
            Self::All => libc::HWTSTAMP_FILTER_ALL,
            Self::Ntp => libc::HWTSTAMP_FILTER_NTP_ALL,
            Self::PtpUdp => libc::HWTSTAMP_FILTER_PTP_V2_L4_EVENT,
            Self::Ptp => libc::HWTSTAMP_FILTER_PTP_V2_EVENT,
        }
    }
}

/// What a card can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// It stamps what it sends and receives, and gives its clock's own time.
    pub stamps: bool,
    /// The number of its clock: `/dev/ptpN`.
    pub clock: Option<u32>,
    filters: u32,
}

impl Capabilities {
    /// It has this filter for received packets.
    pub fn has(&self, filter: Filter) -> bool {
        self.filters & (1 << filter.number()) != 0
    }
}

/// The names of this host's interfaces, each once.
pub fn interfaces() -> io::Result<Vec<String>> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the library writes the head of a list, which is given back below.
    check(unsafe { libc::getifaddrs(&mut list) })?;
    let mut names: Vec<String> = Vec::new();
    let mut one = list;
    while !one.is_null() {
        // SAFETY: an element of the list, not null, alive until the list is given back; its name is a C string.
        let (name, next) = unsafe { (CStr::from_ptr((*one).ifa_name), (*one).ifa_next) };
        let name = name.to_string_lossy().into_owned();
        if !names.contains(&name) {
            names.push(name);
        }
        one = next;
    }
    // SAFETY: the list that the library made; nothing of it is used any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(names)
}

/// The number of an interface, by which the kernel says where a packet came in.
pub fn index(interface: &str) -> io::Result<u32> {
    let socket = asking()?;
    let mut request = request(interface)?;
    // SAFETY: the kernel writes the index into the request, which is live.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFINDEX as _, &mut request) })?;
    // SAFETY: the call has written this member.
    Ok(u32::try_from(unsafe { request.ifr_ifru.ifru_ifindex }).unwrap_or(0))
}

/// What the interface's card can do.
pub fn capabilities(interface: &str) -> io::Result<Capabilities> {
    let mut info = StampInfo { command: ETHTOOL_GET_TS_INFO, ..StampInfo::default() };
    ethtool(interface, std::ptr::from_mut(&mut info).cast())?;
    let wanted = libc::SOF_TIMESTAMPING_TX_HARDWARE
        | libc::SOF_TIMESTAMPING_RX_HARDWARE
        | libc::SOF_TIMESTAMPING_RAW_HARDWARE;
    Ok(Capabilities {
        stamps: info.stamping & wanted == wanted,
        clock: u32::try_from(info.clock).ok(),
        filters: info.receive_filters,
    })
}

/// Switches the stamping of sent packets, and of the received ones that the filter lets through, on. Where this is not ours to
/// switch, it is enough that it is on.
pub fn switch_on(interface: &str, filter: Filter) -> io::Result<()> {
    let socket = asking()?;
    let on = |filter: Filter| libc::hwtstamp_config {
        flags: 0,
        tx_type: libc::HWTSTAMP_TX_ON as libc::c_int,
        rx_filter: filter.number() as libc::c_int,
    };
    let mut config = on(filter);
    let mut request = request(interface)?;
    request.ifr_ifru.ifru_data = std::ptr::from_mut(&mut config).cast();
    // SAFETY: the request is live and points to a live structure of the kind that this call reads and writes.
    let set = check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSHWTSTAMP as _, &mut request) });
    let Err(refused) = set else { return Ok(()) };
    let mut found = libc::hwtstamp_config { flags: 0, tx_type: 0, rx_filter: 0 };
    request.ifr_ifru.ifru_data = std::ptr::from_mut(&mut found).cast();
    // SAFETY: as above.
    let read = check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGHWTSTAMP as _, &mut request) });
    let wanted = on(filter);
    let is_on = read.is_ok() && found.tx_type == wanted.tx_type && found.rx_filter == wanted.rx_filter;
    if is_on { Ok(()) } else { Err(refused) }
}

/// The link's speed, in Mbit/s; none where nobody knows.
pub fn link_speed(interface: &str) -> Option<u32> {
    let mut info = LinkInfo { command: ETHTOOL_GSET, ..LinkInfo::default() };
    ethtool(interface, std::ptr::from_mut(&mut info).cast()).ok()?;
    let speed = u32::from(info.speed_high) << 16 | u32::from(info.speed_low);
    // SPEED_UNKNOWN is -1 in either half's width.
    (speed != 0 && speed != u32::MAX && speed != u32::from(u16::MAX)).then_some(speed)
}

/// `data` points to a structure whose first word is the command, alive and writable for the call.
fn ethtool(interface: &str, data: *mut libc::c_char) -> io::Result<()> {
    let socket = asking()?;
    let mut request = request(interface)?;
    request.ifr_ifru.ifru_data = data;
    // SAFETY: the request is live; both callers' structures are laid out as the kernel's of their command.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &mut request) }).map(drop)
}

/// A socket to ask by; it is bound to nothing.
fn asking() -> io::Result<UdpSocket> {
    super::socket::unbound_udp()
}

fn request(interface: &str) -> io::Result<libc::ifreq> {
    // SAFETY: ifreq is a plain C structure for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() || interface.is_empty() || interface.contains('\0') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no name of an interface"));
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *place = byte as libc::c_char;
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the loopback is found, has an index and stamps nothing by hardware; names that are none are errors.
    #[test]
    fn the_loopback_stamps_nothing() {
        assert_eq!((size_of::<StampInfo>(), size_of::<LinkInfo>()), (44, 44));
        assert!(interfaces().expect("there is a list").contains(&"lo".to_owned()));
        assert!(index("lo").expect("it has one") > 0);
        let found = capabilities("lo");
        assert!(found.as_ref().is_err() || found.as_ref().is_ok_and(|one| !one.stamps), "{found:?}");
        assert!(switch_on("lo", Filter::All).is_err());
        assert_eq!(link_speed("lo"), None);
        for wrong in ["", "no-such-interface-here", "nosuchif", "a\0b"] {
            assert!(index(wrong).is_err() && capabilities(wrong).is_err(), "{wrong}");
        }
    }

    /// Goal: a filter is looked for at its own bit.
    #[test]
    fn filters_are_bits() {
        let card = Capabilities { stamps: true, clock: Some(0), filters: 1 << 15 | 1 };
        for (filter, expected) in [
            (Filter::None, true),
            (Filter::All, false),
            (Filter::Ntp, true),
            (Filter::PtpUdp, false),
            (Filter::Ptp, false),
        ] {
            assert_eq!(card.has(filter), expected, "{filter:?}");
        }
    }
}
