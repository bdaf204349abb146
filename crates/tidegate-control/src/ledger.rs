//! `GET /api/v1/ledger`: every connection of the database, ours or not, as of the last census.
//!
//! Those come first that others wait for, then those whose transaction lasts longest.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use tidegate_observe::ledger::Backend;
use tidegate_proxy::shared::Shared;

use crate::admission::{No, Reach, may_look};
use crate::lists::limit;

/// The route.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/api/v1/ledger", get(ledger))
}

async fn ledger(
    State(shared): State<Arc<Shared>>,
    Extension(reach): Extension<Reach>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<Value>, No> {
    may_look(&shared, reach, &headers)?;
    let rows_max = limit(uri.query()).map_err(|detail| No::request("query", detail))?;
    let Some(ledger) = shared.ledger() else {
        let detail = "no census has been taken: PostgreSQL could not be asked, upstream.census is \
                      off, or the upstream is a pooler";
        return Err(No::new(StatusCode::SERVICE_UNAVAILABLE, "no_census", detail));
    };
    let mut backends: Vec<&Backend> = ledger.backends.iter().collect();
    backends.sort_by(|a, b| rank(b).partial_cmp(&rank(a)).unwrap_or(std::cmp::Ordering::Equal));
    backends.truncate(rows_max);
    let now = shared.clock.now();
    let servers = shared.with_pools_quietly(|pools| pools.servers(now));
    let row = |backend: &Backend| {
        let server = servers.iter().find(|server| server.pid == backend.pid);
        let mut row = json!(backend);
        row["server"] = json!(server.map(|server| server.id.number()));
        row
    };
    Ok(Json(json!({
        "schema": "tidegate.ledger.v1",
        "age_seconds": now.since(ledger.taken).as_secs_f64(),
        "privileged": ledger.privileged,
        "shown": backends.len(),
        "total": ledger.backends.len(),
        "ledger": backends.into_iter().map(row).collect::<Vec<_>>(),
    })))
}

fn rank(backend: &Backend) -> (u32, bool, f64, f64) {
    (
        backend.blocks,
        backend.transaction_seconds.is_some(),
        backend.transaction_seconds.unwrap_or(0.0),
        backend.state_seconds.unwrap_or(0.0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_others_wait_for_comes_before_who_has_been_at_it_longest() {
        let backend = |blocks, transaction_seconds, state_seconds| Backend {
            state_seconds,
            transaction_seconds,
            blocks,
            ..Backend::default()
        };
        let all = [
            backend(1, Some(2.0), Some(1.0)),
            backend(0, Some(60.0), Some(1.0)),
            backend(0, Some(3.0), Some(1.0)),
            backend(0, None, Some(900.0)),
            backend(0, None, None),
        ];
        assert!(all.windows(2).all(|pair| rank(&pair[0]) > rank(&pair[1])));
    }
}
