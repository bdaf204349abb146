//! A client logs in: from its first byte to the right password.
//!
//! ```text
//!  Start --GSSENCRequest--> Start (once; it is declined)
//!  Start --SSLRequest--> Start (once; it is declined), or Handshaking
//!  Start --ClientHello--> Handshaking
//!  Handshaking --secured--> Start
//!  Start --StartupMessage--> LookingUp, or what follows it
//!  LookingUp --credential found--> AwaitingMechanism, or Done when no password is needed
//!  AwaitingMechanism --SASLInitialResponse--> AwaitingProof, or AwaitingFirst when it is empty
//!  AwaitingFirst --SASLResponse--> AwaitingProof --SASLResponse, right--> Done
//!  any --wrong--> Over
//! ```
//!
//! An unknown user gets the same questions as a known one, with a salt that is the same each
//! time, and the same answer as a wrong password: nobody learns which users exist.
//!
//! What comes in plaintext between the request for TLS and its beginning was put there by somebody
//! else, and ends the login (CVE-2021-23222).

use std::net::IpAddr;
use std::sync::Arc;

use tidegate_wire::backend;
use tidegate_wire::catalogue::Complaint;
use tidegate_wire::certificate::EndPoint;
use tidegate_wire::frame::{Front, front};
use tidegate_wire::frontend::{self, SaslInitial};
use tidegate_wire::scram::{
    self, AwaitingProof, Mechanism, SaltedKeys, ScramError, ServerFirst, Verifier,
};
use tidegate_wire::startup::{self, Packet, ProtocolVersion, Startup, StartupError, StartupFront};

use crate::parameters::SessionSettings;
use crate::pieces::Pieces;

/// A SASL message is a few hundred bytes; PostgreSQL takes at most this (`PG_MAX_SASL_MESSAGE_LENGTH`).
const SASL_BYTES_MAX: u64 = 1024;

/// What a client may send while its user is looked up. It has been asked nothing yet, so all there
/// can be is the first batch of one that expects no question, and of a batch as much is gathered.
const EARLY_BYTES_MAX: usize = 16 * 1024;

/// Whether TLS is offered to a client. On Unix sockets nobody asks for it, and it is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsOffer {
    /// It is declined.
    Off,
    /// A client may have it.
    Allow,
    /// A client must have it, but for a request to cancel.
    Require,
}

impl TlsOffer {
    /// The word for settings and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Allow => "allow",
            Self::Require => "require",
        }
    }
}

/// How a user proves who it is.
#[derive(Debug, Clone)]
pub enum Credential {
    /// Not at all: the settings permit that only where nobody from outside can connect.
    Nothing,
    /// By a password that this verifier knows. Unknown users have one that no password fits.
    Verifier(Verifier),
}

/// What is known of a user's credential.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// All of it, and be it that there is no such user.
    Known(Credential),
    /// Nothing yet: somebody else must be asked.
    Needed,
}

/// Who may log in.
pub trait Credentials {
    /// How `user` proves who it is.
    fn credential(&self, user: &str) -> Lookup;
}

/// What a step of the login needs from outside.
pub struct LoginContext<'a> {
    /// Who may log in.
    pub credentials: &'a dyn Credentials,
    /// Fills a slice with random bytes.
    pub entropy: &'a mut dyn FnMut(&mut [u8]),
}

/// Why a login was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Wrong password, unknown user, or a broken exchange.
    Auth,
    /// Something that this port does not offer.
    NotOffered,
    /// The startup packet was none.
    Startup,
    /// It came without TLS, which the port requires.
    TlsRequired,
}

/// How TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsStart {
    /// Without having been asked for. ALPN must then choose `postgresql`, or somebody may have led
    /// a client of another protocol here.
    Direct,
    /// It was asked for, and granted by what is to be sent before the handshake.
    Negotiated,
}

/// What became of a stretch of input.
#[derive(Debug)]
pub enum LoginStep {
    /// More is to come.
    More,
    /// It was no login but a request to cancel. It gets no answer.
    Cancel {
        /// The pid that the client to be cancelled was told.
        pid: u32,
        /// The secret that it was told.
        secret: Vec<u8>,
    },
    /// The user must be looked up; then [`ClientLogin::credential_found`] goes on.
    NeedsCredential {
        /// The role.
        user: Arc<str>,
        /// The database.
        database: Arc<str>,
    },
    /// The login has failed.
    Refused(Refusal, Complaint),
    /// A TLS handshake is next; then [`ClientLogin::secured`] goes on, and what
    /// [`ClientLogin::receive`] is given from then on comes out of TLS.
    StartTls {
        /// How it begins.
        start: TlsStart,
        /// What belongs to the handshake already.
        received: Vec<u8>,
    },
    /// The client is who it says it is.
    Done(LoggedIn),
}

