//! The gate over HTTP: health, metrics, and the snapshot, for machines and for `tidegate status`.
//!
//! The same routes are served on every address of `listen.http` and on the control socket. All but
//! [`operations`], [`kill`], and [`lifecycle`] only read. An answer is rendered from one [`Snapshot`]: the lock of
//! the pools is taken for [`Shared::view`] alone, and clients are not walked but for [`lists`].
//!
//! Bounds: [`CONNECTIONS_MAX`] connections for each address, so that HTTP cannot eat the file
//! descriptors of clients, and [`SILENCE_MAX`] for a connection on which nothing moves.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use axum::{Extension, Json, Router};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};

use tidegate_budget::limits::Server;
use tidegate_config::ListenAddress;
use tidegate_observe::openmetrics;
use tidegate_observe::snapshot::{Memory, Parts, Snapshot};
use tidegate_proxy::listener::{SocketFile, bind_unix, remedy};
use tidegate_proxy::memory::MemoryView;
use tidegate_proxy::shared::Shared;
use tidegate_proxy::takeover::giving::{Offer, Place, Role};
use tidegate_proxy::takeover::taking::Elder;

use crate::admission::Reach;
use crate::lifecycle::{self, Lifecycle};
use crate::{kill, ledger, lists, operations, process};

/// Scrapers, a few people, and a load balancer's probes; each has one connection or two.
const CONNECTIONS_MAX: usize = 64;

/// A connection is closed when nothing has moved on it for this long. Scrapers come every 15 to
/// 60 seconds and keep their connection meanwhile.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// Answers are made from memory; what has not been taken by then is not worth a late exit.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// What there is, for whoever opens the root.
const INDEX: &str = "\
tidegate

/healthz          200 while the process lives
/readyz           200 when clients are taken, 503 with the reason when not
/metrics          OpenMetrics, for Prometheus and whatever reads its format
/api/v1/snapshot  everything known at this moment, as JSON
/api/v1/clients   who is connected; ?limit=1000 for more rows
/api/v1/servers   the connections to PostgreSQL, and who has them
/api/v1/holders   who holds a server, the longest first
/api/v1/ledger    every connection of the database, whoever has opened it
/api/v1/pause     POST, as resume, reconnect, kill, reload, and drain: needs listen.admin_token_file

On a terminal: tidegate status
";

/// Why an address could not be had.
#[derive(Debug, thiserror::Error)]
#[error("can't serve {setting} on {address}: {source}{}", remedy(.source))]
pub struct BindError {
    setting: &'static str,
    address: ListenAddress,
    source: io::Error,
}

/// Open listeners that nobody serves yet. Callers may connect and are kept waiting.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    role: Role,
    /// As the settings have it.
    configured: String,
    /// With the port that the kernel chose.
    address: ListenAddress,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl Bound {
    /// Where it listens, with the ports that the kernel chose.
    pub fn addresses(&self) -> impl Iterator<Item = &ListenAddress> {
        self.sockets.iter().map(|open| &open.address)
    }

    /// The listeners once more, to be served again should a take-over be broken off.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn try_clone(&self) -> io::Result<Self> {
        let sockets = self.sockets.iter().map(|open| {
            let Open { role, configured, address, socket } = open;
            let (role, configured, address) = (*role, configured.clone(), address.clone());
            Ok(Open { role, configured, address, socket: socket.try_clone()? })
        });
        Ok(Self { sockets: sockets.collect::<io::Result<_>>()? })
    }

    /// Nobody is to listen there any more.
    pub fn close(&mut self, places: &[Place]) {
        let is_closed = |open: &mut Open| {
            places.iter().any(|place| place.is_that_of(open.role, &open.configured))
        };
        for open in self.sockets.extract_if(.., is_closed) {
            if let Socket::Unix(_, file) = &open.socket {
                file.set_anothers(false);
            }
        }
    }

    /// These as well.
    pub fn join(&mut self, others: Self) {
        self.sockets.extend(others.sockets);
    }

    /// The listening sockets, for a process that takes over.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn offers(&self) -> io::Result<Vec<Offer>> {
        let offers = self.sockets.iter().map(|open| {
            let socket = match open.socket.try_clone()? {
                Socket::Tcp(listener) => listener.into(),
                Socket::Unix(listener, _) => listener.into(),
            };
            Ok(Offer { role: open.role, address: open.configured.clone(), socket })
        });
        offers.collect()
    }

    /// Another process listens there too, so that the files of the sockets are its own, or does so no
    /// more.
    pub fn set_anothers(&self, is_anothers: bool) {
        for open in &self.sockets {
            if let Socket::Unix(_, file) = &open.socket {
                file.set_anothers(is_anothers);
            }
        }
    }
}

