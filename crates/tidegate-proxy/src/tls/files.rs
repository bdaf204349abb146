//! Certificates and keys from files, and what can be wrong with them.

use std::io;
use std::path::{Path, PathBuf};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error, RootCertStore};

use super::failure;

/// What is wrong with a file, in the words of whoever must put it right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    #[error("can't read \"{}\": {source}{}", file.display(), remedy(.source))]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not text in PEM's form.
    #[error("\"{}\" is damaged: {what}; it must be in PEM form, complete and unchanged", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What was found.
        what: pem::Error,
    },
    /// There is no certificate in it.
    #[error(
        "\"{}\" has no certificate in it; one begins with \"-----BEGIN CERTIFICATE-----\"",
        file.display()
    )]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// There is no private key in it.
    #[error(
        "\"{}\" has no private key in it; one begins with \"-----BEGIN PRIVATE KEY-----\"",
        file.display()
    )]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// The key is protected by a passphrase.
    #[error(
        "the key in \"{}\" is encrypted, and nobody is there to be asked for a passphrase; \
         decrypt it with \"openssl pkey\" and let only Tidegate's user read it",
        file.display()
    )]
    EncryptedKey {
        /// The file.
        file: PathBuf,
    },
    /// A certificate in it cannot be used.
    #[error("a certificate in \"{}\" can't be used: {why}", file.display())]
    UnusableCertificate {
        /// The file.
        file: PathBuf,
        /// Why not, and the remedy.
        why: String,
    },
    /// The key in it cannot be used.
    #[error(
        "the key in \"{}\" can't be used: {source}; RSA of 2048 to 8192 bits, ECDSA (P-256, P-384), \
         and Ed25519 can",
        file.display()
    )]
    UnusableKey {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: Error,
    },
    /// They are not a pair.
    #[error(
        "the key in \"{}\" is not that of the certificate in \"{}\"; the first certificate in the \
         file must be the key's own, those that signed it follow",
        key.display(), certificate.display()
    )]
    KeyDoesNotFit {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// The system trusts nobody.
    #[error(
        "the system has no certificate authorities{cause}; install the package ca-certificates, \
         or name a file with the roots to trust"
    )]
    NoSystemRoots {
        /// What went wrong while looking; ready to stand behind the message, or empty.
        cause: String,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; there is no such file",
        io::ErrorKind::PermissionDenied => {
            "; make Tidegate's user its owner, or let a group that it is in read it"
        }
        io::ErrorKind::IsADirectory => "; name the file, not its folder",
        _ => "",
    }
}

/// A certificate with what signed it, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// PEM: the certificate, then those between it and the root, in the order of signing.
    pub certificate: PathBuf,
    /// PEM: the private key of the first certificate.
    pub key: PathBuf,
}

impl Identity {
    pub(super) fn load(&self, provider: &CryptoProvider) -> Result<CertifiedKey, FileError> {
        let chain = certificates(&self.certificate)?;
        for certificate in &chain {
            ParsedCertificate::try_from(certificate)
                .map_err(|error| unusable_certificate(&self.certificate, &error))?;
        }
        let key = private_key(&self.key)?;
        CertifiedKey::from_der(chain, key, provider).map_err(|source| match source {
            Error::InconsistentKeys(_) => FileError::KeyDoesNotFit {
                certificate: self.certificate.clone(),
                key: self.key.clone(),
            },
            source => FileError::UnusableKey { file: self.key.clone(), source },
        })
    }
}

/// The certificates in `file`; at least one.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let text = read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|what| FileError::Malformed { file: file.into(), what })?;
    if found.is_empty() {
        return Err(FileError::NoCertificate { file: file.into() });
    }
    Ok(found)
}

/// The authorities in `file`, and the certificates that they were made from.
pub(super) fn authorities(
    file: &Path,
) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), FileError> {
    let certificates = certificates(file)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|error| unusable_certificate(file, &error))?;
    }
    Ok((roots, certificates))
}

/// The authorities that the system trusts. What it has beside them that is no certificate is
/// passed over: the operator has not chosen these files.
pub(super) fn system_authorities() -> Result<RootCertStore, FileError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let cause = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        return Err(FileError::NoSystemRoots { cause });
    }
    Ok(roots)
}

fn unusable_certificate(file: &Path, error: &Error) -> FileError {
    let why = match error {
        Error::InvalidCertificate(error) => failure::why(error),
        error => error.to_string(),
    };
    FileError::UnusableCertificate { file: file.into(), why }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    let text = read(file)?;
    if is_encrypted(&text) {
        return Err(FileError::EncryptedKey { file: file.into() });
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|what| match what {
        pem::Error::NoItemsFound => FileError::NoKey { file: file.into() },
        what => FileError::Malformed { file: file.into(), what },
    })
}

/// Both forms that OpenSSL writes: PKCS #8, and the older one with a header of its own.
fn is_encrypted(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| {
        line.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || line.starts_with(b"Proc-Type: 4,ENCRYPTED")
    })
}

fn read(file: &Path) -> Result<Vec<u8>, FileError> {
    std::fs::read(file).map_err(|source| FileError::Unreadable { file: file.into(), source })
}
