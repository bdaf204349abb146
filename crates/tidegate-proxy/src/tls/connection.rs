//! One TLS connection: handshake, decrypting, encrypting. It owns no socket, and no buffer while
//! nothing is half said.
//!
//! It is built on rustls's interface without buffers. Records are decrypted where they were read
//! to, and encrypted straight into what waits to be written; with rustls's own buffers an idle
//! connection would keep 4 kB and, after a large record, 20 kB of them.
//!
//! ```text
//! Step --run, slow--> Stepped: goes on, done, or failed       (on a thread of the crew)
//! open:  ciphertext in a buffer -> plaintext at its front     (on the worker)
//! seal:  plaintext -> ciphertext behind what waits            (on the worker)
//! ```
//!
//! Any call may leave words of TLS's own to be written: answers to a key update, alerts.
//!
//! Cost: rustls allocates once per record in each direction (at most 16 kB), and copies it once.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error};

use super::failure::HandshakeError;
use super::{ALPN, Opening};

/// One connection. The channel has it, and during a handshake the crew, in turn.
#[derive(Debug)]
pub(crate) struct Tls {
    side: Side,
    opening: Opening,
    /// Ciphertext that is not a whole record yet, or not a whole message of TLS's own.
    incoming: Vec<u8>,
    /// Plaintext that came while nobody could take it: with the end of the handshake, or more
    /// than a small buffer holds.
    unread: Vec<u8>,
    end: Option<End>,
}

/// Which side of it we are.
enum Side {
    Client(Box<UnbufferedClientConnection>),
    /// With the certificate that it shows.
    Server(Box<UnbufferedServerConnection>, Arc<CertificateDer<'static>>),
}

/// Why nothing more will come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    /// The peer has said so.
    Closed,
    /// What came is no TLS, or was tampered with.
    Failed(Error),
}

/// Nothing more can be encrypted: the connection has failed, or has not shaken hands yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsealable;

/// Where a handshake stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// It is the peer's turn.
    GoesOn,
    /// Both sides may speak.
    Done,
}

/// A part of a handshake that can be done: work for the crew.
#[derive(Debug)]
pub(crate) struct Step {
    tls: Tls,
    input: Vec<u8>,
}

/// A part of a handshake that is done.
#[derive(Debug)]
pub(crate) struct Stepped {
    pub(crate) tls: Tls,
    /// What the peer must be told, whatever the outcome.
    pub(crate) output: Vec<u8>,
    pub(crate) outcome: Result<Handshake, HandshakeError>,
}

impl Step {
    /// Slow: keys are exchanged, and something is signed or a signature verified.
    pub(crate) fn run(self) -> Stepped {
        let Self { mut tls, input } = self;
        let mut output = Vec::new();
        let outcome = tls.shake_hands(&input, &mut output);
        Stepped { tls, output, outcome }
    }
}

impl Tls {
    pub(super) fn client(connection: UnbufferedClientConnection, opening: Opening) -> Self {
        Self::new(Side::Client(Box::new(connection)), opening)
    }

    pub(super) fn server(
        connection: UnbufferedServerConnection,
        leaf: Arc<CertificateDer<'static>>,
        opening: Opening,
    ) -> Self {
        Self::new(Side::Server(Box::new(connection), leaf), opening)
    }

    fn new(side: Side, opening: Opening) -> Self {
        Self { side, opening, incoming: Vec::new(), unread: Vec::new(), end: None }
    }

    /// The next part of the handshake, now that this has come.
    pub(crate) fn step(self, input: &[u8]) -> Step {
        Step { tls: self, input: input.to_vec() }
    }

    /// The certificate that the server's side of this connection has shown, in DER, whichever
    /// side we are: what SCRAM binds a login to (RFC 5929, `tls-server-end-point`).
    pub(crate) fn server_certificate(&self) -> Option<&[u8]> {
        match &self.side {
            Side::Client(_) => self.peer_certificate(),
            Side::Server(_, leaf) => Some(leaf),
        }
    }

    /// The certificate that the peer has shown and we have verified, in DER.
    pub(crate) fn peer_certificate(&self) -> Option<&[u8]> {
        self.side.state().peer_certificates()?.first().map(AsRef::as_ref)
    }

