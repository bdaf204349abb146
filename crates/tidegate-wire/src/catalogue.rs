//! The errors that Tidegate itself sends to clients: one table, and a constructor per entry.
//!
//! Each has a stable code, the SQLSTATE by which drivers act, a message in PostgreSQL's style
//! (lower case, no full stop), DETAIL with the numbers, and HINT with the remedy, which ends with
//! the code. Errors of PostgreSQL pass through the gate
//! untouched and do not stand here.
//!
//! The texts hold `{placeholders}`. Only the constructors fill them, so a reference page can
//! print the table as it is, and a test proves that nothing stays unfilled. What the page of each
//! code says beyond them is in [`pages`].

pub mod reference;

pub mod pages;

use std::fmt;
use std::time::Duration;

use crate::backend::{Report, Severity};
use crate::sqlstate::SqlState;

/// Whether the client can go on after the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// FATAL: the connection ends.
    Fatal,
    /// ERROR, and the session goes on; FATAL during the login, where nothing can go on.
    ErrorOnceLoggedIn,
    /// WARNING: a notice beside whatever the client is told.
    Warning,
}

/// How far a client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Before its first ReadyForQuery.
    Login,
    /// After it.
    Session,
}

impl Policy {
    /// The severity to send.
    pub const fn severity(self, stage: Stage) -> Severity {
        match (self, stage) {
            (Self::ErrorOnceLoggedIn, Stage::Session) => Severity::Error,
            (Self::Warning, _) => Severity::Warning,
            (Self::ErrorOnceLoggedIn, Stage::Login) | (Self::Fatal, _) => Severity::Fatal,
        }
    }

    /// For the reference page.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fatal => "FATAL",
            Self::ErrorOnceLoggedIn => "ERROR, FATAL at login",
            Self::Warning => "WARNING",
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Which error.
    pub code: Code,
    /// Its SQLSTATE, unless the error passes on the upstream's.
    pub sqlstate: SqlState,
    /// How it is sent.
    pub policy: Policy,
    /// The message.
    pub message: &'static str,
    /// DETAIL; empty when there is none.
    pub detail: &'static str,
    /// HINT; the code is appended.
    pub hint: &'static str,
}

/// Declares the codes and their table together, so that neither lacks an entry.
macro_rules! catalogue {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $sqlstate:ident, $policy:ident {
        message: $message:literal,
        detail: $detail:literal,
        hint: $hint:literal,
    })*) => {
        /// The codes, in the order of their numbers. A number is never used again.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// The code as clients see it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $number,)* }
            }

            /// Its line of the table.
            pub const fn entry(self) -> Entry {
                match self {
                    $(Self::$name => Entry {
                        code: Self::$name,
                        sqlstate: SqlState::$sqlstate,
                        policy: Policy::$policy,
                        message: $message,
                        detail: $detail,
                        hint: $hint,
                    },)*
                }
            }
        }

        /// Every entry, in the order of the codes.
        pub const CATALOGUE: &[Entry] = &[$(Code::$name.entry(),)*];
    };
}

