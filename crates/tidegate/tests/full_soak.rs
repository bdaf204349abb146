//! As `soak`, for an hour.

#[path = "stress/load.rs"]
mod load;

use std::time::Duration;

use crate::load::Load;

#[test]
fn nothing_crosses_or_is_lost_within_an_hour() {
    load::run(&Load { clients: 40, lasts: Duration::from_secs(3600), breaks: true });
}
