//! Prepared statements with names, on servers that clients share: answers are PostgreSQL's, and
//! nobody's statement is anybody else's.

use tidegate_pool_core::retry;
use tidegate_testkit::batch::{Batch, Format};
use tidegate_testkit::raw::{Frame, Raw};
use tidegate_testkit::scene::{ONE_SERVER, Scene};
use tidegate_wire::frontend::Message;

const GATE: &str = env!("CARGO_BIN_EXE_tidegate");

fn scene(settings: &str) -> Scene {
    Scene::start(GATE, settings, &[])
}

const TWO_SERVERS: &str = "plan = \"free\"\n[pool]\npool_size = 2\nmax_overflow = 0\n";

fn bind(statement: &str, value: &str) -> Batch {
    Batch::new().bind(statement, &[Some(value.as_bytes())], Format::Text).execute(0)
}

/// The values of the first column.
fn column(frames: &[Frame]) -> Vec<String> {
    let rows = frames.iter().filter(|frame| frame.tag == b'D');
    rows.map(|row| String::from_utf8_lossy(&row.body[6..]).into_owned()).collect()
}

#[test]
fn a_statement_follows_its_client_to_any_server_and_pins_none() {
    let scene = scene(TWO_SERVERS);
    let mut raw = scene.client(scene.gate.transaction);
    let mut other = scene.client(scene.gate.transaction);
    raw.exchange(&Batch::new().parse("s", "SELECT $1 || pg_backend_pid()").sync(), 1);
    let mut pids = Vec::new();
    for _ in 0..2 {
        pids.push(column(&raw.exchange(&bind("s", "pid ").sync(), 1)).concat());
        // The server that was used last is the first to be taken: `raw` must get the other one.
        other.begin();
    }
    other.run("COMMIT");
    pids.dedup();
    assert_eq!(pids.len(), 2, "two servers have run it: {pids:?}");
    assert_eq!(scene.gate.metric("tidegate_pins_total", &[]), 0.0);
}

#[test]
fn clients_with_different_settings_never_share_what_was_computed_under_them() {
    let scene = scene(ONE_SERVER);
    let sql = "SELECT extract(epoch FROM '2024-01-01 00:00'::timestamptz)::bigint + $1::int";
    let mut seen = Vec::new();
    for zone in ["UTC", "Asia/Tokyo", "America/New_York", "UTC"] {
        let of = |port| {
            let mut raw = scene.client_with(port, &[("TimeZone", zone)]);
            let batch = Batch::new().parse("s", sql).sync();
            raw.exchange(&batch, 1);
            column(&raw.exchange(&bind("s", "0").sync(), 1)).concat()
        };
        let (direct, gated) = (of(scene.cluster.port()), of(scene.gate.transaction));
        assert_eq!(gated, direct, "{zone}");
        seen.push(gated);
    }
    assert_eq!(seen, ["1704067200", "1704034800", "1704085200", "1704067200"]);
    // Applications' names make no difference: the second finds what the first has parsed.
    let parses = || scene.gate.metric("tidegate_prepared_parses_total", &[]);
    let before = parses();
    for name in ["one", "two"] {
        let mut raw = scene.client_with(scene.gate.transaction, &[("application_name", name)]);
        raw.exchange(&Batch::new().parse("s", "SELECT 'shared' || $1").sync(), 1);
        assert_eq!(column(&raw.exchange(&bind("s", "!").sync(), 1)), ["shared!"]);
    }
    scene.until_metric("tidegate_prepared_parses_total", &[], before + 1.0);
}

#[test]
fn search_paths_are_part_of_what_a_statement_means() {
    let scene = scene(ONE_SERVER);
    for schema in ["a", "b"] {
        let sql = format!(
            "CREATE SCHEMA {schema} AUTHORIZATION app; CREATE TABLE {schema}.t AS \
             SELECT '{schema}'::text AS name; ALTER TABLE {schema}.t OWNER TO app"
        );
        scene.cluster.sql_in("app", &sql).expect("a schema");
    }
    for schema in ["a", "b", "a"] {
        let parameters = [("search_path", schema)];
        let mut raw = scene.client_with(scene.gate.transaction, &parameters);
        let batch = Batch::new().parse("s", "SELECT name || $1 FROM t").sync();
        raw.exchange(&batch, 1);
        assert_eq!(column(&raw.exchange(&bind("s", "").sync(), 1)), [schema]);
    }
}

