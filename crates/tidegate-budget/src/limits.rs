//! The arithmetic of the limit: plan, live server, headroom, foreign connections.
//!
//! Source: PostgreSQL refuses an ordinary login when, after taking its own place, fewer than
//! `superuser_reserved_connections + reserved_connections` places of `max_connections` are left
//! (`InitPostgres`, PostgreSQL 15 and 16). So all client backends together, whoever owns them,
//! may be at most `max_connections` less the two.

use std::fmt;

/// The budget while nothing at all is known of a limit: neither a plan, nor a setting, nor the
/// server's own (an upstream that is itself a pooler tells nothing true). It is the smallest
/// limit that managed PostgreSQL services sell, so it is safe everywhere.
pub const CONNECTIONS_WHEN_UNKNOWN: u32 = 15;

/// What the live server says of its own limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// `max_connections`.
    pub max_connections: u32,
    /// `superuser_reserved_connections`.
    pub superuser_reserved: u32,
    /// `reserved_connections` (PostgreSQL 16 and later; 0 before).
    pub reserved: u32,
}

impl ServerLimits {
    /// Client backends that an ordinary role can reach, all applications together.
    pub const fn ordinary(self) -> u32 {
        self.max_connections.saturating_sub(self.superuser_reserved).saturating_sub(self.reserved)
    }
}

/// What is known of the server's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Nobody has asked yet: no pool may open a server, only the one who asks.
    Unasked,
    /// It was asked and did not say, or what it says does not count (it is a pooler).
    Unknown,
    /// It said.
    Known(ServerLimits),
}

/// Everything that bounds the number of connections of one upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The plan's limit, for all connections of the database, ours or not.
    pub plan: Option<u32>,
    /// `upstream.connections`: the limit of this instance, whoever else is connected.
    pub connections: Option<u32>,
    /// Of the server's limit, left free for people and tools.
    pub headroom: u32,
    /// Connections of Tidegate's own that stand in the headroom (the census): as long as the
    /// server's limit is the one that binds, they take nothing from the pools.
    pub control: u32,
    /// The live server's limits.
    pub server: Server,
}

/// Which limit binds. In the order in which they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// The plan's limit.
    Plan,
    /// `upstream.connections`.
    Connections,
    /// `max_connections` less what is reserved and the headroom.
    Server,
    /// Nothing is known; [`CONNECTIONS_WHEN_UNKNOWN`] holds.
    Unknown,
    /// The server has not been asked yet.
    Unasked,
}

impl Binding {
    /// The word for logs, metrics, and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Connections => "connections",
            Self::Server => "server",
            Self::Unknown => "unknown",
            Self::Unasked => "unasked",
        }
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The outcome: how many connections Tidegate may hold, and what says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usable {
    /// Connections that Tidegate may hold, pools and its own together.
    pub connections: u32,
    /// The limit that gave this number.
    pub binding: Binding,
}

impl Limits {
    /// The connections that Tidegate may hold while `foreign` connections of others exist.
    pub fn usable(&self, foreign: u32) -> Usable {
        let shared = |limit: u32| limit.saturating_sub(foreign);
        let server = match self.server {
            Server::Unasked => {
                return Usable { connections: self.control, binding: Binding::Unasked };
            }
            Server::Unknown => None,
            Server::Known(server) => {
                let headroom = self.headroom.saturating_sub(self.control);
                Some(shared(server.ordinary().saturating_sub(headroom)))
            }
        };
        let candidates = [
            (self.plan.map(shared), Binding::Plan),
            (self.connections, Binding::Connections),
            (server, Binding::Server),
        ];
        let lowest = candidates
            .into_iter()
            .filter_map(|(connections, binding)| {
                Some(Usable { connections: connections?, binding })
            })
            .min_by_key(|usable| usable.connections);
        lowest
            .unwrap_or(Usable { connections: CONNECTIONS_WHEN_UNKNOWN, binding: Binding::Unknown })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: ServerLimits =
        ServerLimits { max_connections: 18, superuser_reserved: 3, reserved: 0 };

    fn limits(plan: Option<u32>, connections: Option<u32>, server: Server) -> Limits {
        Limits { plan, connections, headroom: 2, control: 1, server }
    }

    #[test]
    fn the_lowest_limit_binds() {
        let cases = [
            // plan, connections, server, foreign => usable, binding
            (Some(15), None, Server::Known(SMALL), 0, 14, Binding::Server),
            (Some(10), None, Server::Known(SMALL), 0, 10, Binding::Plan),
            (Some(10), None, Server::Known(SMALL), 3, 7, Binding::Plan),
            (Some(10), Some(4), Server::Known(SMALL), 3, 4, Binding::Connections),
            (None, None, Server::Known(SMALL), 20, 0, Binding::Server),
            (None, None, Server::Unknown, 7, CONNECTIONS_WHEN_UNKNOWN, Binding::Unknown),
            (None, Some(40), Server::Unknown, 7, 40, Binding::Connections),
            (Some(15), None, Server::Unasked, 0, 1, Binding::Unasked),
        ];
        for (plan, connections, server, foreign, usable, binding) in cases {
            let found = limits(plan, connections, server).usable(foreign);
            assert_eq!(found, Usable { connections: usable, binding }, "{plan:?} {connections:?}");
        }
    }

    #[test]
    fn reserved_connections_of_postgres_16_count() {
        let server = ServerLimits { max_connections: 100, superuser_reserved: 3, reserved: 5 };
        assert_eq!(server.ordinary(), 92);
        assert_eq!(limits(None, None, Server::Known(server)).usable(0).connections, 91);
    }

    #[test]
    fn headroom_larger_than_the_server_leaves_nothing_and_does_not_wrap() {
        let all = Limits { headroom: 1000, ..limits(None, None, Server::Known(SMALL)) };
        assert_eq!(all.usable(0).connections, 0);
    }
}
