//! When a child that was started can be used.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate_scratch::wait::until;

use crate::demo::BETWEEN_PROBES;
use crate::demo::child::{Program, Running};
use crate::demo::error::DemoError;
use crate::demo::http;

/// Waits until `path` is answered with 200 and the log satisfies `log_says_so`.
pub(crate) fn wait_until_ready(
    program: Program,
    running: &mut Running,
    address: SocketAddr,
    path: &str,
    log_says_so: impl Fn(&str) -> bool,
) -> Result<(), DemoError> {
    let ready = until(START_MAX, BETWEEN_PROBES, || {
        if !running.is_alive() {
            return Err(DemoError::Ended { program, log: running.log_tail() });
        }
        let is_ready = http::get(address, path, ANSWER_MAX)
            .is_ok_and(|answer| answer.status == 200)
            && log_says_so(&running.log_text());
        Ok(is_ready.then_some(()))
    })?;
    ready.ok_or_else(|| DemoError::NotReady { program, waited: START_MAX, log: running.log_tail() })
}

/// Four Pythons that import at the same time take four seconds on two idle cores; this is for
/// machines that are slow, cold, and busy.
const START_MAX: Duration = Duration::from_secs(60);
const ANSWER_MAX: Duration = Duration::from_secs(5);
