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

/// The addresses of a host at a port.
type Lookup = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send;

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
    /// In the order of the settings, each once: one that was named twice would never have failed as
    /// often as it stands here.
    targets: Vec<Target>,
    /// Why there are none.
    cause: Option<String>,
    /// Where a server was had last.
    works: Option<Target>,
    /// Where none could be had since, and why. All of them are a round.
    failed: Vec<(Target, Arc<str>)>,
}

impl Known {
    fn add(&mut self, target: Target) {
        if !self.targets.contains(&target) {
            self.targets.push(target);
        }
    }

    /// The first in order that has not failed, from the one on that worked last.
    fn next(&self) -> Option<&Target> {
        let works = self.works.as_ref();
        let start = self.targets.iter().position(|target| Some(target) == works).unwrap_or(0);
        let order = self.targets.iter().cycle().skip(start).take(self.targets.len());
        let has_failed = |target: &&Target| self.failed.iter().any(|(failed, _)| failed == *target);
        order.clone().find(|target| !has_failed(target)).or_else(|| order.clone().next())
    }

    /// The names have been looked up again. An old answer is better than none.
    fn renew(&mut self, mut found: Self) {
        if found.targets.is_empty() && !self.targets.is_empty() {
            return;
        }
        found.works = self.works.take();
        found.failed = std::mem::take(&mut self.failed);
        found.failed.retain(|(failed, _)| found.targets.contains(failed));
        *self = found;
    }

    fn fails(&mut self, target: &Target, cause: &Arc<str>) {
        self.failed.retain(|(failed, _)| failed != target && self.targets.contains(failed));
        if self.targets.contains(target) {
            self.failed.push((target.clone(), cause.clone()));
        }
    }
}

/// What follows from a dial that has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Round {
    /// Another address is to be tried at once.
    GoesOn,
    /// All have failed; why, one after another. The next round begins where the last server was had.
    Over(Arc<str>),
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
        Self::start_by(hosts, Box::new(by_system))
    }

    fn start_by(hosts: &[Host], lookup: Box<Lookup>) -> Self {
        let known = Arc::new(Mutex::new(resolve(hosts, &lookup)));
        let (nudge, nudged) = sync_channel(1);
        let has_names = hosts.iter().any(|host| match &host.address {
            Address::Tcp { host, .. } => host.parse::<std::net::IpAddr>().is_err(),
            Address::Unix { .. } => false,
        });
        if has_names {
            let (hosts, known) = (hosts.to_vec(), known.clone());
            tasks::spawn("tg-resolver", move || refresh(&hosts, &lookup, &known, &nudged));
        }
        Self { known, nudge }
    }

    /// These addresses, for ever, or until [`Resolver::found`].
    pub(crate) fn of(targets: Vec<Target>) -> Self {
        let (nudge, _) = sync_channel(1);
        let resolver = Self { known: Arc::default(), nudge };
        resolver.found(targets);
        resolver
    }

    /// The names are looked up, and these are their addresses now.
    pub(crate) fn found(&self, targets: Vec<Target>) {
        let mut known = Known::default();
        targets.into_iter().for_each(|target| known.add(target));
        lock(&self.known).renew(known);
    }

    /// The next address to dial: that where the last server was had, unless it has failed since; then
    /// the others in turn.
    ///
    /// # Errors
    /// The cause, when no name could be resolved.
    pub fn target(&self) -> Result<Target, String> {
        let known = lock(&self.known);
        if known.targets.is_empty() {
            let _ = self.nudge.try_send(());
            return Err(known.cause.clone().unwrap_or_else(|| "no address".into()));
        }
        known.next().cloned().ok_or_else(|| "no address".into())
    }

    /// How many addresses there are: no more attempts than that are a round.
    pub fn addresses(&self) -> usize {
        lock(&self.known).targets.len()
    }

    /// A dial of this address has failed: another is tried next, and the names are looked up
    /// again.
    pub fn failed(&self, target: &Target, cause: &Arc<str>) -> Round {
        let mut known = lock(&self.known);
        let _ = self.nudge.try_send(()); // A nudge that is already waiting is enough.
        known.fails(target, cause);
        if known.failed.len() < known.targets.len() {
            return Round::GoesOn;
        }
        let causes: Vec<_> = known.failed.drain(..).map(|(_, cause)| cause).collect();
        match &causes[..] {
            [] | [_] => Round::Over(cause.clone()),
            causes => Round::Over(causes.join("; ").into()),
        }
    }

    /// A server was had there. Where: none before, or elsewhere before.
    pub fn works(&self, target: &Target) -> Option<Target> {
        let mut known = lock(&self.known);
        known.failed.clear();
        if known.works.as_ref() == Some(target) {
            return None;
        }
        known.works.replace(target.clone())
    }

    /// Whether it was there that a server was had last.
    pub(crate) fn is_where_it_works(&self, target: &Target) -> bool {
        lock(&self.known).works.as_ref() == Some(target)
    }

    /// Whether a server was had elsewhere since one was had there.
    pub fn has_moved_from(&self, target: &Target) -> bool {
        lock(&self.known).works.as_ref().is_some_and(|works| works != target)
    }
}

