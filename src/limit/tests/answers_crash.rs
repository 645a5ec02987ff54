//! Idempotency keys over crashes and stores that fail: what was cut off is never carried out twice unseen.

use serde_json::json;

use super::World;
use super::answers::{ONE, REQUEST, again, first};
use crate::limit::{Answers, Begun, KeyRefusal, Ticket};
use crate::store::Fault;

/// The ticket of whoever repeats what was cut off.
async fn interrupted(answers: &Answers, key: &str) -> Ticket {
    match answers.begin(ONE, key, REQUEST).await {
        Ok(Begun::Interrupted(ticket)) => ticket,
        other => panic!("{other:?}"),
    }
}

/// A world whose program died in the middle of a marked request.
async fn cut_off() -> World {
    let mut world = World::new();
    let answers = world.answers().await;
    let mut ticket = first(&answers, "k").await;
    ticket.mark_durable().await.expect("marked");
    world.crashes();
    drop(ticket);
    world
}

#[tokio::test]
async fn an_answer_that_was_told_is_kept_over_a_crash() {
    let mut world = World::new();
    let answers = world.answers().await;
    let mut ticket = first(&answers, "k").await;
    ticket.mark_durable().await.expect("marked");
    ticket.finish(json!({"n": 1})).await.expect("kept");
    world.crashes();
    let answers = world.answers().await;
    assert_eq!(again(&answers, "k").await, r#"{"n":1}"#);
    assert!(matches!(answers.begin(ONE, "k", [9; 32]).await, Ok(Begun::OtherRequest)));
}

#[tokio::test]
async fn a_request_that_a_crash_cut_off_before_its_mark_is_carried_out() {
    let mut world = World::new();
    let _ticket = first(&world.answers().await, "k").await;
    world.crashes();
    assert_eq!(again(&world.answers().await, "k").await, "first");
}

#[tokio::test]
async fn a_request_that_a_crash_cut_off_after_its_mark_is_interrupted_until_somebody_finds_out() {
    let world = cut_off().await;
    let answers = world.answers().await;
    let ticket = interrupted(&answers, "k").await;
    assert_eq!(again(&answers, "k").await, "still answering", "one at a time finds out");
    assert!(matches!(answers.begin(ONE, "k", [9; 32]).await, Ok(Begun::OtherRequest)));
    drop(ticket);
    let mut ticket = interrupted(&answers, "k").await;
    ticket.mark_durable().await.expect("it is marked already");
    ticket.finish(json!(5)).await.expect("kept");
    assert_eq!(again(&answers, "k").await, "5");
}

#[tokio::test]
async fn an_interrupted_request_without_effect_is_freed_by_whoever_found_that_out() {
    let mut world = cut_off().await;
    let answers = world.answers().await;
    interrupted(&answers, "k").await.free().await;
    drop(first(&answers, "k").await);
    world.crashes();
    assert_eq!(again(&world.answers().await, "k").await, "first");
}

#[tokio::test]
async fn a_mark_ends_after_a_day() {
    let world = cut_off().await;
    world.advance(86_400);
    assert_eq!(again(&world.answers().await, "k").await, "first");
}

#[tokio::test]
async fn when_the_mark_cannot_be_written_the_request_must_not_go_on_and_the_key_is_free() {
    for fault in [Fault::Unavailable, Fault::UnknownApplied, Fault::UnknownNotApplied] {
        let mut world = World::new();
        let answers = world.answers().await;
        let mut ticket = first(&answers, "k").await;
        world.fails_next(fault);
        assert_eq!(ticket.mark_durable().await, Err(KeyRefusal::StoreUnavailable), "{fault:?}");
        drop(ticket);
        assert_eq!(again(&answers, "other").await, "first");
        while answers.running() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(again(&answers, "k").await, "first", "{fault:?}");
        world.crashes();
        assert_eq!(again(&world.answers().await, "k").await, "first", "{fault:?}");
    }
}

#[tokio::test]
async fn when_the_answer_cannot_be_kept_a_repetition_of_a_marked_request_is_not_carried_out() {
    for fault in [Fault::Unavailable, Fault::UnknownApplied, Fault::UnknownNotApplied] {
        let mut world = World::new();
        let answers = world.answers().await;
        let mut ticket = first(&answers, "k").await;
        ticket.mark_durable().await.expect("marked");
        world.fails_next(fault);
        assert_eq!(ticket.finish(json!(3)).await, Err(KeyRefusal::StoreUnavailable), "{fault:?}");
        for _ in 0..2 {
            let told = again(&answers, "k").await;
            assert!(told == "interrupted" || told == "3", "{fault:?}: {told}");
        }
        let before = again(&answers, "k").await;
        world.crashes();
        assert_eq!(again(&world.answers().await, "k").await, before, "{fault:?}: what is told is durable");
    }
}

#[tokio::test]
async fn when_a_mark_cannot_be_taken_back_a_repetition_is_interrupted() {
    let world = World::new();
    let answers = world.answers().await;
    let mut ticket = first(&answers, "k").await;
    ticket.mark_durable().await.expect("marked");
    world.fails_next(Fault::Unavailable);
    drop(ticket);
    while answers.running() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(again(&answers, "k").await, "interrupted");
}

#[tokio::test]
async fn when_another_writer_comes_first_a_request_is_still_the_only_first() {
    let world = World::new();
    let answers = world.answers().await;
    world.store.fail_next([Fault::UnknownApplied, Fault::Conflict]);
    let mut ticket = first(&answers, "k").await;
    assert_eq!(ticket.mark_durable().await, Err(KeyRefusal::StoreUnavailable));
    ticket.mark_durable().await.expect("the second try");
    assert_eq!(again(&answers, "k").await, "still answering");
    ticket.finish(json!(1)).await.expect("kept");
    assert_eq!(again(&answers, "k").await, "1");
}

#[tokio::test]
async fn whoever_finds_a_doubtful_mark_is_the_one_to_find_out_once_it_is_settled() {
    let world = World::new();
    let answers = world.answers().await;
    let mut ticket = first(&answers, "k").await;
    world.store.fail_next([Fault::UnknownApplied, Fault::Unavailable]);
    assert_eq!(ticket.mark_durable().await, Err(KeyRefusal::StoreUnavailable));
    drop(ticket);
    while answers.running() > 0 {
        tokio::task::yield_now().await;
    }
    // The mark is written again first, and meets a revision that is not the one it knew.
    interrupted(&answers, "k").await.free().await;
    assert_eq!(again(&answers, "k").await, "first");
}

#[tokio::test]
async fn a_request_that_may_have_had_effects_stays_marked_when_its_task_is_dropped() {
    let world = World::new();
    let answers = world.answers().await;
    let mut ticket = first(&answers, "k").await;
    ticket.stay_marked();
    ticket.mark_durable().await.expect("marked");
    ticket.stay_marked();
    drop(ticket);
    interrupted(&answers, "k").await.free().await;
    drop(first(&answers, "k").await);
    assert_eq!(world.store.snapshot().len(), 0);
}
