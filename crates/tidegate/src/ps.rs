//! `tidegate ps`: who is connected, as a table.
//!
//! The first line says how many there are and what they are at; those that hold a server stand above
//! the rest, the longest first.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::Value;
use tidegate_observe::report::{printable, seconds};

use crate::cli::{List, PsOptions};
use crate::reach::Reached;

pub(crate) fn run(options: &PsOptions) -> ExitCode {
    try_run(options).map_or_else(|code| code, |()| ExitCode::SUCCESS)
}

fn try_run(options: &PsOptions) -> Result<(), ExitCode> {
    let gate = Reached::to_look(&options.gate)?;
    let name = match options.list {
        List::Clients => "clients",
        List::Holders => "holders",
        List::Servers => "servers",
        List::Ledger => "ledger",
    };
    let answer = gate.get(&format!("/api/v1/{name}?limit={}", options.limit))?;
    gate.print(&answer, |answer| table(options.list, answer));
    if answer["privileged"] == false {
        eprintln!(
            "warning: the state of other roles' connections can't be seen; as a superuser: \
             GRANT pg_read_all_stats TO the role of upstream.url"
        );
    }
    match answer["silent_workers"].as_u64() {
        Some(0) | None => {}
        Some(silent) => eprintln!(
            "warning: {silent} of the gate's workers did not answer; what they have is missing"
        ),
    }
    Ok(())
}

fn table(list: List, answer: &Value) -> String {
    let (rows, name, columns) = match list {
        List::Clients => (&answer["clients"], "client", CLIENT),
        List::Holders => (&answer["holders"], "held server", HOLDER),
        List::Servers => (&answer["servers"], "server", SERVER),
        List::Ledger => (&answer["ledger"], "connection", CONNECTION),
    };
    let rows: &[Value] = rows.as_array().map_or(&[], Vec::as_slice);
    let total = answer["total"].as_u64().unwrap_or(0);
    let mut text = heading(name, total, rows);
    if !rows.is_empty() {
        text.push('\n');
        let heads = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
        let rows = rows.iter().map(|row| cells(columns, row));
        let lines: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
        text.push_str(&aligned(&lines));
    }
    text
}

/// `3 clients: 1 active, 2 idle`, and that some are not shown.
fn heading(name: &str, total: u64, rows: &[Value]) -> String {
    let mut states = BTreeMap::<&str, usize>::new();
    for row in rows {
        *states.entry(state(row)).or_default() += 1;
    }
    let states: Vec<_> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let shown = rows.len() as u64;
    let plural = if total == 1 { "" } else { "s" };
    match (total, shown < total) {
        (0, _) => format!("no {name}s\n"),
        (_, false) => format!("{total} {name}{plural}: {}\n", states.join(", ")),
        (_, true) => format!(
            "{total} {name}s, of which {shown} are shown ({}); --limit 1000 shows more\n",
            states.join(", ")
        ),
    }
}

fn state(row: &Value) -> &str {
    match row["listeners"].is_u64() {
        true => "listening",
        false => row["state"].as_str().unwrap_or(match row["origin"].is_string() {
            true => "not shown",
            false => "between two clients",
        }),
    }
}

