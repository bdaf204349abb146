//! Messages that travel towards PostgreSQL, in the order of its documentation.
//!
//! Decoded is what steers the gate: names, texts, targets. What is only passed on (the formats
//! and values of a Bind, copied data) stays bytes, whose contents PostgreSQL checks itself.

use std::fmt;

use crate::body::{Body, DecodeError, EncodeError, debug_frame, frame, push_frame, put_string};

/// Which message: the first byte of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tag {
    /// Makes a portal of a statement and values.
    Bind,
    /// Forgets a statement or portal.
    Close,
    /// A piece of COPY FROM STDIN.
    CopyData,
    /// The end of COPY FROM STDIN.
    CopyDone,
    /// Makes COPY FROM STDIN fail.
    CopyFail,
    /// Asks what a statement or portal takes and yields.
    Describe,
    /// Runs a portal.
    Execute,
    /// Asks for the answers so far.
    Flush,
    /// Calls a function by its id; legacy.
    FunctionCall,
    /// Prepares a statement.
    Parse,
    /// A password, or any other step of authentication: they share the tag.
    Password,
    /// A query of the simple protocol.
    Query,
    /// Ends a batch of the extended protocol.
    Sync,
    /// Ends the session.
    Terminate,
}

impl Tag {
    /// Every tag, in the order of the documentation.
    pub const ALL: [Self; 14] = [
        Self::Bind,
        Self::Close,
        Self::CopyData,
        Self::CopyDone,
        Self::CopyFail,
        Self::Describe,
        Self::Execute,
        Self::Flush,
        Self::FunctionCall,
        Self::Parse,
        Self::Password,
        Self::Query,
        Self::Sync,
        Self::Terminate,
    ];

    /// `None` when no frontend message has this tag.
    pub const fn from_byte(b: u8) -> Option<Self> {
        Some(match b {
            b'B' => Self::Bind,
            b'C' => Self::Close,
            b'd' => Self::CopyData,
            b'c' => Self::CopyDone,
            b'f' => Self::CopyFail,
            b'D' => Self::Describe,
            b'E' => Self::Execute,
            b'H' => Self::Flush,
            b'F' => Self::FunctionCall,
            b'P' => Self::Parse,
            b'p' => Self::Password,
            b'Q' => Self::Query,
            b'S' => Self::Sync,
            b'X' => Self::Terminate,
            _ => return None,
        })
    }

    /// The tag byte.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Bind => b'B',
            Self::Close => b'C',
            Self::CopyData => b'd',
            Self::CopyDone => b'c',
            Self::CopyFail => b'f',
            Self::Describe => b'D',
            Self::Execute => b'E',
            Self::Flush => b'H',
            Self::FunctionCall => b'F',
            Self::Parse => b'P',
            Self::Password => b'p',
            Self::Query => b'Q',
            Self::Sync => b'S',
            Self::Terminate => b'X',
        }
    }
}

/// What a Close or Describe is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// A prepared statement.
    Statement,
    /// A portal.
    Portal,
}

impl Target {
    /// `None` for anything but `S` and `P`.
    pub const fn from_byte(b: u8) -> Option<Self> {
        match b {
            b'S' => Some(Self::Statement),
            b'P' => Some(Self::Portal),
            _ => None,
        }
    }

    /// `S` or `P`.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Statement => b'S',
            Self::Portal => b'P',
        }
    }

    fn decode(body: &mut Body<'_>) -> Result<Self, DecodeError> {
        let byte = body.u8("target")?;
        Self::from_byte(byte).ok_or(DecodeError::BadValue { field: "target", value: byte.into() })
    }
}

