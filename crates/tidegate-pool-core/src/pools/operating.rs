//! What an operator does to pools that work: pause and resume, have every server replaced, close one.
//!
//! A *paused* pool hands out nothing and dials nothing. Whoever asks waits, as long as its
//! `pool_timeout` allows; transactions under way end. A server that comes back idles until nothing
//! of its pool is with a client, on its way, or between two clients; then all are closed, so that
//! PostgreSQL can be stopped. They are not closed before: a pause that is called off because one
//! client holds out has cost nothing.
//!
//! A *retired* server is closed when it comes back. An idle one is replaced first, one at a time,
//! and serves on until its replacement has logged in. Neither happens while dialing fails: a
//! server that works is worth more than one that can't be had.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tidegate_wire::tick::Tick;

use crate::pools::Pools;
use crate::server::{CloseReason, PoolId, PoolKey, Port, ServerId, State};

/// Databases that may be paused by name at once. An operator names a handful; each is kept until
/// it is resumed, whether it exists or not.
pub const PAUSED_DATABASES_MAX: usize = 1000;

/// Which pools an operator means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of them, and those that will be.
    All,
    /// Those of one database.
    Database(Arc<str>),
}

impl Scope {
    fn covers(&self, key: &PoolKey) -> bool {
        match self {
            Self::All => true,
            Self::Database(name) => key.database == *name,
        }
    }
}

/// What is paused: everything, or databases by their names.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    pub(super) is_all: bool,
    pub(super) databases: BTreeSet<Arc<str>>,
}

impl Pauses {
    pub(crate) fn cover(&self, database: &str) -> bool {
        self.is_all || self.databases.contains(database)
    }
}

/// Why nothing was paused or resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PauseError {
    /// One database can't be resumed while all are paused.
    #[error("all databases are paused")]
    AllPaused,
    /// So many databases are paused by name already.
    #[error("{PAUSED_DATABASES_MAX} databases are paused already")]
    TooMany,
}

/// How the servers of a scope stand, for whoever waits for them to come to rest or to be new.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether the scope is paused as a whole.
    pub is_paused: bool,
    /// With clients, by [`Port::index`].
    pub leased: [u32; 2],
    /// Of the clients of the transaction port, those that keep their server past a transaction.
    pub pinned: u32,
    /// Being opened, checked, or reset.
    pub busy: u32,
    /// Free.
    pub idle: u32,
    /// Told goodbye; their backends have not gone.
    pub closing: u32,
    /// To be replaced; part of the others.
    pub retired: u32,
    /// Clients that wait.
    pub waiting: u32,
}

impl Standing {
    /// Whether PostgreSQL has no backend of the scope any more.
    pub fn is_at_rest(&self) -> bool {
        self.leased == [0, 0] && self.busy + self.idle + self.closing == 0
    }
}

/// One server, for lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerView {
    /// Which.
    pub id: ServerId,
    /// Database and role.
    pub key: PoolKey,
    /// Where it stands.
    pub state: State,
    /// For how long.
    pub in_state: Duration,
    /// Since it was dialed.
    pub age: Duration,
    /// Its backend's pid; 0 while it logs in.
    pub pid: u32,
    /// Whether it is to be replaced.
    pub is_retired: bool,
}

impl<S> Pools<S> {
    // --- Pause and resume. ---

    /// Hands out and dials nothing of `scope` any more.
    ///
    /// # Errors
    /// [`PauseError::TooMany`]; nothing has changed then.
    pub fn pause(&mut self, scope: &Scope, now: Tick) -> Result<(), PauseError> {
        match scope {
            Scope::All => self.pauses.is_all = true,
            Scope::Database(name) => {
                let is_new = !self.pauses.databases.contains(name);
                if is_new && self.pauses.databases.len() >= PAUSED_DATABASES_MAX {
                    return Err(PauseError::TooMany);
                }
                self.pauses.databases.insert(name.clone());
            }
        }
        self.pauses_changed(now);
        Ok(())
    }

    /// Serves `scope` again, its waiters in order. What an upstream that was away has made dialing
    /// wait for is forgotten: whoever resumes says that it is back. Everything means everything:
    /// databases that were paused by name, too.
    ///
    /// # Errors
    /// [`PauseError::AllPaused`]; nothing has changed then.
    pub fn resume(&mut self, scope: &Scope, now: Tick) -> Result<(), PauseError> {
        match scope {
            Scope::All => self.pauses = Pauses::default(),
            Scope::Database(_) if self.pauses.is_all => return Err(PauseError::AllPaused),
            Scope::Database(name) => {
                self.pauses.databases.remove(name);
            }
        }
        self.retry.forgive();
        self.pauses_changed(now);
        Ok(())
    }

