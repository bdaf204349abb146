//! Both ports, through a real gate to a real PostgreSQL: what works as if there were no gate,
//! what a client leaves behind, and what it must never meet of another.

use std::time::Duration;

use tidegate_scratch::ClusterOptions;
use tidegate_testkit::batch::{Batch, Format};
use tidegate_testkit::raw::{Frame, Raw};
use tidegate_testkit::scene::{self, APP, ONE_SERVER, Scene};
use tidegate_testkit::wait;
use tidegate_wire::frontend::Message;

const GATE: &str = env!("CARGO_BIN_EXE_tidegate");
const MIB: usize = 1024 * 1024;
/// What a pin's line in the log says.
const PINNED: &str = "a client keeps its server: ";

fn scene(settings: &str) -> Scene {
    Scene::start(GATE, settings, &[])
}

// --- The same answers as without a gate. ---

/// Something that is said, and up to where the answer goes.
type Step = (Batch, Until);

#[derive(Debug, Clone, Copy)]
enum Until {
    /// So many times ReadyForQuery.
    Ready(usize),
    /// The first message with this tag.
    Tag(u8),
}

use Until::{Ready, Tag};

fn hear(raw: &mut Raw, until: Until) -> Vec<Frame> {
    let mut frames = Vec::new();
    match until {
        Ready(times) => (0..times).for_each(|_| frames.extend(raw.until_ready())),
        Tag(tag) => loop {
            let frame = raw.next().expect("the connection stands");
            let is_last = frame.tag == tag;
            frames.push(frame);
            if is_last {
                break;
            }
        },
    }
    frames
}

fn one(batch: Batch) -> Vec<Step> {
    vec![(batch.sync(), Ready(1))]
}

fn simple(sql: &str) -> Vec<Step> {
    vec![(Batch::new().query(sql), Ready(1))]
}

/// Statements whose answers are compared in the simple protocol and, where they are single ones,
/// in the extended one, as text and binary.
const STATEMENTS: &[&str] = &[
    "SELECT 1",
    "SELECT 1 AS a, 'two'::text AS b, NULL AS c, 3.50::numeric AS d, true AS e",
    "SELECT '2024-02-29 12:34:56.789+00'::timestamptz, '1 day 2 hours'::interval, 'infinity'::date",
    "SELECT '\\xdeadbeef'::bytea, '{\"a\": [1, null]}'::jsonb, '{1,2,NULL}'::int[], 1.5::float8",
    "SELECT ROW(1, 'a'), 'a-b'::name, '127.0.0.1/8'::inet, 'x'::\"char\", 12::oid, E'a\\nb'",
    "SELECT g, repeat('x', g % 17) FROM generate_series(1, 3000) g",
    "SELECT repeat('y', 200000)",
    "SELECT * FROM items ORDER BY id",
    "SELECT WHERE false",
    "SELECT",
    "",
    "  -- nothing",
    "SELEC 1",
    "SELECT nothing FROM nowhere",
    "SELECT 1/0",
    "SELECT 10 / (3 - g) FROM generate_series(1, 5) g",
    "SELECT 'é', U&'\\2603', length('日本語')",
    "DO $$ BEGIN RAISE NOTICE 'noted'; RAISE WARNING 'warned' USING DETAIL = 'd', HINT = 'h'; END $$",
    "DO $$ BEGIN RAISE EXCEPTION 'raised' USING ERRCODE = 'P0815', COLUMN = 'c'; END $$",
    "INSERT INTO items VALUES (1, 'again')",
    "UPDATE items SET name = name WHERE id < 3",
    "DELETE FROM items WHERE id < 0 RETURNING id",
    "EXPLAIN (COSTS OFF) SELECT 1",
    "SHOW server_version",
    "VALUES (1, 'a'), (2, 'b')",
    "COMMIT",
];

/// Several statements in one Query, and what spans more than one message.
fn talks() -> Vec<(String, Vec<Step>)> {
    let mut talks = Vec::new();
    for sql in STATEMENTS {
        talks.push((format!("simple: {sql}"), simple(sql)));
        for format in [Format::Text, Format::Binary] {
            let batch = Batch::new().extended(sql, &[], format);
            talks.push((format!("extended, {format:?}: {sql}"), one(batch)));
        }
    }
    let mut add = |name: &str, steps: Vec<Step>| talks.push((name.to_owned(), steps));
    let select = |sql: &str| Batch::new().extended(sql, &[], Format::Text).sync().bytes().to_vec();
    let batches = |all: &[&str]| all.iter().fold(Batch::new(), |out, sql| out.raw(&select(sql)));

    add("several statements", simple("SELECT 1; SELECT 2; ; SELECT 'x' WHERE false; VALUES (3)"));
    add("an error among several", simple("SELECT 1; SELECT 1/0; SELECT 3"));
    for sql in ["BEGIN", "SELECT 1", "SAVEPOINT s", "SELECT 1/0", "SELECT 2", "ROLLBACK TO s"] {
        add("a transaction with a failure", simple(sql));
    }
    for sql in ["DECLARE c CURSOR FOR SELECT * FROM items", "FETCH 1 FROM c", "MOVE 1 FROM c"] {
        add("a cursor in it", simple(sql));
    }
    add("its end", simple("COMMIT"));
    add("its end again", simple("COMMIT"));

    add(
        "flushed piece by piece",
        vec![
            (Batch::new().parse("", "SELECT $1::int + 1").flush(), Tag(b'1')),
            (Batch::new().describe_statement("").flush(), Tag(b'T')),
            (Batch::new().bind("", &[Some(b"41")], Format::Text).flush(), Tag(b'2')),
            (Batch::new().execute(0).flush(), Tag(b'C')),
            (Batch::new().sync(), Ready(1)),
        ],
    );
    let portion = Batch::new()
        .parse("", "SELECT g FROM generate_series(1, 5) g")
        .bind("", &[], Format::Binary)
        .execute(2)
        .execute(2)
        .execute(2)
        .execute(2);
    add("a portal in portions", one(portion));
    add("batches in a row", vec![(batches(&["SELECT 1", "SELECT 2", "SELECT 3"]), Ready(3))]);
    let failing = ["SELECT 1", "SELECT 1/0", "SELEC", "SELECT 4"];
    add("batches in a row with failures", vec![(batches(&failing), Ready(4))]);
    let skipped = Batch::new()
        .extended("SELECT 1", &[], Format::Text)
        .extended("SELECT 1/0", &[], Format::Text)
        .extended("SELECT 2", &[], Format::Text)
        .query("SELECT 'ignored'")
        .flush()
        .sync()
        .query("SELECT 'heard'");
    add("everything behind a failure up to Sync", vec![(skipped, Ready(2))]);
    let flushed = Batch::new().parse("", "SELEC 1").flush();
    add("a flushed failure", vec![(flushed, Tag(b'E')), (Batch::new().sync(), Ready(1))]);
    let queries = Batch::new().query("SELECT 1").query("SELECT 1/0").query("").query("SELECT 3");
    add("queries in a row", vec![(queries, Ready(4))]);
    add("Syncs alone", vec![(Batch::new().sync().sync().sync(), Ready(3))]);
    add("Flush alone", vec![(Batch::new().flush().flush().sync(), Ready(1))]);
    let mixed = Batch::new().raw(&select("BEGIN")).query("SELECT 1").raw(&select("ROLLBACK"));
    add("both protocols in a transaction", vec![(mixed, Ready(3))]);
    let implicit = Batch::new()
        .extended("INSERT INTO items VALUES (100, 'x')", &[], Format::Text)
        .extended("SELECT count(*) FROM items", &[], Format::Text)
        .extended("SELECT 1/0", &[], Format::Text)
        .sync()
        .query("SELECT count(*) FROM items");
    add("a batch is a transaction", vec![(implicit, Ready(2))]);
    add("nothing to bind to", one(Batch::new().bind("none", &[], Format::Text).execute(0)));
    add("a describe of nothing", one(Batch::new().describe_statement("none")));
    add("a close of nothing", one(Batch::new().close_statement("none")));
    let wrong = Batch::new().parse("", "SELECT $1::int").bind("", &[Some(b"x")], Format::Text);
    add("a value that is none", one(wrong.execute(0)));
    let none = Batch::new().extended("SELECT $1::text IS NULL", &[None], Format::Text);
    add("a NULL", one(none));
    let large = vec![b'z'; MIB];
    for format in [Format::Text, Format::Binary] {
        let batch = Batch::new().extended("SELECT $1::text, length($1)", &[Some(&large)], format);
        add("a value of a MiB", one(batch));
    }
    let text = format!("SELECT length('{}')", "w".repeat(MIB));
    add("a Query of a MiB", simple(&text));
    add("a Parse of a MiB", one(Batch::new().extended(&text, &[], Format::Text)));
    let body: &[&[u8]] = &[
        &177_u32.to_be_bytes(), // int4pl
        &[0, 1, 0, 0, 0, 2],
        &[0, 0, 0, 2],
        b"40",
        &[0, 0, 0, 1],
        b"2",
        &[0, 0],
    ];
    let call = Batch::new().message(&Message::FunctionCall(&body.concat()));
    add("a function call", vec![(call, Ready(1))]);
    let call = Batch::new().message(&Message::FunctionCall(&[0; 12]));
    add("a function call of nothing", vec![(call, Ready(1))]);
    copies(&mut add);
    named(&mut add);
    talks
}

