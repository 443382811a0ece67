//! Both ends together, over a real socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// A server with one verb, on a thread, for as long as `with` runs.
fn with_server(name: &str, with: impl FnOnce(&std::path::Path)) {
    let path = std::env::temp_dir().join(format!("control-{name}-{}.ctl", std::process::id()));
    let mut server = Server::bind(&path).unwrap();
    let on = Arc::new(AtomicBool::new(true));
    let thread = std::thread::spawn({
        let on = on.clone();
        move || {
            let answer = |request: &Request| match request.verb.as_str() {
                "echo" => Ok(json!({ "args": request.args, "uid": request.peer.uid })),
                "status" => Ok(json!({ "well": true })),
                "change" => Err(request.not_allowed()),
                "full" => Err(Refusal::new("no room")),
                _ => Err(request.unknown(&["echo"])),
            };
            server.run(answer, || on.load(Ordering::SeqCst)).unwrap();
        }
    });
    with(&path);
    on.store(false, Ordering::SeqCst);
    thread.join().unwrap();
    assert!(!path.exists(), "the socket goes with the server");
}

/// Goal: values, refusals and the peer's identity come through, several on one connection.
#[test]
fn calls_come_back_with_values_or_refusals() {
    with_server("calls", |path| {
        let mut client = Client::connect(path, PATIENCE).unwrap();
        assert_eq!(client.call("ping", Value::Null).unwrap()["pid"], json!(std::process::id()));
        let value = client.call("echo", json!({ "x": "日本" })).unwrap();
        assert_eq!(value, json!({ "args": { "x": "日本" }, "uid": sys::process::effective_uid() }));
        let error = client.call("ecoh", Value::Null).unwrap_err().to_string();
        assert!(error.contains("unknown verb `ecoh`") && error.contains("help: known verbs"), "{error}");
    });
}

/// Goal: whoever keeps connections open and asks nothing shuts nobody out. Method: more idle ones than there are places.
#[test]
fn idle_connections_make_room() {
    with_server("idle", |path| {
        let idle: Vec<UnixStream> =
            (0..3 * CONNECTIONS_MAX).map(|_| UnixStream::connect(path).unwrap()).collect();
        let mut client = Client::connect(path, PATIENCE).unwrap();
        assert_eq!(client.call("ping", Value::Null).unwrap()["pid"], json!(std::process::id()));
        let status = client.call("status", Value::Null).unwrap();
        assert!(status["control"]["displaced"].as_u64() >= Some(2 * CONNECTIONS_MAX as u64), "{status}");
        drop(idle);
    });
}

/// Goal: no bytes end the daemon; each costs its own connection at most. Method: garbage of several kinds, then a good call.
#[test]
fn garbage_costs_only_its_own_connection() {
    with_server("garbage", |path| {
        let garbage: [&[u8]; 5] =
            [b"\xff\xff\xff\xff", b"\0\0\0\x02{]", b"\0\0\0\x02{}", b"GET / HTTP/1.1\r\n\r\n", b"\0\0"];
        for bytes in garbage {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(bytes).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
        }
        let mut client = Client::connect(path, PATIENCE).unwrap();
        assert!(client.call("ping", Value::Null).is_ok());
    });
}

/// Goal: what cannot be done is counted by its cause, and `status` tells it; what is good and fails is no fault of the peer's.
#[test]
fn faults_are_counted() {
    with_server("counts", |path| {
        let counted = |faults: u64, refused: u64| {
            let value = Client::connect(path, PATIENCE).unwrap().call("status", Value::Null).unwrap();
            let control = json!({ "malformed": faults, "refused": refused, "displaced": 0 });
            assert_eq!(value, json!({ "well": true, "control": control }));
        };
        counted(0, 0);
        let garbage: [&[u8]; 7] = [
            b"\xff\xff\xff\xff",
            b"\0\0\0\x02{]",
            b"\0\0\0\x02{}",
            b"\0\0\0\x0b{\"banto\":1}",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\0\0",
            b"\0\0\0\x09{\"banto\"",
        ];
        for (before, bytes) in garbage.iter().enumerate() {
            counted(before as u64, 0);
            let mut stream = UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(bytes).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            // The end of the connection is the end of its handling.
            let _ = stream.read_to_end(&mut Vec::new());
        }
        counted(7, 0);
        let mut client = Client::connect(path, PATIENCE).unwrap();
        for (verb, faults, refused) in [("nosuch", 8, 0), ("change", 8, 1), ("full", 8, 1), ("ping", 8, 1)] {
            let _ = client.call(verb, Value::Null);
            counted(faults, refused);
        }
    });
}

/// Goal: a missing daemon is told in words.
#[test]
fn a_missing_daemon_is_told() {
    let error =
        Client::connect(std::path::Path::new("/nonexistent/x.ctl"), PATIENCE).unwrap_err().to_string();
    assert!(error.contains("is the daemon running?"), "{error}");
}

/// Goal: a second daemon at the same socket is told at once who has it, and one whose socket is dead is not kept waiting.
#[test]
fn a_second_server_is_told_who_has_the_socket() {
    with_server("second", |path| {
        assert_eq!(answering(path), Some(std::process::id()));
        let begun = std::time::Instant::now();
        let error = Server::bind(path).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    });
    assert_eq!(answering(std::path::Path::new("/nonexistent/x.ctl")), None);
}
