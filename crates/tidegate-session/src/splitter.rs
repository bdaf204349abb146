//! The splitter: finds frames in a stream that arrives in pieces of any size.
//!
//! It keeps five bytes at most: a header that was cut by the end of the input. Bodies are never
//! kept; whoever needs one that was cut collects it.

use std::ops::Range;

use tidegate_wire::frame::{FrameError, Front, HEADER_BYTES, front};

/// PostgreSQL takes no message of a gigabyte or more (`PQ_LARGE_MESSAGE_LIMIT`, PostgreSQL 15,
/// `libpq.h`: the largest allocation, 0x3fffffff). Its own messages obey the same allocator.
pub const FRAME_BYTES_MAX: u64 = 0x3fff_ffff + 1;

/// A stretch of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A header is complete. Its last bytes are `range` of the input; the `stashed` first ones
    /// came earlier and are in [`Splitter::stash`] until the next call.
    Header {
        /// The tag byte.
        tag: u8,
        /// How many bytes follow.
        body_bytes: u64,
        /// Bytes of the header that came with earlier input.
        stashed: usize,
        /// The bytes of the header in this input.
        range: Range<usize>,
    },
    /// Some of a body.
    Body {
        /// Which bytes of the input.
        range: Range<usize>,
        /// Whether they end the frame.
        last: bool,
    },
}

/// Where in a stream of frames we are.
#[derive(Debug, Default)]
pub struct Splitter {
    head: [u8; HEADER_BYTES],
    head_len: u8,
    rest: u64,
}

impl Splitter {
    /// The next stretch of `input` from `at` on, which it moves; `None` when the input is used up.
    ///
    /// # Errors
    /// A length that no PostgreSQL message has. The stream can't be followed any further.
    pub fn next(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Part>, FrameError> {
        let left = input.get(*at..).unwrap_or_default();
        if left.is_empty() {
            return Ok(None);
        }
        if self.rest > 0 {
            let taken = usize::try_from(self.rest).unwrap_or(usize::MAX).min(left.len());
            let range = *at..*at + taken;
            *at = range.end;
            self.rest -= u64::try_from(taken).unwrap_or(self.rest);
            return Ok(Some(Part::Body { range, last: self.rest == 0 }));
        }
        let stashed = usize::from(self.head_len);
        if stashed == 0
            && let Front::Frame { tag, frame_bytes } = front(left, FRAME_BYTES_MAX)?
        {
            let range = *at..*at + HEADER_BYTES;
            *at = range.end;
            self.rest = frame_bytes - HEADER_BYTES_U64;
            return Ok(Some(Part::Header { tag, body_bytes: self.rest, stashed, range }));
        }
        let mut taken = 0;
        for (to, from) in self.head.iter_mut().skip(stashed).zip(left) {
            *to = *from;
            taken += 1;
            self.head_len += 1;
        }
        let range = *at..*at + taken;
        *at = range.end;
        if usize::from(self.head_len) < HEADER_BYTES {
            return Ok(None);
        }
        self.head_len = 0;
        match front(&self.head, FRAME_BYTES_MAX)? {
            Front::Frame { tag, frame_bytes } => {
                self.rest = frame_bytes - HEADER_BYTES_U64;
                Ok(Some(Part::Header { tag, body_bytes: self.rest, stashed, range }))
            }
            Front::Partial => Ok(None), // Five bytes are never too few.
        }
    }

    /// The whole body of the frame whose header was just returned, when the input has it.
    pub fn whole_body(&mut self, input: &[u8], at: &mut usize) -> Option<Range<usize>> {
        let bytes = usize::try_from(self.rest).ok()?;
        let end = at.checked_add(bytes)?;
        if end > input.len() {
            return None;
        }
        let range = *at..end;
        *at = end;
        self.rest = 0;
        Some(range)
    }

    /// The first `stashed` bytes of the header that was just returned.
    pub fn stash(&self, stashed: usize) -> &[u8] {
        self.head.get(..stashed).unwrap_or_default()
    }

    /// Whether the next byte begins a frame or continues a header of which nothing was passed on.
    pub fn is_between_frames(&self) -> bool {
        self.rest == 0
    }

    /// Whether the next byte begins a frame.
    pub fn is_at_start_of_frame(&self) -> bool {
        self.rest == 0 && self.head_len == 0
    }

    /// Takes back the bytes of a header that was cut, of which nothing was passed on.
    pub fn take_cut_header(&mut self) -> Vec<u8> {
        let head = self.stash(usize::from(self.head_len)).to_vec();
        self.head_len = 0;
        head
    }
}

const HEADER_BYTES_U64: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits `stream` in two at `cut` and puts what comes out together again.
    fn reassembled(stream: &[u8], cut: usize) -> (Vec<u8>, Vec<u8>) {
        let mut splitter = Splitter::default();
        let (mut bytes, mut tags) = (Vec::new(), Vec::new());
        for input in [&stream[..cut], &stream[cut..]] {
            let mut at = 0;
            while let Some(part) = splitter.next(input, &mut at).expect("valid frames") {
                match part {
                    Part::Header { tag, stashed, range, .. } => {
                        tags.push(tag);
                        bytes.extend_from_slice(splitter.stash(stashed));
                        bytes.extend_from_slice(&input[range]);
                    }
                    Part::Body { range, .. } => bytes.extend_from_slice(&input[range]),
                }
            }
            assert_eq!(at, input.len(), "everything is consumed");
        }
        (bytes, tags)
    }

    #[test]
    fn a_cut_anywhere_changes_nothing() {
        let stream = b"Q\0\0\0\x08abcdS\0\0\0\x04d\0\0\0\x05x";
        for cut in 0..=stream.len() {
            let (bytes, tags) = reassembled(stream, cut);
            assert_eq!(bytes, stream, "cut at {cut}");
            assert_eq!(tags, b"QSd", "cut at {cut}");
        }
    }

    #[test]
    fn a_length_below_four_is_an_error_also_when_it_comes_in_pieces() {
        let mut splitter = Splitter::default();
        let mut at = 0;
        assert_eq!(splitter.next(b"Q\0\0", &mut at), Ok(None));
        at = 0;
        assert!(splitter.next(b"\0\x03", &mut at).is_err());
    }
}
