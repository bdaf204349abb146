//! The gate: opens the listeners, starts the workers, and stops them.
//!
//! It is started in two steps, since one that takes over from another ([`crate::takeover`]) must have
//! done everything that can fail before the other stops accepting.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use mio::Poll;

use tidegate_config::{Config, ListenAddress};
use tidegate_pool_core::server::Port;

use crate::clock::Clock;
use crate::crypto::Crew;
use crate::dial::Network;
use crate::entropy::Entropy;
use crate::limits;
use crate::listener::{ListenError, Listener, PortListener};
use crate::resolver::Resolver;
use crate::settings;
use crate::shared::{Mailbox, Parts, Shared, Tls};
use crate::takeover::giving::{Offer, Role};
use crate::takeover::taking::{Begun, Elder};
use crate::tasks;
use crate::tls::expiry::expiring;
use crate::tls::files::FileError;
use crate::token::Source;
use crate::users::{UserError, Users};
use crate::worker::Worker;
use crate::world::{Registry, Waker};

/// Why the gate could not start.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// An address could not be had.
    #[error("{0}")]
    Listen(#[from] ListenError),
    /// A certificate or key is wrong.
    #[error("{0}")]
    Tls(#[from] FileError),
    /// A user in the settings is wrong.
    #[error("{0}")]
    User(#[from] UserError),
    /// The kernel refused something that it gives to everybody.
    #[error("the kernel refused: {0}")]
    Kernel(#[from] io::Error),
    /// The limit of file descriptors leaves no room for clients.
    #[error(
        "the limit of {limit} file descriptors leaves no room for clients; raise it to {needed} \
         (LimitNOFILE= in systemd, ulimit -n)"
    )]
    Descriptors {
        /// The limit.
        limit: u64,
        /// What the settings need.
        needed: u64,
    },
}

/// A running gate.
pub struct Gate {
    /// What the workers share with the rest of the process.
    pub shared: Arc<Shared>,
    addresses: Vec<(Port, ListenAddress)>,
    offers: Vec<Offer>,
    workers: Vec<JoinHandle<()>>,
}

/// A gate whose listeners are open and that accepts nothing yet.
pub struct Prepared {
    shared: Arc<Shared>,
    listeners: Vec<PortListener>,
    offers: Vec<Offer>,
    workers: Vec<(Sender<()>, JoinHandle<()>)>,
}

/// How many servers a budget may have that no plan limits: enough for what one PostgreSQL can
/// serve, and only used to reckon with file descriptors.
const SERVERS_MAX: u32 = 500;

impl GateError {
    /// Whether the settings must be changed, or the files that they name.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::User(_))
    }
}

/// Looks at what the settings name, as a gate would at its start, without starting one: are the
/// certificates, keys, and verifiers what they should be?
///
/// # Errors
/// The first that is wrong.
pub fn check(config: &Config) -> Result<(), GateError> {
    Users::new(config, &mut Entropy::new())?;
    Tls::load(config)?;
    Ok(())
}

