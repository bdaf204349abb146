//! Timeouts: a client has taken too long for what it does. What that is, and when it is too long,
//! [`deadlines`](crate::worker::deadlines) decides; here it is found out and acted upon.
//!
//! A statement that runs for too long is cancelled, and its client can go on. As the cancel must
//! not hit what comes next, the client is held until it has arrived.

use std::time::Duration;

use tidegate_observe::front::Timeout;
use tidegate_pool_core::server::ServerId;
use tidegate_session::exchange::Waits;
use tidegate_session::pin::PinReason;
use tidegate_wire::catalogue::Complaint;
use tidegate_wire::tick::Tick;

use crate::server::{Overdue, Server, Stage};
use crate::token::{ClientKey, Source};
use crate::worker::Worker;
use crate::worker::deadlines::{Activity, Expired};

impl Worker {
    /// What a client is at may have changed: its alarm is set to what runs out first. Nothing
    /// else sets the alarm of a client that has logged in, until it is closed.
    pub(super) fn watch(&mut self, key: ClientKey) {
        self.may_rest(key);
        let due = self.next_deadline(key).map_or(Tick::NEVER, |(due, _)| due);
        if let Some(client) = self.clients.get_mut(key.place as usize)
            && client.key == key
            && client.is_ready()
        {
            self.timers.set(Source::Client(key), &mut client.alarm, due);
        }
    }

    fn next_deadline(&mut self, key: ClientKey) -> Option<(Tick, Expired)> {
        let now = self.now;
        let activity = self.activity(key)?;
        let client = self.clients.get_mut(key.place as usize)?;
        client.deadlines.is_at(activity, now);
        if !client.channel.is_drained() {
            client.deadlines.is_unanswered(now);
        }
        let limits = &client.session.as_ref()?.timeouts;
        client.deadlines.next(limits, self.config.timeouts.cancel)
    }

    /// What a client is at.
    pub(super) fn activity(&self, key: ClientKey) -> Option<Activity> {
        let client = self.clients.get(key.place as usize).filter(|client| client.key == key)?;
        let session = client.session.as_deref().filter(|_| client.is_ready())?;
        let rests = || {
            let is_asked = session.timeouts.client_idle.is_some() && session.listening.is_some();
            let listens = client.pins.has(PinReason::Listen)
                || is_asked && self.is_listening(key, &session.key.database);
            if listens { Activity::Listening } else { Activity::Idle }
        };
        if client.ticket.is_some() {
            return Some(Activity::Waiting);
        }
        let Some(id) = client.lease else { return Some(rests()) };
        let server = self.servers.get(id.place()).and_then(Option::as_deref)?;
        let Stage::Up(machine) = &server.stage else { return Some(Activity::Waiting) };
        if machine.errand().is_some() {
            return Some(Activity::Waiting);
        }
        let exchange = machine.exchange();
        let is_running = exchange.is_busy_for_client() || client.machine.is_stalled();
        let is_mid_message = client.machine.is_mid_message();
        let waits = exchange.waits_for() != Waits::Nothing;
        if !is_running && !waits && !is_mid_message && !exchange.is_unsure() {
            return Some(rests());
        }
        Some(Activity::Working {
            // Whether it is at something nobody can say who has lost count.
            is_running: is_running && !exchange.is_unsure(),
            // What is not read from the client, it can't say.
            owes: (waits || is_mid_message) && !client.channel.paused,
        })
    }

    /// The alarm of a client has fired that has logged in.
    pub(super) fn out_of_time(&mut self, key: ClientKey) {
        let Some((due, expired)) = self.next_deadline(key) else { return };
        if due > self.now {
            return self.watch(key); // What it is at has changed since the alarm was set.
        }
        let complaint = match expired {
            Expired::Limit(Timeout::Query, limit) => return self.cancel_overdue(key, limit),
            Expired::Limit(Timeout::Transaction, limit) => {
                tracing::warn!(
                    ?limit,
                    client = %self.who(key),
                    "closed a client whose transaction took too long"
                );
                Complaint::transaction_timeout(limit)
            }
            Expired::Limit(Timeout::IdleInTransaction, limit) => {
                tracing::warn!(
                    ?limit,
                    client = %self.who(key),
                    "closed a client that was idle in a transaction"
                );
                Complaint::idle_in_transaction(limit)
            }
            Expired::Limit(Timeout::ClientIdle, limit) => {
                tracing::info!(?limit, client = %self.who(key), "closed a client that was idle");
                Complaint::client_idle(limit)
            }
            Expired::NotCancelled(limit) => {
                let waited = self.config.timeouts.cancel;
                tracing::warn!(
                    ?limit,
                    ?waited,
                    client = %self.who(key),
                    "closed a client whose statement did not end when it was cancelled"
                );
                Complaint::query_not_cancelled(limit, waited)
            }
        };
        if let Expired::Limit(kind, _) = expired {
            self.count_timeout(key, kind);
        }
        self.time_out(key, &complaint);
    }

