//! Listening: one server for each database hears the notifications for all clients of the
//! transaction port.
//!
//! The first client that listens gives its server away to be that one. What the others listen to
//! moves there, as [`tidegate_session::listen`] says it. When nobody listens any more the server
//! goes back to its pool. Each worker has such servers of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tidegate_pool_core::order::Checkout;
use tidegate_pool_core::queue::Ticket;
use tidegate_pool_core::server::{CloseReason, Flavour, Lease, PoolId, Port, ServerId, Waiter};
use tidegate_pool_core::tally::Outcome;
use tidegate_session::examination::Findings;
use tidegate_session::listen::{Delivery, Fanout, Mailbox, can_move, unlisten};
use tidegate_session::pin::{PinReason, PinReasons};
use tidegate_session::server::{Errand, ErrandEnd, Heard, ServerMachine};
use tidegate_session::traces::Channels;

use crate::server::{Server, Stage};
use crate::timers::Alarm;
use crate::token::{ClientKey, Source};
use crate::worker::Worker;

/// The server that listens for one database, and for whom.
#[derive(Debug)]
pub(super) struct Ear {
    database: Arc<str>,
    pool: PoolId,
    /// Notifications are in this encoding.
    encoding: Vec<u8>,
    server: Option<ServerId>,
    /// It waits for a server, as the last one was lost.
    ticket: Option<Ticket>,
    alarm: Alarm,
    fanout: Fanout<ClientKey>,
    /// How many of them are counted in the pool.
    counted: u32,
    /// What it is still to be sent.
    queue: VecDeque<String>,
}

/// What a client of the transaction port listens to, and what it is to be told.
#[derive(Debug, Default)]
pub(super) struct Listening {
    /// Its own server listens to these.
    own: Channels,
    progress: Progress,
    mailbox: Mailbox,
}

impl Listening {
    /// What it keeps for the client, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.mailbox.held_bytes()
    }
}

/// How far the move of what a client's own server listens to has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Progress {
    #[default]
    Resting,
    /// It could not begin, and that was logged.
    Staying,
    /// Its server begins to listen to markers.
    Preparing,
    /// A marker is on its way.
    Marking,
    /// It has come: the server may end listening.
    Marked,
    /// The server ends listening.
    Ending,
}

/// How long the listening server is done without after one could not be had.
const AGAIN: Duration = Duration::from_secs(1);

impl Worker {
    /// It is known to what a client listens, or listens no more.
    pub(super) fn note_channels(&mut self, key: ClientKey, findings: &Findings) {
        if !findings.unlistened.is_empty() {
            let only = (!findings.unlistened.all).then_some(&findings.unlistened.channels);
            let session = self.client(key).and_then(|client| client.session.as_ref());
            if let Some(database) = session.map(|session| session.key.database.clone()) {
                self.tell_ear(&database, |fanout| fanout.unlisten(key, only));
            }
        }
        let Some(client) = self.client(key) else { return };
        let Some(session) = &mut client.session else { return };
        if session.listening.is_none() && findings.channels.is_empty() {
            return;
        }
        let listening = session.listening.get_or_insert_default();
        let is_moving = !matches!(listening.progress, Progress::Resting | Progress::Staying);
        if findings.examined.has(PinReason::Listen) && !is_moving {
            listening.own.clone_from(&findings.channels);
            if listening.own.is_empty() {
                listening.progress = Progress::Resting;
            }
        } else {
            // What comes after a move that is under way is asked for when that has ended.
            listening.own.extend(findings.channels.iter().cloned());
        }
    }

