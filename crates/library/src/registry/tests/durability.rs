//! Changes that were answered survive; changes that failed have no effect.

use super::credentials::{caller, key_for};
use super::*;
use crate::shard::Refusal;
use crate::shard::tests::StoreFault;

#[tokio::test]
async fn everything_that_belongs_to_a_service_is_there_after_a_restart() {
    let (world, registry) = World::opened().await;
    let fields = given(
        json!({ "friendly-name": "Shop", "code-life": "90s", "workflow": "sms:20s,call", "locale": "pt-BR" }),
    );
    let shop = registry.create_service(fields).await.expect("a service").sid;
    let limit = registry.create_rate_limit(shop, "ip".to_owned(), Some("by address".to_owned())).await;
    let limit = limit.expect("a limit").sid;
    registry.create_bucket(shop, limit, 3, 60).await.expect("a bucket");
    let twilio = Sid::parse(SidKind::MessagingService, TWILIOS).expect("an id");
    registry.create_messaging(shop, "de".to_owned(), twilio).await.expect("a gateway");
    registry.create_webhook(shop, webhook(&["verification.approved"])).await.expect("a webhook");
    registry.put_test_number(shop, test_number("+1415555012x")).await.expect("a test number");
    let before = registry.service(&shop).expect("it");

    let registry = world.restarted().open().await;
    assert_eq!(registry.service(&shop).expect("it"), before);
    assert_eq!(registry.default_service().sid, registry.services(1, 1)[0].sid);
}

#[tokio::test]
async fn a_second_start_writes_nothing() {
    let world = World::new().with_service(configured("shop"));
    let sids = |registry: &Registry| -> Vec<Sid> {
        registry.services(0, 10).iter().map(|service| service.sid).collect()
    };
    let first = sids(&world.open().await);
    let (kept, world) = (world.store.snapshot(), world.restarted());
    assert_eq!(sids(&world.open().await), first, "ids are bound to names");
    assert_eq!(world.store.snapshot(), kept);
}

#[tokio::test]
async fn after_a_failed_commit_nothing_has_changed() {
    let (world, registry) = World::opened().await;
    let shop = registry.made("Shop").await;
    for fault in [StoreFault::Unavailable, StoreFault::UnknownNotApplied, StoreFault::UnknownApplied] {
        world.store.fail_next([fault]);
        let refused = registry.update_service(shop.sid, named("Club")).await;
        assert!(matches!(refused, Err(RegistryError::Store(_))), "{fault:?}: {refused:?}");
        assert_eq!(registry.service(&shop.sid).expect("it").settings.friendly_name, "Shop", "{fault:?}");
        world.store.fail_next([fault]);
        assert!(registry.create_service(named("Club")).await.is_err(), "{fault:?}");
        world.clock.advance(Duration::from_secs(2));
        let changed = registry.update_service(shop.sid, named("Team")).await.expect("the store works again");
        assert_eq!((changed.settings.friendly_name.as_str(), registry.count()), ("Team", 2), "{fault:?}");
        registry.update_service(shop.sid, named("Shop")).await.expect("changed back");
    }
    registry.inner.shards.flush().await;
    let registry = world.restarted().open().await;
    let names =
        registry.services(0, 10).iter().map(|of| of.settings.friendly_name.clone()).collect::<Vec<_>>();
    assert_eq!(names, ["Shop", "Acme"]);
}

#[tokio::test]
async fn a_revocation_that_may_be_on_the_disk_holds() {
    for fault in [StoreFault::UnknownApplied, StoreFault::UnknownNotApplied, StoreFault::Unavailable] {
        let world = World::new();
        let registry = world.open().await;
        let made = key_for(&registry, Some(ServiceId::DEFAULT)).await;
        world.store.fail_next([fault]);
        assert!(matches!(registry.revoke_key(made.key.sid, false).await, Err(RegistryError::Store(_))));
        let holds = |registry: &Registry| {
            assert!(caller(registry, &made).is_err());
            assert!(registry.compatible_routes_need_key(), "{fault:?}");
        };
        holds(&registry);
        world.clock.advance(Duration::from_secs(2));
        registry.inner.shards.flush().await;
        holds(&world.restarted().open().await);
    }
}

#[tokio::test]
async fn a_change_is_durable_before_it_is_seen_and_made_without_its_caller() {
    let (world, registry) = World::opened().await;
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

#[tokio::test]
async fn the_snapshot_is_whole_after_a_shard_restarts() {
    let registry = World::new().open().await;
    let shop = registry.made("Shop").await;
    let ended = registry.inner.shards.router().read_shard::<()>(0, |_, _| panic!("a test")).await;
    assert_eq!(ended, Err(Refusal::Stopping));
    while registry.create_service(named("Club")).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!((registry.count(), registry.service(&shop.sid).expect("it")), (3, shop));
}