fn copies(add: &mut impl FnMut(&str, Vec<Step>)) {
    let copy_in = || (Batch::new().query("COPY items FROM STDIN"), Tag(b'G'));
    let rows = |rows: &str| Batch::new().copy_data(rows.as_bytes());
    let copied = rows("200\ta\n201\t").copy_data(b"b\n202\t\\N\n").copy_done();
    add("a copy in", vec![copy_in(), (copied, Ready(1))]);
    add("what was copied", simple("SELECT * FROM items WHERE id >= 200 ORDER BY id"));
    add("and removed", simple("DELETE FROM items WHERE id >= 200"));
    let bad = rows("x\ty\n").copy_data(b"300\tmore\n").copy_done();
    add("a copy in that fails", vec![copy_in(), (bad, Ready(1))]);
    let abandoned = rows("300\tx\n").copy_fail("changed its mind");
    add("a copy in that the client fails", vec![copy_in(), (abandoned, Ready(1))]);
    let twice = rows("1\tduplicate\n").copy_done();
    add("a copy in that breaks a constraint", vec![copy_in(), (twice, Ready(1))]);
    let syncs = rows("300\tx\n").sync().flush().copy_fail("enough");
    add("Sync and Flush within a copy in", vec![copy_in(), (syncs, Ready(1))]);
    let ahead = Batch::new().query("COPY items FROM STDIN").copy_data(b"1\tduplicate\n");
    add("a copy in without waiting", vec![(ahead.copy_done(), Ready(1))]);
    let nowhere = Batch::new().query("COPY nowhere FROM STDIN").copy_data(b"1\n").copy_done();
    add("a copy to nowhere without waiting", vec![(nowhere, Ready(1))]);
    add("and the next query", simple("SELECT 'still here'"));
    let stray = Batch::new().copy_data(b"stray").copy_done().copy_fail("stray").query("SELECT 1");
    add("copy messages outside of a copy", vec![(stray, Ready(1))]);
    let extended = Batch::new().parse("", "COPY items FROM STDIN").bind("", &[], Format::Text);
    let data = rows("400\tx\n").copy_done().sync();
    add(
        "a copy in, extended",
        vec![
            (extended.execute(0).flush(), Tag(b'G')),
            (data, Ready(1)),
            (Batch::new().query("DELETE FROM items WHERE id = 400"), Ready(1)),
        ],
    );
    let extended = Batch::new().parse("", "COPY items FROM STDIN").bind("", &[], Format::Text);
    add(
        "a failing copy in, extended",
        vec![
            (extended.execute(0).flush(), Tag(b'G')),
            (rows("oops\n").copy_done().sync(), Ready(1)),
        ],
    );
    // Refused only after the server has said that it copies, and before it has read anything.
    let rest = || rows("1\tx\n").copy_done().sync();
    let view = || Batch::new().query("COPY items_seen FROM STDIN");
    add("a copy to a view", vec![(view(), Ready(1)), (rest(), Ready(1))]);
    add("a copy to a view without waiting", vec![(view().raw(rest().bytes()), Ready(2))]);
    let view = || {
        let copy = Batch::new().parse("", "COPY items_seen FROM STDIN");
        copy.bind("", &[], Format::Text).execute(0).sync()
    };
    add("a copy to a view, extended", vec![(view(), Ready(1)), (rest(), Ready(1))]);
    let ahead = view().raw(rest().bytes()).query("SELECT 'in step'");
    add("a copy to a view, extended, without waiting", vec![(ahead, Ready(3))]);
    add("a copy out", simple("COPY (SELECT g, 'x' FROM generate_series(1, 2000) g) TO STDOUT"));
    add("a copy out in binary", simple("COPY items TO STDOUT (FORMAT binary)"));
    let broken = "COPY (SELECT 10 / (500 - g) FROM generate_series(1, 600) g) TO STDOUT";
    add("a copy out that fails", simple(broken));
    add("a copy out, extended", one(Batch::new().extended(broken, &[], Format::Text)));
    add("a copy among others", simple("SELECT 1; COPY items TO STDOUT; SELECT 2"));
}

/// Last, since some of them pin the client of the transaction port.
fn named(add: &mut impl FnMut(&str, Vec<Step>)) {
    add(
        "a named statement",
        one(Batch::new().parse("s", "SELECT $1::int").describe_statement("s")),
    );
    add("in use", one(Batch::new().bind("s", &[Some(b"7")], Format::Text).describe().execute(0)));
    add("a second with its name", one(Batch::new().parse("s", "SELECT 2")));
    add("closed", one(Batch::new().close_statement("s")));
    add("and gone", one(Batch::new().bind("s", &[Some(b"7")], Format::Text)));
    let portals = Batch::new()
        .parse("", "SELECT 1")
        .bind_portal("p", "", &[], Format::Text)
        .message(&Message::Execute { portal: b"p", rows_max: 0 });
    add("a named portal", one(portals));
    for sql in [
        "PREPARE q(int) AS SELECT $1 + 1",
        "EXECUTE q(1)",
        "SET application_name = 'it''s me'",
        "SET TimeZone = 'Asia/Tokyo'",
        "SELECT '2024-01-01 00:00Z'::timestamptz",
        "SET nonsense = 1",
        "RESET TimeZone",
        "SET LOCAL work_mem = '1MB'",
        "CREATE TEMP TABLE scratch AS SELECT 1 AS a",
        "SELECT a + 1 FROM scratch",
        "SELECT pg_advisory_lock(5), pg_try_advisory_lock(5), pg_advisory_unlock(6)",
        "LISTEN here",
        "SELECT * FROM pg_listening_channels()",
        "UNLISTEN *",
        "DISCARD ALL",
        "EXECUTE q(1)",
        "SELECT 1",
    ] {
        add("the state of a session", simple(sql));
    }
}

fn items(scene: &Scene) {
    let sql = "CREATE TABLE items (id int PRIMARY KEY, name text); \
               INSERT INTO items VALUES (1, 'one'), (2, NULL), (3, 'drei ü'); \
               CREATE VIEW items_seen AS SELECT count(*) FROM items; \
               ALTER VIEW items_seen OWNER TO app; ALTER TABLE items OWNER TO app";
    scene.cluster.sql_in(APP, sql).expect("a table");
}

fn assert_same(name: &str, direct: &[Frame], gated: &[Frame]) {
    let at = direct.iter().zip(gated).position(|(direct, gated)| direct != gated);
    let at = at.unwrap_or(direct.len().min(gated.len()));
    assert!(
        direct == gated,
        "{name}: message {at} differs\ndirect: {:?}\ngated: {:?}",
        direct.get(at),
        gated.get(at)
    );
}

