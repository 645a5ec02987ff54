//! The rows of the contract's tables as bytes on the wire; health and the index.

use std::sync::Arc;
use std::time::Duration;

use onceward::clock::ManualClock;
use onceward::config::AnswerSet;
use onceward::domain::Timestamp;
use onceward::gateway::Simulator;
use onceward::http::GatewayHealth;
use onceward::registry::Scope;
use onceward::verification::numbers::{CheckOutcome, SendOutcome};
use onceward_testkit::{
    NUMBER, Reply, Script, Setup, V2World, World, get, root, send_body, sent, sms_code_body, until,
    verify_body,
};

const MINUTES_30: Duration = Duration::from_secs(30 * 60);
const SECONDS_59: Duration = Duration::from_secs(59);
const LOCKED: &str = "User locked out due to exceeding maximum attempts.";
const BAD_BODY: &str = r#"{"code":400,"message":"Invalid request body"}"#;
const FAILED: &str = r#"{"code":500,"message":"Internal server error occurred."}"#;
const USER: &str = r#""user":{"phoneNumber":"+14155552671"}"#;

#[tokio::test]
async fn a_send_is_answered_as_documented() {
    let locked = |minutes: u8| {
        let data = format!(r#"{USER},"ttl":{minutes},"lockout_duration":{minutes}"#);
        format!(r#"{{"code":403,"message":"{LOCKED}","data":{{{data}}}}}"#)
    };
    let sent_body =
        format!(r#"{{"code":200,"message":"OTP send successfully.","data":{{{USER},"trials":5}}}}"#);
    for (outcome, status, body) in [
        (sent(), 200, sent_body),
        (SendOutcome::Locked { until: until(MINUTES_30) }, 403, locked(30)),
        (SendOutcome::Locked { until: until(Duration::from_millis(1)) }, 403, locked(1)),
        (SendOutcome::NumberRefused, 400, BAD_BODY.to_owned()),
        (SendOutcome::GatewayFailed, 500, FAILED.to_owned()),
    ] {
        let world = World::scripted(Script::sends(outcome)).await;
        world.post("/api/send-otp", &send_body()).await.is(status, &body);
    }
}

#[tokio::test]
async fn a_check_is_answered_as_documented() {
    let verified = r#"{"code":200,"message":"OTP verified successfully.","data":"+14155552671"}"#.to_owned();
    let wrong =
        format!(r#"{{"code":401,"message":"Incorrect OTP/ OTP Expired","data":{{{USER},"trials":4}}}}"#);
    let locked =
        format!(r#"{{"code":403,"message":"{LOCKED}","data":{{{USER},"ttl":30,"lockout_duration":30}}}}"#);
    for (outcome, status, body) in [
        (CheckOutcome::Approved, 200, &verified),
        (CheckOutcome::Wrong { attempts_left: 4, live: true }, 401, &wrong),
        (CheckOutcome::Wrong { attempts_left: 4, live: false }, 401, &wrong),
        (CheckOutcome::LockedNow { until: until(MINUTES_30), live: true }, 403, &locked),
        (CheckOutcome::LockedNow { until: until(MINUTES_30), live: false }, 403, &locked),
        (CheckOutcome::Locked { until: until(MINUTES_30) }, 403, &locked),
    ] {
        let world = World::scripted(Script::checks(outcome)).await;
        world.post("/api/verify-otp", &verify_body("123456")).await.is(status, body);
    }
}

/// Minutes are rounded down from the second that Redis rounds to, and left out when they are 0.
#[tokio::test]
async fn as_built_the_minutes_of_a_lockout_are_redis_minutes_on_either_route() {
    let cases =
        [(29 * 60_000, 29), (1_799_499, 29), (59_000, 0), (59_500, 1), (1_799_500, 30), (1_800_000, 30)];
    for (remaining_ms, minutes) in cases {
        let until = until(Duration::from_millis(remaining_ms));
        let ttl = if minutes == 0 { String::new() } else { format!(r#","ttl":{minutes}"#) };
        let message = format!("User is prohibted to make any OTP request, Try after {minutes} minutes");
        let body = format!(r#"{{"code":403,"message":"{message}","data":{{{USER}{ttl}}}}}"#);
        let script = Script::sends(SendOutcome::Locked { until }).or_checks(CheckOutcome::Locked { until });
        let world = as_built(script).await;
        world.post("/api/send-otp", &send_body()).await.is(403, &body);
        world.post("/api/verify-otp", &verify_body("123456")).await.is(403, &body);
    }
}

#[tokio::test]
async fn as_built_a_check_is_answered_as_documented() {
    let verified = format!(r#"{{"code":200,"message":"Successfully verified user","data":"{NUMBER}"}}"#);
    let wrong = |message: &str| {
        format!(r#"{{"code":401,"message":"{message}, Try Again","data":{{{USER},"trials":4}}}}"#)
    };
    let last = "OTP Expired and Max Limit Reached, Try after 30 min";
    let last = format!(r#"{{"code":403,"message":"{last}","data":{{{USER},"ttl":30}}}}"#);
    for (outcome, status, body) in [
        (CheckOutcome::Approved, 200, verified),
        (CheckOutcome::Wrong { attempts_left: 4, live: true }, 500, wrong("Incorrect OTP")),
        (CheckOutcome::Wrong { attempts_left: 4, live: false }, 500, wrong("OTP Expired")),
        (CheckOutcome::LockedNow { until: until(MINUTES_30), live: false }, 500, last),
    ] {
        let world = as_built(Script::checks(outcome)).await;
        world.post("/api/verify-otp", &verify_body("123456")).await.is(status, &body);
    }
}

#[tokio::test]
async fn as_built_a_send_and_bad_bodies_are_answered_as_documented() {
    let message = "Successfully send OTP message";
    let sent_body = format!(r#"{{"code":200,"message":"{message}","data":{{{USER},"trials":5}}}}"#);
    for (outcome, status, body) in [
        (sent(), 200, sent_body.as_str()),
        (SendOutcome::GatewayFailed, 500, FAILED),
        (SendOutcome::NumberRefused, 400, BAD_BODY),
    ] {
        let world = as_built(Script::sends(outcome)).await;
        world.post("/api/send-otp", &send_body()).await.is(status, body);
        world.post("/api/verify-otp", "{}").await.is(400, BAD_BODY);
    }
}

#[tokio::test]
async fn the_spellings_of_go_programs_without_field_tags_are_understood() {
    for field in ["PhoneNumber", "phonenumber"] {
        let world = World::scripted(Script::sends(sent())).await;
        let body = format!(r#"{{"{field}":"{NUMBER}"}}"#);
        assert_eq!(world.post("/api/send-otp", &body).await.status, 200, "{field}");
        let world = World::scripted(Script::checks(CheckOutcome::Approved)).await;
        let body = format!(r#"{{"User":{{"{field}":"{NUMBER}"}},"Code":"123456"}}"#);
        assert_eq!(world.post("/api/verify-otp", &body).await.status, 200, "{field}");
    }
}

#[tokio::test]
async fn as_built_texts_of_the_last_trial_name_the_configured_lockout() {
    let mut setup =
        Setup::scripted(Script::checks(CheckOutcome::LockedNow { until: until(SECONDS_59), live: true }));
    (setup.answers, setup.lockout) = (AnswerSet::AsBuilt, Duration::from_secs(90));
    let reply = World::with(setup).await.post("/api/verify-otp", &verify_body("123456")).await;
    let message = "Incorrect OTP and Max Limit Reached Try after 2 min";
    reply.is(500, &format!(r#"{{"code":403,"message":"{message}","data":{{{USER},"ttl":2}}}}"#));
}

#[tokio::test]
async fn the_tutorial_answers_a_lockout_with_403_and_says_so() {
    let locked = |minutes: &str| {
        format!(
            r#"{{"message":"This phone number is locked out after too many wrong codes. Try again in {minutes}."}}"#
        )
    };
    let remaining = MINUTES_30;
    tutorial_send(SendOutcome::Locked { until: until(remaining) }).await.is(403, &locked("30 minutes"));
    tutorial_check(CheckOutcome::LockedNow { until: until(remaining), live: true })
        .await
        .is(403, &locked("30 minutes"));
    tutorial_check(CheckOutcome::Locked { until: until(SECONDS_59) }).await.is(403, &locked("1 minute"));
}

#[tokio::test]
async fn the_tutorial_answers_gateway_errors_with_502_and_bad_numbers_with_400() {
    let reply = tutorial_send(SendOutcome::GatewayFailed).await;
    assert_eq!(reply.status, 502);
    assert!(reply.body.starts_with(r#"{"message":"#) && reply.body.contains("provider"), "{}", reply.body);
    let reply = tutorial_send(SendOutcome::NumberRefused).await;
    assert_eq!(reply.status, 400);
    assert!(reply.body.starts_with(r#"{"message":"#) && reply.body.contains("number"), "{}", reply.body);
}

#[tokio::test]
async fn healthz_readyz_and_hello_world_answer_when_all_is_well() {
    let world = World::scripted(Script::panics()).await;
    let hello = r#"{"code":200,"message":"Successful Response","data":"Hello world"}"#;
    world.get("/hello-world").await.is(200, hello);
    world.get("/healthz").await.is(200, r#"{"code":200,"message":"alive"}"#);
    world.get("/readyz").await.is(200, r#"{"code":200,"message":"ready"}"#);
}

#[tokio::test]
async fn readyz_tells_strangers_the_part_and_operators_the_reasons_and_every_gateway() {
    let shown = concat!(
        r#""gateways":[{"name":"TwilioMessages","circuit":"closed"},"#,
        r#"{"name":"Mada","circuit":"open","next_try_in_seconds":9,"problem":"the token was refused"}]"#
    );
    let (store, reasons) = (r#""reason":"store""#, r#""reasons":["the disk is full"]"#);
    for (readiness, status, stranger, operator) in [
        (
            Ok(()),
            200,
            r#"{"code":200,"message":"ready"}"#.to_owned(),
            format!(r#"{{"code":200,"message":"ready","data":{{{shown}}}}}"#),
        ),
        (
            Err(vec!["the disk is full".to_owned()]),
            503,
            format!(r#"{{"code":503,"message":"not ready","data":{{{store}}}}}"#),
            format!(r#"{{"code":503,"message":"not ready","data":{{{store},{reasons},{shown}}}}}"#),
        ),
    ] {
        let mut setup = Setup::scripted(Script::panics());
        setup.readiness = readiness;
        let (name, circuit, problem) = ("TwilioMessages", "closed", Some("the token was refused".to_owned()));
        let well = GatewayHealth { name, circuit, next_try_in_seconds: None, problem: None };
        let ill = GatewayHealth { name: "Mada", circuit: "open", next_try_in_seconds: Some(9), problem };
        setup.gateways = vec![well, ill];
        let world = V2World::with(setup).await;
        world.world.get("/readyz").await.is(status, &stranger);
        let [verifies, watches] =
            [world.key(None, &[Scope::Verify]).await, world.key(None, &[Scope::Metrics]).await];
        let root = root();
        for (caller, body) in
            [("AC:wrong", &stranger), (&verifies, &stranger), (&watches, &operator), (&root, &operator)]
        {
            let reply = world.ask("GET", "/readyz", caller, &[], "").await;
            reply.is(status, body);
            assert_eq!(reply.header("retry-after"), (status == 503).then_some("1"));
        }
        assert_eq!(world.get("/healthz").await.status, 200);
    }
}

#[tokio::test]
async fn the_index_is_a_page_for_a_browser_and_json_for_others() {
    let world = with_inbox().await;
    let index = |accept: &str| get("/").replace("\r\n\r\n", &format!("\r\naccept: {accept}\r\n\r\n"));
    for browser in ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Text/HTML;q=0.5"] {
        let reply = world.ask(index(browser)).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/html; charset=utf-8")));
        assert!(reply.body.contains("href=\"/inbox\"") && reply.body.contains("viewport"), "{}", reply.body);
        let policy = reply.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; "), "{policy}");
    }
    for program in ["*/*", "application/json", "text/htmlx"] {
        let reply = world.ask(index(program)).await;
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (200, Some("application/json")),
            "{program}"
        );
    }
}

#[tokio::test]
async fn without_a_simulator_there_is_no_inbox() {
    let world = World::scripted(Script::panics()).await;
    for path in ["/inbox", "/inbox/messages?to=%2B14155552671"] {
        assert_eq!(world.get(path).await.status, 404, "{path}");
        assert_eq!(world.post(path, "").await.status, 404, "{path}");
    }
}

async fn with_inbox() -> World {
    let mut setup = Setup::scripted(Script::panics());
    let clock = ManualClock::starting_at(Timestamp::from_millis(1_000_000));
    setup.inbox = Some(Arc::new(Simulator::new(Arc::new(clock))));
    World::with(setup).await
}

async fn as_built(script: Script) -> World {
    let mut setup = Setup::scripted(script);
    setup.answers = AnswerSet::AsBuilt;
    World::with(setup).await
}

async fn tutorial_send(answer: SendOutcome) -> Reply {
    World::scripted(Script::sends(answer)).await.post("/send-code", &send_body()).await
}

async fn tutorial_check(answer: CheckOutcome) -> Reply {
    World::scripted(Script::checks(answer)).await.post("/verify-code", &sms_code_body("123456")).await
}
