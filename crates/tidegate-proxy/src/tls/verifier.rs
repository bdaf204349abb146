//! Whether to believe a server's certificate.
//!
//! As libpq does it, where webpki alone would be stricter than what PostgreSQL's documentation
//! ("Creating Certificates") makes people use: a self-signed certificate may be its own root, and
//! where nothing is verified but the key, a certificate of the old form (X.509 version 1) will do.
//! Unlike libpq, names are looked for in subjectAltName alone, never in the subject.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Whom to believe.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) roots: RootCertStore,
    /// Certificates that the operator has named one by one.
    pub(super) named: Vec<CertificateDer<'static>>,
}

/// Whether a certificate must be for the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    Ignored,
    Compared,
}

#[derive(Debug)]
pub(super) struct Verifier {
    /// None: whoever.
    trust: Option<Trust>,
    names: Names,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(
        trust: Option<Trust>,
        names: Names,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        Self { trust, names, algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(Trust { roots, named }) = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(leaf)?;
        let algorithms = self.algorithms.all;
        let chain =
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, between, now, algorithms);
        match chain {
            Ok(()) => {}
            // `openssl req -x509` makes certificates that are an authority's as well. By now the
            // dates have been checked (webpki 0.103, `check_issuer_independent_properties`).
            Err(error) if is(&error, &webpki::Error::CaUsedAsEndEntity) && named.contains(leaf) => {
            }
            Err(error) => return Err(error),
        }
        if self.names == Names::Compared {
            verify_server_name(&parsed, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match verify_tls12_signature(message, leaf, signature, &self.algorithms) {
            Err(error) if self.takes_old_form(&error) => {
                let key = bare_key(leaf).ok_or(CertificateError::BadEncoding)?;
                self.verify_by_key(message, &key, signature)
            }
            result => result,
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match verify_tls13_signature(message, leaf, signature, &self.algorithms) {
            Err(error) if self.takes_old_form(&error) => {
                let key = bare_key(leaf).ok_or(CertificateError::BadEncoding)?;
                verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
            }
            result => result,
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Verifier {
    fn takes_old_form(&self, error: &Error) -> bool {
        self.trust.is_none() && is(error, &webpki::Error::UnsupportedCertVersion)
    }

    fn verify_by_key(
        &self,
        message: &[u8],
        key: &SubjectPublicKeyInfoDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key =
            webpki::RawPublicKeyEntity::try_from(key).map_err(|_| CertificateError::BadEncoding)?;
        let known = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signature.scheme);
        let algorithms = known.map_or(&[][..], |(_, algorithms)| *algorithms);
        let signature = signature.signature();
        let is_right = |algorithm: &&dyn rustls::pki_types::SignatureVerificationAlgorithm| {
            key.verify_signature(*algorithm, message, signature).is_ok()
        };
        if !algorithms.iter().any(is_right) {
            return Err(CertificateError::BadSignature.into());
        }
        Ok(HandshakeSignatureValid::assertion())
    }
}

fn is(error: &Error, expected: &webpki::Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(CertificateError::Other(other))
            if other.0.downcast_ref() == Some(expected)
    )
}

/// The public key in a certificate of version 1 (RFC 5280, 4.1): in its first part, behind serial
/// number, algorithm, issuer, validity, and subject.
fn bare_key(certificate: &[u8]) -> Option<SubjectPublicKeyInfoDer<'_>> {
    let (certificate, _) = Element::first(certificate)?;
    let (signed, _) = Element::first(certificate.content)?;
    let mut rest = signed.content;
    for _ in 0..5 {
        (_, rest) = Element::first(rest)?;
    }
    let (key, _) = Element::first(rest)?;
    Some(key.whole.into())
}

/// One element of DER.
pub(super) struct Element<'a> {
    pub(super) whole: &'a [u8],
    pub(super) content: &'a [u8],
}

impl<'a> Element<'a> {
    /// The first element of `der`, and what follows it.
    pub(super) fn first(der: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&first, _) = der.get(1..)?.split_first()?;
        let (header_bytes, content_bytes) = match first {
            short @ 0..=0x7f => (2, usize::from(short)),
            0x81 => (3, usize::from(*der.get(2)?)),
            0x82 => (4, usize::from(u16::from_be_bytes(der.get(2..4)?.try_into().ok()?))),
            _ => return None, // 64 kB of certificate are none.
        };
        let (whole, rest) = der.split_at_checked(header_bytes + content_bytes)?;
        Some((Self { whole, content: &whole[header_bytes..] }, rest))
    }
}
