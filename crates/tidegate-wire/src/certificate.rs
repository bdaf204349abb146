//! Certificates, as far as channel binding looks at them: which hash signed one, and that hash of
//! the whole (RFC 5929, section 4.1, `tls-server-end-point`). And when one is valid ([`validity`]).
//!
//! Both ends hash the server's certificate and put the hash into the login. Whoever sits between
//! them and ends TLS shows another certificate, and is found out.
//!
//! Invariant: no input makes this module panic. Cost: one hash of the certificate.

pub mod validity;

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// What a connection is bound to: the hash of the certificate that its server sent.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EndPoint(Arc<[u8]>);

impl EndPoint {
    /// The hash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for EndPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndPoint(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// The end point of a server that sends this certificate, in DER.
///
/// None when it is no certificate, and when the RFC defines no hash for its signature algorithm,
/// as for Ed25519: then there is nothing to bind to, and both ends go without.
pub fn end_point(der: &[u8]) -> Option<EndPoint> {
    let hash: Arc<[u8]> = match signature_hash(der)? {
        // RFC 5929: where the signature uses MD5 or SHA-1, SHA-256 takes their place.
        Hash::Md5 | Hash::Sha1 | Hash::Sha256 => Sha256::digest(der).as_slice().into(),
        Hash::Sha384 => Sha384::digest(der).as_slice().into(),
        Hash::Sha512 => Sha512::digest(der).as_slice().into(),
    };
    Some(EndPoint(hash))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// The hash inside `signatureAlgorithm` (RFC 5280, section 4.1).
fn signature_hash(der: &[u8]) -> Option<Hash> {
    let mut certificate = Der::new(der).only(SEQUENCE)?;
    certificate.take(SEQUENCE)?; // What is signed.
    let mut algorithm = Der::new(certificate.take(SEQUENCE)?);
    certificate.only(BIT_STRING)?; // The signature.
    let hash = match algorithm.take(OBJECT_IDENTIFIER)? {
        MD5_WITH_RSA => Hash::Md5,
        SHA1_WITH_RSA | SHA1_WITH_ECDSA => Hash::Sha1,
        SHA256_WITH_RSA | SHA256_WITH_ECDSA => Hash::Sha256,
        SHA384_WITH_RSA | SHA384_WITH_ECDSA => Hash::Sha384,
        SHA512_WITH_RSA | SHA512_WITH_ECDSA => Hash::Sha512,
        RSASSA_PSS => pss_hash(algorithm)?,
        _ => return None,
    };
    Some(hash)
}

/// The hash that the parameters of RSASSA-PSS name (RFC 4055, section 3.1).
fn pss_hash(parameters: Der<'_>) -> Option<Hash> {
    let mut parameters = parameters.only(SEQUENCE)?;
    if !parameters.is_next(PSS_HASH_ALGORITHM) {
        return Some(Hash::Sha1); // The default.
    }
    let algorithm = Der::new(parameters.take(PSS_HASH_ALGORITHM)?);
    match algorithm.only(SEQUENCE)?.take(OBJECT_IDENTIFIER)? {
        SHA1 => Some(Hash::Sha1),
        SHA256 => Some(Hash::Sha256),
        SHA384 => Some(Hash::Sha384),
        SHA512 => Some(Hash::Sha512),
        _ => None,
    }
}

/// Values of DER, one after the other (X.690, section 10): tags of one byte, and lengths in the
/// shortest form.
struct Der<'a> {
    rest: &'a [u8],
}

impl<'a> Der<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn is_next(&self, tag: u8) -> bool {
        self.rest.first() == Some(&tag)
    }

    /// The content of the next value, which must have this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&found, rest) = self.rest.split_first()?;
        if found != tag {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // The number of bytes that the length takes: no certificate needs more than three.
            0x81..=0x83 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
                let is_shortest = length >= 0x80 && digits.first() != Some(&0);
                (is_shortest.then_some(length)?, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(content)
    }

    /// The content of the next value, after which nothing may stand.
    fn only(mut self, tag: u8) -> Option<Self> {
        let content = self.take(tag)?;
        self.rest.is_empty().then(|| Self::new(content))
    }
}

const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `[0]`, explicit.
const PSS_HASH_ALGORITHM: u8 = 0xa0;

// 1.2.840.113549.1.1 (RFC 8017, appendix C).
const MD5_WITH_RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04";
const SHA1_WITH_RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05";
const RSASSA_PSS: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";
const SHA256_WITH_RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b";
const SHA384_WITH_RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c";
const SHA512_WITH_RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d";

// 1.2.840.10045.4 (RFC 5758, section 3.2).
const SHA1_WITH_ECDSA: &[u8] = b"\x2a\x86\x48\xce\x3d\x04\x01";
const SHA256_WITH_ECDSA: &[u8] = b"\x2a\x86\x48\xce\x3d\x04\x03\x02";
const SHA384_WITH_ECDSA: &[u8] = b"\x2a\x86\x48\xce\x3d\x04\x03\x03";
const SHA512_WITH_ECDSA: &[u8] = b"\x2a\x86\x48\xce\x3d\x04\x03\x04";

// 1.3.14.3.2.26, and 2.16.840.1.101.3.4.2 (RFC 8017, appendix B.1).
const SHA1: &[u8] = b"\x2b\x0e\x03\x02\x1a";
const SHA256: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const SHA384: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x02";
const SHA512: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x03";

#[cfg(test)]
mod tests;
