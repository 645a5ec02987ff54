//! What the snapshot says of itself, so that a part of it that went missing is noticed.

/// The key the account is kept under. Records' keys begin with their kind, which is never 0.
pub(super) const ACCOUNT_KEY: &[u8] = &[0];

const VERSION: u8 = 1;
const ENCODED_BYTES: usize = 37;

/// The state of the snapshot as a whole. Part of every batch that changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Account {
    /// The last journal segment whose changes are in the snapshot; replay begins behind it.
    pub(super) covered_segment: u64,
    /// The last sequence in that segment, so that the next one can be proved to follow it.
    pub(super) covered_sequence: u64,
    /// How many entries there are.
    pub(super) entries: u64,
    /// The sum over all entries of a number that depends on all bits of the entry. It does not
    /// depend on the order, so a change costs no pass over the rest.
    pub(super) digest: u64,
}

impl Account {
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.entries = self.entries.wrapping_add(1);
        self.digest = self.digest.wrapping_add(fingerprint(key, value));
    }

    pub(super) fn subtract(&mut self, key: &[u8], value: &[u8]) {
        self.entries = self.entries.wrapping_sub(1);
        self.digest = self.digest.wrapping_sub(fingerprint(key, value));
    }

    /// Version, fields in big-endian order, and the CRC-32C of these.
    pub(super) fn encode(&self) -> [u8; ENCODED_BYTES] {
        let mut bytes = [VERSION; ENCODED_BYTES];
        bytes[1..9].copy_from_slice(&self.covered_segment.to_be_bytes());
        bytes[9..17].copy_from_slice(&self.covered_sequence.to_be_bytes());
        bytes[17..25].copy_from_slice(&self.entries.to_be_bytes());
        bytes[25..33].copy_from_slice(&self.digest.to_be_bytes());
        let checksum = crc32c::crc32c(&bytes[..33]);
        bytes[33..].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let field = |at: usize| Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let account = Self {
            covered_segment: field(1)?,
            covered_sequence: field(9)?,
            entries: field(17)?,
            digest: field(25)?,
        };
        // Replay goes on behind both.
        let counts_on = account.covered_segment.max(account.covered_sequence) < u64::MAX;
        (counts_on && account.encode() == bytes).then_some(account)
    }
}

/// This finds accidents, not forgeries: who can write to the data directory can do anything.
fn fingerprint(key: &[u8], value: &[u8]) -> u64 {
    u64::from(crc32c::crc32c_append(crc32c::crc32c(key), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_entries_go_the_way_they_came_the_account_is_as_before() {
        let before = Account { covered_segment: 3, covered_sequence: 9, entries: 5, digest: 77 };
        let mut account = before;
        account.add(b"a", b"1");
        account.add(b"b", b"2");
        account.subtract(b"a", b"1");
        assert_ne!(account, before);
        account.subtract(b"b", b"2");
        assert_eq!(account, before);
    }

    #[test]
    fn when_any_bit_of_an_account_flips_it_is_refused() {
        let account = Account { covered_segment: 3, covered_sequence: 9, entries: 5, digest: 77 };
        let bytes = account.encode();
        assert_eq!(Account::decode(&bytes), Some(account));
        for bit in 0..ENCODED_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Account::decode(&flipped), None);
        }
        assert_eq!(Account::decode(&bytes[..20]), None);
    }

    #[test]
    fn an_account_that_nothing_can_follow_is_refused() {
        let last = Account { covered_segment: u64::MAX, ..Account::default() };
        assert_eq!(Account::decode(&last.encode()), None);
        let last = Account { covered_sequence: u64::MAX, ..Account::default() };
        assert_eq!(Account::decode(&last.encode()), None);
    }
}
