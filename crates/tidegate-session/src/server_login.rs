//! Tidegate logs in to PostgreSQL: from the request for TLS to the first ReadyForQuery, and one
//! question more where it is not known yet what the upstream is.
//!
//! ```text
//!  Connecting --connected--> Authenticating, or AskingTls, or Handshaking
//!  AskingTls --answer--> Authenticating, or Handshaking
//!  Handshaking --secured--> Authenticating
//!  Authenticating --AuthenticationOk--> Starting
//!  Authenticating --password wanted--> AwaitingOk --AuthenticationOk--> Starting
//!  Authenticating --SASL--> AwaitingServerFirst --keys at hand--> AwaitingServerFinal
//!                           AwaitingServerFirst --none--> Deriving
//!  Deriving --derived--> AwaitingServerFinal --right--> AwaitingOk
//!  Starting --ReadyForQuery--> Done, or Probing --ReadyForQuery--> Done
//! ```
//!
//! A password, or a proof of it, leaves only after what the settings demand of TLS and of channel
//! binding was found in order.

use std::fmt;
use std::sync::Arc;

use tidegate_wire::backend::{self, Authentication, Message, Tag};
use tidegate_wire::body::Strings;
use tidegate_wire::certificate::EndPoint;
use tidegate_wire::frame::{Front, HEADER_BYTES, front};
use tidegate_wire::frontend::{self, SaslInitial};
use tidegate_wire::md5;
use tidegate_wire::scram::{
    self, AwaitingServerFinal, ChannelBinding, ClientFirst, ClientSecret, Derivation, NeedsKeys,
    SaltedKeys, ScramError,
};
use tidegate_wire::sqlstate::SqlState;
use tidegate_wire::startup::{self, ProtocolVersion};

use crate::parameters::{Reported, SessionSettings};
use crate::pieces::Pieces;
use crate::server::ServerError;
use crate::tls_request::{TlsFailure, TlsNegotiation, TlsRequest, TlsStep};

/// The longest message that a login has. Notices of event triggers may be long; nothing is this
/// long.
const MESSAGE_BYTES_MAX: u64 = 64 * 1024;

/// What a server may say while keys are derived. It waits for our answer, so all there can be is
/// an error and a notice or two; as much as one message may have is plenty.
const EARLY_BYTES_MAX: usize = 64 * 1024;

/// A pooler invents the pid that it tells its clients; PostgreSQL's own is the truth. Comparing the
/// two tells what the upstream is, whatever port it listens on.
const PROBE_SQL: &[u8] = b"SELECT pg_catalog.pg_backend_pid()";

/// The same, and the rest of what a [`Role`] is.
const ROLE_SQL: &[u8] = b"SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery(), \
    pg_catalog.current_setting('default_transaction_read_only')";

/// With what Tidegate logs in for a user.
#[derive(Clone)]
pub enum Secret {
    /// Nothing: only a server that trusts us lets us in.
    Nothing,
    /// The keys that the user's own login to Tidegate yielded. They are good for one verifier.
    Keys(SaltedKeys),
    /// A password.
    Password {
        /// The password.
        password: Arc<str>,
        /// The keys that an earlier login derived from it, which takes milliseconds.
        keys: Option<SaltedKeys>,
    },
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Keys(_) => "Keys(..)",
            Self::Password { .. } => "Password(..)",
        })
    }
}

/// Whether the login is bound to the TLS connection, in libpq's words (`channel_binding`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindChannel {
    /// It is not.
    Disable,
    /// It is where the server offers it.
    Prefer,
    /// It is, or there is no login.
    Require,
}

impl BindChannel {
    /// The word for settings and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
        }
    }
}

/// What a login needs to know.
pub struct ServerLoginSettings<'a> {
    /// The database.
    pub database: Arc<str>,
    /// The role.
    pub user: Arc<str>,
    /// With what it logs in.
    pub secret: Secret,
    /// Whether and how TLS is asked for.
    pub tls: TlsNegotiation,
    /// Whether the login is bound to it.
    pub channel_binding: BindChannel,
    /// The settings to start with. PostgreSQL has accepted them before.
    pub parameters: &'a SessionSettings,
    /// Random.
    pub nonce: &'a [u8; 18],
    /// Whether to find out what the upstream is.
    pub probe: bool,
    /// Whether to find out what its server is, where it does not report that.
    pub asks_role: bool,
}

