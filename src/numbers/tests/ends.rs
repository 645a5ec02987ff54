//! Ends that somebody else decides: when they are durable, and what stands behind them in the queue.

use super::world::{World, number, wrong};
use crate::engine::Ending;
use crate::numbers::{CheckAnswer, SendAnswer};

#[test]
fn a_lockout_is_ended_durably_also_while_another_number_is_being_committed() {
    let mut world = World::with_locked(number(1));
    world.has_code(number(2));
    let other = world.checks_wrong(number(2));
    let writes = world.takes_commit();
    let mut ended = world.ends(number(1), Ending::Cleared);
    assert!(ended.is_unanswered(), "not from memory: it changes what is known");
    world.applied(&writes);
    assert_eq!(other.answer(), Ok(wrong(4)));
    assert_eq!(world.commits().len(), 1, "the end of the lockout");
    assert_eq!(ended.answer(), Ok(()));
    let answer = world.checks_wrong(number(1));
    assert!(!matches!(answer.answer(), Ok(CheckAnswer::Locked { .. })));
}

#[test]
fn an_end_whose_commit_fails_is_none() {
    let mut world = World::with_locked(number(1));
    let ended = world.ends(number(1), Ending::Cleared);
    world.fails_to_commit();
    assert!(ended.answer().is_err());
    let answer = world.sends(number(1));
    world.commits_if_any();
    assert!(matches!(answer.answer(), Ok(SendAnswer::Locked { .. })));
}

#[test]
fn a_code_that_was_canceled_in_the_same_batch_is_not_sent() {
    let mut world = World::new();
    world.has_code(number(9));
    let blocker = world.checks_wrong(number(9));
    let writes = world.takes_commit();
    let sent = world.sends(number(1));
    let ended = world.ends(number(1), Ending::Canceled);
    world.applied(&writes);
    drop(blocker);
    world.commits_if_any();
    assert!(world.dispatches_nothing(), "nobody could use it");
    world.commits_if_any();
    assert_eq!(ended.answer(), Ok(()));
    assert!(!matches!(sent.answer(), Ok(SendAnswer::Sent { .. })));
}
