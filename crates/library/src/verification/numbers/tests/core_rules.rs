//! The rules of commands about numbers, one test each.

use std::time::Duration;

use super::world::{COMMANDS_PER_NUMBER, World, accepted, number, wrong};
use crate::domain::{Code, CodeLength};
use crate::engine::{Ending, PossiblySent, SendResult};
use crate::verification::numbers::{CheckOutcome, Refusal, Reply, SendOutcome};

#[test]
fn nothing_is_answered_before_it_is_durable() {
    let mut world = World::new();
    world.has_code(number(1));
    let mut answer = world.checks_wrong(number(1));
    let writes = world.takes_commit();
    assert!(answer.is_unanswered());
    world.applied(&writes);
    assert_eq!(answer.answer(), Ok(wrong(4)));
}

#[test]
fn no_message_leaves_before_its_decision_is_durable() {
    let mut world = World::new();
    let _answer = world.sends(number(1));
    let writes = world.takes_commit();
    assert!(world.dispatches_nothing());
    world.applied(&writes);
    assert_eq!(world.dispatched().outgoing.key, number(1));
}

#[test]
fn commands_of_one_number_are_decided_in_order_and_written_once() {
    let mut world = World::new();
    let code = world.has_code(number(1));
    let first = world.checks_wrong(number(1));
    let writes = world.takes_commit();
    let second = world.checks_wrong(number(1));
    let right = world.checks(number(1), Some(code.clone()));
    let again = world.checks(number(1), Some(code));
    world.applied(&writes);
    let writes = world.commits();
    assert_eq!(writes.len(), 1);
    assert!(writes[0].put.is_none(), "a verified number leaves no record");
    assert_eq!(first.answer(), Ok(wrong(4)));
    assert_eq!(second.answer(), Ok(wrong(3)));
    assert_eq!(right.answer(), Ok(CheckOutcome::Approved));
    assert_eq!(again.answer(), Ok(CheckOutcome::Wrong { attempts_left: 5, live: false }));
}

#[test]
fn a_locked_number_is_refused_at_once_while_another_commit_is_in_flight() {
    let mut world = World::with_locked(number(1));
    let mut other = world.sends(number(2));
    let writes = world.takes_commit();
    assert!(matches!(world.checks_wrong(number(1)).answer(), Ok(CheckOutcome::Locked { .. })));
    assert!(matches!(world.sends(number(1)).answer(), Ok(SendOutcome::Locked { .. })));
    assert!(other.is_unanswered());
    world.applied(&writes);
}

#[test]
fn a_refusal_that_rests_on_a_lockout_in_flight_waits_for_it() {
    let mut world = World::new();
    world.has_code(number(1));
    world.nearly_locks(number(1));
    let last = world.checks_wrong(number(1));
    let writes = world.takes_commit();
    let mut refused = world.checks_wrong(number(1));
    assert!(refused.is_unanswered());
    world.applied(&writes);
    assert!(matches!(last.answer(), Ok(CheckOutcome::LockedNow { live: true, .. })));
    assert!(matches!(refused.answer(), Ok(CheckOutcome::Locked { .. })));
    assert!(world.wants_no_commit(), "a refusal of a locked number costs no commit");
}

#[test]
fn a_check_of_a_number_without_a_record_writes_nothing() {
    let mut world = World::new();
    let answer = world.checks_wrong(number(1));
    assert!(world.wants_no_commit());
    assert_eq!(answer.answer(), Ok(CheckOutcome::Wrong { attempts_left: 5, live: false }));
    assert_eq!(world.numbers(), 0);
}

#[test]
fn an_accepted_send_is_answered_without_a_second_commit() {
    let mut world = World::new();
    let answer = world.sends(number(1));
    world.commits();
    let dispatch = world.dispatched();
    world.settles(dispatch, accepted());
    assert!(world.wants_no_commit());
    let sent = SendOutcome::Sent { attempts_left: 5, message_id: "SM1".to_owned(), postponed: false };
    assert_eq!(answer.answer(), Ok(sent));
}

#[test]
fn a_send_that_failed_is_withdrawn_durably_before_it_is_answered() {
    let mut world = World::new();
    let mut answer = world.sends(number(1));
    world.commits();
    let dispatch = world.dispatched();
    world.settles(dispatch, SendResult::Failed { may_have_been_sent: None });
    assert!(answer.is_unanswered());
    let writes = world.commits();
    assert!(writes[0].put.is_none());
    assert_eq!(answer.answer(), Ok(SendOutcome::GatewayFailed));
    assert_eq!(world.numbers(), 0);
}

