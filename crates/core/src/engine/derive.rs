//! Codes are derived, not stored.

use std::fmt;

use aes::Aes128;
use aes::cipher::{Array, BlockCipherEncrypt};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Sha256;

use crate::domain::{Code, CodeLength, PhoneNumber, ServerKey, ServiceId, record_id};

/// Keeps these codes apart from everything else the server key is used for.
const PURPOSE: &[u8] = b"onceward/code/1";
const PAD_PURPOSE: &[u8] = b"onceward/code-pad/1";
const REQUEST_PURPOSE: &[u8] = b"onceward/request/1";
const HASH_PURPOSE: &[u8] = b"onceward/guard/1";
const FINGERPRINT_PURPOSE: &[u8] = b"onceward/key-fingerprint/1";

/// A uniform number below `bound`: the first fair value in the blocks of `mac` with a rising counter.
fn below(bound: u64, mac: &Hmac<Sha256>) -> u64 {
    // The largest multiple of `bound` that fits: a value above it would favour small numbers.
    let fair_values = u64::MAX - u64::MAX % bound;
    let mut counter: u32 = 0;
    loop {
        let block: [u8; 32] = mac.clone().chain_update(counter.to_be_bytes()).finalize().into_bytes().into();
        for chunk in block.chunks_exact(8) {
            let value = chunk.iter().fold(0_u64, |acc, byte| acc << 8 | u64::from(*byte));
            if value < fair_values {
                return value % bound;
            }
        }
        // Even for the largest bound, fewer than one in 20 chunks are rejected, and a block has four chunks.
        counter = counter.wrapping_add(1);
    }
}

/// The random bytes that a code is derived from, together with the server key. They also tell one code of a number from
/// the next.
///
/// In records 16 bytes, in readable formats 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 16]);

impl Salt {
    /// The half that names the verification's sends in records and reports. It says nothing about the code, which
    /// also depends on the other half and the server key.
    pub fn id(&self) -> u64 {
        self.0.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte))
    }

    /// The salt of a new code of the same verification: that half stays, the other is `fresh`.
    #[must_use]
    pub fn renewed(&self, fresh: &Self) -> Self {
        let mut salt = *fresh;
        for (byte, kept) in salt.0.iter_mut().zip(self.0).take(8) {
            *byte = kept;
        }
        salt
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(***)")
    }
}

impl Serialize for Salt {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.serialize_str(&base16ct::lower::encode_string(&self.0))
        } else {
            self.0.serialize(to)
        }
    }
}

impl<'de> Deserialize<'de> for Salt {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if !from.is_human_readable() {
            return <[u8; 16]>::deserialize(from).map(Self);
        }
        let hex = String::deserialize(from)?;
        let mut bytes = [0; 16];
        let is_whole = base16ct::lower::decode(&hex, &mut bytes).is_ok_and(|decoded| decoded.len() == 16);
        if is_whole { Ok(Self(bytes)) } else { Err(de::Error::custom("the salt is not 32 hex digits")) }
    }
}

/// The inputs of a verification's code, apart from the server key.
#[derive(Debug, Clone, Copy)]
pub struct CodeSeed {
    /// The service that the number is counted in.
    pub service: ServiceId,
    pub number: PhoneNumber,
    /// The random input.
    pub salt: Salt,
    /// Number of characters.
    pub length: CodeLength,
    /// See [`VerificationDetails::offset`](super::VerificationDetails::offset).
    pub offset: u64,
}

impl CodeSeed {
    /// The code that the caller supplied: the sum of the pad and the offset. Without an offset the derived code: `length`
    /// digits, uniformly distributed (HMAC-SHA-256, RFC 2104, and rejection sampling). The same inputs give the same code,
    /// also after a restart. Without the key the salt reveals nothing about the code.
    pub fn code(&self, key: &ServerKey) -> Code {
        if self.offset == 0 {
            let codes = 10_u64.pow(u32::from(self.length.get()));
            return Code::from_value(below(codes, &self.keyed(key, PURPOSE)), self.length);
        }
        let codes = supplied_codes(self.length);
        Code::from_alphanumeric_value((self.pad(key) + self.offset % codes) % codes, self.length)
    }

    /// The number that turns the pad into `code` when it is added. The pad is uniform, therefore the offset says nothing
    /// about the code without the key. Never zero, which stands for no supplied code.
    pub fn offset_of(&self, code: &Code, key: &ServerKey) -> u64 {
        let codes = supplied_codes(self.length);
        let pad = self.pad(key);
        match (code.alphanumeric_value() + codes - pad) % codes {
            0 => codes,
            offset => offset,
        }
    }

    /// A uniform number below [`supplied_codes`], like the pad of a one-time pad.
    fn pad(&self, key: &ServerKey) -> u64 {
        below(supplied_codes(self.length), &self.keyed(key, PAD_PURPOSE))
    }

