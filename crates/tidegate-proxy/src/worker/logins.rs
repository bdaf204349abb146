//! Connections from applications until they are clients like any other: accept, TLS, login,
//! welcome.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate_observe::front::{Goodbye, RejectReason};
use tidegate_pool_core::server::{PoolKey, Port, ServerId};
use tidegate_session::client_login::{
    ClientLogin, Credential, LoggedIn, LoginContext, LoginStep, Refusal, TlsOffer, TlsStart,
};
use tidegate_session::parameters::SessionSettings;
use tidegate_session::pieces::Pieces;
use tidegate_wire::backend::{self, Severity, TransactionStatus};
use tidegate_wire::catalogue::Complaint;
use tidegate_wire::certificate;

use crate::channel::Channel;
use crate::complaints;
use crate::limits::LOGINS_MAX;
use crate::listener::PortListener;
use crate::locks::lock;
use crate::server::Habits;
use crate::settings;
use crate::succession::Asker;
use crate::tls::Opening;
use crate::tls::connection::{Handshake, Stepped, Tls};
use crate::token::{ClientKey, Source, client_pid};
use crate::welcome::{self, Welcome};
use crate::worker::clients::{SECRET_BYTES, Session, Stage};
use crate::worker::{ACCEPTS_PER_TURN, Worker};

impl Worker {
    // --- Accepting. ---

    pub(super) fn accept(&mut self) {
        if self.now < self.accepts_from {
            return;
        }
        for place in std::mem::take(&mut self.accepting) {
            if self.accept_some(place) {
                self.accepting.insert(place);
            }
        }
    }