/// A client that has proved who it is.
#[derive(Debug)]
pub struct LoggedIn {
    /// The role.
    pub user: Arc<str>,
    /// The database.
    pub database: Arc<str>,
    /// The settings that it asked for.
    pub parameters: SessionSettings,
    /// The protocol that is spoken.
    pub version: ProtocolVersion,
    /// The keys that its proof yields together with the verifier, where there was one. A server
    /// that stores the same verifier lets in whoever has them.
    pub keys: Option<SaltedKeys>,
    /// What it sent after the login, without waiting for the answer.
    pub rest: Vec<u8>,
}

/// A login under way.
#[derive(Debug)]
pub struct ClientLogin {
    state: State,
    buffer: Vec<u8>,
    peer: Option<IpAddr>,
    has_spoken: bool,
    tls: TlsOffer,
    user: Option<Arc<str>>,
}

#[derive(Debug)]
enum State {
    Start(Start),
    Handshaking(Start),
    LookingUp(Box<Asked>),
    AwaitingMechanism(Box<Asked>, ServerFirst),
    AwaitingFirst(Box<Asked>, ServerFirst, Mechanism),
    AwaitingProof(Box<Asked>, AwaitingProof),
    Over,
}

/// What was said before the startup packet.
#[derive(Debug)]
struct Start {
    channel: Channel,
    declined_ssl: bool,
    declined_gss: bool,
}

/// What carries the login.
#[derive(Debug)]
enum Channel {
    Plain,
    Tls(Option<EndPoint>),
}

/// What the startup packet asked for.
#[derive(Debug)]
struct Asked {
    channel: Channel,
    user: Arc<str>,
    database: Arc<str>,
    parameters: SessionSettings,
    version: ProtocolVersion,
}

enum Next {
    /// Nothing can be done before more has come.
    Wait(State),
    Go(State),
    Step(State, LoginStep),
    End(LoginStep),
}

impl ClientLogin {
    /// A connection that was just accepted.
    pub fn new(peer: Option<IpAddr>, tls: TlsOffer) -> Self {
        let start = Start { channel: Channel::Plain, declined_ssl: false, declined_gss: false };
        Self {
            state: State::Start(start),
            buffer: Vec::new(),
            peer,
            has_spoken: false,
            tls,
            user: None,
        }
    }

    /// The address it came from; none for a Unix socket.
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// As whom it wants to log in, once it has said so.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether a startup packet has come, so that an error would be understood.
    pub fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    /// Consumes all of `input`.
    pub fn receive(
        &mut self,
        input: &[u8],
        context: &mut LoginContext<'_>,
        reply: &mut Pieces,
    ) -> LoginStep {
        self.buffer.extend_from_slice(input);
        self.go_on(context, reply)
    }

    /// The handshake is complete. `end_point` is that of the certificate that was sent.
    ///
    /// Only what [`LoginStep::StartTls`] asked for is taken note of.
    pub fn secured(&mut self, end_point: Option<EndPoint>) {
        if let State::Handshaking(start) = &mut self.state {
            let Start { declined_ssl, declined_gss, .. } = *start;
            let channel = Channel::Tls(end_point);
            self.state = State::Start(Start { channel, declined_ssl, declined_gss });
        }
    }

    /// The user was looked up: `credential` is how it proves who it is, and one that nothing
    /// satisfies ([`Verifier::mock`]) when there is no such user.
    ///
    /// Only what [`LoginStep::NeedsCredential`] asked for is taken note of.
    pub fn credential_found(
        &mut self,
        credential: Credential,
        context: &mut LoginContext<'_>,
        reply: &mut Pieces,
    ) -> LoginStep {
        match std::mem::replace(&mut self.state, State::Over) {
            State::LookingUp(asked) => match self.next(asked.prove(credential, context, reply)) {
                Some(step) => step,
                None => self.go_on(context, reply),
            },
            other => {
                self.state = other;
                LoginStep::More
            }
        }
    }

