//! `cargo xtask docs`: pages that are written from the table of settings and the catalogue of
//! errors, never by hand.

use std::fs;

use anyhow::{Context as _, Result, bail};
use tidegate_wire::catalogue::reference;

use crate::shell::root;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Changes nothing; fails if something would change
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.check { check() } else { write() }
}

/// Each page that is not as its table has it is named, and each that has none any more.
pub(crate) fn check() -> Result<()> {
    let differs = |path: &str, text: &str| {
        !fs::read_to_string(root().join(path)).is_ok_and(|found| found == text)
    };
    let pages = pages();
    let mut old: Vec<String> = pages
        .iter()
        .filter(|(path, text)| differs(path, text))
        .map(|(path, _)| path.clone())
        .collect();
    old.extend(left_over(&pages)?);
    if !old.is_empty() {
        bail!("{} not up to date; `cargo xtask docs` writes anew", old.join(", "));
    }
    let operations = fs::read_to_string(root().join(OPERATIONS)).context(OPERATIONS)?;
    let bare = codes_without_link(&operations);
    if !bare.is_empty() {
        bail!("{OPERATIONS}: {} should be links to their pages in errors/", bare.join(", "));
    }
    Ok(())
}

fn write() -> Result<()> {
    let pages = pages();
    for path in left_over(&pages)? {
        fs::remove_file(root().join(&path)).context(path)?;
    }
    for (path, text) in pages {
        let file = root().join(&path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        fs::write(&file, text).context(path)?;
    }
    Ok(())
}

fn pages() -> Vec<(String, String)> {
    let settings = [
        ("docs/reference/settings.md".to_owned(), tidegate_config::reference_markdown()),
        ("tidegate.example.toml".to_owned(), tidegate_config::example_toml()),
    ];
    let errors = reference::documents()
        .into_iter()
        .map(|document| (format!("{ERRORS}/{}", document.name), document.text));
    settings.into_iter().chain(errors).collect()
}

/// Pages of errors that are in no table.
fn left_over(pages: &[(String, String)]) -> Result<Vec<String>> {
    let folder = root().join(ERRORS);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).context(ERRORS)? {
        let path = format!("{ERRORS}/{}", entry?.file_name().to_string_lossy());
        if !pages.iter().any(|(known, _)| *known == path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Codes of errors in prose that lead nowhere, with their lines. `tidy` sees to those that do.
fn codes_without_link(markdown: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in markdown.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        if in_code {
            continue;
        }
        for (at, _) in line.match_indices("TG0") {
            let before = line.get(..at).unwrap_or_default();
            if !before.ends_with(['[', '/']) {
                let code: String = line.chars().skip(before.chars().count()).take(5).collect();
                found.push(format!("{code} in line {}", index + 1));
            }
        }
    }
    found
}

/// Whatever is below it is written here.
const ERRORS: &str = "docs/errors";

/// Where people look first when something breaks.
const OPERATIONS: &str = "docs/operations.md";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_in_prose_should_be_links() {
        let text = "ERROR 53300 ([TG001](errors/TG001.md)), TG002\n```text\nTG003\n```\n“TG004”.";
        assert_eq!(codes_without_link(text), ["TG002 in line 1", "TG004 in line 5"]);
    }
}
