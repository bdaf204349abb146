//! The client of the gate's HTTP side, for commands that ask a running gate.
//!
//! One request, one answer, on a blocking socket: a command line needs no more. It speaks HTTP/1.0
//! (RFC 1945), in which an answer ends with its connection and is never chunked.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use tidegate_proxy::clock::Clock;
use tidegate_wire::tick::Tick;

/// The longest answer that is read. A pool's share of a snapshot is about 10 kB, and there are
/// fewer than a thousand pools, so this is far above any that a gate gives.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Why the gate did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The address is none.
    #[error(
        "\"{api}\" is not an address of a gate; --api takes http://HOST:PORT or unix:/PATH of its \
         control socket"
    )]
    Address {
        /// What was given.
        api: String,
    },
    /// What answered does not speak HTTP, or broke off.
    #[error("{api} does not answer as a gate does: {problem}; is --api right?")]
    Garbled {
        /// The address.
        api: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Something is there and says nothing.
    #[error(
        "{api} gave no answer within {timeout:?}; the gate may be stuck, or --api names something \
         else"
    )]
    TimedOut {
        /// The address.
        api: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// Nothing is there.
    #[error("can't reach the gate at {api}: {source}; is it running? --api says where to look")]
    Unreachable {
        /// The address.
        api: String,
        /// The cause. It is part of the message already.
        source: io::Error,
    },
}

/// Asks for `path` and gives status and body, as [`ask`] does.
///
/// # Errors
/// [`FetchError`] names the address and what to do.
pub fn fetch(api: &str, path: &str, timeout: Duration) -> Result<(u16, String), FetchError> {
    ask(api, &Request { path, ..Request::default() }, timeout)
}

/// What a gate is asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// Where it goes.
    pub path: &'a str,
    /// The token of whoever asks; one line of plain text.
    pub token: Option<&'a str>,
    /// What is posted; without it something is only looked at.
    pub body: Option<&'a str>,
}

/// Asks and gives status and body. `timeout` bounds the whole of it, but for looking up a name,
/// whose time the system's resolver sets.
///
/// # Errors
/// [`FetchError`] names the address and what to do.
pub fn ask(
    api: &str,
    request: &Request<'_>,
    timeout: Duration,
) -> Result<(u16, String), FetchError> {
    let clock = Clock::new();
    let deadline = clock.now() + timeout;
    let left = || remaining(deadline, clock.now());
    let failed = |error: io::Error| match error.kind() {
        // A blocking socket whose time is up says either, depending on the system.
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            FetchError::TimedOut { api: api.to_owned(), timeout }
        }
        _ => FetchError::Unreachable { api: api.to_owned(), source: error },
    };
    let no_address = || FetchError::Address { api: api.to_owned() };
    let (mut stream, host) = match Place::read(api).ok_or_else(no_address)? {
        Place::Unix(path) => {
            (Stream::Unix(UnixStream::connect(path).map_err(failed)?), "localhost".to_owned())
        }
        Place::Tcp(authority) => {
            let stream = connect(&authority, left).map_err(failed)?;
            (Stream::Tcp(stream), authority)
        }
    };
    let request = request.in_http(&host);
    stream.set_timeout(left().map_err(failed)?).map_err(failed)?;
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        stream.set_timeout(left().map_err(failed)?).map_err(failed)?;
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(bytes) => answer.extend_from_slice(&chunk[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
        if answer.len() > ANSWER_BYTES_MAX {
            let problem = "its answer has no end";
            return Err(FetchError::Garbled { api: api.to_owned(), problem });
        }
    }
    parse(&answer).map_err(|problem| FetchError::Garbled { api: api.to_owned(), problem })
}

