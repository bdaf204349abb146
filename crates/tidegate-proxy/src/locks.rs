//! Locks: taken in one way.

use std::sync::PoisonError;

use crate::sync::{Mutex, MutexGuard};

/// Takes a lock that guards data and is never held across I/O. A panic in a worker ends the
/// process, so a poisoned lock is never met in earnest.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
