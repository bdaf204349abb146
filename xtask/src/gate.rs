//! The gate as users run it: the release build.

use std::path::PathBuf;

use anyhow::Result;

use crate::shell::{cargo, root, run};

/// Builds it and says where it is.
pub(crate) fn build_release() -> Result<PathBuf> {
    let target = root().join("target");
    run(cargo(["build", "--release", "--package", "tidegate", "--target-dir"]).arg(&target))?;
    Ok(target.join("release/tidegate"))
}
