//! What the discipline survives, each with a stated bound, each over several seeds.

use clock_lab::{HostSettings, Lie, Path, Route, ServerSettings, Spread, World};
use time_core::{
    DisciplineSettings, Event, MakeStep, ScreeningSettings, SelectionSettings, SourceSettings,
    TimekeeperSettings, Verdict,
};

const SEEDS: std::ops::RangeInclusive<u64> = 1..=10;

/// A host 50 ms and 20 ppm off, kept by chrony's defaults.
fn host(wander: f64) -> HostSettings {
    let make_step = Some(MakeStep { threshold: 1.0, limit: Some(3) });
    HostSettings {
        offset: 0.05,
        frequency: 2e-5,
        wander,
        keeper: TimekeeperSettings {
            discipline: DisciplineSettings { make_step, ..DisciplineSettings::default() },
            selection: SelectionSettings::default(),
        },
    }
}

fn server() -> ServerSettings {
    ServerSettings { iburst: true, ..ServerSettings::honest(Route::even(1e-3, 1e-4)) }
}

fn liar(lie: Lie) -> ServerSettings {
    ServerSettings { lie, ..server() }
}

/// Runs from `from` to `end` and returns the largest error; fails when a published bound does not hold the truth.
fn worst(world: &mut World, seed: u64, from: u64, end: u64) -> f64 {
    let mut worst = 0.0_f64;
    world.run(end, |world, second| {
        let error = world.error();
        if second >= from {
            worst = worst.max(error.abs());
        }
        if let Some(bound) = world.error_bound() {
            assert!(bound >= error.abs(), "seed {seed}, {second} s: bound {bound:.2e}, error {error:.2e}");
        }
    });
    worst
}

fn selected(world: &World, count: usize) -> Vec<usize> {
    (0..count)
        .filter(|index| {
            matches!(world.keeper.verdict(world.source(*index)), Verdict::Selected | Verdict::Combined)
        })
        .collect()
}

/// Goal: three liars of five who contradict each other leave no majority: nothing is followed, the clock is not moved at all.
#[test]
fn a_majority_of_falsetickers_that_disagree_moves_nothing() {
    for seed in SEEDS {
        let lies = [1.0, 2.0, 3.0].map(|by| liar(Lie::Step { from: 0.0, by }));
        let servers: Vec<ServerSettings> = lies.into_iter().chain([server(), server()]).collect();
        let mut world = World::new(seed, &host(1e-9), &servers);
        world.run(10_000, |_, _| ());
        assert!(world.clock.steps().is_empty(), "seed {seed}: {:?}", world.events);
        assert_eq!(world.keeper.discipline().updates(), 0, "seed {seed}: {:?}", world.events);
        assert_eq!(world.error_bound(), None, "seed {seed}: nothing is claimed");
    }
}

/// Goal: when a majority that was truthful begins to lie in different ways, the clock runs on by what was learnt: within 1 ms
/// for two hours, at a wander of 1e-9, and what no majority vouches for is not claimed.
#[test]
fn a_majority_that_turns_false_leaves_the_clock_where_it_was() {
    for seed in SEEDS {
        let lies = [1.0, -2.0, 3.0].map(|by| liar(Lie::Step { from: 5000.0, by }));
        let servers: Vec<ServerSettings> = lies.into_iter().chain([server(), server()]).collect();
        let mut world = World::new(seed, &host(1e-9), &servers);
        let worst = worst(&mut world, seed, 400, 12_000);
        assert!(worst < 1e-3, "seed {seed}: {worst:.2e}");
    }
}

/// Goal: a minority that shifts time together, by a second or by little, moves the clock by less than the honest paths' own
/// uncertainty: 1 ms.
#[test]
fn time_shifting_by_a_minority_moves_nothing() {
    for seed in SEEDS {
        for by in [1.0, 0.01] {
            let lies = [by, by].map(|by| liar(Lie::Step { from: 3000.0, by }));
            let servers: Vec<ServerSettings> =
                lies.into_iter().chain([server(), server(), server()]).collect();
            let mut world = World::new(seed, &host(1e-9), &servers);
            let worst = worst(&mut world, seed, 400, 12_000);
            assert!(worst < 1e-3, "seed {seed}, {by}: {worst:.2e}");
            let used = selected(&world, 5);
            assert!(used.iter().all(|index| *index >= 2), "seed {seed}: {used:?}");
        }
    }
}

