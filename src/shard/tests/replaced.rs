//! Codes that a newer one replaced while their messages were on their way: what a shard does with what it hears
//! of them.

use std::time::Duration;

use super::world::{World, accepted, held, number, wrong};
use crate::engine::NumberState;
use crate::shard::command::{Dispatch, SendEnd};
use crate::shard::{CheckAnswer, SendAnswer};

const FAILED: SendEnd = SendEnd::Failed { may_have_been_sent: false, held: None };

/// Two codes at gateways: the first took longer than a send may, so that the second replaced it.
fn two_on_their_way(world: &mut World) -> (Dispatch, Dispatch) {
    let mut sends = Vec::new();
    for _ in 0..2 {
        let _answer = world.sends(number(1));
        world.commits();
        sends.push(world.dispatched());
        world.now = world.now.plus(Duration::from_secs(10));
    }
    let second = sends.pop().expect("two sends");
    (sends.pop().expect("two sends"), second)
}

#[test]
fn a_code_that_a_holder_took_while_it_was_replaced_comes_back_as_the_holders() {
    let mut world = World::new();
    let (first, second) = two_on_their_way(&mut world);
    world.settles(first, held());
    assert!(world.wants_no_commit(), "it has been replaced");
    world.settles(second, FAILED);
    world.commits();
    world.crashes();
    let _answer = world.checks_held(number(1));
    world.commits();
    assert_eq!(world.asked().key, number(1));
}

#[test]
fn what_is_heard_of_both_codes_in_one_batch_counts() {
    let mut world = World::new();
    let (first, second) = two_on_their_way(&mut world);
    let _answer = world.checks_wrong(number(1));
    let writes = world.takes_commit();
    world.settles(first, FAILED);
    world.settles(second, FAILED);
    world.applied(&writes);
    world.commits();
    assert_eq!(world.live_salt(number(1)), None, "nobody has either");
}

#[test]
fn what_is_decided_again_after_a_lost_race_counts_once() {
    let mut world = World::new();
    let answer = world.sends(number(1));
    world.commits();
    let first = world.dispatched();
    let _answer = world.sends(number(1));
    world.commits();
    let repetition = world.dispatched();
    let code = repetition.permit.salt;
    world.now = world.now.plus(Duration::from_secs(10));
    let _answer = world.sends(number(1));
    let newer = world.takes_commit();
    world.applied(&newer);
    let second = world.dispatched();
    let state = crate::shard::record::decode(newer[0].put.as_deref().expect("a record")).expect("a state");
    let check = world.checks_wrong(number(1));
    let writes = world.takes_commit();
    world.settles(first, FAILED);
    world.settles(second, FAILED);
    world.applied(&writes);
    let NumberState::Open { keep_until, verification, .. } = state else { panic!("{state:?}") };
    world.loses_the_race_to(&NumberState::Open {
        failures: 1,
        keep_until,
        tally: crate::engine::Tally::NONE,
        verification,
    });
    world.commits();
    assert_eq!(check.answer(), Ok(wrong(4)));
    assert_eq!(answer.answer(), Ok(SendAnswer::GatewayFailed));
    assert_eq!(world.live_salt(number(1)), Some(code), "its repetition may still arrive");
    world.settles(repetition, accepted());
    assert_eq!(world.live_salt(number(1)), Some(code));
}

#[test]
fn when_a_resend_and_its_repetition_fail_a_code_that_was_told_sent_works() {
    let mut world = World::new();
    let code = world.has_code(number(1));
    let mut sends = Vec::new();
    for _ in 0..2 {
        let _answer = world.sends(number(1));
        world.commits();
        sends.push(world.dispatched());
    }
    for dispatch in sends {
        world.settles(dispatch, FAILED);
        world.commits();
    }
    let right = world.checks(number(1), Some(code));
    world.commits();
    assert_eq!(right.answer(), Ok(CheckAnswer::Approved));
}
