//! Connections to PostgreSQL until they are servers: dialing, TLS, login.

use std::sync::Arc;

use tidegate_budget::budget::Census;
use tidegate_pool_core::order::Dial;
use tidegate_pool_core::retry::{DialFailure, FailureKind};
use tidegate_pool_core::server::ServerId;
use tidegate_session::parameters::SessionSettings;
use tidegate_session::pieces::Pieces;
use tidegate_session::server::ServerMachine;
use tidegate_session::server_login::{
    LoggedIn, LoginFailure, LoginStep, ServerLogin, ServerLoginSettings,
};
use tidegate_session::tls_request::TlsNegotiation;
use tidegate_wire::certificate;
use tidegate_wire::scram::SaltedKeys;
use tidegate_wire::tick::Tick;

use crate::channel::Channel;
use crate::dial;
use crate::resolver::{Round, Target};
use crate::server::{Claim, Habits, Overdue, Server, Stage};
use crate::settings;
use crate::shared::Kind;
use crate::timers::Alarm;
use crate::tls::connection::{Handshake, Stepped, Tls};
use crate::token::Source;
use crate::welcome;
use crate::worker::Worker;

impl Worker {
    // --- Dialing. ---

    pub(super) fn dial(&mut self, dial: Dial) {
        let id = dial.server;
        // RESET ALL leaves what a session began with, so nobody has to know of these.
        let nothing = Arc::<SessionSettings>::default();
        let (target, connection) = match self.shared.resolver.target() {
            Ok(target) => {
                let connection = self.shared.network.connect(&target);
                (target, connection)
            }
            Err(cause) => return self.dial_failed(dial, None, dial::unresolved(&cause)),
        };
        let socket = match connection {
            Ok(socket) => socket,
            Err(error) => {
                let failure = dial::unreachable(&target, &error);
                return self.dial_failed(dial, Some(&target), failure);
            }
        };
        let mut channel = Channel::new(socket);
        if let Err(error) = channel.register(&self.registry, Source::Server(id).token()) {
            let failure = dial::unreachable(&target, &error);
            return self.dial_failed(dial, Some(&target), failure);
        }
        channel.charge_to(&self.shared.memory);
        let watch = self.shared.watchfulness(&target);
        let habits = Habits::of(self.shared.pools().settings(dial.pool));
        let mut nonce = [0; 18];
        self.entropy.fill(&mut nonce);
        let settings = ServerLoginSettings {
            database: dial.key.database.clone(),
            user: dial.key.user.clone(),
            secret: self.shared.users.secret(&dial.key.user),
            tls: match &target {
                Target::Tcp { .. } => settings::negotiation(&self.config.upstream.tls),
                Target::Unix(_) => TlsNegotiation::Off, // Nobody can listen there.
            },
            channel_binding: settings::channel_binding(&self.config.upstream.tls),
            parameters: watch.as_ref().unwrap_or(&nothing),
            nonce: &nonce,
            probe: self.shared.kind() == Kind::Unknown,
            asks_role: self.asks_for_a_role(),
        };
        let login = ServerLogin::new(settings);
        let server = Server {
            id,
            channel,
            home: self.index,
            is_asked_to_watch: watch.is_some(),
            stage: Stage::Login(Box::new(login)),
            claim: Claim::Dial(dial),
            client: None,
            target,
            pid: 0,
            secret: Vec::new(),
            base: nothing.clone(),
            flavour: welcome::flavour(&nothing),
            habits,
            settings: nothing,
            adapting_to: None,
            ahead: None,
            dirty: false,
            holds_client: false,
            is_ear: false,
            was_reset: false,
            rested_at: Tick::ZERO,
            sent_from: 0,
            is_untouched: true,
            role: None,
            is_suspect: false,
            is_cut: false,
            cancels: 0,
            cancel_wanted: false,
            overdue: Overdue::No,
            client_asked: false,
            is_spoilt: false,
            parked: false,
            recover_until: Tick::ZERO,
            last_words: None,
            are_last_words_told: false,
            alarm: Alarm::default(),
        };
        self.place(Box::new(server));
        let deadline = self.now + self.config.timeouts.connect;
        self.set_alarm(Source::Server(id), deadline);
    }

    /// A dial that came to nothing before there was a connection.
    fn dial_failed(&mut self, dial: Dial, target: Option<&Target>, failure: DialFailure) {
        let id = dial.server;
        let now = self.now;
        self.dial_ended(dial, target, failure);
        self.with_pools(|pools| pools.gone(id, now));
    }

