//! Services: create, change, list, delete.

use super::*;
use crate::limits::keys::KeyedRequest;
use crate::registry::handle::{Inner, follow_kind};

#[tokio::test]
async fn a_service_that_was_removed_is_gone_and_its_id_is_never_given_again() {
    let world = World::bare().await;
    let registry = &world.registry;
    let service = registry.made("Shop").await;
    registry.delete_service(service.sid).await.expect("removed");
    assert!(registry.service_by_id(service.id).is_none());
    assert_eq!(registry.service(&service.sid), Err(RegistryError::NotFound(Item::Service)));
    let again = registry.delete_service(service.sid).await;
    assert_eq!(again, Err(RegistryError::NotFound(Item::Service)));
    assert_eq!(registry.count(), 1);
    let next = world.crashes().await.registry.made("Shop").await;
    assert!(next.id > service.id, "{:?} after {:?}", next.id, service.id);
}

#[tokio::test]
async fn a_person_finds_a_service_by_what_it_is_called() {
    let world = with_shop().await;
    let registry = &world.registry;
    let made = registry.made("Club").await;
    assert_eq!(registry.find_service("default").expect("it").id, ServiceId::DEFAULT);
    assert_eq!(registry.find_service("shop").expect("it").settings.friendly_name, "The shop");
    for text in ["Club".to_owned(), made.sid.to_string()] {
        assert_eq!(registry.find_service(&text).expect("it").id, made.id);
    }
    registry.made("Club").await;
    let ambiguous = registry.find_service("Club").expect_err("two");
    assert!(ambiguous.contains(&made.sid.to_string()), "{ambiguous}");
    let unknown = registry.find_service("unknown").expect_err("none");
    assert!(unknown.contains("no service \"unknown\""), "{unknown}");
    assert_eq!(registry.find_service("shop").expect("it").title(), "The shop");
}

#[tokio::test]
async fn a_shard_without_services_leaves_the_snapshot_of_another_one() {
    let world = World::bare().await;
    let Inner { shards, current, .. } = &*world.registry.inner;
    let before = current.load_full();
    follow_kind::<KeyedRequest>(shards, current, |_, _, _| {});
    assert!(shards.flush().await && Arc::ptr_eq(&before, &current.load_full()));
}
