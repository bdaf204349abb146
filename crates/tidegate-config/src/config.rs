//! The checked settings: typed, complete, and free of contradictions.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate_pool_core::settings::{
    AnswerProbes, PoolSettings, PrePing, ResetPolicy, RetrySettings,
};

use crate::secret::Secret;

/// Everything that can be set, checked. `PartialEq` so that a reload sees what has changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The plan that was bought.
    pub plan: PlanChoice,
    /// The PostgreSQL instance.
    pub upstream: Upstream,
    /// Where clients connect.
    pub listen: Listen,
    /// The settings of every pool that no [`PoolFor`] changes; `auto` is resolved.
    pub pool: PoolSettings,
    /// Changes for single pools, in the order of the file.
    pub pool_for: Vec<PoolFor>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How connecting is retried.
    pub retry: RetrySettings,
    /// Whether a read is sent again when its server dies before anything of the answer has come.
    pub sends_reads_again: bool,
    /// What is done about prepared statements.
    pub prepared: Prepared,
    /// What the log looks like.
    pub log: Log,
    /// Who may log in; never empty.
    pub users: Vec<User>,
    /// How users that are not among `users` are looked up.
    pub auth: Auth,
    /// The admin console.
    pub console: Console,
    /// What this instance is for.
    pub environment: Environment,
}

impl Config {
    /// The settings of the pool of `database` and `user`: `[pool]`, then each `[[pool_for]]` that
    /// matches, in the order of the file. So of two that set the same key, the last one counts,
    /// and a key that the last one leaves out keeps what an earlier one gave it.
    pub fn pool_settings(&self, database: &str, user: &str) -> PoolSettings {
        let mut settings = self.pool.clone();
        for pool_for in self.pool_for.iter().filter(|p| p.matches(database, user)) {
            pool_for.overrides.apply(&mut settings);
        }
        settings
    }

    /// How long clients of `database` and `user` may take, by the same rule.
    pub fn client_timeouts(&self, database: &str, user: &str) -> ClientTimeouts {
        let mut timeouts = self.timeouts.clients;
        for pool_for in self.pool_for.iter().filter(|p| p.matches(database, user)) {
            pool_for.timeouts.apply(&mut timeouts);
        }
        timeouts
    }
}

/// Gives an enum of words its one `as_str`, its `Display`, and the list that the parser reads.
macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $type {
            /// Every choice, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            pub(crate) const WORDS: &'static [(&'static str, Self)] =
                &[$(($word, Self::$variant)),+];

            /// The word for settings, logs, and messages.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// The plan that was bought, or that nothing is known of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlanChoice {
    /// No plan: the live server's limit is the only one.
    Auto,
    /// 15 connections.
    Free,
    /// 200 connections.
    Pro,
    /// No limit by the plan.
    Enterprise,
    /// No limit by the plan; `upstream.connections` sets one.
    Custom,
    /// Supabase's compute size Nano.
    SupabaseNano,
    /// Supabase's compute size Micro.
    SupabaseMicro,
    /// Supabase's compute size Small.
    SupabaseSmall,
    /// Supabase's compute size Medium.
    SupabaseMedium,
    /// Supabase's compute size Large.
    SupabaseLarge,
    /// Supabase's compute size XL.
    SupabaseXl,
    /// Supabase's compute size 2XL.
    Supabase2Xl,
    /// Supabase's compute size 4XL.
    Supabase4Xl,
    /// Supabase's compute size 8XL.
    Supabase8Xl,
    /// Supabase's compute size 12XL.
    Supabase12Xl,
    /// Supabase's compute size 16XL.
    Supabase16Xl,
}

words!(PlanChoice {
    Auto = "auto",
    Free = "free",
    Pro = "pro",
    Enterprise = "enterprise",
    Custom = "custom",
    SupabaseNano = "supabase-nano",
    SupabaseMicro = "supabase-micro",
    SupabaseSmall = "supabase-small",
    SupabaseMedium = "supabase-medium",
    SupabaseLarge = "supabase-large",
    SupabaseXl = "supabase-xl",
    Supabase2Xl = "supabase-2xl",
    Supabase4Xl = "supabase-4xl",
    Supabase8Xl = "supabase-8xl",
    Supabase12Xl = "supabase-12xl",
    Supabase16Xl = "supabase-16xl",
});

