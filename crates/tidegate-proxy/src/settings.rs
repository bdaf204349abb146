//! Settings become what the crates below want to be told.

use tidegate_budget::budget::{Budget, Ceilings};
use tidegate_budget::limits::{Limits, Server as ServerLimits};
use tidegate_config::{
    ChannelBinding, ClientCert, Config, Negotiation, Roots as ConfiguredRoots, SslMode, TlsMode,
    UpstreamKind, UpstreamTls, Verification,
};
use tidegate_pool_core::pools::Pools;
use tidegate_pool_core::retry::Retry;
use tidegate_pool_core::settings::AnswerProbes;
use tidegate_session::client::answers::Probes;
use tidegate_session::client_login::TlsOffer;
use tidegate_session::parameters::SessionSettings;
use tidegate_session::server_login::BindChannel;
use tidegate_session::tls_request::TlsNegotiation;

use crate::entropy::Entropy;
use crate::listener::{KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, USER_TIMEOUT};
use crate::tls::Opening;
use crate::tls::acceptor::{Acceptor, ClientCertificates};
use crate::tls::connector::{Connector, Roots, Sni, Verify};
use crate::tls::files::{FileError, Identity};

/// Pools with nothing in them.
pub(crate) fn pools<S>(config: &Config, entropy: &mut Entropy) -> Pools<S> {
    Pools::new(Budget::new(budget_limits(config)), retry(config, entropy))
}

/// What bounds the budget before the census has asked the server.
fn budget_limits(config: &Config) -> Limits {
    let has_census =
        config.upstream.census.is_some() && config.upstream.kind != UpstreamKind::Pooler;
    Limits {
        plan: config.plan.limit(),
        connections: config.upstream.connections,
        headroom: config.upstream.headroom,
        // The census and the look-up of users share one connection.
        control: u32::from(has_census || config.auth.query.is_some()),
        server: if has_census { ServerLimits::Unasked } else { ServerLimits::Unknown },
    }
}

/// What of that the settings set.
pub(crate) fn ceilings(config: &Config) -> Ceilings {
    let Limits { plan, connections, headroom, .. } = budget_limits(config);
    Ceilings { plan, connections, headroom }
}

/// How dialing is retried.
fn retry(config: &Config, entropy: &mut Entropy) -> Retry {
    Retry::new(config.retry.clone(), entropy.u64())
}

/// What clients of the transaction port are answered without a server.
pub(crate) fn probes(answered: AnswerProbes) -> Probes {
    match answered {
        AnswerProbes::Off => Probes::Off,
        AnswerProbes::Begin => Probes::Begin,
        AnswerProbes::All => Probes::All,
    }
}

/// Whether clients are offered TLS.
pub(crate) fn tls_offer(config: &Config) -> TlsOffer {
    match config.listen.tls.mode {
        TlsMode::Off => TlsOffer::Off,
        TlsMode::Allow => TlsOffer::Allow,
        TlsMode::Require => TlsOffer::Require,
    }
}

/// What clients are shown; none without TLS.
pub(crate) fn acceptor(config: &Config) -> Result<Option<Acceptor>, FileError> {
    let tls = &config.listen.tls;
    let Some((certificate, key)) = tls.certificate() else { return Ok(None) };
    let identity = Identity { certificate: certificate.to_owned(), key: key.to_owned() };
    let clients = match (&tls.client_ca, tls.client_cert) {
        (None, _) => ClientCertificates::NotAsked,
        (Some(file), ClientCert::Optional) => ClientCertificates::Optional(file.clone()),
        (Some(file), ClientCert::Require) => ClientCertificates::Required(file.clone()),
    };
    Acceptor::load(&identity, &clients).map(Some)
}

/// Whether servers are asked for TLS.
pub(crate) fn negotiation(tls: &UpstreamTls) -> TlsNegotiation {
    match (tls.mode, tls.negotiation) {
        (SslMode::Disable, _) => TlsNegotiation::Off,
        (SslMode::Allow | SslMode::Prefer, _) => TlsNegotiation::Prefer,
        (_, Negotiation::Postgres) => TlsNegotiation::Require,
        (_, Negotiation::Direct) => TlsNegotiation::Direct,
    }
}

/// How a connection that is to have TLS begins with it.
pub(crate) fn opening(tls: &UpstreamTls) -> Opening {
    match tls.negotiation {
        Negotiation::Postgres => Opening::Requested,
        Negotiation::Direct => Opening::Direct,
    }
}

/// Whom we believe upstream, and what we show there; none without TLS.
///
/// # Errors
/// What is wrong with which file.
pub fn connector(config: &Config) -> Result<Option<Connector>, FileError> {
    let tls = &config.upstream.tls;
    if tls.mode == SslMode::Disable {
        return Ok(None);
    }
    let roots = match &tls.roots {
        ConfiguredRoots::System => Roots::System,
        ConfiguredRoots::File(file) => Roots::File(file.clone()),
    };
    let verify = match tls.verification() {
        Verification::None => Verify::Nothing,
        Verification::Chain => Verify::Chain(roots),
        Verification::ChainAndName => Verify::ChainAndName(roots),
    };
    let identity = tls
        .client_certificate
        .as_ref()
        .map(|(certificate, key)| Identity { certificate: certificate.clone(), key: key.clone() });
    let sni = if tls.sni { Sni::Sent } else { Sni::Omitted };
    Connector::load(&verify, identity.as_ref(), sni).map(Some)
}

/// Whether logins are bound to the TLS connection that they come by.
pub(crate) fn channel_binding(tls: &UpstreamTls) -> BindChannel {
    match tls.channel_binding {
        ChannelBinding::Disable => BindChannel::Disable,
        ChannelBinding::Prefer => BindChannel::Prefer,
        ChannelBinding::Require => BindChannel::Require,
    }
}

/// What a server is to do about us: to find out that we are gone as soon as we find out that it is, instead
/// of after two hours, for which its slot and all that it has locked would be taken. A PostgreSQL of this
/// version (`server_version_num`; 0: not known) that is in the midst of a statement looks every ten
/// seconds, from 14 on.
pub(crate) fn watchfulness(version: u32) -> SessionSettings {
    let values = [
        ("tcp_keepalives_idle", KEEPALIVE_IDLE.as_secs().to_string()),
        ("tcp_keepalives_interval", KEEPALIVE_INTERVAL.as_secs().to_string()),
        ("tcp_keepalives_count", KEEPALIVE_PROBES.to_string()),
        ("tcp_user_timeout", USER_TIMEOUT.as_millis().to_string()),
    ];
    let check =
        (version >= 140_000).then(|| ("client_connection_check_interval", "10s".to_owned()));
    let all: Vec<_> = values.into_iter().chain(check).collect();
    let pairs = all.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    SessionSettings::new(pairs).expect("they are plain text")
}
