//! Prints the ten scenarios beside chrony's figures: `cargo xtask bench time` runs this.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clock_lab::{Figures, SCENARIOS, Scenario, Spread, measure};
use serde_json::{Value, json};
use time_core::ScreeningSettings;

/// Geometric mean of the RMS ratios that is promised.
const RATIO_MEAN_MAX: f64 = 0.65;
/// Any one ratio.
const RATIO_MAX: f64 = 1.0;

const HELP: &str = "\
clock-lab [--json] [--seeds N] [--only NAME,NAME...] [--each] [--maxdelaydevratio R]

  --json    one JSON object instead of the table
  --seeds   so many seeds, from 1 on (10)
  --only    of: default, long, jitter, wander, asymmetry, loss, frequency, offset, wan, lan
  --each    a line for each seed too
  --maxdelaydevratio
            refuse long delays as a source with this option does; without it the filter weighs them

Exit code: 0 when every bar is held.
";

struct Options {
    json: bool,
    each: bool,
    seeds: u64,
    only: Vec<String>,
    screening: ScreeningSettings,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("clock-lab: {error}\n\n{HELP}");
            return ExitCode::FAILURE;
        }
    };
    let wanted: Vec<&Scenario> = SCENARIOS
        .iter()
        .filter(|one| options.only.is_empty() || options.only.iter().any(|name| name == one.name))
        .collect();
    let rows: Vec<Row> = wanted.into_iter().map(|scenario| Row::of(scenario, &options)).collect();
    let mean = (rows.iter().map(|row| row.ratio().ln()).sum::<f64>() / rows.len().max(1) as f64).exp();
    let failures = failures(&rows, mean);
    if options.json {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        println!("{}", json!({ "scenarios": rows, "rms_ratio_geometric_mean": mean, "failures": failures }));
    } else {
        table(&rows, mean, options.each);
        for failure in &failures {
            println!("FAIL  {failure}");
        }
        if failures.is_empty() {
            println!("PASS  all bars");
        }
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        json: false,
        each: false,
        seeds: 10,
        only: Vec::new(),
        screening: ScreeningSettings::default(),
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => options.json = true,
            "--each" => options.each = true,
            "--seeds" => {
                let count = words.next().and_then(|count| count.parse().ok()).filter(|count| *count > 0);
                options.seeds = count.ok_or("--seeds needs a number from 1 on")?;
            }
            "--maxdelaydevratio" => {
                let ratio = words.next().and_then(|ratio| ratio.parse().ok()).filter(|ratio| *ratio > 0.0);
                options.screening.delay_deviation_ratio_max =
                    Some(ratio.ok_or("--maxdelaydevratio needs a number above 0")?);
            }
            "--only" => {
                for name in words.next().ok_or("--only needs names")?.split(',') {
                    if !SCENARIOS.iter().any(|one| one.name == name) {
                        return Err(format!("--only {name}: no such scenario"));
                    }
                    options.only.push(name.to_owned());
                }
            }
            other => return Err(format!("{other}: no such option")),
        }
    }
    Ok(options)
}

struct Row<'a> {
    scenario: &'a Scenario,
    seeds: Vec<Figures>,
}

impl<'a> Row<'a> {
    /// All seeds, on two threads: a history depends on its seed alone.
    fn of(scenario: &'a Scenario, options: &Options) -> Self {
        let (seeds, screening) = (options.seeds, options.screening);
        let half = |first: u64| -> Vec<(u64, Figures)> {
            (first..=seeds).step_by(2).map(|seed| (seed, measure(scenario, seed, screening))).collect()
        };
        let mut all = std::thread::scope(|scope| {
            let odd = scope.spawn(|| half(1));
            let mut all = half(2);
            match odd.join() {
                Ok(others) => all.extend(others),
                Err(panic) => std::panic::resume_unwind(panic),
            }
            all
        });
        all.sort_by_key(|(seed, _)| *seed);
        Self { scenario, seeds: all.into_iter().map(|(_, figures)| figures).collect() }
    }

    fn spread(&self, figure: fn(&Figures) -> f64) -> Spread {
        Spread::of(self.seeds.iter().map(figure))
    }

    fn ratio(&self) -> f64 {
        self.spread(|one| one.rms).median / self.scenario.chrony.rms
    }

