//! What is still to be sent: planned, taken, ended, and due again after a crash.

use futures_util::FutureExt as _;
use tempfile::TempDir;

use super::*;
use crate::gateway::ErrorClass;
use crate::store::{EmbeddedStore, Fault, OpenOptions};

#[tokio::test(start_paused = true)]
async fn a_follow_up_is_handed_out_once_when_its_time_has_come() {
    let world = World::new().await;
    let note = world.retry(1, SECOND, 3);
    world.tracker.note_send_durably(note.clone()).await.expect("durable");
    assert_eq!(world.tracker.next_due(), Some(START.plus(SECOND)));
    assert_eq!(world.tracker.take_due(START), []);
    world.clock.advance(SECOND);
    let due = Due { about: parcel(1), follow_up: note.next.expect("a follow-up") };
    assert_eq!(world.tracker.take_due(world.now()), [due]);
    assert_eq!(world.due(2 * SECOND), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn follow_ups_come_in_the_order_of_their_time() {
    let world = World::new().await;
    for (track, seconds) in [(1, 3), (2, 1), (3, 2), (4, 9)] {
        world.tracker.note_send(world.step(track, seconds * SECOND));
    }
    assert_eq!(world.due(3 * SECOND), [2, 3, 1]);
    assert_eq!(world.tracker.next_due(), Some(START.plus(9 * SECOND)));
}

#[tokio::test(start_paused = true)]
async fn whoever_sleeps_is_told_of_an_earlier_follow_up() {
    let world = World::new().await;
    let told = || world.tracker.earlier_due().now_or_never().is_some();
    world.tracker.note_send(world.step(1, 10 * SECOND));
    assert!(told());
    world.tracker.note_send(world.step(2, 20 * SECOND));
    assert!(!told());
    world.tracker.note_send_durably(world.retry(3, SECOND, 0)).await.expect("durable");
    assert!(told());
    world.report(1, 0, ReceiptStatus::Failed);
    assert!(told());
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_a_follow_up_is_due_again_even_if_it_was_taken() {
    let mut world = World::new().await;
    let note = world.retry(1, SECOND, 3);
    world.tracker.note_send_durably(note).await.expect("durable");
    for _ in 0..2 {
        world.crash().await;
        assert_eq!(world.due(SECOND), [1]);
    }
    world.tracker.drop_follow_up(key(1), Dropped::NotUsable);
    world.tracker.flush().await.expect("written");
    world.crash().await;
    assert_eq!(world.tracker.next_due(), None);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_a_follow_up_that_has_begun_is_not_due_again() {
    let mut world = World::new().await;
    for (track, note) in [(1, world.retry(1, SECOND, 3)), (2, world.step(2, SECOND))] {
        world.tracker.note_send_durably(note).await.expect("durable");
        world.clock.advance(SECOND);
        assert_eq!(world.due(SECOND), [track]);
        world.tracker.begin_follow_up(key(track)).await.expect("durable");
    }
    world.crash().await;
    assert_eq!(world.tracker.next_due(), None);
}

#[tokio::test(start_paused = true)]
async fn a_follow_up_that_has_begun_is_planned_anew_like_any_other() {
    let mut world = World::new().await;
    world.tracker.note_send_durably(world.retry(1, SECOND, 0)).await.expect("durable");
    assert_eq!(world.due(SECOND), [1]);
    world.tracker.begin_follow_up(key(1)).await.expect("durable");
    let again = SendNote { retry_of: Some(0), ..world.retry(1, SECOND, 1) };
    world.tracker.note_send_durably(again).await.expect("durable");
    world.crash().await;
    assert_eq!(world.due(SECOND), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_follow_up_that_could_not_begin_is_due_again_soon_and_after_a_crash() {
    for fault in [Fault::Unavailable, Fault::UnknownNotApplied, Fault::UnknownApplied] {
        let mut world = World::new().await;
        world.tracker.note_send_durably(world.retry(1, SECOND, 0)).await.expect("durable");
        assert_eq!(world.due(SECOND), [1]);
        world.store.fail_next([fault]);
        world.tracker.begin_follow_up(key(1)).await.expect_err("not durable");
        assert_eq!(world.due(Duration::ZERO), [0; 0], "{fault:?}");
        assert_eq!(world.due(TROUBLE), [1], "{fault:?}");
        world.tracker.flush().await.expect("written");
        world.crash().await;
        assert_eq!(world.due(SECOND), [1], "{fault:?}");
    }
}

#[tokio::test]
async fn after_a_crash_of_the_embedded_store_a_follow_up_is_due_with_all_that_it_takes() {
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
        let tracker = Tracker::open(store, clock.clone(), TrackerSettings::default(), TIMEOUT).await;
        tracker.expect("a tracker")
    };
    let world = World::new().await;
    let mut note = world.retry(1, SECOND, 3);
    note.about.style.app_hash = crate::template::AppHash::parse("FA+9qCX9VSu");
    note.about.style.locale = crate::domain::Locale::parse("pt-BR");
    let tracker = start().await;
    tracker.note_send_durably(note.clone()).await.expect("durable");
    drop(tracker);
    let tracker = start().await;
    clock.advance(SECOND);
    let due = Due { about: note.about, follow_up: note.next.expect("a follow-up") };
    assert_eq!(tracker.take_due(clock.now()), [due]);
    tracker.note_send(SendNote { retry_of: Some(0), ..world.note(1, &[SendStatus::Sent]) });
    tracker.close().await.expect("written");
    drop(tracker);
    let tracker = start().await;
    assert_eq!((tracker.next_due(), tracker.attempts(key(1))), (None, 1));
    let rows = tracker.list(&everything()).await.expect("a list");
    assert_eq!((rows[0].send_status, rows[0].retries), (SendStatus::Sent, 1));
}

#[tokio::test(start_paused = true)]
async fn a_retry_counts_in_the_row_that_it_repeats_and_a_fallback_gets_its_own() {
    let world = World::new().await;
    world.tracker.note_send_durably(world.retry(1, SECOND, 0)).await.expect("durable");
    assert_eq!(world.due(SECOND), [1]);
    let again = world.note(1, &[SendStatus::GatewayError, SendStatus::Sent]);
    world.tracker.note_send(SendNote { retry_of: Some(0), ..again });
    assert_eq!(world.tracker.attempts(key(1)), 2);
    assert_eq!(world.tracker.next_due(), None);
    let rows = world.rows().await;
    assert_eq!((rows[1].retries, rows[1].at), (1, world.now()));
    assert_eq!((rows[0].retries, rows[0].send_status), (0, SendStatus::Sent));
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_given_up_is_unsendable_and_says_why() {
    let world = World::new().await;
    for (track, why, reached) in [(1, Dropped::MaxRetriesReached, true), (2, Dropped::NotUsable, false)] {
        world.tracker.note_send(world.retry(track, SECOND, 20));
        world.tracker.drop_follow_up(key(track), why);
        let row = &world.rows().await[0];
        assert_eq!((row.send_status, row.max_retries_reached), (SendStatus::Unsendable, reached), "{why:?}");
    }
    // Noted first, with nothing planned, and given up after.
    world.tracker.note_send(world.note(3, &[SendStatus::GatewayError]));
    world.tracker.drop_follow_up(key(3), Dropped::MaxRetriesReached);
    assert!(world.rows().await[0].max_retries_reached);
    world.tracker.drop_follow_up(key(4), Dropped::BudgetSpent);
    assert_eq!(world.rows().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_not_made_leaves_the_message_before_it_sent() {
    let mut world = World::new().await;
    world.tracker.note_send_durably(world.step(1, SECOND)).await.expect("durable");
    world.tracker.drop_follow_up(key(1), Dropped::BudgetSpent);
    world.tracker.flush().await.expect("written");
    world.crash().await;
    assert_eq!(world.tracker.next_due(), None);
    assert_eq!(world.row().await.send_status, SendStatus::Sent);
}

#[tokio::test(start_paused = true)]
async fn the_right_code_ends_what_is_planned_and_a_wrong_one_does_not() {
    let world = World::new().await;
    world.tracker.note_send(world.step(1, SECOND));
    world.tracker.note_send(world.retry(2, SECOND, 1));
    for track in [1, 2] {
        world.tracker.note_check(key(track), VerifyStatus::InvalidCode);
    }
    assert!(world.tracker.next_due().is_some());
    for track in [1, 2] {
        world.tracker.note_check(key(track), VerifyStatus::Success);
    }
    assert_eq!(world.tracker.next_due(), None);
    let mut rows = world.rows().await;
    rows.sort_by_key(|row| row.attempt.key);
    let statuses: Vec<_> = rows.iter().map(|row| (row.send_status, row.verify_status)).collect();
    let success = VerifyStatus::Success;
    assert_eq!(statuses, [(SendStatus::Sent, success), (SendStatus::Unsendable, success)]);
    world.tracker.note_send(world.step(1, SECOND));
    assert_eq!(world.tracker.next_due(), None, "a delivery that was under way plans nothing more");
}

#[tokio::test(start_paused = true)]
async fn the_salt_goes_with_the_follow_up() {
    let world = World::new().await;
    let has_salt =
        || world.store.snapshot().values().any(|kept| kept.record.windows(16).any(|w| w == [7; 16]));
    world.tracker.note_send_durably(world.retry(1, SECOND, 1)).await.expect("durable");
    assert!(has_salt());
    world.tracker.note_send(SendNote { retry_of: Some(0), ..world.note(1, &[SendStatus::Sent]) });
    world.tracker.flush().await.expect("written");
    assert!(!has_salt());
}

#[tokio::test(start_paused = true)]
async fn a_report_about_the_latest_attempt_decides_about_the_next_step() {
    use ErrorClass as Class;
    use ReceiptStatus as Status;
    for (attempt, status, class, due, planned) in [
        (0, Status::Sent, None, false, true),
        (0, Status::Delivered, None, false, false),
        (0, Status::Read, None, false, false),
        (0, Status::Failed, None, true, true),
        (0, Status::Failed, Some(Class::NotReachableHere), true, true),
        (0, Status::Failed, Some(Class::Refused), true, true),
        (0, Status::Failed, Some(Class::Fraud), false, false),
        (0, Status::Failed, Some(Class::BadNumber), false, false),
        (0, Status::Failed, Some(Class::OptedOut), false, false),
        (1, Status::Failed, None, false, true),
    ] {
        let world = World::new().await;
        world.tracker.note_send(world.step(1, 20 * SECOND));
        world.tracker.note_receipt(&Receipt { class, ..receipt(1, attempt, status) });
        assert_eq!(world.tracker.next_due().is_some(), planned, "{status:?} {class:?}");
        assert_eq!(!world.due(Duration::ZERO).is_empty(), due, "{status:?} {class:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_somebody_listens_the_next_step_waits_for_the_end_of_the_call() {
    let world = World::new().await;
    world.tracker.note_send(world.step(1, 20 * SECOND));
    world.report(1, 0, ReceiptStatus::Answered);
    assert_eq!(world.due(59 * SECOND), [0; 0]);
    assert_eq!(world.due(SECOND), [1], "no report of its end came");

    world.tracker.note_send(world.step(2, 20 * SECOND));
    assert_eq!(world.due(20 * SECOND), [2]);
    world.report(2, 0, ReceiptStatus::Answered);
    assert_eq!(world.due(60 * SECOND), [0; 0], "it is taken, and not handed out twice");
}

#[tokio::test(start_paused = true)]
async fn a_report_does_not_touch_a_retry_nor_a_step_after_a_later_attempt() {
    let world = World::new().await;
    world.tracker.note_send(world.retry(1, 20 * SECOND, 1));
    world.report(1, 0, ReceiptStatus::Delivered);
    world.sent(2);
    world.tracker.note_send(world.step(2, 20 * SECOND));
    world.report(2, 0, ReceiptStatus::Failed);
    assert_eq!(world.due(Duration::ZERO), [0; 0]);
    assert_eq!(world.due(20 * SECOND), [1, 2]);
    world.report(2, 1, ReceiptStatus::Failed);
    assert_eq!(world.due(Duration::ZERO), [0; 0], "it is taken");
}

#[tokio::test(start_paused = true)]
async fn a_follow_up_that_is_not_durable_is_not_planned() {
    let mut world = World::new().await;
    for (track, fault) in (1..).zip([Fault::Unavailable, Fault::UnknownApplied, Fault::UnknownNotApplied]) {
        world.store.fail_next([fault]);
        let note = world.retry(track, SECOND, 0);
        assert!(world.tracker.note_send_durably(note).await.is_err(), "{fault:?}");
        assert_eq!(world.tracker.next_due(), None, "{fault:?}");
    }
    world.tracker.flush().await.expect("written");
    world.crash().await;
    assert_eq!(world.tracker.next_due(), None, "and the disk is brought up to date");
    assert_eq!(world.rows().await.len(), 3, "what was tried is remembered");
}

#[tokio::test(start_paused = true)]
async fn a_follow_up_is_not_taken_before_it_is_durable_and_one_that_ended_meanwhile_is_not_planned() {
    let world = World::new().await;
    world.store.hold();
    let (tracker, note) = (world.tracker.clone(), world.retry(1, Duration::ZERO, 0));
    let first = tokio::spawn(async move { tracker.note_send_durably(note).await });
    world.store.waiting(1).await;
    let (tracker, note) = (world.tracker.clone(), world.retry(2, Duration::ZERO, 0));
    let second = tokio::spawn(async move { tracker.note_send_durably(note).await });
    assert_eq!(world.due(SECOND), [0; 0]);
    world.tracker.note_check(key(1), VerifyStatus::Success);
    world.store.release();
    assert_eq!((first.await.expect("an end"), second.await.expect("an end")), (Ok(()), Ok(())));
    assert_eq!(world.due(SECOND), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_follow_up_whose_taker_died_is_handed_out_again_after_it_has_expired() {
    let world = World::new().await;
    world.tracker.note_send(world.step(1, SECOND));
    assert_eq!(world.due(SECOND), [1]);
    assert_eq!(world.due(CODE_LIVES), [0; 0]);
    assert_eq!(world.due(60 * SECOND), [1]);
}

#[tokio::test(start_paused = true)]
async fn what_is_planned_anew_waits_for_its_own_write() {
    let world = World::new().await;
    let plan = |retries| {
        let (tracker, note) = (world.tracker.clone(), world.retry(1, Duration::ZERO, retries));
        tokio::spawn(async move { tracker.note_send_durably(note).await })
    };
    world.store.hold();
    let first = plan(1);
    world.store.waiting(1).await;
    let second = plan(2);
    world.store.fail_next([Fault::Hang]);
    tokio::task::yield_now().await;
    world.store.release();
    assert_eq!(first.await.expect("an end"), Ok(()));
    world.store.waiting(1).await;
    assert_eq!(world.due(SECOND), [0; 0], "the first was replaced, the second is not durable");
    world.store.release();
    assert_eq!(second.await.expect("an end"), Ok(()));
    assert_eq!(world.due(SECOND), [1]);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_waits_for_is_not_forgotten_before_it_is_written() {
    let world = World::keeping(0).await;
    let (reply, answer) = oneshot::channel();
    let inner = &world.tracker.inner;
    inner.state().send_urgently(world.note(1, &[SendStatus::Sent]), world.now(), reply);
    inner.flusher.lock().await.forget(inner, world.now()).await.expect("nothing to remove");
    inner.write_urgent().await;
    assert_eq!(answer.await, Ok(Ok(())));
    world.tracker.flush().await.expect("written");
    assert_eq!(world.rows().await, [], "but after it");
}
