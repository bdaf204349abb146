//! Servers that die: which of what their clients have sent goes to another server, and what the
//! clients are told of the rest.
//!
//! A batch goes to another server where it is known that nothing of it can have been executed:
//! PostgreSQL had taken its leave, or the connection had ended, before anything was written; or
//! what was written the kernel has not taken. And, where the settings ask for it, a read of which
//! nothing of the answer has come. All else is never sent again.
//!
//! That PostgreSQL had taken its leave is seen only by reading, so a server that has lain idle is
//! read from before its next client's batch is written ([`Worker::is_alive`]).

use std::io::ErrorKind;
use std::time::Duration;

use tidegate_observe::front::Resend;
use tidegate_pool_core::server::{CloseReason, ServerId};
use tidegate_session::exchange::{Exchange, Waits};
use tidegate_session::pieces::Pieces;
use tidegate_session::server::{Errand, ServerError};
use tidegate_wire::backend::TransactionStatus;
use tidegate_wire::catalogue::{Complaint, Fate};
use tidegate_wire::sqlstate::SqlState;

use crate::channel::{Input, READ_BYTES};
use crate::complaints;
use crate::server::{Overdue, Server, Stage};
use crate::token::ClientKey;
use crate::worker::Worker;

/// A server that has lain idle for this long is asked for news before it is written to: a system
/// call of less than a microsecond, at most a thousand times a second for each server. What was
/// idle for less has just been read from.
const RESTED: Duration = Duration::from_millis(1);

/// What a server has said that nobody has asked for anything.
pub(super) enum Overheard {
    /// That it is of no use any more; its end is still to come.
    Farewell,
    /// That it is no more.
    End(Option<ErrorKind>),
    /// Nothing that matters.
    Nothing,
}

/// Reads what a server has to say that has no client, and owes nothing: a notice, a parameter that
/// was reloaded, a farewell. Nobody is here to be told, and nothing of it is an answer.
pub(super) fn overhear(server: &mut Server, buffer: &mut [u8]) -> Overheard {
    let (mut to_client, mut to_server) = (Pieces::default(), Pieces::default());
    let mut overheard = Overheard::Nothing;
    loop {
        match server.channel.read(buffer) {
            Input::Bytes(bytes) => {
                let Stage::Up(machine) = &mut server.stage else { return overheard };
                let said = &buffer[..bytes];
                match machine.receive(said, None, &mut to_client, &mut to_server) {
                    // Nobody may get the server, although its end is still to come.
                    Ok(heard) if heard.fatal.is_some() => {
                        server.last_words = heard.fatal;
                        overheard = Overheard::Farewell;
                    }
                    Ok(heard) if heard.parameter_reported => machine.retire_statements(),
                    Ok(_) => {}
                    Err(_) => overheard = Overheard::Farewell,
                }
                to_client.clear();
            }
            Input::Nothing | Input::Handshake(_) => return overheard,
            Input::End => return Overheard::End(None),
            Input::Broken(kind) => return Overheard::End(Some(kind)),
        }
    }
}

impl Worker {
    // --- Before anything is sent. ---

    /// Whether a server that was just taken from its pool, and has no client yet, is still of use.
    pub(super) fn is_alive(&mut self, id: ServerId) -> bool {
        let now = self.now;
        let Some(server) = self.server(id) else { return false };
        let is_due = server.channel.readable || now.since(server.rested_at) >= RESTED;
        if !is_due || !server.channel.has_news() {
            return true;
        }
        server.client = None;
        match overhear(server, &mut vec![0; READ_BYTES]) {
            Overheard::Nothing => true,
            Overheard::Farewell => {
                self.close_server(id, CloseReason::Upstream);
                false
            }
            Overheard::End(broken) => {
                self.server_ended(id, broken);
                false
            }
        }
    }

    /// The client has said something, and so has its server, which owes nothing: what that is must
    /// be known first, as it may be its farewell.
    pub(super) fn hear_first(&mut self, id: ServerId) {
        let Some(server) = self.server(id) else { return };
        let is_due = server.channel.readable
            && server.machine().is_some_and(|machine| {
                machine.exchange().owes_nothing() && machine.errand().is_none()
            });
        if is_due {
            self.read_server(id, &mut vec![0; READ_BYTES]);
        }
    }

