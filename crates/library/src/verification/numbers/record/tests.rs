//! The table of numbers returns every record as it was set, and the limits count each.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::states::kept_state;
use super::*;
use crate::clock::{Clock, ManualClock};
use crate::domain::{Channel, CodeLength, PhoneNumber, ServiceId};
use crate::engine::{FailureCount, OpenNumber, Salt, SendOptions, Verification, VerificationDetails};
use crate::registry::world::{START, start_shards};
use crate::shard::faulty_store::FaultyStore;
use crate::shard::{END, Map, RecordKey, Refusal, Stored, Subject, Transaction, Write, decode, encode};
use crate::store::Store as _;

fn key(digits: u64) -> NumberKey {
    let number = PhoneNumber::from_u64(digits).expect("a number");
    NumberKey::new(ServiceId::DEFAULT, number)
}

fn stored(state: &NumberState) -> Stored {
    Stored::of(state)
}

fn record(key: NumberKey) -> RecordKey {
    RecordKey { slot: 7, kind: NumberState::KIND, id: key.id() }
}

fn table() -> Map {
    Map::of::<NumberState>()
}

fn set(table: &mut Map, key: NumberKey, state: &NumberState) {
    table.set(record(key), &stored(state));
}

#[test]
fn a_sweep_drops_the_expired_verification_of_a_count() {
    let at = |millis: u64| Timestamp::from_millis(1_800_000_000_000 + millis);
    let end = at(5_000);
    // One that was canceled is shown until it expires, like any other.
    let counted =
        VerificationDetails { canceled: true, ..VerificationDetails::beginning(at(1), Channel::Sms) };
    let options = SendOptions { life: Duration::from_secs(5), length: CodeLength::SIX };
    let beginning = Verification::beginning(Salt([7; 16]), &options, at(0));
    let verification = Verification { counted: Some(counted), ..beginning };
    let failures = FailureCount { in_a_row: 3, last: at(2), forgotten: at(5_000) };
    let keep_until = at(9_000);
    let count = OpenNumber { failures, keep_until, verification: None };
    let (count, before) = (
        NumberState::Open(count),
        NumberState::Open(OpenNumber { verification: Some(verification), ..count }),
    );
    let mut table = table();
    set(&mut table, key(1), &before);
    let first = (record(key(1)).slot, 0);
    table.compact(first, at(4_999));
    assert_eq!((table.is_large(first), table.get(&record(key(1)))), (true, Some(stored(&before))));
    table.compact(first, end);
    assert_eq!((table.is_large(first), table.get(&record(key(1)))), (false, Some(stored(&count))));
}

/// Plan with 100 bytes for such a number: the entry has 72, and a place in the index 6 to 12.
#[test]
fn a_number_with_a_code_of_the_compatible_routes_is_in_its_entry() {
    let century = Timestamp::from_millis(4_000_000_000_000);
    let options = SendOptions { life: Duration::ZERO, length: CodeLength::new(10).expect("a length") };
    let beginning = Verification::beginning(Salt([7; 16]), &options, century);
    let verification = Verification { sending: u8::MAX, sent: true, postponed: true, ..beginning };
    let open =
        OpenNumber { failures: FailureCount::NONE, keep_until: century, verification: Some(verification) };
    let mut table = table();
    set(&mut table, key(1), &NumberState::Open(open));
    assert!(!table.is_large((record(key(1)).slot, 0)));
}

#[tokio::test]
async fn numbers_and_test_numbers_count_apart_also_after_a_restart() {
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
    let (held, router) = (|| capacities.each_ref().map(|of| of.usage().held), shards.router());
    let subject = |key: NumberKey| Subject { slot: 7, id: key.id() };
    let set = |key: NumberKey, state: Option<NumberState>| {
        router.decide_unbounded(subject(key), move |view| {
            view.put(key.id(), state.as_ref());
            Ok::<_, Refusal>(())
        })
    };
    set(key(2), Some(NumberState::Locked { until: START })).await.expect("an answer").expect("set");
    assert_eq!(held(), [2, 1]);
    set(key(3), Some(state)).await.expect("an answer").expect("set");
    set(NumberKey { is_test: true, ..key(1) }, None).await.expect("an answer").expect("removed");
    assert_eq!(held(), [3, 0]);
    let fails =
        |_: &mut Transaction<'_>| -> Result<(), Refusal> { panic!("a command that the shard cannot decide") };
    assert!(router.decide_unbounded(subject(key(1)), fails).await.is_err(), "it answered");
    while !matches!(set(key(1), None).await, Ok(Ok(()))) {
        tokio::task::yield_now().await;
    }
    assert_eq!(held(), [2, 0]);
}

#[derive(Debug, Clone)]
enum Step {
    Set(NumberKey, NumberState),
    Remove(NumberKey),
}

fn some_key() -> impl Strategy<Value = NumberKey> {
    // Few keys, because each must occur often; some are the same number in different services.
    let number = (1..30_u64).prop_map(|digits| PhoneNumber::from_u64(digits).expect("a number"));
    (0..2_u32, number, 0..3_usize)
        .prop_map(|(service, number, which)| NumberKey::all(ServiceId::new(service), number)[which])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (some_key(), kept_state()).prop_map(|(key, state)| Step::Set(key, state)),
        2 => some_key().prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn a_table_holds_what_was_set_to_the_last_bit(steps in proptest::collection::vec(step(), 1..80)) {
        let mut table = table();
        let mut model: HashMap<NumberKey, NumberState> = HashMap::new();
        for step in steps {
            match step {
                Step::Set(key, state) => {
                    set(&mut table, key, &state);
                    model.insert(key, state);
                }
                Step::Remove(key) => {
                    prop_assert_eq!(table.remove(&record(key)), model.remove(&key).is_some());
                }
            }
            prop_assert_eq!(table.count(), model.len());
            for (key, state) in &model {
                prop_assert_eq!(table.get(&record(*key)), Some(stored(state)));
            }
        }
        let mut walked = HashMap::new();
        let mut next = table.before(END);
        while let Some((position, key, expires)) = next {
            walked.insert(key, table.get(&key).filter(|stored| stored.expires == expires));
            next = table.before(position);
        }
        let expected: HashMap<_, _> = model.iter().map(|(key, state)| (record(*key), Some(stored(state)))).collect();
        prop_assert_eq!(walked, expected);
    }

    #[test]
    fn a_record_reads_back_as_it_was_written(state in kept_state()) {
        let bytes = encode(&state);
        prop_assert_eq!(decode::<NumberState>(&bytes).expect("a record"), state);
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = decode::<NumberState>(&bytes);
    }
}