impl Socket {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
            Self::Unix(listener, file) => Self::Unix(listener.try_clone()?, file.clone()),
        })
    }
}

/// Opens the listeners of `listen.http` and of the control socket, but for those that come from
/// `elder`.
///
/// # Errors
/// [`BindError`] names the address, the cause, and the remedy; nothing stays open.
pub fn bind(
    addresses: &[ListenAddress],
    control: Option<&Path>,
    mut elder: Option<&mut Elder>,
) -> Result<Bound, BindError> {
    let control = control.map(|path| ListenAddress::Unix(path.to_owned()));
    let http = addresses.iter().map(|address| (Role::Http, "listen.http", address));
    let control = control.iter().map(|address| (Role::Control, "listen.control", address));
    let mut sockets = Vec::new();
    for (role, setting, configured) in http.chain(control) {
        let name = configured.to_string();
        let inherited = elder.as_mut().and_then(|elder| elder.take(role, &name));
        let opened = match configured {
            ListenAddress::Tcp(address) => tcp(*address, inherited),
            // As the pooler ports: whoever may reach the folder may connect. The control socket is its
            // owner's alone: what can be done there goes beyond looking.
            ListenAddress::Unix(path) => {
                unix(path, if role == Role::Control { 0o600 } else { 0o777 }, inherited)
            }
        };
        let failed = |source| BindError { setting, address: configured.clone(), source };
        let (address, socket) = opened.map_err(failed)?;
        sockets.push(Open { role, configured: name, address, socket });
    }
    Ok(Bound { sockets })
}

fn tcp(address: SocketAddr, inherited: Option<OwnedFd>) -> io::Result<(ListenAddress, Socket)> {
    let listener = match inherited {
        Some(socket) => TcpListener::from(socket),
        None => TcpListener::bind(address)?,
    };
    listener.set_nonblocking(true)?;
    Ok((ListenAddress::Tcp(listener.local_addr()?), Socket::Tcp(listener)))
}

fn unix(path: &Path, mode: u32, inherited: Option<OwnedFd>) -> io::Result<(ListenAddress, Socket)> {
    let (listener, file) = match inherited {
        Some(socket) => (UnixListener::from(socket), SocketFile::of_another(path)),
        None => bind_unix(path, mode)?,
    };
    listener.set_nonblocking(true)?;
    Ok((ListenAddress::Unix(path.to_owned()), Socket::Unix(listener, file)))
}

