//! HTTP/1 connections: their use, misuse and end.

use std::time::Duration;

use onceward_testkit::{ProviderDouble, Setup, World, get, post, send_body, verify_body};
use tokio::net::TcpStream;

/// A check whose body comes in chunks.
const CHUNKED: &str = "POST /api/verify-otp HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn requests_in_a_row_are_answered_in_order_also_after_unread_bodies() {
    let world = World::new().await;
    let unread = |path| post(path, "some text that is not read");
    let check = post("/api/verify-otp", &verify_body("123456"));
    let in_a_row = [unread("/nothing"), check, unread("/healthz"), get("/healthz")].concat();
    for piece in [1, usize::MAX] {
        let statuses = statuses_of(&world, in_a_row.as_bytes(), piece).await;
        assert_eq!(statuses, [404, 401, 405, 200], "in pieces of {piece}");
    }
}

#[tokio::test]
async fn what_is_not_http_gets_400_without_a_body_after_the_answers_to_what_is() {
    let world = World::new().await;
    let long = "x".repeat(20_000);
    for (bytes, status) in [
        ("hello\r\n\r\n", 400),
        ("POST /api/send-otp HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n", 400),
        (&format!("GET / HTTP/1.1\r\nx: {long}\r\n\r\n"), 431),
        // The limit of the head applies before hyper's limit of 65,534 bytes for an address.
        (&get(&long.repeat(4)), 431),
    ] {
        let mut client = world.client().await;
        client.try_send(get("/healthz") + bytes).await;
        client.half_close().await;
        let [health, refused] = &client.replies().await[..] else { panic!("not two answers to {bytes:?}") };
        refused.is(status, "");
        assert_eq!((health.status, refused.header("connection")), (200, Some("close")), "{bytes:?}");
    }
}

/// RFC 9112, sections 2.2 and 6.3, as SECURITY.md tells it.
#[tokio::test]
async fn a_line_may_end_without_a_return_and_chunks_win_over_a_length() {
    let world = World::new().await;
    let (health, body) = (get("/healthz"), verify_body("123456"));
    assert_eq!(statuses_of(&world, health.replace("\r\n", "\n").as_bytes(), usize::MAX).await, [200]);
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n{health}", body.len());
    for length in [1, 60, 1_000] {
        let both = CHUNKED.replacen("host", &format!("content-length: {length}\r\nhost"), 1);
        // The connection ends after it: the rest may be a part of it for a proxy.
        assert_eq!(statuses_of(&world, (both + &chunks).as_bytes(), usize::MAX).await, [401]);
    }
}

#[tokio::test]
async fn a_request_without_host_with_two_or_a_malformed_one_is_400() {
    let world = World::new().await;
    for (version, hosts, status) in [
        ("1.1", "", 400),
        ("1.1", "Host: a\r\nHost: a\r\n", 400),
        ("1.1", "Host:\r\n", 200),
        ("1.1", "Host: <script>\r\n", 400),
        ("1.0", "", 200),
        ("1.0", "Host: a\r\nHost: b\r\n", 400),
    ] {
        let reply = world.ask(format!("GET /hello-world HTTP/{version}\r\n{hosts}\r\n")).await;
        assert_eq!(reply.status, status, "{version} {hosts}");
    }
}

#[tokio::test]
async fn at_the_limit_of_connections_a_client_waits_until_one_ends() {
    let mut setup = Setup::default();
    setup.settings.bounds.connections = 2;
    let world = World::with(setup).await;
    let (mut first, mut second) = (world.client().await, world.client().await);
    for client in [&mut first, &mut second] {
        assert_eq!(client.ask(get("/healthz")).await.status, 200);
    }
    let mut third = world.client().await;
    third.send(get("/healthz")).await;
    let mut reply = Box::pin(third.reply());
    assert_eq!(second.ask(get("/healthz")).await.status, 200);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut reply).await;
    assert!(early.is_err(), "both others are still open");
    first.half_close().await;
    assert_eq!(reply.await.status, 200);
}

#[tokio::test]
async fn a_held_request_is_answered_after_a_half_close_and_the_begin_of_a_stop() {
    let provider = ProviderDouble::hanging();
    let world = World::with(Setup::through(&provider)).await;
    let mut client = world.client().await;
    client.send(post("/api/send-otp", &send_body())).await;
    client.half_close().await;
    provider.arrived(1).await;
    let server = world.begin_stop();
    tokio::task::yield_now().await;
    assert!(!server.is_finished());
    provider.hangs(false);
    assert_eq!(client.reply().await.status, 200);
    assert_eq!(client.rest().await, "");
    server.await.expect("no panic");
}

#[tokio::test]
async fn a_stop_ends_idle_and_silent_connections_at_once_and_accepts_no_more() {
    let world = World::new().await;
    let address = world.address;
    let (mut idle, mut silent) = (world.client().await, world.client().await);
    assert_eq!(idle.ask(get("/healthz")).await.status, 200);
    // The server has accepted both once it serves a third one.
    assert_eq!(world.get("/healthz").await.status, 200);
    world.begin_stop().await.expect("no panic");
    assert_eq!((idle.rest().await, silent.rest().await), (String::new(), String::new()));
    assert!(TcpStream::connect(address).await.is_err());
}

/// The statuses of the answers to a client that sends these bytes in such pieces, and closes its side.
async fn statuses_of(world: &World, bytes: &[u8], piece: usize) -> Vec<u16> {
    let mut client = world.client().await;
    for piece in bytes.chunks(piece) {
        client.try_send(piece).await;
    }
    client.half_close().await;
    client.replies().await.iter().map(|reply| reply.status).collect()
}
