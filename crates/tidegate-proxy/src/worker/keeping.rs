//! What clients of the transaction port keep from one transaction to the next: their settings,
//! which go with them from server to server, and what they have left in the session of one, which
//! keeps them there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidegate_pool_core::server::{CloseReason, PoolId, ServerId};
use tidegate_session::examination::Findings;
use tidegate_session::parameters::{ReportedValues, SessionSettings, unknown_to};
use tidegate_session::pin::{PinReason, PinReasons};
use tidegate_session::server::{Review, ServerError};
use tidegate_wire::catalogue::Complaint;

use crate::server::Stage;
use crate::token::{ClientKey, Source};
use crate::welcome;
use crate::worker::servers::ERRAND_MAX;
use crate::worker::{PIN_ORIGINS_MAX, Worker};

/// What a client keeps past the end of its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    /// Its server, or it is not known yet.
    Server,
    /// Nothing that another server could not have.
    Nothing,
    /// Nothing either, and it has been parted from its server already.
    Parted,
}

/// Settings that PostgreSQL has accepted, by pool. It is expected to accept them again, so they go
/// in front of a batch without that anybody waits for the answer.
#[derive(Debug, Default)]
pub(super) struct Accepted(BTreeMap<PoolId, BTreeSet<Setting>>);

/// A name and its value.
type Setting = (Arc<str>, Arc<str>);

/// Settings of a pool that are remembered. Applications have a handful; one that sets another value
/// for each request waits for it only where it has not set it itself. At some hundred bytes each,
/// a pool takes half a megabyte at most.
const ACCEPTED_MAX: usize = 4096;

impl Accepted {
    /// Whether PostgreSQL has accepted all of them.
    pub(super) fn has_all<'a>(
        &self,
        pool: PoolId,
        mut settings: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> bool {
        let known = self.0.get(&pool);
        settings.all(|(name, value)| {
            // A copy of both, made only where a server is adapted.
            known.is_some_and(|known| known.contains(&(Arc::from(name), Arc::from(value))))
        })
    }

    /// PostgreSQL has accepted them.
    pub(super) fn add(&mut self, pool: PoolId, settings: &SessionSettings) {
        let known = self.0.entry(pool).or_default();
        if known.len() + settings.iter().count() > ACCEPTED_MAX {
            known.clear();
        }
        known.extend(settings.iter().map(|(name, value)| (Arc::from(name), Arc::from(value))));
    }

    /// One that was accepted was refused.
    fn forget(&mut self, pool: PoolId) {
        self.0.remove(&pool);
    }
}

