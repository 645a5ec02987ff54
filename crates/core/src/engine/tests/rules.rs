//! Rules that neither model reaches: verifications that are ended, messages at once, and settings that change meanwhile.

use super::world::{ACCEPTED, FAILED, HELD, World, mins, name_of, permitted, secs};
use crate::domain::{Code, CodeLength};
use crate::engine::{
    BeginOutcome, CheckOutcome, CheckResult, CheckStep::Decided, Ending, FailureCount, NumberState,
    SendLimit, SettleOutcome, VerificationOptions,
};

impl World {
    /// Uses up verifications, as many as it takes.
    fn fails(&mut self, times: u8) {
        for _ in 0..times {
            let verification = self.state.at(&self.policy, self.now).verification();
            if verification.is_none_or(|v| !v.is_live(self.now)) {
                self.ends(Ending::Canceled);
                self.begins();
            }
            let step = self.checks_wrong();
            assert!(matches!(step, Decided(CheckOutcome::Wrong { .. } | CheckOutcome::LockedNow { .. })));
        }
    }
}

#[test]
fn a_count_above_a_lowered_limit_locks_at_the_next_wrong_code() {
    let mut number = World::with_a_fixed_lockout();
    number.begins();
    number.fails(3);
    number.policy.max_attempts = 2;
    let permit = number.permit();
    assert_eq!(number.settles(&permit, &ACCEPTED), SettleOutcome::Open { attempts_left: 0 });
    assert!(matches!(number.checks_wrong(), Decided(CheckOutcome::LockedNow { .. })));
}

#[test]
fn an_attempt_that_is_given_back_takes_its_hard_stop_back() {
    let mut number = World::of_a_new_service();
    number.fails(99);
    number.ends(Ending::Canceled);
    let permit = number.permit();
    number.settles(&permit, &HELD);
    let ask = number.asks();
    assert_eq!(number.state.locked_until(), None, "the gateway may still approve the code");
    number.check_reported(&ask, CheckResult::NotAsked);
    assert_eq!(number.failures().in_a_row, 99);
    let ask = number.asks();
    number.check_reported(&ask, CheckResult::Wrong);
    assert!(number.state.locked_until().is_some());
}

#[test]
fn a_hard_stop_lasts_and_its_count_goes_on_at_50() {
    let mut number = World::of_a_new_service();
    number.policy.max_attempts = 100;
    let first = number.begins();
    let permit = number.begins();
    for _ in 0..100 {
        number.checks_wrong();
    }
    let (until, code) = (number.now.plus(FailureCount::HARD_STOP_TIME), number.code_of(&permit));
    number.now = number.now.plus(mins(5));
    assert_eq!(number.ask(), BeginOutcome::Limited(SendLimit::NoChecksLeft { until }));
    for named in [None, Some(name_of(&permit))] {
        assert_eq!(number.submits(Some(&code), named), Decided(CheckOutcome::NoChecksLeft { until }));
    }
    number.settles(&first, &FAILED);
    number.ends(Ending::Canceled);
    number.now = number.now.plus(mins(90));
    assert_eq!(number.state.locked_until(), Some(until));
    number.now = until;
    assert_eq!(number.failures().in_a_row, 50);
}

#[test]
fn an_erasure_keeps_a_lockout_until_its_end_and_no_other_count() {
    for (mut number, most) in [(World::of_a_new_service(), 100), (World::with_a_fixed_lockout(), 5)] {
        number.fails(most - 1);
        number.ends(Ending::Erased);
        assert_eq!(number.state, NumberState::Fresh);
        number.fails(most);
        let until = number.state.locked_until().expect("a lockout");
        number.ends(Ending::Erased);
        assert_eq!((number.state.locked_until(), number.state.ends()), (Some(until), Some(until)));
        assert_eq!(number.state.verification(), None, "after {most} wrong codes");
        number.now = until;
        assert_eq!(number.state.at(&number.policy, number.now), NumberState::Fresh);
    }
}

