//! What the machine must have beside a Rust toolchain, and how it gets it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::shell::{CannotRun, command, output, run, succeeds};

/// Something that a package of Debian or Ubuntu brings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need {
    /// What makes a network of one's own.
    Iproute,
    Node,
    OpenSsl,
    PgBouncer,
    /// With a JDK, which compiles what it runs.
    Pgjdbc,
    Postgres,
    Python,
    PythonVenv,
}

impl Need {
    fn is_met(self) -> bool {
        match self {
            Self::Iproute => on_path("ip") || Path::new("/usr/sbin/ip").exists(),
            Self::Node => on_path("node") && on_path("npm"),
            Self::OpenSsl => on_path("openssl"),
            Self::PgBouncer => pgbouncer().is_some(),
            Self::Pgjdbc => on_path("javac") && Path::new(PGJDBC).exists(),
            Self::Postgres => has_postgres(Path::new("/usr/lib/postgresql")) || on_path("postgres"),
            Self::Python => on_path("python3"),
            // Debian's python3 has `venv` without what it needs to work.
            Self::PythonVenv => succeeds(&mut command("python3", ["-c", "import venv, ensurepip"])),
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Iproute => &["iproute2"],
            // npm is a part of some packages of nodejs, which then must not be asked for it.
            Self::Node if on_path("npm") => &["nodejs"],
            Self::Node => &["nodejs", "npm"],
            Self::OpenSsl => &["openssl"],
            Self::PgBouncer => &["pgbouncer"],
            Self::Pgjdbc => &["default-jdk-headless", "libpostgresql-jdbc-java"],
            // The extensions come in the server's package on Debian 12, in their own elsewhere.
            Self::Postgres => &["postgresql-15", "postgresql-contrib"],
            Self::Python => &["python3"],
            Self::PythonVenv => &["python3", "python3-venv"],
        }
    }
}

/// Installs what is missing of `needs`. Who may not gets the command to run, and exit code 3.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<Need> = needs.iter().copied().filter(|need| !need.is_met()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let wanted = missing.iter().flat_map(|need| need.packages()).copied();
    if !on_path("apt-get") {
        let names = wanted.collect::<Vec<_>>().join(", ");
        return Err(CannotRun(format!(
            "this needs what Debian calls {names}; there is no apt-get here, so install it with \
             your system's package manager"
        ))
        .into());
    }
    if !is_root() {
        let packages = offered(wanted).join(" ");
        return Err(CannotRun(format!(
            "packages are missing; run this, then try again:\n\n    \
             sudo apt-get update && sudo apt-get install -y --no-install-recommends {packages}\n"
        ))
        .into());
    }
    run(&mut command("apt-get", ["update", "-q"]))?;
    let mut install = command("apt-get", ["install", "-q", "-y", "--no-install-recommends"]);
    run(install.args(offered(wanted)).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Not every release has PostgreSQL 15; the others have one under the name of all versions.
fn offered<'a>(packages: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let in_place_of = |name| match name {
        "postgresql-15" if !has_candidate(name) => "postgresql",
        name => name,
    };
    packages.map(in_place_of).collect()
}

fn has_candidate(package: &str) -> bool {
    let policy = output(command("apt-cache", ["policy", package]).env("LC_ALL", "C"));
    policy.is_ok_and(|text| text.contains("Candidate:") && !text.contains("Candidate: (none)"))
}

/// Where PgBouncer is. Debian keeps it where only root looks for programs.
pub(crate) fn pgbouncer() -> Option<PathBuf> {
    let debian = Path::new("/usr/sbin/pgbouncer");
    if debian.exists() { Some(debian.to_owned()) } else { find_on_path("pgbouncer") }
}

pub(crate) fn is_root() -> bool {
    output(&mut command("id", ["-u"])).is_ok_and(|uid| uid.trim() == "0")
}

/// Where Debian keeps it.
pub(crate) const PGJDBC: &str = "/usr/share/java/postgresql.jar";

fn has_postgres(folder: &Path) -> bool {
    let mut versions = fs::read_dir(folder).into_iter().flatten().flatten();
    versions.any(|version| version.path().join("bin/postgres").exists())
}

fn on_path(program: &str) -> bool {
    find_on_path(program).is_some()
}

fn find_on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}
