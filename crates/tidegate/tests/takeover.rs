//! Take-over: another process goes on with the ports, the clients, and the slots of this one.

use std::process::{Command, Stdio};

use tidegate_testkit::batch::{Batch, Format};
use tidegate_testkit::certificates::{Authority, Folder, listen_flags};
use tidegate_testkit::gate::Gate;
use tidegate_testkit::libpq;
use tidegate_testkit::line::{Break, Lines};
use tidegate_testkit::outcome;
use tidegate_testkit::raw::{Frame, Raw};
use tidegate_testkit::scene::{APP, Scene};
use tidegate_testkit::wait;

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");

/// A gate that can be taken over from, in front of a PostgreSQL whose role allows no connection more
/// than the gate may have: whoever opened one too many would be refused.
struct Stage {
    scene: Scene,
    folder: tempfile::TempDir,
}

impl Stage {
    fn start(connections: u32, settings: &str) -> Self {
        Self::with(connections, settings, &[])
    }

    fn with(connections: u32, settings: &str, more: &[String]) -> Self {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let control = format!("listen.control={}/control", folder.path().display());
        let settings = format!("{settings}\n[pool]\npool_size = {connections}\nmax_overflow = 0\n");
        let limit = format!("upstream.connections={connections}");
        let flags = [control, limit];
        let flags: Vec<_> = flags.iter().chain(more).map(String::as_str).collect();
        let scene = Scene::start(BINARY, &settings, &flags);
        let sql = format!("ALTER ROLE {APP} CONNECTION LIMIT {connections}");
        scene.cluster.sql(&sql).expect("a limit");
        Self { scene, folder }
    }

    /// Starts a new process that is refused, and gives its words.
    fn is_refused(&self) -> String {
        let settings = self.scene.gate.settings_file();
        let settings = settings.to_str().expect("the path is text");
        let control = format!("listen.control={}/control", self.folder.path().display());
        let arguments = ["run", "--takeover", "--config", settings, "--set", &control];
        outcome::run(BINARY, self.folder.path(), &[], &arguments).failed(3)
    }

    /// Starts the new process, and waits until it serves.
    fn take_over(&self) -> Gate {
        let new = self.scene.gate.successor(BINARY);
        assert_eq!(new.transaction, self.scene.gate.transaction, "it has the same ports");
        self.scene.gate.until_logged("the other process serves");
        new
    }
}

/// No server was refused because there were too many, and none was lost.
fn kept_to_the_budget(gates: &[&Gate]) {
    for gate in gates {
        assert!(!gate.has_logged("53300"), "{:#?}", gate.log());
    }
}

fn error_in(frames: &[Frame]) -> String {
    let error = frames.iter().find(|frame| frame.tag == b'E');
    error.map(Frame::sqlstate).unwrap_or_default()
}

#[test]
fn clients_at_rest_go_over_with_their_settings_statements_and_transactions() {
    let mut stage = Stage::start(4, "");
    let [session, transaction] = stage.scene.ports();
    let mut plain = stage.scene.client_with(transaction, &[("application_name", "plain")]);
    plain.run("SET timezone = 'Asia/Tokyo'");
    let batch = Batch::new().parse("mine", "SELECT $1::text || current_setting('timezone')").sync();
    plain.exchange(&batch, 1);
    let mut begun = stage.scene.client(transaction);
    begun.run("BEGIN ISOLATION LEVEL REPEATABLE READ"); // Nothing of it has reached PostgreSQL.
    let mut fresh = stage.scene.client(session); // It has no server before it says something.
    let mut busy = stage.scene.client(transaction);
    busy.begin();
    let mut kept = stage.scene.client(session);
    kept.run("CREATE TEMPORARY TABLE mine AS SELECT 'mine' AS a");

    let new = stage.take_over();
    // Each goes on as if nothing had happened; those at rest have gone over.
    let with = Batch::new().bind("mine", &[Some(b"in ")], Format::Text).execute(0).sync();
    let frames = plain.exchange(&with, 1);
    let row = frames.iter().find(|frame| frame.tag == b'D').expect("a row");
    assert!(String::from_utf8_lossy(&row.body).contains("in Asia/Tokyo"), "{frames:?}");
    assert_eq!(plain.value("SHOW application_name"), "plain");
    assert_eq!(begun.value("SHOW transaction_isolation"), "repeatable read");
    begun.run("COMMIT");
    assert_eq!(fresh.value("SELECT 'fresh'"), "fresh");
    wait::until("clients go over", || {
        (new.metric("tidegate_client_connections", &[]) == 3.0).then_some(())
    });
    // One in a transaction follows when that has ended.
    assert_eq!(busy.value("SELECT 'still here'"), "still here");
    busy.run("COMMIT");
    assert_eq!(busy.value("SELECT 'over there'"), "over there");
    wait::until("it goes over", || {
        (new.metric("tidegate_client_connections", &[]) == 4.0).then_some(())
    });
    // One that keeps its server stays, and the old process with it.
    assert_eq!(kept.value("SELECT a FROM mine"), "mine");
    kept.leave();
    assert_eq!(stage.scene.gate.wait(), Some(0), "nobody is left");
    new.until_logged("the take-over is complete");
    kept_to_the_budget(&[&stage.scene.gate, &new]);
    // It has all slots now, but for that of the census.
    fresh.leave();
    let mut all: Vec<_> = (0..3).map(|_| stage.scene.client(transaction)).collect();
    all.iter_mut().for_each(Raw::begin);
    all.into_iter().for_each(Raw::leave);
    for client in [plain, begun, busy] {
        client.leave();
    }
}

