//! Answers for idempotency keys.

use serde_json::json;

use super::world::{World, asking, asking_once, number};
use crate::domain::Code;
use crate::gateway::ErrorClass;
use crate::store::StoreFault;
use crate::verify::{BeginRequest, Refused, Status, VerificationTarget};

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

#[tokio::test]
async fn a_repetition_after_a_crash_finds_the_sent_message_and_sends_nothing() {
    let world = World::new().await;
    world.provider.hangs(true);
    let verifying = world.verifying.clone();
    let service = world.service.id;
    let cut_off = tokio::spawn(async move {
        use crate::verify::Verifications as _;
        verifying.begin(service, asking_once(number(1), "a")).await
    });
    world.provider.arrived(1).await;
    let world = world.crashes().await;
    cut_off.abort();
    world.provider.hangs(false);
    let found = world.begins(asking_once(number(1), "a")).await.expect("found out");
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
