//! Codes that a gateway holds: the behaviour of a shard, one test each.

use std::time::Duration;

use super::world::{Awaited, CHECK_BUDGET, World, accepted, held, number, wrong};
use crate::delivery::attempts::VerifyStatus;
use crate::domain::{Channel, GatewayName, Held};
use crate::engine::{CheckResult, PossiblySent, SendResult};
use crate::verification::numbers::{CheckOutcome, Refusal, Reply, SendOutcome};

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
    assert!(world.wants_no_commit(), "the attempt was counted before");
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
fn later_commands_of_the_number_wait_in_order_and_other_numbers_do_not() {
    let mut world = World::new();
    let first = world.has_held_code(number(1));
    world.has_code(number(2));
    let (one, ask) = world.asks_about(number(1));
    let mut two = world.checks_wrong(number(1));
    let mut send = world.sends(number(1));
    let mut resume = world.resumes(number(1), first.verification.salt);
    assert!(world.wants_no_commit());
    let other = world.checks_wrong(number(2));
    world.commits();
    assert_eq!(other.answer(), Ok(wrong(4)));
    assert!(two.is_unanswered() && send.is_unanswered() && resume.is_unanswered());
    world.check_reported(ask, CheckResult::Wrong);
    assert_eq!(world.commits().len(), 2, "the number, and the plan that is dropped, in one commit");
    assert_eq!(one.answer(), Ok(wrong(4)));
    assert_eq!(two.answer(), Ok(wrong(3)));
    assert_eq!(resume.reply(), Ok(()), "the send before it replaced the code");
    assert_ne!(world.dispatched().permitted.permit.verification.salt, first.verification.salt);
}

#[test]
fn when_the_answer_never_comes_the_wait_ends_by_itself() {
    let mut world = World::new();
    world.has_held_code(number(1));
    let (_asking, lost) = world.asks_about(number(1));
    let mut waiting = world.checks_wrong(number(1));
    world.sweeps();
    assert!(waiting.is_unanswered() && world.wants_no_commit());
    world.now = world.now.plus(CHECK_BUDGET);
    world.sweeps();
    world.commits();
    assert_eq!(waiting.answer(), Ok(wrong(3)), "the lost attempt stays counted");
    world.check_reported(lost, CheckResult::Approved);
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

/// Two checks of one number that are decided in one batch, so that the second waits for the first.
fn two_in_one_batch(world: &mut World) -> (Awaited<Reply<CheckOutcome>>, Awaited<Reply<CheckOutcome>>) {
    world.has_held_code(number(1));
    let _other = world.sends(number(2));
    let writes = world.takes_commit();
    let checks = (world.checks_held(number(1)), world.checks_wrong(number(1)));
    world.applied(&writes);
    world.dispatched();
    checks
}

#[test]
fn a_check_whose_commit_failed_asks_no_gateway_and_blocks_no_command() {
    let mut world = World::new();
    let (first, behind) = two_in_one_batch(&mut world);
    world.fails_to_commit();
    assert_eq!(first.answer(), Err(Refusal::OutcomeUnknown));
    assert!(world.asks_no_gateway());
    world.commits();
    assert_eq!(behind.answer(), Ok(wrong(3)));
}

#[test]
fn a_command_that_comes_after_the_wait_does_not_overtake_waiting_ones() {
    let mut world = World::new();
    let (_asking, waited) = two_in_one_batch(&mut world);
    world.commits();
    world.now = world.now.plus(CHECK_BUDGET);
    let late = world.checks_wrong(number(1));
    world.sweeps();
    world.commits();
    assert_eq!(waited.answer(), Ok(wrong(3)));
    assert_eq!(late.answer(), Ok(wrong(2)));
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
