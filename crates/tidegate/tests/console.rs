//! The admin console: PgBouncer's tables column by column, what the numbers say, who may do what, and what
//! people and drivers are used to.

#[path = "console/commands.rs"]
mod commands;
#[path = "console/habits.rs"]
mod habits;

use tidegate_scratch::StopMode;
use tidegate_testkit::batch::{Batch, Format};
use tidegate_testkit::pgbouncer::PgBouncer;
use tidegate_testkit::raw::{Frame, Raw};
use tidegate_testkit::scene::{APP, ONE_SERVER, Scene};
use tidegate_testkit::wait;
use tidegate_wire::backend;

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");

/// Somebody who may only look.
const WATCHER: &str = "watcher";

/// Somebody who may do nothing.
const OTHER: &str = "other";

/// Users without passwords; [`APP`] is the administrator.
const USERS: &str = "[auth]\nadmin_users = \"app\"\nstats_users = [\"watcher\"]\n\
                     [[user]]\nname = \"app\"\n[[user]]\nname = \"watcher\"\n\
                     [[user]]\nname = \"other\"\n";

fn scene(settings: &str) -> Scene {
    scene_with(settings, &[])
}

fn scene_with(settings: &str, flags: &[&str]) -> Scene {
    Scene::start(BINARY, &format!("{settings}{USERS}"), flags)
}

fn console(port: u16) -> Raw {
    Raw::log_in(port, APP, "", "pgbouncer")
}

/// The names of columns, and the rows by them; NULL is empty.
struct Table {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn of(frames: &[Frame]) -> Self {
        let of_tag = |tag| frames.iter().filter(move |frame| frame.tag == tag);
        let description = of_tag(b'T').next().unwrap_or_else(|| panic!("no rows: {frames:?}"));
        let names = columns(description).into_iter().map(|(name, _)| name).collect();
        let text =
            |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        let row = |frame: &Frame| {
            backend::values(&frame.body).expect("a row").into_iter().map(text).collect()
        };
        Self { names, rows: of_tag(b'D').map(row).collect() }
    }

    fn place(&self, column: &str) -> usize {
        let place = self.names.iter().position(|name| name == column);
        place.unwrap_or_else(|| panic!("no column {column}: {:?}", self.names))
    }

    /// The values of some columns in the one row whose first column is `key`.
    fn values(&self, key: &str, columns: &[&str]) -> Vec<&str> {
        let rows: Vec<_> = self.rows.iter().filter(|row| row[0] == key).collect();
        assert_eq!(rows.len(), 1, "{key}: {:?}", self.rows);
        columns.iter().map(|column| rows[0][self.place(column)].as_str()).collect()
    }

    fn value(&self, key: &str, column: &str) -> &str {
        self.values(key, &[column])[0]
    }
}

/// A table of the console.
fn show(console: &mut Raw, what: &str) -> Table {
    console.query(&format!("SHOW {what}"));
    let frames = console.until_ready();
    assert!(frames.iter().all(|frame| frame.tag != b'E'), "{what}: {frames:?}");
    Table::of(&frames)
}

/// Names and types of columns.
fn columns(description: &Frame) -> Vec<(String, u32)> {
    let mut rest = &description.body[2..];
    let mut columns = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == 0).expect("names end");
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        let (column, behind) = rest[end + 1..].split_at(18);
        let [a, b, c, d] = column[6..10] else { panic!("four bytes") };
        columns.push((name, u32::from_be_bytes([a, b, c, d])));
        rest = behind;
    }
    columns
}

fn description(frames: &[Frame]) -> &Frame {
    let found = frames.iter().find(|frame| frame.tag == b'T');
    found.unwrap_or_else(|| panic!("no columns: {frames:?}"))
}

/// All that 1.18 has, but FDS.
const TABLES: [&str; 17] = [
    "ACTIVE_SOCKETS",
    "CLIENTS",
    "CONFIG",
    "DATABASES",
    "DNS_HOSTS",
    "DNS_ZONES",
    "LISTS",
    "MEM",
    "POOLS",
    "SERVERS",
    "SOCKETS",
    "STATS",
    "STATS_AVERAGES",
    "STATS_TOTALS",
    "TOTALS",
    "USERS",
    "VERSION",
];

