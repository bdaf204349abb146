//! Where PostgreSQL's programs are, and of which version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{ScratchError, run};

/// One set of PostgreSQL programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The folder of `postgres`, `initdb`, and `psql`.
    pub bin: PathBuf,
    /// Major and minor version; the minor of a pre-release is 0.
    pub version: (u32, u32),
}

impl Installation {
    /// The newest of [`Installation::all`].
    pub fn find() -> Result<Self, ScratchError> {
        Self::all().into_iter().next().ok_or_else(|| not_found(None))
    }

    /// The newest of [`Installation::all`] of this major version.
    pub fn find_version(major: u32) -> Result<Self, ScratchError> {
        let mut all = Self::all().into_iter();
        all.find(|found| found.version.0 == major).ok_or_else(|| not_found(Some(major)))
    }

    /// The one in this folder.
    pub fn at(bin: impl Into<PathBuf>) -> Result<Self, ScratchError> {
        let bin = bin.into();
        let output = run(Command::new(bin.join("postgres")).arg("--version"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let not_a_version = || ScratchError::Program {
            program: bin.join("postgres").display().to_string(),
            status: "unknown version".to_owned(),
            stderr: text.trim().to_owned(),
        };
        let version = parse_version(&text).ok_or_else(not_a_version)?;
        Ok(Self { bin, version })
    }

    /// All that can be found where Debian keeps them and on `PATH`, newest first.
    pub fn all() -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for bin in places() {
            if let Ok(installation) = Self::at(bin) {
                found.push(installation);
            }
        }
        // Stable: of equals, Debian's comes before what else is on PATH.
        found.sort_by_key(|installation| std::cmp::Reverse(installation.version));
        found
    }

    /// One of its programs, such as `psql`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

fn not_found(major: Option<u32>) -> ScratchError {
    let mut searched = vec![PathBuf::from(DEBIAN).join("*/bin")];
    searched.extend(path_folders());
    ScratchError::NoInstallation { major, searched }
}

/// The folders that hold a `postgres`.
fn places() -> Vec<PathBuf> {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin"));
    let mut bins: Vec<PathBuf> = Vec::new();
    for bin in debian.chain(path_folders()) {
        // On PATH there may be a link; `initdb` and `postgres` find their files beside the real one.
        let Ok(program) = fs::canonicalize(bin.join("postgres")) else { continue };
        let bin = program.parent().unwrap_or(Path::new("/")).to_owned();
        if !bins.contains(&bin) {
            bins.push(bin);
        }
    }
    bins
}

fn path_folders() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// From `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, or `… 18beta1`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (_, rest) = text.split_once("(PostgreSQL) ")?;
    let (major, rest) = leading_number(rest)?;
    let minor = rest.strip_prefix('.').and_then(leading_number).map_or(0, |(minor, _)| minor);
    Some((major, minor))
}

fn leading_number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

const DEBIAN: &str = "/usr/lib/postgresql";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_packages_and_of_pre_releases_are_understood() {
        let debian = "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n";
        assert_eq!(parse_version(debian), Some((15, 14)));
        assert_eq!(parse_version("postgres (PostgreSQL) 18beta1\n"), Some((18, 0)));
        assert_eq!(parse_version("postgres (EnterpriseDB) 15.1\n"), None);
    }

    #[test]
    fn a_version_that_nobody_has_is_refused_with_the_cure() {
        let error = Installation::find_version(3).unwrap_err().to_string();
        assert!(
            error.starts_with("no PostgreSQL 3 server found in /usr/lib/postgresql"),
            "{error}"
        );
        assert!(error.ends_with("`cargo xtask test` installs it"), "{error}");
    }
}
