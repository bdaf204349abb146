//! Others who use the same servers, so that a script's session is moved from one to the next.

use tidegate_testkit::raw::Raw;

/// Clients of the transaction port that have nothing in common with the scripts.
pub(crate) struct Noise {
    clients: Vec<Raw>,
}

/// How many servers they hold at once while they stir; the pool needs as many beside those that
/// a script holds.
pub(crate) const SERVERS: usize = 3;

/// Each finds the server as it is not: a gate that forgets to put a setting right shows it in
/// what the script sees next.
const STARTUP: [&[(&str, &str)]; SERVERS] = [
    &[("application_name", "noise")],
    &[
        ("application_name", "more noise"),
        ("TimeZone", "Asia/Kathmandu"),
        ("DateStyle", "German"),
        ("IntervalStyle", "iso_8601"),
        ("search_path", "pg_catalog"),
    ],
    &[
        ("client_encoding", "LATIN1"),
        ("extra_float_digits", "0"),
        ("bytea_output", "escape"),
        ("statement_timeout", "1h"),
        ("default_transaction_isolation", "serializable"),
    ],
];

impl Noise {
    pub(crate) fn start(client: impl Fn(&[(&str, &str)]) -> Raw) -> Self {
        Self { clients: STARTUP.iter().map(|parameters| client(parameters)).collect() }
    }

    /// Moves the server on top of the pool's pile below the next ones. The pool hands out the
    /// server that came back last: taken are A, B, C; given back are A, C, B, so B is next.
    pub(crate) fn stir(&mut self) {
        for client in &mut self.clients {
            // The gate may answer a BEGIN alone by itself; this needs a server.
            client.run("BEGIN; SELECT pg_backend_pid()");
        }
        for nth in [0, 2, 1] {
            self.clients[nth].run("COMMIT");
        }
    }
}

#[test]
fn a_session_is_moved_from_server_to_server() {
    let mut backends = crate::stage::Stage::start().backends(4);
    assert!(backends.is_sorted_by(|one, next| one != next), "moved each time: {backends:?}");
    backends.sort();
    backends.dedup();
    assert_eq!(backends.len(), SERVERS);
}