#[test]
fn answers_are_those_of_postgresql_byte_for_byte() {
    let scene = scene(ONE_SERVER);
    items(&scene);
    let talks = talks();
    let mut direct = scene.client(scene.cluster.port());
    let mut expected = Vec::new();
    for (_, steps) in &talks {
        let mut frames = Vec::new();
        for (batch, until) in steps {
            direct.send(batch.bytes());
            frames.extend(hear(&mut direct, *until));
        }
        expected.push(frames);
    }
    direct.leave();
    for (port, name) in [(scene.gate.session, "session"), (scene.gate.transaction, "transaction")] {
        let mut raw = scene.client(port);
        for ((talk, steps), expected) in talks.iter().zip(&expected) {
            let mut frames = Vec::new();
            for (batch, until) in steps {
                raw.send(batch.bytes());
                frames.extend(hear(&mut raw, *until));
            }
            assert_same(&format!("{name} port, {talk}"), expected, &frames);
        }
        raw.leave();
    }
}

#[test]
fn messages_may_arrive_in_any_pieces() {
    let scene = scene(ONE_SERVER);
    let batch = Batch::new()
        .extended("SELECT $1::text || 'ü'", &[Some(b"some value")], Format::Text)
        .sync()
        .query("SELECT 1/0")
        .extended("SELECT 2", &[], Format::Binary)
        .sync();
    let expected = scene.client(scene.cluster.port()).exchange(&batch, 3);
    for port in scene.ports() {
        let mut raw = scene.client(port);
        for bytes in [1, 2, 5, 7, 64] {
            for piece in batch.bytes().chunks(bytes) {
                raw.send(piece);
            }
            let frames = hear(&mut raw, Ready(3));
            assert_same(&format!("in pieces of {bytes}"), &expected, &frames);
        }
    }
}

#[test]
fn a_login_is_answered_as_postgresql_answers_it() {
    let scene = scene("plan = \"free\"");
    let logins: &[&[(&str, &str)]] = &[
        &[],
        &[("application_name", "one"), ("TimeZone", "Asia/Tokyo"), ("DateStyle", "German")],
        &[("client_encoding", "LATIN1"), ("options", "-c intervalstyle=iso_8601")],
    ];
    for login in logins {
        let mut all = vec![("user", APP), ("database", APP)];
        all.extend_from_slice(login);
        let told = |port| {
            let mut raw = Raw::connect(port);
            raw.start(&all);
            let mut frames = raw.until_ready();
            let order: String = frames.iter().map(|frame| char::from(frame.tag)).collect();
            // The key differs by nature, and nothing says in which order parameters come.
            frames.retain(|frame| frame.tag != b'K');
            frames.sort_by(|a, b| (a.tag, &a.body).cmp(&(b.tag, &b.body)));
            (order, frames)
        };
        let (order, direct) = told(scene.cluster.port());
        for port in scene.ports() {
            // The second client is told by the gate from memory.
            for _ in 0..2 {
                let (gated_order, gated) = told(port);
                assert_eq!(gated_order, order);
                assert_same(&format!("{login:?}"), &direct, &gated);
            }
        }
    }
}

// --- Cancel. ---

#[test]
fn a_running_statement_is_cancelled_and_the_client_goes_on() {
    let scene = scene("plan = \"free\"");
    let statements = [
        Batch::new().query("SELECT pg_sleep(60)"),
        Batch::new().extended("SELECT pg_sleep(60)", &[], Format::Text).sync(),
        Batch::new().query("BEGIN; SELECT pg_sleep(60)"),
    ];
    for port in scene.ports() {
        let mut raw = scene.client(port);
        for statement in &statements {
            raw.send(statement.bytes());
            scene.until_running(1, "pg_sleep");
            // Either port takes it.
            raw.cancel(scene.gate.transaction);
            assert_eq!(raw.ends_with_error(), "57014");
            raw.run("ROLLBACK");
            assert_eq!(raw.value("SELECT 'goes on'"), "goes on");
        }
    }
    scene.until_metric("tidegate_cancel_requests_total", &["forwarded"], 6.0);
}

#[test]
fn a_cancel_ends_the_wait_for_a_server() {
    let scene = scene(ONE_SERVER);
    for port in scene.ports() {
        let mut waiting = scene.client(port);
        let mut holder = scene.client(scene.gate.transaction);
        holder.begin();
        let batches = [
            Batch::new().query("SELECT 1"),
            Batch::new().extended("SELECT 1", &[], Format::Text).sync(),
        ];
        for batch in &batches {
            waiting.send(batch.bytes());
            scene.until_waiting(1);
            waiting.cancel(port);
            let frames = waiting.until_ready();
            let tags: Vec<_> = frames.iter().map(|frame| frame.tag).collect();
            assert_eq!(tags, b"EZ");
            assert_eq!(frames[0].sqlstate(), "57014");
            assert!(frames[0].field(b'H').ends_with("(TG017)"), "{frames:?}");
            assert_eq!(frames[1].body, b"I");
        }
        holder.run("COMMIT");
        assert_eq!(waiting.value("SELECT 'served'"), "served");
    }
}

#[test]
fn a_cancel_with_a_wrong_key_does_nothing() {
    let scene = scene("plan = \"free\"");
    let unknown = |count: u32| {
        scene.until_metric("tidegate_cancel_requests_total", &["unknown"], f64::from(count));
    };
    let mut count = 0;
    for port in scene.ports() {
        let mut raw = scene.client(port);
        raw.query("SELECT pg_sleep(60)");
        scene.until_running(1, "pg_sleep");
        let mut wrong = raw.secret.clone();
        wrong[0] ^= 1;
        let long = [raw.secret.clone(), vec![0; 28]].concat();
        let keys = [
            (raw.pid, wrong),
            (raw.pid, long),
            (raw.pid + 1, raw.secret.clone()),
            (raw.pid | 0x7f00_0000, raw.secret.clone()),
            (0, raw.secret.clone()),
            (u32::MAX, raw.secret.clone()),
        ];
        for (pid, secret) in keys {
            scene::cancel(port, pid, &secret);
            count += 1;
            unknown(count);
        }
        scene.until_running(1, "pg_sleep");
        raw.cancel(port);
        assert_eq!(raw.ends_with_error(), "57014");
    }
    scene.until_metric("tidegate_cancel_requests_total", &["forwarded"], 2.0);
}

#[test]
fn a_late_cancel_never_reaches_the_next_client() {
    let scene = scene(ONE_SERVER);
    let mut first = scene.client(scene.gate.transaction);
    let mut second = scene.client(scene.gate.transaction);
    let (mut cancelled, mut finished) = (0, 0);
    let mut seconds = 0.002;
    for round in 0..400 {
        // It ends about when the cancel arrives: it is made shorter or longer by who was first.
        first.query(&format!("SELECT pg_sleep({seconds:.6})"));
        second.query("SELECT pg_sleep(0.01)");
        first.cancel(scene.gate.session);
        let frames = first.until_ready();
        match frames.iter().find(|frame| frame.tag == b'E') {
            Some(error) => {
                assert_eq!(error.sqlstate(), "57014");
                cancelled += 1;
                seconds *= 0.8;
            }
            None => {
                finished += 1;
                seconds = f64::min(seconds * 1.25, 0.02);
            }
        }
        assert_eq!(second.tags(), "TDCZI", "round {round}");
    }
    println!("{cancelled} were cancelled, {finished} finished before");
    assert!(cancelled > 20 && finished > 20, "{cancelled} cancelled, {finished} finished");
}

#[test]
fn a_cancel_that_was_waited_for_never_reaches_the_clients_own_next_statement() {
    let scene = scene(ONE_SERVER);
    let mut raw = scene.client(scene.gate.session);
    let (mut cancelled, mut finished) = (0, 0);
    let mut seconds = 0.002;
    for round in 0..300 {
        raw.query(&format!("SELECT pg_sleep({seconds:.6})"));
        // Like PostgreSQL, the gate closes that connection when the cancel has been delivered.
        raw.cancel(scene.gate.session);
        let frames = raw.until_ready();
        if frames.iter().any(|frame| frame.tag == b'E') {
            cancelled += 1;
            seconds *= 0.8;
        } else {
            finished += 1;
            seconds = f64::min(seconds * 1.25, 0.02);
        }
        raw.query("SELECT pg_sleep(0.005)");
        assert_eq!(raw.tags(), "TDCZI", "round {round}");
    }
    assert!(cancelled > 20 && finished > 0, "{cancelled} cancelled, {finished} finished");
}

