//! Layers: which of our crates may use which, by `xtask/layers.toml`.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::shell::root;
use crate::workspace::Package;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layers {
    tests_may_use: Vec<String>,
    #[serde(rename = "crate")]
    crates: Vec<Layer>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Layer {
    name: String,
    #[serde(default)]
    pure: bool,
    uses: Vec<String>,
}

pub(crate) fn read() -> Result<Layers> {
    let text = super::files::read(&root().join(FILE))?;
    toml::from_str(&text).context(FILE)
}

impl Layers {
    /// The crates that read no clock and do no I/O.
    pub(crate) fn pure(&self) -> Vec<String> {
        self.crates.iter().filter(|layer| layer.pure).map(|layer| layer.name.clone()).collect()
    }
}

pub(super) fn check(layers: &Layers, packages: &[Package]) -> Vec<String> {
    let mut findings = check_order(&layers.crates);
    for layer in &layers.crates {
        if !packages.iter().any(|package| package.name == layer.name) {
            findings.push(format!("{FILE}: {} is not in the workspace", layer.name));
        }
    }
    for package in packages {
        match layers.crates.iter().find(|layer| layer.name == package.name) {
            Some(layer) => findings.extend(check_package(layer, &layers.tests_may_use, package)),
            None => findings.push(format!("{FILE}: {} has no layer", package.name)),
        }
    }
    findings
}

/// The file itself: everything used stands above, and purity is not lost on the way.
fn check_order(crates: &[Layer]) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, layer) in crates.iter().enumerate() {
        let (above, _) = crates.split_at(index);
        for used in &layer.uses {
            match above.iter().find(|other| other.name == *used) {
                None => findings.push(format!("{FILE}: {used} is not above {}", layer.name)),
                Some(other) if layer.pure && !other.pure => {
                    findings.push(format!("{FILE}: {} is pure, {used} is not", layer.name));
                }
                Some(_) => {}
            }
        }
    }
    findings
}

fn check_package(layer: &Layer, tests_may_use: &[String], package: &Package) -> Vec<String> {
    let ours = package.dependencies.iter().filter(|dependency| dependency.path.is_some());
    let refused = ours.filter(|dependency| {
        let for_tests = dependency.kind.as_deref() == Some("dev");
        let allowed = layer.uses.contains(&dependency.name)
            || for_tests && tests_may_use.contains(&dependency.name);
        !allowed
    });
    let finding = |name| format!("{} may not use {name}; {FILE} has the edges", package.name);
    refused.map(|dependency| finding(&dependency.name)).collect()
}

const FILE: &str = "xtask/layers.toml";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn layers(text: &str) -> Layers {
        toml::from_str(text).unwrap()
    }

    fn package(name: &str, uses: &[(&str, Option<&str>)]) -> Package {
        let dependency = |(name, kind): &(&str, Option<&str>)| Dependency {
            name: (*name).to_owned(),
            kind: kind.map(str::to_owned),
            path: Some("/somewhere".into()),
        };
        Package {
            name: name.to_owned(),
            manifest_path: format!("/ws/crates/{name}/Cargo.toml").into(),
            dependencies: uses.iter().map(dependency).collect(),
            targets: Vec::new(),
        }
    }

    const THREE: &str = r#"
        tests_may_use = ["kit"]
        crate = [
            { name = "wire", pure = true, uses = [] },
            { name = "proxy", uses = ["wire"] },
            { name = "kit", uses = ["wire"] },
        ]"#;

    #[test]
    fn edges_that_are_listed_are_fine_and_tests_may_use_the_testkit() {
        let packages = [
            package("wire", &[("kit", Some("dev"))]),
            package("proxy", &[("wire", None), ("kit", Some("dev"))]),
            package("kit", &[("wire", None)]),
        ];
        assert_eq!(check(&layers(THREE), &packages), [""; 0]);
    }

    #[test]
    fn an_edge_that_is_not_listed_is_refused_whatever_its_kind() {
        let packages = [
            package("wire", &[("proxy", None), ("proxy", Some("build"))]),
            package("proxy", &[("kit", None)]),
            package("kit", &[("proxy", Some("dev"))]),
        ];
        let findings = check(&layers(THREE), &packages);
        let edges: Vec<&str> = findings.iter().filter_map(|f| f.split(';').next()).collect();
        let wanted = ["wire may not use proxy", "wire may not use proxy", "proxy may not use kit"];
        assert_eq!(edges, [&wanted[..], &["kit may not use proxy"]].concat());
    }

    #[test]
    fn crates_without_a_layer_and_layers_without_a_crate_are_named() {
        let packages = [package("wire", &[]), package("proxy", &[]), package("extra", &[])];
        let findings = check(&layers(THREE), &packages);
        assert_eq!(
            findings,
            [format!("{FILE}: kit is not in the workspace"), format!("{FILE}: extra has no layer")]
        );
    }

    #[test]
    fn the_order_of_the_file_is_law() {
        let upside_down = r#"
            tests_may_use = []
            crate = [
                { name = "config", uses = ["wire"] },
                { name = "wire", pure = true, uses = ["config"] },
            ]"#;
        assert_eq!(
            check_order(&layers(upside_down).crates),
            [
                format!("{FILE}: wire is not above config"),
                format!("{FILE}: wire is pure, config is not")
            ]
        );
    }
}
