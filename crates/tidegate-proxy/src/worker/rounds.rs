//! Rounds: what is done to all clients, some in each turn, so that nobody's queries wait for it.
//!
//! They are lists for operators, and settings that have changed. Beside them stands what an operator
//! does to one client or server.

use std::sync::Arc;

use tidegate_config::Config;
use tidegate_observe::front::Goodbye;
use tidegate_pool_core::server::{CloseReason, ServerId};
use tidegate_session::server::Errand;
use tidegate_wire::catalogue::Complaint;
use tidegate_wire::tick::Tick;

use crate::roster::{
    ClientId, ClientRow, ClientState, Found, Killed, ListeningRow, Listing, Rank, Whom,
};
use crate::server::{Habits, Stage};
use crate::tls::connection::Tls;
use crate::token::{ClientKey, client_of_pid};
use crate::worker::Worker;
use crate::worker::clients::{self, Session};
use crate::worker::deadlines::Activity;

/// Places of clients that are looked at in one turn: some tens of microseconds.
const PLACES_PER_TURN: usize = 256;

/// A round, and how far it has come.
pub(super) struct Round {
    purpose: Purpose,
    next: usize,
}

enum Purpose {
    /// Somebody wants to know who they are.
    List(Listing),
    /// Other settings hold for them.
    Reload,
}

impl Round {
    /// Whether nobody waits for what it finds: else those who ask and hang up would keep a worker
    /// at lists for ever.
    fn is_in_vain(&self) -> bool {
        match &self.purpose {
            Purpose::List(listing) => !listing.asker.waits(),
            Purpose::Reload => false,
        }
    }
}

impl Worker {
    /// Somebody wants to know who is connected.
    pub(super) fn list(&mut self, mut listing: Listing) {
        if listing.whom == Whom::Clients {
            return self.rounds.push_back(Round { purpose: Purpose::List(listing), next: 0 });
        }
        // There are no more of them than servers.
        for server in self.servers.iter().flatten() {
            if let Some(key) = server.client
                && let Some(rank) = self.rank(key)
            {
                listing.add(rank, key);
            }
        }
        self.answer(listing);
    }

    /// Goes on with the first round, if there is one.
    pub(super) fn go_on_rounds(&mut self) {
        while self.rounds.pop_front_if(|round| round.is_in_vain()).is_some() {}
        let Some(mut round) = self.rounds.pop_front() else { return };
        let end = self.clients.capacity().min(round.next + PLACES_PER_TURN);
        for place in round.next..end {
            let Some(key) = self.clients.get(place).map(|client| client.key) else { continue };
            match &mut round.purpose {
                Purpose::List(listing) => {
                    if let Some(rank) = self.rank(key) {
                        listing.add(rank, key);
                    }
                }
                Purpose::Reload => self.reload_client(key),
            }
        }
        round.next = end;
        match round.purpose {
            _ if end < self.clients.capacity() => self.rounds.push_front(round),
            Purpose::List(listing) => self.answer(listing),
            Purpose::Reload => {}
        }
    }

    /// Other settings are in force: at once for whoever comes, and within a few turns for those who
    /// are here.
    pub(super) fn reload(&mut self, config: Arc<Config>) {
        self.config = config;
        // Of two, one that has not begun will do what both would.
        let is_due = |round: &Round| matches!(round.purpose, Purpose::Reload) && round.next == 0;
        if !self.rounds.iter().any(is_due) {
            // However many want lists, nobody works by settings of old for longer.
            self.rounds.push_front(Round { purpose: Purpose::Reload, next: 0 });
        }
    }

    fn reload_client(&mut self, key: ClientKey) {
        let config = self.config.clone();
        let Some(client) = self.client(key) else { return };
        let port = client.port;
        let Some(session) = &mut client.session else { return };
        let (database, user) = (&session.key.database, &session.key.user);
        let settings = config.pool_settings(database, user);
        session.timeouts = config.client_timeouts(database, user);
        session.probes = Session::probes(port, &settings);
        session.habits = Habits::of(&settings);
        self.watch(key);
    }

    fn answer(&mut self, mut listing: Listing) {
        let clients = listing.chosen().into_iter().filter_map(|key| self.row(key)).collect();
        let listening = self.listeners_of_all();
        listing.asker.told(Found { clients, total: listing.total, listening });
    }

    /// How interesting a client is: those that hold a server, those that wait, the rest; of
    /// each the longest first. None before it has logged in, and once it was told goodbye.
    fn rank(&self, key: ClientKey) -> Option<Rank> {
        let client = self.clients.get(key.place as usize).filter(|client| client.key == key)?;
        client.session.as_ref()?;
        let class = match (client.lease, client.ticket) {
            (Some(_), _) => 0,
            (None, Some(_)) => 1,
            (None, None) => 2,
        };
        Some((class, client.deadlines.in_transaction_since().min(client.deadlines.spoke_at())))
    }

