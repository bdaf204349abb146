//! Frames: where one PostgreSQL message ends and the next begins.
//!
//! A frame is a tag byte, a big-endian 32-bit length that counts itself but not the tag, and a
//! body (PostgreSQL docs, "Message Formats"). Bodies stay undecoded here: most are only passed
//! on, and [`crate::backend`] and [`crate::frontend`] decode the few that steer us.
//!
//! Invariant: no input makes this module panic or allocate.
//! Cost: five bytes read per message.

/// What stands at the front of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// Fewer than [`HEADER_BYTES`] bytes are there.
    Partial,
    /// A header. The body may still be on its way.
    Frame {
        /// The tag byte; its meaning depends on the direction.
        tag: u8,
        /// The whole frame: tag, length, and body.
        frame_bytes: u64,
    },
}

/// A header that cannot be followed. The stream ends here: nobody knows where the next frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length does not even count itself.
    #[error("a message with tag 0x{tag:02x} states a length of {length}, less than {LENGTH_MIN}")]
    LengthTooSmall {
        /// The tag byte.
        tag: u8,
        /// The length as sent.
        length: u32,
    },
    /// The frame is longer than the caller accepts.
    #[error(
        "a message with tag 0x{tag:02x} of {frame_bytes} bytes exceeds the limit of {frame_bytes_max}"
    )]
    TooLarge {
        /// The tag byte.
        tag: u8,
        /// The whole frame: tag, length, and body.
        frame_bytes: u64,
        /// The limit.
        frame_bytes_max: u64,
    },
}

/// Looks at the front of `buf` and consumes nothing.
///
/// # Errors
/// A length that no message has, or that is above `frame_bytes_max`. A negative length of the
/// sender reads as one above 2 GiB here.
pub fn front(buf: &[u8], frame_bytes_max: u64) -> Result<Front, FrameError> {
    let Some((&[tag, a, b, c, d], _)) = buf.split_first_chunk() else {
        return Ok(Front::Partial);
    };
    let length = u32::from_be_bytes([a, b, c, d]);
    if length < LENGTH_MIN {
        return Err(FrameError::LengthTooSmall { tag, length });
    }
    let frame_bytes = u64::from(length) + 1;
    if frame_bytes > frame_bytes_max {
        return Err(FrameError::TooLarge { tag, frame_bytes, frame_bytes_max });
    }
    Ok(Front::Frame { tag, frame_bytes })
}

/// Tag and length.
pub const HEADER_BYTES: usize = 5;

/// The length counts itself.
const LENGTH_MIN: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_partial_until_its_fifth_byte() {
        let sync = [b'S', 0, 0, 0, 4];
        for cut in 0..sync.len() {
            assert_eq!(front(&sync[..cut], 100), Ok(Front::Partial));
        }
        assert_eq!(front(&sync, 100), Ok(Front::Frame { tag: b'S', frame_bytes: 5 }));
    }

    #[test]
    fn a_length_below_its_own_size_is_refused() {
        let refused = Err(FrameError::LengthTooSmall { tag: b'S', length: 3 });
        assert_eq!(front(&[b'S', 0, 0, 0, 3], 100), refused);
    }

    #[test]
    fn the_limit_is_the_last_size_that_passes() {
        let at = [b'd', 0, 0, 0, 99];
        assert_eq!(front(&at, 100), Ok(Front::Frame { tag: b'd', frame_bytes: 100 }));
        let above = [b'd', 0, 0, 0, 100];
        let refused =
            Err(FrameError::TooLarge { tag: b'd', frame_bytes: 101, frame_bytes_max: 100 });
        assert_eq!(front(&above, 100), refused);
    }

    #[test]
    fn the_longest_length_does_not_overflow() {
        let huge = Front::Frame { tag: b'd', frame_bytes: 0x1_0000_0000 };
        assert_eq!(front(&[b'd', 255, 255, 255, 255], u64::MAX), Ok(huge));
    }
}
