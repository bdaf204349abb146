//! Who waits for a server, in order of arrival: of those that wait for the same pool, the first to come
//! is the first to be served, whatever port or worker it is at.
//!
//! Arrivals are what is seen from turn to turn, and not what the pools say of them; of those that come
//! in the same turn nobody is first.

use std::collections::BTreeMap;

use tidegate_pool_core::queue::Ticket;
use tidegate_pool_core::server::{PoolId, ServerId};
use tidegate_proxy::played::Standing;

/// A client, by its worker and what it is called there.
type Client = (usize, u64);

/// The lines of a gate.
#[derive(Debug, Default)]
pub(crate) struct Line {
    turn: usize,
    /// In which turn they came that wait.
    arrivals: BTreeMap<Client, (Ticket, usize)>,
    /// Which servers they have that do not.
    servers: BTreeMap<Client, ServerId>,
}

impl Line {
    /// A turn has ended, and so they stand.
    pub(crate) fn look(&mut self, standings: &[Standing]) -> Result<(), String> {
        self.turn += 1;
        let mut arrivals = BTreeMap::new();
        // By pool: who came first of those that go on waiting.
        let mut first: BTreeMap<PoolId, (usize, Client)> = BTreeMap::new();
        for Standing { client, pool, waits, is_next, .. } in standings {
            let Some(ticket) = waits else { continue };
            let before = self.arrivals.get(client).filter(|(before, _)| before == ticket);
            let (_, arrival) = before.copied().unwrap_or((*ticket, self.turn));
            arrivals.insert(*client, (*ticket, arrival));
            if !is_next {
                let place = first.entry(*pool).or_insert((arrival, *client));
                *place = (*place).min((arrival, *client));
            }
        }
        let mut servers = BTreeMap::new();
        for Standing { client, pool, has, .. } in standings {
            let Some(server) = has else { continue };
            servers.insert(*client, *server);
            if self.servers.get(client) == Some(server) {
                continue;
            }
            let arrival = self.arrivals.get(client).map_or(self.turn, |(_, arrival)| *arrival);
            if let Some((earlier, other)) = first.get(pool)
                && *earlier < arrival
            {
                return Err(format!(
                    "client {client:?} came in turn {arrival} of its gate and is served before \
                     client {other:?}, which came in turn {earlier}"
                ));
            }
        }
        (self.arrivals, self.servers) = (arrivals, servers);
        Ok(())
    }
}
