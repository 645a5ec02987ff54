//! A number, its policy and a clock: the vocabulary of the rules.

use std::time::Duration;

use crate::domain::{
    Channel, Code, CodeLength, GatewayName, Held, PhoneNumber, ServerKey, ServiceId, Timestamp,
};
use crate::engine::{
    Begin, BeginOutcome, CheckOutcome, CheckPermit, CheckResult, CheckStep, CheckStep::Decided, LockoutRule,
    NumberState, Policy, PossiblySent, ResumeOutcome, Rules, Salt, SendOptions, SendPermit, SendResult,
    SendRules, SettleOutcome, Submitted, begin, check, resume, settle, settle_check,
};

/// The longest duration of a gateway's answer in these tests.
pub const SEND_BUDGET: Duration = Duration::from_secs(10);

/// The longest duration of a check at a gateway in these tests.
pub const CHECK_BUDGET: Duration = Duration::from_secs(12);

/// A gateway that holds codes, and another one.
pub const HOLDER: Held = Held { by: GatewayName::TwilioVerify, channel: Channel::Sms };
pub const OTHER_HOLDER: Held = Held { by: GatewayName::Sinch, channel: Channel::Sms };

pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub const fn mins(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

impl NumberState {
    /// Consecutive wrong codes so far.
    pub const fn failures(&self) -> u8 {
        match self {
            Self::Open(open) => open.failures.in_a_row,
            Self::Fresh | Self::Locked { .. } => 0,
        }
    }
}

/// The result of a send, as far as the number's state needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayResult {
    Accepted,
    Held(Held),
    Postponed,
    Failed,
    /// A message with our code may have been sent.
    Unknown,
    /// A message with the gateway's code may have been sent.
    UnknownHeld(Held),
}

impl From<GatewayResult> for SendResult {
    fn from(result: GatewayResult) -> Self {
        let message_id = "SM1".to_owned();
        match result {
            GatewayResult::Accepted => Self::Accepted { message_id, held: None },
            GatewayResult::Held(held) => Self::Accepted { message_id, held: Some(held) },
            GatewayResult::Postponed => Self::Postponed { message_id, may_have_been_sent: None },
            GatewayResult::Failed => Self::Failed { may_have_been_sent: None },
            GatewayResult::Unknown => Self::Failed { may_have_been_sent: Some(PossiblySent { held: None }) },
            GatewayResult::UnknownHeld(held) => {
                Self::Failed { may_have_been_sent: Some(PossiblySent { held: Some(held) }) }
            }
        }
    }
}

pub const fn rules(policy: Policy, key: &ServerKey) -> Rules<'_> {
    Rules { policy, key, send_budget: SEND_BUDGET, check_budget: CHECK_BUDGET }
}

pub struct World {
    pub state: NumberState,
    pub policy: Policy,
    pub now: Timestamp,
    key: ServerKey,
    number: PhoneNumber,
    salts: u128,
}

impl World {
    /// The contract's defaults: 30 s codes of 6 digits, 5 attempts, 30 min lockout.
    pub fn new() -> Self {
        Self {
            state: NumberState::Fresh,
            policy: Policy {
                max_attempts: 5,
                lockout: LockoutRule::Fixed(mins(30)),
                sends: SendRules::CONTRACT,
                code: SendOptions { life: secs(30), length: CodeLength::SIX },
            },
            now: Timestamp::from_millis(1_700_000_000_000),
            key: ServerKey::from_bytes([7; 32]),
            number: PhoneNumber::from_u64(14_155_552_671).expect("a number"),
            salts: 0,
        }
    }

