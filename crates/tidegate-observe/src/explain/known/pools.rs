//! What the pools in applications say. None of them has asked PostgreSQL or the gate: they wait for
//! their own connections.

use tidegate_wire::catalogue::pages::{command, metric, text as part};

use super::super::template::Values;
use super::Layer::ApplicationPool;
use super::Weight::Cause;
use super::{Known, text};

/// Python, JavaScript, the JVM, and the rest.
pub const KNOWN: &[Known] = &[
    Known {
        id: "sqlalchemy-queue-pool",
        title: "SQLAlchemy's pool is used up",
        layer: ApplicationPool,
        said_by: "SQLAlchemy's QueuePool, in this process",
        weight: Cause,
        sqlstate: "",
        texts: &[
            text(
                "QueuePool limit of size {#size} overflow {#overflow} reached, connection timed out, timeout {#timeout}",
                "SQLAlchemy 1.4 to 2.1, pool/impl.py (3o7r)",
            ),
            text("QueuePool limit of size", "SQLAlchemy, all versions"),
        ],
        reckon: Some(total),
        means: "All {total|} connections that one process may have (pool_size {size|5} + max_overflow {overflow|10}) were checked out, and none came back within {timeout|30} s. Neither PostgreSQL nor the gate refused anything: the statement was never sent. Either sessions stay open for longer than they work (a leak), or so many requests at once need more.",
        see: const {
            &[
                part("`engine.pool.status()` in the application", "how many are checked out"),
                command(
                    "tidegate ps clients",
                    "what the clients of this application do: \"idle\" ones that the pool calls checked out are held by sessions that do nothing",
                ),
                metric(
                    "tidegate_client_connections",
                    "clients by state: many idle and few active means sessions that are held for nothing",
                ),
                metric(
                    "tidegate_checkout_queue_length",
                    "whether clients wait at the gate, too; if so, that is the cause",
                ),
            ]
        },
        now: &[
            "See in `tidegate ps holders` whether the gate's servers are all held as well: if so, look there first.",
            "Look for sessions that stay open over a call to something else, a streamed response, or a background task.",
        ],
        change: &[
            "Close sessions with `async with` or `with`, one for each request, and not over `await`s that have nothing to do with the database.",
            "Behind the gate's transaction port a pool may be as large as the requests that one process has at once: {total|15} now. An idle client costs no connection to PostgreSQL.",
            "Without a gate four such processes open up to {four|60} connections; that must fit the plan.",
            "Make `pool_timeout` of the application shorter than its request time-out, and `pool.pool_timeout` of the gate shorter than that, so that the gate's reason is heard.",
        ],
    },
    Known {
        id: "sqlalchemy-leak",
        title: "A connection of SQLAlchemy was never given back",
        layer: ApplicationPool,
        said_by: "SQLAlchemy",
        weight: Cause,
        sqlstate: "",
        texts: &[text(
            "The garbage collector is trying to clean up non-checked-in connection",
            "SQLAlchemy 1.4 to 2.1, pool/base.py",
        )],
        reckon: None,
        means: "An AsyncConnection or AsyncSession was dropped without close(). Until the garbage collector found it, it took a connection of the pool, often with an open transaction.",
        see: const {
            &[
                command("tidegate ps holders", "clients that are idle in a transaction"),
                part(
                    "`python -X tracemalloc`, and warnings as errors in tests",
                    "where it was made",
                ),
            ]
        },
        now: &[
            "Look for `AsyncSession(...)` or `engine.connect()` without `async with`, and for tasks that are cancelled.",
        ],
        change: &["Use `async with`; in FastAPI a dependency with `yield` inside of `async with`."],
    },
    Known {
        id: "psycopg-pool-timeout",
        title: "psycopg's pool is used up",
        layer: ApplicationPool,
        said_by: "psycopg_pool, in this process",
        weight: Cause,
        sqlstate: "",
        texts: &[
            text(
                "couldn't get a connection after {#timeout} sec",
                "psycopg_pool 3.1 to 3.3, pool.py (PoolTimeout)",
            ),
            text(
                "pool initialization incomplete after {#timeout} sec",
                "psycopg_pool 3.1 to 3.3, pool.py (PoolTimeout)",
            ),
            text(
                "has already {#waiting} requests waiting",
                "psycopg_pool 3.1 to 3.3, pool.py (TooManyRequests)",
            ),
        ],
        reckon: None,
        means: "No connection of the pool was free in time ({timeout|30} s), or it could not open any: the pool tells errors of connecting only to its log (\"error connecting in 'pool-1'\"). The statement was never sent.",
        see: const {
            &[
                part(
                    "`pool.get_stats()`, and the logger \"psycopg.pool\"",
                    "requests_waiting, pool_available, and errors of connecting",
                ),
                command("tidegate ps clients", "what the clients of this application do"),
            ]
        },
        now: &[
            "Read the log of \"psycopg.pool\": if connecting fails, that is the cause; explain that.",
        ],
        change: &[
            "Use `with pool.connection()` around the work alone; raise max_size (4 by default) behind the gate's transaction port.",
        ],
    },
    Known {
        id: "asyncpg-pool-timeout",
        title: "asyncpg's pool is used up, or a connection took too long",
        layer: ApplicationPool,
        said_by: "asyncpg's pool, in this process",
        weight: Cause,
        sqlstate: "",
        texts: &[text(
            "asyncpg/pool.py{**}TimeoutError",
            "asyncpg 0.32, pool.py: a TimeoutError without words",
        )],
        reckon: None,
        means: "`pool.acquire()` with a timeout got no connection in time: all of them (max_size, 10 by default) were acquired. Without a timeout it waits for ever. The statement was never sent.",
        see: const {
            &[
                part(
                    "`pool.get_size()` and `pool.get_idle_size()`",
                    "how many there are, and how many are free",
                ),
                command("tidegate ps clients", "what the clients of this application do"),
            ]
        },
        now: &[
            "Look for `acquire()` without `release()`, and for work within `async with pool.acquire()` that has nothing to do with the database.",
        ],
        change: &[
            "Raise max_size behind the gate's transaction port: an idle client costs no connection to PostgreSQL.",
        ],
    },
    Known {
        id: "prisma-pool",
        title: "Prisma's pool is used up",
        layer: ApplicationPool,
        said_by: "Prisma, in this process",
        weight: Cause,
        sqlstate: "",
        texts: &[
            text(
                "Timed out fetching a new connection from the connection pool. More info: {*} (Current connection pool timeout: {#timeout}, connection limit: {#limit})",
                "Prisma 4 to 6 (P2024)",
            ),
            text(
                "(Current connection pool timeout: {#timeout}, connection limit: {#limit})",
                "Prisma 4 to 6 (P2024)",
            ),
            text("Timed out fetching a new connection from the", "Prisma, all versions (P2024)"),
            text("P2024", "Prisma's code"),
            text("Unable to start a transaction in the given time", "Prisma 4 to 6 (P2028)"),
        ],
        reckon: None,
        means: "All {limit|} connections of this process (connection_limit; by default twice the processors and one) were in use, and none came back within {timeout|10} s (pool_timeout). The statement was never sent.",
        see: const {
            &[
                part(
                    "`prisma.$metrics` or the number of PrismaClient objects",
                    "each has a pool of its own",
                ),
                command("tidegate ps clients", "what the clients of this application do"),
            ]
        },
        now: &[
            "Look for more than one `new PrismaClient()` (hot reload makes one each time), for `Promise.all` over many queries, and for queries of the outer client within `$transaction`.",
        ],
        change: &[
            "Set `connection_limit` of the URL to what one process needs at once, with the gate's transaction port as its address.",
        ],
    },
    Known {
        id: "prisma-full",
        title: "Prisma was refused: the database is full",
        layer: ApplicationPool,
        said_by: "Prisma, in PostgreSQL's or a pooler's words",
        weight: Cause,
        sqlstate: "53300",
        texts: &[
            text("Too many database connections opened", "Prisma 5 and 6 (P2037)"),
            text("P2037", "Prisma's code"),
        ],
        reckon: None,
        means: "PostgreSQL, or a pooler in front of it, has no connection left; the words behind the colon are its own.",
        see: const { &[part("the words behind the colon", "who refused: explain them, too")] },
        now: &["See who holds connections: explain \"53300\"."],
        change: &[
            "Let every process connect to the gate's transaction port, with a small `connection_limit`.",
        ],
    },
    Known {
        id: "hikari-pool",
        title: "HikariCP's pool is used up",
        layer: ApplicationPool,
        said_by: "HikariCP, in this process",
        weight: Cause,
        sqlstate: "",
        texts: &[
            text(
                "Connection is not available, request timed out after {#timeout}ms (total={#total}, active={#active}, idle={#idle}, waiting={#waiting})",
                "HikariCP 5.1 to 6, HikariPool.java",
            ),
            text(
                "Connection is not available, request timed out after {#timeout}ms",
                "HikariCP 2.4 to 6, HikariPool.java",
            ),
            text("Apparent connection leak detected", "HikariCP, ProxyLeakTask.java"),
        ],
        reckon: None,
        means: "No connection of the pool was free within {timeout|30000} ms: {active|all} of {total|them} were in use and {waiting|others} waited. If total is below maximumPoolSize, connecting fails; the exception's cause (\"Caused by\") then has PostgreSQL's words.",
        see: const {
            &[
                part(
                    "hikaricp_connections_pending, _active, and _usage",
                    "how many wait, and how long connections are held",
                ),
                part(
                    "leakDetectionThreshold",
                    "the stack of whoever took a connection and keeps it",
                ),
                command("tidegate ps clients", "what the clients of this application do"),
            ]
        },
        now: &[
            "Read \"Caused by\" first. Otherwise take a thread dump: who is within a transaction, and waits for something else?",
        ],
        change: &[
            "Keep calls to other services out of `@Transactional`, and switch `spring.jpa.open-in-view` off.",
            "Raise maximumPoolSize (10) behind the gate's transaction port.",
        ],
    },
    Known {
        id: "node-postgres-pool",
        title: "node-postgres' pool is used up, or connecting takes too long",
        layer: ApplicationPool,
        said_by: "pg-pool, in this process",
        weight: Cause,
        sqlstate: "",
        texts: &[
            text("timeout exceeded when trying to connect", "pg-pool 3, index.js"),
            text("Connection terminated due to connection timeout", "pg-pool 3, index.js"),
            text("Cannot use a pool after calling end on the pool", "pg-pool 3, index.js"),
        ],
        reckon: None,
        means: "No client of the pool (max, 10 by default) was released within connectionTimeoutMillis, or a new connection was not ready in that time. The statement was never sent.",
        see: const {
            &[
                part(
                    "`pool.totalCount`, `pool.idleCount`, `pool.waitingCount`",
                    "whether all are checked out",
                ),
                command("tidegate ps clients", "what the clients of this application do"),
            ]
        },
        now: &["Look for `pool.connect()` without `client.release()` in `finally`."],
        change: &[
            "Use `pool.query()` for single statements; raise `max` behind the gate's transaction port.",
        ],
    },
    Known {
        id: "application-pool",
        title: "The application's own pool is used up",
        layer: ApplicationPool,
        said_by: "a pool in this process",
        weight: Cause,
        sqlstate: "",
        texts: &[
            text("Timeout acquiring a connection. The pool is probably full", "Knex 0.95 to 3"),
            text("ConnectionAcquireTimeoutError", "Sequelize 5 to 7"),
            text(
                "The connection pool has been exhausted, either raise 'Max Pool Size' (currently {#size}) or 'Timeout' (currently {#timeout} seconds)",
                "Npgsql 7 to 9",
            ),
            text(
                "The connection pool has been exhausted, either raise MaxPoolSize (currently {#size}) or Timeout (currently {#timeout} seconds)",
                "Npgsql 3 to 6",
            ),
            text(
                "could not obtain a connection from the pool within {#timeout} seconds (waited {#waited} seconds)",
                "Rails 5 to 8 (ActiveRecord)",
            ),
            text(
                "connection not available and request was dropped from queue after {#waited}ms",
                "Ecto 3 (DBConnection 2)",
            ),
            text("pool timed out while waiting for an open connection", "sqlx 0.6 to 0.8 (Rust)"),
            text(
                "Timeout occurred while waiting for a slot to become available",
                "deadpool 0.9 to 0.13 (Rust)",
            ),
            text("Timed out in bb8", "bb8 0.8 and 0.9 (Rust)"),
            text("timed out waiting for connection", "r2d2 0.8 (Rust)"),
            text("Timeout waiting for idle object", "Apache DBCP 2"),
            text(
                "Unable to fetch a connection in {#timeout} seconds, none available[size:{#size}; busy:{#busy}; idle:{#idle}",
                "Tomcat JDBC 8 to 11",
            ),
            text("connection pool exhausted", "psycopg2.pool (PoolError)"),
        ],
        reckon: None,
        means: "No connection of this process's pool was free in time ({timeout|its timeout}). Neither PostgreSQL nor the gate refused anything: the statement was never sent. Either connections are held for longer than they work, or so many tasks at once need more than {size|there are}.",
        see: const {
            &[
                command(
                    "tidegate ps clients",
                    "what the clients of this application do: many idle ones are held for nothing",
                ),
                metric(
                    "tidegate_checkout_queue_length",
                    "whether clients wait at the gate, too; if so, that is the cause",
                ),
            ]
        },
        now: &[
            "Look for connections that are not given back after an error, and for work within a transaction that has nothing to do with the database.",
        ],
        change: &[
            "Give connections back as soon as the work with the database is done.",
            "Behind the gate's transaction port a larger pool costs no connection to PostgreSQL.",
        ],
    },
];

/// What one process may open, and what four may.
fn total(values: &mut Values) {
    let number = |name: &str| {
        let (_, value) = values.iter().find(|(known, _)| *known == name)?;
        value.parse::<u64>().ok()
    };
    if let (Some(size), Some(overflow)) = (number("size"), number("overflow")) {
        let total = size.saturating_add(overflow);
        values.push(("total", total.to_string()));
        values.push(("four", total.saturating_mul(4).to_string()));
    }
}