#[test]
fn a_portal_outlives_the_statement_that_was_closed_to_make_room() {
    let scene = scene(&format!("{ONE_SERVER}[prepared]\nstatements_max = 1\n"));
    let mut raw = scene.client(scene.gate.transaction);
    raw.begin();
    let execute = |portal: &[u8], rows_max| {
        Batch::new().message(&Message::Execute { portal, rows_max }).sync()
    };
    let batch = Batch::new()
        .parse("many", "SELECT g FROM generate_series(1, 3) g")
        .bind_portal("p", "many", &[], Format::Text)
        .sync();
    raw.exchange(&batch, 1);
    assert_eq!(column(&raw.exchange(&execute(b"p", 2), 1)), ["1", "2"]);
    let batch = Batch::new().parse("other", "SELECT $1").sync();
    raw.exchange(&batch, 1);
    assert_eq!(column(&raw.exchange(&bind("other", "x").sync(), 1)), ["x"]);
    assert_eq!(column(&raw.exchange(&execute(b"p", 0), 1)), ["3"]);
    let count = raw.value("SELECT count(*) FROM pg_prepared_statements");
    assert_eq!(count, "1", "at most so many as the settings say");
    raw.run("COMMIT");
    assert_eq!(column(&raw.exchange(&bind("other", "y").sync(), 1)), ["y"]);
    assert!(scene.gate.metric("tidegate_prepared_cache_evictions_total", &[]) >= 1.0);
}

#[test]
fn with_statements_max_off_names_are_passed_on_and_pin() {
    let scene = scene(&format!("{ONE_SERVER}[prepared]\nstatements_max = \"off\"\n"));
    let mut raw = scene.client(scene.gate.transaction);
    raw.exchange(&Batch::new().parse("mine", "SELECT $1").sync(), 1);
    assert_eq!(raw.value("SELECT name FROM pg_prepared_statements"), "mine");
    scene.until_metric("tidegate_pins_total", &["reason=\"prepared\""], 1.0);
}

// --- Tables that change past the gate. ---

/// [`TWO_SERVERS`], and a table with one row.
fn scene_with_table() -> Scene {
    let scene = scene(TWO_SERVERS);
    scene.cluster.sql_in("app", "CREATE TABLE t AS SELECT 1 AS a; GRANT ALL ON t TO app").unwrap();
    scene
}

/// Runs it on both servers of [`TWO_SERVERS`]: `other` takes the one that `raw` has used.
fn on_both_servers(raw: &mut Raw, other: &mut Raw, mut run: impl FnMut(&mut Raw)) {
    run(raw);
    other.begin();
    other.run("SELECT 1");
    run(raw);
    other.run("COMMIT");
}

fn code(frames: &[Frame]) -> Option<String> {
    frames.iter().find(|frame| frame.tag == b'E').map(Frame::sqlstate)
}

#[test]
fn whoever_was_told_what_a_result_is_like_never_gets_another() {
    let scene = scene_with_table();
    let mut told = scene.client(scene.gate.transaction);
    let mut other = scene.client(scene.gate.transaction);
    let prepare = |name| Batch::new().parse(name, "TABLE t").describe_statement(name).sync();
    let run = |name: &str| Batch::new().bind(name, &[], Format::Text).execute(0).sync();
    told.exchange(&prepare("s"), 1);
    assert_eq!(code(&told.exchange(&run("s"), 1)), None);

    scene.cluster.sql_in("app", "ALTER TABLE t ADD b int DEFAULT 2").unwrap();
    on_both_servers(&mut told, &mut other, |raw| {
        let frames = raw.exchange(&run("s"), 1);
        assert_eq!(code(&frames).as_deref(), Some("0A000"), "{frames:?}");
    });
    // Prepared again, it is what it is now, wherever it is run.
    told.exchange(&prepare("s2"), 1);
    on_both_servers(&mut told, &mut other, |raw| {
        let frames = raw.exchange(&run("s2"), 1);
        assert_eq!(code(&frames), None, "{frames:?}");
    });
}

