//! The Python environment with the drivers that people use.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter of the environment that `cargo xtask test` makes.
///
/// # Panics
/// When it is not there; the message says what makes it.
pub fn interpreter() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = root.join("target/python/bin/python");
    assert!(python.exists(), "no Python environment: `cargo xtask test` installs it");
    python
}

/// Runs `script` with arguments; its output when it succeeds.
///
/// # Panics
/// When it fails, with all that it printed.
pub fn run(script: &str, arguments: &[&str]) -> String {
    let output = Command::new(interpreter()).arg("-c").arg(script).args(arguments).output();
    let output = output.expect("the interpreter starts");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the script failed\n{out}\n{err}");
    out.into_owned()
}
