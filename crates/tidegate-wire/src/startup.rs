//! The first packet of a connection, which has no tag: a startup, or a request in its place.
//!
//! Protocols 3.0 and 3.2 are spoken. What a client gets for what it asks follows PostgreSQL 18
//! (`ProcessStartupPacket` in `backend_startup.c`): the lower of its version and 3.2 is spoken; a
//! NegotiateProtocolVersion is sent when it asked for more than 3.2, or for options (`_pq_.*`)
//! that are not known, which here is all of them. 3.1 was never released; PostgreSQL takes a
//! client that asks for it without a word and treats it as 3.0, and so do we.

use std::fmt;

use crate::backend::{SECRET_BYTES_MAX, SECRET_BYTES_MIN, push_negotiate_protocol_version};
use crate::body::{Body, DecodeError, EncodeError, length_prefixed, put_string};

/// What stands at the front of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartupFront {
    /// Fewer than four bytes are there.
    Partial,
    /// A length that can be. The rest may still be on its way.
    Packet {
        /// The whole packet with its 4-byte length.
        packet_bytes: usize,
    },
}

/// A first packet that cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartupError {
    /// No packet is this short or long, or the request has another size than it must have.
    #[error("invalid length of startup packet")]
    InvalidLength {
        /// The length as sent, or as it is.
        packet_bytes: u32,
    },
    /// The parameters do not end in a zero byte that is the last byte.
    #[error("invalid startup packet layout: expected terminator as last byte")]
    MissingTerminator,
    /// No user, or an empty one.
    #[error("no PostgreSQL user name specified in startup packet")]
    MissingUser,
    /// A name has no value.
    #[error("invalid startup packet layout: a parameter has no value")]
    MissingValue,
    /// A major version other than 3.
    #[error(
        "unsupported frontend protocol {version}: server supports {} to {}",
        ProtocolVersion::V3_0,
        ProtocolVersion::V3_2
    )]
    UnsupportedVersion {
        /// What the client asked for.
        version: ProtocolVersion,
    },
}

/// Looks at the front of `buf` and consumes nothing.
///
/// # Errors
/// As soon as the length is there and is one that PostgreSQL refuses. A TLS handshake is refused
/// so, too: whoever accepts TLS without a request looks for [`TLS_HANDSHAKE`] first.
pub fn front(buf: &[u8]) -> Result<StartupFront, StartupError> {
    let Some((&length, _)) = buf.split_first_chunk() else {
        return Ok(StartupFront::Partial);
    };
    let length = u32::from_be_bytes(length);
    match usize::try_from(length) {
        Ok(packet_bytes @ STARTUP_BYTES_MIN..=STARTUP_BYTES_MAX) => {
            Ok(StartupFront::Packet { packet_bytes })
        }
        _ => Err(StartupError::InvalidLength { packet_bytes: length }),
    }
}

/// A decoded first packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Wants TLS; answered with one byte, after which another first packet comes.
    Ssl,
    /// Wants GSSAPI encryption; as with TLS.
    GssEnc,
    /// Cancels what another connection runs. It is never answered.
    Cancel {
        /// The pid of that connection's BackendKeyData.
        pid: u32,
        /// Its secret: 4 to 256 bytes.
        secret: &'a [u8],
    },
    /// Begins a session.
    Startup(Startup<'a>),
}

impl fmt::Debug for Packet<'_> {
    /// Nothing of a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ssl => f.write_str("Ssl"),
            Self::GssEnc => f.write_str("GssEnc"),
            Self::Cancel { pid, .. } => write!(f, "Cancel({pid}, ..)"),
            Self::Startup(startup) => startup.fmt(f),
        }
    }
}

