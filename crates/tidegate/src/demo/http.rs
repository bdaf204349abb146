//! HTTP/1.1 as a client, as much as the demo needs: one connection, kept alive.
//!
//! Strict rather than lenient: an answer that is not exactly a status line, header fields, and
//! `Content-Length` bytes is an error, because the counts of the demo rest on it. What an answer
//! may cost is bounded: [`LINE_BYTES_MAX`], [`FIELDS_MAX`], [`BODY_BYTES_MAX`].

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("the answer is not HTTP as we speak it: {0}")]
    Malformed(&'static str),
}

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Whether the connection may be used again.
    pub(crate) after: After,
}

/// What the server does with the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Keeps,
    Closes,
}

/// One connection to an HTTP server.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects; `wait_max` holds for connecting and for each read and write after it.
    pub(crate) fn open(address: SocketAddr, wait_max: Duration) -> Result<Self, HttpError> {
        let stream = TcpStream::connect_timeout(&address, wait_max)?;
        stream.set_read_timeout(Some(wait_max))?;
        stream.set_write_timeout(Some(wait_max))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends a request, with a JSON body if there is one, and reads its answer.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Result<Answer, HttpError> {
        let body = body.unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: demo\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        read_answer(&mut self.stream)
    }
}

/// A GET on a connection of its own.
pub(crate) fn get(
    address: SocketAddr,
    path: &str,
    wait_max: Duration,
) -> Result<Answer, HttpError> {
    Connection::open(address, wait_max)?.ask("GET", path, None)
}

fn read_answer(stream: &mut impl BufRead) -> Result<Answer, HttpError> {
    let status = status_of(&read_line(stream)?)?;
    let mut length = None;
    let mut after = After::Keeps;
    let mut fields_left = FIELDS_MAX;
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            break;
        }
        fields_left -= 1;
        if fields_left == 0 {
            return Err(HttpError::Malformed("too many header fields"));
        }
        let (name, value) =
            line.split_once(':').ok_or(HttpError::Malformed("a header field without a colon"))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                let bytes = number(value).filter(|&bytes: &u64| bytes <= BODY_BYTES_MAX);
                let bytes = bytes.ok_or(HttpError::Malformed("a bad Content-Length"))?;
                if length.replace(bytes).is_some() {
                    return Err(HttpError::Malformed("two Content-Lengths"));
                }
            }
            "transfer-encoding" => return Err(HttpError::Malformed("a Transfer-Encoding")),
            "connection" if value.eq_ignore_ascii_case("close") => after = After::Closes,
            _ => {}
        }
    }
    let length = length.ok_or(HttpError::Malformed("no Content-Length"))?;
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body)?;
    if u64::try_from(body.len()) != Ok(length) {
        return Err(HttpError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(Answer { status, body, after })
}

/// One line without its end.
fn read_line(stream: &mut impl BufRead) -> Result<String, HttpError> {
    let mut line = Vec::new();
    stream.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    let Some(text) = line.strip_suffix(b"\r\n") else {
        return Err(match line.last() {
            Some(b'\n') => HttpError::Malformed("a line that ends without a carriage return"),
            _ if u64::try_from(line.len()) == Ok(LINE_BYTES_MAX) => {
                HttpError::Malformed("a line that is too long")
            }
            _ => HttpError::Io(io::ErrorKind::UnexpectedEof.into()),
        });
    };
    String::from_utf8(text.to_vec()).map_err(|_| HttpError::Malformed("a line that is not UTF-8"))
}

/// From `HTTP/1.1 200 OK`.
fn status_of(line: &str) -> Result<u16, HttpError> {
    let rest = line.strip_prefix("HTTP/1.1 ").ok_or(HttpError::Malformed("not HTTP/1.1"))?;
    let (digits, _reason) = rest.split_once(' ').unwrap_or((rest, ""));
    // 1xx would be followed by a second answer; nobody here is asked for one.
    number(digits)
        .filter(|status| digits.len() == 3 && (200..=599).contains(status))
        .ok_or(HttpError::Malformed("a bad status"))
}

/// Digits only: `parse` alone would also take a sign.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

const LINE_BYTES_MAX: u64 = 8 << 10;
const FIELDS_MAX: u32 = 64;
/// Twenty items are 1 kB; the gate's `/metrics`, the longest of all, some 100 kB.
const BODY_BYTES_MAX: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Answer, String> {
        read_answer(&mut text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_answer_is_its_status_and_exactly_its_body() {
        let text =
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nserver: x\r\n\r\nbodyHTTP";
        let answer = read(text).unwrap();
        assert_eq!(answer, Answer { status: 503, body: b"body".to_vec(), after: After::Keeps });
    }

    #[test]
    fn a_close_is_heard_in_any_case() {
        let answer =
            read("HTTP/1.1 200 \r\ncontent-length:0\r\nCONNECTION: Close\r\n\r\n").unwrap();
        assert_eq!(answer, Answer { status: 200, body: Vec::new(), after: After::Closes });
    }

    #[test]
    fn what_is_not_exactly_an_answer_is_refused() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(9000));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(65));
        for (text, why) in [
            ("HTTP/1.0 200 OK\r\n\r\n", "not HTTP/1.1"),
            ("HTTP/1.1 2000 OK\r\n\r\n", "a bad status"),
            ("HTTP/1.1 +20 OK\r\n\r\n", "a bad status"),
            ("HTTP/1.1 100 Continue\r\n\r\n", "a bad status"),
            ("HTTP/1.1 200 OK\r\n\r\n", "no Content-Length"),
            ("HTTP/1.1 200 OK\n\n", "a line that ends without a carriage return"),
            ("HTTP/1.1 200 OK\r\nwhat\r\n\r\n", "a header field without a colon"),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "a bad Content-Length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", "a bad Content-Length"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
                "two Content-Lengths",
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "a Transfer-Encoding"),
            (&long, "a line that is too long"),
            (&many, "too many header fields"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error, format!("the answer is not HTTP as we speak it: {why}"));
        }
    }

    #[test]
    fn an_answer_that_ends_early_is_an_error_wherever_it_ends() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
        assert_eq!(read(text).unwrap().body, b"body");
        for end in 0..text.len() {
            assert_eq!(read(&text[..end]).unwrap_err(), "the connection failed", "cut at {end}");
        }
    }
}
