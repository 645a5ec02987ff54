//! TLS: the certificate and its settings, the handshake within the time for the first request's head, and the response
//! to a client that speaks HTTP without TLS.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use arc_swap::ArcSwap;
use bytes::Bytes;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::serve::{serve_http1, serve_http2, with_write_timeout};
use super::{Connection, Server, Stream, raw_response, respond_and_close};
use crate::http::response::Problem;

/// The names of the protocols in ALPN (RFC 7301), the preferred one first.
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// The health of the certificate, for `/readyz`. Called at each request of that route; therefore it must be cheap.
type Certificate = Box<dyn Fn() -> CertificateHealth + Send + Sync>;

/// The health of the certificate, as `/readyz` shows it. The names of the fields are part of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateHealth {
    /// The moment at which it expires, such as `2027-01-31T12:00:00Z`.
    pub expires: String,
    /// Faults that an operator must repair. The server stays ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A certificate chain and its private key, with the TLS settings around them. `Debug` prints only the name: it holds
/// the private key.
#[derive(Clone)]
pub struct Identity {
    served: Arc<ServerConfig>,
    refused: Arc<ServerConfig>,
}

/// The present identity. New handshakes use it; connections that are open keep theirs.
pub struct Tls {
    present: ArcSwap<Identity>,
    certificate: Certificate,
}

impl Identity {
    /// Serves with this chain, the server's own certificate first, and its private key: TLS 1.2 and 1.3, without
    /// client certificates and without early data, which could be repeated by others.
    ///
    /// # Errors
    ///
    /// [`rustls::Error::InconsistentKeys`] when the key is not that of the first certificate; others when one of them
    /// cannot be read, or is of a kind that is not supported.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'_>) -> Result<Self, rustls::Error> {
        let key = ring::sign::any_supported_type(key)?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match()?;
        let shown = Arc::new(SingleCertAndKey::from(certified));
        // Tickets carry what a session needs, so that resuming takes no memory here. Their keys are new for
        // each identity: after a change of the certificate no client resumes a session of the old one.
        let tickets = ring::Ticketer::new()?;
        let config = |protocols: &[&[u8]]| -> Result<Arc<ServerConfig>, rustls::Error> {
            let shown: Arc<dyn ResolvesServerCert> = Arc::clone(&shown) as _;
            let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_cert_resolver(shown);
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            config.ticketer = Arc::clone(&tickets);
            Ok(Arc::new(config))
        };
        Ok(Self { served: config(&[HTTP2, HTTP1])?, refused: config(&[HTTP1])? })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl Tls {
    /// Starts with this identity. `certificate` tells the health of its certificate.
    pub fn new(
        identity: Identity,
        certificate: impl Fn() -> CertificateHealth + Send + Sync + 'static,
    ) -> Self {
        Self { present: ArcSwap::from_pointee(identity), certificate: Box::new(certificate) }
    }

    /// From now on new handshakes use this identity.
    pub fn change(&self, identity: Identity) {
        self.present.store(Arc::new(identity));
    }

    pub fn certificate(&self) -> CertificateHealth {
        (self.certificate)()
    }

    /// Takes the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.present.load().served).into()
    }

    /// Takes a connection beyond the limit, for its refusal. Offers HTTP/1.1 only, in which a response may come before
    /// any request.
    pub fn acceptor_of_refused(&self) -> TlsAcceptor {
        Arc::clone(&self.present.load().refused).into()
    }
}

/// Time for the handshake of a connection beyond the limit.
const REFUSAL_HANDSHAKE: Duration = Duration::from_secs(2);

/// The beginning of a connection to the TLS port.
enum Opening<I> {
    Encrypted(Box<TlsStream<I>>),
    /// The client speaks HTTP without TLS.
    PlainHttp(I),
}

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
        Ok(Opening::Encrypted(stream)) => {
            if stream.get_ref().1.alpn_protocol() == Some(HTTP2) {
                serve_http2(stream, connection).await;
            } else {
                serve_http1(stream, connection).await;
            }
        }
        Ok(Opening::PlainHttp(stream)) => {
            log_failure(&server, "the client speaks HTTP without TLS".to_owned());
            respond_and_close(stream, raw_response(Problem::PlainHttp, &connection.request_id(0))).await;
        }
        Err(error) => log_failure(&server, error.to_string()),
    }
}

/// Sends a response to a connection beyond the limit and closes it. A client that does not complete the handshake gets
/// none.
pub async fn refuse_tls(stream: impl Stream, acceptor: TlsAcceptor, response: Bytes) {
    match tokio::time::timeout(REFUSAL_HANDSHAKE, Box::pin(open(stream, acceptor))).await {
        Ok(Ok(Opening::Encrypted(stream))) => respond_and_close(stream, response).await,
        Ok(Ok(Opening::PlainHttp(stream))) => respond_and_close(stream, response).await,
        Ok(Err(_)) | Err(_) => {}
    }
}

/// Shakes hands. An HTTP request begins with a capital letter, and TLS never does: RFC 8446, section 5.1.
async fn open<I: Stream>(stream: I, acceptor: TlsAcceptor) -> io::Result<Opening<BufReader<I>>> {
    // One byte, to look at it; rustls reads the rest past the buffer.
    let mut stream = BufReader::with_capacity(1, stream);
    if stream.fill_buf().await?.first().is_some_and(u8::is_ascii_uppercase) {
        return Ok(Opening::PlainHttp(stream));
    }
    acceptor.accept(stream).await.map(|stream| Opening::Encrypted(Box::new(stream)))
}

/// At debug level only: a client can fail as often as it likes.
fn log_failure(server: &Server, reason: String) {
    server.failed_handshakes.note(move |count| debug!(reason, count, "TLS handshakes failed"));
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    fn certified() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        (cert.der().clone(), PrivateKeyDer::Pkcs8(signing_key.serialize_der().into()))
    }

    #[test]
    fn a_key_of_another_certificate_is_no_identity() {
        let ((certificate, key), (other, _)) = (certified(), certified());
        let error = Identity::new(vec![other], &key).expect_err("another's");
        assert!(matches!(error, rustls::Error::InconsistentKeys(_)), "{error}");
        assert!(Identity::new(vec![certificate], &key).is_ok());
    }

    #[test]
    fn after_a_change_the_next_connection_gets_the_new_identity() {
        let identity = |(certificate, key)| Identity::new(vec![certificate], &key).expect("an identity");
        let health = || CertificateHealth { expires: String::new(), problem: None };
        let tls = Tls::new(identity(certified()), health);
        let before = Arc::clone(tls.acceptor().config());
        assert!(Arc::ptr_eq(&before, tls.acceptor().config()));
        tls.change(identity(certified()));
        assert!(!Arc::ptr_eq(&before, tls.acceptor().config()));
    }

    #[test]
    fn an_identity_prints_nothing_of_its_key() {
        let (certificate, key) = certified();
        let identity = Identity::new(vec![certificate], &key).expect("an identity");
        assert_eq!(format!("{identity:?}"), "Identity");
    }
}
