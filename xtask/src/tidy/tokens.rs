//! Rust source as words: no comments, no strings, nothing else that could be mistaken for code.

/// A word of the source and the line it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) line: usize,
}

/// Identifiers, `::`, and single characters. Numbers come as identifiers; literals are left out.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest),
            '\'' => quote(rest),
            _ if raw_string(rest).is_some() => raw_string(rest).unwrap_or(rest.len()),
            _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            _ if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        let (text, after) = rest.split_at(length);
        let is_literal = text.ends_with(['"', '\'', '#']) && text.len() > 1;
        let is_comment = text.starts_with("//") || text.starts_with("/*");
        if !first.is_whitespace() && !is_literal && !is_comment {
            found.push(Token { text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// They nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a string that starts here. A `b` or `c` before it is a word of its own; no harm.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// The length of `r"…"`, `r#"…"#`, `br"…"`, if one starts here.
fn raw_string(text: &str) -> Option<usize> {
    let body = ["r", "br", "cr"].iter().find_map(|prefix| {
        let after = text.strip_prefix(prefix)?;
        after.trim_start_matches('#').starts_with('"').then_some(after)
    })?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    let start = text.len() - body.len() + hashes + 1;
    let length = text.get(start..)?.find(&end)?;
    Some(start + length + end.len())
}

/// A character literal, or the quote of a lifetime.
fn quote(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, c))) => {
            let after = at + c.len_utf8();
            let rest = text.get(after..).unwrap_or_default();
            rest.find('\'').map_or(text.len(), |end| after + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<&str> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn paths_come_as_words_with_their_lines() {
        let found = tokens("use crate::a;\n\nmod b;");
        let shown: Vec<_> = found.iter().map(|token| (token.text, token.line)).collect();
        let first = [("use", 1), ("crate", 1), ("::", 1), ("a", 1), (";", 1)];
        assert_eq!(shown, [&first[..], &[("mod", 3), ("b", 3), (";", 3)]].concat());
    }

    #[test]
    fn comments_and_literals_say_nothing() {
        assert_eq!(words("a // crate::b\n/* /* crate::c */ \" */ d"), ["a", "d"]);
        assert_eq!(
            words(r#"a("crate::b \" c", 'd', '\'', '\u{1F}')"#),
            ["a", "(", ",", ",", ",", ")"]
        );
        assert_eq!(words("x(r#\"crate::\"b\"#, y)"), ["x", "(", ",", "y", ")"]);
    }

    #[test]
    fn lifetimes_are_not_characters() {
        assert_eq!(words("&'a str, 'b'"), ["&", "'", "a", "str", ","]);
    }
}
