//! Dates as Twilio writes them: `2015-07-30T20:00:00Z`.

use crate::domain::Timestamp;

/// A moment, to the second.
pub fn written(at: Timestamp) -> String {
    at.rfc3339_seconds().to_string()
}