/// Decodes a whole packet, length included.
///
/// # Errors
/// See [`StartupError`].
pub fn decode(packet: &[u8]) -> Result<Packet<'_>, StartupError> {
    let whole = StartupFront::Packet { packet_bytes: packet.len() };
    let packet_bytes = u32::try_from(packet.len()).unwrap_or(u32::MAX);
    if front(packet)? != whole {
        return Err(StartupError::InvalidLength { packet_bytes });
    }
    let wrong_length = |_: DecodeError| StartupError::InvalidLength { packet_bytes };
    let mut fields = Body::new(packet);
    fields.u32("length").map_err(wrong_length)?;
    match fields.u32("version").map_err(wrong_length)? {
        SSL_REQUEST => fields.end().map_err(wrong_length).map(|()| Packet::Ssl),
        GSSENC_REQUEST => fields.end().map_err(wrong_length).map(|()| Packet::GssEnc),
        CANCEL_REQUEST => {
            let pid = fields.u32("pid").map_err(wrong_length)?;
            let secret = fields.rest();
            if (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&secret.len()) {
                Ok(Packet::Cancel { pid, secret })
            } else {
                Err(StartupError::InvalidLength { packet_bytes })
            }
        }
        word => {
            let version = ProtocolVersion::from_word(word);
            if version.major != ProtocolVersion::V3_2.major {
                return Err(StartupError::UnsupportedVersion { version });
            }
            Startup::decode(version, fields).map(Packet::Startup)
        }
    }
}

/// What a client asks for when it begins a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Startup<'a> {
    /// The protocol that the client asks for; [`Startup::negotiate`] says which it gets.
    pub version: ProtocolVersion,
    /// Names and values, each zero-terminated, already checked.
    parameters: &'a [u8],
}

impl<'a> Startup<'a> {
    fn decode(version: ProtocolVersion, fields: Body<'a>) -> Result<Self, StartupError> {
        let mut rest = fields.clone();
        loop {
            let name = rest.string("name").map_err(|_| StartupError::MissingTerminator)?;
            if name.is_empty() {
                break;
            }
            rest.string("value").map_err(|_| StartupError::MissingValue)?;
            // Names come in pairs with values: a packet whose last value was forgotten ends
            // with what then reads as an empty value.
            if rest.is_empty() {
                return Err(StartupError::MissingTerminator);
            }
        }
        rest.end().map_err(|_| StartupError::MissingTerminator)?;
        let startup = Self { version, parameters: fields.rest() };
        if startup.user().is_empty() {
            return Err(StartupError::MissingUser);
        }
        Ok(startup)
    }

    /// Names and values in the order in which they were sent, `_pq_.` options included.
    pub fn parameters(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut fields = Body::new(self.parameters);
        std::iter::from_fn(move || {
            let name = fields.string("name").ok().filter(|name| !name.is_empty())?;
            Some((name, fields.string("value").ok()?))
        })
    }

    /// The value of a parameter; of the last one, as in PostgreSQL, when it was sent twice.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        let wanted = name.as_bytes();
        self.parameters().filter(|(name, _)| *name == wanted).map(|(_, value)| value).last()
    }

    /// The user; never empty.
    pub fn user(&self) -> &'a [u8] {
        self.get("user").unwrap_or_default()
    }

    /// The database, which defaults to the user's name.
    pub fn database(&self) -> &'a [u8] {
        self.get("database").filter(|name| !name.is_empty()).unwrap_or_else(|| self.user())
    }

    /// Which protocol is spoken, and what the client has to be told about it.
    pub fn negotiate(&self) -> Negotiation<'a> {
        let unsupported = self
            .parameters()
            .map(|(name, _)| name)
            .filter(|name| name.starts_with(OPTION_PREFIX))
            .collect();
        Negotiation {
            version: self.version.min(ProtocolVersion::V3_2),
            asked: self.version,
            unsupported,
        }
    }
}

/// The outcome of [`Startup::negotiate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiation<'a> {
    /// What is spoken from now on.
    pub version: ProtocolVersion,
    /// The names of options that are not known.
    pub unsupported: Vec<&'a [u8]>,
    asked: ProtocolVersion,
}