catalogue! {
    /// No server became free in time.
    PoolTimeout = "TG001", TOO_MANY_CONNECTIONS, ErrorOnceLoggedIn {
        message: "no server became free within {waited}",
        detail: "{leased} of {slots_max} slots are leased, {waiting} clients are waiting.{holders}",
        hint: "Shorten the transactions of the holders, or raise pool_size or the plan; \"tidegate status\" shows the pools.",
    }
    /// No connection to the upstream could be made.
    UpstreamUnreachable = "TG002", CANNOT_CONNECT, ErrorOnceLoggedIn {
        message: "could not connect to upstream \"{upstream}\"",
        detail: "After {attempts} attempts the last cause was: {cause}.",
        hint: "Check that PostgreSQL runs and that upstream.url names its address.",
    }
    /// The upstream refused the login of Tidegate. The SQLSTATE is the upstream's.
    UpstreamRefused = "TG003", CANNOT_CONNECT, ErrorOnceLoggedIn {
        message: "upstream \"{upstream}\" refused the login",
        detail: "It said: {cause}.",
        hint: "Check the user, password, and database that Tidegate uses towards PostgreSQL.",
    }
    /// Connections that are not ours fill the upstream.
    BudgetFull = "TG004", TOO_MANY_CONNECTIONS, ErrorOnceLoggedIn {
        message: "upstream \"{upstream}\" has no room for another server",
        detail: "{foreign} connections that do not pass through Tidegate leave it {usable} of {connections_max}; {leased} are leased.",
        hint: "Close the foreign connections, or let them pass through Tidegate, too; pg_stat_activity names them.",
    }
    /// As many clients are connected as may be.
    ClientLimit = "TG005", TOO_MANY_CONNECTIONS, Fatal {
        message: "too many clients are connected to Tidegate",
        detail: "The limit is {clients_max} clients.",
        hint: "Close idle clients, or raise listen.clients_max.",
    }
    /// Wrong password, unknown user, or a user without a password: one text and one code for
    /// all three, or one could find out who exists.
    LoginFailed = "TG006", INVALID_PASSWORD, Fatal {
        message: "password authentication failed for user \"{user}\"",
        detail: "A wrong password, an unknown user, and a user without a password are told alike.",
        hint: "Check the user and password; Tidegate knows those of its [[user]] entries and of upstream.url.",
    }
    /// The startup packet is not one.
    StartupPacket = "TG007", PROTOCOL_VIOLATION, Fatal {
        message: "{fault}",
        detail: "What the client sent is no login of PostgreSQL's protocol.",
        hint: "Check that a PostgreSQL driver speaks to this port, and with the TLS mode that the port expects.",
    }
    /// A major version other than 3.
    ProtocolVersion = "TG008", FEATURE_NOT_SUPPORTED, Fatal {
        message: "{fault}",
        detail: "The client's startup packet asks for this version.",
        hint: "Use a driver that speaks protocol 3, as every one since PostgreSQL 7.4 does.",
    }
    /// The client did not log in in time.
    LoginTimeout = "TG009", CONNECTION_FAILURE, Fatal {
        message: "the login was not finished within {waited}",
        detail: "The client had begun its login and did not go on with it.",
        hint: "Look for a client that stalls, or raise timeouts.client_login.",
    }
    /// Replication cannot be pooled.
    ReplicationRefused = "TG010", FEATURE_NOT_SUPPORTED, Fatal {
        message: "replication connections are not supported",
        detail: "The client's startup packet sets \"replication\"; such a connection needs a backend of its own.",
        hint: "Connect to PostgreSQL directly for replication.",
    }
    /// The client sent what no client may.
    ClientProtocolViolation = "TG011", PROTOCOL_VIOLATION, Fatal {
        message: "the client broke the protocol: {fault}",
        detail: "What the client sends can't be followed any further. What it had not committed is rolled back.",
        hint: "This is likely an error of the driver, or two threads share one connection.",
    }
    /// A message is longer than any may be.
    FrameTooLarge = "TG012", PROGRAM_LIMIT_EXCEEDED, Fatal {
        message: "a message of {frame_bytes} bytes is too large",
        detail: "The limit is {frame_bytes_max} bytes.",
        hint: "Send the value in pieces, for example with COPY.",
    }
    /// The server went away while it was leased.
    UpstreamLost = "TG013", CONNECTION_FAILURE, ErrorOnceLoggedIn {
        message: "the connection to upstream \"{upstream}\" was lost",
        detail: "{fate} Cause: {cause}.",
        hint: "Retry the transaction as a whole if it may run twice, or look first whether it was committed.",
    }
    /// PostgreSQL sent what we do not understand, or we are wrong about it.
    ServerProtocol = "TG014", INTERNAL_ERROR, Fatal {
        message: "unexpected answer from upstream \"{upstream}\"",
        detail: "{fault}.",
        hint: "This is an error of Tidegate, or upstream is no PostgreSQL; please report it with the log.",
    }
    /// The gate is being stopped.
    Draining = "TG015", ADMIN_SHUTDOWN, Fatal {
        message: "terminating connection because Tidegate is shutting down",
        detail: "What the client had not committed is rolled back.",
        hint: "Connect again; another process takes over, or will soon.",
    }
    /// The client owed the next message of its transaction for too long.
    IdleInTransaction = "TG016", IDLE_IN_TRANSACTION_SESSION_TIMEOUT, Fatal {
        message: "terminating connection due to idle-in-transaction timeout",
        detail: "The client was idle in a transaction for {limit}; the transaction was rolled back.",
        hint: "End transactions before waiting for something else, or raise timeouts.idle_in_transaction.",
    }
    /// The client cancelled its query while it waited for a server.
    QueryCancelled = "TG017", QUERY_CANCELED, ErrorOnceLoggedIn {
        message: "canceling statement due to user request",
        detail: "The statement waited for a server and was not sent.",
        hint: "Nothing has to be undone.",
    }
    /// The upstream does not take a parameter of the startup packet.
    StartupParameter = "TG018", INVALID_PARAMETER_VALUE, Fatal {
        message: "{cause}",
        detail: "The client's startup packet sets \"{parameter}\".",
        hint: "Correct the options of the connection.",
    }
    /// The port takes TLS only, and the client did not begin with it.
    TlsRequired = "TG019", INVALID_AUTHORIZATION_SPECIFICATION, Fatal {
        message: "this port takes only connections that are encrypted",
        detail: "The client began its login without TLS.",
        hint: "Connect with sslmode=require, or with a mode that is stricter.",
    }
    /// Client and gate do not agree on the TLS connection between them. It says nothing of the
    /// user or the password: both are looked at later.
    ChannelBinding = "TG020", INVALID_AUTHORIZATION_SPECIFICATION, Fatal {
        message: "channel binding failed",
        detail: "The cause: {cause}.",
        hint: "Look for what ends TLS between the client and Tidegate: it may be an attack. If it is meant to be there, connect with channel_binding=disable.",
    }
    /// Nobody could be asked who the user is.
    LookupFailed = "TG021", CANNOT_CONNECT, Fatal {
        message: "could not look up the user",
        detail: "The cause: {cause}.",
        hint: "Check that auth.query runs as the user of upstream.url in its database; Tidegate's log has more.",
    }
    /// The connection to the upstream is not as secure as the settings demand.
    UpstreamInsecure = "TG022", CANNOT_CONNECT, ErrorOnceLoggedIn {
        message: "no secure connection to upstream \"{upstream}\"",
        detail: "The cause: {cause}.",
        hint: "Compare sslmode, sslrootcert, sslcert, and the host in upstream.url with what PostgreSQL has and shows.",
    }
    /// More clients of the transaction port would keep their server than may.
    PinBudget = "TG023", TOO_MANY_CONNECTIONS, ErrorOnceLoggedIn {
        message: "too many clients keep their server past the transaction",
        detail: "The client had left state in the session ({reason}), which was removed: {pins_max} servers of this pool may be kept, and all are. Nothing of this statement was sent.",
        hint: "To need no server of your own: {remedy}. Or connect to the session port, or raise pool.pins_max.",
    }
    /// Another server of the pool could not be given the settings of the client.
    SettingsRefused = "TG024", INVALID_PARAMETER_VALUE, ErrorOnceLoggedIn {
        message: "{cause}",
        detail: "The client has set this for its session before; the server that was to run its next transaction refused it. Nothing of that was sent, and the session has the settings again that it began with.",
        hint: "Set what is needed anew, or connect again.",
    }
    /// The settings of the client, or its BEGIN, failed in front of a statement that was under way.
    AheadFailed = "TG025", CONNECTION_FAILURE, Fatal {
        message: "what belongs in front of the statement has failed on the server: {cause}",
        detail: "The client's settings or its BEGIN were sent together with the statement. Whether the statement was carried out without them is not known.",
        hint: "Connect again and look before repeating it.",
    }
    /// The client listens, and may have missed something.
    NotificationsLost = "TG026", WARNING, Warning {
        message: "notifications may have been lost",
        detail: "The connection that listens for this client was lost, or more came than is kept while a client is in a transaction.",
        hint: "Look at the tables that the notifications are about; what comes from now on is told.",
    }
    /// The pool is paused, and was not resumed in time.
    Paused = "TG027", CANNOT_CONNECT_NOW, ErrorOnceLoggedIn {
        message: "database \"{database}\" is paused",
        detail: "An operator has paused it, and it was not resumed within {waited}. The statement was not sent.",
        hint: "Try again once the maintenance is over.",
    }
    /// A statement ran for too long, and was cancelled.
    QueryTimeout = "TG028", QUERY_CANCELED, ErrorOnceLoggedIn {
        message: "canceling statement due to Tidegate's query timeout",
        detail: "The statement, or the batch that it belongs to, had not ended after {limit}.",
        hint: "Let the statement do less at a time, or raise timeouts.query; a [[pool_for]] sets it for one user or database.",
    }
    /// A statement ran for too long, and cancelling it has not ended it.
    QueryNotCancelled = "TG029", QUERY_CANCELED, Fatal {
        message: "terminating connection due to Tidegate's query timeout",
        detail: "The statement had not ended after {limit}, nor within {waited} of being cancelled. A transaction that it belongs to is rolled back; a statement outside of one may still be carried out.",
        hint: "Read results as they come, let the statement do less at a time, or raise timeouts.query.",
    }
    /// A transaction lasted for too long.
    TransactionTimeout = "TG030", TRANSACTION_TIMEOUT, Fatal {
        message: "terminating connection due to transaction timeout",
        detail: "The transaction had not ended after {limit}; what it had not committed is rolled back.",
        hint: "Do the work in several transactions, or raise timeouts.transaction; a [[pool_for]] sets it for one user or database.",
    }
    /// A client had nothing to say for too long.
    ClientIdle = "TG031", IDLE_SESSION_TIMEOUT, Fatal {
        message: "terminating connection due to idle-session timeout",
        detail: "The client had nothing under way and said nothing for {limit}.",
        hint: "Let the application's pool close idle connections sooner, or check them before use, or raise timeouts.client_idle; a [[pool_for]] sets it for one user or database.",
    }
    /// The server went away before it had answered a COMMIT.
    CommitInDoubt = "TG032", TRANSACTION_RESOLUTION_UNKNOWN, Fatal {
        message: "it is not known whether the transaction was committed",
        detail: "COMMIT was sent to upstream \"{upstream}\", and the connection ended before it was answered. Tidegate has not sent it again, and will not. Cause: {cause}.",
        hint: "Find out before repeating the transaction: SELECT pg_xact_status(id), where id is what SELECT pg_current_xact_id_if_assigned() gave in it, or look at the data.",
    }
    /// Another process has taken over, and this client could not go there.
    TakenOver = "TG034", ADMIN_SHUTDOWN, Fatal {
        message: "terminating connection because another process of Tidegate has taken over",
        detail: "A connection goes over to it as soon as it is between two transactions, unless it has TLS or keeps its server. What the client had not committed is rolled back; a statement outside of a transaction that was under way may or may not have been executed.",
        hint: "Connect again: the other process serves. Transactions of the old one had twice timeouts.drain to end.",
    }
    /// What clients make the gate keep takes as much memory as it may, or almost.
    MemoryShort = "TG035", OUT_OF_MEMORY, ErrorOnceLoggedIn {
        message: "out of memory for clients",
        detail: "{used} of {max} are used for what waits for clients or from them, and for the statements that they have prepared. Nothing was sent to PostgreSQL.",
        hint: "Look for clients that read large results slowly, or raise listen.memory_max.",
    }
    /// An operator has closed the client.
    ClientKilled = "TG036", ADMIN_SHUTDOWN, Fatal {
        message: "terminating connection due to an operator's command",
        detail: "An operator of Tidegate has closed this client. What it had not committed is rolled back; a statement outside of a transaction that was under way may or may not have been executed.",
        hint: "Ask who operates the gate before connecting again.",
    }
    /// An operator has closed the server that the client had.
    ServerKilled = "TG037", ADMIN_SHUTDOWN, Fatal {
        message: "terminating connection because an operator has closed its server",
        detail: "What the client had not committed is rolled back; a statement outside of a transaction that was under way may or may not have been executed.",
        hint: "Connect again; retry the transaction as a whole if it may run twice, or look first whether it was committed.",
    }
    /// The user may not use the admin console. The message is PgBouncer's.
    ConsoleNotAllowed = "TG040", INVALID_AUTHORIZATION_SPECIFICATION, Fatal {
        message: "not allowed",
        detail: "User \"{user}\" may not use the admin console, which the database \"{database}\" is.",
        hint: "Name the user in auth.stats_users, to look, or in auth.admin_users, and reload the settings.",
    }
    /// The admin console does not know the command. The message is PgBouncer's.
    ConsoleCommand = "TG041", SYNTAX_ERROR, ErrorOnceLoggedIn {
        message: "invalid command '{command}', use SHOW HELP;",
        detail: "This is the admin console of Tidegate, which is no database: it has commands of its own, and no SQL.",
        hint: "Say SHOW HELP; for what there is, or connect to a database for SQL.",
    }
    /// The admin console knows the command, and does not do it.
    ConsoleUnsupported = "TG042", FEATURE_NOT_SUPPORTED, ErrorOnceLoggedIn {
        message: "{what} is not done here",
        detail: "{reason}.",
        hint: "Instead: {remedy}.",
    }
    /// Only administrators may do it. The message is PgBouncer's.
    ConsoleAdmin = "TG043", INSUFFICIENT_PRIVILEGE, ErrorOnceLoggedIn {
        message: "admin access needed",
        detail: "User \"{user}\" may look at the console and change nothing.",
        hint: "Name the user in auth.admin_users, and reload the settings.",
    }
    /// A command of the admin console has not done what it is for.
    ConsoleFailed = "TG044", OBJECT_NOT_IN_PREREQUISITE_STATE, ErrorOnceLoggedIn {
        message: "{what}",
        detail: "The command has come to nothing.",
        hint: "SHOW DATABASES, SHOW CLIENTS, and SHOW STATE tell how things are.",
    }
}

