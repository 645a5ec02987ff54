//! The contents of events, and their receivers.

use serde_json::json;

use super::*;
use crate::clock::EngineClock;
use crate::limits::guard::GuardAbout;

#[tokio::test(start_paused = true)]
async fn events_describe_the_verification_and_never_the_code() {
    let world = World::new().await;
    world.emit(1, EventType::Approved);
    world.settle().await;
    let asked = world.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].url, hook(1).url);
    let body = json!({
        "type": "verification.approved",
        "timestamp": "2023-11-14T22:13:20.000Z",
        "data": {
            "account_sid": "ACacacacacacacacacacacacacacacacac",
            "service_sid": "VA5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
            "verification_sid": "VE01010101010101010101010101010101",
            "to": "+14155550123",
            "channel": "sms",
            "status": "pending",
            "tags": {"order": "17"},
        },
    });
    assert_eq!(asked[0].body, body);
    assert_eq!(world.states(1).await, [DeliveryState::Delivered]);
}

#[tokio::test(start_paused = true)]
async fn message_events_name_the_attempt() {
    let world = World::new().await;
    let attempt = Sid::new(SidKind::Attempt, [0x11; 16]);
    let message = MessageAbout { attempt, status: "undelivered".to_owned(), error_code: Some(30_003) };
    let event = Event {
        kind: EventType::MessageFailed,
        service: SERVICE,
        verification: ve(1),
        at: START,
        about: About { detail: Detail::Message(message), ..about() },
    };
    world.outbox.emit(event).await.expect("kept");
    world.settle().await;
    let data = &world.asked()[0].body["data"];
    assert_eq!(data["attempt_sid"], attempt.to_string());
    assert_eq!((&data["message_status"], &data["error_code"]), (&json!("undelivered"), &json!(30_003)));
}

#[tokio::test(start_paused = true)]
async fn events_of_the_guard_say_what_is_blocked_and_name_no_verification() {
    let world = World::new().await;
    let guard = GuardAbout {
        rule: "prefix".to_owned(),
        scope: "service".to_owned(),
        subject: Some("+99290000****".to_owned()),
        until: START,
        limit: 10,
        usual: Some(5),
    };
    let about = About {
        status: "blocked".to_owned(),
        detail: Detail::Guard(guard),
        tags: BTreeMap::new(),
        ..about()
    };
    let verification = Sid::new(SidKind::Service, [0x5e; 16]);
    let kind = EventType::GuardBlocked;
    let event = Event { kind, service: SERVICE, verification, at: START, about };
    world.outbox.emit(event).await.expect("kept");
    world.settle().await;
    let body = &world.asked()[0].body;
    assert_eq!(body["type"], "guard.blocked");
    let data = json!({
        "account_sid": "ACacacacacacacacacacacacacacacacac",
        "service_sid": "VA5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e",
        "to": "+14155550123",
        "channel": "sms",
        "status": "blocked",
        "rule": "prefix",
        "scope": "service",
        "subject": "+99290000****",
        "until": "2023-11-14T22:13:20.000Z",
        "limit": 10,
        "usual": 5,
        "tags": {},
    });
    assert_eq!(body["data"], data);
}

#[tokio::test(start_paused = true)]
async fn only_enabled_subscribed_webhooks_receive_events() {
    let disabled = Webhook { status: WebhookStatus::Disabled, ..hook(3) };
    let approvals = hook_for(2, &["verification.approved", "message.failed"]);
    let world = World::with(OutboxBounds::default(), &[hook(1), approvals, disabled]).await;
    for kind in EventType::ALL {
        world.emit(1, kind);
        world.settle().await;
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
    world.emit(1, EventType::Approved);
    world.settle().await;
    assert!(world.asked()[0].at.since(START) < MINUTE);
}
