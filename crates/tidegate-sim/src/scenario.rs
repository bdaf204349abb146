//! What is played: how many of everything, with which settings, and what goes wrong when. All of it
//! follows from the seed.

use std::ops::RangeInclusive;
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

    const fn shape(self) -> Shape {
        match self {
            Self::Everything => Shape {
                gates: &[1, 1, 1, 2],
                connections: 1..=6,
                applications: 2..=14,
                sessions_in: 5,
                work_max: 30,
                ..CROWDED
            },
            // With more applications most would cancel while they wait for a server.
            Self::Cancels => Shape {
                connections: 1..=1,
                applications: 4..=6,
                work_max: 300,
                delays: &[50_000, 100_000],
                rooms: ROOMY,
                ..CROWDED
            },
            Self::Drain => Shape { delays: &[50, 500], ..CROWDED },
            Self::Leaving => Shape {
                may_be_quiet: false,
                connections: 1..=1,
                workers: &["3"],
                delays: &[50, 500],
                rooms: ROOMY,
                turn_delays: &[500_000],
                ..CROWDED
            },
            Self::Prepared => Shape { statements_max: &["1", "3", "200"], ..CROWDED },
        }
    }
}

/// What a run is drawn from: one of each list, and a number of each range.
struct Shape {
    /// One run in three has nothing go wrong.
    may_be_quiet: bool,
    gates: &'static [usize],
    /// Connections that each gate may have.
    connections: RangeInclusive<usize>,
    workers: &'static [&'static str],
    statements_max: &'static [&'static str],
    applications: RangeInclusive<usize>,
    /// One application in so many goes to the session port.
    sessions_in: usize,
    /// How much each does at most.
    work_max: usize,
    /// Microseconds that the network needs at most.
    delays: &'static [u64],
    /// Bytes that the network has room for.
    rooms: &'static [(usize, usize)],
    /// Microseconds after which a worker turns to what has happened at most: what the kernel needs
    /// to wake a thread, or how long others keep the machine busy.
    turn_delays: &'static [u64],
}

/// Many applications, few servers.
const CROWDED: Shape = Shape {
    may_be_quiet: true,
    gates: &[1],
    connections: 1..=2,
    workers: &["1", "1", "2", "3"],
    statements_max: &["1", "3", "200", "off"],
    applications: 8..=14,
    sessions_in: 20,
    work_max: 80,
    delays: &[50, 500, 5000, 50_000],
    rooms: &[(200, 2000), (4096, 65_536), (65_536, 300_000)],
    turn_delays: &[60, 60, 60, 10_000],
};

/// Every byte that is cut off costs steps in which nobody leaves or cancels.
const ROOMY: &[(usize, usize)] = &[(4096, 65_536)];

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
    /// What an old gate left of that number of take-over is free.
    Cooled(usize),
    /// PostgreSQL is gone at once, and recovers for so long.
    Crash(Duration),
    /// A connection from an application brings nothing any more.
    CutClient,
    /// A connection to PostgreSQL brings nothing any more.
    CutServer,
    /// The gates are shut down.
    Drain,
    /// An operator closes a client of a gate.
    KillClient,
    /// An operator closes a server of a gate.
    KillServer,
    /// Something arrives that the old gate of a take-over has said.
    Line(usize),
    /// An operator pauses all gates, for so long.
    Pause(Duration),
    /// An operator has the servers of a gate replaced.
    Reconnect,
    /// An operator reloads the settings of a gate, with other sizes of pools.
    Reload,
    /// A connection from an application is reset.
    ResetClient,
    /// A connection to PostgreSQL is reset.
    ResetServer,
    /// PostgreSQL is shut down, and started again after so long.
    Restart(Duration),
    /// An operator resumes what is paused.
    Resume,
    /// The new gate of a take-over serves.
    Serves(usize),
    /// PostgreSQL, which was shut down, recovers.
    Start,
    /// Another gate takes over from the one that is at the address of this number.
    Takeover(usize),
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
        let shape = focus.shape();
        let is_quiet = random.one_in(3) && shape.may_be_quiet;
        let gates = random.pick(shape.gates);
        let connections = random.within(&shape.connections);
        let applications = (0..random.within(&shape.applications))
            .map(|_| {
                let is_session = random.one_in(shape.sessions_in);
                let port = if is_session { Port::Session } else { Port::Transaction };
                (port, random.between(3, shape.work_max))
            })
            .collect();
        let weather = Weather {
            delay_max: Duration::from_micros(random.pick(shape.delays)),
            room: random.pick(shape.rooms),
        };
        let turn_delay = Duration::from_micros(random.pick(shape.turn_delays));
        let plots = if is_quiet { Vec::new() } else { plots(random) };
        let drain_after = match focus {
            Focus::Drain => Some(Duration::from_millis(random.between(50, 500) as u64)),
            Focus::Everything => random.one_in(6).then(|| random.time(Duration::from_secs(20))),
            Focus::Cancels | Focus::Leaving | Focus::Prepared => None,
        };
        let config = Arc::new(config(random, &shape, connections));
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
    let plot = |random: &mut Random| match random.below(20) {
        0 => Plot::Crash(random.time(Duration::from_secs(3))),
        1 => Plot::Restart(random.time(Duration::from_secs(5))),
        2 | 3 => Plot::CutServer,
        4 => Plot::CutClient,
        5 | 6 => Plot::ResetServer,
        7 | 8 => Plot::ResetClient,
        9 => Plot::Pause(random.time(Duration::from_secs(5))),
        10 | 11 => Plot::Reconnect,
        12 | 13 => Plot::Reload,
        14 => Plot::KillClient,
        15 | 16 => Plot::KillServer,
        _ => Plot::Terminate,
    };
    (0..count).map(|_| (random.time(Duration::from_secs(20)), plot(random))).collect()
}

fn config(random: &mut Random, shape: &Shape, connections: usize) -> Config {
    let pool_size = random.between(1, connections);
    let settings = [
        ("upstream.url", "postgres://app@10.0.1.1:5432/app?sslmode=disable".to_owned()),
        ("upstream.kind", "direct".into()),
        ("upstream.connections", connections.to_string()),
        ("upstream.headroom", "0".into()),
        ("upstream.census", "off".into()),
        ("plan", "custom".into()),
        ("listen.workers", random.pick(shape.workers).into()),
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
        ("prepared.statements_max", random.pick(shape.statements_max).into()),
        ("retry.multiplier", "100ms".into()),
        ("retry.min", "50ms".into()),
        ("retry.max", "2s".into()),
        ("retry.read_only", connections.is_multiple_of(2).to_string()),
    ];
    let flags: Vec<_> = settings.map(|(name, value)| (name.to_owned(), value)).into();
    let loaded = tidegate_config::load(&Sources { flags: &flags, ..Sources::default() });
    match loaded {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("the settings of the simulation are wrong: {problems}"),
    }
}
