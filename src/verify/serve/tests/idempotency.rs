//! Answers for idempotency keys.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;

use super::world::{START, World, asking, asking_once, number};
use crate::domain::{Channel, Code};
use crate::gateway::ErrorClass;
use crate::limit::{KeyUse, KeyedMessage};
use crate::registry::TestNumber;
use crate::shard::Record as _;
use crate::store::StoreFault;
use crate::verify::{
    BeginRequest, Ending, Refused, Status, Verification, VerificationTarget, Verifications as _,
};

#[tokio::test]
async fn the_same_request_with_the_same_key_gets_the_same_answer_and_sends_once() {
    let world = World::new().await;
    let first = world.begins(asking_once(number(1), "a")).await.expect("begun");
    assert_eq!(world.begins(asking_once(number(1), "a")).await, Ok(first.clone()));
    // The same after the verification is over, and after a crash.
    let code = world.provider.code_for(number(1));
    let approved = world.checks(VerificationTarget::Sid(first.sid), Some(code)).await.expect("checked");
    assert_eq!(approved.status, Status::Approved);
    assert_eq!(world.begins(asking_once(number(1), "a")).await, Ok(first.clone()));
    let world = world.crashes().await;
    assert_eq!(world.begins(asking_once(number(1), "a")).await, Ok(first));
    assert_eq!(world.provider.handed().len(), 1);
}

#[tokio::test]
async fn without_a_key_or_with_another_one_a_request_is_a_request() {
    let world = World::new().await;
    world.begun(number(1)).await;
    world.begins(asking_once(number(1), "a")).await.expect("begun");
    world.begins(asking_once(number(1), "bb")).await.expect("begun");
    assert_eq!(world.provider.handed().len(), 3);
}

#[tokio::test]
async fn a_key_is_good_for_one_request_in_one_service() {
    let world = World::new().await;
    world.begins(asking_once(number(1), "a")).await.expect("begun");
    let other = crate::verify::BeginRequest { fingerprint: [9; 32], ..asking_once(number(2), "a") };
    assert_eq!(world.begins(other).await, Err(Refused::OtherRequest));
    assert_eq!(world.provider.handed().len(), 1);
}

#[tokio::test]
async fn two_at_the_same_time_are_one_message() {
    let world = World::new().await;
    let (one, two) =
        tokio::join!(world.begins(asking_once(number(1), "a")), world.begins(asking_once(number(1), "a")));
    let answers = [one, two];
    assert!(answers.iter().any(Result::is_ok));
    for answer in &answers {
        let is_waiting = matches!(answer, Err(Refused::StillAnswering));
        assert!(is_waiting || *answer == answers[usize::from(answers[0].is_err())], "{answer:?}");
    }
    assert_eq!(world.provider.handed().len(), 1);
}

/// Begins with the key `a`, in a task.
fn beginning(world: &World) -> JoinHandle<Result<Verification, Refused>> {
    let (verifying, service) = (world.verifying.clone(), world.service.id);
    tokio::spawn(async move { verifying.begin(service, asking_once(number(1), "a")).await })
}

/// The program dies while the gateway has the message of the key `a`.
async fn cut_off(world: World) -> World {
    let messages = world.provider.handed().len() + 1;
    world.provider.hangs(true);
    let cut_off = beginning(&world);
    world.provider.arrived(messages).await;
    let world = world.crashes().await;
    cut_off.abort();
    world.provider.hangs(false);
    world
}

/// Repeats the request with the key `a`, twice, with and without a crash between. All answers must be equal, and no
/// message may follow.
async fn repeated(world: World) -> (World, Result<Verification, Refused>) {
    let messages = world.provider.handed().len();
    let first = world.begins(asking_once(number(1), "a")).await;
    assert_eq!(world.begins(asking_once(number(1), "a")).await, first);
    let world = world.crashes().await;
    assert_eq!(world.begins(asking_once(number(1), "a")).await, first);
    assert_eq!(world.provider.handed().len(), messages, "no second message");
    (world, first)
}

/// The notes of messages on the disk.
fn notes(world: &World) -> usize {
    of_kind(world, KeyedMessage::KIND)
}

fn of_kind(world: &World, kind: u8) -> usize {
    world.store.snapshot().keys().filter(|key| key.kind == kind).count()
}

async fn checks_by_number(world: &World, code: Option<Code>) -> Result<Status, Refused> {
    let checked = world.checks(VerificationTarget::Number(number(1)), code).await;
    checked.map(|verification| verification.status)
}

#[tokio::test]
async fn a_cut_off_request_is_answered_as_approved_after_its_code_was_right() {
    let world = cut_off(World::new().await).await;
    let code = world.provider.code_for(number(1));
    assert_eq!(checks_by_number(&world, Some(code)).await, Ok(Status::Approved));
    let (world, found) = repeated(world).await;
    let found = found.expect("the earlier request's answer");
    assert_eq!((found.to, found.channel, found.status), (number(1), Channel::Sms, Status::Approved));
    // A later verification of the number is another one.
    let later = world.begun(number(1)).await;
    assert_ne!(later.sid, found.sid);
    assert_eq!(world.begins(asking_once(number(1), "a")).await, Ok(found));
}

