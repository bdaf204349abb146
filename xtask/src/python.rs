//! The Python packages of the demo and of the driver tests, in an environment of their own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::shell::{command, root, run};

/// The folder of the environment, below `target/`: made, and filled with what
/// `drivers/requirements.txt` pins, unless that has been done already.
pub(crate) fn ready() -> Result<PathBuf> {
    let folder = root().join("target/python");
    let requirements = root().join("drivers/requirements.txt");
    let wanted = fs::read_to_string(&requirements).context("drivers/requirements.txt")?;
    // Written last, so that an interrupted installation is done again.
    let stamp = folder.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    run(command("python3", ["-m", "venv", "--clear"]).arg(&folder))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    run(command(program(&folder), pip).arg(&requirements))?;
    fs::write(&stamp, wanted).context("target/python/installed.txt")?;
    Ok(folder)
}

pub(crate) fn program(folder: &Path) -> PathBuf {
    folder.join("bin/python")
}
