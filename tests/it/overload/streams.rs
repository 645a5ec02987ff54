//! HTTP/2 that no client should send, frame by frame (RFC 9113).

use std::collections::HashMap;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::frames::{Frames, HEADERS};
use super::numbers_with_codes;
use crate::support::documented::verified;
use crate::support::{Setup, V2, encrypted, over_tls, soon, until};

/// The status of each stream, read until there are `wanted` or the connection ends.
async fn statuses(stream: &mut TlsStream<TcpStream>, wanted: usize) -> HashMap<u32, Vec<u8>> {
    let mut found = HashMap::new();
    while found.len() < wanted {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            break;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.expect("a whole frame");
        if head[3] == HEADERS {
            found.insert(u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload);
        }
    }
    found
}

#[tokio::test]
async fn slow_bodies_beyond_the_limit_are_refused_and_keep_no_client_out() {
    let settings = Setup::new().config("max-connections", json!(4)).config("body-timeout", json!("2s"));
    let (world, authority) = over_tls(settings).await;
    let (number, code) = world.number_with_code().await;
    let mut attacker = encrypted(&world.server, authority.client(&["h2"])).await;
    let streams = (0..30).fold(Frames::begin(), |frames, _| frames.post_in_part());
    attacker.write_all(&streams.bytes()).await.expect("written");
    // Four bodies may be incomplete at the same time, as many as connections; the server refuses the others at once.
    let refused = soon("refusals", statuses(&mut attacker, 26)).await;
    assert_eq!(refused.len(), 26);

    world.verify(&number, &code).await.expects(verified(&number));
    let rest = soon("time-outs", statuses(&mut attacker, 4)).await;
    assert!(rest.keys().all(|stream| !refused.contains_key(stream)), "each stream has one answer");

    // The places of the timed-out streams are free again.
    let more = (0..4).fold(Frames::going_on(61), |frames, _| frames.post_in_part());
    attacker.write_all(&more.bytes()).await.expect("written");
    world.post("/api/verify-otp", "{}").await.expects_status(400);
    assert_eq!(soon("time-outs", statuses(&mut attacker, 4)).await.len(), 4);
}

#[tokio::test]
async fn thousands_of_streams_that_are_reset_at_once_disturb_no_client() {
    let (world, authority) = over_tls(Setup::new()).await;
    let mut known = numbers_with_codes(&world, 5).await;
    let before = world.server.resident_mib();
    let mut attackers = Vec::new();
    for _ in 0..4 {
        let mut attacker = encrypted(&world.server, authority.client(&["h2"])).await;
        let frames = (0..5_000).fold(Frames::begin(), |frames, _| frames.post_and_reset());
        // The server may end the connection before all of it is written.
        let _ = soon("the flood", attacker.write_all(&frames.bytes())).await;
        attackers.push(tokio::spawn(async move {
            let _ = tokio::io::copy(&mut attacker, &mut tokio::io::sink()).await;
            let _ = attacker.shutdown().await;
        }));
        let (number, code) = known.pop().expect("a known number");
        world.verify(&number, &code).await.expects(verified(&number));
    }
    let (number, code) = known.pop().expect("a known number");
    world.verify(&number, &code).await.expects(verified(&number));
    until("ready", || world.get("/readyz"), |answer| answer.status() == 200).await;
    let after = world.server.resident_mib();
    assert!(after < before + 200, "{before} MiB became {after} MiB");
    for attacker in attackers {
        attacker.abort();
    }
}

#[tokio::test]
async fn long_answers_that_nobody_takes_hold_little_memory() {
    let (world, authority) = over_tls(Setup::new()).await;
    world.get("/openapi.json").await;
    let before = world.server.resident_mib();
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = encrypted(&world.server, authority.client(&["h2"])).await;
        let frames =
            (0..100).fold(Frames::begin_with_largest_windows(), |frames, _| frames.get_a_long_answer());
        client.write_all(&frames.bytes()).await.expect("written");
        // Until its first bytes arrive; the client reads no more.
        client.read_u8().await.expect("an answer");
        clients.push(client);
    }
    let (number, code) = world.number_with_code().await;
    world.verify(&number, &code).await.expects(verified(&number));
    let after = world.server.resident_mib();
    println!("{before} MiB became {after} MiB");
    assert!(after < before + 20, "{before} MiB became {after} MiB");
}

#[tokio::test]
async fn a_wrong_sign_in_is_answered_while_eight_pages_are_not_read() {
    let (world, authority) = over_tls(V2::account(Setup::new())).await;
    let connection = TokioIo::new(encrypted(&world.server, authority.client(&["h2"])).await);
    let mut client = http2::Builder::new(TokioExecutor::new());
    // A stream takes a part of a page only.
    let (mut client, connection) =
        client.initial_stream_window_size(1_000).handshake(connection).await.expect("a handshake");
    tokio::spawn(connection);
    let mut unread = Vec::new();
    for _ in 0..9 {
        let form = Full::<Bytes>::from("user=mallory&secret=wrong");
        let request = Request::post(format!("https://{}/admin/sign-in", world.address()));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        let response = client.send_request(request.expect("a request")).await.expect("a response");
        assert_eq!(response.status(), 401);
        unread.push(response);
    }
    let mut pages_with_the_user = Vec::new();
    for response in unread {
        let page = response.into_body().collect().await.expect("a page").to_bytes();
        pages_with_the_user.push(String::from_utf8_lossy(&page).contains("mallory"));
    }
    assert_eq!(pages_with_the_user, [[true; 8].as_slice(), &[false]].concat());
}
