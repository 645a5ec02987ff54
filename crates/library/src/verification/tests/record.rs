//! A record of a number is small, and counts against its limit.

use std::time::Duration;

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::domain::{CodeLength, PhoneNumber, ServiceId};
use crate::engine::{FailureCount, OpenNumber, Salt, SendOptions, Verification};
use crate::registry::world::{START, start_shards};
use crate::shard::faulty_store::FaultyStore;
use crate::shard::{INLINE, RecordKey, Refusal, Subject, Transaction, Write, encode};
use crate::store::Store as _;

fn key(digits: u64) -> NumberKey {
    let number = PhoneNumber::from_u64(digits).expect("a number");
    NumberKey::new(ServiceId::DEFAULT, number)
}

fn record(key: NumberKey) -> RecordKey {
    RecordKey { slot: 7, kind: NumberState::KIND, id: key.id() }
}

/// Plan with 100 bytes for such a number: the entry has 72, and its chunk has room.
#[test]
fn a_number_with_a_code_of_the_compatible_routes_is_in_its_entry() {
    let century = Timestamp::from_millis(4_000_000_000_000);
    let options = SendOptions { life: Duration::ZERO, length: CodeLength::new(10).expect("a length") };
    let beginning = Verification::beginning(Salt([7; 16]), &options, century);
    let verification = Verification { sending: u8::MAX, sent: true, postponed: true, ..beginning };
    let open =
        OpenNumber { failures: FailureCount::NONE, keep_until: century, verification: Some(verification) };
    assert!(encode(&NumberState::Open(open)).len() <= INLINE);
}

#[tokio::test]
async fn numbers_and_test_numbers_count_apart_also_after_a_panic() {
    let (store, clock) = (FaultyStore::new(), Arc::new(ManualClock::starting_at(START)) as Arc<dyn Clock>);
    let state = NumberState::Locked { until: Timestamp::MAX };
    let kept = [key(1), key(2), NumberKey { is_test: true, ..key(1) }].map(|key| Write {
        key: record(key),
        put: Some(encode(&state)),
        expires: Timestamp::MAX,
    });
    store.commit(kept.into(), Box::new(drop));
    let shards = start_shards(1, &store, &clock, 1).await.expect("shards");
    let capacities = capacities(&shards, 10);
    let held = || capacities.each_ref().map(|of| of.usage().held);
    let subject = |key: NumberKey| Subject { slot: 7, id: key.id() };
    let set = |key: NumberKey, state: Option<NumberState>| {
        shards.decide(subject(key), move |view| {
            view.put(key.id(), state.as_ref());
            Ok::<_, Refusal>(())
        })
    };
    set(key(2), Some(NumberState::Locked { until: START.plus(Duration::from_secs(1)) }))
        .await
        .expect("an answer")
        .expect("set");
    assert_eq!(held(), [2, 1]);
    set(key(3), Some(state)).await.expect("an answer").expect("set");
    set(NumberKey { is_test: true, ..key(1) }, None).await.expect("an answer").expect("removed");
    assert_eq!(held(), [3, 0]);
    let fails =
        |_: &mut Transaction<'_>| -> Result<(), Refusal> { panic!("a command that the shard cannot decide") };
    assert!(shards.decide(subject(key(1)), fails).await.is_err(), "it answered");
    set(key(1), None).await.expect("an answer").expect("removed");
    assert_eq!(held(), [2, 0]);
}
