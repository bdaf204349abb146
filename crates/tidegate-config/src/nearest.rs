//! The nearest known name to one that is not known.

/// More slips than this and a suggestion would be a guess.
const SLIPS_MAX: usize = 3;

/// The candidate that is fewest slips away from `name`, if that is close enough to be what was
/// meant: at most [`SLIPS_MAX`] slips, and less than half of the candidate.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (slips(name, candidate), candidate))
        .filter(|(slips, candidate)| *slips <= SLIPS_MAX && slips * 2 < candidate.len())
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements, and swaps of neighbours between two words (the optimal
/// string alignment distance), without regard to case.
fn slips(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = above[j] + usize::from(a[i] != b[j]);
            let mut best = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("pool_sze", "pool_size", 1),
            ("pool_szie", "pool_size", 1),
            ("POOL_SIZE", "pool_size", 0),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(slips(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn a_short_word_is_not_near_to_everything() {
        assert_eq!(nearest("tls", ["http", "min", "plan"]), None);
        assert_eq!(nearest("mni", ["max", "min"]), Some("min"));
    }
}
