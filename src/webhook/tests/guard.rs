//! The events of the pumping guard.

use super::*;
use crate::config::GuardSettings;
use crate::guard::{ClientSignals, GuardDeps, GuardRefusal, PumpingGuard, VerifiedNumbers};

#[tokio::test(start_paused = true)]
async fn an_empty_allowance_and_a_spent_budget_are_announced_once_to_the_service() {
    let world = World::new().await;
    let guard = PumpingGuard::start(GuardDeps {
        settings: GuardSettings { messages_per_hour: Some(40), ..GuardSettings::default() },
        ..GuardDeps::new(&world.shards, &ServerKey::from_bytes([7; 32]), VerifiedNumbers::new(10))
    })
    .await
    .expect("a guard");
    world.outbox.follow_guard(&guard);
    let number = |last: u64| PhoneNumber::from_u64(992_900_000_000 + last).expect("a number");
    let send = |last| {
        let signals = ClientSignals::default().about(SERVICE, number(last), Channel::Sms);
        guard.assess(&signals, None)
    };
    let is_refused = |last: &u64| matches!(send(*last), Err(GuardRefusal::Blocked { until: Some(_), .. }));
    assert_eq!((0..40).filter(is_refused).count(), 30);
    world.settle().await;
    let asked = world.asked();
    assert_eq!(kinds(&asked), ["guard.blocked"]);
    let data = &asked[0].body["data"];
    assert_eq!((&data["rule"], &data["scope"]), (&"prefix".into(), &"service".into()), "{data}");
    assert_eq!((&data["subject"], &data["limit"]), (&"+99290000****".into(), &10.into()), "{data}");

    for _ in 0..45 {
        if let Ok(mut charge) = guard.charge(SERVICE, number(1), Channel::Sms, false, None).await {
            charge.spend();
        }
    }
    world.settle().await;
    let asked = world.asked();
    assert_eq!(kinds(&asked), ["guard.budget_spent"]);
    let data = &asked[0].body["data"];
    assert_eq!((&data["rule"], &data["scope"]), (&"messages-per-hour".into(), &"all_services".into()));
    assert_eq!((&data["limit"], &data["subject"]), (&40.into(), &serde_json::Value::Null));
    let budgets = guard.budgets(None);
    assert_eq!((budgets[0].spent, budgets[0].limit), (40, 40));
}