/// Serves until `shutdown` ends; what is being answered then has [`GOODBYE_MAX`] to be taken.
///
/// # Cancel safety
/// Dropping the future closes all listeners and connections at once; no state is lost, since
/// what a request changes is changed in one step.
///
/// # Errors
/// When the runtime cannot take the listeners, before anything is served.
pub async fn serve(
    shared: Arc<Shared>,
    lifecycle: Lifecycle,
    bound: Bound,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let routes = routes(shared).layer(Extension(lifecycle));
    let (stop, stopped) = watch::channel(());
    let mut serving = JoinSet::new();
    let mut files = Vec::new();
    for Open { address, socket, .. } in bound.sockets {
        let reach = if address.is_local() { Reach::Local } else { Reach::Open };
        let routes = routes.clone().layer(Extension(reach));
        let mut stopped = stopped.clone();
        let until = async move {
            // An error says that the sender is gone, which means the same.
            let _ = stopped.changed().await;
        };
        match socket {
            Socket::Tcp(listener) => {
                let listener = Bounded::new(tokio::net::TcpListener::from_std(listener)?);
                let serve = axum::serve(listener, routes).with_graceful_shutdown(until);
                serving.spawn(serve.into_future());
            }
            Socket::Unix(listener, file) => {
                files.push(file);
                let listener = Bounded::new(tokio::net::UnixListener::from_std(listener)?);
                let serve = axum::serve(listener, routes).with_graceful_shutdown(until);
                serving.spawn(serve.into_future());
            }
        }
    }
    shutdown.await;
    drop(stop);
    let all_ended = async { while serving.join_next().await.is_some() {} };
    if tokio::time::timeout(GOODBYE_MAX, all_ended).await.is_err() {
        tracing::debug!("somebody did not take the last answer over http");
    }
    Ok(())
}

/// Everything known now.
pub fn snapshot(shared: &Shared) -> Snapshot {
    let config = shared.config();
    Snapshot::new(Parts {
        version: env!("CARGO_PKG_VERSION"),
        process: process::facts(),
        plan: config.plan.as_str(),
        upstream: &shared.upstream,
        kind: shared.kind().as_str(),
        upstream_up: None,
        is_draining: shared.is_draining(),
        clients: shared.clients(),
        clients_max: shared.clients_max(),
        memory: memory(shared),
        ledger: shared.ledger().as_deref(),
        view: &shared.view(),
        front: &shared.front,
        traffic: &shared.all_traffic(),
    })
}

fn memory(shared: &Shared) -> Memory {
    let MemoryView { buffers, statements, max } = shared.memory.view();
    Memory {
        buffers_bytes: buffers,
        statements_bytes: statements,
        bytes_max: max,
        short: shared.memory.is_short(),
    }
}

fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/snapshot", get(api_snapshot))
        .merge(lists::routes())
        .merge(ledger::routes())
        .merge(operations::routes())
        .merge(kill::routes())
        .merge(lifecycle::routes())
        .fallback(unknown)
        .method_not_allowed_fallback(async || {
            (StatusCode::METHOD_NOT_ALLOWED, "only GET is understood here\n")
        })
        .layer(axum::middleware::map_response(of_this_moment))
        .with_state(shared)
}

/// Each answer is of one moment: caches must not keep it, and no browser should guess its type.
async fn of_this_moment(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    let (reason, detail) = if shared.is_draining() {
        ("draining", "the gate is shutting down; new clients are refused")
    } else if shared.view().budget.limits.server == Server::Unasked {
        ("no_census", "the server has not been asked for its limits yet; no server may be opened")
    } else {
        return Json(serde_json::json!({ "ready": true })).into_response();
    };
    let body = serde_json::json!({ "ready": false, "reason": reason, "detail": detail });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let page = openmetrics::render(&snapshot(&shared));
    ([(header::CONTENT_TYPE, openmetrics::CONTENT_TYPE)], page).into_response()
}

async fn api_snapshot(State(shared): State<Arc<Shared>>) -> Response {
    Json(snapshot(&shared)).into_response()
}

async fn unknown(uri: Uri) -> Response {
    // The path is given back as a browser would show it: percent-encoded, and as plain text.
    let body = format!("there is nothing at {}; what there is:\n\n{INDEX}", uri.path());
    (StatusCode::NOT_FOUND, body).into_response()
}

/// A listener with a bound on how many connections it has open; above it callers wait in the
/// kernel's queue.
struct Bounded<L> {
    listener: L,
    places: Arc<Semaphore>,
}

impl<L> Bounded<L> {
    fn new(listener: L) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }
}

