//! Arbitrary states of numbers, and a record of every kind.

use std::collections::BTreeMap;

use proptest::collection::btree_map;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::super::*;
use super::{AT, MINUTE, key};
use crate::config::GuardSettings;
use crate::delivery::attempts::{PlannedSend, VerifyStatus};
use crate::delivery::{Attempt, FollowUp, Reason, SendStatus, TakenAllowance};
use crate::domain::{
    AttemptLogKey, Channel, CodeLength, GatewayName, Held, Locale, PhoneNumber, ServiceId, Sid, SidKind,
    Timestamp, record_id,
};
use crate::engine::{
    CheckOutcome, FailureCount, OpenNumber, Salt, SlotHash, Verification, VerificationDetails,
};
use crate::gateway::ReceiptStatus;
use crate::limits::guard::{ClientSignals, GuardConfig, Message, ServerGuard, Ticket};
use crate::limits::keys::{CheckAnswer, KeyedRequest};
use crate::node::history::{Counts, Group, Resolution, Row, Series};
use crate::registry::Scope;
use crate::registry::audit::Actor;
use crate::registry::world::{World, given, number};
use crate::shard::{Id, Refusal, Subject};
use crate::template::MessageStyle;
use crate::verification::NumberKey;
use crate::verification::hosted::{HostedSessions, ReturnTarget, SessionRequest};
use crate::webhook::{Delivery, DeliveryState, Event, EventId, EventRecord, EventType};

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
    let world = World::new();
    let registry = world.open().await;
    let settings = serde_json::json!({
        "friendly-name": "Shop", "code-length": 8, "code-life": 90, "max-sends": 2, "lockout": 300, "resend": "new",
        "locale": "pt-BR", "workflow": "[\"sms:20s\", \"call\"]", "send-budget": 3, "default-template": "onceward-plain",
        "return-urls": "https://shop.example/", "accent-color": "#1d5688", "tts-name": "Owl"
    });
    let shop = registry.create_service(given(settings)).await.expect("a service");
    registry.create_rate_limit(shop.sid, "ip".to_owned(), None).await.expect("a limit");
    let scopes = [Scope::Verify].into_iter().collect();
    registry.create_key(Some(shop.id), scopes, None).await.expect("a key");
    let anna = Actor::new("user", Some("1000".to_owned()), Some("anna".to_owned()));
    let author = registry.author(anna, None);

    let shards = world.shards().await.expect("shards");

    let server_key = key();
    let settings = GuardSettings { messages_per_hour: Some(100), ..GuardSettings::default() };
    let config = GuardConfig { settings, ..GuardConfig::default() };
    let guard = ServerGuard::start(&shards, &server_key, 10, registry, config);
    let guard = guard.await.expect("a guard");
    let signals = |to| guard.signals(ClientSignals::default(), shop.id, number(to), Channel::Sms);
    assert!(guard.assess(&signals("+14155552671"), 1, &[], false, None).is_ok());
    let (number_of, channel) = (number("+14155552671"), Channel::Sms);
    guard.add_safe_number(number("+14155552672"), author).await.expect("a safe number");
    let message = Message { service: shop.id, number: number_of, channel, request_id: None };
    guard.charge(message, 1, &[]).expect("a budget");
    let (verified, key_of) = (guard.clone(), NumberKey::new(shop.id, number_of));
    let subject = Subject { slot: SlotHash::new(&server_key).of_number(shop.id, number_of), id: key_of.id() };
    let stored = shards.decide(subject, move |view| {
        verified.record_verified(key_of, Vec::new(), view);
        Ok::<_, Refusal>(())
    });
    stored.await.expect("a shard").expect("stored");
    let hosted = HostedSessions::new(&shards, &server_key, 10, StdRng::seed_from_u64(1));
    let returns_to =
        ReturnTarget::Url { url: "https://app.example/".to_owned(), state: Some("7".to_owned()) };
    let (to, channels) = (Some(number_of), vec![channel]);
    let session =
        SessionRequest { to, may_change: true, channels, locale: Some(Locale::ENGLISH), returns_to };
    hosted.create(shop.id, session).await.expect("a hosted session");
    guard.flush().await;
    shards.flush().await;

    let kept = world.store.snapshot().into_iter();
    let mut all: Vec<CopiedRecord> =
        kept.map(|(key, kept)| CopiedRecord { key, expires: kept.expires, record: kept.record }).collect();
    all.extend(some());
    all.push(of_log(0, 0x0123_4567_89ab_cd07, &planned()));
    all.push(of(record_id(shop.id, 0x0123_4567_89ab_cd07), &keyed()));
    all.push(of(record_id(shop.id, 0x0123_4567_89ab_cd07), &delivery(shop.id)));
    all.push(of(record_id(shop.id, 0x0123_4567_89ab_cd07), &hour(shop.id)));
    all.sort_by_key(|entry| entry.key);
    all
}

