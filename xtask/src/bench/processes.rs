//! What a program and its children cost, out of /proc.

use std::collections::HashMap;
use std::fs;

/// Clock ticks a second in /proc (`USER_HZ`): 100 on every architecture that Linux has now.
const TICKS_PER_SECOND: f64 = 100.0;

/// The fields of `/proc/PID/stat` that matter here (`proc(5)`).
struct Stat {
    parent: u32,
    /// Own and waited-for children's, user and system, ticks.
    ticks: u64,
}

fn stat(pid: &str) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; what follows the last one does not.
    let (_, after) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    // utime, stime, cutime, cstime: fields 14 to 17, and the third one is the first here.
    let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>().unwrap_or(0)).sum();
    Some(Stat { parent, ticks })
}

/// `root` and all that descend from it now.
pub fn family(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        if let Some(pid) = name.to_str().and_then(|name| name.parse().ok())
            && let Some(stat) = stat(&pid_text(pid))
        {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut all = vec![root];
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        all.extend(children.remove(&pid).unwrap_or_default());
        next += 1;
    }
    all
}

fn pid_text(pid: u32) -> String {
    pid.to_string()
}

/// Processor seconds that `root`, its descendants and those of them that have ended took so far.
pub fn cpu_seconds(root: u32) -> f64 {
    family(root).into_iter().filter_map(|pid| stat(&pid_text(pid))).map(|stat| stat.ticks).sum::<u64>() as f64
        / TICKS_PER_SECOND
}

/// Processor seconds of this process's own children that have been waited for.
pub fn waited_cpu_seconds() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = text.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks: u64 =
        after.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / TICKS_PER_SECOND
}

/// Processor nanoseconds of every thread of the processes `pids`, from the scheduler.
pub fn scheduled_ns(pids: &[u32]) -> u64 {
    let mut sum = 0;
    for pid in pids {
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            sum += text.split(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    sum
}

/// Resident set and proportional set of a process, KiB, and its command line.
pub struct Memory {
    /// The program and its words.
    pub command: String,
    /// `VmRSS`: pages shared with other processes count in each.
    pub rss_kib: u64,
    /// `Pss`: a page that n processes share counts 1/n in each.
    pub pss_kib: u64,
}

/// The memory of a process; none where it is gone.
pub fn memory(pid: u32) -> Option<Memory> {
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " ");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    Some(Memory { command, rss_kib: kib(&status, "VmRSS:")?, pss_kib: kib(&rollup, "Pss:").unwrap_or(0) })
}

fn kib(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: this process is found with its child, its memory and its time are readable.
    #[test]
    fn the_own_family_is_found() {
        let own = std::process::id();
        let mut sleep = std::process::Command::new("sleep");
        let mut child = super::super::programs::Running::start(sleep.arg("60")).expect("it starts");
        let found = family(own);
        assert!(found.contains(&own) && found.contains(&child.id()), "{found:?}");
        assert!(memory(own).is_some_and(|memory| memory.rss_kib > 0));
        assert!(scheduled_ns(&[own]) > 0);
        child.end();
        assert!(!family(own).contains(&child.id()));
    }
}
