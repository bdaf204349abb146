//! The new process's end of a take-over.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Poll};

use tidegate_budget::budget::{Census, Share};
use tidegate_budget::limits::Server;

use crate::shared::{Kind, Shared, UNSEEN_COOLING};
use crate::succession::{Asker, ForeignCancel, Moved};
use crate::takeover::giving::{Offer, Role};
use crate::takeover::link::{Line, Link, Message};
use crate::takeover::message::{FromNew, FromOld, Upstream, VERSION};
use crate::takeover::socket_of;
use crate::tasks;

/// The old process answers from memory.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How often the old process is told how many clients there are: its share of the slots follows.
const COUNT_PERIOD: Duration = Duration::from_millis(100);

/// The line of a process that dies ends with it; this is how much later it may be seen to be dead.
const END_MAX: Duration = Duration::from_secs(2);

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// The old process could not be asked.
    #[error("can't take over through {}: {source}", path.display())]
    Unreachable {
        /// Where it was looked for.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The old process does not want to.
    #[error("the running process can't be taken over from: {0}")]
    Refused(String),
    /// The old process has gone, or does not keep to the protocol.
    #[error("the take-over was broken off, and the running process goes on: {0}")]
    BrokenOff(io::Error),
}

/// A process that can be taken over from. Dropping it leaves that process as it is.
#[derive(Debug)]
pub struct Elder {
    link: Link,
    offers: Vec<Offer>,
    upstream: Upstream,
}

/// One that accepts no connections any more.
#[derive(Debug)]
pub struct Begun {
    line: Line,
    upstream: Upstream,
    held: u32,
    pids: Arc<[u32]>,
    /// Where the old process listens and this one does not.
    dropped: Vec<(u8, String)>,
    /// The thread that will serve the line waits here.
    start: Sender<Taker>,
}

/// Asks the process that listens at `path`; none when nobody does.
///
/// # Errors
/// [`TakeoverError`]; the other process goes on as before.
pub fn ask(path: &Path) -> Result<Option<Elder>, TakeoverError> {
    let stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(source) => return Err(TakeoverError::Unreachable { path: path.to_owned(), source }),
    };
    let mut link = Link::new(stream);
    link.push(FromNew::Hello(VERSION).pack(), None);
    link.flush().map_err(TakeoverError::BrokenOff)?;
    let mut offers = Vec::new();
    loop {
        let message = link.receive_within(ANSWER_MAX).map_err(TakeoverError::BrokenOff)?;
        let (said, descriptor) = heard(message).map_err(TakeoverError::BrokenOff)?;
        match (said, descriptor) {
            (FromOld::Refused(reason), _) => return Err(TakeoverError::Refused(reason)),
            (FromOld::Listener { role, address }, Some(socket)) => {
                if let Some(role) = Role::of(role) {
                    offers.push(Offer { role, address, socket });
                }
            }
            (FromOld::Ready(upstream), _) => return Ok(Some(Elder { link, offers, upstream })),
            _ => return Err(TakeoverError::BrokenOff(io::ErrorKind::InvalidData.into())),
        }
    }
}

impl Elder {
    /// The listening socket for this, if there is one. An address that stands several times in the
    /// settings has several.
    pub fn take(&mut self, role: Role, address: &str) -> Option<OwnedFd> {
        let place = self.offers.iter().position(|o| o.role == role && o.address == address)?;
        Some(self.offers.remove(place).socket)
    }

    /// Has the old process accept no more. From now on connections wait for this one, and nothing that
    /// it does until it serves can fail.
    ///
    /// # Errors
    /// [`TakeoverError::BrokenOff`]; the old process accepts again.
    pub fn begin(self) -> Result<Begun, TakeoverError> {
        let Self { link, upstream, offers } = self;
        let dropped =
            offers.into_iter().map(|offer| (offer.role.number(), offer.address)).collect();
        let mut line = Line::new(link).map_err(TakeoverError::BrokenOff)?;
        let (start, started) = channel::<Taker>();
        tasks::spawn("tg-takeover", move || {
            if let Ok(taker) = started.recv() {
                taker.run();
            }
        });
        line.link.push(FromNew::Begin.pack(), None);
        let mut answer = || -> io::Result<FromOld> {
            line.link.flush()?;
            Ok(heard(line.link.receive_within(ANSWER_MAX)?)?.0)
        };
        match answer().map_err(TakeoverError::BrokenOff)? {
            FromOld::Slots { held, pids } => {
                Ok(Begun { line, upstream, held, pids, dropped, start })
            }
            FromOld::Refused(reason) => Err(TakeoverError::Refused(reason)),
            _ => Err(TakeoverError::BrokenOff(io::ErrorKind::InvalidData.into())),
        }
    }
}

impl Begun {
    /// Puts in force what the old process knows and holds, before anything is opened.
    pub(crate) fn prepare(&self, shared: &Shared) {
        if shared.kind() == Kind::Unknown {
            shared.set_kind(self.upstream.kind);
        }
        if self.upstream.server != Server::Unasked {
            let Upstream { server, foreign, .. } = self.upstream;
            let census = Census { server, foreign, ..Census::unknown() };
            shared.pools().budget_mut().census(census);
        }
        shared.elder_holds(self.held, self.pids.clone());
    }

    /// Says that this process serves, and takes in clients and slots until the old one has ended. Where
    /// that has gone meanwhile, this one goes on alone.
    pub fn serve(self, shared: Arc<Shared>) {
        let Self { mut line, held, dropped, start, .. } = self;
        line.link.push(FromNew::Serving { dropped }.pack(), None);
        // It fails only where the thread has ended, which it does after this.
        let _ = start.send(Taker::new(line, held, shared));
    }
}

