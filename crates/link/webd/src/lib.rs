//! The web page.
//!
//! For: whoever prefers a browser to `banto status`; it shows the same, at `/` for people and at `/status.json` for programs.
//!
//! Always: it listens on loopback only, answers only requests whose `Host` names loopback (so that no page of the web can read it
//! through a name that points here), loads nothing from elsewhere and runs no script (`Content-Security-Policy`).
//!
//! Never: it changes anything, holds no capability, and keeps no state but the last answer, for a second.
#![forbid(unsafe_code)]

mod connections;
mod host;
mod page;
mod server;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use conf_text::{Diagnostics, FileLoader, Sources};
use control::json;
use layout::Call;
use selflog::{Facility, SelfLog, Severity};

/// Runs the daemon until SIGTERM or SIGINT. `--check` only reads the configuration.
pub fn run(call: &Call) -> ExitCode {
    let mut check_only = false;
    for word in &call.args {
        match word.to_str() {
            Some("--check") => check_only = true,
            Some("--help") => {
                println!(
                    "usage: webd [--check]\n\nServes the status page; where it listens stands in [web] of banto.toml.\n\n  --check  only read banto.toml, and tell its mistakes"
                );
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!("webd: unknown argument `{}`\nhelp: webd [--check]", word.to_string_lossy());
                return ExitCode::from(64);
            }
        }
    }
    let path = banto_conf::path(&call.layout);
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let settings = banto_conf::load(&path, &mut FileLoader, &mut sources, &mut diagnostics);
    diagnostics.print(&sources);
    let Some(settings) = settings else { return ExitCode::FAILURE };
    if check_only {
        return ExitCode::SUCCESS;
    }
    match keep_page(call, settings.web_listen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("webd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn keep_page(call: &Call, listen: std::net::SocketAddr) -> std::io::Result<()> {
    let log = SelfLog::new("webd", Facility::DAEMON, &syslog_proto::native_socket(&call.layout));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(listen)).map_err(|error| {
        std::io::Error::new(
            error.kind(),
            format!(
                "cannot listen on {listen}: {error}\nhelp: change `listen` under [web] in {}",
                banto_conf::path(&call.layout).display()
            ),
        )
    })?;
    let address = listener.local_addr()?;
    let served = Arc::new(server::Counts::default());
    let mut control = control::Server::bind(&control::socket_path(&call.layout, "webd"))?;
    let on = Arc::new(AtomicBool::new(true));
    let thread = std::thread::spawn({
        let (on, served) = (on.clone(), served.clone());
        move || {
            let answer = |request: &control::Request| match request.verb.as_str() {
                "status" => Ok(json!({
                    "listen": address.to_string(),
                    "requests": served.requests.load(Ordering::Relaxed),
                    "refused": served.refused.load(Ordering::Relaxed),
                })),
                "reload" => Err(control::Refusal::new("the web page has nothing that a reload changes")
                    .help("end and start it to listen elsewhere")),
                _ => Err(request.unknown(&["status", "reload"])),
            };
            control.run(answer, || on.load(Ordering::SeqCst))
        }
    });
    log.note("web.listening", Severity::Info, format!("the web page is at http://{address}/"));
    sys::memory::drop_start_pages();
    // SIGHUP asks all daemons alike; it must not end this one.
    let asked_to_reload = || {
        log.note(
            "web.nothing_to_reload",
            Severity::Notice,
            format!("the web page has nothing that a reload changes; restart it to listen elsewhere than {address}"),
        );
    };
    let serving = server::serve(listener, call.layout.clone(), address, served, asked_to_reload);
    let result = runtime.block_on(serving);
    on.store(false, Ordering::SeqCst);
    log.note("web.ended", Severity::Info, "the web page ends");
    // Its last question was answered or its peer has gone; a panic there is a bug that must be seen.
    thread.join().map_err(|_| std::io::Error::other("the control thread failed"))??;
    result
}