    /// Does what can be done with what has come.
    fn go_on(&mut self, context: &mut LoginContext<'_>, reply: &mut Pieces) -> LoginStep {
        loop {
            let next = match std::mem::replace(&mut self.state, State::Over) {
                State::Start(start) => self.first_packet(start, context, reply),
                State::Handshaking(start) if self.buffer.is_empty() => {
                    Next::Wait(State::Handshaking(start))
                }
                State::Handshaking(_) => Next::End(injected()),
                State::LookingUp(asked) if self.buffer.len() <= EARLY_BYTES_MAX => {
                    Next::Wait(State::LookingUp(asked))
                }
                State::LookingUp(_) => {
                    Next::End(refused_startup("too much was sent before the login"))
                }
                State::AwaitingMechanism(asked, first) => match self.take_password() {
                    Taken::Nothing => Next::Wait(State::AwaitingMechanism(asked, first)),
                    Taken::Body(body) => sasl_initial(asked, first, &body, reply),
                    Taken::Violation => Next::End(wrong_message()),
                },
                State::AwaitingFirst(asked, first, chosen) => match self.take_password() {
                    Taken::Nothing => Next::Wait(State::AwaitingFirst(asked, first, chosen)),
                    Taken::Body(body) => sasl_first(asked, first, chosen, &body, reply),
                    Taken::Violation => Next::End(wrong_message()),
                },
                State::AwaitingProof(asked, proof) => match self.take_password() {
                    Taken::Nothing => Next::Wait(State::AwaitingProof(asked, proof)),
                    Taken::Body(body) => sasl_final(*asked, proof, &body, reply),
                    Taken::Violation => Next::End(wrong_message()),
                },
                State::Over => Next::End(LoginStep::More), // What follows the end is not read.
            };
            if let Some(step) = self.next(next) {
                return step;
            }
        }
    }

    /// Writes the state. None when there may be more to do.
    fn next(&mut self, next: Next) -> Option<LoginStep> {
        let (state, step) = match next {
            Next::Wait(state) => (state, Some(LoginStep::More)),
            Next::Go(state) => (state, None),
            Next::Step(state, step) => (state, Some(step)),
            Next::End(LoginStep::Done(mut logged_in)) => {
                logged_in.rest = std::mem::take(&mut self.buffer);
                (State::Over, Some(LoginStep::Done(logged_in)))
            }
            Next::End(step) => {
                self.buffer = Vec::new();
                (State::Over, Some(step))
            }
        };
        self.state = state;
        step
    }

    fn first_packet(
        &mut self,
        start: Start,
        context: &mut LoginContext<'_>,
        reply: &mut Pieces,
    ) -> Next {
        match self.hello(&start) {
            Hello::Partial => return Next::Wait(State::Start(start)),
            Hello::Tls => {
                let received = std::mem::take(&mut self.buffer);
                let step = LoginStep::StartTls { start: TlsStart::Direct, received };
                return Next::Step(State::Handshaking(start), step);
            }
            Hello::Packet => {}
        }
        let packet = match startup::front(&self.buffer) {
            Ok(StartupFront::Packet { packet_bytes }) if packet_bytes <= self.buffer.len() => {
                self.take(packet_bytes)
            }
            Ok(StartupFront::Partial | StartupFront::Packet { .. }) => {
                return Next::Wait(State::Start(start));
            }
            Err(error) => return Next::End(not_understood(&error)),
        };
        match (startup::decode(&packet), &start.channel) {
            (Ok(Packet::Ssl), Channel::Plain) if self.tls != TlsOffer::Off => {
                if !self.buffer.is_empty() {
                    return Next::End(injected());
                }
                reply.own_bytes(b"S");
                let step =
                    LoginStep::StartTls { start: TlsStart::Negotiated, received: Vec::new() };
                Next::Step(State::Handshaking(start), step)
            }
            (Ok(Packet::Ssl), Channel::Plain) if !start.declined_ssl => {
                reply.own_bytes(b"N");
                Next::Go(State::Start(Start { declined_ssl: true, ..start }))
            }
            (Ok(Packet::GssEnc), _) if !start.declined_gss => {
                reply.own_bytes(b"N");
                Next::Go(State::Start(Start { declined_gss: true, ..start }))
            }
            (Ok(Packet::Ssl | Packet::GssEnc), _) => {
                Next::End(refused_startup("encryption was requested twice"))
            }
            (Ok(Packet::Cancel { pid, secret }), _) => {
                Next::End(LoginStep::Cancel { pid, secret: secret.to_vec() })
            }
            (Ok(Packet::Startup(startup)), _) => {
                self.has_spoken = true;
                self.begin(&startup, start.channel, context, reply)
            }
            (Err(error), _) => {
                self.has_spoken = true;
                Next::End(not_understood(&error))
            }
        }
    }

