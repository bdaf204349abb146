//! What the page of each error says: who meets it, what has happened, where it shows, what to do.
//!
//! The pages under `docs/errors/` and `tidegate explain` print this; the wire prints the table
//! beside it. Names between backticks are real: tests compare metrics with the page for scrapers,
//! settings with their table, log lines with the sources, and commands with the command line.

use super::Code;

/// What is said of an error beyond its text.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Who gets it, in a few words.
    pub met_by: &'static str,
    /// What has happened.
    pub cause: &'static str,
    /// Where it shows.
    pub evidence: &'static [Sign],
    /// What to do about this one.
    pub now: &'static [&'static str],
    /// What to change so that it does not come back.
    pub lasting: &'static [&'static str],
    /// Documents with more, below `docs/`: title and path.
    pub more: &'static [(&'static str, &'static str)],
}

/// Something that can be looked at.
#[derive(Debug, Clone, Copy)]
pub struct Sign {
    /// Where.
    pub place: Place,
    /// What it shows there.
    pub shows: &'static str,
}

/// Where something shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A metric of `/metrics`, with labels where they matter.
    Metric(&'static str),
    /// A line of the gate's log, without its fields.
    Log(&'static str),
    /// A command.
    Command(&'static str),
    /// A statement for PostgreSQL.
    Sql(&'static str),
    /// A part of the error itself, or of what said it.
    Text(&'static str),
}

impl Place {
    /// What it is called, without what is to be typed.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Metric(_) => "metric",
            Self::Log(_) => "log",
            Self::Command(_) => "command",
            Self::Sql(_) => "sql",
            Self::Text(_) => "text",
        }
    }

    /// What is to be typed or looked for.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Metric(words)
            | Self::Log(words)
            | Self::Command(words)
            | Self::Sql(words)
            | Self::Text(words) => words,
        }
    }

    /// As people read it: what the log fills in is left open.
    pub fn shown(self) -> String {
        let mut shown = String::new();
        let mut rest = self.words();
        // Labels of metrics stand between braces, too.
        while let (Self::Log(_), Some((before, after))) = (self, rest.split_once('{')) {
            shown.push_str(before);
            shown.push('…');
            rest = after.split_once('}').map_or("", |(_, after)| after);
        }
        shown + rest
    }
}

/// A metric.
pub const fn metric(name: &'static str, shows: &'static str) -> Sign {
    Sign { place: Place::Metric(name), shows }
}

/// A line of the gate's log.
pub const fn log(line: &'static str, shows: &'static str) -> Sign {
    Sign { place: Place::Log(line), shows }
}

/// A command.
pub const fn command(line: &'static str, shows: &'static str) -> Sign {
    Sign { place: Place::Command(line), shows }
}

/// A statement for PostgreSQL.
pub const fn sql(statement: &'static str, shows: &'static str) -> Sign {
    Sign { place: Place::Sql(statement), shows }
}

/// A part of the error, or of what said it.
pub const fn text(part: &'static str, shows: &'static str) -> Sign {
    Sign { place: Place::Text(part), shows }
}

const BREAKS: (&str, &str) = ("When something breaks", "operations.md");
const BEHAVES: (&str, &str) = ("How the gate behaves", "guide/how-it-behaves.md");
const PORT: (&str, &str) = ("The transaction port", "transaction-mode.md");
const TLS: (&str, &str) = ("TLS", "guide/tls.md");
const CONSOLE: (&str, &str) = ("The admin console", "console.md");
const AUTH: (&str, &str) = ("Who may log in", "auth.md");

/// Who holds connections beside the gate. The gate's own are among the rest.
pub const WHO_IS_CONNECTED: &str = "SELECT usename, application_name, client_addr, state, count(*), max(now() - state_change) FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC";

