//! The load: many clients, each of which asks, waits for the answer, and asks again.
//!
//! What is asked follows from the numbers of client and turn alone, so every run asks for the same
//! mix. Each client is a thread that blocks: at a few hundred of them that is the simplest shell,
//! and it takes next to nothing from the application beside it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::demo::http::{After, Answer, Connection, HttpError};

/// How much, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) requests_at_once: u32,
    /// No request starts later; those on their way are waited for.
    pub(crate) duration: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How long each good answer took, shortest first once the load has ended.
    answered: Vec<Duration>,
    failed: BTreeMap<Failure, u64>,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
}

/// Why a request has no good answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// The application answered 503, with the SQLSTATE if there was one.
    Unavailable { sqlstate: Option<String> },
    /// The application answered something else than 200, 201, or 503.
    Status(u16),
    /// The application did not answer.
    NoAnswer,
}

impl Failure {
    /// As the table names it.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Unavailable { sqlstate: Some(code) } => format!("503, SQLSTATE {code}"),
            Self::Unavailable { sqlstate: None } => "503, no connection in time".to_owned(),
            Self::Status(status) => format!("{status}"),
            Self::NoAnswer => "no answer".to_owned(),
        }
    }
}

impl Outcome {
    pub(crate) fn answered(&self) -> u64 {
        self.answered.len().try_into().unwrap_or(u64::MAX)
    }

    pub(crate) fn failed(&self) -> &BTreeMap<Failure, u64> {
        &self.failed
    }

    pub(crate) fn requests(&self) -> u64 {
        self.answered() + self.failed.values().sum::<u64>()
    }

    /// The time within which this share of the good answers came; `None` if there were none.
    pub(crate) fn percentile(&self, percent: u32) -> Option<Duration> {
        // Nearest rank: the smallest value that is not exceeded by `percent` of all values.
        let rank = (self.answered() * u64::from(percent)).div_ceil(100).max(1);
        self.answered.get(usize::try_from(rank - 1).ok()?).copied()
    }

    fn count(&mut self, answer: Result<Answer, HttpError>, took: Duration) {
        let failure = match answer {
            Ok(Answer { status: 200 | 201, .. }) => {
                self.answered.push(took);
                return;
            }
            Ok(Answer { status: 503, body, .. }) => {
                Failure::Unavailable { sqlstate: sqlstate_in(&body) }
            }
            Ok(Answer { status, .. }) => Failure::Status(status),
            Err(_) => Failure::NoAnswer,
        };
        *self.failed.entry(failure).or_default() += 1;
    }

    fn add(&mut self, other: Self) {
        self.answered.extend(other.answered);
        for (failure, times) in other.failed {
            *self.failed.entry(failure).or_default() += times;
        }
    }
}

impl Load {
    /// Plays the load to its end.
    #[expect(clippy::disallowed_types, reason = "the demo measures real time")]
    pub(crate) fn run(self) -> Outcome {
        let start = std::time::Instant::now();
        let is_broken = AtomicBool::new(false);
        let mut outcome = Outcome::default();
        thread::scope(|scope| {
            let clients: Vec<_> = (0..self.requests_at_once)
                .map(|client| {
                    let is_broken = &is_broken;
                    scope.spawn(move || self.play(client, start, is_broken))
                })
                .collect();
            for client in clients {
                outcome.add(client.join().expect("a client does not panic"));
            }
        });
        outcome.took = start.elapsed();
        outcome.answered.sort_unstable();
        outcome
    }

    /// One client: asks until the time is up, or until somebody found nobody to ask.
    #[expect(clippy::disallowed_types, reason = "the demo measures real time")]
    fn play(self, client: u32, start: std::time::Instant, is_broken: &AtomicBool) -> Outcome {
        let mut outcome = Outcome::default();
        let mut connection = None;
        let mut turn = client;
        while start.elapsed() < self.duration && !is_broken.load(Ordering::Relaxed) {
            let asked = std::time::Instant::now();
            let mut open = match connection.take() {
                Some(open) => open,
                None => match Connection::open(self.address, ANSWER_MAX) {
                    Ok(open) => open,
                    Err(error) => {
                        // Nobody listens: to go on would only count how fast that can be said.
                        is_broken.store(true, Ordering::Relaxed);
                        outcome.count(Err(error), asked.elapsed());
                        break;
                    }
                },
            };
            let (method, path, body) = request(turn);
            let answer = open.ask(method, path, body);
            if matches!(answer, Ok(Answer { after: After::Keeps, .. })) {
                connection = Some(open);
            }
            outcome.count(answer, asked.elapsed());
            turn = turn.wrapping_add(1);
        }
        outcome
    }
}

