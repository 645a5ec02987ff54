//! Codes that a newer one replaced: the previous one returns if the newer one surely was not sent. And planned sends.

use super::world::{GatewayResult, World, secs};
use crate::domain::CodeLength;
use crate::engine::{
    CheckOutcome, CheckStep, CheckStep::Decided, ResumeOutcome, SendPermit, merge_pessimistic,
};

/// A number with a sent code of ten minutes, and its permit.
fn with_a_code_that_is_out() -> (World, SendPermit) {
    let mut world = World::new();
    world.policy.code.life = secs(600);
    let permit = world.permit();
    world.settles(&permit, GatewayResult::Accepted);
    (world, permit)
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
    world.settles(&first, GatewayResult::Accepted);
    world.settles(&second, GatewayResult::Accepted);
    assert_eq!(world.permit().verification.length, world.policy.code.length);

    // A verification with an id keeps its code, whose message has arrived.
    let mut named = World::of_a_new_service();
    let first = named.begins();
    named.policy.code.length = CodeLength::new(8).expect("a length");
    assert_eq!(named.begins().verification.length, first.verification.length);
    named.policy.sends.keeps_code = false;
    assert_eq!(named.begins().verification.length, named.policy.code.length);
}

#[test]
fn when_a_resend_and_its_repetition_both_fail_their_code_is_withdrawn() {
    for first_fails_first in [true, false] {
        let (mut world, _) = with_a_code_that_is_out();
        let (resend, repetition) = (world.permit(), world.permit());
        let (one, other) = if first_fails_first { (resend, repetition) } else { (repetition, resend) };
        world.settles(&one, GatewayResult::Failed);
        world.settles(&other, GatewayResult::Failed);
        assert!(matches!(world.checks(&world.code_of(&resend)), Decided(CheckOutcome::Wrong { .. })));
    }
}

#[test]
fn a_repetition_that_fails_first_leaves_the_earlier_code_to_the_resend() {
    let (mut world, out) = with_a_code_that_is_out();
    let (resend, repetition) = (world.permit(), world.permit());
    world.settles(&repetition, GatewayResult::Failed);
    world.settles(&resend, GatewayResult::Failed);
    assert_eq!(world.checks(&world.code_of(&out)), Decided(CheckOutcome::Approved));
}

#[test]
fn a_client_who_asks_again_meanwhile_gets_the_same_code() {
    let mut world = World::new();
    let first = world.permit();
    world.settles(&first, GatewayResult::Postponed);
    assert!(matches!(world.resumes(first.verification.salt), ResumeOutcome::Permitted(_)));
    assert_eq!(world.permit().verification.salt, first.verification.salt);
}

#[test]
fn after_a_failed_commit_a_further_send_never_left() {
    let mut world = World::new();
    let first = world.sends_held();
    let before = world.state;
    assert!(matches!(world.resumes(first.verification.salt), ResumeOutcome::Permitted(_)));
    world.state = merge_pessimistic(before, world.state, world.now);
    assert!(matches!(world.checks(&world.code_of(&first)), CheckStep::AskGateway(_)));
}
