//! Verifications that clients address by id, and a growing lockout.

use std::time::Duration;

use super::growing_steps::{Number, name_of};
use super::world::GatewayResult;
use super::world::{mins, secs};
use crate::domain::{Channel, Code, CodeLength, GatewayName, Held, Timestamp};
use crate::engine::{
    BeginOutcome, CheckOutcome, CheckResult, CheckStep, CheckStep::Decided, EndOutcome, Ending, LockoutRule,
    LockoutState, NumberState, Policy, SendLimit, SendOptions, SendPermit, SendRules, VerificationName,
};

impl Number {
    /// A number of a service whose lockout grows: 10 min, 5 checks, 5 sends, the code kept.
    pub(super) fn with_growing_waits() -> Self {
        Self::new(Policy {
            max_attempts: 5,
            lockout: LockoutRule::Growing,
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
    let mut number = Number::with_growing_waits();
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
    assert_ne!(third.verification.salt.track(), first.verification.salt.track());
}

#[test]
fn where_configured_a_further_send_has_a_new_code() {
    let mut number = Number::with_growing_waits();
    number.policy.sends.keeps_code = false;
    let first = number.begins();
    number.advance(mins(4));
    let second = number.begins();
    assert_eq!(second.verification.salt.track(), first.verification.salt.track());
    assert_ne!(second.verification.salt, first.verification.salt);
    assert_eq!(second.verification.expires, first.verification.expires.plus(mins(4)));
    let (old, new) = (number.code_of(&first), number.code_of(&second));
    assert!(matches!(number.submits(Some(&old), Some(name_of(&first))), Decided(CheckOutcome::Wrong { .. })));
    assert_eq!(number.submits(Some(&new), Some(name_of(&first))), Decided(CheckOutcome::Approved));
}

#[test]
fn after_five_messages_there_is_none_until_the_verification_is_over() {
    let mut number = Number::with_growing_waits();
    let expires = number.begins().verification.expires;
    for _ in 0..4 {
        number.begins();
    }
    assert_eq!(number.asks_for_a_code(), BeginOutcome::Limited(SendLimit::NoSendsLeft { until: expires }));
    number.advance(mins(10));
    number.begins();
}

#[test]
fn where_a_service_says_so_messages_cool_down_longer_each_time() {
    let mut number = Number::with_growing_waits();
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
fn five_wrong_codes_by_name_use_up_only_checks_by_name() {
    let mut number = Number::with_growing_waits();
    let permit = number.begins();
    for left in [4, 3, 2, 1, 0] {
        assert_eq!(
            number.guesses(Some(name_of(&permit))),
            Decided(CheckOutcome::Wrong { attempts_left: left, live: true })
        );
    }
    let code = number.code_of(&permit);
    let until = permit.verification.expires;
    assert_eq!(
        number.submits(Some(&code), Some(name_of(&permit))),
        Decided(CheckOutcome::NoChecksLeft { until })
    );
    assert_eq!(number.asks_for_a_code(), BeginOutcome::Limited(SendLimit::NoChecksLeft { until }));
    assert_eq!(number.guesses(None), Decided(CheckOutcome::Wrong { attempts_left: 4, live: true }));
    assert_eq!(number.clone().submits(Some(&code), None), Decided(CheckOutcome::Approved));
    assert!(matches!(number.ends(Ending::Canceled), EndOutcome::Ended(Some(_))));
    let permit = number.begins();
    let code = number.code_of(&permit);
    assert_eq!(number.submits(Some(&code), Some(name_of(&permit))), Decided(CheckOutcome::Approved));
}

#[test]
fn five_wrong_codes_by_number_use_up_only_checks_by_number() {
    let mut number = Number::with_growing_waits();
    let permit = number.begins();
    for left in [4, 3, 2, 1, 0] {
        assert_eq!(number.guesses(None), Decided(CheckOutcome::Wrong { attempts_left: left, live: true }));
    }
    let (code, until) = (number.code_of(&permit), permit.verification.expires);
    assert_eq!(number.submits(Some(&code), None), Decided(CheckOutcome::NoChecksLeft { until }));
    let lockout = number.state.lockout(&number.policy, number.now);
    assert_eq!(lockout, LockoutState { wrong_codes: 5, until: Some(until) }, "not the wait of 30 s");
    assert_eq!(number.submits(Some(&code), Some(name_of(&permit))), Decided(CheckOutcome::Approved));
}

#[test]
fn an_attacker_who_knows_only_the_number_cannot_lock_its_owner_out() {
    let mut number = Number::with_growing_waits();
    for round in 0..40 {
        let permit = number.begins();
        // As often as it gets an answer.
        while matches!(number.guesses(None), Decided(CheckOutcome::Wrong { .. })) {}
        let code = number.code_of(&permit);
        number.advance(mins(5));
        if round % 2 == 1 {
            assert_eq!(number.submits(Some(&code), Some(name_of(&permit))), Decided(CheckOutcome::Approved));
        } else {
            number.advance(mins(5));
        }
    }
}

#[test]
fn a_hundred_wrong_codes_without_the_name_do_not_stop_its_owner() {
    let mut number = Number::with_growing_waits();
    let mut guesses = 0;
    while guesses < 100 {
        number.begins();
        match number.guesses(None) {
            Decided(CheckOutcome::Wrong { .. }) => guesses += 1,
            Decided(CheckOutcome::NoChecksLeft { until }) => {
                number.now = until;
            }
            other => panic!("{other:?} after {guesses}"),
        }
        if matches!(number.asks_for_a_code(), BeginOutcome::Limited(SendLimit::NoSendsLeft { .. })) {
            number.ends(Ending::Canceled);
        }
    }
    number.advance(mins(60 * 24 * 29));
    let permit = number.begins();
    assert!(matches!(number.guesses(None), Decided(CheckOutcome::NoChecksLeft { .. })), "29 days later");
    let code = number.code_of(&permit);
    assert_eq!(number.submits(Some(&code), Some(name_of(&permit))), Decided(CheckOutcome::Approved));
    assert_eq!(number.state, NumberState::Fresh);
}

#[test]
fn those_without_the_name_wait_longer_each_time_up_to_an_hour() {
    let mut number = Number::with_growing_waits();
    let mut waits = Vec::new();
    while waits.len() < 9 {
        number.begins();
        match number.guesses(None) {
            Decided(CheckOutcome::Wrong { .. }) => {
                number.ends(Ending::Canceled);
                number.begins();
                if let Decided(CheckOutcome::NoChecksLeft { until }) = number.guesses(None) {
                    waits.push(until.since(number.now).as_secs());
                    number.now = until;
                    number.ends(Ending::Canceled);
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
}

#[test]
fn a_hundred_wrong_codes_by_name_stop_messages_for_thirty_days() {
    let mut number = Number::with_growing_waits();
    for _ in 0..20 {
        let permit = number.begins();
        for _ in 0..5 {
            number.guesses(Some(name_of(&permit)));
        }
        number.ends(Ending::Canceled);
    }
    let until = number.now.plus(mins(60 * 24 * 30));
    assert_eq!(number.asks_for_a_code(), BeginOutcome::Limited(SendLimit::NoChecksLeft { until }));
    number.advance(mins(60 * 24 * 29));
    assert_eq!(number.asks_for_a_code(), BeginOutcome::Limited(SendLimit::NoChecksLeft { until }));
    assert_eq!(number.state.lockout(&number.policy, number.now).until, Some(until));
    assert_eq!(number.ends(Ending::Cleared), EndOutcome::Ended(None));
    number.begins();
}

#[test]
fn the_hundredth_wrong_code_by_name_stops_no_check_by_number() {
    let mut number = Number::with_growing_waits();
    for _ in 0..19 {
        let permit = number.begins();
        for _ in 0..5 {
            number.guesses(Some(name_of(&permit)));
        }
        number.ends(Ending::Canceled);
    }
    let permit = number.begins();
    for _ in 0..5 {
        number.guesses(Some(name_of(&permit)));
    }
    let (code, until) = (number.code_of(&permit), number.now.plus(mins(60 * 24 * 30)));
    let refused = Decided(CheckOutcome::NoChecksLeft { until });
    assert_eq!(number.submits(Some(&code), Some(name_of(&permit))), refused);
    assert_eq!(number.submits(Some(&code), None), Decided(CheckOutcome::Approved));
}

#[test]
fn a_name_of_another_verification_is_not_found_and_counts_nothing() {
    let mut number = Number::with_growing_waits();
    let permit = number.begins();
    let before = number.state;
    let other = Some(VerificationName::of_track(!permit.verification.salt.track()));
    assert_eq!(number.guesses(other), Decided(CheckOutcome::NotFound));
    assert_eq!(number.state, before);
}

#[test]
fn without_a_verification_under_way_there_is_nothing_to_guess() {
    let mut number = Number::with_growing_waits();
    assert_eq!(number.guesses(None), Decided(CheckOutcome::NotFound));
    let permit = number.begins();
    number.guesses(None);
    number.advance(mins(10));
    let before = number.state;
    assert_eq!(number.guesses(None), Decided(CheckOutcome::NotFound));
    assert_eq!(number.guesses(Some(name_of(&permit))), Decided(CheckOutcome::NotFound));
    assert_eq!(number.state, before);
}

#[test]
fn a_code_that_the_caller_supplies_is_right_and_is_not_stored() {
    let mut number = Number::with_growing_waits();
    let brought = Code::parse("00420815").expect("a code");
    let BeginOutcome::Permitted(permit) = number.asks(Some(&brought), false) else { panic!("refused") };
    number.settles(&permit, GatewayResult::Accepted);
    assert!(number.code_of(&permit).matches(&brought));
    assert_ne!(permit.verification.offset(), 420_815);
    assert_eq!(number.submits(Some(&brought), None), Decided(CheckOutcome::Approved));
}

#[test]
fn another_supplied_code_waits_for_the_message_that_is_on_its_way() {
    let mut number = Number::with_growing_waits();
    let (first, second) = (Code::parse("111111").expect("a code"), Code::parse("222222").expect("a code"));
    let BeginOutcome::Permitted(permit) = number.asks(Some(&first), false) else { panic!("refused") };
    assert!(matches!(
        number.asks(Some(&second), false),
        BeginOutcome::Limited(SendLimit::StillSending { .. })
    ));
    number.settles(&permit, GatewayResult::Accepted);
    let BeginOutcome::Permitted(again) = number.asks(Some(&second), false) else { panic!("refused") };
    assert_eq!(again.verification.salt.track(), permit.verification.salt.track());
    assert!(matches!(number.submits(Some(&first), None), Decided(CheckOutcome::Wrong { .. })));
    assert_eq!(number.submits(Some(&second), None), Decided(CheckOutcome::Approved));
}

#[test]
fn a_verification_that_was_not_sent_leaves_no_state() {
    let mut number = Number::with_growing_waits();
    let BeginOutcome::Permitted(permit) = number.asks_for_a_code() else { panic!("refused") };
    number.settles(&permit, GatewayResult::Failed);
    assert_eq!(number.state, NumberState::Fresh);
}

#[test]
fn a_new_code_that_was_not_sent_gives_back_the_old_one_and_no_guess() {
    let mut number = Number::with_growing_waits();
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
    let mut number = Number::with_growing_waits();
    let permit = number.begins();
    let code = number.code_of(&permit);
    assert!(matches!(number.ends(Ending::Canceled), EndOutcome::Ended(Some(_))));
    assert_eq!(number.submits(Some(&code), Some(name_of(&permit))), Decided(CheckOutcome::NotFound));
    assert_eq!(number.ends(Ending::Approved), EndOutcome::NotFound);
    number.begins();
    number.guesses(None);
    assert!(matches!(number.ends(Ending::Approved), EndOutcome::Ended(Some(_))));
    assert_eq!(number.state, NumberState::Fresh);
}

#[test]
fn only_an_attempt_that_a_gateway_did_not_look_at_is_given_back() {
    for (result, left) in [(CheckResult::NotAsked, 4), (CheckResult::Wrong, 3), (CheckResult::Unknown, 3)] {
        let mut number = Number::with_growing_waits();
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
