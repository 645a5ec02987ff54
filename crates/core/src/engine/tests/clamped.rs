//! What is made of states that a clock wrote which was ahead.

use super::world::{World, mins, secs};
use crate::domain::Timestamp;
use crate::engine::{NumberState, Verification};

#[test]
fn what_began_by_now_stays_as_it_is() {
    let mut world = World::new();
    world.permit();
    assert_eq!(world.state.clamp_deadlines(&world.policy, world.now), world.state);
    let until = world.now.plus(mins(30));
    let locked = NumberState::Locked { until };
    assert_eq!(locked.clamp_deadlines(&world.policy, world.now), locked);
    assert_eq!(NumberState::Fresh.clamp_deadlines(&world.policy, world.now), NumberState::Fresh);
}

#[test]
fn however_far_ahead_its_times_are_nothing_outlasts_a_term_from_now() {
    let mut world = World::new();
    world.permit();
    let NumberState::Open { failures, verification: Some(v), .. } = world.state else { panic!("open") };
    for far in [world.now.plus(mins(60 * 24 * 365)), Timestamp::from_millis(u64::MAX - 1)] {
        let locked = NumberState::Locked { until: far }.clamp_deadlines(&world.policy, world.now);
        assert_eq!(locked, NumberState::Locked { until: world.now.plus(mins(30)) });
        let v = Verification { expires: far, sending_until: far, checking_until: far, ..v };
        let open = NumberState::Open {
            failures,
            keep_until: far,
            tally: crate::engine::Tally::NONE,
            verification: Some(v),
        };
        let open = open.clamp_deadlines(&world.policy, world.now);
        assert_eq!(open.ends(), Some(world.now.plus(secs(30) + mins(30))));
        let v = open.verification().expect("the code is still there");
        assert_eq!((v.expires, v.sending_until), (world.now.plus(secs(30)), world.now.plus(secs(30))));
        assert!(!v.is_checking(world.now), "an answer that will not come is not waited for");
    }
}

#[test]
fn when_the_last_attempt_was_being_asked_about_it_still_locks() {
    let mut world = World::new();
    world.permit();
    let NumberState::Open { verification: Some(v), .. } = world.state else { panic!("open") };
    let far = world.now.plus(mins(600));
    let v = Verification { expires: far, checking_until: far, ..v };
    let asked = NumberState::Open {
        failures: 5,
        keep_until: far.plus(mins(30)),
        tally: crate::engine::Tally::NONE,
        verification: Some(v),
    };
    let present = asked.clamp_deadlines(&world.policy, world.now).present(&world.policy, world.now);
    assert_eq!(present, NumberState::Locked { until: world.now.plus(mins(30)) });
}