/// The keys of a TLS connection can't be handed over; a Unix socket can.
#[test]
fn a_client_of_a_unix_socket_goes_over_and_one_with_tls_stays() {
    let folder = Folder::default();
    let issued = Authority::new("ours").issue(&["localhost"]);
    let mut more = listen_flags(&folder, "allow", &issued);
    let sockets = tempfile::TempDir::new().expect("a temporary folder");
    let socket = sockets.path().join(".s.PGSQL.6432");
    more.push(format!("listen.transaction=127.0.0.1:0,unix:{}", socket.display()));
    let mut stage = Stage::with(4, "", &more);
    let port = stage.scene.gate.transaction;
    let mut secured = libpq::Connection::open(&format!(
        "host=localhost hostaddr=127.0.0.1 port={port} user={APP} dbname={APP} sslmode=require"
    ));
    let local = format!("host={} port=6432 user={APP} dbname={APP}", sockets.path().display());
    let mut plain = libpq::Connection::open(&local);
    let mut new = stage.take_over();
    wait::until("one goes over", || {
        (new.metric("tidegate_client_connections", &[]) == 1.0).then_some(())
    });
    assert_eq!(plain.ask("SELECT 'over there'"), "over there");
    assert_eq!(secured.ask("SELECT 'still here'"), "still here");
    assert_eq!(new.metric("tidegate_client_connections", &[]), 1.0);
    // The old process leaves the file of the socket to the new one.
    drop(secured);
    assert_eq!(stage.scene.gate.wait(), Some(0));
    assert_eq!(libpq::Connection::open(&local).ask("SELECT 'later'"), "later");
    drop(plain);
    new.signal("TERM");
    assert_eq!(new.wait(), Some(0));
    assert!(!socket.exists(), "whoever ends last removes it");
}

#[test]
fn a_cancel_finds_its_client_in_either_process() {
    let mut stage = Stage::start(4, "");
    let [session, transaction] = stage.scene.ports();
    let mut goes = stage.scene.client(transaction);
    let mut stays = stage.scene.client(session);
    stays.query("SELECT pg_sleep(61)");
    stage.scene.until_running(1, "pg_sleep(61)");
    let new = stage.take_over();
    goes.query("SELECT pg_sleep(62)");
    stage.scene.until_running(1, "pg_sleep(62)");
    // Both requests arrive at the new process.
    goes.cancel(transaction);
    assert_eq!(error_in(&goes.until_ready()), "57014");
    stays.cancel(session);
    assert_eq!(error_in(&stays.until_ready()), "57014");
    let forwarded = ["outcome=\"forwarded\""];
    assert_eq!(new.metric("tidegate_cancel_requests_total", &forwarded), 2.0);
    assert_eq!(goes.value("SELECT 1"), "1");
    assert_eq!(stays.value("SELECT 1"), "1");
    // A wrong secret finds nobody, and is not held longer than the asking takes.
    tidegate_testkit::scene::cancel(transaction, goes.pid, b"none");
    goes.leave();
    stays.leave();
    assert_eq!(stage.scene.gate.wait(), Some(0));
    new.until_logged("the take-over is complete");
}

