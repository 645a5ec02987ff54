//! The change of a record by each event.

use super::{START, key, planned, sent};
use crate::attempts::{AttemptLog, EndedSend, ReceiptOutcome, VerifyStatus};
use crate::config::TrackerSettings;
use crate::delivery::{Attempt, Delivered, Failure, PlanChange, Purpose, SendStatus};
use crate::domain::{AttemptId, Channel, GatewayName, Timestamp};
use crate::engine::{Salt, SendResult};
use crate::gateway::{ErrorClass, Receipt, ReceiptStatus};
use crate::shard::{Record, decode, encode};
use crate::template::MessageStyle;

fn second(seconds: u64) -> Timestamp {
    START.plus(std::time::Duration::from_secs(seconds))
}

fn receipt(attempt: u8, status: ReceiptStatus, class: Option<ErrorClass>) -> Receipt {
    let attempt = AttemptId { key: key(1), attempt };
    Receipt { attempt, message_id: "SM\u{1b}1".to_owned(), status, code: None, class }
}

/// Settles a send through `attempts` gateways, the last of which accepted the message.
fn settle(track: &mut AttemptLog, first_attempt: u8, attempts: u8) {
    let attempt = |number: u8| Attempt {
        gateway: GatewayName::Http,
        channel: Channel::Sms,
        priority: 0,
        number,
        retries: 0,
        max_retries_reached: false,
        at: START,
        receipt: None,
        receipt_at: None,
        status: if number + 1 < first_attempt + attempts {
            SendStatus::GatewayError
        } else {
            SendStatus::Sent
        },
        class: None,
        message_id: None,
        error_code: None,
    };
    let delivered = Delivered {
        result: SendResult::Accepted { message_id: "m".to_owned(), held: None },
        attempts: (first_attempt..first_attempt + attempts).map(attempt).collect(),
        plan: PlanChange::End(None),
        reason: None,
        allowance: crate::delivery::Allowance::Spent,
    };
    let (style, purpose) = (MessageStyle::default(), Purpose::Request { is_exempt: false });
    track.settle(EndedSend {
        salt: Salt([1; 16]),
        expires: second(30),
        style: &style,
        purpose: &purpose,
        first_attempt,
        delivered: &delivered,
    });
}

fn numbers(track: &AttemptLog) -> Vec<u8> {
    track.rows.iter().map(|row| row.number).collect()
}

