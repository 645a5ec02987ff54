//! Idempotency keys: the first request and its repetitions.

use serde_json::json;

use super::{START, World, secs};
use crate::domain::ServiceId;
use crate::limit::{Answers, KeptAnswer, KeyDecision, KeyRefusal, KeyUse, Ticket};
use crate::shard::{PLACE_BYTES, Record as _, Refusal};

pub const ONE: ServiceId = ServiceId::new(1);
pub const REQUEST: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];
const FULL: &str = "the server has too many stored responses already";

/// The ticket of a request that must be executed.
pub async fn first(answers: &Answers, key: &str) -> Ticket {
    match answers.begin(ONE, key, REQUEST).await {
        Ok(KeyDecision::First(ticket)) => ticket,
        other => panic!("{other:?}"),
    }
}

/// The answer to a repetition.
pub async fn again(answers: &Answers, key: &str) -> String {
    match answers.begin(ONE, key, REQUEST).await {
        Ok(KeyDecision::First(_)) => "first".to_owned(),
        Ok(KeyDecision::Again(KeptAnswer(kept))) => kept,
        Ok(KeyDecision::OtherRequest) => "another request".to_owned(),
        Ok(KeyDecision::StillAnswering) => "still answering".to_owned(),
        Ok(KeyDecision::Interrupted(_)) => "interrupted".to_owned(),
        Err(refusal) => refusal.to_string(),
    }
}

/// Returns when expired records have made room: the key's shard finds its own records at once, a sweep finds those of
/// others.
async fn until_first(answers: &Answers, key: &str) {
    while again(answers, key).await == FULL {
        tokio::time::sleep(secs(1) / 100).await;
    }
    assert_eq!(again(answers, key).await, "interrupted", "the first was let go");
}

