//! The cases: what a client does, and whether the gate may make it wait.

use std::time::Duration;

use tidegate_testkit::batch::{Batch, Format};
use tidegate_testkit::raw::Raw;
use tidegate_testkit::wait::{poll_every, stopwatch, timed};

use crate::latency::side::Side;

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) port: Port,
    pub(super) wait: Wait,
    /// Settings of the gate beside the usual ones.
    pub(super) flags: &'static [&'static str],
    /// Does it once, and says how long it took; what is to be prepared for it is not timed.
    pub(super) time: fn(&mut Side, u32) -> Duration,
}

/// The port of the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    Session,
    Transaction,
}

/// Round trips to PostgreSQL that the client waits for with the gate and not without it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wait {
    None,
    /// So many fewer.
    Saves(u32),
    /// One more, by design; with the reason.
    Awaited(&'static str),
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "statement without a name",
        port: Port::Transaction,
        wait: Wait::None,
        flags: &[],
        time: unnamed,
    },
    Case {
        name: "statement without a name, that came before",
        port: Port::Transaction,
        wait: Wait::None,
        flags: &[],
        time: unnamed_again,
    },
    Case {
        name: "prepared statement, the server has it",
        port: Port::Transaction,
        wait: Wait::None,
        flags: &[],
        time: prepared,
    },
    Case {
        name: "prepared statement, the server does not have it yet",
        port: Port::Transaction,
        wait: Wait::None,
        flags: &[],
        time: prepared_elsewhere,
    },
    Case {
        name: "the same, by a client that was told what its result is like",
        port: Port::Transaction,
        wait: Wait::Awaited(
            "the client decodes what comes by what it was told, so the statement may only run \
                     where its result still is like that",
        ),
        flags: &[],
        time: told_elsewhere,
    },
    Case {
        name: "settings differ from the server's, accepted before",
        port: Port::Transaction,
        wait: Wait::None,
        flags: &[],
        time: replayed,
    },
    Case {
        name: "settings differ from the server's, for the first time",
        port: Port::Transaction,
        wait: Wait::Awaited(
            "PostgreSQL could refuse settings that this worker has not seen accepted, and \
                     then the statement must not run",
        ),
        flags: &["listen.workers=2"],
        time: replayed_first,
    },
    Case {
        name: "first statement after a server lay idle, and was checked",
        port: Port::Transaction,
        wait: Wait::None,
        flags: &["pool.pool_pre_ping=1s"],
        time: after_idling,
    },
    Case {
        name: "BEGIN, a statement, COMMIT",
        port: Port::Transaction,
        wait: Wait::Saves(1),
        flags: &[],
        time: transaction,
    },
    Case {
        name: "SET, and at once a SELECT",
        port: Port::Transaction,
        wait: Wait::None,
        flags: &[],
        time: set_and_select,
    },
    Case {
        name: "RESET ALL with startup parameters, and at once a SELECT",
        port: Port::Transaction,
        wait: Wait::None,
        flags: &[],
        time: |side, _| reset_and_select(side, "RESET ALL"),
    },
    Case {
        name: "RESET of one setting with startup parameters, then a SELECT",
        port: Port::Transaction,
        wait: Wait::Awaited(
            "to what it was reset only PostgreSQL can tell, and the startup parameters must \
                     be in force again before the next statement",
        ),
        flags: &[],
        time: |side, _| reset_and_select(side, "RESET TimeZone"),
    },
    Case {
        name: "prepared statement, session port",
        port: Port::Session,
        wait: Wait::None,
        flags: &[],
        time: prepared,
    },
    Case {
        name: "BEGIN, a statement, COMMIT, session port",
        port: Port::Session,
        wait: Wait::None,
        flags: &[],
        time: transaction,
    },
];

fn unnamed(side: &mut Side, nth: u32) -> Duration {
    let batch = Batch::new().extended(&format!("SELECT {nth}"), &[], Format::Text).sync();
    let client = side.client("one", &[]);
    timed(|| client.exchange(&batch, 1)).0
}

fn unnamed_again(side: &mut Side, _: u32) -> Duration {
    let batch = Batch::new().extended("SELECT 3", &[], Format::Text).sync();
    let client = side.client("one", &[]);
    timed(|| client.exchange(&batch, 1)).0
}

