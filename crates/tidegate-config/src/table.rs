//! The one table of settings. Nothing about a setting is written anywhere else.
//!
//! The comment above a setting says why its range and default are what they are; its `doc` says
//! what it does.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;

use tidegate_pool_core::settings::{AnswerProbes, ResetPolicy};

use crate::config::{
    ClientCert, ConsoleVersion, Environment, LogFormat, LogLevel, PlanChoice, TlsMode, UpstreamKind,
};
use crate::kind::{
    Addresses, ConnectionString, Count, Describe, File, Flag, Kind, LookUp, Names, Or, Period,
    Ratio, Raw, Size, Text, Threads, Words,
};

/// When a changed value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// On reload, without a restart.
    Live,
    /// When the gate starts.
    Restart,
}

impl Reload {
    /// The word for documents and `SHOW CONFIG`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Restart => "restart",
        }
    }
}

/// What there is to know of a setting, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingInfo {
    /// `section.key`, or `plan`.
    pub name: &'static str,
    /// The default as it stands in the file; `""` when there is none.
    pub default: String,
    /// The allowed values.
    pub range: String,
    /// When a change takes effect.
    pub reload: Reload,
    /// What it does.
    pub doc: &'static str,
    /// Its variable of the environment; none inside `[[pool_for]]` and `[[user]]`.
    pub env: Option<String>,
}

impl SettingInfo {
    /// The part of the name before the dot; empty for `plan`.
    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(section, _)| section)
    }

    /// Whether it may stand in this section: its own, or `[[pool_for]]` where that can override it.
    pub fn may_stand_in(&self, section: &str) -> bool {
        let is_overridden = || self.section() == "pool" || TIMEOUTS_OF_POOLS.contains(&self.name);
        self.section() == section || section == "pool_for" && is_overridden()
    }

    /// The part of the name after the dot.
    pub fn key(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, key)| key)
    }
}

/// Every setting, in the order of the documentation.
pub fn settings() -> &'static [SettingInfo] {
    static INFOS: LazyLock<Vec<SettingInfo>> =
        LazyLock::new(|| TABLE.iter().map(|setting| setting.info()).collect());
    &INFOS
}

/// A setting of one kind.
pub(crate) struct Setting<K> {
    pub(crate) name: &'static str,
    /// As text; empty when there is none.
    pub(crate) default: &'static str,
    /// What is allowed.
    pub(crate) kind: K,
    pub(crate) reload: Reload,
    pub(crate) doc: &'static str,
}

impl<K: Kind> Setting<K> {
    /// The default as a value.
    pub(crate) fn default(&self) -> K::Value {
        match self.kind.read(&Raw::quoted(self.default)) {
            Ok(value) => value,
            Err(wrong) => unreachable!("the default of {} is {}", self.name, wrong.why),
        }
    }
}

/// A setting of any kind.
pub(crate) trait Declared: Sync {
    fn info(&self) -> SettingInfo;
    fn schema(&self) -> Value;
}

impl<K: Describe> Declared for Setting<K> {
    fn info(&self) -> SettingInfo {
        SettingInfo {
            name: self.name,
            default: self.kind.in_toml(self.default),
            range: self.kind.range(),
            reload: self.reload,
            doc: self.doc,
            env: (!is_repeated(self.name))
                .then(|| format!("TIDEGATE_{}", self.name.replace('.', "_").to_uppercase())),
        }
    }

    fn schema(&self) -> Value {
        self.kind.schema()
    }
}

fn is_repeated(name: &str) -> bool {
    name.split_once('.').is_some_and(|(section, _)| SECTIONS_REPEATED.contains(&section))
}

/// Sections that may be given several times, with `[[…]]`.
pub(crate) const SECTIONS_REPEATED: [&str; 2] = ["pool_for", "user"];

/// Settings outside of `[pool]` that a `[[pool_for]]` may override.
const TIMEOUTS_OF_POOLS: [&str; 4] = [
    "timeouts.idle_in_transaction",
    "timeouts.transaction",
    "timeouts.query",
    "timeouts.client_idle",
];

/// The sections, in the order of the documentation, and what each is about.
pub(crate) const SECTIONS: [(&str, &str); 13] = [
    ("", "What was bought."),
    ("upstream", "The PostgreSQL instance, and how many of its connections may be used."),
    ("listen", "Where clients connect."),
    (
        "pool",
        "Defaults for every pool. A pool is the servers of one database and user; the session \
         port and the transaction port share it.",
    ),
    (
        "pool_for",
        "Changes to `[pool]` for the pools of one database, one user, or both; any key of \
         `[pool]` may stand here, and of `[timeouts]` those that bound what clients do: \
         `idle_in_transaction`, `transaction`, `query`, `client_idle`. All that match apply in the \
         order of the file, so the last one to set a key wins.",
    ),
    ("timeouts", "How long things may take."),
    ("retry", "Connecting to the upstream. Nothing that may have been executed is sent again."),
    (
        "prepared",
        "Statements that drivers prepare by name. A server has each of them only once, whoever \
         prepared it and under whichever name.",
    ),
    ("log", "The log goes to the standard error output."),
    (
        "user",
        "Who may log in. With no `[[user]]` at all it is the user of `upstream.url` with its \
         password.",
    ),
    (
        "auth",
        "How users that no `[[user]]` names are looked up. With no `[[user]]` at all, the user of \
         `upstream.url` is still known by its own password, and all others are looked up. And who \
         may use the admin console.",
    ),
    (
        "console",
        "The admin console: the database `tidegate`, also called `pgbouncer`, on either port. Who \
         may use it stands in `[auth]`.",
    ),
    ("profile", "What this instance is for."),
];