    // --- To another server. ---

    /// Whether a batch may go to another server; then it is counted.
    fn may_resend(&mut self, key: ClientKey, why: Resend) -> bool {
        let may = self.shared.pools().may_send_again();
        if let Some(traffic) = self.client(key).and_then(|client| client.traffic()) {
            let counter =
                if may { &traffic.resent[why as usize] } else { &traffic.resends_refused };
            counter.add(1);
        }
        may
    }

    /// Its server has died, and nothing of what the client holds was sent to it: another one will
    /// do.
    pub(super) fn start_over(&mut self, key: ClientKey) {
        let may = self.may_resend(key, Resend::Unsent);
        let Some(client) = self.client(key) else { return };
        client.lease = None;
        if may {
            let held = client.machine.take_held();
            return self.check_out(key, &held);
        }
        let is_welcoming = client.is_welcoming();
        let cause = "servers are lost as fast as they are opened";
        let complaint = Complaint::upstream_lost(&self.shared.upstream, Fate::NotSent, cause);
        if is_welcoming {
            self.turn_away(key, &complaint);
        } else {
            self.answer_in_servers_stead(key, &complaint);
        }
    }

    /// What was written to a client's server for the first time in this lease the kernel has not
    /// taken, for the connection has ended. The client holds it again.
    pub(super) fn unsent(&mut self, key: ClientKey, id: ServerId) {
        if let Some(server) = self.server(id) {
            server.client = None;
            // Or it would be offered to the kernel once more, with the goodbye.
            server.channel.forget_unsent();
        }
        self.close_server(id, CloseReason::Upstream);
        self.start_over(key);
    }

    /// Whether the client's batch is a read that goes to another server, although this one has
    /// been sent it.
    fn reads_again(&mut self, key: ClientKey, id: ServerId) -> bool {
        let Some(batch) = self.client(key).and_then(|client| client.again.take()) else {
            return false;
        };
        let Some(server) = self.server(id) else { return false };
        // What PostgreSQL says of the statement itself it would say again, and a cancel that was
        // meant for it would be lost.
        let is_about_the_server = server.last_words.as_ref().is_none_or(|words| {
            [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN].contains(&words.sqlstate)
        });
        let is_cancelled = server.overdue != Overdue::No
            || server.client_asked
            || server.cancel_wanted
            || server.cancels > 0;
        if !is_about_the_server || is_cancelled || !self.may_resend(key, Resend::ReadOnly) {
            return false;
        }
        let Some(client) = self.clients.get_mut(key.place as usize) else { return false };
        let Some(server) = self.servers.get_mut(id.place()).and_then(Option::as_deref_mut) else {
            return false;
        };
        let Stage::Up(machine) = &mut server.stage else { return false };
        client.machine.take_back(&batch, machine);
        client.is_second = true;
        client.lease = None;
        server.client = None;
        true
    }

    /// What the client holds is relayed to another server.
    fn go_on_elsewhere(&mut self, key: ClientKey) {
        let Some(client) = self.client(key) else { return };
        let held = client.machine.take_held();
        self.check_out(key, &held);
    }

    // --- Nowhere. ---

    /// PostgreSQL has ended the connection in place of an answer, of which the client was not told
    /// anything yet: whether its batch is a read that goes to another server.
    pub(super) fn goes_elsewhere(&mut self, key: ClientKey, id: ServerId) -> bool {
        let now = self.now;
        let goes = self.reads_again(key, id);
        if goes {
            self.with_pools(|pools| pools.closing(id, CloseReason::Upstream, now));
            self.wait_for_end(id);
            self.go_on_elsewhere(key);
        }
        goes
    }

