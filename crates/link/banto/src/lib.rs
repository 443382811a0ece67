//! The one executable: up, status, doctor, tour, and every program of the house by name.
#![forbid(unsafe_code)]
