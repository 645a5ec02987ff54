//! The certificate of the server's port, and its settings.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use serde::Serialize;
use tokio_rustls::TlsAcceptor;

/// The names of the protocols in ALPN (RFC 7301), the preferred one first.
pub const HTTP2: &[u8] = b"h2";
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

/// A certificate chain and its private key, with the TLS settings around them.
#[derive(Clone)]
pub struct Identity(Arc<ServerConfig>);

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
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        // Tickets carry what a session needs, so that resuming takes no memory here. Their keys are new for
        // each identity: after a change of the certificate no client resumes a session of the old one.
        config.ticketer = ring::Ticketer::new()?;
        Ok(Self(Arc::new(config)))
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
        Arc::clone(&self.present.load().0).into()
    }

    /// Takes a connection beyond the limit, for its refusal. Offers HTTP/1.1 only, in which a response may come before
    /// any request.
    pub fn acceptor_of_refused(&self) -> TlsAcceptor {
        let mut config = ServerConfig::clone(&self.present.load().0);
        config.alpn_protocols = vec![HTTP1.to_vec()];
        Arc::new(config).into()
    }
}
