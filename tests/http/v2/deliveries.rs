//! Deliveries of events to webhooks, and repeated deliveries.

use std::time::Duration;

use onceward_testkit::{NUMBER, V2World, is_error, json, sid};
use serde_json::json;
use tokio::time::{sleep, timeout};

#[tokio::test]
async fn deliveries_are_listed_chosen_and_made_again() {
    let world = V2World::new().await;
    let url = ("WebhookUrl", "https://127.0.0.1/hooks");
    let form = [("FriendlyName", "billing"), ("EventTypes", "verification.approved"), url];
    let made = json(&world.post(&world.below("/Webhooks"), &form).await);
    let begun = world.begin(NUMBER).await;
    let code = world.world.code();
    world.post(&world.below("/VerificationCheck"), &[("To", NUMBER), ("Code", &code)]).await;
    let hook = world.below(&format!("/Webhooks/{}", sid(&made)));
    let secret = json(&world.get(&format!("{hook}/Secret")).await);
    assert!(secret["secret"].as_str().is_some_and(|key| key.starts_with("whsec_")), "{secret}");
    assert_eq!(secret["secret"], made["secret"]);

    let attempted = async {
        loop {
            let list = json(&world.get(&format!("{hook}/Deliveries")).await);
            if list["deliveries"][0]["attempts"] != json!([]) {
                break list;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let list = timeout(Duration::from_secs(60), attempted).await.expect("an attempt");
    let delivery = &list["deliveries"][0];
    let attempt = &delivery["attempts"][0];
    for (shown, expected) in [
        (&made["webhook_method"], "POST"),
        (&delivery["status"], "pending"),
        (&delivery["event_type"], "verification.approved"),
        (&delivery["verification_sid"], sid(&begun)),
        (&attempt["date"], "2015-07-30T20:00:00Z"),
    ] {
        assert_eq!(shown, expected, "{list}");
    }
    assert!(attempt["error"].as_str().is_some_and(|words| words.contains("Allowed URLs")), "{list}");
    for (query, count) in [
        ("Status=failed", 0),
        ("EventType=message.failed", 0),
        ("DateCreatedBefore=2015-07-30", 0),
        ("Status=pending&EventType=verification.approved&DateCreatedAfter=2015-07-30", 1),
        ("PageSize=1&Page=1", 0),
    ] {
        let found = json(&world.get(&format!("{hook}/Deliveries?{query}")).await);
        assert_eq!(found["deliveries"].as_array().map(Vec::len), Some(count), "{query}");
    }
    for query in ["Status=lost", "EventType=x", "DateCreatedAfter=x"] {
        is_error(&world.get(&format!("{hook}/Deliveries?{query}")).await, 400, 60200);
    }

    let replay = format!("{hook}/Replay");
    let id = delivery["event_id"].as_str().expect("an id");
    assert_eq!(world.post(&replay, &[("EventId", id)]).await.status, 204);
    let unknown = "evt_00000000000000000000000000000000";
    is_error(&world.post(&replay, &[("EventId", unknown)]).await, 404, 20404);
    is_error(&world.post(&replay, &[("EventId", "x")]).await, 400, 60200);
    let other = world.below("/Webhooks/YW00000000000000000000000000000000");
    is_error(&world.post(&format!("{other}/Replay"), &[("EventId", id)]).await, 404, 20404);
    is_error(&world.get(&format!("{other}/Deliveries")).await, 404, 20404);
}
