//! A pooler as a child with a folder of its own, both of which end with us, however we end.
//!
//! A shell beside the child holds the reading end of a pipe whose writing end only we have. The
//! kernel closes that end when we are gone, even after `kill -9`, and then the shell removes the
//! folder and ends the process group.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, ChildStdin, Command, Stdio};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::install::is_root;
use crate::shell::{command, output};

/// As whom a child runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Account {
    Ours,
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// Ourselves, or `postgres` when we are root.
    pub(crate) fn not_root() -> Result<Self> {
        if !is_root() {
            return Ok(Self::Ours);
        }
        let number = |flag: &str| -> Result<u32> {
            output(&mut command("id", [flag, "postgres"]))?.trim().parse().context("output of id")
        };
        Ok(Self::Other { uid: number("-u")?, gid: number("-g")? })
    }

    fn own(self, path: &Path) -> Result<()> {
        match self {
            Self::Ours => Ok(()),
            Self::Other { uid, gid } => chown(path, Some(uid), Some(gid))
                .with_context(|| format!("owner of {}", path.display())),
        }
    }
}

/// A folder that only one account can read.
#[derive(Debug)]
pub(crate) struct Folder {
    folder: TempDir,
    account: Account,
}

impl Folder {
    pub(crate) fn make(account: Account) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("tidegate-xtask-").tempdir();
        let folder = folder.context("a temporary folder")?;
        account.own(folder.path())?;
        Ok(Self { folder, account })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .with_context(|| path.display().to_string())?;
        self.account.own(&path)?;
        Ok(path)
    }
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Child {
    process: process::Child,
    /// Held, never written: its end is what tells the shell that we are gone.
    alive: Option<ChildStdin>,
    folder: Folder,
}

impl Child {
    /// Starts `program`; what it says goes to a log in `folder`.
    pub(crate) fn start(program: &Command, folder: Folder, account: Account) -> Result<Self> {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", SHELL, "tidegate-xtask"])
            .arg(folder.path())
            .arg(program.get_program())
            .args(program.get_args())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Of its own, so that all of it can be ended at once; Ctrl-C reaches only us.
            .process_group(0);
        if let Account::Other { uid, gid } = account {
            shell.uid(uid).gid(gid);
        }
        let mut process = shell.spawn().context("cannot run sh")?;
        let alive = process.stdin.take();
        Ok(Self { process, alive, folder })
    }

    /// Of the program: the shell has become it.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// False once it has ended by itself.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// All that it has said.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.folder().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last lines of what it has said.
    pub(crate) fn log_tail(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.len().saturating_sub(LOG_LINES_MAX);
        lines.into_iter().skip(first).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.alive = None;
        let _ = self.process.wait();
    }
}

/// `$1` is the folder, the rest the command, which the shell becomes. The reader of the pipe is a
/// child of it; while the reader is there, the number of the group cannot go to other processes.
/// Files: each client is one, and the usual limit is 1024.
const SHELL: &str = r#"
folder=$1
shift
ulimit -S -n "$(ulimit -H -n)"
exec 3<&0
( read -r _ <&3; rm -rf "$folder"; kill -KILL 0 ) &
exec "$@" </dev/null >>"$folder/log" 2>&1 3<&-
"#;

const LOG_LINES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate_scratch::wait;

    use super::*;

    fn until(mut probe: impl FnMut() -> bool) {
        let limit = Duration::from_secs(20);
        let found = wait::until(limit, Duration::from_millis(5), || {
            Ok::<_, std::convert::Infallible>(probe().then_some(()))
        });
        found.unwrap().expect("it happens in time");
    }

    #[test]
    fn a_child_has_the_files_it_needs_and_takes_its_folder_along() {
        let folder = Folder::make(Account::Ours).unwrap();
        let path = folder.path().to_owned();
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ $(ulimit -S -n) $(ulimit -H -n); exec sleep 1000"]);
        let mut child = Child::start(&command, folder, Account::Ours).unwrap();
        until(|| child.log_tail().split_whitespace().count() == 3);
        let text = child.log_tail();
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words[0], child.pid().to_string());
        assert_eq!(words[1], words[2]);
        assert!(child.is_alive());

        drop(child);
        assert!(!path.exists());
    }

    #[test]
    fn a_child_that_ends_by_itself_is_seen_and_its_words_are_kept() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo farewell >&2; exit 3"]);
        let folder = Folder::make(Account::Ours).unwrap();
        let mut child = Child::start(&command, folder, Account::Ours).unwrap();
        until(|| !child.is_alive());
        assert_eq!(child.log_tail(), "farewell");
    }
}
