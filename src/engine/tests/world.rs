//! A number, its policy and a clock: the vocabulary of the rules.

use std::time::Duration;

use crate::domain::{Code, CodeLength, PhoneNumber, ServerKey, ServiceId, Timestamp};
use crate::engine::{
    CheckOutcome, GatewayResult, NumberState, Policy, Salt, SendOptions, SendOutcome, SendPermit,
    SettleOutcome, Submitted, check, derive_code, send, settle,
};

/// How long a gateway may take in these tests.
pub const SEND_BUDGET: Duration = Duration::from_secs(10);

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
                code: SendOptions { life: secs(30), length: CodeLength::SIX },
            },
            now: Timestamp::from_millis(1_700_000_000_000),
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
            SendOutcome::Locked { .. } => panic!("locked"),
        }
    }

    /// The gateway's answer to a permit.
    pub fn settles(&mut self, permit: &SendPermit, result: GatewayResult) -> SettleOutcome {
        let (next, outcome) = settle(self.state, &self.policy, permit, result, self.now);
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

    fn submits(&mut self, code: Option<&Code>) -> CheckOutcome {
        let submitted = Submitted { code, number: self.number, service: ServiceId::DEFAULT, key: &self.key };
        let (next, outcome) = check(self.state, &self.policy, submitted, self.now);
        self.state = next;
        outcome
    }
}

pub const fn wrong(attempts_left: u8) -> CheckOutcome {
    CheckOutcome::Wrong { attempts_left, live: true }
}

pub const fn no_live_code(attempts_left: u8) -> CheckOutcome {
    CheckOutcome::Wrong { attempts_left, live: false }
}
