//! TLS towards PostgreSQL: what is verified, what is shown, and what clients are told when it
//! comes to nothing.

use std::path::Path;
use std::time::Duration;

use tidegate_scratch::{Cluster, ClusterOptions};
use tidegate_testkit::certificates::{
    Authority, DnType, Folder, Issued, day, ed25519, listen_flags, secured,
};
use tidegate_testkit::gate::Gate;
use tidegate_testkit::raw::{Frame, Raw};
use tidegate_testkit::scene::{APP, cluster};
use tidegate_testkit::wait;

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");

/// What waiting cannot help is told at once: long before `pool_timeout`, which is 30 s.
const AT_ONCE: Duration = Duration::from_secs(10);

/// What PostgreSQL itself knows of the connection that it is asked by.
const OWN_TLS: &str =
    "SELECT concat(ssl, ' ', version) FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

/// Whether all connections of the application are secured, the census's among them.
const ALL_TLS: &str = "SELECT string_agg(DISTINCT concat(ssl, ' ', application_name), ',' \
    ORDER BY concat(ssl, ' ', application_name)) \
    FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'app'";

/// A PostgreSQL whose certificate is for `localhost`, and who has signed it.
struct Upstream {
    folder: Folder,
    ours: Authority,
    cluster: Cluster,
}

impl Upstream {
    fn start(rule: &str) -> Self {
        let ours = Authority::new("ours");
        let options = ClusterOptions::default()
            .listen_addresses("localhost")
            .hba(rule)
            .setting("ssl_ca_file", "root.crt")
            .setting("log_min_messages", "debug2")
            .file("root.crt", &ours.pem);
        let cluster = cluster(secured(options, &ours.issue(&["localhost"])));
        Self { folder: Folder::default(), ours, cluster }
    }

    fn url(&self, host: &str, parameters: &str) -> String {
        format!("postgres://{APP}:secret@{host}:{}/{APP}?{parameters}", self.cluster.port())
    }

    fn root(&self) -> String {
        format!("sslrootcert={}", self.folder.file("ours.crt", &self.ours.pem).display())
    }

    fn other_root(&self) -> String {
        let other = Authority::new("other");
        format!("sslrootcert={}", self.folder.file("other.crt", &other.pem).display())
    }

    /// The parameters that show a certificate.
    fn shown(&self, name: &str, issued: &Issued) -> String {
        let (certificate, key) = self.folder.pair(name, issued);
        format!("sslmode=require&sslcert={}&sslkey={}", certificate.display(), key.display())
    }

    /// Other rules, another certificate, another setting: in force when this returns.
    fn change(&self, change: impl FnOnce(&Cluster)) {
        let reloads = || self.cluster.log_text().matches("reloading configuration files").count();
        let before = reloads();
        change(&self.cluster);
        self.cluster.sql("SELECT pg_reload_conf()").expect("it reloads");
        wait::until("PostgreSQL has reloaded", || (reloads() > before).then_some(()));
    }

    fn rule(&self, rule: &str) {
        let hba = format!("local all postgres trust\n{rule}\n");
        self.change(|cluster| cluster.write_file("pg_hba.conf", &hba).expect("it is written"));
    }

    fn show(&self, issued: &Issued) {
        self.change(|cluster| {
            cluster.write_file("server.crt", &issued.certificate).expect("it is written");
            cluster.write_file("server.key", &issued.key).expect("it is written");
        });
    }

    /// A gate with this URL serves a client, and census and servers have this TLS.
    fn serves(&self, host: &str, parameters: &str, tls: &str) {
        let gate = Gate::start(BINARY, &self.url(host, parameters), "", &[]);
        let mut client = Raw::log_in(gate.transaction, APP, "secret", APP);
        assert_eq!(client.value(OWN_TLS), tls, "{host} {parameters}");
        let is_secured = if tls.starts_with('t') { "t" } else { "f" };
        let all = format!("{is_secured} ,{is_secured} tidegate census");
        wait::until(&format!("census and servers are as {parameters} wants them"), || {
            (self.cluster.sql(ALL_TLS).expect("an answer") == all).then_some(())
        });
    }

