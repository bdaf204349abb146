//! What the kernel says of this process, from `/proc` (proc(5)). Nothing where it says nothing.
//!
//! Cost: five small files, a few microseconds each; open descriptors are not listed one by one
//! where the kernel counts them itself (Linux 6.2 and later).

use std::fs;

use tidegate_observe::snapshot::Process;

/// The kernel's unit of processor time in `/proc`: `USER_HZ`, 100 a second on every architecture
/// that Rust's Linux targets have (Linux, `include/asm-generic/param.h`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads it now.
pub(crate) fn facts() -> Process {
    let stat = read("/proc/self/stat");
    let (cpu_seconds, since_boot) = stat.as_deref().map_or((None, None), times);
    let boot = read("/proc/stat").as_deref().and_then(boot_seconds);
    Process {
        start_time_seconds: boot.zip(since_boot).map(|(boot, since_boot)| boot + since_boot),
        cpu_seconds,
        resident_memory_bytes: read("/proc/self/status").as_deref().and_then(resident_bytes),
        open_fds: open_fds(),
        max_fds: read("/proc/self/limits").as_deref().and_then(max_fds),
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Processor time used, and when the process started, in seconds since boot.
fn times(stat: &str) -> (Option<f64>, Option<f64>) {
    // The second field is the name in parentheses, which may hold blanks and parentheses.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    // Fields are numbered from 1, and two are cut off: utime is 14, stime 15, starttime 22.
    let seconds = |number: usize| {
        let ticks: f64 = fields.get(number - 3)?.parse().ok()?;
        Some(ticks / TICKS_PER_SECOND)
    };
    (seconds(14).zip(seconds(15)).map(|(user, system)| user + system), seconds(22))
}

fn boot_seconds(stat: &str) -> Option<f64> {
    value(stat, "btime ")?.parse().ok()
}

fn resident_bytes(status: &str) -> Option<u64> {
    let kibibytes: u64 = value(status, "VmRSS:")?.strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn max_fds(limits: &str) -> Option<u64> {
    // Soft limit, hard limit, unit. "unlimited" is no number and so absent.
    value(limits, "Max open files")?.split_ascii_whitespace().next()?.parse().ok()
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn open_fds() -> Option<u64> {
    let folder = "/proc/self/fd";
    let counted = fs::metadata(folder).ok()?.len();
    if counted > 0 {
        return Some(counted);
    }
    // Less the one that reads the folder.
    let listed = fs::read_dir(folder).ok()?.count();
    u64::try_from(listed).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_blanks_and_parentheses_moves_no_field() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 4 0 12345 9 9";
        let stat = format!("42 (tg ) (x) {fields}");
        assert_eq!(times(&stat.replace("(x)", "(x))")), (Some(3.0), Some(123.45)));
        assert_eq!(times("42 (tg"), (None, None));
    }

    #[test]
    fn lines_of_proc_are_read() {
        assert_eq!(boot_seconds("cpu 1 2\nbtime 1700000000\n"), Some(1.7e9));
        assert_eq!(resident_bytes("VmSize:\t 9 kB\nVmRSS:\t    2048 kB\n"), Some(2_097_152));
        let limits =
            "Max processes  1 1 processes\nMax open files            1024   524288   files\n";
        assert_eq!(max_fds(limits), Some(1024));
        assert_eq!(max_fds("Max open files  unlimited unlimited files"), None);
    }

    #[test]
    fn this_process_is_known_to_the_kernel() {
        let facts = facts();
        assert!(facts.resident_memory_bytes.is_some_and(|bytes| bytes > 100_000), "{facts:?}");
        assert!(facts.open_fds.is_some_and(|fds| fds >= 3), "{facts:?}");
        assert!(facts.start_time_seconds.is_some_and(|start| start > 1.6e9), "{facts:?}");
        assert!(facts.cpu_seconds.is_some(), "{facts:?}");
    }
}
