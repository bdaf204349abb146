//! What is played: how many of everything, with which settings, and what goes wrong when. All of it
//! follows from the seed.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tidegate_config::{Config, PoolFor, PoolOverrides, Sources, TimeoutOverrides};
use tidegate_pool_core::server::Port;

use crate::net::Weather;
use crate::random::Random;

/// What a run has more of than others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Focus {
    /// Nothing: some of everything.
    Everything,
    /// Cancels, on a slow network with few servers.
    Cancels,
    /// Clocks that leap.
    Clocks,
    /// Gates that are shut down while many wait.
    Drain,
    /// Primaries that fall, and standbys that are promoted.
    Failover,
    /// Clients that vanish, from several workers that share few servers.
    Leaving,
    /// Statements that are prepared, on few servers.
    Prepared,
    /// Clients that take longer than they may.
    Timeouts,
}

impl Focus {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Everything,
        Self::Cancels,
        Self::Clocks,
        Self::Drain,
        Self::Failover,
        Self::Leaving,
        Self::Prepared,
        Self::Timeouts,
    ];

    const fn shape(self) -> Shape {
        match self {
            Self::Everything | Self::Clocks | Self::Timeouts => Shape {
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
            // Somebody must still be at work when it is over.
            Self::Failover => Shape {
                connections: 1..=6,
                applications: 2..=8,
                sessions_in: 5,
                work_max: 200,
                ..CROWDED
            },
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
    /// There are two PostgreSQL servers with the same data, and how they are found.
    pub pair: Option<Pair>,
    /// Clients may not take as long as they like.
    pub has_timeouts: bool,
    /// Time leaps, or stands still for somebody.
    pub has_leaps: bool,
}

/// How gates find the primary of two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// By a name whose address is changed; otherwise both are in the URL.
    pub is_one_name: bool,
    /// The servers say what they are without being asked.
    pub is_reported: bool,
}

/// How a primary ceases to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fall {
    /// Its process ends at once, and its machine refuses connections.
    Crash,
    /// It lets nobody in any more, while those who are in go on.
    Door,
    /// Its machine is gone: nobody is told anything.
    Dark,
    /// It lives on where nobody reaches it.
    Partition,
    /// It is set to read only, and lives on.
    ReadOnly,
    /// It is shut down as it should be.
    ShutDown,
}

impl Fall {
    const ALL: [Self; 6] =
        [Self::Crash, Self::Door, Self::Dark, Self::Partition, Self::ReadOnly, Self::ShutDown];
}

/// The databases that applications use.
pub const DATABASES: [&str; 2] = ["app", "reports"];

/// The number of the database that an application uses.
pub const fn database(application: usize, has_timeouts: bool) -> usize {
    // Timeouts are by database; with one pool only they would be the same for all.
    if has_timeouts { application % DATABASES.len() } else { 0 }
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
    /// The primary ceases to be one; the other takes its place.
    Fall(Fall),
    /// An operator closes a client of a gate.
    KillClient,
    /// An operator closes a server of a gate.
    KillServer,
    /// It is so much later all of a sudden: the machine that all of it runs on was suspended.
    Leap(Duration),
    /// Something arrives that the old gate of a take-over has said.
    Line(usize),
    /// An operator pauses all gates, for so long.
    Pause(Duration),
    /// This server is the primary now.
    Promote(usize),
    /// An operator has the servers of a gate replaced.
    Reconnect,
    /// What was the primary is started as a standby.
    Rejoin(usize),
    /// An operator reloads the settings of a gate, with other sizes of pools.
    Reload,
    /// A connection from an application is reset.
    ResetClient,
    /// A connection to PostgreSQL is reset.
    ResetServer,
    /// A gate learns where the name of the upstream leads to now.
    Resolve(usize),
    /// PostgreSQL is shut down, and started again after so long.
    Restart(Duration),
    /// An operator resumes what is paused.
    Resume,
    /// The new gate of a take-over serves.
    Serves(usize),
    /// A PostgreSQL server that was shut down recovers.
    Start(usize),
    /// A gate's process stands still for so long, as for SIGSTOP.
    Stop(Duration),
    /// Another gate takes over from the one that is at the address of this number.
    Takeover(usize),
    /// A superuser ends a backend.
    Terminate,
    /// A PostgreSQL server has recovered.
    Up(usize),
}

