//! Commands that change something: what they do, who may, and what the log says of it.

use serde_json::Value;
use tidegate_testkit::batch::{Batch, Format};
use tidegate_testkit::raw::Raw;
use tidegate_testkit::scene::{APP, ONE_SERVER, Scene};
use tidegate_testkit::wait;

use super::{OTHER, WATCHER, console, scene, scene_with, show, snapshot};

/// A command that must succeed: the tags of all that is answered.
fn run(console: &mut Raw, command: &str) -> String {
    console.query(command);
    let frames = console.until_ready();
    assert!(frames.iter().all(|frame| frame.tag != b'E'), "{command}: {frames:?}");
    frames.iter().map(|frame| char::from(frame.tag)).collect()
}

/// What the log says of a command.
fn audited(scene: &Scene, operation: &str) -> Value {
    let is_it = |line: &Value| {
        line["fields"]["message"] == "an operator has spoken to the console"
            && line["fields"]["operation"] == operation
    };
    wait::until(&format!("{operation} is in the log"), || {
        Some(scene.gate.log().into_iter().rfind(is_it)?["fields"].clone())
    })
}

#[test]
fn a_pause_waits_until_all_is_at_rest_and_a_resume_serves_again() {
    let scene = scene(ONE_SERVER);
    let mut running = scene.client(scene.gate.transaction);
    running.begin();
    let mut console = console(scene.gate.transaction);
    console.query("PAUSE app");
    let mut other = super::console(scene.gate.session);
    wait::until("it is paused", || {
        (show(&mut other, "DATABASES").value(APP, "paused") == "1").then_some(())
    });
    let mut held = scene.client(scene.gate.transaction);
    held.query("SELECT 42");
    scene.until_waiting(1);
    running.run("COMMIT");
    assert_eq!(console.tags(), "CZI", "not before the transaction has ended");
    assert_eq!(snapshot(&scene)["pools"][0]["ports"][1]["waiting"], 1);
    assert_eq!(run(&mut console, "RESUME app;"), "CZ");
    assert_eq!(held.tags(), "TDCZI");
    let line = audited(&scene, "PAUSE");
    assert_eq!(
        (&line["user"], &line["subject"], &line["outcome"]),
        (&APP.into(), &APP.into(), &"done".into())
    );
    let own = console.stream().local_addr().expect("an address").to_string();
    assert_eq!((&line["address"], &line["port"]), (&own.into(), &"transaction".into()));
    assert_eq!(run(&mut console, "pause"), "CZ");
    assert_eq!(show(&mut console, "STATE").value("paused", "value"), "yes");
    assert_eq!(console.failure("RESUME app"), "55000", "all are paused");
    assert_eq!(run(&mut console, "resume"), "CZ");
    assert_eq!(console.failure("RECONNECT nowhere"), "55000");
    // Who goes away while a PAUSE waits leaves the pause.
    running.begin();
    console.query("PAUSE");
    wait::until("it is paused", || {
        (show(&mut other, "STATE").value("paused", "value") == "yes").then_some(())
    });
    drop(console);
    wait::until("nobody waits for it", || {
        (audited(&scene, "PAUSE")["outcome"] == "paused, and nobody waits until all is at rest")
            .then_some(())
    });
    assert_eq!(run(&mut other, "RESUME"), "CZ");
    running.run("COMMIT");
}