impl Code {
    /// The SQLSTATE, unless the error passes on the upstream's.
    pub const fn sqlstate(self) -> SqlState {
        self.entry().sqlstate
    }

    /// Whether the client can go on after the error.
    pub const fn policy(self) -> Policy {
        self.entry().policy
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who holds a server, as a DETAIL names it. Only for clients that have logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The `application_name`; may be empty.
    pub application: String,
    /// The client's address.
    pub address: String,
    /// For how long.
    pub held: Duration,
    /// What it does, such as `idle in transaction`.
    pub state: &'static str,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let application = if self.application.is_empty() { "unnamed" } else { &self.application };
        let held = seconds(self.held);
        write!(f, "{application} at {} for {held} ({})", self.address, self.state)
    }
}

/// Whether a statement may have been executed when its server was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// There was none.
    Answered,
    /// There was none, but a transaction, which PostgreSQL rolls back.
    InTransaction,
    /// No byte of it left for PostgreSQL.
    NotSent,
    /// Some of it did; nobody knows.
    Unknown,
}

impl Fate {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "Whatever had been sent was answered; nothing else was.",
            Self::InTransaction => {
                "Whatever had been sent was answered; the transaction that was open is rolled back."
            }
            Self::NotSent => "The statement was not sent.",
            Self::Unknown => {
                "The statement was sent; it may or may not have been executed, and is not sent again."
            }
        }
    }
}

