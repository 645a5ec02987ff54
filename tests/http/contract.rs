//! The rows of the contract's tables as bytes on the wire, but for those that `tests/it` compares byte by byte; health and
//! the index.

use std::sync::Arc;
use std::time::Duration;

use onceward::clock::ManualClock;
use onceward::config::AnswerSet;
use onceward::domain::Timestamp;
use onceward::gateway::Simulator;
use onceward::http::GatewayHealth;
use onceward::registry::Scope;
use onceward::template::{MessageStyle, Wording};
use onceward::verification::numbers::{CheckOutcome, SendOutcome};
use onceward_testkit::{
    Call, NUMBER, Reply, Script, Setup, V2World, World, get, send_body, sent, sms_code_body, tutorial_code,
    until, verify_body,
};

const MINUTES_30: Duration = Duration::from_secs(30 * 60);
const SECONDS_59: Duration = Duration::from_secs(59);
const USER: &str = r#""user":{"phoneNumber":"+14155552671"}"#;

#[tokio::test]
async fn when_the_provider_accepts_a_send_it_is_200_with_all_trials() {
    let body = format!(r#"{{"code":200,"message":"OTP send successfully.","data":{{{USER},"trials":5}}}}"#);
    send(sent()).await.is(200, &body);
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
async fn when_a_locked_number_asks_for_a_code_it_is_403_with_the_minutes_left() {
    let message = "User locked out due to exceeding maximum attempts.";
    let body =
        format!(r#"{{"code":403,"message":"{message}","data":{{{USER},"ttl":30,"lockout_duration":30}}}}"#);
    send(SendOutcome::Locked { until: until(MINUTES_30) }).await.is(403, &body);
}

#[tokio::test]
async fn when_seconds_are_left_of_a_lockout_it_is_one_minute() {
    let reply = send(SendOutcome::Locked { until: until(Duration::from_millis(1)) }).await;
    assert!(reply.body.ends_with(r#""ttl":1,"lockout_duration":1}}"#), "{}", reply.body);
}

#[tokio::test]
async fn when_the_provider_says_that_a_number_cannot_be_it_is_a_bad_body() {
    send(SendOutcome::NumberRefused).await.is(400, r#"{"code":400,"message":"Invalid request body"}"#);
}

#[tokio::test]
async fn when_the_provider_fails_it_is_500() {
    let body = r#"{"code":500,"message":"Internal server error occurred."}"#;
    send(SendOutcome::GatewayFailed).await.is(500, body);
}

#[tokio::test]
async fn when_a_code_is_right_it_is_200_with_the_number() {
    let body = r#"{"code":200,"message":"OTP verified successfully.","data":"+14155552671"}"#;
    check(CheckOutcome::Approved).await.is(200, body);
}

#[tokio::test]
async fn when_a_code_is_wrong_or_late_it_is_401_with_the_trials_left() {
    let body =
        format!(r#"{{"code":401,"message":"Incorrect OTP/ OTP Expired","data":{{{USER},"trials":4}}}}"#);
    for live in [true, false] {
        check(CheckOutcome::Wrong { attempts_left: 4, live }).await.is(401, &body);
    }
}

#[tokio::test]
async fn when_a_wrong_code_uses_the_last_trial_it_is_403_itself() {
    let message = "User locked out due to exceeding maximum attempts.";
    let body =
        format!(r#"{{"code":403,"message":"{message}","data":{{{USER},"ttl":30,"lockout_duration":30}}}}"#);
    for live in [true, false] {
        check(CheckOutcome::LockedNow { until: until(MINUTES_30), live }).await.is(403, &body);
    }
    check(CheckOutcome::Locked { until: until(MINUTES_30) }).await.is(403, &body);
}

#[tokio::test]
async fn as_built_locked_is_403_with_minutes_rounded_down_on_either_route() {
    let message = "User is prohibted to make any OTP request, Try after 29 minutes";
    let body = format!(r#"{{"code":403,"message":"{message}","data":{{{USER},"ttl":29}}}}"#);
    for remaining in [Duration::from_secs(29 * 60), Duration::from_millis(30 * 60_000 - 501)] {
        send_as_built(SendOutcome::Locked { until: until(remaining) }).await.is(403, &body);
        check_as_built(CheckOutcome::Locked { until: until(remaining) }).await.is(403, &body);
    }
}

#[tokio::test]
async fn as_built_the_minutes_are_those_of_the_second_that_redis_rounds_to() {
    for (remaining_ms, minutes) in [(59_500, 1), (1_799_500, 30), (1_799_999, 30), (1_800_000, 30)] {
        let message = format!("User is prohibted to make any OTP request, Try after {minutes} minutes");
        let body = format!(r#"{{"code":403,"message":"{message}","data":{{{USER},"ttl":{minutes}}}}}"#);
        let remaining = Duration::from_millis(remaining_ms);
        send_as_built(SendOutcome::Locked { until: until(remaining) }).await.is(403, &body);
        check_as_built(CheckOutcome::Locked { until: until(remaining) }).await.is(403, &body);
    }
}

#[tokio::test]
async fn as_built_ttl_is_left_out_when_it_is_0() {
    let message = "User is prohibted to make any OTP request, Try after 0 minutes";
    let body = format!(r#"{{"code":403,"message":"{message}","data":{{{USER}}}}}"#);
    send_as_built(SendOutcome::Locked { until: until(SECONDS_59) }).await.is(403, &body);
    check_as_built(CheckOutcome::Locked { until: until(SECONDS_59) }).await.is(403, &body);
}

#[tokio::test]
async fn as_built_wrong_code_is_500_around_401() {
    let body = format!(r#"{{"code":401,"message":"Incorrect OTP, Try Again","data":{{{USER},"trials":4}}}}"#);
    check_as_built(CheckOutcome::Wrong { attempts_left: 4, live: true }).await.is(500, &body);
}

#[tokio::test]
async fn as_built_last_trial_without_a_live_code_is_500_around_403() {
    let message = "OTP Expired and Max Limit Reached, Try after 30 min";
    let body = format!(r#"{{"code":403,"message":"{message}","data":{{{USER},"ttl":30}}}}"#);
    check_as_built(CheckOutcome::LockedNow { until: until(MINUTES_30), live: false }).await.is(500, &body);
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
async fn as_built_provider_trouble_and_bad_bodies_are_answered_as_documented() {
    let body = r#"{"code":500,"message":"Internal server error occurred."}"#;
    send_as_built(SendOutcome::GatewayFailed).await.is(500, body);
    let bad = r#"{"code":400,"message":"Invalid request body"}"#;
    send_as_built(SendOutcome::NumberRefused).await.is(400, bad);
    let mut setup = Setup::scripted(Script::panics());
    setup.answers = AnswerSet::AsBuilt;
    World::with(setup).await.post("/api/verify-otp", "{}").await.is(400, bad);
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
async fn a_send_asks_for_the_services_own_code_and_text() {
    let script = Script::sends(sent());
    World::scripted(script.clone()).await.post("/api/send-otp", &send_body()).await;
    let asked = Call::Send {
        number: NUMBER.to_owned(),
        options: None,
        channel: None,
        style: MessageStyle::default(),
    };
    assert_eq!(script.asked(), [asked]);
}

#[tokio::test]
async fn a_send_of_the_tutorial_asks_for_its_code_and_text() {
    let script = Script::sends(sent());
    World::scripted(script.clone()).await.post("/send-code", &send_body()).await;
    let asked = Call::Send {
        number: NUMBER.to_owned(),
        options: Some(tutorial_code()),
        channel: None,
        style: MessageStyle { wording: Wording::Tutorial, ..MessageStyle::default() },
    };
    assert_eq!(script.asked(), [asked]);
}

#[tokio::test]
async fn healthz_and_readyz_answer_when_all_is_well() {
    let world = World::scripted(Script::panics()).await;
    world.get("/healthz").await.is(200, r#"{"code":200,"message":"alive"}"#);
    world.get("/readyz").await.is(200, r#"{"code":200,"message":"ready"}"#);
}

#[tokio::test]
async fn when_a_part_is_not_ready_readyz_says_which_and_healthz_still_lives() {
    let mut setup = Setup::scripted(Script::panics());
    setup.readiness = Err(vec!["the store is loading".to_owned()]);
    let world = V2World::with(setup).await;
    let reply = world.get("/readyz").await;
    let reasons = r#""reasons":["the store is loading"]"#;
    reply.is(503, &format!(r#"{{"code":503,"message":"not ready","data":{{"reason":"store",{reasons}}}}}"#));
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(world.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn readyz_tells_strangers_no_more_than_the_part_that_is_not_ready() {
    for (readiness, status, body) in [
        (Ok(()), 200, r#"{"code":200,"message":"ready"}"#),
        (
            Err(vec!["the disk is full".to_owned()]),
            503,
            r#"{"code":503,"message":"not ready","data":{"reason":"store"}}"#,
        ),
    ] {
        let mut setup = Setup::scripted(Script::panics());
        setup.readiness = readiness;
        setup.gateways =
            vec![GatewayHealth { name: "Mada", circuit: "closed", next_try_in_seconds: None, problem: None }];
        let world = V2World::with(setup).await;
        world.world.get("/readyz").await.is(status, body);
        let verifies = world.key(None, &[Scope::Verify]).await;
        for credential in ["AC:wrong", &verifies] {
            world.ask("GET", "/readyz", credential, &[], "").await.is(status, body);
        }
        let watches = world.key(None, &[Scope::Metrics]).await;
        assert!(world.ask("GET", "/readyz", &watches, &[], "").await.body.contains("Mada"));
    }
}

#[tokio::test]
async fn readyz_tells_of_each_gateway_whether_ready_or_not() {
    let gateways = || {
        let (name, circuit) = ("TwilioMessages", "closed");
        let well = GatewayHealth { name, circuit, next_try_in_seconds: None, problem: None };
        let problem = Some("the token was refused".to_owned());
        vec![well, GatewayHealth { name: "Mada", circuit: "open", next_try_in_seconds: Some(9), problem }]
    };
    let shown = concat!(
        r#""gateways":[{"name":"TwilioMessages","circuit":"closed"},"#,
        r#"{"name":"Mada","circuit":"open","next_try_in_seconds":9,"problem":"the token was refused"}]"#
    );
    let mut ready = Setup::scripted(Script::panics());
    ready.gateways = gateways();
    let body = format!(r#"{{"code":200,"message":"ready","data":{{{shown}}}}}"#);
    V2World::with(ready).await.get("/readyz").await.is(200, &body);
    let mut not_ready = Setup::scripted(Script::panics());
    not_ready.gateways = gateways();
    not_ready.readiness = Err(vec!["r".to_owned()]);
    let body = format!(
        r#"{{"code":503,"message":"not ready","data":{{"reason":"store","reasons":["r"],{shown}}}}}"#
    );
    V2World::with(not_ready).await.get("/readyz").await.is(503, &body);
}

#[tokio::test]
async fn the_index_names_the_inbox_only_where_there_is_one() {
    let reply = World::scripted(Script::panics()).await.get("/").await;
    assert_eq!(reply.status, 200);
    assert!(reply.body.contains("POST /api/verify-otp") && !reply.body.contains("/inbox"), "{}", reply.body);
    let reply = with_inbox().await.get("/").await;
    assert!(reply.body.contains("GET /inbox"), "{}", reply.body);
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
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
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

#[tokio::test]
async fn the_inbox_gets_path_and_query_as_they_were_sent() {
    let world = with_inbox().await;
    let reply = world.get("/inbox/messages?to=%2B1+415+555+2671").await;
    reply.is(200, r#"{"messages":[],"nowMs":1000000}"#);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(world.get("/inbox/messages?to=%2B1").await.status, 400);
    assert_eq!(world.get("/inbox").await.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(world.get("/inbox/absent").await.status, 404);
    assert_eq!(world.post("/inbox/messages", "").await.header("allow"), Some("GET, HEAD"));
}

async fn with_inbox() -> World {
    let mut setup = Setup::scripted(Script::panics());
    let clock = ManualClock::starting_at(Timestamp::from_millis(1_000_000));
    setup.inbox = Some(Arc::new(Simulator::new(Arc::new(clock))));
    World::with(setup).await
}

async fn send(answer: SendOutcome) -> Reply {
    World::scripted(Script::sends(answer)).await.post("/api/send-otp", &send_body()).await
}

async fn check(answer: CheckOutcome) -> Reply {
    World::scripted(Script::checks(answer)).await.post("/api/verify-otp", &verify_body("123456")).await
}

async fn send_as_built(answer: SendOutcome) -> Reply {
    as_built(Script::sends(answer)).await.post("/api/send-otp", &send_body()).await
}

async fn check_as_built(answer: CheckOutcome) -> Reply {
    as_built(Script::checks(answer)).await.post("/api/verify-otp", &verify_body("123456")).await
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
