//! Node.js with the drivers that people use.

use std::path::Path;
use std::process::Command;

/// Runs `script` with arguments; its output when it succeeds.
///
/// # Panics
/// When it fails, with all that it printed, or when the packages are not there; the message says
/// what makes them.
pub fn run(script: &str, arguments: &[&str]) -> String {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/node/node_modules");
    assert!(modules.exists(), "no packages for Node.js: `cargo xtask test` installs them");
    let output = Command::new("node")
        .env("NODE_PATH", modules)
        .arg("--eval")
        .arg(script)
        .arg("--")
        .args(arguments)
        .output();
    let output = output.expect("Node.js starts");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the script failed\n{out}\n{err}");
    out.into_owned()
}