fn heard(message: Message) -> io::Result<(FromOld, Option<OwnedFd>)> {
    let said = FromOld::unpack(message.tag, &message.parcel)
        .map_err(|malformed| io::Error::new(io::ErrorKind::InvalidData, malformed))?;
    Ok((said, message.descriptor))
}

struct Taker {
    shared: Arc<Shared>,
    link: Link,
    poll: Poll,
    held: u32,
    /// Clients that have come and that the old process does not know to be here yet.
    arrived: Vec<Moved>,
    clients: u64,
    count_told: u32,
    stop_told: bool,
    /// The old process has said that it ends.
    is_left: bool,
    cancels: u64,
    /// Who waits for a cancel that the old process was asked for.
    askers: BTreeMap<u64, Asker>,
}

impl Taker {
    fn new(line: Line, held: u32, shared: Arc<Shared>) -> Self {
        let Line { mut link, poll, waker } = line;
        link.never_block();
        shared.succession.wake_by(Some(waker));
        Self {
            shared,
            link,
            poll,
            held,
            arrived: Vec::new(),
            clients: 0,
            count_told: 0,
            stop_told: false,
            is_left: false,
            cancels: 0,
            askers: BTreeMap::new(),
        }
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(16);
        let end = loop {
            if let Err(error) = self.step() {
                break error;
            }
            match self.poll.poll(&mut events, Some(COUNT_PERIOD)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => break error,
                _ => {}
            }
        };
        self.end(&end);
    }

    fn step(&mut self) -> io::Result<()> {
        loop {
            match self.link.receive() {
                Ok(message) => self.hear(message)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if !self.arrived.is_empty() {
            self.link.push(FromNew::Got(self.clients).pack(), None);
        }
        for ForeignCancel { pid, secret, asker } in self.shared.succession.take_cancels() {
            self.cancels += 1;
            self.askers.insert(self.cancels, asker);
            self.link.push(FromNew::Cancel { id: self.cancels, pid, secret }.pack(), None);
        }
        let clients = self.shared.clients();
        if clients != self.count_told {
            self.count_told = clients;
            self.link.push(FromNew::Clients(clients).pack(), None);
        }
        if self.shared.is_draining() && !std::mem::replace(&mut self.stop_told, true) {
            self.link.push(FromNew::Stop.pack(), None);
        }
        self.link.flush()?;
        // Before the old process can read that they are here, they are still its own.
        if self.link.is_flushed() {
            self.take_in_arrived();
        }
        Ok(())
    }

    fn take_in_arrived(&mut self) {
        let first = self.clients - self.arrived.len() as u64;
        for (number, moved) in self.arrived.drain(..).enumerate() {
            self.shared.take_in(moved, first as usize + number);
        }
    }

    fn hear(&mut self, message: Message) -> io::Result<()> {
        match heard(message)? {
            (FromOld::Slots { held, pids }, _) => {
                self.held = held;
                self.shared.elder_holds(held, pids);
            }
            (FromOld::Client { is_tcp, parcel }, Some(descriptor)) => {
                let socket = socket_of(descriptor, is_tcp)?;
                self.clients += 1;
                self.arrived.push(Moved { socket, parcel });
            }
            (FromOld::Cancelled(id), _) => {
                if let Some(asker) = self.askers.remove(&id) {
                    self.shared.release(asker);
                }
            }
            (FromOld::Goodbye, _) => self.is_left = true,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
        Ok(())
    }

    /// The old process has ended.
    fn end(mut self, error: &io::Error) {
        let shared = self.shared.clone();
        shared.succession.elder_ended();
        let asked = std::mem::take(&mut self.askers).into_values();
        let unasked = shared.succession.take_cancels();
        asked.chain(unasked.into_iter().map(|c| c.asker)).for_each(|asker| shared.release(asker));
        if !self.is_left && self.link.is_outlived(END_MAX) {
            tracing::error!(
                "the line to the old process has broken ({error}), and that process goes on: this one \
                 ends, as two would use the budget twice"
            );
            return shared.succession.yield_to_elder();
        }
        self.take_in_arrived(); // They are nobody else's any more.
        if self.held == 0 {
            tracing::info!(clients = self.clients, "the take-over is complete");
        } else {
            tracing::warn!(
                clients = self.clients,
                slots = self.held,
                "the old process has ended ({error}) before its servers had; their slots stay taken \
                 until those are gone"
            );
            self.cool_down();
        }
        shared.succession.wake_by(None);
        shared.elder_is_gone(self.held);
    }

    /// Waits until PostgreSQL has noticed that the old process is no more, or this one is stopped,
    /// which wakes it.
    fn cool_down(&mut self) {
        let _ = self.poll.registry().deregister(&mut SourceFd(&self.link.descriptor()));
        let until = self.shared.clock.now() + UNSEEN_COOLING;
        let mut events = Events::with_capacity(16);
        loop {
            let now = self.shared.clock.now();
            if now >= until || self.shared.is_draining() {
                return;
            }
            match self.poll.poll(&mut events, Some(until.since(now))) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
                _ => {}
            }
        }
    }
}

impl Shared {
    /// The old process holds so many slots at most, and has these backends.
    pub(crate) fn elder_holds(&self, held: u32, pids: Arc<[u32]>) {
        self.succession.set_elder(pids);
        let now = self.clock.now();
        self.with_pools(|pools| pools.set_share(Share::Beside(held), now));
    }

    /// The old process has ended, and what it held has had time to end too. What the census can see
    /// stays taken until it is gone.
    pub(crate) fn elder_is_gone(&self, held: u32) {
        if held > 0 && self.has_census() {
            return self.succession.await_orphans();
        }
        let now = self.clock.now();
        self.with_pools(|pools| pools.set_share(Share::Whole, now));
    }
}
