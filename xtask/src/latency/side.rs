//! One of the two ways to PostgreSQL.

use std::collections::HashMap;

use tidegate_testkit::raw::Raw;
use tidegate_testkit::scene::APP;

/// Where it begins, and the clients that have taken it.
pub(super) struct Side {
    port: u16,
    pub(super) is_gate: bool,
    clients: HashMap<&'static str, Raw>,
}

impl Side {
    pub(super) fn new(port: u16, is_gate: bool) -> Self {
        Self { port, is_gate, clients: HashMap::new() }
    }

    /// The client of this name; it connects when it is first asked for.
    pub(super) fn client(&mut self, name: &'static str, parameters: &[(&str, &str)]) -> &mut Raw {
        let port = self.port;
        self.clients.entry(name).or_insert_with(|| connect(port, parameters))
    }

    /// A client that is nobody else's.
    pub(super) fn join(&self, parameters: &[(&str, &str)]) -> Raw {
        connect(self.port, parameters)
    }
}

fn connect(port: u16, parameters: &[(&str, &str)]) -> Raw {
    let mut raw = Raw::connect(port);
    let all = [&[("user", APP), ("database", APP)], parameters].concat();
    if let Err(error) = raw.try_log_in(&all, "") {
        panic!("refused: {} {}", error.sqlstate(), error.field(b'M'));
    }
    raw
}
