//! `tidegate run`: the gate, its control plane, and its signals.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tidegate_config::{Config, ListenAddress};
use tidegate_control::lifecycle::Lifecycle;
use tidegate_control::link::Link;
use tidegate_control::reload::{Hooks, Reloader};
use tidegate_control::{census, console, lookups, web};
use tidegate_pool_core::server::Port;
use tidegate_proxy::gate::{Gate, GateError};
use tidegate_proxy::takeover::giving::{Event, Role};
use tidegate_proxy::takeover::taking::Elder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::cli::RunOptions;
use crate::notify::{self, Notifier};
use crate::{exit, log, settings, takeover};

/// How often the main thread looks whether a worker has died, which only a bug can make it.
const WATCH: Duration = Duration::from_secs(1);

/// What systemd shows while all is well.
const TAKES_CLIENTS: &str = "takes clients";

/// How often it is looked whether logins that began before a take-over are over: each takes
/// milliseconds, or as long as `timeouts.client_login`.
const LOGINS_PAUSE: Duration = Duration::from_millis(50);

/// 128 + SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

pub(crate) fn run(options: &RunOptions) -> ExitCode {
    let loaded = match settings::loaded(&options.settings) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let level = log::start(&loaded.config.log);
    let config = Arc::new(loaded.config);
    let elder = match takeover::elder(options.takeover, &config) {
        Ok(elder) => elder,
        Err(error) if error.is_configuration() => return exit::with(exit::USAGE, &error),
        Err(error) => return exit::with(exit::UNABLE, &error),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return exit::with(exit::UNABLE, &error),
    };
    let (mut gate, doors) = match open(&config, elder) {
        Ok(opened) => opened,
        Err(Unopened::Gate(error)) if error.is_configuration() => {
            return exit::with(exit::USAGE, &error);
        }
        Err(error) => return exit::with(exit::UNABLE, &error),
    };
    let notifier = Notifier::of_environment();
    let lifecycle = lifecycle(&gate, options, level, notifier.clone());
    let control = control(&mut gate, &config, &lifecycle, notifier.as_ref(), doors);
    let (end, successor, serving) = runtime.block_on(control);
    match end {
        End::Broken => exit::with(exit::UNABLE, &"a worker has died; this is a bug, see the log"),
        End::Signal(code) => {
            match successor.is_some() {
                true => tracing::info!("shutting down: another process goes on"),
                false => tracing::info!("shutting down: new work is refused, transactions may end"),
            }
            let shared = gate.shared.clone();
            // Where another process goes on, the service does not end.
            if let Some(notifier) = notifier.filter(|_| successor.is_none()) {
                let clients = shared.clients();
                notifier.stopping(&format!("{clients} clients are connected and may end"));
            }
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
            if let Some(serving) = serving {
                // What is being answered is taken first.
                let _ = runtime.block_on(serving.stop());
            }
            if let Some(successor) = successor {
                successor.say_goodbye();
            }
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

/// What was opened for everything that is not a pooler port.
struct Doors {
    web: web::Bound,
    takeover: Option<takeover::Door>,
    /// They were another process's before.
    are_taken_over: bool,
}

/// Why a gate could not be opened.
#[derive(Debug, thiserror::Error)]
enum Unopened {
    #[error("{0}")]
    Gate(#[from] GateError),
    #[error("{0}")]
    Web(#[from] web::BindError),
    #[error("{0}")]
    Takeover(#[from] takeover::Error),
}

/// Opens all ports, and starts the gate. A port that is taken ends us with nothing begun; one that is
/// the elder's is taken over, once nothing else can fail.
fn open(config: &Arc<Config>, mut elder: Option<Elder>) -> Result<(Gate, Doors), Unopened> {
    let web = web::bind(&config.listen.http, config.listen.control.as_deref(), elder.as_mut())?;
    let takeover = takeover::Door::open(config, elder.as_mut())?;
    let prepared = Gate::prepare(config.clone(), elder.as_mut())?;
    let are_taken_over = elder.is_some();
    let begun = elder.map(Elder::begin).transpose().map_err(takeover::Error::from)?;
    let gate = prepared.start(begun.as_ref());
    if let Some(begun) = begun {
        begun.serve(gate.shared.clone());
        web.set_anothers(false);
        takeover.iter().for_each(takeover::Door::adopt);
    }
    Ok((gate, Doors { web, takeover, are_taken_over }))
}

/// What asks the upstream over the control plane's own connection.
struct Questions {
    link: Link,
    census: JoinHandle<()>,
    lookups: Option<JoinHandle<()>>,
}

impl Questions {
    fn start(gate: &Gate, config: &Config) -> Option<Self> {
        if config.upstream.census.is_none() && config.auth.query.is_none() {
            return None;
        }
        let link = Link::start(gate.shared.clone(), config.auth.query.is_some());
        let census = tokio::spawn(census::run(gate.shared.clone(), link.clone()));
        let lookups = config
            .auth
            .query
            .clone()
            .map(|query| tokio::spawn(lookups::run(gate.shared.clone(), link.clone(), query)));
        Some(Self { link, census, lookups })
    }

    /// Counts no more, and looks nobody up any more once those who log in have done so.
    fn stop(self, gate: &Gate) {
        let Self { link, census, lookups } = self;
        census.abort();
        let shared = gate.shared.clone();
        shared.set_census_works(false);
        tokio::spawn(async move {
            while lookups.is_some() && shared.has_successor() && !shared.nobody_logs_in() {
                tokio::time::sleep(LOGINS_PAUSE).await;
            }
            lookups.iter().for_each(JoinHandle::abort);
            link.stop();
        });
    }
}

/// What a reload reads, and whom it tells.
fn lifecycle(
    gate: &Gate,
    options: &RunOptions,
    level: log::Level,
    notifier: Option<Arc<Notifier>>,
) -> Lifecycle {
    let file = options.settings.config.clone();
    // They were in order when the gate was started with them.
    let flags = settings::flags(&options.settings).unwrap_or_default();
    let systemd = notifier.clone();
    let hooks = Hooks {
        load: Box::new(move || settings::load_with(file.as_deref(), &flags)),
        set_level: Box::new(move |to| level.set(to)),
        begins: Box::new(move || {
            if let Some(notifier) = &systemd {
                notifier.reloading();
            }
        }),
        ended: Box::new(move |error| {
            if let Some(notifier) = &notifier {
                notifier.ready(match error {
                    None => TAKES_CLIENTS,
                    Some(_) => "takes clients; the last reload failed, see the log",
                });
            }
        }),
    };
    let reloader = Arc::new(Reloader::new(gate.shared.clone(), hooks));
    Lifecycle { reloader, drain: Arc::default() }
}

/// Http, served until it is told to stop.
struct Serving {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Serving {
    fn start(gate: &Gate, lifecycle: &Lifecycle, web: web::Bound) -> Self {
        let (stop, stopped) = oneshot::channel();
        let until = async {
            if stopped.await.is_err() {
                std::future::pending().await // Nobody is left who could say so.
            }
        };
        let (shared, lifecycle) = (gate.shared.clone(), lifecycle.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = web::serve(shared, lifecycle, web, until).await {
                tracing::error!("can't serve http: {error}");
            }
        });
        Self { stop, task }
    }

    fn stop(self) -> JoinHandle<()> {
        let _ = self.stop.send(()); // It may have stopped for an error of its own.
        self.task
    }
}

/// The control plane: census, web, take-over, and signals, until one of them ends it.
async fn control(
    gate: &mut Gate,
    config: &Config,
    lifecycle: &Lifecycle,
    notifier: Option<&Arc<Notifier>>,
    doors: Doors,
) -> (End, Option<takeover::Successor>, Option<Serving>) {
    let Doors { web, takeover, are_taken_over } = doors;
    announce(gate, config, &web);
    let mut interrupt = signal(SignalKind::interrupt()).ok();
    let mut terminate = signal(SignalKind::terminate()).ok();
    let mut hangup = signal(SignalKind::hangup()).ok();
    tokio::spawn(console::run(gate.shared.clone(), lifecycle.clone()));
    let mut questions = Questions::start(gate, config);
    let mut offered = takeover.and_then(|door| door.offer(gate, &web));
    // Kept, so that a take-over that is broken off leaves something to serve.
    let mut spare = offered.as_ref().and_then(|_| web.try_clone().ok());
    let mut dropped = Vec::new();
    let mut serving = Some(Serving::start(gate, lifecycle, web));
    let mut is_giving = false;
    if let Some(notifier) = notifier {
        if let Some(period) = notify::watchdog() {
            let shared = gate.shared.clone();
            tokio::spawn(notify::keep_alive(notifier.clone(), shared, period));
        }
        if are_taken_over {
            notifier.main_process();
        }
        // Its ports are open. Whether PostgreSQL answers is for /readyz to say: clients can wait.
        notifier.ready(TAKES_CLIENTS);
    }
    let mut watch = tokio::time::interval(WATCH);
    let end = loop {
        tokio::select! {
            () = received(interrupt.as_mut()) => break End::Signal(INTERRUPTED),
            () = received(terminate.as_mut()) => break End::Signal(0),
            () = lifecycle.drain.notified() => break End::Signal(0),
            () = received(hangup.as_mut()) => {
                let reloader = lifecycle.reloader.clone();
                // What comes of it is logged.
                tokio::task::spawn_blocking(move || drop(reloader.reload()));
            }
            event = takeover::next(offered.as_mut()) => match event {
                Event::Begun => {
                    is_giving = true;
                    offered.iter().for_each(|successor| successor.listens(true));
                    if let Some(spare) = &spare {
                        spare.set_anothers(true);
                    }
                    if let Some(serving) = serving.take() {
                        drop(serving.stop());
                    }
                    if let Some(questions) = questions.take() {
                        questions.stop(gate);
                    }
                }
                Event::Serves(places) => {
                    if let Some(spare) = &mut spare {
                        spare.close(&places);
                    }
                    dropped = places;
                }
                Event::BrokenOff => {
                    is_giving = false;
                    let is_again = |address: &&ListenAddress| {
                        let name = address.to_string();
                        dropped.iter().any(|place| place.is_that_of(Role::Http, &name))
                    };
                    let again: Vec<_> = config.listen.http.iter().filter(is_again).cloned().collect();
                    match (&mut spare, web::bind(&again, None, None)) {
                        (Some(spare), Ok(again)) => spare.join(again),
                        (None, Ok(_)) => {}
                        (_, Err(error)) => {
                            tracing::error!("after a take-over that was broken off: {error}");
                        }
                    }
                    dropped.clear();
                    offered.iter().for_each(|successor| successor.listens(false));
                    if let Some(Ok(again)) = spare.as_ref().map(web::Bound::try_clone) {
                        again.set_anothers(false);
                        serving = Some(Serving::start(gate, lifecycle, again));
                    }
                    questions = Questions::start(gate, config);
                }
                Event::Over => break End::Signal(0),
            },
            _ = watch.tick() => {
                if gate.is_broken() {
                    break End::Broken;
                }
                // There is no census any more, or not yet again.
                if is_giving || gate.shared.is_in_doubt() {
                    gate.shared.backends_unseen();
                }
                if gate.shared.must_yield() {
                    // The files of the sockets are the old process's after all.
                    offered.iter().for_each(|successor| successor.listens(true));
                    spare.iter().for_each(|spare| spare.set_anothers(true));
                    break End::Signal(exit::UNABLE);
                }
            }
        }
    };
    let successor = match offered {
        Some(successor) if is_giving => Some(successor),
        Some(successor) => {
            successor.withdraw();
            None
        }
        None => None,
    };
    (end, successor, serving)
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
