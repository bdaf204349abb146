//! Clients: batches, leases, pins, goodbye.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_config::ClientTimeouts;
use tidegate_observe::front::{Goodbye, RejectReason};
use tidegate_observe::traffic::Traffic;
use tidegate_pool_core::order::{Checkout, CheckoutError};
use tidegate_pool_core::queue::Ticket;
use tidegate_pool_core::server::{Flavour, Lease, PoolId, PoolKey, Port, ServerId, Waiter};
use tidegate_pool_core::settings::PoolSettings;
use tidegate_pool_core::tally::Outcome;
use tidegate_session::client::answers::{Answers, Probes};
use tidegate_session::client::{
    ClientMachine, GATHERED_BYTES_MAX, Gathered, Naming, Relayed, Rules,
};
use tidegate_session::client_login::{ClientLogin, LoggedIn};
use tidegate_session::parameters::{ReportedValues, SessionSettings};
use tidegate_session::pin::{PinReason, PinReasons};
use tidegate_session::prepared::Environment;
use tidegate_session::server::{Errand, ServerError};
use tidegate_wire::backend::Severity;
use tidegate_wire::catalogue::Complaint;
use tidegate_wire::planted::{Bug, is_planted};
use tidegate_wire::tick::Tick;

use crate::channel::{Channel, Input};
use crate::complaints;
use crate::memory::{Charge, MemoryView};
use crate::server::{Habits, Overdue, Server};
use crate::settings;
use crate::succession::Giving;
use crate::timers::Alarm;
use crate::token::{ClientKey, SERIAL_MAX, Source, client_pid};
use crate::welcome;
use crate::worker::Worker;
use crate::worker::deadlines::Deadlines;
use crate::worker::keeping::Keeps;
use crate::worker::listening::Listening;

/// A connection from an application.
pub(super) struct Client {
    pub(super) key: ClientKey,
    pub(super) channel: Channel,
    pub(super) alarm: Alarm,
    pub(super) port: Port,
    pub(super) stage: Stage,
    /// Whether it counts among the connections that have not logged in.
    pub(super) is_login: bool,
    pub(super) machine: ClientMachine,
    /// What is known since it logged in.
    pub(super) session: Option<Box<Session>>,
    pub(super) ticket: Option<Ticket>,
    pub(super) lease: Option<ServerId>,
    /// What it has left in its server's session, so that it keeps it.
    pub(super) pins: PinReasons,
    pub(super) deadlines: Deadlines,
    /// The batch under way, where it reads and may go to another server if this one dies.
    pub(super) again: Option<Box<[u8]>>,
    /// What it says next has done so before.
    pub(super) is_second: bool,
    /// Since when it has been connected to this process.
    pub(super) since: Tick,
    /// What is kept for it beside what waits to be written.
    pub(super) kept: Charge,
}

/// Whether a client and a server could be joined.
enum Attached {
    /// The client's batch may be sent at once.
    Now(ServerId),
    /// [`Worker::attached`] follows when the server has been made ready.
    Later,
    /// The server had died in its pool.
    Never,
}

pub(super) enum Stage {
    /// From the first byte to the right password.
    Login(Box<ClientLogin>),
    /// It has the right password; a server is to tell what it must be told.
    Welcoming(Box<LoggedIn>),
    /// A client like any other.
    Ready,
    /// It is a visitor of the admin console. `is_heard`: it may say something, and has been answered
    /// whatever it has said.
    Visiting { is_heard: bool },
    /// Its answer is held back because its address has failed too often.
    Penalty(Vec<u8>),
    /// The last words are being written.
    Closing,
}

/// A client's session.
pub(super) struct Session {
    pub(super) pool: PoolId,
    pub(super) key: PoolKey,
    /// The settings that it asked for when it connected.
    pub(super) startup: Arc<SessionSettings>,
    /// Its settings now.
    pub(super) settings: Arc<SessionSettings>,
    pub(super) flavour: Flavour,
    /// What its settings make of the statements that it prepares.
    pub(super) environment: Environment,
    /// The parameters that it has been told.
    pub(super) known: Arc<ReportedValues>,
    /// How long it may take for what it does.
    pub(super) timeouts: ClientTimeouts,
    /// What it is answered without a server.
    pub(super) probes: Probes,
    /// What is done at each lease of its.
    pub(super) habits: Habits,
    /// It would have kept its server for this, where too many clients did. It is told before it can
    /// do anything else.
    pub(super) refused_pin: Option<PinReason>,
    /// What it listens to, once it has.
    pub(super) listening: Option<Box<Listening>>,
    pub(super) traffic: Arc<Traffic>,
    /// The secret that cancels its statements; only its first `secret_len` bytes.
    pub(super) secret: [u8; SECRET_BYTES],
    pub(super) secret_len: usize,
    pub(super) peer: Option<IpAddr>,
    /// The pid that it was told.
    pub(super) pid: u32,
    /// It came from another process, which has told it that pid; this tells it from others that have
    /// the same.
    pub(super) arrival: Option<u32>,
}

