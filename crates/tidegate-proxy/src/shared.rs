//! What the workers of one upstream share.
//!
//! Everything here stands behind a lock that guards data and is never held across I/O. On the
//! path of a query there is one: that of the pools, taken once to get a server and once to give
//! it back.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tidegate_budget::budget::Share;
use tidegate_config::{Config, TargetSession, UpstreamKind};
use tidegate_observe::front::Front;
use tidegate_observe::ledger::Ledger;
use tidegate_observe::traffic::Traffic;
use tidegate_pool_core::order::CheckoutError;
use tidegate_pool_core::pools::{Pools, View};
use tidegate_pool_core::queue::Ticket;
use tidegate_pool_core::server::{Lease, PoolKey, Port, ServerId};
use tidegate_session::client_login::Credential;
use tidegate_session::parameters::{ReportedValues, SessionSettings};
use tidegate_session::prepared::interner::{Interner, Library};
use tidegate_session::prepared::{Environment, Statement};
use tidegate_wire::catalogue::Complaint;
use tidegate_wire::scram::{Derivation, SaltedKeys, Verifier};
use tidegate_wire::tick::Tick;

use crate::cancel_places::CancelPlaces;
use crate::clock::Clock;
use crate::complaints;
use crate::crypto::Crew;
use crate::dial::Network;
use crate::listener::PortListener;
use crate::locks::lock;
use crate::logins::FailedLogins;
use crate::memory::Memory;
use crate::post::Post;
use crate::resolver::{Resolver, Target};
use crate::roster::{ClientId, Killed, Listing, Reply};
use crate::server::Server;
use crate::settings;
use crate::succession::{Asker, Giving, Moved, Succession};
use crate::tls::acceptor::Acceptor;
use crate::tls::connection::{Step, Stepped};
use crate::tls::connector::Connector;
use crate::tls::files::FileError;
use crate::token::{ClientKey, Source};
use crate::users::Users;
use crate::visitors::{Reception, Then, Visit, VisitorId};
use crate::welcome::Welcome;
use crate::world::{Registry, Waker};

/// What is known of the upstream's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The first server that logs in will tell.
    Unknown,
    /// PostgreSQL itself: pids and limits mean what they say.
    Direct,
    /// Another pooler: only the plan's limit counts.
    Pooler,
}

impl Kind {
    /// The word for logs and status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Direct => "direct",
            Self::Pooler => "pooler",
        }
    }
}

/// Something for a worker from elsewhere.
pub(crate) enum Mail {
    /// Cancel what the client with this key runs, if this is its secret.
    Cancel(ClientKey, Vec<u8>, Asker),
    /// What a connection of this worker asked to have cancelled needs no more waiting for.
    Cancelled(ClientKey),
    /// A client of this worker that waited with this ticket gets a server.
    HandOff(ClientKey, Ticket, Lease<Box<Server>>),
    /// A client of this worker that waited with this ticket gets none.
    Refuse(ClientKey, Ticket, CheckoutError),
    /// An operator wants this client closed.
    KillClient(ClientId, Reply<Killed>),
    /// An operator wants this server closed.
    KillServer(ServerId, Reply<Killed>),
    /// Somebody wants to know who is connected.
    List(Box<Listing>),
    /// Other settings are in force.
    Reload(Arc<Config>),
    /// The keys of a password, for a server that logs in.
    Derived(ServerId, SaltedKeys),
    /// A step of a TLS handshake has been done.
    Stepped(Source, Box<Stepped>),
    /// What was found of the user that a client logs in as; or why nobody could be asked.
    UserFound(ClientKey, Result<Credential, Arc<str>>),
    /// A client comes from another process.
    TakeIn(Box<Moved>),
    /// Connections are to be accepted here, too.
    Listen(PortListener),
    /// Nobody is to listen any more at this port's address, given as the settings have it.
    ListenNoMore(Port, String),
    /// What a visitor of the console is told, and what follows.
    Visitor(ClientKey, Vec<u8>, Then),
}

