//! TLS towards PostgreSQL.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;

use super::connection::Tls;
use super::files::{self, FileError, Identity};
use super::verifier::{Names, Trust, Verifier};
use super::{ALPN, Opening, provider};

/// Whom a server's certificate must be signed by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Anybody whom the system trusts.
    System,
    /// An authority in this file. A certificate that stands in it is trusted itself.
    File(PathBuf),
}

/// What is verified of a server's certificate. That the server has its key always is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verify {
    /// Nothing: `require` and what is below. Keeps listeners out, but not impostors.
    Nothing,
    /// Who signed it: `verify-ca`.
    Chain(Roots),
    /// Who signed it, and that it is for the host: `verify-full`.
    ChainAndName(Roots),
}

/// Whether the name of the host is sent, in clear, with the first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sni {
    /// It is, unless it is an address: so that a proxy knows which server is meant.
    Sent,
    /// It is not.
    Omitted,
}

/// The host has no name that a certificate could be for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{host}\" is neither a DNS name nor an address, so no certificate can be for it; \
     verify-ca does not look at the name"
)]
pub struct NameError {
    /// What it is called.
    pub host: String,
}

/// Makes the TLS side of connections to an upstream. A connection keeps what it was made with.
#[derive(Debug)]
pub struct Connector {
    config: Arc<ClientConfig>,
    names: Names,
}

impl Connector {
    /// Reads the files. With an `identity`, it is shown to servers that ask for one.
    ///
    /// # Errors
    /// Which file is wrong, and how.
    pub fn load(verify: &Verify, identity: Option<&Identity>, sni: Sni) -> Result<Self, FileError> {
        let provider = provider();
        let (roots, names) = match verify {
            Verify::Nothing => (None, Names::Ignored),
            Verify::Chain(roots) => (Some(roots), Names::Ignored),
            Verify::ChainAndName(roots) => (Some(roots), Names::Compared),
        };
        let trust = roots.map(trust).transpose()?;
        let verifier = Verifier::new(trust, names, provider.signature_verification_algorithms);
        let identity = identity.map(|identity| identity.load(&provider)).transpose()?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring can do TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match identity {
            Some(identity) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity)))
            }
            None => builder.with_no_client_auth(),
        };
        // As libpq since 17: older servers pass over it.
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_sni = sni == Sni::Sent;
        // A resumed session would carry over what was verified under older files.
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), names })
    }

    /// The configuration, for whoever drives a connection by other means.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// The name that the certificate of `host` must be for.
    ///
    /// # Errors
    /// It cannot be a name in a certificate, but is to be verified.
    pub fn server_name(&self, host: &str) -> Result<ServerName<'static>, NameError> {
        match ServerName::try_from(host.to_owned()) {
            Ok(name) => Ok(name),
            Err(_) if self.names == Names::Compared => Err(NameError { host: host.to_owned() }),
            // An address is never sent as the name, and nobody will compare it.
            Err(_) => Ok(ServerName::from(IpAddr::from(Ipv4Addr::UNSPECIFIED))),
        }
    }

    /// The TLS side of a connection to `host`.
    ///
    /// # Errors
    /// As [`Connector::server_name`].
    pub(crate) fn connect(&self, host: &str, opening: Opening) -> Result<Tls, NameError> {
        let name = self.server_name(host)?;
        let connection = UnbufferedClientConnection::new(self.config.clone(), name)
            .expect("a configuration without a limit on fragments is always right");
        Ok(Tls::client(connection, opening))
    }
}

fn trust(roots: &Roots) -> Result<Trust, FileError> {
    let (roots, named) = match roots {
        Roots::System => (files::system_authorities()?, Vec::new()),
        Roots::File(file) => files::authorities(file)?,
    };
    Ok(Trust { roots, named })
}
