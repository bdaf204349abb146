//! The control plane's own connection to the upstream.
//!
//! There is one, for the census and for looking up users. It takes a slot of the budget like any
//! other connection and keeps it, so that it can come back when everything is full. When it is
//! lost it is made again.

use std::sync::Arc;
use std::time::Duration;

use tidegate_budget::budget::Purpose;
use tidegate_budget::slot::Slot;
use tidegate_config::Config;
use tidegate_proxy::resolver::Target;
use tidegate_proxy::shared::{Kind, Shared};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, watch};
use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation};
use tokio_postgres::{Client, NoTls};

use crate::secure::Secured;

/// The pause before it connects again. Its failure is not a client's.
const RECONNECT_PAUSE: Duration = Duration::from_secs(2);

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LinkError {
    /// The upstream could not be reached, or the budget denied the slot.
    #[error("{0}")]
    Connect(String),
    /// It is not needed any more.
    #[error("the upstream is a pooler, to which the control plane keeps no connection")]
    Ended,
    /// PostgreSQL refused.
    #[error("{0}")]
    Refused(String),
}

/// PostgreSQL's words, with their code.
pub(crate) fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} (SQLSTATE {})", error.message(), error.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

#[derive(Debug, Clone)]
enum State {
    Connecting,
    Up(Arc<Client>),
    Failed(LinkError),
}

/// The connection, for whoever has a question.
#[derive(Clone)]
pub struct Link {
    state: watch::Receiver<State>,
    give_up: Arc<Notify>,
}

impl Link {
    /// Starts to connect. `for_lookups`: it is needed even when the upstream is a pooler.
    pub fn start(shared: Arc<Shared>, for_lookups: bool) -> Self {
        let (report, state) = watch::channel(State::Connecting);
        let give_up = Arc::new(Notify::new());
        tokio::spawn(keep(shared, report, give_up.clone(), for_lookups));
        Self { state, give_up }
    }

    /// The connection, or why there is none, once either is known.
    ///
    /// # Errors
    /// [`LinkError`]; it is tried again all the time.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn settled(&mut self) -> Result<Arc<Client>, LinkError> {
        let settled = self.state.wait_for(|state| !matches!(state, State::Connecting)).await;
        match settled.map(|state| state.clone()) {
            Ok(State::Up(client)) => Ok(client),
            Ok(State::Failed(error)) => Err(error),
            Ok(State::Connecting) | Err(_) => Err(LinkError::Ended),
        }
    }

    /// Waits until something else is known than was at the last look.
    pub async fn changed(&mut self) {
        // It fails when the connection is given up for good, and then nothing will change.
        if self.state.changed().await.is_err() {
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }

    /// The connection does not answer: it is closed and made again.
    pub fn give_up(&self, client: &Arc<Client>) {
        let is_the_same = match &*self.state.borrow() {
            State::Up(current) => Arc::ptr_eq(current, client),
            State::Connecting | State::Failed(_) => false,
        };
        if is_the_same {
            self.give_up.notify_one();
        }
    }
}

async fn keep(
    shared: Arc<Shared>,
    report: watch::Sender<State>,
    give_up: Arc<Notify>,
    for_lookups: bool,
) {
    let mut slot = None;
    while for_lookups || shared.kind() != Kind::Pooler {
        match connect(&shared, &mut slot).await {
            Ok((client, mut connection)) => {
                report.send_replace(State::Up(Arc::new(client)));
                tokio::select! {
                    _ = &mut connection => {}
                    () = give_up.notified() => connection.abort(),
                    () = not_needed(&shared, for_lookups) => connection.abort(),
                }
                report.send_replace(State::Connecting);
            }
            Err(error) => {
                report.send_replace(State::Failed(error));
            }
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
    let now = shared.clock.now();
    shared.with_pools(|pools| {
        drop(slot);
        pools.budget_changed(now);
    });
}

async fn not_needed(shared: &Shared, for_lookups: bool) {
    let mut ticks = tokio::time::interval(RECONNECT_PAUSE);
    while for_lookups || shared.kind() != Kind::Pooler {
        ticks.tick().await;
    }
}

type Connection = tokio::task::JoinHandle<()>;

async fn connect(
    shared: &Arc<Shared>,
    slot: &mut Option<Slot>,
) -> Result<(Client, Connection), LinkError> {
    let config = &shared.config;
    if slot.is_none() {
        let database = Arc::from(config.upstream.database.as_str());
        let user = Arc::from(config.upstream.user.as_str());
        let now = shared.clock.now();
        let taken = shared
            .with_pools(|pools| pools.budget_mut().take(&database, &user, Purpose::Control, now));
        *slot = Some(taken.map_err(|denied| LinkError::Connect(denied.to_string()))?);
    }
    let target = shared.resolver.target().map_err(LinkError::Connect)?;
    let deadline = config.timeouts.connect;
    let login = login(config);
    let connecting = async {
        let failed = |error: std::io::Error| LinkError::Connect(target.unreachable(&error));
        let refused = |error: tokio_postgres::Error| LinkError::Refused(words(&error));
        match &target {
            Target::Tcp { address, host } => {
                let stream = TcpStream::connect(address).await.map_err(failed)?;
                stream.set_nodelay(true).map_err(failed)?;
                match shared.connector() {
                    Some(connector) => {
                        let tls = Secured { connector, host: host.clone() };
                        up(login.connect_raw(stream, tls).await.map_err(refused)?)
                    }
                    None => up(login.connect_raw(stream, NoTls).await.map_err(refused)?),
                }
            }
            Target::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(failed)?;
                let mut login = login.clone();
                login.ssl_mode(SslMode::Disable);
                up(login.connect_raw(stream, NoTls).await.map_err(refused)?)
            }
        }
    };
    let timed_out = |_| LinkError::Connect(format!("{target}: no answer within {deadline:?}"));
    let result = tokio::time::timeout(deadline, connecting).await.map_err(timed_out)?;
    if result.is_err() {
        shared.resolver.failed();
    }
    result
}

/// The connection lives in a task of its own.
fn up<S, T>(
    (client, connection): (Client, tokio_postgres::Connection<S, T>),
) -> Result<(Client, Connection), LinkError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Its end is seen by whoever uses the client.
    Ok((client, tokio::spawn(async { drop(connection.await) })))
}

fn login(config: &Config) -> tokio_postgres::Config {
    let upstream = &config.upstream;
    let mut login = tokio_postgres::Config::new();
    login.user(&upstream.user).dbname(&upstream.database).application_name("tidegate census");
    login.ssl_mode(match upstream.tls.mode {
        tidegate_config::SslMode::Disable => SslMode::Disable,
        tidegate_config::SslMode::Allow | tidegate_config::SslMode::Prefer => SslMode::Prefer,
        _ => SslMode::Require,
    });
    login.ssl_negotiation(match upstream.tls.negotiation {
        tidegate_config::Negotiation::Postgres => SslNegotiation::Postgres,
        tidegate_config::Negotiation::Direct => SslNegotiation::Direct,
    });
    login.channel_binding(match upstream.tls.channel_binding {
        tidegate_config::ChannelBinding::Disable => ChannelBinding::Disable,
        tidegate_config::ChannelBinding::Prefer => ChannelBinding::Prefer,
        tidegate_config::ChannelBinding::Require => ChannelBinding::Require,
    });
    if let Some(password) = &upstream.password {
        login.password(password.expose());
    }
    login
}