/// Where a worker is reached.
pub(crate) struct Mailbox {
    pub(crate) waker: Waker,
    pub(crate) mail: Post<Mail>,
    pub(crate) registry: Registry,
    /// Counts the times that the worker has looked here; [`ENDED`] once it never will again.
    pulse: AtomicU64,
}

/// No worker lives for so many turns.
const ENDED: u64 = u64::MAX;

/// How often a worker has looked for mail: a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse(u64);

impl Pulse {
    /// Whether the worker has shown itself since, or has ended as it should.
    pub fn is_after(self, before: Self) -> bool {
        self.0 == ENDED || self != before
    }
}

impl Mailbox {
    pub(crate) fn new(waker: Waker, registry: Registry) -> Self {
        Self { waker, mail: Post::new(), registry, pulse: AtomicU64::new(0) }
    }

    /// Its worker is alive.
    pub(crate) fn beat(&self) {
        self.pulse.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn pulse(&self) -> Pulse {
        Pulse(self.pulse.load(Ordering::Relaxed))
    }

    /// Its worker has ended in good order.
    pub(crate) fn ended(&self) {
        self.pulse.store(ENDED, Ordering::Relaxed);
    }

    pub(crate) fn put(&self, mail: Mail) {
        self.mail.put(mail, || self.wake());
    }

    pub(crate) fn wake(&self) {
        self.waker.wake();
    }
}

/// Sets of startup parameters that are remembered; applications have a few each. When there are
/// more, all are forgotten and learned again, at one checkout each. 1024 x 1 kB = 1 MB.
const WELCOMES_MAX: usize = 1024;

/// What connections are secured with, on both sides, where they are.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    /// Towards clients.
    pub(crate) acceptor: Option<Arc<Acceptor>>,
    /// Towards PostgreSQL.
    pub(crate) connector: Option<Arc<Connector>>,
}

impl Tls {
    /// Reads the files that the settings name.
    pub(crate) fn load(config: &Config) -> Result<Self, FileError> {
        Ok(Self {
            acceptor: settings::acceptor(config)?.map(Arc::new),
            connector: settings::connector(config)?.map(Arc::new),
        })
    }
}

/// Asks somebody to look up a user; [`Shared::user_found`] is the answer.
type Ask = Box<dyn Fn(&str) + Send + Sync>;

type Welcomes = BTreeMap<PoolKey, Vec<Arc<Welcome>>>;

/// A server whose connection has ended without a goodbye: its slot is held until the census has
/// seen that the backend is gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Zombie {
    pub(crate) server: ServerId,
    pub(crate) pid: u32,
    pub(crate) since: Tick,
}

/// How long a slot stays taken after a connection broke when there is no census to see the
/// backend go, or no pid by which it could be seen. A backend that does nothing ends at once when
/// its client's machine answers with a reset; one that works finds out when it writes.
pub const UNSEEN_COOLING: Duration = Duration::from_secs(10);

