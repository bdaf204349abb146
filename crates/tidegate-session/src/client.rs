//! The machine of a client that has logged in: what it wants, and what of it goes to a server.
//!
//! Without a server it *gathers*: it collects the front of a batch until there is something that
//! a server can answer, and answers itself what needs none. With a server it *relays*: each
//! frame is counted as owed, looked at where it may leave state behind, and forwarded. Refused a
//! server, it answers in the server's stead and the client can go on.
//!
//! An idle client owns no buffer.

use tidegate_wire::backend::{self, Severity, TransactionStatus};
use tidegate_wire::catalogue::Complaint;
use tidegate_wire::frame::{FrameError, Front, front};
use tidegate_wire::frontend::Tag;

use crate::pieces::Pieces;
use crate::pin::PinReason;
use crate::server::ServerMachine;
use crate::sniff::Sniffer;
use crate::splitter::{FRAME_BYTES_MAX, Part, Splitter};

/// A batch that is larger than this asks for a server before it is complete; the rest is streamed.
/// Most batches are a few hundred bytes; ten thousand clients in mid-batch hold 160 MB at worst.
pub const GATHERED_BYTES_MAX: usize = 16 * 1024;

/// The client broke the protocol; it can't be followed any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientFault {
    /// A frame that PostgreSQL does not take.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A tag that the protocol does not have, in PostgreSQL's words.
    #[error("invalid frontend message type {0}")]
    UnknownTag(u8),
}

/// What the client needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gathered {
    /// A server, for what stands in the input from here on. Nothing of it was kept.
    Batch {
        /// Where in the input.
        from: usize,
    },
    /// A server, for what it holds; see [`ClientMachine::take_held`].
    Held,
    /// Nothing yet.
    More,
    /// It takes its leave.
    Terminate,
}

/// What became of input that was relayed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Relayed {
    /// The client takes its leave; nothing after it was forwarded.
    pub terminate: bool,
    /// Something was sent that stays in the session.
    pub pin: Option<PinReason>,
}

/// A client that has logged in.
#[derive(Debug, Default)]
pub struct ClientMachine {
    splitter: Splitter,
    watch: Watch,
    /// The front of a batch, or all of one that waits for a server.
    held: Vec<u8>,
    /// Up to where `held` was looked at: the beginning of a frame.
    scanned: usize,
    /// Bytes of a frame under way that are ignored.
    ignored: u64,
    /// An extended message was refused: everything up to the next Sync is ignored.
    skipping: bool,
}

/// What the body that is under way is looked at for.
#[derive(Debug, Default)]
enum Watch {
    #[default]
    Nothing,
    /// A Parse: its name, up to a NUL; whether there was any.
    Name(bool),
    Text(Sniffer),
}

enum Scan {
    Need { from: usize },
    Hold { from: usize, scanned: usize },
    Terminate,
}

impl ClientMachine {
    // --- Without a server. ---