#[test]
fn how_a_send_ended_decides_its_answer() {
    for (end, expected) in [
        (SendResult::NumberRefused, Ok(SendOutcome::NumberRefused)),
        (
            SendResult::Failed { may_have_been_sent: Some(PossiblySent { held: None }) },
            Ok(SendOutcome::GatewayFailed),
        ),
        (SendResult::Overloaded, Err(Refusal::SendsOverloaded)),
    ] {
        let mut world = World::new();
        let answer = world.sends(number(1));
        world.commits();
        let dispatch = world.dispatched();
        world.settles(dispatch, end);
        if let Some(writes) = world.core.take_commit() {
            world.applied(&writes);
        }
        assert_eq!(answer.answer(), expected);
    }
}

#[test]
fn a_success_whose_commit_failed_gets_503_and_voids_its_code() {
    let mut world = World::new();
    let code = world.has_code(number(1));
    let answer = world.checks(number(1), Some(code.clone()));
    world.fails_to_commit();
    assert_eq!(answer.answer(), Err(Refusal::StoreUnavailable));
    let again = world.checks(number(1), Some(code));
    world.commits();
    assert_eq!(again.answer(), Ok(CheckOutcome::Wrong { attempts_left: 4, live: false }));
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
    let answer = world.sends(number(2));
    world.is_refused_a_commit();
    assert_eq!(answer.answer(), Err(Refusal::StoreUnavailable));
    assert!(world.dispatches_nothing());
    assert_eq!(world.numbers(), 1, "a send that was refused takes no place");
    let answer = world.checks_wrong(number(1));
    world.commits();
    assert_eq!(answer.answer(), Ok(wrong(4)), "no attempt was spent");
    let answer = world.checks(number(1), Some(code));
    world.commits();
    assert_eq!(answer.answer(), Ok(CheckOutcome::Approved));
}

#[test]
fn a_refusal_that_rests_on_a_failed_commit_is_made_durable_first() {
    let mut world = World::new();
    world.has_code(number(1));
    world.nearly_locks(number(1));
    let _locking = world.checks_wrong(number(1));
    world.fails_to_commit();
    let mut refused = world.checks_wrong(number(1));
    let writes = world.takes_commit();
    assert_eq!(writes.len(), 1, "the lockout is written again");
    assert!(refused.is_unanswered());
    world.applied(&writes);
    assert!(matches!(refused.answer(), Ok(CheckOutcome::Locked { .. })));
    let settled = world.checks_wrong(number(1));
    assert!(world.wants_no_commit());
    assert!(matches!(settled.answer(), Ok(CheckOutcome::Locked { .. })));
}

#[test]
fn commands_for_one_number_are_bounded_and_others_are_not_held_up() {
    let mut world = World::new();
    world.has_code(number(1));
    let mut answers = vec![world.checks_wrong(number(1))];
    let writes = world.takes_commit();
    answers.extend((1..COMMANDS_PER_NUMBER).map(|_| world.checks_wrong(number(1))));
    assert_eq!(world.checks_wrong(number(1)).answer(), Err(Refusal::NumberBusy));
    let mut other = world.sends(number(2));
    assert!(other.is_unanswered());
    world.applied(&writes);
    world.commits();
    assert_eq!(
        world.checks_wrong(number(1)).answer().map(|a| matches!(a, CheckOutcome::Locked { .. })),
        Ok(true)
    );
}

#[test]
fn a_code_that_the_same_batch_makes_useless_is_not_sent() {
    let mut world = World::new();
    world.has_code(number(1));
    world.nearly_locks(number(1));
    let _other = world.sends(number(2));
    let writes = world.takes_commit();
    let send = world.sends(number(1));
    let locking = world.checks_wrong(number(1));
    world.applied(&writes);
    assert_eq!(world.dispatched().outgoing.key, number(2));
    world.commits();
    assert!(world.dispatches_nothing(), "the code was void before its message could leave");
    assert!(matches!(locking.answer(), Ok(CheckOutcome::LockedNow { .. })));
    assert!(matches!(send.answer(), Ok(SendOutcome::Locked { .. })));
    assert!(matches!(world.checks_wrong(number(1)).answer(), Ok(CheckOutcome::Locked { .. })));
}

