//! The default of new services: five codes for one verification, however they are checked.

use super::verification_steps::name_of;
use super::world::{GatewayResult, HOLDER, World, mins, secs};
use crate::domain::Code;
use crate::engine::{
    BeginOutcome, CheckOutcome, CheckResult, CheckStep, CheckStep::Decided, EndOutcome, Ending, FailureCount,
    LockoutRule, NumberState, OpenNumber, ResumeOutcome, SendLimit, merge_pessimistic, resume,
};

const DAY: u64 = 24 * 60;

impl World {
    /// Uses up verifications, as many as it takes.
    fn fails(&mut self, times: u8) {
        for _ in 0..times {
            if self.verification().is_none_or(|v| !v.is_live(self.now)) {
                self.ends(Ending::Canceled);
                self.begins();
            }
            assert!(matches!(self.checks_wrong(), Decided(CheckOutcome::Wrong { .. })));
        }
    }

    fn verification(&self) -> Option<crate::engine::Verification> {
        self.state.at(&self.policy, self.now).verification()
    }

    fn failures(&self) -> FailureCount {
        match self.state.at(&self.policy, self.now) {
            NumberState::Open(open) => open.failures,
            _ => FailureCount::NONE,
        }
    }
}

#[test]
fn the_hundredth_failure_stops_sends_and_checks_for_thirty_days() {
    let mut number = World::of_a_new_service();
    number.fails(98);
    let permit = number.begins();
    assert_eq!(number.checks_wrong(), Decided(CheckOutcome::Wrong { attempts_left: 1, live: true }));
    assert_eq!(number.checks_wrong(), Decided(CheckOutcome::Wrong { attempts_left: 0, live: true }));
    let (code, until) = (number.code_of(&permit), number.now.plus(mins(30 * DAY)));
    assert_eq!(number.submits(Some(&code), None), Decided(CheckOutcome::NoChecksLeft { until }));
    number.ends(Ending::Canceled);
    number.advance(secs(30 * DAY * 60 - 1));
    assert_eq!(number.ask(), BeginOutcome::Limited(SendLimit::NoChecksLeft { until }));
    number.advance(secs(1));
    assert_eq!(number.failures().in_a_row, 50);
    number.fails(50);
    assert!(matches!(number.ask(), BeginOutcome::Limited(SendLimit::NoChecksLeft { .. })));
}

#[test]
fn a_hundred_wrong_codes_stop_the_number_although_the_owner_signs_in_between() {
    let mut number = World::of_a_new_service();
    let mut failed = 0;
    while number.state.locked_until().is_none() {
        number.fails(5);
        failed += 5;
        if number.state.locked_until().is_some() {
            break;
        }
        number.ends(Ending::Canceled);
        let permit = number.begins();
        let code = number.code_of(&permit);
        assert_eq!(number.submits(Some(&code), None), Decided(CheckOutcome::Approved));
    }
    assert_eq!(failed, 100);
    let until = number.now.plus(FailureCount::HARD_STOP_TIME);
    assert_eq!(number.ask(), BeginOutcome::Limited(SendLimit::NoChecksLeft { until }));
    number.now = until;
    number.begins();
    assert_eq!(number.failures().in_a_row, 5, "those since the last success");
}

#[test]
fn a_person_with_three_typing_errors_a_day_is_never_stopped() {
    let mut number = World::of_a_new_service();
    for _ in 0..365 {
        number.fails(3);
        let permit = number.begins();
        let code = number.code_of(&permit);
        assert_eq!(number.submits(Some(&code), None), Decided(CheckOutcome::Approved));
        number.advance(mins(DAY));
    }
}

#[test]
fn an_attempt_that_is_given_back_takes_its_hard_stop_back() {
    let mut number = World::of_a_new_service();
    number.fails(99);
    number.ends(Ending::Canceled);
    let permit = number.permit();
    number.settles(&permit, GatewayResult::Held(HOLDER));
    let code = Code::parse("000000").expect("a code");
    let CheckStep::AskGateway(ask) = number.submits(Some(&code), None) else { panic!("not asked") };
    assert_eq!(number.state.locked_until(), None, "the gateway may still approve the code");
    number.check_reported(&ask, CheckResult::NotAsked);
    assert_eq!(number.failures().in_a_row, 99);
    let CheckStep::AskGateway(ask) = number.submits(Some(&code), None) else { panic!("not asked") };
    number.check_reported(&ask, CheckResult::Wrong);
    assert!(number.state.locked_until().is_some());
}

#[test]
fn a_hard_stop_keeps_its_end_while_the_lockout_is_fixed() {
    let mut number = World::of_a_new_service();
    number.fails(98);
    let permit = number.begins();
    number.checks_wrong();
    number.checks_wrong();
    let (until, code) = (number.now.plus(FailureCount::HARD_STOP_TIME), number.code_of(&permit));
    number.policy.lockout = LockoutRule::Fixed(mins(90));
    assert_eq!(number.submits(Some(&code), None), Decided(CheckOutcome::Locked { until }));
    assert_eq!(number.checks_wrong(), Decided(CheckOutcome::Locked { until }));
    assert_eq!(number.ask(), BeginOutcome::Locked { until });
    number.policy.lockout = LockoutRule::Verification;
    number.advance(mins(90));
    assert_eq!(number.state.at(&number.policy, number.now).locked_until(), Some(until));
    number.now = until;
    assert_eq!(number.state.at(&number.policy, number.now).locked_until(), None);
}

