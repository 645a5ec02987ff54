//! The gateway of a number's message (`otp-sms-provider`), and the next one after each class of error.

use super::twilio_refuses;
use crate::support::prelude::*;

#[tokio::test]
async fn a_gateway_with_prefixes_takes_the_numbers_that_begin_with_one_of_them() {
    let world = Several::routed("Twilio;Mada:+35987,+35988;Sinch").await;
    for prefix in ["+35987", "+35988"] {
        let number = world.numbers.beginning(prefix, 7);
        world.accepts(&number).await;
        assert_eq!(world.doubles.sends_to(&number), [0, 0, 1, 0]);
        let code = world.mada().code_for(&number);
        world.verify(&number, &code).await.expects(verified(&number));
    }
    for number in [world.number(), world.numbers.beginning("+35989", 7)] {
        world.accepts(&number).await;
        assert_eq!(world.doubles.sends_to(&number), [1, 0, 0, 0], "{number}");
    }
}

#[tokio::test]
async fn when_a_gateway_with_prefixes_fails_the_list_without_prefixes_is_next() {
    let world = Several::routed("Twilio;Mada:+35987;Http").await;
    let number = world.numbers.beginning("+35987", 7);
    world.mada().plan(&number, [Reply::Refuse { status: 200, code: 20 }]);
    world.twilio().plan(&number, [twilio_refuses(21_408)]);
    world.accepts(&number).await;
    assert_eq!(world.doubles.sends_to(&number), [1, 0, 1, 1]);
}

#[tokio::test]
async fn the_simulator_can_be_one_of_several() {
    let world = Several::with("Simulator:+35987;Twilio", [("production", json!(false))]).await;
    let number = world.numbers.beginning("+35987", 7);
    world.accepts(&number).await;
    assert_eq!(world.doubles.sends_to(&number), [0; 4]);
    let code = code_in(&inbox(&world, &number).await[0]);
    world.verify(&number, &code).await.expects(verified(&number));
}

/// Twilio alone was asked, once.
const ONLY_TWILIO: [usize; 4] = [1, 0, 0, 0];

#[tokio::test]
async fn an_error_about_the_person_goes_to_no_other_gateway() {
    let world = Several::reachable("Twilio;Http", []).await;
    for (reply, answer) in [
        // The number does not exist.
        (twilio_refuses(21_211), bad_request()),
        (twilio_refuses(30_005), bad_request()),
        (Reply::FailedAtOnce(30_005), bad_request()),
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
        let number = world.number_with([twilio_refuses(code)]);
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

/// Twilio's codes of such errors, and what Twilio means: some of each class. `crates/gateway/src/twilio/codes/tests.rs` has the
/// class of every code.
const NOT_ABOUT_THE_PERSON: [(u32, &str); 6] = [
    (21_611, "the sender's queue is full"),
    (21_408, "Messaging Geo Permissions exclude the country"),
    (21_212, "the sender is not valid"),
    (21_703, "the messaging service has no sender"),
    (30_002, "the account is suspended"),
    (30_007, "a filter stopped the message"),
];

#[tokio::test]
async fn an_error_of_the_gateway_or_a_filter_leads_to_the_next_one_at_once() {
    let busy = [Reply::Busy, Reply::BusyFor(1), Reply::Refuse { status: 429, code: 14_107 }];
    let credentials = Reply::Refuse { status: 401, code: 20_003 };
    let failed_at_once = [30_007, 30_008, 30_034, 0].map(Reply::FailedAtOnce);
    let errors = [
        &busy[..],
        &NOT_ABOUT_THE_PERSON.map(|(code, _)| twilio_refuses(code)),
        &[credentials],
        &failed_at_once,
    ]
    .concat();
    // A long wait and a daily cap take the whole gateway out of service.
    for last in [Reply::BusyFor(3_600), twilio_refuses(63_038)] {
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
