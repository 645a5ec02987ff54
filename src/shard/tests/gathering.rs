//! Waiting for company before a batch is cut, a sentence each.

use super::world::{Awaited, World, number, wrong};
use crate::shard::CheckAnswer;

/// Enough for a wait.
const CROWD: u64 = 6;

/// A shard that has just answered a crowd, in one batch, and may wait. All its numbers had codes.
fn after_a_crowd() -> World {
    let mut world = World::new();
    for n in 1..=CROWD + 2 {
        world.has_code(number(n));
    }
    world.core.may_gather();
    let first = world.checks_wrong(number(CROWD + 1));
    let writes = world.takes_commit();
    let crowd: Vec<_> = (1..=CROWD).map(|n| world.checks_wrong(number(n))).collect();
    world.applied(&writes);
    assert!(world.core.take_wait().is_none(), "one command is no company");
    let writes = world.takes_commit();
    world.applied(&writes);
    for answer in crowd {
        assert_eq!(answer.answer(), Ok(wrong(4)));
    }
    drop(first);
    world
}

fn two_more(world: &mut World) -> [Awaited<CheckAnswer>; 2] {
    [world.checks_wrong(number(1)), world.checks_wrong(number(2))]
}

#[test]
fn after_a_crowd_the_next_batch_waits_for_company() {
    let mut world = after_a_crowd();
    assert!(world.core.take_wait().is_some());
    let answers = two_more(&mut world);
    assert!(world.wants_no_commit());
    let now = world.now;
    world.core.gathered(now);
    assert_eq!(world.commits().len(), 2);
    for answer in answers {
        assert_eq!(answer.answer(), Ok(wrong(3)));
    }
}

#[test]
fn a_batch_that_nobody_calls_is_cut_by_the_next_sweep() {
    let mut world = after_a_crowd();
    let answers = two_more(&mut world);
    assert!(world.wants_no_commit());
    let now = world.now;
    world.core.sweep(1, now);
    assert_eq!(world.commits().len(), 2);
    for answer in answers {
        assert_eq!(answer.answer(), Ok(wrong(3)));
    }
}

#[test]
fn a_wait_in_which_nobody_comes_leaves_nothing_behind() {
    let mut world = after_a_crowd();
    let now = world.now;
    world.core.gathered(now);
    assert!(world.wants_no_commit());
    let answer = world.checks_wrong(number(1));
    assert_eq!(world.commits().len(), 1, "at once");
    assert_eq!(answer.answer(), Ok(wrong(3)));
}
