//! Ids of services, verifications, delivery attempts and everything that the API names in Twilio's form.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use super::PhoneNumber;

/// Identifies a service. The same number in two services has two independent lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServiceId(u32);

impl ServiceId {
    /// The service behind `/api/*`, `/send-code` and `/verify-code`, configured by the top-level
    /// keys.
    pub const DEFAULT: Self = Self(0);
    /// The name of [`DEFAULT`](Self::DEFAULT) in requests, logs and metrics.
    pub const DEFAULT_NAME: &str = "default";

    /// From the number kept in records.
    pub const fn new(id: u32) -> Self {
        Self(id)
    }

    /// The number kept in records.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The id of a record: the service in four bytes and the subject within it in eight, big-endian.
pub fn record_id(service: ServiceId, subject: u64) -> [u8; 12] {
    let mut id = [0; 12];
    id[..4].copy_from_slice(&service.get().to_be_bytes());
    id[4..].copy_from_slice(&subject.to_be_bytes());
    id
}

/// The service and the subject of a [`record_id`].
pub const fn record_id_parts(id: [u8; 12]) -> (ServiceId, u64) {
    let [a, b, c, d, subject @ ..] = id;
    (ServiceId::new(u32::from_be_bytes([a, b, c, d])), u64::from_be_bytes(subject))
}

/// The id of a record that says its own slot: of the sends of one verification, of its events, or of an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptLogKey {
    pub service: ServiceId,
    /// 56 bits of the verification's salt, and the slot that its number is in.
    pub verification: u64,
}

impl AttemptLogKey {
    /// From half of a verification's salt and the slot of its number. The slot takes the place of the lowest byte: the key
    /// leads to its slot wherever it goes.
    pub const fn new(service: ServiceId, salt: u64, slot: u8) -> Self {
        Self { service, verification: salt & !0xff | slot as u64 }
    }

    pub const fn slot(&self) -> u8 {
        self.verification.to_be_bytes()[7]
    }

    /// The [`record_id`] of the service and the verification.
    pub fn id(&self) -> [u8; 12] {
        record_id(self.service, self.verification)
    }

    /// The inverse of [`AttemptLogKey::id`].
    pub fn from_id(id: [u8; 12]) -> Self {
        let (service, verification) = record_id_parts(id);
        Self { service, verification }
    }
}

/// One attempt to send a message through a gateway. Providers get it as part of a callback address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    pub key: AttemptLogKey,
    /// Which of its attempts, counted from 0.
    pub attempt: u8,
}

impl AttemptId {
    /// Reads what `Display` wrote. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (key, attempt) = text.rsplit_once('-')?;
        let (service, verification) = key.split_once('-')?;
        let service = ServiceId::new(u32::from_str_radix(service, 16).ok()?);
        let verification = u64::from_str_radix(verification, 16).ok()?;
        let id = Self { key: AttemptLogKey { service, verification }, attempt: attempt.parse().ok()? };
        // Each id has one spelling, without anything after it.
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for AttemptId {
    /// `0-5f3a90c1d2e4b687-1`: service, verification, attempt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:016x}-{}", self.key.service.get(), self.key.verification, self.attempt)
    }
}

named! {
    /// The kind of thing that an id names. Records have the number of the variant: a new kind comes last.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum SidKind {
        /// `AC`: the account, that is this installation.
        Account = "AC",
        /// `SK`: an API key.
        ApiKey = "SK",
        /// `VA`: a service.
        Service = "VA",
        /// `VE`: a verification.
        Verification = "VE",
        /// `VL`: one attempt to deliver a verification's message.
        Attempt = "VL",
        /// `RK`: a rate limit.
        RateLimit = "RK",
        /// `BL`: a bucket of a rate limit.
        Bucket = "BL",
        /// `HJ`: a template.
        Template = "HJ",
        /// `YW`: a webhook.
        Webhook = "YW",
        /// `GN`: a number on the safe list.
        SafeNumber = "GN",
        /// `MG`: a messaging service, here one of the gateways.
        MessagingService = "MG",
        /// `VH`: a hosted session.
        HostedSession = "VH",
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid {
    kind: SidKind,
    bytes: [u8; 16],
}

impl Sid {
    /// From its 16 bytes.
    pub const fn new(kind: SidKind, bytes: [u8; 16]) -> Self {
        Self { kind, bytes }
    }

    /// An id that is made of a name: the same after every restart and on every machine. The first half of a SHA-256.
    pub fn of_name(kind: SidKind, what: &str, name: &str) -> Self {
        let digest = Sha256::new().chain_update(what).chain_update([0]).chain_update(name).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self { kind, bytes }
    }

    /// Reads an id of this kind: the letters as they are, the digits in either case. `None` for anything else.
    pub fn parse(kind: SidKind, text: &str) -> Option<Self> {
        let digits = text.strip_prefix(kind.as_str())?;
        let mut bytes = [0; 16];
        let read = base16ct::mixed::decode(digits, &mut bytes).ok()?;
        (read.len() == 16).then_some(Self { kind, bytes })
    }

    /// The kind of thing that it names.
    pub const fn kind(&self) -> SidKind {
        self.kind
    }

    /// The 16 bytes after the letters.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.bytes
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        f.write_str(&base16ct::lower::encode_string(&self.bytes))
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// In records the number of the kind and the 16 bytes, in readable formats the text.
impl Serialize for Sid {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.collect_str(self)
        } else {
            (self.kind as u8, self.bytes).serialize(to)
        }
    }
}