impl PlanChoice {
    /// Connections of the database that the plan allows, all applications together; `None` when
    /// the plan sets no limit. The managed sizes are the direct connections of Supabase's public
    /// table "Compute and disk".
    pub const fn limit(self) -> Option<u32> {
        match self {
            Self::Auto | Self::Enterprise | Self::Custom => None,
            Self::Free => Some(15),
            Self::Pro => Some(200),
            Self::SupabaseNano | Self::SupabaseMicro => Some(60),
            Self::SupabaseSmall => Some(90),
            Self::SupabaseMedium => Some(120),
            Self::SupabaseLarge => Some(160),
            Self::SupabaseXl => Some(240),
            Self::Supabase2Xl => Some(380),
            Self::Supabase4Xl => Some(480),
            Self::Supabase8Xl => Some(490),
            Self::Supabase12Xl | Self::Supabase16Xl => Some(500),
        }
    }

    /// What `auto` means for `pool.pool_size` and `pool.max_overflow`. `free` in production takes
    /// its whole limit (5 + 10 = 15); while developing it leaves seven for tools and colleagues.
    pub const fn pool_sizes(self, environment: Environment) -> (u32, u32) {
        match (self, environment) {
            (Self::Free, Environment::Development) => (3, 5),
            (Self::Free, _) => (5, 10),
            (Self::Enterprise, _) => (20, 50),
            _ => (10, 20),
        }
    }
}

/// What this instance is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Environment {
    /// A developer's machine.
    Development,
    /// A rehearsal of production.
    Staging,
    /// The real thing.
    Production,
}

words!(Environment {
    Development = "development",
    Staging = "staging",
    Production = "production",
});

/// One PostgreSQL instance, and how to log in there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Where it is; several for fail-over, in the order in which they are tried. Never empty.
    pub hosts: Vec<Host>,
    /// What a server must be like; hosts whose servers are not like that are passed over.
    pub target: TargetSession,
    /// The user of the URL.
    pub user: String,
    /// The password of the URL or of the password file.
    pub password: Option<Secret>,
    /// The file that the password came from, so that a reload can read it again.
    pub password_file: Option<PathBuf>,
    /// The database of the URL.
    pub database: String,
    /// What the URL asks of TLS.
    pub tls: UpstreamTls,
    /// Startup parameters of the URL: `application_name`, `client_encoding`, `options`.
    pub parameters: Vec<(String, String)>,
    /// Whether it is PostgreSQL itself.
    pub kind: UpstreamKind,
    /// The hard limit of this instance; `None` is `auto`.
    pub connections: Option<u32>,
    /// Of the server's limit, left free for people and tools.
    pub headroom: u32,
    /// How often the database is asked who holds what; `None` is off.
    pub census: Option<Duration>,
}

impl Upstream {
    /// The URL for showing: complete, but for the password, which is `***`, and for parameters
    /// that say what would be so without them.
    pub fn url_redacted(&self) -> String {
        let password = if self.password.is_some() { ":***" } else { "" };
        let hosts: Vec<String> = self.hosts.iter().map(Host::in_url).collect();
        let mut url = format!(
            "postgres://{}{password}@{}/{}?sslmode={}",
            percent_encoded(&self.user),
            hosts.join(","),
            percent_encoded(&self.database),
            self.tls.mode
        );
        if self.hosts.iter().any(|host| host.name.is_some()) {
            let addresses: Vec<String> = self.hosts.iter().map(Host::address_apart).collect();
            url.push_str(&format!("&hostaddr={}", addresses.join(",")));
        }
        if self.target != TargetSession::Any {
            url.push_str(&format!("&target_session_attrs={}", self.target));
        }
        for (name, value) in self.tls.in_url() {
            url.push_str(&format!("&{name}={value}"));
        }
        for (name, value) in &self.parameters {
            url.push_str(&format!("&{name}={}", percent_encoded(value)));
        }
        url
    }
}

/// What a server must be like, in libpq's words (`target_session_attrs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetSession {
    /// Any will do.
    Any,
    /// One that takes writes by default, and is no standby.
    ReadWrite,
    /// One that does not.
    ReadOnly,
    /// No standby.
    Primary,
    /// A standby.
    Standby,
}

