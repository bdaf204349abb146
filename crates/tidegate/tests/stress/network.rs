//! The network between gate and PostgreSQL, of which something is broken now and then, by choices
//! that follow from the seed.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_testkit::fault::{Cut, FaultProxy, Way, Which};
use tidegate_testkit::raw::Raw;

use crate::load::random::Random;

/// A statement that is sent into a connection of which nobody knows any more ends after this time;
/// nothing that the clients run takes as long, held or not.
pub(crate) const SETTINGS: &str = "pool_pre_ping = \"1s\"\n\
    [timeouts]\nquery = \"8s\"\ncancel = \"1s\"\n\
    [retry]\nmultiplier = \"100ms\"\nmin = \"100ms\"\nmax = \"300ms\"\n";

/// What the gate may warn of.
pub(crate) const ALLOWED: [&str; 6] = [
    "can't open a server",
    "the census can't connect",
    "the census lost its connection",
    "a server did not answer in time",
    "cancelled a statement that took too long",
    "closed a client whose statement did not end when it was cancelled",
];

/// Looks between two faults, and during one: a look is 25 ms. Much shorter than the 5 s that the
/// gate gives a server for an answer of its own.
const PAUSE_LOOKS_MAX: usize = 60;
const FAULT_LOOKS_MAX: usize = 50;

pub(crate) struct Network {
    proxy: FaultProxy,
    random: Random,
    looks_left: usize,
    is_broken: bool,
    /// Connections that were ended, or may have been.
    ended: usize,
    faults: BTreeMap<&'static str, usize>,
}

impl Network {
    pub(crate) fn new(to: u16, seed: u64) -> Self {
        Self {
            proxy: FaultProxy::start(to),
            random: Random::of(seed, usize::MAX - 1, 0),
            looks_left: PAUSE_LOOKS_MAX,
            is_broken: false,
            ended: 0,
            faults: BTreeMap::new(),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.proxy.port()
    }

    /// Called at each look: breaks something, or mends it.
    pub(crate) fn look(&mut self, superuser: &mut Raw) {
        self.looks_left = self.looks_left.saturating_sub(1);
        if self.looks_left > 0 {
            return;
        }
        if self.is_broken {
            self.proxy.heal();
            self.looks_left = 1 + self.random.below(PAUSE_LOOKS_MAX);
        } else {
            self.do_harm(superuser);
            self.looks_left = 1 + self.random.below(FAULT_LOOKS_MAX);
        }
        self.is_broken = !self.is_broken;
    }

    fn do_harm(&mut self, superuser: &mut Raw) {
        let one = self.one(superuser);
        let how = self.random.pick(&[Cut::Fin, Cut::Reset]);
        let way = self.random.pick(&[Way::Up, Way::Down]);
        let fault = match self.random.below(11) {
            0 => {
                let milliseconds = 1 + self.random.below(20) as u64;
                self.proxy.delay(Duration::from_millis(milliseconds));
                "delay"
            }
            1 => {
                self.proxy.hold(Which::All, Way::BOTH);
                "black hole"
            }
            2 => {
                self.proxy.hold(Which::All, &[way]);
                "black hole, one way"
            }
            3 => {
                self.proxy.hold(one, Way::BOTH);
                "black hole for one"
            }
            4 | 5 => {
                self.ended += self.proxy.cut(one, how);
                "cut one"
            }
            6 | 7 => {
                // Within any message.
                let most = self.random.pick(&[200, 20_000]);
                let bytes = 1 + self.random.below(most);
                self.proxy.cut_after(Which::All, way, bytes, how);
                self.ended += 1;
                "cut within a message"
            }
            8 => {
                self.ended += self.proxy.forget(one);
                "half-open"
            }
            9 => {
                if self.random.one_in(2) {
                    self.proxy.refuse();
                } else {
                    self.proxy.ignore();
                }
                "no connecting"
            }
            _ => {
                self.ended += self.proxy.cut(Which::All, how);
                "cut all"
            }
        };
        *self.faults.entry(fault).or_default() += 1;
    }

    /// One of the application's servers, or the census's.
    fn one(&mut self, superuser: &mut Raw) -> Which {
        let sql = "SELECT coalesce(string_agg(client_port::text, ',' ORDER BY pid), '') \
                   FROM pg_stat_activity WHERE usename = 'app' AND client_port > 0";
        let ports = superuser.value(sql);
        let ports: Vec<u16> = ports.split(',').filter_map(|port| port.parse().ok()).collect();
        // Nobody has port 0.
        Which::Of(if ports.is_empty() { 0 } else { self.random.pick(&ports) })
    }

    /// Mends everything; says how many connections were ended at most.
    pub(crate) fn mend(&self) -> usize {
        self.proxy.heal();
        println!("faults of the network: {:?}, connections ended: {}", self.faults, self.ended);
        self.ended
    }
}
