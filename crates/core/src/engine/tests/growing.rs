//! Verifications that are asked for by themselves, and a lockout that grows.

use std::time::Duration;

use super::world::GatewayResult;
use super::world::rules;
use super::world::{mins, secs};
use crate::domain::{Channel, Code, CodeLength, PhoneNumber, ServerKey, ServiceId, Timestamp};
use crate::domain::{GatewayName, Held};
use crate::engine::{
    Begin, BeginOutcome, CheckOutcome, CheckResult, CheckStep, CheckStep::Decided, EndOutcome, Ending,
    Lockout, NumberState, OwnVerification, Policy, Rules, Salt, SendOptions, SendPermit, SendRules,
    Submitted, VerificationName, begin, check, code_of, end, settle, settle_check,
};

struct World {
    state: NumberState,
    policy: Policy,
    now: Timestamp,
    key: ServerKey,
    number: PhoneNumber,
    salts: u128,
}

const SERVICE: ServiceId = ServiceId::new(7);

impl World {
    /// What a new service has: 10 min, 5 checks, 5 sends, the code kept.
    fn new() -> Self {
        Self {
            state: NumberState::Fresh,
            policy: Policy {
                max_attempts: 5,
                lockout: mins(24 * 60),
                kind: Lockout::Growing,
                code: SendOptions { life: mins(10), length: CodeLength::SIX },
                sends: SendRules { max: Some(5), keeps_code: true, cools_down: false },
            },
            now: Timestamp::from_millis(1_700_000_000_000),
            key: ServerKey::from_bytes([7; 32]),
            number: PhoneNumber::from_u64(14_155_552_671).expect("a number"),
            salts: 0,
        }
    }

    fn rules(&self) -> Rules<'_> {
        rules(self.policy, &self.key)
    }

    fn advance(&mut self, by: Duration) {
        self.now = self.now.plus(by);
    }

    fn asks_with(&mut self, brought: Option<&Code>, silent: bool) -> BeginOutcome {
        self.salts += 1;
        let salt = Salt(self.salts.wrapping_mul(0x9E37_79B9_7F4A_7C15_0000_0000_0000_0001).to_be_bytes());
        let request = Begin {
            service: SERVICE,
            number: self.number,
            options: self.policy.code,
            channel: Channel::Sms,
            own: Some(OwnVerification { brought, silent }),
        };
        let (next, outcome) = begin(self.state, &self.rules(), request, salt, self.now);
        self.state = next;
        outcome
    }

    fn asks(&mut self) -> BeginOutcome {
        self.asks_with(None, false)
    }

    /// Begins, or sends again, and the gateway takes the message.
    fn begins(&mut self) -> SendPermit {
        let BeginOutcome::Permitted(permit) = self.asks() else { panic!("refused") };
        self.settles(&permit, GatewayResult::Accepted);
        permit
    }

    fn settles(&mut self, permit: &SendPermit, result: GatewayResult) {
        self.state = settle(self.state, &self.rules(), permit, &result.into(), self.now).0;
    }

    fn code(&self, permit: &SendPermit) -> Code {
        code_of(&self.key, &permit.salt, self.number, SERVICE, permit.length, permit.offset())
    }

    fn submits(&mut self, code: Option<&Code>, named: impl Into<Option<VerificationName>>) -> CheckStep {
        let named = named.into();
        let submitted = Submitted { code, number: self.number, service: SERVICE, named };
        let (next, outcome) = check(self.state, &self.rules(), submitted, self.now);
        self.state = next;
        outcome
    }

    fn guesses(&mut self, named: impl Into<Option<VerificationName>>) -> CheckStep {
        self.submits(None, named)
    }

    fn ends(&mut self, ending: Ending) -> EndOutcome {
        let (next, outcome) = end(self.state, &self.rules(), ending, None, self.now);
        self.state = next;
        outcome
    }
}

