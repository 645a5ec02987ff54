//! Ids in the form that Twilio gives them: two letters that say what it is, and 32 hexadecimal digits.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What an id names. Records have the number of the variant: a new kind comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SidKind {
    /// `AC`: the account, that is this installation.
    Account,
    /// `SK`: an API key.
    ApiKey,
    /// `VA`: a service.
    Service,
    /// `VE`: a verification.
    Verification,
    /// `VL`: one attempt to deliver a verification's message.
    Attempt,
    /// `RK`: a rate limit.
    RateLimit,
    /// `BL`: a bucket of a rate limit.
    Bucket,
    /// `HJ`: a template.
    Template,
    /// `YW`: a webhook.
    Webhook,
    /// `GN`: a number on the safe list.
    SafeNumber,
    /// `MG`: a messaging service, here one of the gateways.
    MessagingService,
}

impl SidKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Account,
        Self::ApiKey,
        Self::Service,
        Self::Verification,
        Self::Attempt,
        Self::RateLimit,
        Self::Bucket,
        Self::Template,
        Self::Webhook,
        Self::SafeNumber,
        Self::MessagingService,
    ];

    /// The two letters.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Account => "AC",
            Self::ApiKey => "SK",
            Self::Service => "VA",
            Self::Verification => "VE",
            Self::Attempt => "VL",
            Self::RateLimit => "RK",
            Self::Bucket => "BL",
            Self::Template => "HJ",
            Self::Webhook => "YW",
            Self::SafeNumber => "GN",
            Self::MessagingService => "MG",
        }
    }
}

/// An id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid {
    kind: SidKind,
    bytes: [u8; 16],
}

impl Sid {
    /// Letters and digits together.
    pub const LEN: usize = 34;

    /// From its 16 bytes.
    pub const fn new(kind: SidKind, bytes: [u8; 16]) -> Self {
        Self { kind, bytes }
    }

    /// Reads an id of this kind: the letters as they are, the digits in either case. `None` for anything else.
    pub fn parse(kind: SidKind, text: &str) -> Option<Self> {
        let digits = text.strip_prefix(kind.prefix())?;
        let mut bytes = [0; 16];
        let read = base16ct::mixed::decode(digits, &mut bytes).ok()?;
        (read.len() == 16).then_some(Self { kind, bytes })
    }

    /// What it names.
    pub const fn kind(&self) -> SidKind {
        self.kind
    }

    /// The 16 bytes behind the letters.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.bytes
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.prefix())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written_and_under_no_other_letters() {
        for kind in SidKind::ALL {
            let sid = Sid::new(kind, [0xa7; 16]);
            let text = sid.to_string();
            assert_eq!((text.len(), Sid::parse(kind, &text)), (Sid::LEN, Some(sid)));
            assert!(SidKind::ALL.iter().filter(|other| Sid::parse(**other, &text).is_some()).count() == 1);
            let record = postcard::to_allocvec(&sid).expect("bytes");
            assert_eq!((record.len(), postcard::from_bytes(&record)), (17, Ok(sid)));
            let json = serde_json::to_string(&sid).expect("JSON");
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Sid>(&json).expect("an id"), sid);
        }
    }

    #[test]
    fn what_is_no_id_is_not_read() {
        let good = Sid::new(SidKind::Service, [0x0f; 16]).to_string();
        assert!(Sid::parse(SidKind::Service, &good.to_ascii_uppercase()).is_some());
        let (short, long) = (&good[..33], format!("{good}0"));
        for text in [
            "",
            "VA",
            short,
            &long,
            "VAzf0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
            "va0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
            "VAä",
        ] {
            assert_eq!(Sid::parse(SidKind::Service, text), None, "{text:?}");
        }
    }
}
