//! Tokens of SQL: where words, names, strings, and comments begin and end.
//!
//! The rules are those of PostgreSQL's scanner (`scan.l`, PostgreSQL 15), as far as they decide
//! what is a word and what only looks like one. Nothing is interpreted: a string keeps its quotes'
//! content as written. What is not closed ends with the text, as PostgreSQL would refuse it.
//!
//! Cost: one look at each byte. It allocates nothing.

/// A piece of SQL text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// A keyword or an identifier without quotes, as written.
    Word(&'a [u8]),
    /// An identifier in quotes; doubled quotes in it stay doubled.
    Name(&'a [u8]),
    /// A string. `is_plain`: what is written is what it means.
    Text {
        /// What stands between its quotes.
        body: &'a [u8],
        /// Whether no quote in it is doubled, nothing is escaped, and it is no bit string.
        is_plain: bool,
    },
    /// Anything else, byte by byte: operators, digits, brackets, a parameter's `$`.
    Symbol(u8),
}

impl<'a> Token<'a> {
    /// Whether it is this word; `word` in lower case. An identifier in quotes is the same when it
    /// is written so.
    pub fn is(self, word: &[u8]) -> bool {
        match self {
            Self::Word(found) => found.eq_ignore_ascii_case(word),
            Self::Name(found) => found == word,
            Self::Text { .. } | Self::Symbol(_) => false,
        }
    }

    /// What it is called, when it may be a name.
    pub fn name(self) -> Option<&'a [u8]> {
        match self {
            Self::Word(name) | Self::Name(name) => Some(name),
            Self::Text { .. } | Self::Symbol(_) => None,
        }
    }
}

/// The tokens of a text, one after another.
#[derive(Debug, Clone)]
pub struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
    /// In strings without a prefix a backslash escapes what follows it.
    backslash_escapes: bool,
}

impl<'a> Tokens<'a> {
    /// Of this text, under `standard_conforming_strings = on`.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, backslash_escapes: false }
    }

    /// The same under `standard_conforming_strings = off`.
    #[must_use]
    pub fn with_backslash_escapes(mut self, are_escapes: bool) -> Self {
        self.backslash_escapes = are_escapes;
        self
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(blank), _) if blank.is_ascii_whitespace() || blank == 0x0b => self.at += 1,
                (Some(b'-'), Some(b'-')) => {
                    let end = self.rest().iter().position(|byte| matches!(byte, b'\n' | b'\r'));
                    self.at += end.unwrap_or(self.rest().len());
                }
                (Some(b'/'), Some(b'*')) => self.skip_comment(),
                _ => return,
            }
        }
    }

    fn skip_comment(&mut self) {
        let mut depth = 0_u32;
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(b'/'), Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(b'*'), Some(b'/')) => {
                    depth = depth.saturating_sub(1);
                    self.at += 2;
                    if depth == 0 {
                        return;
                    }
                }
                (Some(_), _) => self.at += 1,
                (None, _) => return,
            }
        }
    }

    /// What stands between two `quote`s, the first of which is here.
    fn quoted(&mut self, quote: u8, escapes: bool) -> (&'a [u8], bool) {
        self.at += 1;
        let start = self.at;
        let mut is_plain = true;
        while let Some(byte) = self.byte(0) {
            match byte {
                b'\\' if escapes => {
                    is_plain = false;
                    self.at += 2;
                }
                byte if byte == quote && self.byte(1) == Some(quote) => {
                    is_plain = false;
                    self.at += 2;
                }
                byte if byte == quote => {
                    let body = self.text.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return (body, is_plain);
                }
                _ => self.at += 1,
            }
        }
        (self.text.get(start..).unwrap_or_default(), false)
    }

    /// `$tag$ ... $tag$`, when it is one.
    fn dollar_quoted(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest();
        let tag = rest.get(1..)?;
        let tag_len = tag.iter().position(|byte| *byte == b'$')?;
        let tag = tag.get(..tag_len)?;
        let may_be_tag = match tag {
            [] => true,
            [first, ..] => is_word_start(*first) && tag.iter().all(|byte| is_in_tag(*byte)),
        };
        if !may_be_tag {
            return None;
        }
        let fence = rest.get(..tag_len + 2)?;
        let body = rest.get(fence.len()..)?;
        let end = memchr::memmem::find(body, fence);
        self.at += fence.len() + end.map_or(body.len(), |end| end + fence.len());
        body.get(..end.unwrap_or(body.len()))
    }
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_in_tag(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit()
}