/// What a check by this verification's id names.
fn name(permit: &SendPermit) -> impl Into<Option<VerificationName>> {
    VerificationName::of_track(permit.salt.track())
}

#[test]
fn a_further_send_repeats_the_code_and_its_end() {
    let mut world = World::new();
    let first = world.begins();
    world.advance(mins(4));
    let second = world.begins();
    assert_eq!((second.salt, second.expires), (first.salt, first.expires));
    assert_eq!(
        second.counted.map(|c| (c.sends, c.begun)),
        Some((2, Timestamp::from_millis(1_700_000_000_000)))
    );
    world.advance(mins(6));
    let third = world.begins();
    assert_ne!(third.salt.track(), first.salt.track());
}

#[test]
fn where_configured_a_further_send_has_a_new_code() {
    let mut world = World::new();
    world.policy.sends.keeps_code = false;
    let first = world.begins();
    world.advance(mins(4));
    let second = world.begins();
    assert_eq!(second.salt.track(), first.salt.track());
    assert_ne!(second.salt, first.salt);
    assert_eq!(second.expires, first.expires.plus(mins(4)));
    let (old, new) = (world.code(&first), world.code(&second));
    assert!(matches!(world.submits(Some(&old), name(&first)), Decided(CheckOutcome::Wrong { .. })));
    assert_eq!(world.submits(Some(&new), name(&first)), Decided(CheckOutcome::Approved));
}

#[test]
fn after_five_messages_there_is_none_until_the_verification_is_over() {
    let mut world = World::new();
    let expires = world.begins().expires;
    for _ in 0..4 {
        world.begins();
    }
    assert_eq!(world.asks(), BeginOutcome::NoSendsLeft { until: expires });
    world.advance(mins(10));
    world.begins();
}

#[test]
fn where_a_service_says_so_messages_cool_down_longer_each_time() {
    let mut world = World::new();
    world.policy.sends = SendRules { max: None, keeps_code: true, cools_down: true };
    world.policy.code.life = mins(60);
    world.begins();
    for wait in [30, 60, 120, 300, 300] {
        world.advance(secs(wait - 1));
        let until = world.now.plus(secs(1));
        assert_eq!(world.asks(), BeginOutcome::CoolingDown { until });
        world.advance(secs(1));
        world.begins();
    }
}

#[test]
fn five_wrong_codes_by_name_use_the_verification_up_and_not_the_number() {
    let mut world = World::new();
    let permit = world.begins();
    for left in [4, 3, 2, 1, 0] {
        assert_eq!(
            world.guesses(name(&permit)),
            Decided(CheckOutcome::Wrong { attempts_left: left, live: true })
        );
    }
    let code = world.code(&permit);
    let until = Some(permit.expires);
    assert_eq!(world.submits(Some(&code), name(&permit)), Decided(CheckOutcome::NoChecksLeft { until }));
    assert_eq!(world.submits(Some(&code), None), Decided(CheckOutcome::NoChecksLeft { until }));
    assert_eq!(world.asks(), BeginOutcome::NoChecksLeft { until });
    assert!(matches!(world.ends(Ending::Canceled), EndOutcome::Ended(Some(_))));
    let permit = world.begins();
    let code = world.code(&permit);
    assert_eq!(world.submits(Some(&code), name(&permit)), Decided(CheckOutcome::Approved));
}

#[test]
fn an_attacker_who_knows_only_the_number_cannot_lock_its_owner_out() {
    let mut world = World::new();
    for _ in 0..40 {
        let permit = world.begins();
        // As often as it is answered at all.
        while matches!(world.guesses(None), Decided(CheckOutcome::Wrong { .. })) {}
        let code = world.code(&permit);
        world.advance(mins(5));
        if world.salts.is_multiple_of(2) {
            assert_eq!(world.submits(Some(&code), name(&permit)), Decided(CheckOutcome::Approved));
        } else {
            world.advance(mins(5));
        }
    }
}

