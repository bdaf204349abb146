//! The budget: how many servers may exist, for whom, and why not.
//!
//! One [`Budget`] speaks for one upstream. Whoever wants to open a connection to PostgreSQL, for
//! whatever purpose, must first take a [`Slot`] from it; the slot is given back when it is
//! dropped, and it is dropped when the PostgreSQL process behind the connection has gone.
//! Nothing else in Tidegate may open a connection, so the count cannot be wrong.
//!
//! Invariant: the slots that exist never exceed the lowest limit that was known when the last
//! of them was taken: of the upstream, of the database, of the user.

pub mod budget;
pub mod limits;
pub mod slot;
