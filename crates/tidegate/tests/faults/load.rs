//! Clients of both ports that run short transactions for as long as they are told to, each of which
//! knows what is its own, and what they are told when something breaks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use tidegate_testkit::raw::Raw;
use tidegate_testkit::scene::{APP, Scene};
use tidegate_testkit::wait;

use crate::stage::{code, error_in};

/// Clients at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Told>>,
}

/// What one of them was told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Errors that ended a connection, and how often.
    pub(crate) codes: BTreeMap<String, u32>,
    /// Connections that ended without a word.
    pub(crate) silent: u32,
}

impl Told {
    pub(crate) fn errors(&self) -> u32 {
        self.codes.values().sum::<u32>() + self.silent
    }
}

impl Load {
    /// So many clients of each port.
    pub(crate) fn start(scene: &Scene, of_each_port: usize) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let ports = scene.ports();
        let clients = (0..2 * of_each_port)
            .map(|number| {
                let (stop, done) = (stop.clone(), done.clone());
                let port = ports[number % 2];
                thread::spawn(move || live(port, number, &stop, &done))
            })
            .collect();
        let load = Self { stop, done, clients };
        load.until_more(2 * of_each_port as u64);
        load
    }

    /// Waits until so many more transactions have been done.
    pub(crate) fn until_more(&self, transactions: u64) {
        let wanted = self.done.load(Ordering::Relaxed) + transactions;
        wait::until(&format!("{transactions} more transactions"), || {
            (self.done.load(Ordering::Relaxed) >= wanted).then_some(())
        });
    }

    /// Lets them end, and says what each was told.
    pub(crate) fn end(self) -> Vec<Told> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().map(|client| client.join().expect("no answer was wrong")).collect()
    }
}

/// Whoever loses its connection makes another, as applications do. On the session port each
/// connection is of one transaction: it holds a server as long as it is there.
fn live(port: u16, number: usize, stop: &AtomicBool, done: &AtomicU64) -> Told {
    let mut told = Told::default();
    let mut connection: Option<Raw> = None;
    let mut nth = 0;
    while !stop.load(Ordering::Relaxed) {
        nth += 1;
        let mut raw = match connection.take() {
            Some(raw) => raw,
            None => {
                let mut raw = Raw::connect(port);
                if let Err(error) = raw.try_log_in(&[("user", APP), ("database", APP)], "") {
                    *told.codes.entry(format!("login: {}", code(&error))).or_default() += 1;
                    continue;
                }
                raw
            }
        };
        if transact(&mut raw, number, nth, &mut told) {
            done.fetch_add(1, Ordering::Relaxed);
            if number % 2 == 1 {
                connection = Some(raw);
            } else {
                raw.leave();
            }
        }
    }
    told
}

/// One transaction. False when the connection has ended in it.
fn transact(raw: &mut Raw, number: usize, nth: u64, told: &mut Told) -> bool {
    let own = format!("client {number}, transaction {nth}");
    for (sql, answer) in [
        ("BEGIN".to_owned(), None),
        (format!("SELECT '{own}' FROM pg_sleep(0.002)"), Some(&own)),
        ("COMMIT".to_owned(), None),
    ] {
        raw.query(&sql);
        let frames = raw.until_ready();
        if frames.last().is_none_or(|frame| frame.tag != b'Z') {
            if frames.iter().any(|frame| frame.tag == b'E') {
                let code = code(&error_in(&frames));
                // A COMMIT that comes behind the loss was not sent to anybody.
                assert!(!code.contains("08007") || sql == "COMMIT", "{own}: {code} at {sql}");
                *told.codes.entry(code).or_default() += 1;
            } else {
                told.silent += 1;
            }
            return false;
        }
        assert!(frames.iter().all(|frame| frame.tag != b'E'), "{own}: {sql}: {frames:?}");
        let row = frames.iter().find(|frame| frame.tag == b'D');
        let heard = row.map(|row| String::from_utf8_lossy(&row.body[6..]).into_owned());
        assert_eq!(heard.as_ref(), answer, "{sql}");
    }
    true
}
