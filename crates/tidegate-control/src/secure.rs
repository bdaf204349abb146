//! TLS for the control plane's own connection: the settings of servers, in tokio's terms.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tidegate_proxy::tls::connector::Connector;
use tidegate_proxy::tls::failure::HandshakeError;
use tidegate_wire::certificate;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as RustlsStream;

/// Secures a connection to `host`.
pub(crate) struct Secured {
    pub(crate) connector: Arc<Connector>,
    pub(crate) host: Arc<str>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Secured {
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let name = self.connector.server_name(&self.host).map_err(io::Error::other)?;
            let tls = TlsConnector::from(self.connector.config().clone());
            tls.connect(name, stream).await.map(Stream).map_err(in_our_words)
        })
    }
}

/// What is wrong with a certificate is told as it is told of servers.
fn in_our_words(error: io::Error) -> io::Error {
    let cause =
        error.get_ref().and_then(|cause| cause.downcast_ref::<tokio_rustls::rustls::Error>());
    match cause {
        Some(cause) => io::Error::other(HandshakeError::from(cause.clone())),
        None => error,
    }
}

/// A connection that was secured, over whatever carries it, as tokio-postgres wants it. Logins are
/// bound to the certificate that the server has shown (RFC 5929, `tls-server-end-point`).
pub struct Stream<S>(pub RustlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        let shown = self.0.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        match shown.and_then(|leaf| certificate::end_point(leaf)) {
            Some(end_point) => ChannelBinding::tls_server_end_point(end_point.as_bytes().to_vec()),
            None => ChannelBinding::none(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
