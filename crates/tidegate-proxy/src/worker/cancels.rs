//! Cancel requests: from a client's second connection, through to PostgreSQL, and never late.
//!
//! PostgreSQL takes a cancel on a connection of its own and closes it once the signal is sent.
//! Until then the server it is meant for is not handed out: the signal would hit whatever the
//! next client runs. Such a connection takes no slot; few are under way at a time
//! (`cancel_places.rs`). It has TLS where the server's has: whoever could read the request could
//! repeat it.
//!
//! Who asked is told as PostgreSQL tells it: its connection is closed once the cancel was
//! delivered, and not before. Drivers wait for that, so that it can't hit their next statement.

use tidegate_observe::front::CancelOutcome;
use tidegate_pool_core::server::ServerId;
use tidegate_session::pieces::Pieces;
use tidegate_session::tls_request::{TlsNegotiation, TlsRequest, TlsStep};
use tidegate_wire::startup;

use crate::channel::{Channel, Input};
use crate::resolver::Target;
use crate::settings;
use crate::shared::{Kind, Mail};
use crate::succession::{Asker, ForeignCancel};
use crate::timers::Alarm;
use crate::tls::Opening;
use crate::tls::connection::{Handshake, Stepped};
use crate::token::{CancelKey, ClientKey, SERIAL_MAX, Source, client_pid};
use crate::worker::Worker;
use crate::worker::clients;
use crate::worker::timeouts;

/// Connections that wait for their cancel, per worker. They stand among those that log in, of
/// which there may be 1024, and must leave room there; more are closed at once.
const ASKERS_MAX: usize = 256;

/// A connection that carries a cancel request to PostgreSQL.
pub(super) struct CancelRequest {
    pub(super) key: CancelKey,
    server: ServerId,
    channel: Channel,
    pub(super) alarm: Alarm,
    target: Target,
    tls: TlsRequest,
    stage: Stage,
    request: Vec<u8>,
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    /// It is being secured.
    Securing,
    /// The request has been written.
    Sent,
}

impl Worker {
    /// Somebody wants to cancel what the client with this pid runs.
    pub(super) fn cancel_requested(&mut self, pid: u32, secret: &[u8], asker: Asker) {
        match self.shared.succession.may_be_at(pid, secret) {
            Some((worker, key)) if worker == self.index => self.cancel_client(key, secret, asker),
            Some((worker, key)) if usize::from(worker) < self.shared.mailboxes.len() => {
                let mail = Mail::Cancel(key, secret.to_vec(), asker);
                self.shared.mailboxes[usize::from(worker)].put(mail);
            }
            _ => self.cancel_elsewhere(pid, secret, asker),
        }
    }

    /// Cancels what a client of this worker runs or waits for.
    pub(super) fn cancel_client(&mut self, key: ClientKey, secret: &[u8], asker: Asker) {
        let found = self.clients.get(key.place as usize).map(|client| client.key);
        let Some(key) = found.filter(|key| self.authorised(*key, secret)) else {
            return self.cancel_elsewhere(client_pid(self.index, key), secret, asker);
        };
        if self.cancel_wait(key) {
            return self.not_forwarded(CancelOutcome::Waiting, asker);
        }
        match self.lease_of(key) {
            Some(id) if self.is_busy(id) => {
                self.count(CancelOutcome::Forwarded);
                self.client_asks_to_cancel(id);
                self.want_cancel(id);
                if self.askers.len() < ASKERS_MAX {
                    self.askers.push((id, asker));
                } else {
                    self.release(asker);
                }
            }
            _ => self.not_forwarded(CancelOutcome::Idle, asker),
        }
    }

    /// It is no client of this process; the one that this one takes over from may have it.
    fn cancel_elsewhere(&mut self, pid: u32, secret: &[u8], asker: Asker) {
        let cancel = ForeignCancel { pid, secret: secret.to_vec(), asker };
        if self.shared.succession.ask_elder(cancel) {
            return self.count(CancelOutcome::Forwarded);
        }
        self.not_forwarded(CancelOutcome::Unknown, asker);
    }

    /// There is nothing to wait for.
    fn not_forwarded(&mut self, outcome: CancelOutcome, asker: Asker) {
        self.count(outcome);
        self.release(asker);
    }

    /// Keeps the connection that has asked for a cancel until [`Self::release`], or its peer,
    /// closes it; at most as long as a cancel may take.
    pub(super) fn await_cancel(&mut self, key: ClientKey) {
        let deadline = self.now + self.config.timeouts.cancel;
        let Some(client) = self.client(key) else { return };
        client.stage = clients::Stage::Closing;
        self.set_alarm(Source::Client(key), deadline);
    }