/// Every setting, in the order of the documentation.
pub(crate) static TABLE: &[&dyn Declared] = &[
    &PLAN,
    &URL,
    &PASSWORD_FILE,
    &KIND,
    &CONNECTIONS,
    &HEADROOM,
    &CENSUS,
    &SESSION,
    &TRANSACTION,
    &HTTP,
    &TLS,
    &TLS_CERT,
    &TLS_KEY,
    &TLS_CLIENT_CA,
    &TLS_CLIENT_CERT,
    &WORKERS,
    &CONTROL,
    &CLIENTS_MAX,
    &MEMORY_MAX,
    &ADMIN_TOKEN_FILE,
    &POOL_SIZE,
    &MAX_OVERFLOW,
    &POOL_TIMEOUT,
    &POOL_RECYCLE,
    &POOL_PRE_PING,
    &ANSWER_PROBES,
    &PINS_MAX,
    &OVERFLOW_LINGER,
    &SERVER_IDLE_TIMEOUT,
    &RESET,
    &POOL_FOR_DATABASE,
    &POOL_FOR_USER,
    &CLIENT_LOGIN,
    &CONNECT,
    &IDLE_IN_TRANSACTION,
    &TRANSACTION_TIMEOUT,
    &QUERY_TIMEOUT,
    &CLIENT_IDLE,
    &CANCEL,
    &DRAIN,
    &ATTEMPTS,
    &MULTIPLIER,
    &RETRY_MIN,
    &RETRY_MAX,
    &JITTER,
    &BUDGET,
    &READ_ONLY,
    &STATEMENTS_MAX,
    &KEEP_UNNAMED,
    &LOG_FORMAT,
    &LOG_LEVEL,
    &USER_NAME,
    &USER_PASSWORD,
    &USER_PASSWORD_FILE,
    &USER_VERIFIER,
    &AUTH_QUERY,
    &AUTH_QUERY_CACHE,
    &ADMIN_USERS,
    &STATS_USERS,
    &CONSOLE_PGBOUNCER,
    &ENVIRONMENT,
];

/// `auto`, because a wrong plan either wastes connections or promises too many; the live server
/// says what it allows.
pub(crate) static PLAN: Setting<Words<PlanChoice>> = Setting {
    name: "plan",
    default: "auto",
    kind: Words(PlanChoice::WORDS),
    reload: Reload::Live,
    doc: "The plan of the database. It sets a limit on connections and what `auto` means for \
          the pool sizes (see the table of plans); it can only lower what the server allows.",
};

/// No default but `DATABASE_URL`: the wrong database is worse than none. `sslmode` is `prefer`
/// without it, as in libpq, so that a URL which works elsewhere works here: a database that offers
/// TLS is reached with it, any other without.
pub(crate) static URL: Setting<ConnectionString> = Setting {
    name: "upstream.url",
    default: "",
    kind: ConnectionString,
    reload: Reload::Restart,
    doc: "Where the database is and how to log in: \
          `postgres://USER:PASSWORD@HOST:5432/DATABASE`, also with a driver \
          (`postgresql+asyncpg://`), with several hosts (`HOST1:5432,HOST2:5432`), or as \
          `host=... user=...`. Without it, `DATABASE_URL` of the environment. The \
          parameters `application_name`, `client_encoding`, and `options` are passed on. TLS is \
          asked for in libpq's words. `sslmode`: `disable`; `prefer`, the default, TLS where both \
          sides can, which keeps out who listens but not who pretends to be the server; `allow`, \
          here the same; `require`, TLS with whomever; `verify-ca`, with a server whose \
          certificate an authority has signed; `verify-full`, for the name in the URL. \
          `ssl=true` is at least `require`. `sslrootcert` is the file of the authorities, with \
          which `require` verifies as `verify-ca` does; without it, those that this system \
          trusts; `sslrootcert=system` says so, and is `verify-full` unless `sslmode` is given. \
          `sslcert` and `sslkey` are the files of the certificate that the server is shown, and \
          of its key. `sslnegotiation=direct` saves a round trip (PostgreSQL 17 and later), \
          `channel_binding=require` refuses a login that is not bound to the server's \
          certificate, `disable` never binds, and `sslsni=0` keeps the server's name out of the \
          plain text. Several hosts are tried in their order, from the one on that worked last; \
          `target_session_attrs` says what a server must be like: `any`, the default; \
          `read-write`, for fail-over; `primary`; `standby`; `read-only`. A host whose server is \
          not like that is passed over. A relative path starts at the folder of the settings file where the URL \
          stands in it, otherwise at the working directory. A Unix socket has no TLS. A reload puts \
          another password in force; where anything else of the URL has changed, that waits for a \
          restart, and users with it.",
};

