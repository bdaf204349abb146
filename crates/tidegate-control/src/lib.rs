//! What answers everything that is not a query: metrics, health, and status.
//!
//! It runs beside the workers on one tokio runtime and looks at what they share; nothing here is
//! on the path of a query. [`web`] serves what [`tidegate_observe`] renders, [`status`] is the
//! client of it that the command line uses; [`console`] is the admin console, for whoever logs in to it.

pub mod census;
pub mod lookups;
pub mod console;
pub mod web;
mod operations;
mod kill;
pub mod lifecycle;
mod ledger;
mod lists;

pub mod reload;

mod admission;
mod gathering;

pub mod link;

pub mod open;
pub mod secure;

pub mod status;

mod process;
