//! The play: one thing after another happens, and after each it is looked whether all is as it must
//! be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tidegate_budget::budget::Census;
use tidegate_budget::limits::{Server, ServerLimits};
use tidegate_pool_core::pools::operating::Scope;
use tidegate_pool_core::server::{Port, State};
use tidegate_proxy::played::{Play, PlayedGate};
use tidegate_proxy::resolver::Target;
use tidegate_proxy::roster::{Found, ROWS_MAX, Whom};
use tidegate_proxy::shared::UNSEEN_COOLING;
use tidegate_proxy::world::Arrivals;
use tidegate_wire::tick::Tick;

use crate::application::{Application, Mood, Told};
use crate::line::Line;
use crate::net::{Due, GateDoor, GateWorld, Net, Owner, SharedNet, gate_address, postgres_address};
use crate::postgres::{Begun, Phase, Postgres, Role};
use crate::random::Random;
use crate::scenario::{DATABASES, Fall, Focus, Pair, Plot, Scenario, database};
use crate::takeover::Takeover;

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What it follows from.
    pub seed: u64,
    /// How many things happened.
    pub steps: usize,
    /// A digest of all that happened.
    pub history: u64,
    /// Lines that applications have written, or tried to.
    pub lines: usize,
    /// What must not be, if there was anything; and what led to it.
    pub failure: Option<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, steps, history, lines, failure } = self;
        match failure {
            None => write!(f, "seed {seed}: {steps} steps, {lines} lines, {history:016x}"),
            Some(words) => write!(f, "seed {seed} fails after {steps} steps:\n  {words}"),
        }
    }
}

/// So many steps are more than any run needs: it does not come to an end.
const STEPS_MAX: usize = 3_000_000;

/// When nothing goes wrong any more, everybody has done what he wanted after this time.
const PATIENCE: Duration = Duration::from_secs(900);

/// Longer than the kernel needs to give up a peer that says nothing.
const KERNEL_PATIENCE: Duration = Duration::from_secs(200);

/// An answer about a name is used for so long.
const RESOLVED: Duration = Duration::from_secs(30);

/// What was handed out or sent before a gate knew of another primary is at work after this time at
/// the latest; unless a cancel that can't be delivered to the old one holds up what stands behind.
const ON_ITS_WAY_MAX: Duration = Duration::from_secs(2);

/// Plays what follows from a seed.
pub fn play(seed: u64) -> Outcome {
    play_focused(seed, None)
}

/// Plays what follows from a seed, which also says what there is more of if `focus` does not.
pub fn play_focused(seed: u64, focus: Option<Focus>) -> Outcome {
    let mut stage = Stage::new(seed, focus);
    let outcome = catch_unwind(AssertUnwindSafe(|| stage.run()));
    let failure = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(words)) => Some(words),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Some(format!("a panic: {}", words.unwrap_or_default()))
        }
    };
    Outcome {
        seed,
        steps: stage.steps,
        history: stage.net.get().history(),
        lines: stage.applications.iter().map(|application| application.lines.len()).sum(),
        failure,
    }
}

struct Stage {
    scenario: Scenario,
    random: Random,
    net: SharedNet,
    gates: Vec<PlayedGate>,
    /// Those who wait for each of them.
    lines: BTreeMap<usize, Line>,
    /// By address: the gate that accepts there.
    serving: Vec<usize>,
    takeovers: Vec<Takeover>,
    /// Two, when one can take the other's place.
    postgres: Vec<Postgres>,
    /// Which of them is the primary, or was it last.
    primary: usize,
    /// A primary has fallen, and what follows from it has not come to an end.
    is_failing_over: bool,
    /// By gate: the last primary at which clients of its were, by its epoch, and since when.
    moved: BTreeMap<usize, (usize, Tick)>,
    /// By gate: until when its process stands still.
    stopped: BTreeMap<usize, Tick>,
    applications: Vec<Application>,
    /// When the workers to which something has happened turn to it.
    turns: BTreeMap<(usize, usize), Tick>,
    steps: usize,
    drained: Option<Tick>,
    is_calm_from: Tick,
}

