//! The default limits of encrypted connections, in memory and with paused time.

use std::sync::Arc;
use std::time::Duration;

use onceward::clock::SystemClock;
use onceward::config::TlsFiles;
use onceward::http::Tls;
use onceward_testkit::{Memory, get};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::time_limits::{now, request_with_open_windows, since};

/// A handshake record, of which one byte has arrived: RFC 8446, section 5.1.
const BROKEN_OFF: &[u8] = &[0x16, 3, 1, 1, 0, 1];

#[tokio::test(start_paused = true)]
async fn a_peer_without_a_handshake_is_closed_after_30_s_or_by_a_stop() {
    let server = Encrypted::new().await;
    for (beginning, is_stopped, seconds) in
        [(&b""[..], false, 30), (&BROKEN_OFF[..1], false, 30), (BROKEN_OFF, false, 30), (BROKEN_OFF, true, 1)]
    {
        let (mut near, far) = duplex(64 * 1024);
        let start = now();
        let connection = server.serve(far);
        near.write_all(beginning).await.expect("room");
        if is_stopped {
            tokio::time::sleep(Duration::from_secs(1)).await;
            server.front_end.stop();
        }
        connection.await.expect("no panic");
        assert_eq!(since(start), seconds, "{beginning:?}");
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).await.expect("an end");
        assert!(answer.is_empty(), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_idle_connection_is_told() {
    let server = Encrypted::new().await;
    for (request, status) in [("", ""), (&*get("/healthz"), "HTTP/1.1 200 ")] {
        let start = now();
        let (mut stream, connection) = server.client("http/1.1").await;
        stream.write_all(request.as_bytes()).await.expect("room");
        let mut answer = String::new();
        // An end without close_notify is an error.
        stream.read_to_string(&mut answer).await.expect("an end that was said");
        assert!(answer.starts_with(status) && answer.is_empty() == status.is_empty(), "{answer}");
        assert_eq!(since(start), 30);
        connection.await.expect("no panic");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_reads_is_closed_after_30_s() {
    let server = Encrypted::new().await;
    let requests = [("http/1.1", get("/openapi.json").into_bytes()), ("h2", request_with_open_windows())];
    for (protocol, request) in requests {
        let (mut stream, connection) = server.client(protocol).await;
        stream.write_all(&request).await.expect("room");
        let start = now();
        connection.await.expect("no panic");
        assert_eq!(since(start), 30, "{protocol}");
    }
}

/// A server with encrypted connections in memory.
struct Encrypted {
    front_end: Memory,
    tls: Tls,
    certificate: CertificateDer<'static>,
}

impl Encrypted {
    async fn new() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let certificate = cert.der().clone();
        let home = TempDir::new().expect("a directory");
        let files = TlsFiles { certificate: home.path().join("chain.pem"), key: home.path().join("key.pem") };
        std::fs::write(&files.certificate, cert.pem()).expect("a file");
        std::fs::write(&files.key, signing_key.serialize_pem()).expect("a file");
        let tls = Tls::open(&files, Arc::new(SystemClock::start())).expect("an identity");
        Self { front_end: Memory::new().await, tls, certificate }
    }

    fn serve(&self, stream: DuplexStream) -> JoinHandle<()> {
        self.front_end.serve_tls(stream, &self.tls)
    }

    /// A client after the handshake, and its connection, which ends when the server's does.
    async fn client(&self, protocol: &str) -> (TlsStream<DuplexStream>, JoinHandle<()>) {
        let (near, far) = duplex(64 * 1024);
        let connection = self.serve(far);
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a root");
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions of TLS")
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let name = ServerName::try_from("localhost").expect("a name");
        let client = TlsConnector::from(Arc::new(config)).connect(name, near).await.expect("a handshake");
        (client, connection)
    }
}
