//! Tidegate asks PostgreSQL for TLS: the one byte that decides how a connection goes on.
//!
//! ```text
//!  new --Off--> plain                        new --Direct--> TLS
//!  new --Prefer, Require--> asked --S--> TLS
//!                           asked --N, E--> plain (Prefer) or failure (Require)
//! ```
//!
//! Logins and cancel requests begin with it alike. What comes in plaintext where TLS should begin
//! was put there by somebody else (CVE-2021-23222) and is never read.

use tidegate_wire::startup;

use crate::pieces::Pieces;

/// Whether the connection is to have TLS, and how that is said. Nobody offers TLS on Unix sockets:
/// there it is [`TlsNegotiation::Off`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsNegotiation {
    /// Without.
    Off,
    /// With, where the server has it.
    Prefer,
    /// With, or not at all.
    Require,
    /// With, and without asking: the server (PostgreSQL 17 and later) sees it by the first byte.
    /// Saves a round trip, and demands ALPN `postgresql`.
    Direct,
}

impl TlsNegotiation {
    /// The word for logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::Direct => "direct",
        }
    }
}

/// How the connection goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsStep {
    /// The answer has not come yet.
    More,
    /// In plaintext.
    Plain {
        /// An error that came instead of an answer, as far as it is there: to be read as the
        /// first message. Empty otherwise.
        received: Vec<u8>,
    },
    /// By a TLS handshake.
    StartTls,
}

/// Why there is no TLS where there must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsFailure {
    /// The server answered with an error, of which nothing is shown: without TLS, anybody may
    /// have written it.
    #[error("it answered the request for TLS with an error; its log has the cause")]
    Error,
    /// Plaintext came where TLS should begin.
    #[error("it sent unencrypted data before TLS began: somebody may be in between")]
    Injected,
    /// The server has no TLS.
    #[error("it does not offer TLS, which is required (ssl = on in postgresql.conf)")]
    NotOffered,
    /// The answer is none.
    #[error("it answered the request for TLS with 0x{byte:02x}: it is no PostgreSQL")]
    Unknown {
        /// The answer.
        byte: u8,
    },
}

/// The request, from the connection to the answer.
#[derive(Debug)]
pub struct TlsRequest {
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    New(TlsNegotiation),
    Asked(OnRefusal),
    Over,
}

#[derive(Debug, Clone, Copy)]
enum OnRefusal {
    GoOn,
    GiveUp,
}

impl TlsRequest {
    /// For a connection that does not stand yet.
    pub fn new(negotiation: TlsNegotiation) -> Self {
        Self { state: State::New(negotiation) }
    }

    /// The connection stands: says how it goes on, and sends what must be sent for it.
    pub fn begin(&mut self, out: &mut Pieces) -> TlsStep {
        let State::New(negotiation) = self.state else { return TlsStep::More };
        let (state, step) = match negotiation {
            TlsNegotiation::Off => (State::Over, TlsStep::Plain { received: Vec::new() }),
            TlsNegotiation::Prefer => (State::Asked(OnRefusal::GoOn), TlsStep::More),
            TlsNegotiation::Require => (State::Asked(OnRefusal::GiveUp), TlsStep::More),
            TlsNegotiation::Direct => (State::Over, TlsStep::StartTls),
        };
        if let State::Asked(_) = state {
            out.own(startup::push_ssl_request);
        }
        self.state = state;
        step
    }

    /// Consumes all of `input`, up to the answer.
    ///
    /// # Errors
    /// [`TlsFailure`]; the connection is of no use any more.
    pub fn receive(&mut self, input: &[u8]) -> Result<TlsStep, TlsFailure> {
        let Some((&answer, rest)) = input.split_first() else { return Ok(TlsStep::More) };
        let State::Asked(on_refusal) = std::mem::replace(&mut self.state, State::Over) else {
            return Err(TlsFailure::Injected);
        };
        match (answer, on_refusal) {
            (b'S' | b'N', _) if !rest.is_empty() => Err(TlsFailure::Injected),
            (b'S', _) => Ok(TlsStep::StartTls),
            (b'N', OnRefusal::GoOn) => Ok(TlsStep::Plain { received: Vec::new() }),
            (b'N', OnRefusal::GiveUp) => Err(TlsFailure::NotOffered),
            // Servers older than the request, and poolers that are full and say so at once.
            (b'E', OnRefusal::GoOn) => Ok(TlsStep::Plain { received: input.to_vec() }),
            (b'E', OnRefusal::GiveUp) => Err(TlsFailure::Error),
            (byte, _) => Err(TlsFailure::Unknown { byte }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(negotiation: TlsNegotiation) -> TlsRequest {
        let mut request = TlsRequest::new(negotiation);
        let mut out = Pieces::default();
        assert_eq!(request.begin(&mut out), TlsStep::More);
        assert_eq!(out.to_vec(&[]), [0, 0, 0, 8, 4, 210, 22, 47]);
        request
    }

    #[test]
    fn only_who_prefers_or_requires_asks() {
        let plain = TlsStep::Plain { received: Vec::new() };
        for (negotiation, step) in
            [(TlsNegotiation::Off, plain), (TlsNegotiation::Direct, TlsStep::StartTls)]
        {
            let mut out = Pieces::default();
            assert_eq!(TlsRequest::new(negotiation).begin(&mut out), step);
            assert!(out.is_empty());
        }
        asked(TlsNegotiation::Prefer);
        asked(TlsNegotiation::Require);
    }

    #[test]
    fn the_answer_decides() {
        use TlsNegotiation::{Prefer, Require};
        let plain = |received: &[u8]| Ok(TlsStep::Plain { received: received.to_vec() });
        let error = b"E\0\0\0\x05\0";
        let http = TlsFailure::Unknown { byte: b'H' };
        let table = [
            (Prefer, &b"S"[..], Ok(TlsStep::StartTls)),
            (Prefer, b"N", plain(b"")),
            (Prefer, error, plain(error)),
            (Prefer, b"HTTP/1.1", Err(http)),
            (Prefer, b"S\x16\x03", Err(TlsFailure::Injected)),
            (Prefer, b"NR\0", Err(TlsFailure::Injected)),
            (Prefer, b"", Ok(TlsStep::More)),
            (Require, b"S", Ok(TlsStep::StartTls)),
            (Require, b"N", Err(TlsFailure::NotOffered)),
            (Require, error, Err(TlsFailure::Error)),
            (Require, b"H", Err(http)),
            (Require, b"S\0", Err(TlsFailure::Injected)),
            (Require, b"NR\0", Err(TlsFailure::Injected)),
            (Require, b"", Ok(TlsStep::More)),
        ];
        for (negotiation, answer, outcome) in table {
            let found = asked(negotiation).receive(answer);
            assert_eq!(found, outcome, "{} {answer:?}", negotiation.as_str());
        }
    }

    #[test]
    fn plaintext_after_the_answer_is_refused_when_it_comes_later_too() {
        let mut request = asked(TlsNegotiation::Require);
        assert_eq!(request.receive(b"S"), Ok(TlsStep::StartTls));
        assert_eq!(request.receive(b"x"), Err(TlsFailure::Injected));
    }
}
