//! Exit codes, and how an error is said last.

use std::fmt::Display;
use std::process::ExitCode;

/// The answer is no.
pub(crate) const NO: u8 = 1;
/// Usage or configuration.
pub(crate) const USAGE: u8 = 2;
/// Could not run.
pub(crate) const UNABLE: u8 = 3;

/// Says `error` on stderr and ends with `code`.
pub(crate) fn with(code: u8, error: &dyn Display) -> ExitCode {
    eprintln!("tidegate: {error}");
    ExitCode::from(code)
}

/// Success, or the error on stderr and "could not run".
pub(crate) fn of<E: Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => with(UNABLE, &error),
    }
}
