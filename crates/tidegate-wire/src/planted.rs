//! Bugs that poolers have had, to be planted where their guards stand: whether the simulation finds
//! them says what a clean run is worth.
//!
//! Only with the feature `planted`, which nothing but the simulation's own test turns on, is
//! there anything to plant. Without it [`is_planted`] is `false` to the compiler.

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A slot is free as soon as goodbye was said, while the backend is still there.
    BudgetForgetsClosing,
    /// What a client left in the midst of a transaction is given to the next as it is.
    DirtyReuse,
    /// A client keeps its server after it was returned.
    DoubleReturn,
    /// A drain lets those wait on who wait for a server.
    DrainForgetsWaiters,
    /// A server that is handed to a client that has gone meanwhile does not come back.
    HandOffToNobody,
    /// A server is handed out while a cancel is on its way to it.
    LateCancel,
    /// A waiter is taken from the queue and given nothing.
    LostWaiter,
    /// A waiter is served before one that has waited for longer.
    Overtaking,
    /// Answers that are owed to a client that has gone are left to the next.
    ReplyToAnother,
    /// A server keeps the settings of the client before.
    SettingsLeak,
    /// A statement is taken for another that the server has.
    StatementOfAnother,
}

#[cfg(feature = "planted")]
std::thread_local! {
    // A run of the simulation is one thread, and several run at once.
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug for what this thread does from now on, or none.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this bug is planted.
#[cfg(feature = "planted")]
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether this bug is planted: it is not.
#[cfg(not(feature = "planted"))]
pub const fn is_planted(_: Bug) -> bool {
    false
}
