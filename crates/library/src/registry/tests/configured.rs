//! Services of config.json, over restarts.

use super::*;

#[tokio::test]
async fn a_service_that_is_changed_keeps_its_id_and_what_was_made_over_the_api() {
    let world = with_shop().await;
    let before = world.registry.find_service("shop").expect("it");
    world.registry.create_rate_limit(before.sid, "ip".to_owned(), None).await.expect("a limit");
    world.advance(Duration::from_secs(60));
    let change = |settings: &mut Settings| {
        let settings = &mut settings.registry.services[0].settings;
        *settings = settings.with(given(json!({ "max-checks": 3 }))).expect("settings");
    };
    let after = world.crashes_with(change).await.registry.find_service("shop").expect("it");
    assert_eq!((after.id, after.sid, after.created), (before.id, before.sid, before.created));
    assert_eq!((after.settings.max_checks, after.updated), (3, START.plus(Duration::from_secs(60))));
    assert_eq!(after.rate_limits.len(), 1);
}

#[tokio::test]
async fn one_that_is_taken_out_is_not_served_and_comes_back_as_itself() {
    let world = with_shop().await;
    let before = world.registry.find_service("shop").expect("it");
    let world = world.crashes_with(|settings| settings.registry.services.clear()).await;
    let registry = &world.registry;
    assert!(registry.service_by_id(before.id).is_none() && registry.service(&before.sid).is_err());
    assert!(registry.made("Club").await.id > before.id, "its id is not free");
    let after = world.crashes_with(adds_shop).await.registry.find_service("shop").expect("it");
    assert_eq!((after.id, after.sid), (before.id, before.sid));
}

#[tokio::test]
async fn the_default_service_follows_the_top_level_keys_and_keeps_its_id() {
    let world = World::bare().await;
    let (before, life) = (world.registry.default_service(), Duration::from_secs(300));
    let world = world.crashes_with(|settings| settings.policy.code.life = life).await;
    let after = world.registry.default_service();
    assert_ne!(before.settings.code_life, life);
    assert_eq!((after.sid, after.settings.code_life), (before.sid, life));
}