    fn broken_bounds(&self) -> u64 {
        self.seeds.iter().map(|one| one.broken_bounds).sum()
    }

    fn json(&self) -> Value {
        let spread = |figure: fn(&Figures) -> f64| {
            let spread = self.spread(figure);
            json!({ "min": spread.min, "median": spread.median, "max": spread.max })
        };
        let chrony = self.scenario.chrony;
        json!({
            "name": self.scenario.name,
            "about": self.scenario.about,
            "seeds": self.seeds.len(),
            "sync": spread(|one| one.sync),
            "mean": spread(|one| one.mean),
            "rms": spread(|one| one.rms),
            "max": spread(|one| one.max),
            "frequency": spread(|one| one.frequency),
            "packets": spread(|one| one.packets),
            "bound": spread(|one| one.bound),
            "broken_bounds": self.broken_bounds(),
            "rms_ratio": self.ratio(),
            "chrony": {
                "sync": chrony.sync, "mean": chrony.mean, "rms": chrony.rms, "max": chrony.max,
                "frequency": chrony.frequency, "packets": chrony.packets,
            },
        })
    }
}

fn failures(rows: &[Row<'_>], mean: f64) -> Vec<String> {
    let mut failures = Vec::new();
    for row in rows {
        let (name, chrony) = (row.scenario.name, row.scenario.chrony);
        let mut bar = |what: &str, seen: f64, most: f64| {
            if seen.is_nan() || seen > most {
                failures.push(format!("{name}: {what} {seen:.3}, the bar is {most:.3}"));
            }
        };
        bar("RMS ratio", row.ratio(), RATIO_MAX);
        bar("broken bounds", row.broken_bounds() as f64, 0.0);
        if let Some(sync) = chrony.sync {
            bar("in sync after", row.spread(|one| one.sync).median, sync);
        }
        bar("packets", row.spread(|one| one.packets).median, chrony.packets);
    }
    if mean.is_nan() || mean > RATIO_MEAN_MAX {
        failures.push(format!("geometric mean of the RMS ratios {mean:.3}, the bar is {RATIO_MEAN_MAX}"));
    }
    failures
}

fn table(rows: &[Row<'_>], mean: f64, each: bool) {
    println!("ours, median of the seeds; (chrony 4.8's in parentheses); seconds, s/s");
    println!(
        "{:<10} {:>14} {:>21} {:>21} {:>19} {:>6} {:>19} {:>21} {:>14} {:>8}",
        "scenario",
        "in sync",
        "abs(mean) offset",
        "RMS offset",
        "min - max",
        "ratio",
        "max offset",
        "RMS frequency",
        "packets",
        "bound"
    );
    for row in rows {
        let chrony = row.scenario.chrony;
        let median = |figure: fn(&Figures) -> f64| row.spread(figure).median;
        let rms = row.spread(|one| one.rms);
        let optional = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0}"));
        println!(
            "{:<10} {:>14} {:>21} {:>21} {:>19} {:>6.2} {:>19} {:>21} {:>14} {:>8.1e}",
            row.scenario.name,
            format!("{:.0} ({})", median(|one| one.sync), optional(chrony.sync)),
            format!("{:.1e} ({:.1e})", median(|one| one.mean), chrony.mean),
            format!("{:.2e} ({:.1e})", rms.median, chrony.rms),
            format!("{:.1e} - {:.1e}", rms.min, rms.max),
            row.ratio(),
            format!("{:.1e} ({:.1e})", median(|one| one.max), chrony.max),
            format!("{:.1e} ({:.1e})", median(|one| one.frequency), chrony.frequency),
            format!("{:.0} ({})", median(|one| one.packets), chrony.packets),
            median(|one| one.bound),
        );
        if each {
            for (index, one) in row.seeds.iter().enumerate() {
                println!(
                    "    seed {:>2}: sync {:.0} mean {:.1e} rms {:.2e} max {:.1e} frequency {:.1e} packets {:.0} broken {}",
                    index + 1,
                    one.sync,
                    one.mean,
                    one.rms,
                    one.max,
                    one.frequency,
                    one.packets,
                    one.broken_bounds
                );
            }
        }
    }
    println!("geometric mean of the RMS ratios: {mean:.3}");
}
