//! tokio-postgres's own tests: those of its published crate, in the version that we build with.
//!
//! They insist on port 5433 of this machine, on a superuser who needs no password, and on roles with
//! passwords of every kind; [`crate::drivers::namespace`] gives them that port.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use tidegate_scratch::ClusterOptions;

use crate::drivers::outcome::{Outcome, Outcomes};
use crate::drivers::scripted;
use crate::drivers::stage::{Login, Setting, Stage};
use crate::shell::{cargo, output, root};

pub(super) fn setting() -> Setting {
    Setting {
        options: ClusterOptions::default().hba(HBA),
        sql: &[("postgres", SQL)],
        login: Login { user: "postgres", password: None, database: "postgres" },
        users: USERS,
        port: Some(PORT),
    }
}

/// Builds the tests; the rest of the run may have no network.
pub(super) fn prepare() -> Result<()> {
    binary().map(|_| ())
}

/// `words`: only tests whose names contain one of them.
pub(super) fn run(_stage: &Stage, words: &[String]) -> Result<Outcomes> {
    let mut tests = Command::new(binary()?);
    // A failure in one of several tests is exit code 101.
    tests.arg("--test-threads=4").args(words);
    outcomes(&scripted::output(&tests, &[0, 101])?)
}

/// The file of the compiled tests.
fn binary() -> Result<PathBuf> {
    let package = package()?;
    let folder = copy(&package)?;
    let features: Vec<&str> = package
        .features
        .keys()
        .map(String::as_str)
        .filter(|name| name.starts_with("with-"))
        .collect();
    let mut build = cargo(["test", "--no-run", "--quiet", "--locked", "--test", "test"]);
    build.args(["--features", &features.join(",")]).args(["--message-format", "json"]);
    build.arg("--manifest-path").arg(folder.join("Cargo.toml"));
    build.arg("--target-dir").arg(root().join("target/drivers/build"));
    let messages = output(&mut build)?;
    let mut files = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == "test";
        is_it.then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    files.next_back().context("cargo has built no tests of tokio-postgres")
}

/// The source in a folder of its own, so that it is no part of our workspace.
fn copy(package: &Package) -> Result<PathBuf> {
    let folder = root().join(format!("target/drivers/tokio-postgres-{}", package.version));
    if folder.exists() {
        return Ok(folder);
    }
    let source = package.manifest_path.parent().context("a manifest lies in a folder")?;
    ensure!(source.join("tests").exists(), "{} has no tests", source.display());
    // Under another name first, so that an interrupted copy is done again.
    let begun = folder.with_extension("begun");
    copy_folder(source, &begun)?;
    let manifest = begun.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).context("its manifest")?;
    fs::write(&manifest, format!("{text}\n[workspace]\n")).context("its manifest")?;
    fs::rename(&begun, &folder).context("the copy of tokio-postgres")?;
    Ok(folder)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| target.display().to_string())?;
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    manifest_path: PathBuf,
    features: serde_json::Map<String, Value>,
}

/// As our own lock file has it.
fn package() -> Result<Package> {
    let text = output(&mut cargo(["metadata", "--locked", "--format-version", "1"]))?;
    let metadata: Metadata = serde_json::from_str(&text).context("output of cargo metadata")?;
    let mut packages = metadata.packages.into_iter();
    packages.find(|package| package.name == "tokio-postgres").context("we use no tokio-postgres")
}

/// What the test harness prints: `test NAME ... ok`, and for each failure what it said.
fn outcomes(text: &str) -> Result<Outcomes> {
    let mut outcomes = Outcomes::new();
    for line in text.lines() {
        let Some((name, said)) =
            line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "))
        else {
            continue;
        };
        let outcome = match said {
            "ok" => Outcome::Passed,
            said if said.starts_with("ignored") => Outcome::Skipped,
            _ => Outcome::Failed(said_by(name, text)),
        };
        // `should panic` stands behind a name.
        outcomes.insert(name.split(' ').next().unwrap_or(name).to_owned(), outcome);
    }
    ensure!(!outcomes.is_empty(), "no test was run: {}", scripted::last_lines(text));
    Ok(outcomes)
}

fn said_by(test: &str, text: &str) -> String {
    let head = format!("---- {test} stdout ----\n");
    let rest = text.split_once(&head).map(|(_, rest)| rest).unwrap_or_default();
    rest.split("\n\n---- ").next().unwrap_or_default().trim().to_owned()
}

const PORT: u16 = 5433;

const HBA: &str = "\
local all all trust
host all pass_user all password
host all md5_user all md5
host all scram_user all scram-sha-256
host all all all trust";

const SQL: &str = "\
SET password_encryption = 'md5';
CREATE ROLE pass_user LOGIN PASSWORD 'password';
CREATE ROLE md5_user LOGIN PASSWORD 'password';
SET password_encryption = 'scram-sha-256';
CREATE ROLE scram_user LOGIN PASSWORD 'password';
CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE EXTENSION ltree;";

/// A gate has one way to ask for a password, whatever PostgreSQL's is.
const USERS: &str = "\
[[user]]
name = \"postgres\"
[[user]]
name = \"pass_user\"
password = \"password\"
[[user]]
name = \"md5_user\"
password = \"password\"
[[user]]
name = \"scram_user\"
password = \"password\"
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harness_is_understood() {
        let text = "\nrunning 4 tests\ntest a::b ... ok\ntest c ... FAILED\n\
            test d ... ignored, too slow\ntest e - should panic ... ok\n\nfailures:\n\n\
            ---- c stdout ----\n\nit panicked\n\n---- x stdout ----\n\nother\n\ntest result: FAILED.\n";
        let seen = outcomes(text).unwrap();
        let expected = [
            ("a::b", Outcome::Passed),
            ("c", Outcome::Failed("it panicked".to_owned())),
            ("d", Outcome::Skipped),
            ("e", Outcome::Passed),
        ];
        assert_eq!(seen, expected.map(|(name, outcome)| (name.to_owned(), outcome)).into());
        assert!(outcomes("error: no such option\n").is_err());
    }
}