/// Goal: a bare majority that shifts time together by 10 s is believed by every client that has no other witness; but it
/// cannot step the clock once the steps of the start are used up, only slew it at `maxslewrate`; and with `maxchange 0.1 1 0` it
/// moves it by less than 0.1 s in all.
#[test]
fn time_shifting_by_a_bare_majority_is_bounded() {
    for seed in 1..=5 {
        let lies = [10.0, 10.0, 10.0].map(|by| liar(Lie::Step { from: 3000.0, by }));
        let servers: Vec<ServerSettings> = lies.into_iter().chain([server(), server()]).collect();
        let mut world = World::new(seed, &host(1e-9), &servers);
        let mut fastest = 0.0_f64;
        world.run(3000, |_, _| ());
        world.run(6000, |world, _| fastest = fastest.max(world.clock.rate_error().abs()));
        assert!(world.clock.steps().is_empty(), "seed {seed}");
        assert!(fastest < 0.0835, "seed {seed}: {fastest}");

        let mut strict = host(1e-9);
        strict.keeper.discipline.max_change =
            Some(time_core::MaxChange { offset: 0.1, start: 1, ignore: Some(1_000_000) });
        let mut world = World::new(seed, &strict, &servers);
        world.run(400, |_, _| ());
        let mut most = 0.0_f64;
        world.run(6000, |world, _| most = most.max(world.error().abs()));
        assert!(most < 0.1, "seed {seed}: {most}");
    }
}

/// Goal: a server that lies more and more slowly (1 ms in 1000 s), one of three, is never worth more than what its interval
/// allows it before it is out: 2 ms; and it is out at the end.
#[test]
fn a_server_that_lies_slowly_is_found_out() {
    for seed in SEEDS {
        let servers = [liar(Lie::Ramp { from: 2000.0, rate: 1e-6 }), server(), server()];
        let mut world = World::new(seed, &host(1e-9), &servers);
        let worst = worst(&mut world, seed, 400, 30_000);
        assert!(worst < 2e-3, "seed {seed}: {worst:.2e}");
        assert_eq!(world.keeper.verdict(world.source(0)), Verdict::Falseticker, "seed {seed}");
    }
}

/// Goal: 30 minutes without an answer, at a wander of 1e-8 (ten times that of the scenarios): the clock stays within 3 ms (five
/// sigmas of the walk alone are 2.2 ms), the bound goes on to be published, holds the truth, and stays below 50 ms.
#[test]
fn an_outage_is_held_over() {
    for seed in SEEDS {
        let outage = Some((6000.0, 7800.0));
        let servers = [ServerSettings { outage, ..server() }];
        let mut world = World::new(seed, &host(1e-8), &servers);
        let before = worst(&mut world, seed, 400, 6000);
        assert!(before < 2e-3, "seed {seed}: {before:.2e}");
        let during = worst(&mut world, seed, 6000, 7799);
        assert!(during < 3e-3, "seed {seed}: {during:.2e}");
        let bound = world.error_bound().expect("the clock still has a bound");
        assert!(bound < 0.05, "seed {seed}: {bound:.2e}");
        let after = worst(&mut world, seed, 9000, 12_000);
        assert!(after < 2e-3, "seed {seed}: {after:.2e}");
    }
}

/// Goal: the route becomes 20 ms longer, evenly at first, later on the way back alone. An even change costs nothing (1 ms); of
/// one on one way no more than half can be known (10 ms and 1 ms), and the published bound holds it.
#[test]
fn a_change_of_route_costs_at_most_half_its_asymmetry() {
    for seed in SEEDS {
        let path = |delay: f64| Path { delay, jitter: 1e-4, loss: 0.0 };
        let mut one = server();
        one.routes.push(Route { from: 6000.0, there: path(21e-3), back: path(21e-3) });
        one.routes.push(Route { from: 20_000.0, there: path(21e-3), back: path(41e-3) });
        let mut world = World::new(seed, &host(1e-9), &[one]);
        let even = worst(&mut world, seed, 400, 20_000);
        assert!(even < 1e-3, "seed {seed}: {even:.2e}");
        let uneven = worst(&mut world, seed, 20_000, 60_000);
        assert!(uneven < 11e-3, "seed {seed}: {uneven:.2e}");
    }
}