#[test]
fn the_cancel_for_a_vanished_client_never_reaches_the_next() {
    let scene = scene(ONE_SERVER);
    let mut next = scene.client(scene.gate.transaction);
    let backend = next.backend();
    for round in 0..150 {
        for port in scene.ports() {
            let mut gone = scene.client(port);
            gone.query(&format!("SELECT pg_sleep({})", f64::from(round % 20) / 5000.0));
            drop(gone);
            next.query("SELECT pg_sleep(0.005)");
            assert_eq!(next.tags(), "TDCZI", "round {round}");
        }
    }
    assert_eq!(next.backend(), backend, "a client that vanishes costs no server");
}

// --- The session port. ---

#[test]
fn a_session_is_its_clients_own() {
    let scene = scene("plan = \"free\"");
    let mut one = scene.client(scene.gate.session);
    let mut other = scene.client(scene.gate.session);
    let backend = one.backend();
    one.run("SET work_mem = '77MB'");
    one.run("CREATE TEMP TABLE mine AS SELECT 42 AS answer");
    one.run("SELECT pg_advisory_lock(77)");
    one.run("PREPARE mine AS SELECT answer FROM mine");
    assert_eq!(other.failure("SELECT * FROM mine"), "42P01");
    assert_eq!(other.value("SELECT pg_try_advisory_lock(77)"), "f");
    assert_eq!(other.value("SHOW work_mem"), "4MB");
    assert_eq!(one.value("SHOW work_mem"), "77MB");
    assert_eq!(one.value("EXECUTE mine"), "42");
    assert_eq!(one.value("SELECT pg_advisory_unlock(77)"), "t");
    assert_eq!(other.value("SELECT pg_try_advisory_lock(77)"), "t");
    assert_eq!(one.backend(), backend);
    assert!(!scene.gate.has_logged(PINNED), "on this port nothing is a pin");
}

#[test]
fn a_notification_reaches_whoever_listens_on_either_port() {
    let scene = scene("plan = \"free\"");
    for port in scene.ports() {
        let mut listener = scene.client(port);
        listener.run("LISTEN news");
        let mut sender = scene.client(scene.gate.transaction);
        sender.run("NOTIFY news, 'from the transaction port'");
        let frame = listener.next().expect("a notification, without being asked");
        assert_eq!(frame.tag, b'A');
        assert!(frame.body.ends_with(b"news\0from the transaction port\0"), "{frame:?}");
        assert_eq!(listener.value("SELECT 1"), "1");
    }
}

// --- What is left behind. ---

/// How a client that has left all kinds of state goes.
#[derive(Debug, Clone, Copy)]
enum Exit {
    AfterRefusedCopy,
    Goodbye,
    HangUp,
    InBatch,
    InCopyIn,
    InCopyOut,
    InFailedTransaction,
    InStatement,
    InTransaction,
    WithGoodbyeInTransaction,
}

const EXITS: [Exit; 10] = [
    Exit::AfterRefusedCopy,
    Exit::Goodbye,
    Exit::HangUp,
    Exit::InBatch,
    Exit::InCopyIn,
    Exit::InCopyOut,
    Exit::InFailedTransaction,
    Exit::InStatement,
    Exit::InTransaction,
    Exit::WithGoodbyeInTransaction,
];

/// Everything that a session can hold.
const LITTER: &[&str] = &[
    "SET work_mem = '99MB'",
    "SET search_path = nowhere",
    "SET litter.secret = 'x'",
    "SET application_name = 'litterer'",
    "SET TimeZone = 'Asia/Tokyo'",
    "CREATE TEMP TABLE litter (a int); GRANT ALL ON litter TO other",
    "CREATE TEMP VIEW litter_seen AS SELECT 1; GRANT ALL ON litter_seen TO other",
    "CREATE TEMP SEQUENCE counter",
    "SELECT nextval('counter')",
    "SELECT pg_advisory_lock(1), pg_advisory_lock_shared(2)",
    "PREPARE litter AS SELECT 1",
    "DECLARE litter CURSOR WITH HOLD FOR SELECT 1",
    "LISTEN litter",
    "SET ROLE other",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
];

/// What of it can be seen.
const SEEN: &str = "SELECT concat_ws(' ', \
    current_setting('work_mem'), current_setting('search_path'), \
    coalesce(current_setting('litter.secret', true), ''), current_setting('application_name'), \
    current_setting('TimeZone'), current_setting('default_transaction_read_only'), \
    session_user, current_user, \
    (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()), \
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'), \
    (SELECT count(*) FROM pg_prepared_statements), \
    (SELECT count(*) FROM pg_cursors WHERE is_holdable), \
    (SELECT count(*) FROM pg_listening_channels()))";

fn litter_and_leave(scene: &Scene, port: u16, exit: Exit) -> String {
    let mut raw = scene.client(port);
    for sql in LITTER {
        raw.run(sql);
    }
    let batch =
        |name| Batch::new().parse(name, "SELECT pg_sleep(60)").bind(name, &[], Format::Text);
    raw.send(batch("litter2").sync().bytes());
    assert_eq!(raw.tags(), "12ZI");
    let backend = raw.backend();
    match exit {
        // Whether the copy has eaten the Sync shows only in what comes next.
        Exit::AfterRefusedCopy => {
            let copy = Batch::new().parse("", "COPY pg_temp.litter_seen FROM STDIN");
            raw.send(copy.bind("", &[], Format::Text).execute(0).sync().bytes());
            assert_eq!(raw.tags(), "12GEZI");
        }
        Exit::Goodbye => return raw_leaves(raw, backend),
        Exit::HangUp => {}
        Exit::InBatch => {
            raw.send(batch("").flush().bytes());
            assert_eq!(raw.next().map(|frame| frame.tag), Some(b'1'));
        }
        Exit::InCopyIn => {
            raw.query("COPY pg_temp.litter FROM STDIN");
            assert_eq!(raw.next().map(|frame| frame.tag), Some(b'G'));
            raw.send(Batch::new().copy_data(b"1\n2").bytes());
        }
        Exit::InCopyOut => {
            raw.query("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000000)) TO STDOUT");
            assert_eq!(raw.next().map(|frame| frame.tag), Some(b'H'));
        }
        Exit::InFailedTransaction => {
            raw.begin();
            assert_eq!(raw.failure("SELECT 1/0"), "22012");
        }
        Exit::InStatement => {
            raw.send(batch("").execute(0).sync().bytes());
            scene.until_running(1, "pg_sleep");
        }
        Exit::InTransaction => raw.begin(),
        Exit::WithGoodbyeInTransaction => {
            raw.begin();
            return raw_leaves(raw, backend);
        }
    }
    backend
}

fn raw_leaves(raw: Raw, backend: String) -> String {
    raw.leave();
    backend
}

#[test]
fn the_next_client_finds_nothing_of_the_last_however_it_left() {
    let scene = scene(ONE_SERVER);
    scene.cluster.sql("CREATE ROLE other; GRANT other TO app").expect("a role");
    let clean = scene.client(scene.gate.session).value(SEEN);
    assert!(clean.ends_with("UTC off app app 0 0 0 0 0"), "{clean}");
    for exit in EXITS {
        for port in scene.ports() {
            let backend = litter_and_leave(&scene, port, exit);
            for next in scene.ports() {
                let mut raw = scene.client(next);
                assert_eq!(raw.value(SEEN), clean, "after {exit:?}");
                assert_eq!(raw.failure("SELECT lastval()"), "55000", "after {exit:?}");
                assert_eq!(raw.failure("SELECT * FROM pg_temp.litter"), "42P01");
                assert_eq!(raw.backend(), backend, "after {exit:?} the server is another");
                raw.run("CREATE TEMP TABLE litter (mine int)");
            }
        }
    }
}

