//! The gate, as a child: this very program with `run` and a settings file.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use crate::demo::child::{Folder, Program, Running};
use crate::demo::error::DemoError;
use crate::demo::port;
use crate::demo::ready::wait_until_ready;

/// The running gate.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) session_port: u16,
    pub(crate) transaction_port: u16,
    pub(crate) http: SocketAddr,
    pub(crate) running: Running,
}

impl Gate {
    /// Starts it in front of `upstream_url`, and waits until it takes clients.
    pub(crate) fn start(upstream_url: &str) -> Result<Self, DemoError> {
        let session_port = port::free_near(SESSION_PORT)?;
        let transaction_port = port::free_near(TRANSACTION_PORT)?;
        let http = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free_near(HTTP_PORT)?));
        let folder = Folder::make("gate").map_err(DemoError::io("make a folder for the gate"))?;
        let settings = format!(
            "plan = \"free\"\n\n\
             [upstream]\nurl = \"{upstream_url}\"\n\n\
             [listen]\nsession = \"127.0.0.1:{session_port}\"\n\
             transaction = \"127.0.0.1:{transaction_port}\"\nhttp = \"{http}\"\n"
        );
        let file = folder.write("tidegate.toml", &settings);
        let file = file.map_err(DemoError::io("write the gate's settings"))?;
        let this_program = std::env::current_exe().map_err(DemoError::io("find this program"))?;
        let mut command = Command::new(this_program);
        command.args(["run", "--config"]).arg(file);
        let mut running =
            Running::start(&command, folder).map_err(DemoError::io("start the gate"))?;
        wait_until_ready(Program::Gate, &mut running, http, "/readyz", |_| true)?;
        Ok(Self { session_port, transaction_port, http, running })
    }
}

// The gate's own defaults, so that `tidegate status` finds it without being told where.
const SESSION_PORT: u16 = 6543;
const TRANSACTION_PORT: u16 = 6544;
const HTTP_PORT: u16 = 6545;
