//! What a text of SQL means for who has lost the answer to it: whether it may have committed a
//! transaction, and whether it may be run once more.
//!
//! Of a text that ends a transaction ([`commits`]) too much may be found, never too little: who is
//! told that a commit is in doubt looks, who is not repeats. (A Query that is too long is not looked
//! at; see `PASSING_BYTES_MAX` in `client.rs`.) Of one that only reads ([`is_read`]) it is the other
//! way round.
//!
//! Cost: for a text that is neither, a look at its first byte and a search for semicolons.

use crate::sql::{Token, Tokens};
use crate::traces::Traces;

/// How many statements of a text commit a transaction, or prepare it to be committed: COMMIT, END,
/// PREPARE TRANSACTION, COMMIT PREPARED.
pub fn commits(text: &[u8], backslash_escapes: bool) -> u32 {
    let text = until_zero(text);
    if !may_commit(text) {
        return 0;
    }
    let mut tokens = Tokens::new(text).with_backslash_escapes(backslash_escapes).peekable();
    let mut count = 0;
    let mut is_first = true;
    // The body of a function in standard SQL has semicolons, and ends with END.
    let mut is_atomic = false;
    while let Some(token) = tokens.next() {
        let next = tokens.peek();
        let is_end = is_first && token.is(b"end");
        let is_commit = is_first
            && (token.is(b"commit")
                || token.is(b"prepare") && next.is_some_and(|next| next.is(b"transaction")));
        if is_commit || is_end && !is_atomic {
            count += 1;
        }
        is_atomic |= token.is(b"begin") && next.is_some_and(|next| next.is(b"atomic"));
        is_atomic &= !is_end;
        is_first = token == Token::Symbol(b';');
    }
    count
}

/// Whether a glance allows for that. A comment may stand before the word.
pub fn may_commit(text: &[u8]) -> bool {
    let start = text.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != 0x0b);
    let Some(first) = start.and_then(|start| text.get(start)) else { return false };
    match first.to_ascii_lowercase() {
        b'c' | b'e' | b'p' | b'-' | b'/' | b';' => return true,
        _ => {}
    }
    let Some(semicolon) = memchr::memchr(b';', text) else { return false };
    let mut rest = text.get(semicolon + 1..).unwrap_or_default().iter();
    !rest.all(|byte| byte.is_ascii_whitespace() || *byte == 0)
}

/// Functions that change what outlives the statement, beside those that leave something in the
/// session.
const CHANGING: [&[u8]; 5] = [b"lo_", b"nextval", b"pg_", b"setval", b"dblink"];

/// Those of PostgreSQL's own that only tell something.
const TELLING: [&[u8]; 4] = [b"pg_catalog", b"pg_get_", b"pg_typeof", b"pg_table_"];

/// Whether a text is one statement that only reads, as far as its words show. What its functions
/// do nobody can see here; of those whose names say that they change something that outlives the
/// statement, none is taken for a read.
pub fn is_read(text: &[u8], backslash_escapes: bool) -> bool {
    let text = until_zero(text);
    let tokens: Vec<_> = Tokens::new(text).with_backslash_escapes(backslash_escapes).collect();
    let end = tokens.iter().position(|token| *token == Token::Symbol(b';'));
    let (statement, rest) = tokens.split_at(end.unwrap_or(tokens.len()));
    let Some(Token::Word(first)) = statement.first() else { return false };
    let reads: [&[u8]; 4] = [b"select", b"show", b"table", b"values"];
    if !reads.iter().any(|verb| first.eq_ignore_ascii_case(verb))
        || rest.iter().any(|token| *token != Token::Symbol(b';'))
        || !Traces::of(text, backslash_escapes).is_empty()
    {
        return false;
    }
    statement.iter().zip(statement.iter().skip(1).map(Some).chain([None])).all(|(token, next)| {
        let locks = [&b"update"[..], b"share", b"no", b"key"];
        let is_lock =
            token.is(b"for") && next.is_some_and(|next| locks.iter().any(|word| next.is(word)));
        let is_called = next == Some(&Token::Symbol(b'('));
        let changes = is_called
            && token.name().is_some_and(|name| {
                let name = name.to_ascii_lowercase();
                let begins = |with: &&[u8]| name.starts_with(with);
                CHANGING.iter().any(begins) && !TELLING.iter().any(begins)
            });
        !token.is(b"into") && !is_lock && !changes
    })
}

fn until_zero(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commits_is_found_wherever_it_stands() {
        for (text, expected) in [
            ("COMMIT", 1),
            (" \n commit work;", 1),
            ("END", 1),
            ("end transaction and chain", 1),
            ("PREPARE TRANSACTION 'x'", 1),
            ("COMMIT PREPARED 'x'", 1),
            ("/* a ; b */ COMMIT", 1),
            ("-- begin\ncommit", 1),
            ("BEGIN; INSERT INTO t VALUES (1); COMMIT", 1),
            ("COMMIT; BEGIN; SELECT ';'; END;", 2),
            ("select 1; ; commit", 1),
            ("ROLLBACK", 0),
            ("SELECT 'COMMIT'", 0),
            ("PREPARE p AS SELECT 1", 0),
            ("SELECT 1;", 0),
            ("SELECT 1; SELECT 'x; commit'", 0),
            ("create table commit_log (a int)", 0),
            ("call commit()", 0),
            ("INSERT INTO t VALUES (1)", 0),
            ("", 0),
            ("create function f() returns int begin atomic select 1; select 2; end; commit", 1),
        ] {
            assert_eq!(commits(text.as_bytes(), false), expected, "{text}");
            let with_zero = [text.as_bytes(), b"\0"].concat();
            assert_eq!(commits(&with_zero, false), expected, "{text}");
        }
    }

    #[test]
    fn a_plain_read_is_one_statement_that_changes_nothing_by_its_words() {
        for text in [
            "SELECT 1",
            "select * from t where a = 'into' ;",
            "TABLE t",
            "values (1), (2)",
            "SHOW timezone",
            "select substring('abc' for 2), count(*) from t group by a",
            "select pg_get_viewdef('v'), pg_catalog.pg_typeof(1)",
            "/* why */ select now()",
        ] {
            assert!(is_read(text.as_bytes(), false), "{text}");
        }
        for text in [
            "",
            "INSERT INTO t VALUES (1)",
            "WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * FROM x",
            "SELECT 1; SELECT 2",
            "SELECT * INTO x FROM t",
            "select * from t for update",
            "select * from t for no key update",
            "select * from t for share",
            "select nextval('s')",
            "select NextVal ('s')",
            "select pg_advisory_lock(1)",
            "select pg_advisory_xact_lock(1)",
            "select pg_notify('a', 'b')",
            "select set_config('a.b', 'c', false)",
            "select lo_unlink(1)",
            "EXPLAIN ANALYZE DELETE FROM t",
            "(select 1)",
            "COMMIT",
        ] {
            assert!(!is_read(text.as_bytes(), false), "{text}");
        }
    }
}
