//! `master.cf`, as far as it says where SMTP listens (`master(5)`).

use conf_text::{Diagnostics, SourceId, Sources};

/// An `inet` service whose command is smtpd.
pub(crate) struct SmtpService {
    /// The address, or none for those of `inet_interfaces`.
    pub host: Option<String>,
    pub port: u16,
}

/// The fields before the command.
const FIELDS: usize = 8;

pub(crate) fn smtp_services(
    id: SourceId,
    sources: &Sources,
    diagnostics: &mut Diagnostics,
) -> Vec<SmtpService> {
    let mut services = Vec::new();
    for (span, line) in sources.lines(id) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            if trimmed.starts_with("-o") {
                diagnostics.warning(
                    span,
                    "options of single services are not supported yet",
                    "this line has no effect",
                    "put the parameter into main.cf",
                );
            }
            continue;
        }
        let words: Vec<&str> = trimmed.split_whitespace().collect();
        let (Some(name), Some(kind), Some(command)) = (words.first(), words.get(1), words.get(FIELDS - 1))
        else {
            diagnostics.error(span, "a service needs eight fields", "", "smtp inet n - y - - smtpd");
            continue;
        };
        if *kind != "inet" || *command != "smtpd" {
            continue;
        }
        let (host, port) = match name.rsplit_once(':') {
            Some((host, port)) => (Some(host.trim_matches(['[', ']']).to_owned()), port),
            None => (None, *name),
        };
        match port {
            "smtp" => services.push(SmtpService { host, port: 25 }),
            "submission" | "submissions" | "smtps" | "587" | "465" => diagnostics.warning(
                span,
                format!("the service {name} is not served yet"),
                "nothing listens there",
                "put a # before the line",
            ),
            number => match number.parse() {
                Ok(port) => services.push(SmtpService { host, port }),
                Err(_) => diagnostics.error(
                    span.part(0, name.len()),
                    format!("{port} is no port"),
                    "",
                    "write smtp or a number",
                ),
            },
        }
    }
    services
}
