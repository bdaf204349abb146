//! A scene: a PostgreSQL, a gate in front of it, and clients that need no password.

use std::cell::RefCell;
use std::net::Shutdown;

use tidegate_scratch::{Cluster, ClusterOptions, Installation};
use tidegate_wire::startup::{self, ProtocolVersion};

use crate::batch::Batch;
use crate::gate::Gate;
use crate::raw::{Frame, Raw};
use crate::wait;

/// The role and the database of the clients.
pub const APP: &str = "app";

/// A pool with a single server: whoever is next gets what the last one had.
pub const ONE_SERVER: &str = "plan = \"free\"\n[pool]\npool_size = 1\nmax_overflow = 0\n";

/// Passwords are no part of most tests; hashing them would be most of the work.
const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";

/// A gate in front of a PostgreSQL of its own.
pub struct Scene {
    /// The gate; it ends before PostgreSQL does.
    pub gate: Gate,
    superuser: RefCell<Raw>,
    /// The PostgreSQL.
    pub cluster: Cluster,
}

/// A PostgreSQL with a role and a database named [`APP`].
///
/// # Panics
/// When none is installed or it does not start.
pub fn cluster(options: ClusterOptions) -> Cluster {
    let postgres = Installation::find().expect("PostgreSQL is installed");
    let cluster = Cluster::start(&postgres, options).expect("a cluster starts");
    cluster.sql("CREATE ROLE app LOGIN PASSWORD 'secret'").expect("a role");
    cluster.sql("CREATE DATABASE app OWNER app").expect("a database");
    cluster
}

impl Scene {
    /// Starts both; `settings` and `flags` are [`Gate::start`]'s.
    ///
    /// # Panics
    /// When one does not start.
    pub fn start(binary: &str, settings: &str, flags: &[&str]) -> Self {
        let cluster = cluster(ClusterOptions::default().hba(HBA));
        let url = format!("postgres://{APP}@127.0.0.1:{}/{APP}", cluster.port());
        Self::with(binary, cluster, &url, settings, flags)
    }

    /// Starts a gate in front of `cluster`, which lets the superuser in without a password.
    ///
    /// # Panics
    /// When it does not start.
    pub fn with(binary: &str, cluster: Cluster, url: &str, settings: &str, flags: &[&str]) -> Self {
        let gate = Gate::start(binary, url, settings, flags);
        let superuser = Raw::log_in(cluster.port(), "postgres", "postgres", APP);
        Self { gate, superuser: RefCell::new(superuser), cluster }
    }

    /// The session port and the transaction port.
    pub fn ports(&self) -> [u16; 2] {
        [self.gate.session, self.gate.transaction]
    }

    /// A client of a port, logged in.
    ///
    /// # Panics
    /// When it is refused.
    pub fn client(&self, port: u16) -> Raw {
        Raw::log_in(port, APP, "", APP)
    }

    /// A client of a port with startup parameters of its own.
    ///
    /// # Panics
    /// When it is refused.
    pub fn client_with(&self, port: u16, parameters: &[(&str, &str)]) -> Raw {
        let mut raw = Raw::connect(port);
        let mut all = vec![("user", APP), ("database", APP)];
        all.extend_from_slice(parameters);
        if let Err(error) = raw.try_log_in(&all, "") {
            panic!("refused: {} {}", error.sqlstate(), error.field(b'M'));
        }
        raw
    }

    /// What PostgreSQL itself answers the superuser, not through the gate.
    ///
    /// # Panics
    /// When it is an error.
    pub fn look(&self, sql: &str) -> String {
        self.superuser.borrow_mut().value(sql)
    }

    /// The superuser's connection was lost with PostgreSQL: another one takes its place.
    ///
    /// # Panics
    /// When it is refused.
    pub fn look_anew(&self) {
        let superuser = Raw::log_in(self.cluster.port(), "postgres", "postgres", APP);
        self.superuser.replace(superuser);
    }

