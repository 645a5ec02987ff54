//! Rules for one gateway: the budget, the concurrency limit, the log.

use super::*;

#[tokio::test(start_paused = true)]
async fn every_error_ends_it_at_once() {
    for (class, told) in [
        (ErrorClass::BadNumber, "NumberRefused: BadNumber"),
        (ErrorClass::NotReachableHere, "NumberRefused: NotReachable"),
        (ErrorClass::OptedOut, "NumberRefused: OptedOut"),
        (RETRY, "Gateway"),
        (ErrorClass::Configuration, "Gateway"),
        (ErrorClass::Fraud, "Blocked"),
        (ErrorClass::Refused, "Gateway"),
        (DOUBT, "Gateway, maybe sent"),
    ] {
        let world = World::answering([error(class)]);
        assert_eq!((world.requests().await, world.sent_at()), (told.to_owned(), vec![0]), "{class:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_wait_only_a_code_that_is_known_to_be_good_is_sent() {
    for (happens, told) in [
        ((|_| {}) as fn(&World), "SM2"),
        (|world| world.code_is(Some(Err(Failure::NoLongerUsable))), "NoLongerUsable"),
        (|world| world.code_is(Some(Err(Failure::StateUnknown))), "StateUnknown"),
        (World::loses_lease, "StateUnknown"),
    ] {
        let world = World::with_places(1, 10, [accepted("SM1").after_ms(2_000), accepted("SM2")]);
        let meanwhile = async {
            world.waits(secs(1)).await;
            happens(&world);
        };
        let (first, second, ()) = tokio::join!(world.requests(), world.requests(), meanwhile);
        assert_eq!((&*first, &*second), ("SM1", told));
        assert_eq!(world.sent_at(), if told == "SM2" { vec![0, 2_000] } else { vec![0] });
        assert_eq!(world.times_asked(), 1, "the first did not wait");
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_that_expires_in_the_queue_is_not_sent() {
    let world = World::with_places(1, 10, [accepted("SM1").after_ms(4_000)]);
    let (first, second) = tokio::join!(world.requests(), world.requests_expiring_in(secs(4)));
    assert_eq!(first, "SM1");
    assert_eq!(second, "NoLongerUsable");
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_not_answered_sends_nothing() {
    let world = Setup::routing(BOTH).build().and(Mada, [error(RETRY)]);
    world.code_is(None);
    assert_eq!(world.requests().await, "TimedOutWaiting");
    assert_eq!((world.sent_at(), world.elapsed_ms()), (vec![0], 10_000));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_fails_or_is_dropped_gives_its_place_back() {
    let script = [error(ErrorClass::Refused), hanging(), hanging(), accepted("SM4")];
    let world = World::with_places(1, 0, script);
    assert_eq!(world.requests().await, "Gateway");
    assert_eq!(world.requests().await, "NoAnswerInTime, maybe sent");
    tokio::time::timeout(secs(1), world.requests()).await.expect_err("dropped");
    assert_eq!(world.requests().await, "SM4");
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