#[test]
fn a_hundred_wrong_codes_without_the_name_do_not_stop_its_owner() {
    let mut world = World::new();
    let mut guesses = 0;
    while guesses < 100 {
        world.begins();
        match world.guesses(None) {
            Decided(CheckOutcome::Wrong { .. }) => guesses += 1,
            Decided(CheckOutcome::NoChecksLeft { until: Some(until) }) => {
                world.now = until;
            }
            other => panic!("{other:?} after {guesses}"),
        }
        if matches!(world.asks(), BeginOutcome::NoSendsLeft { .. }) {
            world.ends(Ending::Canceled);
        }
    }
    world.advance(mins(60 * 24 * 365));
    let permit = world.begins();
    assert_eq!(world.guesses(None), Decided(CheckOutcome::NoChecksLeft { until: None }), "a year later");
    let code = world.code(&permit);
    assert_eq!(world.submits(Some(&code), name(&permit)), Decided(CheckOutcome::Approved));
    assert_eq!(world.state, NumberState::Fresh);
}

#[test]
fn those_without_the_name_wait_longer_each_time_up_to_an_hour() {
    let mut world = World::new();
    let mut waits = Vec::new();
    while waits.len() < 9 {
        world.begins();
        match world.guesses(None) {
            Decided(CheckOutcome::Wrong { .. }) => {
                world.ends(Ending::Canceled);
                world.begins();
                if let Decided(CheckOutcome::NoChecksLeft { until: Some(until) }) = world.guesses(None) {
                    waits.push(until.since(world.now).as_secs());
                    world.now = until;
                    world.ends(Ending::Canceled);
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
}

#[test]
fn a_hundred_wrong_codes_by_name_lock_until_an_operator_clears_them() {
    let mut world = World::new();
    for _ in 0..20 {
        let permit = world.begins();
        for _ in 0..5 {
            world.guesses(name(&permit));
        }
        world.ends(Ending::Canceled);
    }
    world.advance(mins(60 * 24 * 365));
    assert_eq!(world.asks(), BeginOutcome::NoChecksLeft { until: None });
    assert_eq!(world.ends(Ending::Cleared), EndOutcome::Ended(None));
    world.begins();
}

#[test]
fn a_name_of_another_verification_is_not_found_and_counts_nothing() {
    let mut world = World::new();
    let permit = world.begins();
    let before = world.state;
    let other = Some(VerificationName::of_track(!permit.salt.track()));
    assert_eq!(world.guesses(other), Decided(CheckOutcome::NotFound));
    assert_eq!(world.state, before);
}

#[test]
fn without_a_verification_under_way_there_is_nothing_to_guess() {
    let mut world = World::new();
    assert_eq!(world.guesses(None), Decided(CheckOutcome::NotFound));
    let permit = world.begins();
    world.guesses(None);
    world.advance(mins(10));
    let before = world.state;
    assert_eq!(world.guesses(None), Decided(CheckOutcome::NotFound));
    assert_eq!(world.guesses(name(&permit)), Decided(CheckOutcome::NotFound));
    assert_eq!(world.state, before);
}

#[test]
fn a_code_that_the_caller_supplies_is_right_and_is_not_stored() {
    let mut world = World::new();
    let brought = Code::parse("00420815").expect("a code");
    let BeginOutcome::Permitted(permit) = world.asks_with(Some(&brought), false) else { panic!("refused") };
    world.settles(&permit, GatewayResult::Accepted);
    assert!(world.code(&permit).matches(&brought));
    assert_ne!(permit.offset(), 420_815);
    assert_eq!(world.submits(Some(&brought), None), Decided(CheckOutcome::Approved));
}

#[test]
fn another_supplied_code_waits_for_the_message_that_is_on_its_way() {
    let mut world = World::new();
    let (first, second) = (Code::parse("111111").expect("a code"), Code::parse("222222").expect("a code"));
    let BeginOutcome::Permitted(permit) = world.asks_with(Some(&first), false) else { panic!("refused") };
    assert!(matches!(world.asks_with(Some(&second), false), BeginOutcome::StillSending { .. }));
    world.settles(&permit, GatewayResult::Accepted);
    let BeginOutcome::Permitted(again) = world.asks_with(Some(&second), false) else { panic!("refused") };
    assert_eq!(again.salt.track(), permit.salt.track());
    assert!(matches!(world.submits(Some(&first), None), Decided(CheckOutcome::Wrong { .. })));
    assert_eq!(world.submits(Some(&second), None), Decided(CheckOutcome::Approved));
}

#[test]
fn a_verification_that_was_not_sent_leaves_no_state() {
    let mut world = World::new();
    let BeginOutcome::Permitted(permit) = world.asks() else { panic!("refused") };
    world.settles(&permit, GatewayResult::Failed);
    assert_eq!(world.state, NumberState::Fresh);
}

#[test]
fn a_new_code_that_was_not_sent_gives_back_the_old_one_and_no_guess() {
    let mut world = World::new();
    world.policy.sends.keeps_code = false;
    let first = world.begins();
    for left in [4, 3, 2, 1] {
        assert_eq!(
            world.guesses(name(&first)),
            Decided(CheckOutcome::Wrong { attempts_left: left, live: true })
        );
    }
    let BeginOutcome::Permitted(second) = world.asks() else { panic!("refused") };
    assert_eq!(world.guesses(name(&first)), Decided(CheckOutcome::Wrong { attempts_left: 0, live: true }));
    world.settles(&second, GatewayResult::Failed);
    let refused = Decided(CheckOutcome::NoChecksLeft { until: Some(first.expires) });
    assert_eq!(world.guesses(name(&first)), refused);
}

#[test]
fn an_end_by_the_caller_is_the_end() {
    let mut world = World::new();
    let permit = world.begins();
    let code = world.code(&permit);
    assert!(matches!(world.ends(Ending::Canceled), EndOutcome::Ended(Some(_))));
    assert_eq!(world.submits(Some(&code), name(&permit)), Decided(CheckOutcome::NotFound));
    assert_eq!(world.ends(Ending::Approved), EndOutcome::NotFound);
    world.begins();
    world.guesses(None);
    assert!(matches!(world.ends(Ending::Approved), EndOutcome::Ended(Some(_))));
    assert_eq!(world.state, NumberState::Fresh);
}

#[test]
fn a_number_without_limits_is_never_refused() {
    let mut world = World::new();
    world.policy = world.policy.without_limits();
    let brought = Code::parse("123456").expect("a code");
    for _ in 0..300 {
        let BeginOutcome::Permitted(permit) = world.asks_with(Some(&brought), true) else {
            panic!("refused")
        };
        assert!(matches!(world.guesses(name(&permit)), Decided(CheckOutcome::Wrong { .. })));
        assert!(matches!(world.guesses(None), Decided(CheckOutcome::Wrong { .. })));
    }
    assert_eq!(world.submits(Some(&brought), None), Decided(CheckOutcome::Approved));
}

#[test]
fn only_an_attempt_that_a_gateway_did_not_look_at_is_given_back() {
    for (result, left) in [(CheckResult::NotAsked, 4), (CheckResult::Wrong, 3), (CheckResult::Unknown, 3)] {
        let mut world = World::new();
        let BeginOutcome::Permitted(permit) = world.asks() else { panic!("refused") };
        let held = Held { by: GatewayName::TwilioVerify, channel: Channel::Sms };
        world.settles(&permit, GatewayResult::Held(held));
        let code = Code::parse("000000").expect("a code");
        let CheckStep::Ask(ask) = world.submits(Some(&code), name(&permit)) else { panic!("not asked") };
        world.state = settle_check(world.state, &world.rules(), &ask, result, world.now).0;
        assert_eq!(
            world.guesses(name(&permit)),
            Decided(CheckOutcome::Wrong { attempts_left: left, live: true })
        );
    }
}
