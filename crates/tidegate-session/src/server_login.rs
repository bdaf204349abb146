//! Tidegate logs in to PostgreSQL: from the startup packet to the first ReadyForQuery, and one
//! question more where it is not known yet what the upstream is.
//!
//! ```text
//!  Connecting --connected--> Authenticating --AuthenticationOk--> Starting
//!  Starting --ReadyForQuery--> Done, or Probing --ReadyForQuery--> Done
//! ```

use std::sync::Arc;

use tidegate_wire::backend::{Authentication, Message, Tag};
use tidegate_wire::frame::{Front, HEADER_BYTES, front};
use tidegate_wire::frontend::{self, SaslInitial};
use tidegate_wire::md5;
use tidegate_wire::scram::{self, AwaitingServerFinal, ClientFirst, ClientSecret, SaltedKeys};
use tidegate_wire::sqlstate::SqlState;
use tidegate_wire::startup::{self, ProtocolVersion};

use crate::parameters::{Reported, StartupParameters};
use crate::pieces::Pieces;
use crate::server::ServerError;

/// The longest message that a login has. Notices of event triggers may be long; nothing is this
/// long.
const MESSAGE_BYTES_MAX: u64 = 64 * 1024;

/// A pooler invents the pid that it tells its clients; PostgreSQL's own is the truth. Comparing the
/// two tells what the upstream is, whatever port it listens on.
const PROBE_SQL: &[u8] = b"SELECT pg_catalog.pg_backend_pid()";

/// What a login needs to know.
pub struct ServerLoginSettings<'a> {
    /// The database.
    pub database: Arc<str>,
    /// The role.
    pub user: Arc<str>,
    /// Its password, where there is one.
    pub password: Option<Arc<str>>,
    /// The keys that an earlier login derived from the password, which takes milliseconds.
    pub keys: Option<SaltedKeys>,
    /// The settings to start with. PostgreSQL has accepted them before.
    pub parameters: &'a StartupParameters,
    /// Random.
    pub nonce: &'a [u8; 18],
    /// Whether to find out what the upstream is.
    pub probe: bool,
}

/// Why a login failed. No statement was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginFailure {
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
    /// It asks for a method that is not known here.
    #[error("it wants an authentication method ({0}) that Tidegate does not speak")]
    UnknownMethod(String),
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
    /// What it said after the login was complete.
    pub rest: Vec<u8>,
}

/// A login under way.
#[derive(Debug)]
pub struct ServerLogin {
    state: State,
    buffer: Vec<u8>,
    is_connected: bool,
    database_user: Arc<str>,
    password: Option<Arc<str>>,
    known_keys: Option<SaltedKeys>,
    nonce: [u8; 18],
    probe: bool,
    reported: Reported,
    pid: u32,
    secret: Vec<u8>,
    keys: Option<SaltedKeys>,
    is_direct: Option<bool>,
}

#[derive(Debug)]
enum State {
    Authenticating,
    AwaitingServerFirst(ClientFirst),
    AwaitingServerFinal(AwaitingServerFinal),
    /// The password was sent, or the server's own proof was right.
    AwaitingOk,
    Starting,
    Probing,
    Over,
}

impl ServerLogin {
    /// Begins: `out` is what the server must be sent first.
    pub fn new(settings: ServerLoginSettings<'_>, out: &mut Pieces) -> Self {
        let ServerLoginSettings { database, user, password, keys, parameters, nonce, probe } =
            settings;
        let own = [("user", &*user), ("database", &*database)];
        let all = own.into_iter().chain(parameters.iter());
        let all = all.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        out.own(|out| {
            // Names and values came out of a startup packet, so none has a zero byte in it.
            let _ = startup::push_startup(out, ProtocolVersion::V3_0, all);
        });
        Self {
            state: State::Authenticating,
            buffer: Vec::new(),
            is_connected: false,
            database_user: user,
            password,
            known_keys: keys,
            nonce: *nonce,
            probe,
            reported: Reported::default(),
            pid: 0,
            secret: Vec::new(),
            keys: None,
            is_direct: None,
        }
    }

    /// The connection stands.
    pub fn connected(&mut self) {
        self.is_connected = true;
    }

    /// Whether the connection stands.
    pub fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// Consumes all of `input`.
    ///
    /// # Errors
    /// [`LoginFailure`]; the connection is of no use any more.
    pub fn receive(
        &mut self,
        input: &[u8],
        out: &mut Pieces,
    ) -> Result<Option<Box<LoggedIn>>, LoginFailure> {
        self.is_connected = true;
        self.buffer.extend_from_slice(input);
        let buffer = std::mem::take(&mut self.buffer);
        let mut at = 0;
        let protocol = |what: &dyn std::fmt::Display| LoginFailure::Protocol(what.to_string());
        loop {
            let rest = buffer.get(at..).unwrap_or_default();
            let whole = match front(rest, MESSAGE_BYTES_MAX).map_err(|error| protocol(&error))? {
                Front::Partial => None,
                Front::Frame { tag, frame_bytes } => {
                    let end = usize::try_from(frame_bytes).unwrap_or(usize::MAX);
                    rest.get(HEADER_BYTES..end).map(|body| (tag, body, end))
                }
            };
            let Some((tag, body, bytes)) = whole else {
                self.buffer = rest.to_vec();
                return Ok(None);
            };
            at += bytes;
            let tag = Tag::from_byte(tag)
                .ok_or_else(|| protocol(&format_args!("message type 0x{tag:02x}")))?;
            let message = Message::decode(tag, body).map_err(|error| protocol(&error))?;
            if self.message(message, out)? {
                return Ok(Some(Box::new(LoggedIn {
                    reported: std::mem::take(&mut self.reported),
                    pid: self.pid,
                    secret: std::mem::take(&mut self.secret),
                    keys: self.keys.take(),
                    is_direct: self.is_direct,
                    rest: buffer.get(at..).unwrap_or_default().to_vec(),
                })));
            }
        }
    }