#[tokio::test]
async fn a_later_verification_is_no_answer_to_a_cut_off_request() {
    let world = cut_off(World::new().await).await;
    let code = world.provider.code_for(number(1));
    checks_by_number(&world, Some(code)).await.expect("checked");
    let later = world.begun(number(1)).await;
    let (_, found) = repeated(world).await;
    let found = found.expect("the earlier request's answer");
    assert_eq!(found.status, Status::Approved);
    assert_ne!(found.sid, later.sid);
}

#[tokio::test]
async fn a_cut_off_further_message_is_found_after_the_code_was_right() {
    let world = World::new().await;
    let begun = world.begun(number(1)).await;
    let world = cut_off(world).await;
    let code = world.provider.code_for(number(1));
    checks_by_number(&world, Some(code)).await.expect("checked");
    let (_, found) = repeated(world).await;
    let found = found.expect("the earlier request's answer");
    assert_eq!((found.sid, found.status), (begun.sid, Status::Approved));
}

#[tokio::test]
async fn a_repetition_reports_a_canceled_verification() {
    let world = cut_off(World::new().await).await;
    let number = VerificationTarget::Number(number(1));
    world.ends(number, Ending::Canceled).await.expect("canceled");
    let (_, found) = repeated(world).await;
    assert_eq!(found.expect("the earlier request's answer").status, Status::Canceled);
}

#[tokio::test]
async fn a_cut_off_request_is_answered_as_used_up_after_too_many_codes() {
    let world = cut_off(World::with(json!({ "lockout": "verification" })).await).await;
    while checks_by_number(&world, None).await == Ok(Status::Pending) {}
    let (_, found) = repeated(world).await;
    assert_eq!(found.expect("the earlier request's answer").status, Status::MaxAttemptsReached);
}

#[tokio::test]
async fn a_cut_off_request_whose_code_expired_is_refused_and_sends_nothing() {
    let world = cut_off(World::new().await).await;
    world.advance(Duration::from_secs(3_600));
    let (world, found) = repeated(world).await;
    assert_eq!(found, Err(Refused::Ended));
    assert_eq!(notes(&world), 1);
    world.begins(asking_once(number(1), "bb")).await.expect("another key begins");
    world.advance(Duration::from_secs(86_400));
    world.begins(asking_once(number(1), "a")).await.expect("a key lasts a day");
}

#[tokio::test]
async fn a_lockout_after_a_cut_off_request_leads_to_no_second_message() {
    let world = cut_off(World::with(json!({ "lockout": "30m" })).await).await;
    while checks_by_number(&world, None).await == Ok(Status::Pending) {}
    let (world, found) = repeated(world).await;
    assert!(matches!(found, Err(Refused::NoChecksLeft { .. })), "{found:?}");
    world.advance(Duration::from_secs(1_800));
    let (_, found) = repeated(world).await;
    assert_eq!(found, Err(Refused::Ended));
}

#[tokio::test]
async fn a_message_sent_while_its_number_was_locked_is_not_sent_again() {
    let world = World::with(json!({ "lockout": "30m" })).await;
    world.provider.hangs(true);
    let begun = beginning(&world);
    world.provider.arrived(1).await;
    while checks_by_number(&world, None).await == Ok(Status::Pending) {}
    world.provider.hangs(false);
    let refused = begun.await.expect("no panic");
    assert!(matches!(refused, Err(Refused::NoChecksLeft { .. })), "{refused:?}");
    world.advance(Duration::from_secs(1_800));
    let (_, found) = repeated(world).await;
    assert_eq!(found, Err(Refused::Ended));
}

#[tokio::test]
async fn a_request_cut_off_before_its_message_was_permitted_is_carried_out() {
    let world = World::new().await;
    world.store.hold();
    let begun = beginning(&world);
    world.store.waiting(1).await;
    world.store.release();
    // The mark is durable, and the commit that permits the message fails.
    world.store.fail_next([StoreFault::Unavailable]);
    assert!(matches!(begun.await.expect("no panic"), Err(Refused::Unavailable(_))));
    assert_eq!(world.provider.handed().len(), 0);
    let world = world.crashes().await;
    assert_eq!((of_kind(&world, KeyUse::KIND), notes(&world)), (1, 0));
    world.begins(asking_once(number(1), "a")).await.expect("carried out");
    assert_eq!(world.provider.handed().len(), 1);
    let (_, again) = repeated(world).await;
    again.expect("the same answer");
}

