//! Crashes and a failing store.

use super::*;
use crate::testing::StoreFault;

#[tokio::test(start_paused = true)]
async fn whatever_a_commit_meets_no_event_is_lost_or_out_of_order() {
    use StoreFault::{Hang, Unavailable};
    for hangs_at in 0..4 {
        let mut world = World::new().await;
        world.receivers.play(1, [Behaviour::AnswerAfter(2)]);
        for kind in [EventType::Created, EventType::Sent] {
            world.emit(1, kind);
            world.emit(2, kind);
        }
        world.settle().await;
        world.store.fail_next((0..3).map(|n| if n == hangs_at { Hang } else { Unavailable }));
        world.pass(MINUTE).await;
        world.store.release();
        world.pass(MINUTE).await;
        let asked = world.asked();
        for verification in [1, 2] {
            let of_it = kinds(asked.iter().filter(|asked| asked.is_about(verification)));
            assert_eq!(of_it, ["verification.created", "verification.sent"], "commit {hangs_at} hangs");
        }
        world.crash().await;
        world.pass(MINUTE).await;
        assert_eq!(world.asked(), [], "commit {hangs_at} hangs: all of it is on the disk");
        assert_eq!(world.states(1).await, [DeliveryState::Delivered; 4], "commit {hangs_at} hangs");
    }
}

#[tokio::test(start_paused = true)]
async fn across_crashes_at_any_moment_each_verification_is_told_in_order() {
    use rand::RngExt as _;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    for seed in 0..3_u64 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new().await;
        let mut posts = Vec::new();
        let order = [EventType::Created, EventType::Sent, EventType::MessageDelivered, EventType::Approved];
        let does = [Behaviour::Answer(200), Behaviour::Answer(500), Behaviour::Hang(3), Behaviour::Refuse];
        for kind in order {
            let script = (0..20).map(|_| does[rng.random_range(0..4)]);
            world.receivers.play(1, script.chain([Behaviour::Answer(200)]));
            for verification in 0..5 {
                world.emit(verification, kind);
            }
            // The disk has what was emitted, but maybe not the results.
            world.pass(Duration::from_millis(100)).await;
            world.pass(Duration::from_millis(rng.random_range(0..9_000))).await;
            posts.extend(world.asked());
            if rng.random_range(0..2) == 0 {
                world.crash().await;
            }
        }
        // Six failures of one event take up to five hours.
        world.pass(24 * HOUR).await;
        posts.extend(world.asked());
        for verification in 0..5 {
            let of_it = posts.iter().filter(|asked| asked.is_about(verification));
            let place =
                |of: &Received| order.iter().position(|kind| kind.as_str() == of.kind()).expect("known");
            let places: Vec<_> = of_it.map(place).collect();
            assert!(places.is_sorted(), "seed {seed}: {places:?}");
            assert_eq!(places.last(), Some(&3), "seed {seed}: all were posted");
        }
        assert_eq!(world.outbox.backlog(), 0, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_orderly_end_waits_for_what_is_under_way_but_not_for_long() {
    for (secs, repeated) in [(2, 0), (14, 1)] {
        let mut world = World::new().await;
        world.receivers.play(1, [Behaviour::Hang(secs)]);
        world.emits(1, EventType::Created).await;
        world.outbox.close().await;
        let before = world.asked();
        world.emits(2, EventType::Created).await;
        assert_eq!(world.asked(), [], "nothing begins any more");
        world.crash().await;
        world.settle().await;
        let after = world.asked();
        let again: Vec<_> = after.iter().filter(|asked| asked.is_about(1)).map(Received::id).collect();
        assert_eq!(again, vec![before[0].id(); repeated], "{secs} s");
    }
}
