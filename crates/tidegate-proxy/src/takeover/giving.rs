//! The old process's end of a take-over.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mio::{Events, Poll};

use tidegate_budget::budget::Share;
use tidegate_pool_core::server::Port;
use tidegate_wire::tick::Tick;

use crate::listener::{Listener, PortListener};
use crate::locks::lock;
use crate::shared::{Mail, Shared};
use crate::succession::{Asker, Giving, Moved};
use crate::takeover::link::{Line, Link, Message};
use crate::takeover::message::{FromNew, FromOld, Upstream, VERSION};
use crate::takeover::{descriptor_of, socket_of};

/// Whoever connects says at once what it wants.
const HELLO_MAX: Duration = Duration::from_secs(5);

/// The new process reads certificates and opens sockets of its own meanwhile. Nothing waits for it.
const PREPARE_MAX: Duration = Duration::from_secs(60);

/// From the moment at which nobody accepts until the new process does: it starts threads. Beyond that
/// something is wrong with it, and applications wait.
const START_MAX: Duration = Duration::from_secs(10);

/// The pause after a connection could not be accepted, which is for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Clients that were sent and that the new process has not said to have: their sockets are still open
/// here, and what goes along with them is kept. It answers within a moment.
const ON_THE_LINE_MAX: usize = 64;

/// What a listening socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The session port.
    Session,
    /// The transaction port.
    Transaction,
    /// Metrics and everything else over HTTP.
    Http,
    /// The same on the control socket.
    Control,
    /// Take-overs.
    Takeover,
}

impl Role {
    const ALL: [Self; 5] =
        [Self::Session, Self::Transaction, Self::Http, Self::Control, Self::Takeover];

    /// The number that stands for it between processes.
    pub(super) fn number(self) -> u8 {
        self as u8
    }

    pub(super) fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.number() == number)
    }
}

/// A listening socket, for the process that comes next.
#[derive(Debug)]
pub struct Offer {
    /// What it is for.
    pub role: Role,
    /// The address as the settings have it.
    pub address: String,
    /// The socket.
    pub socket: OwnedFd,
}

/// An address at which connections are awaited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What for.
    pub role: Role,
    /// The address as the settings have it.
    pub address: String,
}

impl Place {
    /// Whether it is this one.
    pub fn is_that_of(&self, role: Role, address: &str) -> bool {
        self.role == role && self.address == address
    }

    /// The port of the gate that it belongs to, if it is a pooler's.
    pub(crate) fn port(&self) -> Option<Port> {
        match self.role {
            Role::Session => Some(Port::Session),
            Role::Transaction => Some(Port::Transaction),
            Role::Http | Role::Control | Role::Takeover => None,
        }
    }
}

/// The listening sockets, for as long as they may be given: while somebody holds them, connections are
/// taken by the kernel.
#[derive(Debug, Default)]
pub struct Offers(Mutex<Vec<Offer>>);

impl Offers {
    /// These may be given.
    pub fn new(offers: Vec<Offer>) -> Self {
        Self(Mutex::new(offers))
    }

    /// Nothing is given any more: this process is being stopped.
    pub fn withdraw(&self) {
        lock(&self.0).clear();
    }

    /// Nobody is to listen at this address any more.
    fn drop(&self, place: &Place) {
        lock(&self.0).retain(|offer| !place.is_that_of(offer.role, &offer.address));
    }

    fn add(&self, offer: Offer) {
        lock(&self.0).push(offer);
    }

    fn copies(&self) -> io::Result<Vec<Offer>> {
        let offers = lock(&self.0);
        let copies = offers.iter().map(|Offer { role, address, socket }| {
            Ok(Offer { role: *role, address: address.clone(), socket: socket.try_clone()? })
        });
        copies.collect()
    }
}

/// What a take-over asks of the rest of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Another process takes over: from now on it alone accepts connections, and asks the upstream.
    Begun,
    /// It serves, and nobody is to listen at these addresses any more.
    Serves(Vec<Place>),
    /// It has gone, and this process goes on: also where it had ceased to listen.
    BrokenOff,
    /// This process is to be shut down: it has no clients any more, or its time is up.
    Over,
}

