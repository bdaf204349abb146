//! A gate as a process of its own, on ports that the kernel chooses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde_json::Value;
use tempfile::TempDir;

use crate::outcome::{self, Outcome};
use crate::wait;

/// A running gate. It is killed when dropped, unless it was stopped before.
pub struct Gate {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    reader: Option<JoinHandle<()>>,
    folder: Arc<TempDir>,
    flags: Vec<String>,
    allowed: Vec<String>,
    /// The session port.
    pub session: u16,
    /// The transaction port.
    pub transaction: u16,
    /// The http port.
    pub http: u16,
}

/// The beginning of every test's settings; what a test adds comes after it.
const SETTINGS: &str = "\
[listen]
session = \"127.0.0.1:0\"
transaction = \"127.0.0.1:0\"
http = \"127.0.0.1:0\"
[log]
format = \"json\"
level = \"debug\"
";

impl Gate {
    /// Starts `binary` in front of `url`. `settings` are lines of the file: top-level keys first,
    /// then tables other than `[listen]`, `[log]`, `[upstream]`; keys of those are given with
    /// `--set` in `flags` (`listen.clients_max=5`).
    ///
    /// # Panics
    /// When it does not start within the deadline.
    pub fn start(binary: &str, url: &str, settings: &str, flags: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("tidegate.toml");
        let (top, tables) = settings.split_at(settings.find('[').unwrap_or(settings.len()));
        let text = format!("{top}\n{SETTINGS}[upstream]\nurl = \"{url}\"\n{tables}");
        std::fs::write(&file, text).expect("the settings are written");
        let flags: Vec<_> = flags.iter().flat_map(|flag| ["--set", *flag]).collect();
        Self::run(binary, &file, &flags, Arc::new(folder))
    }

    /// Starts `binary` with the settings of this gate, to take over from it.
    ///
    /// # Panics
    /// When it does not start within the deadline.
    pub fn successor(&self, binary: &str) -> Self {
        let mut flags: Vec<_> = self.flags.iter().map(String::as_str).collect();
        if !flags.contains(&"--takeover") {
            flags.push("--takeover");
        }
        Self::run(binary, &self.settings_file(), &flags, self.folder.clone())
    }

    /// The same, with these settings of its own.
    ///
    /// # Panics
    /// When it does not start within the deadline.
    pub fn successor_with(&self, binary: &str, settings: &[&str]) -> Self {
        let own = settings.iter().flat_map(|setting| ["--set", *setting]);
        let flags = self.flags.iter().map(String::as_str).chain(["--takeover"]);
        let flags: Vec<_> = flags.chain(own).collect();
        Self::run(binary, &self.settings_file(), &flags, self.folder.clone())
    }

    /// Starts `binary` as [`Gate::successor`] does, and waits for its end: it does not come to serve, or
    /// not for long.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn vain_successor(&self, binary: &str) -> Outcome {
        let file = self.settings_file();
        let file = file.to_str().expect("the path is text");
        let flags = self.flags.iter().map(String::as_str);
        let own = ["run", "--takeover", "--config", file];
        let arguments: Vec<_> = own.into_iter().chain(flags).collect();
        outcome::run(binary, self.folder(), &[("RUST_BACKTRACE", "1")], &arguments)
    }

    fn run(binary: &str, file: &Path, flags: &[&str], folder: Arc<TempDir>) -> Self {
        let mut command = Command::new(binary);
        command.arg("run").arg("--config").arg(file).args(flags);
        command.env_clear().env("RUST_BACKTRACE", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let stderr = child.stderr.take().expect("stderr is piped");
        let lines = log.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(value);
            }
        });
        let mut gate = Self {
            child,
            log,
            reader: Some(reader),
            folder,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            allowed: Vec::new(),
            session: 0,
            transaction: 0,
            http: 0,
        };
        gate.session = gate.announced("session port");
        gate.transaction = gate.announced("transaction port");
        gate.http = gate.announced("http:");
        gate
    }

    fn announced(&mut self, what: &str) -> u16 {
        wait::until(&format!("the gate announces its {what}"), || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the gate has ended with {status}: {:#?}", self.log());
            }
            let log = self.log();
            let line = log.iter().find(|line| message(line).starts_with(what))?;
            let address = line["fields"]["address"].as_str()?;
            let address: SocketAddr = address.parse().ok()?;
            Some(address.port())
        })
    }

    /// Everything it has logged, a value per line.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a line of the log contains `text`.
    pub fn has_logged(&self, text: &str) -> bool {
        self.log().iter().any(|line| line.to_string().contains(text))
    }

    /// Waits until a line of the log contains `text`: what was logged is read a moment later.
    ///
    /// # Panics
    /// When none does within the deadline.
    pub fn until_logged(&self, text: &str) {
        wait::until(&format!("the gate logs {text}"), || self.has_logged(text).then_some(()));
    }

    /// A WARN or ERROR that contains `text` is expected; any other fails the test.
    pub fn allow(&mut self, text: &str) -> &mut Self {
        self.allowed.push(text.to_owned());
        self
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in bytes.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("the gate runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        let kilobytes = line.split_whitespace().nth(1).and_then(|number| number.parse().ok());
        1024 * kilobytes.unwrap_or(0_u64)
    }

    /// The body of a GET to its http port, and the status code.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.request("GET", path, "", "")
    }

    /// What the gate answers to a POST of `body`, with these lines of a head if there are any.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn post(&self, path: &str, head: &str, body: &str) -> (u16, String) {
        self.request("POST", path, head, body)
    }

    fn request(&self, method: &str, path: &str, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).expect("http answers");
        stream.set_read_timeout(Some(wait::DEADLINE)).expect("a time-out is set");
        let head = if head.is_empty() { String::new() } else { format!("{head}\r\n") };
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .expect("the request is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the answer is text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        (code.expect("a status code"), body.to_owned())
    }

    /// The value of a metric: the sum of all its series whose labels contain each of `labels`.
    ///
    /// # Panics
    /// When there is no such metric, which would be zero for ever.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (_, body) = self.get("/metrics");
        let mut families = body.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let is_known = families.any(|line| {
            let family = line.split(' ').next().unwrap_or_default();
            let suffix = name.strip_prefix(family);
            suffix.is_some_and(|s| matches!(s, "" | "_total" | "_sum" | "_count" | "_bucket"))
        });
        // Before the first client there are no pools, and nothing is said of them.
        let has_pools = body.contains("database=");
        assert!(is_known || !has_pools, "there is no metric {name}");
        let series = body.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label))
        });
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// The folder of its settings file.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its settings file.
    pub fn settings_file(&self) -> PathBuf {
        self.folder.path().join("tidegate.toml")
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When `kill` is missing.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().expect("kill exists");
        assert!(status.success(), "the gate does not run any more");
    }

    /// Waits for its end and says its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let status = wait::until("the gate ends", || self.child.try_wait().ok().flatten());
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        status.code()
    }
}

fn message(line: &Value) -> &str {
    line["fields"]["message"].as_str().unwrap_or_default()
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            for line in self.log().iter().rev().take(60).rev() {
                eprintln!("gate: {line}");
            }
            return;
        }
        for line in self.log() {
            let text = line.to_string();
            let is_bad =
                matches!(line["level"].as_str(), Some("WARN" | "ERROR")) || line.is_string();
            let is_allowed = self.allowed.iter().any(|allowed| text.contains(allowed));
            assert!(!is_bad || is_allowed, "the gate logged what it should not have: {text}");
        }
    }
}
