//! What a script comes down to: bytes to send and answers to read, one after the other.

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// Where the script says so.
    pub(crate) line: usize,
    /// Which connection.
    pub(crate) session: String,
    pub(crate) act: Act,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// Sends these bytes in one write.
    Send(Vec<u8>),
    /// Waits until one more statement than before waits for a lock.
    UntilBlocked,
    /// Reads the answer.
    Read(Until),
}

/// Where an answer ends. The end of the connection always ends it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// After a message with this tag.
    Tag(u8),
    /// After so many messages.
    Count(usize),
    /// Only with the connection.
    End,
}
