//! Tokens: what an event of the kernel is about, in one word.
//!
//! Each names its subject for good: a client's carries a serial number, a server's id is never
//! used twice. So an event that was queued for something that has ended finds nothing, and can't
//! reach what came after it.

use mio::Token;

use tidegate_pool_core::server::ServerId;

/// A client of this worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClientKey {
    pub(crate) place: u32,
    pub(crate) serial: u32,
}

impl ClientKey {
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.serial) << 32 | u64::from(self.place)
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self { place: bits as u32, serial: (bits >> 32) as u32 }
    }

    /// It stands for the server that listens for a pool's database: no client, but it asks for a
    /// server as one does.
    pub(crate) fn of_ear(pool: u32) -> Self {
        Self { place: pool, serial: EAR }
    }

    /// Whether it is one of those.
    pub(crate) fn is_ear(self) -> bool {
        self.serial == EAR
    }
}

/// The serial number that no client has.
const EAR: u32 = SERIAL_MAX;

/// The pid that a client is told: worker and place, so that a cancel request finds both.
pub(crate) fn client_pid(worker: u16, key: ClientKey) -> u32 {
    (u32::from(worker) << PLACE_BITS) | (key.place + 1)
}

/// The worker and the place that a pid names.
pub(crate) fn client_of_pid(pid: u32) -> Option<(u16, usize)> {
    let place = (pid & ((1 << PLACE_BITS) - 1)).checked_sub(1)?;
    Some(((pid >> PLACE_BITS) as u16, place as usize))
}

/// 16 million clients a worker and 127 workers keep a pid positive, as drivers expect.
const PLACE_BITS: u32 = 24;

/// A connection of this worker that carries a cancel request to PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CancelKey {
    pub(crate) place: u32,
    pub(crate) serial: u32,
}

/// Whatever can wake a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    /// A connection that carries a cancel request to PostgreSQL.
    Cancel(CancelKey),
    Client(ClientKey),
    Listener(u32),
    Mailbox,
    Server(ServerId),
}

const KIND_SHIFT: u32 = 61;
const CLIENT: u64 = 0;
const SERVER: u64 = 1;
const CANCEL: u64 = 2;
const LISTENER: u64 = 3;
const MAILBOX: u64 = 4;

/// Serial numbers stay below 2^29 so that a token has room for the kind.
pub(crate) const SERIAL_MAX: u32 = (1 << 29) - 1;

impl Source {
    pub(crate) fn token(self) -> Token {
        let (kind, bits) = match self {
            Self::Cancel(key) => (CANCEL, u64::from(key.serial) << 32 | u64::from(key.place)),
            Self::Client(key) => (CLIENT, key.to_bits()),
            Self::Listener(place) => (LISTENER, u64::from(place)),
            Self::Mailbox => (MAILBOX, 0),
            Self::Server(id) => (SERVER, id.to_bits()),
        };
        Token((kind << KIND_SHIFT | bits) as usize)
    }

    pub(crate) fn of(token: Token) -> Self {
        let bits = token.0 as u64;
        let rest = bits & ((1 << KIND_SHIFT) - 1);
        match bits >> KIND_SHIFT {
            CLIENT => Self::Client(ClientKey::from_bits(rest)),
            SERVER => Self::Server(ServerId::from_bits(rest)),
            CANCEL => Self::Cancel(CancelKey { place: rest as u32, serial: (rest >> 32) as u32 }),
            LISTENER => Self::Listener(rest as u32),
            _ => Self::Mailbox,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_what_it_was_made_from() {
        let sources = [
            Source::Cancel(CancelKey { place: 7, serial: 3 }),
            Source::Client(ClientKey { place: u32::MAX, serial: SERIAL_MAX }),
            Source::Client(ClientKey { place: 0, serial: 0 }),
            Source::Listener(3),
            Source::Mailbox,
            Source::Server(ServerId::from_bits(12_345_678_901)),
        ];
        for source in sources {
            assert_eq!(Source::of(source.token()), source);
        }
    }
}