impl Code {
    /// What its page says. The compiler sees to it that each code has one.
    pub const fn page(self) -> Page {
        match self {
            Self::PoolTimeout => Page {
                met_by: "whoever waits for a server for longer than `pool.pool_timeout`",
                cause: "Every server that the client's pool may have was in other clients' hands, for as long as the client waited. Either transactions hold servers for too long, or more work comes than so many servers can do. Nothing of the statement was sent.",
                evidence: const {
                    &[
                        command(
                            "tidegate ps holders",
                            "who holds a server, the longest first, and whether it works or is idle in a transaction",
                        ),
                        command(
                            "tidegate status",
                            "how many wait, for how long, and what bounds the budget",
                        ),
                        metric(
                            "tidegate_checkouts_total{outcome=\"timeout\"}",
                            "how often it happens",
                        ),
                        metric(
                            "tidegate_server_hold_seconds",
                            "how long transactions keep servers",
                        ),
                        metric(
                            "tidegate_checkout_queue_oldest_seconds",
                            "how long the first has waited, while it waits",
                        ),
                        text(
                            "DETAIL",
                            "how many servers are leased of how many there may be, how many clients wait, and why no other server is opened",
                        ),
                    ]
                },
                now: &[
                    "Look who holds servers: `tidegate ps holders`. Holders that are `idle in transaction` do nothing with them; `tidegate kill --client ID` closes one.",
                    "Repeat what failed: nothing of it was sent.",
                ],
                lasting: &[
                    "Do not wait for anything else (HTTP, queues, users) between BEGIN and COMMIT; `timeouts.idle_in_transaction` bounds it.",
                    "Where holders work all the time: raise `pool.pool_size` or `pool.max_overflow` as far as the budget goes, then the plan.",
                    "Let applications wait for longer than `pool.pool_timeout`, so that they hear the gate's reason and not their own.",
                ],
                more: &[BREAKS, BEHAVES],
            },
            Self::UpstreamUnreachable => Page {
                met_by: "whoever waits for a server while none can be opened",
                cause: "No connection to PostgreSQL came about: nobody listens at its address, it does not answer, or it is starting up or shutting down. The client has waited for `pool.pool_timeout`, and attempts have failed meanwhile. Nothing of the statement was sent.",
                evidence: const {
                    &[
                        command(
                            "tidegate status",
                            "the last failure, and how many there were in a row",
                        ),
                        metric(
                            "tidegate_server_connect_errors_total{kind=\"transient\"}",
                            "attempts that failed",
                        ),
                        metric("tidegate_upstream_up", "whether the last probe was answered"),
                        log(
                            "can't open a server: {}",
                            "each cause, in the words of the system or of PostgreSQL",
                        ),
                    ]
                },
                now: &[
                    "Read the cause in DETAIL: \"connection refused\" means that nobody listens there, a time-out that something between drops packets, \"starting up\" that it will be well soon.",
                    "Connect from the gate's machine with psql and the URL of `upstream.url`.",
                ],
                lasting: &[
                    "Name all hosts in `upstream.url`, so that the gate finds the one that lives.",
                    "Give `pool.pool_timeout` more than a restart of PostgreSQL takes: whoever waits is served afterwards.",
                ],
                more: &[BREAKS],
            },
            Self::UpstreamRefused => Page {
                met_by: "whoever needs a server that PostgreSQL does not let the gate open",
                cause: "PostgreSQL was reached and refused the gate's login: wrong password, no such role or database, no entry of pg_hba.conf, or a role that may not log in. Waiting does not help, so the client hears it at once. The SQLSTATE is PostgreSQL's.",
                evidence: const {
                    &[
                        text("DETAIL", "PostgreSQL's words"),
                        metric(
                            "tidegate_server_connect_errors_total{kind=\"permanent\"}",
                            "refusals, by database and user",
                        ),
                        metric(
                            "tidegate_client_connections_rejected_total{reason=\"no_server\"}",
                            "clients that were turned away at their login for it",
                        ),
                        log("can't open a server: {}", "PostgreSQL's words, with the kind"),
                    ]
                },
                now: &[
                    "Connect with psql as this user to this database, from the gate's machine.",
                    "Correct `upstream.url` or the `[[user]]` entry, then `tidegate reload`. A refusal is remembered for two seconds.",
                ],
                lasting: &[
                    "When a password changes, change the settings and reload before `pool.pool_recycle` replaces the servers.",
                    "Keep passwords in files (`upstream.password_file`, `user.password_file`), so that a reload finds the new one.",
                ],
                more: &[BREAKS, AUTH],
            },
            Self::BudgetFull => Page {
                met_by: "whoever waits for a server that others' connections leave no room for",
                cause: "The limit of the plan or of PostgreSQL is used up by connections that do not pass through the gate: dashboards, migrations, cron jobs, services of the platform, applications with the old URL. What they hold, the gate does not open. Nothing of the statement was sent.",
                evidence: const {
                    &[
                        sql(WHO_IS_CONNECTED, "who is connected, from where, and how idle"),
                        metric(
                            "tidegate_budget_foreign_connections",
                            "others' connections, as of the last census",
                        ),
                        metric(
                            "tidegate_budget_denied_total",
                            "how often a pool wanted a server and the budget refused it",
                        ),
                        command(
                            "tidegate status",
                            "the budget, what bounds it, and how many others hold",
                        ),
                    ]
                },
                now: &[
                    "Find the others with the statement above; `SELECT pg_terminate_backend(pid)` ends one that is idle.",
                    "Repeat what failed: nothing of it was sent.",
                ],
                lasting: &[
                    "Let those applications connect to the gate: then they wait instead of taking slots.",
                    "Give roles that must connect directly a `CONNECTION LIMIT`.",
                    "Where the others are meant to be there, use a larger plan, or a smaller `pool.pool_size`, so that what remains is enough.",
                ],
                more: &[BREAKS],
            },
            Self::ClientLimit => Page {
                met_by: "whoever connects when `listen.clients_max` clients are connected",
                cause: "As many clients are connected as may be: `listen.clients_max`, or what the process may have of file descriptors, whichever is less. Clients cost little, so this many usually means that an application opens connections and does not close them.",
                evidence: const {
                    &[
                        metric(
                            "tidegate_client_connections_rejected_total{reason=\"max_client\"}",
                            "who was turned away",
                        ),
                        metric(
                            "tidegate_client_connections",
                            "clients by state, beside `tidegate_client_connections_max`",
                        ),
                        command("tidegate ps clients", "who is connected, and what each does"),
                        log(
                            "out of file descriptors: refused a connection; raise LimitNOFILE",
                            "that it was file descriptors which ran out",
                        ),
                    ]
                },
                now: &[
                    "See in `tidegate ps clients` which application has so many, and restart it.",
                ],
                lasting: &[
                    "Bound the application's own pool: processes times (pool_size + max_overflow) is what it opens.",
                    "Close idle clients with `timeouts.client_idle`.",
                    "Raise `listen.clients_max`, and LimitNOFILE of the service with it.",
                ],
                more: &[BREAKS],
            },
            Self::LoginFailed => Page {
                met_by: "whoever logs in with a user or password that the gate does not accept",
                cause: "The password is wrong, the user is not known to the gate, or has no password there. All three are told alike, so that nobody finds out who exists. The gate asks for its own users (`[[user]]`, `upstream.url`, `auth.query`), not for PostgreSQL's.",
                evidence: const {
                    &[
                        metric(
                            "tidegate_client_connections_rejected_total{reason=\"auth\"}",
                            "logins that failed",
                        ),
                        log(
                            "refused a connection: {}",
                            "the user and the address of whoever tried",
                        ),
                    ]
                },
                now: &[
                    "Compare the application's user and password with the gate's: `tidegate config show` names the users, never their passwords.",
                    "Look for a percent-encoded character in the password of a URL.",
                ],
                lasting: &[
                    "Let the gate look users up in PostgreSQL (`auth.query`), so that there is one list of them.",
                ],
                more: &[AUTH],
            },
            Self::StartupPacket => Page {
                met_by: "what connects and does not begin as PostgreSQL's protocol does",
                cause: "What came is no startup packet, or what followed it no part of a login: something other than a PostgreSQL driver speaks to the port (a browser, a health probe, a scanner), or TLS is begun where the port expects none. The connection ends; PostgreSQL has heard nothing of it.",
                evidence: const {
                    &[
                        metric(
                            "tidegate_client_connections_rejected_total{reason=\"startup\"}",
                            "how often",
                        ),
                        log("refused a connection: {}", "the address it came from"),
                    ]
                },
                now: &["Look who connects from that address, and to which port it should."],
                lasting: &[
                    "Let probes ask `/healthz` and `/readyz` at `listen.http`, or only open and close a connection.",
                ],
                more: &[BEHAVES, TLS],
            },
            Self::ProtocolVersion => Page {
                met_by: "clients that ask for another protocol than PostgreSQL's version 3",
                cause: "The startup packet asks for a major version of the protocol other than 3. No driver of the last twenty years does; something else may be at the other end.",
                evidence: const {
                    &[
                        metric(
                            "tidegate_client_connections_rejected_total{reason=\"startup\"}",
                            "how often",
                        ),
                        log("refused a connection: {}", "the address it came from"),
                    ]
                },
                now: &["See what connects from that address."],
                lasting: &["Use a driver that speaks protocol 3."],
                more: &[],
            },
            Self::LoginTimeout => Page {
                met_by: "clients that begin a login and do not finish it",
                cause: "The client has sent a startup packet, and then not what belongs to its login within `timeouts.client_login`. Its machine is overloaded, the network between loses packets, or it waits for a password to be typed.",
                evidence: const {
                    &[
                        metric(
                            "tidegate_client_connections_rejected_total{reason=\"timeout\"}",
                            "how often, those included that sent nothing at all",
                        ),
                        log("refused a connection: {}", "the address it came from"),
                    ]
                },
                now: &[
                    "Look whether the client's machine is short of processor time: SCRAM costs it some milliseconds for each login.",
                ],
                lasting: &[
                    "Let the application keep connections instead of opening one for each request.",
                    "Raise `timeouts.client_login`, where clients are slow by nature.",
                ],
                more: &[BREAKS],
            },
            Self::ReplicationRefused => Page {
                met_by: "replication clients: pg_basebackup, pg_receivewal, standbys, logical subscribers",
                cause: "The client asks for a replication connection. It needs a backend of its own for as long as it lives, and what it speaks is not what is pooled.",
                evidence: const {
                    &[
                        metric(
                            "tidegate_client_connections_rejected_total{reason=\"not_offered\"}",
                            "how often",
                        ),
                        log("refused a connection: {}", "the address it came from"),
                    ]
                },
                now: &["Connect to PostgreSQL directly."],
                lasting: &[
                    "Count these connections: PostgreSQL has `max_wal_senders` of its own for them, beside `max_connections`.",
                ],
                more: &[BEHAVES],
            },
            Self::ClientProtocolViolation => Page {
                met_by: "a client that sends what may not be sent at this point",
                cause: "The client has sent a message that the protocol does not allow where it stands. Almost always two threads, tasks, or processes share one connection; sometimes a driver is broken. The connection ends, since nothing that follows can be trusted, and its transaction is rolled back.",
                evidence: const {
                    &[
                        log(
                            "closed a client that broke the protocol",
                            "who it was, and what was wrong",
                        ),
                        metric(
                            "tidegate_client_connections_closed_total{reason=\"violation\"}",
                            "how often",
                        ),
                    ]
                },
                now: &[
                    "Look in the application for a connection that is used by two tasks at once, or was opened before a fork.",
                ],
                lasting: &[
                    "Give each task, and each process after a fork, a connection of its own.",
                ],
                more: &[],
            },
            Self::FrameTooLarge => Page {
                met_by: "a client that sends a message of more than a gigabyte",
                cause: "A message's length is larger than PostgreSQL itself takes. Either a value is really that large, or what speaks is no PostgreSQL driver and four bytes of its text were read as a length.",
                evidence: const {
                    &[
                        text("DETAIL", "the limit"),
                        metric(
                            "tidegate_client_connections_closed_total{reason=\"violation\"}",
                            "how often",
                        ),
                    ]
                },
                now: &["Compare the length in the message with what the application sends."],
                lasting: &["Send large values in pieces: COPY, or large objects."],
                more: &[],
            },
            Self::UpstreamLost => Page {
                met_by: "whoever has a server when its connection ends",
                cause: "The connection between the gate and PostgreSQL has ended: PostgreSQL was restarted or has crashed, the backend was ended, or the network broke. DETAIL says what is known of the statement; the gate does not send again what may have been executed.",
                evidence: const {
                    &[
                        text("DETAIL", "whether the statement was sent, and the cause"),
                        log(
                            "PostgreSQL closed a connection: {}",
                            "PostgreSQL's last words, if it had any",
                        ),
                        metric(
                            "tidegate_server_connections_closed_total{reason=\"upstream\"}",
                            "servers that PostgreSQL or the network ended",
                        ),
                        metric(
                            "tidegate_client_connections_closed_total{reason=\"server_lost\"}",
                            "clients that went with them",
                        ),
                        metric(
                            "tidegate_resends_refused_total",
                            "batches that were not moved to another server, as too many had been",
                        ),
                    ]
                },
                now: &[
                    "Read DETAIL. \"not sent\": repeat it. \"answered\": repeat the transaction as a whole. \"may or may not have been executed\": repeat it only where it may run twice.",
                    "Look into PostgreSQL's log at that time.",
                ],
                lasting: &[
                    "Let the application repeat transactions as a whole on 08006, as it does on 40001.",
                    "For single reads outside of transactions, `retry.read_only` has the gate do it.",
                    "Let nothing between close connections within `pool.pool_recycle`.",
                ],
                more: &[("What is never done", "operations.md#what-is-never-done"), BREAKS],
            },
            Self::ServerProtocol => Page {
                met_by: "whoever has a server that answers what the gate does not understand",
                cause: "An answer came that the protocol does not allow, or that nobody had asked for. The gate is wrong, or what stands at `upstream.url` is not PostgreSQL and not quite like it. The server is closed, since its state is not known.",
                evidence: const {
                    &[
                        log("closed a server: {fault}", "what was unexpected"),
                        metric(
                            "tidegate_server_connections_closed_total{reason=\"bug\"}",
                            "how often",
                        ),
                    ]
                },
                now: &["Look first whether the transaction was committed, then repeat it or not."],
                lasting: &[
                    "Report it with the log, the versions (`tidegate version`, `SELECT version()`), and the driver.",
                ],
                more: &[],
            },
            Self::Draining => Page {
                met_by: "everybody, when the gate is being stopped",
                cause: "The gate was told to end, by a signal or by `tidegate drain`, or has handed over to a new process. Clients that are at rest are told goodbye at a bounded rate, others when their transaction ends, at the latest after `timeouts.drain`.",
                evidence: const {
                    &[
                        log(
                            "shutting down: new work is refused, transactions may end",
                            "that it was asked for, and when",
                        ),
                        metric(
                            "tidegate_drain_remaining_connections",
                            "clients that are still there",
                        ),
                        metric(
                            "tidegate_client_connections_closed_total{reason=\"drain\"}",
                            "clients that were told goodbye",
                        ),
                    ]
                },
                now: &[
                    "Connect again; a pool that checks connections before use does it by itself.",
                ],
                lasting: &[
                    "Let `pool_pre_ping` of the application, or what it is called there, find connections that have ended.",
                    "Replace the binary with `tidegate run --takeover`: clients between two transactions notice nothing.",
                    "Give the supervisor more time than `timeouts.drain`.",
                ],
                more: &[
                    ("The end", "operations.md#the-end"),
                    (
                        "A new binary without a dropped client",
                        "operations.md#a-new-binary-without-a-dropped-client",
                    ),
                ],
            },
            Self::IdleInTransaction => Page {
                met_by: "a client that owes the next message of its transaction",
                cause: "The client has begun a transaction, a batch, a COPY, or a message, and then said nothing for `timeouts.idle_in_transaction`. Meanwhile it kept a server from all others, and its locks. The transaction was rolled back. PostgreSQL has the same words for its own `idle_in_transaction_session_timeout`; the code in the HINT says that it was the gate.",
                evidence: const {
                    &[
                        log(
                            "closed a client that was idle in a transaction",
                            "who it was: application, address, user",
                        ),
                        metric(
                            "tidegate_timeouts_total{kind=\"idle_in_transaction\"}",
                            "how often",
                        ),
                        command("tidegate ps holders", "who is on the way there"),
                    ]
                },
                now: &[
                    "Find in the application what it does between two statements of that transaction: a call over HTTP, a lock of its own, a response that is streamed, a task that was cancelled.",
                ],
                lasting: &[
                    "End the transaction before waiting for anything else, and close sessions in `finally` or a context manager.",
                    "Raise `timeouts.idle_in_transaction` for the user or database that needs it with a `[[pool_for]]`.",
                ],
                more: &[BEHAVES, BREAKS],
            },
            Self::QueryCancelled => Page {
                met_by: "a client that cancels its statement while it waits for a server",
                cause: "The client asked for a cancel (Ctrl-C, a time-out of its driver) while its statement still waited for a server. It was taken out of the queue; nothing was sent, so nothing has to be undone.",
                evidence: const {
                    &[
                        metric("tidegate_checkouts_total{outcome=\"cancelled\"}", "how often"),
                        metric(
                            "tidegate_cancel_requests_total{outcome=\"waiting\"}",
                            "cancels that met a waiting client",
                        ),
                        command("tidegate status", "how many wait, and for how long"),
                    ]
                },
                now: &["Repeat it, if it is still wanted."],
                lasting: &[
                    "If it is the driver's time-out, the wait is too long: see TG001 for what to do about it.",
                ],
                more: &[],
            },
            Self::StartupParameter => Page {
                met_by: "a client whose connection options PostgreSQL does not take",
                cause: "The startup packet sets a parameter that does not exist, may not be set by this user, or not to this value. The message is PostgreSQL's own.",
                evidence: const {
                    &[
                        text("DETAIL", "where the parameter stands"),
                        metric(
                            "tidegate_client_connections_rejected_total{reason=\"startup\"}",
                            "how often, where the packet itself was wrong",
                        ),
                    ]
                },
                now: &[
                    "Correct the options of the connection: `options=-c name=value` of the URL, or `server_settings`, `connect_args`, and the like.",
                ],
                lasting: &["Set what must hold for all sessions with `ALTER ROLE … SET` instead."],
                more: &[PORT],
            },
            Self::TlsRequired => Page {
                met_by: "a client that does not begin with TLS where `listen.tls` requires it",
                cause: "The port takes connections over TLS only (`listen.tls = \"require\"`), and the client began its login in clear. Nothing of what it sent was passed on.",
                evidence: const {
                    &[
                        metric(
                            "tidegate_client_connections_rejected_total{reason=\"tls\"}",
                            "how often, failed handshakes included",
                        ),
                        log("refused a connection: {}", "the address it came from"),
                    ]
                },
                now: &[
                    "Connect with `sslmode=require` or stricter (`ssl=require` for asyncpg, `ssl: true` for node-postgres).",
                ],
                lasting: &[
                    "Use `sslmode=verify-full` with the authority that has signed the gate's certificate.",
                ],
                more: &[TLS],
            },
            Self::ChannelBinding => Page {
                met_by: "a client that sees another certificate than the gate has shown",
                cause: "SCRAM binds the login to the TLS connection below it, and client and gate do not see the same one. Something between them ends TLS and begins it anew: a load balancer, a mesh, or an attacker.",
                evidence: const {
                    &[
                        text("DETAIL", "what does not agree"),
                        metric(
                            "tidegate_client_connections_rejected_total{reason=\"auth\"}",
                            "logins that failed, for whatever reason",
                        ),
                    ]
                },
                now: &[
                    "Find out what stands between: compare the certificate that the client sees (`openssl s_client -starttls postgres -connect HOST:PORT`) with the gate's.",
                ],
                lasting: &[
                    "Let what stands between pass TLS through as it is. If it is meant to end TLS, connect with `channel_binding=disable`.",
                ],
                more: &[TLS],
            },
            Self::LookupFailed => Page {
                met_by: "whoever logs in with a user that has to be looked up",
                cause: "The gate does not know the user itself and asks PostgreSQL (`auth.query`); that failed: PostgreSQL can't be reached, the function is not there or may not be called, or no connection was free for it.",
                evidence: const {
                    &[
                        log("can't look up a user: {error}", "why"),
                        metric(
                            "tidegate_client_connections_rejected_total{reason=\"lookup\"}",
                            "how often",
                        ),
                    ]
                },
                now: &[
                    "Run the query of `auth.query` as the user of `upstream.url` in its database.",
                ],
                lasting: &[
                    "Name users that must get in while PostgreSQL is away in `[[user]]` entries.",
                ],
                more: &[AUTH],
            },
            Self::UpstreamInsecure => Page {
                met_by: "whoever needs a server while TLS towards PostgreSQL does not come about",
                cause: "`sslmode` of `upstream.url` asks for more than PostgreSQL offers or shows: it has no TLS, its certificate has expired, is for another host, or is signed by somebody else, or it does not take the gate's certificate. The gate does not connect less securely than it is told.",
                evidence: const {
                    &[
                        text("DETAIL", "what is wrong"),
                        log("can't open a server: {}", "the same, for each attempt"),
                        metric(
                            "tidegate_server_connect_errors_total{kind=\"permanent\"}",
                            "how often",
                        ),
                    ]
                },
                now: &[
                    "Look at the certificate: `openssl s_client -starttls postgres -connect HOST:PORT -showcerts`.",
                ],
                lasting: &[
                    "Renew it at PostgreSQL in time; the gate warns of its own certificates two weeks before, not of PostgreSQL's.",
                    "Name in `upstream.url` the host that the certificate is for, and the authority in `sslrootcert`.",
                ],
                more: &[TLS, BREAKS],
            },
            Self::PinBudget => Page {
                met_by: "a client of the transaction port that leaves state in its session, where too many do",
                cause: "The client has left something behind that lives in one server: a temporary table, an advisory lock, a cursor, a prepared statement of SQL. It would have to keep that server, and `pool.pins_max` clients do already. What it had left was removed, and it is told before it builds on it.",
                evidence: const {
                    &[
                        text("DETAIL", "what it had left"),
                        metric("tidegate_pins_total", "by reason, who keeps servers"),
                        metric("tidegate_pinned", "how many do now, beside `tidegate_pinned_max`"),
                        metric("tidegate_pins_refused_total", "how many were refused"),
                        log(
                            "a client keeps its server: it has left state in the session; to need none: {}",
                            "each client that was allowed to, with the remedy",
                        ),
                    ]
                },
                now: &[
                    "Do what HINT says for this reason, or connect this application to the session port.",
                ],
                lasting: &[
                    "Use what ends with the transaction: `pg_advisory_xact_lock`, `CREATE TEMP TABLE … ON COMMIT DROP`, `SET LOCAL`.",
                    "Raise `pool.pins_max`, where so many must keep servers; they count against the budget.",
                ],
                more: &[PORT],
            },
            Self::SettingsRefused => Page {
                met_by: "a client of the transaction port whose settings another server does not take",
                cause: "What the client has set for its session goes with it to each server. This one refused it: the role was dropped, a right was taken away, or the setting belongs to a library that is not loaded there. Nothing of the transaction was sent, and the session has the settings that it began with.",
                evidence: const { &[text("message", "PostgreSQL's words about the setting")] },
                now: &["Connect again, or set anew what is needed."],
                lasting: &[
                    "Set with `SET LOCAL` what only one transaction needs, and with `ALTER ROLE … SET` what all do.",
                ],
                more: &[PORT],
            },
            Self::AheadFailed => Page {
                met_by: "a client whose BEGIN or settings fail behind its back",
                cause: "The gate sends the client's settings or its BEGIN together with its statement, in one round trip. They failed on the server (a cancel or a time-out hit just them), so it is not known whether the statement ran without them. The connection ends rather than go on like this.",
                evidence: const {
                    &[
                        text("message", "PostgreSQL's words"),
                        log(
                            "a client's settings or BEGIN failed in front of its statement: {}",
                            "the same",
                        ),
                    ]
                },
                now: &[
                    "Connect again, and look whether the statement was executed before repeating it.",
                ],
                lasting: &[
                    "Give statements more time than a round trip: a `statement_timeout` of a few milliseconds hits what stands in front of them.",
                ],
                more: &[PORT],
            },
            Self::NotificationsLost => Page {
                met_by: "clients that LISTEN through the transaction port",
                cause: "One server listens for all clients of a database. Its connection was lost, or more notifications came than are kept for a client that is in a transaction. What was sent meanwhile is gone, as PostgreSQL keeps it for nobody.",
                evidence: const {
                    &[
                        log(
                            "the server that listens for its database was lost",
                            "that it was the connection",
                        ),
                        metric("tidegate_listening", "clients for which a server listens"),
                    ]
                },
                now: &[
                    "Look at the tables that the notifications are about, once: what comes from now on is told.",
                ],
                lasting: &[
                    "Take notifications as a hint to look, never as the message itself.",
                    "Listen outside of long transactions.",
                ],
                more: &[PORT],
            },
            Self::Paused => Page {
                met_by: "whoever waits for a server of a database that is paused",
                cause: "An operator has paused the database (`tidegate pause`), for maintenance most likely, and it was not resumed while the client waited (`pool.pool_timeout`). The statement was not sent.",
                evidence: const {
                    &[
                        command("tidegate status", "what is paused"),
                        metric("tidegate_checkout_queue_length", "how many wait for the end of it"),
                    ]
                },
                now: &[
                    "Try again once the maintenance is over, or `tidegate resume` where it was forgotten.",
                ],
                lasting: &[
                    "Keep pauses shorter than `pool.pool_timeout`: then whoever waits is served afterwards and hears of nothing.",
                ],
                more: &[("Pause, resume, reconnect", "operations.md#pause-resume-reconnect")],
            },
            Self::QueryTimeout => Page {
                met_by: "a client whose statement runs for longer than `timeouts.query`",
                cause: "The statement, or the batch that it belongs to, had not ended in time, and the gate cancelled it. A batch that had been sent behind it may be hit, too. The client can go on. PostgreSQL's own `statement_timeout` has other words.",
                evidence: const {
                    &[
                        metric("tidegate_timeouts_total{kind=\"query\"}", "how often"),
                        log("cancelled a statement that took too long", "which client"),
                    ]
                },
                now: &[
                    "Find the statement: `pg_stat_activity` while it runs, and `EXPLAIN (ANALYZE, BUFFERS)` of it.",
                ],
                lasting: &[
                    "Add the index that it lacks, or let it do less at a time.",
                    "Give users with reports another limit with a `[[pool_for]]`, or raise `timeouts.query`.",
                ],
                more: &[
                    ("Why a query timeout cancels", "decisions/0009-a-query-timeout-cancels.md"),
                    BREAKS,
                ],
            },
            Self::QueryNotCancelled => Page {
                met_by: "a client whose statement goes on although it was cancelled",
                cause: "The statement had not ended after `timeouts.query`; it was cancelled, and within `timeouts.cancel` that did not end it. It waits for a disk, or is at something that can't be interrupted, or the client does not read its result. The connection ends; the server is recovered or closed.",
                evidence: const {
                    &[
                        log(
                            "closed a client whose statement did not end when it was cancelled",
                            "which client",
                        ),
                        metric(
                            "tidegate_timeouts_total{kind=\"query\"}",
                            "how often statements were cancelled at all",
                        ),
                        metric(
                            "tidegate_server_connections{state=\"closing\"}",
                            "servers whose backend has not gone yet",
                        ),
                        sql(
                            "SELECT pid, state, wait_event_type, wait_event, query FROM pg_stat_activity WHERE state <> 'idle' ORDER BY query_start",
                            "what the backend waits for",
                        ),
                    ]
                },
                now: &[
                    "See what the backend waits for; `SELECT pg_terminate_backend(pid)` ends it, if anything does.",
                ],
                lasting: &[
                    "Read results as they come.",
                    "Let the statement do less at a time, or raise `timeouts.query`.",
                ],
                more: &[BREAKS],
            },
            Self::TransactionTimeout => Page {
                met_by: "a client whose transaction lasts for longer than `timeouts.transaction`",
                cause: "The transaction had not ended in time, busy or not. It was cancelled and rolled back, and the connection ends. PostgreSQL 17 has the same words for its own `transaction_timeout`; the code in the HINT says that it was the gate.",
                evidence: const {
                    &[
                        metric("tidegate_timeouts_total{kind=\"transaction\"}", "how often"),
                        log("closed a client whose transaction took too long", "which client"),
                        command("tidegate ps holders", "who is on the way there"),
                    ]
                },
                now: &["Repeat the work in smaller transactions: it was rolled back."],
                lasting: &[
                    "Commit after each thousand rows or so where much is written.",
                    "Give the user that needs it another limit with a `[[pool_for]]`.",
                ],
                more: &[BREAKS],
            },
            Self::ClientIdle => Page {
                met_by: "a client that says nothing for `timeouts.client_idle`",
                cause: "The client had nothing under way and said nothing for as long as it may, so it was closed. Nothing is lost but the connection. PostgreSQL has the same words for its own `idle_session_timeout`; the code in the HINT says that it was the gate.",
                evidence: const {
                    &[
                        metric("tidegate_timeouts_total{kind=\"client_idle\"}", "how often"),
                        log("closed a client that was idle", "which client"),
                    ]
                },
                now: &[
                    "Connect again; a pool that checks connections before use does it by itself.",
                ],
                lasting: &[
                    "Let the application's pool close idle connections sooner than `timeouts.client_idle` (pool_recycle, idleTimeout, max_idle).",
                    "Or switch `timeouts.client_idle` off: on the transaction port an idle client holds no server.",
                ],
                more: &[BEHAVES],
            },
            Self::CommitInDoubt => Page {
                met_by: "a client whose server is lost before its COMMIT is answered",
                cause: "COMMIT was on its way, or carried out, when the connection to PostgreSQL ended. Both are possible, and the gate does not guess: it never sends a COMMIT again. Without a gate the driver would say only that the connection was lost.",
                evidence: const {
                    &[
                        metric("tidegate_commits_in_doubt_total", "how often"),
                        sql(
                            "SELECT pg_xact_status('12345')",
                            "what became of it, where the transaction had asked for its id",
                        ),
                    ]
                },
                now: &[
                    "Find out before repeating: `pg_xact_status` with the id that `pg_current_xact_id_if_assigned()` gave in the transaction, or look for the rows.",
                    "`in progress` means: ask again in a moment.",
                ],
                lasting: &[
                    "Write a key of the application's own with each transaction that may not run twice, and look for it before repeating.",
                ],
                more: &[("A COMMIT in doubt", "operations.md#a-commit-in-doubt")],
            },
            Self::TakenOver => Page {
                met_by: "clients that the old process of a take-over can't hand over in time",
                cause: "Another process has taken over (`tidegate run --takeover`). Clients go over to it between two transactions; this one could not: it has TLS, keeps its server, or was in a transaction for too long. What it had not committed is rolled back.",
                evidence: const {
                    &[
                        log("another process takes over: connections wait for it", "when it began"),
                        metric(
                            "tidegate_client_connections_closed_total{reason=\"drain\"}",
                            "clients that were told goodbye",
                        ),
                    ]
                },
                now: &["Connect again: the other process serves."],
                lasting: &[
                    "Let clients that must not be disturbed use the transaction port without TLS, on the same machine, and keep transactions short.",
                    "Let the application's pool check connections before use.",
                ],
                more: &[(
                    "A new binary without a dropped client",
                    "operations.md#a-new-binary-without-a-dropped-client",
                )],
            },
            Self::MemoryShort => Page {
                met_by: "whoever connects, or would have to wait, when clients take almost all memory that they may",
                cause: "What the gate keeps for clients (results that are not read yet, requests that wait, texts of prepared statements) has come near `listen.memory_max`. New clients and new waits are refused before it is full. Nothing was sent to PostgreSQL.",
                evidence: const {
                    &[
                        metric(
                            "tidegate_client_memory_bytes",
                            "what takes it: buffers, or statements",
                        ),
                        metric(
                            "tidegate_client_connections_rejected_total{reason=\"memory\"}",
                            "who was turned away",
                        ),
                        log(
                            "closed the client that takes most of the gate's memory: there is no more",
                            "who was closed when it was full all the same",
                        ),
                        command("tidegate status", "how much of how much is used"),
                    ]
                },
                now: &["Look for clients that read large results slowly: `tidegate ps clients`."],
                lasting: &[
                    "Read results as they come, or in pieces (server-side cursors, LIMIT).",
                    "Let drivers keep fewer prepared statements, or raise `listen.memory_max`.",
                ],
                more: &[("Memory of clients", "decisions/0022-memory-of-clients.md"), BREAKS],
            },
            Self::ClientKilled => Page {
                met_by: "a client that an operator has closed",
                cause: "An operator has closed this client, with `tidegate kill` or over HTTP. What it had not committed is rolled back.",
                evidence: const {
                    &[
                        log("an operator has closed a client", "which client, and when"),
                        metric(
                            "tidegate_client_connections_closed_total{reason=\"killed\"}",
                            "how often",
                        ),
                    ]
                },
                now: &[
                    "Ask who operates the gate before connecting again; a statement outside of a transaction may or may not have been executed.",
                ],
                lasting: &[
                    "Most clients are closed because they hold a server for long: see TG001 and TG016.",
                ],
                more: &[(
                    "Commands for a running gate",
                    "operations.md#commands-for-a-running-gate",
                )],
            },
            Self::ServerKilled => Page {
                met_by: "the client of a server that an operator has closed",
                cause: "An operator has closed the server that this client had, with `tidegate kill` or over HTTP. What was not committed is rolled back.",
                evidence: const {
                    &[
                        log("an operator has closed a server", "which server and client, and when"),
                        metric(
                            "tidegate_server_connections_closed_total{reason=\"killed\"}",
                            "how often",
                        ),
                    ]
                },
                now: &["Connect again; repeat the transaction as a whole, where it may run twice."],
                lasting: &["Ask who operates the gate why it had to be."],
                more: &[(
                    "Commands for a running gate",
                    "operations.md#commands-for-a-running-gate",
                )],
            },
            Self::ConsoleNotAllowed => Page {
                met_by: "a user that connects to the database `tidegate` or `pgbouncer` and may not",
                cause: "These two names are the admin console, which is for the users that the settings name, and by default for nobody. No server was asked.",
                evidence: const {
                    &[
                        text("DETAIL", "the user, and the name of the console"),
                        command(
                            "tidegate config show",
                            "`auth.admin_users` and `auth.stats_users`",
                        ),
                    ]
                },
                now: &[
                    "Connect to the database that was meant, if it was not the console.",
                    "Use `tidegate status` and `tidegate ps`, which need no user.",
                ],
                lasting: &[
                    "Name the user in `auth.stats_users`, who may look, or in `auth.admin_users`, who may do everything, then `tidegate reload`.",
                ],
                more: &[CONSOLE],
            },
            Self::ConsoleCommand => Page {
                met_by: "whoever says something to the admin console that it does not know",
                cause: "The console is no database: it has PgBouncer's commands, and a few of its own. Everything else, SQL too, is refused.",
                evidence: const { &[text("the message", "what was said")] },
                now: &["Say `SHOW HELP`.", "For SQL, connect to a database."],
                lasting: &[
                    "Point tools that speak SQL at a database, and monitoring at the console.",
                ],
                more: &[CONSOLE],
            },
            Self::ConsoleUnsupported => Page {
                met_by: "whoever asks the admin console for something that PgBouncer has and Tidegate has not",
                cause: "The command is known, and is not done here: what it is for does not exist in Tidegate, or is done in another way.",
                evidence: const { &[text("DETAIL", "why"), text("HINT", "what to do instead")] },
                now: &["Do what HINT says."],
                lasting: &["Replace the command in scripts that were written for PgBouncer."],
                more: &[CONSOLE],
            },
            Self::ConsoleAdmin => Page {
                met_by: "a user of `auth.stats_users` that wants to change something",
                cause: "Who may look at the console may not pause, close, reload, or stop anything; users of `auth.admin_users` may.",
                evidence: const { &[text("DETAIL", "the user")] },
                now: &["Ask an administrator, or use the commands of `tidegate` with the token."],
                lasting: &["Name the user in `auth.admin_users`, if it is to operate the gate."],
                more: &[CONSOLE],
            },
            Self::ConsoleFailed => Page {
                met_by: "an administrator whose command came to nothing",
                cause: "The console knows the command and has tried it; there is nothing that it could be done to, or it is as it should be already.",
                evidence: const { &[text("the message", "what was in the way")] },
                now: &["Look how things are: `SHOW DATABASES`, `SHOW CLIENTS`, `SHOW STATE`."],
                lasting: &["Nothing: it tells of one moment."],
                more: &[CONSOLE],
            },
        }
    }
}
