//! The change of a record by each event.

use super::{START, key, planned, sent};
use crate::config::AttemptLogSettings;
use crate::delivery::attempts::{AttemptLog, ReceiptOutcome, VerifyStatus};
use crate::delivery::{Attempt, Delivered, Permitted, PlanChange, SendStatus};
use crate::domain::{AttemptId, Channel, CodeLength, GatewayName, Timestamp};
use crate::engine::{Salt, SendOptions, SendPermit, SendResult, Verification};
use crate::gateway::{ErrorClass, Receipt, ReceiptStatus};
use crate::shard::Record;
use crate::template::MessageStyle;

fn second(seconds: u64) -> Timestamp {
    START.plus(std::time::Duration::from_secs(seconds))
}

fn receipt(attempt: u8, status: ReceiptStatus, class: Option<ErrorClass>) -> Receipt {
    let attempt = AttemptId { key: key(1), attempt };
    Receipt {
        attempt,
        gateway: Some(GatewayName::Http),
        message_id: "SM\u{1b}1".to_owned(),
        status,
        code: None,
        class,
    }
}

/// Settles a send through `attempts` gateways, the last of which accepted the message.
fn settle(log: &mut AttemptLog, first_attempt: u8, attempts: u8) {
    let attempt = |number: u8| {
        let is_last = number + 1 == first_attempt + attempts;
        let status = if is_last { SendStatus::Sent } else { SendStatus::GatewayError };
        Attempt::new(number, Channel::Sms, GatewayName::Http, status, START)
    };
    let delivered = Delivered {
        result: SendResult::Accepted { message_id: "m".to_owned(), held: None },
        attempts: (first_attempt..first_attempt + attempts).map(attempt).collect(),
        plan: PlanChange::End(None),
        reason: None,
        allowance: crate::delivery::TakenAllowance::Final,
        parts: 1,
    };
    let options = SendOptions { life: std::time::Duration::from_secs(30), length: CodeLength::SIX };
    let verification = Verification::beginning(Salt([1; 16]), &options, START);
    let permit = SendPermit { verification, replaced: None, before: None };
    let asked = Vec::new();
    let permitted = Permitted { permit, begins: true, log: key(1), first_attempt, follow_up: None, asked };
    log.settle(&MessageStyle::default(), &permitted, &delivered);
}

fn numbers(log: &AttemptLog) -> Vec<u8> {
    log.rows.iter().map(|row| row.number).collect()
}

#[test]
fn attempts_of_overlapping_sends_have_numbers_of_their_own() {
    let mut log = AttemptLog::new(sent(1, START).number, START, AttemptLogSettings::default());
    let (first, second) = (log.reserve(), log.reserve());
    settle(&mut log, second, 2);
    settle(&mut log, first, 1);
    assert_eq!(numbers(&log), [second, second + 1, 0]);
    let third = log.reserve();
    settle(&mut log, third, 1);
    assert_eq!(third, second + 2);
}

#[test]
fn a_record_does_not_grow_beyond_its_bound() {
    let mut log = sent(1, START);
    for _ in 0..100 {
        let first = log.reserve();
        settle(&mut log, first, 1);
    }
    assert_eq!(log.rows.len(), 32);
    assert_eq!(log.rows.last().map(|row| row.number), Some(100), "the last one is there");
}

#[test]
fn of_two_equal_receipts_one_is_news_and_a_late_one_moves_nothing_back() {
    let mut log = sent(1, START);
    for (at, (status, is_news)) in (1..).zip([
        (ReceiptStatus::Queued, true),
        (ReceiptStatus::Sent, true),
        (ReceiptStatus::Sent, false),
        (ReceiptStatus::Sending, false),
        (ReceiptStatus::Failed, true),
        (ReceiptStatus::Delivered, true),
        (ReceiptStatus::Sent, false),
        (ReceiptStatus::Failed, false),
        (ReceiptStatus::Queued, false),
        (ReceiptStatus::Read, true),
        (ReceiptStatus::Delivered, false),
    ]) {
        let outcome = log.receive(&receipt(0, status, None), second(at));
        assert_eq!(matches!(outcome, ReceiptOutcome::Recorded(_)), is_news, "{status:?}");
    }
    let row = &log.rows[0];
    assert_eq!((row.receipt, row.receipt_at), (Some(ReceiptStatus::Read), Some(second(10))));
}

#[test]
fn a_receipt_settles_only_an_attempt_of_its_own_gateway() {
    let mut log = sent(1, START);
    let unchanged = log.clone();
    for status in [ReceiptStatus::Delivered, ReceiptStatus::Failed] {
        let forged = Receipt { gateway: Some(GatewayName::Mada), ..receipt(0, status, None) };
        assert_eq!(log.receive(&forged, second(1)), ReceiptOutcome::Unknown);
    }
    assert_eq!(log, unchanged);
    // Also where the gateway did not say which message it is.
    log.rows[0].message_id = None;
    let unchanged = log.clone();
    let forged = Receipt { gateway: Some(GatewayName::Mada), ..receipt(0, ReceiptStatus::Delivered, None) };
    assert_eq!(log.receive(&forged, second(1)), ReceiptOutcome::Unknown);
    assert_eq!(log, unchanged);
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
    let mut log = sent(1, START);
    assert_eq!(log.receive(&receipt(1, ReceiptStatus::Sent, None), START), ReceiptOutcome::Unknown);
    let first = log.reserve();
    assert_eq!(log.receive(&receipt(first, ReceiptStatus::Sent, None), START), ReceiptOutcome::Early);
}

#[test]
fn a_next_step_waits_for_what_the_provider_reports() {
    let due = |log: &AttemptLog| log.plan.as_ref().map(|plan| plan.follow_up.due);
    for (status, class, after) in [
        (ReceiptStatus::Delivered, None, None),
        (ReceiptStatus::Failed, Some(ErrorClass::BadNumber), None),
        (ReceiptStatus::Failed, Some(ErrorClass::Refused), Some(START)),
        (ReceiptStatus::Answered, None, Some(second(60))),
        (ReceiptStatus::Sent, None, Some(second(20))),
    ] {
        let mut log = planned(1, second(20));
        log.receive(&receipt(0, status, class), START);
        assert_eq!(due(&log), after, "{status:?}");
    }
}

#[test]
fn the_right_code_ends_what_is_planned_and_nothing_is_said_after_it() {
    let mut log = planned(1, second(20));
    assert!(!log.check(VerifyStatus::InvalidCode, second(1)));
    assert!(log.check(VerifyStatus::Success, second(2)));
    assert!(!log.check(VerifyStatus::Expired, second(3)));
    assert_eq!((log.plan, log.verify, log.verify_at), (None, VerifyStatus::Success, second(2)));
}

#[test]
fn what_was_planned_before_a_failed_commit_is_still_planned() {
    let before = planned(1, second(20));
    let mut begun = before.clone();
    begun.plan = None;
    begun.reserve();
    let kept = AttemptLog::merge_pessimistic(Some(before.clone()), Some(begun), START).expect("a record");
    assert_eq!((kept.plan, kept.next_attempt), (before.plan.clone(), 1 + 49));
    let mut verified = before.clone();
    verified.check(VerifyStatus::Success, START);
    assert_eq!(
        AttemptLog::merge_pessimistic(Some(before), Some(verified), START).and_then(|log| log.plan),
        None
    );
}
