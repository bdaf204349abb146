//! A network between two programs of one machine: everything arrives later by a fixed time.
//!
//! Each direction of each connection has two threads, one that reads and one that writes what is
//! due, so bytes stay in order and a second message need not wait for the first. A thread that sleeps
//! wakes late by some 60 µs; so the last stretch is spent looking at the clock, which costs a core
//! for that long and makes the delay exact to some 10 µs on a machine with a core to spare.

#![expect(clippy::disallowed_types, reason = "delays real bytes by real time")]
#![expect(clippy::disallowed_methods, reason = "what is not due yet is waited for")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// Listens on a port of its own, until the process ends.
#[derive(Debug)]
pub struct DelayProxy {
    port: u16,
}

/// Bytes and when they are due; no bytes are the end of the stream.
type Parcel = (Instant, Vec<u8>);

impl DelayProxy {
    /// Between whoever connects and this port of this machine; each direction takes `delay`.
    ///
    /// # Panics
    /// When it can't listen.
    pub fn start(to: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("it has an address").port();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // Nobody listens: the connection ends, as it would have been refused.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", to)) {
                    join(&client, &server, delay);
                }
            }
        });
        Self { port }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn join(client: &TcpStream, server: &TcpStream, delay: Duration) {
    for (from, to) in [(client, server), (server, client)] {
        from.set_nodelay(true).expect("nodelay is set");
        let from = from.try_clone().expect("a descriptor");
        let to = to.try_clone().expect("a descriptor");
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || take(from, delay, &sender));
        thread::spawn(move || deliver(to, &receiver));
    }
}

fn take(mut from: TcpStream, delay: Duration, sender: &Sender<Parcel>) {
    let mut chunk = vec![0; 64 * 1024];
    loop {
        // A reset is an end, too.
        let bytes = from.read(&mut chunk).unwrap_or(0);
        let parcel = (Instant::now() + delay, chunk[..bytes].to_vec());
        if sender.send(parcel).is_err() || bytes == 0 {
            return;
        }
    }
}

fn deliver(mut to: TcpStream, receiver: &Receiver<Parcel>) {
    for (due, bytes) in receiver {
        if let Some(early) = due.checked_duration_since(Instant::now() + WAKES_LATE_BY) {
            thread::sleep(early);
        }
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        if bytes.is_empty() {
            let _ = to.shutdown(Shutdown::Write);
        } else if to.write_all(&bytes).is_err() {
            return;
        }
    }
}

/// The kernel's slack of 50 µs, and what it takes to get a core.
const WAKES_LATE_BY: Duration = Duration::from_micros(200);

#[cfg(test)]
mod tests {
    use super::*;

    /// An end that sends back what it gets.
    fn echo() -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("it has an address").port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody connects");
            let mut chunk = [0; 4096];
            while let Ok(bytes @ 1..) = stream.read(&mut chunk) {
                stream.write_all(&chunk[..bytes]).expect("somebody listens");
            }
        });
        port
    }

    #[test]
    fn everything_arrives_in_order_and_later_by_the_delay() {
        let delay = Duration::from_millis(5);
        let proxy = DelayProxy::start(echo(), delay);
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).expect("it listens");
        stream.set_nodelay(true).expect("nodelay is set");
        let sent: Vec<u8> = (0..=255).cycle().take(3000).collect();
        let start = Instant::now();
        sent.chunks(100).for_each(|part| stream.write_all(part).expect("it is taken"));
        let mut heard = vec![0; sent.len()];
        stream.read_exact(&mut heard).expect("all comes back");
        let elapsed = start.elapsed();
        assert!(heard == sent, "in order");
        assert!(elapsed >= 2 * delay, "{elapsed:?}");
        // Thirty parts, and not thirty times the delay.
        assert!(elapsed < 20 * delay, "{elapsed:?}");
        stream.shutdown(Shutdown::Write).expect("it stands");
        assert_eq!(stream.read(&mut heard).expect("the end comes"), 0);
    }
}