/// Waits for a process that takes over, and gives it everything. Ends when this process is at its
/// end and has nothing to give any more.
pub fn serve(shared: &Arc<Shared>, listener: &UnixListener, offers: &Offers, tell: &dyn Fn(Event)) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => match begin(shared, stream, offers) {
                Ok(line) => {
                    if Giver::new(shared, line, offers, tell).run() {
                        return;
                    }
                }
                Err(error) => tracing::warn!("a take-over did not begin: {error}"),
            },
            Err(error) => {
                tracing::warn!("can't accept a take-over: {error}");
                pause();
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing tells when there are descriptors again")]
fn pause() {
    std::thread::sleep(ACCEPT_PAUSE);
}

/// Up to the moment from which on the old process behaves differently.
fn begin(shared: &Shared, stream: UnixStream, offers: &Offers) -> io::Result<Line> {
    let mut line = Line::new(Link::new(stream))?;
    let link = &mut line.link;
    let version = match heard(&link.receive_within(HELLO_MAX)?)? {
        FromNew::Hello(version) => version,
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    if let Some(reason) = reason_against(shared, version) {
        return refuse(line, &reason);
    }
    for Offer { role, address, socket } in offers.copies()? {
        let message = FromOld::Listener { role: role.number(), address };
        link.push(message.pack(), Some(Arc::new(socket)));
    }
    let budget = shared.pools().budget_mut().view();
    let (kind, server, foreign) = (shared.kind(), budget.limits.server, budget.foreign);
    link.push(FromOld::Ready(Upstream { kind, server, foreign }).pack(), None);
    link.flush()?;
    match heard(&link.receive_within(PREPARE_MAX)?)? {
        FromNew::Begin => {}
        _ => return Err(io::ErrorKind::InvalidData.into()),
    }
    match reason_against(shared, version) {
        None => Ok(line),
        Some(reason) => refuse(line, &reason),
    }
}

fn refuse(mut line: Line, reason: &str) -> io::Result<Line> {
    line.link.push(FromOld::Refused(reason.to_owned()).pack(), None);
    line.link.flush()?;
    Err(io::Error::other(format!("refused it: {reason}")))
}

fn reason_against(shared: &Shared, version: u64) -> Option<String> {
    if version != VERSION {
        return Some(format!(
            "it speaks version {VERSION} of the take-over, and the new one version {version}: stop it \
             and start the new one"
        ));
    }
    if shared.is_draining() {
        return Some("it is being stopped".into());
    }
    if shared.pools().is_anything_paused() {
        return Some("something is paused, which only it can resume: resume first".into());
    }
    if shared.has_elder() {
        return Some("it has itself taken over from a process that still has clients: wait".into());
    }
    if shared.pools().budget_mut().share() != Share::Whole {
        return Some(
            "servers may be left of another process of this gate: wait some seconds".into(),
        );
    }
    None
}

fn heard(message: &Message) -> io::Result<FromNew> {
    FromNew::unpack(message.tag, &message.parcel)
        .map_err(|malformed| io::Error::new(io::ErrorKind::InvalidData, malformed))
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The new process is to serve.
    Starting { until: Tick },
    /// Clients go over when they come to rest.
    Giving { until: Tick },
    /// Those at rest that can't go are told to connect again, as in any shutdown; transactions may end.
    SendingAway { until: Tick },
    /// This process ends.
    Over,
}

impl Stage {
    /// When it ends by itself.
    fn until(self) -> Option<Tick> {
        match self {
            Self::Starting { until } | Self::Giving { until } | Self::SendingAway { until } => {
                Some(until)
            }
            Self::Over => None,
        }
    }
}

/// A take-over that has begun.
struct Giver<'a> {
    shared: &'a Arc<Shared>,
    link: Link,
    offers: &'a Offers,
    /// Where it listens no more, since the new process does not.
    dropped: Vec<Place>,
    tell: &'a dyn Fn(Event),
    poll: Poll,
    stage: Stage,
    /// Clients of the new process, as it has said.
    others: u32,
    /// What it was told last.
    slots: Option<(u32, Arc<[u32]>)>,
    /// Clients that have been sent, and that it has not said to have.
    on_the_line: VecDeque<Sent>,
    /// How many it has said to have.
    got: u64,
    has_said_goodbye: bool,
}

/// A client that was sent. Its socket stays open here until the other process has said that it has it:
/// so it is always exactly one process's, wherever the line breaks.
struct Sent {
    descriptor: Arc<OwnedFd>,
    is_tcp: bool,
    parcel: Vec<u8>,
}

impl<'a> Giver<'a> {
    fn new(
        shared: &'a Arc<Shared>,
        line: Line,
        offers: &'a Offers,
        tell: &'a dyn Fn(Event),
    ) -> Self {
        let Line { mut link, poll, waker } = line;
        link.never_block();
        shared.succession.wake_by(Some(waker));
        Self {
            shared,
            link,
            offers,
            dropped: Vec::new(),
            tell,
            poll,
            stage: Stage::Starting { until: shared.clock.now() + START_MAX },
            has_said_goodbye: false,
            others: 0,
            slots: None,
            on_the_line: VecDeque::new(),
            got: 0,
        }
    }

    /// True when this process is at its end; false when it goes on as before.
    fn run(mut self) -> bool {
        tracing::info!("another process takes over: connections wait for it");
        (self.tell)(Event::Begun);
        self.shared.set_giving(Giving::Listeners);
        let mut events = Events::with_capacity(16);
        let end = loop {
            match self.step() {
                Ok(true) => break Ok(()),
                Ok(false) => {}
                Err(error) => break Err(error),
            }
            let now = self.shared.clock.now();
            let patience = self.stage.until().map(|due| due.since(now));
            match self.poll.poll(&mut events, patience) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => break Err(error),
                _ => {}
            }
        };
        self.shared.succession.wake_by(None);
        match end {
            Ok(()) => true,
            // The new one was stopped or has crashed, and this one with it or before.
            Err(_) if self.stage == Stage::Over || self.shared.is_draining() => {
                self.take_back(); // They are told goodbye as all others.
                true
            }
            Err(error) => {
                self.carry_on(&error);
                false
            }
        }
    }

    /// True when there is nothing left to give.
    fn step(&mut self) -> io::Result<bool> {
        loop {
            match self.link.receive() {
                Ok(message) => self.hear(heard(&message)?),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.go_on()?;
        while self.may_send()
            && let Some(Moved { socket, parcel }) = self.shared.succession.take_moved()
        {
            if let Some((descriptor, is_tcp)) = descriptor_of(socket) {
                let descriptor = Arc::new(descriptor);
                let message = FromOld::Client { is_tcp, parcel: parcel.clone() };
                self.link.push(message.pack(), Some(descriptor.clone()));
                self.on_the_line.push_back(Sent { descriptor, is_tcp, parcel });
            }
        }
        if self.shared.succession.is_room_wanted() {
            self.shared.wake_all();
        }
        for id in self.shared.succession.take_cancelled() {
            self.link.push(FromOld::Cancelled(id).pack(), None);
        }
        let held = self.share_slots();
        self.link.flush()?;
        // Whoever was counted down before is on its way by now.
        let has_nobody = self.shared.succession.nobody_moves() && self.on_the_line.is_empty();
        if self.stage == Stage::Over && held == 0 && has_nobody && !self.has_said_goodbye {
            self.has_said_goodbye = true;
            self.link.push(FromOld::Goodbye.pack(), None);
            self.link.flush()?;
        }
        Ok(self.has_said_goodbye && self.link.is_flushed())
    }

    /// The next stage, when it is time.
    fn go_on(&mut self) -> io::Result<()> {
        let now = self.shared.clock.now();
        let is_due = self.stage.until().is_some_and(|until| now >= until);
        match self.stage {
            Stage::Starting { .. } if is_due => return Err(io::ErrorKind::TimedOut.into()),
            Stage::Giving { .. } | Stage::SendingAway { .. } if self.shared.has_nobody() => {
                self.end();
            }
            Stage::Giving { .. } if is_due => {
                tracing::info!(
                    clients = self.shared.clients(),
                    "those that have nothing under way and can't go over are told to connect again"
                );
                self.stage =
                    Stage::SendingAway { until: now + self.shared.config().timeouts.drain };
                self.shared.set_giving(Giving::Everyone);
            }
            Stage::SendingAway { .. } if is_due => {
                self.shared.succession.time_is_up();
                self.end();
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) {
        self.stage = Stage::Over;
        (self.tell)(Event::Over);
    }

    /// Whether one more client may be on the line.
    fn may_send(&self) -> bool {
        self.link.has_room() && self.on_the_line.len() < ON_THE_LINE_MAX
    }

    fn hear(&mut self, message: FromNew) {
        match message {
            FromNew::Hello(_) | FromNew::Begin => {}
            FromNew::Serving { dropped } => {
                tracing::info!("the other process serves: clients go over to it");
                self.listen_no_more(dropped);
                let drain = self.shared.config().timeouts.drain;
                self.stage = Stage::Giving { until: self.shared.clock.now() + drain };
                self.shared.set_giving(Giving::Clients);
            }
            FromNew::Clients(count) => self.others = count,
            FromNew::Got(count) => {
                while self.got < count && self.on_the_line.pop_front().is_some() {
                    self.got += 1;
                }
            }
            FromNew::Cancel { id, pid, secret } => {
                self.shared.cancel_for_successor(id, pid, secret)
            }
            FromNew::Stop => self.end(),
        }
    }

    /// Closes the listening sockets that the new process has not taken. Who connects there is refused, as
    /// its settings want it.
    fn listen_no_more(&mut self, dropped: Vec<(u8, String)>) {
        let known = |(role, address)| Some(Place { role: Role::of(role)?, address });
        self.dropped = dropped.into_iter().filter_map(known).collect();
        for place in &self.dropped {
            tracing::info!(address = place.address, "nobody listens here any more");
            self.offers.drop(place);
            let Some(port) = place.port() else { continue };
            for mailbox in &*self.shared.mailboxes {
                mailbox.put(Mail::ListenNoMore(port, place.address.clone()));
            }
        }
        (self.tell)(Event::Serves(self.dropped.clone()));
    }

    /// Listens there again.
    fn listen_again(&mut self) {
        let config = self.shared.config();
        for place in std::mem::take(&mut self.dropped) {
            let Some(port) = place.port() else { continue };
            let addresses = match port {
                Port::Session => &config.listen.session,
                Port::Transaction => &config.listen.transaction,
            };
            let configured = addresses.iter().find(|known| known.to_string() == place.address);
            let Some(configured) = configured else { continue };
            let opened = || -> io::Result<()> {
                let listener = Listener::open(configured).map_err(io::Error::other)?;
                let socket = listener.offer()?;
                for mailbox in &*self.shared.mailboxes {
                    let listener = listener.try_clone()?;
                    let configured = configured.clone();
                    mailbox.put(Mail::Listen(PortListener { port, configured, listener }));
                }
                self.offers.add(Offer { role: place.role, address: place.address.clone(), socket });
                Ok(())
            };
            if let Err(error) = opened() {
                tracing::error!("after a take-over that was broken off: {error}");
            }
        }
    }

    /// Keeps to its share of the budget, and tells the new process what it may use. Says how many
    /// slots are held.
    fn share_slots(&mut self) -> u32 {
        let (held, pids) = self.shared.keep_to_share(self.stage == Stage::Over, self.others);
        let slots = Some((held, pids.clone()));
        if self.slots != slots {
            self.slots = slots;
            self.link.push(FromOld::Slots { held, pids }.pack(), None);
        }
        held
    }

    /// The line has broken: clients that the other process has not said to have are this one's again.
    fn take_back(&mut self) {
        // What it has said before is still to be read.
        while let Ok(message) = self.link.receive() {
            if let Ok(FromNew::Got(count)) = heard(&message) {
                self.hear(FromNew::Got(count));
            }
        }
        self.link.forget_unsent();
        let sent = std::mem::take(&mut self.on_the_line).into_iter().filter_map(|sent| {
            let Sent { descriptor, is_tcp, parcel } = sent;
            let socket = socket_of(Arc::into_inner(descriptor)?, is_tcp).ok()?;
            Some(Moved { socket, parcel })
        });
        let unsent = std::iter::from_fn(|| self.shared.succession.take_moved());
        for (number, moved) in sent.chain(unsent).enumerate() {
            self.shared.take_in(moved, number);
        }
    }

    /// The new process has gone: everything that it has not got is this one's again.
    fn carry_on(mut self, error: &io::Error) {
        tracing::error!(
            "the process that was taking over has gone ({error}); this one goes on, with the clients \
             that had not gone over"
        );
        self.shared.set_giving(Giving::Nothing);
        self.shared.doubt();
        self.listen_again();
        self.take_back();
        (self.tell)(Event::BrokenOff);
    }
}

/// How many of the slots that two processes have together the old one keeps: in proportion to the
/// clients that are still with it, and at least one as long as it may need any; one more than are
/// `leased`, as those may come back late, and whoever has none could wait for them in vain. One is left
/// for the new process.
fn limit(together: u32, clients: u32, others: u32, leased: u32) -> u32 {
    let all = u64::from(clients) + u64::from(others);
    let share = (u64::from(together) * u64::from(clients)).checked_div(all).unwrap_or(0);
    let share = u32::try_from(share).unwrap_or(together);
    let needed = leased.saturating_add(u32::from(clients > leased));
    share.max(needed.min(together.saturating_sub(1))).max(1)
}

impl Shared {
    /// Whether this process has no clients any more, and nobody who is about to become one.
    pub(crate) fn has_nobody(&self) -> bool {
        self.clients() == 0 && self.nobody_logs_in()
    }

    /// Keeps to the share of the budget that is left to this process; all of it goes when it is
    /// `is_over`. Says how many slots it holds at most, and its backends.
    pub(crate) fn keep_to_share(&self, is_over: bool, others: u32) -> (u32, Arc<[u32]>) {
        let mut pools = self.pools();
        let share = pools.budget_mut().share();
        let together = pools.budget_mut().usable_together();
        let limit = match is_over {
            true => 0,
            false => limit(together, self.clients(), others, pools.leased()),
        };
        // What was given is not taken back.
        let limit = match share {
            Share::AtMost(before) => limit.min(before),
            Share::Whole | Share::Beside(_) => limit,
        };
        let has_changed = share != Share::AtMost(limit);
        if has_changed {
            pools.set_share(Share::AtMost(limit), self.clock.now());
        }
        let held = pools.budget_mut().view().used.max(limit);
        let pids: Arc<[u32]> = pools.pids().into();
        drop(pools);
        if has_changed {
            self.wake_all(); // Servers may have to be closed.
        }
        (held, pids)
    }

    /// Cancels what a client of this process runs, for the process that takes over.
    pub(crate) fn cancel_for_successor(&self, id: u64, pid: u32, secret: Vec<u8>) {
        let asker = Asker::Successor(id);
        let found = self.succession.may_be_at(pid, &secret);
        let mailbox =
            found.and_then(|(worker, key)| Some((self.mailboxes.get(usize::from(worker))?, key)));
        match mailbox {
            Some((mailbox, key)) => mailbox.put(Mail::Cancel(key, secret, asker)),
            None => self.succession.cancelled(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_the_clients_and_one_stays_to_the_end() {
        assert_eq!(limit(15, 10, 0, 0), 15);
        assert_eq!(limit(15, 50, 1, 0), 14, "the new one has something from the first client on");
        assert_eq!(limit(15, 20, 40, 0), 5);
        assert_eq!(limit(15, 1, 10_000, 0), 1);
        assert_eq!(limit(15, 0, 0, 0), 1);
        assert_eq!(limit(u32::MAX, u32::MAX, 0, 0), u32::MAX);
        assert_eq!(limit(15, 3, 1000, 2), 3, "the third client needs one as well");
        assert_eq!(limit(15, 2, 1000, 2), 2);
        assert_eq!(limit(2, 3, 1000, 2), 1, "the new one needs one");
        assert_eq!(limit(1, 3, 1000, 2), 1);
    }

    #[test]
    fn roles_keep_their_numbers() {
        for role in Role::ALL {
            assert_eq!(Role::of(role.number()), Some(role));
        }
        assert_eq!(Role::of(99), None);
    }
}
