//! A channel: one socket, what waits to be written to it, and whether it may have more to read.
//!
//! A channel with nothing to write owns no buffer. Readiness is edge-triggered: `readable` stays
//! set until a read comes back short or empty, so a channel whose reading was put off by
//! back-pressure goes on where it stopped, with no system call in between.
//!
//! A channel may speak TLS; whoever reads from it and writes to it sees plaintext all the same.
//! During the handshake a read brings a [`Step`] instead, which is for the crew; until it comes
//! back ([`Channel::stepped`]) the channel wants no turn. What is counted as unsent is ciphertext.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Token};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use tidegate_session::pieces::Pieces;

use crate::memory::{Charge, Memory};
use crate::tls::connection::{End, Handshake, Step, Stepped, Tls, Unsealable};
use crate::tls::failure::HandshakeError;
use crate::world::{self, Registry};

/// Above this much unsent output the source of it is not read from any more. One read adds at
/// most [`READ_BYTES`] (with TLS 0.2 % more), so a channel holds at most the sum of the two and a
/// few of our own messages: about 128 KiB. As much that was sent may stand before it.
const HIGH_WATER_BYTES: usize = 64 * 1024;

/// The size of a worker's read buffer and thus the work of one step.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Reads without a byte of plaintext in a row: a megabyte of records with nothing in them, which
/// no honest peer sends.
const EMPTY_READS_MAX: usize = 16;

/// Stretches that go to the kernel in one call. A forwarded batch is one; one that is cut by our
/// own messages is a few.
const SLICES_MAX: usize = 16;

/// Pieces that are no longer than this together are copied into one: the kernel takes one stretch
/// faster than several, by more than such a copy costs.
const TOGETHER_BYTES_MAX: usize = 1024;

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    Played(Box<dyn world::Stream>),
}

impl Socket {
    /// Ends only with an answer of the kernel's: a signal is none.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = match self {
                Self::Tcp(stream) => stream.read(buffer),
                Self::Unix(stream) => stream.read(buffer),
                Self::Played(stream) => stream.read(buffer),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

/// As a vectored write: a short one means that there is no room for more.
fn write_all_of(stream: &mut dyn world::Stream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut written = 0;
    for slice in slices {
        match stream.write(slice) {
            Err(error) if written == 0 => return Err(error),
            Err(_) => break,
            Ok(taken) => {
                written += taken;
                if taken < slice.len() {
                    break;
                }
            }
        }
    }
    Ok(written)
}

/// What a read found.
#[derive(Debug)]
pub(crate) enum Input {
    /// This many bytes.
    Bytes(usize),
    /// A part of a TLS handshake that can be done, by the crew.
    Handshake(Box<Step>),
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

/// Where a channel stands that does not speak in clear (any more).
///
/// ```text
/// Away --stepped: goes on--> Shaking --read--> Away
/// Away --stepped: done--> Up     Away, Up --failed--> Failed
/// ```
#[derive(Debug)]
enum Secure {
    /// The crew is at a step of the handshake.
    Away,
    /// It is the peer's turn in the handshake.
    Shaking(Tls),
    Up(Tls),
    /// Nothing can be said or understood any more; the peer has been sent an alert. With the
    /// cause, where it is one of TLS.
    Failed(Option<HandshakeError>),
}

#[derive(Debug)]
pub(crate) struct Channel {
    socket: Socket,
    secure: Option<Box<Secure>>,
    out: Vec<u8>,
    sent: usize,
    /// What `out` takes of the memory for clients.
    charge: Charge,
    /// Bytes that the kernel has taken, ever.
    accepted: u64,
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
            secure: None,
            out: Vec::new(),
            sent: 0,
            charge: Charge::default(),
            accepted: 0,
            readable: false,
            hung_up: false,
            paused: false,
            queued: false,
        }
    }

    /// What waits to be written counts as memory for clients from now on.
    pub(crate) fn charge_to(&mut self, memory: &Arc<Memory>) {
        self.charge = Charge::to(memory);
        self.count();
    }

    /// What waits to be written takes so many bytes of memory.
    pub(crate) fn held_bytes(&self) -> usize {
        self.charge.bytes()
    }

    fn count(&mut self) {
        self.charge.set(self.out.capacity());
    }

