//! Slow cryptography: what would stall a worker's loop is done by a crew of threads.
//!
//! A TLS handshake costs a signature (an RSA key of 2048 bits: about a millisecond), the keys of a
//! password thousands of hashes (milliseconds). On a worker, a burst of logins would hold up
//! everybody's queries; here they wait for one another only.
//!
//! A job takes what it needs along and hands its result to `reply`, which puts it into a worker's
//! mailbox: no socket and no lock of the pools comes here. Whoever submits has one job under way
//! at most, so the queue is bounded by the number of connections that log in: clients
//! ([`crate::limits::LOGINS_MAX`]) and servers being dialed (within the budget).
//!
//! Cost: two allocations and two wake-ups per job, some 20 us where a job takes a hundred or more.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::locks::lock;
use crate::tasks;

/// The threads. Dropping it lets each end the job that it is at; what still waits is forgotten.
pub(crate) struct Crew {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// As many threads as there are cores, but at most [`THREADS_MAX`].
    pub(crate) fn start() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let queue = Arc::<Queue>::default();
        let work = |index| {
            let queue = queue.clone();
            tasks::spawn(&format!("tg-crypto-{index}"), move || queue.work())
        };
        let threads = (0..cores.min(THREADS_MAX)).map(work).collect();
        Self { queue, threads }
    }

    /// No threads: whoever submits does the work itself. For a world that is played, in which
    /// nothing goes on beside the workers.
    pub(crate) fn of_none() -> Self {
        Self { queue: Arc::default(), threads: Vec::new() }
    }

    /// Lets a thread do `work` and hand what comes of it to `reply`.
    pub(crate) fn submit<T>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        reply: impl FnOnce(T) + Send + 'static,
    ) {
        if self.threads.is_empty() {
            return reply(work());
        }
        lock(&self.queue.jobs).waiting.push_back(Box::new(move || reply(work())));
        self.queue.called.notify_one();
    }

    /// Whether a thread has ended by itself, which only a bug can do.
    pub(crate) fn is_broken(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        let mut jobs = lock(&self.queue.jobs);
        jobs.is_over = true;
        jobs.waiting.clear();
        drop(jobs);
        self.queue.called.notify_all();
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join()
                && !std::thread::panicking()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// One core signs a thousand handshakes with RSA a second, so four let ten thousand clients come
/// back within three seconds. More would take the cores that the workers need.
const THREADS_MAX: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    called: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    is_over: bool,
}

impl Queue {
    fn work(&self) {
        while let Some(job) = self.next() {
            job();
        }
    }

    fn next(&self) -> Option<Job> {
        let mut jobs = lock(&self.jobs);
        loop {
            if jobs.is_over {
                return None;
            }
            if let Some(job) = jobs.waiting.pop_front() {
                return Some(job);
            }
            jobs = self.called.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use tidegate_wire::scram::SaltedKeys;

    use super::*;

    #[test]
    fn results_come_back_to_whoever_asked() {
        let crew = Crew::start();
        let (sender, results) = channel();
        for iterations in 1..=100 {
            let sender = sender.clone();
            let derive = move || SaltedKeys::derive(b"secret", b"salt", iterations);
            crew.submit(derive, move |keys| sender.send(keys).expect("the test waits"));
        }
        drop(sender);
        let mut found: Vec<_> = results.iter().map(|keys| keys.iterations).collect();
        found.sort_unstable();
        assert_eq!(found, (1..=100).collect::<Vec<_>>());
        assert!(!crew.is_broken());
    }

    #[test]
    fn dropping_the_crew_ends_what_is_under_way_and_forgets_the_rest() {
        let crew = Crew::start();
        let threads = crew.threads.len();
        let (started, starts) = channel();
        let (go_on, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let (ended, ends) = channel();
        for _ in 0..threads + 10 {
            let (started, gate, ended) = (started.clone(), gate.clone(), ended.clone());
            let work = move || {
                started.send(()).expect("the test waits");
                lock(&gate).recv().expect("the test lets it go on");
            };
            crew.submit(work, move |()| ended.send(()).expect("the test waits"));
        }
        drop((started, ended));
        for _ in 0..threads {
            starts.recv_timeout(Duration::from_secs(10)).expect("every thread takes a job");
        }
        let queue = crew.queue.clone();
        let dropping = std::thread::spawn(move || drop(crew));
        while !lock(&queue.jobs).is_over {
            std::thread::yield_now();
        }
        for _ in 0..threads {
            go_on.send(()).expect("a job waits");
        }
        dropping.join().expect("no job panics");
        assert_eq!(ends.iter().count(), threads);
    }

    #[test]
    fn a_panic_in_a_job_is_not_swallowed() {
        let crew = Crew::start();
        crew.submit(|| panic!("a bug"), |()| {});
        while !crew.is_broken() {
            std::thread::yield_now();
        }
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(crew)));
        assert!(dropped.is_err());
    }
}