words!(TargetSession {
    Any = "any",
    ReadWrite = "read-write",
    ReadOnly = "read-only",
    Primary = "primary",
    Standby = "standby",
});

impl TargetSession {
    /// Why a server that is like this is not what is asked for, if it is not.
    pub const fn misfit(self, is_standby: bool, is_read_only: bool) -> Option<&'static str> {
        match self {
            Self::Primary | Self::ReadWrite if is_standby => Some("it is a standby"),
            Self::ReadWrite if is_read_only => Some("default_transaction_read_only is on"),
            Self::ReadOnly if !is_standby && !is_read_only => Some("it takes writes"),
            Self::Standby if !is_standby => Some("it is no standby"),
            _ => None,
        }
    }
}

/// One machine of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    /// Where it listens.
    pub address: Address,
    /// What it is called where the address does not say it: the `host` beside a `hostaddr`.
    pub name: Option<String>,
}

impl Host {
    /// What the server's certificate must be made out to, and what SNI asks for: a name or an IP
    /// address. `None` is a Unix socket, on which there is no TLS.
    pub fn server_name(&self) -> Option<&str> {
        match &self.address {
            Address::Tcp { host, .. } => Some(self.name.as_deref().unwrap_or(host)),
            Address::Unix { .. } => None,
        }
    }

    fn in_url(&self) -> String {
        match (&self.address, &self.name) {
            (Address::Tcp { port, .. }, Some(name)) => {
                Address::Tcp { host: name.clone(), port: *port }.in_url()
            }
            (address, _) => address.in_url(),
        }
    }

    /// The address where it stands apart from the name, as an item of `hostaddr`.
    fn address_apart(&self) -> String {
        match (&self.address, &self.name) {
            (Address::Tcp { host, .. }, Some(_)) => percent_encoded(host),
            _ => String::new(),
        }
    }
}

/// Where a PostgreSQL server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host name or IP address (without brackets), to be resolved at each dial.
    Tcp {
        /// The name.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket: the socket itself, `/var/run/postgresql/.s.PGSQL.5432`.
    Unix {
        /// The socket.
        path: PathBuf,
    },
}

impl Address {
    fn in_url(&self) -> String {
        match self {
            Self::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port } => format!("{}:{port}", percent_encoded(host)),
            Self::Unix { path } => {
                let path = path.to_string_lossy();
                let (folder, port) = path.split_once("/.s.PGSQL.").unwrap_or((&path, "5432"));
                format!("{}:{port}", percent_encoded(folder))
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { path } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Bytes that may stand for themselves anywhere in a URL (RFC 3986, section 2.3) stay.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// As [`percent_encoded`], but for the slashes, which a parameter's value may have.
fn path_encoded(path: &Path) -> String {
    let path = path.to_string_lossy();
    path.split('/').map(percent_encoded).collect::<Vec<_>>().join("/")
}

/// TLS towards the upstream, in libpq's words (PostgreSQL docs, "SSL Support" of libpq). Unix
/// sockets have none, whatever this says, as in libpq.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    /// How much is insisted on.
    pub mode: SslMode,
    /// Whose signature makes a server's certificate a good one.
    pub roots: Roots,
    /// The files of Tidegate's own certificate and of its key, for servers that want one.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Who speaks of TLS first.
    pub negotiation: Negotiation,
    /// Whether the login is bound to the server's certificate.
    pub channel_binding: ChannelBinding,
    /// Whether the server is told, in plain text, which name it was called by.
    pub sni: bool,
}

impl UpstreamTls {
    /// What of the server's certificate is verified. `require` with a file of roots verifies as
    /// `verify-ca` does: libpq's rule, so that whoever names roots has not named them in vain.
    pub fn verification(&self) -> Verification {
        match (self.mode, &self.roots) {
            (SslMode::Disable | SslMode::Allow | SslMode::Prefer, _)
            | (SslMode::Require, Roots::System) => Verification::None,
            (SslMode::Require, Roots::File(_)) | (SslMode::VerifyCa, _) => Verification::Chain,
            (SslMode::VerifyFull, _) => Verification::ChainAndName,
        }
    }

    /// Parameters of the URL, but for `sslmode`, where they are not the default.
    fn in_url(&self) -> Vec<(&'static str, String)> {
        let mut parameters = Vec::new();
        if let Roots::File(path) = &self.roots {
            parameters.push(("sslrootcert", path_encoded(path)));
        }
        if let Some((certificate, key)) = &self.client_certificate {
            parameters.push(("sslcert", path_encoded(certificate)));
            parameters.push(("sslkey", path_encoded(key)));
        }
        if self.negotiation != Negotiation::Postgres {
            parameters.push(("sslnegotiation", self.negotiation.to_string()));
        }
        if self.channel_binding != ChannelBinding::Prefer {
            parameters.push(("channel_binding", self.channel_binding.to_string()));
        }
        if !self.sni {
            parameters.push(("sslsni", "0".to_owned()));
        }
        parameters
    }
}

/// How much TLS is insisted on, from nothing upwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// As [`SslMode::Prefer`]: libpq would try plain text first, which protects nobody.
    Allow,
    /// TLS where both sides can.
    Prefer,
    /// TLS, with whomever it may be.
    Require,
    /// TLS with a server whose certificate a root has signed.
    VerifyCa,
    /// TLS with a server whose certificate a root has signed for the name that is dialed.
    VerifyFull,
}

words!(SslMode {
    Disable = "disable",
    Allow = "allow",
    Prefer = "prefer",
    Require = "require",
    VerifyCa = "verify-ca",
    VerifyFull = "verify-full",
});

/// Whose signature makes a server's certificate a good one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// The authorities that this machine trusts.
    System,
    /// Those whose certificates stand in this file.
    File(PathBuf),
}

