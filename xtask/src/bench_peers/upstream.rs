//! The PostgreSQL behind both, with pgbench's tables.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tidegate_scratch::{Cluster, ClusterOptions, Installation, wait};
use tidegate_wire::scram::Verifier;

pub(super) struct Upstream {
    cluster: Cluster,
    pgbench: PathBuf,
    /// What it stores instead of the role's password; the poolers have the same.
    pub(super) verifier: Verifier,
}

impl Upstream {
    /// Starts the wanted version where it is installed, and otherwise the newest that is.
    pub(super) fn start() -> Result<Self> {
        let installation = Installation::find_version(VERSION).or_else(|_| Installation::find())?;
        let options = SETTINGS.iter().fold(ClusterOptions::default(), |options, (name, value)| {
            options.setting(*name, *value)
        });
        let cluster = Cluster::start(&installation, options)?;
        let verifier = Verifier::from_password(PASSWORD.as_bytes(), SALT, ITERATIONS);
        cluster.sql(&format!(
            "CREATE ROLE {ROLE} LOGIN PASSWORD '{verifier}'; CREATE DATABASE {DATABASE} OWNER {ROLE}"
        ))?;
        let upstream = Self { cluster, pgbench: installation.bin.join("pgbench"), verifier };
        upstream.load()?;
        Ok(upstream)
    }

    fn load(&self) -> Result<()> {
        let mut command = Command::new(&self.pgbench);
        command.args(["-i", "-q", "-s", SCALE, "-h", "127.0.0.1", "-p", &self.port().to_string()]);
        let output = command.args(["-U", ROLE, DATABASE]).env("PGPASSWORD", PASSWORD).output();
        let output = output.with_context(|| format!("cannot run {}", self.pgbench.display()))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "pgbench -i failed: {}", stderr.trim());
        // Or it would be written out during the first runs.
        self.cluster.sql("CHECKPOINT")?;
        Ok(())
    }

    pub(super) fn port(&self) -> u16 {
        self.cluster.port()
    }

    pub(super) fn pgbench(&self) -> &Path {
        &self.pgbench
    }

    pub(super) fn url(&self) -> String {
        self.cluster.url(ROLE, PASSWORD, DATABASE)
    }

    /// In full, as PostgreSQL says it.
    pub(super) fn version(&self) -> Result<String> {
        Ok(self.cluster.sql("SHOW server_version")?)
    }

    /// How many connections the role has.
    pub(super) fn servers(&self) -> Result<u32> {
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{ROLE}'");
        self.cluster.sql(&sql)?.parse().context("a count")
    }

    /// The servers of a pooler that was ended take a moment to notice.
    pub(super) fn until_nobody_is_connected(&self) -> Result<()> {
        let gone = wait::until(LEAVE_MAX, Duration::from_millis(20), || {
            Ok::<_, anyhow::Error>((self.servers()? == 0).then_some(()))
        })?;
        if gone.is_none() {
            bail!("servers of the pooler before are still there after {LEAVE_MAX:?}");
        }
        Ok(())
    }
}

pub(super) const ROLE: &str = "app";
pub(super) const DATABASE: &str = "app";
/// Of a database that lives for minutes and listens on loopback only.
pub(super) const PASSWORD: &str = "secret";
const SALT: &[u8] = b"of a benchmark..";
/// The usual 4096 take pgbench far longer than a pooler takes for all of a login: it compares keys
/// that were made before. With a connection for each transaction nothing else would be measured.
const ITERATIONS: u32 = 1;
const VERSION: u32 = 15;
const SCALE: &str = "10";
const LEAVE_MAX: Duration = Duration::from_secs(10);
/// A throwaway cluster has `fsync = off` and no autovacuum by default.
const SETTINGS: &[(&str, &str)] = &[
    // Two poolers with 8 servers each, one of them just leaving, and room to look.
    ("max_connections", "60"),
    // A million accounts and their index take 150 MB: all of them stay in memory.
    ("shared_buffers", "256MB"),
    ("log_connections", "off"),
    ("log_disconnections", "off"),
];
