//! Source files: what may be in none of them.

use std::path::Path;

use anyhow::Result;

use super::files::{below, has_extension, read, shown};
use super::tokens::tokens;

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for folder in ["crates", "xtask", "fuzz", "drivers", "docs", "examples"] {
        let folder = root.join(folder);
        if !folder.exists() {
            continue;
        }
        for file in below(&folder)? {
            if has_extension(&file, &["rs", "md", "toml", "py", "sh", "sql", "js"]) {
                let text = read(&file)?;
                let found = findings_in(&file, &text);
                let name = shown(&file, root);
                findings
                    .extend(found.into_iter().map(|(line, what)| format!("{name}:{line}: {what}")));
            }
        }
    }
    Ok(findings)
}

fn findings_in(file: &Path, text: &str) -> Vec<(usize, &'static str)> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        // In two parts, or this line would be found.
        if line.contains(concat!("FIX", "ME")) {
            findings.push((index + 1, concat!("FIX", "ME cannot be merged")));
        }
    }
    if has_extension(file, &["rs"]) {
        if file.file_name().is_some_and(|name| name == "mod.rs") {
            findings.push((1, "`name.rs` beside `name/`, no mod.rs"));
        }
        for line in ignored_tests(text) {
            findings.push((
                line,
                "no ignored tests: assert today's behaviour and say that it is wrong",
            ));
        }
    }
    findings
}

/// The lines of `#[ignore]`, `#[ignore = "…"]`, and `#[cfg_attr(…, ignore)]`.
fn ignored_tests(source: &str) -> Vec<usize> {
    let tokens = tokens(source);
    let starts = tokens.windows(3).enumerate().filter(|(_, words)| {
        words[0].text == "#"
            && words[1].text == "["
            && ["ignore", "cfg_attr"].contains(&words[2].text)
    });
    let ignores = |start: usize| {
        let attribute = tokens.iter().skip(start).take_while(|token| token.text != "]");
        attribute.into_iter().any(|token| token.text == "ignore")
    };
    starts.filter(|(start, _)| ignores(*start)).map(|(_, words)| words[0].line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_tests_are_found_in_every_spelling_and_only_there() {
        let source = "#[test]\n#[ignore]\nfn a() {}\n#[ignore = \"slow\"]\nfn b() {}\n\
            #[cfg_attr(miri, ignore)]\nfn c() {}\n// #[ignore]\nconst X: &str = \"#[ignore]\";\n\
            #[cfg_attr(miri, allow(dead_code))]\nfn ignore() {}\n";
        assert_eq!(ignored_tests(source), [2, 4, 6]);
    }

    #[test]
    fn marks_and_mod_files_are_found() {
        let text = concat!("fn a() {}\n// FIX", "ME later\n");
        let lines = |file| findings_in(Path::new(file), text).into_iter().map(|(line, _)| line);
        assert_eq!(lines("a.rs").collect::<Vec<_>>(), [2]);
        assert_eq!(lines("a/mod.rs").collect::<Vec<_>>(), [2, 1]);
        assert_eq!(lines("a.md").collect::<Vec<_>>(), [2]);
    }
}