#[test]
fn settings_that_hinder_cleaning_up_are_cleaned_up() {
    let scene = scene(ONE_SERVER);
    let hindrances = [
        "SET standard_conforming_strings = off",
        "SET default_transaction_read_only = on",
        "SET default_transaction_isolation = 'serializable'",
        "SET default_transaction_deferrable = on",
        "SET client_encoding = 'SQL_ASCII'",
        "SET search_path = evil, pg_catalog",
        "SET client_min_messages = error",
    ];
    scene
        .cluster
        .sql_in(
            APP,
            "CREATE SCHEMA evil AUTHORIZATION app; \
             CREATE FUNCTION evil.pg_advisory_unlock_all() RETURNS void LANGUAGE plpgsql \
             AS $$ BEGIN RAISE 'evil'; END $$; \
             CREATE FUNCTION evil.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql \
             AS $$ BEGIN RAISE 'evil'; END $$",
        )
        .expect("a schema that shadows functions");
    let mut next = scene.client_with(scene.gate.transaction, &[("application_name", "next")]);
    let backend = next.backend();
    for sql in hindrances {
        for port in scene.ports() {
            let mut raw = scene.client(port);
            raw.run(sql);
            raw.run("SELECT pg_catalog.pg_advisory_lock(3)");
            drop(raw);
            assert_eq!(
                next.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"),
                "0"
            );
            assert_eq!(next.value("SHOW application_name"), "next");
            assert_eq!(next.backend(), backend, "after {sql} the server is another");
        }
    }
}

// --- The transaction port. ---

#[test]
fn clients_take_turns_at_one_server_and_a_transaction_keeps_it() {
    let scene = scene(ONE_SERVER);
    let mut one = scene.client(scene.gate.transaction);
    let mut other = scene.client(scene.gate.transaction);
    let backend = one.backend();
    assert_eq!(other.backend(), backend);
    one.begin();
    other.query("SELECT pg_backend_pid()");
    scene.until_waiting(1);
    one.run("SELECT 1");
    assert_eq!(one.failure("SELECT 1/0"), "22012");
    scene.until_waiting(1);
    one.run("ROLLBACK");
    assert_eq!(other.tags(), "TDCZI");
    // A batch without its Sync is a transaction, too.
    let mut batch = Batch::new().extended("SELECT 1", &[], Format::Text).flush();
    one.send(batch.bytes());
    assert_eq!(hear(&mut one, Tag(b'C')).len(), 5);
    other.query("SELECT 2");
    scene.until_waiting(1);
    batch = Batch::new().sync();
    one.send(batch.bytes());
    assert_eq!(one.tags(), "ZI");
    assert_eq!(other.tags(), "TDCZI");
    assert!(!scene.gate.has_logged(PINNED));
}

#[test]
fn both_ports_share_the_servers() {
    let scene = scene(ONE_SERVER);
    let backend = scene.client(scene.gate.transaction).backend();
    let mut session = scene.client(scene.gate.session);
    assert_eq!(session.backend(), backend);
    let mut transaction = scene.client(scene.gate.transaction);
    transaction.query("SELECT 1");
    scene.until_waiting(1);
    session.leave();
    assert_eq!(transaction.tags(), "TDCZI");
}

#[test]
fn session_state_pins_its_client_and_the_log_says_why_once_per_origin() {
    let scene = scene(ONE_SERVER);
    let ways: Vec<(&str, Batch)> = vec![
        ("prepared", Batch::new().query("PREPARE s AS SELECT 1")),
        ("requested", Batch::new().query("SET tidegate.pin = on")),
        ("role", Batch::new().query("SET ROLE app")),
        ("sequence", Batch::new().query("SELECT 1; SELECT lastval()")),
        ("set", Batch::new().query("SELECT set_config('work_' || 'mem', '8MB', false)")),
        ("temp_table", Batch::new().query("CREATE TEMP TABLE t (a int)")),
        (
            "temp_table",
            Batch::new().extended("CREATE TEMP TABLE t (a int)", &[], Format::Text).sync(),
        ),
        // What no text shows: after a DO everything is asked that its words hint at.
        ("temp_table", Batch::new().query("DO $$ BEGIN EXECUTE 'CREATE TEMP TABLE t ()'; END $$")),
        ("advisory_lock", Batch::new().query("SELECT pg_advisory_lock(1)")),
        // Its name depends on the encoding, so nobody else listens in its stead.
        ("listen", Batch::new().query("LISTEN ü")),
        ("cursor", Batch::new().query("DECLARE c CURSOR WITH HOLD FOR SELECT 1")),
        ("load", Batch::new().query("LOAD '$libdir/plugins/nothing'")),
    ];
    let mut waiting = scene.client(scene.gate.transaction);
    for (reason, batch) in &ways {
        let mut pinned = scene.client(scene.gate.transaction);
        pinned.send(batch.bytes());
        pinned.until_ready();
        waiting.query("SELECT 1");
        scene.until_waiting(1);
        wait::until(&format!("{batch:?} pins"), || {
            let lines = pins(&scene);
            lines.iter().any(|line| line["fields"]["reason"] == *reason).then_some(())
        });
        pinned.run("SELECT 1"); // Goes on with the same server.
        scene.until_metric("tidegate_pinned", &[], 1.0);
        pinned.leave();
        assert_eq!(waiting.tags(), "TDCZI", "{reason}");
    }
    // Each reason of this application once; another application is another origin.
    let mut pinned =
        scene.client_with(scene.gate.transaction, &[("application_name", "somebody else")]);
    pinned.run("SET tidegate.pin = on");
    let lines = wait::until("the other application's pin is logged", || {
        let lines = pins(&scene);
        let is_its = |line: &serde_json::Value| line["fields"]["application"] == "somebody else";
        lines.iter().any(is_its).then_some(lines)
    });
    let mut reasons: Vec<_> = lines.iter().map(|line| line["fields"]["reason"].as_str()).collect();
    reasons.sort_unstable();
    let expected = [
        "advisory_lock",
        "cursor",
        "listen",
        "load",
        "prepared",
        "requested",
        "requested",
        "role",
        "sequence",
        "set",
        "temp_table",
    ];
    assert_eq!(reasons, expected.map(Some));
    scene.until_metric("tidegate_pins_total", &[], 13.0);
}

#[test]
fn a_pin_ends_when_its_cause_is_gone() {
    let scene = scene(ONE_SERVER);
    let mut pinned = scene.client(scene.gate.transaction);
    let mut other = scene.client(scene.gate.transaction);
    for (pins, releases) in [
        ("SELECT pg_advisory_lock(1)", "SELECT pg_advisory_unlock(1)"),
        ("CREATE TEMP TABLE t (a int)", "DROP TABLE t"),
        ("PREPARE s AS SELECT 1", "DEALLOCATE s"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "CLOSE c"),
        ("SET ROLE app", "RESET ROLE"),
        ("LISTEN ü", "UNLISTEN ü"),
        ("SET tidegate.pin = on", "SET tidegate.pin = off"),
        ("SELECT lastval()", "DISCARD ALL"),
        ("SELECT set_config('work_' || 'mem', '8MB', false)", "RESET ALL"),
    ] {
        pinned.query(pins);
        pinned.until_ready();
        other.query("SELECT 1");
        scene.until_waiting(1);
        scene.until_metric("tidegate_pinned", &[], 1.0);
        pinned.run(releases);
        assert_eq!(other.tags(), "TDCZI", "after {releases}");
        scene.until_metric("tidegate_pinned", &[], 0.0);
    }
    // What ends by itself never pins.
    for sql in [
        "BEGIN; CREATE TEMP TABLE t (a int) ON COMMIT DROP; COMMIT",
        "BEGIN; CREATE TEMP TABLE t (a int); ROLLBACK",
        "SELECT pg_advisory_lock(1); SELECT pg_advisory_unlock(1)",
    ] {
        pinned.run(sql);
        assert_eq!(other.value("SELECT 1"), "1", "after {sql}");
        assert_eq!(scene.gate.metric("tidegate_pinned", &[]), 0.0, "after {sql}");
    }
}

