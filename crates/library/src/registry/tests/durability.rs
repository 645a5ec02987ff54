//! Changes that were answered survive; changes that failed have no effect.

use super::credentials::{caller, key_for};
use super::*;
use crate::testing::StoreFault;

#[tokio::test]
async fn what_the_store_refuses_changes_nothing() {
    let world = World::bare().await;
    let registry = &world.registry;
    let shop = registry.made("Shop").await;
    let made = key_for(registry, Some(ServiceId::DEFAULT)).await;
    let unavailable = || world.store.fail_next([StoreFault::Unavailable]);
    unavailable();
    let refused = registry.update_service(shop.sid, named("Club")).await;
    assert!(matches!(refused, Err(RegistryError::Store(_))), "{refused:?}");
    assert_eq!(registry.service(&shop.sid).expect("it").settings.friendly_name, "Shop");
    unavailable();
    assert!(matches!(registry.revoke_key(made.key.sid).await, Err(RegistryError::Store(_))));
    assert!(caller(registry, &made).is_some(), "a revocation holds when it is durable");
    registry.revoke_key(made.key.sid).await.expect("revoked");
    assert!(caller(registry, &made).is_none());
    registry.update_service(shop.sid, named("Team")).await.expect("the store works again");
    let world = world.crashes().await;
    let registry = &world.registry;
    assert_eq!(registry.service(&shop.sid).expect("it").settings.friendly_name, "Team");
    assert!(caller(registry, &made).is_none() && registry.compatible_routes_need_key());
}

#[tokio::test]
async fn a_change_is_durable_before_it_is_seen_and_made_without_its_caller() {
    let world = World::bare().await;
    let registry = &world.registry;
    world.store.hold();
    {
        let asked = registry.create_service(named("Shop"));
        tokio::pin!(asked);
        tokio::select! {
            biased;
            _ = &mut asked => panic!("the store is held"),
            () = world.store.waiting(1) => {}
        }
        assert_eq!(registry.count(), 1);
    }
    world.store.release();
    let next = registry.made("Club").await;
    assert_eq!((registry.count(), next.id.get()), (3, 2));
}
