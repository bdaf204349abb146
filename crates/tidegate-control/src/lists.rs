//! Who is connected, over HTTP: `/api/v1/clients`, `/api/v1/servers`, `/api/v1/holders`.
//!
//! Clients are told by their workers, servers by the pools; what is known of both is joined here. An
//! answer has as many rows as `?limit=` says, those that hold a server or wait for one first, and says
//! how many there are.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use tidegate_pool_core::pools::operating::ServerView;
use tidegate_pool_core::server::{ServerId, State as ServerState};
use tidegate_proxy::roster::{AskForList, ClientRow, Found, ROWS_MAX, Whom};
use tidegate_proxy::shared::Shared;

use crate::admission::{No, Reach, may_look};
use crate::gathering::gather;

/// Some screens full.
const ROWS: usize = 100;

/// A request, as workers see it.
#[derive(Clone)]
pub(crate) struct Asker(pub(crate) UnboundedSender<Found>);

impl AskForList for Asker {
    fn waits(&self) -> bool {
        !self.0.is_closed()
    }

    fn told(self: Box<Self>, found: Found) {
        let _ = self.0.send(found); // Nobody waits any more.
    }
}

#[derive(Debug, Clone, Copy)]
enum List {
    Clients,
    Holders,
    Servers,
}

impl List {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Holders => "holders",
            Self::Servers => "servers",
        }
    }
}

/// The routes of all lists.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    [List::Clients, List::Holders, List::Servers].into_iter().fold(Router::new(), |router, list| {
        let handler = async move |State(shared): State<Arc<Shared>>,
                                  Extension(reach): Extension<Reach>,
                                  uri: Uri,
                                  headers: HeaderMap| {
            match answer(&shared, list, reach, &uri, &headers).await {
                Ok(answer) => Json(answer).into_response(),
                Err(no) => no.into_response(),
            }
        };
        router.route(&format!("/api/v1/{}", list.as_str()), get(handler))
    })
}

