//! Servers: in and out of a worker's hands, answers, errands, the end.

use std::time::Duration;

use tidegate_pool_core::server::{CloseReason, Hygiene, Lease, Port, ServerId};
use tidegate_session::exchange::Exchange;
use tidegate_session::server::{Errand, ErrandEnd, Heard, RESET_SQL, ServerFault};
use tidegate_wire::catalogue::Complaint;
use tidegate_wire::frontend;
use tidegate_wire::planted::{Bug, is_planted};
use tidegate_wire::sqlstate::SqlState;
use tidegate_wire::tick::Tick;

use crate::channel::{Input, READ_BYTES};
use crate::dial;
use crate::locks::lock;
use crate::server::{Claim, Overdue, Server, Stage};
use crate::settings;
use crate::shared::{Kind, UNSEEN_COOLING, Zombie};
use crate::token::{ClientKey, Source};
use crate::worker::lost::{Overheard, overhear};
use crate::worker::{Worker, timeouts};

/// The longest that an errand may take (setting parameters, a check, a reset): each is one round
/// trip of a statement that takes microseconds. A server that needs longer is not healthy.
pub(super) const ERRAND_MAX: Duration = Duration::from_secs(5);

/// The longest that ending a vanished client's work may take, cancel and rollback included.
const RECOVERY_MAX: Duration = Duration::from_secs(10);

/// How often what a vanished client left running is cancelled again: a cancel that arrives before
/// the backend has begun with the statement does nothing. Where several statements are under way,
/// also how long the first of them may take before it is cancelled.
const CANCEL_AGAIN: Duration = Duration::from_millis(250);

/// How long a server that was told goodbye may take to end the stream. A backend that is in the
/// midst of something does not listen; it has been sent a cancel as well.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// How long a slot stays taken after the stream has ended when the upstream is a pooler, which
/// gives its own connection back only after a reset of its own.
const POOLER_COOLING: Duration = Duration::from_secs(1);

impl Worker {
    // --- In and out of a worker's hands. ---

    pub(super) fn place(&mut self, server: Box<Server>) {
        let place = server.id.place();
        if self.servers.len() <= place {
            self.servers.resize_with(place + 1, || None);
        }
        self.servers[place] = Some(server);
    }

    /// Takes a server over from the pool, and from another worker's driver if need be.
    pub(super) fn adopt(&mut self, lease: Lease<Box<Server>>) {
        let (lease, mut server) = lease.split();
        if server.home != self.index {
            server.channel.deregister(&self.shared.mailboxes[usize::from(server.home)].registry);
            server.home = self.index;
            server.rested_at = Tick::ZERO; // Its news may still be with the other's driver.
            let token = Source::Server(server.id).token();
            if server.channel.register(&self.registry, token).is_err() {
                server.channel.readable = true; // The first read will find what is the matter.
            }
        }
        server.claim = Claim::Lease(lease);
        self.place(server);
    }

    pub(super) fn take(&mut self, id: ServerId) -> Option<Box<Server>> {
        let place = self.servers.get_mut(id.place())?;
        if place.as_ref()?.id != id {
            return None;
        }
        place.take()
    }

    /// A server that nobody waits for any more goes back as it came.
    pub(super) fn return_unused(&mut self, lease: Lease<Box<Server>>) {
        let now = self.now;
        self.with_pools(|pools| pools.give_back(lease, now));
    }

    fn give_back(&mut self, id: ServerId) {
        let now = self.now;
        self.quiet(id);
        if !self.still_fits(id) {
            return;
        }
        let Some(mut server) = self.take(id) else { return };
        server.channel.queued = false;
        server.rested_at = now;
        let may_have_more = server.channel.readable;
        match std::mem::replace(&mut server.claim, Claim::None) {
            Claim::Lease(mut lease) => {
                lease.flavour = server.flavour;
                self.with_pools(|pools| pools.give_back(lease.with(server), now));
            }
            Claim::Dial(_) | Claim::None => self.place(server),
        }
        if may_have_more {
            self.idle_server_event(id); // No event will come for what is there already.
        }
    }

    // --- Answers. ---

