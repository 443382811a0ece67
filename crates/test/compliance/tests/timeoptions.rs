//! Options of sources and stamps that only some hosts use, beside stock chronyd: stamps by network cards, NTP inside PTP, and
//! chrony's own extension fields.
//!
//! Every daemon runs with `-x`; the stock ones also without `CAP_SYS_TIME`.

use compliance::{
    Running, Side, TempDir, eventually, free_port, stock, stock_or_skip, stock_without_clock, under_test,
};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

/// Longer than anything here takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(40);

/// A running daemon.
struct Daemon {
    _process: Running,
    folder: TempDir,
}

impl Daemon {
    fn start(side: Side, lines: &str) -> Self {
        let folder = TempDir::new();
        let sockets = folder.join("cmd");
        std::fs::create_dir_all(&sockets).expect("a folder can be made");
        std::fs::set_permissions(&sockets, std::fs::Permissions::from_mode(0o700)).expect("it is ours");
        let text = format!(
            "{lines}\nuser root\ncmdport 0\npidfile {{dir}}/pid\nbindcmdaddress {{dir}}/cmd/sock\nlogdir {{dir}}\n\
             log rawmeasurements\n"
        )
        .replace("{dir}", &folder.path().display().to_string());
        let conf = folder.write("chrony.conf", text);
        let log = File::create(folder.join("stderr")).expect("a file can be made");
        let mut command = match side {
            Side::Ours => {
                let mut command = Command::new(compliance::banto());
                command.env("BANTO_CLOCK_READ_ONLY", "1").arg("--dir").arg(folder.path()).arg("chronyd");
                command
            }
            Side::Stock => stock_without_clock(&stock("chronyd").expect("checked by the test")),
        };
        command.args(["-x", "-d", "-f"]).arg(conf);
        command.stdout(log.try_clone().expect("it is open")).stderr(log);
        let _process = Running::start(&mut command);
        let daemon = Self { _process, folder };
        assert!(eventually(PATIENCE, || daemon.folder.join("cmd/sock").exists()), "{}", daemon.log());
        daemon
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }

    fn chronyc(&self, words: &[&str]) -> String {
        let program = stock("chronyc").expect("it is packaged with chronyd");
        let socket = self.folder.join("cmd/sock");
        let output = Command::new(program).args(["-n", "-h"]).arg(socket).args(words).output();
        String::from_utf8_lossy(&output.expect("chronyc can be started").stdout).into_owned()
    }

    /// Waits until it follows its source.
    fn synchronised(&self) {
        let follows = || self.chronyc(&["sources"]).contains("^*");
        assert!(eventually(PATIENCE, follows), "{}\n{}", self.chronyc(&["ntpdata"]), self.log());
    }

    /// Good exchanges in `measurements.log` with all of these words.
    fn measured(&self, words: &[&str]) -> usize {
        let log = std::fs::read_to_string(self.folder.join("measurements.log")).unwrap_or_default();
        let good = log.lines().filter(|line| line.contains(" 111 111 1111 "));
        good.filter(|line| words.iter().all(|word| line.contains(word))).count()
    }
}

/// A server for the loopback.
fn server(side: Side, port: u16, more: &str) -> Daemon {
    Daemon::start(
        side,
        &format!("port {port}\nbindaddress 127.0.0.1\nlocal stratum 3\nallow 127.0.0.1\n{more}"),
    )
}

/// Goal: an interface that cannot stamp is told of once, and its packets are stamped by the kernel, as `ntpdata` and the log say.
#[test]
fn without_a_card_that_stamps_the_kernel_does() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    if under_test() == Side::Stock {
        return compliance::skip("the stock daemon ends where a card cannot stamp");
    }
    for (line, expected) in [
        ("hwtimestamp lo", "Could not enable HW timestamping on lo: "),
        ("hwtimestamp *\nhwtstimeout 0.01", "No interface has HW timestamping"),
    ] {
        let port = free_port();
        let _server = server(Side::Stock, port, "");
        let source = format!("server 127.0.0.1 port {port} iburst minpoll 0 maxpoll 0 xleave\nport 0");
        let client = Daemon::start(Side::Ours, &format!("{source}\n{line}"));
        client.synchronised();
        if client.log().contains("Enabled HW timestamping") {
            return compliance::skip("this host has a card that stamps");
        }
        assert_eq!(client.log().matches("HW timestamping").count(), 1, "{}", client.log());
        assert!(client.log().contains(expected), "{}", client.log());
        let data = client.chronyc(&["ntpdata"]);
        for wanted in ["TX timestamping : Kernel", "RX timestamping : Kernel"] {
            assert!(data.contains(wanted), "{data}");
        }
        assert!(eventually(PATIENCE, || client.measured(&["4I K K"]) >= 2), "{}", client.log());
    }
}