type Checked = Result<(), String>;

/// Where PostgreSQL servers are, as the gates know them.
fn targets(pair: Option<Pair>, primary: usize) -> Vec<Target> {
    let target = |number: usize| {
        let address = postgres_address(number);
        Target::Tcp { address, host: address.ip().to_string().into() }
    };
    match pair {
        None => vec![target(0)],
        Some(Pair { is_one_name: true, .. }) => vec![target(primary)],
        Some(_) => vec![target(0), target(1)],
    }
}

/// One run in four has take-overs.
fn plans_takeovers(random: &mut Random, scenario: &Scenario) -> bool {
    random.one_in(4) && scenario.drain_after.is_none()
}

/// A gate at the address of this number, in the settings of the run.
fn make_gate(
    net: &SharedNet,
    scenario: &Scenario,
    gate: usize,
    address: usize,
    seed: u64,
    primary: usize,
) -> PlayedGate {
    let arrivals = Port::ALL.map(|port| {
        let door = GateDoor::open(net.clone(), gate, gate_address(address, port));
        (port, Arc::new(door) as Arc<dyn Arrivals>)
    });
    let play = Play {
        config: scenario.config.clone(),
        world: Arc::new(GateWorld { net: net.clone(), gate }),
        seed,
        targets: targets(scenario.pair, primary),
        arrivals: arrivals.into(),
    };
    let gate = PlayedGate::new(play).expect("nothing is needed that could be missing");
    gate.shared.set_census_works(true);
    gate
}

impl Stage {
    fn new(seed: u64, focus: Option<Focus>) -> Self {
        let mut random = Random::new(seed);
        // Three runs in five have some of everything.
        let drawn = random.pick(&Focus::ALL);
        let drawn = if random.one_in(2) { Focus::Everything } else { drawn };
        let more = Random::new(!seed.rotate_left(32));
        let scenario = Scenario::new(&mut random, focus.unwrap_or(drawn), more);
        let net = SharedNet::new(Net::new(random.any(), scenario.weather));
        let all = scenario.connections * scenario.gates;
        let role = Role {
            must_write: scenario.pair.is_some(),
            is_reported: scenario.pair.is_none_or(|pair| pair.is_reported),
            ..Role::ALONE
        };
        let mut postgres = vec![Postgres::new(0, all, role, random.fork(), &mut net.get())];
        if scenario.pair.is_some() {
            let standby = Role { is_standby: true, ..role };
            postgres.push(Postgres::new(1, all, standby, random.fork(), &mut net.get()));
        }
        let gates = (0..scenario.gates)
            .map(|gate| make_gate(&net, &scenario, gate, gate, random.any(), 0))
            .collect();
        let has_takeovers = plans_takeovers(&mut Random::new(!seed), &scenario);
        let is_quiet = scenario.is_quiet && scenario.drain_after.is_none();
        // From the client to its server and back, twice.
        let round_trips = 4 * (scenario.weather.delay_max + scenario.turn_delay);
        let mood = |number| {
            let database = DATABASES[database(number, scenario.has_timeouts)];
            Mood {
                is_quiet,
                may_be_left: scenario.drain_after.is_some(),
                focus: scenario.focus,
                database,
                limits: scenario.config.client_timeouts(database, "app"),
                cancel_max: scenario.config.timeouts.cancel,
                // Another process does not know since when its clients are idle.
                is_punctual: is_quiet && !has_takeovers,
                round_trips,
            }
        };
        let applications: Vec<_> = scenario
            .applications
            .iter()
            .enumerate()
            .map(|(number, (port, work))| {
                let random = random.fork();
                Application::new(number, scenario.gates, *port, random, *work, mood(number))
            })
            .collect();
        for number in 0..applications.len() {
            let delay = random.time(Duration::from_millis(500));
            net.get().after(delay, Due::Application(number));
        }
        let mut stage = Self {
            random,
            net,
            gates,
            serving: (0..scenario.gates).collect(),
            takeovers: Vec::new(),
            lines: BTreeMap::new(),
            postgres,
            primary: 0,
            is_failing_over: false,
            moved: BTreeMap::new(),
            stopped: BTreeMap::new(),
            applications,
            turns: BTreeMap::new(),
            steps: 0,
            drained: None,
            is_calm_from: Tick::ZERO,
            scenario,
        };
        stage.plot();
        stage.plot_takeovers(Random::new(!seed));
        stage
    }