fn prepared(side: &mut Side, nth: u32) -> Duration {
    let client = side.client("one", &[]);
    if nth == 0 {
        prepare(client);
    }
    execute(client)
}

fn prepared_elsewhere(side: &mut Side, nth: u32) -> Duration {
    if nth == 0 {
        prepare(side.client("one", &[]));
    }
    // Through the gate it is the same server; directly it is another one.
    side.client("two", &[]).run("DEALLOCATE ALL");
    execute(side.client("one", &[]))
}

fn told_elsewhere(side: &mut Side, nth: u32) -> Duration {
    if nth == 0 {
        let batch = Batch::new().parse("p", "SELECT $1::text").describe_statement("p").sync();
        side.client("one", &[]).exchange(&batch, 1);
    }
    side.client("two", &[]).run("DEALLOCATE ALL");
    let batch = Batch::new().bind("p", &[Some(b"x")], Format::Text).execute(0).sync();
    let client = side.client("one", &[]);
    let (took, frames) = timed(|| client.exchange(&batch, 1));
    assert!(frames.iter().any(|frame| frame.tag == b'D'), "{frames:?}");
    took
}

fn prepare(client: &mut Raw) {
    client.exchange(&Batch::new().parse("p", "SELECT $1::text").sync(), 1);
}

fn execute(client: &mut Raw) -> Duration {
    let batch = Batch::new().bind("p", &[Some(b"x")], Format::Text).describe().execute(0).sync();
    let (took, frames) = timed(|| client.exchange(&batch, 1));
    assert!(frames.iter().any(|frame| frame.tag == b'D'), "{frames:?}");
    took
}

fn select(client: &mut Raw) -> Duration {
    timed(|| client.value("SELECT 2")).0
}

fn replayed(side: &mut Side, nth: u32) -> Duration {
    for name in ["one", "two"] {
        let client = side.client(name, &[]);
        if nth == 0 {
            client.run(&format!("SET app.who = '{name}'"));
        }
    }
    side.client("two", &[]).run("SELECT 1");
    let (took, who) = timed(|| side.client("one", &[]).value("SHOW app.who"));
    assert_eq!(who, "one");
    took
}

/// A worker knows what it has seen accepted. So one client on each logs in with parameters that
/// nobody had before: what the second sets for the first time has been accepted on the other worker.
fn replayed_first(side: &mut Side, nth: u32) -> Duration {
    let value = format!("value {nth}");
    let parameters = [("app.who", value.as_str())];
    let first = side.join(&parameters);
    let worker = |client: &Raw| client.pid >> 24;
    let mut second = side.join(&parameters);
    while side.is_gate && worker(&second) == worker(&first) {
        second = side.join(&parameters);
    }
    side.client("one", &[]).run("SELECT 1"); // The server is without the setting again.
    let (took, who) = timed(|| second.value("SHOW app.who"));
    assert_eq!(who, value);
    took
}

fn after_idling(side: &mut Side, _: u32) -> Duration {
    let elapsed = stopwatch();
    // Longer than an idle server is left unchecked.
    poll_every(
        Duration::from_millis(50),
        || {},
        || !side.is_gate || elapsed() > Duration::from_millis(1100),
    );
    select(side.client("one", &[]))
}

fn transaction(side: &mut Side, _: u32) -> Duration {
    let client = side.client("one", &[]);
    let run = || {
        client.run("BEGIN");
        client.run("SELECT 2");
        client.run("COMMIT");
    };
    timed(run).0
}

fn set_and_select(side: &mut Side, nth: u32) -> Duration {
    let client = side.client("one", &[]);
    let set = format!("SET app.who = 'value {nth}'");
    let (took, who) = timed(|| {
        client.run(&set);
        client.value("SHOW app.who")
    });
    assert_eq!(who, format!("value {nth}"));
    took
}

fn reset_and_select(side: &mut Side, reset: &str) -> Duration {
    let client = side.client("one", &[("TimeZone", "Asia/Tokyo"), ("search_path", "mine")]);
    client.run("SET TimeZone = 'Europe/Berlin'");
    client.run("SELECT 1");
    let (took, zone) = timed(|| {
        client.run(reset);
        client.value("SHOW TimeZone")
    });
    assert_eq!(zone, "Asia/Tokyo");
    took
}
