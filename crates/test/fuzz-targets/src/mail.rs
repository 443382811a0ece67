//! SMTP, aliases, .forward, addresses, messages and mailboxes.

use mail_core::{Address, Aliases};
use message::mbox as mailbox_file;
use smtp_proto::{Client, ClientConfig, ClientEvent, Envelope, Event, Mailbox, Server, ServerConfig};

/// What a session says and takes when its input arrives in pieces of `piece` bytes: all replies, and all messages.
fn session(data: &[u8], piece: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut server = Server::new(ServerConfig { errors_max: 1000, ..ServerConfig::default() });
    let (mut replies, mut messages, mut content) = (Vec::new(), Vec::new(), Vec::new());
    let mut chunks = data.chunks(piece.max(1));
    loop {
        while let Some(event) = server.poll() {
            let needs_answer = event.needs_answer();
            match event {
                Event::MessageBytes(bytes) => content.extend_from_slice(&bytes),
                Event::MessageComplete { octets } => {
                    assert_eq!(octets, content.len() as u64);
                    messages.push(std::mem::take(&mut content));
                }
                Event::Aborted(_) => content.clear(),
                _ => {}
            }
            if needs_answer {
                server.accept();
            }
        }
        replies.extend(server.take_output());
        match chunks.next() {
            Some(bytes) if !server.is_closed() => server.receive(bytes),
            _ => return (replies, messages),
        }
    }
}

pub(crate) fn smtp_server(data: &[u8]) {
    let (_, whole) = session(data, data.len());
    let (_, pieces) = session(data, 1);
    // Where a client may pipeline is a question of timing, so replies may differ; what counts as a message must not grow.
    assert!(pieces.len() >= whole.len() || whole.is_empty() || pieces.is_empty() || pieces[0] == whole[0]);
    for message in whole.iter().chain(&pieces) {
        for (at, byte) in message.iter().enumerate() {
            match byte {
                b'\r' => assert_eq!(message.get(at + 1), Some(&b'\n'), "a bare CR got into a message"),
                b'\n' => assert!(at > 0 && message[at - 1] == b'\r', "a bare LF got into a message"),
                _ => {}
            }
        }
    }
}

pub(crate) fn smtp_client(data: &[u8]) {
    let mut client = Client::new(ClientConfig { helo_name: "client.example".into(), pipelining: true });
    let recipient = Mailbox::parse(b"<a@b.example>");
    let mut sent = Vec::new();
    for chunk in data.chunks(11) {
        client.receive(chunk);
        while let Some(event) = client.poll() {
            if let (ClientEvent::Ready(_), Ok(recipient)) = (&event, &recipient) {
                let recipients = vec![recipient.clone()];
                client.begin(Envelope { sender: None, recipients, octets: Some(12), eight_bit: false });
                client.content(b"a\nb\r.\r\n.\r\n");
                client.finish_content();
            }
        }
        sent.extend(client.take_output());
    }
    client.disconnected();
    while client.poll().is_some() {}
    assert!(client.is_closed());
    for (at, byte) in sent.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(sent.get(at + 1), Some(&b'\n'), "a bare CR was sent"),
            b'\n' => assert!(at > 0 && sent[at - 1] == b'\r', "a bare LF was sent"),
            _ => {}
        }
    }
}

pub(crate) fn aliases(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (aliases, problems) = Aliases::parse(&text);
    assert!(aliases.len() <= text.len());
    for problem in problems {
        assert!(problem.span.end <= text.len(), "a problem points into the text");
    }
    for (name, _) in aliases.iter() {
        assert!(aliases.get(name).is_some());
    }
}

pub(crate) fn forward(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut problems = Vec::new();
    let _ = mail_core::target::parse_lines(&text, &mut problems);
    for problem in problems {
        assert!(problem.span.end <= text.len(), "a problem points into the text");
    }
}

pub(crate) fn address(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(address) = Address::parse(&text) {
        assert!(!address.folded().contains(['\r', '\n', '\0']), "an address cannot break a line");
    }
    let _ = Mailbox::parse(data);
}

pub(crate) fn message(data: &[u8]) {
    let body = message::body_offset(data);
    assert!(body <= data.len());
    let _ = message::Summary::of(data);
    let _ = message::readable_text(data);
    let crlf = message::to_crlf(data);
    for (at, byte) in crlf.iter().enumerate() {
        if *byte == b'\r' {
            assert_eq!(crlf.get(at + 1), Some(&b'\n'));
        }
    }
    let header = message::header_value(&String::from_utf8_lossy(data));
    for (at, _) in header.match_indices('\n') {
        assert!(
            matches!(header.as_bytes().get(at + 1), Some(b' ' | b'\t')),
            "a value never begins another header"
        );
    }
}

pub(crate) fn mbox(data: &[u8]) {
    let mut end = 0;
    for range in mailbox_file::split(data) {
        assert!(range.start >= end && range.end <= data.len(), "entries stand one after the other");
        end = range.end;
    }
}
