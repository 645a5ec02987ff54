//! `Attempts`: the queries, and who sees which attempts.

use onceward::domain::{Channel, PhoneNumber, Region, ServiceId, Timestamp};
use onceward::registry::Scope;
use onceward::verification::verify::{AttemptQuery, SealedAttempt};
use onceward_testkit::{THEN, V2Call as Call, V2World, is_error, json, root, ve, vl};
use serde_json::json;

pub fn attempt(number: u8, service: ServiceId) -> SealedAttempt {
    onceward_testkit::attempt(number, service, Channel::Sms)
}

/// The last query that the fake got.
fn asked(world: &V2World) -> AttemptQuery {
    match world.fake.asked().pop() {
        Some(Call::Attempts(query) | Call::Summary(query)) => query,
        other => panic!("not asked for attempts: {other:?}"),
    }
}

#[tokio::test]
async fn an_attempt_is_shown_as_twilios_example_is() {
    let world = V2World::new().await;
    let mut converted = attempt(2, ServiceId::new(999));
    converted.listed.converted = true;
    world.fake.with_attempts(vec![attempt(1, world.service.id), converted]);
    let shown = json(&world.get("/v2/Attempts").await);
    assert_eq!(
        shown["attempts"][0]["channel_data"],
        json!({
            "verification_sid": ve().to_string(), "to": "+573003003030", "status": "unconfirmed",
            "message_status": "failed", "error_code": "30008", "country": "CO", "parts": 1, "code_length": null,
            "locale": null, "mcc": null, "mnc": null, "carrier": null,
        })
    );
    let first = &shown["attempts"][0];
    assert_eq!(first["conversion_status"], "unconverted");
    assert_eq!(first["service_sid"], world.service.sid.to_string());
    assert_eq!(first["url"], format!("http://codes.example/v2/Attempts/{}", vl(1)));
    let second = &shown["attempts"][1];
    assert_eq!((&second["conversion_status"], &second["service_sid"]), (&json!("converted"), &json!(null)));
    assert_eq!(second["channel_data"]["status"], "confirmed");
}

#[tokio::test]
async fn every_filter_is_read() {
    let world = V2World::new().await;
    let service = world.service.sid;
    let path = format!(
        "/v2/Attempts?DateCreatedAfter=2015-07-01&DateCreatedBefore=2015-07-02T00:00:00Z&ChannelData.To=%2B14155552671\
         &Country=co&Channel=sms&VerifyServiceSid={service}&VerificationSid={}&Status=converted&PageSize=7&Page=3",
        ve()
    );
    assert_eq!(world.get(&path).await.status, 200);
    assert_eq!(
        asked(&world),
        AttemptQuery {
            services: Some(vec![world.service.id]),
            after: Some(Timestamp::from_millis(1_435_708_800_000)),
            before: Some(Timestamp::from_millis(1_435_795_200_000)),
            to: PhoneNumber::parse("+14155552671", None).ok(),
            country: Region::parse("CO"),
            prefix: None,
            channel: Some(Channel::Sms),
            verification: Some(ve()),
            converted: Some(true),
            skip: 21,
            limit: 8,
            ..AttemptQuery::default()
        }
    );
    world.get("/v2/Attempts/Summary?DestinationPrefix=%2B57&Channel=call").await;
    let summary = asked(&world);
    assert_eq!((summary.prefix.as_deref(), summary.channel), (Some("57"), Some(Channel::Call)));
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
    is_error(&world.get("/v2/Attempts/Summary?DestinationPrefix=x").await, 400, 60200);
}

#[tokio::test]
async fn later_pages_go_on_from_the_moment_of_the_first() {
    let world = V2World::new().await;
    world.fake.with_attempts((1..=5).map(|number| attempt(number, world.service.id)).collect());
    let first = json(&world.get("/v2/Attempts?PageSize=2&Channel=sms").await);
    let began = asked(&world).before.expect("a moment");
    assert!(began > THEN, "what is of this millisecond is there");
    let next = first["meta"]["next_page_url"].as_str().expect("a next page");
    assert_eq!(
        next,
        format!(
            "http://codes.example/v2/Attempts?Channel=sms&PageSize=2&Page=1&PageToken=PT{}",
            began.as_millis()
        )
    );
    let second = json(&world.get(next.trim_start_matches("http://codes.example")).await);
    assert_eq!((asked(&world).before, asked(&world).skip), (Some(began), 2));
    assert_eq!(second["attempts"][0]["sid"], vl(3).to_string());
    assert_eq!(second["meta"]["previous_page_url"].as_str().map(|url| url.contains("Page=0")), Some(true));
}

#[tokio::test]
async fn a_key_of_one_service_sees_that_ones_attempts() {
    let world = V2World::new().await;
    world.fake.with_attempts(vec![attempt(1, world.service.id), attempt(2, ServiceId::DEFAULT)]);
    let key = world.key(Some(world.service.id), &[Scope::Verify]).await;
    let get = async |path: &str| world.ask("GET", path, &key, &[], "").await;
    get("/v2/Attempts").await;
    assert_eq!(asked(&world).services, Some(vec![world.service.id]));
    let other = world.registry.default_service().sid;
    get(&format!("/v2/Attempts?VerifyServiceSid={other}")).await;
    assert_eq!(asked(&world).services, Some(vec![]));
    assert_eq!(get(&format!("/v2/Attempts/{}", vl(1))).await.status, 200);
    is_error(&get(&format!("/v2/Attempts/{}", vl(2))).await, 404, 20404);
    is_error(&get(&format!("/v2/Attempts/{}", vl(3))).await, 404, 20404);
    world.ask("GET", "/v2/Attempts/Summary", &root(), &[], "").await;
    assert_eq!(asked(&world).services, None);
}
