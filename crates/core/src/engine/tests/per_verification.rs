//! What each lockout rule allows: codes count for one verification, the default of new services, or for the number.

use super::world::{ACCEPTED, FAILED, World, mins, name_of, no_live_code, permitted, secs, wrong};
use crate::domain::{Code, CodeLength};
use crate::engine::{
    BeginOutcome, CheckOutcome, CheckResult, CheckStep::Decided, EndOutcome, Ending, FailureCount,
    LockoutRule, NumberState, ResumeOutcome, SendLimit, Verification, VerificationOptions, resume,
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

    fn verification(&self) -> Option<Verification> {
        self.state.at(&self.policy, self.now).verification()
    }
}

#[test]
fn an_attempt_that_is_given_back_takes_its_hard_stop_back() {
    let mut number = World::of_a_new_service();
    number.fails(99);
    number.ends(Ending::Canceled);
    number.sends_held();
    let ask = number.asks();
    assert_eq!(number.state.locked_until(), None, "the gateway may still approve the code");
    number.check_reported(&ask, CheckResult::NotAsked);
    assert_eq!(number.failures().in_a_row, 99);
    number.asks_in_vain();
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
    number.advance(mins(5));
    assert_eq!(number.ask(), BeginOutcome::Limited(SendLimit::NoChecksLeft { until }));
    for named in [None, Some(name_of(&permit))] {
        assert_eq!(number.submits(Some(&code), named), Decided(CheckOutcome::NoChecksLeft { until }));
    }
    number.settles(&first, &FAILED);
    number.ends(Ending::Canceled);
    number.advance(mins(90));
    assert_eq!(number.state.locked_until(), Some(until));
    number.now = until;
    assert_eq!(number.failures().in_a_row, 50);
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
fn a_check_that_no_gateway_compared_is_not_counted_under_a_fixed_lockout() {
    let mut number = World::of_a_new_service();
    number.sends_held();
    number.asks_in_vain();
    number.policy.lockout = LockoutRule::Fixed(mins(90));
    let ask = number.asks();
    number.check_reported(&ask, CheckResult::NotAsked);
    assert_eq!(number.failures().in_a_row, 1);
    number.asks_in_vain();
    assert_eq!(number.failures().in_a_row, 2);
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

#[test]
fn of_two_messages_at_once_the_wait_of_the_one_that_was_sent_stays() {
    for first_fails in [true, false] {
        let mut number = World::of_a_new_service();
        number.begins();
        number.advance(secs(30));
        let one = number.permit();
        number.advance(secs(30));
        let two = number.permit();
        let (failed, sent) = if first_fails { (one, two) } else { (two, one) };
        number.settles(&failed, &FAILED);
        let counted = number.state.verification().and_then(|v| v.counted).expect("its counts");
        let last = sent.verification.counted.expect("its counts").last_send;
        assert_eq!((counted.sends, counted.last_send), (2, last));
    }
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
    number.ends(Ending::Approved);
    assert_eq!(number.state, NumberState::Fresh);
}

#[test]
fn a_new_code_that_was_not_sent_gives_back_the_old_one_and_no_guess() {
    let mut number = World::of_a_new_service();
    number.policy.sends.keeps_code = false;
    let first = number.begins();
    number.fails(3);
    let second = number.permit();
    assert_eq!(number.checks_wrong(), Decided(wrong(1)));
    number.settles(&second, &FAILED);
    assert_eq!(number.checks_wrong(), Decided(wrong(0)));
    let refused = Decided(CheckOutcome::NoChecksLeft { until: first.verification.expires });
    assert_eq!(number.submits(None, Some(name_of(&first))), refused);
}

#[test]
fn the_wait_between_messages_ends_at_its_end() {
    let mut number = World::of_a_new_service();
    number.policy.sends.cools_down = true;
    number.begins();
    let BeginOutcome::Limited(limit) = number.ask() else { panic!("no wait") };
    number.now = limit.until();
    number.permit();
}

#[test]
fn a_guess_after_a_cancel_is_not_counted_under_a_fixed_lockout() {
    let mut number = World::of_service(World::new().policy);
    number.begins();
    number.ends(Ending::Canceled);
    assert_eq!([number.checks_wrong(), number.checks_wrong()], [no_live_code(5); 2]);
}
