//! What is under a path below `/v2/`.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Most parts of a path that has something under it: `Services/VA/RateLimits/RK/Buckets/BL`.
const MOST_PARTS: usize = 6;

/// A resource. What it is of says the path: [`Parts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `/v2/Services`
    Services,
    /// `/v2/Services/{Sid}`
    Service,
    /// `/v2/Services/{ServiceSid}/Verifications`
    Verifications,
    /// `/v2/Services/{ServiceSid}/Verifications/{Sid}`
    Verification,
    /// `/v2/Services/{ServiceSid}/VerificationCheck`
    VerificationCheck,
    /// `/v2/Services/{ServiceSid}/RateLimits`
    RateLimits,
    /// `/v2/Services/{ServiceSid}/RateLimits/{Sid}`
    RateLimit,
    /// `/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets`
    Buckets,
    /// `/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets/{Sid}`
    Bucket,
    /// `/v2/Services/{ServiceSid}/MessagingConfigurations`
    MessagingConfigurations,
    /// `/v2/Services/{ServiceSid}/MessagingConfigurations/{Country}`
    MessagingConfiguration,
    /// `/v2/Services/{ServiceSid}/Webhooks`
    Webhooks,
    /// `/v2/Services/{ServiceSid}/Webhooks/{Sid}`
    Webhook,
    /// `/v2/Services/{ServiceSid}/Webhooks/{Sid}/Deliveries`, not Twilio's
    Deliveries,
    /// `/v2/Services/{ServiceSid}/Webhooks/{Sid}/Replay`, not Twilio's
    Replay,
    /// `/v2/Services/{ServiceSid}/TestNumbers`, not Twilio's
    TestNumbers,
    /// `/v2/Services/{ServiceSid}/TestNumbers/{Pattern}`, not Twilio's
    TestNumber,
    /// `/v2/Attempts`
    Attempts,
    /// `/v2/Attempts/{Sid}`
    Attempt,
    /// `/v2/Attempts/Summary`
    AttemptsSummary,
    /// `/v2/Templates`
    Templates,
    /// `/v2/SafeList/Numbers`
    SafeNumbers,
    /// `/v2/SafeList/Numbers/{PhoneNumber}`
    SafeNumber,
    /// What Twilio serves and this server does not.
    NotServed(&'static str),
    /// Anything else.
    Unknown,
}

impl Kind {
    /// Every kind that is served.
    #[cfg(test)]
    pub const SERVED: [Self; 23] = [
        Self::Services,
        Self::Service,
        Self::Verifications,
        Self::Verification,
        Self::VerificationCheck,
        Self::RateLimits,
        Self::RateLimit,
        Self::Buckets,
        Self::Bucket,
        Self::MessagingConfigurations,
        Self::MessagingConfiguration,
        Self::Webhooks,
        Self::Webhook,
        Self::Deliveries,
        Self::Replay,
        Self::TestNumbers,
        Self::TestNumber,
        Self::Attempts,
        Self::Attempt,
        Self::AttemptsSummary,
        Self::Templates,
        Self::SafeNumbers,
        Self::SafeNumber,
    ];

    /// Reads a path that begins with `/v2/`. Exact: no trailing slash, no other case.
    pub fn of(path: &str) -> Self {
        let Some(parts) = Parts::of(path) else { return Self::Unknown };
        match parts.raw() {
            ["Services"] => Self::Services,
            ["Services", _] => Self::Service,
            ["Services", _, "Verifications"] => Self::Verifications,
            ["Services", _, "Verifications", _] => Self::Verification,
            ["Services", _, "VerificationCheck"] => Self::VerificationCheck,
            ["Services", _, "RateLimits"] => Self::RateLimits,
            ["Services", _, "RateLimits", _] => Self::RateLimit,
            ["Services", _, "RateLimits", _, "Buckets"] => Self::Buckets,
            ["Services", _, "RateLimits", _, "Buckets", _] => Self::Bucket,
            ["Services", _, "MessagingConfigurations"] => Self::MessagingConfigurations,
            ["Services", _, "MessagingConfigurations", _] => Self::MessagingConfiguration,
            ["Services", _, "Webhooks"] => Self::Webhooks,
            ["Services", _, "Webhooks", _] => Self::Webhook,
            ["Services", _, "Webhooks", _, "Deliveries"] => Self::Deliveries,
            ["Services", _, "Webhooks", _, "Replay"] => Self::Replay,
            ["Services", _, "TestNumbers"] => Self::TestNumbers,
            ["Services", _, "TestNumbers", _] => Self::TestNumber,
            ["Attempts"] => Self::Attempts,
            ["Attempts", "Summary"] => Self::AttemptsSummary,
            ["Attempts", _] => Self::Attempt,
            ["Templates"] => Self::Templates,
            ["SafeList", "Numbers"] => Self::SafeNumbers,
            ["SafeList", "Numbers", _] => Self::SafeNumber,
            ["Services", _, "Entities", ..] => Self::NotServed("Entities, Factors and Challenges"),
            ["Services", _, "AccessTokens"] | ["Services", _, "AccessTokens", _] => {
                Self::NotServed("AccessTokens")
            }
            ["Services", _, "Passkeys", ..] => Self::NotServed("Passkeys"),
            ["Forms", _] => Self::NotServed("Forms"),
            _ => Self::Unknown,
        }
    }

