//! Take-over: another process of Tidegate goes on with what this one has, and no client is dropped.
//!
//! ```text
//!  the old one serves                      the new one has read its settings
//!        <------------------ Hello ---------------
//!        ----- Listener.. and Ready ------------->  it checks everything that can fail
//!        <------------------ Begin ---------------
//!  accepts no more; connections wait
//!        -------------- Slots ------------------->  it accepts
//!        <----------------- Serving --------------
//!  clients at rest go over, one by one
//!        -------------- Client.. ---------------->
//!        <-------------- Got.. ------------------  they are its own now
//!  slots go over as servers are closed
//!        -------------- Slots.. ----------------->
//!        <--- Clients.., Cancel.. ---------------
//!  after `timeouts.drain`: who can't go over is told to connect again, when it has nothing under way
//!  ends when it has no client, at the latest after another `timeouts.drain`
//!        -------------- Goodbye ---------------->
//! ```
//!
//! Until it *begins* the old process has changed nothing; until it ends it keeps its listening sockets
//! open. So if the line breaks, the old one goes on as if nothing had happened, with the clients that
//! it still has.
//!
//! - [`link`]: the line, which carries sockets beside messages.
//! - [`giving`]: the old process's end of it. [`taking`]: the new one's.
//!
//! Which clients go and what goes with them is the workers' business (`worker/moving.rs`), how slots go
//! the pools'. What workers and the threads here tell each other is in [`crate::succession`].

pub mod taking;
pub mod giving;

mod message;
mod link;

use std::io;
use std::os::fd::OwnedFd;

use crate::channel::Socket;

/// A socket that goes with a message.
fn descriptor_of(socket: Socket) -> Option<(OwnedFd, bool)> {
    match socket {
        Socket::Tcp(stream) => Some((stream.into(), true)),
        Socket::Unix(stream) => Some((stream.into(), false)),
        Socket::Played(_) => None,
    }
}

fn socket_of(descriptor: OwnedFd, is_tcp: bool) -> io::Result<Socket> {
    if is_tcp {
        let stream = std::net::TcpStream::from(descriptor);
        stream.set_nonblocking(true)?;
        return Ok(Socket::Tcp(mio::net::TcpStream::from_std(stream)));
    }
    let stream = std::os::unix::net::UnixStream::from(descriptor);
    stream.set_nonblocking(true)?;
    Ok(Socket::Unix(mio::net::UnixStream::from_std(stream)))
}