/// What of a server's certificate is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// Nothing.
    None,
    /// That a root has signed it, by way of others or not.
    Chain,
    /// That too, and that it is made out to [`Host::server_name`].
    ChainAndName,
}

/// Who speaks of TLS first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Negotiation {
    /// SSLRequest, and the server's answer: a round trip.
    Postgres,
    /// The handshake at once, with ALPN (PostgreSQL 17 and later).
    Direct,
}

words!(Negotiation { Postgres = "postgres", Direct = "direct" });

/// Whether a SCRAM login is bound to the server's certificate, so that nobody in between can pass
/// it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where both sides can.
    Prefer,
    /// Always; a server that cannot is not logged in to.
    Require,
}

words!(ChannelBinding { Disable = "disable", Prefer = "prefer", Require = "require" });

/// Whether the upstream is PostgreSQL itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamKind {
    /// To be found out by a probe.
    Auto,
    /// PostgreSQL itself.
    Direct,
    /// A pooler: its `max_connections` and pids speak of something else.
    Pooler,
}

words!(UpstreamKind { Auto = "auto", Direct = "direct", Pooler = "pooler" });

/// Where clients connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The session port; empty is off.
    pub session: Vec<ListenAddress>,
    /// The transaction port; empty is off.
    pub transaction: Vec<ListenAddress>,
    /// The page, the API, and the metrics; empty is off.
    pub http: Vec<ListenAddress>,
    /// TLS on the session and the transaction port.
    pub tls: ListenTls,
    /// Worker threads.
    pub workers: NonZeroU16,
    /// The Unix socket for status and takeover.
    pub control: Option<PathBuf>,
    /// Clients that may be connected at once, both ports together.
    pub clients_max: u32,
    /// Bytes for what clients make the gate keep; none: as the machine allows.
    pub memory_max: Option<u64>,
    /// The file of the token.
    pub admin_token_file: Option<PathBuf>,
    /// What a request must bring that changes something; without it none may.
    pub admin_token: Option<Secret>,
}

/// TLS towards clients, on TCP; Unix sockets have none and need none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenTls {
    /// Whether there is TLS.
    pub mode: TlsMode,
    /// The file of the certificate, and those between it and a root; given unless the mode is off.
    pub cert: Option<PathBuf>,
    /// The file of its key; given unless the mode is off.
    pub key: Option<PathBuf>,
    /// The file of the authorities that sign clients' certificates.
    pub client_ca: Option<PathBuf>,
    /// Whether a client must have a certificate; `Require` only together with `client_ca`.
    pub client_cert: ClientCert,
}