#[test]
fn a_pin_too_many_is_told_before_anything_else_runs() {
    let scene = scene("plan = \"free\"\n[pool]\npool_size = 3\nmax_overflow = 0\npins_max = 1\n");
    let mut pinned = scene.client(scene.gate.transaction);
    pinned.run("CREATE TEMP TABLE t (a int)");
    scene.until_metric("tidegate_pinned", &[], 1.0);
    let mut other = scene.client(scene.gate.transaction);
    other.run("CREATE TEMP TABLE t (a int)");
    scene.until_metric("tidegate_pins_refused_total", &[], 1.0);
    other.query("INSERT INTO t VALUES (1)");
    let frames = other.until_ready();
    assert_eq!(frames[0].sqlstate(), "53300");
    assert!(frames[0].field(b'D').contains("(temp_table)"), "{}", frames[0].field(b'D'));
    assert!(frames[0].field(b'H').contains("ON COMMIT DROP"), "{}", frames[0].field(b'H'));
    assert!(frames[0].field(b'H').ends_with("(TG023)"), "{}", frames[0].field(b'H'));
    // It can go on, and nothing of it is left.
    assert_eq!(other.failure("SELECT * FROM pg_temp.t"), "42P01");
    pinned.run("INSERT INTO t VALUES (1)");
    pinned.run("DROP TABLE t");
    scene.until_metric("tidegate_pinned", &[], 0.0);
    other.run("CREATE TEMP TABLE t (a int)");
    assert_eq!(other.value("SELECT count(*) FROM t"), "0");
}

/// Whoever vanishes within a message has not sent it: what the gate says then must not become its
/// rest. Two bytes are missing here, and a goodbye begins with a letter and a zero.
#[test]
fn a_message_that_was_cut_is_never_made_whole() {
    let scene = scene(ONE_SERVER);
    let sql = |sql: &str| scene.cluster.sql_in(APP, sql).expect("it is run");
    sql("CREATE TABLE t (a int); GRANT ALL ON t TO app");
    let mut client = scene.client(scene.gate.session);
    client.begin();
    client.run("SELECT 1");
    let batch = Batch::new().query("INSERT INTO t VALUES (1); COMMIT --.");
    let (front, _) = batch.bytes().split_at(batch.bytes().len() - 2);
    let sent = || scene.gate.metric("tidegate_network_bytes_total", &["server", "tx"]);
    let before = sent();
    client.send(front);
    wait::until("it is passed on", || (sent() >= before + front.len() as f64).then_some(()));
    drop(client);
    let mut other = scene.client(scene.gate.transaction);
    assert_eq!(other.value("SELECT count(*) FROM t"), "0");
}

/// Who asks for a pin does so for what nobody else sees; it is removed when the pin ends.
#[test]
fn what_functions_leave_under_a_pin_is_removed_with_it() {
    let scene = scene(ONE_SERVER);
    let mut pinned = scene.client(scene.gate.transaction);
    let mut other = scene.client(scene.gate.transaction);
    pinned.run(
        "CREATE FUNCTION make() RETURNS void LANGUAGE plpgsql AS \
         'BEGIN CREATE TEMP TABLE t (a int); END'",
    );
    pinned.run("SET tidegate.pin = on");
    pinned.run("SELECT make()");
    assert_eq!(pinned.value("SELECT count(*) FROM t"), "0");
    pinned.run("SET tidegate.pin = off");
    assert_eq!(other.failure("SELECT * FROM t"), "42P01");
}

/// A setting that PostgreSQL took once, and takes no more.
#[test]
fn a_setting_that_is_refused_later_never_lets_a_statement_run_without_it_unnoticed() {
    let mut scene =
        scene("plan = \"free\"\n[pool]\npool_size = 1\nmax_overflow = 0\nreset = \"always\"\n");
    scene.gate.allow("failed in front of its statement");
    let mut one = scene.client(scene.gate.transaction);
    let mut two = scene.client(scene.gate.transaction);
    one.run("CREATE TEXT SEARCH CONFIGURATION mine (COPY = simple)");
    for raw in [&mut one, &mut two] {
        raw.run("SET default_text_search_config = 'public.mine'");
        assert_eq!(raw.value("SHOW default_text_search_config"), "public.mine");
    }
    scene.client(scene.cluster.port()).run("DROP TEXT SEARCH CONFIGURATION mine");
    // It was accepted before, so the statement was sent with it.
    one.query("SELECT 1");
    let end = one.until_end();
    assert!(end.iter().any(|frame| frame.tag == b'E' && frame.field(b'H').ends_with("(TG025)")));
    assert!(!end.iter().any(|frame| frame.tag == b'D'), "{end:?}");
    // From now on it is waited for.
    two.query("SELECT 1");
    let frames = two.until_ready();
    assert_eq!(frames[0].sqlstate(), "22023");
    assert!(frames[0].field(b'H').ends_with("(TG024)"), "{}", frames[0].field(b'H'));
    assert_eq!(two.value("SELECT 1"), "1");
}

/// A server that waits for its client is a server that nobody else has.
#[test]
fn a_client_that_owes_the_rest_for_too_long_is_closed() {
    let settings = "plan = \"free\"\n[timeouts]\nidle_in_transaction = \"1s\"\n";
    let mut scene = scene(settings);
    scene.gate.allow("closed a client that was idle in a transaction");
    scene.client(scene.cluster.port()).run("CREATE TABLE sink (a text)");
    for port in scene.ports() {
        for (what, batch) in [
            ("a transaction", Batch::new().query("BEGIN; SELECT 1")),
            ("a batch without its Sync", Batch::new().parse("", "SELECT 1").flush()),
            ("a batch that has failed", Batch::new().parse("", "SELEC 1").flush()),
            ("a copy", Batch::new().query("COPY sink FROM STDIN").copy_data(b"one\n")),
        ] {
            let mut raw = scene.client(port);
            raw.send(batch.bytes());
            let end = raw.until_end();
            let last = end.last().expect("it is told");
            assert_eq!((last.tag, last.sqlstate().as_str()), (b'E', "25P03"), "{what}: {end:?}");
        }
    }
    // What has only begun holds nothing.
    let mut raw = scene.client(scene.gate.transaction);
    raw.run("BEGIN");
    scene.until_metric("tidegate_client_connections", &[], 1.0);
    assert_eq!(scene.look("SELECT count(*) FROM sink"), "0");
    raw.run("ROLLBACK");
}

/// As many clients as settings, and one server fewer: each finds its own settings wherever it goes.
#[test]
fn settings_go_with_their_client() {
    let scene = scene("plan = \"free\"\n[pool]\npool_size = 2\nmax_overflow = 0\n");
    let mut clients: Vec<_> = (0..3).map(|_| scene.client(scene.gate.transaction)).collect();
    let ways = [
        "SET search_path = 'a#, public'; SET app.tenant = 'tenant #'; SET TimeZone = 'UTC+#'",
        "SELECT set_config('search_path', 'a#, public', false), \
         set_config('app.tenant', 'tenant #', false), set_config('timezone', 'UTC+#', false)",
        "BEGIN; SET search_path = 'a#, public'; SET app.tenant TO 'no'; SAVEPOINT s; \
         SET app.tenant = 'never'; SET work_mem = '9MB'; ROLLBACK TO s; \
         SET app.tenant = 'tenant #'; SET TIME ZONE 'UTC+#'; SET LOCAL work_mem = '7MB'; COMMIT",
        "DO $$ BEGIN SET search_path = 'a#, public'; SET app.tenant = 'tenant #'; \
         PERFORM set_config('timezone', 'UTC+#', false); END $$",
    ];
    let show = "SELECT current_setting('search_path') || '|' || current_setting('app.tenant') || \
                '|' || current_setting('timezone') || '|' || current_setting('work_mem')";
    for way in ways {
        for (place, client) in clients.iter_mut().enumerate() {
            client.run(&way.replace('#', &place.to_string()));
        }
        for round in 0..4 {
            for (place, client) in clients.iter_mut().enumerate() {
                let expected = format!("a{place}, public|tenant {place}|UTC+{place}|4MB");
                let found = client.value(show).replace('"', "");
                assert_eq!(found, expected, "round {round} of {way}");
            }
        }
        // What was rolled back was not set.
        clients[0].run("BEGIN; SET app.tenant = 'x'; ROLLBACK");
        clients[0].query("SET app.tenant = 'x'; SELECT 1/0");
        clients[0].until_ready();
        assert_eq!(clients[0].value("SHOW app.tenant"), "tenant 0");
        assert_eq!(scene.gate.metric("tidegate_pinned", &[]), 0.0);
    }
    clients[0].run("RESET app.tenant");
    clients[0].run("RESET ALL");
    assert_eq!(clients[0].value("SHOW TimeZone"), "UTC");
    assert_eq!(clients[1].value("SHOW app.tenant"), "tenant 1");
    assert!(!scene.gate.has_logged(PINNED));
}

