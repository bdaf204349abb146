//! Messages that travel from PostgreSQL, in the order of its documentation.
//!
//! Decoded is what steers the gate: the steps of a login, errors, parameters, the state of the
//! transaction. Rows and their descriptions are checked for shape and stay bytes.

use std::fmt;

use crate::body::{
    Body, DecodeError, EncodeError, Strings, debug_frame, frame, push_frame, put_string,
};
use crate::sqlstate::SqlState;

/// Which message: the first byte of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tag {
    /// A step of authentication.
    Authentication,
    /// What cancels the session's queries.
    BackendKeyData,
    /// A Bind is done.
    BindComplete,
    /// A Close is done.
    CloseComplete,
    /// A command is done.
    CommandComplete,
    /// Copying both ways begins; replication.
    CopyBothResponse,
    /// A piece of COPY TO STDOUT.
    CopyData,
    /// The end of COPY TO STDOUT.
    CopyDone,
    /// COPY FROM STDIN begins.
    CopyInResponse,
    /// COPY TO STDOUT begins.
    CopyOutResponse,
    /// A row.
    DataRow,
    /// The query was empty.
    EmptyQueryResponse,
    /// An error.
    ErrorResponse,
    /// The result of a FunctionCall.
    FunctionCallResponse,
    /// The protocol version or an option asked for is not known.
    NegotiateProtocolVersion,
    /// A Describe found that no rows come.
    NoData,
    /// A notice or warning.
    NoticeResponse,
    /// A NOTIFY of some session.
    NotificationResponse,
    /// The parameters of a described statement.
    ParameterDescription,
    /// The value of a setting that clients follow.
    ParameterStatus,
    /// A Parse is done.
    ParseComplete,
    /// An Execute reached its row limit.
    PortalSuspended,
    /// PostgreSQL awaits the next query.
    ReadyForQuery,
    /// The columns of the rows to come.
    RowDescription,
}

impl Tag {
    /// Every tag, in the order of the documentation.
    pub const ALL: [Self; 24] = [
        Self::Authentication,
        Self::BackendKeyData,
        Self::BindComplete,
        Self::CloseComplete,
        Self::CommandComplete,
        Self::CopyBothResponse,
        Self::CopyData,
        Self::CopyDone,
        Self::CopyInResponse,
        Self::CopyOutResponse,
        Self::DataRow,
        Self::EmptyQueryResponse,
        Self::ErrorResponse,
        Self::FunctionCallResponse,
        Self::NegotiateProtocolVersion,
        Self::NoData,
        Self::NoticeResponse,
        Self::NotificationResponse,
        Self::ParameterDescription,
        Self::ParameterStatus,
        Self::ParseComplete,
        Self::PortalSuspended,
        Self::ReadyForQuery,
        Self::RowDescription,
    ];

    /// `None` when no backend message has this tag.
    pub const fn from_byte(b: u8) -> Option<Self> {
        Some(match b {
            b'R' => Self::Authentication,
            b'K' => Self::BackendKeyData,
            b'2' => Self::BindComplete,
            b'3' => Self::CloseComplete,
            b'C' => Self::CommandComplete,
            b'W' => Self::CopyBothResponse,
            b'd' => Self::CopyData,
            b'c' => Self::CopyDone,
            b'G' => Self::CopyInResponse,
            b'H' => Self::CopyOutResponse,
            b'D' => Self::DataRow,
            b'I' => Self::EmptyQueryResponse,
            b'E' => Self::ErrorResponse,
            b'V' => Self::FunctionCallResponse,
            b'v' => Self::NegotiateProtocolVersion,
            b'n' => Self::NoData,
            b'N' => Self::NoticeResponse,
            b'A' => Self::NotificationResponse,
            b't' => Self::ParameterDescription,
            b'S' => Self::ParameterStatus,
            b'1' => Self::ParseComplete,
            b's' => Self::PortalSuspended,
            b'Z' => Self::ReadyForQuery,
            b'T' => Self::RowDescription,
            _ => return None,
        })
    }

