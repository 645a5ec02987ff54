//! `otp-sms-provider`: the gateway of a number's message, and the next one.

use serde_json::json;

use crate::support::documented::{failed, sent, verified};
use crate::support::{Reply, Several};

#[tokio::test]
async fn a_gateway_with_prefixes_takes_the_numbers_that_begin_with_one_of_them() {
    let world = Several::routed("Twilio;Mada:+35987,+35988;Sinch").await;
    for prefix in ["+35987", "+35988"] {
        let number = world.numbers.beginning(prefix, 7);
        world.send(&number).await.expects(sent(&number, 5));
        assert_eq!(world.doubles.sends_to(&number), [0, 0, 1, 0]);
        let code = world.mada().code_for(&number);
        world.verify(&number, &code).await.expects(verified(&number));
    }
    for number in [world.number(), world.numbers.beginning("+35989", 7)] {
        world.send(&number).await.expects(sent(&number, 5));
        assert_eq!(world.doubles.sends_to(&number), [1, 0, 0, 0], "{number}");
    }
}

#[tokio::test]
async fn the_longest_prefix_wins_wherever_it_is_written() {
    for routing in ["Twilio;Mada:+359;Http:+35988", "Http:+35988;Mada:+359;Twilio"] {
        let world = Several::routed(routing).await;
        let (longer, shorter) = (world.numbers.beginning("+35988", 7), world.numbers.beginning("+35987", 7));
        world.send(&longer).await.expects(sent(&longer, 5));
        world.send(&shorter).await.expects(sent(&shorter, 5));
        assert_eq!(world.doubles.sends_to(&longer), [0, 0, 0, 1], "{routing}");
        assert_eq!(world.doubles.sends_to(&shorter), [0, 0, 1, 0], "{routing}");
    }
}

#[tokio::test]
async fn without_a_prefix_gateways_are_tried_in_the_order_written() {
    let world = Several::routed("Http;Twilio;Mada").await;
    let number = world.number();
    world.send(&number).await.expects(sent(&number, 5));
    assert_eq!(world.doubles.sends_to(&number), [0, 0, 0, 1]);

    let number = world.number();
    world.plain().plan(&number, [Reply::Refuse { status: 200, code: 8 }]);
    world.send(&number).await.expects(sent(&number, 5));
    assert_eq!(world.doubles.sends_to(&number), [1, 0, 0, 1]);

    let number = world.number();
    world.plain().plan(&number, [Reply::Refuse { status: 200, code: 8 }]);
    world.twilio().plan(&number, [Reply::Busy]);
    world.send(&number).await.expects(sent(&number, 5));
    assert_eq!(world.doubles.sends_to(&number), [1, 0, 1, 1]);
    // The code of the gateway that accepted the message counts.
    let code = world.mada().code_for(&number);
    world.verify(&number, &code).await.expects(verified(&number));
}

#[tokio::test]
async fn when_a_gateway_with_prefixes_fails_the_list_without_prefixes_is_next() {
    let world = Several::routed("Twilio;Mada:+35987;Http").await;
    let number = world.numbers.beginning("+35987", 7);
    world.mada().plan(&number, [Reply::Refuse { status: 200, code: 20 }]);
    world.twilio().plan(&number, [Reply::Refuse { status: 400, code: 21_408 }]);
    world.send(&number).await.expects(sent(&number, 5));
    assert_eq!(world.doubles.sends_to(&number), [1, 0, 1, 1]);
}

#[tokio::test]
async fn a_gateway_with_prefixes_takes_no_other_number_even_if_others_fail() {
    let world = Several::routed("Twilio;Mada:+35987").await;
    let number = world.number();
    world.twilio().plan(&number, [Reply::Refuse { status: 400, code: 21_408 }; 8]);
    world.send(&number).await.expects(failed());
    assert!(world.mada().received_for(&number).is_empty());
}

#[tokio::test]
async fn the_simulator_can_be_one_of_several() {
    let world = Several::with("Simulator:+35987;Twilio", [("production", json!(false))]).await;
    let number = world.numbers.beginning("+35987", 7);
    world.send(&number).await.expects(sent(&number, 5));
    assert_eq!(world.doubles.sends_to(&number), [0; 4]);
    let code = crate::inbox::code_in(&crate::inbox::inbox(&world, &number).await[0]);
    world.verify(&number, &code).await.expects(verified(&number));
}
