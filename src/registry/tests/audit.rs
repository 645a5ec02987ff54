//! Entries of the audit log about changes of the registry.

use std::time::Duration;

use super::world::{World, named, number};
use crate::registry::audit::{Actor, AuditLog, AuditQuery};
use crate::shard::LogPart;

#[tokio::test]
async fn the_oldest_entries_go_when_there_are_too_many() {
    let world = World::new();
    let registry = world.open().await;
    let few = AuditLog::follow(&registry.inner.shards, 3);
    let registry = registry.on_behalf_of(registry.author(Actor::Account, None));
    let numbers = ["+14155550101", "+14155550102", "+14155550103", "+14155550104", "+14155550105"];
    for text in numbers {
        world.clock.advance(Duration::from_secs(1));
        registry.add_safe_number(number(text)).await.expect("added");
    }
    let all = AuditQuery { limit: usize::MAX, ..AuditQuery::default() };
    let listed = async || few.entries(&all).await.expect("a list").records;
    while listed().await.len() > 3 {
        tokio::task::yield_now().await;
    }
    let newest: Vec<_> = listed().await.into_iter().map(|entry| entry.change.number).collect();
    let expected = numbers.iter().rev().take(3).map(|text| Some(number(text).to_string()));
    assert_eq!(newest, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn changes_of_one_service_remove_no_entry_of_another() {
    let world = World::new();
    let registry = world.open().await;
    let few = AuditLog::follow(&registry.inner.shards, 10);
    let registry = registry.on_behalf_of(registry.author(Actor::Account, None));
    let quiet = registry.create_service(named("Quiet")).await.expect("a service").sid;
    let busy = registry.create_service(named("Busy")).await.expect("a service").sid;
    for change in 0..40 {
        world.clock.advance(Duration::from_secs(1));
        registry.update_service(busy, named(&format!("Busy {change}"))).await.expect("changed");
    }
    let all = AuditQuery { limit: usize::MAX, ..AuditQuery::default() };
    let listed = async || few.entries(&all).await.expect("a list").records;
    while listed().await.len() > 10 {
        tokio::task::yield_now().await;
    }
    assert!(listed().await.iter().any(|entry| entry.change.service == Some(quiet)));
}

#[tokio::test]
async fn a_change_without_an_author_or_without_an_effect_has_no_entry() {
    let world = World::new();
    let registry = world.open().await;
    let service = registry.create_service(named("Shop")).await.expect("a service").sid;
    let authored = registry.on_behalf_of(registry.author(Actor::Account, None));
    authored.update_service(service, named("Shop")).await.expect("unchanged");
    authored.delete_webhook(service, service).await.expect_err("no such webhook");
    let all = AuditQuery { limit: usize::MAX, ..AuditQuery::default() };
    let LogPart { records: entries, has_more, .. } = registry.audit().entries(&all).await.expect("a list");
    assert_eq!((entries, has_more), (Vec::new(), false));
}
