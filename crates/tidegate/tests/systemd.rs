//! What systemd is told, on a socket of the test's own.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tidegate_testkit::wait;

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate");

/// A gate that was started with a `NOTIFY_SOCKET`. Its PostgreSQL does not exist.
struct Service {
    gate: Child,
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Service {
    fn start(socket: UnixDatagram, name: &str, more: &[(&str, &str)]) -> Self {
        socket.set_read_timeout(Some(wait::DEADLINE)).expect("a time limit");
        let folder = tempfile::tempdir().expect("a folder");
        let settings = "[upstream]\nurl = \"postgres://app@127.0.0.1:1/app\"\n[listen]\n\
                        session = \"127.0.0.1:0\"\ntransaction = \"127.0.0.1:0\"\n\
                        http = \"127.0.0.1:0\"\n";
        std::fs::write(folder.path().join("tidegate.toml"), settings).expect("settings");
        let gate = run(folder.path(), name, more, &[]);
        Self { gate, socket, folder }
    }

    /// The next message that is no sign of life.
    fn next(&self) -> String {
        std::iter::repeat_with(|| self.any()).find(|message| message != "WATCHDOG=1").expect("any")
    }

    fn any(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("a message within the deadline");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    }

    fn signal(&self, name: &str) {
        let pid = self.gate.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().expect("kill exists");
        assert!(status.success(), "the gate does not run any more");
    }

    fn ends(mut self) -> Option<i32> {
        wait::until("the gate ends", || self.gate.try_wait().ok().flatten()).code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.gate.kill();
        let _ = self.gate.wait();
    }
}

/// Starts a gate with the settings of this folder.
fn run(folder: &Path, name: &str, variables: &[(&str, &str)], more: &[&str]) -> Child {
    let control = format!("listen.control={}", folder.join("control").display());
    let mut command = Command::new(BINARY);
    command.arg("run").arg("--config").arg(folder.join("tidegate.toml")).env_clear();
    command.arg("--set").arg(control).args(more);
    command.env("NOTIFY_SOCKET", name).envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("it starts")
}

/// The service goes on with the process that takes over; the end of the old one is not its end.
#[test]
fn the_process_that_takes_over_is_the_services() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let name = path.to_str().expect("text");
    let mut service = Service::start(socket, name, &[]);
    assert_eq!(service.next(), "READY=1\nSTATUS=takes clients");
    let new = run(service.folder.path(), name, &[], &["--takeover"]);
    let mut old = std::mem::replace(&mut service.gate, new);
    assert_eq!(service.next(), format!("MAINPID={}", service.gate.id()));
    assert_eq!(service.next(), "READY=1\nSTATUS=takes clients");
    let ended = wait::until("the old one ends", || old.try_wait().ok().flatten());
    assert_eq!(ended.code(), Some(0));
    service.signal("TERM");
    assert_eq!(service.next(), "STOPPING=1\nSTATUS=0 clients are connected and may end");
    assert_eq!(service.ends(), Some(0));
}

#[test]
fn a_life_is_told_from_ready_to_stopping() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let service = Service::start(socket, path.to_str().expect("text"), &[]);
    assert_eq!(service.next(), "READY=1\nSTATUS=takes clients");
    service.signal("HUP");
    let reloading = service.next();
    let rest = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("it reloads");
    let micros = rest.split_once('\n').and_then(|(digits, _)| digits.parse::<u64>().ok());
    assert!(micros.is_some_and(|micros| micros > 0), "{reloading}");
    assert_eq!(service.next(), "READY=1\nSTATUS=takes clients");
    std::fs::write(service.folder.path().join("tidegate.toml"), "plan = 7\n").expect("broken");
    service.signal("HUP");
    assert!(service.next().starts_with("RELOADING=1\n"));
    let still = service.next();
    assert_eq!(still, "READY=1\nSTATUS=takes clients; the last reload failed, see the log");
    service.signal("TERM");
    assert_eq!(service.next(), "STOPPING=1\nSTATUS=0 clients are connected and may end");
    assert_eq!(service.ends(), Some(0));
}

#[test]
fn signs_of_life_come_as_long_as_systemd_asks_for_them_on_an_abstract_socket_as_well() {
    let name = format!("tidegate-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let socket = UnixDatagram::bind_addr(&address).expect("a socket");
    let service = Service::start(socket, &format!("@{name}"), &[("WATCHDOG_USEC", "200000")]);
    assert_eq!(service.next(), "READY=1\nSTATUS=takes clients");
    for _ in 0..5 {
        assert_eq!(service.any(), "WATCHDOG=1");
    }
    service.signal("TERM");
    assert!(service.next().starts_with("STOPPING=1\n"));
    assert_eq!(service.ends(), Some(0));
}

#[test]
fn whoever_is_not_asked_gives_no_signs_of_life() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let of_another = [("WATCHDOG_USEC", "100000"), ("WATCHDOG_PID", "1")];
    let service = Service::start(socket, path.to_str().expect("text"), &of_another);
    assert_eq!(service.any(), "READY=1\nSTATUS=takes clients");
    service.signal("HUP");
    assert!(service.any().starts_with("RELOADING=1\n"), "the next that is said");
    assert!(service.any().starts_with("READY=1\n"));
}
