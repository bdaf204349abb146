//! Why a handshake came to nothing, in the words of whoever must do something about it.

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// Why a handshake failed. Nothing of the protocol inside was said by then.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Whatever the peer speaks, it is not TLS.
    #[error("the peer does not speak TLS")]
    NotTls,
    /// The peer's certificate is not accepted.
    #[error("the peer's certificate is not accepted: {why}")]
    Certificate {
        /// What is wrong with it, and the remedy.
        why: String,
    },
    /// A certificate is required, and the client has shown none.
    #[error("the client has shown no certificate, and one is required")]
    NoCertificate,
    /// The peer refuses to go on.
    #[error("the peer ended the handshake: {}{}", alert_name(*.0), alert_remedy(*.0))]
    Refused(AlertDescription),
    /// There is no version, cipher, or key exchange that both know.
    #[error("no way of encrypting that both sides know; TLS 1.2 or 1.3 is needed ({0})")]
    Incompatible(String),
    /// A connection that began with TLS did not name the protocol inside.
    #[error("a direct TLS connection must name its protocol (ALPN \"postgresql\")")]
    NoAlpn,
    /// The peer's part is longer than any honest one.
    #[error("the peer's handshake is longer than {bytes_max} bytes")]
    TooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// The peer broke the rules of TLS in some other way.
    #[error("{0}")]
    Broken(String),
}

impl From<Error> for HandshakeError {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::MessageTooLarge
                | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls,
            Error::InvalidCertificate(error) => Self::Certificate { why: why(&error) },
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::AlertReceived(alert) => Self::Refused(alert),
            Error::PeerIncompatible(what) => Self::Incompatible(format!("{what:?}")),
            Error::NoApplicationProtocol => Self::NoAlpn,
            error => Self::Broken(error.to_string()),
        }
    }
}

/// What is wrong with a certificate, and the remedy.
pub(super) fn why(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => "it has expired; renew it".into(),
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "it is not valid yet; compare the clocks of both machines".into()
        }
        E::UnknownIssuer => "no authority that is trusted has signed it; \
                             name the file with its root, and have the peer send what is between"
            .into(),
        E::NotValidForNameContext { expected, presented } if presented.is_empty() => format!(
            "it names no host in its subjectAltName, so it is not for \"{}\"; issue it anew with one",
            expected.to_str()
        ),
        E::NotValidForNameContext { expected, presented } => {
            let names: Vec<_> = presented.iter().map(|name| bare_name(name)).collect();
            format!("it is for {}, not for \"{}\"", names.join(", "), expected.to_str())
        }
        E::BadSignature => "its signature is wrong".into(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "it was issued for another purpose (extendedKeyUsage)".into()
        }
        E::Other(other) => match other.0.downcast_ref() {
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "it is an authority's own (CA:TRUE); to trust it, name a file with it as the root"
                    .into()
            }
            Some(webpki::Error::UnsupportedCertVersion) => {
                "it is in an old form (X.509 version 1); issue it anew as version 3".into()
            }
            Some(error) => error.to_string(),
            None => other.to_string(),
        },
        error => error.to_string(),
    }
}

/// webpki writes the kind of a name around it: `DnsName("localhost")`, `IpAddress(127.0.0.1)`.
fn bare_name(presented: &str) -> &str {
    let inner = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.map_or(presented, |inner| inner.trim_matches('"'))
}

/// As RFC 8446 spells it: `UnknownCA` is `unknown_ca`.
fn alert_name(alert: AlertDescription) -> String {
    let Some(camel) = alert.as_str() else { return format!("alert {}", u8::from(alert)) };
    let mut name = String::new();
    let mut was_lower = false;
    for letter in camel.chars() {
        if letter.is_uppercase() && was_lower {
            name.push('_');
        }
        was_lower = letter.is_lowercase();
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn alert_remedy(alert: AlertDescription) -> &'static str {
    use AlertDescription as A;
    match alert {
        A::UnknownCA => " (it does not trust who signed our certificate)",
        A::BadCertificate | A::CertificateUnknown | A::UnsupportedCertificate => {
            " (it does not accept our certificate)"
        }
        A::CertificateExpired => " (it says that our certificate has expired)",
        A::CertificateRequired => " (it wants a certificate, and we have none to show)",
        A::ProtocolVersion => " (it speaks no version of TLS that we speak)",
        _ => "",
    }
}
