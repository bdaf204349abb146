//! The FastAPI application of `examples/fastapi`, carried within the binary.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::demo::child::{Folder, Program, Running};
use crate::demo::error::DemoError;
use crate::demo::port;
use crate::demo::ready::wait_until_ready;

/// Makes the tables.
pub(crate) const SCHEMA: &str = include_str!("../../../../examples/fastapi/schema.sql");

/// uvicorn's processes, each of which has an engine with 5 + 10 connections.
pub(crate) const WORKERS: u32 = 4;
pub(crate) const CONNECTIONS_PER_WORKER: u32 = 15;

/// The running application.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    pub(crate) running: Running,
}

impl App {
    /// Starts it, and waits until all workers take requests. Nothing but `url` tells it whether it
    /// speaks to PostgreSQL itself or to the gate.
    pub(crate) fn start(python: &Path, url: &str) -> Result<Self, DemoError> {
        let folder = Folder::make("app").map_err(DemoError::io("make a folder for the app"))?;
        for (name, text) in FILES {
            folder.write(name, text).map_err(DemoError::io("write the app"))?;
        }
        let port = port::free_near(PORT)?;
        let mut command = Command::new(python);
        command
            .args(["-m", "uvicorn", "app.main:app", "--host", "127.0.0.1"])
            .args(["--port", &port.to_string(), "--workers", &WORKERS.to_string()])
            // The log says when a worker has started, and nothing of each request.
            .args(["--log-level", "info", "--no-access-log"])
            .env("DATABASE_URL", url)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let mut running =
            Running::start(&command, folder).map_err(DemoError::io("start the app"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let all_started = |log: &str| log.matches(WORKER_STARTED).count() >= WORKERS as usize;
        wait_until_ready(Program::App, &mut running, address, "/health", all_started)?;
        Ok(Self { address, running })
    }
}

/// The Python that has what the application needs: the given one, or the first that does of the
/// active environment's and of the one that `cargo xtask demo` makes.
pub(crate) fn find_python(given: Option<&Path>) -> Result<PathBuf, DemoError> {
    let candidates = match given {
        Some(given) => vec![given.to_owned()],
        None => std::env::var_os("VIRTUAL_ENV")
            .into_iter()
            .map(|environment| PathBuf::from(environment).join("bin/python"))
            .chain([PathBuf::from("target/python/bin/python")])
            .collect(),
    };
    let mut tried = Vec::new();
    for python in candidates {
        // The app runs in a folder of its own, where a relative path would lead nowhere. A bare
        // name stays: it is looked up on PATH. Links stay: an environment is found by its link.
        let python = if python.components().count() > 1 {
            std::path::absolute(&python).map_err(DemoError::io("find the current folder"))?
        } else {
            python
        };
        match reason_against(&python) {
            None => return Ok(python),
            Some(reason) => tried.push(format!("{}: {reason}", python.display())),
        }
    }
    Err(DemoError::NoPython { tried: tried.join("\n  ") })
}

/// Why this Python can't run the application; `None` if it can.
fn reason_against(python: &Path) -> Option<String> {
    let output = Command::new(python).args(["-c", IMPORTS]).stdin(Stdio::null()).output();
    match output {
        Err(error) => Some(error.to_string()),
        Ok(output) if output.status.success() => None,
        // The last line of a traceback says what happened.
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            Some(stderr.trim().lines().last().unwrap_or("it fails without a word").to_owned())
        }
    }
}

const FILES: &[(&str, &str)] = &[
    ("app/__init__.py", include_str!("../../../../examples/fastapi/app/__init__.py")),
    ("app/db.py", include_str!("../../../../examples/fastapi/app/db.py")),
    ("app/main.py", include_str!("../../../../examples/fastapi/app/main.py")),
    ("app/models.py", include_str!("../../../../examples/fastapi/app/models.py")),
];

const IMPORTS: &str = "import asyncpg, fastapi, greenlet, sqlalchemy, uvicorn";
/// uvicorn says this once per worker; only then does the worker take connections.
const WORKER_STARTED: &str = "Application startup complete.";
/// uvicorn's own default.
const PORT: u16 = 8000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_that_is_missing_or_lacks_the_packages_is_refused_with_the_cure() {
        for (python, reason) in [("/nowhere/python", "No such file"), ("/bin/false", "fails")] {
            let error = find_python(Some(Path::new(python))).unwrap_err().to_string();
            assert!(error.contains(python) && error.contains(reason), "{error}");
            assert!(error.contains("`cargo xtask demo`"), "{error}");
        }
    }
}
