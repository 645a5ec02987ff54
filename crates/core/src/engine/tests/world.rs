//! A number, its policy and a clock: the vocabulary of the rules.

use std::time::Duration;

use crate::domain::{
    Channel, Code, CodeLength, GatewayName, Held, PhoneNumber, ServerKey, ServiceId, Timestamp,
};
use crate::engine::{
    Begin, BeginOutcome, CheckOutcome, CheckPermit, CheckResult, CheckStep, EndOutcome, Ending, FailureCount,
    LockoutRule, NumberState, Policy, ResumeOutcome, Rules, Salt, SendOptions, SendPermit, SendResult,
    SendRules, SettleOutcome, Submitted, VerificationName, VerificationOptions, begin, check, end, resume,
    settle, settle_check,
};

/// The longest duration of a gateway's answer in these tests.
pub const SEND_BUDGET: Duration = Duration::from_secs(10);

/// A gateway that holds codes.
pub const HOLDER: Held = Held { by: GatewayName::TwilioVerify, channel: Channel::Sms };

pub const ACCEPTED: SendResult = SendResult::Accepted { message_id: String::new(), held: None };
pub const HELD: SendResult = SendResult::Accepted { message_id: String::new(), held: Some(HOLDER) };
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
    key: ServerKey,
    number: PhoneNumber,
    salts: u128,
}

const SERVICE: ServiceId = ServiceId::new(7);

impl World {
    /// A number with these rules, whose verifications have ids.
    pub fn of_service(policy: Policy) -> Self {
        Self {
            state: NumberState::Fresh,
            policy,
            now: Timestamp::from_millis(1_700_000_000_000),
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

    /// A lockout of 30 min after 5 wrong codes, and a new code in each message.
    pub fn with_a_fixed_lockout() -> Self {
        let mut number = Self::of_a_new_service();
        (number.policy.lockout, number.policy.sends) = (LockoutRule::Fixed(mins(30)), SendRules::CONTRACT);
        number
    }

    pub fn rules(&self) -> Rules<'_> {
        let Self { policy, ref key, .. } = *self;
        Rules { policy, key, send_budget: SEND_BUDGET }
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

    pub fn ask_for(&mut self, options: VerificationOptions<'_>) -> BeginOutcome {
        self.salts += 1;
        // Both halves differ between salts.
        let salt = Salt(self.salts.wrapping_mul(0x9E37_79B9_7F4A_7C15_0000_0000_0000_0001).to_be_bytes());
        let request = Begin {
            service: SERVICE,
            number: self.number,
            options: self.policy.code,
            channel: Channel::Sms,
            verification: Some(options),
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

    pub fn code_of(&self, permit: &SendPermit) -> Code {
        permit.verification.code_seed(SERVICE, self.number).code(&self.key)
    }

    /// Submits a code that was never sent.
    pub fn checks_wrong(&mut self) -> CheckStep {
        self.submits(None, None)
    }

    /// Submits a code, or a guess that no code can be.
    pub fn submits(&mut self, code: Option<&Code>, named: Option<VerificationName>) -> CheckStep {
        let guess = Code::submitted("guess");
        let code = code.or(guess.as_ref());
        let submitted = Submitted { code, number: self.number, service: SERVICE, named };
        self.goes_on(check(self.state, &self.rules(), submitted, self.now))
    }

    /// Submits a code that only the gateway can check.
    pub fn asks(&mut self) -> CheckPermit {
        match self.submits(Some(&other_code()), None) {
            CheckStep::AskGateway(permit) => permit,
            other => panic!("{other:?}"),
        }
    }

    /// Settles a check with the gateway's result.
    pub fn check_reported(&mut self, permit: &CheckPermit, result: CheckResult) -> CheckOutcome {
        self.goes_on(settle_check(self.state, &self.rules(), permit, result, self.now))
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

/// The name of the verification of a permit.
pub fn name_of(permit: &SendPermit) -> VerificationName {
    permit.verification.name()
}