    /// A dial has come to nothing. What may pass by itself, or may not be so on another host, has
    /// another one tried at once; when all have failed, the upstream has.
    fn dial_ended(&mut self, dial: Dial, target: Option<&Target>, failure: DialFailure) {
        let now = self.now;
        let (mut failure, mut goes_on) = (failure, false);
        if let Some(target) = target.filter(|_| dial::is_of_the_host(&failure)) {
            match self.shared.resolver.failed(target, &failure.cause) {
                // A certificate that does not fit is not passed over in silence.
                Round::GoesOn => goes_on = failure.kind == FailureKind::Transient,
                Round::Over(causes) if failure.kind == FailureKind::Transient => {
                    failure.cause = causes;
                }
                Round::Over(_) => {}
            }
        }
        if goes_on {
            tracing::info!("can't open a server, and tries another host: {}", failure.cause);
            return self.with_pools(|pools| pools.dial_goes_on(dial, now));
        }
        // Once per cause; the metric counts each.
        let is_news = self.shared.pools().last_failure() != Some(&failure);
        if is_news {
            tracing::warn!(
                database = %dial.key.database, user = %dial.key.user,
                kind = failure.kind.as_str(), "can't open a server: {}", failure.cause
            );
        }
        self.with_pools(|pools| pools.dial_failed(dial, failure, now));
    }

    pub(super) fn connect_failed(&mut self, id: ServerId, failure: DialFailure) {
        let Some(mut server) = self.remove_server(id) else { return };
        if let Claim::Dial(dial) = std::mem::replace(&mut server.claim, Claim::None) {
            self.dial_failed(dial, Some(&server.target), failure);
        }
    }

    // --- Logging in. ---

