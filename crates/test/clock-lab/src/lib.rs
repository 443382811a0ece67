//! The clock discipline in a simulated world: one host with a bad oscillator, its time servers and the network between them.
//!
//! For: measuring what the time daemon's own parts (ntp-proto's [`ntp_proto::Client`] and [`ntp_proto::Server`], time-core's
//! [`time_core::Timekeeper`]) make of a clock whose error is known, with the model of the simulator clknetsim (its README):
//! a frequency error that takes a normal step each second, exponential jitter, loss, figures taken once a second.
//!
//! Always: the same seed gives the same history; every packet that a figure names was made and parsed by the real machines.
//!
//! Never: it reads no real clock or socket, and knows nothing of how the discipline works inside.
#![forbid(unsafe_code)]

mod figures;
pub mod host;
mod scenario;
mod world;

pub use figures::{Figures, Spread, measure};
pub use scenario::{Chrony, SCENARIOS, Scenario};
pub use world::{HostSettings, LeapMode, Lie, Path, Route, ServerSettings, World};