    /// Looks for TLS where a connection may begin with it: before all else, and where it is
    /// offered.
    fn hello(&self, start: &Start) -> Hello {
        let is_new = matches!(start, Start { channel: Channel::Plain, declined_gss: false, .. });
        let may_be_tls = is_new && self.tls != TlsOffer::Off;
        match *self.buffer {
            [startup::TLS_HANDSHAKE] if may_be_tls => Hello::Partial,
            [startup::TLS_HANDSHAKE, TLS_VERSION, ..] if may_be_tls => Hello::Tls,
            _ => Hello::Packet,
        }
    }

    fn begin(
        &mut self,
        startup: &Startup<'_>,
        channel: Channel,
        context: &mut LoginContext<'_>,
        reply: &mut Pieces,
    ) -> Next {
        let refuse = |refusal, complaint| Next::End(LoginStep::Refused(refusal, complaint));
        if self.tls == TlsOffer::Require && !matches!(channel, Channel::Tls(_)) {
            return refuse(Refusal::TlsRequired, Complaint::tls_required());
        }
        if startup.get("replication").is_some_and(wants_replication) {
            return refuse(Refusal::NotOffered, Complaint::replication_refused());
        }
        let names = (std::str::from_utf8(startup.user()), std::str::from_utf8(startup.database()));
        let (Ok(user), Ok(database)) = names else {
            return refuse(Refusal::Auth, Complaint::login_failed(startup.user()));
        };
        let parameters = match SessionSettings::new(startup.parameters()) {
            Ok(parameters) => parameters,
            Err(error) => {
                let complaint = Complaint::startup_parameter("options", &error);
                return refuse(Refusal::Startup, complaint);
            }
        };
        let negotiation = startup.negotiate();
        reply.own(|out| negotiation.encode(out));
        let name = Arc::<str>::from(user);
        self.user = Some(name.clone());
        let asked = Box::new(Asked {
            channel,
            user: name,
            database: database.into(),
            parameters,
            version: negotiation.version,
        });
        match context.credentials.credential(user) {
            Lookup::Known(credential) => asked.prove(credential, context, reply),
            // What has come already counts against the limit, too.
            Lookup::Needed if self.buffer.len() > EARLY_BYTES_MAX => {
                Next::Go(State::LookingUp(asked))
            }
            Lookup::Needed => {
                let (user, database) = (asked.user.clone(), asked.database.clone());
                let step = LoginStep::NeedsCredential { user, database };
                Next::Step(State::LookingUp(asked), step)
            }
        }
    }

    fn take(&mut self, bytes: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(bytes.min(self.buffer.len()));
        std::mem::replace(&mut self.buffer, rest)
    }

    fn take_password(&mut self) -> Taken {
        match front(&self.buffer, SASL_BYTES_MAX) {
            Ok(Front::Partial) => Taken::Nothing,
            Ok(Front::Frame { tag, frame_bytes }) => {
                if tag != frontend::Tag::Password.byte() {
                    return Taken::Violation;
                }
                let bytes = usize::try_from(frame_bytes).unwrap_or(usize::MAX);
                if bytes > self.buffer.len() {
                    return Taken::Nothing;
                }
                let frame = self.take(bytes);
                Taken::Body(
                    frame.get(tidegate_wire::frame::HEADER_BYTES..).unwrap_or_default().to_vec(),
                )
            }
            Err(_) => Taken::Violation,
        }
    }
}

enum Taken {
    Body(Vec<u8>),
    Nothing,
    Violation,
}

/// What a connection begins with.
enum Hello {
    Packet,
    Partial,
    Tls,
}

/// The major version in the header of a TLS record, whichever TLS it is.
const TLS_VERSION: u8 = 3;

