//! The contents of events, and their receivers.

use serde_json::json;

use super::*;
use crate::clock::EngineClock;
use crate::limits::guard::GuardAbout;
use crate::registry::world::given;

#[test]
fn an_event_says_what_happened_and_never_the_code() {
    let sid = |kind, byte| Sid::new(kind, [byte; 16]);
    let (account, service) = (sid(SidKind::Account, 0xac), sid(SidKind::Service, 0x5e));
    let attempt = sid(SidKind::Attempt, 0x11);
    let guard = GuardAbout {
        rule: "prefix".to_owned(),
        scope: "service".to_owned(),
        subject: Some("+99290000****".to_owned()),
        until: START,
        limit: 10,
        usual: Some(5),
    };
    let message = json!({ "attempt_sid": attempt, "message_status": "undelivered", "error_code": 30_003 });
    let of_guard = json!({
        "rule": "prefix", "scope": "service", "subject": "+99290000****", "until": "2023-11-14T22:13:20.000Z",
        "limit": 10, "usual": 5,
    });
    for (kind, subject, detail, own) in [
        (EventType::Approved, ve(1), String::new(), json!({})),
        (EventType::MessageFailed, ve(1), message.to_string(), message),
        (EventType::GuardBlocked, service, json!(guard).to_string(), of_guard),
    ] {
        let event = Event { kind, verification: subject, detail, ..event() };
        let mut data = json!({
            "account_sid": account, "service_sid": service, "to": "+14155550123", "channel": "sms",
            "status": "pending", "tags": { "order": "17" },
        });
        data.as_object_mut().expect("an object").extend(given(own));
        if subject == ve(1) {
            data["verification_sid"] = json!(subject);
        }
        let expected =
            json!({ "type": kind.as_str(), "timestamp": "2023-11-14T22:13:20.000Z", "data": data });
        let body = request::body(account, service, &event);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&body).expect("JSON"), expected);
    }
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
        let secret = if received.is_to(1) { [1; 32] } else { [2; 32] };
        let headers = request::headers(&secret, first.id(), received.at, &received.post.body);
        assert_eq!(received.post.headers, headers);
    }
}

#[tokio::test(start_paused = true)]
async fn signatures_have_the_wall_clocks_time_when_decisions_are_ahead() {
    let mut world = World::new().await;
    let decisions = Arc::new(EngineClock::over(world.clock.clone()));
    decisions.at_least(START.plus(HOUR));
    let World { registry, receivers, bounds, .. } = &world;
    (world.shards, world.outbox) = open(&FaultyStore::new(), decisions, registry, receivers, bounds).await;
    world.emits(1, EventType::Approved).await;
    assert!(world.asked()[0].at.since(START) < MINUTE);
}
