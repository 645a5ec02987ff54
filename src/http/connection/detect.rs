//! Which protocol a new connection speaks.

use super::Stream;
use super::socket::Socket;
use super::stop::Stop;
use super::watch::Watch;
use crate::http::problem::Problem;

/// What every HTTP/2 connection with prior knowledge begins with: RFC 9113, section 3.4.
pub const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Listens to a connection's first bytes. They tell the protocol, unless TLS has `agreed` on one: then
/// any will do. `None` when the connection is to be closed: the peer said nothing in time or left, or
/// the server stops.
pub async fn detect<V, I: Stream>(
    socket: &mut Socket<V, I>,
    agreed: Option<Protocol>,
    watch: &mut Watch,
    stop: &Stop,
) -> Option<Protocol> {
    tokio::select! {
        biased;
        protocol = first_bytes(socket, agreed) => protocol,
        () = watch.first_head() => {
            // A peer that said nothing has not asked: an answer would be taken for that of its
            // first request.
            if socket.has_beginning() {
                socket.refuse(Problem::HeadTooSlow).await;
            }
            None
        }
        () = stop.told() => None,
    }
}

/// Reads until the bytes differ from the preface or are all of it. No HTTP/1 method begins like
/// the preface, so a request is recognised at its first or second byte.
async fn first_bytes<V, I: Stream>(socket: &mut Socket<V, I>, agreed: Option<Protocol>) -> Option<Protocol> {
    loop {
        let more = socket.read_beginning().await.ok()?;
        if agreed.is_some() && more > 0 {
            return agreed;
        }
        let beginning = socket.beginning();
        if beginning == HTTP2_PREFACE {
            return Some(Protocol::Http2);
        }
        if !HTTP2_PREFACE.starts_with(beginning) {
            return Some(Protocol::Http1);
        }
        if more == 0 {
            // Cut off. hyper says what is wrong with it, if it is anything.
            return socket.has_beginning().then_some(Protocol::Http1);
        }
    }
}