    /// Some gates take over from others, whatever else happens.
    fn plot_takeovers(&mut self, mut random: Random) {
        if !plans_takeovers(&mut random, &self.scenario) {
            return;
        }
        for _ in 0..random.between(1, 3) {
            let most = random.pick(&[500, 5000]);
            let after = random.time(Duration::from_millis(most));
            let plot = Plot::Takeover(random.below(self.scenario.gates));
            self.is_calm_from = self.is_calm_from.max(Tick::ZERO + after);
            self.later(after, plot);
        }
    }

    /// Says when what goes wrong.
    fn plot(&mut self) {
        let drain = self.scenario.drain_after.map(|after| (after, Plot::Drain));
        self.scenario.plots.extend(drain);
        self.scenario.plots.push((Duration::from_secs(1), Plot::Census));
        for (place, (after, plot)) in self.scenario.plots.clone().into_iter().enumerate() {
            self.net.get().after(after, Due::Plot(place));
            if plot != Plot::Census {
                self.is_calm_from = self.is_calm_from.max(Tick::ZERO + after);
            }
        }
    }

    fn later(&mut self, after: Duration, plot: Plot) {
        self.scenario.plots.push((after, plot));
        let place = self.scenario.plots.len() - 1;
        self.net.get().after(after, Due::Plot(place));
    }

    fn now(&self) -> Tick {
        self.net.get().now()
    }

    // --- One thing after another. ---

    fn run(&mut self) -> Checked {
        while !self.is_done() {
            self.step()?;
            if self.now() > self.is_calm_from + PATIENCE {
                return Err(self.unfinished("somebody waits for ever"));
            }
        }
        self.settle()?;
        self.close_down()?;
        self.compare_ledger()
    }

    fn is_done(&self) -> bool {
        self.applications.iter().all(Application::is_done)
            && self.now() >= self.is_calm_from
            && self.postgres[self.primary].phase == Phase::Up
            && !self.is_failing_over
    }