/// What a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Role {
    /// It is in recovery.
    pub is_standby: bool,
    /// Transactions write nothing unless they say that they do.
    pub is_read_only: bool,
}

impl Role {
    /// What these parameters say, which PostgreSQL reports from version 14 on.
    pub fn reported(reported: &Reported) -> Option<Self> {
        let is_on = |name| reported.value(name).map(|value| value == b"on");
        let is_standby = is_on("in_hot_standby")?;
        Some(Self { is_standby, is_read_only: is_on("default_transaction_read_only")? })
    }
}

/// Why a login failed. No statement was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginFailure {
    /// Channel binding is required by the settings, and cannot be had.
    #[error("channel binding is required, but {0}")]
    ChannelBinding(Unbound),
    /// Keys are all there is, and they are not for the verifier that PostgreSQL stores.
    #[error(
        "it wants keys of user \"{user}\" for another salt or number of iterations than that \
         user's verifier has here; give the user a password in the settings, or as its verifier \
         the one that PostgreSQL stores (pg_authid.rolpassword)"
    )]
    KeysDoNotFit {
        /// The role.
        user: Arc<str>,
    },
    /// PostgreSQL wants a password and there is none.
    #[error("it wants a password ({method}), and none is set for user \"{user}\"")]
    NoPassword {
        /// The role.
        user: Arc<str>,
        /// How it wants it.
        method: &'static str,
    },
    /// The peer does not speak as PostgreSQL does.
    #[error("unexpected answer during login: {0}")]
    Protocol(String),
    /// PostgreSQL refused.
    #[error("{} (SQLSTATE {})", .0.message, .0.sqlstate)]
    Refused(ServerError),
    /// TLS did not come about as the settings demand it.
    #[error("{0}")]
    Tls(TlsFailure),
    /// It asks for a method that is not known here.
    #[error("it wants an authentication method ({0}) that Tidegate does not speak")]
    UnknownMethod(String),
}

/// Why a login can't be bound to its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unbound {
    /// Nothing is defined to bind to for the server's certificate.
    #[error("the signature algorithm of the server's certificate has no hash to bind to")]
    NoEndPoint,
    /// The connection has no TLS.
    #[error("the connection has no TLS")]
    NoTls,
    /// The server's SASL has no mechanism for it.
    #[error("the server does not offer SCRAM-SHA-256-PLUS")]
    NotOffered,
    /// The server does not use SASL.
    #[error("the server uses another method ({method})")]
    OtherMethod {
        /// What it wants.
        method: &'static str,
    },
}

/// What became of a step.
#[derive(Debug)]
pub enum LoginStep {
    /// More is to come.
    More,
    /// A TLS handshake is next; then [`ServerLogin::secured`] goes on, and what
    /// [`ServerLogin::receive`] is given from then on comes out of TLS.
    StartTls,
    /// Keys are to be derived, which is slow; then [`ServerLogin::derived`] goes on.
    Derive(Derivation),
    /// The login is complete.
    Done(Box<LoggedIn>),
}

/// A server that has logged in.
#[derive(Debug)]
pub struct LoggedIn {
    /// The parameters that it reported.
    pub reported: Reported,
    /// The pid of its backend, as the upstream tells it.
    pub pid: u32,
    /// The secret that cancels its statements; empty when it told none.
    pub secret: Vec<u8>,
    /// Keys that were derived from the password.
    pub keys: Option<SaltedKeys>,
    /// Whether the upstream is PostgreSQL itself, when it was asked.
    pub is_direct: Option<bool>,
    /// What its server is, when that was asked for.
    pub role: Option<Role>,
    /// What it said after the login was complete.
    pub rest: Vec<u8>,
}

