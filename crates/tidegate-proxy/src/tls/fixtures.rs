//! Authorities and certificates for tests, made anew by each.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;

use super::acceptor::{Acceptor, ClientCertificates};
use super::connector::{Connector, Roots, Sni, Verify};
use super::files::Identity;
use super::provider;

/// Who signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut wanted = wanted(&[], name);
        wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = key();
        let pem = wanted.self_signed(&key).expect("it signs itself").pem();
        Self { issuer: Issuer::new(wanted, key), pem }
    }

    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |_| {})
    }

    pub(crate) fn issue_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let mut wanted = wanted(names, "a leaf");
        change(&mut wanted);
        let key = key();
        let certificate = wanted.signed_by(&key, &self.issuer).expect("it is signed").pem();
        Issued { certificate, key: key.serialize_pem() }
    }
}

/// One that has signed itself, as `openssl req -x509` makes it: an authority's.
pub(crate) fn self_signed(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
    let mut wanted = wanted(names, "on its own");
    wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut wanted);
    let key = key();
    let certificate = wanted.self_signed(&key).expect("it signs itself").pem();
    Issued { certificate, key: key.serialize_pem() }
}

fn wanted(names: &[&str], subject: &str) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut wanted = CertificateParams::new(names).expect("the names are names");
    wanted.distinguished_name = DistinguishedName::new();
    wanted.distinguished_name.push(DnType::CommonName, subject);
    wanted
}

fn key() -> KeyPair {
    KeyPair::generate().expect("P-256 is known")
}

/// A folder for files that goes with the test.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder can be made"))
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("the folder can be written to");
        path
    }

    pub(crate) fn missing(&self) -> PathBuf {
        self.0.path().join("missing.pem")
    }

    pub(crate) fn identity(&self, name: &str, issued: &Issued) -> Identity {
        Identity {
            certificate: self.file(&format!("{name}.crt"), &issued.certificate),
            key: self.file(&format!("{name}.key"), &issued.key),
        }
    }
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
        let folder = Folder::new();
        let authority = Authority::new("authority");
        let issued = authority.issue(&[HOST, "127.0.0.1"]);
        let identity = folder.identity("server", &issued);
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
