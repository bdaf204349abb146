//! `cargo xtask fuzz`: builds the program in `fuzz/` and runs it. What it does stands there.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::shell::{self, cargo, root};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(value_enum)]
    target: Target,
    /// How long
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Where the generator starts; drawn and printed if left out
    #[arg(long)]
    seed: Option<u64>,
    /// Runs this one input and nothing else
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seconds", "seed"])]
    replay: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Target {
    /// Bytes into every decoder of `tidegate-wire`
    Wire,
    /// Bytes into the machines of `tidegate-session`
    Session,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut fuzz = program(arguments.target);
    match (&arguments.replay, arguments.seed) {
        (Some(file), _) => fuzz.arg("--replay").arg(std::path::absolute(file)?),
        (None, Some(seed)) => fuzz.args(["--seed", &seed.to_string()]),
        (None, None) => &mut fuzz,
    };
    shell::run(fuzz.args(["--seconds", &arguments.seconds.to_string()]))
}

/// For CI: each target for a short time, always from the same seed. A change is to be blamed only
/// for what it broke; finding what nobody has found yet is the work of longer runs.
pub(crate) fn smoke() -> Result<()> {
    let manifest = manifest();
    shell::run(cargo(["fmt", "--check", "--manifest-path"]).arg(&manifest))?;
    let clippy = ["--all-targets", "--", "-D", "warnings"];
    shell::run(in_target_dir(cargo(["clippy", "--quiet", "--release"])).args(clippy))?;
    shell::run(&mut in_target_dir(cargo(["test", "--quiet", "--release"])))?;
    for target in [Target::Wire, Target::Session] {
        shell::run(program(target).args(["--seed", "1", "--seconds", "10"]))?;
    }
    Ok(())
}

fn program(target: Target) -> Command {
    let name = match target {
        Target::Wire => "wire",
        Target::Session => "session",
    };
    let mut command = in_target_dir(cargo(["run", "--quiet", "--release"]));
    command.args(["--", name]);
    command
}

/// Not in the workspace's own: there it would wait for, and hold up, every other build.
fn in_target_dir(mut command: Command) -> Command {
    command.arg("--manifest-path").arg(manifest());
    command.arg("--target-dir").arg(root().join("target/fuzz"));
    command
}

fn manifest() -> PathBuf {
    root().join("fuzz/Cargo.toml")
}
