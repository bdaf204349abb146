//! Clients that log in, run one statement, and then do nothing.

use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::bench_peers::upstream::{DATABASE, PASSWORD, ROLE};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Plain,
    Tls,
}

impl Transport {
    fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "tls",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain connections",
            Self::Tls => "TLS connections",
        })
    }
}

/// The process that holds them. It ends when its stdin does, so at the latest with us.
pub(super) struct Idle {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Idle {
    pub(super) fn start(port: u16, transport: Transport) -> Result<Self> {
        let mut process = Command::new("python3")
            .args(["-c", CLIENTS, &port.to_string(), ROLE, PASSWORD, DATABASE])
            .arg(transport.as_str())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run python3")?;
        let orders = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("stdout is piped"));
        Ok(Self { process, orders, answers })
    }

    /// Opens so many more, one after the other, and returns when they all stand.
    pub(super) fn open(&mut self, clients: u32) -> Result<()> {
        let orders = self.orders.as_mut().expect("it is there until the end");
        // If it has ended, the answer is missing, and stderr says why.
        let _ = writeln!(orders, "{clients}");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).context("idle clients")?;
        if answer.trim() != clients.to_string() {
            let mut stderr = String::new();
            if let Some(pipe) = &mut self.process.stderr {
                pipe.read_to_string(&mut stderr).context("idle clients")?;
            }
            bail!("idle clients: {}", stderr.trim());
        }
        Ok(())
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.process.wait();
    }
}

const CLIENTS: &str = include_str!("idle.py");
