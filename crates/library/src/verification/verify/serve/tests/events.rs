//! Events: each exactly once, in the order of their causes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::world::{World, asking, asking_with, number};
use crate::domain::AttemptId;
use crate::gateway::{ErrorClass, Receipt, ReceiptStatus};
use crate::shard::Record as _;
use crate::verification::verify::{Ending, Status, VerificationTarget};
use crate::webhook::EventRecord;

#[tokio::test(start_paused = true)]
async fn a_verification_tells_its_life_in_order_and_everything_once() {
    let world = World::new().await;
    world.has_webhook().await;
    let begun = world.begun(number(1)).await;
    world.begun(number(1)).await;
    assert_eq!(
        world.checks(VerificationTarget::Sid(begun.sid), None).await.expect("checked").status,
        Status::Pending
    );
    let code = world.provider.code_for(number(1));
    world.checks(VerificationTarget::Sid(begun.sid), Some(code.clone())).await.expect("checked");
    assert!(world.checks(VerificationTarget::Sid(begun.sid), Some(code)).await.is_err());
    assert!(world.ends(VerificationTarget::Sid(begun.sid), Ending::Canceled).await.is_err());
    let expected =
        ["verification.created", "verification.sent", "verification.sent", "verification.approved"];
    assert_eq!(world.posted(5).await, expected);
}

#[tokio::test(start_paused = true)]
async fn ends_of_every_kind_are_told() {
    let world = World::new().await;
    world.has_webhook().await;
    let begun = world.begun(number(1)).await;
    world.ends(VerificationTarget::Sid(begun.sid), Ending::Canceled).await.expect("canceled");
    assert_eq!(world.posted(3).await[2..], ["verification.canceled"]);
    let begun = world.begun(number(2)).await;
    for _ in 0..5 {
        world.checks(VerificationTarget::Sid(begun.sid), None).await.expect("checked");
    }
    assert!(world.checks(VerificationTarget::Sid(begun.sid), None).await.is_err());
    assert_eq!(world.posted(6).await[5..], ["verification.max_attempts_reached"]);
    world.provider.fails_with(ErrorClass::BadNumber);
    assert!(world.begins(asking(number(3))).await.is_err());
    assert_eq!(world.posted(8).await[6..], ["verification.failed"]);
}

#[tokio::test]
async fn an_approval_before_the_gateways_answer_is_told_in_order_without_expiry() {
    let world = World::new().await;
    world.has_webhook().await;
    world.provider.hangs(true);
    let begins = world.begins_meanwhile(asking(number(1)));
    world.provider.arrived(1).await;
    let code = world.provider.code_for(number(1));
    let checked = world.checks(VerificationTarget::Number(number(1)), Some(code)).await.expect("checked");
    assert_eq!(checked.status, Status::Approved);
    world.provider.hangs(false);
    begins.await.expect("no panic").expect("begun");
    let life = ["verification.created", "verification.sent", "verification.approved"];
    assert_eq!(world.posted(3).await, life);
    assert_eq!(world.expected_ends(), 0, "it is over");
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_end_expires_ten_seconds_later_also_after_a_crash() {
    let world = World::new().await;
    world.has_webhook().await;
    world.begun(number(1)).await;
    let approved = world.begun(number(2)).await;
    let code = world.provider.code_for(number(2));
    world.checks(VerificationTarget::Sid(approved.sid), Some(code)).await.expect("checked");
    assert_eq!(world.posted(5).await.len(), 5);
    assert_eq!(world.expected_ends(), 1);
    let world = world.crashes().await;
    world.advance(world.service.settings.code_life + Duration::from_secs(9));
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(world.posted(5).await.len(), 5, "nothing is told twice, and the end not too early");
    world.advance(Duration::from_secs(2));
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(world.posted(6).await[5..], ["verification.expired"]);
    assert_eq!(world.expected_ends(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_tags_of_a_beginning_come_with_each_event_to_its_end() {
    let world = World::new().await;
    world.has_webhook().await;
    let tags = BTreeMap::from([("order".to_owned(), "17".to_owned())]);
    let begun = world.begins(asking_with(number(1), |message| message.tags = tags)).await.expect("begun");
    world.begun(number(1)).await;
    world.ends(VerificationTarget::Sid(begun.sid), Ending::Canceled).await.expect("canceled");
    assert_eq!(world.posted(4).await.len(), 4);
    assert_eq!(world.orders(), ["17"; 4]);
}

#[tokio::test(start_paused = true)]
async fn without_a_webhook_nothing_is_kept() {
    let world = World::new().await;
    let before = world.store.snapshot().len();
    world.begun(number(1)).await;
    assert_eq!(world.expected_ends(), 0);
    let kept = world.store.snapshot().keys().filter(|key| key.kind == EventRecord::KIND).count();
    assert_eq!((kept, world.store.snapshot().len() > before), (0, true));
}

fn delivered(attempt: AttemptId) -> Receipt {
    let (gateway, message_id, status) = (None, "m".to_owned(), ReceiptStatus::Delivered);
    Receipt { attempt, gateway, message_id, status, code: None, class: None }
}

#[tokio::test(start_paused = true)]
async fn a_report_before_its_gateways_answer_waits_for_that_answer() {
    let world = World::new().await;
    world.has_webhook().await;
    let begun = world.begun(number(1)).await;
    let first = world.attempt_of(begun.attempts[0].sid);
    world.provider.hangs(true);
    let begins = world.begins_meanwhile(asking(number(1)));
    world.provider.arrived(2).await;
    let receipt = delivered(AttemptId { attempt: first.attempt + 1, ..first });
    let verifying = world.verifying.clone();
    let reported = tokio::spawn(async move { verifying.receive(receipt).await });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!reported.is_finished(), "an answer to a report that is not recorded");
    world.provider.hangs(false);
    begins.await.expect("no panic").expect("begun");
    assert_eq!(reported.await.expect("no panic"), Ok(()));
    assert_eq!(world.posted(4).await[2..], ["verification.sent", "message.delivered"]);
}