    fn pauses_changed(&mut self, now: Tick) {
        let ids: Vec<PoolId> = self.pools().map(|(id, _)| id).collect();
        for id in ids {
            let is_paused = self.pauses.cover(&self.pool(id).key.database);
            let was_paused = std::mem::replace(&mut self.pool_mut(id).is_paused, is_paused);
            match (was_paused, is_paused) {
                (_, true) => self.rest(id, now),
                (true, false) => {
                    self.pool_mut(id).refused = None;
                    self.hand_out_idle(id, now);
                }
                (false, false) => {}
            }
        }
        self.feed(now);
        self.wake_at(now);
    }

    /// Gives the idle servers of a pool that was paused to those that wait.
    fn hand_out_idle(&mut self, id: PoolId, now: Tick) {
        while self.pool(id).tally.waiting() > 0
            && let Some(server) = self.pool_mut(id).idle.pop()
        {
            let Some(lease) = self.idle_lease(server) else { continue };
            self.place(lease, now);
        }
    }

    /// Closes the idle servers of a paused pool once nothing else of it moves.
    pub(super) fn rest(&mut self, id: PoolId, now: Tick) {
        let pool = self.pool(id);
        if !pool.is_paused || pool.tally.coming() + pool.tally.leased() > 0 {
            return;
        }
        for server in pool.idle.clone() {
            self.close_idle(server, CloseReason::Pause, now);
        }
    }

    // --- Servers are replaced. ---

    /// Has every server of `scope` replaced that exists now, and says how many those are.
    pub fn reconnect(&mut self, scope: &Scope, now: Tick) -> u32 {
        let ids = self.in_scope(scope);
        let mut retired = 0;
        for (_, entry) in self.entries.iter_mut().flatten() {
            if ids.contains(&entry.pool) && entry.state != State::Closing {
                entry.retired = true;
                entry.expires = now;
                retired += 1;
            }
        }
        for id in ids {
            self.renew(id, now);
        }
        self.wake_at(now);
        retired
    }

    /// Replaces the next retired server that is idle, the one that was idle for longest first.
    pub(super) fn renew(&mut self, id: PoolId, now: Tick) {
        if self.draining || self.pool(id).is_paused {
            return;
        }
        let is_retired = |server: &&ServerId| self.entry(**server).is_some_and(|e| e.retired);
        let next = self.pool(id).idle.iter().find(is_retired).copied();
        if let Some(server) = next {
            self.replace(id, server, now);
        }
    }

    /// Closes a server that is idle. False when it is not.
    pub fn kill_idle(&mut self, server: ServerId, now: Tick) -> bool {
        let is_idle = self.entry(server).is_some_and(|entry| entry.state == State::Idle);
        if is_idle {
            self.close_idle(server, CloseReason::Killed, now);
        }
        is_idle
    }

    // --- To look at. ---

    /// All servers, in the order of their numbers.
    pub fn servers(&self, now: Tick) -> Vec<ServerView> {
        let entries = self.entries.iter().flatten();
        let mut servers: Vec<ServerView> = entries
            .map(|(id, entry)| ServerView {
                id: *id,
                key: self.pool(entry.pool).key.clone(),
                state: entry.state,
                in_state: now.since(entry.since),
                age: now.since(entry.opened),
                pid: entry.pid,
                is_retired: entry.retired,
            })
            .collect();
        servers.sort_unstable_by_key(|server| server.id.number());
        servers
    }

    /// How the servers of `scope` stand.
    pub fn standing(&self, scope: &Scope) -> Standing {
        let is_paused = match scope {
            Scope::All => self.pauses.is_all,
            Scope::Database(name) => self.pauses.cover(name),
        };
        let mut standing = Standing { is_paused, ..Standing::default() };
        for (_, pool) in self.pools().filter(|(_, pool)| scope.covers(&pool.key)) {
            let tally = &pool.tally;
            for port in Port::ALL {
                standing.leased[port.index()] += tally.in_state(State::Leased(port));
            }
            standing.busy += tally.coming();
            standing.idle += tally.in_state(State::Idle);
            standing.closing += tally.in_state(State::Closing);
            standing.pinned += tally.pinned;
            standing.waiting += tally.waiting();
        }
        let ids = self.in_scope(scope);
        let retired = self.entries.iter().flatten().filter(|(_, entry)| {
            entry.retired && entry.state != State::Closing && ids.contains(&entry.pool)
        });
        standing.retired = u32::try_from(retired.count()).unwrap_or(u32::MAX);
        standing
    }

    /// Whether an operator has paused anything.
    pub fn is_anything_paused(&self) -> bool {
        self.pauses.is_all || !self.pauses.databases.is_empty()
    }

    /// Whether there is a pool of `scope`, or it is paused by its name.
    pub fn knows(&self, scope: &Scope) -> bool {
        match scope {
            Scope::All => true,
            Scope::Database(name) if self.pauses.databases.contains(name) => true,
            Scope::Database(_) => self.pools().any(|(_, pool)| scope.covers(&pool.key)),
        }
    }

    fn in_scope(&self, scope: &Scope) -> BTreeSet<PoolId> {
        self.pools().filter(|(_, pool)| scope.covers(&pool.key)).map(|(id, _)| id).collect()
    }
}
