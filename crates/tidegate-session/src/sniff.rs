//! The prefilter: which statements may leave something behind in the session.
//!
//! It does not parse SQL. It follows the words of the text, whatever quotes or comments they
//! stand in, and knows where a statement begins. So it may see a `SET` that stands in a string
//! after a semicolon and pin for nothing; it does not miss one that begins a statement. What looks
//! like a comment behind a semicolon may stand in a string, so where that string could have ended
//! in it and another semicolon follows, it pins too. State that is made inside functions, or with
//! a `search_path` that begins with `pg_temp`, is not visible here; changes to parameters that
//! PostgreSQL reports are caught by [`crate::server`], the rest is what `reset = "always"` is for.
//!
//! Cost: for a statement that comes whole and whose bytes show that nothing can be found in it,
//! which is nearly all, four searches for bytes that are rare. Otherwise one table look-up and at
//! most one store per byte of SQL, a few comparisons per word.

use memchr::{memchr2_iter, memrchr};

use crate::parameters::is_meaningless;
use crate::pin::PinReason;

/// The longest word that matters is `pg_try_advisory_lock_shared`; longer ones are cut, which
/// keeps them different from it.
const WORD_BYTES_MAX: usize = 32;

/// A scanner over the text of one `Query` or `Parse`, which may come in chunks cut anywhere.
#[derive(Debug, Clone, Default)]
pub struct Sniffer {
    word: [u8; WORD_BYTES_MAX],
    word_len: u8,
    place: Place,
    /// The statement contains CREATE.
    creates: bool,
    /// The last word was INTO.
    after_into: bool,
    /// There was a semicolon, which may have stood in a string: so may what looks like a comment.
    is_divided: bool,
    /// That string may have ended in the comment.
    may_have_ended: bool,
    found: Option<PinReason>,
    scope: Option<Scope>,
    forgets: bool,
}

/// What a `SET LOCAL` changes of how statements are parsed for the rest of the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// What names mean: the search path, or the role that is a part of it. PostgreSQL notices by
    /// itself when a statement is run under another one.
    Names,
    /// What constants mean: they are computed when a statement is parsed, once and for all.
    Constants,
}

/// Where in a statement we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// Before the first word.
    #[default]
    Start,
    /// Before the first word, one byte into what may become a comment.
    MayBeComment(u8),
    /// Before the first word, in a comment that ends with the line.
    LineComment,
    /// Before the first word, in a comment that is this deep; PostgreSQL's nest.
    Comment { depth: u16, last: u8 },
    /// Behind SET.
    Set,
    /// Behind SET LOCAL.
    SetLocal,
    /// Behind SET and a word that makes it end with the transaction, unless it begins a name.
    Scoped,
    /// Behind PREPARE.
    Prepare,
    /// Behind PREPARE TRANSACTION, unless that is a statement's name.
    PrepareTransaction,
    /// In a DECLARE.
    Declare,
    /// Anywhere else.
    Rest,
}

impl Sniffer {
    /// Looks at the next chunk of the text. `last` when no more follows.
    pub fn feed(&mut self, chunk: &[u8], last: bool) {
        if self.found.is_some() {
            return;
        }
        let is_whole = last && self.place == Place::Start && self.word_len == 0;
        if is_whole && is_plainly_harmless(chunk) {
            return;
        }
        for byte in chunk {
            let lower = lower_word_byte(*byte);
            if lower == 0 || matches!(self.place, Place::LineComment | Place::Comment { .. }) {
                self.between_words(*byte);
            } else {
                if let Some(slot) = self.word.get_mut(usize::from(self.word_len)) {
                    *slot = lower;
                    self.word_len += 1;
                }
                if let Place::MayBeComment(_) = self.place {
                    self.place = Place::Start;
                }
            }
        }
        if last && self.word_len > 0 {
            self.word_ended(b';');
        }
    }

    /// What was found so far.
    pub fn found(&self) -> Option<PinReason> {
        self.found
    }

    /// What was found so far of how the rest of the transaction is parsed.
    pub fn scope(&self) -> Option<Scope> {
        self.scope
    }

