//! No code, no secret and no whole number in any output, and no code, no secret, no value of a rate limit and no
//! idempotency key in any file, whatever clients and gateways do.
//!
//! Two kinds of secret are exceptions: the files have them and the API shows them. They are the signing secrets of
//! webhooks and the code of test numbers, which no message carries.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::twilio_refuses;
use crate::support::prelude::*;

const VALUE: &str = "the-address-of-a-client-203.0.113.77";
const KEY: &str = "idempotency-5f0c2a7e91d84b36";
/// Ten digits: a time or a counter in the log cannot look like a code.
const CUSTOM: &str = "7302958146";
const TEST_CODE: &str = "9174620385";
const TEST_NUMBER: &str = "+14155550123";

type Several = Running<(Twilio, Vonage)>;

async fn several(gateways: &str) -> Several {
    let doubles = (Twilio::start().await, Vonage::start().await);
    let setup = through(&doubles.0.base_url(), V2::account(Setup::new()))
        .args(["--log-level", "trace"])
        .env("TWILIO_WHATSAPP_NUMBER", WHATSAPP_SENDER)
        .config("otp-length", 10)
        .config("send-budget", "1s")
        .config("voice", true)
        .config("voice-gate", true)
        .config("public-url", PUBLIC_URL)
        .config("webhook-private-addresses", true)
        .config("workflow", json!(["sms:1s", "call:1s", "sms"]))
        .config("sms", json!({"retry": true, "max_retries": 2}))
        .config("bounds.breaker-failures", 100)
        .env("TWILIO_SERVICES_ID", VERIFY_SID)
        .config("gateways", json!({ "vonage": vonage(&doubles.1.base_url()) }))
        .config("otp-sms-provider", gateways);
    let server = setup.start().await;
    Running { doubles, setup, server, numbers: Numbers::default() }
}

#[tokio::test]
async fn the_scenario_prints_and_stores_nothing_private_with_every_gateway() {
    let mut private = Private::default();
    for gateways in ["Twilio;vonage", "TwilioVerify;vonage", "vonage;Twilio"] {
        let mut world = several(gateways).await;
        let shop = Shop::opened(&world, &mut private).await;
        shop.everything_works(&world, &mut private).await;
        what_is_read_nowhere(&world, &mut private).await;
        everything_works(&world, &mut private).await;
        everything_fails(&world, &shop, &mut private).await;
        let exported = export(&world.setup, "while-it-runs.jsonl").await.concat();
        let mut output = world.server.output().text();
        world = world.restart_after_kill().await;
        everything_works(&world, &mut private).await;
        let listed = world.setup.command(["tracker", "--json"]).await.output;
        let (world, finished) = world.restart().await;
        output += &finished.output;
        output += &world.server.output().text();

        private.codes.extend([world.doubles.0.codes(), world.doubles.1.codes()].concat());
        private.server_key(&world.setup.data_dir());
        private.is_not_in_files_of(&world.setup.data_dir());
        assert_eq!(private.search(false).finds_in(exported.as_bytes()), None, "in the export");
        // Shorter codes look like parts of ids.
        let mut codes = private.codes.iter().filter(|code| code.len() >= 10);
        assert!(codes.all(|code| !listed.contains(code)), "the tracker lists a code");
        private.secrets.push(shop.signing_secret);
        private.codes.push(TEST_CODE.to_owned());
        private.is_not_in_output(&output);
        private.secrets.pop();
        private.codes.pop();
    }
    assert!(private.codes.len() > 30, "the scenario sends codes");
}

#[tokio::test]
async fn the_code_in_the_place_of_an_id_or_of_an_error_code_is_in_no_log_line() {
    let (world, v2) = World::with_account(Setup::new().args(["--log-level", "trace"])).await;
    let number = world.number_with([Reply::AcceptWithItsCode]);
    world.send_code(&number).await.expects_status(200);
    let rows = world.tracked(&number).await;
    let kept = format!("m-{}-{}", &number[1..], world.twilio().code_for(&number));
    assert_eq!(text(&rows[0], "message_id"), kept, "the provider's receipts name it");
    let service = v2.service(&[("CustomCodeEnabled", "true")]).await;
    for code in ["792680", "007926", "4711"] {
        let refused = world.number_with([Reply::RefuseWithItsCode]);
        v2.begins_with(&service, &refused, &[("CustomCode", code)]).await;
    }
    let output = world.server.stop().await.output;
    assert!(output.contains("message accepted"), "{output}");
    assert!(!output.contains(&kept) && !output.contains(&number[1..]), "the log has the id");
    let failures: Vec<_> = output.lines().filter(|line| line.contains("message not sent")).collect();
    let names_a_code = |line: &&str| line.contains("\"code\":") || line.contains(" code=");
    assert!(failures.len() >= 3 && !failures.iter().any(names_a_code), "{output}");
}

