//! `tidegate pause|resume|reconnect|kill|reload|drain`: what an operator does to a running gate.
//!
//! Each says first what was done, and to how many; then what to do next.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_config::parse_duration;
use tidegate_observe::report::{printable, seconds};
use tidegate_scratch::wait;

use crate::cli::{GateOptions, KillOptions, PauseOptions, ScopeOptions};
use crate::exit;
use crate::reach::Reached;

/// Between two looks whether a pause has come to rest.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

pub(crate) fn pause(options: &PauseOptions) -> ExitCode {
    done(try_pause(options))
}

fn try_pause(options: &PauseOptions) -> Result<ExitCode, ExitCode> {
    let wait = match options.wait.as_deref().map(parse_duration) {
        Some(Err(error)) => {
            return Err(exit::with(exit::USAGE, &format!("--wait: {error}, such as 30s")));
        }
        Some(Ok(wait)) => wait,
        None => Duration::ZERO,
    };
    let gate = Reached::to_operate(&options.scope.gate)?;
    let body = scope(&options.scope);
    let mut answer = gate.post("pause", &body)?;
    if answer["at_rest"] != true && !wait.is_zero() {
        // To pause what is paused says how far it has come, and changes nothing.
        wait::until(wait, LOOK_PAUSE, || {
            answer = gate.post("pause", &body)?;
            Ok::<_, ExitCode>((answer["at_rest"] == true).then_some(()))
        })?;
    }
    gate.print(&answer, paused);
    let holds_out = options.wait.is_some() && answer["at_rest"] != true;
    Ok(if holds_out { ExitCode::from(exit::NO) } else { ExitCode::SUCCESS })
}

pub(crate) fn resume(options: &ScopeOptions) -> ExitCode {
    done(on_scope("resume", options, resumed))
}

pub(crate) fn reconnect(options: &ScopeOptions) -> ExitCode {
    done(on_scope("reconnect", options, reconnected))
}

fn on_scope(
    operation: &str,
    options: &ScopeOptions,
    words: fn(&Value) -> String,
) -> Result<ExitCode, ExitCode> {
    let gate = Reached::to_operate(&options.gate)?;
    let answer = gate.post(operation, &scope(options))?;
    gate.print(&answer, words);
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn kill(options: &KillOptions) -> ExitCode {
    done(try_kill(options))
}

fn try_kill(options: &KillOptions) -> Result<ExitCode, ExitCode> {
    let whom = &options.whom;
    let body = match (&whom.client, whom.server, whom.pid) {
        (Some(client), _, _) => json!({ "client": client }),
        (_, Some(server), _) => json!({ "server": server }),
        (_, _, pid) => json!({ "pid": pid }),
    };
    let gate = Reached::to_operate(&options.gate)?;
    let answer = gate.post("kill", &body)?;
    gate.print(&answer, killed);
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn reload(options: &GateOptions) -> ExitCode {
    done(on_gate("reload", options, reloaded))
}

pub(crate) fn drain(options: &GateOptions) -> ExitCode {
    done(on_gate("drain", options, draining))
}

fn on_gate(
    operation: &str,
    options: &GateOptions,
    words: fn(&Value) -> String,
) -> Result<ExitCode, ExitCode> {
    let gate = Reached::to_operate(options)?;
    let answer = gate.post(operation, &json!({}))?;
    gate.print(&answer, words);
    Ok(ExitCode::SUCCESS)
}

fn done(result: Result<ExitCode, ExitCode>) -> ExitCode {
    result.unwrap_or_else(|code| code)
}

fn scope(options: &ScopeOptions) -> Value {
    match &options.database {
        Some(database) => json!({ "database": database }),
        None => json!({}),
    }
}

// --- Words. ---

fn paused(answer: &Value) -> String {
    let waiting = counted(&answer["waiting"], "client waits", "clients wait");
    let again = match answer["database"].as_str() {
        Some(name) => format!("tidegate resume {}", printable(name)),
        None => "tidegate resume".to_owned(),
    };
    if answer["at_rest"] == true {
        return format!(
            "PAUSED  {}: at rest, PostgreSQL has no connection of it; {waiting}\n\
             serve again with: {again}\n",
            of(answer)
        );
    }
    let servers = &answer["servers"];
    let count = |name: &str| servers[name].as_u64().unwrap_or(0);
    let held = count("session") + count("transaction");
    let moving = count("busy") + count("idle") + count("closing");
    format!(
        "PAUSED  {}: not at rest yet; {waiting}\n\
         {held} servers are with clients (session port {}, transaction port {}, pinned {}), \
         {moving} more are open\n\
         who holds out: tidegate ps holders; serve again with: {again}\n",
        of(answer),
        count("session"),
        count("transaction"),
        count("pinned"),
    )
}

fn resumed(answer: &Value) -> String {
    let waiting = counted(&answer["waiting"], "client still waits", "clients still wait");
    format!("SERVED  {} again; {waiting} for a server\n", of(answer))
}

fn reconnected(answer: &Value) -> String {
    let servers = &answer["servers"];
    let retired = counted(&servers["retired"], "server", "servers");
    let held = ["session", "transaction"].map(|port| servers[port].as_u64().unwrap_or(0));
    format!(
        "RETIRED  {retired} of {}: idle ones are replaced one by one, the {} with clients when \
         they come back\n\
         see who is left (yes under \"old\"): tidegate ps servers\n",
        of(answer),
        held[0] + held[1],
    )
}

fn killed(answer: &Value) -> String {
    let client = &answer["client"];
    let who = client["client"].as_str().map(|id| {
        let text = |name: &str| printable(client[name].as_str().unwrap_or("?"));
        let application = match client["application"].as_str() {
            None | Some("") => "unnamed".to_owned(),
            Some(name) => printable(name),
        };
        let address = client["address"].as_str().map_or("a Unix socket".to_owned(), printable);
        let age = client["state_seconds"].as_f64().map_or_else(String::new, seconds);
        format!(
            "client {id}: {application} at {address}, {}/{}, {} for {age}",
            text("database"),
            text("user"),
            text("state"),
        )
    });
    let server = answer["server"]["server"].as_u64().map(|number| {
        let server = &answer["server"];
        let pid = server["pid"].as_u64().unwrap_or(0);
        format!("server {number} (pid {pid}), {}", server["state"].as_str().unwrap_or("?"))
    });
    match (server, who, client["server"].as_u64()) {
        (Some(server), Some(who), _) => format!("CLOSED  {server}, and with it {who}\n"),
        (Some(server), None, _) => format!("CLOSED  {server}; no client has lost anything\n"),
        (None, Some(who), Some(held)) => format!(
            "CLOSED  {who}; what it has left on server {held} is cancelled and rolled back\n"
        ),
        (None, Some(who), None) => format!("CLOSED  {who}; it had no server\n"),
        (None, None, _) => "CLOSED\n".to_owned(),
    }
}

fn reloaded(answer: &Value) -> String {
    let changes = answer["changes"].as_array().map_or(&[][..], Vec::as_slice);
    let mut text = match changes.len() {
        0 => "RELOADED  nothing is different; certificates and keys were read again\n".to_owned(),
        _ => format!(
            "RELOADED  {} now, {} after a restart; connections are kept\n",
            counted(&answer["now"], "change applies", "changes apply"),
            answer["after_a_restart"].as_u64().unwrap_or(0),
        ),
    };
    let cell = |change: &Value, name: &str| printable(change[name].as_str().unwrap_or("?"));
    let rows: Vec<_> = changes
        .iter()
        .map(|change| {
            let values = format!("{} -> {}", cell(change, "old"), cell(change, "new"));
            (cell(change, "setting"), values, cell(change, "applies"))
        })
        .collect();
    let width = |of: fn(&(String, String, String)) -> &String| {
        rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0)
    };
    let (first, second) = (width(|row| &row.0), width(|row| &row.1));
    for (setting, values, applies) in &rows {
        text.push_str(&format!("{setting:<first$}  {values:<second$}  {applies}\n"));
    }
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        let place = warning["place"].as_str().unwrap_or_default();
        let message = warning["message"].as_str().unwrap_or_default();
        text.push_str(&format!("warning: {} {}\n", printable(place), printable(message)));
    }
    text
}

