//! The ledger of slots: who holds how many, and whether one more may be opened.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tidegate_wire::tick::Tick;

use crate::limits::{Limits, Server, ServerLimits, Usable};
use crate::slot::{Returns, Slot};

/// What a slot is for. Every purpose counts alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A connection of Tidegate's own: the census.
    Control,
    /// A server of a pool.
    Pool,
}

/// Why no slot was given. Nothing was opened in any of these cases.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// The database's own connection limit (`ALTER DATABASE … CONNECTION LIMIT`) is reached.
    #[error("database \"{database}\" allows {limit} connections and all are in use")]
    Database {
        /// Its name.
        database: Arc<str>,
        /// `datconnlimit`, less the connections of others.
        limit: u32,
    },
    /// PostgreSQL itself refused a connection a moment ago: others fill it faster than the
    /// census sees.
    #[error("the server has refused a connection because it is full")]
    Refused {
        /// Connections of ours that were open when it refused.
        open: u32,
    },
    /// The budget of the upstream is used up.
    #[error("all {limit} connections of the budget are in use", limit = .usable.connections)]
    Upstream {
        /// The budget and what bounds it.
        usable: Usable,
    },
    /// The role's own connection limit (`ALTER ROLE … CONNECTION LIMIT`) is reached.
    #[error("role \"{user}\" allows {limit} connections and all are in use")]
    User {
        /// Its name.
        user: Arc<str>,
        /// `rolconnlimit`, less the connections of others.
        limit: u32,
    },
}

impl Denied {
    /// The word for logs and metric labels.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Database { .. } => "database",
            Self::Refused { .. } => "refused",
            Self::Upstream { .. } => "upstream",
            Self::User { .. } => "user",
        }
    }
}

/// What the census found. It replaces what was known before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// The server's limits, or that they are unknown.
    pub server: Server,
    /// Client backends that are not ours.
    pub foreign: u32,
    /// Databases with a connection limit of their own: what is left for us.
    pub databases: BTreeMap<Arc<str>, u32>,
    /// Roles with a connection limit of their own: what is left for us.
    pub users: BTreeMap<Arc<str>, u32>,
}

impl Census {
    /// Nobody could be asked, or the answer does not count.
    pub fn unknown() -> Self {
        Self {
            server: Server::Unknown,
            foreign: 0,
            databases: BTreeMap::new(),
            users: BTreeMap::new(),
        }
    }
}

/// How the budget is shared with another process of the same gate, while one takes over from the
/// other. What the two hold together never exceeds what one may hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Share {
    /// There is no other.
    #[default]
    Whole,
    /// The other holds so many, from dialing until the backend has gone. The census does not count
    /// them among those of others.
    Beside(u32),
    /// The other may have all but so many.
    AtMost(u32),
}

/// The limits that the settings set, which a reload may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceilings {
    /// [`Limits::plan`].
    pub plan: Option<u32>,
    /// [`Limits::connections`].
    pub connections: Option<u32>,
    /// [`Limits::headroom`].
    pub headroom: u32,
}

/// All slots of one upstream.
pub struct Budget {
    limits: Limits,
    share: Share,
    foreign: u32,
    databases: BTreeMap<Arc<str>, Scope>,
    users: BTreeMap<Arc<str>, Scope>,
    held: Vec<Option<Held>>,
    free_numbers: Vec<u32>,
    used: u32,
    /// A connection of Tidegate's own was denied a slot: the next that is free is kept for it, as pools
    /// that are busy would never leave it one.
    control_waits: bool,
    refused: Option<Refusal>,
    returns: Returns,
}

/// A refusal by the server that still holds.
#[derive(Debug, Clone, Copy)]
struct Refusal {
    open: u32,
    until: Tick,
}

#[derive(Debug, Default)]
struct Scope {
    limit: Option<u32>,
    used: u32,
}

impl Scope {
    fn is_full(&self) -> Option<u32> {
        self.limit.filter(|limit| self.used >= *limit)
    }
}

#[derive(Debug)]
struct Held {
    database: Arc<str>,
    user: Arc<str>,
}

/// A look at the budget, for metrics and messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetView {
    /// How many connections may be held, and what says so.
    pub usable: Usable,
    /// How many are held, from dialing until the backend has gone.
    pub used: u32,
    /// Connections of others, as of the last census.
    pub foreign: u32,
    /// All that bounds it.
    pub limits: Limits,
}

