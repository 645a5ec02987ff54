//! A certificate authority for the server's own certificates, and clients that trust it.

use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Server, Setup, soon};

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// Its certificate, as PEM.
    pub pem: String,
}

pub struct Issued {
    /// The server's certificate, as PEM.
    pub pem: String,
    /// Its private key, as PEM (PKCS#8).
    pub key: String,
    /// The certificate that clients see.
    pub der: CertificateDer<'static>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let key = KeyPair::generate().expect("a key");
        let made = params.self_signed(&key).expect("a certificate");
        Self { certificate: made.der().clone(), pem: made.pem(), issuer: Issuer::new(params, key) }
    }

    /// A certificate for this machine that outlives every test.
    pub fn issue(&self) -> Issued {
        self.issue_to(&["localhost", "127.0.0.1"], 2020..2090)
    }

    /// A certificate for these names, from the beginning of one year to that of another.
    pub fn issue_to(&self, names: &[&str], years: Range<i32>) -> Issued {
        let names = names.iter().map(|name| (*name).to_owned());
        let mut params = CertificateParams::new(names.collect::<Vec<_>>()).expect("names");
        params.distinguished_name.push(DnType::CommonName, "server of a test");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let made = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued { pem: made.pem(), key: key.serialize_pem(), der: made.der().clone() }
    }

    /// The TLS settings of a client that trusts only this authority and offers these protocols.
    pub fn client(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a root");
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions of TLS")
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

impl Issued {
    pub fn configure(&self, setup: Setup) -> Setup {
        self.write(&setup);
        setup.config("tls-cert", "tls.crt").config("tls-key", "tls.key")
    }

    /// Writes it into the files that the server is configured with.
    pub fn write(&self, setup: &Setup) {
        let write = |name: &str, text: &str| {
            let path = setup.home().join(name);
            std::fs::write(&path, text).expect("write a file for the test");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode");
        };
        write("tls.crt", &self.pem);
        write("tls.key", &self.key);
    }
}

pub async fn encrypted(server: &Server, config: Arc<ClientConfig>) -> TlsStream<TcpStream> {
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = server.client.connection().await;
    soon("a handshake", TlsConnector::from(config).connect(name, stream)).await.expect("a handshake")
}
