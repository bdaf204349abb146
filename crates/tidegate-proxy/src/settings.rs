//! Settings become what the crates below want to be told.

use tidegate_budget::limits::{Limits, Server as ServerLimits};
use tidegate_config::{Config, UpstreamKind};
use tidegate_pool_core::retry::Retry;

use crate::entropy::Entropy;

/// What bounds the budget before the census has asked the server.
pub(crate) fn budget_limits(config: &Config) -> Limits {
    let has_census =
        config.upstream.census.is_some() && config.upstream.kind != UpstreamKind::Pooler;
    Limits {
        plan: config.plan.limit(),
        connections: config.upstream.connections,
        headroom: config.upstream.headroom,
        control: u32::from(has_census),
        server: if has_census { ServerLimits::Unasked } else { ServerLimits::Unknown },
    }
}

/// How dialing is retried.
pub(crate) fn retry(config: &Config, entropy: &mut Entropy) -> Retry {
    Retry::new(config.retry.clone(), entropy.u64())
}
