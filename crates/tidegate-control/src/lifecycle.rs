//! `POST /api/v1/reload` and `POST /api/v1/drain`: other settings, and the end.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::StatusCode;
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

async fn reload(Permitted(lifecycle): Permitted) -> Response {
    match lifecycle.reloader.reload_aside().await {
        Ok(reloaded) => Json(reload_answer(&reloaded)).into_response(),
        Err(ReloadError::Bug) => {
            let code = StatusCode::INTERNAL_SERVER_ERROR;
            No::new(code, "bug", ReloadError::Bug.to_string()).into_response()
        }
        Err(error) => refused(&error),
    }
}

async fn drain(State(shared): State<Arc<Shared>>, Permitted(lifecycle): Permitted) -> Response {
    let (was_draining, clients) = (shared.is_draining(), shared.clients());
    begin_drain(&shared, &lifecycle);
    Json(json!({
        "schema": SCHEMA,
        "operation": "drain",
        "was_draining": was_draining,
        "clients": clients,
        "drain_seconds": shared.config().timeouts.drain.as_secs_f64(),
    }))
    .into_response()
}

/// Drains, whoever may have asked.
pub(crate) fn begin_drain(shared: &Shared, lifecycle: &Lifecycle) {
    // From here on /readyz says no, also to whoever asks before the process goes on.
    shared.drain();
    lifecycle.drain.notify_one();
    tracing::info!(operation = "drain", "an operator has spoken");
}

/// Whoever asks may, and has said nothing that would have to be understood.
struct Permitted(Lifecycle);

impl FromRequest<Arc<Shared>> for Permitted {
    type Rejection = Response;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        may_operate(shared, &parts.headers).map_err(IntoResponse::into_response)?;
        let lifecycle = Extension::from_request_parts(&mut parts, shared).await;
        let Extension(lifecycle) = lifecycle.map_err(IntoResponse::into_response)?;
        let has_query = parts.uri.query().is_some();
        let body = Bytes::from_request(Request::from_parts(parts, body), shared).await;
        let body = body.map_err(IntoResponse::into_response)?;
        // What is not understood must not be taken for something else.
        if has_query || !matches!(&body[..], b"" | b"{}") {
            let no = No::request("body", "nothing is to be said here: the body is empty or {}");
            return Err(no.into_response());
        }
        Ok(Self(lifecycle))
    }
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
