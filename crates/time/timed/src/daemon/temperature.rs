//! `tempcomp`: the sensor is read, and what the temperature makes the oscillator gain is taken off.

use super::{Daemon, monotonic};
use crate::events::Happened;
use chrony_conf::{Settings, TempCurve};
use std::path::{Path, PathBuf};
use std::time::Duration;
use time_core::{COMPENSATION_MAX, Clock, TemperatureCurve, TemperaturePoints};

/// Between two readings without an interval of its own (`chrony.conf(5)`).
const INTERVAL_USUAL: Duration = Duration::from_secs(1);
/// The shortest interval that is used: a sensor costs a system call or three.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// A sensor's file says one number; what is longer is none.
const SENSOR_BYTES_MAX: u64 = 64 * 1024;

/// The sensor, and what its values mean.
#[derive(Debug)]
pub(super) struct Temperature {
    sensor: PathBuf,
    curve: TemperatureCurve,
    interval: Duration,
    due: Duration,
    /// It could not be used the last time, which was said.
    complained: bool,
}

impl Temperature {
    /// As configured; none without the directive.
    pub(super) fn new(settings: &Settings) -> Result<Option<Self>, String> {
        let Some(line) = &settings.temp_comp else { return Ok(None) };
        let curve = match &line.curve {
            TempCurve::Quadratic { t0, k0, k1, k2 } => {
                TemperatureCurve::Quadratic { t0: *t0, k0: *k0, k1: *k1, k2: *k2 }
            }
            TempCurve::Points(file) => TemperatureCurve::Points(points(file)?),
        };
        let interval = match line.interval > 0.0 {
            true => Duration::try_from_secs_f64(line.interval).unwrap_or(Duration::MAX / 4).max(INTERVAL_MIN),
            false => INTERVAL_USUAL,
        };
        let sensor = line.sensor.clone();
        Ok(Some(Self { sensor, curve, interval, due: monotonic(), complained: false }))
    }

    /// When it is read next.
    pub(super) fn deadline(&self) -> Duration {
        self.due
    }

    /// Temperature, and what the oscillator gains, s/s.
    fn read(&self) -> Result<(f64, f64), String> {
        let text = sys::file::read_text_bounded(&self.sensor, SENSOR_BYTES_MAX).ok();
        let first = text.as_deref().and_then(|text| text.split_ascii_whitespace().next());
        let temperature = first.and_then(|word| word.parse::<f64>().ok()).filter(|value| value.is_finite());
        let temperature = temperature
            .ok_or_else(|| format!("Could not read temperature from {}", self.sensor.display()))?;
        let gains = self.curve.gains(temperature);
        // NaN is refused too.
        if gains.abs() <= COMPENSATION_MAX {
            return Ok((temperature, gains));
        }
        Err(format!(
            "Temperature compensation of {:.3} ppm exceeds sanity limit of {:.1}",
            gains * 1e6,
            COMPENSATION_MAX * 1e6
        ))
    }
}

fn points(file: &Path) -> Result<TemperaturePoints, String> {
    let text = sys::file::read_text_bounded(file, crate::FILE_BYTES_MAX).map_err(|error| {
        let (why, path) = (crate::events::reason(&error), file.display());
        format!("cannot read the points of tempcomp in {path}: {why}\nhelp: ls -l {path}")
    })?;
    TemperaturePoints::parse(&text).map_err(|error| {
        format!(
            "{}: {error}\nhelp: one point a line, from cold to warm, for example: 20000 1.0",
            file.display()
        )
    })
}

impl Daemon {
    /// Reads the sensor when it is time. While it cannot be read, the last compensation stays.
    pub(super) fn temperature_due(&mut self, now: Duration) {
        let Some(one) = self.temperature.as_mut().filter(|one| one.due <= now) else { return };
        one.due = now + one.interval;
        let read = one.read();
        let complained = std::mem::replace(&mut one.complained, read.is_err());
        match read {
            Ok((temperature, gains)) => {
                if let Err(error) = self.clock.compensate(gains) {
                    return self.log.say(&Happened::ClockFailed { why: error.to_string() });
                }
                let at = self.clock.now().0;
                let written = self.records.temperature(at, temperature, gains);
                self.record_failed(written);
            }
            Err(what) if !complained => self.log.say(&Happened::Warning { what }),
            Err(_) => {}
        }
    }
}
