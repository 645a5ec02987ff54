//! Arbitrary states of numbers, for the properties of their table and of exports.

#![expect(clippy::expect_used, reason = "only tests use it")]

use proptest::prelude::*;

use crate::domain::{Channel, CodeLength, GatewayName, Held, Timestamp};
use crate::engine::{FailureCount, NumberState, OpenNumber, Salt, Verification, VerificationDetails};

fn held() -> impl Strategy<Value = Held> {
    (proptest::sample::select(&GatewayName::ALL), proptest::sample::select(&Channel::ALL))
        .prop_map(|(by, channel)| Held { by, channel })
}

/// Times of every size: most are in this century.
pub fn moment() -> impl Strategy<Value = Timestamp> {
    let millis = prop_oneof![
        4 => 1_600_000_000_000..2_000_000_000_000_u64,
        4 => 0..1_u64 << 48,
        1 => any::<u64>(),
        1 => Just(u64::MAX),
        1 => Just(0),
    ];
    millis.prop_map(Timestamp::from_millis)
}

fn counted() -> impl Strategy<Value = VerificationDetails> {
    let counts = (any::<u8>(), any::<u8>(), any::<bool>(), any::<bool>(), any::<u64>());
    (moment(), moment(), proptest::sample::select(&Channel::ALL), counts).prop_map(
        |(begun, last_send, channel, (sends, wrong, spent, canceled, offset))| VerificationDetails {
            begun,
            last_send,
            channel,
            sends,
            wrong,
            spent,
            canceled,
            offset,
        },
    )
}

fn failures() -> impl Strategy<Value = FailureCount> {
    let some = (1..=u8::MAX, moment(), moment()).prop_map(|(in_a_row, last, forgotten)| FailureCount {
        in_a_row,
        last,
        forgotten,
    });
    let of_a_fixed_lockout = any::<u8>().prop_map(|in_a_row| FailureCount { in_a_row, ..FailureCount::NONE });
    prop_oneof![Just(FailureCount::NONE), some, of_a_fixed_lockout]
}

fn verification() -> impl Strategy<Value = Verification> {
    let times = (moment(), moment(), moment());
    let flags = (any::<bool>(), any::<bool>());
    let marks = (proptest::option::of(held()), proptest::option::weighted(0.3, counted()));
    (any::<[u8; 16]>(), 4_u8..=10, any::<u8>(), times, flags, marks).prop_map(
        |(salt, length, sending, (expires, sending_until, checking_until), flags, (held, counted))| {
            let (sent, postponed) = flags;
            Verification {
                salt: Salt(salt),
                length: CodeLength::new(length).expect("a length"),
                expires,
                sending,
                sending_until,
                sent,
                postponed,
                held,
                checking_until,
                counted,
            }
        },
    )
}

/// Every state with a record.
pub fn kept_state() -> impl Strategy<Value = NumberState> {
    prop_oneof![
        moment().prop_map(|until| NumberState::Locked { until }),
        (failures(), moment(), proptest::option::of(verification())).prop_map(
            |(failures, keep_until, verification)| NumberState::Open(OpenNumber {
                failures,
                keep_until,
                verification
            })
        ),
    ]
}