/// Everything that the workers, the control plane, and the census of one upstream share.
pub struct Shared {
    /// The settings in force. Workers have them at hand ([`Mail::Reload`]).
    config: Mutex<Arc<Config>>,
    /// The one clock.
    pub clock: Clock,
    /// Counters of what happens before a client has a pool.
    pub front: Front,
    /// Where the upstream is.
    pub resolver: Resolver,
    /// Its name for messages: its addresses.
    pub upstream: String,
    pub(crate) network: Network,
    pub(crate) pools: Mutex<Pools<Box<Server>>>,
    pub(crate) users: Users,
    /// Statements that clients have prepared. Locked when one is defined, never when it is used.
    pub(crate) statements: Mutex<Interner>,
    /// What clients make the gate keep.
    pub memory: Arc<Memory>,
    /// How many of them a server keeps; none: their names are passed on and pin.
    pub(crate) statements_max: Option<usize>,
    /// Shared by itself, since jobs of the crew outlive what they are part of.
    pub(crate) mailboxes: Arc<[Mailbox]>,
    pub(crate) crew: Crew,
    tls: Mutex<Tls>,
    /// Who looks up users, once it has said so.
    ask: Mutex<Option<Ask>>,
    pub(crate) succession: Succession,
    pub(crate) reception: Reception,
    pub(crate) failed_logins: Mutex<FailedLogins>,
    pub(crate) zombies: Mutex<Vec<Zombie>>,
    /// Connections that are logged in or have a place reserved to.
    pub(crate) clients: AtomicU32,
    pub(crate) clients_max: u32,
    /// [`Parts::memory_max`].
    pub(crate) memory_max: u64,
    pub(crate) cancel_places: CancelPlaces,
    welcomes: Mutex<Welcomes>,
    traffic: Mutex<BTreeMap<(PoolKey, Port), Arc<Traffic>>>,
    kind: AtomicU8,
    draining: AtomicBool,
    census_works: AtomicBool,
    /// `server_version_num`; 0 while it is not known.
    version: AtomicU32,
    is_watch_refused: AtomicBool,
    ledger: Mutex<Option<Arc<Ledger>>>,
}

/// Where the statements of all clients of all workers are kept.
pub(crate) struct SharedLibrary<'a> {
    all: &'a Mutex<Interner>,
    memory: &'a Memory,
}

impl Library for SharedLibrary<'_> {
    fn intern(&mut self, environment: Option<&Environment>, definition: &[u8]) -> Arc<Statement> {
        lock(self.all).intern(environment, definition)
    }

    fn recall(&mut self, environment: &Environment, definition: &[u8]) -> Option<Arc<Statement>> {
        if self.memory.is_full_of_statements() {
            return None;
        }
        lock(self.all).recall(environment, definition)
    }

    fn has_room(&self) -> bool {
        !self.memory.is_full_of_statements()
    }
}

