//! Others who use the same servers, so that a script's session is moved from one to the next and
//! finds none as it has left it.
//!
//! A pool prefers to give a client a server with its own settings, so others who come and go would
//! keep to their own. Here they want all servers at once: whatever the script does not hold is
//! theirs for a moment, and afterwards none is as the script's session needs it.

use std::array;

use tidegate_testkit::batch::Batch;
use tidegate_testkit::raw::Raw;
use tidegate_wire::startup;

/// Clients of the transaction port that have nothing in common with the scripts.
pub(crate) struct Noise {
    port: u16,
    clients: [Raw; SERVERS],
}

/// All servers of the pool.
pub(crate) const SERVERS: usize = 4;

/// What they log in with: a gate that forgets to put something right shows it in what the script
/// sees next.
const STARTUP: [&[(&str, &str)]; SERVERS] = [
    &[("application_name", "noise"), ("DateStyle", "SQL, DMY"), ("search_path", "pg_temp")],
    &[
        ("application_name", "more noise"),
        ("TimeZone", "Asia/Kathmandu"),
        ("IntervalStyle", "iso_8601"),
        ("search_path", "pg_catalog"),
    ],
    &[
        ("client_encoding", "LATIN1"),
        ("extra_float_digits", "0"),
        ("bytea_output", "escape"),
        ("default_transaction_isolation", "serializable"),
    ],
    &[
        ("DateStyle", "German"),
        ("TimeZone", "America/St_Johns"),
        ("statement_timeout", "1h"),
        ("client_min_messages", "error"),
    ],
];

impl Noise {
    pub(crate) fn start(port: u16, client: impl Fn(&[(&str, &str)]) -> Raw) -> Self {
        let clients = array::from_fn(|nth| {
            let mut raw = client(STARTUP[nth]);
            // The scripts' favourite name, and another meaning.
            raw.exchange(&Batch::new().parse("s", "SELECT 'noise'").sync(), 1);
            raw
        });
        Self { port, clients }
    }

    /// Uses all servers but those that a script holds, of whose `sessions` each may hold one.
    /// Each step is waited for, so the pool's pile lies in the same order each time; and who gives
    /// back last changes, so that what lies on top is another server than before.
    pub(crate) fn stir(&mut self, sessions: usize) {
        self.clients.rotate_left(1);
        let (holders, others) = self.clients.split_at_mut(SERVERS - sessions);
        holders.iter_mut().for_each(|client| client.run(HOLD));
        for client in &mut *others {
            // Takes what the script does not hold, or waits for what others give back.
            client.query(HOLD);
            until_all_was_read(self.port);
        }
        let (first, rest) = holders.split_first_mut().expect("scripts leave a server");
        first.run("COMMIT");
        for client in others {
            let tags = client.tags();
            assert_eq!(tags, HELD, "no noise");
            client.run("COMMIT");
        }
        rest.iter_mut().for_each(|client| client.run("COMMIT"));
    }
}

/// The gate may answer a BEGIN alone by itself; this takes a server.
const HOLD: &str = "BEGIN; SET LOCAL work_mem = '77MB'; SELECT pg_backend_pid()";
/// How it is answered.
const HELD: &str = "CCTDCZT";

/// A gate with one worker has read all that was sent to it before it answers what is sent now;
/// this needs no server.
fn until_all_was_read(port: u16) {
    let mut raw = Raw::connect(port);
    let mut request = Vec::new();
    startup::push_ssl_request(&mut request);
    raw.send(&request);
    assert_eq!(raw.byte(), Some(b'N'), "no TLS is configured");
}

#[test]
fn a_session_is_moved_from_server_to_server() {
    let mut backends = crate::stage::Stage::start().backends(6);
    assert!(backends.is_sorted_by(|one, next| one != next), "moved each time: {backends:?}");
    backends.sort();
    backends.dedup();
    assert!(backends.len() >= SERVERS - 1);
}
