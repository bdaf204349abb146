//! Every metric, its unit, and how it is shown.
//!
//! Counters that workers move live here as atomics ([`traffic`], [`front`]); what the pools count
//! comes as a look at them. Both are joined in one [`snapshot`], from which everything is
//! rendered: [`openmetrics`] for scrapers, JSON for the API, and lines for a terminal. What errors
//! mean, ours and others', is in [`explain`].

pub mod openmetrics;
pub mod report;
pub mod snapshot;
pub mod ledger;

pub mod traffic;
pub mod front;

pub mod explain;

pub mod counter;
