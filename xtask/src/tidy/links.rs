//! Documents: links lead somewhere, and ARCHITECTURE.md names files that exist.

use std::path::Path;

use anyhow::Result;

use super::files::{below, has_extension, read, shown};

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut documents: Vec<_> =
        TOP.iter().map(|name| root.join(name)).filter(|f| f.exists()).collect();
    if root.join("docs").exists() {
        documents
            .extend(below(&root.join("docs"))?.into_iter().filter(|f| has_extension(f, &["md"])));
    }
    let mut findings = Vec::new();
    for document in documents {
        let text = read(&document)?;
        let name = shown(&document, root);
        let folder = document.parent().unwrap_or(root);
        for (line, target) in links(&text) {
            if !folder.join(&target).exists() {
                findings.push(format!("{name}:{line}: {target} does not exist"));
            }
        }
        if name == "ARCHITECTURE.md" {
            for (line, path) in source_paths(&text) {
                // Crates are named without the folder that holds them all.
                if !root.join(path).exists() && !root.join("crates").join(path).exists() {
                    findings.push(format!("{name}:{line}: {path} does not exist"));
                }
            }
        }
    }
    Ok(findings)
}

/// Relative targets of `[text](target)`, without what follows `#`, and their lines.
fn links(markdown: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in markdown.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every second part stands between backticks.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for part in prose.split("](").skip(1) {
            let target = part.split([')', ' ', '#']).next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !target.is_empty() && !elsewhere {
                found.push((index + 1, target.to_owned()));
            }
        }
    }
    found
}

/// Paths of Rust files between backticks, and their lines.
fn source_paths(markdown: &str) -> Vec<(usize, &str)> {
    let lines = markdown.lines().enumerate();
    let quoted = lines.flat_map(|(index, line)| {
        line.split('`').skip(1).step_by(2).map(move |quoted| (index + 1, quoted))
    });
    quoted.filter(|(_, text)| text.contains('/') && text.ends_with(".rs")).collect()
}

const TOP: &[&str] =
    &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_relative_links_in_prose_are_looked_at() {
        let text = "[a](docs/a.md) and ![b](img/b.png \"title\")\n\
            [c](https://example.com/x) [d](#here) [e](e.md#there) `[f](f.md)`\n\
            ```\n[g](g.md)\n```\n[h](mailto:h@example.com)\n";
        let wanted = [(1, "docs/a.md"), (1, "img/b.png"), (2, "e.md")];
        assert_eq!(links(text), wanted.map(|(line, target)| (line, target.to_owned())));
    }

    #[test]
    fn only_paths_of_rust_files_are_looked_at() {
        let text =
            "In `tidegate-wire/src/frame.rs` is `front`,\nnot in `lib.rs` or `a/b.toml`: `x/y.rs`.";
        assert_eq!(source_paths(text), [(1, "tidegate-wire/src/frame.rs"), (2, "x/y.rs")]);
    }

    #[test]
    fn what_leads_nowhere_is_named() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = root.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        write("README.md", "[good](docs/a.md)\n[bad](docs/b.md)");
        write("docs/a.md", "[up](../README.md)\n\n[bad](a.txt)");
        write("ARCHITECTURE.md", "`one/src/lib.rs` `one/src/gone.rs`");
        write("crates/one/src/lib.rs", "");
        assert_eq!(
            check(root.path()).unwrap(),
            [
                "README.md:2: docs/b.md does not exist",
                "ARCHITECTURE.md:1: one/src/gone.rs does not exist",
                "docs/a.md:3: a.txt does not exist",
            ]
        );
    }
}
