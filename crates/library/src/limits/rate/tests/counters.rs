//! Counters through their handle.

use super::{START, World, bucket, charge, charge_of, limit, reached, secs};
use crate::domain::{ServerKey, ServiceId};
use crate::limits::rate::digest::Digester;
use crate::limits::rate::{Counter, LimitRefusal, Limits};
use crate::shard::{LimitedTable, Record as _, Refusal, Subject};

#[tokio::test]
async fn a_request_is_counted_under_every_charge_or_under_none() {
    let (_world, limits) = fresh().await;
    let (narrow, wide) = ([bucket(1, 1, 60)], [bucket(2, 2, 3600)]);
    let both = || vec![charge_of(2, "b", &wide), charge("a", &narrow)];
    limits.take(both()).await.expect("room");
    for _ in 0..5 {
        assert_eq!(limits.take(both()).await, reached(START.plus(secs(60))));
    }
    limits.take(vec![charge_of(2, "b", &wide)]).await.expect("only one was counted before");
    let until = START.plus(secs(3600));
    assert_eq!(
        limits.take(both()).await,
        Err(LimitRefusal::Reached { limit: limit(2), until }),
        "the one that lasts longest is told"
    );
}

#[tokio::test]
async fn the_same_limit_and_value_twice_in_one_request_counts_once() {
    let (_world, limits) = fresh().await;
    let rule = [bucket(1, 2, 60)];
    for _ in 0..2 {
        limits.take(vec![charge("a", &rule), charge("a", &rule)]).await.expect("room");
    }
    assert_eq!(limits.take(vec![charge("a", &rule)]).await, reached(START.plus(secs(60))));
}

#[tokio::test]
async fn a_refusal_costs_no_commit() {
    let (world, limits) = fresh().await;
    let rule = [bucket(1, 1, 60)];
    limits.take(vec![charge("a", &rule)]).await.expect("room");
    for _ in 0..100 {
        assert_eq!(limits.take(vec![charge("a", &rule)]).await, reached(START.plus(secs(60))));
    }
    assert_eq!(world.store.commits(), 1);
}

