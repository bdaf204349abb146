//! `tidegate explain`: what an error means, and what to do about it. It asks nobody: what is
//! pasted stays on this machine.

use std::io::{self, IsTerminal as _, Read as _};
use std::process::ExitCode;

use tidegate_observe::explain::{Answer, Explanation, TEXT_BYTES_MAX, explain};

use crate::cli::ExplainOptions;
use crate::exit;

pub(crate) fn run(options: &ExplainOptions) -> ExitCode {
    let text = match text_of(options) {
        Ok(Some(text)) => text,
        Ok(None) => return exit::with(exit::USAGE, &USAGE),
        Err(error) => {
            return exit::with(exit::UNABLE, &format!("can't read standard input: {error}"));
        }
    };
    let answer = explain(&text);
    if options.json {
        match serde_json::to_string_pretty(&answer) {
            Ok(json) => println!("{json}"),
            Err(error) => return exit::with(exit::UNABLE, &error),
        }
    } else if !answer.matches.is_empty() {
        print!("{}", report(&answer));
    }
    if answer.matches.is_empty() { exit::with(exit::NO, &UNKNOWN) } else { ExitCode::SUCCESS }
}

/// What was typed, or comes in; none when nothing does.
fn text_of(options: &ExplainOptions) -> io::Result<Option<String>> {
    let typed = options.text.join(" ");
    let reads = typed == "-" || (typed.trim().is_empty() && !io::stdin().is_terminal());
    if !reads {
        return Ok(Some(typed).filter(|typed| !typed.trim().is_empty()));
    }
    let mut bytes = Vec::new();
    io::stdin().take(READ_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

fn report(answer: &Answer) -> String {
    let Some((best, others)) = answer.matches.split_first() else { return String::new() };
    let mut lines = Vec::new();
    say(best, &mut lines);
    if !others.is_empty() {
        lines.push(String::new());
        lines.push("Also in this text:".to_owned());
        for other in others {
            let what = format!(
                "{} (said by {}; tidegate explain \"{}\")",
                other.title, other.said_by, other.recognised
            );
            wrapped("  ", &what, &mut lines);
        }
    }
    lines.join("\n") + "\n"
}

fn say(found: &Explanation, lines: &mut Vec<String>) {
    lines.push(found.title.clone());
    lines.push(String::new());
    let said_by = if found.said_by == found.layer.as_str() {
        found.said_by.clone()
    } else {
        format!("{} ({})", found.said_by, found.layer.as_str())
    };
    wrapped("said by  ", &said_by, lines);
    if let Some(sqlstate) = &found.sqlstate {
        wrapped("SQLSTATE ", sqlstate, lines);
    }
    let values: Vec<_> =
        found.values.iter().map(|value| format!("{} {}", value.name, value.value)).collect();
    if !values.is_empty() {
        wrapped("it says  ", &values.join(", "), lines);
    }
    wrapped("means    ", &found.means, lines);
    listed("see", found.see.iter().map(|look| format!("{}: {}", look.what, look.shows)), lines);
    listed("do now", found.now.iter().cloned(), lines);
    listed("change", found.change.iter().cloned(), lines);
    if let Some(page) = &found.page {
        lines.push(String::new());
        wrapped("page     ", page, lines);
    }
}

fn listed(heading: &str, items: impl Iterator<Item = String>, lines: &mut Vec<String>) {
    let mut items = items.peekable();
    if items.peek().is_some() {
        lines.push(String::new());
        lines.push(heading.to_owned());
    }
    items.for_each(|item| wrapped("  - ", &item, lines));
}

/// `text` behind `lead`, on lines that a terminal has room for.
fn wrapped(lead: &str, text: &str, lines: &mut Vec<String>) {
    let indent = " ".repeat(lead.len());
    let mut line = lead.to_owned();
    let mut is_empty = true;
    // A text of others may hold what a terminal would obey.
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            lines.push(std::mem::replace(&mut line, indent.clone()));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push(line);
}

const COLUMNS: usize = 100;

/// The end of it is looked at, as errors stand there; what is longer is no error message.
const READ_BYTES_MAX: u64 = 16 * TEXT_BYTES_MAX as u64;

const USAGE: &str = "nothing to explain: give a code (TG001), an SQLSTATE (53300), or the text of an \
                     error, or - to read it from standard input";

const UNKNOWN: &str = "nothing in this text is known; what is looked for: codes of Tidegate (TG001), \
SQLSTATEs (alone, or as in \"SQLSTATE 53300\"), and messages of PostgreSQL, Supabase's pooler, PgBouncer, \
RDS Proxy, Odyssey, PgCat, PgDog, pg_doorman, libpq, psycopg, asyncpg, SQLAlchemy, node-postgres, Prisma, \
Knex, Sequelize, HikariCP, pgjdbc, Tomcat, DBCP, Npgsql, Rails, Ecto, sqlx, deadpool, bb8, r2d2";

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use tidegate_observe::explain::known;
    use tidegate_wire::catalogue::CATALOGUE;
    use tidegate_wire::catalogue::pages::Place;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn commands_that_pages_name_can_be_typed() {
        let pages = CATALOGUE.iter().flat_map(|entry| entry.code.page().evidence);
        let signs = pages.chain(known::all().flat_map(|known| known.see));
        let commands = signs.filter_map(|sign| match sign.place {
            Place::Command(line) => Some(line),
            _ => None,
        });
        let mut seen = 0;
        for line in commands {
            let words = line.split(' ');
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
            seen += 1;
        }
        assert!(seen > 5);
    }

    #[test]
    fn lines_break_between_words_and_take_no_orders_from_texts() {
        let mut lines = Vec::new();
        wrapped("- ", &format!("{} \x1b[2Jend", "word ".repeat(30)), &mut lines);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.len() <= COLUMNS && !line.contains('\x1b')));
        assert!(lines[1].starts_with("  word"), "{lines:?}");
    }
}
