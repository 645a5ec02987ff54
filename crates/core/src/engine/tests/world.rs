//! A number, its policy and a clock: the vocabulary of the rules.

use std::time::Duration;

use crate::domain::{
    Channel, Code, CodeLength, GatewayName, Held, PhoneNumber, ServerKey, ServiceId, Timestamp,
};
use crate::engine::{
    Begin, BeginOutcome, CheckOutcome, CheckPermit, CheckResult, CheckStep, CheckStep::Decided, EndOutcome,
    Ending, FailureCount, LockoutRule, NumberState, Policy, ResumeOutcome, Rules, Salt, SendOptions,
    SendPermit, SendResult, SendRules, SettleOutcome, Submitted, VerificationName, VerificationOptions,
    begin, check, end, resume, settle, settle_check,
};

/// The longest duration of a gateway's answer in these tests.
pub const SEND_BUDGET: Duration = Duration::from_secs(10);

/// The longest duration of a check at a gateway in these tests.
pub const CHECK_BUDGET: Duration = Duration::from_secs(12);

/// A gateway that holds codes, and another one.
pub const HOLDER: Held = Held { by: GatewayName::TwilioVerify, channel: Channel::Sms };
pub const OTHER_HOLDER: Held = Held { by: GatewayName::Sinch, channel: Channel::Sms };

pub const ACCEPTED: SendResult = SendResult::Accepted { message_id: String::new(), held: None };
pub const HELD: SendResult = SendResult::Accepted { message_id: String::new(), held: Some(HOLDER) };
pub const HELD_BY_OTHER: SendResult =
    SendResult::Accepted { message_id: String::new(), held: Some(OTHER_HOLDER) };
pub const POSTPONED: SendResult =
    SendResult::Postponed { message_id: String::new(), may_have_been_sent: None };
pub const FAILED: SendResult = SendResult::Failed { may_have_been_sent: None };

pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub const fn mins(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

#[derive(Clone)]
pub struct World {
    pub state: NumberState,
    pub policy: Policy,
    pub now: Timestamp,
    /// Whether its verifications have limits and an id.
    has_ids: bool,
    key: ServerKey,
    number: PhoneNumber,
    salts: u128,
}

const SERVICE: ServiceId = ServiceId::new(7);

impl World {
    /// The contract's defaults: 30 s codes of 6 digits, 5 attempts, 30 min lockout.
    pub fn new() -> Self {
        let policy = Policy {
            max_attempts: 5,
            lockout: LockoutRule::Fixed(mins(30)),
            sends: SendRules::CONTRACT,
            code: SendOptions { life: secs(30), length: CodeLength::SIX },
        };
        Self { has_ids: false, ..Self::of_service(policy) }
    }

    /// A number of a service whose verifications have ids.
    pub fn of_service(policy: Policy) -> Self {
        Self {
            state: NumberState::Fresh,
            policy,
            now: Timestamp::from_millis(1_700_000_000_000),
            has_ids: true,
            key: ServerKey::from_bytes([7; 32]),
            number: PhoneNumber::from_u64(14_155_552_671).expect("a number"),
            salts: 0,
        }
    }

    /// A number of a new service: 10 min, 5 checks, 5 sends, the code kept.
    pub fn of_a_new_service() -> Self {
        Self::of_service(Policy {
            max_attempts: 5,
            lockout: LockoutRule::Verification,
            code: SendOptions { life: mins(10), length: CodeLength::SIX },
            sends: SendRules { max: Some(5), keeps_code: true, cools_down: false },
        })
    }

    pub fn rules(&self) -> Rules<'_> {
        let Self { policy, ref key, .. } = *self;
        Rules { policy, key, send_budget: SEND_BUDGET, check_budget: CHECK_BUDGET }
    }

    pub fn advance(&mut self, by: Duration) {
        self.now = self.now.plus(by);
    }

    /// The wrong codes, as they count now.
    pub fn failures(&self) -> FailureCount {
        match self.state.at(&self.policy, self.now) {
            NumberState::Open(open) => open.failures,
            NumberState::Fresh | NumberState::Locked { .. } => FailureCount::NONE,
        }
    }

    /// Takes over the state of a decision.
    fn goes_on<T>(&mut self, (state, outcome): (NumberState, T)) -> T {
        self.state = state;
        outcome
    }

    /// Requests a send, without an answer of the gateway.
    pub fn ask(&mut self) -> BeginOutcome {
        self.ask_for(VerificationOptions::default())
    }

    /// The same with options, which only a verification with an id has.
    pub fn ask_for(&mut self, options: VerificationOptions<'_>) -> BeginOutcome {
        self.salts += 1;
        // Both halves differ between salts.
        let salt = Salt(self.salts.wrapping_mul(0x9E37_79B9_7F4A_7C15_0000_0000_0000_0001).to_be_bytes());
        let request = Begin {
            service: SERVICE,
            number: self.number,
            options: self.policy.code,
            channel: Channel::Sms,
            verification: self.has_ids.then_some(options),
        };
        self.goes_on(begin(self.state, &self.rules(), request, salt, self.now))
    }

    /// Requests a send that must be permitted.
    pub fn permit(&mut self) -> SendPermit {
        permitted(self.ask())
    }

    /// The gateway's answer to a permit.
    pub fn settles(&mut self, permit: &SendPermit, result: &SendResult) -> SettleOutcome {
        self.goes_on(settle(self.state, &self.rules(), permit, result, self.now))
    }

    /// Sends a code that the gateway accepts.
    pub fn begins(&mut self) -> SendPermit {
        let permit = self.permit();
        self.settles(&permit, &ACCEPTED);
        permit
    }

    /// The same, and returns the code.
    pub fn sends(&mut self) -> Code {
        let permit = self.begins();
        self.code_of(&permit)
    }

    pub fn code_of(&self, permit: &SendPermit) -> Code {
        permit.verification.code_seed(SERVICE, self.number).code(&self.key)
    }

    pub fn checks(&mut self, code: &Code) -> CheckStep {
        self.submits(Some(code), None)
    }

    /// Submits a code that was never sent.
    pub fn checks_wrong(&mut self) -> CheckStep {
        self.submits(None, None)
    }

    /// Submits a code, or a guess that no code can be.
    pub fn submits(&mut self, code: Option<&Code>, named: Option<VerificationName>) -> CheckStep {
        let guess = Code::submitted("guess");
        self.submits_text(code.or(guess.as_ref()), named)
    }

    /// Submits a code, or a text that holds none.
    pub fn submits_text(&mut self, code: Option<&Code>, named: Option<VerificationName>) -> CheckStep {
        let submitted = Submitted { code, number: self.number, service: SERVICE, named };
        self.goes_on(check(self.state, &self.rules(), submitted, self.now))
    }

    /// Sends a message whose code the gateway makes and holds.
    pub fn sends_held(&mut self) -> SendPermit {
        let permit = self.permit();
        self.settles(&permit, &HELD);
        permit
    }

    /// Submits a code that only the gateway can check.
    pub fn asks(&mut self) -> CheckPermit {
        match self.checks(&other_code()) {
            CheckStep::AskGateway(permit) => permit,
            other => panic!("{other:?}"),
        }
    }

    /// Settles a check with the gateway's result.
    pub fn check_reported(&mut self, permit: &CheckPermit, result: CheckResult) -> CheckOutcome {
        self.goes_on(settle_check(self.state, &self.rules(), permit, result, self.now))
    }

    /// Submits a code that the gateway calls wrong.
    pub fn asks_in_vain(&mut self) -> CheckOutcome {
        let permit = self.asks();
        self.check_reported(&permit, CheckResult::Wrong)
    }

    pub fn resumes(&mut self, salt: Salt) -> ResumeOutcome {
        self.goes_on(resume(self.state, &self.rules(), salt, self.now))
    }

    pub fn ends(&mut self, ending: Ending) -> EndOutcome {
        self.goes_on(end(self.state, &self.rules(), ending, None, self.now))
    }
}

/// The permit of a send that must be permitted.
pub fn permitted(outcome: BeginOutcome) -> SendPermit {
    match outcome {
        BeginOutcome::Permitted(permit) => permit,
        other => panic!("{other:?}"),
    }
}

/// A code of another length than ours.
pub fn other_code() -> Code {
    Code::parse("0000000000").expect("a code")
}

pub const fn wrong(attempts_left: u8) -> CheckOutcome {
    CheckOutcome::Wrong { attempts_left, live: true }
}

pub const fn no_live_code(attempts_left: u8) -> CheckStep {
    Decided(CheckOutcome::Wrong { attempts_left, live: false })
}

/// The name of the verification of a permit.
pub fn name_of(permit: &SendPermit) -> VerificationName {
    permit.verification.name()
}
