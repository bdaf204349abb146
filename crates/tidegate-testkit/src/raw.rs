//! A client that speaks bytes: for what no driver would send.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use tidegate_wire::backend::{self, Authentication, Fields, Message};
use tidegate_wire::frame::{Front, HEADER_BYTES, front};
use tidegate_wire::frontend::{self, SaslInitial};
use tidegate_wire::scram::{self, ChannelBinding, ClientFirst, ClientSecret};
use tidegate_wire::startup::{self, ProtocolVersion};

use crate::wait;

/// A connection, logged in or not.
pub struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The pid that it was told.
    pub pid: u32,
    /// The secret that it was told.
    pub secret: Vec<u8>,
    /// The ParameterStatus messages of the login, in their order.
    pub parameters: Vec<Frame>,
}

/// Nothing came within the time that a client has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence;

/// A message from the server: its tag and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The tag byte.
    pub tag: u8,
    /// The body.
    pub body: Vec<u8>,
}

impl Frame {
    /// The SQLSTATE of an error or notice.
    ///
    /// # Panics
    /// When it is neither.
    pub fn sqlstate(&self) -> String {
        self.field(b'C')
    }

    /// A field of an error or notice; empty when it has none.
    ///
    /// # Panics
    /// When it is neither.
    pub fn field(&self, code: u8) -> String {
        assert!(matches!(self.tag, b'E' | b'N'), "not an error: {self:?}");
        let fields = Fields::decode(&self.body).expect("an error is well-formed");
        String::from_utf8_lossy(fields.value(code).unwrap_or_default()).into_owned()
    }
}