impl<L: Listener> Listener for Bounded<L> {
    type Io = Placed<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let place = self.places.clone().acquire_owned().await.expect("nobody closes it");
        let (io, address) = self.listener.accept().await;
        let silence = Box::pin(tokio::time::sleep(SILENCE_MAX));
        (Placed { io, silence, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection with its place, which it loses after too long a silence.
struct Placed<I> {
    io: I,
    silence: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl<I> Placed<I> {
    /// Passes on what came of an attempt to move bytes, unless nothing has for too long.
    fn watched<T>(
        &mut self,
        context: &mut Context<'_>,
        moved: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.silence.as_mut().reset(Instant::now() + SILENCE_MAX);
            return moved;
        }
        self.silence.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Placed<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.io).poll_read(context, to);
        self.watched(context, moved)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Placed<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.io).poll_write(context, from);
        self.watched(context, moved)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::{Read, Write};
    use std::os::unix::fs::PermissionsExt as _;
    use std::thread::JoinHandle;

    use tidegate_budget::budget::Census;
    use tidegate_config::{Problem, Problems, Sources, load};
    use tidegate_proxy::gate::Gate;
    use tokio::sync::oneshot;

    use crate::reload::{Hooks, Reloader};
    use crate::status::fetch;

    const ANSWER_MAX: Duration = Duration::from_secs(10);

    /// A gate whose upstream does not exist, served on a port and on a control socket.
    struct Served {
        folder: tempfile::TempDir,
        gate: Gate,
        http: String,
        control: String,
        stop: oneshot::Sender<()>,
        serving: JoinHandle<io::Result<()>>,
    }

    fn served() -> Served {
        let folder = tempfile::tempdir().expect("a folder");
        let nowhere = folder.path().join("nowhere").display().to_string();
        let url = format!("postgres://app:x@/app?host={nowhere}&sslmode=disable");
        let flags = [
            ("upstream.url", url.as_str()),
            ("plan", "free"),
            ("listen.session", "127.0.0.1:0"),
            ("listen.transaction", "127.0.0.1:0"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let sources = Sources { file: None, search: Vec::new(), env: &[], flags: &flags };
        let loaded = load(&sources).unwrap_or_else(|problems| panic!("{problems:?}"));
        let gate = Gate::prepare(Arc::new(loaded.config), None).expect("it opens its ports");
        let gate = gate.start(None);
        let socket = folder.path().join("control.sock");
        let any = ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let bound = bind(&[any], Some(&socket), None).expect("free addresses");
        let addresses: Vec<String> = bound.addresses().map(ToString::to_string).collect();
        let (stop, stopped) = oneshot::channel();
        let shared = gate.shared.clone();
        let hooks = Hooks {
            load: Box::new(|| Err(Problems(vec![Problem::nowhere("nothing to read")]))),
            set_level: Box::new(|_| {}),
            begins: Box::new(|| {}),
            ended: Box::new(|_| {}),
        };
        let reloader = Arc::new(Reloader::new(shared.clone(), hooks));
        let lifecycle = Lifecycle { reloader, drain: Arc::default() };
        let serving = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(serve(shared, lifecycle, bound, async {
                let _ = stopped.await;
            }))
        });
        let http = format!("http://{}", addresses[0]);
        let control = addresses[1].clone();
        Served { folder, gate, http, control, stop, serving }
    }

    impl Served {
        fn get(&self, path: &str) -> (u16, String) {
            fetch(&self.http, path, ANSWER_MAX).unwrap_or_else(|error| panic!("{error}"))
        }

        fn end(self) {
            self.stop.send(()).expect("it still serves");
            self.serving.join().expect("no panic").expect("no error");
            assert!(!self.folder.path().join("control.sock").exists(), "its file goes with it");
            self.gate.drain();
        }
    }

    #[test]
    fn every_route_answers_on_the_port_and_on_the_control_socket() {
        let served = served();
        assert_eq!(served.get("/healthz"), (200, "ok".to_owned()));
        assert_eq!(served.get("/"), (200, INDEX.to_owned()));
        let (code, page) = served.get("/metrics");
        assert_eq!(code, 200);
        assert!(page.ends_with("# EOF\n"), "{page}");
        assert!(page.contains("\nprocess_open_fds "), "{page}");
        assert!(page.contains("plan=\"free\"} 15\n"), "{page}");
        for api in [&served.http, &served.control] {
            let (code, body) = fetch(api, "/api/v1/snapshot", ANSWER_MAX).expect("an answer");
            assert_eq!(code, 200);
            let snapshot: Snapshot = serde_json::from_str(&body).expect("a snapshot");
            assert_eq!(snapshot.schema, tidegate_observe::snapshot::SCHEMA);
            assert_eq!(snapshot.budget.binding, "unasked");
        }
        let (code, body) = served.get("/metric");
        assert_eq!(code, 404);
        assert!(body.contains("nothing at /metric;") && body.contains("/metrics"), "{body}");
        served.end();
    }

    #[test]
    fn ready_is_after_the_first_census_and_before_the_drain() {
        let served = served();
        let reason = |(code, body): (u16, String)| {
            let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            (code, body["ready"] == true, body["reason"].as_str().unwrap_or("").to_owned())
        };
        assert_eq!(reason(served.get("/readyz")), (503, false, "no_census".to_owned()));
        served.gate.shared.with_pools(|pools| pools.budget_mut().census(Census::unknown()));
        assert_eq!(reason(served.get("/readyz")), (200, true, String::new()));
        served.gate.shared.drain();
        assert_eq!(reason(served.get("/readyz")), (503, false, "draining".to_owned()));
        assert_eq!(served.get("/healthz").0, 200);
        served.end();
    }

    #[test]
    fn the_heads_of_answers_say_what_they_are() {
        let served = served();
        let address = served.http.trim_start_matches("http://");
        let ask = |request: &str| {
            let mut stream = std::net::TcpStream::connect(address).expect("it listens");
            stream.set_read_timeout(Some(ANSWER_MAX)).expect("a time limit");
            stream.write_all(request.as_bytes()).expect("it reads");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("it answers and closes");
            answer
        };
        let answer = ask("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
        assert!(answer.contains(kind), "{answer}");
        assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
        let answer = ask("POST /metrics HTTP/1.0\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.0 405"), "{answer}");
        assert!(answer.ends_with("only GET is understood here\n"), "{answer}");
        served.end();
    }

    #[test]
    fn idle_connections_neither_shut_others_out_nor_delay_the_end() {
        let served = served();
        let address = served.http.trim_start_matches("http://").to_owned();
        let idle: Vec<_> = (0..CONNECTIONS_MAX)
            .map(|_| std::net::TcpStream::connect(&address).expect("it listens"))
            .collect();
        let over_control = fetch(&served.control, "/healthz", ANSWER_MAX).expect("an answer");
        assert_eq!(over_control.0, 200, "the control socket has places of its own");
        served.end();
        drop(idle);
    }

    #[test]
    fn an_address_that_is_taken_is_named_with_the_remedy() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address");
        let error = bind(&[ListenAddress::Tcp(address)], None, None).expect_err("it is taken");
        let said = error.to_string();
        let wanted = format!("can't serve listen.http on {address}: ");
        assert!(said.starts_with(&wanted) && said.contains("choose another address"), "{said}");
    }

    #[test]
    fn a_control_socket_is_its_owners_and_a_stale_one_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sock");
        drop(UnixListener::bind(&path).expect("a socket that a crash leaves behind"));
        let bound = bind(&[], Some(&path), None).expect("it is replaced");
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = bind(&[], Some(&path), None).expect_err("somebody listens there now");
        assert!(error.to_string().contains("another process has it"), "{error}");
        drop(bound);
        assert!(!path.exists());
    }
}