#[test]
fn whoever_comes_after_a_change_knows_nothing_of_it() {
    let scene = scene_with_table();
    let mut early = scene.client(scene.gate.transaction);
    let mut other = scene.client(scene.gate.transaction);
    early.exchange(&Batch::new().parse("s", "TABLE t").sync(), 1);
    let run = |name: &str| Batch::new().bind(name, &[], Format::Text).execute(0).sync();
    on_both_servers(&mut early, &mut other, |raw| {
        assert_eq!(code(&raw.exchange(&run("s"), 1)), None);
    });

    scene.cluster.sql_in("app", "ALTER TABLE t ADD b int DEFAULT 2").unwrap();
    let mut late = scene.client(scene.gate.transaction);
    let prepare = Batch::new().parse("s", "TABLE t").describe_statement("s").sync();
    let frames = late.exchange(&prepare, 1);
    assert_eq!(code(&frames), None, "{frames:?}");
    on_both_servers(&mut late, &mut other, |raw| {
        raw.run("BEGIN");
        let frames = raw.exchange(&run("s"), 1);
        assert_eq!(code(&frames), None, "{frames:?}");
        raw.run("COMMIT");
    });
    // The other had never asked what the result is like.
    on_both_servers(&mut early, &mut other, |raw| {
        raw.run("BEGIN");
        let frames = raw.exchange(&run("s"), 1);
        assert_eq!(code(&frames), None, "{frames:?}");
        raw.run("COMMIT");
    });
    assert!(scene.gate.metric("tidegate_prepared_healed_total", &[]) >= 1.0);
}

#[test]
fn who_waits_for_what_a_result_is_like_can_cancel() {
    let scene = scene_with_table();
    let mut told = scene.client(scene.gate.transaction);
    let mut other = scene.client(scene.gate.transaction);
    told.exchange(&Batch::new().parse("s", "TABLE t").describe_statement("s").sync(), 1);
    other.begin(); // It has the server that knows the statement.
    let mut superuser = Raw::log_in(scene.cluster.port(), "postgres", "postgres", "app");
    superuser.run("BEGIN; LOCK TABLE t");
    let batch = Batch::new().bind("s", &[], Format::Text).execute(0).sync();
    told.send(batch.bytes());
    scene.until("SELECT count(*) FROM pg_locks WHERE NOT granted", "1");
    told.cancel(scene.gate.transaction);
    assert_eq!(told.ends_with_error(), "57014");
    superuser.run("COMMIT");
    assert_eq!(column(&told.exchange(&batch, 1)), ["1"]);
}

#[test]
fn a_statement_that_a_function_has_deallocated_is_there_all_the_same() {
    let scene = scene(ONE_SERVER);
    let sql = "CREATE FUNCTION tidy() RETURNS void LANGUAGE plpgsql \
               AS $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$";
    scene.cluster.sql_in("app", sql).unwrap();
    let mut raw = scene.client(scene.gate.transaction);
    raw.exchange(&Batch::new().parse("s", "SELECT $1").sync(), 1);
    assert_eq!(column(&raw.exchange(&bind("s", "before").sync(), 1)), ["before"]);
    raw.run("SELECT tidy()");
    assert_eq!(column(&raw.exchange(&bind("s", "after").sync(), 1)), ["after"]);
    scene.until_metric("tidegate_prepared_healed_total", &[], 1.0);
}

// --- Any batches at all. ---

/// Choices that the seed alone decides.
struct Random(retry::Random);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        (self.0.next() % bound as u64) as usize
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

const NAMES: [&str; 4] = ["a", "b", "a rather long name", "tidegate_1"];

/// Most take one parameter, which any Bind brings. The division can't be done while planning:
/// whether a plan is made for the value depends on how often others have run the statement.
const TEXTS: [&str; 9] = [
    "SELECT $1::text",
    "SELECT $1::text || 'x'",
    "SELECT 1 / (length($1::text) + (random() * 0)::int)",
    "INSERT INTO t VALUES ($1) RETURNING s",
    "SELECT count(*) || $1 FROM t",
    "SELECT $1::text FROM generate_series(1, 20)",
    "SELECT $1::text FROM nowhere",
    "SELEC $1",
    "",
];

const QUERIES: [&str; 22] = [
    "BEGIN",
    "BEGIN",
    "COMMIT",
    "COMMIT",
    "ROLLBACK",
    "SELECT 1",
    "SELECT 1/0",
    "SELECT 1; SELECT count(*) FROM t",
    "DEALLOCATE ALL",
    "DISCARD ALL",
    "SAVEPOINT s",
    "ROLLBACK TO s",
    "SET work_mem = '5MB'",
    "SET LOCAL work_mem = '6MB'",
    "SET work_mem = 'nonsense'",
    "SELECT set_config('work_mem', '7MB', false)",
    "SET IntervalStyle = 'iso_8601'",
    "RESET work_mem",
    "RESET ALL",
    "SHOW work_mem",
    "SELECT interval '1 day 2 hours', current_setting('work_mem')",
    "SET work_mem = '8MB'; SHOW work_mem; SELECT 1/0",
];

