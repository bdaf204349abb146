//! What systemd is told: that the gate is ready, reloads, ends, and is alive (`sd_notify(3)`).
//!
//! Each message is one datagram to the socket that `NOTIFY_SOCKET` names; where there is none, nobody
//! is told. A message that can't be sent is dropped: systemd then does what it does with a service
//! that says nothing.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tidegate_proxy::shared::Shared;

/// In the time within which systemd wants to hear something, the workers are asked so often whether
/// they are alive. One that is busy for a moment may miss a few.
const ASKED_PER_PERIOD: u32 = 4;

/// Where systemd listens.
pub(crate) struct Notifier {
    socket: UnixDatagram,
    systemd: SocketAddr,
}

impl Notifier {
    /// The one that started this process, if it wants to be told.
    pub(crate) fn of_environment() -> Option<Arc<Self>> {
        let name = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())?;
        match Self::to(&name) {
            Ok(notifier) => Some(Arc::new(notifier)),
            Err(error) => {
                tracing::warn!("systemd can't be told anything: NOTIFY_SOCKET {name:?}: {error}");
                None
            }
        }
    }

    fn to(name: &OsStr) -> io::Result<Self> {
        let systemd = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => return Err(io::Error::other("it is neither a path nor an abstract name")),
        };
        let socket = UnixDatagram::unbound()?;
        // Nothing waits for systemd to read.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, systemd })
    }

    /// This process is the service's from now on, and no more the one that it has taken over from.
    pub(crate) fn main_process(&self) {
        self.send(&format!("MAINPID={}", std::process::id()));
    }

    /// Clients are taken; or, after a reload, are so again.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// The settings are read again. systemd compares the time with that of its signal.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.send(&format!(
            "RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reading the settings again"
        ));
    }

    /// The gate ends.
    pub(crate) fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={status}"));
    }

    fn send(&self, message: &str) {
        let _ = self.socket.send_to_addr(message.as_bytes(), &self.systemd);
    }
}

/// Within which time systemd wants to hear that this process is alive, if it does.
pub(crate) fn watchdog() -> Option<Duration> {
    let variable = |name: &str| std::env::var(name).ok();
    watched(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"), std::process::id())
}

fn watched(micros: Option<String>, pid: Option<String>, own_pid: u32) -> Option<Duration> {
    // The variables may be inherited from a process that was meant.
    let is_meant = pid.is_none_or(|pid| pid.parse() == Ok(own_pid));
    let micros = micros?.parse().ok().filter(|micros| *micros > 0)?;
    is_meant.then(|| Duration::from_micros(micros))
}

/// Tells systemd that the gate is alive, as long as each worker answers, within `period`.
///
/// # Cancel safety
/// Nothing is told any more.
pub(crate) async fn keep_alive(notifier: Arc<Notifier>, shared: Arc<Shared>, period: Duration) {
    let mut ticks = tokio::time::interval(period / ASKED_PER_PERIOD);
    let mut before = shared.ask_pulses();
    loop {
        ticks.tick().await;
        let now = shared.pulses();
        if now.iter().zip(&before).all(|(now, before)| now.is_after(*before)) {
            notifier.send("WATCHDOG=1");
            before = now;
        }
        shared.ask_pulses();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_process_that_is_meant_is_watched() {
        let text = |text: &str| Some(text.to_owned());
        let period = Some(Duration::from_secs(10));
        assert_eq!(watched(text("10000000"), None, 7), period);
        assert_eq!(watched(text("10000000"), text("7"), 7), period);
        assert_eq!(watched(text("10000000"), text("8"), 7), None);
        assert_eq!(watched(text("10000000"), text("x"), 7), None);
        assert_eq!(watched(text("0"), None, 7), None);
        assert_eq!(watched(text("ten"), None, 7), None);
        assert_eq!(watched(None, None, 7), None);
    }

    #[test]
    fn a_name_that_is_no_socket_is_refused() {
        assert!(Notifier::to(OsStr::new("run/systemd/notify")).is_err());
        assert!(Notifier::to(OsStr::new("/run/systemd/notify")).is_ok());
        assert!(Notifier::to(OsStr::new("@/org/freedesktop/systemd1/notify")).is_ok());
    }
}
