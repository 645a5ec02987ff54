//! A store in trouble, and more notes than can be written.

use super::*;
use crate::store::Fault;

#[tokio::test(start_paused = true)]
async fn a_store_in_trouble_loses_no_note() {
    for fault in [Fault::Unavailable, Fault::UnknownApplied, Fault::UnknownNotApplied, Fault::Conflict] {
        let world = World::new().await;
        world.sent(1);
        world.tracker.flush().await.expect("written");
        world.store.fail_next([fault]);
        world.sent(2);
        world.tracker.note_send(SendNote { retry_of: None, ..world.note(1, &[SendStatus::GatewayError]) });
        let first = world.tracker.flush().await;
        assert_eq!(first.is_ok(), fault == Fault::Conflict, "{fault:?}");
        world.tracker.note_check(key(2), VerifyStatus::Success);
        let before: Vec<_> = world.rows().await;
        assert_eq!(before.len(), 3, "{fault:?}: each row once");
        world.tracker.flush().await.expect("written");
        let written = World { tracker: open(&world.store, &world.clock, world.settings).await, ..world };
        assert_eq!(written.rows().await, before, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_shows_what_cannot_be_written() {
    let world = World::new().await;
    world.sent(1);
    world.store.fail_next([Fault::Unavailable; 2]);
    assert_eq!(world.rows().await.len(), 1);
    assert!(world.store.snapshot().is_empty());
    assert!(world.tracker.accepted_message(key(1)).await.is_some());
    tokio::time::sleep(TROUBLE + COLLECT + SECOND).await;
    assert_eq!(world.store.snapshot().len(), 1, "it is tried again without being asked");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_read_keeps_what_waits_for_it() {
    let world = World::new().await;
    world.sent(1);
    world.tracker.flush().await.expect("written");
    let fenced = world.store.reopen();
    world.tracker.note_check(key(1), VerifyStatus::Success);
    assert!(world.tracker.flush().await.is_err());
    assert!(world.tracker.list(&everything()).await.is_err());
    assert!(world.tracker.note_send_durably(world.retry(1, SECOND, 0)).await.is_err());
    assert_eq!(world.tracker.next_due(), None);
    assert_eq!(world.tracker.inner.state().pending.len(), 2, "both notes are kept");
    let failed = Tracker::open(Arc::new(world.store), world.clock, world.settings, SECOND).await;
    assert!(matches!(failed.err(), Some(TrackerError::Store(_))));
    drop(fenced);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_notes_are_dropped_and_follow_ups_are_not() {
    let world = World::new().await;
    world.tracker.inner.state().limit_waiting_to(3);
    world.store.hold();
    for track in 0..10 {
        world.sent(track);
        world.tracker.note_check(key(0), VerifyStatus::InvalidCode);
    }
    assert_eq!(world.tracker.inner.state().pending.len(), 3);
    assert_eq!(world.tracker.attempts(key(9)), 0);
    world.tracker.note_send(world.step(20, SECOND));
    world.tracker.drop_follow_up(key(20), Dropped::BudgetSpent);
    world.tracker.note_send(world.step(21, SECOND));
    world.report(21, 0, ReceiptStatus::Failed);
    world.report(0, 0, ReceiptStatus::Delivered);
    world.tracker.note_check(key(21), VerifyStatus::Success);
    assert_eq!(world.tracker.next_due(), None, "what is planned ends, noted or not");
    world.store.release();
    world.tracker.flush().await.expect("written");
    world.sent(30);
    assert_eq!(world.tracker.attempts(key(30)), 1, "there is room again");
}

#[tokio::test(start_paused = true)]
async fn when_even_the_reserve_is_full_a_follow_up_is_refused() {
    let world = World::new().await;
    world.store.hold();
    for _ in 0..100_000 {
        world.tracker.note_send(SendNote {
            next: Some(world.follow_up(SECOND, Reason::NextStep)),
            ..world.note(1, &[])
        });
    }
    let refused = world.tracker.note_send_durably(world.retry(2, SECOND, 0)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    world.tracker.note_send(world.step(3, SECOND));
    world.tracker.drop_follow_up(key(1), Dropped::NotUsable);
    assert_eq!(world.tracker.next_due(), None);
    world.store.release();
}

#[tokio::test(start_paused = true)]
async fn removals_that_fail_are_made_later() {
    let world = World::keeping(0).await;
    world.tracker.note_send(world.step(1, SECOND));
    world.tracker.flush().await.expect("written");
    world.tracker.drop_follow_up(key(1), Dropped::NotUsable);
    world.store.fail_next([Fault::Unavailable]);
    assert!(world.tracker.flush().await.is_err());
    world.store.fail_next([Fault::Conflict]);
    world.tracker.flush().await.expect("removed");
    assert!(world.store.snapshot().is_empty());
}

#[tokio::test]
async fn what_becomes_too_much_while_something_is_forgotten_waits_for_the_next_time() {
    const ONE_BATCH: u64 = 256;
    let world = World::keeping(10).await;
    for track in 0..10 + ONE_BATCH + 5 {
        world.sent(track);
    }
    let inner = &world.tracker.inner;
    while !inner.state().pending.is_empty() {
        inner.flusher.lock().await.write_batch(inner).await.expect("written");
    }
    let mut flusher = inner.flusher.lock().await;
    assert!(flusher.forget(inner, world.now()).await.expect("forgotten"), "a full batch: there may be more");
    assert!(!flusher.forget(inner, world.now()).await.expect("forgotten"), "five were left");
    world.sent(1_000);
    assert!(
        !flusher.forget(inner, world.now()).await.expect("forgotten"),
        "one at a time would go on for ever"
    );
}