    /// PostgreSQL has ended the connection in place of an answer, and the client was not told so
    /// yet. `farewell`: in its words.
    pub(super) fn fatal_withheld(
        &mut self,
        key: ClientKey,
        id: ServerId,
        is_commit_in_doubt: bool,
        farewell: &[u8],
    ) {
        if self.lease_of(key) != Some(id) {
            return;
        }
        let now = self.now;
        if !is_commit_in_doubt {
            return self.pass_on_farewell(key, id, farewell);
        }
        let words = self.server(id).and_then(|server| {
            server.client = None;
            server.last_words.clone()
        });
        let complaint = self.commit_in_doubt(key, &complaints::cause_of_loss(words.as_ref()));
        if let Some(client) = self.client(key) {
            client.forget_lease();
        }
        self.with_pools(|pools| pools.closing(id, CloseReason::Upstream, now));
        self.wait_for_end(id);
        self.server_lost(key, &complaint, false, false);
    }

    /// The connection to a server is no more: its client goes on with another one, or is told.
    pub(super) fn tell_client_of_loss(&mut self, id: ServerId, is_mid_answer: bool) {
        let Some(server) = self.server(id) else { return };
        if server.is_ear {
            return self.ear_is_lost(id);
        }
        let Some(key) = server.client.take() else { return };
        let (last_words, told) = (server.last_words.clone(), server.are_last_words_told);
        // Restored is what a client has that is in the midst of its session.
        let errand = server.machine().and_then(|machine| machine.errand());
        if errand.is_some_and(|errand| errand != Errand::Restore) {
            return self.start_over(key);
        }
        if !told && !is_mid_answer && self.reads_again(key, id) {
            return self.go_on_elsewhere(key);
        }
        let complaint = self.loss(key, id, last_words.as_ref());
        if let Some(client) = self.client(key) {
            client.forget_lease();
        }
        self.server_lost(key, &complaint, is_mid_answer, told);
    }

    /// What a client is told whose server is lost.
    fn loss(&mut self, key: ClientKey, id: ServerId, words: Option<&ServerError>) -> Complaint {
        let cause = complaints::cause_of_loss(words);
        let is_in_doubt = self.is_commit_in_doubt(id);
        let fate = self.server(id).map_or(Fate::Unknown, fate);
        if is_in_doubt {
            return self.commit_in_doubt(key, &cause);
        }
        Complaint::upstream_lost(&self.shared.upstream, fate, &cause)
    }

    /// Whether a server was sent a COMMIT that it has not answered.
    pub(super) fn is_commit_in_doubt(&mut self, id: ServerId) -> bool {
        self.server(id).is_some_and(|server| {
            let was_sent = server.channel.accepted() > server.sent_from;
            was_sent && server.machine().is_some_and(|machine| machine.is_commit_in_doubt())
        })
    }

    /// What a client is told whose COMMIT may or may not have been carried out.
    pub(super) fn commit_in_doubt(&mut self, key: ClientKey, cause: &str) -> Complaint {
        if let Some(traffic) = self.client(key).and_then(|client| client.traffic()) {
            traffic.commits_in_doubt.add(1);
        }
        Complaint::commit_in_doubt(&self.shared.upstream, cause)
    }

    /// What a client is told that is parted from its server for another reason: where its COMMIT is
    /// under way, that this may have been carried out matters more.
    pub(super) fn unless_in_doubt(&mut self, key: ClientKey, complaint: &Complaint) -> Complaint {
        match self.lease_of(key) {
            Some(id) if self.is_commit_in_doubt(id) => {
                self.commit_in_doubt(key, &complaint.message)
            }
            _ => complaint.clone(),
        }
    }
}

/// What became of what was sent to a server that is lost.
fn fate(server: &mut Server) -> Fate {
    let was_sent = server.channel.accepted() > server.sent_from;
    let is_cut = server.is_cut;
    let exchange = server.machine().map(|machine| machine.exchange());
    let is_under_way = |exchange: &Exchange| {
        let waits = matches!(exchange.waits_for(), Waits::Batch | Waits::Copy);
        exchange.is_busy_for_client() || waits || is_cut
    };
    match exchange {
        Some(exchange) if !is_under_way(exchange) => match exchange.status() {
            TransactionStatus::Idle => Fate::Answered,
            TransactionStatus::InTransaction | TransactionStatus::Failed => Fate::InTransaction,
        },
        _ if !was_sent => Fate::NotSent,
        _ => Fate::Unknown,
    }
}
