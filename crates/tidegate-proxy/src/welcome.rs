//! The welcome: what a client is told when it has logged in.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use tidegate_pool_core::server::Flavour;
use tidegate_session::parameters::{Reported, StartupParameters};
use tidegate_wire::backend;

/// What a client is told when it has logged in: the parameters that a server with its startup
/// parameters has reported.
#[derive(Debug)]
pub(crate) struct Welcome {
    /// ParameterStatus messages, ready to be sent.
    pub(crate) statuses: Vec<u8>,
    /// The startup parameters that they belong to. PostgreSQL has accepted them.
    pub(crate) parameters: Arc<StartupParameters>,
}

/// Parameters as the messages that report them.
pub(crate) fn statuses(reported: &Reported) -> Vec<u8> {
    let mut statuses = Vec::new();
    for (name, value) in reported.iter() {
        backend::push_parameter_status(&mut statuses, name, value);
    }
    statuses
}

/// Equal parameters have equal flavours.
pub(crate) fn flavour(parameters: &StartupParameters) -> Flavour {
    let mut hasher = DefaultHasher::new();
    parameters.hash(&mut hasher);
    Flavour(hasher.finish())
}
