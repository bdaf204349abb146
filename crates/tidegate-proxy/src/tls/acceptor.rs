//! TLS towards clients.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    NoClientAuth, NoServerSessionStorage, UnbufferedServerConnection, WebPkiClientVerifier,
};
use rustls::sign::SingleCertAndKey;

use super::connection::Tls;
use super::files::{self, FileError, Identity};
use super::{ALPN, Opening, provider};

/// Plaintext in one record to a client: as PostgreSQL sends it, whose buffer has this size
/// (PostgreSQL 15, `PQ_SEND_BUFFER_SIZE`). libpq makes room for so much before each read and
/// leaves the rest of a longer record in OpenSSL, where who waits for the socket (psycopg, every
/// asynchronous driver) does not see it: in the midst of a large result it would wait for ever.
const RECORD_BYTES_MAX: usize = 8192;

/// What is asked of clients beside their passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Nothing.
    NotAsked,
    /// One that an authority in this file has signed, if the client has any.
    Optional(PathBuf),
    /// One that an authority in this file has signed.
    Required(PathBuf),
}

/// Makes the TLS side of connections from clients. To renew a certificate, load another acceptor
/// and use it from then on: a connection keeps what it was made with.
#[derive(Debug)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    leaf: Arc<CertificateDer<'static>>,
}

impl Acceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// Which file is wrong, and how.
    pub fn load(identity: &Identity, clients: &ClientCertificates) -> Result<Self, FileError> {
        let provider = provider();
        let verifier = verifier(clients, &provider)?;
        let identity = identity.load(&provider)?;
        let leaf = Arc::new(identity.cert[0].clone()); // A file without any was refused.
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring can do TLS 1.2 and 1.3")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.max_fragment_size = Some(RECORD_BYTES_MAX);
        // No tickets: libpq and the drivers do not resume, each would be a write after the
        // handshake that no client waits for, and PostgreSQL sends none either.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { config: Arc::new(config), leaf })
    }

    /// The TLS side of a connection that was just accepted.
    pub(crate) fn accept(&self, opening: Opening) -> Tls {
        let connection = UnbufferedServerConnection::new(self.config.clone())
            .expect("the limit on fragments is one that TLS has");
        Tls::server(connection, self.leaf.clone(), opening)
    }
}

fn verifier(
    clients: &ClientCertificates,
    provider: &Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, FileError> {
    let (file, is_optional) = match clients {
        ClientCertificates::NotAsked => return Ok(Arc::new(NoClientAuth)),
        ClientCertificates::Optional(file) => (file, true),
        ClientCertificates::Required(file) => (file, false),
    };
    let (roots, _) = files::authorities(file)?;
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let builder = if is_optional { builder.allow_unauthenticated() } else { builder };
    Ok(builder.build().expect("there is at least one root, and there are no revocation lists"))
}