fn sasl_initial(asked: Box<Asked>, first: ServerFirst, body: &[u8], reply: &mut Pieces) -> Next {
    let Ok(SaslInitial { mechanism, response }) = SaslInitial::decode(body) else {
        return Next::End(asked.refused());
    };
    let Some(chosen) = Mechanism::from_name(mechanism) else {
        return Next::End(asked.refused());
    };
    // A client may send its first message with the mechanism or wait to be asked for it.
    match response {
        Some(response) => sasl_first(asked, first, chosen, response, reply),
        None => {
            reply.own(|out| backend::push_auth_sasl_continue(out, b""));
            Next::Go(State::AwaitingFirst(asked, first, chosen))
        }
    }
}

fn sasl_first(
    asked: Box<Asked>,
    first: ServerFirst,
    chosen: Mechanism,
    message: &[u8],
    reply: &mut Pieces,
) -> Next {
    match first.on_client_first(chosen, message) {
        Ok((proof, message)) => {
            reply.own(|out| backend::push_auth_sasl_continue(out, &message));
            Next::Go(State::AwaitingProof(asked, proof))
        }
        Err(error) => Next::End(asked.scram_failed(&error)),
    }
}

fn sasl_final(asked: Asked, proof: AwaitingProof, message: &[u8], reply: &mut Pieces) -> Next {
    let verifier = proof.verifier().clone();
    match proof.on_client_final(message) {
        Ok((client_key, message)) => {
            reply.own(|out| backend::push_auth_sasl_final(out, &message));
            let keys = client_key.with_verifier(&verifier);
            Next::End(LoginStep::Done(asked.logged_in(Some(keys), reply)))
        }
        Err(error) => Next::End(asked.scram_failed(&error)),
    }
}

impl Asked {
    /// The user is known; what it is asked next.
    fn prove(
        self: Box<Self>,
        credential: Credential,
        context: &mut LoginContext<'_>,
        reply: &mut Pieces,
    ) -> Next {
        match credential {
            Credential::Nothing => Next::End(LoginStep::Done(self.logged_in(None, reply))),
            Credential::Verifier(verifier) => {
                let mut random = [0; 18];
                (context.entropy)(&mut random);
                let end_point = match &self.channel {
                    Channel::Tls(end_point) => end_point.clone(),
                    Channel::Plain => None,
                };
                let first = ServerFirst::new(verifier, scram::nonce(&random), end_point);
                reply.own(|out| backend::push_auth_sasl(out, first.mechanisms()));
                Next::Go(State::AwaitingMechanism(self, first))
            }
        }
    }

    fn logged_in(self, keys: Option<SaltedKeys>, reply: &mut Pieces) -> LoggedIn {
        reply.own(backend::push_auth_ok);
        let Self { user, database, parameters, version, channel: _ } = self;
        LoggedIn { user, database, parameters, version, keys, rest: Vec::new() }
    }

    fn refused(&self) -> LoginStep {
        LoginStep::Refused(Refusal::Auth, Complaint::login_failed(self.user.as_bytes()))
    }

    /// What has to do with the connection alone is said: it is found out before the password is
    /// looked at, and is the same for every user.
    fn scram_failed(&self, error: &ScramError) -> LoginStep {
        match error {
            ScramError::ChannelBindingDowngraded
            | ScramError::ChannelBindingMismatch
            | ScramError::ChannelBindingMissing
            | ScramError::ChannelBindingUnchosen
            | ScramError::ChannelBindingUnknown => {
                LoginStep::Refused(Refusal::Auth, Complaint::channel_binding(error))
            }
            _ => self.refused(),
        }
    }
}

/// `replication` is a boolean or "database".
fn wants_replication(value: &[u8]) -> bool {
    let no: [&[u8]; 5] = [b"false", b"off", b"no", b"0", b""];
    !no.iter().any(|no| value.eq_ignore_ascii_case(no))
}

fn not_understood(error: &StartupError) -> LoginStep {
    let complaint = match error {
        StartupError::UnsupportedVersion { .. } => Complaint::protocol_version(error),
        _ => Complaint::startup_packet(error),
    };
    LoginStep::Refused(Refusal::Startup, complaint)
}

fn refused_startup(fault: &str) -> LoginStep {
    LoginStep::Refused(Refusal::Startup, Complaint::startup_packet(fault))
}

fn wrong_message() -> LoginStep {
    refused_startup("expected a password response")
}

fn injected() -> LoginStep {
    refused_startup("received unencrypted data after a request for TLS")
}
