//! Sends and checks, texts, gateways and settings of the caller's own.

use serde_json::json;

use super::world::{ANNA, World};
use crate::engine::CheckOutcome;
use crate::otp::{AttemptQuery, Channel, GatewayName, MessageStyle, OtpBuilder, Receipt, ReceiptStatus};
use crate::otp::{OtpError, Refusal, StartError, Verified};
use crate::testing::{START, secs};
use crate::verification::Reply;

#[test]
fn a_check_has_three_answers_and_the_reason_why_a_code_was_not_judged() {
    let until = START.plus(secs(70));
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
        let verified = Verified::from(outcome.map(|outcome| Reply::new(outcome, START, None)));
        let Verified { request_valid, code_valid, attempts_left, error } = verified;
        assert_eq!((request_valid, code_valid, attempts_left, error), expected, "{outcome:?}");
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
async fn a_gateway_of_ones_own_takes_the_place_of_the_inbox_and_reports() {
    let world = World::new();
    let builder = world.with_own().set("otp-sms-provider", "Http");
    let otp = builder.set("public-url", "https://example.com/otp").start().await.expect("an engine");
    assert_eq!(otp.send_sms(ANNA).await.expect("sent").message_id, "Http-1");
    assert_eq!(otp.inbox_code(ANNA), None);
    let sent = world.provider.handed().remove(0);
    assert_eq!((&*sent.to.e164(), sent.channel), (ANNA, Channel::Sms));
    let attempt = sent.callback.expect("an address").attempt;
    let (gateway, message_id) = (Some(GatewayName::Http), "Http-1".to_owned());
    let read = Receipt {
        attempt,
        gateway,
        message_id,
        status: ReceiptStatus::Read,
        code: None,
        class: None,
        said: None,
    };
    otp.note_receipt(&read).await.expect("noted");
    let rows = otp.attempts(&AttemptQuery::newest(1)).await.expect("a list");
    assert_eq!(rows[0].attempt.receipt, Some(ReceiptStatus::Read));
    assert!(otp.verify(ANNA, &sent.code).await.code_valid);
    let [state] = &otp.gateways()[..] else { panic!("not one gateway") };
    assert_eq!((state.name, state.circuit.as_str()), (GatewayName::Http, "closed"));
    assert_eq!(otp.readiness(), Ok(()));
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
async fn a_channel_that_no_gateway_serves_is_refused() {
    let world = World::new();
    let otp = world.with_own().start().await.expect("an engine");
    assert_eq!(otp.call(ANNA).await, Err(OtpError::NoGateway(Channel::Call)), "not without `voice`");
    otp.stop().await.expect("stopped");
    let otp = world.with_own().set("voice", true).start().await.expect("an engine");
    otp.call(ANNA).await.expect("called");
    assert_eq!(world.provider.handed()[0].channel, Channel::Call);

    let world = World::new();
    let otp = texting(&world).start().await.expect("an engine");
    let sent = otp.send(ANNA, Some(Channel::WhatsApp), MessageStyle::default()).await;
    assert_eq!(sent, Err(OtpError::NoGateway(Channel::WhatsApp)));
    for (key, value, words) in [
        ("voice", json!(true), "voice = true: no gateway of otp-sms-provider can call"),
        ("workflow", json!("whatsapp:20s"), "no gateway of otp-sms-provider serves it"),
    ] {
        let told = refused(texting(&World::new()).set(key, value)).await;
        assert!(told.contains(words), "{told}");
    }
}

/// With a gateway for text messages alone.
fn texting(world: &World) -> OtpBuilder {
    world.builder().gateway(world.provider.gateway_for(GatewayName::Http, &[Channel::Sms]))
}

async fn refused(builder: OtpBuilder) -> String {
    builder.start().await.expect_err("refused").to_string()
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_all_named_and_nothing_is_opened() {
    let world = World::new();
    let builder = world.builder().set("otp-timeout", 0).set("public-url", "https://me:s3cr3t@example.com");
    let told = refused(builder).await;
    for words in [
        "otp-timeout = 0: it must be a time from 1s to 1day",
        "given by the program, key \"otp-timeout\"",
        "given by the program, key \"public-url\"",
    ] {
        assert!(told.contains(words) && !told.contains("s3cr3t"), "{words}: {told}");
    }
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