impl Gate {
    /// Opens the listeners, but for those that come from `elder`, and makes everything that workers
    /// need.
    ///
    /// # Errors
    /// [`GateError`]; nothing was started, and nothing stays open.
    pub fn prepare(
        config: Arc<Config>,
        mut elder: Option<&mut Elder>,
    ) -> Result<Prepared, GateError> {
        let servers_max = config.plan.limit().or(config.upstream.connections);
        let servers_max = servers_max.unwrap_or(SERVERS_MAX);
        let descriptors = limits::raise(config.listen.clients_max, servers_max);
        if descriptors.clients_max == 0 {
            let limits::Descriptors { limit, needed, .. } = descriptors;
            return Err(GateError::Descriptors { limit, needed });
        }
        if descriptors.clients_max < config.listen.clients_max {
            tracing::warn!(
                limit = descriptors.limit,
                needed = descriptors.needed,
                clients_max = descriptors.clients_max,
                "file descriptors are short: fewer clients than listen.clients_max can be served; \
                 raise LimitNOFILE"
            );
        }
        let mut entropy = Entropy::new();
        let users = Users::new(&config, &mut entropy)?;
        let tls = Tls::load(&config)?;
        for expiring in expiring(&config) {
            tracing::warn!("{expiring}");
        }
        let (mut listeners, mut offers) = (Vec::new(), Vec::new());
        let ports = [
            (Port::Session, Role::Session, &config.listen.session),
            (Port::Transaction, Role::Transaction, &config.listen.transaction),
        ];
        for (port, role, addresses) in ports {
            for address in addresses {
                let name = address.to_string();
                let inherited = elder.as_mut().and_then(|elder| elder.take(role, &name));
                let listener = match inherited {
                    Some(socket) => Listener::inherited(address, socket)?,
                    None => Listener::open(address)?,
                };
                offers.push(Offer { role, address: name, socket: listener.offer()? });
                listeners.push(PortListener { port, configured: address.clone(), listener });
            }
        }
        let count = config.listen.workers.get();
        let mut polls = Vec::new();
        let mut mailboxes = Vec::new();
        for _ in 0..count {
            let poll = Poll::new()?;
            let waker = mio::Waker::new(poll.registry(), Source::Mailbox.token())?;
            let registry = Registry::Kernel(poll.registry().try_clone()?);
            mailboxes.push(Mailbox::new(Waker::Kernel(waker), registry));
            polls.push(poll);
        }
        let pools = settings::pools(&config, &mut entropy);
        let shared = Arc::new(Shared::new(Parts {
            clock: Clock::new(),
            network: Network::Kernel,
            resolver: Resolver::start(&config.upstream.hosts),
            crew: Crew::start(),
            pools,
            users,
            tls,
            mailboxes,
            clients_max: descriptors.clients_max,
            memory_max: limits::memory_max(),
            config,
        }));
        let mut workers = Vec::new();
        for (index, poll) in polls.into_iter().enumerate() {
            let own: Vec<_> = listeners
                .iter()
                .map(|open| {
                    let listener = open.listener.try_clone()?;
                    let configured = open.configured.clone();
                    Ok(PortListener { port: open.port, configured, listener })
                })
                .collect::<io::Result<_>>()?;
            let number = u16::try_from(index).unwrap_or(u16::MAX);
            let registry = Registry::Kernel(poll.registry().try_clone()?);
            let worker = Worker::new(number, shared.clone(), registry, own, Entropy::new())?;
            // Threads can be refused as well: they wait until they are to begin.
            let (start, started) = channel();
            let thread = tasks::spawn(&format!("tg-worker-{index}"), move || {
                if started.recv().is_ok() {
                    worker.run(poll);
                }
            });
            workers.push((start, thread));
        }
        Ok(Prepared { shared, listeners, offers, workers })
    }

    /// Where it listens, with the ports that the kernel chose.
    pub fn addresses(&self) -> &[(Port, ListenAddress)] {
        &self.addresses
    }

    /// The listening sockets of its ports, for a process that takes over.
    pub fn take_offers(&mut self) -> Vec<Offer> {
        std::mem::take(&mut self.offers)
    }

    /// Lets the work end and waits for it, at most `timeouts.drain`.
    ///
    /// # Panics
    /// When a worker has panicked, which is a bug.
    pub fn drain(self) {
        let Self { shared, offers, workers, .. } = self;
        // They hold the ports open, and who connects now would wait in vain.
        drop(offers);
        shared.drain();
        for worker in workers {
            worker.join().expect("workers do not panic");
        }
    }

    /// Whether a thread has ended by itself, which only a bug can do.
    pub fn is_broken(&self) -> bool {
        self.workers.iter().any(JoinHandle::is_finished) || self.shared.crew.is_broken()
    }
}

impl Prepared {
    /// What its workers will share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Lets the workers begin; with what the gate held that this one takes over from. Nothing of it can
    /// fail: while it happens, nobody accepts connections.
    pub fn start(self, begun: Option<&Begun>) -> Gate {
        let Self { shared, listeners, offers, workers } = self;
        if let Some(begun) = begun {
            begun.prepare(&shared);
        }
        let addresses = listeners.iter().map(|open| (open.port, open.listener.address())).collect();
        // The files of sockets are this gate's from now on.
        listeners.iter().for_each(|open| open.listener.set_anothers(false));
        let begin = |(start, thread): (Sender<()>, JoinHandle<()>)| {
            // A thread that is gone has panicked, which is found out at once.
            let _ = start.send(());
            thread
        };
        let workers = workers.into_iter().map(begin).collect();
        Gate { shared, addresses, offers, workers }
    }
}
