//! Moments, as the engine and the records know them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::values;

/// A moment: milliseconds since the Unix epoch (UTC).
///
/// In records an integer, in readable formats RFC 3339 with milliseconds; the last moment that it can spell means never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);

    /// The last time, which means never.
    pub const MAX: Self = Self(u64::MAX);

    /// The last moment that RFC 3339 can spell.
    pub const LAST_READABLE: Self = Self(253_402_300_799_999);

    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This moment plus `span`; the far end of time when it does not fit.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// This moment less `span`; the epoch when that would be before it.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(millis))
    }

    /// Reads a moment of RFC 3339, with or without fractions of a second and an offset from UTC, from 1970 on.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_uppercase();
        let (local, offset) = match text.strip_suffix('Z') {
            Some(local) => (local, "+00:00"),
            None => text.split_at_checked(text.len().checked_sub("+00:00".len())?)?,
        };
        // humantime overlooks a second zone.
        let is_local = local.ends_with(|c: char| c.is_ascii_digit());
        let at = humantime::parse_rfc3339(&format!("{local}Z")).ok().filter(|_| is_local)?;
        let (hours, minutes) = offset.get(1..)?.split_once(':')?;
        let part = |text: &str, most: u64| {
            let is_two_digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|part: &u64| is_two_digits && *part <= most)
        };
        let ahead = Duration::from_secs(part(hours, 23)? * 3_600 + part(minutes, 59)? * 60);
        Self::from_system_time(match offset.chars().next()? {
            // In a form a `+` that was not encoded is a space.
            '+' | ' ' => at.checked_sub(ahead)?,
            '-' => at.checked_add(ahead)?,
            _ => return None,
        })
    }

    /// `None` before 1970.
    pub fn from_system_time(time: SystemTime) -> Option<Self> {
        let since_epoch = time.duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(since_epoch.as_millis()).ok().map(Self)
    }

    /// The same, or a day such as `2027-01-31`, which means its beginning.
    pub fn parse_day_or_moment(text: &str) -> Option<Self> {
        let is_day = text.len() == "2027-01-31".len();
        if is_day { Self::parse(&format!("{text}T00:00:00Z")) } else { Self::parse(text) }
    }

    /// RFC 3339 in UTC, with milliseconds. A later moment than RFC 3339 can spell is written as the last one.
    pub fn rfc3339_millis(self) -> impl fmt::Display + use<> {
        humantime::format_rfc3339_millis(self.readable())
    }

    /// The same to the second: `2015-07-30T20:00:00Z`.
    pub fn rfc3339_seconds(self) -> impl fmt::Display + use<> {
        humantime::format_rfc3339_seconds(self.readable())
    }

    fn readable(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.min(Self::LAST_READABLE).0)
    }

    /// The time from `earlier` until this moment; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Whole seconds, rounded up and never 0: a client that waits that long is let in.
pub fn seconds_up(span: Duration) -> u64 {
    units_up(span, 1_000)
}

/// Whole minutes, rounded up and never 0.
pub fn minutes_up(span: Duration) -> u64 {
    units_up(span, 60_000)
}

fn units_up(span: Duration, millis: u128) -> u64 {
    u64::try_from(span.as_millis().div_ceil(millis)).unwrap_or(u64::MAX).max(1)
}

values! {
    // A day means its beginning.
    Timestamp: "a moment such as \"2027-01-31T12:00:00Z\" (RFC 3339), or a day such as \"2027-01-31\"", Self::parse_day_or_moment, {
        "type": "string",
        "pattern": "^(19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\
            (T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))?$",
    };
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(&self.rfc3339_millis()) } else { to.serialize_u64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if !from.is_human_readable() {
            return u64::deserialize(from).map(Self);
        }
        let at: Self = String::deserialize(from)?.trim().parse().map_err(de::Error::custom)?;
        Ok(if at == Self::LAST_READABLE { Self::MAX } else { at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_spelled_as_rfc_3339_in_json() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            let (moment, json) = (Timestamp(ms), format!("\"{text}\""));
            assert_eq!(serde_json::to_string(&moment).expect("JSON"), json);
            assert_eq!(serde_json::from_str::<Timestamp>(&json).expect("a moment"), moment);
            let bytes = postcard::to_extend(&moment, Vec::new()).expect("bytes");
            assert_eq!(postcard::from_bytes(&bytes), Ok(moment));
        }
        let noon = Timestamp::parse("2026-12-01T12:00:00Z").expect("a moment");
        // Twilio's library for Go writes local time; an unencoded `+` of a form is a space.
        for text in
            ["2026-12-01T13:00:00+01:00", "2026-12-01T13:00:00 01:00", "2026-12-01T07:30:00.000-04:30"]
        {
            assert_eq!(Timestamp::parse(text), Some(noon), "{text}");
        }
        for text in [
            "2026-12-01T13:00:00+25:00",
            "2026-12-01T13:00:00+0100",
            "2026-12-01T13:00:00Z+01:00",
            "2026-12-01T13:00:00ZZ",
            "2026-12-01T13:00:00+01:0",
            "+01:00",
            "é1:00",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
        for wrong in ["\"yesterday\"", "-1", "1.5", "1", "\"1969-12-31T23:59:59Z\"", "null", "\"\""] {
            assert!(serde_json::from_str::<Timestamp>(wrong).is_err(), "{wrong}");
        }
    }
}
