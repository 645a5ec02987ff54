//! The effects of each error class: security.md section 3.

use serde_json::json;

use crate::support::documented::{bad_request, failed, sent, verified};
use crate::support::{Reply, Several};

/// Twilio alone was asked, once.
const ONLY_TWILIO: [usize; 4] = [1, 0, 0, 0];

/// Twilio first, then the plain gateway, with calls allowed. Errors of several numbers do not open a circuit.
async fn twilio_then_http() -> Several {
    Several::with("Twilio;Http", [("voice", json!(true)), ("breaker-failures", json!(100))]).await
}

#[tokio::test]
async fn a_number_that_does_not_exist_goes_to_no_other_gateway() {
    let world = twilio_then_http().await;
    for code in [21_211, 30_005] {
        let number = world.number();
        world.twilio().plan(&number, [Reply::Refuse { status: 400, code }]);
        world.send(&number).await.expects(bad_request());
        assert_eq!(world.doubles.sends_to(&number), ONLY_TWILIO, "{code}");
    }
}

#[tokio::test]
async fn a_number_that_sent_stop_gets_neither_a_message_nor_a_call() {
    let world = twilio_then_http().await;
    let number = world.number();
    world.twilio().plan(&number, [Reply::Refuse { status: 400, code: 21_610 }]);
    world.send(&number).await.expects(bad_request());
    assert_eq!(world.doubles.sends_to(&number), ONLY_TWILIO);
}

#[tokio::test]
async fn a_refusal_for_fraud_stops_everything() {
    let world = Several::with(
        "Twilio;Http",
        [
            ("voice", json!(true)),
            ("workflow", json!(["sms:1s", "call"])),
            ("sms", json!({"retry": true})),
            ("breaker-failures", json!(100)),
        ],
    )
    .await;
    let mut refused = Vec::new();
    for code in [30_450, 60_410, 21_216, 13_225] {
        let number = world.number();
        world.twilio().plan(&number, [Reply::Refuse { status: 400, code }]);
        world.send(&number).await.expects(failed());
        refused.push(number);
    }
    // Another number's second step is due after theirs would be.
    let other = world.number();
    world.send(&other).await.expects(sent(&other, 5));
    world.twilio().arrived_for(&other, 2).await;
    for number in refused {
        assert_eq!(world.doubles.sends_to(&number), ONLY_TWILIO);
    }
}

#[tokio::test]
async fn when_a_gateway_is_busy_the_next_one_is_asked_at_once() {
    let world = twilio_then_http().await;
    for busy in [
        Reply::Busy,
        Reply::BusyFor(1),
        Reply::Refuse { status: 400, code: 21_611 },
        Reply::Refuse { status: 400, code: 30_001 },
        Reply::Refuse { status: 429, code: 14_107 },
        // The server obeys, and does not use Twilio again in this test.
        Reply::BusyFor(3_600),
    ] {
        let number = world.number();
        world.twilio().plan(&number, [busy]);
        world.send(&number).await.expects(sent(&number, 5));
        assert_eq!(world.doubles.sends_to(&number), [1, 0, 0, 1], "{busy:?}");
        let code = world.plain().code_for(&number);
        world.verify(&number, &code).await.expects(verified(&number));
    }
}

#[tokio::test]
async fn the_last_gateway_is_asked_once_more_when_it_was_only_busy() {
    let world = Several::routed("Twilio").await;
    for busy in [Reply::Busy, Reply::BusyFor(1)] {
        let number = world.number();
        world.twilio().plan(&number, [busy]);
        world.send(&number).await.expects(sent(&number, 5));
        assert_eq!(world.doubles.sends_to(&number), [2, 0, 0, 0], "{busy:?}");
    }
}

#[tokio::test]
async fn a_gateway_that_asks_for_a_wait_beyond_the_budget_is_not_asked_again() {
    let world = Several::routed("Twilio").await;
    let number = world.number();
    world.twilio().plan(&number, [Reply::BusyFor(3_600)]);
    world.send(&number).await.expects(failed());
    assert_eq!(world.doubles.sends_to(&number), ONLY_TWILIO);
}

#[tokio::test]
async fn an_account_that_is_not_in_order_and_a_filter_lead_to_the_next_gateway() {
    let world = twilio_then_http().await;
    for code in [
        // The last code is a daily cap, which takes the whole gateway out of service.
        21_408, 21_215, 13_227, 60_605, 21_608, 21_219, 21_212, 21_603, 21_606, 21_701, 21_703, 30_002,
        30_018, 30_024, 30_034, 30_035, 30_004, 30_007, 63_038,
    ] {
        let number = world.number();
        world.twilio().plan(&number, [Reply::Refuse { status: 400, code }]);
        world.send(&number).await.expects(sent(&number, 5));
        assert_eq!(world.doubles.sends_to(&number), [1, 0, 0, 1], "{code}");
    }
}

#[tokio::test]
async fn a_message_that_has_failed_in_a_success_of_http_was_not_accepted() {
    let world = twilio_then_http().await;
    for code in [30_007, 30_008, 30_034, 0] {
        let number = world.number();
        world.twilio().plan(&number, [Reply::FailedAtOnce(code)]);
        world.send(&number).await.expects(sent(&number, 5));
        assert_eq!(world.doubles.sends_to(&number), [1, 0, 0, 1], "{code}");
        let code = world.plain().code_for(&number);
        world.verify(&number, &code).await.expects(verified(&number));
    }
    for (code, answer) in [(30_005, bad_request()), (21_610, bad_request()), (30_450, failed())] {
        let number = world.number();
        world.twilio().plan(&number, [Reply::FailedAtOnce(code)]);
        world.send(&number).await.expects(answer);
        assert_eq!(world.doubles.sends_to(&number), ONLY_TWILIO, "{code}");
    }
    let number = world.number();
    world.twilio().plan(&number, [Reply::FailedAtOnce(0)]);
    world.send_by(&number, "call").await.expects(failed());
    assert_eq!(world.twilio().calls_for(&number).len(), 1);

    let world = Several::routed("TwilioVerify;Http").await;
    let number = world.number();
    world.twilio().plan(&number, [Reply::FailedAtOnce(0)]);
    world.send(&number).await.expects(sent(&number, 5));
    let code = world.plain().code_for(&number);
    world.verify(&number, &code).await.expects(verified(&number));
}

#[tokio::test]
async fn refused_credentials_lead_to_the_next_gateway() {
    let world = twilio_then_http().await;
    let number = world.number();
    world.twilio().plan(&number, [Reply::Refuse { status: 401, code: 20_003 }]);
    world.send(&number).await.expects(sent(&number, 5));
    assert_eq!(world.doubles.sends_to(&number), [1, 0, 0, 1]);
}
