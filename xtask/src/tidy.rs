//! `cargo xtask tidy`: rules that no compiler checks. Each finding names file and cure.

pub(crate) mod layers;
mod modules;
mod manifests;
mod sources;
mod links;
mod tokens;
mod files;

use anyhow::{Result, bail};

use crate::shell::root;
use crate::workspace;

pub(crate) fn run() -> Result<()> {
    let workspace = workspace::read()?;
    let mut findings = layers::check(&layers::read()?, &workspace.packages);
    for package in &workspace.packages {
        findings.extend(manifests::check(package)?);
        findings.extend(modules::check(&package.folder(), root())?);
    }
    findings.extend(sources::check(root())?);
    findings.extend(links::check(root())?);
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if !findings.is_empty() {
        bail!("{} to tidy", findings.len());
    }
    Ok(())
}
