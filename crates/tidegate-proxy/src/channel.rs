//! A channel: one socket, what waits to be written to it, and whether it may have more to read.
//!
//! A channel with nothing to write owns no buffer. Readiness is edge-triggered: `readable` stays
//! set until a read comes back short or empty, so a channel whose reading was put off by
//! back-pressure goes on where it stopped, with no system call in between.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use tidegate_session::pieces::Pieces;

/// Above this much unsent output the source of it is not read from any more. One read adds at
/// most [`READ_BYTES`], so a channel holds at most the sum of the two and a few of our own
/// messages: about 128 KiB.
const HIGH_WATER_BYTES: usize = 64 * 1024;

/// The size of a worker's read buffer and thus the work of one step.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Stretches that go to the kernel in one call. A forwarded batch is one; one that is cut by our
/// own messages is a few.
const SLICES_MAX: usize = 16;

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What a read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// This many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The peer has ended its side.
    End,
    /// The connection is broken.
    Broken(io::ErrorKind),
}

/// The connection is broken; nothing more can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

#[derive(Debug)]
pub(crate) struct Channel {
    socket: Socket,
    out: Vec<u8>,
    sent: usize,
    /// There may be something to read.
    pub(crate) readable: bool,
    /// The peer has hung up: whatever is read before that, the end is still to come.
    hung_up: bool,
    /// Reading is put off: the peer's output has not drained, or nobody wants its input yet.
    pub(crate) paused: bool,
    /// It stands in the worker's ready list.
    pub(crate) queued: bool,
}

impl Channel {
    pub(crate) fn new(socket: Socket) -> Self {
        Self {
            socket,
            out: Vec::new(),
            sent: 0,
            readable: false,
            hung_up: false,
            paused: false,
            queued: false,
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match &mut self.socket {
            Socket::Tcp(stream) => registry.register(stream, token, both),
            Socket::Unix(stream) => registry.register(stream, token, both),
        }
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) {
        // It fails only for a socket that is not registered, which is what was wanted.
        let _ = match &mut self.socket {
            Socket::Tcp(stream) => registry.deregister(stream),
            Socket::Unix(stream) => registry.deregister(stream),
        };
    }

    /// Whether a connect that was begun has succeeded.
    pub(crate) fn connected(&self) -> io::Result<bool> {
        let (error, peer) = match &self.socket {
            Socket::Tcp(stream) => (stream.take_error()?, stream.peer_addr().map(|_| ())),
            Socket::Unix(stream) => (stream.take_error()?, stream.peer_addr().map(|_| ())),
        };
        match (error, peer) {
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(true),
            (None, Err(error)) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            (None, Err(error)) => Err(error),
        }
    }

    /// Reads once. A short read means that there is no more (epoll(7), "stream-oriented files"),
    /// but for the end of the stream: when it arrives together with the last bytes, the kernel
    /// says so once.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Input {
        loop {
            let result = match &mut self.socket {
                Socket::Tcp(stream) => stream.read(buffer),
                Socket::Unix(stream) => stream.read(buffer),
            };
            return match result {
                Ok(0) => Input::End,
                Ok(bytes) => {
                    self.readable = bytes == buffer.len() || self.hung_up;
                    Input::Bytes(bytes)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    Input::Nothing
                }
                Err(error) => Input::Broken(error.kind()),
            };
        }
    }

    /// Writes what a machine wants written; what the kernel does not take now is kept.
    pub(crate) fn send(&mut self, pieces: &Pieces, input: &[u8]) -> Result<(), Broken> {
        if pieces.is_empty() {
            return Ok(());
        }
        if !self.is_drained() || pieces.len() > SLICES_MAX {
            let was_drained = self.is_drained();
            pieces.slices(input).for_each(|bytes| self.out.extend_from_slice(bytes));
            return if was_drained { self.flush() } else { Ok(()) };
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        for (slot, bytes) in slices.iter_mut().zip(pieces.slices(input)) {
            *slot = IoSlice::new(bytes);
        }
        let mut taken = self.write(&slices[..pieces.len()])?;
        for bytes in pieces.slices(input) {
            let skipped = taken.min(bytes.len());
            taken -= skipped;
            self.out.extend_from_slice(&bytes[skipped..]);
        }
        Ok(())
    }

    /// Writes these bytes.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let taken = if self.is_drained() { self.write(&[IoSlice::new(bytes)])? } else { 0 };
        self.out.extend_from_slice(&bytes[taken..]);
        Ok(())
    }

    /// Keeps these bytes until [`Channel::flush`], without trying.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Writes what waits.
    pub(crate) fn flush(&mut self) -> Result<(), Broken> {
        while !self.is_drained() {
            let out = std::mem::take(&mut self.out);
            let result = self.write(&[IoSlice::new(&out[self.sent..])]);
            self.out = out;
            match result? {
                0 => return Ok(()),
                taken => self.sent += taken,
            }
        }
        self.out = Vec::new(); // An idle connection owns no buffer.
        self.sent = 0;
        Ok(())
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, Broken> {
        loop {
            let result = match (&mut self.socket, slices) {
                (Socket::Tcp(stream), [one]) => stream.write(one),
                (Socket::Unix(stream), [one]) => stream.write(one),
                (Socket::Tcp(stream), slices) => stream.write_vectored(slices),
                (Socket::Unix(stream), slices) => stream.write_vectored(slices),
            };
            return match result {
                Ok(taken) => Ok(taken),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
                    ) =>
                {
                    Ok(0)
                }
                Err(_) => Err(Broken),
            };
        }
    }

    /// There may be something to read. True when it must be put into the ready list.
    pub(crate) fn mark_readable(&mut self) -> bool {
        self.readable = true;
        self.wants_turn()
    }

    /// The peer has hung up, perhaps after words that are still to be read.
    pub(crate) fn mark_hung_up(&mut self) {
        self.hung_up = true;
    }

    /// True when it has something to read, may be read from, and is not in the ready list yet:
    /// the caller puts it there.
    pub(crate) fn wants_turn(&mut self) -> bool {
        let wants = self.readable && !self.paused && !self.queued;
        self.queued |= wants;
        wants
    }

    /// Whether everything has gone to the kernel.
    pub(crate) fn is_drained(&self) -> bool {
        self.sent >= self.out.len()
    }

    /// Whether so much waits that its source must not be read from.
    pub(crate) fn is_clogged(&self) -> bool {
        self.out.len() - self.sent >= HIGH_WATER_BYTES
    }

    /// Says that nothing more will be written.
    pub(crate) fn shutdown_write(&mut self) {
        let _ = match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }
}