#[test]
fn a_transaction_that_has_only_begun_holds_no_server() {
    let scene = scene(ONE_SERVER);
    let mut one = scene.client(scene.gate.transaction);
    let mut two = scene.client(scene.gate.transaction);
    one.run("BEGIN");
    two.run("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;");
    assert_eq!(two.value("SHOW transaction_isolation"), "serializable");
    // The only server is taken; the other transaction waits at its first statement.
    one.query("SELECT 1");
    scene.until_waiting(1);
    two.run("COMMIT");
    assert_eq!(one.tags(), "TDCZT");
    one.run("ROLLBACK");
    one.run("BEGIN");
    one.run("ROLLBACK");
    assert_eq!(two.value("SELECT 1"), "1");
}

fn pins(scene: &Scene) -> Vec<serde_json::Value> {
    let mut lines = scene.gate.log();
    lines.retain(|line| line.to_string().contains(PINNED));
    lines
}

#[test]
fn what_ends_with_its_transaction_does_not_pin() {
    let scene = scene(ONE_SERVER);
    let mut other = scene.client(scene.gate.transaction);
    let mut raw = scene.client(scene.gate.transaction);
    for sql in [
        "SELECT pg_advisory_xact_lock(1)",
        "BEGIN; SET LOCAL work_mem = '8MB'; SET TRANSACTION READ ONLY; COMMIT",
        "BEGIN; SET LOCAL TimeZone = 'CET'; COMMIT",
        "BEGIN; DECLARE c CURSOR FOR SELECT 1; FETCH ALL FROM c; COMMIT",
        "NOTIFY x",
    ] {
        raw.run(sql);
        assert_eq!(other.value("SELECT 1"), "1", "after {sql}");
    }
    assert!(!scene.gate.has_logged(PINNED));
}

#[test]
fn discard_all_ends_a_pin() {
    let scene = scene(ONE_SERVER);
    let mut pinned = scene.client(scene.gate.transaction);
    let mut other = scene.client(scene.gate.transaction);
    for _ in 0..2 {
        pinned.run("SET TimeZone = 'Asia/Tokyo'");
        pinned.run("CREATE TEMP TABLE t (a int)");
        other.query("SHOW TimeZone");
        scene.until_waiting(1);
        pinned.run("DISCARD ALL");
        let frames = other.until_ready();
        assert!(frames.iter().any(|frame| frame.body.ends_with(b"UTC")), "{frames:?}");
        assert_eq!(pinned.value("SHOW TimeZone"), "UTC");
    }
}

#[test]
fn idle_servers_are_checked_whatever_is_reset() {
    for reset in ["always", "auto", "off"] {
        let settings = format!("{ONE_SERVER}pool_pre_ping = \"1s\"\nreset = \"{reset}\"\n");
        let scene = scene(&settings);
        let mut raw = scene.client(scene.gate.transaction);
        let backend = raw.backend();
        // A check is an empty query: the one statement of the backend that has no text.
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {backend}");
        scene.until(&format!("{sql} AND state = 'idle' AND query = ''"), "1");
        assert_eq!(raw.backend(), backend, "reset = {reset}");
    }
}

// --- Startup parameters. ---

#[test]
fn startup_parameters_are_each_clients_own_though_servers_are_shared() {
    let scene = scene(ONE_SERVER);
    scene.cluster.sql_in(APP, "CREATE SCHEMA \"ä b\" AUTHORIZATION app").expect("a schema");
    let clients: &[&[(&str, &str)]] = &[
        &[],
        &[("application_name", "one"), ("TimeZone", "Asia/Tokyo")],
        &[("application_name", "it's \\ two"), ("DateStyle", "German, DMY")],
        &[("client_encoding", "LATIN1"), ("options", "-c work_mem=5MB -c my.own=x")],
        &[("options", "-c search_path=\"ä\\ b\",public --statement-timeout=5s")],
        &[("search_path", "\"ä b\""), ("extra_float_digits", "3"), ("my.own", "é")],
    ];
    let show = "SELECT concat_ws('|', current_setting('application_name'), \
        current_setting('TimeZone'), current_setting('DateStyle'), \
        current_setting('client_encoding'), current_setting('work_mem'), \
        coalesce(current_setting('my.own', true), ''), current_setting('search_path'), \
        current_setting('statement_timeout'), current_setting('extra_float_digits'), \
        array_to_string(current_schemas(false), ','), 'ü')";
    let bytes = |raw: &mut Raw| {
        raw.query(show);
        let frames = raw.until_ready();
        let row = frames.into_iter().find(|frame| frame.tag == b'D').expect("a row");
        row.body[6..].to_vec()
    };
    let expected: Vec<_> = clients
        .iter()
        .map(|parameters| bytes(&mut scene.client_with(scene.cluster.port(), parameters)))
        .collect();
    let backend = scene.client(scene.gate.session).backend();
    let mut transaction: Vec<_> = clients
        .iter()
        .map(|parameters| scene.client_with(scene.gate.transaction, parameters))
        .collect();
    // Each order of two: what the one has set is to be undone or set otherwise for the other.
    for first in 0..clients.len() {
        for second in 0..clients.len() {
            for client in [first, second] {
                let seen = bytes(&mut transaction[client]);
                let (seen, expected) =
                    (String::from_utf8_lossy(&seen), String::from_utf8_lossy(&expected[client]));
                assert_eq!(seen, expected, "{:?} after {first} {second}", clients[client]);
            }
            let mut session = scene.client_with(scene.gate.session, clients[second]);
            assert_eq!(bytes(&mut session), expected[second], "{:?}", clients[second]);
            assert_eq!(session.backend(), backend);
        }
    }
    assert!(!scene.gate.has_logged(PINNED), "startup parameters pin nobody");
}

#[test]
fn reset_returns_to_the_clients_own_startup_parameters() {
    let scene = scene(ONE_SERVER);
    // The server is dialed for somebody else, with other parameters.
    scene.client_with(scene.gate.session, &[("TimeZone", "Asia/Tokyo")]).run("SELECT 1");
    let own = [
        ("TimeZone", "Europe/Berlin"),
        ("application_name", "own"),
        ("options", "-c search_path=mine -c work_mem=5MB"),
    ];
    let show = "SELECT concat_ws(' ', current_setting('TimeZone'), \
        current_setting('application_name'), current_setting('search_path'), \
        current_setting('work_mem'))";
    let resets = [
        "RESET ALL",
        "DISCARD ALL",
        // What asyncpg's pool says when a connection is given back.
        "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;",
        "RESET TimeZone",
    ];
    for port in [scene.cluster.port(), scene.gate.session, scene.gate.transaction] {
        let mut raw = scene.client_with(port, &own);
        for reset in resets {
            raw.run(reset);
            assert_eq!(raw.value(show), "Europe/Berlin own mine 5MB", "after {reset}");
            raw.run("SET TimeZone = 'UTC'");
            raw.run(reset);
            assert_eq!(raw.value(show), "Europe/Berlin own mine 5MB", "after SET, {reset}");
        }
        // Only what was reset returns.
        raw.run("SET work_mem = '6MB'");
        raw.run("RESET TimeZone");
        assert_eq!(raw.value(show), "Europe/Berlin own mine 6MB");
        raw.leave();
    }
}

