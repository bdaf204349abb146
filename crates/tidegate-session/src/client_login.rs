//! A client logs in: from its first byte to the right password.
//!
//! ```text
//!  Start --SSLRequest, GSSENCRequest--> Start (each at most once; both are declined)
//!  Start --StartupMessage--> AwaitingFirst --SASLInitialResponse--> AwaitingProof
//!  Start --StartupMessage, no password needed--> Done
//!  AwaitingProof --SASLResponse, right--> Done
//!  any --wrong--> Over
//! ```
//!
//! An unknown user gets the same questions as a known one, with a salt that is the same each
//! time, and the same answer as a wrong password: nobody learns which users exist.

use std::net::IpAddr;
use std::sync::Arc;

use tidegate_wire::backend;
use tidegate_wire::catalogue::Complaint;
use tidegate_wire::frame::{Front, front};
use tidegate_wire::frontend::{self, SaslInitial};
use tidegate_wire::scram::{self, AwaitingProof, ServerFirst, Verifier};
use tidegate_wire::startup::{self, Packet, ProtocolVersion, Startup, StartupError, StartupFront};

use crate::parameters::StartupParameters;
use crate::pieces::Pieces;

/// The only mechanism that is offered. As PostgreSQL spells it.
const SCRAM_SHA_256: &str = "SCRAM-SHA-256";

/// A SASL message is a few hundred bytes; PostgreSQL takes at most this (`PG_MAX_SASL_MESSAGE_LENGTH`).
const SASL_BYTES_MAX: u64 = 1024;

/// How a user proves who it is.
#[derive(Debug, Clone)]
pub enum Credential {
    /// Not at all: the settings permit that only where nobody from outside can connect.
    Nothing,
    /// By a password that this verifier knows. Unknown users have one that no password fits.
    Verifier(Verifier),
}

/// Who may log in.
pub trait Credentials {
    /// How `user` proves who it is.
    fn credential(&self, user: &str) -> Credential;
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
    /// The login has failed.
    Refused(Refusal, Complaint),
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
    pub parameters: StartupParameters,
    /// The protocol that is spoken.
    pub version: ProtocolVersion,
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
}

#[derive(Debug)]
enum State {
    Start { declined_ssl: bool, declined_gss: bool },
    AwaitingFirst(Box<Asked>, ServerFirst),
    AwaitingProof(Box<Asked>, AwaitingProof),
    Over,
}

/// What the startup packet asked for.
#[derive(Debug)]
struct Asked {
    user: Arc<str>,
    database: Arc<str>,
    parameters: StartupParameters,
    version: ProtocolVersion,
}

enum Next {
    Wait(State),
    Step(LoginStep),
}

impl ClientLogin {
    /// A connection that was just accepted.
    pub fn new(peer: Option<IpAddr>) -> Self {
        Self {
            state: State::Start { declined_ssl: false, declined_gss: false },
            buffer: Vec::new(),
            peer,
            has_spoken: false,
        }
    }

