//! Generated requests: each gets an answer in the documented shape.

use std::cell::RefCell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::runtime::Runtime;

use super::client::{Client, post};
use super::script::Script;
use super::world::{World, send_body, verify_body};
use crate::numbers::{CheckOutcome, SendOutcome};

const POSTS: [&str; 4] = ["/api/send-otp", "/api/verify-otp", "/send-code", "/verify-code"];

#[test]
fn any_body_is_answered_in_the_shape_of_its_route_and_never_with_5xx() {
    let (runtime, world) = world();
    let client = RefCell::new(runtime.block_on(world.client()));
    TestRunner::deterministic()
        .run(&(0..POSTS.len(), any_body()), |(route, body)| {
            let path = POSTS[route];
            let mut request =
                format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len())
                    .into_bytes();
            request.extend_from_slice(&body);
            let mut client = client.borrow_mut();
            runtime.block_on(client.send(&request));
            let reply = runtime.block_on(client.reply());
            let shape = if path.starts_with("/api/") { r#"{"code":"# } else { r#"{"message":"# };
            prop_assert!(reply.status < 500 && reply.body.starts_with(shape), "{reply:?}");
            Ok(())
        })
        .expect("every case holds");
}

#[test]
fn a_request_with_bytes_changed_is_answered_and_never_with_5xx() {
    let (runtime, world) = world();
    let requests = [post("/api/send-otp", &send_body()), post("/api/verify-otp", &verify_body("123456"))];
    let change = (any::<prop::sample::Index>(), any::<u8>());
    TestRunner::deterministic()
        .run(&(0..requests.len(), vec(change, 1..4)), |(request, changes)| {
            let mut request = requests[request].clone().into_bytes();
            for (place, byte) in changes {
                let place = place.index(request.len());
                request[place] = byte;
            }
            let reply = runtime.block_on(async {
                let mut client = Client::connect(world.address).await;
                client.send(&request).await;
                client.half_close().await;
                client.reply().await
            });
            // hyper answers an unreadable head without a body.
            let is_hypers = reply.status == 400 && reply.body.is_empty();
            let is_known = is_hypers || reply.body.starts_with(r#"{"code":"#);
            prop_assert!(
                reply.status < 500 && is_known,
                "{reply:?} to {:?}",
                request.escape_ascii().to_string()
            );
            Ok(())
        })
        .expect("every case holds");
}

fn world() -> (Runtime, World) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let script = Script::sends(SendOutcome::NumberRefused).or_checks(CheckOutcome::Approved);
    let world = runtime.block_on(World::scripted(script));
    (runtime, world)
}

/// Noise, any JSON, and almost valid bodies.
fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just(",".to_owned()),
        Just(":".to_owned()),
        Just(r#""phoneNumber""#.to_owned()),
        Just(r#""user""#.to_owned()),
        Just(r#""code""#.to_owned()),
        Just(r#""channel""#.to_owned()),
        Just(r#""appHash""#.to_owned()),
        Just(r#""smsCode""#.to_owned()),
        Just(r#""+14155552671""#.to_owned()),
        Just("null".to_owned()),
        any::<f64>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| format!("{text:?}")),
    ];
    let almost_good = |text: String| {
        let number = serde_json::Value::from(text.clone());
        format!(
            r#"{{"user":{{"phoneNumber":{number}}},"phoneNumber":{number},"code":{number},"smsCode":{number}}}"#
        )
    };
    let wish = |(field, text): (&str, String)| {
        let text = serde_json::Value::from(text);
        format!(r#"{{"phoneNumber":"+14155552671","{field}":{text}}}"#).into_bytes()
    };
    let fields = prop::sample::select(vec!["channel", "locale", "appHash"]);
    let values = prop_oneof![any::<String>(), "[a-zA-Z-]{0,12}", "[a-zA-Z0-9+/]{11}", Just("sms".to_owned())];
    prop_oneof![
        (fields, values).prop_map(wish),
        vec(any::<u8>(), 0..200),
        vec(piece, 0..30).prop_map(|pieces| pieces.concat().into_bytes()),
        "[+0-9 ()-]{0,20}".prop_map(almost_good).prop_map(String::into_bytes),
        any::<String>().prop_map(almost_good).prop_map(String::into_bytes),
    ]
}
