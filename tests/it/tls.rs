//! The server's own TLS: `docs/operate/tls.md`.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::prelude::*;

/// The hello of a client whose best version is TLS 1.1 (RFC 4346): version, 32 random bytes, no session, one cipher
/// suite, no compression, and its signature algorithms, which the server checks before the version.
const HELLO_OF_TLS_1_1: &[u8] = b"\x16\x03\x01\x00\x37\x01\x00\x00\x33\x03\x02\
    \x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\
    \x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\
    \x00\x00\x02\x00\x2f\x01\x00\
    \x00\x08\x00\x0d\x00\x04\x00\x02\x04\x01";

#[tokio::test]
async fn an_ordinary_client_that_trusts_the_authority_is_served() {
    let (authority, server) = served().await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root = reqwest::Certificate::from_pem(authority.pem.as_bytes()).expect("a root");
    let client = reqwest::Client::builder().tls_certs_only([root]).build().expect("a client");
    let url = format!("https://localhost:{}/healthz", server.client.address().port());
    let answer = soon("an answer", client.get(url).send()).await.expect("an answer");
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_client_that_offers_http2_gets_it_and_one_that_does_not_gets_http1() {
    let (authority, server) = served().await;
    for offer in [&["h2", "http/1.1"][..], &["h2"]] {
        let stream = encrypted(&server, authority.client(offer)).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "{offer:?}");
        let (version, status) = ask_over_http2(stream).await;
        assert_eq!((version, status), (Version::HTTP_2, 200));
    }
    for offer in [&["http/1.1"][..], &[]] {
        let mut stream = encrypted(&server, authority.client(offer)).await;
        let chosen = stream.get_ref().1.alpn_protocol();
        assert_eq!(chosen, offer.first().map(|name| name.as_bytes()), "{offer:?}");
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200 "), "{offer:?}");
    }
}

#[tokio::test]
async fn tls_1_1_is_refused_with_an_alert_and_logged_at_debug_level_only() {
    let (authority, server) = served().await;
    let mut stream = server.client.connection().await;
    stream.write_all(HELLO_OF_TLS_1_1).await.expect("written");
    let mut alert = Vec::new();
    let _ = soon("the end", stream.read_to_end(&mut alert)).await;
    // RFC 5246, section 7.2: an alert, fatal, protocol_version.
    assert_eq!((alert.first(), alert.get(5..)), (Some(&0x15), Some(&[2, 70][..])), "{alert:?}");
    assert_eq!(server.logs("DEBUG", "TLS handshakes failed").await["count"], 1);
    assert!(ask(&mut encrypted(&server, authority.client(&[])).await).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn handshakes_count_as_connections_and_one_too_many_is_503() {
    let authority = Authority::new();
    let setup = authority.issue().configure(Setup::new());
    let server = setup.config("bounds.header-timeout", 300_000).config("max-connections", 2).start().await;
    let mut held = Vec::new();
    for beginning in [&b""[..], &HELLO_OF_TLS_1_1[..20]] {
        let mut stream = server.client.connection().await;
        stream.write_all(beginning).await.expect("written");
        held.push(stream);
    }
    // A client that offers both is refused in HTTP/1.1, which can carry an answer before the request.
    let mut refused = encrypted(&server, authority.client(&["h2", "http/1.1"])).await;
    let refusal = rest(&mut refused).await;
    assert!(refusal.starts_with("HTTP/1.1 503 "), "{refusal}");
    assert!(refusal.contains("\r\nx-onceward-retry-after: "), "{refusal}");

    drop(held);
    let client = server.client.over_tls(authority.client(&[]));
    let ask = || client.try_post("/api/send-otp", "{}");
    let is_answer =
        |answer: &Result<HttpResponse, _>| answer.as_ref().is_ok_and(|answer| answer.status() == 400);
    until("a place", ask, is_answer).await.expect("an answer");
}

/// A server with a certificate, and its authority.
async fn served() -> (Authority, Server) {
    let authority = Authority::new();
    let server = authority.issue().configure(Setup::new()).start().await;
    (authority, server)
}

/// Sends a request on a connection that stays open.
async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("written");
    let mut answer = String::new();
    let mut part = [0; 1024];
    while !answer.ends_with('}') {
        let count = soon("an answer", stream.read(&mut part)).await.expect("an answer");
        assert_ne!(count, 0, "it ended after {answer:?}");
        answer.push_str(std::str::from_utf8(&part[..count]).expect("text"));
    }
    answer
}

async fn ask_over_http2(stream: TlsStream<TcpStream>) -> (Version, u16) {
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    healthz(&mut sender).await
}

async fn healthz(sender: &mut http2::SendRequest<Full<Bytes>>) -> (Version, u16) {
    let request = Request::get("https://localhost/healthz").body(Full::default()).expect("a request");
    let response = soon("an answer", sender.send_request(request)).await.expect("an answer");
    let (version, status) = (response.version(), response.status().as_u16());
    response.into_body().collect().await.expect("a body");
    (version, status)
}

/// Reads until the connection ends in any way.
async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut rest = Vec::new();
    let _ = soon("the end", stream.read_to_end(&mut rest)).await;
    String::from_utf8(rest).expect("text")
}

