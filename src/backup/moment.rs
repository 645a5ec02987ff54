//! Moments as a person reads them: RFC 3339 in UTC, with milliseconds.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::domain::Timestamp;

/// The last moment that RFC 3339 can spell, in milliseconds since the epoch. Later ones, such as a keeping
/// without end, are written as that number.
const LAST_MS: u64 = 253_402_300_799_999;

/// A moment in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(pub(super) Timestamp);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let ms = self.0.as_millis();
        if ms > LAST_MS { to.serialize_u64(ms) } else { to.collect_str(&rfc3339(self.0)) }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Moment;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a time such as \"2026-01-31T12:00:00.000Z\", or milliseconds since 1970")
    }

    fn visit_u64<E: de::Error>(self, ms: u64) -> Result<Moment, E> {
        Ok(Moment(Timestamp::from_millis(ms)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Moment, E> {
        let wrong = || de::Error::invalid_value(de::Unexpected::Str(text), &self);
        let at = humantime::parse_rfc3339(text).map_err(|_| wrong())?;
        let since = at.duration_since(UNIX_EPOCH).map_err(|_| wrong())?;
        let ms = u64::try_from(since.as_millis()).map_err(|_| wrong())?;
        Ok(Moment(Timestamp::from_millis(ms)))
    }
}

/// The moment as RFC 3339 spells it; the last that it can spell for all that come later.
pub fn rfc3339(at: Timestamp) -> impl std::fmt::Display {
    let since_epoch = Duration::from_millis(at.as_millis().min(LAST_MS));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since_epoch)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_moment_is_read_as_it_was_written(ms in prop_oneof![any::<u64>(), 0..2 * LAST_MS, Just(LAST_MS), Just(LAST_MS + 1)]) {
            let moment = Moment(Timestamp::from_millis(ms));
            let text = serde_json::to_string(&moment).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<Moment>(&text).expect("a moment"), moment);
        }
    }

    #[test]
    fn a_moment_is_spelled_for_people() {
        let moment = Moment(Timestamp::from_millis(1_700_000_000_123));
        assert_eq!(serde_json::to_string(&moment).expect("JSON"), "\"2023-11-14T22:13:20.123Z\"");
        for wrong in ["\"yesterday\"", "-1", "1.5", "\"1969-12-31T23:59:59Z\"", "null", "\"\""] {
            assert!(serde_json::from_str::<Moment>(wrong).is_err(), "{wrong}");
        }
    }
}
