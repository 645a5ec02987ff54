//! What was answered survives; what failed has changed nothing.

use super::world::{START, TWILIOS, World, configured, named, number};
use crate::domain::{Sid, SidKind};
use crate::registry::{
    BucketFields, EventType, KeyWish, NewTestNumber, RegistryError, Scope, ServiceFields, WebhookFields,
};
use crate::store::Fault;
use std::time::Duration;

#[tokio::test]
async fn everything_that_belongs_to_a_service_is_there_after_a_restart() {
    let world = World::new();
    let registry = world.open().await;
    let fields = ServiceFields {
        code_life: Some(Duration::from_secs(90)),
        workflow: Some(Some("sms:20s,call".to_owned())),
        locale: Some(Some(super::world::locale("pt-BR"))),
        ..named("Shop")
    };
    let shop = registry.create_service(fields).await.expect("a service").sid;
    let limit = registry.create_rate_limit(shop, "ip".to_owned(), Some("by address".to_owned())).await;
    let limit = limit.expect("a limit").sid;
    let bucket = BucketFields { max: Some(3), interval: Some(60) };
    registry.create_bucket(shop, limit, bucket).await.expect("a bucket");
    let twilio = Sid::parse(SidKind::MessagingService, TWILIOS).expect("an id");
    registry.create_messaging(shop, "de".to_owned(), twilio).await.expect("a gateway");
    let webhook = WebhookFields {
        friendly_name: Some("ours".to_owned()),
        event_types: Some(vec![EventType::Approved.as_str().to_owned()]),
        url: Some("https://hooks.example/in?a=1".to_owned()),
        status: None,
    };
    registry.create_webhook(shop, webhook).await.expect("a webhook");
    let test = NewTestNumber {
        pattern: "+1415555012x".to_owned(),
        code: "123456".to_owned(),
        expires: START.plus(Duration::from_secs(3_600)),
        force: false,
    };
    registry.put_test_number(shop, test).await.expect("a test number");
    registry.add_safe_number(number("+14155552671")).await.expect("a safe number");
    let (before, safe) = (registry.service(&shop).expect("it"), registry.safe_number(number("+14155552671")));

    let registry = world.restarted().open().await;
    assert_eq!(registry.service(&shop).expect("it"), before);
    assert_eq!(registry.safe_number(number("+14155552671")), safe);
    assert_eq!(registry.default_service().sid, registry.services(1, 1)[0].sid);
}

#[tokio::test]
async fn a_second_start_writes_nothing() {
    let world = World::new().with_service(configured("shop"));
    let sids = |registry: &crate::registry::Registry| -> Vec<Sid> {
        registry.services(0, 10).iter().map(|service| service.sid).collect()
    };
    let first = sids(&world.open().await);
    let (kept, world) = (world.store.snapshot(), world.restarted());
    assert_eq!(sids(&world.open().await), first, "ids are bound to names");
    assert_eq!(world.store.snapshot(), kept);
}

#[tokio::test]
async fn when_the_store_refuses_nothing_has_changed() {
    let world = World::new();
    let registry = world.open().await;
    let shop = registry.made("Shop").await;
    for fault in [Fault::Unavailable, Fault::UnknownNotApplied] {
        world.store.fail_next([fault]);
        let refused = registry.update_service(shop.sid, named("Club")).await;
        assert!(matches!(refused, Err(RegistryError::Store(_))), "{fault:?}: {refused:?}");
        assert_eq!(registry.service(&shop.sid).expect("it").friendly_name, "Shop", "{fault:?}");
    }
    let changed = registry.update_service(shop.sid, named("Club")).await.expect("the store is well again");
    assert_eq!(changed.friendly_name, "Club");
}

#[tokio::test]
async fn when_the_store_did_it_without_saying_so_it_counts() {
    let world = World::new();
    let registry = world.open().await;
    world.store.fail_next([Fault::UnknownApplied]);
    let shop = registry.made("Shop").await;
    world.store.fail_next([Fault::UnknownApplied]);
    registry.delete_service(shop.sid).await.expect("it is gone");
    let world = world.restarted();
    assert_eq!(world.open().await.count(), 1);
}

