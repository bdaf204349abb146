//! Failed logins per address: whoever guesses passwords waits for each answer.
//!
//! Only answers to failures are held back, so a service with the right password is not hurt by a
//! broken neighbour behind the same address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tidegate_wire::tick::Tick;

/// Failures of one address that are answered at once. A person mistypes a few times; a deploy
/// with a wrong password restarts a few times.
const FREE_MAX: u32 = 5;

/// How long failures are remembered after the last.
const WINDOW: Duration = Duration::from_secs(60);

/// How long each further failure waits for its answer: about one guess a second and connection.
const PENALTY: Duration = Duration::from_secs(1);

/// Addresses that are remembered; 64 bytes each. Beyond that, the oldest is forgotten.
const ADDRESSES_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct FailedLogins {
    by_address: BTreeMap<IpAddr, (u32, Tick)>,
}

impl FailedLogins {
    /// An attempt from `address` failed. Says how long its answer is held back.
    pub(crate) fn failed(&mut self, address: IpAddr, now: Tick) -> Duration {
        let (failures, last) = self.by_address.get(&address).copied().unwrap_or((0, now));
        let failures = if now.since(last) > WINDOW { 1 } else { failures.saturating_add(1) };
        if self.by_address.len() >= ADDRESSES_MAX && !self.by_address.contains_key(&address) {
            let oldest = self.by_address.iter().min_by_key(|(_, (_, last))| *last);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.by_address.remove(&oldest);
            }
        }
        self.by_address.insert(address, (failures, now));
        if failures > FREE_MAX { PENALTY } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_that_fails_often_waits_and_only_for_a_while() {
        let mut logins = FailedLogins::default();
        let (bad, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for _ in 0..FREE_MAX {
            assert_eq!(logins.failed(bad, Tick::ZERO), Duration::ZERO);
        }
        assert_eq!(logins.failed(bad, Tick::ZERO), PENALTY);
        assert_eq!(logins.failed(other, Tick::ZERO), Duration::ZERO);
        let later = Tick::ZERO + WINDOW + Duration::from_secs(1);
        assert_eq!(logins.failed(bad, later), Duration::ZERO);
    }

    #[test]
    fn memory_is_bounded() {
        let mut logins = FailedLogins::default();
        for number in 0..2 * ADDRESSES_MAX as u32 {
            let now = Tick::from_nanos(u64::from(number));
            logins.failed(IpAddr::from(number.to_be_bytes()), now);
        }
        assert_eq!(logins.by_address.len(), ADDRESSES_MAX);
    }
}