    /// True when the login is complete.
    fn message(&mut self, message: Message<'_>, out: &mut Pieces) -> Result<bool, LoginFailure> {
        match message {
            Message::NoticeResponse(_) | Message::NotificationResponse { .. } => return Ok(false),
            Message::ErrorResponse(fields) => {
                let text = fields.message().unwrap_or_default();
                return Err(LoginFailure::Refused(ServerError {
                    sqlstate: fields.sqlstate().unwrap_or(SqlState::INTERNAL_ERROR),
                    message: String::from_utf8_lossy(text).into_owned(),
                }));
            }
            Message::ParameterStatus { name, value } => {
                self.reported.note(name, value);
                return Ok(false);
            }
            _ => {}
        }
        let state = std::mem::replace(&mut self.state, State::Over);
        self.state = match (state, message) {
            (state, Message::Authentication(request)) => {
                self.authentication(state, request, out)?
            }
            (State::Starting, Message::BackendKeyData { pid, secret }) => {
                self.pid = pid;
                self.secret = secret.to_vec();
                State::Starting
            }
            // A newer protocol was not asked for; options were not sent.
            (State::Starting, Message::NegotiateProtocolVersion { .. }) => State::Starting,
            (State::Starting, Message::ReadyForQuery(_)) if self.probe => {
                out.own(|out| frontend::push_query(out, PROBE_SQL));
                State::Probing
            }
            (State::Starting | State::Probing, Message::ReadyForQuery(_)) => return Ok(true),
            (State::Probing, Message::DataRow(row)) => {
                // One column: its length (4 bytes after the count of 2) and its digits.
                let digits = row.get(6..).and_then(|digits| std::str::from_utf8(digits).ok());
                let pid = digits.and_then(|digits| digits.parse().ok());
                self.is_direct = pid.map(|pid: u32| pid == self.pid);
                State::Probing
            }
            (State::Probing, Message::RowDescription(_) | Message::CommandComplete(_)) => {
                State::Probing
            }
            (_, message) => {
                let tag = char::from(message.tag().byte());
                return Err(LoginFailure::Protocol(format!("message '{tag}' out of turn")));
            }
        };
        Ok(false)
    }

    fn authentication(
        &mut self,
        state: State,
        request: Authentication<'_>,
        out: &mut Pieces,
    ) -> Result<State, LoginFailure> {
        let broken = |what: &dyn std::fmt::Display| LoginFailure::Protocol(what.to_string());
        Ok(match (state, request) {
            (State::Authenticating | State::AwaitingOk, Authentication::Ok) => State::Starting,
            (State::Authenticating, Authentication::CleartextPassword) => {
                let password = self.password("cleartext")?;
                out.own(|out| frontend::push_password(out, password.as_bytes()));
                State::AwaitingOk
            }
            (State::Authenticating, Authentication::Md5Password { salt }) => {
                let password = self.password("md5")?;
                let user = self.database_user.as_bytes();
                let response = md5::response(user, password.as_bytes(), salt);
                out.own(|out| frontend::push_password(out, response.as_bytes()));
                State::AwaitingOk
            }
            (State::Authenticating, Authentication::Sasl { mechanisms }) => {
                let offered = mechanisms.iter().any(|name| name == b"SCRAM-SHA-256");
                if !offered {
                    let names: Vec<_> =
                        mechanisms.iter().map(|name| String::from_utf8_lossy(name)).collect();
                    return Err(LoginFailure::UnknownMethod(names.join(", ")));
                }
                let password = self.password("SCRAM-SHA-256")?;
                let secret = ClientSecret::Password(password.as_bytes().to_vec());
                let (first, response) = ClientFirst::new(secret, scram::nonce(&self.nonce));
                let initial =
                    SaslInitial { mechanism: b"SCRAM-SHA-256", response: Some(&response) };
                let mut encoded = Ok(());
                out.own(|out| encoded = initial.encode(out));
                encoded.map_err(|error| broken(&error))?;
                State::AwaitingServerFirst(first)
            }
            (State::AwaitingServerFirst(first), Authentication::SaslContinue(message)) => {
                let needs = first.on_server_first(message).map_err(|error| broken(&error))?;
                let known = self.known_keys.take();
                let fitting = known.filter(|keys| keys.fit(needs.salt(), needs.iterations()));
                let keys = match fitting {
                    Some(keys) => keys,
                    None => {
                        let keys = needs.derive().map_err(|error| broken(&error))?;
                        self.keys = Some(keys.clone());
                        keys
                    }
                };
                let (state, response) = needs.answer(&keys).map_err(|error| broken(&error))?;
                out.own(|out| frontend::push_sasl_response(out, &response));
                State::AwaitingServerFinal(state)
            }
            (State::AwaitingServerFinal(state), Authentication::SaslFinal(message)) => {
                state.on_server_final(message).map_err(|error| broken(&error))?;
                State::AwaitingOk
            }
            (_, Authentication::Other(method)) => {
                return Err(LoginFailure::UnknownMethod(format!("number {method}")));
            }
            _ => return Err(broken(&"an authentication request out of turn")),
        })
    }

    fn password(&self, method: &'static str) -> Result<Arc<str>, LoginFailure> {
        let user = || self.database_user.clone();
        self.password.clone().ok_or_else(|| LoginFailure::NoPassword { user: user(), method })
    }
}
