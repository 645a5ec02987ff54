//! States of numbers, and a record of every kind.

use std::collections::BTreeMap;

use super::{AT, CopiedRecord, MINUTE, key};
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
use crate::store::Key;
use crate::testing::{World, asking_once, number};
use crate::verification::hosted::{ReturnTarget, SessionRequest};
use crate::verification::{AttemptQuery, CheckCode, Ending, GivenKey, NumberKey, VerificationTarget};

/// Every kind of number, with every part of a state.
pub(super) fn entries() -> Vec<CopiedRecord> {
    let gateways = GatewayName::ALL.into_iter().zip(Channel::ALL.into_iter().cycle());
    let moments = [AT, Timestamp::MAX, Timestamp::EPOCH].into_iter().cycle();
    let states = gateways.zip(moments).flat_map(|((by, channel), at)| states(at, channel, by));
    let numbered = (14_155_552_671..).zip(states);
    numbered.map(|(digits, state)| of_number(digits, &state)).collect()
}

fn states(at: Timestamp, channel: Channel, by: GatewayName) -> [NumberState; 4] {
    let details = VerificationDetails {
        begun: at,
        last_send: at,
        channel,
        sends: 2,
        wrong: u8::MAX,
        spent: true,
        canceled: true,
        offset: u64::MAX,
    };
    let verification = Verification {
        salt: Salt([0xa7; 16]),
        length: CodeLength::new(10).expect("a length"),
        expires: at,
        sending: u8::MAX,
        sending_until: at,
        sent: true,
        postponed: true,
        held: Some(Held { by, channel }),
        checking_until: at,
        counted: Some(details),
    };
    let plain = Verification { sent: false, postponed: false, held: None, counted: None, ..verification };
    let counted = FailureCount { in_a_row: u8::MAX, last: at, forgotten: at };
    let open =
        |failures, verification| NumberState::Open(OpenNumber { failures, keep_until: at, verification });
    [
        NumberState::Locked { until: at },
        open(counted, Some(verification)),
        open(FailureCount::NONE, Some(plain)),
        open(counted, None),
    ]
}

/// A number with three wrong codes, and a lockout.
pub(super) fn some() -> Vec<CopiedRecord> {
    let until = AT.plus(MINUTE);
    let failures = FailureCount { in_a_row: 3, ..FailureCount::NONE };
    let open = OpenNumber { failures, keep_until: until, verification: None };
    vec![
        of_number(14_155_552_671, &NumberState::Open(open)),
        of_number(14_155_552_673, &NumberState::Locked { until }),
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
    begin.tags = BTreeMap::from([("order".to_owned(), "7".to_owned())]);
    let target = VerificationTarget::Sid(world.begins(begin).await.expect("begun").sid);
    let query = AttemptQuery { limit: 1, ..AttemptQuery::default() };
    let attempt = world.verifier.attempts.list(&query).await.expect("a list").remove(0);
    let receipt = Receipt {
        attempt: attempt.id,
        gateway: None,
        message_id: attempt.attempt.message_id.expect("an id"),
        status: ReceiptStatus::Sent,
        code: None,
        class: None,
        said: None,
    };
    world.verifier.receive(receipt).await.expect("received");
    let once = Some(GivenKey { key: "c".to_owned(), fingerprint: [0; 32] });
    let check = CheckCode { once, ..CheckCode::new(target, Code::parse("0000000000")) };
    world.verifier.check(shop.id, check).await.expect("checked");
    world.begun(number(3)).await;
    world.ends(VerificationTarget::Number(number(3)), Ending::Approved).await.expect("approved");
    let mut last = None;
    for sends in 0..3 {
        last = world.begins(asking_once(number(5), ["a", "b", "c"][sends])).await.err();
    }
    assert!(last.is_some(), "the third message is refused");
    let (address, state) = ("https://app.example/".to_owned(), Some("7".to_owned()));
    let returns_to = ReturnTarget { is_embedded: false, address, state };
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

/// The number is one for tests, one whose codes are carried, or neither.
fn of_number(digits: u64, state: &NumberState) -> CopiedRecord {
    let number = PhoneNumber::from_u64(digits).expect("a number");
    let service = ServiceId::new(u32::from(digits.is_multiple_of(5)));
    let number = NumberKey {
        is_test: digits.is_multiple_of(4),
        is_carried: digits % 4 == 2,
        ..NumberKey::new(service, number)
    };
    let id = number.id();
    let key = Key { slot: NumberState::slot(&id, &SlotHash::new(&key())), kind: NumberState::KIND, id };
    CopiedRecord { key, expires: state.expires(), record: encode(state) }
}
