//! The Python environment with the drivers that people use.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use crate::wait;

/// The interpreter of the environment that `cargo xtask test` makes.
///
/// # Panics
/// When it is not there; the message says what makes it.
pub fn interpreter() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = root.join("target/python/bin/python");
    assert!(python.exists(), "no Python environment: `cargo xtask test` installs it");
    python
}

/// Runs `script` with arguments; its output when it succeeds.
///
/// # Panics
/// When it fails, with all that it printed.
pub fn run(script: &str, arguments: &[&str]) -> String {
    let output = Command::new(interpreter()).arg("-c").arg(script).args(arguments).output();
    let output = output.expect("the interpreter starts");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the script failed\n{out}\n{err}");
    out.into_owned()
}

/// A script that runs beside the test; they talk line by line. It is killed when dropped.
pub struct Script {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Script {
    /// Starts it.
    ///
    /// # Panics
    /// When there is no interpreter.
    pub fn start(script: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(interpreter());
        command.arg("-u").arg("-c").arg(script).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the interpreter starts");
        let input = child.stdin.take().expect("stdin is piped");
        let output = child.stdout.take().expect("stdout is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line); // The test may be over.
            }
        });
        Self { child, input, lines }
    }

    /// The next line that it prints.
    ///
    /// # Panics
    /// When none comes within [`wait::DEADLINE`], or it has ended.
    pub fn hear(&self) -> String {
        let line = self.lines.recv_timeout(wait::DEADLINE);
        line.unwrap_or_else(|error| panic!("no line of the script: {error}"))
    }

    /// A line that it has printed already, if there is any.
    pub fn heard(&self) -> Option<String> {
        self.lines.try_recv().ok()
    }

    /// Gives it a line.
    ///
    /// # Panics
    /// When it has ended.
    pub fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("the script listens");
    }

    /// Gives it a line and hears the answer.
    ///
    /// # Panics
    /// When it has ended, or does not answer.
    pub fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.hear()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
