//! TLS for tokio-postgres: who signed is verified, and logins are bound to the certificate.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use tidegate_control::secure::Stream;
use tokio_postgres::Socket;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Secures a connection.
#[derive(Clone)]
pub(crate) struct Secured {
    connector: TlsConnector,
    host: Option<ServerName<'static>>,
}

impl Secured {
    /// Believes whom the authority in this file has signed for, and nobody else.
    pub(crate) fn trusting(authority: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(authority).expect("it was just written");
        roots.add(authority).expect("it is an authority's");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring can do TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { connector: TlsConnector::from(Arc::new(config)), host: None }
    }
}

impl MakeTlsConnect<Socket> for Secured {
    type Stream = Stream<Socket>;
    type TlsConnect = Self;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Self> {
        let host = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Self { connector: self.connector.clone(), host: Some(host) })
    }
}

impl TlsConnect<Socket> for Secured {
    type Stream = Stream<Socket>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<Socket>>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move {
            let host = self.host.expect("make_tls_connect has named it");
            self.connector.connect(host, stream).await.map(Stream)
        })
    }
}
