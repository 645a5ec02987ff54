//! Planned sends: the behaviour of a shard, one test each.

use super::shard::{World, accepted, number};
use crate::engine::{Ending, Salt, SendResult};
use crate::verification::{CheckOutcome, Refusal, SendOutcome};

#[test]
fn a_planned_send_of_the_live_code_leaves_once_durable_and_is_settled() {
    let mut world = World::new();
    let (answer, dispatch) = world.sends_out(number(1));
    let salt = dispatch.permitted.permit.verification.salt;
    world.settles(
        dispatch,
        SendResult::Postponed { message_id: "later".to_owned(), may_have_been_sent: None },
    );
    world.commits();
    let sent = SendOutcome::Sent { attempts_left: 5, message_id: "later".to_owned(), postponed: true };
    assert_eq!(answer.answer(), Ok(sent));
    let mut followed = world.resumes(number(1), salt);
    world.takes_commit();
    assert!(world.dispatches_nothing());
    world.applied();
    assert!(!world.has_plan(number(1), salt), "after a crash it is not made again");
    let again = world.dispatched();
    assert_eq!(again.permitted.permit.verification.salt, salt);
    assert!(again.permitted.follow_up.is_some());
    assert!(followed.is_unanswered(), "it keeps its place until it is settled");
    world.settles(again, accepted());
    world.commits();
    assert!(followed.has_ended());
}

#[test]
fn a_planned_send_of_a_code_that_is_gone_is_not_made() {
    let mut world = World::new();
    let code = world.has_code(number(1));
    let salt = world.live_salt(number(1)).expect("a live code");
    let _right = world.checks(number(1), Some(code));
    world.commits();
    for salt in [salt, Salt([0; 16])] {
        let followed = world.resumes(number(1), salt);
        world.commits();
        assert!(followed.has_ended());
        assert!(!world.has_plan(number(1), salt), "dropped");
    }
    assert!(world.dispatches_nothing() && world.wants_no_commit());
    assert_eq!(world.not_sent(), 2, "the guard gets back what it has taken");
}

#[test]
fn a_request_that_is_put_off_when_its_code_is_used_begins_another() {
    let mut world = World::new();
    let (answer, sending) = world.sends_out(number(1));
    let code = world.code_of(number(1), &sending.permitted.permit);
    let right = world.checks(number(1), Some(code));
    world.commits();
    assert!(matches!(right.answer(), Ok(CheckOutcome::Approved)));
    world.postpones(sending);
    while world.commits_if_any() {}
    let again = world.dispatched();
    world.settles(again, accepted());
    world.commits_if_any();
    assert!(matches!(answer.answer(), Ok(SendOutcome::Sent { postponed: false, .. })));
    assert_eq!(world.not_sent(), 0, "one allowance for one message");
}

#[test]
fn what_was_taken_for_a_message_that_is_not_put_off_is_given_back() {
    // The code of a planned message is used while no gateway takes it.
    let mut world = World::new();
    let code = world.has_code(number(1));
    let salt = world.live_salt(number(1)).expect("a live code");
    let followed = world.resumes(number(1), salt);
    world.commits();
    let sending = world.dispatched();
    let _right = world.checks(number(1), Some(code));
    world.commits();
    world.postpones(sending);
    world.commits_if_any();
    assert_eq!((followed.has_ended(), world.has_plan(number(1), salt), world.not_sent()), (true, false, 1));
    // The store refuses the plan of a request.
    let mut world = World::new();
    let (answer, sending) = world.sends_out(number(1));
    world.postpones(sending);
    world.is_refused_a_commit();
    assert_eq!((answer.answer(), world.not_sent()), (Err(Refusal::OutcomeUnknown), 1));
}

#[test]
fn the_planned_sends_of_an_erased_number_give_back_what_they_took() {
    let mut world = World::new();
    world.has_code(number(1));
    let salts = [Salt([1; 16]), Salt([2; 16])];
    for salt in salts {
        world.plans(number(1), salt);
    }
    world.commits_if_any();
    let erased = world.ends(number(1), Ending::Erased);
    world.commits();
    assert!(erased.reply().expect("erased").outcome);
    assert!(salts.iter().all(|salt| !world.has_plan(number(1), *salt)));
    assert_eq!(world.not_sent(), 2);
}
