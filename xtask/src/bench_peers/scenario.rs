//! What is compared, in the order in which it runs.

use std::fmt;

use clap::ValueEnum;

use crate::bench_peers::idle::Transport;
use crate::bench_peers::peers::Peer;
use crate::bench_peers::pgbench::{Connections, Protocol};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Scenario {
    #[value(name = "simple-8")]
    Simple8,
    #[value(name = "simple-64")]
    Simple64,
    #[value(name = "extended-8")]
    Extended8,
    #[value(name = "extended-64")]
    Extended64,
    #[value(name = "prepared-8")]
    Prepared8,
    #[value(name = "prepared-64")]
    Prepared64,
    #[value(name = "connect")]
    Connect,
    #[value(name = "idle-plain")]
    IdlePlain,
    #[value(name = "idle-tls")]
    IdleTls,
}

/// What a pooler has to do in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Load { protocol: Protocol, clients: u32, connections: Connections },
    Idle { transport: Transport, clients: u32 },
}

impl Scenario {
    pub(super) fn work(self, peer: Peer) -> Work {
        let load =
            |protocol, clients| Work::Load { protocol, clients, connections: Connections::Kept };
        // PgBouncer has named statements in transaction mode from 1.21 on, and Debian 12 has 1.18:
        // whoever uses that one parses each time.
        let prepared = match peer {
            Peer::Tidegate => Protocol::Prepared,
            Peer::PgBouncer => Protocol::Extended,
        };
        match self {
            Self::Simple8 => load(Protocol::Simple, 8),
            Self::Simple64 => load(Protocol::Simple, 64),
            Self::Extended8 => load(Protocol::Extended, 8),
            Self::Extended64 => load(Protocol::Extended, 64),
            Self::Prepared8 => load(prepared, 8),
            Self::Prepared64 => load(prepared, 64),
            Self::Connect => Work::Load {
                protocol: Protocol::Simple,
                clients: 8,
                connections: Connections::PerTransaction,
            },
            Self::IdlePlain => Work::Idle { transport: Transport::Plain, clients: 5000 },
            Self::IdleTls => Work::Idle { transport: Transport::Tls, clients: 1000 },
        }
    }

    /// What happens in it, in a line.
    pub(super) fn description(self) -> String {
        match (self.work(Peer::Tidegate), self.work(Peer::PgBouncer)) {
            (Work::Idle { transport, clients }, _) => {
                format!("{clients} idle clients, {transport}")
            }
            (Work::Load { connections: Connections::PerTransaction, clients, .. }, _) => format!(
                "pgbench -S -C: {clients} clients, a new connection and login for each transaction"
            ),
            (Work::Load { protocol: ours, clients, .. }, Work::Load { protocol: theirs, .. })
                if ours != theirs =>
            {
                format!(
                    "pgbench -S: {clients} clients, -M {ours} through Tidegate, -M {theirs} \
                     through PgBouncer"
                )
            }
            (Work::Load { protocol, clients, .. }, _) => {
                format!("pgbench -S -M {protocol}: {clients} clients")
            }
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_prepared_statements_are_compared_with_something_else() {
        for scenario in Scenario::value_variants() {
            let is_equal = scenario.work(Peer::Tidegate) == scenario.work(Peer::PgBouncer);
            assert_eq!(is_equal, !scenario.to_string().starts_with("prepared"), "{scenario}");
        }
        assert_eq!(
            Scenario::Prepared64.description(),
            "pgbench -S: 64 clients, -M prepared through Tidegate, -M extended through PgBouncer"
        );
    }
}