impl ListenTls {
    /// Certificate and key; `None` where there is no TLS.
    pub fn certificate(&self) -> Option<(&Path, &Path)> {
        match self.mode {
            TlsMode::Off => None,
            TlsMode::Allow | TlsMode::Require => self.cert.as_deref().zip(self.key.as_deref()),
        }
    }
}

/// Whether clients speak TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsMode {
    /// An SSLRequest is answered with no.
    Off,
    /// Those that ask for it.
    Allow,
    /// All on TCP; others are refused before they log in.
    Require,
}

words!(TlsMode { Off = "off", Allow = "allow", Require = "require" });

/// Whether a client that speaks TLS must have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientCert {
    /// One that is presented must be good.
    Optional,
    /// One must be presented, and be good.
    Require,
}

words!(ClientCert { Optional = "optional", Require = "require" });

/// Where a port of Tidegate listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An IP address and port. `[::]` stands for all interfaces, IPv4 and IPv6; port 0 lets the
    /// system choose.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether only this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Whether two listeners on these addresses would be in each other's way.
    pub(crate) fn clashes_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(a), Self::Tcp(b)) => {
                let covers = |a: &SocketAddr, b: &SocketAddr| {
                    a.ip().is_unspecified() && (a.is_ipv6() || b.is_ipv4())
                };
                a.port() == b.port()
                    && a.port() != 0
                    && (a.ip() == b.ip() || covers(a, b) || covers(b, a))
            }
            _ => self == other,
        }
    }
}

impl fmt::Display for ListenAddress {
    /// In the form that the setting takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Changes to `[pool]` for the pools that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolFor {
    /// Only pools of this database; `None` is any.
    pub database: Option<String>,
    /// Only pools of this user; `None` is any. At least one of the two is given.
    pub user: Option<String>,
    /// What is different there.
    pub overrides: PoolOverrides,
    /// What clients there may take.
    pub timeouts: TimeoutOverrides,
}

impl PoolFor {
    /// Whether the pool of `database` and `user` is meant.
    pub fn matches(&self, database: &str, user: &str) -> bool {
        self.database.as_deref().is_none_or(|wanted| wanted == database)
            && self.user.as_deref().is_none_or(|wanted| wanted == user)
    }
}

/// The part of [`PoolSettings`] that a `[[pool_for]]` sets; `None` leaves a key as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the field of `PoolSettings` with its name")]
pub struct PoolOverrides {
    pub pool_size: Option<u32>,
    pub max_overflow: Option<u32>,
    pub pool_timeout: Option<Duration>,
    pub pool_recycle: Option<Option<Duration>>,
    pub pool_pre_ping: Option<PrePing>,
    pub answer_probes: Option<AnswerProbes>,
    pub pins_max: Option<Option<u32>>,
    pub overflow_linger: Option<Duration>,
    pub server_idle_timeout: Option<Option<Duration>>,
    pub reset: Option<ResetPolicy>,
}

impl PoolOverrides {
    /// Changes `settings` where this says so.
    pub fn apply(&self, settings: &mut PoolSettings) {
        fn put<T: Copy>(from: Option<T>, to: &mut T) {
            if let Some(value) = from {
                *to = value;
            }
        }
        put(self.pool_size, &mut settings.pool_size);
        put(self.max_overflow, &mut settings.max_overflow);
        put(self.pool_timeout, &mut settings.pool_timeout);
        put(self.pool_recycle, &mut settings.pool_recycle);
        put(self.pool_pre_ping, &mut settings.pool_pre_ping);
        put(self.answer_probes, &mut settings.answer_probes);
        put(self.pins_max, &mut settings.pins_max);
        put(self.overflow_linger, &mut settings.overflow_linger);
        put(self.server_idle_timeout, &mut settings.server_idle_timeout);
        put(self.reset, &mut settings.reset);
    }
}

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// From the accepted connection to the finished login of a client.
    pub client_login: Duration,
    /// One attempt to reach the upstream, login included.
    pub connect: Duration,
    /// The delivery of one cancel request.
    pub cancel: Duration,
    /// What is under way may finish for this long when the gate shuts down.
    pub drain: Duration,
    /// What clients may take that no [`PoolFor`] speaks of.
    pub clients: ClientTimeouts,
}

