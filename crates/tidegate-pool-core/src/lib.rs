//! Which client gets which server, and when.
//!
//! [`pools::Pools`] holds everything that the workers of one upstream share: the budget, the
//! pools, the idle servers, the queues. It is a plain value: each call is given the time,
//! changes the state, and leaves [`order::Order`]s for the worker that made the call. It stands
//! behind one mutex that is held for the length of a call and never across I/O.
//!
//! Promises: servers never exceed the budget or the pool's own limit, counted from the moment of
//! dialing until the backend has gone; waiters of a pool are served first come, first served,
//! and each ends with a server or an error by its deadline; a starving pool gets its share of
//! the budget at the cost of others' idle servers.

pub mod pools;

pub mod order;
pub mod pool;
pub mod tally;

pub mod queue;
pub mod resend;
pub mod retry;
pub mod server;

pub mod histogram;
pub mod settings;