    /// The connection stands, or not yet. False when it never will.
    pub(super) fn dial_connected(&mut self, id: ServerId) -> bool {
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return false;
        };
        let Stage::Login(login) = &mut server.stage else { return true };
        match server.channel.connected() {
            Ok(false) => false,
            Ok(true) => {
                self.to_server.clear();
                let step = login.connected(&mut self.to_server);
                // If it can't be sent, reading will tell.
                let _ = server.channel.send(&self.to_server, &[]);
                self.dial_step(id, Ok(step));
                true
            }
            Err(error) => {
                let failure = dial::unreachable(&server.target, &error);
                self.connect_failed(id, failure);
                false
            }
        }
    }

    /// One that logs in has said something.
    pub(super) fn dialed_says(&mut self, id: ServerId, bytes: &[u8]) {
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return;
        };
        let Stage::Login(login) = &mut server.stage else { return };
        self.to_server.clear();
        let step = login.receive(bytes, &mut self.to_server);
        let sent = server.channel.send(&self.to_server, bytes);
        match step {
            Ok(LoginStep::Done(_)) | Err(_) => self.dial_step(id, step),
            _ if sent.is_err() => self.server_ended(id, None),
            step => self.dial_step(id, step),
        }
    }

    /// The keys of its password have been derived.
    pub(super) fn derived(&mut self, id: ServerId, keys: SaltedKeys) {
        let Some(server) = self.server(id) else { return };
        let Stage::Login(login) = &mut server.stage else { return };
        let mut out = Pieces::default();
        let step = login.derived(keys, &mut out);
        // If it can't be sent, reading will tell.
        let _ = server.channel.send(&out, &[]);
        self.dial_step(id, step);
    }

    fn dial_step(&mut self, id: ServerId, step: Result<LoginStep, LoginFailure>) {
        match step {
            Ok(LoginStep::More) => {}
            Ok(LoginStep::Derive(derivation)) => self.shared.derive(self.index, id, derivation),
            Ok(LoginStep::Done(logged_in)) => self.logged_in(id, *logged_in),
            Ok(LoginStep::StartTls) => self.start_tls(id),
            Err(failure) => {
                if let (LoginFailure::Refused(error), Some(server)) = (&failure, self.server(id)) {
                    server.last_words = Some(error.clone());
                    if server.is_asked_to_watch && dial::is_of_parameters(error.sqlstate) {
                        return self.will_not_watch(id, &failure);
                    }
                }
                self.login_failed(id, dial::refused(&failure));
            }
        }
    }

    /// Perhaps the upstream does not take what it was asked for beside what clients want. It is asked
    /// for nothing from now on, and dialed again at once.
    fn will_not_watch(&mut self, id: ServerId, failure: &LoginFailure) {
        self.shared.watchfulness_is_refused(failure);
        let now = self.now;
        let Some(server) = self.server(id) else { return };
        let Claim::Dial(dial) = std::mem::replace(&mut server.claim, Claim::None) else { return };
        self.with_pools(|pools| pools.dial_goes_on(dial, now));
        self.wait_for_end(id);
    }

    fn start_tls(&mut self, id: ServerId) {
        let connector = self.shared.tls().connector;
        let opening = settings::opening(&self.config.upstream.tls);
        let Some(server) = self.server(id) else { return };
        let (Some(connector), Target::Tcp { host, .. }) = (connector, &server.target) else {
            return;
        };
        match connector.connect(host, opening) {
            Ok(tls) => {
                let step = server.channel.start_tls(tls, &[]);
                self.shared.shake_hands(self.index, Source::Server(id), step);
            }
            Err(error) => self.login_failed(id, dial::unnamed(&error)),
        }
    }

    /// A step of the TLS handshake with a server has been done.
    pub(super) fn server_stepped(&mut self, id: ServerId, stepped: Stepped) {
        let Some(server) = self.server(id) else { return };
        let outcome = server.channel.stepped(stepped);
        let shown = server.channel.tls().and_then(Tls::server_certificate);
        let end_point = shown.and_then(certificate::end_point);
        match (outcome, &mut server.stage) {
            (Ok(Handshake::Done), Stage::Login(login)) => {
                let mut out = Pieces::default();
                login.secured(end_point, &mut out);
                // If it can't be sent, reading will tell.
                let _ = server.channel.send(&out, &[]);
            }
            (Err(error), Stage::Login(_)) => {
                let failure = dial::insecure(&server.target, &error);
                return self.login_failed(id, failure);
            }
            _ => {} // It goes on, or the time was up.
        }
        self.queue_server(id);
    }

    /// A login has failed; the connection is closed.
    pub(super) fn login_failed(&mut self, id: ServerId, failure: DialFailure) {
        let Some(server) = self.server(id) else { return };
        let Claim::Dial(dial) = std::mem::replace(&mut server.claim, Claim::None) else { return };
        let target = server.target.clone();
        self.dial_ended(dial, Some(&target), failure);
        self.wait_for_end(id);
    }

    fn logged_in(&mut self, id: ServerId, logged_in: LoggedIn) {
        let now = self.now;
        let statements_max = self.shared.statements_max.unwrap_or_default();
        if let Some(misfit) = self.misfit(logged_in.role) {
            return self.is_no_use(id, misfit);
        }
        self.host_works(id);
        let Some(server) = self.server(id) else { return };
        let Claim::Dial(dial) = std::mem::replace(&mut server.claim, Claim::None) else { return };
        server.pid = logged_in.pid;
        server.role = logged_in.role;
        server.secret = logged_in.secret;
        let reported = logged_in.reported.values().clone();
        let base = server.base.clone();
        let mut machine = ServerMachine::new(logged_in.reported, statements_max);
        // A notice or a parameter; nobody is there to be told. What can't be followed is found
        // to be out of step by the first errand.
        let (mut nobody, mut nothing) = (Pieces::default(), Pieces::default());
        let rest = machine.receive(&logged_in.rest, None, &mut nobody, &mut nothing);
        server.stage = Stage::Up(Box::new(machine));
        if rest.is_err() {
            server.channel.shutdown_write();
        }
        let pid = server.pid;
        self.quiet(id);
        if let Some(keys) = logged_in.keys {
            self.shared.users.derived(&dial.key.user, keys);
        }
        // Two dials at once ask both; the first to hear says it.
        if let Some(is_direct) = logged_in.is_direct
            && self.shared.kind() == Kind::Unknown
        {
            let kind = if is_direct { Kind::Direct } else { Kind::Pooler };
            tracing::info!(kind = kind.as_str(), "found out what the upstream is");
            self.shared.set_kind(kind);
            if kind == Kind::Pooler {
                // What it says of limits is about something else; only the plan's holds.
                self.shared.pools().budget_mut().census(Census::unknown());
            }
        }
        self.shared.learn(&dial.key, &base, reported);
        let flavour = welcome::flavour(&base);
        let Some(server) = self.take(id) else { return };
        self.with_pools(|pools| pools.dialed(dial, server, flavour, pid, now));
    }
}
