//! Twilio Verify's API at trace level: no code, no secret and no whole number in any output; no code, no secret, no
//! value of a rate limit and no idempotency key in any file.
//!
//! Two kinds of secret are exceptions: the files have them and the API shows them. They are the signing secrets of
//! webhooks and the code of test numbers, which no message carries.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::prelude::*;

const VALUE: &str = "the-address-of-a-client-203.0.113.77";
const KEY: &str = "idempotency-5f0c2a7e91d84b36";
const TAG: &str = "a-tag-of-the-caller-77aa41";
/// Ten digits: a time or a counter cannot look like it.
const CUSTOM: &str = "7302958146";
const TEST_CODE: &str = "9174620385";
const TEST_NUMBER: &str = "+14155550123";

#[tokio::test]
async fn everything_over_v2_prints_and_stores_nothing_private() {
    let rules = json!({"friendly-name": "Owl Bank", "custom-code": true, "code-length": 10});
    let setup = Setup::new()
        .args(["--log-level", "trace"])
        .config("otp-length", 10)
        .config("webhook-private-addresses", true)
        .config("services", json!({"shop": rules}));
    let (world, root) = World::with_account(setup).await;
    let key = world.setup.new_key(&["--service", "shop", "--scope", "admin,verify"]).await;
    let service = format!("/Services/{}", text(&key, "service_sid"));
    let v2 = V2::with_key_of(&world, &key);
    let mut private = Private::default();
    private.number(TEST_NUMBER.to_owned());
    private.secrets.extend([OWN_TOKEN, text(&key, "secret"), VALUE, KEY].map(str::to_owned));

    // A double receives the events.
    let events = Twilio::start().await;
    let hook = root.webhook(&service, "*", &format!("{}/events", events.base_url())).await;
    root.rate_limit(&service, "address", "4", "3600").await;
    let test_number = [("Pattern", TEST_NUMBER), ("Code", TEST_CODE)];
    assert_eq!(root.post(&format!("{service}/TestNumbers"), &test_number).await.status(), 201);
    what_clients_do(&world, &v2, &service, &mut private).await;
    what_goes_wrong(&world, &v2, &service, &mut private).await;
    what_is_read_nowhere(&world, &mut private).await;
    test_numbers(&v2, &service, &mut private).await;
    let arrived = || async { events.received().len() };
    until("events at the webhook", arrived, |arrived| *arrived > 0).await;
    for event in events.received() {
        let event = String::from_utf8_lossy(&event.body).into_owned();
        assert!(private.codes.iter().all(|code| !event.contains(code)), "an event contains a code: {event}");
    }

    private.codes.extend(world.twilio().codes());
    let World { setup, server, .. } = world;
    setup.command(["export", "--out", "while-it-runs.jsonl"]).await.exits(0);
    let (server, first) = setup.restart(server).await;
    let last = server.stop().await;
    private.server_key(&setup.data_dir());
    // A signing secret belongs in no output.
    let signing = text(&hook, "secret").trim_start_matches("whsec_");
    private.secrets.push(signing.to_owned());
    private.codes.push(TEST_CODE.to_owned());
    private.is_not_in_output(&(first.output + &last.output));
    private.secrets.retain(|secret| secret != signing);
    private.codes.retain(|code| code != TEST_CODE);
    private.is_not_in_files_of(&setup.data_dir());
    let exported = std::fs::read(setup.home().join("while-it-runs.jsonl")).expect("the export");
    assert_eq!(private.found_in(&exported, false), None, "in the export");
}

async fn what_clients_do(world: &World, v2: &V2, service: &str, private: &mut Private) {
    let create = format!("{service}/Verifications");
    // A form with every parameter, twice with the same idempotency key; JSON follows.
    let number = private.number(world.number());
    let (limits, tags) = (json!({"address": VALUE}).to_string(), json!({"campaign": TAG}).to_string());
    let form = [("To", number.as_str()), ("Channel", "sms"), ("RateLimits", &limits), ("Tags", &tags)];
    for _ in 0..2 {
        let begun = v2.post_with(&create, ("idempotency-key", KEY), &form).await.expects_status(201);
        let code = world.twilio().code_for(&number);
        assert!(!begun.text().contains(&code) && !begun.text().contains(VALUE));
    }
    assert_eq!(world.twilio().messages_for(&number).len(), 1);
    let other = [("To", number.as_str()), ("Channel", "sms"), ("Locale", "de")];
    assert_eq!(v2.post_with(&create, ("idempotency-key", KEY), &other).await.status(), 422);
    let code = world.twilio().code_for(&number);
    assert_eq!(v2.checks_number(service, &number, &wrong(&code)).await.status(), 200);
    v2.checks_number(service, &number, &code).await.tells(200, "approved");
    assert_eq!(v2.checks_number(service, &number, &code).await.status(), 404);

    let number = private.number(world.number());
    let body =
        json!({"To": number, "Channel": "sms", "CustomCode": CUSTOM, "RateLimits": {"address": VALUE}});
    let named = sid(&v2.post_json(&create, &body).await.expects_status(201));
    assert_eq!(world.twilio().code_for(&number), CUSTOM);
    private.codes.push(CUSTOM.to_owned());
    let check = json!({"VerificationSid": named, "Code": wrong(CUSTOM)});
    for _ in 0..6 {
        v2.post_json(&format!("{service}/VerificationCheck"), &check).await;
    }
    v2.get(&format!("{create}/{number}")).await;
    v2.post(&format!("{create}/{named}"), &[("Status", "canceled")]).await;
    // The limit is reached.
    let mut refused = 0;
    for _ in 0..4 {
        let number = private.number(world.number());
        let body = json!({"To": number, "Channel": "sms", "RateLimits": {"address": VALUE}});
        refused += u32::from(v2.post_json(&create, &body).await.status() == 429);
    }
    assert_eq!(refused, 2);
}