#[test]
fn a_new_process_that_dies_leaves_the_old_one_serving() {
    let mut stage = Stage::start(4, "");
    stage.scene.gate.allow("the process that was taking over has gone");
    let [session, transaction] = stage.scene.ports();
    let mut kept = stage.scene.client(session);
    kept.run("SELECT 1");
    let mut new = stage.take_over();
    let mut over_there = stage.scene.client(transaction);
    assert_eq!(over_there.value("SELECT 1"), "1");
    new.signal("KILL");
    assert_eq!(new.wait(), None);
    assert!(over_there.next().is_none(), "what went over has gone");
    stage.scene.gate.until_logged("this one goes on");
    assert_eq!(kept.value("SELECT 'kept'"), "kept");
    let mut again = stage.scene.client(transaction);
    assert_eq!(again.value("SELECT 'again'"), "again");
    again.leave();
    assert_eq!(stage.scene.gate.get("/readyz").0, 200);
    stage.scene.until_metric("tidegate_client_connections", &[], 1.0);
    stage.scene.until_metric("tidegate_budget_connections", &[], 4.0); // All are gone that it had.
    // Nothing is left behind that would keep another one from it.
    let new = stage.take_over();
    kept.leave();
    assert_eq!(stage.scene.gate.wait(), Some(0));
    new.until_logged("the take-over is complete");
    assert_eq!(new.get("/readyz").0, 200);
}

/// The messages of the old process up to the moment from which on it gives clients: five listening
/// sockets, that those were all, and how many slots it holds.
const BEFORE_CLIENTS: usize = 7;

#[test]
fn a_line_may_break_after_any_message_of_the_new_process() {
    the_old_process_goes_on_after((1..=4).map(Break::New));
}

#[test]
fn a_line_may_break_after_any_message_of_the_old_process() {
    the_old_process_goes_on_after((1..=BEFORE_CLIENTS + 3).map(Break::Old));
}

#[test]
fn a_line_may_break_within_any_message_of_the_old_process() {
    the_old_process_goes_on_after((0..=BEFORE_CLIENTS + 3).map(Break::WithinOld));
}

/// Wherever the line breaks while both processes live, the old one goes on, and the new one ends. Nobody
/// is lost but who had gone over, and there are never more servers than the budget has.
fn the_old_process_goes_on_after(breaks: impl Iterator<Item = Break>) {
    let mut stage = Stage::start(5, "");
    for words in ["the process that was taking over has gone", "a take-over did not begin"] {
        stage.scene.gate.allow(words);
    }
    let lines = Lines::before(&stage.folder.path().join("control.takeover"));
    let [session, transaction] = stage.scene.ports();
    let mut kept = stage.scene.client(session);
    kept.run("SELECT 1");
    let mut resting: Vec<_> = (0..6).map(|_| stage.scene.client(transaction)).collect();
    // The last leaves nothing behind that would keep another one from it.
    for until in breaks.chain([Break::Old(1)]) {
        let mut busy = stage.scene.client(transaction);
        busy.begin();
        // What the last one may have left is counted first.
        let (outcome, arrived) = wait::until("another process may take over", || {
            let carried = lines.carry(until);
            let outcome = stage.scene.gate.vain_successor(BINARY);
            let arrived = carried.end();
            (!outcome.err.contains("wait some seconds")).then_some((outcome, arrived))
        });
        assert_eq!(outcome.code, Some(3), "{until:?}: {}", outcome.err);
        for words in ["panicked", "53300"] {
            assert!(!outcome.err.contains(words), "{until:?}: {}", outcome.err);
        }
        // Those in a transaction, and with a server of their own, notice nothing.
        assert_eq!(busy.value("SELECT 'busy'"), "busy", "{until:?}");
        busy.run("COMMIT");
        busy.leave();
        assert_eq!(kept.value("SELECT 'kept'"), "kept", "{until:?}");
        // Of those at rest at most as many have gone as were given: with the new process.
        let before = resting.len();
        resting.retain_mut(|raw| {
            raw.query("SELECT 'resting'");
            let Some(first) = raw.next() else { return false };
            if first.tag == b'E' {
                assert_eq!(first.sqlstate(), "57P01", "{until:?}");
                return false;
            }
            raw.until_ready();
            true
        });
        let whole = arrived - usize::from(matches!(until, Break::WithinOld(_)));
        let given = match until {
            Break::New(1..=3) => 0, // It can't have said that it has any.
            Break::New(_) => before,
            Break::Old(_) | Break::WithinOld(_) => whole.saturating_sub(BEFORE_CLIENTS),
        };
        assert!(before - resting.len() <= given, "{until:?}: {} of {before}", resting.len());
        resting.resize_with(before, || stage.scene.client(transaction));
    }
    drop(lines);
    let new = stage.take_over();
    kept.leave();
    assert_eq!(stage.scene.gate.wait(), Some(0));
    new.until_logged("the take-over is complete");
    for raw in &mut resting {
        assert_eq!(raw.value("SELECT 'over there'"), "over there");
    }
    kept_to_the_budget(&[&stage.scene.gate, &new]);
}