    /// A gate with this URL serves nobody: what a client is told, and how it takes place.
    fn refuses(&self, host: &str, parameters: &str, sqlstate: &str, words: &str) {
        let mut gate = Gate::start(BINARY, &self.url(host, parameters), "", &[]);
        gate.allow("can't open a server").allow("the census can't connect");
        gate.allow("accepts what a public authority has signed for anybody");
        gate.allow("write sslmode=verify-full, or give the authority as sslrootcert");
        let error = told_at_once(&gate, parameters);
        let all = [b'M', b'D', b'H'].map(|field| error.field(field)).join("\n");
        assert_eq!(error.sqlstate(), sqlstate, "{parameters}: {all}");
        assert!(all.contains(words), "{parameters}: {all}");
        // What we find wrong, and what PostgreSQL says, have remedies of their own.
        let code = if sqlstate == "08001" { "(TG022)" } else { "(TG003)" };
        assert!(all.contains(code), "{parameters}: {all}");
        wait::until("the census has failed, too", || {
            gate.has_logged("the census can't connect").then_some(())
        });
    }
}

fn told_at_once(gate: &Gate, what: &str) -> Frame {
    let (took, error) = wait::timed(|| {
        Raw::connect(gate.transaction)
            .try_log_in(&[("user", APP), ("database", APP)], "secret")
            .expect_err(&format!("{what}: it was served"))
    });
    assert!(took < AT_ONCE, "{what}: it was told after {took:?}");
    error
}

const PLAIN: &str = "f ";
const TLS: &str = "t TLSv1.3";

#[test]
fn each_sslmode_verifies_what_its_name_says() {
    let upstream = Upstream::start("host all all samehost scram-sha-256");
    let (ours, other) = (upstream.root(), upstream.other_root());
    for (parameters, tls) in [
        ("sslmode=disable", PLAIN),
        ("", TLS),
        ("sslmode=allow", TLS),
        ("sslmode=prefer", TLS),
        ("sslmode=require", TLS),
        ("sslmode=require&channel_binding=require", TLS),
        ("sslmode=require&channel_binding=disable", TLS),
        (&format!("sslmode=require&{ours}"), TLS),
        (&format!("sslmode=verify-ca&{ours}"), TLS),
    ] {
        upstream.serves("127.0.0.1", parameters, tls);
    }
    upstream.serves("localhost", &format!("sslmode=verify-full&{ours}"), TLS);

    let unknown = "no authority that is trusted has signed it";
    for (parameters, words) in [
        (format!("sslmode=require&{other}"), unknown),
        (format!("sslmode=verify-ca&{other}"), unknown),
        ("sslmode=verify-ca".into(), unknown),
        (format!("sslmode=verify-full&{ours}"), "it is for localhost, not for \"127.0.0.1\""),
    ] {
        upstream.refuses("127.0.0.1", &parameters, "08001", words);
    }
    upstream.refuses("localhost", &format!("sslmode=verify-full&{other}"), "08001", unknown);
    upstream.refuses("localhost", "sslmode=verify-full&sslrootcert=system", "08001", unknown);
}

#[test]
fn an_older_tls_and_a_certificate_of_the_old_kind_will_do() {
    let upstream = Upstream::start("hostssl all all samehost scram-sha-256");
    upstream.show(&upstream.ours.issue_rsa(&["localhost"]));
    let bound = format!("sslmode=verify-full&channel_binding=require&{}", upstream.root());
    upstream.serves("localhost", &bound, TLS);
    upstream.change(|cluster| {
        cluster.sql("ALTER SYSTEM SET ssl_max_protocol_version = 'TLSv1.2'").expect("it is set");
    });
    upstream.serves("localhost", &bound, "t TLSv1.2");
}

