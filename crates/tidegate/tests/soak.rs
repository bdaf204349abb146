//! As `stress`, for three minutes and over a network that breaks: at the end nothing of it is left.
//! `full_soak` does it for an hour.

#[path = "stress/load.rs"]
mod load;

use std::time::Duration;

use crate::load::Load;

#[test]
fn nothing_crosses_or_is_lost_while_the_network_breaks() {
    load::run(&Load { clients: 40, lasts: Duration::from_secs(180), breaks: true });
}
