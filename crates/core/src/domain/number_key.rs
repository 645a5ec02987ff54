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
    /// Whether its codes are carried for another system. They have a record apart, too.
    pub is_carried: bool,
}

/// Hashes the id in one write: each request hashes its number several times.
impl Hash for NumberKey {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write(&self.id());
    }
}

/// Marks test numbers in ids. A number takes fewer bits.
const TEST: u64 = 1 << 63;
/// Marks numbers whose codes are carried.
const CARRIED: u64 = 1 << 62;

impl NumberKey {
    /// The key of a number that is no test number, and of codes that are made here.
    pub const fn new(service: ServiceId, number: PhoneNumber) -> Self {
        Self { service, number, is_test: false, is_carried: false }
    }

    /// The keys of all records of a number in a service, that of [`NumberKey::new`] last.
    pub const fn all(service: ServiceId, number: PhoneNumber) -> [Self; 3] {
        let last = Self::new(service, number);
        [Self { is_test: true, ..last }, Self { is_carried: true, ..last }, last]
    }

    /// The service in four bytes and the digits in eight, big-endian.
    pub fn id(&self) -> [u8; 12] {
        let mark = if self.is_test { TEST } else { 0 } | if self.is_carried { CARRIED } else { 0 };
        record_id(self.service, self.number.as_u64() | mark)
    }

    /// Reverses [`NumberKey::id`]. `None` if the digits are not a number.
    pub fn from_id(id: &[u8; 12]) -> Option<Self> {
        let (service, number) = record_id_parts(*id);
        let (is_test, is_carried) = (number & TEST != 0, number & CARRIED != 0);
        let number = PhoneNumber::from_u64(number & !(TEST | CARRIED))?;
        Some(Self { service, number, is_test, is_carried })
    }
}