/// How long a client may take for what it does; `None` is off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// Silent, while PostgreSQL waits for the rest of what it has begun.
    pub idle_in_transaction: Option<Duration>,
    /// A transaction, busy or idle.
    pub transaction: Option<Duration>,
    /// A statement.
    pub query: Option<Duration>,
    /// Silent, with nothing under way.
    pub client_idle: Option<Duration>,
}

/// The part of [`ClientTimeouts`] that a `[[pool_for]]` sets; `None` leaves a key as it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the field of `ClientTimeouts` with its name")]
pub struct TimeoutOverrides {
    pub idle_in_transaction: Option<Option<Duration>>,
    pub transaction: Option<Option<Duration>>,
    pub query: Option<Option<Duration>>,
    pub client_idle: Option<Option<Duration>>,
}

impl TimeoutOverrides {
    /// Changes `timeouts` where this says so.
    pub fn apply(&self, timeouts: &mut ClientTimeouts) {
        let Self { idle_in_transaction, transaction, query, client_idle } = *self;
        timeouts.idle_in_transaction = idle_in_transaction.unwrap_or(timeouts.idle_in_transaction);
        timeouts.transaction = transaction.unwrap_or(timeouts.transaction);
        timeouts.query = query.unwrap_or(timeouts.query);
        timeouts.client_idle = client_idle.unwrap_or(timeouts.client_idle);
    }
}

/// What is done about prepared statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepared {
    /// Statements that are kept on one server; `None` passes them through as they are, and pins.
    pub statements_max: Option<u32>,
    /// Whether texts that come again and again without a name are kept, too.
    pub keep_unnamed: bool,
}

/// What the log looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// What is left out.
    pub level: LogLevel,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// A JSON object.
    Json,
    /// A line to read.
    Text,
}

words!(LogFormat { Text = "text", Json = "json" });

/// The least important message that is still logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogLevel {
    /// Someone should look.
    Error,
    /// Unexpected, but dealt with.
    Warn,
    /// Changes of state.
    Info,
    /// For finding out.
    Debug,
    /// Everything.
    Trace,
}

words!(LogLevel {
    Error = "error",
    Warn = "warn",
    Info = "info",
    Debug = "debug",
    Trace = "trace",
});

/// Someone who may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// What must be proved.
    pub credential: Credential,
}

/// What a client must prove to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Nothing: accepted only where both pooler ports are out of reach of other machines.
    Nothing,
    /// That it knows this password.
    Password(Secret),
    /// That it knows the password of this SCRAM-SHA-256 verifier.
    Verifier(Secret),
}

/// How users that no `[[user]]` names are looked up, and who may use the admin console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// One statement with `$1`, the name; `None` looks nobody up.
    pub query: Option<String>,
    /// How long an answer is remembered; zero asks at each login.
    pub query_cache: Duration,
    /// Who may do everything in the admin console.
    pub admin_users: Vec<String>,
    /// Who may look at it.
    pub stats_users: Vec<String>,
}

/// The admin console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Console {
    /// Whose columns it has.
    pub pgbouncer: ConsoleVersion,
}

/// A version of PgBouncer whose columns the admin console may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConsoleVersion {
    /// 1.18.0.
    V1_18,
    /// 1.25.2.
    V1_25,
}

words!(ConsoleVersion { V1_18 = "1.18", V1_25 = "1.25" });

impl ConsoleVersion {
    /// The release that is meant, in full.
    pub const fn release(self) -> &'static str {
        match self {
            Self::V1_18 => "1.18.0",
            Self::V1_25 => "1.25.2",
        }
    }
}

/// Names of databases that mean the admin console.
const CONSOLE_NAMES: [&str; 2] = ["tidegate", "pgbouncer"];

impl Config {
    /// Whether a login to `database` is one to the admin console. A database that these settings name
    /// themselves, in `upstream.url` or in a `[[pool_for]]`, is what it is called.
    pub fn is_console(&self, database: &str) -> bool {
        CONSOLE_NAMES.contains(&database)
            && self.upstream.database != database
            && !self.pool_for.iter().any(|one| one.database.as_deref() == Some(database))
    }
}