/// A login under way.
#[derive(Debug)]
pub struct ServerLogin {
    state: State,
    buffer: Vec<u8>,
    startup_packet: Vec<u8>,
    user: Arc<str>,
    secret: Secret,
    channel_binding: BindChannel,
    channel: Channel,
    nonce: [u8; 18],
    probe: bool,
    asks_role: bool,
    role: Option<Role>,
    reported: Reported,
    pid: u32,
    cancel_secret: Vec<u8>,
    derived_keys: Option<SaltedKeys>,
    is_direct: Option<bool>,
}

#[derive(Debug)]
enum State {
    Connecting(TlsRequest),
    AskingTls(TlsRequest),
    Handshaking,
    Authenticating,
    AwaitingServerFirst(ClientFirst),
    Deriving(NeedsKeys),
    AwaitingServerFinal(AwaitingServerFinal),
    /// The password was sent, or the server's own proof was right.
    AwaitingOk,
    Starting,
    Probing,
    Over,
}

/// What carries the login.
#[derive(Debug)]
enum Channel {
    Plain,
    Tls(Option<EndPoint>),
}

/// What a message leads to.
enum Turn {
    Next(State),
    Derive(NeedsKeys, Derivation),
    Done,
}

impl ServerLogin {
    /// For a connection that does not stand yet.
    pub fn new(settings: ServerLoginSettings<'_>) -> Self {
        let own = [("user", &*settings.user), ("database", &*settings.database)];
        let all = own.into_iter().chain(settings.parameters.iter());
        let all = all.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let mut startup_packet = Vec::new();
        // Names and values came out of a startup packet, so none has a zero byte in it.
        let _ = startup::push_startup(&mut startup_packet, ProtocolVersion::V3_0, all);
        Self {
            state: State::Connecting(TlsRequest::new(settings.tls)),
            buffer: Vec::new(),
            startup_packet,
            user: settings.user,
            secret: settings.secret,
            channel_binding: settings.channel_binding,
            channel: Channel::Plain,
            nonce: *settings.nonce,
            probe: settings.probe,
            asks_role: settings.asks_role,
            role: None,
            reported: Reported::default(),
            pid: 0,
            cancel_secret: Vec::new(),
            derived_keys: None,
            is_direct: None,
        }
    }

    /// The connection stands: says how it goes on, and sends what comes first.
    pub fn connected(&mut self, out: &mut Pieces) -> LoginStep {
        let State::Connecting(request) = &mut self.state else { return LoginStep::More };
        match request.begin(out) {
            TlsStep::More => {
                if let State::Connecting(request) = self.take_state() {
                    self.state = State::AskingTls(request);
                }
                LoginStep::More
            }
            TlsStep::Plain { .. } => {
                self.start(Channel::Plain, out);
                LoginStep::More
            }
            TlsStep::StartTls => {
                self.state = State::Handshaking;
                LoginStep::StartTls
            }
        }
    }

    /// Whether the connection stands.
    pub fn is_connected(&self) -> bool {
        !matches!(self.state, State::Connecting(_))
    }

    /// The handshake is complete. `end_point` is that of the certificate that the server sent.
    ///
    /// Only what [`LoginStep::StartTls`] asked for is taken note of.
    pub fn secured(&mut self, end_point: Option<EndPoint>, out: &mut Pieces) {
        if let State::Handshaking = self.state {
            self.start(Channel::Tls(end_point), out);
        }
    }

    /// The keys are there. Goes on with what the server has said since.
    ///
    /// Only what [`LoginStep::Derive`] asked for is taken note of.
    ///
    /// # Errors
    /// [`LoginFailure`]; the connection is of no use any more.
    pub fn derived(
        &mut self,
        keys: SaltedKeys,
        out: &mut Pieces,
    ) -> Result<LoginStep, LoginFailure> {
        if let State::Deriving(_) = self.state
            && let State::Deriving(needs) = self.take_state()
        {
            self.state = self.prove(needs, &keys, out)?;
            self.derived_keys = Some(keys);
            return self.go_on(out);
        }
        Ok(LoginStep::More)
    }

