//! As `stress`, with many more clients and for minutes.

#[path = "stress/load.rs"]
mod load;

use std::time::Duration;

use crate::load::Load;

#[test]
fn nothing_crosses_five_hundred_clients_whatever_happens() {
    load::run(&Load { clients: 500, lasts: Duration::from_secs(130), breaks: false });
}
