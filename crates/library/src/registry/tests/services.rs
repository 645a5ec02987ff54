//! Services: create, change, list, delete.

use super::*;
use crate::registry::ServiceRecord;
use crate::registry::services::service_id;
use crate::shard::Record as _;
use crate::store::{Key, Store as _, Write};

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
    assert!(ambiguous.contains("there are several"), "{ambiguous}");
    let unknown = registry.find_service("unknown").expect_err("none");
    assert!(unknown.contains("no service \"unknown\""), "{unknown}");
    assert_eq!(registry.find_service("shop").expect("it").title(), "The shop");
}

#[tokio::test]
async fn there_are_so_many_services_and_ids_and_no_more() {
    for (ids, made) in [(1..10_000, false), (1..9_999, true), ((1 << 24) - 1..1 << 24, false)] {
        let sample = opened().await.made("Shop").await;
        let world = World::bare().await;
        let writes = ids.map(|id| {
            let mut sid = [0; 16];
            sid[..4].copy_from_slice(&u32::to_be_bytes(id));
            let (id, sid) = (ServiceId::new(id), Sid::new(SidKind::Service, sid));
            let service = Box::new(Service { id, sid, ..Service::clone(&sample) });
            let put = Some(crate::shard::encode(&ServiceRecord::Present(service)));
            let key = Key { slot: 0, kind: ServiceRecord::KIND, id: service_id(id) };
            Write { key, put, expires: Timestamp::MAX }
        });
        world.store.commit(writes.collect(), Box::new(|written| written.expect("written")));
        let answer = world.crashes().await.registry.create_service(named("Club")).await.map(|_| ());
        let refused = Err(RegistryError::TooMany { item: Item::Service, limit: 10_000 });
        assert_eq!(answer, if made { Ok(()) } else { refused });
    }
}
