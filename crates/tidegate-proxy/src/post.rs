//! What goes from one worker to another: mail, and what a call of the pools has left to be done.
//!
//! Nothing is lost on its way: a piece of mail is there before its worker is woken, and whoever calls
//! the pools takes over what they order before anybody else can. `tests/loom.rs` tries it in all orders.

use std::collections::VecDeque;

use tidegate_pool_core::order::Order;
use tidegate_pool_core::pools::Pools;

use crate::locks::lock;
use crate::sync::Mutex;

/// Mail for one worker.
pub(crate) struct Post<M>(Mutex<VecDeque<M>>);

impl<M> Post<M> {
    /// No mail yet.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    /// Leaves it there, and then wakes the worker: one that was woken before would find nothing, and
    /// sleep on.
    pub(crate) fn put(&self, mail: M, wake: impl FnOnce()) {
        lock(&self.0).push_back(mail);
        wake();
    }

    /// The next, in order.
    pub(crate) fn take(&self) -> Option<M> {
        lock(&self.0).pop_front()
    }

    /// Looks at what is on its way.
    pub(crate) fn look(&self, look: impl FnMut(&M)) {
        lock(&self.0).iter().for_each(look);
    }
}

/// Calls the pools and takes over the orders that the call left, and any that were left before.
pub(crate) fn call<S, R>(
    pools: &Mutex<Pools<S>>,
    orders: &mut VecDeque<Order<S>>,
    call: impl FnOnce(&mut Pools<S>) -> R,
) -> R {
    let mut pools = lock(pools);
    let result = call(&mut pools);
    while let Some(order) = pools.next_order() {
        orders.push_back(order);
    }
    result
}
