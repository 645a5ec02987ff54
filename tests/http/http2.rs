//! HTTP/2 in memory, without TLS.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper::{Request, StatusCode};
use onceward::clock::ManualClock;
use onceward::gateway::{Gateway as _, Simulator};
use onceward_testkit::{Gate, Memory, Setup, THEN, send_body, send_body_to, verify_body};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::forwarding::local;
use super::inbox::message;

#[tokio::test]
async fn requests_wait_side_by_side_and_not_for_each_other() {
    let gate = Gate::closed();
    let server = Memory::with(Setup::through(gate.clone())).await;
    let (client, _connection) = server.http2().await;
    let held: Vec<_> = (0..100)
        .map(|n| {
            let (mut client, body) = (client.clone(), send_body_to(&format!("+14155552{n:03}")));
            tokio::spawn(async move { ask(&mut client, post("/api/send-otp", body)).await.0 })
        })
        .collect();
    for _ in 0..100 {
        gate.arrival().await;
    }
    let (status, _) = ask(&mut client.clone(), request("GET", "/healthz", String::new())).await;
    assert_eq!(status, 200);
    gate.let_through(100);
    for answer in held {
        assert_eq!(answer.await.expect("no panic"), 200);
    }
}

#[tokio::test]
async fn the_inbox_is_for_the_host_that_the_request_names() {
    let simulator = Simulator::new(Arc::new(ManualClock::starting_at(THEN)));
    let mut setup = Setup { inbox: Some(Arc::new(simulator)), ..Setup::default() };
    "test".clone_into(&mut setup.settings.listen.host);
    let server = Memory::with(setup).await;
    let (mut client, _connection) = server.http2().await;
    let (status, page) = ask(&mut client, request("GET", "/inbox", String::new())).await;
    assert_eq!(status, 200);
    assert!(page.contains("action=\"/inbox\""), "{page}");
    let head =
        client.send_request(request("HEAD", "/inbox/events", String::new())).await.expect("a response");
    assert_eq!(head.headers().get("content-length"), None, "a stream has no length");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_before_its_body_arrives_is_not_reset() {
    for (path, length, status) in [("/nothing", 20, 404), ("/api/send-otp", 100_000, 413)] {
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

#[tokio::test(start_paused = true)]
async fn bodies_that_never_end_do_not_refuse_those_of_others() {
    let mut setup = Setup::default();
    setup.settings.bounds.connections = 200;
    let server = Memory::with(setup).await;
    let unfinished = async |connections: u8, addresses: u8, path: &str| {
        let mut streams = Vec::new();
        for connection in 0..connections {
            let (near, far) = duplex(64 * 1024);
            server.serve_http2_from(far, [192, 0, 2, connection % addresses].into());
            let (mut client, connection) = h2::client::handshake(near).await.expect("a connection");
            tokio::spawn(connection);
            for _ in 0..64 {
                let head = Request::post(format!("http://localhost{path}")).header("content-length", 20);
                client = client.ready().await.expect("a connection");
                streams
                    .push(client.send_request(head.body(()).expect("a request"), false).expect("a stream"));
            }
        }
        streams
    };
    // Sixteen places for each connection, and a quarter for each address.
    let held = unfinished(20, 3, "/api/verify-otp").await;
    let anonymous = unfinished(200, 200, "/admin/sign-in").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut client = server.client();
    let body = verify_body("123456");
    let length = body.len();
    client
        .send(format!("POST /api/verify-otp HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n"))
        .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.send(body).await;
    assert_eq!(client.reply().await.status, 401);
    drop((held, anonymous));
}

#[tokio::test]
async fn too_large_a_head_is_431_without_a_body_and_the_connection_goes_on() {
    let server = Memory::new().await;
    let (mut client, _connection) = server.http2().await;
    let mut large = request("GET", "/healthz", String::new());
    large.headers_mut().insert("x", "y".repeat(20_000).parse().expect("a value"));
    assert_eq!(ask(&mut client, large).await, (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, String::new()));
    let (status, _) = ask(&mut client, request("GET", "/healthz", String::new())).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn when_a_client_hangs_up_its_request_is_dropped() {
    let gate = Gate::closed();
    let server = Memory::with(local(&gate)).await;
    let (mut client, connection) = server.http2().await;
    let held = tokio::spawn(async move { client.send_request(post("/api/send-otp", send_body())).await });
    gate.arrival().await;
    held.abort();
    server.app().forwarder.as_ref().expect("a node").idle().await;
    connection.await.expect("no panic");
}

#[tokio::test]
async fn when_the_server_drops_a_connection_its_requests_end() {
    let gate = Gate::closed();
    let server = Memory::with(local(&gate)).await;
    let (mut client, connection) = server.http2().await;
    let held = tokio::spawn(async move { client.send_request(post("/api/send-otp", send_body())).await });
    gate.arrival().await;
    connection.abort();
    server.app().forwarder.as_ref().expect("a node").idle().await;
    assert!(held.await.expect("no panic").is_err());
}

#[tokio::test]
async fn frames_that_make_no_sense_end_the_connection() {
    let server = Memory::new().await;
    let (mut near, far) = duplex(64 * 1024);
    let connection = server.serve_http2(far);
    let frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nthese are no frames at all, not by far";
    near.write_all(frames).await.expect("room");
    connection.await.expect("no panic");
    near.read_to_end(&mut Vec::new()).await.expect("an end");
}

#[tokio::test]
async fn a_stop_answers_the_held_request_and_ends_the_connection() {
    let gate = Gate::closed();
    let server = Memory::with(Setup::through(gate.clone())).await;
    let (mut client, connection) = server.http2().await;
    let held = tokio::spawn(async move { ask(&mut client, post("/api/send-otp", send_body())).await.0 });
    gate.arrival().await;
    server.stop();
    gate.let_through(1);
    assert_eq!(held.await.expect("no panic"), 200);
    connection.await.expect("ends by itself");
}

#[tokio::test]
async fn a_client_that_takes_no_answer_holds_no_place_of_others() {
    let mut setup = Setup::default();
    let simulator = Simulator::new(Arc::new(ManualClock::starting_at(THEN)));
    for number in 0..100 {
        simulator.send(&message(14_155_552_600 + number, "Code 111111", "111111")).await.expect("accepted");
    }
    setup.inbox = Some(Arc::new(simulator));
    "test".clone_into(&mut setup.settings.listen.host);
    let server = Memory::with(setup).await;
    let (near, far) = duplex(64 * 1024);
    server.serve_http2_from(far, [192, 0, 2, 1].into());
    let mut builder = h2::client::Builder::new();
    let (mut stalled, connection) =
        builder.initial_window_size(0).handshake::<_, Bytes>(near).await.expect("a connection");
    tokio::spawn(connection);
    let mut held = Vec::new();
    // The pages at the end are the same for every client, and need no place.
    for path in ["/inbox"; 9].into_iter().chain(["/", "/docs", "/openapi.json"]) {
        stalled = stalled.ready().await.expect("a connection");
        let page = Request::get(format!("http://test{path}")).body(()).expect("a request");
        held.push(stalled.send_request(page, true).expect("a stream").0.await.expect("a head"));
    }
    let statuses: Vec<_> = held.iter().map(|response| response.status().as_u16()).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 200, 503, 200, 200, 200]);
    let (mut other, _connection) = server.http2().await;
    assert_eq!(ask(&mut other, request("GET", "/inbox", String::new())).await.0, 200);
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The preface and empty settings.
pub const BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A frame (RFC 9113, section 4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET /healthz` on a stream, with more fields behind, uncompressed (RFC 7541): a zero, then name and value.
fn get(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = b"\x82\x86\x04\x08/healthz\x01\x04test".to_vec();
    for (name, value) in more {
        let text = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
        block.extend([vec![0], text(name), text(value)].concat());
    }
    frame(1, 5, stream, &block)
}

/// What the server says to these bytes: the status of stream 1 as its HPACK byte, the code of a reset of it, and the code
/// of its goodbye.
async fn said(server: &Memory, bytes: &[u8]) -> (Option<u8>, Option<u8>, Option<u8>) {
    let (near, far) = duplex(4 * 1024 * 1024);
    let connection = server.serve_http2(far);
    let (mut read, mut write) = tokio::io::split(near);
    // The server may end the connection before all of it is written.
    let _ = write.write_all(bytes).await;
    let (mut head, mut end) = ([0; 9], (None, None, None));
    while read.read_exact(&mut head).await.is_ok() {
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        if read.read_exact(&mut payload).await.is_err() {
            break;
        }
        match (head[3], head[8]) {
            (1, 1) => end.0 = payload.first().copied(),
            (3, 1) => end.1 = payload.last().copied(),
            (7, _) => end.2 = end.2.or(payload.get(7).copied()),
            _ => {}
        }
    }
    connection.await.expect("no panic");
    end
}

/// `:status: 200` in the static table.
const OK: u8 = 0x88;

#[tokio::test(start_paused = true)]
async fn odd_frames_end_their_connection_or_stream_or_nothing() {
    let server = Memory::new().await;
    let headers = |block: &[u8]| frame(1, 5, 1, block);
    let open = get(1, &[]);
    let mut wrong = Vec::new();
    // An error of the connection, by its code; 0 for an end without a goodbye. h2 tells most of them as PROTOCOL_ERROR.
    for (what, frames, code) in [
        ("no settings", frame(6, 0, 0, &[0; 8]), 0),
        ("data of no stream", frame(0, 0, 0, b"x"), 1),
        ("data of an idle stream", frame(0, 1, 1, b"x"), 1),
        ("headers of no stream", frame(1, 5, 0, b"\x82"), 1),
        ("a stream of the server", get(2, &[]), 1),
        ("a priority of no stream", frame(2, 0, 0, &[0; 5]), 1),
        ("a reset of no stream", frame(3, 0, 0, &[0; 4]), 1),
        ("a reset of an idle stream", frame(3, 0, 1, &[0; 4]), 1),
        ("a short reset", [open.clone(), frame(3, 0, 1, &[0; 3])].concat(), 1),
        ("short settings", frame(4, 0, 0, &[0; 5]), 1),
        ("an acknowledgement with settings", frame(4, 1, 0, &[0; 6]), 1),
        ("settings of a stream", frame(4, 0, 1, &[]), 1),
        ("too large a window by settings", frame(4, 0, 0, &[0, 4, 0x80, 0, 0, 0]), 1),
        ("too small a frame by settings", frame(4, 0, 0, &[0, 5, 0, 0, 0, 1]), 1),
        ("a push by settings", frame(4, 0, 0, &[0, 2, 0, 0, 0, 2]), 1),
        ("a push", frame(5, 4, 1, &[0, 0, 0, 2, 0x82]), 1),
        ("a short ping", frame(6, 0, 0, &[0; 7]), 1),
        ("a ping of a stream", frame(6, 0, 1, &[0; 8]), 1),
        ("a goodbye of a stream", frame(7, 0, 1, &[0; 8]), 1),
        ("a short window", frame(8, 0, 0, &[0; 3]), 1),
        ("a window of nothing", frame(8, 0, 0, &[0; 4]), 1),
        ("too large a window", frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), 3),
        ("a window of an idle stream", frame(8, 0, 1, &[0, 0, 0, 1]), 1),
        (
            "a window of nothing of a stream",
            [frame(1, 4, 1, &open[9..]), frame(8, 0, 1, &[0; 4])].concat(),
            1,
        ),
        ("a field in capitals", get(1, &[("Odd", "x")]), 1),
        ("a continuation of nothing", frame(9, 4, 1, b"\x82"), 1),
        ("a frame amid a head", [frame(1, 1, 1, b"\x82"), frame(6, 0, 0, &[0; 8])].concat(), 1),
        ("another stream's continuation", [frame(1, 1, 1, b"\x82"), frame(9, 4, 3, b"")].concat(), 1),
        ("too long a frame", frame(0, 0, 1, &vec![0; 16_385]), 6),
        ("a field that is in no table", headers(b"\xff\xff\x7f"), 1),
        ("a field that is cut off", headers(b"\x82\x00\x7fx"), 1),
        ("more padding than frame", frame(1, 13, 1, b"\x09\x82"), 1),
    ] {
        let beginning = if what == "no settings" { PREFACE } else { BEGINNING };
        let (status, reset, goodbye) = said(&server, &[beginning, &frames].concat()).await;
        if (status, reset, goodbye.unwrap_or(0)) != (None, None, code) {
            wrong.push(format!("{what}: {status:?} {reset:?} {goodbye:?}"));
        }
    }
    // An error of the stream, or of none.
    for (what, frames, status, reset) in [
        ("a field of one connection", get(1, &[("connection", "close")]), None, Some(1)),
        ("a coding that is not served", get(1, &[("te", "gzip")]), None, Some(1)),
        ("a pseudo-field at the end", get(1, &[("odd", "x"), (":path", "/")]), None, Some(1)),
        ("a pseudo-field of answers", get(1, &[(":status", "200")]), None, Some(1)),
        ("no path", headers(b"\x82\x86\x01\x04test"), None, Some(1)),
        ("a frame of no known kind", [frame(0xbe, 0xff, 0, b"odd"), open.clone()].concat(), Some(OK), None),
        ("a priority", [frame(2, 0, 3, &[0, 0, 0, 0, 1]), open.clone()].concat(), Some(OK), None),
        ("unknown settings", [frame(4, 0, 0, &[0xff; 6]), open.clone()].concat(), Some(OK), None),
    ] {
        let (found, was_reset, _) = said(&server, &[BEGINNING, &frames].concat()).await;
        if (found, was_reset) != (status, reset) {
            wrong.push(format!("{what}: {found:?} {was_reset:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(start_paused = true)]
async fn floods_of_frames_end_their_connection_or_nothing() {
    let server = Memory::new().await;
    let amid = [frame(1, 1, 1, b"\x82"), frame(9, 0, 1, b"").repeat(10_000)].concat();
    let streams = (0..5_000).flat_map(|number| get(2 * number + 1, &[])).collect();
    let resets = (0..5_000).flat_map(|number| {
        let stream = 2 * number + 1;
        [get(stream, &[]), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
    });
    for (what, frames) in [
        ("pings", frame(6, 0, 0, &[0; 8]).repeat(20_000)),
        ("settings", frame(4, 0, 0, &[0, 3, 0, 0, 0, 9]).repeat(20_000)),
        ("windows", frame(8, 0, 0, &[0, 0, 0, 1]).repeat(20_000)),
        ("priorities", frame(2, 0, 3, &[0, 0, 0, 0, 1]).repeat(20_000)),
        ("empty data", [frame(1, 4, 1, &get(1, &[])[9..]), frame(0, 0, 1, b"").repeat(20_000)].concat()),
        ("empty continuations", amid),
        ("long fields", (0..200).flat_map(|_| get(1, &[("x", &"y".repeat(100))])).collect()),
        ("streams", streams),
        ("resets", resets.collect()),
    ] {
        let _ = said(&server, &[BEGINNING, &frames].concat()).await;
        let (mut client, _connection) = server.http2().await;
        let (status, _) = ask(&mut client, request("GET", "/healthz", String::new())).await;
        assert_eq!(status, 200, "after a flood of {what}");
    }
}

type Sender = SendRequest<Full<Bytes>>;

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

async fn ask(client: &mut Sender, request: Request<Full<Bytes>>) -> (StatusCode, String) {
    let response = client.send_request(request).await.expect("a response");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("UTF-8"))
}