    fn step(&mut self) -> Checked {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(self.unfinished("it does not come to an end"));
        }
        self.look_for_turns();
        let next_due = self.net.get().next_due();
        let next_turn = self.turns.iter().min_by_key(|(_, when)| **when).map(|(w, t)| (*w, *t));
        let turn_first = match (next_due, next_turn) {
            (None, None) => return Err(self.unfinished("nothing happens any more")),
            (Some(due), Some((_, turn))) if due == turn => self.random.one_in(2),
            (Some(due), Some((_, turn))) => turn < due,
            (due, _) => due.is_none(),
        };
        match next_turn {
            Some(((gate, worker), when)) if turn_first => {
                self.net.get().set_now(when);
                self.turns.remove(&(gate, worker));
                let events = self.net.get().take_events(gate, worker as u16);
                self.gates[gate].turn(worker, &events);
                self.gates[gate].nothing_is_lost()?;
                self.lines.entry(gate).or_default().look(&self.gates[gate].standings())?;
            }
            _ => self.happen(next_due.unwrap_or(Tick::ZERO)),
        }
        self.go_on_taking_over();
        self.check()
    }

    /// Finds the workers that have something to do, and when they will.
    fn look_for_turns(&mut self) {
        let now = self.now();
        let due_now = |(gate, worker)| (gate, usize::from(worker), now);
        let mut dues: Vec<_> = self.net.get().alarmed().map(due_now).collect();
        for (number, gate) in self.gates.iter_mut().enumerate() {
            for worker in 0..gate.workers() {
                let due = gate.due(worker);
                if due == Tick::NEVER {
                    continue;
                }
                dues.push((number, worker, due.max(now)));
            }
        }
        // What happens to a process that has ended, nobody notices.
        let exists = |gate: &usize, worker: &usize| {
            self.gates.get(*gate).is_some_and(|gate| *worker < gate.workers())
        };
        dues.retain(|(gate, worker, _)| exists(gate, worker));
        for (gate, worker, due) in dues {
            self.plan_turn(gate, worker, due);
        }
    }

    /// A worker has something to do from `due` on, and takes its turn a little later.
    fn plan_turn(&mut self, gate: usize, worker: usize, due: Tick) {
        let due = self.stopped.get(&gate).map_or(due, |until| due.max(*until));
        let turn = self.turns.entry((gate, worker)).or_insert(Tick::NEVER);
        if *turn > due + self.scenario.turn_delay {
            let micros = self.scenario.turn_delay.as_micros() as usize;
            *turn = due + Duration::from_micros(self.random.between(0, micros) as u64);
        }
    }

    /// Something of the network's, of PostgreSQL's, or of an application's happens.
    fn happen(&mut self, when: Tick) {
        let due = {
            let mut net = self.net.get();
            net.set_now(when);
            let due = net.take_due();
            let words = format!("{due:?}");
            net.note(words.as_bytes());
            due
        };
        let mut net = self.net.get();
        match due {
            Some(Due::Application(number)) => self.applications[number].go_on(&mut net),
            Some(Due::Backend { postgres, pid, work }) => {
                self.postgres[postgres].worked(pid, work, &mut net);
            }
            Some(Due::Plot(place)) => {
                drop(net);
                self.plot_due(place);
                net = self.net.get();
            }
            Some(Due::Connect(_) | Due::GiveUp(_) | Due::Segment(_)) | None => {}
        }
        while let Some((owner, end, notice)) = net.take_notice() {
            match owner {
                Owner::Application(number) => {
                    self.applications[number].notice(end, notice, &mut net);
                }
                Owner::Postgres(number) => {
                    self.postgres[number].notice(end, notice, &mut net);
                }
                Owner::Gate(_) => {}
            }
        }
    }

    // --- What goes wrong. ---

    fn plot_due(&mut self, place: usize) {
        let (_, plot) = self.scenario.plots[place];
        let is_gate = |owner| matches!(owner, Owner::Gate(_));
        let is_postgres = |owner| matches!(owner, Owner::Postgres(_));
        let is_application = |owner| matches!(owner, Owner::Application(_));
        match plot {
            Plot::Census => {
                let primary = &self.postgres[self.primary];
                if primary.phase == Phase::Up && !self.is_failing_over {
                    let pids = primary.pids();
                    self.take_census(&pids);
                }
                self.net.get().after(Duration::from_secs(1), Due::Plot(place));
            }
            Plot::Takeover(address) => self.take_over(address),
            Plot::Serves(number) => self.takeovers[number].serves(&self.gates),
            Plot::Line(number) => {
                if self.takeovers[number].arrive(&self.gates) {
                    self.later(UNSEEN_COOLING, Plot::Cooled(number));
                }
            }
            Plot::Cooled(number) => self.takeovers[number].cool(&self.gates),
            Plot::Drain => {
                self.drained = Some(self.now());
                self.gates.iter().for_each(|gate| gate.shared.drain());
            }
            Plot::Pause(time) => {
                self.gates.iter().for_each(|gate| {
                    gate.shared.pause(&Scope::All).expect("everything can be paused");
                });
                self.later(time, Plot::Resume);
            }
            Plot::Reconnect => {
                let gate = self.random.below(self.gates.len());
                self.gates[gate].shared.reconnect(&Scope::All);
            }
            Plot::Reload => self.reload_one(),
            Plot::KillClient => self.kill_client(),
            Plot::KillServer => self.kill_server(),
            Plot::Resume => {
                self.gates.iter().for_each(|gate| {
                    gate.shared.resume(&Scope::All).expect("everything can be resumed");
                });
            }
            Plot::Terminate => {
                let number = self.random.below(self.postgres.len());
                self.postgres[number].terminate_one(&mut self.net.get());
            }
            Plot::Crash(recovery) if self.may_fall() => {
                self.postgres[self.primary].crash(&mut self.net.get());
                self.later(recovery, Plot::Up(self.primary));
            }
            Plot::Restart(after) if self.may_fall() => {
                self.postgres[self.primary].shut_down(&mut self.net.get());
                self.later(after, Plot::Start(self.primary));
            }
            Plot::Fall(fall) if self.may_fall() => self.fall(fall),
            Plot::Crash(_) | Plot::Restart(_) | Plot::Fall(_) => {}
            Plot::Promote(number) => self.promote(number),
            Plot::Rejoin(number) => self.rejoin(number),
            Plot::Resolve(gate) => {
                let targets = targets(self.scenario.pair, self.primary);
                // Its process may have ended meanwhile.
                self.gates.get(gate).iter().for_each(|gate| gate.names_are_at(targets.clone()));
            }
            Plot::Start(number) => {
                self.postgres[number].start(&mut self.net.get());
                let recovery = self.random.time(Duration::from_secs(1));
                self.later(recovery, Plot::Up(number));
            }
            Plot::Up(number) => {
                self.postgres[number].is_up();
                if number != self.primary {
                    self.is_failing_over = false;
                }
            }
            Plot::Leap(time) => self.leap(time),
            Plot::Stop(time) => self.stop_one(time),
            Plot::CutServer => self.break_one(is_gate, is_postgres, Net::cut),
            Plot::ResetServer => self.break_one(is_gate, is_postgres, Net::reset),
            Plot::CutClient => self.break_one(is_application, is_gate, Net::cut),
            Plot::ResetClient => self.break_one(is_application, is_gate, Net::reset),
        }
    }

    /// Whether the primary serves, and is to go on.
    fn may_fall(&self) -> bool {
        self.postgres[self.primary].phase == Phase::Up && !self.is_failing_over
    }

    /// The primary is one no more.
    fn fall(&mut self, fall: Fall) {
        self.is_failing_over = true;
        let number = self.primary;
        let (old, address) = (&mut self.postgres[number], postgres_address(number));
        let mut net = self.net.get();
        match fall {
            Fall::Crash => {
                net.shut(address);
                old.crash(&mut net);
            }
            Fall::Door => net.shut(address),
            Fall::Dark => {
                net.darken(address);
                old.crash(&mut net);
            }
            Fall::Partition => net.darken(address),
            Fall::ReadOnly => old.set_role(Role { is_read_only: true, ..old.role() }),
            Fall::ShutDown => old.shut_down(&mut net),
        }
        drop(net);
        let after = self.random.time(Duration::from_secs(3));
        self.later(after, Plot::Promote(1 - number));
    }

    /// What was a standby is the primary. The other comes back as one in its stead.
    fn promote(&mut self, number: usize) {
        let epoch = self.postgres[self.primary].epoch + 1;
        self.primary = number;
        let new = &mut self.postgres[number];
        new.epoch = epoch;
        new.set_role(Role { is_standby: false, is_read_only: false, ..new.role() });
        if self.scenario.pair.is_some_and(|pair| pair.is_one_name) {
            for gate in 0..self.gates.len() {
                let after = self.random.time(RESOLVED);
                self.later(after, Plot::Resolve(gate));
            }
        }
        // As long as that takes, somebody may stay at it who should not.
        let after = Duration::from_millis(self.random.between(100, 60_000) as u64);
        self.later(after, Plot::Rejoin(1 - number));
    }

    fn rejoin(&mut self, number: usize) {
        let old = &mut self.postgres[number];
        let mut net = self.net.get();
        net.lighten(postgres_address(number));
        // Whoever is still in is thrown out.
        old.crash(&mut net);
        old.start(&mut net);
        old.set_role(Role { is_standby: true, is_read_only: false, ..old.role() });
        drop(net);
        let recovery = self.random.time(Duration::from_secs(1));
        self.later(recovery, Plot::Up(number));
    }

    /// It is later for everybody.
    fn leap(&mut self, time: Duration) {
        let now = self.now() + time;
        self.net.get().set_now(now);
        // What was to happen meanwhile happens now.
        self.is_calm_from = self.is_calm_from.max(now + Duration::from_secs(1));
        self.drained = self.drained.map(|_| now);
        // What was on its way still is.
        self.moved.values_mut().for_each(|(_, since)| *since = now);
    }

    /// Some gate does nothing for a time, while everybody else goes on.
    fn stop_one(&mut self, time: Duration) {
        let gate = self.random.below(self.gates.len());
        let until = self.now() + time;
        self.stopped.insert(gate, until);
        self.turns.retain(|(stopped, _), _| *stopped != gate);
        self.is_calm_from = self.is_calm_from.max(until);
    }

    /// Some gate gets other sizes of pools, as many connections as before in all at most.
    fn reload_one(&mut self) {
        let gate = self.random.below(self.gates.len());
        let pool_size = self.random.between(1, self.scenario.connections);
        let max_overflow = self.random.between(0, self.scenario.connections - pool_size);
        let shared = &self.gates[gate].shared;
        let mut config = (*shared.config()).clone();
        config.pool.pool_size = pool_size as u32;
        config.pool.max_overflow = max_overflow as u32;
        let prepared = shared.prepare(config).expect("nothing is needed that could be missing");
        shared.put_in_force(prepared);
    }

    /// Some client of some gate is closed: whom the lists show.
    fn kill_client(&mut self) {
        let gate = self.random.below(self.gates.len());
        let drawn = self.random.any() as usize;
        let shared = self.gates[gate].shared.clone();
        self.gates[gate].shared.list(Whom::Clients, ROWS_MAX, move |found: Found| {
            if !found.clients.is_empty() {
                let row = &found.clients[drawn % found.clients.len()];
                shared.kill_client(row.id, |_| {});
            }
        });
    }

    /// Some server of some gate is closed, whoever has it.
    fn kill_server(&mut self) {
        let gate = self.random.below(self.gates.len());
        let shared = &self.gates[gate].shared;
        let now = self.net.get().now();
        let servers = shared.with_pools_quietly(|pools| pools.servers(now));
        if servers.is_empty() {
            return;
        }
        let id = servers[self.random.below(servers.len())].id;
        if !shared.kill_idle(id) {
            shared.kill_server(id, |_| {});
        }
    }

    /// Another process takes over from the one that serves at an address.
    fn take_over(&mut self, address: usize) {
        let old = self.serving[address];
        let is_busy = |takeover: &Takeover| !takeover.is_done && takeover.new == old;
        if self.takeovers.iter().any(is_busy) || self.gates[old].is_shared() {
            return; // It would refuse.
        }
        let new = self.gates.len();
        let seed = self.random.any();
        self.gates.push(make_gate(&self.net, &self.scenario, new, address, seed, self.primary));
        self.serving[address] = new;
        // Where nothing goes wrong, nobody is sent away.
        let drain = self.scenario.config.timeouts.drain;
        let stages = match self.scenario.is_quiet {
            true => [Tick::NEVER; 2],
            false => [self.now() + drain, self.now() + drain + drain],
        };
        let takeover = Takeover::begin(old, new, &self.gates, stages);
        let number = self.takeovers.len();
        self.takeovers.push(takeover);
        let pids = self.postgres[self.primary].pids();
        self.take_census(&pids);
        let start = self.random.time(Duration::from_millis(20));
        self.later(start, Plot::Serves(number));
    }

    /// The two sides of each take-over say what there is to say.
    fn go_on_taking_over(&mut self) {
        let now = self.now();
        for number in 0..self.takeovers.len() {
            let (count, has_ended) = self.takeovers[number].look(&mut self.gates, now);
            for _ in 0..count {
                let delay = self.random.time(Duration::from_micros(500));
                self.later(delay, Plot::Line(number));
            }
            if has_ended {
                let old = self.takeovers[number].old;
                self.turns.retain(|(gate, _), _| *gate != old);
            }
        }
    }

    /// Breaks some connection between these two, if there is one.
    fn break_one(
        &mut self,
        is_one: impl Fn(Owner) -> bool,
        is_other: impl Fn(Owner) -> bool,
        break_it: impl FnOnce(&mut Net, usize),
    ) {
        let mut net = self.net.get();
        let links = net.links_between(is_one, is_other);
        if !links.is_empty() {
            break_it(&mut net, self.random.pick(&links));
        }
    }

    /// Every gate hears which backends there are, and how many of them are not its own.
    fn take_census(&mut self, pids: &[u32]) {
        let max_connections = (self.scenario.connections * self.scenario.gates) as u32;
        let limits = ServerLimits { max_connections, superuser_reserved: 0, reserved: 0 };
        for gate in &self.gates {
            gate.shared.backends_left(pids);
            gate.shared.with_pools(|pools| {
                let own = pools.pids();
                let elders = gate.shared.elder_pids();
                let is_foreign = |pid: &&u32| !own.contains(pid) && !elders.contains(pid);
                let foreign = pids.iter().filter(is_foreign).count() as u32;
                let server = Server::Known(limits);
                pools.budget_mut().census(Census { server, foreign, ..Census::unknown() });
            });
        }
    }

    // --- Whether all is as it must be. ---

    fn check(&mut self) -> Checked {
        let said = self.applications.iter().find(|a| !a.violations.is_empty());
        if let Some(application) = said {
            let history = application.remembered();
            return Err(format!("{}\n{history}", application.violations[0]));
        }
        for postgres in &self.postgres {
            if let Some(words) = postgres.violations.first() {
                return Err(format!("PostgreSQL: {words}"));
            }
        }
        self.nobody_stays_behind()?;
        if let Some(drained) = self.drained {
            for (number, gate) in self.gates.iter().enumerate() {
                let told = self.stopped.get(&number).map_or(drained, |until| drained.max(*until));
                if self.now() <= told + Duration::from_secs(1) {
                    continue;
                }
                let waiting: u32 =
                    gate.shared.view().pools.iter().map(|pool| pool.tally.waiting()).sum();
                if waiting > 0 {
                    return Err(format!("{waiting} wait for a gate that is shut down"));
                }
            }
        }
        Ok(())
    }

    /// Once a gate has been at the new primary, no transaction begins at an old one any more, but for
    /// those of clients that keep their server.
    fn nobody_stays_behind(&mut self) -> Checked {
        let now = self.now();
        let held_max = if self.scenario.has_timeouts {
            self.scenario.config.timeouts.cancel
        } else {
            Duration::ZERO
        };
        let on_its_way_max = ON_ITS_WAY_MAX + held_max;
        for postgres in &mut self.postgres {
            for Begun { client, end, is_pinned } in postgres.begun.drain(..) {
                let Owner::Gate(gate) = self.net.get().peer_of(end) else { continue };
                let (epoch, since) = self.moved.entry(gate).or_insert((0, now));
                if postgres.epoch > *epoch {
                    (*epoch, *since) = (postgres.epoch, now);
                }
                let keeps = is_pinned
                    || self.applications.iter().any(|application| {
                        application.name == client && application.port == Port::Session
                    });
                if postgres.epoch < *epoch && !keeps && now > *since + on_its_way_max {
                    return Err(format!("{client} begins at an old primary"));
                }
            }
        }
        Ok(())
    }

    fn backends(&self) -> usize {
        self.postgres.iter().map(|postgres| postgres.pids().len()).sum()
    }

    fn unfinished(&self, words: &str) -> String {
        let unfinished = self.applications.iter().filter(|application| !application.is_done());
        let standings: Vec<_> = unfinished.clone().map(Application::standing).collect();
        let first = unfinished.map(Application::remembered).next().unwrap_or_default();
        format!("{words}: {}\n{first}    {}", standings.join("; "), self.numbers())
    }

    fn numbers(&self) -> String {
        let gates = self.gates.iter().map(|gate| {
            let view = gate.shared.view();
            let pools = view.pools.iter().map(|pool| {
                let states = State::ALL
                    .map(|state| format!("{} {}", pool.tally.in_state(state), state.as_str()));
                format!("{} wait, {}", pool.tally.waiting(), states.join(", "))
            });
            let pools = pools.collect::<Vec<_>>().join("; ");
            format!("used {}: {pools}", view.budget.used)
        });
        let gates = gates.collect::<Vec<_>>().join(" | ");
        let standing: Vec<_> = self.postgres.iter().map(Postgres::standing).collect();
        format!("{gates}\n    backends {}", standing.join(" | "))
    }

    /// Everybody has gone: what they left is put in order.
    fn settle(&mut self) -> Checked {
        let until = self.now() + KERNEL_PATIENCE;
        while self.now() < until && !self.is_at_rest() {
            self.step()?;
            self.end_processes();
        }
        if self.is_at_rest() { Ok(()) } else { Err(format!("no rest: {}", self.numbers())) }
    }

    /// Those that have been shut down end, whatever they still have, and the kernel closes that.
    fn end_processes(&mut self) {
        for (number, gate) in self.gates.iter_mut().enumerate() {
            if self.drained.is_some() && gate.is_over() && gate.workers() > 0 {
                gate.end();
                self.turns.retain(|(ended, _), _| *ended != number);
            }
        }
    }

    fn is_at_rest(&self) -> bool {
        let backends = self.backends();
        let mut used = 0;
        if self.takeovers.iter().any(|takeover| !takeover.is_done) {
            return false;
        }
        let serving = self.serving.iter().map(|gate| &self.gates[*gate]);
        for gate in serving.filter(|gate| gate.workers() > 0) {
            let view = gate.shared.view();
            used += view.budget.used as usize;
            let is_at_rest = !gate.is_shared()
                && view.pools.iter().all(|pool| {
                    let tally = &pool.tally;
                    tally.total() == tally.in_state(State::Idle)
                        && tally.waiting() == 0
                        && tally.pinned == 0
                        && tally.ports.iter().all(|port| port.clients == 0)
                });
            if !is_at_rest {
                return false;
            }
        }
        used == backends
    }

    fn close_down(&mut self) -> Checked {
        self.gates.iter().for_each(|gate| gate.shared.drain());
        let until = self.now() + Duration::from_secs(60);
        while !self.gates.iter().all(PlayedGate::is_over) {
            self.step()?;
            if self.now() > until {
                return Err(format!("a gate does not end: {}", self.numbers()));
            }
        }
        // Its process ends, and the kernel closes what it had.
        self.gates.clear();
        self.turns.clear();
        let until = self.now() + KERNEL_PATIENCE;
        while self.backends() > 0 {
            self.step()?;
            if self.now() > until {
                return Err(format!("a backend does not end: {}", self.numbers()));
            }
        }
        Ok(())
    }

    /// What applications were told is true.
    fn compare_ledger(&self) -> Checked {
        let mut entered = BTreeSet::new();
        for line in self.postgres.iter().flat_map(|postgres| &postgres.ledger) {
            if !entered.insert(line) {
                return Err(format!("{line} was done twice"));
            }
        }
        for application in &self.applications {
            for (line, told) in &application.lines {
                let is_entered = entered.contains(line);
                match told {
                    Told::Committed if !is_entered => {
                        return Err(format!("{line} was lost, although it was committed"));
                    }
                    Told::Failed if is_entered => {
                        let history = application.remembered();
                        let words = "was done, although it was said to have failed";
                        return Err(format!("{line} {words}\n{history}"));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
