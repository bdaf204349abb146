//! What tests of TLS need beside certificates: both sides of a connection, ours and others'.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tidegate_testkit::certificates::{Authority, Folder, Issued};

use super::acceptor::{Acceptor, ClientCertificates};
use super::connector::{Connector, Roots, Sni, Verify};
use super::files::Identity;
use super::provider;

/// A certificate and its key, in the folder.
pub(crate) fn identity(folder: &Folder, name: &str, issued: &Issued) -> Identity {
    let (certificate, key) = folder.pair(name, issued);
    Identity { certificate, key }
}

/// A host named `db.example` with a certificate, and somebody who believes its authority.
pub(crate) struct Scene {
    pub(crate) folder: Folder,
    pub(crate) authority: Authority,
    pub(crate) issued: Issued,
    pub(crate) acceptor: Acceptor,
    pub(crate) connector: Connector,
}

pub(crate) const HOST: &str = "db.example";

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = Folder::default();
        let authority = Authority::new("authority");
        let issued = authority.issue(&[HOST, "127.0.0.1"]);
        let identity = identity(&folder, "server", &issued);
        let roots = Roots::File(folder.file("root.crt", &authority.pem));
        let acceptor = Acceptor::load(&identity, &ClientCertificates::NotAsked);
        let connector = Connector::load(&Verify::ChainAndName(roots), None, Sni::Sent);
        Self {
            folder,
            authority,
            issued,
            acceptor: acceptor.expect("the files are right"),
            connector: connector.expect("the files are right"),
        }
    }

    /// A client that is not ours, with what it offers.
    pub(crate) fn foreign_client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.authority.pem)).expect("it is one");
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("ring knows them")
            .with_webpki_verifier(verifier.expect("there is a root"))
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }

    /// A server that is not ours.
    pub(crate) fn foreign_server(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ServerConfig {
        let shown = vec![certificate(&self.issued.certificate)];
        let shown = CertifiedKey::new(shown, self.foreign_key(&self.issued));
        self.foreign_server_with(versions, shown)
    }

    /// A server that is not ours and shows what it likes.
    pub(crate) fn foreign_server_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        shown: CertifiedKey,
    ) -> ServerConfig {
        ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("ring knows them")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)))
    }

    pub(crate) fn foreign_key(&self, issued: &Issued) -> Arc<dyn SigningKey> {
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("it is a key");
        provider().key_provider.load_private_key(key).expect("ring knows P-256")
    }
}

pub(crate) fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("it is a certificate")
}