#[tokio::test]
async fn a_repetition_gets_the_first_answer_for_a_day_and_then_counts_as_first() {
    let world = World::new();
    let answers = world.answers().await;
    let ticket = first(&answers, "k").await;
    ticket.finish(json!({"sid": "VE1", "attempts": [1, null]}).to_string()).await.expect("kept");
    for wait in [0, 86_399] {
        world.advance(wait);
        assert_eq!(again(&answers, "k").await, r#"{"attempts":[1,null],"sid":"VE1"}"#);
    }
    world.advance(1);
    assert_eq!(again(&answers, "k").await, "first");
}

#[tokio::test]
async fn any_json_can_be_an_answer() {
    let mut world = World::new();
    let values = [json!(null), json!(false), json!([]), json!("a"), json!(0)];
    let answers = world.answers().await;
    for (index, value) in values.iter().enumerate() {
        first(&answers, &index.to_string()).await.finish(value.to_string()).await.expect("kept");
    }
    world.crashes();
    let answers = world.answers().await;
    for (index, value) in values.iter().enumerate() {
        assert_eq!(again(&answers, &index.to_string()).await, value.to_string());
    }
}

#[tokio::test]
async fn while_the_first_is_under_way_a_repetition_is_told_so() {
    let world = World::new();
    let answers = world.answers().await;
    let ticket = first(&answers, "k").await;
    assert_eq!(again(&answers, "k").await, "still answering");
    ticket.finish(json!(1).to_string()).await.expect("kept");
    assert_eq!(again(&answers, "k").await, "1");
}

#[tokio::test]
async fn a_key_with_another_request_is_refused_before_and_after_the_answer() {
    let world = World::new();
    let answers = world.answers().await;
    let ticket = first(&answers, "k").await;
    assert!(matches!(answers.begin(ONE, "k", OTHER).await, Ok(KeyDecision::OtherRequest)));
    ticket.finish(json!(1).to_string()).await.expect("kept");
    assert!(matches!(answers.begin(ONE, "k", OTHER).await, Ok(KeyDecision::OtherRequest)));
    let other = ServiceId::new(2);
    assert!(
        matches!(answers.begin(other, "k", OTHER).await, Ok(KeyDecision::First(_))),
        "services share no keys"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_one_moment_exactly_one_is_the_first() {
    let world = World::new();
    let answers = world.answers().await;
    for round in 0..20 {
        let key = format!("key {round}");
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (answers, key) = (answers.clone(), key.clone());
                tokio::spawn(async move {
                    let Ok(KeyDecision::First(ticket)) = answers.begin(ONE, &key, REQUEST).await else {
                        return 0;
                    };
                    ticket.finish(json!(7).to_string()).await.expect("kept");
                    1
                })
            })
            .collect();
        let mut firsts = 0;
        for task in tasks {
            firsts += task.await.expect("no panic");
        }
        assert_eq!((firsts, again(&answers, &key).await), (1, "7".to_owned()));
    }
}

#[tokio::test]
async fn what_is_too_long_is_refused_by_name() {
    let world = World::new();
    let answers = world.answers().await;
    drop(first(&answers, &"k".repeat(255)).await);
    for key in [String::new(), "k".repeat(256)] {
        assert_eq!(answers.begin(ONE, &key, REQUEST).await.err(), Some(KeyRefusal::KeyLength));
    }
    let fits = "x".repeat((16 << 10) - 2);
    first(&answers, "fits").await.finish(json!(fits).to_string()).await.expect("kept");
    let long = first(&answers, "k").await.finish(json!(fits + "x").to_string()).await;
    assert_eq!(long, Err(KeyRefusal::AnswerTooLong));
    assert_eq!(again(&answers, "k").await, "interrupted", "it was carried out");
}

#[tokio::test]
async fn a_full_table_refuses_new_keys_and_answers_known_ones() {
    let world = World::with_records(2);
    let answers = world.answers().await;
    first(&answers, "a").await.finish(json!(1).to_string()).await.expect("kept");
    let running = first(&answers, "b").await;
    assert_eq!(again(&answers, "c").await, FULL);
    assert_eq!(
        (again(&answers, "a").await, again(&answers, "b").await),
        ("1".into(), "still answering".into())
    );
    running.free().await;
    first(&answers, "c").await.free().await;
    first(&answers, "b").await.finish(json!(1).to_string()).await.expect("kept");
    world.advance(86_400);
    until_first(&answers, "c").await;
}

#[tokio::test]
async fn a_long_answer_counts_as_several_records() {
    let world = World::with_records(3);
    let answers = world.answers().await;
    let long = json!("x".repeat(2 * PLACE_BYTES)).to_string();
    first(&answers, "a").await.finish(long.clone()).await.expect("kept");
    assert_eq!(again(&answers, "b").await, FULL);
    assert_eq!(again(&answers, "a").await, long);
    world.advance(86_400);
    until_first(&answers, "b").await;
}

#[tokio::test]
async fn keys_of_one_service_leave_room_for_another_also_after_a_crash() {
    let mut world = World::with_records(8);
    let other = ServiceId::new(2);
    let full = async |answers: &Answers, service, key: &str| {
        matches!(
            answers.begin(service, key, REQUEST).await,
            Err(KeyRefusal::Refused(Refusal::TableFull { .. }))
        )
    };
    let answers = world.answers().await;
    for key in 0..8 {
        first(&answers, &key.to_string()).await.finish("1".to_owned()).await.expect("kept");
    }
    assert!(full(&answers, ONE, "8").await);
    assert!(!full(&answers, other, "0").await);
    world.crashes();
    let answers = world.answers().await;
    assert!(full(&answers, ONE, "8").await);
    assert_eq!(again(&answers, "7").await, "1");
    assert!(!full(&answers, other, "1").await);
}

#[tokio::test]
async fn a_request_that_came_to_nothing_frees_its_key() {
    let world = World::new();
    let answers = world.answers().await;
    let ticket = first(&answers, "k").await;
    assert_eq!(world.store.snapshot().len(), 1, "its mark is durable");
    world.store.hold();
    let freeing = tokio::spawn(ticket.free());
    world.store.waiting(1).await;
    let repetition = tokio::spawn({
        let answers = answers.clone();
        async move { again(&answers, "k").await }
    });
    tokio::task::yield_now().await;
    assert!(!freeing.is_finished() && !repetition.is_finished(), "both rest on what is not durable yet");
    world.store.release();
    freeing.await.expect("no panic");
    assert_eq!(repetition.await.expect("no panic"), "first");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_key_running() {
    let world = World::new();
    let answers = world.answers().await;
    world.store.hold();
    {
        let asking = answers.begin(ONE, "k", REQUEST);
        tokio::pin!(asking);
        assert!(futures_util::poll!(asking.as_mut()).is_pending());
        world.store.waiting(1).await;
    }
    world.store.release();
    loop {
        match answers.begin(ONE, "k", REQUEST).await {
            Ok(KeyDecision::StillAnswering) => tokio::task::yield_now().await,
            Ok(KeyDecision::First(ticket)) => break ticket.free().await,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.store.snapshot().len(), 0);
}

#[tokio::test]
async fn the_answer_is_durable_before_a_client_is_told() {
    let world = World::new();
    let answers = world.answers().await;
    let ticket = first(&answers, "k").await;
    world.store.hold();
    let finishing = tokio::spawn(async move { ticket.finish(json!(1).to_string()).await });
    world.store.waiting(1).await;
    let repetition = tokio::spawn({
        let answers = answers.clone();
        async move { again(&answers, "k").await }
    });
    tokio::task::yield_now().await;
    assert!(!finishing.is_finished() && !repetition.is_finished());
    world.store.release();
    finishing.await.expect("no panic").expect("kept");
    assert_eq!(repetition.await.expect("no panic"), "1");
}

#[tokio::test]
async fn when_the_queue_is_full_a_key_is_refused_and_no_answer_is_lost() {
    let mut world = World::new();
    world.bounds.queue = 1;
    let answers = world.answers().await;
    let ticket = first(&answers, "a").await;
    world.store.hold();
    let asking = tokio::spawn({
        let answers = answers.clone();
        async move { again(&answers, "b").await }
    });
    world.store.waiting(1).await;
    assert_eq!(again(&answers, "c").await, KeyRefusal::Refused(Refusal::Overloaded).to_string());
    let finishing = tokio::spawn(async move { ticket.finish(json!(1).to_string()).await });
    world.store.release();
    finishing.await.expect("no panic").expect("kept");
    assert_eq!(asking.await.expect("no panic"), "first");
    assert_eq!(again(&answers, "a").await, "1");
}

#[tokio::test]
async fn neither_a_record_nor_what_is_printed_shows_a_key() {
    let world = World::new();
    let answers = world.answers().await;
    let key = "+14155550123";
    let ticket = first(&answers, key).await;
    assert_eq!(format!("{ticket:?}"), "Ticket(***)");
    ticket.finish(json!({"a": 1}).to_string()).await.expect("kept");
    let (at, kept) = world.store.snapshot().into_iter().next().expect("a record");
    assert!(!String::from_utf8_lossy(&kept.record).contains(key));
    assert_eq!((at.kind, kept.expires), (KeyUse::KIND, START.plus(secs(86_400))));
    let begun = answers.begin(ONE, key, REQUEST).await;
    assert_eq!(format!("{begun:?}"), "Ok(Again(KeptAnswer(***)))");
}
