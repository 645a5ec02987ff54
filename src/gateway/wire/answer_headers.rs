//! What the headers of a provider's answer say.

use std::time::Duration;

use hyper::header::{DATE, HeaderMap, RETRY_AFTER};

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or a date, which is compared with the answer's own
/// `Date`, so that it does not matter how far the two machines' clocks are apart.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let answered = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(until.duration_since(answered).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_nothing_else() {
        const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        const LATER: &str = "Sun, 06 Nov 1994 08:50:37 GMT";
        for (value, date, expected) in [
            ("7", None, Some(7)),
            (" 7 ", None, Some(7)),
            (LATER, Some(AT), Some(60)),
            (AT, Some(LATER), Some(0)),
            (LATER, None, None),
            ("-1", None, None),
            ("soon", Some(AT), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().expect("a header"));
            if let Some(date) = date {
                headers.insert(DATE, date.parse().expect("a header"));
            }
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