#[test]
fn each_table_has_pgbouncers_columns_byte_by_byte_over_both_protocols_and_ports() {
    let scene = scene("");
    let pgbouncer = PgBouncer::start(scene.cluster.port(), &[APP], 10);
    let mut golden = console(pgbouncer.port);
    for port in scene.ports() {
        let mut ours = console(port);
        for table in TABLES {
            let sql = format!("SHOW {table}");
            golden.query(&sql);
            ours.query(&sql);
            let (theirs, own) = (golden.until_ready(), ours.until_ready());
            let expected = &description(&theirs).body;
            let named = columns(description(&theirs));
            assert_eq!(columns(description(&own)), named, "{sql}");
            assert_eq!(&description(&own).body, expected, "{sql}");
            assert!(own.iter().any(|frame| frame.tag == b'C' && frame.body == b"SHOW\0"), "{sql}");
            // PgBouncer has no extended protocol, so PostgreSQL's rules are what counts there.
            let batch = Batch::new().parse("", &sql).describe_statement("");
            let batch = batch.bind("", &[], Format::Text).describe().execute(0).sync();
            let frames = ours.exchange(&batch, 1);
            let described: Vec<_> = frames.iter().filter(|frame| frame.tag == b'T').collect();
            assert_eq!(described.len(), 2, "{sql}: {frames:?}");
            assert!(described.iter().all(|frame| frame.body == *expected), "{sql}");
            let tags: String = frames.iter().map(|frame| char::from(frame.tag)).collect();
            assert_eq!(tags.replace('D', ""), "1tT2TCZ", "{sql}");
            let width = named.len();
            for row in frames.iter().filter(|frame| frame.tag == b'D') {
                assert_eq!(backend::values(&row.body).expect("a row").len(), width, "{sql}");
            }
        }
    }
    // What a client is told when it has logged in.
    let statuses = |raw: &Raw| raw.parameters.clone();
    assert_eq!(statuses(&console(scene.gate.session)), statuses(&golden));
}

/// The types of columns by the letters of PgBouncer's sources: s text, i int4, q int8, N numeric, T a
/// time, which is text.
fn typed(names: &str, types: &str) -> Vec<(String, u32)> {
    let oid = |letter| match letter {
        'i' => 23,
        'q' => 20,
        'N' => 1700,
        _ => 25,
    };
    let names: Vec<_> = names.split_whitespace().collect();
    assert_eq!(names.len(), types.len());
    names.into_iter().map(str::to_owned).zip(types.chars().map(oid)).collect()
}

#[test]
fn the_columns_of_1_25_are_there_for_whoever_asks_for_them() {
    let scene = scene_with("", &["console.pgbouncer=1.25"]);
    let mut console = console(scene.gate.transaction);
    let connections = "type user database replication state addr port local_addr local_port \
                       connect_time request_time wait wait_us close_needed ptr link remote_pid tls \
                       application_name prepared_statements id";
    let buffers = "recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail";
    let sockets = format!("{connections} {buffers}");
    for (table, names, types) in [
        (
            "POOLS",
            "database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req \
             sv_active sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait \
             maxwait_us pool_mode load_balance_hosts",
            "ssiiiiiiiiiiiiiss",
        ),
        (
            "STATS",
            "database total_server_assignment_count total_xact_count total_query_count \
             total_received total_sent total_xact_time total_query_time total_wait_time \
             total_client_parse_count total_server_parse_count total_bind_count \
             avg_server_assignment_count avg_xact_count avg_query_count avg_recv avg_sent \
             avg_xact_time avg_query_time avg_wait_time avg_client_parse_count \
             avg_server_parse_count avg_bind_count",
            "sNNNNNNNNNNNNNNNNNNNNNN",
        ),
        (
            "STATS_TOTALS",
            "database server_assignment_count xact_count query_count bytes_received bytes_sent \
             xact_time query_time wait_time client_parse_count server_parse_count bind_count",
            "sNNNNNNNNNNN",
        ),
        (
            "STATS_AVERAGES",
            "database server_assignment_count xact_count query_count bytes_received bytes_sent \
             xact_time query_time wait_time avg_client_parse_count avg_server_parse_count \
             avg_bind_count",
            "sNNNNNNNNNNN",
        ),
        ("TOTALS", "name value", "sN"),
        ("CLIENTS", connections, "ssssssisiTTiiississii"),
        ("SERVERS", connections, "ssssssisiTTiiississii"),
        ("SOCKETS", &sockets, "ssssssisiTTiiississiiiiiiiii"),
        ("ACTIVE_SOCKETS", &sockets, "ssssssisiTTiiississiiiiiiiii"),
        (
            "DATABASES",
            "name host port database force_user pool_size min_pool_size reserve_pool_size \
             server_lifetime pool_mode load_balance_hosts max_connections current_connections \
             max_client_connections current_client_connections paused disabled",
            "ssissiiiissiiiiii",
        ),
        (
            "USERS",
            "name pool_size reserve_pool_size pool_mode max_user_connections current_connections \
             max_user_client_connections current_client_connections",
            "ssssiiii",
        ),
        ("LISTS", "list items", "si"),
        ("CONFIG", "key value default changeable", "ssss"),
        ("PEERS", "peer_id host port pool_size", "isii"),
        (
            "PEER_POOLS",
            "peer_id cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login",
            "iiiii",
        ),
        ("MEM", "name size used free memtotal", "siiii"),
        ("STATE", "key value", "ss"),
        ("VERSION", "version", "s"),
        ("DNS_HOSTS", "hostname ttl addrs", "sqs"),
        ("DNS_ZONES", "zonename serial count", "sqi"),
    ] {
        console.query(&format!("SHOW {table}"));
        let frames = console.until_ready();
        assert_eq!(columns(description(&frames)), typed(names, types), "{table}");
        for row in frames.iter().filter(|frame| frame.tag == b'D') {
            let width = names.split_whitespace().count();
            assert_eq!(backend::values(&row.body).expect("a row").len(), width, "{table}");
        }
    }
    assert!(show(&mut console, "VERSION").rows[0][0].starts_with("PgBouncer 1.25.2 (Tidegate "));
}