#[test]
fn what_a_dead_process_has_left_in_backends_counts_until_it_is_gone() {
    the_dead_process_counts(&[]);
}

#[test]
fn what_a_dead_process_has_left_counts_for_a_while_where_there_is_no_census() {
    the_dead_process_counts(&["upstream.census=off".to_owned()]);
}

/// What the statements of a process that has died keep busy is not free. The role allows no connection
/// more than the budget: one too many would be refused, and logged.
fn the_dead_process_counts(flags: &[String]) {
    let mut stage = Stage::with(4, "", flags);
    stage.scene.gate.allow("the process that was taking over has gone");
    let [session, transaction] = stage.scene.ports();
    let mut kept = stage.scene.client(session);
    kept.run("SELECT 1");
    let mut new = stage.take_over();
    let mut over_there: Vec<_> = (0..2).map(|_| stage.scene.client(transaction)).collect();
    for raw in &mut over_there {
        raw.query("SELECT pg_sleep(4)");
    }
    stage.scene.until_running(2, "pg_sleep(4)");
    new.signal("KILL");
    assert_eq!(new.wait(), None);
    stage.scene.gate.until_logged("this one goes on");
    // All who come now want a server at once, and get those that are left, one after another.
    let mut clients: Vec<_> = (0..8).map(|_| stage.scene.client(transaction)).collect();
    for raw in &mut clients {
        raw.query("SELECT pg_sleep(0.05)");
    }
    for raw in &mut clients {
        assert_eq!(error_in(&raw.until_ready()), "");
    }
    assert!(!stage.scene.gate.has_logged("53300"), "{:#?}", stage.scene.gate.log());
    stage.scene.until_running(0, "pg_sleep(4)");
    stage.scene.until_metric("tidegate_budget_connections", &[], 4.0);
    let mut all: Vec<_> = (0..2).map(|_| stage.scene.client(transaction)).collect();
    all.iter_mut().for_each(Raw::begin);
    kept_to_the_budget(&[&stage.scene.gate]);
}

#[test]
fn who_does_not_go_over_is_told_after_a_while() {
    let mut stage = Stage::start(3, "[timeouts]\ndrain = \"1s\"");
    let [session, transaction] = stage.scene.ports();
    let mut kept = stage.scene.client(session);
    kept.run("SELECT 1");
    let mut listens = stage.scene.client(transaction);
    listens.run("LISTEN news");
    let new = stage.take_over();
    for mut raw in [kept, listens] {
        assert_eq!(error_in(&raw.until_end()), "57P01");
    }
    assert_eq!(stage.scene.gate.wait(), Some(0));
    new.until_logged("the take-over is complete");
    assert_eq!(stage.scene.client(session).value("SELECT 1"), "1");
}

