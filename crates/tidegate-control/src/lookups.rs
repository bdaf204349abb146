//! Look-ups: who a user is that stands in no settings, asked of the database by `auth.query`.
//!
//! They go over the control plane's own connection ([`crate::link`]), whose slot is taken for good:
//! a budget that is full of clients' servers never keeps a client from logging in. A login waits
//! meanwhile, within its own time; no worker does.

use std::sync::Arc;
use std::time::Duration;

use tidegate_proxy::shared::Shared;
use tidegate_wire::scram::Verifier;
use tokio::sync::mpsc;
use tokio_postgres::{Client, Statement};

use crate::link::{self, Link};
use crate::open;

/// The answer may take this long; it is one look at an index. A connection that takes longer is
/// made anew.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Why nothing was found out.
#[derive(Debug, Clone, thiserror::Error)]
enum LookupError {
    #[error("{0}")]
    Link(#[from] link::LinkError),
    #[error("{0}")]
    Refused(String),
    #[error("no answer within {ANSWER_MAX:?}")]
    TimedOut,
    #[error("auth.query must yield two columns, the name and the verifier, both text")]
    Columns,
    #[error("what auth.query yields for a user is no SCRAM-SHA-256 verifier")]
    NoVerifier,
}

/// Answers what the workers ask, one user after the other: each answer takes well below a
/// millisecond, and a burst of logins is mostly of the same few users, who are asked for once.
pub async fn run(shared: Arc<Shared>, mut link: Link, query: String) {
    // A name is asked for once at a time, and no more clients can log in at once than there may be
    // connections that log in: the queue is bounded by those.
    let (ask, mut asked) = mpsc::unbounded_channel();
    shared.look_users_up_by(move |user| {
        let _ = ask.send(user.to_owned()); // The process ends when this task does.
    });
    let mut prepared: Option<(Arc<Client>, Statement)> = None;
    let mut last_failure = String::new();
    while let Some(user) = asked.recv().await {
        let found = look_up(&mut link, &mut prepared, &query, &user).await;
        let answer = match found {
            Ok(found) => {
                last_failure.clear();
                Ok(found)
            }
            Err(error) => {
                if last_failure != error.to_string() {
                    tracing::warn!(user, "can't look up a user: {error}");
                    last_failure = error.to_string();
                }
                if let Some((client, _)) = prepared.take()
                    && matches!(error, LookupError::TimedOut)
                {
                    link.give_up(&client);
                }
                Err(outwards(&error).into())
            }
        };
        shared.user_found(&user, answer);
    }
}

/// What whoever connects may know of a failure: nothing of the user.
fn outwards(error: &LookupError) -> &'static str {
    match error {
        LookupError::Link(_) => "the upstream can't be reached",
        LookupError::TimedOut => "the upstream does not answer",
        LookupError::Columns | LookupError::NoVerifier | LookupError::Refused(_) => {
            "auth.query failed"
        }
    }
}

async fn look_up(
    link: &mut Link,
    prepared: &mut Option<(Arc<Client>, Statement)>,
    query: &str,
    user: &str,
) -> Result<Option<Verifier>, LookupError> {
    let asking = async {
        let client = link.settled().await?;
        let refused = |error: tokio_postgres::Error| LookupError::Refused(open::words(&error));
        let statement = match prepared {
            Some((of, statement)) if Arc::ptr_eq(of, &client) => statement.clone(),
            _ => {
                let statement = client.prepare(query).await.map_err(refused)?;
                *prepared = Some((client.clone(), statement.clone()));
                statement
            }
        };
        let row = client.query_opt(&statement, &[&user]).await.map_err(refused)?;
        let Some(row) = row else { return Ok(None) };
        let verifier: Option<&str> = row.try_get(1).map_err(|_| LookupError::Columns)?;
        let verifier = verifier.map(Verifier::parse).transpose();
        verifier.map_err(|_| LookupError::NoVerifier)
    };
    tokio::time::timeout(ANSWER_MAX, asking).await.map_err(|_| LookupError::TimedOut)?
}