    fn keyed(&self, key: &ServerKey, purpose: &[u8]) -> Hmac<Sha256> {
        let (number, service) = (self.number.as_u64().to_be_bytes(), self.service.get().to_be_bytes());
        keyed(key, purpose).chain_update(self.salt.0).chain_update(number).chain_update(service)
    }
}

/// The number of codes of letters and digits. It is below 2^60.
fn supplied_codes(length: CodeLength) -> u64 {
    Code::ALPHABET.pow(u32::from(length.get()))
}

/// The fingerprint of a request: of a hash of its parameters, and of its code. Without the key it reveals nothing about the
/// number and the code, which a plain hash would.
pub fn request_fingerprint(key: &ServerKey, parameters: &[u8; 32], code: Option<&Code>) -> [u8; 32] {
    let mut mac = keyed(key, REQUEST_PURPOSE);
    mac.update(parameters);
    mac.update(code.map(Code::expose).unwrap_or_default().as_bytes());
    mac.finalize().into_bytes().into()
}

/// Fingerprint of the key in the data directory. The start compares it to detect a wrong key. It does not help an
/// attacker to find the key.
pub fn key_fingerprint(key: &ServerKey) -> [u8; 16] {
    derived(key, FINGERPRINT_PURPOSE)
}

/// Seed of the hashes of tables whose keys attackers choose.
pub fn hash_seed(key: &ServerKey) -> u64 {
    derived(key, HASH_PURPOSE).iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
}

/// AES-128 under a key that is derived from the server key for one purpose.
pub(super) fn cipher(key: &ServerKey, purpose: &[u8]) -> Aes128 {
    Aes128::new(&Array(derived(key, purpose)))
}

/// The first half of the HMAC of nothing but a purpose.
fn derived(key: &ServerKey, purpose: &[u8]) -> [u8; 16] {
    let block: [u8; 32] = keyed(key, purpose).finalize().into_bytes().into();
    let mut half = [0; 16];
    half.copy_from_slice(&block[..16]);
    half
}

/// HMAC-SHA-256 under the server key, for one purpose and no other.
fn keyed(key: &ServerKey, purpose: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).expect("a key of any length");
    mac.update(purpose);
    mac
}

// The slots of subjects.

/// Number of slots.
pub const SLOTS: usize = 256;

/// Spreads subjects over the slots by a hash under the server key: a client cannot choose numbers that share a slot.
///
/// The mapping is on disk (each record's key carries its slot); therefore it must not change for a server key.
#[derive(Clone)]
pub struct SlotHash(Aes128);

impl SlotHash {
    /// The mapping of one server key.
    pub fn new(key: &ServerKey) -> Self {
        Self(cipher(key, b"onceward/slot/1"))
    }

    /// The slot of a number in a service, and of everything about it.
    pub fn of_number(&self, service: ServiceId, number: PhoneNumber) -> u8 {
        self.of(record_id(service, number.as_u64()))
    }

    /// The slot of any other subject of 12 bytes, such as a digest.
    pub fn of(&self, subject: [u8; 12]) -> u8 {
        let mut plain = [0; 16];
        plain[..12].copy_from_slice(&subject);
        let mut block = Array(plain);
        self.0.encrypt_block(&mut block);
        block.0[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(salt: u128, length: CodeLength) -> CodeSeed {
        let (service, salt) = (ServiceId::new(7), Salt(salt.to_be_bytes()));
        let number = PhoneNumber::from_u64(14_155_552_671).expect("a number");
        CodeSeed { service, number, salt, length, offset: 0 }
    }

    /// Computed by Python's `hmac`. Data directories hold what follows from them.
    #[test]
    fn a_key_gives_the_same_values_in_every_version() {
        let key = ServerKey::from_bytes([7; 32]);
        assert_eq!(seed(1, CodeLength::SIX).code(&key).expose(), "818009");
        assert_eq!(u128::from_be_bytes(key_fingerprint(&key)), 0x3735_d312_25b2_a95f_8f24_52c9_86a4_f697);
        assert_eq!(hash_seed(&key), 0xe1a2_ca5a_7ef0_318e);
        let code = Code::parse("123456").expect("a code");
        for (code, begins) in [(Some(&code), 0x10fa_7aac_cd7f_d7ab_u64), (None, 0x6346_4674_05e5_8881)] {
            assert_eq!(request_fingerprint(&key, &[9; 32], code)[..8], begins.to_be_bytes());
        }
    }

    #[test]
    fn a_supplied_code_of_letters_comes_back_from_its_offset() {
        let key = ServerKey::from_bytes([7; 32]);
        for text in ["Ab3d", "123456", "0000000000", "zzzzzzzzzz", "K7m2Pq"] {
            let code = Code::parse_alphanumeric(text).expect("a code");
            let seed = seed(9, code.length());
            let offset = seed.offset_of(&code, &key);
            assert_ne!(offset, 0);
            let seed = CodeSeed { offset, ..seed };
            assert_eq!(seed.code(&key).expose(), text);
            assert_ne!(seed.code(&ServerKey::from_bytes([8; 32])).expose(), text, "not without the key");
        }
    }
}
