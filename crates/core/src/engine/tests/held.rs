//! Codes that a gateway makes and holds: the counts, and the effect of its answers.

use super::world::{ACCEPTED, FAILED, HELD, HELD_BY_OTHER, OTHER_HOLDER, World, mins, secs, wrong};
use crate::engine::{
    BeginOutcome, CheckOutcome, CheckResult, CheckStep, CheckStep::Decided, LockoutRule, NumberState,
    OpenNumber, Salt, SettleOutcome, Verification, merge_pessimistic,
};

#[test]
fn a_gateway_that_knows_of_no_code_does_not_end_what_others_have() {
    let mut world = World::new();
    let (held, ours) = (world.permit(), world.permit());
    world.settles(&held, &HELD);
    let permit = world.asks();
    world.settles(&ours, &ACCEPTED);
    assert_eq!(world.check_reported(&permit, CheckResult::NotLive), wrong(4));
    assert_eq!(world.checks(&world.code_of(&ours)), Decided(CheckOutcome::Approved));

    let mut world = World::new();
    let (first, second) = (world.permit(), world.permit());
    world.settles(&first, &HELD);
    let permit = world.asks();
    world.settles(&second, &HELD_BY_OTHER);
    world.check_reported(&permit, CheckResult::NotLive);
    assert_eq!(world.asks().held, OTHER_HOLDER);
}

#[test]
fn a_send_settled_while_a_gateway_is_being_asked_does_not_end_the_check() {
    for result in [&ACCEPTED, &FAILED, &HELD_BY_OTHER] {
        for is_committed in [true, false] {
            let mut world = World::new();
            let (first, second) = (world.permit(), world.permit());
            world.settles(&first, &HELD);
            let permit = world.asks();
            let before = world.state;
            assert_eq!(world.settles(&second, result), SettleOutcome::Open { attempts_left: 4 });
            if !is_committed {
                world.state = merge_pessimistic(before, world.state, world.now);
            }
            assert!(matches!(world.checks_wrong(), CheckStep::Busy { .. }));
            assert_eq!(world.check_reported(&permit, CheckResult::Approved), CheckOutcome::Approved);
        }
    }
}

#[test]
fn the_record_outlives_the_asking_and_a_lockout_after_it() {
    let mut world = World::new();
    world.policy.lockout = LockoutRule::Fixed(secs(1));
    world.sends_held();
    world.advance(secs(29));
    let permit = world.asks();
    world.advance(secs(11));
    assert_eq!(world.check_reported(&permit, CheckResult::Wrong), wrong(4));
}

#[test]
fn after_a_failed_commit_of_the_last_check_the_number_is_locked() {
    let mut world = World::new();
    world.sends_held();
    for _ in 0..4 {
        world.asks_in_vain();
    }
    let NumberState::Open(before) = world.state else { panic!("{:?}", world.state) };
    world.asks();
    let (after, until) = (world.state, world.now.plus(mins(30)));
    // The state before may have had another code or none, and may have ended meanwhile.
    let other = before.verification.map(|v| Verification { salt: Salt([9; 16]), ..v });
    let codes = [before.verification, other, None];
    let before = codes.map(|verification| NumberState::Open(OpenNumber { verification, ..before }));
    for before in before.into_iter().chain([NumberState::Fresh]) {
        world.state = merge_pessimistic(before, after, world.now);
        assert_eq!(world.ask(), BeginOutcome::Locked { until }, "{before:?}");
    }
}

#[test]
fn after_a_failed_commit_of_an_answer_the_attempt_stays_counted() {
    for result in [CheckResult::Approved, CheckResult::NotAsked, CheckResult::NotLive] {
        let mut world = World::new();
        world.sends_held();
        let permit = world.asks();
        let before = world.state;
        world.check_reported(&permit, result);
        world.state = merge_pessimistic(before, world.state, world.now);
        assert_eq!(world.failures().in_a_row, 1, "{result:?}");
        assert_eq!(world.check_reported(&permit, CheckResult::Approved), CheckOutcome::GatewayFailed);
    }
}

#[test]
fn after_a_failed_commit_of_an_approval_a_last_attempt_locks() {
    let mut world = World::new();
    world.sends_held();
    for _ in 0..4 {
        world.asks_in_vain();
    }
    let permit = world.asks();
    let before = world.state;
    world.check_reported(&permit, CheckResult::Approved);
    world.state = merge_pessimistic(before, world.state, world.now);
    assert!(matches!(world.ask(), BeginOutcome::Locked { .. }));
}