    /// Whether prepared statements may be taken away by what was found so far.
    pub fn forgets(&self) -> bool {
        self.forgets
    }

    fn between_words(&mut self, byte: u8) {
        if self.word_len > 0 {
            self.word_ended(byte);
            self.word_len = 0;
        }
        self.place = match (self.place, byte) {
            (Place::LineComment, b'\n' | b'\r') => Place::Start,
            (Place::LineComment, _) => {
                self.in_comment(byte);
                Place::LineComment
            }
            (Place::Comment { depth, last: b'/' }, b'*') => {
                Place::Comment { depth: depth.saturating_add(1), last: 0 }
            }
            (Place::Comment { depth: 1, last: b'*' }, b'/') => Place::Start,
            (Place::Comment { depth, last: b'*' }, b'/') => {
                Place::Comment { depth: depth.saturating_sub(1), last: 0 }
            }
            (Place::Comment { depth, .. }, byte) => {
                self.in_comment(byte);
                Place::Comment { depth, last: byte }
            }
            (Place::MayBeComment(b'-'), b'-') => {
                self.may_have_ended = false;
                Place::LineComment
            }
            (Place::MayBeComment(b'/'), b'*') => {
                self.may_have_ended = false;
                Place::Comment { depth: 1, last: 0 }
            }
            (Place::Start | Place::MayBeComment(_), b'-' | b'/') => Place::MayBeComment(byte),
            (Place::MayBeComment(_), _) => Place::Start,
            // The next word may be a comment's: it does not tell what is set or prepared.
            (Place::Set, b'-' | b'/') | (Place::SetLocal | Place::Scoped, b'-' | b'/' | b'.') => {
                self.found = self.found.or(Some(PinReason::Set));
                Place::Rest
            }
            (Place::Prepare, b'-' | b'/') | (Place::PrepareTransaction, b'-' | b'/' | b'(') => {
                self.found = self.found.or(Some(PinReason::Prepared));
                Place::Rest
            }
            (_, b';') => {
                self.is_divided = true;
                self.creates = false;
                self.after_into = false;
                Place::Start
            }
            (place, _) => place,
        };
    }

    /// A byte of what looks like a comment.
    fn in_comment(&mut self, byte: u8) {
        match byte {
            // A string, a name, a dollar quote, or a comment of either kind may end here.
            b'\'' | b'"' | b'$' | b'*' | b'\n' | b'\r' => self.may_have_ended = self.is_divided,
            b';' if self.may_have_ended => self.found = self.found.or(Some(PinReason::Set)),
            _ => {}
        }
    }

    /// `byte` is what follows the word.
    fn word_ended(&mut self, byte: u8) {
        let word = self.word.get(..usize::from(self.word_len)).unwrap_or_default();
        // Of the schema only what it qualifies: as a part of a search_path it makes nothing.
        let is_temp = matches!(word, b"temp" | b"temporary")
            || word.starts_with(b"pg_temp") && matches!(byte, b'.' | b'"');
        let mut found = match word {
            b"set_config" => Some(PinReason::Set),
            _ if is_temp && (self.creates || self.after_into) => Some(PinReason::TempTable),
            _ if locks_for_the_session(word) => Some(PinReason::AdvisoryLock),
            _ => None,
        };
        self.after_into = word == b"into";
        self.creates |= word == b"create";
        self.place = match self.place {
            Place::Start => match word {
                b"set" => Place::Set,
                b"prepare" => Place::Prepare,
                b"declare" => Place::Declare,
                b"listen" => {
                    found = found.or(Some(PinReason::Listen));
                    Place::Rest
                }
                b"deallocate" | b"discard" => {
                    self.forgets = true;
                    Place::Rest
                }
                b"load" => {
                    found = found.or(Some(PinReason::Load));
                    Place::Rest
                }
                _ => Place::Rest,
            },
            Place::Set => {
                // These end with the transaction.
                let is_scoped = matches!(word, b"local" | b"transaction" | b"constraints");
                found = found.or((!is_scoped).then_some(PinReason::Set));
                if word == b"local" { Place::SetLocal } else { Place::Scoped }
            }
            Place::SetLocal => {
                // A dotted name is an extension's or an application's own.
                let scope = if byte == b'.' { None } else { scope_of(word) };
                self.scope = self.scope.max(scope);
                Place::Rest
            }
            Place::Prepare => {
                found = found.or((word != b"transaction").then_some(PinReason::Prepared));
                Place::PrepareTransaction
            }
            Place::PrepareTransaction => {
                found = found.or((word == b"as").then_some(PinReason::Prepared));
                Place::Rest
            }
            Place::Scoped => Place::Rest,
            Place::Declare => {
                found = found.or((word == b"hold").then_some(PinReason::Cursor));
                Place::Declare
            }
            place => place,
        };
        self.found = self.found.or(found);
    }
}

