//! The `sendmail` command and its other names: `newaliases`, `mailq`, `postqueue`.
//!
//! For: cron, mail programs, scripts and people, who all call `/usr/sbin/sendmail` the same way.
//!
//! Always: exit code 0 means that the message is on disk, in the daemon's queue or in the maildrop folder; a message is
//! handed to the daemon by SMTP over its submission socket; no text of a caller becomes another header, another
//! recipient or an option.
//!
//! Never: it needs no privilege and delivers nothing itself; the last words of a call are recipients, whatever they
//! begin with.
#![forbid(unsafe_code)]

mod aliases;
mod content;
mod options;
mod queue;
mod session;
mod submit;
mod sysexits;

use layout::Call;
use message::AddressList;
use options::{Mode, Options};
use smtp_proto::{Mailbox, Reply};
use std::process::ExitCode;
use submit::{Outcome, Submission};
use sysexits::{DATAERR, Failure, NOUSER, OK, UNAVAILABLE, USAGE};

/// Runs the command that `call` names.
pub fn run(call: &Call) -> ExitCode {
    if call.args.first().is_some_and(|word| word == "--help") {
        println!("{}", usage(&call.name));
        return ExitCode::SUCCESS;
    }
    let result = match call.name.as_str() {
        "postqueue" => queue::postqueue(call),
        "newaliases" => Options::parse(&call.args).and_then(|_| aliases::rebuild(call)),
        "mailq" => Options::parse(&call.args).and_then(|_| queue::list(call, false)),
        _ => sendmail(call),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("{}: fatal: {}", call.name, failure.message);
            if let Some(help) = failure.help {
                eprintln!("help: {help}");
            }
            ExitCode::from(failure.code)
        }
    }
}

/// What can be typed, for `--help`: no option of these programs begins with two dashes, so it takes nothing away.
fn usage(name: &str) -> &'static str {
    match name {
        "postqueue" => {
            "usage: postqueue -p | -j | -f | -i QUEUEID | -s SITE

Shows the queue, or tries what waits in it.

  -p          show the queue, as mailq does
  -j          the same as JSON, one message a line
  -f          try everything that waits
  -i QUEUEID  try this message
  -s SITE     try what waits for this domain"
        }
        "mailq" => "usage: mailq\n\nShows the mail that waits. To try it again now: postqueue -f",
        "newaliases" => "usage: newaliases\n\nReads the alias file, tells its mistakes and counts its names.",
        _ => {
            "usage: sendmail [-t] [-i] [-f sender] [-F name] [-v] [-b{m,s,p,i,v}] [-q] [--] recipient ...

Takes a message on standard input and hands it to the mail daemon.

  -t         recipients are those of To:, Cc: and Bcc:
  -i         a line with a lone dot does not end the message
  -f SENDER  the envelope sender
  -F NAME    the sender's full name
  -bs        speak SMTP on standard input and output
  -bp        show the queue (mailq)
  -bi        check the aliases (newaliases)
  -bv        do not deliver: tell where the mail would go
  -q         try what waits in the queue
  -v         show what is done"
        }
    }
}

fn sendmail(call: &Call) -> Result<u8, Failure> {
    let options = Options::parse(&call.args)?;
    for warning in &options.warnings {
        eprintln!("{}: warning: {warning}", call.name);
    }
    match options.mode {
        Mode::Deliver => deliver(call, &options),
        Mode::Smtp => session::serve(call),
        Mode::List => queue::list(call, false),
        Mode::Aliases => aliases::rebuild(call),
        Mode::Verify => verify(call, &options),
        Mode::Flush => queue::flush(call, serde_json::json!({})),
        Mode::FlushId(ref id) => queue::flush_id(call, id),
        Mode::FlushSite(ref site) => queue::flush_site(call, site),
        Mode::Daemon => Err(Failure::new(USAGE, "-bd: this command does not start the mail daemon")
            .help("on an installed system: systemctl start banto-maild; in a house: banto --dir DIR up")),
        Mode::Unsupported(ref mode) => {
            Err(Failure::new(USAGE, format!("unsupported: -b{mode}")).help("see: sendmail -b{m,s,p,i,v}"))
        }
    }
}

