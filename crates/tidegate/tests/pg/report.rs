//! What is said about a difference.

use std::fmt::Write as _;

use crate::play::{Answer, End};
use crate::shown::shown;

/// The first difference between two runs; `None` when there is none.
pub(crate) fn difference(direct: &[Answer], gated: &[Answer]) -> Option<(usize, String)> {
    let at = (0..direct.len().max(gated.len())).find(|at| direct.get(*at) != gated.get(*at))?;
    let (direct, gated) = (direct.get(at), gated.get(at));
    let line = direct.or(gated).map_or(0, |answer| answer.line);
    let (direct, gated) = (lines(direct), lines(gated));
    let mut text = String::new();
    let same = direct.iter().zip(&gated).take_while(|(one, other)| one == other).count();
    let first = same.saturating_sub(BEFORE);
    if first > 0 {
        let _ = writeln!(text, "    ({first} messages are the same)");
    }
    for (name, lines) in [("PostgreSQL", &direct), ("gate", &gated)] {
        let _ = writeln!(text, "  {name}:");
        for (nth, line) in lines.iter().enumerate().skip(first).take(SHOWN_MAX) {
            let mark = if nth >= same { ">" } else { " " };
            let _ = writeln!(text, "  {mark} {line}");
        }
        if let Some(more) = lines.len().checked_sub(first + SHOWN_MAX).filter(|more| *more > 0) {
            let _ = writeln!(text, "    (and {more} more)");
        }
    }
    if direct == gated {
        text.push_str("    (they differ in bytes that are not shown)\n");
    }
    Some((line, text))
}

/// All that was answered, for whoever writes a script.
pub(crate) fn all(answers: &[Answer]) -> String {
    let mut text = String::new();
    for answer in answers {
        let _ = writeln!(text, "  line {}:", answer.line);
        for line in lines(Some(answer)) {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

fn lines(answer: Option<&Answer>) -> Vec<String> {
    let Some(answer) = answer else { return vec!["(nothing)".to_owned()] };
    let mut lines: Vec<String> = answer.frames.iter().map(shown).collect();
    match answer.end {
        End::Reached => {}
        End::Closed => lines.push("(the connection was closed)".to_owned()),
        End::Silent => lines.push("(nothing more came)".to_owned()),
    }
    lines
}

/// Messages that are shown before the first that differs.
const BEFORE: usize = 2;
const SHOWN_MAX: usize = 12;
