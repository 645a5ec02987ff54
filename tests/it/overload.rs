//! More load than the machine or its limits can take (`docs/reference/configuration.md`): the server refuses it by name
//! and soon, serves others, and keeps what it accepted. `docs/operate/sizing.md` says what it refuses when.

use std::net::SocketAddr;

use futures_util::{StreamExt as _, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::prelude::*;

/// The server's default limit.
const LIMIT: usize = 10_000;
/// Places for well-behaved clients.
const GOOD: usize = 50;
/// File descriptors that the server needs besides its connections; more than `crates/library/src/node/process.rs` reserves.
const OTHER_FILES: u64 = 1_000;
/// Memory for each slow connection, in KiB: several times the measured value.
const KIB_EACH: u64 = 64;

#[tokio::test]
async fn a_flood_of_new_numbers_is_refused_by_name_and_known_ones_are_served() {
    let world = World::with([("max-numbers", json!(20))]).await;
    let known = numbers_with_codes(&world, 20).await;
    for _ in 0..50 {
        is_full(&world.send(&world.number()).await);
    }
    // The server answers a check of an unknown number without using room.
    assert_eq!(world.verify(&world.number(), "123456").await.status(), 401);
    let (first, _) = &known[0];
    world.send(first).await.expects(sent(first, 5));
    world.server.readiness().await.expects_status(200);
    assert_eq!(world.twilio().received().len(), 21, "nothing was sent to those who were refused");

    let (number, code) = &known[1];
    world.verify(number, code).await.expects(verified(number));
    let new = world.number();
    world.send(&new).await.expects(sent(&new, 5));
    is_full(&world.send(number).await);

    assert!(world.server.line("requests refused").await["count"].as_u64() >= Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_slow_connections_exclude_no_good_client_and_end_in_time() {
    let limit = as_many_as_files_allow();
    if limit < LIMIT {
        println!("the limit on open files allows {limit} connections instead of {LIMIT}");
    }
    let settings = [
        ("max-connections", json!(limit)),
        ("bounds.header-timeout", json!(6_000)),
        ("bounds.body-timeout", json!(6_000)),
        // No log line for each connection.
        ("log-level", json!("info")),
    ];
    let world = World::with(settings).await;
    let mut known = numbers_with_codes(&world, 20).await;
    let before = world.server.memory_mib("VmRSS");
    let slow = open_slow(&world, limit - GOOD).await;
    assert!(slow.len() > limit / 2, "{} were opened", slow.len());

    // While there is room the server serves others. On a slow machine the connection from before has reached its end.
    let others = Client::new(world.address());
    for (number, code) in known.drain(..10) {
        others.verify(&number, &code).await.expects(verified(&number));
    }
    let with_all = world.server.memory_mib("VmRSS");
    let allowed = before + 200 + limit as u64 * KIB_EACH / 1024;
    assert!(with_all < allowed, "{before} MiB became {with_all} MiB, at most {allowed} were allowed");

    // Beyond the limit others wait, until the time limits end the slow connections, although their clients keep them open.
    let more = open_slow(&world, 2 * GOOD).await;
    let others = Client::new(world.address());
    for (number, code) in known {
        others.verify(&number, &code).await.expects(verified(&number));
    }
    for stream in slow.into_iter().chain(more) {
        soon("an end", ended(stream)).await;
    }
    world.until_ready().await;
    println!("{limit} connections: {before} MiB before, {with_all} MiB with them");
}

#[tokio::test]
async fn long_answers_that_no_client_reads_hold_little_memory() {
    let authority = Authority::new();
    let mut world = World::of(authority.issue().configure(Setup::new())).await;
    world.server.client = world.server.client.over_tls(authority.client(&["http/1.1"]));
    world.get("/openapi.json").await;
    let before = world.server.memory_mib("VmRSS");
    // RFC 9113, frame by frame: the largest windows for answers, and the requests.
    let mut frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frames.extend(b"\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff\0\0\x04\x08\0\0\0\0\0\x7f\xff\0\0");
    for stream in (1..200_u8).step_by(2) {
        frames.extend([0, 0, 20, 1, 5, 0, 0, 0, stream]);
        frames.extend(b"\x82\x86\x04\x0d/openapi.json\x01\x01t");
    }
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = encrypted(&world.server, authority.client(&["h2"])).await;
        client.write_all(&frames).await.expect("written");
        // Until its first bytes arrive; the client reads no more.
        client.read_u8().await.expect("an answer");
        clients.push(client);
    }
    let (number, code) = world.number_with_code().await;
    world.verify(&number, &code).await.expects(verified(&number));
    let after = world.server.memory_mib("VmRSS");
    assert!(after < before + 20, "{before} MiB became {after} MiB");
}

/// Opens slow connections of every kind in turn. The server closes some before they are ready.
async fn open_slow(world: &World, count: usize) -> Vec<TcpStream> {
    let opening = stream::iter((0..count).map(|index| open_slow_one(world.address(), index)));
    let opened: Vec<_> = soon("slow connections", opening.buffer_unordered(256).collect()).await;
    opened.into_iter().flatten().collect()
}

/// Opens a connection that is slow in one of the ways of clients. `None` if the server refused it.
async fn open_slow_one(address: SocketAddr, index: usize) -> Option<TcpStream> {
    let begin = "POST /api/verify-otp HTTP/1.1\r\nhost: t\r\ncontent-length: 90\r\n";
    let ask = "GET /nothing HTTP/1.1\r\nhost: t\r\n\r\n";
    let sent = [
        // Nothing.
        String::new(),
        // One request, and never another.
        ask.to_owned(),
        // A head without its end.
        begin.to_owned(),
        // A head without its body.
        format!("{begin}\r\n{{\"user\""),
        // Requests whose answers the client never reads.
        ask.repeat(20),
        // A head within which the client closes its side.
        begin.to_owned(),
    ];
    let (kind, closes_its_side) = (index % sent.len(), sent.len() - 1);
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(sent[kind].as_bytes()).await.ok()?;
    if kind == closes_its_side {
        stream.shutdown().await.ok()?;
    }
    Some(stream)
}

/// Reads until the connection ends in any way.
async fn ended(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// Raises the limit of this process. The server inherits it, and also raises it itself.
fn as_many_as_files_allow() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("a higher limit of our own");
    let Some(files) = maximum else { return LIMIT };
    let fitting = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX);
    LIMIT.min(fitting.saturating_sub(4 * GOOD))
}

async fn numbers_with_codes(world: &World, numbers: usize) -> Vec<(String, String)> {
    let mut known = Vec::new();
    for _ in 0..numbers {
        known.push(world.number_with_code().await);
    }
    known
}

#[track_caller]
fn is_full(answer: &HttpResponse) {
    let message = "Too many numbers are being verified. Try again shortly.";
    assert_eq!(answer.expects_refusal(503).json()["message"], message);
}
