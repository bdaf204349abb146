//! The pages under `docs/errors/`: one for each code, and an index.

use std::fmt::Write as _;

use super::pages::{Place, Sign};
use super::{CATALOGUE, Code, Entry};

/// A page, by the name of its file.
pub struct Document {
    /// Such as `TG001.md`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Everything below `docs/errors/`.
pub fn documents() -> Vec<Document> {
    let index = Document { name: "README.md".to_owned(), text: index() };
    let pages = CATALOGUE
        .iter()
        .map(|entry| Document { name: format!("{}.md", entry.code), text: page(entry) });
    std::iter::once(index).chain(pages).collect()
}

fn index() -> String {
    let mut text = String::from(INDEX_HEAD);
    for entry in CATALOGUE {
        let Entry { code, sqlstate, policy, message, .. } = entry;
        let (message, met_by) = (cell(&title(*code, message)), cell(code.page().met_by));
        let _ = writeln!(
            text,
            "| [{code}]({code}.md) | {sqlstate} | {} | {message} | {met_by} |",
            policy.as_str()
        );
    }
    text.push_str(INDEX_FOOT);
    text
}

fn page(entry: &Entry) -> String {
    let Entry { code, sqlstate, policy, message, detail, hint } = *entry;
    let page = code.page();
    let mut text = format!("# {code}: {}\n\n{WRITTEN}\n\n", title(code, message));
    let _ = writeln!(text, "```text\n{}:  {message}", severity(policy.as_str()));
    for (label, line) in [("DETAIL", detail), ("HINT", hint)] {
        if !line.is_empty() {
            let code = if label == "HINT" { format!(" ({code})") } else { String::new() };
            let _ = writeln!(text, "{label}:  {line}{code}");
        }
    }
    let _ = write!(
        text,
        "```\n\nSQLSTATE {sqlstate}{}. {}. Met by {}.\n",
        if passes_on(code) { ", or PostgreSQL's own" } else { "" },
        policy.as_str(),
        page.met_by
    );
    let _ = write!(text, "\n## Cause\n\n{}\n\n## Evidence\n\n", page.cause);
    page.evidence.iter().for_each(|sign| text.push_str(&bullet(sign)));
    text.push_str("\n## Remedy\n\nNow:\n\n");
    page.now.iter().for_each(|step| text.push_str(&format!("- {step}\n")));
    text.push_str("\nSo that it does not come back:\n\n");
    page.lasting.iter().for_each(|step| text.push_str(&format!("- {step}\n")));
    if !page.more.is_empty() {
        text.push_str("\n## More\n\n");
        for (title, path) in page.more {
            let _ = writeln!(text, "- [{title}](../{path})");
        }
    }
    linked(&text, code)
}

/// The message, or what the code is for where the message is all of it filled in.
fn title(code: Code, message: &str) -> String {
    let is_filled = message.starts_with('{') && message.ends_with('}');
    if !is_filled {
        return message.to_owned();
    }
    match code {
        Code::StartupPacket => "what came is no startup packet",
        Code::ProtocolVersion => "another version of the protocol",
        Code::StartupParameter => "a parameter of the startup packet was refused",
        Code::ConsoleFailed => "a command of the admin console was not done",
        _ => "a setting of the session was refused",
    }
    .to_owned()
}

/// Whether the error may carry PostgreSQL's code instead of its own.
const fn passes_on(code: Code) -> bool {
    matches!(code, Code::UpstreamRefused | Code::StartupParameter | Code::SettingsRefused)
}

/// The first word, as a terminal shows it.
fn severity(policy: &str) -> &str {
    policy.split(',').next().unwrap_or(policy)
}

fn bullet(sign: &Sign) -> String {
    let words = sign.place.shown();
    match sign.place {
        Place::Log(_) => format!("- `{words}` in the gate's log: {}\n", sign.shows),
        Place::Text(_) => format!("- {words}: {}\n", sign.shows),
        Place::Sql(_) => {
            format!("- In PostgreSQL: {}\n\n  ```sql\n  {words};\n  ```\n", sign.shows)
        }
        Place::Metric(_) | Place::Command(_) => format!("- `{words}`: {}\n", sign.shows),
    }
}

/// Codes of other pages become links.
fn linked(text: &str, own: Code) -> String {
    let mut text = text.to_owned();
    for entry in CATALOGUE.iter().filter(|entry| entry.code != own) {
        let code = entry.code.as_str();
        text = text.replace(code, &format!("[{code}]({code}.md)"));
    }
    text
}

/// A pipe would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

const WRITTEN: &str = "<!-- Written by `cargo xtask docs` from the catalogue of errors. -->";

const INDEX_HEAD: &str = "# Errors

<!-- Written by `cargo xtask docs` from the catalogue of errors. -->

What the gate itself says to clients. Each error has a code at the end of its HINT; DETAIL has the numbers.
`tidegate explain TG001` prints a page in the terminal, and `tidegate explain` also takes an SQLSTATE or a message as it
was pasted, whole tracebacks included, also those of PostgreSQL, other poolers, and the pools of drivers.

Errors of PostgreSQL pass through the gate as they are and have no code.

| Code | SQLSTATE | Sent as | Message | Met by |
|---|---|---|---|---|
";

const INDEX_FOOT: &str = "
Between braces stands what is filled in. [When something breaks](../operations.md) has the same by what happens.
";
