//! Texts with gaps, and where they stand in a longer text.
//!
//! A template is literal text with `{gaps}`. `{#name}` stands for a number, `{name}` for whatever
//! comes before the next literal, and `{*}` for the same without a name. It is found without regard
//! to case, to line breaks, and to how many spaces there are, as texts come out of terminals,
//! trackers, and JSON; a word is never found within another.
//!
//! Cost: one pass over the text for each template; a gap looks no further than [`GAP_BYTES_MAX`].

/// What was between the literals, by name, in the order of the template.
pub type Values = Vec<(&'static str, String)>;

/// Where a template was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Byte offsets into the prepared text.
    pub start: usize,
    /// The end of what was found.
    pub end: usize,
    /// How much of it is literal: the longer, the surer.
    pub literal_bytes: usize,
    /// What filled the gaps.
    pub values: Values,
}

/// A text that is ready to be searched.
pub struct Prepared {
    text: String,
    /// The same in lower case, byte for byte.
    lower: Vec<u8>,
}

impl Prepared {
    /// Makes of a text as it was pasted one line: escapes of terminals and of JSON go, and so do
    /// line breaks and repeated spaces.
    pub fn new(pasted: &str) -> Self {
        let mut text = String::with_capacity(pasted.len());
        let mut chars = pasted.chars().peekable();
        while let Some(c) = chars.next() {
            match (c, chars.peek()) {
                ('\x1b', Some('[')) => {
                    // A control sequence ends with its first letter.
                    chars.by_ref().skip(1).find(|c| c.is_ascii_alphabetic());
                }
                ('\\', Some('"' | '\'' | '`')) => {}
                ('\\', Some('n' | 'r' | 't')) => {
                    chars.next();
                    space(&mut text);
                }
                (c, _) if c.is_whitespace() || c.is_control() => space(&mut text),
                // As word processors and trackers like to write quotes.
                ('“' | '”' | '„', _) => text.push('"'),
                ('‘' | '’', _) => text.push('\''),
                (c, _) => text.push(c),
            }
        }
        let text = text.trim().to_owned();
        let lower = text.to_ascii_lowercase().into_bytes();
        Self { text, lower }
    }

    /// The line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where `template` stands first.
    pub fn find(&self, template: &'static str) -> Option<Found> {
        let pieces = pieces(template);
        let anchor = pieces.iter().position(|piece| matches!(piece, Piece::Literal(_)))?;
        let (before, rest) = pieces.split_at(anchor);
        let (Piece::Literal(first), rest) = rest.split_first()? else { return None };
        let first_lower = first.to_ascii_lowercase();
        let literal_bytes = pieces.iter().map(Piece::literal_bytes).sum();
        let mut from = 0;
        while let Some(at) = find_bytes(&self.lower, from, self.lower.len(), first_lower.as_bytes())
        {
            from = at + 1;
            let Some((start, mut values)) = self.backwards(before, at) else { continue };
            let Some(end) = self.forwards(rest, at + first.len(), &mut values) else { continue };
            if self.is_whole(start, end) {
                return Some(Found { start, end, literal_bytes, values });
            }
        }
        None
    }

    /// Gaps in front of the first literal: a number, or none.
    fn backwards(&self, pieces: &[Piece], at: usize) -> Option<(usize, Values)> {
        let [piece] = pieces else { return pieces.is_empty().then(|| (at, Vec::new())) };
        let Piece::Number(name) = piece else { return None };
        let is_number = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
        let length = self.lower.get(..at)?.iter().rev().take_while(|byte| is_number(byte)).count();
        let start = at - length;
        let number = self.text.get(start..at).filter(|number| !number.is_empty())?;
        Some((start, vec![(*name, number.to_owned())]))
    }

    /// The end of what `pieces` match from `at` on.
    fn forwards(&self, pieces: &[Piece], at: usize, values: &mut Values) -> Option<usize> {
        let mut at = at;
        let mut pieces = pieces.iter().peekable();
        while let Some(piece) = pieces.next() {
            match piece {
                Piece::Literal(literal) => {
                    let literal = literal.to_ascii_lowercase();
                    self.lower.get(at..)?.starts_with(literal.as_bytes()).then_some(())?;
                    at += literal.len();
                }
                Piece::Number(name) => {
                    let rest = self.lower.get(at..)?;
                    let mut length = rest.iter().take_while(|b| b"0123456789.".contains(b)).count();
                    // A full stop ends the sentence, not the number.
                    length -= usize::from(length > 0 && rest.get(length - 1) == Some(&b'.'));
                    let number = self.text.get(at..at + length).filter(|n| !n.is_empty())?;
                    values.push((*name, number.to_owned()));
                    at += length;
                }
                Piece::Gap { name, bytes_max } => {
                    let end = match pieces.peek() {
                        Some(Piece::Literal(next)) => {
                            let next = next.to_ascii_lowercase();
                            let to = (at + bytes_max + next.len()).min(self.lower.len());
                            find_bytes(&self.lower, at, to, next.as_bytes())?
                        }
                        // Up to the end of a word.
                        _ => {
                            let rest = self.lower.get(at..)?;
                            let is_in = |byte: &&u8| !b" \"',;)]}".contains(*byte);
                            at + rest.iter().take(*bytes_max).take_while(is_in).count()
                        }
                    };
                    if let Some(name) = name {
                        values.push((*name, self.text.get(at..end)?.trim().to_owned()));
                    }
                    at = end;
                }
            }
        }
        Some(at)
    }