/// A column: its head, and what it says of a row.
type Column = (&'static str, fn(&Value) -> String);

const CLIENT: &[Column] = &[
    ("client", |row| text(&row["client"])),
    ("port", |row| text(&row["port"])),
    POOL,
    APPLICATION,
    ADDRESS,
    STATE,
    FOR,
    TRANSACTION,
    ("server", |row| number(&row["server"])),
    ("pid", |row| number(&row["server_pid"])),
    PINS,
];

const HOLDER: &[Column] = &[
    ("held for", |row| time(&row["held_seconds"])),
    ("server", |row| number(&row["server"])),
    ("pid", |row| number(&row["server_pid"])),
    USER_OF_SERVER,
    POOL,
    APPLICATION,
    ADDRESS,
    STATE,
    FOR,
    TRANSACTION,
    PINS,
];

const SERVER: &[Column] = &[
    ("server", |row| number(&row["server"])),
    ("pid", |row| number(&row["pid"])),
    POOL,
    STATE,
    FOR,
    ("age", |row| time(&row["age_seconds"])),
    ("old", |row| if row["retired"] == true { "yes".to_owned() } else { "-".to_owned() }),
    USER_OF_SERVER,
    APPLICATION,
    ADDRESS,
];

const CONNECTION: &[Column] = &[
    ("pid", |row| number(&row["pid"])),
    ("of", |row| text(&row["origin"])),
    ("server", |row| number(&row["server"])),
    POOL,
    APPLICATION,
    ADDRESS,
    ("state", |row| row["state"].as_str().map_or("(not shown)", |state| state).to_owned()),
    FOR,
    TRANSACTION,
    ("age", |row| time(&row["age_seconds"])),
    ("waits for", waits_for),
    ("blocks", |row| if row["blocks"] == 0 { "-".to_owned() } else { number(&row["blocks"]) }),
];

const POOL: Column = ("database/user", pool);
const APPLICATION: Column = ("application", |row| short(&text(&row["application"])));
const ADDRESS: Column = ("address", address);
const STATE: Column = ("state", |row| state(row).to_owned());
const FOR: Column = ("for", |row| time(&row["state_seconds"]));
const TRANSACTION: Column = ("transaction", |row| time(&row["transaction_seconds"]));
const PINS: Column = ("pins", pins);
/// The client that has a server, or for how many it listens.
const USER_OF_SERVER: Column = ("client", |row| match row["listeners"].as_u64() {
    Some(count) => format!("{count} listen"),
    None => text(&row["client"]),
});

fn cells(columns: &[Column], row: &Value) -> Vec<String> {
    columns.iter().map(|(_, cell)| cell(row)).collect()
}

fn text(value: &Value) -> String {
    match value.as_str() {
        None | Some("") => "-".to_owned(),
        Some(text) => printable(text),
    }
}

fn number(value: &Value) -> String {
    value.as_u64().map_or("-".to_owned(), |number| number.to_string())
}

fn time(value: &Value) -> String {
    value.as_f64().map_or("-".to_owned(), seconds)
}

fn pool(row: &Value) -> String {
    short(&format!("{}/{}", text(&row["database"]), text(&row["user"])))
}

fn address(row: &Value) -> String {
    match (row["address"].as_str(), row["address_port"].as_u64()) {
        (Some(address), Some(port)) if address.contains(':') => format!("[{address}]:{port}"),
        (Some(address), Some(port)) => format!("{address}:{port}"),
        (Some(address), None) => address.to_owned(),
        (None, _) => "-".to_owned(),
    }
}

fn waits_for(row: &Value) -> String {
    let pids = row["blocked_by"].as_array().into_iter().flatten();
    let pids: Vec<_> = pids.map(number).collect();
    if pids.is_empty() { "-".to_owned() } else { pids.join(",") }
}

fn pins(row: &Value) -> String {
    let pins = row["pins"].as_array().into_iter().flatten();
    let pins: Vec<_> = pins.filter_map(Value::as_str).collect();
    if pins.is_empty() { "-".to_owned() } else { pins.join(",") }
}

/// The longest name that is shown whole.
const NAME_CHARS_MAX: usize = 28;

fn short(name: &str) -> String {
    if name.chars().count() <= NAME_CHARS_MAX {
        return name.to_owned();
    }
    name.chars().take(NAME_CHARS_MAX - 1).chain(['…']).collect()
}

fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(application: &str, state: &str) -> Value {
        json!({
            "client": "17.4", "port": "transaction", "database": "app", "user": "app",
            "application": application, "address": "10.0.0.7", "address_port": 5123,
            "state": state, "state_seconds": 12.34, "transaction_seconds": null, "server": null,
            "server_pid": null, "pins": [],
        })
    }

    #[test]
    fn the_first_line_counts_and_says_what_is_not_shown() {
        let rows = [row("api", "active"), row("api", "idle"), row("job", "idle")];
        assert_eq!(heading("client", 3, &rows), "3 clients: 1 active, 2 idle\n");
        let cut = heading("client", 2345, &rows);
        assert!(
            cut.starts_with("2345 clients, of which 3 are shown (1 active, 2 idle); "),
            "{cut}"
        );
        assert_eq!(heading("held server", 0, &[]), "no held servers\n");
    }

    #[test]
    fn names_cannot_steer_the_terminal_or_break_the_table() {
        let long = "\u{1b}[2J\n".to_owned() + &"x".repeat(300);
        let answer = json!({ "clients": [row(&long, "idle")], "total": 1 });
        let shown = table(List::Clients, &answer);
        assert_eq!((shown.lines().count(), shown.contains('\u{1b}')), (4, false), "{shown}");
    }

    #[test]
    fn a_row_says_who_where_and_for_how_long() {
        let shown = cells(CLIENT, &row("", "idle in transaction")).join(" ");
        let wanted = "17.4 transaction app/app - 10.0.0.7:5123 idle in transaction 12.3 s - - - -";
        assert_eq!(shown, wanted);
    }
}
