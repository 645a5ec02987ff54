//! The contents of events, and their receivers.

use serde_json::json;

use super::*;
use crate::clock::EngineClock;
use crate::limits::guard::GuardAbout;

#[test]
fn an_event_says_what_happened_and_never_the_code() {
    let sid = |kind, byte| Sid::new(kind, [byte; 16]);
    let attempt = sid(SidKind::Attempt, 0x11);
    let message = MessageAbout { attempt, status: "undelivered".to_owned(), error_code: Some(30_003) };
    let of_message = json!({ "attempt_sid": attempt, "message_status": "undelivered", "error_code": 30_003 });
    let guard = GuardAbout {
        rule: "prefix".to_owned(),
        scope: "service".to_owned(),
        subject: Some("+99290000****".to_owned()),
        until: START,
        limit: 10,
        usual: Some(5),
    };
    let of_guard = json!({
        "rule": "prefix", "scope": "service", "subject": "+99290000****", "until": "2023-11-14T22:13:20.000Z",
        "limit": 10, "usual": 5,
    });
    for (kind, verification, detail, mut data) in [
        (EventType::Approved, Some(ve(1)), Detail::None, json!({})),
        (EventType::MessageFailed, Some(ve(1)), Detail::Message(message), of_message),
        (EventType::GuardBlocked, None, Detail::Guard(guard), of_guard),
    ] {
        for (name, value) in [
            ("account_sid", "ACacacacacacacacacacacacacacacacac"),
            ("service_sid", "VA5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e"),
            ("to", "+14155550123"),
            ("channel", "sms"),
            ("status", "pending"),
        ] {
            data[name] = value.into();
        }
        data["tags"] = json!({ "order": "17" });
        if verification.is_some() {
            data["verification_sid"] = "VE01010101010101010101010101010101".into();
        }
        let service = sid(SidKind::Service, 0x5e);
        let (verification, about) = (verification.unwrap_or(service), About { detail, ..about() });
        let event = Event { kind, service: SERVICE, verification, at: START, about };
        let body = request::body(sid(SidKind::Account, 0xac), service, &event);
        let expected =
            json!({ "type": kind.as_str(), "timestamp": "2023-11-14T22:13:20.000Z", "data": data });
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).expect("JSON"), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn only_enabled_subscribed_webhooks_receive_events() {
    let disabled = Webhook { status: WebhookStatus::Disabled, ..hook(3) };
    let approvals = hook_for(2, &["verification.approved", "message.failed"]);
    let world = World::with(OutboxBounds::default(), &[hook(1), approvals, disabled]).await;
    for kind in EventType::ALL {
        world.emits(1, kind).await;
    }
    let asked = world.asked();
    let types_at = |webhook| {
        let of_it: Vec<_> = asked.iter().filter(|a| a.url == hook(webhook).url).cloned().collect();
        kinds(&of_it).join(" ")
    };
    assert_eq!(types_at(1), EventType::ALL.map(EventType::as_str).join(" "));
    assert_eq!(types_at(2), "verification.approved message.failed");
    assert_eq!(types_at(3), "");
    let elsewhere = Event {
        kind: EventType::Approved,
        service: ServiceId::new(9),
        verification: ve(1),
        at: START,
        about: about(),
    };
    world.outbox.emit(elsewhere).await.expect("decided");
    world.settle().await;
    assert_eq!(world.asked(), []);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_signed_at_its_time_with_the_webhooks_secret() {
    let world = World::with(OutboxBounds::default(), &[hook(1), hook(2)]).await;
    world.receivers.play(1, [Behaviour::Answer(500), Behaviour::Answer(204)]);
    world.emit(1, EventType::Created);
    world.pass(10 * SECOND).await;
    let asked = world.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|a| a.id == asked[0].id), "one event, one id");
    let mut times: Vec<_> = asked.iter().filter(|a| a.url == hook(1).url).map(|a| a.at).collect();
    times.dedup();
    assert_eq!(times.len(), 2);
    for a in &asked {
        let secret = if a.url == hook(1).url { [1; 32] } else { [2; 32] };
        let id = EventId::parse(&a.id).expect("an id");
        assert_eq!(a.headers, request::headers(&secret, id, a.at, &a.bytes));
    }
}

#[tokio::test(start_paused = true)]
async fn signatures_have_the_wall_clocks_time_when_decisions_are_ahead() {
    let mut world = World::new().await;
    let decisions = Arc::new(EngineClock::over(world.clock.clone()));
    decisions.at_least(START.plus(HOUR));
    let shards = shards(&FaultyStore::new(), &(decisions as Arc<dyn Clock>)).await;
    world.outbox = open(&shards, &world.registry, &world.receivers, &world.bounds);
    world.shards = shards;
    world.emits(1, EventType::Approved).await;
    assert!(world.asked()[0].at.since(START) < MINUTE);
}