/// A decoded message. Names and texts come without their terminating zero byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// Makes a portal of a statement and values.
    Bind {
        /// The portal's name; empty for the unnamed one.
        portal: &'a [u8],
        /// The statement's name; empty for the unnamed one.
        statement: &'a [u8],
        /// Parameter formats, values, and result formats, undecoded.
        rest: &'a [u8],
    },
    /// Forgets a statement or portal.
    Close {
        /// What kind.
        target: Target,
        /// Its name.
        name: &'a [u8],
    },
    /// A piece of COPY FROM STDIN.
    CopyData(&'a [u8]),
    /// The end of COPY FROM STDIN.
    CopyDone,
    /// Makes COPY FROM STDIN fail, with a reason.
    CopyFail(&'a [u8]),
    /// Asks what a statement or portal takes and yields.
    Describe {
        /// What kind.
        target: Target,
        /// Its name.
        name: &'a [u8],
    },
    /// Runs a portal.
    Execute {
        /// The portal's name.
        portal: &'a [u8],
        /// How many rows at most; zero or less means all.
        rows_max: i32,
    },
    /// Asks for the answers so far.
    Flush,
    /// Calls a function by its id; undecoded.
    FunctionCall(&'a [u8]),
    /// Prepares a statement.
    Parse {
        /// The statement's name; empty for the unnamed one.
        name: &'a [u8],
        /// Its SQL.
        text: &'a [u8],
        /// The type ids that the client fixes: four big-endian bytes each.
        parameter_types: &'a [u8],
    },
    /// A password with its terminator, a SASL or GSS answer: the tag does not tell which. See
    /// [`password`] and [`SaslInitial`].
    Password(&'a [u8]),
    /// A query of the simple protocol.
    Query(&'a [u8]),
    /// Ends a batch of the extended protocol.
    Sync,
    /// Ends the session.
    Terminate,
}

impl<'a> Message<'a> {
    /// Decodes the body of a frame.
    ///
    /// # Errors
    /// The body is not one of this tag.
    pub fn decode(tag: Tag, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Body::new(body);
        let message = match tag {
            Tag::Bind => {
                let portal = fields.string("portal name")?;
                let statement = fields.string("statement name")?;
                return Ok(Self::Bind { portal, statement, rest: fields.rest() });
            }
            Tag::Close => Self::Close {
                target: Target::decode(&mut fields)?,
                name: fields.string("name to close")?,
            },
            Tag::CopyData => return Ok(Self::CopyData(body)),
            Tag::CopyDone => Self::CopyDone,
            Tag::CopyFail => Self::CopyFail(fields.string("reason")?),
            Tag::Describe => Self::Describe {
                target: Target::decode(&mut fields)?,
                name: fields.string("name to describe")?,
            },
            Tag::Execute => Self::Execute {
                portal: fields.string("portal name")?,
                rows_max: fields.i32("row limit")?,
            },
            Tag::Flush => Self::Flush,
            Tag::FunctionCall => return Ok(Self::FunctionCall(body)),
            Tag::Parse => {
                let name = fields.string("statement name")?;
                let text = fields.string("statement text")?;
                let count = fields.u16("number of parameter types")?;
                let parameter_types = fields.bytes(usize::from(count) * 4, "parameter types")?;
                Self::Parse { name, text, parameter_types }
            }
            Tag::Password => return Ok(Self::Password(body)),
            Tag::Query => Self::Query(fields.string("query text")?),
            Tag::Sync => Self::Sync,
            Tag::Terminate => Self::Terminate,
        };
        fields.end()?;
        Ok(message)
    }

    /// Which message it is.
    pub const fn tag(&self) -> Tag {
        match self {
            Self::Bind { .. } => Tag::Bind,
            Self::Close { .. } => Tag::Close,
            Self::CopyData(_) => Tag::CopyData,
            Self::CopyDone => Tag::CopyDone,
            Self::CopyFail(_) => Tag::CopyFail,
            Self::Describe { .. } => Tag::Describe,
            Self::Execute { .. } => Tag::Execute,
            Self::Flush => Tag::Flush,
            Self::FunctionCall(_) => Tag::FunctionCall,
            Self::Parse { .. } => Tag::Parse,
            Self::Password(_) => Tag::Password,
            Self::Query(_) => Tag::Query,
            Self::Sync => Tag::Sync,
            Self::Terminate => Tag::Terminate,
        }
    }

    /// Appends the whole frame to `out`.
    ///
    /// # Errors
    /// A string contains a zero byte, the parameter types are not whole or more than 65535, or
    /// the frame would be too long. `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        frame(out, self.tag().byte(), |out| {
            match *self {
                Self::Bind { portal, statement, rest } => {
                    put_string(out, portal, "portal name")?;
                    put_string(out, statement, "statement name")?;
                    out.extend_from_slice(rest);
                }
                Self::Close { target, name } => {
                    out.push(target.byte());
                    put_string(out, name, "name to close")?;
                }
                Self::Describe { target, name } => {
                    out.push(target.byte());
                    put_string(out, name, "name to describe")?;
                }
                Self::Execute { portal, rows_max } => {
                    put_string(out, portal, "portal name")?;
                    out.extend_from_slice(&rows_max.to_be_bytes());
                }
                Self::Parse { name, text, parameter_types } => {
                    put_string(out, name, "statement name")?;
                    put_string(out, text, "statement text")?;
                    let types = parameter_types.as_chunks::<4>();
                    let (Ok(count), []) = (u16::try_from(types.0.len()), types.1) else {
                        return Err(EncodeError::BadValue { field: "parameter types" });
                    };
                    out.extend_from_slice(&count.to_be_bytes());
                    out.extend_from_slice(parameter_types);
                }
                Self::CopyFail(reason) => put_string(out, reason, "reason")?,
                Self::Query(text) => put_string(out, text, "query text")?,
                Self::CopyData(body) | Self::FunctionCall(body) | Self::Password(body) => {
                    out.extend_from_slice(body);
                }
                Self::CopyDone | Self::Flush | Self::Sync | Self::Terminate => {}
            }
            Ok(())
        })
    }
}

impl fmt::Debug for Message<'_> {
    /// The body as text, but nothing of a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password(_) => f.write_str("Password(..)"),
            _ => debug_frame(f, &self.tag(), |out| self.encode(out)),
        }
    }
}

