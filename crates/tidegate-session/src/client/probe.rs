//! Probes: statements whose answer is known without PostgreSQL, recognised by their exact spelling.
//!
//! Anything that is spelled otherwise goes to a server: a comment, a second statement, a form that
//! PostgreSQL could refuse (`BEGIN READ WRITE` does on a standby).

/// A statement whose answer is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// It begins a transaction; with the tag that confirms it.
    Begin(&'static [u8]),
    /// It ends a transaction well.
    Commit,
    /// No statement at all.
    Empty,
    /// `SELECT 1`.
    One,
    /// It ends a transaction.
    Rollback,
}

/// No such statement is longer: `START TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY
/// DEFERRABLE` has 69 bytes.
const PROBE_BYTES_MAX: usize = 128;

/// The most words that one has.
const WORDS_MAX: usize = 9;

impl Probe {
    /// What a text is, if it is one.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        let text = text.strip_suffix(b"\0").unwrap_or(text);
        if text.len() > PROBE_BYTES_MAX || !may_be_one(text) {
            return None;
        }
        let text = text.trim_ascii();
        let text = text.strip_suffix(b";").unwrap_or(text);
        let mut words = [&b""[..]; WORDS_MAX];
        let mut count = 0;
        for word in text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
            *words.get_mut(count)? = word;
            count += 1;
        }
        let words = words.get(..count)?;
        let Some((first, rest)) = words.split_first() else { return Some(Self::Empty) };
        let is = |word: &[u8]| first.eq_ignore_ascii_case(word);
        if is(b"begin") {
            let rest = without(rest, &[b"transaction", b"work"]);
            return are_modes(rest).then_some(Self::Begin(b"BEGIN"));
        }
        if is(b"start") {
            let (word, rest) = rest.split_first()?;
            let is_start = word.eq_ignore_ascii_case(b"transaction") && are_modes(rest);
            return is_start.then_some(Self::Begin(b"START TRANSACTION"));
        }
        if is(b"select") {
            return (rest == [b"1"]).then_some(Self::One);
        }
        let rest = without(rest, &[b"transaction", b"work"]);
        if !rest.is_empty() {
            return None;
        }
        if is(b"commit") || is(b"end") {
            return Some(Self::Commit);
        }
        (is(b"rollback") || is(b"abort")).then_some(Self::Rollback)
    }
}

/// Whether a glance at the front shows that it may be one. Most statements end here.
fn may_be_one(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    match text.first().map(u8::to_ascii_lowercase) {
        None | Some(b';' | b'a' | b'b' | b'c' | b'e' | b'r') => true,
        Some(b's') => {
            let second = text.get(1).map(u8::to_ascii_lowercase);
            second == Some(b't') || text.trim_ascii_end().len() <= ONE_BYTES_MAX
        }
        _ => false,
    }
}

/// `SELECT 1 ;`, with some blanks more.
const ONE_BYTES_MAX: usize = 16;

fn without<'a, 'b>(words: &'a [&'b [u8]], optional: &[&[u8]]) -> &'a [&'b [u8]] {
    match words.split_first() {
        Some((first, rest)) if optional.iter().any(|word| first.eq_ignore_ascii_case(word)) => rest,
        _ => words,
    }
}

/// Modes of a transaction that PostgreSQL takes at any time: at most one of each, in this order.
fn are_modes(words: &[&[u8]]) -> bool {
    const LEVELS: [&[&[u8]]; 4] = [
        &[b"serializable"],
        &[b"repeatable", b"read"],
        &[b"read", b"committed"],
        &[b"read", b"uncommitted"],
    ];
    let skip = |words: &mut &[&[u8]], wanted: &[&[u8]]| {
        let found = words.get(..wanted.len()).is_some_and(|found| {
            found.iter().zip(wanted).all(|(found, word)| found.eq_ignore_ascii_case(word))
        });
        if found {
            *words = words.get(wanted.len()..).unwrap_or_default();
        }
        found
    };
    let mut rest = words;
    if skip(&mut rest, &[b"isolation", b"level"])
        && !LEVELS.iter().any(|level| skip(&mut rest, level))
    {
        return false;
    }
    skip(&mut rest, &[b"read", b"only"]);
    skip(&mut rest, &[b"deferrable"]);
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_spellings_count() {
        let begin = Some(Probe::Begin(b"BEGIN"));
        let start = Some(Probe::Begin(b"START TRANSACTION"));
        for (text, expected) in [
            ("BEGIN", begin),
            ("begin;\0", begin),
            ("  Begin  Work ; ", begin),
            ("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY DEFERRABLE;", begin),
            ("start transaction isolation level repeatable read", start),
            ("START TRANSACTION", start),
            ("start", None),
            ("BEGIN READ WRITE", None),
            ("BEGIN ISOLATION LEVEL CHAOS", None),
            ("BEGIN; SELECT 1", None),
            ("BEGIN -- x", None),
            ("begin;;", None),
            ("COMMIT", Some(Probe::Commit)),
            ("END WORK", Some(Probe::Commit)),
            ("commit and chain", None),
            ("COMMIT PREPARED 'x'", None),
            ("ROLLBACK;", Some(Probe::Rollback)),
            ("abort transaction", Some(Probe::Rollback)),
            ("ROLLBACK TO SAVEPOINT a", None),
            ("", Some(Probe::Empty)),
            (" ; ", Some(Probe::Empty)),
            ("\0", Some(Probe::Empty)),
            ("SELECT 1", Some(Probe::One)),
            ("select\n1;", Some(Probe::One)),
            ("select 1, 2", None),
            ("a b c d e f g h i j", None),
        ] {
            assert_eq!(Probe::of(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(Probe::of(&[b' '; 200]), None);
    }
}
