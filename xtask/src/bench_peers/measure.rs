//! One run: a fresh pooler, some work for it, and what that shows.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tidegate_scratch::wait;

use crate::bench_peers::idle::{Idle, Transport};
use crate::bench_peers::metric::{Measures, Metric};
use crate::bench_peers::peers::{Peer, Peers, Pooler, SERVERS};
use crate::bench_peers::pgbench::{Connections, Load, Protocol};
use crate::bench_peers::process;
use crate::bench_peers::scenario::{Scenario, Work};
use crate::statistics::percentile;

pub(super) fn run(peers: &Peers, peer: Peer, scenario: Scenario, seconds: u32) -> Result<Measures> {
    match scenario.work(peer) {
        Work::Load { protocol, clients, connections } => {
            let pooler = peers.start(peer, Transport::Plain)?;
            let load = Load { protocol, clients, connections, seconds };
            under_load(peers, &pooler, &load).map_err(|error| pooler.explain(&error))
        }
        Work::Idle { transport, clients } => {
            let pooler = peers.start(peer, transport)?;
            with_idle_clients(&pooler, transport, clients).map_err(|error| pooler.explain(&error))
        }
    }
}

fn under_load(peers: &Peers, pooler: &Pooler, load: &Load) -> Result<Measures> {
    let pgbench = peers.pgbench(pooler);
    pgbench.run(&warm_up(load.protocol)).context("warming up")?;
    let servers = peers.upstream.servers()?;
    ensure!(servers == SERVERS, "it has {servers} servers and should have {SERVERS}");

    let before = process::cpu(pooler.pid())?;
    let outcome = pgbench.run(load)?;
    let cpu = process::cpu(pooler.pid())? - before;
    let servers = peers.upstream.servers()?;
    ensure!(servers == SERVERS, "it has {servers} servers and should have {SERVERS}");

    let mut measures = vec![(Metric::Throughput, outcome.transactions_per_second)];
    // pgbench starts the clock of a transaction when its connection stands, so with a new one for
    // each its latencies leave out what is measured here.
    if load.connections == Connections::Kept {
        for (metric, percent) in [(Metric::LatencyMedian, 50), (Metric::LatencyP99, 99)] {
            let latency_us = percentile(&outcome.latencies_us, percent);
            let latency_us = latency_us.context("pgbench has logged no transaction")?;
            measures.push((metric, latency_us as f64 / 1000.0));
        }
    }
    let cpu_us = cpu.as_secs_f64() * 1e6 / outcome.transactions as f64;
    measures.push((Metric::Cpu, cpu_us));
    Ok(Measures(measures))
}

/// Enough clients that all servers are open, and enough transactions that PostgreSQL's caches in
/// each are full: some thousands in each.
fn warm_up(protocol: Protocol) -> Load {
    Load { protocol, clients: 64, connections: Connections::Kept, seconds: 1 }
}

fn with_idle_clients(pooler: &Pooler, transport: Transport, clients: u32) -> Result<Measures> {
    let mut idle = Idle::start(pooler.port, transport)?;
    // The code of a login is read from the file on first use, and a server is opened: neither is
    // memory of clients.
    idle.open(CLIENTS_BEFORE)?;
    let before = settled_kilobytes(pooler.pid())?;
    idle.open(clients)?;
    let after = settled_kilobytes(pooler.pid())?;
    Ok(Measures(vec![(Metric::IdleMemory, (after as f64 - before as f64) / f64::from(clients))]))
}

/// The resident memory once it does not change any more.
fn settled_kilobytes(pid: u32) -> Result<u64> {
    let mut seen = Vec::new();
    let settled = wait::until(SETTLE_MAX, BETWEEN_READS, || {
        let now = process::resident_kilobytes(pid)?;
        if seen.last().is_some_and(|&before| before != now) {
            seen.clear();
        }
        seen.push(now);
        anyhow::Ok((seen.len() >= EQUAL_READS).then_some(now))
    })?;
    settled.with_context(|| format!("its memory still changes after {SETTLE_MAX:?}"))
}

const CLIENTS_BEFORE: u32 = 64;
/// Longer than any timer that tidies up within a second, read often enough to see it.
const EQUAL_READS: usize = 8;
const BETWEEN_READS: Duration = Duration::from_millis(250);
const SETTLE_MAX: Duration = Duration::from_secs(30);
