//! What the two processes tell each other.

use std::sync::Arc;

use tidegate_budget::limits::{Server, ServerLimits};
use tidegate_wire::parcel::{Malformed, Packer, Unpacker};

use crate::shared::Kind;

/// Both sides must speak the same: parcels have no names in them. It grows with every change of a
/// message or of what goes along with a client.
pub(super) const VERSION: u64 = 2;

/// Said by the process that takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FromNew {
    /// It would like to, and speaks this version.
    Hello(u64),
    /// Everything that can fail has been done: the old process is to accept no more.
    Begin,
    /// It accepts, and is ready for clients. At these addresses, given by their role and as the settings
    /// had them, nobody is to listen any more.
    Serving { dropped: Vec<(u8, String)> },
    /// How many clients it has.
    Clients(u32),
    /// So many of the clients that were sent are its own now, and nobody else's. It has touched none
    /// before it has said so.
    Got(u64),
    /// Somebody wants to cancel what the client with this pid and secret runs.
    Cancel { id: u64, pid: u32, secret: Vec<u8> },
    /// It is being stopped, and so the old process is too.
    Stop,
}

/// Said by the process that gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FromOld {
    /// It can't give now, for this reason.
    Refused(String),
    /// A listening socket comes along, for what [`Role`](super::giving::Role) and configured
    /// address say.
    Listener { role: u8, address: String },
    /// All listening sockets have been sent, and this is what is known of the upstream.
    Ready(Upstream),
    /// How many slots it holds at most from now on, and the pids of its backends.
    Slots { held: u32, pids: Arc<[u32]> },
    /// A client comes along.
    Client { is_tcp: bool, parcel: Vec<u8> },
    /// What this cancel was meant for needs no more waiting for.
    Cancelled(u64),
    /// It has nothing any more, and ends.
    Goodbye,
}

/// What the old process knows of the upstream, so that the new one need not find out before it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Upstream {
    pub(super) kind: Kind,
    pub(super) server: Server,
    pub(super) foreign: u32,
}

impl FromNew {
    pub(super) fn pack(&self) -> (u8, Vec<u8>) {
        let mut packer = Packer::default();
        let tag = match self {
            Self::Hello(version) => {
                packer.number(*version);
                b'h'
            }
            Self::Begin => b'b',
            Self::Serving { dropped } => {
                packer.count(dropped.len());
                for (role, address) in dropped {
                    packer.number(u64::from(*role));
                    packer.bytes(address.as_bytes());
                }
                b's'
            }
            Self::Clients(count) => {
                packer.number(u64::from(*count));
                b'n'
            }
            Self::Got(count) => {
                packer.number(*count);
                b'g'
            }
            Self::Cancel { id, pid, secret } => {
                packer.number(*id);
                packer.number(u64::from(*pid));
                packer.bytes(secret);
                b'c'
            }
            Self::Stop => b'x',
        };
        (tag, packer.finish())
    }

    pub(super) fn unpack(tag: u8, parcel: &[u8]) -> Result<Self, Malformed> {
        let mut unpacker = Unpacker::new(parcel);
        let message = match tag {
            // Whatever else a later version says in it.
            b'h' => return Ok(Self::Hello(unpacker.number()?)),
            b'b' => Self::Begin,
            b's' => {
                let count = unpacker.count()?;
                let mut place = || Ok((unpacker.small()?, unpacker.text()?.to_owned()));
                Self::Serving { dropped: (0..count).map(|_| place()).collect::<Result<_, _>>()? }
            }
            b'n' => Self::Clients(unpacker.small()?),
            b'g' => Self::Got(unpacker.number()?),
            b'c' => Self::Cancel {
                id: unpacker.number()?,
                pid: unpacker.small()?,
                secret: unpacker.bytes()?.to_vec(),
            },
            b'x' => Self::Stop,
            _ => return Err(Malformed),
        };
        unpacker.finish()?;
        Ok(message)
    }
}