impl Request<'_> {
    fn in_http(&self, host: &str) -> String {
        let Self { path, token, body } = self;
        let method = if body.is_some() { "POST" } else { "GET" };
        let mut text =
            format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: tidegate\r\n");
        if let Some(token) = token {
            text.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if let Some(body) = body {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text + "\r\n" + body.unwrap_or_default()
    }
}

/// Where a gate is.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    /// A host with a port.
    Tcp(String),
    Unix(&'a Path),
}

impl<'a> Place<'a> {
    fn read(api: &'a str) -> Option<Self> {
        if let Some(path) = api.strip_prefix("unix:") {
            return path.starts_with('/').then(|| Self::Unix(Path::new(path)));
        }
        let authority = api.strip_prefix("http://")?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_[]:".contains(c);
        if authority.is_empty() || !authority.chars().all(is_plain) {
            return None;
        }
        // In `[::1]` the colons are the address's own.
        let after_host = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
        match after_host.rsplit_once(':') {
            Some((_, port)) => port.parse::<u16>().is_ok().then(|| Self::Tcp(authority.to_owned())),
            None => Some(Self::Tcp(format!("{authority}:80"))),
        }
    }
}

fn remaining(deadline: Tick, now: Tick) -> io::Result<Duration> {
    match deadline.since(now) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

fn connect(authority: &str, left: impl Fn() -> io::Result<Duration>) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    // A name such as localhost has two addresses, of which the gate may have one.
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left()?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Some(timeout);
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)
            }
        }
    }

    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(to),
            Self::Unix(stream) => stream.read(to),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }
}

/// Status and body of an answer that is complete.
fn parse(answer: &[u8]) -> Result<(u16, String), &'static str> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, rest) = answer.split_at(end.ok_or("it is not HTTP, or broke off")?);
    let body = rest.get(4..).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| "it is not HTTP")?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .filter(|line| line.starts_with("HTTP/1."))
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .ok_or("it is not HTTP")?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    if length.is_some_and(|length| body.len() < length) {
        return Err("its answer broke off");
    }
    let body = std::str::from_utf8(body).map_err(|_| "its answer is not UTF-8")?;
    Ok((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn addresses_of_gates_are_read() {
        let tcp = |authority: &str| Some(Place::Tcp(authority.to_owned()));
        for (api, place) in [
            ("http://127.0.0.1:6545", tcp("127.0.0.1:6545")),
            ("http://gate.example.com:6545/", tcp("gate.example.com:6545")),
            ("http://[::1]:6545", tcp("[::1]:6545")),
            ("http://[::1]", tcp("[::1]:80")),
            ("http://gate", tcp("gate:80")),
            ("unix:/run/tg.sock", Some(Place::Unix(Path::new("/run/tg.sock")))),
            ("unix:tg.sock", None),
            ("https://gate:6545", None),
            ("127.0.0.1:6545", None),
            ("http://", None),
            ("http://gate:65450000", None),
            ("http://gate:1/\r\nX: y", None),
        ] {
            assert_eq!(Place::read(api), place, "{api}");
        }
    }

    #[test]
    fn only_complete_answers_count() {
        let answer = |text: &str| parse(text.as_bytes());
        let full = "HTTP/1.0 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno";
        assert_eq!(answer(full), Ok((503, "no".to_owned())));
        assert_eq!(answer(&full.replace(": 2", ": 3")), Err("its answer broke off"));
        assert_eq!(answer("HTTP/1.0 200 OK\r\n\r\nall"), Ok((200, "all".to_owned())));
        assert_eq!(answer("HTTP/1.0 200"), Err("it is not HTTP, or broke off"));
        assert_eq!(answer("220 mail\r\n\r\n"), Err("it is not HTTP"));
    }

    #[test]
    fn a_gate_that_does_not_run_is_said_with_the_address_and_the_remedy() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let api = format!("http://{}", listener.local_addr().expect("an address"));
        drop(listener);
        let error = fetch(&api, "/", Duration::from_secs(5)).expect_err("nobody is there");
        let said = error.to_string();
        assert!(said.contains(&api) && said.contains("is it running? --api"), "{said}");
    }

    #[test]
    fn something_that_takes_the_call_and_says_nothing_ends_at_the_time_limit() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let api = format!("http://{}", listener.local_addr().expect("an address"));
        let error = fetch(&api, "/", Duration::from_millis(50)).expect_err("nobody answers");
        assert!(matches!(error, FetchError::TimedOut { .. }), "{error}");
    }
}
