//! Dialing: a connection that is being made, and what its failures mean.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::net::{TcpStream, UnixStream};
use socket2::SockRef;

use tidegate_config::TargetSession;
use tidegate_pool_core::retry::{DialFailure, FailureKind};
use tidegate_session::server_login::LoginFailure;
use tidegate_session::tls_request::TlsFailure;
use tidegate_wire::sqlstate::SqlState;

use crate::channel::Socket;
use crate::listener::set_tcp_options;
use crate::resolver::Target;
use crate::tls::Opening;
use crate::tls::connector::NameError;
use crate::tls::failure::HandshakeError;
use crate::world::World;

/// Where connections to PostgreSQL are made.
#[derive(Debug, Clone)]
pub(crate) enum Network {
    Kernel,
    Played(Arc<dyn World>),
}

impl Network {
    /// Begins to connect.
    pub(crate) fn connect(&self, target: &Target) -> io::Result<Socket> {
        match self {
            Self::Kernel => connect(target),
            Self::Played(world) => Ok(Socket::Played(world.connect(target)?)),
        }
    }
}

/// Begins to connect. Whether it succeeds is known when the socket becomes writable.
fn connect(target: &Target) -> io::Result<Socket> {
    match target {
        Target::Tcp { address, .. } => {
            let stream = TcpStream::connect(*address)?;
            set_tcp_options(&SockRef::from(&stream))?;
            Ok(Socket::Tcp(stream))
        }
        Target::Unix(path) => Ok(Socket::Unix(UnixStream::connect(path)?)),
    }
}

/// The name has no address.
pub(crate) fn unresolved(cause: &str) -> DialFailure {
    transient(cause)
}

/// Nobody answers at the address.
pub(crate) fn unreachable(target: &Target, error: &io::Error) -> DialFailure {
    transient(&target.unreachable(error))
}

/// Its server is not what the settings ask for.
pub(crate) fn misfit(target: &Target, misfit: &str, wanted: TargetSession) -> DialFailure {
    transient(&format!("{target}: {misfit}, and target_session_attrs is {wanted}"))
}

/// It took too long.
pub(crate) fn timed_out(target: &Target, is_connected: bool, limit: Duration) -> DialFailure {
    let what = if is_connected { "the login was not answered" } else { "no connection" };
    transient(&format!("{target}: {what} within {limit:?}"))
}

/// The connection ended before the login did.
pub(crate) fn ended(
    target: &Target,
    is_connected: bool,
    broken: Option<io::ErrorKind>,
) -> DialFailure {
    match broken {
        Some(io::ErrorKind::ConnectionRefused) => {
            transient(&format!("{target}: connection refused"))
        }
        Some(kind) => transient(&format!("{target}: {kind}")),
        None if is_connected => {
            transient(&format!("{target}: the connection was closed during the login"))
        }
        None => transient(&format!("{target}: the connection was closed at once")),
    }
}

/// The connection ended before the TLS handshake did.
pub(crate) fn ended_shaking(target: &Target, opening: Opening) -> DialFailure {
    let remedy = match opening {
        Opening::Direct => "; PostgreSQL before 17 takes no sslnegotiation=direct",
        Opening::Requested => "",
    };
    transient(&format!("{target}: the connection was closed during the TLS handshake{remedy}"))
}

/// The TLS handshake has failed. Certificates do not get right by themselves.
pub(crate) fn insecure(target: &Target, error: &HandshakeError) -> DialFailure {
    let kind = match error {
        HandshakeError::NotTls | HandshakeError::TooLong { .. } | HandshakeError::Broken(_) => {
            FailureKind::Transient
        }
        _ => FailureKind::Permanent,
    };
    let sqlstate = Some(SqlState::CANNOT_CONNECT);
    DialFailure { kind, sqlstate, cause: format!("{target}: no TLS: {error}").into() }
}

/// No certificate can be for the host.
pub(crate) fn unnamed(error: &NameError) -> DialFailure {
    not_secure(error.to_string().into())
}

/// Whether another host may do where this one has failed so. A wrong password or a missing database
/// is so everywhere, as in libpq, and a host that is full is waited for: one client that asks for
/// what is not there must not move all others.
pub(crate) fn is_of_the_host(failure: &DialFailure) -> bool {
    let is_about_tls = failure.sqlstate == Some(SqlState::CANNOT_CONNECT);
    failure.kind == FailureKind::Transient || is_about_tls
}

