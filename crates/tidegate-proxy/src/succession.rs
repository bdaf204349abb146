//! What workers and the threads of a take-over tell each other, on either side of it; see
//! [`crate::takeover`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use subtle::ConstantTimeEq;

use tidegate_session::parameters::SessionSettings;
use tidegate_wire::tick::Tick;

use crate::channel::Socket;
use crate::locks::lock;
use crate::token::{ClientKey, SERIAL_MAX, client_of_pid};

/// What goes along with a client is at most so much: its 2 MiB of statements and their settings fit,
/// unless it has changed those again and again between them.
pub(crate) const PARCEL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Clients that wait to go over at once; the others are served meanwhile. The line takes thousands a
/// second.
const MOVED_MAX: usize = 256;

/// Sets of startup parameters that are compared with those of a client that comes: applications have a
/// few each. Who has others has them for itself.
const STARTUPS_MAX: usize = 256;

/// How far a process has given what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Giving {
    /// Nothing.
    Nothing,
    /// It accepts no connections any more.
    Listeners,
    /// Clients that are at rest go as well.
    Clients,
    /// Those that are at rest and can't go are told to connect again.
    Everyone,
}

impl Giving {
    /// Whether clients go over.
    pub(crate) fn has_clients(self) -> bool {
        matches!(self, Self::Clients | Self::Everyone)
    }
}

/// Who has asked for a cancel.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asker {
    /// A connection, and the worker that has it.
    Here {
        /// The worker.
        worker: u16,
        /// The connection.
        key: ClientKey,
    },
    /// The process that takes over, by this number.
    Successor(u64),
}

/// A client on its way from one process to the other.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) socket: Socket,
    /// What it relies on; see `worker/moving.rs`.
    pub(crate) parcel: Vec<u8>,
}

/// A client that was told a pid by another process.
#[derive(Debug)]
struct Alias {
    secret: Vec<u8>,
    worker: u16,
    key: ClientKey,
    number: u32,
}

/// What the line tells of the servers and clients of a process that gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tidings {
    /// Slots that it holds.
    pub(crate) used: u32,
    /// As [`Pools::changes`](tidegate_pool_core::pools::Pools::changes).
    pub(crate) changes: u64,
    /// Clients that it has.
    pub(crate) clients: u32,
}

/// A cancel request for a client that only the other process may know.
#[derive(Debug)]
pub(crate) struct ForeignCancel {
    pub(crate) pid: u32,
    pub(crate) secret: Vec<u8>,
    pub(crate) asker: Asker,
}

/// What workers and the thread of the line tell each other.
#[derive(Default)]
pub(crate) struct Succession {
    giving: AtomicU8,
    /// Clients that go. Whoever puts one there holds the lock from before it stops counting as this
    /// process's, so that it is always either here or there.
    moved: Mutex<VecDeque<Moved>>,
    /// Somebody was told that there is no room.
    is_room_wanted: AtomicBool,
    /// Who is still here when this process is stopped has had its time.
    is_time_up: AtomicBool,
    /// The line has broken, and the other process goes on.
    must_yield: AtomicBool,
    /// Cancels of the other process that need no more waiting for.
    cancelled: Mutex<Vec<u64>>,
    /// The other process has clients that came before, and may have some of them still.
    has_elder: AtomicBool,
    /// Cancels that it is to be asked for.
    cancels: Mutex<Vec<ForeignCancel>>,
    /// Backends of the other process, as it last said.
    elder_pids: Mutex<Arc<[u32]>>,
    /// The other process has ended before those had: the census will see when they are gone.
    has_orphans: AtomicBool,
    /// The process that was taking over has gone: until the census has counted whom it has left, or by
    /// then, this one keeps to what it had left itself.
    doubt_until: Mutex<Option<Tick>>,
    aliases: Mutex<BTreeMap<u32, Vec<Alias>>>,
    /// Clients that have come; see [`Succession::know`].
    arrivals: AtomicU32,
    /// The startup parameters of those that have come, while others may.
    startups: Mutex<Vec<Arc<SessionSettings>>>,
    /// What the line has been woken for last.
    tidings: Mutex<Tidings>,
    /// Connections that each worker of this process has that are not logged in, while it gives.
    logging_in: Mutex<BTreeMap<u16, u32>>,
    /// Wakes the thread of the line.
    waker: Mutex<Option<mio::Waker>>,
}