impl Budget {
    /// A budget with nothing taken.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            share: Share::Whole,
            foreign: 0,
            databases: BTreeMap::new(),
            users: BTreeMap::new(),
            held: Vec::new(),
            free_numbers: Vec::new(),
            used: 0,
            control_waits: false,
            refused: None,
            returns: Returns::default(),
        }
    }

    /// Takes a slot for a connection to `database` as `user`, or says which limit forbids it.
    ///
    /// # Errors
    /// [`Denied`] names the limit; nothing was taken.
    pub fn take(
        &mut self,
        database: &Arc<str>,
        user: &Arc<str>,
        purpose: Purpose,
        now: Tick,
    ) -> Result<Slot, Denied> {
        self.collect();
        let usable = self.usable();
        // The last slot that another process leaves is for clients: what that knows of the server holds
        // until it has ended.
        let is_last = matches!(self.share, Share::Beside(_)) && usable.connections <= 1;
        if is_last && purpose == Purpose::Control {
            self.control_waits = true; // It gets the next.
            return Err(Denied::Upstream { usable });
        }
        // Before the first census only the connection that will ask may be opened.
        let limit = match (self.limits.server, purpose) {
            (Server::Unasked, Purpose::Pool) => 0,
            (Server::Unasked, Purpose::Control) if self.share == Share::Whole => {
                usable.connections.max(1)
            }
            (_, Purpose::Pool) if is_last => usable.connections,
            (_, Purpose::Pool) => usable.connections.saturating_sub(u32::from(self.control_waits)),
            (_, Purpose::Control) => usable.connections,
        };
        if self.used >= limit {
            self.control_waits |= purpose == Purpose::Control;
            return Err(Denied::Upstream { usable });
        }
        if let Some(refusal) = self.refused {
            if now >= refusal.until {
                self.refused = None;
            } else if self.used >= refusal.open {
                return Err(Denied::Refused { open: refusal.open });
            }
        }
        if let Some(limit) = self.databases.get(database).and_then(Scope::is_full) {
            return Err(Denied::Database { database: database.clone(), limit });
        }
        if let Some(limit) = self.users.get(user).and_then(Scope::is_full) {
            return Err(Denied::User { user: user.clone(), limit });
        }
        self.control_waits &= purpose != Purpose::Control;
        self.used += 1;
        self.databases.entry(database.clone()).or_default().used += 1;
        self.users.entry(user.clone()).or_default().used += 1;
        let held = Held { database: database.clone(), user: user.clone() };
        let number = match self.free_numbers.pop() {
            Some(number) => number,
            None => {
                self.held.push(None);
                u32::try_from(self.held.len() - 1).expect("fewer slots than 2^32 exist")
            }
        };
        self.held[number as usize] = Some(held);
        Ok(Slot::new(number, self.returns.clone()))
    }

    /// No connection of Tidegate's own is wanted any more.
    pub fn control_gives_up(&mut self) {
        self.control_waits = false;
    }

    /// Counts down the slots that were dropped since the last call. [`Budget::take`] and
    /// [`Budget::view`] do this themselves.
    pub fn collect(&mut self) {
        for number in self.returns.take() {
            let held = self.held[number as usize].take().expect("a slot is dropped once");
            self.free_numbers.push(number);
            self.used -= 1;
            release(&mut self.databases, &held.database);
            release(&mut self.users, &held.user);
        }
    }

    /// The server has refused a login because it is full (53300, or a pooler's words for it).
    /// `refused` is the number of our connections that were being opened and thus did not
    /// exist; what was open besides them is the most there may be until the next census or
    /// until `until`, whichever is first.
    pub fn server_is_full(&mut self, refused: u32, until: Tick) {
        self.collect();
        self.refused = Some(Refusal { open: self.used.saturating_sub(refused), until });
    }

    /// Puts the findings of the census in force.
    pub fn census(&mut self, census: Census) {
        self.collect();
        self.limits.server = census.server;
        self.foreign = census.foreign;
        if matches!(census.server, Server::Known(_)) {
            self.refused = None;
        }
        replace_limits(&mut self.databases, census.databases);
        replace_limits(&mut self.users, census.users);
    }

    /// Other settings hold from now on. What is taken beyond them stays taken.
    pub fn set_ceilings(&mut self, ceilings: Ceilings) {
        let Ceilings { plan, connections, headroom } = ceilings;
        self.limits = Limits { plan, connections, headroom, ..self.limits };
    }

    /// How many slots are taken; those that were dropped since [`Budget::collect`] still count.
    pub fn used(&self) -> u32 {
        self.used
    }

    /// The connections that this process may hold now, and what says so.
    pub fn usable(&self) -> Usable {
        let all = self.limits.usable(self.foreign);
        let connections = match self.share {
            Share::Whole => all.connections,
            Share::Beside(held) => all.connections.saturating_sub(held),
            Share::AtMost(limit) => all.connections.min(limit),
        };
        Usable { connections, ..all }
    }

    /// The connections that this process and another one may hold together.
    pub fn usable_together(&self) -> u32 {
        self.limits.usable(self.foreign).connections
    }

    /// From now on the budget is shared so.
    pub fn set_share(&mut self, share: Share) {
        self.share = share;
    }

    /// How it is shared.
    pub fn share(&self) -> Share {
        self.share
    }

    /// What the live server allows, when it is known.
    pub fn server_limits(&self) -> Option<ServerLimits> {
        match self.limits.server {
            Server::Known(limits) => Some(limits),
            Server::Unasked | Server::Unknown => None,
        }
    }

    /// A look at all of it.
    pub fn view(&mut self) -> BudgetView {
        self.collect();
        BudgetView {
            usable: self.usable(),
            used: self.used,
            foreign: self.foreign,
            limits: self.limits,
        }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("limits", &self.limits).field("used", &self.used).finish()
    }
}

