//! What drivers say themselves: that there is no connection, or none any more.

use tidegate_wire::catalogue::pages::{command, metric, text as part};

use super::Layer::Driver;
use super::Weight::{Cause, Symptom};
use super::{Known, text};

/// Connecting, then working.
pub const KNOWN: &[Known] = &[
    Known {
        id: "driver-refused",
        title: "Nobody listens at that address",
        layer: Driver,
        said_by: "the driver, in the words of the system",
        weight: Cause,
        sqlstate: "",
        texts: &[
            text(
                "connection to server at \"{host}\", port {#port} failed: Connection refused",
                "libpq 14 to 18 (psycopg, psql)",
            ),
            text(
                "connection to server at \"{host}\" {*}, port {#port} failed: Connection refused",
                "libpq 14 to 18 (psycopg, psql)",
            ),
            text("connection to server on socket \"{socket}\" failed", "libpq 14 to 18"),
            text("could not connect to server: Connection refused", "libpq before 14"),
            text("Connect call failed ('{host}', {#port}", "Python asyncio (asyncpg 0.32)"),
            text("connect ECONNREFUSED {address}", "node.js (node-postgres 8)"),
            text("Can't reach database server at {*}{address}", "Prisma (P1001)"),
            text("Connection to {host}:{#port} refused", "pgjdbc 42"),
            text("ECONNREFUSED", "node.js"),
            text("Connection refused (os error 111)", "Rust"),
        ],
        reckon: None,
        means: "Nothing accepts connections at {host|the address of the URL}: the gate or PostgreSQL is not running, listens elsewhere (another port, or only 127.0.0.1 while a container asks), or just restarts.",
        see: const {
            &[
                command("tidegate status", "whether the gate runs"),
                part("`ss -ltnp` on that machine", "who listens, and at which address"),
            ]
        },
        now: &[
            "Compare host and port of the URL with `listen.session` (6543) and `listen.transaction` (6544). Within a container 127.0.0.1 is the container.",
        ],
        change: &[
            "Let `/readyz` say when the gate takes clients, and start applications after it.",
            "Let `listen.transaction` name an address that other machines reach.",
        ],
    },
    Known {
        id: "driver-no-host",
        title: "The name of the host is not known",
        layer: Driver,
        said_by: "the driver, in the words of the resolver",
        weight: Cause,
        sqlstate: "",
        texts: &[
            text("could not translate host name \"{host}\" to address", "libpq (psycopg, psql)"),
            text("failed to resolve host '{host}'", "psycopg 3"),
            text("getaddrinfo ENOTFOUND {host}", "node.js"),
            text("nodename nor servname provided, or not known", "macOS"),
            text("Name or service not known", "Linux (glibc)"),
            text("Temporary failure in name resolution", "Linux (glibc)"),
        ],
        reckon: None,
        means: "No address was found for {host|the host of the URL}. Supabase's direct hosts have IPv6 addresses only.",
        see: const { &[part("`getent hosts NAME` on that machine", "what it resolves to")] },
        now: &[
            "Look for a typing error, and for a `/` or `@` of the password that is not percent-encoded.",
        ],
        change: &[
            "The gate keeps its servers while names can't be looked up, and looks again every 30 seconds.",
        ],
    },
    Known {
        id: "driver-tls",
        title: "One side wants TLS and the other has none",
        layer: Driver,
        said_by: "the driver",
        weight: Cause,
        sqlstate: "",
        texts: &[
            text("server does not support SSL, but SSL was required", "libpq (psycopg, psql)"),
            text("The server does not support SSL connections", "node-postgres 8"),
            text("rejected SSL upgrade", "asyncpg 0.32"),
        ],
        reckon: None,
        means: "The client asks for TLS, and what it has reached offers none. The gate offers it with `listen.tls`.",
        see: const {
            &[metric(
                "tidegate_client_connections_rejected_total{reason=\"tls\"}",
                "handshakes with the gate that failed",
            )]
        },
        now: &[
            "Connect with `sslmode=prefer` on a machine of your own, or give the gate a certificate.",
        ],
        change: &[
            "Set `listen.tls = \"require\"` with `listen.tls_cert` and `listen.tls_key` wherever clients come over a network.",
        ],
    },
    Known {
        id: "driver-lost",
        title: "The connection ended without a reason that the driver could tell",
        layer: Driver,
        said_by: "the driver",
        weight: Symptom,
        sqlstate: "08006",
        texts: &[
            text("server closed the connection unexpectedly", "libpq (psycopg, psql)"),
            text("SSL connection has been closed unexpectedly", "libpq (psycopg, psql)"),
            text(
                "connection was closed in the middle of operation",
                "asyncpg 0.32, protocol.pyx (08003)",
            ),
            text("connection is closed", "asyncpg 0.32, psycopg 3"),
            text("Connection terminated unexpectedly", "node-postgres 8, client.js"),
            text("Server has closed the connection", "Prisma (P1017)"),
            text("An I/O error occurred while sending to the backend", "pgjdbc 42 (08006)"),
            text("unexpected EOF", "pgx 5"),
            text("Connection reset by peer", "the system"),
        ],
        reckon: None,
        means: "The connection was closed by the other side or by something between. Drivers often lose the last words of the server (a FATAL that comes with the end): the reason stands in the log of whoever closed it. A statement that was under way may or may not have been executed.",
        see: const {
            &[
                metric(
                    "tidegate_client_connections_closed_total",
                    "by reason, clients that have gone: drain, killed, memory, server_lost, timeout",
                ),
                metric(
                    "tidegate_server_connections_closed_total{reason=\"upstream\"}",
                    "servers that PostgreSQL or the network ended",
                ),
                part("the gate's log at that time", "who was closed, and why"),
            ]
        },
        now: &[
            "Look into the gate's log, then into PostgreSQL's, at that second.",
            "Repeat what may run twice.",
        ],
        change: &[
            "Check connections before use (pool_pre_ping), and replace them before something between forgets them (pool_recycle below 350 s behind a load balancer of AWS).",
            "The gate sends ERROR instead of FATAL wherever the client can go on, so that drivers keep the text.",
        ],
    },
    Known {
        id: "driver-shared",
        title: "Two tasks use one connection at once",
        layer: Driver,
        said_by: "asyncpg, SQLAlchemy, or psycopg",
        weight: Cause,
        sqlstate: "",
        texts: &[
            text(
                "cannot perform operation: another operation is in progress",
                "asyncpg 0.32, protocol.pyx",
            ),
            text("another operation ({*}) is in progress", "asyncpg 0.32, coreproto.pyx"),
            text(
                "This session is provisioning a new connection; concurrent operations are not permitted",
                "SQLAlchemy 2",
            ),
            text("attached to a different loop", "Python asyncio"),
            text("another command is already in progress", "libpq, psycopg"),
        ],
        reckon: None,
        means: "A connection (or an AsyncSession) can do one thing at a time, and two tasks have used it together, or it was opened in another event loop. Neither PostgreSQL nor the gate has to do with it.",
        see: const { &[part("the traceback", "the second use; the first is another task")] },
        now: &[
            "Look for `asyncio.gather` over one session, for a session that is global, and for one that a background task keeps after the request.",
        ],
        change: &[
            "One session for each task; one engine for each event loop (dispose it after a fork).",
        ],
    },
];
