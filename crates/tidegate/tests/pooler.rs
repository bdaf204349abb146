//! The upstream is itself a pooler: PgBouncer in session mode, as managed databases offer it.

use std::thread;
use std::time::Duration;

use tidegate_scratch::{Cluster, ClusterOptions};
use tidegate_testkit::gate::Gate;
use tidegate_testkit::pgbouncer::PgBouncer;
use tidegate_testkit::raw::Raw;
use tidegate_testkit::scene::{APP, cluster};
use tidegate_testkit::wait;

const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 trust\n";
/// What the plan `free` allows, and PgBouncer.
const CLIENTS_MAX: u32 = 15;
const CLIENTS: usize = 100;
const TRANSACTIONS: usize = 20;

/// A PostgreSQL, PgBouncer before it, and a gate before that.
struct Chain {
    gate: Gate,
    pgbouncer: PgBouncer,
    cluster: Cluster,
}

impl Chain {
    fn start(settings: &str) -> Self {
        let cluster = cluster(ClusterOptions::default().hba(HBA));
        cluster.sql("CREATE ROLE guest LOGIN").expect("a role");
        let pgbouncer = PgBouncer::start(cluster.port(), &[APP, "guest"], CLIENTS_MAX);
        let url = format!("postgres://{APP}@127.0.0.1:{}/{APP}", pgbouncer.port);
        let settings = format!("plan = \"free\"\n{settings}");
        let gate = Gate::start(env!("CARGO_BIN_EXE_tidegate"), &url, &settings, &[]);
        Self { gate, pgbouncer, cluster }
    }

    fn client(&self, port: u16) -> Raw {
        Raw::log_in(port, APP, "", APP)
    }

    /// Clients of PgBouncer that do not pass through the gate. Each has a session.
    fn guests(&self, count: u32) -> Vec<Raw> {
        (0..count)
            .map(|_| {
                let mut guest = Raw::log_in(self.pgbouncer.port, "guest", "", APP);
                guest.run("SELECT 1");
                guest
            })
            .collect()
    }

    fn until_it_is_known_what_the_upstream_is(&self) {
        self.client(self.gate.transaction).run("SELECT 1");
        wait::until("the gate knows that a pooler is there", || {
            self.gate
                .log()
                .iter()
                .any(|line| line["fields"]["kind"] == "pooler" && line["level"] == "INFO")
                .then_some(())
        });
        // The census has no use then, and gives its connection back.
        wait::until("the census has left", || {
            let sql = "SELECT count(*) FROM pg_stat_activity \
                       WHERE application_name = 'tidegate census'";
            (self.cluster.sql(sql).expect("PostgreSQL answers") == "0").then_some(())
        });
    }

    fn refusals(&self) -> usize {
        self.pgbouncer.log_text().matches("no more connections allowed").count()
    }
}

/// A hundred clients on both ports, all of which must get through.
fn load(chain: &Chain) {
    let ports = [chain.gate.session, chain.gate.transaction];
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let port = ports[number % 2];
            thread::spawn(move || {
                let mut raw = Raw::log_in(port, APP, "", APP);
                for _ in 0..TRANSACTIONS {
                    raw.begin();
                    raw.run("SELECT pg_sleep(0.001)");
                    raw.run("COMMIT");
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("nobody is refused"));
}

#[test]
fn a_pooler_is_recognised_and_never_asked_for_more_than_the_plan() {
    let chain = Chain::start("");
    chain.until_it_is_known_what_the_upstream_is();
    load(&chain);
    assert_eq!(chain.refusals(), 0, "the budget is what PgBouncer takes");
    assert!(chain.gate.get("/api/v1/snapshot").1.contains("\"kind\":\"pooler\""));
}

#[test]
fn clients_are_served_from_the_first_moment_on() {
    // Nobody has had time to find out what the upstream is.
    let chain = Chain::start("");
    load(&chain);
    assert_eq!(chain.refusals(), 0, "the budget is what PgBouncer takes");
}

#[test]
fn clients_share_what_others_leave_of_a_pooler() {
    let mut chain = Chain::start("");
    chain.gate.allow("can't open a server");
    chain.until_it_is_known_what_the_upstream_is();
    let guests = chain.guests(10);
    load(&chain);
    assert!(chain.refusals() > 0, "the gate had to be refused to know");
    assert_eq!(guests.len(), 10);
}

#[test]
fn clients_of_a_full_pooler_get_our_words_and_are_served_when_there_is_room() {
    let mut chain = Chain::start("[pool]\npool_timeout = \"2s\"\nserver_idle_timeout = \"1s\"\n");
    chain.gate.allow("can't open a server");
    chain.until_it_is_known_what_the_upstream_is();
    wait::until("the gate has closed its servers", || {
        let idle = chain.gate.metric("tidegate_budget_used_connections", &[]);
        (idle == 0.0).then_some(())
    });
    let guests = chain.guests(CLIENTS_MAX);
    for port in [chain.gate.session, chain.gate.transaction] {
        let mut client = chain.client(port); // What it must be told at its login is known.
        client.query("SELECT 1");
        let frames = client.until_ready();
        let error = frames.iter().find(|frame| frame.tag == b'E').expect("there is no room");
        assert_eq!((error.sqlstate(), error.field(b'S')), ("53300".into(), "ERROR".into()));
        let words = [b'M', b'D', b'H'].map(|field| error.field(field)).join("\n");
        assert!(words.contains("has refused a connection because it is full"), "{words}");
        assert!(words.contains("(TG001)") && !words.contains("no more connections"), "{words}");
    }
    let mut waiting = chain.client(chain.gate.transaction);
    waiting.query("SELECT 42");
    drop(guests);
    assert_eq!(waiting.tags(), "TDCZI");
    load(&chain);
}

#[test]
fn a_cancel_passes_through_a_pooler_and_its_server_is_not_used_again() {
    let chain = Chain::start("[pool]\npool_size = 1\nmax_overflow = 0\n");
    chain.until_it_is_known_what_the_upstream_is();
    for (port, nth) in [(chain.gate.transaction, 1.0), (chain.gate.session, 2.0)] {
        let mut client = chain.client(port);
        client.query("SELECT pg_sleep(100)");
        wait::until("the statement runs", || {
            let sql = "SELECT count(*) FROM pg_stat_activity \
                       WHERE state = 'active' AND query LIKE '%pg_sleep(100)'";
            (chain.cluster.sql(sql).expect("PostgreSQL answers") == "1").then_some(())
        });
        let (took, state) = wait::timed(|| {
            client.cancel(port);
            client.ends_with_error()
        });
        assert_eq!(state, "57014");
        assert!(took < Duration::from_secs(5), "it took {took:?}");
        assert_eq!(client.value("SELECT 42"), "42");
        client.leave();
        let labels = ["recovery"];
        wait::until("its server was closed", || {
            let closed = chain.gate.metric("tidegate_server_connections_closed_total", &labels);
            (closed == nth).then_some(())
        });
        assert_eq!(chain.client(chain.gate.transaction).value("SELECT 42"), "42");
    }
}