/// A file, because command lines and environments are read by more people than files are.
pub(crate) static PASSWORD_FILE: Setting<File> = Setting {
    name: "upstream.password_file",
    default: "",
    kind: File,
    reload: Reload::Live,
    doc: "A file with the password of `upstream.url`, instead of a password in the URL; line \
          ends at its end do not count. A relative path in the settings file starts at the \
          folder of that file.",
};

/// `auto`: a probe knows better than a port number, and better than many a team.
pub(crate) static KIND: Setting<Words<UpstreamKind>> = Setting {
    name: "upstream.kind",
    default: "auto",
    kind: Words(UpstreamKind::WORDS),
    reload: Reload::Restart,
    doc: "`pooler` when the upstream is itself a pooler (Supabase's session pooler, PgBouncer): \
          then only the limit of the plan counts. `direct` when it is PostgreSQL. `auto` finds \
          out.",
};

/// At least 1, or nothing could ever connect. At most what PostgreSQL can be set to.
pub(crate) static CONNECTIONS: Setting<Or<Count>> = Setting {
    name: "upstream.connections",
    default: "auto",
    kind: Or { word: "auto", kind: Count { min: 1, max: MAX_BACKENDS } },
    reload: Reload::Live,
    doc: "The most connections that this instance may have open, whatever the plan and the \
          server allow beyond that. `auto` sets no limit of its own.",
};

/// 2: one for the census, one for the person who looks for the fault.
pub(crate) static HEADROOM: Setting<Count> = Setting {
    name: "upstream.headroom",
    default: "2",
    kind: Count { min: 0, max: MAX_BACKENDS },
    reload: Reload::Live,
    doc: "Connections of the server's limit (not of the plan's) that are left free for people \
          and tools. The census has its connection there.",
};

/// 5 s: fresh enough to follow a deployment, and one cheap query of `pg_stat_activity`. Below 100
/// ms the census would be load.
pub(crate) static CENSUS: Setting<Or<Period>> = Setting {
    name: "upstream.census",
    default: "5s",
    kind: Or { word: "off", kind: period(ms(100), h(1)) },
    reload: Reload::Restart,
    doc: "How often the database is asked who holds its connections, on one connection that \
          counts. With `off` Tidegate knows only of its own.",
};

/// Loopback, so that nothing is open to a network before somebody decides so.
pub(crate) static SESSION: Setting<Addresses> = Setting {
    name: "listen.session",
    default: "127.0.0.1:6543",
    kind: Addresses,
    reload: Reload::Restart,
    doc: "The session port: a client keeps its server until it leaves. For long transactions \
          and session state. An address, a list, or `\"off\"`. `:PORT` is every interface, IPv6 \
          and IPv4; port 0 lets the system choose; `unix:/run/tidegate/.s.PGSQL.6543` is a \
          socket.",
};

/// Beside the session port, which has the number that poolers use for it.
pub(crate) static TRANSACTION: Setting<Addresses> = Setting {
    name: "listen.transaction",
    default: "127.0.0.1:6544",
    kind: Addresses,
    reload: Reload::Restart,
    doc: "The transaction port: a client has a server for the length of a transaction. For \
          short queries and API endpoints. Addresses as for `listen.session`.",
};

/// Loopback: what it shows (queries, addresses) is not for everybody.
pub(crate) static HTTP: Setting<Addresses> = Setting {
    name: "listen.http",
    default: "127.0.0.1:6545",
    kind: Addresses,
    reload: Reload::Restart,
    doc: "The page, the API, `/metrics`, `/healthz`, and `/readyz`. Addresses as for \
          `listen.session`. Whoever reaches it can read what it shows.",
};

/// Off: by default only this machine can connect, and there is no certificate that could be had
/// without asking anybody.
pub(crate) static TLS: Setting<Words<TlsMode>> = Setting {
    name: "listen.tls",
    default: "off",
    kind: Words(TlsMode::WORDS),
    reload: Reload::Restart,
    doc: "TLS on the session port and the transaction port. `allow`: for clients that ask for it. \
          `require`: clients that do not are refused. Unix sockets have none and need none.",
};

/// No default, as for any file of TLS: what a path has by chance is not to be shown to clients.
pub(crate) static TLS_CERT: Setting<File> = Setting {
    name: "listen.tls_cert",
    default: "",
    kind: File,
    reload: Reload::Live,
    doc: "The certificate that clients are shown, followed by those between it and a root, in PEM. \
          A relative path in the settings file starts at the folder of that file. The file is \
          read again on reload.",
};

