//! The rules of commands about numbers, one test each.

use std::time::Duration;

use super::shard::{COMMANDS_PER_NUMBER, World, accepted, number, wrong};
use crate::delivery::Failure;
use crate::domain::{Code, CodeLength, Timestamp};
use crate::engine::{Ending, PossiblySent, SendResult};
use crate::limits::guard::{GuardRefusal, Rule};
use crate::verification::{CheckOutcome, Refusal, Reply, SendOutcome};

#[test]
fn commands_of_one_number_are_decided_in_order_and_written_once() {
    let mut world = World::new();
    let code = world.has_code(number(1));
    let first = world.checks_wrong(number(1));
    world.takes_commit();
    let second = world.checks_wrong(number(1));
    let right = world.checks(number(1), Some(code.clone()));
    let again = world.checks(number(1), Some(code));
    world.applied();
    let writes = world.commits();
    assert_eq!(writes.len(), 1);
    assert!(writes[0].put.is_none(), "a verified number leaves no record");
    assert_eq!(first.answer(), Ok(wrong(4)));
    assert_eq!(second.answer(), Ok(wrong(3)));
    assert_eq!(right.answer(), Ok(CheckOutcome::Approved));
    assert_eq!(again.answer(), Ok(CheckOutcome::Wrong { attempts_left: 5, live: false }));
}

#[test]
fn what_a_locked_number_is_answered_waits_for_what_was_decided_before() {
    let mut world = World::new();
    world.locks(number(1));
    assert!(matches!(world.sends(number(1)).answer(), Ok(SendOutcome::Locked { .. })), "at once");
    let _unlocking = world.ends(number(1), Ending::Cleared);
    let mut check = world.checks_wrong(number(1));
    assert!(check.is_unanswered());
    world.is_refused_a_commit();
    assert_eq!(check.answer(), Err(Refusal::StoreUnavailable));
    assert!(matches!(world.checks_wrong(number(1)).answer(), Ok(CheckOutcome::Locked { .. })));
}

#[test]
fn how_a_send_ended_decides_its_answer() {
    let possibly = SendResult::Failed { may_have_been_sent: Some(PossiblySent { held: None }) };
    let (unsent, until) = (SendResult::Failed { may_have_been_sent: None }, Timestamp::MAX);
    let spent = Some(Failure::BudgetSpent { until });
    let by_guard = |rule, until| Ok(SendOutcome::GuardRefused(GuardRefusal { rule, until }));
    for (end, reason, expected) in [
        (SendResult::NumberRefused, None, Ok(SendOutcome::NumberRefused)),
        (possibly.clone(), None, Ok(SendOutcome::GatewayFailed)),
        (possibly.clone(), Some(Failure::BadNumber), Ok(SendOutcome::NumberRefused)),
        (SendResult::Overloaded, None, Err(Refusal::SendsOverloaded)),
        (unsent.clone(), Some(Failure::TooDear), by_guard(Rule::Price, None)),
        (unsent, spent, by_guard(Rule::Budget, Some(until))),
        // A gateway that was asked before may have sent the message.
        (possibly.clone(), Some(Failure::TooDear), Ok(SendOutcome::GatewayFailed)),
        (possibly, spent, Ok(SendOutcome::GatewayFailed)),
    ] {
        let mut world = World::new();
        let (answer, dispatch) = world.sends_out(number(1));
        let keeps_code = end.may_still_arrive();
        world.settles_with(dispatch, end, reason);
        world.commits_if_any();
        assert_eq!((answer.answer(), world.live_salt(number(1)).is_some()), (expected, keeps_code));
    }
}

#[test]
fn what_the_store_refused_has_no_effect() {
    let mut world = World::new();
    let code = world.has_code(number(1));
    for submitted in ["guess", code.expose()] {
        let answer = world.checks(number(1), Code::submitted(submitted, CodeLength::SIX, true));
        world.is_refused_a_commit();
        assert_eq!(answer.answer(), Err(Refusal::StoreUnavailable));
    }
    let answer = world.checks_wrong(number(1));
    world.commits();
    assert_eq!(answer.answer(), Ok(wrong(4)), "no attempt was spent");
    let answer = world.checks(number(1), Some(code));
    world.commits();
    assert_eq!(answer.answer(), Ok(CheckOutcome::Approved));
}

#[test]
fn commands_for_one_number_are_bounded_and_others_are_not_held_up() {
    let mut world = World::new();
    world.has_code(number(1));
    let _in_flight = world.checks_wrong(number(1));
    world.takes_commit();
    let _waiting: Vec<_> = (1..COMMANDS_PER_NUMBER).map(|_| world.checks_wrong(number(1))).collect();
    assert_eq!(world.checks_wrong(number(1)).answer(), Err(Refusal::NumberBusy));
    assert!(world.sends(number(2)).is_unanswered());
    world.applied();
    world.commits();
    assert!(matches!(world.checks_wrong(number(1)).answer(), Ok(CheckOutcome::Locked { .. })));
}

#[test]
fn while_a_commit_takes_too_long_only_the_end_of_a_send_is_decided() {
    let mut world = World::new();
    let (mut sent, dispatch) = world.sends_out(number(1));
    let mut hangs = world.sends(number(2));
    world.takes_commit();
    world.now = world.now.plus(Duration::from_secs(5));
    world.settles(dispatch, SendResult::Failed { may_have_been_sent: None });
    assert_eq!(world.sends(number(3)).answer(), Err(Refusal::StoreUnavailable));
    assert!(hangs.is_unanswered() && sent.is_unanswered());
    world.applied();
    world.commits();
    assert_eq!(sent.answer(), Ok(SendOutcome::GatewayFailed));
    assert_eq!(world.dispatched().outgoing.key, number(2));
}

#[test]
fn a_message_whose_commit_took_longer_than_a_send_may_is_decided_again() {
    let mut world = World::new();
    let _sent = world.sends(number(1));
    let begun = world.live_salt(number(1));
    world.now = world.now.plus(Duration::from_secs(10));
    world.commits();
    assert!(world.dispatches_nothing(), "another message may replace its code");
    world.commits();
    world.commits();
    assert_ne!(Some(world.dispatched().permitted.permit.verification.salt), begun);
}

#[test]
fn a_code_whose_verification_ended_before_it_left_is_not_sent() {
    for ending in [Ending::Canceled, Ending::Approved] {
        let mut world = World::new();
        world.has_code(number(9));
        let blocker = world.checks_wrong(number(9));
        world.takes_commit();
        let sent = world.sends(number(1));
        let ended = world.ends(number(1), ending);
        world.applied();
        drop(blocker);
        world.commits_if_any();
        assert!(world.dispatches_nothing(), "the code could not be used");
        world.commits_if_any();
        let Ok(Reply { verification: Some(ended), .. }) = ended.reply() else { panic!("it has ended") };
        // The request begins another one.
        world.commits_if_any();
        let sending = world.dispatched();
        assert_ne!(sending.permitted.permit.verification.salt.id(), ended.id);
        world.settles(sending, accepted());
        world.commits_if_any();
        assert!(matches!(sent.answer(), Ok(SendOutcome::Sent { .. })), "never a fault of the server");
        assert_eq!(world.not_sent(), 0, "the guard has taken one allowance for one message");
    }
}
