//! The change of a record by each event.

use super::{START, key, planned, second, sent};
use crate::delivery::attempts::{ReceiptOutcome, VerifyStatus, attempts_of};
use crate::delivery::{Attempt, PlannedMessage, Reason, SendStatus};
use crate::domain::{AttemptId, Channel, GatewayName};
use crate::gateway::{ErrorClass, Receipt, ReceiptStatus};

fn receipt(attempt: u8, status: ReceiptStatus, class: Option<ErrorClass>) -> Receipt {
    let attempt = AttemptId { key: key(1), attempt };
    let (gateway, message_id) = (Some(GatewayName::Http), "SM\u{1b}1".to_owned());
    Receipt { attempt, gateway, message_id, status, code: None, class, said: None }
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
        assert_eq!(matches!(outcome, ReceiptOutcome::Recorded(..)), is_news, "{status:?}");
    }
    let row = &log.rows[0];
    assert_eq!((row.receipt, row.receipt_at), (Some(ReceiptStatus::Read), Some(second(10))));
}

#[test]
fn a_receipt_settles_only_an_attempt_of_its_own_gateway() {
    let mut log = sent(1, START);
    // Also where the gateway did not say which message it is.
    for message_id in [log.rows[0].message_id.clone(), None] {
        log.rows[0].message_id = message_id;
        let unchanged = log.clone();
        for status in [ReceiptStatus::Delivered, ReceiptStatus::Failed] {
            let forged = Receipt { gateway: Some(GatewayName::Mada), ..receipt(0, status, None) };
            assert_eq!(log.receive(&forged, second(1)), ReceiptOutcome::Ignored);
        }
        assert_eq!(log, unchanged);
    }
}

#[test]
fn a_planned_message_waits_for_what_the_provider_reports() {
    let unchanged = Some(second(20));
    for (status, class, next_step, retry) in [
        (ReceiptStatus::Delivered, None, None, None),
        (ReceiptStatus::Failed, Some(ErrorClass::BadNumber), None, None),
        (ReceiptStatus::Failed, Some(ErrorClass::Refused), Some(START), unchanged),
        (ReceiptStatus::Answered, None, unchanged, unchanged),
        (ReceiptStatus::Sent, None, unchanged, unchanged),
    ] {
        for (reason, after) in [(Reason::NextStep, next_step), (Reason::Retry { retries: 0 }, retry)] {
            let mut log = planned(1, second(20));
            log.plan.as_mut().expect("a plan").reason = reason;
            log.receive(&receipt(0, status, class), START);
            assert_eq!(log.plan.map(|plan| plan.due), after, "{status:?} {reason:?}");
        }
    }
}

#[test]
fn the_right_code_ends_what_is_planned_and_nothing_is_said_after_it() {
    let mut log = planned(1, second(20));
    log.check(VerifyStatus::InvalidCode, second(1));
    assert!(log.plan.is_some());
    log.check(VerifyStatus::Success, second(2));
    log.check(VerifyStatus::Expired, second(3));
    let listed = attempts_of(key(1).id(), log.clone()).next().expect("an attempt");
    assert_eq!((listed.verified_at(), listed.updated()), (Some(second(2)), second(2)));
    assert_eq!((log.plan, log.verify, log.verify_at), (None, VerifyStatus::Success, second(2)));
}

#[test]
fn a_retry_repeats_the_messages_of_its_channel_that_were_not_accepted() {
    let row = |number, gateway, status| Attempt::new(number, Channel::Call, gateway, status, START);
    let mut log = planned(1, second(20));
    let [refused, taken] = [SendStatus::GatewayError, SendStatus::Sent];
    log.rows.extend([row(1, GatewayName::Mada, refused), row(2, GatewayName::Http, taken)]);
    assert_eq!(log.asked_in_vain(), [GatewayName::Mada, GatewayName::Http]);
    let step = *log.plan.take().expect("a plan");
    assert_eq!(log.repeated_by(&step), []);
    let retry = PlannedMessage { reason: Reason::Retry { retries: 0 }, allowance: None, ..step };
    assert_eq!(log.repeated_by(&retry), [(Channel::Call, GatewayName::Mada, 1)]);
    log.plan = Some(Box::new(retry));
    let mut arrived = log.clone();
    arrived.receive(&receipt(0, ReceiptStatus::Delivered, None), START);
    assert_eq!(arrived.plan, None, "the report is about an earlier message");
    log.check(VerifyStatus::Success, second(1));
    let statuses = [SendStatus::Sent, SendStatus::Unsendable, SendStatus::Sent];
    assert!(log.rows.iter().map(|row| row.status).eq(statuses), "{log:?}");
}
