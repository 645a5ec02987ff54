//! Deliveries of events to webhooks, and repeated deliveries.

use std::time::Duration;

use onceward_testkit::{NUMBER, V2World, is_error, json, sid};
use serde_json::json;
use tokio::time::sleep;

/// Creates a webhook, and one event for it. Returns the path of the webhook, and the id of the event's verification.
async fn with_delivery() -> (V2World, String, String) {
    let world = V2World::new().await;
    let url = ("WebhookUrl", "https://127.0.0.1/hooks");
    let form = [("FriendlyName", "billing"), ("EventTypes", "verification.approved"), url];
    let hook = json(&world.post(&world.below("/Webhooks"), &form).await);
    let begun = world.begin(NUMBER).await;
    let code = world.world.code();
    world.post(&world.below("/VerificationCheck"), &[("To", NUMBER), ("Code", &code)]).await;
    let path = world.below(&format!("/Webhooks/{}", sid(&hook)));
    (world, path, sid(&begun).to_owned())
}

#[tokio::test]
async fn deliveries_are_listed_and_chosen() {
    let (world, hook, verification) = with_delivery().await;
    let mut list = json(&world.get(&format!("{hook}/Deliveries")).await);
    while list["deliveries"][0]["attempts"] == json!([]) {
        sleep(Duration::from_millis(10)).await;
        list = json(&world.get(&format!("{hook}/Deliveries")).await);
    }
    let delivery = &list["deliveries"][0];
    let attempt = &delivery["attempts"][0];
    for (shown, expected) in [
        (&list["meta"]["key"], "deliveries"),
        (&delivery["status"], "pending"),
        (&delivery["event_type"], "verification.approved"),
        (&delivery["verification_sid"], verification.as_str()),
        (&attempt["date"], "2015-07-30T20:00:00Z"),
    ] {
        assert_eq!(shown, expected, "{list}");
    }
    assert!(attempt["duration_ms"].is_u64() && attempt["status_code"].is_null(), "{list}");
    assert!(attempt["error"].as_str().is_some_and(|words| words.contains("Allowed URLs")), "{list}");
    let next = delivery["next_attempt"].as_str().expect("a moment");
    assert!(("2015-07-30T20:00:05Z".."2015-07-30T20:00:08Z").contains(&next), "{next}");
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
    let (world, hook, _) = with_delivery().await;
    let list = json(&world.get(&format!("{hook}/Deliveries")).await);
    let id = list["deliveries"][0]["event_id"].as_str().expect("an id");
    let replay = format!("{hook}/Replay");
    assert_eq!(world.post(&replay, &[("EventId", id)]).await.status, 204);
    let unknown = "evt_00000000000000000000000000000000";
    is_error(&world.post(&replay, &[("EventId", unknown)]).await, 404, 20404);
    for form in [vec![], vec![("EventId", "x")]] {
        is_error(&world.post(&replay, &form).await, 400, 60200);
    }
    let other = world.below("/Webhooks/YW00000000000000000000000000000000");
    is_error(&world.post(&format!("{other}/Replay"), &[("EventId", id)]).await, 404, 20404);
    is_error(&world.get(&format!("{other}/Deliveries")).await, 404, 20404);
}
