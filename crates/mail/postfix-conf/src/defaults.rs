//! The files that a new house begins with.

use std::path::Path;

/// `main.cf` for a house in `house` (an absolute path). It holds absolute paths, so that postfix can use it too.
pub fn default_main_cf(house: &Path, hostname: &str) -> String {
    let house = house.display();
    let name = if hostname.contains('.') { hostname.to_owned() } else { format!("{hostname}.localdomain") };
    format!(
        "# Mail of this house: name = value, as in postconf(5). `banto check` finds mistakes.\n\
         \n\
         # The name of this host in mail, and the domains whose mailboxes are here.\n\
         myhostname = {name}\n\
         myorigin = $myhostname\n\
         mydestination = $myhostname, localhost.$mydomain, localhost\n\
         \n\
         # Where SMTP listens. Only clients of mynetworks may send to other hosts.\n\
         banto_smtp_listen = 127.0.0.1:2525\n\
         inet_interfaces = loopback-only\n\
         mynetworks = 127.0.0.0/8 [::1]/128\n\
         \n\
         # The host that mail for elsewhere is handed to, for example [mail.example.com]:587.\n\
         relayhost =\n\
         \n\
         # Who gets whose mail: root's above all.\n\
         alias_maps = hash:{house}/etc/aliases\n\
         alias_database = hash:{house}/etc/aliases\n\
         \n\
         # One file per user. With a slash at the end: one Maildir per user.\n\
         mail_spool_directory = {house}/mail\n\
         # In this house a user's .forward is a file named after the user.\n\
         forward_path = {house}/etc/forward/$user\n\
         recipient_delimiter = +\n\
         \n\
         # The queue.\n\
         queue_directory = {house}/spool\n\
         message_size_limit = 10240000\n\
         mailbox_size_limit = 51200000\n\
         maximal_queue_lifetime = 5d\n"
    )
}

/// `aliases` for a house that `owner` started. Root's mail stays root's: the house has a mailbox for it.
pub fn default_aliases(owner: &str) -> String {
    let example = if owner == "root" { "you" } else { owner };
    format!(
        "# Who gets whose mail: name: destination, destination (aliases(5)).\n\
         # A destination is a name, an address, /a/file, \"|a command\" or :include:/a/list.\n\
         # Check it with `newaliases`.\n\
         \n\
         postmaster: root\n\
         mailer-daemon: root\n\
         abuse: root\n\
         # To read root's mail in your own mailbox, remove the # of the next line.\n\
         #root: {example}\n"
    )
}
