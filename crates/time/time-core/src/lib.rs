//! From many measurements to one clock: the sample filter, the selection of truthful sources, combining, and the clock
//! discipline. The equations stand in `docs/algorithm.md`.
//!
//! For: the time daemon, and the simulator that runs the same code against a clock whose error is known.
//!
//! Always: a source that disagrees with the majority does not move the clock; the clock is stepped only where `makestep`
//! allows it and never slewed faster than `maxslewrate`; whatever the samples say, no number that leaves here is NaN.
//!
//! Never: no socket, file, thread, clock read or random source. Time is an argument, the clock is the [`Clock`] trait.
#![forbid(unsafe_code)]

mod authentication;
mod card;
mod clock;
mod combine;
mod discipline;
mod drift;
mod fallback;
mod filter;
mod law;
mod leap;
mod manual;
mod max_change;
mod refclock;
mod rtc;
mod screening;
mod selection;
mod sim;
mod smoothing;
mod source;
mod steady;
mod temperature;
mod timekeeper;
mod timeline;

pub use authentication::{AuthSelectMode, Authenticity, AuthenticityMix};
pub use card::{CardClock, CardReading, CardSample, CardSettings, ReadingFilter};
pub use clock::{Clock, ClockError, LocalTime};
pub use discipline::{Discipline, DisciplineSettings, Drift, MakeStep, Moves, TimeEstimate};
pub use fallback::FallbackSettings;
pub use filter::{Estimate, FILTER_SAMPLES_MAX, Filter, FilterSample};
pub use leap::{LeapInfo, LeapTable, is_leap_day};
pub use manual::{MANUAL_SAMPLES_MAX, Manual, ManualFit, ManualSample};
pub use max_change::MaxChange;
pub use refclock::{PulseReference, Pulses, RefClockFilter, RefClockSettings};
pub use rtc::{RTC_SAMPLES_MAX, RealTimeClock, RtcLine, RtcStep};
pub use screening::{Path, Screening, ScreeningSettings, TooLong};
pub use selection::{Candidate, Interval, NoSelection, SelectionSettings, Verdict, select};
pub use sim::{SimClock, SimPath, SimRandom};
pub use smoothing::{Smoothing, SmoothingSettings, SmoothingState};
pub use source::{Exchange, Source, SourceSettings, SourceStatistics};
pub use temperature::{COMPENSATION_MAX, PointsError, TemperatureCurve, TemperaturePoints};
pub use timekeeper::{
    Event, HistorySample, LeapStatus, SourceId, SourceState, Timekeeper, TimekeeperSettings, Tracking,
};