/// Beside the certificate: a key is renewed with it.
pub(crate) static TLS_KEY: Setting<File> = Setting {
    name: "listen.tls_key",
    default: "",
    kind: File,
    reload: Reload::Live,
    doc: "The key of `listen.tls_cert`, in PEM; other users should not be able to read it. Paths \
          and reload as there.",
};

/// None: who clients are is told by their passwords, and a certificate comes on top.
pub(crate) static TLS_CLIENT_CA: Setting<File> = Setting {
    name: "listen.tls_client_ca",
    default: "",
    kind: File,
    reload: Reload::Live,
    doc: "The certificates of the authorities that sign those of clients, in PEM. Without it \
          clients are not asked for one. Paths and reload as for `listen.tls_cert`.",
};

/// Optional, so that certificates can be given to one application after the other.
pub(crate) static TLS_CLIENT_CERT: Setting<Words<ClientCert>> = Setting {
    name: "listen.tls_client_cert",
    default: "optional",
    kind: Words(ClientCert::WORDS),
    reload: Reload::Live,
    doc: "With `optional`, a certificate that a client presents must be signed by \
          `listen.tls_client_ca`; with `require`, every client that speaks TLS must present one. \
          It does not replace the password.",
};

/// 1: nearly all of the cost is the kernel's, and one thread keeps up with the budgets of managed
/// databases. 256 is beyond the cores of the machines this runs on.
pub(crate) static WORKERS: Setting<Threads> = Setting {
    name: "listen.workers",
    default: "1",
    kind: Threads(Count { min: 1, max: 256 }),
    reload: Reload::Restart,
    doc: "Threads that serve clients. More than 1 where a benchmark shows the gain.",
};

/// No default: a path that suits every distribution and container does not exist.
pub(crate) static CONTROL: Setting<File> = Setting {
    name: "listen.control",
    default: "",
    kind: File,
    reload: Reload::Restart,
    doc: "A Unix socket for commands on the same machine and for takeover. None by default.",
};

/// Each client costs one file descriptor and a few kilobytes of state; 10 000 is far above what
/// an application with a pool of its own opens, and well within one process. A million is where
/// descriptors end (`fs.nr_open` is 1 048 576).
pub(crate) static CLIENTS_MAX: Setting<Count> = Setting {
    name: "listen.clients_max",
    default: "10000",
    kind: Count { min: 1, max: 1_000_000 },
    reload: Reload::Restart,
    doc: "Clients that may be connected at once, both ports together. One more is refused with \
          SQLSTATE 53300.",
};

/// A quarter of what the process may have: what is counted is not all that it takes (stacks, TLS, an
/// allocator's gaps), and the kernel's buffers of 10 000 sockets come beside it. 1 MB is some clients with
/// full buffers; what a terabyte is for is not known, but no harm either.
pub(crate) static MEMORY_MAX: Setting<Or<Size>> = Setting {
    name: "listen.memory_max",
    default: "auto",
    kind: Or { word: "auto", kind: Size { min: 1 << 20, max: 1 << 40 } },
    reload: Reload::Live,
    doc: "Memory for what waits for clients or from them, and for the statements that they have \
          prepared. Near it new clients are refused with SQLSTATE 53200, and statements that would have \
          to wait; beyond it the client that takes most is closed. auto: a quarter of what the process \
          may have by its cgroup or the machine.",
};

/// No default: what changes something is off until somebody decides who may.
pub(crate) static ADMIN_TOKEN_FILE: Setting<File> = Setting {
    name: "listen.admin_token_file",
    default: "",
    kind: File,
    reload: Reload::Live,
    doc: "A file with the token that requests must bring which change something, as \
          `Authorization: Bearer TOKEN`; line ends at its end do not count. Without it nothing can \
          be changed. A relative path in the settings file starts at the folder of that file.",
};

/// `auto`, because the right number is a share of the limit.
pub(crate) static POOL_SIZE: Setting<Or<Count>> = Setting {
    name: "pool.pool_size",
    default: "auto",
    kind: Or { word: "auto", kind: POOL_COUNT },
    reload: Reload::Live,
    doc: "Servers that a pool keeps. `auto`: by plan, see the table of plans. Unlike in \
          SQLAlchemy, `0` means zero: nothing is kept, all is overflow.",
};

/// As for the pool size.
pub(crate) static MAX_OVERFLOW: Setting<Or<Count>> = Setting {
    name: "pool.max_overflow",
    default: "auto",
    kind: Or { word: "auto", kind: POOL_COUNT },
    reload: Reload::Live,
    doc: "Servers beyond `pool_size` that a pool may open under load; they close after \
          `overflow_linger`. Never more than the budget allows. `auto`: by plan, see the table \
          of plans.",
};

/// SQLAlchemy's default, but here it bounds the wait as a whole: queueing, dialing, and checks.
/// Zero would refuse every client that needs a new server, so it starts at 1 ms.
pub(crate) static POOL_TIMEOUT: Setting<Period> = Setting {
    name: "pool.pool_timeout",
    default: "30s",
    kind: period(ms(1), h(1)),
    reload: Reload::Live,
    doc: "The longest wait of a client for a server. Above it the client gets SQLSTATE 53300 \
          with the holders and the remedy.",
};

