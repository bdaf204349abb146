//! What a command of the binary says, on which stream, and how it ends.

use std::path::Path;
use std::process::{Command, Stdio};

/// How a command ended, and what it said.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub out: String,
    /// What it said on stderr.
    pub err: String,
}

impl Outcome {
    /// That it did what was asked, with nothing on stderr; what it printed.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn done(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// That it ended with `code` and printed nothing; what it said on stderr.
    ///
    /// # Panics
    /// When it ended in another way, or told the secret of the tests.
    #[track_caller]
    pub fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{}", self.err);
        assert!(!self.err.contains("hunter2"), "a secret was told: {}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self.err
    }
}

/// Runs `binary` in `folder`, with `env` and nothing else of ours, up to its end.
///
/// # Panics
/// When it can't be run, or says what is no text.
pub fn run(binary: &str, folder: &Path, env: &[(&str, &str)], arguments: &[&str]) -> Outcome {
    let mut command = Command::new(binary);
    command.args(arguments).current_dir(folder).env_clear().envs(env.iter().copied());
    let output = command.stdin(Stdio::null()).output().expect("the binary runs");
    Outcome {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("it prints text"),
        err: String::from_utf8(output.stderr).expect("it says text"),
    }
}
