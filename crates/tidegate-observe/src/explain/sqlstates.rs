//! SQLSTATEs that a pooler's user meets, for when there is nothing but the code.

use super::template::Prepared;

/// One of them.
pub struct State {
    /// The five characters.
    pub code: &'static str,
    /// PostgreSQL's name.
    pub name: &'static str,
    /// What it means.
    pub means: &'static str,
    /// What to do, where no known text with this code says it.
    pub remedy: &'static str,
}

const fn state(
    code: &'static str,
    name: &'static str,
    means: &'static str,
    remedy: &'static str,
) -> State {
    State { code, name, means, remedy }
}

/// In ascending order.
pub const STATES: &[State] = &[
    state(
        "08000",
        "connection_exception",
        "Something is wrong with the connection. Amazon's RDS Proxy says it when it had none in time.",
        "Connect again; read the message.",
    ),
    state(
        "08001",
        "sqlclient_unable_to_establish_sqlconnection",
        "No connection to PostgreSQL could be made. Nothing was executed.",
        "Read DETAIL for the cause, and try again.",
    ),
    state(
        "08003",
        "connection_does_not_exist",
        "The driver's connection has ended before. asyncpg says it of a connection that was closed in the midst of a statement.",
        "Look into the logs of the gate and of PostgreSQL for who closed it.",
    ),
    state(
        "08004",
        "sqlserver_rejected_establishment_of_sqlconnection",
        "The server refused the connection.",
        "Read the message: TLS, or a list of addresses.",
    ),
    state(
        "08006",
        "connection_failure",
        "A connection was lost. A statement that was under way may or may not have been executed; the gate's DETAIL says what is known.",
        "Repeat the transaction as a whole, where it may run twice.",
    ),
    state(
        "08007",
        "transaction_resolution_unknown",
        "Nobody knows whether the transaction was committed.",
        "Find out before repeating it: SELECT pg_xact_status(id).",
    ),
    state(
        "08P01",
        "protocol_violation",
        "A message was not what the protocol allows. PgBouncer sends this code with all of its own errors: the message says what is meant.",
        "Explain the message instead of the code.",
    ),
    state(
        "0A000",
        "feature_not_supported",
        "What was asked for is not there; also a table that has changed under a prepared statement.",
        "Read the message.",
    ),
    state(
        "22023",
        "invalid_parameter_value",
        "A setting or parameter has a value that it can't have.",
        "Read the message; look at the options of the connection.",
    ),
    state(
        "25001",
        "active_sql_transaction",
        "The command can't run within a transaction (CREATE INDEX CONCURRENTLY, VACUUM).",
        "Run it outside of one: AUTOCOMMIT.",
    ),
    state(
        "25006",
        "read_only_sql_transaction",
        "The server, or the transaction, takes no writes.",
        "Find out whether it is a standby.",
    ),
    state(
        "25P02",
        "in_failed_sql_transaction",
        "An error before this one has ended the transaction; it says nothing of the cause.",
        "Look for the first error.",
    ),
    state(
        "25P03",
        "idle_in_transaction_session_timeout",
        "The client was idle within a transaction for too long.",
        "End transactions before waiting for something else.",
    ),
    state(
        "25P04",
        "transaction_timeout",
        "The transaction lasted for too long.",
        "Do the work in several.",
    ),
    state(
        "26000",
        "invalid_sql_statement_name",
        "A prepared statement is not there: a pooler in transaction mode has changed the connection, or it was deallocated.",
        "Connect to the gate's transaction port, or switch the driver's cache of statements off.",
    ),
    state(
        "28000",
        "invalid_authorization_specification",
        "The user may not log in like this: pg_hba.conf, no such role, no LOGIN, TLS required, channel binding.",
        "Read the message.",
    ),
    state(
        "28P01",
        "invalid_password",
        "Wrong password, or no such user.",
        "Try user and password with psql.",
    ),
    state(
        "3D000",
        "invalid_catalog_name",
        "There is no such database.",
        "Correct the name in the URL.",
    ),
    state(
        "40001",
        "serialization_failure",
        "Another transaction was first; nothing was committed.",
        "Repeat the whole transaction.",
    ),
    state(
        "40P01",
        "deadlock_detected",
        "Two transactions waited for each other; nothing of this one was committed.",
        "Repeat the whole transaction, and take locks in the same order everywhere.",
    ),
    state(
        "42501",
        "insufficient_privilege",
        "The role may not do this.",
        "GRANT it, or use another role.",
    ),
    state(
        "42601",
        "syntax_error",
        "The statement can't be parsed; on the admin console of the gate (TG041), it is no command.",
        "Look whether the connection leads to the right database.",
    ),
    state(
        "42704",
        "undefined_object",
        "There is no such role, setting, or type.",
        "Read the message.",
    ),
    state(
        "42P05",
        "duplicate_prepared_statement",
        "A prepared statement of that name is there already: a pooler in transaction mode mixes connections up.",
        "Connect to the gate's transaction port.",
    ),
    state(
        "53100",
        "disk_full",
        "PostgreSQL's disk is full.",
        "Make room; look for replication slots that nobody uses.",
    ),
    state(
        "53200",
        "out_of_memory",
        "PostgreSQL, or the gate (TG035), has no memory left for this.",
        "Read the HINT; without one it was PostgreSQL.",
    ),
    state(
        "53300",
        "too_many_connections",
        "There is no connection left: of PostgreSQL, of a role, of a pooler, or in time.",
        "Look who holds connections.",
    ),
    state(
        "53400",
        "configuration_limit_exceeded",
        "A limit of the settings is reached, such as temp_file_limit.",
        "Read the message.",
    ),
    state(
        "54000",
        "program_limit_exceeded",
        "A message or a value is larger than any may be.",
        "Send large values in pieces: COPY, or large objects.",
    ),
    state(
        "55000",
        "object_not_in_prerequisite_state",
        "Something is not in the state that the command needs.",
        "Read the message.",
    ),
    state(
        "55006",
        "object_in_use",
        "Somebody uses what is to be changed, such as a database that is to be dropped.",
        "tidegate pause DATABASE lets go of it.",
    ),
    state(
        "55P03",
        "lock_not_available",
        "A lock was not free in time.",
        "Repeat it; look who holds the lock.",
    ),
    state(
        "57014",
        "query_canceled",
        "The statement was cancelled: a time-out, or somebody's wish.",
        "Read the message for which.",
    ),
    state(
        "57P01",
        "admin_shutdown",
        "The connection was ended by an administrator: a restart, a drain of the gate, pg_terminate_backend, tidegate kill.",
        "Connect again and repeat the transaction, where it may run twice.",
    ),
    state(
        "57P02",
        "crash_shutdown",
        "A process of PostgreSQL crashed and took all others with it.",
        "Connect again; look into PostgreSQL's log.",
    ),
    state(
        "57P03",
        "cannot_connect_now",
        "PostgreSQL is starting up or shutting down, or the gate is paused (TG027).",
        "Try again with growing pauses.",
    ),
    state("57P04", "database_dropped", "The database was dropped.", "Connect to another one."),
    state(
        "57P05",
        "idle_session_timeout",
        "The connection was idle for too long.",
        "Connect again; close idle connections sooner in the application.",
    ),
    state(
        "58000",
        "system_error",
        "An error outside of PostgreSQL. PgCat and PgDog send it with their own errors.",
        "Explain the message instead of the code.",
    ),
    state(
        "XX000",
        "internal_error",
        "An error within PostgreSQL. Supavisor sends it with its own errors, which begin with a word in parentheses.",
        "Explain the message instead of the code.",
    ),
];

/// The one that `text` is, or names as such: five characters alone may be anything.
pub fn find(text: &Prepared) -> Option<&'static State> {
    let words: Vec<&str> = text
        .text()
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .collect();
    let known = |word: &str| STATES.iter().find(|state| state.code.eq_ignore_ascii_case(word));
    if let [word] = words.as_slice() {
        return known(word);
    }
    words.windows(2).find_map(|pair| {
        let [before, word] = pair else { return None };
        let is_name = NAMES.iter().any(|name| before.eq_ignore_ascii_case(name));
        known(word).filter(|_| is_name)
    })
}

/// What stands in front of a code: in psql, in drivers, in logs.
const NAMES: &[&str] =
    &["code", "errcode", "error", "fatal", "pgcode", "sqlstate", "sql_state", "SqlState", "state"];
