//! The line between two processes of a gate: a Unix socket that carries messages, and with a message
//! the socket that it is about.
//!
//! A message is a tag, whether a descriptor comes with it, its length, and a parcel. The descriptor
//! travels with the message's first byte; descriptors arrive in the order of their messages.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Poll, Token, Waker};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::succession::PARCEL_BYTES_MAX;

/// Tag, whether there is a descriptor, length of the parcel.
const HEADER_BYTES: usize = 6;

/// What a message says beside a client's parcel.
const WRAPPING_BYTES: usize = 64;

/// Above this much that is not written yet nothing more is taken from the workers.
const UNSENT_BYTES_MAX: usize = 4 * 1024 * 1024;

const READ_BYTES: usize = 64 * 1024;

/// Descriptors that come with one read: the kernel ends a read where another message's begin.
const DESCRIPTORS_MAX: usize = 8;

/// What came.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) tag: u8,
    pub(super) parcel: Vec<u8>,
    pub(super) descriptor: Option<OwnedFd>,
}

#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    descriptor: Option<Arc<OwnedFd>>,
}

/// One end of the line.
#[derive(Debug)]
pub(super) struct Link {
    stream: UnixStream,
    received: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
    outgoing: VecDeque<Outgoing>,
    unsent: usize,
    is_blocking: bool,
    /// The process at the other end; none where the kernel does not say.
    peer: Option<OwnedFd>,
}

/// One end of the line, and what watches it: made before anything depends on it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) link: Link,
    pub(super) poll: Poll,
    /// Wakes whoever waits for the poll.
    pub(super) waker: Waker,
}

impl Line {
    pub(super) fn new(link: Link) -> io::Result<Self> {
        let poll = Poll::new()?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut SourceFd(&link.descriptor()), Token(0), both)?;
        let waker = Waker::new(poll.registry(), Token(1))?;
        Ok(Self { link, poll, waker })
    }
}

impl Link {
    /// Over a connection that may block.
    pub(super) fn new(stream: UnixStream) -> Self {
        let peer = socket_peercred(&stream).map(|peer| peer.pid);
        let peer = peer.and_then(|pid| pidfd_open(pid, PidfdFlags::empty())).ok();
        Self {
            stream,
            peer,
            received: Vec::new(),
            descriptors: VecDeque::new(),
            outgoing: VecDeque::new(),
            unsent: 0,
            is_blocking: true,
        }
    }

    /// Whether the process at the other end goes on, which is at its end if it ends within `patience`.
    pub(super) fn is_outlived(&self, patience: Duration) -> bool {
        let Some(peer) = &self.peer else { return false };
        let patience = Timespec::try_from(patience).ok();
        let ends = poll(&mut [PollFd::new(peer, PollFlags::IN)], patience.as_ref());
        ends == Ok(0)
    }

