//! The HTTP client beside servers and proxies that do not answer, or wrongly.

use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

#[tokio::test]
async fn a_handshake_that_hangs_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address")).parse().expect("a URL");
    // Without root certificates the test does not depend on the machine.
    let tls = tls_for(false).expect("TLS settings");
    let client = HttpClient::new(tls, None, EgressPolicy::Anywhere).expect("a client");
    let hanging = tokio::spawn(async move { client.send(request(&url)).await });
    let _silent = listener.accept().await.expect("a connection");
    // Nothing else happens from here on: the paused clock advances to the next deadline.
    tokio::time::pause();
    let given_up = hanging.await.expect("no panic");
    assert!(matches!(given_up, Err(NoResponse::NotConnected(_))));
}

#[tokio::test]
async fn a_proxy_gets_its_credentials_and_no_error_about_it_contains_them() {
    let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    let endless = "HTTP/1.1 200 OK\r\nx: ".to_owned() + &"a".repeat(1024 * 1024);
    for (says, ends) in [(refusal, false), ("", true), ("", false), (endless.as_str(), false)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = format!("http://user:s%65cret@{}", listener.local_addr().expect("an address"));
        let url = Url::parse("https://provider.invalid").expect("a URL");
        let target = url.as_str().parse().expect("an address");
        let proxy = Matcher::builder().https(proxy).build().intercept(&target).expect("a proxy");
        let tls = tls_for(false).expect("TLS settings");
        let client = HttpClient::new(tls, Some(&proxy), EgressPolicy::Anywhere).expect("a client");
        let asking = tokio::spawn(async move { client.send(request(&url)).await });
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("CONNECT provider.invalid:443 HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("Basic dXNlcjpzZWNyZXQ="), "{head}");
        let _ = stream.write_all(says.as_bytes()).await;
        if ends {
            drop(stream);
        } else {
            tokio::time::pause();
        }
        match asking.await.expect("no panic").err() {
            Some(NoResponse::NotConnected(why)) => {
                assert!(!why.contains("cret") && !why.contains("dXNl"), "{why}");
            }
            other => panic!("{other:?}"),
        }
        if !ends {
            tokio::time::resume();
        }
    }
}

async fn read_head(stream: &mut tokio::net::TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a byte"));
    }
    String::from_utf8(head).expect("text")
}

fn request(url: &Url) -> Request {
    Request::new(Method::GET, url.clone())
}