    pub(super) fn server_writable(&mut self, id: ServerId) {
        let Some(server) = self.server(id) else { return };
        if matches!(&server.stage, Stage::Login(login) if !login.is_connected())
            && !self.dial_connected(id)
        {
            return;
        }
        let Some(server) = self.server(id) else { return };
        if !server.channel.is_drained() && server.channel.flush().is_err() {
            server.channel.readable = true; // What it said before that is still to be read.
        }
        self.queue_server(id);
        self.balance_server(id);
    }

    pub(super) fn queue_server(&mut self, id: ServerId) {
        if let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut)
            && server.channel.wants_turn()
        {
            self.ready.push_back(Source::Server(id));
        }
    }

    pub(super) fn read_server(&mut self, id: ServerId, buffer: &mut [u8]) {
        let Some(server) = self.server(id) else { return };
        server.channel.queued = false;
        if server.channel.paused {
            return;
        }
        match server.channel.read(buffer) {
            Input::Bytes(bytes) => {
                self.server_says(id, &buffer[..bytes]);
                self.queue_server(id);
            }
            Input::Handshake(step) => {
                self.shared.shake_hands(self.index, Source::Server(id), step);
            }
            Input::Nothing => {}
            Input::End => self.server_ended(id, None),
            Input::Broken(kind) => self.server_ended(id, Some(kind)),
        }
    }

    fn server_says(&mut self, id: ServerId, bytes: &[u8]) {
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return;
        };
        self.to_server.clear();
        match &mut server.stage {
            Stage::Login(_) => self.dialed_says(id, bytes),
            Stage::Up(machine) => {
                self.to_client.clear();
                let client = server.client.and_then(|key| self.clients.get_mut(key.place as usize));
                let names = client.map(|client| client.machine.statements());
                let (to_client, to_server) = (&mut self.to_client, &mut self.to_server);
                let heard = machine.receive(bytes, names, to_client, to_server);
                let is_mid_answer = machine.is_mid_answer();
                if server.channel.send(&self.to_server, bytes).is_err() {
                    server.channel.readable = true;
                }
                let heard = match heard {
                    Ok(heard) => heard,
                    Err(fault) => {
                        tracing::error!(server = id.number(), "closed a server: {fault}");
                        return self.server_broken(id, is_mid_answer, &fault);
                    }
                };
                if heard.fatal.is_some() {
                    server.last_words.clone_from(&heard.fatal);
                    server.are_last_words_told = heard.is_fatal_told;
                }
                let client = server.client.and_then(|key| self.clients.get(key.place as usize));
                if client.is_some_and(|client| client.port == Port::Session) {
                    server.was_reset |= heard.parameters_reset;
                }
                if let (Some(key), Some(error)) = (server.client, &heard.ahead_failed) {
                    return self.ahead_failed(key, id, error);
                }
                if server.is_ear {
                    let said = self.to_client.to_vec(bytes);
                    return self.ear_hears(id, &said, &heard);
                }
                // The answers to an errand are Tidegate's; its end decides what follows.
                if let Some(end) = heard.errand {
                    let client =
                        server.client.and_then(|key| self.clients.get_mut(key.place as usize));
                    if let Some(client) = client {
                        // What was said beside them. If it can't be sent, reading will tell.
                        let _ = client.channel.send(&self.to_client, bytes);
                    }
                    self.errand_ended(id, end);
                } else if let Some(key) = server.client {
                    if heard.adapted.is_some() || heard.restored {
                        self.settings_are_in_force(id);
                    }
                    if let Some(reported) = &heard.adapted {
                        self.tell_parameters(key, reported);
                    }
                    if heard.beside_answered {
                        self.cancel_is_due(id);
                    }
                    if heard.is_fatal_withheld && self.goes_elsewhere(key, id) {
                        return; // And with it what came in front: nothing of that was told.
                    }
                    self.answer_client(key, id, bytes, &heard);
                    if let Some(farewell) = &heard.farewell {
                        match heard.is_fatal_withheld {
                            true => {
                                let is_in_doubt = heard.is_commit_in_doubt;
                                self.fatal_withheld(key, id, is_in_doubt, farewell);
                            }
                            false => self.pass_on_farewell(key, id, farewell),
                        }
                    }
                }
            }
            Stage::Closing | Stage::Cooling => {}
        }
    }

    /// Passes on what a server said to its client.
    fn answer_client(&mut self, key: ClientKey, id: ServerId, bytes: &[u8], heard: &Heard) {
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        if let Some(traffic) = client.traffic() {
            traffic.transactions.add(u64::from(heard.transactions));
            traffic.statements.add(u64::from(heard.statements));
            traffic.errors.add(u64::from(heard.error.is_some()));
            traffic.prepared_healed.add(u64::from(heard.again.is_some()));
            traffic.server_rx.add(bytes.len() as u64);
            traffic.client_tx.add(bytes.len() as u64);
        }
        client.deadlines.answered(heard.batches, heard.transactions);
        if heard.error == Some(SqlState::READ_ONLY_SQL_TRANSACTION)
            && let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut)
        {
            server.is_suspect = true;
        }
        if client.again.is_some() && !self.to_client.is_empty() {
            client.again = None;
            if let Some(machine) = self
                .servers
                .get_mut(id.place())
                .and_then(Option::as_deref_mut)
                .and_then(Server::machine)
            {
                machine.withhold_fatal(false);
            }
        }
        if client.channel.send(&self.to_client, bytes).is_err() {
            // Nobody takes note any more of what it has left.
            if heard.findings.is_some()
                && let Some(server) = self.server(id)
            {
                server.dirty = true;
            }
            return self.client_gone(key, tidegate_observe::front::Goodbye::Vanished);
        }
        if heard.batches > 0 {
            self.overdue_answered(id);
        }
        if let Some(findings) = &heard.findings {
            self.quiet(id);
            self.found(key, id, findings);
        }
        if heard.discarded {
            self.discarded(key, id);
        }
        if heard.listens_to_markers || heard.marker_came || heard.unlistened {
            self.listening_heard(key, id, heard);
        }
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        if let Some(statement) = &heard.useless {
            lock(&self.shared.statements).forget(statement);
        }
        if heard.schema_changed {
            lock(&self.shared.statements).forget_all();
        }
        if let Some(batch) = &heard.again {
            return self.relay(key, id, batch);
        }
        if client.machine.is_stalled() {
            return self.relay_held(key, id);
        }
        self.after_exchange(key, id);
    }

    /// Passes on what waited for answers, unless a cancel could still hit it.
    pub(super) fn relay_held(&mut self, key: ClientKey, id: ServerId) {
        if self.server(id).is_some_and(|server| server.overdue == Overdue::Arriving) {
            return self.balance_server(id);
        }
        let Some(client) = self.client(key) else { return };
        let held = client.machine.take_held();
        self.relay(key, id, &held);
    }

    /// PostgreSQL takes its leave of a client that still has the server.
    pub(super) fn pass_on_farewell(&mut self, key: ClientKey, id: ServerId, farewell: &[u8]) {
        if self.lease_of(key) != Some(id) {
            return;
        }
        // If it can't be sent, reading will tell.
        let is_told = self.client(key).is_some_and(|c| c.channel.send_bytes(farewell).is_ok());
        if let Some(server) = self.server(id) {
            server.are_last_words_told = is_told;
        }
    }

    /// Something has happened to a server that lies idle in its pool.
    pub(super) fn idle_server_event(&mut self, id: ServerId) {
        let now = self.now;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(READ_BYTES, 0); // It may be in use: with none, a read would find the end.
        let shared = self.shared.clone();
        let mut pools = shared.pools();
        let mut ended = None;
        let mut is_of_no_use = false;
        if let Some(server) = pools.idle_mut(id) {
            match overhear(server, &mut buffer) {
                Overheard::Nothing => {}
                Overheard::Farewell => is_of_no_use = true,
                Overheard::End(broken) => ended = Some(broken),
            }
        }
        let is_of_no_use = is_of_no_use || ended.is_some();
        let server = if is_of_no_use { pools.take_ended(id, now) } else { None };
        drop(pools);
        self.buffer = buffer;
        let Some(server) = server else { return };
        self.place(server);
        self.log_end(id, ended.flatten());
        match ended {
            Some(broken) => self.slot_ends(id, broken.is_some()),
            None => self.wait_for_end(id),
        }
    }

    // --- Errands. ---

    pub(super) fn start_errand(&mut self, id: ServerId, errand: Errand, sql: &[u8]) {
        self.to_server.clear();
        let deadline = self.now + ERRAND_MAX;
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return;
        };
        let Stage::Up(machine) = &mut server.stage else { return };
        machine.start(errand, sql, &mut self.to_server);
        server.channel.paused = false;
        self.send_own(id);
        self.set_alarm(Source::Server(id), deadline);
    }

    /// Sends what is Tidegate's own: all of `to_server`, with nothing of a client's between.
    pub(super) fn send_own(&mut self, id: ServerId) {
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return;
        };
        if server.channel.send(&self.to_server, &[]).is_err() {
            server.channel.readable = true; // What it said before that is still to be read.
        }
        self.queue_server(id);
    }

    pub(super) fn check_server(&mut self, lease: Lease<Box<Server>>) {
        let id = lease.server;
        self.adopt(lease);
        self.start_errand(id, Errand::Check, b"");
    }

    fn errand_ended(&mut self, id: ServerId, end: ErrandEnd) {
        self.quiet(id);
        let Some(server) = self.server(id) else { return };
        let client = server.client;
        match end {
            ErrandEnd::Done(Errand::Adapt) => {
                if let Some(settings) = server.adapting_to.take() {
                    server.set_settings(&settings);
                    self.note_accepted(client, &settings);
                }
                match client {
                    Some(key) => self.attached(key, id),
                    None => self.lease_ended(id),
                }
            }
            ErrandEnd::Failed(Errand::Adapt, error) => {
                server.adapting_to = None; // All of it is in force, or nothing.
                match client {
                    Some(key) => self.settings_refused(key, id, &error),
                    None => self.lease_ended(id),
                }
            }
            ErrandEnd::Done(Errand::Check) => match client {
                Some(key) => self.attached(key, id),
                None if server.dirty || server.cancels > 0 => self.lease_ended(id),
                None => {
                    // It lay idle, or its client went before anything of its was sent.
                    server.cancel_wanted = false;
                    self.give_back(id);
                }
            },
            ErrandEnd::Done(Errand::Recover) => {
                server.dirty = true;
                self.lease_ended(id);
            }
            ErrandEnd::Done(Errand::Reset) => {
                server.dirty = false;
                let base = server.base.clone();
                server.set_settings(&base);
                self.give_back(id);
            }
            ErrandEnd::Done(Errand::Restore) => match client {
                Some(key) => self.after_exchange(key, id),
                None => self.lease_ended(id),
            },
            ErrandEnd::Failed(Errand::Restore, error) => {
                // A cancel that came late for the client's last statement: once more.
                server.was_reset = error.sqlstate == SqlState::QUERY_CANCELED;
                if !server.was_reset {
                    tracing::warn!(
                        server = id.number(),
                        "could not restore startup parameters: {}",
                        error.message
                    );
                }
                match client {
                    Some(key) => self.after_exchange(key, id),
                    None => self.lease_ended(id),
                }
            }
            // The listening server's; it has no client.
            ErrandEnd::Done(Errand::Listen) | ErrandEnd::Failed(Errand::Listen, _) => {}
            ErrandEnd::Failed(Errand::Check, error) => {
                tracing::warn!(server = id.number(), "a check failed: {}", error.message);
                server.client = None;
                self.close_server(id, CloseReason::CheckFailed);
                if let Some(key) = client {
                    self.start_over(key);
                }
            }
            ErrandEnd::Failed(errand @ (Errand::Recover | Errand::Reset), error) => {
                tracing::warn!(server = id.number(), ?errand, "a reset failed: {}", error.message);
                self.close_server(id, CloseReason::ResetFailed);
            }
        }
    }

    /// A lease has ended with the server at rest: it is reset if need be and given back, once no
    /// cancel is on its way to it.
    pub(super) fn lease_ended(&mut self, id: ServerId) {
        let now = self.now;
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return;
        };
        server.client = None;
        server.was_reset = false;
        server.holds_client = false;
        timeouts::settle(server);
        server.client_asked = false;
        server.ahead = None;
        server.cancel_wanted = false;
        server.channel.paused = false;
        server.parked = server.cancels > 0 && !is_planted(Bug::LateCancel);
        if server.parked {
            return;
        }
        if server.is_spoilt {
            return self.close_server(id, CloseReason::Recovery);
        }
        if server.last_words.is_some() {
            // Nobody else may get it, although its end is still to come.
            return self.close_server(id, CloseReason::Upstream);
        }
        if server.machine().is_some_and(|machine| machine.exchange().is_doubtful()) {
            server.dirty = true;
            return self.start_errand(id, Errand::Check, b"");
        }
        if !server.dirty && !server.habits.reset {
            return self.give_back(id);
        }
        let hygiene = if server.dirty { Hygiene::Dirty } else { Hygiene::Clean };
        let Claim::Lease(lease) = &server.claim else { return };
        let needs_reset = {
            let mut pools = self.shared.pools();
            let needs_reset = pools.needs_reset(lease, hygiene);
            if needs_reset {
                pools.resetting(lease, now);
            }
            needs_reset
        };
        if needs_reset {
            self.start_errand(id, Errand::Reset, RESET_SQL);
        } else {
            self.give_back(id);
        }
    }

    /// The client of a server has gone. What it left under way is ended, off everybody's path.
    pub(super) fn abandoned(&mut self, id: ServerId) {
        let now = self.now;
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return;
        };
        server.client = None;
        server.channel.paused = false;
        if server.channel.wants_turn() {
            self.ready.push_back(Source::Server(id));
        }
        let Stage::Up(machine) = &mut server.stage else { return };
        if machine.errand().is_some() {
            return; // Nothing of the client's was sent yet; the errand's end gives it back.
        }
        let exchange = machine.exchange();
        server.dirty |= machine.is_unsettled();
        if machine.is_beside() {
            server.adapting_to = None; // Whether they are in force the reset need not know.
            server.dirty = true;
        }
        server.ahead = None;
        // A message whose rest will never come can't be ended by anything that follows.
        if server.is_cut || exchange.is_unsure() {
            return self.close_server(id, CloseReason::Recovery);
        }
        let bug = if exchange.is_busy() { Bug::ReplyToAnother } else { Bug::DirtyReuse };
        if exchange.is_at_rest() || is_planted(bug) {
            return self.lease_ended(id);
        }
        // A BEGIN that is cancelled would let what stands behind it commit by itself. No BEGIN
        // lasts until the cancel that follows if none is sent now.
        let is_busy = exchange.is_busy_for_client() && !exchange.is_pipelined();
        self.to_server.clear();
        machine.recover(&mut self.to_server);
        if server.channel.send(&self.to_server, &[]).is_err() {
            server.channel.readable = true;
        }
        if let Claim::Lease(lease) = &server.claim {
            self.shared.pools().resetting(lease, now);
        }
        if is_busy {
            self.want_cancel(id);
        }
        if let Some(server) = self.server(id) {
            server.recover_until = now + RECOVERY_MAX;
        }
        self.set_alarm(Source::Server(id), now + CANCEL_AGAIN);
    }

    // --- The end. ---

    pub(super) fn close_pooled(&mut self, lease: Lease<Box<Server>>, reason: CloseReason) {
        let id = lease.server;
        tracing::debug!(server = id.number(), reason = reason.as_str(), "closing a server");
        self.adopt(lease);
        self.wait_for_end(id);
    }

    /// Closes a server in this worker's hands. Its slot stays taken until the backend has gone.
    pub(super) fn close_server(&mut self, id: ServerId, reason: CloseReason) {
        let now = self.now;
        tracing::debug!(server = id.number(), reason = reason.as_str(), "closing a server");
        let exchange = self.server(id).and_then(|server| server.machine()).map(|m| m.exchange());
        let is_pipelined = exchange.is_some_and(Exchange::is_pipelined);
        // A backend at work does not hear a goodbye.
        if exchange.is_some_and(Exchange::is_busy) && !is_pipelined {
            self.want_cancel(id);
        }
        self.with_pools(|pools| pools.closing(id, reason, now));
        self.wait_for_end(id);
        if is_pipelined {
            self.set_alarm(Source::Server(id), now + CANCEL_AGAIN);
        }
    }

    pub(super) fn wait_for_end(&mut self, id: ServerId) {
        let deadline = self.now + CLOSE_MAX;
        let Some(server) = self.server(id) else { return };
        server.claim = Claim::None;
        server.parked = false;
        server.client = None;
        server.stage = Stage::Closing;
        server.recover_until = deadline;
        server.channel.paused = false;
        // PostgreSQL does not listen any more after its own last words, and a word that it never
        // read would make its kernel break the connection, which tells nothing of the backend.
        if server.last_words.is_none() {
            // Behind a message that was cut it would become the rest of it, and might make a
            // statement whole that nobody has sent.
            if !server.is_cut {
                let mut goodbye = Vec::new();
                frontend::push_terminate(&mut goodbye);
                // Whether it can still be said or not, the end of the stream is what counts.
                let _ = server.channel.send_bytes(&goodbye);
            }
            server.channel.shutdown_write();
        }
        self.queue_server(id);
        self.set_alarm(Source::Server(id), deadline);
        if is_planted(Bug::BudgetForgetsClosing) {
            let now = self.now;
            self.with_pools(|pools| pools.gone(id, now));
        }
    }

    /// The stream from a server has ended, in order or not.
    pub(super) fn server_ended(&mut self, id: ServerId, broken: Option<std::io::ErrorKind>) {
        let now = self.now;
        let Some(server) = self.servers.get(id.place()).and_then(Option::as_deref) else { return };
        if server.id != id {
            return;
        }
        match &server.stage {
            Stage::Login(login) => {
                let channel = &server.channel;
                let failure = match channel.tls_failure() {
                    Some(error) => dial::insecure(&server.target, error),
                    None if channel.is_shaking_hands() => {
                        let opening = settings::opening(&self.config.upstream.tls);
                        dial::ended_shaking(&server.target, opening)
                    }
                    None => dial::ended(&server.target, login.is_connected(), broken),
                };
                if login.is_connected() {
                    self.login_failed(id, failure);
                    self.slot_ends(id, broken.is_some());
                } else {
                    self.connect_failed(id, failure);
                }
            }
            Stage::Up(machine) => {
                let is_mid_answer = machine.is_mid_answer();
                self.log_end(id, broken);
                self.with_pools(|pools| pools.closing(id, CloseReason::Upstream, now));
                self.tell_client_of_loss(id, is_mid_answer);
                self.slot_ends(id, broken.is_some());
            }
            Stage::Closing => self.slot_ends(id, broken.is_some()),
            Stage::Cooling => {}
        }
    }

    /// The server says what can't be understood.
    fn server_broken(&mut self, id: ServerId, is_mid_answer: bool, fault: &ServerFault) {
        self.ear_is_lost(id);
        let client = self.server(id).and_then(|server| server.client.take());
        if let Some(key) = client {
            let complaint = match self.is_commit_in_doubt(id) {
                true => self.commit_in_doubt(key, &fault.to_string()),
                false => Complaint::server_protocol(&self.shared.upstream, fault),
            };
            if let Some(client) = self.client(key) {
                client.forget_lease();
            }
            self.server_lost(key, &complaint, is_mid_answer, false);
        }
        self.close_server(id, CloseReason::Bug);
    }

    fn log_end(&mut self, id: ServerId, broken: Option<std::io::ErrorKind>) {
        let Some(server) = self.server(id) else { return };
        let words = server.last_words.as_ref().map(|error| error.message.as_str());
        tracing::info!(
            server = id.number(), pid = server.pid, broken = ?broken,
            "PostgreSQL closed a connection: {}", words.unwrap_or("without a word")
        );
    }

    /// The connection is no more. Frees the slot as soon as the backend is known to have gone.
    fn slot_ends(&mut self, id: ServerId, is_broken: bool) {
        let now = self.now;
        let Some(server) = self.server(id) else { return };
        let pid = server.pid;
        // PostgreSQL ends the stream by ending the process, and says why where it does so by itself.
        // Where the connection broke during the
        // login there may be a backend of which nobody knows the pid: after a while the census
        // counts it among others'. Not where PostgreSQL has refused the login.
        let is_refused = pid == 0 && server.last_words.is_some();
        let is_broken = is_broken && !is_refused;
        // Neither side wanted an end in order that nobody has announced: PostgreSQL has crashed, or
        // something between has closed the connection towards both, and the backend goes on.
        let is_silent = matches!(server.stage, Stage::Up(_)) && server.last_words.is_none();
        let cooling = match self.shared.kind() {
            Kind::Pooler => POOLER_COOLING,
            _ if (is_broken || is_silent) && self.shared.has_census() && pid != 0 => {
                let zombie = Zombie { server: id, pid, since: now };
                lock(&self.shared.zombies).push(zombie);
                self.remove_server(id);
                return;
            }
            _ if is_broken => UNSEEN_COOLING,
            _ => Duration::ZERO,
        };
        if cooling.is_zero() {
            self.remove_server(id);
            self.with_pools(|pools| pools.gone(id, now));
            return;
        }
        if let Some(server) = self.server(id) {
            // Nobody gets it any more, whatever it waited for before.
            server.claim = Claim::None;
            server.parked = false;
            server.stage = Stage::Cooling;
            server.channel.paused = true;
        }
        self.set_alarm(Source::Server(id), now + cooling);
    }

    pub(super) fn remove_server(&mut self, id: ServerId) -> Option<Box<Server>> {
        self.quiet(id);
        let mut server = self.take(id)?;
        server.channel.deregister(&self.registry);
        Some(server)
    }

    /// The server has no deadline any more.
    pub(super) fn quiet(&mut self, id: ServerId) {
        if let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) {
            self.timers.clear(Source::Server(id), &mut server.alarm);
        }
    }

    pub(super) fn server_timer(&mut self, id: ServerId) {
        let now = self.now;
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return;
        };
        if server.id != id {
            return;
        }
        if !self.timers.fired(Source::Server(id), &mut server.alarm, now) {
            return;
        }
        match &server.stage {
            Stage::Login(login) => {
                let failure = dial::timed_out(
                    &server.target,
                    login.is_connected(),
                    self.config.timeouts.connect,
                );
                if login.is_connected() {
                    self.login_failed(id, failure);
                } else {
                    self.connect_failed(id, failure);
                }
            }
            Stage::Up(machine)
                if machine.errand() == Some(Errand::Recover) && now < server.recover_until =>
            {
                self.want_cancel(id);
                self.set_alarm(Source::Server(id), now + CANCEL_AGAIN);
            }
            Stage::Up(machine) => {
                let errand = machine.errand();
                tracing::warn!(server = id.number(), ?errand, "a server did not answer in time");
                let is_mid_answer = machine.is_mid_answer();
                self.tell_client_of_loss(id, is_mid_answer);
                let reason = match errand {
                    Some(Errand::Recover) => CloseReason::Recovery,
                    Some(Errand::Reset) => CloseReason::ResetFailed,
                    _ => CloseReason::CheckFailed,
                };
                self.close_server(id, reason);
            }
            Stage::Closing if now < server.recover_until => {
                let deadline = server.recover_until;
                self.want_cancel(id);
                self.set_alarm(Source::Server(id), deadline);
            }
            // It does not end the stream: from here on it is as good as broken.
            Stage::Closing => self.slot_ends(id, true),
            Stage::Cooling => {
                self.remove_server(id);
                self.with_pools(|pools| pools.gone(id, now));
            }
        }
    }

    /// What a server owes, for whoever wants to cancel it.
    pub(super) fn is_busy(&mut self, id: ServerId) -> bool {
        let key = self.server(id).and_then(|server| server.client);
        // A message of the client's waits for what the server is at.
        let waits = key.is_some_and(|key| self.client(key).is_some_and(|c| c.machine.is_stalled()));
        self.server(id).is_some_and(|server| match &server.stage {
            // What restores parameters is none of the client's.
            Stage::Up(machine) => {
                (waits || Exchange::is_busy_for_client(machine.exchange()))
                    && machine.errand() != Some(Errand::Restore)
            }
            Stage::Login(_) | Stage::Closing | Stage::Cooling => false,
        })
    }
}
