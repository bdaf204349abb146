//! Upstreams of several hosts: which servers are what the settings ask for, and what follows when
//! those of a host are not any more.
//!
//! PostgreSQL reports from version 14 on whether it is a standby, and whether transactions write by
//! default; where it does not, it is asked at the login. Later it can only change by a reload, or
//! behind another pooler's back: that is seen when the server has answered its client, and what
//! was refused to write is not handed out again before it was looked at.

use tidegate_config::TargetSession;
use tidegate_pool_core::server::{CloseReason, ServerId};
use tidegate_session::server_login::Role;

use crate::dial;
use crate::worker::Worker;

impl Worker {
    /// Why a server that is like this is not what the settings ask for, if it is not.
    pub(super) fn misfit(&self, role: Option<Role>) -> Option<&'static str> {
        let Role { is_standby, is_read_only } = role?;
        self.config.upstream.target.misfit(is_standby, is_read_only)
    }

    /// A server has logged in, and is not what the settings ask for.
    pub(super) fn is_no_use(&mut self, id: ServerId, misfit: &'static str) {
        let Some(server) = self.server(id) else { return };
        let target = server.target.clone();
        let failure = dial::misfit(&target, misfit, self.config.upstream.target);
        if self.shared.resolver.is_where_it_works(&target) {
            self.leave_host(None);
        }
        self.login_failed(id, failure);
    }

    /// A server is what the settings ask for. Where the last was elsewhere, so are those that exist.
    pub(super) fn host_works(&mut self, id: ServerId) {
        let Some(server) = self.server(id) else { return };
        let target = server.target.clone();
        let before = self.shared.resolver.works(&target);
        if let Some(before) = before.filter(|_| self.asks_for_a_role()) {
            tracing::info!("the upstream is at {target} now, and was at {before}");
            self.leave_host(Some(id));
        }
    }

    /// Whether the settings ask for a role at all.
    pub(super) fn asks_for_a_role(&self) -> bool {
        self.config.upstream.target != TargetSession::Any
    }

    fn leave_host(&mut self, except: Option<ServerId>) {
        let now = self.now;
        self.with_pools(|pools| pools.leave_host(except, now));
    }

    /// A lease has ended, with the server at rest: whether it is still what the settings ask for.
    /// Otherwise it is closed, and so are the others of its host.
    pub(super) fn still_fits(&mut self, id: ServerId) -> bool {
        if !self.asks_for_a_role() {
            return true;
        }
        let Some(server) = self.server(id) else { return true };
        let is_suspect = std::mem::take(&mut server.is_suspect);
        // What a client has set itself says nothing of the host.
        let is_own = server.settings.value("default_transaction_read_only").is_some();
        let before = server.role.filter(|_| is_own);
        let role = server.machine().and_then(|machine| Role::reported(machine.reported()));
        match role {
            Some(role) => {
                let is_read_only = before.map_or(role.is_read_only, |before| before.is_read_only);
                let role = Role { is_read_only, ..role };
                let Some(misfit) = self.misfit(Some(role)) else { return true };
                self.host_is_no_use(id, misfit);
                false
            }
            None if is_suspect => {
                // Whoever takes its place is asked when it logs in.
                self.close_server(id, CloseReason::Moved);
                false
            }
            None => true,
        }
    }

    /// The host of a server is not what the settings ask for any more.
    pub(super) fn host_is_no_use(&mut self, id: ServerId, misfit: &'static str) {
        let Some(server) = self.server(id) else { return };
        let target = server.target.clone();
        let failure = dial::misfit(&target, misfit, self.config.upstream.target);
        tracing::warn!("a host is of no use any more: {}", failure.cause);
        self.shared.resolver.failed(&target, &failure.cause);
        self.leave_host(None);
        self.close_server(id, CloseReason::Moved);
    }
}
