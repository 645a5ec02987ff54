//! The HTTP client beside servers that answer too much, too late or not at all.

use std::net::SocketAddr;

use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::double::{Double, Reply, answer};

#[tokio::test]
async fn an_answer_that_is_too_long_endless_or_cut_has_a_status_and_no_body() {
    let endless = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n";
    let without_length = "HTTP/1.1 200 OK\r\n\r\n";
    let announced = "HTTP/1.1 200 OK\r\nContent-Length: 9000000000000000000\r\n\r\n";
    let cut = Reply::BytesThenClose(answer(200, &[], "{}").replace("{}", "{"));
    let endless = [endless, without_length, announced].map(|head| Reply::Endless(head.to_owned()));
    for reply in endless.into_iter().chain([cut]) {
        let double = Double::playing([reply.clone()]).await;
        let answer = get(&double.base_url()).await.expect("an answer");
        assert_eq!((answer.status.as_u16(), answer.body), (200, None), "{reply:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let mut double = Double::playing([
        Reply::json_with(307, &[("Location", "/elsewhere")], ""),
        Reply::json(200, "must not be asked for"),
    ])
    .await;
    assert_eq!(get(&double.base_url()).await.expect("an answer").status.as_u16(), 307);
    assert_eq!(double.further_requests().len(), 1);
}

#[tokio::test]
async fn a_handshake_that_hangs_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = https_url(listener.local_addr().expect("an address"));
    let client = without_roots();
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

async fn get(url: &str) -> Result<GatewayResponse, NoResponse> {
    let url = Url::parse(url).expect("a URL");
    let client = HttpClient::for_target(&url).expect("a client");
    client.send(request(&url)).await
}

fn https_url(address: SocketAddr) -> Url {
    Url::parse(&format!("https://{address}")).expect("a URL")
}

fn request(url: &Url) -> Request {
    Request::new(Method::GET, url.clone())
}

/// TLS without root certificates: the test does not depend on the machine.
fn without_roots() -> HttpClient {
    HttpClient::new(tls_for(false).expect("TLS settings"), None, EgressPolicy::Anywhere).expect("a client")
}
