//! HTTP/2 in memory, without TLS.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper::{Request, StatusCode};
use onceward_testkit::{Memory, ProviderDouble, Setup, send_body_to};
use tokio::io::duplex;

#[tokio::test]
async fn requests_wait_side_by_side_and_a_stop_answers_those_that_are_held() {
    let provider = ProviderDouble::hanging();
    let server = Memory::with(Setup::through(&provider)).await;
    let (mut client, connection) = server.http2().await;
    let held: Vec<_> = (0..100)
        .map(|n| {
            let (mut client, body) = (client.clone(), send_body_to(&format!("+14155552{n:03}")));
            tokio::spawn(async move { ask(&mut client, post("/api/send-otp", body)).await.0 })
        })
        .collect();
    provider.arrived(100).await;
    assert_eq!(ask(&mut client, request("GET", "/healthz", String::new())).await.0, 200);
    drop(client);
    server.stop();
    provider.hangs(false);
    for answer in held {
        assert_eq!(answer.await.expect("no panic"), 200);
    }
    connection.await.expect("ends by itself");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_before_its_body_arrives_is_not_reset() {
    for (path, length, status) in [("/nothing", 20, 404), ("/api/verify-otp", 20, 400)] {
        let server = Memory::new().await;
        let (near, far) = duplex(64 * 1024);
        let _connection = server.serve_http2(far);
        let (mut client, connection) = h2::client::handshake(near).await.expect("a connection");
        tokio::spawn(connection);
        let head = Request::post(format!("http://test{path}")).header("content-length", length);
        let (response, mut body) =
            client.send_request(head.body(()).expect("a request"), false).expect("a stream");
        tokio::time::sleep(Duration::from_millis(100)).await;
        body.send_data(Bytes::from(vec![b'x'; length]), true).expect("a stream that is open");
        assert_eq!(response.await.expect("a response").status(), status);
        let reset = tokio::time::timeout(Duration::from_secs(5), poll_fn(|cx| body.poll_reset(cx))).await;
        assert!(reset.is_err() || reset.is_ok_and(|reset| reset.is_err()), "the stream was reset");
    }
}

#[tokio::test]
async fn the_inbox_is_there_under_the_authority() {
    let mut setup = Setup { has_inbox: true, ..Setup::default() };
    "test".clone_into(&mut setup.settings.listen.host);
    let server = Memory::with(setup).await;
    let (mut client, _connection) = server.http2().await;
    let (status, page) = ask(&mut client, request("GET", "/inbox", String::new())).await;
    assert!(status == 200 && page.contains("Simulator inbox"), "{page}");
    let mut foreign = request("GET", "/inbox", String::new());
    *foreign.uri_mut() = "http://evil.example/inbox".parse().expect("an address");
    assert_eq!(ask(&mut client, foreign).await.0, 403);
}

fn request(method: &str, path: &str, body: String) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(format!("http://test{path}"))
        .body(Full::from(body))
        .expect("a request")
}

fn post(path: &str, body: String) -> Request<Full<Bytes>> {
    request("POST", path, body)
}

async fn ask(client: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> (StatusCode, String) {
    let response = client.send_request(request).await.expect("a response");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("UTF-8"))
}
