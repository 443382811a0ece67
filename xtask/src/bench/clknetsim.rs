//! The real daemon in the simulator clknetsim, which takes the place of the C library's clock and network calls (LD_PRELOAD), and
//! chrony's own simulation scripts run with it. Both are brought by the user: nothing is fetched here.
//!
//! The simulated clock is the only one that is set. What is started holds no CAP_SYS_TIME all the same.

mod run;
mod scenarios;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::first_light;
use run::{Simulator, median};
use scenarios::{OWN, TEN};

/// The scripts that need configuration, client and server only.
const SCRIPTS: &[&str] = &[
    "001", "002", "003", "004", "005", "006", "007", "008", "009", "010", "011", "012", "013", "014", "015",
    "101", "102", "104", "105", "109", "111", "112", "114", "116", "117", "118", "120", "123", "125", "126",
    "127", "131", "132", "135", "137", "138", "140",
];
/// RMS offset, ours against chrony's, as geometric mean over the ten scenarios, and in any one.
const BARS: (f64, f64) = (0.65, 1.0);
/// Seeds without `--seeds`.
const SEEDS_DEFAULT: u32 = 10;

/// What was asked for.
pub struct Options {
    clknetsim: PathBuf,
    scripts: Option<PathBuf>,
    stock: PathBuf,
    seeds: u32,
    only: Vec<String>,
}

impl Options {
    /// Reads the words after the benchmark's name.
    pub fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            clknetsim: PathBuf::new(),
            scripts: None,
            stock: PathBuf::from("/usr/sbin/chronyd"),
            seeds: SEEDS_DEFAULT,
            only: Vec::new(),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().copied().ok_or_else(|| format!("{word} needs a value"));
            match *word {
                "--clknetsim" => options.clknetsim = absolute(value()?)?,
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
                "there is no clknetsim.so in {:?}\nhelp: get clknetsim, run make in it, and name its folder: --clknetsim DIR",
                options.clknetsim
            ));
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
    let built = first_light::build(root)?;
    let work = std::env::temp_dir().join(format!("banto-clknetsim-{}", std::process::id()));
    std::fs::create_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    let mut held = true;
    if let Some(scripts) = options.scripts.as_ref().filter(|_| options.wants("scripts")) {
        held &= run_scripts(scripts, options, &built.banto, &work)?;
    }
    let simulator = |chronyd: &Path| Simulator {
        clknetsim: options.clknetsim.clone(),
        chronyd: chronyd.to_owned(),
        work: work.clone(),
    };
    if options.wants("scenarios") {
        held &= compare(&simulator(&built.banto), &simulator(&options.stock), options)?;
    }
    if options.wants("own") {
        println!("\n| scenario of our own | seed | seen | bound | |\n|---|---|---|---|---|");
        for own in OWN {
            for seed in 1..=options.seeds.min(3) {
                let (seen, kept) = own.check(&simulator(&built.banto), seed)?;
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

/// chrony's scripts, unchanged, with links to our program where they look for theirs.
fn run_scripts(scripts: &Path, options: &Options, banto: &Path, work: &Path) -> Result<bool, String> {
    let tree = work.join("chrony");
    let folder = tree.join("test/simulation");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let names: Vec<String> = std::fs::read_dir(scripts)
        .map_err(|error| format!("{}: {error}", scripts.display()))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    for name in names.iter().filter(|name| *name != "tmp") {
        std::os::unix::fs::symlink(scripts.join(name), folder.join(name)).map_err(failed)?;
    }
    for name in ["chronyd", "chronyc"] {
        std::os::unix::fs::symlink(banto, tree.join(name)).map_err(failed)?;
    }
    std::fs::write(tree.join("config.h"), CONFIG).map_err(failed)?;
    let mut held = true;
    for number in SCRIPTS {
        let Some(name) = names.iter().find(|name| name.starts_with(&format!("{number}-"))) else {
            println!("FAIL {number}: there is no such script");
            held = false;
            continue;
        };
        let output = unprivileged(Path::new("bash"))
            .arg(name)
            .current_dir(&folder)
            .env("CLKNETSIM_PATH", &options.clknetsim)
            .env("CLKNETSIM_RANDOM_SEED", "1")
            .env_remove("BANTO_CLOCK_READ_ONLY")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("bash: {error}"))?;
        let passed = output.status.success();
        held &= passed;
        println!("{} {name}", if passed { "PASS" } else { "FAIL" });
        if !passed {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let bad: Vec<&str> = text.lines().filter(|line| line.contains("BAD")).collect();
            bad.iter().for_each(|line| println!("     {}", line.trim()));
        }
    }
    Ok(held)
}

/// What the program under test can do, in the words that the scripts look for.
const CONFIG: &str = "#define FEAT_CMDMON 1\n#define FEAT_IPV6 1\n#define FEAT_SECHASH 1\n#define HAVE_CMAC 1\n\
    #define HAVE_LINUX_TIMESTAMPING 1\n#define HAVE_LONG_TIME_T 1\n#define NTP_ERA_SPLIT (946684800LL)\n";

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
