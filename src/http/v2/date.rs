//! Dates as Twilio writes them: `2015-07-30T20:00:00Z`.

use std::time::UNIX_EPOCH;

use crate::domain::Timestamp;

/// A moment, to the second.
pub fn written(at: Timestamp) -> String {
    at.rfc3339_seconds().to_string()
}

/// Reads a moment (RFC 3339 in UTC, with or without fractions) or a day, which is its beginning; from 1970 on.
pub fn read(text: &str) -> Option<Timestamp> {
    let is_day = text.len() == "2015-07-30".len();
    let full = if is_day { format!("{text}T00:00:00Z") } else { text.to_owned() };
    if !full.ends_with('Z') {
        return None;
    }
    let since = humantime::parse_rfc3339(&full).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(u64::try_from(since.as_millis()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_to_the_second_and_read_as_it_was_written() {
        let at = Timestamp::from_millis(1_438_286_400_999);
        assert_eq!(written(at), "2015-07-30T20:00:00Z");
        assert_eq!(read("2015-07-30T20:00:00Z"), Some(Timestamp::from_millis(1_438_286_400_000)));
        assert_eq!(read("2015-07-30T20:00:00.25Z"), Some(Timestamp::from_millis(1_438_286_400_250)));
        assert_eq!(read("2015-07-30"), Some(Timestamp::from_millis(1_438_214_400_000)));
        assert_eq!(written(Timestamp::from_millis(u64::MAX)), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn what_is_no_moment_is_not_read() {
        for text in [
            "",
            "yesterday",
            "1969-12-31",
            "2015-13-01",
            "2015-07-30T20:00:00",
            "2015-07-30T20:00:00+01:00",
            "1",
            "é",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
