//! Counters with a failing store and a jumping clock.

use super::{START, World, bucket, charge, reached, secs};
use crate::domain::Timestamp;
use crate::limits::rate::LimitRefusal;
use crate::shard::Refusal;
use crate::shard::tests::StoreFault;

#[tokio::test]
async fn when_a_commit_is_refused_nothing_is_counted() {
    let world = World::new();
    let limits = world.limits().await;
    let rule = [bucket(1, 1, 60)];
    world.fails_next(StoreFault::Unavailable);
    assert_eq!(
        limits.take(vec![charge("a", &rule)]).await,
        Err(LimitRefusal::Refused(Refusal::StoreUnavailable))
    );
    limits.take(vec![charge("a", &rule)]).await.expect("it is unused");
}

#[tokio::test]
async fn a_commit_that_may_be_applied_counts_and_the_next_one_heals_the_disk() {
    for fault in
        [StoreFault::UnknownApplied, StoreFault::UnknownNotApplied, StoreFault::Torn(0), StoreFault::Torn(1)]
    {
        let mut world = World::new();
        let limits = world.limits().await;
        let rule = [bucket(1, 2, 60)];
        world.fails_next(fault);
        assert_eq!(
            limits.take(vec![charge("a", &rule)]).await,
            Err(LimitRefusal::Refused(Refusal::StoreUnavailable))
        );
        limits.take(vec![charge("a", &rule)]).await.expect("one is left in any case");
        let third = limits.take(vec![charge("a", &rule)]).await;
        world.crashes();
        let after = world.limits().await.take(vec![charge("a", &rule)]).await;
        if third.is_err() {
            assert_eq!(third, reached(START.plus(secs(60))), "{fault:?}");
        }
        assert_eq!(after, reached(START.plus(secs(60))), "{fault:?}: what was told survives");
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_store_hangs_the_answer_comes_within_the_commits_time() {
    let world = World::new();
    let limits = world.limits().await;
    let rule = [bucket(1, 2, 60)];
    world.fails_next(StoreFault::Hang);
    let (asking, charges) = (limits.clone(), vec![charge("a", &rule)]);
    let first = tokio::spawn(async move { asking.take(charges).await });
    world.store.waiting(1).await;
    world.advance(5);
    assert_eq!(first.await.expect("no panic"), Err(LimitRefusal::Refused(Refusal::StoreUnavailable)));
    assert_eq!(
        limits.take(vec![charge("a", &rule)]).await,
        Err(LimitRefusal::Refused(Refusal::StoreUnavailable))
    );
    world.store.release();
    limits.take(vec![charge("a", &rule)]).await.expect("and then it goes on");
}

#[tokio::test]
async fn a_clock_set_back_makes_nothing_last_longer_and_nothing_free_sooner() {
    let world = World::new();
    let limits = world.limits().await;
    let rule = [bucket(1, 1, 60)];
    limits.take(vec![charge("a", &rule)]).await.expect("room");
    world.clock.set(START.minus(secs(3600)));
    assert_eq!(limits.take(vec![charge("a", &rule)]).await, reached(START.plus(secs(60))));
    world.clock.set(START.plus(secs(60)));
    limits.take(vec![charge("a", &rule)]).await.expect("its time is over");
}

#[tokio::test]
async fn when_the_clock_jumps_far_ahead_what_was_counted_has_ended() {
    let world = World::new();
    let limits = world.limits().await;
    let rule = [bucket(1, 1, 60)];
    limits.take(vec![charge("a", &rule)]).await.expect("room");
    let far = Timestamp::from_millis(253_402_300_799_999);
    world.clock.set(far);
    limits.take(vec![charge("a", &rule)]).await.expect("long ago");
    assert_eq!(limits.take(vec![charge("a", &rule)]).await, reached(far.plus(secs(60))));
}

#[tokio::test]
async fn after_a_restart_at_an_earlier_time_what_was_told_still_counts() {
    let mut world = World::new();
    let rule = [bucket(1, 2, 60)];
    world.limits().await.take(vec![charge("a", &rule)]).await.expect("room");
    world.crashes();
    world.clock.set(START.minus(secs(5)));
    let limits = world.limits().await;
    limits.take(vec![charge("a", &rule)]).await.expect("the second");
    assert_eq!(limits.take(vec![charge("a", &rule)]).await, reached(START.plus(secs(60))));
}