/// A service, and a key for it.
struct Shop {
    path: String,
    v2: V2,
    signing_secret: String,
    events: Receiver,
}

impl Shop {
    async fn opened(world: &Several, private: &mut Private) -> Self {
        let (account, events) = (V2::of(world), Receiver::start().await);
        let path = account.service(&[("CodeLength", "10"), ("CustomCodeEnabled", "true")]).await;
        let sid = path.trim_start_matches("/Services/");
        let key = world.setup.new_key(&["--service", sid, "--scope", "admin,verify"]).await;
        private.secrets.extend([OWN_TOKEN, text(&key, "secret"), VALUE, KEY].map(str::to_owned));
        let hook = account.webhook(&path, "*", &events.url()).await;
        account.rate_limit(&path, "address", "4", "3600").await;
        let test_number = [("Pattern", TEST_NUMBER), ("Code", TEST_CODE)];
        account.post(&format!("{path}/TestNumbers"), &test_number).await.expects_status(201);
        let signing_secret = text(&hook, "secret").trim_start_matches("whsec_").to_owned();
        Self { path, v2: V2::with_key_of(world, &key), signing_secret, events }
    }

    /// A form with every parameter, twice with the same idempotency key, and JSON; wrong and right codes; private values in
    /// wrong places; a test number.
    async fn everything_works(&self, world: &Several, private: &mut Private) {
        let Self { path, v2, events, .. } = self;
        let (create, check) = (format!("{path}/Verifications"), format!("{path}/VerificationCheck"));
        let number = private.number(world.number());
        let (limits, tags) = (json!({ "address": VALUE }).to_string(), json!({ "a": "tag" }).to_string());
        let form = [("To", number.as_str()), ("Channel", "sms"), ("RateLimits", &limits), ("Tags", &tags)];
        for _ in 0..2 {
            let asks = || v2.post_with(&create, ("idempotency-key", KEY), &form);
            let begun = until("a verification", asks, |answer| answer.status() == 201).await.text();
            assert!(!begun.contains(&last_code(world, &number)) && !begun.contains(VALUE), "{begun}");
        }
        let other = [("To", number.as_str()), ("Channel", "sms"), ("Locale", "de")];
        v2.post_with(&create, ("idempotency-key", KEY), &other).await.expects_status(422);
        let code = last_code(world, &number);
        for code in [wrong(&code), code.clone(), code] {
            v2.checks_number(path, &number, &code).await;
        }
        events.arrived(1).await;
        let codes = [world.doubles.0.codes(), world.doubles.1.codes()].concat();
        for event in events.received() {
            let event = String::from_utf8_lossy(&event.body);
            assert!(codes.iter().all(|code| !event.contains(code)), "an event contains a code: {event}");
        }

        let number = private.number(world.number());
        private.codes.push(CUSTOM.to_owned());
        let (to, limits) = (&number, json!({ "address": VALUE }));
        let body = json!({ "To": to, "Channel": "sms", "CustomCode": CUSTOM, "RateLimits": limits });
        let asks = || v2.post_json(&create, &body);
        let begun = sid(&until("a verification", asks, |answer| answer.status() == 201).await);
        let guess = json!({ "VerificationSid": begun, "Code": wrong(CUSTOM) });
        for _ in 0..6 {
            v2.post_json(&check, &guess).await;
        }
        v2.get(&format!("{create}/{number}")).await;
        v2.post(&format!("{create}/{begun}"), &[("Status", "canceled")]).await;
        // The limit is reached.
        let mut statuses = Vec::new();
        for _ in 0..4 {
            let number = private.number(world.number());
            let body = json!({ "To": number, "Channel": "sms", "RateLimits": limits });
            statuses.push(v2.post_json(&create, &body).await.status());
        }
        assert!(statuses.contains(&429), "{statuses:?}");

        let spoken = CUSTOM.chars().map(String::from).collect::<Vec<_>>().join(". ");
        for body in [
            json!({ "To": [to], "CustomCode": CUSTOM }),
            json!({ "To": format!("{to}{to}"), "Channel": CUSTOM }),
            json!({ "To": to, "Channel": "sms", "CustomCode": spoken }),
            json!({ "To": to, "Channel": "sms", "RateLimits": { VALUE: VALUE } }),
            json!({ "To": to, "Channel": "email", "Tags": { "a": to } }),
            json!({ "To": to, "Code": CUSTOM.parse::<u64>().expect("digits") }),
            json!([to, CUSTOM, VALUE]),
        ] {
            for path in [&create, &check] {
                assert!(v2.post_json(path, &body).await.status() >= 400, "{body}");
            }
        }
        v2.get(&format!("{create}/{CUSTOM}?Code={CUSTOM}&To=%2B{}", &number[1..])).await;
        v2.get(&format!("{path}/{KEY}/{VALUE}/{number}")).await;
        V2::with_key(world, OWN_TOKEN, KEY).begins(path, &number).await.expects_status(401);

        let begun = v2.begins(path, TEST_NUMBER).await.expects_status(201);
        assert!(!begun.text().contains(TEST_CODE));
        v2.checks(path, &sid(&begun), &wrong(TEST_CODE)).await;
        v2.checks(path, &sid(&begun), TEST_CODE).await.tells(200, "approved");
        private.number(TEST_NUMBER.to_owned());
        private.codes.push(wrong(TEST_CODE));
    }
}

