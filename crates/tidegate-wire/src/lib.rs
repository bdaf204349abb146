//! Bytes to messages of the PostgreSQL protocol, and back.
//!
//! A stream is cut by [`frame`] after [`startup`] has seen its first packet. The tag of a frame
//! means different things by direction, so there are two sets of messages: [`frontend`] travels
//! towards PostgreSQL, [`backend`] from it. What Tidegate itself has to say to clients when
//! something fails stands in [`catalogue`]. [`scram`] and [`md5`] are the arithmetic of logging in;
//! [`certificate`] is what binds a login to its TLS connection.
//!
//! Promises: no clock, socket, thread, or randomness (nonces and salts are arguments); no input
//! makes a function here panic or allocate more than a small multiple of its own size. Decoding
//! borrows from the input.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::as_conversions
    )
)]

#[doc(hidden)]
pub mod fuzzing;

pub mod catalogue;

pub mod startup;

pub mod frame;
pub mod frontend;

pub mod backend;

pub mod md5;
pub mod scram;

pub mod certificate;

pub mod body;
pub mod parcel;
pub mod sqlstate;
pub mod tick;

#[doc(hidden)]
pub mod planted;
