//! Entries of the audit log about changes of the registry.

use super::*;
use crate::registry::audit::AuditEntry;
use crate::shard::LogRange;

#[tokio::test]
async fn each_change_is_an_entry_with_its_author_and_values() {
    let world = World::bare().await;
    let registry = &world.registry;
    let service = registry.create_service(named("Shop")).await.expect("a service").sid;
    for (name, called) in [(None, "Club"), (Some("anna"), "Shop"), (None, "Club")] {
        world.clock.advance(Duration::from_secs(60));
        let name = name.map(str::to_owned);
        let actor = Actor::new(if name.is_some() { "user" } else { "account" }, None, name);
        let by = registry.on_behalf_of(registry.author(actor, Some(called)));
        by.update_service(service, named(called)).await.expect("changed");
    }
    let entries = everything(registry).await;
    let of = |entry: &AuditEntry| {
        let request = entry.request_id.clone().expect("an id");
        [entry.actor.to_string(), request, entry.changes.clone()]
    };
    let (to_club, to_shop) = ("friendly-name: Shop → Club", "friendly-name: Club → Shop");
    let expected =
        [["account", "Club", to_club], ["user (anna)", "Shop", to_shop], ["account", "Club", to_club]];
    assert_eq!(entries.iter().map(of).collect::<Vec<_>>(), expected.map(|entry| entry.map(str::to_owned)));
}

#[tokio::test]
async fn a_change_without_an_author_or_without_an_effect_has_no_entry() {
    let registry = opened().await;
    let service = registry.create_service(named("Shop")).await.expect("a service").sid;
    let authored = registry.on_behalf_of(registry.author(Actor::new("account", None, None), None));
    authored.update_service(service, named("Shop")).await.expect("unchanged");
    authored.delete_webhook(service, service).await.expect_err("no such webhook");
    assert!(everything(&registry).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_too_many_entries_the_oldest_go_and_keys_push_out_none_of_people() {
    let world = World::bare().await;
    let registry = &world.registry;
    let service = registry.made("Shop").await.sid;
    world.shards.keep_newest::<AuditEntry>([2, 3], Duration::MAX);
    let sid = Sid::new(SidKind::ApiKey, [7; 16]).to_string();
    for (called, kind) in ["account", "user", "key", "key", "account", "key", "user"].iter().enumerate() {
        world.advance(Duration::from_secs(1));
        let actor = Actor::new(kind, (*kind == "key").then(|| sid.clone()), None);
        let by = registry.on_behalf_of(registry.author(actor, None));
        by.update_service(service, named(&called.to_string())).await.expect("changed");
    }
    world.advance(Duration::from_secs(10));
    let kept = async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        everything(registry).await.into_iter().map(|entry| entry.actor.kind).collect::<Vec<_>>()
    };
    assert_eq!(kept().await, ["user", "key", "account", "key", "user"]);
    // Where a list has a time, only those that may be forgotten go after it.
    world.shards.keep_newest::<AuditEntry>([2, 3], Duration::from_secs(12));
    assert_eq!(kept().await, ["user", "key", "account", "user"]);
}

async fn everything(registry: &Registry) -> Vec<AuditEntry> {
    let (since, until, fits, limit) = (Timestamp::EPOCH, None, |_: &AuditEntry| true, usize::MAX);
    let all = LogRange { since, until, fits, skip: 0, limit };
    registry.audit(all).await.expect("a list")
}
