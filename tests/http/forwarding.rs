//! Requests that one node of a cluster passes on to another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::Request;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Builder;
use onceward::clock::ManualClock;
use onceward::gateway::HttpClient;
use onceward::http::{Forwarder, Proofs, RequestTarget, ServedRoutes};
use onceward_testkit::{Client, Gate, Setup, THEN, V2World, World, basic, post, root, send_body};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::Level;
use url::Url;

use super::logs::Log;

const ID: &str = "0190a5c1-7b2e-7c3d-8f4a-5b6c7d8e9fa0";

#[tokio::test]
async fn a_standby_returns_the_answer_of_the_owner_under_the_same_id() {
    let owner = node(RequestTarget::Local).await;
    let standby = node(peer(owner.address)).await;
    let id = format!("\r\nX-Request-Id: {ID}\r\n");
    let request = post("/api/send-otp", &send_body()).replacen("\r\n", &id, 1);
    let (direct, passed_on) = (owner.ask(&request).await, standby.ask(&request).await);
    assert_eq!((passed_on.status, &passed_on.body), (200, &direct.body));
    assert_eq!(passed_on.header("x-request-id"), Some(ID));
    assert_eq!(passed_on.header("x-onceward-node"), None);
}

#[tokio::test]
async fn a_standby_is_as_ready_as_the_owner() {
    for (readiness, status) in [(Ok(()), 200), (Err("the disk is full".to_owned()), 503)] {
        let forwarder = Some(forwarder(watch::channel(RequestTarget::Local).1));
        let setup = Setup { forwarder, ..Setup::through(Gate::with_readiness(move || readiness.clone())) };
        let owner = V2World::with(setup).await;
        let standby = node(peer(owner.world.address)).await;
        let head = format!("GET /readyz HTTP/1.1\r\nHost: onceward\r\n{}", basic(&root()));
        let answer = standby.ask(format!("{head}Content-Length: 2\r\n\r\n{{}}")).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        let stranger = head.replace(&basic(&root()), &basic("AC:wrong"));
        let told = standby.ask(format!("{stranger}\r\n")).await;
        assert_eq!((told.status, told.body.contains("\"cluster\":{")), (status, false), "{}", told.body);
        let says_why = answer.body.contains("node b at ") && answer.body.contains("the disk is full");
        assert_eq!(says_why, status == 503, "{}", answer.body);
        assert!(answer.body.contains(r#"{"node":"a","state":"standby","owner":"b"}"#), "{}", answer.body);
    }
}

#[tokio::test]
async fn nodes_without_an_owner_or_with_each_other_for_one_live_but_are_unready() {
    let standby = node(RequestTarget::Unknown).await;
    let [(of_a, known_to_a), (of_b, known_to_b)] = [(); 2].map(|()| watch::channel(RequestTarget::Unknown));
    let a = World::with(with_forwarder(known_to_a)).await;
    let b = World::with(with_forwarder(known_to_b)).await;
    of_a.send_replace(peer(b.address));
    of_b.send_replace(peer(a.address));
    for node in [standby, a] {
        assert_eq!(node.get("/healthz").await.status, 200);
        let reply = node.get("/readyz").await;
        assert_eq!(reply.status, 503);
        assert!(reply.body.contains(r#""data":{"reason":"cluster"}"#), "{}", reply.body);
    }
}

#[tokio::test]
async fn a_listener_for_metrics_passes_nothing_on() {
    let owner = node(RequestTarget::Local).await;
    let (_, known) = watch::channel(peer(owner.address));
    let mut setup = with_forwarder(known);
    setup.routes = ServedRoutes::MetricsOnly;
    let standby = World::with(setup).await;
    assert_eq!(standby.post("/api/send-otp", &send_body()).await.status, 404);
    let scrape = standby.get("/metrics").await;
    assert!(scrape.body.contains("onceward_cluster_node{state=\"standby\"} 1\n"), "{}", scrape.body);
}

#[tokio::test]
async fn the_owner_says_whether_a_caller_may_read_metrics_without_the_text() {
    let standby = forwarder(watch::channel(RequestTarget::Unknown).1);
    let owner = V2World::with(with_forwarder(watch::channel(RequestTarget::Local).1)).await;
    for (credentials, status) in [(root(), 200), ("AC:wrong".to_owned(), 401)] {
        let authorization = format!("Basic {}", STANDARD.encode(&credentials));
        let question = Request::get("/metrics").header("authorization", authorization);
        let lines = passed_on(&standby, question, "");
        let answer = owner.world.ask(format!("GET /metrics HTTP/1.1\r\nhost: onceward\r\n{lines}\r\n")).await;
        assert_eq!((answer.status, answer.body.contains("onceward_")), (status, false), "{}", answer.body);
    }
    assert!(owner.get("/metrics").await.body.contains("onceward_cluster_node"));
}

#[tokio::test]
async fn a_request_for_another_node_is_logged() {
    let owner = node(RequestTarget::Local).await;
    // It takes the node at that address for `b`.
    let standby = node(peer(owner.address)).await;
    let (log, _guard) = Log::at(Level::WARN);
    assert_eq!(standby.post("/api/send-otp", &send_body()).await.status, 200);
    log.has_line("request for another node received", &["owner=\"b\""]);
}

#[tokio::test]
async fn at_debug_level_both_nodes_have_a_line_of_a_request_passed_on() {
    let owner = node(RequestTarget::Local).await;
    let standby = node(peer(owner.address)).await;
    let (log, _guard) = Log::at(Level::DEBUG);
    let id = format!("\r\nX-Request-Id: {ID}\r\n");
    assert_eq!(standby.ask(post("/api/send-otp", &send_body()).replacen("\r\n", &id, 1)).await.status, 200);
    let parts =
        ["request answered", "method=\"POST\"", "route=\"/api/send-otp\"", "status=200", "micros=", ID];
    let text = log.text();
    let lines = text.lines().filter(|line| parts.iter().all(|part| line.contains(part)));
    assert_eq!(lines.count(), 2, "{text}");
}

#[tokio::test]
async fn a_body_that_is_too_large_to_pass_on_is_answered_while_it_is_sent() {
    let owner = node(RequestTarget::Local).await;
    let standby = node(peer(owner.address)).await;
    assert_eq!(standby.post("/send-code", &"x".repeat(4_000_000)).await.status, 413);
}

#[tokio::test]
async fn a_request_that_waits_is_answered_by_the_node_once_it_is_the_owner() {
    let (owner, _standby, mut client) = asking(RequestTarget::Unknown).await;
    owner.send_replace(RequestTarget::Local);
    assert_eq!(client.reply().await.status, 200);
}

#[tokio::test]
async fn a_request_goes_to_the_next_owner_if_the_last_refuses_connections() {
    // No test listens on port 1, and the system gives it to none.
    let (owner, _standby, mut client) = asking(peer(SocketAddr::from(([127, 0, 0, 1], 1)))).await;
    let next = node(RequestTarget::Local).await;
    owner.send_replace(peer(next.address));
    assert_eq!(client.reply().await.status, 200);
}

#[tokio::test]
async fn a_request_that_may_have_run_is_not_sent_again() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("bind");
    let standby = node(peer(listener.local_addr().expect("an address"))).await;
    let mut client = standby.client().await;
    client.send(post("/hooks/okta", "{}")).await;
    let (mut connection, _) = listener.accept().await.expect("a connection");
    let mut byte = [0];
    connection.read_exact(&mut byte).await.expect("a byte");
    connection.shutdown().await.expect("shut down");
    drop(connection);
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    tokio::select! {
        biased;
        again = listener.accept() => panic!("sent again: {again:?}"),
        () = std::future::ready(()) => {}
    }
}

#[tokio::test]
async fn a_standby_repeats_a_send_with_its_key_when_a_silent_owner_is_replaced() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.expect("bind");
    let (owner, _standby, mut client) = asking(peer(silent.local_addr().expect("an address"))).await;
    let (mut connection, _) = silent.accept().await.expect("a connection");
    let mut head = [0; 4_096];
    let length = connection.read(&mut head).await.expect("a head");
    assert!(String::from_utf8_lossy(&head[..length]).contains("idempotency-key: onceward-node-"));
    let next = node(RequestTarget::Local).await;
    owner.send_replace(peer(next.address));
    assert_eq!(client.reply().await.status, 200);
}

#[tokio::test]
async fn a_request_that_only_claims_to_come_from_a_node_is_refused() {
    let [owner, another] = [node(RequestTarget::Local).await, node(RequestTarget::Unknown).await];
    let standby = forwarder(watch::channel(RequestTarget::Unknown).1);
    let proof = || passed_on(&standby, Request::post("/api/send-otp"), &send_body());
    let ask = async |node: &World, lines: &str, body: &str| {
        let reply = node.ask(post("/api/send-otp", body).replacen("\r\n", &format!("\r\n{lines}"), 1)).await;
        (reply.status, reply.header("x-onceward-not-owner").is_some())
    };
    let sent = proof();
    assert_eq!(
        ask(&owner, &sent.replace("192.0.2.7", "192.0.2.8"), &send_body()).await.0,
        503,
        "another client"
    );
    assert_eq!(ask(&owner, &sent, &send_body()).await, (200, false));
    assert_eq!(ask(&owner, &sent, &send_body()).await, (503, true), "a second time");
    assert_eq!(ask(&owner, &proof(), "{}").await.0, 400, "another body");
    assert_eq!(ask(&another, &proof(), &send_body()).await, (503, true), "a request is passed on once");
}

#[tokio::test]
async fn a_path_that_the_owner_would_see_otherwise_is_not_passed_on() {
    let owner = node(RequestTarget::Local).await;
    let standby = node(peer(owner.address)).await;
    for path in ["/x/../api/send-otp", "/x/%2e%2E/api/send-otp", "/./api/send-otp", "/api\\send-otp"] {
        for node in [&owner, &standby] {
            assert_eq!(node.post(path, &send_body()).await.status, 404, "{path}");
        }
    }
    let path = "/api/send-otp?a=..%2f..&b=/../";
    assert_eq!(standby.post(path, &send_body()).await.status, 200);
    assert_eq!(standby.post("/api%2fsend-otp", &send_body()).await.status, 404);
}

#[tokio::test]
async fn a_request_holds_its_place_until_its_answer_has_ended() {
    let endless = TcpListener::bind(("127.0.0.1", 0)).await.expect("bind");
    let (_owner, known) = watch::channel(peer(endless.local_addr().expect("an address")));
    let standby = World::with(with_forwarder(known)).await;
    let mut owners = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..IN_FLIGHT {
        let mut client = standby.client().await;
        client.send(post("/api/send-otp", &send_body())).await;
        let (mut owner, _) = endless.accept().await.expect("a connection");
        let begin = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{";
        owner.write_all(begin).await.expect("written");
        client.reply_without_body().await;
        owners.push(owner);
        clients.push(client);
    }
    assert_eq!(standby.post("/api/send-otp", &send_body()).await.status, 503, "every place is taken");
    owners[0].write_all(b"}").await.expect("written");
    assert_eq!(clients[0].body(2).await, "{}");
    // The place is free when the standby has seen the end.
    loop {
        let mut next = standby.client().await;
        next.send(post("/api/send-otp", &send_body())).await;
        tokio::select! {
            passed_on = endless.accept() => break drop(passed_on.expect("a connection")),
            refused = next.reply() => assert_eq!(refused.status, 503),
        }
    }
}

/// Requests that a node passes on at once.
const IN_FLIGHT: usize = 8;

fn forwarder(owner: watch::Receiver<RequestTarget>) -> Forwarder {
    static STARTS: AtomicU64 = AtomicU64::new(0);
    let client = HttpClient::for_peers(false, None).expect("a client");
    let clock = Arc::new(ManualClock::starting_at(THEN));
    let start = STARTS.fetch_add(1, Ordering::Relaxed);
    let proofs = Proofs::new(b"a secret of all nodes", start, clock);
    Forwarder::new("a".to_owned(), owner, client, proofs, (IN_FLIGHT, Duration::from_secs(2)))
}

/// The header lines with which a node passes a request on to node `a`.
fn passed_on(node: &Forwarder, request: Builder, body: &str) -> String {
    let head = request.body(()).expect("a request").into_parts().0;
    let mut url = Url::parse("http://127.0.0.1:9").expect("a URL");
    url.set_path(head.uri.path());
    let (body, id) = (Bytes::copy_from_slice(body.as_bytes()), HeaderValue::from_static(ID));
    let passed_on = node.request(&head, &body, [192, 0, 2, 7].into(), &id, "a", url);
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        format!("{name}: {}\r\n", value.to_str().expect("ASCII"))
    };
    passed_on.headers().iter().map(line).collect()
}

fn with_forwarder(owner: watch::Receiver<RequestTarget>) -> Setup {
    Setup { forwarder: Some(forwarder(owner)), ..Setup::default() }
}

/// A node that has loaded the records if it is their owner.
async fn node(owner: RequestTarget) -> World {
    let is_loaded = matches!(owner, RequestTarget::Local);
    World::with(Setup { is_loaded, ..with_forwarder(watch::channel(owner).1) }).await
}

/// A node for which this one is the owner, and a client that has sent it a request.
async fn asking(owner: RequestTarget) -> (watch::Sender<RequestTarget>, World, Client) {
    let (owner, known) = watch::channel(owner);
    let standby = World::with(with_forwarder(known)).await;
    let mut client = standby.client().await;
    client.send(post("/api/send-otp", &send_body())).await;
    (owner, standby, client)
}

fn peer(address: SocketAddr) -> RequestTarget {
    let url = Url::parse(&format!("http://{address}")).expect("a URL");
    RequestTarget::Peer { node: "b".to_owned(), url }
}