    /// The tag byte.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Authentication => b'R',
            Self::BackendKeyData => b'K',
            Self::BindComplete => b'2',
            Self::CloseComplete => b'3',
            Self::CommandComplete => b'C',
            Self::CopyBothResponse => b'W',
            Self::CopyData => b'd',
            Self::CopyDone => b'c',
            Self::CopyInResponse => b'G',
            Self::CopyOutResponse => b'H',
            Self::DataRow => b'D',
            Self::EmptyQueryResponse => b'I',
            Self::ErrorResponse => b'E',
            Self::FunctionCallResponse => b'V',
            Self::NegotiateProtocolVersion => b'v',
            Self::NoData => b'n',
            Self::NoticeResponse => b'N',
            Self::NotificationResponse => b'A',
            Self::ParameterDescription => b't',
            Self::ParameterStatus => b'S',
            Self::ParseComplete => b'1',
            Self::PortalSuspended => b's',
            Self::ReadyForQuery => b'Z',
            Self::RowDescription => b'T',
        }
    }
}

/// Where a session stands, as its ReadyForQuery says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransactionStatus {
    /// In no transaction: `I`.
    Idle,
    /// In a transaction: `T`.
    InTransaction,
    /// In a transaction that can only be rolled back: `E`.
    Failed,
}

impl TransactionStatus {
    /// `None` for anything but `I`, `T`, and `E`.
    pub const fn from_byte(b: u8) -> Option<Self> {
        match b {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::InTransaction),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }

    /// `I`, `T`, or `E`.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::InTransaction => b'T',
            Self::Failed => b'E',
        }
    }
}

