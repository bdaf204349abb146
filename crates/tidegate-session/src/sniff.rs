//! The prefilter: which statements may leave something behind in the session.
//!
//! It does not parse SQL. It looks at the first words of each statement and, in passing, for a
//! few words that matter wherever they stand. It may see a `SET` that stands in a string after
//! a semicolon and pin for nothing; it does not miss one that begins a statement. State that is
//! made inside functions is not visible here; changes to parameters that PostgreSQL reports are
//! caught by [`crate::server`], the rest is what `reset = "always"` is for.
//!
//! Cost: one table look-up per byte of SQL; a closer look only at `;` and at letters that begin
//! to spell one of the words.

use crate::pin::PinReason;

/// The longest word looked for, in bytes, with room around it: what is kept of one chunk to see
/// a word that the end of the chunk has cut.
const CARRY_BYTES: usize = 48;

/// A scanner over the text of one `Query` or `Parse`, which may come in chunks.
#[derive(Debug, Clone)]
pub struct Sniffer {
    carry: [u8; CARRY_BYTES],
    carry_len: u8,
    at_start: bool,
    in_create: bool,
    found: Option<PinReason>,
}

impl Default for Sniffer {
    fn default() -> Self {
        Self {
            carry: [0; CARRY_BYTES],
            carry_len: 0,
            at_start: true,
            in_create: false,
            found: None,
        }
    }
}

impl Sniffer {
    /// Looks at the next chunk of the text. `last` when no more follows.
    pub fn feed(&mut self, chunk: &[u8], last: bool) {
        if self.found.is_some() || chunk.is_empty() {
            return;
        }
        if self.carry_len == 0 {
            let kept = self.scan(chunk, last);
            self.keep(chunk.get(kept..).unwrap_or_default());
            return;
        }
        // Only texts larger than a read come here: join what was kept with the chunk's front.
        let carried = usize::from(self.carry_len);
        let mut joined = Vec::with_capacity(carried + chunk.len());
        joined.extend_from_slice(self.carry.get(..carried).unwrap_or_default());
        joined.extend_from_slice(chunk);
        let kept = self.scan(&joined, last);
        self.keep(joined.get(kept..).unwrap_or_default());
    }

    /// What was found so far.
    pub fn found(&self) -> Option<PinReason> {
        self.found
    }

    fn keep(&mut self, rest: &[u8]) {
        let from = rest.len().saturating_sub(CARRY_BYTES);
        let rest = rest.get(from..).unwrap_or_default();
        for (to, from) in self.carry.iter_mut().zip(rest) {
            *to = *from;
        }
        self.carry_len = u8::try_from(rest.len()).unwrap_or(0);
    }

    /// Scans `text`; says from where on it must be seen again with what follows.
    fn scan(&mut self, text: &[u8], last: bool) -> usize {
        let limit = if last { text.len() } else { text.len().saturating_sub(CARRY_BYTES) };
        let mut at = 0;
        loop {
            if self.at_start {
                let Some(start) = skip_blank(text, at) else {
                    // A comment or blanks up to the end.
                    return if last { text.len() } else { limit.max(at) };
                };
                if start > limit && !last {
                    return start;
                }
                at = start;
                self.at_start = false;
                self.statement(text.get(at..).unwrap_or_default());
            }
            let Some(next) = self.words(text, at, limit) else {
                return limit.max(at);
            };
            if self.found.is_some() {
                return text.len();
            }
            self.at_start = true;
            at = next;
        }
    }

    /// The first words of a statement.
    fn statement(&mut self, text: &[u8]) {
        let (first, rest) = next_word(text);
        let is = |word: &[u8], wanted: &[u8]| word.eq_ignore_ascii_case(wanted);
        self.in_create = false;
        let found = match first.len() {
            3 if is(first, b"SET") => {
                let (second, _) = next_word(rest);
                let scoped: [&[u8]; 3] = [b"LOCAL", b"TRANSACTION", b"CONSTRAINTS"];
                (!scoped.iter().any(|word| is(second, word))).then_some(PinReason::Set)
            }
            4 if is(first, b"LOAD") => Some(PinReason::Load),
            6 if is(first, b"LISTEN") => Some(PinReason::Listen),
            6 if is(first, b"CREATE") => {
                self.in_create = true;
                None
            }
            6 if is(first, b"SELECT") || is(first, b"INSERT") || is(first, b"UPDATE") => None,
            7 if is(first, b"PREPARE") => {
                let (second, _) = next_word(rest);
                (!is(second, b"TRANSACTION")).then_some(PinReason::Prepared)
            }
            7 if is(first, b"DECLARE") => has_word(rest, b"HOLD").then_some(PinReason::Cursor),
            _ => None,
        };
        self.found = self.found.or(found);
    }