fn release(scopes: &mut BTreeMap<Arc<str>, Scope>, name: &Arc<str>) {
    let scope = scopes.get_mut(name).expect("a slot's scopes exist as long as it does");
    scope.used -= 1;
    if scope.used == 0 && scope.limit.is_none() {
        scopes.remove(name); // Names come from clients: what nobody uses is not kept.
    }
}

fn replace_limits(scopes: &mut BTreeMap<Arc<str>, Scope>, limits: BTreeMap<Arc<str>, u32>) {
    for scope in scopes.values_mut() {
        scope.limit = None;
    }
    for (name, limit) in limits {
        scopes.entry(name).or_default().limit = Some(limit);
    }
    scopes.retain(|_, scope| scope.used > 0 || scope.limit.is_some());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn name(text: &str) -> Arc<str> {
        Arc::from(text)
    }

    fn budget(plan: u32) -> Budget {
        let mut budget = Budget::new(Limits {
            plan: Some(plan),
            connections: None,
            headroom: 0,
            control: 0,
            server: Server::Unasked,
        });
        budget.census(census(Server::Unknown, 0));
        budget
    }

    fn census(server: Server, foreign: u32) -> Census {
        Census { server, foreign, databases: BTreeMap::new(), users: BTreeMap::new() }
    }

    fn take(budget: &mut Budget) -> Result<Slot, Denied> {
        budget.take(&name("app"), &name("app"), Purpose::Pool, Tick::ZERO)
    }

    #[test]
    fn a_slot_is_given_back_by_dropping_it() {
        let mut budget = budget(2);
        let first = take(&mut budget).expect("one of two");
        let second = take(&mut budget).expect("two of two");
        assert!(matches!(take(&mut budget), Err(Denied::Upstream { .. })));
        drop(first);
        let third = take(&mut budget).expect("the first came back");
        assert_eq!(budget.view().used, 2);
        drop((second, third));
        assert_eq!(budget.view().used, 0);
        assert!(budget.databases.is_empty(), "names of clients are not kept");
    }

    #[test]
    fn before_the_census_only_the_census_may_connect() {
        let mut budget = budget(15);
        budget.limits.server = Server::Unasked;
        assert!(take(&mut budget).is_err());
        let census = budget.take(&name("app"), &name("app"), Purpose::Control, Tick::ZERO);
        assert!(census.is_ok());
    }

    #[test]
    fn a_slot_is_kept_for_the_census_that_was_denied_one() {
        let mut budget = budget(2);
        let control = |budget: &mut Budget| {
            budget.take(&name("app"), &name("app"), Purpose::Control, Tick::ZERO)
        };
        let first = take(&mut budget).expect("one of two");
        let _second = take(&mut budget).expect("two of two");
        assert!(control(&mut budget).is_err());
        drop(first);
        assert!(take(&mut budget).is_err(), "it is the census's");
        let census = control(&mut budget).expect("it was kept");
        drop(census);
        let third = take(&mut budget).expect("nobody waits any more");
        assert!(control(&mut budget).is_err());
        drop(third);
        budget.control_gives_up();
        assert!(take(&mut budget).is_ok());
    }

    #[test]
    fn the_last_slot_beside_another_process_is_no_census_s() {
        let mut budget = budget(2);
        let control = |budget: &mut Budget| {
            budget.take(&name("app"), &name("app"), Purpose::Control, Tick::ZERO)
        };
        budget.set_share(Share::Beside(2));
        assert!(control(&mut budget).is_err());
        budget.set_share(Share::Beside(1));
        assert!(control(&mut budget).is_err(), "clients need it");
        let only = take(&mut budget).expect("it was not kept for the census");
        budget.set_share(Share::Whole);
        let census = control(&mut budget).expect("there are two now");
        assert!(take(&mut budget).is_err());
        drop((only, census));
    }

    #[test]
    fn foreign_connections_shrink_the_budget_and_take_nothing_back() {
        let mut budget = budget(3);
        let slots: Vec<_> = (0..3).map(|_| take(&mut budget).expect("three")).collect();
        budget.census(census(Server::Unknown, 2));
        assert_eq!(budget.usable().connections, 1);
        assert!(take(&mut budget).is_err());
        drop(slots);
        let _one = take(&mut budget).expect("one is left");
        assert!(take(&mut budget).is_err());
    }

    #[test]
    fn a_refusal_holds_until_its_time_or_a_slot_comes_back() {
        let mut budget = budget(10);
        let open = take(&mut budget).expect("open");
        let refused = take(&mut budget).expect("being dialed");
        let until = Tick::ZERO + Duration::from_secs(2);
        budget.server_is_full(1, until);
        drop(refused);
        assert_eq!(take(&mut budget).err(), Some(Denied::Refused { open: 1 }));
        drop(open);
        let again = take(&mut budget).expect("one below what was open");
        assert_eq!(take(&mut budget).err(), Some(Denied::Refused { open: 1 }));
        let later = budget.take(&name("app"), &name("app"), Purpose::Pool, until);
        assert!(later.is_ok());
        drop(again);
    }

    #[test]
    fn two_processes_hold_no_more_than_one_may() {
        let (mut old, mut new) = (budget(3), budget(3));
        let mut slots: Vec<_> = (0..3).map(|_| take(&mut old).expect("three")).collect();
        new.set_share(Share::Beside(3));
        assert!(take(&mut new).is_err());
        old.set_share(Share::AtMost(1));
        assert_eq!((old.usable().connections, old.usable_together()), (1, 3));
        slots.pop();
        assert!(take(&mut old).is_err(), "two are more than one");
        new.set_share(Share::Beside(2));
        let _first = take(&mut new).expect("one went over");
        assert!(take(&mut new).is_err());
        slots.clear();
        let _again = take(&mut old).expect("one is its own still");
        assert!(take(&mut old).is_err());
        new.set_share(Share::Whole);
        assert_eq!(new.usable().connections, 3);
    }

    #[test]
    fn limits_of_databases_and_roles_are_nested() {
        let mut budget = budget(10);
        budget.census(Census {
            databases: BTreeMap::from([(name("app"), 2)]),
            users: BTreeMap::from([(name("bob"), 1)]),
            ..census(Server::Unknown, 0)
        });
        let _bob = budget.take(&name("app"), &name("bob"), Purpose::Pool, Tick::ZERO).expect("1");
        let denied = budget.take(&name("other"), &name("bob"), Purpose::Pool, Tick::ZERO);
        assert_eq!(denied.err(), Some(Denied::User { user: name("bob"), limit: 1 }));
        let _eve = budget.take(&name("app"), &name("eve"), Purpose::Pool, Tick::ZERO).expect("2");
        let denied = budget.take(&name("app"), &name("eve"), Purpose::Pool, Tick::ZERO);
        assert_eq!(denied.err(), Some(Denied::Database { database: name("app"), limit: 2 }));
    }

    proptest::proptest! {
        #[test]
        fn random_takes_drops_and_censuses_never_exceed_the_limit(
            steps in proptest::collection::vec((0u8..4, 0u32..20), 1..200)
        ) {
            let mut budget = budget(15);
            let mut slots = Vec::new();
            for (step, number) in steps {
                match step {
                    0 | 1 => {
                        let before = budget.view();
                        match take(&mut budget) {
                            Ok(slot) => {
                                proptest::prop_assert!(before.used < before.usable.connections);
                                slots.push(slot);
                            }
                            Err(_) => proptest::prop_assert!(before.used >= before.usable.connections),
                        }
                    }
                    2 if !slots.is_empty() => {
                        drop(slots.swap_remove(number as usize % slots.len()));
                    }
                    _ => budget.census(census(Server::Unknown, number)),
                }
                proptest::prop_assert_eq!(budget.view().used as usize, slots.len());
            }
        }
    }
}