/// A step of authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// The client is who it says.
    Ok,
    /// The password is wanted as it is.
    CleartextPassword,
    /// The password is wanted hashed with this salt.
    Md5Password {
        /// The salt.
        salt: [u8; 4],
    },
    /// SASL begins.
    Sasl {
        /// What the server offers, the best first.
        mechanisms: Strings<'a>,
    },
    /// The server's next step of SASL.
    SaslContinue(&'a [u8]),
    /// The server's last step of SASL.
    SaslFinal(&'a [u8]),
    /// A method that Tidegate does not speak: GSSAPI (7), SSPI (9), and the like. Its bytes are
    /// not kept.
    Other(i32),
}

/// The numbers that tell the steps of authentication apart.
mod method {
    pub(super) const OK: i32 = 0;
    pub(super) const CLEARTEXT_PASSWORD: i32 = 3;
    pub(super) const MD5_PASSWORD: i32 = 5;
    pub(super) const SASL: i32 = 10;
    pub(super) const SASL_CONTINUE: i32 = 11;
    pub(super) const SASL_FINAL: i32 = 12;
}

impl<'a> Authentication<'a> {
    fn decode(mut fields: Body<'a>) -> Result<Self, DecodeError> {
        let step = match fields.i32("authentication method")? {
            method::OK => Self::Ok,
            method::CLEARTEXT_PASSWORD => Self::CleartextPassword,
            method::MD5_PASSWORD => Self::Md5Password { salt: fields.array("salt")? },
            method::SASL => {
                return Ok(Self::Sasl { mechanisms: fields.strings_to_empty("mechanisms")? });
            }
            method::SASL_CONTINUE => return Ok(Self::SaslContinue(fields.rest())),
            method::SASL_FINAL => return Ok(Self::SaslFinal(fields.rest())),
            other => return Ok(Self::Other(other)),
        };
        fields.end()?;
        Ok(step)
    }

    fn put(&self, out: &mut Vec<u8>) {
        let (method, rest): (i32, &[u8]) = match self {
            Self::Ok => (method::OK, &[]),
            Self::CleartextPassword => (method::CLEARTEXT_PASSWORD, &[]),
            Self::Md5Password { salt } => (method::MD5_PASSWORD, salt),
            Self::Sasl { mechanisms } => (method::SASL, mechanisms.as_bytes()),
            Self::SaslContinue(step) => (method::SASL_CONTINUE, step),
            Self::SaslFinal(step) => (method::SASL_FINAL, step),
            Self::Other(method) => (*method, &[]),
        };
        out.extend_from_slice(&method.to_be_bytes());
        out.extend_from_slice(rest);
        if let Self::Sasl { .. } = self {
            out.push(0);
        }
    }
}

/// A decoded message. Strings come without their terminating zero byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// A step of authentication.
    Authentication(Authentication<'a>),
    /// What cancels the session's queries.
    BackendKeyData {
        /// The pid of the backend, or what a pooler says it is.
        pid: u32,
        /// 4 bytes in protocol 3.0, up to 256 in 3.2.
        secret: &'a [u8],
    },
    /// A Bind is done.
    BindComplete,
    /// A Close is done.
    CloseComplete,
    /// A command is done; its tag, such as `INSERT 0 1`.
    CommandComplete(&'a [u8]),
    /// Copying both ways begins; formats.
    CopyBothResponse(&'a [u8]),
    /// A piece of COPY TO STDOUT.
    CopyData(&'a [u8]),
    /// The end of COPY TO STDOUT.
    CopyDone,
    /// COPY FROM STDIN begins; formats.
    CopyInResponse(&'a [u8]),
    /// COPY TO STDOUT begins; formats.
    CopyOutResponse(&'a [u8]),
    /// A row: the number of values, and each behind its length.
    DataRow(&'a [u8]),
    /// The query was empty.
    EmptyQueryResponse,
    /// An error.
    ErrorResponse(Fields<'a>),
    /// The result of a FunctionCall behind its length.
    FunctionCallResponse(&'a [u8]),
    /// The protocol version or an option asked for is not known.
    NegotiateProtocolVersion {
        /// The newest 3.x that the server speaks.
        minor: u16,
        /// The `_pq_.` options that it does not know.
        options: Strings<'a>,
    },
    /// A Describe found that no rows come.
    NoData,
    /// A notice or warning.
    NoticeResponse(Fields<'a>),
    /// A NOTIFY of some session.
    NotificationResponse {
        /// The pid of the backend that notified.
        pid: u32,
        /// The channel.
        channel: &'a [u8],
        /// The payload.
        payload: &'a [u8],
    },
    /// The parameters of a described statement: their number, and four bytes each.
    ParameterDescription(&'a [u8]),
    /// The value of a setting that clients follow.
    ParameterStatus {
        /// The setting.
        name: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// A Parse is done.
    ParseComplete,
    /// An Execute reached its row limit.
    PortalSuspended,
    /// PostgreSQL awaits the next query.
    ReadyForQuery(TransactionStatus),
    /// The columns of the rows to come: their number, and each one's name and 18 bytes.
    RowDescription(&'a [u8]),
}

impl<'a> Message<'a> {
    /// Decodes the body of a frame.
    ///
    /// # Errors
    /// The body is not one of this tag.
    pub fn decode(tag: Tag, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Body::new(body);
        let message = match tag {
            Tag::Authentication => {
                return Authentication::decode(fields).map(Self::Authentication);
            }
            Tag::BackendKeyData => {
                let pid = fields.u32("pid")?;
                let secret = fields.rest();
                return match secret_fault(secret) {
                    None => Ok(Self::BackendKeyData { pid, secret }),
                    Some(fault) => Err(fault),
                };
            }
            Tag::BindComplete => Self::BindComplete,
            Tag::CloseComplete => Self::CloseComplete,
            Tag::CommandComplete => Self::CommandComplete(fields.string("command tag")?),
            Tag::CopyBothResponse => {
                check_copy_formats(fields)?;
                return Ok(Self::CopyBothResponse(body));
            }
            Tag::CopyData => return Ok(Self::CopyData(body)),
            Tag::CopyDone => Self::CopyDone,
            Tag::CopyInResponse => {
                check_copy_formats(fields)?;
                return Ok(Self::CopyInResponse(body));
            }
            Tag::CopyOutResponse => {
                check_copy_formats(fields)?;
                return Ok(Self::CopyOutResponse(body));
            }
            Tag::DataRow => {
                for _ in 0..fields.u16("number of values")? {
                    fields.value("value")?;
                }
                Self::DataRow(body)
            }
            Tag::EmptyQueryResponse => Self::EmptyQueryResponse,
            Tag::ErrorResponse => return Fields::decode(body).map(Self::ErrorResponse),
            Tag::FunctionCallResponse => {
                fields.value("result")?;
                Self::FunctionCallResponse(body)
            }
            Tag::NegotiateProtocolVersion => {
                let minor = negotiated_minor(fields.u32("protocol version")?)?;
                let count = fields.u32("number of options")?;
                let options = fields.strings(count, "options")?;
                return Ok(Self::NegotiateProtocolVersion { minor, options });
            }
            Tag::NoData => Self::NoData,
            Tag::NoticeResponse => return Fields::decode(body).map(Self::NoticeResponse),
            Tag::NotificationResponse => Self::NotificationResponse {
                pid: fields.u32("pid")?,
                channel: fields.string("channel")?,
                payload: fields.string("payload")?,
            },
            Tag::ParameterDescription => {
                let count = fields.u16("number of parameters")?;
                fields.bytes(usize::from(count) * 4, "parameter types")?;
                Self::ParameterDescription(body)
            }
            Tag::ParameterStatus => Self::ParameterStatus {
                name: fields.string("parameter name")?,
                value: fields.string("parameter value")?,
            },
            Tag::ParseComplete => Self::ParseComplete,
            Tag::PortalSuspended => Self::PortalSuspended,
            Tag::ReadyForQuery => {
                let byte = fields.u8("transaction status")?;
                let status = TransactionStatus::from_byte(byte).ok_or(DecodeError::BadValue {
                    field: "transaction status",
                    value: byte.into(),
                })?;
                Self::ReadyForQuery(status)
            }
            Tag::RowDescription => {
                for _ in 0..fields.u16("number of columns")? {
                    fields.string("column name")?;
                    fields.bytes(COLUMN_BYTES, "column")?;
                }
                Self::RowDescription(body)
            }
        };
        fields.end()?;
        Ok(message)
    }

    /// Which message it is.
    pub const fn tag(&self) -> Tag {
        match self {
            Self::Authentication(_) => Tag::Authentication,
            Self::BackendKeyData { .. } => Tag::BackendKeyData,
            Self::BindComplete => Tag::BindComplete,
            Self::CloseComplete => Tag::CloseComplete,
            Self::CommandComplete(_) => Tag::CommandComplete,
            Self::CopyBothResponse(_) => Tag::CopyBothResponse,
            Self::CopyData(_) => Tag::CopyData,
            Self::CopyDone => Tag::CopyDone,
            Self::CopyInResponse(_) => Tag::CopyInResponse,
            Self::CopyOutResponse(_) => Tag::CopyOutResponse,
            Self::DataRow(_) => Tag::DataRow,
            Self::EmptyQueryResponse => Tag::EmptyQueryResponse,
            Self::ErrorResponse(_) => Tag::ErrorResponse,
            Self::FunctionCallResponse(_) => Tag::FunctionCallResponse,
            Self::NegotiateProtocolVersion { .. } => Tag::NegotiateProtocolVersion,
            Self::NoData => Tag::NoData,
            Self::NoticeResponse(_) => Tag::NoticeResponse,
            Self::NotificationResponse { .. } => Tag::NotificationResponse,
            Self::ParameterDescription(_) => Tag::ParameterDescription,
            Self::ParameterStatus { .. } => Tag::ParameterStatus,
            Self::ParseComplete => Tag::ParseComplete,
            Self::PortalSuspended => Tag::PortalSuspended,
            Self::ReadyForQuery(_) => Tag::ReadyForQuery,
            Self::RowDescription(_) => Tag::RowDescription,
        }
    }

    /// Appends the whole frame to `out`. Raw bodies go out as they are.
    ///
    /// # Errors
    /// A string contains a zero byte, a secret has no valid length, or the frame would be too
    /// long. `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        frame(out, self.tag().byte(), |out| {
            match *self {
                Self::Authentication(step) => step.put(out),
                Self::BackendKeyData { pid, secret } => {
                    if secret_fault(secret).is_some() {
                        return Err(EncodeError::BadValue { field: "secret" });
                    }
                    out.extend_from_slice(&pid.to_be_bytes());
                    out.extend_from_slice(secret);
                }
                Self::CommandComplete(tag) => put_string(out, tag, "command tag")?,
                Self::ErrorResponse(fields) | Self::NoticeResponse(fields) => {
                    out.extend_from_slice(fields.body);
                }
                Self::NegotiateProtocolVersion { minor, options } => {
                    let count = u32::try_from(options.count())
                        .map_err(|_| EncodeError::BadValue { field: "options" })?;
                    out.extend_from_slice(&version_word(minor).to_be_bytes());
                    out.extend_from_slice(&count.to_be_bytes());
                    out.extend_from_slice(options.as_bytes());
                }
                Self::NotificationResponse { pid, channel, payload } => {
                    out.extend_from_slice(&pid.to_be_bytes());
                    put_string(out, channel, "channel")?;
                    put_string(out, payload, "payload")?;
                }
                Self::ParameterStatus { name, value } => {
                    put_string(out, name, "parameter name")?;
                    put_string(out, value, "parameter value")?;
                }
                Self::ReadyForQuery(status) => out.push(status.byte()),
                Self::CopyBothResponse(body)
                | Self::CopyData(body)
                | Self::CopyInResponse(body)
                | Self::CopyOutResponse(body)
                | Self::DataRow(body)
                | Self::FunctionCallResponse(body)
                | Self::ParameterDescription(body)
                | Self::RowDescription(body) => out.extend_from_slice(body),
                Self::BindComplete
                | Self::CloseComplete
                | Self::CopyDone
                | Self::EmptyQueryResponse
                | Self::NoData
                | Self::ParseComplete
                | Self::PortalSuspended => {}
            }
            Ok(())
        })
    }
}

impl fmt::Debug for Message<'_> {
    /// The body as text, but nothing of a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BackendKeyData { pid, .. } => write!(f, "BackendKeyData({pid}, ..)"),
            _ => debug_frame(f, &self.tag(), |out| self.encode(out)),
        }
    }
}

/// How grave an error or notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The server as a whole stops.
    Panic,
    /// The session ends.
    Fatal,
    /// The statement failed.
    Error,
    /// Something is likely wrong.
    Warning,
    /// Something the user may want to know.
    Notice,
    /// For developers; PostgreSQL's `DEBUG1` to `DEBUG5` are all called so.
    Debug,
    /// Something the user asked for.
    Info,
    /// For the server's log.
    Log,
}

impl Severity {
    /// `None` for a word that PostgreSQL does not use, or a translated one.
    pub fn from_bytes(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"PANIC" => Self::Panic,
            b"FATAL" => Self::Fatal,
            b"ERROR" => Self::Error,
            b"WARNING" => Self::Warning,
            b"NOTICE" => Self::Notice,
            b"DEBUG" => Self::Debug,
            b"INFO" => Self::Info,
            b"LOG" => Self::Log,
            _ => return None,
        })
    }

    /// PostgreSQL's word, never translated.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "PANIC",
            Self::Fatal => "FATAL",
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Log => "LOG",
        }
    }
}

/// The fields of an error or notice, in the order in which they came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fields<'a> {
    /// All of the body: pairs of code and string, then a zero byte.
    body: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Decodes the body of an ErrorResponse or NoticeResponse.
    ///
    /// # Errors
    /// A field is cut, or the final zero byte is missing or not final.
    pub fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Body::new(body);
        while fields.u8("field code")? != 0 {
            fields.string("field")?;
        }
        fields.end()?;
        Ok(Self { body })
    }

    /// Codes and values, also of codes that are not known here.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut fields = Body::new(self.body);
        std::iter::from_fn(move || {
            let code = fields.u8("field code").ok().filter(|code| *code != 0)?;
            Some((code, fields.string("field").ok()?))
        })
    }

    /// The first field with this code (PostgreSQL docs, "Error and Notice Message Fields").
    pub fn value(&self, code: u8) -> Option<&'a [u8]> {
        self.iter().find_map(|(found, value)| (found == code).then_some(value))
    }

    /// The severity; of `V`, which is never translated, else of `S`.
    pub fn severity(&self) -> Option<Severity> {
        Severity::from_bytes(self.value(b'V').or_else(|| self.value(b'S'))?)
    }

    /// The code, when there is a well-formed one.
    pub fn sqlstate(&self) -> Option<SqlState> {
        SqlState::from_bytes(self.value(b'C')?)
    }

    /// The primary message, in whatever encoding the server uses.
    pub fn message(&self) -> Option<&'a [u8]> {
        self.value(b'M')
    }

    /// More about it.
    pub fn detail(&self) -> Option<&'a [u8]> {
        self.value(b'D')
    }

    /// Appends an ErrorResponse with these fields, some of them with another value, or with none.
    pub fn push_error_with(&self, out: &mut Vec<u8>, changed: &[(u8, Option<&[u8]>)]) {
        let mut body = Vec::new();
        for (code, value) in self.iter() {
            let change = changed.iter().find(|(changed, _)| *changed == code);
            if let Some(value) = change.map_or(Some(value), |(_, value)| *value) {
                body.push(code);
                body.extend_from_slice(value);
                body.push(0);
            }
        }
        push_frame(out, Tag::ErrorResponse.byte(), &[&body, &[0]]);
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'a [u8]> {
        self.value(b'H')
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fields(\"{}\")", self.body.escape_ascii())
    }
}

