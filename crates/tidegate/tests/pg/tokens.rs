//! The words of a line of a `.wire` script.

use std::iter::Peekable;
use std::str::Chars;

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// `Parse`, `read`, `null`, …
    Word(String),
    Number(i64),
    /// `"…"` with `\n`, `\t`, `\"`, `\\`, or `x"…"` in hexadecimal; either may be repeated: `* 3`.
    Bytes(Vec<u8>),
    /// `[…]`
    List(Vec<Token>),
}

/// Takes a line apart.
pub(crate) fn tokens(line: &str) -> Result<Vec<Token>, String> {
    let mut chars = line.chars().peekable();
    let tokens = several(&mut chars, None)?;
    Ok(tokens)
}

fn several(chars: &mut Peekable<Chars<'_>>, end: Option<char>) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    while let Some(&next) = chars.peek() {
        match next {
            ' ' => {
                chars.next();
            }
            ']' if end == Some(']') => {
                chars.next();
                return Ok(tokens);
            }
            '[' => {
                chars.next();
                tokens.push(Token::List(several(chars, Some(']'))?));
            }
            '"' => tokens.push(Token::Bytes(quoted(chars)?)),
            '*' => {
                chars.next();
                repeat(chars, &mut tokens)?;
            }
            _ => tokens.push(plain(chars)?),
        }
    }
    if end.is_some() { Err("a list is not closed".to_owned()) } else { Ok(tokens) }
}

fn plain(chars: &mut Peekable<Chars<'_>>) -> Result<Token, String> {
    let mut text = String::new();
    while let Some(c) = chars.next_if(|c| !" \"[]*".contains(*c)) {
        text.push(c);
    }
    if text == "x" && chars.peek() == Some(&'"') {
        return hexadecimal(&quoted(chars)?).map(Token::Bytes);
    }
    if let Ok(number) = text.parse() {
        return Ok(Token::Number(number));
    }
    let is_word = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
    if is_word { Ok(Token::Word(text)) } else { Err(format!("`{text}` is no word")) }
}

fn quoted(chars: &mut Peekable<Chars<'_>>) -> Result<Vec<u8>, String> {
    chars.next();
    let mut text = String::new();
    loop {
        match chars.next() {
            Some('"') => return Ok(text.into_bytes()),
            Some('\\') => text.push(match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some(c @ ('"' | '\\')) => c,
                other => return Err(format!("unknown escape {other:?}")),
            }),
            Some(c) => text.push(c),
            None => return Err("a string is not closed".to_owned()),
        }
    }
}

fn hexadecimal(text: &[u8]) -> Result<Vec<u8>, String> {
    let bytes = text.chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    let bytes: Option<Vec<u8>> = bytes.collect();
    bytes.ok_or_else(|| format!("{} is not hexadecimal", String::from_utf8_lossy(text)))
}

/// `* 3` behind a string.
fn repeat(chars: &mut Peekable<Chars<'_>>, tokens: &mut [Token]) -> Result<(), String> {
    while chars.next_if_eq(&' ').is_some() {}
    let count = match plain(chars)? {
        Token::Number(count) => usize::try_from(count).ok(),
        _ => None,
    };
    match (count, tokens.last_mut()) {
        (Some(count), Some(Token::Bytes(bytes))) => {
            *bytes = bytes.repeat(count);
            Ok(())
        }
        _ => Err("`*` stands between a string and a number".to_owned()),
    }
}

#[test]
fn lines_come_apart_into_words() {
    let bytes = |bytes: &[u8]| Token::Bytes(bytes.to_vec());
    let line = r#"Bind "" "s\"1" [0 1] ["a b" null x"00ff"] [] -1 "ab" * 2"#;
    let expected = [
        Token::Word("Bind".to_owned()),
        bytes(b""),
        bytes(b"s\"1"),
        Token::List(vec![Token::Number(0), Token::Number(1)]),
        Token::List(vec![bytes(b"a b"), Token::Word("null".to_owned()), bytes(b"\0\xff")]),
        Token::List(vec![]),
        Token::Number(-1),
        bytes(b"abab"),
    ];
    assert_eq!(tokens(line), Ok(expected.to_vec()));
    for bad in ["\"a", "[1", "x\"0\"", "\"\\q\"", "* 3", "a-b", "\"a\" * b"] {
        assert!(tokens(bad).is_err(), "{bad}");
    }
}