    /// No slot is lost: nobody waits, nothing is in between, and `slots` clients of the transaction
    /// port can have a server each at once, each of which answers its own client. `census`: of how
    /// many connections the gate's census is.
    ///
    /// # Panics
    /// When it is not so within the deadline.
    pub fn all_slots_serve(&self, slots: usize, census: usize) {
        self.until_waiting(0);
        for state in ["active", "login", "tested", "used", "closing"] {
            let label = format!("state=\"{state}\"");
            self.until_metric("tidegate_server_connections", &[&label], 0.0);
        }
        let mut clients: Vec<_> = (0..slots).map(|_| self.client(self.gate.transaction)).collect();
        let mut backends: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(number, client)| {
                client.run("BEGIN");
                assert_eq!(
                    client.value(&format!("SELECT 'own {number}'")),
                    format!("own {number}")
                );
                client.backend()
            })
            .collect();
        backends.sort_unstable();
        backends.dedup();
        assert_eq!(backends.len(), slots, "each client has a server of its own");
        let used = (slots + census) as f64;
        self.until_metric("tidegate_budget_used_connections", &[], used);
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{APP}'");
        self.until(&sql, &(slots + census).to_string());
        clients.iter_mut().for_each(|client| client.run("COMMIT"));
        clients.into_iter().for_each(Raw::leave);
        self.until_metric("tidegate_server_connections", &["state=\"active\""], 0.0);
    }

    /// Waits until PostgreSQL answers the superuser so.
    ///
    /// # Panics
    /// When it does not within the deadline.
    pub fn until(&self, sql: &str, expected: &str) {
        let mut last = String::new();
        wait::until(&format!("{sql} = {expected}"), || {
            last = self.look(sql);
            (last == expected).then_some(())
        });
    }

    /// Waits until so many of the application's backends execute a statement with these words.
    ///
    /// # Panics
    /// When they do not within the deadline.
    pub fn until_running(&self, count: u32, words: &str) {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = '{APP}' AND state = 'active' \
             AND query LIKE '%{words}%'"
        );
        self.until(&sql, &count.to_string());
    }

    /// Waits until so many clients wait for a server.
    ///
    /// # Panics
    /// When they do not within the deadline.
    pub fn until_waiting(&self, count: u32) {
        self.until_metric("tidegate_checkout_queue_length", &[], f64::from(count));
    }

    /// Waits until a metric has this value.
    ///
    /// # Panics
    /// When it does not within the deadline.
    pub fn until_metric(&self, name: &str, labels: &[&str], expected: f64) {
        let mut last = f64::NAN;
        let mut look = || {
            last = self.gate.metric(name, labels);
            (last == expected).then_some(())
        };
        wait::until(&format!("{name} {labels:?} is {expected}"), &mut look);
    }
}

impl Raw {
    /// Sends a startup packet, without reading the answer.
    ///
    /// # Panics
    /// When there are zero bytes in a parameter.
    pub fn start(&mut self, parameters: &[(&str, &str)]) {
        let mut out = Vec::new();
        let pairs = parameters.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        startup::push_startup(&mut out, ProtocolVersion::V3_0, pairs).expect("no zero bytes");
        self.send(&out);
    }

    /// Sends a batch and gives all messages up to the `syncs`-th ReadyForQuery.
    ///
    /// # Panics
    /// When the connection ends before.
    pub fn exchange(&mut self, batch: &Batch, syncs: usize) -> Vec<Frame> {
        self.send(batch.bytes());
        (0..syncs).flat_map(|_| self.until_ready()).collect()
    }

    /// Begins a transaction, and takes a server for it: a BEGIN alone needs none.
    ///
    /// # Panics
    /// When it fails.
    pub fn begin(&mut self) {
        self.run("BEGIN; SELECT 1");
    }

    /// Runs a statement that must succeed.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&mut self, sql: &str) {
        self.query(sql);
        let frames = self.until_ready();
        let error = frames.iter().find(|frame| frame.tag == b'E');
        if let Some(error) = error {
            panic!("{sql}: {} {}", error.sqlstate(), error.field(b'M'));
        }
        assert_eq!(frames.last().map(|frame| frame.tag), Some(b'Z'), "{sql}: {frames:?}");
    }

    /// Runs a statement that must fail, and gives its SQLSTATE.
    ///
    /// # Panics
    /// When it succeeds.
    pub fn failure(&mut self, sql: &str) -> String {
        self.query(sql);
        self.ends_with_error()
    }

    /// Reads up to ReadyForQuery, and gives the SQLSTATE of the one error in between.
    ///
    /// # Panics
    /// When there is none.
    pub fn ends_with_error(&mut self) -> String {
        let frames = self.until_ready();
        let error = frames.iter().find(|frame| frame.tag == b'E');
        let error = error.unwrap_or_else(|| panic!("no error in {frames:?}"));
        assert_eq!(frames.last().map(|frame| frame.tag), Some(b'Z'), "{frames:?}");
        error.sqlstate()
    }

    /// Asks at `port` to cancel what this client runs; returns when the request was taken.
    ///
    /// # Panics
    /// When nobody listens, or the request is answered.
    pub fn cancel(&self, port: u16) {
        cancel(port, self.pid, &self.secret);
    }

    /// The pid of the backend that serves it now.
    ///
    /// # Panics
    /// When the query fails.
    pub fn backend(&mut self) -> String {
        self.value("SELECT pg_backend_pid()")
    }

    /// Says that nothing follows, and goes on listening.
    ///
    /// # Panics
    /// When the connection is broken already.
    pub fn shut_down(&self) {
        self.stream().shutdown(Shutdown::Write).expect("the connection stands");
    }

    /// Says goodbye.
    pub fn leave(mut self) {
        self.send(Batch::new().terminate().bytes());
    }

    /// All that comes up to the end of the connection.
    ///
    /// # Panics
    /// When it does not end.
    pub fn until_end(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

/// Sends a cancel request and waits until it was taken.
///
/// # Panics
/// When nobody listens, or the request is answered.
pub fn cancel(port: u16, pid: u32, secret: &[u8]) {
    let mut raw = Raw::connect(port);
    let mut request = Vec::new();
    startup::push_cancel_request(&mut request, pid, secret);
    raw.send(&request);
    assert_eq!(raw.byte(), None, "a cancel request is never answered");
}