impl FromOld {
    pub(super) fn pack(&self) -> (u8, Vec<u8>) {
        let mut packer = Packer::default();
        let tag = match self {
            Self::Refused(reason) => {
                packer.bytes(reason.as_bytes());
                b'R'
            }
            Self::Listener { role, address } => {
                packer.number(u64::from(*role));
                packer.bytes(address.as_bytes());
                b'L'
            }
            Self::Ready(Upstream { kind, server, foreign }) => {
                packer.number(match kind {
                    Kind::Unknown => 0,
                    Kind::Direct => 1,
                    Kind::Pooler => 2,
                });
                packer.number(match server {
                    Server::Unasked => 0,
                    Server::Unknown => 1,
                    Server::Known(_) => 2,
                });
                if let Server::Known(limits) = server {
                    packer.number(u64::from(limits.max_connections));
                    packer.number(u64::from(limits.superuser_reserved));
                    packer.number(u64::from(limits.reserved));
                }
                packer.number(u64::from(*foreign));
                b'O'
            }
            Self::Slots { held, pids } => {
                packer.number(u64::from(*held));
                packer.count(pids.len());
                pids.iter().for_each(|pid| packer.number(u64::from(*pid)));
                b'S'
            }
            Self::Client { is_tcp, parcel } => {
                packer.flag(*is_tcp);
                packer.bytes(parcel);
                b'C'
            }
            Self::Cancelled(id) => {
                packer.number(*id);
                b'D'
            }
            Self::Goodbye => b'G',
        };
        (tag, packer.finish())
    }

    pub(super) fn unpack(tag: u8, parcel: &[u8]) -> Result<Self, Malformed> {
        let mut unpacker = Unpacker::new(parcel);
        let message = match tag {
            b'R' => Self::Refused(unpacker.text()?.to_owned()),
            b'L' => {
                Self::Listener { role: unpacker.small()?, address: unpacker.text()?.to_owned() }
            }
            b'O' => {
                let kind = match unpacker.number()? {
                    0 => Kind::Unknown,
                    1 => Kind::Direct,
                    2 => Kind::Pooler,
                    _ => return Err(Malformed),
                };
                let server = match unpacker.number()? {
                    0 => Server::Unasked,
                    1 => Server::Unknown,
                    2 => Server::Known(ServerLimits {
                        max_connections: unpacker.small()?,
                        superuser_reserved: unpacker.small()?,
                        reserved: unpacker.small()?,
                    }),
                    _ => return Err(Malformed),
                };
                Self::Ready(Upstream { kind, server, foreign: unpacker.small()? })
            }
            b'S' => {
                let held = unpacker.small()?;
                let count = unpacker.count()?;
                let pids = (0..count).map(|_| unpacker.small()).collect::<Result<_, _>>()?;
                Self::Slots { held, pids }
            }
            b'C' => Self::Client { is_tcp: unpacker.flag()?, parcel: unpacker.bytes()?.to_vec() },
            b'D' => Self::Cancelled(unpacker.number()?),
            b'G' => Self::Goodbye,
            _ => return Err(Malformed),
        };
        unpacker.finish()?;
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_understood_as_it_was_said_and_not_when_cut() {
        let news = [
            FromNew::Hello(VERSION),
            FromNew::Begin,
            FromNew::Serving { dropped: Vec::new() },
            FromNew::Serving { dropped: vec![(1, "127.0.0.1:6432".into())] },
            FromNew::Clients(12),
            FromNew::Got(70_000),
            FromNew::Cancel { id: 3, pid: 7, secret: b"0123".to_vec() },
            FromNew::Stop,
        ];
        for message in news {
            let (tag, parcel) = message.pack();
            assert_eq!(FromNew::unpack(tag, &parcel), Ok(message));
            if let Some(end) = parcel.len().checked_sub(1) {
                assert_eq!(FromNew::unpack(tag, &parcel[..end]), Err(Malformed));
            }
        }
        let limits = ServerLimits { max_connections: 100, superuser_reserved: 3, reserved: 1 };
        let upstream = |kind, server| FromOld::Ready(Upstream { kind, server, foreign: 4 });
        let olds = [
            FromOld::Refused("not now".into()),
            FromOld::Listener { role: 2, address: "127.0.0.1:6432".into() },
            upstream(Kind::Unknown, Server::Unasked),
            upstream(Kind::Pooler, Server::Unknown),
            upstream(Kind::Direct, Server::Known(limits)),
            FromOld::Slots { held: 9, pids: Arc::from([1, 2, 3]) },
            FromOld::Slots { held: 0, pids: Arc::from([]) },
            FromOld::Client { is_tcp: true, parcel: vec![1, 2, 3] },
            FromOld::Cancelled(3),
            FromOld::Goodbye,
        ];
        for message in olds {
            let (tag, parcel) = message.pack();
            assert_eq!(FromOld::unpack(tag, &parcel), Ok(message));
            if let Some(end) = parcel.len().checked_sub(1) {
                assert_eq!(FromOld::unpack(tag, &parcel[..end]), Err(Malformed));
            }
        }
        assert_eq!(FromNew::unpack(b'?', &[]), Err(Malformed));
        assert_eq!(FromOld::unpack(b'?', &[]), Err(Malformed));
    }
}
