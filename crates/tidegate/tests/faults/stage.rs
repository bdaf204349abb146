//! A gate with few servers, and a network between it and PostgreSQL that does as it is told.

use tidegate_scratch::ClusterOptions;
use tidegate_testkit::fault::{FaultProxy, Which};
use tidegate_testkit::gate::Gate;
use tidegate_testkit::raw::{Frame, Raw};
use tidegate_testkit::scene::{self, APP, Scene};

pub(crate) const GATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// Passwords are no part of most tests.
pub(crate) const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";

/// Retries as quick as a test wants them.
pub(crate) const QUICK: &str =
    "[retry]\nmultiplier = \"100ms\"\nmin = \"100ms\"\nmax = \"300ms\"\n";

/// The census's connection.
pub(crate) const CENSUS: usize = 1;

/// Servers ended because PostgreSQL, or what lies between, ended them.
pub(crate) const CLOSED: &str = "tidegate_server_connections_closed_total";

/// A pool of so many servers. What a test adds comes behind.
pub(crate) fn pool(servers: usize) -> String {
    format!("plan = \"free\"\n[pool]\npool_size = {servers}\nmax_overflow = 0\n")
}

/// What a gate may warn of when PostgreSQL is away.
pub(crate) fn allow_outage(gate: &mut Gate) {
    gate.allow("can't open a server").allow("the census can't connect");
    gate.allow("the census lost its connection");
}

/// The same with a network between gate and PostgreSQL.
pub(crate) struct Stage {
    // The gate ends first.
    pub(crate) scene: Scene,
    pub(crate) network: FaultProxy,
}

impl Stage {
    /// The census looks often: where a connection was broken, it says when the backend has gone.
    pub(crate) fn start(settings: &str) -> Self {
        let cluster = scene::cluster(ClusterOptions::default().hba(HBA));
        let network = FaultProxy::start(cluster.port());
        let url = format!("postgres://{APP}@127.0.0.1:{}/{APP}", network.port());
        let scene = Scene::with(GATE, cluster, &url, settings, &["upstream.census=200ms"]);
        Self { scene, network }
    }

    /// The connection behind which this backend is.
    pub(crate) fn link(&self, backend: &str) -> Which {
        let sql = format!("SELECT client_port FROM pg_stat_activity WHERE pid = {backend}");
        Which::Of(self.scene.look(&sql).parse().expect("a port"))
    }

    /// Waits until a backend has gone.
    pub(crate) fn until_gone(&self, backend: &str) {
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {backend}");
        self.scene.until(&sql, "0");
    }
}

/// The error in these messages.
pub(crate) fn error_in(frames: &[Frame]) -> Frame {
    let error = frames.iter().rfind(|frame| frame.tag == b'E');
    error.unwrap_or_else(|| panic!("no error in {frames:?}")).clone()
}

/// The error that ends a connection.
pub(crate) fn last_words(raw: &mut Raw) -> Frame {
    error_in(&raw.until_end())
}

/// Severity, SQLSTATE, and Tidegate's code, as in `FATAL 08006 TG013`; without a code where the
/// words are PostgreSQL's.
pub(crate) fn code(error: &Frame) -> String {
    let hint = error.field(b'H');
    let code = hint.rsplit_once("(TG").map(|(_, code)| code.trim_end_matches(')'));
    let code = code.map(|code| format!(" TG{code}")).unwrap_or_default();
    format!("{} {}{code}", error.field(b'S'), error.sqlstate())
}

/// Runs a statement that fails, after which the client can go on.
pub(crate) fn fails(raw: &mut Raw, sql: &str) -> Frame {
    raw.query(sql);
    let frames = raw.until_ready();
    assert_eq!(frames.last().map(|frame| frame.tag), Some(b'Z'), "{sql}: {frames:?}");
    error_in(&frames)
}

/// Tries to log in; the error if it is refused.
pub(crate) fn refusal(port: u16, password: &str, database: &str) -> Option<Frame> {
    Raw::connect(port).try_log_in(&[("user", APP), ("database", database)], password).err()
}
