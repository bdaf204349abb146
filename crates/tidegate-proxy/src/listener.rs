//! Listeners: sockets that accept, with the options that accepted sockets inherit.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::net::{TcpListener, UnixListener};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use tidegate_config::ListenAddress;
use tidegate_pool_core::server::Port;

use crate::channel;
use crate::token::Source;
use crate::world::{Arrivals, Registry};

/// Connections that the kernel accepts before we do. A burst of ten thousand clients is two and a
/// half of it; Linux caps it at `net.core.somaxconn` (4096 by default).
const BACKLOG: i32 = 4096;

/// A peer that has vanished without a word is noticed after KEEPALIVE_IDLE + 3 x
/// KEEPALIVE_INTERVAL = 2 minutes when idle, and, with data on its way, after USER_TIMEOUT.
/// Kernels wait two hours by default, and load balancers forget idle connections after 350 s.
pub(crate) const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
pub(crate) const KEEPALIVE_PROBES: u32 = 3;
pub(crate) const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// Sets the options of a TCP socket; on a listener, accepted sockets inherit them (Linux).
pub(crate) fn set_tcp_options(socket: &SockRef<'_>) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))
}

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {source}{}", remedy(.source))]
pub struct ListenError {
    address: ListenAddress,
    source: io::Error,
}

/// What to do about an address that could not be had; ready to stand behind the cause.
pub fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process has it: stop it, or choose another address in [listen]"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        io::ErrorKind::NotFound => "; make the folder first",
        io::ErrorKind::PermissionDenied => {
            "; choose a port above 1023 or a folder that this user may write to"
        }
        _ => "",
    }
}

/// An open listener. A Unix socket's file goes when the last copy does.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
    Played(Arc<dyn Arrivals>),
}

/// The file of a Unix socket; it goes with the last who has it, unless another process listens there.
#[derive(Debug, Clone)]
pub struct SocketFile(Arc<FileOfSocket>);

#[derive(Debug)]
struct FileOfSocket {
    path: PathBuf,
    is_anothers: AtomicBool,
}

impl SocketFile {
    /// That of a socket that is bound to `path`.
    pub fn new(path: &Path) -> Self {
        Self(Arc::new(FileOfSocket { path: path.to_owned(), is_anothers: false.into() }))
    }

    /// That of a socket that still is another process's, too.
    pub fn of_another(path: &Path) -> Self {
        let file = Self::new(path);
        file.set_anothers(true);
        file
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether another process listens there, so that the file must stay.
    pub fn set_anothers(&self, is_anothers: bool) {
        self.0.is_anothers.store(is_anothers, Ordering::Relaxed);
    }
}

impl Drop for FileOfSocket {
    fn drop(&mut self) {
        if !self.is_anothers.load(Ordering::Relaxed) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Listens on a Unix socket whose file has this mode. A file that is a socket on which nobody listens
/// is left over from a crash and is replaced.
///
/// # Errors
/// Somebody listens there, or it may not be made.
pub fn bind_unix(path: &Path, mode: u32) -> io::Result<(net::UnixListener, SocketFile)> {
    if let Ok(found) = std::fs::symlink_metadata(path)
        && found.file_type().is_socket()
        && net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    let file = SocketFile::new(path);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    Ok((socket.into(), file))
}

impl Listener {
    pub(crate) fn open(address: &ListenAddress) -> Result<Self, ListenError> {
        let opened = match address {
            ListenAddress::Tcp(address) => open_tcp(*address).map(Self::Tcp),
            ListenAddress::Unix(path) => open_unix(path),
        };
        opened.map_err(|source| ListenError { address: address.clone(), source })
    }

    /// One that another process has opened for this address.
    pub(crate) fn inherited(address: &ListenAddress, socket: OwnedFd) -> Result<Self, ListenError> {
        let inherited = match address {
            ListenAddress::Tcp(_) => {
                let listener = std::net::TcpListener::from(socket);
                listener.set_nonblocking(true).map(|()| Self::Tcp(TcpListener::from_std(listener)))
            }
            ListenAddress::Unix(path) => {
                let listener = net::UnixListener::from(socket);
                let file = SocketFile::of_another(path);
                listener
                    .set_nonblocking(true)
                    .map(|()| Self::Unix(UnixListener::from_std(listener), file))
            }
        };
        inherited.map_err(|source| ListenError { address: address.clone(), source })
    }

    /// The socket once more, for another process.
    pub(crate) fn offer(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(listener) => Ok(SockRef::from(listener).try_clone()?.into()),
            Self::Unix(listener, _) => Ok(SockRef::from(listener).try_clone()?.into()),
            Self::Played(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Another process listens there too, or does so no more.
    pub(crate) fn set_anothers(&self, is_anothers: bool) {
        if let Self::Unix(_, file) = self {
            file.set_anothers(is_anothers);
        }
    }

    /// The same listener for another worker.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(listener) => {
                let copy = SockRef::from(listener).try_clone()?;
                Self::Tcp(TcpListener::from_std(copy.into()))
            }
            Self::Unix(listener, file) => {
                let copy = SockRef::from(listener).try_clone()?;
                Self::Unix(UnixListener::from_std(copy.into()), file.clone())
            }
            Self::Played(arrivals) => Self::Played(arrivals.clone()),
        })
    }

