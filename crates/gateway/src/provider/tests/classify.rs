use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use serde_json::json;

use super::super::*;
use crate::clock::ManualClock;
use crate::domain::Timestamp;

#[test]
fn every_status_has_a_class_and_says_whether_all_messages_meet_it() {
    let retry = ErrorClass::Retry { after: Some(Duration::from_secs(9)) };
    for (status, class, whole_gateway) in [
        (200, ErrorClass::Ambiguous, false),
        (204, ErrorClass::Ambiguous, false),
        (301, ErrorClass::Configuration, true),
        (302, ErrorClass::Ambiguous, true),
        (303, ErrorClass::Ambiguous, true),
        (307, ErrorClass::Configuration, true),
        (308, ErrorClass::Configuration, true),
        (400, ErrorClass::Refused, false),
        (401, ErrorClass::Configuration, true),
        (402, ErrorClass::Configuration, true),
        (403, ErrorClass::Configuration, false),
        (404, ErrorClass::Refused, false),
        (408, ErrorClass::Ambiguous, true),
        (429, retry, true),
        (499, ErrorClass::Refused, false),
        (500, ErrorClass::Ambiguous, true),
        (503, ErrorClass::Ambiguous, true),
        (600, ErrorClass::Ambiguous, true),
    ] {
        let answer = answer(status, Some(Bytes::new()));
        let error = classify_status(&answer).error(GatewayName::Http, None, String::new());
        let error = error.with_wait_of(&answer);
        assert_eq!((error.class, error.whole_gateway), (class, whole_gateway), "{status}");
    }
}

#[test]
fn a_body_that_broke_off_is_the_servers_trouble() {
    assert_eq!(classify_status(&answer(200, None)), CodeClass::Down);
    assert!(words_for_status(&answer(200, None), "x").contains("broke off"));
}

#[test]
fn a_redirect_names_the_setting_to_check() {
    assert!(words_for_status(&answer(301, None), "sms.mada.url").ends_with("check sms.mada.url"));
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
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().expect("a header"));
        if let Some(date) = date {
            headers.insert(DATE, date.parse().expect("a header"));
        }
        assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{value}");
    }
    assert_eq!(retry_after(&HeaderMap::new()), None);
}

#[test]
fn an_id_that_could_do_harm_elsewhere_is_not_taken_over() {
    for id in ["1234567890", "a-b_c.d:e=f+g/h@i", &"x".repeat(72)] {
        assert_eq!(usable_id(id).as_deref(), Some(id));
    }
    for id in ["", " ", "a b", "<script>", "a\nb", "\"", "ä", &"x".repeat(73)] {
        assert_eq!(usable_id(id), None, "{id}");
    }
}

#[test]
fn numbers_are_ids_too() {
    assert_eq!(id_in(&json!(42)).as_deref(), Some("42"));
    assert_eq!(id_in(&json!("42")).as_deref(), Some("42"));
    for value in [json!(null), json!(true), json!(-1), json!(1.5), json!([1]), json!({"a": 1}), json!("")] {
        assert_eq!(id_in(&value), None, "{value}");
    }
}

#[test]
fn our_own_ids_differ() {
    let clock = ManualClock::starting_at(Timestamp::from_millis(255));
    let ids = OwnIds::new(GatewayName::Mada, &clock);
    assert_eq!([ids.next(), ids.next()], ["Mada-ff-1", "Mada-ff-2"]);
    assert!(usable_id(&ids.next()).is_some());
}