/// An error, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Which error.
    pub code: Code,
    /// The table's, or the upstream's.
    pub sqlstate: SqlState,
    /// What happened.
    pub message: String,
    /// The numbers.
    pub detail: Option<String>,
    /// The remedy; ends with the code.
    pub hint: Option<String>,
}

impl Complaint {
    /// No server became free in time. `holders` are the longest; three are named, and none
    /// should be given before the client has logged in.
    pub fn pool_timeout(
        waited: Duration,
        leased: u32,
        slots_max: u32,
        waiting: usize,
        holders: &[Holder],
    ) -> Self {
        let mut named = String::new();
        for (n, holder) in holders.iter().take(HOLDERS_MAX).enumerate() {
            let before = if n == 0 { " Longest holders: " } else { "; " };
            named.push_str(before);
            named.push_str(&clean(&holder.to_string()));
        }
        if !named.is_empty() {
            named.push('.');
        }
        Filling::of(Code::PoolTimeout)
            .fill("waited", &seconds(waited))
            .fill("leased", &leased)
            .fill("slots_max", &slots_max)
            .fill("waiting", &waiting)
            .fill_checked("holders", &named)
            .done()
    }

    /// No connection to the upstream could be made; `cause` is the last one.
    pub fn upstream_unreachable(
        upstream: &str,
        attempts: u32,
        cause: &(impl fmt::Display + ?Sized),
    ) -> Self {
        Filling::of(Code::UpstreamUnreachable)
            .fill("upstream", upstream)
            .fill("attempts", &attempts)
            .fill("cause", cause)
            .done()
    }

