//! Realistic numbers, states and records.

use std::time::Duration;

use onceward::domain::{CodeLength, PhoneNumber, ServerKey, ServiceId, Timestamp};
use onceward::engine::{
    FailureCount, LockoutRule, NumberState, Policy, Rules, Salt, SendOptions, SendRules, SlotHash,
    Verification,
};
use onceward::numbers::NumberKey;
use onceward::shard::{Record as _, RecordKey, encode};
use onceward::store::Write;

/// A moment in 2023.
pub const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// How long a gateway may take.
pub const BUDGET: Duration = Duration::from_secs(15);
pub const SALT: Salt = Salt([9; 16]);

/// The rules of the default configuration, with a code that outlives the measurement.
pub fn policy() -> Policy {
    let code = SendOptions { life: Duration::from_secs(3600), length: CodeLength::SIX };
    Policy {
        max_attempts: 5,
        lockout: LockoutRule::Fixed(Duration::from_secs(1800)),
        sends: SendRules::CONTRACT,
        code,
    }
}

pub fn rules(key: &ServerKey) -> Rules<'_> {
    Rules { policy: policy(), key, send_budget: BUDGET, check_budget: BUDGET }
}

pub fn key() -> ServerKey {
    ServerKey::from_bytes([7; ServerKey::LEN])
}

/// One of ten million numbers.
pub fn number(index: u64) -> PhoneNumber {
    // Scattered as real numbers are: consecutive numbers would cost less.
    PhoneNumber::from_u64(12_000_000_000 + index.wrapping_mul(7_919) % 10_000_000).expect("a number")
}

/// A code that a gateway accepted and that no check has used yet.
pub fn verification() -> Verification {
    Verification {
        salt: SALT,
        length: CodeLength::SIX,
        expires: NOW.plus(policy().code.life),
        sending: 0,
        sending_until: NOW.plus(BUDGET),
        sent: true,
        postponed: false,
        held: None,
        checking_until: Timestamp::EPOCH,
        counted: None,
    }
}

/// A number with a live code and one wrong guess.
pub fn open() -> NumberState {
    open_with(verification())
}

pub fn open_with(verification: Verification) -> NumberState {
    let keep_until = verification.expires.plus(policy().lockout_time());
    let failures = FailureCount { in_a_row: 1, ..FailureCount::NONE };
    let verification = Some(verification);
    NumberState::Open(onceward::engine::OpenNumber { failures, keep_until, verification })
}

pub fn locked() -> NumberState {
    NumberState::Locked { until: NOW.plus(policy().lockout_time()) }
}

/// Records of `count` numbers with open verifications, from the number `first` on.
pub fn writes(first: u64, count: u64) -> Vec<Write> {
    let (record, slots) = (open(), SlotHash::new(&key()));
    let (bytes, expires) = (encode(&record), record.expires());
    let write = |index| {
        let of = NumberKey::new(ServiceId::DEFAULT, number(index));
        let slot = slots.of_number(of.service, of.number);
        Write {
            key: RecordKey { slot, kind: NumberState::KIND, id: of.id() },
            put: Some(bytes.clone()),
            expires,
        }
    };
    (first..first + count).map(write).collect()
}
