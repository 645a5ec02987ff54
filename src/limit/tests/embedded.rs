//! Both over the store that serves: what was told is there after a restart.

use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use super::answers::{again, first};
use super::{SERVER_KEY, START, bucket, charge, reached, secs};
use crate::clock::ManualClock;
use crate::limit::{Answers, Bounds, Limits};
use crate::store::{EmbeddedStore, OpenOptions, Store};

#[tokio::test]
async fn counts_and_answers_are_there_after_a_restart() {
    let home = TempDir::new().expect("a directory");
    let clock = Arc::new(ManualClock::starting_at(START));
    let start = async || {
        let options = OpenOptions::new(home.path().join("data"), [7; 16], clock.clone());
        let store: Arc<dyn Store> = loop {
            // The lock of the one before goes with its last thread.
            match EmbeddedStore::open(options.clone()) {
                Ok(store) => break Arc::new(store),
                Err(crate::store::OpenError::InUse { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        let bounds = Bounds::default();
        let limits = Limits::open(store.clone(), clock.clone(), &SERVER_KEY, bounds.clone()).await;
        let answers = Answers::open(store, clock.clone(), &SERVER_KEY, bounds).await;
        (limits.expect("counters"), answers.expect("answers"))
    };
    let rule = [bucket(1, 2, 60)];
    let (limits, answers) = start().await;
    let taken = limits.take(vec![charge("a", &rule)]).await.expect("room");
    limits.take(vec![charge("a", &rule)]).await.expect("room");
    limits.give_back(taken);
    let mut ticket = first(&answers, "k").await;
    ticket.mark_durable().await.expect("marked");
    ticket.finish(json!({"n": 1})).await.expect("kept");
    drop((limits, answers));

    let (limits, answers) = start().await;
    limits.take(vec![charge("a", &rule)]).await.expect("one was given back");
    assert_eq!(limits.take(vec![charge("a", &rule)]).await, reached(START.plus(secs(60))));
    assert_eq!(again(&answers, "k").await, r#"{"n":1}"#);
    clock.advance(secs(86_400));
    limits.take(vec![charge("a", &rule)]).await.expect("a day later");
    assert_eq!(again(&answers, "k").await, "first");
}