/// The length of a cancel secret where the protocol allows more than four bytes (3.2): 256 bits
/// can't be guessed, as PostgreSQL 18 has it.
pub(super) const SECRET_BYTES: usize = 32;

impl Session {
    /// What clients of a port are answered without a server.
    pub(super) fn probes(port: Port, settings: &PoolSettings) -> Probes {
        match port {
            Port::Session => Probes::Off,
            Port::Transaction => settings::probes(settings.answer_probes),
        }
    }

    /// These are the client's settings from now on.
    pub(super) fn set_settings(&mut self, settings: Arc<SessionSettings>) {
        self.flavour = welcome::flavour(&settings);
        self.environment = welcome::environment(&self.key, &settings);
        self.settings = settings;
    }
}

impl Client {
    pub(super) fn traffic(&self) -> Option<&Traffic> {
        self.session.as_deref().map(|session| &*session.traffic)
    }

    /// Its server is no more.
    pub(super) fn forget_lease(&mut self) {
        self.lease = None;
    }

    /// Whether it has been told all that a client is told when it has logged in.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Ready)
    }

    /// Whether it waits for a server to tell what it must be told.
    pub(super) fn is_welcoming(&self) -> bool {
        matches!(self.stage, Stage::Welcoming(_))
    }

    /// What is kept for it has changed.
    pub(super) fn count_kept(&mut self) {
        let listening = self.session.as_ref().and_then(|session| session.listening.as_deref());
        let mail = listening.map_or(0, Listening::held_bytes);
        self.kept.set(self.machine.held_bytes() + mail);
    }

    /// Whether it has a server that it does not give back at the end of its transaction.
    pub(super) fn keeps_server(&self) -> bool {
        self.lease.is_some() && (self.port == Port::Session || !self.pins.is_empty())
    }

    /// Whether nobody waits for anything on its behalf.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Ready) && self.lease.is_none() && self.ticket.is_none()
    }
}

impl Worker {
    // --- Events. ---

    pub(super) fn client_writable(&mut self, key: ClientKey) {
        let now = self.now;
        let Some(client) = self.client(key) else { return };
        if client.channel.is_drained() {
            return;
        }
        if client.channel.flush().is_err() {
            return self.client_gone(key, Goodbye::Vanished);
        }
        client.deadlines.is_unanswered(now);
        if !client.channel.is_drained() {
            return;
        }
        if matches!(client.stage, Stage::Closing) {
            client.channel.shutdown_write();
        }
        match client.lease {
            Some(id) => self.balance(key, id),
            None => {
                if client.is_idle() || matches!(client.stage, Stage::Visiting { is_heard: true }) {
                    client.channel.paused = false;
                }
                self.tell_notifications(key);
                self.queue_client(key);
                self.may_rest(key);
            }
        }
    }

    /// The peer's side has ended, perhaps with unread words before it. Where nothing is read at
    /// present, nobody would notice; everywhere else the read finds out.
    pub(super) fn client_hung_up(&mut self, key: ClientKey) {
        let Some(client) = self.client(key) else { return };
        let waits = client.ticket.is_some() || client.machine.is_stalled();
        let is_unheard = matches!(client.stage, Stage::Visiting { is_heard: false });
        if waits || is_unheard || matches!(client.stage, Stage::Penalty(_)) {
            self.client_gone(key, Goodbye::Vanished);
        }
    }

    pub(super) fn client_timer(&mut self, key: ClientKey) {
        if key.is_ear() {
            return self.ear_timer(key);
        }
        let now = self.now;
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        if client.key != key {
            return;
        }
        if !self.timers.fired(Source::Client(key), &mut client.alarm, now) {
            return;
        }
        match &mut client.stage {
            Stage::Login(login) => {
                let limit = self.config.timeouts.client_login;
                let complaint = login.has_spoken().then(|| Complaint::login_timeout(limit));
                self.reject(key, RejectReason::Timeout, complaint);
            }
            Stage::Penalty(words) => {
                let words = std::mem::take(words);
                self.say_last_words(key, &words);
            }
            Stage::Closing => self.remove_client(key),
            Stage::Welcoming(_) | Stage::Visiting { .. } => {}
            Stage::Ready => self.out_of_time(key),
        }
    }

