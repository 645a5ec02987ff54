//! Gateways from settings, and an embedder's own.

use super::world::{ANNA, World};
use crate::otp::{Channel, GatewayName, MessageStyle, OtpBuilder, OtpError};

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
    assert_eq!(otp.call(ANNA).await, Err(OtpError::NoCalls));
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
