//! What drives the machines: workers, sockets, dialing, drain.
//!
//! [`gate`] is the way in: it opens the listeners and starts the workers. A [`worker`] is one
//! thread with one loop; it reads, lets a machine decide, and carries out what it said. What the
//! workers of one upstream have in common is in [`shared`]. Decisions live in the crates above;
//! here is only what the kernel needs.

pub mod played;
pub mod gate;

pub mod takeover;

mod worker;

pub mod reload;
mod operate;
pub mod shared;
mod succession;

mod complaints;
pub mod settings;
pub mod dial;
mod cancel_places;
pub mod listener;
mod logins;
mod server;
mod users;
mod welcome;

mod timers;
pub mod roster;
pub mod visitors;
mod token;

mod channel;
pub mod memory;
pub mod tls;
mod crypto;
mod entropy;
pub mod limits;

pub mod clock;
pub mod world;
pub mod resolver;
mod post;
mod locks;
mod sync;
pub mod tasks;
