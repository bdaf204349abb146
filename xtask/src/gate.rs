//! The gate, built.

use std::path::PathBuf;

use anyhow::Result;

use crate::shell::{cargo, root, run};

/// As users run it. Says where it is.
pub(crate) fn build_release() -> Result<PathBuf> {
    let target = root().join("target");
    run(cargo(["build", "--release", "--package", "tidegate", "--target-dir"]).arg(&target))?;
    Ok(target.join("release/tidegate"))
}

/// As its tests run it, with debug assertions: a defect ends it with a message. Says where it is.
pub(crate) fn build_debug() -> Result<PathBuf> {
    let target = root().join("target");
    let build = ["build", "--workspace", "--bin", "tidegate", "--target-dir"];
    run(cargo(build).arg(&target))?;
    Ok(target.join("debug/tidegate"))
}
