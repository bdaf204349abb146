//! File descriptors: raised to what the kernel allows, and checked against what is promised.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections that may be in the midst of a login, beyond `clients_max`: those that will be told
/// that there is no room, and cancel requests, which must get through when all is full. Each
/// costs a descriptor and some 2 kB; what comes beyond them waits in the kernel's backlog.
pub const LOGINS_MAX: u32 = 1024;

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
    let fixed = u64::from(LOGINS_MAX) + 2 * u64::from(servers_max) + OTHER_MAX;
    let needed = u64::from(clients_max) + fixed;
    let room = u32::try_from(limit.saturating_sub(fixed)).unwrap_or(u32::MAX);
    Descriptors { limit, needed, clients_max: clients_max.min(room) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_descriptors_lower_the_number_of_clients() {
        assert_eq!(allow(20_000, 10_000, 200).clients_max, 10_000);
        assert_eq!(allow(4096, 10_000, 200).clients_max, 4096 - 1024 - 400 - 128);
        assert_eq!(allow(100, 10_000, 200).clients_max, 0);
        assert_eq!(allow(u64::MAX, 10_000, 200).clients_max, 10_000);
    }
}