    /// The upstream refused the login, with this SQLSTATE, which is passed on.
    pub fn upstream_refused(
        upstream: &str,
        sqlstate: SqlState,
        cause: &(impl fmt::Display + ?Sized),
    ) -> Self {
        let complaint =
            Filling::of(Code::UpstreamRefused).fill("upstream", upstream).fill("cause", cause);
        Self { sqlstate, ..complaint.done() }
    }

    /// Connections that are not ours fill the upstream.
    pub fn budget_full(
        upstream: &str,
        foreign: u32,
        usable: u32,
        connections_max: u32,
        leased: u32,
    ) -> Self {
        Filling::of(Code::BudgetFull)
            .fill("upstream", upstream)
            .fill("foreign", &foreign)
            .fill("usable", &usable)
            .fill("connections_max", &connections_max)
            .fill("leased", &leased)
            .done()
    }

    /// Clients take as much memory as they may, or almost: `used` of `max`, with units.
    pub fn memory_short(used: &str, max: &str) -> Self {
        Filling::of(Code::MemoryShort).fill("used", used).fill("max", max).done()
    }

    /// As many clients are connected as may be.
    pub fn client_limit(clients_max: u32) -> Self {
        Filling::of(Code::ClientLimit).fill("clients_max", &clients_max).done()
    }

