//! What PostgreSQL says. Its errors pass through the gate as they are.

use tidegate_wire::catalogue::pages::{WHO_IS_CONNECTED, command, metric, sql, text as part};

use super::Layer::Postgres;
use super::Weight::{Cause, Symptom};
use super::{Known, text};

/// Connecting, logging in, working, ending.
pub const KNOWN: &[Known] = &[
    Known {
        id: "postgres-full",
        title: "PostgreSQL has no connection left",
        layer: Postgres,
        said_by: "PostgreSQL",
        weight: Cause,
        sqlstate: "53300",
        texts: &[
            text(
                "sorry, too many clients already",
                "PostgreSQL 9.6 to 18; pg_doorman 3.10 has the same words for its own limit",
            ),
            text(
                "remaining connection slots are reserved for non-replication superuser connections",
                "PostgreSQL up to 15",
            ),
            text(
                "remaining connection slots are reserved for roles with the SUPERUSER attribute",
                "PostgreSQL 16 to 18",
            ),
            text(
                "remaining connection slots are reserved for roles with privileges of the \"{role}\" role",
                "PostgreSQL 16 to 18; Amazon RDS with \"rds_reserved\"",
            ),
            text("remaining connection slots are reserved", "all of these"),
        ],
        reckon: None,
        means: "As many connections are open as `max_connections` allows, less those that are reserved for superusers and for the platform. Whoever said this tried to open one more and was refused; nothing was executed. Behind the gate applications don't see it: the gate opens no more than there is room for, and lets clients wait instead.",
        see: const {
            &[
                sql(
                    "SELECT name, setting FROM pg_settings WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')",
                    "how many there may be",
                ),
                sql(WHO_IS_CONNECTED, "who has them, from where, and how idle"),
                metric("tidegate_upstream_backends", "the gate's own, and others'"),
            ]
        },
        now: &[
            "See who has them. It needs a connection itself: a superuser's, or one that is open already.",
            "End what is idle and not needed: `SELECT pg_terminate_backend(pid)`.",
        ],
        change: &[
            "Let every application connect to the gate's transaction port: it holds all of them together to one budget.",
            "Without it: processes times (pool_size + max_overflow), over all services, must stay below the limit.",
            "Don't raise `max_connections` first: each costs memory, and a few per core are what PostgreSQL can work with.",
        ],
    },
    Known {
        id: "postgres-role-limit",
        title: "The limit of the role or of the database is reached",
        layer: Postgres,
        said_by: "PostgreSQL",
        weight: Cause,
        sqlstate: "53300",
        texts: &[
            text("too many connections for role \"{role}\"", "PostgreSQL 9.6 to 18"),
            text("too many connections for database \"{database}\"", "PostgreSQL 9.6 to 18"),
        ],
        reckon: None,
        means: "`CONNECTION LIMIT` of the role or of the database is used up, although PostgreSQL as a whole may have room.",
        see: const {
            &[
                sql(
                    "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolconnlimit >= 0",
                    "limits of roles",
                ),
                sql(
                    "SELECT datname, datconnlimit FROM pg_database WHERE datconnlimit >= 0",
                    "limits of databases",
                ),
            ]
        },
        now: &[
            "End what is idle and not needed, or raise the limit: `ALTER ROLE … CONNECTION LIMIT …`.",
        ],
        change: &[
            "Give the gate's role a limit that is not below `upstream.connections`, or none: the gate keeps its own.",
        ],
    },
    Known {
        id: "postgres-not-ready",
        title: "PostgreSQL is starting up, shutting down, or in recovery",
        layer: Postgres,
        said_by: "PostgreSQL",
        weight: Cause,
        sqlstate: "57P03",
        texts: &[
            text("the database system is starting up", "PostgreSQL 9.6 to 18"),
            text("the database system is shutting down", "PostgreSQL 9.6 to 18"),
            text("the database system is in recovery mode", "PostgreSQL 9.6 to 18"),
            text("the database system is not yet accepting connections", "PostgreSQL 14 to 18"),
            text("the database system is not accepting connections", "PostgreSQL 14 to 18"),
        ],
        reckon: None,
        means: "PostgreSQL runs and takes no connections at this moment. After a crash it replays its log first, which may take minutes. Behind the gate clients wait for the end of it, at most `pool.pool_timeout`.",
        see: const {
            &[
                command("tidegate status", "the last failure, and how many there were in a row"),
                metric(
                    "tidegate_server_connect_errors_total{kind=\"transient\"}",
                    "attempts that failed",
                ),
            ]
        },
        now: &["Wait, and try again with growing pauses: it ends by itself."],
        change: &[
            "If it comes again and again, find out in PostgreSQL's log why it restarts: memory (the kernel's OOM killer), the disk, or a supervisor.",
        ],
    },
    Known {
        id: "postgres-wrong-password",
        title: "Wrong password, or no such user",
        layer: Postgres,
        said_by: "PostgreSQL, or the gate (TG006)",
        weight: Cause,
        sqlstate: "28P01",
        texts: &[text(
            "password authentication failed for user \"{user}\"",
            "PostgreSQL 9.6 to 18; Tidegate",
        )],
        reckon: None,
        means: "The password that was given for \"{user|the user}\" is not the one that is known, or there is no such user: the words are the same for both. The gate has them, too, with a HINT that ends with (TG006), and asks for its own users.",
        see: const {
            &[
                part("HINT", "with (TG006) the gate said it, without a HINT PostgreSQL did"),
                metric(
                    "tidegate_client_connections_rejected_total{reason=\"auth\"}",
                    "logins that the gate refused",
                ),
            ]
        },
        now: &[
            "Try user and password with psql. In a URL `@`, `:`, `/`, `#`, and `%` of a password must be percent-encoded.",
        ],
        change: &["Keep one source of passwords, and reload the gate when one changes."],
    },
    Known {
        id: "postgres-hba",
        title: "pg_hba.conf lets nobody in from there",
        layer: Postgres,
        said_by: "PostgreSQL",
        weight: Cause,
        sqlstate: "28000",
        texts: &[
            text(
                "no pg_hba.conf entry for host \"{host}\", user \"{user}\", database \"{database}\"",
                "PostgreSQL 9.6 to 18",
            ),
            text(
                "pg_hba.conf rejects connection for host \"{host}\", user \"{user}\", database \"{database}\"",
                "PostgreSQL 9.6 to 18",
            ),
        ],
        reckon: None,
        means: "No line of pg_hba.conf allows user {user} to connect to database {database} from {host}. The end of the message says whether the connection was encrypted: often only encrypted ones are allowed.",
        see: const { &[sql("SELECT * FROM pg_hba_file_rules", "the lines that hold")] },
        now: &[
            "Connect with `sslmode=require` if the message says \"no encryption\" or \"SSL off\".",
        ],
        change: &[
            "Add a line for {host}; behind the gate that is the gate's address, not the application's.",
        ],
    },
    Known {
        id: "postgres-no-database",
        title: "There is no such database",
        layer: Postgres,
        said_by: "PostgreSQL",
        weight: Cause,
        sqlstate: "3D000",
        texts: &[text("database \"{database}\" does not exist", "PostgreSQL 9.6 to 18")],
        reckon: None,
        means: "The server has no database \"{database}\". A URL without a database means one with the name of the user.",
        see: const { &[sql("SELECT datname FROM pg_database", "those that there are")] },
        now: &["Correct the name at the end of the URL."],
        change: &["Create it in the step that sets up the environment, before the service starts."],
    },
    Known {
        id: "postgres-idle-in-transaction",
        title: "A transaction was left open, and idle",
        layer: Postgres,
        said_by: "PostgreSQL, or the gate (TG016)",
        weight: Cause,
        sqlstate: "25P03",
        texts: &[text(
            "terminating connection due to idle-in-transaction timeout",
            "PostgreSQL 9.6 to 18; Tidegate",
        )],
        reckon: None,
        means: "The application began a transaction and then said nothing for longer than it may. Meanwhile it kept a connection and its locks. The transaction was rolled back and the connection ended. It is the commonest leak there is.",
        see: const {
            &[
                part(
                    "HINT",
                    "with (TG016) it was the gate's `timeouts.idle_in_transaction`, without a HINT PostgreSQL's idle_in_transaction_session_timeout",
                ),
                command("tidegate ps holders", "who is idle in a transaction now"),
                sql(
                    "SELECT pid, application_name, client_addr, now() - xact_start AS open, query FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' ORDER BY xact_start",
                    "open transactions, and the last statement of each",
                ),
            ]
        },
        now: &[
            "Find what the application does after the last statement of that transaction: a call over HTTP, a streamed response, a task that was cancelled, an exception that skipped `close()`.",
        ],
        change: &[
            "End the transaction before waiting for anything else, with a context manager (`async with session.begin()`, `with conn.transaction()`).",
            "Keep the time-out: a longer one only hides it.",
        ],
    },
    Known {
        id: "postgres-transaction-timeout",
        title: "A transaction lasted for too long",
        layer: Postgres,
        said_by: "PostgreSQL 17 and later, or the gate (TG030)",
        weight: Cause,
        sqlstate: "25P04",
        texts: &[text(
            "terminating connection due to transaction timeout",
            "PostgreSQL 17 and 18; Tidegate",
        )],
        reckon: None,
        means: "The transaction had not ended in time, busy or not. It was rolled back.",
        see: const {
            &[
                part(
                    "HINT",
                    "with (TG030) it was the gate's `timeouts.transaction`, without a HINT PostgreSQL's transaction_timeout",
                ),
                metric(
                    "tidegate_timeouts_total{kind=\"transaction\"}",
                    "how often the gate did it",
                ),
            ]
        },
        now: &["Repeat the work in smaller transactions."],
        change: &[
            "Give the role that needs longer its own limit: `ALTER ROLE … SET transaction_timeout`, or a `[[pool_for]]` of the gate.",
        ],
    },
    Known {
        id: "postgres-idle-session",
        title: "A connection was idle for longer than it may be",
        layer: Postgres,
        said_by: "PostgreSQL, or the gate (TG031)",
        weight: Cause,
        sqlstate: "57P05",
        texts: &[text(
            "terminating connection due to idle-session timeout",
            "PostgreSQL 14 to 18; Tidegate",
        )],
        reckon: None,
        means: "Nothing was under way, and nothing is lost but the connection. The application's pool held on to it for longer than the server or the gate allows.",
        see: const {
            &[
                part(
                    "HINT",
                    "with (TG031) it was the gate's `timeouts.client_idle`, without a HINT PostgreSQL's idle_session_timeout",
                ),
                metric(
                    "tidegate_timeouts_total{kind=\"client_idle\"}",
                    "how often the gate did it",
                ),
            ]
        },
        now: &[
            "Connect again: a pool that checks connections before use (pool_pre_ping) does it by itself.",
        ],
        change: &[
            "Let the application's pool close idle connections sooner (pool_recycle, idleTimeout, max_idle).",
        ],
    },
    Known {
        id: "postgres-statement-cancelled",
        title: "A statement was cancelled",
        layer: Postgres,
        said_by: "PostgreSQL",
        weight: Cause,
        sqlstate: "57014",
        texts: &[
            text("canceling statement due to statement timeout", "PostgreSQL 9.6 to 18"),
            text(
                "canceling statement due to user request",
                "PostgreSQL 9.6 to 18; Tidegate, for a statement that still waited (TG017)",
            ),
        ],
        reckon: None,
        means: "\"statement timeout\" is PostgreSQL's statement_timeout. \"user request\" is a cancel: of the driver, whose own time-out was up, or of a person. Within a transaction everything of it is undone. The gate's own query time-out has other words (TG028).",
        see: const {
            &[
                metric("tidegate_cancel_requests_total", "cancels that came through the gate"),
                sql(
                    "SELECT pid, wait_event_type, wait_event, now() - query_start AS runs, query FROM pg_stat_activity WHERE state = 'active' ORDER BY query_start",
                    "what runs, and what it waits for",
                ),
            ]
        },
        now: &[
            "Look whether the statement works or waits for a lock: wait_event_type \"Lock\" names the latter.",
        ],
        change: &[
            "Make it do less: an index, a LIMIT, fewer rows at a time; `EXPLAIN (ANALYZE, BUFFERS)` says what it does.",
            "Give reports a role with a statement_timeout of its own.",
        ],
    },
    Known {
        id: "postgres-lock-timeout",
        title: "A lock was not free in time",
        layer: Postgres,
        said_by: "PostgreSQL",
        weight: Cause,
        sqlstate: "55P03",
        texts: &[
            text("canceling statement due to lock timeout", "PostgreSQL 9.6 to 18"),
            text("could not obtain lock on", "PostgreSQL 9.6 to 18 (NOWAIT)"),
        ],
        reckon: None,
        means: "The statement waited for a lock that another transaction holds, for longer than lock_timeout. In a migration that is what should happen: everybody else would queue behind it.",
        see: const {
            &[sql(
                "SELECT pid, pg_blocking_pids(pid) AS blocked_by, query FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0",
                "who waits for whom",
            )]
        },
        now: &[
            "Repeat it after a pause. If one transaction blocks it for long, look what that is at.",
        ],
        change: &[
            "Keep transactions short that write; run migrations with a short lock_timeout and repeat them.",
        ],
    },
    Known {
        id: "postgres-conflict",
        title: "Two transactions were in each other's way",
        layer: Postgres,
        said_by: "PostgreSQL",
        weight: Cause,
        sqlstate: "40001",
        texts: &[
            text("deadlock detected", "PostgreSQL 9.6 to 18 (40P01)"),
            text("could not serialize access due to", "PostgreSQL 9.6 to 18"),
        ],
        reckon: None,
        means: "Each held a lock that the other wanted, or both can't have happened one after the other. PostgreSQL has ended this one; nothing of it was committed. It is meant to be repeated.",
        see: const {
            &[part("DETAIL and PostgreSQL's log", "both statements of a deadlock, and their locks")]
        },
        now: &["Repeat the whole transaction, after a pause that is drawn at random."],
        change: &[
            "Take locks in the same order everywhere: sort rows before updating them.",
            "Have a loop around transactions that may meet this, and keep them short.",
        ],
    },
    Known {
        id: "postgres-ended",
        title: "A backend was ended from outside",
        layer: Postgres,
        said_by: "PostgreSQL",
        weight: Cause,
        sqlstate: "57P01",
        texts: &[
            text(
                "terminating connection due to administrator command",
                "PostgreSQL 9.6 to 18; also PgCat and Supavisor",
            ),
            text(
                "terminating connection because of crash of another server process",
                "PostgreSQL 9.6 to 18 (57P02)",
            ),
        ],
        reckon: None,
        means: "PostgreSQL is being stopped, somebody called pg_terminate_backend, a managed platform did maintenance, or (\"crash of another server process\") one backend crashed and took all others with it. What was not committed is rolled back.",
        see: const {
            &[
                part("PostgreSQL's log", "who asked for it, or which process crashed and how"),
                metric(
                    "tidegate_server_connections_closed_total{reason=\"upstream\"}",
                    "servers of the gate that it hit",
                ),
            ]
        },
        now: &["Connect again and repeat the transaction as a whole, where it may run twice."],
        change: &[
            "Let the application repeat transactions on 57P01. If processes crash, look for memory (signal 9) or an extension (signal 11).",
        ],
    },
    Known {
        id: "postgres-prepared",
        title: "A pooler has mixed up prepared statements",
        layer: Postgres,
        said_by: "PostgreSQL, behind a pooler in transaction mode",
        weight: Cause,
        sqlstate: "42P05",
        texts: &[
            text(
                "prepared statement \"{name}\" already exists",
                "PostgreSQL 9.6 to 18; asyncpg 0.32 adds a note about pgbouncer",
            ),
            text("prepared statement \"{name}\" does not exist", "PostgreSQL 9.6 to 18 (26000)"),
            text("prepared statement did not exist", "PgBouncer 1.25"),
            text("prepared statement name is already in use", "PgBouncer 1.25"),
        ],
        reckon: None,
        means: "The driver prepared a statement on one connection to PostgreSQL and meets another: a pooler in transaction mode has changed it in between, or something has run DEALLOCATE ALL or DISCARD ALL. Tidegate gives each client its own names and prepares anew where its server lacks a statement.",
        see: const {
            &[
                sql(
                    "SELECT name, statement FROM pg_prepared_statements",
                    "what this connection has",
                ),
                metric(
                    "tidegate_prepared_parses_total",
                    "statements that the gate prepared for its clients",
                ),
            ]
        },
        now: &[
            "Connect to the transaction port of the gate: named statements work there with every driver's defaults.",
        ],
        change: &[
            "Behind PgBouncer: 1.21 or later with max_prepared_statements. Behind a pooler without it: `statement_cache_size=0` (asyncpg), `prepare_threshold=None` (psycopg), `prepareThreshold=0` (pgjdbc), `?pgbouncer=true` (Prisma).",
        ],
    },
    Known {
        id: "postgres-cached-plan",
        title: "A table has changed under a prepared statement",
        layer: Postgres,
        said_by: "PostgreSQL",
        weight: Cause,
        sqlstate: "0A000",
        texts: &[text("cached plan must not change result type", "PostgreSQL 9.6 to 18")],
        reckon: None,
        means: "A migration has changed the columns of a table, and the statement was prepared before it. Drivers that decode by what they were told (asyncpg, pgx, tokio-postgres) must prepare it anew; others notice nothing through the gate.",
        see: const {
            &[metric("tidegate_prepared_healed_total", "batches that the gate sent again for it")]
        },
        now: &["Repeat the transaction."],
        change: &["Name columns instead of `SELECT *`, so that a new column changes no result."],
    },
    Known {
        id: "postgres-read-only",
        title: "The server takes no writes",
        layer: Postgres,
        said_by: "PostgreSQL",
        weight: Cause,
        sqlstate: "25006",
        texts: &[text(
            "cannot execute {command} in a read-only transaction",
            "PostgreSQL 9.6 to 18",
        )],
        reckon: None,
        means: "{command|A statement} would write, and the transaction is read-only: the connection leads to a standby (after a fail-over, an old address), or default_transaction_read_only is on. Managed platforms switch that on when a disk is full.",
        see: const {
            &[sql(
                "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')",
                "whether it is a standby, and the setting",
            )]
        },
        now: &["Find out whether there was a fail-over, or the disk is full."],
        change: &[
            "Name all hosts in `upstream.url` with target_session_attrs=read-write: the gate then leaves a host that takes no writes.",
        ],
    },
    Known {
        id: "postgres-aborted",
        title: "An error before this one has ended the transaction",
        layer: Postgres,
        said_by: "PostgreSQL",
        weight: Symptom,
        sqlstate: "25P02",
        texts: &[text(
            "current transaction is aborted, commands ignored until end of transaction block",
            "PostgreSQL 9.6 to 18",
        )],
        reckon: None,
        means: "A statement of this transaction has failed, and the application went on with it. This error says nothing of the cause: the first one does.",
        see: const { &[part("the application's log", "the first error of the same transaction")] },
        now: &["Roll back, and look for the error before this one."],
        change: &[
            "Don't swallow errors within a transaction; use a savepoint where one may be expected.",
        ],
    },
];
