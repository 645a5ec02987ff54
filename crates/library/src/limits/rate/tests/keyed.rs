//! Idempotency keys: the first request and its repetitions.

use super::{World, secs};
use crate::domain::{Channel, PhoneNumber, ServerKey, ServiceId};
use crate::engine::{SendOptions, SlotHash};
use crate::limits::rate::keyed::{ANSWER_KEPT_FOR, KEPT_BEYOND};
use crate::limits::rate::{IdempotencyKeys, KeyDecision, MOST_RECORDS, RequestKey};
use crate::shard::{Refusal, Shards, Subject};

const ONE: ServiceId = ServiceId::new(1);
const REQUEST: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];

fn number(last: u64) -> PhoneNumber {
    PhoneNumber::from_u64(14_155_550_000 + last).expect("a number")
}

async fn keys_of(world: &World) -> (Shards, IdempotencyKeys) {
    let shards = world.start().await;
    let keys = IdempotencyKeys::new(&shards, &ServerKey::from_bytes([7; 32]), world.records);
    (shards, keys)
}

/// The decision about a request for the number 1.
async fn begins(keys: &IdempotencyKeys, key: &str, fingerprint: [u8; 32]) -> KeyDecision {
    keys.begin(ONE, number(1), key, fingerprint).await.expect("a shard")
}

/// The decision that permits a message to the number 1. Returns `false` if an earlier one did.
async fn permits(shards: &Shards, key: RequestKey) -> bool {
    let slot = SlotHash::new(&ServerKey::from_bytes([7; 32])).of_number(ONE, number(1));
    let permitted = shards.router().decide(Subject { slot, id: [1; 12] }, move |view| {
        let is_first = !key.is_taken(view);
        if is_first {
            key.permit((7, Channel::Sms), view.now().plus(secs(1_200)), view);
        }
        Ok::<_, Refusal>(is_first)
    });
    permitted.await.expect("a shard").expect("a commit")
}

#[tokio::test]
async fn a_key_is_remembered_as_long_as_its_message_said() {
    let mut world = World::new();
    let (shards, keys) = keys_of(&world).await;
    let KeyDecision::First(running) = begins(&keys, "k", REQUEST).await else { panic!("it is new") };
    assert!(matches!(begins(&keys, "k", REQUEST).await, KeyDecision::StillAnswering));
    assert!(matches!(begins(&keys, "k", OTHER).await, KeyDecision::OtherRequest));
    assert!(permits(&shards, running.key()).await);
    assert!(matches!(begins(&keys, "k", REQUEST).await, KeyDecision::StillAnswering));
    drop(running);
    world.crashes();
    let (_shards, keys) = keys_of(&world).await;
    for wait in [0, 1_199] {
        world.clock.advance(secs(wait));
        let KeyDecision::Again(_, request) = begins(&keys, "k", REQUEST).await else { panic!("forgotten") };
        assert_eq!((request.known.verification, request.known.channel), (7, Channel::Sms));
        assert!(matches!(begins(&keys, "k", OTHER).await, KeyDecision::OtherRequest));
    }
    world.clock.advance(secs(1));
    assert!(matches!(begins(&keys, "k", OTHER).await, KeyDecision::First(_)));
}

#[tokio::test]
async fn a_key_belongs_to_a_service_and_a_number() {
    let (shards, keys) = keys_of(&World::new()).await;
    let KeyDecision::First(running) = begins(&keys, "k", REQUEST).await else { panic!("it is new") };
    permits(&shards, running.key()).await;
    for (service, number) in [(ServiceId::new(2), number(1)), (ONE, number(2))] {
        let begun = keys.begin(service, number, "k", OTHER).await;
        assert!(matches!(begun, Ok(KeyDecision::First(_))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_one_moment_exactly_one_is_permitted() {
    let (shards, keys) = keys_of(&World::new()).await;
    for round in 0..20 {
        let key = format!("key {round}");
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (shards, keys, key) = (shards.clone(), keys.clone(), key.clone());
                tokio::spawn(async move {
                    match begins(&keys, &key, REQUEST).await {
                        KeyDecision::First(running) => usize::from(permits(&shards, running.key()).await),
                        _ => 0,
                    }
                })
            })
            .collect();
        let mut permitted = 0;
        for task in tasks {
            permitted += task.await.expect("no panic");
        }
        assert_eq!(permitted, 1);
        assert!(matches!(begins(&keys, &key, REQUEST).await, KeyDecision::Again(..)));
    }
}

#[tokio::test]
async fn a_request_that_looked_before_the_first_one_ended_is_not_the_first() {
    let (shards, keys) = keys_of(&World::new()).await;
    let mut early = std::pin::pin!(begins(&keys, "k", REQUEST));
    // It has asked for the record, of which there is none yet.
    assert!(futures_util::poll!(&mut early).is_pending());
    if let KeyDecision::First(running) = begins(&keys, "k", REQUEST).await {
        permits(&shards, running.key()).await;
    }
    if let KeyDecision::First(running) = early.await {
        assert!(permits(&shards, running.key()).await, "a second message would have left");
    }
}

#[test]
fn the_manual_says_how_many_keyed_sends_a_second_a_service_may_make() {
    let kept = SendOptions::DEFAULT.life + KEPT_BEYOND + ANSWER_KEPT_FOR;
    let each_second = MOST_RECORDS / usize::try_from(kept.as_secs()).expect("a few minutes");
    let manual = include_str!("../../../../../../docs/operate/sizing.md");
    assert!(manual.contains(&format!("{each_second} sends a second")), "{each_second}");
}
