//! Providers whose TLS cannot be trusted: the server sends them nothing, and the log names the fault.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::GatewayKind;
use super::answers::failures;
use crate::support::prelude::*;

const KIND: GatewayKind = GatewayKind::TwilioMessages;

/// A `ServerHello` of TLS 1.1 (RFC 4346): version, 32 random bytes, no session, a cipher suite, no compression.
const SERVER_HELLO_OF_TLS_1_1: &[u8] = b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02\
    \x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\
    \x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\
    \x00\x00\x2f\x00";

#[tokio::test]
async fn a_provider_with_a_certificate_of_ssl_cert_files_authority_is_trusted() {
    let (provider, authority) = (Raw::start().await, Authority::new());
    let server = trusting(&authority, &provider, "20s").start().await;
    let numbers = Numbers::default();
    let issued = authority.issue();
    let good = accepting(issued.der, &issued.key);
    provider.act(Act::Say(KIND.accepts()));
    provider.encrypt(Some(good.clone()));
    for _ in 0..2 {
        let number = numbers.next();
        server.client.send(&number).await.expects(sent(&number, 5));
    }
    // Trust in an earlier certificate does not extend to a later server at the same address.
    let expired = authority.issue_between(2019, 2020);
    let early = authority.issue_between(2090, 2091);
    let of_another_name = authority.issue_for(&["other.example"]);
    let of_another_authority = Authority::new().issue();
    let self_signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    for (case, certificate, key, why) in [
        ("expired", expired.der, expired.key, ": certificate expired"),
        ("early", early.der, early.key, ": certificate not valid yet"),
        ("another name", of_another_name.der, of_another_name.key, ": certificate not valid for name"),
        ("another authority", of_another_authority.der, of_another_authority.key, ""),
        ("self-signed", self_signed.cert.der().clone(), self_signed.signing_key.serialize_pem(), ""),
    ] {
        println!("{case}");
        provider.encrypt(Some(accepting(certificate, &key)));
        let why = format!("the TLS handshake failed: invalid peer certificate{why}");
        is_told_nothing(&provider, &server, &numbers.next(), &why).await;
    }
    provider.encrypt(None);
    let corrupt = "the TLS handshake failed: received corrupt message";
    for (act, why) in [
        (Act::Greet(b"HTTP/1.1 400 This is plain HTTP\r\n\r\n"), corrupt),
        (Act::Greet(SERVER_HELLO_OF_TLS_1_1), "the TLS handshake failed: peer is incompatible"),
        (Act::Greet(&[0xff; 64]), corrupt),
        (Act::GreetAndClose(&SERVER_HELLO_OF_TLS_1_1[..20]), "no connection: unexpected end of file"),
    ] {
        println!("{act:?}");
        provider.act(act);
        is_told_nothing(&provider, &server, &numbers.next(), why).await;
    }
    provider.act(Act::Say(KIND.accepts()));
    provider.encrypt(Some(good));
    let number = numbers.next();
    server.client.send(&number).await.expects(sent(&number, 5));
    // Without the setting the system's own authorities count, which do not include this one. Without any
    // authorities, the program says so and does not start.
    let alone = trusting(&authority, &provider, "20s").without_env("SSL_CERT_FILE");
    if Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
        let server = alone.start().await;
        is_told_nothing(&provider, &server, &numbers.next(), "UnknownIssuer").await;
    } else {
        alone.run().await.says(["no trusted root certificates"]);
    }
}

fn trusting(authority: &Authority, provider: &Raw, budget: &str) -> Setup {
    let setup = Setup::new().config("send-budget", budget).config("bounds.breaker-failures", 1000);
    KIND.at(&format!("https://localhost:{}", provider.address.port()), setup)
        .file("authority.pem", &authority.pem)
        .env("SSL_CERT_FILE", "authority.pem")
}

/// Speaks TLS with this certificate and its key, as PEM.
fn accepting(certificate: CertificateDer<'static>, key: &str) -> TlsAcceptor {
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    TlsAcceptor::from(Arc::new(config.expect("settings of TLS")))
}

async fn is_told_nothing(provider: &Raw, server: &Server, number: &str, why: &str) {
    let (told, reached, said) = (provider.requests(), provider.connections(), details(server).len());
    server.client.send(number).await.expects(failed());
    assert_eq!(provider.requests(), told, "{why}");
    // No code is in flight: none can be right.
    server.client.verify(number, "123456").await.expects(incorrect(number, 5));
    // The message was surely not sent, and the server may try again. It logs each attempt once.
    let attempts = provider.connections() - reached;
    let is_logged = |details: &Vec<String>| details.len() >= said + attempts;
    let details = until(why, || async { details(server) }, is_logged).await;
    let new = &details[said..];
    assert!((1..=2).contains(&attempts) && new.len() == attempts, "{why}: {new:?}");
    for detail in new {
        assert!(detail.starts_with("\"Retry\"") && detail.contains(why), "{why}: {detail}");
    }
}

/// The log fields of messages that were not accepted: class and detail.
fn details(server: &Server) -> Vec<String> {
    failures(server).iter().map(|event| format!("{} {}", event["class"], event["detail"])).collect()
}
