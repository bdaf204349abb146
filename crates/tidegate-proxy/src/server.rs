//! A server as a worker has it: the connection, its machine, and whose it is at the moment.

use std::sync::Arc;
use std::time::Duration;

use tidegate_pool_core::order::Dial;
use tidegate_pool_core::server::{Flavour, Lease, ServerId};
use tidegate_pool_core::settings::{PoolSettings, PrePing, ResetPolicy};
use tidegate_session::parameters::SessionSettings;
use tidegate_session::server::{ServerError, ServerMachine};
use tidegate_session::server_login::{Role, ServerLogin};
use tidegate_wire::tick::Tick;

use crate::channel::Channel;
use crate::resolver::Target;
use crate::timers::Alarm;
use crate::token::ClientKey;
use crate::welcome;

/// Where a server stands in its connection's life.
pub(crate) enum Stage {
    /// Connecting, then logging in.
    Login(Box<ServerLogin>),
    /// Logged in.
    Up(Box<ServerMachine>),
    /// It was told goodbye, or is of no use any more; the end of the stream is awaited.
    Closing,
    /// The connection has ended, but the slot is not free yet: the upstream is a pooler, or there
    /// is no census to see the backend go.
    Cooling,
}

/// By what right the worker has it.
pub(crate) enum Claim {
    /// It is being dialed.
    Dial(Dial),
    /// It is leased, or between two leases.
    Lease(Lease<()>),
    /// It is idle, or closing: the pool or nobody has it.
    None,
}

/// What is done at each lease beside what the lease makes necessary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    /// It is asked whether it answers before each lease.
    pub(crate) checked: bool,
    /// It is reset after each lease.
    pub(crate) reset: bool,
}

impl Habits {
    pub(crate) fn of(settings: &PoolSettings) -> Self {
        Self {
            checked: settings.pool_pre_ping == PrePing::Always,
            reset: settings.reset == ResetPolicy::Always,
        }
    }
}

/// Whether what a client runs was cancelled because it took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// It was not.
    No,
    /// It was, and has not ended yet.
    Cancelled {
        /// How long it might have taken.
        limit: Duration,
    },
    /// It has ended, but a cancel is still on its way: the client must not go on before.
    Arriving,
}

/// A connection to PostgreSQL.
pub struct Server {
    pub(crate) id: ServerId,
    pub(crate) channel: Channel,
    /// The worker at whose driver it is registered.
    pub(crate) home: u16,
    /// Its login asks for more than clients want ([`Shared::watchfulness`](crate::shared::Shared)).
    pub(crate) is_asked_to_watch: bool,
    pub(crate) stage: Stage,
    pub(crate) claim: Claim,
    pub(crate) client: Option<ClientKey>,
    /// It listens for the clients of its database, and has none itself.
    pub(crate) is_ear: bool,
    pub(crate) target: Target,
    pub(crate) pid: u32,
    pub(crate) secret: Vec<u8>,
    /// The startup parameters that it logged in with: what RESET ALL returns to. None, so that
    /// each can be taken back: no SQL removes what came with the startup packet.
    pub(crate) base: Arc<SessionSettings>,
    /// The settings that are in force now; see [`Server::set_settings`].
    pub(crate) settings: Arc<SessionSettings>,
    /// What the pool knows those by.
    pub(crate) flavour: Flavour,
    /// What its pool's settings say of each lease, so that nobody need ask the pool.
    pub(crate) habits: Habits,
    /// Those that are being set.
    pub(crate) adapting_to: Option<Arc<SessionSettings>>,
    /// The statement that sets them, where it is to go in front of the client's batch.
    pub(crate) ahead: Option<String>,
    /// Whether the lease may have left something in the session.
    pub(crate) dirty: bool,
    /// Whether its client must not go on before it is known which settings it has reset.
    pub(crate) holds_client: bool,
    /// Whether a client of the session port has reset settings, and with them some of those that it
    /// had asked for at start-up.
    pub(crate) was_reset: bool,
    /// Since when it lies idle; of no interest while it does not.
    pub(crate) rested_at: Tick,
    /// How many bytes its kernel had taken when the statement under way was sent: as long as there
    /// are no more, it was not.
    pub(crate) sent_from: u64,
    /// Nothing of the client's has been relayed in this lease.
    pub(crate) is_untouched: bool,
    /// What it was when it logged in, where that matters.
    pub(crate) role: Option<Role>,
    /// PostgreSQL has refused to write, and does not report whether that is its client's doing or the
    /// host's.
    pub(crate) is_suspect: bool,
    /// The last message that it was sent is cut: its rest is the client's to send.
    pub(crate) is_cut: bool,
    /// Cancel requests on their way to it. It is not handed out before they have arrived.
    pub(crate) cancels: u32,
    /// A cancel is wanted as soon as one may be sent.
    pub(crate) cancel_wanted: bool,
    /// Whether what its client runs took too long.
    pub(crate) overdue: Overdue,
    /// The client itself asked for a cancel of what it runs: the cancel is in its own words.
    pub(crate) client_asked: bool,
    /// A cancel was sent through another pooler, which may deliver it at any time.
    pub(crate) is_spoilt: bool,
    /// The lease has ended; what remains to be done waits for the cancels.
    pub(crate) parked: bool,
    /// Until when a vanished client's work must have ended, or the stream.
    pub(crate) recover_until: Tick,
    /// What PostgreSQL said before it hung up.
    pub(crate) last_words: Option<ServerError>,
    /// Its client has heard them.
    pub(crate) are_last_words_told: bool,
    pub(crate) alarm: Alarm,
}

impl Server {
    /// These settings are in force from now on.
    pub(crate) fn set_settings(&mut self, settings: &Arc<SessionSettings>) {
        if !Arc::ptr_eq(&self.settings, settings) {
            self.flavour = welcome::flavour(settings);
            self.settings = settings.clone();
        }
    }

    /// Whether it is at rest, and what its client has left is still to be asked for or put in order.
    pub(crate) fn has_left_something(&self) -> bool {
        let Stage::Up(machine) = &self.stage else { return false };
        machine.exchange().is_at_rest()
            && machine.errand().is_none()
            && (self.was_reset || machine.is_unsettled())
    }

    pub(crate) fn machine(&mut self) -> Option<&mut ServerMachine> {
        match &mut self.stage {
            Stage::Up(machine) => Some(machine),
            Stage::Login(_) | Stage::Closing | Stage::Cooling => None,
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("id", &self.id).field("pid", &self.pid).finish()
    }
}
