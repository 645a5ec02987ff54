//! Bodies that make no sense, on every route: always the contract's answer, never a lost
//! connection, a panic or a message.

use serde_json::json;

use crate::support::documented::{bad_request, incorrect, sent};
use crate::support::{World, wrong};

#[tokio::test]
async fn a_body_that_is_not_the_right_json_is_refused_on_every_route() {
    let world = World::new().await;
    for body in senseless() {
        for path in ["/api/send-otp", "/api/verify-otp"] {
            world.post(path, body.clone()).await.expects(bad_request());
        }
        for path in ["/send-code", "/verify-code"] {
            let answer = world.post(path, body.clone()).await;
            assert_eq!(answer.status(), 400, "{path} {}", String::from_utf8_lossy(&body));
            assert!(answer.json()["message"].is_string(), "{}", answer.text());
        }
    }
    assert!(world.twilio.received().is_empty(), "no message for a senseless request");
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_refused() {
    let world = World::new().await;
    let wrong_types = [json!(null), json!(14_155_552_671_u64), json!(1.5), json!(true), json!([]), json!({})];
    for value in &wrong_types {
        let bodies = [
            ("/api/send-otp", json!({"phoneNumber": value})),
            ("/api/verify-otp", json!({"user": value, "code": "123456"})),
            ("/api/verify-otp", json!({"user": {"phoneNumber": value}, "code": "123456"})),
            ("/api/verify-otp", json!({"user": {"phoneNumber": "+14155552671"}, "code": value})),
        ];
        for (path, body) in bodies {
            world.post(path, body.to_string()).await.expects(bad_request());
        }
        let body = json!({"phoneNumber": "+14155552671", "smsCode": value});
        assert_eq!(world.post("/verify-code", body.to_string()).await.status(), 400);
    }
}

#[tokio::test]
async fn a_missing_field_is_refused() {
    let world = World::new().await;
    for body in [
        json!({}),
        json!({"user": {}, "code": "123456"}),
        json!({"user": {"phoneNumber": "+14155552671"}}),
        json!({"code": "123456"}),
        json!({"phoneNumber": "+14155552671", "code": "123456"}),
    ] {
        world.post("/api/verify-otp", body.to_string()).await.expects(bad_request());
    }
    for body in [json!({}), json!({"user": {"phoneNumber": "+14155552671"}}), json!({"PhoneNumber2": "x"})] {
        world.post("/api/send-otp", body.to_string()).await.expects(bad_request());
    }
}

#[tokio::test]
async fn a_refused_body_costs_no_trial() {
    let world = World::new().await;
    let (number, code) = world.number_with_code().await;
    for body in [
        json!({"user": {"phoneNumber": number}, "code": 123_456}),
        json!({"user": {"phoneNumber": number}, "code": ""}),
        json!({"user": {"phoneNumber": number}}),
    ] {
        for _ in 0..5 {
            world.post("/api/verify-otp", body.to_string()).await.expects(bad_request());
        }
    }
    world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, 4));
}

#[tokio::test]
async fn a_body_with_unusual_but_good_json_is_understood() {
    let world = World::new().await;
    let number = world.number();
    let padded = format!("\r\n\t {{ \"phoneNumber\" :\n \"{number}\" }} \n\n");
    world.post("/api/send-otp", padded).await.expects(sent(&number, 5));
    let escaped = number.replace('+', "\\u002b").replace('5', "\\u0035");
    world.post("/api/send-otp", format!(r#"{{"phoneNumber":"{escaped}"}}"#)).await.expects(sent(&number, 5));
    let filler = "x".repeat(15_000);
    let large = json!({"phoneNumber": number, "filler": filler}).to_string();
    world.post("/api/send-otp", large).await.expects(sent(&number, 5));
}

fn senseless() -> Vec<Vec<u8>> {
    let mut bodies: Vec<Vec<u8>> = [
        "",
        " ",
        "{",
        "}",
        "{}",
        "[]",
        "null",
        "true",
        "0",
        "1e999",
        "\"+14155552671\"",
        "NaN",
        "{\"phoneNumber\"}",
        "{\"phoneNumber\":}",
        "{'phoneNumber':'+14155552671'}",
        "{\"phoneNumber\":\"+14155552671\"",
        "{\"phoneNumber\":\"+14155552671\"}}",
        "{\"phoneNumber\":\"+14155552671\"} and more",
        "{\"phoneNumber\":\"+1415\\ud800\"}",
        "{\"phoneNumber\":\"\\u0000\"}",
        "phoneNumber=%2B14155552671",
        "<phoneNumber>+14155552671</phoneNumber>",
        "\u{feff}{}",
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    bodies.push(b"{\"phoneNumber\":\"\xff\xfe\"}".to_vec());
    bodies.push(vec![0; 1_000]);
    bodies.push((0..=255).collect());
    // Deep nesting must not end the program's stack.
    bodies.push("[".repeat(16_000).into_bytes());
    bodies.push("{\"user\":".repeat(2_000).into_bytes());
    bodies.push(format!("{}{}", "[".repeat(8_000), "]".repeat(8_000)).into_bytes());
    bodies
}
