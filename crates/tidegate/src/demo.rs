//! `tidegate demo`: the mission in a minute, on a throwaway PostgreSQL.
//!
//! The same FastAPI application under the same load, first directly on a PostgreSQL that has 15
//! connections to give, then through the gate. All that is counted is counted from outside: answers
//! by the clients, connections by their processes, refusals in PostgreSQL's log.
//!
//! Relies on PostgreSQL's programs, on a Python with the application's packages, and on `sh`.
//! Promises: nothing that the demo started outlives it, however it ends ([`child`]); so Ctrl-C
//! needs no handler. All waits are for a condition and have a deadline.

mod app;
mod backends;
mod comparison;
mod gate;
mod load;

mod ready;
mod http;

mod port;
mod error;
mod child;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tidegate_scratch::wait::until;
use tidegate_scratch::{Cluster, ClusterOptions, Installation};

pub(crate) use error::DemoError;

use app::App;
use child::{Program, Running};
use comparison::Run;
use gate::Gate;
use load::Load;

/// What can be chosen.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many requests are on their way at the same time
    #[arg(long, value_name = "N", default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub(crate) requests_at_once: u32,
    /// How long each of both runs takes
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// Go on until Ctrl-C, so that there is something to look at [default: on a terminal]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true")]
    pub(crate) keep_running: Option<bool>,
    /// A Python that has the app's packages [default: $VIRTUAL_ENV, then target/python]
    #[arg(long, value_name = "PATH")]
    pub(crate) python: Option<PathBuf>,
}

/// Shows it. Progress goes to stderr, the comparison and where to look to stdout.
pub(crate) fn run(options: &Options) -> Result<(), DemoError> {
    let python = app::find_python(options.python.as_deref())?;
    let installation = Installation::find()?;

    let cluster = start_postgres(&installation)?;
    let (major, minor) = installation.version;
    step(&format!(
        "PostgreSQL {major}.{minor} runs on port {}: max_connections = {MAX_CONNECTIONS}, of which \
         {RESERVED} are reserved for superusers, so {CONNECTIONS_MAX} are for applications.",
        cluster.port()
    ));

    step(&format!(
        "Without a gate: FastAPI in {} uvicorn workers, each with pool_size=5 and max_overflow=10, \
         so up to {} connections.",
        app::WORKERS,
        app::WORKERS * app::CONNECTIONS_PER_WORKER
    ));
    let url = cluster.url(ROLE, PASSWORD, DATABASE);
    let app = App::start(&python, &url)?;
    let direct = measure(options, &cluster, app.address, "directly to PostgreSQL");
    drop(app);
    wait_until_nobody_is_connected(&cluster)?;

    step(
        "With the gate: `tidegate run` with plan = \"free\" in front of the same PostgreSQL, and \
         the same app on its transaction port. Nothing else changes.",
    );
    let mut gate = Gate::start(&url)?;
    let url = gate_url(gate.transaction_port);
    let mut app = App::start(&python, &url)?;
    let through_gate = measure(options, &cluster, app.address, "through the gate");

    println!("\n{}", comparison::table(&direct, &through_gate, CONNECTIONS_MAX));
    if options.keep_running.unwrap_or_else(|| io::stdout().is_terminal()) {
        println!("{}", where_to_look(&cluster, &gate, &app));
        keep_running(&mut gate, &mut app)?;
    }
    Ok(())
}

/// A PostgreSQL as small as the smallest managed ones, with the application's role and tables.
fn start_postgres(installation: &Installation) -> Result<Cluster, DemoError> {
    let options = ClusterOptions::default()
        .setting("max_connections", MAX_CONNECTIONS.to_string())
        .setting("superuser_reserved_connections", RESERVED.to_string());
    let cluster = Cluster::start(installation, options)?;
    cluster.sql(&format!(
        "CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'; CREATE DATABASE {DATABASE} OWNER {ROLE}"
    ))?;
    let schema = app::SCHEMA;
    cluster.sql_in(DATABASE, &format!("SET ROLE {ROLE};\nSET search_path = public;\n{schema}"))?;
    Ok(cluster)
}

/// Plays the load and counts what it does to PostgreSQL.
fn measure(options: &Options, cluster: &Cluster, address: std::net::SocketAddr, how: &str) -> Run {
    progress(&format!(
        "{} requests at once for {} s, {how} ...",
        options.requests_at_once, options.seconds
    ));
    let load = Load {
        address,
        requests_at_once: options.requests_at_once,
        duration: Duration::from_secs(options.seconds),
    };
    let refused_before = refusals(&cluster.log_text());
    let is_over = AtomicBool::new(false);
    let (outcome, connections_most) = thread::scope(|scope| {
        let counting = scope.spawn(|| {
            let postmaster = cluster.postmaster_pid();
            postmaster.map_or(0, |pid| backends::most(pid, ROLE_AND_DATABASE, &is_over))
        });
        let outcome = load.run();
        is_over.store(true, Ordering::Relaxed);
        (outcome, counting.join().expect("counting does not panic"))
    });
    progress(&format!("{} of {} requests were answered.", outcome.answered(), outcome.requests()));
    let refused = refusals(&cluster.log_text()) - refused_before;
    Run { outcome, connections_most, refused }
}