#[test]
fn a_certificate_that_has_expired_is_none_to_whom_verifies() {
    let upstream = Upstream::start("host all all samehost scram-sha-256");
    let expired = upstream.ours.issue_with(&["localhost"], |wanted| {
        wanted.not_before = day(2020, 1, 1);
        wanted.not_after = day(2021, 1, 1);
    });
    upstream.show(&expired);
    let ours = upstream.root();
    for mode in ["verify-ca", "verify-full", "require"] {
        let parameters = format!("sslmode={mode}&{ours}");
        upstream.refuses("localhost", &parameters, "08001", "it has expired; renew it");
    }
    upstream.serves("localhost", "sslmode=require", TLS);
    // Renewed, it is one again.
    upstream.show(&upstream.ours.issue(&["localhost"]));
    upstream.serves("localhost", &format!("sslmode=verify-full&{ours}"), TLS);
}

#[test]
fn a_server_without_tls_serves_only_who_can_do_without() {
    let upstream = Upstream::start("host all all samehost scram-sha-256");
    upstream.change(|cluster| {
        cluster.sql("ALTER SYSTEM SET ssl = off").expect("it is set");
    });
    for parameters in ["", "sslmode=disable", "sslmode=allow", "sslmode=prefer"] {
        upstream.serves("127.0.0.1", parameters, PLAIN);
    }
    let ours = upstream.root();
    for parameters in [
        "sslmode=require".into(),
        format!("sslmode=verify-ca&{ours}"),
        format!("sslmode=verify-full&{ours}"),
    ] {
        let words = "it does not offer TLS, which is required (ssl = on in postgresql.conf)";
        upstream.refuses("localhost", &parameters, "08001", words);
    }
    upstream.refuses(
        "127.0.0.1",
        "sslmode=prefer&channel_binding=require",
        "08001",
        "channel binding is required, but the connection has no TLS",
    );
}

#[test]
fn what_pg_hba_wants_of_tls_is_told_in_its_words() {
    let upstream = Upstream::start("hostssl all all samehost scram-sha-256");
    upstream.serves("127.0.0.1", "sslmode=prefer", TLS);
    let words = "no pg_hba.conf entry for host \\\"127.0.0.1\\\", user \\\"app\\\"";
    upstream.refuses("127.0.0.1", "sslmode=disable", "28000", &words.replace('\\', ""));
    upstream.rule("hostnossl all all samehost scram-sha-256");
    upstream.serves("127.0.0.1", "sslmode=disable", PLAIN);
    upstream.refuses("127.0.0.1", "sslmode=require", "28000", "SSL encryption");
}

#[test]
fn a_certificate_is_shown_to_a_server_that_demands_one() {
    let upstream = Upstream::start("hostssl all all samehost scram-sha-256 clientcert=verify-ca");
    let shown = upstream.shown("gate", &upstream.ours.issue(&["gate"]));
    upstream.serves("127.0.0.1", &shown, TLS);
    let wanted = "connection requires a valid client certificate";
    upstream.refuses("127.0.0.1", "sslmode=require", "28000", wanted);
    let stranger = upstream.shown("stranger", &Authority::new("another").issue(&["gate"]));
    let words = "unknown_ca (it does not trust who signed our certificate)";
    upstream.refuses("127.0.0.1", &stranger, "08001", words);

    // It may even be all that is asked: its name is the role's.
    upstream.rule("hostssl all all samehost cert");
    let named = upstream.ours.issue_with(&[], |wanted| {
        wanted.distinguished_name.push(DnType::CommonName, APP);
    });
    upstream.serves("127.0.0.1", &upstream.shown("named", &named), TLS);
    upstream.refuses("127.0.0.1", &shown, "28000", "certificate authentication failed");
}

#[test]
fn a_cancel_is_as_secret_as_the_servers_connection() {
    let upstream = Upstream::start("hostssl all all samehost scram-sha-256");
    let parameters = format!("sslmode=verify-full&{}", upstream.root());
    // The census would be counted, too.
    let gate =
        Gate::start(BINARY, &upstream.url("localhost", &parameters), "", &["upstream.census=off"]);
    let handshakes = || upstream.cluster.log_text().matches("SSL connection from DN").count();
    for port in [gate.session, gate.transaction] {
        let mut client = Raw::log_in(port, APP, "secret", APP);
        assert_eq!(client.value(OWN_TLS), TLS);
        let before = handshakes();
        client.query("SELECT pg_sleep(60)");
        wait::until("the statement runs", || {
            let sql = "SELECT count(*) FROM pg_stat_activity \
                       WHERE usename = 'app' AND wait_event = 'PgSleep'";
            (upstream.cluster.sql(sql).expect("an answer") == "1").then_some(())
        });
        client.cancel(port);
        assert_eq!(client.ends_with_error(), "57014");
        assert_eq!(handshakes(), before + 1, "{}", upstream.cluster.log_text());
        assert_eq!(client.value("SELECT 42"), "42");
    }
}

