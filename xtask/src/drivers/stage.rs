//! What a driver connects to: a PostgreSQL of its own, and a gate in front of it unless the driver
//! is to see PostgreSQL itself.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;
use tidegate_scratch::{Cluster, ClusterOptions, Installation, wait};

use crate::child::{Account, Child, Folder};
use crate::drivers::place::{Place, Port};

/// What a suite needs of its PostgreSQL and of the gate.
#[derive(Debug, Default)]
pub(super) struct Setting {
    pub(super) options: ClusterOptions,
    /// Run by the superuser, each in a database.
    pub(super) sql: &'static [(&'static str, &'static str)],
    /// User, password, and database, of the gate too.
    pub(super) login: Login,
    /// Lines for the end of the gate's settings.
    pub(super) users: &'static str,
    /// Where the driver insists on being served.
    pub(super) port: Option<u16>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Login {
    pub(super) user: &'static str,
    /// None where PostgreSQL asks for none.
    pub(super) password: Option<&'static str>,
    pub(super) database: &'static str,
}

impl Default for Login {
    /// The superuser of a throwaway cluster.
    fn default() -> Self {
        Self { user: "postgres", password: Some("postgres"), database: "postgres" }
    }
}

impl Login {
    fn url(self, scheme: &str, port: u16) -> String {
        let Self { user, password, database } = self;
        let password = password.map(|password| format!(":{password}")).unwrap_or_default();
        format!("{scheme}://{user}{password}@127.0.0.1:{port}/{database}")
    }
}

/// Both run. Dropping it ends them, the gate first.
pub(super) struct Stage {
    gate: Option<Child>,
    _cluster: Cluster,
    pub(super) login: Login,
    /// What the driver connects to, on 127.0.0.1.
    pub(super) port: u16,
}

impl Stage {
    pub(super) fn set(place: Place, setting: &Setting, tidegate: &Path) -> Result<Self> {
        let installation = Installation::find_version(VERSION).or_else(|_| Installation::find())?;
        let options = setting.options.clone().setting("max_connections", MAX_CONNECTIONS);
        let options = match (place, setting.port) {
            (Place::Direct, Some(port)) => options.port(port),
            _ => options,
        };
        let cluster = Cluster::start(&installation, options)?;
        for (database, sql) in setting.sql {
            cluster.sql_in(database, sql)?;
        }
        let login = setting.login;
        let (gate, port) = match place {
            Place::Direct => (None, cluster.port()),
            Place::Port(port) => {
                let url = login.url("postgres", cluster.port());
                let (gate, port) = start_gate(tidegate, &url, setting, port)?;
                (Some(gate), port)
            }
        };
        Ok(Self { gate, _cluster: cluster, login, port })
    }

    /// A URL as all drivers understand it, but for what comes before `://`.
    pub(super) fn url(&self, scheme: &str) -> String {
        self.login.url(scheme, self.port)
    }

    /// The lines of the gate's log that speak of a defect of its own.
    pub(super) fn defects(&self) -> Vec<String> {
        let log = self.gate.as_ref().map(Child::log).unwrap_or_default();
        let is_bad = |line: &&str| match serde_json::from_str::<Value>(line) {
            Ok(line) => line["level"] == "ERROR",
            Err(_) => true, // What a panic says.
        };
        log.lines().filter(is_bad).map(str::to_owned).collect()
    }
}

fn start_gate(tidegate: &Path, url: &str, setting: &Setting, port: Port) -> Result<(Child, u16)> {
    let folder = Folder::make(Account::Ours)?;
    let listen = |of: Port| match setting.port {
        Some(fixed) if of == port => fixed,
        _ => 0,
    };
    let text = format!(
        "plan = \"custom\"\n\
         [upstream]\nurl = \"{url}?sslmode=disable\"\nconnections = {SERVERS}\n\
         [listen]\nsession = \"127.0.0.1:{}\"\ntransaction = \"127.0.0.1:{}\"\n\
         http = \"127.0.0.1:0\"\n\
         [pool]\npool_size = {SERVERS}\nmax_overflow = 0\n\
         [log]\nformat = \"json\"\n{}",
        listen(Port::Session),
        listen(Port::Transaction),
        setting.users,
    );
    let mut command = Command::new(tidegate);
    command.args(["run", "--config"]).arg(folder.write("tidegate.toml", &text)?);
    let mut gate = Child::start(&command, folder, Account::Ours)?;
    let announced = wait::until(START_MAX, BETWEEN_LOOKS, || {
        let log = gate.log();
        ensure!(gate.is_alive(), "the gate has ended: {}", log.trim());
        Ok(announced(&log, port))
    })?;
    let port = announced.ok_or_else(|| anyhow!("the gate does not listen after {START_MAX:?}"));
    Ok((gate, port.context("its log shows no port")?))
}

/// Where the gate says that it listens.
fn announced(log: &str, port: Port) -> Option<u16> {
    let wanted = format!("{} port", port.as_str());
    log.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let fields = &line["fields"];
        let is_it = fields["message"].as_str()?.starts_with(&wanted);
        let address = is_it.then(|| fields["address"].as_str())??;
        address.rsplit(':').next()?.parse().ok()
    })
}

const VERSION: u32 = 15;
/// Suites hold a few dozen connections at most; none of them is to wait for one.
const SERVERS: u32 = 80;
/// More than the gate has servers, its census and headroom included.
const MAX_CONNECTIONS: &str = "100";
const START_MAX: Duration = Duration::from_secs(20);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_the_one_that_the_gate_announces() {
        let line = |what, port| {
            format!(
                "{{\"level\":\"INFO\",\"fields\":{{\"message\":\"{what} port: clients connect \
                 here\",\"address\":\"127.0.0.1:{port}\"}}}}\n"
            )
        };
        let log = format!("no JSON\n{}{}", line("session", 1), line("transaction", 2));
        assert_eq!(announced(&log, Port::Session), Some(1));
        assert_eq!(announced(&log, Port::Transaction), Some(2));
        assert_eq!(announced("", Port::Session), None);
    }
}
