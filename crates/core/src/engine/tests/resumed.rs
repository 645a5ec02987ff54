//! Planned sends of the same code: their conditions and effects.

use super::world::GatewayResult;
use super::world::{World, no_live_code, secs};
use crate::engine::{
    CheckOutcome, CheckStep, CheckStep::Decided, NumberState, ResumeOutcome, Salt, merge_pessimistic,
};

#[test]
fn the_live_code_is_sent_once_more_and_nothing_is_prolonged() {
    let mut world = World::new();
    let first = world.permit();
    world.settles(&first, GatewayResult::Postponed);
    world.advance(secs(10));
    let again = world.resumed(first.verification.salt);
    assert_eq!(
        (again.verification.salt, again.verification.expires),
        (first.verification.salt, first.verification.expires)
    );
    world.settles(&again, GatewayResult::Accepted);
    world.advance(secs(20));
    assert_eq!(world.checks(&world.code_of(&again)), no_live_code(4));
}

#[test]
fn a_used_replaced_locked_or_expired_code_is_not_sent_again() {
    for end in ["used", "replaced", "expired", "locked"] {
        let mut world = World::new();
        let first = world.permit();
        world.settles(&first, GatewayResult::Postponed);
        match end {
            "used" => assert_eq!(world.checks(&world.code_of(&first)), Decided(CheckOutcome::Approved)),
            "replaced" => drop(world.sends()),
            "expired" => world.advance(secs(30)),
            _ => {
                for _ in 0..5 {
                    world.checks_wrong();
                }
            }
        }
        let before = world.state;
        assert_eq!(world.resumes(first.verification.salt), ResumeOutcome::NotUsable, "{end}");
        assert_eq!(world.state, before.unless_expired(world.now), "{end}");
    }
    assert_eq!(World::new().resumes(Salt([1; 16])), ResumeOutcome::NotUsable);
}

#[test]
fn a_client_who_asks_again_meanwhile_gets_the_same_code() {
    let mut world = World::new();
    let first = world.permit();
    world.settles(&first, GatewayResult::Postponed);
    world.resumed(first.verification.salt);
    assert_eq!(world.permit().verification.salt, first.verification.salt);
}

#[test]
fn a_postponed_code_stays_until_a_later_send_fails_for_good() {
    let mut world = World::new();
    let first = world.permit();
    world.settles(&first, GatewayResult::Postponed);
    let second = world.resumed(first.verification.salt);
    world.settles(&second, GatewayResult::Postponed);
    let third = world.resumed(first.verification.salt);
    world.settles(&third, GatewayResult::Failed);
    assert_eq!(world.state, NumberState::Fresh);
}

#[test]
fn after_a_failed_commit_a_further_send_never_left() {
    let mut world = World::new();
    let first = world.sends_held();
    let before = world.state;
    world.resumed(first.verification.salt);
    world.state = merge_pessimistic(before, world.state, world.now);
    assert!(matches!(world.checks(&world.code_of(&first)), CheckStep::AskGateway(_)));
}
