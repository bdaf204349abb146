//! Opening one connection to the upstream as servers do: its address, its TLS, its login.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tidegate_config::{ChannelBinding, Negotiation, SslMode, Upstream};
use tidegate_pool_core::retry::FailureKind;
use tidegate_proxy::dial;
use tidegate_proxy::resolver::Target;
use tidegate_proxy::tls::connector::Connector;
use tidegate_wire::sqlstate::SqlState;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Connection, NoTls, config};

use crate::secure::Secured;

/// A connection that has logged in.
pub struct Opened {
    /// Who asks.
    pub client: Client,
    /// The task in which the connection lives. It ends with the client.
    pub connection: JoinHandle<()>,
    /// The port of our side; none on a Unix socket.
    pub local_port: Option<u16>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nobody answers at the address.
    #[error("{0}")]
    Unreachable(String),
    /// PostgreSQL refused the login, and will refuse it at any other of its hosts.
    #[error("{0}")]
    Refused(String),
    /// The login came to nothing otherwise: PostgreSQL is starting up, TLS has failed, the connection
    /// has ended.
    #[error("{0}")]
    Unfinished(String),
}

/// Opens a connection that PostgreSQL shows under the name of `application`.
///
/// # Errors
/// [`OpenError`].
///
/// # Cancel safety
/// The connection is closed.
pub async fn open(
    upstream: &Upstream,
    connector: Option<Arc<Connector>>,
    target: &Target,
    application: &str,
) -> Result<Opened, OpenError> {
    let mut login = login(upstream);
    login.application_name(application);
    let failed = |error: io::Error| OpenError::Unreachable(target.unreachable(&error));
    match target {
        Target::Tcp { address, host } => {
            let stream = TcpStream::connect(address).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            let local_port = Some(stream.local_addr().map_err(failed)?.port());
            let stream = Parting(stream);
            match connector {
                Some(connector) => {
                    let tls = Secured { connector, host: host.clone() };
                    let connected = login.connect_raw(stream, tls).await.map_err(unfinished)?;
                    Ok(opened(connected, local_port))
                }
                None => {
                    let connected = login.connect_raw(stream, NoTls).await.map_err(unfinished)?;
                    Ok(opened(connected, local_port))
                }
            }
        }
        Target::Unix(path) => {
            let stream = Parting(UnixStream::connect(path).await.map_err(failed)?);
            login.ssl_mode(config::SslMode::Disable);
            Ok(opened(login.connect_raw(stream, NoTls).await.map_err(unfinished)?, None))
        }
    }
}

fn unfinished(error: tokio_postgres::Error) -> OpenError {
    let kind = error.as_db_error().and_then(|error| {
        let sqlstate = SqlState::from_bytes(error.code().code().as_bytes())?;
        Some(dial::kind_of_refusal(sqlstate, error.message()))
    });
    match kind {
        Some(FailureKind::Full | FailureKind::Permanent) => OpenError::Refused(words(&error)),
        Some(FailureKind::Transient) | None => OpenError::Unfinished(words(&error)),
    }
}

/// A stream whose end is that of the backend behind it: once nothing more is to be said, it is read until
/// PostgreSQL has closed it, which it does when the process ends. The connection's task is over then, and
/// not as soon as the goodbye was sent.
struct Parting<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for Parting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Parting<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_shutdown(context))?;
        loop {
            let mut rest = [0; 256];
            let mut rest = ReadBuf::new(&mut rest);
            ready!(Pin::new(&mut self.0).poll_read(context, &mut rest))?;
            if rest.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

fn opened<S, T>((client, connection): (Client, Connection<S, T>), local_port: Option<u16>) -> Opened
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // How it ends is seen by whoever uses the client.
    let connection = tokio::spawn(async { drop(connection.await) });
    Opened { client, connection, local_port }
}

fn login(upstream: &Upstream) -> Config {
    let mut login = Config::new();
    login.user(&upstream.user).dbname(&upstream.database);
    login.ssl_mode(match upstream.tls.mode {
        SslMode::Disable => config::SslMode::Disable,
        SslMode::Allow | SslMode::Prefer => config::SslMode::Prefer,
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => config::SslMode::Require,
    });
    login.ssl_negotiation(match upstream.tls.negotiation {
        Negotiation::Postgres => config::SslNegotiation::Postgres,
        Negotiation::Direct => config::SslNegotiation::Direct,
    });
    login.channel_binding(match upstream.tls.channel_binding {
        ChannelBinding::Disable => config::ChannelBinding::Disable,
        ChannelBinding::Prefer => config::ChannelBinding::Prefer,
        ChannelBinding::Require => config::ChannelBinding::Require,
    });
    if let Some(password) = &upstream.password {
        login.password(password.expose());
    }
    login
}

/// PostgreSQL's words, with their code.
pub fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} (SQLSTATE {})", error.message(), error.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
