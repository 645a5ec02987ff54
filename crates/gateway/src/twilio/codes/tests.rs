use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use super::ErrorClass::{
    Ambiguous, BadNumber, Configuration, Fraud, NotReachableHere, OptedOut, Refused, Retry,
};
use super::*;

const SOON: ErrorClass = Retry { after: None };
const NEXT_DAY: ErrorClass = Retry { after: Some(Duration::from_secs(24 * 60 * 60)) };

#[test]
fn every_code_has_the_class_that_the_security_rules_give_it() {
    let expected: &[(&[u32], ErrorClass)] = &[
        (&[21_211, 30_005, 13_223, 21_217, 21_401, 21_421, 60_200, 60_436], BadNumber),
        (&[21_614, 30_006, 60_205, 21_612, 21_635, 63_003, 63_024, 13_224, 21_214], NotReachableHere),
        (&[21_610], OptedOut),
        (&[21_408, 21_215, 13_227, 60_605, 21_203, 60_220, 60_238], Configuration),
        (&[21_608, 21_219], Configuration),
        (&[21_212, 21_601, 21_603, 21_606, 21_661, 21_701, 21_703, 21_704, 21_705], Configuration),
        (&[21_210, 21_213, 21_205, 21_609], Configuration),
        (&[20_003, 20_005, 20_008, 10_001, 10_005, 30_002, 20_404], Configuration),
        (&[30_018, 30_024, 30_034, 30_035, 60_204, 60_217, 60_223], Configuration),
        (&[63_016, 63_001, 63_007, 63_015, 63_027, 63_028, 21_655, 21_656], Configuration),
        (&[20_429, 25_109, 21_611, 30_001, 14_107, 30_022, 30_023, 30_027], SOON),
        (&[10_004, 60_212, 63_018], SOON),
        (&[63_038], Retry { after: Some(Duration::from_secs(86_400)) }),
        (&[20_500, 20_503], Ambiguous),
        (&[30_003, 30_008, 30_004, 30_007, 60_202, 60_203, 63_013, 63_032, 63_049], Refused),
        (&[30_450, 60_410, 60_412, 21_216, 13_225, 21_202], Fraud),
    ];
    let mut tested = 0;
    for (codes, class) in expected {
        for code in *codes {
            assert_eq!(class_of(Some(*code), 400), *class, "{code}");
            assert_eq!(class_of_report(*code), *class, "{code}");
            assert!(known_code(*code).is_some(), "{code}");
            tested += 1;
        }
    }
    assert_eq!(tested, CODES.len(), "a code of the table is not tested");
}

#[test]
fn only_what_meets_every_message_speaks_against_the_gateway() {
    let account = [20_003, 20_005, 20_008, 30_002, 10_001, 10_005];
    let busy = [20_429, 25_109, 21_611, 30_001, 63_038, 10_004];
    let trouble = [20_500, 20_503];
    let sender = [21_601, 21_603, 21_661, 21_701, 21_703, 21_704, 21_705, 21_210, 21_213];
    let settings = [21_205, 21_609, 60_217];
    let whole: Vec<u32> = [&account[..], &busy, &trouble, &sender, &settings].concat();
    for code in CODES.keys() {
        assert_eq!(classified(Some(*code), 400).whole_gateway, whole.contains(code), "{code}");
    }
}

#[test]
fn a_status_429_about_one_number_does_not_concern_the_whole_gateway() {
    for code in [60_202, 60_203, 60_212, 14_107] {
        assert!(!classified(Some(code), 429).whole_gateway, "{code}");
    }
    assert!(classified(Some(99_999), 429).whole_gateway);
}

#[test]
fn without_a_known_code_the_status_decides() {
    for code in [None, Some(1), Some(99_999)] {
        for (status, class, whole_gateway) in [
            (400, Refused, false),
            (401, Configuration, true),
            (402, Configuration, true),
            (403, Configuration, false),
            (404, Refused, false),
            (408, Ambiguous, true),
            (422, Refused, false),
            (429, SOON, true),
            (301, Configuration, true),
            (302, Ambiguous, true),
            (303, Ambiguous, true),
            (307, Configuration, true),
            (308, Configuration, true),
            (304, Ambiguous, true),
            (101, Ambiguous, true),
            (500, Ambiguous, true),
            (503, Ambiguous, true),
            (599, Ambiguous, true),
            (999, Ambiguous, true),
        ] {
            assert_eq!(
                (classified(code, status).class, classified(code, status).whole_gateway),
                (class, whole_gateway),
                "{code:?} {status}"
            );
        }
    }
}

#[test]
fn a_server_error_is_ambiguous_unless_the_request_was_never_processed() {
    assert_eq!(class_of(Some(21_211), 500), Ambiguous);
    assert_eq!(class_of(Some(21_611), 503), Ambiguous);
    assert_eq!(class_of(Some(20_429), 503), SOON);
    assert!(classified(Some(21_211), 500).whole_gateway && classified(Some(20_429), 503).whole_gateway);
}

#[test]
fn a_known_code_says_more_than_the_status() {
    assert_eq!(class_of(Some(30_450), 429), Fraud);
    assert_eq!(class_of(Some(63_038), 429), NEXT_DAY);
    assert_eq!(class_of(Some(21_608), 403), Configuration);
}

#[test]
fn a_success_with_a_failed_message_has_the_class_of_its_error_code() {
    let made = |body: &str| {
        let body = Some(Bytes::copy_from_slice(body.as_bytes()));
        let answer = GatewayResponse { status: StatusCode::CREATED, headers: HeaderMap::new(), body };
        created(GatewayName::TwilioMessages, &answer, |status| status == "failed")
    };
    for fine in ["", r#","status":null"#, r#","status":"queued","error_code":null"#, r#","error_code":30003"#]
    {
        let accepted = Accepted { message_id: "SM1".to_owned() };
        assert_eq!(made(&format!(r#"{{"sid":"SM1"{fine}}}"#)), Ok(accepted), "{fine}");
    }
    for (code, class, whole_gateway) in [
        ("null", Refused, false),
        ("30007", Refused, false),
        ("99999", Refused, false),
        ("21610", OptedOut, false),
        ("\"21610\"", OptedOut, false),
        ("30001", SOON, true),
        ("30002", Configuration, true),
    ] {
        let body = format!(r#"{{"sid":"SM1","status":"failed","error_code":{code}}}"#);
        let error = made(&body).expect_err("it has failed");
        assert_eq!((error.class, error.whole_gateway), (class, whole_gateway), "{code}");
    }
}

#[test]
fn a_report_with_an_unknown_code_says_that_it_did_not_arrive() {
    assert_eq!(class_of_report(1), Refused);
}

fn class_of(code: Option<u32>, status: u16) -> ErrorClass {
    classified(code, status).class
}

fn classified(code: Option<u32>, status: u16) -> GatewayError {
    let status = StatusCode::from_u16(status).expect("a status");
    let response = GatewayResponse { status, headers: HeaderMap::new(), body: Some(Bytes::new()) };
    classify_code(code, &response).0.error(GatewayName::TwilioMessages, code, String::new())
}
