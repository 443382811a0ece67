//! Network Time Security, both ends.

use super::RateLimit;
use std::path::PathBuf;

/// Everything about NTS (RFC 8915) but the options of sources.
#[derive(Debug, Clone, PartialEq)]
pub struct Nts {
    /// `ntsserverkey`, as many as certificates and in their order.
    pub server_keys: Vec<PathBuf>,
    /// `ntsservercert`.
    pub server_certificates: Vec<PathBuf>,
    /// `ntsport`: TCP port of the key establishment that we serve.
    pub port: u16,
    /// `ntsprocesses`: threads of their own for the key establishment; 0: none but the main one.
    pub processes: u32,
    /// `maxntsconnections`: at a time, for each of them.
    pub connections_max: u32,
    /// `ntsrotate`: seconds after which a new key encrypts the cookies; 0: keys come from elsewhere.
    pub rotate_seconds: u32,
    /// `ntsntpserver`: the NTP server that clients are sent to; none: this one.
    pub ntp_server: Option<String>,
    /// `ntsratelimit`; none: no limit.
    pub rate_limit: Option<RateLimit>,
    /// `ntsdumpdir` (or its older name `ntscachedir`): where cookies and server keys are kept over a restart.
    pub dump_dir: Option<PathBuf>,
    /// `ntsaeads`: numbers of the AEAD algorithms, the best first (RFC 5116; 15: AES-SIV-CMAC-256, 30: AES-128-GCM-SIV).
    pub aeads: Vec<u16>,
    /// `ntsrefresh`: seconds after which keys are established anew.
    pub refresh_seconds: u32,
    /// `ntstrustedcerts`: the number of a set and a file or a folder of certificates that belong to it.
    pub trusted: Vec<(u32, PathBuf)>,
    /// `nosystemcert`: set 0 does not have the system's authorities.
    pub no_system_certificates: bool,
    /// `nocerttimecheck`: before so many updates of the clock, certificates of any time are taken.
    pub no_time_check_updates: u32,
}

/// The algorithms without `ntsaeads`.
pub const AEADS_DEFAULT: &[u16] = &[30, 15];
/// Seconds of `ntsrotate` without it: a week.
pub const ROTATE_SECONDS_DEFAULT: u32 = 604_800;
/// Seconds of `ntsrefresh` without it: four weeks.
pub const REFRESH_SECONDS_DEFAULT: u32 = 2_419_200;

impl Nts {
    pub(crate) fn new(port: u16) -> Self {
        Self {
            server_keys: Vec::new(),
            server_certificates: Vec::new(),
            port,
            processes: 1,
            connections_max: 100,
            rotate_seconds: ROTATE_SECONDS_DEFAULT,
            ntp_server: None,
            rate_limit: None,
            dump_dir: None,
            aeads: AEADS_DEFAULT.to_vec(),
            refresh_seconds: REFRESH_SECONDS_DEFAULT,
            trusted: Vec::new(),
            no_system_certificates: false,
            no_time_check_updates: 0,
        }
    }
}