/// An error or notice that Tidegate writes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report<'a> {
    /// How grave.
    pub severity: Severity,
    /// For programs.
    pub sqlstate: SqlState,
    /// What happened: lower case, no full stop.
    pub message: &'a str,
    /// More about it: whole sentences.
    pub detail: Option<&'a str>,
    /// What to do: whole sentences.
    pub hint: Option<&'a str>,
}

impl Report<'_> {
    /// Appends an ErrorResponse. Zero bytes inside strings are left out.
    pub fn encode_error(&self, out: &mut Vec<u8>) {
        self.push(out, Tag::ErrorResponse);
    }

    /// Appends a NoticeResponse. Zero bytes inside strings are left out.
    pub fn encode_notice(&self, out: &mut Vec<u8>) {
        self.push(out, Tag::NoticeResponse);
    }

    fn push(&self, out: &mut Vec<u8>, tag: Tag) {
        let mut body = Vec::new();
        let mut put = |code: u8, value: &str| {
            body.push(code);
            body.extend(value.bytes().filter(|b| *b != 0));
            body.push(0);
        };
        put(b'S', self.severity.as_str());
        put(b'V', self.severity.as_str());
        put(b'C', self.sqlstate.as_str());
        put(b'M', self.message);
        if let Some(detail) = self.detail {
            put(b'D', detail);
        }
        if let Some(hint) = self.hint {
            put(b'H', hint);
        }
        push_frame(out, tag.byte(), &[&body, &[0]]);
    }
}

