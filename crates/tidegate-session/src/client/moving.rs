//! What of a client goes along when another process takes it over: everything that it may rely on
//! later. It goes only while it is at rest, so nothing is half said on either side.

use tidegate_wire::parcel::{Malformed, Packer, Unpacker};

use crate::client::answers::Transaction;
use crate::client::{ClientMachine, Watch};
use crate::prepared::client::ClientStatements;
use crate::prepared::interner::Library;

impl ClientMachine {
    /// Whether nothing is half said, and nothing but what [`ClientMachine::pack`] packs is to be
    /// remembered.
    pub fn is_at_rest(&self) -> bool {
        self.held.is_empty()
            && self.ignored == 0
            && !self.skipping
            && self.stalled.is_none()
            && !matches!(self.watch, Watch::Subject(_))
            && self.splitter.is_at_start_of_frame()
            && self.statements.is_settled()
            && matches!(self.transaction, Transaction::None | Transaction::Begun(_))
    }

    /// Packs a client that is at rest.
    pub fn pack(&self, packer: &mut Packer) {
        debug_assert!(self.is_at_rest());
        packer.maybe(match &self.transaction {
            Transaction::Begun(statement) => Some(statement),
            Transaction::None | Transaction::Failed | Transaction::Ended => None,
        });
        self.statements.pack(packer);
    }

    /// A client that another process has packed; its statements are kept in `library`.
    ///
    /// # Errors
    /// It was not.
    pub fn unpack(
        unpacker: &mut Unpacker<'_>,
        library: &mut dyn Library,
    ) -> Result<Self, Malformed> {
        let transaction = match unpacker.maybe()? {
            Some(statement) => Transaction::Begun(statement.into()),
            None => Transaction::None,
        };
        let statements = ClientStatements::unpack(unpacker, library)?;
        Ok(Self { transaction, statements, ..Self::default() })
    }
}