/// Where the new process does not listen, nobody does; where that dies, the old one does again.
#[test]
fn an_address_that_the_new_process_has_dropped_is_closed_and_had_again_after_its_death() {
    let sockets = tempfile::TempDir::new().expect("a temporary folder");
    let socket = sockets.path().join(".s.PGSQL.6432");
    let taken = || std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr();
    let (port, http) = (taken().expect("an address"), taken().expect("an address"));
    let both = [
        format!("listen.transaction=127.0.0.1:0,{port},unix:{}", socket.display()),
        format!("listen.http=127.0.0.1:0,{http}"),
    ];
    let mut stage = Stage::with(4, "", &both);
    stage.scene.gate.allow("the process that was taking over has gone");
    let mut kept = stage.scene.client(stage.scene.gate.session);
    kept.run("SELECT 1");
    let local = format!("host={} port=6432 user={APP} dbname={APP}", sockets.path().display());
    assert_eq!(stage.scene.client(port.port()).value("SELECT 1"), "1");
    assert_eq!(libpq::Connection::open(&local).ask("SELECT 1"), "1");
    let mut new = stage
        .scene
        .gate
        .successor_with(BINARY, &["listen.transaction=127.0.0.1:0", "listen.http=127.0.0.1:0"]);
    for address in [port, http] {
        wait::until("it is closed", || {
            std::net::TcpStream::connect(address).is_err().then_some(())
        });
    }
    wait::until("its file is gone", || (!socket.exists()).then_some(()));
    assert_eq!(stage.scene.client(stage.scene.gate.transaction).value("SELECT 1"), "1");
    new.signal("KILL");
    assert_eq!(new.wait(), None);
    stage.scene.gate.until_logged("this one goes on");
    wait::until("it is open again", || std::net::TcpStream::connect(http).ok());
    assert_eq!(stage.scene.client(port.port()).value("SELECT 1"), "1");
    wait::until("its file is there", || socket.exists().then_some(()));
    assert_eq!(libpq::Connection::open(&local).ask("SELECT 1"), "1");
    kept.leave();
    stage.scene.gate.signal("TERM");
    assert_eq!(stage.scene.gate.wait(), Some(0));
    assert!(!socket.exists());
}

/// One slot each: the census of the new process does without until the old one has ended.
#[test]
fn two_processes_work_with_two_slots() {
    let mut stage = Stage::start(2, "");
    let [session, transaction] = stage.scene.ports();
    let mut kept = stage.scene.client(session);
    kept.run("SELECT 1");
    let new = stage.take_over();
    let mut over_there = stage.scene.client(transaction);
    for number in 0..3 {
        assert_eq!(over_there.value(&format!("SELECT {number}")), number.to_string());
        assert_eq!(kept.value("SELECT 'kept'"), "kept");
    }
    assert_eq!(new.metric("tidegate_budget_connections", &[]), 1.0);
    kept.leave();
    assert_eq!(stage.scene.gate.wait(), Some(0));
    new.until_logged("the take-over is complete");
    wait::until("it has both slots, one for the census", || {
        (new.metric("tidegate_budget_used_connections", &[]) == 2.0).then_some(())
    });
    assert_eq!(over_there.value("SELECT 'as before'"), "as before");
    kept_to_the_budget(&[&stage.scene.gate, &new]);
}

/// Of three clients that stay two keep their servers: the third is served all the same.
#[test]
fn who_shares_an_old_process_with_clients_that_keep_their_servers_is_served() {
    let folder = Folder::default();
    let issued = Authority::new("ours").issue(&["localhost"]);
    let mut stage = Stage::with(5, "", &listen_flags(&folder, "allow", &issued));
    let [session, transaction] = stage.scene.ports();
    let mut kept: Vec<_> = (0..2).map(|_| stage.scene.client(session)).collect();
    kept.iter_mut().for_each(|raw| raw.run("SELECT 1"));
    let mut secured = libpq::Connection::open(&format!(
        "host=localhost hostaddr=127.0.0.1 port={transaction} user={APP} dbname={APP} sslmode=require"
    ));
    let mut others: Vec<_> = (0..9).map(|_| stage.scene.client(transaction)).collect();
    let new = stage.take_over();
    wait::until("the others go over", || {
        (new.metric("tidegate_client_connections", &[]) == 9.0).then_some(())
    });
    for raw in &mut others {
        assert_eq!(raw.value("SELECT 'over there'"), "over there");
    }
    assert_eq!(secured.ask("SELECT 'still here'"), "still here");
    drop(secured);
    kept.into_iter().for_each(Raw::leave);
    assert_eq!(stage.scene.gate.wait(), Some(0));
    kept_to_the_budget(&[&stage.scene.gate, &new]);
}

