//! Messages in what has arrived so far.

use tidegate_wire::frame::{Front, HEADER_BYTES, front};

/// More than any message here has.
const FRAME_BYTES_MAX: u64 = 1 << 30;

/// The tag and body of the message at the front, once it is whole.
pub(crate) fn first(input: &[u8]) -> Option<(u8, &[u8])> {
    let Ok(Front::Frame { tag, frame_bytes }) = front(input, FRAME_BYTES_MAX) else { return None };
    let frame = input.get(..usize::try_from(frame_bytes).ok()?)?;
    Some((tag, &frame[HEADER_BYTES..]))
}

/// Takes it.
pub(crate) fn take_first(input: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (tag, body) = first(input)?;
    let body = body.to_vec();
    input.drain(..HEADER_BYTES + body.len());
    Some((tag, body))
}
