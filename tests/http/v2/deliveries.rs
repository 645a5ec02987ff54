//! Deliveries of events to webhooks, and repeated deliveries.

use onceward::domain::{Channel, Sid, SidKind};
use onceward::registry::EventType;
use onceward::webhook::{About, Detail, Event};
use onceward_testkit::{THEN, V2World, is_error, json, number};
use serde_json::json;

fn ve() -> Sid {
    Sid::new(SidKind::Verification, [0xaa; 16])
}

/// Creates a webhook for all events, and one delivered event. Returns the path of the webhook.
async fn with_delivery() -> (V2World, String) {
    let world = V2World::new().await;
    let form = [("FriendlyName", "billing"), ("EventTypes", "*"), ("WebhookUrl", "https://127.0.0.1/hooks")];
    let hook = json(&world.post(&world.below("/Webhooks"), &form).await);
    let about = About {
        to: number(),
        channel: Channel::Sms,
        status: "approved".to_owned(),
        detail: Detail::None,
        locked_until: None,
        tags: std::collections::BTreeMap::new(),
    };
    let (kind, service) = (EventType::Approved, world.service.id);
    let event = Event { kind, service, verification: ve(), at: THEN, about };
    world.emit(event).await;
    let path = world.below(&format!("/Webhooks/{}", hook["sid"].as_str().expect("a sid")));
    (world, path)
}

#[tokio::test]
async fn deliveries_are_listed_and_chosen() {
    let (world, hook) = with_delivery().await;
    let list = json(&world.get(&format!("{hook}/Deliveries")).await);
    let delivery = &list["deliveries"][0];
    assert_eq!((&list["meta"]["key"], &delivery["status"]), (&json!("deliveries"), &json!("pending")));
    assert_eq!(
        (&delivery["event_type"], &delivery["verification_sid"]),
        (&json!("verification.approved"), &json!(ve().to_string()))
    );
    for (query, count) in [
        ("Status=pending", 1),
        ("Status=failed", 0),
        ("EventType=verification.approved", 1),
        ("EventType=message.failed", 0),
        ("DateCreatedBefore=2015-07-30", 0),
        ("DateCreatedAfter=2015-07-30", 1),
        ("PageSize=1&Page=1", 0),
    ] {
        let found = json(&world.get(&format!("{hook}/Deliveries?{query}")).await);
        assert_eq!(found["deliveries"].as_array().map(Vec::len), Some(count), "{query}");
    }
    for query in ["Status=lost", "EventType=x", "DateCreatedAfter=x"] {
        is_error(&world.get(&format!("{hook}/Deliveries?{query}")).await, 400, 60200);
    }
}

#[tokio::test]
async fn an_event_is_delivered_again() {
    let (world, hook) = with_delivery().await;
    let list = json(&world.get(&format!("{hook}/Deliveries")).await);
    let id = list["deliveries"][0]["event_id"].as_str().expect("an id");
    let replay = format!("{hook}/Replay");
    assert_eq!(json(&world.post(&replay, &[("EventId", id)]).await), json!({ "replayed": 1 }));
    assert_eq!(json(&world.post(&replay, &[("Since", "2015-07-30")]).await), json!({ "replayed": 0 }));
    let unknown = "evt_00000000000000000000000000000000";
    is_error(&world.post(&replay, &[("EventId", unknown)]).await, 404, 20404);
    for form in [vec![], vec![("EventId", "x")], vec![("EventId", id), ("Since", "2015-07-30")]] {
        is_error(&world.post(&replay, &form).await, 400, 60200);
    }
    let other = world.below("/Webhooks/YW00000000000000000000000000000000");
    is_error(&world.post(&format!("{other}/Replay"), &[("EventId", id)]).await, 404, 20404);
    is_error(&world.get(&format!("{other}/Deliveries")).await, 404, 20404);
}
