//! The effects of each error class.

use serde_json::json;

use super::refused;
use crate::support::documented::{bad_request, failed, sent};
use crate::support::{Reply, Several};

/// Twilio alone was asked, once.
const ONLY_TWILIO: [usize; 4] = [1, 0, 0, 0];

#[tokio::test]
async fn an_error_about_the_person_goes_to_no_other_gateway() {
    let world = Several::reachable("Twilio;Http", []).await;
    for (reply, answer) in [
        // The number does not exist.
        (refused(21_211), bad_request()),
        (refused(30_005), bad_request()),
        (Reply::FailedAtOnce(30_005), bad_request()),
        // Its owner sent STOP.
        (refused(21_610), bad_request()),
        (Reply::FailedAtOnce(21_610), bad_request()),
        (Reply::FailedAtOnce(30_450), failed()),
    ] {
        let number = world.number_with([reply]);
        world.send(&number).await.expects(answer);
        assert_eq!(world.doubles.sends_to(&number), ONLY_TWILIO, "{reply:?}");
    }
}

#[tokio::test]
async fn a_refusal_for_fraud_stops_everything() {
    let settings = [("workflow", json!(["sms:1s", "call"])), ("sms", json!({"retry": true}))];
    let world = Several::reachable("Twilio;Http", settings).await;
    let mut numbers = Vec::new();
    for code in [30_450, 60_410, 21_216, 13_225] {
        let number = world.number_with([refused(code)]);
        world.send(&number).await.expects(failed());
        numbers.push(number);
    }
    // Another number's second step is due after theirs would be.
    let other = world.number_with_message().await;
    world.twilio().arrived_for(&other, 2).await;
    for number in numbers {
        assert_eq!(world.doubles.sends_to(&number), ONLY_TWILIO);
    }
}

#[tokio::test]
async fn an_error_of_the_gateway_or_a_filter_leads_to_the_next_one_at_once() {
    let busy = [Reply::Busy, Reply::BusyFor(1), Reply::Refuse { status: 429, code: 14_107 }];
    let codes = [
        21_611, 30_001, 21_408, 21_215, 13_227, 60_605, 21_608, 21_219, 21_212, 21_603, 21_606, 21_701,
        21_703, 30_002, 30_018, 30_024, 30_034, 30_035, 30_004, 30_007,
    ];
    let credentials = Reply::Refuse { status: 401, code: 20_003 };
    let failed_at_once = [30_007, 30_008, 30_034, 0].map(Reply::FailedAtOnce);
    let errors = [&busy[..], &codes.map(refused), &[credentials], &failed_at_once].concat();
    // A long wait and a daily cap take the whole gateway out of service.
    for last in [Reply::BusyFor(3_600), refused(63_038)] {
        let world = Several::reachable("Twilio;Http", []).await;
        for reply in errors.iter().chain([&last]) {
            let number = world.number_with([*reply]);
            world.accepts(&number).await;
            assert_eq!(world.doubles.sends_to(&number), [1, 0, 0, 1], "{reply:?}");
            world.verifies_by_plain(&number).await;
        }
    }
}

#[tokio::test]
async fn the_last_gateway_is_asked_again_unless_it_wants_more_than_the_budget() {
    let world = Several::routed("Twilio").await;
    for (busy, times) in [(Reply::Busy, 2), (Reply::BusyFor(1), 2), (Reply::BusyFor(3_600), 1)] {
        let number = world.number_with([busy]);
        let answer = if times == 2 { sent(&number, 5) } else { failed() };
        world.send(&number).await.expects(answer);
        assert_eq!(world.doubles.sends_to(&number), [times, 0, 0, 0], "{busy:?}");
    }
}

#[tokio::test]
async fn a_call_and_a_verification_can_fail_in_a_success_of_http_too() {
    let world = Several::reachable("Twilio;Http", []).await;
    let number = world.number_with([Reply::FailedAtOnce(0)]);
    world.send_by(&number, "call").await.expects(failed());
    assert_eq!(world.twilio().calls_for(&number).len(), 1);

    let world = Several::routed("TwilioVerify;Http").await;
    let number = world.number_with([Reply::FailedAtOnce(0)]);
    world.accepts(&number).await;
    world.verifies_by_plain(&number).await;
}
