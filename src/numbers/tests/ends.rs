//! Endings that an operator or a caller decides: when they are durable, and what becomes of the commands behind them.

use super::world::{World, number, wrong};
use crate::engine::Ending;
use crate::numbers::{CheckOutcome, SendOutcome};

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
    assert_eq!(ended.reply(), Ok(None), "no verification was under way");
    let answer = world.checks_wrong(number(1));
    assert!(!matches!(answer.answer(), Ok(CheckOutcome::Locked { .. })));
}

#[test]
fn an_end_whose_commit_fails_is_none() {
    let mut world = World::with_locked(number(1));
    let ended = world.ends(number(1), Ending::Cleared);
    world.fails_to_commit();
    assert!(ended.reply().is_err());
    let answer = world.sends(number(1));
    world.commits_if_any();
    assert!(matches!(answer.answer(), Ok(SendOutcome::Locked { .. })));
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
    assert!(world.dispatches_nothing(), "the code could not be used");
    world.commits_if_any();
    assert!(matches!(ended.reply(), Ok(Some(_))));
    assert!(!matches!(sent.answer(), Ok(SendOutcome::Sent { .. })));
}