fn is_in_word(byte: u8) -> bool {
    is_in_tag(byte) || byte == b'$'
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        let first = self.byte(0)?;
        match first {
            b'\'' => {
                let (body, is_plain) = self.quoted(b'\'', self.backslash_escapes);
                Some(Token::Text { body, is_plain })
            }
            b'"' => Some(Token::Name(self.quoted(b'"', false).0)),
            b'$' => match self.dollar_quoted() {
                Some(body) => Some(Token::Text { body, is_plain: true }),
                None => {
                    self.at += 1;
                    Some(Token::Symbol(b'$'))
                }
            },
            first if is_word_start(first) => {
                let rest = self.rest();
                let end = rest.iter().position(|byte| !is_in_word(*byte)).unwrap_or(rest.len());
                let word = rest.get(..end).unwrap_or_default();
                self.at += end;
                match (word, self.byte(0), self.byte(1)) {
                    ([b'e' | b'E'], Some(b'\''), _) => {
                        let (body, is_plain) = self.quoted(b'\'', true);
                        Some(Token::Text { body, is_plain })
                    }
                    ([b'n' | b'N'], Some(b'\''), _) => {
                        let (body, is_plain) = self.quoted(b'\'', self.backslash_escapes);
                        Some(Token::Text { body, is_plain })
                    }
                    ([b'b' | b'B' | b'x' | b'X'], Some(b'\''), _) => {
                        let (body, _) = self.quoted(b'\'', false);
                        Some(Token::Text { body, is_plain: false })
                    }
                    ([b'u' | b'U'], Some(b'&'), Some(quote @ (b'\'' | b'"'))) => {
                        self.at += 1;
                        let (body, _) = self.quoted(quote, false);
                        Some(Token::Text { body, is_plain: false })
                    }
                    _ => Some(Token::Word(word)),
                }
            }
            first => {
                self.at += 1;
                Some(Token::Symbol(first))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tokens in a line: words as they are, names in `<>`, strings in `[]` or, where what is
    /// written is not what it means, in `[!]`.
    fn tokens(text: &str) -> String {
        let shown = Tokens::new(text.as_bytes()).map(|token| match token {
            Token::Word(word) => String::from_utf8_lossy(word).into_owned(),
            Token::Name(name) => format!("<{}>", String::from_utf8_lossy(name)),
            Token::Text { body, is_plain } => {
                let mark = if is_plain { "" } else { "!" };
                format!("[{mark}{}]", String::from_utf8_lossy(body))
            }
            Token::Symbol(byte) => char::from(byte).to_string(),
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_names_and_strings_are_told_apart() {
        for (text, expected) in [
            ("SET a.b TO 'x'", "SET a . b TO [x]"),
            ("select \"a\"\"b\", 'it''s'", "select <a\"\"b> , [!it''s]"),
            ("a -- b ; 'c\n/* d /* e */ ' */ f", "a f"),
            (r"select E'a\'b', 'c\', d", r"select [!a\'b] , [c\] , d"),
            ("$$a;b$$ $x$ $$ $x$ $1 a$b$c", "[a;b] [ $$ ] $ 1 a$b$c"),
            ("b'01' N'x' U&'y' u&\"z\" x '1'", "[!01] [x] [!y] [!z] x [1]"),
            ("'open", "[!open]"),
            ("/* open", ""),
            ("$a$ open", "[ open]"),
            ("1e5;ünïcode", "1 e5 ; ünïcode"),
        ] {
            assert_eq!(tokens(text), expected, "{text}");
        }
    }

    #[test]
    fn a_backslash_escapes_where_the_setting_says_so() {
        let mut tokens = Tokens::new(br"'a\' b' c").with_backslash_escapes(true);
        let expected = Token::Text { body: br"a\' b", is_plain: false };
        assert_eq!(tokens.next(), Some(expected));
        assert_eq!(tokens.next(), Some(Token::Word(b"c")));
    }

    #[test]
    fn words_are_compared_as_postgresql_folds_them() {
        assert!(Token::Word(b"SeT").is(b"set"));
        assert!(Token::Name(b"set").is(b"set"));
        assert!(!Token::Name(b"SET").is(b"set"));
        assert!(!Token::Text { body: b"set", is_plain: true }.is(b"set"));
    }
}