impl Scenario {
    /// What follows from a seed, with more of something than of the rest.
    ///
    /// # Panics
    /// The settings that it makes up are not in order, which is a bug here.
    pub fn new(random: &mut Random, focus: Focus, mut more: Random) -> Self {
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
        let mut plots = if is_quiet { Vec::new() } else { plots(random) };
        let drain_after = match focus {
            Focus::Drain => Some(Duration::from_millis(random.between(50, 500) as u64)),
            Focus::Everything | Focus::Clocks | Focus::Failover | Focus::Timeouts => {
                random.one_in(6).then(|| random.time(Duration::from_secs(20)))
            }
            Focus::Cancels | Focus::Leaving | Focus::Prepared => None,
        };
        let mut has = |of: Focus, may: bool| {
            let by_chance = more.one_in(8) && focus == Focus::Everything;
            may && (by_chance || focus == of)
        };
        // In quiet runs all timeouts that are due are looked for.
        let has_timeouts = has(Focus::Timeouts, true);
        let has_leaps = has(Focus::Clocks, !is_quiet);
        let has_pair = has(Focus::Failover, !is_quiet);
        let pair =
            has_pair.then(|| Pair { is_one_name: more.one_in(3), is_reported: !more.one_in(3) });
        if has_leaps {
            plots.extend(leaps(&mut more));
        }
        if has_pair {
            plots.extend(falls(&mut more));
        }
        let mut config = config(random, &shape, connections, pair);
        if has_timeouts {
            limit_clients(&mut config, &mut more);
        }
        let config = Arc::new(config);
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
            pair,
            has_timeouts,
            has_leaps,
        }
    }
}

/// A minute is when the first of the kernel's patience ends; ten are as long as clients wait for a
/// server.
const LEAPS: [Duration; 4] = [
    Duration::from_secs(10),
    Duration::from_secs(59),
    Duration::from_secs(600),
    Duration::from_secs(86_400),
];

fn leaps(random: &mut Random) -> Vec<(Duration, Plot)> {
    let plot = |random: &mut Random| match random.one_in(2) {
        true => Plot::Leap(random.pick(&LEAPS)),
        // The world goes on meanwhile, so not for a day.
        false => Plot::Stop(random.pick(&LEAPS[..3])),
    };
    let count = random.between(1, 3);
    (0..count).map(|_| (random.time(Duration::from_secs(20)), plot(random))).collect()
}

fn falls(random: &mut Random) -> Vec<(Duration, Plot)> {
    let count = random.between(1, 3);
    (0..count)
        .map(|place| {
            let after = random.time(Duration::from_secs(10));
            // One after the other has come to an end, mostly.
            (after + Duration::from_secs(30 * place as u64), Plot::Fall(random.pick(&Fall::ALL)))
        })
        .collect()
}

/// Clients may take so long for what they do: little enough for what they do here to be more.
fn limit_clients(config: &mut Config, random: &mut Random) {
    let mut limit = |most: usize| {
        let time = Duration::from_millis(random.between(20, most) as u64);
        (!random.one_in(3)).then_some(time)
    };
    let clients = &mut config.timeouts.clients;
    clients.idle_in_transaction = limit(1000);
    clients.transaction = limit(2000);
    clients.query = limit(400);
    clients.client_idle = limit(3000);
    config.pool_for.push(PoolFor {
        database: Some(DATABASES[1].into()),
        user: None,
        overrides: PoolOverrides::default(),
        timeouts: TimeoutOverrides {
            idle_in_transaction: Some(limit(500)),
            transaction: None,
            query: Some(limit(100)),
            client_idle: Some(limit(1000)),
        },
    });
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

fn config(random: &mut Random, shape: &Shape, connections: usize, pair: Option<Pair>) -> Config {
    let pool_size = random.between(1, connections);
    let url = match pair {
        None => "postgres://app@10.0.1.1:5432/app?sslmode=disable",
        Some(Pair { is_one_name: true, .. }) => {
            "postgres://app@db:5432/app?sslmode=disable&target_session_attrs=read-write"
        }
        Some(_) => {
            "postgres://app@10.0.1.1:5432,10.0.1.2:5432/app?sslmode=disable\
             &target_session_attrs=read-write"
        }
    };
    let settings = [
        ("upstream.url", url.to_owned()),
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