#[test]
fn a_guess_after_a_cancel_is_not_counted_under_a_fixed_lockout() {
    let mut number = World::with_a_fixed_lockout();
    number.begins();
    number.ends(Ending::Canceled);
    number.checks_wrong();
    assert_eq!(number.failures(), FailureCount::NONE);
}

#[test]
fn a_message_that_fails_after_a_cancel_brings_no_code_back() {
    let mut number = World::of_a_new_service();
    number.policy.sends.keeps_code = false;
    let first = number.begins();
    let second = number.permit();
    number.ends(Ending::Canceled);
    number.settles(&second, &FAILED);
    let code = number.code_of(&first);
    assert_eq!(number.submits(Some(&code), None), Decided(CheckOutcome::NotFound));
}

#[test]
fn a_new_code_that_was_not_sent_gives_back_the_old_one_and_no_guess() {
    let wrong = |attempts_left| Decided(CheckOutcome::Wrong { attempts_left, live: true });
    let mut number = World::of_a_new_service();
    number.policy.sends.keeps_code = false;
    let first = number.begins();
    number.fails(3);
    let second = number.permit();
    assert_eq!(number.checks_wrong(), wrong(1));
    let mut used_up_on_the_way = number.clone();
    assert_eq!(used_up_on_the_way.checks_wrong(), wrong(0));
    used_up_on_the_way.settles(&second, &FAILED);
    number.settles(&second, &FAILED);
    assert_eq!(number.checks_wrong(), wrong(0));
    let refused = Decided(CheckOutcome::NoChecksLeft { until: first.verification.expires });
    for mut number in [number, used_up_on_the_way] {
        assert_eq!(number.submits(None, Some(name_of(&first))), refused);
    }
}

#[test]
fn a_further_message_beside_one_on_its_way_prolongs_its_code() {
    let mut number = World::of_a_new_service();
    number.policy.sends.keeps_code = false;
    let first = number.permit().verification;
    number.now = number.now.plus(secs(1));
    let second = number.permit().verification;
    assert_eq!((second.salt, second.expires), (first.salt, first.expires.plus(secs(1))));
}

#[test]
fn a_message_that_was_not_sent_does_not_count_beside_a_later_one() {
    let mut number = World::of_a_new_service();
    let first = number.permit();
    number.now = number.now.plus(mins(1));
    let second = number.permit();
    number.settles(&first, &FAILED);
    number.settles(&second, &ACCEPTED);
    (0..4).for_each(|_| _ = number.begins());
    assert!(matches!(number.ask(), BeginOutcome::Limited(SendLimit::NoSendsLeft { .. })));
}

fn supplied(code: &Code) -> VerificationOptions<'_> {
    VerificationOptions { supplied_code: Some(code), ..VerificationOptions::default() }
}

#[test]
fn another_supplied_code_waits_for_the_message_that_is_on_its_way() {
    let mut number = World::of_a_new_service();
    let [first, second] = ["111111", "222222"].map(|code| Code::parse(code).expect("a code"));
    let permit = permitted(number.ask_for(supplied(&first)));
    let refused = number.ask_for(supplied(&second));
    assert!(matches!(refused, BeginOutcome::Limited(SendLimit::StillSending { .. })));
    number.settles(&permit, &ACCEPTED);
    permitted(number.ask_for(supplied(&second)));
}

#[test]
fn each_carried_code_is_a_verification_of_its_own_without_limits() {
    let mut number = World::of_a_new_service();
    let mut last = None;
    for code in (0..40).map(|n| Code::from_value(n, CodeLength::SIX)) {
        let options = VerificationOptions { is_carried: true, ..supplied(&code) };
        let permit = permitted(number.ask_for(options));
        assert!(number.code_of(&permit).matches(&code));
        assert_eq!(permit.replaced.map(|v| v.salt), last, "the one before, also while it is sent");
        last = Some(permit.verification.salt);
    }
}
