//! A TLS provider with any certificate that a client may meet.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::raw::read_request;

/// How the provider answers the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greeting {
    /// A certificate for `localhost`, signed by the authority that the program trusts.
    Good,
    /// The same, valid from 2019 to 2020.
    Expired,
    /// The same, valid from 2090 to 2091.
    NotYetValid,
    /// For another name.
    OtherName,
    /// Signed by its own key.
    SelfSigned,
    /// Signed by another authority of the same name.
    OtherAuthority,
    /// Plain HTTP, as from a wrong port.
    Plain,
    /// TLS 1.1 only.
    Old,
    /// Garbage in place of a handshake.
    Garbage,
    /// The connection ends during the handshake.
    Cut,
    /// No byte.
    Silent,
}

/// A `ServerHello` of TLS 1.1 (RFC 4346): version, 32 random bytes, no session, a cipher suite, no compression.
const SERVER_HELLO_OF_TLS_1_1: [u8; 47] = {
    let mut hello = [7; 47];
    let head = [0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
    let mut at = 0;
    while at < head.len() {
        hello[at] = head[at];
        at += 1;
    }
    (hello[43], hello[44], hello[45], hello[46]) = (0, 0, 0x2f, 0);
    hello
};

/// Listens until dropped.
pub struct Certified {
    pub address: SocketAddr,
    authority: Authority,
    state: Arc<CertifiedState>,
    listening: JoinHandle<()>,
}

struct CertifiedState {
    greeting: Mutex<Greeting>,
    tls: Mutex<Option<TlsAcceptor>>,
    answer: &'static str,
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl Certified {
    /// Sends `answer` to every request that it can read.
    pub async fn answering(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(CertifiedState {
            greeting: Mutex::new(Greeting::Silent),
            tls: Mutex::default(),
            answer,
            connections: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
        });
        let at = Arc::clone(&state);
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                at.connections.fetch_add(1, Ordering::SeqCst);
                let at = Arc::clone(&at);
                tokio::spawn(async move {
                    // Any end of the connection is fine.
                    let _ = at.serve(stream).await;
                });
            }
        });
        Self { address, authority: Authority::new(), state, listening }
    }

    /// Answers later handshakes like this.
    pub fn greet(&self, greeting: Greeting) {
        *self.state.tls.lock().unwrap() = self.authority.certificate(greeting).map(TlsAcceptor::from);
        *self.state.greeting.lock().unwrap() = greeting;
    }

    /// Writes its authority's certificate in the format of `SSL_CERT_FILE`.
    pub fn write_authority(&self, path: &Path) {
        std::fs::write(path, &self.authority.pem).expect("write a file for the test");
    }

    /// The number of accepted connections.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// The number of requests read.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Certified {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl CertifiedState {
    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let greeting = *self.greeting.lock().unwrap();
        let tls = self.tls.lock().unwrap().clone();
        if let Some(tls) = tls {
            let mut stream = tls.accept(stream).await?;
            read_request(&mut stream).await?;
            self.requests.fetch_add(1, Ordering::SeqCst);
            stream.write_all(self.answer.as_bytes()).await?;
            return stream.shutdown().await;
        }
        let mut hello = [0; 4096];
        let _ = stream.read(&mut hello).await?;
        match greeting {
            Greeting::Plain => stream.write_all(b"HTTP/1.1 400 This is plain HTTP\r\n\r\n").await?,
            Greeting::Old => stream.write_all(&SERVER_HELLO_OF_TLS_1_1).await?,
            Greeting::Garbage => stream.write_all(&[0xff; 64]).await?,
            Greeting::Cut => stream.write_all(&SERVER_HELLO_OF_TLS_1_1[..20]).await?,
            _ => {}
        }
        if greeting == Greeting::Cut {
            return stream.shutdown().await;
        }
        while stream.read(&mut hello).await? > 0 {}
        Ok(())
    }
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn certificate(&self, greeting: Greeting) -> Option<Arc<ServerConfig>> {
        let name = if greeting == Greeting::OtherName { "other.example" } else { "localhost" };
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().expect("a key");
        let (from, to) = match greeting {
            Greeting::Expired => (2019, 2020),
            Greeting::NotYetValid => (2090, 2091),
            _ => (2020, 2090),
        };
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        let signed = match greeting {
            Greeting::Good | Greeting::Expired | Greeting::NotYetValid | Greeting::OtherName => {
                params.signed_by(&key, &self.issuer)
            }
            Greeting::OtherAuthority => params.signed_by(&key, &Self::new().issuer),
            Greeting::SelfSigned => params.self_signed(&key),
            _ => return None,
        };
        let chain: Vec<CertificateDer<'static>> = vec![signed.expect("a certificate").der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(chain, key);
        Some(Arc::new(config.expect("settings of TLS")))
    }
}
