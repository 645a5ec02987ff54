//! The documented answers of `/api/*`: `docs/api.md`.

use serde_json::json;

use super::Expectation;

/// The provider accepted the message; this many wrong codes are still allowed.
pub fn sent(number: &str, trials: u32) -> Expectation {
    let data = json!({"user": {"phoneNumber": number}, "trials": trials});
    Expectation::with_data(200, "OTP send successfully.", data)
}

/// The code was right.
pub fn verified(number: &str) -> Expectation {
    Expectation::with_data(200, "OTP verified successfully.", json!(number))
}

/// The code was wrong or late; this many wrong codes are still allowed.
pub fn incorrect(number: &str, trials: u32) -> Expectation {
    let data = json!({"user": {"phoneNumber": number}, "trials": trials});
    Expectation::with_data(401, "Incorrect OTP/ OTP Expired", data)
}

/// No codes are sent or checked for this many minutes.
pub fn locked(number: &str, minutes: u32) -> Expectation {
    let data = json!({"user": {"phoneNumber": number}, "ttl": minutes, "lockout_duration": minutes});
    Expectation::with_data(403, "User locked out due to exceeding maximum attempts.", data)
}

/// The body makes no sense, or the number cannot take messages.
pub fn bad_request() -> Expectation {
    Expectation::plain(400, "Invalid request body")
}

/// The provider refused or did not answer in time.
pub fn failed() -> Expectation {
    Expectation::plain(500, "Internal server error occurred.")
}
