//! What the kernel allows: file descriptors, which are raised and checked against what is promised, and
//! memory.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections that may be in the midst of a login, beyond `clients_max`: those that will be told
/// that there is no room, and cancel requests, which must get through when all is full. Each
/// costs a descriptor and some 2 kB; what comes beyond them waits in the kernel's backlog.
pub const LOGINS_MAX: u32 = 1024;

/// Places among the clients that only visitors of the console may take, so that an operator gets in when
/// all others are taken: one or two people with a terminal each, an exporter on each port, and what is
/// left of those whose network has gone.
pub const CONSOLE_PLACES: u32 = 8;

/// Everything that is neither client nor server: listeners, epoll, logs, the control plane's
/// scrapers.
const OTHER_MAX: u64 = 128;

/// What the descriptors allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// The limit in force now.
    pub limit: u64,
    /// What the settings may need.
    pub needed: u64,
    /// Clients that can be served; less than `clients_max` when descriptors are short.
    pub clients_max: u32,
}

/// Raises the soft limit to the hard one and says how many clients there can be.
pub fn raise(clients_max: u32, servers_max: u32) -> Descriptors {
    let now = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: now.maximum, maximum: now.maximum };
    // A refusal leaves the old limit, which is then what counts.
    let _ = setrlimit(Resource::Nofile, wanted);
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    allow(limit, clients_max, servers_max)
}

fn allow(limit: u64, clients_max: u32, servers_max: u32) -> Descriptors {
    // Each server may have a connection that carries a cancel for it beside it.
    let fixed =
        u64::from(LOGINS_MAX) + u64::from(CONSOLE_PLACES) + 2 * u64::from(servers_max) + OTHER_MAX;
    let needed = u64::from(clients_max) + fixed;
    let room = u32::try_from(limit.saturating_sub(fixed)).unwrap_or(u32::MAX);
    Descriptors { limit, needed, clients_max: clients_max.min(room) }
}

/// Memory for clients where nobody says what the process may have.
pub const MEMORY_MAX_UNKNOWN: u64 = 256 << 20;

/// A quarter of what the process may have: the least of the machine's memory and the limits of the
/// groups that it is in (cgroups(7)).
pub fn memory_max() -> u64 {
    let root = Path::new("/sys/fs/cgroup");
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.as_deref().and_then(machine_bytes);
    let least = group_bytes(root, &groups).into_iter().chain(machine).min();
    least.map_or(MEMORY_MAX_UNKNOWN, |bytes| bytes / 4)
}

fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The least limit of the groups that `groups` names (`/proc/self/cgroup`), and of those above them. A
/// container may see its own group as the root, so that is always looked at, too.
fn group_bytes(root: &Path, groups: &str) -> Option<u64> {
    let limit = |file: &Path| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = root.join(path.trim_start_matches('/'));
        let above = group.ancestors().take_while(|folder| folder.starts_with(&root));
        limits.extend(above.filter_map(|folder| limit(&folder.join(file))));
        limits.extend(limit(&root.join(file)));
    }
    limits.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_of_all_groups_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let file = folder.path().join(path);
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(file, text).expect("a file");
        };
        let bytes = |groups| group_bytes(folder.path(), groups);
        assert_eq!(bytes("0::/a/b\n"), None);
        write("a/b/memory.max", "max\n");
        write("a/memory.max", "536870912\n");
        assert_eq!(bytes("0::/a/b\n"), Some(512 << 20));
        write("memory.max", "1048576\n");
        assert_eq!(bytes("0::/\n"), Some(1 << 20), "as in a container");
        assert_eq!(bytes("0::/../..\n"), Some(1 << 20), "as in another's container");
        write("memory/c/memory.limit_in_bytes", "4096\n");
        assert_eq!(bytes("5:cpu:/x\n4:hugetlb,memory:/c\n0::/\nnonsense"), Some(4096));
        assert_eq!(machine_bytes("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert!(memory_max() >= 1 << 20);
    }

    #[test]
    fn too_few_descriptors_lower_the_number_of_clients() {
        assert_eq!(allow(20_000, 10_000, 200).clients_max, 10_000);
        assert_eq!(allow(4096, 10_000, 200).clients_max, 4096 - 1024 - 8 - 400 - 128);
        assert_eq!(allow(100, 10_000, 200).clients_max, 0);
        assert_eq!(allow(u64::MAX, 10_000, 200).clients_max, 10_000);
    }
}