    /// All that is to be said of a client.
    fn row(&mut self, key: ClientKey) -> Option<ClientRow> {
        let now = self.now;
        let activity = self.activity(key);
        let database = self.client(key)?.session.as_ref()?.key.database.clone();
        let listens = self.is_listening(key, &database);
        let client = self.client(key)?;
        if let Some(activity) = activity {
            client.deadlines.is_at(activity, now);
        }
        let session = client.session.as_deref()?;
        let id = ClientId { pid: session.pid, serial: session.arrival.unwrap_or(key.serial) };
        let state = match activity {
            None => ClientState::LoggingIn,
            Some(Activity::Idle) if client.machine.is_in_transaction() => {
                ClientState::IdleInTransaction
            }
            Some(Activity::Idle) if listens => ClientState::Listening,
            Some(Activity::Idle) => ClientState::Idle,
            Some(Activity::Listening) => ClientState::Listening,
            Some(Activity::Waiting) if client.ticket.is_some() => ClientState::Waiting,
            Some(Activity::Waiting) => ClientState::Preparing,
            Some(Activity::Working { is_running: true, .. }) => ClientState::Active,
            Some(Activity::Working { .. }) => ClientState::IdleInTransaction,
        };
        let since = match activity {
            Some(activity) => client.deadlines.since(activity),
            None => client.deadlines.spoke_at(),
        };
        let transaction = client.deadlines.in_transaction_since();
        let application = session.settings.value("application_name").unwrap_or_default();
        Some(ClientRow {
            id,
            port: client.port,
            database,
            user: session.key.user.clone(),
            application: application.to_owned(),
            address: client.channel.peer_address(),
            local_address: client.channel.local_address(),
            tls: client.channel.tls().map(Tls::version),
            age: now.since(client.since),
            silent: now.since(client.deadlines.spoke_at()),
            state,
            in_state: now.since(since),
            in_transaction: (transaction < Tick::NEVER).then(|| now.since(transaction)),
            pins: client.pins.iter().map(|reason| reason.as_str()).collect(),
            server: client.lease,
        })
    }

    fn listeners_of_all(&self) -> Vec<ListeningRow> {
        let servers = self.servers.iter().flatten().filter(|server| server.is_ear);
        let row = |id: ServerId| ListeningRow { server: id, clients: self.listeners_at(id) };
        servers.map(|server| row(server.id)).collect()
    }

    /// Closes a client because an operator wants it.
    pub(super) fn kill_client(&mut self, id: ClientId) -> Killed {
        let own = |(worker, place)| (worker, ClientKey { place: place as u32, serial: id.serial });
        let place = match self.shared.succession.known_as(id.pid, id.serial) {
            Some(arrived) => Some(arrived),
            None => client_of_pid(id.pid).map(own),
        };
        let Some((_, key)) = place.filter(|(worker, _)| *worker == self.index) else {
            return Killed::Unknown;
        };
        let Some(client) = self.client(key) else { return Killed::Unknown };
        if matches!(client.stage, clients::Stage::Closing) {
            return Killed::Closing;
        }
        let Some(row) = self.row(key) else { return Killed::Unknown };
        tracing::info!(client = %id, who = %self.who(key), "an operator has closed a client");
        self.close_for(key, Goodbye::Killed, &Complaint::client_killed());
        Killed::Done(Some(Box::new(row)))
    }

    /// Closes a server in this worker's hands because an operator wants it; its client is told.
    pub(super) fn kill_server(&mut self, id: ServerId) -> Killed {
        let Some(server) = self.server(id) else { return Killed::Unknown };
        let Stage::Up(machine) = &server.stage else {
            return match server.stage {
                Stage::Login(_) => Killed::Opening,
                _ => Killed::Closing,
            };
        };
        let is_mid_answer = machine.is_mid_answer();
        // What is done before a client's batch is sent: another server will do.
        let is_unused = machine.errand().is_some_and(|errand| errand != Errand::Restore);
        tracing::info!(server = id.number(), pid = server.pid, "an operator has closed a server");
        let client = server.client;
        let row = client.and_then(|key| self.row(key)).map(Box::new);
        self.ear_is_lost(id);
        if let Some(server) = self.server(id) {
            server.client = None;
        }
        let Some(key) = client else {
            self.close_server(id, CloseReason::Killed);
            return Killed::Done(None);
        };
        if is_unused {
            self.close_server(id, CloseReason::Killed);
            self.start_over(key);
            return Killed::Done(None);
        }
        let complaint = self.unless_in_doubt(key, &Complaint::server_killed());
        if let Some(client) = self.client(key) {
            client.forget_lease();
        }
        self.server_lost(key, &complaint, is_mid_answer, false);
        self.close_server(id, CloseReason::Killed);
        Killed::Done(row)
    }
}
