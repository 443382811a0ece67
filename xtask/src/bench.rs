//! `cargo xtask bench NAME`: ours and the stock program, measured in one run, told as ratios.

mod clknetsim;
mod clock;
mod duel;
mod first_light;
mod house;
mod journal;
mod load;
mod options;
mod processes;
mod programs;
mod smtp;
mod syslog;
mod time_server;

use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask bench time [--json] [--each] [--seeds N] [--only SCENARIO,SCENARIO...]

  the clock discipline in a simulated world, ten scenarios beside chrony's figures; it touches no clock of this machine

cargo xtask bench clknetsim --clknetsim DIR [--chrony-tests DIR] [--stock CHRONYD] [--banto FILE] [--seeds N]
                            [--only scripts,scenarios,own] [--all-scripts] [--scripts NUMBER,NUMBER...]

  the real daemon in the simulator clknetsim (built by you, at DIR), and chrony's own test/simulation scripts with it (seeds 1 to 3);
  the folders may stand in the variables CLKNETSIM_PATH and CHRONY_TESTS; --banto takes an executable that is built already

cargo xtask bench time-server [--quick] [--only plain,interleaved,keyed,nts,memory]

  the NTP server beside chronyd under the same load, each in a network namespace of its own (as root)

cargo xtask bench first-light [--quick] [--only PART,PART...]

  --quick   fewer and shorter rounds: a first look, no measurement to quote
  --only    of: syslog, journal, smtp, house

Exit code: 0 when every bar is held; 1 when one is missed or could not be measured.
";

/// Runs the benchmark called `name`.
pub fn run(root: &Path, name: &str, words: &[&str]) -> ExitCode {
    let answer = match name {
        "first-light" => options::Options::parse(words, first_light::PARTS)
            .and_then(|options| first_light::run(root, &options)),
        "time" => clock::run(root, words),
        "clknetsim" => clknetsim::Options::parse(words).and_then(|options| clknetsim::run(root, &options)),
        "time-server" => options::Options::parse(words, time_server::PARTS).and_then(|options| {
            let built = first_light::build(root)?;
            Ok(first_light::tell(&time_server::run(&built, &options)))
        }),
        other => Err(format!("unknown benchmark `{other}`\n\n{HELP}")),
    };
    match answer {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask bench: {error}");
            ExitCode::FAILURE
        }
    }
}
