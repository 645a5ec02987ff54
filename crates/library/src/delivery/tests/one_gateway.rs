//! Rules for one gateway: the budget, the concurrency limit, the second attempt, the log.

use std::time::Duration;

use super::RETRY;
use super::gateways::{accepted, error, hanging};
use super::log_capture::LogCapture;
use super::world::{World, failed, number};
use crate::delivery::error::Failure;
use crate::delivery::{CodeLiveness, CodeState, PlanChange};
use crate::engine::SendResult;
use crate::gateway::ErrorClass;

#[tokio::test(start_paused = true)]
async fn a_message_carries_the_code_and_its_remaining_life() {
    let world = World::answering([accepted("SM1").after_ms(250)]);
    assert_eq!(world.delivers().await, Ok("SM1".to_owned()));

    let sent = world.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].text, "Secret code: 012345");
    assert_eq!(sent[0].code, "012345");
    assert_eq!(sent[0].to, number());
    assert_eq!(sent[0].valid_for, World::LIFE);
    assert_eq!(world.times_asked(), 0, "nothing was waited for, so there was nothing to ask");
}

#[tokio::test(start_paused = true)]
async fn an_error_that_sent_nothing_gets_a_second_attempt_after_500_ms() {
    let world = World::answering([error(RETRY), accepted("SM2")]);
    assert!(world.delivers().await.is_ok());
    assert_eq!(world.sent_at(), [0, 500]);
    assert_eq!(world.sent()[1].valid_for, Duration::from_millis(29_500));
    assert_eq!(world.times_asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_other_error_ends_it_at_once() {
    for (class, may_have_been_sent, is_about_the_number) in [
        (ErrorClass::BadNumber, false, true),
        (ErrorClass::NotReachableHere, false, true),
        (ErrorClass::OptedOut, false, true),
        (ErrorClass::Configuration, false, false),
        (ErrorClass::Fraud, false, false),
        (ErrorClass::Refused, false, false),
        (ErrorClass::Ambiguous, true, false),
    ] {
        let world = World::answering([error(class), accepted("never")]);
        let failed = world.delivers().await.expect_err("failed");
        assert_eq!(failed.class, Some(class));
        assert_eq!(failed.may_have_been_sent(), may_have_been_sent, "{class:?}");
        assert_eq!(failed.is_about_the_number(), is_about_the_number, "{class:?}");
        assert_eq!(world.sent_at(), [0], "{class:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_that_was_used_meanwhile_gets_no_second_attempt() {
    let world = World::answering([error(RETRY), accepted("never")]);
    world.code_is_used_up();
    assert_eq!(world.delivers().await, Err(failed(Failure::NoLongerUsable)));
    assert_eq!(world.sent_at(), [0]);
}

#[tokio::test(start_paused = true)]
async fn after_a_wait_only_a_code_that_is_known_to_be_good_is_sent() {
    let nothing = |_: &World| {};
    for (happens, error) in [
        (nothing as fn(&World), None),
        (World::code_is_used_up, Some(Failure::NoLongerUsable)),
        (World::loses_lease, Some(Failure::StateUnknown)),
        (World::shard_restarts, Some(Failure::StateUnknown)),
    ] {
        let world = World::with_places(1, 10).and_answers([accepted("SM1").after_ms(2_000), accepted("SM2")]);
        let meanwhile = async {
            world.waits(Duration::from_secs(1)).await;
            happens(&world);
        };
        let (first, second, ()) = tokio::join!(world.delivers(), world.delivers(), meanwhile);
        assert!(first.is_ok());
        assert_eq!(second.err(), error.map(failed));
        assert_eq!(world.sent_at(), if error.is_none() { vec![0, 2_000] } else { vec![0] });
        assert_eq!(world.times_asked(), 1, "the first did not wait");
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_that_expires_in_the_queue_is_not_sent() {
    let world = World::with_places(1, 10).and_answers([accepted("SM1").after_ms(4_000), accepted("never")]);
    let expiring = world.delivers_expiring_in(Duration::from_secs(4));
    let (first, second) = tokio::join!(world.delivers(), expiring);
    assert!(first.is_ok());
    assert_eq!(second, Err(failed(Failure::NoLongerUsable)));
    assert_eq!(world.sent_at(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_not_answered_sends_nothing() {
    let world = World::answering([error(RETRY), accepted("never")]);
    let delivered = world.deliver(&world.job(), &Silent).await;
    assert_eq!(delivered.result, SendResult::Failed { may_have_been_sent: None });
    assert_eq!(delivered.plan, PlanChange::End(None));
    assert_eq!((world.sent_at(), world.elapsed_ms()), (vec![0], 10_000));
}

#[tokio::test(start_paused = true)]
async fn never_more_messages_than_places_are_at_the_gateway() {
    let slow = || accepted("SM").after_ms(10);
    let world = World::with_places(4, 1_000).and_answers(std::iter::repeat_with(slow).take(100));
    let all = futures_util::future::join_all((0..100).map(|_| world.delivers())).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(world.most_at_once(), 4);
    assert_eq!(world.elapsed_ms(), 250);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_fails_or_is_dropped_gives_its_place_back() {
    let script = [error(ErrorClass::Refused), hanging(), hanging(), accepted("SM4")];
    let world = World::with_places(1, 0).and_answers(script);
    assert!(world.delivers().await.is_err());
    assert!(world.delivers().await.is_err());
    let dropped = tokio::time::timeout(Duration::from_secs(1), world.delivers()).await;
    assert!(dropped.is_err());
    assert!(world.delivers().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn each_failure_is_logged_once_without_code_or_whole_number() {
    let scripts = || {
        [
            (vec![error(ErrorClass::Configuration)], "ERROR", "message not sent"),
            (vec![error(ErrorClass::Fraud)], "WARN", "message not sent"),
            (vec![error(ErrorClass::Ambiguous)], "WARN", "outcome of a message unknown"),
            (vec![error(RETRY), accepted("SM")], "WARN", "message not sent"),
            (vec![hanging()], "WARN", "no answer in time"),
        ]
    };
    let log = LogCapture::default();
    let deliver = async |script| drop(World::answering(script).delivers().await);
    let all = async || {
        for (script, ..) in scripts() {
            deliver(script).await;
        }
    };
    let _capturing = log.start(all).await;
    for (script, level, words) in scripts() {
        deliver(script).await;
        let text = log.take();
        let failures: Vec<_> = text.lines().filter(|l| l.contains("WARN") || l.contains("ERROR")).collect();
        assert_eq!(failures.len(), 1, "{text}");
        assert!(failures[0].contains(level) && failures[0].contains(words), "{text}");
        assert!(failures[0].contains("+1415*****71") && failures[0].contains("id-of-the-request"), "{text}");
        for secret in ["012345", "4155552671", "Secret code"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_overload_is_logged_once_until_it_is_over() {
    let log = LogCapture::default();
    let slow = || accepted("SM").after_ms(100);
    let world = World::with_places(1, 0).and_answers(std::iter::repeat_with(slow).take(10));
    let overload = async || drop(futures_util::future::join_all((0..5).map(|_| world.delivers())).await);
    let _capturing = log.start(&overload).await;
    for _ in 0..2 {
        overload().await;
        assert_eq!(log.take().lines().filter(|line| line.contains("gateway overloaded")).count(), 1);
    }
}

/// A shard that does not answer.
struct Silent;

impl CodeLiveness for Silent {
    async fn code_state(&self) -> CodeState {
        std::future::pending().await
    }
}