    /// The address it came from; none for a Unix socket.
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
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
        loop {
            let state = std::mem::replace(&mut self.state, State::Over);
            let next = match state {
                State::Start { declined_ssl, declined_gss } => match startup::front(&self.buffer) {
                    Ok(StartupFront::Partial) => {
                        self.state = State::Start { declined_ssl, declined_gss };
                        return LoginStep::More;
                    }
                    Ok(StartupFront::Packet { packet_bytes })
                        if packet_bytes > self.buffer.len() =>
                    {
                        self.state = State::Start { declined_ssl, declined_gss };
                        return LoginStep::More;
                    }
                    Ok(StartupFront::Packet { packet_bytes }) => {
                        let packet = self.take(packet_bytes);
                        self.first_packet(&packet, declined_ssl, declined_gss, context, reply)
                    }
                    Err(error) => Next::Step(refused_startup(&error)),
                },
                State::AwaitingFirst(asked, first) => match self.take_password() {
                    Taken::Nothing => {
                        self.state = State::AwaitingFirst(asked, first);
                        return LoginStep::More;
                    }
                    Taken::Body(body) => sasl_initial(asked, first, &body, reply),
                    Taken::Violation => Next::Step(wrong_message()),
                },
                State::AwaitingProof(asked, proof) => match self.take_password() {
                    Taken::Nothing => {
                        self.state = State::AwaitingProof(asked, proof);
                        return LoginStep::More;
                    }
                    Taken::Body(body) => sasl_response(*asked, proof, &body, reply),
                    Taken::Violation => Next::Step(wrong_message()),
                },
                State::Over => return LoginStep::More, // What follows a refusal is not read.
            };
            match next {
                Next::Wait(state) => self.state = state,
                Next::Step(LoginStep::Done(mut logged_in)) => {
                    logged_in.rest = std::mem::take(&mut self.buffer);
                    return LoginStep::Done(logged_in);
                }
                Next::Step(step) => return step,
            }
        }
    }

    fn first_packet(
        &mut self,
        packet: &[u8],
        declined_ssl: bool,
        declined_gss: bool,
        context: &mut LoginContext<'_>,
        reply: &mut Pieces,
    ) -> Next {
        match startup::decode(packet) {
            Ok(Packet::Ssl) if !declined_ssl => {
                reply.own_bytes(b"N");
                Next::Wait(State::Start { declined_ssl: true, declined_gss })
            }
            Ok(Packet::GssEnc) if !declined_gss => {
                reply.own_bytes(b"N");
                Next::Wait(State::Start { declined_ssl, declined_gss: true })
            }
            Ok(Packet::Ssl | Packet::GssEnc) => {
                let complaint = Complaint::startup_packet("encryption was requested twice");
                Next::Step(LoginStep::Refused(Refusal::Startup, complaint))
            }
            Ok(Packet::Cancel { pid, secret }) => {
                Next::Step(LoginStep::Cancel { pid, secret: secret.to_vec() })
            }
            Ok(Packet::Startup(startup)) => {
                self.has_spoken = true;
                self.begin(&startup, context, reply)
            }
            Err(error) => {
                self.has_spoken = true;
                Next::Step(refused_startup(&error))
            }
        }
    }

    fn begin(
        &mut self,
        startup: &Startup<'_>,
        context: &mut LoginContext<'_>,
        reply: &mut Pieces,
    ) -> Next {
        let refuse = |refusal, complaint| Next::Step(LoginStep::Refused(refusal, complaint));
        if startup.get("replication").is_some_and(wants_replication) {
            return refuse(Refusal::NotOffered, Complaint::replication_refused());
        }
        let names = (std::str::from_utf8(startup.user()), std::str::from_utf8(startup.database()));
        let (Ok(user), Ok(database)) = names else {
            return refuse(Refusal::Auth, Complaint::login_failed(startup.user()));
        };
        let parameters = match StartupParameters::new(startup.parameters()) {
            Ok(parameters) => parameters,
            Err(error) => {
                let complaint = Complaint::startup_parameter("options", &error);
                return refuse(Refusal::Startup, complaint);
            }
        };
        let negotiation = startup.negotiate();
        reply.own(|out| negotiation.encode(out));
        let asked = Asked {
            user: user.into(),
            database: database.into(),
            parameters,
            version: negotiation.version,
        };
        match context.credentials.credential(user) {
            Credential::Nothing => Next::Step(LoginStep::Done(asked.logged_in(reply))),
            Credential::Verifier(verifier) => {
                let mut random = [0; 18];
                (context.entropy)(&mut random);
                let first = ServerFirst::new(verifier, scram::nonce(&random));
                reply.own(|out| backend::push_auth_sasl(out, &[SCRAM_SHA_256]));
                Next::Wait(State::AwaitingFirst(Box::new(asked), first))
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

fn sasl_initial(asked: Box<Asked>, first: ServerFirst, body: &[u8], reply: &mut Pieces) -> Next {
    let failed = |asked: &Asked| Next::Step(asked.refused());
    let Ok(SaslInitial { mechanism, response }) = SaslInitial::decode(body) else {
        return failed(&asked);
    };
    if mechanism != SCRAM_SHA_256.as_bytes() {
        return failed(&asked);
    }
    // A client may send its first message with the mechanism or wait to be asked for it.
    let Some(response) = response else {
        reply.own(|out| backend::push_auth_sasl_continue(out, b""));
        return Next::Wait(State::AwaitingFirst(asked, first));
    };
    match first.on_client_first(response) {
        Ok((proof, message)) => {
            reply.own(|out| backend::push_auth_sasl_continue(out, &message));
            Next::Wait(State::AwaitingProof(asked, proof))
        }
        Err(_) => failed(&asked),
    }
}

fn sasl_response(asked: Asked, proof: AwaitingProof, body: &[u8], reply: &mut Pieces) -> Next {
    match proof.on_client_final(body) {
        Ok((_, message)) => {
            reply.own(|out| backend::push_auth_sasl_final(out, &message));
            Next::Step(LoginStep::Done(asked.logged_in(reply)))
        }
        Err(_) => Next::Step(asked.refused()),
    }
}

impl Asked {
    fn logged_in(self, reply: &mut Pieces) -> LoggedIn {
        reply.own(backend::push_auth_ok);
        let Self { user, database, parameters, version } = self;
        LoggedIn { user, database, parameters, version, rest: Vec::new() }
    }

    fn refused(&self) -> LoginStep {
        LoginStep::Refused(Refusal::Auth, Complaint::login_failed(self.user.as_bytes()))
    }
}

/// `replication` is a boolean or "database".
fn wants_replication(value: &[u8]) -> bool {
    let no: [&[u8]; 5] = [b"false", b"off", b"no", b"0", b""];
    !no.iter().any(|no| value.eq_ignore_ascii_case(no))
}

fn refused_startup(error: &StartupError) -> LoginStep {
    let complaint = match error {
        StartupError::UnsupportedVersion { .. } => Complaint::protocol_version(error),
        _ => Complaint::startup_packet(error),
    };
    LoginStep::Refused(Refusal::Startup, complaint)
}

fn wrong_message() -> LoginStep {
    let complaint = Complaint::startup_packet("expected a password response");
    LoginStep::Refused(Refusal::Startup, complaint)
}
