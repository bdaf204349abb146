//! `POST /api/v1/reload` and `POST /api/v1/drain`: other settings, and the end.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};
use tokio::sync::Notify;

use tidegate_config::{Change, Problem};
use tidegate_proxy::shared::Shared;

use crate::admission::{No, SCHEMA, may_operate, operation};
use crate::reload::{ReloadError, Reloaded, Reloader, applies};

/// What is done by the process around the gate.
#[derive(Clone)]
pub struct Lifecycle {
    /// Who reloads the settings.
    pub reloader: Arc<Reloader>,
    /// Whoever ends the process waits for this.
    pub drain: Arc<Notify>,
}

/// The routes.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/reload", operation(reload))
        .route("/api/v1/drain", operation(drain))
}

async fn reload(
    State(shared): State<Arc<Shared>>,
    Extension(lifecycle): Extension<Lifecycle>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(no) = may(&shared, &uri, &headers, &body) {
        return no.into_response();
    }
    let reloader = lifecycle.reloader;
    // It reads files, and the runtime has one thread.
    match tokio::task::spawn_blocking(move || reloader.reload()).await {
        Ok(Ok(reloaded)) => Json(reload_answer(&reloaded)).into_response(),
        Ok(Err(ReloadError::Bug)) | Err(_) => {
            let code = StatusCode::INTERNAL_SERVER_ERROR;
            No::new(code, "bug", ReloadError::Bug.to_string()).into_response()
        }
        Ok(Err(error)) => refused(&error),
    }
}

async fn drain(
    State(shared): State<Arc<Shared>>,
    Extension(lifecycle): Extension<Lifecycle>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(no) = may(&shared, &uri, &headers, &body) {
        return no.into_response();
    }
    let (was_draining, clients) = (shared.is_draining(), shared.clients());
    // From here on /readyz says no, also to whoever asks before the process goes on.
    shared.drain();
    lifecycle.drain.notify_one();
    tracing::info!(operation = "drain", "an operator has spoken");
    Json(json!({
        "schema": SCHEMA,
        "operation": "drain",
        "was_draining": was_draining,
        "clients": clients,
        "drain_seconds": shared.config().timeouts.drain.as_secs_f64(),
    }))
    .into_response()
}

fn may(shared: &Shared, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<(), No> {
    may_operate(shared, headers)?;
    // What is not understood must not be taken for something else.
    if uri.query().is_some() || !matches!(body, b"" | b"{}") {
        return Err(No::request("body", "nothing is to be said here: the body is empty or {}"));
    }
    Ok(())
}

fn reload_answer(reloaded: &Reloaded) -> Value {
    let change = |Change { setting, old, new, reload }: &Change| json!({ "setting": setting, "old": old, "new": new, "applies": applies(*reload) });
    let (now, later) = reloaded.counts();
    json!({
        "schema": SCHEMA,
        "operation": "reload",
        "now": now,
        "after_a_restart": later,
        "changes": reloaded.changes.iter().map(change).collect::<Vec<_>>(),
        "warnings": reloaded.warnings.iter().map(problem).collect::<Vec<_>>(),
    })
}

fn refused(error: &ReloadError) -> Response {
    let problems = error.problems();
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let body = json!({
        "schema": SCHEMA,
        "error": "settings",
        "detail": format!("nothing has changed; the settings have errors:\n{}", text.join("\n")),
        "problems": problems.iter().map(problem).collect::<Vec<_>>(),
    });
    (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
}

fn problem(problem: &Problem) -> Value {
    let place = problem.place.to_string();
    json!({
        "place": place.trim_end_matches(": "),
        "message": problem.message,
        "remedy": problem.remedy,
    })
}
