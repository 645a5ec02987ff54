//! Verifications that clients address by id, in a service without a fixed lockout.

use std::time::Duration;

use super::verification_steps::{Number, name_of};
use super::world::GatewayResult;
use super::world::{mins, secs};
use crate::domain::{Channel, Code, CodeLength, GatewayName, Held, Timestamp};
use crate::engine::{
    BeginOutcome, CheckOutcome, CheckResult, CheckStep, CheckStep::Decided, EndOutcome, Ending, LockoutRule,
    Policy, SendLimit, SendOptions, SendPermit, SendRules, VerificationName,
};

impl Number {
    /// A number of a new service: 10 min, 5 checks, 5 sends, the code kept.
    pub(super) fn of_a_new_service() -> Self {
        Self::new(Policy {
            max_attempts: 5,
            lockout: LockoutRule::Verification,
            code: SendOptions { life: mins(10), length: CodeLength::SIX },
            sends: SendRules { max: Some(5), keeps_code: true, cools_down: false },
        })
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.now = self.now.plus(by);
    }

    pub(super) fn asks_for_a_code(&mut self) -> BeginOutcome {
        self.asks(None, false)
    }

    /// Begins, or sends again, and the gateway takes the message.
    pub(super) fn begins(&mut self) -> SendPermit {
        let BeginOutcome::Permitted(permit) = self.asks_for_a_code() else { panic!("refused") };
        self.settles(&permit, GatewayResult::Accepted);
        permit
    }

    pub(super) fn guesses(&mut self, named: Option<VerificationName>) -> CheckStep {
        self.submits(None, named)
    }
}

#[test]
fn a_further_send_repeats_the_code_and_its_end() {
    let mut number = Number::of_a_new_service();
    let first = number.begins();
    number.advance(mins(4));
    let second = number.begins();
    assert_eq!(
        (second.verification.salt, second.verification.expires),
        (first.verification.salt, first.verification.expires)
    );
    assert_eq!(
        second.verification.counted.map(|c| (c.sends, c.begun)),
        Some((2, Timestamp::from_millis(1_700_000_000_000)))
    );
    number.advance(mins(6));
    let third = number.begins();
    assert_ne!(third.verification.salt.id(), first.verification.salt.id());
}

#[test]
fn where_configured_a_further_send_has_a_new_code() {
    let mut number = Number::of_a_new_service();
    number.policy.sends.keeps_code = false;
    let first = number.begins();
    number.advance(mins(4));
    let second = number.begins();
    assert_eq!(second.verification.salt.id(), first.verification.salt.id());
    assert_ne!(second.verification.salt, first.verification.salt);
    assert_eq!(second.verification.expires, first.verification.expires.plus(mins(4)));
    let (old, new) = (number.code_of(&first), number.code_of(&second));
    assert!(matches!(number.submits(Some(&old), Some(name_of(&first))), Decided(CheckOutcome::Wrong { .. })));
    assert_eq!(number.submits(Some(&new), Some(name_of(&first))), Decided(CheckOutcome::Approved));
}

#[test]
fn a_verification_has_at_most_five_messages_in_its_first_second() {
    let mut number = Number::of_a_new_service();
    number.policy.sends.max = None;
    for _ in 0..5 {
        number.begins();
    }
    assert_eq!(number.asks_for_a_code(), BeginOutcome::Limited(SendLimit::AtOnce));
    number.advance(secs(1));
    number.begins();
}

#[test]
fn where_a_service_says_so_messages_cool_down_longer_each_time() {
    let mut number = Number::of_a_new_service();
    number.policy.sends = SendRules { max: None, keeps_code: true, cools_down: true };
    number.policy.code.life = mins(60);
    number.begins();
    for wait in [30, 60, 120, 300, 300] {
        number.advance(secs(wait - 1));
        let until = number.now.plus(secs(1));
        assert_eq!(number.asks_for_a_code(), BeginOutcome::Limited(SendLimit::CoolingDown { until }));
        number.advance(secs(1));
        number.begins();
    }
}

#[test]
fn a_further_message_that_was_not_sent_starts_no_wait_and_uses_none_of_the_messages() {
    let mut number = Number::of_a_new_service();
    number.policy.sends = SendRules { max: Some(2), keeps_code: true, cools_down: true };
    let first = number.begins();
    for _ in 0..3 {
        number.advance(secs(30));
        let BeginOutcome::Permitted(further) = number.asks_for_a_code() else { panic!("permitted") };
        number.settles(&further, GatewayResult::Failed);
        let counted = number.state.verification().and_then(|v| v.counted);
        assert_eq!(counted, first.verification.counted);
    }
    // One that may arrive counts.
    let BeginOutcome::Permitted(further) = number.asks_for_a_code() else { panic!("the wait is over") };
    number.settles(&further, GatewayResult::Unknown);
    assert!(matches!(number.asks_for_a_code(), BeginOutcome::Limited(SendLimit::NoSendsLeft { .. })));
}

