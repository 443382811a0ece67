//! chrony's own simulation scripts, unchanged, with our program where they look for theirs.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;

use super::{Options, unprivileged};

/// The scripts that need configuration, client and server only: all must pass.
const BASIC: &[&str] = &[
    "001", "002", "003", "004", "005", "006", "007", "008", "009", "010", "011", "012", "013", "014", "015",
    "101", "102", "104", "105", "109", "111", "112", "114", "116", "117", "118", "120", "123", "125", "126",
    "127", "131", "132", "135", "137", "138", "140",
];
/// Seeds, at most: each is the whole set again.
const SEEDS_MAX: u32 = 10;
/// The longest that one script may take, seconds; on an idle machine the longest takes less than one minute.
const SECONDS_MAX: u32 = 900;
/// How a script says that it asks for what was not built in (`test.common`).
const SKIPPED: i32 = 9;

/// What the program under test can do, in the words that the scripts look for.
const CONFIG: &str = "#define FEAT_CMDMON 1\n#define FEAT_IPV6 1\n#define FEAT_SECHASH 1\n#define HAVE_CMAC 1\n\
    #define HAVE_LINUX_TIMESTAMPING 1\n#define HAVE_LONG_TIME_T 1\n#define NTP_ERA_SPLIT (946684800LL)\n";
/// What more it can do, asked of it by the scripts beyond the basic ones.
const CONFIG_MORE: &str = "#define FEAT_REFCLOCK 1\n#define FEAT_PHC 1\n#define FEAT_NTS 1\n#define FEAT_RTC 1\n\
    #define HAVE_SIV_GCM 1\n";

/// One run of one script.
struct Run {
    name: String,
    seed: u32,
    basic: bool,
}

/// Runs them, as many at once as there are processors; true when all basic ones pass.
pub fn run(scripts: &Path, options: &Options, banto: &Path, work: &Path) -> Result<bool, String> {
    let mut names: Vec<String> = std::fs::read_dir(scripts)
        .map_err(|error| format!("{}: {error}", scripts.display()))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.split_once('-').is_some_and(|(number, _)| number.parse::<u32>().is_ok()))
        .collect();
    names.sort();
    let is_basic = |name: &str| BASIC.iter().any(|number| name.starts_with(&format!("{number}-")));
    let found = names.iter().filter(|name| is_basic(name)).count();
    if found != BASIC.len() {
        return Err(format!(
            "{} has {found} of the {} scripts\nhelp: --chrony-tests CHRONY/test/simulation",
            scripts.display(),
            BASIC.len()
        ));
    }
    let seeds = options.seeds.min(SEEDS_MAX);
    let mut waiting: Vec<Run> = Vec::new();
    for seed in (1..=seeds).rev() {
        for name in names.iter().rev() {
            let basic = is_basic(name);
            let wanted = options.scripts_named.is_empty() && (basic || options.all_scripts)
                || options.scripts_named.iter().any(|number| name.starts_with(number.as_str()));
            if wanted {
                waiting.push(Run { name: name.clone(), seed, basic });
            }
        }
    }
    let waiting = Mutex::new(waiting);
    let passed: Mutex<(usize, usize)> = Mutex::new((0, 0));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let troubles: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|worker| {
                let (waiting, passed) = (&waiting, &passed);
                let tree = work.join(format!("chrony-{worker}"));
                scope.spawn(move || {
                    prepare(scripts, banto, &tree)?;
                    loop {
                        let next = waiting.lock().map_err(|error| error.to_string())?.pop();
                        let Some(one) = next else { return Ok(()) };
                        let (word, bad) = one.run(&tree, options)?;
                        println!("{word} {} (seed {})", one.name, one.seed);
                        bad.iter().for_each(|line| println!("     {line}"));
                        let mut passed = passed.lock().map_err(|error| error.to_string())?;
                        if one.basic {
                            passed.0 += usize::from(word == "PASS");
                            passed.1 += 1;
                        }
                    }
                })
            })
            .collect();
        let ends = threads.into_iter().map(|thread| thread.join().unwrap_or(Err("a thread panicked".into())));
        ends.filter_map(|end: Result<(), String>| end.err()).collect()
    });
    if let Some(trouble) = troubles.into_iter().next() {
        return Err(trouble);
    }
    let (good, all) = passed.into_inner().map_err(|error| error.to_string())?;
    println!("{good} of {all} runs of the basic scripts pass");
    Ok(good == all)
}

/// A tree like chrony's, with links to the scripts and to our program.
fn prepare(scripts: &Path, banto: &Path, tree: &Path) -> Result<(), String> {
    let folder = tree.join("test/simulation");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(&folder).map_err(failed)?;
    for entry in std::fs::read_dir(scripts).map_err(failed)?.flatten() {
        if entry.file_name() != "tmp" {
            std::os::unix::fs::symlink(entry.path(), folder.join(entry.file_name())).map_err(failed)?;
        }
    }
    for name in ["chronyd", "chronyc"] {
        std::os::unix::fs::symlink(banto, tree.join(name)).map_err(failed)?;
    }
    Ok(())
}

impl Run {
    /// The result, and what the script did not like.
    fn run(&self, tree: &Path, options: &Options) -> Result<(&'static str, Vec<String>), String> {
        let config = if self.basic { CONFIG.to_owned() } else { CONFIG.to_owned() + CONFIG_MORE };
        let path: PathBuf = tree.join("config.h");
        std::fs::write(&path, config).map_err(|error| format!("{}: {error}", path.display()))?;
        let output = unprivileged(Path::new("timeout"))
            .arg(SECONDS_MAX.to_string())
            .args(["bash", &self.name])
            .current_dir(tree.join("test/simulation"))
            .env("CLKNETSIM_PATH", &options.clknetsim)
            .env("CLKNETSIM_RANDOM_SEED", self.seed.to_string())
            .env_remove("BANTO_CLOCK_READ_ONLY")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("timeout: {error}"))?;
        let word = match output.status.code() {
            Some(0) => return Ok(("PASS", Vec::new())),
            Some(SKIPPED) => "SKIP",
            _ => "FAIL",
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // A check that is expected to fail says BAD too; the last one counts.
        let bad = text.lines().rfind(|line| line.contains("BAD") || line.contains("ERROR"));
        Ok((word, bad.map(|line| line.trim().to_owned()).into_iter().collect()))
    }
}
