//! Input N of a seed: real messages, then broken.

use std::fs;
use std::path::{Path, PathBuf};

use crate::messages::{MESSAGES, framed};
use crate::random::Random;

pub(crate) struct Inputs {
    seed: u64,
    /// Inputs that found something once, by name.
    kept: Vec<Vec<u8>>,
}

impl Inputs {
    /// `folder` holds what was kept; it need not exist.
    pub(crate) fn new(seed: u64, folder: &Path) -> Result<Self, String> {
        let mut files: Vec<_> =
            fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path()).collect();
        files.sort();
        let read =
            |file: PathBuf| fs::read(&file).map_err(|error| format!("{}: {error}", file.display()));
        Ok(Self { seed, kept: files.into_iter().map(read).collect::<Result<_, _>>()? })
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// First what was kept, as it is; from then on everything is made.
    pub(crate) fn nth(&self, index: u64) -> Vec<u8> {
        let kept = usize::try_from(index).ok().and_then(|index| self.kept.get(index));
        kept.cloned().unwrap_or_else(|| self.make(&mut Random::new(self.seed, index)))
    }

    fn make(&self, random: &mut Random) -> Vec<u8> {
        let mut input = match random.below(16) {
            0 => (0..random.below(64)).map(|_| random.byte()).collect(),
            1 => random.pick(&self.kept).cloned().unwrap_or_default(),
            // Decoders of one message are given a body without its header.
            2..6 => random.pick(MESSAGES).map(|(_, body)| body.to_vec()).unwrap_or_default(),
            _ => self.conversation(random),
        };
        for _ in 0..random.below(BREAKS_MAX) {
            break_once(&mut input, random);
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    fn conversation(&self, random: &mut Random) -> Vec<u8> {
        let mut input = Vec::new();
        if random.below(4) == 0 {
            input.push(random.byte()); // Targets may take their first byte for something else.
        }
        for _ in 0..=random.below(MESSAGES_MAX) {
            input.extend(random.pick(MESSAGES).copied().map(framed).unwrap_or_default());
        }
        input
    }
}

fn break_once(input: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(input.len());
    match random.below(9) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = random.byte();
            }
        }
        2 => input.truncate(at),
        3 => {
            let end = (at + random.below(16)).min(input.len());
            input.drain(at..end);
        }
        4 => {
            let end = (at + random.below(32)).min(input.len());
            let again = input.get(at..end).unwrap_or_default().to_vec();
            input.splice(at..at, again);
        }
        5 => {
            let inserted: Vec<u8> = (0..random.below(8)).map(|_| random.byte()).collect();
            input.splice(at..at, inserted);
        }
        6 => {
            let count = random.pick(COUNTS).copied().unwrap_or_default();
            overwrite(input, at, &count.to_be_bytes());
        }
        7 => {
            let length = random.pick(LENGTHS).copied().unwrap_or_default();
            overwrite(input, at, &length.to_be_bytes());
        }
        _ => {
            // The length of a message, by a little or by a lot.
            let starts = frames(input);
            let Some(&(start, length)) = random.pick(&starts) else { return };
            let wrong = match random.below(4) {
                0 => length.wrapping_add(1),
                1 => length.wrapping_sub(1),
                2 => random.pick(LENGTHS).copied().unwrap_or_default(),
                _ => length.wrapping_add(u32::from(random.byte())),
            };
            overwrite(input, start + 1, &wrong.to_be_bytes());
        }
    }
}

fn overwrite(input: &mut [u8], at: usize, bytes: &[u8]) {
    for (old, new) in input.iter_mut().skip(at).zip(bytes) {
        *old = *new;
    }
}

/// Where tagged frames start, and their lengths, as far as they can be followed.
fn frames(input: &[u8]) -> Vec<(usize, u32)> {
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(&[_, a, b, c, d]) = input.get(start..).and_then(|rest| rest.first_chunk()) {
        let length = u32::from_be_bytes([a, b, c, d]);
        found.push((start, length));
        match usize::try_from(length) {
            Ok(length @ 4..=INPUT_BYTES_MAX) => start += length + 1,
            _ => break,
        }
    }
    found
}

/// Around what fits and does not fit into signed and unsigned counts.
const COUNTS: &[u16] = &[0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff];
const LENGTHS: &[u32] = &[
    0,
    1,
    3,
    4,
    5,
    0xffff,
    0x1_0000,
    0x3fff_ffff,
    0x7fff_fffe,
    0x7fff_ffff,
    0x8000_0000,
    u32::MAX,
];
const BREAKS_MAX: usize = 8;
const MESSAGES_MAX: usize = 8;
/// Long enough for every buffer that has a small limit, short enough to be fast.
const INPUT_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_another_makes_others() {
        let inputs = |seed| Inputs::new(seed, Path::new("/nowhere")).unwrap();
        let first = |seed| (0..200).map(|index| inputs(seed).nth(index)).collect::<Vec<_>>();
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
    }

    #[test]
    fn inputs_stay_within_their_limit() {
        let inputs = Inputs::new(3, Path::new("/nowhere")).unwrap();
        assert!((0..20_000).all(|index| inputs.nth(index).len() <= INPUT_BYTES_MAX));
    }

    #[test]
    fn what_was_kept_comes_first_and_unchanged() {
        let inputs = Inputs { seed: 1, kept: vec![b"one".to_vec(), b"two".to_vec()] };
        assert_eq!((inputs.nth(0), inputs.nth(1)), (b"one".to_vec(), b"two".to_vec()));
    }

    #[test]
    fn frames_are_followed_as_far_as_they_go() {
        assert_eq!(frames(b"Z\0\0\0\x05IS\0\0\0\x04X\0\0"), [(0, 5), (6, 4)]);
        assert_eq!(frames(b"Z\0\0\0\x01IS\0\0\0\x04"), [(0, 1)]);
    }
}
