//! The command line. People use `cargo xtask fuzz`, which has the help.

use std::path::PathBuf;

/// What is fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Wire,
    Session,
}

impl Target {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::Session => "session",
        }
    }

    pub(crate) fn run(self, input: &[u8]) {
        match self {
            Self::Wire => tidegate_wire::fuzzing::everything(input),
            Self::Session => tidegate_session::fuzzing::everything(input),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) target: Target,
    pub(crate) seconds: u32,
    pub(crate) seed: Option<u64>,
    pub(crate) replay: Option<PathBuf>,
}

impl Arguments {
    /// `TARGET [--seconds N] [--seed N] [--replay FILE]`.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let target = match words.next().as_deref() {
            Some("wire") => Target::Wire,
            Some("session") => Target::Session,
            other => return Err(format!("no target {other:?}; there are wire and session")),
        };
        let mut arguments = Self { target, seconds: 60, seed: None, replay: None };
        while let Some(flag) = words.next() {
            let value = words.next().ok_or_else(|| format!("{flag} needs a value"))?;
            let no_number = |_| format!("{flag}: {value} is no number");
            match flag.as_str() {
                "--seconds" => arguments.seconds = value.parse().map_err(no_number)?,
                "--seed" => arguments.seed = Some(value.parse().map_err(no_number)?),
                "--replay" => arguments.replay = Some(value.into()),
                _ => return Err(format!("unknown flag {flag}")),
            }
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_are_understood_and_nonsense_is_refused() {
        let wanted = Arguments { target: Target::Wire, seconds: 5, seed: Some(7), replay: None };
        assert_eq!(parse("wire --seconds 5 --seed 7"), Ok(wanted));
        for nonsense in ["", "tcp", "wire --seed", "wire --seed x", "wire --loud yes"] {
            assert!(parse(nonsense).is_err(), "{nonsense}");
        }
    }
}
