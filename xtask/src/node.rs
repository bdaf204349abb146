//! The packages of the driver tests for Node.js, in a folder of their own.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::shell::{command, root, run};

/// Where the packages are: `target/node` has then what `drivers/package-lock.json` pins.
pub(crate) fn ready() -> Result<PathBuf> {
    let folder = root().join("target/node");
    let modules = folder.join("node_modules");
    let mut wanted = Vec::new();
    for name in FILES {
        let text = fs::read_to_string(root().join("drivers").join(name));
        wanted.push((name, text.with_context(|| format!("drivers/{name}"))?));
    }
    let all: String = wanted.iter().map(|(_, text)| text.as_str()).collect();
    // Written last, so that an interrupted installation is done again.
    let stamp = folder.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == all) {
        return Ok(modules);
    }
    fs::create_dir_all(&folder).context("target/node")?;
    for (name, text) in wanted {
        fs::write(folder.join(name), text).with_context(|| format!("target/node/{name}"))?;
    }
    // Nothing in the packages needs a script of its own to be installed.
    let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    run(command("npm", install).current_dir(&folder))?;
    fs::write(&stamp, all).context("target/node/installed.txt")?;
    Ok(modules)
}

const FILES: [&str; 2] = ["package.json", "package-lock.json"];