#[test]
fn a_number_whose_write_failed_is_freed_when_its_record_has_ended() {
    let mut world = World::new();
    world.has_code(number(1));
    let _answer = world.checks_wrong(number(1));
    world.fails_to_commit();
    world.now = world.now.plus(Duration::from_secs(3600));
    let now = world.now;
    assert_eq!(world.core.sweep(10, now), 1);
    let answer = world.checks_wrong(number(1));
    assert!(world.wants_no_commit(), "nothing of it is left to write again");
    assert_eq!(answer.answer(), Ok(CheckOutcome::Wrong { attempts_left: 5, live: false }));
}

#[test]
fn sends_at_a_gateway_that_hangs_fill_the_bound_of_their_number_and_hold_up_no_check() {
    let mut world = World::new();
    let mut dispatches = Vec::new();
    for _ in 0..COMMANDS_PER_NUMBER {
        let _answer = world.sends(number(1));
        world.commits();
        dispatches.push(world.dispatched());
    }
    assert_eq!(world.sends(number(1)).answer(), Err(Refusal::NumberBusy));
    let check = world.checks_wrong(number(1));
    world.commits();
    assert_eq!(check.answer(), Ok(wrong(4)));
    world.settles(dispatches.remove(0), accepted());
    let mut answer = world.sends(number(1));
    assert!(answer.is_unanswered());
}

#[test]
fn a_lockout_ends_durably_even_while_another_number_is_being_committed() {
    let mut world = World::with_locked(number(1));
    world.has_code(number(2));
    let other = world.checks_wrong(number(2));
    let writes = world.takes_commit();
    let mut ended = world.ends(number(1), Ending::Cleared);
    assert!(ended.is_unanswered(), "not from memory: it changes what is known");
    world.applied(&writes);
    assert_eq!(other.answer(), Ok(wrong(4)));
    assert_eq!(world.commits().len(), 1, "the end of the lockout");
    assert_eq!(
        ended.reply().map(|reply| (reply.outcome, reply.verification)),
        Ok((true, None)),
        "no verification was under way"
    );
    let answer = world.checks_wrong(number(1));
    assert!(!matches!(answer.answer(), Ok(CheckOutcome::Locked { .. })));
}

#[test]
fn a_code_whose_verification_ended_in_the_same_batch_is_not_sent() {
    for ending in [Ending::Canceled, Ending::Approved] {
        let mut world = World::new();
        world.has_code(number(9));
        let blocker = world.checks_wrong(number(9));
        let writes = world.takes_commit();
        let sent = world.sends(number(1));
        let ended = world.ends(number(1), ending);
        world.applied(&writes);
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

#[test]
fn a_message_that_leaves_late_says_how_long_its_code_is_good_by_then() {
    let mut world = World::new();
    let _first = world.sends(number(1));
    let writes = world.takes_commit();
    let _second = world.sends(number(1));
    world.now = world.now.plus(Duration::from_secs(5));
    let _third = world.sends(number(1));
    world.applied(&writes);
    let first = world.dispatched();
    world.now = world.now.plus(Duration::from_secs(2));
    let _fourth = world.sends(number(1));
    world.commits();
    let sends = world.take_dispatches();
    assert_eq!(sends.len(), 2);
    assert!(
        sends
            .iter()
            .all(|send| send.permitted.permit.verification.salt == first.permitted.permit.verification.salt)
    );
    assert!(
        sends.iter().all(|send| send.permitted.permit.verification.expires
            == sends[1].permitted.permit.verification.expires)
    );
    world.commits();
    assert!(
        world.dispatched().permitted.permit.verification.expires
            > sends[1].permitted.permit.verification.expires
    );
}

#[test]
fn a_client_that_has_its_reply_can_repeat_its_request_at_once() {
    let settled = |world: &mut World| {
        world.commits();
        let sending = world.dispatched();
        world.settles(sending, accepted());
    };
    assert!(!World::new().is_held_at_its_reply(number(1), settled));
    assert!(!World::new().is_held_at_its_reply(number(1), World::is_refused_a_commit));
    let refused_later = |world: &mut World| {
        world.commits();
        let sending = world.dispatched();
        world.settles(sending, SendResult::NumberRefused);
        world.is_refused_a_commit();
    };
    assert!(!World::new().is_held_at_its_reply(number(1), refused_later));
    let mut world = World::new();
    world.has_code(number(1));
    world.nearly_locks(number(1));
    let last = world.checks_wrong(number(1));
    let lockout = world.takes_commit();
    let is_held = world.is_held_at_its_reply(number(1), |world| world.applied(&lockout));
    assert!(!is_held && matches!(last.answer(), Ok(CheckOutcome::LockedNow { .. })));
}
