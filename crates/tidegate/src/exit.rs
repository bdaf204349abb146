//! Exit codes, and how an error is said last.

use std::error::Error;
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

/// Success, or the error with its causes on stderr and "could not run".
pub(crate) fn of<E: Error>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut words = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                words = format!("{words}: {error}");
                cause = error.source();
            }
            with(UNABLE, &words)
        }
    }
}
