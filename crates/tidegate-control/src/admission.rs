//! Who may do what over HTTP, and how a no is said.
//!
//! What changes something needs the token of `listen.admin_token_file`, and must come from no page in a
//! browser. What tells of single clients needs the token where other machines can reach the address.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use serde_json::json;
use subtle::ConstantTimeEq;

use tidegate_proxy::shared::Shared;

/// The name of the form of all answers to operations, and of every no.
pub(crate) const SCHEMA: &str = "tidegate.operation.v1";

/// Who can reach the address that a request came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// This machine alone.
    Local,
    /// Others as well.
    Open,
}

/// Why nothing was done.
#[derive(Debug)]
pub(crate) struct No {
    pub(crate) code: StatusCode,
    pub(crate) error: &'static str,
    pub(crate) detail: String,
}

impl No {
    pub(crate) fn new(code: StatusCode, error: &'static str, detail: impl Into<String>) -> Self {
        Self { code, error, detail: detail.into() }
    }

    /// The request is not understood.
    pub(crate) fn request(error: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, detail)
    }
}

impl IntoResponse for No {
    fn into_response(self) -> Response {
        let body = json!({ "schema": SCHEMA, "error": self.error, "detail": self.detail });
        let mut response = (self.code, Json(body)).into_response();
        if self.code == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// What names a database, a client, or a server: 63 bytes at most, which JSON may escape sixfold.
const BODY_BYTES_MAX: usize = 4096;

/// A route of an operation: POST alone, with a short body.
pub(crate) fn operation<H, T>(handler: H) -> MethodRouter<Arc<Shared>>
where
    H: Handler<T, Arc<Shared>>,
    T: 'static,
{
    let only_post = async || (StatusCode::METHOD_NOT_ALLOWED, "only POST is understood here\n");
    post(handler).fallback(only_post).layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// Whether a request may change something.
pub(crate) fn may_operate(shared: &Shared, headers: &HeaderMap) -> Result<(), No> {
    if headers.contains_key(header::ORIGIN) {
        let detail = "pages in browsers may not operate the gate (the request has an Origin)";
        return Err(No::new(StatusCode::FORBIDDEN, "origin", detail));
    }
    let Some(token) = &shared.config().listen.admin_token else {
        let detail = "this gate takes no operations: set listen.admin_token_file to a file with a \
                      token, reload the settings, and send the token as Authorization: Bearer";
        return Err(No::new(StatusCode::FORBIDDEN, "no_admin_token", detail));
    };
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
        .unwrap_or_default();
    if bool::from(token.expose().as_bytes().ct_eq(given)) {
        return Ok(());
    }
    let detail = "send the token of listen.admin_token_file as Authorization: Bearer TOKEN";
    Err(No::new(StatusCode::UNAUTHORIZED, "unauthorized", detail))
}

/// Whether a request may be told of single clients.
pub(crate) fn may_look(shared: &Shared, reach: Reach, headers: &HeaderMap) -> Result<(), No> {
    match reach {
        Reach::Local if is_from_page(headers) => {
            let detail = "pages in browsers may not ask for this (the request has an Origin, or its \
                          Host is none of this machine's: localhost, 127.0.0.1, [::1])";
            Err(No::new(StatusCode::FORBIDDEN, "origin", detail))
        }
        Reach::Local => Ok(()),
        Reach::Open => may_operate(shared, headers),
    }
}

/// Whether a request comes from a page of another site in a browser of this machine. One that has
/// its own name resolve to this machine (DNS rebinding) sends no Origin, but the name as Host.
fn is_from_page(headers: &HeaderMap) -> bool {
    let is_here = headers.get(header::HOST).is_none_or(|host| {
        let host = host.to_str().unwrap_or_default();
        let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let name = match host.rsplit_once(':') {
            Some((name, port)) if is_port(port) => name,
            _ => host,
        };
        let address = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost")
            || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    });
    !is_here || headers.contains_key(header::ORIGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_sites_are_told_from_callers_on_this_machine() {
        let of = |host: &'static str, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, header::HeaderValue::from_static(host));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, header::HeaderValue::from_static(origin));
            }
            is_from_page(&headers)
        };
        for host in ["localhost", "LOCALHOST:6440", "127.0.0.1:6440", "127.8.0.1", "[::1]:6440"] {
            assert!(!of(host, None), "{host}");
            assert!(of(host, Some("http://example.org")), "{host}");
        }
        for host in
            ["example.org", "example.org:6440", "localhost.example.org", "10.0.0.1:6440", ""]
        {
            assert!(of(host, None), "{host}");
        }
        assert!(!is_from_page(&HeaderMap::new()));
    }
}