    /// Consumes all of `input`.
    ///
    /// # Errors
    /// [`LoginFailure`]; the connection is of no use any more.
    pub fn receive(&mut self, input: &[u8], out: &mut Pieces) -> Result<LoginStep, LoginFailure> {
        self.connected(out); // Whoever speaks is connected.
        match &mut self.state {
            State::AskingTls(request) => match request.receive(input).map_err(LoginFailure::Tls)? {
                TlsStep::More => Ok(LoginStep::More),
                TlsStep::Plain { received } => {
                    self.start(Channel::Plain, out);
                    self.buffer = received;
                    self.go_on(out)
                }
                TlsStep::StartTls => {
                    self.state = State::Handshaking;
                    Ok(LoginStep::StartTls)
                }
            },
            State::Handshaking if !input.is_empty() => Err(LoginFailure::Tls(TlsFailure::Injected)),
            State::Deriving(_) => {
                self.buffer.extend_from_slice(input);
                if self.buffer.len() > EARLY_BYTES_MAX {
                    return Err(broken(&"too much while it has to wait"));
                }
                Ok(LoginStep::More)
            }
            _ => {
                self.buffer.extend_from_slice(input);
                self.go_on(out)
            }
        }
    }

    /// Sends the startup packet.
    fn start(&mut self, channel: Channel, out: &mut Pieces) {
        out.own_bytes(&std::mem::take(&mut self.startup_packet));
        self.channel = channel;
        self.state = State::Authenticating;
    }

