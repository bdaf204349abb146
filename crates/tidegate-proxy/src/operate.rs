//! What an operator does to the pools of a running gate.
//!
//! The pools decide under their lock, and what they order (idle servers to close, clients to hand
//! servers to) is carried out by whichever worker wakes first, as after a census.

use tidegate_pool_core::pools::operating::{PauseError, Scope, Standing};
use tidegate_pool_core::server::ServerId;

use crate::roster::{AskForList, ClientId, Killed, Listing, Whom};
use crate::shared::{Mail, Mailbox, Pulse, Shared};

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

    /// How many workers there are, each of which answers what all are asked.
    pub fn workers(&self) -> usize {
        self.mailboxes.len()
    }

    /// Asks each worker for its clients, `rows_max` of them at most.
    pub fn list(&self, whom: Whom, rows_max: usize, asker: impl AskForList + Clone + 'static) {
        for mailbox in &*self.mailboxes {
            let asker = Box::new(asker.clone());
            mailbox.put(Mail::List(Box::new(Listing::new(whom, rows_max, asker))));
        }
    }

    /// Has a client closed. Each worker answers; those that do not have it, that they know none.
    pub fn kill_client(&self, client: ClientId, reply: impl Fn(Killed) + Clone + Send + 'static) {
        for mailbox in &*self.mailboxes {
            mailbox.put(Mail::KillClient(client, Box::new(reply.clone())));
        }
    }

    /// Has a server closed that a worker has, and its client with it. Each worker answers, as
    /// [`Shared::kill_client`] has it.
    pub fn kill_server(&self, server: ServerId, reply: impl Fn(Killed) + Clone + Send + 'static) {
        for mailbox in &*self.mailboxes {
            mailbox.put(Mail::KillServer(server, Box::new(reply.clone())));
        }
    }

    /// Closes a server that nobody has. False when somebody has it.
    pub fn kill_idle(&self, server: ServerId) -> bool {
        let now = self.clock.now();
        self.with_pools(|pools| pools.kill_idle(server, now))
    }

    /// The pulse of each worker.
    pub fn pulses(&self) -> Vec<Pulse> {
        self.mailboxes.iter().map(Mailbox::pulse).collect()
    }

    /// Has each worker show that it is alive, and says the pulses of before.
    pub fn ask_pulses(&self) -> Vec<Pulse> {
        let before = self.pulses();
        self.wake_all();
        before
    }
}

#[cfg(test)]
mod tests {
    use crate::shared::Mailbox;
    use crate::world::{Registry, Waker};

    #[test]
    fn a_worker_that_has_ended_is_not_one_that_hangs() {
        let mailbox = Mailbox::new(Waker::Played(false.into()), Registry::Played(0));
        let first = mailbox.pulse();
        assert!(!mailbox.pulse().is_after(first), "it hangs");
        mailbox.beat();
        let second = mailbox.pulse();
        assert!(second.is_after(first));
        mailbox.ended();
        assert!(mailbox.pulse().is_after(second) && mailbox.pulse().is_after(mailbox.pulse()));
    }
}
