//! Each status, `Retry-After` and message id of a provider has its meaning.

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::HeaderValue;

use super::*;

#[test]
fn every_status_has_a_class_and_says_whether_all_messages_meet_it() {
    for (statuses, class, whole_gateway) in [
        (&[200, 204][..], ErrorClass::Ambiguous, false),
        (&[301, 307, 308, 401, 402], ErrorClass::Configuration, true),
        (&[403], ErrorClass::Configuration, false),
        (&[302, 303, 304, 408, 500, 503, 600, 999], ErrorClass::Ambiguous, true),
        (&[400, 404, 422, 499], ErrorClass::Refused, false),
        (&[429], ErrorClass::Retry, true),
    ] {
        for status in statuses {
            let answer = answer(*status, Some(Bytes::new()));
            let error = classify_status(&answer, "").0.error(GatewayName::Http, None, String::new());
            let error = error.with_wait_of(&answer);
            assert_eq!((error.class, error.whole_gateway), (class, whole_gateway), "{status}");
            let wait = (class == ErrorClass::Retry).then_some(Duration::from_secs(9));
            assert_eq!(error.wait, wait, "{status}");
        }
    }
    // A body that broke off is the server's trouble.
    assert_eq!(classify_status(&answer(200, None), "").0, CodeClass::Down);
    assert!(classify_status(&answer(301, None), "sms.mada.url").1.ends_with("check sms.mada.url"));
}

fn answer(status: u16, body: Option<Bytes>) -> GatewayResponse {
    let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("9"))]);
    GatewayResponse { status: StatusCode::from_u16(status).expect("a status"), headers, body }
}

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
        let mut headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);
        headers.extend(date.map(|date| (DATE, HeaderValue::from_static(date))));
        assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{value}");
    }
    assert_eq!(retry_after(&HeaderMap::new()), None);
}

#[test]
fn an_id_or_a_code_that_could_do_harm_elsewhere_is_not_taken_over() {
    for id in ["1234567890", "a-b_c.d:e=f+g/h@i", &"x".repeat(72)] {
        assert_eq!(usable_id(id).as_deref(), Some(id));
    }
    for id in ["", " ", "a b", "<script>", "a\nb", "\"", "ä", &"x".repeat(73)] {
        assert_eq!(usable_id(id), None, "{id}");
    }
    for (text, code) in [("999999", Some(999_999)), ("1000000", None), ("-1", None), ("a", None)] {
        assert_eq!(code_in(text), code);
    }
}