impl Negotiation<'_> {
    /// Whether the client must be told, before anything else.
    pub fn is_needed(&self) -> bool {
        self.version != self.asked || !self.unsupported.is_empty()
    }

    /// Appends a NegotiateProtocolVersion if it is needed.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if self.is_needed() {
            push_negotiate_protocol_version(out, self.version.minor, &self.unsupported);
        }
    }
}

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion {
    /// 3 since PostgreSQL 7.4.
    pub major: u16,
    /// 0, or 2 since PostgreSQL 18.
    pub minor: u16,
}

impl ProtocolVersion {
    /// Every PostgreSQL since 7.4 speaks it.
    pub const V3_0: Self = Self { major: 3, minor: 0 };
    /// Long secrets for cancelling (PostgreSQL 18).
    pub const V3_2: Self = Self { major: 3, minor: 2 };

    /// Whether the secret that cancels may be longer than 4 bytes.
    pub fn has_long_secrets(self) -> bool {
        self >= Self::V3_2
    }

    fn from_word(word: u32) -> Self {
        let [a, b, c, d] = word.to_be_bytes();
        Self { major: u16::from_be_bytes([a, b]), minor: u16::from_be_bytes([c, d]) }
    }

    fn word(self) -> u32 {
        (u32::from(self.major) << 16) | u32::from(self.minor)
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Appends a startup packet.
///
/// # Errors
/// A name is empty, a string contains a zero byte, or the packet would be longer than
/// [`STARTUP_BYTES_MAX`]. `out` is then as it was.
pub fn push_startup<'p>(
    out: &mut Vec<u8>,
    version: ProtocolVersion,
    parameters: impl IntoIterator<Item = (&'p [u8], &'p [u8])>,
) -> Result<(), EncodeError> {
    let start = out.len();
    length_prefixed(out, |out| {
        out.extend_from_slice(&version.word().to_be_bytes());
        for (name, value) in parameters {
            if name.is_empty() {
                return Err(EncodeError::BadValue { field: "parameter name" });
            }
            put_string(out, name, "parameter name")?;
            put_string(out, value, "parameter value")?;
        }
        out.push(0);
        let bytes = out.len() - start;
        if bytes > STARTUP_BYTES_MAX { Err(EncodeError::TooLong { bytes }) } else { Ok(()) }
    })
}

/// Appends a request for TLS.
pub fn push_ssl_request(out: &mut Vec<u8>) {
    push_request(out, SSL_REQUEST, &[]);
}

/// Appends a request for GSSAPI encryption.
pub fn push_gssenc_request(out: &mut Vec<u8>) {
    push_request(out, GSSENC_REQUEST, &[]);
}

/// Appends a request to cancel; `pid` and `secret` are those of a BackendKeyData.
pub fn push_cancel_request(out: &mut Vec<u8>, pid: u32, secret: &[u8]) {
    push_request(out, CANCEL_REQUEST, &[&pid.to_be_bytes(), secret]);
}

fn push_request(out: &mut Vec<u8>, code: u32, fields: &[&[u8]]) {
    // Fails for a secret of 2 GiB only, and then writes nothing.
    let _too_long = length_prefixed(out, |out| {
        out.extend_from_slice(&code.to_be_bytes());
        for field in fields {
            out.extend_from_slice(field);
        }
        Ok(())
    });
}

/// The longest first packet that PostgreSQL accepts: its length field, and
/// `MAX_STARTUP_PACKET_LENGTH` bytes (`pqcomm.h`).
pub const STARTUP_BYTES_MAX: usize = 4 + 10_000;

/// A length and a version.
const STARTUP_BYTES_MIN: usize = 8;

/// The first byte of TLS that begins without a request (`sslnegotiation=direct`). As the first
/// byte of a length it would mean hundreds of megabytes.
pub const TLS_HANDSHAKE: u8 = 0x16;

/// Names of protocol options begin so.
const OPTION_PREFIX: &[u8] = b"_pq_.";

/// Requests stand where the version would; no major version is 1234.
const CANCEL_REQUEST: u32 = (1234 << 16) | 5678;
const SSL_REQUEST: u32 = (1234 << 16) | 5679;
const GSSENC_REQUEST: u32 = (1234 << 16) | 5680;

#[cfg(test)]
mod tests {
    use super::*;