#[tokio::test]
async fn the_log_says_https_and_whose_certificate_it_is_and_until_when() {
    let (_, server) = served().await;
    let listening = server.logs("INFO", "listening").await;
    assert!(listening["url"].as_str().is_some_and(|url| url.starts_with("https://")), "{listening}");
    let certificate = server.logs("INFO", "certificate in use; the port speaks TLS only").await;
    assert_eq!(certificate["names"], "localhost, 127.0.0.1");
    assert_eq!(certificate["expires"], "2090-01-01T00:00:00Z");
    let is_a_warning = |event: &Value| {
        let message = event["message"].as_str().unwrap_or_default();
        event["level"] == "WARN" && message.contains("certificate")
    };
    let output = server.output();
    assert!(!output.events().iter().any(is_a_warning), "{}", output.text());
}

#[tokio::test]
async fn sighup_gives_new_connections_the_new_certificate_if_it_is_good() {
    let authority = Authority::new();
    let (first, second) = (authority.issue(), authority.issue());
    let setup = first.configure(Setup::new());
    let server = setup.start().await;
    let client = authority.client(&[]);
    let mut old = encrypted(&server, Arc::clone(&client)).await;
    // The session ticket in this answer could resume the session, with the old certificate.
    assert!(ask(&mut old).await.starts_with("HTTP/1.1 200 "));

    std::fs::write(setup.home().join("tls.crt"), &second.pem).expect("a file");
    server.signal(Signal::HUP);
    let line = server.logs("ERROR", "certificate not reloaded, the previous one stays").await;
    line["error"].as_str().expect("a reason").says(["tls-key", "does not belong"]);
    for connection in [&old, &encrypted(&server, authority.client(&[])).await] {
        assert_eq!(shown(connection), first.der);
    }

    second.write(&setup);
    server.signal(Signal::HUP);
    server.logs("INFO", "certificate reloaded").await;
    let mut new = encrypted(&server, client).await;
    assert_eq!(shown(&new), second.der);
    assert!(ask(&mut new).await.starts_with("HTTP/1.1 200 "));
    assert!(ask(&mut old).await.starts_with("HTTP/1.1 200 "), "the old connection lives on");
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_served_with_a_warning() {
    for (from, word) in [
        (2019, "certificate expired at 2020-01-01T00:00:00Z"),
        (2089, "certificate not valid before 2089-01-01T00:00:00Z"),
    ] {
        let authority = Authority::new();
        let setup = authority.issue_between(from, from + 1).configure(Setup::new());
        let server = setup.start().await;
        let line = server.logs("WARN", word).await;
        assert!(line["file"].as_str().expect("a path").contains("tls.crt"), "{line}");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = server.client.connection().await;
        let connector = TlsConnector::from(authority.client(&[]));
        assert!(connector.connect(name, stream).await.is_err(), "clients refuse it");
        setup.command(["--check"]).await.exits(0).says([word]);
    }
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().expect("a certificate")[0].clone().into_owned()
}
