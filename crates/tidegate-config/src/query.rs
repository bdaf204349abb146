//! The query that looks up a user: whether it is one that can be asked.
//!
//! Only as much of SQL is read as tells what stands in quotes and comments (PostgreSQL docs,
//! "Lexical Structure"). Whether the statement is a good one, PostgreSQL says when it is asked.

/// Why a text cannot be asked; completes the sentence "auth.query is …, …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("a statement without $1")]
    NoName,
    #[error("a statement with a quote or a comment that does not end")]
    OpenQuote,
    #[error("a statement with a parameter other than $1")]
    OtherParameter,
    #[error("more than one statement")]
    Several,
}

/// Whether `text` is one statement whose one parameter is `$1`.
pub(crate) fn check(text: &str) -> Result<(), QueryError> {
    let mut has_name = false;
    let mut has_ended = false;
    let mut rest = text;
    while !rest.is_empty() {
        let (token, length) = front(rest)?;
        match token {
            Token::Blank => {}
            Token::Semicolon => has_ended = true,
            _ if has_ended => return Err(QueryError::Several),
            Token::Parameter("1") => has_name = true,
            Token::Parameter(_) => return Err(QueryError::OtherParameter),
            Token::Other => {}
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    if has_name { Ok(()) } else { Err(QueryError::NoName) }
}

enum Token<'a> {
    /// White space or a comment.
    Blank,
    Semicolon,
    /// `$` and these digits.
    Parameter(&'a str),
    Other,
}

/// The first token of `text`, which is not empty, and its length in bytes.
fn front(text: &str) -> Result<(Token<'_>, usize), QueryError> {
    let Some(first) = text.chars().next() else { return Ok((Token::Blank, 0)) };
    let after = text.get(first.len_utf8()..).unwrap_or_default();
    Ok(match first {
        ';' => (Token::Semicolon, 1),
        '-' if after.starts_with('-') => {
            (Token::Blank, text.find(['\n', '\r']).unwrap_or(text.len()))
        }
        '/' if after.starts_with('*') => (Token::Blank, comment(text)?),
        '\'' | '"' => (Token::Other, 1 + quoted(after, first, false)?),
        '$' => dollar(text)?,
        ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' => (Token::Blank, 1),
        c if is_word(c) => {
            let word = text.find(|c| !is_word(c)).unwrap_or(text.len());
            // A backslash escapes only in E'…'.
            match text.get(word..).and_then(|rest| rest.strip_prefix('\'')) {
                Some(rest) if matches!(text.get(..word), Some("e" | "E")) => {
                    (Token::Other, word + 1 + quoted(rest, '\'', true)?)
                }
                _ => (Token::Other, word),
            }
        }
        c => (Token::Other, c.len_utf8()),
    })
}

/// Names and numbers, whose ends nothing here needs to tell apart.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// `$1`, or a text between two `$tag$`.
fn dollar(text: &str) -> Result<(Token<'_>, usize), QueryError> {
    let after = text.get(1..).unwrap_or_default();
    let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    if digits > 0 {
        return Ok((Token::Parameter(after.get(..digits).unwrap_or_default()), 1 + digits));
    }
    let tag = after.find('$').and_then(|end| after.get(..end));
    match tag.filter(|tag| tag.chars().all(is_word)) {
        Some(tag) => {
            let delimiter = format!("${tag}$");
            let body = text.get(delimiter.len()..).unwrap_or_default();
            let end = body.find(&delimiter).ok_or(QueryError::OpenQuote)?;
            Ok((Token::Other, delimiter.len() + end + delimiter.len()))
        }
        None => Ok((Token::Other, 1)),
    }
}

/// The length of a quoted text after its first quote, the last one included. A doubled quote
/// stands for one.
fn quoted(text: &str, quote: char, escapes: bool) -> Result<usize, QueryError> {
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return Ok(at + 1);
        }
    }
    Err(QueryError::OpenQuote)
}

/// The length of a comment that `/*` begins; comments nest.
fn comment(text: &str) -> Result<usize, QueryError> {
    let mut depth = 0_u32;
    let mut at = 0;
    while let Some(pair) = text.as_bytes().get(at..at + 2) {
        match pair {
            b"/*" => depth += 1,
            b"*/" if depth == 1 => return Ok(at + 2),
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    Err(QueryError::OpenQuote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_statement_with_the_name_can_be_asked() {
        for text in [
            "SELECT usename, passwd FROM pg_shadow WHERE usename = $1",
            "SELECT * FROM gate.lookup($1);",
            "SELECT * FROM gate.lookup($1); -- the end; really\n ;",
            "/* a; /* nested */ ; */ SELECT 'it''s; $2', \"a;$3\", $1::text",
            "SELECT E'\\'; $2', 'C:\\', $1",
            "SELECT $$; $2$$, $x$ $$ ; $x$, $1",
            "SELECT a$2, größe FROM t WHERE name=$1",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_told() {
        use QueryError::*;
        for (text, error) in [
            ("SELECT usename, passwd FROM pg_shadow", NoName),
            ("SELECT '$1'", NoName),
            ("-- $1", NoName),
            ("/* $1 */", NoName),
            ("SELECT \"$1\", $$ $1 $$, a$1", NoName),
            ("SELECT $1, $2", OtherParameter),
            ("SELECT $10", OtherParameter),
            ("SELECT $1; SELECT 2", Several),
            ("SELECT 1; SELECT $1", Several),
            ("SELECT $1; -- the end\rDROP TABLE t", Several),
            ("SELECT $1, 'open", OpenQuote),
            ("SELECT $1, E'open\\'", OpenQuote),
            ("SELECT $1, $a$ $b$", OpenQuote),
            ("SELECT $1 /* /* */", OpenQuote),
            ("SELECT $1 /*/", OpenQuote),
        ] {
            assert_eq!(check(text), Err(error), "{text}");
        }
    }

    #[test]
    fn no_query_panics() {
        let whole = "E'\\é''\" /*é*/*$1$é$;$é$--\n\"'";
        for from in 0..whole.len() {
            for to in from..=whole.len() {
                if let Some(part) = whole.get(from..to) {
                    let with_name = format!("$1 {part}");
                    assert_ne!(check(&with_name), Err(QueryError::NoName), "{part}");
                    assert!(check(part).is_err() || part.contains("$1"), "{part}");
                }
            }
        }
    }
}