    /// From now on nothing blocks; [`Link::descriptor`] is to be watched. It can't fail, as setting the
    /// socket's own flag could.
    pub(super) fn never_block(&mut self) {
        self.is_blocking = false;
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Whether the peer keeps up.
    pub(super) fn has_room(&self) -> bool {
        self.unsent < UNSENT_BYTES_MAX
    }

    /// Whether everything has been written.
    pub(super) fn is_flushed(&self) -> bool {
        self.unsent == 0
    }

    /// What waits will never be written.
    pub(super) fn forget_unsent(&mut self) {
        self.outgoing.clear();
        self.unsent = 0;
    }

    /// Puts a message behind those that wait; [`Link::flush`] writes.
    pub(super) fn push(&mut self, (tag, parcel): (u8, Vec<u8>), descriptor: Option<Arc<OwnedFd>>) {
        let mut bytes = vec![tag, u8::from(descriptor.is_some())];
        bytes.extend_from_slice(&u32::try_from(parcel.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(&parcel);
        self.unsent += bytes.len();
        self.outgoing.push_back(Outgoing { bytes, sent: 0, descriptor });
    }

    /// Writes what waits, as far as there is room.
    ///
    /// # Errors
    /// The line is broken.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while let Some(first) = self.outgoing.front_mut() {
            let rest = &first.bytes[first.sent..];
            let flags = match self.is_blocking {
                true => SendFlags::NOSIGNAL,
                false => SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
            };
            match send(&self.stream, rest, first.descriptor.as_deref(), flags) {
                Ok(sent) => {
                    first.descriptor = None; // It went with the first byte.
                    first.sent += sent;
                    self.unsent -= sent;
                    if first.sent == first.bytes.len() {
                        self.outgoing.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next message, once it is there; it may be there already.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is none yet, [`io::ErrorKind::UnexpectedEof`] at the
    /// end, and whatever breaks the line.
    pub(super) fn receive(&mut self) -> io::Result<Message> {
        loop {
            if let Some(message) = self.next()? {
                return Ok(message);
            }
            if self.read()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// As [`Link::receive`], on a line that blocks.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] too.
    pub(super) fn receive_within(&mut self, patience: Duration) -> io::Result<Message> {
        self.stream.set_read_timeout(Some(patience))?;
        self.receive().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => error,
        })
    }

    fn next(&mut self) -> io::Result<Option<Message>> {
        let Some((header, rest)) = self.received.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [tag, has_descriptor, length @ ..] = *header;
        let length = u32::from_be_bytes(length) as usize;
        if length > PARCEL_BYTES_MAX + WRAPPING_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if rest.len() < length {
            return Ok(None);
        }
        let descriptor = match has_descriptor {
            0 => None,
            // It came with the message's first byte.
            _ => Some(self.descriptors.pop_front().ok_or(io::ErrorKind::InvalidData)?),
        };
        let parcel = rest[..length].to_vec();
        self.received.drain(..HEADER_BYTES + length);
        Ok(Some(Message { tag, parcel, descriptor }))
    }

    fn read(&mut self) -> io::Result<usize> {
        let mut buffer = vec![0; READ_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let result = loop {
            let slices = &mut [IoSliceMut::new(&mut buffer)];
            let flags = match self.is_blocking {
                true => RecvFlags::CMSG_CLOEXEC,
                false => RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
            };
            match rustix::net::recvmsg(&self.stream, slices, &mut control, flags) {
                Err(rustix::io::Errno::INTR) => {}
                result => break result?,
            }
        };
        // The kernel had no descriptor left for a socket that came along.
        if result.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::Error::other("out of file descriptors; raise LimitNOFILE"));
        }
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        self.received.extend_from_slice(&buffer[..result.bytes]);
        Ok(result.bytes)
    }
}

fn send(
    stream: &UnixStream,
    bytes: &[u8],
    descriptor: Option<&OwnedFd>,
    flags: SendFlags,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let rights = descriptor.map(|descriptor| [descriptor.as_fd()]);
    if let Some(rights) = &rights {
        control.push(SendAncillaryMessage::ScmRights(rights));
    }
    loop {
        let slices = &[IoSlice::new(bytes)];
        match rustix::net::sendmsg(stream, slices, &mut control, flags) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn messages_of_any_size_and_their_sockets_arrive_together() {
        let (here, there) = UnixStream::pair().expect("a pair");
        let (mut here, mut there) = (Link::new(here), Link::new(there));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut clients = Vec::new();
        let count = 40_usize;
        for number in 0..count {
            let address = listener.local_addr().expect("an address");
            clients.push(TcpStream::connect(address).expect("it listens"));
            let (accepted, _) = listener.accept().expect("a client");
            // Some are much larger than what the kernel takes at once.
            let parcel = vec![u8::try_from(number).expect("small"); number * number * 400];
            here.push((b'a', parcel), Some(Arc::new(accepted.into())));
            here.push((b'b', number.to_be_bytes().to_vec()), None);
        }
        here.never_block();
        let writer = std::thread::spawn(move || {
            while here.unsent > 0 {
                here.flush().expect("it is read");
                std::thread::yield_now();
            }
        });
        for (number, client) in clients.iter_mut().enumerate() {
            let Message { tag, parcel, descriptor } =
                there.receive_within(Duration::from_secs(10)).expect("a message");
            assert_eq!((tag, parcel.len()), (b'a', number * number * 400));
            assert!(parcel.iter().all(|byte| usize::from(*byte) == number));
            let mut socket = TcpStream::from(descriptor.expect("its socket"));
            socket.write_all(&number.to_be_bytes()).expect("it is connected");
            let next = there.receive_within(Duration::from_secs(10)).expect("a message");
            assert_eq!((next.tag, next.parcel), (b'b', number.to_be_bytes().to_vec()));
            assert!(next.descriptor.is_none());
            let mut said = [0; 8];
            client.read_exact(&mut said).expect("its own words");
            assert_eq!(usize::from_be_bytes(said), number, "each socket is its message's");
        }
        writer.join().expect("it ends");
    }
}
