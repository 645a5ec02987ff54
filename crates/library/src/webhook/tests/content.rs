//! The contents of events, those of falling gateways too, and their receivers.

use serde_json::json;

use super::*;
use crate::clock::EngineClock;
use crate::delivery::{Fall, Lane};
use crate::domain::{GatewayName, Region};

#[tokio::test(start_paused = true)]
async fn an_event_says_what_happened_and_never_the_code() {
    let world = World::new().await;
    world.emits(1, EventType::Approved).await;
    let data = json!({
        "account_sid": world.registry.account_sid(), "service_sid": "VA5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
        "verification_sid": ve(1), "to": "+14155550123", "channel": "sms", "status": "approved", "tags": {},
    });
    let body = &world.asked()[0].body;
    assert_eq!((&body["type"], &body["data"]), (&json!("verification.approved"), &data));
}

#[tokio::test(start_paused = true)]
async fn only_enabled_subscribed_webhooks_receive_events() {
    let disabled = Webhook { status: WebhookStatus::Disabled, ..hook(3) };
    let types = ["verification.approved", "message.failed"];
    let some = Webhook { event_types: types.map(str::to_owned).into(), ..hook(2) };
    let world = World::with(OutboxBounds::default(), &[hook(1), some, disabled]).await;
    for kind in EventType::ALL {
        world.emits(1, kind).await;
    }
    world.emit_in(ServiceId::new(9), 1, EventType::Approved);
    world.settle().await;
    let asked = world.asked();
    for (webhook, expected) in [(1, &EventType::ALL.map(EventType::as_str)[..]), (2, &types), (3, &[])] {
        assert_eq!(kinds(asked.iter().filter(|asked| asked.is_to(webhook))), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_signed_at_its_time_with_the_webhooks_secret() {
    let world = World::with(OutboxBounds::default(), &[hook(1), hook(2)]).await;
    world.receivers.play(1, [Behaviour::Answer(500), Behaviour::Answer(204)]);
    world.emit(1, EventType::Created);
    world.pass(10 * SECOND).await;
    let asked = world.asked();
    let [first, _, repeated] = &asked[..] else { panic!("{asked:?}") };
    assert!(repeated.is_to(1) && repeated.at > first.at);
    for received in &asked {
        assert_eq!(received.id(), first.id(), "one event, one id");
        let to = hook(if received.is_to(1) { 1 } else { 2 });
        let expected = request::post(&to, first.id().to_string(), received.at, received.body.to_string());
        assert_eq!(Some(&received.headers), expected.as_ref().map(Request::headers));
        assert_eq!(received.headers["content-type"], "application/json");
    }
}

#[tokio::test(start_paused = true)]
async fn signatures_have_the_wall_clocks_time_when_decisions_are_ahead() {
    let mut world = World::new().await;
    let decisions = EngineClock::over(world.clock.clone());
    decisions.at_least(START.plus(HOUR));
    let World { registry, receivers, bounds, .. } = &world;
    (world.shards, world.outbox) =
        open(&FaultyStore::default(), decisions, registry, receivers, bounds).await;
    world.emits(1, EventType::Approved).await;
    assert!(world.asked()[0].at.since(START) < MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_falls_is_announced_with_its_country() {
    let world = World::new().await;
    let tell = world.outbox.fall_alerts();
    let lane = Lane { service: Some(SERVICE), country: Region::parse("DE"), channel: Channel::Sms };
    let number = PhoneNumber::from_u64(491_711_234_567).expect("a number");
    tell(Fall { of: (lane, GatewayName::Sinch), number, from_to: [0.9, 0.4] });
    world.settle().await;
    let asked = world.asked();
    assert_eq!(kinds(&asked), ["gateway.conversion_fell"]);
    let data = &asked[0].body["data"];
    assert_eq!((&data["gateway"], &data["country"]), (&"Sinch".into(), &"DE".into()), "{data}");
    assert_eq!(data["to"], "+491711230000", "{data}");
    assert_eq!((&data["before_percent"], &data["conversion_percent"]), (&90.into(), &40.into()), "{data}");
}
