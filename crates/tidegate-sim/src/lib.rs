//! Whole gates, applications, and PostgreSQL in a world that follows from a seed.
//!
//! The gates are the real ones: the workers, machines, pools, and the budget of `tidegate-proxy` and
//! below. What is played is the rest: a network that delays, cuts, and breaks ([`net`]), a PostgreSQL
//! that counts, remembers, and dies ([`postgres`]), and applications that know what must be answered
//! ([`application`]). One thing happens after another ([`play`]), so that a run can be played again,
//! byte by byte, from its seed.

pub mod runs;

pub mod play;

pub mod conversation;

pub mod application;
pub mod postgres;
mod line;
mod takeover;
pub mod scenario;

mod frames;
pub mod net;
pub mod random;
