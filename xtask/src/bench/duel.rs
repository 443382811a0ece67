//! Ours and the stock program in turns, and what came of it.

use super::first_light::Bar;

/// One round of one side.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// From the generator's first byte until the last item is where it belongs.
    pub seconds: f64,
    /// Processor time of the program under load with its children, seconds; ticks of 10 ms.
    pub cpu: f64,
    /// Items a second as the generator saw them accepted, where that is another figure.
    pub accepted: Option<f64>,
}

/// What is compared.
pub struct Duel<'a> {
    /// The heading.
    pub title: String,
    /// What the bar promises.
    pub promise: String,
    /// The stock program's name.
    pub stock_name: &'a str,
    /// Items of one round, and what they are called.
    pub items: usize,
    /// The word for them.
    pub unit: &'a str,
    /// Rounds of each side that count.
    pub rounds: usize,
}

/// Least, median and greatest of some figures.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The middle one, or the mean of the two in the middle.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of figures in any order; all zero where there is none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
        let half = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { at(half) } else { (at(half.saturating_sub(1)) + at(half)) / 2.0 };
        Self { min: at(0), median, max: at(sorted.len().saturating_sub(1)) }
    }

    /// `min / median / max` with `places` decimal places.
    pub fn text(&self, places: usize) -> String {
        format!("{:.places$} / {:.places$} / {:.places$}", self.min, self.median, self.max)
    }
}

impl Duel<'_> {
    /// One round of each that does not count, then the rounds in turns; prints the table and returns the bars.
    pub fn run(
        &self,
        mut ours: impl FnMut() -> Result<Round, String>,
        mut stock: impl FnMut() -> Result<Round, String>,
    ) -> Vec<Bar> {
        println!("\n{}", self.title);
        let (mut our_rounds, mut stock_rounds) = (Vec::new(), Vec::new());
        for number in 0..=self.rounds {
            for (name, rounds, side) in [
                ("ours", &mut our_rounds, &mut ours as &mut dyn FnMut() -> Result<Round, String>),
                (self.stock_name, &mut stock_rounds, &mut stock),
            ] {
                match side() {
                    Ok(round) => {
                        let warm_up = if number == 0 { " (warm-up)" } else { "" };
                        eprintln!(
                            "  round {number}{warm_up}: {name}: {:.3} s, {:.2} s of CPU",
                            round.seconds, round.cpu
                        );
                        if number > 0 {
                            rounds.push(round);
                        }
                    }
                    Err(error) => {
                        println!("  NOT MEASURED: {name}: {error}");
                        return vec![Bar {
                            promise: self.promise.clone(),
                            seen: Err(format!("{name}: {error}")),
                        }];
                    }
                }
            }
        }
        self.tell(&our_rounds, &stock_rounds)
    }

    fn tell(&self, ours: &[Round], stock: &[Round]) -> Vec<Bar> {
        println!(
            "  {:<12} {:>28} {:>16} {:>26}",
            "",
            "seconds min / median / max",
            format!("{}/s", self.unit),
            "CPU s min / median / max"
        );
        let seconds = |rounds: &[Round]| Spread::of(rounds.iter().map(|round| round.seconds));
        let cpu = |rounds: &[Round]| Spread::of(rounds.iter().map(|round| round.cpu));
        for (name, rounds) in [("ours", ours), (self.stock_name, stock)] {
            println!(
                "  {name:<12} {:>28} {:>16.0} {:>26}",
                seconds(rounds).text(3),
                self.items as f64 / seconds(rounds).median,
                cpu(rounds).text(2)
            );
        }
        let throughput = seconds(stock).median / seconds(ours).median;
        println!(
            "  ratio: throughput {throughput:.2} (stock's median seconds by ours), CPU {:.2} (stock's by ours)",
            cpu(stock).median / cpu(ours).median
        );
        let mut bars = vec![ratio_bar(&self.promise, throughput)];
        let accepted = |rounds: &[Round]| {
            rounds.iter().map(|round| round.accepted).collect::<Option<Vec<f64>>>().map(Spread::of)
        };
        if let (Some(ours), Some(stock)) = (accepted(ours), accepted(stock)) {
            println!(
                "  accepted/s min / median / max: ours {}, {} {}",
                ours.text(0),
                self.stock_name,
                stock.text(0)
            );
            let ratio = ours.median / stock.median;
            println!("  ratio: accepted {ratio:.2}");
            bars.push(ratio_bar(&format!("{}, accepted", self.promise), ratio));
        }
        bars
    }
}

fn ratio_bar(promise: &str, ratio: f64) -> Bar {
    Bar::measured(promise, ratio >= 1.0, format!("ratio {ratio:.2}, the bar is 1.0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the spread of odd and even numbers of figures in any order.
    #[test]
    fn spreads() {
        for (figures, expected) in [
            (&[3.0, 1.0, 2.0][..], [1.0, 2.0, 3.0]),
            (&[4.0, 1.0, 3.0, 2.0], [1.0, 2.5, 4.0]),
            (&[], [0.0; 3]),
        ] {
            let spread = Spread::of(figures.iter().copied());
            assert_eq!([spread.min, spread.median, spread.max], expected, "{figures:?}");
        }
    }
}