#[test]
fn attempts_of_sends_one_after_another_are_counted_on() {
    let mut track = AttemptLog::new(sent(1, START).number, START, TrackerSettings::default());
    for _ in 0..3 {
        let first = track.reserve();
        settle(&mut track, first, 2);
    }
    assert_eq!(numbers(&track), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn attempts_of_overlapping_sends_have_numbers_of_their_own() {
    let mut track = AttemptLog::new(sent(1, START).number, START, TrackerSettings::default());
    let (first, second) = (track.reserve(), track.reserve());
    settle(&mut track, second, 2);
    settle(&mut track, first, 1);
    assert_eq!(numbers(&track), [second, second + 1, 0]);
    let third = track.reserve();
    settle(&mut track, third, 1);
    assert_eq!(third, second + 2);
}

#[test]
fn a_send_over_five_gateways_beside_another_keeps_its_numbers() {
    let mut track = AttemptLog::new(sent(1, START).number, START, TrackerSettings::default());
    let (first, second) = (track.reserve(), track.reserve());
    settle(&mut track, first, 5);
    settle(&mut track, second, 1);
    assert_eq!(numbers(&track), [0, 1, 2, 3, 4, second]);
}

#[test]
fn a_record_does_not_grow_beyond_its_bound() {
    let mut track = sent(1, START);
    for _ in 0..100 {
        let first = track.reserve();
        settle(&mut track, first, 1);
    }
    assert_eq!(track.rows.len(), 32);
    assert_eq!(track.rows.last().map(|row| row.number), Some(100), "the last one is there");
}

#[test]
fn of_two_equal_receipts_one_is_news_and_a_late_one_moves_nothing_back() {
    let mut track = sent(1, START);
    for (at, (status, is_news)) in (1..).zip([
        (ReceiptStatus::Sent, true),
        (ReceiptStatus::Sent, false),
        (ReceiptStatus::Delivered, true),
        (ReceiptStatus::Failed, false),
    ]) {
        let outcome = track.receive(&receipt(0, status, None), second(at));
        assert_eq!(matches!(outcome, ReceiptOutcome::Recorded(_)), is_news, "{status:?}");
    }
    let row = &track.rows[0];
    assert_eq!((row.receipt, row.receipt_at), (Some(ReceiptStatus::Delivered), Some(second(3))));
}

#[test]
fn a_receipt_whose_commit_failed_is_news_when_the_provider_repeats_it() {
    let before = sent(1, START);
    let mut after = before.clone();
    after.receive(&receipt(0, ReceiptStatus::Delivered, None), START);
    let mut kept = AttemptLog::merge_pessimistic(Some(before), Some(after), START).expect("a record");
    let outcome = kept.receive(&receipt(0, ReceiptStatus::Delivered, None), START);
    assert!(matches!(outcome, ReceiptOutcome::Recorded(_)), "{outcome:?}");
}

#[test]
fn a_receipt_is_early_while_its_send_is_under_way() {
    let mut track = sent(1, START);
    assert_eq!(track.receive(&receipt(1, ReceiptStatus::Sent, None), START), ReceiptOutcome::Unknown);
    let first = track.reserve();
    assert_eq!(track.receive(&receipt(first, ReceiptStatus::Sent, None), START), ReceiptOutcome::Early);
}

#[test]
fn a_next_step_waits_for_what_the_provider_reports() {
    let due = |track: &AttemptLog| track.plan.as_ref().map(|plan| plan.follow_up.due);
    for (status, class, after) in [
        (ReceiptStatus::Delivered, None, None),
        (ReceiptStatus::Failed, Some(ErrorClass::BadNumber), None),
        (ReceiptStatus::Failed, Some(ErrorClass::Refused), Some(START)),
        (ReceiptStatus::Answered, None, Some(second(60))),
        (ReceiptStatus::Sent, None, Some(second(20))),
    ] {
        let mut track = planned(1, second(20));
        track.receive(&receipt(0, status, class), START);
        assert_eq!(due(&track), after, "{status:?}");
    }
}

#[test]
fn the_right_code_ends_what_is_planned_and_nothing_is_said_after_it() {
    let mut track = planned(1, second(20));
    assert!(!track.check(VerifyStatus::InvalidCode, second(1)));
    assert!(track.check(VerifyStatus::Success, second(2)));
    assert!(!track.check(VerifyStatus::Expired, second(3)));
    assert_eq!((track.plan, track.verify, track.verify_at), (None, VerifyStatus::Success, second(2)));
}

#[test]
fn what_was_planned_before_a_failed_commit_is_still_planned() {
    let before = planned(1, second(20));
    let mut begun = before.clone();
    begun.plan = None;
    begun.reserve();
    let kept = AttemptLog::merge_pessimistic(Some(before.clone()), Some(begun), START).expect("a record");
    assert_eq!((kept.plan, kept.next_attempt), (before.plan.clone(), 1 + 22));
    let mut verified = before.clone();
    verified.check(VerifyStatus::Success, START);
    assert_eq!(
        AttemptLog::merge_pessimistic(Some(before), Some(verified), START).and_then(|track| track.plan),
        None
    );
}

#[test]
fn a_record_lasts_as_long_as_what_is_planned() {
    let mut track = planned(1, second(1_000_000_000));
    assert_eq!(track.expires(), track.plan.as_ref().expect("a plan").expires);
    assert!(track.drop_follow_up(Failure::NoLongerUsable));
    assert_eq!(track.expires(), track.keep_until);
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let mut track = planned(1, second(20));
    if let Some(plan) = &mut track.plan {
        plan.style.app_hash = crate::template::AppHash::parse("FA+9qCX9VSu");
        plan.style.locale = crate::domain::Locale::parse("pt-BR");
        plan.style.send_digits = crate::template::SendDigits::parse("ww12#");
    }
    assert_eq!(decode::<AttemptLog>(&encode(&track)).expect("a record"), track);
}
