//! Services of config.json, over restarts.

use super::*;
use crate::registry::ServiceSettings;

#[tokio::test]
async fn a_service_that_is_changed_keeps_its_id_and_what_was_made_over_the_api() {
    let mut world = World::new().with_service(configured("shop"));
    let registry = world.open().await;
    let before = registry.find_service("shop").expect("it");
    registry.create_rate_limit(before.sid, "ip".to_owned(), None).await.expect("a limit");
    world = world.restarted();
    world.clock.advance(Duration::from_secs(60));
    let settings = &mut world.settings.services[0].settings;
    *settings = settings.with(given(json!({ "max-checks": 3 }))).expect("settings");
    let after = world.open().await.find_service("shop").expect("it");
    assert_eq!((after.id, after.sid, after.created), (before.id, before.sid, before.created));
    assert_eq!((after.settings.max_checks, after.updated), (3, START.plus(Duration::from_secs(60))));
    assert_eq!(after.rate_limits.len(), 1);
}

#[tokio::test]
async fn one_that_is_taken_out_is_not_served_and_comes_back_as_itself() {
    let world = World::new().with_service(configured("shop"));
    let before = world.open().await.find_service("shop").expect("it");
    let mut world = world.restarted();
    let settings = world.settings.services.remove(0);
    let registry = world.open().await;
    assert!(registry.service_by_id(before.id).is_none() && registry.service(&before.sid).is_err());
    assert!(registry.made("Club").await.id > before.id, "its id is not free");
    let world = world.restarted().with_service(settings);
    let after = world.open().await.find_service("shop").expect("it");
    assert_eq!((after.id, after.sid), (before.id, before.sid));
}

#[tokio::test]
async fn the_default_service_follows_the_top_level_keys_and_keeps_its_id() {
    let world = World::new();
    let before = world.open().await.default_service();
    let mut world = world.restarted();
    world.default = ServiceSettings::of_policy("Acme".to_owned(), &contract(Duration::from_secs(300)));
    let after = world.open().await.default_service();
    assert_eq!((after.sid, after.settings.code_life), (before.sid, Duration::from_secs(300)));
}
