//! How many of a cluster's backends serve the application, seen from outside.
//!
//! PostgreSQL writes into the title of each process whom it serves and what it does
//! (PostgreSQL 15, 28.1), and `/proc` shows titles to all. To ask `pg_stat_activity` instead would
//! take one of the few connections that are being counted.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate_scratch::wait::until;

use crate::demo::BETWEEN_PROBES;

/// Counts, again and again until `is_over`; answers the most seen at once.
pub(crate) fn most(postmaster: u32, role_and_database: &str, is_over: &AtomicBool) -> usize {
    let mut most = 0;
    let seen = until(Duration::MAX, BETWEEN_PROBES, || {
        most = most.max(count(postmaster, role_and_database));
        Ok::<_, std::convert::Infallible>(is_over.load(Ordering::Relaxed).then_some(()))
    });
    let (Ok(Some(())) | Ok(None)) = seen;
    most
}

/// The backends of this postmaster that serve `ROLE DATABASE` and have logged in.
pub(crate) fn count(postmaster: u32, role_and_database: &str) -> usize {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        // A process may end while we look at it, and then it is none.
        let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let title = String::from_utf8_lossy(&title);
        serves(&title, role_and_database)
            && fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| parent_in(&stat) == Some(postmaster))
    })
    .count()
}

/// From `postgres: app shop 127.0.0.1(51000) idle in transaction`, with zeroes behind it.
fn serves(title: &str, role_and_database: &str) -> bool {
    let title = title.trim_end_matches(['\0', ' ']);
    let Some(rest) = title.strip_prefix("postgres: ") else { return false };
    let Some(rest) = rest.strip_prefix(role_and_database) else { return false };
    let Some((address, activity)) = rest.strip_prefix(' ').and_then(|rest| rest.split_once(' '))
    else {
        return false;
    };
    // Before it has logged in, it may yet be refused.
    !address.is_empty() && !["initializing", "authentication", "startup"].contains(&activity)
}

/// The second field after the name, which is in parentheses and may hold anything (proc(5)).
fn parent_in(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_backends_that_have_logged_in_count() {
        for title in [
            "postgres: app shop 127.0.0.1(51000) idle in transaction\0\0",
            "postgres: app shop [local] SELECT",
        ] {
            assert!(serves(title, "app shop"), "{title}");
        }
        for title in [
            "postgres: app shop 127.0.0.1(51000) startup\0",
            "postgres: app shop 127.0.0.1(51000)",
            "postgres: app shopping 127.0.0.1(51000) idle",
            "postgres: checkpointer",
            "sleep 1000",
        ] {
            assert!(!serves(title, "app shop"), "{title}");
        }
    }

    #[test]
    fn the_parent_of_a_process_is_found_behind_any_name() {
        assert_eq!(parent_in("77 (a) b) S 42 77 0"), Some(42));
        assert_eq!(parent_in(""), None);
    }
}