    pub(super) fn read_client(&mut self, key: ClientKey, buffer: &mut [u8]) {
        let Some(client) = self.client(key) else { return };
        client.channel.queued = false;
        if client.channel.paused {
            return;
        }
        match client.channel.read(buffer) {
            Input::Bytes(bytes) => {
                if let Some(traffic) = client.traffic() {
                    traffic.client_rx.add(bytes as u64);
                }
                self.client_says(key, &buffer[..bytes]);
                self.count_kept(key);
                self.queue_client(key);
            }
            Input::Handshake(step) => {
                self.shared.shake_hands(self.index, Source::Client(key), step);
            }
            Input::Nothing => {}
            Input::End | Input::Broken(_) => self.client_gone(key, Goodbye::Vanished),
        }
    }

    /// What is kept for a client may have changed.
    pub(super) fn count_kept(&mut self, key: ClientKey) {
        if let Some(client) = self.client(key) {
            client.count_kept();
        }
    }

    pub(super) fn queue_client(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(key.place as usize)
            && client.key == key
        {
            let source = Source::Client(key);
            if client.channel.wants_turn() {
                self.ready.push_back(source);
            }
        }
    }

    pub(super) fn client_says(&mut self, key: ClientKey, bytes: &[u8]) {
        let now = self.now;
        let Some(client) = self.client(key) else { return };
        client.deadlines.spoke(now);
        if let Some(id) = client.lease {
            self.hear_first(id);
        }
        let Some(client) = self.client(key) else { return };
        match (&client.stage, client.lease) {
            (Stage::Login(_), _) => self.log_in(key, bytes),
            (Stage::Visiting { .. }, _) => self.visitor_says(key, bytes),
            // Something that it said before is not passed on yet.
            (Stage::Ready, Some(_)) if client.machine.is_stalled() => client.machine.hold(bytes),
            (Stage::Ready, Some(id)) => self.relay(key, id, bytes),
            (Stage::Ready, None) => self.gather(key, bytes),
            (Stage::Welcoming(_) | Stage::Penalty(_) | Stage::Closing, _) => {}
        }
    }

    // --- Batches. ---

    fn gather(&mut self, key: ClientKey, bytes: &[u8]) {
        self.to_client.clear();
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        let Some(session) = &client.session else { return };
        let shared = &self.shared;
        let mut library = shared.library();
        let mut answers = Answers {
            probes: session.probes,
            is_healthy: &|| session.refused_pin.is_none() && shared.pools().failures() == 0,
            environment: &session.environment,
            library: shared.statements_max.is_some().then_some(&mut library),
        };
        let gathered = client.machine.gather(bytes, &mut answers, &mut self.to_client);
        let sent = client.channel.send(&self.to_client, bytes);
        if sent.is_err() {
            return self.client_gone(key, Goodbye::Vanished);
        }
        // Whoever does not take answers that cost no server gets no more of them, either.
        client.channel.paused = client.channel.is_clogged();
        match gathered {
            Ok(Gathered::More) => {
                self.may_rest(key);
                self.tell_notifications(key);
            }
            Ok(Gathered::Batch { from }) => self.check_out(key, &bytes[from..]),
            Ok(Gathered::Held) => {
                let held = client.machine.take_held();
                self.check_out(key, &held);
            }
            Ok(Gathered::Terminate) => self.client_gone(key, Goodbye::Terminate),
            Err(fault) => self.violation(key, &complaints::client_fault(&fault)),
        }
    }

    /// The client needs a server for `batch`.
    pub(super) fn check_out(&mut self, key: ClientKey, batch: &[u8]) {
        let waiter = Waiter { worker: self.index, client: key.to_bits() };
        let now = self.now;
        let Some(client) = self.client(key) else { return };
        let Some(session) = &mut client.session else { return };
        let (pool, port, flavour) = (session.pool, client.port, session.flavour);
        if let Some(reason) = session.refused_pin.take() {
            client.machine.hold(batch);
            return self.tell_of_refused_pin(key, pool, reason);
        }
        let outcome = self.with_pools(|pools| pools.checkout(pool, port, waiter, flavour, now));
        match outcome {
            Checkout::Ready(lease) => match self.attach(key, lease) {
                Attached::Now(id) => self.serve(key, id, batch),
                Attached::Later => {
                    if let Some(client) = self.client(key) {
                        client.machine.hold(batch);
                    }
                }
                Attached::Never => self.check_out(key, batch),
            },
            Checkout::Wait(ticket) => {
                let buffer = self.spare_buffers.pop().unwrap_or_default();
                if let Some(client) = self.client(key) {
                    client.machine.lend(buffer);
                    client.machine.hold(batch);
                    client.ticket = Some(ticket);
                    client.channel.paused = true;
                }
                if self.shared.memory.is_short() {
                    let complaint = self.shared.memory.complaint();
                    self.give_up_wait(key, Outcome::Rejected, &complaint);
                }
            }
            Checkout::Refused(error) => {
                if let Some(client) = self.client(key) {
                    client.machine.hold(batch);
                }
                self.refused(key, &error);
            }
        }
    }

