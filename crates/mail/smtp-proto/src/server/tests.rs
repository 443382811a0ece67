//! Of the server machine.

use super::*;

/// A session whose owner accepts all but recipients called `bad`; gives what the client read and what was kept.
fn talk(config: ServerConfig, client: &[&[u8]]) -> (String, Vec<String>) {
    let mut server = Server::new(config);
    let (mut wire, mut events, mut content) = (Vec::new(), Vec::new(), Vec::new());
    for bytes in [&b""[..]].iter().chain(client) {
        server.receive(bytes);
        while let Some(event) = server.poll() {
            match &event {
                Event::MessageBytes(bytes) => content.extend_from_slice(bytes),
                Event::MessageComplete { .. } => events.push(String::from_utf8_lossy(&content).into_owned()),
                Event::Aborted(reason) => events.push(format!("{reason:?}")),
                _ => {}
            }
            match &event {
                Event::RcptTo { recipient } if recipient.local_part() == "bad" => {
                    server.answer(&Reply::new(550, (5, 1, 1), "no such user"));
                }
                event if event.needs_answer() => server.accept(),
                _ => {}
            }
        }
        wire.extend(server.take_output());
    }
    if server.is_closed() {
        wire.extend_from_slice(b"closed");
    }
    (String::from_utf8(wire).unwrap().replace("\r\n", "|"), events)
}

fn codes(wire: &str) -> String {
    let codes = wire.split('|').filter(|l| !l.is_empty() && l.as_bytes().get(3) != Some(&b'-'));
    codes.map(|l| l.get(..3).unwrap_or(l)).collect::<Vec<_>>().join(" ")
}

/// Goal: a whole session, command by command and pipelined, gives the same message.
#[test]
fn a_message_is_taken() {
    let parts: [&[u8]; 6] = [
        b"EHLO me\r\n",
        b"MAIL FROM:<a@b> SIZE=10 BODY=8BITMIME\r\nRCPT TO:<bad@d>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
        b"Subject: x\r\n\r\n..hi\r\n.",
        b"\r",
        b"\nMAIL FROM:<>\r\nRSET\r\n",
        b"QUIT\r\n",
    ];
    let (wire, kept) = talk(ServerConfig::default(), &parts);
    assert_eq!(codes(&wire), "220 250 250 550 250 354 250 250 250 221 clo");
    assert_eq!(kept, ["Subject: x\r\n\r\n.hi\r\n", "Reset"]);
    assert!(
        wire.contains("250-localhost|250-PIPELINING|250-SIZE 10240000|250-ENHANCEDSTATUSCODES|250 8BITMIME|")
    );
    let octets: Vec<&[u8]> = parts.iter().flat_map(|p| p.chunks(1)).collect();
    assert_eq!(talk(ServerConfig::default(), &octets), (wire, kept));
}

/// Goal: each wrong turn has its reply and ends the session exactly where it must.
#[test]
fn wrong_turns_are_answered() {
    let check = |client: &[&[u8]], expected: &str| {
        let config =
            ServerConfig { message_octets_max: 100, recipients_max: 2, errors_max: 5, ..Default::default() };
        let (wire, _) = talk(config, client);
        assert_eq!(codes(&wire), expected, "{wire}");
    };
    check(&[b"RCPT TO:<c@d>\r\n"], "220 503");
    check(&[b"DATA\r\n"], "220 503");
    check(&[b"MAIL FROM:<a@b>\r\nDATA\r\n"], "220 250 554");
    check(&[b"MAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\n"], "220 250 503");
    check(&[b"MAIL FROM:<a@b> SIZE=101\r\n"], "220 552");
    let rcpt = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<c@d>\r\nRCPT TO:<c@d>\r\n";
    check(&[rcpt], "220 250 250 250 452");
    check(&[b"VRFY root\r\n"], "220 502");
    check(
        &[b"MAIL FROM:<a@b>\r\n", &b"RCPT TO:<bad@d>\r\n".repeat(6)],
        "220 250 550 550 550 550 550 421 clo",
    );
    check(&[b"NOOP\n"], "220 550 clo");
    check(&[b"NOOP\rX\r\n"], "220 550 clo");
    check(&[b"GET / HTTP/1.0\r\nHost: x\r\nMAIL FROM:<a@b>\r\n"], "220 521 clo");
    check(&[b"X\r\nX\r\nX\r\nX\r\nX\r\nX\r\n"], "220 500 500 500 500 500 421 clo");
    check(&[&[b'x'; 4000], b"\r\nNOOP\r\n"], "220 500 250");
    check(&[&[b'x'; 4000], &[b'y'; 400_000], b"\r\nNOOP\r\n"], "220 500 250");
    let mail: &[u8] = b"EHLO m\r\n";
    let to: &[u8] = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n";
    check(&[mail, to, &[b'x'; 99], b"\r\n.\r\nNOOP\r\n"], "220 250 250 250 354 552 250");
    check(&[mail, to, b"x\n.\nQUIT\r\n"], "220 250 250 250 354 550 clo");
    check(&[mail, to, b"x\n.\r\nMAIL FROM:<evil@b>\r\n"], "220 250 250 250 354 550 clo");
}

