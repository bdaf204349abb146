//! Clients that go over to another process, and those that come from one.
//!
//! A client goes while it is *at rest*: logged in, with no server, nothing half said on either side,
//! and nothing left in a session but what goes along: its settings and its prepared statements. What
//! it says meanwhile waits in its socket, which goes with it. One that speaks TLS stays, since the keys
//! of its connection can't be handed over, and so does one that listens. After a while those are told
//! to connect again when they have nothing under way, some at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidegate_observe::front::Goodbye;
use tidegate_pool_core::server::{PoolKey, Port};
use tidegate_session::client::ClientMachine;
use tidegate_session::parameters::{ReportedValues, SessionSettings};
use tidegate_wire::catalogue::Complaint;
use tidegate_wire::parcel::{Malformed, Packer, Unpacker};

use crate::channel::Channel;
use crate::listener::PortListener;
use crate::succession::{Giving, Moved, PARCEL_BYTES_MAX, Tidings};
use crate::token::{ClientKey, Source};
use crate::worker::clients::{Client, SECRET_BYTES, Session, Stage};
use crate::worker::{GOODBYE_PAUSE, GOODBYES_PER_TURN, Worker};

/// What goes along with a client, beside its socket and what its machine has.
struct Luggage {
    port: Port,
    peer: Option<std::net::IpAddr>,
    /// As it was told.
    pid: u32,
    secret: Vec<u8>,
    key: PoolKey,
    startup: SessionSettings,
    settings: SessionSettings,
    known: ReportedValues,
}

impl Luggage {
    fn of(client: &Client, session: &Session) -> Self {
        Self {
            port: client.port,
            peer: session.peer,
            pid: session.pid,
            secret: session.secret[..session.secret_len].to_vec(),
            key: session.key.clone(),
            startup: (*session.startup).clone(),
            settings: (*session.settings).clone(),
            known: (*session.known).clone(),
        }
    }

    fn pack(&self, packer: &mut Packer) {
        packer.count(self.port.index());
        packer.maybe(self.peer.map(|peer| peer.to_string()).as_deref().map(str::as_bytes));
        packer.number(u64::from(self.pid));
        packer.bytes(&self.secret);
        packer.bytes(self.key.database.as_bytes());
        packer.bytes(self.key.user.as_bytes());
        self.startup.pack(packer);
        self.settings.pack(packer);
        packer.count(self.known.len());
        for (name, value) in &self.known {
            packer.bytes(name);
            packer.bytes(value);
        }
    }

    fn unpack(unpacker: &mut Unpacker<'_>) -> Result<Self, Malformed> {
        let port = unpacker.small::<usize>()?;
        let port = Port::ALL.into_iter().find(|known| known.index() == port).ok_or(Malformed)?;
        let peer = match unpacker.maybe()? {
            Some(text) => {
                let text = std::str::from_utf8(text).map_err(|_| Malformed)?;
                Some(text.parse().map_err(|_| Malformed)?)
            }
            None => None,
        };
        let (pid, secret) = (unpacker.small()?, unpacker.bytes()?.to_vec());
        if secret.len() > SECRET_BYTES {
            return Err(Malformed);
        }
        let key = PoolKey { database: unpacker.text()?.into(), user: unpacker.text()?.into() };
        let startup = SessionSettings::unpack(unpacker)?;
        let settings = SessionSettings::unpack(unpacker)?;
        let mut known = ReportedValues::new();
        for _ in 0..unpacker.count()? {
            known.insert(unpacker.bytes()?.into(), unpacker.bytes()?.into());
        }
        Ok(Self { port, peer, pid, secret, key, startup, settings, known })
    }
}

impl Worker {
    // --- Those that go. ---

    /// Begins to give, goes on with it, or takes it back, as the take-over has come to stand.
    pub(super) fn follow_takeover(&mut self) {
        let giving = self.shared.succession.giving();
        let before = std::mem::replace(&mut self.giving, giving);
        if giving == before || self.drain.is_some() {
            return;
        }
        if before == Giving::Nothing {
            self.stop_accepting();
        } else if giving == Giving::Nothing {
            self.accept_again();
        }
        for listener in &self.listeners {
            listener.listener.set_anothers(giving != Giving::Nothing);
        }
        self.resting.clear();
        self.leaving.clear();
        if giving.has_clients() {
            self.resting.extend(self.clients.iter().map(|(_, client)| client.key));
        }
    }

    /// Connections wait in the kernel, for whoever accepts next.
    fn stop_accepting(&mut self) {
        for listener in &mut self.listeners {
            listener.listener.deregister(&self.registry);
        }
        self.accepting.clear();
    }

    fn accept_again(&mut self) {
        for (place, listener) in self.listeners.iter_mut().enumerate() {
            let place = u32::try_from(place).unwrap_or(u32::MAX);
            if let Err(error) = listener.listener.register(&self.registry, Source::Listener(place))
            {
                tracing::error!(
                    "can't listen again after a take-over that was broken off: {error}"
                );
            }
            self.accepting.insert(place);
        }
    }

    /// The other process does not listen here, and so nobody is to. At present nothing is accepted.
    pub(super) fn listen_no_more(&mut self, port: Port, address: &str) {
        let is_that =
            |open: &PortListener| open.port == port && open.configured.to_string() == address;
        let dropped: Vec<_> = self.listeners.extract_if(.., |open| is_that(open)).collect();
        dropped.iter().for_each(|open| open.listener.set_anothers(false));
    }

