//! A child process with a folder of its own, both of which end with us, however we end.
//!
//! A shell beside the child holds the reading end of a pipe whose writing end only we have. The
//! kernel closes that end when we are gone, even after `kill -9`, and then the shell removes the
//! folder and ends the whole process group (uvicorn's workers, too, and itself).

use std::fmt;
use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// A folder that only we can read, for what one child needs: files, a log.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes one in the system's temporary folder.
    pub(crate) fn make(name: &str) -> io::Result<Self> {
        let mut attempt = 0;
        loop {
            let name = format!("tidegate-demo-{name}-{}-{attempt}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                // Left by an earlier process of our number, or put there to annoy.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file that only we can read; folders on its way are made.
    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // The shell may have been faster.
    }
}

/// Who a child is, as messages name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    App,
    Gate,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::App => "the FastAPI app",
            Self::Gate => "the gate",
        })
    }
}

/// A running child. Dropping it ends its whole process group.
#[derive(Debug)]
pub(crate) struct Running {
    process: Child,
    /// Held, never written: its end is what tells the shell that we are gone.
    alive: Option<ChildStdin>,
    folder: Folder,
}

impl Running {
    /// Starts `command` in `folder` with exactly the environment that it was given. What it says
    /// goes to [`Running::log_path`].
    pub(crate) fn start(command: &Command, folder: Folder) -> io::Result<Self> {
        let environment = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let mut process = Command::new("sh")
            .args(["-c", SHELL, "tidegate-demo"])
            .arg(folder.path())
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
            .envs(environment)
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Of its own, so that all of it can be ended at once; Ctrl-C reaches only us.
            .process_group(0)
            .spawn()?;
        let alive = process.stdin.take();
        Ok(Self { process, alive, folder })
    }

    /// False once the child has ended by itself.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What the child has said so far.
    pub(crate) fn log_text(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The last lines of that, for error messages.
    pub(crate) fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.len().saturating_sub(LOG_LINES_MAX);
        lines.into_iter().skip(first).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.alive = None;
        let _ = self.process.wait();
    }
}

/// `$1` is the folder, the rest the command, which the shell becomes, so that we see it end. The
/// reader of the pipe is a child of it. While the reader is there, the number of the group cannot
/// go to other processes.
const SHELL: &str = r#"
folder=$1
shift
exec 3<&0
( read -r _ <&3; rm -rf "$folder"; kill -KILL 0 ) &
exec "$@" </dev/null >>"$folder/log" 2>&1 3<&-
"#;

const LOG_LINES_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidegate_scratch::wait::until;

    use super::*;
    use crate::demo::BETWEEN_PROBES;

    /// Whether it runs. A zombie doesn't: who reaps orphans may take its time.
    fn runs(pid: &str) -> bool {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }

    fn wait_for<T>(mut probe: impl FnMut() -> Option<T>) -> T {
        let found = until(Duration::from_secs(20), BETWEEN_PROBES, || Ok::<_, io::Error>(probe()));
        found.unwrap().expect("it happens in time")
    }

    #[test]
    fn the_end_of_a_child_is_the_end_of_its_children_and_of_its_folder() {
        let folder = Folder::make("test").unwrap();
        let path = folder.path().to_owned();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo $! $$; wait"]);
        let mut running = Running::start(&command, folder).unwrap();
        let text = wait_for(|| Some(running.log_text()).filter(|text| text.ends_with('\n')));
        let pids: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(pids.len(), 2, "{text}");
        assert!(running.is_alive() && pids.iter().all(|pid| runs(pid)));

        drop(running);
        wait_for(|| pids.iter().all(|pid| !runs(pid)).then_some(()));
        assert!(!path.exists());
    }

    #[test]
    fn a_child_that_ends_by_itself_is_seen_and_its_words_are_kept() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo \"$WORD\" >&2; exit 3"]).env("WORD", "farewell");
        let mut running = Running::start(&command, Folder::make("test").unwrap()).unwrap();
        wait_for(|| (!running.is_alive()).then_some(()));
        assert_eq!(running.log_tail(), "farewell");
    }

    #[test]
    fn a_file_of_a_folder_is_for_us_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::make("test").unwrap();
        let path = folder.write("deep/down", "secret").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
