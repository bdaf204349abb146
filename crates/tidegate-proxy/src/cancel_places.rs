//! How many cancels may be under way at once, and who has more of them.
//!
//! The bound is the upstream's, so it is for all workers together. A worker whose cancel has to wait
//! may have nothing else that would wake it, so it is remembered, and woken when a place is free.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::locks::lock;

/// Cancel requests under way at once: each makes PostgreSQL fork, and a burst of them
/// (impatient users, short time-outs) must not become a burst of processes.
const CANCELS_MAX: u32 = 2;

/// The places of cancels that are under way.
#[derive(Debug, Default)]
pub(crate) struct CancelPlaces(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    taken: u32,
    /// Workers that have found no place since one was free.
    waiting: BTreeSet<u16>,
}

impl CancelPlaces {
    /// A place for one more cancel of this worker's. Where there is none, the worker is among those
    /// that [`CancelPlaces::give_back`] names.
    pub(crate) fn take(&self, worker: u16) -> bool {
        let mut places = lock(&self.0);
        let is_free = places.taken < CANCELS_MAX;
        if is_free {
            places.taken += 1;
        } else {
            places.waiting.insert(worker);
        }
        is_free
    }

    /// A cancel is not under way any more. These workers are to be woken: the first gets the place,
    /// the others ask again.
    #[must_use]
    pub(crate) fn give_back(&self) -> BTreeSet<u16> {
        let mut places = lock(&self.0);
        places.taken -= 1;
        std::mem::take(&mut places.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_found_no_place_is_named_when_there_is_one() {
        let places = CancelPlaces::default();
        assert!(places.take(0) && places.take(0));
        assert!(!places.take(1));
        assert!(!places.take(2));
        assert!(!places.take(1));
        assert_eq!(places.give_back(), BTreeSet::from([1, 2]));
        assert!(places.take(2));
        assert!(!places.take(1), "it asks again");
        assert_eq!(places.give_back(), BTreeSet::from([1]));
        assert_eq!(places.give_back(), BTreeSet::new(), "nobody waits");
    }
}
