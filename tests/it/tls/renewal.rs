//! Expiry of a certificate, and its replacement in a running server.

use std::sync::Arc;

use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{ask, served};
use crate::support::{Authority, Says, Server, Setup, World, encrypted};

#[tokio::test]
async fn the_log_says_https_and_whose_certificate_it_is_and_until_when() {
    let (_, server) = served().await;
    let listening = said(&server, "INFO", "listening").await;
    assert!(listening["url"].as_str().is_some_and(|url| url.starts_with("https://")), "{listening}");
    let certificate = said(&server, "INFO", "certificate in use; the port speaks TLS only").await;
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
    let line = said(&server, "ERROR", "certificate not reloaded, the previous one stays").await;
    line["error"].as_str().expect("a reason").says(["tls-key", "does not belong"]);
    for connection in [&old, &encrypted(&server, authority.client(&[])).await] {
        assert_eq!(shown(connection), first.der);
    }

    second.write(&setup);
    server.signal(Signal::HUP);
    said(&server, "INFO", "certificate reloaded").await;
    let mut new = encrypted(&server, client).await;
    assert_eq!(shown(&new), second.der);
    assert!(ask(&mut new).await.starts_with("HTTP/1.1 200 "));
    assert!(ask(&mut old).await.starts_with("HTTP/1.1 200 "), "the old connection lives on");
}

#[tokio::test]
async fn without_tls_sighup_is_noted_and_ends_nothing() {
    let world = World::new().await;
    world.server.signal(Signal::HUP);
    said(&world.server, "INFO", "SIGHUP ignored").await;
    world.number_with_message().await;
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_served_with_a_warning() {
    for (from, event, field, date, word) in [
        (2019, "certificate expired", "expires", "2020-01-01T00:00:00Z", "expired at 2020-01-01"),
        (2089, "certificate not valid yet", "begins", "2089-01-01T00:00:00Z", "not valid before 2089-01-01"),
    ] {
        let authority = Authority::new();
        let setup = authority.issue_between(from, from + 1).configure(Setup::new());
        let server = setup.start().await;
        let line = said(&server, "WARN", event).await;
        assert!(line["file"].as_str().expect("a path").contains("tls.crt"), "{line}");
        assert_eq!(line[field], date);
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = server.client.connection().await;
        let connector = TlsConnector::from(authority.client(&[]));
        assert!(connector.connect(name, stream).await.is_err(), "clients refuse it");
        setup.command(["--check"]).await.exits(0).says([word]);
    }
}

#[tokio::test]
async fn readyz_shows_the_certificates_expiry_and_its_problem_and_stays_ready() {
    for (until, problem) in [(2090, None), (2020, Some("expired"))] {
        let authority = Authority::new();
        let setup = authority.issue_between(2019, until).configure(Setup::new());
        let _server = setup.start().await;
        let (status, answer) = setup.ask_control_socket("GET /readyz");
        let tls = &answer["data"]["tls"];
        assert_eq!(status, 200, "{answer}");
        assert_eq!(tls["expires"], format!("{until}-01-01T00:00:00Z"));
        match problem {
            None => assert_eq!(tls.get("problem"), None),
            Some(word) => assert!(tls["problem"].as_str().is_some_and(|said| said.contains(word)), "{tls}"),
        }
    }
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().expect("a certificate")[0].clone().into_owned()
}

pub async fn said(server: &Server, level: &str, beginning: &str) -> Value {
    let wanted = |event: &Value| {
        event["level"] == level && event["message"].as_str().is_some_and(|said| said.starts_with(beginning))
    };
    server.event(beginning, wanted).await
}
