//! Arbitrary states of numbers, and a record of every kind.

use std::collections::BTreeMap;

use proptest::collection::btree_map;
use proptest::prelude::*;

use super::{AT, MINUTE, key};
use crate::domain::{
    Channel, Code, CodeLength, GatewayName, Held, Locale, PhoneNumber, ServiceId, Timestamp,
};
use crate::engine::{
    FailureCount, NumberState, OpenNumber, Salt, SlotHash, Verification, VerificationDetails,
};
use crate::gateway::{Receipt, ReceiptStatus};
use crate::registry::Scope;
use crate::registry::audit::Actor;
use crate::shard::{Record as _, encode};
use crate::store::{CopiedRecord, Key};
use crate::testing::{World, asking_once, number};
use crate::verification::hosted::{ReturnTarget, SessionRequest};
use crate::verification::{AttemptQuery, CheckCode, Ending, NumberKey, VerificationTarget};

/// Records in the order of their keys.
pub(super) fn entries() -> impl Strategy<Value = Vec<CopiedRecord>> {
    let numbers = btree_map((0..3_u32, 1..999_999_999_999_999_u64), kept_state(), 0..12);
    numbers.prop_map(|numbers| {
        numbers.into_iter().map(|((service, digits), state)| of_number(service, digits, &state)).collect()
    })
}

/// A number with three wrong codes, and a lockout.
pub(super) fn some() -> Vec<CopiedRecord> {
    let until = AT.plus(MINUTE);
    let failures = FailureCount { in_a_row: 3, ..FailureCount::NONE };
    let open = OpenNumber { failures, keep_until: until, verification: None };
    vec![
        of_number(0, 14_155_552_671, &NumberState::Open(open)),
        of_number(0, 14_155_552_672, &NumberState::Locked { until }),
    ]
}

/// At least one record of every kind, as the program itself writes them, in the order of their keys.
pub(super) async fn of_every_kind() -> Vec<CopiedRecord> {
    let settings = serde_json::json!({
        "friendly-name": "Shop", "code-length": 8, "code-life": 90, "max-sends": 2, "lockout": 300, "resend": "new",
        "locale": "pt-BR", "workflow": "[\"sms:20s\", \"call\"]", "send-budget": 3, "default-template": "onceward-plain",
        "return-urls": "https://shop.example/", "accent-color": "#1d5688", "tts-name": "Owl"
    });
    let world = World::of("Mada", settings, |settings| settings.guard.messages_per_hour = Some(100)).await;
    let (registry, shop) = (&world.registry, &world.service);
    registry.create_rate_limit(shop.sid, "ip".to_owned(), None).await.expect("a limit");
    let scopes = [Scope::Verify].into_iter().collect();
    registry.create_key(Some(shop.id), scopes, None).await.expect("a key");
    let anna = Actor::new("user", Some("1000".to_owned()), Some("anna".to_owned()));
    world.guard.add_safe_number(number(1), registry.author(anna, None)).await.expect("a safe number");
    world.has_webhook().await;

    let mut begin = asking_once(number(2), "a");
    begin.message.tags = BTreeMap::from([("order".to_owned(), "7".to_owned())]);
    let target = VerificationTarget::Sid(world.begins(begin).await.expect("begun").sid);
    let query = AttemptQuery { limit: 1, ..AttemptQuery::default() };
    let attempt = world.verifying.attempts.list(&query).await.expect("a list").remove(0);
    let receipt = Receipt {
        attempt: attempt.id,
        gateway: None,
        message_id: attempt.attempt.message_id.expect("an id"),
        status: ReceiptStatus::Sent,
        code: None,
        class: None,
    };
    world.verifying.receive(receipt).await.expect("received");
    let key = Some("c".to_owned());
    let check = CheckCode { idempotency_key: key, ..CheckCode::new(target, Code::parse("0000000000")) };
    world.verifying.check(shop.id, check).await.expect("checked");
    world.begun(number(3)).await;
    world.ends(VerificationTarget::Number(number(3)), Ending::Approved).await.expect("approved");
    let returns_to =
        ReturnTarget::Url { url: "https://app.example/".to_owned(), state: Some("7".to_owned()) };
    let (to, channels, locale) = (Some(number(4)), vec![Channel::Sms], Some(Locale::ENGLISH));
    let session = SessionRequest { to, may_change: true, channels, locale, returns_to };
    world.hosted.create(shop.id, session).await.expect("a hosted session");
    world.history.flush().await;
    world.guard.flush().await;
    world.shards.flush().await;

    let kept = world.store.snapshot().into_iter();
    let mut all: Vec<CopiedRecord> =
        kept.map(|(key, kept)| CopiedRecord { key, expires: kept.expires, record: kept.record }).collect();
    all.extend(some());
    all.sort_by_key(|entry| entry.key);
    all
}

pub(super) fn of_number(service: u32, digits: u64, state: &NumberState) -> CopiedRecord {
    let number = PhoneNumber::from_u64(digits).expect("a number");
    let id = NumberKey::new(ServiceId::new(service), number).id();
    let key = Key { slot: state.slot(&id, &SlotHash::new(&key())), kind: NumberState::KIND, id };
    CopiedRecord { key, expires: state.expires(), record: encode(state) }
}

fn held() -> impl Strategy<Value = Held> {
    (proptest::sample::select(&GatewayName::ALL), proptest::sample::select(&Channel::ALL))
        .prop_map(|(by, channel)| Held { by, channel })
}

/// Times of every size: most are in this century.
fn moment() -> impl Strategy<Value = Timestamp> {
    let millis = prop_oneof![
        4 => 1_600_000_000_000..2_000_000_000_000_u64,
        // Of what text can say: years of four digits.
        4 => 0..253_402_300_799_999_u64,
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
fn kept_state() -> impl Strategy<Value = NumberState> {
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