    /// Looks for words from `at` on; returns where the next statement begins, if one does before
    /// `limit`.
    fn words(&mut self, text: &[u8], at: usize, limit: usize) -> Option<usize> {
        let candidates = text.get(at..limit)?.iter().enumerate();
        for (offset, byte) in candidates {
            if !is_telling(*byte) {
                continue;
            }
            let here = at + offset;
            match byte {
                b';' => return Some(here + 1),
                // pg_advisory_lock and its kin, but not the ones that end with the transaction.
                b'v' | b'V' if around(text, here, 5, b"pg_advisory_") => {
                    let name = text.get(here + 7..).unwrap_or_default();
                    let xact = [&b"xact"[..], b"unlock"];
                    let harmless = xact.iter().any(|word| starts_with(name, word))
                        || starts_with(name, b"lock_all");
                    if !harmless {
                        self.found = self.found.or(Some(PinReason::AdvisoryLock));
                    }
                }
                b'v' | b'V' if around(text, here, 9, b"pg_try_advisory_") => {
                    let name = text.get(here + 7..).unwrap_or_default();
                    if !starts_with(name, b"xact") {
                        self.found = self.found.or(Some(PinReason::AdvisoryLock));
                    }
                }
                b'_' if around(text, here, 3, b"set_config") => {
                    self.found = self.found.or(Some(PinReason::Set));
                }
                // TEMP TABLE, TEMPORARY VIEW, INTO TEMP x: a word that begins so.
                b'm' | b'M' if around(text, here, 2, b"temp") && begins_word(text, here, 2) => {
                    let rest = text.get(here + 2..).unwrap_or_default();
                    let ends = !rest.first().copied().is_some_and(is_word_byte);
                    if (ends || starts_with(rest, b"orary"))
                        && (self.in_create || follows_into(text, here - 2))
                    {
                        self.found = self.found.or(Some(PinReason::TempTable));
                    }
                }
                _ => {}
            }
        }
        None
    }
}

const fn is_telling(byte: u8) -> bool {
    matches!(byte, b';' | b'v' | b'V' | b'_' | b'm' | b'M')
}

const fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Whether `word` stands in `text` with its `before`-th byte at `here`.
fn around(text: &[u8], here: usize, before: usize, word: &[u8]) -> bool {
    let Some(start) = here.checked_sub(before) else { return false };
    starts_with(text.get(start..).unwrap_or_default(), word)
}

fn begins_word(text: &[u8], here: usize, before: usize) -> bool {
    let Some(start) = here.checked_sub(before) else { return false };
    match start.checked_sub(1) {
        Some(previous) => !text.get(previous).copied().is_some_and(is_word_byte),
        None => true,
    }
}

fn follows_into(text: &[u8], start: usize) -> bool {
    let before = text.get(..start).unwrap_or_default().trim_ascii_end();
    let tail = before.get(before.len().saturating_sub(5)..).unwrap_or_default();
    tail.len() >= 4
        && tail.get(tail.len() - 4..).is_some_and(|word| word.eq_ignore_ascii_case(b"INTO"))
}

fn starts_with(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|front| front.eq_ignore_ascii_case(word))
}

fn has_word(text: &[u8], word: &[u8]) -> bool {
    let statement = text.split(|byte| *byte == b';').next().unwrap_or_default();
    statement.split(|byte| !is_word_byte(*byte)).any(|found| found.eq_ignore_ascii_case(word))
}

/// The next word of `text` and what follows it.
fn next_word(text: &[u8]) -> (&[u8], &[u8]) {
    let start = skip_blank(text, 0).unwrap_or(text.len());
    let text = text.get(start..).unwrap_or_default();
    let end = text.iter().position(|byte| !is_word_byte(*byte)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, &[]))
}

