//! Modules inside a crate: a module uses only modules that are declared after it.
//!
//! `lib.rs` declares modules in the order in which one should read them, callers before what they
//! call. Where every use points forward in one order there can be no cycle, so this one rule is
//! both. It holds between the modules of each folder, however deep the uses stand below them.
//! Tests are left out: they may stand on anything.

use std::collections::BTreeMap;
use std::path::Path as File;

use anyhow::Result;

use super::files::{read, shown};
use super::tokens::{Token, tokens};

/// A module's place in its crate; empty for the root.
type Place = Vec<String>;

/// Findings for the crate in `folder`.
pub(super) fn check(folder: &File, root: &File) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for name in ["lib.rs", "main.rs"] {
        let file = folder.join("src").join(name);
        if file.exists() {
            let mut map = Map::default();
            map.load(&file, &folder.join("src"), Vec::new(), root)?;
            map.name_uses();
            findings.extend(map.findings());
        }
    }
    Ok(findings)
}

#[derive(Debug, Default)]
struct Map {
    /// The modules that a module declares, in order.
    declared: BTreeMap<Place, Vec<String>>,
    /// What else a module has under which name: its `use` lines.
    renamed: BTreeMap<Place, BTreeMap<String, Place>>,
    paths: Vec<Path>,
}

/// A path as it stands in the source.
#[derive(Debug)]
struct Path {
    from: Place,
    words: Vec<String>,
    /// What a `use` line calls it from then on.
    name: Option<String>,
    seen_at: String,
}

impl Map {
    /// Reads a module's file and the files of the modules that it declares.
    fn load(&mut self, file: &File, folder: &File, place: Place, root: &File) -> Result<()> {
        let source = read(file)?;
        self.scan(&tokens(&source), &place, &shown(file, root));
        for name in self.declared.get(&place).cloned().unwrap_or_default() {
            let file = folder.join(&name).with_extension("rs");
            if file.exists() {
                let place = [place.as_slice(), std::slice::from_ref(&name)].concat();
                self.load(&file, &folder.join(&name), place, root)?;
            }
        }
        Ok(())
    }

