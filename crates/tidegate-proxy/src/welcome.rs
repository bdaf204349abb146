//! The welcome: what a client is told when it has logged in.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use tidegate_pool_core::server::{Flavour, PoolKey};
use tidegate_session::parameters::{ReportedValues, SessionSettings};
use tidegate_session::prepared::Environment;
use tidegate_wire::backend;

/// What a client is told when it has logged in: the parameters that a server with its startup
/// parameters has reported.
#[derive(Debug)]
pub(crate) struct Welcome {
    /// What it is told.
    pub(crate) reported: Arc<ReportedValues>,
    /// The startup parameters that they belong to. PostgreSQL has accepted them.
    pub(crate) parameters: Arc<SessionSettings>,
}

/// Parameters as the messages that report them.
pub(crate) fn statuses<'a>(
    reported: impl IntoIterator<Item = (&'a Box<[u8]>, &'a Box<[u8]>)>,
) -> Vec<u8> {
    let mut statuses = Vec::new();
    for (name, value) in reported {
        backend::push_parameter_status(&mut statuses, name, value);
    }
    statuses
}

/// Equal settings have equal flavours.
pub(crate) fn flavour(parameters: &SessionSettings) -> Flavour {
    let mut hasher = DefaultHasher::new();
    parameters.hash(&mut hasher);
    Flavour(hasher.finish())
}

/// What the statements of a client of this pool with these settings mean what they mean in.
pub(crate) fn environment(pool: &PoolKey, settings: &SessionSettings) -> Environment {
    Environment::of(&pool.database, &pool.user, settings)
}