fn refresh(hosts: &[Host], lookup: &Lookup, known: &Mutex<Known>, nudged: &Receiver<()>) {
    loop {
        match nudged.recv_timeout(REFRESH) {
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
        }
        let found = resolve(hosts, lookup);
        lock(known).renew(found);
    }
}

/// Asks the system: files, name servers, whatever it is set up to ask.
fn by_system(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

fn resolve(hosts: &[Host], lookup: &Lookup) -> Known {
    let mut known = Known::default();
    for host_and_name in hosts {
        let certified = Arc::<str>::from(host_and_name.server_name().unwrap_or_default());
        match &host_and_name.address {
            Address::Unix { path } => known.add(Target::Unix(path.clone())),
            Address::Tcp { host, port } => match lookup(host, *port) {
                Ok(addresses) => addresses.into_iter().for_each(|address| {
                    known.add(Target::Tcp { address, host: certified.clone() });
                }),
                Err(error) => {
                    known.cause = Some(format!("could not resolve \"{host}\": {error}"));
                }
            },
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use tidegate_testkit::wait;

    use super::*;

    fn target(port: u16) -> Target {
        Target::Tcp { address: ([127, 0, 0, 1], port).into(), host: "db".into() }
    }

    fn next(resolver: &Resolver) -> u16 {
        match resolver.target() {
            Ok(Target::Tcp { address, .. }) => address.port(),
            other => panic!("no address: {other:?}"),
        }
    }

    fn failed(resolver: &Resolver, port: u16) -> Round {
        resolver.failed(&target(port), &format!("{port} is down").into())
    }

    #[test]
    fn addresses_are_tried_in_order_and_then_all_have_failed() {
        let resolver = Resolver::of(vec![target(1), target(2), target(3)]);
        assert_eq!(next(&resolver), 1);
        assert_eq!(failed(&resolver, 1), Round::GoesOn);
        assert_eq!(next(&resolver), 2);
        assert_eq!(failed(&resolver, 1), Round::GoesOn, "another dial of the same");
        assert_eq!(failed(&resolver, 2), Round::GoesOn);
        assert_eq!(next(&resolver), 3);
        let causes = "1 is down; 2 is down; 3 is down";
        assert_eq!(failed(&resolver, 3), Round::Over(causes.into()));
        assert_eq!(next(&resolver), 1, "the next round");
    }

    #[test]
    fn a_round_begins_where_a_server_was_had_last() {
        let resolver = Resolver::of(vec![target(1), target(2), target(3)]);
        assert_eq!(resolver.works(&target(2)), None, "there was none before");
        assert_eq!(next(&resolver), 2);
        assert_eq!(failed(&resolver, 2), Round::GoesOn);
        assert_eq!(next(&resolver), 3);
        assert_eq!(failed(&resolver, 3), Round::GoesOn);
        assert_eq!(next(&resolver), 1);
        assert!(!resolver.has_moved_from(&target(2)));
        assert_eq!(resolver.works(&target(1)), Some(target(2)));
        assert!(resolver.has_moved_from(&target(2)));
        assert_eq!(resolver.works(&target(1)), None);
        assert_eq!(next(&resolver), 1);
    }

    #[test]
    fn an_address_that_is_named_twice_is_one() {
        let resolver = Resolver::of(vec![target(1), target(2), target(1)]);
        assert_eq!(failed(&resolver, 1), Round::GoesOn);
        assert_eq!(failed(&resolver, 2), Round::Over("1 is down; 2 is down".into()));
        let host = |name: &str| Host {
            address: Address::Tcp { host: name.into(), port: 1 },
            name: Some("db".into()),
        };
        let resolver = Resolver::start(&[host("127.0.0.1"), host("127.0.0.1"), host("127.0.0.2")]);
        assert_eq!(resolver.addresses(), 2);
    }

    #[test]
    fn one_address_fails_in_its_own_words() {
        let resolver = Resolver::of(vec![target(1)]);
        assert_eq!(failed(&resolver, 1), Round::Over("1 is down".into()));
        assert_eq!(next(&resolver), 1);
    }

    /// A name server whose answers the test gives.
    fn name_server(answer: Option<u16>) -> (Arc<Mutex<Option<u16>>>, Resolver) {
        let answer = Arc::new(Mutex::new(answer));
        let answers = answer.clone();
        let lookup = move |host: &str, port: u16| {
            assert_eq!((host, port), ("db", 5432));
            let address = lock(&answers).map(|last| SocketAddr::from(([127, 0, 0, 1], last)));
            address.map(|address| vec![address]).ok_or_else(|| io::Error::other("no such name"))
        };
        let address = Address::Tcp { host: "db".into(), port: 5432 };
        let resolver = Resolver::start_by(&[Host { address, name: None }], Box::new(lookup));
        (answer, resolver)
    }

    fn until_next(resolver: &Resolver, port: u16) {
        wait::until("the name has another address", || (next(resolver) == port).then_some(()));
    }

    #[test]
    fn a_name_is_looked_up_again_when_a_dial_fails() {
        let (answer, resolver) = name_server(Some(1));
        assert_eq!(next(&resolver), 1);
        assert_eq!(resolver.works(&target(1)), None);
        *lock(&answer) = Some(2);
        assert_eq!(next(&resolver), 1, "nobody has asked again");
        assert_eq!(failed(&resolver, 1), Round::Over("1 is down".into()));
        until_next(&resolver, 2);
        assert_eq!(resolver.works(&target(2)), Some(target(1)), "it has moved");
        // An answer that can't be had takes nothing away.
        *lock(&answer) = None;
        assert_eq!(failed(&resolver, 2), Round::Over("2 is down".into()));
        assert_eq!(next(&resolver), 2);
        *lock(&answer) = Some(3);
        assert_eq!(failed(&resolver, 2), Round::Over("2 is down".into()));
        until_next(&resolver, 3);
    }

    #[test]
    fn a_name_that_has_no_address_yet_is_looked_up_at_each_dial() {
        let (answer, resolver) = name_server(None);
        let cause = resolver.target().expect_err("there is none");
        assert_eq!(cause, "could not resolve \"db\": no such name");
        *lock(&answer) = Some(1);
        wait::until("it has one", || resolver.target().ok());
        assert_eq!(next(&resolver), 1);
    }

    #[test]
    fn an_address_that_the_name_has_no_more_is_not_waited_for() {
        let resolver = Resolver::of(vec![target(1), target(2)]);
        assert_eq!(failed(&resolver, 9), Round::GoesOn);
        assert_eq!(failed(&resolver, 1), Round::GoesOn);
        assert_eq!(failed(&resolver, 2), Round::Over("1 is down; 2 is down".into()));
    }
}