/// 30 min: dialing stays rare, and what a backend gathers with age (caches of plans and of the
/// catalogue) is given back. Below 1 s a pool would only dial.
pub(crate) static POOL_RECYCLE: Setting<Or<Period>> = Setting {
    name: "pool.pool_recycle",
    default: "30m",
    kind: Or { word: "off", kind: period(s(1), d(30)) },
    reload: Reload::Live,
    doc: "The age at which a server is replaced; it is jittered, so that they do not all go at \
          once. `off` keeps them as long as they work.",
};

/// 30 s: an idle server is watched by the event loop anyway, so the check is only for connections
/// that died without a word. Below 1 s idle servers would do little but answer checks; who wants
/// that says `always`.
pub(crate) static POOL_PRE_PING: Setting<Or<Or<Period>>> = Setting {
    name: "pool.pool_pre_ping",
    default: "30s",
    kind: Or { word: "off", kind: Or { word: "always", kind: period(s(1), d(1)) } },
    reload: Reload::Live,
    doc: "A server that was idle for longer is checked in the background, and not handed out \
          until it was. `always` checks at each hand-out, at the price of a round trip. `off` \
          never checks.",
};

/// `begin`: an application that begins a transaction and then thinks, as SQLAlchemy lets it, holds
/// no server. `SELECT 1` is a statement that some run for its own sake, so it takes `all`.
pub(crate) static ANSWER_PROBES: Setting<Words<AnswerProbes>> = Setting {
    name: "pool.answer_probes",
    default: "begin",
    kind: Words(AnswerProbes::WORDS),
    reload: Reload::Live,
    doc: "What the transaction port answers itself while the upstream is healthy. `begin`: BEGIN, \
          which is sent with the first statement; the empty query; COMMIT and ROLLBACK of a \
          transaction that has only begun. `all`: SELECT 1 too. `off`: nothing.",
};

/// Half of all: those who keep no server can go on, whatever the others do.
pub(crate) static PINS_MAX: Setting<Or<Count>> = Setting {
    name: "pool.pins_max",
    default: "auto",
    kind: Or { word: "auto", kind: POOL_COUNT },
    reload: Reload::Live,
    doc: "Clients of the transaction port that may keep their server past the transaction, because \
          they have left something in its session. One more gets an error with its next \
          statement, and what it has left is removed. `auto`: half of the pool, at least one.",
};

/// 10 s: longer than the pauses within a burst, so that a load just above `pool_size` does not
/// dial at each return. 0 closes at once.
pub(crate) static OVERFLOW_LINGER: Setting<Period> = Setting {
    name: "pool.overflow_linger",
    default: "10s",
    kind: period(s(0), h(1)),
    reload: Reload::Live,
    doc: "How long a server beyond `pool_size` stays open without work.",
};

/// 10 min: gives back what a quiet night does not need. Below 1 s it would fight with
/// `pool_size`.
pub(crate) static SERVER_IDLE_TIMEOUT: Setting<Or<Period>> = Setting {
    name: "pool.server_idle_timeout",
    default: "10m",
    kind: Or { word: "off", kind: period(s(1), d(30)) },
    reload: Reload::Live,
    doc: "How long any server may stay open without work. What is closed is opened again on \
          demand.",
};

/// `auto`: as safe as `always`, without its round trip where nothing was touched.
pub(crate) static RESET: Setting<Words<ResetPolicy>> = Setting {
    name: "pool.reset",
    default: "auto",
    kind: Words(ResetPolicy::WORDS),
    reload: Reload::Live,
    doc: "What a returned server needs before the next client gets it. `auto` resets what the \
          client may have touched, `always` resets everything, `off` nothing: then session \
          state passes from one client to the next.",
};

/// No default: at least one of the two must be given, since a change to every pool belongs in
/// `[pool]`.
pub(crate) static POOL_FOR_DATABASE: Setting<Text> = Setting {
    name: "pool_for.database",
    default: "",
    kind: Text { secret: false },
    reload: Reload::Live,
    doc: "Only pools of this database. Without it, of any.",
};

/// As for the database.
pub(crate) static POOL_FOR_USER: Setting<Text> = Setting {
    name: "pool_for.user",
    default: "",
    kind: Text { secret: false },
    reload: Reload::Live,
    doc: "Only pools of this user. Without it, of any.",
};

/// 15 s: a slow mobile network logs in within two; what takes longer holds a place of
/// `clients_max` for nothing.
pub(crate) static CLIENT_LOGIN: Setting<Period> = Setting {
    name: "timeouts.client_login",
    default: "15s",
    kind: period(ms(10), h(1)),
    reload: Reload::Live,
    doc: "The longest time from a client's connection to its finished login.",
};