    /// That process has gone: connections are accepted here again, with all others.
    pub(super) fn listen(&mut self, listener: PortListener) {
        self.listeners.push(listener);
        if self.giving == Giving::Nothing && self.drain.is_none() {
            self.stop_accepting();
            self.accept_again();
        }
    }

    /// Gives the clients that have come to rest in this turn.
    pub(super) fn go_on_giving(&mut self) {
        if self.giving == Giving::Nothing {
            return;
        }
        for key in std::mem::take(&mut self.resting) {
            self.give(key);
        }
        self.send_away();
        let mut pools = self.shared.pools();
        let used = pools.budget_mut().view().used;
        let tidings = Tidings { used, changes: pools.changes(), clients: self.shared.clients() };
        drop(pools);
        self.shared.succession.turned(self.index, self.logging_in, tidings);
    }

    fn give(&mut self, key: ClientKey) {
        let is_last_call = self.giving == Giving::Everyone;
        let Some(client) = self.client(key) else { return };
        let Some(session) = client.session.as_deref() else { return };
        let must_leave = is_last_call && client.keeps_server();
        let is_at_rest =
            client.is_idle() && client.machine.is_at_rest() && client.channel.is_drained();
        let may_go = is_at_rest
            && client.pins.is_empty()
            && session.listening.is_none()
            && session.refused_pin.is_none()
            && client.channel.may_move();
        if !may_go {
            if must_leave || (is_last_call && is_at_rest) {
                self.leaving.push_back(key);
            }
            return;
        }
        let mut packer = Packer::default();
        Luggage::of(client, session).pack(&mut packer);
        client.machine.pack(&mut packer);
        let parcel = packer.finish();
        if parcel.len() > PARCEL_BYTES_MAX {
            if is_last_call {
                self.leaving.push_back(key);
            }
            return; // It stays, as one with TLS.
        }
        let shared = self.shared.clone();
        let Some(mut moved) = shared.succession.room() else {
            return self.resting.push(key); // It is tried again at the end of the next turn.
        };
        self.part(key, Goodbye::Takeover);
        let Some(client) = self.unlist(key) else { return };
        moved.push_back(Moved { socket: client.channel.into_socket(), parcel });
        drop(moved);
        shared.succession.wake();
    }

    /// Tells some of those that can't go over, when it is time.
    fn send_away(&mut self) {
        if self.leaving.is_empty() || self.now < self.leaving_due {
            return;
        }
        self.leaving_due = self.now + GOODBYE_PAUSE;
        let lot = self.leaving.len().min(GOODBYES_PER_TURN);
        let keys: Vec<_> = self.leaving.drain(..lot).collect();
        for key in keys {
            let Some(client) = self.client(key) else { continue };
            match client.lease {
                Some(id) => self.after_exchange(key, id),
                None if client.is_idle() && client.machine.is_at_rest() => {
                    self.turn_away(key, &Complaint::taken_over());
                }
                None => {} // It has begun something, and comes to rest again.
            }
        }
        self.carry_out_orders();
    }

    /// What clients are told that must go when they have nothing under way.
    pub(super) fn farewell(&self) -> Complaint {
        match self.giving {
            Giving::Everyone => Complaint::taken_over(),
            Giving::Nothing | Giving::Listeners | Giving::Clients => Complaint::draining(),
        }
    }

    /// A client may have come to rest, while this process gives those that have.
    pub(super) fn may_rest(&mut self, key: ClientKey) {
        if self.giving.has_clients() {
            self.resting.push(key);
        }
    }

    // --- Those that come. ---

    /// A client comes from another process.
    pub(super) fn take_in(&mut self, moved: Moved) {
        let Moved { socket, parcel } = moved;
        let unpacked = self.unpack(&parcel);
        let Ok((luggage, machine)) = unpacked else {
            // Both sides have said that they speak the same version.
            tracing::error!("a client that was taken over could not be understood, and is closed");
            return;
        };
        let Luggage { port, peer, pid, secret, key: pool_key, startup, settings, known } = luggage;
        let Some(client) = self.enlist(Channel::new(socket), port, Stage::Ready) else { return };
        let key = client.key;
        client.machine = machine;
        let has_own = startup != settings;
        // What it was told is its own: what is told to whoever comes is learned from a server, which
        // may be another by now, or say something else.
        let startup = match self.shared.welcome(&pool_key, &startup) {
            Some(welcome) => welcome.parameters.clone(),
            None => self.shared.succession.startup(startup),
        };
        let mut session = self.open_session(pool_key, port, startup, peer);
        if has_own {
            session.set_settings(Arc::new(settings));
        }
        session.known = Arc::new(known);
        session.pid = pid;
        session.secret_len = secret.len();
        session.secret[..secret.len()].copy_from_slice(&secret);
        self.shared.clients.fetch_add(1, Ordering::Relaxed);
        session.arrival = Some(self.shared.succession.know(pid, &secret, self.index, key));
        let now = self.now;
        if let Some(client) = self.client(key) {
            client.session = Some(Box::new(session));
            client.deadlines.spoke(now);
            if client.channel.mark_readable() {
                self.ready.push_back(Source::Client(key)); // It may have spoken on its way.
            }
        }
        self.watch(key);
        if self.drain.is_some() {
            self.drain_client(key, false);
        }
    }

    fn unpack(&self, parcel: &[u8]) -> Result<(Luggage, ClientMachine), Malformed> {
        let mut unpacker = Unpacker::new(parcel);
        let luggage = Luggage::unpack(&mut unpacker)?;
        let mut library = self.shared.library();
        let machine = ClientMachine::unpack(&mut unpacker, &mut library)?;
        unpacker.finish()?;
        Ok((luggage, machine))
    }
}
