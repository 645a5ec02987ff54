//! Codes that a newer one replaced while their own messages were on their way: what is heard of them counts
//! if the newer one comes to nothing.

use super::world::{HOLDER, SEND_BUDGET, World, no_live_code, secs, wrong, wrong_says_the_holder};
use crate::domain::CodeLength;
use crate::engine::{CheckOutcome, GatewayResult, NumberState, SendPermit};

/// A number with a code of ten minutes that is out, and its permit.
fn with_a_code_that_is_out() -> (World, SendPermit) {
    let mut world = World::new();
    world.policy.code.life = secs(600);
    let permit = world.permit();
    world.settles(&permit, GatewayResult::Accepted);
    (world, permit)
}

/// So many codes, each of which replaced the one before while that one's gateway took its time.
fn slow(codes: usize) -> (World, Vec<SendPermit>) {
    let mut world = World::new();
    world.policy.code.life = secs(600);
    let permits = (0..codes).map(|_| {
        world.advance(SEND_BUDGET);
        world.permit()
    });
    let permits = permits.collect();
    (world, permits)
}

#[test]
fn a_send_of_another_length_repeats_the_code_that_is_on_its_way() {
    let mut world = World::new();
    let first = world.permit();
    world.policy.code.length = CodeLength::new(8).expect("a length");
    let second = world.permit();
    assert_eq!((second.salt, second.length), (first.salt, first.length));
    world.settles(&first, GatewayResult::Accepted);
    world.settles(&second, GatewayResult::Accepted);
    assert_eq!(world.permit().length, world.policy.code.length);
}

#[test]
fn when_a_resend_and_its_repetition_both_fail_the_earlier_code_comes_back() {
    for first_fails_first in [true, false] {
        let (mut world, out) = with_a_code_that_is_out();
        let (resend, repetition) = (world.permit(), world.permit());
        let (one, other) = if first_fails_first { (resend, repetition) } else { (repetition, resend) };
        world.settles(&one, GatewayResult::Failed);
        world.settles(&other, GatewayResult::Failed);
        assert_eq!(world.checks(&world.code_of(&out)), CheckOutcome::Approved);
    }
}

#[test]
fn a_code_that_comes_back_is_its_holders_if_one_took_it_meanwhile() {
    let (mut world, permits) = slow(2);
    world.settles(&permits[0], GatewayResult::Held(HOLDER));
    world.settles(&permits[1], GatewayResult::Failed);
    assert_eq!(world.asks_in_vain(), wrong_says_the_holder(4));
}

#[test]
fn a_code_that_failed_meanwhile_does_not_come_back() {
    let (mut world, permits) = slow(2);
    world.settles(&permits[0], GatewayResult::Failed);
    world.settles(&permits[1], GatewayResult::Failed);
    assert_eq!(world.state, NumberState::Fresh);
}

#[test]
fn of_three_codes_the_one_that_was_accepted_comes_back_in_whatever_order_the_others_fail() {
    use GatewayResult::{Accepted, Failed};
    let results = [Accepted, Failed, Failed];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (mut world, permits) = slow(3);
        for place in order {
            world.settles(&permits[place], results[place]);
        }
        for (left, late) in [(4, &permits[1]), (3, &permits[2])] {
            assert_eq!(world.checks(&world.code_of(late)), wrong(left), "{order:?}");
        }
        assert_eq!(world.checks(&world.code_of(&permits[0])), CheckOutcome::Approved, "{order:?}");
    }
}

#[test]
fn what_was_heard_of_a_code_counts_once() {
    let (mut world, permits) = slow(1);
    let repetition = world.permit();
    world.settles(&permits[0], GatewayResult::Failed);
    world.advance(SEND_BUDGET);
    let newer = world.permit();
    world.settles(&newer, GatewayResult::Failed);
    world.advance(SEND_BUDGET);
    let newest = world.permit();
    world.settles(&newest, GatewayResult::Failed);
    assert_eq!(world.checks(&world.code_of(&repetition)), CheckOutcome::Approved, "it may still arrive");
}

#[test]
fn a_code_that_came_back_is_settled_by_what_is_heard_of_it_later() {
    let (mut world, permits) = slow(2);
    world.settles(&permits[1], GatewayResult::Failed);
    world.settles(&permits[0], GatewayResult::Failed);
    assert_eq!(world.state, NumberState::Fresh);
}

#[test]
fn once_a_newer_code_was_accepted_nothing_brings_an_earlier_one_back() {
    let (mut world, permits) = slow(2);
    let repetition = world.permit();
    world.settles(&permits[0], GatewayResult::Accepted);
    world.settles(&repetition, GatewayResult::Accepted);
    world.settles(&permits[1], GatewayResult::Failed);
    assert_eq!(world.checks(&world.code_of(&permits[0])), wrong(4));
}

#[test]
fn a_code_that_comes_back_has_only_the_rest_of_its_own_life() {
    let (mut world, permits) = slow(2);
    world.settles(&permits[0], GatewayResult::Accepted);
    world.advance(secs(590));
    world.settles(&permits[1], GatewayResult::Failed);
    assert_eq!(world.checks(&world.code_of(&permits[0])), no_live_code(4));
}
