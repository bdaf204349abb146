//! asyncpg's own tests: those of its source package, run against the package that is installed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::drivers::outcome::Outcomes;
use crate::drivers::scripted;
use crate::drivers::stage::{Setting, Stage};
use crate::python;
use crate::shell::{command, root, run as run_shown};

/// Some tests make roles, extensions, and languages.
pub(super) fn setting() -> Setting {
    Setting::default()
}

/// Fetches the tests; the rest of the run may have no network.
pub(super) fn prepare() -> Result<()> {
    tests().map(|_| ())
}

/// `words`: only tests whose names contain one of them.
pub(super) fn run(stage: &Stage, words: &[String]) -> Result<Outcomes> {
    let python = python::program(&python::ready()?);
    let mut suite = Command::new(python);
    suite.arg(root().join("drivers/asyncpg/suite.py")).arg(tests()?).args(words);
    let login = stage.login;
    suite
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", stage.port.to_string())
        .env("PGUSER", login.user)
        .env("PGPASSWORD", login.password.unwrap_or_default())
        .env("PGDATABASE", login.database);
    scripted::run(&suite)
}

/// The folder of the tests, fetched when it is not there yet. Only they are unpacked: the package
/// beside them would be taken for the installed one.
fn tests() -> Result<PathBuf> {
    let requirement = requirement()?;
    let folder = root().join("target/drivers").join(requirement.replace("==", "-"));
    let tests = folder.join("tests");
    if tests.exists() {
        return Ok(tests);
    }
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let python = python::program(&python::ready()?);
    let download = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        // The source of this package, but what builds it as wheels: Cython takes minutes.
        "--no-binary",
        "asyncpg",
        "--dest",
    ];
    run_shown(command(&python, download).arg(&folder).arg(&requirement))?;
    // Under another name first, so that an interrupted unpacking is done again.
    let unpacked = folder.join("unpacked");
    fs::create_dir_all(&unpacked).with_context(|| unpacked.display().to_string())?;
    let archive = folder.join(format!("{}.tar.gz", requirement.replace("==", "-")));
    let mut tar = command("tar", ["--extract", "--gzip", "--strip-components=1", "--wildcards"]);
    tar.arg("--directory").arg(&unpacked).arg("--file").arg(&archive).arg("*/tests");
    run_shown(&mut tar)?;
    fs::rename(unpacked.join("tests"), &tests).context("the tests of asyncpg")?;
    Ok(tests)
}

/// `asyncpg==` and the version that is installed.
fn requirement() -> Result<String> {
    let pins = fs::read_to_string(root().join("drivers/requirements.txt"));
    let pins = pins.context("drivers/requirements.txt")?;
    let pin = pins.lines().find(|line| line.starts_with("asyncpg=="));
    let pin = pin.context("drivers/requirements.txt pins no asyncpg")?;
    ensure!(!pin.contains(char::is_whitespace), "what follows the version? {pin}");
    Ok(pin.to_owned())
}