    /// The statement of a client runs for too long.
    fn cancel_overdue(&mut self, key: ClientKey, limit: Duration) {
        let now = self.now;
        self.count_timeout(key, Timeout::Query);
        tracing::warn!(?limit, client = %self.who(key), "cancelled a statement that took too long");
        let Some(client) = self.client(key) else { return };
        client.deadlines.cancelled(now);
        if let Some(id) = client.lease {
            if let Some(server) = self.server(id) {
                server.overdue = Overdue::Cancelled { limit };
            }
            self.want_cancel(id);
        }
        self.watch(key);
    }

    /// A batch was answered. Where it was overdue, it is not any more; what comes behind it must not
    /// be hit by the cancel.
    pub(super) fn overdue_answered(&mut self, id: ServerId) {
        let Some(server) = self.server(id) else { return };
        let has_asked = server.client_asked;
        // One that is still on its way may hit what comes next, and was asked for.
        server.client_asked &= server.cancels > 0 || server.cancel_wanted;
        if !matches!(server.overdue, Overdue::Cancelled { .. }) {
            return;
        }
        if !has_asked {
            server.cancel_wanted = false; // If it has not been sent yet, it need not be.
        }
        let is_busy =
            server.machine().is_some_and(|machine| machine.exchange().is_busy_for_client());
        match server.cancels {
            // It has arrived, and may have hit what was sent behind, whose answer is still to come.
            _ if is_busy => {}
            0 => settle(server),
            _ => server.overdue = Overdue::Arriving,
        }
    }

    /// No cancel is on its way to a server any more.
    pub(super) fn cancels_have_arrived(&mut self, id: ServerId) {
        let Some(server) = self.server(id) else { return };
        // It can have hit what the client runs; what it runs next, it can't.
        let is_busy =
            server.machine().is_some_and(|machine| machine.exchange().is_busy_for_client());
        server.client_asked &= is_busy;
        if server.overdue == Overdue::Arriving {
            settle(server);
        }
        let Some(key) = server.client else { return };
        if self.client(key).is_some_and(|client| client.machine.is_stalled()) {
            return self.relay_held(key, id);
        }
        // What could not be asked before it can be now.
        self.after_exchange(key, id);
    }

    /// The client itself wants what it runs to be cancelled. Which cancel it was that ended the
    /// statement can't be told, so PostgreSQL's words stay.
    pub(super) fn client_asks_to_cancel(&mut self, id: ServerId) {
        let Some(server) = self.server(id) else { return };
        server.client_asked = true;
        if let Some(machine) = server.machine() {
            machine.set_cancelled_for(None);
        }
    }

    fn count_timeout(&mut self, key: ClientKey, kind: Timeout) {
        if let Some(traffic) = self.client(key).and_then(|client| client.traffic()) {
            traffic.timeouts[kind as usize].add(1);
        }
    }

    /// A client, for the log.
    pub(super) fn who(&self, key: ClientKey) -> String {
        let client = self.clients.get(key.place as usize);
        let Some(session) = client.and_then(|client| client.session.as_deref()) else {
            return String::new();
        };
        let application = session.startup.value("application_name").unwrap_or_default();
        let peer = session.peer.map(|peer| peer.to_string()).unwrap_or_default();
        format!("{}/{} {application:?} {peer}", session.key.database, session.key.user)
    }
}

/// A cancel has been sent to a server. If it is for a statement that took too long, and for
/// nothing else, its client is told that.
pub(super) fn cancel_is_sent(server: &mut Server) {
    let Overdue::Cancelled { limit } = server.overdue else { return };
    if !server.client_asked
        && let Some(machine) = server.machine()
    {
        machine.set_cancelled_for(Some(Complaint::query_timeout(limit)));
    }
}

/// Nothing of the client's is being cancelled for Tidegate's sake any more.
pub(super) fn settle(server: &mut Server) {
    server.overdue = Overdue::No;
    if let Some(machine) = server.machine() {
        machine.set_cancelled_for(None);
    }
}