#[test]
fn numbers_are_those_of_the_port_and_what_the_other_port_does_is_its_own() {
    let scene = scene("[pool]\npool_size = 3\nmax_overflow = 0\n");
    let named = |port, name| scene.client_with(port, &[("application_name", name)]);
    let mut holder = named(scene.gate.session, "holder");
    let mut begun = named(scene.gate.transaction, "begun");
    let mut third = named(scene.gate.transaction, "third");
    let mut waits = named(scene.gate.transaction, "waits");
    let backend = holder.backend();
    begun.begin();
    third.begin();
    waits.query("SELECT 1");
    scene.until_waiting(1);
    let mut session = console(scene.gate.session);
    let mut transaction = console(scene.gate.transaction);
    let counts = ["cl_active", "cl_waiting", "sv_active", "sv_idle", "pool_mode"];
    let pools = show(&mut session, "POOLS");
    assert_eq!(pools.values(APP, &counts), ["1", "0", "1", "0", "session"]);
    assert_eq!(pools.value("pgbouncer", "cl_active"), "1");
    let pools = show(&mut transaction, "POOLS");
    assert_eq!(pools.values(APP, &counts), ["2", "1", "2", "0", "transaction"]);

    let clients = show(&mut transaction, "CLIENTS");
    let of = |table: &Table, application: &str, column: &str| {
        let place = table.place("application_name");
        let rows: Vec<_> = table.rows.iter().filter(|row| row[place] == application).collect();
        assert_eq!(rows.len(), 1, "{application}: {:?}", table.rows);
        rows[0][table.place(column)].clone()
    };
    assert_eq!(of(&clients, "waits", "state"), "waiting");
    assert_eq!(of(&clients, "begun", "state"), "active");
    let own = begun.stream().local_addr().expect("an address");
    assert_eq!(of(&clients, "begun", "port"), own.port().to_string());
    assert_eq!(of(&clients, "begun", "local_port"), scene.gate.transaction.to_string());
    // As Datadog's agent reads it: two words, of digits, dashes, and colons.
    let connected = of(&clients, "begun", "connect_time");
    let words: Vec<_> = connected.split(' ').collect();
    assert_eq!((words.len(), words[0].len(), words[1].len(), words[2]), (3, 10, 8, "UTC"));
    assert!(!clients.rows.iter().any(|row| row[clients.place("application_name")] == "holder"));

    let servers = show(&mut session, "SERVERS");
    assert_eq!(of(&servers, "holder", "remote_pid"), backend);
    assert_eq!(of(&servers, "holder", "port"), scene.cluster.port().to_string());
    assert_eq!(of(&servers, "holder", "link"), of(&show(&mut session, "CLIENTS"), "holder", "ptr"));
    let databases = show(&mut session, "DATABASES");
    let expected = ["3", "3", "0", APP];
    let asked = ["pool_size", "current_connections", "paused", "database"];
    assert_eq!(databases.values(APP, &asked), expected);
    assert_eq!(
        databases.value(APP, "max_connections"),
        snapshot(&scene)["budget"]["usable"].to_string()
    );
    let lists = show(&mut session, "LISTS");
    assert_eq!(lists.value("used_clients", "items"), "6");
    assert_eq!(lists.value("used_servers", "items"), "3");

    begun.run("COMMIT");
    third.run("COMMIT");
    assert_eq!(waits.tags(), "TDCZI");
    let stats = show(&mut transaction, "STATS");
    // Each client of the port has had one transaction, of two statements or one, and the COMMIT.
    assert_eq!(stats.value(APP, "total_xact_count"), "3");
    let waited: u64 = stats.value(APP, "total_wait_time").parse().expect("a number");
    assert!(waited > 0, "one has waited");
    let totals = show(&mut transaction, "STATS_TOTALS");
    assert_eq!(totals.value(APP, "xact_count"), "3");
    assert_eq!(totals.value(APP, "bytes_received"), stats.value(APP, "total_received"));
    assert_eq!(show(&mut session, "STATS").value(APP, "total_xact_count"), "1");
    let config = show(&mut transaction, "CONFIG");
    assert_eq!(
        config.value("max_client_conn", "value"),
        config.value("listen.clients_max", "value")
    );
    assert_eq!(config.value("max_user_connections", "value"), "0");
    assert_eq!(
        config.values("pool.pool_size", &["value", "default", "changeable"]),
        ["3", "auto", "yes"]
    );
    let state = show(&mut transaction, "STATE");
    assert_eq!((state.value("active", "value"), state.value("paused", "value")), ("yes", "no"));
}

