//! What the log says when somebody changes the daemon with `chronyc`: our daemon's lines beside the stock one's.

use compliance::{Chronyd, Side, TempDir, stock_or_skip};

/// Each changes something that chronyd tells its log.
const COMMANDS: &[&str] = &[
    "offline 127.0.0.2",
    "offline 127.0.0.2",
    "online 127.0.0.2",
    "add server 127.0.0.9 offline",
    "delete 127.0.0.9",
    "minpoll 127.0.0.2 5",
    "maxpoll 127.0.0.2 12",
    "minstratum 127.0.0.2 3",
    "polltarget 127.0.0.2 9",
    "maxdelay 127.0.0.2 0.25",
    "maxdelayratio 127.0.0.2 3",
    "maxdelaydevratio 127.0.0.2 4",
    "maxupdateskew 50",
    "reselectdist 0.01",
    "makestep 0.5 2",
    "allow 10.1.2.3/8",
    "allow all 192.0.2.1",
    "deny 2001:db8::/32",
    "deny all",
    "cmdallow 10.0.0.1",
    "cmddeny all 10.0.0.0/24",
    "local stratum 5",
    "local off",
    "rekey",
    "reset sources",
    "shutdown",
];

/// The log of a daemon after all of them, without stamps.
fn log_of(side: Side) -> Option<Vec<String>> {
    stock_or_skip("chronyd")?;
    let mut daemon = Chronyd::start_in(
        {
            let folder = TempDir::new();
            folder.write("keys", "1 SHA1 HEX:EC20C57CC09E02E637024DEBE8D19FA938EB5758\n");
            folder
        },
        side,
        "server 127.0.0.2 port 9 offline\nserver 127.0.0.3 port 9 offline\nport 0\ncmdport 0\nkeyfile {dir}/keys",
    );
    for words in COMMANDS {
        let words: Vec<&str> = words.split(' ').collect();
        assert_eq!(daemon.chronyc(&words).trim(), "200 OK", "{side:?}: {words:?}");
    }
    assert_eq!(daemon.process_mut().end(), Some(0), "{side:?}");
    let text = daemon.log();
    Some(text.lines().map(|line| line.split_once("Z ").map_or(line, |(_, rest)| rest).to_owned()).collect())
}

/// What chronyd 4.8 says of them; older versions leave some out.
const TOLD: &[&str] = &[
    "Disabled control of system clock",
    "Loaded 1 symmetric keys",
    "Source 127.0.0.2 online",
    "Added source 127.0.0.9",
    "Removed source 127.0.0.9",
    "Source 127.0.0.2 new minpoll 5",
    "Source 127.0.0.2 new maxpoll 12",
    "Source 127.0.0.2 new minstratum 3",
    "Source 127.0.0.2 new polltarget 9",
    "Source 127.0.0.2 new maxdelay 0.250000",
    "Source 127.0.0.2 new maxdelayratio 3.000000",
    "Source 127.0.0.2 new maxdelaydevratio 4.000000",
    "New maxupdateskew 50.000000 ppm",
    "New reselect distance 0.010000",
    "New makestep 0.500000 2",
    "Allowed NTP access from 10.0.0.0/8",
    "Allowed all NTP access from 192.0.2.1",
    "Denied NTP access from 2001:db8::/32",
    "Denied all NTP access from any address",
    "Allowed command access from 10.0.0.1",
    "Denied all command access from 10.0.0.0/24",
    "Enabled local reference mode",
    "Disabled local reference mode",
    "Loaded 1 symmetric keys",
    "Reset all sources",
    "Received shutdown command",
];

/// Goal: whoever watches a log for a change made by hand finds it here in chronyd's words, in the same order.
#[test]
fn changes_are_told_in_chronyds_words() {
    let (Some(stock), Some(ours)) = (log_of(Side::Stock), log_of(Side::Ours)) else { return };
    let changes = |log: &[String]| -> Vec<String> {
        let first_words = |line: &String| line.split(' ').next().map(str::to_owned);
        let known: Vec<_> = TOLD.iter().map(|line| first_words(&(*line).to_owned())).collect();
        log.iter().filter(|line| known.contains(&first_words(line))).cloned().collect()
    };
    assert_eq!(changes(&ours), TOLD);
    let mut rest = TOLD.iter();
    for line in &changes(&stock) {
        assert!(rest.any(|told| told == line), "the stock daemon says {line:?}, in this place");
    }
}
