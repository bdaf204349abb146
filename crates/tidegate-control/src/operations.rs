//! What an operator may do over HTTP: pause, resume, reconnect.
//!
//! A request must bring the token of `listen.admin_token_file`, and come from no page in a browser.
//! What it is about stands in its body: nothing, or `{"database": "NAME"}`. Answers are JSON; those
//! that say no name the reason in a word (`error`) and in a sentence (`detail`).

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use tidegate_pool_core::pools::operating::{PauseError, Scope, Standing};
use tidegate_proxy::shared::Shared;

use crate::admission::{self, No, SCHEMA, may_operate};

/// What may be done to pools.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    Pause,
    Reconnect,
    Resume,
}

impl Operation {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Reconnect => "reconnect",
            Self::Resume => "resume",
        }
    }
}

/// The routes of all operations.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    [Operation::Pause, Operation::Reconnect, Operation::Resume].into_iter().fold(
        Router::new(),
        |router, operation| {
            let handler = async move |State(shared): State<Arc<Shared>>,
                                      uri: Uri,
                                      headers: HeaderMap,
                                      body: Bytes| {
                match operate(&shared, operation, &uri, &headers, &body) {
                    Ok(answer) => Json(answer).into_response(),
                    Err(no) => no.into_response(),
                }
            };
            let path = format!("/api/v1/{}", operation.as_str());
            router.route(&path, admission::operation(handler))
        },
    )
}

fn operate(
    shared: &Shared,
    operation: Operation,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, No> {
    may_operate(shared, headers)?;
    if uri.query().is_some() {
        let detail = "nothing may stand behind the path; the database stands in the body";
        return Err(No::new(StatusCode::BAD_REQUEST, "query", detail));
    }
    let scope = scope(body).map_err(|detail| No::new(StatusCode::BAD_REQUEST, "body", detail))?;
    let standing = carry_out(shared, operation, &scope)?;
    Ok(answer(operation, database(&scope), &standing))
}

fn database(scope: &Scope) -> Option<&str> {
    match scope {
        Scope::All => None,
        Scope::Database(name) => Some(name),
    }
}

/// Does it, whoever may have asked.
pub(crate) fn carry_out(
    shared: &Shared,
    operation: Operation,
    scope: &Scope,
) -> Result<Standing, No> {
    let database = database(scope);
    // A database may be paused before the first client of it comes.
    if !matches!(operation, Operation::Pause)
        && !shared.with_pools_quietly(|pools| pools.knows(scope))
    {
        let name = database.unwrap_or_default();
        let detail = format!("no client uses database {name:?}, and it is not paused");
        return Err(No::new(StatusCode::NOT_FOUND, "unknown_database", detail));
    }
    let standing = match operation {
        Operation::Pause => shared.pause(scope),
        Operation::Reconnect => Ok(shared.reconnect(scope)),
        Operation::Resume => shared.resume(scope),
    };
    let standing = standing.map_err(|error| {
        let detail = match error {
            PauseError::AllPaused => format!("{error}; resume everything"),
            _ => format!("{error}; resume some"),
        };
        No::new(StatusCode::CONFLICT, "conflict", detail)
    })?;
    tracing::info!(
        operation = operation.as_str(),
        database = database.unwrap_or("all"),
        "an operator has spoken"
    );
    Ok(standing)
}

/// What a request is about. What is not understood must not mean everything.
fn scope(body: &[u8]) -> Result<Scope, &'static str> {
    const FORM: &str = "the body is not {\"database\": \"NAME\"}; for everything it is empty or {}";
    if body.is_empty() {
        return Ok(Scope::All);
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return Err(FORM) };
    match (fields.len(), fields.get("database")) {
        (0, _) => Ok(Scope::All),
        (1, Some(Value::String(name))) if !name.is_empty() => {
            Ok(Scope::Database(name.as_str().into()))
        }
        _ => Err(FORM),
    }
}

fn answer(operation: Operation, database: Option<&str>, standing: &Standing) -> Value {
    let [session, transaction] = standing.leased;
    json!({
        "schema": SCHEMA,
        "operation": operation.as_str(),
        "database": database,
        "paused": standing.is_paused,
        "at_rest": standing.is_at_rest(),
        "servers": {
            "session": session,
            "transaction": transaction,
            "pinned": standing.pinned,
            "busy": standing.busy,
            "idle": standing.idle,
            "closing": standing.closing,
            "retired": standing.retired,
        },
        "waiting": standing.waiting,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_understood_means_everything() {
        for (body, wanted) in [
            ("", Some(Scope::All)),
            ("{}", Some(Scope::All)),
            (r#"{"database":"app"}"#, Some(Scope::Database("app".into()))),
            (r#"{"database":""}"#, None),
            (r#"{"database":null}"#, None),
            (r#"{"databas":"app"}"#, None),
            (r#"{"database":"app","user":"x"}"#, None),
            ("[]", None),
            ("database=app", None),
        ] {
            assert_eq!(scope(body.as_bytes()).ok(), wanted, "{body}");
        }
    }
}
