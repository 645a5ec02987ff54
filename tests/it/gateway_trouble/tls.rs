//! Providers whose TLS cannot be trusted: the server sends them nothing, and the log names the fault.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio_rustls::TlsAcceptor;

use super::answers::failures;
use crate::support::prelude::*;

#[tokio::test]
async fn a_provider_with_a_certificate_of_ssl_cert_files_authority_is_trusted() {
    let (provider, authority) = (Twilio::start().await, Authority::new());
    let setup = Setup::new().config("send-budget", "20s").config("bounds.breaker-failures", 1000);
    let alone = through(&format!("https://localhost:{}", provider.address().port()), setup);
    let trusting = alone.clone().file("authority.pem", &authority.pem).env("SSL_CERT_FILE", "authority.pem");
    let server = trusting.start().await;
    let numbers = Numbers::default();
    let good = accepting(authority.issue());
    provider.encrypt(good.clone());
    for _ in 0..2 {
        let number = numbers.next();
        server.client.send(&number).await.expects(sent(&number, 5));
    }
    // Trust in an earlier certificate does not extend to a later server at the same address.
    for (issued, why) in [
        (authority.issue_to(&["localhost"], 2019..2020), ": certificate expired"),
        (authority.issue_to(&["other.example"], 2020..2090), ": certificate not valid for name"),
        (Authority::new().issue(), ""),
    ] {
        provider.encrypt(accepting(issued));
        let why = format!("invalid peer certificate{why}");
        is_told_nothing(&provider, &server, &numbers.next(), &why).await;
    }
    provider.encrypt(good);
    let number = numbers.next();
    server.client.send(&number).await.expects(sent(&number, 5));
    drop(server);
    // Without the setting the system's own authorities count, which do not include this one. Without any
    // authorities, the program says so and does not start.
    if Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
        let server = alone.start().await;
        is_told_nothing(&provider, &server, &numbers.next(), "UnknownIssuer").await;
    } else {
        alone.run().await.says(["no trusted root certificates"]);
    }
}

/// Speaks TLS with this certificate.
fn accepting(Issued { key, der, .. }: Issued) -> TlsAcceptor {
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![der], key);
    TlsAcceptor::from(Arc::new(config.expect("settings of TLS")))
}

async fn is_told_nothing(provider: &Twilio, server: &Server, number: &str, why: &str) {
    let (told, said) = (provider.received().len(), failures(server).len());
    server.client.send(number).await.expects(failed());
    assert_eq!(provider.received().len(), told, "{why}");
    // No code is in flight: none can be right.
    server.client.verify(number, "123456").await.expects(incorrect(number, 5));
    // A line about the message before may come late.
    let is_said = |line: &Value| text(line, "detail").contains(why);
    let lines = until(why, || async { failures(server) }, |lines| lines[said..].iter().any(is_said)).await;
    // The message was surely not sent.
    assert!(lines[said..].iter().all(|line| text(line, "class") == "Retry"), "{lines:?}");
}
