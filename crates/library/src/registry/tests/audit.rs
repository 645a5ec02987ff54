//! Entries of the audit log about changes of the registry.

use super::*;
use crate::clock::Clock as _;
use crate::registry::audit::AuditEntry;
use crate::shard::{LogPart, LogRange};

#[tokio::test]
async fn equal_changes_of_one_author_in_an_hour_are_one_entry() {
    let (world, registry) = World::opened().await;
    let service = registry.create_service(named("Shop")).await.expect("a service").sid;
    let begin = world.clock.now();
    for (minutes, name) in [(0, None), (1, None), (2, Some("anna")), (3, None), (70, None)] {
        world.clock.advance(begin.plus(Duration::from_secs(60 * minutes)).since(world.clock.now()));
        let actor = name.map_or(Actor::Account, |name| Actor::User { uid: 1, name: Some(name.to_owned()) });
        let by = registry.on_behalf_of(registry.author(actor, Some(&minutes.to_string())));
        by.update_service(service, named(&format!("Shop {minutes}"))).await.expect("changed");
    }
    let entries = everything(&registry).await.records;
    let of = |entry: &AuditEntry| {
        let minutes = |at: Timestamp| at.since(begin).as_secs() / 60;
        (entry.actor.kind(), entry.times, minutes(entry.first), minutes(entry.at), entry.request_id.clone())
    };
    let expected = [("account", 1, 70, 70, "70"), ("account", 3, 0, 3, "3"), ("user", 1, 2, 2, "2")]
        .map(|(kind, times, first, last, request)| (kind, times, first, last, Some(request.to_owned())));
    assert_eq!(entries.iter().map(of).collect::<Vec<_>>(), expected);
    let values = |entry: &AuditEntry| entry.change.values.iter().map(ToString::to_string).collect::<String>();
    assert_eq!(values(&entries[1]), "friendly-name: Shop → Shop 3");
}

#[tokio::test]
async fn an_author_who_creates_and_deletes_all_day_pushes_out_nothing() {
    let registry = World::new().open().await;
    let service = registry.create_service(named("Shop")).await.expect("a service").sid;
    let by = registry.on_behalf_of(registry.author(Actor::Account, None));
    let entries = async || everything(&registry).await.records;
    for number in 0..500 {
        if number == 20 {
            let entries = entries().await;
            assert!(entries.len() == 40 && entries.iter().all(|entry| entry.change.resource.is_some()));
            let keys = |entry: &AuditEntry| {
                entry.change.values.iter().map(|value| value.key.clone()).collect::<Vec<_>>().join(" ")
            };
            let (made, deleted) = ("enabled events name url", "");
            assert!(entries.iter().all(|entry| [made, deleted].contains(&keys(entry).as_str())));
        }
        let made = by.create_webhook(service, webhook(&["*"])).await.expect("created");
        by.delete_webhook(service, made.sid).await.expect("deleted");
    }
    let entries = entries().await;
    assert_eq!(entries.iter().map(|entry| entry.times).sum::<u32>(), 1_000);
    assert!(entries.len() <= 256, "{}", entries.len());
}

#[tokio::test]
async fn a_change_without_an_author_or_without_an_effect_has_no_entry() {
    let registry = World::new().open().await;
    let service = registry.create_service(named("Shop")).await.expect("a service").sid;
    let authored = registry.on_behalf_of(registry.author(Actor::Account, None));
    authored.update_service(service, named("Shop")).await.expect("unchanged");
    authored.delete_webhook(service, service).await.expect_err("no such webhook");
    let LogPart { records: entries, has_more, .. } = everything(&registry).await;
    assert_eq!((entries, has_more), (Vec::new(), false));
}

async fn everything(registry: &Registry) -> LogPart<AuditEntry> {
    let (since, until, fits, limit) = (Timestamp::EPOCH, None, |_: &AuditEntry| true, usize::MAX);
    let all = LogRange { since, until, fits, skip: 0, limit, read: usize::MAX };
    registry.audit().list(None, all).await.expect("a list")
}