    /// Accepts one turn's worth. True when more may wait.
    fn accept_some(&mut self, place: u32) -> bool {
        for _ in 0..ACCEPTS_PER_TURN {
            // What comes beyond stays in the kernel's backlog until a login has ended.
            if self.logging_in >= LOGINS_MAX {
                return true;
            }
            let Some(listener) = self.listeners.get(place as usize) else { return false };
            let port = listener.port;
            match listener.listener.accept() {
                Ok((socket, address)) => {
                    let peer = address.map(|address| address.ip());
                    self.accepted(Channel::new(socket), port, peer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // The kernel says so before it looks whether anybody is there.
                Err(error) if is_out_of_descriptors(&error) => {
                    match self.accept_without_descriptor(place as usize) {
                        Ok(()) => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                        Err(_) => {
                            self.accepts_from = self.now + SHORTAGE_PAUSE;
                            return true;
                        }
                    }
                }
                Err(_) => {} // The peer was quicker than we; the next one may be there.
            }
        }
        true
    }

    /// Takes a connection with the spare descriptor, and tells its peer that there is no room.
    fn accept_without_descriptor(&mut self, place: usize) -> io::Result<()> {
        self.spare = None;
        let PortListener { port, listener, .. } = &self.listeners[place];
        let port = *port;
        let result = listener.accept().map(|(socket, _)| {
            self.shared.front.port(port).rejected[RejectReason::MaxClients as usize].add(1);
            let mut channel = Channel::new(socket);
            let mut words = Vec::new();
            Complaint::client_limit(self.shared.clients_max).encode(Severity::Fatal, &mut words);
            // Whether it arrives or not, the connection ends here.
            let _ = channel.send_bytes(&words);
            if self.shortage_told_from <= self.now {
                self.shortage_told_from = self.now + SHORTAGE_TOLD_EVERY;
                tracing::warn!("out of file descriptors: refused a connection; raise LimitNOFILE");
            }
        });
        self.spare = std::fs::File::open("/dev/null").ok();
        result
    }

    fn accepted(&mut self, channel: Channel, port: Port, peer: Option<IpAddr>) {
        self.shared.front.port(port).accepts.add(1);
        // Nobody can listen on a Unix socket.
        let offer = peer.map_or(TlsOffer::Off, |_| settings::tls_offer(&self.config));
        let login = Stage::Login(Box::new(ClientLogin::new(peer, offer)));
        let Some(client) = self.enlist(channel, port, login) else { return };
        let key = client.key;
        client.is_login = true;
        self.logging_in += 1;
        // Its first words are mostly there by now: they are read in this turn.
        if self.client(key).is_some_and(|client| client.channel.mark_readable()) {
            self.ready.push_back(Source::Client(key));
        }
        let deadline = self.now + self.config.timeouts.client_login;
        self.set_alarm(Source::Client(key), deadline);
    }

    // --- Login. ---

    pub(super) fn log_in(&mut self, key: ClientKey, bytes: &[u8]) {
        self.login_step(key, bytes, |login, context, reply| login.receive(bytes, context, reply));
    }

    /// What was found of the user has come.
    pub(super) fn user_found(&mut self, key: ClientKey, found: Result<Credential, Arc<str>>) {
        match found {
            Ok(credential) => self.login_step(key, &[], |login, context, reply| {
                login.credential_found(credential, context, reply)
            }),
            Err(cause) => {
                let complaint = Complaint::lookup_failed(&*cause);
                self.reject(key, RejectReason::Lookup, Some(complaint));
            }
        }
    }

    /// One step of a login, and what follows from it.
    fn login_step(
        &mut self,
        key: ClientKey,
        input: &[u8],
        step: impl FnOnce(&mut ClientLogin, &mut LoginContext<'_>, &mut Pieces) -> LoginStep,
    ) {
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        let Stage::Login(login) = &mut client.stage else { return };
        if client.key != key {
            return;
        }
        self.to_client.clear();
        let mut context = LoginContext {
            credentials: &self.shared.users.at(self.now),
            entropy: &mut |out: &mut [u8]| self.entropy.fill(out),
        };
        let step = step(login, &mut context, &mut self.to_client);
        let sent = client.channel.send(&self.to_client, input);
        if sent.is_err() {
            return self.client_gone(key, Goodbye::Vanished);
        }
        match step {
            LoginStep::More => {}
            LoginStep::Cancel { pid, secret } => {
                self.await_cancel(key);
                self.cancel_requested(pid, &secret, Asker::Here { worker: self.index, key });
            }
            LoginStep::NeedsCredential { user, .. } => {
                self.shared.look_up(&user, self.index, key);
            }
            LoginStep::Refused(reason, complaint) => {
                if reason == Refusal::Auth
                    && let Some(user) = login.user()
                {
                    self.shared.users.doubt(user, self.now);
                }
                let reason = complaints::reject_reason(reason);
                self.reject(key, reason, Some(complaint));
            }
            LoginStep::StartTls { start, received } => {
                let opening = match start {
                    TlsStart::Direct => Opening::Direct,
                    TlsStart::Negotiated => Opening::Requested,
                };
                // It is offered only where there is a certificate.
                let Some(acceptor) = self.shared.tls().acceptor else { return };
                let step = client.channel.start_tls(acceptor.accept(opening), &received);
                self.shared.shake_hands(self.index, Source::Client(key), step);
            }
            LoginStep::Done(logged_in) => self.authenticated(key, logged_in),
        }
    }

    /// A step of the TLS handshake with a client has been done.
    pub(super) fn client_stepped(&mut self, key: ClientKey, stepped: Stepped) {
        let Some(client) = self.client(key) else { return };
        match client.channel.stepped(stepped) {
            Ok(Handshake::GoesOn) => {}
            Ok(Handshake::Done) => {
                let tls = client.channel.tls();
                let version = tls.map(Tls::version);
                tracing::debug!(port = client.port.as_str(), version, "a client speaks TLS");
                let shown = tls.and_then(Tls::server_certificate);
                let end_point = shown.and_then(certificate::end_point);
                if let Stage::Login(login) = &mut client.stage {
                    login.secured(end_point);
                }
            }
            Err(error) => {
                tracing::info!(port = client.port.as_str(), "a TLS handshake failed: {error}");
                let port = client.port;
                self.shared.front.port(port).rejected[RejectReason::Tls as usize].add(1);
                return self.say_last_words(key, &[]);
            }
        }
        self.queue_client(key);
    }

    /// Refuses a connection that is not a client yet.
    pub(super) fn reject(
        &mut self,
        key: ClientKey,
        reason: RejectReason,
        complaint: Option<Complaint>,
    ) {
        let now = self.now;
        let Some(client) = self.client(key) else { return };
        let port = client.port;
        let peer = match &client.stage {
            Stage::Login(login) => login.peer(),
            _ => None,
        };
        self.shared.front.port(port).rejected[reason as usize].add(1);
        let Some(complaint) = complaint else { return self.remove_client(key) };
        tracing::info!(
            port = port.as_str(), reason = reason.as_str(), peer = ?peer,
            "refused a connection: {}", complaint.message
        );
        let mut words = Vec::new();
        complaint.encode(Severity::Fatal, &mut words);
        let penalty = match (reason, peer) {
            (RejectReason::Auth, Some(peer)) => lock(&self.shared.failed_logins).failed(peer, now),
            _ => Duration::ZERO,
        };
        if penalty.is_zero() {
            return self.say_last_words(key, &words);
        }
        if let Some(client) = self.client(key) {
            client.stage = Stage::Penalty(words);
            client.channel.paused = true;
        }
        self.set_alarm(Source::Client(key), now + penalty);
    }

    /// The password was right.
    fn authenticated(&mut self, key: ClientKey, logged_in: LoggedIn) {
        if self.shared.is_draining() {
            return self.reject(key, RejectReason::Shutdown, Some(Complaint::draining()));
        }
        if self.config.is_console(&logged_in.database) {
            if let Some(keys) = &logged_in.keys {
                self.shared.users.proved(&logged_in.user, keys.clone());
            }
            return self.visit(key, logged_in);
        }
        if self.shared.memory.is_short() {
            let complaint = self.shared.memory.complaint();
            return self.reject(key, RejectReason::Memory, Some(complaint));
        }
        let places = self.shared.clients_max;
        if !self.shared.take_client_place(places) {
            let complaint = Complaint::client_limit(places);
            return self.reject(key, RejectReason::MaxClients, Some(complaint));
        }
        let Some(client) = self.client(key) else { return };
        let port = client.port;
        let peer = match &client.stage {
            Stage::Login(login) => login.peer(),
            _ => None,
        };
        if let Some(keys) = &logged_in.keys {
            self.shared.users.proved(&logged_in.user, keys.clone());
        }
        let pool_key =
            PoolKey { database: logged_in.database.clone(), user: logged_in.user.clone() };
        let welcome = self.shared.welcome(&pool_key, &logged_in.parameters);
        let parameters = match &welcome {
            Some(welcome) => welcome.parameters.clone(),
            None => Arc::new(logged_in.parameters.clone()),
        };
        let mut session = self.open_session(pool_key, port, parameters, peer);
        self.entropy.fill(&mut session.secret);
        session.secret_len = if logged_in.version.has_long_secrets() { SECRET_BYTES } else { 4 };
        session.pid = client_pid(self.index, key);
        self.logging_in -= 1;
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        client.is_login = false;
        client.session = Some(Box::new(session));
        client.stage = Stage::Welcoming(Box::new(logged_in));
        self.timers.clear(Source::Client(key), &mut client.alarm);
        match welcome {
            Some(welcome) => self.welcome(key, &welcome),
            None => {
                client.channel.paused = true;
                self.check_out(key, &[]);
            }
        }
    }

    /// The session of a client that joins a pool. It has no secret and no pid yet.
    pub(super) fn open_session(
        &mut self,
        key: PoolKey,
        port: Port,
        startup: Arc<SessionSettings>,
        peer: Option<IpAddr>,
    ) -> Session {
        let shared = self.shared.clone();
        let (database, user) = (&key.database, &key.user);
        // Those of this moment: a reload changes them with the pools locked.
        let of_pool = || shared.config().pool_settings(database, user);
        let pool = self.with_pools(|pools| pools.join(&key, port, of_pool));
        let settings = self.config.pool_settings(database, user);
        Session {
            pool,
            traffic: self.shared.traffic(&key, port),
            timeouts: self.config.client_timeouts(database, user),
            flavour: welcome::flavour(&startup),
            environment: welcome::environment(&key, &startup),
            settings: startup.clone(),
            startup,
            known: Arc::default(),
            probes: Session::probes(port, &settings),
            habits: Habits::of(&settings),
            refused_pin: None,
            listening: None,
            secret: [0; SECRET_BYTES],
            secret_len: 0,
            peer,
            pid: 0,
            arrival: None,
            key,
        }
    }

    /// A server with the client's startup parameters has told what the client must be told.
    pub(super) fn learn_welcome(&mut self, key: ClientKey, id: ServerId) {
        let reported =
            self.server(id).and_then(|server| Some(server.machine()?.reported().values().clone()));
        let Some(reported) = reported else { return };
        let shared = self.shared.clone();
        let Some(client) = self.client(key) else { return };
        let Some(session) = &mut client.session else { return };
        let welcome = shared.learn(&session.key, &session.startup, reported);
        session.startup = welcome.parameters.clone();
        session.settings = welcome.parameters.clone();
        self.end_lease(key, id);
        self.welcome(key, &welcome);
    }

    fn welcome(&mut self, key: ClientKey, welcome: &Welcome) {
        let Some(client) = self.client(key) else { return };
        let stage = std::mem::replace(&mut client.stage, Stage::Ready);
        let Stage::Welcoming(logged_in) = stage else { return };
        let Some(session) = &mut client.session else { return };
        session.known = welcome.reported.clone();
        let mut words = welcome::statuses(welcome.reported.iter());
        backend::push_backend_key_data(
            &mut words,
            session.pid,
            &session.secret[..session.secret_len],
        );
        backend::push_ready(&mut words, TransactionStatus::Idle);
        let sent = client.channel.send_bytes(&words);
        client.channel.paused = false;
        let port = client.port;
        self.shared.front.port(port).logins.add(1);
        if sent.is_err() {
            return self.client_gone(key, Goodbye::Vanished);
        }
        if !logged_in.rest.is_empty() {
            self.client_says(key, &logged_in.rest);
        }
        self.watch(key);
        self.queue_client(key);
    }
}

/// How long nothing is accepted where somebody else has taken the spare descriptor: until a
/// client leaves there is nothing to be done, and looking costs a core.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

/// Each refusal is counted; a flood of them must not become one of log lines.
const SHORTAGE_TOLD_EVERY: Duration = Duration::from_secs(1);

fn is_out_of_descriptors(error: &io::Error) -> bool {
    // EMFILE, ENFILE: of this process, of this machine.
    matches!(error.raw_os_error(), Some(24 | 23))
}
