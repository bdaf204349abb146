//! The two poolers: the same tasks, each in its own words.

use std::fmt;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use tidegate_scratch::wait;

use crate::bench_peers::certificate::Certificate;
use crate::bench_peers::idle::Transport;
use crate::bench_peers::pgbench::Pgbench;
use crate::bench_peers::upstream::{DATABASE, ROLE, Upstream};
use crate::child::{Account, Child, Folder};
use crate::install;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Tidegate,
    PgBouncer,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tidegate => "Tidegate",
            Self::PgBouncer => "PgBouncer",
        })
    }
}

/// All that is needed to start either.
pub(super) struct Peers {
    pub(super) tidegate: PathBuf,
    pub(super) pgbouncer: PathBuf,
    pub(super) upstream: Upstream,
    certificate: Certificate,
}

/// A running one. Dropping it ends it.
pub(super) struct Pooler {
    child: Child,
    pub(super) port: u16,
}

impl Peers {
    pub(super) fn prepare(tidegate: PathBuf) -> Result<Self> {
        let pgbouncer = install::pgbouncer().context("PgBouncer is not installed")?;
        let certificate = Certificate::make()?;
        Ok(Self { tidegate, pgbouncer, upstream: Upstream::start()?, certificate })
    }

    /// Starts one with no servers yet, and waits until it listens.
    pub(super) fn start(&self, peer: Peer, transport: Transport) -> Result<Pooler> {
        self.upstream.until_nobody_is_connected()?;
        // PgBouncer does not run as root.
        let account = match peer {
            Peer::Tidegate => Account::Ours,
            Peer::PgBouncer => Account::not_root()?,
        };
        let folder = Folder::make(account)?;
        if transport == Transport::Tls {
            folder.write(CERTIFICATE, &self.certificate.certificate)?;
            folder.write(KEY, &self.certificate.key)?;
        }
        let verifier = self.upstream.verifier.to_string();
        let port = free_port()?;
        let command = match peer {
            Peer::Tidegate => {
                let text = tidegate_settings(
                    &self.upstream.url(),
                    &verifier,
                    folder.path(),
                    port,
                    transport,
                );
                let mut command = Command::new(&self.tidegate);
                command.args(["run", "--config"]).arg(folder.write("tidegate.toml", &text)?);
                command
            }
            Peer::PgBouncer => {
                let users = format!("\"{ROLE}\" \"{verifier}\"\n");
                folder.write(USERS, &users)?;
                let text = pgbouncer_settings(self.upstream.port(), folder.path(), port, transport);
                let mut command = Command::new(&self.pgbouncer);
                command.arg(folder.write("pgbouncer.ini", &text)?);
                command
            }
        };
        let mut pooler = Pooler { child: Child::start(&command, folder, account)?, port };
        pooler.until_it_listens().map_err(|error| pooler.explain(&error))?;
        Ok(pooler)
    }

    pub(super) fn pgbench<'a>(&'a self, pooler: &'a Pooler) -> Pgbench<'a> {
        let (program, logs) = (self.upstream.pgbench(), pooler.child.folder());
        Pgbench { program, port: pooler.port, logs }
    }
}

impl Pooler {
    pub(super) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// An error, and what the pooler may have to say of it.
    pub(super) fn explain(&self, error: &anyhow::Error) -> anyhow::Error {
        match self.child.log_tail() {
            log if log.is_empty() => anyhow!("{error:#}"),
            log => anyhow!("{error:#}; the pooler's log ends with\n{log}"),
        }
    }

    fn until_it_listens(&mut self) -> Result<()> {
        let listens = wait::until(START_MAX, Duration::from_millis(10), || {
            ensure!(self.child.is_alive(), "it has ended");
            Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok())
        })?;
        match listens {
            Some(_) => Ok(()),
            None => bail!("it does not listen on port {} after {START_MAX:?}", self.port),
        }
    }
}

/// Defaults but for ports, the number of servers, the log, and whom to let in. The census would ask
/// what PgBouncer never asks.
fn tidegate_settings(
    url: &str,
    verifier: &str,
    folder: &Path,
    port: u16,
    transport: Transport,
) -> String {
    let tls = match transport {
        Transport::Plain => String::new(),
        Transport::Tls => format!(
            "tls = \"require\"\ntls_cert = \"{folder}/{CERTIFICATE}\"\ntls_key = \"{folder}/{KEY}\"\n",
            folder = folder.display()
        ),
    };
    format!(
        "plan = \"custom\"\n\
         [upstream]\nurl = \"{url}?sslmode=disable\"\nconnections = {SERVERS}\ncensus = \"off\"\n\
         [listen]\nsession = \"127.0.0.1:0\"\ntransaction = \"127.0.0.1:{port}\"\n\
         http = \"127.0.0.1:0\"\n{tls}\
         [pool]\npool_size = {SERVERS}\nmax_overflow = 0\n\
         [log]\nlevel = \"warn\"\n\
         [[user]]\nname = \"{ROLE}\"\nverifier = \"{verifier}\"\n"
    )
}

/// Defaults but for ports, the number of servers, the log, and whom to let in. With PostgreSQL's
/// own verifier in `auth_file` and no password anywhere, PgBouncer logs in at PostgreSQL with the
/// keys that a client's login shows it: SCRAM towards both.
fn pgbouncer_settings(upstream: u16, folder: &Path, port: u16, transport: Transport) -> String {
    let folder = folder.display();
    let tls = match transport {
        Transport::Plain => String::new(),
        Transport::Tls => format!(
            "client_tls_sslmode = require\nclient_tls_cert_file = {folder}/{CERTIFICATE}\n\
             client_tls_key_file = {folder}/{KEY}\n"
        ),
    };
    format!(
        "[databases]\n{DATABASE} = host=127.0.0.1 port={upstream}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = scram-sha-256\nauth_file = {folder}/{USERS}\n\
         pool_mode = transaction\ndefault_pool_size = {SERVERS}\n\
         max_client_conn = {CLIENTS_MAX}\n\
         log_connections = 0\nlog_disconnections = 0\nlog_stats = 0\n{tls}"
    )
}

/// It may be taken by somebody else before it is used; then the pooler says so and ends.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    Ok(address.context("a free port")?.port())
}

/// How many servers each has.
pub(super) const SERVERS: u32 = 8;
/// Tidegate's default, for PgBouncer, whose own is 100.
const CLIENTS_MAX: u32 = 10_000;
const START_MAX: Duration = Duration::from_secs(20);
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const USERS: &str = "users.txt";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_have_tls_where_it_is_asked_for_and_only_there() {
        let folder = Path::new("/tmp/x");
        for (transport, expected) in [(Transport::Plain, false), (Transport::Tls, true)] {
            let tidegate = tidegate_settings("postgres://a:b@c/d", "", folder, 1, transport);
            let pgbouncer = pgbouncer_settings(2, folder, 1, transport);
            assert_eq!(tidegate.contains("\ntls_key = \"/tmp/x/tls.key\"\n"), expected);
            assert_eq!(pgbouncer.contains("\nclient_tls_key_file = /tmp/x/tls.key\n"), expected);
        }
    }
}