async fn what_goes_wrong(world: &World, v2: &V2, service: &str, private: &mut Private) {
    let create = format!("{service}/Verifications");
    let troubles = [
        Reply::Refuse { status: 400, code: 21211 },
        Reply::Refuse { status: 400, code: 21610 },
        Reply::Refuse { status: 401, code: 20003 },
        Reply::Refuse { status: 400, code: 60410 },
        Reply::ServerError(500),
        Reply::NotJson,
        Reply::Reset,
    ];
    for (n, trouble) in troubles.into_iter().enumerate() {
        let number = private.number(world.number_with([trouble; 64]));
        let key = format!("{KEY}-{n}");
        let body = [("To", number.as_str()), ("Channel", "sms"), ("CustomCode", CUSTOM)];
        v2.post_with(&create, ("idempotency-key", &key), &body).await;
    }
    let number = private.number(world.number());
    let spoken = one_by_one(CUSTOM);
    for body in [
        json!({"To": [number], "CustomCode": CUSTOM}),
        json!({"To": format!("{number}{number}"), "Channel": CUSTOM}),
        json!({"To": number, "Channel": "sms", "CustomCode": spoken}),
        json!({"To": number, "Channel": "sms", "RateLimits": {VALUE: VALUE}}),
        json!({"To": number, "Channel": "email", "Tags": {TAG: number}}),
        json!({"To": number, "Code": CUSTOM.parse::<u64>().expect("digits")}),
        json!([number, CUSTOM, VALUE]),
    ] {
        for path in [&create, &format!("{service}/VerificationCheck")] {
            assert!(v2.post_json(path, &body).await.status() >= 400, "{body}");
        }
    }
    // Private values in wrong places.
    v2.get(&format!("{create}/{CUSTOM}?Code={CUSTOM}&To=%2B{}", &number[1..])).await;
    v2.get(&format!("{service}/{KEY}/{VALUE}/{number}")).await;
    assert_eq!(V2::with_key(world, OWN_TOKEN, KEY).begins(service, &number).await.status(), 401);
}

/// Private values where the older routes do not read them, and in bytes that are no request.
async fn what_is_read_nowhere(world: &World, private: &mut Private) {
    let number = private.number(world.number());
    for (path, body) in [
        (
            "/api/send-otp",
            json!({"phoneNumber": number, "channel": CUSTOM, "locale": CUSTOM, "appHash": CUSTOM}),
        ),
        ("/api/verify-otp", json!({"user": {"phoneNumber": number}, "code": [CUSTOM]})),
        ("/verify-code", json!({"phoneNumber": [number], "smsCode": CUSTOM})),
    ] {
        world.post(path, body.to_string()).await;
    }
    let digits = &number[1..];
    world.get(&format!("/verify/{digits}/{CUSTOM}")).await;
    for bytes in [
        format!("X{digits} /{CUSTOM} HTTP/1.1\r\nhost: {CUSTOM}\r\n\r\n"),
        format!("{digits} {CUSTOM}\r\n\r\n"),
    ] {
        let mut stream = TcpStream::connect(world.address()).await.expect("a connection");
        stream.write_all(bytes.as_bytes()).await.expect("written");
        stream.read_u8().await.expect("an answer");
    }
}

async fn test_numbers(v2: &V2, service: &str, private: &mut Private) {
    let begun = v2.begins(service, TEST_NUMBER).await.expects_status(201);
    assert!(!begun.text().contains(TEST_CODE));
    v2.checks(service, &sid(&begun), &wrong(TEST_CODE)).await;
    v2.checks(service, &sid(&begun), TEST_CODE).await.tells(200, "approved");
    private.codes.push(wrong(TEST_CODE));
}