    /// The version, as PostgreSQL spells it (`pg_stat_ssl.version`).
    pub(crate) fn version(&self) -> &'static str {
        match self.side.state().protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "",
        }
    }

    /// Whether plaintext, or the end, can be had without reading.
    pub(crate) fn has_unread(&self) -> bool {
        !self.unread.is_empty() || self.end.is_some()
    }

    /// Takes plaintext that came earlier.
    pub(crate) fn take_unread(&mut self, buffer: &mut [u8]) -> usize {
        let bytes = self.unread.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&self.unread[..bytes]);
        if bytes == self.unread.len() {
            self.unread = Vec::new(); // An idle connection owns no buffer.
        } else {
            self.unread.drain(..bytes);
        }
        bytes
    }

    /// Keeps plaintext until it is asked for.
    pub(crate) fn keep_unread(&mut self, plaintext: &[u8]) {
        self.unread.extend_from_slice(plaintext);
    }

    /// Why nothing more will come.
    pub(crate) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Puts what was left over of earlier reads to the front of `buffer`, for more to be read
    /// behind it, and says how much it is. None when that leaves no room: a record is at most 18 kB
    /// long, and a message of TLS's own that is longer than the buffer is none that we want.
    pub(crate) fn put_back(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let incoming = std::mem::take(&mut self.incoming);
        let bytes = incoming.len();
        if bytes >= buffer.len() {
            return None;
        }
        buffer[..bytes].copy_from_slice(&incoming);
        Some(bytes)
    }

    /// Decrypts what stands in `buffer`; the plaintext stands at its front afterwards. Says how
    /// much it is. What is left over is kept.
    pub(crate) fn open(&mut self, buffer: &mut [u8], out: &mut Vec<u8>) -> usize {
        // The plaintext of a record is shorter than the record, so what is written stays behind
        // what has been consumed.
        let (mut consumed, mut written) = (0, 0);
        while self.end.is_none() {
            let turn = self.side.turn(&mut buffer[consumed..], out, Wish::Hear);
            consumed += turn.discard;
            match turn.what {
                What::Said => {}
                What::Plaintext => self.side.take_record(|record| {
                    buffer[written..written + record.len()].copy_from_slice(record);
                    written += record.len();
                }),
                What::Waits => break,
                What::Closed => self.end = Some(End::Closed),
                What::Failed(error) => {
                    self.side.last_words(out);
                    self.end = Some(End::Failed(error));
                }
            }
        }
        if self.end.is_none() {
            self.incoming = buffer[consumed..].to_vec();
        }
        written
    }

    /// Encrypts `plaintext` behind what stands in `out`.
    pub(crate) fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), Unsealable> {
        if plaintext.is_empty() {
            return Ok(());
        }
        self.say(Wish::Say(plaintext), out)
    }

    /// Says that nothing more will be said.
    pub(crate) fn say_goodbye(&mut self, out: &mut Vec<u8>) {
        // A connection that can't say it any more has failed, and the peer knows.
        let _ = self.say(Wish::Close, out);
    }

    fn say(&mut self, wish: Wish<'_>, out: &mut Vec<u8>) -> Result<(), Unsealable> {
        if matches!(self.end, Some(End::Failed(_))) || self.side.state().is_handshaking() {
            return Err(Unsealable);
        }
        // rustls looks at what is left over even when it is only to write: a message of its own
        // that has come in half is there.
        let mut incoming = std::mem::take(&mut self.incoming);
        let result = loop {
            let turn = self.side.turn(&mut incoming, out, wish);
            incoming.drain(..turn.discard);
            match turn.what {
                What::Said if turn.is_granted => break Ok(()),
                What::Said => {}
                What::Plaintext => {
                    self.side.take_record(|record| self.unread.extend_from_slice(record));
                }
                What::Closed if self.end.is_none() => self.end = Some(End::Closed),
                What::Closed | What::Waits => break Err(Unsealable),
                What::Failed(error) => {
                    self.side.last_words(out);
                    self.end = Some(End::Failed(error));
                    break Err(Unsealable);
                }
            }
        };
        self.incoming = incoming;
        result
    }

    fn shake_hands(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<Handshake, HandshakeError> {
        let mut buffer = std::mem::take(&mut self.incoming);
        buffer.extend_from_slice(input);
        if buffer.len() > HANDSHAKE_BYTES_MAX {
            return Err(HandshakeError::TooLong { bytes_max: HANDSHAKE_BYTES_MAX });
        }
        let early = self.open(&mut buffer, output);
        self.unread.extend_from_slice(&buffer[..early]);
        if let Some(End::Failed(error)) = &self.end {
            return Err(error.clone().into());
        }
        if self.side.state().is_handshaking() {
            return Ok(Handshake::GoesOn);
        }
        if self.opening == Opening::Direct && self.side.state().alpn_protocol() != Some(ALPN) {
            return Err(HandshakeError::NoAlpn);
        }
        Ok(Handshake::Done)
    }
}

/// What is wanted of rustls beside taking what has come.
#[derive(Clone, Copy)]
enum Wish<'a> {
    Hear,
    Say(&'a [u8]),
    Close,
}

/// What rustls did, and how much of the input it is done with.
struct Turn {
    discard: usize,
    what: What,
    is_granted: bool,
}

enum What {
    /// It may have said something; it is to be called again.
    Said,
    /// There is a record to be taken.
    Plaintext,
    /// It needs more input.
    Waits,
    /// The peer will say nothing more, or neither side will.
    Closed,
    Failed(Error),
}

impl Side {
    fn turn(&mut self, input: &mut [u8], out: &mut Vec<u8>, wish: Wish<'_>) -> Turn {
        match self {
            Self::Client(connection) => turn(connection.process_tls_records(input), out, wish),
            Self::Server(connection, _) => turn(connection.process_tls_records(input), out, wish),
        }
    }

