//! A network of one's own, for suites that insist on a port: in it every port is free.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::install::is_root;
use crate::shell::{CannotRun, output, succeeds};

/// Runs this very program with these arguments, in a network that has only the loopback.
pub(super) fn enter(arguments: &[String]) -> Result<()> {
    let program = std::env::current_exe().context("our own program")?;
    let mut unshare = unshare();
    // PostgreSQL does not run as root, which one is in a network of one's own at first.
    let own = if is_root() {
        String::new()
    } else {
        let (uid, gid) = (id("-u")?, id("-g")?);
        format!("unshare --user --map-user={uid} --map-group={gid} ")
    };
    let script =
        format!("PATH=$PATH:/usr/sbin:/sbin; ip link set lo up && exec {own}\"$0\" \"$@\"");
    unshare.args(["sh", "-c", &script]).arg(program).args(arguments);
    match unshare.status().context("cannot run unshare")?.code() {
        Some(0) => Ok(()),
        Some(3) => Err(CannotRun("in a network of its own it could not run".to_owned()).into()),
        _ => bail!("it failed in a network of its own"),
    }
}

/// Whether [`enter`] would be let.
pub(super) fn check() -> Result<()> {
    if succeeds(unshare().arg("true")) && Path::new("/proc/self/ns/net").exists() {
        return Ok(());
    }
    let reason = "a network of one's own is needed for port 5433, and the kernel grants none: run it as root";
    Err(CannotRun(reason.to_owned()).into())
}

fn unshare() -> Command {
    let mut unshare = Command::new("unshare");
    unshare.arg("--net");
    if !is_root() {
        unshare.arg("--map-root-user");
    }
    unshare
}

fn id(flag: &str) -> Result<String> {
    Ok(output(Command::new("id").arg(flag))?.trim().to_owned())
}
