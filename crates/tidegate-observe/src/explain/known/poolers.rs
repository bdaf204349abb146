//! What other poolers say: Supabase's, PgBouncer, and their kind.

use tidegate_wire::catalogue::pages::{WHO_IS_CONNECTED, sql, text as part};

use super::Layer::Pooler;
use super::Weight::{Cause, Symptom};
use super::{Known, text};

const SUPAVISOR: &str = "Supabase's pooler (Supavisor)";

/// Supavisor, PgBouncer, others.
pub const KNOWN: &[Known] = &[
    Known {
        id: "supavisor-session-full",
        title: "Supabase's session pooler has given away all of its connections",
        layer: Pooler,
        said_by: SUPAVISOR,
        weight: Cause,
        sqlstate: "XX000",
        texts: &[
            text(
                "max clients reached in session mode - max clients are limited to pool_size: {#pool_size}",
                "Supavisor 2.9",
            ),
            text("MaxClientsInSessionMode: max clients reached", "Supavisor before 2.8"),
            text("max clients are limited to pool_size", "Supavisor, all versions"),
            text("EMAXCONNSESSION", "Supavisor 2.9"),
        ],
        reckon: None,
        means: "In session mode (port 5432 of the pooler) each client keeps a connection to PostgreSQL for as long as it is connected, idle or not, and {pool_size|pool_size} clients have them all. One more was turned away; nothing was executed.",
        see: const {
            &[sql(
                WHO_IS_CONNECTED,
                "who is connected; the pooler's own are by application_name \"Supavisor\"",
            )]
        },
        now: &[
            "Close idle clients: stop what is not needed, and restart the application that has most.",
        ],
        change: &[
            "Let the applications connect to the gate, and the gate with `plan` and `upstream.url` to this pooler or to PostgreSQL: clients then wait for their turn instead of being refused.",
            "Without it: processes times (pool_size + max_overflow), over all services, must stay at or below {pool_size|pool_size}; or use the transaction pooler (port 6543) with a driver that needs no session.",
        ],
    },
    Known {
        id: "supavisor-clients",
        title: "Too many clients of Supabase's pooler",
        layer: Pooler,
        said_by: SUPAVISOR,
        weight: Cause,
        sqlstate: "XX000",
        texts: &[
            text("max client connections reached, limit: {#limit}", "Supavisor 2.9"),
            text("max client connections reached", "Supavisor, all versions"),
            text("EMAXCONN", "Supavisor 2.9"),
        ],
        reckon: None,
        means: "{limit|As many} clients are connected to the pooler as the project's size allows. That is not the limit of PostgreSQL: clients count, idle ones too.",
        see: const {
            &[part(
                "the dashboard of Supabase, Database, Connection pooling",
                "the limit of clients",
            )]
        },
        now: &[
            "Close idle clients; in serverless functions close the pool, or let it keep no idle connection.",
        ],
        change: &[
            "Bound the pool of each instance (1 to 5), and their number.",
            "Or let them connect to the gate: it takes `listen.clients_max` clients (10000) over as few servers as the plan has.",
        ],
    },
    Known {
        id: "supavisor-checkout",
        title: "Supabase's pooler had no free connection in time",
        layer: Pooler,
        said_by: SUPAVISOR,
        weight: Cause,
        sqlstate: "XX000",
        texts: &[
            text(
                "unable to check out connection from the pool after {#waited}ms in {mode} mode",
                "Supavisor 2.9",
            ),
            text("unable to check out connection from the pool", "Supavisor, all versions"),
            text("ECHECKOUTTIMEOUT", "Supavisor 2.9"),
            text("ECHECKOUTRETRIES", "Supavisor 2.9"),
        ],
        reckon: None,
        means: "All connections of the pooler's pool were in transactions for {waited|some} ms. Nothing of the statement was sent.",
        see: const {
            &[sql(
                "SELECT pid, application_name, state, now() - xact_start AS open, query FROM pg_stat_activity WHERE xact_start IS NOT NULL ORDER BY xact_start",
                "who is in a transaction, and for how long",
            )]
        },
        now: &["End transactions that are idle; repeat what failed."],
        change: &[
            "Don't wait for anything else within a transaction.",
            "In front of it the gate says who holds what: `tidegate ps holders`.",
        ],
    },
    Known {
        id: "supavisor-database-gone",
        title: "Supabase's pooler has lost, or can't open, its connections to PostgreSQL",
        layer: Pooler,
        said_by: SUPAVISOR,
        weight: Symptom,
        sqlstate: "XX000",
        texts: &[
            text("EDBHANDLEREXITED", "Supavisor 2.9"),
            text("connection to database closed. Check logs", "Supavisor 2.9"),
            text("DbHandler exited", "Supavisor before 2.8"),
            text("ECIRCUITBREAKER", "Supavisor 2.9"),
            text("ECHECKOUTFAILED", "Supavisor 2.9"),
            text("EPOOLTERMINATING", "Supavisor 2.9"),
        ],
        reckon: None,
        means: "The connection behind the pooler ended or could not be opened: PostgreSQL restarts, is full, or refuses the password (ECIRCUITBREAKER: too often). After EDBHANDLEREXITED a statement may or may not have been executed; with the others nothing was sent.",
        see: const { &[part("the logs of the project, Postgres and Pooler", "PostgreSQL's own words")] },
        now: &[
            "Look whether the project is paused, restarts, or has a new password.",
            "Repeat what may run twice, with growing pauses.",
        ],
        change: &[
            "Name the new password everywhere before the pooler blocks who tries the old one.",
        ],
    },
    Known {
        id: "supavisor-tenant",
        title: "Supabase's pooler does not know the user",
        layer: Pooler,
        said_by: SUPAVISOR,
        weight: Cause,
        sqlstate: "XX000",
        texts: &[
            text("tenant/user {user} not found", "Supavisor 2.9"),
            text("Tenant or user not found", "Supavisor, all versions"),
        ],
        reckon: None,
        means: "Its user is `postgres.PROJECT`, and its host that of the project's region. One of them is wrong, or the project is paused.",
        see: const { &[part("the dashboard of Supabase, Connect", "the URL as it should be")] },
        now: &["Copy the URL from the dashboard again."],
        change: &["Keep the URL in one place."],
    },
    Known {
        id: "pgbouncer-clients",
        title: "Too many clients of PgBouncer",
        layer: Pooler,
        said_by: "PgBouncer",
        weight: Cause,
        sqlstate: "08P01",
        texts: &[
            text("no more connections allowed (max_client_conn)", "PgBouncer 1.25, client.c"),
            text(
                "client connections exceeded (max_db_client_connections)",
                "PgBouncer 1.25, client.c",
            ),
            text(
                "client connections exceeded (max_user_client_connections)",
                "PgBouncer 1.25, client.c",
            ),
        ],
        reckon: None,
        means: "As many clients are connected to PgBouncer as its setting between the parentheses allows (max_client_conn is 100 by default). Idle ones count.",
        see: const { &[part("SHOW CLIENTS and SHOW POOLS on PgBouncer's console", "who is connected")] },
        now: &[
            "Close idle clients, or raise the setting and the limit of file descriptors with it.",
        ],
        change: &[
            "Bound the pool of each process.",
            "The gate's limit is `listen.clients_max` (10000), and its error is 53300 with the numbers.",
        ],
    },
    Known {
        id: "pgbouncer-wait",
        title: "PgBouncer had no free connection in time",
        layer: Pooler,
        said_by: "PgBouncer",
        weight: Cause,
        sqlstate: "08P01",
        texts: &[
            text("query_wait_timeout", "PgBouncer 1.25"),
            text(
                "No server connection available in postgres backend, client being queued",
                "PgBouncer 1.25 (query_wait_notify)",
            ),
        ],
        reckon: None,
        means: "The client waited for a server for as long as query_wait_timeout allows (120 s by default): all servers of its pool were in use, or PostgreSQL could not be reached. Nothing of the statement was sent; the connection to PgBouncer ended.",
        see: const {
            &[
                part("SHOW POOLS on PgBouncer's console", "cl_waiting, sv_active, and maxwait"),
                sql(WHO_IS_CONNECTED, "who holds connections, and how idle"),
            ]
        },
        now: &["End transactions that are idle; repeat what failed."],
        change: &[
            "Raise default_pool_size as far as PostgreSQL's limit goes, or shorten transactions.",
            "The gate sends ERROR 53300 (TG001) here, names numbers, and keeps the client: `tidegate ps holders` says who holds what.",
        ],
    },
    Known {
        id: "pgbouncer-login-failing",
        title: "PgBouncer can't log in to PostgreSQL",
        layer: Pooler,
        said_by: "PgBouncer",
        weight: Symptom,
        sqlstate: "08P01",
        texts: &[
            text(
                "server login has been failing, cached error: {cause} (server_login_retry)",
                "PgBouncer 1.25",
            ),
            text("server login has been failing", "PgBouncer 1.17 to 1.25"),
            text("pgbouncer cannot connect to server", "PgBouncer, all versions"),
        ],
        reckon: None,
        means: "The last attempt to open a server failed ({cause|PgBouncer's log has the cause}), and PgBouncer tells everybody so until it tries again (server_login_retry, 15 s). Nothing was executed.",
        see: const {
            &[
                part("PgBouncer's log", "the attempts"),
                part("the cached error", "what is really wrong: explain it, too"),
            ]
        },
        now: &["Put right what the cached error says, and wait for the next attempt."],
        change: &[
            "The gate lets clients wait while the cause may pass, and tells at once what won't (TG002, TG003).",
        ],
    },
    Known {
        id: "pgbouncer-startup-parameter",
        title: "PgBouncer does not take a startup parameter",
        layer: Pooler,
        said_by: "PgBouncer",
        weight: Cause,
        sqlstate: "08P01",
        texts: &[
            text("unsupported startup parameter: {parameter}", "PgBouncer 1.25"),
            text(
                "unsupported startup parameter in options: {parameter}",
                "PgBouncer 1.20 to 1.25; Neon",
            ),
        ],
        reckon: None,
        means: "The driver sets {parameter|a parameter} when it connects, and PgBouncer refuses what it does not track.",
        see: const { &[part("the application's connection options", "where it is set")] },
        now: &["Name it in PgBouncer's ignore_startup_parameters, or don't set it."],
        change: &[
            "Set it with `ALTER ROLE … SET`. The gate takes every parameter and carries it with its client.",
        ],
    },
    Known {
        id: "pgbouncer-unknown",
        title: "PgBouncer does not know the database or the user",
        layer: Pooler,
        said_by: "PgBouncer",
        weight: Cause,
        sqlstate: "08P01",
        texts: &[
            text("no such database: {database}", "PgBouncer 1.25"),
            text("no such user", "PgBouncer before 1.21"),
        ],
        reckon: None,
        means: "{database|The name} stands in none of PgBouncer's lists: [databases], userlist.txt, auth_query.",
        see: const {
            &[part("SHOW DATABASES and SHOW USERS on PgBouncer's console", "those that it knows")]
        },
        now: &["Add it, then RELOAD."],
        change: &["Use a `*` database and an auth_query, so that there is one list: PostgreSQL's."],
    },
    Known {
        id: "pooler-busy",
        title: "A pooler had no free connection in time",
        layer: Pooler,
        said_by: "RDS Proxy, Odyssey, PgCat, PgDog, or pg_doorman",
        weight: Cause,
        sqlstate: "",
        texts: &[
            text(
                "Timed-out waiting to acquire database connection",
                "Amazon RDS Proxy (ConnectionBorrowTimeout)",
            ),
            text(
                "too many active clients for user (pool_size for user {user} reached {#pool_size})",
                "Odyssey 1.5 (53300)",
            ),
            text("too many tcp connections (global client_max {#limit})", "Odyssey 1.5 (53300)"),
            text("could not get connection from the pool - {cause}", "PgCat 0.2 (58000)"),
            text(
                "connection pool for user \"{user}\" and database \"{database}\" is down",
                "PgDog 0.1 (58000)",
            ),
            text(
                "Could not get a database connection from the pool. All servers may be busy or down",
                "pg_doorman 3.10 (53300)",
            ),
            text("Query wait timed out. The server may be overloaded", "pg_doorman 3.10 (57014)"),
        ],
        reckon: None,
        means: "All connections of the pool were in use for as long as a client may wait, or its servers are down. Nothing of the statement was sent.",
        see: const {
            &[sql(
                "SELECT pid, application_name, state, now() - xact_start AS open, query FROM pg_stat_activity WHERE xact_start IS NOT NULL ORDER BY xact_start",
                "who is in a transaction, and for how long",
            )]
        },
        now: &["End transactions that are idle; repeat what failed."],
        change: &[
            "Shorten transactions, or raise the pool as far as PostgreSQL's limit goes. On RDS Proxy look for pinned sessions, too.",
        ],
    },
];
