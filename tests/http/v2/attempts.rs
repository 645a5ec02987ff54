//! `Attempts`: the queries that no package of Twilio's sends (`tests/sdk` has the others), and who sees which attempts.

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
    world.world.running.verifier.receive(report).await.expect("recorded");
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
async fn what_cannot_be_a_filter_is_60200_and_the_summary_has_fewer_filters() {
    let (world, _) = with_attempts().await;
    for (query, count) in [
        ("DateCreatedAfter=2015-07-30", 3),
        ("DateCreatedAfter=2015-07-31", 0),
        ("Status=unconverted&Channel=sms", 2),
    ] {
        assert_eq!(listed(&world, &root(), query).await.len(), count, "{query}");
    }
    for query in [
        "?DateCreatedAfter=yesterday",
        "?Country=Colombia",
        "?Channel=email",
        "?VerifyServiceSid=VA1",
        "?Status=perhaps",
        "?ChannelData.To=57",
        "/Summary?DestinationPrefix=x",
    ] {
        is_error(&world.get(&format!("/v2/Attempts{query}")).await, 400, 60200);
    }
    for (query, total) in
        [("DestinationPrefix=%2B57", 1), ("Status=perhaps&ChannelData.To=57&VerificationSid=VE1", 3)]
    {
        let summary = json(&world.get(&format!("/v2/Attempts/Summary?{query}")).await);
        assert_eq!(summary["total_attempts"], total, "{query}: {summary}");
    }
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
