//! The real daemon in the simulator clknetsim, which takes the place of the C library's clock and network calls (LD_PRELOAD), and
//! chrony's own simulation scripts run with it. Both are brought by the user: nothing is fetched here.
//!
//! The simulated clock is the only one that is set. What is started holds no CAP_SYS_TIME all the same.

mod run;
mod scenarios;
mod scripts;

use std::path::{Path, PathBuf};
use std::process::Command;

use super::first_light;
use run::{Simulator, median};
use scenarios::{OWN, TEN};

/// RMS offset, ours against chrony's, as geometric mean over the ten scenarios, and in any one.
const BARS: (f64, f64) = (0.65, 1.0);
/// Seeds without `--seeds`.
const SEEDS_DEFAULT: u32 = 10;

/// What was asked for.
pub struct Options {
    clknetsim: PathBuf,
    /// chrony's `test/simulation`.
    scripts: Option<PathBuf>,
    /// Also those beyond the basic ones.
    all_scripts: bool,
    /// Only those whose names begin so.
    scripts_named: Vec<String>,
    /// Built already.
    banto: Option<PathBuf>,
    stock: PathBuf,
    seeds: u32,
    only: Vec<String>,
}

impl Options {
    /// Reads the words after the benchmark's name.
    pub fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            clknetsim: std::env::var_os("CLKNETSIM_PATH").unwrap_or_default().into(),
            scripts: std::env::var_os("CHRONY_TESTS").map(PathBuf::from),
            all_scripts: false,
            scripts_named: Vec::new(),
            banto: None,
            stock: PathBuf::from("/usr/sbin/chronyd"),
            seeds: SEEDS_DEFAULT,
            only: Vec::new(),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().copied().ok_or_else(|| format!("{word} needs a value"));
            match *word {
                "--clknetsim" => options.clknetsim = absolute(value()?)?,
                "--all-scripts" => options.all_scripts = true,
                "--scripts" => options.scripts_named = value()?.split(',').map(str::to_owned).collect(),
                "--banto" => options.banto = Some(absolute(value()?)?),
                "--chrony-tests" => options.scripts = Some(absolute(value()?)?),
                "--stock" => options.stock = absolute(value()?)?,
                "--seeds" => {
                    options.seeds = value()?.parse().map_err(|_| "--seeds needs a number".to_owned())?;
                }
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                other => return Err(format!("unknown option {other}")),
            }
        }
        if !options.clknetsim.join("clknetsim.so").exists() {
            return Err(format!(
                "there is no clknetsim.so in {:?}\nhelp: get clknetsim, run make in it, and name its folder: --clknetsim DIR \
                 (or the variable CLKNETSIM_PATH)",
                options.clknetsim
            ));
        }
        if options.scripts.is_none() && options.only.iter().any(|one| one == "scripts") {
            return Err("where are chrony's scripts?\nhelp: --chrony-tests CHRONY/test/simulation (or the variable CHRONY_TESTS)"
                .to_owned());
        }
        Ok(options)
    }

    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|one| one == part)
    }
}

fn absolute(path: &str) -> Result<PathBuf, String> {
    std::fs::canonicalize(path).map_err(|error| format!("{path}: {error}"))
}

/// Runs what was asked for; true when every bar is held.
pub fn run(root: &Path, options: &Options) -> Result<bool, String> {
    let banto = match &options.banto {
        Some(banto) => banto.clone(),
        None => first_light::build(root)?.banto,
    };
    let work = std::env::temp_dir().join(format!("banto-clknetsim-{}", std::process::id()));
    std::fs::create_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    let mut held = true;
    if let Some(scripts) = options.scripts.as_ref().filter(|_| options.wants("scripts")) {
        held &= scripts::run(scripts, options, &banto, &work)?;
    }
    let simulator = |chronyd: &Path| Simulator {
        clknetsim: options.clknetsim.clone(),
        chronyd: chronyd.to_owned(),
        work: work.clone(),
    };
    if options.wants("scenarios") {
        held &= compare(&simulator(&banto), &simulator(&options.stock), options)?;
    }
    if options.wants("own") {
        println!("\n| scenario of our own | seed | seen | bound | |\n|---|---|---|---|---|");
        for own in OWN {
            for seed in 1..=options.seeds.min(3) {
                let (seen, kept) = own.check(&simulator(&banto), seed)?;
                held &= kept;
                let word = if kept { "PASS" } else { "FAIL" };
                println!("| {} | {seed} | {seen} | {} | {word} |", own.name, own.bound);
            }
        }
    }
    let _ = std::fs::remove_dir_all(&work);
    Ok(held)
}

/// Ours beside the stock daemon.
fn compare(ours: &Simulator, stock: &Simulator, options: &Options) -> Result<bool, String> {
    println!(
        "\n| scenario | sync, ours / stock | RMS offset, ours / stock | ratio | packets, ours / stock |\n|---|---|---|---|---|"
    );
    let (mut logs, mut held) = (0.0, true);
    for scenario in TEN {
        let all = |simulator: &Simulator| {
            (1..=options.seeds).map(|seed| scenario.run(simulator, seed)).collect::<Result<Vec<_>, _>>()
        };
        let (a, b) = (all(ours)?, all(stock)?);
        let pair = |of: fn(&run::Figures) -> f64| (median(a.iter().map(of)), median(b.iter().map(of)));
        let (rms, sync, packets) = (pair(|one| one.rms), pair(|one| one.sync), pair(|one| one.packets));
        let ratio = rms.0 / rms.1;
        logs += ratio.ln();
        held &= ratio <= BARS.1;
        println!(
            "| {} | {:.0} / {:.0} | {:.2e} / {:.2e} | {ratio:.2} | {:.0} / {:.0} |",
            scenario.name, sync.0, sync.1, rms.0, rms.1, packets.0, packets.1
        );
    }
    let mean = (logs / TEN.len() as f64).exp();
    println!("| geometric mean | | | {mean:.2} | |");
    Ok(held && mean <= BARS.0)
}

/// A program that could not set this machine's clock if it tried.
fn unprivileged(program: &Path) -> Command {
    let is_root = std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|text| text.lines().any(|line| line.starts_with("Uid:\t0\t")));
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time"]).arg(program);
    command
}
