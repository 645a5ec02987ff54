//! Codes that a gateway makes and holds: the counts, and the effect of its answers.

use super::world::{ACCEPTED, CHECK_BUDGET, FAILED, HELD, HELD_BY_OTHER, OTHER_HOLDER, World, secs, wrong};
use crate::engine::{CheckOutcome, CheckResult, CheckStep, CheckStep::Decided, LockoutRule, SettleOutcome};

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
fn an_answer_to_an_earlier_question_approves_nothing() {
    let mut world = World::new();
    world.sends_held();
    let earlier = world.asks();
    world.advance(CHECK_BUDGET);
    let permit = world.asks();
    assert_ne!(world.check_reported(&earlier, CheckResult::Approved), CheckOutcome::Approved);
    assert_eq!(world.check_reported(&permit, CheckResult::Approved), CheckOutcome::Approved);
}

#[test]
fn a_send_settled_while_a_gateway_is_being_asked_does_not_end_the_check() {
    for result in [&ACCEPTED, &FAILED, &HELD_BY_OTHER] {
        let mut world = World::new();
        let (first, second) = (world.permit(), world.permit());
        world.settles(&first, &HELD);
        let permit = world.asks();
        assert_eq!(world.settles(&second, result), SettleOutcome::Open { attempts_left: 4 });
        assert_eq!(world.checks_wrong(), CheckStep::Busy);
        assert_eq!(world.check_reported(&permit, CheckResult::Approved), CheckOutcome::Approved);
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
