//! TLS: the handshake within the time for the first request's head, and the response to a client that speaks HTTP without
//! TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tracing::debug;

use super::open::{Connection, Server, Stream, raw_response, respond_and_close};
use super::serve::{serve_http1, serve_http2, with_write_timeout};
use crate::http::response::Problem;
use crate::http::tls::HTTP2;

/// Time for the handshake of a connection beyond the limit.
const REFUSAL_HANDSHAKE: Duration = Duration::from_secs(2);

/// A connection to the TLS port: encrypted, or of a client that speaks HTTP without TLS.
type Opened<I> = Either<Box<TlsStream<I>>, I>;

/// Serves an encrypted connection until it ends. The time for the first head begins here: a client cannot have it
/// twice by dragging out the handshake.
pub async fn serve_tls<I: Stream>(stream: I, acceptor: TlsAcceptor, connection: Arc<Connection>) {
    let server = Arc::clone(&connection.server);
    let opening = tokio::select! {
        biased;
        // Boxed, so that its memory is free again after the handshake.
        opening = Box::pin(open(with_write_timeout(stream), acceptor)) => opening,
        () = connection.over() => return,
    };
    match opening {
        Ok(Either::Left(stream)) => {
            if stream.get_ref().1.alpn_protocol() == Some(HTTP2) {
                serve_http2(stream, connection).await;
            } else {
                serve_http1(stream, connection).await;
            }
        }
        Ok(Either::Right(stream)) => {
            log_failure(&server, "the client speaks HTTP without TLS".to_owned());
            respond_and_close(stream, raw_response(Problem::PlainHttp, &connection.request_id(0))).await;
        }
        Err(error) => log_failure(&server, error.to_string()),
    }
}

/// Sends a response to a connection beyond the limit and closes it. A client that does not complete the handshake gets
/// none.
pub async fn refuse_tls(stream: impl Stream, acceptor: TlsAcceptor, response: Bytes) {
    let opened = tokio::time::timeout(REFUSAL_HANDSHAKE, Box::pin(open(stream, acceptor))).await;
    if let Ok(Ok(stream)) = opened {
        respond_and_close(stream, response).await;
    }
}

/// Shakes hands. An HTTP request begins with a capital letter, and TLS never does: RFC 8446, section 5.1.
async fn open<I: Stream>(stream: I, acceptor: TlsAcceptor) -> io::Result<Opened<BufReader<I>>> {
    // One byte, to look at it; rustls reads the rest past the buffer.
    let mut stream = BufReader::with_capacity(1, stream);
    if stream.fill_buf().await?.first().is_some_and(u8::is_ascii_uppercase) {
        return Ok(Either::Right(stream));
    }
    acceptor.accept(stream).await.map(|stream| Either::Left(Box::new(stream)))
}

/// At debug level only: a client can fail as often as it likes.
fn log_failure(server: &Server, reason: String) {
    server.failed_handshakes.note(move |count| debug!(reason, count, "TLS handshakes failed"));
}
