//! Problems: what is wrong with a setting, where it stands, and what to write instead.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written. The order is the order in which problems are listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Nowhere: something is missing, or the value is a default.
    Nowhere,
    /// In the settings file; line and column (in characters) count from 1.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// In a variable of the environment.
    Env(String),
    /// On the command line, for the setting of this name.
    Flag(String),
}

impl fmt::Display for Place {
    /// Ends in `: ` so that a message can follow, or is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => Ok(()),
            // A line of 0 says that the file as a whole is meant.
            Self::File { path, line: 0, .. } => write!(f, "{}: ", path.display()),
            Self::File { path, line, column } => {
                write!(f, "{}:{line}:{column}: ", path.display())
            }
            Self::Env(name) => write!(f, "environment variable {name}: "),
            Self::Flag(name) => write!(f, "command line, {name}: "),
        }
    }
}

/// Which source a setting's value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nothing set it.
    Default,
    /// The variable of the environment with this name.
    Env(String),
    /// The command line.
    Flag,
    /// The settings file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line of the value, from 1.
        line: usize,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Env(name) => write!(f, "env {name}"),
            Self::Flag => f.write_str("flag"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

impl From<&Place> for Origin {
    fn from(place: &Place) -> Self {
        match place {
            Place::Nowhere => Self::Default,
            Place::File { path, line, .. } => Self::File { path: path.clone(), line: *line },
            Place::Env(name) => Self::Env(name.clone()),
            Place::Flag(_) => Self::Flag,
        }
    }
}

/// One thing that is wrong, or, as a warning, one thing that is probably not meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// What is wrong, with the allowed range; never a secret.
    pub message: String,
    /// What to do instead, where that is more than the message says.
    pub remedy: Option<String>,
}

impl Problem {
    pub(crate) fn new(place: &Place, message: impl Into<String>) -> Self {
        Self { place: place.clone(), message: message.into(), remedy: None }
    }

    /// A problem whose place is not known.
    pub fn nowhere(message: impl Into<String>) -> Self {
        Self::new(&Place::Nowhere, message)
    }

    pub(crate) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.place, self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n  {remedy}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with the settings, in the order of the file. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    /// One paragraph for each problem.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}
