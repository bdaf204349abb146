//! The fields inside a message: reading them from a body, writing them into a frame.
//!
//! Shared by [`crate::frontend`], [`crate::backend`], and [`crate::startup`]. Reading never
//! copies; every failure names the field.

use std::fmt;

/// A body that is not what its tag promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not a value that this field can have.
    #[error("{value} is no valid {field}")]
    BadValue {
        /// The field.
        field: &'static str,
        /// What was sent.
        value: i64,
    },
    /// Bytes are left after the last field.
    #[error("{bytes} bytes are left after the last field")]
    TrailingBytes {
        /// How many.
        bytes: usize,
    },
    /// The body ends inside or before a field.
    #[error("the message ends before the end of its {field}")]
    Truncated {
        /// The field.
        field: &'static str,
    },
}

/// A message that cannot be put on the wire. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Not a value that this field can have.
    #[error("the {field} has no valid value")]
    BadValue {
        /// The field.
        field: &'static str,
    },
    /// Longer than a length field can say.
    #[error("a message of {bytes} bytes does not fit a frame")]
    TooLong {
        /// The length of what would have been the frame.
        bytes: usize,
    },
    /// A zero byte inside a string would end it.
    #[error("the {field} contains a zero byte")]
    ZeroByte {
        /// The field.
        field: &'static str,
    },
}

/// Zero-terminated strings, one after the other, already checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strings<'a> {
    bytes: &'a [u8],
}

impl<'a> Strings<'a> {
    /// The strings without their terminators.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut body = Body::new(self.bytes);
        std::iter::from_fn(move || body.string("string").ok())
    }

    /// Whether `wanted` is among them.
    pub fn contains(&self, wanted: &[u8]) -> bool {
        self.iter().any(|string| string == wanted)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.bytes.iter().filter(|b| **b == 0).count()
    }

    /// The strings with their terminators.
    pub(crate) fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// What is left of a body.
#[derive(Debug, Clone)]
pub(crate) struct Body<'a> {
    rest: &'a [u8],
}

impl<'a> Body<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        let (array, rest) =
            self.rest.split_first_chunk().ok_or(DecodeError::Truncated { field })?;
        self.rest = rest;
        Ok(*array)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array(field).map(|[b]| b)
    }

    /// Counts go up to 65535: PostgreSQL reads them unsigned (`pq_getmsgint(msg, 2)`).
    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, DecodeError> {
        self.array(field).map(i32::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    pub(crate) fn bytes(
        &mut self,
        count: usize,
        field: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) =
            self.rest.split_at_checked(count).ok_or(DecodeError::Truncated { field })?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A zero-terminated string, without the terminator.
    pub(crate) fn string(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let end = self.rest.iter().position(|b| *b == 0).ok_or(DecodeError::Truncated { field })?;
        let string = self.bytes(end, field)?;
        self.u8(field)?;
        Ok(string)
    }

    /// A value behind its length, of which -1 means NULL.
    pub(crate) fn value(&mut self, field: &'static str) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.i32(field)? {
            -1 => Ok(None),
            length => {
                let bytes = usize::try_from(length)
                    .map_err(|_| DecodeError::BadValue { field, value: length.into() })?;
                self.bytes(bytes, field).map(Some)
            }
        }
    }

    /// `count` strings that end the body.
    pub(crate) fn strings(
        self,
        count: u32,
        field: &'static str,
    ) -> Result<Strings<'a>, DecodeError> {
        let bytes = self.rest;
        let mut body = self;
        for _ in 0..count {
            body.string(field)?;
        }
        body.end()?;
        Ok(Strings { bytes })
    }

    /// Strings up to an empty one that ends the body.
    pub(crate) fn strings_to_empty(self, field: &'static str) -> Result<Strings<'a>, DecodeError> {
        let mut body = self.clone();
        let mut used = 0;
        loop {
            let string = body.string(field)?;
            if string.is_empty() {
                body.end()?;
                let bytes = self.rest.get(..used).unwrap_or_default();
                return Ok(Strings { bytes });
            }
            used += string.len() + 1;
        }
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::TrailingBytes { bytes: self.rest.len() })
        }
    }
}

/// Writes one frame; `fill` writes its body. When it fails, `out` is as it was.
pub(crate) fn frame(
    out: &mut Vec<u8>,
    tag: u8,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.push(tag);
    let written = length_prefixed(out, fill);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Writes a length that counts itself, and what `fill` writes. When it fails, `out` is as it was.
pub(crate) fn length_prefixed(
    out: &mut Vec<u8>,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let result = fill(out).and_then(|()| {
        let bytes = out.len() - start;
        // PostgreSQL reads the length signed.
        let length = i32::try_from(bytes).map_err(|_| EncodeError::TooLong { bytes })?;
        if let Some(place) = out.get_mut(start..start + 4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    });
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Writes one frame whose fields are known to be valid.
///
/// Should the body be longer than a frame can say, which takes 2 GiB in memory, nothing is
/// written: better no message than half of one.
pub(crate) fn push_frame(out: &mut Vec<u8>, tag: u8, fields: &[&[u8]]) {
    let _too_long = frame(out, tag, |out| {
        for field in fields {
            out.extend_from_slice(field);
        }
        Ok(())
    });
}

/// Shows a message as its tag and its body, for tests and logs.
pub(crate) fn debug_frame(
    f: &mut fmt::Formatter<'_>,
    tag: &dyn fmt::Debug,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> fmt::Result {
    let mut out = Vec::new();
    match encode(&mut out) {
        Ok(()) => {
            let body = out.get(HEADER_BYTES..).unwrap_or_default();
            write!(f, "{tag:?}(\"{}\")", body.escape_ascii())
        }
        Err(error) => write!(f, "{tag:?}({error})"),
    }
}

/// Tag and length, as in [`crate::frame`], which stands above.
const HEADER_BYTES: usize = 5;

/// Writes a zero-terminated string.
pub(crate) fn put_string(
    out: &mut Vec<u8>,
    string: &[u8],
    field: &'static str,
) -> Result<(), EncodeError> {
    if string.contains(&0) {
        return Err(EncodeError::ZeroByte { field });
    }
    out.extend_from_slice(string);
    out.push(0);
    Ok(())
}
