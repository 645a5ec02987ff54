//! The contract (`docs/reference/otp-api.md`) and the engine's own promises, one test each.

use super::world::{ACCEPTED, POSTPONED, World, secs};
use crate::domain::CodeLength;
use crate::engine::{CheckOutcome, CheckStep::Decided, Ending, NumberState, ResumeOutcome, SettleOutcome};

#[test]
fn a_count_above_a_lowered_limit_locks_at_the_next_wrong_code() {
    let mut world = World::new();
    world.sends();
    world.checks_wrong();
    world.checks_wrong();
    world.policy.max_attempts = 2;
    let permit = world.permit();
    let none_left = SettleOutcome::Open { attempts_left: 0 };
    assert_eq!(world.settles(&permit, &ACCEPTED), none_left);
    assert!(matches!(world.checks_wrong(), Decided(CheckOutcome::LockedNow { .. })));
}

#[test]
fn a_code_can_be_used_before_the_gateway_has_answered() {
    let mut world = World::new();
    let permit = world.permit();
    assert_eq!(world.checks(&world.code_of(&permit)), Decided(CheckOutcome::Approved));
    assert_eq!(world.settles(&permit, &ACCEPTED), SettleOutcome::Open { attempts_left: 5 });
    assert_eq!(world.state, NumberState::Fresh);
}

#[test]
fn a_send_of_another_length_repeats_the_code_that_is_on_its_way() {
    let mut world = World::new();
    let first = world.permit();
    world.policy.code.length = CodeLength::new(8).expect("a length");
    let second = world.permit();
    assert_eq!(
        (second.verification.salt, second.verification.length),
        (first.verification.salt, first.verification.length)
    );
    world.settles(&first, &ACCEPTED);
    world.settles(&second, &ACCEPTED);
    let step = world.clone().checks(&world.code_of(&second));
    assert_eq!(step, Decided(CheckOutcome::Approved), "a code keeps the length that it was sent with");
    let third = world.permit();
    assert_ne!(second.verification.salt, third.verification.salt);
    assert_eq!(third.verification.length, world.policy.code.length);
}

#[test]
fn an_erasure_keeps_a_lockout_until_its_end() {
    let mut world = World::new();
    world.sends();
    for _ in 0..5 {
        world.checks_wrong();
    }
    let until = world.state.locked_until().expect("a lockout");
    world.ends(Ending::Erased);
    assert_eq!(world.state, NumberState::Locked { until });
    world.now = until;
    assert_eq!(world.state.at(&world.policy, world.now), NumberState::Fresh);
}

#[test]
fn a_planned_message_prolongs_its_code_up_to_twice_its_life() {
    let mut world = World::new();
    let permit = world.permit();
    world.settles(&permit, &POSTPONED);
    let (begun, code) = (world.now, world.code_of(&permit));
    for (at, ends) in [(1, Some(30)), (25, Some(50)), (40, Some(60)), (45, Some(60)), (46, None)] {
        world.now = begun.plus(secs(at));
        let resumed = world.resumes(permit.verification.salt);
        let ResumeOutcome::Permitted(again) = resumed else {
            assert_eq!((resumed, ends), (ResumeOutcome::NotUsable, None), "{at}");
            continue;
        };
        assert_eq!(Some(again.verification.expires), ends.map(|ends| begun.plus(secs(ends))), "{at}");
        world.settles(&again, &POSTPONED);
    }
    world.now = begun.plus(secs(59));
    assert_eq!(world.checks(&code), Decided(CheckOutcome::Approved));
}
