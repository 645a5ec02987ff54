//! Ids that are addresses: the number and the verification that an id means are sealed in it. Therefore no index is
//! kept, and an id cannot be guessed or forged.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt};
use serde::{Deserialize, Serialize};

use super::derive::cipher;
use crate::domain::{AttemptId, AttemptLogKey, NumberKey, PhoneNumber, ServerKey, ServiceId, Sid, SidKind};

/// Keeps these keys apart from all other uses of the server key.
const VERIFICATIONS: &[u8] = b"onceward/verification-ids/1";
const ATTEMPTS: &[u8] = b"onceward/attempt-ids/1";
const SESSIONS: &[u8] = b"onceward/hosted-session-ids/1";

/// Bits of a number: E.164 has fifteen digits.
const NUMBER_BITS: u32 = 50;
/// Bits of a service.
const SERVICE_BITS: u32 = 24;

/// The greatest service that an id has room for.
pub const LAST_SERVICE: u32 = (1 << SERVICE_BITS) - 1;

/// Seals and opens ids: one block of AES-128 (FIPS 197) under a key derived from the server key. An invented id
/// opens to some address as well, of a verification whose name is right in one of 2^54 cases.
///
/// No AEAD: an id has the 16 bytes of Twilio's, and the address fills them, which leaves no room for a nonce and a tag. Its
/// random or zero bits take the place of the tag, and equal ids are wanted, because each content has one id.
#[derive(Clone)]
pub struct Sealer {
    verifications: Aes128,
    attempts: Aes128,
    sessions: Aes128,
}

/// Names one verification of a number: the upper 54 bits of its [`Salt::id`](super::Salt::id), which an id has
/// room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VerificationName(u64);

impl VerificationName {
    /// Number of bits.
    pub const BITS: u32 = 54;

    /// The name of the verification with this id.
    pub const fn of(id: u64) -> Self {
        Self(id >> (u64::BITS - Self::BITS))
    }

    /// The lower 54 of `bits`.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & ((1 << Self::BITS) - 1))
    }

    /// All ids that have this name.
    pub fn ids(self) -> impl Iterator<Item = u64> {
        const LOW_BITS: u32 = u64::BITS - VerificationName::BITS;
        (0..1 << LOW_BITS).map(move |low| self.0 << LOW_BITS | low)
    }
}

/// The content of a verification's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationAddress {
    pub service: ServiceId,
    pub number: PhoneNumber,
    pub name: VerificationName,
}

impl Sealer {
    pub fn new(key: &ServerKey) -> Self {
        Self {
            verifications: cipher(key, VERIFICATIONS),
            attempts: cipher(key, ATTEMPTS),
            sessions: cipher(key, SESSIONS),
        }
    }

    /// The id (`VE`) of the verification of a number with this [`Salt::id`](super::Salt::id). The service must be at most
    /// [`LAST_SERVICE`].
    pub fn verification(&self, of: NumberKey, id: u64) -> Sid {
        let service = u128::from(of.service.get() & LAST_SERVICE);
        let number = u128::from(of.number.as_u64());
        let plain = number << (128 - NUMBER_BITS)
            | service << (128 - NUMBER_BITS - SERVICE_BITS)
            | u128::from(VerificationName::of(id).0);
        Sid::new(SidKind::Verification, seal(&self.verifications, plain))
    }

    /// Opens the id of a verification. `None` if it was never issued.
    pub fn open_verification(&self, sid: &Sid) -> Option<VerificationAddress> {
        let plain = open(&self.verifications, sid, SidKind::Verification)?;
        let part = |value: u128| u64::try_from(value).ok();
        let number = part(plain >> (128 - NUMBER_BITS))?;
        let service = u128::from(LAST_SERVICE) & (plain >> (128 - NUMBER_BITS - SERVICE_BITS));
        let name = part(plain & ((1 << VerificationName::BITS) - 1))?;
        Some(VerificationAddress {
            service: ServiceId::new(u32::try_from(service).ok()?),
            number: PhoneNumber::from_u64(number)?,
            name: VerificationName::from_bits(name),
        })
    }