#[test]
fn a_transaction_that_outlasts_the_drain_ends_and_its_client_goes_over() {
    let mut stage = Stage::start(4, "[timeouts]\ndrain = \"2s\"");
    let [session, transaction] = stage.scene.ports();
    let mut kept = stage.scene.client(session);
    kept.run("SELECT 1");
    let mut busy = stage.scene.client(transaction);
    busy.begin();
    let new = stage.take_over();
    // From when on others are sent away it may take as long once more.
    let frames = kept.until_end();
    let error = frames.iter().find(|frame| frame.tag == b'E').expect("its last words");
    assert_eq!(error.sqlstate(), "57P01");
    assert!(error.field(b'M').contains("another process of Tidegate has taken over"), "{error:?}");
    assert!(error.field(b'H').contains("TG034"), "{error:?}");
    assert_eq!(busy.value("SELECT 'still here'"), "still here");
    // What another one begins there now is served as well.
    assert_eq!(new.metric("tidegate_client_connections", &[]), 0.0);
    busy.run("COMMIT");
    assert_eq!(busy.value("SELECT 'over there'"), "over there");
    assert_eq!(new.metric("tidegate_client_connections", &[]), 1.0);
    assert_eq!(stage.scene.gate.wait(), Some(0), "nobody is left");
    new.until_logged("the take-over is complete");
    assert_eq!(busy.value("SELECT 'as before'"), "as before");
}

#[test]
fn a_transaction_that_outlasts_twice_the_drain_is_ended() {
    let mut stage = Stage::start(3, "[timeouts]\ndrain = \"1s\"");
    let transaction = stage.scene.gate.transaction;
    let mut busy = stage.scene.client(transaction);
    busy.begin();
    let mut new = stage.take_over();
    new.allow("slots stay taken");
    assert_eq!(error_in(&busy.until_end()), "57P01");
    assert_eq!(stage.scene.gate.wait(), Some(0));
    let mut other = stage.scene.client(transaction);
    assert_eq!(other.value("SELECT 1"), "1");
    kept_to_the_budget(&[&stage.scene.gate, &new]);
}

#[test]
fn stopping_the_new_process_stops_both() {
    let mut stage = Stage::start(3, "");
    let mut kept = stage.scene.client(stage.scene.gate.session);
    kept.run("SELECT 1");
    let mut new = stage.take_over();
    new.signal("TERM");
    assert_eq!(error_in(&kept.until_end()), "57P01");
    assert_eq!(new.wait(), Some(0));
    assert_eq!(stage.scene.gate.wait(), Some(0));
}

/// A token for operators, and the flag that names its file.
fn token(folder: &tempfile::TempDir) -> String {
    let token = folder.path().join("token");
    std::fs::write(&token, "0123456789abcdef0123456789abcdef").expect("a token");
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("its owner's");
    format!("listen.admin_token_file={}", token.display())
}

#[test]
fn a_client_that_has_gone_over_is_listed_and_closed_by_the_pid_that_it_was_told() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let mut stage = Stage::with(3, "", &[token(&folder)]);
    let transaction = stage.scene.gate.transaction;
    let first = stage.scene.client(transaction); // It has the first place, which will be another's.
    let mut goes = stage.scene.client_with(transaction, &[("application_name", "goes")]);
    first.leave();
    stage.scene.until_metric("tidegate_client_connections", &[], 1.0);
    let new = stage.take_over();
    assert_eq!(stage.scene.gate.wait(), Some(0));
    new.until_logged("the take-over is complete");
    let run = |arguments: &[&str]| {
        let api = format!("http://127.0.0.1:{}", new.http);
        let more = [arguments, &["--api", &api]].concat();
        outcome::run(BINARY, folder.path(), &[], &more)
    };
    let list = run(&["ps"]).done();
    let row = list.lines().find(|line| line.contains("goes")).expect("it is listed");
    let id = row.split(' ').next().expect("a row begins with the id");
    assert!(id.starts_with(&format!("{}.", goes.pid)), "{list}");
    let said = run(&["kill", "--client", id, "--token-file", "token"]).done();
    assert!(said.starts_with(&format!("CLOSED  client {id}: goes at ")), "{said}");
    assert_eq!(error_in(&goes.until_end()), "57P01");
    let said = run(&["kill", "--client", id, "--token-file", "token"]).failed(1);
    assert!(said.contains(&format!("client {id}")), "{said}");
}

/// A pause can be ended only where it began.
#[test]
fn a_gate_that_is_paused_is_not_taken_over_from() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let mut stage = Stage::with(3, "", &[token(&folder)]);
    stage.scene.gate.allow("a take-over did not begin");
    let post = |what: &str| {
        let head = "Authorization: Bearer 0123456789abcdef0123456789abcdef";
        stage.scene.gate.post(&format!("/api/v1/{what}"), head, "").0
    };
    assert_eq!(post("pause"), 200);
    let words = stage.is_refused();
    assert!(words.contains("resume first"), "{words}");
    assert_eq!(post("resume"), 200);
    let new = stage.take_over();
    assert_eq!(stage.scene.gate.wait(), Some(0));
    new.until_logged("the take-over is complete");
}

