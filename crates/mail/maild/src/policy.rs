//! Who may send what to whom: the answers of the role `smtp`.

use std::net::IpAddr;

use mail_core::Address;
use mail_core::route::Route;
use postfix_conf::{BareNewline, Settings};
use smtp_proto::{BareLineEnding, Mailbox, Reply, ServerConfig};

use crate::local::Local;

/// Where a session comes from.
#[derive(Debug, Clone)]
pub enum Client {
    /// Another host.
    Network(IpAddr),
    /// A process of this host, by its user id.
    Process(u32),
}

impl Client {
    /// True if it is one of `mynetworks`, or of this host.
    pub fn is_trusted(&self, settings: &Settings) -> bool {
        match self {
            Self::Network(address) => settings.mynetworks.iter().any(|n| n.contains(*address)),
            Self::Process(_) => true,
        }
    }

    /// True if it may send to anywhere under the restrictions in force.
    pub fn may_relay(&self, settings: &Settings) -> bool {
        match self {
            Self::Network(_) => settings.permit_mynetworks && self.is_trusted(settings),
            Self::Process(_) => true,
        }
    }

    /// For logs: `unknown[192.0.2.1]`.
    pub fn shown(&self) -> String {
        match self {
            Self::Network(address) => format!("unknown[{}]", address.to_canonical()),
            Self::Process(uid) => format!("local[uid {uid}]"),
        }
    }

    /// The first line of the Received field, after `Received: `.
    pub fn received_from(&self, helo: &str) -> String {
        match self {
            Self::Network(address) => {
                let address = address.to_canonical();
                let literal = if address.is_ipv6() { format!("IPv6:{address}") } else { address.to_string() };
                let helo = if helo.is_empty() { "unknown" } else { helo };
                format!("from {helo} (unknown [{literal}])")
            }
            Self::Process(uid) => format!("from userid {uid}"),
        }
    }
}

/// What a session with this client may do.
pub fn server_config(settings: &Settings, client: &Client) -> ServerConfig {
    let excluded = match client {
        Client::Network(address) => settings.bare_newline_exclusions.iter().any(|n| n.contains(*address)),
        Client::Process(_) => false,
    };
    let bare = match settings.bare_newline {
        BareNewline::Reject if !excluded => BareLineEnding::Refuse,
        BareNewline::Reject | BareNewline::Normalize => BareLineEnding::Normalize,
    };
    ServerConfig {
        hostname: settings.myhostname.clone(),
        banner: settings.banner.clone(),
        message_octets_max: settings.message_size_limit,
        recipients_max: settings.recipient_limit,
        errors_max: settings.error_limit,
        helo_required: settings.helo_required,
        vrfy: !settings.disable_vrfy,
        bare_line_ending: bare,
        ..ServerConfig::default()
    }
}

/// The recipient as it is queued, or the refusal.
pub fn recipient(local: &Local, client: &Client, recipient: &Mailbox) -> Result<String, Reply> {
    let settings = &local.settings;
    let text = recipient.to_string();
    let address = Address::parse(&text)
        .map_err(|e| Reply::new(501, (5, 1, 3), format!("<{text}>: {e}")))?
        .qualified(&settings.router.origin);
    if !client.may_relay(settings) && !settings.router.is_open_destination(&address) {
        let (code, dsn) = if settings.defer_unauthorized { (454, (4, 7, 1)) } else { (554, (5, 7, 1)) };
        return Err(Reply::new(code, dsn, format!("<{text}>: Relay access denied")));
    }
    match settings.router.route(&address) {
        Route::Local(name) if settings.reject_unknown_users => match local.is_known(&name) {
            Ok(true) => {}
            Ok(false) => {
                let text =
                    format!("<{text}>: Recipient address rejected: User unknown in local recipient table");
                return Err(Reply::new(550, (5, 1, 1), text));
            }
            Err(trouble) => return Err(Reply::new(451, (4, 3, 0), format!("<{text}>: {}", trouble.text))),
        },
        Route::Local(_) | Route::Relay(_) => {}
        Route::None => {
            let text = format!("<{text}>: mail to other hosts needs relayhost in main.cf");
            return Err(Reply::new(550, (5, 4, 4), text));
        }
    }
    Ok(address.to_string())
}
