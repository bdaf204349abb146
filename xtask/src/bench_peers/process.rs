//! What the kernel says of a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// The time that all its threads have run, in user mode and in the kernel.
pub(super) fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| path.clone())?;
    let ticks = ticks(&stat).with_context(|| format!("{path}: {stat}"))?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Memory that it has in RAM, shared pages included; kB are 1024 bytes, as the kernel counts.
pub(super) fn resident_kilobytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = fs::read_to_string(&path).with_context(|| path.clone())?;
    resident(&rollup).with_context(|| format!("{path}: {rollup}"))
}

/// `utime` and `stime`, the 14th and 15th field; the second is a name in parentheses that may
/// hold anything (proc(5)).
fn ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut field = || fields.next()?.parse::<u64>().ok();
    Some(field()? + field()?)
}

fn resident(rollup: &str) -> Option<u64> {
    let rest = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// `sysconf(_SC_CLK_TCK)`, which is 100 on all that Linux runs on but Alpha and Itanium.
const TICKS_PER_SECOND: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 901 0 3 0 120 34 5 6 20 0 2 0 77 1 2";
        assert_eq!(ticks(stat), Some(154));
        assert_eq!(ticks("42 (short) S 1 42"), None);
    }

    #[test]
    fn resident_memory_is_the_line_of_that_name() {
        let rollup =
            "55d0-7ffe ---p 00000000 00:00 0    [rollup]\nRss:    4280 kB\nPss:    900 kB\n";
        assert_eq!(resident(rollup), Some(4280));
        assert_eq!(resident("Pss: 1 kB\n"), None);
    }
}
