//! Idempotency keys with crashes and failing stores: an interrupted request is never silently executed twice.

use serde_json::json;

use super::World;
use super::answers::{ONE, REQUEST, again, first};
use crate::limit::{Answers, KeyDecision, KeyRefusal, Ticket};
use crate::shard::Refusal;
use crate::store::StoreFault;

/// The ticket of a repetition of an interrupted request.
async fn interrupted(answers: &Answers, key: &str) -> Ticket {
    match answers.begin(ONE, key, REQUEST).await {
        Ok(KeyDecision::Interrupted(ticket)) => ticket,
        other => panic!("{other:?}"),
    }
}

/// A world whose program died during a marked request.
async fn cut_off() -> World {
    let mut world = World::new();
    let answers = world.answers().await;
    let ticket = first(&answers, "k").await;
    world.crashes();
    drop(ticket);
    world
}

#[tokio::test]
async fn an_answer_that_was_told_is_kept_over_a_crash() {
    let mut world = World::new();
    let answers = world.answers().await;
    let ticket = first(&answers, "k").await;
    ticket.finish(json!({"n": 1}).to_string()).await.expect("kept");
    world.crashes();
    let answers = world.answers().await;
    assert_eq!(again(&answers, "k").await, r#"{"n":1}"#);
    assert!(matches!(answers.begin(ONE, "k", [9; 32]).await, Ok(KeyDecision::OtherRequest)));
}

#[tokio::test]
async fn a_marked_request_cut_off_by_a_crash_is_interrupted_until_resolved() {
    let world = cut_off().await;
    let answers = world.answers().await;
    let ticket = interrupted(&answers, "k").await;
    assert_eq!(again(&answers, "k").await, "still answering", "one at a time finds out");
    assert!(matches!(answers.begin(ONE, "k", [9; 32]).await, Ok(KeyDecision::OtherRequest)));
    drop(ticket);
    let ticket = interrupted(&answers, "k").await;
    ticket.finish(json!(5).to_string()).await.expect("kept");
    assert_eq!(again(&answers, "k").await, "5");
}

#[tokio::test]
async fn an_interrupted_request_without_effect_is_freed_by_the_finder() {
    let mut world = cut_off().await;
    let answers = world.answers().await;
    interrupted(&answers, "k").await.free().await;
    first(&answers, "k").await.free().await;
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
async fn a_marked_request_is_not_repeated_when_its_answer_cannot_be_kept() {
    for fault in [StoreFault::Unavailable, StoreFault::UnknownApplied, StoreFault::UnknownNotApplied] {
        let mut world = World::new();
        let answers = world.answers().await;
        let ticket = first(&answers, "k").await;
        world.fails_next(fault);
        assert_eq!(
            ticket.finish(json!(3).to_string()).await,
            Err(KeyRefusal::Refused(Refusal::StoreUnavailable)),
            "{fault:?}"
        );
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
async fn when_the_mark_cannot_be_written_no_ticket_is_given_and_the_key_is_free() {
    for fault in [StoreFault::Unavailable, StoreFault::UnknownApplied, StoreFault::UnknownNotApplied] {
        let mut world = World::new();
        let answers = world.answers().await;
        world.fails_next(fault);
        let begun = answers.begin(ONE, "k", REQUEST).await;
        assert_eq!(begun.err(), Some(KeyRefusal::Refused(Refusal::StoreUnavailable)), "{fault:?}");
        first(&answers, "k").await.free().await;
        world.crashes();
        assert_eq!(again(&world.answers().await, "k").await, "first", "{fault:?}");
    }
}

#[tokio::test]
async fn when_a_mark_cannot_be_taken_back_a_repetition_is_interrupted() {
    let mut world = World::new();
    let answers = world.answers().await;
    let ticket = first(&answers, "k").await;
    world.fails_next(StoreFault::Unavailable);
    ticket.free().await;
    assert_eq!(again(&answers, "k").await, "interrupted");
    // The mark can be neither written nor removed.
    world.store.fail_next([StoreFault::UnknownApplied, StoreFault::UnknownNotApplied]);
    let begun = answers.begin(ONE, "other", REQUEST).await;
    assert_eq!(begun.err(), Some(KeyRefusal::Refused(Refusal::StoreUnavailable)));
    let told = again(&answers, "other").await;
    world.crashes();
    assert_eq!(
        (told, again(&world.answers().await, "k").await),
        ("interrupted".to_owned(), "interrupted".to_owned())
    );
}

#[tokio::test]
async fn a_request_whose_task_dies_stays_marked() {
    let world = World::new();
    let answers = world.answers().await;
    let died = {
        let answers = answers.clone();
        tokio::spawn(async move {
            let _ticket = first(&answers, "k").await;
            panic!("the request's task dies");
        })
    };
    assert!(died.await.is_err());
    interrupted(&answers, "k").await.free().await;
    first(&answers, "k").await.free().await;
    assert_eq!(world.store.snapshot().len(), 0);
}