impl<'de> Deserialize<'de> for Sid {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let sid = if from.is_human_readable() {
            let text = String::deserialize(from)?;
            SidKind::ALL.into_iter().find_map(|kind| Self::parse(kind, &text))
        } else {
            let (kind, bytes) = <(u8, [u8; 16])>::deserialize(from)?;
            SidKind::ALL.get(usize::from(kind)).map(|kind| Self::new(*kind, bytes))
        };
        sid.ok_or_else(|| de::Error::custom("not an id"))
    }
}

// Names and notes that people write.

const NAME_LONGEST: usize = 30;

/// Twilio refuses names with more digits: they could be taken for a code.
const NAME_DIGITS: usize = 4;

/// A name for people on one line, which is no placeholder in a message.
pub fn short_name(text: &str, longest: usize) -> Result<String, String> {
    let text = text.trim();
    let characters = text.chars().count();
    if characters == 0 || characters > longest {
        return Err(format!("must have 1 to {longest} characters"));
    }
    one_line(text).map(|()| text.to_owned())
}

/// Text that becomes a part of messages.
pub fn one_line(text: &str) -> Result<(), String> {
    // Bidirectional controls could show a text in another order than it is read.
    let controls = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(controls) {
        return Err("must be one line, without control characters".to_owned());
    }
    if text.contains(['{', '}']) || text.contains("_CODE_") {
        return Err("must not contain \"{\", \"}\" or \"_CODE_\", which mark places in messages".to_owned());
    }
    Ok(())
}

pub fn friendly_name(text: &str) -> Result<String, String> {
    let name = short_name(text, NAME_LONGEST)?;
    if name.chars().filter(|c| c.is_numeric()).count() > NAME_DIGITS {
        return Err(format!("must not have more than {NAME_DIGITS} digits, which could be taken for a code"));
    }
    Ok(name)
}

/// Text for people that becomes no part of a message.
pub fn note(text: &str, longest: usize) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > longest || text.chars().any(char::is_control) {
        return Err(format!("must have 1 to {longest} characters, without control characters"));
    }
    Ok(text.to_owned())
}

/// Whether it is 1 to 64 letters, digits, `-` and `_`.
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

// A number in one service.

/// A number in a service: the key of everything that is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberKey {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_resource_is_read_as_written_and_under_no_other_letters() {
        for kind in SidKind::ALL {
            let sid = Sid::new(kind, [0xa7; 16]);
            let text = sid.to_string();
            assert_eq!((text.len(), Sid::parse(kind, &text)), (34, Some(sid)));
            assert!(SidKind::ALL.iter().filter(|other| Sid::parse(**other, &text).is_some()).count() == 1);
            let record = postcard::to_extend(&sid, Vec::new()).expect("bytes");
            assert_eq!((record.len(), postcard::from_bytes(&record)), (17, Ok(sid)));
            let json = serde_json::to_string(&sid).expect("JSON");
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Sid>(&json).expect("an id"), sid);
        }
    }

    #[test]
    fn the_id_of_an_attempt_is_read_as_written_and_in_no_other_spelling() {
        let key = AttemptLogKey { service: ServiceId::new(0x1f), verification: 0x00ab_cdef_0123_4567 };
        let id = AttemptId { key, attempt: 12 };
        assert_eq!(id.to_string(), "1f-00abcdef01234567-12");
        assert_eq!(AttemptId::parse(&id.to_string()), Some(id));
        for text in [
            "",
            "1f-00abcdef01234567",
            "1F-00abcdef01234567-12",
            "1f-abcdef01234567-12",
            "1f-00abcdef01234567-12-",
            "1f-00abcdef01234567-012",
            "1f-00abcdef01234567-256",
        ] {
            assert_eq!(AttemptId::parse(text), None, "{text:?}");
        }
    }
}