    fn scan(&mut self, tokens: &[Token<'_>], place: &Place, file: &str) {
        let mut at = 0;
        while let Some(rest) = tokens.get(at..).filter(|rest| !rest.is_empty()) {
            let words: Vec<&str> = rest.iter().take(7).map(|token| token.text).collect();
            match words.as_slice() {
                ["#", "!", "[", "cfg", "(", "test", ")"] => return,
                ["#", "[", "cfg", "(", "test", ")", "]"] => at += item(rest),
                ["mod", name, ";", ..] => {
                    self.declared.entry(place.clone()).or_default().push((*name).to_owned());
                    at += 3;
                }
                ["mod", name, "{", ..] => {
                    self.declared.entry(place.clone()).or_default().push((*name).to_owned());
                    let inner = [place.as_slice(), &[(*name).to_owned()]].concat();
                    let length = item(rest);
                    self.scan(rest.get(3..length).unwrap_or_default(), &inner, file);
                    at += length;
                }
                ["use", ..] => at += self.scan_path(rest, 1, Naming::Names, place, file),
                ["crate" | "super" | "self", "::", ..] => {
                    at += self.scan_path(rest, 0, Naming::Mentions, place, file);
                }
                _ => at += 1,
            }
        }
    }

    /// Takes in a path or a tree of paths that starts at `tokens[start]`; answers where it ends.
    fn scan_path(
        &mut self,
        tokens: &[Token<'_>],
        start: usize,
        naming: Naming,
        place: &Place,
        file: &str,
    ) -> usize {
        let mut leaves = Vec::new();
        let mut at = start;
        tree(tokens, &mut at, &[], naming, &mut leaves);
        let line = tokens.first().map_or(0, |token| token.line);
        self.paths.extend(leaves.into_iter().map(|Leaf { path: words, name }| Path {
            from: place.clone(),
            words,
            name,
            seen_at: format!("{file}:{line}"),
        }));
        at.max(1)
    }

    /// Notes what `use` lines call things. After all files are read: which words are modules is
    /// known only then.
    fn name_uses(&mut self) {
        let mut renamed: BTreeMap<Place, BTreeMap<String, Place>> = BTreeMap::new();
        for path in &self.paths {
            if let (Some(name), Some(to)) = (&path.name, self.absolute(path)) {
                renamed.entry(path.from.clone()).or_default().insert(name.clone(), to);
            }
        }
        self.renamed = renamed;
    }

    /// A path from the root of the crate; nothing for paths into other crates.
    fn absolute(&self, path: &Path) -> Option<Place> {
        let (first, mut rest) = path.words.split_first()?;
        let mut base = path.from.clone();
        match first.as_str() {
            "crate" => base.clear(),
            "self" => {}
            "super" => drop(base.pop()?),
            child if self.declared.get(&base)?.iter().any(|declared| declared == child) => {
                rest = &path.words;
            }
            _ => return None,
        }
        while let Some(("super", after)) =
            rest.split_first().map(|(word, after)| (word.as_str(), after))
        {
            base.pop()?;
            rest = after;
        }
        Some([base.as_slice(), rest].concat())
    }

    fn findings(&self) -> Vec<String> {
        let mut findings: Vec<String> =
            self.paths.iter().filter_map(|path| self.finding(path)).collect();
        findings.dedup();
        findings
    }

    fn finding(&self, path: &Path) -> Option<String> {
        let to = self.module_of(self.absolute(path)?);
        let common = path.from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        let (from, to) = (path.from.get(common)?, to.get(common)?);
        let siblings = self.declared.get(path.from.get(..common)?)?;
        let index = |name| siblings.iter().position(|sibling| sibling == name);
        (index(to)? < index(from)?).then(|| {
            format!("{}: module {from} uses {to}, which is declared before it", path.seen_at)
        })
    }

    /// The module in which the thing at `path` lives, through names given by `use`.
    fn module_of(&self, mut path: Place) -> Place {
        // A name may lead to a name; the bound is for `use` lines that lead in a circle.
        for _ in 0..RENAMES_MAX {
            let module = self.deepest_module(&path);
            let renamed =
                path.get(module.len()).and_then(|name| self.renamed.get(&module)?.get(name));
            match renamed {
                Some(target) if *target != path => {
                    let rest = path.get(module.len() + 1..).unwrap_or_default();
                    path = [target.as_slice(), rest].concat();
                }
                _ => return module,
            }
        }
        self.deepest_module(&path)
    }

    fn deepest_module(&self, path: &[String]) -> Place {
        let mut module = Vec::new();
        for name in path {
            if !self.declared.get(&module).is_some_and(|children| children.contains(name)) {
                break;
            }
            module.push(name.clone());
        }
        module
    }
}

/// Whether a path gives a name to what it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// A `use` line does.
    Names,
    /// A path in an expression or a type does not.
    Mentions,
}

struct Leaf {
    path: Vec<String>,
    name: Option<String>,
}

/// `a::{b, c::d as e}` into its leaves; `at` moves behind it.
fn tree(
    tokens: &[Token<'_>],
    at: &mut usize,
    prefix: &[String],
    naming: Naming,
    leaves: &mut Vec<Leaf>,
) {
    let mut path = prefix.to_vec();
    let text = |at: usize| tokens.get(at).map(|token| token.text);
    loop {
        match text(*at) {
            Some("{") if naming == Naming::Names => {
                *at += 1;
                while !matches!(text(*at), None | Some("}")) {
                    tree(tokens, at, &path, naming, leaves);
                    if text(*at) == Some(",") {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            // `a::{self}` is `a`.
            Some("self") if !path.is_empty() => *at += 1,
            Some(word) if word.starts_with(|c: char| c.is_alphanumeric() || c == '_') => {
                path.push(word.to_owned());
                *at += 1;
            }
            // `*`, `<`, or something that is no path: what came before it is the leaf.
            Some(_) => *at += 1,
            None => {}
        }
        if text(*at) != Some("::") {
            break;
        }
        *at += 1;
    }
    let mut name = path.last().cloned();
    if naming == Naming::Names && text(*at) == Some("as") {
        name = text(*at + 1).map(str::to_owned);
        *at += 2;
    }
    leaves.push(Leaf { path, name: name.filter(|_| naming == Naming::Names) });
}

/// How many tokens an item takes, attributes before it included: up to its `;` or its block.
fn item(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "{" => depth += 1,
            "}" if depth <= 1 => return at + 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

const RENAMES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// Files by place (`""`, `a`, `a/b`), as a crate.
    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (place, source) in files {
            let name = if place.is_empty() { "lib" } else { place };
            let file = folder.path().join("src").join(name).with_extension("rs");
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, source).unwrap();
        }
        check(folder.path(), folder.path()).unwrap()
    }

    #[test]
    fn a_module_may_use_what_is_declared_after_it() {
        let files = [
            ("", "mod a; mod b; pub use a::A;"),
            ("a", "use crate::b::{self, B}; fn f() { crate::b::g() }"),
            ("b", "use std::fmt; pub(crate) struct B;"),
        ];
        assert_eq!(findings(&files), [""; 0]);
    }

    #[test]
    fn a_module_may_not_use_what_is_declared_before_it() {
        let message = "src/b.rs:2: module b uses a, which is declared before it";
        for source in [
            "\nuse crate::a::A;",
            "\nuse crate::{c, a::{x, y}};",
            "\nuse super::a;",
            "\nfn f(x: crate::a::A) {}",
            "\nuse crate::A;",
            "\nuse crate::{Other as O, Renamed};",
        ] {
            let root = "mod a; mod b; mod c; pub use a::A; pub(crate) use crate::a::B as Renamed;";
            let files = [("", root), ("a", ""), ("b", source), ("c", "")];
            assert_eq!(findings(&files), [message], "{source}");
        }
    }

    #[test]
    fn the_rule_holds_deep_inside_and_between_siblings_there() {
        let files = [
            ("", "mod low; mod high;"),
            ("low", ""),
            ("high", "mod x; mod y;"),
            ("high/x", "use super::y::Y; use super::Ours;"),
            ("high/y", "use super::x;\nuse super::super::low;"),
        ];
        assert_eq!(
            findings(&files),
            [
                "src/high/y.rs:1: module y uses x, which is declared before it",
                "src/high/y.rs:2: module high uses low, which is declared before it",
            ]
        );
    }

    #[test]
    fn comments_strings_and_tests_may_name_anything() {
        let files = [
            ("", "mod a; mod b; #[cfg(test)] mod fake;"),
            ("a", ""),
            (
                "b",
                "//! See [`crate::a`].\nconst X: &str = \"crate::a\";\n\
                 #[cfg(test)]\nuse crate::a;\n\
                 #[cfg(test)]\nmod tests { use crate::a::A; }",
            ),
            ("fake", "use crate::a;"),
        ];
        assert_eq!(findings(&files), [""; 0]);
    }

    #[test]
    fn modules_inside_a_file_are_modules() {
        let files = [("", "mod a { } mod b { use super::a::A; mod c { use super::super::a; } }")];
        assert_eq!(
            findings(&files),
            ["src/lib.rs:1: module b uses a, which is declared before it"]
        );
    }
}
