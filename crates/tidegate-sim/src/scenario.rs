//! What is played: how many of everything, with which settings, and what goes wrong when. All of it
//! follows from the seed.

use std::sync::Arc;
use std::time::Duration;

use tidegate_config::{Config, Sources};
use tidegate_pool_core::server::Port;

use crate::net::Weather;
use crate::random::Random;

/// What a run has more of than others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    /// Nothing: some of everything.
    Everything,
    /// Cancels, on a slow network with few servers.
    Cancels,
    /// Gates that are shut down while many wait.
    Drain,
    /// Clients that vanish, from several workers that share few servers.
    Leaving,
    /// Statements that are prepared, on few servers.
    Prepared,
}

impl Focus {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Everything, Self::Cancels, Self::Drain, Self::Leaving, Self::Prepared];
}

/// One run.
#[derive(Debug)]
pub struct Scenario {
    /// What there is more of.
    pub focus: Focus,
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
    /// A worker turns to what has happened after this time at most.
    pub turn_delay: Duration,
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
    /// An operator pauses all gates, for so long.
    Pause(Duration),
    /// An operator has the servers of a gate replaced.
    Reconnect,
    /// A connection from an application is reset.
    ResetClient,
    /// A connection to PostgreSQL is reset.
    ResetServer,
    /// PostgreSQL is shut down, and started again after so long.
    Restart(Duration),
    /// An operator resumes what is paused.
    Resume,
    /// PostgreSQL, which was shut down, recovers.
    Start,
    /// A superuser ends a backend.
    Terminate,
    /// PostgreSQL has recovered.
    Up,
}

impl Scenario {
    /// What follows from a seed, with more of something than of the rest.
    ///
    /// # Panics
    /// The settings that it makes up are not in order, which is a bug here.
    pub fn new(random: &mut Random, focus: Focus) -> Self {
        let is_quiet = random.one_in(3) && focus != Focus::Leaving;
        let is_crowded = focus != Focus::Everything;
        let gates = if is_crowded { 1 } else { random.pick(&[1, 1, 1, 2]) };
        let connections = match focus {
            Focus::Everything => random.between(1, 6),
            Focus::Cancels | Focus::Leaving => 1,
            Focus::Drain | Focus::Prepared => random.between(1, 2),
        };
        let work_max = match focus {
            Focus::Everything => 30,
            Focus::Cancels => 300,
            Focus::Drain | Focus::Leaving | Focus::Prepared => 80,
        };
        let count = match focus {
            Focus::Everything => random.between(2, 14),
            // More would cancel while they wait for a server.
            Focus::Cancels => random.between(4, 6),
            Focus::Drain | Focus::Leaving | Focus::Prepared => random.between(8, 14),
        };
        let applications = (0..count)
            .map(|_| {
                let is_session = random.one_in(if is_crowded { 20 } else { 5 });
                let port = if is_session { Port::Session } else { Port::Transaction };
                (port, random.between(3, work_max))
            })
            .collect();
        let delays: &[u64] = match focus {
            Focus::Everything | Focus::Prepared => &[50, 500, 5000, 50_000],
            Focus::Cancels => &[50_000, 100_000],
            Focus::Drain | Focus::Leaving => &[50, 500],
        };
        let rooms: &[(usize, usize)] = match focus {
            // Every byte that is cut off costs steps in which nobody leaves or cancels.
            Focus::Cancels | Focus::Leaving => &[(4096, 65_536)],
            _ => &[(200, 2000), (4096, 65_536), (65_536, 300_000)],
        };
        let weather = Weather {
            delay_max: Duration::from_micros(random.pick(delays)),
            room: random.pick(rooms),
        };
        // What the kernel needs to wake a thread, or how long others keep the machine busy.
        let turn_delay = Duration::from_micros(match focus {
            Focus::Leaving => 500_000,
            _ => random.pick(&[60, 60, 60, 10_000]),
        });
        let plots = if is_quiet { Vec::new() } else { plots(random) };
        let drain_after = match focus {
            Focus::Drain => Some(Duration::from_millis(random.between(50, 500) as u64)),
            Focus::Everything => random.one_in(6).then(|| random.time(Duration::from_secs(20))),
            Focus::Cancels | Focus::Leaving | Focus::Prepared => None,
        };
        let workers = match focus {
            Focus::Leaving => "3",
            _ => random.pick(&["1", "1", "2", "3"]),
        };
        let config = Arc::new(config(random, focus, connections, workers));
        Self {
            focus,
            is_quiet,
            gates,
            config,
            connections,
            applications,
            weather,
            turn_delay,
            plots,
            drain_after,
        }
    }
}

fn plots(random: &mut Random) -> Vec<(Duration, Plot)> {
    let count = random.between(1, 8);
    let plot = |random: &mut Random| match random.below(15) {
        0 => Plot::Crash(random.time(Duration::from_secs(3))),
        1 => Plot::Restart(random.time(Duration::from_secs(5))),
        2 | 3 => Plot::CutServer,
        4 => Plot::CutClient,
        5 | 6 => Plot::ResetServer,
        7 | 8 => Plot::ResetClient,
        9 => Plot::Pause(random.time(Duration::from_secs(5))),
        10 | 11 => Plot::Reconnect,
        _ => Plot::Terminate,
    };
    (0..count).map(|_| (random.time(Duration::from_secs(20)), plot(random))).collect()
}

fn config(random: &mut Random, focus: Focus, connections: usize, workers: &str) -> Config {
    let pool_size = random.between(1, connections);
    let statements_max = match focus {
        Focus::Prepared => random.pick(&["1", "3", "200"]),
        _ => random.pick(&["1", "3", "200", "off"]),
    };
    let settings = [
        ("upstream.url", "postgres://app@10.0.1.1:5432/app?sslmode=disable".to_owned()),
        ("upstream.kind", "direct".into()),
        ("upstream.connections", connections.to_string()),
        ("upstream.headroom", "0".into()),
        ("upstream.census", "off".into()),
        ("plan", "custom".into()),
        ("listen.workers", workers.into()),
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
        ("prepared.statements_max", statements_max.into()),
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
