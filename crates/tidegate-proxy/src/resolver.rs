//! Where the upstream is: names become addresses on a thread of their own, so that a slow name
//! server never stalls a worker.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_config::{Address, Host};

use crate::locks::lock;
use crate::tasks;

/// How long an answer is used before it is asked for again. A fail-over that moves a name is seen
/// after this time at the latest, and at once when a dial fails.
const REFRESH: Duration = Duration::from_secs(30);

/// One place to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A TCP address.
    Tcp {
        /// Where to connect.
        address: SocketAddr,
        /// The host that it is an address of, for which the certificate must be.
        host: Arc<str>,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl Target {
    /// That nobody answers there, in the same words whoever tried.
    pub fn unreachable(&self, error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => format!("{self}: connection refused"),
            io::ErrorKind::NotFound => format!("{self}: there is no such socket"),
            _ => format!("{self}: {error}"),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { address, .. } => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[derive(Debug, Default)]
struct Known {
    targets: Vec<Target>,
    /// Why there are none.
    cause: Option<String>,
    next: usize,
}

/// The upstream's addresses, kept fresh in the background.
#[derive(Debug, Clone)]
pub struct Resolver {
    known: Arc<Mutex<Known>>,
    nudge: SyncSender<()>,
}

impl Resolver {
    /// Resolves `hosts` now, waiting for the answer, and again from time to time.
    pub fn start(hosts: &[Host]) -> Self {
        let known = Arc::new(Mutex::new(resolve(hosts)));
        let (nudge, nudged) = sync_channel(1);
        let has_names = hosts.iter().any(|host| match &host.address {
            Address::Tcp { host, .. } => host.parse::<std::net::IpAddr>().is_err(),
            Address::Unix { .. } => false,
        });
        if has_names {
            let (hosts, known) = (hosts.to_vec(), known.clone());
            tasks::spawn("tg-resolver", move || refresh(&hosts, &known, &nudged));
        }
        Self { known, nudge }
    }

    /// These addresses, for ever.
    pub(crate) fn of(targets: Vec<Target>) -> Self {
        let known = Known { targets, ..Known::default() };
        let (nudge, _) = sync_channel(1);
        Self { known: Arc::new(Mutex::new(known)), nudge }
    }

    /// The next address to dial, in turn.
    ///
    /// # Errors
    /// The cause, when no name could be resolved.
    pub fn target(&self) -> Result<Target, String> {
        let known = lock(&self.known);
        if known.targets.is_empty() {
            let _ = self.nudge.try_send(());
            return Err(known.cause.clone().unwrap_or_else(|| "no address".into()));
        }
        let at = known.next % known.targets.len();
        Ok(known.targets[at].clone())
    }

    /// A dial of the current address has failed: the next one is tried next, and the names are
    /// looked up again.
    pub fn failed(&self) {
        let mut known = lock(&self.known);
        known.next = known.next.wrapping_add(1);
        let _ = self.nudge.try_send(()); // A nudge that is already waiting is enough.
    }
}

fn refresh(hosts: &[Host], known: &Mutex<Known>, nudged: &Receiver<()>) {
    loop {
        match nudged.recv_timeout(REFRESH) {
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
        }
        let mut found = resolve(hosts);
        let mut known = lock(known);
        found.next = known.next;
        if !found.targets.is_empty() || known.targets.is_empty() {
            *known = found; // An old answer is better than none.
        }
    }
}

fn resolve(hosts: &[Host]) -> Known {
    let mut known = Known::default();
    for host_and_name in hosts {
        let certified = Arc::<str>::from(host_and_name.server_name().unwrap_or_default());
        match &host_and_name.address {
            Address::Unix { path } => known.targets.push(Target::Unix(path.clone())),
            Address::Tcp { host, port } => match (host.as_str(), *port).to_socket_addrs() {
                Ok(addresses) => known.targets.extend(addresses.map(|address| {
                    let host = certified.clone();
                    Target::Tcp { address, host }
                })),
                Err(error) => {
                    known.cause = Some(format!("could not resolve \"{host}\": {error}"));
                }
            },
        }
    }
    known
}
