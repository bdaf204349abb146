//! Visitors of the admin console: in, back and forth, and out ([`crate::visitors`]).

use std::sync::atomic::Ordering;

use tidegate_observe::front::{Goodbye, RejectReason};
use tidegate_session::client_login::LoggedIn;
use tidegate_wire::backend;
use tidegate_wire::catalogue::Complaint;

use crate::limits::CONSOLE_PLACES;
use crate::tls::connection::Tls;
use crate::token::{ClientKey, Source, client_pid};
use crate::visitors::{Then, Visit, Visitor, VisitorId};
use crate::worker::Worker;
use crate::worker::clients::Stage;

/// Nothing of a visitor's can be cancelled, so the secret is never asked for again.
const SECRET_BYTES: usize = 4;

impl Worker {
    /// Somebody has logged in to the console.
    pub(super) fn visit(&mut self, key: ClientKey, logged_in: LoggedIn) {
        let auth = &self.config.auth;
        let may =
            auth.admin_users.iter().chain(&auth.stats_users).any(|one| **one == *logged_in.user);
        if !may {
            let complaint = Complaint::console_not_allowed(&logged_in.user, &logged_in.database);
            return self.reject(key, RejectReason::NotOffered, Some(complaint));
        }
        let places = self.shared.clients_max.saturating_add(CONSOLE_PLACES);
        if !self.shared.take_client_place(places) {
            let complaint = Complaint::client_limit(places);
            return self.reject(key, RejectReason::MaxClients, Some(complaint));
        }
        let mut secret = [0; SECRET_BYTES];
        self.entropy.fill(&mut secret);
        self.logging_in -= 1;
        let Some(client) = self.clients.get_mut(key.place as usize) else { return };
        self.timers.clear(Source::Client(key), &mut client.alarm);
        client.is_login = false;
        client.stage = Stage::Visiting { is_heard: false };
        client.channel.paused = true;
        let LoggedIn { user, database, parameters, rest, .. } = logged_in;
        let visitor = Visitor {
            user,
            database,
            port: client.port,
            address: client.channel.peer_address(),
            local_address: client.channel.local_address(),
            tls: client.channel.tls().map(Tls::version),
            application: parameters.value("application_name").unwrap_or_default().to_owned(),
            pid: client_pid(self.index, key),
        };
        // It is not counted among the logins: those are of clients whose end is counted, too.
        let mut words = Vec::new();
        backend::push_backend_key_data(&mut words, visitor.pid, &secret);
        let sent = client.channel.send_bytes(&words);
        let id = self.visitor(key);
        self.shared.reception.put(id, Visit::Entered(Box::new(visitor)));
        if sent.is_err() {
            return self.client_gone(key, Goodbye::Vanished);
        }
        if !rest.is_empty() {
            self.shared.reception.put(id, Visit::Said(rest));
        }
    }

    fn visitor(&self, key: ClientKey) -> VisitorId {
        VisitorId { worker: self.index, key }
    }

    /// A visitor has said something. It says no more before it has got an answer.
    pub(super) fn visitor_says(&mut self, key: ClientKey, bytes: &[u8]) {
        let Some(client) = self.client(key) else { return };
        client.stage = Stage::Visiting { is_heard: false };
        client.channel.paused = true;
        self.shared.reception.put(self.visitor(key), Visit::Said(bytes.to_vec()));
    }

    /// The control plane tells a visitor something.
    pub(super) fn visitor_answered(&mut self, key: ClientKey, words: &[u8], then: Then) {
        let Some(client) = self.client(key) else { return };
        if !matches!(client.stage, Stage::Visiting { .. }) {
            return; // It was told goodbye meanwhile.
        }
        if client.channel.send_bytes(words).is_err() {
            return self.client_gone(key, Goodbye::Vanished);
        }
        match then {
            Then::Wait => {}
            Then::Close => {
                self.part(key, Goodbye::Terminate);
                self.say_last_words(key, &[]);
            }
            Then::Listen if self.drain.is_some() => self.turn_away(key, &Complaint::draining()),
            Then::Listen => {
                let Some(client) = self.client(key) else { return };
                client.stage = Stage::Visiting { is_heard: true };
                client.channel.paused = client.channel.is_clogged();
                self.queue_client(key);
            }
        }
    }

    /// A visitor has gone, or is told goodbye.
    pub(super) fn visitor_left(&mut self, key: ClientKey) {
        self.shared.clients.fetch_sub(1, Ordering::Relaxed);
        self.shared.reception.put(self.visitor(key), Visit::Left);
    }
}
