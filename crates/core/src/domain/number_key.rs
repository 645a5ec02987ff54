//! A number in one service.

use std::hash::{Hash, Hasher};

use super::{PhoneNumber, ServiceId, record_id, record_id_parts};

/// A number in a service: the key of everything that is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberKey {
    /// The namespace.
    pub service: ServiceId,
    /// The recipient of the codes.
    pub number: PhoneNumber,
    /// Whether it is a test number of the service. A test number has a record apart from that of the ordinary number.
    pub is_test: bool,
}

/// Hashes the id in one write: each request hashes its number several times.
impl Hash for NumberKey {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write(&self.id());
    }
}

/// Marks test numbers in ids. A number takes fewer bits.
const TEST: u64 = 1 << 63;

impl NumberKey {
    /// The key of a number that is no test number.
    pub const fn new(service: ServiceId, number: PhoneNumber) -> Self {
        Self { service, number, is_test: false }
    }

    /// The service in four bytes and the digits in eight, big-endian.
    pub fn id(&self) -> [u8; 12] {
        record_id(self.service, self.number.as_u64() | if self.is_test { TEST } else { 0 })
    }

    /// Reverses [`NumberKey::id`]. `None` if the digits are not a number.
    pub fn from_id(id: &[u8; 12]) -> Option<Self> {
        let (service, number) = record_id_parts(*id);
        let is_test = number & TEST != 0;
        Some(Self { service, number: PhoneNumber::from_u64(number & !TEST)?, is_test })
    }
}
