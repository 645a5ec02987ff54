//! Gateways from settings, and an embedder's own.

use std::sync::Arc;

use super::world::{ANNA, Own, World};
use crate::otp::{Channel, ErrorClass, GatewayName, OtpBuilder, OtpError, Verdict};

fn own(name: GatewayName) -> Arc<Own> {
    Arc::new(Own::new(name))
}

fn with_mada(builder: OtpBuilder, url: &str) -> OtpBuilder {
    let builder = builder.set("MADA_USERNAME", "me").set("MADA_PASSWORD", "s3cr3t");
    builder.set("MADA_URL", url).set("MADA_SOURCE_NAME", "Acme")
}

async fn refused(builder: OtpBuilder) -> String {
    builder.start().await.expect_err("refused").to_string()
}

#[tokio::test]
async fn a_gateway_of_ones_own_takes_the_place_of_the_inbox() {
    let (world, http) = (World::new(), own(GatewayName::Http));
    let otp = world.builder().gateway(http.clone()).start().await.expect("an engine");
    assert_eq!(otp.send_sms(ANNA).await.expect("sent").message_id(), "Http-1");
    assert_eq!(otp.inbox_code(ANNA), None);
    let sent = http.sent();
    assert_eq!((sent[0].to.as_str(), sent[0].channel), (ANNA, Channel::Sms));
    assert!(otp.verify(ANNA, &sent[0].code).await.code_valid());
    let states = otp.gateways();
    assert_eq!(states.len(), 1);
    assert_eq!((states[0].name, states[0].circuit.as_str()), (GatewayName::Http, "closed"));
    assert_eq!(otp.readiness(), Ok(()));
}

#[tokio::test]
async fn several_are_tried_in_the_order_in_which_they_were_added() {
    let world = World::new();
    let first = Arc::new(Own::new(GatewayName::Mada).failing([ErrorClass::Configuration]));
    let second = own(GatewayName::Http);
    let otp = world.builder().gateway(first.clone()).gateway(second.clone());
    let otp = otp.start().await.expect("an engine");
    assert_eq!(otp.send_sms(ANNA).await.expect("sent").message_id(), "Http-1");
    assert_eq!(otp.send_sms(ANNA).await.expect("sent").message_id(), "Mada-1");
}

#[tokio::test]
async fn two_gateways_of_one_name_are_refused() {
    let builder = World::new().builder().gateway(own(GatewayName::Mada));
    let with_settings = with_mada(builder.clone(), "http://127.0.0.1:9/soap");
    for (builder, name) in [
        (builder.gateway(own(GatewayName::Mada)), "Mada"),
        (with_settings, "Mada"),
        (World::new().builder().gateway(own(GatewayName::Simulator)), "Simulator"),
    ] {
        let told = refused(builder).await;
        assert!(told.contains(&format!("gateway = {name}: two gateways have this name")), "{told}");
    }
}

#[tokio::test]
async fn a_call_is_refused_without_voice_and_voice_needs_a_gateway_that_calls() {
    let world = World::new();
    let caller = Arc::new(Own::new(GatewayName::Http).serving(&[Channel::Sms, Channel::Call]));
    let otp = world.builder().gateway(caller.clone()).start().await.expect("an engine");
    assert_eq!(otp.call(ANNA).await, Err(OtpError::NoCalls));
    otp.stop().await.expect("stopped");
    let otp = world.builder().gateway(caller.clone()).set("voice", true).start().await.expect("an engine");
    otp.call(ANNA).await.expect("called");
    assert_eq!(caller.sent()[0].channel, Channel::Call);
    let told = refused(World::new().builder().gateway(own(GatewayName::Http)).set("voice", true)).await;
    assert!(told.contains("voice: it is true, and no gateway of otp-sms-provider can call"), "{told}");
}

#[tokio::test]
async fn a_channel_that_no_gateway_serves_is_refused_by_name() {
    let world = World::new();
    let otp = world.builder().gateway(own(GatewayName::Http)).start().await.expect("an engine");
    let refused_send = otp.send(ANNA, Some(Channel::WhatsApp), crate::otp::MessageStyle::default()).await;
    assert_eq!(refused_send, Err(OtpError::NoGateway(Channel::WhatsApp)));
    let builder = World::new().builder().gateway(own(GatewayName::Http));
    let told = refused(builder.set("workflow", "whatsapp:20s")).await;
    assert!(told.contains("no gateway of otp-sms-provider serves it"), "{told}");
}

#[tokio::test]
async fn what_a_gateway_refuses_is_told_by_what_it_means() {
    for (class, error) in [
        (ErrorClass::BadNumber, OtpError::NumberRefused),
        (ErrorClass::OptedOut, OtpError::NumberRefused),
        (ErrorClass::Fraud, OtpError::Gateway),
        (ErrorClass::Configuration, OtpError::Gateway),
    ] {
        let world = World::new();
        let gateway = Arc::new(Own::new(GatewayName::Http).failing([class]));
        let otp = world.builder().gateway(gateway).start().await.expect("an engine");
        assert_eq!(otp.send_sms(ANNA).await, Err(error), "{class:?}");
    }
}

#[tokio::test]
async fn a_gateway_that_holds_the_code_checks_it() {
    let world = World::new();
    let verdicts = [Ok(Verdict::Wrong), Err(ErrorClass::Ambiguous), Ok(Verdict::Approved)];
    let holder = Arc::new(Own::new(GatewayName::Http).with_verdicts(verdicts));
    let otp = world.builder().gateway(holder.clone()).start().await.expect("an engine");
    otp.send_sms(ANNA).await.expect("sent");

    let wrong = otp.verify(ANNA, "111111").await;
    assert_eq!((wrong.request_valid(), wrong.code_valid(), wrong.attempts_left()), (true, false, Some(4)));
    let silent = otp.verify(ANNA, "222222").await;
    assert_eq!((silent.request_valid(), silent.code_valid()), (true, false));
    assert_eq!(silent.error(), Some(&OtpError::Gateway));
    let right = otp.verify(ANNA, "333333").await;
    assert_eq!((right.request_valid(), right.code_valid(), right.error()), (true, true, None));
    let again = otp.verify(ANNA, "333333").await;
    assert_eq!((again.request_valid(), again.code_valid()), (false, false));
    assert_eq!(holder.checked(), ["111111", "222222", "333333"], "never asked about a used code");
}