    /// The client's own server listens for it no more, by what the client has done. Where a move had
    /// begun, whatever has become of it, the server still listens to markers, and must be reset.
    pub(super) fn end_move(&mut self, key: ClientKey, id: ServerId) {
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        if client.pins.has(PinReason::Listen) {
            return;
        }
        if let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) {
            server.dirty |= server.machine().is_some_and(|machine| machine.is_handing_over());
        }
        let session = client.session.as_mut();
        let Some(listening) = session.and_then(|session| session.listening.as_mut()) else {
            return;
        };
        if matches!(listening.progress, Progress::Resting | Progress::Staying) {
            return;
        }
        listening.progress = Progress::Resting;
        listening.mailbox.release();
    }

    /// The client, at rest, keeps its server: when it does so only to listen, that need not be.
    pub(super) fn go_on_moving(&mut self, key: ClientKey, id: ServerId) {
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return;
        };
        let Some(session) = &mut client.session else { return };
        let Stage::Up(machine) = &mut server.stage else { return };
        let only_listens = client.pins == PinReasons::NONE.with(PinReason::Listen);
        let Some(listening) = &mut session.listening else { return };
        self.to_server.clear();
        match listening.progress {
            Progress::Resting | Progress::Staying if only_listens && !listening.own.is_empty() => {
                let is_sayable = listening.own.iter().all(|channel| can_move(channel));
                let ear = self.ears.iter().find(|ear| ear.database == session.key.database);
                if ear.is_none() && is_sayable && self.shared.pools().may_lend(session.pool) {
                    return self.become_ear(key, id);
                }
                let encoding = encoding_of(machine);
                let fits = |ear: &Ear| ear.server.is_some() && ear.encoding == encoding;
                if !is_sayable || !ear.is_some_and(fits) {
                    if std::mem::replace(&mut listening.progress, Progress::Staying)
                        == Progress::Resting
                    {
                        self.log_pin(key, PinReason::Listen);
                    }
                    return;
                }
                machine.listen_to_markers(&mut self.to_server);
                listening.progress = Progress::Preparing;
            }
            Progress::Marked if !machine.may_listen_anew() => {
                machine.unlisten(&unlisten(&listening.own), &mut self.to_server);
                listening.progress = Progress::Ending;
            }
            _ => return,
        }
        self.send_own(id);
    }

    /// The client's server becomes the one that listens for its database.
    fn become_ear(&mut self, key: ClientKey, id: ServerId) {
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return;
        };
        let Some(session) = &mut client.session else { return };
        let Stage::Up(machine) = &mut server.stage else { return };
        let Some(listening) = &mut session.listening else { return };
        let mut ear = Ear {
            database: session.key.database.clone(),
            pool: session.pool,
            encoding: encoding_of(machine),
            server: Some(id),
            ticket: None,
            alarm: Alarm::default(),
            fanout: Fanout::default(),
            counted: 0,
            queue: VecDeque::new(),
        };
        ear.queue.push_back(ear.fanout.adopt(key, std::mem::take(&mut listening.own)));
        server.client = None;
        server.is_ear = true;
        server.dirty = true;
        machine.begin_lease();
        self.ears.push(ear);
        tracing::info!(server = id.number(), "a server listens for all clients of its database");
        self.set_pins(key, id, PinReasons::NONE);
        self.part_from_server(key);
        self.go_on_listening(id);
    }

    /// Something has come of what was sent to a client's own server.
    pub(super) fn listening_heard(&mut self, key: ClientKey, id: ServerId, heard: &Heard) {
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return;
        };
        let Some(session) = &mut client.session else { return };
        let Stage::Up(machine) = &mut server.stage else { return };
        let Some(listening) = &mut session.listening else { return };
        if heard.listens_to_markers && listening.progress == Progress::Preparing {
            let ear = self.ears.iter_mut().find(|ear| ear.database == session.key.database);
            let Some(ear) = ear.filter(|ear| ear.server.is_some()) else {
                listening.progress = Progress::Resting;
                return;
            };
            let (marker, sql) = ear.fanout.begin_move(key, listening.own.clone());
            ear.queue.push_back(sql);
            machine.hand_over_at(marker);
            listening.mailbox.hold();
            listening.progress = Progress::Marking;
            if let Some(ear) = ear.server {
                self.go_on_listening(ear);
            }
        } else if heard.marker_came && listening.progress == Progress::Marking {
            listening.mailbox.release();
            listening.progress = Progress::Marked;
        } else if heard.unlistened && listening.progress == Progress::Ending {
            listening.progress = Progress::Resting;
            listening.own.clear();
            let pins = client.pins.without(PinReasons::NONE.with(PinReason::Listen));
            self.set_pins(key, id, pins);
        }
    }

    /// Whether a server listens for this client.
    pub(super) fn is_listening(&self, key: ClientKey, database: &str) -> bool {
        self.ears.iter().any(|ear| *ear.database == *database && ear.fanout.has(key))
    }

    /// The client has gone.
    pub(super) fn leave_ear(&mut self, key: ClientKey, database: &str) {
        self.tell_ear(database, |fanout| fanout.leave(key));
    }

    /// Who listens has changed. `change` says what the listening server must be sent for it.
    fn tell_ear(
        &mut self,
        database: &str,
        change: impl FnOnce(&mut Fanout<ClientKey>) -> Option<String>,
    ) {
        let Some(ear) = self.ears.iter_mut().find(|ear| *ear.database == *database) else { return };
        ear.queue.extend(change(&mut ear.fanout));
        let server = ear.server;
        self.ear_changed(server);
    }

    fn ear_changed(&mut self, server: Option<ServerId>) {
        if let Some(id) = server {
            self.go_on_listening(id);
        } else {
            // Those that wait for a server in vain.
            let now = self.now;
            let waiting =
                self.ears.extract_if(.., |ear| ear.server.is_none() && ear.fanout.is_empty());
            let tickets: Vec<_> = waiting.filter_map(|ear| ear.ticket).collect();
            for ticket in tickets {
                let outcome = Outcome::Disconnected;
                self.with_pools(|pools| pools.give_up(ticket, outcome, now));
            }
        }
    }

    /// Sends the listening server what is due next, or gives it back when nobody listens.
    fn go_on_listening(&mut self, id: ServerId) {
        let Some(place) = self.ears.iter().position(|ear| ear.server == Some(id)) else { return };
        let ear = &mut self.ears[place];
        let listening = u32::try_from(ear.fanout.clients()).unwrap_or(u32::MAX);
        let (pool, counted) = (ear.pool, std::mem::replace(&mut ear.counted, listening));
        if counted != listening {
            self.shared.pools().listening(pool, counted, listening);
        }
        let is_at_it = self
            .server(id)
            .and_then(Server::machine)
            .is_none_or(|machine| machine.errand().is_some());
        if is_at_it {
            return;
        }
        if self.ears[place].fanout.is_empty() {
            self.ears.remove(place);
            if let Some(server) = self.server(id) {
                server.is_ear = false;
            }
            tracing::info!(server = id.number(), "nobody listens any more");
            return self.lease_ended(id);
        }
        if let Some(sql) = self.ears[place].queue.pop_front() {
            self.start_errand(id, Errand::Listen, sql.as_bytes());
        }
    }

    /// The listening server has said something. `bytes`: what was none of Tidegate's answers.
    pub(super) fn ear_hears(&mut self, id: ServerId, bytes: &[u8], heard: &Heard) {
        let Some(ear) = self.ears.iter_mut().find(|ear| ear.server == Some(id)) else { return };
        let mut deliveries = Vec::new();
        ear.fanout.hear(bytes, &mut deliveries);
        for Delivery { client: key, frame } in deliveries {
            let Some(client) = self.client(key) else { continue };
            let Some(session) = &mut client.session else { continue };
            session.listening.get_or_insert_default().mailbox.add(&frame);
            client.count_kept();
            self.tell_notifications(key);
        }
        match &heard.errand {
            None => {}
            Some(ErrandEnd::Done(_)) => self.quiet(id),
            Some(ErrandEnd::Failed(_, error)) => {
                tracing::warn!(server = id.number(), "could not listen: {}", error.message);
                self.ear_is_lost(id);
                return self.close_server(id, CloseReason::CheckFailed);
            }
        }
        self.go_on_listening(id);
    }

    /// Tells a client what it is to be told, unless it is in a transaction, or in the midst of an
    /// answer, or takes nothing.
    pub(super) fn tell_notifications(&mut self, key: ClientKey) {
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        let has_mail = client.session.as_ref().is_some_and(|session| {
            session.listening.as_ref().is_some_and(|listening| listening.mailbox.is_due())
        });
        if !has_mail || client.key != key || !client.is_ready() || client.ticket.is_some() {
            return;
        }
        // What it does not take would pile up.
        if client.machine.is_in_transaction() || client.channel.is_clogged() {
            return;
        }
        let is_at_rest = match client.lease {
            None => true,
            Some(id) => match self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) {
                Some(Server { stage: Stage::Up(machine), .. }) => {
                    machine.exchange().is_at_rest() && machine.is_between_frames()
                }
                _ => false,
            },
        };
        let Some(session) = &mut client.session else { return };
        if is_at_rest && let Some(listening) = &mut session.listening {
            let frames = listening.mailbox.take();
            session.traffic.client_tx.add(frames.len() as u64);
            // If it can't be sent, reading will tell.
            let _ = client.channel.send_bytes(&frames);
            client.count_kept();
        }
    }

    // --- The listening server is lost. ---

    /// The listening server is no more: those who listen are told, and another takes its place.
    pub(super) fn ear_is_lost(&mut self, id: ServerId) {
        let Some(place) = self.ears.iter().position(|ear| ear.server == Some(id)) else { return };
        tracing::warn!(server = id.number(), "the server that listens for its database was lost");
        if let Some(server) = self.server(id) {
            server.is_ear = false;
        }
        let ear = &mut self.ears[place];
        ear.server = None;
        ear.queue.clear();
        let (pool, counted) = (ear.pool, std::mem::take(&mut ear.counted));
        self.shared.pools().listening(pool, counted, 0);
        let ear = &mut self.ears[place];
        let (listeners, moving) = ear.fanout.lost();
        for key in moving {
            let Some(client) = self.client(key) else { continue };
            let lease = client.lease;
            let session = client.session.as_mut();
            if let Some(listening) = session.and_then(|session| session.listening.as_mut()) {
                listening.mailbox.release();
                listening.progress = Progress::Resting;
            }
            if let Some(machine) = lease.and_then(|id| self.server(id)).and_then(Server::machine) {
                machine.keep_listening();
            }
        }
        for key in listeners {
            if let Some(session) = self.client(key).and_then(|client| client.session.as_mut()) {
                session.listening.get_or_insert_default().mailbox.lose();
            }
            self.tell_notifications(key);
        }
        self.find_ear_server(place);
    }

    /// Asks the pool for a server that is to listen.
    fn find_ear_server(&mut self, place: usize) {
        if self.drain.is_some() {
            self.ears.remove(place);
            return;
        }
        let now = self.now;
        let pool = self.ears[place].pool;
        let key = ClientKey::of_ear(pool.number());
        let waiter = Waiter { worker: self.index, client: key.to_bits() };
        let outcome = self
            .with_pools(|pools| pools.checkout(pool, Port::Transaction, waiter, Flavour(0), now));
        match outcome {
            Checkout::Ready(lease) => self.ear_gets(place, lease),
            Checkout::Wait(ticket) => self.ears[place].ticket = Some(ticket),
            Checkout::Refused(_) => self.find_ear_server_later(place),
        }
    }

    fn find_ear_server_later(&mut self, place: usize) {
        let due = self.now + AGAIN;
        let ear = &mut self.ears[place];
        let source = Source::Client(ClientKey::of_ear(ear.pool.number()));
        self.timers.set(source, &mut ear.alarm, due);
    }

    /// The one that waits with this ticket; it does not any more.
    fn ear_that_waited(&mut self, key: ClientKey, ticket: Ticket) -> Option<usize> {
        let place = self.ear_of(key)?;
        self.ears[place].ticket.take_if(|held| *held == ticket).map(|_| place)
    }

    fn ear_of(&self, key: ClientKey) -> Option<usize> {
        self.ears.iter().position(|ear| ear.pool.number() == key.place && ear.server.is_none())
    }

    /// For how many clients a server listens.
    pub(super) fn listeners_at(&self, id: ServerId) -> usize {
        let ear = self.ears.iter().find(|ear| ear.server == Some(id));
        ear.map_or(0, |ear| ear.fanout.clients())
    }

    /// How many wait for a server to listen on.
    pub(super) fn ears_waiting(&self) -> usize {
        self.ears.iter().filter(|ear| ear.ticket.is_some()).count()
    }

    /// A listening server may be asked for again.
    pub(super) fn ear_timer(&mut self, key: ClientKey) {
        let now = self.now;
        let Some(place) = self.ear_of(key) else { return };
        if self.timers.fired(Source::Client(key), &mut self.ears[place].alarm, now)
            && self.ears[place].ticket.is_none()
        {
            self.find_ear_server(place);
        }
    }

    /// The pool has a server that is to listen.
    pub(super) fn ear_handed_off(
        &mut self,
        key: ClientKey,
        ticket: Ticket,
        lease: Lease<Box<Server>>,
    ) {
        match self.ear_that_waited(key, ticket) {
            Some(place) => self.ear_gets(place, lease),
            None => self.return_unused(lease),
        }
    }

    /// The pool has none.
    pub(super) fn ear_refused(&mut self, key: ClientKey, ticket: Ticket) {
        if let Some(place) = self.ear_that_waited(key, ticket) {
            self.find_ear_server_later(place);
        }
    }

    fn ear_gets(&mut self, place: usize, lease: Lease<Box<Server>>) {
        let id = lease.server;
        self.adopt(lease);
        let Some(server) = self.server(id) else { return };
        server.client = None;
        server.is_ear = true;
        server.dirty = true;
        if let Some(machine) = server.machine() {
            machine.begin_lease();
        }
        let ear = &mut self.ears[place];
        ear.server = Some(id);
        let encoding = String::from_utf8_lossy(&ear.encoding).replace('\'', "''");
        let sql = format!("SET client_encoding TO '{encoding}';{}", ear.fanout.listen_again());
        ear.queue.push_front(sql);
        self.go_on_listening(id);
    }

    /// The gate shuts down: nobody is told anything any more.
    pub(super) fn stop_listening(&mut self) {
        for ear in std::mem::take(&mut self.ears) {
            let Some(id) = ear.server else { continue };
            if let Some(server) = self.server(id) {
                server.is_ear = false;
            }
            self.close_server(id, CloseReason::Drain);
        }
    }
}

fn encoding_of(machine: &ServerMachine) -> Vec<u8> {
    machine.reported().value("client_encoding").unwrap_or_default().to_vec()
}