    fn startup_packet(version: ProtocolVersion, rest: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        push_request(&mut packet, version.word(), &[rest]);
        packet
    }

    fn startup(packet: &[u8]) -> Startup<'_> {
        match decode(packet) {
            Ok(Packet::Startup(startup)) => startup,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_startup_round_trips() {
        let parameters = [
            (&b"user"[..], &b"app"[..]),
            (b"database", b"orders"),
            (b"application_name", b""),
            (b"database", b"billing"),
        ];
        let mut packet = Vec::new();
        push_startup(&mut packet, ProtocolVersion::V3_0, parameters).unwrap();
        assert_eq!(front(&packet), Ok(StartupFront::Packet { packet_bytes: packet.len() }));
        let decoded = startup(&packet);
        assert_eq!(decoded.version, ProtocolVersion::V3_0);
        assert_eq!(decoded.parameters().collect::<Vec<_>>(), parameters);
        assert_eq!(decoded.user(), b"app");
        assert_eq!(decoded.database(), b"billing", "the last one counts");
        assert_eq!(decoded.get("application_name"), Some(&b""[..]));
        assert_eq!(decoded.get("options"), None);
    }

    #[test]
    fn the_database_defaults_to_the_user() {
        let packet = startup_packet(ProtocolVersion::V3_0, b"user\0app\0database\0\0\0");
        assert_eq!(startup(&packet).database(), b"app");
    }

    #[test]
    fn requests_round_trip() {
        let mut packet = Vec::new();
        push_ssl_request(&mut packet);
        assert_eq!(packet, [0, 0, 0, 8, 4, 210, 22, 47]);
        assert_eq!(decode(&packet), Ok(Packet::Ssl));
        packet.clear();
        push_gssenc_request(&mut packet);
        assert_eq!(packet, [0, 0, 0, 8, 4, 210, 22, 48]);
        assert_eq!(decode(&packet), Ok(Packet::GssEnc));
        for secret in [&[7; 4][..], &[7; 32], &[7; 256]] {
            packet.clear();
            push_cancel_request(&mut packet, 42, secret);
            assert_eq!(decode(&packet), Ok(Packet::Cancel { pid: 42, secret }));
        }
        for secret in [&[7; 3][..], &[7; 257]] {
            packet.clear();
            push_cancel_request(&mut packet, 42, secret);
            assert!(matches!(decode(&packet), Err(StartupError::InvalidLength { .. })));
        }
    }

    #[test]
    fn lengths_that_postgresql_refuses_are_refused_at_the_fourth_byte() {
        for cut in 0..4 {
            assert_eq!(front(&[0, 0, 0, 8][..cut]), Ok(StartupFront::Partial));
        }
        for length in [0u32, 7, 10_005, u32::from_be_bytes([TLS_HANDSHAKE, 3, 1, 2]), u32::MAX] {
            let refused = Err(StartupError::InvalidLength { packet_bytes: length });
            assert_eq!(front(&length.to_be_bytes()), refused);
        }
        for length in [8u32, 10_004] {
            assert!(matches!(front(&length.to_be_bytes()), Ok(StartupFront::Packet { .. })));
        }
    }

    #[test]
    fn a_startup_cut_at_any_byte_is_refused() {
        let whole = startup_packet(ProtocolVersion::V3_0, b"user\0app\0options\0-c x=y\0\0");
        for cut in 0..whole.len() {
            assert!(decode(&whole[..cut]).is_err(), "cut at {cut}");
            // The same with a length that agrees.
            let body = whole[..cut].get(8..).unwrap_or_default();
            let agreeing = startup_packet(ProtocolVersion::V3_0, body);
            assert!(decode(&agreeing).is_err(), "cut at {cut}");
        }
        for off in [-1i32, 1] {
            let mut wrong = whole.clone();
            let length = i32::try_from(whole.len()).unwrap() + off;
            wrong[..4].copy_from_slice(&length.to_be_bytes());
            assert!(decode(&wrong).is_err());
        }
    }

    #[test]
    fn each_fault_of_a_startup_has_its_error() {
        let check = |body: &[u8], error| {
            let packet = startup_packet(ProtocolVersion::V3_0, body);
            assert_eq!(decode(&packet), Err(error), "{body:?}");
        };
        check(b"", StartupError::MissingTerminator);
        check(b"\0", StartupError::MissingUser);
        check(b"user\0\0\0", StartupError::MissingUser);
        check(b"database\0x\0\0", StartupError::MissingUser);
        check(b"user\0app\0", StartupError::MissingTerminator);
        check(b"user\0app\0options\0", StartupError::MissingValue);
        check(b"user\0app\0options\0\0", StartupError::MissingTerminator);
        check(b"user\0app\0\0x", StartupError::MissingTerminator);
        check(b"user\0ap", StartupError::MissingValue);
    }

    #[test]
    fn other_major_versions_are_refused_in_postgresqls_words() {
        for (major, minor) in [(2, 0), (4, 0), (1234, 5681), (0, 0)] {
            let version = ProtocolVersion { major, minor };
            let error = decode(&startup_packet(version, b"user\0app\0\0")).unwrap_err();
            assert_eq!(error, StartupError::UnsupportedVersion { version });
        }
        let version = ProtocolVersion { major: 2, minor: 0 };
        assert_eq!(
            StartupError::UnsupportedVersion { version }.to_string(),
            "unsupported frontend protocol 2.0: server supports 3.0 to 3.2"
        );
    }

    #[test]
    fn negotiation_follows_postgresql_18() {
        // (asked, with an option, spoken, told)
        let table = [
            (0, false, 0, false),
            (1, false, 1, false),
            (2, false, 2, false),
            (3, false, 2, true),
            (9999, false, 2, true),
            (0, true, 0, true),
            (2, true, 2, true),
            (9999, true, 2, true),
        ];
        for (asked, with_option, spoken, told) in table {
            let body: &[u8] = if with_option { b"user\0a\0_pq_.x\0on\0\0" } else { b"user\0a\0\0" };
            let packet = startup_packet(ProtocolVersion { major: 3, minor: asked }, body);
            let negotiation = startup(&packet).negotiate();
            assert_eq!(negotiation.version, ProtocolVersion { major: 3, minor: spoken });
            assert_eq!(negotiation.version.has_long_secrets(), spoken == 2);
            assert_eq!(negotiation.is_needed(), told, "3.{asked}, option: {with_option}");
            let mut out = Vec::new();
            negotiation.encode(&mut out);
            let mut expected = Vec::new();
            if told {
                expected = vec![b'v', 0, 0, 0, 12, 0, 3, 0, u8::try_from(spoken).unwrap()];
                expected.extend([0, 0, 0, u8::from(with_option)]);
                if with_option {
                    expected.extend(b"_pq_.x\0");
                    expected[4] += 7;
                }
            }
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_startup_that_postgresql_would_refuse_is_not_encoded() {
        let mut out = vec![1];
        let v = ProtocolVersion::V3_2;
        let long = vec![b'x'; STARTUP_BYTES_MAX];
        for (name, value) in [(&b""[..], &b"x"[..]), (b"a\0b", b""), (b"a", b"\0"), (b"a", &long)] {
            assert!(push_startup(&mut out, v, [(name, value)]).is_err());
            assert_eq!(out, [1]);
        }
        // 8 bytes of header, `a`, three terminators: the longest that passes.
        push_startup(&mut out, v, [(&b"a"[..], &long[12..])]).unwrap();
        assert_eq!(out.len(), 1 + STARTUP_BYTES_MAX);
    }
}