/// Private values where the older routes do not read them, and in bytes that are no request.
async fn what_is_read_nowhere(world: &Several, private: &mut Private) {
    let number = private.number(world.number());
    let unread = json!({ "phoneNumber": number, "channel": CUSTOM, "locale": CUSTOM, "appHash": CUSTOM });
    for (path, body) in [
        ("/api/send-otp", unread),
        ("/api/verify-otp", json!({ "user": { "phoneNumber": number }, "code": [CUSTOM] })),
        ("/verify-code", json!({ "phoneNumber": [number], "smsCode": CUSTOM })),
    ] {
        world.post(path, body.to_string()).await;
    }
    let digits = &number[1..];
    world.get(&format!("/verify/{digits}/{CUSTOM}")).await;
    for bytes in [
        format!("X{digits} /{CUSTOM} HTTP/1.1\r\nhost: {CUSTOM}\r\n\r\n"),
        format!("{digits} {CUSTOM}\r\n\r\n"),
    ] {
        let mut stream = world.connection().await;
        stream.write_all(bytes.as_bytes()).await.expect("written");
        stream.read_u8().await.expect("an answer");
    }
}

/// Sent, wrong, right, again; by every channel; with reports and a workflow.
async fn everything_works(world: &Several, private: &mut Private) {
    for channel in ["sms", "call", "whatsapp"] {
        let number = private.number(world.number());
        let body = json!({ "phoneNumber": number, "channel": channel }).to_string();
        world.post("/api/send-otp", body).await;
        let code = last_code(world, &number);
        world.verify(&number, &wrong(&code)).await;
        world.verify(&number, &code).await;
        world.verify(&number, &code).await;
    }
    let number = private.number(world.number());
    world.send(&number).await;
    for message in world.doubles.0.received_for(&number) {
        if !message.field("StatusCallback").is_empty() {
            let report = Report::about(&message, "undelivered");
            report.clone().signed_with("another token").send(world).await;
            report.send(world).await;
        }
    }
    // The answer of the tutorial's route has the id of the message.
    let number = private.number(world.number());
    let answer = world.send_code(&number).await;
    let code = last_code(world, &number);
    assert!(!answer.text().contains(&code), "an answer must not contain the code: {}", answer.text());
    world.verify_code(&number, &code).await;
    // Locked.
    let number = private.number(world.number());
    world.send(&number).await;
    for _ in 0..6 {
        world.verify(&number, "1234567890").await;
    }
}

async fn everything_fails(world: &Several, shop: &Shop, private: &mut Private) {
    let troubles = [
        twilio_refuses(21_211),
        twilio_refuses(21_610),
        twilio_refuses(21_614),
        twilio_refuses(99_999),
        twilio_refuses(30_450),
        Reply::Refuse { status: 401, code: 20_003 },
        Reply::Refuse { status: 200, code: 99 },
        Reply::Busy,
        Reply::ServerError(500),
        Reply::NotJson,
        Reply::Reset,
        Reply::Hang,
    ];
    for (turn, trouble) in troubles.into_iter().enumerate() {
        let number = private.number(world.number());
        let (twilio, vonage) = &world.doubles;
        twilio.plan(&number, [trouble; 16]);
        vonage.plan(&number, [trouble; 16]);
        world.send(&number).await;
        world.send_code(&number).await;
        let (create, key) = (format!("{}/Verifications", shop.path), format!("{KEY}-{turn}"));
        let form = [("To", number.as_str()), ("Channel", "sms"), ("CustomCode", CUSTOM)];
        shop.v2.post_with(&create, ("idempotency-key", &key), &form).await;
        // The check fails in the same way.
        let number = private.number(world.number());
        world.send(&number).await;
        twilio.plan_checks(&number, [trouble]);
        let code = last_code(world, &number);
        world.verify(&number, &code).await;
    }
    world.server.let_writes_fail();
    let number = private.number(world.number());
    world.send(&number).await;
    world.verify(&number, "1234567890").await;
    world.server.let_writes_succeed();
    let number = private.number(world.number());
    until("the recovery", || world.send(&number), |answer| answer.status() == 200).await;
}

/// The last code that any gateway sent to a number, or a placeholder.
fn last_code(world: &Several, number: &str) -> String {
    let (twilio, vonage) = &world.doubles;
    let code = vonage.last_code_for(number).or_else(|| twilio.last_code_for(number));
    code.unwrap_or_else(|| "1234567890".to_owned())
}
