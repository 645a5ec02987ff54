//! Sends and checks, texts, gateways and settings of the caller's own.

use serde_json::{Value, json};

use super::world::{ANNA, World, secs};
use crate::config::Sources;
use crate::engine::CheckOutcome;
use crate::otp::{AttemptQuery, Channel, GatewayName, MessageStyle, OtpBuilder, Receipt, ReceiptStatus};
use crate::otp::{NumberError, NumberProblem, OtpError, Refusal, StartError, Timestamp, Verified};
use crate::verification::Reply;

#[test]
fn a_check_has_three_answers_and_the_reason_why_a_code_was_not_judged() {
    let at = Timestamp::from_millis(1_700_000_000_000);
    let until = at.plus(secs(70));
    let locked = || Some(OtpError::Locked { remaining: secs(70) });
    for (outcome, expected) in [
        (Ok(CheckOutcome::Approved), (true, true, None, None)),
        (Ok(CheckOutcome::Wrong { attempts_left: 4, live: true }), (true, false, Some(4), None)),
        (Ok(CheckOutcome::Wrong { attempts_left: 5, live: false }), (false, false, Some(5), None)),
        (Ok(CheckOutcome::LockedNow { until, live: true }), (true, false, None, locked())),
        (Ok(CheckOutcome::Locked { until }), (false, false, None, locked())),
        (Ok(CheckOutcome::GatewayFailed), (true, false, None, Some(OtpError::Gateway))),
        (Err(Refusal::Stopping), (false, false, None, Some(OtpError::Refused(Refusal::Stopping)))),
    ] {
        let verified = Verified::from(outcome.map(|outcome| Reply::new(outcome, at, None)));
        let Verified { request_valid, code_valid, attempts_left, error } = verified;
        assert_eq!((request_valid, code_valid, attempts_left, error), expected, "{outcome:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_a_number_is_an_error_and_nothing_is_counted() {
    let world = World::new();
    let otp = world.start().await;
    let short = NumberError::Impossible(1, NumberProblem::TooShort);
    let unreadable = NumberError::Unreadable(NumberProblem::NotANumber);
    for (phone, error) in [("Anna", unreadable), ("+15550001", short)] {
        let error = OtpError::Number(error);
        assert_eq!(otp.send_sms(phone).await, Err(error.clone()));
        assert_eq!(otp.verify(phone, "123456").await, Verified::failed(error));
        assert_eq!(otp.inbox_code(phone), None);
    }
}

#[tokio::test]
async fn a_text_of_the_callers_own_has_the_code_in_it_or_is_refused() {
    let world = World::new();
    let otp = world.with_own().set("brand", "Acme").start().await.expect("an engine");
    for (text, words) in [
        ("", "must contain {code}"),
        ("{code} {name}", "{name}"),
        (&format!("{{code}}{}", "x".repeat(1_600)), "at most 1600"),
    ] {
        let refused = otp.send_sms_with(ANNA, text).await;
        assert!(matches!(&refused, Err(OtpError::Text(why)) if why.contains(words)), "{text:?}: {refused:?}");
    }
    assert!(world.provider.handed().is_empty());
    otp.send_sms_with(ANNA, "{brand}: _CODE_").await.expect("sent");
    let sent = world.provider.handed();
    assert_eq!(sent[0].text, format!("Acme: {}", sent[0].code));
}

#[tokio::test]
async fn a_gateway_of_ones_own_takes_the_place_of_the_inbox() {
    let world = World::new();
    let otp = world.with_own().start().await.expect("an engine");
    assert_eq!(otp.send_sms(ANNA).await.expect("sent").message_id, "Http-1");
    assert_eq!(otp.inbox_code(ANNA), None);
    let sent = world.provider.handed();
    assert_eq!((&*sent[0].to.e164(), sent[0].channel), (ANNA, Channel::Sms));
    assert!(otp.verify(ANNA, &sent[0].code).await.code_valid);
    let states = otp.gateways();
    assert_eq!(states.len(), 1);
    assert_eq!((states[0].name, states[0].circuit.as_str()), (GatewayName::Http, "closed"));
    assert_eq!(otp.readiness(), Ok(()));
}

#[tokio::test]
async fn a_report_about_a_gateway_of_ones_own_is_noted() {
    let world = World::new();
    let otp = world.with_own().set("public-url", "https://example.com/otp").start().await.expect("an engine");
    otp.send_sms(ANNA).await.expect("sent");
    let attempt = world.provider.handed()[0].callback.clone().expect("an address").attempt;
    let (gateway, message_id) = (Some(GatewayName::Http), "Http-1".to_owned());
    let read = Receipt { attempt, gateway, message_id, status: ReceiptStatus::Read, code: None, class: None };
    otp.note_receipt(&read).await.expect("noted");
    let rows = otp.attempts(&AttemptQuery::newest(1)).await.expect("a list");
    assert_eq!(rows[0].attempt.receipt, Some(ReceiptStatus::Read));
    otp.stop().await.expect("stopped");
    assert_eq!(otp.note_receipt(&read).await, Err(Refusal::Stopping));
}

#[tokio::test]
async fn two_gateways_of_one_name_are_refused() {
    let world = World::new();
    let own = |name| world.provider.gateway(name);
    let builder = world.builder().gateway(own(GatewayName::Mada));
    for (builder, name) in [
        (builder.gateway(own(GatewayName::Mada)), "Mada"),
        (world.builder().gateway(own(GatewayName::Simulator)), "Simulator"),
    ] {
        let told = refused(builder).await;
        assert!(told.contains(&format!("gateway = {name}: two gateways have this name")), "{told}");
    }
}

#[tokio::test]
async fn a_call_is_refused_without_voice_and_voice_needs_a_gateway_that_calls() {
    let world = World::new();
    let otp = world.with_own().start().await.expect("an engine");
    assert_eq!(otp.call(ANNA).await, Err(OtpError::NoGateway(Channel::Call)));
    otp.stop().await.expect("stopped");
    let otp = world.with_own().set("voice", true).start().await.expect("an engine");
    otp.call(ANNA).await.expect("called");
    assert_eq!(world.provider.handed()[0].channel, Channel::Call);
    let told = refused(texting(&World::new()).set("voice", true)).await;
    assert!(told.contains("voice = true: no gateway of otp-sms-provider can call"), "{told}");
}

#[tokio::test]
async fn a_channel_that_no_gateway_serves_is_refused_by_name() {
    let world = World::new();
    let otp = texting(&world).start().await.expect("an engine");
    let refused_send = otp.send(ANNA, Some(Channel::WhatsApp), MessageStyle::default()).await;
    assert_eq!(refused_send, Err(OtpError::NoGateway(Channel::WhatsApp)));
    let told = refused(texting(&World::new()).set("workflow", "whatsapp:20s")).await;
    assert!(told.contains("no gateway of otp-sms-provider serves it"), "{told}");
}

/// With a gateway for text messages alone.
fn texting(world: &World) -> OtpBuilder {
    world.builder().gateway(world.provider.gateway_for(GatewayName::Http, &[Channel::Sms]))
}

async fn refused(builder: OtpBuilder) -> String {
    builder.start().await.expect_err("refused").to_string()
}

/// Settings of the Go framework's component, for a gateway that these tests do not call.
const GO_FRAMEWORK: &str = r#"{
    "otp-timeout": "5m",
    "authentication": { "otp_length": 5 },
    "sms": { "twilio": { "sid": "AC00000000000000000000000000000000", "token": "00000000000000000000000000000000",
                         "verify_sid": "VA00000000000000000000000000000000" } }
}"#;

#[tokio::test]
async fn a_gateway_of_ones_own_joins_those_of_the_go_frameworks_settings() {
    let world = World::new();
    let working_dir = world.directory.path().to_owned();
    std::fs::write(working_dir.join("config.json"), GO_FRAMEWORK).expect("a file");
    let sources = Sources { working_dir, parallelism: 2, ..Sources::default() };
    let builder = OtpBuilder::of(sources).gateway(world.provider.gateway(GatewayName::Http));
    let otp = builder.set("otp-sms-provider", "Http;Twilio").start().await.expect("an engine");
    assert_eq!(otp.send_sms(ANNA).await.expect("sent").message_id, "Http-1");
    assert_eq!(world.provider.handed()[0].code.len(), 5);
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_all_named_and_nothing_is_opened() {
    let world = World::new();
    let cases: [(&str, Value, &str); 2] = [
        ("otp-timeout", json!(0), "otp-timeout = 0: it must be a time from 1s to 1day"),
        ("public-url", json!("https://me:s3cr3t@example.com"), "public-url"),
    ];
    let all = cases.iter().fold(world.builder(), |builder, (key, value, _)| builder.set(*key, value.clone()));
    let Err(StartError::Config(errors)) = all.start().await else { panic!("it was taken") };
    let told = errors.to_string();
    for (key, _, words) in &cases {
        assert!(told.contains(words), "{words} is not in {told}");
        assert!(told.contains(&format!("given by the program, key {key:?}")), "{key}: {told}");
    }
    assert!(!told.contains("s3cr3t"), "{told}");
    let left = std::fs::read_dir(world.directory.path()).expect("the directory").count();
    assert_eq!(left, 0, "nothing was opened");
}

#[test]
fn outside_of_a_runtime_it_is_an_error_and_no_panic() {
    let mut start = std::pin::pin!(World::new().builder().start());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = start.as_mut().poll(&mut context);
    assert!(matches!(polled, std::task::Poll::Ready(Err(StartError::NoRuntime))));
}