#[test]
fn a_client_is_told_what_its_parameters_are_after_a_reset() {
    let scene = scene(ONE_SERVER);
    let mut raw = scene.client_with(scene.gate.session, &[("TimeZone", "Asia/Tokyo")]);
    raw.run("SET TimeZone = 'Europe/Berlin'");
    raw.query("RESET ALL");
    let mut frames = raw.until_ready();
    raw.query("SELECT 1");
    frames.extend(raw.until_ready());
    let mut told = frames.iter().filter(|frame| frame.body.starts_with(b"TimeZone\0"));
    let last = told.next_back().expect("it is told");
    assert_eq!((last.tag, &*last.body), (b'S', &b"TimeZone\0Asia/Tokyo\0"[..]));
}

#[test]
fn no_notification_is_lost_while_parameters_are_restored() {
    const NEWS: usize = 500;
    let scene = scene("plan = \"free\"");
    let own = [("application_name", "own"), ("options", "-c search_path=mine -c work_mem=5MB")];
    for port in scene.ports() {
        let mut listener = scene.client_with(port, &own);
        listener.run("LISTEN news");
        let mut sender = scene.client(scene.gate.transaction);
        let sender = std::thread::spawn(move || {
            (0..NEWS).for_each(|number| sender.run(&format!("NOTIFY news, 'number {number}'")));
        });
        let mut heard = Vec::new();
        let mut resets = 0;
        while heard.len() < NEWS {
            listener.query("RESET ALL");
            resets += 1;
            let frames = listener.until_ready();
            heard.extend(frames.into_iter().filter(|frame| frame.tag == b'A'));
        }
        sender.join().expect("all is sent");
        println!("{resets} resets");
        for (number, frame) in heard.iter().enumerate() {
            assert!(frame.body.ends_with(format!("number {number}\0").as_bytes()), "{frame:?}");
        }
        assert_eq!(listener.value("SHOW search_path"), "mine");
    }
}

#[test]
fn no_server_keeps_the_parameters_of_the_client_for_whose_sake_it_was_opened() {
    let scene = scene("plan = \"free\"");
    let named = || scene.client_with(scene.gate.transaction, &[("application_name", "named")]);
    let plain = || scene.client(scene.gate.transaction);
    // As many servers as there are clients in a transaction.
    let hold = |mut raw: Raw| {
        raw.begin();
        raw
    };
    let held: Vec<_> = (0..3).map(|_| hold(named())).collect();
    drop(held);
    let mut held: Vec<_> = (0..3).map(|_| hold(plain())).collect();
    for raw in &mut held {
        assert_eq!(raw.value("SHOW application_name"), "");
    }
}

#[test]
fn a_startup_parameter_that_postgresql_refuses_is_refused_with_its_code() {
    let scene = scene(ONE_SERVER);
    let backend = scene.client(scene.gate.transaction).backend();
    for (name, value) in [
        ("TimeZone", "Nowhere/Nothing"),
        ("nonsense", "1"),
        ("work_mem", "banana"),
        ("shared_buffers", "1MB"),
        ("log_statement", "all"),
        ("client_encoding", "KLINGON"),
        ("options", "-c work_mem=-5"),
    ] {
        let parameters = [("user", APP), ("database", APP), (name, value)];
        let refused = |port| {
            let mut raw = Raw::connect(port);
            let error = raw.try_log_in(&parameters, "").expect_err("it is refused");
            assert_eq!(raw.next(), None, "the connection ends");
            (error.field(b'S'), error.sqlstate(), error.field(b'M'))
        };
        let direct = refused(scene.cluster.port());
        assert_eq!(direct.0, "FATAL");
        for port in scene.ports() {
            assert_eq!(refused(port), direct, "{name}={value}");
        }
    }
    // It has cost nobody a server.
    assert_eq!(scene.client(scene.gate.transaction).backend(), backend);
}

#[test]
fn an_unknown_database_is_refused_as_postgresql_refuses_it() {
    let mut scene = scene("plan = \"free\"");
    scene.gate.allow("can't open a server");
    for port in scene.ports() {
        let mut raw = Raw::connect(port);
        let parameters = [("user", APP), ("database", "nowhere")];
        let error = raw.try_log_in(&parameters, "").expect_err("it is refused");
        assert_eq!((error.field(b'S'), error.sqlstate()), ("FATAL".into(), "3D000".into()));
        assert!(error.field(b'D').contains("database \"nowhere\" does not exist"), "{error:?}");
        assert_eq!(raw.next(), None);
        assert_eq!(scene.client(port).value("SELECT 1"), "1", "others are served");
    }
}

// --- Unix sockets, and a driver. ---

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        tokio::time::timeout(wait::DEADLINE, future).await.expect("within the deadline")
    })
}

async fn connect(config: &tokio_postgres::Config) -> tokio_postgres::Client {
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("a login");
    tokio::spawn(connection);
    client
}

#[test]
fn unix_sockets_serve_on_both_sides() {
    let cluster = scene::cluster(ClusterOptions::default());
    let url = cluster.unix_url(APP, "secret", APP);
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let flags = [
        format!("listen.session=127.0.0.1:0,unix:{}", path(".s.PGSQL.6543")),
        format!("listen.transaction=127.0.0.1:0,unix:{}", path(".s.PGSQL.6544")),
    ];
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let scene = Scene::with(GATE, cluster, &url, "plan = \"free\"", &flags);
    block_on(async {
        for port in [6543, 6544] {
            let mut config = tokio_postgres::Config::new();
            config.host_path(folder.path()).port(port).user(APP).dbname(APP).password("secret");
            let client = connect(&config).await;
            let row = client.query_one("SELECT inet_client_addr() IS NULL", &[]).await;
            assert!(row.expect("a row").get::<_, bool>(0), "the upstream is a Unix socket, too");
            config.password("wrong");
            let error = config.connect(tokio_postgres::NoTls).await.map(|_| ()).expect_err("wrong");
            assert_eq!(error.code().map(|code| code.code()), Some("28P01"));
        }
    });
    let mut raw = Raw::log_in(scene.gate.session, APP, "secret", APP);
    assert_eq!(raw.value("SELECT 1"), "1", "beside the TCP port");
}

#[test]
fn a_driver_works_on_both_ports() {
    let scene = scene(ONE_SERVER);
    items(&scene);
    block_on(async {
        for port in scene.ports() {
            let mut config = tokio_postgres::Config::new();
            config.host("127.0.0.1").port(port).user(APP).dbname(APP);
            let mut client = connect(&config).await;
            let rows = client.query("SELECT id, name FROM items WHERE id > $1 ORDER BY id", &[&1]);
            let rows = rows.await.expect("rows");
            assert_eq!(rows.len(), 2);
            assert_eq!(rows[1].get::<_, &str>(1), "drei ü");
            let error = client.query("SELECT 1/$1::int", &[&0]).await.expect_err("it fails");
            assert_eq!(error.code().map(|code| code.code()), Some("22012"));
            let (a, b, c) = tokio::join!(
                client.query_one("SELECT 1", &[]),
                client.query_one("SELECT 1/0", &[]),
                client.query_one("SELECT 3", &[]),
            );
            assert_eq!(
                (a.expect("one").get::<_, i32>(0), c.expect("three").get::<_, i32>(0)),
                (1, 3)
            );
            assert!(b.is_err());
            let transaction = client.transaction().await.expect("a transaction");
            transaction.execute("INSERT INTO items VALUES (9, 'nine')", &[]).await.expect("one");
            transaction.rollback().await.expect("a rollback");
            let left = client.query_one("SELECT count(*) FROM items", &[]).await.expect("a count");
            assert_eq!(left.get::<_, i64>(0), 3);
            let token = client.cancel_token();
            let sleep = client.execute("SELECT pg_sleep(60)", &[]);
            tokio::pin!(sleep);
            let error = loop {
                tokio::select! {
                    result = &mut sleep => break result.expect_err("it is cancelled"),
                    // Again and again, since one that comes before the statement does nothing.
                    () = tokio::time::sleep(Duration::from_millis(20)) => {
                        let request = token.cancel_query(tokio_postgres::NoTls).await;
                        request.expect("the request is taken");
                    }
                }
            };
            assert_eq!(error.code().map(|code| code.code()), Some("57014"));
        }
    });
}
