//! Parcels: values packed into bytes, for another process of Tidegate to unpack.
//!
//! Numbers are eight bytes in network order; bytes and texts have their length in front. There are no
//! names and no versions in it: both sides must agree on the order, and say beforehand whether they
//! do.

/// The bytes are not what was expected of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the parcel is malformed")]
pub struct Malformed;

/// Packs values, one behind the other.
#[derive(Debug, Default)]
pub struct Packer(Vec<u8>);

impl Packer {
    /// A number.
    pub fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    /// Yes or no.
    pub fn flag(&mut self, flag: bool) {
        self.0.push(u8::from(flag));
    }

    /// Bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// Bytes, or that there are none.
    pub fn maybe(&mut self, bytes: Option<&[u8]>) {
        self.flag(bytes.is_some());
        if let Some(bytes) = bytes {
            self.bytes(bytes);
        }
    }

    /// How many things follow.
    pub fn count(&mut self, count: usize) {
        self.number(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// All that was packed.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Unpacks values in the order in which they were packed.
#[derive(Debug)]
pub struct Unpacker<'a>(&'a [u8]);

impl<'a> Unpacker<'a> {
    /// A parcel that was not looked at yet.
    pub fn new(parcel: &'a [u8]) -> Self {
        Self(parcel)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number.
    ///
    /// # Errors
    /// There is none.
    pub fn number(&mut self) -> Result<u64, Malformed> {
        let (number, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*number))
    }

    /// A number that has a smaller type.
    ///
    /// # Errors
    /// There is none, or it is too large.
    pub fn small<N: TryFrom<u64>>(&mut self) -> Result<N, Malformed> {
        N::try_from(self.number()?).map_err(|_| Malformed)
    }

    /// Yes or no.
    ///
    /// # Errors
    /// It is neither.
    pub fn flag(&mut self) -> Result<bool, Malformed> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Malformed),
        }
    }

    /// Bytes.
    ///
    /// # Errors
    /// There are fewer than it says.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.small()?;
        self.take(count)
    }

    /// A text.
    ///
    /// # Errors
    /// There are no such bytes, or they are not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    /// Bytes, or that there are none.
    ///
    /// # Errors
    /// It is neither.
    pub fn maybe(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        if self.flag()? { self.bytes().map(Some) } else { Ok(None) }
    }

    /// So many things follow; each takes at least a byte, so a wrong number is found at once.
    ///
    /// # Errors
    /// There can't be so many.
    pub fn count(&mut self) -> Result<usize, Malformed> {
        let count = self.small()?;
        if count > self.0.len() { Err(Malformed) } else { Ok(count) }
    }

    /// Everything has been unpacked.
    ///
    /// # Errors
    /// Something is left.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_is_unpacked() {
        let mut packer = Packer::default();
        packer.number(u64::MAX);
        packer.flag(true);
        packer.bytes(b"abc");
        packer.maybe(None);
        packer.maybe(Some(b""));
        packer.count(2);
        packer.number(7);
        let parcel = packer.finish();
        let mut unpacker = Unpacker::new(&parcel);
        assert_eq!(unpacker.number(), Ok(u64::MAX));
        assert_eq!(unpacker.flag(), Ok(true));
        assert_eq!(unpacker.text(), Ok("abc"));
        assert_eq!(unpacker.maybe(), Ok(None));
        assert_eq!(unpacker.maybe(), Ok(Some(&b""[..])));
        assert_eq!(unpacker.count(), Ok(2));
        assert_eq!(unpacker.small::<u8>(), Ok(7));
        assert_eq!(unpacker.finish(), Ok(()));
    }

    #[test]
    fn what_is_cut_or_wrong_is_malformed() {
        let mut packer = Packer::default();
        packer.bytes(b"abcdef");
        let parcel = packer.finish();
        for end in 0..parcel.len() {
            assert_eq!(Unpacker::new(&parcel[..end]).bytes(), Err(Malformed), "cut at {end}");
        }
        assert_eq!(Unpacker::new(&[2]).flag(), Err(Malformed));
        assert_eq!(Unpacker::new(&u64::MAX.to_be_bytes()).bytes(), Err(Malformed));
        assert_eq!(Unpacker::new(&300_u64.to_be_bytes()).small::<u8>(), Err(Malformed));
        assert_eq!(Unpacker::new(&2_u64.to_be_bytes()).count(), Err(Malformed));
        assert_eq!(Unpacker::new(b"x").finish(), Err(Malformed));
    }
}
