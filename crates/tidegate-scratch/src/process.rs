//! One run of the server: a small shell that starts `postgres`, and stops it when we are gone.
//!
//! A test process may be killed at any time, and then no `Drop` runs. What always happens is
//! that the kernel closes our end of a pipe, so the shell waits for that end, too.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::account::Account;
use crate::error::ScratchError;
use crate::installation::Installation;
use crate::wait::until;

/// How a cluster is stopped (PostgreSQL 15, 19.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Waits for all clients to leave.
    Smart,
    /// Ends all clients, then writes a checkpoint.
    Fast,
    /// Ends all processes at once; the next start recovers, as after a crash.
    Immediate,
}

impl StopMode {
    fn signal(self) -> Signal {
        match self {
            Self::Smart => Signal::TERM,
            Self::Fast => Signal::INT,
            Self::Immediate => Signal::QUIT,
        }
    }
}

/// A running postmaster.
#[derive(Debug)]
pub(crate) struct Running {
    shell: Child,
    postmaster: Pid,
    /// Held, never written: its end is what tells the shell that we are gone.
    _alive: ChildStdin,
}

impl Running {
    /// Starts `postgres` on the `data` below `folder`, and waits until it takes connections.
    pub(crate) fn start(
        installation: &Installation,
        account: Account,
        folder: &Path,
        keep: bool,
    ) -> Result<Self, ScratchError> {
        let mut shell = account
            .command("sh")
            .args(["-c", SHELL, "tidegate-scratch"])
            .args([installation.program("postgres").as_path(), folder])
            .arg(if keep { "keep" } else { "remove" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C at a terminal is for us; when and how PostgreSQL ends is ours to say.
            .process_group(0)
            .spawn()
            .map_err(ScratchError::io("run", Path::new("sh")))?;
        let alive = shell.stdin.take().expect("stdin is piped");
        let stdout = shell.stdout.take().expect("stdout is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map_err(ScratchError::io("start", folder))?;
        let Some(postmaster) = line.trim().parse().ok().and_then(Pid::from_raw) else {
            return Err(ScratchError::NotStarted { log: log_tail(folder) });
        };
        let mut running = Self { shell, postmaster, _alive: alive };
        match running.wait_until_ready(folder) {
            Ok(()) => Ok(running),
            Err(error) => {
                running.end();
                Err(error)
            }
        }
    }

    /// `pg_ctl`'s way: the postmaster writes `ready` into the eighth line of `postmaster.pid`
    /// once it takes connections. Trying one instead would leave marks in its log.
    fn wait_until_ready(&mut self, folder: &Path) -> Result<(), ScratchError> {
        let pid_file = folder.join("data/postmaster.pid");
        let pid = self.postmaster.as_raw_pid().to_string();
        let ready = until(START_MAX, BETWEEN_PROBES, || {
            let ended = self.shell.try_wait().map_err(ScratchError::io("wait for", folder))?;
            if ended.is_some() {
                return Err(ScratchError::NotStarted { log: log_tail(folder) });
            }
            let text = fs::read_to_string(&pid_file).unwrap_or_default();
            let mut lines = text.lines();
            // The file of an earlier run that crashed may still be there.
            let is_ours = lines.next() == Some(pid.as_str());
            let is_ready = lines.nth(6).is_some_and(|status| status.trim() == "ready");
            Ok((is_ours && is_ready).then_some(()))
        })?;
        ready.ok_or_else(|| ScratchError::NotReady { waited: START_MAX, log: log_tail(folder) })
    }

    pub(crate) fn postmaster(&self) -> Pid {
        self.postmaster
    }

    /// False once the postmaster has ended, whoever ended it. While it is true the postmaster's
    /// pid cannot have gone to another process: the shell has not yet reaped it.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.shell.try_wait(), Ok(None))
    }

    /// Asks the postmaster to end, and waits until it has.
    pub(crate) fn stop(&mut self, mode: StopMode) -> Result<(), ScratchError> {
        if self.is_alive() {
            // A postmaster that ends in this very moment needs no signal.
            let _ = kill_process(self.postmaster, mode.signal());
            self.resume();
        }
        let ended = until(STOP_MAX, BETWEEN_PROBES, || {
            let alive = self.is_alive();
            if alive && mode == StopMode::Immediate {
                // A connection that arrives during the stop gets a process that the postmaster
                // waits for without signalling it, for as long as `authentication_timeout` lasts.
                signal_children(self.postmaster, Signal::QUIT);
            }
            Ok((!alive).then_some(()))
        })?;
        ended.ok_or(ScratchError::NotStopped { waited: STOP_MAX })
    }

    /// Stops every process in its tracks; sockets stay open and nothing answers.
    pub(crate) fn pause(&self) {
        // The postmaster first, so that it makes no more children.
        let _ = kill_process(self.postmaster, Signal::STOP);
        signal_children(self.postmaster, Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        signal_children(self.postmaster, Signal::CONT);
        let _ = kill_process(self.postmaster, Signal::CONT);
    }

    /// For when nobody can be told of a failure.
    pub(crate) fn end(&mut self) {
        if self.stop(StopMode::Immediate).is_err() {
            signal_children(self.postmaster, Signal::KILL);
            let _ = kill_process(self.postmaster, Signal::KILL);
            let _ = self.shell.wait();
        }
    }
}

/// The last lines of the server's log, for error messages.
fn log_tail(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join(LOG)).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(LOG_LINES_MAX))
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}

fn signal_children(parent: Pid, signal: Signal) {
    for child in children_of(parent) {
        let _ = kill_process(child, signal); // It may have ended meanwhile.
    }
}

/// The children of a process, by what `/proc` says now.
fn children_of(parent: Pid) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| parent_of(pid) == Some(parent.as_raw_pid()))
        .filter_map(Pid::from_raw)
        .collect()
}

