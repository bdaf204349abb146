//! Authorities and certificates, made anew by each test.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use rcgen::{BasicConstraints, DistinguishedName, IsCa, Issuer, KeyPair, PKCS_ED25519};
pub use rcgen::{CertificateParams, DnType, date_time_ymd as day};
use tempfile::TempDir;
use tidegate_scratch::ClusterOptions;

/// Who signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl Authority {
    /// One that nobody has heard of yet.
    ///
    /// # Panics
    /// When the kernel has no randomness.
    pub fn new(name: &str) -> Self {
        let mut wanted = wanted(&[], name);
        wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = key();
        let pem = wanted.self_signed(&key).expect("it signs itself").pem();
        Self { issuer: Issuer::new(wanted, key), pem }
    }

    /// A certificate for these names and addresses.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |_| {})
    }

    /// A certificate of a key as most servers have it: RSA of 2048 bits.
    ///
    /// # Panics
    /// When `openssl` is missing.
    pub fn issue_rsa(&self, names: &[&str]) -> Issued {
        // Here nothing else makes such keys.
        let arguments =
            ["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
        let output = Command::new("openssl").args(arguments).output().expect("openssl starts");
        let key = String::from_utf8(output.stdout).expect("PEM is text");
        let key = KeyPair::from_pem(&key).expect("openssl makes keys");
        let wanted = wanted(names, "a leaf");
        let certificate = wanted.signed_by(&key, &self.issuer).expect("it is signed").pem();
        Issued { certificate, key: key.serialize_pem() }
    }

    /// A certificate that differs from the usual one.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn issue_with(
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
///
/// # Panics
/// When it can't be made.
pub fn self_signed(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
    let mut wanted = wanted(names, "on its own");
    wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut wanted);
    sign_itself(&wanted, &key())
}

/// One that has signed itself with a key to whose signatures nothing can be bound.
///
/// # Panics
/// When it can't be made.
pub fn ed25519(names: &[&str]) -> Issued {
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("Ed25519 is known");
    sign_itself(&wanted(names, "of another kind"), &key)
}

fn sign_itself(wanted: &CertificateParams, key: &KeyPair) -> Issued {
    let certificate = wanted.self_signed(key).expect("it signs itself").pem();
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

/// A folder for certificates that goes with the test. Keys in it are their owner's alone.
pub struct Folder(TempDir);

impl Default for Folder {
    fn default() -> Self {
        Self(tempfile::tempdir().expect("a folder can be made"))
    }
}

impl Folder {
    /// A file in it.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("the folder can be written to");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, mode).expect("it is ours");
        path
    }

    /// The files of a certificate and its key.
    pub fn pair(&self, name: &str, issued: &Issued) -> (PathBuf, PathBuf) {
        let certificate = self.file(&format!("{name}.crt"), &issued.certificate);
        (certificate, self.file(&format!("{name}.key"), &issued.key))
    }

    /// A file that is not there.
    pub fn missing(&self) -> PathBuf {
        self.0.path().join("missing.pem")
    }
}

/// A PostgreSQL that offers TLS with this certificate.
#[must_use]
pub fn secured(options: ClusterOptions, issued: &Issued) -> ClusterOptions {
    options
        .setting("ssl", "on")
        .file("server.crt", &issued.certificate)
        .file("server.key", &issued.key)
}

/// The settings of a gate that offers TLS with this certificate, for `--set`. `mode` is `allow` or
/// `require`.
pub fn listen_flags(folder: &Folder, mode: &str, issued: &Issued) -> Vec<String> {
    let (certificate, key) = folder.pair("gate", issued);
    vec![
        format!("listen.tls={mode}"),
        format!("listen.tls_cert={}", certificate.display()),
        format!("listen.tls_key={}", key.display()),
    ]
}