    /// The id of a hosted session (`VH`), by the subject of its record.
    pub fn session(&self, service: ServiceId, subject: u64) -> Sid {
        let plain = u128::from(subject) << 64 | u128::from(service.get());
        Sid::new(SidKind::HostedSession, seal(&self.sessions, plain))
    }

    /// Opens the id of a hosted session. `None` if it was never issued.
    pub fn open_session(&self, sid: &Sid) -> Option<(ServiceId, u64)> {
        let plain = open(&self.sessions, sid, SidKind::HostedSession)?;
        // 32 bits are zero in every id that was issued.
        let service = u32::try_from(plain & u128::from(u64::MAX)).ok()?;
        Some((ServiceId::new(service), u64::try_from(plain >> 64).ok()?))
    }

    /// The id of an attempt to deliver a message (`VL`).
    pub fn attempt(&self, attempt: &AttemptId) -> Sid {
        let AttemptId { key: AttemptLogKey { service, verification }, attempt } = *attempt;
        let plain = u128::from(verification) << 64 | u128::from(service.get()) << 32 | u128::from(attempt);
        Sid::new(SidKind::Attempt, seal(&self.attempts, plain))
    }

    /// Opens the id of an attempt. `None` if it was never issued.
    pub fn open_attempt(&self, sid: &Sid) -> Option<AttemptId> {
        let plain = open(&self.attempts, sid, SidKind::Attempt)?;
        let low = u32::try_from(plain & u128::from(u32::MAX)).ok()?;
        Some(AttemptId {
            key: AttemptLogKey {
                service: ServiceId::new(u32::try_from(plain >> 32 & u128::from(u32::MAX)).ok()?),
                verification: u64::try_from(plain >> 64).ok()?,
            },
            // 24 bits are zero in every id that was issued.
            attempt: u8::try_from(low).ok()?,
        })
    }
}

fn seal(cipher: &Aes128, plain: u128) -> [u8; 16] {
    let mut block = Array(plain.to_be_bytes());
    cipher.encrypt_block(&mut block);
    block.0
}

fn open(cipher: &Aes128, sid: &Sid, kind: SidKind) -> Option<u128> {
    let mut block = Array(*sid.bytes());
    cipher.decrypt_block(&mut block);
    (sid.kind() == kind).then(|| u128::from_be_bytes(block.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealer() -> Sealer {
        Sealer::new(&ServerKey::from_bytes([3; 32]))
    }

    proptest! {
        #[test]
        fn an_id_leads_back_to_what_it_was_made_of(
            service in 0..=LAST_SERVICE,
            digits in 1..=999_999_999_999_999_u64,
            verification: u64,
            attempt: u8,
        ) {
            let (service, number) = (ServiceId::new(service), PhoneNumber::from_u64(digits).expect("a number"));
            let address = VerificationAddress { service, number, name: VerificationName::of(verification) };
            let sid = sealer().verification(NumberKey::new(service, number), verification);
            prop_assert_eq!(sealer().open_verification(&sid), Some(address));
            let id = AttemptId { key: AttemptLogKey { service, verification }, attempt };
            let sid = sealer().attempt(&id);
            prop_assert_eq!(sealer().open_attempt(&sid), Some(id));
        }

        #[test]
        fn an_invented_id_is_no_attempt_and_names_another_verification(bytes: [u8; 16]) {
            prop_assert_eq!(sealer().open_attempt(&Sid::new(SidKind::Attempt, bytes)), None);
            let sid = Sid::new(SidKind::Verification, bytes);
            if let Some(address) = sealer().open_verification(&sid) {
                prop_assert_ne!(address.name, VerificationName::of(0x0123_4567_89ab_cdef));
            }
        }
    }
}
