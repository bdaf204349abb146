//! Manifests: a crate has the name of its folder and takes lints and version from the workspace.

use anyhow::{Context as _, Result};

use super::files::read;
use crate::workspace::Package;

pub(super) fn check(package: &Package) -> Result<Vec<String>> {
    let text = read(&package.manifest_path)?;
    let folder = package.folder();
    let folder = folder.file_name().unwrap_or_default().to_string_lossy();
    findings(&package.name, &folder, &text)
}

fn findings(name: &str, folder: &str, manifest: &str) -> Result<Vec<String>> {
    let manifest: toml::Table = manifest.parse().with_context(|| format!("manifest of {name}"))?;
    let inherits = |path: &[&str]| {
        let (first, rest) = path.split_first()?;
        let value = rest.iter().try_fold(manifest.get(*first)?, |value, key| value.get(key))?;
        value.get("workspace")?.as_bool()
    };
    let mut findings = Vec::new();
    if name != folder {
        findings.push(format!("{name}: its folder is called {folder}"));
    }
    for path in INHERITED {
        if inherits(path) != Some(true) {
            findings
                .push(format!("{name}: its manifest lacks `{}.workspace = true`", path.join(".")));
        }
    }
    Ok(findings)
}

const INHERITED: &[&[&str]] = &[
    &["lints"],
    &["package", "version"],
    &["package", "edition"],
    &["package", "rust-version"],
    &["package", "license"],
    &["package", "publish"],
];

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "[package]\nname = 'a'\nversion.workspace = true\n\
        edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
        publish.workspace = true\n[lints]\nworkspace = true\n";

    #[test]
    fn what_is_inherited_and_well_named_is_fine() {
        assert_eq!(findings("a", "a", WHOLE).unwrap(), [""; 0]);
    }

    #[test]
    fn other_names_and_own_lints_are_findings() {
        let own = WHOLE.replace("[lints]\nworkspace = true", "[lints.rust]\nunsafe_code = 'allow'");
        let own = own.replace("version.workspace = true\ned", "version = '1.0.0'\ned");
        assert_eq!(
            findings("a", "b", &own).unwrap(),
            [
                "a: its folder is called b",
                "a: its manifest lacks `lints.workspace = true`",
                "a: its manifest lacks `package.version.workspace = true`",
            ]
        );
    }
}
