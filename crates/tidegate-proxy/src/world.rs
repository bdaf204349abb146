//! What the workers need of the world: connections, time, and somebody who wakes them.
//!
//! In earnest the world is the kernel, and what stands here says so in one word. A simulation plays
//! another one ([`World`]) with the same workers: it decides what time it is, when bytes arrive, and
//! what breaks. Randomness then follows from a seed (`Entropy::of`).

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::Token;

use tidegate_wire::tick::Tick;

use crate::resolver::Target;

/// A world that is played.
pub trait World: Debug + Send + Sync {
    /// What time it is.
    fn now(&self) -> Tick;

    /// Begins to connect; whether it succeeds is known when the stream becomes writable.
    ///
    /// # Errors
    /// It is known at once that it fails.
    fn connect(&self, target: &Target) -> io::Result<Box<dyn Stream>>;
}

/// A connection in a world that is played. As a socket that does not block: what can't be done now
/// ends with [`io::ErrorKind::WouldBlock`], and an event says when it can.
pub trait Stream: Debug + Send {
    /// Reads what has arrived; 0 at the end.
    ///
    /// # Errors
    /// As a socket's.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes as many of these bytes as there is room for, and says how many.
    ///
    /// # Errors
    /// As a socket's.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Says that nothing more will be written.
    fn shutdown_write(&mut self);

    /// Whether it is connected.
    ///
    /// # Errors
    /// It never will be.
    fn connected(&self) -> io::Result<bool>;

    /// From now on this worker gets its events, with this token; what is the case already is one.
    fn watch(&mut self, worker: u16, token: usize);

    /// Nobody gets its events any more.
    fn unwatch(&mut self);

    /// It is another process's from now on, the one with this number.
    fn pass_to(&mut self, process: usize);
}

/// An address at which connections arrive in a world that is played.
pub trait Arrivals: Debug + Send + Sync {
    /// The next one, and where it comes from.
    ///
    /// # Errors
    /// There is none now.
    fn accept(&self) -> io::Result<(Box<dyn Stream>, Option<SocketAddr>)>;

    /// This worker gets its events, with this token.
    fn watch(&self, worker: u16, token: usize);

    /// The worker takes none any more.
    fn unwatch(&self, worker: u16);
}

/// Something has happened to what has this token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// What it was watched with.
    pub token: usize,
    /// There is something to read.
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
    /// The peer has hung up, or the connection is broken.
    pub closed: bool,
}

impl From<&mio::event::Event> for Event {
    fn from(event: &mio::event::Event) -> Self {
        Self {
            token: event.token().0,
            readable: event.is_readable(),
            writable: event.is_writable(),
            closed: event.is_read_closed() || event.is_error(),
        }
    }
}

/// Where a worker's events come from.
#[derive(Debug)]
pub(crate) enum Registry {
    Kernel(mio::Registry),
    /// The worker's number.
    Played(u16),
}

impl Registry {
    /// Events of `source` come from now on.
    pub(crate) fn register(
        &self,
        source: &mut dyn mio::event::Source,
        token: Token,
        interest: mio::Interest,
    ) -> io::Result<()> {
        match self {
            Self::Kernel(registry) => registry.register(source, token, interest),
            Self::Played(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// They come no more. It fails only for a source that is not registered, which is what was
    /// wanted.
    pub(crate) fn deregister(&self, source: &mut dyn mio::event::Source) {
        if let Self::Kernel(registry) = self {
            let _ = registry.deregister(source);
        }
    }
}

/// Wakes a worker that waits for events.
#[derive(Debug)]
pub(crate) enum Waker {
    Kernel(mio::Waker),
    /// It is to be woken.
    Played(AtomicBool),
}

impl Waker {
    pub(crate) fn wake(&self) {
        match self {
            // It fails only when the worker's driver is gone, and then nobody is to be woken.
            Self::Kernel(waker) => drop(waker.wake()),
            Self::Played(is_woken) => is_woken.store(true, Ordering::Relaxed),
        }
    }
}
