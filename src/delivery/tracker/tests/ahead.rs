//! Records that a clock wrote which was ahead of the present one.

use super::*;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

#[tokio::test]
async fn records_from_the_future_are_kept_for_no_longer_than_those_of_now() {
    let mut world = World::new().await;
    world.clock.advance(YEAR);
    world.sent(1);
    world.tracker.flush().await.expect("written");
    world.clock.set(START);
    world.crash().await;
    world.clock.advance(world.settings.keep_for);
    world.sent(2);
    world.tracker.flush().await.expect("written");
    assert_eq!(world.tracker.attempts(key(2)), 1);
    assert_eq!(world.tracker.attempts(key(1)), 0, "the older one is gone");
}

#[tokio::test]
async fn what_was_planned_by_a_clock_that_was_ahead_comes_when_it_would_have() {
    let mut world = World::new().await;
    world.clock.advance(YEAR);
    world.tracker.note_send_durably(world.step(1, SECOND)).await.expect("promised");
    world.clock.set(START);
    world.crash().await;
    assert!(world.tracker.take_due(world.now()).is_empty());
    world.clock.advance(SECOND);
    assert_eq!(world.tracker.take_due(world.now()).len(), 1);
}