#[test]
fn a_reconnect_and_kills_close_what_they_name_and_nothing_else() {
    let scene = scene("[pool]\npool_size = 3\nmax_overflow = 0\n");
    let named = |name| scene.client_with(scene.gate.transaction, &[("application_name", name)]);
    let (mut first, mut second) = (named("first"), named("second"));
    let backend = first.backend();
    let mut console = console(scene.gate.session);
    assert_eq!(run(&mut console, "RECONNECT app"), "CZ");
    scene.until(&format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {backend}"), "0");
    assert_ne!(first.backend(), backend);
    assert_eq!(run(&mut console, &format!("KILL_CLIENT {}", first.pid)), "CZ");
    let told = first.until_end();
    assert_eq!((told[0].sqlstate().as_str(), told.len()), ("57P01", 1), "{told:?}");
    assert_eq!(audited(&scene, "KILL_CLIENT")["subject"], first.pid.to_string());
    assert_eq!(console.failure(&format!("KILL_CLIENT {}", first.pid)), "55000");
    // By its name in SHOW CLIENTS, which nobody else will ever have.
    let mut there = super::console(scene.gate.transaction);
    let clients = show(&mut there, "CLIENTS");
    let place = clients.place("application_name");
    let row = clients.rows.iter().find(|row| row[place] == "second").expect("it is there");
    let id = row[clients.place("ptr")].clone();
    assert!(id.starts_with(&format!("{}.", second.pid)), "{id}");
    assert_eq!(second.value("SELECT 7"), "7");
    assert_eq!(run(&mut console, &format!("KILL_CLIENT {id}")), "CZ");
    assert_eq!(second.until_end()[0].sqlstate(), "57P01");

    let mut third = named("third");
    third.begin();
    assert_eq!(run(&mut console, "KILL app"), "NCZ");
    assert_eq!(third.until_end()[0].sqlstate(), "57P01");
    scene.until("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND application_name <> 'tidegate census'", "0");
    wait::until("its slots are free", || {
        let databases = show(&mut console, "DATABASES");
        let told = databases.values(APP, &["paused", "current_connections"]);
        (told == ["1", "0"]).then_some(())
    });
    // What such a client is told at its login is known, so it waits with its first statement only.
    let mut comes = named("third");
    comes.query("SELECT 42");
    scene.until_waiting(1);
    assert_eq!(run(&mut console, "RESUME app"), "CZ");
    assert_eq!(comes.tags(), "TDCZI");
    assert_eq!(console.failure("KILL nowhere"), "55000");
}

#[test]
fn a_reload_tells_what_is_wrong_and_takes_rights_away_at_once() {
    let mut scene = scene("");
    scene.gate.allow("settings");
    let file = scene.gate.settings_file();
    let text = std::fs::read_to_string(&file).expect("they are there");
    let mut console = console(scene.gate.session);
    std::fs::write(&file, text.replace("[auth]", "[pool]\npool_size = 7\n[auth]"))
        .expect("written");
    assert_eq!(run(&mut console, "RELOAD"), "CZ");
    assert_eq!(show(&mut console, "CONFIG").value("default_pool_size", "value"), "7");
    std::fs::write(&file, text.replace("[auth]", "[pool]\npool_size = -1\n[auth]"))
        .expect("written");
    console.query("RELOAD");
    let frames = console.until_ready();
    assert_eq!((frames[0].tag, frames[0].sqlstate().as_str()), (b'E', "55000"));
    assert!(frames[0].field(b'M').contains("pool.pool_size is -1"), "{frames:?}");
    scene.gate.until_logged("\"outcome\":\"nothing has changed; the settings have errors");
    let without = text.replace("admin_users = \"app\"", "admin_users = \"nobody\"");
    std::fs::write(&file, without).expect("written");
    assert_eq!(run(&mut console, "RELOAD"), "CZ");
    assert_eq!(console.failure("RELOAD"), "28000");
    assert_eq!(console.failure("SHOW POOLS"), "28000");
}

#[test]
fn who_may_only_look_can_do_nothing_and_everybody_else_not_even_that() {
    let scene = scene("");
    let mut client = scene.client(scene.gate.transaction);
    client.run("SELECT 1");
    let id = client.pid;
    let kill = format!("KILL_CLIENT {id}");
    let commands = [
        "PAUSE",
        "PAUSE app",
        "RESUME",
        "RESUME app",
        "RECONNECT",
        "RECONNECT app",
        "KILL app",
        &kill,
        "RELOAD",
        "SHUTDOWN",
        "SHUTDOWN WAIT_FOR_SERVERS",
        "SHUTDOWN WAIT_FOR_CLIENTS",
    ];
    let mut watcher = Raw::log_in(scene.gate.transaction, WATCHER, "", "pgbouncer");
    for command in commands {
        assert_eq!(watcher.failure(command), "42501", "{command}");
        let batch = Batch::new().extended(command, &[], Format::Text).sync();
        watcher.send(batch.bytes());
        assert_eq!(watcher.ends_with_error(), "42501", "{command}");
    }
    assert_eq!(audited(&scene, "SHUTDOWN")["outcome"], "refused: not an administrator");
    assert_eq!(client.value("SELECT 42"), "42", "none of this has been done");
    assert_eq!(snapshot(&scene)["paused"]["all"], false);
    assert_eq!(show(&mut watcher, "POOLS").rows.len(), 2);
    for database in ["pgbouncer", "tidegate"] {
        let mut other = Raw::connect(scene.gate.transaction);
        let no = other.try_log_in(&[("user", OTHER), ("database", database)], "");
        let no = no.expect_err("not theirs");
        assert_eq!((no.field(b'S').as_str(), no.field(b'M').as_str()), ("FATAL", "not allowed"));
        assert_eq!(no.sqlstate(), "28000");
        assert!(no.field(b'H').ends_with("(TG040)"), "{no:?}");
    }
    let refused = ["listener=\"transaction\"", "reason=\"not_offered\""];
    assert_eq!(scene.gate.metric("tidegate_client_connections_rejected_total", &refused), 2.0);
    assert_eq!(client.value("SELECT 42"), "42");
}

#[test]
fn by_default_the_console_is_nobodys() {
    let scene = Scene::start(super::BINARY, "", &[]);
    let mut raw = Raw::connect(scene.gate.session);
    let no =
        raw.try_log_in(&[("user", APP), ("database", "pgbouncer")], "").expect_err("nobody may");
    assert_eq!((no.field(b'S').as_str(), no.field(b'M').as_str()), ("FATAL", "not allowed"));
}

#[test]
fn a_shutdown_is_answered_and_lets_transactions_end() {
    let mut scene = scene_with("", &["timeouts.drain=30s"]);
    let mut running = scene.client(scene.gate.transaction);
    running.begin();
    let mut idle = console(scene.gate.session);
    assert_eq!(show(&mut idle, "STATE").value("active", "value"), "yes");
    let mut console = console(scene.gate.transaction);
    console.query("SHUTDOWN WAIT_FOR_SERVERS");
    let frames = console.until_end();
    let done = &frames[0];
    assert_eq!((done.tag, done.body.as_slice()), (b'C', &b"SHUTDOWN\0"[..]), "{frames:?}");
    assert_eq!(frames.last().expect("a goodbye").sqlstate(), "57P01");
    assert_eq!(idle.until_end()[0].sqlstate(), "57P01");
    assert_eq!(running.value("SELECT 42"), "42");
    running.run("COMMIT");
    assert_eq!(running.until_end()[0].sqlstate(), "57P01");
    assert_eq!(scene.gate.wait(), Some(0));
    assert!(scene.gate.has_logged("\"operation\":\"SHUTDOWN\""));
}
