//! What breaks around a gate, on real processes: PostgreSQL's are killed and stopped, the network
//! is cut, silent, or half-open, and limits are reached. Each test says what clients see, that
//! nobody gets what is another's, that no slot is lost, and what the metrics tell.
//!
//! What restarts and full servers do without a load stands in `upstream.rs`, slow readers in
//! `streams.rs`, and silent logins in `bad_input.rs`.

#[path = "faults/postgres.rs"]
mod postgres;
#[path = "faults/network.rs"]
mod network;
#[path = "faults/cancels.rs"]
mod cancels;
#[path = "faults/access.rs"]
mod access;
#[path = "faults/resources.rs"]
mod resources;
#[path = "faults/load.rs"]
mod load;
#[path = "faults/stage.rs"]
mod stage;
