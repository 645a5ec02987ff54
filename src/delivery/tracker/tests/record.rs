//! What is on the disk.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::record::{VERSION, decode, encode, key_of};
use super::super::track::{Plan, Row, Track};
use super::*;
use crate::domain::Locale;
use crate::store::record::seal;
use crate::store::{Revision, Write};
use crate::template::{AppHash, SendDigits, Wording};

fn moment() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp::from_millis)
}

fn row() -> impl Strategy<Value = Row> {
    let kinds = (
        prop::sample::select(Channel::ALL.to_vec()),
        prop::sample::select(GatewayName::ALL.to_vec()),
        prop::sample::select(SendStatus::ALL.to_vec()),
        prop::option::of(Just(ReceiptStatus::Failed)),
    );
    let rest =
        (any::<u8>(), any::<u32>(), any::<bool>(), moment(), any::<Option<String>>(), any::<Option<u32>>());
    (kinds, rest).prop_map(|((channel, gateway, status, receipt), rest)| {
        let (priority, retries, max_retries_reached, at, message_id, error_code) = rest;
        Row {
            channel,
            gateway,
            priority,
            status,
            retries,
            max_retries_reached,
            at,
            message_id,
            error_code,
            receipt,
        }
    })
}

fn style() -> impl Strategy<Value = MessageStyle> {
    let wordings = prop_oneof![
        Just(Wording::Api),
        Just(Wording::Tutorial),
        ".*".prop_map(|t| Wording::Custom(Arc::from(t)))
    ];
    let locale = prop::option::of(prop::sample::select(vec!["de", "pt-BR", "zh-Hant-TW"]));
    (wordings, locale, any::<bool>()).prop_map(|(wording, locale, hash)| MessageStyle {
        wording,
        locale: locale.and_then(Locale::parse),
        app_hash: hash.then(|| AppHash::parse("FA+9qCX9VSu")).flatten(),
        send_digits: hash.then(|| SendDigits::parse("ww12#")).flatten(),
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    let reason = prop_oneof![
        Just(Reason::NextStep),
        (any::<u8>(), any::<u32>()).prop_map(|(attempt, retries)| Reason::Retry { attempt, retries }),
    ];
    (any::<[u8; 16]>(), style(), moment(), moment(), reason, any::<u8>(), any::<u8>()).prop_map(
        |(salt, style, expires, due, reason, step, sent)| Plan {
            number: number(1),
            salt: Salt(salt),
            style,
            expires,
            follow_up: FollowUp { due, channel: Channel::Call, reason, step, sent },
        },
    )
}

fn track() -> impl Strategy<Value = Track> {
    let verify = prop::sample::select(VerifyStatus::ALL.to_vec());
    (moment(), verify, moment(), prop::collection::vec(row(), 0..5), prop::option::of(plan())).prop_map(
        |(created, verify, verify_at, rows, plan)| Track {
            number: number(1),
            created,
            verify,
            verify_at,
            rows,
            plan,
        },
    )
}

proptest! {
    #[test]
    fn what_was_written_is_what_is_read(track in track()) {
        let record = encode(&track).expect("a record");
        prop_assert_eq!(decode(&record).expect("a record"), track);
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
        let _ = decode(&seal(VERSION, &bytes));
    }
}

#[test]
fn numbers_that_mean_nothing_are_refused() {
    // Number 1, created 2, verify status, verify_at 3, no rows, no plan.
    assert!(decode(&seal(VERSION, &[1, 2, 0, 3, 0, 0])).is_ok());
    for wrong in [[0, 2, 0, 3, 0, 0], [1, 2, 9, 3, 0, 0]] {
        let error = decode(&seal(VERSION, &wrong)).expect_err("nonsense");
        assert!(matches!(error, TrackRecordError::Contents(_)), "{error}");
    }
}

#[tokio::test]
async fn a_record_of_a_newer_program_stops_the_start_and_says_so() {
    let store = MemoryStore::new();
    let write = Write {
        key: key_of(key(1)),
        expect: Revision::ABSENT,
        put: Some(seal(9, b"from the future")),
        gc_after: START.plus(SECOND),
    };
    store.cas(vec![write], SECOND).await.expect("written");
    let clock = Arc::new(ManualClock::starting_at(START));
    let failed = Tracker::open(Arc::new(store), clock, TrackerSettings::default(), SECOND).await;
    let error = failed.err().expect("a refusal");
    assert!(matches!(error, TrackerError::Record(TrackRecordError::Version(9))), "{error}");
}

#[tokio::test]
async fn a_usual_record_is_small() {
    let world = World::new().await;
    world.sent(1);
    world.tracker.flush().await.expect("written");
    let bytes = world.store.snapshot().into_values().next().expect("a record").record.len();
    // Without the provider's id, which has 34 characters at Twilio's.
    assert!(bytes <= 50, "{bytes}");
}