async fn answer(
    shared: &Shared,
    list: List,
    reach: Reach,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Value, No> {
    may_look(shared, reach, headers)?;
    let rows_max = limit(uri.query()).map_err(|detail| No::request("query", detail))?;
    let whom = match list {
        List::Clients => Whom::Clients,
        List::Holders | List::Servers => Whom::Holders,
    };
    // Of servers each may have a client that is to be shown beside it.
    let asked = if matches!(list, List::Clients) { rows_max } else { ROWS_MAX };
    let found = gather(shared.workers(), |sender| {
        shared.list(whom, asked, Asker(sender));
    });
    let found = found.await;
    let silent = shared.workers() - found.len();
    let now = shared.clock.now();
    let servers = shared.with_pools_quietly(|pools| pools.servers(now));
    let (rows, total) = match list {
        List::Clients => clients(found, &servers, rows_max),
        List::Holders => holders(&found, &servers),
        List::Servers => (all_servers(&found, &servers), servers.len()),
    };
    let rows: Vec<Value> = rows.into_iter().take(rows_max).collect();
    Ok(json!({
        "schema": format!("tidegate.{}.v1", list.as_str()),
        "shown": rows.len(),
        "total": total,
        "silent_workers": silent,
        list.as_str(): rows,
    }))
}

/// How many rows are asked for.
pub(crate) fn limit(query: Option<&str>) -> Result<usize, String> {
    let Some(query) = query else { return Ok(ROWS) };
    let number = query.strip_prefix("limit=").and_then(|digits| digits.parse().ok());
    number
        .filter(|limit| (1..=ROWS_MAX).contains(limit))
        .ok_or_else(|| format!("only ?limit= is understood here, from 1 to {ROWS_MAX}"))
}

fn clients(found: Vec<Found>, servers: &[ServerView], rows_max: usize) -> (Vec<Value>, usize) {
    let total = found.iter().map(|found| found.total).sum();
    let mut rows: Vec<ClientRow> = found.into_iter().flat_map(|found| found.clients).collect();
    // Each worker's rows are in order; all together they are not.
    rows.sort_by_key(|row| {
        let age = row.in_transaction.unwrap_or(row.in_state);
        (row.server.is_none(), row.state.as_str() != "waiting", std::cmp::Reverse(age))
    });
    rows.truncate(rows_max);
    let known: BTreeMap<ServerId, &ServerView> = servers.iter().map(|one| (one.id, one)).collect();
    let rows =
        rows.iter().map(|row| client(row, row.server.and_then(|id| known.get(&id).copied())));
    (rows.collect(), total)
}

/// Those that hold a server, the longest first.
fn holders(found: &[Found], servers: &[ServerView]) -> (Vec<Value>, usize) {
    let clients = by_server(found);
    let mut held: Vec<&ServerView> =
        servers.iter().filter(|server| matches!(server.state, ServerState::Leased(_))).collect();
    held.sort_by_key(|server| std::cmp::Reverse(server.in_state));
    let total = held.len();
    let rows = held.into_iter().map(|server| {
        let mut row = match clients.get(&server.id) {
            Some(row) => client(row, Some(server)),
            None => nobody(server),
        };
        row["held_seconds"] = seconds(server.in_state);
        row["listeners"] = listeners(found, server.id);
        row
    });
    (rows.collect(), total)
}

fn all_servers(found: &[Found], servers: &[ServerView]) -> Vec<Value> {
    let clients = by_server(found);
    let row = |server: &ServerView| {
        let client = clients.get(&server.id);
        json!({
            "server": server.id.number(),
            "pid": pid(server),
            "database": &*server.key.database,
            "user": &*server.key.user,
            "state": server.state.as_str(),
            "state_seconds": seconds(server.in_state),
            "age_seconds": seconds(server.age),
            "retired": server.is_retired,
            "client": client.map(|row| row.id.to_string()),
            "application": client.map(|row| row.application.clone()),
            "address": client.and_then(|row| row.address).map(|address| address.ip().to_string()),
            "listeners": listeners(found, server.id),
        })
    };
    servers.iter().map(row).collect()
}

pub(crate) fn by_server(found: &[Found]) -> BTreeMap<ServerId, &ClientRow> {
    let clients = found.iter().flat_map(|found| &found.clients);
    clients.filter_map(|row| Some((row.server?, row))).collect()
}

/// One client, with the server that it has.
pub(crate) fn client(row: &ClientRow, server: Option<&ServerView>) -> Value {
    json!({
        "client": row.id.to_string(),
        "port": row.port.as_str(),
        "database": &*row.database,
        "user": &*row.user,
        "application": row.application,
        "address": row.address.map(|address| address.ip().to_string()),
        "address_port": row.address.as_ref().map(SocketAddr::port),
        "state": row.state.as_str(),
        "state_seconds": seconds(row.in_state),
        "transaction_seconds": row.in_transaction.map(seconds),
        "pins": row.pins,
        "server": row.server.map(ServerId::number),
        "server_pid": server.map(pid),
    })
}

/// A server that no client has: it listens for several, or is between two hands.
fn nobody(server: &ServerView) -> Value {
    json!({
        "client": null,
        "port": null,
        "database": &*server.key.database,
        "user": &*server.key.user,
        "application": null,
        "address": null,
        "address_port": null,
        "state": null,
        "state_seconds": null,
        "transaction_seconds": null,
        "pins": [],
        "server": server.id.number(),
        "server_pid": pid(server),
    })
}

/// For how many clients a server listens; null where it does not.
fn listeners(found: &[Found], id: ServerId) -> Value {
    let mut all = found.iter().flat_map(|found| &found.listening);
    all.find(|row| row.server == id).map_or(Value::Null, |row| json!(row.clients))
}

/// Null while it logs in.
fn pid(server: &ServerView) -> Value {
    if server.pid == 0 { Value::Null } else { json!(server.pid) }
}

/// To the millisecond.
fn seconds(duration: Duration) -> Value {
    json!((duration.as_secs_f64() * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_of_rows_that_somebody_reads() {
        assert_eq!(limit(None), Ok(100));
        assert_eq!(limit(Some("limit=1")), Ok(1));
        assert_eq!(limit(Some("limit=1000")), Ok(1000));
        for query in ["limit=0", "limit=1001", "limit=", "limit=-1", "rows=3", ""] {
            assert!(limit(Some(query)).is_err(), "{query}");
        }
    }
}
