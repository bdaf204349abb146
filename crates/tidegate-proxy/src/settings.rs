//! Settings become what the crates below want to be told.

use tidegate_budget::limits::{Limits, Server as ServerLimits};
use tidegate_config::{Config, PrePing as ConfiguredPrePing, Reset, UpstreamKind};
use tidegate_pool_core::retry::Retry;
use tidegate_pool_core::server::PoolKey;
use tidegate_pool_core::settings::{PoolSettings, PrePing, ResetPolicy, RetrySettings};

use crate::entropy::Entropy;

/// The settings of a pool.
pub(crate) fn pool_settings(config: &Config, key: &PoolKey) -> PoolSettings {
    let settings = config.pool_settings(&key.database, &key.user);
    PoolSettings {
        pool_size: settings.pool_size,
        max_overflow: settings.max_overflow,
        pool_timeout: settings.pool_timeout,
        pool_recycle: settings.pool_recycle,
        pool_pre_ping: match settings.pool_pre_ping {
            ConfiguredPrePing::After(limit) => PrePing::After(limit),
            ConfiguredPrePing::Always => PrePing::Always,
            ConfiguredPrePing::Off => PrePing::Off,
        },
        overflow_linger: settings.overflow_linger,
        server_idle_timeout: settings.server_idle_timeout,
        reset: match settings.reset {
            Reset::Auto => ResetPolicy::Auto,
            Reset::Always => ResetPolicy::Always,
            Reset::Off => ResetPolicy::Off,
        },
    }
}

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
    let settings = RetrySettings {
        attempts: config.retry.attempts,
        multiplier: config.retry.multiplier,
        min: config.retry.min,
        max: config.retry.max,
        jitter: config.retry.jitter,
        budget: config.retry.budget,
    };
    Retry::new(settings, entropy.u64())
}