/// The values of a DataRow; none where one is NULL.
///
/// # Errors
/// It is cut, or longer than it says.
pub fn values(row: &[u8]) -> Result<Vec<Option<&[u8]>>, DecodeError> {
    let mut body = Body::new(row);
    let count = body.u16("number of columns")?;
    let values = (0..count).map(|_| body.value("column")).collect::<Result<_, _>>()?;
    body.end()?;
    Ok(values)
}

/// The values of a DataRow that has exactly `N`.
///
/// # Errors
/// It has more or fewer, or is cut.
pub fn columns<const N: usize>(row: &[u8]) -> Result<[Option<&[u8]>; N], DecodeError> {
    let mut body = Body::new(row);
    let count = body.u16("number of columns")?;
    if usize::from(count) != N {
        return Err(DecodeError::BadValue { field: "number of columns", value: i64::from(count) });
    }
    let mut columns = [None; N];
    for column in &mut columns {
        *column = body.value("column")?;
    }
    body.end()?;
    Ok(columns)
}

/// Appends an ErrorResponse.
pub fn push_error(out: &mut Vec<u8>, report: &Report<'_>) {
    report.encode_error(out);
}

/// Appends a NoticeResponse.
pub fn push_notice(out: &mut Vec<u8>, report: &Report<'_>) {
    report.encode_notice(out);
}

