//! The line between two processes of a gate, one of which takes over from the other: it breaks where
//! a test wants it to.
//!
//! A message is a tag, whether a descriptor comes with it, four bytes of length, and so many more. What
//! the new process has written before the break arrives, as it would between two processes without
//! anything between them; what the old one has written may not, as if the new one had not read it.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// Tag, whether there is a descriptor, length.
const HEADER_BYTES: usize = 6;

/// Where a line breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// After so many messages of the new process.
    New(usize),
    /// After so many messages of the old process.
    Old(usize),
    /// After so many messages of the old process and the first half of one more.
    WithinOld(usize),
}

/// Where a gate waits for processes that take over, with lines between that break.
pub struct Lines {
    path: PathBuf,
    real: PathBuf,
    listener: UnixListener,
}

impl Lines {
    /// Stands between the gate that listens at `path` and whoever comes there.
    ///
    /// # Panics
    /// When nobody listens there.
    pub fn before(path: &Path) -> Self {
        let real = path.with_extension("real");
        std::fs::rename(path, &real).expect("somebody listens there");
        let listener = UnixListener::bind(path).expect("the path is free");
        Self { path: path.to_owned(), real, listener }
    }

    /// Carries the next line, up to its end or to where it breaks.
    ///
    /// # Panics
    /// When nobody comes, or the gate does not listen any more.
    pub fn carry(&self, until: Break) -> Carried {
        let listener = self.listener.try_clone().expect("a descriptor");
        let real = self.real.clone();
        let thread = std::thread::spawn(move || {
            let (new, _) = listener.accept().expect("a new process comes");
            let old = UnixStream::connect(real).expect("the old process listens");
            let copies = (new.try_clone().expect("a copy"), old.try_clone().expect("a copy"));
            let from_old = std::thread::spawn(move || {
                let (new, old) = copies;
                let whole = match until {
                    Break::New(_) => usize::MAX,
                    Break::Old(count) | Break::WithinOld(count) => count,
                };
                // An error is the end of either side.
                let mut carried = carry(&old, &new, whole).unwrap_or(0);
                if carried == whole && matches!(until, Break::WithinOld(_)) {
                    carried += usize::from(carry_half(&old, &new).is_ok());
                }
                let _ = new.shutdown(Shutdown::Both);
                carried
            });
            let whole = if let Break::New(count) = until { count } else { usize::MAX };
            if carry(&new, &old, whole).is_ok_and(|carried| carried == whole) {
                let _ = new.shutdown(Shutdown::Both);
                let _ = carry(&new, &old, usize::MAX); // What it has written meanwhile.
            }
            let _ = old.shutdown(Shutdown::Both);
            from_old.join().expect("it carries")
        });
        Carried(thread)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = std::fs::rename(&self.real, &self.path); // The gate removes it.
    }
}

/// A line that is being carried.
pub struct Carried(JoinHandle<usize>);

impl Carried {
    /// How many messages of the old process have arrived, whole or in part, at its end.
    ///
    /// # Panics
    /// When there was none.
    pub fn end(self) -> usize {
        self.0.join().expect("it is carried")
    }
}

/// Carries at most so many messages; fewer at the end.
fn carry(from: &UnixStream, to: &UnixStream, most: usize) -> io::Result<usize> {
    for carried in 0..most {
        let Some((header, descriptor)) = header(from)? else { return Ok(carried) };
        let mut body = vec![0; length(header)];
        (&*from).read_exact(&mut body)?;
        send(to, &header, descriptor.as_ref())?;
        (&*to).write_all(&body)?;
    }
    Ok(most)
}

/// Carries the first half of a message, and its descriptor with it.
fn carry_half(from: &UnixStream, to: &UnixStream) -> io::Result<()> {
    let Some((header, descriptor)) = header(from)? else { return Ok(()) };
    let mut body = vec![0; length(header)];
    (&*from).read_exact(&mut body)?;
    send(to, &header, descriptor.as_ref())?;
    (&*to).write_all(&body[..body.len() / 2])
}

fn length(header: [u8; HEADER_BYTES]) -> usize {
    let [_, _, length @ ..] = header;
    u32::from_be_bytes(length) as usize
}

fn header(from: &UnixStream) -> io::Result<Option<([u8; HEADER_BYTES], Option<OwnedFd>)>> {
    let mut header = [0; HEADER_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let slices = &mut [IoSliceMut::new(&mut header)];
    let received = rustix::net::recvmsg(from, slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    if received.bytes == 0 {
        return Ok(None);
    }
    (&*from).read_exact(&mut header[received.bytes..])?;
    Ok(Some((header, descriptor)))
}

fn send(to: &UnixStream, bytes: &[u8], descriptor: Option<&OwnedFd>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let rights = descriptor.map(|descriptor| [descriptor.as_fd()]);
    if let Some(rights) = &rights {
        control.push(SendAncillaryMessage::ScmRights(rights));
    }
    let slices = &[IoSlice::new(bytes)];
    let sent = rustix::net::sendmsg(to, slices, &mut control, SendFlags::NOSIGNAL)?;
    (&*to).write_all(&bytes[sent..])
}
