//! Steps that `check` and `test` share.

use anyhow::{Result, bail};

use crate::shell::{cargo, run};
use crate::tidy;

/// Format, lints, and what [`tidy`] looks at. All of them run; what failed is named at the end.
pub(crate) fn static_checks() -> Vec<(&'static str, Result<()>)> {
    vec![
        ("format", run(&mut cargo(["fmt", "--all", "--check"]))),
        ("clippy", run(&mut cargo(CLIPPY.iter().copied()))),
        ("tidy", tidy::run()),
    ]
}

/// Nothing if all went well, otherwise the names of what did not; the reasons are shown here.
pub(crate) fn verdict(results: Vec<(&'static str, Result<()>)>) -> Result<()> {
    let mut failed = Vec::new();
    for (name, result) in results {
        if let Err(error) = result {
            eprintln!("{name}: {error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

const CLIPPY: &[&str] =
    &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