    /// Whether a client still waits with this ticket; then it does not any more. It may have been
    /// cancelled meanwhile, and wait for something else.
    fn ends_wait(&mut self, key: ClientKey, ticket: Ticket) -> bool {
        let client = self.client(key);
        client.is_some_and(|client| client.ticket.take_if(|held| *held == ticket).is_some())
    }

    /// A client that waited gets a server, unless it does not wait any more.
    pub(super) fn handed_off(&mut self, key: ClientKey, ticket: Ticket, lease: Lease<Box<Server>>) {
        if key.is_ear() {
            return self.ear_handed_off(key, ticket, lease);
        }
        let waits = self.ends_wait(key, ticket);
        if !waits {
            if !is_planted(Bug::HandOffToNobody) {
                self.return_unused(lease);
            }
            return;
        }
        let attached = self.attach(key, lease);
        if let Some(client) = self.client(key) {
            match attached {
                Attached::Now(id) => {
                    let held = client.machine.take_held();
                    self.serve(key, id, &held);
                    self.spare(held);
                }
                Attached::Later => {}
                Attached::Never => {
                    let held = client.machine.take_held();
                    self.check_out(key, &held);
                }
            }
        }
        self.count_kept(key);
        self.queue_client(key);
    }

    /// Keeps a buffer for the next client that waits.
    fn spare(&mut self, mut buffer: Vec<u8>) {
        let is_useful = (1..=GATHERED_BYTES_MAX).contains(&buffer.capacity());
        if is_useful && self.spare_buffers.len() < SPARE_BUFFERS_MAX {
            buffer.clear();
            self.spare_buffers.push(buffer);
        }
    }

    /// The server is ready for the client: its batch is relayed, or its welcome learned.
    fn serve(&mut self, key: ClientKey, id: ServerId, batch: &[u8]) {
        let Some(client) = self.client(key) else { return };
        client.channel.paused = false;
        let is_session = client.port == Port::Session;
        if matches!(client.stage, Stage::Welcoming(_)) {
            return self.learn_welcome(key, id);
        }
        if is_session && let Some(server) = self.server(id) {
            server.dirty = true; // Nothing is looked at on this port, so anything may be left.
        }
        self.relay(key, id, batch);
    }

    /// Joins a client and a server.
    fn attach(&mut self, key: ClientKey, lease: Lease<Box<Server>>) -> Attached {
        let id = lease.server;
        self.adopt(lease);
        if !self.is_alive(id) {
            return Attached::Never;
        }
        self.join(key, id).map_or(Attached::Later, Attached::Now)
    }

    fn join(&mut self, key: ClientKey, id: ServerId) -> Option<ServerId> {
        let client = self.clients.get_mut(key.place as usize)?;
        let server = self.servers.get_mut(id.place())?.as_deref_mut()?;
        client.lease = Some(id);
        server.client = Some(key);
        server.is_untouched = true;
        let session = client.session.as_ref()?;
        server.habits = session.habits;
        let wanted = &session.settings;
        let is_right = Arc::ptr_eq(wanted, &server.settings) || is_planted(Bug::SettingsLeak);
        let change = if is_right { None } else { wanted.change_from(&server.settings) };
        let is_ready = client.is_ready() && !server.habits.checked;
        let (errand, sql) = match (change, server.habits.checked) {
            (Some(change), _) => {
                server.adapting_to = Some(wanted.clone());
                if is_ready
                    && self.accepted.has_all(session.pool, wanted.differing(&server.settings))
                {
                    server.ahead = Some(change);
                    server.machine()?.begin_lease();
                    return Some(id);
                }
                (Errand::Adapt, change)
            }
            (None, true) => (Errand::Check, String::new()),
            (None, false) => {
                server.set_settings(wanted);
                let machine = server.machine()?;
                machine.begin_lease();
                if !machine.reports_as_known(&session.known) {
                    let reported = machine.reported().values().clone();
                    self.tell_parameters(key, &reported);
                }
                return Some(id);
            }
        };
        client.channel.paused = true;
        self.start_errand(id, errand, sql.as_bytes());
        None
    }

    /// The server has been made ready for its client.
    pub(super) fn attached(&mut self, key: ClientKey, id: ServerId) {
        if let Some(machine) = self.server(id).and_then(Server::machine) {
            machine.begin_lease();
            let reported = machine.reported().values().clone();
            self.tell_parameters(key, &reported);
        }
        let Some(client) = self.client(key) else { return };
        let held = client.machine.take_held();
        self.serve(key, id, &held);
        self.count_kept(key);
        self.queue_client(key);
    }

