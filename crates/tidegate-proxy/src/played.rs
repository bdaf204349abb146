//! A gate in a world that is played: the same workers, without a thread or a socket of their own.
//!
//! Whoever plays ([`crate::world::World`]) calls each worker's turns, one after another, and decides
//! what has happened between two of them. With the same seed and the same events a gate does the
//! same.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidegate_budget::budget::Share;
use tidegate_config::Config;
use tidegate_pool_core::queue::Ticket;
use tidegate_pool_core::server::{PoolId, Port, ServerId};
use tidegate_wire::tick::Tick;

use crate::channel::Socket;
use crate::clock::Clock;
use crate::crypto::Crew;
use crate::dial::Network;
use crate::entropy::Entropy;
use crate::gate::GateError;
use crate::limits::MEMORY_MAX_UNKNOWN;
use crate::listener::{Listener, PortListener};
use crate::locks::lock;
use crate::resolver::{Resolver, Target};
use crate::settings;
use crate::shared::{Mail, Mailbox, Parts, Shared, Tls};
use crate::succession::{Asker, ForeignCancel, Giving, Moved};
use crate::token::Source;
use crate::users::Users;
use crate::worker::Worker;
use crate::world::{Arrivals, Event, Registry, Stream, Waker, World};

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

/// A client on its way from one gate that is played to another.
#[derive(Debug)]
pub struct PlayedClient {
    stream: Box<dyn Stream>,
    parcel: Vec<u8>,
}

/// A cancel that the gate which is taken over from is to be asked for.
#[derive(Debug)]
pub struct PlayedCancel {
    /// Whom it is for.
    pub pid: u32,
    /// What proves it.
    pub secret: Vec<u8>,
    asker: Asker,
}

/// A client as it stands between two turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its worker, and what it is called there.
    pub client: (usize, u64),
    /// Its pool.
    pub pool: PoolId,
    /// Its place in the queue, if it waits for a server.
    pub waits: Option<Ticket>,
    /// The end of its wait is on its way to it.
    pub is_next: bool,
    /// The server that it has.
    pub has: Option<ServerId>,
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
            memory_max: MEMORY_MAX_UNKNOWN,
            config,
        }));
        let workers = (0..count).map(|index| {
            let listeners = arrivals.iter().map(|(port, arrivals)| {
                let listener = Listener::Played(arrivals.clone());
                PortListener { port: *port, configured: listener.address(), listener }
            });
            let registry = Registry::Played(index);
            let entropy = Entropy::of(entropy.u64());
            Worker::new(index, shared.clone(), registry, listeners.collect(), entropy)
        });
        let workers = workers.collect::<io::Result<_>>()?;
        Ok(Self { shared, workers })
    }

    /// The names of the upstream are looked up, and these are their addresses now.
    pub fn names_are_at(&self, targets: Vec<Target>) {
        self.shared.resolver.found(targets);
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
            mailbox.mail.look(|mail| {
                found += usize::from(matches!(mail, Mail::HandOff(..)));
                on_their_way += usize::from(matches!(mail, Mail::HandOff(..) | Mail::Refuse(..)));
            });
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

    /// The clients that wait for a server, or have one.
    pub fn standings(&self) -> Vec<Standing> {
        let workers = self.workers.iter().zip(self.shared.mailboxes.iter()).enumerate();
        let mut standings = Vec::new();
        for (number, (worker, mailbox)) in workers {
            let mut ended = Vec::new();
            mailbox.mail.look(|mail| {
                if let Mail::HandOff(_, ticket, _) | Mail::Refuse(_, ticket, _) = mail {
                    ended.push(*ticket);
                }
            });
            let ends_wait = |ticket: Ticket| ended.contains(&ticket);
            standings.extend(worker.standings().map(|(key, pool, ticket, has)| Standing {
                client: (number, key.to_bits()),
                pool,
                waits: ticket,
                is_next: ticket.is_some_and(ends_wait),
                has,
            }));
        }
        standings
    }

    // --- Take-over: whoever plays is the line between the two gates. ---

    /// It accepts no more.
    pub fn begin_giving(&self) {
        self.shared.set_giving(Giving::Listeners);
    }

    /// Its clients go over when they are at rest.
    pub fn give_clients(&self) {
        self.shared.set_giving(Giving::Clients);
    }

    /// Those at rest that can't go over are told to connect again.
    pub fn send_away(&self) {
        self.shared.set_giving(Giving::Everyone);
    }

    /// Whoever is still there has had its time: it shuts down at once.
    pub fn end_giving(&self) {
        self.shared.succession.time_is_up();
        self.shared.drain();
    }

    /// The next client that goes over.
    pub fn take_moved(&self) -> Option<PlayedClient> {
        match self.shared.succession.take_moved()? {
            Moved { socket: Socket::Played(stream), parcel } => {
                Some(PlayedClient { stream, parcel })
            }
            Moved { .. } => None,
        }
    }

    /// How many slots it holds at most, which it keeps to, while the other gate has so many clients;
    /// and its backends. When it `is_over`, it gives all of them.
    pub fn keep_to_share(&self, is_over: bool, others: u32) -> (u32, Arc<[u32]>) {
        self.shared.keep_to_share(is_over, others)
    }

    /// Whether it has no clients any more, and nobody who is about to become one.
    pub fn has_nobody(&self) -> bool {
        self.shared.has_nobody()
    }

    /// Cancels what a client runs, for the other gate.
    pub fn cancel_for_successor(&self, id: u64, cancel: &PlayedCancel) {
        self.shared.cancel_for_successor(id, cancel.pid, cancel.secret.clone());
    }

    /// Cancels that need no more waiting for, by the ids that the other gate gave them.
    pub fn take_cancelled(&self) -> Vec<u64> {
        self.shared.succession.take_cancelled()
    }

    /// It takes over from a gate that holds so many slots at most and has these backends.
    pub fn elder_holds(&self, held: u32, pids: Arc<[u32]>) {
        self.shared.elder_holds(held, pids);
    }

    /// A client comes over, to the gate that is the process with this number.
    pub fn take_in(&self, client: PlayedClient, process: usize, number: usize) {
        let PlayedClient { mut stream, parcel } = client;
        stream.pass_to(process);
        self.shared.take_in(Moved { socket: Socket::Played(stream), parcel }, number);
    }

    /// Cancels that it asks the other gate for.
    pub fn take_cancels(&self) -> Vec<PlayedCancel> {
        let cancels = self.shared.succession.take_cancels().into_iter();
        cancels
            .map(|ForeignCancel { pid, secret, asker }| PlayedCancel { pid, secret, asker })
            .collect()
    }

    /// The other gate has done what there was to do for a cancel.
    pub fn release(&self, cancel: &PlayedCancel) {
        self.shared.release(cancel.asker);
    }

    /// Whether its budget is shared with another gate, or with what one has left.
    pub fn is_shared(&self) -> bool {
        self.shared.pools().budget_mut().share() != Share::Whole
    }

    /// The other gate has ended.
    pub fn elder_ended(&self) {
        self.shared.succession.elder_ended();
    }

    /// What it had is free, but for what the census still sees.
    pub fn elder_is_gone(&self, held: u32) {
        self.shared.elder_is_gone(held);
    }

    /// Its process ends, and with it every connection that it still has.
    pub fn end(&mut self) {
        self.workers.clear();
    }

    /// Whether it has shut down.
    pub fn is_over(&self) -> bool {
        self.workers.iter().all(Worker::is_over)
    }
}
