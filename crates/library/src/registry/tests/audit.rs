//! Entries of the audit log about changes of the registry.

use super::*;
use crate::clock::Clock as _;
use crate::registry::audit::AuditEntry;
use crate::shard::{LogPart, LogRange};

#[tokio::test]
async fn equal_changes_of_one_author_in_an_hour_are_one_entry() {
    let world = World::bare().await;
    let registry = &world.registry;
    let service = registry.create_service(named("Shop")).await.expect("a service").sid;
    let begin = world.clock.now();
    let steps = [
        (0, None, "Club"),
        (1, None, "Shop"),
        (2, None, "Club"),
        (3, Some("anna"), "Shop"),
        (70, None, "Club"),
    ];
    for (minutes, name, called) in steps {
        world.clock.advance(begin.plus(Duration::from_secs(60 * minutes)).since(world.clock.now()));
        let name = name.map(str::to_owned);
        let actor = Actor::new(if name.is_some() { "user" } else { "account" }, None, name);
        let by = registry.on_behalf_of(registry.author(actor, Some(&minutes.to_string())));
        by.update_service(service, named(called)).await.expect("changed");
    }
    let entries = everything(registry).await.records;
    let of = |entry: &AuditEntry| {
        let minutes = |at: Timestamp| at.since(begin).as_secs() / 60;
        let (who, request) = (entry.actor.to_string(), entry.request_id.clone().expect("an id"));
        (who, entry.times, minutes(entry.first), minutes(entry.at), request, entry.changes.clone())
    };
    let (to_club, to_shop) = ("friendly-name: Shop → Club", "friendly-name: Club → Shop");
    let expected = [
        ("account", 1, 70, 70, "70", to_club),
        ("user (anna)", 1, 3, 3, "3", to_shop),
        ("account", 2, 0, 2, "2", to_club),
        ("account", 1, 1, 1, "1", to_shop),
    ]
    .map(|(who, times, first, last, request, changes)| {
        (who.to_owned(), times, first, last, request.to_owned(), changes.to_owned())
    });
    assert_eq!(entries.iter().map(of).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn an_author_who_creates_and_deletes_all_day_pushes_out_nothing() {
    let registry = opened().await;
    let service = registry.create_service(named("Shop")).await.expect("a service").sid;
    let by = registry.on_behalf_of(registry.author(Actor::new("account", None, None), None));
    for _ in 0..500 {
        let made = by.create_webhook(service, webhook(&["*"])).await.expect("created");
        by.delete_webhook(service, made.sid).await.expect("deleted");
    }
    let entries = everything(&registry).await.records;
    assert_eq!(entries.iter().map(|entry| entry.times).sum::<u32>(), 1_000);
    assert_eq!(entries.iter().filter(|entry| entry.resource().is_some()).count(), 255);
    assert!(entries.len() <= 256, "{}", entries.len());
}

#[tokio::test]
async fn a_change_without_an_author_or_without_an_effect_has_no_entry() {
    let registry = opened().await;
    let service = registry.create_service(named("Shop")).await.expect("a service").sid;
    let authored = registry.on_behalf_of(registry.author(Actor::new("account", None, None), None));
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
