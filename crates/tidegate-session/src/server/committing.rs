//! Which of the client's messages commit a transaction: when the server is lost before it has
//! answered one, nobody knows whether the transaction has been committed.
//!
//! A Query says so itself. With the extended protocol it is the Execute that commits, and what it
//! executes was said by a Parse, perhaps long before. Which portal an Execute is about is not
//! followed: where a statement that commits was bound, all that is executed up to the next Sync
//! may commit.

use std::collections::BTreeSet;

use tidegate_wire::frontend::Tag;

use crate::outcome;
use crate::prepared::client::ClientStatements;
use crate::server::ServerMachine;

/// Statements that commit, as far as their names are the client's own affair. A driver prepares
/// one, or one for each spelling.
const NAMES_MAX: usize = 64;

/// What was sent in this lease that commits.
#[derive(Debug, Default)]
pub(super) struct Committing {
    /// Prepared statements; the empty name is that without a name.
    names: BTreeSet<Box<[u8]>>,
    /// There are more than are remembered: it may be any.
    may_be_any: bool,
    /// One has been bound since the last Sync.
    is_bound: bool,
}

impl Committing {
    pub(super) fn sent(&mut self, tag: Tag) {
        self.is_bound &= tag != Tag::Sync;
    }

    pub(super) fn is_bound(&self) -> bool {
        self.is_bound
    }

    fn parsed(&mut self, name: &[u8], commits: bool) {
        if !commits {
            self.names.remove(name);
        } else if self.names.len() < NAMES_MAX {
            self.names.insert(name.into());
        } else {
            self.may_be_any = true;
        }
    }

    fn binds(&self, name: &[u8]) -> bool {
        self.may_be_any || self.names.contains(name)
    }
}

/// Whether a command tag says that a transaction was committed, or prepared to be. That of a COMMIT
/// which has rolled back is the same as a ROLLBACK's.
pub(super) fn confirms(tag: &[u8]) -> bool {
    matches!(tag, b"COMMIT" | b"COMMIT PREPARED" | b"PREPARE TRANSACTION")
}

impl ServerMachine {
    /// A message with this body has been sent, or is about to be: only a Query has.
    pub(crate) fn watch_for_commit(&mut self, tag: Tag, body: &[u8], names: &ClientStatements) {
        let mut strings = body.split(|byte| *byte == 0);
        let first = strings.next().unwrap_or_default();
        match tag {
            Tag::Query => {
                let count = self.commits_in(body);
                if count > 0 {
                    self.exchange.sent_commits(count);
                }
            }
            Tag::Parse => {
                let count = self.commits_in(strings.next().unwrap_or_default());
                self.committing.parsed(first, count > 0);
            }
            Tag::Bind => {
                let name = strings.next().unwrap_or_default();
                // What it has prepared elsewhere.
                let text = match names.get(name) {
                    Some(named) => named.statement.definition().0,
                    None if name.is_empty() => names.unnamed(),
                    None => b"",
                };
                let commits = self.committing.binds(name) || self.commits_in(text) > 0;
                self.committing.is_bound |= commits;
            }
            _ => {}
        }
    }

    fn commits_in(&self, text: &[u8]) -> u32 {
        if !outcome::may_commit(text) {
            return 0;
        }
        outcome::commits(text, self.backslash_escapes())
    }

    /// Whether a transaction may have been committed, and the client was not told.
    pub fn is_commit_in_doubt(&self) -> bool {
        self.exchange.owes_commit()
    }

    /// Whether the client is not told, for now, of an error that ends the connection.
    pub fn withhold_fatal(&mut self, is_withheld: bool) {
        self.withholds_fatal = is_withheld;
    }

    /// Nothing of what the client has sent in this batch counts: another server is to be sent it.
    pub(crate) fn forsake(&mut self, names: &mut ClientStatements) {
        self.exchange.forsake();
        self.settle(Some(names), &mut crate::pieces::Pieces::default());
    }
}
