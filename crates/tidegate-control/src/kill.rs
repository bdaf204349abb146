//! `POST /api/v1/kill`: one client is closed, or one server with the client that has it.
//!
//! The body says which: `{"client": "17.4"}` and `{"server": 12}` name those that the lists show,
//! `{"pid": 4711}` a server by the pid of its backend.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};

use tidegate_pool_core::pools::operating::ServerView;
use tidegate_pool_core::server::State as ServerState;
use tidegate_proxy::roster::{ClientId, ClientRow, Killed};
use tidegate_proxy::shared::Shared;

use crate::admission::{No, SCHEMA, may_operate, operation};
use crate::gathering::gather;
use crate::lists::client;

/// A server that is on its way from one hand to another is looked for again so often; it arrives
/// within a turn of a worker.
const LOOKS_MAX: u32 = 5;

/// The pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// What is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Client(ClientId),
    /// By its number.
    Server(u64),
    /// By the pid of its backend.
    Pid(u32),
}

/// The route.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/api/v1/kill", operation(handle))
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match answer(&shared, &uri, &headers, &body).await {
        Ok(answer) => Json(answer).into_response(),
        Err(no) => no.into_response(),
    }
}

async fn answer(shared: &Shared, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<Value, No> {
    may_operate(shared, headers)?;
    if uri.query().is_some() {
        return Err(No::request("query", "what is to be closed stands in the body"));
    }
    let target = target(body).map_err(|detail| No::request("body", detail))?;
    match target {
        Target::Client(id) => kill_client(shared, id).await,
        Target::Server(number) => {
            kill_server(shared, &format!("server {number}"), |one| one.id.number() == number).await
        }
        Target::Pid(pid) => {
            kill_server(shared, &format!("server with pid {pid}"), |one| one.pid == pid).await
        }
    }
}

fn target(body: &[u8]) -> Result<Target, String> {
    const FORM: &str = "the body is one of {\"client\": \"17.4\"}, {\"server\": 12}, and \
                        {\"pid\": 4711}, as the lists show them";
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return Err(FORM.into()) };
    let mut fields = fields.iter();
    let target = match (fields.next(), fields.next()) {
        (Some((name, value)), None) => match name.as_str() {
            "client" => match value.as_str().map(str::parse) {
                Some(Ok(id)) => Some(Target::Client(id)),
                Some(Err(error)) => return Err(error.to_string()),
                None => None,
            },
            "server" => value.as_u64().map(Target::Server),
            // 0 is the pid of those that have none yet.
            "pid" => value
                .as_u64()
                .and_then(|pid| u32::try_from(pid).ok())
                .and_then(|pid| (pid > 0).then_some(Target::Pid(pid))),
            _ => None,
        },
        _ => None,
    };
    target.ok_or_else(|| FORM.into())
}

/// Closes a client, whoever may have asked.
pub(crate) async fn kill_client(shared: &Shared, id: ClientId) -> Result<Value, No> {
    let answers = gather(shared.workers(), |sender| {
        shared.kill_client(id, move |killed| {
            let _ = sender.send(killed); // Nobody waits any more.
        });
    });
    let what = format!("client {id}");
    match first(answers.await, shared.workers()) {
        Some(Killed::Done(row)) => Ok(done(row.as_deref(), None)),
        Some(Killed::Closing) => Err(closing(&what)),
        Some(Killed::Unknown | Killed::Opening) => Err(unknown(&what)),
        None => Err(silent()),
    }
}

/// Closes a server and the client that has it, whoever may have asked.
pub(crate) async fn kill_server(
    shared: &Shared,
    what: &str,
    is_meant: impl Fn(&ServerView) -> bool,
) -> Result<Value, No> {
    for look in 0..LOOKS_MAX {
        if look > 0 {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        let now = shared.clock.now();
        let servers = shared.with_pools_quietly(|pools| pools.servers(now));
        let Some(server) = servers.into_iter().find(&is_meant) else { return Err(unknown(what)) };
        if server.state == ServerState::Closing {
            return Err(closing(what));
        }
        if shared.kill_idle(server.id) {
            tracing::info!(
                server = server.id.number(),
                pid = server.pid,
                "an operator has closed a server"
            );
            return Ok(done(None, Some(&server)));
        }
        let answers = gather(shared.workers(), |sender| {
            shared.kill_server(server.id, move |killed| {
                let _ = sender.send(killed); // Nobody waits any more.
            });
        });
        match first(answers.await, shared.workers()) {
            Some(Killed::Done(row)) => return Ok(done(row.as_deref(), Some(&server))),
            Some(Killed::Closing) => return Err(closing(what)),
            Some(Killed::Opening) => {
                let detail = format!(
                    "{what} is just being opened; that ends by itself within timeouts.connect"
                );
                return Err(No::new(StatusCode::CONFLICT, "opening", detail));
            }
            Some(Killed::Unknown) => {}
            None => return Err(silent()),
        }
    }
    let detail = format!("{what} is on its way from one client to another; try again");
    Err(No::new(StatusCode::CONFLICT, "moving", detail))
}

/// The answer of the worker that knows it. None when it may be one that is silent.
fn first(answers: Vec<Killed>, workers: usize) -> Option<Killed> {
    let is_complete = answers.len() == workers;
    let known = answers.into_iter().find(|answer| !matches!(answer, Killed::Unknown));
    known.or_else(|| is_complete.then_some(Killed::Unknown))
}

fn done(row: Option<&ClientRow>, server: Option<&ServerView>) -> Value {
    json!({
        "schema": SCHEMA,
        "operation": "kill",
        "client": row.map(|row| client(row, None)),
        "server": server.map(|server| json!({
            "server": server.id.number(),
            "pid": server.pid,
            "database": &*server.key.database,
            "user": &*server.key.user,
            "state": server.state.as_str(),
        })),
    })
}

fn unknown(what: &str) -> No {
    No::new(StatusCode::NOT_FOUND, "unknown", format!("there is no {what}; it may have gone"))
}

fn closing(what: &str) -> No {
    No::new(StatusCode::CONFLICT, "closing", format!("{what} is being closed already"))
}

fn silent() -> No {
    let detail = "a worker does not answer; see the log";
    No::new(StatusCode::SERVICE_UNAVAILABLE, "silent_worker", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_names_one_thing_that_can_be_closed() {
        let client = ClientId { pid: 17, serial: 4 };
        for (body, wanted) in [
            (r#"{"client":"17.4"}"#, Some(Target::Client(client))),
            (r#"{"server":12}"#, Some(Target::Server(12))),
            (r#"{"pid":4711}"#, Some(Target::Pid(4711))),
            (r#"{"client":17}"#, None),
            (r#"{"client":"17"}"#, None),
            (r#"{"server":"12"}"#, None),
            (r#"{"server":-1}"#, None),
            (r#"{"pid":0}"#, None),
            (r#"{"pid":4294967296}"#, None),
            (r#"{"server":12,"pid":4711}"#, None),
            (r#"{"user":"app"}"#, None),
            ("{}", None),
            ("", None),
        ] {
            assert_eq!(target(body.as_bytes()).ok(), wanted, "{body}");
        }
    }
}