/// The first byte from `at` on that is neither white space, nor in a comment, nor a parenthesis
/// or semicolon that leads a statement. `None` when the text ends before it.
fn skip_blank(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match text.get(at)? {
            byte if byte.is_ascii_whitespace() || matches!(byte, b'(' | b';' | 0) => at += 1,
            b'-' if text.get(at + 1) == Some(&b'-') => {
                at += text.get(at..)?.iter().position(|byte| *byte == b'\n')? + 1;
            }
            b'/' if text.get(at + 1) == Some(&b'*') => {
                let mut depth = 0_usize; // PostgreSQL's comments nest.
                loop {
                    match (text.get(at)?, text.get(at + 1)?) {
                        (b'/', b'*') => {
                            depth += 1;
                            at += 2;
                        }
                        (b'*', b'/') => {
                            depth -= 1;
                            at += 2;
                        }
                        _ => at += 1,
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            _ => return Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sniffed(text: &str, chunk: usize) -> Option<PinReason> {
        let mut sniffer = Sniffer::default();
        let mut chunks = text.as_bytes().chunks(chunk).peekable();
        while let Some(bytes) = chunks.next() {
            sniffer.feed(bytes, chunks.peek().is_none());
        }
        sniffer.found()
    }

    #[test]
    fn statements_are_told_apart_whole_and_in_chunks() {
        use PinReason::*;
        let cases: &[(&str, Option<PinReason>)] = &[
            ("SELECT 1", None),
            ("", None),
            (";", None),
            ("BEGIN", None),
            ("UPDATE t SET a = 1", None),
            ("set timezone = 'UTC'", Some(Set)),
            ("  /* a /* nested */ b */ -- x\n SET a TO b", Some(Set)),
            ("SET LOCAL statement_timeout = 5", None),
            ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", None),
            ("SET CONSTRAINTS ALL DEFERRED", None),
            ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", Some(Set)),
            ("SET ROLE admin", Some(Set)),
            ("SELECT 1; SET a = b", Some(Set)),
            ("SELECT set_config('a', 'b', false)", Some(Set)),
            ("SELECT PG_CATALOG.SET_CONFIG('a', 'b', false)", Some(Set)),
            ("SELECT my_setting_config", None),
            ("LISTEN events", Some(Listen)),
            ("SELECT 1;LISTEN events", Some(Listen)),
            ("SELECT 'listen'", None),
            ("LOAD 'auto_explain'", Some(Load)),
            ("PREPARE p AS SELECT 1", Some(Prepared)),
            ("PREPARE TRANSACTION 'x'", None),
            ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", Some(Cursor)),
            ("DECLARE c CURSOR FOR SELECT 1", None),
            ("CREATE TEMP TABLE x (a int)", Some(TempTable)),
            ("create temporary view x as select 1", Some(TempTable)),
            ("CREATE OR REPLACE TEMP VIEW x AS SELECT 1", Some(TempTable)),
            ("CREATE TABLE temperature (a int)", None),
            ("SELECT temp FROM weather", None),
            ("SELECT 1 INTO TEMP x", Some(TempTable)),
            ("SELECT pg_advisory_lock(1)", Some(AdvisoryLock)),
            ("SELECT pg_try_advisory_lock(1)", Some(AdvisoryLock)),
            ("SELECT pg_advisory_lock_shared(1)", Some(AdvisoryLock)),
            ("SELECT pg_advisory_xact_lock(1)", None),
            ("SELECT pg_try_advisory_xact_lock_shared(1)", None),
            ("SELECT pg_advisory_unlock_all()", None),
            ("(SELECT 1); (set a = b)", Some(Set)),
        ];
        for (text, expected) in cases {
            assert_eq!(sniffed(text, usize::MAX), *expected, "{text}");
            let padded = format!("SELECT '{}' ; {text}", "x".repeat(200));
            for chunk in [1, 7, 48, 49, 64, 200, 230] {
                assert_eq!(sniffed(&padded, chunk), *expected, "{text} in chunks of {chunk}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic_and_chunks_find_what_the_whole_finds_at_its_front(
            text in proptest::collection::vec(proptest::sample::select(
                b"setSET;_ vm-/*\ntemp()holdconfig".to_vec()), 0..300),
            chunk in 1usize..100,
        ) {
            let mut sniffer = Sniffer::default();
            let mut chunks = text.chunks(chunk).peekable();
            while let Some(bytes) = chunks.next() {
                sniffer.feed(bytes, chunks.peek().is_none());
            }
        }
    }
}
