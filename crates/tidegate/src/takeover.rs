//! Take-over, as far as the whole process has a part in it: where processes find each other, and how
//! the old one ends.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tidegate_config::Config;
use tidegate_control::web;
use tidegate_proxy::gate::Gate;
use tidegate_proxy::listener::{SocketFile, bind_unix, remedy};
use tidegate_proxy::takeover::giving::{self, Event, Offer, Offers, Role};
use tidegate_proxy::takeover::taking::{self, Elder, TakeoverError};
use tidegate_proxy::tasks;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The last message to the new process is a few bytes.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// Why nothing is taken over, or nothing can be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The settings don't say where the running gate is found.
    #[error(
        "--takeover needs listen.control: it is where the running gate is found, which must have been \
         started with it, too"
    )]
    NoControl,
    /// The running gate can't be taken over from.
    #[error("{0}")]
    Takeover(#[from] TakeoverError),
    /// The socket for take-overs could not be opened.
    #[error("can't wait for take-overs at {}: {source}{}", path.display(), remedy(source))]
    Bind {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

impl Error {
    /// Whether the settings must be changed.
    pub(crate) fn is_configuration(&self) -> bool {
        matches!(self, Self::NoControl)
    }
}

/// The socket for take-overs stands beside the control socket: it speaks no HTTP.
fn socket_path(control: &Path) -> PathBuf {
    let mut path = control.as_os_str().to_owned();
    path.push(".takeover");
    path.into()
}

/// The running gate, if there is one and it is to be taken over from.
pub(crate) fn elder(is_wanted: bool, config: &Config) -> Result<Option<Elder>, Error> {
    if !is_wanted {
        return Ok(None);
    }
    let path = socket_path(config.listen.control.as_deref().ok_or(Error::NoControl)?);
    let elder = taking::ask(&path)?;
    if elder.is_none() {
        tracing::info!(path = %path.display(), "there is no gate to take over from");
    }
    Ok(elder)
}

/// Where the process that comes next is awaited.
pub(crate) struct Door {
    listener: UnixListener,
    file: SocketFile,
}

impl Door {
    /// Opens it, where there is a control socket.
    pub(crate) fn open(config: &Config, elder: Option<&mut Elder>) -> Result<Option<Self>, Error> {
        let Some(control) = config.listen.control.as_deref() else { return Ok(None) };
        let path = socket_path(control);
        let inherited = elder.and_then(|elder| elder.take(Role::Takeover, &name(&path)));
        if let Some(socket) = inherited {
            let file = SocketFile::of_another(&path);
            return Ok(Some(Self { listener: socket.into(), file }));
        }
        // Its owner's alone: whoever takes over gets all clients.
        let opened = bind_unix(&path, 0o600);
        let (listener, file) = opened.map_err(|source| Error::Bind { path, source })?;
        Ok(Some(Self { listener, file }))
    }

    /// It is this process's own, which has taken over.
    pub(crate) fn adopt(&self) {
        self.file.set_anothers(false);
    }

    /// Waits for a process that takes over, in a thread of its own. None when there are no
    /// descriptors left for that.
    pub(crate) fn offer(self, gate: &mut Gate, web: &web::Bound) -> Option<Successor> {
        let Self { listener, file } = self;
        let mut offers = gate.take_offers();
        let more = || -> io::Result<Vec<Offer>> {
            let mut more = web.offers()?;
            let (role, address) = (Role::Takeover, name(file.path()));
            more.push(Offer { role, address, socket: listener.try_clone()?.into() });
            Ok(more)
        };
        match more() {
            Ok(more) => offers.extend(more),
            Err(error) => {
                tracing::warn!("this process can't be taken over from: {error}");
                return None;
            }
        }
        let (tell, events) = unbounded_channel();
        let (ends, end) = channel::<()>();
        let offers = Arc::new(Offers::new(offers));
        let (shared, offered) = (gate.shared.clone(), offers.clone());
        tasks::spawn("tg-takeover", move || {
            let _ends = ends;
            giving::serve(&shared, &listener, &offered, &|event| {
                let _ = tell.send(event); // Nobody listens any more when the process ends.
            });
        });
        Some(Successor { events, end, offers, file })
    }
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

/// The process that comes next, once it does.
pub(crate) struct Successor {
    events: UnboundedReceiver<Event>,
    /// Is closed when the thread has ended.
    end: Receiver<()>,
    offers: Arc<Offers>,
    file: SocketFile,
}

impl Successor {
    /// It listens where this process does, or does so no more.
    pub(crate) fn listens(&self, listens: bool) {
        self.file.set_anothers(listens);
    }

    /// There will be none: this process is being stopped, and must hold no port open.
    pub(crate) fn withdraw(self) {
        self.offers.withdraw();
    }

    /// Waits until it has been told that this process holds nothing any more, which it need not wait
    /// for then.
    pub(crate) fn say_goodbye(self) {
        // It ends by being closed, or by the time.
        let _ = self.end.recv_timeout(GOODBYE_MAX);
    }
}

/// What a take-over asks of the rest of the process next; never, when there can be none.
pub(crate) async fn next(successor: Option<&mut Successor>) -> Event {
    match successor {
        Some(successor) => match successor.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