/// 5 s: three lost SYNs (1 + 2 + 4 s) fit just not, so a dead address is given up on while
/// clients still wait.
pub(crate) static CONNECT: Setting<Period> = Setting {
    name: "timeouts.connect",
    default: "5s",
    kind: period(ms(10), m(10)),
    reload: Reload::Live,
    doc: "The longest time of one attempt to reach the upstream, login included.",
};

/// 60 s: no endpoint thinks for that long between two statements; a server held by one that does
/// is a leak.
pub(crate) static IDLE_IN_TRANSACTION: Setting<Or<Period>> = Setting {
    name: "timeouts.idle_in_transaction",
    default: "60s",
    kind: Or { word: "off", kind: period(ms(10), d(1)) },
    reload: Reload::Live,
    doc: "How long a client may be silent within a transaction, a batch, a `COPY`, or a message \
          that it has begun. Above it the transaction is rolled back and the client is closed with \
          SQLSTATE 25P03. A `[[pool_for]]` may say otherwise.",
};

/// Off: what a job may take is for its owner to say, and a limit that is wrong breaks it in the
/// midst. Who sets it wants a ceiling for everybody, against transactions that hold back VACUUM.
pub(crate) static TRANSACTION_TIMEOUT: Setting<Or<Period>> = Setting {
    name: "timeouts.transaction",
    default: "off",
    kind: Or { word: "off", kind: period(ms(10), d(30)) },
    reload: Reload::Live,
    doc: "The longest that a transaction may last, be it busy or idle; a statement outside of one \
          is a transaction of its own. Above it the client is closed with SQLSTATE 25P04, and what \
          was not committed is rolled back. A `[[pool_for]]` may say otherwise.",
};

/// Off, for the same reason; `statement_timeout` of PostgreSQL is the role's own business.
pub(crate) static QUERY_TIMEOUT: Setting<Or<Period>> = Setting {
    name: "timeouts.query",
    default: "off",
    kind: Or { word: "off", kind: period(ms(10), d(30)) },
    reload: Reload::Live,
    doc: "The longest that a statement (a Query, or what is sent up to a Sync) may run, from when \
          it is sent to PostgreSQL to the end of its answer. Above it the statement is cancelled: \
          the client gets SQLSTATE 57014 and can go on. If that does not end it within \
          `timeouts.cancel`, the client is closed. A `[[pool_for]]` may say otherwise.",
};

/// Off: an idle client costs a few kilobytes, and pools of applications keep connections on
/// purpose.
pub(crate) static CLIENT_IDLE: Setting<Or<Period>> = Setting {
    name: "timeouts.client_idle",
    default: "off",
    kind: Or { word: "off", kind: period(ms(10), d(30)) },
    reload: Reload::Live,
    doc: "How long a client may be silent with no transaction of its under way. Above it the client \
          is closed with SQLSTATE 57P05. A client of the transaction port that listens is not idle. \
          A `[[pool_for]]` may say otherwise.",
};

/// As long as connecting may take, since that is nearly all it is.
pub(crate) static CANCEL: Setting<Period> = Setting {
    name: "timeouts.cancel",
    default: "5s",
    kind: period(ms(10), m(10)),
    reload: Reload::Live,
    doc: "The longest time that the delivery of one cancel request may take, and that a statement \
          may go on once `timeouts.query` has cancelled it.",
};

/// 30 s: what Kubernetes grants by default (`terminationGracePeriodSeconds`). 0 cancels at once.
pub(crate) static DRAIN: Setting<Period> = Setting {
    name: "timeouts.drain",
    default: "30s",
    kind: period(s(0), d(1)),
    reload: Reload::Live,
    doc: "How long transactions may finish when the gate shuts down; what remains is cancelled.",
};

/// 3, the field's habit: one failure is chance, three are an outage. The first attempt counts.
pub(crate) static ATTEMPTS: Setting<Count> = Setting {
    name: "retry.attempts",
    default: "3",
    kind: Count { min: 1, max: 100 },
    reload: Reload::Live,
    doc: "Transient failures in a row after which only one connection at a time tries the \
          upstream. Clients wait on until `pool_timeout`. What will not pass (a wrong password, \
          a database that does not exist) fails at once.",
};

/// 1 s, with `min` and `max` the usual exponential back-off from 2 s to 10 s.
pub(crate) static MULTIPLIER: Setting<Period> = Setting {
    name: "retry.multiplier",
    default: "1s",
    kind: period(ms(0), m(10)),
    reload: Reload::Live,
    doc: "The sleep before retry n (from 0) is drawn from `min` to `multiplier` x 2^n, at least \
          `min` and at most `max`.",
};

/// 2 s: a PostgreSQL that restarts is back within a few. 0 hammers, and is allowed for tests.
pub(crate) static RETRY_MIN: Setting<Period> = Setting {
    name: "retry.min",
    default: "2s",
    kind: period(ms(0), m(10)),
    reload: Reload::Live,
    doc: "The shortest sleep between two attempts.",
};

