//! The events of the pumping guard.

use super::*;
use crate::config::GuardSettings;
use crate::delivery::{Fall, Lane};
use crate::domain::{Channel, GatewayName, Region};
use crate::limits::guard::{ClientSignals, GuardConfig, GuardRefusal, Message, ServerGuard};

#[tokio::test(start_paused = true)]
async fn an_empty_allowance_or_spent_budget_is_announced_once_to_the_service() {
    let world = World::new().await;
    let settings = GuardSettings { messages_per_hour: Some(40), ..GuardSettings::default() };
    let key = ServerKey::from_bytes([7; 32]);
    let on_alert = Some(world.outbox.guard_alerts());
    let config = GuardConfig { settings, on_alert, ..GuardConfig::default() };
    let guard = ServerGuard::start(&world.shards, &key, 10, world.registry.clone(), config);
    let guard = guard.await.expect("a guard");
    let number = |last: u64| PhoneNumber::from_u64(992_900_000_000 + last).expect("a number");
    let send = |last| {
        let signals = guard.signals(ClientSignals::default(), SERVICE, number(last), Channel::Sms);
        guard.assess(&signals, 1, &[], false, None)
    };
    let is_refused = |last: &u64| matches!(send(*last), Err(GuardRefusal { until: Some(_), .. }));
    assert_eq!((0..40).filter(is_refused).count(), 30);
    world.settle().await;
    let asked = world.asked();
    assert_eq!(kinds(&asked), ["guard.blocked"]);
    let data = &asked[0].body["data"];
    assert_eq!((&data["rule"], &data["scope"]), (&"prefix".into(), &"service".into()), "{data}");
    assert_eq!((&data["subject"], &data["limit"]), (&"+99290000****".into(), &10.into()), "{data}");

    for _ in 0..45 {
        let (number, channel) = (number(1), Channel::Sms);
        let message = Message { service: SERVICE, number, channel, request_id: None };
        let _ = guard.charge(message, 1, &[]);
    }
    world.settle().await;
    let asked = world.asked();
    assert_eq!(kinds(&asked), ["guard.budget_spent"]);
    let data = &asked[0].body["data"];
    assert_eq!((&data["rule"], &data["scope"]), (&"messages-per-hour".into(), &"all_services".into()));
    assert_eq!((&data["limit"], &data["subject"]), (&40.into(), &serde_json::Value::Null));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_falls_is_announced_with_its_country() {
    let world = World::new().await;
    let tell = world.outbox.fall_alerts();
    let lane = Lane { service: Some(SERVICE), country: Region::parse("DE"), channel: Channel::Sms };
    let number = PhoneNumber::from_u64(491_711_234_567).expect("a number");
    tell(Fall { of: (lane, GatewayName::Sinch), number, from_to: [0.9, 0.4] });
    world.settle().await;
    let asked = world.asked();
    assert_eq!(kinds(&asked), ["gateway.conversion_fell"]);
    let data = &asked[0].body["data"];
    assert_eq!((&data["gateway"], &data["country"]), (&"Sinch".into(), &"DE".into()), "{data}");
    assert_eq!(data["to"], "+491711230000", "{data}");
    assert_eq!((&data["before_percent"], &data["conversion_percent"]), (&90.into(), &40.into()), "{data}");
}
