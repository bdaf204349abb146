//! Clients of both ports at a few servers, for some seconds: nothing ever crosses from one to
//! another. `full_stress` is the same with more of everything.

#[path = "stress/load.rs"]
mod load;

use std::time::Duration;

use crate::load::Load;

#[test]
fn nothing_crosses_clients_whatever_happens() {
    load::run(&Load { clients: 60, lasts: Duration::from_secs(10), breaks: false });
}