/// 10 s: a third of `pool_timeout`, so that a waiting client sees at least three attempts.
pub(crate) static RETRY_MAX: Setting<Period> = Setting {
    name: "retry.max",
    default: "10s",
    kind: period(ms(0), m(10)),
    reload: Reload::Live,
    doc: "The longest sleep between two attempts; not less than `min`.",
};

/// True: in step, retries are the next outage.
pub(crate) static JITTER: Setting<Flag> = Setting {
    name: "retry.jitter",
    default: "true",
    kind: Flag,
    reload: Reload::Live,
    doc: "Draws sleeps at random, so that several instances do not come back in step. Without it, \
          each is the longest that could be drawn.",
};

/// 0.1: in the long run retries then add at most a tenth to the load of an upstream in trouble.
pub(crate) static BUDGET: Setting<Ratio> = Setting {
    name: "retry.budget",
    default: "0.1",
    kind: Ratio { min: 0.0, max: 1.0 },
    reload: Reload::Live,
    doc: "How much of a further retry each successful connect earns. Ten retries are in reserve; \
          when they are used up, each pause is the longest. Each transaction earns as much for \
          batches that are sent again because their server has died: a hundred of those are in \
          reserve.",
};

/// False: a function may write, and nobody can see it by the statement's text.
pub(crate) static READ_ONLY: Setting<Flag> = Setting {
    name: "retry.read_only",
    default: "false",
    kind: Flag,
    reload: Reload::Live,
    doc: "Sends a read again, once, when its server dies before anything of the answer has come: a \
          single SELECT, TABLE, VALUES, or SHOW outside of a transaction, without INTO and FOR \
          UPDATE or SHARE, of at most 16 KiB; on the session port only as a client's first \
          statement. What functions do can't be seen: turn it on only where no function that is \
          called in a SELECT writes.",
};

/// 200: what PgBouncer ships (`max_prepared_statements` since 1.24). Each costs PostgreSQL roughly
/// the size of its plan, some 10 to 100 kB, so 200 are 2 to 20 MB on each server, and 10 000 as much
/// as 1 GB.
pub(crate) static STATEMENTS_MAX: Setting<Or<Count>> = Setting {
    name: "prepared.statements_max",
    default: "200",
    kind: Or { word: "off", kind: Count { min: 1, max: 10_000 } },
    reload: Reload::Restart,
    doc: "Statements that are kept on one server; of more, the one that was not used for longest \
          is closed there, and prepared again when it is wanted. With `off`, statements pass \
          through as they are, and who prepares one keeps the server until it leaves.",
};

/// True: parsing and planning are half of what a short statement costs PostgreSQL, and what is kept
/// is planned as any prepared statement is.
pub(crate) static KEEP_UNNAMED: Setting<Flag> = Setting {
    name: "prepared.keep_unnamed",
    default: "true",
    kind: Flag,
    reload: Reload::Restart,
    doc: "Keeps statements that drivers send without a name, from the second time on that the same \
          text comes: SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES, and TABLE, as the first of a \
          transaction. PostgreSQL then plans them as it plans statements with names: after five \
          runs it may take a generic plan. Without it, they are parsed and planned each time.",
};

/// Text: whoever starts it for the first time is a person.
pub(crate) static LOG_FORMAT: Setting<Words<LogFormat>> = Setting {
    name: "log.format",
    default: "text",
    kind: Words(LogFormat::WORDS),
    reload: Reload::Restart,
    doc: "`text` for people, `json` for machines: one object on each line.",
};

/// Info is changes of state, never single queries, so it can stay on.
pub(crate) static LOG_LEVEL: Setting<Words<LogLevel>> = Setting {
    name: "log.level",
    default: "info",
    kind: Words(LogLevel::WORDS),
    reload: Reload::Live,
    doc: "The least important message that is logged.",
};

/// No default: a user without a name is a mistake.
pub(crate) static USER_NAME: Setting<Text> = Setting {
    name: "user.name",
    default: "",
    kind: Text { secret: false },
    reload: Reload::Live,
    doc: "The name to log in with. It must be given, and only once.",
};

/// No default, of course.
pub(crate) static USER_PASSWORD: Setting<Text> = Setting {
    name: "user.password",
    default: "",
    kind: Text { secret: true },
    reload: Reload::Live,
    doc: "The password. Better in a file, or as `${NAME}` of the environment. At most one of \
          `password`, `password_file`, and `verifier` may be given; with none, the user of \
          `upstream.url` has the password of the upstream, and any other user needs no \
          password, which is accepted only while both pooler ports are out of reach of other \
          machines.",
};

/// As for the upstream's.
pub(crate) static USER_PASSWORD_FILE: Setting<File> = Setting {
    name: "user.password_file",
    default: "",
    kind: File,
    reload: Reload::Live,
    doc: "A file with the password; line ends at its end do not count. A relative path starts \
          at the folder of the settings file.",
};

