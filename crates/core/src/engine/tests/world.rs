//! A number, its policy and a clock: the vocabulary of the rules.

use std::time::Duration;

use crate::domain::{
    Channel, Code, CodeLength, GatewayName, Held, PhoneNumber, ServerKey, ServiceId, Timestamp,
};
use crate::engine::{
    CheckOutcome, CheckPermit, CheckResult, CheckSettled, GatewayResult, Lockout, NumberState, Policy,
    Reports, ResumeOutcome, Salt, SendOptions, SendOutcome, SendPermit, SendRules, SettleOutcome, Submitted,
    check, derive_code, resume, send, settle, settle_check,
};

/// How long a gateway may take in these tests.
pub const SEND_BUDGET: Duration = Duration::from_secs(10);

/// How long asking may take in these tests.
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

pub struct World {
    pub state: NumberState,
    pub policy: Policy,
    pub now: Timestamp,
    reports: Reports,
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
                lockout: mins(30),
                kind: Lockout::Fixed,
                sends: SendRules::CONTRACT,
                code: SendOptions { life: secs(30), length: CodeLength::SIX },
            },
            now: Timestamp::from_millis(1_700_000_000_000),
            reports: Reports::default(),
            key: ServerKey::from_bytes([7; 32]),
            number: PhoneNumber::from_u64(14_155_552_671).expect("a number"),
            salts: 0,
        }
    }

    pub fn advance(&mut self, by: Duration) {
        self.now = self.now.plus(by);
    }

    /// Asks for a send, without a gateway's answer yet.
    pub fn ask(&mut self) -> SendOutcome {
        self.salts += 1;
        let salt = Salt(self.salts.to_be_bytes());
        let (next, outcome) = send(self.state, &self.policy, self.policy.code, salt, SEND_BUDGET, self.now);
        self.state = next;
        outcome
    }

    /// Asks for a send that must be permitted.
    pub fn permit(&mut self) -> SendPermit {
        match self.ask() {
            SendOutcome::Permitted(permit) => permit,
            other => panic!("{other:?}"),
        }
    }

    /// Whether a send would be permitted now.
    pub fn may_ask(&mut self) -> bool {
        matches!(self.ask(), SendOutcome::Permitted(_))
    }

    /// The gateway's answer to a permit.
    pub fn settles(&mut self, permit: &SendPermit, result: GatewayResult) -> SettleOutcome {
        let (next, outcome) = settle(self.state, &self.policy, permit, result, &self.reports, self.now);
        self.reports.note(permit, result, &next);
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
        derive_code(&self.key, &permit.salt, self.number, ServiceId::DEFAULT, permit.length)
    }

    pub fn checks(&mut self, code: &Code) -> CheckOutcome {
        self.submits(Some(code))
    }

    /// A code that is not any that was sent so far.
    pub fn checks_wrong(&mut self) -> CheckOutcome {
        self.submits(None)
    }

    /// Sends a message whose code the gateway makes and holds.
    pub fn sends_held(&mut self) -> SendPermit {
        let permit = self.permit();
        self.settles(&permit, GatewayResult::Held(HOLDER));
        permit
    }

    /// Submits a code that only the gateway can judge.
    pub fn asks(&mut self) -> CheckPermit {
        let code = Code::parse("0000000000").expect("a code of another length than ours");
        match self.checks(&code) {
            CheckOutcome::Ask(permit) => permit,
            other => panic!("{other:?}"),
        }
    }

    /// What the gateway said about a submitted code.
    pub fn hears(&mut self, permit: &CheckPermit, result: CheckResult) -> CheckSettled {
        let (next, outcome) = settle_check(self.state, &self.policy, permit, result, self.now);
        self.state = next;
        outcome
    }

    /// Asks a gateway about a code, which says that it is wrong.
    pub fn asks_in_vain(&mut self) -> CheckSettled {
        let permit = self.asks();
        self.hears(&permit, CheckResult::Wrong)
    }

    pub fn resumes(&mut self, salt: Salt) -> ResumeOutcome {
        let (next, outcome) = resume(self.state, &self.policy, salt, SEND_BUDGET, self.now);
        self.state = next;
        outcome
    }

    /// Sends the same code once more, which must be permitted.
    pub fn resumed(&mut self, salt: Salt) -> SendPermit {
        match self.resumes(salt) {
            ResumeOutcome::Permitted(permit) => permit,
            other => panic!("{other:?}"),
        }
    }

    fn submits(&mut self, code: Option<&Code>) -> CheckOutcome {
        let submitted =
            Submitted { code, number: self.number, service: ServiceId::DEFAULT, key: &self.key, named: None };
        let (next, outcome) = check(self.state, &self.policy, submitted, CHECK_BUDGET, self.now);
        self.state = next;
        outcome
    }
}

pub const fn wrong(attempts_left: u8) -> CheckOutcome {
    CheckOutcome::Wrong { attempts_left, live: true }
}

pub const fn wrong_says_the_holder(attempts_left: u8) -> CheckSettled {
    CheckSettled::Wrong { attempts_left, live: true }
}

pub const fn no_live_code(attempts_left: u8) -> CheckOutcome {
    CheckOutcome::Wrong { attempts_left, live: false }
}
