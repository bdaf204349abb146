//! The control plane's own connection to the upstream.
//!
//! There is one, for the census and for looking up users. It takes a slot of the budget like any
//! other connection and keeps it, so that it can come back when everything is full. When it is
//! lost it is made again.

use std::sync::Arc;
use std::time::Duration;

use tidegate_budget::budget::Purpose;
use tidegate_budget::slot::Slot;
use tidegate_config::TargetSession;
use tidegate_proxy::resolver::{Round, Target};
use tidegate_proxy::shared::{Kind, Shared};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::open::{self, OpenError, Opened};

/// The pause before it connects again. Its failure is not a client's.
const RECONNECT_PAUSE: Duration = Duration::from_secs(2);

/// To say goodbye takes a write. PostgreSQL closes then, or the kernel does when we exit.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LinkError {
    /// The upstream could not be reached.
    #[error("{0}")]
    Connect(String),
    /// The budget has no slot for it.
    #[error("{0}")]
    Denied(String),
    /// It is not needed any more.
    #[error("the control plane needs no connection to the upstream any more")]
    Ended,
    /// PostgreSQL refused, as it will at any other of its hosts.
    #[error("{0}")]
    Refused(String),
    /// The login came to nothing otherwise.
    #[error("{0}")]
    Unfinished(String),
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
    stop: Arc<Notify>,
}

impl Link {
    /// Starts to connect. `for_lookups`: it is needed even when the upstream is a pooler.
    pub fn start(shared: Arc<Shared>, for_lookups: bool) -> Self {
        let (report, state) = watch::channel(State::Connecting);
        let (give_up, stop) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        tokio::spawn(keep(shared, report, give_up.clone(), stop.clone(), for_lookups));
        Self { state, give_up, stop }
    }

    /// It is not needed any more: the connection is closed, and its slot is free afterwards. Whoever
    /// has asked something must have been stopped before.
    pub fn stop(&self) {
        self.stop.notify_one();
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
    stop: Arc<Notify>,
    for_lookups: bool,
) {
    let mut slot = None;
    while for_lookups || shared.kind() != Kind::Pooler {
        match connect(&shared, &mut slot).await {
            Ok((client, mut connection, target)) => {
                report.send_replace(State::Up(Arc::new(client)));
                tokio::select! {
                    _ = &mut connection => {}
                    () = give_up.notified() => connection.abort(),
                    () = not_needed(&shared, for_lookups) => connection.abort(),
                    () = has_moved(&shared, &target) => connection.abort(),
                    () = stop.notified() => {
                        report.send_replace(State::Failed(LinkError::Ended)); // The client goes.
                        let _ = tokio::time::timeout(GOODBYE_MAX, &mut connection).await;
                        break;
                    }
                }
                report.send_replace(State::Connecting);
            }
            Err(error) => {
                report.send_replace(State::Failed(error));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RECONNECT_PAUSE) => {}
            () = stop.notified() => break,
        }
    }
    let now = shared.clock.now();
    shared.with_pools(|pools| {
        drop(slot);
        pools.budget_mut().control_gives_up();
        pools.budget_changed(now);
    });
}

async fn not_needed(shared: &Shared, for_lookups: bool) {
    let mut ticks = tokio::time::interval(RECONNECT_PAUSE);
    while for_lookups || shared.kind() != Kind::Pooler {
        ticks.tick().await;
    }
}

/// Servers were had at another host since: what this one says of itself is of no interest any more.
async fn has_moved(shared: &Shared, target: &Target) {
    let mut ticks = tokio::time::interval(RECONNECT_PAUSE);
    while !shared.resolver.has_moved_from(target) {
        ticks.tick().await;
    }
}

/// Connects to the first host that will do.
async fn connect(
    shared: &Arc<Shared>,
    slot: &mut Option<Slot>,
) -> Result<(Client, JoinHandle<()>, Target), LinkError> {
    let config = shared.config();
    if slot.is_none() {
        let database = Arc::from(config.upstream.database.as_str());
        let user = Arc::from(config.upstream.user.as_str());
        let now = shared.clock.now();
        let taken = shared
            .with_pools(|pools| pools.budget_mut().take(&database, &user, Purpose::Control, now));
        *slot = Some(taken.map_err(|denied| LinkError::Denied(denied.to_string()))?);
    }
    // Servers that are had meanwhile begin the round anew, so its end is counted as well.
    let mut attempts_left = shared.resolver.addresses();
    loop {
        let target = shared.resolver.target().map_err(LinkError::Connect)?;
        attempts_left = attempts_left.saturating_sub(1);
        match connect_to(shared, &target).await {
            Ok((client, connection)) => {
                shared.host_works(&target);
                return Ok((client, connection, target));
            }
            Err(LinkError::Connect(cause)) => {
                match shared.resolver.failed(&target, &cause.as_str().into()) {
                    Round::GoesOn if attempts_left > 0 => {}
                    Round::GoesOn => return Err(LinkError::Connect(cause)),
                    Round::Over(causes) => return Err(LinkError::Connect(causes.to_string())),
                }
            }
            // The next attempt is made elsewhere, where there is another host.
            Err(LinkError::Unfinished(cause)) => {
                shared.resolver.failed(&target, &cause.as_str().into());
                return Err(LinkError::Unfinished(cause));
            }
            Err(error) => return Err(error),
        }
    }
}

async fn connect_to(
    shared: &Shared,
    target: &Target,
) -> Result<(Client, JoinHandle<()>), LinkError> {
    let config = shared.config();
    let upstream = &config.upstream;
    let deadline = config.timeouts.connect;
    let connecting = async {
        let opened = open::open(upstream, shared.connector(), target, "tidegate census").await;
        let Opened { client, connection, .. } = opened.map_err(|error| match error {
            OpenError::Unreachable(cause) => LinkError::Connect(cause),
            OpenError::Refused(cause) => LinkError::Refused(cause),
            OpenError::Unfinished(cause) => LinkError::Unfinished(cause),
        })?;
        if upstream.target != TargetSession::Any
            && let Some(misfit) = misfit(&client, upstream.target).await?
        {
            connection.abort();
            shared.host_is_no_use(target);
            let wanted = upstream.target;
            let cause = format!("{target}: {misfit}, and target_session_attrs is {wanted}");
            return Err(LinkError::Connect(cause));
        }
        Ok((client, connection))
    };
    let timed_out = |_| LinkError::Connect(format!("{target}: no answer within {deadline:?}"));
    tokio::time::timeout(deadline, connecting).await.map_err(timed_out)?
}

const ROLE_SQL: &str = "SELECT pg_catalog.pg_is_in_recovery(), \
                        pg_catalog.current_setting('default_transaction_read_only')";

/// Why a server is not what the settings ask for, if it is not.
async fn misfit(client: &Client, wanted: TargetSession) -> Result<Option<&'static str>, LinkError> {
    let failed = |error| LinkError::Connect(open::words(&error));
    let messages = client.simple_query(ROLE_SQL).await.map_err(failed)?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let is = |column, word| row.and_then(|row| row.get(column)) == Some(word);
    Ok(wanted.misfit(is(0, "t"), is(1, "on")))
}
