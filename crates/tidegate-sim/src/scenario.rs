//! What is played: how many of everything, with which settings, and what goes wrong when. All of it
//! follows from the seed.

use std::sync::Arc;
use std::time::Duration;

use tidegate_config::{Config, Sources};
use tidegate_pool_core::server::Port;

use crate::net::Weather;
use crate::random::Random;

/// One run.
#[derive(Debug)]
pub struct Scenario {
    /// Nothing goes wrong but what applications do by themselves.
    pub is_quiet: bool,
    /// How many gates there are.
    pub gates: usize,
    /// The settings of each.
    pub config: Arc<Config>,
    /// Connections that each gate may have.
    pub connections: usize,
    /// The applications: which port each goes to, and how much it does.
    pub applications: Vec<(Port, usize)>,
    /// The network.
    pub weather: Weather,
    /// What goes wrong, after how long.
    pub plots: Vec<(Duration, Plot)>,
    /// All gates are shut down after this time, whoever is at work.
    pub drain_after: Option<Duration>,
}

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plot {
    /// Somebody looks which backends there are, again and again.
    Census,
    /// PostgreSQL is gone at once, and recovers for so long.
    Crash(Duration),
    /// A connection from an application brings nothing any more.
    CutClient,
    /// A connection to PostgreSQL brings nothing any more.
    CutServer,
    /// The gates are shut down.
    Drain,
    /// A connection from an application is reset.
    ResetClient,
    /// A connection to PostgreSQL is reset.
    ResetServer,
    /// PostgreSQL is shut down, and started again after so long.
    Restart(Duration),
    /// PostgreSQL, which was shut down, recovers.
    Start,
    /// A superuser ends a backend.
    Terminate,
    /// PostgreSQL has recovered.
    Up,
}

impl Scenario {
    /// What follows from a seed.
    ///
    /// # Panics
    /// The settings that it makes up are not in order, which is a bug here.
    pub fn new(random: &mut Random) -> Self {
        let is_quiet = random.one_in(3);
        let gates = random.pick(&[1, 1, 1, 2]);
        let connections = random.between(1, 6);
        let count = random.between(2, 14);
        let applications = (0..count)
            .map(|_| {
                let port = if random.one_in(5) { Port::Session } else { Port::Transaction };
                (port, random.between(3, 30))
            })
            .collect();
        let weather = Weather {
            delay_max: Duration::from_micros(random.pick(&[50, 500, 5000, 50_000])),
            room: random.pick(&[(200, 2000), (4096, 65_536), (65_536, 300_000)]),
        };
        let plots = if is_quiet { Vec::new() } else { plots(random) };
        let drain_after = random.one_in(6).then(|| random.time(Duration::from_secs(20)));
        let config = Arc::new(config(random, connections));
        Self { is_quiet, gates, config, connections, applications, weather, plots, drain_after }
    }
}

fn plots(random: &mut Random) -> Vec<(Duration, Plot)> {
    let count = random.between(1, 8);
    let plot = |random: &mut Random| match random.below(12) {
        0 => Plot::Crash(random.time(Duration::from_secs(3))),
        1 => Plot::Restart(random.time(Duration::from_secs(5))),
        2 | 3 => Plot::CutServer,
        4 => Plot::CutClient,
        5 | 6 => Plot::ResetServer,
        7 | 8 => Plot::ResetClient,
        _ => Plot::Terminate,
    };
    (0..count).map(|_| (random.time(Duration::from_secs(20)), plot(random))).collect()
}

fn config(random: &mut Random, connections: usize) -> Config {
    let pool_size = random.between(1, connections);
    let settings = [
        ("upstream.url", "postgres://app@10.0.1.1:5432/app?sslmode=disable".to_owned()),
        ("upstream.kind", "direct".into()),
        ("upstream.connections", connections.to_string()),
        ("upstream.headroom", "0".into()),
        ("upstream.census", "off".into()),
        ("plan", "custom".into()),
        ("listen.workers", random.pick(&["1", "1", "2", "3"]).into()),
        ("pool.pool_size", pool_size.to_string()),
        ("pool.max_overflow", (connections - pool_size).to_string()),
        ("pool.pool_timeout", "10m".into()),
        ("pool.pins_max", connections.to_string()),
        ("pool.pool_recycle", random.pick(&["5s", "1m", "30m"]).into()),
        ("pool.pool_pre_ping", random.pick(&["off", "1s", "30s", "always"]).into()),
        ("pool.server_idle_timeout", random.pick(&["3s", "10m"]).into()),
        ("pool.overflow_linger", random.pick(&["1s", "10s"]).into()),
        ("pool.reset", random.pick(&["auto", "auto", "always"]).into()),
        ("pool.answer_probes", random.pick(&["off", "begin", "all"]).into()),
        ("prepared.statements_max", random.pick(&["1", "3", "200", "off"]).into()),
        ("retry.multiplier", "100ms".into()),
        ("retry.min", "50ms".into()),
        ("retry.max", "2s".into()),
    ];
    let flags: Vec<_> = settings.map(|(name, value)| (name.to_owned(), value)).into();
    let loaded = tidegate_config::load(&Sources { flags: &flags, ..Sources::default() });
    match loaded {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("the settings of the simulation are wrong: {problems}"),
    }
}