// --- What becomes of servers and clients is the same with TLS and without. ---

/// A gate whose only server is secured, or is not.
fn one_server(upstream: &Upstream, mode: &str) -> Gate {
    let settings = "[pool]\npool_size = 1\nmax_overflow = 0\n";
    let url = upstream.url("127.0.0.1", &format!("sslmode={mode}"));
    Gate::start(BINARY, &url, settings, &["listen.workers=3"])
}

#[test]
fn clients_of_all_workers_take_turns_at_one_secured_server() {
    let upstream = Upstream::start("hostssl all all samehost scram-sha-256");
    let gate = one_server(&upstream, "require");
    let clients: Vec<_> = (0..12)
        .map(|number| {
            let mut client = Raw::log_in(gate.transaction, APP, "secret", APP);
            std::thread::spawn(move || {
                for nth in 0..50 {
                    client.begin();
                    // Longer than a record, so that one is often half there at a turn's end.
                    let text = format!("{number}-{nth}-").repeat(5000);
                    let sql = format!("SELECT repeat('{number}-{nth}-', 5000)");
                    assert!(client.value(&sql) == text, "an answer of another");
                    client.run("COMMIT");
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("every transaction is answered with its own result");
    }
    let all = "t ,t tidegate census";
    assert_eq!(upstream.cluster.sql(ALL_TLS).expect("an answer"), all);
}

#[test]
fn a_server_that_is_lost_is_told_alike_with_tls_and_without() {
    let upstream = Upstream::start("host all all samehost scram-sha-256");
    let told = ["disable", "require"].map(|mode| {
        let mut gate = one_server(&upstream, mode);
        gate.allow("a server").allow("census");
        let mut told = Vec::new();
        for port in [gate.session, gate.transaction] {
            for sql in ["SELECT 1", "SELECT pg_sleep(60)"] {
                let mut client = Raw::log_in(port, APP, "secret", APP);
                client.begin();
                let backend = client.value("SELECT pg_backend_pid()");
                client.query(sql);
                if sql == "SELECT 1" {
                    client.until_ready();
                }
                let end = format!("SELECT pg_terminate_backend({backend}, 5000)");
                assert_eq!(upstream.cluster.sql(&end).expect("an answer"), "t");
                client.query("SELECT 2");
                let errors = client.until_ready().into_iter().filter(|frame| frame.tag == b'E');
                let words = errors.map(|error| (error.sqlstate(), error.field(b'M')));
                told.push(words.collect::<Vec<_>>());
            }
        }
        // The upstream's address is the same; the next client is served as if nothing had been.
        assert_eq!(Raw::log_in(gate.session, APP, "secret", APP).value("SELECT 42"), "42");
        told
    });
    assert_eq!(told[0], told[1]);
    assert!(told[0].iter().all(|words| !words.is_empty()), "{told:?}");
}

// --- Direct TLS, and what channels are bound to: another gate is the upstream. ---

/// A gate that offers TLS with this certificate, in front of a PostgreSQL.
fn inner(cluster: &Cluster, folder: &Folder, issued: &Issued) -> Gate {
    let flags = listen_flags(folder, "require", issued);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Gate::start(BINARY, &cluster.url(APP, "secret", APP), "", &flags)
}

fn through(gate: &Gate, parameters: &str) -> Gate {
    let url = format!("postgres://{APP}:secret@localhost:{}/{APP}?{parameters}", gate.session);
    Gate::start(BINARY, &url, "[pool]\npool_timeout = \"3s\"\n", &["upstream.kind=pooler"])
}

fn root(folder: &Folder, pem: &str) -> String {
    format!("sslrootcert={}", Path::display(&folder.file("root.crt", pem)))
}

#[test]
fn direct_tls_and_channel_binding_work_from_gate_to_gate() {
    let cluster = cluster(ClusterOptions::default());
    let (folder, ours) = (Folder::default(), Authority::new("ours"));
    let first = inner(&cluster, &folder, &ours.issue(&["localhost"]));
    let root = root(&folder, &ours.pem);
    for negotiation in ["postgres", "direct"] {
        for binding in ["disable", "prefer", "require"] {
            let parameters = format!(
                "sslmode=verify-full&{root}&sslnegotiation={negotiation}&channel_binding={binding}"
            );
            let gate = through(&first, &parameters);
            for port in [gate.session, gate.transaction] {
                let mut client = Raw::log_in(port, APP, "secret", APP);
                assert_eq!(client.value("SELECT 42"), "42", "{parameters}");
            }
        }
    }
    let mut gate = through(&first, "sslmode=verify-full&sslrootcert=system&sslnegotiation=direct");
    gate.allow("can't open a server");
    let error = told_at_once(&gate, "system");
    assert!(error.field(b'D').contains("no authority that is trusted"), "{error:?}");
}

#[test]
fn nothing_is_bound_to_a_certificate_that_has_no_hash_to_bind_to() {
    let cluster = cluster(ClusterOptions::default());
    let folder = Folder::default();
    let issued = ed25519(&["localhost"]);
    let first = inner(&cluster, &folder, &issued);
    let root = root(&folder, &issued.certificate);
    let gate = through(&first, &format!("sslmode=verify-full&{root}&channel_binding=prefer"));
    assert_eq!(Raw::log_in(gate.transaction, APP, "secret", APP).value("SELECT 42"), "42");
    let mut gate = through(&first, "sslmode=require&channel_binding=require");
    gate.allow("can't open a server");
    let error = told_at_once(&gate, "channel_binding=require");
    let words = "the signature algorithm of the server's certificate has no hash to bind to";
    assert!(error.field(b'D').contains(words), "{error:?}");
    assert_eq!(error.sqlstate(), "08001");
}

#[test]
fn a_server_that_takes_no_direct_tls_is_told_apart() {
    // PostgreSQL before 17 closes the connection without a word.
    let upstream = Upstream::start("host all all samehost scram-sha-256");
    let parameters = "sslmode=require&sslnegotiation=direct";
    let settings = "[pool]\npool_timeout = \"2s\"\n";
    let mut gate = Gate::start(BINARY, &upstream.url("127.0.0.1", parameters), settings, &[]);
    gate.allow("can't open a server").allow("the census can't connect");
    let error = told_at_once(&gate, parameters);
    let all = [b'M', b'D', b'H'].map(|field| error.field(field)).join("\n");
    assert_eq!(error.sqlstate(), "08001", "{all}");
    assert!(all.contains("sslnegotiation"), "{all}");
}

#[test]
fn a_certificate_that_a_gate_demands_is_asked_for_by_name() {
    let cluster = cluster(ClusterOptions::default());
    let (folder, ours) = (Folder::default(), Authority::new("ours"));
    let mut flags = listen_flags(&folder, "require", &ours.issue(&["localhost"]));
    let authority = folder.file("clients.crt", &ours.pem);
    flags.push(format!("listen.tls_client_ca={}", authority.display()));
    flags.push("listen.tls_client_cert=require".into());
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let first = Gate::start(BINARY, &cluster.url(APP, "secret", APP), "", &flags);
    let mut gate = through(&first, "sslmode=require");
    gate.allow("can't open a server");
    let error = told_at_once(&gate, "no certificate");
    let words = "certificate_required (it wants a certificate, and we have none to show)";
    assert!(error.field(b'D').contains(words), "{error:?}");
    let (certificate, key) = folder.pair("shown", &ours.issue(&["gate"]));
    let shown =
        format!("sslmode=require&sslcert={}&sslkey={}", certificate.display(), key.display());
    let gate = through(&first, &shown);
    assert_eq!(Raw::log_in(gate.transaction, APP, "secret", APP).value("SELECT 42"), "42");
}