    /// Where it listens, with the port that the kernel chose for port 0.
    pub(crate) fn address(&self) -> ListenAddress {
        match self {
            Self::Tcp(listener) => ListenAddress::Tcp(
                listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0))),
            ),
            Self::Unix(_, file) => ListenAddress::Unix(file.path().to_owned()),
            Self::Played(_) => ListenAddress::Tcp(SocketAddr::from(([0, 0, 0, 0], 0))),
        }
    }

    pub(crate) fn accept(&self) -> io::Result<(channel::Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                Ok((channel::Socket::Tcp(stream), Some(address)))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept()?;
                Ok((channel::Socket::Unix(stream), None))
            }
            Self::Played(arrivals) => {
                let (stream, address) = arrivals.accept()?;
                Ok((channel::Socket::Played(stream), address))
            }
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry, source: Source) -> io::Result<()> {
        let (token, interest) = (source.token(), mio::Interest::READABLE);
        match self {
            Self::Tcp(listener) => registry.register(listener, token, interest),
            Self::Unix(listener, _) => registry.register(listener, token, interest),
            Self::Played(arrivals) => {
                if let Registry::Played(worker) = registry {
                    arrivals.watch(*worker, token.0);
                }
                Ok(())
            }
        }
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) {
        match self {
            Self::Tcp(listener) => registry.deregister(listener),
            Self::Unix(listener, _) => registry.deregister(listener),
            Self::Played(arrivals) => {
                if let Registry::Played(worker) = registry {
                    arrivals.unwatch(*worker);
                }
            }
        }
    }
}

/// Which port a listener is of.
#[derive(Debug)]
pub(crate) struct PortListener {
    pub(crate) port: Port,
    /// The address as the settings have it.
    pub(crate) configured: ListenAddress,
    pub(crate) listener: Listener,
}

fn open_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = if address.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Without it a restart has to wait until the old connections' TIME_WAIT is over.
    socket.set_reuse_address(true)?;
    if let IpAddr::V6(ip) = address.ip()
        && ip.is_unspecified()
    {
        socket.set_only_v6(false)?;
    }
    set_tcp_options(&SockRef::from(&socket))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn open_unix(path: &Path) -> io::Result<Listener> {
    // As PostgreSQL's own: whoever may reach the folder may connect and must then log in.
    let (listener, file) = bind_unix(path, 0o777)?;
    listener.set_nonblocking(true)?;
    Ok(Listener::Unix(UnixListener::from_std(listener), file))
}