    pub fn rules(&self) -> Rules<'_> {
        rules(self.policy, &self.key)
    }

    pub fn advance(&mut self, by: Duration) {
        self.now = self.now.plus(by);
    }

    /// Requests a send, without an answer of the gateway.
    pub fn ask(&mut self) -> BeginOutcome {
        self.salts += 1;
        let salt = Salt(self.salts.to_be_bytes());
        let request = Begin {
            service: ServiceId::DEFAULT,
            number: self.number,
            options: self.policy.code,
            channel: Channel::Sms,
            verification: None,
        };
        let (next, outcome) = begin(self.state, &self.rules(), request, salt, self.now);
        self.state = next;
        outcome
    }

    /// Requests a send that must be permitted.
    pub fn permit(&mut self) -> SendPermit {
        match self.ask() {
            BeginOutcome::Permitted(permit) => permit,
            other => panic!("{other:?}"),
        }
    }

    /// Returns `true` if a send is permitted now.
    pub fn may_ask(&mut self) -> bool {
        matches!(self.ask(), BeginOutcome::Permitted(_))
    }

    /// The gateway's answer to a permit.
    pub fn settles(&mut self, permit: &SendPermit, result: GatewayResult) -> SettleOutcome {
        let (next, outcome) = settle(self.state, &self.rules(), permit, &result.into(), self.now);
        self.state = next;
        outcome
    }

    /// Sends a code that the gateway accepts, and returns it.
    pub fn sends(&mut self) -> Code {
        let permit = self.permit();
        self.settles(&permit, GatewayResult::Accepted);
        self.code_of(&permit)
    }

    /// The attempts left that an accepted send reports.
    pub fn sends_and_hears_attempts_left(&mut self) -> u8 {
        let permit = self.permit();
        match self.settles(&permit, GatewayResult::Accepted) {
            SettleOutcome::Open { attempts_left } => attempts_left,
            SettleOutcome::Locked { .. } => panic!("locked"),
        }
    }

    pub fn code_of(&self, permit: &SendPermit) -> Code {
        permit.verification.code_seed(ServiceId::DEFAULT, self.number).code(&self.key)
    }

    pub fn checks(&mut self, code: &Code) -> CheckStep {
        self.submits(Some(code))
    }

    /// Submits a code that was never sent.
    pub fn checks_wrong(&mut self) -> CheckStep {
        self.submits(None)
    }

    /// Sends a message whose code the gateway makes and holds.
    pub fn sends_held(&mut self) -> SendPermit {
        let permit = self.permit();
        self.settles(&permit, GatewayResult::Held(HOLDER));
        permit
    }

    /// Submits a code that only the gateway can check.
    pub fn asks(&mut self) -> CheckPermit {
        let code = Code::parse("0000000000").expect("a code of another length than ours");
        match self.checks(&code) {
            CheckStep::AskGateway(permit) => permit,
            other => panic!("{other:?}"),
        }
    }

    /// Settles a check with the gateway's result.
    pub fn check_reported(&mut self, permit: &CheckPermit, result: CheckResult) -> CheckOutcome {
        let (next, outcome) = settle_check(self.state, &self.rules(), permit, result, self.now);
        self.state = next;
        outcome
    }

    /// Submits a code that the gateway calls wrong.
    pub fn asks_in_vain(&mut self) -> CheckOutcome {
        let permit = self.asks();
        self.check_reported(&permit, CheckResult::Wrong)
    }

    pub fn resumes(&mut self, salt: Salt) -> ResumeOutcome {
        let (next, outcome) = resume(self.state, &self.rules(), salt, self.now);
        self.state = next;
        outcome
    }

    /// Sends the same code again, which must be permitted.
    pub fn resumed(&mut self, salt: Salt) -> SendPermit {
        match self.resumes(salt) {
            ResumeOutcome::Permitted(permit) => permit,
            other => panic!("{other:?}"),
        }
    }

    /// Submits a code, or a guess that no code can be.
    fn submits(&mut self, code: Option<&Code>) -> CheckStep {
        let guess = Code::submitted("guess", CodeLength::SIX, true);
        self.checks_text(code.or(guess.as_ref()))
    }

    /// Submits a code, or a text that holds none.
    pub fn checks_text(&mut self, code: Option<&Code>) -> CheckStep {
        let submitted = Submitted { code, number: self.number, service: ServiceId::DEFAULT, named: None };
        let (next, outcome) = check(self.state, &self.rules(), submitted, self.now);
        self.state = next;
        outcome
    }
}

pub const fn wrong(attempts_left: u8) -> CheckStep {
    Decided(CheckOutcome::Wrong { attempts_left, live: true })
}

pub const fn wrong_says_the_holder(attempts_left: u8) -> CheckOutcome {
    CheckOutcome::Wrong { attempts_left, live: true }
}

pub const fn no_live_code(attempts_left: u8) -> CheckStep {
    Decided(CheckOutcome::Wrong { attempts_left, live: false })
}