/// Something about TLS that waiting cannot help.
fn not_secure(cause: Arc<str>) -> DialFailure {
    let sqlstate = Some(SqlState::CANNOT_CONNECT);
    DialFailure { kind: FailureKind::Permanent, sqlstate, cause }
}

/// The upstream refused the login.
pub(crate) fn refused(failure: &LoginFailure) -> DialFailure {
    let cause = Arc::from(failure.to_string());
    match failure {
        LoginFailure::Refused(error) => {
            let kind = kind_of_refusal(error.sqlstate, &error.message);
            DialFailure { kind, sqlstate: Some(error.sqlstate), cause }
        }
        LoginFailure::ChannelBinding(_) | LoginFailure::Tls(TlsFailure::NotOffered) => {
            not_secure(cause)
        }
        LoginFailure::KeysDoNotFit { .. }
        | LoginFailure::NoPassword { .. }
        | LoginFailure::UnknownMethod(_) => DialFailure {
            kind: FailureKind::Permanent,
            sqlstate: Some(SqlState::INVALID_AUTHORIZATION_SPECIFICATION),
            cause,
        },
        _ => DialFailure { kind: FailureKind::Transient, sqlstate: None, cause },
    }
}

/// Whether it may be the parameters of the startup packet that were refused: unknown to this version,
/// not allowed to this role, or to whoever stands in between.
pub(crate) fn is_of_parameters(sqlstate: SqlState) -> bool {
    [
        SqlState::UNDEFINED_OBJECT,
        SqlState::INVALID_PARAMETER_VALUE,
        SqlState::INSUFFICIENT_PRIVILEGE,
        SqlState::PROTOCOL_VIOLATION,
        SqlState::FEATURE_NOT_SUPPORTED,
    ]
    .contains(&sqlstate)
}

fn transient(cause: &str) -> DialFailure {
    DialFailure { kind: FailureKind::Transient, sqlstate: None, cause: cause.into() }
}

/// Poolers refuse with codes of their own (08P01, XX000), so their words decide: PgBouncer 1.18 to
/// 1.25, Supavisor 1 and 2.
const FULL_WORDS: [&str; 6] = [
    "no more connections allowed",
    "client connections exceeded",
    "MaxClientsInSessionMode",
    "EMAXCONN",
    "max client connections reached",
    "max clients reached",
];
const PERMANENT_WORDS: [&str; 5] = [
    "no such database",
    "no such user",
    "password authentication failed",
    "Tenant or user not found",
    "unsupported startup parameter",
];

/// Whether trying again can help where PostgreSQL, or a pooler, has refused a login so.
pub fn kind_of_refusal(sqlstate: SqlState, message: &str) -> FailureKind {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if sqlstate == SqlState::TOO_MANY_CONNECTIONS || says(&FULL_WORDS) {
        return FailureKind::Full;
    }
    let is_permanent = match &sqlstate.class() {
        // Invalid authorization, invalid catalog name, syntax or access rule, data exception: the
        // server means what it says.
        b"28" | b"3D" | b"42" | b"22" => true,
        _ => says(&PERMANENT_WORDS),
    };
    if is_permanent { FailureKind::Permanent } else { FailureKind::Transient }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let cases = [
            ("53300", "sorry, too many clients already", FailureKind::Full),
            ("08P01", "no more connections allowed (max_client_conn)", FailureKind::Full),
            ("XX000", "MaxClientsInSessionMode: max clients reached", FailureKind::Full),
            ("28P01", "password authentication failed for user \"a\"", FailureKind::Permanent),
            ("28000", "role \"a\" is not permitted to log in", FailureKind::Permanent),
            ("3D000", "database \"a\" does not exist", FailureKind::Permanent),
            ("08P01", "no such database: a", FailureKind::Permanent),
            ("42501", "permission denied for database \"a\"", FailureKind::Permanent),
            ("57P03", "the database system is starting up", FailureKind::Transient),
            ("08P01", "server login has been failing", FailureKind::Transient),
        ];
        for (code, message, expected) in cases {
            let sqlstate = SqlState::from_bytes(code.as_bytes()).expect("five characters");
            assert_eq!(kind_of_refusal(sqlstate, message), expected, "{message}");
        }
    }
}