/// The body of a Password message that carries a cleartext password or an MD5 answer.
///
/// # Errors
/// The terminator is missing, or not the last byte.
pub fn password(body: &[u8]) -> Result<&[u8], DecodeError> {
    let mut fields = Body::new(body);
    let password = fields.string("password")?;
    fields.end()?;
    Ok(password)
}

/// The body of a Password message that starts SASL. Later steps are the bare bytes of the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaslInitial<'a> {
    /// The mechanism that the client chose.
    pub mechanism: &'a [u8],
    /// The client's first message, unless it waits for the server to begin.
    pub response: Option<&'a [u8]>,
}

impl<'a> SaslInitial<'a> {
    /// Decodes the body of a Password message.
    ///
    /// # Errors
    /// The body is not a SASLInitialResponse.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Body::new(body);
        let mechanism = fields.string("mechanism")?;
        let response = fields.value("initial response")?;
        fields.end()?;
        Ok(Self { mechanism, response })
    }

    /// Appends the whole frame to `out`.
    ///
    /// # Errors
    /// The mechanism contains a zero byte, or the frame would be too long.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        frame(out, Tag::Password.byte(), |out| {
            put_string(out, self.mechanism, "mechanism")?;
            match self.response {
                None => out.extend_from_slice(&(-1i32).to_be_bytes()),
                Some(response) => {
                    let length = i32::try_from(response.len())
                        .map_err(|_| EncodeError::TooLong { bytes: response.len() })?;
                    out.extend_from_slice(&length.to_be_bytes());
                    out.extend_from_slice(response);
                }
            }
            Ok(())
        })
    }
}

/// Appends a Query.
///
/// The text goes out as it is: PostgreSQL refuses one that contains a zero byte as a whole
/// (08P01) instead of running what stands before it.
pub fn push_query(out: &mut Vec<u8>, text: &[u8]) {
    push_frame(out, Tag::Query.byte(), &[text, &[0]]);
}

/// Appends a Sync.
pub fn push_sync(out: &mut Vec<u8>) {
    push_frame(out, Tag::Sync.byte(), &[]);
}

/// Appends a Flush.
pub fn push_flush(out: &mut Vec<u8>) {
    push_frame(out, Tag::Flush.byte(), &[]);
}

/// Appends a Terminate.
pub fn push_terminate(out: &mut Vec<u8>) {
    push_frame(out, Tag::Terminate.byte(), &[]);
}

/// Appends a CopyDone.
pub fn push_copy_done(out: &mut Vec<u8>) {
    push_frame(out, Tag::CopyDone.byte(), &[]);
}

/// Appends a CopyFail.
pub fn push_copy_fail(out: &mut Vec<u8>, reason: &[u8]) {
    push_frame(out, Tag::CopyFail.byte(), &[reason, &[0]]);
}

/// Appends a Password message with a cleartext password or an MD5 answer.
pub fn push_password(out: &mut Vec<u8>, password: &[u8]) {
    push_frame(out, Tag::Password.byte(), &[password, &[0]]);
}

/// Appends a later step of SASL.
pub fn push_sasl_response(out: &mut Vec<u8>, response: &[u8]) {
    push_frame(out, Tag::Password.byte(), &[response]);
}

/// Appends a Close.
///
/// # Errors
/// The name contains a zero byte.
pub fn push_close(out: &mut Vec<u8>, target: Target, name: &[u8]) -> Result<(), EncodeError> {
    Message::Close { target, name }.encode(out)
}
