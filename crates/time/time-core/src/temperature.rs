//! What the temperature makes of the oscillator (`chrony.conf(5)`, tempcomp).

/// A larger compensation than this, s/s, is a sensor's mistake and no oscillator's (`chrony.conf(5)`: 10 ppm).
pub const COMPENSATION_MAX: f64 = 10e-6;

/// From a temperature, in whatever unit the sensor has, to what the oscillator gains.
#[derive(Debug, Clone, PartialEq)]
pub enum TemperatureCurve {
    /// `k0 + (T - t0) * k1 + (T - t0)^2 * k2`, parts per million.
    Quadratic {
        /// A temperature.
        t0: f64,
        /// Parts per million.
        k0: f64,
        /// Parts per million a unit.
        k1: f64,
        /// Parts per million a square unit.
        k2: f64,
    },
    /// Straight lines between points, and on beyond the first and the last two.
    Points(TemperaturePoints),
}

/// At least two points of rising temperature.
#[derive(Debug, Clone, PartialEq)]
pub struct TemperaturePoints(Vec<(f64, f64)>);

/// Why a text holds no points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PointsError {
    /// This line (they count from 1) is not two numbers.
    NotTwoNumbers(usize),
    /// This line's temperature is not above the one of the line before it.
    NotRising(usize),
    /// There are fewer than two.
    TooFew,
}

impl std::fmt::Display for PointsError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotTwoNumbers(line) => {
                write!(formatter, "line {line} is not a temperature and a compensation in ppm")
            }
            Self::NotRising(line) => write!(formatter, "line {line} is not warmer than the line before it"),
            Self::TooFew => write!(formatter, "fewer than two points"),
        }
    }
}

impl std::error::Error for PointsError {}

impl TemperaturePoints {
    /// Reads one point a line: a temperature, and what the oscillator gains there in parts per million.
    pub fn parse(text: &str) -> Result<Self, PointsError> {
        let mut points: Vec<(f64, f64)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let mut words = line.split_ascii_whitespace();
            let mut number = || words.next()?.parse::<f64>().ok().filter(|value| value.is_finite());
            let (Some(temperature), Some(ppm)) = (number(), number()) else {
                return Err(PointsError::NotTwoNumbers(index + 1));
            };
            if points.last().is_some_and(|(before, _)| *before >= temperature) {
                return Err(PointsError::NotRising(index + 1));
            }
            points.push((temperature, ppm));
        }
        if points.len() < 2 { Err(PointsError::TooFew) } else { Ok(Self(points)) }
    }

    fn at(&self, temperature: f64) -> f64 {
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        let pair =
            pairs.clone().find(|(_, (high, _))| *high >= temperature).or_else(|| pairs.clone().next_back());
        pair.map_or(0.0, |((low, at_low), (high, at_high))| {
            at_low + (temperature - low) / (high - low) * (at_high - at_low)
        })
    }
}

impl TemperatureCurve {
    /// What the oscillator gains at this temperature, s/s.
    pub fn gains(&self, temperature: f64) -> f64 {
        let ppm = match self {
            Self::Quadratic { t0, k0, k1, k2 } => {
                let above = temperature - t0;
                k0 + above * k1 + above * above * k2
            }
            Self::Points(points) => points.at(temperature),
        };
        ppm * 1e-6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: both forms are computed as `chrony.conf(5)` says, beyond the ends of the points too.
    #[test]
    fn curves_are_as_in_the_manual() {
        let quadratic = TemperatureCurve::Quadratic { t0: 26_000.0, k0: 0.5, k1: 0.000_183, k2: 1e-9 };
        let points =
            TemperaturePoints::parse("20000 1.0\n21000 0.64\n22000 0.36\n23000 0.16\n").expect("points");
        let points = TemperatureCurve::Points(points);
        for (curve, temperature, ppm) in [
            (&quadratic, 26_000.0, 0.5),
            (&quadratic, 27_000.0, 0.5 + 0.183 + 0.001),
            (&quadratic, 25_000.0, 0.5 - 0.183 + 0.001),
            (&points, 20_000.0, 1.0),
            (&points, 21_500.0, 0.5),
            (&points, 19_000.0, 1.36),
            (&points, 24_000.0, -0.04),
        ] {
            let found = curve.gains(temperature) * 1e6;
            assert!((found - ppm).abs() < 1e-9, "{temperature}: {found}");
        }
    }

    /// Goal: what holds no points is told by its line.
    #[test]
    fn wrong_points_are_told() {
        for (text, expected) in [
            ("", PointsError::TooFew),
            ("1 1", PointsError::TooFew),
            ("1 1\n2", PointsError::NotTwoNumbers(2)),
            ("x 1\n2 2", PointsError::NotTwoNumbers(1)),
            ("1 1\n1 2", PointsError::NotRising(2)),
            ("1 NaN\n2 2", PointsError::NotTwoNumbers(1)),
        ] {
            assert_eq!(TemperaturePoints::parse(text), Err(expected), "{text:?}");
        }
    }
}
