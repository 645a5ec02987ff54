//! The server's own TLS: `docs/operate/tls.md`. `tests/http/tls.rs` has both protocols and their time limits.

use std::sync::Arc;

use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::prelude::*;

/// Sends a request on a connection that stays open, and reads the answer.
async fn is_served(stream: &mut TlsStream<TcpStream>) {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("written");
    let mut answer = Vec::new();
    // No header has a brace.
    let read = soon("an answer", BufReader::new(stream).read_until(b'}', &mut answer)).await;
    assert!(read.is_ok() && answer.ends_with(br#"{"code":200,"message":"alive"}"#), "{read:?}: {answer:?}");
}

#[tokio::test]
async fn sighup_gives_new_connections_the_new_certificate_if_it_is_good() {
    let authority = Authority::new();
    let (first, second) = (authority.issue(), authority.issue());
    let setup = first.configure(Setup::new());
    let server = setup.start().await;
    text(&server.logs("INFO", "listening").await, "url").says(["https://"]);
    let certificate = server.logs("INFO", "certificate in use; the port speaks TLS only").await;
    assert_eq!(certificate["expires"], "2090-01-01T00:00:00Z");
    let client = authority.client(&[]);
    let mut old = encrypted(&server, Arc::clone(&client)).await;
    // The session ticket in this answer could resume the session, with the old certificate.
    is_served(&mut old).await;

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
    is_served(&mut new).await;
    // The old connection lives on.
    is_served(&mut old).await;
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().expect("a certificate")[0].clone().into_owned()
}
