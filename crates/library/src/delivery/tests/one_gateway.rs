//! Rules for one gateway: the budget, the concurrency limit, the log.

use super::*;
use crate::engine::PossiblySent;

#[tokio::test(start_paused = true)]
async fn every_error_ends_it_at_once() {
    let failed = |may_have_been_sent| SendResult::Failed { may_have_been_sent };
    for (class, result) in [
        (ErrorClass::BadNumber, SendResult::NumberRefused),
        (ErrorClass::NotReachableHere, SendResult::NumberRefused),
        (ErrorClass::OptedOut, SendResult::NumberRefused),
        (RETRY, failed(None)),
        (ErrorClass::Configuration, failed(None)),
        (ErrorClass::Fraud, failed(None)),
        (ErrorClass::Refused, failed(None)),
        (ErrorClass::Ambiguous, failed(Some(PossiblySent { held: None }))),
    ] {
        let world = World::answering([error(class)]);
        let ended = world.requests().await;
        assert_eq!(ended, result, "{class:?}");
        assert_eq!((ended.failed_by(), world.sent_at()), (Some(class), vec![0]));
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_wait_only_a_code_that_is_known_to_be_good_is_sent() {
    for (happens, reason) in [
        ((|_| {}) as fn(&World), None),
        (|world| world.code_is(Some(Err(Failure::NoLongerUsable))), Some(Failure::NoLongerUsable)),
        (|world| world.code_is(Some(Err(Failure::StateUnknown))), Some(Failure::StateUnknown)),
        (World::loses_lease, Some(Failure::StateUnknown)),
    ] {
        let world = World::with_places(1, 10, [accepted("SM1").after_ms(2_000), accepted("SM2")]);
        let meanwhile = async {
            world.waits(secs(1)).await;
            happens(&world);
        };
        let (first, second, ()) = tokio::join!(world.requests(), world.requests(), meanwhile);
        assert_eq!((first.reason, second.reason), (None, reason));
        assert_eq!(world.sent_at(), if reason.is_none() { vec![0, 2_000] } else { vec![0] });
        assert_eq!(world.times_asked(), 1, "the first did not wait");
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_that_expires_in_the_queue_is_not_sent() {
    let world = World::with_places(1, 10, [accepted("SM1").after_ms(4_000)]);
    let (first, second) = tokio::join!(world.requests(), world.requests_expiring_in(secs(4)));
    assert_eq!(first, taken("SM1"));
    assert_eq!(second, Failure::NoLongerUsable);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_not_answered_sends_nothing() {
    let world = Setup::routing(BOTH).build().and(Mada, [error(RETRY)]);
    world.code_is(None);
    assert_eq!(world.requests().await, Failure::TimedOutWaiting);
    assert_eq!((world.sent_at(), world.elapsed_ms()), (vec![0], 10_000));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_fails_or_is_dropped_gives_its_place_back() {
    let script = [error(ErrorClass::Refused), hanging(), hanging(), accepted("SM4")];
    let world = World::with_places(1, 0, script);
    assert_eq!(world.requests().await, Failure::Gateway);
    assert_eq!(world.requests().await, Failure::NoAnswerInTime);
    tokio::time::timeout(secs(1), world.requests()).await.expect_err("dropped");
    assert_eq!(world.requests().await, taken("SM4"));
}

#[tokio::test(start_paused = true)]
async fn a_record_does_not_grow_beyond_its_bound() {
    let world = World::answering(vec![accepted("SM"); 101]);
    for _ in 0..101 {
        world.requests().await;
    }
    let rows = world.rows();
    assert_eq!((rows.len(), rows[31].number), (32, 100), "the last one is there");
}
