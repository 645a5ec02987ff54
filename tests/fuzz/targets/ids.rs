//! Ids in Twilio's form, and the addresses sealed in them.

use onceward::domain::{AttemptId, AttemptLogKey, PhoneNumber, ServerKey, ServiceId, Sid, SidKind};
use onceward::engine::{LAST_SERVICE, Sealer, VerificationAddress, VerificationName};

use super::support::text;

/// An id as text; otherwise 16 bytes of an id, and an address to seal.
pub fn sids(input: &[u8]) {
    if let Some(written) = text(input) {
        read(written);
    }
    let sealer = Sealer::new(&ServerKey::from_bytes([11; 32]));
    let other = Sealer::new(&ServerKey::from_bytes([12; 32]));
    let Some((bytes, rest)) = input.split_at_checked(16) else { return };
    let bytes: [u8; 16] = bytes.try_into().expect("16 of them");
    // An address that an id opens to has that id and no other.
    let verification = Sid::new(SidKind::Verification, bytes);
    if let Some(address) = sealer.open_verification(&verification) {
        assert_eq!(sealer.verification(&address), verification);
    }
    let attempt = Sid::new(SidKind::Attempt, bytes);
    if let Some(id) = sealer.open_attempt(&attempt) {
        assert_eq!(sealer.attempt(&id), attempt);
    }
    for kind in SidKind::ALL {
        let sid = Sid::new(kind, bytes);
        assert_eq!(Sid::parse(kind, &sid.to_string()), Some(sid));
        assert!(kind == SidKind::Verification || sealer.open_verification(&sid).is_none(), "{sid}");
        assert!(kind == SidKind::Attempt || sealer.open_attempt(&sid).is_none(), "{sid}");
    }
    let word = |at: usize| rest.get(at..at + 8).and_then(|word| word.try_into().ok()).map(u64::from_le_bytes);
    let (Some(number), Some(service), Some(name)) = (word(0), word(8), word(16)) else { return };
    let Some(number) = PhoneNumber::from_u64(number % 1_000_000_000_000_000) else { return };
    let service = u32::try_from(service % u64::from(LAST_SERVICE)).expect("24 bits");
    let address = VerificationAddress {
        service: ServiceId::new(service),
        number,
        name: VerificationName::from_bits(name),
    };
    let sid = sealer.verification(&address);
    assert_eq!(sealer.open_verification(&sid), Some(address));
    assert_ne!(other.open_verification(&sid), Some(address), "another server's key opens it");
    let shown = sid.to_string();
    assert!(!shown.contains(&number.as_u64().to_string()) || number.as_u64() < 1_000_000, "{shown}");
    let key = AttemptLogKey { service: ServiceId::new(service), verification: name };
    let id = AttemptId { key, attempt: rest.first().copied().unwrap_or_default() };
    assert_eq!(sealer.open_attempt(&sealer.attempt(&id)), Some(id));
}

fn read(written: &str) {
    let mut kinds = 0;
    for kind in SidKind::ALL {
        let Some(sid) = Sid::parse(kind, written) else { continue };
        kinds += 1;
        assert!(sid.kind() == kind && written.len() == Sid::LEN);
        let shown = sid.to_string();
        assert!(shown.eq_ignore_ascii_case(written) && written.starts_with(kind.as_str()), "{written}");
        assert_eq!(Sid::parse(kind, &shown), Some(sid));
    }
    assert!(kinds <= 1, "{written} is of {kinds} kinds");
}