    /// Wrong password, unknown user, or a user without a password.
    pub fn login_failed(user: &[u8]) -> Self {
        Filling::of(Code::LoginFailed).fill("user", &String::from_utf8_lossy(user)).done()
    }

    /// The startup packet is not one; `fault` is the whole message.
    pub fn startup_packet(fault: &(impl fmt::Display + ?Sized)) -> Self {
        Filling::of(Code::StartupPacket).fill("fault", fault).done()
    }

    /// A major version other than 3; `fault` is the whole message.
    pub fn protocol_version(fault: &(impl fmt::Display + ?Sized)) -> Self {
        Filling::of(Code::ProtocolVersion).fill("fault", fault).done()
    }

    /// The client did not log in in time.
    pub fn login_timeout(waited: Duration) -> Self {
        Filling::of(Code::LoginTimeout).fill("waited", &seconds(waited)).done()
    }

    /// Replication cannot be pooled.
    pub fn replication_refused() -> Self {
        Filling::of(Code::ReplicationRefused).done()
    }

    /// The client sent what no client may.
    pub fn client_protocol_violation(fault: &(impl fmt::Display + ?Sized)) -> Self {
        Filling::of(Code::ClientProtocolViolation).fill("fault", fault).done()
    }

    /// A message is longer than any may be.
    pub fn frame_too_large(frame_bytes: u64, frame_bytes_max: u64) -> Self {
        Filling::of(Code::FrameTooLarge)
            .fill("frame_bytes", &frame_bytes)
            .fill("frame_bytes_max", &frame_bytes_max)
            .done()
    }

    /// The server went away before it had answered a COMMIT.
    pub fn commit_in_doubt(upstream: &str, cause: &(impl fmt::Display + ?Sized)) -> Self {
        Filling::of(Code::CommitInDoubt).fill("upstream", upstream).fill("cause", cause).done()
    }

    /// The server went away while it was leased.
    pub fn upstream_lost(upstream: &str, fate: Fate, cause: &(impl fmt::Display + ?Sized)) -> Self {
        Filling::of(Code::UpstreamLost)
            .fill("upstream", upstream)
            .fill("fate", fate.as_str())
            .fill("cause", cause)
            .done()
    }

    /// PostgreSQL sent what we do not understand.
    pub fn server_protocol(upstream: &str, fault: &(impl fmt::Display + ?Sized)) -> Self {
        Filling::of(Code::ServerProtocol).fill("upstream", upstream).fill("fault", fault).done()
    }

