//! A gate in a world that is played: the same workers, without a thread or a socket of their own.
//!
//! Whoever plays ([`crate::world::World`]) calls each worker's turns, one after another, and decides
//! what has happened between two of them. With the same seed and the same events a gate does the
//! same.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidegate_config::Config;
use tidegate_pool_core::server::Port;
use tidegate_wire::tick::Tick;

use crate::clock::Clock;
use crate::crypto::Crew;
use crate::dial::Network;
use crate::entropy::Entropy;
use crate::gate::GateError;
use crate::listener::{Listener, PortListener};
use crate::locks::lock;
use crate::resolver::{Resolver, Target};
use crate::settings;
use crate::shared::{Mail, Mailbox, Parts, Shared, Tls};
use crate::token::Source;
use crate::users::Users;
use crate::worker::Worker;
use crate::world::{Arrivals, Event, Registry, Waker, World};

/// What a gate is played with.
#[derive(Debug)]
pub struct Play {
    /// Its settings. The addresses in them are not used.
    pub config: Arc<Config>,
    /// Its world.
    pub world: Arc<dyn World>,
    /// What its randomness follows from.
    pub seed: u64,
    /// Where PostgreSQL is.
    pub targets: Vec<Target>,
    /// Where clients come to.
    pub arrivals: Vec<(Port, Arc<dyn Arrivals>)>,
}

/// A gate that is played.
pub struct PlayedGate {
    /// What its workers share.
    pub shared: Arc<Shared>,
    workers: Vec<Worker>,
}

impl PlayedGate {
    /// A gate that nothing has happened to yet.
    ///
    /// # Errors
    /// The settings name what can't be had.
    pub fn new(play: Play) -> Result<Self, GateError> {
        let Play { config, world, seed, targets, arrivals } = play;
        let mut entropy = Entropy::of(seed);
        let count = config.listen.workers.get();
        let mailbox = |index| Mailbox::new(Waker::Played(true.into()), Registry::Played(index));
        let shared = Arc::new(Shared::new(Parts {
            clock: Clock::of(world.clone()),
            network: Network::Played(world),
            resolver: Resolver::of(targets),
            crew: Crew::of_none(),
            pools: settings::pools(&config, &mut entropy),
            users: Users::new(&config, &mut entropy)?,
            tls: Tls::load(&config)?,
            mailboxes: (0..count).map(mailbox).collect(),
            clients_max: config.listen.clients_max,
            config,
        }));
        let workers = (0..count).map(|index| {
            let listeners = arrivals.iter().map(|(port, arrivals)| PortListener {
                port: *port,
                listener: Listener::Played(arrivals.clone()),
            });
            let registry = Registry::Played(index);
            let entropy = Entropy::of(entropy.u64());
            Worker::new(index, shared.clone(), registry, listeners.collect(), entropy)
        });
        let workers = workers.collect::<io::Result<_>>()?;
        Ok(Self { shared, workers })
    }

    /// How many workers it has.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Lets a worker take a turn, with what has happened since its last.
    pub fn turn(&mut self, worker: usize, events: &[Event]) {
        let waker = &self.shared.mailboxes[worker].waker;
        let is_woken =
            matches!(waker, Waker::Played(woken) if woken.swap(false, Ordering::Relaxed));
        let mail = Event {
            token: Source::Mailbox.token().0,
            readable: true,
            writable: false,
            closed: false,
        };
        let mail = is_woken.then_some(mail);
        self.workers[worker].turn(events.iter().copied().chain(mail));
    }

    /// When a worker's next turn is due, if nothing happens before.
    pub fn due(&mut self, worker: usize) -> Tick {
        if self.workers[worker].is_over() {
            return Tick::NEVER;
        }
        match &self.shared.mailboxes[worker].waker {
            Waker::Played(woken) if woken.load(Ordering::Relaxed) => Tick::ZERO,
            _ => self.workers[worker].due(),
        }
    }

    /// What is in nobody's hands, though it ought to be. Between two turns there is nothing.
    ///
    /// # Errors
    /// Says what was lost.
    pub fn nothing_is_lost(&self) -> Result<(), String> {
        let (servers, waiting) = self.shared.pools().at_large();
        let mut found = lock(&self.shared.zombies).len();
        let (mut tickets, mut on_their_way) = (0, 0);
        for (worker, mailbox) in self.workers.iter().zip(self.shared.mailboxes.iter()) {
            let (servers, waiting) = worker.at_hand();
            found += servers;
            tickets += waiting;
            for mail in &*lock(&mailbox.mail) {
                found += usize::from(matches!(mail, Mail::HandOff(..)));
                on_their_way += usize::from(matches!(mail, Mail::HandOff(..) | Mail::Refuse(..)));
            }
        }
        if servers != found {
            return Err(format!("{servers} servers are not idle, and workers have {found}"));
        }
        // Who has gone meanwhile does not wait for what is on its way any more.
        if !(waiting..=waiting + on_their_way).contains(&tickets) {
            return Err(format!("{waiting} checkouts wait, and {tickets} clients"));
        }
        Ok(())
    }

    /// Whether it has shut down.
    pub fn is_over(&self) -> bool {
        self.workers.iter().all(Worker::is_over)
    }
}