    fn release(&mut self, asker: Asker) {
        match asker {
            Asker::Here { worker, key } if worker == self.index => self.remove_client(key),
            _ => self.shared.release(asker),
        }
    }

    /// Closes the connections of those whose cancel was delivered, or has nothing to hit any more.
    pub(super) fn release_askers(&mut self) {
        let mut askers = std::mem::take(&mut self.askers);
        let is_over = |(id, _): &mut (ServerId, Asker)| {
            let server = self.servers.get(id.place()).and_then(Option::as_deref);
            !server.is_some_and(|server| {
                server.id == *id && (server.cancels > 0 || server.cancel_wanted)
            })
        };
        let over: Vec<_> = askers.extract_if(.., is_over).collect();
        self.askers = askers;
        for (_, asker) in over {
            self.release(asker);
        }
    }

    fn count(&self, outcome: CancelOutcome) {
        self.shared.front.cancels[outcome as usize].add(1);
    }

    /// What the server runs is to be cancelled, as soon as one more cancel may be under way.
    pub(super) fn want_cancel(&mut self, id: ServerId) {
        let Some(server) = self.server(id) else { return };
        if server.cancel_wanted {
            return;
        }
        server.cancel_wanted = true;
        // What goes in front of a statement is not what was meant; see `cancel_is_due`.
        if server.machine().is_some_and(|machine| machine.is_ahead()) {
            return;
        }
        self.cancels_wanted.push_back(id);
        self.send_cancels();
    }

    /// What was sent in front of the client's statement has been answered: a cancel that came
    /// meanwhile would now hit the statement.
    pub(super) fn cancel_is_due(&mut self, id: ServerId) {
        if self.server(id).is_some_and(|server| server.cancel_wanted) {
            self.cancels_wanted.push_back(id);
            self.send_cancels();
        }
    }

    /// Sends the cancels that wait, as many as may be under way.
    pub(super) fn send_cancels(&mut self) {
        while let Some(id) = self.cancels_wanted.front().copied() {
            if !self.shared.cancel_places.take(self.index) {
                return;
            }
            self.cancels_wanted.pop_front();
            if !self.send_cancel(id) {
                self.shared.cancel_is_over();
            }
        }
    }