/// A gate that could be taken over from closes its ports when it is stopped, as any other.
#[test]
fn a_gate_that_is_stopped_holds_no_port_open_for_a_successor() {
    let mut stage = Stage::start(3, "");
    let port = stage.scene.gate.transaction;
    let mut busy = stage.scene.client(port);
    busy.begin();
    stage.scene.gate.signal("TERM");
    wait::until("its port is closed", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_err().then_some(())
    });
    busy.run("COMMIT");
    assert_eq!(error_in(&busy.until_end()), "57P01");
    assert_eq!(stage.scene.gate.wait(), Some(0));
    let left = std::fs::read_dir(stage.folder.path()).expect("a folder").count();
    assert_eq!(left, 0, "no socket is left behind");
}

#[test]
fn a_second_take_over_waits_for_the_end_of_the_first() {
    let mut stage = Stage::start(3, "");
    stage.scene.gate.allow("a take-over did not begin");
    let mut kept = stage.scene.client(stage.scene.gate.session);
    kept.run("SELECT 1");
    let mut second = stage.take_over();
    second.allow("a take-over did not begin");
    let words = stage.is_refused();
    assert!(words.contains("a process that still has clients"), "{words}");
    assert_eq!(kept.value("SELECT 'kept'"), "kept");
    kept.leave();
    assert_eq!(stage.scene.gate.wait(), Some(0));
    second.until_logged("the take-over is complete");
    let third = second.successor(BINARY);
    assert_eq!(second.wait(), Some(0));
    third.until_logged("the take-over is complete");
    assert_eq!(stage.scene.client(third.session).value("SELECT 3"), "3");
}

#[test]
fn a_take_over_without_a_control_socket_or_a_gate_is_explained() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let run = |more: &[&str]| {
        let arguments = ["run", "--takeover", "--url", "postgres://app@127.0.0.1:1/app"];
        outcome::run(BINARY, folder.path(), &[], &[&arguments, more].concat())
    };
    let words = run(&[]).failed(2);
    assert!(words.contains("--takeover needs listen.control"), "{words}");
    // Its own ports can't be had: it says that nobody was there to take them over from.
    let control = format!("listen.control={}/control", folder.path().display());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("an address").to_string();
    let words = run(&["--set", &control, "--set", &format!("listen.session={taken}")]).failed(3);
    assert!(words.contains("there is no gate to take over from"), "{words}");
    assert!(words.contains(&taken), "{words}");
}

/// The binary is replaced under 64 clients, three times: none of their transactions fails.
#[test]
fn pgbench_notices_nothing() {
    let mut stage = Stage::start(8, "");
    let postgres = stage.scene.cluster.installation();
    let pgbench = postgres.program("pgbench");
    let url = |port: u16| format!("postgres://{APP}@127.0.0.1:{port}/{APP}");
    let initialised = Command::new(&pgbench)
        .args(["-i", "-q", "-s", "4", &url(stage.scene.cluster.port())])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("pgbench runs");
    assert!(initialised.success());
    // pgbench waits for each statement that it prepares, with all clients of the thread: where those
    // have all servers, for ever. So each has a thread of its own then.
    for (mode, threads) in [("simple", "2"), ("extended", "2"), ("prepared", "64")] {
        let run = Command::new(&pgbench)
            .args(["-c", "64", "-j", threads, "-T", "3", "-n", "-N", "-M", mode])
            .arg(url(stage.scene.gate.transaction))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("pgbench runs");
        stage.scene.until_metric(
            "tidegate_client_connections",
            &["listener=\"transaction\""],
            64.0,
        );
        let new = stage.take_over();
        assert_eq!(stage.scene.gate.wait(), Some(0), "{mode}: all have gone over");
        new.until_logged("the take-over is complete");
        assert_eq!(new.metric("tidegate_client_connections", &[]), 64.0);
        let output = run.wait_with_output().expect("pgbench ends");
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{mode}: {words}{errors}");
        assert!(words.contains("number of failed transactions: 0 "), "{mode}: {words}{errors}");
        kept_to_the_budget(&[&stage.scene.gate, &new]);
        stage.scene.gate = new;
    }
}