    /// Where the other side is; none on a Unix socket, or once the connection has ended.
    pub(crate) fn peer_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(stream) => stream.peer_addr().ok(),
            Socket::Unix(_) | Socket::Played(_) => None,
        }
    }

    /// Where it came to; none as for [`Channel::peer_address`].
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(stream) => stream.local_addr().ok(),
            Socket::Unix(_) | Socket::Played(_) => None,
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        match &mut self.socket {
            Socket::Tcp(stream) => registry.register(stream, token, both),
            Socket::Unix(stream) => registry.register(stream, token, both),
            Socket::Played(stream) => {
                if let Registry::Played(worker) = registry {
                    stream.watch(*worker, token.0);
                }
                Ok(())
            }
        }
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) {
        match &mut self.socket {
            Socket::Tcp(stream) => registry.deregister(stream),
            Socket::Unix(stream) => registry.deregister(stream),
            Socket::Played(stream) => stream.unwatch(),
        }
    }

    /// Whether another process can go on with it: nothing waits to be written, and nothing of it is
    /// anywhere but in the kernel.
    pub(crate) fn may_move(&self) -> bool {
        self.secure.is_none() && self.is_drained() && !self.hung_up
    }

    /// The socket of one that may move.
    pub(crate) fn into_socket(self) -> Socket {
        self.socket
    }

    /// Whether a connect that was begun has succeeded.
    pub(crate) fn connected(&self) -> io::Result<bool> {
        let (error, peer) = match &self.socket {
            Socket::Tcp(stream) => (stream.take_error()?, stream.peer_addr().map(|_| ())),
            Socket::Unix(stream) => (stream.take_error()?, stream.peer_addr().map(|_| ())),
            Socket::Played(stream) => return stream.connected(),
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
        match self.secure.as_deref() {
            None => self.read_socket(buffer),
            Some(Secure::Away) => Input::Nothing,
            Some(Secure::Shaking(_)) => self.read_handshake(buffer),
            Some(Secure::Up(_)) if buffer.len() < READ_BYTES => self.read_a_little(buffer),
            Some(Secure::Up(_)) => self.read_records(buffer),
            Some(Secure::Failed(_)) => self.read_past(buffer),
        }
    }

    fn read_socket(&mut self, buffer: &mut [u8]) -> Input {
        match self.socket.read(buffer) {
            Ok(0) => Input::End,
            Ok(bytes) => {
                self.readable = bytes == buffer.len() || self.hung_up;
                Input::Bytes(bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Input::Nothing
            }
            Err(error) => Input::Broken(error.kind()),
        }
    }

    fn read_handshake(&mut self, buffer: &mut [u8]) -> Input {
        let bytes = match self.read_socket(buffer) {
            Input::Bytes(bytes) => bytes,
            other => return other,
        };
        match self.secure.as_deref_mut().map(|secure| std::mem::replace(secure, Secure::Away)) {
            Some(Secure::Shaking(tls)) => Input::Handshake(Box::new(tls.step(&buffer[..bytes]))),
            _ => Input::Nothing,
        }
    }

    /// Reads ciphertext and decrypts it in place, so that nothing of it stays behind but the
    /// beginning of a record. Reads on when what came was no plaintext.
    fn read_records(&mut self, buffer: &mut [u8]) -> Input {
        let Some(Secure::Up(tls)) = self.secure.as_deref_mut() else { return Input::Nothing };
        let unread = tls.take_unread(buffer);
        if unread > 0 {
            self.readable = true; // The socket has not been asked.
            return Input::Bytes(unread);
        }
        for _ in 0..EMPTY_READS_MAX {
            match tls.end() {
                None => {}
                Some(End::Closed) => return Input::End,
                Some(End::Failed(_)) => break,
            }
            let Some(filled) = tls.put_back(buffer) else { break };
            let (bytes, may_have_more) = match self.socket.read(&mut buffer[filled..]) {
                Ok(0) => return Input::End, // Without TLS's own goodbye: PostgreSQL does that, too.
                Ok(bytes) => (bytes, filled + bytes == buffer.len() || self.hung_up),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (0, false),
                Err(error) => return Input::Broken(error.kind()),
            };
            let plaintext = tls.open(&mut buffer[..filled + bytes], &mut self.out);
            self.readable = may_have_more || tls.has_unread();
            if plaintext > 0 || !self.readable {
                // It may have left words of TLS's own. If they can't be sent, reading will tell.
                let _ = self.flush();
                return if plaintext > 0 { Input::Bytes(plaintext) } else { Input::Nothing };
            }
        }
        self.fail()
    }

    /// TLS does not decrypt by halves: what is more than `buffer` holds waits for the next read.
    fn read_a_little(&mut self, buffer: &mut [u8]) -> Input {
        let mut large = Vec::new();
        if !self.tls().is_some_and(Tls::has_unread) {
            large.resize(READ_BYTES, 0);
            match self.read_records(&mut large) {
                Input::Bytes(bytes) => large.truncate(bytes),
                other => return other,
            }
        }
        let Some(Secure::Up(tls)) = self.secure.as_deref_mut() else { return Input::Nothing };
        tls.keep_unread(&large);
        match tls.take_unread(buffer) {
            0 => self.read_records(&mut vec![0; READ_BYTES]), // Only the end was left.
            bytes => {
                self.readable |= tls.has_unread();
                Input::Bytes(bytes)
            }
        }
    }

    /// What the peer says after TLS has failed is not looked at; only its end is awaited.
    fn read_past(&mut self, buffer: &mut [u8]) -> Input {
        for _ in 0..EMPTY_READS_MAX {
            match self.read_socket(buffer) {
                Input::Bytes(_) if self.readable => {}
                Input::Bytes(_) => return Input::Nothing,
                other => return other,
            }
        }
        Input::Broken(io::ErrorKind::InvalidData)
    }

    /// The peer broke TLS. It gets what alert there is.
    fn fail(&mut self) -> Input {
        let cause = match self.tls().and_then(Tls::end) {
            Some(End::Failed(error)) => Some(HandshakeError::from(error.clone())),
            _ => None,
        };
        if let Some(cause) = &cause {
            tracing::debug!("a TLS connection has failed: {cause}");
        }
        let _ = self.flush();
        self.secure = Some(Box::new(Secure::Failed(cause)));
        Input::Broken(io::ErrorKind::InvalidData)
    }

    // --- TLS. ---

    /// Begins to speak TLS with whatever comes next; `input` has come already. What was written
    /// before goes out in clear. The step is for the crew.
    pub(crate) fn start_tls(&mut self, tls: Tls, input: &[u8]) -> Box<Step> {
        debug_assert!(self.secure.is_none(), "a channel starts TLS once");
        self.secure = Some(Box::new(Secure::Away));
        Box::new(tls.step(input))
    }

    /// A step has been done: the peer is told what it must be told. Afterwards the channel may
    /// want a turn.
    ///
    /// # Errors
    /// The handshake has failed. All that remains is [`Channel::shutdown_write`], and some time
    /// for the peer to read the alert.
    pub(crate) fn stepped(&mut self, stepped: Stepped) -> Result<Handshake, HandshakeError> {
        let Stepped { tls, output, outcome } = stepped;
        self.readable |= tls.has_unread();
        self.out.extend_from_slice(&output);
        if self.flush().is_err() {
            self.readable = true; // What it said before that is still to be read.
        }
        self.secure = Some(Box::new(match &outcome {
            Ok(Handshake::GoesOn) => Secure::Shaking(tls),
            Ok(Handshake::Done) => Secure::Up(tls),
            Err(error) => Secure::Failed(Some(error.clone())),
        }));
        outcome
    }

    /// The TLS connection, once both sides may speak.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        match self.secure.as_deref() {
            Some(Secure::Up(tls)) => Some(tls),
            _ => None,
        }
    }

    /// Why TLS has failed. In TLS 1.3 a server looks at our certificate only after both sides may
    /// speak, so it may refuse us by an alert where the first answer should be.
    pub(crate) fn tls_failure(&self) -> Option<&HandshakeError> {
        match self.secure.as_deref() {
            Some(Secure::Failed(cause)) => cause.as_ref(),
            _ => None,
        }
    }

    /// Whether a handshake has begun and is not done.
    pub(crate) fn is_shaking_hands(&self) -> bool {
        matches!(self.secure.as_deref(), Some(Secure::Away | Secure::Shaking(_)))
    }

    // --- Writing. ---

    /// Writes what a machine wants written; what the kernel does not take now is kept.
    pub(crate) fn send(&mut self, pieces: &Pieces, input: &[u8]) -> Result<(), Broken> {
        if pieces.is_empty() {
            return Ok(());
        }
        if self.secure.is_some() {
            return self.send_sealed(pieces, input);
        }
        if !self.is_drained() || pieces.len() > SLICES_MAX {
            let was_drained = self.is_drained();
            pieces.slices(input).for_each(|bytes| self.out.extend_from_slice(bytes));
            self.count();
            return if was_drained { self.flush() } else { Ok(()) };
        }
        if pieces.len() == 1 {
            return pieces.slices(input).try_for_each(|only| self.send_bytes(only));
        }
        let mut together = [0; TOGETHER_BYTES_MAX];
        if let Some(bytes) = pieces.copy_to(input, &mut together) {
            return self.send_bytes(bytes);
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
        self.count();
        Ok(())
    }

    /// Several pieces become one record rather than several.
    fn send_sealed(&mut self, pieces: &Pieces, input: &[u8]) -> Result<(), Broken> {
        let mut slices = pieces.slices(input);
        match (slices.next(), pieces.len()) {
            (Some(only), 1) => self.send_bytes(only),
            _ => self.send_bytes(&pieces.to_vec(input)),
        }
    }

    /// Writes these bytes.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if self.secure.is_some() {
            let was_drained = self.is_drained();
            self.append(bytes)?;
            if was_drained {
                return self.flush();
            }
            self.count();
            return Ok(());
        }
        let taken = if self.is_drained() { self.write(&[IoSlice::new(bytes)])? } else { 0 };
        self.out.extend_from_slice(&bytes[taken..]);
        self.count();
        Ok(())
    }

    /// Nothing is ever said in clear once TLS has begun: before the handshake is done and after
    /// it has failed the connection is as good as broken.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        match self.secure.as_deref_mut() {
            None => self.out.extend_from_slice(bytes),
            Some(Secure::Up(tls)) => {
                tls.seal(bytes, &mut self.out).map_err(|Unsealable| Broken)?;
            }
            Some(_) if bytes.is_empty() => {}
            Some(Secure::Away | Secure::Shaking(_) | Secure::Failed(_)) => return Err(Broken),
        }
        Ok(())
    }

    /// Writes what waits.
    pub(crate) fn flush(&mut self) -> Result<(), Broken> {
        while !self.is_drained() {
            let out = std::mem::take(&mut self.out);
            let result = self.write(&[IoSlice::new(&out[self.sent..])]);
            self.out = out;
            match result? {
                0 => {
                    // A peer that is never quite done would let what was sent pile up for ever.
                    if self.sent >= HIGH_WATER_BYTES {
                        self.out.drain(..self.sent);
                        self.sent = 0;
                    }
                    self.count();
                    return Ok(());
                }
                taken => self.sent += taken,
            }
        }
        self.out = Vec::new(); // An idle connection owns no buffer.
        self.sent = 0;
        self.count();
        Ok(())
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, Broken> {
        loop {
            let result = match (&mut self.socket, slices) {
                (Socket::Tcp(stream), [one]) => stream.write(one),
                (Socket::Unix(stream), [one]) => stream.write(one),
                (Socket::Tcp(stream), slices) => stream.write_vectored(slices),
                (Socket::Unix(stream), slices) => stream.write_vectored(slices),
                (Socket::Played(stream), slices) => write_all_of(&mut **stream, slices),
            };
            return match result {
                Ok(taken) => {
                    self.accepted += taken as u64;
                    Ok(taken)
                }
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

    /// How many bytes the kernel has taken, ever. As long as there are no more, nothing of what was
    /// to be written since can have reached the peer.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// How many bytes the kernel will have taken when it has taken all that waits.
    pub(crate) fn promised(&self) -> u64 {
        self.accepted + (self.out.len() - self.sent) as u64
    }

    /// What the kernel has not taken is never written. Where TLS counts what is sealed, nothing can be
    /// said behind that.
    pub(crate) fn forget_unsent(&mut self) {
        if !self.is_drained() && matches!(self.secure.as_deref(), Some(Secure::Up(_))) {
            self.secure = Some(Box::new(Secure::Failed(None)));
        }
        self.out = Vec::new();
        self.sent = 0;
        self.count();
    }

    /// Whether there is something to read, or the end: what has come since the kernel was last
    /// asked, too. One system call, which does not wait.
    pub(crate) fn has_news(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let looked = match &self.socket {
            Socket::Tcp(stream) => rustix::net::recv(stream, &mut [0_u8; 1], flags),
            Socket::Unix(stream) => rustix::net::recv(stream, &mut [0_u8; 1], flags),
            Socket::Played(_) => return true, // It can only be read.
        };
        self.readable || !matches!(looked, Err(Errno::AGAIN | Errno::INTR))
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
        let is_away = matches!(self.secure.as_deref(), Some(Secure::Away));
        let wants = self.readable && !self.paused && !self.queued && !is_away;
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
        if let Some(Secure::Up(tls)) = self.secure.as_deref_mut() {
            tls.say_goodbye(&mut self.out);
            let _ = self.flush();
        }
        let _ = match &mut self.socket {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
            Socket::Played(stream) => {
                stream.shutdown_write();
                Ok(())
            }
        };
    }
}

#[cfg(test)]
mod tests;
