//! `loadgen WHAT ...`: the first word chooses the generator.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.split_first() {
        Some((what, rest)) if what == "journal" => loadgen::journal::run(rest),
        Some((what, rest)) if what == "mirror" => loadgen::mirror::run(rest).map_err(|error| error.to_string()),
        Some((what, rest)) if what == "ntp" => loadgen::ntp::run(rest).map_err(|error| error.to_string()),
        Some((what, rest)) if what == "smtp" => loadgen::smtp::run(rest),
        Some((what, rest)) if what == "syslog-tcp" => loadgen::syslog::run(rest).map_err(|error| error.to_string()),
        _ => Err("usage: loadgen journal --entries N --out FILE\n       loadgen syslog-tcp --to HOST:PORT --connections N --messages N [--size B] [--octet-counted]\n       loadgen smtp --to HOST:PORT --sessions N --messages N --size B --rcpt ADDR [--keep]\n       loadgen ntp --to ADDRESS:PORT [--clients N] [--sockets N] [--window N] [--train N] [--seconds S] [--kind plain|interleaved|keyed|nts] [--key ID:TYPE:SECRET] [--ke ADDRESS:PORT --ca FILE] [--flood]\n       loadgen mirror --listen ADDRESS:PORT".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loadgen: {error}");
            ExitCode::from(2)
        }
    }
}