impl Succession {
    pub(crate) fn giving(&self) -> Giving {
        match self.giving.load(Ordering::Relaxed) {
            1 => Giving::Listeners,
            2 => Giving::Clients,
            3 => Giving::Everyone,
            _ => Giving::Nothing,
        }
    }

    /// From now on this goes to the other process. The workers are to be woken.
    pub(crate) fn set_giving(&self, giving: Giving) {
        let number = match giving {
            Giving::Nothing => 0,
            Giving::Listeners => 1,
            Giving::Clients => 2,
            Giving::Everyone => 3,
        };
        let moved = lock(&self.moved);
        if !giving.has_clients() {
            lock(&self.logging_in).clear();
        }
        self.giving.store(number, Ordering::Relaxed);
        drop(moved);
    }

    /// Whether there is a process that this one takes over from.
    pub(crate) fn has_elder(&self) -> bool {
        self.has_elder.load(Ordering::Relaxed)
    }

    /// Backends of that process.
    pub(crate) fn elder_pids(&self) -> Arc<[u32]> {
        lock(&self.elder_pids).clone()
    }

    /// Where clients are put that go; none where they do not go, or not now, since too many wait to.
    pub(crate) fn room(&self) -> Option<MutexGuard<'_, VecDeque<Moved>>> {
        let moved = lock(&self.moved);
        // Looked at with the lock held: who takes everything back looks for what was put there.
        if !self.giving().has_clients() {
            return None;
        }
        let has_room = moved.len() < MOVED_MAX;
        self.is_room_wanted.fetch_or(!has_room, Ordering::Relaxed);
        has_room.then_some(moved)
    }

    /// Whether somebody was told that there is no room, who may be told now that there is.
    pub(crate) fn is_room_wanted(&self) -> bool {
        self.is_room_wanted.swap(false, Ordering::Relaxed)
    }

    /// Nobody has more time to end once this process is stopped.
    pub(crate) fn time_is_up(&self) {
        self.is_time_up.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_time_up(&self) -> bool {
        self.is_time_up.load(Ordering::Relaxed)
    }

    /// The line has broken, and the other process goes on.
    pub(crate) fn yield_to_elder(&self) {
        self.must_yield.store(true, Ordering::Relaxed);
    }

    pub(crate) fn must_yield(&self) -> bool {
        self.must_yield.load(Ordering::Relaxed)
    }

    /// Whether no client is on its way.
    pub(crate) fn nobody_moves(&self) -> bool {
        lock(&self.moved).is_empty()
    }

    pub(crate) fn take_moved(&self) -> Option<Moved> {
        lock(&self.moved).pop_front()
    }

    /// A client that came with this pid and secret is where `key` says. Gives the number by which it
    /// is told from all others that have the same pid: serial numbers of this process's own are below.
    pub(crate) fn know(&self, pid: u32, secret: &[u8], worker: u16, key: ClientKey) -> u32 {
        let arrived = self.arrivals.fetch_add(1, Ordering::Relaxed);
        let number = SERIAL_MAX.saturating_add(1).saturating_add(arrived);
        let alias = Alias { secret: secret.to_vec(), worker, key, number };
        lock(&self.aliases).entry(pid).or_default().push(alias);
        number
    }

    /// Where the client is that has this number among those that came with this pid.
    pub(crate) fn known_as(&self, pid: u32, number: u32) -> Option<(u16, ClientKey)> {
        let aliases = lock(&self.aliases);
        let alias = aliases.get(&pid)?.iter().find(|alias| alias.number == number)?;
        Some((alias.worker, alias.key))
    }

    /// These startup parameters, as others have them that have come: whoever has the same has the same
    /// Arc, so that comparing them is cheap.
    pub(crate) fn startup(&self, startup: SessionSettings) -> Arc<SessionSettings> {
        let mut startups = lock(&self.startups);
        if let Some(known) = startups.iter().find(|known| ***known == startup) {
            return known.clone();
        }
        let startup = Arc::new(startup);
        if startups.len() < STARTUPS_MAX {
            startups.push(startup.clone());
        }
        startup
    }

    /// It is there no more.
    pub(crate) fn forget(&self, pid: u32, worker: u16, key: ClientKey) {
        let mut aliases = lock(&self.aliases);
        if let Some(known) = aliases.get_mut(&pid) {
            known.retain(|alias| (alias.worker, alias.key) != (worker, key));
            if known.is_empty() {
                aliases.remove(&pid);
            }
        }
    }

    /// Where the client is that was told this pid by another process.
    fn find(&self, pid: u32, secret: &[u8]) -> Option<(u16, ClientKey)> {
        let aliases = lock(&self.aliases);
        let mut known = aliases.get(&pid)?.iter();
        let alias = known.find(|alias| {
            alias.secret.len() == secret.len() && bool::from(alias.secret.ct_eq(secret))
        })?;
        Some((alias.worker, alias.key))
    }

    /// Where the client may be whom a cancel request means: one that came with this pid and secret, or
    /// whoever has the place that the pid names. Its worker knows who that is; the secret decides.
    pub(crate) fn may_be_at(&self, pid: u32, secret: &[u8]) -> Option<(u16, ClientKey)> {
        self.find(pid, secret).or_else(|| {
            let (worker, place) = client_of_pid(pid)?;
            Some((worker, ClientKey { place: place as u32, serial: u32::MAX }))
        })
    }

    /// Asks the other process for a cancel. False when there is none.
    pub(crate) fn ask_elder(&self, cancel: ForeignCancel) -> bool {
        if !self.has_elder.load(Ordering::Relaxed) {
            return false;
        }
        lock(&self.cancels).push(cancel);
        self.wake();
        true
    }

    /// A cancel that the other process asked for needs no more waiting for.
    pub(crate) fn cancelled(&self, id: u64) {
        lock(&self.cancelled).push(id);
        self.wake();
    }

    /// A worker has turned while this process gives: the line is woken if there is something else to
    /// tell than before.
    pub(crate) fn turned(&self, worker: u16, logging_in: u32, tidings: Tidings) {
        let before = lock(&self.logging_in).insert(worker, logging_in);
        let last = std::mem::replace(&mut *lock(&self.tidings), tidings);
        if before != Some(logging_in) || last != tidings {
            self.wake();
        }
    }

    /// Whether all workers have said, since they accept no more, that nobody is in the midst of a
    /// login.
    pub(crate) fn nobody_logs_in(&self, workers: usize) -> bool {
        let logging_in = lock(&self.logging_in);
        logging_in.len() == workers && logging_in.values().all(|count| *count == 0)
    }

    pub(crate) fn take_cancelled(&self) -> Vec<u64> {
        std::mem::take(&mut lock(&self.cancelled))
    }

    pub(crate) fn take_cancels(&self) -> Vec<ForeignCancel> {
        std::mem::take(&mut lock(&self.cancels))
    }

    /// There is a process that this one takes over from, and these are its backends.
    pub(crate) fn set_elder(&self, pids: Arc<[u32]>) {
        self.has_elder.store(true, Ordering::Relaxed);
        *lock(&self.elder_pids) = pids;
    }

    /// That process has ended.
    pub(crate) fn elder_ended(&self) {
        lock(&self.startups).clear();
        self.has_elder.store(false, Ordering::Relaxed);
    }

    /// The other process has ended before its backends had.
    pub(crate) fn await_orphans(&self) {
        self.has_orphans.store(true, Ordering::Relaxed);
    }

    /// Of backends that a process has left which has ended: how many are among these. Nothing where
    /// there were none.
    pub(crate) fn orphans_left(&self, backends: &[u32]) -> Option<u32> {
        if !self.has_orphans.load(Ordering::Relaxed) {
            return None;
        }
        let mut orphans = lock(&self.elder_pids);
        let left: Arc<[u32]> = orphans.iter().filter(|p| backends.contains(p)).copied().collect();
        self.has_orphans.store(!left.is_empty(), Ordering::Relaxed);
        *orphans = left;
        u32::try_from(orphans.len()).ok()
    }

    /// The process that was taking over has gone, and backends of it may go on until then.
    pub(crate) fn doubt_until(&self, until: Tick) {
        *lock(&self.doubt_until) = Some(until);
    }

    /// Whether it is not known how many backends the process has left that was taking over.
    pub(crate) fn is_in_doubt(&self) -> bool {
        lock(&self.doubt_until).is_some()
    }

    /// It is known now, or the time is over. Says whether that has changed anything.
    pub(crate) fn end_doubt(&self, is_counted: bool, now: Tick) -> bool {
        let mut doubt = lock(&self.doubt_until);
        let is_over = doubt.is_some_and(|until| is_counted || now >= until);
        if is_over {
            *doubt = None;
        }
        is_over
    }

    pub(crate) fn wake_by(&self, waker: Option<mio::Waker>) {
        *lock(&self.waker) = waker;
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = &*lock(&self.waker) {
            let _ = waker.wake(); // It fails only when the thread has ended.
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_came_is_found_by_its_pid_and_secret_until_it_goes() {
        let succession = Succession::default();
        let key = |place| ClientKey { place, serial: 1 };
        let one = succession.know(7, b"one", 0, key(1));
        let two = succession.know(7, b"two", 1, key(1));
        assert!(SERIAL_MAX < one && one < two, "nobody else has these numbers");
        assert_eq!(succession.known_as(7, two), Some((1, key(1))));
        assert_eq!(succession.known_as(8, two), None);
        assert_eq!(succession.find(7, b"two"), Some((1, key(1))));
        assert_eq!(succession.find(7, b"one"), Some((0, key(1))));
        assert_eq!(succession.find(7, b"other"), None);
        assert_eq!(succession.find(8, b"one"), None);
        succession.forget(7, 0, key(1));
        assert_eq!(succession.find(7, b"one"), None);
        succession.forget(7, 1, key(1));
        assert!(lock(&succession.aliases).is_empty(), "nothing is kept of who has gone");
    }

    #[test]
    fn backends_that_were_left_behind_are_awaited() {
        let succession = Succession::default();
        succession.set_elder(Arc::from([1, 2, 3]));
        assert_eq!(succession.orphans_left(&[1]), None, "they are the other process's");
        succession.elder_ended();
        succession.await_orphans();
        assert_eq!(succession.orphans_left(&[1, 3, 7]), Some(2));
        assert_eq!(succession.orphans_left(&[2, 3]), Some(1), "those that are gone stay so");
        assert_eq!(succession.orphans_left(&[7]), Some(0));
        assert_eq!(succession.orphans_left(&[1]), None);
    }

    #[test]
    fn the_line_is_woken_when_there_is_something_else_to_tell() {
        let succession = Succession::default();
        let mut poll = mio::Poll::new().expect("a poll");
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).expect("a waker");
        succession.wake_by(Some(waker));
        let mut is_woken = || {
            let mut events = mio::Events::with_capacity(1);
            poll.poll(&mut events, Some(std::time::Duration::ZERO)).expect("it is asked");
            !events.is_empty()
        };
        let mut tidings = Tidings { used: 3, changes: 7, clients: 2 };
        succession.turned(0, 1, tidings);
        assert!(is_woken());
        succession.turned(0, 1, tidings);
        assert!(!is_woken(), "nothing is different");
        succession.turned(1, 1, tidings);
        assert!(is_woken(), "another worker has spoken for the first time");
        succession.turned(0, 0, tidings);
        assert!(is_woken(), "a login is over");
        tidings.changes += 1;
        succession.turned(1, 1, tidings);
        assert!(is_woken(), "a server has come or gone");
        succession.turned(0, 0, tidings);
        assert!(!is_woken());
    }

    #[test]
    fn nobody_is_asked_where_there_is_nobody() {
        let succession = Succession::default();
        let asker = Asker::Successor(1);
        assert!(!succession.ask_elder(ForeignCancel { pid: 1, secret: Vec::new(), asker }));
    }
}