/// Whether a glance shows that there is nothing to be found in a whole text: it is one statement
/// of a kind that leaves nothing by itself, and no word that matters anywhere can be in it.
pub(crate) fn is_plainly_harmless(text: &[u8]) -> bool {
    const PLAIN: [&[u8]; 9] = [
        b"select",
        b"insert",
        b"update",
        b"delete",
        b"with",
        b"begin",
        b"commit",
        b"rollback",
        b"end",
    ];
    let start = text.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(text.len());
    let text = text.get(start..).unwrap_or_default();
    let word_end = text.iter().position(|byte| lower_word_byte(*byte) == 0).unwrap_or(text.len());
    let word = text.get(..word_end).unwrap_or_default();
    if !PLAIN.iter().any(|plain| word.eq_ignore_ascii_case(plain)) {
        return false;
    }
    let follows = |at: usize, words: &[u8]| {
        let here = text.get(at..).and_then(|rest| rest.get(..words.len()));
        here.is_some_and(|here| here.eq_ignore_ascii_case(words))
    };
    // Behind a semicolon another statement may begin.
    let end = memrchr(b';', text).unwrap_or(text.len());
    let after = text.get(end..).unwrap_or_default();
    if !after.iter().all(|byte| matches!(byte, b';' | b'\0') || byte.is_ascii_whitespace()) {
        return false;
    }
    memchr2_iter(b';', b'_', text).all(|at| match text.get(at) {
        Some(b';') => at == end,
        // `set_config`, `pg_advisory_lock`, and their kin; `pg_settings`, which can be updated.
        _ => !follows(at, b"_config") && !follows(at, b"_advisory") && !follows(at, b"_settings"),
    }) && memchr2_iter(b'm', b'M', text)
        .all(|at| !at.checked_sub(2).is_some_and(|front| follows(front, b"temp")))
        && memchr2_iter(b'v', b'V', text).all(|at| {
            // `currval`, `lastval`.
            let front = at.checked_sub(4);
            !front.is_some_and(|at| follows(at, b"currval") || follows(at, b"lastval"))
        })
}

/// What the setting with this name changes.
pub(crate) fn scope_of(word: &[u8]) -> Option<Scope> {
    match word {
        b"role" | b"schema" | b"search_path" | b"session" => Some(Scope::Names),
        word => (!is_meaningless(word)).then_some(Scope::Constants),
    }
}

/// `pg_advisory_lock` and its kin, but not those that unlock or end with the transaction.
pub(crate) fn locks_for_the_session(word: &[u8]) -> bool {
    let rest = word.strip_prefix(b"pg_try_advisory_").or(word.strip_prefix(b"pg_advisory_"));
    rest.is_some_and(|rest| rest.starts_with(b"lock"))
}