impl Raw {
    /// Connects to a port of this machine.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
        stream.set_read_timeout(Some(wait::DEADLINE)).expect("a time-out is set");
        stream.set_nodelay(true).expect("nodelay is set");
        let (buffer, secret, parameters) = (Vec::new(), Vec::new(), Vec::new());
        Self { stream, buffer, pid: 0, secret, parameters }
    }

    /// Connects and logs in.
    ///
    /// # Panics
    /// When it is refused.
    pub fn log_in(port: u16, user: &str, password: &str, database: &str) -> Self {
        let mut raw = Self::connect(port);
        let result = raw.try_log_in(&[("user", user), ("database", database)], password);
        if let Err(error) = result {
            panic!("refused: {} {}", error.sqlstate(), error.field(b'M'));
        }
        raw
    }

    /// Logs in with these startup parameters.
    ///
    /// # Errors
    /// The error that the server sent.
    ///
    /// # Panics
    /// When the server does not follow the protocol.
    pub fn try_log_in(&mut self, parameters: &[(&str, &str)], password: &str) -> Result<(), Frame> {
        let mut out = Vec::new();
        let pairs = parameters.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        startup::push_startup(&mut out, ProtocolVersion::V3_0, pairs).expect("no zero bytes");
        self.send(&out);
        let mut first = None;
        let mut last = None;
        loop {
            let frame = self.next().expect("an answer to the login");
            let tag = backend::Tag::from_byte(frame.tag).expect("a known tag");
            let mut out = Vec::new();
            match Message::decode(tag, &frame.body).expect("a well-formed message") {
                Message::ErrorResponse(_) => return Err(frame),
                Message::Authentication(Authentication::Sasl { .. }) => {
                    let secret = ClientSecret::Password(password.as_bytes().to_vec());
                    let binding = ChannelBinding::NotSupported;
                    let (state, response) =
                        ClientFirst::new(secret, scram::nonce(&[9; 18]), binding);
                    let initial =
                        SaslInitial { mechanism: b"SCRAM-SHA-256", response: Some(&response) };
                    initial.encode(&mut out).expect("it is short");
                    first = Some(state);
                }
                Message::Authentication(Authentication::SaslContinue(message)) => {
                    let state = first.take().expect("the first message was sent");
                    let needs = state.on_server_first(message).expect("a server's first message");
                    let keys = needs.derive().expect("a password has keys");
                    let (state, response) = needs.answer(&keys).expect("the keys fit");
                    frontend::push_sasl_response(&mut out, &response);
                    last = Some(state);
                }
                Message::Authentication(Authentication::SaslFinal(message)) => {
                    let state = last.take().expect("the proof was sent");
                    state.on_server_final(message).expect("the server proves itself");
                }
                Message::BackendKeyData { pid, secret } => {
                    self.pid = pid;
                    self.secret = secret.to_vec();
                }
                Message::ParameterStatus { .. } => self.parameters.push(frame),
                Message::ReadyForQuery(_) => return Ok(()),
                _ => {}
            }
            self.send(&out);
        }
    }

    /// Sends bytes as they are. A server that has closed meanwhile is none of its business.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Sends a Query.
    pub fn query(&mut self, sql: &str) {
        let mut out = Vec::new();
        frontend::push_query(&mut out, sql.as_bytes());
        self.send(&out);
    }

    fn read(&mut self) -> Result<usize, Silence> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(bytes) => {
                self.buffer.extend_from_slice(&chunk[..bytes]);
                Ok(bytes)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(Silence)
            }
            Err(_) => Ok(0), // A reset is an end, too.
        }
    }

    /// The next message; `None` at the end of the connection.
    ///
    /// # Errors
    /// Nothing came within the time-out of the connection, by default [`wait::DEADLINE`].
    ///
    /// # Panics
    /// When what comes is no message.
    pub fn try_next(&mut self) -> Result<Option<Frame>, Silence> {
        loop {
            if let Front::Frame { tag, frame_bytes } =
                front(&self.buffer, u64::from(u32::MAX)).expect("a frame")
            {
                let bytes = usize::try_from(frame_bytes).expect("it fits memory");
                if self.buffer.len() >= bytes {
                    let rest = self.buffer.split_off(bytes);
                    let frame = std::mem::replace(&mut self.buffer, rest);
                    return Ok(Some(Frame { tag, body: frame[HEADER_BYTES..].to_vec() }));
                }
            }
            if self.read()? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads one raw byte, as the answer to an SSLRequest is.
    pub fn byte(&mut self) -> Option<u8> {
        if self.buffer.is_empty() && self.read().expect("a byte, or the end") == 0 {
            return None;
        }
        Some(self.buffer.remove(0))
    }

    /// All messages up to and with the next ReadyForQuery, or up to the end.
    pub fn until_ready(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        for frame in self.by_ref() {
            let is_ready = frame.tag == b'Z';
            frames.push(frame);
            if is_ready {
                break;
            }
        }
        frames
    }

    /// The tags of all messages up to ReadyForQuery, with its status, such as `TDCZI`.
    pub fn tags(&mut self) -> String {
        let mut tags = String::new();
        for frame in self.until_ready() {
            tags.push(char::from(frame.tag));
            if frame.tag == b'Z' {
                tags.push(char::from(frame.body[0]));
            }
        }
        tags
    }

    /// Runs a query and gives its first column of the first row as text.
    ///
    /// # Panics
    /// When it fails or has no row.
    pub fn value(&mut self, sql: &str) -> String {
        self.query(sql);
        let frames = self.until_ready();
        if let Some(error) = frames.iter().find(|frame| frame.tag == b'E') {
            panic!("{sql}: {} {}", error.sqlstate(), error.field(b'M'));
        }
        let row = frames.iter().find(|frame| frame.tag == b'D');
        let row = row.unwrap_or_else(|| panic!("{sql}: no row in {frames:?}"));
        String::from_utf8_lossy(&row.body[6..]).into_owned()
    }

    /// The connection itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

/// The messages that come; the end is that of the connection. Panics when nothing comes within the
/// deadline, or what comes is no message.
impl Iterator for Raw {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        self.try_next().unwrap_or_else(|Silence| panic!("nothing came within {:?}", wait::DEADLINE))
    }
}
