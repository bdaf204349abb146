//! For tests: a running gate, clients that speak bytes, Python and Node.js, and waiting for conditions.
//!
//! Everything here panics with a message that says what was expected: a test wants no results
//! to handle.

pub mod scene;

pub mod batch;
pub mod certificates;
pub mod fault;
pub mod gate;
pub mod libpq;
pub mod line;
pub mod node;
pub mod outcome;
pub mod python;
pub mod raw;

pub mod pgbouncer;
pub mod processes;

pub mod wait;