/// SCRAM-SHA-256 only: an MD5 hash is as good as the password to whoever reads it.
pub(crate) static USER_VERIFIER: Setting<Text> = Setting {
    name: "user.verifier",
    default: "",
    kind: Text { secret: true },
    reload: Reload::Live,
    doc: "What PostgreSQL stores instead of the password, `SCRAM-SHA-256$4096:...`, from \
          `pg_authid.rolpassword`.",
};

/// None: whom a database lets in is not, without being asked, whom a gate should.
pub(crate) static AUTH_QUERY: Setting<LookUp> = Setting {
    name: "auth.query",
    default: "",
    kind: LookUp,
    reload: Reload::Restart,
    doc: "Asked for users that no `[[user]]` names, as the user of `upstream.url` and in its \
          database: one statement, whose `$1` is the user's name. Its answer is one row of two \
          columns, the name and what `pg_authid.rolpassword` has, `SCRAM-SHA-256$...`; no row or \
          NULL is nobody, and who has `md5...` there can't log in. Best a function with SECURITY \
          DEFINER, so that the user of `upstream.url` need not be able to read more.",
};

/// 60 s: a pool of clients that reconnects asks once, and a password that was changed because it
/// leaked is useless within a minute.
pub(crate) static AUTH_QUERY_CACHE: Setting<Period> = Setting {
    name: "auth.query_cache",
    default: "60s",
    kind: period(s(0), d(1)),
    reload: Reload::Live,
    doc: "How long an answer of `auth.query` is remembered: the longest that an old password is \
          accepted after it was changed. `0s` asks at each login.",
};

/// Nobody: whoever may log in to a database is not, without being asked, an operator of the gate.
pub(crate) static ADMIN_USERS: Setting<Names> = Setting {
    name: "auth.admin_users",
    default: "",
    kind: Names,
    reload: Reload::Live,
    doc: "Who may use the admin console with all its commands, those that pause, kill, and shut \
          down among them. They log in as to any database.",
};

/// Nobody, as for `auth.admin_users`.
pub(crate) static STATS_USERS: Setting<Names> = Setting {
    name: "auth.stats_users",
    default: "",
    kind: Names,
    reload: Reload::Live,
    doc: "Who may look at the admin console (`SHOW ...`) and change nothing: exporters, agents, \
          dashboards.",
};

/// 1.18: what Debian 12 has, and what each exporter reads; columns that came later are read by few.
pub(crate) static CONSOLE_PGBOUNCER: Setting<Words<ConsoleVersion>> = Setting {
    name: "console.pgbouncer",
    default: "1.18",
    kind: Words(ConsoleVersion::WORDS),
    reload: Reload::Live,
    doc: "The version of PgBouncer whose columns the admin console has, and whose name `SHOW \
          VERSION` tells. A session of the console keeps the columns that it began with.",
};

/// Production: whoever forgets to say so gets the stricter expectations.
pub(crate) static ENVIRONMENT: Setting<Words<Environment>> = Setting {
    name: "profile.environment",
    default: "production",
    kind: Words(Environment::WORDS),
    reload: Reload::Live,
    doc: "What is expected of this instance. While developing, `auto` of plan `free` is \
          smaller, so that tools and colleagues find a connection.",
};

/// PostgreSQL's `MAX_BACKENDS`, 2^18 - 1: `max_connections` cannot be set higher (PostgreSQL 15 to
/// 17).
const MAX_BACKENDS: u32 = 262_143;

/// The budget bounds a pool anyway; 10 000 catches a slip of the finger.
const POOL_COUNT: Count = Count { min: 0, max: 10_000 };

const fn period(min: Duration, max: Duration) -> Period {
    Period { min, max }
}

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

const fn s(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn m(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

const fn h(count: u64) -> Duration {
    m(count * 60)
}

const fn d(count: u64) -> Duration {
    h(count * 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_belong_to_a_section() {
        let mut names: Vec<_> = settings().iter().map(|setting| setting.name).collect();
        for setting in settings() {
            assert!(SECTIONS.iter().any(|(name, _)| *name == setting.section()), "{setting:?}");
            assert!(setting.doc.ends_with('.') && !setting.range.is_empty(), "{setting:?}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), settings().len());
    }

    #[test]
    fn no_variable_is_one_that_orchestrators_inject() {
        for setting in settings() {
            let env = setting.env.clone().unwrap_or_default();
            assert!(!env.contains("_PORT") && !env.contains("_SERVICE_"), "{env}");
        }
    }

    #[test]
    fn variables_are_named_by_section_and_key() {
        let env = |name: &str| {
            let setting = settings().iter().find(|s| s.name == name).expect("it is declared");
            setting.env.clone()
        };
        assert_eq!(env("plan").as_deref(), Some("TIDEGATE_PLAN"));
        assert_eq!(env("pool.pool_size").as_deref(), Some("TIDEGATE_POOL_POOL_SIZE"));
        assert_eq!(env("upstream.url").as_deref(), Some("TIDEGATE_UPSTREAM_URL"));
        assert_eq!(env("user.name"), None);
    }
}