    /// Consumes `input`, except for what [`Gathered::Batch`] names.
    ///
    /// # Errors
    /// [`ClientFault`]: the client must be told and closed.
    pub fn gather(&mut self, input: &[u8], reply: &mut Pieces) -> Result<Gathered, ClientFault> {
        if self.held.is_empty() {
            return Ok(match self.scan(input, 0, reply)? {
                Scan::Need { from } => Gathered::Batch { from },
                Scan::Hold { from, scanned } => {
                    self.held.extend_from_slice(input.get(from..).unwrap_or_default());
                    self.scanned = scanned - from;
                    Gathered::More
                }
                Scan::Terminate => Gathered::Terminate,
            });
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(input);
        let outcome = self.scan(&held, self.scanned, reply)?;
        Ok(match outcome {
            Scan::Need { from } => {
                held.drain(..from);
                self.held = held;
                Gathered::Held
            }
            Scan::Hold { from, scanned } => {
                if from < held.len() {
                    held.drain(..from);
                    self.held = held;
                    self.scanned = scanned - from;
                }
                Gathered::More
            }
            Scan::Terminate => Gathered::Terminate,
        })
    }

    /// Looks at the frames of `bytes` from `at` on; what is before `at` is the front of a batch.
    fn scan(
        &mut self,
        bytes: &[u8],
        mut at: usize,
        reply: &mut Pieces,
    ) -> Result<Scan, ClientFault> {
        let mut batch = (at > 0).then_some(0);
        loop {
            if self.ignored > 0 {
                let left = bytes.len().saturating_sub(at);
                let taken = usize::try_from(self.ignored).unwrap_or(usize::MAX).min(left);
                at += taken;
                self.ignored -= u64::try_from(taken).unwrap_or(self.ignored);
                if self.ignored > 0 {
                    return Ok(Scan::Hold { from: at, scanned: at });
                }
            }
            let is_long = batch.is_some_and(|from| bytes.len() - from >= GATHERED_BYTES_MAX);
            let front = front(bytes.get(at..).unwrap_or_default(), FRAME_BYTES_MAX)?;
            let Front::Frame { tag, frame_bytes } = front else {
                return Ok(match batch {
                    Some(from) if is_long => Scan::Need { from },
                    batch => Scan::Hold { from: batch.unwrap_or(at), scanned: at },
                });
            };
            let tag = known_tag(tag)?;
            let end = usize::try_from(frame_bytes).ok().and_then(|bytes| at.checked_add(bytes));
            let end = end.filter(|end| *end <= bytes.len());
            let needs_server = match (tag, batch) {
                (Tag::Terminate, _) => return Ok(Scan::Terminate),
                (Tag::Sync, None) => {
                    // Nothing was sent that it could end, or what was sent was refused.
                    if end.is_some() {
                        self.skipping = false;
                        reply.own(|out| backend::push_ready(out, TransactionStatus::Idle));
                    }
                    false
                }
                (Tag::Flush, None) => false,
                // Left over from a copy that has failed; PostgreSQL ignores them too.
                (Tag::CopyData | Tag::CopyDone | Tag::CopyFail, None) => {
                    self.ignored = frame_bytes;
                    continue;
                }
                _ if self.skipping => {
                    self.ignored = frame_bytes;
                    continue;
                }
                _ => {
                    batch = batch.or(Some(at));
                    let ends_batch =
                        matches!(tag, Tag::Query | Tag::FunctionCall | Tag::Sync | Tag::Flush);
                    ends_batch && end.is_some()
                }
            };
            match (batch, end) {
                (Some(from), _) if needs_server || is_long => return Ok(Scan::Need { from }),
                (_, Some(end)) => at = end,
                (batch, None) => {
                    return Ok(match batch {
                        Some(from) if bytes.len() - from >= GATHERED_BYTES_MAX => {
                            Scan::Need { from }
                        }
                        batch => Scan::Hold { from: batch.unwrap_or(at), scanned: at },
                    });
                }
            }
        }
    }

    /// Keeps a batch for which no server is free yet.
    pub fn hold(&mut self, batch: &[u8]) {
        self.held.extend_from_slice(batch);
    }

    /// The batch that waited, to be relayed.
    pub fn take_held(&mut self) -> Vec<u8> {
        self.scanned = 0;
        std::mem::take(&mut self.held)
    }

    /// No server: the batch that waits is answered with `complaint`, as PostgreSQL would answer
    /// one that fails, and the client can go on. True when it said goodbye within the batch.
    pub fn refuse(&mut self, complaint: &Complaint, reply: &mut Pieces) -> bool {
        let held = self.take_held();
        let mut at = 0;
        while let Ok(Front::Frame { tag, frame_bytes }) =
            front(held.get(at..).unwrap_or_default(), FRAME_BYTES_MAX)
        {
            match Tag::from_byte(tag) {
                Some(Tag::Terminate) => return true,
                Some(Tag::Sync) => {
                    self.skipping = false;
                    reply.own(|out| backend::push_ready(out, TransactionStatus::Idle));
                }
                _ if self.skipping => {}
                Some(Tag::Query | Tag::FunctionCall) => {
                    reply.own(|out| complaint.encode(Severity::Error, out));
                    reply.own(|out| backend::push_ready(out, TransactionStatus::Idle));
                }
                Some(Tag::Bind | Tag::Close | Tag::Describe | Tag::Execute | Tag::Parse) => {
                    reply.own(|out| complaint.encode(Severity::Error, out));
                    self.skipping = true;
                }
                _ => {}
            }
            let here = u64::try_from(held.len() - at).unwrap_or(u64::MAX);
            if frame_bytes > here {
                self.ignored = frame_bytes - here;
                return false;
            }
            at += usize::try_from(frame_bytes).unwrap_or(held.len());
        }
        self.held = held.get(at..).unwrap_or_default().to_vec(); // A cut header at most.
        false
    }

    // --- With a server. ---

    /// Consumes all of `input` and passes it on to the server. `watch`: whether to look for
    /// statements that leave something behind.
    ///
    /// # Errors
    /// [`ClientFault`]: what came before it has been passed on.
    pub fn relay(
        &mut self,
        input: &[u8],
        watch: bool,
        server: &mut ServerMachine,
        out: &mut Pieces,
    ) -> Result<Relayed, ClientFault> {
        let mut relayed = Relayed::default();
        let mut at = 0;
        while let Some(part) = self.splitter.next(input, &mut at)? {
            match part {
                Part::Header { tag, body_bytes: _, stashed, range } => {
                    let tag = known_tag(tag)?;
                    if tag == Tag::Terminate {
                        relayed.terminate = true;
                        return Ok(relayed);
                    }
                    server.sent(tag);
                    self.watch = match tag {
                        Tag::Parse if watch => Watch::Name(false),
                        Tag::Query if watch => Watch::Text(Sniffer::default()),
                        _ => Watch::Nothing,
                    };
                    out.own_bytes(self.splitter.stash(stashed));
                    out.forward(range);
                }
                Part::Body { range, last } => {
                    let bytes = input.get(range.clone()).unwrap_or_default();
                    let found = self.watch.look(bytes, last);
                    relayed.pin = relayed.pin.or(found);
                    out.forward(range);
                }
            }
        }
        Ok(relayed)
    }

    /// Whether the server has got the front of a message whose rest is still to come.
    pub fn is_mid_message(&self) -> bool {
        !self.splitter.is_between_frames()
    }

    /// The lease has ended. Bytes of a header that was cut are kept for the next batch.
    pub fn end_lease(&mut self) {
        // A batch that waits while the server is made ready is still unsent; it stays.
        self.held.append(&mut self.splitter.take_cut_header());
        self.scanned = 0;
    }
}

impl Watch {
    fn look(&mut self, bytes: &[u8], last: bool) -> Option<PinReason> {
        match self {
            Self::Nothing => None,
            Self::Name(is_named) => {
                let end = bytes.iter().position(|byte| *byte == 0);
                let is_named = *is_named || end != Some(0);
                let Some(end) = end else {
                    *self = Self::Name(is_named);
                    return None;
                };
                if is_named {
                    *self = Self::Nothing;
                    return Some(PinReason::Prepared);
                }
                *self = Self::Text(Sniffer::default());
                self.look(bytes.get(end + 1..).unwrap_or_default(), last)
            }
            Self::Text(sniffer) => {
                sniffer.feed(bytes, last);
                sniffer.found()
            }
        }
    }
}

fn known_tag(tag: u8) -> Result<Tag, ClientFault> {
    // A password message belongs to the login; afterwards it is as unknown as any other.
    Tag::from_byte(tag).filter(|tag| *tag != Tag::Password).ok_or(ClientFault::UnknownTag(tag))
}
