//! Arbitrary states of both kinds.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::delivery::tracker::{FollowUp, Plan, Reason, Row, SendStatus, VerifyStatus, receipt_from_name};
use crate::domain::{Channel, CodeLength, GatewayName, Held, Locale};
use crate::engine::{Counted, Salt, Tally};
use crate::template::{AppHash, MessageStyle, SendDigits, Wording};

/// Records in the order of their keys.
pub(super) fn items() -> impl Strategy<Value = Vec<Item>> {
    let numbers = btree_map((0..3_u32, 1..999_999_999_999_999_u64), (state(), moment()), 0..12);
    let sends = btree_map((0..3_u32, any::<u64>()), (track(), moment()), 0..6);
    (numbers, sends).prop_map(|(numbers, sends)| {
        let numbers = numbers.into_iter().map(|((service, digits), (state, gc_after))| {
            let number = PhoneNumber::from_u64(digits).expect("a number");
            Item { gc_after, content: Content::Number(ServiceId::new(service), number, state) }
        });
        let sends = sends.into_iter().map(|((service, track), (content, gc_after))| {
            let key = TrackKey { service: ServiceId::new(service), track };
            Item { gc_after, content: Content::Sends(key, content) }
        });
        numbers.chain(sends).collect()
    })
}

/// A number with three wrong codes, and a lockout.
pub(super) fn some() -> Vec<Item> {
    let until = Timestamp::from_millis(1_700_000_000_000);
    let states = BTreeMap::from([
        (
            14_155_552_671,
            NumberState::Open { failures: 3, keep_until: until, tally: Tally::NONE, verification: None },
        ),
        (14_155_552_672, NumberState::Locked { until }),
    ]);
    let item = |(digits, state)| {
        let number = PhoneNumber::from_u64(digits).expect("a number");
        Item { gc_after: until, content: Content::Number(ServiceId::DEFAULT, number, state) }
    };
    states.into_iter().map(item).collect()
}

fn moment() -> impl Strategy<Value = Timestamp> {
    let around_now = 1_600_000_000_000..2_000_000_000_000_u64;
    prop_oneof![1 => any::<u64>(), 8 => around_now, 1 => Just(0), 1 => Just(u64::MAX)]
        .prop_map(Timestamp::from_millis)
}

fn channel() -> impl Strategy<Value = Channel> {
    select(Channel::ALL.to_vec())
}

fn gateway() -> impl Strategy<Value = GatewayName> {
    select(GatewayName::ALL.to_vec())
}

fn salt() -> impl Strategy<Value = Salt> {
    any::<[u8; 16]>().prop_map(Salt)
}

fn state() -> impl Strategy<Value = NumberState> {
    let open = (any::<u8>(), moment(), tally(), option::of(verification())).prop_map(
        |(failures, keep_until, tally, verification)| NumberState::Open {
            failures,
            keep_until,
            tally,
            verification,
        },
    );
    prop_oneof![3 => open, 1 => moment().prop_map(|until| NumberState::Locked { until })]
}

fn tally() -> impl Strategy<Value = Tally> {
    let some = (any::<u8>(), moment()).prop_map(|(named, slow_until)| Tally { named, slow_until });
    prop_oneof![Just(Tally::NONE), some]
}

fn counted() -> impl Strategy<Value = Counted> {
    let counts = (any::<u8>(), any::<u8>(), any::<u8>(), any::<bool>(), any::<u64>());
    (moment(), moment(), channel(), counts).prop_map(
        |(begun, last_send, channel, (sends, wrong, unnamed, spent, offset))| Counted {
            begun,
            last_send,
            channel,
            sends,
            wrong,
            unnamed,
            spent,
            offset,
        },
    )
}

fn verification() -> impl Strategy<Value = Verification> {
    let length = (CodeLength::MIN..=CodeLength::MAX).prop_map(|n| CodeLength::new(n).expect("a length"));
    let held = option::of((gateway(), channel()).prop_map(|(by, channel)| Held { by, channel }));
    let marks = (held, option::of(counted()));
    (salt(), length, moment(), any::<u8>(), moment(), any::<(bool, bool)>(), marks, moment()).prop_map(
        |(
            salt,
            length,
            expires,
            sending,
            sending_until,
            (sent, postponed),
            (held, counted),
            checking_until,
        )| {
            Verification {
                salt,
                length,
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

fn track() -> impl Strategy<Value = Track> {
    let number =
        (1..999_999_999_999_999_u64).prop_map(|digits| PhoneNumber::from_u64(digits).expect("a number"));
    let verify = select(VerifyStatus::ALL.to_vec());
    (number, moment(), verify, moment(), vec(row(), 0..4), option::of(plan())).prop_map(
        |(number, created, verify, verify_at, rows, plan)| {
            let plan = plan.map(|plan| Plan { number, ..plan });
            Track { number, created, verify, verify_at, rows, plan }
        },
    )
}

fn row() -> impl Strategy<Value = Row> {
    let receipt =
        option::of(select(vec!["queued", "sending", "sent", "answered", "failed", "delivered", "read"]));
    let status = select(SendStatus::ALL.to_vec());
    let rest =
        (any::<u8>(), any::<u32>(), any::<bool>(), option::of(any::<String>()), option::of(any::<u32>()));
    (channel(), gateway(), status, moment(), receipt, rest).prop_map(
        |(
            channel,
            gateway,
            status,
            at,
            receipt,
            (priority, retries, max_retries_reached, message_id, error_code),
        )| Row {
            channel,
            gateway,
            priority,
            status,
            retries,
            max_retries_reached,
            at,
            message_id,
            error_code,
            receipt: receipt.and_then(receipt_from_name),
        },
    )
}

fn plan() -> impl Strategy<Value = Plan> {
    let wording = prop_oneof![
        Just(Wording::Api),
        Just(Wording::Tutorial),
        any::<String>().prop_map(|text| Wording::Custom(Arc::from(text))),
    ];
    let locale = option::of(select(vec!["de", "pt-BR", "zh-Hant"]));
    let app_hash = option::of("[A-Za-z0-9+/]{11}");
    let reason = prop_oneof![
        Just(Reason::NextStep),
        any::<(u8, u32)>().prop_map(|(attempt, retries)| Reason::Retry { attempt, retries }),
    ];
    let style = (wording, locale, app_hash).prop_map(|(wording, locale, app_hash)| MessageStyle {
        wording,
        locale: locale.and_then(Locale::parse),
        send_digits: app_hash.is_some().then(|| SendDigits::parse("ww12#")).flatten(),
        app_hash: app_hash.as_deref().and_then(AppHash::parse),
    });
    (salt(), style, moment(), moment(), channel(), reason, any::<(u8, u8)>()).prop_map(
        |(salt, style, expires, due, channel, reason, (step, sent))| {
            let follow_up = FollowUp { due, channel, reason, step, sent };
            let number = PhoneNumber::from_u64(1).expect("a number");
            Plan { number, salt, style, expires, follow_up }
        },
    )
}