fn draining(answer: &Value) -> String {
    let clients = counted(&answer["clients"], "client is", "clients are");
    let already = if answer["was_draining"] == true { " (it did so already)" } else { "" };
    format!(
        "DRAINING  {clients} connected; new ones are refused{already}\n\
         idle clients are told to go, transactions have {}, then the gate ends\n",
        seconds(answer["drain_seconds"].as_f64().unwrap_or(0.0)),
    )
}

/// The database, or all.
fn of(answer: &Value) -> String {
    match answer["database"].as_str() {
        Some(name) => format!("database {}", printable(name)),
        None => "all databases".to_owned(),
    }
}

fn counted(count: &Value, one: &str, many: &str) -> String {
    match count.as_u64().unwrap_or(0) {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(at_rest: bool) -> Value {
        json!({
            "database": "app", "at_rest": at_rest, "waiting": 1,
            "servers": {
                "session": 1, "transaction": 2, "pinned": 1, "busy": 0, "idle": 3, "closing": 0,
                "retired": 5,
            },
        })
    }

    #[test]
    fn a_pause_says_first_whether_it_is_at_rest() {
        let rest = paused(&standing(true));
        assert!(rest.starts_with("PAUSED  database app: at rest, "), "{rest}");
        assert!(
            rest.ends_with("1 client waits\nserve again with: tidegate resume app\n"),
            "{rest}"
        );
        let not = paused(&standing(false));
        assert!(
            not.starts_with("PAUSED  database app: not at rest yet; 1 client waits\n"),
            "{not}"
        );
        assert!(not.contains("\n3 servers are with clients (session port 1, transaction port 2"));
    }

    #[test]
    fn a_reconnect_says_how_many_and_what_becomes_of_them() {
        let said = reconnected(&standing(false));
        assert!(said.starts_with("RETIRED  5 servers of database app: "), "{said}");
        assert!(said.contains("the 3 with clients when they come back"), "{said}");
    }

    #[test]
    fn who_was_closed_is_told_and_can_steer_no_terminal() {
        let client = json!({
            "client": "17.4", "application": "\u{1b}[2J", "address": null, "database": "app",
            "user": "app", "state": "idle in transaction", "state_seconds": 12.34, "server": 3,
        });
        let said = killed(&json!({ "client": client, "server": null }));
        assert_eq!(
            said,
            "CLOSED  client 17.4: \\u{1b}[2J at a Unix socket, app/app, idle in transaction for \
             12.3 s; what it has left on server 3 is cancelled and rolled back\n"
        );
    }
}
