//! What is to be written to one peer: ranges of the bytes just read, and bytes of our own.
//!
//! Forwarding copies nothing: a machine names the range, the worker hands the kernel a pointer
//! into its read buffer. Neighbouring ranges become one.

use std::ops::Range;

/// One stretch of output.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Input(Range<usize>),
    Own(Range<usize>),
}

/// Output for one peer, in order. Cleared and used again; after the first messages it allocates
/// nothing.
#[derive(Debug, Default)]
pub struct Pieces {
    list: Vec<Piece>,
    own: Vec<u8>,
}

impl Pieces {
    /// Forwards this range of the input.
    pub fn forward(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        if let Some(Piece::Input(last)) = self.list.last_mut()
            && last.end == range.start
        {
            last.end = range.end;
            return;
        }
        self.list.push(Piece::Input(range));
    }

    /// Adds bytes of our own: whatever `write` appends.
    pub fn own(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.own.len();
        write(&mut self.own);
        let end = self.own.len();
        if start == end {
            return;
        }
        if let Some(Piece::Own(last)) = self.list.last_mut()
            && last.end == start
        {
            last.end = end;
            return;
        }
        self.list.push(Piece::Own(start..end));
    }

    /// Adds these bytes as our own.
    pub fn own_bytes(&mut self, bytes: &[u8]) {
        self.own(|out| out.extend_from_slice(bytes));
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many stretches there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.list.clear();
        self.own.clear();
    }

    /// The stretches in order. `input` is the buffer that the machine was given.
    pub fn slices<'a>(&'a self, input: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.list.iter().map(move |piece| {
            let (from, range) = match piece {
                Piece::Input(range) => (input, range),
                Piece::Own(range) => (self.own.as_slice(), range),
            };
            from.get(range.clone()).unwrap_or_default()
        })
    }

    /// Everything at the front of `out`, where it fits.
    pub fn copy_to<'a>(&self, input: &[u8], out: &'a mut [u8]) -> Option<&'a [u8]> {
        let mut filled = 0;
        for bytes in self.slices(input) {
            let end = filled + bytes.len();
            out.get_mut(filled..end)?.copy_from_slice(bytes);
            filled = end;
        }
        out.get(..filled)
    }

    /// Everything as one string of bytes, for tests and for what must wait.
    pub fn to_vec(&self, input: &[u8]) -> Vec<u8> {
        self.slices(input).flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_one_and_order_is_kept() {
        let mut pieces = Pieces::default();
        pieces.forward(0..2);
        pieces.forward(2..3);
        pieces.forward(3..3);
        pieces.own_bytes(b"-");
        pieces.own_bytes(b"+");
        pieces.forward(4..6);
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces.to_vec(b"abcdef"), b"abc-+ef");
        assert_eq!(pieces.copy_to(b"abcdef", &mut [0; 7]), Some(&b"abc-+ef"[..]));
        assert_eq!(pieces.copy_to(b"abcdef", &mut [0; 6]), None);
        pieces.clear();
        assert!(pieces.is_empty());
    }
}