    /// Takes the record that was announced. rustls does not look at input before it is taken.
    fn take_record(&mut self, take: impl FnMut(&[u8])) {
        match self {
            Self::Client(connection) => take_record(connection.process_tls_records(&mut []), take),
            Self::Server(connection, _) => {
                take_record(connection.process_tls_records(&mut []), take);
            }
        }
    }

    /// The alert that a failure has left. As long as there are words, rustls looks at no input;
    /// after them it would, and must not be asked again.
    fn last_words(&mut self, out: &mut Vec<u8>) {
        while self.state().wants_write() {
            self.turn(&mut [], out, Wish::Hear);
        }
    }

    fn state(&self) -> &CommonState {
        match self {
            Self::Client(connection) => connection,
            Self::Server(connection, _) => connection,
        }
    }
}

fn turn<D>(status: UnbufferedStatus<'_, '_, D>, out: &mut Vec<u8>, wish: Wish<'_>) -> Turn {
    let UnbufferedStatus { discard, state } = status;
    let mut is_granted = false;
    let what = match state {
        Ok(ConnectionState::ReadTraffic(_)) => What::Plaintext,
        Ok(ConnectionState::EncodeTlsData(mut words)) => {
            append(out, WORDS_BYTES, |room| match words.encode(room) {
                Err(EncodeError::InsufficientSize(size)) => Err(size.required_size),
                written => Ok(written.unwrap_or(0)),
            });
            What::Said
        }
        Ok(ConnectionState::TransmitTlsData(words)) => {
            words.done(); // They are behind everything else in `out`, and in order.
            What::Said
        }
        Ok(ConnectionState::WriteTraffic(mut traffic)) => match wish {
            Wish::Hear => What::Waits,
            Wish::Say(plaintext) => {
                is_granted = seal(&mut traffic, plaintext, out);
                if is_granted { What::Said } else { What::Waits }
            }
            Wish::Close => {
                append(out, WORDS_BYTES, |room| fit(traffic.queue_close_notify(room)));
                is_granted = true;
                What::Said
            }
        },
        Ok(ConnectionState::BlockedHandshake) => What::Waits,
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => What::Closed,
        // Data before the handshake is not accepted, so there is none.
        Ok(_) => What::Failed(Error::General("a state that was not asked for".into())),
        Err(error) => What::Failed(error),
    };
    Turn { discard, what, is_granted }
}

fn take_record<D>(status: UnbufferedStatus<'_, '_, D>, mut take: impl FnMut(&[u8])) {
    if let Ok(ConnectionState::ReadTraffic(mut traffic)) = status.state {
        while let Some(Ok(record)) = traffic.next_record() {
            take(record.payload);
        }
    }
}

/// False when the keys are used up, which takes 2^24 records of TLS 1.2.
fn seal<D>(traffic: &mut WriteTraffic<'_, D>, plaintext: &[u8], out: &mut Vec<u8>) -> bool {
    let records = plaintext.len().div_ceil(RECORD_PLAINTEXT_MAX);
    let mut is_sealed = true;
    append(out, plaintext.len() + records * RECORD_OVERHEAD_MAX, |room| {
        let written = traffic.encrypt(plaintext, room);
        is_sealed = !matches!(written, Err(EncryptError::EncryptExhausted));
        fit(written)
    });
    is_sealed
}

fn fit(written: Result<usize, EncryptError>) -> Result<usize, usize> {
    match written {
        Ok(bytes) => Ok(bytes),
        Err(EncryptError::InsufficientSize(size)) => Err(size.required_size),
        Err(EncryptError::EncryptExhausted) => Ok(0),
    }
}

/// Lets `write` append to `out`. It says how much it wrote, or how much room it needs.
fn append(
    out: &mut Vec<u8>,
    room_bytes: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, usize>,
) {
    let start = out.len();
    let mut room = room_bytes;
    loop {
        out.resize(start + room, 0);
        match write(&mut out[start..]) {
            Ok(written) => return out.truncate(start + written),
            Err(needed) => room = needed.max(room + 1),
        }
    }
}

/// A record's plaintext at most (RFC 8446, 5.1).
const RECORD_PLAINTEXT_MAX: usize = 1 << 14;

/// A record's header (5), and the most that encrypting adds: an explicit nonce (8, TLS 1.2), a
/// type (1, TLS 1.3), and a tag (16).
const RECORD_OVERHEAD_MAX: usize = 5 + 8 + 1 + 16;

/// Room for TLS's own words at first: an alert or a key update takes some 30 bytes, a flight of
/// the handshake says what it needs.
const WORDS_BYTES: usize = 64;

/// The most of a handshake that may be unfinished at one time: rustls's own limit for a message is
/// 64 kB, and as much may have been read behind it.
const HANDSHAKE_BYTES_MAX: usize = 128 * 1024;

impl std::fmt::Debug for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Client(_) => "Client",
            Self::Server(..) => "Server",
        })
    }
}