fn snapshot(scene: &Scene) -> serde_json::Value {
    let (code, body) = scene.gate.get("/api/v1/snapshot");
    assert_eq!(code, 200);
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn tidegates_own_tables_tell_budget_holders_pins_and_verdict() {
    let scene = scene(ONE_SERVER);
    let mut holder = scene.client_with(scene.gate.transaction, &[("application_name", "holder")]);
    holder.run("CREATE TEMP TABLE mine ()");
    let backend = holder.backend();
    let mut waits = scene.client(scene.gate.transaction);
    waits.query("SELECT 1");
    scene.until_waiting(1);
    let mut console = Raw::log_in(scene.gate.session, WATCHER, "", "tidegate");
    let budget = show(&mut console, "TIDEGATE BUDGET");
    let usable = snapshot(&scene)["budget"]["usable"].to_string();
    let row = &budget.rows[0];
    assert_eq!(
        (row[budget.place("plan")].as_str(), &row[budget.place("usable")]),
        ("free", &usable)
    );
    let holders = show(&mut console, "TIDEGATE HOLDERS");
    assert_eq!(holders.rows.len(), 1);
    let row = &holders.rows[0];
    assert_eq!(row[holders.place("application_name")], "holder");
    assert_eq!(row[holders.place("remote_pid")], backend);
    assert_eq!(row[holders.place("port")], "transaction");
    let pins = show(&mut console, "TIDEGATE PINS");
    let told = ["pinned", "port", "reason", "pins_total"];
    assert_eq!(pins.values(APP, &told), ["1", "transaction", &row[holders.place("pins")], "1"]);
    let verdict = show(&mut console, "TIDEGATE VERDICT");
    assert_eq!(verdict.rows[0][0], "waiting");
    console.query("SHOW TIDEGATE LEDGER");
    let frames = console.until_ready();
    assert_eq!((frames[0].tag, frames[0].sqlstate().as_str()), (b'E', "0A000"));
    assert!(frames[0].field(b'H').contains("BUDGET, HOLDERS, PINS, VERDICT"), "{frames:?}");
}

#[test]
fn the_console_answers_when_the_gate_is_full_and_when_the_database_is_down() {
    let mut scene = scene_with(ONE_SERVER, &["listen.clients_max=2"]);
    let mut holder = scene.client(scene.gate.transaction);
    holder.begin();
    let mut waits = scene.client(scene.gate.transaction);
    waits.query("SELECT 1");
    scene.until_waiting(1);
    let mut third = Raw::connect(scene.gate.transaction);
    let no = third.try_log_in(&[("user", APP), ("database", APP)], "").expect_err("it is full");
    assert_eq!(no.field(b'C'), "53300");
    let mut kept: Vec<_> = (0..8).map(|_| console(scene.gate.session)).collect();
    for console in &mut kept {
        assert_eq!(show(console, "POOLS").rows.len(), 2);
    }
    let mut ninth = Raw::connect(scene.gate.session);
    let no = ninth.try_log_in(&[("user", APP), ("database", "tidegate")], "").expect_err("full");
    assert_eq!(no.field(b'C'), "53300");
    // Each takes a place, and gives it back.
    kept.into_iter().for_each(Raw::leave);
    wait::until("their places are free again", || (snapshot(&scene)["clients"] == 2).then_some(()));
    holder.run("COMMIT");
    assert_eq!(waits.tags(), "TDCZI");
    assert_eq!(snapshot(&scene)["pools"].as_array().expect("a list").len(), 1, "it has no pool");
    scene.gate.allow("upstream").allow("census").allow("server");
    scene.cluster.stop(StopMode::Immediate).expect("it stops");
    let mut console = console(scene.gate.session);
    assert_eq!(show(&mut console, "VERSION").rows.len(), 1);
    assert!(show(&mut console, "DATABASES").rows.len() > 1);
}

/// What the exporter of prometheus-community (0.12) reads of each row, as a number. Debian's own package
/// of the name (1.7) is another program, which wants `total_requests`; PgBouncer has had no such column
/// since 1.8.
const EXPORTED: [(&str, &str); 3] = [
    ("DATABASES", "pool_size reserve_pool max_connections current_connections paused disabled"),
    (
        "STATS_TOTALS",
        "query_count query_time bytes_received bytes_sent wait_time xact_count xact_time",
    ),
    (
        "POOLS",
        "cl_active cl_active_cancel_req cl_waiting cl_waiting_cancel_req sv_active sv_active_cancel \
         sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait",
    ),
];

#[test]
fn what_the_exporter_reads_is_there_and_is_a_number() {
    let scene = scene("");
    scene.client(scene.gate.transaction).run("SELECT 1");
    for port in scene.ports() {
        // lib/pq says more when it connects than PgBouncer takes without being told to ignore it.
        let mut exporter = Raw::connect(port);
        let parameters = [
            ("user", WATCHER),
            ("database", "pgbouncer"),
            ("extra_float_digits", "2"),
            ("client_encoding", "UTF8"),
            ("datestyle", "ISO, MDY"),
        ];
        exporter.try_log_in(&parameters, "").expect("it may look");
        for (table, columns) in EXPORTED {
            let table = show(&mut exporter, &format!("{table};"));
            assert_eq!(table.rows.len(), 2, "the database and the console: {:?}", table.rows);
            for row in &table.rows {
                for column in columns.split_whitespace() {
                    let value = &row[table.place(column)];
                    assert!(value.parse::<f64>().is_ok(), "{column}: {value:?}");
                }
            }
        }
        let lists = show(&mut exporter, "LISTS;");
        for list in [
            "databases",
            "users",
            "pools",
            "free_clients",
            "used_clients",
            "login_clients",
            "free_servers",
            "used_servers",
            "dns_names",
            "dns_zones",
            "dns_queries",
            "dns_pending",
        ] {
            assert!(lists.value(list, "items").parse::<u32>().is_ok(), "{list}");
        }
        let config = show(&mut exporter, "CONFIG;");
        for key in ["max_client_conn", "max_user_connections"] {
            assert!(config.value(key, "value").parse::<f64>().is_ok(), "{key}");
        }
    }
}

#[test]
fn a_database_that_the_settings_name_is_no_console() {
    let scene = Scene::start(
        BINARY,
        &format!("[[pool_for]]\ndatabase = \"pgbouncer\"\npool_size = 2\n{USERS}"),
        &[],
    );
    scene.cluster.sql("CREATE DATABASE pgbouncer").expect("it is created");
    let mut real = Raw::log_in(scene.gate.transaction, APP, "", "pgbouncer");
    assert_eq!(real.value("SELECT current_database()"), "pgbouncer");
    let mut console = Raw::log_in(scene.gate.transaction, APP, "", "tidegate");
    assert_eq!(show(&mut console, "DATABASES").value("app", "paused"), "0");
    let mut no = Raw::connect(scene.gate.session);
    let no =
        no.try_log_in(&[("user", OTHER), ("database", "tidegate")], "").expect_err("not theirs");
    assert_eq!((no.field(b'S').as_str(), no.field(b'M').as_str()), ("FATAL", "not allowed"));
}