#[test]
fn a_refusal_does_not_store_an_expired_record_again() {
    for lockout in [LockoutRule::Fixed(mins(60)), LockoutRule::Verification] {
        let mut number = World::of_a_new_service();
        number.policy.lockout = lockout;
        let permit = number.begins();
        number.advance(mins(60 * DAY));
        let expired = number.state;
        assert_eq!(number.ends(Ending::Canceled), EndOutcome::NotFound);
        assert_eq!(number.state, NumberState::Fresh, "{lockout:?}");
        let resumed = resume(expired, &number.rules(), permit.verification.salt, number.now);
        assert_eq!(resumed, (NumberState::Fresh, ResumeOutcome::NotUsable), "{lockout:?}");
    }
}

#[test]
fn after_a_hard_stop_the_count_goes_on_at_50_whatever_the_rule_was() {
    for lockout in [LockoutRule::Fixed(mins(60)), LockoutRule::Verification] {
        let mut number = World::of_a_new_service();
        number.policy.max_attempts = 100;
        let first = number.begins();
        let permit = number.begins();
        for _ in 0..100 {
            number.checks_wrong();
        }
        let until = number.now.plus(FailureCount::HARD_STOP_TIME);
        number.policy.lockout = lockout;
        number.ask();
        number.checks_wrong();
        number.submits(None, Some(name_of(&permit)));
        number.settles(&first, GatewayResult::Failed);
        number.ends(Ending::Canceled);
        number.now = until;
        number.policy.lockout = LockoutRule::Verification;
        assert_eq!(number.failures().in_a_row, 50, "{lockout:?}");
    }
}

#[test]
fn after_a_change_from_a_fixed_lockout_the_count_goes_on() {
    for named in [true, false] {
        let mut number = World::of_a_new_service();
        (number.policy.max_attempts, number.policy.lockout) = (100, LockoutRule::Fixed(mins(90)));
        number.begins();
        for _ in 0..99 {
            number.checks_wrong();
        }
        number.policy.lockout = LockoutRule::Verification;
        number.advance(mins(11));
        number.begins();
        number.advance(mins(11));
        let name = name_of(&number.begins());
        let guess = |number: &mut World| number.submits(None, named.then_some(name));
        assert!(matches!(guess(&mut number), Decided(CheckOutcome::Wrong { .. })), "{named}");
        let until = number.now.plus(FailureCount::HARD_STOP_TIME);
        assert_eq!(guess(&mut number), Decided(CheckOutcome::NoChecksLeft { until }), "{named}");
    }
}

#[test]
fn wrong_codes_under_a_fixed_lockout_add_to_a_count_by_verification() {
    for during in [98, 99] {
        let mut number = World::of_a_new_service();
        number.policy.max_attempts = 200;
        let name = name_of(&number.begins());
        number.submits(None, Some(name));
        number.policy.lockout = LockoutRule::Fixed(mins(90));
        for _ in 0..during {
            assert!(matches!(number.submits(None, Some(name)), Decided(CheckOutcome::Wrong { .. })));
        }
        number.policy.lockout = LockoutRule::Verification;
        let stop = number.now.plus(FailureCount::HARD_STOP_TIME);
        if during == 98 {
            assert!(
                matches!(number.submits(None, Some(name)), Decided(CheckOutcome::Wrong { .. })),
                "the hundredth"
            );
        }
        assert_eq!(
            number.submits(None, Some(name)),
            Decided(CheckOutcome::NoChecksLeft { until: stop }),
            "{during}"
        );
    }
}

#[test]
fn a_check_that_no_gateway_compared_is_not_counted_under_a_fixed_lockout() {
    let mut number = World::of_a_new_service();
    let permit = number.permit();
    number.settles(&permit, GatewayResult::Held(HOLDER));
    let (code, name) = (Code::parse("000000").expect("a code"), name_of(&permit));
    let asks = |number: &mut World, result| match number.submits(Some(&code), Some(name)) {
        CheckStep::AskGateway(permit) => number.check_reported(&permit, result),
        step => panic!("{step:?}"),
    };
    asks(&mut number, CheckResult::Wrong);
    let count = |number: &World| match number.state {
        NumberState::Open(open) => open.failures.in_a_row,
        _ => 0,
    };
    number.policy.lockout = LockoutRule::Fixed(mins(90));
    asks(&mut number, CheckResult::NotAsked);
    assert_eq!(count(&number), 1);
    asks(&mut number, CheckResult::Wrong);
    assert_eq!(count(&number), 2);
}

#[test]
fn a_message_that_fails_after_a_cancel_brings_no_code_back() {
    let mut number = World::of_a_new_service();
    number.policy.sends.keeps_code = false;
    let first = number.begins();
    let second = number.permit();
    number.ends(Ending::Canceled);
    number.settles(&second, GatewayResult::Failed);
    let code = number.code_of(&first);
    assert_eq!(number.submits(Some(&code), None), Decided(CheckOutcome::NotFound));
}

#[test]
fn after_a_failed_commit_a_hard_stop_that_has_ended_hides_no_failure() {
    let mut number = World::of_a_new_service();
    number.fails(100);
    number.advance(mins(30 * DAY));
    let before = number.state;
    number.fails(1);
    let merged = merge_pessimistic(before, number.state, number.now);
    let NumberState::Open(OpenNumber { failures, .. }) = merged else { panic!("{merged:?}") };
    assert_eq!((failures.in_a_row, failures.last), (51, number.now));
}

#[test]
fn an_erasure_keeps_a_hard_stop_until_its_end_and_no_other_count() {
    let mut number = World::of_a_new_service();
    number.fails(99);
    number.ends(Ending::Erased);
    assert_eq!(number.state, NumberState::Fresh);

    number.fails(100);
    let until = number.state.locked_until().expect("a hard stop");
    number.ends(Ending::Erased);
    assert_eq!(number.state.locked_until(), Some(until));
    assert_eq!((number.state.ends(), number.verification()), (Some(until), None));
    number.now = until;
    assert_eq!(number.state.at(&number.policy, number.now), NumberState::Fresh);
}