/// Appends a ReadyForQuery.
pub fn push_ready(out: &mut Vec<u8>, status: TransactionStatus) {
    push_frame(out, Tag::ReadyForQuery.byte(), &[&[status.byte()]]);
}

/// Appends a ParameterDescription with this body.
pub fn push_parameter_description(out: &mut Vec<u8>, body: &[u8]) {
    push_frame(out, Tag::ParameterDescription.byte(), &[body]);
}

/// Appends a ParameterStatus. Neither string may contain a zero byte, which what was decoded
/// never does.
pub fn push_parameter_status(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    push_frame(out, Tag::ParameterStatus.byte(), &[name, &[0], value, &[0]]);
}

/// Appends a BackendKeyData.
pub fn push_backend_key_data(out: &mut Vec<u8>, pid: u32, secret: &[u8]) {
    push_frame(out, Tag::BackendKeyData.byte(), &[&pid.to_be_bytes(), secret]);
}

/// Appends an AuthenticationOk.
pub fn push_auth_ok(out: &mut Vec<u8>) {
    push_frame(out, Tag::Authentication.byte(), &[&method::OK.to_be_bytes()]);
}

/// Appends an AuthenticationCleartextPassword.
pub fn push_auth_cleartext(out: &mut Vec<u8>) {
    push_frame(out, Tag::Authentication.byte(), &[&method::CLEARTEXT_PASSWORD.to_be_bytes()]);
}

/// Appends an AuthenticationMD5Password.
pub fn push_auth_md5(out: &mut Vec<u8>, salt: [u8; 4]) {
    push_frame(out, Tag::Authentication.byte(), &[&method::MD5_PASSWORD.to_be_bytes(), &salt]);
}

