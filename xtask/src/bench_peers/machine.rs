//! Where the numbers come from: the machine, and the versions of what was compared.

use std::fs;
use std::thread::available_parallelism;

use anyhow::{Context as _, Result};

use crate::bench_peers::peers::Peers;
use crate::shell::{command, output};

/// The machine in a line, and how busy it is now.
pub(super) fn describe() -> Result<String> {
    let read = |path: &str| fs::read_to_string(path).with_context(|| path.to_owned());
    let (cpuinfo, meminfo) = (read("/proc/cpuinfo")?, read("/proc/meminfo")?);
    // Not every architecture has a name for its model.
    let model = field(&cpuinfo, "model name").unwrap_or(std::env::consts::ARCH);
    let memory =
        field(&meminfo, "MemTotal").and_then(|value| value.split(' ').next()?.parse().ok());
    let memory: u64 = memory.context("/proc/meminfo")?;
    let cores = available_parallelism().context("the number of cores")?;
    let (kernel, load) = (read("/proc/sys/kernel/osrelease")?, read("/proc/loadavg")?);
    let load = load.split(' ').next().unwrap_or_default();
    Ok(format!(
        "Machine: {model}, {cores} cores, {} GB, Linux {}; load average at the start {load}",
        // In GiB, rounded: the kernel keeps a part of what was bought.
        (memory + (1 << 19)) >> 20,
        kernel.trim(),
    ))
}

/// What was compared, and on what. A program that we have not built may be of any commit, and
/// sources that were unpacked have none.
pub(super) fn versions(peers: &Peers, is_built_here: bool) -> Result<String> {
    let tidegate = output(command(&peers.tidegate, ["version"]).env_remove("DATABASE_URL"))?;
    let commit = if is_built_here { commit().ok() } else { None };
    let commit = commit.unwrap_or_else(|| "unknown".to_owned());
    let pgbouncer = output(&mut command(&peers.pgbouncer, ["--version"]))?;
    Ok(format!(
        "Versions: {}, commit {commit}; {}; PostgreSQL {}",
        tidegate.trim(),
        pgbouncer.lines().next().unwrap_or_default(),
        peers.upstream.version()?
    ))
}

fn commit() -> Result<String> {
    let commit = output(&mut command("git", ["rev-parse", "--short=10", "HEAD"]))?;
    let changes = output(&mut command("git", ["status", "--porcelain", "--untracked-files=no"]))?;
    let changed = if changes.is_empty() { "" } else { " with changes" };
    Ok(format!("{}{changed}", commit.trim()))
}

/// The value of a line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(found, _)| found.trim() == name).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_are_found_by_their_whole_name() {
        let cpuinfo = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC 7571\n";
        assert_eq!(field(cpuinfo, "model name"), Some("AMD EPYC 7571"));
        assert_eq!(field(cpuinfo, "vendor_id"), None);
    }
}
