//! Other settings for a gate that runs: all of them, or none.
//!
//! First everything is made of them that can fail ([`Shared::prepare`]): verifiers of users, certificates,
//! keys. Then nothing can ([`Shared::put_in_force`]). Connections are kept, whoever they belong to.
//!
//! What is said of pools and of the budget holds when that call returns. Workers learn of the rest by mail,
//! and go through their clients a few at a time.

use std::sync::Arc;

use tidegate_config::Config;

use crate::entropy::Entropy;
use crate::settings;
use crate::shared::{Mail, Shared, Tls};
use crate::tls::files::FileError;
use crate::users::{Known, UserError};

/// Settings that can be put in force.
pub struct Prepared {
    config: Arc<Config>,
    users: Known,
    tls: Tls,
}

/// What the settings name is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A certificate or key is wrong.
    #[error("{0}")]
    Tls(#[from] FileError),
    /// A user is wrong.
    #[error("{0}")]
    User(#[from] UserError),
}

impl Shared {
    /// Makes of `config` all that can fail. It should be what
    /// [`in_force`](tidegate_config::in_force) gives: what needs a restart is not looked at. Derives a
    /// verifier for each password that is new, which takes milliseconds.
    ///
    /// # Errors
    /// The first that is wrong; nothing has changed.
    pub fn prepare(&self, config: Config) -> Result<Prepared, PrepareError> {
        let users = self.users.prepare(&config, &mut Entropy::new())?;
        let tls = Tls::load(&config)?;
        Ok(Prepared { config: Arc::new(config), users, tls })
    }

    /// From now on these settings hold.
    pub fn put_in_force(&self, prepared: Prepared) {
        let Prepared { config, users, tls } = prepared;
        let now = self.clock.now();
        self.set_tls(tls);
        self.users.replace(users);
        self.memory.set_max(config.listen.memory_max.unwrap_or(self.memory_max));
        // Before the pools: one that is made meanwhile is made of these.
        self.set_config(config.clone());
        for mailbox in &*self.mailboxes {
            mailbox.put(Mail::Reload(config.clone()));
        }
        self.with_pools(|pools| {
            let of = |key: &tidegate_pool_core::server::PoolKey| {
                config.pool_settings(&key.database, &key.user)
            };
            pools.set_ceilings(settings::ceilings(&config), now);
            pools.set_settings(of, config.retry.clone(), now);
        });
    }
}