/// Goal: why chrony's default of `maxdelaydevratio`, 10, is not applied: with it every exchange by a route that became 20 ms longer is
/// refused for more than an hour, and the clock runs on by what was learnt (5 ms); the published bound holds that too. Without it the
/// clock stays within 0.5 ms, in each seed, and is never without an update for longer than two polls.
#[test]
fn refused_delays_keep_a_longer_route_out_for_hours() {
    for seed in SEEDS {
        let run = |ratio: Option<f64>| {
            let path = |delay: f64| Path { delay, jitter: 1e-4, loss: 0.0 };
            let screening =
                ScreeningSettings { delay_deviation_ratio_max: ratio, ..ScreeningSettings::default() };
            let mut one = ServerSettings { screening, ..server() };
            one.routes.push(Route { from: 6000.0, there: path(21e-3), back: path(21e-3) });
            let mut world = World::new(seed, &host(1e-9), &[one]);
            let (mut updates, mut last, mut longest) = (0, 0, 0);
            let mut most = 0.0_f64;
            world.run(40_000, |world, second| {
                let error = world.error().abs();
                if let Some(bound) = world.error_bound() {
                    assert!(bound >= error, "seed {seed}, {second} s: bound {bound:.2e}, error {error:.2e}");
                }
                let now = world.keeper.discipline().updates();
                if now != updates {
                    (updates, last) = (now, second);
                }
                if second >= 6000 {
                    most = most.max(error);
                    longest = longest.max(second - last);
                }
            });
            (most, longest)
        };
        let (weighed, longest) = run(None);
        assert!(weighed < 5e-4 && longest < 2100, "seed {seed}: {weighed:.2e}, {longest} s");
        let (refused, longest) = run(Some(10.0));
        assert!(refused < 5e-3 && longest > 3600, "seed {seed}: {refused:.2e}, {longest} s");
    }
}

/// Goal: a host that slept and woke with its clock wrong claims nothing at first, and is within 1 ms again 30 s later, stepped by
/// nobody (0.7 s are below the threshold), with the frequency that it knew.
#[test]
fn a_suspended_host_is_back_within_half_a_minute() {
    for seed in SEEDS {
        let mut world = World::new(seed, &host(1e-9), &[server(), server(), server()]);
        worst(&mut world, seed, 400, 6000);
        let frequency = world.keeper.discipline().frequency();
        world.jump(-0.7);
        assert_eq!(world.error_bound(), None, "seed {seed}");
        let back = worst(&mut world, seed, 6030, 9000);
        assert!(back < 1e-3, "seed {seed}: {back:.2e}");
        assert!((world.keeper.discipline().frequency() - frequency).abs() < 1e-6, "seed {seed}");
    }
}

/// Goal: four equal sources together are better than one: at most 0.75 of its RMS error, in the median of ten seeds.
#[test]
fn sources_are_combined_for_the_better() {
    let rms = |count: usize, seed: u64| {
        let source = SourceSettings { poll_min: 6, poll_max: 6, ..SourceSettings::default() };
        let noisy = ServerSettings { source, ..ServerSettings::honest(Route::even(1e-3, 1e-3)) };
        let servers: Vec<ServerSettings> = (0..count).map(|_| noisy.clone()).collect();
        let mut world = World::new(seed, &host(1e-8), &servers);
        let mut square = 0.0;
        world.run(20_000, |world, second| {
            if second > 2000 {
                square += world.error().powi(2) / 18_000.0;
            }
        });
        square.sqrt()
    };
    let ratio = Spread::of(SEEDS.map(|seed| rms(4, seed) / rms(1, seed)));
    assert!(ratio.median < 0.75, "{ratio:?}");
}

/// Goal: a hundred sources cost little: a poll of all of them is computed in bounded work, and the clock is the better for it.
#[test]
fn a_hundred_sources_are_kept() {
    let servers: Vec<ServerSettings> = (0..100).map(|_| server()).collect();
    let mut world = World::new(1, &host(1e-9), &servers);
    let worst = worst(&mut world, 1, 300, 1500);
    assert!(worst < 5e-4, "{worst:.2e}");
    assert!(world.events.iter().any(|(_, event)| matches!(event, Event::Selected(_))));
}