    /// The client owed the next message of its transaction for `limit`.
    pub fn idle_in_transaction(limit: Duration) -> Self {
        Filling::of(Code::IdleInTransaction).fill("limit", &seconds(limit)).done()
    }

    /// A statement had not ended after `limit`, and was cancelled.
    pub fn query_timeout(limit: Duration) -> Self {
        Filling::of(Code::QueryTimeout).fill("limit", &seconds(limit)).done()
    }

    /// A statement had not ended after `limit`, nor within `waited` of being cancelled.
    pub fn query_not_cancelled(limit: Duration, waited: Duration) -> Self {
        let filling = Filling::of(Code::QueryNotCancelled).fill("limit", &seconds(limit));
        filling.fill("waited", &seconds(waited)).done()
    }

    /// A transaction had not ended after `limit`.
    pub fn transaction_timeout(limit: Duration) -> Self {
        Filling::of(Code::TransactionTimeout).fill("limit", &seconds(limit)).done()
    }

    /// The client had nothing to say for `limit`.
    pub fn client_idle(limit: Duration) -> Self {
        Filling::of(Code::ClientIdle).fill("limit", &seconds(limit)).done()
    }

    /// Another process has taken over.
    pub fn taken_over() -> Self {
        Filling::of(Code::TakenOver).done()
    }

    /// An operator has closed the client.
    pub fn client_killed() -> Self {
        Filling::of(Code::ClientKilled).done()
    }

    /// An operator has closed the server that the client had.
    pub fn server_killed() -> Self {
        Filling::of(Code::ServerKilled).done()
    }

    /// The gate is being stopped.
    pub fn draining() -> Self {
        Filling::of(Code::Draining).done()
    }

    /// The client cancelled its query while it waited for a server.
    pub fn query_cancelled() -> Self {
        Filling::of(Code::QueryCancelled).done()
    }

    /// The upstream does not take a parameter of the startup packet; `cause` is its message.
    pub fn startup_parameter(parameter: &str, cause: &(impl fmt::Display + ?Sized)) -> Self {
        Filling::of(Code::StartupParameter).fill("cause", cause).fill("parameter", parameter).done()
    }

    /// The port takes TLS only.
    pub fn tls_required() -> Self {
        Filling::of(Code::TlsRequired).done()
    }

    /// Client and gate do not agree on the TLS connection between them.
    pub fn channel_binding(cause: &(impl fmt::Display + ?Sized)) -> Self {
        Filling::of(Code::ChannelBinding).fill("cause", cause).done()
    }

    /// Nobody could be asked who the user is. `cause` is shown to whoever connects: it should not
    /// tell who exists.
    pub fn lookup_failed(cause: &(impl fmt::Display + ?Sized)) -> Self {
        Filling::of(Code::LookupFailed).fill("cause", cause).done()
    }

    /// More clients would keep their server than may.
    pub fn pin_budget(reason: &str, remedy: &str, pins_max: u32) -> Self {
        let filling = Filling::of(Code::PinBudget).fill("reason", reason);
        filling.fill("remedy", remedy).fill("pins_max", &pins_max).done()
    }

    /// A server refused a setting of the client; `cause` is its message.
    pub fn settings_refused(cause: &(impl fmt::Display + ?Sized)) -> Self {
        Filling::of(Code::SettingsRefused).fill("cause", cause).done()
    }

    /// What was sent in front of a statement has failed; `cause` is PostgreSQL's message.
    pub fn ahead_failed(cause: &(impl fmt::Display + ?Sized)) -> Self {
        Filling::of(Code::AheadFailed).fill("cause", cause).done()
    }

    /// The client listens, and may have missed something.
    pub fn notifications_lost() -> Self {
        Filling::of(Code::NotificationsLost).done()
    }

    /// The pool is paused, and was not resumed in time.
    pub fn paused(database: &str, waited: Duration) -> Self {
        let filling = Filling::of(Code::Paused).fill("database", database);
        filling.fill("waited", &seconds(waited)).done()
    }

    /// TLS towards the upstream did not come about as the settings demand it.
    pub fn upstream_insecure(upstream: &str, cause: &(impl fmt::Display + ?Sized)) -> Self {
        Filling::of(Code::UpstreamInsecure).fill("upstream", upstream).fill("cause", cause).done()
    }

