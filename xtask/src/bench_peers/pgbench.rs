//! pgbench: one run, and what it says of it.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::bench_peers::upstream::{DATABASE, PASSWORD, ROLE};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Simple,
    Extended,
    Prepared,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Simple => "simple",
            Self::Extended => "extended",
            Self::Prepared => "prepared",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connections {
    Kept,
    PerTransaction,
}

/// What it is to do: `pgbench -S`, a select by primary key in each transaction.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) protocol: Protocol,
    pub(super) clients: u32,
    pub(super) connections: Connections,
    pub(super) seconds: u32,
}

/// What a run has shown.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) transactions: u64,
    pub(super) transactions_per_second: f64,
    /// Of a sample of the transactions, in order of size.
    pub(super) latencies_us: Vec<u64>,
}

/// The program, and whom it is to load.
pub(super) struct Pgbench<'a> {
    pub(super) program: &'a Path,
    pub(super) port: u16,
    /// A folder for its logs.
    pub(super) logs: &'a Path,
}

impl Pgbench<'_> {
    pub(super) fn run(&self, load: &Load) -> Result<Outcome> {
        let mut command = Command::new(self.program);
        // One thread is enough: a transaction costs it less than the pooler and PostgreSQL together.
        // But it waits for a new connection without looking at the others.
        let threads = match load.connections {
            Connections::Kept => 1,
            Connections::PerTransaction => load.clients,
        };
        command.args(["-n", "-S", "-j", &threads.to_string(), "-M", &load.protocol.to_string()]);
        command.args(["-c", &load.clients.to_string(), "-T", &load.seconds.to_string()]);
        if load.connections == Connections::PerTransaction {
            command.arg("-C");
        }
        command.args(["--log", "--sampling-rate", SAMPLING_RATE, "--log-prefix"]);
        command.arg(self.logs.join(LOG_PREFIX));
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", ROLE, DATABASE]);
        command.env("PGPASSWORD", PASSWORD).env("PGSSLMODE", "disable").env("LC_ALL", "C");
        let output = command.output();
        let output = output.with_context(|| format!("cannot run {}", self.program.display()))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "pgbench ({}): {}", output.status, stderr.trim());
        let (transactions, transactions_per_second) =
            summary(&String::from_utf8_lossy(&output.stdout))?;
        let mut latencies_us = self.take_latencies()?;
        latencies_us.sort_unstable();
        Ok(Outcome { transactions, transactions_per_second, latencies_us })
    }

    /// Reads its logs, one for each of its threads, and removes them.
    fn take_latencies(&self) -> Result<Vec<u64>> {
        let mut latencies_us = Vec::new();
        for entry in fs::read_dir(self.logs).context("pgbench's logs")? {
            let path = entry.context("pgbench's logs")?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(LOG_PREFIX) {
                let file = File::open(&path).with_context(|| path.display().to_string())?;
                read_log(BufReader::new(file), &mut latencies_us)
                    .with_context(|| path.display().to_string())?;
                fs::remove_file(&path).with_context(|| path.display().to_string())?;
            }
        }
        Ok(latencies_us)
    }
}

/// Transactions, and how many of them in a second, from what it prints at the end.
fn summary(text: &str) -> Result<(u64, f64)> {
    let after = |label: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(label));
        let word = rest.and_then(|rest| rest.split_whitespace().next());
        word.with_context(|| format!("pgbench does not say \"{label}\":\n{text}"))
    };
    let failed = after("number of failed transactions:")?;
    ensure!(failed == "0", "{failed} transactions failed");
    let transactions = after("number of transactions actually processed:")?;
    let transactions = transactions.parse().context("pgbench's number of transactions")?;
    ensure!(transactions > 0, "pgbench processed no transaction");
    Ok((transactions, after("tps =")?.parse().context("pgbench's tps")?))
}

/// A line is "client transaction latency script seconds microseconds" (PostgreSQL 15, pgbench,
/// Per-Transaction Logging).
fn read_log(log: impl BufRead, latencies_us: &mut Vec<u64>) -> Result<()> {
    for line in log.lines() {
        let line = line?;
        let latency = line.split(' ').nth(2).and_then(|word| word.parse().ok());
        latencies_us.push(latency.with_context(|| format!("not a transaction: {line}"))?);
    }
    Ok(())
}

/// At 10,000 transactions a second and 10 s the p99 has 250 above it, and the log is 1 MB.
const SAMPLING_RATE: &str = "0.25";
const LOG_PREFIX: &str = "transactions";

#[cfg(test)]
mod tests {
    use super::*;

    const SUMMARY: &str = "\
transaction type: <builtin: select only>
scaling factor: 10
query mode: simple
number of clients: 8
number of threads: 1
maximum number of tries: 1
duration: 2 s
number of transactions actually processed: 24690
number of failed transactions: 0 (0.000%)
latency average = 0.647 ms
initial connection time = 23.456 ms
tps = 12345.678901 (without initial connection time)
";

    #[test]
    fn the_summary_is_understood_with_and_without_a_connection_for_each_transaction() {
        assert_eq!(summary(SUMMARY).unwrap(), (24690, 12345.678901));
        let reconnecting = SUMMARY.replace(
            "tps = 12345.678901 (without initial connection time)",
            "average connection time = 3.2 ms\ntps = 310.5 (including reconnection times)",
        );
        assert_eq!(summary(&reconnecting).unwrap(), (24690, 310.5));
    }

    #[test]
    fn a_run_with_failures_or_without_transactions_is_no_result() {
        let failed =
            SUMMARY.replace("failed transactions: 0 (0.000%)", "failed transactions: 3 (0.01%)");
        assert_eq!(summary(&failed).unwrap_err().to_string(), "3 transactions failed");
        let idle = SUMMARY.replace("processed: 24690", "processed: 0");
        assert_eq!(summary(&idle).unwrap_err().to_string(), "pgbench processed no transaction");
        assert!(summary("pgbench: error").is_err());
    }

    #[test]
    fn a_log_has_a_latency_in_each_line() {
        let mut latencies_us = vec![7];
        let log = "0 199 2241 0 1175850568 995598\n1 3 24 0 1175850568 998079\n";
        read_log(log.as_bytes(), &mut latencies_us).unwrap();
        assert_eq!(latencies_us, [7, 2241, 24]);
        let error = read_log("0 4 failed 0 1 2\n".as_bytes(), &mut latencies_us).unwrap_err();
        assert_eq!(error.to_string(), "not a transaction: 0 4 failed 0 1 2");
    }
}
