//! Why the demo could not be shown.

use std::io;
use std::time::Duration;

use tidegate_scratch::ScratchError;

use crate::demo::child::Program;

/// Why the demo could not be shown. Nothing that it started is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DemoError {
    /// A program that the demo started has ended by itself.
    #[error("{program} has ended; its last words:\n{log}")]
    Ended { program: Program, log: String },
    /// The system refused something.
    #[error("cannot {action}")]
    Io { action: &'static str, source: io::Error },
    /// No Python has the packages of the application.
    #[error(
        "no Python with FastAPI, uvicorn, SQLAlchemy, and asyncpg found:\n  {tried}\n\
         `cargo xtask demo` installs it, and `--python PATH` says where it is"
    )]
    NoPython { tried: String },
    /// A program that the demo started does not answer.
    #[error("{program} was not ready within {} s; its last words:\n{log}", waited.as_secs())]
    NotReady { program: Program, waited: Duration, log: String },
    /// The throwaway PostgreSQL failed.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// The app ended, and its connections to PostgreSQL did not.
    #[error("{connections} connections of the app were still open after {} s", waited.as_secs())]
    StillConnected { connections: usize, waited: Duration },
}

impl DemoError {
    pub(crate) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}