    /// True when one is under way.
    fn send_cancel(&mut self, id: ServerId) -> bool {
        let deadline = self.now + self.config.timeouts.cancel;
        let is_pooler = self.shared.kind() == Kind::Pooler;
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return false;
        };
        // Wanted no more: its lease has ended, or what was to be cancelled has.
        let wanted = server.id == id && std::mem::take(&mut server.cancel_wanted);
        if !wanted || server.secret.is_empty() {
            return false;
        }
        let Ok(socket) = self.shared.network.connect(&server.target) else { return false };
        let mut channel = Channel::new(socket);
        let mut request = Vec::new();
        startup::push_cancel_request(&mut request, server.pid, &server.secret);
        let negotiation = match server.channel.tls() {
            None => TlsNegotiation::Off,
            Some(_) => match settings::opening(&self.config.upstream.tls) {
                Opening::Direct => TlsNegotiation::Direct,
                Opening::Requested => TlsNegotiation::Require,
            },
        };
        let entry = self.cancels.vacant_entry();
        let key = CancelKey { place: entry.key() as u32, serial: self.cancel_serial };
        self.cancel_serial = (self.cancel_serial + 1) & SERIAL_MAX;
        if channel.register(&self.registry, Source::Cancel(key).token()).is_err() {
            return false;
        }
        server.cancels += 1;
        server.is_spoilt |= is_pooler;
        timeouts::cancel_is_sent(server);
        entry.insert(CancelRequest {
            key,
            server: id,
            channel,
            alarm: Alarm::default(),
            target: server.target.clone(),
            tls: TlsRequest::new(negotiation),
            stage: Stage::Connecting,
            request,
        });
        self.set_alarm(Source::Cancel(key), deadline);
        true
    }

    fn cancel(&mut self, key: CancelKey) -> Option<&mut CancelRequest> {
        self.cancels.get_mut(key.place as usize).filter(|cancel| cancel.key == key)
    }

    pub(super) fn cancel_event(&mut self, key: CancelKey) {
        let Some(cancel) = self.cancel(key) else { return };
        if cancel.stage == Stage::Connecting {
            match cancel.channel.connected() {
                Ok(false) => return,
                Ok(true) => {
                    cancel.stage = Stage::Securing;
                    let mut out = Pieces::default();
                    let step = cancel.tls.begin(&mut out);
                    // If it can't be sent, reading will tell.
                    let _ = cancel.channel.send(&out, &[]);
                    self.cancel_step(key, &step);
                }
                Err(_) => return self.cancel_ended(key, false),
            }
        }
        let Some(cancel) = self.cancel(key) else { return };
        if cancel.channel.flush().is_err() {
            return self.cancel_ended(key, false);
        }
        self.read_cancel(key);
    }

    fn read_cancel(&mut self, key: CancelKey) {
        let Some(cancel) = self.cancel(key) else { return };
        let mut answer = [0; 16];
        match cancel.channel.read(&mut answer) {
            Input::Bytes(bytes) if cancel.stage == Stage::Securing => {
                match cancel.tls.receive(&answer[..bytes]) {
                    Ok(step) => self.cancel_step(key, &step),
                    Err(_) => self.cancel_ended(key, false),
                }
            }
            Input::Handshake(step) => {
                self.shared.shake_hands(self.index, Source::Cancel(key), step);
            }
            Input::Nothing | Input::Bytes(_) => {}
            Input::End => {
                let was_sent = cancel.stage == Stage::Sent;
                self.cancel_ended(key, was_sent);
            }
            // PostgreSQL closes without reading to the end now and then; the request was read.
            Input::Broken(_) => {
                let was_sent = cancel.stage == Stage::Sent && cancel.channel.is_drained();
                self.cancel_ended(key, was_sent);
            }
        }
    }

    fn cancel_step(&mut self, key: CancelKey, step: &TlsStep) {
        match step {
            TlsStep::More => {}
            TlsStep::Plain { .. } => self.write_cancel(key),
            TlsStep::StartTls => {
                let connector = self.shared.tls().connector;
                let opening = settings::opening(&self.config.upstream.tls);
                let Some(cancel) = self.cancel(key) else { return };
                let tls = match (connector, &cancel.target) {
                    (Some(connector), Target::Tcp { host, .. }) => connector.connect(host, opening),
                    _ => return self.cancel_ended(key, false),
                };
                match tls {
                    Ok(tls) => {
                        let step = cancel.channel.start_tls(tls, &[]);
                        self.shared.shake_hands(self.index, Source::Cancel(key), step);
                    }
                    Err(_) => self.cancel_ended(key, false),
                }
            }
        }
    }

    /// A step of the TLS handshake has been done.
    pub(super) fn cancel_stepped(&mut self, key: CancelKey, stepped: Stepped) {
        let Some(cancel) = self.cancel(key) else { return };
        match cancel.channel.stepped(stepped) {
            Ok(Handshake::GoesOn) => {}
            Ok(Handshake::Done) => self.write_cancel(key),
            Err(_) => return self.cancel_ended(key, false),
        }
        self.read_cancel(key);
    }

    fn write_cancel(&mut self, key: CancelKey) {
        let Some(cancel) = self.cancel(key) else { return };
        cancel.stage = Stage::Sent;
        let request = std::mem::take(&mut cancel.request);
        if cancel.channel.send_bytes(&request).is_err() {
            self.cancel_ended(key, false);
        }
    }

    pub(super) fn cancel_timer(&mut self, key: CancelKey) {
        let Some(cancel) = self.cancels.get_mut(key.place as usize) else { return };
        if cancel.key == key && self.timers.fired(Source::Cancel(key), &mut cancel.alarm, self.now)
        {
            self.cancel_ended(key, false);
        }
    }

    /// The connection that carried a cancel has ended. If it is not known whether the cancel was
    /// delivered, it may still come, and the server can't be used any more.
    fn cancel_ended(&mut self, key: CancelKey, is_delivered: bool) {
        if self.cancel(key).is_none() {
            return;
        }
        let mut cancel = self.cancels.remove(key.place as usize);
        self.clear_alarm(Source::Cancel(key), &mut cancel.alarm);
        let was_sent = cancel.stage == Stage::Sent && cancel.channel.is_drained();
        cancel.channel.deregister(&self.registry);
        drop(cancel.channel);
        self.shared.cancel_is_over();
        let id = cancel.server;
        if let Some(server) = self.server(id) {
            server.cancels -= 1;
            server.is_spoilt |= was_sent && !is_delivered;
            // One that has ended meanwhile has no lease to end.
            let is_up = server.machine().is_some();
            if server.cancels == 0 && std::mem::take(&mut server.parked) && is_up {
                self.lease_ended(id);
            } else if server.cancels == 0 {
                self.cancels_have_arrived(id);
            }
        }
        self.send_cancels();
    }
}