/// How often this log says that there were too many connections.
fn refusals(log: &str) -> usize {
    REFUSALS.iter().map(|text| log.matches(text).count()).sum()
}

/// The gate must not find connections of an app that has just been ended.
fn wait_until_nobody_is_connected(cluster: &Cluster) -> Result<(), DemoError> {
    let Some(postmaster) = cluster.postmaster_pid() else { return Ok(()) };
    let mut connections = 0;
    let gone = until(GONE_MAX, BETWEEN_PROBES, || {
        connections = backends::count(postmaster, ROLE_AND_DATABASE);
        Ok::<_, DemoError>((connections == 0).then_some(()))
    })?;
    gone.ok_or(DemoError::StillConnected { connections, waited: GONE_MAX })
}

fn gate_url(port: u16) -> String {
    format!("postgres://{ROLE}:{PASSWORD}@127.0.0.1:{port}/{DATABASE}")
}

fn where_to_look(cluster: &Cluster, gate: &Gate, app: &App) -> String {
    let http = gate.http;
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("tidegate"));
    format!(
        "Where to look, while a light load goes on:\n\
         \x20 the gate's state     {} status --api http://{http}\n\
         \x20 metrics              curl http://{http}/metrics\n\
         \x20 transaction port     psql {}\n\
         \x20 session port         psql {}\n\
         \x20 PostgreSQL itself    psql {}\n\
         \x20 the app              curl http://{app}/items\n\
         \x20 a leak               curl http://{app}/leak\n\
         \x20 the gate's log       {}\n\
         \x20 the app's log        {}\n\
         Ctrl-C ends everything.",
        program.display(),
        gate_url(gate.transaction_port),
        gate_url(gate.session_port),
        cluster.url(cluster.superuser(), cluster.superuser(), DATABASE),
        gate.running.log_path().display(),
        app.running.log_path().display(),
        app = app.address,
    )
}

/// Goes on with a load that leaves room for people, until Ctrl-C or until something breaks.
fn keep_running(gate: &mut Gate, app: &mut App) -> Result<(), DemoError> {
    loop {
        let duration = Duration::from_secs(1);
        Load { address: app.address, requests_at_once: LIGHT, duration }.run();
        still_runs(Program::Gate, &mut gate.running)?;
        still_runs(Program::App, &mut app.running)?;
    }
}

fn still_runs(program: Program, running: &mut Running) -> Result<(), DemoError> {
    if running.is_alive() {
        return Ok(());
    }
    Err(DemoError::Ended { program, log: running.log_tail() })
}

fn step(text: &str) {
    eprintln!("\n{text}");
}

fn progress(text: &str) {
    eprintln!("  {text}");
}

const MAX_CONNECTIONS: u32 = 18;
const RESERVED: u32 = 3;
/// What the plan `free` promises, and what this PostgreSQL gives to applications.
const CONNECTIONS_MAX: u32 = MAX_CONNECTIONS - RESERVED;

const ROLE: &str = "app";
/// Of a PostgreSQL that lives for a minute, on 127.0.0.1, with nothing in it.
const PASSWORD: &str = "secret";
const DATABASE: &str = "shop";
const ROLE_AND_DATABASE: &str = "app shop";

/// PostgreSQL's words for it, above the reserve and below (`proc.c` and `postinit.c`, 15 to 18).
const REFUSALS: &[&str] =
    &["FATAL:  sorry, too many clients already", "FATAL:  remaining connection slots are reserved"];

/// Backends end as soon as they next read or write; the longest statement takes 0.2 s.
const GONE_MAX: Duration = Duration::from_secs(30);
/// Short beside the second that an application takes to start, long beside the cost of a probe.
const BETWEEN_PROBES: Duration = Duration::from_millis(20);
/// Requests at once while people look around.
const LIGHT: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_refusals_of_postgres_count_and_other_errors_do_not() {
        let log = "LOG:  connection received\n\
                   FATAL:  sorry, too many clients already\n\
                   FATAL:  remaining connection slots are reserved for roles with the SUPERUSER\n\
                   FATAL:  password authentication failed for user \"app\"\n";
        assert_eq!(refusals(log), 2);
    }

    #[test]
    fn the_titles_of_backends_name_the_role_and_the_database() {
        assert_eq!(ROLE_AND_DATABASE, format!("{ROLE} {DATABASE}"));
    }
}