/// Of ten requests eight are short reads, one is a short write, and one is the long transaction.
fn request(turn: u32) -> (&'static str, &'static str, Option<&'static str>) {
    match turn % 10 {
        0 => ("GET", "/report", None),
        5 => ("POST", "/items", Some(r#"{"name":"lamp","price_cents":1999}"#)),
        _ => ("GET", "/items", None),
    }
}

/// The `sqlstate` of the application's 503.
fn sqlstate_in(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(body.get("sqlstate")?.as_str()?.to_owned())
}

/// Above the 30 s that SQLAlchemy's pool and the gate each wait at most, one after the other.
const ANSWER_MAX: Duration = Duration::from_secs(70);

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;

    fn answer(status: u16, body: &str) -> Result<Answer, HttpError> {
        Ok(Answer { status, body: body.as_bytes().to_vec(), after: After::Keeps })
    }

    #[test]
    fn answers_are_counted_by_what_they_say() {
        let mut outcome = Outcome::default();
        let took = Duration::from_millis(1);
        outcome.count(answer(200, "[]"), took);
        outcome.count(answer(201, "{}"), took);
        outcome.count(answer(503, r#"{"sqlstate":"53300"}"#), took);
        outcome.count(answer(503, r#"{"sqlstate":"53300"}"#), took);
        outcome.count(answer(503, r#"{"sqlstate":null}"#), took);
        outcome.count(answer(503, "not JSON"), took);
        outcome.count(answer(500, "oops"), took);
        outcome.count(Err(HttpError::Malformed("x")), took);

        assert_eq!(outcome.answered(), 2);
        assert_eq!(outcome.requests(), 8);
        let failed: Vec<(String, u64)> =
            outcome.failed().iter().map(|(failure, times)| (failure.label(), *times)).collect();
        let expected = [
            ("503, no connection in time", 2),
            ("503, SQLSTATE 53300", 2),
            ("500", 1),
            ("no answer", 1),
        ];
        assert_eq!(failed, expected.map(|(label, times)| (label.to_owned(), times)));
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let answered: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        let outcome = Outcome { answered, ..Outcome::default() };
        assert_eq!(outcome.percentile(50), Some(Duration::from_millis(100)));
        assert_eq!(outcome.percentile(99), Some(Duration::from_millis(198)));
        assert_eq!(outcome.percentile(100), Some(Duration::from_millis(200)));
        assert_eq!(Outcome::default().percentile(50), None);
    }

    #[test]
    fn one_request_in_ten_is_long_and_one_writes() {
        let paths: Vec<_> = (0..100).map(|turn| request(turn).1).collect();
        assert_eq!(paths.iter().filter(|path| **path == "/report").count(), 10);
        assert_eq!((0..100).filter(|turn| request(*turn).0 == "POST").count(), 10);
    }

    #[test]
    fn a_client_keeps_its_connection_and_opens_another_one_when_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let load = Load {
            address: listener.local_addr().unwrap(),
            requests_at_once: 1,
            duration: Duration::from_secs(60),
        };
        // Answers and closes; then answers twice on one connection; then is gone.
        let server = thread::spawn(move || {
            for fields in [&["Connection: close\r\n"][..], &["", "Connection: close\r\n"]] {
                let mut stream = BufReader::new(listener.accept().unwrap().0);
                for field in fields {
                    let mut line = String::new();
                    while line != "\r\n" {
                        line.clear();
                        assert_ne!(stream.read_line(&mut line).unwrap(), 0);
                    }
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{field}\r\n");
                    stream.get_mut().write_all(head.as_bytes()).unwrap();
                }
            }
        });
        let outcome = load.run();
        server.join().unwrap();
        assert_eq!(outcome.answered(), 3);
        assert!(outcome.failed().contains_key(&Failure::NoAnswer));
    }
}