fn deliver(call: &Call, options: &Options) -> Result<u8, Failure> {
    let mut recipients = addresses(&options.recipients)?;
    if recipients.is_empty() && !options.recipients_from_header {
        return Err(Failure::new(
            USAGE,
            "Recipient addresses must be specified on the command line or via the -t option",
        )
        .help("sendmail root < message"));
    }
    let sender = envelope_sender(options)?;
    let input = content::read(std::io::stdin().lock(), options.dot_ends)?;
    if options.recipients_from_header {
        for mailbox in addresses(&content::header_recipients(&input))? {
            if !recipients.contains(&mailbox) {
                recipients.push(mailbox);
            }
        }
        if recipients.is_empty() {
            return Err(Failure::new(USAGE, "No recipient addresses found in message header")
                .help("add a line such as `To: root` to the message's header"));
        }
    }
    let full_name = options.full_name.clone().unwrap_or_else(content::full_name);
    let content = content::complete(&input, sender.as_ref(), &full_name, &content::origin(call));
    let submission = Submission { sender, recipients, content };
    let refused = match submit::submit(&call.layout, &submission, options.verbose)? {
        Outcome::Taken { refused, reply } => {
            if options.verbose {
                println!("{reply}");
            }
            refused
        }
        Outcome::NobodyTaken { refused } => refused,
        Outcome::Dropped { path, why } => {
            if options.verbose {
                println!("{why}; the message waits in {}", path.display());
            }
            return Ok(OK);
        }
    };
    for (recipient, reply) in &refused {
        eprintln!("{}: {recipient}: {reply}", call.name);
    }
    if options.errors_by_mail && !refused.is_empty() {
        report(call, &submission, &refused);
    }
    match refused.first() {
        None => Ok(OK),
        Some((_, reply)) if reply.code == 550 => Ok(NOUSER),
        Some(_) => Ok(UNAVAILABLE),
    }
}

/// Reports refused recipients to the sender by mail.
fn report(call: &Call, submission: &Submission, refused: &[(Mailbox, Reply)]) {
    // A bounce of a bounce would have no end.
    let Some(sender) = &submission.sender else { return };
    let (now, origin) = (jiff::Zoned::now(), content::origin(call));
    let recipients = refused.iter().map(|(recipient, reply)| message::ReportedRecipient {
        address: recipient.to_string(),
        original: None,
        action: message::Action::Failed,
        status: reply.enhanced_or_general().to_string(),
        remote_mta: None,
        diagnostic: reply.to_string(),
    });
    let bounce = message::Bounce {
        to: sender.to_string(),
        reporting_mta: origin.clone(),
        origin: origin.clone(),
        queue_id: "none".into(),
        arrival: now.clone(),
        recipients: recipients.collect(),
        expires: None,
        message: &submission.content,
    };
    let stamp = message::Stamp { date: now, host: origin, random: sys::random::u64() };
    let report = Submission { sender: None, recipients: vec![sender.clone()], content: bounce.build(&stamp) };
    if let Err(failure) = submit::submit(&call.layout, &report, false) {
        eprintln!("{}: {sender} cannot be told: {}", call.name, failure.message);
    }
}

/// `-bv`: asks the daemon about each recipient and sends nothing.
fn verify(call: &Call, options: &Options) -> Result<u8, Failure> {
    let recipients = addresses(&options.recipients)?;
    if recipients.is_empty() {
        return Err(Failure::new(USAGE, "-bv: no address was given").help("sendmail -bv root"));
    }
    let mut code = OK;
    for (recipient, reply) in submit::verify(&call.layout, envelope_sender(options)?, recipients)? {
        if reply.is_positive() {
            println!("{recipient}... deliverable: {reply}");
        } else {
            println!("{recipient}... undeliverable: {reply}");
            code = NOUSER;
        }
    }
    Ok(code)
}

/// The mailboxes of lists such as `root, Name <a@b>`.
fn addresses(lists: &[String]) -> Result<Vec<Mailbox>, Failure> {
    let mut mailboxes: Vec<Mailbox> = Vec::new();
    for text in lists {
        refuse_control_characters(text)?;
        let list = AddressList::parse(text);
        if let Some(problem) = list.problems.first() {
            return Err(Failure::new(DATAERR, format!("bad address: {problem}")));
        }
        for person in list.people {
            let mailbox = mailbox(&person.address)?;
            if !mailboxes.contains(&mailbox) {
                mailboxes.push(mailbox);
            }
        }
    }
    Ok(mailboxes)
}

/// A line end in an address is somebody's attempt to add what the caller did not mean.
fn refuse_control_characters(text: &str) -> Result<(), Failure> {
    match text.chars().any(|c| c.is_control() && c != '\t') {
        true => Err(Failure::new(DATAERR, format!("{text:?}: an address holds no control character"))),
        false => Ok(()),
    }
}

fn mailbox(address: &str) -> Result<Mailbox, Failure> {
    Mailbox::parse(address.as_bytes()).map_err(|error| {
        let why = match error {
            smtp_proto::PathError::Syntax => "bad address syntax",
            smtp_proto::PathError::SourceRoute => "source routes are refused",
            smtp_proto::PathError::NotAscii => "addresses must be ASCII (SMTPUTF8 is not offered yet)",
            smtp_proto::PathError::TooLong => "the address is too long",
        };
        Failure::new(DATAERR, format!("{address:?}: {why}"))
    })
}

fn envelope_sender(options: &Options) -> Result<Option<Mailbox>, Failure> {
    match options.sender.as_deref().map(str::trim) {
        None => mailbox(&content::login_name()).map(Some),
        Some("" | "<>") => Ok(None),
        Some(text) => {
            refuse_control_characters(text)?;
            let list = AddressList::parse(text);
            match (list.people.as_slice(), list.problems.is_empty()) {
                ([person], true) => mailbox(&person.address).map(Some),
                _ => Err(Failure::new(USAGE, format!("-f {text:?}: one address is needed"))),
            }
        }
    }
}