    fn take_state(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Over)
    }

    /// Does what can be done with what has come.
    fn go_on(&mut self, out: &mut Pieces) -> Result<LoginStep, LoginFailure> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut at = 0;
        loop {
            let rest = buffer.get(at..).unwrap_or_default();
            let whole = match front(rest, MESSAGE_BYTES_MAX).map_err(|error| broken(&error))? {
                Front::Partial => None,
                Front::Frame { tag, frame_bytes } => {
                    let end = usize::try_from(frame_bytes).unwrap_or(usize::MAX);
                    rest.get(HEADER_BYTES..end).map(|body| (tag, body, end))
                }
            };
            let Some((tag, body, bytes)) = whole else {
                self.buffer = rest.to_vec();
                return Ok(LoginStep::More);
            };
            at += bytes;
            let tag = Tag::from_byte(tag)
                .ok_or_else(|| broken(&format_args!("message type 0x{tag:02x}")))?;
            let message = Message::decode(tag, body).map_err(|error| broken(&error))?;
            let turn = self.message(message, out)?;
            let rest = || buffer.get(at..).unwrap_or_default().to_vec();
            match turn {
                Turn::Next(state) => self.state = state,
                Turn::Derive(needs, derivation) => {
                    self.state = State::Deriving(needs);
                    self.buffer = rest();
                    return Ok(LoginStep::Derive(derivation));
                }
                Turn::Done => {
                    return Ok(LoginStep::Done(Box::new(LoggedIn {
                        reported: std::mem::take(&mut self.reported),
                        pid: self.pid,
                        secret: std::mem::take(&mut self.cancel_secret),
                        keys: self.derived_keys.take(),
                        is_direct: self.is_direct,
                        role: self.role,
                        rest: rest(),
                    })));
                }
            }
        }
    }

    /// Whether something is asked before it is done.
    fn has_question(&mut self) -> bool {
        if self.asks_role {
            self.role = Role::reported(&self.reported);
        }
        self.probe || self.asks_role && self.role.is_none()
    }

    fn message(&mut self, message: Message<'_>, out: &mut Pieces) -> Result<Turn, LoginFailure> {
        let state = self.take_state();
        match message {
            Message::NoticeResponse(_) | Message::NotificationResponse { .. } => {
                return Ok(Turn::Next(state));
            }
            Message::ErrorResponse(fields) => {
                let text = fields.message().unwrap_or_default();
                return Err(LoginFailure::Refused(ServerError {
                    sqlstate: fields.sqlstate().unwrap_or(SqlState::INTERNAL_ERROR),
                    message: String::from_utf8_lossy(text).into_owned(),
                }));
            }
            Message::ParameterStatus { name, value } => {
                self.reported.note(name, value);
                return Ok(Turn::Next(state));
            }
            _ => {}
        }
        let next = match (state, message) {
            (state, Message::Authentication(request)) => {
                return self.authentication(state, request, out);
            }
            (State::Starting, Message::BackendKeyData { pid, secret }) => {
                self.pid = pid;
                self.cancel_secret = secret.to_vec();
                State::Starting
            }
            // A newer protocol was not asked for; options were not sent.
            (State::Starting, Message::NegotiateProtocolVersion { .. }) => State::Starting,
            (State::Starting, Message::ReadyForQuery(_)) if self.has_question() => {
                let asks_role = self.asks_role && self.role.is_none();
                let sql = if asks_role { ROLE_SQL } else { PROBE_SQL };
                out.own(|out| frontend::push_query(out, sql));
                State::Probing
            }
            (State::Starting | State::Probing, Message::ReadyForQuery(_)) => {
                return Ok(Turn::Done);
            }
            (State::Probing, Message::DataRow(row)) => {
                let values = backend::values(row).unwrap_or_default();
                let value = |at: usize| values.get(at).copied().flatten();
                let digits = value(0).and_then(|digits| std::str::from_utf8(digits).ok());
                let pid = digits.and_then(|digits| digits.parse().ok());
                if self.probe {
                    self.is_direct = pid.map(|pid: u32| pid == self.pid);
                }
                if let (Some(is_standby), Some(is_read_only)) = (value(1), value(2)) {
                    let (is_standby, is_read_only) = (is_standby == b"t", is_read_only == b"on");
                    self.role = Some(Role { is_standby, is_read_only });
                }
                State::Probing
            }
            (State::Probing, Message::RowDescription(_) | Message::CommandComplete(_)) => {
                State::Probing
            }
            (_, message) => {
                let tag = char::from(message.tag().byte());
                return Err(broken(&format_args!("message '{tag}' out of turn")));
            }
        };
        Ok(Turn::Next(next))
    }

    fn authentication(
        &mut self,
        state: State,
        request: Authentication<'_>,
        out: &mut Pieces,
    ) -> Result<Turn, LoginFailure> {
        let next = match (state, request) {
            (State::Authenticating, Authentication::Ok) => {
                self.go_unbound("none")?;
                State::Starting
            }
            (State::AwaitingOk, Authentication::Ok) => State::Starting,
            (State::Authenticating, Authentication::CleartextPassword) => {
                let password = self.password("cleartext")?;
                out.own(|out| frontend::push_password(out, password.as_bytes()));
                State::AwaitingOk
            }
            (State::Authenticating, Authentication::Md5Password { salt }) => {
                let password = self.password("md5")?;
                let response = md5::response(self.user.as_bytes(), password.as_bytes(), salt);
                out.own(|out| frontend::push_password(out, response.as_bytes()));
                State::AwaitingOk
            }
            (State::Authenticating, Authentication::Sasl { mechanisms }) => {
                let (first, initial) = self.client_first(&mechanisms)?;
                out.own_bytes(&initial);
                State::AwaitingServerFirst(first)
            }
            (State::AwaitingServerFirst(first), Authentication::SaslContinue(message)) => {
                let needs = first.on_server_first(message).map_err(|error| broken(&error))?;
                return self.keys(needs, out);
            }
            (State::AwaitingServerFinal(state), Authentication::SaslFinal(message)) => {
                state.on_server_final(message).map_err(|error| broken(&error))?;
                State::AwaitingOk
            }
            (_, Authentication::Other(method)) => {
                self.go_unbound("unknown")?;
                return Err(LoginFailure::UnknownMethod(format!("number {method}")));
            }
            _ => return Err(broken(&"an authentication request out of turn")),
        };
        Ok(Turn::Next(next))
    }

    /// Begins with SCRAM. Also answers with the SASLInitialResponse.
    fn client_first(
        &self,
        mechanisms: &Strings<'_>,
    ) -> Result<(ClientFirst, Vec<u8>), LoginFailure> {
        let binding = self.binding(mechanisms)?;
        let mechanism = binding.mechanism().as_str();
        if !mechanisms.contains(mechanism.as_bytes()) {
            let names: Vec<_> =
                mechanisms.iter().map(|name| String::from_utf8_lossy(name)).collect();
            return Err(LoginFailure::UnknownMethod(names.join(", ")));
        }
        let secret = match &self.secret {
            Secret::Nothing => return Err(self.no_password(mechanism)),
            Secret::Keys(keys) => ClientSecret::Keys(keys.clone()),
            Secret::Password { password, .. } => {
                ClientSecret::Password(password.as_bytes().to_vec())
            }
        };
        let (first, response) = ClientFirst::new(secret, scram::nonce(&self.nonce), binding);
        let mut out = Vec::new();
        SaslInitial { mechanism: mechanism.as_bytes(), response: Some(&response) }
            .encode(&mut out)
            .map_err(|error| broken(&error))?;
        Ok((first, out))
    }

    /// What to say of channel binding to a server that offers these mechanisms.
    fn binding(&self, mechanisms: &Strings<'_>) -> Result<ChannelBinding, LoginFailure> {
        let is_offered = mechanisms.contains(scram::MECHANISM_PLUS.as_bytes());
        let possible = match &self.channel {
            Channel::Plain => Err(Unbound::NoTls),
            Channel::Tls(None) => Err(Unbound::NoEndPoint),
            Channel::Tls(Some(_)) if !is_offered => Err(Unbound::NotOffered),
            Channel::Tls(Some(end_point)) => Ok(end_point),
        };
        match (self.channel_binding, possible) {
            (BindChannel::Disable, _) => Ok(ChannelBinding::NotSupported),
            (_, Ok(end_point)) => Ok(ChannelBinding::EndPoint(end_point.clone())),
            (BindChannel::Require, Err(unbound)) => Err(LoginFailure::ChannelBinding(unbound)),
            // A server that has offered it learns from this that its offer was lost on the way.
            (BindChannel::Prefer, Err(Unbound::NotOffered)) => {
                Ok(ChannelBinding::SupportedButUnused)
            }
            (BindChannel::Prefer, Err(_)) => Ok(ChannelBinding::NotSupported),
        }
    }

    /// The server wants something to which no channel is bound.
    fn go_unbound(&self, method: &'static str) -> Result<(), LoginFailure> {
        match self.channel_binding {
            BindChannel::Disable | BindChannel::Prefer => Ok(()),
            BindChannel::Require => {
                Err(LoginFailure::ChannelBinding(Unbound::OtherMethod { method }))
            }
        }
    }

    /// Goes on with keys that fit, or has them derived.
    fn keys(&self, needs: NeedsKeys, out: &mut Pieces) -> Result<Turn, LoginFailure> {
        let known = match &self.secret {
            Secret::Keys(keys) | Secret::Password { keys: Some(keys), .. } => Some(keys),
            Secret::Nothing | Secret::Password { keys: None, .. } => None,
        };
        match known.filter(|keys| keys.fit(needs.salt(), needs.iterations())) {
            Some(keys) => self.prove(needs, keys, out).map(Turn::Next),
            None => {
                let derivation = needs.derivation().ok_or_else(|| self.keys_do_not_fit())?;
                Ok(Turn::Derive(needs, derivation))
            }
        }
    }

    fn prove(
        &self,
        needs: NeedsKeys,
        keys: &SaltedKeys,
        out: &mut Pieces,
    ) -> Result<State, LoginFailure> {
        let (state, response) = needs.answer(keys).map_err(|error| match error {
            ScramError::KeysDoNotFit => self.keys_do_not_fit(),
            error => broken(&error),
        })?;
        out.own(|out| frontend::push_sasl_response(out, &response));
        Ok(State::AwaitingServerFinal(state))
    }

    /// The password itself, for methods that have no other proof.
    fn password(&self, method: &'static str) -> Result<Arc<str>, LoginFailure> {
        self.go_unbound(method)?;
        match &self.secret {
            Secret::Password { password, .. } => Ok(password.clone()),
            Secret::Nothing | Secret::Keys(_) => Err(self.no_password(method)),
        }
    }

    fn no_password(&self, method: &'static str) -> LoginFailure {
        LoginFailure::NoPassword { user: self.user.clone(), method }
    }

    fn keys_do_not_fit(&self) -> LoginFailure {
        LoginFailure::KeysDoNotFit { user: self.user.clone() }
    }
}

fn broken(what: &dyn fmt::Display) -> LoginFailure {
    LoginFailure::Protocol(what.to_string())
}
