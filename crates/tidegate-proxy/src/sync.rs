//! What locks are made of: the standard library's. `tests/loom.rs` compiles what uses them with those of
//! loom, which tries all orders in which threads can come.

pub(crate) use std::sync::{Mutex, MutexGuard};