/// The record under this id, with the slot and the end that it has by its kind.
fn of<R: Record>(id: Id, record: &R) -> CopiedRecord {
    let key = Key { slot: record.slot(&id, &SlotHash::new(&key())), kind: R::KIND, id };
    CopiedRecord { key, expires: record.expires(), record: encode(record) }
}

pub(super) fn of_number(service: u32, digits: u64, state: &NumberState) -> CopiedRecord {
    let number = PhoneNumber::from_u64(digits).expect("a number");
    of(NumberKey::new(ServiceId::new(service), number).id(), state)
}

fn of_log(service: u32, verification: u64, content: &AttemptLog) -> CopiedRecord {
    of(AttemptLogKey { service: ServiceId::new(service), verification }.id(), content)
}

/// A verification with a message that is still to be sent.
fn planned() -> AttemptLog {
    let at = AT;
    let follow_up = FollowUp {
        due: at,
        channel: Channel::Call,
        reason: Reason::NextStep,
        step: 1,
        sent: 1,
        allowance: TakenAllowance::default(),
    };
    let (salt, style) = (Salt([7; 16]), MessageStyle::default());
    AttemptLog {
        number: number("+14155552671"),
        created: at,
        keep_until: at,
        verify: VerifyStatus::New,
        verify_at: at,
        next_attempt: 4,
        rows: vec![Attempt {
            message_id: Some("SM1".to_owned()),
            error_code: Some(30_003),
            receipt: Some(ReceiptStatus::Failed),
            receipt_at: Some(at),
            ..Attempt::new(0, Channel::Sms, GatewayName::Http, SendStatus::Sent, at)
        }],
        plan: Some(Box::new(PlannedSend { salt, style, expires: at.plus(MINUTE), follow_up })),
        taken: vec![Ticket::default()],
        parts: 2,
        ends: Some(at),
    }
}

/// A request with an idempotency key.
fn keyed() -> KeyedRequest {
    let fingerprint = [1_u8; 32];
    let answer = CheckAnswer { outcome: CheckOutcome::Approved, begun: AT, last_send: AT };
    let until = AT.plus(MINUTE);
    serde_json::from_value(serde_json::json!({
        "fingerprint": fingerprint, "verification": 8, "channel": Channel::Sms, "at": AT, "until": until, "answer": answer
    }))
    .expect("a request")
}

fn delivery(service: ServiceId) -> EventRecord {
    let at = AT;
    let event = Event {
        id: EventId([9; 16]),
        kind: EventType::Created,
        service,
        verification: Some(Sid::new(SidKind::Verification, [7; 16])),
        to: number("+14155552671"),
        at,
        body: "{}".to_owned(),
    };
    let webhook = Sid::new(SidKind::Webhook, [8; 16]);
    let (state, attempts) = (DeliveryState::Pending, Vec::new());
    let delivery = Delivery { event, webhook, state, due: at, since: at, tries: 0, attempts };
    EventRecord {
        number: number("+14155552671"),
        channel: Channel::Sms,
        tags: BTreeMap::from([("order".to_owned(), "7".to_owned())]),
        expires: Some(at),
        is_announced: true,
        deliveries: vec![delivery],
    }
}

fn hour(service: ServiceId) -> Row {
    let group = Group {
        country: number("+14155552671").region(),
        channel: Channel::Sms,
        gateway: Some(GatewayName::Http),
    };
    let resolution = Resolution::Hour;
    let series = Series { resolution, start: resolution.bucket(AT), service, group };
    let counts = Counts { begun: 3, verified: 1, accepted: 2, cost_micros: 20_000, ..Counts::default() };
    Row { series, counts }
}

fn held() -> impl Strategy<Value = Held> {
    (proptest::sample::select(&GatewayName::ALL), proptest::sample::select(&Channel::ALL))
        .prop_map(|(by, channel)| Held { by, channel })
}

/// Times of every size: most are in this century.
fn moment() -> impl Strategy<Value = Timestamp> {
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