/// Appends an AuthenticationSASL that offers `mechanisms`.
pub fn push_auth_sasl(out: &mut Vec<u8>, mechanisms: &[&str]) {
    let mut list = Vec::new();
    for mechanism in mechanisms {
        list.extend_from_slice(mechanism.as_bytes());
        list.push(0);
    }
    push_frame(out, Tag::Authentication.byte(), &[&method::SASL.to_be_bytes(), &list, &[0]]);
}

/// Appends an AuthenticationSASLContinue.
pub fn push_auth_sasl_continue(out: &mut Vec<u8>, step: &[u8]) {
    push_frame(out, Tag::Authentication.byte(), &[&method::SASL_CONTINUE.to_be_bytes(), step]);
}

/// Appends an AuthenticationSASLFinal.
pub fn push_auth_sasl_final(out: &mut Vec<u8>, step: &[u8]) {
    push_frame(out, Tag::Authentication.byte(), &[&method::SASL_FINAL.to_be_bytes(), step]);
}

/// Appends a CommandComplete. The tag may not contain a zero byte.
pub fn push_command_complete(out: &mut Vec<u8>, tag: &[u8]) {
    push_frame(out, Tag::CommandComplete.byte(), &[tag, &[0]]);
}

/// Appends an EmptyQueryResponse.
pub fn push_empty_query_response(out: &mut Vec<u8>) {
    push_frame(out, Tag::EmptyQueryResponse.byte(), &[]);
}

/// Appends one of the messages that are a tag alone, such as ParseComplete. For a tag whose
/// message has a body, nothing.
pub fn push_bare(out: &mut Vec<u8>, tag: Tag) {
    match tag {
        Tag::BindComplete
        | Tag::CloseComplete
        | Tag::CopyDone
        | Tag::EmptyQueryResponse
        | Tag::NoData
        | Tag::ParseComplete
        | Tag::PortalSuspended => push_frame(out, tag.byte(), &[]),
        _ => {}
    }
}

/// Appends a NegotiateProtocolVersion. The options may not contain a zero byte, which what was
/// decoded never does.
pub fn push_negotiate_protocol_version(out: &mut Vec<u8>, minor: u16, options: &[&[u8]]) {
    let mut list = Vec::new();
    let mut count = 0u32;
    for option in options {
        list.extend_from_slice(option);
        list.push(0);
        count = count.saturating_add(1);
    }
    let version = version_word(minor).to_be_bytes();
    push_frame(out, Tag::NegotiateProtocolVersion.byte(), &[&version, &count.to_be_bytes(), &list]);
}

/// What is wrong with the length of a secret that cancels, if anything is.
pub(crate) fn secret_fault(secret: &[u8]) -> Option<DecodeError> {
    let field = "secret";
    if secret.len() < SECRET_BYTES_MIN {
        Some(DecodeError::Truncated { field })
    } else if secret.len() > SECRET_BYTES_MAX {
        Some(DecodeError::TrailingBytes { bytes: secret.len() - SECRET_BYTES_MAX })
    } else {
        None
    }
}

/// One format for all, the number of columns, and a format for each.
fn check_copy_formats(mut fields: Body<'_>) -> Result<(), DecodeError> {
    fields.u8("copy format")?;
    let count = fields.u16("number of columns")?;
    fields.bytes(usize::from(count) * 2, "column formats")?;
    fields.end()
}

/// The documentation says that the minor version is sent; PostgreSQL sends both halves
/// (`SendNegotiateProtocolVersion`). Both readings are taken.
fn negotiated_minor(word: u32) -> Result<u16, DecodeError> {
    let [a, b, c, d] = word.to_be_bytes();
    match u16::from_be_bytes([a, b]) {
        0 | 3 => Ok(u16::from_be_bytes([c, d])),
        _ => Err(DecodeError::BadValue { field: "protocol version", value: word.into() }),
    }
}

fn version_word(minor: u16) -> u32 {
    (3 << 16) | u32::from(minor)
}

/// All of protocol 3.0, and the least of 3.2.
pub const SECRET_BYTES_MIN: usize = 4;
/// The most of protocol 3.2 (PostgreSQL 18 docs, "BackendKeyData").
pub const SECRET_BYTES_MAX: usize = 256;

/// Of a column after its name: table, number, type, size, modifier, format.
const COLUMN_BYTES: usize = 4 + 2 + 4 + 2 + 4 + 2;
