//! What an operator does to the pools of a running gate.
//!
//! The pools decide under their lock, and what they order (idle servers to close, clients to hand
//! servers to) is carried out by whichever worker wakes first, as after a census.

use tidegate_pool_core::pools::operating::{PauseError, Scope, Standing};

use crate::shared::Shared;

impl Shared {
    /// Hands out and dials nothing of `scope` until it is resumed; says how its servers stand.
    ///
    /// # Errors
    /// As [`tidegate_pool_core::pools::Pools::pause`].
    pub fn pause(&self, scope: &Scope) -> Result<Standing, PauseError> {
        let now = self.clock.now();
        self.with_pools(|pools| pools.pause(scope, now).map(|()| pools.standing(scope)))
    }

    /// Serves `scope` again, its waiters in order.
    ///
    /// # Errors
    /// As [`tidegate_pool_core::pools::Pools::resume`].
    pub fn resume(&self, scope: &Scope) -> Result<Standing, PauseError> {
        let now = self.clock.now();
        self.with_pools(|pools| pools.resume(scope, now).map(|()| pools.standing(scope)))
    }

    /// Has the servers of `scope` replaced that exist now.
    pub fn reconnect(&self, scope: &Scope) -> Standing {
        let now = self.clock.now();
        self.with_pools(|pools| {
            pools.reconnect(scope, now);
            pools.standing(scope)
        })
    }
}
