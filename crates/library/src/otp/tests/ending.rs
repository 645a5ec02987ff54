//! Stops, crashes, and access to a directory.

use super::world::{ANNA, World, code, wrong};
use crate::clock::EngineClock;
use crate::domain::Timestamp;
use crate::engine::{NumberState, key_fingerprint};
use crate::node::load_or_create;
use crate::otp::{AttemptQuery, Otp, OtpError, Refusal, StartError};
use crate::shard::Record as _;
use crate::store::{EmbeddedStore, Key, OpenOptions, Store as _, StoreError, Write};
use crate::testing::secs;

/// Another engine, as soon as the directory is free.
async fn start_when_free(world: &World) -> Result<Otp, StartError> {
    let start = async {
        loop {
            match world.builder().start().await {
                Err(StartError::Store(StoreError::InUse { .. })) => tokio::task::yield_now().await,
                started => return started,
            }
        }
    };
    // A test that waits for ever reports nothing.
    tokio::time::timeout(secs(60), start).await.expect("a directory that becomes free")
}

#[tokio::test]
async fn a_second_engine_on_a_directory_is_refused_and_the_first_goes_on() {
    let world = World::new();
    let first = world.start().await;
    let error = world.builder().start().await.expect_err("refused");
    let StartError::Store(StoreError::InUse { directory }) = &error else { panic!("{error:?}") };
    assert_eq!(directory, world.directory.path());
    let words = error.to_string();
    assert!(words.contains(&*world.directory.path().to_string_lossy()), "{words}");
    assert!(words.contains("another handle") && words.contains("use another directory"), "{words}");
    first.send_sms(ANNA).await.expect("sent");
    // A clone is the same engine.
    assert!(first.clone().verify(ANNA, &code(&first)).await.code_valid);
}

#[tokio::test]
async fn after_a_stop_nothing_is_decided_and_every_handle_says_so() {
    let world = World::new();
    let otp = world.start().await;
    otp.send_sms(ANNA).await.expect("sent");
    let other = otp.clone();
    otp.stop().await.expect("stopped");
    let stopping = OtpError::Refused(Refusal::Stopping);
    assert_eq!(other.send_sms(ANNA).await, Err(stopping.clone()));
    let verified = other.verify(ANNA, &code(&other)).await;
    assert!(!verified.request_valid && !verified.code_valid);
    assert_eq!(verified.error, Some(stopping));
    assert_eq!(other.attempts(&AttemptQuery::newest(10)).await, Err(Refusal::Stopping));
    assert_eq!(other.readiness(), Err(vec!["the engine is stopping".to_owned()]));
    other.stop().await.expect("stopped already");
}

#[tokio::test]
async fn an_engine_whose_last_handle_is_dropped_stops_by_itself() {
    let world = World::new();
    let first = world.start().await;
    first.send_sms(ANNA).await.expect("sent");
    let code = code(&first);
    let clone = first.clone();
    drop(first);
    assert_eq!(clone.verify(ANNA, &wrong(&code)).await.attempts_left, Some(4), "a clone keeps it going");
    drop(clone);
    let second = start_when_free(&world).await.expect("an engine");
    assert!(second.verify(ANNA, &code).await.code_valid);
}

#[tokio::test]
async fn a_start_that_fails_after_the_store_was_opened_leaves_nothing_running() {
    let world = World::new();
    // A record that no version has written.
    let directory = world.directory.path();
    let key = load_or_create(directory, None).expect("a key");
    let clock = EngineClock::over(world.clock.clone());
    let options = OpenOptions::new(directory.to_owned(), key_fingerprint(&key), clock);
    let store = EmbeddedStore::open(&options).expect("a store");
    let key = Key { slot: 0, kind: NumberState::KIND, id: [7; 12] };
    let write = Write { key, put: Some("nonsense".into()), expires: Timestamp::MAX };
    store.commit(vec![write], Box::new(|written| assert_eq!(written, Ok(()))));
    store.close().await.expect("closed");
    for _ in 0..3 {
        // The failed engine still holds the directory for a moment.
        let error = start_when_free(&world).await.expect_err("refused");
        assert!(error.to_string().contains("a record of numbers"), "{error}");
    }
}