/// The byte in lower case where it may stand in a word, else 0.
fn lower_word_byte(byte: u8) -> u8 {
    #[expect(clippy::as_conversions, clippy::indexing_slicing, reason = "in a constant")]
    const TABLE: [u8; 256] = {
        let mut table = [0; 256];
        let mut byte = 0_u8;
        loop {
            if byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 {
                // A constant's loop: neither can go wrong at run time.
                table[byte as usize] = byte.to_ascii_lowercase();
            }
            if byte == u8::MAX {
                break;
            }
            byte += 1;
        }
        table
    };
    TABLE.get(usize::from(byte)).copied().unwrap_or(0)
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
            for cut in 1..text.len() {
                let mut sniffer = Sniffer::default();
                let (front, rest) = text.as_bytes().split_at(cut);
                sniffer.feed(front, false);
                sniffer.feed(rest, true);
                assert_eq!(sniffer.found(), *expected, "{text} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_applications_mostly_say_is_seen_to_be_harmless_at_a_glance() {
        for text in [
            "SELECT abalance FROM pgbench_accounts WHERE aid = $1",
            "  select 1;\0",
            "INSERT INTO orders (id, item_name) VALUES ($1, $2) RETURNING id",
            "with x as (select 1) select * from x ; ",
            "BEGIN",
            "commit;",
        ] {
            assert!(is_plainly_harmless(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "SELECT 1; SELECT 2",
            "SELECT 1 INTO Temp x",
            "SELECT PG_TRY_ADVISORY_LOCK(1)",
            "SELECT Set_Config('a', 'b', true)",
            "/* a comment */ SELECT 1",
            "SELECTED",
        ] {
            assert!(!is_plainly_harmless(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn settings_of_a_transaction_are_told_apart_by_what_they_change_in_parsing() {
        let cases = [
            ("SET LOCAL statement_timeout = 5", None),
            ("SET LOCAL request.jwt.claims = 'x'", None),
            ("SET LOCAL enable_seqscan = off", None),
            ("SET LOCAL transform_null_equals = on", Some(Scope::Constants)),
            ("SET LOCAL work_mem = '8MB'", None),
            ("SET LOCAL TIME ZONE 'CET'", Some(Scope::Constants)),
            ("SET LOCAL \"TimeZone\" TO 'CET'", Some(Scope::Constants)),
            ("SELECT 1;\n set local DateStyle = 'German'", Some(Scope::Constants)),
            ("SET LOCAL ROLE admin; SET LOCAL intervalstyle = 'iso_8601'", Some(Scope::Constants)),
            ("SET LOCAL ROLE admin", Some(Scope::Names)),
            ("SET LOCAL search_path = a, b", Some(Scope::Names)),
            ("SET TRANSACTION READ ONLY", None),
            ("SELECT local, timezone FROM cities", None),
        ];
        for (text, expected) in cases {
            for chunk in 1..text.len() {
                let mut sniffer = Sniffer::default();
                let mut chunks = text.as_bytes().chunks(chunk).peekable();
                while let Some(bytes) = chunks.next() {
                    sniffer.feed(bytes, chunks.peek().is_none());
                }
                assert_eq!(sniffer.scope(), expected, "{text} in chunks of {chunk}");
                assert_eq!(sniffer.found(), None, "{text}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn chunks_find_what_the_whole_finds(
            words in proptest::collection::vec(proptest::sample::select(vec![
                "set", "local", "temp", "create", "into", "declare", "hold", "prepare",
                "transaction", "as", "pg_temp", "listen", "x", " ", ";", "'", ".", "(", "-", "--",
                "/*", "*/", "*", "\n", "\r",
            ]), 0..60),
            chunk in 1usize..40,
        ) {
            let text = words.concat();
            proptest::prop_assert_eq!(sniffed(&text, chunk), sniffed(&text, usize::MAX));
        }

        #[test]
        fn a_glance_misses_nothing_that_a_look_finds(
            first in proptest::sample::select(vec!["select ", "WITH ", "\nbegin", "insert "]),
            words in proptest::collection::vec(proptest::sample::select(vec![
                "set", "local", "temp", "TEMPORARY", "create", "into", "declare", "hold", "prepare",
                "pg_temp", "listen", "x", " ", ";", "'", ".", "(", "--", "/*", "*/", "\n", "\0",
                "set_config", "pg_try_advisory_lock", "_advisory_", "load", "timezone", "m", "_",
            ]), 0..12),
        ) {
            let text = [first, &words.concat()].concat();
            if is_plainly_harmless(text.as_bytes()) {
                let mut sniffer = Sniffer::default();
                sniffer.feed(text.as_bytes(), false); // Which is never the glance.
                sniffer.feed(b"", true);
                proptest::prop_assert_eq!((sniffer.found(), sniffer.scope()), (None, None), "{}", text);
            }
        }
    }
}