#[tokio::test]
async fn when_all_of_a_value_was_given_back_its_record_goes() {
    let (world, limits) = fresh().await;
    let taken = limits.take(vec![charge("a", &[bucket(1, 2, 60)])]).await.expect("room");
    limits.give_back(taken);
    limits.shards.flush().await;
    assert_eq!(world.store.snapshot().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_many_come_at_once_exactly_as_many_pass_as_may() {
    let (world, limits) = fresh().await;
    let rule = [bucket(1, 37, 60)];
    let tasks = (0..200).map(|number| {
        let limits = limits.clone();
        let own = format!("device {number}");
        tokio::spawn(async move {
            limits.take(vec![charge("all", &rule), charge_of(2, &own, &rule)]).await.is_ok()
        })
    });
    let mut passed = 0;
    for task in tasks.collect::<Vec<_>>() {
        passed += usize::from(task.await.expect("no panic"));
    }
    assert_eq!(passed, 37);
    // Behind what the refused requests give back.
    for slot in 0..=u8::MAX {
        let subject = Subject { slot, id: [0; 12] };
        let behind = limits.shards.router().decide(subject, |_| Ok::<_, Refusal>(()));
        behind.await.expect("the shard runs").expect("a decision");
    }
    limits.shards.flush().await;
    assert_eq!(world.store.snapshot().len(), 38, "the refused ones left nothing");
}

async fn fresh() -> (World, Limits) {
    let world = World::new();
    let limits = world.limits().await;
    (world, limits)
}

#[tokio::test]
async fn a_full_table_refuses_new_values_and_counts_known_ones() {
    let world = World { records: 3, ..World::new() };
    let limits = world.limits().await;
    let rule = [bucket(1, 5, 60)];
    for value in ["a", "b", "c"] {
        limits.take(vec![charge(value, &rule)]).await.expect("room");
    }
    world.advance(20);
    let full = Refusal::TableFull { table: LimitedTable::Counters };
    assert_eq!(limits.take(vec![charge("d", &rule)]).await, Err(LimitRefusal::Refused(full)));
    let mixed = vec![charge("a", &rule), charge_of(2, "d", &rule)];
    assert!(matches!(limits.take(mixed).await, Err(LimitRefusal::Refused(Refusal::TableFull { .. }))));
    limits.take(vec![charge("a", &rule)]).await.expect("it is known");
    world.advance(60);
    limits.take(vec![charge("d", &rule)]).await.expect("what has ended makes room");
}

/// `docs/operate/sizing.md` has these figures.
#[tokio::test]
async fn a_value_takes_as_many_bytes_as_the_documents_say() {
    for (buckets, requests, bytes) in [(1, 1, 40..=60), (10, 100, 360..=400)] {
        let world = World::new();
        let limits = world.limits().await;
        let rules: Vec<_> = (0..buckets).map(|number| bucket(number, 1_000_000, 1_600)).collect();
        for _ in 0..requests {
            limits.take(vec![charge("a", &rules)]).await.expect("room");
            world.advance(16);
        }
        let kept: Vec<usize> = world.store.snapshot().values().map(|kept| kept.record.len()).collect();
        assert!(matches!(kept[..], [length] if bytes.contains(&length)), "{kept:?}, not {bytes:?}");
    }
}

#[tokio::test]
async fn what_is_too_long_or_too_much_is_refused_by_name_and_not_counted() {
    let (_world, limits) = fresh().await;
    let rule = [bucket(1, 5, 60)];
    limits.take(vec![charge(&"ä".repeat(255), &rule)]).await.expect("the longest value");
    let long = vec![charge(&"x".repeat(256), &rule)];
    assert_eq!(limits.take(long).await, Err(LimitRefusal::ValueTooLong));
    let many = |count: u8| (0..count).map(|number| charge_of(number, "a", &rule)).collect::<Vec<_>>();
    assert_eq!(limits.take(many(11)).await, Err(LimitRefusal::TooManyCharges));
    limits.take(many(10)).await.expect("as many as may be");
}

#[tokio::test]
async fn when_the_queue_is_full_the_next_request_is_refused_by_name() {
    let world = World { queue: 1, ..World::new() };
    let limits = world.limits().await;
    let rule = [bucket(1, 5, 60)];
    world.store.hold();
    let (clone, first) = (limits.clone(), vec![charge("a", &rule)]);
    let first = tokio::spawn(async move { clone.take(first).await });
    world.store.waiting(1).await;
    assert_eq!(limits.take(vec![charge("b", &rule)]).await, Err(LimitRefusal::Refused(Refusal::Overloaded)));
    world.store.release();
    first.await.expect("no panic").expect("room");
    limits.take(vec![charge("b", &rule)]).await.expect("there is a place again");
}

#[tokio::test]
async fn a_record_does_not_have_the_value() {
    let (world, limits) = fresh().await;
    let address = "203.0.113.77";
    limits.take(vec![charge(address, &[bucket(1, 5, 60)])]).await.expect("room");
    let (key, kept) = world.store.snapshot().into_iter().next().expect("a record");
    assert!(!String::from_utf8_lossy(&kept.record).contains(address));
    assert_eq!((key.kind, kept.expires), (Counter::KIND, START.plus(secs(60))));
}

#[test]
fn a_digest_depends_on_server_key_service_limit_and_value_only() {
    let digester_of = |byte| Digester::new(&ServerKey::from_bytes([byte; 32]));
    let (one, two) = (ServiceId::new(1), ServiceId::new(2));
    let digester = digester_of(1);
    let (subject, tag) = digester.counter(one, &limit(1), "a");
    assert!((subject, tag) == digester_of(1).counter(one, &limit(1), "a"), "after a restart too");
    for (other, other_tag) in [
        digester_of(2).counter(one, &limit(1), "a"),
        digester.counter(two, &limit(1), "a"),
        digester.counter(one, &limit(2), "a"),
        digester.counter(one, &limit(1), "A"),
    ] {
        assert!(other.id[4..] != subject.id[4..] && other_tag != tag);
    }
    assert_ne!(subject.id[4..], tag.to_be_bytes());
}