/// What [`Shared`] is made of.
pub(crate) struct Parts {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clock,
    pub(crate) network: Network,
    pub(crate) resolver: Resolver,
    pub(crate) crew: Crew,
    pub(crate) pools: Pools<Box<Server>>,
    pub(crate) users: Users,
    pub(crate) tls: Tls,
    pub(crate) mailboxes: Vec<Mailbox>,
    pub(crate) clients_max: u32,
    /// Bytes that clients may take where the settings do not say.
    pub(crate) memory_max: u64,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { config, clock, network, resolver, crew, .. } = parts;
        let Parts { pools, users, tls, mailboxes, clients_max, memory_max, .. } = parts;
        let kind = match config.upstream.kind {
            UpstreamKind::Auto => Kind::Unknown,
            UpstreamKind::Direct => Kind::Direct,
            UpstreamKind::Pooler => Kind::Pooler,
        };
        let statements_max = config.prepared.statements_max.map(|max| max as usize);
        let statements = Interner::default();
        let memory = Memory::new(statements.held(), config.listen.memory_max.unwrap_or(memory_max));
        let shared = Self {
            memory,
            memory_max,
            resolver,
            network,
            upstream: upstream_name(&config),
            config: Mutex::new(config),
            clock,
            front: Front::default(),
            pools: Mutex::new(pools),
            users,
            statements: Mutex::new(statements),
            statements_max,
            mailboxes: mailboxes.into(),
            crew,
            tls: Mutex::new(tls),
            ask: Mutex::default(),
            succession: Succession::default(),
            reception: Reception::default(),
            failed_logins: Mutex::default(),
            zombies: Mutex::default(),
            clients: AtomicU32::new(0),
            clients_max,
            cancel_places: CancelPlaces::default(),
            welcomes: Mutex::default(),
            traffic: Mutex::default(),
            kind: AtomicU8::new(0),
            draining: AtomicBool::new(false),
            census_works: AtomicBool::new(false),
            version: AtomicU32::new(0),
            is_watch_refused: AtomicBool::new(false),
            ledger: Mutex::default(),
        };
        shared.set_kind(kind);
        shared
    }

    /// Where clients' statements are kept.
    pub(crate) fn library(&self) -> SharedLibrary<'_> {
        SharedLibrary { all: &self.statements, memory: &self.memory }
    }

    /// The pools. Held for the length of a call, never across I/O.
    pub(crate) fn pools(&self) -> MutexGuard<'_, Pools<Box<Server>>> {
        lock(&self.pools)
    }

    /// What a client that gets no server is told.
    pub(crate) fn complaint(&self, error: &CheckoutError) -> Complaint {
        let failures = self.pools().failures();
        complaints::checkout(error, &self.upstream, failures)
    }

    /// A look at the pools and the budget.
    pub fn view(&self) -> View {
        self.pools().view(self.clock.now())
    }

    /// Lets `change` at the budget, and wakes the workers to what follows from it.
    pub fn with_pools<R>(&self, change: impl FnOnce(&mut PoolsHandle<'_>) -> R) -> R {
        let result = change(&mut PoolsHandle { pools: self.pools() });
        self.wake_all();
        // Workers may have ended already: a slot that comes back then is to be told all the same.
        self.succession.wake();
        result
    }

    /// Looks at the pools without changing anything that a worker must act on.
    pub fn with_pools_quietly<R>(&self, look: impl FnOnce(&PoolsHandle<'_>) -> R) -> R {
        look(&PoolsHandle { pools: self.pools() })
    }

    /// The control plane has a connection to this host. Where servers must be like the settings ask
    /// for, and were had elsewhere, those are of no use any more.
    pub fn host_works(&self, target: &Target) {
        let moved = self.resolver.works(target).is_some();
        if moved && self.config().upstream.target != TargetSession::Any {
            self.leave_host();
        }
    }

    /// The control plane has found that a host is not what the settings ask for.
    pub fn host_is_no_use(&self, target: &Target) {
        if self.resolver.is_where_it_works(target) {
            self.leave_host();
        }
    }

    fn leave_host(&self) {
        let now = self.clock.now();
        self.with_pools(|pools| pools.leave_host(None, now));
    }

    pub(crate) fn wake_all(&self) {
        self.mailboxes.iter().for_each(Mailbox::wake);
    }

    /// A cancel is not under way any more; whoever has another one may send it.
    pub(crate) fn cancel_is_over(&self) {
        for worker in self.cancel_places.give_back() {
            self.mailboxes[usize::from(worker)].wake();
        }
    }

    /// What is known of the upstream's kind.
    pub fn kind(&self) -> Kind {
        match self.kind.load(Ordering::Relaxed) {
            1 => Kind::Direct,
            2 => Kind::Pooler,
            _ => Kind::Unknown,
        }
    }

    pub(crate) fn set_kind(&self, kind: Kind) {
        let number = match kind {
            Kind::Unknown => 0,
            Kind::Direct => 1,
            Kind::Pooler => 2,
        };
        self.kind.store(number, Ordering::Relaxed);
    }

    pub(crate) fn tls(&self) -> Tls {
        lock(&self.tls).clone()
    }

    /// What the control plane secures its own connection with, if anything.
    pub fn connector(&self) -> Option<Arc<Connector>> {
        self.tls().connector
    }

    /// Connections that are made from now on are secured with this.
    pub(crate) fn set_tls(&self, tls: Tls) {
        *lock(&self.tls) = tls;
    }

    /// The settings in force.
    pub fn config(&self) -> Arc<Config> {
        lock(&self.config).clone()
    }

    pub(crate) fn set_config(&self, config: Arc<Config>) {
        *lock(&self.config) = config;
    }

    /// Lets the crew do a step of a TLS handshake; worker `index` gets it back.
    pub(crate) fn shake_hands(&self, index: u16, source: Source, step: Box<Step>) {
        let mailboxes = self.mailboxes.clone();
        let reply = move |stepped| {
            mailboxes[usize::from(index)].put(Mail::Stepped(source, Box::new(stepped)));
        };
        self.crew.submit(move || step.run(), reply);
    }

    /// Lets the crew derive keys from a password; worker `index` gets them.
    pub(crate) fn derive(&self, index: u16, server: ServerId, derivation: Derivation) {
        let mailboxes = self.mailboxes.clone();
        let reply = move |keys| mailboxes[usize::from(index)].put(Mail::Derived(server, keys));
        self.crew.submit(move || derivation.derive(), reply);
    }

    /// Says who looks up users from now on. It may be asked from any thread, and must not wait.
    pub fn look_users_up_by(&self, ask: impl Fn(&str) + Send + Sync + 'static) {
        // With the lock held: whoever comes meanwhile is asked for by one of us.
        let mut place = lock(&self.ask);
        let ask = place.insert(Box::new(ask));
        self.users.awaited().iter().for_each(|user| ask(user));
    }

    /// Looks up a user for a client of worker `index`, who is told by mail.
    pub(crate) fn look_up(&self, user: &Arc<str>, index: u16, client: ClientKey) {
        if self.users.wait_for(user, index, client) {
            // Ports are open before the control plane is: whoever is so early waits for it.
            if let Some(ask) = &*lock(&self.ask) {
                ask(user);
            }
        }
    }

    /// What was found of a user: a verifier, nobody, or why it could not be asked.
    pub fn user_found(&self, user: &str, answer: Result<Option<Verifier>, Arc<str>>) {
        let now = self.clock.now();
        for (worker, client) in self.users.found(user, answer.clone().ok(), now) {
            let credential = answer.clone().map(|found| self.users.credential(user, found));
            self.mailboxes[usize::from(worker)].put(Mail::UserFound(client, credential));
        }
    }

    /// Takes a place among `places` clients; false when all are taken.
    pub(crate) fn take_client_place(&self, places: u32) -> bool {
        let one_more = |taken| (taken < places).then_some(taken + 1);
        self.clients.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    // --- The admin console. ---

    /// Rings `bell` from now on when a visitor of the console does something; it must not wait.
    pub fn receive_visitors(&self, bell: impl Fn() + Send + Sync + 'static) {
        self.reception.set_bell(Box::new(bell));
    }

    /// What visitors have done since it was asked last, in order.
    pub fn visits(&self) -> VecDeque<(VisitorId, Visit)> {
        self.reception.take()
    }

    /// Tells a visitor something. One that has gone hears nothing.
    pub fn tell_visitor(&self, id: VisitorId, words: Vec<u8>, then: Then) {
        if let Some(mailbox) = self.mailboxes.get(usize::from(id.worker)) {
            mailbox.put(Mail::Visitor(id.key, words, then));
        }
    }

    /// The counters of a port of a pool, made if need be.
    pub(crate) fn traffic(&self, key: &PoolKey, port: Port) -> Arc<Traffic> {
        lock(&self.traffic).entry((key.clone(), port)).or_default().clone()
    }

    /// The counters of all pools.
    pub fn all_traffic(&self) -> Vec<(PoolKey, Port, Arc<Traffic>)> {
        let traffic = lock(&self.traffic);
        traffic.iter().map(|((key, port), traffic)| (key.clone(), *port, traffic.clone())).collect()
    }

    /// What a client with these startup parameters is told, when it is known already.
    pub(crate) fn welcome(
        &self,
        key: &PoolKey,
        parameters: &SessionSettings,
    ) -> Option<Arc<Welcome>> {
        let welcomes = lock(&self.welcomes);
        let known = welcomes.get(key)?;
        known.iter().find(|welcome| *welcome.parameters == *parameters).cloned()
    }

    /// Remembers what a server with these startup parameters has reported.
    pub(crate) fn learn(
        &self,
        key: &PoolKey,
        parameters: &Arc<SessionSettings>,
        reported: Arc<ReportedValues>,
    ) -> Arc<Welcome> {
        let mut welcomes = lock(&self.welcomes);
        if welcomes.values().map(Vec::len).sum::<usize>() >= WELCOMES_MAX {
            welcomes.clear();
        }
        let known = welcomes.entry(key.clone()).or_default();
        let place = known.iter().position(|welcome| welcome.parameters == *parameters);
        // Whoever has the same parameters has the same Arc, so that comparing them is cheap.
        let parameters = place.map_or(parameters, |place| &known[place].parameters).clone();
        let welcome = Arc::new(Welcome { reported, parameters });
        match place {
            Some(place) => known[place] = welcome.clone(),
            None => known.push(welcome.clone()),
        }
        welcome
    }

    /// Starts the shutdown: nobody new is served, transactions may end.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.wake_all();
        self.succession.wake();
    }

    /// From now on this process gives this to another.
    pub(crate) fn set_giving(&self, giving: Giving) {
        self.succession.set_giving(giving);
        self.wake_all();
    }

    /// Whether this process has taken over from another that has not ended yet.
    pub fn has_elder(&self) -> bool {
        self.succession.has_elder()
    }

    /// Whether the line to the process that this one takes over from has broken, and that process goes
    /// on: this one must end.
    pub fn must_yield(&self) -> bool {
        self.succession.must_yield()
    }

    /// Whether another process is taking over.
    pub fn has_successor(&self) -> bool {
        self.succession.giving() != Giving::Nothing
    }

    /// Whether nobody of this process is in the midst of a login, since it gave its listeners.
    pub fn nobody_logs_in(&self) -> bool {
        self.succession.nobody_logs_in(self.mailboxes.len())
    }

    /// Backends of the process that this one takes over from. They are none of others'.
    pub fn elder_pids(&self) -> Arc<[u32]> {
        self.succession.elder_pids()
    }

    /// A client of another process comes; `number` says to which worker.
    pub(crate) fn take_in(&self, moved: Moved, number: usize) {
        self.mailboxes[number % self.mailboxes.len()].put(Mail::TakeIn(Box::new(moved)));
    }

    /// Whoever has asked for a cancel need not wait any more.
    pub(crate) fn release(&self, asker: Asker) {
        match asker {
            Asker::Here { worker, key } => {
                if let Some(mailbox) = self.mailboxes.get(usize::from(worker)) {
                    mailbox.put(Mail::Cancelled(key));
                }
            }
            Asker::Successor(id) => self.succession.cancelled(id),
        }
    }

    /// Whether the gate shuts down.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Clients that are logged in.
    pub fn clients(&self) -> u32 {
        self.clients.load(Ordering::Relaxed)
    }

    /// The most clients there can be.
    pub fn clients_max(&self) -> u32 {
        self.clients_max
    }

    /// Whether a census sees when backends have gone.
    pub(crate) fn has_census(&self) -> bool {
        self.census_works.load(Ordering::Relaxed)
    }

    /// The census has succeeded or failed.
    pub fn set_census_works(&self, works: bool) {
        self.census_works.store(works, Ordering::Relaxed);
    }

    /// Tells which backends are left; servers that broke and whose backend is none of them are
    /// gone at last.
    pub fn backends_left(&self, pids: &[u32]) {
        self.bury(|zombie| !pids.contains(&zombie.pid));
        self.orphans_left(pids);
        // Whatever the other process has left is among the connections of others now.
        self.end_doubt(true);
    }

    /// The pids of backends whose connection broke at least `grace` ago and which are there all the
    /// same, each with how long ago that was.
    pub fn backends_lost(&self, grace: Duration) -> Vec<(u32, Duration)> {
        let now = self.clock.now();
        let zombies = lock(&self.zombies);
        let lost = zombies.iter().map(|zombie| (zombie.pid, now.since(zombie.since)));
        lost.filter(|(_, since)| *since >= grace).collect()
    }

    /// The census has found these connections.
    pub fn set_ledger(&self, ledger: Ledger) {
        *lock(&self.ledger) = Some(Arc::new(ledger));
    }

    /// All connections of the upstream, as of the last census.
    pub fn ledger(&self) -> Option<Arc<Ledger>> {
        lock(&self.ledger).clone()
    }

    /// The version of the upstream (`server_version_num`), once the census has asked.
    pub fn set_version(&self, version: u32) {
        self.version.store(version, Ordering::Relaxed);
    }

    /// What servers are asked at their login to do about us, beside what clients want.
    pub(crate) fn watchfulness(&self, target: &Target) -> Option<SessionSettings> {
        let is_asked = self.kind() != Kind::Pooler
            && matches!(target, Target::Tcp { .. })
            && !self.is_watch_refused.load(Ordering::Relaxed);
        is_asked.then(|| settings::watchfulness(self.version.load(Ordering::Relaxed)))
    }

    /// The same as SQL, for a connection that stands already.
    pub fn watchfulness_sql(&self) -> Option<String> {
        let settings = self.watchfulness(&self.resolver.target().ok()?)?;
        let all = settings.iter().map(|(name, value)| format!("SET {name} = '{value}';"));
        Some(all.collect())
    }

    /// It does not take them, and is asked no more.
    pub fn watchfulness_is_refused(&self, cause: impl fmt::Display) {
        if !self.is_watch_refused.swap(true, Ordering::Relaxed) {
            tracing::info!("the upstream is not asked to look for lost connections: {cause}");
        }
    }

    /// The census can't be taken: what it was to see go is given the time that is given where there
    /// is none.
    pub fn backends_unseen(&self) {
        let now = self.clock.now();
        self.bury(|zombie| now.since(zombie.since) >= UNSEEN_COOLING);
        self.orphans_left(&[]); // They have had that time before they were orphans.
        self.end_doubt(false);
    }

    /// The process that was taking over has gone. It may have opened as many servers as it was allowed
    /// to, and their backends go on with what they do. So this process keeps to the share that it had,
    /// until the census has counted them among the connections of others; where there is none, for as
    /// long as backends are given that nobody sees.
    pub(crate) fn doubt(&self) {
        self.succession.doubt_until(self.clock.now() + UNSEEN_COOLING);
    }

    /// Whether the time is to be watched by somebody, as no census does.
    pub fn is_in_doubt(&self) -> bool {
        self.succession.is_in_doubt() && !self.has_census()
    }

    fn end_doubt(&self, is_counted: bool) {
        let now = self.clock.now();
        if self.succession.end_doubt(is_counted, now) {
            self.with_pools(|pools| pools.set_share(Share::Whole, now));
        }
    }

    /// Of what a process has left that this one took over from, these may be left.
    fn orphans_left(&self, pids: &[u32]) {
        let share = match self.succession.orphans_left(pids) {
            None => return,
            Some(0) => Share::Whole,
            Some(left) => Share::Beside(left),
        };
        let now = self.clock.now();
        self.with_pools(|pools| pools.set_share(share, now));
    }

    fn bury(&self, mut is_gone: impl FnMut(&Zombie) -> bool) {
        let mut zombies = lock(&self.zombies);
        let gone: Vec<_> = zombies.extract_if(.., |zombie| is_gone(zombie)).collect();
        drop(zombies);
        if gone.is_empty() {
            return;
        }
        let now = self.clock.now();
        let mut pools = self.pools();
        for zombie in gone {
            pools.gone(zombie.server, now);
        }
        drop(pools);
        self.wake_all();
    }
}

/// The pools, for the control plane: what it may do with them.
pub struct PoolsHandle<'a> {
    pools: MutexGuard<'a, Pools<Box<Server>>>,
}

impl std::ops::Deref for PoolsHandle<'_> {
    type Target = Pools<Box<Server>>;

    fn deref(&self) -> &Self::Target {
        &self.pools
    }
}

impl std::ops::DerefMut for PoolsHandle<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.pools
    }
}

fn upstream_name(config: &Config) -> String {
    let hosts = config.upstream.hosts.iter().map(|host| host.address.to_string());
    hosts.collect::<Vec<_>>().join(",")
}