    /// PostgreSQL refuses the settings of the client.
    pub(super) fn settings_refused(&mut self, key: ClientKey, id: ServerId, error: &ServerError) {
        self.end_lease(key, id);
        let Some(client) = self.client(key) else { return };
        if matches!(client.stage, Stage::Welcoming(_)) {
            return self.turn_away(key, &complaints::parameters_refused(error));
        }
        // Or it could not even reset them.
        if let Some(session) = &mut client.session {
            session.set_settings(session.startup.clone());
        }
        self.answer_in_servers_stead(key, &complaints::settings_refused(error));
    }

    pub(super) fn relay(&mut self, key: ClientKey, id: ServerId, bytes: &[u8]) {
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return;
        };
        let crate::server::Stage::Up(machine) = &mut server.stage else { return };
        let Some(session) = &client.session else { return };
        self.to_server.clear();
        self.to_client.clear();
        let shared = &self.shared;
        let mut library = shared.library();
        let shares = client.port == Port::Transaction;
        let keeps = shared.statements_max.is_some();
        let environment = &session.environment;
        let mut rules = Rules {
            is_free: client.pins.is_empty(),
            ahead: server.ahead.take(),
            naming: shares.then_some(Naming {
                keeps,
                keeps_unnamed: keeps && self.config.prepared.keep_unnamed,
                environment,
                library: &mut library,
            }),
        };
        let is_untouched = std::mem::take(&mut server.is_untouched);
        if machine.exchange().owes_nothing() && !server.is_cut {
            server.sent_from = server.channel.promised();
        }
        let may_repeat = self.config.sends_reads_again
            && is_untouched
            && !std::mem::take(&mut client.is_second)
            && bytes.len() <= GATHERED_BYTES_MAX
            && !client.machine.is_in_transaction()
            && client.machine.is_plain_read(bytes, machine);
        if may_repeat || client.again.is_some() {
            client.again = may_repeat.then(|| bytes.into());
            machine.withhold_fatal(may_repeat);
        }
        let (to_server, to_client) = (&mut self.to_server, &mut self.to_client);
        let relayed = client.machine.relay(bytes, &mut rules, machine, to_server, to_client);
        server.is_cut = client.machine.is_mid_message();
        session.traffic.server_tx.add(bytes.len() as u64);
        let is_sent = server.channel.send(&self.to_server, bytes).is_ok();
        let is_unsent = is_untouched && server.channel.accepted() <= server.sent_from;
        // What was answered without the server can't be answered again.
        let nothing_answered = self.to_client.is_empty();
        if !is_sent
            && is_unsent
            && nothing_answered
            && matches!(relayed, Ok(Relayed { terminate: false, .. }))
        {
            client.machine.take_back(bytes, machine);
            return self.unsent(key, id);
        }
        if client.channel.send(&self.to_client, bytes).is_err() {
            return self.client_gone(key, Goodbye::Vanished);
        }
        if !is_sent {
            // The connection is broken. What PostgreSQL said before that is still to be read.
            if server.channel.mark_readable() {
                self.ready.push_back(Source::Server(id));
            }
        }
        match relayed {
            Err(fault) => return self.violation(key, &complaints::client_fault(&fault)),
            Ok(relayed) => {
                session.traffic.prepared(relayed.followed);
                if relayed.terminate {
                    return self.client_gone(key, Goodbye::Terminate);
                }
            }
        }
        self.after_exchange(key, id);
    }

    /// Something was said on either side: the lease may have ended, and the flow is balanced.
    pub(super) fn after_exchange(&mut self, key: ClientKey, id: ServerId) {
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return;
        };
        let crate::server::Stage::Up(machine) = &server.stage else { return };
        let at_rest = machine.exchange().is_at_rest()
            && machine.errand().is_none()
            && machine.is_between_frames()
            && client.machine.is_passed_on();
        if at_rest && self.drain.is_some() {
            return self.turn_away(key, &self.farewell());
        }
        if server.has_left_something() {
            server.cancel_wanted = false; // What it was meant for has ended.
            if server.cancels > 0 {
                return self.balance(key, id); // It could hit what is asked now.
            }
        }
        if at_rest && client.port == Port::Transaction {
            match self.look_back(key, id) {
                Keeps::Nothing => return self.end_lease(key, id),
                Keeps::Parted => return,
                Keeps::Server => {}
            }
        }
        if at_rest && self.giving == Giving::Everyone && self.has_nothing_under_way(key, id) {
            return self.turn_away(key, &self.farewell());
        }
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return;
        };
        let crate::server::Stage::Up(machine) = &mut server.stage else { return };
        if at_rest && std::mem::take(&mut server.was_reset) {
            let wanted = client.session.as_ref().map(|session| &session.startup);
            let reported = machine.reported();
            // Of parameters that are reported it is known whether any has changed.
            let wanted = wanted.filter(|all| reported.differs() || !reported.has_all(all));
            if let Some(sql) = wanted.and_then(|wanted| wanted.restore()) {
                self.start_errand(id, Errand::Restore, sql.as_bytes());
                return self.balance(key, id);
            }
        }
        self.balance(key, id);
    }

    /// Whether a client keeps its server, and neither owes the other anything. That the server has been
    /// asked for what the client has left may have come between.
    fn has_nothing_under_way(&mut self, key: ClientKey, id: ServerId) -> bool {
        let keeps_server = self.client(key).is_some_and(|client| client.keeps_server());
        let machine = self.server(id).and_then(|server| server.machine());
        keeps_server && machine.is_some_and(|machine| machine.errand().is_none())
    }

    /// Back-pressure: neither side is read from while the other can't take what it says. What is
    /// not read from the client, it does not owe.
    pub(super) fn balance(&mut self, key: ClientKey, id: ServerId) {
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return;
        };
        let (is_full, has_errand) = match &server.stage {
            crate::server::Stage::Up(machine) => {
                let is_held = machine.errand().is_some()
                    || server.holds_client
                    || server.overdue == Overdue::Arriving
                    || server.cancels > 0 && server.has_left_something();
                (machine.exchange().is_full(), is_held)
            }
            _ => (false, true),
        };
        client.channel.paused =
            server.channel.is_clogged() || is_full || has_errand || client.machine.is_stalled();
        server.channel.paused = client.channel.is_clogged();
        if client.channel.wants_turn() {
            self.ready.push_back(Source::Client(key));
        }
        if server.channel.wants_turn() {
            self.ready.push_back(Source::Server(id));
        }
        self.watch(key);
    }

    /// The server can take more again.
    pub(super) fn balance_server(&mut self, id: ServerId) {
        if let Some(key) = self.server(id).and_then(|server| server.client) {
            self.balance(key, id);
        }
    }

    /// Parts a client from its server, which is at rest.
    pub(super) fn end_lease(&mut self, key: ClientKey, id: ServerId) {
        if !is_planted(Bug::DoubleReturn) {
            self.part_from_server(key);
        }
        self.lease_ended(id);
    }

    /// The client has no server any more, and can go on.
    pub(super) fn part_from_server(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(key.place as usize) {
            client.lease = None;
            client.again = None;
            client.is_second = false;
            client.machine.end_lease();
            client.channel.paused = client.channel.is_clogged();
        }
        self.watch(key);
        self.tell_notifications(key);
        self.queue_client(key);
    }

    // --- No server. ---

    /// A client that waited gets no server, unless it does not wait any more.
    pub(super) fn wait_refused(&mut self, key: ClientKey, ticket: Ticket, error: &CheckoutError) {
        if key.is_ear() {
            return self.ear_refused(key, ticket);
        }
        if self.ends_wait(key, ticket) {
            self.refused(key, error);
        }
    }

    fn refused(&mut self, key: ClientKey, error: &CheckoutError) {
        let complaint = self.shared.complaint(error);
        let Some(client) = self.client(key) else { return };
        match client.stage {
            Stage::Welcoming(_) => {
                let port = client.port;
                self.shared.front.port(port).rejected[RejectReason::NoServer as usize].add(1);
                self.turn_away(key, &complaint);
            }
            _ => self.answer_in_servers_stead(key, &complaint),
        }
    }

    /// Answers the batch that waits with an error; the client can go on.
    pub(super) fn answer_in_servers_stead(&mut self, key: ClientKey, complaint: &Complaint) {
        self.to_client.clear();
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        let goodbye = client.machine.refuse(complaint, &mut self.to_client);
        client.count_kept();
        let sent = client.channel.send(&self.to_client, &[]);
        client.channel.paused = client.channel.is_clogged();
        if goodbye || sent.is_err() {
            return self.client_gone(key, Goodbye::Terminate);
        }
        if self.drain.is_some() {
            return self.drain_client(key, false);
        }
        self.watch(key);
        self.queue_client(key);
    }

    /// Cancels the wait of a client that waits. False when it does not.
    pub(super) fn cancel_wait(&mut self, key: ClientKey) -> bool {
        self.give_up_wait(key, Outcome::Cancelled, &Complaint::query_cancelled())
    }

    /// A client waits no longer, and is told why. False when it did not wait.
    fn give_up_wait(&mut self, key: ClientKey, outcome: Outcome, complaint: &Complaint) -> bool {
        let now = self.now;
        let Some(ticket) = self.client(key).and_then(|client| client.ticket.take()) else {
            return false;
        };
        if !self.with_pools(|pools| pools.give_up(ticket, outcome, now)) {
            // A server is on its way to it and will find that nobody waits.
        }
        match self.client(key).map(|client| matches!(client.stage, Stage::Welcoming(_))) {
            Some(true) => self.turn_away(key, complaint),
            Some(false) => self.answer_in_servers_stead(key, complaint),
            None => {}
        }
        true
    }

    /// There is no more memory for clients: the one that takes most is closed. What it does not take
    /// could not be followed by words.
    pub(super) fn relieve(&mut self) {
        let taken = |client: &Client| {
            let server = client.lease.and_then(|id| self.servers.get(id.place())?.as_deref());
            let to_server = server.map_or(0, |server| server.channel.held_bytes());
            client.channel.held_bytes() + client.kept.bytes() + to_server
        };
        let all = self.clients.iter().map(|(_, client)| (taken(client), client.key));
        let Some((bytes, key)) = all.max_by_key(|(bytes, _)| *bytes).filter(|most| most.0 > 0)
        else {
            return;
        };
        let MemoryView { buffers, statements, max } = self.shared.memory.view();
        tracing::warn!(
            client = client_pid(self.index, key), who = %self.who(key), bytes, buffers, statements, max,
            "closed the client that takes most of the gate's memory: there is no more"
        );
        self.client_gone(key, Goodbye::Memory);
    }

    /// The server that a client has, if `secret` is the client's.
    pub(super) fn authorised(&mut self, key: ClientKey, secret: &[u8]) -> bool {
        use subtle::ConstantTimeEq;
        let Some(session) = self.client(key).and_then(|client| client.session.as_deref()) else {
            return false;
        };
        let own = &session.secret[..session.secret_len];
        own.len() == secret.len() && bool::from(own.ct_eq(secret))
    }

    pub(super) fn lease_of(&mut self, key: ClientKey) -> Option<ServerId> {
        self.client(key)?.lease
    }

    // --- Goodbye. ---

    /// The client broke the protocol: it is told, and closed.
    fn violation(&mut self, key: ClientKey, complaint: &Complaint) {
        tracing::info!(violation = %complaint.message, "closed a client that broke the protocol");
        let mid_answer = self.is_mid_answer(key);
        self.part(key, Goodbye::Violation);
        self.close_with(key, complaint, mid_answer);
    }

    /// Whether it has got half a message, after which nothing can be said.
    fn is_mid_answer(&mut self, key: ClientKey) -> bool {
        let server = self.lease_of(key).and_then(|id| self.server(id));
        server.and_then(Server::machine).is_some_and(|machine| machine.is_mid_answer())
    }

    /// Closes a client with an error that it can't go on after.
    pub(super) fn turn_away(&mut self, key: ClientKey, complaint: &Complaint) {
        let goodbye = match self.drain.is_some() || self.giving == Giving::Everyone {
            true => Goodbye::Drain,
            false => Goodbye::Refused,
        };
        let mid_answer = self.is_mid_answer(key);
        let complaint = self.unless_in_doubt(key, complaint);
        self.part(key, goodbye);
        self.close_with(key, &complaint, mid_answer);
    }

    /// Its server is lost. `mid_answer`: as of before; `told`: PostgreSQL has told it why.
    pub(super) fn server_lost(
        &mut self,
        key: ClientKey,
        complaint: &Complaint,
        mid_answer: bool,
        told: bool,
    ) {
        self.part(key, Goodbye::ServerLost);
        self.close_with(key, complaint, mid_answer || told);
    }

    /// Closes a client that took too long; in the midst of an answer nothing can be said.
    pub(super) fn time_out(&mut self, key: ClientKey, complaint: &Complaint) {
        self.close_for(key, Goodbye::Timeout, complaint);
    }

    /// Closes a client for what is none of its server's doing.
    pub(super) fn close_for(&mut self, key: ClientKey, goodbye: Goodbye, complaint: &Complaint) {
        let mid_answer = self.is_mid_answer(key);
        let complaint = self.unless_in_doubt(key, complaint);
        self.part(key, goodbye);
        self.close_with(key, &complaint, mid_answer);
    }

    fn close_with(&mut self, key: ClientKey, complaint: &Complaint, in_silence: bool) {
        let mut words = Vec::new();
        if !in_silence {
            complaint.encode(Severity::Fatal, &mut words);
        }
        self.say_last_words(key, &words);
    }

    /// Writes `words`, says that nothing follows, and closes when the peer has closed too: closing
    /// while words of its own are unread would make the kernel destroy ours on their way.
    pub(super) fn say_last_words(&mut self, key: ClientKey, words: &[u8]) {
        let deadline = self.now + LINGER;
        let Some(client) = self.client(key) else { return };
        if client.channel.send_bytes(words).is_err() {
            return self.remove_client(key);
        }
        if client.channel.is_drained() {
            client.channel.shutdown_write();
        }
        client.stage = Stage::Closing;
        client.channel.paused = false;
        self.queue_client(key);
        self.set_alarm(Source::Client(key), deadline);
    }

    /// The client has gone: whatever it had is taken from it.
    pub(super) fn client_gone(&mut self, key: ClientKey, goodbye: Goodbye) {
        self.part(key, goodbye);
        self.remove_client(key);
    }

    /// Takes a client's place in the queue, its server, and its pool.
    pub(super) fn part(&mut self, key: ClientKey, goodbye: Goodbye) {
        let now = self.now;
        let Some(client) = self.client(key) else { return };
        let (ticket, lease) = (client.ticket.take(), client.lease.take());
        let port = client.port;
        let is_pinned = !std::mem::take(&mut client.pins).is_empty();
        let session = client.session.take();
        if matches!(client.stage, Stage::Visiting { .. }) {
            client.stage = Stage::Closing;
            self.visitor_left(key);
        }
        if let Some(ticket) = ticket {
            self.with_pools(|pools| pools.give_up(ticket, Outcome::Disconnected, now));
        }
        if let Some(id) = lease {
            if is_pinned && let Some(server) = self.server(id) {
                server.dirty = true;
            }
            self.abandoned(id);
        }
        if let Some(session) = session {
            if session.arrival.is_some() {
                self.shared.succession.forget(session.pid, self.index, key);
            }
            self.leave_ear(key, &session.key.database);
            session.traffic.closed[goodbye as usize].add(1);
            self.shared.clients.fetch_sub(1, Ordering::Relaxed);
            self.with_pools(|pools| {
                if is_pinned {
                    pools.unpin(session.pool);
                }
                pools.leave(session.pool, port);
            });
        }
    }

    pub(super) fn remove_client(&mut self, key: ClientKey) {
        drop(self.unlist(key));
    }

    /// A connection becomes one of this worker's. None where the kernel has no memory for it: the peer
    /// sees it end.
    pub(super) fn enlist(
        &mut self,
        mut channel: Channel,
        port: Port,
        stage: Stage,
    ) -> Option<&mut Client> {
        let entry = self.clients.vacant_entry();
        let key = ClientKey { place: entry.key() as u32, serial: self.client_serial };
        self.client_serial = (self.client_serial + 1) % SERIAL_MAX;
        channel.register(&self.registry, Source::Client(key).token()).ok()?;
        channel.charge_to(&self.shared.memory);
        Some(entry.insert(Client {
            key,
            channel,
            alarm: Alarm::default(),
            port,
            stage,
            is_login: false,
            machine: ClientMachine::default(),
            session: None,
            ticket: None,
            lease: None,
            pins: PinReasons::NONE,
            deadlines: Deadlines::default(),
            again: None,
            is_second: false,
            since: self.now,
            kept: Charge::to(&self.shared.memory),
        }))
    }

    /// It is no client of this worker any more, and its socket is watched no more.
    pub(super) fn unlist(&mut self, key: ClientKey) -> Option<Client> {
        self.client(key)?;
        let mut client = self.clients.remove(key.place as usize);
        if client.is_login {
            self.logging_in -= 1;
        }
        self.clear_alarm(Source::Client(key), &mut client.alarm);
        client.channel.deregister(&self.registry);
        Some(client)
    }

    /// While draining: an idle client is told goodbye; at the end of the time everybody is.
    pub(super) fn drain_client(&mut self, key: ClientKey, times_up: bool) {
        let Some(client) = self.client(key) else { return };
        match client.stage {
            // It is read from until it hangs up: it may not have got its last words yet.
            Stage::Closing => return,
            Stage::Penalty(_) | Stage::Login(_) if times_up => return self.remove_client(key),
            // What it has asked for is answered first.
            Stage::Visiting { is_heard: false } if !times_up => return,
            Stage::Visiting { .. } => return self.turn_away(key, &Complaint::draining()),
            _ => {}
        }
        let keeps_server = client.keeps_server();
        let lease = client.lease;
        if client.is_idle() || times_up {
            return self.turn_away(key, &self.farewell());
        }
        if keeps_server && let Some(id) = lease {
            self.after_exchange(key, id);
        }
    }
}

/// With more clients waiting than this, buffers are made anew: 1 MiB at most lies spare.
const SPARE_BUFFERS_MAX: usize = 64;

/// How long a peer that was told its last words may take to hang up.
const LINGER: Duration = Duration::from_secs(2);