/// The second field after the name, which is in parentheses and may hold anything (proc(5)).
fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

/// Makes the log before the server runs, so that it can be read from the first moment.
pub(crate) fn make_log(folder: &Path, account: Account) -> Result<(), ScratchError> {
    let path = folder.join(LOG);
    File::create(&path).map_err(ScratchError::io("make", &path))?;
    account.own(&path)
}

pub(crate) const LOG: &str = "postgres.log";

/// `$1` is the program, `$2` the folder, `$3` says whether to remove it when we are gone.
/// The reader of the pipe is a process of its own, because the shell itself waits for
/// `postgres`. It is told to leave once `postgres` has ended, so that it never signals a pid
/// that has meanwhile gone to another; if it leaves by itself, the pipe was closed.
const SHELL: &str = r#"
exec 3<&0
"$1" -D "$2/data" </dev/null >>"$2/postgres.log" 2>&1 3<&- &
pid=$!
( read -r _ <&3; trap '' TERM; kill -QUIT $pid; kill -CONT $pid; exit 0 ) &
reader=$!
echo $pid
wait $pid
status=$?
kill $reader
if wait $reader && [ "$3" = remove ]; then rm -rf "$2"; fi
exit $status
"#;

/// Short beside the 40 ms or so that a start takes, long beside the cost of a probe.
const BETWEEN_PROBES: Duration = Duration::from_millis(3);
/// Recovery after a crash is what may take long; a plain start takes well under a second.
const START_MAX: Duration = Duration::from_secs(60);
/// PostgreSQL itself kills what has not ended five seconds after an immediate stop.
const STOP_MAX: Duration = Duration::from_secs(30);
const LOG_LINES_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_its_parent() {
        let me = rustix::process::getpid();
        let parent = rustix::process::getppid().map(Pid::as_raw_pid);
        assert_eq!(parent_of(me.as_raw_pid()), parent);
        assert_eq!(parent_of(0), None);
    }
}
