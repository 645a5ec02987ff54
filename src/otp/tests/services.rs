//! The default service's webhooks and test numbers, for a program that uses the library.

use std::sync::Arc;

use super::world::{ANNA, Own, World, code, secs};
use crate::otp::GatewayName;
use crate::registry::{TestNumber, WebhookFields};
use crate::webhook::DeliveryQuery;

const TEST_CODE: &str = "471100";

#[tokio::test]
async fn a_webhook_of_the_default_service_gets_the_events_of_the_handle() {
    let world = World::new();
    let otp = world.start().await;
    let running = &otp.engine.running;
    let default = running.registry.default_service();
    let fields = WebhookFields {
        friendly_name: Some("all".to_owned()),
        event_types: Some(vec!["*".to_owned()]),
        url: Some("http://127.0.0.1:9/events".to_owned()),
        status: None,
    };
    let webhook = running.registry.create_webhook(default.sid, fields).await.expect("a webhook");
    otp.send_sms(ANNA).await.expect("sent");
    assert!(otp.verify(ANNA, &code(&otp)).await.code_valid());
    let query = DeliveryQuery { limit: 10, ..DeliveryQuery::default() };
    let found = running.outbox.deliveries(default.id, webhook.sid, &query).await.expect("deliveries").records;
    let kinds: Vec<_> = found.iter().rev().map(|delivery| delivery.event.kind.as_str()).collect();
    assert_eq!(kinds, ["verification.created", "verification.sent", "verification.approved"]);
}

#[tokio::test]
async fn a_test_number_of_the_default_service_is_sent_nothing_and_has_its_code() {
    let world = World::new();
    let own = Arc::new(Own::new(GatewayName::Http));
    let otp = world.builder().gateway(own.clone()).start().await.expect("an engine");
    let registry = &otp.engine.running.registry;
    let expires = otp.engine.running.shards.clock().now().plus(secs(3_600));
    let (pattern, code) = (ANNA.to_owned(), TEST_CODE.to_owned());
    let number = TestNumber { pattern, code, expires, force: true };
    registry.put_test_number(registry.default_service().sid, number).await.expect("a test number");
    for _ in 0..4 {
        otp.send_sms(ANNA).await.expect("sent");
        assert!(!otp.verify(ANNA, "000000").await.code_valid());
    }
    assert!(otp.verify(ANNA, TEST_CODE).await.code_valid());
    assert!(own.sent().is_empty(), "a message was sent");
    // After its end it is an ordinary number.
    world.clock.advance(secs(3_601));
    otp.send_sms(ANNA).await.expect("sent");
    assert_eq!(own.sent().len(), 1);
}
