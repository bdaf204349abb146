//! The page of the documentation that shows the result.

use std::fs;
use std::io::ErrorKind;

use anyhow::{Context as _, Result};

use crate::shell::root;

/// Puts a report between the markers of the page; what stands around them stays as it is.
pub(super) fn write(report: &str) -> Result<()> {
    let path = root().join(PAGE);
    let page = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => NEW_PAGE.to_owned(),
        read => read.context(PAGE)?,
    };
    let page = with_report(&page, report).with_context(|| format!("{PAGE} lacks a marker"))?;
    fs::write(&path, page).context(PAGE)
}

fn with_report(page: &str, report: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{report}\n{END}{after}"))
}

const PAGE: &str = "docs/performance.md";
/// What the page is where there is none.
const NEW_PAGE: &str = include_str!("page.md");
const BEGIN: &str =
    "<!-- The rest up to the next marker is written by `cargo xtask bench-peers --write`. -->";
const END: &str = "<!-- End of what is written by `cargo xtask bench-peers --write`. -->";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_takes_the_place_of_the_last_one_and_of_nothing_else() {
        let once = with_report(NEW_PAGE, "OLD\n").unwrap();
        let twice = with_report(&once, "NEW\n").unwrap();
        assert!(once.contains("\n\nOLD\n\n") && !twice.contains("OLD"), "{twice}");
        assert_eq!(twice.replace("NEW", "OLD"), once);
        assert_eq!(with_report("no markers", "report"), None);
    }
}