    /// Whether what begins or ends with a letter or a digit does not go on with one.
    fn is_whole(&self, start: usize, end: usize) -> bool {
        let is_word =
            |at: usize| self.lower.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        let begins = start.checked_sub(1).is_some_and(|before| is_word(before) && is_word(start));
        let goes_on = end.checked_sub(1).is_some_and(|last| is_word(last) && is_word(end));
        !begins && !goes_on
    }
}

fn space(text: &mut String) {
    if !text.ends_with(' ') {
        text.push(' ');
    }
}

enum Piece {
    Literal(&'static str),
    Number(&'static str),
    Gap { name: Option<&'static str>, bytes_max: usize },
}

impl Piece {
    fn literal_bytes(&self) -> usize {
        if let Self::Literal(literal) = self { literal.len() } else { 0 }
    }
}

fn pieces(template: &'static str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        pieces.push(match name {
            "*" => Piece::Gap { name: None, bytes_max: GAP_BYTES_MAX },
            "**" => Piece::Gap { name: None, bytes_max: TRACEBACK_BYTES_MAX },
            name => match name.strip_prefix('#') {
                Some(name) => Piece::Number(name),
                None => Piece::Gap { name: Some(name), bytes_max: GAP_BYTES_MAX },
            },
        });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest));
    }
    pieces
}

fn find_bytes(haystack: &[u8], from: usize, to: usize, needle: &[u8]) -> Option<usize> {
    let window = haystack.get(from..to)?;
    window.windows(needle.len()).position(|bytes| bytes == needle).map(|at| from + at)
}

/// Longer than names and causes are, and than a line of a log.
const GAP_BYTES_MAX: usize = 400;

/// Some frames of a traceback, with their source.
const TRACEBACK_BYTES_MAX: usize = 4_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &'static str, text: &str, wanted: Option<&[(&str, &str)]>) {
        let found = Prepared::new(text).find(template);
        let values = found.map(|found| found.values);
        let wanted = wanted.map(|wanted| {
            wanted.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
        });
        assert_eq!(values.map(|values| values.into_iter().collect()), wanted as Option<Vec<_>>);
    }

    #[test]
    fn gaps_are_filled_by_what_is_between_the_literals() {
        let template = "size {#size} of {who}, timeout {#timeout}";
        check(
            template,
            "Error: Size 5 of\n   the pool, timeout 30.00.",
            Some(&[("size", "5"), ("who", "the pool"), ("timeout", "30.00")]),
        );
        check(template, "size x of the pool, timeout 30", None);
        check(
            "{#leased} of {#all} slots",
            "15 of us: 14 of 15 slots",
            Some(&[("leased", "14"), ("all", "15")]),
        );
        check("role \"{role}\"", "for role \\\"app\\\"", Some(&[("role", "app")]));
        check("{*} slots", "15 slots", None);
        check(
            "host {name}",
            "getaddrinfo: host db.example.com, port 1",
            Some(&[("name", "db.example.com")]),
        );
    }

    #[test]
    fn the_first_place_that_fits_is_taken_even_after_ones_that_do_not() {
        check("limit {#n} reached", "limit of 3; limit 4 reached", Some(&[("n", "4")]));
    }

    #[test]
    fn escapes_and_line_breaks_of_terminals_and_json_are_no_part_of_a_text() {
        let text = Prepared::new("\x1b[31mFATAL:\x1b[0m  sorry,\\n too\tmany “clients”\0 ");
        assert_eq!(text.text(), "FATAL: sorry, too many \"clients\"");
        assert!(text.find("sorry, too many").is_some());
    }

    #[test]
    fn a_word_is_not_found_within_another() {
        for (text, is_found) in [
            ("P2024", true),
            ("code P2024:", true),
            ("P20245", false),
            ("XP2024", false),
            ("(P2024)", true),
        ] {
            assert_eq!(Prepared::new(text).find("P2024").is_some(), is_found, "{text}");
        }
    }

    #[test]
    fn a_gap_looks_no_further_than_it_should() {
        let far = format!("from {} to", "x".repeat(GAP_BYTES_MAX * 2));
        check("from {*} to", &far, None);
        check("from {**} to", &far, Some(&[]));
    }

    #[test]
    fn letters_of_any_alphabet_are_left_whole() {
        check("user {name} is", "Benutzer: user Zoë Ω is", Some(&[("name", "Zoë Ω")]));
        check("user {name} is", &format!("user {} is", "Ω".repeat(1_000)), None);
        check("user {name}", &format!("user a{}", "Ω".repeat(1_000)), None);
    }
}
