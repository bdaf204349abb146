//! Frontend messages in a row, for clients that say exactly what a test wants.

use tidegate_wire::frontend::{self, Message, Target};

/// Messages in the order in which they were added.
#[derive(Debug, Clone, Default)]
pub struct Batch(Vec<u8>);

/// How a value or a column is written on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As text.
    Text,
    /// As PostgreSQL's `typsend` writes it.
    Binary,
}

impl Batch {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes of all messages.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds a message.
    ///
    /// # Panics
    /// When it can't be encoded.
    #[must_use]
    pub fn message(mut self, message: &Message<'_>) -> Self {
        message.encode(&mut self.0).expect("the message can be encoded");
        self
    }

    /// Adds bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds a Query.
    #[must_use]
    pub fn query(self, sql: &str) -> Self {
        self.message(&Message::Query(sql.as_bytes()))
    }

    /// Adds a Parse that leaves all types to PostgreSQL.
    #[must_use]
    pub fn parse(self, name: &str, sql: &str) -> Self {
        let (name, text) = (name.as_bytes(), sql.as_bytes());
        self.message(&Message::Parse { name, text, parameter_types: &[] })
    }

    /// Adds a Bind of the unnamed portal: all values and all columns in one format.
    ///
    /// # Panics
    /// When there are too many values, or one is too long.
    #[must_use]
    pub fn bind(self, statement: &str, values: &[Option<&[u8]>], format: Format) -> Self {
        self.bind_portal("", statement, values, format)
    }

    /// Adds a Bind of a portal with a name.
    ///
    /// # Panics
    /// As [`Batch::bind`].
    #[must_use]
    pub fn bind_portal(
        self,
        portal: &str,
        statement: &str,
        values: &[Option<&[u8]>],
        format: Format,
    ) -> Self {
        let code: u16 = if format == Format::Binary { 1 } else { 0 };
        let mut rest = Vec::new();
        rest.extend_from_slice(&1_u16.to_be_bytes());
        rest.extend_from_slice(&code.to_be_bytes());
        let count = u16::try_from(values.len()).expect("few values");
        rest.extend_from_slice(&count.to_be_bytes());
        for value in values {
            let length = value.map_or(-1, |value| i32::try_from(value.len()).expect("it fits"));
            rest.extend_from_slice(&length.to_be_bytes());
            rest.extend_from_slice(value.unwrap_or_default());
        }
        rest.extend_from_slice(&1_u16.to_be_bytes());
        rest.extend_from_slice(&code.to_be_bytes());
        let (portal, statement) = (portal.as_bytes(), statement.as_bytes());
        self.message(&Message::Bind { portal, statement, rest: &rest })
    }

    /// Adds a Describe of the unnamed portal.
    #[must_use]
    pub fn describe(self) -> Self {
        self.message(&Message::Describe { target: Target::Portal, name: b"" })
    }

    /// Adds a Describe of a statement.
    #[must_use]
    pub fn describe_statement(self, name: &str) -> Self {
        self.message(&Message::Describe { target: Target::Statement, name: name.as_bytes() })
    }

    /// Adds an Execute of the unnamed portal; all rows when `rows_max` is zero.
    #[must_use]
    pub fn execute(self, rows_max: i32) -> Self {
        self.message(&Message::Execute { portal: b"", rows_max })
    }

    /// Adds a Close of a statement.
    #[must_use]
    pub fn close_statement(self, name: &str) -> Self {
        self.message(&Message::Close { target: Target::Statement, name: name.as_bytes() })
    }

    /// Adds Parse, Bind, Describe, and Execute of a statement without a name.
    ///
    /// # Panics
    /// As [`Batch::bind`].
    #[must_use]
    pub fn extended(self, sql: &str, values: &[Option<&[u8]>], format: Format) -> Self {
        self.parse("", sql).bind("", values, format).describe().execute(0)
    }

    /// Adds a piece of a copy.
    #[must_use]
    pub fn copy_data(self, bytes: &[u8]) -> Self {
        self.message(&Message::CopyData(bytes))
    }

    /// Adds the end of a copy.
    #[must_use]
    pub fn copy_done(self) -> Self {
        self.message(&Message::CopyDone)
    }

    /// Adds the failure of a copy.
    #[must_use]
    pub fn copy_fail(self, reason: &str) -> Self {
        self.message(&Message::CopyFail(reason.as_bytes()))
    }

    /// Adds a Flush.
    #[must_use]
    pub fn flush(mut self) -> Self {
        frontend::push_flush(&mut self.0);
        self
    }

    /// Adds a Sync.
    #[must_use]
    pub fn sync(mut self) -> Self {
        frontend::push_sync(&mut self.0);
        self
    }

    /// Adds a Terminate.
    #[must_use]
    pub fn terminate(mut self) -> Self {
        frontend::push_terminate(&mut self.0);
        self
    }
}
