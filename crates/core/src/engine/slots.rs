//! The slots of subjects.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherEncrypt};

use super::derive::cipher;
use crate::domain::{PhoneNumber, ServerKey, ServiceId, record_id};

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