/// Goal: nothing may be pipelined after a command that ends its group, so that no command is smuggled as content
/// and no content as a command.
#[test]
fn pipelining_after_the_end_of_a_group_is_refused() {
    let check = |client: &[&[u8]], expected: &str| {
        let (wire, kept) = talk(ServerConfig::default(), client);
        assert_eq!(codes(&wire), expected);
        assert_eq!(kept, ["UnauthorizedPipelining"]);
    };
    check(&[b"EHLO m\r\nMAIL FROM:<a@b>\r\n"], "220 554 clo");
    check(&[b"NOOP\r\nMAIL FROM:<a@b>\r\n"], "220 554 clo");
    check(&[b"VRFY a\r\nMAIL FROM:<a@b>\r\n"], "220 554 clo");
    let blind = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: x\r\n\r\n.\r\n";
    check(&[blind], "220 250 250 554 clo");
    let mut early = Server::new(ServerConfig::default());
    early.receive(b"EHLO m\r\n");
    assert_eq!(early.poll(), Some(Event::Connected));
    early.accept();
    assert_eq!(early.poll(), Some(Event::Aborted(AbortReason::UnauthorizedPipelining)));
}

/// Goal: a late answer keeps the order of replies, and nothing is done before it.
#[test]
fn nothing_happens_while_an_answer_is_owed() {
    let mut server = Server::new(ServerConfig::default());
    assert_eq!(server.poll(), Some(Event::Connected));
    server.accept();
    server.receive(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n");
    assert!(matches!(server.poll(), Some(Event::MailFrom { .. })));
    assert_eq!(server.poll(), None);
    assert!(server.owes_answer());
    server.answer(&Reply::new(250, (2, 1, 0), "later"));
    assert!(matches!(server.poll(), Some(Event::RcptTo { .. })));
    server.hang_up(&Reply::new(421, (4, 3, 2), "shutting down"));
    assert!(server.is_closed());
    assert_eq!(server.poll(), None);
    let wire = String::from_utf8(server.take_output()).unwrap();
    assert_eq!(codes(&wire.replace("\r\n", "|")), "220 250 421");
}

/// Goal: `normalize` takes mail with bare line feeds, and the two kinds of line end are not mixed up.
#[test]
fn bare_line_feeds_can_be_mended() {
    let config = ServerConfig { bare_line_ending: BareLineEnding::Normalize, ..Default::default() };
    let to: &[u8] = b"MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\n";
    let (wire, kept) = talk(config, &[b"EHLO m\n", to, b"x\n.\ny\r\n.\r\n", b"QUIT\n"]);
    assert_eq!(codes(&wire), "220 250 250 250 354 250 221 clo");
    assert_eq!(kept, ["x\r\n.\r\ny\r\n"]);
}

/// Goal: no bytes make the machine panic or hold more than its limits; many cuts of hostile text.
#[test]
fn hostile_bytes_are_survived() {
    let words: [&[u8]; 12] = [
        b"EHLO x\r\n",
        b"MAIL FROM:<",
        b"\"",
        b"\\",
        b">",
        b"RCPT TO:<a@b>\r\n",
        b"DATA\r\n",
        b"\r",
        b"\n",
        b".",
        b"\0",
        b"\xff SIZE=9\r\n",
    ];
    let mut seed = 1_u32;
    for _ in 0..2000 {
        let mut parts: Vec<&[u8]> = Vec::new();
        for _ in 0..12 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            parts.push(words[(seed >> 16) as usize % words.len()]);
        }
        let (wire, _) = talk(ServerConfig::default(), &parts);
        assert!(wire.starts_with("220 "));
    }
}
