//! Codes that a gateway holds: the behaviour of a shard, one test each.

use std::time::Duration;

use super::shard::{CHECK_BUDGET, World, accepted, held, number, wrong};
use crate::delivery::attempts::VerifyStatus;
use crate::domain::{Channel, GatewayName, Held};
use crate::engine::{CheckResult, Ending, PossiblySent, SendResult};
use crate::verification::{CheckOutcome, Refusal, SendOutcome};

#[test]
fn no_gateway_is_asked_before_the_attempt_is_durable() {
    let mut world = World::new();
    world.has_held_code(number(1));
    let mut answer = world.checks_held(number(1));
    let writes = world.takes_commit();
    assert!(world.asks_no_gateway());
    world.applied(&writes);
    let ask = world.asked();
    assert!(answer.is_unanswered());
    world.check_reported(ask, CheckResult::Wrong);
    world.commits();
    assert_eq!(answer.answer(), Ok(wrong(4)));
}

#[test]
fn a_holder_that_has_or_may_have_sent_is_durable_before_the_answer() {
    let holder = Held { by: GatewayName::Sinch, channel: Channel::Sms };
    let (message_id, held) = ("id".to_owned(), Some(holder));
    let possibly = Some(PossiblySent { held });
    for result in [
        SendResult::Accepted { message_id: message_id.clone(), held },
        SendResult::Postponed { message_id, may_have_been_sent: possibly },
    ] {
        let mut world = World::new();
        let (mut answer, dispatch) = world.sends_out(number(1));
        world.settles(dispatch, result);
        let writes = world.takes_commit();
        assert!(answer.is_unanswered());
        world.applied(&writes);
        assert!(matches!(answer.answer(), Ok(SendOutcome::Sent { .. })));
        world.crashes();
        let _answer = world.checks_held(number(1));
        world.commits();
        assert_eq!(world.asked().permit.held, holder);
    }
}

#[test]
fn a_code_of_ours_that_follows_a_held_one_is_durable_before_the_answer() {
    let mut world = World::new();
    let (_, by_holder) = world.sends_out(number(1));
    let (mut answer, by_other) = world.sends_out(number(1));
    world.settles(by_holder, held());
    world.commits();
    world.settles(by_other, accepted());
    let writes = world.takes_commit();
    assert!(answer.is_unanswered());
    world.applied(&writes);
    assert!(matches!(answer.answer(), Ok(SendOutcome::Sent { .. })));
    world.crashes();
    let _answer = world.checks_held(number(1));
    world.commits();
    assert!(world.asks_no_gateway());
}

#[test]
fn an_attempt_that_no_gateway_compared_is_uncounted_durably() {
    let without_lease = Refusal::StoreUnavailable;
    for (result, answer, left) in [
        (Ok(CheckResult::NotAsked), Ok(CheckOutcome::GatewayFailed), 4),
        (Ok(CheckResult::Unknown), Ok(CheckOutcome::GatewayFailed), 3),
        (Err(without_lease), Err(without_lease), 4),
    ] {
        let mut world = World::new();
        world.has_held_code(number(1));
        assert_eq!(world.checks_and_hears(number(1), result), answer);
        world.crashes();
        world.now = world.now.plus(CHECK_BUDGET);
        assert_eq!(world.checks_and_hears(number(1), Ok(CheckResult::Wrong)), Ok(wrong(left)), "{result:?}");
    }
}

#[test]
fn after_a_crash_while_asking_the_last_time_the_number_is_locked() {
    let mut world = World::new();
    world.has_held_code(number(1));
    for _ in 0..4 {
        world.checks_and_hears(number(1), Ok(CheckResult::Wrong)).expect("an answer");
    }
    let _asking = world.checks_held(number(1));
    world.commits();
    world.crashes();
    world.now = world.now.plus(CHECK_BUDGET);
    let mut refused = world.sends(number(1));
    let writes = world.takes_commit();
    assert!(refused.is_unanswered(), "the lockout is made durable first");
    world.applied(&writes);
    assert!(matches!(refused.answer(), Ok(SendOutcome::Locked { .. })));
}

#[test]
fn an_answer_that_comes_to_a_shard_that_started_again_settles_the_check() {
    let mut world = World::new();
    world.has_held_code(number(1));
    let (answer, ask) = world.asks_about(number(1));
    world.crashes();
    world.check_reported(ask, CheckResult::Approved);
    world.commits();
    assert_eq!(answer.answer(), Ok(CheckOutcome::Approved));
    assert_eq!(world.numbers(), 0);
}

#[test]
fn meanwhile_other_commands_of_the_number_are_refused_and_other_numbers_are_not() {
    let mut world = World::new();
    let salt = world.has_held_code(number(1)).verification.salt;
    world.has_code(number(2));
    let (asked, _lost) = world.asks_about(number(1));
    let busy = Err(Refusal::NumberBusy);
    assert_eq!(world.checks_wrong(number(1)).answer(), busy);
    assert_eq!(world.sends(number(1)).answer(), Err(Refusal::NumberBusy));
    assert_eq!(world.not_sent(), 1, "the guard gets back what it has taken");
    assert_eq!(world.ends(number(1), Ending::Canceled).answer(), Err(Refusal::NumberBusy));
    assert_eq!(world.resumes(number(1), salt).reply(), Err(Refusal::NumberBusy), "it is made later");
    world.commits();
    let other = world.checks_wrong(number(2));
    world.commits();
    assert_eq!(other.answer(), Ok(wrong(4)));
    drop(asked);
    world.now = world.now.plus(CHECK_BUDGET);
    let check = world.checks_wrong(number(1));
    world.commits();
    assert_eq!(check.answer(), Ok(wrong(3)), "the lost attempt stays counted");
}

#[test]
fn a_commit_longer_than_the_check_budget_asks_no_gateway() {
    let mut world = World::new();
    world.has_held_code(number(1));
    let answer = world.checks_held(number(1));
    world.now = world.now.plus(CHECK_BUDGET);
    world.commits();
    assert!(world.asks_no_gateway());
    world.commits_if_any();
    assert_eq!(answer.answer(), Ok(CheckOutcome::GatewayFailed));
}

#[test]
fn the_list_of_attempts_has_a_late_answer_to_a_verification_that_is_gone() {
    let mut world = World::new();
    let salt = world.has_held_code(number(1)).verification.salt;
    world.plans(number(1), salt);
    let (_answer, check) = world.asks_about(number(1));
    world.now = world.now.plus(Duration::from_secs(1_000));
    world.check_reported(check, CheckResult::Wrong);
    world.commits_if_any();
    assert_eq!(world.live_salt(number(1)), None);
    assert_eq!(world.log(number(1), salt).map(|log| log.verify), Some(VerifyStatus::InvalidCode));
}
