//! Limits, gateways, webhooks, test numbers.

use super::*;
use crate::domain::{GatewayName, Region};
use crate::registry::{WebhookFields, gateway_sid};

#[tokio::test]
async fn without_its_configured_gateway_the_servers_routing_decides() {
    let world = World::of("Mada", Value::Null, |_| ()).await;
    let shop = world.registry.made("Shop").await.sid;
    let (germany, mada) = (Region::parse("DE").expect("a country"), gateway_sid(GatewayName::Mada));
    world.registry.create_messaging(shop, germany, mada).await.expect("made");
    let world = world.crashes_with(|settings| settings.gateways = GatewaySettings::simulator()).await;
    let registry = &world.registry;
    assert_eq!(registry.gateway_for(&registry.service(&shop).expect("it"), germany), None);
}

#[tokio::test]
async fn what_a_webhook_may_not_be_is_refused_by_name() {
    let (registry, shop) = shop().await;
    let at = |url: &str| ("webhook_url", WebhookFields { url: Some(url.to_owned()), ..webhook(&["*"]) });
    for (field, fields) in [
        at(""),
        at("hooks.example"),
        at("ftp://hooks.example"),
        at("https://me@x.example"),
        at("https://u:p@x.example"),
        at("https://"),
        at(&format!("https://hooks.example/{}", "x".repeat(2_048))),
        ("event_types", webhook(&[])),
        ("event_types", webhook(&["factor.created"])),
        ("event_types", webhook(&["verification.created", ""])),
        ("friendly_name", WebhookFields { friendly_name: None, ..webhook(&["*"]) }),
        ("event_types", WebhookFields { event_types: None, ..webhook(&["*"]) }),
        ("webhook_url", WebhookFields { url: None, ..webhook(&["*"]) }),
    ] {
        let text = format!("{fields:?}");
        assert_eq!(refused_field(registry.create_webhook(shop, fields).await), field, "{text}");
    }
    for _ in 0..10 {
        registry.create_webhook(shop, webhook(&["*", "*"])).await.expect("made");
    }
    let refused = registry.create_webhook(shop, webhook(&["*"])).await;
    assert!(matches!(refused, Err(RegistryError::TooMany { limit: 10, .. })), "{refused:?}");
}

/// A registry with one service.
async fn shop() -> (Registry, Sid) {
    let registry = opened().await;
    let shop = registry.made("Shop").await.sid;
    (registry, shop)
}

fn webhook(events: &[&str]) -> WebhookFields {
    WebhookFields {
        friendly_name: Some("ours".to_owned()),
        event_types: Some(events.iter().map(|event| (*event).to_owned()).collect()),
        url: Some("http://localhost:9/in".to_owned()),
        status: None,
    }
}

fn test_number(pattern: &str) -> TestNumber {
    let expires = START.plus(Duration::from_secs(3_600));
    TestNumber { pattern: pattern.to_owned(), code: "123456".to_owned(), expires, force: false }
}

#[tokio::test]
async fn a_test_number_is_one_until_its_time_is_over() {
    let (registry, shop) = shop().await;
    let made = registry.put_test_number(shop, test_number("+1415555012X")).await.expect("made");
    assert!(made.is(number("+14155550123"), START) && !made.is(number("+14155550133"), START));
    assert!(!made.is(number("+14155550123"), START.plus(Duration::from_secs(3_600))));
    let other = TestNumber { code: "000000".to_owned(), ..test_number("+1415555012x") };
    registry.put_test_number(shop, other).await.expect("it takes the place");
    let kept = registry.service(&shop).expect("it");
    assert_eq!(kept.test_numbers.iter().map(|n| n.code.as_str()).collect::<Vec<_>>(), ["000000"]);
    registry.delete_test_number(shop, "+1415555012X".to_owned()).await.expect("removed");
    let gone = registry.delete_test_number(shop, "+1415555012x".to_owned()).await;
    assert_eq!(gone, Err(RegistryError::NotFound(Item::TestNumber)));
}

#[tokio::test]
async fn what_a_test_number_may_not_be_is_refused_by_name() {
    let (registry, shop) = shop().await;
    let year = Duration::from_secs(367 * 24 * 3_600);
    for (field, number) in [
        ("pattern", test_number("4155550123")),
        ("pattern", test_number("+49151xxxxxxxx")),
        ("pattern", TestNumber { force: true, ..test_number("+141555") }),
        ("code", TestNumber { code: "123".to_owned(), ..test_number("+14155550123") }),
        ("code", TestNumber { code: "12345x".to_owned(), ..test_number("+14155550123") }),
        ("expires", TestNumber { expires: START, ..test_number("+14155550123") }),
        ("expires", TestNumber { expires: START.plus(year), ..test_number("+14155550123") }),
    ] {
        assert_eq!(refused_field(registry.put_test_number(shop, number).await), field);
    }
    let of_a_person = TestNumber { force: true, ..test_number("+4915112345678") };
    registry.put_test_number(shop, of_a_person).await.expect("forced");
    for n in 1..50 {
        registry.put_test_number(shop, test_number(&format!("+141555501{n:02}"))).await.expect("made");
    }
    let refused = registry.put_test_number(shop, test_number("+14155550199")).await;
    assert!(matches!(refused, Err(RegistryError::TooMany { limit: 50, .. })), "{refused:?}");
}

#[test]
fn the_id_of_a_name_never_changes() {
    // Callers keep these ids.
    assert_eq!(gateway_sid(GatewayName::Simulator).to_string(), "MG28bffce43223e458b91813bcdf28c06a");
    assert_eq!(template_sid("login").to_string(), "HJ4b4410793c052fe2e47c0628d8089871");
}