/// A few batches that are sent at once, and how many answers they end with.
fn talk(random: &mut Random) -> (Batch, usize) {
    let mut batch = Batch::new();
    let syncs = 1 + random.below(3);
    for _ in 0..syncs {
        if random.below(3) == 0 {
            batch = batch.query(random.one(&QUERIES));
            continue;
        }
        // After a failure the statement without a name is gone here; PostgreSQL keeps an older one.
        let mut has_unnamed = false;
        for _ in 0..1 + random.below(6) {
            let name = random.one(&NAMES);
            let value: &[u8] = random.one(&[&b""[..], b"1", b"value"]);
            batch = match random.below(9) {
                0 | 1 => batch.parse(name, random.one(&TEXTS)),
                2 => batch.close_statement(name),
                3 => batch.describe_statement(name),
                4 => {
                    has_unnamed = true;
                    batch.parse("", random.one(&TEXTS))
                }
                5 if has_unnamed => batch.bind("", &[Some(value)], Format::Text).execute(0),
                5 => batch.execute(0),
                6 => batch.flush(),
                _ => {
                    let batch = batch.bind(name, &[Some(value)], Format::Text);
                    if random.below(2) == 0 {
                        batch.describe().execute(0)
                    } else {
                        batch.execute(3)
                    }
                }
            };
        }
        batch = batch.sync();
    }
    (batch, syncs)
}

fn hear(raw: &mut Raw, batch: &Batch, syncs: usize) -> Vec<String> {
    let frames = raw.exchange(batch, syncs);
    // Where in PostgreSQL's source an error was raised differs with the way to it.
    let shown = frames.iter().map(|frame| match frame.tag {
        b'E' | b'N' => {
            let field = |code| frame.field(code);
            format!("{} {} {} {}", field(b'S'), field(b'C'), field(b'M'), field(b'P'))
        }
        tag => format!("{} {}", char::from(tag), frame.body.escape_ascii()),
    });
    shown.collect()
}

/// What a batch says, for whoever has to find out what went wrong.
fn said(batch: &Batch) -> String {
    let mut rest = batch.bytes();
    let mut words = String::new();
    while let [tag, a, b, c, d, ..] = *rest {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let body = rest[5..=length].escape_ascii();
        words.push_str(&format!("{} {body}; ", char::from(tag)));
        rest = &rest[length + 1..];
    }
    words
}

/// Each client is played beside a direct connection that says the same; what both hear must be the
/// same. A failure names its seed; `TIDEGATE_SEED=…` plays it again.
fn play(seed: u64, settings: &str) {
    let mut random = Random(retry::Random::new(seed));
    let scene = scene(settings);
    scene.cluster.sql_in("app", "CREATE TABLE t (s text); ALTER TABLE t OWNER TO app").expect("t");
    let mut cleaner = scene.client(scene.cluster.port());
    let mut pairs: Vec<_> = (0..3)
        .map(|_| (scene.client(scene.cluster.port()), scene.client(scene.gate.transaction)))
        .collect();
    let mut history = [const { Vec::new() }; 3];
    for nth in 0..150 {
        let at = random.below(pairs.len());
        let (direct, gated) = &mut pairs[at];
        // No transaction stays open: with it one client would hold the servers for all.
        let (batch, syncs) = talk(&mut random);
        let batch = batch.query("ROLLBACK");
        // Shown only when it fails, also by a silence.
        println!("TIDEGATE_SEED={seed}, talk {nth}, client {at}: {}", said(&batch));
        history[at].push(said(&batch));
        let expected = hear(direct, &batch, syncs + 1);
        cleaner.run("TRUNCATE t");
        let heard = hear(gated, &batch, syncs + 1);
        assert_eq!(
            heard,
            expected,
            "TIDEGATE_SEED={seed}, talk {nth}, client {at}, who has said so far:\n{}",
            history[at].join("\n")
        );
        cleaner.run("TRUNCATE t");
    }
    assert_eq!(scene.gate.metric("tidegate_pins_total", &[]), 0.0);
}

#[test]
fn whatever_is_sent_postgresql_and_the_gate_say_the_same() {
    let given = std::env::var("TIDEGATE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = given.map_or_else(|| (1..=4).collect(), |seed| vec![seed]);
    for seed in seeds {
        play(seed, TWO_SERVERS);
        play(seed, &format!("{ONE_SERVER}[prepared]\nstatements_max = 2\n"));
    }
}
