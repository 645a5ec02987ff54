//! The contract (`docs/reference/otp-api.md`) and the engine's own promises, one test each.

use super::world::{GatewayResult, World, no_live_code, wrong};
use crate::domain::{Code, CodeLength};
use crate::engine::{CheckOutcome, CheckStep::Decided, NumberState, SettleOutcome, merge_pessimistic};

#[test]
fn a_text_that_holds_no_code_is_wrong_and_costs_nothing() {
    let mut world = World::new();
    assert_eq!(world.submits_text(None, None), no_live_code(5), "a number that never asked");
    let mut held = World::new();
    held.sends_held();
    let code = world.sends();
    for world in [&mut world, &mut held] {
        assert_eq!(world.checks_wrong(), wrong(4));
        for _ in 0..9 {
            assert_eq!(world.submits_text(None, None), wrong(4));
        }
    }
    assert_eq!(world.checks(&code), Decided(CheckOutcome::Approved));
}

#[test]
fn a_code_keeps_the_length_it_was_sent_with_when_the_policy_changes() {
    let mut world = World::new();
    let code = world.sends();
    world.policy.code.length = CodeLength::new(8).expect("a length");
    assert_eq!(world.checks(&code), Decided(CheckOutcome::Approved));
}

#[test]
fn a_count_above_a_lowered_limit_locks_at_the_next_wrong_code() {
    let mut world = World::new();
    world.sends();
    world.checks_wrong();
    world.checks_wrong();
    world.policy.max_attempts = 2;
    let permit = world.permit();
    let none_left = SettleOutcome::Open { attempts_left: 0 };
    assert_eq!(world.settles(&permit, GatewayResult::Accepted), none_left);
    assert!(matches!(world.checks_wrong(), Decided(CheckOutcome::LockedNow { .. })));
}

#[test]
fn a_code_can_be_used_before_the_gateway_has_answered() {
    let mut world = World::new();
    let permit = world.permit();
    assert_eq!(world.checks(&world.code_of(&permit)), Decided(CheckOutcome::Approved));
    assert_eq!(world.settles(&permit, GatewayResult::Accepted), SettleOutcome::Open { attempts_left: 5 });
    assert_eq!(world.state, NumberState::Fresh);
}

#[test]
fn a_send_while_one_is_on_its_way_repeats_its_code() {
    let mut world = World::new();
    let first = world.permit();
    let second = world.permit();
    assert_eq!(first.verification.salt, second.verification.salt);
    world.settles(&first, GatewayResult::Accepted);
    world.settles(&second, GatewayResult::Accepted);
    let third = world.permit();
    assert_ne!(second.verification.salt, third.verification.salt);
}

#[test]
fn of_two_sends_on_their_way_one_that_arrives_keeps_the_code_good() {
    for (a, b) in
        [(GatewayResult::Accepted, GatewayResult::Failed), (GatewayResult::Failed, GatewayResult::Accepted)]
    {
        let mut world = World::new();
        let first = world.permit();
        let second = world.permit();
        world.settles(&first, a);
        world.settles(&second, b);
        assert_eq!(world.checks(&world.code_of(&second)), Decided(CheckOutcome::Approved));
    }
}

#[test]
fn a_send_without_an_answer_does_not_keep_its_code_beyond_the_budget() {
    let mut world = World::new();
    let first = world.permit();
    world.advance(super::world::SEND_BUDGET);
    let second = world.permit();
    assert_ne!(first.verification.salt, second.verification.salt);
}

#[test]
fn a_number_locked_while_its_message_was_on_the_way_is_reported_locked() {
    let mut world = World::new();
    let permit = world.permit();
    for _ in 0..5 {
        world.checks_wrong();
    }
    assert!(matches!(world.settles(&permit, GatewayResult::Accepted), SettleOutcome::Locked { .. }));
}

#[test]
fn after_a_failed_commit_a_count_once_made_stays() {
    let mut world = World::new();
    world.sends();
    let before = world.state;
    world.checks_wrong();
    assert_eq!(merge_pessimistic(before, world.state, world.now).failures(), 1);
}

#[test]
fn after_a_failed_commit_of_a_resend_the_earlier_code_stays_good() {
    let mut world = World::new();
    let code = world.sends();
    let before = world.state;
    world.permit();
    world.state = merge_pessimistic(before, world.state, world.now);
    assert_eq!(world.checks(&code), Decided(CheckOutcome::Approved));
}

#[test]
fn after_a_failed_commit_of_a_first_send_its_code_is_void() {
    let mut world = World::new();
    let permit = world.permit();
    world.state = merge_pessimistic(NumberState::Fresh, world.state, world.now);
    assert_eq!(world.checks(&world.code_of(&permit)), no_live_code(4));
    assert_ne!(world.permit().verification.salt, permit.verification.salt);
}

#[test]
fn after_a_failed_commit_of_a_lockout_the_number_stays_locked() {
    let mut world = World::new();
    let code: Code = world.sends();
    for _ in 0..4 {
        world.checks_wrong();
    }
    let before = world.state;
    world.checks_wrong();
    world.state = merge_pessimistic(before, world.state, world.now);
    assert!(matches!(world.checks(&code), Decided(CheckOutcome::Locked { .. })));
}
