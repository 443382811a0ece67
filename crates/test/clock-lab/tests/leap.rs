//! Leap seconds in each `leapsecmode`, and the clients of a server that smears them, each with a stated bound, each over several seeds.
//!
//! The rule of the day (who announces a leap second, and when it is acted on) is the daemon's and is tested there; here is what the
//! discipline makes of it.

use clock_lab::{HostSettings, LeapMode, Route, ServerSettings, World};
use time_core::{
    DisciplineSettings, MakeStep, SelectionSettings, SmoothingSettings, TimekeeperSettings, Verdict,
};

/// The leap second comes at this second; the sources have been asked every 256 to 1024 s for long by then.
const LEAP: u64 = 20_000;

fn host() -> HostSettings {
    let make_step = Some(MakeStep { threshold: 1.0, limit: Some(3) });
    HostSettings {
        offset: 0.05,
        frequency: 2e-5,
        wander: 1e-9,
        keeper: TimekeeperSettings {
            discipline: DisciplineSettings { make_step, ..DisciplineSettings::default() },
            selection: SelectionSettings::default(),
        },
    }
}

fn server() -> ServerSettings {
    ServerSettings { iburst: true, ..ServerSettings::honest(Route::even(1e-3, 1e-4)) }
}

/// Three servers, a leap second at [`LEAP`] that is inserted (-1) or left out (1). The clock is within 1 ms before it and from
/// `settled` seconds after it on; the published bound holds from `claimed` on; the daemon steps `steps` times.
fn check(seed: u64, seconds: f64, mode: LeapMode, (claimed, settled): (u64, u64), steps: usize) {
    let mut world = World::new(seed, &host(), &[server(), server(), server()]);
    let look = |world: &mut World, second: u64, claimed: u64, settled: u64| {
        let (error, bound) = (world.error().abs(), world.error_bound());
        let what = format!("seed {seed}, {seconds} {mode:?}, second {second}: error {error:.2e}");
        assert!(second < settled || error < 1e-3, "{what}");
        assert!(second < claimed || bound.is_none_or(|bound| bound >= error), "{what}, bound {bound:?}");
    };
    world.run(LEAP, |world, second| look(world, second, 0, 400));
    let frequency = world.keeper.discipline().frequency();
    world.leap_second(seconds, mode);
    world.run(LEAP + 6000, |world, second| look(world, second, LEAP + claimed, LEAP + settled));
    assert_eq!(world.clock.steps().len(), steps, "seed {seed}, {mode:?}: {:?}", world.clock.steps());
    assert!((world.keeper.discipline().frequency() - frequency).abs() < 1e-6, "seed {seed}, {mode:?}");
    let good =
        |index| matches!(world.keeper.verdict(world.source(index)), Verdict::Selected | Verdict::Combined);
    assert!((0..3).any(good), "seed {seed}, {mode:?}: nothing is followed");
}

/// Goal: stepped by the kernel or the daemon (`system`, `step`), the clock is within 1 ms the second after and the bound holds all along:
/// what was known is carried over, nothing has to be learnt again.
#[test]
fn a_leap_second_is_stepped() {
    for seed in 1..=10 {
        for seconds in [-1.0, 1.0] {
            check(seed, seconds, LeapMode::Stepped, (0, 0), 1);
        }
    }
}

/// Goal: slewed, it takes 15 s (12 s of them at `maxslewrate`), is never stepped, and the bound says all the time how much is left.
#[test]
fn a_leap_second_is_slewed() {
    for seed in 1..=10 {
        for seconds in [-1.0, 1.0] {
            check(seed, seconds, LeapMode::Slewed, (0, 15), 0);
        }
    }
}

/// Goal: ignored, the clock is a second off until the sources are believed, which takes six answers of each that agree: at most one
/// interval of 1024 s until the first, then some of 64 s. It is slewed, and the bound that was published before holds nothing until the
/// first answer; from 3000 s on all is well.
#[test]
fn a_leap_second_is_ignored_until_the_sources_say_so() {
    for seed in 1..=10 {
        for seconds in [-1.0, 1.0] {
            check(seed, seconds, LeapMode::Ignored, (3000, 3000), 0);
        }
    }
}

/// Goal: the clients of a server with `smoothtime 400 0.001024 leaponly` (the manual's example) see no leap second: never stepped, within
/// 5 ms of what the server gives out at every second (what the smear's wander amounts to in three intervals of 1024 s), such an offset
/// slewed in a second at the quickest, and at UTC in the end, 17 hours later.
#[test]
fn clients_of_a_server_that_smears_see_no_step() {
    let smoothing = SmoothingSettings { frequency_max: 400e-6, wander_max: 0.001_024e-6, leap_only: true };
    for seed in 1..=3 {
        for seconds in [-1.0, 1.0] {
            let smearing = ServerSettings { smoothing: Some(smoothing), ..server() };
            let mut world = World::new(seed, &host(), &[smearing]);
            world.run(LEAP, |_, _| ());
            world.leap_second(seconds, LeapMode::Ignored);
            assert!((world.error().abs() - 1.0).abs() < 1e-3, "UTC went on without them");
            let (mut worst, mut fastest) = (0.0_f64, 0.0_f64);
            world.run(LEAP + 65_000, |world, _| {
                worst = worst.max(world.error_against(0).abs());
                fastest = fastest.max(world.clock.rate_error().abs());
            });
            assert!(world.clock.steps().is_empty(), "seed {seed}: {:?}", world.clock.steps());
            assert!(worst < 5e-3, "seed {seed}, {seconds}: {worst:.2e} from what was served");
            assert!(fastest < 5e-3, "seed {seed}, {seconds}: {fastest:.2e}");
            assert!(world.error().abs() < 1e-3, "seed {seed}, {seconds}: {:.2e} from UTC", world.error());
        }
    }
}
