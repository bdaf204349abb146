//! What can go wrong with a throwaway cluster, in the words of whoever must act.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// Why a throwaway cluster could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScratchError {
    /// No PostgreSQL server programs on this machine, or none of the wanted version.
    #[error(
        "no {} found in {}; `cargo xtask test` installs it",
        .major.map_or_else(|| "PostgreSQL server".to_owned(), |major| format!("PostgreSQL {major} server")),
        .searched.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", "),
    )]
    NoInstallation {
        /// The major version that was wanted; `None` for any.
        major: Option<u32>,
        /// The folders in which `postgres` was looked for.
        searched: Vec<PathBuf>,
    },
    /// We are root, and there is no user to run PostgreSQL as.
    #[error("PostgreSQL does not run as root, and /etc/passwd has no user \"postgres\"")]
    NoAccount,
    /// The shared folder for templates exists and belongs to somebody else.
    #[error("{} belongs to user id {owner}, not to {wanted}; remove it", .folder.display())]
    ForeignFolder {
        /// The folder in question.
        folder: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who should.
        wanted: u32,
    },
    /// The operating system refused something.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// What was attempted, as a verb.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// A program that we ran said no.
    #[error("{program} failed ({status}): {stderr}")]
    Program {
        /// The program and its arguments.
        program: String,
        /// Its exit status.
        status: String,
        /// What it wrote to stderr.
        stderr: String,
    },
    /// PostgreSQL ended instead of taking connections.
    #[error("PostgreSQL did not start; its log ends with:\n{log}")]
    NotStarted {
        /// The end of the log.
        log: String,
    },
    /// PostgreSQL runs, but did not take connections in time.
    #[error("PostgreSQL took no connections within {waited:?}; its log ends with:\n{log}")]
    NotReady {
        /// How long we waited.
        waited: Duration,
        /// The end of the log.
        log: String,
    },
    /// PostgreSQL did not end in time; it still runs.
    #[error("PostgreSQL still runs {waited:?} after it was asked to stop")]
    NotStopped {
        /// How long we waited.
        waited: Duration,
    },
    /// The cluster is stopped and the call needs it running, or the other way round.
    #[error("the cluster is {actual}")]
    WrongState {
        /// `running` or `stopped`.
        actual: &'static str,
    },
    /// `psql` reported an error.
    #[error("{stderr}")]
    Sql {
        /// What `psql` wrote to stderr.
        stderr: String,
    },
}

impl ScratchError {
    /// For `map_err`: what was attempted, and on what.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, path: path.to_owned(), source }
    }
}

/// Runs `command` to its end; anything but success is an error with its stderr.
pub(crate) fn run(command: &mut Command) -> Result<Output, ScratchError> {
    let output =
        command.output().map_err(ScratchError::io("run", Path::new(command.get_program())))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(ScratchError::Program {
        program: format!("{command:?}"),
        status: output.status.to_string(),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
