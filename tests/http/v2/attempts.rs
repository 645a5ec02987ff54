//! `Attempts`: the queries, and who sees which attempts.

use onceward::registry::Scope;
use onceward_testkit::{V2World, is_error, json, root, sid};
use serde_json::Value;

/// A world with three attempts: two of its service, of which the second led to a verified number, and one of the default
/// service, whose sid it returns.
async fn with_attempts() -> (V2World, String) {
    let world = V2World::new().await;
    world.begin("+573003003030").await;
    let whatsapp = [("To", "+14155552671"), ("Channel", "whatsapp")];
    assert_eq!(world.post(&world.below("/Verifications"), &whatsapp).await.status, 201);
    let code = world.world.code();
    world.post(&world.below("/VerificationCheck"), &[("To", "+14155552671"), ("Code", &code)]).await;
    let default = world.registry.default_service().sid.to_string();
    let verifications = format!("/v2/Services/{default}/Verifications");
    world.post(&verifications, &[("To", "+491711234567"), ("Channel", "sms")]).await;
    (world, default)
}

async fn listed(world: &V2World, user: &str, query: &str) -> Vec<Value> {
    let reply = world.ask("GET", &format!("/v2/Attempts?{query}"), user, &[], "").await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.body);
    json(&reply)["attempts"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn an_attempt_tells_what_the_provider_reported() {
    let world = V2World::new().await;
    let mut reports = world.world.simulator().receipts().expect("reports");
    // A message to this number does not arrive.
    let begun = world.begin("+15005550013").await;
    let report = reports.recv().await.expect("a report");
    assert!(world.world.messages().is_empty(), "it is in no inbox");
    world.world.running.verifying.receive(report).await.expect("recorded");
    let attempt = &listed(&world, &root(), "").await[0];
    for (field, value) in [
        ("verification_sid", sid(&begun)),
        ("status", "unconfirmed"),
        ("message_status", "failed"),
        ("error_code", "30003"),
    ] {
        assert_eq!(attempt["channel_data"][field], value, "{attempt}");
    }
    let path = format!("/v2/Attempts/{}", sid(attempt));
    assert_eq!(attempt["url"], format!("http://codes.example{path}"));
    assert_eq!(json(&world.get(&path).await), *attempt);
}

#[tokio::test]
async fn filters_go_together_and_what_cannot_be_one_is_60200() {
    let (world, _) = with_attempts().await;
    for (query, count) in [
        ("DateCreatedAfter=2015-07-30", 3),
        ("DateCreatedAfter=2015-07-31", 0),
        ("DateCreatedBefore=2015-07-30", 0),
        ("ChannelData.To=%2B14155552671", 1),
        ("Country=co", 1),
        ("Channel=sms", 2),
        (&format!("VerifyServiceSid={}", world.service.sid), 2),
        ("Status=converted", 1),
        ("Status=unconverted&Channel=sms", 2),
        ("PageSize=2&Page=1", 1),
    ] {
        assert_eq!(listed(&world, &root(), query).await.len(), count, "{query}");
    }
    for query in [
        "DateCreatedAfter=yesterday",
        "Country=Colombia",
        "Channel=email",
        "VerifyServiceSid=VA1",
        "Status=perhaps",
        "ChannelData.To=57",
        "Page=-1",
    ] {
        is_error(&world.get(&format!("/v2/Attempts?{query}")).await, 400, 60200);
    }
    // Filters of the list alone are unknown to the summary.
    for (query, total) in [
        ("", 3),
        ("DestinationPrefix=%2B57", 1),
        ("Channel=whatsapp", 1),
        ("Status=perhaps&ChannelData.To=57&VerificationSid=VE1", 3),
    ] {
        let summary = json(&world.get(&format!("/v2/Attempts/Summary?{query}")).await);
        assert_eq!(summary["total_attempts"], total, "{query}: {summary}");
    }
    is_error(&world.get("/v2/Attempts/Summary?DestinationPrefix=x").await, 400, 60200);
}

#[tokio::test]
async fn the_next_page_has_the_filters_and_goes_on() {
    let world = V2World::new().await;
    for last in 1..=5 {
        world.begin(&format!("+1415555267{last}")).await;
    }
    let first = json(&world.get("/v2/Attempts?PageSize=2&Channel=sms").await);
    let next = first["meta"]["next_page_url"].as_str().expect("a next page");
    assert_eq!(next, "http://codes.example/v2/Attempts?Channel=sms&PageSize=2&Page=1");
    let second = json(&world.get(next.trim_start_matches("http://codes.example")).await);
    assert_eq!(second["attempts"].as_array().map(Vec::len), Some(2));
    assert_ne!(second["attempts"][0]["sid"], first["attempts"][0]["sid"]);
}

#[tokio::test]
async fn a_key_of_one_service_sees_that_ones_attempts() {
    let (world, default) = with_attempts().await;
    let key = world.key(Some(world.service.id), &[Scope::Verify]).await;
    let all = listed(&world, &root(), "").await;
    let own = listed(&world, &key, "").await;
    assert_eq!((all.len(), own.len()), (3, 2));
    assert!(listed(&world, &key, &format!("VerifyServiceSid={default}")).await.is_empty());
    for attempt in all {
        let path = format!("/v2/Attempts/{}", sid(&attempt));
        let status = if own.contains(&attempt) { 200 } else { 404 };
        assert_eq!(world.ask("GET", &path, &key, &[], "").await.status, status, "{attempt}");
    }
    is_error(&world.get("/v2/Attempts/VL03030303030303030303030303030303").await, 404, 20404);
    let summary = json(&world.ask("GET", "/v2/Attempts/Summary", &key, &[], "").await);
    assert_eq!(summary["total_attempts"], 2, "{summary}");
}