    /// A user who may not use the admin console has logged in to it.
    pub fn console_not_allowed(user: &str, database: &str) -> Self {
        let filling = Filling::of(Code::ConsoleNotAllowed).fill("user", user);
        filling.fill("database", database).done()
    }

    /// The admin console does not know this command.
    pub fn console_command(command: &str) -> Self {
        Filling::of(Code::ConsoleCommand).fill("command", command).done()
    }

    /// The admin console does not do this, for a reason; and what to do instead.
    pub fn console_unsupported(what: &str, reason: &str, remedy: &str) -> Self {
        let filling = Filling::of(Code::ConsoleUnsupported).fill("what", what);
        filling.fill("reason", reason).fill("remedy", remedy).done()
    }

    /// Somebody who may only look wants to change something in the admin console.
    pub fn console_admin(user: &str) -> Self {
        Filling::of(Code::ConsoleAdmin).fill("user", user).done()
    }

    /// A command of the admin console was in vain.
    pub fn console_failed(what: &(impl fmt::Display + ?Sized)) -> Self {
        Filling::of(Code::ConsoleFailed).fill("what", what).done()
    }

    /// The severity that fits a client at this stage.
    pub const fn severity(&self, stage: Stage) -> Severity {
        self.code.policy().severity(stage)
    }

    /// Appends an ErrorResponse.
    pub fn encode(&self, severity: Severity, out: &mut Vec<u8>) {
        self.report(severity).encode_error(out);
    }

    /// Appends a NoticeResponse.
    pub fn encode_notice(&self, severity: Severity, out: &mut Vec<u8>) {
        self.report(severity).encode_notice(out);
    }

    fn report(&self, severity: Severity) -> Report<'_> {
        Report {
            severity,
            sqlstate: self.sqlstate,
            message: &self.message,
            detail: self.detail.as_deref(),
            hint: self.hint.as_deref(),
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Complaint {}

/// An entry whose placeholders are being filled.
struct Filling {
    entry: Entry,
    values: Vec<(&'static str, String)>,
}

impl Filling {
    fn of(code: Code) -> Self {
        Self { entry: code.entry(), values: Vec::new() }
    }

    fn fill(self, name: &'static str, value: &(impl fmt::Display + ?Sized)) -> Self {
        let value = clean(&value.to_string());
        self.fill_checked(name, &value)
    }

    /// For values that are already clean and may be longer.
    fn fill_checked(mut self, name: &'static str, value: &str) -> Self {
        self.values.push((name, value.to_owned()));
        self
    }

    fn done(self) -> Complaint {
        let Entry { code, sqlstate, message, detail, hint, .. } = self.entry;
        let detail = Some(self.text(detail)).filter(|detail| !detail.is_empty());
        let hint = format!("{} ({code})", self.text(hint));
        Complaint { code, sqlstate, message: self.text(message), detail, hint: Some(hint) }
    }

    /// Replaces each placeholder once, from left to right: a value that looks like a placeholder
    /// stays as it is.
    fn text(&self, template: &str) -> String {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            let value = self.values.iter().find(|(known, _)| *known == name);
            let value = value.map_or("?", |(_, value)| value);
            text.push_str(before);
            // Some causes bring a full stop, others none.
            let own_stop = after.starts_with('.');
            text.push_str(if own_stop { value.trim_end_matches('.') } else { value });
            rest = after;
        }
        text.push_str(rest);
        text
    }
}

/// Control characters could forge lines in a client's log, and a name may be long: both come
/// from outside.
fn clean(value: &str) -> String {
    value.chars().map(|c| if c.is_control() { ' ' } else { c }).take(VALUE_CHARS_MAX).collect()
}

/// Seconds as people write them: `0.25 s`, `30 s`.
fn seconds(duration: Duration) -> String {
    let mut text = format!("{:.3}", duration.as_secs_f64());
    text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    text + " s"
}

/// How many holders a DETAIL names: enough to see a pattern, few enough to be read.
const HOLDERS_MAX: usize = 3;

/// Some lines of a terminal; PostgreSQL's own causes are shorter.
const VALUE_CHARS_MAX: usize = 500;

#[cfg(test)]
mod tests;