#[tokio::test]
async fn after_an_unheard_commit_the_next_change_goes_through() {
    let world = World::new();
    let registry = world.open().await;
    let shop = registry.made("Shop").await;
    // Held until its time is over, and then applied by nobody.
    tokio::time::pause();
    world.store.fail_next([Fault::Hang]);
    let refused = registry.update_service(shop.sid, named("Club")).await;
    assert!(matches!(refused, Err(RegistryError::Store(_))), "{refused:?}");
    world.store.fail_next([Fault::Conflict]);
    let changed = registry.update_service(shop.sid, named("Team")).await;
    assert_eq!(changed.expect("a change").friendly_name, "Team");
    assert_eq!(world.restarted().open().await.service(&shop.sid).expect("it").friendly_name, "Team");
}

#[tokio::test]
async fn an_id_whose_commit_failed_is_not_given_again() {
    let world = World::new();
    let registry = world.open().await;
    world.store.fail_next([Fault::Unavailable]);
    assert!(registry.create_service(named("Shop")).await.is_err());
    let made = registry.made("Shop").await;
    assert_eq!(made.id.get(), 2, "1 may yet be on the disk");
}

#[tokio::test]
async fn whoever_asked_may_go_and_the_change_is_whole() {
    let world = World::new();
    let registry = world.open().await;
    world.store.hold();
    {
        let asked = registry.create_service(named("Shop"));
        tokio::pin!(asked);
        tokio::select! {
            biased;
            _ = &mut asked => panic!("the store is held"),
            () = world.store.waiting(1) => {}
        }
    }
    world.store.release();
    let next = registry.made("Club").await;
    assert_eq!((registry.count(), next.id.get()), (3, 2));
}

#[tokio::test]
async fn changes_at_the_same_time_are_made_one_after_the_other() {
    let world = World::new();
    let registry = world.open().await;
    let shop = registry.made("Shop").await.sid;
    let changes = (0..20).map(|n| registry.create_rate_limit(shop, format!("limit {n}"), None));
    let made = futures_util::future::join_all(changes).await;
    assert!(made.iter().all(Result::is_ok));
    let mut sids: Vec<Sid> = registry.service(&shop).expect("it").rate_limits.iter().map(|l| l.sid).collect();
    sids.sort();
    sids.dedup();
    assert_eq!(sids.len(), 20);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_stops_the_start() {
    use crate::registry::record::{credential_key, safe_number_key, service_key};
    use crate::store::{Revision, Store, Write, record};
    for key in
        [service_key(crate::domain::ServiceId::new(9)), credential_key(9), safe_number_key(14_155_552_671)]
    {
        for sealed in [record::seal(1, b"{}"), record::seal(2, b"{}"), record::seal(1, b"no JSON")] {
            let world = World::new();
            let put = Some(sealed);
            let write = Write { key, expect: Revision::ABSENT, put, gc_after: START };
            world.store.cas(vec![write], Duration::from_secs(1)).await.expect("written");
            let error = world.try_open().await.err().expect("an error").to_string();
            assert!(error.contains("cannot be read") && error.contains("check-data"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_key_that_was_made_or_revoked_is_so_after_a_restart() {
    let world = World::new();
    let registry = world.open().await;
    let wish = || KeyWish { scopes: [Scope::Verify].into_iter().collect(), ..KeyWish::default() };
    let kept = registry.create_key(wish()).await.expect("a key");
    let revoked = registry.create_key(wish()).await.expect("a key");
    registry.revoke_key(revoked.key.sid).await.expect("revoked");
    let registry = world.restarted().open().await;
    assert!(registry.authenticate(&kept.key.sid.to_string(), kept.secret.expose()).is_ok());
    assert!(registry.authenticate(&revoked.key.sid.to_string(), revoked.secret.expose()).is_err());
    let third = registry.create_key(wish()).await.expect("a key");
    assert_eq!(registry.keys(None).len(), 3);
    assert_eq!(registry.keys(None)[0].sid, third.key.sid, "the newest first");
}