#[test]
fn of_two_messages_at_once_the_wait_of_the_one_that_was_sent_stays() {
    for first_fails in [true, false] {
        let mut number = Number::of_a_new_service();
        number.policy.sends.cools_down = false;
        number.begins();
        number.advance(secs(30));
        let BeginOutcome::Permitted(one) = number.asks_for_a_code() else { panic!("permitted") };
        number.advance(secs(30));
        let BeginOutcome::Permitted(two) = number.asks_for_a_code() else { panic!("permitted") };
        let (failed, sent) = if first_fails { (one, two) } else { (two, one) };
        number.settles(&failed, GatewayResult::Failed);
        let counted = number.state.verification().and_then(|v| v.counted).expect("its counts");
        let last = sent.verification.counted.expect("its counts").last_send;
        assert_eq!((counted.sends, counted.last_send), (2, last));
    }
}

#[test]
fn a_code_that_the_caller_supplies_is_right_and_is_not_stored() {
    let mut number = Number::of_a_new_service();
    let brought = Code::parse("00420815").expect("a code");
    let BeginOutcome::Permitted(permit) = number.asks(Some(&brought), false) else { panic!("refused") };
    number.settles(&permit, GatewayResult::Accepted);
    assert!(number.code_of(&permit).matches(&brought));
    assert_ne!(permit.verification.offset(), 420_815);
    assert_eq!(number.submits(Some(&brought), None), Decided(CheckOutcome::Approved));
}

#[test]
fn another_supplied_code_waits_for_the_message_that_is_on_its_way() {
    let mut number = Number::of_a_new_service();
    let (first, second) = (Code::parse("111111").expect("a code"), Code::parse("222222").expect("a code"));
    let BeginOutcome::Permitted(permit) = number.asks(Some(&first), false) else { panic!("refused") };
    assert!(matches!(
        number.asks(Some(&second), false),
        BeginOutcome::Limited(SendLimit::StillSending { .. })
    ));
    number.settles(&permit, GatewayResult::Accepted);
    let BeginOutcome::Permitted(again) = number.asks(Some(&second), false) else { panic!("refused") };
    assert_eq!(again.verification.salt.id(), permit.verification.salt.id());
    assert!(matches!(number.submits(Some(&first), None), Decided(CheckOutcome::Wrong { .. })));
    assert_eq!(number.submits(Some(&second), None), Decided(CheckOutcome::Approved));
}

#[test]
fn a_new_code_that_was_not_sent_gives_back_the_old_one_and_no_guess() {
    let mut number = Number::of_a_new_service();
    number.policy.sends.keeps_code = false;
    let first = number.begins();
    for left in [4, 3, 2, 1] {
        assert_eq!(
            number.guesses(Some(name_of(&first))),
            Decided(CheckOutcome::Wrong { attempts_left: left, live: true })
        );
    }
    let BeginOutcome::Permitted(second) = number.asks_for_a_code() else { panic!("refused") };
    assert_eq!(
        number.guesses(Some(name_of(&first))),
        Decided(CheckOutcome::Wrong { attempts_left: 0, live: true })
    );
    number.settles(&second, GatewayResult::Failed);
    let refused = Decided(CheckOutcome::NoChecksLeft { until: first.verification.expires });
    assert_eq!(number.guesses(Some(name_of(&first))), refused);
}

#[test]
fn an_end_by_the_caller_is_the_end() {
    let mut number = Number::of_a_new_service();
    let permit = number.begins();
    let code = number.code_of(&permit);
    assert!(matches!(number.ends(Ending::Canceled), EndOutcome::Ended(Some(_))));
    assert_eq!(number.submits(Some(&code), Some(name_of(&permit))), Decided(CheckOutcome::NotFound));
    assert_eq!(number.ends(Ending::Approved), EndOutcome::NotFound);
    number.begins();
    number.guesses(None);
    assert!(matches!(number.ends(Ending::Approved), EndOutcome::Ended(Some(_))));
    assert_eq!((number.state.verification(), number.state.failures()), (None, 0));
}

#[test]
fn only_an_attempt_that_a_gateway_did_not_look_at_is_given_back() {
    for (result, left) in [(CheckResult::NotAsked, 4), (CheckResult::Wrong, 3), (CheckResult::Unknown, 3)] {
        let mut number = Number::of_a_new_service();
        let BeginOutcome::Permitted(permit) = number.asks_for_a_code() else { panic!("refused") };
        let held = Held { by: GatewayName::TwilioVerify, channel: Channel::Sms };
        number.settles(&permit, GatewayResult::Held(held));
        let code = Code::parse("000000").expect("a code");
        let CheckStep::AskGateway(ask) = number.submits(Some(&code), Some(name_of(&permit))) else {
            panic!("not asked")
        };
        number.check_reported(&ask, result);
        assert_eq!(
            number.guesses(Some(name_of(&permit))),
            Decided(CheckOutcome::Wrong { attempts_left: left, live: true })
        );
    }
}