    /// The path with the names of its parameters: for logs, and for the description of the API.
    pub const fn template(self) -> &'static str {
        match self {
            Self::Services => "/v2/Services",
            Self::Service => "/v2/Services/{Sid}",
            Self::Verifications => "/v2/Services/{ServiceSid}/Verifications",
            Self::Verification => "/v2/Services/{ServiceSid}/Verifications/{Sid}",
            Self::VerificationCheck => "/v2/Services/{ServiceSid}/VerificationCheck",
            Self::RateLimits => "/v2/Services/{ServiceSid}/RateLimits",
            Self::RateLimit => "/v2/Services/{ServiceSid}/RateLimits/{Sid}",
            Self::Buckets => "/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets",
            Self::Bucket => "/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets/{Sid}",
            Self::MessagingConfigurations => "/v2/Services/{ServiceSid}/MessagingConfigurations",
            Self::MessagingConfiguration => "/v2/Services/{ServiceSid}/MessagingConfigurations/{Country}",
            Self::Webhooks => "/v2/Services/{ServiceSid}/Webhooks",
            Self::Webhook => "/v2/Services/{ServiceSid}/Webhooks/{Sid}",
            Self::Deliveries => "/v2/Services/{ServiceSid}/Webhooks/{Sid}/Deliveries",
            Self::Replay => "/v2/Services/{ServiceSid}/Webhooks/{Sid}/Replay",
            Self::TestNumbers => "/v2/Services/{ServiceSid}/TestNumbers",
            Self::TestNumber => "/v2/Services/{ServiceSid}/TestNumbers/{Pattern}",
            Self::Attempts => "/v2/Attempts",
            Self::Attempt => "/v2/Attempts/{Sid}",
            Self::AttemptsSummary => "/v2/Attempts/Summary",
            Self::Templates => "/v2/Templates",
            Self::SafeNumbers => "/v2/SafeList/Numbers",
            Self::SafeNumber => "/v2/SafeList/Numbers/{PhoneNumber}",
            Self::NotServed(_) => "/v2, not served",
            Self::Unknown => "/v2, unknown",
        }
    }

    /// The methods it answers, as the `Allow` header spells them; `None` when there is nothing.
    pub const fn allow(self) -> Option<&'static str> {
        match self {
            Self::Services
            | Self::Verification
            | Self::RateLimits
            | Self::Buckets
            | Self::MessagingConfigurations
            | Self::Webhooks
            | Self::TestNumbers => Some("GET, HEAD, POST"),
            Self::Service
            | Self::RateLimit
            | Self::Bucket
            | Self::MessagingConfiguration
            | Self::Webhook
            | Self::NotServed(_) => Some("GET, HEAD, POST, DELETE"),
            Self::Verifications | Self::VerificationCheck | Self::SafeNumbers | Self::Replay => Some("POST"),
            Self::Deliveries | Self::Attempts | Self::Attempt | Self::AttemptsSummary | Self::Templates => {
                Some("GET, HEAD")
            }
            Self::SafeNumber => Some("GET, HEAD, DELETE"),
            Self::TestNumber => Some("DELETE"),
            Self::Unknown => None,
        }
    }
}

/// The parts of a path below `/v2/`, as they were sent.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    parts: [&'a str; MOST_PARTS],
    count: usize,
}

impl<'a> Parts<'a> {
    /// Takes a path apart. `None` when it has more parts than anything has, or an empty one.
    pub fn of(path: &'a str) -> Option<Self> {
        let below = path.strip_prefix("/v2/")?;
        let mut parts = [""; MOST_PARTS];
        let mut count = 0;
        for part in below.split('/') {
            if part.is_empty() {
                return None;
            }
            *parts.get_mut(count)? = part;
            count += 1;
        }
        Some(Self { parts, count })
    }

    fn raw(&self) -> &[&'a str] {
        &self.parts[..self.count]
    }

    /// A part from 0, percent-decoded. `None` when it is absent or no UTF-8.
    pub fn get(&self, index: usize) -> Option<Cow<'a, str>> {
        let part: &'a str = self.raw().get(index).copied()?;
        percent_decode_str(part).decode_utf8().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_under_its_own_path() {
        for kind in Kind::SERVED {
            assert_eq!(Kind::of(kind.template()), kind);
        }
    }

    #[test]
    fn a_path_that_only_looks_like_one_is_unknown() {
        for path in [
            "/v2",
            "/v2/",
            "/v2/services",
            "/v2/Services/",
            "/v2//Services",
            "/v2/Services//Verifications",
            "/v2/Services/VA/Verifications/",
            "/v2/Services/VA/Verifications/VE/x",
            "/v2/Services/VA/RateLimits/RK/Buckets/BL/x",
            "/v2/Services/VA/Other",
            "/v2/SafeList",
            "/v2/Templates/HJ",
            "/V2/Services",
        ] {
            assert_eq!(Kind::of(path), Kind::Unknown, "{path}");
        }
    }

    #[test]
    fn what_twilio_serves_and_we_do_not_is_known_as_that() {
        for path in [
            "/v2/Forms/form-push",
            "/v2/Services/VA/AccessTokens",
            "/v2/Services/VA/Entities/1/Factors/YF",
            "/v2/Services/VA/Entities/1/Challenges/YC",
            "/v2/Services/VA/Passkeys/VerifyFactor",
        ] {
            assert!(matches!(Kind::of(path), Kind::NotServed(_)), "{path}");
        }
    }

    #[test]
    fn a_part_is_decoded_once() {
        let part = |path: &'static str| Parts::of(path).and_then(|parts| parts.get(3));
        assert_eq!(part("/v2/Services/VA/Verifications/%2B14155552671").as_deref(), Some("+14155552671"));
        assert_eq!(part("/v2/Services/VA/Verifications/+14155552671").as_deref(), Some("+14155552671"));
        assert_eq!(part("/v2/Services/VA/Verifications/%252B1").as_deref(), Some("%2B1"));
        assert_eq!(part("/v2/Services/VA/Verifications/%FF"), None);
    }
}