#[tokio::test]
async fn a_message_whose_permission_was_not_durable_is_sent_by_a_repetition() {
    for fault in [StoreFault::Unavailable, StoreFault::UnknownApplied, StoreFault::UnknownNotApplied] {
        let world = World::new().await;
        world.store.hold();
        let begun = beginning(&world);
        world.store.waiting(1).await;
        world.store.release();
        world.store.fail_next([fault]);
        assert!(matches!(begun.await.expect("no panic"), Err(Refused::Unavailable(_))));
        assert_eq!((of_kind(&world, KeyUse::KIND), world.provider.handed().len()), (1, 0), "only the mark");
        world.begins(asking_once(number(1), "a")).await.expect("carried out");
        assert_eq!(world.provider.handed().len(), 1);
        let (_, again) = repeated(world).await;
        again.expect("the same answer");
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_kept_is_found_out_after_the_code_was_right() {
    let world = World::new().await;
    world.provider.hangs(true);
    let begun = beginning(&world);
    world.provider.arrived(1).await;
    world.store.fail_next([StoreFault::UnknownNotApplied]);
    world.provider.hangs(false);
    let begun = begun.await.expect("no panic").expect("answered all the same");
    let code = world.provider.code_for(number(1));
    assert_eq!(checks_by_number(&world, Some(code)).await, Ok(Status::Approved));
    let (_, found) = repeated(world).await;
    assert_eq!(found.expect("the earlier request's answer").sid, begun.sid);
}

#[tokio::test]
async fn a_request_about_a_test_number_notes_no_message() {
    let world = World::new().await;
    let pattern = number(100).e164();
    let expires = START.plus(Duration::from_secs(3_600));
    let test = TestNumber { pattern, code: "445566".to_owned(), expires, force: false };
    world.registry.put_test_number(world.service.sid, test).await.expect("a test number");
    world.begins(asking_once(number(100), "a")).await.expect("begun");
    assert_eq!((of_kind(&world, KeyUse::KIND), notes(&world)), (1, 0));
}

#[tokio::test]
async fn no_note_of_a_message_outlives_its_answer() {
    let world = World::new().await;
    world.provider.hangs(true);
    let begun = beginning(&world);
    world.provider.arrived(1).await;
    assert_eq!(notes(&world), 1, "durable before the message leaves");
    world.provider.hangs(false);
    begun.await.expect("no panic").expect("begun");
    world.provider.fails_with(ErrorClass::BadNumber);
    assert!(world.begins(asking_once(number(2), "bb")).await.is_err());
    // A removal leaves the disk with a later commit.
    world.begun(number(3)).await;
    assert_eq!(notes(&world), 0);
}

#[tokio::test]
async fn a_repetition_after_a_crash_finds_the_sent_message_and_sends_nothing() {
    let world = cut_off(World::new().await).await;
    let found = world.begins(asking_once(number(1), "a")).await.expect("the earlier request's answer");
    assert_eq!((found.to, found.status), (number(1), Status::Pending));
    assert_eq!(world.begins(asking_once(number(1), "a")).await, Ok(found.clone()), "and it is kept");
    assert_eq!(world.provider.handed().len(), 1);
    // The code of the message that left is valid.
    let code = world.provider.code_for(number(1));
    let checked = world.checks(VerificationTarget::Sid(found.sid), Some(code)).await.expect("checked");
    assert_eq!(checked.status, Status::Approved);
}

#[tokio::test]
async fn a_key_that_cannot_be_made_durable_sends_nothing_and_can_be_used_again() {
    let world = World::new().await;
    world.store.fail_next([StoreFault::Unavailable]);
    assert!(matches!(world.begins(asking_once(number(1), "a")).await, Err(Refused::Unavailable(_))));
    assert_eq!(world.provider.handed().len(), 0);
    world.begins(asking_once(number(1), "a")).await.expect("begun");
    assert_eq!(world.provider.handed().len(), 1);
}

#[tokio::test]
async fn a_request_that_came_to_nothing_keeps_no_answer() {
    let world = World::new().await;
    world.provider.fails_with(ErrorClass::BadNumber);
    assert!(matches!(world.begins(asking_once(number(1), "a")).await, Err(Refused::Invalid(_))));
    world.begins(asking_once(number(1), "a")).await.expect("begun");
    world.provider.fails_with(ErrorClass::Configuration);
    assert_eq!(world.begins(asking_once(number(2), "bb")).await, Err(Refused::GatewayFailed));
    world.begins(asking_once(number(2), "bb")).await.expect("begun");
    world.begins(asking(number(3))).await.expect("begun");
    assert_eq!(world.provider.handed().len(), 5);
}

#[tokio::test]
async fn an_unsent_message_is_not_answered_as_sent_because_of_an_earlier_one() {
    let world = World::new().await;
    world.begun(number(1)).await;
    world.provider.fails_with(ErrorClass::Configuration);
    assert_eq!(world.begins(asking_once(number(1), "a")).await, Err(Refused::GatewayFailed));
    world.begins(asking_once(number(1), "a")).await.expect("begun");
    assert_eq!(world.provider.handed().len(), 3, "it was carried out");
}

#[tokio::test]
async fn a_key_with_another_code_of_the_caller_is_another_request() {
    let fields = json!({ "custom-code": true });
    let world = World::with(fields).await;
    let bringing = |code| BeginRequest { code: Code::parse(code), ..asking_once(number(1), "a") };
    let first = world.begins(bringing("111111")).await.expect("begun");
    assert_eq!(world.begins(bringing("111111")).await, Ok(first));
    assert_eq!(world.begins(bringing("222222")).await, Err(Refused::OtherRequest));
}
