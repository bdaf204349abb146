//! Signals to processes that a test knows by their id.

use std::path::Path;
use std::process::Command;

/// Sends `signal` (`KILL`, `STOP`, `CONT`, …) to a process.
///
/// # Panics
/// When `kill` is missing, or the process is.
pub fn signal(pid: impl ToString, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &pid.to_string()]).status();
    assert!(status.expect("kill exists").success(), "there is no process {}", pid.to_string());
}

/// Whether a process exists.
pub fn exists(pid: impl ToString) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}
