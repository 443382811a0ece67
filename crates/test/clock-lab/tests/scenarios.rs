//! The promises of `cargo xtask bench time` that a test run can afford.

use clock_lab::{SCENARIOS, Spread, measure};
use time_core::ScreeningSettings;

/// Runs a scenario with ten seeds: the published error bound holds the truth at every second of every seed, and the median RMS offset
/// and the packets sent stay below chrony's; RMS frequency, slews included, too, but for two (`docs/benchmarks.md`) where it is up to 1.6
/// of chrony's.
fn check(name: &str) {
    let scenario = SCENARIOS.iter().find(|one| one.name == name).expect("it is in the table");
    let figures: Vec<_> =
        (1..=10).map(|seed| measure(scenario, seed, ScreeningSettings::default())).collect();
    for (index, one) in figures.iter().enumerate() {
        assert_eq!(one.broken_bounds, 0, "seed {}: {one:?}", index + 1);
    }
    let rms = Spread::of(figures.iter().map(|one| one.rms));
    assert!(rms.median < scenario.chrony.rms, "{rms:?}");
    let frequency = Spread::of(figures.iter().map(|one| one.frequency));
    let limit = if matches!(name, "frequency" | "offset") { 1.6 } else { 1.0 };
    assert!(frequency.median <= limit * scenario.chrony.frequency, "{frequency:?}");
    let packets = Spread::of(figures.iter().map(|one| one.packets));
    assert!(packets.median <= scenario.chrony.packets, "{packets:?}");
}

/// Goal: the ordinary case, for 10,000 s and for 100,000 s.
#[test]
fn default() {
    check("default");
    check("long");
}

/// Goal: noise a thousand times the ordinary, and all of it on one way.
#[test]
fn noisy() {
    check("jitter");
    check("asymmetry");
}

/// Goal: an oscillator that wanders a hundred times the ordinary, one that is far off, a clock that is.
#[test]
fn bad_clocks() {
    check("wander");
    check("frequency");
    check("offset");
}

/// Goal: packets are lost.
#[test]
fn loss() {
    check("loss");
}

/// Goal: a wide and a local network.
#[test]
fn networks() {
    check("wan");
    check("lan");
}
