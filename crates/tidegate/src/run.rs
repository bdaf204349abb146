//! `tidegate run`: the gate, its control plane, and its signals.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tidegate_config::Config;
use tidegate_control::link::Link;
use tidegate_control::{census, lookups, web};
use tidegate_pool_core::server::Port;
use tidegate_proxy::gate::Gate;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::RunOptions;
use crate::{exit, log, settings};

/// How often the main thread looks whether a worker has died, which only a bug can make it.
const WATCH: Duration = Duration::from_secs(1);

/// 128 + SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

pub(crate) fn run(options: &RunOptions) -> ExitCode {
    let loaded = match settings::loaded(&options.settings) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    log::start(&loaded.config.log);
    let config = Arc::new(loaded.config);
    // Ports are bound before anything is started: one that is taken ends us with nothing begun.
    let web = match web::bind(&config.listen.http, config.listen.control.as_deref()) {
        Ok(web) => web,
        Err(error) => return exit::with(exit::UNABLE, &error),
    };
    let gate = match Gate::start(config.clone()) {
        Ok(gate) => gate,
        Err(error) if error.is_configuration() => return exit::with(exit::USAGE, &error),
        Err(error) => return exit::with(exit::UNABLE, &error),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return exit::with(exit::UNABLE, &error),
    };
    let end = runtime.block_on(control(&gate, &config, web));
    match end {
        End::Broken => exit::with(exit::UNABLE, &"a worker has died; this is a bug, see the log"),
        End::Signal(code) => {
            tracing::info!("shutting down: new work is refused, transactions may end");
            let shared = gate.shared.clone();
            let draining = std::thread::spawn(move || gate.drain());
            // The web goes on meanwhile, so that /readyz can say what happens; a second signal
            // ends everything at once.
            runtime.block_on(async {
                let mut again = signal(SignalKind::interrupt()).ok();
                let mut term = signal(SignalKind::terminate()).ok();
                while !draining.is_finished() {
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_millis(20)) => {}
                        () = received(again.as_mut()) => break,
                        () = received(term.as_mut()) => break,
                    }
                }
            });
            tracing::info!(clients = shared.clients(), "stopped");
            ExitCode::from(code)
        }
    }
}

enum End {
    Broken,
    Signal(u8),
}

async fn received(signal: Option<&mut tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// The control plane: census, web, and signals, until one of them ends it.
async fn control(gate: &Gate, config: &Config, web: web::Bound) -> End {
    announce(gate, config, &web);
    let mut interrupt = signal(SignalKind::interrupt()).ok();
    let mut terminate = signal(SignalKind::terminate()).ok();
    let mut hangup = signal(SignalKind::hangup()).ok();
    if config.upstream.census.is_some() || config.auth.query.is_some() {
        let link = Link::start(gate.shared.clone(), config.auth.query.is_some());
        tokio::spawn(census::run(gate.shared.clone(), link.clone()));
        if let Some(query) = config.auth.query.clone() {
            tokio::spawn(lookups::run(gate.shared.clone(), link, query));
        }
    }
    tokio::spawn(web::serve(gate.shared.clone(), web, std::future::pending()));
    let mut watch = tokio::time::interval(WATCH);
    loop {
        tokio::select! {
            () = received(interrupt.as_mut()) => return End::Signal(INTERRUPTED),
            () = received(terminate.as_mut()) => return End::Signal(0),
            () = received(hangup.as_mut()) => reload_certificates(gate),
            _ = watch.tick() => if gate.is_broken() { return End::Broken },
        }
    }
}

/// SIGHUP: certificates that were renewed are used from now on.
fn reload_certificates(gate: &Gate) {
    match gate.shared.reload_certificates() {
        Ok(()) => tracing::info!("certificates and keys were read again"),
        Err(error) => tracing::error!("certificates stay as they were: {error}"),
    }
}

/// The first lines: what an operator wants to know and to paste.
fn announce(gate: &Gate, config: &Config, web: &web::Bound) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        plan = config.plan.as_str(),
        upstream = %config.upstream.url_redacted(),
        "tidegate has started"
    );
    for (port, address) in gate.addresses() {
        let what = match port {
            Port::Session => "session port: a server for as long as a client is connected",
            Port::Transaction => "transaction port: a server for each transaction",
        };
        tracing::info!(%address, "{what}");
    }
    for address in web.addresses() {
        tracing::info!(%address, "http: /metrics, /healthz, /readyz, /api/v1/snapshot");
    }
}
