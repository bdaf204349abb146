//! Programs that run a driver's tests and say on stdout what became of each.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::drivers::outcome::{self, Outcomes};

/// Runs the program to its end. One that ends badly has told only a part.
pub(super) fn run(command: &Command) -> Result<Outcomes> {
    outcome::from_lines(&output(command, &[0])?)
}

/// What a program writes to stdout, when its exit code is one of these; what it says else is shown
/// only when it is not.
pub(super) fn output(command: &Command, codes: &[i32]) -> Result<String> {
    let mut limited = Command::new("timeout");
    limited.args(["--kill-after=10", SECONDS_MAX]).arg(command.get_program());
    limited.args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        limited.current_dir(folder);
    }
    let program = command.get_program().display();
    let output = limited.output().with_context(|| format!("cannot run {program}"))?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.code().is_some_and(|code| codes.contains(&code)) {
        bail!(
            "{program} has ended with {}\n{}\n{}",
            output.status,
            last_lines(&text(&output.stdout)),
            last_lines(&text(&output.stderr))
        );
    }
    Ok(text(&output.stdout))
}

/// The end of what was said, which is mostly the reason for it.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LINES_MAX)..].join("\n")
}

/// The longest suite takes two minutes on two slow cores; one that hangs is ended.
const SECONDS_MAX: &str = "900";
const LINES_MAX: usize = 25;