impl Worker {
    /// The transaction of a client has ended, with its server at rest.
    pub(super) fn look_back(&mut self, key: ClientKey, id: ServerId) -> Keeps {
        let deadline = self.now + ERRAND_MAX;
        self.to_server.clear();
        let Some(client) = self.clients.get_mut(key.place as usize) else { return Keeps::Nothing };
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return Keeps::Nothing;
        };
        let Stage::Up(machine) = &mut server.stage else { return Keeps::Nothing };
        if let Some(session) = &mut client.session {
            // What was reported in the meantime has been passed on.
            if !machine.reports_as_known(&session.known) {
                session.known = machine.reported().values().clone();
            }
        }
        match machine.review(client.pins, &server.settings, &mut self.to_server) {
            Review::Clean => {}
            Review::Known(findings) => self.found(key, id, &findings),
            Review::Asked { were_reset } => {
                let asked_for = client.session.as_ref().is_some_and(|all| !all.startup.is_empty());
                server.holds_client = were_reset && asked_for;
                self.send_own(id);
                self.set_alarm(Source::Server(id), deadline);
                return Keeps::Server;
            }
        }
        match self.client(key) {
            Some(client) if !client.pins.is_empty() => self.restore_settings(key, id),
            _ => return Keeps::Nothing,
        }
        self.go_on_moving(key, id);
        self.tell_notifications(key);
        match self.client(key) {
            Some(client) if client.lease.is_some() => Keeps::Server,
            _ => Keeps::Parted,
        }
    }

    /// A client that keeps its server has reset settings to what the server has by itself, which is
    /// not what the client had asked for when it connected.
    fn restore_settings(&mut self, key: ClientKey, id: ServerId) {
        let deadline = self.now + ERRAND_MAX;
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return;
        };
        let (Stage::Up(machine), Some(session)) = (&mut server.stage, &client.session) else {
            return;
        };
        if Arc::ptr_eq(&session.settings, &server.settings) {
            return;
        }
        let Some(change) = session.settings.change_from(&server.settings) else { return };
        self.to_server.clear();
        machine.restore(change.as_bytes(), &mut self.to_server);
        server.adapting_to = Some(session.settings.clone());
        self.send_own(id);
        self.set_alarm(Source::Server(id), deadline);
    }

    /// It is known what the client has set, and what it has left.
    pub(super) fn found(&mut self, key: ClientKey, id: ServerId, findings: &Findings) {
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return;
        };
        server.holds_client = false;
        let Some(session) = &mut client.session else { return };
        if let Some(changes) = &findings.changes {
            let (of_server, of_client) =
                changes.apply(&server.settings, &session.settings, &session.startup);
            self.accepted.add(session.pool, &of_server);
            let of_server = Arc::new(of_server);
            // Equal settings are the same where that is known, so that comparing them is cheap.
            session.set_settings(if of_client == *session.startup {
                session.startup.clone()
            } else if of_client == *of_server {
                of_server.clone()
            } else {
                Arc::new(of_client)
            });
            let is_same = *of_server == *session.settings;
            server.set_settings(if is_same { &session.settings } else { &of_server });
        }
        let pins = client.pins.without(findings.examined).and(findings.holds);
        self.set_pins(key, id, pins);
        self.note_channels(key, findings);
        self.end_move(key, id);
    }

    /// PostgreSQL has accepted the settings of a client.
    pub(super) fn note_accepted(&mut self, key: Option<ClientKey>, settings: &SessionSettings) {
        let client = key.and_then(|key| self.clients.get(key.place as usize));
        if let Some(session) = client.and_then(|client| client.session.as_ref()) {
            self.accepted.add(session.pool, settings);
        }
    }

    /// `DISCARD ALL` was confirmed: sequences are forgotten.
    pub(super) fn discarded(&mut self, key: ClientKey, id: ServerId) {
        let Some(client) = self.client(key) else { return };
        let pins = client.pins.without(PinReasons::NONE.with(PinReason::Sequence));
        self.set_pins(key, id, pins);
    }

    /// The one place where a client's pins change while it lives.
    pub(super) fn set_pins(&mut self, key: ClientKey, id: ServerId, pins: PinReasons) {
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        let Some(session) = &mut client.session else { return };
        let pool = session.pool;
        let before = client.pins;
        match (before.is_empty(), pins.is_empty()) {
            (true, false) if !self.shared.pools().pin(pool) => {
                session.refused_pin = pins.iter().next();
                if let Some(server) = self.server(id) {
                    server.dirty = true;
                }
                return;
            }
            (false, true) => self.shared.pools().unpin(pool),
            _ => {}
        }
        client.pins = pins;
        if before.has(PinReason::Requested) && !pins.has(PinReason::Requested) {
            // Who asks for a pin has a reason that nobody else sees.
            if let Some(server) = self.server(id) {
                server.dirty = true;
            }
        }
        // A client that only listens need not keep its server for long.
        let listens = PinReasons::NONE.with(PinReason::Listen);
        for reason in pins.without(before).without(listens).iter() {
            self.log_pin(key, reason);
        }
    }

    /// Counts a pin, and logs it once for each origin.
    pub(super) fn log_pin(&mut self, key: ClientKey, reason: PinReason) {
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        let Some(session) = &client.session else { return };
        session.traffic.pins[reason.index()].add(1);
        let application = session.startup.value("application_name").unwrap_or_default();
        let origin = (session.pool, Box::from(application), reason);
        if self.pins_logged.len() < PIN_ORIGINS_MAX && !self.pins_logged.contains(&origin) {
            tracing::info!(
                database = %session.key.database, user = %session.key.user,
                application = %origin.1, peer = ?session.peer, reason = reason.as_str(),
                "a client keeps its server: it has left state in the session; to need none: {}",
                reason.remedy()
            );
            self.pins_logged.insert(origin);
        }
    }

    /// What the client has left was removed, as too many others have left something.
    pub(super) fn tell_of_refused_pin(&mut self, key: ClientKey, pool: PoolId, reason: PinReason) {
        let pins_max = self.shared.pools().pins_max(pool);
        let complaint = Complaint::pin_budget(reason.as_str(), reason.remedy(), pins_max);
        self.answer_in_servers_stead(key, &complaint);
    }

    /// What the client knows of parameters that are reported, and what its server has reported, is
    /// the same from now on.
    pub(super) fn tell_parameters(&mut self, key: ClientKey, reported: &Arc<ReportedValues>) {
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        if !client.is_ready() {
            return; // It is about to be told everything.
        }
        let Some(session) = &mut client.session else { return };
        let news = unknown_to(&mut session.known, reported);
        if news.is_empty() {
            return;
        }
        let words = welcome::statuses(news.iter().map(|(name, value)| (name, value)));
        // If it can't be sent, reading will tell.
        let _ = client.channel.send_bytes(&words);
    }

    /// The settings that were sent beside the client's messages are in force.
    pub(super) fn settings_are_in_force(&mut self, id: ServerId) {
        self.quiet(id);
        let Some(server) = self.server(id) else { return };
        if let Some(settings) = server.adapting_to.take() {
            server.set_settings(&settings);
        }
    }

    /// What went in front of the client's batch has failed, and the batch has run without it.
    pub(super) fn ahead_failed(&mut self, key: ClientKey, id: ServerId, error: &ServerError) {
        tracing::error!(
            server = id.number(),
            "a client's settings or BEGIN failed in front of its statement: {}",
            error.message
        );
        if let Some(server) = self.server(id) {
            server.client = None;
            server.adapting_to = None;
        }
        let pool = self.client(key).and_then(|client| {
            client.forget_lease();
            client.session.as_ref().map(|session| session.pool)
        });
        if let Some(pool) = pool {
            self.accepted.forget(pool);
        }
        self.server_lost(key, &Complaint::ahead_failed(&error.message), false, false);
        self.close_server(id, CloseReason::Recovery);
    }
}
