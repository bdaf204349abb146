//! What a cluster is to be like, and the configuration files that follow from it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What a cluster is to be like. The default suits a test: fast, not durable, everything logged.
#[derive(Debug, Clone, Default)]
pub struct ClusterOptions {
    settings: Vec<(String, String)>,
    files: Vec<(String, String)>,
    hba: Option<String>,
    pub(crate) listen_addresses: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) parent: Option<PathBuf>,
    pub(crate) keep: bool,
}

impl ClusterOptions {
    /// A line for `postgresql.conf`; comes after our own, so it wins. Change it later with
    /// `ALTER SYSTEM`.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// A file for the data folder (`server.key`, `pg_ident.conf`), readable by PostgreSQL only.
    #[must_use]
    pub fn file(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.files.push((name.into(), text.into()));
        self
    }

    /// Replaces the rules of `pg_hba.conf`. The superuser's way in over the Unix socket, which
    /// [`crate::Cluster::sql`] takes, stays in front of them.
    #[must_use]
    pub fn hba(mut self, rules: impl Into<String>) -> Self {
        self.hba = Some(rules.into());
        self
    }

    /// `listen_addresses`; by default `127.0.0.1`. Empty for no TCP at all.
    #[must_use]
    pub fn listen_addresses(mut self, addresses: impl Into<String>) -> Self {
        self.listen_addresses = Some(addresses.into());
        self
    }

    /// A fixed port, for people; tests leave this out and get a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Where to make the cluster's folder. By default in memory where there is room, otherwise in
    /// the system's temporary folder; choose a disk for much data.
    #[must_use]
    pub fn parent(mut self, folder: impl Into<PathBuf>) -> Self {
        self.parent = Some(folder.into());
        self
    }

    /// Leaves the folder where it is when the cluster ends, to be looked at. It is then made in
    /// the temporary folder, not in memory.
    #[must_use]
    pub fn keep(mut self, keep: bool) -> Self {
        self.keep = keep;
        self
    }

    pub(crate) fn files(&self) -> &[(String, String)] {
        &self.files
    }

    /// What is appended to the `postgresql.conf` that `initdb` wrote.
    pub(crate) fn configuration(&self, socket_dir: &Path, port: u16) -> String {
        let listen = self.listen_addresses.as_deref().unwrap_or("127.0.0.1");
        let socket_dir = socket_dir.display().to_string();
        let port = port.to_string();
        let placed = [
            ("listen_addresses", listen),
            ("port", port.as_str()),
            ("unix_socket_directories", socket_dir.as_str()),
        ];
        let given = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));

        let mut text =
            String::from("\n# Of this throwaway cluster. The last line of a name wins.\n");
        for (name, value) in DEFAULTS.iter().copied().chain(placed).chain(given) {
            let _ = writeln!(text, "{name} = {}", quoted(value));
        }
        text
    }

    /// The whole of `pg_hba.conf`.
    pub(crate) fn hba_text(&self) -> String {
        format!("{SUPERUSER_RULE}{}\n", self.hba.as_deref().unwrap_or(HBA))
    }
}

/// A value as `postgresql.conf` writes it (PostgreSQL 15, 20.1.2): in quotes it may hold anything.
fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('\'', "''").replace('\n', "\\n");
    format!("'{escaped}'")
}

/// The superuser and its password for TCP; over the Unix socket it needs none.
pub(crate) const SUPERUSER: &str = "postgres";

const SUPERUSER_RULE: &str = "local all postgres trust\n";

/// Passwords everywhere, as on a managed PostgreSQL; replication included, for who asks for it.
const HBA: &str = "\
local all all scram-sha-256
host all all all scram-sha-256
host replication all all scram-sha-256";

const DEFAULTS: &[(&str, &str)] = &[
    // Nothing here needs to survive a power cut.
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    // Many clusters at once on a small machine, and nothing that wakes up by itself.
    ("shared_buffers", "16MB"),
    ("autovacuum", "off"),
    ("max_parallel_workers", "0"),
    ("jit", "off"),
    // The log is what tests read when they fail, and sometimes what they check.
    ("log_connections", "on"),
    ("log_disconnections", "on"),
    ("log_line_prefix", "%m [%p] %q%u@%d "),
    ("log_timezone", "UTC"),
    ("timezone", "UTC"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_caller_sets_comes_last_and_is_quoted() {
        let options = ClusterOptions::default().setting("fsync", "on").setting("a.b", "it's \\ x");
        let text = options.configuration(Path::new("/tmp/here"), 5433);
        assert!(text.contains("port = '5433'\nunix_socket_directories = '/tmp/here'\n"), "{text}");
        assert!(text.ends_with("fsync = 'on'\na.b = 'it''s \\\\ x'\n"), "{text}");
    }

    #[test]
    fn the_superuser_keeps_its_way_in_whatever_the_rules_say() {
        let text = ClusterOptions::default().hba("host all all all reject").hba_text();
        assert_eq!(text, "local all postgres trust\nhost all all all reject\n");
    }
}
