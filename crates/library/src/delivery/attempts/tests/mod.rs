//! Records over shards on a store in memory.

mod rules;

use std::time::Duration;

use super::*;
use crate::delivery::{Attempt, PlannedMessage, Reason, SendStatus};
use crate::domain::{Channel, GatewayName, Locale, NumberKey, PhoneNumber, ServiceId};
use crate::engine::{Salt, VerificationName};
use crate::shard::{Record as _, Subject, Transaction};
use crate::template::{AppHash, MessageStyle, SendDigits, Wording};
use crate::testing::{START, World, server_key};

/// Keeps a record, as a decision about its number would.
async fn keeps(world: &World, key: AttemptLogKey, log: AttemptLog) {
    let keep = move |view: &mut Transaction<'_>| {
        view.put(key.id(), Some(&log));
        Ok::<_, Refusal>(())
    };
    let subject = Subject { slot: key.slot(), id: key.id() };
    world.shards.decide(subject, keep).await.expect("an answer").expect("kept");
}

fn second(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn key(verification: u64) -> AttemptLogKey {
    AttemptLogKey { service: ServiceId::DEFAULT, verification }
}

/// One message to a number with these last digits, which a gateway accepted at `at`.
fn sent(last_digits: u64, at: Timestamp) -> AttemptLog {
    let number = PhoneNumber::from_u64(14_155_550_100 + last_digits).expect("a number");
    let row = Attempt {
        priority: 1,
        message_id: Some(format!("SM\u{1b}{last_digits}")),
        ..Attempt::new(0, Channel::Sms, GatewayName::Http, SendStatus::Sent, at)
    };
    AttemptLog {
        rows: vec![row],
        next_attempt: 1,
        ..AttemptLog::new(number, at, AttemptLogSettings::default())
    }
}

fn planned(last_digits: u64, due: Timestamp) -> AttemptLog {
    let style = MessageStyle {
        app_hash: AppHash::parse("FA+9qCX9VSu"),
        locale: Locale::parse("pt-BR"),
        send_digits: SendDigits::parse("ww12#"),
        ..MessageStyle::default()
    };
    let plan = PlannedMessage {
        salt: Salt([1; 16]),
        style,
        expires: due.plus(Duration::from_secs(600)),
        due,
        channel: Channel::Call,
        reason: Reason::NextStep,
        step: 1,
        is_sent: true,
        is_exempt: false,
        allowance: Some(Vec::new()),
    };
    AttemptLog { plan: Some(Box::new(plan)), ..sent(last_digits, START) }
}

#[tokio::test]
async fn a_list_has_the_newest_attempts_of_all_shards_or_of_some_services_first() {
    let world = World::set_up(|settings| settings.shards = 3).await;
    // Several at each moment, so that the order of services matters.
    let at = |id| START.plus(Duration::from_millis(id / 5));
    let key = |id: u64| {
        let service = ServiceId::new(u32::try_from(id % 4).expect("small"));
        AttemptLogKey { service, verification: id }
    };
    for id in 1..=1_500 {
        keeps(&world, key(id), sent(id % 90, at(id))).await;
    }
    for (services, limit) in
        [(None, 3), (Some(vec![0]), 2_000), (Some(vec![3, 1]), 2_000), (None, 2_000), (Some(vec![9]), 2_000)]
    {
        let services: Option<Vec<_>> = services.map(|of| of.into_iter().map(ServiceId::new).collect());
        let is_listed = |id: &u64| services.as_ref().is_none_or(|of| of.contains(&key(*id).service));
        let mut expected: Vec<_> = (1..=1_500).filter(is_listed).map(|id| (at(id), key(id))).collect();
        expected.sort_unstable_by(|a, b| b.cmp(a));
        expected.truncate(limit);
        let query = AttemptQuery { services: services.clone(), ..AttemptQuery::newest(limit) };
        let listed = world.verifier.attempts.list(&query).await.expect("a list");
        let listed: Vec<_> = listed.iter().map(|listed| (listed.attempt.at, listed.id.key)).collect();
        assert_eq!(listed, expected, "{services:?}");
    }
    let (to, before) = (Some(sent(2, START).number), Some(START.plus(Duration::from_millis(1))));
    let first = AttemptQuery { before, to, ..AttemptQuery::newest(10) };
    assert_eq!(world.verifier.attempts.list(&first).await.expect("a list").len(), 1);
    let (mut count, after) = (0, Some(START.plus(Duration::from_millis(250))));
    let later = AttemptQuery { after, ..AttemptQuery::newest(0) };
    world.verifier.attempts.each(&later, |_| count += 1).await.expect("all");
    assert_eq!(count, 251);
}

#[tokio::test]
async fn a_verification_is_found_by_its_name() {
    let (world, server_key) = (World::bare().await, server_key());
    let (name, number) = (VerificationName::from_bits(0x2a_bcde), sent(1, START).number);
    let slot = SlotHash::new(&server_key).of_number(ServiceId::DEFAULT, number);
    let other = AttemptLogKey::new(ServiceId::DEFAULT, 1 << 40, slot);
    for key in name.ids().map(key).filter(|key| key.slot() == slot).chain([other]) {
        keeps(&world, key, sent(1, START)).await;
    }
    let id = name.ids().next().expect("an id");
    let of = NumberKey::new(ServiceId::DEFAULT, number);
    let verification = Some(Sealer::new(&server_key).verification(of, id));
    let query = AttemptQuery { verification, ..AttemptQuery::newest(10) };
    let listed = world.verifier.attempts.list(&query).await.expect("a list");
    assert!(listed.len() == 4 && listed.iter().all(|l| VerificationName::of(l.id.key.verification) == name));
    let (elsewhere, to) = (Some(vec![ServiceId::new(9)]), Some(sent(2, START).number));
    for none in [AttemptQuery { services: elsewhere, ..query.clone() }, AttemptQuery { to, ..query }] {
        assert_eq!(world.verifier.attempts.list(&none).await, Ok(Vec::new()), "{none:?}");
    }
}

#[test]
fn the_longest_record_of_attempts_fits_every_store() {
    let mut log = planned(1, Timestamp::MAX);
    let style = MessageStyle {
        wording: Wording::Custom("\u{1f600}".repeat(1_600).into()),
        web_host: Some("a".repeat(253).into()),
        ..log.plan.as_ref().expect("a plan").style.clone()
    };
    let message = Box::new(PlannedMessage { style, ..*log.plan.take().expect("a plan") });
    let row = Attempt { message_id: Some("a".repeat(100)), ..log.rows[0].clone() };
    log.rows = vec![row; MOST_ROWS];
    log.begun = vec![Begun { first: 1, message: message.clone() }; MOST_ROWS];
    log.plan = Some(message);
    // The rest is for what the guard and the rate limits took.
    let bytes = crate::shard::encode(&log).len();
    assert!(bytes <= AttemptLog::LONGEST / 2, "{bytes}");
}
