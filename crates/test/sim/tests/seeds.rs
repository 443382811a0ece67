//! Histories from many seeds. `BANTO_SIM_SEED=N` replays one and shows it; `BANTO_SIM_SEEDS=N` runs the first N (200 by default).

use std::panic::catch_unwind;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is `{text}`; say a number")))
}

/// Runs the seeds of one share; fails with every seed that failed, and how to see it again.
fn share(index: u64, shares: u64) {
    if let Some(seed) = number("BANTO_SIM_SEED") {
        if seed % shares == index {
            println!("{:#?}", sim::run(seed));
        }
        return;
    }
    let count = number("BANTO_SIM_SEEDS").unwrap_or(200);
    let failed: Vec<u64> = (0..count)
        .filter(|seed| seed % shares == index)
        .filter(|seed| catch_unwind(|| sim::run(*seed)).is_err())
        .collect();
    assert!(
        failed.is_empty(),
        "{} histories failed, seeds {failed:?}; see one again: BANTO_SIM_SEED={} cargo test -p sim -- --nocapture",
        failed.len(),
        failed[0]
    );
}

// Four tests, so that a runner can use several cores.

/// Goal: whatever happens to a host, nothing acknowledged is lost and its clock's word can be trusted.
#[test]
fn histories_hold_share_0() {
    share(0, 4);
}

/// Goal: as in the first share.
#[test]
fn histories_hold_share_1() {
    share(1, 4);
}

/// Goal: as in the first share.
#[test]
fn histories_hold_share_2() {
    share(2, 4);
}

/// Goal: as in the first share.
#[test]
fn histories_hold_share_3() {
    share(3, 4);
}

/// Goal: a seed replays exactly, so that a failure can be looked at.
#[test]
fn the_same_seed_gives_the_same_history() {
    assert_eq!(sim::run(7), sim::run(7));
}

/// Goal: the histories are not idle: crashes, broken connections, alerts and copies all happen.
#[test]
fn histories_are_eventful() {
    let all: Vec<sim::Summary> = (1000..1006).map(sim::run).collect();
    assert!(all.iter().any(|one| one.crashes > 0) && all.iter().any(|one| one.cuts > 0));
    assert!(all.iter().all(|one| one.forwarded > 100 && one.forward_cuts > 0));
    assert!(all.iter().all(|one| one.records > 100 && one.mails > 0 && one.clock_updates > 10));
}
